/* Augmentation, mixing, label smoothing and early stopping in the training loop, with the model of
 * linear_model.h. */
#include "linear_model.h"

static void everything(run *r) {
    defaults(r);
    soft = true;
    r->settings.epochs = 12;
    r->settings.validation = "10%";
    r->settings.early_stopping = 1;
    r->settings.mixup = 0.4;
    r->settings.cutmix = 1;
    r->settings.mix_part = 0.7;
    r->settings.label_smoothing = 0.1;
    r->settings.cutout = 2;
    r->settings.colour = 0.3;
    r->settings.checkpoint_every = 7;
}

typedef struct batch {
    float x[BATCH * PIXELS], mix[BATCH];
    int32_t y[BATCH], y2[BATCH];
} batch;

static void take(lvt_trainer *t, uint64_t step, batch *out) {
    t->at.step = t->at.global_step = step;
    assert_int_equal(lvt_trainer_batch(t), LVT_ENTRY_TRAIN_NEW);
    memcpy(out->x, t->x, sizeof out->x);
    memcpy(out->mix, t->mix, sizeof out->mix);
    memcpy(out->y, t->y, sizeof out->y);
    memcpy(out->y2, t->y2, sizeof out->y2);
}

/* A batch follows from seed, step and place alone; what it says of an image is what was done to it. */
static void batches(void **state) {
    (void)state;
    run r;
    everything(&r);
    open_run(&r, true);
    lvt_trainer *t = &r.trainer;
    assert_int_equal(lvt_trainer_begin_task(t, r.diag), LVT_OK);
    batch first, again;
    int mixed = 0, pairs = 0;
    enum { STEPS = 30 };
    for (uint64_t step = 0; step < STEPS; step++) {
        take(t, step, &first);
        for (int i = 0; i < BATCH; i++) {
            const lvt_mix *m = &t->mixes[i];
            assert_int_equal(first.y2[i], first.y[m->with]);
            assert_true(first.mix[i] == m->share && m->share >= 0 && m->share <= 1);
            mixed += m->with != (uint32_t)i;
            pairs += first.y2[i] != first.y[i];
            float want[PIXELS];
            lvt_mix_images(m, t->unmixed + i * PIXELS, t->unmixed + m->with * PIXELS, 8, 8, 1, want);
            assert_memory_equal(want, first.x + i * PIXELS, sizeof want);
            assert_true(first.y[i] < 2 && first.y2[i] < 2); /* the first task's */
        }
        take(t, STEPS - step, &again); /* another one between */
        take(t, step, &again);
        assert_memory_equal(&first, &again, sizeof first);
    }
    /* mix_part of the images, 5 standard deviations; about half of the pairs are of two classes, less
     * cutmix's empty boxes */
    assert_float_equal((double)mixed / (STEPS * BATCH), 0.7, 5 * sqrt(0.21 / (STEPS * BATCH)) + 0.02);
    assert_true(pairs > mixed / 3);
    close_run(&r);
    remove_folder(&r);
}

/* Remembered images are whole, and nothing changes them but what changes pictures. */
static void memory_is_not_mixed(void **state) {
    (void)state;
    run r;
    defaults(&r);
    soft = true;
    r.settings.crop = 0;
    r.settings.mixup = 1;
    r.stop_at = 60; /* in the second task */
    open_run(&r, true);
    lvt_trainer *t = &r.trainer;
    assert_int_equal(lvt_trainer_run(t, r.diag), LVT_INTERRUPT);
    assert_int_equal(t->at.task, 1);
    assert_int_equal(lvt_trainer_batch(t), LVT_ENTRY_TRAIN);
    int whole = 0, new_whole = 0;
    for (int i = 0; i < REMEMBERED; i++) {
        bool found[2] = {false, false};
        float plain[PIXELS];
        for (size_t k = 0; k < t->memory.n; k++) {
            lvt_augment_image(&t->plain, t->memory.images + k * PIXELS, NULL, plain);
            found[0] |= !memcmp(plain, t->xm + i * PIXELS, sizeof plain);
        }
        for (size_t k = 0; k < r.data->train.n; k++) {
            lvt_augment_image(&t->plain, r.data->train.pixels + k * PIXELS, NULL, plain);
            found[1] |= !memcmp(plain, t->x + i * PIXELS, sizeof plain);
        }
        whole += found[0];
        new_whole += found[1];
    }
    assert_int_equal(whole, REMEMBERED);
    assert_true(new_whole < BATCH / 2);
    close_run(&r);
    remove_folder(&r);
}

