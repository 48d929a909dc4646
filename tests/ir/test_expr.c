/* Scalar expressions: syntax, values, the arithmetic of integers. */
#include "ir/op.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static double value(const char *text, lvt_dtype dtype, double a, double b, double c) {
    lvt_arena *arena = lvt_arena_new();
    lvt_expr *e = lvt_expr_parse(text, arena);
    if (!e)
        fail_msg("'%s' does not parse", text);
    double x = lvt_expr_eval(e, dtype, (double[]){a, b, c});
    lvt_arena_free(arena);
    return x;
}

static void test_syntax(void **state) {
    (void)state;
    assert_true(value("1 + 2 * a - 6 / 3", LVT_F64, 5, 0, 0) == 9);
    assert_true(value("10 - 3 - 2", LVT_F64, 0, 0, 0) == 5); /* from the left */
    assert_true(value("-a * -2", LVT_F64, 3, 0, 0) == 6);
    assert_true(value("select(a > b, a, b) + (a < b)", LVT_F64, 3, 4, 0) == 5);
    assert_true(value("max(a, min(b, c))", LVT_F64, 1, 5, 3) == 3);
    assert_true(value("relu(sub(a, 1e1))", LVT_F64, 12.5, 0, 0) == 2.5); /* composite inside */
    const char *wrong[] = {"",           "a +", "(a",           "a)",  "max(a)", "max(a, b, c)",
                           "nothing(a)", "a b", "matmul(a, b)", "exp", "1..2",   "d",
                           "-"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        lvt_arena *arena = lvt_arena_new();
        if (lvt_expr_parse(wrong[i], arena))
            fail_msg("'%s' parses", wrong[i]);
        lvt_arena_free(arena);
    }
}

static void test_rows(void **state) {
    (void)state;
    lvt_arena *arena = lvt_arena_new();
    for (int op = 0; op < LVT_N_OPS; op++) {
        const lvt_op_def *def = lvt_op_table[op];
        const char *texts[4] = {def->expr, def->grads[0], def->grads[1], def->grads[2]};
        for (int i = 0; i < 4; i++)
            if (texts[i] && !lvt_expr_parse(texts[i], arena))
                fail_msg("%s: '%s' does not parse", def->name, texts[i]);
    }
    lvt_arena_free(arena);
}

static void test_primitives(void **state) {
    (void)state;
    double x[3] = {0.7, -1.3, 2};
    assert_true(lvt_scalar_eval(LVT_OP_erf, LVT_F32, x) == erf(0.7));
    assert_true(lvt_scalar_eval(LVT_OP_rsqrt, LVT_F32, x) == 1 / sqrt(0.7));
    assert_true(lvt_scalar_eval(LVT_OP_sign, LVT_F32, x + 1) == -1);
    assert_true(lvt_scalar_eval(LVT_OP_gelu, LVT_F32, x) == 0.5 * 0.7 * (1 + erf(0.7 * 0.70710678118654752)));
    assert_true(lvt_scalar_eval(LVT_OP_select, LVT_F32, (double[]){0, 1, 2}) == 2);
    assert_true(lvt_scalar_eval(LVT_OP_mod, LVT_F32, (double[]){-1, 3, 0}) == 2);
    assert_true(isnan(lvt_scalar_eval(LVT_OP_matmul, LVT_F32, x)));
    /* every primitive has a value */
    for (int op = 0; op < LVT_N_OPS; op++)
        if (lvt_op_table[op]->kind == LVT_KIND_POINTWISE)
            assert_false(isnan(lvt_scalar_eval((lvt_op)op, LVT_F32, (double[]){0.5, 1, 1})));
}

static void test_integers(void **state) {
    (void)state;
    assert_true(lvt_scalar_eval(LVT_OP_div, LVT_I32, (double[]){7, 2}) == 3);
    assert_true(lvt_scalar_eval(LVT_OP_div, LVT_I32, (double[]){-7, 2}) == -4);
    assert_true(lvt_scalar_eval(LVT_OP_div, LVT_I32, (double[]){7, -2}) == -4);
    assert_true(lvt_scalar_eval(LVT_OP_div, LVT_I32, (double[]){-8, 2}) == -4);
    assert_true(lvt_scalar_eval(LVT_OP_div, LVT_I32, (double[]){5, 0}) == 0);
    assert_true(lvt_scalar_eval(LVT_OP_div, LVT_I32, (double[]){INT32_MIN, -1}) == INT32_MIN);
    assert_true(lvt_scalar_eval(LVT_OP_add, LVT_I32, (double[]){INT32_MAX, 1}) == INT32_MIN);
    assert_true(lvt_scalar_eval(LVT_OP_mul, LVT_I32, (double[]){65536, 65537}) == 65536);
    assert_true(lvt_scalar_eval(LVT_OP_mod, LVT_I32, (double[]){-7, 3}) == 2);
    assert_true(lvt_scalar_eval(LVT_OP_square, LVT_I32, (double[]){-3}) == 9);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_syntax), cmocka_unit_test(test_rows),
                                       cmocka_unit_test(test_primitives), cmocka_unit_test(test_integers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
