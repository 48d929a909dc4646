/* The end of a task: importance of keys and biases, consolidation, memory, evaluation, in this order.
 * May not know: command lines, checkpoints. */
#include "metrics.h"
#include "trainer.h"
#include "ir/base/clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void phase(const lvt_trainer *t, const char *what) {
    if (t->events.phase)
        t->events.phase(t->events.user, what);
}

static lvt_stop stop_of(const lvt_trainer *t) {
    return (lvt_stop){t->events.stop, t->events.user};
}

/* What the entry importance is shown: images, or those of them in `index`; mirrored: each of them twice, the
 * second time mirrored. */
typedef struct shown {
    const lvt_images *images;
    const uint32_t *index;
    bool mirrored;
    uint32_t n;
} shown;

/* One batch of what is shown, `first` .. `first + n`, repeated in turn until it is full; its weight is n /
 * all. */
static lvt_status show_batch(lvt_trainer *t, const shown *s, uint32_t first, uint32_t n, lvt_diag *diag) {
    lvt_model *m = t->model;
    size_t bytes = lvt_image_bytes(t->data);
    lvt_augment mirror = t->plain;
    mirror.crop = 0;
    mirror.flip = true;
    static const uint32_t turned[LVT_AUGMENT_WORDS] = {[2] = 1u << 31};
    for (uint32_t i = 0; i < (uint32_t)m->batch; i++) {
        uint32_t item = first + i % n, image = s->mirrored ? item / 2 : item;
        image = s->index ? s->index[image] : image;
        lvt_augment_image(&mirror, lvt_image_at(s->images, bytes, image, t->scratch),
                          s->mirrored && item % 2 ? turned : NULL, t->x + i * bytes);
        t->y[i] = s->images->labels[image];
    }
    int weight = lvt_model_scalar(m, "weight");
    if (weight >= 0) {
        m->scalars[weight].value = (float)n / (float)s->n;
        m->scalars[weight].given = true;
    }
    const void *tensors[LVT_N_INPUTS] = {
        [LVT_IN_X] = t->x, [LVT_IN_Y] = t->y, [LVT_IN_MASK] = t->mask, [LVT_IN_STEP] = t->step_input};
    return lvt_model_run(m, LVT_ENTRY_IMPORTANCE, tensors, diag);
}

/* Entry importance over the un-augmented images of the task, or over the remembered ones.
 * Batches are weighted by their share. The last batch of a task repeats its images in turn: a mean over it is
 * exact when their number divides the batch. Remembered images are few and every one counts for its class's
 * mean, so those that do not fill a batch are shown one by one; where training mirrors images, so do the
 * means. */
static lvt_status measure(lvt_trainer *t, lvt_measured what, lvt_diag *diag) {
    lvt_model *m = t->model;
    bool remembered = what == LVT_MEASURE_MEMORY;
    if ((t->settings->no_drift && !remembered) || t->method->measured != what ||
        !lvt_model_has(m, LVT_ENTRY_IMPORTANCE))
        return LVT_OK;
    phase(t, remembered ? "taking means" : "measuring importance");
    const lvt_images kept = {.pixels = t->memory.images, .labels = t->memory.labels, .n = t->memory.n};
    bool mirrored = remembered && t->augment.flip;
    const shown all = {remembered ? &kept : &t->data->train, remembered ? NULL : t->index, mirrored,
                       remembered ? (uint32_t)t->memory.n * (mirrored ? 2 : 1) : t->n_index};
    uint32_t batch = (uint32_t)m->batch, n = all.n;
    for (uint32_t start = 0, here; start < n; start += here) {
        here = n - start < batch ? (remembered ? 1 : n - start) : batch;
        lvt_status status = show_batch(t, &all, start, here, diag);
        if (status != LVT_OK)
            return status;
        if (t->events.stop && t->events.stop(t->events.user))
            return LVT_INTERRUPT;
    }
    return LVT_OK;
}

