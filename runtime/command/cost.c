/* What a sweep will cost: a step of each program is measured here, and multiplied.
 *
 * Invariant: nothing is left on the disk; each program is measured in a process of its own, so that its memory is its
 * own. May not know: which runs were begun. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* asprintf */
#endif
#include "command.h"
#include "sweep.h"
#include "checkpoint.h"
#include "settings.h"
#include "runtime/continual/method.h"
#include "runtime/continual/model.h"
#include "runtime/continual/usage.h"
#include "ir/base/clock.h"
#include "ir/base/file.h"
#include "ir/base/utf8.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct measured { /* of a program: seconds a step (NaN: it has no such entry), bytes of its process */
    double seconds[LVT_N_ENTRIES], memory;
    int batch, predict_batch;
    bool ok;
} measured;

/* Of made-up inputs. */
static lvt_status time_entry(lvt_model *m, lvt_entry_kind entry, double *seconds, lvt_diag *diag) {
    size_t images = (size_t)(m->batch > m->memory_batch ? m->batch : m->memory_batch);
    images = images > (size_t)m->predict_batch ? images : (size_t)m->predict_batch;
    size_t pixels = (size_t)m->height * (size_t)m->width * (size_t)m->channels, classes = (size_t)m->classes;
    float *x = calloc(images * pixels + 1, sizeof *x), *z = calloc(images * classes + 1, sizeof *z),
          *ones = malloc((images + 1) * classes * sizeof *ones);
    int32_t *y = calloc(images + 2, sizeof *y);
    lvt_status status = x && z && ones && y ? LVT_OK : lvt_no_memory(diag, NULL);
    for (size_t i = 0; i < (images + 1) * classes && status == LVT_OK; i++)
        ones[i] = 1;
    for (size_t i = 0; i < images * pixels && status == LVT_OK; i++)
        x[i] = (float)(i * 2654435761u % 1000) / 500 - 1;
    const void *tensors[LVT_N_INPUTS] = {
        [LVT_IN_X] = x,
        [LVT_IN_Y] = y,
        [LVT_IN_XM] = x,
        [LVT_IN_YM] = y,
        [LVT_IN_ZM] = z,
        [LVT_IN_MASK] = ones,
        [LVT_IN_STEP] = y,
        [LVT_IN_Y2] = y,
        [LVT_IN_MIX] = ones,
        [LVT_IN_FREQUENCY] = ones,
        [LVT_IN_TASK_MASK] = ones,
        [LVT_IN_ZM_MASK] = ones,
    };
    /* The first run makes what is made once. Of the others the best: other processes only slow it down. */
    double began = lvt_seconds(), best = INFINITY;
    for (int i = 0; i < 6 || (i < 30 && lvt_seconds() - began < 1); i++) {
        double before = lvt_seconds();
        if (status == LVT_OK)
            status = lvt_model_run(m, entry, tensors, diag);
        if (i)
            best = fmin(best, lvt_seconds() - before);
    }
    *seconds = best;
    free(x);
    free(z);
    free(ones);
    free(y);
    return status;
}

static lvt_status measure_here(const char *program, int threads, measured *out, lvt_diag *diag) {
    lvt_model m;
    const lvt_program_options how = {.threads = threads};
    lvt_status status = lvt_model_open(&m, program, &how, 1, true, diag);
    static const lvt_entry_kind entries[] = {LVT_ENTRY_TRAIN_NEW, LVT_ENTRY_TRAIN, LVT_ENTRY_PREDICT};
    for (int e = 0; e < LVT_N_ENTRIES; e++)
        out->seconds[e] = NAN;
    for (int i = 0; i < m.n_scalars && status == LVT_OK; i++) { /* a coefficient without a default */
        lvt_scalar *s = &m.scalars[i];
        s->value = s->has_default ? (float)s->default_value : 0;
        s->given = true;
    }
    for (size_t i = 0; i < sizeof entries / sizeof *entries && status == LVT_OK; i++) {
        if (lvt_model_has(&m, entries[i]))
            status = time_entry(&m, entries[i], &out->seconds[entries[i]], diag);
    }
    out->batch = m.batch;
    out->predict_batch = m.predict_batch;
    out->memory = lvt_peak_memory();
    out->ok = status == LVT_OK;
    lvt_model_close(&m);
    return status;
}

