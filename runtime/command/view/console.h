/* What a person sees of a run while it trains: a view that is redrawn in place on a terminal, lines
 * elsewhere.
 *
 * Invariants: it only looks at the trainer; with `quiet` nothing is printed; signals come from a descriptor,
 * between steps. May not know: how training works, files. */
#ifndef LVT_COMMAND_VIEW_CONSOLE_H
#define LVT_COMMAND_VIEW_CONSOLE_H

#include "view.h"
#include "runtime/continual/trainer.h"

enum { LVT_CONSOLE_HISTORY = 22 };

typedef struct lvt_console {
    const lvt_trainer *trainer; /* what it looks at */
    int signals;                /* a signalfd, -1: none */
    bool quiet, plain, stopped;
    double printed; /* when the last line was */
    lvt_view view;
    /* What the view shows; progress.task 0: no step yet. */
    lvt_progress progress;
    const char *phase; /* NULL: steps */
    double began, task_began, phase_began, drawn;
    bool changed;                   /* since it was drawn */
    uint64_t task_first;            /* step of the task that task_began belongs to */
    double steps_before, steps_all; /* of the tasks before this one, of all */
    double history[LVT_MAX_LOSSES][LVT_CONSOLE_HISTORY];
    int n_history[LVT_MAX_LOSSES];
} lvt_console;

/* After `quiet`, `plain` and the trainer are set, before the first event. */
void lvt_console_open(lvt_console *c);
/* The events that it takes; .evaluated is left to the caller, who then calls lvt_console_task. */
lvt_events lvt_console_events(lvt_console *c);
/* After a task: a line about it. */
void lvt_console_task(lvt_console *c);
/* Takes the view off the screen: before anything else is printed. */
void lvt_console_close(lvt_console *c);

#endif