/* What the network said of images is mixed as they are (lwf, icarl). */
static void teachers_are_mixed(void **state) {
    (void)state;
    run r;
    defaults(&r);
    soft = true;
    r.settings.memory = 0;
    r.compiled = "lwf";
    r.settings.mixup = 1;
    r.stop_at = 60;
    open_run(&r, true);
    lvt_trainer *t = &r.trainer;
    assert_int_equal(lvt_trainer_run(t, r.diag), LVT_INTERRUPT);
    assert_int_equal(t->at.task, 1);
    assert_int_equal(lvt_trainer_batch(t), LVT_ENTRY_TRAIN);
    for (int i = 0; i < BATCH; i++) {
        const float *own = t->teacher + t->place[t->batch_images[i]] * CLASSES,
                    *other = t->teacher + t->place[t->batch_images[t->mixes[i].with]] * CLASSES;
        for (int c = 0; c < CLASSES; c++)
            assert_float_equal(t->zm[i * CLASSES + c], t->mix[i] * own[c] + (1 - t->mix[i]) * other[c], 1e-4);
        assert_memory_equal(t->xm + i * PIXELS, t->x + i * PIXELS, PIXELS * sizeof *t->x);
    }
    close_run(&r);
    remove_folder(&r);
}

typedef struct watch {
    run *r;
    double best, waited;
    uint64_t steps; /* of the first task */
} watch;

static bool watch_step(void *user) {
    watch *w = user;
    if (w->r->trainer.at.task == 0 && w->r->trainer.best.epoch > 0) { /* not at the end of the task */
        w->best = w->r->trainer.best.epoch;
        w->waited = w->r->trainer.best.waited;
        w->steps = w->r->trainer.at.step;
    }
    return false;
}

/* A task ends when nothing was better for N epochs, with the states of its best epoch: those of a run that
 * was told to make just so many. */
static void early_stopping(void **state) {
    (void)state;
    for (int patience = 1; patience <= 2; patience++) {
        run r, shorter;
        defaults(&r);
        soft = false;
        r.settings.epochs = 40;
        r.settings.validation = "20%";
        r.settings.early_stopping = patience;
        open_run(&r, true);
        watch w = {.r = &r};
        r.trainer.events = (lvt_events){.user = &w, .stop = watch_step};
        assert_int_equal(lvt_trainer_run(&r.trainer, r.diag), LVT_OK);
        assert_true(w.best >= 1 && w.best + patience < 40);
        uint64_t epoch = lvt_trainer_steps(&r.trainer, 0) / 40;
        assert_int_equal(w.waited, patience);
        assert_int_equal(w.steps, epoch * (uint64_t)(w.best + patience));
        assert_true(r.trainer.best.epoch == 0); /* the next task begins anew */

        defaults(&shorter);
        shorter.settings.validation = "20%";
        shorter.settings.epochs = (int)w.best;
        open_run(&shorter, true);
        assert_int_equal(lvt_trainer_run(&shorter.trainer, shorter.diag), LVT_OK);
        char a[128], b[128];
        snprintf(a, sizeof a, "%s/task-01.safetensors", r.folder);
        snprintf(b, sizeof b, "%s/task-01.safetensors", shorter.folder);
        lvt_safetensors x, y;
        assert_int_equal(lvt_safetensors_read(a, &x, NULL), LVT_OK);
        assert_int_equal(lvt_safetensors_read(b, &y, NULL), LVT_OK);
        assert_null(lvt_safetensors_find(&x, "lvt:best.states")); /* what nobody needs is not kept */
        static const char *const names[] = {"injection", "accumulation", "importance", "lvt:memory.images",
                                            "lvt:accuracy.validation_class_il"};
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            const lvt_stored_tensor *s = lvt_safetensors_find(&x, names[i]),
                                    *o = lvt_safetensors_find(&y, names[i]);
            assert_true(s && o && lvt_type_equal(&s->type, &o->type));
            assert_memory_equal(s->data, o->data, lvt_type_bytes(&s->type));
        }
        lvt_safetensors_free(&x);
        lvt_safetensors_free(&y);
        close_run(&shorter);
        close_run(&r);
        remove_folder(&shorter);
        remove_folder(&r);
    }
}

/* Everything at once, stopped in the middle of an epoch, at its end, while waiting, at a task's end: the same
 * bits. */
