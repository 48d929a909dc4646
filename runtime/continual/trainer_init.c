/* Making a trainer ready: do data, model, method and settings go together? May not know: steps, files. */
#include "trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Starting values (models/README.md) of coefficients that the program has no default for. */
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

static lvt_status prepare_scalars(lvt_trainer *t, lvt_diag *diag) {
    lvt_model *m = t->model;
    for (int i = 0; i < t->settings->coef.n; i++) {
        lvt_status status = lvt_model_set(m, t->settings->coef.items[i], diag);
        if (status != LVT_OK)
            return status;
    }
    if (t->settings->lr > 0)
        lvt_trainer_set(m, "lr", t->settings->lr);
    const struct {
        const char *name;
        double value;
    } usual[] = {{"alpha", t->method->alpha}, {"beta", t->method->beta}, {"gamma", t->method->gamma}};
    for (int i = 0; i < 3; i++) {
        int s = lvt_model_scalar(m, usual[i].name);
        if (s >= 0 && !m->scalars[s].given && !isnan(usual[i].value))
            lvt_trainer_set(m, usual[i].name, usual[i].value);
    }
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
    if (t->settings->label_smoothing > 0)
        lvt_trainer_set(m, "smoothing", t->settings->label_smoothing);
    t->learning_rate = base_value(m, "lr", 0.1);
    t->r0 = base_value(m, "r", 1);
    t->gamma0 = t->settings->no_drift ? 0 : base_value(m, "gamma", 0);
    return LVT_OK;
}

/* The method: what the program was compiled with, which --method must agree with. */
static lvt_status find_method(lvt_trainer *t, lvt_diag *diag) {
    const char *compiled = t->model->method ? t->model->method : LVT_METHOD_OWN,
               *wanted = t->settings->method;
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
        if (!wanted)
            lvt_note(diag, LVT_NOWHERE,
                     "a model with a loss of its own has no setting `method`, or method = \"own\"");
    } else if (strcmp(name, compiled)) {
        status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                           "the program was compiled with the method %s, not %s", compiled, name);
        if (t->model->method)
            lvt_note(diag, LVT_NOWHERE, "compile the model with `--set method=%s`", name);
    }
    return status;
}

/* Will some step take a second batch (see lvt_trainer_rehearses), which entry train does? */
static bool runs_train(const lvt_trainer *t) {
    return t->settings->memory || t->method->rehearsal == LVT_REHEARSE_SELF;
}

static lvt_status no_soft_labels(const char *option, lvt_diag *diag) {
    lvt_status status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                                  "%s: the program takes one whole label an image", option);
    lvt_note(
        diag, LVT_NOWHERE,
        "compile the model with `lvtc --set soft=true`; a model of your own needs the inputs y2, mix and "
        "smoothing (models/README.md)");
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
    if (t->method->rehearsal == LVT_REHEARSE_MEMORY && t->method->measured == LVT_MEASURE_NOTHING &&
        !s->memory)
        return lvt_error(
            diag, LVT_USER, NULL, LVT_NOWHERE,
            "the method %s is nothing but fine-tuning without --memory: it replays what it remembers",
            t->method->name);
    bool measures = strcmp(t->method->name, LVT_METHOD_OWN) && /* which promises nothing */
                    (t->method->measured == LVT_MEASURE_MEMORY ||
                     (t->method->measured == LVT_MEASURE_TASK && !s->no_drift));
    for (int e = LVT_ENTRY_IMPORTANCE; e <= LVT_ENTRY_CONSOLIDATE; e++) {
        if (measures && !lvt_model_has(m, (lvt_entry_kind)e))
            return lvt_error(
                diag, LVT_USER, NULL, LVT_NOWHERE,
                "the method %s measures at the end of each task: the program \"%s\" has no entry %s",
                t->method->name, lvt_model_module(m)->name, lvt_entry_kind_name((lvt_entry_kind)e));
    }
    if (s->memory && !remembers)
        return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                         "the method %s remembers no images: leave --memory out", t->method->name);
    t->policy = s->policy == LVT_POLICY_AUTO ? t->method->policy : (lvt_memory_policy)(s->policy - 1);
    const char *lacks = !lvt_model_has(m, LVT_ENTRY_TRAIN_NEW) ? lvt_entry_kind_name(LVT_ENTRY_TRAIN_NEW)
                        : runs_train(t) && !lvt_model_has(m, LVT_ENTRY_TRAIN)
                            ? lvt_entry_kind_name(LVT_ENTRY_TRAIN)
                            : NULL;
    if (lacks) {
        status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "the program \"%s\" has no entry %s",
                           lvt_model_module(m)->name, lacks);
        if (s->memory && lvt_model_has(m, LVT_ENTRY_TRAIN_NEW))
            lvt_note(diag, LVT_NOWHERE,
                     "without it the model cannot use a memory; it can be trained with --memory 0");
        return status;
    }
    if ((s->mixup > 0 || s->cutmix > 0) && !lvt_model_mixes(m))
        return no_soft_labels(s->mixup > 0 ? "--mixup" : "--cutmix", diag);
    if (s->label_smoothing > 0 && lvt_model_scalar(m, "smoothing") < 0)
        return no_soft_labels("--label-smoothing", diag);
    if (s->early_stopping && !s->validation) {
        status = lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE,
                           "--early-stopping needs images to measure with: give --validation PART");
        lvt_note(diag, LVT_NOWHERE, "such as --validation 10%%");
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

