/* Experiments: a file of settings, what runs follow from it, and where each of them stands on the disk.
 *
 * Invariants: the list of runs follows from the file alone, in the same order each time; a run is found again
 * by its name, and its state file says with which arguments it was started. May not know: how training works,
 * terminals, processes. */
#ifndef LVT_SWEEP_SWEEP_H
#define LVT_SWEEP_SWEEP_H

#include "runtime/continual/metrics.h"
#include "ir/base/diag.h"
#include "ir/base/texts.h"

#include <stdio.h>

typedef enum lvt_sweep_use {
    LVT_SWEEP_FIXED, /* key = value */
    LVT_SWEEP_FOR,   /* for key = values: a row of the table each */
    LVT_SWEEP_TRY    /* try key = values: the search chooses one for each row */
} lvt_sweep_use;

typedef struct lvt_sweep_setting {
    const char *key, *name; /* option of `train`, NULL; or "coef" or "set" and the name after it */
    lvt_texts values;
    lvt_sweep_use use;
    bool search, flag; /* search: for runs of the search only */
    int section;       /* -1: above the first section */
    uint32_t line, col;
} lvt_sweep_setting;

enum { LVT_SWEEP_MAX_SETTINGS = 64, LVT_SWEEP_MAX_RUNS = 100000 };
/* A row of the table: one experiment. */
typedef struct lvt_sweep_row {
    const char *name;
    const lvt_sweep_setting *settings[LVT_SWEEP_MAX_SETTINGS];
    int value[LVT_SWEEP_MAX_SETTINGS]; /* of `for` settings: which */
    int n;
    int candidates;       /* combinations of what is tried; 1: nothing is searched */
    int chosen;           /* of the candidates; -1: not known yet */
    int scenario, metric; /* what the search looks at: 0 Class-IL, 1 Task-IL, of the validation images */
    uint32_t line;
} lvt_sweep_row;

typedef struct lvt_sweep_run {
    int row, candidate; /* candidate -1: the one that the row has chosen */
    bool search;
    uint64_t seed;
    const char *name; /* unique, fit for a file's name */
} lvt_sweep_run;

typedef struct lvt_sweep {
    const char *file;
    char *folder; /* of the file, for models that it names */
    const char *data;
    lvt_sweep_setting *settings;
    int n_settings;
    lvt_texts sections, texts;
    uint32_t *section_lines;
    lvt_sweep_row *rows;
    int n_rows;
    lvt_sweep_run *runs; /* first all of the search, then the others */
    int n_runs, n_search;
} lvt_sweep;

/* Is this an option of `train` (and a flag), and can it have this value? NULL value: only the first. Errors
 * go into diag without a place. */
typedef struct lvt_sweep_checker {
    lvt_status (*option)(void *user, const char *key, const char *value, bool *flag, lvt_diag *diag);
    void *user;
} lvt_sweep_checker;

/* Reads an experiment file (models/README.md describes the format). data: instead of what the file says; may
 * be NULL. Errors: LVT_USER with the place in the file, LVT_IO, LVT_NOMEM. `path` must outlive it. Freed by
 * lvt_sweep_free (also after an error). */
lvt_status lvt_sweep_read(lvt_sweep *s, const char *path, const char *data, const lvt_sweep_checker *checker,
                          lvt_diag *diag);
void lvt_sweep_free(lvt_sweep *s);
/* The keys that are no options of `train`: model, seeds, ... */
enum { LVT_SWEEP_OWN_KEYS = 4 };
extern const char *const lvt_sweep_own_keys[LVT_SWEEP_OWN_KEYS];
bool lvt_sweep_own_key(const char *key);
/* A name for files: what a shell or a file system might take amiss becomes '_'; long names end in a hash. */
void lvt_sweep_tidy(char *name);
/* The value of a setting in a row for a candidate; NULL: it does not count in this kind of run. */
const char *lvt_sweep_value(const lvt_sweep_row *r, int candidate, int setting, bool search);
/* "lr 0.1, beta 0.5": what a candidate tries, malloc'ed. NULL when out of memory. */
char *lvt_sweep_candidate(const lvt_sweep_row *r, int candidate);
/* The value that counts for an option or own key (that has no name after it) in a row for a candidate. NULL:
 * not given. */
const char *lvt_sweep_text(const lvt_sweep_row *r, int candidate, const char *key, bool search);
/* The program of a row's candidate, in the search or in the final runs: DIR/programs/....lvtx is added to
 * `out` as [1], or the .lvtx file that the experiment names; when it is to be compiled, arguments of lvtc
 * follow as [2].. : MODEL --set NAME=VALUE ... [0] is the model. false: out of memory. */
