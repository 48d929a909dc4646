/* The training loop, with the model of linear_model.h. */
#include "linear_model.h"

static void whole_run(void **state) {
    (void)state;
    run r;
    defaults(&r);
    r.settings.fwt = true;
    open_run(&r, true);
    lvt_trainer *t = &r.trainer;
    /* Before anything is learned a task is asked as it is just before its own turn: forward transfer compares
     * the two. All logits are 0 yet, so the answer is the first class that may be one. */
    for (int j = 0; j < 5; j++) {
        double class_il, task_il, then_class_il, then_task_il;
        lvt_part test = {&r.data->test, NULL, false};
        assert_int_equal(lvt_evaluate_task(&r.model, &t->plain, test, &t->tasks, j, 0, NULL, NULL, &class_il,
                                           &task_il, r.diag),
                         LVT_OK);
        assert_int_equal(lvt_evaluate_task(&r.model, &t->plain, test, &t->tasks, j, j, NULL, NULL,
                                           &then_class_il, &then_task_il, r.diag),
                         LVT_OK);
        assert_float_equal(class_il, then_class_il, 0);
        assert_float_equal(task_il, then_task_il, 0);
        assert_true(j ? class_il == 0 && task_il > 0.4 : class_il == task_il);
    }
    assert_int_equal(lvt_trainer_run(t, r.diag), LVT_OK);
    assert_int_equal(r.tasks_done, 5);
    assert_int_equal(t->at.task, 5);

    const seen *s = &open_session->seen;
    uint64_t steps[2] = {0, 0};
    int importance = 0;
    for (int k = 0; k < 5; k++) {
        uint32_t *index, n;
        assert_true(lvt_task_images(&t->tasks, k, k, (lvt_part){&r.data->train, NULL, false}, &index, &n));
        free(index);
        steps[k > 0] +=
            2 * ((n + BATCH - 1) / BATCH); /* the last batch of an epoch is filled up, not dropped */
        importance += (int)((n + BATCH - 1) / BATCH);
    }
    assert_int_equal(s->runs[LVT_ENTRY_TRAIN_NEW], steps[0]);
    assert_int_equal(s->runs[LVT_ENTRY_TRAIN], steps[1]);
    assert_int_equal(s->runs[LVT_ENTRY_IMPORTANCE], importance);
    assert_int_equal(s->runs[LVT_ENTRY_CONSOLIDATE], 5);
    assert_float_equal(s->weights, 5, 1e-4); /* shares of each task add up to 1; f32 weights */
    assert_int_equal(s->masked_right, REMEMBERED * (int)steps[1]);
    assert_int_equal(s->batches_with_repeats, 0);
    assert_float_equal(s->mask_sum, 10, 0);
    assert_float_equal(s->r, 0.8 * pow(0.9, 4), 1e-6); /* rounded to f32 */
    assert_float_equal(s->gamma, 0.25, 0);
    assert_float_equal(s->lr, 0.05, 1e-8);
    assert_int_equal(t->memory.n, 50);
    /* A step of the last task shows its two classes in half of the images, by how many each has, and the eight
     * before in the other half, by what is remembered of each (the quotas of 50 images among 8: 7 or 6). */
    double old = 0, new = 0;
    for (int c = 0; c < CLASSES; c++) {
        assert_true(c < 8 ? s->frequency[c] > 0.06 - 1e-6 && s->frequency[c] < 0.07 + 1e-6
                          : s->frequency[c] > 0.2 && s->frequency[c] < 0.3);
        *(c < 8 ? &old : &new) += s->frequency[c];
    }
    assert_float_equal(old, 0.5, 1e-6);
    assert_float_equal(new, 0.5, 1e-6);

    /* It learned (a task of two digits is easy for a linear model), it remembers more than chance, and
     * Task-IL is never below Class-IL: it has fewer answers to choose from. */
    for (int k = 1; k <= 5; k++)
        for (int j = 0; j < 5; j++) {
            assert_true(t->accuracy[LVT_TASK_IL][k * 5 + j] >= t->accuracy[LVT_CLASS_IL][k * 5 + j]);
            if (j == k - 1)
                assert_true(t->accuracy[LVT_TASK_IL][k * 5 + j] > 0.9);
        }
    assert_true(lvt_metric_value("acc", t->accuracy[LVT_CLASS_IL], 5, 5) > 0.5);
    assert_false(isnan(lvt_metric_value("fwt", t->accuracy[LVT_TASK_IL], 5, 5)));
    close_run(&r);
    remove_folder(&r);
}

