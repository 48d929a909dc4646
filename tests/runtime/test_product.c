/* Products of our own against sums in double: every form, sizes around every tile and panel, batches, gaps, few
 * rows, panels made once, everything that is done to results, on every vector code that this processor runs.
 * The same bits for any number of threads; nothing written outside; not-a-number and infinities carried. */
#include "harness.h"
#include "runtime/kernels/vector/product.h"

enum { MOST_THREADS = 5, MOST_STEPS = 3 };

typedef struct shape {
    int64_t m, n, k, items, gap; /* items: of the batch, 0: none; gap: behind all lines */
    bool ta, tb, packed;
    bool shared_a, shared_b; /* by the batch */
    int n_steps;
    lvt_tile_kind kind[MOST_STEPS];
    bool bias; /* of the additions the first is of a vector */
} shape;

static float *filled(rng *r, int64_t n) {
    float *x = malloc((size_t)(n + 1) * sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)rng_range(r, -1000, 1000) / 1000;
    return x;
}

static double step_of(lvt_tile_kind kind, double v, double added) {
    switch (kind) {
    case LVT_TILE_ADD:
        return v + added;
    case LVT_TILE_GELU:
        return 0.5 * v * (1 + erf(v * sqrt(0.5)));
    case LVT_TILE_TANH:
        return tanh(v);
    case LVT_TILE_SIGMOID:
        return 1 / (1 + exp(-v));
    default:
        return v / (1 + exp(-v));
    }
}

typedef struct operands {
    float *a, *b, *added[MOST_STEPS];
} operands;

static void expect(const shape *s, const lvt_product *p, const operands *o, const float *y, int64_t of_y) {
    int64_t items = s->items ? s->items : 1, line = p->y_row;
    for (int64_t at = 0; at < of_y; at++) {
        int64_t item = at / (s->m * line), i = at / line % s->m, j = at % line;
        if (j >= s->n) {
            assert_true(y[at] == 7); /* nobody's */
            continue;
        }
        const float *a = o->a + item * p->a_batch[0], *b = o->b + item * p->b_batch[0];
        double sum = 0;
        for (int64_t q = 0; q < s->k; q++)
            sum += (double)a[i * p->a_row + q * p->a_col] * b[q * p->b_row + j * p->b_col];
        for (int t = 0; t < s->n_steps; t++)
            sum = step_of(s->kind[t], sum,
                          s->kind[t] == LVT_TILE_ADD ? o->added[t][i * p->steps[t].row + j] : 0);
        /* k products of at most 1, each sum rounded once; activations are off by 6 in the last place */
        double allowed = 6e-8 * (double)(s->k * s->k) + 1e-6 * (fabs(sum) + (s->n_steps != 0));
        if (!(fabs(y[at] - sum) <= allowed))
            fail_msg("%s: %lld x %lld x %lld, item %lld, element %lld, %lld: %.9g, should be %.9g",
                     p->code->name, (long long)s->m, (long long)s->n, (long long)s->k, (long long)item,
                     (long long)i, (long long)j, y[at], sum);
        assert_true(item < items);
    }
}

/* Returns the results, to be freed. */
static float *compare(rng *r, const shape *s, const lvt_tile_code *code, size_t *bytes) {
    lvt_product p = {.m = s->m, .n = s->n, .k = s->k, .code = code, .packed = s->packed};
    int64_t items = s->items ? s->items : 1;
    p.a_row = s->ta ? 1 : s->k + s->gap;
    p.a_col = s->ta ? s->m + s->gap : 1;
    p.b_row = s->tb ? 1 : s->n + s->gap;
    p.b_col = s->tb ? s->k + s->gap : 1;
    p.y_row = s->n + s->gap;
    int64_t of_a = s->ta ? s->k * p.a_col : s->m * p.a_row, of_b = s->tb ? s->n * p.b_col : s->k * p.b_row;
    int64_t of_y = items * s->m * p.y_row;
    if (s->items) {
        p.n_batch = 1;
        p.batch[0] = s->items;
        p.a_batch[0] = s->shared_a ? 0 : of_a;
        p.b_batch[0] = s->shared_b ? 0 : of_b;
        p.y_batch[0] = s->m * p.y_row;
    }
    operands o = {filled(r, items * of_a), filled(r, items * of_b), {NULL}};
    p.n_steps = s->n_steps;
    for (int t = 0; t < s->n_steps; t++) {
        p.steps[t] = (lvt_tile_step){.kind = s->kind[t], .row = t == 0 && s->bias ? 0 : p.y_row};
        o.added[t] = filled(r, s->m * p.y_row);
    }
    float *first = NULL;
    for (p.threads = 1; p.threads <= MOST_THREADS; p.threads++) {
        assert_true(lvt_product_plan(&p));
        size_t scratch_bytes = lvt_product_scratch(&p), kept_bytes = s->packed ? lvt_product_packed(&p) : 0;
        void *scratch = aligned_alloc(64, scratch_bytes / 64 * 64 + 64);
        float *kept = aligned_alloc(64, kept_bytes / 64 * 64 + 64), *y = malloc((size_t)of_y * sizeof *y + 1);
        memset(scratch, 0xff, scratch_bytes);
        memset(kept, 0xff, kept_bytes);
        if (s->packed)
            lvt_product_pack(&p, o.b, kept);
        for (int64_t i = 0; i < of_y; i++)
            y[i] = 7;
        lvt_product_run(&p, o.a, s->packed ? kept : o.b, y, (const float *const *)o.added, scratch);
        free(scratch);
        free(kept);
        if (!first) {
            expect(s, &p, &o, y, of_y);
            first = y;
            continue;
        }
        assert_memory_equal(first, y, (size_t)of_y * sizeof *y);
        free(y);
    }
    for (int t = 0; t < s->n_steps; t++)
        free(o.added[t]);
    free(o.a);
    free(o.b);
    *bytes = (size_t)of_y * sizeof *first;
    return first;
}

