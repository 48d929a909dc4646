/* For tests of the training loop: a model written here in C. This file implements the part of lvt.h that the
 * driver uses, for a linear softmax classifier over the digits, so the loop is tested alone and in
 * milliseconds. Included once in a program. */
#ifndef LVT_TESTS_LINEAR_MODEL_H
#define LVT_TESTS_LINEAR_MODEL_H

#include "runtime/continual/checkpoint.h"
#include "runtime/continual/metrics.h"
#include "runtime/continual/run.h"
#include "ir/base/file.h"
#include "ir/finite.h"

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

/* ---- the model ----------------------------------------------------------------------------------------- */

enum { PIXELS = 64, CLASSES = 10, BATCH = 16, REMEMBERED = 16, PREDICTED = 50 };
enum { N_STATES = 4 }; /* weights of both classifiers, importance being gathered, importance in use */

struct lvt_program {
    lvt_compiled compiled;
    lvt_graph *entries[5];
    lvt_graph graphs[5];
    lvt_input inputs[5][20];
    lvt_output outputs[5][4];
    lvt_value_info values[5][24];
    lvt_node nodes[5]; /* one each, which takes all inputs but `unused` */
    lvt_value operands[5][20];
    lvt_module module;
    lvt_state states[N_STATES];
};

/* What the model has seen, for the tests to look at. */
typedef struct seen {
    int runs[5], batches_with_repeats;
    double weights; /* sum over importance runs */
    float mask_sum, r, gamma, lr, frequency[CLASSES];
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
static bool without_train, soft; /* no entry train; inputs y2, mix and smoothing */
/* After that many training steps of this process an element of a state becomes the value; 0: none does. */
static struct {
    int after, state, element;
    float value;
} poison;
static int trained;
static const char *unused; /* an input that nothing is computed from; NULL: none */

static inline void add_input(lvt_program *p, int e, const char *name, lvt_dtype dtype, int rank,
                             const int64_t *dims, bool has_default, double value) {
    lvt_graph *g = &p->graphs[e];
    p->values[e][g->n_values].type = lvt_type_make(dtype, rank, dims);
    if (!unused || strcmp(unused, name))
        p->operands[e][p->nodes[e].n_operands++] = g->n_values;
    p->inputs[e][g->n_inputs++] =
        (lvt_input){.name = name, .value = g->n_values++, .has_default = has_default, .default_value = value};
}

static inline void add_output(lvt_program *p, int e, const char *name, int rank, const int64_t *dims) {
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
                                   .values = p->values[e],
                                   .nodes = &p->nodes[e],
                                   .n_nodes = 1};
        p->nodes[e].operands = p->operands[e];
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
        add_input(p, e, "frequency", LVT_F32, 1, (int64_t[]){CLASSES}, false, 0);
        add_input(p, e, "lr", LVT_F32, 0, NULL, true, 0.05);
        if (soft) {
            add_input(p, e, "y2", LVT_I32, 1, &n, false, 0);
            add_input(p, e, "mix", LVT_F32, 1, &n, false, 0);
            add_input(p, e, "smoothing", LVT_F32, 0, NULL, true, 0);
        }
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

lvt_status lvt_session_prepare(lvt_session *s, const int *entries, int n, lvt_diag *diag) {
    (void)s, (void)entries, (void)n, (void)diag; /* there is nothing to make */
    return LVT_OK;
}

void lvt_session_connect(lvt_session *s, const lvt_collective *with) {
    (void)s, (void)with;
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

int lvt_session_threads(const lvt_session *s) {
    (void)s;
    return 1;
}

static inline int64_t unsound(lvt_session *s, int states, int64_t *element) {
    for (int i = 0; i < states; i++) {
        *element = lvt_first_unsound(LVT_F32, s->states[i], CLASSES * (PIXELS + 1), false);
        if (*element >= 0)
            return i;
    }
    return -1;
}

int64_t lvt_session_unsound(lvt_session *s, int64_t *element) {
    return unsound(s, N_STATES, element);
}

int64_t lvt_session_glance(lvt_session *s, uint64_t turn, int64_t *element) {
    (void)turn;
    return unsound(s, 2, element); /* the weights of both classifiers */
}

static inline void logits_of(const float *w, const float *x, float *z) {
    for (int c = 0; c < CLASSES; c++) {
        z[c] = w[c * (PIXELS + 1) + PIXELS];
        for (int i = 0; i < PIXELS; i++)
            z[c] += w[c * (PIXELS + 1) + i] * x[i];
    }
}

/* One image's cross entropy over the classes of the mask; its gradient, times scale, is added to `to`. */
static inline float cross_entropy(const float *w, const float *x, int y, const float *mask, float scale,
                                  float *to) {
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
    const float *mix = input(s, e, inputs, "mix");
    const int32_t *y = input(s, e, inputs, "y"), *y2 = input(s, e, inputs, "y2");
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
        memcpy(s->seen.frequency, input(s, e, inputs, "frequency"), sizeof s->seen.frequency);
        s->loss[0] = s->loss[1] = s->seen.mask_sum = 0;
        for (int c = 0; c < CLASSES; c++)
            s->seen.mask_sum += mask[c];
        for (int i = 0; i < BATCH; i++) {
            if (mask[y[i]] != 1)
                s->loss[0] = NAN; /* a label that the mask does not know */
            float share = mix ? mix[i] : 1;
            for (int k = 0; k < 2; k++) {
                s->loss[k] +=
                    share / BATCH *
                    cross_entropy(s->states[k], x + i * PIXELS, y[i], mask, share / BATCH, gradient[k]);
                if (share < 1)
                    s->loss[k] += (1 - share) / BATCH *
                                  cross_entropy(s->states[k], x + i * PIXELS, y2[i], mask,
                                                (1 - share) / BATCH, gradient[k]);
            }
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
        if (++trained == poison.after)
            s->states[poison.state][poison.element] = poison.value;
    }
    return LVT_OK;
}

const void *lvt_session_output(const lvt_session *s, int e, int output) {
    return e == LVT_ENTRY_PREDICT ? (const void *)s->logits[output] : &s->loss[output];
}

/* ---- a run --------------------------------------------------------------------------------------------- */

typedef struct run {
    char folder[64];
    lvt_folder in;
    lvt_settings settings;
    lvt_dataset *data;
    lvt_model model;
    lvt_trainer trainer;
    lvt_diag *diag;
    uint64_t stop_at;    /* global step; 0: never */
    const char *stop_in; /* a phase; NULL: none */
    bool in_it;
    int phases, tasks_done;
    const char *compiled; /* the method that the program says it was compiled with */
} run;

static inline bool stop(void *user) {
    const run *r = user;
    return r->in_it || (r->stop_at && r->trainer.at.global_step >= r->stop_at);
}
static inline void phase(void *user, const char *what) {
    run *r = user;
    r->phases += what != NULL;
    r->in_it = r->stop_in && what && !strcmp(r->stop_in, what);
}
static inline void evaluated(void *user, const lvt_trainer *t) {
    ((run *)user)->tasks_done = t->at.task;
}

static inline lvt_status open_run_of(run *r, const char *program, bool fresh) {
    if (fresh) {
        strcpy(r->folder, "/tmp/lvt-trainer-XXXXXX");
        assert_non_null(mkdtemp(r->folder));
    }
    r->diag = lvt_diag_new();
    assert_int_equal(lvt_dataset_open("digits", NULL, &r->data, r->diag), LVT_OK);
    assert_int_equal(lvt_model_open(&r->model, program, &(lvt_program_options){.threads = 1},
                                    r->settings.seed, true, r->diag),
                     LVT_OK);
    r->model.method = r->compiled;
    assert_int_equal(lvt_folder_open(&r->in, NULL, r->folder, r->diag), LVT_OK);
    lvt_events events = {r, stop, NULL, phase, evaluated};
    return lvt_trainer_init(&r->trainer, &r->settings, &r->model, r->data, &r->in, &events, r->diag);
}

static inline void open_run(run *r, bool fresh) {
    lvt_status status = open_run_of(r, "x", fresh);
    if (status != LVT_OK)
        fail_msg("%s", lvt_diag_text(r->diag));
}

static inline void close_run(run *r) {
    lvt_trainer_free(&r->trainer);
    lvt_folder_close(&r->in);
    lvt_model_close(&r->model);
    lvt_dataset_free(r->data);
    lvt_diag_free(r->diag);
}

static inline void remove_folder(const run *r) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", r->folder);
    assert_int_equal(system(command), 0);
}

static inline void defaults(run *r) {
    *r = (run){0};
    lvt_settings_defaults(&r->settings);
    r->settings.data = "digits";
    r->settings.memory = 50;
    r->settings.epochs = 2;
}

static inline void same_tensors(const char *a, const char *b) {
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

static inline void expect_words(lvt_diag *d, const char *words) {
    char *text = lvt_diag_text(d);
    if (!strstr(text, words))
        fail_msg("\"%s\" is not in:\n%s", words, text);
    free(text);
}

#endif
