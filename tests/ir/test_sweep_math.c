/* Goes over the table of ops with numbers, in double precision: decompositions against evaluation, first and
 * second derivatives against differences. */
#include "passes/pass.h"
#include "tests/samples.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

/* Central differences with step h err by about h^2 * f''' / 6 + epsilon * f / h; with h = 1e-5 both are some
 * 1e-10, and sums over a few dozen elements with second derivatives of the order of 100 lose up to three more
 * digits. */
#define STEP 1e-5
#define TOLERANCE 1e-6
/* The same formula in another order of operations: a few hundred roundings of 1.1e-16, relative to values up
 * to 100. */
#define SAME 1e-12

static lvt_graph *autodiff(lvt_graph *g, lvt_diag *diag) {
    lvt_arena *scratch = lvt_arena_new();
    lvt_pass ctx = {
        .name = "autodiff", .module = g->module, .diag = diag, .arena = scratch, .status = LVT_INTERNAL};
    lvt_graph *out = lvt_pass_autodiff(&ctx, g);
    lvt_arena_free(scratch);
    return out;
}

static bool is_float(const lvt_graph *g, lvt_value v) {
    return lvt_dtype_is_float((lvt_dtype)lvt_value_type(g, v)->dtype);
}

/* Sum of x * weights, where weights is a new input. */
static lvt_value weigh(lvt_builder *b, lvt_value sum, lvt_value x) {
    lvt_type t = *lvt_value_type(b->graph, x);
    lvt_value w = lvt_build_input(b, NULL, &t);
    lvt_value s =
        lvt_build_reduce(b, LVT_OP_reduce_sum, lvt_build_binary(b, LVT_OP_mul, x, w), 0, NULL, false);
    s = lvt_build_cast(b, s, LVT_F32); /* samples may give other float types */
    return sum == LVT_NONE ? s : lvt_build_binary(b, LVT_OP_add, sum, s);
}

/* A graph under test: loss = weighed float results; with `second`, loss = weighed gradients of that. Outputs:
 * the loss, then its gradient for every float operand. false: the sample has nothing to differentiate. */
static bool add_loss(sample *s, bool second, lvt_diag *diag) {
    lvt_graph *g = s->graph;
    lvt_builder b = lvt_builder_for(g, diag);
    lvt_value loss = LVT_NONE, operands[SAMPLE_MAX + 1];
    uint32_t n = 1, n_results = g->nodes[s->node].n_results;
    b.loc = g->loc;
    for (uint32_t k = 0; k < s->n_operands; k++)
        if (is_float(g, g->inputs[k].value))
            operands[n++] = g->inputs[k].value;
    for (uint32_t k = 0; k < n_results; k++)
        if (is_float(g, g->nodes[s->node].result + k))
            loss = weigh(&b, loss, g->nodes[s->node].result + k);
    if (n == 1 || loss == LVT_NONE)
        return false;
    operands[0] = loss;
    lvt_value d = lvt_build(&b, LVT_OP_gradient, n, operands, 0, NULL);
    if (second) {
        loss = LVT_NONE;
        for (uint32_t k = 1; k < n; k++)
            loss = weigh(&b, loss, d + k - 1);
        operands[0] = loss;
        d = lvt_build(&b, LVT_OP_gradient, n, operands, 0, NULL);
    }
    g->n_outputs = 0;
    lvt_graph_add_output(g, "loss", loss, 0);
    for (uint32_t k = 1; k < n; k++)
        lvt_graph_add_output(g, NULL, d + k - 1, 0);
    return !g->failed;
}

static double loss_at(const lvt_graph *g, const lvt_tensor *in, lvt_diag *diag) {
    double x = 0;
    lvt_tensor out[SAMPLE_MAX + 1] = {{.data = &x}};
    assert_int_equal(lvt_interp_run(g, in, NULL, out, LVT_PRECISION_F64, NULL, NULL, diag), LVT_OK);
    return x;
}

