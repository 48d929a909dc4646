/* Pass shard: two processes that each have the same two images do together what one does with both pairs, for
 * every method of models/methods.lvt; the interpreter's all_reduce takes the others' values to be its own, so
 * one process is enough here (tests/e2e/test_mpi.sh has real ones). What cannot be divided is refused with
 * the place. */
#include "frontend/language/language.h"
#include "ir/interp.h"
#include "passes/pass.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define SPLIT "x,y,y2,mix,xm,ym,zm,zm_mask"
/* In f64: sums of a few thousand terms of size 1 in another order. */
#define TOLERANCE 1e-10

/* Linear congruential: the same numbers everywhere. */
static uint64_t next(uint64_t *seed) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}
static double uniform(uint64_t *seed) {
    return (double)next(seed) / 2147483648.0;
}

static lvt_module *compile(const char *path, const char *const *settings, size_t n, int ranks,
                           lvt_diag *diag) {
    lvt_module *m = NULL;
    lvt_compiled *program = NULL;
    lvt_compile_options o = {.stop_after = "dce-2", .verify_each = true, .ranks = ranks, .split = SPLIT};
    if (lvt_compile_file(path, settings, n, LVT_SOURCE_DIR "/models", &m, diag) != LVT_OK)
        return NULL;
    if (lvt_compile(m, &o, &program, diag) == LVT_OK)
        return m;
    lvt_module_free(m);
    return NULL;
}

static bool split(const char *name) {
    char list[] = SPLIT;
    for (char *at = strtok(list, ","); at; at = strtok(NULL, ","))
        if (!strcmp(at, name))
            return true;
    return false;
}

/* A share of the inputs, and states; a whole batch has the share as often as it fits. */
static lvt_tensor *draw(const lvt_graph *g, const lvt_graph *share, uint64_t seed) {
    lvt_tensor *t = calloc(g->n_inputs + 1, sizeof *t);
    for (uint32_t i = 0; i < g->n_inputs; i++) {
        t[i].type = g->values[g->inputs[i].value].type;
        int64_t n = lvt_numel(&t[i].type), part = lvt_numel(&share->values[share->inputs[i].value].type);
        t[i].data = calloc((size_t)n + 1, sizeof(double));
        for (int64_t k = 0; k < part; k++)
            t[i].data[k] =
                t[i].type.dtype == LVT_I32 ? (double)(next(&seed) % 4) : (double)(float)uniform(&seed);
        for (int64_t k = part; k < n; k++)
            t[i].data[k] = t[i].data[k - part];
        assert_int_equal(n / part, split(g->inputs[i].name) && g != share ? 2 : 1);
    }
    return t;
}

static lvt_tensor *some_states(const lvt_module *m, uint64_t seed) {
    lvt_tensor *t = calloc(m->n_states + 1, sizeof *t);
    for (uint32_t i = 0; i < m->n_states; i++) {
        t[i].type = m->states[i].type;
        t[i].data = calloc((size_t)lvt_numel(&t[i].type) + 1, sizeof(double));
        for (int64_t k = 0; k < lvt_numel(&t[i].type); k++)
            t[i].data[k] = 0.3 + 0.5 * uniform(&seed);
    }
    return t;
}

static lvt_tensor *room(const lvt_graph *g) {
    lvt_tensor *t = calloc(g->n_outputs + 1, sizeof *t);
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        t[i].type = g->values[g->outputs[i].value].type;
        t[i].data = calloc((size_t)lvt_numel(&t[i].type) + 1, sizeof(double));
    }
    return t;
}

static double difference(const lvt_tensor *a, const lvt_tensor *b) {
    double worst = 0;
    assert_true(lvt_type_equal(&a->type, &b->type));
    for (int64_t i = 0; i < lvt_numel(&a->type); i++) {
        double d = fabs(a->data[i] - b->data[i]) / fmax(1, fabs(a->data[i]));
        worst = d <= worst ? worst : d; /* NaN stays */
    }
    return worst;
}

static void drop(lvt_tensor *t, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        free(t[i].data);
    free(t);
}