/* Stopped anywhere (inside a task, at its end, in the first task, at a boundary) and resumed, a run gives the
 * same bits. */
static void resume(void **state) {
    (void)state;
    run whole;
    defaults(&whole);
    open_run(&whole, true);
    assert_int_equal(lvt_trainer_run(&whole.trainer, whole.diag), LVT_OK);
    uint64_t first = lvt_trainer_steps(&whole.trainer, 0);
    close_run(&whole);
    uint64_t stops[] = {1, 7, first - 1, first, first + 1, first + 20, 150};
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        run r;
        defaults(&r);
        r.stop_at = stops[i];
        open_run(&r, true);
        assert_int_equal(lvt_trainer_run(&r.trainer, r.diag), LVT_INTERRUPT);
        close_run(&r);
        r.stop_at = 0;
        r.settings.checkpoint_every = 11;
        open_run(&r, false);
        assert_int_equal(lvt_checkpoint_resume(&r.trainer, r.diag), LVT_OK);
        assert_true(r.trainer.at.global_step >= stops[i] || stops[i] == first);
        assert_int_equal(lvt_trainer_run(&r.trainer, r.diag), LVT_OK);
        char a[128], b[128];
        for (int task = 1; task <= 5; task++) {
            snprintf(a, sizeof a, "%s/task-%02d.safetensors", whole.folder, task);
            snprintf(b, sizeof b, "%s/task-%02d.safetensors", r.folder, task);
            if (lvt_path_exists(b))
                same_tensors(a, b);
            else
                assert_true(task == 1 && stops[i] > first);
        }
        close_run(&r);
        remove_folder(&r);
    }
    remove_folder(&whole);
}

/* Stopped before the first step there is a checkpoint too; in a task's end the trainer says that what it
 * holds is of no task yet. */
static void stopped_while_measuring(void **state) {
    (void)state;
    for (int fwt = 0; fwt < 2; fwt++) {
        run r;
        defaults(&r);
        r.settings.fwt = fwt;
        r.stop_in = "evaluating";
        open_run(&r, true);
        assert_int_equal(lvt_trainer_run(&r.trainer, r.diag), LVT_INTERRUPT);
        assert_int_equal(r.trainer.at.task, 0);
        assert_int_equal(r.trainer.at.global_step == 0, fwt);
        assert_int_equal(r.trainer.ending, !fwt);
        assert_true(lvt_checkpoint_exists(&r.in));
        close_run(&r);
        r.stop_in = NULL;
        r.in_it = false;
        open_run(&r, false);
        assert_int_equal(lvt_checkpoint_resume(&r.trainer, r.diag), LVT_OK);
        assert_int_equal(lvt_trainer_run(&r.trainer, r.diag), LVT_OK);
        assert_false(r.trainer.ending);
        assert_true(isnan(r.trainer.accuracy[LVT_CLASS_IL][0]) == !fwt); /* the untrained network's row */
        close_run(&r);
        remove_folder(&r);
    }
}

static void other_settings_differ(void **state) {
    (void)state;
    float *reference = NULL;
    for (int variant = 0; variant < 5; variant++) {
        run r;
        defaults(&r);
        r.settings.steps = 15;
        r.settings.seed += variant == 1;
        r.settings.class_order = variant == 2 ? "seed:3" : "natural";
        r.settings.crop = variant == 3 ? 0 : -1;
        open_run(&r, true);
        assert_int_equal(lvt_trainer_run(&r.trainer, r.diag), LVT_OK);
        assert_int_equal(r.trainer.at.global_step, 75);
        size_t bytes = CLASSES * (PIXELS + 1) * sizeof(float);
        if (!variant) {
            reference = malloc(bytes);
            memcpy(reference, open_session->states[1], bytes);
        } else if (variant < 4) {
            assert_memory_not_equal(reference, open_session->states[1], bytes);
        } else { /* the same seed twice */
            assert_memory_equal(reference, open_session->states[1], bytes);
        }
        close_run(&r);
        remove_folder(&r);
    }
    free(reference);
}

