/* The images of a task, and of each step: a batch is a pure function of seed, step and place in the batch.
 * May not know: losses, the network but for what it says about images, files. */
#include "trainer.h"

#include <stdlib.h>
#include <string.h>

/* mask[c] = 1 for the classes of tasks 0..task. */
static void task_mask(const lvt_tasks *tasks, int task, float *mask) {
    for (int c = 0; c < tasks->classes; c++)
        mask[c] = tasks->task_of[c] <= task ? 1 : 0;
}

void lvt_augment_by(const lvt_settings *s, const lvt_dataset *d, lvt_augment *augment, lvt_mixing *mixing) {
    lvt_augment_init(augment, d);
    if (s->crop >= 0)
        augment->crop = s->crop;
    if (s->flip != LVT_FLIP_AUTO)
        augment->flip = s->flip == LVT_FLIP_ON;
    augment->cutout = s->cutout;
    augment->colour = (float)s->colour;
    *mixing = (lvt_mixing){s->mixup, s->cutmix, s->mix_part};
}

/* ---- the images of a task ------------------------------------------------------------ */

static bool in_task(const lvt_trainer *t, int task, size_t image) {
    int own = lvt_task_of_image(&t->tasks, &t->data->train, image);
    return (own == task || (t->method->reach == LVT_REACH_ALL_SO_FAR && own < task)) &&
           !(t->held && t->held[image]);
}

uint64_t lvt_trainer_images(const lvt_trainer *t, int task) {
    uint64_t n = t->method->reach == LVT_REACH_MEMORY && task ? t->memory.capacity : 0;
    for (size_t i = 0; i < t->data->train.n; i++)
        n += in_task(t, task, i);
    return n;
}

static uint64_t steps_of_epoch(const lvt_trainer *t, uint64_t images) {
    uint64_t batch = (uint64_t)t->model->batch;
    return (images + batch - 1) / batch;
}

uint64_t lvt_trainer_epoch_steps(const lvt_trainer *t) {
    return steps_of_epoch(t, t->n_index);
}

uint64_t lvt_trainer_steps(const lvt_trainer *t, int task) {
    uint64_t images = 0;
    if (t->index && task == t->at.task)
        images = t->n_index;
    else
        images = lvt_trainer_images(t, task);
    uint64_t steps = steps_of_epoch(t, images) * (uint64_t)t->settings->epochs,
             limit = (uint64_t)t->settings->steps;
    return limit && limit < steps ? limit : steps;
}

/* Of a method with one classifier both are the same, unless it answers by other means: then `injection` is
 * the network's. */
static void note_teacher(void *user, uint32_t i, const float *logits, const float *injection) {
    lvt_trainer *t = user;
    size_t classes = (size_t)t->tasks.classes;
    (void)logits;
    memcpy(t->teacher + i * classes, injection, classes * sizeof *injection);
}

/* Before the first step of a later task; inside a task the checkpoint has brought the teacher along. */
static lvt_status ask_teacher(lvt_trainer *t, lvt_diag *diag) {
    if (t->method->rehearsal != LVT_REHEARSE_SELF)
        return LVT_OK;
    for (uint32_t i = 0; i < t->n_index; i++)
        t->place[t->index[i]] = i;
    if (!t->at.task || t->at.step)
        return LVT_OK;
    memset(t->teacher, 0, (size_t)t->teacher_rows * (size_t)t->tasks.classes * sizeof *t->teacher);
    lvt_stop stop = {t->events.stop, t->events.user};
    return lvt_predict_images(t->model, &t->plain, &t->data->train, t->index, t->n_index, &stop, note_teacher,
                              t, diag);
}

/* LVT_REACH_MEMORY: adds the remembered images to the task's. The memory holds no places of a data set, so
 * they are found by what is in them; of equal images the first serves as well. */
static bool add_remembered(lvt_trainer *t) {
    const lvt_memory *m = &t->memory;
    uint32_t *more = realloc(t->index, (t->n_index + m->n + 1) * sizeof *more);
    if (!more)
        return false;
    t->index = more;
    for (size_t k = 0; k < m->n; k++) {
        for (size_t i = 0; i < t->data->train.n; i++) {
            if (t->data->train.labels[i] == m->labels[k] &&
                (!t->tasks.domains || t->data->train.domains[i] == m->tasks[k]) && !(t->held && t->held[i]) &&
                !memcmp(lvt_image_at(&t->data->train, m->image_bytes, i, t->scratch),
                        m->images + k * m->image_bytes, m->image_bytes)) {
                t->index[t->n_index++] = (uint32_t)i;
                break;
            }
        }
    }
    return true;
}

/* How often a step shows each class, on average: new images are drawn from the task's, each equally often, and
 * remembered ones from the memory, which does not change within a task. */
static void count_classes(lvt_trainer *t) {
    const lvt_memory *m = &t->memory;
    bool both = t->method->rehearsal == LVT_REHEARSE_MEMORY && m->n > 0;
    double all = t->model->batch + (both ? t->model->memory_batch : 0), *share = t->shares;
    for (int c = 0; c < t->tasks.classes; c++)
        share[c] = 0;
    for (uint32_t i = 0; i < t->n_index; i++)
        share[t->data->train.labels[t->index[i]]] += t->model->batch / all / t->n_index;
    for (size_t k = 0; both && k < m->n; k++)
        share[m->labels[k]] += t->model->memory_batch / all / (double)m->n;
    for (int c = 0; c < t->tasks.classes; c++)
        t->frequency[c] = (float)share[c];
}