static lvt_status consolidate(lvt_trainer *t, lvt_diag *diag) {
    const void *tensors[LVT_N_INPUTS] = {[LVT_IN_MASK] = t->mask, [LVT_IN_TASK_MASK] = t->task_mask};
    return lvt_model_has(t->model, LVT_ENTRY_CONSOLIDATE)
               ? lvt_model_run(t->model, LVT_ENTRY_CONSOLIDATE, tensors, diag)
               : LVT_OK;
}

typedef struct scoring {
    const lvt_trainer *t;
    const uint32_t *index; /* of the images asked about */
    uint32_t n;
    float *confidence, *logits, *features;
} scoring;

/* Softmax probability of the true class among the classes seen so far. */
static void score_one(void *user, uint32_t i, const float *logits, const float *injection) {
    scoring *s = user;
    const lvt_trainer *t = s->t;
    int label = t->data->train.labels[s->index[i]];
    double sum = 0;
    for (int c = 0; c < t->tasks.classes; c++) {
        if (t->mask[c] > 0)
            sum += exp((double)injection[c] - injection[label]);
    }
    s->confidence[i] = isfinite(sum) ? (float)(1 / sum) : 0; /* a logit of -inf: no confidence at all */
    memcpy(s->logits + (size_t)i * (size_t)t->tasks.classes, logits,
           (size_t)t->tasks.classes * sizeof *logits);
    /* iCaRL compares directions: features of length 1. */
    size_t n = (size_t)t->model->n_features;
    const float *f = n ? lvt_model_features(t->model) + i % (uint32_t)t->model->predict_batch * n : NULL;
    double squares = 0;
    for (size_t d = 0; d < n; d++)
        squares += (double)f[d] * f[d];
    for (size_t d = 0; d < n; d++)
        s->features[i * n + d] = squares > 0 ? (float)(f[d] / sqrt(squares)) : 0;
}

/* What the network says of s->index; of features only where it has them. */
static lvt_status ask(scoring *s, lvt_diag *diag) {
    lvt_trainer *t = (lvt_trainer *)s->t;
    s->confidence = malloc((s->n + 1) * sizeof(float));
    s->logits = malloc(((size_t)s->n * (size_t)t->tasks.classes + 1) * sizeof(float));
    s->features = malloc(((size_t)s->n * (size_t)t->model->n_features + 1) * sizeof(float));
    lvt_stop stop = stop_of(t);
    return s->confidence && s->logits && s->features
               ? lvt_predict_images(t->model, &t->plain, &t->data->train, s->index, s->n, &stop, score_one, s,
                                    diag)
               : lvt_no_memory(diag, NULL);
}

static lvt_status choose(lvt_trainer *t, const scoring *s, lvt_diag *diag) {
    size_t n = (size_t)t->model->n_features;
    lvt_candidates c = {.n = t->n_own,
                        .index = t->index,
                        .images = &t->data->train,
                        .confidence = s->confidence,
                        .logits = s->logits,
                        .features = n ? s->features : NULL,
                        .n_features = n};
    return lvt_memory_update(&t->memory, t->policy, &t->tasks, t->at.task, &c, t->settings->seed, diag);
}

/* Chosen first, asked about then: no more images than are kept. */
static lvt_status remember_blindly(lvt_trainer *t, scoring *s, lvt_diag *diag) {
    lvt_memory *m = &t->memory;
    uint32_t *index = malloc((m->capacity + 1) * sizeof *index);
    size_t *place = malloc((m->capacity + 1) * sizeof *place);
    lvt_status status = index && place ? choose(t, s, diag) : lvt_no_memory(diag, NULL);
    for (size_t i = 0; i < m->n && status == LVT_OK; i++)
        if (m->unanswered[i] != UINT32_MAX) {
            place[s->n] = i;
            index[s->n++] = t->index[m->unanswered[i]];
        }
    s->index = index;
    if (status == LVT_OK)
        status = ask(s, diag);
    for (uint32_t k = 0; k < s->n && status == LVT_OK; k++)
        lvt_memory_fill(m, t->policy, place[k], s->confidence[k],
                        s->logits + (size_t)k * (size_t)t->tasks.classes);
    free(index);
    free(place);
    return status;
}

