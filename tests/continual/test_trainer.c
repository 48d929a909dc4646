/* The training loop with a model written here in C: this file implements the part of lvt.h that the driver
 * uses, for a linear softmax classifier over the digits, so the loop is tested alone and in milliseconds. */
#include "continual/checkpoint.h"
#include "continual/metrics.h"
#include "continual/run.h"
#include "ir/file.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <signal.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the model
 * ------------------------------------------------------------------------------------------------ */

enum { PIXELS = 64, CLASSES = 10, BATCH = 16, REMEMBERED = 16, PREDICTED = 50 };
enum { N_STATES = 4 }; /* weights of both classifiers, importance being gathered, importance in use */

struct lvt_program {
    lvt_compiled compiled;
    lvt_graph *entries[5];
    lvt_graph graphs[5];
    lvt_input inputs[5][16];
    lvt_output outputs[5][4];
    lvt_value_info values[5][20];
    lvt_module module;
    lvt_state states[N_STATES];
};

/* What the model has seen, for the tests to look at. */
typedef struct seen {
    int runs[5], batches_with_repeats;
    double weights; /* sum over importance runs */
    float mask_sum, r, gamma, lr;
    int masked_right; /* zm_mask has ones exactly for classes of the image's task and before */
} seen;

struct lvt_session {
    lvt_program *p;
    float *states[N_STATES];
    float logits[2][PREDICTED * CLASSES], loss[2];
    seen seen;
};

/* The one session that is open: the driver does not hand it out. */
static lvt_session *open_session;
static bool without_train;

static void add_input(lvt_program *p, int e, const char *name, lvt_dtype dtype, int rank, const int64_t *dims,
                      bool has_default, double value) {
    lvt_graph *g = &p->graphs[e];
    p->values[e][g->n_values].type = lvt_type_make(dtype, rank, dims);
    p->inputs[e][g->n_inputs++] =
        (lvt_input){.name = name, .value = g->n_values++, .has_default = has_default, .default_value = value};
}

static void add_output(lvt_program *p, int e, const char *name, int rank, const int64_t *dims) {
    lvt_graph *g = &p->graphs[e];
    p->values[e][g->n_values].type = lvt_type_make(LVT_F32, rank, dims);
    p->outputs[e][g->n_outputs++] = (lvt_output){.name = name, .value = g->n_values++};
}

lvt_status lvt_program_open(const char *path, const lvt_program_options *o, lvt_program **out,
                            lvt_diag *diag) {
    static const char *const names[] = {"train_new", "train", "predict", "importance", "consolidate"};
    static const char *const states[] = {"injection", "accumulation", "gathered", "importance"};
    lvt_program *p = *out = calloc(1, sizeof *p);
    (void)o, (void)diag;
    p->compiled.module = &p->module;
    p->compiled.hash = path[0] == 'x' ? 0x123456789abcdef0u : 7;
    p->module.name = "linear";
    p->module.entries = p->entries;
    p->module.n_entries = 5;
    p->module.states = p->states;
    p->module.n_states = N_STATES;
    for (int s = 0; s < N_STATES; s++) {
        p->states[s].name = states[s];
        p->states[s].type = lvt_type_make(LVT_F32, 2, (int64_t[]){CLASSES, PIXELS + 1});
    }
    for (int e = 0; e < 5; e++) {
        p->entries[e] = &p->graphs[e];
        p->graphs[e] = (lvt_graph){.module = &p->module,
                                   .name = names[e],
                                   .inputs = p->inputs[e],
                                   .outputs = p->outputs[e],
                                   .values = p->values[e]};
        int64_t n = e == LVT_ENTRY_PREDICT ? PREDICTED : BATCH;
        if (e == LVT_ENTRY_CONSOLIDATE)
            continue;
        add_input(p, e, "x", LVT_F32, 4, (int64_t[]){n, 8, 8, 1}, false, 0);
        if (e == LVT_ENTRY_PREDICT) {
            add_output(p, e, "logits", 2, (int64_t[]){n, CLASSES});
            add_output(p, e, "injection", 2, (int64_t[]){n, CLASSES});
            continue;
        }
        add_input(p, e, "y", LVT_I32, 1, &n, false, 0);
        add_input(p, e, "mask", LVT_F32, 1, (int64_t[]){CLASSES}, false, 0);
        if (e == LVT_ENTRY_IMPORTANCE) {
            add_input(p, e, "weight", LVT_F32, 0, NULL, false, 0);
            continue;
        }
        add_input(p, e, "lr", LVT_F32, 0, NULL, true, 0.05);
        add_output(p, e, "loss", 0, NULL);
        add_output(p, e, "loss_injection", 0, NULL);
        if (e == LVT_ENTRY_TRAIN) {
            add_input(p, e, "xm", LVT_F32, 4, (int64_t[]){REMEMBERED, 8, 8, 1}, false, 0);
            add_input(p, e, "ym", LVT_I32, 1, (int64_t[]){REMEMBERED}, false, 0);
            add_input(p, e, "zm", LVT_F32, 2, (int64_t[]){REMEMBERED, CLASSES}, false, 0);
            add_input(p, e, "zm_mask", LVT_F32, 2, (int64_t[]){REMEMBERED, CLASSES}, false, 0);
            add_input(p, e, "r", LVT_F32, 0, NULL, true, 0.8);
            add_input(p, e, "beta", LVT_F32, 0, NULL, false, 0);
            add_input(p, e, "gamma", LVT_F32, 0, NULL, true, 0.25);
        }
    }
    return LVT_OK;
}

