/* A sweep at work: what cmd_sweep.c and cmd_queue.c share.
 *
 * Invariant: status[i] is run i's; children are the runs in state RUNNING. May not know: files' formats. */
#ifndef LVT_RUNTIME_CMD_SWEEP_H
#define LVT_RUNTIME_CMD_SWEEP_H

#include "cmd_view.h"
#include "continual/sweep.h"

#include <signal.h>
#include <sys/types.h>

typedef struct lvt_sweep_child {
    pid_t pid;
    int run;
    double began, before; /* seconds: the clock when it began; of earlier attempts */
} lvt_sweep_child;

typedef struct lvt_sweeping {
    lvt_sweep sweep;
    const char *out, *self; /* folder of the sweep, path of lvt-run */
    int jobs, threads, threads_each, emit;
    int only; /* the one run to do; -1: all */
    bool dry_run, prepare, quiet, plain, stopping;
    int lock;
    lvt_sweep_status *status;
    lvt_sweep_child *children; /* at most `jobs` */
    int n_children;
    double shown;
    lvt_view view;
} lvt_sweeping;

/* Starts run i, or goes on with it. *busy: another process still has its folder; try again later. */
lvt_status lvt_sweeping_start(lvt_sweeping *w, int i, bool *busy, lvt_diag *diag);
/* Works until nothing is left to do. LVT_INTERRUPT: asked to stop, all children have saved what they did.
 * LVT_USER: some runs failed; the others are done. */
lvt_status lvt_sweeping_run(lvt_sweeping *w, lvt_diag *diag);

#endif
