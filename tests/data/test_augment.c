/* Random numbers and augmentation. */
#include "runtime/data/augment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Known answers published with the generator (Random123, kat_vectors: philox4x32 10). */
static void philox(void **state) {
    (void)state;
    uint32_t out[4];
    lvt_philox(0, 0, 0, 0, 0, out);
    assert_memory_equal(out, ((uint32_t[]){0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}), sizeof out);
    lvt_philox(~0ull, ~0u, ~0u, ~0u, ~0u, out);
    assert_memory_equal(out, ((uint32_t[]){0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}), sizeof out);
    lvt_philox(0x299f31d0a4093822ull, 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, out);
    assert_memory_equal(out, ((uint32_t[]){0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}), sizeof out);
}

static void shuffle(void **state) {
    (void)state;
    uint32_t a[1000], b[1000];
    int seen[1000] = {0}, moved = 0;
    for (uint32_t i = 0; i < 1000; i++)
        a[i] = b[i] = i;
    lvt_shuffle(7, LVT_RANDOM_SHUFFLE, 1, 2, a, 1000, 1000);
    lvt_shuffle(7, LVT_RANDOM_SHUFFLE, 1, 2, b, 1000, 10);
    assert_memory_equal(a, b, 10 * sizeof *a); /* a short draw is the beginning of a long one */
    for (uint32_t i = 0; i < 1000; i++) {
        seen[a[i]]++;
        moved += a[i] != i;
    }
    for (int i = 0; i < 1000; i++)
        assert_int_equal(seen[i], 1);
    assert_true(moved > 950); /* on average one of 1000 stays */
    for (uint32_t i = 0; i < 1000; i++)
        b[i] = i;
    lvt_shuffle(7, LVT_RANDOM_SHUFFLE, 1, 3, b, 1000, 1000);
    assert_memory_not_equal(a, b, sizeof a);
    lvt_shuffle(7, LVT_RANDOM_SHUFFLE, 0, 0, b, 1, 1);
    lvt_shuffle(7, LVT_RANDOM_SHUFFLE, 0, 0, NULL, 0, 0);
}

static lvt_augment plain(int h, int w, int c, int crop, bool flip) {
    lvt_augment a = {.height = h, .width = w, .channels = c, .crop = crop, .flip = flip};
    for (int k = 0; k < c; k++)
        for (int v = 0; v < 256; v++)
            a.table[k][v] = (float)v + 1000 * (float)k;
    return a;
}

/* Against the definition, for every shift and both directions. */
static void crop_and_mirror(void **state) {
    (void)state;
    enum { H = 5, W = 4, C = 2, CROP = 3 };
    lvt_augment a = plain(H, W, C, CROP, true);
    uint8_t pixels[H * W * C];
    for (int i = 0; i < H * W * C; i++)
        pixels[i] = (uint8_t)(i + 1);
    float out[H * W * C];
    lvt_augment_image(&a, pixels, NULL, out);
    for (int i = 0; i < H * W * C; i++)
        assert_true(out[i] == a.table[i % C][pixels[i]]);
    for (int sy = -CROP; sy <= CROP; sy++)
        for (int sx = -CROP; sx <= CROP; sx++)
            for (int mirror = 0; mirror < 2; mirror++) {
                /* The word in the middle of each of the 7 equal ranges. */
                uint32_t range = (uint32_t)(0x100000000ull / 7);
                uint32_t words[LVT_AUGMENT_WORDS] = {range * (uint32_t)(sy + CROP) + range / 2,
                                                     range * (uint32_t)(sx + CROP) + range / 2,
                                                     mirror ? 0x80000000u : 0, 0};
                lvt_augment_image(&a, pixels, words, out);
                for (int y = 0; y < H; y++)
                    for (int x = 0; x < W; x++)
                        for (int c = 0; c < C; c++) {
                            int py = y + sy, px = x + sx;
                            int column = mirror ? W - 1 - px : px;
                            bool inside = py >= 0 && py < H && px >= 0 && px < W;
                            uint8_t v = inside ? pixels[(py * W + column) * C + c] : 0;
                            assert_true(out[(y * W + x) * C + c] == a.table[c][v]);
                        }
            }
    /* Pictures smaller than the crop only turn black. */
    lvt_augment small = plain(1, 1, 1, 3, false);
    lvt_augment_image(&small, pixels, (uint32_t[LVT_AUGMENT_WORDS]){0}, out);
    assert_true(out[0] == 0);
}

static void normalise(void **state) {
    (void)state;
    lvt_dataset *d;
    assert_int_equal(lvt_dataset_open("digits", NULL, &d, NULL), LVT_OK);
    lvt_augment a;
    lvt_augment_init(&a, d);
    double sum = 0, squares = 0, n = (double)d->train.n * 64;
    for (size_t i = 0; i < d->train.n; i++) {
        float out[64];
        lvt_augment_image(&a, d->train.pixels + i * 64, NULL, out);
        for (int p = 0; p < 64; p++) {
            sum += out[p];
            squares += (double)out[p] * out[p];
        }
    }
    assert_float_equal(sum / n, 0, 1e-5); /* rounding of the f32 table */
    assert_float_equal(squares / n, 1, 1e-4);
    lvt_dataset_free(d);
}

