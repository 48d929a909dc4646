/* The training loop. May not know: command lines, terminals, file formats. */
#include "continual/trainer.h"
#include "continual/checkpoint.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

double lvt_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void lvt_task_mask(const lvt_tasks *tasks, int task, float *mask) {
    for (int c = 0; c < tasks->classes; c++)
        mask[c] = tasks->task_of[c] <= task ? 1 : 0;
}

/* ---- making ready -----------------------------------------------------------------------------------------
 */

/* Starting values (METHOD.md, section 2) of coefficients that the program has no default for. */
static const struct {
    const char *name;
    double value;
} starting[] = {{"alpha", 1}, {"beta", 0.5},   {"gamma", 1e-5}, {"r", 1},     {"lr", 0.1},
                {"clip", 5},  {"momentum", 0}, {"decay", 0},    {"weight", 1}};

/* The value a scalar has before schedules; afterwards the driver may write it every step. */
static double base_value(const lvt_model *m, const char *name, double otherwise) {
    int s = lvt_model_scalar(m, name);
    if (s < 0)
        return otherwise;
    return m->scalars[s].given         ? m->scalars[s].exact
           : m->scalars[s].has_default ? m->scalars[s].default_value
                                       : otherwise;
}

static void set_scalar(lvt_model *m, const char *name, double value) {
    int s = lvt_model_scalar(m, name);
    if (s >= 0) {
        m->scalars[s].exact = value;
        m->scalars[s].value = (float)value;
        m->scalars[s].given = true;
    }
}

static lvt_status prepare_scalars(lvt_trainer *t, lvt_diag *diag) {
    lvt_model *m = t->model;
    for (int i = 0; i < t->settings->coef.n; i++) {
        lvt_status status = lvt_model_set(m, t->settings->coef.items[i], diag);
        if (status != LVT_OK)
            return status;
    }
    if (t->settings->lr > 0)
        set_scalar(m, "lr", t->settings->lr);
    for (int i = 0; i < m->n_scalars; i++) {
        lvt_scalar *s = &m->scalars[i];
        for (size_t k = 0; k < sizeof starting / sizeof *starting && !s->given && !s->has_default; k++) {
            if (!strcmp(starting[k].name, s->name)) {
                s->exact = starting[k].value;
                s->value = (float)starting[k].value;
                s->given = true;
            }
        }
        if (!s->given && !s->has_default)
            return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                             "entry %s: the coefficient %s has no default; give it with --coef %s=VALUE",
                             s->entry, s->name, s->name);
    }
    const struct {
        const char *name;
        double value;
    } usual[] = {{"alpha", t->method->alpha}, {"beta", t->method->beta}, {"gamma", t->method->gamma}};
    for (int i = 0; i < 3; i++) {
        int s = lvt_model_scalar(m, usual[i].name);
        if (s >= 0 && !m->scalars[s].given && !isnan(usual[i].value))
            set_scalar(m, usual[i].name, usual[i].value);
    }
    t->learning_rate = base_value(m, "lr", 0.1);
    t->r0 = base_value(m, "r", 1);
    t->gamma0 = t->settings->no_drift ? 0 : base_value(m, "gamma", 0);
    return LVT_OK;
}

/* The method: what the program was compiled with, which --method must agree with. */
static lvt_status find_method(lvt_trainer *t, lvt_diag *diag) {
    const char *compiled = t->model->method ? t->model->method : "lvt", *wanted = t->settings->method;
    const char *name = wanted ? wanted : compiled;
    lvt_status status = LVT_OK;
    t->method = lvt_method_find(name);
    if (!t->method) {
        const char *near = lvt_method_nearest(name);
        status =
            lvt_error(diag, wanted ? LVT_USAGE : LVT_USER, NULL, LVT_NOWHERE, "no such method, \"%s\"%s%s%s",
                      name, near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
        lvt_note(diag, LVT_NOWHERE, "the methods are %.*s", (int)strlen(lvt_method_list()) - 2,
                 lvt_method_list());
    } else if (strcmp(name, compiled)) {
        status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                           "the program was compiled with the method %s, not %s", compiled, name);
        lvt_note(diag, LVT_NOWHERE, "compile the model with `--set method=%s`", name);
    }
    return status;
}