static lvt_status measure(const char *program, int threads, measured *out, lvt_diag *diag) {
    int ends[2] = {-1, -1};
    pid_t pid = pipe(ends) == 0 ? fork() : -1;
    if (pid == 0) {
        measured m = {0};
        lvt_diag *words = lvt_diag_new();
        if (measure_here(program, threads, &m, words) != LVT_OK) {
            char *text = words ? lvt_diag_text(words) : NULL;
            fputs(text ? text : "", stderr);
        }
        _exit(write(ends[1], &m, sizeof m) == (ssize_t)sizeof m ? 0 : 1);
    }
    if (ends[1] >= 0)
        close(ends[1]);
    ssize_t n = pid > 0 ? read(ends[0], out, sizeof *out) : -1;
    if (ends[0] >= 0)
        close(ends[0]);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    if (n == (ssize_t)sizeof *out && out->ok)
        return LVT_OK;
    return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: no step of it could be run", program);
}

/* ---- steps of a run ------------------------------------------------------------------------------------ */

static lvt_status settings_of(const lvt_sweep *s, const lvt_sweep_run *run, lvt_texts *texts,
                              lvt_settings *out, lvt_diag *diag) {
    lvt_option rows[LVT_SETTINGS_ROWS];
    lvt_option_list coef;
    lvt_settings_defaults(out);
    int n = lvt_cmd_settings(out, &coef, rows);
    const lvt_usage usage = {"", "", rows, n, 0, 0};
    lvt_arguments arguments;
    lvt_texts_add(texts, "sweep");
    if (!lvt_sweep_options(s, run, texts))
        return lvt_no_memory(diag, NULL);
    return lvt_arguments_parse(&usage, texts->n, texts->list, &arguments, diag);
}

/* Seconds of one run, and its steps: tasks as equal as possible, evaluation included. held: the part of training
 * images that it measures on. */
static double seconds_of(const measured *m, const lvt_settings *s, const lvt_dataset *d, double held,
                         double *steps) {
    const lvt_method *method = lvt_method_find(s->method ? s->method : "lvt");
    double train = (double)d->train.n * (1 - held), seconds = 0;
    double test = s->test_images ? s->test_images : (double)d->test.n;
    int tasks = d->domains ? d->domains : s->tasks;
    *steps = 0;
    for (int k = 0; k < tasks; k++) {
        double images = train / tasks;
        if (method && method->reach == LVT_REACH_ALL_SO_FAR)
            images *= k + 1;
        else if (method && method->reach == LVT_REACH_MEMORY && k)
            images += s->memory;
        double n = ceil(images / m->batch) * s->epochs;
        n = s->steps && n > s->steps ? s->steps : n;
        bool both = k && method &&
                    (method->rehearsal == LVT_REHEARSE_SELF ||
                     (method->rehearsal == LVT_REHEARSE_MEMORY && s->memory));
        seconds += n * m->seconds[both ? LVT_ENTRY_TRAIN : LVT_ENTRY_TRAIN_NEW];
        *steps += n;
        if (k + 1 == tasks || (k + 1) % s->eval_every == 0)
            seconds += ceil((test + held * (double)d->train.n) * (k + 1) / tasks / m->predict_batch) *
                       m->seconds[LVT_ENTRY_PREDICT];
    }
    return seconds;
}

/* ---- the table ----------------------------------------------------------------------------------------- */

typedef struct costing { /* what was measured and opened last: rows of one program stand together, mostly */
    lvt_texts programs;
    measured *all;
    lvt_dataset *data;
    char *data_at; /* and to which size */
    double seconds;
    int width;
} costing;

static lvt_status open_data(costing *c, const char *data, const char *size, lvt_diag *diag) {
    char *at;
    if (asprintf(&at, "%s|%s", data, size ? size : "") < 0)
        return lvt_no_memory(diag, NULL);
    bool same = c->data && !strcmp(at, c->data_at);
    free(same ? at : c->data_at);
    if (same)
        return LVT_OK;
    c->data_at = at;
    lvt_dataset_options options;
    lvt_status status = lvt_parse_size(size, &options, diag);
    options.skip_broken = true;
    if (c->data)
        lvt_dataset_free(c->data);
    c->data = NULL;
    if (status == LVT_OK)
        status = lvt_dataset_open(data, &options, &c->data, diag);
    return status;
}

static lvt_status measured_of(lvt_sweeping *w, costing *c, const lvt_sweep_run *run, int candidate,
                              measured *out, lvt_diag *diag) {
    lvt_texts program = {0};
    if (!lvt_sweep_program(&w->sweep, w->out, run->row, candidate, run->search, &program))
        return lvt_no_memory(diag, NULL);
    lvt_status status = LVT_OK;
    int i = 0;
    while (i < c->programs.n && strcmp(c->programs.list[i], program.list[1]))
        i++;
    if (i == c->programs.n) {
        measured *more = realloc(c->all, ((size_t)i + 1) * sizeof *more);
        if (more)
            c->all = more;
        if (!more || !lvt_texts_add(&c->programs, "%s", program.list[1]))
            status = lvt_no_memory(diag, NULL);
        if (status == LVT_OK)
            status = lvt_sweeping_compile_one(w, &program, w->sweep.rows[run->row].line, diag);
        if (status == LVT_OK)
            status = measure(program.list[1], w->threads ? w->threads : w->threads_each, &c->all[i], diag);
        if (program.n > 2)
            unlink(program.list[1]);
    }
    if (status == LVT_OK)
        *out = c->all[i];
    lvt_texts_free(&program);
    return status;
}