static lvt_status remember(lvt_trainer *t, lvt_diag *diag) {
    if (!t->memory.capacity)
        return LVT_OK;
    phase(t, "choosing images to remember");
    scoring s = {.t = t};
    lvt_status status;
    if (lvt_memory_asks(t->policy)) {
        s.index = t->index;
        s.n = t->n_own;
        status = ask(&s, diag);
        if (status == LVT_OK)
            status = choose(t, &s, diag);
    } else {
        status = remember_blindly(t, &s, diag);
    }
    free(s.confidence);
    free(s.logits);
    free(s.features);
    return status;
}

/* What was stored before this task knew nothing of its classes. */
typedef struct renewal {
    lvt_memory *memory;
    bool *of_task;
    uint32_t *index, n; /* places in the memory */
} renewal;

static void renew_one(void *user, uint32_t i, const float *logits, const float *injection) {
    renewal *r = user;
    (void)injection;
    lvt_memory_renew(r->memory, r->index[i], r->of_task, logits);
}

static lvt_status renew(lvt_trainer *t, lvt_diag *diag) {
    lvt_memory *m = &t->memory;
    if (t->method->logits != LVT_LOGITS_RENEWED || !m->n)
        return LVT_OK;
    phase(t, "renewing stored logits");
    renewal r = {.memory = m,
                 .of_task = malloc((size_t)m->classes * sizeof(bool)),
                 .index = malloc((m->n + 1) * sizeof *r.index)};
    lvt_status status = r.of_task && r.index ? LVT_OK : lvt_no_memory(diag, NULL);
    for (int c = 0; c < m->classes && status == LVT_OK; c++)
        r.of_task[c] = t->task_mask[c] > 0;
    for (size_t k = 0; k < m->n && status == LVT_OK; k++)
        if (m->tasks[k] < t->at.task)
            r.index[r.n++] = (uint32_t)k;
    const lvt_images images = {.pixels = m->images, .labels = m->labels, .n = m->n};
    lvt_stop stop = stop_of(t);
    if (status == LVT_OK)
        status = lvt_predict_images(t->model, &t->plain, &images, r.index, r.n, &stop, renew_one, &r, diag);
    free(r.of_task);
    free(r.index);
    return status;
}

lvt_status lvt_trainer_evaluate(lvt_trainer *t, int learned, lvt_diag *diag) {
    phase(t, "evaluating");
    lvt_stop stop = stop_of(t);
    int n = t->tasks.n, last = t->settings->fwt ? n : learned;
    size_t classes = (size_t)t->tasks.classes;
    memset(t->last.confusion, 0, classes * classes * sizeof *t->last.confusion);
    memset(t->last.bins, 0, LVT_CALIBRATION_BINS * 3 * sizeof *t->last.bins);
    /* The threshold of what is known comes from images that chose nothing else, where there are any. */
    lvt_evaluation held = {.scores = t->held ? t->scores : NULL};
    t->last.scores = t->held ? NULL : t->scores;
    t->last.n_scores = 0;
    size_t row = (size_t)learned * (size_t)n;
    lvt_part test = lvt_trainer_tested(t), kept = {&t->data->train, t->held, true};
    lvt_status status =
        lvt_evaluate_tasks(t->model, &t->plain, test, &t->tasks, last, learned, &stop, &t->last,
                           t->accuracy[LVT_CLASS_IL] + row, t->accuracy[LVT_TASK_IL] + row, diag);
    if (status == LVT_OK && t->held)
        status = lvt_evaluate_tasks(t->model, &t->plain, kept, &t->tasks, last, learned, &stop, &held,
                                    t->accuracy[LVT_VALIDATION_CLASS_IL] + row,
                                    t->accuracy[LVT_VALIDATION_TASK_IL] + row, diag);
    if (status != LVT_OK)
        return status;
    lvt_evaluation *scored = t->held ? &held : &t->last;
    t->known = lvt_known_threshold(t->scores, scored->n_scores, LVT_KNOWN_ACCEPT);
    return LVT_OK;
}