void lvt_program_close(lvt_program *p) {
    free(p);
}
const lvt_compiled *lvt_program_compiled(const lvt_program *p) {
    return &p->compiled;
}

int lvt_entry_find(const lvt_program *p, const char *name) {
    for (int e = 0; e < 5; e++) {
        if (!strcmp(p->graphs[e].name, name) && !(without_train && e == LVT_ENTRY_TRAIN))
            return e;
    }
    return -1;
}

int lvt_entry_output(const lvt_program *p, int entry, const char *name) {
    for (uint32_t o = 0; o < p->graphs[entry].n_outputs; o++) {
        if (!strcmp(p->outputs[entry][o].name, name))
            return (int)o;
    }
    return -1;
}

lvt_status lvt_session_new(lvt_program *p, const lvt_session_options *o, lvt_session **out, lvt_diag *diag) {
    (void)o, (void)diag;
    open_session = *out = calloc(1, sizeof **out);
    (*out)->p = p;
    for (int s = 0; s < N_STATES; s++)
        (*out)->states[s] = calloc(CLASSES * (PIXELS + 1), sizeof(float));
    return LVT_OK;
}

void lvt_session_free(lvt_session *s) {
    for (int i = 0; i < N_STATES; i++)
        free(s->states[i]);
    free(s);
    open_session = NULL;
}

void *lvt_session_state(lvt_session *s, uint32_t state) {
    return s->states[state];
}

static void logits_of(const float *w, const float *x, float *z) {
    for (int c = 0; c < CLASSES; c++) {
        z[c] = w[c * (PIXELS + 1) + PIXELS];
        for (int i = 0; i < PIXELS; i++)
            z[c] += w[c * (PIXELS + 1) + i] * x[i];
    }
}

/* One image's cross entropy over the classes of the mask; its gradient, times scale, is added to `to`. */
static float cross_entropy(const float *w, const float *x, int y, const float *mask, float scale, float *to) {
    float z[CLASSES], sum = 0, top = -1e30f;
    logits_of(w, x, z);
    for (int c = 0; c < CLASSES; c++)
        top = mask[c] > 0 && z[c] > top ? z[c] : top;
    for (int c = 0; c < CLASSES; c++)
        sum += mask[c] > 0 ? expf(z[c] - top) : 0;
    for (int c = 0; c < CLASSES; c++) {
        float g = mask[c] > 0 ? expf(z[c] - top) / sum - (c == y) : 0;
        for (int i = 0; i <= PIXELS; i++)
            to[c * (PIXELS + 1) + i] += scale * g * (i < PIXELS ? x[i] : 1);
    }
    return logf(sum) + top - z[y];
}

static const void *input(lvt_session *s, int e, const void *const *inputs, const char *name) {
    for (uint32_t i = 0; i < s->p->graphs[e].n_inputs; i++) {
        if (!strcmp(s->p->inputs[e][i].name, name))
            return inputs[i];
    }
    return NULL;
}

