/* Scores of pictures and the threshold of known ones. May not know: files. */
#include "known.h"

#include <stdlib.h>

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    if (isnan(x) || isnan(y))
        return isnan(y) - isnan(x);
    return (x > y) - (x < y);
}

lvt_known lvt_known_threshold(double *scores, size_t n, double accept) {
    if (n)
        qsort(scores, n, sizeof *scores, ascending);
    /* A part of 1 - accept that is exact in decimals must not become one image less by rounding. */
    size_t k = (size_t)floor((double)(n + 1) * (1 - accept) + 1e-9);
    k = k > n ? n : k;
    return (lvt_known){k && !isnan(scores[k - 1]) ? scores[k - 1] : -INFINITY, (double)n};
}

typedef struct measuring {
    double *scores;
    const bool *seen;
    int classes;
} measuring;

static void score_one(void *user, uint32_t i, const float *logits, const float *injection) {
    measuring *m = user;
    (void)injection;
    m->scores[i] = lvt_known_score(logits, m->seen, m->classes);
}

lvt_status lvt_known_measure(lvt_model *m, const lvt_augment *a, const lvt_images *images,
                             const uint32_t *index, uint32_t n, const bool *seen, double accept,
                             const lvt_stop *stop, lvt_known *out, lvt_diag *diag) {
    *out = (lvt_known){NAN, 0};
    measuring all = {malloc((n + 1) * sizeof(double)), seen, m->classes};
    if (!all.scores)
        return lvt_no_memory(diag, NULL);
    lvt_status status = lvt_predict_images(m, a, images, index, n, stop, score_one, &all, diag);
    if (status == LVT_OK)
        *out = lvt_known_threshold(all.scores, n, accept);
    free(all.scores);
    return status;
}
