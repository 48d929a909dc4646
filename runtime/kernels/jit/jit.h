/* What the files of the family share: what is compiled, building, kernels that move elements.
 *
 * nest.c turns a request into a lvt_nest, the code generator's module (codegen.h) that into an object,
 * image.c makes objects callable, cache.c keeps images, jit.c drives them and runs kernels, move.c holds the
 * kernels that only move elements. May not know: sessions, plans, other families. */
#ifndef LVT_KERNELS_JIT_JIT_H
#define LVT_KERNELS_JIT_JIT_H

#include "cache.h"
#include "image.h"
#include "machine.h"
#include "nest.h"

/* ---- what is compiled */

typedef enum lvt_source_kind { LVT_SOURCE_NEST, LVT_SOURCE_ATTENTION } lvt_source_kind;
typedef struct lvt_source_code {
    const char *key; /* canonical text: equal for equal code */
    lvt_source_kind kind;
    const void *of; /* lvt_nest or lvt_attention; lives as long as the kernel */
} lvt_source_code;

/* What kernels that run generated code begin with. */
typedef struct lvt_jit_kernel {
    lvt_kernel base;
    lvt_source_code source;
    lvt_nest_code entry; /* set by lvt_jit_make */
} lvt_jit_kernel;

/* attention.c: the kernels of attention and attention_grad, but for their code. *out is what there is to
 * free, on failure too, or NULL. */
lvt_status lvt_attention_make(const lvt_kernel_request *r, const lvt_machine *m, lvt_jit_kernel **out);

/* ---- building (build.c) */

typedef struct lvt_build_item { /* a kernel that needs code */
    const lvt_source_code *source;
    char symbol[LVT_CACHE_NAME + 4];
    lvt_object image; /* without data: to be compiled */
    char *why;        /* malloc'ed, when it failed */
    lvt_status status;
} lvt_build_item;
/* Compiles compile[0..n-1] of the list into images, which go to the cache too. apart: in a process of its
 * own. A result that is not LVT_OK (and *why, malloc'ed or NULL) is about all of them, each has its own
 * status too. */
lvt_status lvt_build_images(const lvt_machine *m, lvt_cache *cache, int threads, bool apart,
                            lvt_build_item *list, size_t n, const uint32_t *compile, char **why);

/* ---- kernels that move elements (move.c) */

/* copy, gather, gather_grad, concat, pad, one_hot, argmax. */
lvt_status lvt_move_make(const lvt_kernel_request *r, lvt_kernel **out);
/* out[r * out_step + c] = in[r + c * in_step] for r < rows, c < columns, elements of `size` bytes. */
void lvt_move_turn(size_t size, const char *in, int64_t in_step, char *out, int64_t out_step, int64_t rows,
                   int64_t columns);

/* pool.c: max_pool2d, avg_pool2d and their gradients, f32. random.c: random_uniform. */
lvt_status lvt_pool_make(const lvt_kernel_request *r, lvt_kernel **out);
lvt_status lvt_random_make(const lvt_kernel_request *r, lvt_kernel **out);

#endif
