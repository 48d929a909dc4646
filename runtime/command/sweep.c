/* lvt-run sweep: runs an experiment file: the search, the final runs, the table.
 *
 * Invariants: what is known of a run lies on the disk before it is acted on, so that a sweep that is killed
 * goes on when it is started again; children stop when their parent is gone. May not know: how training
 * works. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* asprintf */
#endif
#include "command.h"
#include "settings.h"
#include "sweep.h"
#include "runtime/kernels/threads.h"
#include "runtime/report/compare.h"
#include "ir/base/file.h"
#include "ir/base/clock.h"
#include "ir/base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the file ------------------------------------------------------------------------------------------ */

static lvt_status check_option(void *user, const char *key, const char *value, bool *flag, lvt_diag *diag) {
    (void)user;
    lvt_settings scratch;
    lvt_settings_defaults(&scratch);
    lvt_option rows[LVT_SETTINGS_ROWS];
    lvt_option_list coef;
    int n = lvt_cmd_settings(&scratch, &coef, rows);
    for (int i = 0; i < n; i++) {
        if (!rows[i].name || strcmp(rows[i].name, key) || rows[i].kind == LVT_OPTION_LIST)
            continue;
        if (!value) {
            *flag = rows[i].kind == LVT_OPTION_FLAG;
            return LVT_OK;
        }
        char *text = NULL;
        if (asprintf(&text, "--%s=%s", key, value) < 0)
            return lvt_no_memory(diag, NULL);
        const lvt_usage usage = {"", "", rows, n, 0, 0};
        lvt_arguments arguments;
        lvt_status status = lvt_arguments_parse(&usage, 2, (char *[]){"sweep", text, NULL}, &arguments, diag);
        free(text);
        return status;
    }
    return LVT_USER;
}

/* ---- the list, for people ------------------------------------------------------------------------------ */

static lvt_status list_runs(const lvt_sweeping *w, lvt_diag *diag) {
    const lvt_sweep *s = &w->sweep;
    for (int i = 0; i < s->n_runs; i++) {
        const lvt_sweep_run *run = &s->runs[i];
        lvt_texts arguments = {0};
        char *tried = run->search ? lvt_sweep_candidate(&s->rows[run->row], run->candidate) : NULL;
        if (!lvt_sweeping_arguments(w, i, &(lvt_sweep_begun){0}, &arguments) || (run->search && !tried)) {
            lvt_texts_free(&arguments);
            free(tried);
            return lvt_no_memory(diag, NULL);
        }
        lvt_print("%3d  %s  %s%s%s, seed %llu%s\n    ", i + 1, run->search ? "search" : "final ",
                  s->rows[run->row].name, tried ? ": " : "", tried ? tried : "",
                  (unsigned long long)run->seed,
                  run->candidate < 0 ? " (with what the search chooses, shown with its first choice)" : "");
        for (int k = 0; k < arguments.n; k++)
            lvt_print(strpbrk(arguments.list[k], " '\"$;&*?") ? " \"%s\"" : " %s", arguments.list[k]);
        lvt_print("\n");
        lvt_texts_free(&arguments);
        free(tried);
    }
    lvt_print("%d runs: %d to search, %d final\n", s->n_runs, s->n_search, s->n_runs - s->n_search);
    return LVT_OK;
}

/* ---- the end ------------------------------------------------------------------------------------------- */

