/* Every pass keeps what a program computes: random small graphs and the models of models/, at tiny settings,
 * give the same outputs and states on the interpreter in f64 before and after each pass; the plan holds; and
 * no step of the LVT models is left to the interpreter. */
#include "frontend/language/language.h"
#include "ir/interp.h"
#include "passes/pass.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "random_graph.h"

/* Constants are folded in f32 and sums are added in another order; both stay well below this in graphs of
 * this size, whose values are of size 1. */
#define TOLERANCE 2e-6

typedef struct values {
    lvt_tensor *inputs, *states, *outputs;
    uint32_t n_inputs, n_states, n_outputs;
} values;

static lvt_tensor tensor(const lvt_type *t) {
    return (lvt_tensor){*t, calloc((size_t)lvt_numel(t) + 1, sizeof(double))};
}

/* The same inputs and states every time: they depend on the types and the seed alone. */
static values draw(const lvt_graph *g, uint64_t seed) {
    values v = {.n_inputs = g->n_inputs, .n_states = g->module->n_states, .n_outputs = g->n_outputs};
    v.inputs = calloc(v.n_inputs + 1, sizeof *v.inputs);
    v.states = calloc(v.n_states + 1, sizeof *v.states);
    v.outputs = calloc(v.n_outputs + 1, sizeof *v.outputs);
    for (uint32_t i = 0; i < v.n_inputs + v.n_states; i++) {
        bool state = i >= v.n_inputs;
        const lvt_type *t =
            state ? &g->module->states[i - v.n_inputs].type : &g->values[g->inputs[i].value].type;
        lvt_tensor x = tensor(t);
        for (int64_t k = 0; k < lvt_numel(t); k++)
            x.data[k] = t->dtype == LVT_F32 || t->dtype == LVT_F64
                            ? (double)(float)(state ? 0.3 + 0.5 * uniform(&seed) : 2 * uniform(&seed) - 1)
                            : below(&seed, 2);
        *(state ? &v.states[i - v.n_inputs] : &v.inputs[i]) = x;
    }
    for (uint32_t i = 0; i < v.n_outputs; i++)
        v.outputs[i] = tensor(&g->values[g->outputs[i].value].type);
    return v;
}

static void drop(values *v) {
    for (uint32_t i = 0; i < v->n_inputs; i++)
        free(v->inputs[i].data);
    for (uint32_t i = 0; i < v->n_states; i++)
        free(v->states[i].data);
    for (uint32_t i = 0; i < v->n_outputs; i++)
        free(v->outputs[i].data);
    free(v->inputs);
    free(v->states);
    free(v->outputs);
    *v = (values){0};
}

static values run(const lvt_graph *g, uint64_t seed, lvt_diag *diag) {
    values v = draw(g, seed);
    lvt_status status = lvt_interp_run(g, v.inputs, v.states, v.outputs, LVT_PRECISION_F64, NULL, NULL, diag);
    if (status != LVT_OK) {
        char *words = lvt_diag_text(diag);
        print_error("%s\n", words);
        free(words);
    }
    assert_int_equal(status, LVT_OK);
    return v;
}

static double difference(const lvt_tensor *a, const lvt_tensor *b) {
    double worst = 0;
    for (int64_t i = 0; i < lvt_numel(&a->type); i++) {
        double scale = fmax(1, fmax(fabs(a->data[i]), fabs(b->data[i])));
        double d = fabs(a->data[i] - b->data[i]) / scale;
        if (isnan(a->data[i]) != isnan(b->data[i]))
            return INFINITY;
        worst = d > worst ? d : worst;
    }
    return worst;
}

static double compare(const values *a, const values *b) {
    double worst = 0;
    for (uint32_t i = 0; i < a->n_outputs; i++)
        worst = fmax(worst, difference(&a->outputs[i], &b->outputs[i]));
    for (uint32_t i = 0; i < a->n_states; i++)
        worst = fmax(worst, difference(&a->states[i], &b->states[i]));
    return worst;
}

