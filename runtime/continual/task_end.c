/* The end of a task: importance of keys and biases, consolidation, memory, evaluation, in this order.
 * May not know: command lines, checkpoints. */
#include "continual/metrics.h"
#include "continual/trainer.h"

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

/* g = mean gradient of the injection loss over the task's un-augmented images: batches weighted by their
 * share. The last batch repeats its images in turn; its mean is exact when their number divides the batch. */
static lvt_status measure_importance(lvt_trainer *t, lvt_diag *diag) {
    lvt_model *m = t->model;
    if (t->settings->no_drift || !t->method->importance || !lvt_model_has(m, LVT_ENTRY_IMPORTANCE))
        return LVT_OK;
    phase(t, "measuring importance");
    size_t pixels = lvt_image_bytes(t->data);
    uint32_t batch = (uint32_t)m->batch;
    int weight = lvt_model_scalar(m, "weight");
    for (uint32_t start = 0; start < t->n_index; start += batch) {
        uint32_t here = t->n_index - start < batch ? t->n_index - start : batch;
        for (uint32_t i = 0; i < batch; i++) {
            uint32_t image = t->index[start + i % here];
            lvt_augment_image(&t->plain, t->data->train.pixels + image * pixels, NULL, t->x + i * pixels);
            t->y[i] = t->data->train.labels[image];
        }
        if (weight >= 0) {
            m->scalars[weight].value = (float)here / (float)t->n_index;
            m->scalars[weight].given = true;
        }
        const void *tensors[LVT_N_INPUTS] = {
            [LVT_IN_X] = t->x, [LVT_IN_Y] = t->y, [LVT_IN_MASK] = t->mask, [LVT_IN_STEP] = t->step_input};
        lvt_status status = lvt_model_run(m, LVT_ENTRY_IMPORTANCE, tensors, diag);
        if (status != LVT_OK)
            return status;
        if (t->events.stop && t->events.stop(t->events.user))
            return LVT_INTERRUPT;
    }
    const void *nothing[LVT_N_INPUTS] = {0};
    return lvt_model_has(m, LVT_ENTRY_CONSOLIDATE) ? lvt_model_run(m, LVT_ENTRY_CONSOLIDATE, nothing, diag)
                                                   : LVT_OK;
}

typedef struct scoring {
    const lvt_trainer *t;
    float *confidence, *logits;
} scoring;

/* Softmax probability of the true class among the classes seen so far. */
static void score_one(void *user, uint32_t i, const float *logits, const float *injection) {
    scoring *s = user;
    const lvt_trainer *t = s->t;
    int label = t->data->train.labels[t->index[i]];
    double sum = 0;
    for (int c = 0; c < t->tasks.classes; c++) {
        if (t->mask[c] > 0)
            sum += exp((double)injection[c] - injection[label]);
    }
    s->confidence[i] = (float)(1 / sum);
    memcpy(s->logits + (size_t)i * (size_t)t->tasks.classes, logits,
           (size_t)t->tasks.classes * sizeof *logits);
}

static lvt_status remember(lvt_trainer *t, lvt_diag *diag) {
    if (!t->memory.capacity)
        return LVT_OK;
    phase(t, "choosing images to remember");
    scoring s = {t, malloc((t->n_index + 1) * sizeof(float)),
                 malloc(((size_t)t->n_index * (size_t)t->tasks.classes + 1) * sizeof(float))};
    lvt_status status = LVT_NOMEM;
    if (s.confidence && s.logits) {
        lvt_stop stop = stop_of(t);
        status = lvt_predict_images(t->model, &t->plain, &t->data->train, t->index, t->n_index, &stop,
                                    score_one, &s, diag);
    } else {
        lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "out of memory");
    }
    if (status == LVT_OK) {
        lvt_candidates c = {t->n_index, t->index, &t->data->train, s.confidence, s.logits};
        status = lvt_memory_update(&t->memory, t->policy, &t->tasks, t->at.task, &c, t->settings->seed, diag);
    }
    free(s.confidence);
    free(s.logits);
    return status;
}

