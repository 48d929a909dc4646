/* Batch norm compiled and run by the kernels, two threads: its statistics against two passes in double (large
 * means, outliers where they hurt most, channels that do not vary), and every step of norm, activation and
 * their gradient against the interpreter. */
#include "runtime/compiled.h"
#include "passes/pass.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static const double EPS = 1e-5;

static double uniform(uint64_t *seed) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(*seed >> 11) * 0x1p-53;
}

typedef struct fixture {
    lvt_program *program;
    lvt_session *session;
    lvt_diag *diag;
    lvt_type type;
    int64_t rows, channels;
    float *x, *gamma, *beta;
} fixture;

/* Entry f(x, gamma, beta) -> y, mean, var, gradient of mean(activation(y)^2 y) by x. */
static void begin(fixture *f, int rank, const int64_t *dim, lvt_op activation) {
    char path[] = "/tmp/lvt-norm-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    memset(f, 0, sizeof *f);
    f->diag = lvt_diag_new();
    f->type = lvt_type_make(LVT_F32, rank, dim);
    f->channels = dim[rank - 1];
    f->rows = lvt_numel(&f->type) / f->channels;
    lvt_type row = lvt_type_make(LVT_F32, 1, &f->channels);
    lvt_module *m = lvt_module_new("norm");
    lvt_graph *g = lvt_module_add_entry(m, "f", 0, true);
    lvt_builder b = lvt_builder_for(g, f->diag);
    lvt_value in[3] = {lvt_build_input(&b, "x", &f->type), lvt_build_input(&b, "gamma", &row),
                       lvt_build_input(&b, "beta", &row)};
    lvt_value y = lvt_build(&b, LVT_OP_batch_norm, 3, in, 1, &(lvt_named_attr){"eps", lvt_attr_float(EPS)});
    lvt_value a = lvt_build_unary(&b, activation, y);
    a = lvt_build_binary(&b, LVT_OP_mul, lvt_build_binary(&b, LVT_OP_mul, a, a), y);
    lvt_value wanted[2] = {lvt_build_reduce(&b, LVT_OP_reduce_mean, a, 0, NULL, false), in[0]};
    lvt_value dx = lvt_build(&b, LVT_OP_gradient, 2, wanted, 0, NULL);
    lvt_graph_add_output(g, "y", y, 0);
    lvt_graph_add_output(g, "mean", y + 1, 0);
    lvt_graph_add_output(g, "var", y + 2, 0);
    lvt_graph_add_output(g, "dx", dx, 0);
    assert_false(g->failed);
    lvt_compiled *compiled = NULL;
    assert_int_equal(lvt_compile(m, &(lvt_compile_options){0}, &compiled, f->diag), LVT_OK);
    assert_int_equal(lvt_program_write(compiled, path, f->diag), LVT_OK);
    lvt_compiled_free(compiled);
    assert_int_equal(
        lvt_program_open(path, &(lvt_program_options){.cache = "", .threads = 2}, &f->program, f->diag),
        LVT_OK);
    assert_int_equal(lvt_session_new(f->program, &(lvt_session_options){.threads = 2}, &f->session, f->diag),
                     LVT_OK);
    unlink(path);
    f->x = malloc(lvt_type_bytes(&f->type));
    f->gamma = malloc(lvt_type_bytes(&row));
    f->beta = malloc(lvt_type_bytes(&row));
    assert_true(f->x && f->gamma && f->beta);
    for (int64_t c = 0; c < f->channels; c++) {
        f->gamma[c] = 0.5f + (float)(c % 7) / 4;
        f->beta[c] = (float)(c % 5) / 4 - 0.5f;
    }
}

static void end(fixture *f) {
    free(f->x);
    free(f->gamma);
    free(f->beta);
    lvt_session_free(f->session);
    lvt_program_close(f->program);
    lvt_diag_free(f->diag);
}

/* Numbers of mean 0 and variance 1/12 around `mean`. */
static void fill(fixture *f, double mean, uint64_t seed) {
    for (int64_t i = 0; i < f->rows * f->channels; i++)
        f->x[i] = (float)(mean + uniform(&seed) - 0.5);
}