/* Words of a place: other places, steps and uses have others; the first four are what they have always been.
 */
static void words_of_a_place(void **state) {
    (void)state;
    uint32_t a[LVT_AUGMENT_WORDS], b[LVT_AUGMENT_WORDS], old[4];
    lvt_augment_words(7, LVT_RANDOM_AUGMENT, 1ull << 40, 3, a);
    lvt_augment_words(7, LVT_RANDOM_AUGMENT, 1ull << 40, 3, b);
    assert_memory_equal(a, b, sizeof a);
    lvt_philox(7, LVT_RANDOM_AUGMENT, 0, 1 << 8, 3, old);
    assert_memory_equal(a, old, sizeof old);
    assert_memory_not_equal(a, a + 4, 4 * sizeof *a);
    lvt_augment_words(7, LVT_RANDOM_AUGMENT, 1ull << 40, 4, b);
    assert_memory_not_equal(a, b, sizeof a);
    lvt_augment_words(7, LVT_RANDOM_AUGMENT_MEMORY, 1ull << 40, 3, b);
    assert_memory_not_equal(a, b, sizeof a);
}

/* A square of 0, of side N where it does not reach over an edge; every pixel is its centre equally often. */
static void cutout(void **state) {
    (void)state;
    enum { H = 9, W = 7, N = 3, TRIES = 20000 };
    lvt_augment a = plain(H, W, 2, 0, false);
    a.cutout = N;
    uint8_t pixels[H * W * 2];
    memset(pixels, 255, sizeof pixels);
    int covered[H * W] = {0}, whole = 0;
    for (uint32_t i = 0; i < TRIES; i++) {
        uint32_t words[LVT_AUGMENT_WORDS];
        float out[H * W * 2];
        lvt_augment_words(1, LVT_RANDOM_AUGMENT, i, 0, words);
        lvt_augment_image(&a, pixels, words, out);
        int top = H, bottom = -1, left = W, right = -1, n = 0;
        for (int p = 0; p < H * W; p++) {
            assert_true((out[2 * p] == 0) == (out[2 * p + 1] == 0)); /* all channels */
            if (out[2 * p] != 0)
                continue;
            n++;
            covered[p]++;
            top = p / W < top ? p / W : top;
            bottom = p / W > bottom ? p / W : bottom;
            left = p % W < left ? p % W : left;
            right = p % W > right ? p % W : right;
        }
        assert_true(n >= 4 && n == (bottom - top + 1) * (right - left + 1)); /* at a corner 2 x 2 are left */
        whole += n == N * N;
    }
    /* The centre is inside by N / 2 with probability 7/9 * 5/7; 5 standard deviations of 20000 tries. */
    assert_float_equal((double)whole / TRIES, 7. / 9 * 5 / 7, 5 * sqrt(0.25 / TRIES));
    assert_float_equal((double)covered[4 * W + 3] / TRIES, 9. / (H * W), 5 * sqrt(0.25 / TRIES));
    a.cutout = 100; /* larger than the picture: nothing is left */
    float out[H * W * 2];
    lvt_augment_image(&a, pixels, (uint32_t[LVT_AUGMENT_WORDS]){0}, out);
    for (int p = 0; p < H * W * 2; p++)
        assert_true(out[p] == 0);
}

/* Against the definition, written here once more in double, and its limits. */
static void colour(void **state) {
    (void)state;
    enum { H = 4, W = 5, C = 3, N = H * W };
    lvt_augment a = plain(H, W, C, 0, false);
    a.colour = 0.5f;
    uint8_t pixels[N * C];
    for (int i = 0; i < N * C; i++)
        pixels[i] = (uint8_t)(i * 37);
    uint32_t words[LVT_AUGMENT_WORDS];
    double strongest = 0;
    for (uint32_t step = 0; step < 50; step++) {
        lvt_augment_words(3, LVT_RANDOM_AUGMENT, step, 1, words);
        float out[N * C];
        lvt_augment_image(&a, pixels, words, out);
        double f[3], v[N * C], mean = 0;
        for (int k = 0; k < 3; k++)
            f[k] = 0.5 + words[4 + k] * 0x1p-32;
        for (int i = 0; i < N * C; i++)
            v[i] = fmin(pixels[i] / 255. * f[0], 1);
        for (int i = 0; i < N; i++)
            mean += (0.299 * v[3 * i] + 0.587 * v[3 * i + 1] + 0.114 * v[3 * i + 2]) / N;
        for (int i = 0; i < N; i++) {
            double *p = v + 3 * i, grey;
            for (int c = 0; c < 3; c++)
                p[c] = fmin(fmax(mean + (p[c] - mean) * f[1], 0), 1);
            grey = 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];
            for (int c = 0; c < 3; c++) {
                p[c] = fmin(fmax(grey + (p[c] - grey) * f[2], 0), 1);
                float got = (out[3 * i + c] - 1000 * (float)c) / 255; /* plain's table */
                assert_float_equal(got, p[c], 1e-5);                  /* f32 at values up to 2255 */
                strongest = fmax(strongest, fabs(p[c] - pixels[3 * i + c] / 255.));
            }
        }
    }
    assert_true(strongest > 0.3); /* it does something */
    a.colour = 0;
    float out[N * C], same[N * C];
    lvt_augment_image(&a, pixels, words, out);
    lvt_augment_image(&a, pixels, NULL, same);
    assert_memory_equal(out, same, sizeof out);
}

