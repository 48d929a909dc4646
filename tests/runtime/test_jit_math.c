/* Accuracy of the functions of generated code over sweeps, in units in the last place of the result, against
 * the C library in long double; special values. */
#include "jit_util.h"

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

enum { N = 1 << 16 };

/* out[i] = op(a[i], b[i]) on packed elements of type t. */
static void apply(lvt_jit *jit, lvt_op op, lvt_dtype t, void *a, void *b, void *out, int64_t n) {
    body_case c;
    body_new(&c);
    lvt_value args[2] = {body_input(&c, t, 1, &n, 0, 1)};
    if (b)
        args[1] = body_input(&c, t, 1, &n, 0, 1);
    body_output(&c, lvt_build(&c.b, op, b ? 2 : 1, args, 0, NULL));
    lvt_graph *g;
    lvt_node_id node = fuse(&c, &g);
    lvt_view views[3];
    for (int i = 0; i < 3; i++)
        views[i] = (lvt_view){lvt_type_make(t, 1, &n), {1}};
    lvt_kernel_request r = {
        .graph = g, .node = node, .operands = views, .results = views + 2, .threads = 2, .diag = c.diag};
    lvt_kernel *k;
    assert_int_equal(lvt_jit_make(jit, 1, &r, &k), LVT_OK);
    k->run(k, (void *[]){a, b}, &out, NULL);
    k->free(k);
    body_free(&c);
}

/* Distance of got from want in units in the last place of a number of `digits` bits next to want. */
static double ulps(double got, long double want, int digits, int least) {
    if (want == 0)
        return got == 0 ? 0 : INFINITY;
    int e;
    frexpl(want, &e);
    e = e - digits < least ? least : e - digits; /* subnormal results have the least unit there is */
    return (double)fabsl((got - want) / ldexpl(1, e));
}

typedef struct sweep {
    lvt_op op;
    long double (*exact)(long double);
    double lo, hi;
    bool logarithmic; /* steps of equal ratio, both signs when lo < 0 */
    double bound32, bound64;
} sweep;

static double point(const sweep *s, int i, uint64_t *seed) {
    double u = ((double)i + uniform_in(seed, 0, 1)) / N;
    if (!s->logarithmic)
        return s->lo + (s->hi - s->lo) * u;
    if (s->lo > 0)
        return exp(log(s->lo) + u * (log(s->hi) - log(s->lo)));
    double x = s->hi * pow(1e-30, u);
    return i & 1 ? -x : x;
}

/* The bounds are what was measured plus a third, rounded up: another processor may fuse products and sums
 * otherwise. */
static const sweep sweeps[] = {
    {LVT_OP_exp, expl, -104, 88.7, false, 2, 0},     {LVT_OP_exp, expl, -745, 709, false, 0, 3},
    {LVT_OP_exp, expl, -1, 1, true, 2, 3},           {LVT_OP_log, logl, 1e-45, 3e38, true, 2, 3},
    {LVT_OP_log, logl, 0.5, 2, false, 2, 3},         {LVT_OP_log, logl, 1e-320, 1e308, true, 0, 3},
    {LVT_OP_expm1, expm1l, -20, 80, false, 5, 5},    {LVT_OP_expm1, expm1l, -1, 1, true, 5, 5},
    {LVT_OP_log1p, log1pl, -0.999, 5, false, 4, 4},  {LVT_OP_log1p, log1pl, -0.9, 0.9, true, 4, 4},
    {LVT_OP_log1p, log1pl, 1e-30, 3e38, true, 4, 4}, {LVT_OP_tanh, tanhl, -10, 10, false, 7, 5},
    {LVT_OP_tanh, tanhl, -1, 1, true, 7, 5},         {LVT_OP_erf, erfl, -5, 5, false, 7, 0},
    {LVT_OP_erf, erfl, -1, 1, true, 7, 0},           {LVT_OP_sin, sinl, -100, 100, false, 2, 0},
    {LVT_OP_cos, cosl, -100, 100, false, 2, 0},      {LVT_OP_sin, sinl, -1, 16e6, true, 2, 0},
    {LVT_OP_cos, cosl, -1, 1e6, true, 2, 0},         {LVT_OP_sin, sinl, -1, 3.4e38, true, 2, 0},
    {LVT_OP_cos, cosl, -1, 3.4e38, true, 2, 0},      {LVT_OP_sin, sinl, 1e7, 1e9, true, 2, 0},
    {LVT_OP_cos, cosl, 1e7, 3.4e38, true, 2, 0},
};