static lvt_status check(lvt_trainer *t, lvt_diag *diag) {
    const lvt_settings *s = t->settings;
    const lvt_model *m = t->model;
    lvt_status status = lvt_model_fits(m, t->data, diag);
    if (status == LVT_OK)
        status = find_method(t, diag);
    if (status != LVT_OK)
        return status;
    bool remembers = t->method->rehearsal == LVT_REHEARSE_MEMORY || t->method->reach == LVT_REACH_MEMORY;
    if (t->method->measured == LVT_MEASURE_MEMORY && !s->memory)
        return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                         "the method %s answers by what it remembers: it needs --memory", t->method->name);
    if (s->memory && !remembers)
        return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                         "the method %s remembers no images: leave --memory out", t->method->name);
    t->policy = s->policy == LVT_POLICY_AUTO ? t->method->policy : (lvt_memory_policy)(s->policy - 1);
    bool second = s->memory || t->method->rehearsal == LVT_REHEARSE_SELF;
    const char *lacks = !lvt_model_has(m, LVT_ENTRY_TRAIN_NEW) ? lvt_entry_kind_name(LVT_ENTRY_TRAIN_NEW)
                        : second && !lvt_model_has(m, LVT_ENTRY_TRAIN) ? lvt_entry_kind_name(LVT_ENTRY_TRAIN)
                                                                       : NULL;
    if (lacks) {
        status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "the program \"%s\" has no entry %s",
                           lvt_model_module(m)->name, lacks);
        if (s->memory && lvt_model_has(m, LVT_ENTRY_TRAIN_NEW))
            lvt_note(diag, LVT_NOWHERE,
                     "without it the model cannot use a memory; it can be trained with --memory 0");
        return status;
    }
    int kinds = t->data->classes * (t->data->domains ? t->data->domains : 1);
    if (s->memory && s->memory < kinds) {
        status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                           "a memory of %d images is smaller than the %d classes%s: some would have none",
                           s->memory, kinds, t->data->domains ? " of all domains" : "");
        lvt_note(diag, LVT_NOWHERE, "--memory %d at least, or 0 for none", kinds);
    }
    return status;
}

/* "10%" or "0.1". */
static lvt_status hold_back(lvt_trainer *t, lvt_diag *diag) {
    const char *text = t->settings->validation;
    if (!text)
        return LVT_OK;
    char *end;
    double part = strtod(text, &end);
    if (end != text && *end == '%') {
        part /= 100;
        end++;
    }
    if (end == text || *end || !(part > 0 && part <= 0.9))
        return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE,
                         "--validation: \"%s\" is not a part such as 10%%, at most 90%%", text);
    t->held = calloc(t->data->train.n + 1, sizeof *t->held);
    if (!t->held ||
        !lvt_validation_images(&t->data->train, t->data->classes, part, t->settings->seed, t->held))
        return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "out of memory");
    int *left = calloc((size_t)t->data->classes, sizeof *left);
    if (!left)
        return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "out of memory");
    for (size_t i = 0; i < t->data->train.n; i++) {
        t->n_held += t->held[i];
        left[t->data->train.labels[i]] |= t->held[i] ? 1 : 2;
    }
    lvt_status status = LVT_OK;
    for (int c = 0; c < t->data->classes && status == LVT_OK; c++) {
        if (left[c] != 3)
            status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                               "--validation: class %d (%s) has only one training image", c,
                               t->data->class_names[c]);
    }
    free(left);
    return status;
}

static bool in_task(const lvt_trainer *t, int task, size_t image) {
    int own = lvt_task_of_image(&t->tasks, &t->data->train, image);
    return (own == task || (t->method->reach == LVT_REACH_ALL_SO_FAR && own < task)) &&
           !(t->held && t->held[image]);
}

