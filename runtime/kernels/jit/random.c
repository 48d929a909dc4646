/* The kernel of random_uniform: Philox 4x32-10 (ir/base/philox.h) over counters, many blocks at a time.
 *
 * Layout as in ir/op/random_uniform.c. Invariant: a number depends on key, stream and its place alone, so no
 * bit depends on chunks or threads. May not know: LLVM. */
#include "jit.h"
#include "runtime/kernels/target.h"

#include <stdlib.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

enum {
    BLOCKS = 32,  /* of four numbers, computed together */
    CHUNK = 16384 /* numbers a chunk */
};

typedef struct random_kernel random_kernel;
/* out[0 .. 4 * BLOCKS - 1] from the block with counter `first` on. */
typedef void make_numbers(const uint32_t *key, uint32_t stream, int64_t first, float *out);

struct random_kernel {
    lvt_kernel base;
    make_numbers *numbers;
    uint32_t stream;
    lvt_view to;
    int64_t n, key_step;
    bool dense;
};

#if defined(__x86_64__)

LVT_BEGIN_TARGET("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")
#define NAME(x) x##_8
#define LANES 8
#define MULTIPLY(a, b) (wide_8) _mm512_mul_epu32((__m512i)(a), _mm512_set1_epi64(b))
#define ZIP_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define ZIP_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#include "random.inc"
LVT_END_TARGET

LVT_BEGIN_TARGET("avx2,fma")
#define NAME(x) x##_4
#define LANES 4
#define MULTIPLY(a, b) (wide_4) _mm256_mul_epu32((__m256i)(a), _mm256_set1_epi64x(b))
#define ZIP_LOW 0, 4, 1, 5
#define ZIP_HIGH 2, 6, 3, 7
#include "random.inc"
LVT_END_TARGET

#endif

#if defined(__x86_64__)
#define MULTIPLY(a, b) (wide_2) _mm_mul_epu32((__m128i)(a), _mm_set1_epi64x(b))
#elif defined(__aarch64__)
#define MULTIPLY(a, b) (wide_2) vmull_n_u32(vmovn_u64((uint64x2_t)(a)), b)
#else
#define MULTIPLY(a, b) (((a)&0xffffffffu) * (uint64_t)(b))
#endif
#define NAME(x) x##_2
#define LANES 2
#define ZIP_LOW 0, 2
#define ZIP_HIGH 1, 3
#include "random.inc"

static make_numbers *numbers_host(void) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
        return numbers_8;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return numbers_4;
#endif
    return numbers_2;
}

static int64_t offset_of(const lvt_view *v, int64_t i) {
    int64_t at = 0;
    for (int d = v->type.rank - 1; d >= 0; d--) {
        at += i % v->type.dim[d] * v->strides[d];
        i /= v->type.dim[d];
    }
    return at;
}

static void run_random(const lvt_kernel *base, const lvt_run *r, int round, int64_t chunk, int thread) {
    (void)round;
    (void)thread;
    const random_kernel *k = (const random_kernel *)base;
    const int32_t *from = r->operands[0];
    uint32_t key[2] = {(uint32_t)from[0], (uint32_t)from[k->key_step]};
    float *to = r->results[0], some[4 * BLOCKS];
    int64_t end = (chunk + 1) * CHUNK < k->n ? (chunk + 1) * CHUNK : k->n;
    for (int64_t i = chunk * CHUNK; i < end; i += 4 * BLOCKS) {
        int64_t n = end - i < 4 * BLOCKS ? end - i : 4 * BLOCKS;
        bool straight = k->dense && n == 4 * BLOCKS;
        k->numbers(key, k->stream, i / 4, straight ? to + i : some);
        for (int64_t j = 0; j < n && !straight; j++)
            to[k->dense ? i + j : offset_of(&k->to, i + j)] = some[j];
    }
}

static void random_free(lvt_kernel *base) {
    free(base);
}

lvt_status lvt_random_make(const lvt_kernel_request *r, lvt_kernel **out) {
    const lvt_view *y = &r->results[0];
    random_kernel *k = calloc(1, sizeof *k);
    *out = NULL;
    if (!k)
        return lvt_no_memory(r->diag, NULL);
    k->base = (lvt_kernel){.run = lvt_run_chunks, .free = random_free, .chunk = run_random};
    k->base.threads = r->threads < 1 ? 1 : r->threads;
    k->numbers = numbers_host();
    k->stream = (uint32_t)lvt_attr_get(&r->graph->nodes[r->node], "stream")->i;
    k->to = *y;
    k->n = lvt_numel(&y->type);
    k->key_step = r->operands[0].strides[0];
    int64_t step = 1;
    k->dense = true;
    for (int d = y->type.rank - 1; d >= 0; d--) {
        k->dense = k->dense && (y->type.dim[d] == 1 || y->strides[d] == step);
        step *= y->type.dim[d];
    }
    k->base.rounds[0].n = (k->n + CHUNK - 1) / CHUNK;
    k->base.rounds[0].cost = 4.0 * (double)k->n / (double)k->base.rounds[0].n;
    *out = &k->base;
    return LVT_OK;
}
