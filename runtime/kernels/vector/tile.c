/* Vector code of products for every width of vectors that this compiler has, and which of it the processor
 * runs. Fused multiply-adds are asked for by name: no setting of a compiler then changes a bit, and in
 * their accumulating form, which keeps sums where they are, or compilers move them about and run out of
 * registers. May not know: matrices, blocks. */
#include "tile.h"
#include "runtime/kernels/functions.h"
#include "runtime/kernels/target.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

enum { LINE = 16 }; /* floats of the caches' lines */

#define UP_TO_7(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define FROM_1_TO_8(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)

#if defined(__x86_64__)

LVT_BEGIN_TARGET("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")
#define NAME(x) x##_16
#define LABEL "AVX-512"
#define LANES 16
#define TERMS 1024
#define ROWS 14
#define VECTORS 2
#define DOTS_ROWS 4
#define EACH_ROW(X) UP_TO_7(X) X(8) X(9) X(10) X(11) X(12) X(13)
#define EACH_HEIGHT(X) FROM_1_TO_8(X) X(9) X(10) X(11) X(12) X(13) X(14)
#define V __m512
#define LOAD(p) _mm512_loadu_ps(p)
#define STORE(p, v) _mm512_storeu_ps(p, v)
#define SPLAT(s) _mm512_set1_ps(s)
#define SCALAR __m512
#define READ_SCALAR(p) _mm512_set1_ps(*(p))
#define FMA(y, x, s) __asm__("vfmadd231ps %2, %1, %0" : "+v"(y) : "v"(x), "v"(s))
#define FMAV(y, x, s) FMA(y, x, s)
/* Every other row's number is read twice, by the instruction itself: fewer instructions, as long as the ports
 * for loads are not the limit. */
#define FMA_NUMBER(y, x, p) __asm__("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(y) : "v"(x), "m"(*(p)))
#define FMA_NUMBER_OF(r) ((r) % 2)
#define MASK(n) (__mmask16)((1u << (n)) - 1u)
#define PART_LOAD(p, n) _mm512_maskz_loadu_ps(MASK(n), p)
#define PART_STORE(p, v, n) _mm512_mask_storeu_ps(p, MASK(n), v)
#define ZIP_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define ZIP_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#include "tile.inc"
LVT_END_TARGET

LVT_BEGIN_TARGET("avx2,fma")
static const int32_t masks[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};

/* In pairs of rows, then fours, then halves: half of the shuffles that zipping takes here. */
static inline __attribute__((always_inline)) void turn_8(__m256 *x) {
    __m256 t[8], u[8];
    _Pragma("GCC unroll 4") for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(x[i], x[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
    }
    _Pragma("GCC unroll 2") for (int i = 0; i < 8; i += 4) {
        u[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        u[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        u[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        u[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++) {
        x[i] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x20);
        x[i + 4] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x31);
    }
}
#define TURN turn_8
#define NAME(x) x##_8
#define LABEL "AVX2"
#define LANES 8
#define TERMS 384
#define ROWS 6
#define VECTORS 2
#define DOTS_ROWS 2
#define EACH_ROW(X) X(0) X(1) X(2) X(3) X(4) X(5)
#define EACH_HEIGHT(X) X(1) X(2) X(3) X(4) X(5) X(6)
#define V __m256
#define LOAD(p) _mm256_loadu_ps(p)
#define STORE(p, v) _mm256_storeu_ps(p, v)
#define SPLAT(s) _mm256_set1_ps(s)
#define SCALAR __m256
#define READ_SCALAR(p) _mm256_broadcast_ss(p)
#define FMA(y, x, s) __asm__("vfmadd231ps %2, %1, %0" : "+x"(y) : "x"(x), "x"(s))
#define FMAV(y, x, s) FMA(y, x, s)
#define MASK8(n) _mm256_loadu_si256((const __m256i *)(masks + 8 - (n)))
#define PART_LOAD(p, n) _mm256_maskload_ps(p, MASK8(n))
#define PART_STORE(p, v, n) _mm256_maskstore_ps(p, MASK8(n), v)
#define ZIP_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define ZIP_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#include "tile.inc"
LVT_END_TARGET

#endif

/* Four lanes: NEON, or whatever the processor has at least. */
typedef float lvt_v4 __attribute__((vector_size(16), aligned(4), may_alias));

static inline lvt_v4 part_load(const float *p, int n) {
    float lane[4] = {0};
    for (int i = 0; i < n; i++)
        lane[i] = p[i];
    return *(const lvt_v4 *)lane;
}

static inline void part_store(float *p, lvt_v4 v, int n) {
    for (int i = 0; i < n; i++)
        p[i] = v[i];
}

#define NAME(x) x##_4
#define LANES 4
#define TERMS 384
#define DOTS_ROWS 4
#if defined(__aarch64__)
#define LABEL "NEON"
#define ROWS 8
#define VECTORS 3
#define SPLAT(s) vdupq_n_f32(s)
#define SCALAR float
#define READ_SCALAR(p) (*(p))
#define FMA(y, x, s) __asm__("fmla %0.4s, %1.4s, %2.s[0]" : "+w"(y) : "w"(x), "w"(s))
#define FMAV(y, x, s) (y) = vfmaq_f32(y, x, s)
#define V float32x4_t
#define LOAD(p) vld1q_f32(p)
#define STORE(p, v) vst1q_f32(p, v)
#define EACH_ROW(X) UP_TO_7(X)
#define EACH_HEIGHT(X) FROM_1_TO_8(X)
#else
#define LABEL "128-bit vectors"
#define ROWS 4
#define VECTORS 2
#define SPLAT(s) ((lvt_v4){s, s, s, s})
#define SCALAR float
#define READ_SCALAR(p) (*(p))
#define FMA(y, x, s) (y) += (x) * (s)
#define FMAV(y, x, s) (y) += (x) * (s)
#define V lvt_v4
#define LOAD(p) (*(const lvt_v4 *)(p))
#define STORE(p, v) (*(lvt_v4 *)(p) = (v))
#define EACH_ROW(X) X(0) X(1) X(2) X(3)
#define EACH_HEIGHT(X) X(1) X(2) X(3) X(4)
#endif
#define PART_LOAD(p, n) ((V)part_load(p, n))
#define PART_STORE(p, v, n) part_store(p, (lvt_v4)(v), n)
#define ZIP_LOW 0, 4, 1, 5
#define ZIP_HIGH 2, 6, 3, 7
#include "tile.inc"

int lvt_tile_codes(const lvt_tile_code *list[4]) {
    int n = 0;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
        list[n++] = &code_16;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        list[n++] = &code_8;
#endif
    list[n++] = &code_4;
    return n;
}

const lvt_tile_code *lvt_tile_code_host(void) {
    const lvt_tile_code *list[4];
    (void)lvt_tile_codes(list);
    return list[0];
}
