/* What passes and fused kernels make of several ops keeps NaN, infinities and tiny numbers where the ops have
 * them: the rules of simplify and fold, products that finish their results, divisions by what a row sums to,
 * maxima over long columns; and convolutions, which --exact keeps from spreading an infinity. */
#include "ir/interp.h"
#include "ir/text.h"
#include "passes/pass.h"
#include "runtime/compiled.h"
#include "tests/special/table.h"

#include <stdio.h>
#include <unistd.h>

static const double points[] = {-INFINITY, -3e38, -1e20, -1e10, -20, -2, -1,   -0.5, -1e-42, -0.0,     0.0,
                                1e-42,     0.5,   1,     2,     3,   20, 1e10, 1e20, 3e38,   INFINITY, NAN};
enum { POINTS = sizeof points / sizeof *points, MOST = 4 };

typedef struct values {
    lvt_tensor tensor[MOST];
} values;

static void fill(lvt_tensor *t, const lvt_type *type) {
    t->type = *type;
    t->data = calloc((size_t)lvt_numel(type) + 1, sizeof(double));
    assert_non_null(t->data);
}

/* Reads the entry, runs it by the interpreter (want) and as a compiled program (got); true if some step is a
 * convolution by Winograd. input: fills what is put in. */
static bool run(const char *text, bool exact, void (*input)(uint32_t k, lvt_tensor *t), values *want,
                values *got) {
    lvt_diag *diag = lvt_diag_new();
    lvt_module *m = NULL;
    lvt_compiled *compiled = NULL;
    lvt_program *p = NULL;
    lvt_session *s = NULL;
    char path[] = "/tmp/lvt-special-XXXXXX";
    lvt_tensor in[MOST];
    void *packed[MOST];
    bool winograd = false;
    if (lvt_read_module("special", text, strlen(text), &m, diag) != LVT_OK) {
        char *words = lvt_diag_text(diag);
        fail_msg("%s\n%s", text, words ? words : "");
    }
    const lvt_graph *g = m->entries[0];
    uint32_t n_in = g->n_inputs, n_out = g->n_outputs;
    assert_true(n_in <= MOST && n_out <= MOST);
    for (uint32_t k = 0; k < n_in; k++) {
        fill(&in[k], lvt_value_type(g, g->inputs[k].value));
        input(k, &in[k]);
        for (int64_t i = 0; i < lvt_numel(&in[k].type); i++)
            in[k].data[i] = lvt_round_to((lvt_dtype)in[k].type.dtype, in[k].data[i]);
        packed[k] = malloc(lvt_type_bytes(&in[k].type) + 8);
        lvt_tensor_store(&in[k], packed[k]);
    }
    for (uint32_t k = 0; k < n_out; k++) {
        fill(&want->tensor[k], lvt_value_type(g, g->outputs[k].value));
        fill(&got->tensor[k], lvt_value_type(g, g->outputs[k].value));
    }
    assert_int_equal(lvt_interp_run(g, in, NULL, want->tensor, LVT_PRECISION_F32, NULL, NULL, diag), LVT_OK);
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    lvt_status status = lvt_compile(m, &(lvt_compile_options){.exact = exact}, &compiled, diag);
    for (uint32_t i = 0; status == LVT_OK && i < compiled->plans[0].n_steps; i++)
        winograd |= compiled->plans[0].steps[i].variant == LVT_VARIANT_WINOGRAD ||
                    compiled->plans[0].steps[i].variant == LVT_VARIANT_OWN_WINOGRAD;
    if (status == LVT_OK)
        status = lvt_program_write(compiled, path, diag);
    lvt_compiled_free(compiled);
    if (status == LVT_OK)
        status = lvt_program_open(path, &(lvt_program_options){.cache = "", .threads = 2}, &p, diag);
    if (status == LVT_OK)
        status = lvt_session_new(p, &(lvt_session_options){.threads = 2}, &s, diag);
    if (status == LVT_OK)
        status = lvt_session_run(s, 0, (const void *const *)packed, diag);
    if (status != LVT_OK) {
        char *words = lvt_diag_text(diag);
        fail_msg("%s\n%s", text, words ? words : "");
    }
    for (uint32_t k = 0; k < n_out; k++)
        lvt_tensor_load(&got->tensor[k], lvt_session_output(s, 0, (int)k));
    for (uint32_t k = 0; k < n_in; k++) {
        free(in[k].data);
        free(packed[k]);
    }
    unlink(path);
    lvt_session_free(s);
    lvt_program_close(p);
    lvt_diag_free(diag);
    return winograd;
}

