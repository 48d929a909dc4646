/* Pass autodiff: what it builds, what it leaves alone, what it says. That derivatives are right is checked
 * for every op in ir/test_sweep_math. */
#include "ir/interp.h"
#include "ir/text.h"
#include "passes/pass.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

typedef struct bench {
    lvt_diag *diag;
    lvt_module *module;
    lvt_graph *graph, *result;
    lvt_arena *scratch;
    lvt_builder b;
    lvt_status status;
} bench;

static void bench_open(bench *t) {
    *t = (bench){.diag = lvt_diag_new(), .module = lvt_module_new("m"), .scratch = lvt_arena_new()};
    uint32_t file = lvt_module_source(t->module, "x.lvt", NULL, 0);
    t->graph = lvt_module_add_entry(t->module, "e", 0, true);
    t->b = lvt_builder_for(t->graph, t->diag);
    t->b.loc = lvt_module_loc(t->module, file, 1, 1, 0);
}

static void at_line(bench *t, uint32_t line) {
    t->b.loc = lvt_module_loc(t->module, 0, line, 1, 0);
}

static void bench_run(bench *t) {
    lvt_pass ctx = {.name = "autodiff",
                    .module = t->module,
                    .diag = t->diag,
                    .arena = t->scratch,
                    .status = LVT_INTERNAL};
    assert_false(t->graph->failed);
    t->result = lvt_pass_autodiff(&ctx, t->graph);
    t->status = ctx.status;
    if (t->result) {
        t->module->entries[0] = t->result;
        if (lvt_verify_module(t->module, t->diag) != LVT_OK)
            fail_msg("%s", lvt_diag_text(t->diag));
    }
}

static void bench_close(bench *t) {
    lvt_arena_free(t->scratch);
    lvt_module_free(t->module);
    lvt_diag_free(t->diag);
}

/* Scalar outputs of the result for scalar inputs. */
static void evaluate(bench *t, const double *inputs, double *outputs) {
    lvt_type scalar = lvt_type_make(LVT_F32, 0, NULL);
    lvt_tensor in[4], out[4];
    for (uint32_t i = 0; i < t->result->n_inputs; i++)
        in[i] = (lvt_tensor){scalar, (double *)&inputs[i]};
    for (uint32_t i = 0; i < t->result->n_outputs; i++)
        out[i] = (lvt_tensor){scalar, &outputs[i]};
    assert_int_equal(lvt_interp_run(t->result, in, NULL, out, LVT_PRECISION_F64, NULL, NULL, t->diag),
                     LVT_OK);
}

static lvt_value scalar_input(bench *t, const char *name) {
    lvt_type type = lvt_type_make(LVT_F32, 0, NULL);
    return lvt_build_input(&t->b, name, &type);
}

static lvt_value gradient(bench *t, lvt_value loss, uint32_t n, const lvt_value *of) {
    lvt_value operands[4] = {loss};
    memcpy(operands + 1, of, n * sizeof *of);
    return lvt_build(&t->b, LVT_OP_gradient, n + 1, operands, 0, NULL);
}

/* x^3 * y with x^2 shared: contributions add up. Also the gradient for a value in the middle. */
static void test_shared(void **state) {
    (void)state;
    bench t;
    bench_open(&t);
    lvt_value x = scalar_input(&t, "x"), y = scalar_input(&t, "y");
    lvt_value x2 = lvt_build_binary(&t.b, LVT_OP_mul, x, x);
    lvt_value loss = lvt_build_binary(&t.b, LVT_OP_mul, lvt_build_binary(&t.b, LVT_OP_mul, x2, x), y);
    lvt_value d = gradient(&t, loss, 3, (lvt_value[]){x, y, x2});
    for (uint32_t k = 0; k < 3; k++)
        lvt_graph_add_output(t.graph, (const char *[]){"x", "y", "x2"}[k], d + k, 0);
    bench_run(&t);
    assert_non_null(t.result);
    double out[3];
    evaluate(&t, (double[]){2, 5}, out);
    assert_true(out[0] == 60 && out[1] == 8 && out[2] == 10);
    for (uint32_t i = 0; i < t.result->n_nodes; i++) {
        const lvt_node *n = &t.result->nodes[i];
        assert_int_not_equal(n->op, LVT_OP_gradient);
        if (n->role != LVT_GRADIENT)
            continue;
        assert_true(n->origin < i && t.result->nodes[n->origin].role == LVT_FORWARD);
        assert_int_equal(n->loc, t.result->nodes[n->origin].loc);
    }
    bench_close(&t);
}

