/* Memory of sessions: mappings, and copies between strided and packed elements.
 *
 * Invariant: memory handed out is zeroed and aligned to at least 64 bytes. May not know: programs, kernels. */
#ifndef LVT_KERNELS_MEMORY_H
#define LVT_KERNELS_MEMORY_H

#include "ir/ir.h"

typedef struct lvt_block { /* one mapping, zeroed, 2 MiB aligned when large */
    void *base;
    size_t bytes;
} lvt_block;

/* Maps zeroed memory, in large pages where the system grants them. 0 bytes are as 1: what is empty has an
 * address too, to which offsets of 0 can be added. */
bool lvt_block_map(lvt_block *b, size_t bytes);
void lvt_block_unmap(lvt_block *b);
void lvt_block_drop(lvt_block *b); /* gives its pages back: the block stays where it is, zeroed */
/* True when strides are those of packed row-major elements (dims of size 1 do not matter). */
bool lvt_strides_packed(const lvt_type *t, const int64_t *strides);
/* Elements from the base to one past the last that the strides reach. */
int64_t lvt_strides_extent(const lvt_type *t, const int64_t *strides);
void lvt_strides_of(const lvt_type *t, int64_t *strides); /* packed row-major */
/* Copies strided elements to packed ones and back. */
void lvt_gather_packed(const lvt_type *t, const int64_t *strides, const void *strided, void *packed);
void lvt_scatter_packed(const lvt_type *t, const int64_t *strides, const void *packed, void *strided);

#endif