/* At most, for a task that has not begun: a memory may hold less than its capacity. */
static uint64_t images_of(const lvt_trainer *t, int task) {
    uint64_t n = t->method->reach == LVT_REACH_MEMORY && task ? t->memory.capacity : 0;
    for (size_t i = 0; i < t->data->train.n; i++)
        n += in_task(t, task, i);
    return n;
}

/* Room for what a teacher said about the images of any task. */
static bool make_teacher(lvt_trainer *t) {
    for (int k = 0; k < t->tasks.n; k++) {
        uint64_t n = images_of(t, k);
        t->teacher_rows = n > t->teacher_rows ? (uint32_t)n : t->teacher_rows;
    }
    t->teacher = calloc((size_t)t->teacher_rows * (size_t)t->tasks.classes + 1, sizeof *t->teacher);
    t->place = calloc(t->data->train.n + 1, sizeof *t->place);
    return t->teacher && t->place;
}

lvt_status lvt_trainer_init(lvt_trainer *t, const lvt_settings *s, lvt_model *m, const lvt_dataset *d,
                            const char *folder, const lvt_events *events, lvt_diag *diag) {
    static const lvt_events none;
    *t = (lvt_trainer){
        .settings = s, .model = m, .data = d, .folder = folder, .events = events ? *events : none};
    lvt_status status = check(t, diag);
    if (status == LVT_OK)
        status =
            lvt_tasks_make(d, s->tasks, s->first_task, s->split, s->class_order, s->seed, &t->tasks, diag);
    if (status == LVT_OK)
        status = hold_back(t, diag);
    if (status == LVT_OK)
        status = prepare_scalars(t, diag);
    if (status == LVT_OK)
        status = lvt_memory_init(&t->memory, (size_t)s->memory, d, diag);
    if (status != LVT_OK)
        return status;
    lvt_augment_init(&t->plain, d);
    t->augment = t->plain;
    if (s->crop >= 0)
        t->augment.crop = s->crop;
    if (s->flip != LVT_FLIP_AUTO)
        t->augment.flip = s->flip == LVT_FLIP_ON;

    size_t pixels = lvt_image_bytes(d), classes = (size_t)d->classes, n = (size_t)t->tasks.n;
    size_t batch = (size_t)m->batch, remembered = (size_t)m->memory_batch;
    t->class_il = malloc((n + 1) * n * sizeof *t->class_il);
    t->task_il = malloc((n + 1) * n * sizeof *t->task_il);
    t->last.confusion = calloc(classes * classes, sizeof *t->last.confusion);
    t->last.bins = calloc(LVT_CALIBRATION_BINS * 3, sizeof *t->last.bins);
    t->task_seconds = calloc(n, sizeof *t->task_seconds);
    t->batch_images = calloc(batch, sizeof *t->batch_images);
    for (int k = 0; k < 2 && t->held; k++) {
        if (!(t->validation[k] = malloc((n + 1) * n * sizeof *t->validation[k])))
            return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "out of memory");
    }
    t->x = malloc(batch * pixels * sizeof *t->x);
    t->y = malloc(batch * sizeof *t->y);
    t->xm = malloc((remembered * pixels + 1) * sizeof *t->xm);
    t->ym = malloc((remembered + 1) * sizeof *t->ym);
    t->zm = malloc((remembered * classes + 1) * sizeof *t->zm);
    t->zm_mask = malloc((remembered * classes + 1) * sizeof *t->zm_mask);
    t->mask = malloc(classes * sizeof *t->mask);
    t->draw = malloc((t->memory.capacity + 1) * sizeof *t->draw);
    t->drawn = malloc((remembered + 1) * sizeof *t->drawn);
    if (!t->class_il || !t->task_il || !t->x || !t->y || !t->xm || !t->ym || !t->zm || !t->zm_mask ||
        !t->mask || !t->draw || !t->drawn || !t->last.confusion || !t->last.bins || !t->task_seconds ||
        !t->batch_images || (t->method->rehearsal == LVT_REHEARSE_SELF && !make_teacher(t)))
        return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "out of memory");
    for (size_t i = 0; i < (n + 1) * n; i++)
        t->class_il[i] = t->task_il[i] = NAN;
    for (size_t i = 0; i < (n + 1) * n && t->held; i++)
        t->validation[0][i] = t->validation[1][i] = NAN;
    return LVT_OK;
}