/* What the search found, as a table and as search.csv. */
static lvt_status report_search(const lvt_sweeping *w, lvt_diag *diag) {
    const lvt_sweep *s = &w->sweep;
    if (!s->n_search)
        return LVT_OK;
    char *path = lvt_path_join(w->out, "search.csv");
    lvt_atomic_file f;
    lvt_status status = path ? lvt_atomic_begin(&f, NULL, path, diag) : lvt_no_memory(diag, NULL);
    free(path);
    if (status != LVT_OK)
        return status;
    fprintf(f.stream, "row,tried,scenario,metric,value,chosen\n");
    for (int r = 0; r < s->n_rows && status == LVT_OK; r++) {
        const lvt_sweep_row *row = &s->rows[r];
        const char *scenario = lvt_matrix_names[LVT_VALIDATION_CLASS_IL + row->scenario],
                   *metric = lvt_metrics[row->metric].name;
        if (row->candidates < 2)
            continue;
        lvt_print("\n%s: %s of %s\n", row->name, metric, scenario);
        for (int c = 0; c < row->candidates && status == LVT_OK; c++) {
            char *tried = lvt_sweep_candidate(row, c), value[32] = "";
            double score = lvt_sweep_score(s, w->out, r, c, w->status);
            if (!tried)
                status = lvt_no_memory(diag, NULL);
            if (!isnan(score))
                snprintf(value, sizeof value, "%.6f", score);
            if (tried) {
                lvt_csv_text(f.stream, row->name);
                fputc(',', f.stream);
                lvt_csv_text(f.stream, tried);
                fprintf(f.stream, ",%s,%s,%s,%d\n", scenario, metric, value, c == row->chosen);
                snprintf(value, sizeof value, "%.2f", 100 * score);
                lvt_print("  %8s  %s%s\n", isnan(score) ? "-" : value, tried,
                          c == row->chosen ? "  <- chosen" : "");
            }
            free(tried);
        }
    }
    return lvt_atomic_end(&f, status, diag);
}

static lvt_status report_final(const lvt_sweeping *w, lvt_diag *diag) {
    const lvt_sweep *s = &w->sweep;
    lvt_texts folders = {0};
    for (int i = s->n_search; i < s->n_runs; i++) {
        char *folder =
            w->status[i].state == LVT_SWEEP_DONE ? lvt_sweep_run_folder(w->out, &s->runs[i]) : NULL;
        if (folder)
            lvt_texts_add(&folders, "%s", folder);
        free(folder);
    }
    lvt_status status = folders.failed ? lvt_no_memory(diag, NULL) : LVT_OK;
    lvt_comparison_format files[LVT_COMPARISON_FORMATS + 2] = {{lvt_comparison_csv, "compare.csv"},
                                                               {lvt_comparison_svg, "compare.svg"}};
    memcpy(files + 2, lvt_comparison_formats, sizeof lvt_comparison_formats);
    lvt_comparison c = {0};
    if (status == LVT_OK && folders.n)
        status = lvt_comparison_read(&c, folders.list, folders.n, diag);
    if (status == LVT_OK && folders.n) {
        lvt_print("\n");
        lvt_comparison_formats[w->format].put(&c, stdout);
    }
    for (size_t i = 0; i < sizeof files / sizeof *files && status == LVT_OK && folders.n; i++) {
        lvt_atomic_file f;
        char *path = lvt_path_join(w->out, files[i].file);
        status = path ? lvt_atomic_begin(&f, NULL, path, diag) : lvt_no_memory(diag, NULL);
        if (status == LVT_OK) {
            files[i].put(&c, f.stream);
            status = lvt_atomic_end(&f, LVT_OK, diag);
        }
        free(path);
    }
    lvt_comparison_free(&c);
    lvt_texts_free(&folders);
    return status;
}

/* ---- the command --------------------------------------------------------------------------------------- */

static lvt_status make_folders(lvt_sweeping *w, lvt_diag *diag) {
    static const char *const names[] = {
        "",           "programs", "search",       "final",      "logs", "logs/search",
        "logs/final", "state",    "state/search", "state/final"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = lvt_path_join(w->out, names[i]);
        bool ok = path && (mkdir(path, 0777) == 0 || errno == EEXIST);
        lvt_status status = !path ? lvt_no_memory(diag, NULL)
                            : ok  ? LVT_OK
                                  : lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE,
                                              "%s: the folder cannot be made: %s", path, strerror(errno));
        free(path);
        if (status != LVT_OK)
            return status;
    }
    char *lock = lvt_path_join(w->out, "lock");
    if (!lock)
        return lvt_no_memory(diag, NULL);
    w->lock = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    lvt_status status = LVT_OK;
    if (w->lock < 0)
        status =
            lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: cannot be written: %s", lock, strerror(errno));
    else if (flock(w->lock, (w->only >= 0 || w->prepare ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0)
        status = errno == EWOULDBLOCK ? lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                                                  "%s: another lvt-run sweep works in this folder", w->out)
                                      : lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: cannot be locked: %s",
                                                  lock, strerror(errno));
    free(lock);
    return status;
}

