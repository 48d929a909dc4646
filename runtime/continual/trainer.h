/* The training loop over a sequence of tasks; models/README.md says what a step computes.
 *
 * Invariants: everything random follows from the seed and the position, so position, model state, memory and
 * the matrices are all that a checkpoint needs; a task's end (importance, memory, evaluation) happens
 * completely or is repeated. May not know: command lines, terminals. */
#ifndef LVT_CONTINUAL_TRAINER_H
#define LVT_CONTINUAL_TRAINER_H

#include "ir/base/file.h"
#include "known.h"
#include "memory.h"
#include "method.h"
#include "metrics.h"
#include "predict.h"
#include "schedule.h"
#include "settings.h"
#include "usage.h"
#include <cjson/cJSON.h>

#include <stdio.h>

/* Where a run stands: `step` steps of `task` are done. */
typedef struct lvt_position {
    int task;
    uint64_t step, global_step;
} lvt_position;

typedef struct lvt_progress {
    int task, epoch;      /* from 1 */
    uint64_t step, steps; /* of the task */
    double images_per_second, seconds_left, lr;
    int n_losses;
    const char *const *names;
    double losses[LVT_MAX_LOSSES]; /* means since the last record */
} lvt_progress;

typedef struct lvt_trainer lvt_trainer;

/* Early stopping: the best epoch of the task so far. */
typedef struct lvt_best {
    double accuracy, epoch, waited; /* on validation images; from 1, 0: none yet; epochs since then */
    uint8_t *states;                /* of the program after that epoch, one after the other; NULL: no early
                                       stopping */
    size_t bytes;
} lvt_best;
/* What the program around the loop is told; every function may be NULL. */
typedef struct lvt_events {
    void *user;
    bool (*stop)(void *user); /* asked after every step and batch */
    void (*progress)(void *user, const lvt_progress *p);
    void (*phase)(void *user, const char *what); /* "remembering", "evaluating", ...: what takes time now */
    void (*evaluated)(void *user, const lvt_trainer *t); /* after each task */
    /* A record of metrics.jsonl, before it is written: whoever keeps records elsewhere too, and can tell
     * later which of them are not in the file. */
    void (*record)(void *record_user, const cJSON *record);
    void *record_user;
} lvt_events;

struct lvt_trainer {
    const lvt_settings *settings;
    lvt_model *model;
    const lvt_dataset *data;
    lvt_augment augment, plain; /* of training, of evaluation */
    lvt_tasks tasks;
    lvt_memory memory;
    double *accuracy[LVT_N_MATRICES]; /* see metrics.h; NULL on validation images: there are none */
    lvt_evaluation last;              /* of the last evaluation, over the test images of all tasks learned */
    double *scores;                   /* of the last evaluation: test images, with validation these */
    lvt_known known;                  /* the threshold of these scores */
    double *task_seconds;             /* n: training and end of each task */
    const lvt_method *method;
    lvt_memory_policy policy;
    bool *held; /* training images kept for validation; NULL: none */
    size_t n_held;
    bool *tested; /* test images that are measured on; NULL: all */
    size_t n_tested;
    char trial[LVT_TRIAL_TEXT]; /* lvt_settings_trial */
    lvt_position at;
    lvt_events events;
    const lvt_folder *folder; /* of the run */
    bool follower;            /* another process with the same state writes the files */
    FILE *metrics;            /* metrics.jsonl */
    uint64_t metrics_bytes;   /* what a resumed run keeps of it */
    bool resumed;             /* from a checkpoint */
    double seconds;           /* of earlier processes and this one, up to the last record */

    uint32_t *index, n_index; /* training images of the task: n_own of its own, then remembered ones */
    uint32_t n_own;
    float *teacher; /* LVT_REHEARSE_SELF: logits of the task's images before the task, in index's order */
    uint32_t teacher_rows;       /* images of the largest task */
    uint32_t *place;             /* LVT_REHEARSE_SELF: where an image stands in index */
    uint32_t *order;             /* index, in this epoch's order */
    uint64_t epoch_ordered;      /* 1 + epoch that `order` is of; 0: none */
    double sums[LVT_MAX_LOSSES]; /* of losses since the last record */
    uint64_t summed, images;
    lvt_energy energy; /* as seconds: of earlier processes too */
    bool sound;        /* all states were looked at for NaN and infinities, last after the step of the run */
    uint64_t sound_step;   /* sound_step, and had none */
    double started, clock; /* start of this process's first step; up to where `seconds` has been counted */
    bool ending;         /* a task's end has begun: memory and what was measured last belong to no task yet */
    uint64_t steps_here; /* steps of this process */

    float *x, *xm, *zm, *zm_mask, *mask, *task_mask; /* inputs of a step */
    float *frequency; /* of each class among the images of a step of this task: they add up to 1 */
    double *shares;   /* the same, while it is added up */
    int32_t *y, *ym, step_input[2];
    lvt_mixing mixing;
    float *unmixed, *mix; /* the new images before they are mixed (NULL: they never are); inputs mix and y2 */
    lvt_mix *mixes;       /* batch */
    int32_t *y2;
    lvt_best best;
    uint8_t *scratch;       /* one image, see lvt_image_at */
    uint32_t *batch_images; /* which images are in x */
    uint32_t *draw, *drawn;
    double learning_rate, r0, gamma0; /* before schedules */
};