/* Settings that would change nothing, and those that contradict each other. */
static void without_effect(void **state) {
    (void)state;
    static const struct {
        const char *words, *coef, *unused;
        int memory, policy;
        double lr, mix_part, r_decay;
        bool no_drift;
        lvt_status status;
    } rows[] = {
        {NULL, "beta=2", NULL, 50, 1, 0, 1, 0.5, false},
        {NULL, NULL, NULL, 0, 0, 0.1, 1, 0.9, true},
        {"--memory-policy", NULL, NULL, 0, 1, 0, 1, 0.9, false, LVT_USAGE},
        {"--mix-part", NULL, NULL, 50, 0, 0, 0.5, 0.9, false, LVT_USAGE},
        {"--lr", "lr=0.2", NULL, 50, 0, 0.1, 1, 0.9, false, LVT_USAGE},
        {"contradict", "gamma=1", NULL, 50, 0, 0, 1, 0.9, true, LVT_USAGE},
        {"--no-drift", NULL, "gamma", 50, 0, 0, 1, 0.9, true, LVT_USER},
        {"--r-decay", NULL, "r", 50, 0, 0, 1, 0.5, false, LVT_USER},
        {"--coef beta", "beta=2", "beta", 50, 0, 0, 1, 0.9, false, LVT_USER},
        {"without a memory", "beta=2", NULL, 0, 0, 0, 1, 0.9, false, LVT_USER},
        {"the driver gives it", "weight=1", NULL, 50, 0, 0, 1, 0.9, false, LVT_USER},
        {"--lr: the program computes with no rate", NULL, "lr", 50, 0, 0.1, 1, 0.9, false, LVT_USER},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        run r;
        defaults(&r);
        unused = rows[i].unused;
        r.settings.memory = rows[i].memory;
        r.settings.policy = rows[i].policy;
        r.settings.lr = rows[i].lr;
        r.settings.mix_part = rows[i].mix_part;
        r.settings.r_decay = rows[i].r_decay;
        r.settings.no_drift = rows[i].no_drift;
        if (rows[i].coef)
            r.settings.coef.items[r.settings.coef.n++] = rows[i].coef;
        open_run(&r, true);
        lvt_status status = lvt_trainer_effects(&r.trainer, r.diag);
        char *text = lvt_diag_text(r.diag);
        assert_int_equal(status, rows[i].status);
        if (rows[i].words && !strstr(text, rows[i].words))
            fail_msg("no \"%s\" in: %s", rows[i].words, text);
        free(text);
        unused = NULL;
        close_run(&r);
        remove_folder(&r);
    }
}

/* A state that is no number ends the run before it is written anywhere: the message names it and says since
 * when, the last checkpoint is good, and without the cause the run goes on to the bits of one without a break. */
