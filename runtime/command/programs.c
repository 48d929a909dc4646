/* What a sweep compiles, and whether the runs that were begun are still those of the file: their options,
 * their programs, their data.
 *
 * Invariants: a program is in its place only after all runs that were begun have been found to go with it;
 * nothing is compiled or opened twice. May not know: processes that train, terminals. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* asprintf */
#endif
#include "checkpoint.h"
#include "sweep.h"
#include "ir/base/file.h"
#include "ir/program/weights.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- programs ------------------------------------------------------------------------------------------ */

/* program: what lvt_sweep_program says. */
static lvt_status compile(const lvt_sweeping *w, const lvt_texts *program, const char *to, uint32_t line,
                          lvt_diag *diag) {
    char **argv = calloc((size_t)program->n + 2, sizeof *argv), *lvtc = NULL;
    const char *slash = strrchr(w->self, '/');
    if (!argv || asprintf(&lvtc, "%.*s/lvtc", (int)(slash - w->self), w->self) < 0) {
        free(argv);
        return lvt_no_memory(diag, NULL);
    }
    int n = 0;
    argv[n++] = lvtc;
    for (int i = 2; i < program->n; i++)
        argv[n++] = program->list[i];
    argv[n++] = "-o";
    argv[n++] = (char *)to;
    pid_t pid = fork();
    if (pid == 0) {
        execv(lvtc, argv);
        execvp("lvtc", argv);
        fprintf(stderr, "lvtc: cannot be started: %s\n", strerror(errno));
        _exit(127);
    }
    int code = -1;
    while (pid > 0 && waitpid(pid, &code, 0) < 0 && errno == EINTR)
        ;
    free(argv);
    free(lvtc);
    if (pid > 0 && WIFEXITED(code) && WEXITSTATUS(code) == 0)
        return LVT_OK;
    return lvt_error(diag, LVT_USER, NULL, (lvt_pos){w->sweep.file, line, 0}, "%s could not be compiled",
                     program->list[0]);
}

static lvt_status no_program(const lvt_sweeping *w, const char *path, uint32_t line, lvt_diag *diag) {
    return lvt_error(diag, LVT_USER, NULL, (lvt_pos){w->sweep.file, line, 0}, "%s: there is no such program",
                     path);
}

lvt_status lvt_sweeping_compile_one(const lvt_sweeping *w, const lvt_texts *program, uint32_t line,
                                    lvt_diag *diag) {
    if (program->n > 2)
        return compile(w, program, program->list[1], line, diag);
    return lvt_path_exists(program->list[1]) ? LVT_OK : no_program(w, program->list[1], line, diag);
}

static lvt_sweep_compiled *find(const lvt_sweeping *w, const char *path) {
    for (int i = 0; i < w->n_programs; i++) {
        if (!strcmp(w->programs[i].path, path))
            return &w->programs[i];
    }
    return NULL;
}

/* Channels of the images that a program takes, 0: it takes none. */
static int channels_of(const lvt_module *m) {
    for (uint32_t e = 0; e < m->n_entries; e++) {
        const lvt_graph *g = m->entries[e];
        for (uint32_t i = 0; i < g->n_inputs; i++) {
            const lvt_type *t = lvt_value_type(g, g->inputs[i].value);
            if (!strcmp(g->inputs[i].name, "x") && t->rank == 4)
                return (int)t->dim[3];
        }
    }
    return 0;
}

/* Adds a program, compiled anew: whether the model or a file that it imports has changed, only the program
 * itself says. Jobs of an array, and who runs one by hand, take what is there: all of them the same. */
static lvt_status add(lvt_sweeping *w, const lvt_texts *program, uint32_t line, lvt_diag *diag) {
    const char *path = program->list[1];
    bool there = lvt_path_exists(path), make = program->n > 2 && !(there && w->only >= 0);
    if (find(w, path))
        return LVT_OK;
    if (!there && !make)
        return no_program(w, path, line, diag);
    lvt_sweep_compiled *more = realloc(w->programs, ((size_t)w->n_programs + 1) * sizeof *more), p = {0};
    if (!more)
        return lvt_no_memory(diag, NULL);
    w->programs = more;
    p.path = strdup(path);
    if (make && asprintf(&p.made, "%s.%ld", path, (long)getpid()) < 0)
        p.made = NULL;
    lvt_status status = !p.path || (make && !p.made) ? lvt_no_memory(diag, NULL)
                        : make                       ? compile(w, program, p.made, line, diag)
                                                     : LVT_OK;
    lvt_compiled *compiled = NULL;
    if (status == LVT_OK)
        status = lvt_program_read(make ? p.made : path, &compiled, diag);
    if (status == LVT_OK) {
        p.hash = compiled->hash;
        p.channels = channels_of(compiled->module);
        p.compiled = compiled;
    }
    more[w->n_programs++] = p; /* also after an error: the end removes what was made */
    return status;
}

