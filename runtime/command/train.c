/* lvt-run train: trains over a sequence of tasks, or goes on with a run.
 *
 * Invariant: all settings come from one table (continual/settings.def). Signals are taken from a descriptor
 * between steps, so no handler and no global is needed. May not know: how training works. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* asprintf */
#endif
#include "command.h"
#include "runtime/report/tensorboard/board.h"
#include "checkpoint.h"
#include "runtime/command/view/console.h"
#include "ranks.h"
#include "settings.h"
#include "runtime/continual/metrics.h"
#include "runtime/report/page.h"
#include "runtime/report/report.h"
#include "runtime/continual/run.h"
#include "ir/base/file.h"
#include "ir/base/clock.h"
#include "ir/base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

static lvt_status write_reports(const lvt_trainer *t, lvt_diag *diag);

static void after_task(void *user, const lvt_trainer *t) {
    if (!lvt_trainer_measures(t, t->at.task)) { /* what was written after an earlier task stands */
        lvt_console_task(user);
        return;
    }
    /* A run that is watched, or that ends early, has its reports. When one cannot be written (no room), the
     * run goes on: the last ones are written again at its end, and that failure is told. */
    lvt_diag *quietly = t->at.task < t->tasks.n ? lvt_diag_new() : NULL;
    if (quietly)
        write_reports(t, quietly);
    lvt_diag_free(quietly);
    lvt_console_task(user);
}

/* ---- options ------------------------------------------------------------------------------------------- */

enum { MAX_ROWS = LVT_SETTINGS_ROWS + 8 };

static bool same_text(const char *a, const char *b) {
    return a == b || (a && b && !strcmp(a, b));
}
static bool same_list(const lvt_coefficients *a, const lvt_coefficients *b) {
    bool same = a->n == b->n;
    for (int i = 0; i < a->n && same; i++)
        same = same_text(a->items[i], b->items[i]);
    return same;
}
#define SAME_FLAG(a, b) ((a) == (b))
#define SAME_INT(a, b) ((a) == (b))
#define SAME_SEED(a, b) ((a) == (b))
#define SAME_NUMBER(a, b) ((a) == (b))
#define SAME_CHOICE(a, b) ((a) == (b))
#define SAME_TEXT(a, b) same_text(a, b)
#define SAME_LIST(a, b) same_list(&(a), &(b))

/* With --resume: settings of the run; those given on the command line (`was_given`, a row of settings.def
 * each) must be changeable or equal. *changed is set when one of them is not equal. */
static lvt_status merge(const lvt_settings *given, const bool *was_given, lvt_settings *run, bool *changed,
                        lvt_diag *diag) {
    lvt_status status = LVT_OK;
#define LVT_HEADING(text) was_given++;
#define LVT_SETTING(kind, field, option, letter, argument, value, low, high, choices, changeable, help)      \
    if (*was_given++ && !SAME_##kind(given->field, run->field)) {                                            \
        *changed = true;                                                                                     \
        if (changeable)                                                                                      \
            run->field = given->field;                                                                       \
        else                                                                                                 \
            status = lvt_error(                                                                              \
                diag, LVT_USAGE, NULL, LVT_NOWHERE,                                                          \
                "--%s differs from what the run was started with, so it cannot be resumed with it", option); \
    }
#include "runtime/continual/settings.def"
    if (status != LVT_OK)
        lvt_note(diag, LVT_NOWHERE,
                 "--resume takes all settings from the run's folder; leave the option out");
    return status;
}

/* ---- the command --------------------------------------------------------------------------------------- */

static lvt_status open_metrics(lvt_trainer *t, lvt_diag *diag) {
    static const char name[] = "metrics.jsonl";
    uint8_t *text = NULL;
    size_t size = 0;
    int fd = lvt_folder_descriptor(t->folder, name, O_RDWR | O_APPEND | O_CREAT);
    struct stat file;
    bool there = fd >= 0 && fstat(fd, &file) == 0 && S_ISREG(file.st_mode);
    t->metrics = there ? fdopen(fd, "a+e") : NULL;
    if (!t->metrics && fd >= 0)
        close(fd);
    lvt_status status =
        t->metrics && t->resumed ? lvt_folder_file_read(t->folder, name, &text, &size, diag) : LVT_OK;
    if (text && !lvt_checkpoint_find_record(t, (const char *)text, size))
        lvt_warning(
            diag, NULL, LVT_NOWHERE,
            "%s/%s has lost records that the checkpoint counts: tables of `lvt-run compare` lack them",
            t->folder->path, name);
    free(text);
    /* Records after the checkpoint belong to steps that will be done again. */
    if (status == LVT_OK && (!t->metrics || ftruncate(fileno(t->metrics), (off_t)t->metrics_bytes) != 0))
        status = lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s/%s: cannot be written: %s", t->folder->path,
                           name, strerror(errno));
    return status;
}

