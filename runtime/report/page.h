/* report.html: everything about a run on one page that needs nothing else.
 *
 * Invariants: inline SVG and data: URIs only, no script and no request; values that come from files or
 * command lines are escaped; colours are the classes and variables of the style in page.c, which has them for
 * light and dark screens and for paper. May not know: terminals, how training works. */
#ifndef LVT_REPORT_PAGE_H
#define LVT_REPORT_PAGE_H

#include "report.h"
#include "runtime/continual/trainer.h"
#include "runtime/data/image.h"

/* Written atomically, as `file` in the folder of the run, from the trainer's matrices and memory, the folder's metrics.jsonl and, where the
 * program has an entry inspect, what the network attends to in some test images; at least one task has been
 * learned. */
lvt_status lvt_page_write(const lvt_trainer *t, const char *title, const char *file, lvt_diag *diag);

/* What a report tells of a run. */
static inline lvt_accuracies lvt_accuracies_of(const lvt_trainer *t) {
    return (lvt_accuracies){.tasks = &t->tasks,
                            .in = t->accuracy,
                            .learned = t->at.task,
                            .bins = t->last.bins,
                            .forgetting = t->settings->forgetting,
                            .data = t->data,
                            .trial = t->trial};
}

/* page_panel.c: a small chart of lines. */
typedef struct lvt_series {
    const char *name, *style; /* NULL name: not in the legend; style: class of its line */
    int n;
    const double *x, *y; /* NaN: a gap */
} lvt_series;
typedef struct lvt_panel {
    const char *title;
    int width, height;
    double x0, x1, y0, y1; /* what the axes span; y0 is 0 or a multiple of -y1 / 4 */
    bool percent;          /* y is a part of 1 */
    int ticks;             /* x counts 1..ticks; 0: `right` stands at the end instead */
    const char *right;
    const double *marks; /* dashed lines across, at x */
    int n_marks;
} lvt_panel;
void lvt_page_panel(FILE *f, const lvt_panel *p, const lvt_series *s, int n);

/* page_course.c: over tasks and steps. */
void lvt_page_accuracy(FILE *f, const lvt_accuracies *a);
void lvt_page_losses(FILE *f, const cJSON *records);           /* one panel a loss */
void lvt_page_drift(FILE *f, const cJSON *records, int tasks); /* nothing when no record tells of it */

/* "stage1.0.attention.key" becomes "stage1.0": states of attention have the same last words. */
void lvt_page_block_name(const char *state, char *name, size_t size);

/* page_figures.c: what was measured last. */
void lvt_page_confusion(FILE *f, const lvt_tasks *tasks, int learned, const int32_t *confusion,
                        char *const *names);
void lvt_page_calibration(FILE *f, const double *bins);

/* page_images.c: pictures. */
/* Remembered images by class, the first of each, with the probability of their class where that is the score.
 */
lvt_status lvt_page_memory(FILE *f, const lvt_trainer *t, lvt_diag *diag);
/* Maps of some test images by block and head; nothing when the program has no entry inspect. */
lvt_status lvt_page_attention(FILE *f, const lvt_trainer *t, lvt_diag *diag);

#endif