/* variance: bound of the relative error of var; that of the mean is a few roundings of the largest |x|. */
static void check(fixture *f, double variance, const char *what) {
    const void *inputs[] = {f->x, f->gamma, f->beta};
    assert_int_equal(lvt_session_run(f->session, 0, inputs, f->diag), LVT_OK);
    const float *y = lvt_session_output(f->session, 0, 0), *mean = lvt_session_output(f->session, 0, 1),
                *var = lvt_session_output(f->session, 0, 2);
    for (int64_t c = 0; c < f->channels; c++) {
        double m = 0, v = 0, largest = 0, rounding = ldexp(1, -24);
        for (int64_t r = 0; r < f->rows; r++) {
            m += f->x[r * f->channels + c];
            largest = fmax(largest, fabs((double)f->x[r * f->channels + c]));
        }
        m /= (double)f->rows;
        for (int64_t r = 0; r < f->rows; r++)
            v += pow(f->x[r * f->channels + c] - m, 2);
        v /= (double)f->rows;
        /* mean = pivot + a small mean, each rounded; it is squared in no place that is not made up for */
        if (fabs(mean[c] - m) > 4 * rounding * largest)
            fail_msg("%s: channel %d: mean %.9g, not %.9g", what, (int)c, mean[c], m);
        /* a variance that rounds away beside the mean is known as well as a float at the mean is */
        double slack = variance * v + pow(4 * rounding * largest, 2);
        if (!(var[c] >= 0 && fabs(var[c] - v) <= slack))
            fail_msg("%s: channel %d: variance %.9g, not %.9g", what, (int)c, var[c], v);
        for (int64_t r = 0; r < f->rows; r += 1 + f->rows / 50) {
            double x = f->x[r * f->channels + c], scale = f->gamma[c] / sqrt(var[c] + EPS);
            double want = (x - mean[c]) * scale + f->beta[c];
            if (fabs(y[r * f->channels + c] - want) >
                1e-5 * (1 + fabs(want)) + 2 * rounding * largest * scale)
                fail_msg("%s: row %d, channel %d: %.9g, not %.9g", what, (int)r, (int)c,
                         y[r * f->channels + c], want);
        }
    }
    lvt_status status = lvt_session_check(f->session, 0, inputs, f->diag);
    char *words = lvt_diag_text(f->diag);
    if (status != LVT_OK)
        fail_msg("%s: %s", what, words);
    free(words);
}

/* In f32 some 1000 terms are added in a row before doubles take over. */
static const double USUAL = 2e-5;

static void ordinary(int rank, const int64_t *dim, lvt_op activation, const char *what) {
    fixture f;
    begin(&f, rank, dim, activation);
    fill(&f, 0, 1);
    check(&f, USUAL, what);
    fill(&f, 0.3, 2);
    check(&f, USUAL, what);
    end(&f);
}

static void test_shapes(void **state) {
    (void)state;
    ordinary(2, (int64_t[]){4099, 33}, LVT_OP_gelu, "odd rows and channels");
    ordinary(4, (int64_t[]){1, 37, 29, 50}, LVT_OP_relu, "one image");
    ordinary(4, (int64_t[]){16, 16, 16, 64}, LVT_OP_relu, "images");
    ordinary(3, (int64_t[]){300, 1, 257}, LVT_OP_gelu, "one token");
    ordinary(2, (int64_t[]){66000, 1}, LVT_OP_relu, "one channel");
    ordinary(3, (int64_t[]){5, 7, 19}, LVT_OP_relu, "few rows");
    ordinary(2, (int64_t[]){257, 200}, LVT_OP_gelu, "just large enough");
    ordinary(2, (int64_t[]){1, 20}, LVT_OP_relu, "one row");
}

static void test_large_means(void **state) {
    (void)state;
    fixture f;
    begin(&f, 4, (int64_t[]){8, 16, 16, 40}, LVT_OP_relu);
    for (double mean = 10; fabs(mean) < 2e5; mean *= -10) {
        fill(&f, mean, 3);
        check(&f, USUAL, "large mean");
    }
    for (int64_t i = 0; i < f.rows * f.channels; i++)
        f.x[i] = i % f.channels % 2 ? 12345.678f : 0.1f;
    check(&f, USUAL, "channels that do not vary");
    end(&f);
}

/* All that varies lies in the sample: the mean of the sampled rows is then as far from the mean as it can be.
 */
static void test_outliers(void **state) {
    (void)state;
    fixture f;
    begin(&f, 2, (int64_t[]){16384, 8}, LVT_OP_relu);
    double worst = 16384 / 64 * ldexp(4, -24); /* the factor the pass over d = x - pivot may lose */
    for (int step = 1; step < 4; step++)
        for (int64_t first = 0; first < 256; first += 127) {
            memset(f.x, 0, lvt_type_bytes(&f.type));
            for (int64_t r = first; r < f.rows; r += 256 * (step == 3 ? 64 : step))
                for (int64_t c = 0; c < f.channels; c++)
                    f.x[r * f.channels + c] = (float)(1 + c);
            check(&f, USUAL + worst, "outliers");
        }
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shapes), cmocka_unit_test(test_large_means),
                                       cmocka_unit_test(test_outliers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
