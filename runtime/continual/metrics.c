/* Accuracy, forgetting and transfer, from the matrix alone. May not know: how accuracies were measured. */
#include "metrics.h"

#include <math.h>
#include <string.h>

const char *const lvt_matrix_names[LVT_N_MATRICES] = {"class_il", "task_il", "validation_class_il",
                                                      "validation_task_il"};

static double average(const double *a, int n, int learned) {
    double sum = 0;
    for (int j = 0; j < learned; j++)
        sum += a[learned * n + j];
    return sum / learned;
}

static double incremental(const double *a, int n, int learned) {
    double sum = 0;
    for (int k = 1; k <= learned; k++)
        sum += average(a, n, k);
    return sum / learned;
}

/* Mean over the tasks before the last of what each lost: its best accuracy in the rows from its own to
 * `until` (0: its own alone), minus its last; relative: as a part of that best. */
static double lost(const double *a, int n, int learned, int until, bool relative) {
    double sum = 0;
    for (int j = 0; j < learned - 1; j++) {
        double best = -INFINITY, now = a[learned * n + j];
        for (int l = j + 1; l <= (until ? until : j + 1); l++)
            best = a[l * n + j] > best ? a[l * n + j] : best;
        double gone = best > -INFINITY ? best - now : NAN; /* a trial may not have measured it before */
        sum += !relative ? gone : best > 0 ? gone / best : 0;
    }
    return learned > 1 ? sum / (learned - 1) : NAN;
}

/* Chaudhry, Dokania, Ajanthan, Torr, "Riemannian walk for incremental learning", ECCV 2018. */
static double forgetting(const double *a, int n, int learned) {
    return lost(a, n, learned, learned - 1, false);
}

/* The last row counts too, so it is never below 0: what many scripts compute from a whole matrix. */
static double forgetting_all(const double *a, int n, int learned) {
    return lost(a, n, learned, learned, false);
}

/* Since a task was learned: backward transfer with the other sign. */
static double forgetting_learned(const double *a, int n, int learned) {
    return lost(a, n, learned, 0, false);
}

/* The same maximum as `forgetting`, as a part of it; a task that never was answered right forgets nothing. */
static double forgetting_relative(const double *a, int n, int learned) {
    return lost(a, n, learned, learned - 1, true);
}

/* As forgetting_all, over all tasks, the last one with its 0. */
static double forgetting_mean(const double *a, int n, int learned) {
    return forgetting_all(a, n, learned) * (learned - 1) / learned;
}

/* Backward and forward transfer: Lopez-Paz, Ranzato, "Gradient episodic memory", NIPS 2017. */
static double backward(const double *a, int n, int learned) {
    double sum = 0;
    for (int j = 0; j < learned - 1; j++)
        sum += a[learned * n + j] - a[(j + 1) * n + j];
    return learned > 1 ? sum / (learned - 1) : NAN;
}

static double forward(const double *a, int n, int learned) {
    double sum = 0;
    for (int j = 1; j < learned; j++)
        sum += a[j * n + j] - a[j];
    return learned > 1 ? sum / (learned - 1) : NAN;
}

const lvt_metric lvt_metrics[LVT_N_METRICS] = {
    {"acc", "average accuracy", "mean over j of a[T][j]", average},
    {"aia", "average incremental accuracy", "mean over k of mean over j<=k of a[k][j]", incremental},
    {"forgetting", "forgetting", "1/(T-1) sum over j<T of (max over j<=l<T of a[l][j]) - a[T][j]",
     forgetting},
    {"bwt", "backward transfer", "1/(T-1) sum over j<T of a[T][j] - a[j][j]", backward},
    {"fwt", "forward transfer", "1/(T-1) sum over j>1 of a[j-1][j] - a[0][j]", forward},
    {"forgetting_all", "forgetting, last row too",
     "1/(T-1) sum over j<T of (max over j<=l<=T of a[l][j]) - a[T][j]", forgetting_all},
    {"forgetting_learned", "forgetting since learned", "1/(T-1) sum over j<T of a[j][j] - a[T][j]",
     forgetting_learned},
    {"forgetting_relative", "relative forgetting",
     "1/(T-1) sum over j<T of 1 - a[T][j] / max over j<=l<T of a[l][j]", forgetting_relative},
    {"forgetting_mean", "forgetting over all tasks",
     "1/T sum over j<=T of (max over j<=l<=T of a[l][j]) - a[T][j]", forgetting_mean},
};

const char *lvt_forgetting_name(int choice) {
    static const char *const names[] = {"forgetting", "forgetting_all", "forgetting_learned",
                                        "forgetting_relative", "forgetting_mean"};
    return names[choice];
}

const lvt_metric *lvt_metric_of(const char *name) {
    for (int i = 0; i < LVT_N_METRICS; i++) {
        if (!strcmp(lvt_metrics[i].name, name))
            return &lvt_metrics[i];
    }
    return NULL;
}

bool lvt_metric_is_forgetting(const char *name) {
    return !strncmp(name, "forgetting", 10);
}

bool lvt_metric_shown(int i, int forgetting) {
    const char *name = lvt_metrics[i].name;
    return !lvt_metric_is_forgetting(name) || !strcmp(name, lvt_forgetting_name(forgetting));
}

double lvt_metric_value(const char *name, const double *a, int n, int learned) {
    const lvt_metric *m = lvt_metric_of(name);
    return m ? m->value(a, n, learned) : NAN;
}
