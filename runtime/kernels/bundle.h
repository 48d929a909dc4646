/* Kernels of chunks, several in one parallel region.
 *
 * Invariant: the bits are those of each kernel alone. May not know: what a kernel computes, plans. */
#ifndef LVT_KERNELS_BUNDLE_H
#define LVT_KERNELS_BUNDLE_H

#include "kernel.h"

typedef struct lvt_bundle lvt_bundle;
/* Kernels that run in one parallel region; all is in `arena`, `kernels` is kept. *out is NULL when one of
 * them does not consist of chunks. False: out of memory. */
bool lvt_bundle_make(lvt_kernel **kernels, uint32_t n, int threads, lvt_arena *arena, lvt_bundle **out);
size_t lvt_bundle_scratch(const lvt_bundle *b);
/* What part of the bundle's work a kernel has: for profiles, since nobody can time it inside. */
double lvt_bundle_share(const lvt_bundle *b, uint32_t kernel);
/* operands, results: one table a kernel. */
void lvt_bundle_run(const lvt_bundle *b, void **const *operands, void **const *results, void *scratch);

#endif
