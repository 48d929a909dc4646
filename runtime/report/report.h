/* What a run leaves for people: tables, accuracy.csv, accuracy.svg, memory.png.
 *
 * Invariant: everything is made from the matrices, the tasks and the memory; nothing is measured here. May
 * not know: training, terminals. */
#ifndef LVT_REPORT_REPORT_H
#define LVT_REPORT_REPORT_H

#include <stdio.h>

#include "ir/base/file.h"

#include "runtime/continual/memory.h"
#include "runtime/continual/metrics.h"
#include "runtime/continual/predict.h"

/* The accuracies of one run, see metrics.h for the matrices; rows 1..learned are filled. */
typedef struct lvt_accuracies {
    const lvt_tasks *tasks;
    double *const *in; /* LVT_N_MATRICES; NULL on validation images: there are none */
    int learned;
    const double *bins; /* of calibration, see predict.h */
    int forgetting;     /* which one is shown, see metrics.h */
    const lvt_dataset *data;
    const char *trial; /* "": no trial (lvt_settings_trial) */
} lvt_accuracies;

/* Both matrices in per cent and the metrics with their formulas, as text for a terminal. malloc'ed; NULL: out
 * of memory. */
char *lvt_report_text(const lvt_accuracies *a);
/* scenario,after_task,task,classes,accuracy,names; classes are the data set's labels with spaces between, names
 * what they are called with "; " between; task counts from 1. Of a trial a column `trial` follows. Validation
 * images have scenarios of their own, validation_class_il and validation_task_il. */
lvt_status lvt_report_csv(const lvt_accuracies *a, const lvt_folder *in, const char *path, lvt_diag *diag);
/* Test images of each label (rows, classes learned so far in their order) by answer (columns), with a head of
 * labels; the column after the rows' labels has their names. */
lvt_status lvt_report_confusion(const lvt_accuracies *a, const int32_t *confusion, const lvt_folder *in,
                                const char *path, lvt_diag *diag);
/* One matrix as a heat map for a page, which defines the classes h l t v w heat; scenario 1: Task-IL. */
void lvt_report_heat(const lvt_accuracies *a, int scenario, FILE *f);
/* accuracy.svg: heat maps of both matrices, and accuracy over tasks. `title` is put above. */
lvt_status lvt_report_svg(const lvt_accuracies *a, const char *title, const lvt_folder *in, const char *path,
                          lvt_diag *diag);
/* Contact sheet of the memory, one row a class (with domains, of each domain; rows wrap), where there are
 * quotas best first. Writes nothing when the memory is empty. */
lvt_status lvt_report_memory(const lvt_memory *m, const lvt_tasks *tasks, const lvt_dataset *d,
                             const lvt_folder *in, const char *path, lvt_diag *diag);

#endif