lvt_status lvt_sweeping_compile(lvt_sweeping *w, lvt_diag *diag) {
    const lvt_sweep *s = &w->sweep;
    lvt_status status = LVT_OK;
    for (int r = 0; r < s->n_rows; r++) {
        for (int c = 0; c < 2 * s->rows[r].candidates && status == LVT_OK; c++) {
            bool search = c % 2 == 1;
            if (search && s->rows[r].candidates == 1)
                continue; /* nothing to choose */
            lvt_texts program = {0};
            status = lvt_sweep_program(s, w->out, r, c / 2, search, &program)
                         ? add(w, &program, s->rows[r].line, diag)
                         : lvt_no_memory(diag, NULL);
            lvt_texts_free(&program);
        }
    }
    return status;
}

lvt_status lvt_sweeping_place(lvt_sweeping *w, lvt_status status, lvt_diag *diag) {
    for (int i = 0; i < w->n_programs; i++) {
        lvt_sweep_compiled *p = &w->programs[i];
        if (p->made && status == LVT_OK)
            status = lvt_program_move(p->compiled->module, p->made, p->path, diag);
        else if (p->made)
            lvt_program_remove(p->compiled ? p->compiled->module : NULL, p->made);
        if (p->compiled)
            lvt_compiled_free(p->compiled);
        p->compiled = NULL;
        free(p->made);
        p->made = NULL;
    }
    return status;
}

/* ---- is it still the same run? ------------------------------------------------------------------------- */

/* What the data of a run are now, for the model that it trains. */
static lvt_status fingerprint(lvt_sweeping *w, const char *data, const char *size, int channels,
                              uint64_t *out, lvt_diag *diag) {
    for (int i = 0; i < w->n_seen; i++) {
        lvt_sweep_seen *p = &w->seen[i];
        if (!strcmp(p->data, data) && !strcmp(p->size, size) && p->channels == channels) {
            *out = p->fingerprint;
            return LVT_OK;
        }
    }
    lvt_dataset_options options;
    lvt_dataset *d = NULL;
    lvt_sweep_seen *more = realloc(w->seen, ((size_t)w->n_seen + 1) * sizeof *more);
    if (!more)
        return lvt_no_memory(diag, NULL);
    w->seen = more;
    lvt_status status = lvt_parse_size(*size ? size : NULL, &options, diag);
    options.channels = channels;
    options.skip_broken = true; /* whether they may be left out is said where they are trained on */
    if (status == LVT_OK)
        status = lvt_dataset_open(data, &options, &d, diag);
    if (status != LVT_OK)
        return status == LVT_USAGE ? LVT_USER : status;
    *out = d->fingerprint;
    lvt_dataset_free(d);
    more[w->n_seen++] = (lvt_sweep_seen){data, size, channels, *out};
    return LVT_OK;
}

lvt_status lvt_sweeping_check(lvt_sweeping *w, int i, lvt_diag *diag) {
    const lvt_sweep *s = &w->sweep;
    const lvt_sweep_run *run = &s->runs[i];
    const lvt_sweep_row *row = &s->rows[run->row];
    int candidate = run->candidate >= 0 ? run->candidate : row->chosen;
    if (candidate < 0) /* what it is started with is not known before its row has chosen */
        return LVT_OK;
    lvt_texts program = {0};
    lvt_sweep_begun begun;
    lvt_status status = lvt_sweep_begun_read(w->out, run, &begun, diag);
    if (status == LVT_OK && begun.begun) {
        if (!lvt_sweep_program(s, w->out, run->row, candidate, run->search, &program))
            status = lvt_no_memory(diag, NULL);
        const lvt_sweep_compiled *p = status == LVT_OK ? find(w, program.list[1]) : NULL;
        if (status == LVT_OK)
            status = lvt_sweep_check(s, w->out, run, &begun, p ? p->hash : 0, diag);
        /* Data of the same name are looked at only when more will be trained on them: a sweep that is done
         * shows its table without them. */
        const char *data = s->data ? s->data : lvt_sweep_text(row, candidate, "data", run->search),
                   *size = lvt_sweep_text(row, candidate, "resize", run->search);
        uint64_t now = 0;
        if (status == LVT_OK && p && (w->more || strcmp(data, begun.data_at))) {
            status = fingerprint(w, data, size ? size : "", p->channels, &now, diag);
            if (status == LVT_OK)
                status = lvt_sweep_check_data(s, w->out, run, &begun, data, now, diag);
        }
    }
    lvt_texts_free(&program);
    lvt_sweep_begun_free(&begun);
    return status;
}

void lvt_sweeping_free_programs(lvt_sweeping *w) {
    for (int i = 0; i < w->n_programs; i++)
        free(w->programs[i].path);
    free(w->programs);
    free(w->seen);
}
