/* Runs the predict entry over many images, and measures accuracy with it.
 *
 * Invariants: images are as they are (no augmentation); the last batch is filled up with its first image and
 * the surplus is ignored, so no image is dropped. May not know: training, memory. */
#ifndef LVT_CONTINUAL_PREDICT_H
#define LVT_CONTINUAL_PREDICT_H

#include "model.h"
#include "tasks.h"
#include "runtime/data/augment.h"

/* Asked between batches; true stops with LVT_INTERRUPT. stop may be NULL. */
typedef struct lvt_stop {
    bool (*asked)(void *user);
    void *user;
} lvt_stop;

/* Logits of the i-th image asked for: accumulation and injection classifier, `classes` numbers each. */
typedef void (*lvt_prediction_fn)(void *user, uint32_t i, const float *logits, const float *injection);

/* index: n places in `images`. LVT_USER: an answer (logits, injection, features) has NaN or +inf, or nothing but
 * -inf; `each` was not told of it, nor of later images. */
lvt_status lvt_predict_images(lvt_model *m, const lvt_augment *a, const lvt_images *images,
                              const uint32_t *index, uint32_t n, const lvt_stop *stop, lvt_prediction_fn each,
                              void *user, lvt_diag *diag);
/* The label with the largest logit among classes with allowed[c]; the smallest label wins a tie. What
 * is not finite never wins; -1: nothing did. */
int lvt_argmax(const float *logits, const bool *allowed, int classes);
/* What an evaluation adds up beside accuracies, over the images it sees, in Class-IL. */
enum { LVT_CALIBRATION_BINS = 15 };
typedef struct lvt_evaluation { /* NULL: not wanted */
    int32_t *confusion;         /* classes x classes: images of label (row) answered as (column) */
    double *bins; /* LVT_CALIBRATION_BINS x 3: images whose answer has a probability within (b, b + 1] / bins,
                     the sum of those probabilities, how many answers were right */
    double *scores; /* one an image (known.h), n_scores so far */
    size_t n_scores;
} lvt_evaluation;
/* Expected calibration error (Guo et al., ICML 2017): the mean over images of |right - probability| of their
 * bin, from 0 to 1; NaN without images. */
double lvt_calibration_error(const double *bins);

/* Accuracy (0..1) on the images of task j in a part of the data when `learned` tasks have been learned.
 * class_il: among all classes learned so far and those of task j (which matter only before j is learned); of
 * the untrained network (learned 0) among those of the tasks up to j, as it is asked just before j is
 * learned: forward transfer compares these two. task_il: among those of task j. more: NULL, or gets what it
 * holds added. */
/* The same of tasks 0 .. n - 1 at once, in batches over all their images; class_il[j], task_il[j]; `more` adds up
 * those of learned tasks. A task without images in the part: NaN. */
lvt_status lvt_evaluate_tasks(lvt_model *m, const lvt_augment *a, lvt_part part, const lvt_tasks *tasks,
                              int n, int learned, const lvt_stop *stop, lvt_evaluation *more,
                              double *class_il, double *task_il, lvt_diag *diag);
lvt_status lvt_evaluate_task(lvt_model *m, const lvt_augment *a, lvt_part part, const lvt_tasks *tasks, int j,
                             int learned, const lvt_stop *stop, lvt_evaluation *more, double *class_il,
                             double *task_il, lvt_diag *diag);

/* Is the accuracy on each of the first `learned` tasks no better than guessing: within three deviations of what
 * a binomial of its images gives? Of task j it is task_il[j * stride], or, where a task has one class,
 * class_il[j * stride] among the classes of the first `seen` tasks (0: of those up to j). False where no task
 * can tell. */
bool lvt_at_chance(const lvt_tasks *tasks, lvt_part part, int learned, int seen, const double *class_il,
                   const double *task_il, size_t stride);

#endif
