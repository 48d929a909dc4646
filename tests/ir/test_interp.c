/* The interpreter: element types, states and updates, bodies, watching, what it refuses. */
#include "ir/text.h"
#include "tests/samples.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void test_rounding(void **state) {
    (void)state;
    assert_true(lvt_round_to(LVT_F32, 0.1) == (double)0.1f);
    assert_true(lvt_round_to(LVT_F64, 0.1) == 0.1);
    assert_true(lvt_round_to(LVT_BF16, 1 + 1.0 / 256) == 1); /* a tie goes to even */
    assert_true(lvt_round_to(LVT_BF16, 1 + 3.0 / 256) == 1 + 1.0 / 64);
    assert_true(isnan(lvt_round_to(LVT_BF16, NAN)));
    assert_true(lvt_round_to(LVT_I32, -2.9) == -2 && lvt_round_to(LVT_I32, 1e30) == INT32_MAX);
    assert_true(lvt_round_to(LVT_I32, NAN) == 0 && lvt_round_to(LVT_I32, -1e30) == INT32_MIN);
    assert_true(lvt_round_to(LVT_U8, -1) == 0 && lvt_round_to(LVT_U8, 300) == 255);
    assert_true(lvt_round_to(LVT_BOOL, -0.5) == 1 && lvt_round_to(LVT_BOOL, 0) == 0);
}

static void test_packing(void **state) {
    (void)state;
    const double values[4] = {0, 1, 200, 3};
    for (int dtype = 0; dtype < LVT_N_DTYPES; dtype++) {
        double data[4], back[4];
        unsigned char packed[4 * sizeof(double)];
        lvt_tensor t = {lvt_type_make((lvt_dtype)dtype, 1, (int64_t[]){4}), data};
        for (int i = 0; i < 4; i++)
            data[i] = lvt_round_to((lvt_dtype)dtype, values[i]);
        lvt_tensor_store(&t, packed);
        t.data = back;
        lvt_tensor_load(&t, packed);
        assert_memory_equal(data, back, sizeof data);
    }
}

/* a := b, b := a, c := c + a, all from the old values; the output is the old a. */
static void test_updates(void **state) {
    (void)state;
    lvt_module *m = lvt_module_new("m");
    lvt_type t = lvt_type_make(LVT_F32, 1, (int64_t[]){2});
    lvt_init zero = {LVT_INIT_CONSTANT, 0, 0};
    for (int i = 0; i < 4; i++)
        lvt_module_add_state(m, (const char *[]){"a", "b", "c", "unused"}[i], &t, zero, true, 0);
    lvt_graph *g = lvt_module_add_entry(m, "e", 0, true);
    lvt_builder b = lvt_builder_for(g, NULL);
    lvt_value va = lvt_build_state(&b, 0), vb = lvt_build_state(&b, 1), vc = lvt_build_state(&b, 2);
    assert_int_equal(lvt_build_state(&b, 0), va);
    lvt_graph_add_update(g, 0, vb, 0);
    lvt_graph_add_update(g, 1, va, 0);
    lvt_graph_add_update(g, 2, lvt_build_binary(&b, LVT_OP_add, vc, va), 0);
    lvt_graph_add_output(g, "old", va, 0);
    double data[3][2] = {{1, 2}, {3, 4}, {10, 20}}, old[2];
    lvt_tensor states[4] = {{t, data[0]}, {t, data[1]}, {t, data[2]}, {t, NULL}}, out = {t, old};
    assert_int_equal(lvt_interp_run(g, NULL, states, &out, LVT_PRECISION_F32, NULL, NULL, NULL), LVT_OK);
    const double expected[3][2] = {{3, 4}, {1, 2}, {11, 22}};
    assert_memory_equal(data, expected, sizeof data);
    assert_true(old[0] == 1 && old[1] == 2);
    /* A state without room, or of another type, is said, not written. */
    lvt_diag *diag = lvt_diag_new();
    states[1].data = NULL;
    assert_int_equal(lvt_interp_run(g, NULL, states, &out, LVT_PRECISION_F32, NULL, NULL, diag),
                     LVT_INTERNAL);
    assert_int_equal(lvt_diag_errors(diag), 1);
    states[1] = (lvt_tensor){lvt_type_make(LVT_F32, 1, (int64_t[]){3}), data[1]};
    assert_int_equal(lvt_interp_run(g, NULL, states, &out, LVT_PRECISION_F32, NULL, NULL, diag), LVT_USER);
    lvt_diag_free(diag);
    lvt_module_free(m);
}