static void drop(values *v) {
    for (int k = 0; k < MOST; k++)
        free(v->tensor[k].data);
    *v = (values){0};
}

/* Exact for what is one rounding; sums and functions in another order otherwise. */
static bool same(double want, double got, double relative, double absolute) {
    if (isnan(want) || isnan(got))
        return isnan(want) && isnan(got);
    return got == want || fabs(got - want) <= relative * fabs(want) + absolute + 0x1p-148;
}

static void compare(const char *what, const values *want, const values *got, double relative,
                    double absolute) {
    bool failed = false;
    for (int k = 0; k < MOST && want->tensor[k].data; k++)
        for (int64_t i = 0; i < lvt_numel(&want->tensor[k].type); i++) {
            double a = want->tensor[k].data[i], b = got->tensor[k].data[i];
            if (!same(a, b, relative, absolute)) {
                print_error("%s: output %d, element %lld is %.9g, should be %.9g\n", what, k, (long long)i, b,
                            a);
                failed = true;
            }
        }
    assert_false(failed);
}

/* ---- rules ---- */

/* x: every point beside every other, as y. */
static void plane(uint32_t k, lvt_tensor *t) {
    for (int64_t i = 0; i < lvt_numel(&t->type); i++)
        t->data[i] = points[k ? i / POINTS % POINTS : i % POINTS];
}

static void test_rules(void **state) {
    (void)state;
    /* %0 is x, %1 y, %2 to %9 are 0, 1, -1, 2, 0.5, 3, 1e-20, 1e30; the result is the last. */
    static const char *const rules[] = {
        "%10 = mul(%0, %3)",
        "%10 = mul(%0, %4)",
        "%10 = mul(%0, %2)",
        "%10 = mul(%0, %2) : T %11 = mul(%10, %7)",
        "%10 = mul(%0, %5) : T %11 = mul(%10, %6)",
        "%10 = mul(%0, %8) : T %11 = mul(%10, %8)",
        "%10 = mul(%0, %6) : T %11 = div(%10, %5)",
        "%10 = mul(%0, %8) : T %11 = div(%10, %9)",
        "%10 = div(%0, %3)",
        "%10 = div(%0, %5)",
        "%10 = div(%0, %2)",
        "%10 = div(%0, %0)",
        "%10 = add(%0, %2)",
        "%10 = sub(%0, %2)",
        "%10 = sub(%0, %0)",
        "%10 = neg(%1) : T %11 = add(%0, %10)",
        "%10 = sub(%0, %1) : T %11 = neg(%10)",
        "%10 = neg(%0) : T %11 = neg(%10)",
        "%10 = max(%0, %0)",
        "%10 = max(%0, %2)",
        "%10 = max(%2, %0)",
        "%10 = min(%0, %3)",
        "%10 = min(%3, %0)",
        "%10 = max(%0, %1)",
        "%10 = min(%1, %0)",
        "%10 = relu(%0) : T %11 = sub(%10, %1)",
        "%10 = pow(%0, %2)",
        "%10 = pow(%0, %3)",
        "%10 = pow(%0, %4)",
        "%10 = pow(%0, %5)",
        "%10 = pow(%0, %7)",
        "%10 = pow(%0, %6)",
        "%10 = pow(%3, %0)",
        "%10 = mod(%0, %7)",
        "%10 = square(%0) : T %11 = sqrt(%10)",
        "%10 = stop_gradient(%0) : T %11 = mul(%10, %2)",
    };
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++) {
        static const char *const constants[] = {"0", "1", "-1", "2", "0.5", "3", "1e-20", "1e30"};
        enum { N = POINTS * POINTS };
        char text[4096], type[16];
        size_t at =
            (size_t)snprintf(text, sizeof text,
                             "module \"m\" entry @f { %%0 = input {index = 0} : f32[%d] \"x\" %%1 = input "
                             "{index = 1} : f32[%d] \"y\" ",
                             N, N);
        snprintf(type, sizeof type, "f32[%d]", N);
        for (int c = 0; c < 8; c++)
            at += (size_t)snprintf(text + at, sizeof text - at,
                                   "%%%d = constant {dtype = f32, shape = [%d], values = [%s]} : %s ", 2 + c,
                                   N, constants[c], type);
        int last = 10;
        for (const char *p = rules[r]; *p; p++) {
            last += !strncmp(p, "%11 =", 5);
            at += (size_t)(*p == 'T' ? snprintf(text + at, sizeof text - at, "%s", type)
                                     : snprintf(text + at, sizeof text - at, "%c", *p));
        }
        snprintf(text + at, sizeof text - at,
                 " : %s input \"x\" = %%0 input \"y\" = %%1 return \"z\" = %%%d }", type, last);
        values want = {0}, got = {0};
        (void)run(text, false, plane, &want, &got);
        compare(rules[r], &want, &got, 4 * 0x1p-24, 0);
        drop(&want);
        drop(&got);
    }
}

