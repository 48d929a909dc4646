/* What is said about a matrix of accuracies.
 *
 * A matrix has n + 1 rows of n: a[k * n + j] is the accuracy (0..1) on task j (from 0) after learning k
 * tasks; row 0 is the untrained network. NaN: not measured. May not know: how accuracies were measured. */
#ifndef LVT_CONTINUAL_METRICS_H
#define LVT_CONTINUAL_METRICS_H

#include <stdbool.h>

/* Matrices of one run: the answer may be any class seen so far (for domains: any class), or any of the
 * image's own task; on test images, and the same on validation images. Their names in files and records. */
enum { LVT_CLASS_IL, LVT_TASK_IL, LVT_VALIDATION_CLASS_IL, LVT_VALIDATION_TASK_IL, LVT_N_MATRICES };
extern const char *const lvt_matrix_names[LVT_N_MATRICES];

typedef struct lvt_metric {
    const char *name, *title;
    const char *formula; /* tasks counted from 1; printed beside the number */
    double (*value)(const double *a, int n,
                    int learned); /* after `learned` >= 1 tasks; NaN when it does not exist */
} lvt_metric;

enum { LVT_N_METRICS = 9 };
extern const lvt_metric lvt_metrics[LVT_N_METRICS];
/* The metric's value, by its name in lvt_metrics. */
double lvt_metric_value(const char *name, const double *a, int n, int learned);
/* The row of that name; NULL: there is none. */
const lvt_metric *lvt_metric_of(const char *name);
/* Tools define forgetting in several ways, which all are measured; people are shown one of them, by the
 * setting --forgetting (its choices are lvt_forgettings): the metric's name; whether row i of lvt_metrics is
 * not another forgetting. */
const char *lvt_forgetting_name(int choice);
bool lvt_metric_is_forgetting(const char *name);
bool lvt_metric_shown(int i, int forgetting);

#endif