/* Mean 1/2 and variance 1 / (4 (2 a + 1)), which is what Beta(a, a) has. */
static void beta(void **state) {
    (void)state;
    static const double as[] = {0.01, 0.2, 0.4, 1, 2, 8, 1000};
    for (size_t k = 0; k < sizeof as / sizeof *as; k++) {
        enum { N = 40000 };
        double sum = 0, squares = 0;
        int exact_half = 0;
        for (uint32_t i = 0; i < N; i++) {
            double v = lvt_random_beta(as[k], 5, LVT_RANDOM_MIX, i, 2);
            assert_true(v >= 0 && v <= 1);
            exact_half += v == 0.5;
            sum += v;
            squares += (v - 0.5) * (v - 0.5);
        }
        double variance = 1 / (4 * (2 * as[k] + 1));
        assert_float_equal(sum / N, 0.5, 5 * sqrt(variance / N));
        assert_float_equal(squares / N / variance, 1, 5 * sqrt(2. / N)); /* kurtosis of at most 3 */
        assert_true(exact_half == 0);                                    /* the tries were enough */
    }
    assert_true(lvt_random_beta(0.4, 5, LVT_RANDOM_MIX, 9, 2) ==
                lvt_random_beta(0.4, 5, LVT_RANDOM_MIX, 9, 2));
}

/* Shares are in 0..1, partners are others of the batch, each as often; a box has the area that its share
 * says. */
static void mix(void **state) {
    (void)state;
    enum { H = 6, W = 8, C = 2, BATCH = 5, STEPS = 4000 };
    float a[H * W * C], b[H * W * C], out[H * W * C];
    for (int i = 0; i < H * W * C; i++) {
        a[i] = (float)i;
        b[i] = (float)(1000 + i);
    }
    const lvt_mixing ways[] = {{0.4, 0, 1}, {0, 1, 1}, {0.4, 1, 1}, {0.4, 1, 0.25}, {0, 0, 1}};
    for (int w = 0; w < 5; w++) {
        int with[BATCH] = {0}, mixed = 0, boxes = 0;
        double shares = 0;
        for (uint32_t step = 0; step < STEPS; step++) {
            lvt_mix m = lvt_mix_draw(&ways[w], 11, step, 2, BATCH, H, W),
                    again = lvt_mix_draw(&ways[w], 11, step, 2, BATCH, H, W);
            assert_true(m.with == again.with && m.share == again.share && m.top == again.top);
            assert_true(m.with < BATCH && m.share >= 0 && m.share <= 1);
            with[m.with]++;
            mixed += m.with != 2;
            bool box = m.bottom > m.top;
            boxes += box;
            shares += m.share;
            assert_true(m.with != 2 || m.share == 1);
            lvt_mix_images(&m, a, b, H, W, C, out);
            double of_b = 0;
            for (int i = 0; i < H * W * C; i++) {
                if (box)
                    assert_true(out[i] == a[i] || out[i] == b[i]);
                else
                    assert_float_equal(out[i], a[i] + 1000 * (1 - m.share), 1e-2);
                of_b += (double)(out[i] - a[i]) / 1000 / (H * W * C);
            }
            assert_float_equal(of_b, 1 - m.share, 1e-4); /* f32 at values up to 1100 */
        }
        double part = w == 4 ? 0 : ways[w].part;
        /* mixed: 5 standard deviations; a box may come out empty, when its share is above 1 - 1 / (4 * 48) or
         * so */
        assert_float_equal((double)mixed / STEPS, part, w == 0 || w == 4 ? 0.001 : w == 3 ? 0.04 : 0.03);
        if (w == 1)
            assert_int_equal(boxes, mixed);
        if (w == 2)
            assert_float_equal((double)boxes / mixed, 0.5, 0.05);
        if (w == 0) {
            assert_float_equal(shares / STEPS, 0.5, 0.03);
            for (uint32_t p = 0; p < BATCH; p++)
                assert_float_equal((double)with[p] / STEPS, p == 2 ? 0 : 0.25, 0.04);
        }
    }
    lvt_mix alone = lvt_mix_draw(&ways[0], 11, 0, 0, 1, H, W);
    assert_true(alone.with == 0 && alone.share == 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox),
        cmocka_unit_test(shuffle),
        cmocka_unit_test(crop_and_mirror),
        cmocka_unit_test(normalise),
        cmocka_unit_test(words_of_a_place),
        cmocka_unit_test(cutout),
        cmocka_unit_test(colour),
        cmocka_unit_test(beta),
        cmocka_unit_test(mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
