/* The folder of a run: who may write into it, and its settings.json.
 *
 * Invariants: one process at a time holds the folder (a lock on FOLDER/lock, gone with the process); a run is
 * never overwritten by another. May not know: training. */
#ifndef LVT_CONTINUAL_RUN_H
#define LVT_CONTINUAL_RUN_H

#include "ir/base/file.h"
#include "settings.h"

typedef struct lvt_run {
    lvt_folder folder; /* held open: another that takes its name is not written into */
    int lock;          /* -1: not held */
    bool
        created; /* the folder is new and holds nothing yet: it goes away again when the run does not begin */
} lvt_run;

/* Makes the folder (one level) unless `resume`, locks it, and removes what writers that were killed left in
 * it. Errors: LVT_USER (a run is there already, or
 * none is there to resume; another process has it), LVT_IO. Freed by lvt_run_close (also after an error). */
#define LVT_RUN_NONE ((lvt_run){{-1, NULL}, -1, false})
lvt_status lvt_run_open(lvt_run *r, const char *folder, bool resume, lvt_diag *diag);
void lvt_run_close(lvt_run *r);
/* What a run is of, beside its settings. */
typedef struct lvt_run_facts {
    const char *program; /* its name */
    uint64_t hash, data; /* of the program; the fingerprint of the data */
    bool domains;        /* the data's tasks are */
    int team;            /* threads that --threads came to; 0: not known */
} lvt_run_facts;
/* settings.json: the settings and the facts. */
lvt_status lvt_run_write_settings(lvt_run *r, const lvt_settings *s, const lvt_run_facts *facts,
                                  lvt_diag *diag);
/* Of the facts hash and team. *tree owns the texts of the settings: cJSON_Delete it after the last use. NULL
 * on error. */
lvt_status lvt_run_read_settings(const lvt_run *r, lvt_settings *s, lvt_run_facts *facts, cJSON **tree,
                                 lvt_diag *diag);

#endif
