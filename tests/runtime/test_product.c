/* Products on Winograd's vector code against sums in double: random shapes and strides, one row, odd inner
 * dims, panels that are not full; the same bits for any number of threads. */
#include "harness.h"
#include "runtime/kernels/vector/product.h"

enum { MOST_THREADS = 5 };

typedef struct shape {
    int64_t m, n, k, gap; /* gap: of all rows */
    bool turned;
} shape;

static float *filled(rng *r, int64_t n) {
    float *x = malloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)rng_range(r, -1000, 1000) / 1000;
    return x;
}

static void compare(rng *r, const shape *s) {
    lvt_product p = {.m = s->m, .n = s->n, .k = s->k, .a_row = s->k + s->gap, .y_row = s->n + s->gap};
    p.b_row = s->turned ? 1 : s->n + s->gap;
    p.b_col = s->turned ? s->k + s->gap : 1;
    int64_t of_b = s->turned ? s->n * p.b_col : s->k * p.b_row, of_y = s->m * p.y_row;
    float *a = filled(r, s->m * p.a_row), *b = filled(r, of_b), *first = NULL;
    for (p.threads = 1; p.threads <= MOST_THREADS; p.threads++) {
        assert_true(lvt_product_fits(&p));
        size_t scratch_bytes = lvt_product_scratch(&p);
        void *scratch = aligned_alloc(64, (scratch_bytes + 63) / 64 * 64);
        float *y = malloc((size_t)of_y * sizeof *y);
        memset(scratch, 0xff, scratch_bytes);
        for (int64_t i = 0; i < of_y; i++)
            y[i] = 7;
        lvt_product_run(&p, a, b, y, scratch);
        free(scratch);
        for (int64_t i = 0; i < of_y && !first; i++) {
            int64_t row = i / p.y_row, col = i % p.y_row;
            double sum = 0;
            for (int64_t q = 0; q < s->k; q++)
                sum += col < s->n ? (double)a[row * p.a_row + q] * b[q * p.b_row + col * p.b_col] : 0;
            /* k products of at most 1, each sum rounded once */
            assert_true(col < s->n ? fabs(y[i] - sum) <= 6e-8 * (double)(s->k * s->k) : y[i] == 7);
        }
        if (first)
            assert_memory_equal(first, y, (size_t)of_y * sizeof *y);
        else
            first = y;
        if (y != first)
            free(y);
    }
    free(first);
    free(a);
    free(b);
}

static void random_shapes(void **unused) {
    (void)unused;
    rng r = {0x9e3779b97f4a7c15u};
    for (int i = 0; i < 120; i++) {
        shape s = {.m = rng_range(&r, 0, 3) ? rng_range(&r, 1, 200) : rng_range(&r, 1, 7),
                   .n = 16 * rng_range(&r, 1, 12),
                   .k = rng_range(&r, 1, 70),
                   .gap = rng_range(&r, 0, 2) * rng_range(&r, 0, 9),
                   .turned = rng_next(&r) & 1};
        compare(&r, &s);
    }
}

/* So many rows that each thread keeps all panels. */
static void long_ones(void **unused) {
    (void)unused;
    rng r = {7};
    compare(&r, &(shape){.m = 2 * 1024 + 5, .n = 144, .k = 37, .gap = 3, .turned = true});
    compare(&r, &(shape){.m = MOST_THREADS * 1024, .n = 64, .k = 32});
}

static void what_fits(void **unused) {
    (void)unused;
    lvt_product p = {.m = 4, .n = 16, .k = 4, .a_row = 4, .b_row = 16, .b_col = 1, .y_row = 16, .threads = 1};
    assert_true(lvt_product_fits(&p));
    p.n = 17; /* not whole vectors */
    assert_false(lvt_product_fits(&p));
    p.n = 16;
    p.b_col = 2;
    assert_false(lvt_product_fits(&p));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_shapes),
        cmocka_unit_test(long_ones),
        cmocka_unit_test(what_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
