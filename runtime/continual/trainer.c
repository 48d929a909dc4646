/* The training loop. May not know: command lines, terminals, file formats. */
#include "trainer.h"
#include "checkpoint.h"
#include "ir/base/clock.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void lvt_trainer_set(lvt_model *m, const char *name, double value) {
    int s = lvt_model_scalar(m, name);
    if (s >= 0) {
        m->scalars[s].exact = value;
        m->scalars[s].value = (float)value;
        m->scalars[s].given = true;
    }
}

/* ---- one step ------------------------------------------------------------------------------------------ */

static lvt_status one_step(lvt_trainer *t, uint64_t steps, lvt_diag *diag) {
    lvt_model *m = t->model;
    lvt_entry_kind entry = lvt_trainer_batch(t);
    lvt_trainer_set(m, "lr", lvt_lr_at(t->settings, t->learning_rate, t->at.step, steps));
    lvt_trainer_set(m, "r", lvt_r_at(t->r0, t->settings->r_decay, t->at.task));
    lvt_trainer_set(m, "gamma", t->at.task ? t->gamma0 : 0);
    t->step_input[0] = (int32_t)(uint32_t)t->settings->seed;
    t->step_input[1] = (int32_t)(uint32_t)t->at.global_step;
    const void *tensors[LVT_N_INPUTS] = {
        [LVT_IN_X] = t->x,
        [LVT_IN_Y] = t->y,
        [LVT_IN_XM] = t->xm,
        [LVT_IN_YM] = t->ym,
        [LVT_IN_ZM] = t->zm,
        [LVT_IN_ZM_MASK] = t->zm_mask,
        [LVT_IN_MASK] = t->mask,
        [LVT_IN_STEP] = t->step_input,
        [LVT_IN_Y2] = t->y2,
        [LVT_IN_MIX] = t->mix,
        [LVT_IN_FREQUENCY] = t->frequency,
        [LVT_IN_TASK_MASK] = t->task_mask,
    };
    lvt_status status = lvt_model_run(m, entry, tensors, diag);
    if (status != LVT_OK)
        return status;
    const lvt_bound_entry *b = &m->entries[entry];
    for (int i = 0; i < b->n_losses; i++) {
        double loss = *(const float *)lvt_session_output(m->session, b->index, b->losses[i]);
        status = lvt_trainer_loss_sound(t, b->loss_names[i], loss, diag);
        if (status != LVT_OK)
            return status;
        t->sums[i] += loss;
    }
    status = lvt_trainer_step_sound(t, diag);
    if (status != LVT_OK)
        return status;
    t->summed++;
    t->images += (uint64_t)(m->batch + (entry == LVT_ENTRY_TRAIN ? m->memory_batch : 0));
    t->at.step++;
    t->at.global_step++;
    t->steps_here++;
    return LVT_OK;
}

/* ---- records ------------------------------------------------------------------------------------------- */

static double steps_left(const lvt_trainer *t, uint64_t steps) {
    double left = (double)(steps - t->at.step);
    for (int k = t->at.task + 1; k < t->tasks.n; k++)
        left += (double)lvt_trainer_steps(t, k);
    return left;
}

static lvt_status report(lvt_trainer *t, uint64_t steps, bool record, lvt_diag *diag) {
    const lvt_bound_entry *b =
        &t->model->entries[lvt_trainer_rehearses(t) ? LVT_ENTRY_TRAIN : LVT_ENTRY_TRAIN_NEW];
    double now = lvt_seconds(), here = now - t->started;
    lvt_progress p = {
        .task = t->at.task + 1,
        .epoch = (int)((t->at.step - 1) / lvt_trainer_epoch_steps(t)) + 1,
        .step = t->at.step,
        .steps = steps,
        .lr = lvt_lr_at(t->settings, t->learning_rate, t->at.step - 1, steps),
        .images_per_second = (double)t->images / fmax(now - t->clock, 1e-9),
        .seconds_left = t->steps_here ? here / (double)t->steps_here * steps_left(t, steps) : 0,
        .n_losses = b->n_losses,
        .names = b->loss_names,
    };
    for (int i = 0; i < b->n_losses; i++)
        p.losses[i] = t->sums[i] / (double)t->summed;
    if (t->events.progress)
        t->events.progress(t->events.user, &p);
    if (!record)
        return LVT_OK;
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "type", "train");
    cJSON_AddNumberToObject(j, "task", p.task);
    cJSON_AddNumberToObject(j, "epoch", p.epoch);
    cJSON_AddNumberToObject(j, "step", (double)p.step);
    cJSON_AddNumberToObject(j, "steps", (double)steps);
    cJSON_AddNumberToObject(j, "seconds_left", p.seconds_left);
    cJSON_AddNumberToObject(j, "global_step", (double)t->at.global_step);
    cJSON_AddNumberToObject(j, "lr", p.lr);
    for (int i = 0; i < p.n_losses; i++)
        cJSON_AddNumberToObject(j, p.names[i], p.losses[i]);
    cJSON_AddNumberToObject(j, "images_per_second", p.images_per_second);
    memset(t->sums, 0, sizeof t->sums);
    t->summed = 0;
    lvt_trainer_tick(t);
    lvt_energy_sample(&t->energy);
    cJSON_AddNumberToObject(j, "seconds", t->seconds);
    return lvt_trainer_record(t, j, diag);
}