static lvt_status hold_back(lvt_trainer *t, lvt_diag *diag) {
    double part;
    LVT_TRY(lvt_settings_validation(t->settings, &part, diag));
    if (!part)
        return LVT_OK;
    t->held = calloc(t->data->train.n + 1, sizeof *t->held);
    if (!t->held ||
        !lvt_validation_images(&t->data->train, t->data->classes, part, t->settings->seed, t->held))
        return lvt_no_memory(diag, NULL);
    int classes = t->data->classes, kinds = classes * (t->data->domains ? t->data->domains : 1);
    int *left = calloc((size_t)kinds, sizeof *left);
    if (!left)
        return lvt_no_memory(diag, NULL);
    const lvt_images *all = &t->data->train;
    for (size_t i = 0; i < all->n; i++) {
        t->n_held += t->held[i];
        left[all->labels[i] + classes * (all->domains ? all->domains[i] : 0)] |= t->held[i] ? 1 : 2;
    }
    lvt_status status = LVT_OK;
    for (int k = 0; k < kinds && status == LVT_OK; k++) {
        if (left[k] != 3)
            status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                               "--validation: class %d (%s) has only one training image%s%s", k % classes,
                               t->data->class_names[k % classes], t->data->domains ? " in domain " : "",
                               t->data->domains ? t->data->domain_names[k / classes] : "");
    }
    free(left);
    return status;
}

/* --test-images: which. */
static lvt_status choose_tested(lvt_trainer *t, lvt_diag *diag) {
    size_t n = (size_t)t->settings->test_images, all = t->data->test.n;
    size_t kinds = (size_t)t->data->classes * (size_t)(t->data->domains ? t->data->domains : 1);
    t->n_tested = all;
    lvt_settings_trial(t->settings, t->trial);
    if (!n)
        return LVT_OK;
    if (n < kinds || n >= all)
        return lvt_error(
            diag, LVT_USAGE, NULL, LVT_NOWHERE,
            n < kinds ? "--test-images %zu: there are %zu classes%s, and each needs an image"
                      : "--test-images %zu: there are %zu test images%s; without it all are measured on",
            n, n < kinds ? kinds : all, n < kinds && t->data->domains ? " of all domains" : "");
    t->tested = calloc(all + 1, sizeof *t->tested);
    if (!t->tested || !lvt_tested_images(&t->data->test, t->data->classes, n, t->tested))
        return lvt_no_memory(diag, NULL);
    t->n_tested = 0;
    for (size_t i = 0; i < all; i++)
        t->n_tested += t->tested[i];
    return LVT_OK;
}

static bool gives(const lvt_settings *s, const char *name) {
    size_t n = strlen(name);
    for (int i = 0; i < s->coef.n; i++) {
        if (!strncmp(s->coef.items[i], name, n) && s->coef.items[i][n] == '=')
            return true;
    }
    return false;
}