lvt_status lvt_session_run(lvt_session *s, int e, const void *const *inputs, lvt_diag *diag) {
    (void)diag;
    s->seen.runs[e]++;
    const float *x = input(s, e, inputs, "x"), *mask = input(s, e, inputs, "mask"),
                *lr = input(s, e, inputs, "lr");
    const int32_t *y = input(s, e, inputs, "y");
    static float gradient[2][CLASSES * (PIXELS + 1)];
    memset(gradient, 0, sizeof gradient);
    if (e == LVT_ENTRY_CONSOLIDATE) {
        memcpy(s->states[3], s->states[2], sizeof gradient[0]);
        memset(s->states[2], 0, sizeof gradient[0]);
    } else if (e == LVT_ENTRY_PREDICT) {
        for (int i = 0; i < PREDICTED; i++)
            for (int k = 0; k < 2; k++)
                logits_of(s->states[1 - k], x + i * PIXELS, s->logits[k] + i * CLASSES);
    } else if (e == LVT_ENTRY_IMPORTANCE) {
        float weight = *(const float *)input(s, e, inputs, "weight");
        s->seen.weights += weight;
        for (int i = 0; i < BATCH; i++)
            cross_entropy(s->states[0], x + i * PIXELS, y[i], mask, weight / BATCH, s->states[2]);
    } else {
        s->seen.lr = *lr;
        s->loss[0] = s->loss[1] = s->seen.mask_sum = 0;
        for (int c = 0; c < CLASSES; c++)
            s->seen.mask_sum += mask[c];
        for (int i = 0; i < BATCH; i++) {
            if (mask[y[i]] != 1)
                s->loss[0] = NAN; /* a label that the mask does not know */
            for (int k = 0; k < 2; k++)
                s->loss[k] +=
                    cross_entropy(s->states[k], x + i * PIXELS, y[i], mask, 1.f / BATCH, gradient[k]) / BATCH;
        }
        if (e == LVT_ENTRY_TRAIN) {
            const float *xm = input(s, e, inputs, "xm"), *zm_mask = input(s, e, inputs, "zm_mask");
            const int32_t *ym = input(s, e, inputs, "ym");
            s->seen.r = *(const float *)input(s, e, inputs, "r");
            s->seen.gamma = *(const float *)input(s, e, inputs, "gamma");
            for (int i = 0; i < REMEMBERED; i++) {
                float known = 0;
                for (int c = 0; c < CLASSES; c++)
                    known += zm_mask[i * CLASSES + c];
                s->seen.masked_right +=
                    zm_mask[i * CLASSES + ym[i]] == 1 && known == (float)(ym[i] / 2 * 2 + 2);
                for (int j = 0; j < i; j++)
                    s->seen.batches_with_repeats +=
                        !memcmp(xm + i * PIXELS, xm + j * PIXELS, PIXELS * sizeof *xm);
                cross_entropy(s->states[1], xm + i * PIXELS, ym[i], mask, 1.f / REMEMBERED, gradient[1]);
            }
        }
        for (int k = 0; k < 2; k++)
            for (int i = 0; i < CLASSES * (PIXELS + 1); i++)
                s->states[k][i] -= *lr * gradient[k][i];
    }
    return LVT_OK;
}

const void *lvt_session_output(const lvt_session *s, int e, int output) {
    return e == LVT_ENTRY_PREDICT ? (const void *)s->logits[output] : &s->loss[output];
}

/* ---- the tests
 * ------------------------------------------------------------------------------------------------- */

typedef struct run {
    char folder[64];
    lvt_settings settings;
    lvt_dataset *data;
    lvt_model model;
    lvt_trainer trainer;
    lvt_diag *diag;
    uint64_t stop_at; /* global step; 0: never */
    int phases, tasks_done;
} run;

static bool stop(void *user) {
    const run *r = user;
    return r->stop_at && r->trainer.at.global_step >= r->stop_at;
}
static void phase(void *user, const char *what) {
    ((run *)user)->phases += what != NULL;
}
static void evaluated(void *user, const lvt_trainer *t) {
    ((run *)user)->tasks_done = t->at.task;
}

static lvt_status open_run_of(run *r, const char *program, bool fresh) {
    if (fresh) {
        strcpy(r->folder, "/tmp/lvt-trainer-XXXXXX");
        assert_non_null(mkdtemp(r->folder));
    }
    r->diag = lvt_diag_new();
    assert_int_equal(lvt_dataset_open("digits", NULL, &r->data, r->diag), LVT_OK);
    assert_int_equal(lvt_model_open(&r->model, program, &(lvt_program_options){.threads = 1}, r->settings.seed,
                                    true, r->diag),
                     LVT_OK);
    lvt_events events = {r, stop, NULL, phase, evaluated};
    return lvt_trainer_init(&r->trainer, &r->settings, &r->model, r->data, r->folder, &events, r->diag);
}

static void open_run(run *r, bool fresh) {
    lvt_status status = open_run_of(r, "x", fresh);
    if (status != LVT_OK)
        fail_msg("%s", lvt_diag_text(r->diag));
}