/* ---- the loop ------------------------------------------------------------------------------------------ */

static bool stopping(const lvt_trainer *t) {
    return t->events.stop && t->events.stop(t->events.user);
}

static lvt_status train_task(lvt_trainer *t, lvt_diag *diag) {
    const lvt_settings *s = t->settings;
    uint64_t steps = lvt_trainer_steps(t, t->at.task), log = (uint64_t)s->log_every,
             epoch = lvt_trainer_epoch_steps(t);
    double shown = 0;
    while (t->at.step < steps && !lvt_early_done(t)) {
        lvt_status status = one_step(t, steps, diag);
        if (status == LVT_OK && t->best.states && (t->at.step % epoch == 0 || t->at.step == steps))
            status = lvt_early_epoch(t, diag); /* before the checkpoint, which so has its outcome */
        if (status != LVT_OK)
            return status;
        bool last = t->at.step == steps || lvt_early_done(t), record = last || t->at.step % log == 0;
        double now = lvt_seconds();
        if (record)
            status = lvt_trainer_sound(t, diag);
        if (status == LVT_OK && (record || now - shown > 0.5)) {
            shown = now;
            status = report(t, steps, record, diag);
        }
        bool stop = stopping(t);
        /* Before a task's end too: what happens there is repeated when it does not come to its end. */
        if (status == LVT_OK &&
            (stop || last || (s->checkpoint_every && t->at.step % (uint64_t)s->checkpoint_every == 0))) {
            lvt_trainer_tick(t);
            status = lvt_checkpoint_save(t, false, diag);
        }
        if (status != LVT_OK || stop)
            return status != LVT_OK ? status : LVT_INTERRUPT;
    }
    lvt_early_end(t);
    return LVT_OK;
}

lvt_status lvt_trainer_run(lvt_trainer *t, lvt_diag *diag) {
    t->started = t->clock = lvt_seconds();
    double before = t->energy.joules; /* of the run that is resumed */
    lvt_energy_open(&t->energy, LVT_POWERCAP);
    t->energy.joules = before;
    lvt_status status = lvt_trainer_sound(t, diag);
    if (status == LVT_OK && t->settings->fwt && t->at.global_step == 0) {
        status = lvt_trainer_evaluate(t, 0, diag);
        status = status == LVT_OK ? lvt_trainer_record_accuracy(t, 0, diag) : status;
        lvt_status saved = status == LVT_INTERRUPT ? lvt_checkpoint_save(t, false, diag) : LVT_OK;
        status = saved == LVT_OK ? status : saved;
    }
    while (t->at.task < t->tasks.n && status == LVT_OK) {
        status = lvt_trainer_begin_task(t, diag);
        lvt_trainer_tick(t);
        if (status == LVT_OK)
            status = train_task(t, diag);
        t->ending = status == LVT_OK;
        if (status == LVT_OK)
            status = lvt_task_end(t, diag);
        if (status != LVT_OK)
            break;
        t->at.task++;
        t->at.step = 0;
        t->ending = false;
        status = lvt_checkpoint_save(t, true, diag);
        if (status == LVT_OK && t->events.evaluated)
            t->events.evaluated(t->events.user, t);
    }
    return status;
}