/* final/list: names of the final runs in the file's order, for `lvt-run compare DIR`. */
static lvt_status write_list(const lvt_sweeping *w, lvt_diag *diag) {
    char *path = lvt_path_join(w->out, "final/list");
    lvt_atomic_file f;
    lvt_status status = path ? lvt_atomic_begin(&f, NULL, path, diag) : lvt_no_memory(diag, NULL);
    free(path);
    if (status != LVT_OK)
        return status;
    for (int i = w->sweep.n_search; i < w->sweep.n_runs; i++)
        fprintf(f.stream, "%s\n", w->sweep.runs[i].name);
    return lvt_atomic_end(&f, LVT_OK, diag);
}

static lvt_status load(lvt_sweeping *w, lvt_diag *diag) {
    lvt_sweep *s = &w->sweep;
    lvt_status status = LVT_OK;
    for (int i = 0; i < s->n_runs && status == LVT_OK; i++) {
        status = lvt_sweep_load(w->out, &s->runs[i], &w->status[i], diag);
        /* What failed is tried again. In an array the search is over when its jobs are, whatever came of
         * them. */
        if (w->status[i].state == LVT_SWEEP_FAILED && (w->only < 0 || w->only == i))
            w->status[i].state = LVT_SWEEP_WAITING;
        w->more |= w->status[i].state == LVT_SWEEP_WAITING && w->only < 0 && !w->prepare;
    }
    /* What final runs are follows from the search. Of other rows a job of an array tells nothing. */
    for (int r = 0; r < s->n_rows && status == LVT_OK; r++) {
        bool asked = w->only < 0 || s->runs[w->only].row == r;
        status = lvt_sweeping_choose(w, r, asked ? diag : NULL);
    }
    for (int i = 0; i < s->n_runs && status == LVT_OK; i++)
        status = lvt_sweeping_check(w, i, diag);
    return status;
}

static lvt_status sweep(lvt_sweeping *w, lvt_diag *diag) {
    lvt_sweep *s = &w->sweep;
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0)
        return lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "/proc/self/exe: cannot be read: %s",
                         strerror(errno));
    self[n] = 0;
    w->self = self;
    int processors = lvt_processors();
    w->threads_each = processors / w->jobs ? processors / w->jobs : 1;
    if (w->cost)
        return lvt_sweeping_cost(w, diag);
    if (w->dry_run)
        return list_runs(w, diag);
    if (w->emit == 1) {
        lvt_sweep_slurm(s, w->out, self, w->threads ? w->threads : w->threads_each, w->jobs, stdout);
        return LVT_OK;
    }
    if (w->only >= s->n_runs)
        return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "--run %d: there are %d runs", w->only + 1,
                         s->n_runs);
    lvt_status status = make_folders(w, diag);
    if (status == LVT_OK && (!(w->status = calloc((size_t)s->n_runs + 1, sizeof *w->status)) ||
                             !(w->children = calloc((size_t)w->jobs, sizeof *w->children))))
        status = lvt_no_memory(diag, NULL);
    if (status == LVT_OK)
        status = lvt_sweeping_compile(w, diag);
    if (status == LVT_OK)
        status = load(w, diag);
    status = lvt_sweeping_place(w, status, diag);
    if (status == LVT_OK && w->only < 0) /* jobs of an array would write it all at once */
        status = write_list(w, diag);
    if (status != LVT_OK || w->prepare)
        return status;
    if (w->only >= 0 && !s->runs[w->only].search && s->rows[s->runs[w->only].row].chosen < 0) {
        if (w->status[w->only].state != LVT_SWEEP_FAILED) /* else it is told what failed */
            lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                      "run %d waits for the search of %s, which is not done", w->only + 1,
                      s->rows[s->runs[w->only].row].name);
        return LVT_USER;
    }
    status = lvt_sweeping_run(w, diag);
    if (status == LVT_INTERRUPT || w->only >= 0)
        return status;
    lvt_status reported = report_search(w, diag);
    if (reported == LVT_OK)
        reported = report_final(w, diag);
    return status == LVT_OK ? reported : status;
}