static void check_gradient(lvt_op op, int index, bool second) {
    const lvt_op_def *def = lvt_op_table[op];
    lvt_diag *diag = lvt_diag_new();
    sample s;
    assert_true(sample_make(op, def->samples[index], &s, diag));
    if (!add_loss(&s, second, diag)) {
        sample_free(&s);
        lvt_diag_free(diag);
        return;
    }
    lvt_graph *g = autodiff(s.graph, diag);
    if (!g)
        fail_msg("%s: %s: %s", def->name, def->samples[index], lvt_diag_text(diag));
    /* All inputs: the operands in their ranges, weights in -1..1. u: a direction for the float operands. */
    lvt_tensor *in = calloc(g->n_inputs, sizeof *in), u[SAMPLE_MAX] = {{.data = NULL}}, out[SAMPLE_MAX + 1];
    uint64_t seed = 77 + (uint64_t)index;
    for (uint32_t k = 0; k < g->n_inputs; k++) {
        const lvt_type *t = lvt_value_type(g, g->inputs[k].value);
        in[k] = k < s.n_operands ? sample_operand(&s, k, &seed) : sample_tensor(t, -1, 1, &seed);
        if (k < s.n_operands)
            u[k] = sample_tensor(t, -1, 1, &seed);
    }
    for (uint32_t k = 0; k < g->n_outputs; k++)
        out[k] = sample_tensor(lvt_value_type(g, g->outputs[k].value), 0, 0, &seed);
    assert_int_equal(lvt_interp_run(g, in, NULL, out, LVT_PRECISION_F64, NULL, NULL, diag), LVT_OK);
    /* One direction an operand, then all at once. */
    for (uint32_t which = 0; which <= s.n_operands; which++) {
        double expected = 0, at[2];
        uint32_t o = 1;
        for (uint32_t k = 0; k < s.n_operands; k++) {
            if (!is_float(g, g->inputs[k].value))
                continue;
            for (int64_t i = 0; (which == k || which == s.n_operands) && i < lvt_numel(&u[k].type); i++)
                expected += out[o].data[i] * u[k].data[i];
            o++;
        }
        for (int side = 0; side < 2; side++) {
            for (int back = 0; back < 2; back++) {
                for (uint32_t k = 0; k < s.n_operands; k++)
                    if (is_float(g, g->inputs[k].value) && (which == k || which == s.n_operands))
                        for (int64_t i = 0; i < lvt_numel(&u[k].type); i++)
                            in[k].data[i] += (side == back ? STEP : -STEP) * u[k].data[i];
                if (!back)
                    at[side] = loss_at(g, in, diag);
            }
        }
        double measured = (at[0] - at[1]) / (2 * STEP);
        if (!(fabs(measured - expected) <= TOLERANCE * (1 + fabs(expected))))
            fail_msg("%s: %s: %s derivative along operand %u is %.12g, should be %.12g", def->name,
                     def->samples[index], second ? "second" : "first", which, expected, measured);
    }
    for (uint32_t k = 0; k < g->n_inputs; k++)
        free(in[k].data);
    for (uint32_t k = 0; k < s.n_operands; k++)
        free(u[k].data);
    for (uint32_t k = 0; k < g->n_outputs; k++)
        free(out[k].data);
    free(in);
    sample_free(&s);
    lvt_diag_free(diag);
}

static void each_gradient(bool second) {
    int checked = 0;
    for (int op = 0; op < LVT_N_OPS; op++)
        for (int i = 0;
             lvt_op_table[op]->grad && !lvt_op_table[op]->no_gradient && lvt_op_table[op]->samples[i];
             i++, checked++)
            check_gradient((lvt_op)op, i, second);
    assert_true(checked > 60);
}

static void test_gradients(void **state) {
    (void)state;
    each_gradient(false);
}

static void test_second_derivatives(void **state) {
    (void)state;
    each_gradient(true);
}