/* ---- products ---- */

/* Small whole numbers with NaN in the second row of the first operand and infinity in its fourth. */
static void matrices(uint32_t k, lvt_tensor *t) {
    int64_t columns = t->type.dim[t->type.rank - 1];
    for (int64_t i = 0; i < lvt_numel(&t->type); i++)
        t->data[i] = (double)((i * 7 + k) % 5) / 2 - 1;
    if (k == 0) {
        t->data[columns + 1] = NAN;
        t->data[3 * columns + 2] = -INFINITY;
    }
}

static void test_products(void **state) {
    (void)state;
    static const char *const activations[] = {"relu", "gelu", "tanh", "sigmoid", "silu"};
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++) {
        char text[2048];
        values want = {0}, got = {0};
        snprintf(
            text, sizeof text,
            "module \"m\" entry @f { %%0 = input {index = 0} : f32[20,24] \"x\" %%1 = input {index = 1} : "
            "f32[32,24] \"w\" %%2 = input {index = 2} : f32[32] \"b\" %%3 = matmul(%%0, %%1) {transpose_b = "
            "true} : f32[20,32] %%4 = broadcast(%%2) {shape = [20, 32]} : f32[20,32] %%5 = add(%%3, %%4) : "
            "f32[20,32] %%6 = %s(%%5) : f32[20,32] input \"x\" = %%0 input \"w\" = %%1 input \"b\" = %%2 "
            "return \"y\" = %%6 }",
            activations[i]);
        (void)run(text, false, matrices, &want, &got);
        assert_true(isnan(want.tensor[0].data[32]));
        compare(activations[i], &want, &got, 1e-5, 1e-6); /* 1 + erf cancels */
        drop(&want);
        drop(&got);
        snprintf(
            text, sizeof text,
            "module \"m\" entry @f { %%0 = input {index = 0} : f32[2,5,5,16] \"x\" %%1 = input {index = 1} : "
            "f32[32,16,1,1] \"w\" %%2 = input {index = 2} : f32[32] \"b\" %%3 = conv2d(%%0, %%1) : "
            "f32[2,5,5,32] %%4 = broadcast(%%2) {shape = [2, 5, 5, 32]} : f32[2,5,5,32] %%5 = add(%%3, %%4) "
            ": f32[2,5,5,32] %%6 = %s(%%5) : f32[2,5,5,32] input \"x\" = %%0 input \"w\" = %%1 input \"b\" "
            "= %%2 return \"y\" = %%6 }",
            activations[i]);
        (void)run(text, true, matrices, &want, &got);
        assert_true(isnan(want.tensor[0].data[32]));
        compare(activations[i], &want, &got, 1e-5, 1e-6); /* 1 + erf cancels */
        drop(&want);
        drop(&got);
    }
}

/* ---- rows ---- */

/* Rows of tiny, huge, infinite numbers and NaN. */
static void rows(uint32_t k, lvt_tensor *t) {
    static const double of[] = {1, 1e-22, 1e18, 0, INFINITY, NAN, -INFINITY, 1e-30};
    int64_t columns = t->type.dim[t->type.rank - 1];
    (void)k;
    for (int64_t i = 0; i < lvt_numel(&t->type); i++) {
        double x = of[i / columns % 8];
        t->data[i] = isinf(x) && i % 3 ? 1 : isnan(x) && i % columns != 5 ? 2 : x * (double)(i % 7 - 3);
    }
}

static void test_rows(void **state) {
    (void)state;
    static const char *const bodies[] = {
        /* a norm: one division a row */
        "%1 = abs(%0) : f32[8,40] %2 = reduce_sum(%1) {axes = [1], keep = true} : f32[8,1] %3 = "
        "broadcast(%2) "
        "{shape = [8, 40]} : f32[8,40] %4 = div(%0, %3)",
        "%1 = mul(%0, %0) : f32[8,40] %2 = reduce_mean(%1) {axes = [1], keep = true} : f32[8,1] %3 = "
        "broadcast(%2) "
        "{shape = [8, 40]} : f32[8,40] %4 = div(%0, %3)",
        "%1 = reduce_max(%0) {axes = [1], keep = true} : f32[8,1] %2 = broadcast(%1) {shape = [8, 40]} : "
        "f32[8,40] "
        "%3 = sub(%0, %2) : f32[8,40] %4 = relu(%3)",
        "%1 = neg(%0) : f32[8,40] %2 = neg(%1) : f32[8,40] %3 = mul(%2, %0) : f32[8,40] %4 = softmax(%0)",
        "%1 = neg(%0) : f32[8,40] %2 = neg(%1) : f32[8,40] %3 = mul(%2, %0) : f32[8,40] %4 = log_softmax(%0)",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        char text[2048];
        values want = {0}, got = {0};
        snprintf(text, sizeof text,
                 "module \"m\" entry @f { %%0 = input {index = 0} : f32[8,40] \"x\" %s : f32[8,40] input "
                 "\"x\" = %%0 "
                 "return \"y\" = %%4 }",
                 bodies[i]);
        (void)run(text, false, rows, &want, &got);
        compare(bodies[i], &want, &got, 1e-5, 0);
        drop(&want);
        drop(&got);
    }
}