/* d/dx of (d/dx x^4)^2 = 2 * 4x^3 * 12x^2 */
static void test_nested(void **state) {
    (void)state;
    bench t;
    bench_open(&t);
    lvt_value x = scalar_input(&t, "x");
    lvt_value x2 = lvt_build_unary(&t.b, LVT_OP_square, x), x4 = lvt_build_unary(&t.b, LVT_OP_square, x2);
    lvt_value d = gradient(&t, x4, 1, &x);
    lvt_value dd = gradient(&t, lvt_build_unary(&t.b, LVT_OP_square, d), 1, &x);
    lvt_value ddd = gradient(&t, dd, 1, &x);
    lvt_graph_add_output(t.graph, "d", d, 0);
    lvt_graph_add_output(t.graph, "dd", dd, 0);
    lvt_graph_add_output(t.graph, "ddd", ddd, 0);
    bench_run(&t);
    assert_non_null(t.result);
    double out[3];
    evaluate(&t, (double[]){3}, out);
    assert_true(out[0] == 108 && out[1] == 2 * 108 * 108 && out[2] == 96 * 5 * 81);
    for (uint32_t i = 0; i < t.result->n_nodes; i++)
        if (t.result->nodes[i].role == LVT_GRADIENT)
            assert_int_equal(t.result->nodes[t.result->nodes[i].origin].role, LVT_FORWARD);
    bench_close(&t);
}

/* No dependence: zeros and a warning that names the value. stop_gradient cuts. */
static void test_unused(void **state) {
    (void)state;
    bench t;
    bench_open(&t);
    lvt_type type = lvt_type_make(LVT_F32, 2, (int64_t[]){2, 3});
    lvt_value x = scalar_input(&t, "x"), w = lvt_build_input(&t.b, "weight", &type);
    at_line(&t, 7);
    lvt_value stopped = lvt_build_unary(&t.b, LVT_OP_stop_gradient, x);
    lvt_value loss = lvt_build_binary(&t.b, LVT_OP_mul, x, stopped);
    lvt_value d = gradient(&t, loss, 2, (lvt_value[]){x, w});
    lvt_graph_add_output(t.graph, "dx", d, 0);
    lvt_graph_add_output(t.graph, "dw", d + 1, 0);
    bench_run(&t);
    assert_non_null(t.result);
    double a = 3, b[6], da, db[6];
    lvt_tensor in[2] = {{lvt_type_make(LVT_F32, 0, NULL), &a}, {type, b}},
               out[2] = {{.data = &da}, {.data = db}};
    for (int i = 0; i < 6; i++)
        b[i] = db[i] = 9;
    assert_int_equal(lvt_interp_run(t.result, in, NULL, out, LVT_PRECISION_F64, NULL, NULL, t.diag), LVT_OK);
    assert_true(da == 3); /* 2x without the cut would be 6 */
    for (int i = 0; i < 6; i++)
        assert_true(db[i] == 0);
    assert_int_equal(lvt_diag_warnings(t.diag), 1);
    char *text = lvt_diag_text(t.diag);
    assert_string_equal(
        text, "x.lvt:7:1: warning W402: the loss does not depend on 'weight': its gradient is zero\n");
    free(text);
    bench_close(&t);
}