void lvt_trainer_free(lvt_trainer *t) {
    void *buffers[] = {t->class_il,
                       t->task_il,
                       t->x,
                       t->y,
                       t->xm,
                       t->ym,
                       t->zm,
                       t->zm_mask,
                       t->mask,
                       t->draw,
                       t->drawn,
                       t->index,
                       t->order,
                       t->held,
                       t->validation[0],
                       t->validation[1],
                       t->last.confusion,
                       t->last.bins,
                       t->task_seconds,
                       t->batch_images,
                       t->teacher,
                       t->place};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        free(buffers[i]);
    if (t->metrics)
        fclose(t->metrics);
    lvt_tasks_free(&t->tasks);
    lvt_memory_free(&t->memory);
    *t = (lvt_trainer){0};
}

/* ---- one step ---------------------------------------------------------------------------------------------
 */

static uint64_t steps_of_epoch(const lvt_trainer *t, uint64_t images) {
    uint64_t batch = (uint64_t)t->model->batch;
    return (images + batch - 1) / batch;
}

uint64_t lvt_trainer_steps(const lvt_trainer *t, int task) {
    uint64_t images = 0;
    if (t->index && task == t->at.task)
        images = t->n_index;
    else
        images = images_of(t, task);
    uint64_t steps = steps_of_epoch(t, images) * (uint64_t)t->settings->epochs,
             limit = (uint64_t)t->settings->steps;
    return limit && limit < steps ? limit : steps;
}

/* New images: the epoch's order cut into batches; the last one is filled up from the order's beginning. */
static void take_new(lvt_trainer *t) {
    uint64_t per_epoch = steps_of_epoch(t, t->n_index), epoch = t->at.step / per_epoch;
    if (t->epoch_ordered != epoch + 1) {
        memcpy(t->order, t->index, t->n_index * sizeof *t->order);
        lvt_shuffle(t->settings->seed, LVT_RANDOM_SHUFFLE, (uint32_t)t->at.task, (uint32_t)epoch, t->order,
                    t->n_index, t->n_index);
        t->epoch_ordered = epoch + 1;
    }
    size_t pixels = lvt_image_bytes(t->data);
    uint64_t first = t->at.step % per_epoch * (uint64_t)t->model->batch, step = t->at.global_step;
    for (int i = 0; i < t->model->batch; i++) {
        uint32_t image = t->order[(first + (uint64_t)i) % t->n_index], words[4];
        lvt_philox(t->settings->seed, LVT_RANDOM_AUGMENT, (uint32_t)step, (uint32_t)(step >> 32), (uint32_t)i,
                   words);
        lvt_augment_image(&t->augment, t->data->train.pixels + image * pixels, words,
                          t->x + (size_t)i * pixels);
        t->y[i] = t->data->train.labels[image];
        t->batch_images[i] = image;
    }
}

/* The second batch is the first one again, with what the network said about its images before the task. */
static void take_self(lvt_trainer *t) {
    size_t pixels = lvt_image_bytes(t->data), classes = (size_t)t->tasks.classes;
    for (int i = 0; i < t->model->memory_batch; i++) {
        int from = i % t->model->batch;
        memcpy(t->xm + (size_t)i * pixels, t->x + (size_t)from * pixels, pixels * sizeof *t->xm);
        t->ym[i] = t->y[from];
        memcpy(t->zm + (size_t)i * classes, t->teacher + t->place[t->batch_images[from]] * classes,
               classes * sizeof *t->zm);
        lvt_task_mask(&t->tasks, t->at.task - 1, t->zm_mask + (size_t)i * classes);
    }
}

