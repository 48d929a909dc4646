/* Random numbers and augmentation. */
#include "data/augment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
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
    lvt_augment a = {h, w, c, crop, flip, {{0}}};
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
                uint32_t words[4] = {range * (uint32_t)(sy + CROP) + range / 2,
                                     range * (uint32_t)(sx + CROP) + range / 2, mirror ? 0x80000000u : 0, 0};
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
    lvt_augment_image(&small, pixels, (uint32_t[4]){0}, out);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox),
        cmocka_unit_test(shuffle),
        cmocka_unit_test(crop_and_mirror),
        cmocka_unit_test(normalise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