static void check_decomposition(lvt_op op, int index) {
    const lvt_op_def *def = lvt_op_table[op];
    lvt_diag *diag = lvt_diag_new();
    sample s;
    assert_true(sample_make(op, def->samples[index], &s, diag));
    lvt_graph *g = s.graph;
    const lvt_node node = g->nodes[s.node];
    lvt_builder b = lvt_builder_for(g, diag);
    lvt_value results[4];
    uint32_t before = g->n_nodes;
    assert_int_equal(def->decompose(&b, &node, node.operands, results), LVT_OK);
    for (uint32_t i = before; i < g->n_nodes; i++)
        assert_null(lvt_op_of(&g->nodes[i])->decompose); /* all the way down */
    for (uint32_t k = 0; k < node.n_results; k++) {
        assert_true(lvt_type_equal(lvt_value_type(g, results[k]), lvt_value_type(g, node.result + k)));
        lvt_graph_add_output(g, NULL, results[k], 0);
    }
    uint64_t seed = 5 + (uint64_t)index;
    lvt_tensor in[SAMPLE_MAX], out[8];
    for (uint32_t k = 0; k < s.n_operands; k++)
        in[k] = sample_operand(&s, k, &seed);
    for (uint32_t k = 0; k < g->n_outputs; k++)
        out[k] = sample_tensor(lvt_value_type(g, g->outputs[k].value), 0, 0, &seed);
    assert_int_equal(lvt_interp_run(g, in, NULL, out, LVT_PRECISION_F64, NULL, NULL, diag), LVT_OK);
    for (uint32_t k = 0; k < node.n_results; k++)
        for (int64_t i = 0; i < lvt_numel(&out[k].type); i++) {
            double x = out[k].data[i], y = out[k + node.n_results].data[i];
            if (!(fabs(x - y) <= SAME * (1 + fabs(x))))
                fail_msg("%s: %s: result %u[%lld] is %.17g, decomposed %.17g", def->name, def->samples[index],
                         k, (long long)i, x, y);
        }
    for (uint32_t k = 0; k < s.n_operands; k++)
        free(in[k].data);
    for (uint32_t k = 0; k < g->n_outputs; k++)
        free(out[k].data);
    sample_free(&s);
    lvt_diag_free(diag);
}

static void test_decompositions(void **state) {
    (void)state;
    int checked = 0;
    for (int op = 0; op < LVT_N_OPS; op++)
        for (int i = 0; lvt_op_table[op]->decompose && lvt_op_table[op]->samples[i]; i++, checked++)
            check_decomposition((lvt_op)op, i);
    assert_true(checked >= 10);
}

/* The blocked matrix product against its definition, over sizes around the block, for every transposition. */
static void test_matmul(void **state) {
    (void)state;
    for (int64_t m = 1; m < 10; m += 4)
        for (int64_t n = 1; n < 10; n++)
            for (int bits = 0; bits < 4; bits++) {
                int64_t k = 5;
                lvt_module *module = lvt_module_new("m");
                lvt_graph *g = lvt_module_add_entry(module, "e", 0, false);
                lvt_builder b = lvt_builder_for(g, NULL);
                bool ta = bits & 1, tb = bits & 2;
                lvt_type at = lvt_type_make(LVT_F32, 2, ta ? (int64_t[]){k, m} : (int64_t[]){m, k});
                lvt_type bt = lvt_type_make(LVT_F32, 2, tb ? (int64_t[]){n, k} : (int64_t[]){k, n});
                lvt_value x = lvt_build_input(&b, NULL, &at), w = lvt_build_input(&b, NULL, &bt);
                lvt_value y = lvt_build_matmul(&b, x, w, ta, tb);
                lvt_graph_add_output(g, "y", y, 0);
                uint64_t seed = (uint64_t)(m * 100 + n);
                lvt_tensor in[2] = {sample_tensor(&at, -1, 1, &seed), sample_tensor(&bt, -1, 1, &seed)};
                lvt_tensor out = sample_tensor(lvt_value_type(g, y), 0, 0, &seed);
                assert_int_equal(lvt_interp_run(g, in, NULL, &out, LVT_PRECISION_F64, NULL, NULL, NULL),
                                 LVT_OK);
                for (int64_t i = 0; i < m; i++)
                    for (int64_t j = 0; j < n; j++) {
                        double sum = 0;
                        for (int64_t p = 0; p < k; p++)
                            sum += in[0].data[ta ? p * m + i : i * k + p] *
                                   in[1].data[tb ? j * k + p : p * n + j];
                        assert_true(fabs(sum - out.data[i * n + j]) <= SAME);
                    }
                free(in[0].data);
                free(in[1].data);
                free(out.data);
                lvt_module_free(module);
            }
}