lvt_status lvt_cmd_sweep(int argc, char **argv, lvt_diag *diag) {
    lvt_sweeping w = {.jobs = 1, .lock = -1};
    const char *data = NULL;
    static const char *const emits[] = {"none", "slurm", NULL};
    const lvt_option rows[] = {
        {"out", 'o', LVT_OPTION_TEXT, "DIR",
         "folder of the sweep: runs in search/ and final/, compare.svg, ...\n(default: the experiment file's "
         "name without "
         ".sweep, here)",
         &w.out, 0, 0, NULL},
        {"data", 'd', LVT_OPTION_TEXT, "KIND[:DIR]", "instead of what the file says", &data, 0, 0, NULL},
        {"jobs", 'j', LVT_OPTION_INT, "N", "runs at once (1)", &w.jobs, 1, 1024, NULL},
        {"threads", 't', LVT_OPTION_INT, "N", "of each run (0: all processors shared among the jobs)",
         &w.threads, 0, 1024, NULL},
        {"dry-run", 'n', LVT_OPTION_FLAG, NULL, "list the runs and what each is started with", &w.dry_run, 0,
         0, NULL},
        {"cost", 0, LVT_OPTION_FLAG, NULL,
         "measure a step of each row's program and print what the row\nwill take, time and memory; nothing "
         "is written",
         &w.cost, 0, 0, NULL},
        {"emit", 0, LVT_OPTION_CHOICE, NULL,
         "slurm: write a script that runs the sweep as job arrays to\nstandard output; --jobs is how many at "
         "once",
         &w.emit, 0, 0, emits},
        {"format", 0, LVT_OPTION_CHOICE, NULL,
         "of the table that is printed (text); all are files of the folder", &w.format, 0, 0,
         lvt_comparison_format_names},
        {"run", 0, LVT_OPTION_INT, "N", "only run N of the list; several may work in one folder", &w.only, 1,
         1000000, NULL},
        {"prepare", 0, LVT_OPTION_FLAG, NULL, "compile the programs and run nothing", &w.prepare, 0, 0, NULL},
        {"quiet", 'q', LVT_OPTION_FLAG, NULL, "no progress, only the result", &w.quiet, 0, 0, NULL},
        {"plain", 0, LVT_OPTION_FLAG, NULL, "lines instead of a view that is redrawn, on a terminal too",
         &w.plain, 0, 0, NULL},
    };
    const lvt_usage usage = {
        "lvt-run sweep EXPERIMENT.sweep [options]",
        "Runs what an experiment file describes: for each row of its table the combinations of settings to "
        "try,\n"
        "measured on validation images; then the best of them on all training images, with several seeds; "
        "then\n"
        "the table of `lvt-run compare`. What is done lies on the disk: after an interruption, or kill -9, "
        "the\n"
        "same command goes on, and runs resume from their last checkpoints. models/README.md describes the "
        "file:\n"
        "  model = lvt-tiny.lvt\n  data = digits\n  tasks = 5\n  validation = 10%\n  seeds = 1..5\n"
        "  [replay]\n  for method = lvt er\n  memory = 200\n  try lr = 0.05 0.1 0.2",
        rows,
        sizeof rows / sizeof *rows,
        1,
        1};
    lvt_arguments arguments;
    lvt_status status = lvt_arguments_parse(&usage, argc, argv, &arguments, diag);
    if (status != LVT_OK || arguments.done)
        return status;
    w.only--;
    char *folder = NULL;
    if (!w.out) {
        const char *name = strrchr(arguments.values[0], '/');
        name = name ? name + 1 : arguments.values[0];
        size_t n = strlen(name);
        bool ends = n > 6 && !strcmp(name + n - 6, ".sweep");
        if (asprintf(&folder, "%.*s%s", (int)(ends ? n - 6 : n), name, ends ? "" : ".out") < 0)
            return lvt_no_memory(diag, NULL);
        w.out = folder;
    }
    const lvt_sweep_checker checker = {check_option, NULL};
    status = lvt_sweep_read(&w.sweep, arguments.values[0], data, &checker, diag);
    if (status == LVT_OK)
        status = sweep(&w, diag);
    lvt_sweep_free(&w.sweep);
    lvt_sweeping_free_programs(&w);
    free(w.status);
    free(w.children);
    free(folder);
    if (w.lock >= 0)
        close(w.lock);
    return status;
}