static void close_run(run *r) {
    lvt_trainer_free(&r->trainer);
    lvt_model_close(&r->model);
    lvt_dataset_free(r->data);
    lvt_diag_free(r->diag);
}

static void remove_folder(const run *r) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", r->folder);
    assert_int_equal(system(command), 0);
}

static void defaults(run *r) {
    *r = (run){0};
    lvt_settings_defaults(&r->settings);
    r->settings.data = "digits";
    r->settings.memory = 50;
    r->settings.epochs = 2;
}

static void whole_run(void **state) {
    (void)state;
    run r;
    defaults(&r);
    r.settings.fwt = true;
    open_run(&r, true);
    lvt_trainer *t = &r.trainer;
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

    /* It learned (a task of two digits is easy for a linear model), it remembers more than chance, and
     * Task-IL is never below Class-IL: it has fewer answers to choose from. */
    for (int k = 1; k <= 5; k++)
        for (int j = 0; j < 5; j++) {
            assert_true(t->task_il[k * 5 + j] >= t->class_il[k * 5 + j]);
            if (j == k - 1)
                assert_true(t->task_il[k * 5 + j] > 0.9);
        }
    assert_true(lvt_metric_value("acc", t->class_il, 5, 5) > 0.5);
    assert_false(isnan(lvt_metric_value("fwt", t->task_il, 5, 5)));
    close_run(&r);
    remove_folder(&r);
}

static void same_tensors(const char *a, const char *b) {
    lvt_safetensors x, y;
    assert_int_equal(lvt_safetensors_read(a, &x, NULL), LVT_OK);
    assert_int_equal(lvt_safetensors_read(b, &y, NULL), LVT_OK);
    assert_int_equal(x.n, y.n);
    for (size_t i = 0; i < x.n; i++) {
        assert_string_equal(x.tensors[i].name, y.tensors[i].name);
        assert_true(lvt_type_equal(&x.tensors[i].type, &y.tensors[i].type));
        assert_memory_equal(x.tensors[i].data, y.tensors[i].data, lvt_type_bytes(&x.tensors[i].type));
    }
    lvt_safetensors_free(&x);
    lvt_safetensors_free(&y);
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
    assert_int_equal(open_session->seen.runs[LVT_ENTRY_CONSOLIDATE], 0);
    assert_int_equal(r.trainer.memory.n, 0);
    close_run(&r);
    remove_folder(&r);
}

static void expect_words(lvt_diag *d, const char *words) {
    char *text = lvt_diag_text(d);
    if (!strstr(text, words))
        fail_msg("\"%s\" is not in:\n%s", words, text);
    free(text);
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
        {5, 50, "gama=1", 0, false, LVT_USAGE, "did you mean gamma?"},
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
        double right = t->validation[0][5 * 5 + j] * (held[2 * j] + held[2 * j + 1]);
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
        wanted += t->class_il[5 * 5 + j] * images;
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
    expect_words(r.diag, "compiled with the method lvt, not er");
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
    assert_true(lvt_metric_value("acc", r.trainer.class_il, 5, 5) >
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
    assert_int_equal(lvt_file_write(path, bytes, size / 2, NULL), LVT_OK);
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
    char path[128];
    snprintf(path, sizeof path, "%s/last.safetensors.tmp", r.folder);
    assert_false(lvt_path_exists(path));
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
    assert_int_equal(lvt_run_write_settings(&a, &s, "p", 0xfedcba9876543210u, d), LVT_OK);
    assert_int_equal(lvt_run_open(&b, path, true, d), LVT_USER);
    expect_words(d, "another lvt-run is training into this folder");
    lvt_run_close(&b);
    lvt_run_close(&a);
    assert_int_equal(lvt_run_open(&a, path, false, d), LVT_USER);
    expect_words(d, "there is a run in this folder already");
    lvt_run_close(&a);
    assert_int_equal(lvt_run_open(&a, path, true, d), LVT_OK);
    uint64_t hash;
    cJSON *tree;
    assert_int_equal(lvt_run_read_settings(&a, &back, &hash, &tree, d), LVT_OK);
    assert_int_equal(back.tasks, 3);
    assert_true(hash == 0xfedcba9876543210u);
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
        cmocka_unit_test(other_settings_differ),
        cmocka_unit_test(no_memory_no_drift),
        cmocka_unit_test(refusals),
        cmocka_unit_test(validation),
        cmocka_unit_test(methods),
        cmocka_unit_test(wrong_checkpoints),
        cmocka_unit_test(no_room),
        cmocka_unit_test(folders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