static void two_do_what_one_does(void **state) {
    (void)state;
    static const char *const methods[] = {"lvt",   "finetune", "er",  "der++", "er-ace",
                                          "a-gem", "lwf",      "ewc", "icarl"};
    enum { N = sizeof methods / sizeof *methods };
    for (size_t k = 0; k < 2 * N; k++) { /* each with whole and with soft labels */
        lvt_diag *diag = lvt_diag_new();
        char method[32];
        const char *name = methods[k % N];
        snprintf(method, sizeof method, "method=%s", name);
        const char *settings[] = {"batch=4", "memory_batch=4", "predict_batch=2", method,
                                  k < N ? "soft=false" : "soft=true"};
        lvt_module *one = compile(LVT_SOURCE_DIR "/models/lvt-tiny.lvt", settings, 5, 1, diag);
        lvt_module *two = compile(LVT_SOURCE_DIR "/models/lvt-tiny.lvt", settings, 5, 2, diag);
        if (!one || !two)
            fail_msg("%s: %s", name, lvt_diag_text(diag));
        int trained = 0;
        for (uint32_t e = 0; e < one->n_entries; e++) {
            const lvt_graph *a = one->entries[e], *b = two->entries[e];
            if (!a->training)
                continue;
            trained++;
            lvt_tensor *ia = draw(a, b, 3), *ib = draw(b, b, 3);
            lvt_tensor *sa = some_states(one, 5), *sb = some_states(two, 5), *oa = room(a), *ob = room(b);
            assert_int_equal(lvt_interp_run(a, ia, sa, oa, LVT_PRECISION_F64, NULL, NULL, diag), LVT_OK);
            assert_int_equal(lvt_interp_run(b, ib, sb, ob, LVT_PRECISION_F64, NULL, NULL, diag), LVT_OK);
            for (uint32_t i = 0; i < a->n_outputs; i++)
                if (!(difference(&oa[i], &ob[i]) <= TOLERANCE))
                    fail_msg("%s, %s: output %s differs by %g", name, a->name, a->outputs[i].name,
                             difference(&oa[i], &ob[i]));
            for (uint32_t i = 0; i < one->n_states; i++)
                if (!(difference(&sa[i], &sb[i]) <= TOLERANCE))
                    fail_msg("%s, %s: state %s differs by %g", name, a->name, one->states[i].name,
                             difference(&sa[i], &sb[i]));
            drop(ia, a->n_inputs);
            drop(ib, b->n_inputs);
            drop(sa, one->n_states);
            drop(sb, two->n_states);
            drop(oa, a->n_outputs);
            drop(ob, b->n_outputs);
        }
        assert_in_range(trained, 1, 2);
        lvt_module_free(one);
        lvt_module_free(two);
        lvt_diag_free(diag);
    }
}

static void refused(const char *text, int ranks, const char *words) {
    lvt_diag *diag = lvt_diag_new();
    char path[] = "/tmp/lvt-shard-XXXXXX.lvt";
    int file = mkstemps(path, 4);
    assert_true(file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text) && !close(file));
    assert_null(compile(path, NULL, 0, ranks, diag));
    char *said = lvt_diag_text(diag);
    if (!strstr(said, words))
        fail_msg("\"%s\" does not say \"%s\"", said, words);
    unlink(path);
    free(said);
    lvt_diag_free(diag);
}

#define MODEL(batch, body)                                                                                   \
    "import \"nn.lvt\"\nblock weight(x) {\n    param w: f32[3] = 1.0\n    return x * w\n}\nmodel m() {\n"    \
    "    training entry train(x: f32[" batch ", 3]) {\n        " body                                        \
    "\n        minimize loss with sgd(lr = 0.1)\n        return loss = loss\n    }\n}\n"

static void what_cannot_be_divided_is_refused(void **state) {
    (void)state;
    refused(MODEL("5", "let loss = mean(square(weight(x)))"), 2, ":7:");
    refused(MODEL("5", "let loss = mean(square(weight(x)))"), 2, "cannot be divided among 2 processes");
    refused(MODEL("4", "let loss = mean(square(matmul(weight(x), x, transpose_b = true)))"), 2, ":8:");
    refused(MODEL("4", "let loss = mean(square(weight(x)[0 : 1]))"), 2,
            "not a multiple of the number of processes");
    refused("model m() { training entry train(images: f32[4, 3]) { return loss = mean(images) } }", 2,
            "nothing of entry train is divided among 2 processes");
}

/* Every process may do all of it where there is no batch. */
static void what_has_no_batch_stays_whole(void **state) {
    (void)state;
    lvt_diag *diag = lvt_diag_new();
    char path[] = "/tmp/lvt-shard-XXXXXX.lvt";
    const char *text =
        "model m() {\n training entry f(by: f32[]) { state s: f32[] = 0\n update s = s + by }\n}\n";
    int file = mkstemps(path, 4);
    assert_true(file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text) && !close(file));
    lvt_module *m = compile(path, NULL, 0, 2, diag);
    assert_non_null(m);
    unlink(path);
    lvt_module_free(m);
    lvt_diag_free(diag);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(two_do_what_one_does),
                                       cmocka_unit_test(what_cannot_be_divided_is_refused),
                                       cmocka_unit_test(what_has_no_batch_stays_whole)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