lvt_status lvt_trainer_begin_task(lvt_trainer *t, lvt_diag *diag) {
    free(t->index);
    free(t->order);
    t->index = NULL;
    t->order = NULL;
    t->epoch_ordered = 0;
    lvt_part part = {&t->data->train, t->held, false};
    int first = t->method->reach == LVT_REACH_ALL_SO_FAR ? 0 : t->at.task;
    if (!lvt_task_images(&t->tasks, first, t->at.task, part, &t->index, &t->n_index))
        return lvt_no_memory(diag, NULL);
    t->n_own = t->n_index;
    if ((t->method->reach == LVT_REACH_MEMORY && !add_remembered(t)) ||
        !(t->order = malloc((t->n_index + 1) * sizeof *t->order)))
        return lvt_no_memory(diag, NULL);
    task_mask(&t->tasks, t->at.task, t->mask);
    for (int c = 0; c < t->tasks.classes; c++)
        t->task_mask[c] = t->tasks.domains || t->tasks.task_of[c] == t->at.task;
    count_classes(t);
    return ask_teacher(t, diag);
}

/* ---- the batches of a step ------------------------------------------------------------ */

/* New images: the epoch's order cut into batches; the last one is filled up from the order's beginning. */
static void take_new(lvt_trainer *t) {
    uint64_t per_epoch = lvt_trainer_epoch_steps(t), epoch = t->at.step / per_epoch;
    if (t->epoch_ordered != epoch + 1) {
        memcpy(t->order, t->index, t->n_index * sizeof *t->order);
        lvt_shuffle(t->settings->seed, LVT_RANDOM_SHUFFLE, (uint32_t)t->at.task, (uint32_t)epoch, t->order,
                    t->n_index, t->n_index);
        t->epoch_ordered = epoch + 1;
    }
    size_t pixels = lvt_image_bytes(t->data);
    uint64_t first = t->at.step % per_epoch * (uint64_t)t->model->batch, step = t->at.global_step;
    for (int i = 0; i < t->model->batch; i++) {
        uint32_t image = t->order[(first + (uint64_t)i) % t->n_index], words[LVT_AUGMENT_WORDS];
        lvt_augment_words(t->settings->seed, LVT_RANDOM_AUGMENT, step, (uint32_t)i, words);
        lvt_augment_image(&t->augment, lvt_image_at(&t->data->train, pixels, image, t->scratch), words,
                          (t->unmixed ? t->unmixed : t->x) + (size_t)i * pixels);
        t->y[i] = t->y2[i] = t->data->train.labels[image];
        t->mix[i] = 1;
        t->mixes[i] = (lvt_mix){.with = (uint32_t)i, .share = 1};
        t->batch_images[i] = image;
    }
    for (int i = 0; i < t->model->batch && t->unmixed; i++) {
        lvt_mix *mix = &t->mixes[i];
        *mix = lvt_mix_draw(&t->mixing, t->settings->seed, step, (uint32_t)i, (uint32_t)t->model->batch,
                            t->data->height, t->data->width);
        lvt_mix_images(mix, t->unmixed + (size_t)i * pixels, t->unmixed + mix->with * pixels, t->data->height,
                       t->data->width, t->data->channels, t->x + (size_t)i * pixels);
        t->y2[i] = t->y[mix->with];
        t->mix[i] = mix->share;
    }
}

/* The second batch is the first one again, with what the network said about its images before the task; of
 * mixed ones, mixed in the same shares. */
static void take_self(lvt_trainer *t) {
    size_t pixels = lvt_image_bytes(t->data), classes = (size_t)t->tasks.classes;
    for (int i = 0; i < t->model->memory_batch; i++) {
        int from = i % t->model->batch;
        memcpy(t->xm + (size_t)i * pixels, t->x + (size_t)from * pixels, pixels * sizeof *t->xm);
        t->ym[i] = t->y[from];
        const lvt_mix *mix = &t->mixes[from];
        const float *own = t->teacher + t->place[t->batch_images[from]] * classes,
                    *other = t->teacher + t->place[t->batch_images[mix->with]] * classes;
        for (size_t c = 0; c < classes; c++)
            t->zm[(size_t)i * classes + c] =
                mix->share == 1 ? own[c] : mix->share * own[c] + (1 - mix->share) * other[c];
        task_mask(&t->tasks, t->at.task - 1, t->zm_mask + (size_t)i * classes);
    }
}

/* Remembered images are never mixed: the logits stored with them are answers to the image alone, and a class
 * of which few are left is better seen whole. */
static void take_remembered(lvt_trainer *t) {
    const lvt_memory *memory = &t->memory;
    size_t pixels = memory->image_bytes, classes = (size_t)memory->classes;
    uint64_t step = t->at.global_step;
    lvt_memory_draw(memory, t->settings->seed, step, (uint32_t)t->model->memory_batch, t->draw, t->drawn);
    for (int i = 0; i < t->model->memory_batch; i++) {
        size_t k = t->drawn[i];
        uint32_t words[LVT_AUGMENT_WORDS];
        lvt_augment_words(t->settings->seed, LVT_RANDOM_AUGMENT_MEMORY, step, (uint32_t)i, words);
        lvt_augment_image(&t->augment, memory->images + k * pixels, words, t->xm + (size_t)i * pixels);
        t->ym[i] = memory->labels[k];
        memcpy(t->zm + (size_t)i * classes, memory->logits + k * classes, classes * sizeof *t->zm);
        task_mask(&t->tasks, t->method->logits == LVT_LOGITS_RENEWED ? t->at.task - 1 : memory->tasks[k],
                  t->zm_mask + (size_t)i * classes);
    }
}

lvt_entry_kind lvt_trainer_batch(lvt_trainer *t) {
    take_new(t);
    if (!lvt_trainer_rehearses(t))
        return LVT_ENTRY_TRAIN_NEW;
    if (t->method->rehearsal == LVT_REHEARSE_SELF)
        take_self(t);
    else
        take_remembered(t);
    return LVT_ENTRY_TRAIN;
}