lvt_status lvt_trainer_evaluate(lvt_trainer *t, int learned, lvt_diag *diag) {
    phase(t, "evaluating");
    lvt_stop stop = stop_of(t);
    int n = t->tasks.n, last = t->settings->fwt ? n : learned;
    size_t classes = (size_t)t->tasks.classes;
    memset(t->last.confusion, 0, classes * classes * sizeof *t->last.confusion);
    memset(t->last.bins, 0, LVT_CALIBRATION_BINS * 3 * sizeof *t->last.bins);
    for (int j = 0; j < last; j++) {
        size_t at = (size_t)learned * (size_t)n + (size_t)j;
        lvt_part test = {&t->data->test, NULL, false}, kept = {&t->data->train, t->held, true};
        lvt_status status =
            lvt_evaluate_task(t->model, &t->plain, test, &t->tasks, j, learned, &stop,
                              j < learned ? &t->last : NULL, &t->class_il[at], &t->task_il[at], diag);
        if (status == LVT_OK && t->held)
            status = lvt_evaluate_task(t->model, &t->plain, kept, &t->tasks, j, learned, &stop, NULL,
                                       &t->validation[0][at], &t->validation[1][at], diag);
        if (status != LVT_OK)
            return status;
    }
    return LVT_OK;
}

/* One record a task evaluated, and one of the metrics in both scenarios. */
static lvt_status record_evaluation(lvt_trainer *t, int learned, lvt_diag *diag) {
    int n = t->tasks.n;
    lvt_status status = LVT_OK;
    for (int j = 0; j < n && status == LVT_OK; j++) {
        size_t at = (size_t)learned * (size_t)n + (size_t)j;
        if (isnan(t->class_il[at]))
            continue;
        cJSON *r = cJSON_CreateObject();
        cJSON_AddStringToObject(r, "type", "accuracy");
        cJSON_AddNumberToObject(r, "after_task", learned);
        cJSON_AddNumberToObject(r, "task", j + 1);
        cJSON_AddNumberToObject(r, "class_il", t->class_il[at]);
        cJSON_AddNumberToObject(r, "task_il", t->task_il[at]);
        if (t->held) {
            cJSON_AddNumberToObject(r, "validation_class_il", t->validation[0][at]);
            cJSON_AddNumberToObject(r, "validation_task_il", t->validation[1][at]);
        }
        status = lvt_trainer_record(t, r, diag);
    }
    cJSON *r = cJSON_CreateObject();
    cJSON_AddStringToObject(r, "type", "metrics");
    cJSON_AddNumberToObject(r, "after_task", learned);
    cJSON_AddNumberToObject(r, "remembered", (double)t->memory.n);
    static const char *const scenarios[] = {"class_il", "task_il", "validation_class_il",
                                            "validation_task_il"};
    const double *matrices[] = {t->class_il, t->task_il, t->validation[0], t->validation[1]};
    for (int s = 0; s < 4 && matrices[s]; s++) {
        cJSON *o = cJSON_AddObjectToObject(r, scenarios[s]);
        for (int i = 0; i < LVT_N_METRICS; i++) /* NaN becomes null */
            cJSON_AddNumberToObject(o, lvt_metrics[i].name, lvt_metrics[i].value(matrices[s], n, learned));
    }
    cJSON_AddNumberToObject(r, "calibration_error", lvt_calibration_error(t->last.bins));
    double now = lvt_clock();
    t->seconds += now - t->clock;
    t->clock = now;
    t->task_seconds[learned - 1] = t->seconds;
    for (int k = 0; k < learned - 1; k++)
        t->task_seconds[learned - 1] -= t->task_seconds[k];
    cJSON_AddNumberToObject(r, "task_seconds", t->task_seconds[learned - 1]);
    if (status == LVT_OK)
        return lvt_trainer_record(t, r, diag);
    cJSON_Delete(r);
    return status;
}

lvt_status lvt_task_end(lvt_trainer *t, lvt_diag *diag) {
    lvt_status status = measure_importance(t, diag);
    if (status == LVT_OK)
        status = remember(t, diag);
    if (status == LVT_OK)
        status = lvt_trainer_evaluate(t, t->at.task + 1, diag);
    return status == LVT_OK ? record_evaluation(t, t->at.task + 1, diag) : status;
}
