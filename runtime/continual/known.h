/* "None of these": whether a picture is of a class that the network knows.
 *
 * The score of a picture is the probability of its answer among the classes learned (Hendrycks and Gimpel, "A
 * Baseline for Detecting Misclassified and Out-of-Distribution Examples", ICLR 2017): logits themselves are not
 * of one size where some classes were learned yesterday and others last year. Its threshold comes from pictures of known
 * classes, as split conformal prediction has it (Vovk, Gammerman, Shafer 2005; Papadopoulos et al. 2002): with n
 * scores, the floor((n + 1)(1 - accept))-th smallest. A new picture that is drawn as these were reaches it with a
 * probability of at least `accept`, whatever the network is worth.
 *
 * May not know: files, where the pictures come from. */
#ifndef LVT_CONTINUAL_KNOWN_H
#define LVT_CONTINUAL_KNOWN_H

#include "predict.h"

#include <math.h>

#define LVT_KNOWN_ACCEPT 0.95 /* of the pictures of known classes */
#define LVT_KNOWN_SCORE "probability of the answer"

typedef struct lvt_known {
    double
        threshold; /* a picture whose score is below it is none of the known; -INFINITY: too few pictures to say,
                         all are taken for known; NaN: it was not measured */
    double images; /* how many it comes from (a whole number) */
} lvt_known;

/* 0..1, higher is surer. logits: `classes` of them; seen[c]: the class was learned. NaN: no finite logit among these. */
static inline double lvt_known_score(const float *logits, const bool *seen, int classes) {
    int best = lvt_argmax(logits, seen, classes);
    double sum = 0;
    for (int c = 0; c < classes && best >= 0; c++)
        sum += seen[c] ? exp((double)logits[c] - logits[best]) : 0;
    return best < 0 ? NAN : 1 / sum;
}
/* The threshold of n scores, which it sorts. NaN counts as the lowest score. */
lvt_known lvt_known_threshold(double *scores, size_t n, double accept);
/* Asks the network about n pictures of known classes and makes the threshold of their scores. Errors: those of
 * lvt_predict_images. */
lvt_status lvt_known_measure(lvt_model *m, const lvt_augment *a, const lvt_images *images,
                             const uint32_t *index, uint32_t n, const bool *seen, double accept,
                             const lvt_stop *stop, lvt_known *out, lvt_diag *diag);

#endif