lvt_status lvt_trainer_record_accuracy(lvt_trainer *t, int learned, lvt_diag *diag) {
    int n = t->tasks.n;
    lvt_status status = LVT_OK;
    for (int j = 0; j < n && status == LVT_OK; j++) {
        size_t at = (size_t)learned * (size_t)n + (size_t)j;
        if (isnan(t->accuracy[LVT_CLASS_IL][at]))
            continue;
        cJSON *r = cJSON_CreateObject();
        cJSON_AddStringToObject(r, "type", "accuracy");
        cJSON_AddNumberToObject(r, "after_task", learned);
        cJSON_AddNumberToObject(r, "task", j + 1);
        for (int s = 0; s < LVT_N_MATRICES && t->accuracy[s]; s++)
            cJSON_AddNumberToObject(r, lvt_matrix_names[s], t->accuracy[s][at]);
        status = lvt_trainer_record(t, r, diag);
    }
    return status;
}

/* One record a task evaluated, and one of the metrics in both scenarios. */
static lvt_status record_evaluation(lvt_trainer *t, int learned, lvt_diag *diag) {
    int n = t->tasks.n;
    lvt_status status = lvt_trainer_record_accuracy(t, learned, diag);
    cJSON *r = cJSON_CreateObject();
    cJSON_AddStringToObject(r, "type", "metrics");
    cJSON_AddNumberToObject(r, "after_task", learned);
    cJSON_AddNumberToObject(r, "remembered", (double)t->memory.n);
    for (int s = 0; s < LVT_N_MATRICES && t->accuracy[s]; s++) {
        cJSON *o = cJSON_AddObjectToObject(r, lvt_matrix_names[s]);
        for (int i = 0; i < LVT_N_METRICS; i++) /* NaN becomes null */
            cJSON_AddNumberToObject(o, lvt_metrics[i].name, lvt_metrics[i].value(t->accuracy[s], n, learned));
    }
    cJSON_AddNumberToObject(r, "calibration_error",
                            lvt_trainer_measures(t, learned) ? lvt_calibration_error(t->last.bins) : NAN);
    lvt_trainer_tick(t);
    t->task_seconds[learned - 1] = t->seconds;
    for (int k = 0; k < learned - 1; k++)
        t->task_seconds[learned - 1] -= t->task_seconds[k];
    cJSON_AddNumberToObject(r, "task_seconds", t->task_seconds[learned - 1]);
    lvt_energy_sample(&t->energy);
    cJSON_AddNumberToObject(r, "energy_joules", t->energy.n ? t->energy.joules : NAN); /* NaN becomes null */
    cJSON_AddNumberToObject(r, "peak_memory_bytes", lvt_peak_memory());
    if (*t->trial)
        cJSON_AddStringToObject(r, "trial", t->trial + strlen("trial: "));
    if (status == LVT_OK)
        return lvt_trainer_record(t, r, diag);
    cJSON_Delete(r);
    return status;
}

lvt_status lvt_task_end(lvt_trainer *t, lvt_diag *diag) {
    bool late =
        t->method->measured == LVT_MEASURE_MEMORY; /* what consolidate takes in comes after remembering */
    LVT_TRY(measure(t, LVT_MEASURE_TASK, diag));
    if (!late)
        LVT_TRY(consolidate(t, diag));
    LVT_TRY(remember(t, diag));
    LVT_TRY(renew(t, diag));
    LVT_TRY(measure(t, LVT_MEASURE_MEMORY, diag));
    if (late)
        LVT_TRY(consolidate(t, diag));
    if (lvt_trainer_measures(t, t->at.task + 1))
        LVT_TRY(lvt_trainer_evaluate(t, t->at.task + 1, diag));
    else
        t->known = (lvt_known){NAN, 0};
    LVT_TRY(lvt_drift_record(t, t->at.task + 1, diag));
    return record_evaluation(t, t->at.task + 1, diag);
}
