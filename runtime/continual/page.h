/* report.html: everything about a run on one page that needs nothing else.
 *
 * Invariants: inline SVG and data: URIs only, no script and no request; values that come from files or
 * command lines are escaped. May not know: terminals, how training works. */
#ifndef LVT_CONTINUAL_PAGE_H
#define LVT_CONTINUAL_PAGE_H

#include "continual/trainer.h"

/* Written atomically from the trainer's matrices and memory and the folder's metrics.jsonl; at least one task
 * has been learned. */
lvt_status lvt_page_write(const lvt_trainer *t, const char *title, const char *path, lvt_diag *diag);
/* page_figures.c: the drawings of the page that no other output has. */
void lvt_page_losses(FILE *f, const cJSON *records); /* one panel a loss, over steps */
void lvt_page_confusion(FILE *f, const lvt_tasks *tasks, int learned, const int32_t *confusion,
                        char *const *names);
void lvt_page_calibration(FILE *f, const double *bins);
/* Remembered images by class, the first few of each, with the injection classifier's probability where that
 * is the score. */
lvt_status lvt_page_memory(FILE *f, const lvt_trainer *t, lvt_diag *diag);
void lvt_page_escaped(FILE *f, const char *text);

#endif