/* Does an entry of the set `run` compute with it? */
static bool computes(const lvt_model *m, const char *name, unsigned run) {
    int s = lvt_model_scalar(m, name);
    return s >= 0 && m->scalars[s].used & run;
}

lvt_status lvt_trainer_effects(const lvt_trainer *t, lvt_diag *diag) {
    const lvt_settings *s = t->settings;
    const lvt_model *m = t->model;
    unsigned run = runs_train(t) ? ~0u : ~(1u << LVT_ENTRY_TRAIN);
    bool holds = computes(m, "gamma", ~0u), fades = computes(m, "r", run), steps = computes(m, "lr", run);
    lvt_settings usual;
    lvt_settings_defaults(&usual);
    const struct {
        bool vain;
        lvt_status status;
        const char *text;
    } rules[] = {
        {s->policy != LVT_POLICY_AUTO && !s->memory, LVT_USAGE,
         "--memory-policy says which images --memory N keeps: give both or neither"},
        {s->mix_part != usual.mix_part && s->mixup <= 0 && s->cutmix <= 0, LVT_USAGE,
         "--mix-part says how many images --mixup or --cutmix mixes: give one of them too"},
        {s->lr > 0 && gives(s, "lr"), LVT_USAGE, "--lr and --coef lr are the same: give one of them"},
        {s->label_smoothing > 0 && gives(s, "smoothing"), LVT_USAGE,
         "--label-smoothing and --coef smoothing are the same: give one of them"},
        {s->no_drift && gives(s, "gamma"), LVT_USAGE, "--no-drift and --coef gamma contradict each other"},
        {s->no_drift && !holds, LVT_USER,
         "--no-drift: the program holds no parameters back (its gamma is not used)"},
        {s->r_decay != usual.r_decay && !fades, LVT_USER,
         "--r-decay: the loss of the program has no weight r"},
        {s->lr > 0 && !steps, LVT_USER, "--lr: the program computes with no rate (input lr)"},
        {s->lr_schedule != usual.lr_schedule && !steps, LVT_USER,
         "--lr-schedule: the program computes with no rate (input lr)"},
        {s->lr_warmup != usual.lr_warmup && !steps, LVT_USER,
         "--lr-warmup: the program computes with no rate (input lr)"},
        {s->eval_every > t->tasks.n, LVT_USAGE,
         "--eval-every: there are fewer tasks; the last one is measured in any case"},
        {s->eval_every > 1 && s->fwt, LVT_USAGE,
         "--fwt needs what is measured before each task, which --eval-every leaves out"},
        {gives(s, "weight"), LVT_USER,
         "--coef weight: the driver gives it, a batch's share of the task's images"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (rules[i].vain)
            return lvt_error(diag, rules[i].status, NULL, LVT_NOWHERE, "%s", rules[i].text);
    }
    for (int i = 0; i < m->n_scalars; i++) {
        if (!(m->scalars[i].used & run) && gives(s, m->scalars[i].name))
            return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                             "--coef %s: the program does not compute with it (method %s%s)",
                             m->scalars[i].name, t->method->name,
                             m->scalars[i].used ? ", without a memory" : "");
    }
    return LVT_OK;
}

/* Room for what a teacher said about the images of any task. */
static bool make_teacher(lvt_trainer *t) {
    for (int k = 0; k < t->tasks.n; k++) {
        uint64_t n = lvt_trainer_images(t, k);
        t->teacher_rows = n > t->teacher_rows ? (uint32_t)n : t->teacher_rows;
    }
    t->teacher = calloc((size_t)t->teacher_rows * (size_t)t->tasks.classes + 1, sizeof *t->teacher);
    t->place = calloc(t->data->train.n + 1, sizeof *t->place);
    return t->teacher && t->place;
}