static void resume(void **state) {
    (void)state;
    run whole;
    everything(&whole);
    open_run(&whole, true);
    watch w = {.r = &whole};
    whole.trainer.events = (lvt_events){.user = &w, .stop = watch_step};
    assert_int_equal(lvt_trainer_run(&whole.trainer, whole.diag), LVT_OK);
    uint64_t last = whole.trainer.at.global_step, epoch = lvt_trainer_steps(&whole.trainer, 0) / 12;
    close_run(&whole);
    uint64_t stops[] = {1,           epoch - 1, epoch,       epoch + 1, 2 * epoch,
                        w.steps - 1, w.steps,   w.steps + 1, last - 3};
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        run r;
        everything(&r);
        r.stop_at = stops[i];
        open_run(&r, true);
        assert_int_equal(lvt_trainer_run(&r.trainer, r.diag), LVT_INTERRUPT);
        close_run(&r);
        r.stop_at = 0;
        open_run(&r, false);
        assert_int_equal(lvt_checkpoint_resume(&r.trainer, r.diag), LVT_OK);
        assert_int_equal(lvt_trainer_run(&r.trainer, r.diag), LVT_OK);
        assert_int_equal(r.trainer.at.global_step, last);
        char a[128], b[128];
        snprintf(a, sizeof a, "%s/task-05.safetensors", whole.folder);
        snprintf(b, sizeof b, "%s/task-05.safetensors", r.folder);
        same_tensors(a, b);
        close_run(&r);
        remove_folder(&r);
    }
    remove_folder(&whole);
}

/* Every option changes the run, and says so when the program cannot do it. */
static void options(void **state) {
    (void)state;
    float *seen_before[8] = {0};
    size_t bytes = CLASSES * (PIXELS + 1) * sizeof(float);
    for (int variant = 0; variant < 7; variant++) {
        run r;
        defaults(&r);
        soft = true;
        r.settings.steps = 5;
        r.settings.tasks = 1;
        r.settings.cutout = variant == 1 ? 3 : 0;
        r.settings.colour = variant == 2 ? 0.5 : 0;
        r.settings.mixup = variant == 3 ? 0.4 : 0;
        r.settings.cutmix = variant == 4 || variant == 5 ? 1 : 0;
        r.settings.mix_part = variant == 5 ? 0.5 : 1;
        r.settings.early_stopping = variant == 6;
        r.settings.validation = variant == 6 ? "10%" : NULL;
        r.settings.label_smoothing = 0.25;
        open_run(&r, true);
        assert_int_equal(lvt_trainer_run(&r.trainer, r.diag), LVT_OK);
        int s = lvt_model_scalar(&r.model, "smoothing");
        assert_true(r.model.scalars[s].given && r.model.scalars[s].value == 0.25f);
        seen_before[variant] = malloc(bytes);
        memcpy(seen_before[variant], open_session->states[1], bytes);
        for (int v = 0; v < variant; v++)
            assert_memory_not_equal(seen_before[v], seen_before[variant], bytes);
        close_run(&r);
        remove_folder(&r);
    }
    for (int variant = 0; variant < 7; variant++)
        free(seen_before[variant]);
    static const struct {
        double mixup, cutmix, smoothing;
        int patience;
        lvt_status status;
        const char *words;
    } rows[] = {{0.4, 0, 0, 0, LVT_USER, "--mixup: the program takes one whole label an image"},
                {0, 1, 0, 0, LVT_USER, "--cutmix: the program takes one whole label an image"},
                {0, 0, 0.1, 0, LVT_USER, "`lvtc --set soft=true`"},
                {0, 0, 0, 2, LVT_USAGE, "give --validation PART"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        run r;
        defaults(&r);
        soft = false;
        r.settings.mixup = rows[i].mixup;
        r.settings.cutmix = rows[i].cutmix;
        r.settings.label_smoothing = rows[i].smoothing;
        r.settings.early_stopping = rows[i].patience;
        assert_int_equal(open_run_of(&r, "x", true), rows[i].status);
        expect_words(r.diag, rows[i].words);
        close_run(&r);
        remove_folder(&r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches),
        cmocka_unit_test(memory_is_not_mixed),
        cmocka_unit_test(teachers_are_mixed),
        cmocka_unit_test(early_stopping),
        cmocka_unit_test(resume),
        cmocka_unit_test(options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
