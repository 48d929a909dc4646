/* Philox random numbers, and random initial values from a counter-based generator.
 *
 * Invariants: element i of a state depends on (seed, name of the state, i) alone; only + - * / and sqrt,
 * which IEEE 754 defines exactly, are used on the way, so every machine gets the same bits. May not know:
 * sessions. */
#include "init.h"
#include "interp.h"

#include <math.h>
#include <string.h>

void lvt_philox(uint64_t seed, uint32_t use, uint32_t a, uint32_t b, uint32_t c, uint32_t out[4]) {
    uint32_t x[4] = {use, a, b, c}, k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p = (uint64_t)0xD2511F53u * x[0], q = (uint64_t)0xCD9E8D57u * x[2];
        uint32_t y[4] = {(uint32_t)(q >> 32) ^ x[1] ^ k0, (uint32_t)q, (uint32_t)(p >> 32) ^ x[3] ^ k1,
                         (uint32_t)p};
        memcpy(x, y, sizeof x);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    memcpy(out, x, sizeof x);
}

/* A contracted a*b+c rounds once instead of twice: the same bits everywhere need it off. */
#if defined(__GNUC__) && !defined(__clang__)
#define EXACT __attribute__((optimize("fp-contract=off")))
#else
#define EXACT
#endif

/* log(x), x > 0 normal: x = m 2^e with m in [sqrt(1/2), sqrt(2)), log m = 2 atanh((m - 1) / (m + 1)). */
EXACT static double exact_log(double x) {
    int e;
    double m = frexp(x, &e);
    if (m < 0.70710678118654752) {
        m *= 2;
        e--;
    }
    double s = (m - 1) / (m + 1), s2 = s * s, sum = 0;
    for (int k = 23; k >= 1; k -= 2)
        sum = sum * s2 + 1.0 / k;
    return 2 * s * sum + e * 0.69314718055994531;
}

/* sin and cos of 2 pi u, u in [0, 1): the nearest eighth turn is taken off, the rest is a Taylor series. */
EXACT static void exact_sincos(double u, double *sine, double *cosine) {
    int quarter = (int)(u * 4 + 0.5);
    double x = (u - quarter * 0.25) * 6.283185307179586, x2 = x * x;
    double s = 0, c = 0;
    for (int k = 19; k >= 1; k -= 2) { /* |x| <= pi/4: the first term left out is below 1e-21 */
        s = 1 - s * x2 / ((k + 1) * (k + 2));
        c = 1 - c * x2 / (k * (k + 1));
    }
    s *= x;
    switch (quarter & 3) {
    case 0:
        *sine = s, *cosine = c;
        break;
    case 1:
        *sine = c, *cosine = -s;
        break;
    case 2:
        *sine = -s, *cosine = -c;
        break;
    default:
        *sine = -c, *cosine = s;
    }
}

/* Four normals from four words (Box and Muller, 1958). */
EXACT static void box_muller(const uint32_t words[4], double z[4]) {
    for (int i = 0; i < 4; i += 2) {
        double radius = sqrt(-2 * exact_log((words[i] + 1.0) / 4294967296.0)), sine, cosine;
        exact_sincos(words[i + 1] / 4294967296.0, &sine, &cosine);
        z[i] = radius * cosine;
        z[i + 1] = radius * sine;
    }
}

/* FNV-1a of the name: each state has its own stream. */
static uint64_t name_hash(const char *name) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (const char *c = name; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 0x100000001b3u;
    return hash;
}

EXACT void lvt_init_fill(const lvt_state *state, uint64_t seed, int64_t begin, int64_t end, void *packed) {
    const lvt_init *init = &state->init;
    lvt_type one = lvt_type_make((lvt_dtype)state->type.dtype, 0, NULL);
    size_t size = lvt_dtype_size((lvt_dtype)one.dtype);
    uint64_t hash = name_hash(state->name);
    uint32_t stream[2] = {(uint32_t)hash, (uint32_t)(hash >> 32)};
    char *to = packed;
    for (int64_t i = begin; i < end; i += 4) {
        double v[4] = {init->a, init->a, init->a, init->a}, z[4];
        uint32_t words[4];
        if (init->kind != LVT_INIT_CONSTANT)
            lvt_philox(seed, (uint32_t)(i / 4), 0, stream[0], stream[1], words);
        if (init->kind == LVT_INIT_UNIFORM) {
            for (int k = 0; k < 4; k++)
                v[k] = init->a + (init->b - init->a) * (words[k] / 4294967296.0);
        } else if (init->kind != LVT_INIT_CONSTANT) {
            box_muller(words, z);
            for (int k = 0; k < 4; k++) {
                /* Beyond two deviations an element draws again from counters of its own. */
                for (uint32_t draw = 1; init->kind == LVT_INIT_TRUNCATED_NORMAL && !(fabs(z[k]) <= 2);
                     draw++) {
                    double more[4];
                    lvt_philox(seed, (uint32_t)(i + k), draw, stream[0], stream[1], words);
                    box_muller(words, more);
                    for (int j = 0; j < 4 && !(fabs(z[k]) <= 2); j++)
                        z[k] = more[j];
                }
                v[k] = init->a + init->b * z[k];
            }
        }
        for (int64_t k = 0; k < 4 && i + k < end; k++) {
            if (one.dtype == LVT_F32) {
                float x = (float)v[k];
                memcpy(to + (size_t)(i + k) * size, &x, sizeof x);
            } else {
                lvt_tensor t = {one, &v[k]};
                lvt_tensor_store(&t, to + (size_t)(i + k) * size);
            }
        }
    }
}