/* Runs the passes one at a time and compares after each. Consumes the module. */
static void check_module(lvt_module *m, const char *what, uint64_t seed, bool no_interp, uint64_t budget) {
    lvt_diag *diag = lvt_diag_new();
    values *before = NULL;
    uint32_t n = m->n_entries;
    lvt_compiled *program = NULL;
    for (int p = 0; lvt_pass_table[p].name; p++) {
        const char *name = lvt_pass_table[p].name;
        lvt_compile_options o = {
            .start_at = name, .stop_after = name, .verify_each = true, .memory_budget = budget};
        lvt_status status = lvt_compile(m, &o, &program, diag);
        if (status != LVT_OK) {
            char *words = lvt_diag_text(diag);
            print_error("%s, pass %s: %s\n", what, name, words);
            free(words);
        }
        assert_int_equal(status, LVT_OK);
        if (!strcmp(name,
                    "verify")) /* gradient nodes cannot be run: the first values are those after autodiff */
            continue;
        for (uint32_t i = 0; i < n; i++) {
            values v = run(m->entries[i], seed, diag);
            if (!strcmp(name, "autodiff")) {
                before = before ? before : calloc(n, sizeof *before);
                before[i] = v;
                continue;
            }
            double d = compare(&before[i], &v);
            if (!(d <= TOLERANCE))
                fail_msg("%s, entry %s: pass %s changes a value by %g", what, m->entries[i]->name, name, d);
            drop(&v);
        }
    }
    assert_non_null(program); /* the plan was verified */
    for (uint32_t i = 0; i < n; i++) {
        const lvt_plan *plan = &program->plans[i];
        for (uint32_t k = 0; no_interp && k < plan->n_steps; k++)
            if (plan->steps[k].family == LVT_FAMILY_INTERP)
                fail_msg("%s, entry %s: %s is left to the interpreter", what, plan->graph->name,
                         lvt_op_of(&plan->graph->nodes[plan->steps[k].node])->name);
        drop(&before[i]);
    }
    free(before);
    lvt_compiled_free(program);
    lvt_diag_free(diag);
}

/* ---- random graphs ---- */

static void random_graphs(void **state) {
    (void)state;
    int cases = getenv("LVT_CASES") ? atoi(getenv("LVT_CASES")) : 60;
    for (int i = 1; i <= cases; i++) {
        lvt_diag *diag = lvt_diag_new();
        char name[32];
        snprintf(name, sizeof name, "random graph %d", i);
        uint64_t seed = (uint64_t)i * 0x9e3779b97f4a7c15u;
        check_module(random_module(seed, diag), name, seed, false, 0);
        lvt_diag_free(diag);
    }
}

/* ---- models ---- */

static void check_model(const char *file, const char *const *settings, size_t n, uint64_t budget) {
    lvt_diag *diag = lvt_diag_new();
    lvt_module *m = NULL;
    char path[4096];
    snprintf(path, sizeof path, "%s/models/%s", LVT_SOURCE_DIR, file);
    lvt_status status = lvt_compile_file(path, settings, n, LVT_SOURCE_DIR "/models", &m, diag);
    if (status != LVT_OK) {
        char *words = lvt_diag_text(diag);
        print_error("%s\n", words);
        free(words);
    }
    assert_int_equal(status, LVT_OK);
    check_module(m, file, 7, true, budget);
    lvt_diag_free(diag);
}

static void tiny_model(void **state) {
    (void)state;
    const char *settings[] = {"batch=2", "memory_batch=2", "predict_batch=2"};
    check_model("lvt-tiny.lvt", settings, 3, 0);
    check_model("lvt-tiny.lvt", settings, 3, 770000); /* of 780 thousand bytes: some is computed again */
}

/* The large models are planned at full size; running them here would take minutes. */
static void nothing_on_the_interpreter(void **state) {
    (void)state;
    static const char *const files[] = {"lvt-tiny.lvt", "lvt-s.lvt",    "lvt.lvt",
                                        "levit.lvt",    "resnet18.lvt", "vit.lvt"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        lvt_diag *diag = lvt_diag_new();
        lvt_module *m = NULL;
        lvt_compiled *program = NULL;
        char path[4096];
        snprintf(path, sizeof path, "%s/models/%s", LVT_SOURCE_DIR, files[i]);
        assert_int_equal(lvt_compile_file(path, NULL, 0, LVT_SOURCE_DIR "/models", &m, diag), LVT_OK);
        assert_int_equal(lvt_compile(m, &(lvt_compile_options){0}, &program, diag), LVT_OK);
        for (uint32_t e = 0; e < m->n_entries; e++)
            for (uint32_t k = 0; k < program->plans[e].n_steps; k++)
                assert_int_not_equal(program->plans[e].steps[k].family, LVT_FAMILY_INTERP);
        lvt_compiled_free(program);
        lvt_diag_free(diag);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_graphs), cmocka_unit_test(tiny_model),
                                       cmocka_unit_test(nothing_on_the_interpreter)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