/* One NaN far down in one column of many. */
static void one_nan(uint32_t k, lvt_tensor *t) {
    (void)k;
    for (int64_t i = 0; i < lvt_numel(&t->type); i++)
        t->data[i] = (double)(i % 11);
    t->data[lvt_numel(&t->type) * 3 / 4 + 3] = NAN;
}

static void test_long_maxima(void **state) {
    (void)state;
    static const char *const shapes[][3] = {
        {"60000,7", "0", "7"}, {"7,60000", "1", "7"}, {"100,60,70", "0, 1", "70"}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        char text[1024];
        values want = {0}, got = {0};
        snprintf(
            text, sizeof text,
            "module \"m\" entry @f { %%0 = input {index = 0} : f32[%s] \"x\" %%1 = abs(%%0) : f32[%s] %%2 = "
            "reduce_max(%%1) {axes = [%s]} : f32[%s] input \"x\" = %%0 return \"y\" = %%2 }",
            shapes[i][0], shapes[i][0], shapes[i][1], shapes[i][2]);
        (void)run(text, false, one_nan, &want, &got);
        compare(shapes[i][0], &want, &got, 0, 0);
        drop(&want);
        drop(&got);
    }
}

/* ---- convolutions ---- */

static void image(uint32_t k, lvt_tensor *t) {
    for (int64_t i = 0; i < lvt_numel(&t->type); i++)
        t->data[i] = (double)((i * 5 + k) % 9) / 8 - 0.5;
    if (k == 0)
        t->data[((5 * 16 + 7) * 16 + 8) * 64] = INFINITY; /* image 5, row 7, column 8, channel 0 */
}

static int not_finite(const lvt_tensor *t) {
    int n = 0;
    for (int64_t i = 0; i < lvt_numel(&t->type); i++)
        n += !isfinite(t->data[i]);
    return n;
}

/* By Winograd a result is made of others' pixels too, of its tile of up to 4x4 results: infinity reaches them
 * as NaN. With `exact` it reaches the nine that have it under their kernel. */
static void test_winograd(void **state) {
    (void)state;
    static const char text[] =
        "module \"m\" entry @f { %0 = input {index = 0} : f32[16,16,16,64] \"x\" %1 = input {index = 1} : "
        "f32[64,64,3,3] \"w\" %2 = conv2d(%0, %1) {padding = [1]} : f32[16,16,16,64] input \"x\" = %0 input "
        "\"w\" = "
        "%1 return \"y\" = %2 }";
    values want = {0}, got = {0};
    assert_true(run(text, false, image, &want, &got));
    int reached = not_finite(&want.tensor[0]), spread = not_finite(&got.tensor[0]);
    assert_int_equal(reached, 9 * 64);
    assert_true(spread >= reached);
    for (int64_t i = 0; i < lvt_numel(&want.tensor[0].type); i++) {
        int64_t row = i / 64 / 16 % 16, column = i / 64 % 16;
        if (i / 64 / 256 != 5 || row < 2 || row > 13 || column < 2 || column > 13) /* beyond any tile */
            assert_true(isfinite(got.tensor[0].data[i]));
    }
    drop(&want);
    drop(&got);
    assert_false(run(text, true, image, &want, &got));
    for (int64_t i = 0; i < lvt_numel(&want.tensor[0].type); i++) {
        double a = want.tensor[0].data[i], b = got.tensor[0].data[i];
        assert_true(isfinite(a) ? fabs(a - b) <= 1e-4
                                : same(a, b, 0, 0)); /* sums of 576 products of size 1/8 */
    }
    drop(&want);
    drop(&got);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rules), cmocka_unit_test(test_products),
                                       cmocka_unit_test(test_rows), cmocka_unit_test(test_long_maxima),
                                       cmocka_unit_test(test_winograd)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
