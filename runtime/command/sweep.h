/* A sweep at work: what sweep.c, programs.c and queue.c share.
 *
 * Invariant: status[i] is run i's; children are the runs in state RUNNING. May not know: files' formats. */
#ifndef LVT_COMMAND_SWEEP_H
#define LVT_COMMAND_SWEEP_H

#include "ir/program/program.h"
#include "runtime/command/view/view.h"
#include "runtime/sweep/sweep.h"

#include <signal.h>
#include <sys/types.h>

typedef struct lvt_sweep_child {
    pid_t pid;
    int run;
    double began, before; /* seconds: the clock when it began; of earlier attempts */
} lvt_sweep_child;

typedef struct lvt_sweep_compiled { /* a program */
    char *path, *made;      /* made: where it was compiled to, to be moved to its path; NULL: it lies there */
    lvt_compiled *compiled; /* until it is in its place */
    uint64_t hash;
    int channels; /* of the images that it takes */
} lvt_sweep_compiled;

typedef struct lvt_sweep_seen { /* data that were opened; texts are the experiment's */
    const char *data, *size;
    int channels;
    uint64_t fingerprint;
} lvt_sweep_seen;

typedef struct lvt_sweeping {
    lvt_sweep sweep;
    const char *out, *self; /* folder of the sweep, path of lvt-run */
    int jobs, threads, threads_each, emit, format;
    int only; /* the one run to do; -1: all */
    bool dry_run, cost, prepare, quiet, plain, stopping;
    bool more; /* something is left to train */
    int lock;
    lvt_sweep_status *status;
    lvt_sweep_child *children; /* at most `jobs` */
    int n_children;
    lvt_sweep_compiled *programs;
    lvt_sweep_seen *seen;
    int n_programs, n_seen;
    double shown;
    lvt_view view;
} lvt_sweeping;

/* Compiles the programs of all rows, beside their places. Errors: LVT_USER (lvtc has told why, or there is no
 * such program), LVT_IO, LVT_NOMEM. */
lvt_status lvt_sweeping_compile(lvt_sweeping *w, lvt_diag *diag);
/* Compiles one into its place, a program that the experiment names needs only be there. Errors: as above. */
lvt_status lvt_sweeping_compile_one(const lvt_sweeping *w, const lvt_texts *program, uint32_t line,
                                    lvt_diag *diag);
/* Prints what each row will cost: a step of its program is measured now. Errors: LVT_USER, LVT_IO, LVT_NOMEM. */
lvt_status lvt_sweeping_cost(lvt_sweeping *w, lvt_diag *diag);
/* Moves them to their places, or removes them when `status` is not LVT_OK. Returns `status`, or LVT_IO. */
lvt_status lvt_sweeping_place(lvt_sweeping *w, lvt_status status, lvt_diag *diag);
void lvt_sweeping_free_programs(lvt_sweeping *w);
/* When run i was begun: with the options, the program and the data that it would be started with now?
 * LVT_USER: no. Also what reading settings, state and data may give. */
lvt_status lvt_sweeping_check(lvt_sweeping *w, int i, lvt_diag *diag);
/* Lets a row choose, when its search is over. A row that cannot fails, with a message, and the others go on.
 * Errors: LVT_NOMEM. */
lvt_status lvt_sweeping_choose(lvt_sweeping *w, int row, lvt_diag *diag);
/* Arguments of `lvt-run train` for a run; of one that was begun, to go on. False: out of memory. */
bool lvt_sweeping_arguments(const lvt_sweeping *w, int i, const lvt_sweep_begun *begun, lvt_texts *out);
/* Starts run i, or goes on with it. *busy: another process still has its folder; try again later. */
lvt_status lvt_sweeping_start(lvt_sweeping *w, int i, bool *busy, lvt_diag *diag);
/* Works until nothing is left to do. LVT_INTERRUPT: asked to stop, all children have saved what they did.
 * LVT_USER: some runs failed; the others are done. */
lvt_status lvt_sweeping_run(lvt_sweeping *w, lvt_diag *diag);

#endif
