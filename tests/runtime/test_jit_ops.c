/* Every pointwise op of the table, every cast and every kind of reduction as generated code, against the
 * interpreter, over shapes with sizes 1, odd sizes, tails and views. */
#include "jit_util.h"

enum {
    N_SHAPES = 7
}; /* f32 takes every other one, the other types one with a tail: a kernel costs 10 ms to make */
static const struct {
    int rank;
    int64_t dim[4];
} shapes[N_SHAPES] = {{0, {0}},        {1, {1}},     {1, {37}},         {2, {5, 16}},
                      {3, {3, 1, 33}}, {2, {40, 3}}, {4, {2, 3, 4, 65}}};

static int setup(void **state) {
    lvt_jit *jit = NULL;
    int failed = lvt_jit_new("", false, &jit, NULL) != LVT_OK;
    *state = jit;
    return failed;
}
static int teardown(void **state) {
    lvt_jit_free(*state);
    return 0;
}

/* Relative tolerance of an op in units of 2^-24 (f32): the bounds of test_jit_math.c for functions, and for
 * composites what their steps add up to; ops that are one correctly rounded instruction are exact. */
static double op_ulp(lvt_op op) {
    switch (op) {
    case LVT_OP_exp:
    case LVT_OP_log:
    case LVT_OP_log1p:
    case LVT_OP_expm1:
    case LVT_OP_sin:
    case LVT_OP_cos:
    case LVT_OP_rsqrt: /* a square root and a division */
    case LVT_OP_mod:
        return 8;
    case LVT_OP_tanh:
    case LVT_OP_erf:
    case LVT_OP_pow:
    case LVT_OP_sigmoid:
    case LVT_OP_silu:
    case LVT_OP_gelu: /* 1 + erf cancels: an absolute term is allowed too, below */
        return 16;
    default:
        return 1;
    }
}

static void one_op(lvt_jit *jit, lvt_op op, lvt_dtype type, int shape) {
    const lvt_op_def *def = lvt_op_table[op];
    body_case c;
    body_new(&c);
    c.seed = (uint64_t)op * 100 + (uint64_t)shape;
    lvt_value args[3];
    bool positive =
        op == LVT_OP_log || op == LVT_OP_sqrt || op == LVT_OP_rsqrt || op == LVT_OP_pow || op == LVT_OP_log1p;
    for (int k = 0; k < def->min_operands; k++) {
        lvt_dtype t = def->signature[k] == 'b' ? LVT_BOOL : type;
        bool whole = t == LVT_I32 || t == LVT_U8;
        double lo = t == LVT_BOOL || t == LVT_U8 ? 0 : whole ? -9 : positive ? 0.05 : -3;
        args[k] = body_input(&c, t, shapes[shape].rank, shapes[shape].dim, lo,
                             t == LVT_BOOL ? 1.99
                             : whole       ? 9
                                           : 3);
    }
    body_output(&c, lvt_build(&c.b, op, (uint32_t)def->min_operands, args, 0, NULL));
    char what[100];
    snprintf(what, sizeof what, "%s %s shape %d", def->name, lvt_dtype_name(type), shape);
    double unit = type == LVT_F64 ? 0x1p-53 : type == LVT_BF16 ? 0x1p-8 : 0x1p-24;
    /* bf16: a result near a tie may round the other way, one unit in the last place */
    double ulp = type == LVT_BF16 ? 2 : op_ulp(op);
    double absolute = lvt_dtype_is_float(type) && ulp > 1 ? 4 * ulp * unit : 0;
    check_body(jit, &c, ulp > 1 ? ulp * unit : 0, absolute, what);
    body_free(&c);
}

static void test_pointwise(void **state) {
    for (int op = 0; op < LVT_N_OPS; op++) {
        const lvt_op_def *def = lvt_op_table[op];
        if (def->kind != LVT_KIND_POINTWISE)
            continue;
        for (int t = 0; t < LVT_N_DTYPES; t++) {
            char last = def->signature[def->min_operands - 1];
            bool is_float = lvt_dtype_is_float((lvt_dtype)t);
            bool fits = last == 'b'   ? t == LVT_BOOL
                        : last == 'f' ? is_float
                        : last == 'n' ? is_float || t == LVT_I32
                                      : true;
            bool no_code = t == LVT_F64 && !lvt_loop_has_f64(op);
            for (int s = t == LVT_F32 ? 0 : 4; s < N_SHAPES && fits && !no_code;
                 s += t == LVT_F32 ? 2 : N_SHAPES)
                one_op(*state, (lvt_op)op, (lvt_dtype)t, s);
        }
    }
}

static void test_casts(void **state) {
    for (int from = 0; from < LVT_N_DTYPES; from++)
        for (int to = 0; to < LVT_N_DTYPES; to++) {
            body_case c;
            body_new(&c);
            c.seed = (uint64_t)(from * 10 + to);
            bool is_unsigned = from == LVT_U8 || from == LVT_BOOL;
            lvt_value x = body_input(&c, (lvt_dtype)from, 2, DIMS(7, 21), is_unsigned ? 0 : -300,
                                     from == LVT_BOOL ? 1.99 : 300);
            /* something after it, so that the cast is never the only node; exact for every type */
            lvt_value y = lvt_build_cast(&c.b, x, (lvt_dtype)to);
            body_output(&c, lvt_build_select(&c.b, lvt_build_binary(&c.b, LVT_OP_eq, y, y), y, y));
            char what[60];
            snprintf(what, sizeof what, "cast %s to %s", lvt_dtype_name((lvt_dtype)from),
                     lvt_dtype_name((lvt_dtype)to));
            check_body(*state, &c, 0, 0, what);
            body_free(&c);
        }
}