static lvt_status write_reports(const lvt_trainer *t, lvt_diag *diag) {
    lvt_accuracies a = lvt_accuracies_of(t);
    char *title = NULL;
    const lvt_settings *s = t->settings;
    if (asprintf(&title, "%s, method %s, on %s: %d task%s, memory %d, %d epoch%s, seed %llu%s%s%s",
                 lvt_model_module(t->model)->name, t->method->name, t->data->name, t->tasks.n,
                 t->tasks.n == 1 ? "" : "s", s->memory, s->epochs, s->epochs == 1 ? "" : "s",
                 (unsigned long long)s->seed, *t->trial ? " (" : "", t->trial, *t->trial ? ")" : "") < 0)
        title = NULL;
    lvt_status status = title ? LVT_OK : lvt_no_memory(diag, NULL);
    if (status == LVT_OK)
        status = lvt_report_csv(&a, t->folder, "accuracy.csv", diag);
    if (status == LVT_OK)
        status = lvt_report_confusion(&a, t->last.confusion, t->folder, "confusion.csv", diag);
    if (status == LVT_OK)
        status = lvt_report_svg(&a, title, t->folder, "accuracy.svg", diag);
    if (status == LVT_OK)
        status = lvt_report_memory(&t->memory, &t->tasks, t->data, t->folder, "memory.png", diag);
    if (status == LVT_OK)
        status = lvt_page_write(t, title, "report.html", diag);
    free(title);
    return status;
}

typedef struct work { /* everything a run holds, freed in one place */
    lvt_settings settings;
    lvt_run run;
    cJSON *tree;
    lvt_dataset *data;
    lvt_model model;
    lvt_ranks ranks;
    lvt_trainer trainer;
    lvt_board board;
    lvt_console console;
    const bool *given; /* settings that were on the command line: a row of settings.def each */
    bool tasks_given;
    lvt_run_facts begun; /* of a run that is resumed */
} work;

static void keep_record(void *board, const cJSON *record) {
    lvt_board_record(board, record);
}

static int sizes_in(const char *split) {
    int n = 1;
    for (; *split; split++)
        n += *split == ',';
    return n;
}

/* Weights of a checkpoint bring along what their classes were called. Other files say nothing. */
static void compare_names(const work *w, lvt_diag *diag) {
    const char *path = w->settings.weights;
    lvt_safetensors file = {0};
    lvt_checkpoint_info info;
    lvt_diag *quiet = lvt_diag_new();
    if (lvt_safetensors_read_any(path, &file, quiet) == LVT_OK && file.metadata &&
        lvt_checkpoint_info_read(&file, path, &info, quiet) == LVT_OK) {
        lvt_checkpoint_compare_names(&info, path, w->data, diag);
        lvt_checkpoint_info_free(&info);
    }
    lvt_safetensors_free(&file);
    lvt_diag_free(quiet);
}

static lvt_status prepare(work *w, const char *program, bool resume, lvt_diag *diag) {
    lvt_dataset_options options;
    const lvt_settings *s = &w->settings;
    lvt_status status = lvt_parse_size(s->resize, &options, diag);
    lvt_program_options how = {
        .interpret = s->interpret, .threads = s->threads, .weights = s->weights, .map = s->map};
    if (resume && !s->threads)
        how.threads = lvt_cmd_resumed_team(w->begun.team, diag);
    if (resume && lvt_checkpoint_exists(&w->run.folder)) { /* it has all states */
        how.weights = NULL;
        how.no_weights = true;
    }
    if (status == LVT_OK && s->map && !s->weights)
        status = lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "--map says how names of --weights are read");
    if (status == LVT_OK)
        status = lvt_model_open(&w->model, program, &how, s->seed, true, diag);
    if (status == LVT_OK)
        status = lvt_model_connect(&w->model, w->ranks.all.ranks ? &w->ranks.all : NULL, diag);
    options.channels = w->model.channels;
    options.skip_broken = s->skip_broken;
    if (status == LVT_OK)
        status = lvt_dataset_open(s->data, &options, &w->data, diag);
    if (status != LVT_OK)
        return status;
    if (how.weights && !resume)
        compare_names(w, diag);
    if (!resume && !w->tasks_given) { /* not said: what follows from the rest */
        if (w->data->domains)
            w->settings.tasks = w->data->domains;
        else if (s->split)
            w->settings.tasks = sizes_in(s->split);
    }
    bool follower = w->ranks.all.rank > 0;
    w->console.trainer = &w->trainer;
    lvt_events events = lvt_console_events(&w->console);
    events.evaluated = follower ? NULL : after_task;
    status = lvt_trainer_init(&w->trainer, s, &w->model, w->data, &w->run.folder, &events, diag);
    w->trainer.follower = follower;
    if (status == LVT_OK)
        status = resume ? lvt_checkpoint_resume(&w->trainer, diag) : lvt_trainer_effects(&w->trainer, diag);
    return status;
}