/* y = exp(x) * 3 as a fused node; f64 mode keeps what f32 mode rounds. */
static void test_bodies(void **state) {
    (void)state;
    lvt_module *m = lvt_module_new("m");
    lvt_type t = lvt_type_make(LVT_F32, 1, (int64_t[]){3});
    lvt_graph *body = lvt_graph_new(m, NULL, 0, false), *g = lvt_module_add_entry(m, "e", 0, false);
    lvt_builder b = lvt_builder_for(body, NULL);
    lvt_value x = lvt_build_input(&b, NULL, &t);
    lvt_value e = lvt_build_unary(&b, LVT_OP_exp, x);
    lvt_graph_add_output(body, NULL, lvt_build_binary(&b, LVT_OP_mul, e, lvt_build_scalar(&b, LVT_F32, 3)),
                         0);
    lvt_graph_add_output(body, NULL, e, 0);
    b = lvt_builder_for(g, NULL);
    lvt_value outer = lvt_build_input(&b, "x", &t), y = lvt_build_fused(&b, body, 1, &outer);
    assert_int_not_equal(y, LVT_NONE);
    assert_int_equal(lvt_value_node(g, y)->n_results, 2);
    lvt_graph_add_output(g, "y", y, 0);
    lvt_graph_add_output(g, "e", y + 1, 0);
    assert_int_equal(lvt_verify_module(m, NULL), LVT_OK);
    lvt_cost cost = lvt_node_cost(g, lvt_value_node(g, y));
    assert_true(cost.flops == 6 && cost.bytes == 36); /* two ops on three; one read and two written */
    double in[3] = {0.1, -1, 2}, r[2][3];
    lvt_tensor input = {t, in}, out[2] = {{t, r[0]}, {t, r[1]}};
    assert_int_equal(lvt_interp_run(g, &input, NULL, out, LVT_PRECISION_F64, NULL, NULL, NULL), LVT_OK);
    assert_true(r[0][0] == exp(0.1) * 3 && r[1][2] == exp(2));
    assert_int_equal(lvt_interp_run(g, &input, NULL, out, LVT_PRECISION_F32, NULL, NULL, NULL), LVT_OK);
    assert_true(r[0][0] == (double)(float)((double)(float)exp(0.1) * 3));
    /* wrong operands */
    lvt_diag *diag = lvt_diag_new();
    b.diag = diag;
    assert_int_equal(lvt_build_fused(&b, body, 0, NULL), LVT_NONE);
    lvt_value scalar = lvt_build_scalar(&b, LVT_F32, 1);
    assert_int_equal(lvt_build_fused(&b, body, 1, &scalar), LVT_NONE);
    assert_int_equal(lvt_diag_errors(diag), 2);
    lvt_diag_free(diag);
    lvt_module_free(m);
}

typedef struct watched {
    uint32_t nodes, stop_at;
    double last;
} watched;

static lvt_status watch(void *user, const lvt_graph *g, lvt_node_id n, const lvt_tensor *results) {
    watched *w = user;
    assert_true(lvt_type_equal(&results[0].type, lvt_value_type(g, g->nodes[n].result)));
    w->nodes++;
    w->last = results[0].data[0];
    return n == w->stop_at ? LVT_INTERRUPT : LVT_OK;
}

static void test_watch(void **state) {
    (void)state;
    lvt_module *m = lvt_module_new("m");
    lvt_graph *g = lvt_module_add_entry(m, "e", 0, false);
    lvt_builder b = lvt_builder_for(g, NULL);
    lvt_value x = lvt_build_scalar(&b, LVT_F32, 1);
    for (int i = 0; i < 5; i++)
        x = lvt_build_binary(&b, LVT_OP_add, x, x);
    lvt_graph_add_output(g, "x", x, 0);
    double r = 0;
    lvt_tensor out = {.data = &r};
    watched w = {0, LVT_NONE, 0};
    assert_int_equal(lvt_interp_run(g, NULL, NULL, &out, LVT_PRECISION_F32, watch, &w, NULL), LVT_OK);
    assert_true(w.nodes == 6 && w.last == 32 && r == 32);
    w = (watched){0, 2, 0};
    r = 0;
    assert_int_equal(lvt_interp_run(g, NULL, NULL, &out, LVT_PRECISION_F32, watch, &w, NULL), LVT_INTERRUPT);
    assert_true(w.nodes == 3 && w.last == 4 && r == 0);
    assert_int_equal(lvt_interp_run(g, NULL, NULL, NULL, LVT_PRECISION_F32, NULL, NULL, NULL), LVT_OK);
    lvt_module_free(m);
}

/* A `gradient` node has no value before autodiff. */
static void test_refusals(void **state) {
    (void)state;
    lvt_diag *diag = lvt_diag_new();
    lvt_module *m = lvt_module_new("m");
    lvt_graph *g = lvt_module_add_entry(m, "e", 0, false);
    lvt_builder b = lvt_builder_for(g, diag);
    lvt_type t = lvt_type_make(LVT_F32, 0, NULL);
    lvt_value x = lvt_build_input(&b, "x", &t);
    lvt_value d = lvt_build(&b, LVT_OP_gradient, 2, (lvt_value[]){x, x}, 0, NULL);
    lvt_graph_add_output(g, "d", d, 0);
    double data = 1;
    lvt_tensor in = {t, &data}, wrong = {lvt_type_make(LVT_I32, 0, NULL), &data}, none = {t, NULL};
    assert_int_equal(lvt_interp_run(g, &in, NULL, NULL, LVT_PRECISION_F32, NULL, NULL, diag), LVT_INTERNAL);
    assert_int_equal(lvt_interp_run(g, &wrong, NULL, NULL, LVT_PRECISION_F32, NULL, NULL, diag), LVT_USER);
    assert_int_equal(lvt_interp_run(g, &none, NULL, NULL, LVT_PRECISION_F32, NULL, NULL, diag), LVT_INTERNAL);
    assert_int_equal(lvt_diag_errors(diag), 3);
    lvt_module_free(m);
    lvt_diag_free(diag);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rounding), cmocka_unit_test(test_packing),
                                       cmocka_unit_test(test_updates),  cmocka_unit_test(test_bodies),
                                       cmocka_unit_test(test_watch),    cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