static void on_all(rng *r, const shape *s) {
    const lvt_tile_code *list[4];
    int n = lvt_tile_codes(list);
    assert_ptr_equal(list[0], lvt_tile_code_host());
    float *best = NULL;
    rng begin = *r; /* the same numbers for all */
    for (int i = 0; i < n; i++) {
        size_t bytes;
        *r = begin;
        float *y = compare(r, s, list[i], &bytes);
        /* Sums are chains of fused multiply-adds; but for few rows times columns, a chain a lane. Plain vectors
         * may round twice. */
        bool chains = (s->m > 8 || !s->tb || s->ta || s->packed) && !s->n_steps;
        if (best && chains && list[i]->lanes > 4)
            assert_memory_equal(best, y, bytes);
        if (!best)
            best = y;
        else
            free(y);
    }
    free(best);
}

static void random_shapes(void **unused) {
    (void)unused;
    rng r = {0x9e3779b97f4a7c15u};
    for (int i = 0; i < 400; i++) {
        shape s = {.m = rng_range(&r, 0, 3) ? rng_range(&r, 1, 130) : rng_range(&r, 1, 10),
                   .n = rng_range(&r, 0, 3) ? rng_range(&r, 1, 150) : rng_range(&r, 1, 20),
                   .k = rng_range(&r, 0, 6) ? rng_range(&r, 1, 70) : rng_range(&r, 0, 3),
                   .gap = rng_range(&r, 0, 2) * rng_range(&r, 0, 9),
                   .ta = rng_next(&r) & 1,
                   .tb = rng_next(&r) & 1};
        if (rng_range(&r, 0, 2) == 0) {
            s.items = rng_range(&r, 1, 7);
            s.shared_a = rng_range(&r, 0, 2) == 0;
            s.shared_b = rng_range(&r, 0, 2) == 0;
        } else {
            s.packed = rng_range(&r, 0, 2) == 0;
            s.n_steps = (int)rng_range(&r, 0, MOST_STEPS);
            s.bias = rng_next(&r) & 1;
            for (int t = 0; t < s.n_steps; t++)
                s.kind[t] = t == 0 && s.bias ? LVT_TILE_ADD : (lvt_tile_kind)rng_range(&r, 0, LVT_TILE_SILU);
        }
        on_all(&r, &s);
    }
}

/* All rests of tiles: rows up to two of the largest, columns up to two panels and one, terms of every rest of
 * four and of a vector. */
static void tails(void **unused) {
    (void)unused;
    rng r = {11};
    for (int64_t m = 1; m <= 29; m++)
        for (int64_t n = 1; n <= 65; n += n < 17 ? 1 : 5)
            on_all(
                &r,
                &(shape){.m = m, .n = n, .k = 1 + (m * 65 + n) % 37, .ta = n & 1, .tb = n & 2, .gap = m % 3});
}

