/* Prediction over many images; Class-IL and Task-IL accuracy from the same logits. May not know: training. */
#include "predict.h"
#include "known.h"
#include "ir/finite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* NaN and +inf are no answers; -inf is what a class has that is left out, but not all of them. */
static lvt_status look_at(const lvt_model *m, const char *what, const float *x, int n, uint32_t image,
                          uint32_t images, lvt_diag *diag) {
    int finite = 0, bad = -1;
    for (int c = 0; c < n && bad < 0; c++) {
        finite += isfinite(x[c]) != 0;
        bad = isnan(x[c]) || x[c] == INFINITY ? c : -1;
    }
    if (bad < 0 && finite)
        return LVT_OK;
    return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                     "what %s answers to image %u of %u is no number: element %d of its %s is %s",
                     lvt_model_module(m)->name, image + 1, images, bad < 0 ? 0 : bad, what,
                     lvt_unsound_name(LVT_F32, x, bad < 0 ? 0 : bad));
}

lvt_status lvt_predict_images(lvt_model *m, const lvt_augment *a, const lvt_images *images,
                              const uint32_t *index, uint32_t n, const lvt_stop *stop, lvt_prediction_fn each,
                              void *user, lvt_diag *diag) {
    size_t pixels = (size_t)m->height * (size_t)m->width * (size_t)m->channels, classes = (size_t)m->classes;
    uint32_t batch = (uint32_t)m->predict_batch;
    float *x = malloc(batch * pixels * sizeof *x);
    uint8_t *scratch = malloc(pixels);
    if (!x || !scratch) {
        free(x);
        free(scratch);
        return lvt_no_memory(diag, NULL);
    }
    const lvt_bound_entry *e = &m->entries[LVT_ENTRY_PREDICT];
    lvt_status status = LVT_OK;
    for (uint32_t start = 0; start < n && status == LVT_OK; start += batch) {
        uint32_t here = n - start < batch ? n - start : batch;
        for (uint32_t i = 0; i < batch; i++)
            lvt_augment_image(a, lvt_image_at(images, pixels, index[start + (i < here ? i : 0)], scratch),
                              NULL, x + i * pixels);
        const void *tensors[LVT_N_INPUTS] = {[LVT_IN_X] = x};
        status = lvt_model_run(m, LVT_ENTRY_PREDICT, tensors, diag);
        if (status != LVT_OK)
            break;
        const float *logits = lvt_session_output(m->session, e->index, e->logits);
        const float *injection = lvt_session_output(m->session, e->index, e->injection);
        const float *features = lvt_model_features(m);
        for (uint32_t i = 0; i < here && status == LVT_OK; i++) {
            uint32_t image = start + i;
            status = look_at(m, "logits", logits + i * classes, m->classes, image, n, diag);
            if (status == LVT_OK && injection != logits)
                status = look_at(m, "injection", injection + i * classes, m->classes, image, n, diag);
            if (status == LVT_OK && features)
                status = look_at(m, "features", features + i * (size_t)m->n_features, m->n_features, image, n,
                                 diag);
            if (status == LVT_OK)
                each(user, image, logits + i * classes, injection + i * classes);
        }
        if (status != LVT_OK)
            break;
        if (stop && stop->asked && stop->asked(stop->user))
            status = LVT_INTERRUPT;
    }
    free(x);
    free(scratch);
    return status;
}

int lvt_argmax(const float *logits, const bool *allowed, int classes) {
    int best = -1;
    for (int c = 0; c < classes; c++) {
        if (allowed[c] && isfinite(logits[c]) && (best < 0 || logits[c] > logits[best]))
            best = c;
    }
    return best;
}

typedef struct tally { /* of one task */
    uint32_t images, right_class, right_task, unanswered;
} tally;

typedef struct count {
    const lvt_images *images;
    const lvt_tasks *tasks;
    const uint32_t *index;
    lvt_evaluation *more;
    bool *seen, *own; /* classes of the answer for an image of task `task` */
    int task, learned;
    tally *tallies; /* from the first task asked about on */
    int first;
} count;

/* Of other tasks than before: what their images may be answered with. */
static void ask_about(count *c, int task) {
    const lvt_tasks *tasks = c->tasks;
    c->task = task;
    for (int k = 0; k < tasks->classes; k++) {
        c->own[k] = tasks->domains || tasks->task_of[k] == task;
        c->seen[k] = c->own[k] || tasks->task_of[k] < (c->learned ? c->learned : task);
    }
}