bool lvt_sweep_program(const lvt_sweep *s, const char *out_folder, int row, int candidate, bool search,
                       lvt_texts *out);
/* Adds the options of `lvt-run train` for a run: everything but --data, --out and --threads. */
bool lvt_sweep_options(const lvt_sweep *s, const lvt_sweep_run *run, lvt_texts *out);

/* ---- state on the disk --------------------------------------------------------------------------------- */

typedef enum lvt_sweep_state {
    LVT_SWEEP_WAITING, /* or to be gone on with */
    LVT_SWEEP_RUNNING, /* by the caller's own knowledge: files say WAITING */
    LVT_SWEEP_DONE,
    LVT_SWEEP_FAILED
} lvt_sweep_state;

typedef struct lvt_sweep_status {
    lvt_sweep_state state;
    int code;       /* exit code of the last attempt */
    int attempts;   /* of this process that a signal ended */
    double seconds; /* of all attempts */
} lvt_sweep_status;

/* OUT/search/NAME or OUT/final/NAME, OUT/logs/NAME.log, OUT/state/NAME.json: malloc'ed, NULL when out of
 * memory. */
char *lvt_sweep_run_folder(const char *out, const lvt_sweep_run *run);
char *lvt_sweep_log(const char *out, const lvt_sweep_run *run);
/* Reads where a run stands; without a file it waits. Errors: LVT_USER (not the state of a run), LVT_IO,
 * LVT_NOMEM. */
lvt_status lvt_sweep_load(const char *out, const lvt_sweep_run *run, lvt_sweep_status *status,
                          lvt_diag *diag);
lvt_status lvt_sweep_save(const lvt_sweep *s, const char *out, const lvt_sweep_run *run,
                          const lvt_sweep_status *status, lvt_diag *diag);
/* What a run was begun with, by settings.json in its folder. */
typedef struct lvt_sweep_begun {
    bool begun;             /* false: there is no such file, and nothing else is known */
    uint64_t program, data; /* the program's hash; the data's fingerprint, 0: not said */
    char *data_at;          /* KIND:DIR */
    int threads;
} lvt_sweep_begun;
/* Errors: LVT_USER (not the settings of a run), LVT_IO, LVT_NOMEM. Freed by lvt_sweep_begun_free (also after
 * an error). */
lvt_status lvt_sweep_begun_read(const char *out, const lvt_sweep_run *run, lvt_sweep_begun *b,
                                lvt_diag *diag);
void lvt_sweep_begun_free(lvt_sweep_begun *b);
/* Is a run that was begun the one that the file describes now? Options are compared, and the program with the
 * one of hash `program` (0: with none). Errors: LVT_USER at what has changed, LVT_IO, LVT_NOMEM. */
lvt_status lvt_sweep_check(const lvt_sweep *s, const char *out, const lvt_sweep_run *run,
                           const lvt_sweep_begun *b, uint64_t program, lvt_diag *diag);
/* The data of a run that was begun are not those of the fingerprint that data_at has now: LVT_USER, at
 * `data`. */
lvt_status lvt_sweep_check_data(const lvt_sweep *s, const char *out, const lvt_sweep_run *run,
                                const lvt_sweep_begun *b, const char *data_at, uint64_t fingerprint,
                                lvt_diag *diag);
/* Chooses a row's candidate from the finished runs of its search; status: of all runs. Leaves chosen at -1
 * while some run is neither done nor failed; LVT_USER: no candidate has come to an end in all its runs, or
 * what is selected was not measured in those that have. */
lvt_status lvt_sweep_choose(lvt_sweep *s, const char *out, int row, const lvt_sweep_status *status,
                            lvt_diag *diag);
/* Mean of what the search looks at over a candidate's runs, as a part of 1; NaN: not all are there. */
double lvt_sweep_score(const lvt_sweep *s, const char *out, int row, int candidate,
                       const lvt_sweep_status *status);
/* From the last record of a run: seconds so far and to come (NaN: unknown), task and number of tasks (0). */
typedef struct lvt_sweep_progress {
    double seconds, left;
    int task;
    double share; /* of the task's steps */
} lvt_sweep_progress;
lvt_sweep_progress lvt_sweep_look(const char *out, const lvt_sweep_run *run);
/* Writes a script for Slurm: submits itself as job arrays when run by hand. `program`: the path of lvt-run.
 */
void lvt_sweep_slurm(const lvt_sweep *s, const char *out, const char *program, int threads, int jobs,
                     FILE *f);

#endif