static void not_a_number(void **state) {
    (void)state;
    static const struct {
        int after, state, element;
        float value;
        const char *words, *since;
        uint64_t last; /* step of the last checkpoint */
    } rows[] = {
        {7, 0, 0, NAN, "step 7 of task 1 has put nan into injection (element 0)", "which had none before", 5},
        {7, 1, 600, INFINITY, "step 7 of task 1 has put inf into accumulation (element 600)",
         "in that step or up to 15 before", 5},
        {7, 2, 649, -INFINITY, "gathered has -inf (element 649) after step 8 of the run",
         "it had none after step 5", 5},
        {6, 3, 3, NAN, "importance has nan (element 3) after step 8", "it had none after step 5", 5},
        {2, 3, 3, NAN, "importance has nan (element 3) after step 4", "it had none after step 0", 0},
    };
    run whole;
    defaults(&whole);
    whole.settings.checkpoint_every = 5;
    whole.settings.log_every = 4;
    open_run(&whole, true);
    assert_int_equal(lvt_trainer_run(&whole.trainer, whole.diag), LVT_OK);
    close_run(&whole);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        run r;
        defaults(&r);
        r.settings.checkpoint_every = 5;
        r.settings.log_every = 4;
        open_run(&r, true);
        trained = 0;
        poison.after = rows[i].after;
        poison.state = rows[i].state;
        poison.element = rows[i].element;
        poison.value = rows[i].value;
        assert_int_equal(lvt_trainer_run(&r.trainer, r.diag), LVT_USER);
        poison.after = 0;
        expect_words(r.diag, rows[i].words);
        expect_words(r.diag, rows[i].since);
        close_run(&r);
        char path[128], whole_path[128];
        snprintf(path, sizeof path, "%s/last.safetensors", r.folder);
        assert_int_equal(lvt_path_exists(path), rows[i].last != 0);
        open_run(&r, false);
        assert_int_equal(lvt_checkpoint_resume(&r.trainer, r.diag), LVT_OK);
        assert_true(r.trainer.at.global_step == rows[i].last);
        assert_int_equal(lvt_trainer_run(&r.trainer, r.diag), LVT_OK);
        close_run(&r);
        snprintf(path, sizeof path, "%s/task-05.safetensors", r.folder);
        snprintf(whole_path, sizeof whole_path, "%s/task-05.safetensors", whole.folder);
        same_tensors(whole_path, path);
        remove_folder(&r);
    }
    /* A checkpoint that has it all the same is refused, with the name of the state. */
    run r;
    defaults(&r);
    strcpy(r.folder, whole.folder);
    open_run(&r, false);
    char path[128];
    snprintf(path, sizeof path, "%s/last.safetensors", r.folder);
    assert_int_equal(lvt_checkpoint_resume(&r.trainer, r.diag), LVT_OK);
    assert_int_equal(lvt_checkpoint_save(&r.trainer, false, r.diag), LVT_OK);
    uint8_t *bytes;
    size_t size;
    lvt_safetensors file;
    assert_int_equal(lvt_safetensors_read(path, &file, r.diag), LVT_OK);
    const lvt_stored_tensor *t = lvt_safetensors_find(&file, "importance");
    size_t at = (size_t)((const uint8_t *)t->data - file.bytes);
    lvt_safetensors_free(&file);
    assert_int_equal(lvt_file_read(path, &bytes, &size, r.diag), LVT_OK);
    memcpy(bytes + at + 8, &(float){NAN}, sizeof(float));
    assert_int_equal(lvt_file_write(NULL, path, bytes, size, r.diag), LVT_OK);
    free(bytes);
    snprintf(path, sizeof path, "rm %s/task-*.safetensors", r.folder);
    assert_int_equal(system(path), 0);
    assert_int_equal(lvt_checkpoint_resume(&r.trainer, r.diag), LVT_USER);
    expect_words(r.diag, "element 2 of importance is nan");

    /* Answers that are no numbers are no answers: of NaN, of +inf; -inf is one class left out. */
    lvt_part test = {&r.data->test, NULL, false};
    const struct {
        float weight;
        lvt_status status;
        const char *words;
    } answers[] = {{NAN, LVT_USER, "element 4 of its logits is nan"},
                   {INFINITY, LVT_USER, "element 4 of its logits is inf"},
                   {-INFINITY, LVT_OK, ""}};
    double class_il, task_il;
    memset(open_session->states[3], 0, 8);
    memset(open_session->states[3] + 2, 0, sizeof(float));
    for (int i = 0; i < 3; i++) {
        open_session->states[1][4 * (PIXELS + 1) + PIXELS] = answers[i].weight; /* the bias of class 4 */
        assert_int_equal(lvt_evaluate_task(&r.model, &r.trainer.plain, test, &r.trainer.tasks, 2, 5, NULL,
                                           NULL, &class_il, &task_il, r.diag),
                         answers[i].status);
        expect_words(r.diag, answers[i].words);
    }
    open_session->states[1][5 * (PIXELS + 1) + PIXELS] = -INFINITY; /* both classes of task 3 */
    assert_int_equal(lvt_evaluate_task(&r.model, &r.trainer.plain, test, &r.trainer.tasks, 2, 5, NULL, NULL,
                                       &class_il, &task_il, r.diag),
                     LVT_USER);
    expect_words(r.diag, "have no finite logit among the classes asked about");
    float none[3] = {-INFINITY, NAN, INFINITY};
    assert_int_equal(lvt_argmax(none, (const bool[]){true, true, true}, 3), -1);

    /* Guessing, and not: some 70 test images a task of two classes. */
    const double half[] = {0.5, 0.55, 0.5, 0.45, 0.6}, one_good[] = {0.5, 0.55, 0.95, 0.45, 0.6},
                 nothing[] = {NAN, NAN, NAN, NAN, NAN};
    assert_true(lvt_at_chance(&r.trainer.tasks, test, 5, 5, nothing, half, 1));
    assert_false(lvt_at_chance(&r.trainer.tasks, test, 5, 5, nothing, one_good, 1));
    assert_false(lvt_at_chance(&r.trainer.tasks, test, 0, 0, nothing, half, 1));
    close_run(&r);
    remove_folder(&r);
}