/* Every op without a gradient on the way is reported, with its line, and those off the way are not. */
static void test_missing(void **state) {
    (void)state;
    bench t;
    bench_open(&t);
    lvt_type type = lvt_type_make(LVT_F32, 0, NULL);
    lvt_graph *body = lvt_graph_new(t.module, NULL, 0, false);
    lvt_builder b = lvt_builder_for(body, t.diag);
    lvt_graph_add_output(body, NULL, lvt_build_unary(&b, LVT_OP_exp, lvt_build_input(&b, NULL, &type)), 0);
    lvt_value x = scalar_input(&t, "x"), y = scalar_input(&t, "y");
    at_line(&t, 3);
    lvt_value p = lvt_build_fused(&t.b, body, 1, &x);
    at_line(&t, 4);
    lvt_value q = lvt_build_fused(&t.b, body, 1, &p);
    at_line(&t, 5);
    lvt_value unrelated = lvt_build_fused(&t.b, body, 1, &y);
    lvt_value beside = lvt_build_fused(&t.b, body, 1, &x);
    lvt_value loss = lvt_build_binary(&t.b, LVT_OP_add, q, unrelated);
    lvt_graph_add_output(t.graph, "d", gradient(&t, loss, 1, &x), 0);
    lvt_graph_add_output(t.graph, "d", beside, 0);
    bench_run(&t);
    assert_null(t.result);
    assert_int_equal(t.status, LVT_USER);
    char *text = lvt_diag_text(t.diag);
    assert_int_equal(lvt_diag_errors(t.diag), 2);
    assert_non_null(strstr(text, "x.lvt:3:1: error E401: fused has no gradient"));
    assert_non_null(strstr(text, "x.lvt:4:1: error E401: fused has no gradient"));
    free(text);
    bench_close(&t);
}

/* Only what leads to a variable is reversed: with respect to the bias, no product is made for weight or
 * image. */
static void test_minimal(void **state) {
    (void)state;
    bench t;
    bench_open(&t);
    lvt_type xt = lvt_type_make(LVT_F32, 2, (int64_t[]){4, 3}),
             wt = lvt_type_make(LVT_F32, 2, (int64_t[]){3, 2});
    lvt_type bt = lvt_type_make(LVT_F32, 1, (int64_t[]){2});
    lvt_value x = lvt_build_input(&t.b, "x", &xt), w = lvt_build_input(&t.b, "w", &wt),
              bias = lvt_build_input(&t.b, "b", &bt);
    lvt_value y = lvt_build_binary(&t.b, LVT_OP_add, lvt_build_matmul(&t.b, x, w, false, false), bias);
    lvt_value loss =
        lvt_build_reduce(&t.b, LVT_OP_reduce_sum, lvt_build_unary(&t.b, LVT_OP_square, y), 0, NULL, false);
    lvt_graph_add_output(t.graph, "d", gradient(&t, loss, 1, &bias), 0);
    bench_run(&t);
    assert_non_null(t.result);
    int products = 0;
    for (uint32_t i = 0; i < t.result->n_nodes; i++)
        products += t.result->nodes[i].op == LVT_OP_matmul;
    assert_int_equal(products, 1);
    bench_close(&t);
}

/* One weight for many batches: its gradient is one flat product, not a batched one and a sum. */
static void test_flat_weight_gradient(void **state) {
    (void)state;
    bench t;
    bench_open(&t);
    lvt_type xt = lvt_type_make(LVT_F32, 3, (int64_t[]){2, 4, 3}),
             wt = lvt_type_make(LVT_F32, 2, (int64_t[]){5, 3});
    lvt_value x = lvt_build_input(&t.b, "x", &xt), w = lvt_build_input(&t.b, "w", &wt);
    lvt_value y = lvt_build_matmul(&t.b, x, w, false, true);
    lvt_value loss =
        lvt_build_reduce(&t.b, LVT_OP_reduce_sum, lvt_build_unary(&t.b, LVT_OP_square, y), 0, NULL, false);
    lvt_graph_add_output(t.graph, "d", gradient(&t, loss, 1, &w), 0);
    bench_run(&t);
    assert_non_null(t.result);
    const lvt_node *n = lvt_value_node(t.result, t.result->outputs[0].value);
    assert_int_equal(n->op, LVT_OP_matmul);
    for (int k = 0; k < 2; k++)
        assert_int_equal(lvt_value_type(t.result, n->operands[k])->rank, 2);
    bench_close(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shared),  cmocka_unit_test(test_nested),
        cmocka_unit_test(test_unused),  cmocka_unit_test(test_missing),
        cmocka_unit_test(test_minimal), cmocka_unit_test(test_flat_weight_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