/* The first of several processes has the folder; the others only read what is there to resume. */
static lvt_status open_run(work *w, const char *folder, bool resume, lvt_diag *diag) {
    if (w->ranks.all.rank == 0)
        return lvt_run_open(&w->run, folder, resume, diag);
    w->console.quiet = true;
    if (resume)
        return lvt_folder_open(&w->run.folder, NULL, folder, diag);
    w->run.folder.path = strdup(folder); /* the first may not have made it yet */
    return w->run.folder.path ? LVT_OK : lvt_no_memory(diag, NULL);
}

static lvt_status train(work *w, const char *program, const char *folder, bool resume, lvt_diag *diag) {
    bool changed = !resume; /* settings.json is to be written */
    lvt_status status = LVT_OK;
    if (resume) {
        lvt_settings given = w->settings;
        status = open_run(w, folder, true, diag);
        if (status == LVT_OK)
            status = lvt_run_read_settings(&w->run, &w->settings, &w->begun, &w->tree, diag);
        if (status == LVT_OK)
            status = merge(&given, w->given, &w->settings, &changed, diag);
        if (status == LVT_OK && !w->settings.data)
            status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                               "%s/settings.json does not say where the images come from", folder);
    } else if (!w->settings.data) {
        status = lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "--data is missing");
        lvt_note(diag, LVT_NOWHERE, "the kinds are\n%s", lvt_dataset_help());
    } else {
        status = open_run(w, folder, false, diag);
    }
    if (status == LVT_OK)
        status = prepare(w, program, resume, diag);
    if (status != LVT_OK)
        return status;
    lvt_trainer *t = &w->trainer;
    const lvt_program *p = w->model.program;
    if (resume && w->begun.hash != lvt_program_hash(p))
        return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                         "%s was started with another program than %s; resuming needs the very same", folder,
                         program);
    w->settings.method = t->method->name; /* what it was compiled with, when it was not said */
    const lvt_run_facts facts = {lvt_program_name(p), lvt_program_hash(p), w->data->fingerprint,
                                 w->data->domains > 0, lvt_session_threads(w->model.session)};
    if ((changed || facts.team != w->begun.team) && !t->follower)
        status = lvt_run_write_settings(&w->run, &w->settings, &facts, diag);
    if (status == LVT_OK && !t->follower)
        status = open_metrics(t, diag);
    if (status == LVT_OK && !t->follower)
        status = lvt_board_open(&w->board, &w->run.folder, diag);
    t->events.record = keep_record;
    t->events.record_user = &w->board;
    if (status != LVT_OK)
        return status;

    lvt_console *c = &w->console;
    if (!c->quiet)
        lvt_print("%s: %zu training, %zu validation and %zu test images, %d classes in %d tasks; method %s, "
                  "memory %d%s%s\n",
                  w->data->name, w->data->train.n - t->n_held, t->n_held, t->n_tested, w->data->classes,
                  t->tasks.n, t->method->name, w->settings.memory, *t->trial ? "; " : "", t->trial);
    if (!c->quiet && resume)
        lvt_print("resuming %s\n", t->at.task == t->tasks.n
                                       ? "a finished run: only the reports are written again"
                                   : t->at.global_step ? "from the last checkpoint"
                                                       : "from the beginning: there is no checkpoint yet");
    double began = lvt_seconds();
    lvt_cmd_say(diag); /* a warning is of use before hours of training */
    lvt_console_open(c);
    status = lvt_trainer_run(t, diag);
    lvt_console_close(c);
    if (t->follower)
        return status;
    if (status == LVT_OK || status == LVT_INTERRUPT) {
        /* In the middle of a task's end what is measured belongs to no task yet: after_task has written. */
        lvt_status written = t->at.task > 0 && !t->ending && lvt_trainer_measures(t, t->at.task)
                                 ? write_reports(t, diag)
                                 : LVT_OK,
                   events = lvt_board_close(&w->board, diag);
        status = status != LVT_OK ? status : written != LVT_OK ? written : events;
    }
    if (status == LVT_INTERRUPT) {
        lvt_print(
            "stopped in task %d, step %llu; what was done is saved. Go on with\n  lvt-run train %s --out "
            "%s --resume\n",
            t->at.task + 1, (unsigned long long)t->at.step, program, folder);
        return status;
    }
    if (status != LVT_OK)
        return status;
    const size_t n = (size_t)t->tasks.n; /* of each task after it was learned: row j + 1, column j */
    if (lvt_at_chance(&t->tasks, lvt_trainer_tested(t), t->tasks.n, 0, t->accuracy[LVT_CLASS_IL] + n,
                      t->accuracy[LVT_TASK_IL] + n, n + 1))
        lvt_cmd_chance(diag);
    lvt_accuracies a = lvt_accuracies_of(t);
    char *text = lvt_report_text(&a), time[32];
    lvt_print("\n%s\ndone in %s, with at most %.0f MiB of memory", text ? text : "",
              lvt_time_text(lvt_seconds() - began, time), lvt_peak_memory() / (1 << 20));
    if (t->energy.n)
        lvt_print(" and %.0f J (of the whole processor)", t->energy.joules);
    lvt_print("; results are in %s\n", folder);
    free(text);
    return LVT_OK;
}

