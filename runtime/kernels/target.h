/* Functions between LVT_BEGIN_TARGET("avx2,fma") and LVT_END_TARGET are compiled for a processor with these extensions:
 * each compiler has its own words for it. Which of them runs is asked at run time. May not know: kernels. */
#ifndef LVT_KERNELS_TARGET_H
#define LVT_KERNELS_TARGET_H

#define LVT_PRAGMA(...) _Pragma(#__VA_ARGS__)
#if defined(__clang__)
#define LVT_BEGIN_TARGET(names)                                                                              \
    LVT_PRAGMA(clang attribute push(__attribute__((target(names))), apply_to = function))
#define LVT_END_TARGET LVT_PRAGMA(clang attribute pop)
#else
#define LVT_BEGIN_TARGET(names) LVT_PRAGMA(GCC push_options) LVT_PRAGMA(GCC target(names))
#define LVT_END_TARGET LVT_PRAGMA(GCC pop_options)
#endif

#endif
