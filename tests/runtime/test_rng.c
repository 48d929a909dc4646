/* Initial values: moments and limits of the distributions, independence of
 * threads. */
#include "harness.h"
#include "runtime/data/augment.h"

enum { N = 200001 };

static float *values(const char *name, lvt_init init, uint64_t seed, int threads) {
    lvt_state s = {.name = name, .type = lvt_type_make(LVT_F32, 1, (const int64_t[]){N}), .init = init};
    float *v = malloc(N * sizeof *v);
    lvt_init_values(&s, 1, seed, threads, false, (void *[]){v});
    return v;
}

static void moments(const float *v, double *mean, double *deviation, double *largest) {
    double sum = 0, squares = 0;
    *largest = 0;
    for (int i = 0; i < N; i++) {
        sum += v[i];
        *largest = fmax(*largest, fabs(v[i]));
    }
    *mean = sum / N;
    for (int i = 0; i < N; i++)
        squares += (v[i] - *mean) * (v[i] - *mean);
    *deviation = sqrt(squares / N);
}

/* Five deviations of the estimate over 200001 samples: 5 / sqrt(N) = 0.011 of the distribution's own. */
static void distributions(void **unused) {
    (void)unused;
    double mean, deviation, largest;
    float *v = values("a", (lvt_init){LVT_INIT_NORMAL, 1, 2}, 7, 2);
    moments(v, &mean, &deviation, &largest);
    assert_true(fabs(mean - 1) < 0.022 && fabs(deviation - 2) < 0.022);
    assert_true(largest > 8 && largest < 14); /* 4 to 6 deviations occur among so many */
    free(v);
    v = values("a", (lvt_init){LVT_INIT_TRUNCATED_NORMAL, 0, 0.5}, 7, 2);
    moments(v, &mean, &deviation, &largest);
    /* a normal cut at two deviations has deviation 0.87963 */
    assert_true(fabs(mean) < 0.0055 && fabs(deviation - 0.5 * 0.87963) < 0.0055 && largest <= 1 &&
                largest > 0.99);
    free(v);
    v = values("a", (lvt_init){LVT_INIT_UNIFORM, -1, 3}, 7, 2);
    moments(v, &mean, &deviation, &largest);
    assert_true(fabs(mean - 1) < 0.013 && fabs(deviation - 4 / sqrt(12)) < 0.013);
    assert_true(largest <= 3 && largest > 2.99);
    free(v);
    v = values("a", (lvt_init){LVT_INIT_CONSTANT, 0.25, 0}, 7, 2);
    for (int i = 0; i < N; i++)
        assert_true(v[i] == 0.25f);
    free(v);
}

static void same_bits(void **unused) {
    (void)unused;
    const lvt_init init = {LVT_INIT_TRUNCATED_NORMAL, 0, 1};
    float *one = values("block.0.weight", init, 42, 1), *two = values("block.0.weight", init, 42, 2);
    float *name = values("block.1.weight", init, 42, 1), *seed = values("block.0.weight", init, 43, 1);
    assert_memory_equal(one, two, N * sizeof *one);
    int equal_name = 0, equal_seed = 0;
    for (int i = 0; i < N; i++) {
        equal_name += one[i] == name[i];
        equal_seed += one[i] == seed[i];
    }
    assert_true(equal_name < 10 && equal_seed < 10);
    free(one);
    free(two);
    free(name);
    free(seed);
}

/* The functions written out in rng.c agree with the C library's: known first values, from an independent
 * computation below. */
static void box_muller_by_the_library(void **unused) {
    (void)unused;
    const lvt_init init = {LVT_INIT_NORMAL, 0, 1};
    float *v = values("w", init, 5, 1);
    uint64_t hash = 0xcbf29ce484222325u;
    hash = (hash ^ 'w') * 0x100000001b3u;
    for (int i = 0; i + 4 <= N; i += 4) {
        uint32_t words[4];
        lvt_philox(5, (uint32_t)i / 4, 0, (uint32_t)hash, (uint32_t)(hash >> 32), words);
        for (int k = 0; k < 4; k += 2) {
            double radius = sqrt(-2 * log((words[k] + 1.0) / 4294967296.0)),
                   angle = 2 * M_PI * words[k + 1] / 4294967296.0;
            /* one rounding to f32 of numbers that differ by some 1e-15 */
            assert_true(fabs(v[i + k] - radius * cos(angle)) <= 4e-7);
            assert_true(fabs(v[i + k + 1] - radius * sin(angle)) <= 4e-7);
        }
    }
    free(v);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distributions),
        cmocka_unit_test(same_bits),
        cmocka_unit_test(box_muller_by_the_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