lvt_status lvt_cmd_train(int argc, char **argv, lvt_diag *diag) {
    work w = {.run = LVT_RUN_NONE, .console = {.signals = -1}};
    const char *folder = NULL;
    bool resume = false;
    lvt_settings_defaults(&w.settings);
    lvt_option rows[MAX_ROWS] = {
        {"out", 'o', LVT_OPTION_TEXT, "DIR",
         "folder of the run: settings.json, metrics.jsonl, accuracy.csv,\nconfusion.csv, accuracy.svg, "
         "memory.png, report.html, tensorboard/ and checkpoints (needed)",
         &folder, 0, 0, NULL},
        {"resume", 'r', LVT_OPTION_FLAG, NULL,
         "go on with the run in --out DIR, bit for bit; all settings come\nfrom there", &resume, 0, 0, NULL},
        {"quiet", 'q', LVT_OPTION_FLAG, NULL, "no progress, only the result", &w.console.quiet, 0, 0, NULL},
        {"plain", 0, LVT_OPTION_FLAG, NULL, "lines instead of a view that is redrawn, on a terminal too",
         &w.console.plain, 0, 0, NULL},
    };
    enum { OWN_ROWS = 4 }; /* those above; the settings follow */
    lvt_option_list coef;
    int n = OWN_ROWS + lvt_cmd_settings(&w.settings, &coef, rows + OWN_ROWS);
    char *about = NULL;
    if (asprintf(&about,
                 "Trains a model on the classes of a data set, task after task, and measures after each task "
                 "what it\n"
                 "still knows. The kinds of data are:\n%s\n"
                 "Ctrl-C saves a checkpoint and stops; --resume goes on. Examples:\n"
                 "  lvt-run train lvt-tiny.lvtx --data digits --tasks 5 --memory 200 --epochs 10 --out run/\n"
                 "  lvt-run train lvt-s.lvtx --data cifar100:DIR --tasks 10 --memory 500 --out run/\n"
                 "  lvt-run train lvt-s.lvtx --out run/ --resume",
                 lvt_dataset_help()) < 0)
        return lvt_no_memory(diag, NULL);
    lvt_usage usage = {
        "lvt-run train PROGRAM.lvtx --data KIND[:DIR] --out DIR [options]", about, rows, n, 1, 1};
    lvt_arguments arguments;
    lvt_status status = lvt_arguments_parse(&usage, argc, argv, &arguments, diag);
    free(about);
    w.settings.coef.n = coef.n;
    w.given = arguments.given + OWN_ROWS;
    for (int i = 0; i < n; i++)
        w.tasks_given =
            w.tasks_given || (rows[i].name && !strcmp(rows[i].name, "tasks") && arguments.given[i]);
    if (status != LVT_OK || arguments.done)
        return status;
    if (!folder)
        return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "--out is missing: the folder of the run");
    status = lvt_settings_check_texts(&w.settings, diag);
    if (status != LVT_OK)
        return status;

    /* Blocked before any thread is made, so that every thread inherits it and the descriptor gets the
     * signals. */
    sigset_t set, before;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    signal(SIGPIPE, SIG_IGN); /* nobody reads any more: the run goes on, its end says so */
    pthread_sigmask(SIG_BLOCK, &set, &before);
    w.console.signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);

    status = lvt_ranks_open(&w.ranks, diag);
    if (status == LVT_OK)
        status = train(&w, arguments.values[0], folder, resume, diag);
    if (status == LVT_OK || status == LVT_INTERRUPT)
        lvt_ranks_close(&w.ranks);

    lvt_board_close(&w.board, NULL);
    lvt_trainer_free(&w.trainer);
    lvt_model_close(&w.model);
    lvt_dataset_free(w.data);
    cJSON_Delete(w.tree);
    lvt_run_close(&w.run);
    if (w.console.signals >= 0)
        close(w.console.signals);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}
