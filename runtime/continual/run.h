/* The folder of a run: who may write into it, and its settings.json.
 *
 * Invariants: one process at a time holds the folder (a lock on FOLDER/lock, gone with the process); a run is
 * never overwritten by another. May not know: training. */
#ifndef LVT_CONTINUAL_RUN_H
#define LVT_CONTINUAL_RUN_H

#include "settings.h"

typedef struct lvt_run {
    char *folder;
    int lock; /* -1: not held */
    bool
        created; /* the folder is new and holds nothing yet: it goes away again when the run does not begin */
} lvt_run;

/* Makes the folder (one level) unless `resume`, and locks it. Errors: LVT_USER (a run is there already, or
 * none is there to resume; another process has it), LVT_IO. Freed by lvt_run_close (also after an error). */
lvt_status lvt_run_open(lvt_run *r, const char *folder, bool resume, lvt_diag *diag);
void lvt_run_close(lvt_run *r);
/* settings.json: the settings, the program's name and hash, the fingerprint of the data, whether its tasks
 * are domains. */
lvt_status lvt_run_write_settings(lvt_run *r, const lvt_settings *s, const char *program, uint64_t hash,
                                  uint64_t data, bool domains, lvt_diag *diag);
/* *tree owns the texts of the settings: cJSON_Delete it after the last use. NULL on error. */
lvt_status lvt_run_read_settings(const lvt_run *r, lvt_settings *s, uint64_t *hash, cJSON **tree,
                                 lvt_diag *diag);

#endif
