/* Random initial values from a counter-based generator.
 *
 * Invariants: element i of a state depends on (seed, name of the state, i) alone; only + - * / and sqrt,
 * which IEEE 754 defines exactly, are used on the way, so every machine gets the same bits. May not know:
 * sessions. */
#include "init.h"
#include "ir/base/hash.h"
#include "ir/base/philox.h"
#include "ir/interp.h"

#include <math.h>
#include <string.h>

/* A contracted a*b+c rounds once instead of twice: the same bits everywhere need it off. What is computed is
 * written as loops over a batch of lanes without branches, which the compiler turns into vectors as wide as
 * the processor has: each lane's operations are the same in any of them. (A sqrt that may set errno is a
 * branch.) */
#if defined(__GNUC__) && !defined(__clang__)
#define EXACT __attribute__((optimize("O3,fp-contract=off")))
#else
#define EXACT
#pragma STDC FP_CONTRACT OFF
#endif
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define WIDE __attribute__((target_clones("default", "avx2", "arch=x86-64-v4")))
#else
#define WIDE
#endif

enum { BATCH = 64 }; /* elements made at a time */

/* log(x), x > 0 normal: x = m 2^e with m in [sqrt(1/2), sqrt(2)), log m = 2 atanh((m - 1) / (m + 1)). */
EXACT static inline double exact_log(double x) {
    uint64_t bits, shifted;
    memcpy(&bits, &x, sizeof bits);
    shifted = bits - UINT64_C(0x3fe6a09e667f3bcd); /* of sqrt(1/2) */
    uint64_t e = (uint64_t)((int64_t)shifted >> 52);
    double m, d, dd = 6755399441055744.0; /* 1.5 * 2^52: a small integer added to its bits is added to it */
    bits -= e << 52;
    memcpy(&m, &bits, sizeof m);
    memcpy(&bits, &dd, sizeof bits);
    bits += e;
    memcpy(&d, &bits, sizeof d);
    double s = (m - 1) / (m + 1), s2 = s * s, sum = 0;
    for (int k = 23; k >= 1; k -= 2)
        sum = sum * s2 + 1.0 / k;
    return 2 * s * sum + (d - dd) * 0.69314718055994531;
}

/* Box and Muller's radius, and sin and cos of 2 pi u, u in [0, 1): the nearest quarter turn is taken off,
 * the rest, at most pi/4, is a Taylor series whose first term left out is below 1e-21. */
EXACT static inline void normal_pair(uint32_t a, uint32_t b, double *y, double *z) {
    static const double sine[] = {-1.0 / 6,
                                  1.0 / 120,
                                  -1.0 / 5040,
                                  1.0 / 362880,
                                  -1.0 / 39916800,
                                  1.0 / 6227020800.0,
                                  -1.0 / 1307674368000.0,
                                  1.0 / 355687428096000.0,
                                  -1.0 / 121645100408832000.0};
    static const double cosine[] = {-1.0 / 2,
                                    1.0 / 24,
                                    -1.0 / 720,
                                    1.0 / 40320,
                                    -1.0 / 3628800,
                                    1.0 / 479001600,
                                    -1.0 / 87178291200.0,
                                    1.0 / 20922789888000.0,
                                    -1.0 / 6402373705728000.0};
    double radius = sqrt(-2 * exact_log(((double)a + 1.0) / 4294967296.0));
    double u = (double)b / 4294967296.0;
    int32_t quarter = (int32_t)(u * 4 + 0.5);
    double x = (u - quarter * 0.25) * 6.283185307179586, x2 = x * x, s = 0, c = 0;
    for (int k = 8; k >= 0; k--) {
        s = (s + sine[k]) * x2;
        c = (c + cosine[k]) * x2;
    }
    s = s * x + x;
    c = c + 1;
    double first = quarter & 1 ? s : c, second = quarter & 1 ? c : s;
    *y = radius * ((quarter + 1) & 2 ? -first : first);
    *z = radius * (quarter & 2 ? -second : second);
}

/* n normals from n words, n even (Box and Muller, 1958). */
WIDE EXACT static void box_muller(const uint32_t *words, int n, double *z) {
    for (int i = 0; i < n / 2; i++)
        normal_pair(words[2 * i], words[2 * i + 1], &z[2 * i], &z[2 * i + 1]);
}

typedef uint64_t lanes __attribute__((vector_size(64)));
enum { LANES = 8, GROUPS = BATCH / 4 / LANES };

/* The words of BATCH / 4 counters from `first` on. The words of 32 bits lie in lanes of 64, where a product
 * of two has its place: with lanes of 32 the compiler spends more on moving halves than on multiplying. */