static void take_remembered(lvt_trainer *t) {
    const lvt_memory *memory = &t->memory;
    size_t pixels = memory->image_bytes, classes = (size_t)memory->classes;
    uint64_t step = t->at.global_step;
    lvt_memory_draw(memory, t->settings->seed, step, (uint32_t)t->model->memory_batch, t->draw, t->drawn);
    for (int i = 0; i < t->model->memory_batch; i++) {
        size_t k = t->drawn[i];
        uint32_t words[4];
        lvt_philox(t->settings->seed, LVT_RANDOM_AUGMENT_MEMORY, (uint32_t)step, (uint32_t)(step >> 32),
                   (uint32_t)i, words);
        lvt_augment_image(&t->augment, memory->images + k * pixels, words, t->xm + (size_t)i * pixels);
        t->ym[i] = memory->labels[k];
        memcpy(t->zm + (size_t)i * classes, memory->logits + k * classes, classes * sizeof *t->zm);
        lvt_task_mask(&t->tasks, memory->tasks[k], t->zm_mask + (size_t)i * classes);
    }
}

static lvt_status one_step(lvt_trainer *t, uint64_t steps, lvt_diag *diag) {
    lvt_model *m = t->model;
    take_new(t);
    lvt_entry_kind entry = LVT_ENTRY_TRAIN_NEW;
    if (lvt_trainer_rehearses(t)) {
        entry = LVT_ENTRY_TRAIN;
        if (t->method->rehearsal == LVT_REHEARSE_SELF)
            take_self(t);
        else
            take_remembered(t);
    }
    set_scalar(m, "lr", lvt_lr_at(t->settings, t->learning_rate, t->at.step, steps));
    set_scalar(m, "r", lvt_r_at(t->r0, t->settings->r_decay, t->at.task));
    set_scalar(m, "gamma", t->at.task ? t->gamma0 : 0);
    t->step_input[0] = (int32_t)(uint32_t)t->settings->seed;
    t->step_input[1] = (int32_t)(uint32_t)t->at.global_step;
    const void *tensors[LVT_N_INPUTS] = {
        [LVT_IN_X] = t->x,       [LVT_IN_Y] = t->y,
        [LVT_IN_XM] = t->xm,     [LVT_IN_YM] = t->ym,
        [LVT_IN_ZM] = t->zm,     [LVT_IN_ZM_MASK] = t->zm_mask,
        [LVT_IN_MASK] = t->mask, [LVT_IN_STEP] = t->step_input,
    };
    lvt_status status = lvt_model_run(m, entry, tensors, diag);
    if (status != LVT_OK)
        return status;
    const lvt_bound_entry *b = &m->entries[entry];
    for (int i = 0; i < b->n_losses; i++) {
        double loss = *(const float *)lvt_session_output(m->session, b->index, b->losses[i]);
        if (!isfinite(loss)) {
            status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                               "training diverged: %s is %g in step %llu of task %d", b->loss_names[i], loss,
                               (unsigned long long)t->at.step + 1, t->at.task + 1);
            lvt_note(diag, LVT_NOWHERE, "a lower --lr or --coef clip=VALUE may help");
            return status;
        }
        t->sums[i] += loss;
    }
    t->summed++;
    t->images += (uint64_t)(m->batch + (entry == LVT_ENTRY_TRAIN ? m->memory_batch : 0));
    t->at.step++;
    t->at.global_step++;
    t->steps_here++;
    return LVT_OK;
}

/* ---- records ----------------------------------------------------------------------------------------------
 */

lvt_status lvt_trainer_record(lvt_trainer *t, cJSON *record, lvt_diag *diag) {
    char *text = record ? cJSON_PrintUnformatted(record) : NULL;
    cJSON_Delete(record);
    if (!text)
        return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "out of memory");
    lvt_status status = LVT_OK;
    if (t->metrics) {
        int n = fprintf(t->metrics, "%s\n", text);
        if (n < 0 || fflush(t->metrics) != 0)
            status = lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s/metrics.jsonl: cannot be written: %s",
                               t->folder, strerror(errno));
        else
            t->metrics_bytes += (uint64_t)n;
    }
    cJSON_free(text);
    return status;
}

static double steps_left(const lvt_trainer *t, uint64_t steps) {
    double left = (double)(steps - t->at.step);
    for (int k = t->at.task + 1; k < t->tasks.n; k++)
        left += (double)lvt_trainer_steps(t, k);
    return left;
}

