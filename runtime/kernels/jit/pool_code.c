/* The vector code of pools for every width of vectors that this compiler has, and which of them the processor
 * runs. May not know: kernels, threads. */
#include "pool.h"
#include "runtime/kernels/target.h"

/* What the sum of a window is divided by. */
static inline double elements(const lvt_pool *p, int64_t rows, int64_t columns) {
    return (double)(p->include_padding ? p->kernel[0] * p->kernel[1] : rows * columns);
}

#if defined(__x86_64__)

LVT_BEGIN_TARGET("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")
#define NAME(x) x##_16
#define LANES 16
#define HALF 8
#include "pool.inc"
LVT_END_TARGET

LVT_BEGIN_TARGET("avx2,fma")
#define NAME(x) x##_8
#define LANES 8
#define HALF 4
#include "pool.inc"
LVT_END_TARGET

#endif

#define NAME(x) x##_4
#define LANES 4
#define HALF 2
#include "pool.inc"

#define NAME(x) x##_1
#define LANES 1
#define HALF 1
#include "pool.inc"

const lvt_pool_code *lvt_pool_code_for(int64_t n) {
#if defined(__x86_64__)
    if (n >= 16 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
        return &code_16;
    if (n >= 8 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &code_8;
#endif
    return n >= 4 ? &code_4 : &code_1;
}

const lvt_pool_code *lvt_pool_code_strided(void) {
    return &code_1;
}
