/* The processor's own limit: f32 fused multiply-adds that touch no memory.
 *
 * Invariant: the widest instruction set the processor has is used, chosen at run time. May not know:
 * programs. */
#include "runtime/command/command.h"
#include "runtime/session/internal.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum {
    ROUNDS = 2000000,
    CHAINS = 12,
    REPEATS = 7
}; /* chains: more than latency times ports of any FMA unit */

/* One function an instruction set: CHAINS independent chains of a = a * m + c, unrolled by name so that they
 * stay in registers; c keeps a near 1. */
#define CHAIN12(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

#if defined(__x86_64__)
#define DECLARE512(i) __m512 a##i = _mm512_set1_ps(1.0f + (float)i);
#define STEP512(i) a##i = _mm512_fmadd_ps(a##i, m, c);
#define KEEP512(i) __asm__ volatile("" : "+v"(a##i));
__attribute__((target("avx512f"))) static void loop512(void *user, int64_t chunk, int thread) {
    (void)user, (void)chunk, (void)thread;
    __m512 m = _mm512_set1_ps(0.5f), c = _mm512_set1_ps(0.5f);
    CHAIN12(DECLARE512)
    for (long k = 0; k < ROUNDS; k++) {
        CHAIN12(STEP512)
        __asm__ volatile("" : "+v"(m)); /* the loop has to run */
    }
    CHAIN12(KEEP512)
}

#define DECLARE256(i) __m256 a##i = _mm256_set1_ps(1.0f + (float)i);
#define STEP256(i) a##i = _mm256_fmadd_ps(a##i, m, c);
#define KEEP256(i) __asm__ volatile("" : "+x"(a##i));
__attribute__((target("avx2,fma"))) static void loop256(void *user, int64_t chunk, int thread) {
    (void)user, (void)chunk, (void)thread;
    __m256 m = _mm256_set1_ps(0.5f), c = _mm256_set1_ps(0.5f);
    CHAIN12(DECLARE256)
    for (long k = 0; k < ROUNDS; k++) {
        CHAIN12(STEP256)
        __asm__ volatile("" : "+x"(m));
    }
    CHAIN12(KEEP256)
}
#endif

typedef float vector4 __attribute__((vector_size(16)));
#define DECLARE128(i) vector4 a##i = {1.0f + (float)i};
#define STEP128(i) a##i = a##i * m + c;
static void loop128(void *user, int64_t chunk, int thread) {
    (void)chunk, (void)thread;
    vector4 m = {0.5f, 0.5f, 0.5f, 0.5f}, c = m, sum = {0};
    CHAIN12(DECLARE128)
    for (long k = 0; k < ROUNDS; k++) {
        CHAIN12(STEP128)
        __asm__ volatile("" ::: "memory");
    }
#define ADD128(i) sum += a##i;
    CHAIN12(ADD128)
    if (sum[0] == -1.0f) /* never: keeps the chains alive */
        *(float *)user = sum[0];
}

double lvt_cmd_peak(int threads, const char **name) {
    void (*loop)(void *, int64_t, int) = loop128;
    int width = 4;
    *name = "128-bit vectors";
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f")) {
        loop = loop512, width = 16;
        *name = "AVX-512";
    } else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        loop = loop256, width = 8;
        *name = "AVX2";
    }
#endif
    double best = 0;
    for (int i = 0; i < REPEATS; i++) {
        float unused;
        double begin = lvt_seconds();
        lvt_parallel(threads, threads, loop, &unused);
        double rate = 2.0 * width * CHAINS * ROUNDS * threads / (lvt_seconds() - begin) * 1e-9;
        best = rate > best ? rate : best;
    }
    return best;
}