static void no_memory_no_drift(void **state) {
    (void)state;
    run r;
    defaults(&r);
    r.settings.memory = 0;
    r.settings.no_drift = true;
    open_run(&r, true);
    assert_int_equal(lvt_trainer_run(&r.trainer, r.diag), LVT_OK);
    assert_int_equal(open_session->seen.runs[LVT_ENTRY_TRAIN], 0);
    assert_int_equal(open_session->seen.runs[LVT_ENTRY_IMPORTANCE], 0);
    assert_int_equal(open_session->seen.runs[LVT_ENTRY_CONSOLIDATE], 5); /* a task's end all the same */
    assert_int_equal(r.trainer.memory.n, 0);
    close_run(&r);
    remove_folder(&r);
}

static void refusals(void **state) {
    (void)state;
    struct {
        int tasks, memory;
        const char *coef;
        double lr;
        bool without_train;
        lvt_status status;
        const char *words;
    } rows[] = {
        {11, 50, NULL, 0, false, LVT_USER, "11 tasks are more than the 10 classes"},
        {5, 9, NULL, 0, false, LVT_USER, "a memory of 9 images is smaller than the 10 classes"},
        {5, 50, "gama=1", 0, false, LVT_USER, "did you mean gamma?"},
        {5, 50, "gamma", 0, false, LVT_USAGE, "is not NAME=NUMBER"},
        {5, 50, "gamma=1x", 0, false, LVT_USAGE, "is not NAME=NUMBER"},
        {5, 50, NULL, 0, true, LVT_USER, "has no entry train\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        run r;
        defaults(&r);
        r.settings.tasks = rows[i].tasks;
        r.settings.memory = rows[i].memory;
        r.settings.coef.items[0] = rows[i].coef;
        r.settings.coef.n = rows[i].coef != NULL;
        without_train = rows[i].without_train;
        assert_int_equal(open_run_of(&r, "x", true), rows[i].status);
        without_train = false;
        expect_words(r.diag, rows[i].words);
        close_run(&r);
        remove_folder(&r);
    }
    /* A loss that is not finite ends the run; nothing is written over. */
    run r;
    defaults(&r);
    r.settings.lr = 1e9;
    open_run(&r, true);
    r.model.scalars[lvt_model_scalar(&r.model, "lr")].value = INFINITY;
    r.trainer.learning_rate = INFINITY;
    assert_int_equal(lvt_trainer_run(&r.trainer, r.diag), LVT_USER);
    expect_words(r.diag, "training diverged");
    close_run(&r);
    remove_folder(&r);
}

/* Validation images: their share of every class, by the seed; no step sees one, none is remembered, and both
 * sets are measured. */
/* What is kept back in one domain is kept back in all where domains are views of the same images: a network
 * that has learned an image knows it turned, too. */
static void validation_of_views(void **state) {
    (void)state;
    lvt_dataset *d;
    assert_int_equal(lvt_dataset_open("rotated:3:digits", NULL, &d, NULL), LVT_OK);
    bool *held = calloc(d->train.n, sizeof *held);
    assert_true(lvt_validation_images(&d->train, d->classes, 0.1, 1, held));
    size_t stored = d->train.stored, n = 0;
    for (size_t i = 0; i < d->train.n; i++) {
        assert_int_equal(held[i], held[i % stored]);
        n += held[i];
    }
    assert_true(n > 3 * (stored / 10 - 10) && n < 3 * (stored / 10 + 10));
    free(held);
    /* Of domains with images of their own, a part of each. */
    int32_t labels[40], domains[40];
    bool flags[40] = {false};
    for (int i = 0; i < 40; i++) {
        labels[i] = i % 2;
        domains[i] = i / 20;
    }
    lvt_images own = {.labels = labels, .domains = domains, .n = 40};
    assert_true(lvt_validation_images(&own, 2, 0.2, 1, flags));
    int counts[2][2] = {{0}};
    for (int i = 0; i < 40; i++)
        counts[domains[i]][labels[i]] += flags[i];
    for (int k = 0; k < 4; k++)
        assert_int_equal(counts[k / 2][k % 2], 2);
    lvt_dataset_free(d);
}

static void validation(void **state) {
    (void)state;
    run r;
    defaults(&r);
    r.settings.validation = "20%";
    open_run(&r, true);
    lvt_trainer *t = &r.trainer;
    int held[CLASSES] = {0}, all[CLASSES] = {0};
    for (size_t i = 0; i < r.data->train.n; i++) {
        held[r.data->train.labels[i]] += t->held[i];
        all[r.data->train.labels[i]]++;
    }
    for (int c = 0; c < CLASSES; c++)
        assert_int_equal(held[c], (int)(0.2 * all[c] + 0.5));
    assert_int_equal(lvt_trainer_run(t, r.diag), LVT_OK);
    uint64_t steps = 0;
    for (int k = 0; k < 5; k++) {
        int n = all[2 * k] - held[2 * k] + all[2 * k + 1] - held[2 * k + 1];
        steps += 2 * (uint64_t)((n + BATCH - 1) / BATCH);
    }
    assert_int_equal(t->at.global_step, steps);
    /* A remembered image is a training image that is not held back (some digits occur twice, so any place
     * will do). */
    for (size_t i = 0; i < t->memory.n; i++) {
        bool free_one = false;
        for (size_t k = 0; k < r.data->train.n; k++)
            free_one |= !t->held[k] &&
                        !memcmp(t->memory.images + i * PIXELS, r.data->train.pixels + k * PIXELS, PIXELS);
        assert_true(free_one);
    }
    for (int j = 0; j < 5; j++) {
        double right = t->accuracy[LVT_VALIDATION_CLASS_IL][5 * 5 + j] * (held[2 * j] + held[2 * j + 1]);
        assert_true(right >= 0 &&
                    fabs(right - rint(right)) < 1e-9); /* a count over exactly the held images */
    }
    /* What is added up: every test image once, answers right as often as the accuracies say. */
    double n = 0, right = 0, wanted = 0;
    for (int c = 0; c < CLASSES; c++) {
        int row = 0;
        for (int k = 0; k < CLASSES; k++)
            row += t->last.confusion[c * CLASSES + k];
        n += row;
        right += t->last.confusion[c * CLASSES + c];
        int of_task = 0;
        for (size_t i = 0; i < r.data->test.n; i++)
            of_task += t->tasks.task_of[r.data->test.labels[i]] == c / 2 && r.data->test.labels[i] == c;
        assert_int_equal(row, of_task);
    }
    for (int j = 0; j < 5; j++) {
        int images = 0;
        for (size_t i = 0; i < r.data->test.n; i++)
            images += r.data->test.labels[i] / 2 == j;
        wanted += t->accuracy[LVT_CLASS_IL][5 * 5 + j] * images;
    }
    assert_true(n == (double)r.data->test.n && fabs(right - wanted) < 1e-6);
    double seen_in_bins = 0;
    for (int b = 0; b < LVT_CALIBRATION_BINS; b++)
        seen_in_bins += t->last.bins[3 * b];
    assert_true(seen_in_bins == n);
    close_run(&r);
    remove_folder(&r);

    static const char *const bad[] = {"", "x", "10%%", "-5%", "0", "91%", "1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        r.settings.validation = bad[i];
        assert_int_equal(open_run_of(&r, "x", true), LVT_USAGE);
        expect_words(r.diag, "is not a part such as 10%");
        close_run(&r);
        remove_folder(&r);
    }
}

static void methods(void **state) {
    (void)state;
    run r;
    defaults(&r);
    r.settings.method = "er"; /* the model here has no setting of that name: it is lvt */
    assert_int_equal(open_run_of(&r, "x", true), LVT_USER);
    expect_words(r.diag, "compiled with the method own, not er");
    close_run(&r);
    remove_folder(&r);
    r.settings.method = "joynt";
    assert_int_equal(open_run_of(&r, "x", true), LVT_USAGE);
    expect_words(r.diag, "did you mean joint?");
    close_run(&r);
    remove_folder(&r);
    assert_int_equal(lvt_method_find("lwf")->rehearsal, LVT_REHEARSE_SELF);
    assert_int_equal(lvt_method_find("joint")->reach, LVT_REACH_ALL_SO_FAR);
    assert_null(lvt_method_find("nothing"));

    /* joint: a task sees the images of those before it, too; the steps of all tasks are known beforehand. */
    defaults(&r);
    r.settings.memory = 0;
    open_run(&r, true);
    r.trainer.method = lvt_method_find("joint");
    uint64_t expected = 0;
    for (int k = 0; k < 5; k++) {
        size_t n = 0;
        for (size_t i = 0; i < r.data->train.n; i++)
            n += r.data->train.labels[i] < 2 * k + 2;
        assert_int_equal(lvt_trainer_steps(&r.trainer, k), 2 * ((n + BATCH - 1) / BATCH));
        expected += 2 * ((n + BATCH - 1) / BATCH);
    }
    assert_int_equal(lvt_trainer_run(&r.trainer, r.diag), LVT_OK);
    assert_int_equal(r.trainer.at.global_step, expected);
    assert_int_equal(open_session->seen.runs[LVT_ENTRY_IMPORTANCE], 0);
    assert_true(lvt_metric_value("acc", r.trainer.accuracy[LVT_CLASS_IL], 5, 5) >
                0.7); /* a linear classifier on all the data */
    close_run(&r);
    remove_folder(&r);
}

static void wrong_checkpoints(void **state) {
    (void)state;
    run r;
    defaults(&r);
    r.settings.steps = 3;
    open_run(&r, true);
    assert_int_equal(lvt_trainer_run(&r.trainer, r.diag), LVT_OK);
    close_run(&r);

    assert_int_equal(open_run_of(&r, "y", false), LVT_OK); /* another hash */
    assert_int_equal(lvt_checkpoint_resume(&r.trainer, r.diag), LVT_USER);
    expect_words(r.diag, "was written by another program");
    close_run(&r);

    open_run(&r, false);
    r.data->fingerprint++;
    assert_int_equal(lvt_checkpoint_resume(&r.trainer, r.diag), LVT_USER);
    expect_words(r.diag, "the data is not what");
    close_run(&r);

    r.settings.tasks = 2;
    open_run(&r, false);
    assert_int_equal(lvt_checkpoint_resume(&r.trainer, r.diag), LVT_USER);
    expect_words(r.diag, "its tasks are not those");
    close_run(&r);

    r.settings.tasks = 5;
    char path[128];
    snprintf(path, sizeof path, "%s/task-05.safetensors", r.folder);
    uint8_t *bytes;
    size_t size;
    assert_int_equal(lvt_file_read(path, &bytes, &size, NULL), LVT_OK);
    assert_int_equal(lvt_file_write(NULL, path, bytes, size / 2, NULL), LVT_OK);
    open_run(&r, false);
    assert_int_equal(lvt_checkpoint_resume(&r.trainer, r.diag), LVT_USER);
    expect_words(r.diag, "not a whole safetensors file");
    close_run(&r);
    unlink(path); /* as the message advises */
    open_run(&r, false);
    assert_int_equal(lvt_checkpoint_resume(&r.trainer, r.diag), LVT_OK);
    assert_int_equal(r.trainer.at.task, 4);
    close_run(&r);
    free(bytes);
    remove_folder(&r);
}

/* A limit on the size of files stands for the full disk: the run ends with the reason, and resumes when there
 * is room. */
static void no_room(void **state) {
    (void)state;
    run r;
    defaults(&r);
    r.settings.steps = 3;
    open_run(&r, true);
    struct rlimit old, small = {4096, RLIM_INFINITY};
    getrlimit(RLIMIT_FSIZE, &old);
    small.rlim_max = old.rlim_max;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    lvt_status status = lvt_trainer_run(&r.trainer, r.diag);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, handler);
    assert_int_equal(status, LVT_IO);
    expect_words(r.diag, "last.safetensors: cannot be written: File too large");
    close_run(&r);
    char left[128]; /* nothing temporary */
    snprintf(left, sizeof left, "ls -A %s | grep -q tmp", r.folder);
    assert_int_not_equal(system(left), 0);
    open_run(&r, false);
    assert_int_equal(lvt_checkpoint_resume(&r.trainer, r.diag), LVT_OK);
    assert_int_equal(r.trainer.at.global_step, 0);
    assert_int_equal(lvt_trainer_run(&r.trainer, r.diag), LVT_OK);
    close_run(&r);
    remove_folder(&r);
}

