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

/* Constants are folded in f32 and sums are added in another order; both stay well below this in graphs of
 * this size, whose values are of size 1. */
#define TOLERANCE 2e-6

static uint64_t random_bits(uint64_t *seed) { /* xorshift64*, Vigna 2016 */
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * 0x2545f4914f6cdd1du;
}
static double uniform(uint64_t *seed) {
    return (double)(random_bits(seed) >> 11) / 9007199254740992.0;
}
static int below(uint64_t *seed, int n) {
    return (int)(random_bits(seed) % (uint64_t)n);
}

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
static void check_module(lvt_module *m, const char *what, uint64_t seed, bool no_interp) {
    lvt_diag *diag = lvt_diag_new();
    values *before = NULL;
    uint32_t n = m->n_entries;
    lvt_compiled *program = NULL;
    for (int p = 0; lvt_pass_table[p].name; p++) {
        const char *name = lvt_pass_table[p].name;
        lvt_compile_options o = {.start_at = name, .stop_after = name, .verify_each = true};
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

enum { MOST_VALUES = 64 };

typedef struct growing {
    lvt_builder b;
    lvt_value values[MOST_VALUES];
    int n;
    uint64_t *seed;
} growing;

static void add(growing *x, lvt_value v) {
    assert_int_not_equal(v, LVT_NONE);
    if (x->n < MOST_VALUES)
        x->values[x->n++] = v;
}

static lvt_value any(growing *x) {
    return x->values[below(x->seed, x->n)];
}

static void grow(growing *x) {
    static const lvt_op unary[] = {LVT_OP_neg,  LVT_OP_tanh,   LVT_OP_gelu, LVT_OP_sigmoid,
                                   LVT_OP_relu, LVT_OP_square, LVT_OP_sin,  LVT_OP_stop_gradient};
    static const lvt_op binary[] = {LVT_OP_add, LVT_OP_sub, LVT_OP_mul, LVT_OP_max};
    static const lvt_op reductions[] = {LVT_OP_reduce_sum, LVT_OP_reduce_mean, LVT_OP_reduce_max};
    lvt_builder *b = &x->b;
    lvt_value v = any(x);
    lvt_type t = *lvt_value_type(b->graph, v);
    lvt_type joined;
    switch (below(x->seed, 11)) {
    case 0:
        add(x, lvt_build_unary(b, unary[below(x->seed, 8)], v));
        break;
    case 1: /* something of a fitting shape, or a number */
        for (int tries = 0; tries < 8; tries++) {
            lvt_value w = any(x);
            if (lvt_broadcast_types(&t, lvt_value_type(b->graph, w), &joined)) {
                add(x, lvt_build_binary(b, binary[below(x->seed, 4)], v, w));
                return;
            }
        }
        break;
    case 2:
        add(x, lvt_build_binary(b, binary[below(x->seed, 4)], v,
                                lvt_build_scalar(b, LVT_F32, below(x->seed, 3) - 1)));
        break;
    case 3: {
        int64_t axes[LVT_MAX_RANK];
        int n = 0;
        for (int i = 0; i < t.rank; i++)
            if (below(x->seed, 2))
                axes[n++] = i;
        if (n)
            add(x, lvt_build_reduce(b, reductions[below(x->seed, 3)], v, n, axes, below(x->seed, 2)));
        break;
    }
    case 4: { /* the same elements in another shape: two dims joined, or one split */
        int64_t dims[LVT_MAX_RANK];
        int rank = 0;
        if (t.rank >= 2 && below(x->seed, 2)) {
            int at = below(x->seed, t.rank - 1);
            for (int i = 0; i < t.rank; i++)
                if (i == at + 1)
                    dims[rank - 1] *= t.dim[i];
                else
                    dims[rank++] = t.dim[i];
        } else if (t.rank >= 1 && t.rank < 4) {
            int at = below(x->seed, t.rank);
            for (int i = 0; i < t.rank; i++) {
                if (i == at && t.dim[i] % 2 == 0) {
                    dims[rank++] = 2;
                    dims[rank++] = t.dim[i] / 2;
                } else {
                    dims[rank++] = t.dim[i];
                }
            }
        } else {
            break;
        }
        add(x, lvt_build_reshape(b, v, rank, dims));
        break;
    }
    case 5: {
        int64_t order[LVT_MAX_RANK];
        for (int i = 0; i < t.rank; i++)
            order[i] = i;
        for (int i = t.rank; i-- > 1;) {
            int k = below(x->seed, i + 1);
            int64_t o = order[i];
            order[i] = order[k];
            order[k] = o;
        }
        if (t.rank)
            add(x, lvt_build_transpose(b, v, order));
        break;
    }
    case 6:
        if (t.rank >= 1) {
            int axis = below(x->seed, t.rank);
            int64_t from = below(x->seed, (int)t.dim[axis]);
            add(x, lvt_build_slice(b, v, axis, from, from + 1 + below(x->seed, (int)(t.dim[axis] - from))));
        }
        break;
    case 7:
        if (t.rank >= 1 && lvt_numel(&t) < 200) {
            lvt_value parts[2] = {v, v};
            add(x, lvt_build_concat(b, 2, parts, below(x->seed, t.rank)));
        }
        break;
    case 8:
        if (t.rank >= 2) {
            bool flip = below(x->seed, 2);
            lvt_value w = flip ? v : lvt_build_unary(b, LVT_OP_sin, v);
            add(x, lvt_build_matmul(b, v, w, flip, !flip));
        }
        break;
    case 9:
        if (t.rank >= 1)
            add(x, lvt_build(b, below(x->seed, 2) ? LVT_OP_softmax : LVT_OP_log_softmax, 1, &v, 0, NULL));
        break;
    case 10:
        if (t.rank >= 2) {
            lvt_type row = lvt_type_make(LVT_F32, 1, &t.dim[t.rank - 1]);
            lvt_value operands[3] = {v, lvt_build_full(b, &row, 0.5), lvt_build_full(b, &row, 0.25)};
            add(x, lvt_build(b, LVT_OP_batch_norm, 3, operands, 0, NULL));
        }
        break;
    }
}

static lvt_module *random_module(uint64_t seed, lvt_diag *diag) {
    static const int64_t shapes[][3] = {{4, 6, 8}, {6, 8}, {8}, {4, 1, 8}};
    static const int ranks[] = {3, 2, 1, 3};
    lvt_module *m = lvt_module_new("random");
    lvt_graph *g = lvt_module_add_entry(m, "f", 0, true);
    growing x = {.b = lvt_builder_for(g, diag), .seed = &seed};
    lvt_value leaves[4];
    for (int i = 0; i < 4; i++) {
        lvt_type t = lvt_type_make(LVT_F32, ranks[i], shapes[i]);
        char name[8];
        snprintf(name, sizeof name, "s%d", i);
        if (i < 2)
            leaves[i] = lvt_build_state(&x.b, lvt_module_add_state(m, name, &t, (lvt_init){0}, true, 0));
        else
            leaves[i] = lvt_build_input(&x.b, name, &t);
        add(&x, leaves[i]);
    }
    for (int i = 0; i < 24; i++)
        grow(&x);
    /* A loss of everything, so that gradients flow through it all; tanh keeps values of size 1. */
    lvt_value loss = LVT_NONE;
    for (int i = 0; i < x.n; i += 1 + below(&seed, 3)) {
        lvt_value mean = lvt_build_reduce(&x.b, LVT_OP_reduce_mean,
                                          lvt_build_unary(&x.b, LVT_OP_tanh, x.values[i]), 0, NULL, false);
        loss = loss == LVT_NONE ? mean : lvt_build_binary(&x.b, LVT_OP_add, loss, mean);
    }
    lvt_value wanted[3] = {loss, leaves[0], leaves[1]};
    lvt_value d = lvt_build(&x.b, LVT_OP_gradient, 3, wanted, 0, NULL);
    assert_int_not_equal(d, LVT_NONE);
    for (int i = 0; i < 2; i++)
        lvt_graph_add_update(g, (uint32_t)i, lvt_build_binary(&x.b, LVT_OP_sub, leaves[i], d + (lvt_value)i),
                             0);
    lvt_graph_add_output(g, "loss", loss, 0);
    lvt_graph_add_output(g, "last", x.values[x.n - 1], 0);
    lvt_graph_add_output(g, "some", x.values[x.n / 2], 0);
    assert_false(g->failed);
    return m;
}

static void random_graphs(void **state) {
    (void)state;
    int cases = getenv("LVT_CASES") ? atoi(getenv("LVT_CASES")) : 60;
    for (int i = 1; i <= cases; i++) {
        lvt_diag *diag = lvt_diag_new();
        char name[32];
        snprintf(name, sizeof name, "random graph %d", i);
        uint64_t seed = (uint64_t)i * 0x9e3779b97f4a7c15u;
        check_module(random_module(seed, diag), name, seed, false);
        lvt_diag_free(diag);
    }
}

/* ---- models ---- */

static void check_model(const char *file, const char *const *settings, size_t n) {
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
    check_module(m, file, 7, true);
    lvt_diag_free(diag);
}

static void tiny_model(void **state) {
    (void)state;
    const char *settings[] = {"batch=2", "memory_batch=2", "predict_batch=2"};
    check_model("lvt-tiny.lvt", settings, 3);
}

/* The large models are planned at full size; running them here would take minutes. */
static void nothing_on_the_interpreter(void **state) {
    (void)state;
    static const char *const files[] = {"lvt-tiny.lvt", "lvt-s.lvt", "lvt.lvt"};
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