WIDE EXACT static void batch_words(uint64_t seed, uint32_t first, const uint32_t stream[2],
                                   uint32_t words[BATCH]) {
    const uint64_t low = 0xffffffffu;
    uint64_t counters[BATCH / 4], k0 = seed & low, k1 = seed >> 32;
    lanes x[4][GROUPS]; /* groups do not wait for each other's products */
    for (uint32_t i = 0; i < BATCH / 4; i++)
        counters[i] = (uint32_t)(first + i);
    memcpy(x[0], counters, sizeof x[0]);
    for (int g = 0; g < GROUPS; g++) {
        x[1][g] = (lanes){0};
        x[2][g] = x[1][g] + stream[0];
        x[3][g] = x[1][g] + stream[1];
    }
    for (int round = 0; round < 10; round++) {
        for (int g = 0; g < GROUPS; g++) {
            lanes p = x[0][g] * 0xD2511F53u, q = x[2][g] * 0xCD9E8D57u;
            x[0][g] = (q >> 32) ^ x[1][g] ^ k0;
            x[2][g] = (p >> 32) ^ x[3][g] ^ k1;
            x[1][g] = q & low;
            x[3][g] = p & low;
        }
        k0 = (k0 + 0x9E3779B9u) & low;
        k1 = (k1 + 0xBB67AE85u) & low;
    }
    uint64_t y[4][BATCH / 4];
    memcpy(y, x, sizeof y);
    for (int i = 0; i < BATCH / 4; i++)
        for (int k = 0; k < 4; k++)
            words[4 * i + k] = (uint32_t)y[k][i];
}

WIDE EXACT static void uniform(const uint32_t words[BATCH], double a, double b, double v[BATCH]) {
    for (int k = 0; k < BATCH; k++)
        v[k] = a + (b - a) * (words[k] / 4294967296.0);
}

WIDE EXACT static void to_floats(const double v[BATCH], float x[BATCH]) {
    for (int k = 0; k < BATCH; k++)
        x[k] = (float)v[k];
}

EXACT void lvt_init_fill(const lvt_state *state, uint64_t seed, int64_t begin, int64_t end, void *packed) {
    const lvt_init *init = &state->init;
    lvt_type one = lvt_type_make((lvt_dtype)state->type.dtype, 0, NULL);
    size_t size = lvt_dtype_size((lvt_dtype)one.dtype);
    uint64_t hash = lvt_hash_text(state->name); /* each state has its own stream */
    uint32_t stream[2] = {(uint32_t)hash, (uint32_t)(hash >> 32)}, words[BATCH];
    double v[BATCH];
    char *to = packed;
    if (state->values || init->kind == LVT_INIT_FILE) { /* without its file it is all zeros */
        size_t at = (size_t)begin * size, n = (size_t)(end - begin) * size;
        if (state->values)
            memcpy(to + at, (const char *)state->values + at, n);
        else
            memset(to + at, 0, n);
        return;
    }
    for (int i = 0; i < BATCH; i++)
        v[i] = init->a;
    for (int64_t i = begin; i < end; i += BATCH) {
        int n = end - i < BATCH ? (int)(end - i) : BATCH;
        if (init->kind != LVT_INIT_CONSTANT)
            batch_words(seed, (uint32_t)(i / 4), stream, words);
        if (init->kind == LVT_INIT_UNIFORM) {
            uniform(words, init->a, init->b, v);
        } else if (init->kind != LVT_INIT_CONSTANT) {
            box_muller(words, BATCH, v);
            for (int k = 0; k < n && init->kind == LVT_INIT_TRUNCATED_NORMAL; k++) {
                /* Beyond two deviations an element draws again from counters of its own. */
                for (uint32_t draw = 1; !(fabs(v[k]) <= 2); draw++) {
                    double more[4];
                    uint32_t again[4];
                    lvt_philox(seed, (uint32_t)(i + k), draw, stream[0], stream[1], again);
                    box_muller(again, 4, more);
                    for (int j = 0; j < 4 && !(fabs(v[k]) <= 2); j++)
                        v[k] = more[j];
                }
            }
            for (int k = 0; k < n; k++)
                v[k] = init->a + init->b * v[k];
        }
        if (one.dtype == LVT_F32) {
            float x[BATCH];
            to_floats(v, x);
            memcpy(to + (size_t)i * size, x, (size_t)n * size);
            continue;
        }
        for (int k = 0; k < n; k++) {
            lvt_tensor t = {one, &v[k]};
            lvt_tensor_store(&t, to + (size_t)(i + k) * size);
        }
    }
}