/* Checks that data, model and settings go together and makes everything ready at position 0. `folder` exists.
 * All arguments must outlive the trainer. Errors: LVT_USER, LVT_USAGE, LVT_NOMEM. Freed by lvt_trainer_free
 * (also after an error). */
lvt_status lvt_trainer_init(lvt_trainer *t, const lvt_settings *s, lvt_model *m, const lvt_dataset *d,
                            const lvt_folder *folder, const lvt_events *events, lvt_diag *diag);
/* For a run that begins: settings that would change nothing, or that contradict each other. LVT_USAGE says
 * which and what to do. A run that is resumed keeps those it has. */
lvt_status lvt_trainer_effects(const lvt_trainer *t, lvt_diag *diag);
void lvt_trainer_free(lvt_trainer *t);
/* From the position to the end. LVT_INTERRUPT: stopped on request, a checkpoint is written. LVT_IO: the last
 * checkpoint on the disk is whole. LVT_USER: a loss, a gradient, a state or an answer is not a number; the last
 * checkpoint has none such. */
lvt_status lvt_trainer_run(lvt_trainer *t, lvt_diag *diag);

/* sound.c: LVT_USER, with what is no number and since when. All states, before each checkpoint and record; a loss
 * of the step that was just run; parameters after it, most of the time the first step whose gradient was none. */
lvt_status lvt_trainer_sound(lvt_trainer *t, lvt_diag *diag);
lvt_status lvt_trainer_loss_sound(const lvt_trainer *t, const char *name, double loss, lvt_diag *diag);
lvt_status lvt_trainer_step_sound(const lvt_trainer *t, lvt_diag *diag);

/* batch.c: the images of a task and of its steps. */
/* What the settings say about how images are changed: the data's usual ways where they say nothing. */
void lvt_augment_by(const lvt_settings *s, const lvt_dataset *d, lvt_augment *augment, lvt_mixing *mixing);
/* Chooses the images of the task at the position; asks the teacher about them before its first step. */
lvt_status lvt_trainer_begin_task(lvt_trainer *t, lvt_diag *diag);
/* Of any task; at most, for one that has not begun: a memory may hold less than its capacity. */
uint64_t lvt_trainer_images(const lvt_trainer *t, int task);
uint64_t lvt_trainer_steps(const lvt_trainer *t, int task); /* of a task */
uint64_t lvt_trainer_epoch_steps(const lvt_trainer *t);     /* of an epoch of the task that has begun */
/* Fills the inputs of the next step; the entry that takes them. */
lvt_entry_kind lvt_trainer_batch(lvt_trainer *t);
/* Adds the time since the last call to that of the run. */
void lvt_trainer_tick(lvt_trainer *t);
/* Gives a coefficient its value; nothing when no entry has it. */
void lvt_trainer_set(lvt_model *m, const char *name, double value);

/* Does a step of the current task take a second batch (entry train), or new images alone (train_new)? */
static inline bool lvt_trainer_rehearses(const lvt_trainer *t) {
    return t->method->rehearsal == LVT_REHEARSE_MEMORY
               ? t->memory.n > 0
               : t->method->rehearsal == LVT_REHEARSE_SELF && t->at.task > 0;
}

/* early_stopping.c. LVT_NOMEM. */
lvt_status lvt_early_init(lvt_trainer *t, lvt_diag *diag);
/* The end of an epoch: measures, and keeps the states if they are the best so far. */
lvt_status lvt_early_epoch(lvt_trainer *t, lvt_diag *diag);
/* Is the task over, because nothing became better for long enough? */
bool lvt_early_done(const lvt_trainer *t);
/* The end of a task: back to the best epoch. */
void lvt_early_end(lvt_trainer *t);
void lvt_early_free(lvt_trainer *t);

/* The images that accuracies are of. */
static inline lvt_part lvt_trainer_tested(const lvt_trainer *t) {
    return (lvt_part){&t->data->test, t->tested, true};
}
/* Is anything measured after `learned` tasks? */
static inline bool lvt_trainer_measures(const lvt_trainer *t, int learned) {
    return learned == t->tasks.n || learned % t->settings->eval_every == 0;
}

/* task_end.c: importance, consolidation, memory and evaluation at the end of the current task. */
lvt_status lvt_task_end(lvt_trainer *t, lvt_diag *diag);
/* Row `learned` of both matrices. */
lvt_status lvt_trainer_evaluate(lvt_trainer *t, int learned, lvt_diag *diag);
/* A record of type accuracy for each task in row `learned` that is evaluated; 0: the untrained network. */
lvt_status lvt_trainer_record_accuracy(lvt_trainer *t, int learned, lvt_diag *diag);
/* Appends one record to metrics.jsonl and deletes it; NULL is LVT_NOMEM. */
lvt_status lvt_trainer_record(lvt_trainer *t, cJSON *record, lvt_diag *diag);
/* drift.c: appends how far keys and bias tables have moved since the ends of the previous and of the first
 * task, |now - then| / |then| each; nothing after the first task, or when the model has none. */
lvt_status lvt_drift_record(lvt_trainer *t, int learned, lvt_diag *diag);

#endif