static void test_sweeps(void **state) {
    float *x32 = malloc(N * sizeof *x32), *y32 = malloc(N * sizeof *y32);
    double *x64 = malloc(N * sizeof *x64), *y64 = malloc(N * sizeof *y64);
    for (size_t k = 0; k < sizeof sweeps / sizeof *sweeps; k++) {
        const sweep *s = &sweeps[k];
        uint64_t seed = k;
        for (int i = 0; i < N; i++) {
            x64[i] = point(s, i, &seed);
            x32[i] = (float)x64[i];
        }
        double worst32 = 0, worst64 = 0, at32 = 0, at64 = 0;
        apply(*state, s->op, LVT_F32, x32, NULL, y32, N);
        for (int i = 0; i < N && s->bound32 > 0; i++) {
            double u = ulps(y32[i], s->exact(x32[i]), 24, -149);
            if (!(u <= worst32))
                worst32 = u, at32 = x32[i];
        }
        if (s->bound64 > 0 && lvt_loop_has_f64(s->op))
            apply(*state, s->op, LVT_F64, x64, NULL, y64, N);
        for (int i = 0; i < N && s->bound64 > 0; i++) {
            double u = ulps(y64[i], s->exact(x64[i]), 53, -1074);
            if (!(u <= worst64))
                worst64 = u, at64 = x64[i];
        }
        print_message("%-5s [%g, %g]: f32 %.2f ulp at %.9g, f64 %.2f ulp at %.17g\n",
                      lvt_op_table[s->op]->name, s->lo, s->hi, worst32, at32, worst64, at64);
        assert_true(worst32 <= s->bound32 && worst64 <= s->bound64);
    }
    free(x32), free(y32), free(x64), free(y64);
}

/* pow goes through double: about one rounding. */
static void test_pow(void **state) {
    float *x = malloc(N * sizeof *x), *p = malloc(N * sizeof *p), *y = malloc(N * sizeof *y);
    uint64_t seed = 5;
    double worst = 0;
    for (int i = 0; i < N; i++) {
        x[i] = (float)exp(uniform_in(&seed, -10, 10));
        p[i] = (float)uniform_in(&seed, -8, 8);
    }
    apply(*state, LVT_OP_pow, LVT_F32, x, p, y, N);
    for (int i = 0; i < N; i++) {
        double u = ulps(y[i], powl(x[i], p[i]), 24, -149);
        worst = u <= worst ? worst : u;
    }
    print_message("pow: f32 %.2f ulp\n", worst);
    assert_true(worst <= 1);
    free(x), free(p), free(y);
}

/* mod is exact: the same bits as C's fmod and one addition, however far apart the operands are. */
static void test_mod(void **state) {
    float *x = malloc(N * sizeof *x), *p = malloc(N * sizeof *p), *y = malloc(N * sizeof *y);
    uint64_t seed = 6;
    for (int i = 0; i < N; i++) {
        double wide = i & 1 ? 88 : 4;
        x[i] = (float)(exp(uniform_in(&seed, -wide, wide)) * (i & 2 ? -1 : 1));
        p[i] = (float)(exp(uniform_in(&seed, -wide, wide)) * (i & 4 ? -1 : 1));
        if (i % 16 == 0) /* multiples */
            x[i] = p[i] * floorf((float)uniform_in(&seed, 1, 1e6));
    }
    apply(*state, LVT_OP_mod, LVT_F32, x, p, y, N);
    for (int i = 0; i < N; i++) {
        double want = fmod(x[i], p[i]);
        want += want != 0 && (want < 0) != (p[i] < 0) ? p[i] : 0;
        if (y[i] != (float)want)
            fail_msg("mod(%.9g, %.9g) is %.9g, not %.9g", x[i], p[i], y[i], (double)(float)want);
    }
    free(x), free(p), free(y);
}

static void test_special_values(void **state) {
    static const lvt_op ops[] = {LVT_OP_exp,  LVT_OP_log,   LVT_OP_tanh,   LVT_OP_erf,
                                 LVT_OP_sqrt, LVT_OP_rsqrt, LVT_OP_sigmoid};
    float x[] = {0, -0.0f, INFINITY, -INFINITY, NAN, 1e-45f, -1, 200, -200, 1};
    for (size_t k = 0; k < sizeof ops / sizeof *ops; k++) {
        float y[10];
        apply(*state, ops[k], LVT_F32, x, NULL, y, 10);
        for (int i = 0; i < 10; i++) {
            double want = (float)lvt_scalar_eval(ops[k], LVT_F32, (double[]){x[i]});
            bool same = isnan(want)   ? isnan(y[i])
                        : isinf(want) ? y[i] == want
                                      : fabs(y[i] - want) <= 1e-5 * fabs(want); /* a sweep's job */
            if (!same)
                fail_msg("%s(%g) is %g, not %g", lvt_op_table[ops[k]]->name, x[i], y[i], want);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sweeps), cmocka_unit_test(test_pow),
                                       cmocka_unit_test(test_mod), cmocka_unit_test(test_special_values)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