static void folders(void **state) {
    (void)state;
    char base[] = "/tmp/lvt-folders-XXXXXX", path[64];
    assert_non_null(mkdtemp(base));
    snprintf(path, sizeof path, "%s/run", base);
    lvt_settings s, back;
    lvt_settings_defaults(&s);
    lvt_run a, b;
    lvt_diag *d = lvt_diag_new();
    assert_int_equal(lvt_run_open(&a, path, true, d), LVT_USER);
    expect_words(d, "there is no run to resume");
    lvt_run_close(&a);

    /* A run that does not begin leaves nothing behind. */
    assert_int_equal(lvt_run_open(&a, path, false, d), LVT_OK);
    lvt_run_close(&a);
    assert_false(lvt_path_exists(path));

    assert_int_equal(lvt_run_open(&a, path, false, d), LVT_OK);
    s.tasks = 3;
    assert_int_equal(
        lvt_run_write_settings(&a, &s, &(lvt_run_facts){"p", 0xfedcba9876543210u, 7, true, 3}, d), LVT_OK);
    assert_int_equal(lvt_run_open(&b, path, true, d), LVT_USER);
    expect_words(d, "another lvt-run is training into this folder");
    lvt_run_close(&b);
    lvt_run_close(&a);
    assert_int_equal(lvt_run_open(&a, path, false, d), LVT_USER);
    expect_words(d, "there is a run in this folder already");
    lvt_run_close(&a);
    assert_int_equal(lvt_run_open(&a, path, true, d), LVT_OK);
    lvt_run_facts facts;
    cJSON *tree;
    assert_int_equal(lvt_run_read_settings(&a, &back, &facts, &tree, d), LVT_OK);
    assert_int_equal(back.tasks, 3);
    assert_true(facts.hash == 0xfedcba9876543210u);
    assert_int_equal(facts.team, 3);
    cJSON_Delete(tree);
    lvt_run_close(&a);
    assert_int_equal(lvt_run_open(&a, "/proc/none/run", false, d), LVT_IO);
    lvt_run_close(&a);
    lvt_diag_free(d);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", base);
    assert_int_equal(system(command), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_run),
        cmocka_unit_test(resume),
        cmocka_unit_test(stopped_while_measuring),
        cmocka_unit_test(other_settings_differ),
        cmocka_unit_test(without_effect),
        cmocka_unit_test(not_a_number),
        cmocka_unit_test(no_memory_no_drift),
        cmocka_unit_test(refusals),
        cmocka_unit_test(validation),
        cmocka_unit_test(validation_of_views),
        cmocka_unit_test(methods),
        cmocka_unit_test(wrong_checkpoints),
        cmocka_unit_test(no_room),
        cmocka_unit_test(folders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