/* Convolution against its definition, for every sample. */
static void test_conv(void **state) {
    (void)state;
    for (int i = 0; lvt_op_table[LVT_OP_conv2d]->samples[i]; i++) {
        sample s;
        assert_true(sample_make(LVT_OP_conv2d, lvt_op_table[LVT_OP_conv2d]->samples[i], &s, NULL));
        uint64_t seed = 3;
        lvt_window w = lvt_window_of(&s.graph->nodes[s.node]);
        lvt_tensor in[2] = {sample_operand(&s, 0, &seed), sample_operand(&s, 1, &seed)};
        lvt_tensor out = sample_tensor(lvt_value_type(s.graph, s.graph->outputs[0].value), 0, 0, &seed);
        assert_int_equal(lvt_interp_run(s.graph, in, NULL, &out, LVT_PRECISION_F64, NULL, NULL, NULL),
                         LVT_OK);
        const int64_t *x = in[0].type.dim, *k = in[1].type.dim, *y = out.type.dim;
        for (int64_t e = 0; e < lvt_numel(&out.type); e++) {
            int64_t o = e % y[3], ox = e / y[3] % y[2], oy = e / y[3] / y[2] % y[1],
                    image = e / y[3] / y[2] / y[1];
            int64_t first = o / (y[3] / w.groups) * k[1];
            double sum = 0;
            for (int64_t c = 0; c < k[1]; c++)
                for (int64_t ky = 0; ky < k[2]; ky++)
                    for (int64_t kx = 0; kx < k[3]; kx++) {
                        int64_t iy = oy * w.stride[0] - w.padding[0] + ky * w.dilation[0];
                        int64_t ix = ox * w.stride[1] - w.padding[1] + kx * w.dilation[1];
                        if (iy >= 0 && iy < x[1] && ix >= 0 && ix < x[2])
                            sum += in[0].data[((image * x[1] + iy) * x[2] + ix) * x[3] + first + c] *
                                   in[1].data[((o * k[1] + c) * k[2] + ky) * k[3] + kx];
                    }
            assert_true(fabs(sum - out.data[e]) <= SAME * (1 + fabs(sum)));
        }
        free(in[0].data);
        free(in[1].data);
        free(out.data);
        sample_free(&s);
    }
}

/* The expected words come from a program of its own that gives the published vector (6627e8d5 e169c58d
 * bc57ac4c 9b00dbd8 for counter and key 0). They fix the layout of counter and key, which is part of a
 * model's meaning. */
static void test_random(void **state) {
    (void)state;
    sample s;
    assert_true(sample_make(LVT_OP_random_uniform, "i32[2] {shape = [4096]}", &s, NULL));
    double key[2] = {1, 2}, sum = 0, squares = 0;
    lvt_tensor in = {lvt_type_make(LVT_I32, 1, (int64_t[]){2}), key};
    double data[4096], again[4096];
    lvt_tensor out = {.data = data};
    assert_int_equal(lvt_interp_run(s.graph, &in, NULL, &out, LVT_PRECISION_F32, NULL, NULL, NULL), LVT_OK);
    out.data = again;
    assert_int_equal(lvt_interp_run(s.graph, &in, NULL, &out, LVT_PRECISION_F32, NULL, NULL, NULL), LVT_OK);
    assert_memory_equal(data, again, sizeof data);
    static const double first[8] = {14873168, 6679848,  9817191,  1611044,
                                    10246209, 14696911, 14413803, 219077};
    for (int i = 0; i < 8; i++)
        assert_true(data[i] == first[i] / 16777216);
    for (int i = 0; i < 4096; i++) {
        assert_true(data[i] >= 0 && data[i] < 1);
        sum += data[i];
        squares += data[i] * data[i];
    }
    /* mean 1/2 +- 0.0045, mean square 1/3 +- 0.0047 (one deviation): five of them */
    assert_true(fabs(sum / 4096 - 0.5) < 0.0225 && fabs(squares / 4096 - 1.0 / 3) < 0.0235);
    key[1] = 3;
    assert_int_equal(lvt_interp_run(s.graph, &in, NULL, &out, LVT_PRECISION_F32, NULL, NULL, NULL), LVT_OK);
    int same = 0;
    for (int i = 0; i < 4096; i++)
        same += data[i] == again[i];
    assert_true(same < 5);
    sample_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients),      cmocka_unit_test(test_second_derivatives),
        cmocka_unit_test(test_decompositions), cmocka_unit_test(test_matmul),
        cmocka_unit_test(test_conv),           cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