/* Several blocks of terms, of columns and of rows; sums in parts; rows that meet in the caches. */
static void long_ones(void **unused) {
    (void)unused;
    rng r = {7};
    static const shape shapes[] = {
        {.m = 2053, .n = 144, .k = 37, .gap = 3, .tb = true},
        {.m = 33, .n = 1555, .k = 421},
        {.m = 33, .n = 1555, .k = 421, .packed = true, .n_steps = 2, .bias = true},
        {.m = 70, .n = 50, .k = 1030, .ta = true}, /* two parts */
        {.m = 31,
         .n = 40,
         .k = 2051,
         .ta = true,
         .n_steps = 2,
         .kind = {LVT_TILE_ADD, LVT_TILE_GELU},
         .bias = true},
        {.m = 30, .n = 64, .k = 1024},
        {.m = 3, .n = 1100, .k = 700, .tb = true, .n_steps = 1, .bias = true},
        {.m = 5, .n = 1100, .k = 700, .n_steps = 2, .kind = {LVT_TILE_ADD, LVT_TILE_SILU}},
        {.m = 1, .n = 700, .k = 1100, .packed = true},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        on_all(&r, &shapes[i]);
}

/* One element of a is special: its row of results is what its products make it, all others are not touched. The
 * number next to it in b is 0 or not, so infinity times 0 is among them. */
static void specials(void **unused) {
    (void)unused;
    static const float values[] = {NAN, INFINITY, -INFINITY, 3e38f};
    const lvt_tile_code *list[4];
    int codes = lvt_tile_codes(list);
    for (int c = 0; c < codes; c++)
        for (int i = 0; i < 4 * 2 * 2; i++) {
            bool few = i & 1, tb = i & 2;
            float value = values[i / 4];
            enum { N = 37, K = 19, M = 23 };
            static float a[M * K], b[K * N], y[M * N];
            lvt_product p = {
                .m = few ? 3 : M, .n = N, .k = K, .a_row = K, .a_col = 1, .y_row = N, .threads = 2};
            p.b_row = tb ? 1 : N;
            p.b_col = tb ? K : 1;
            p.code = list[c];
            p.n_steps = 1;
            p.steps[0].kind = LVT_TILE_TANH; /* carries them as well */
            for (int64_t q = 0; q < M * K; q++)
                a[q] = 0.25f;
            for (int64_t q = 0; q < K; q++)
                for (int64_t j = 0; j < N; j++)
                    b[q * p.b_row + j * p.b_col] = j % 3 == 0 ? 0.0f : j % 3 == 1 ? 0.5f : -0.5f;
            a[1 * K + K - 1] = value;
            assert_true(lvt_product_plan(&p));
            void *scratch = aligned_alloc(64, lvt_product_scratch(&p) / 64 * 64 + 64);
            lvt_product_run(&p, a, b, y, (const float *const[]){NULL}, scratch);
            free(scratch);
            for (int64_t j = 0; j < p.m * N; j++) {
                float sum = 0;
                for (int q = 0; q < K; q++)
                    sum += a[j / N * K + q] * b[q * p.b_row + j % N * p.b_col];
                float want = tanhf(sum);
                assert_true(isnan(want) ? isnan(y[j]) : fabsf(y[j] - want) < 1e-5f);
            }
        }
}

/* Activations from the smallest to the largest numbers, through a product with one term of 1. */
static void activations(void **unused) {
    (void)unused;
    const lvt_tile_code *list[4];
    int codes = lvt_tile_codes(list);
    enum { N = 4001 };
    static float x[N], y[N];
    for (int i = 0; i < N; i++)
        x[i] = i % 2 ? (float)(i - N / 2) / 80 : (i % 4 ? -1.0f : 1.0f) * powf(10, (float)i / 52 - 38);
    x[0] = 0;
    x[2] = INFINITY;
    x[4] = -INFINITY;
    x[6] = NAN;
    for (int c = 0; c < codes; c++)
        for (int kind = LVT_TILE_GELU; kind <= LVT_TILE_SILU; kind++) {
            float one = 1;
            lvt_product p = {
                .m = 1, .n = N, .k = 1, .a_row = 1, .a_col = 1, .b_row = N, .b_col = 1, .y_row = N};
            p.threads = 1;
            p.code = list[c];
            p.n_steps = 1;
            p.steps[0].kind = (lvt_tile_kind)kind;
            assert_true(lvt_product_plan(&p));
            assert_int_equal(lvt_product_scratch(&p), 0);
            lvt_product_run(&p, &one, x, y, (const float *const[]){NULL}, NULL);
            for (int i = 0; i < N; i++) {
                double want = step_of((lvt_tile_kind)kind, x[i], 0);
                bool ends = (kind == LVT_TILE_GELU || kind == LVT_TILE_SILU) && x[i] == -INFINITY;
                if (ends || isnan(want)) { /* minus infinity times 0 */
                    assert_true(isnan(y[i]));
                    continue;
                }
                /* GELU far below 0 is the difference of two numbers near 1, times x */
                double allowed =
                    2e-6 * fabs(want) + (kind == LVT_TILE_GELU ? 3e-7 * fmin(fabs(x[i]), 6) : 1e-37);
                if (!(isinf(want) ? y[i] == want : fabs(y[i] - want) <= allowed))
                    fail_msg("%s, activation %d of %.9g: %.9g, should be %.9g", list[c]->name, kind, x[i],
                             y[i], want);
            }
        }
}

static void what_fits(void **unused) {
    (void)unused;
    lvt_product p = {.m = 4, .n = 16, .k = 4, .a_row = 4, .a_col = 1, .b_row = 16, .b_col = 1, .y_row = 16};
    p.threads = 1;
    assert_true(lvt_product_plan(&p));
    p.b_col = 2; /* neither rows nor columns lie together */
    assert_false(lvt_product_plan(&p));
    p.b_col = 1;
    p.a_col = 2;
    assert_false(lvt_product_plan(&p));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_shapes), cmocka_unit_test(tails),       cmocka_unit_test(long_ones),
        cmocka_unit_test(specials),      cmocka_unit_test(activations), cmocka_unit_test(what_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
