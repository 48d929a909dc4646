/* Accuracy, forgetting and transfer, from the matrix alone. May not know: how accuracies were measured. */
#include "continual/metrics.h"

#include <math.h>
#include <string.h>

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

/* Chaudhry, Dokania, Ajanthan, Torr, "Riemannian walk for incremental learning", ECCV 2018. */
static double forgetting(const double *a, int n, int learned) {
    double sum = 0;
    for (int j = 0; j < learned - 1; j++) {
        double best = -INFINITY;
        for (int l = j + 1; l < learned; l++)
            best = a[l * n + j] > best ? a[l * n + j] : best;
        sum += best - a[learned * n + j];
    }
    return learned > 1 ? sum / (learned - 1) : NAN;
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
};

double lvt_metric_value(const char *name, const double *a, int n, int learned) {
    for (int i = 0; i < LVT_N_METRICS; i++) {
        if (!strcmp(lvt_metrics[i].name, name))
            return lvt_metrics[i].value(a, n, learned);
    }
    return NAN;
}