static lvt_status report(lvt_trainer *t, uint64_t steps, bool record, lvt_diag *diag) {
    const lvt_bound_entry *b =
        &t->model->entries[lvt_trainer_rehearses(t) ? LVT_ENTRY_TRAIN : LVT_ENTRY_TRAIN_NEW];
    double now = lvt_clock(), here = now - t->started;
    lvt_progress p = {
        .task = t->at.task + 1,
        .epoch = (int)((t->at.step - 1) / steps_of_epoch(t, t->n_index)) + 1,
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
    t->summed = t->images = 0;
    t->seconds += now - t->clock;
    t->clock = now;
    cJSON_AddNumberToObject(j, "seconds", t->seconds);
    return lvt_trainer_record(t, j, diag);
}

/* ---- the loop ---------------------------------------------------------------------------------------------
 */

static bool stopping(const lvt_trainer *t) {
    return t->events.stop && t->events.stop(t->events.user);
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
            if (t->data->train.labels[i] == m->labels[k] && !(t->held && t->held[i]) &&
                !memcmp(t->data->train.pixels + i * m->image_bytes, m->images + k * m->image_bytes,
                        m->image_bytes)) {
                t->index[t->n_index++] = (uint32_t)i;
                break;
            }
        }
    }
    return true;
}

static lvt_status begin_task(lvt_trainer *t, lvt_diag *diag) {
    free(t->index);
    free(t->order);
    t->index = NULL;
    t->order = NULL;
    t->epoch_ordered = 0;
    lvt_part part = {&t->data->train, t->held, false};
    int first = t->method->reach == LVT_REACH_ALL_SO_FAR ? 0 : t->at.task;
    if (!lvt_task_images(&t->tasks, first, t->at.task, part, &t->index, &t->n_index))
        return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "out of memory");
    t->n_own = t->n_index;
    if ((t->method->reach == LVT_REACH_MEMORY && !add_remembered(t)) ||
        !(t->order = malloc((t->n_index + 1) * sizeof *t->order)))
        return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "out of memory");
    lvt_task_mask(&t->tasks, t->at.task, t->mask);
    return ask_teacher(t, diag);
}

static lvt_status train_task(lvt_trainer *t, lvt_diag *diag) {
    const lvt_settings *s = t->settings;
    uint64_t steps = lvt_trainer_steps(t, t->at.task), log = (uint64_t)s->log_every;
    double shown = 0;
    t->clock = lvt_clock();
    while (t->at.step < steps) {
        lvt_status status = one_step(t, steps, diag);
        if (status != LVT_OK)
            return status;
        bool last = t->at.step == steps, record = last || t->at.step % log == 0;
        double now = lvt_clock();
        if (record || now - shown > 0.5) {
            shown = now;
            status = report(t, steps, record, diag);
        }
        bool stop = stopping(t);
        /* Before a task's end too: what happens there is repeated when it does not come to its end. */
        if (status == LVT_OK &&
            (stop || last || (s->checkpoint_every && t->at.step % (uint64_t)s->checkpoint_every == 0)))
            status = lvt_checkpoint_save(t, false, diag);
        if (status != LVT_OK || stop)
            return status != LVT_OK ? status : LVT_INTERRUPT;
    }
    return LVT_OK;
}

lvt_status lvt_trainer_run(lvt_trainer *t, lvt_diag *diag) {
    t->started = t->clock = lvt_clock();
    lvt_status status = LVT_OK;
    if (t->settings->fwt && t->at.global_step == 0)
        status = lvt_trainer_evaluate(t, 0, diag);
    while (t->at.task < t->tasks.n && status == LVT_OK) {
        status = begin_task(t, diag);
        if (status == LVT_OK)
            status = train_task(t, diag);
        if (status == LVT_OK)
            status = lvt_task_end(t, diag);
        if (status != LVT_OK)
            break;
        t->at.task++;
        t->at.step = 0;
        status = lvt_checkpoint_save(t, true, diag);
        if (status == LVT_OK && t->events.evaluated)
            t->events.evaluated(t->events.user, t);
    }
    return status;
}
