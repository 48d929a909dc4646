/* Early stopping: after each epoch the validation images of what the task learns are answered; when that was
 * not better for some epochs, the task is over, and it keeps the states of its best epoch.
 *
 * Invariant: all that is decided follows from lvt_best, which travels in checkpoints, so a resumed run stops
 * where the uninterrupted one does. May not know: files. */
#include "trainer.h"

#include <stdlib.h>
#include <string.h>

/* All states, also an optimiser's: a task ends as if its last epochs had not been. */
static void copy_states(lvt_trainer *t, bool back) {
    const lvt_module *module = lvt_model_module(t->model);
    uint8_t *kept = t->best.states;
    for (uint32_t s = 0; s < module->n_states; s++) {
        size_t bytes = lvt_type_bytes(&module->states[s].type);
        void *state = lvt_session_state(t->model->session, s);
        memcpy(back ? state : kept, back ? kept : state, bytes);
        kept += bytes;
    }
}

lvt_status lvt_early_init(lvt_trainer *t, lvt_diag *diag) {
    const lvt_module *module = lvt_model_module(t->model);
    t->best = (lvt_best){0};
    for (uint32_t s = 0; s < module->n_states; s++)
        t->best.bytes += lvt_type_bytes(&module->states[s].type);
    t->best.states = calloc(t->best.bytes + 1, 1);
    return t->best.states ? LVT_OK : lvt_no_memory(diag, NULL);
}

void lvt_early_free(lvt_trainer *t) {
    free(t->best.states);
    t->best = (lvt_best){0};
}

typedef struct count {
    const lvt_trainer *t;
    const uint32_t *index;
    bool *seen;
    uint32_t right;
} count;

/* A method that answers by what it remembers has nothing yet of the classes being learned: its network
 * answers. */
static void count_one(void *user, uint32_t i, const float *logits, const float *injection) {
    count *c = user;
    bool memory = c->t->method->measured == LVT_MEASURE_MEMORY;
    c->right += lvt_argmax(memory ? injection : logits, c->seen, c->t->tasks.classes) ==
                c->t->data->train.labels[c->index[i]];
}

lvt_status lvt_early_epoch(lvt_trainer *t, lvt_diag *diag) {
    if (t->events.phase)
        t->events.phase(t->events.user, "validating");
    uint32_t *index = NULL, n = 0;
    lvt_part kept = {&t->data->train, t->held, true};
    int first = t->method->reach == LVT_REACH_ALL_SO_FAR ? 0 : t->at.task;
    bool *seen = malloc((size_t)t->tasks.classes * sizeof *seen);
    if (!seen || !lvt_task_images(&t->tasks, first, t->at.task, kept, &index, &n)) {
        free(seen);
        return lvt_no_memory(diag, NULL);
    }
    for (int c = 0; c < t->tasks.classes; c++)
        seen[c] = t->mask[c] > 0;
    count c = {t, index, seen, 0};
    lvt_status status =
        lvt_predict_images(t->model, &t->plain, &t->data->train, index, n, NULL, count_one, &c, diag);
    free(seen);
    free(index);
    if (status != LVT_OK)
        return status;
    uint64_t per_epoch = lvt_trainer_epoch_steps(t);
    status = lvt_trainer_sound(t, diag); /* what may be gone back to */
    if (status != LVT_OK)
        return status;
    double epoch = (double)((t->at.step + per_epoch - 1) / per_epoch), accuracy = (double)c.right / n;
    if (!t->best.epoch || accuracy > t->best.accuracy) {
        t->best.accuracy = accuracy;
        t->best.epoch = epoch;
        t->best.waited = 0;
        copy_states(t, false);
    } else {
        t->best.waited++;
    }
    cJSON *r = cJSON_CreateObject();
    cJSON_AddStringToObject(r, "type", "epoch");
    cJSON_AddNumberToObject(r, "task", t->at.task + 1);
    cJSON_AddNumberToObject(r, "epoch", epoch);
    cJSON_AddNumberToObject(r, "validation", accuracy);
    cJSON_AddNumberToObject(r, "best_epoch", t->best.epoch);
    return lvt_trainer_record(t, r, diag);
}

bool lvt_early_done(const lvt_trainer *t) {
    return t->best.states && t->best.waited >= t->settings->early_stopping;
}

void lvt_early_end(lvt_trainer *t) {
    if (!t->best.states || !t->best.epoch)
        return;
    copy_states(t, true);
    t->best.accuracy = t->best.epoch = t->best.waited = 0;
}