static void print_hours(double seconds) {
    lvt_print(seconds < 3600 ? "%9.1f min" : "%9.1f h  ", seconds / (seconds < 3600 ? 60 : 3600));
}

/* One row of the file, its search or its final runs: those from `first` on. */
static lvt_status put_row(lvt_sweeping *w, costing *c, int first, int runs, lvt_diag *diag) {
    const lvt_sweep *s = &w->sweep;
    const lvt_sweep_run *run = &s->runs[first];
    const lvt_sweep_row *row = &s->rows[run->row];
    int candidate = run->candidate >= 0 ? run->candidate : row->chosen < 0 ? 0 : row->chosen;
    lvt_texts texts = {0};
    lvt_settings settings;
    measured m = {0};
    const char *data = s->data ? s->data : lvt_sweep_text(row, candidate, "data", run->search),
               *size = lvt_sweep_text(row, candidate, "resize", run->search);
    double held = 0;
    lvt_status status = settings_of(s, run, &texts, &settings, diag);
    if (status == LVT_OK)
        status = lvt_settings_validation(&settings, &held, diag);
    if (status == LVT_OK)
        status = open_data(c, data, size, diag);
    if (status == LVT_OK)
        status = measured_of(w, c, run, candidate, &m, diag);
    if (status == LVT_OK) {
        double steps, one = seconds_of(&m, &settings, c->data, held, &steps);
        bool both = !isnan(m.seconds[LVT_ENTRY_TRAIN]);
        c->seconds += one * runs;
        lvt_print("%-*s%6d%10.1f ms%10.0f%8.0f MiB", c->width, row->name, runs,
                  1000 * m.seconds[both ? LVT_ENTRY_TRAIN : LVT_ENTRY_TRAIN_NEW], steps,
                  m.memory / (1 << 20));
        print_hours(one);
        print_hours(one * runs);
        lvt_print("%s\n", run->search ? "  search" : "");
        fflush(stdout);
    }
    lvt_texts_free(&texts);
    return status == LVT_USAGE ? LVT_USER : status; /* the mistake is the file's */
}

lvt_status lvt_sweeping_cost(lvt_sweeping *w, lvt_diag *diag) {
    const lvt_sweep *s = &w->sweep;
    const char *folder = getenv("TMPDIR");
    char path[512], programs[528];
    snprintf(path, sizeof path, "%s/lvt-cost-XXXXXX", folder && *folder ? folder : "/tmp");
    if (!mkdtemp(path))
        return lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: the folder cannot be made: %s", path,
                         strerror(errno));
    snprintf(programs, sizeof programs, "%s/programs", path);
    lvt_status status = mkdir(programs, 0700) == 0
                            ? LVT_OK
                            : lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: the folder cannot be made: %s",
                                        programs, strerror(errno));
    const char *out = w->out;
    w->out = path;
    costing c = {.width = 8};
    for (int i = 0; i < s->n_rows; i++)
        c.width = (int)strlen(s->rows[i].name) + 2 > c.width ? (int)strlen(s->rows[i].name) + 2 : c.width;
    lvt_print("%-*s%6s%13s%10s%12s%13s%13s\n", c.width, "", "runs", "a step", "steps", "memory", "a run",
              "all");
    for (int i = 0; i < s->n_runs && status == LVT_OK;) {
        int runs = 0;
        while (i + runs < s->n_runs && s->runs[i + runs].row == s->runs[i].row &&
               s->runs[i + runs].search == s->runs[i].search)
            runs++;
        status = put_row(w, &c, i, runs, diag);
        i += runs;
    }
    if (status == LVT_OK) {
        lvt_print("%-*s%6d%44s", c.width, "total", s->n_runs, "");
        print_hours(c.seconds);
        lvt_print("\nSteps and memory are measured here, with %d thread%s, one run at a time; evaluation is "
                  "counted, "
                  "compiling is not.\n",
                  w->threads ? w->threads : w->threads_each,
                  (w->threads ? w->threads : w->threads_each) == 1 ? "" : "s");
    }
    if (c.data)
        lvt_dataset_free(c.data);
    free(c.data_at);
    lvt_texts_free(&c.programs);
    free(c.all);
    rmdir(programs);
    rmdir(path);
    w->out = out;
    return status;
}