static void test_iota(void **state) {
    for (int axis = 0; axis < 3; axis++)
        for (int t = 0; t < LVT_N_DTYPES; t++) {
            body_case c;
            body_new(&c);
            lvt_value x = body_input(&c, (lvt_dtype)t, 3, DIMS(3, 5, 19), 0, t == LVT_BOOL ? 2 : 9);
            lvt_named_attr a[] = {{"dtype", lvt_attr_dtype((lvt_dtype)t)},
                                  {"shape", lvt_attr_ints(DIMS(3, 5, 19), 3)},
                                  {"axis", lvt_attr_int(axis)}};
            lvt_value i = lvt_build(&c.b, LVT_OP_iota, 0, NULL, 3, a);
            body_output(&c, lvt_build_binary(&c.b, t == LVT_BOOL ? LVT_OP_and : LVT_OP_eq, x, i));
            body_output(&c, i);
            check_body(*state, &c, 0, 0, "iota");
            body_free(&c);
        }
}

/* Sums of n numbers in another order than the interpreter's (which adds doubles): n^(1/2) roundings of 2^-24
 * in the mean; 4 times that, and absolute the same of the sum of sizes where terms cancel. */
static double sum_tolerance(double n) {
    return 4 * sqrt(n) * 0x1p-24;
}

static void one_reduction(lvt_jit *jit, lvt_op op, lvt_dtype t, int rank, const int64_t *dim, unsigned axes,
                          bool keep, bool with_element) {
    body_case c;
    body_new(&c);
    c.seed = axes * 7 + (unsigned)op;
    lvt_value x = body_input(&c, t, rank, dim, -4, 4), y = lvt_build_binary(&c.b, LVT_OP_mul, x, x);
    int64_t list[LVT_MAX_RANK];
    int n = 0;
    double count = 1;
    for (int d = 0; d < rank; d++)
        if (axes & (1u << d)) {
            list[n++] = d;
            count *= (double)dim[d];
        }
    if (with_element)
        body_output(&c, y);
    body_output(&c, lvt_build_reduce(&c.b, op, x, n, list, keep));
    body_output(&c, lvt_build_reduce(&c.b, LVT_OP_reduce_sum, y, n, list, !keep));
    char what[100];
    snprintf(what, sizeof what, "%s %s axes %x of %lldx%lld..", lvt_op_table[op]->name, lvt_dtype_name(t),
             axes, (long long)dim[0], rank > 1 ? (long long)dim[1] : 1);
    double tolerance = t == LVT_I32    ? 0
                       : t == LVT_F64  ? 1e-12
                       : t == LVT_BF16 ? 0x1p-7 /* the result's own rounding */
                                       : sum_tolerance(count);
    check_body(jit, &c, tolerance, tolerance * 4 * (op == LVT_OP_reduce_sum ? sqrt(count) : 1), what);
    body_free(&c);
}

static void test_reductions(void **state) {
    static const struct {
        int rank;
        int64_t dim[4];
    } of[] = {{1, {1}},         {1, {1000}},        {2, {70, 33}},     {2, {301, 64}},
              {3, {9, 31, 20}}, {4, {3, 5, 7, 17}}, {4, {4, 1, 30, 3}}};
    for (size_t s = 0; s < sizeof of / sizeof *of; s++)
        for (unsigned axes = 1; axes < 1u << of[s].rank; axes++)
            for (int op = LVT_OP_reduce_sum; op <= LVT_OP_reduce_max; op++)
                one_reduction(*state, (lvt_op)op, LVT_F32, of[s].rank, of[s].dim, axes, axes & 1,
                              axes % 3 == 0);
    for (unsigned axes = 1; axes < 8; axes++) {
        one_reduction(*state, LVT_OP_reduce_sum, LVT_F64, 3, of[4].dim, axes, true, true);
        one_reduction(*state, LVT_OP_reduce_max, LVT_I32, 3, of[4].dim, axes, false, true);
        one_reduction(*state, LVT_OP_reduce_mean, LVT_BF16, 3, of[4].dim, axes, false, true);
    }
}

/* Large enough for many chunks, partial sums and several threads. */
static void test_large_reductions(void **state) {
    static const int64_t wide[] = {3000, 70}, cube[] = {50, 60, 64};
    for (unsigned axes = 1; axes < 4; axes++)
        one_reduction(*state, LVT_OP_reduce_mean, LVT_F32, 2, wide, axes, false, true);
    for (unsigned axes = 1; axes < 8; axes++)
        one_reduction(*state, LVT_OP_reduce_max, LVT_F32, 3, cube, axes, false, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pointwise),
        cmocka_unit_test(test_casts),
        cmocka_unit_test(test_iota),
        cmocka_unit_test(test_reductions),
        cmocka_unit_test(test_large_reductions),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