static void count_one(void *user, uint32_t i, const float *logits, const float *injection) {
    count *c = user;
    (void)injection;
    int classes = c->tasks->classes, task = lvt_task_of_image(c->tasks, c->images, c->index[i]);
    if (task != c->task)
        ask_about(c, task);
    tally *here = &c->tallies[task - c->first];
    int label = c->images->labels[c->index[i]], answer = lvt_argmax(logits, c->seen, classes);
    int own = lvt_argmax(logits, c->own, classes);
    here->images++;
    here->right_class += answer == label;
    here->right_task += own == label;
    here->unanswered += answer < 0 || own < 0;
    lvt_evaluation *more = task < c->learned ? c->more : NULL;
    if (more && more->scores)
        more->scores[more->n_scores++] = lvt_known_score(logits, c->seen, classes);
    if (!more || !more->bins || answer < 0)
        return;
    double sum = 0;
    for (int k = 0; k < classes; k++)
        sum += c->seen[k] ? exp((double)logits[k] - logits[answer]) : 0;
    int bin = (int)ceil(LVT_CALIBRATION_BINS / sum) - 1;
    double *b = more->bins + 3 * (bin < 0 ? 0 : bin < LVT_CALIBRATION_BINS ? bin : LVT_CALIBRATION_BINS - 1);
    b[0]++;
    b[1] += 1 / sum;
    b[2] += answer == label;
    more->confusion[label * classes + answer]++;
}

double lvt_calibration_error(const double *bins) {
    double n = 0, error = 0;
    for (int b = 0; b < LVT_CALIBRATION_BINS; b++) {
        n += bins[3 * b];
        error += fabs(bins[3 * b + 2] - bins[3 * b + 1]);
    }
    return n > 0 ? error / n : NAN;
}

static lvt_status evaluate(lvt_model *m, const lvt_augment *a, lvt_part part, const lvt_tasks *tasks,
                           int first, int last, int learned, const lvt_stop *stop, lvt_evaluation *more,
                           double *class_il, double *task_il, lvt_diag *diag) {
    uint32_t *index = NULL, n = 0;
    bool *allowed = calloc(2 * (size_t)tasks->classes, sizeof *allowed);
    tally *tallies = calloc((size_t)(last - first) + 1, sizeof *tallies);
    if (!allowed || !tallies || !lvt_task_images(tasks, first, last, part, &index, &n)) {
        free(allowed);
        free(tallies);
        return lvt_no_memory(diag, NULL);
    }
    count c = {part.images, tasks,   index,   more, allowed, allowed + tasks->classes,
               -1,          learned, tallies, first};
    lvt_status status = lvt_predict_images(m, a, part.images, index, n, stop, count_one, &c, diag);
    for (int j = 0; j <= last - first; j++) {
        const tally *t = &tallies[j];
        if (status == LVT_OK && t->unanswered)
            status =
                lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                          "%u of the %u images of task %d have no finite logit among the classes asked about",
                          t->unanswered, t->images, first + j + 1);
        class_il[j] = (double)t->right_class / t->images;
        task_il[j] = (double)t->right_task / t->images;
    }
    free(index);
    free(allowed);
    free(tallies);
    return status;
}

lvt_status lvt_evaluate_tasks(lvt_model *m, const lvt_augment *a, lvt_part part, const lvt_tasks *tasks,
                              int n, int learned, const lvt_stop *stop, lvt_evaluation *more,
                              double *class_il, double *task_il, lvt_diag *diag) {
    return n ? evaluate(m, a, part, tasks, 0, n - 1, learned, stop, more, class_il, task_il, diag) : LVT_OK;
}

lvt_status lvt_evaluate_task(lvt_model *m, const lvt_augment *a, lvt_part part, const lvt_tasks *tasks, int j,
                             int learned, const lvt_stop *stop, lvt_evaluation *more, double *class_il,
                             double *task_il, lvt_diag *diag) {
    return evaluate(m, a, part, tasks, j, j, learned, stop, more, class_il, task_il, diag);
}

bool lvt_at_chance(const lvt_tasks *tasks, lvt_part part, int learned, int seen, const double *class_il,
                   const double *task_il, size_t stride) {
    bool told = false;
    for (int j = 0; j < learned; j++) {
        uint32_t *index = NULL, n = 0;
        if (!lvt_task_images(tasks, j, j, part, &index, &n))
            return false; /* out of memory: nothing is said */
        free(index);
        bool own = tasks->domains || lvt_task_size(tasks, j) > 1;
        int choices = tasks->domains ? tasks->classes
                      : own          ? lvt_task_size(tasks, j)
                                     : lvt_tasks_seen(tasks, (seen ? seen : j + 1) - 1);
        double p = 1. / choices, most = p + 3 * sqrt(p * (1 - p) / n),
               value = (own ? task_il : class_il)[(size_t)j * stride];
        if (choices < 2 || !n || most >= 1)
            continue; /* whoever guesses may be right all the time */
        if (!(value <= most))
            return false;
        told = true;
    }
    return told;
}