lvt_status lvt_trainer_init(lvt_trainer *t, const lvt_settings *s, lvt_model *m, const lvt_dataset *d,
                            const lvt_folder *folder, const lvt_events *events, lvt_diag *diag) {
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
        status = choose_tested(t, diag);
    if (status == LVT_OK)
        status = prepare_scalars(t, diag);
    if (status == LVT_OK)
        status = lvt_memory_init(&t->memory, (size_t)s->memory, d, diag);
    if (status != LVT_OK)
        return status;
    lvt_augment_init(&t->plain, d);
    lvt_augment_by(s, d, &t->augment, &t->mixing);

    size_t pixels = lvt_image_bytes(d), classes = (size_t)d->classes, n = (size_t)t->tasks.n;
    size_t batch = (size_t)m->batch, remembered = (size_t)m->memory_batch;
    for (int k = 0; k < (t->held ? LVT_N_MATRICES : LVT_VALIDATION_CLASS_IL); k++) {
        if (!(t->accuracy[k] = malloc((n + 1) * n * sizeof *t->accuracy[k])))
            return lvt_no_memory(diag, NULL);
        for (size_t i = 0; i < (n + 1) * n; i++)
            t->accuracy[k][i] = NAN;
    }
    t->last.confusion = calloc(classes * classes, sizeof *t->last.confusion);
    t->last.bins = calloc(LVT_CALIBRATION_BINS * 3, sizeof *t->last.bins);
    t->known = (lvt_known){NAN, 0};
    t->scores = malloc(((d->test.n > t->n_held ? d->test.n : t->n_held) + 1) * sizeof *t->scores);
    t->task_seconds = calloc(n, sizeof *t->task_seconds);
    t->scratch = malloc(pixels + 1);
    t->batch_images = calloc(batch, sizeof *t->batch_images);
    t->x = malloc(batch * pixels * sizeof *t->x);
    t->y = malloc(batch * sizeof *t->y);
    bool mixes = s->mixup > 0 || s->cutmix > 0;
    t->unmixed = mixes ? malloc(batch * pixels * sizeof *t->unmixed) : NULL;
    t->mixes = calloc(batch, sizeof *t->mixes);
    t->mix = malloc(batch * sizeof *t->mix);
    t->y2 = malloc(batch * sizeof *t->y2);
    t->xm = malloc((remembered * pixels + 1) * sizeof *t->xm);
    t->ym = malloc((remembered + 1) * sizeof *t->ym);
    t->zm = malloc((remembered * classes + 1) * sizeof *t->zm);
    t->zm_mask = malloc((remembered * classes + 1) * sizeof *t->zm_mask);
    t->mask = malloc(classes * sizeof *t->mask);
    t->task_mask = malloc(classes * sizeof *t->task_mask);
    t->frequency = malloc(classes * sizeof *t->frequency);
    t->shares = malloc(classes * sizeof *t->shares);
    t->draw = malloc((t->memory.capacity + 1) * sizeof *t->draw);
    t->drawn = malloc((remembered + 1) * sizeof *t->drawn);
    if (!t->x || !t->y || !t->xm || !t->ym || !t->zm || !t->zm_mask || !t->mask || !t->task_mask ||
        !t->frequency || !t->shares || !t->draw || !t->drawn || !t->last.confusion || !t->last.bins ||
        !t->scores || !t->task_seconds || !t->batch_images || !t->scratch || (mixes && !t->unmixed) ||
        !t->mixes || !t->mix || !t->y2 || (t->method->rehearsal == LVT_REHEARSE_SELF && !make_teacher(t)))
        return lvt_no_memory(diag, NULL);
    return s->early_stopping ? lvt_early_init(t, diag) : LVT_OK;
}

void lvt_trainer_free(lvt_trainer *t) {
    for (int s = 0; s < LVT_N_MATRICES; s++)
        free(t->accuracy[s]);
    void *buffers[] = {t->x,
                       t->y,
                       t->xm,
                       t->ym,
                       t->zm,
                       t->zm_mask,
                       t->mask,
                       t->task_mask,
                       t->frequency,
                       t->shares,
                       t->draw,
                       t->drawn,
                       t->index,
                       t->order,
                       t->held,
                       t->tested,
                       t->last.confusion,
                       t->last.bins,
                       t->scores,
                       t->task_seconds,
                       t->batch_images,
                       t->scratch,
                       t->teacher,
                       t->place,
                       t->unmixed,
                       t->mixes,
                       t->mix,
                       t->y2};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        free(buffers[i]);
    lvt_early_free(t);
    lvt_energy_close(&t->energy);
    if (t->metrics)
        fclose(t->metrics);
    lvt_tasks_free(&t->tasks);
    lvt_memory_free(&t->memory);
    *t = (lvt_trainer){0};
}
