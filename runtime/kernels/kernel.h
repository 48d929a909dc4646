/* The interface between the session and the kernel families.
 *
 * Invariants: make() does all that can fail (compile, allocate); run() and prepare() allocate nothing, take
 * no lock, cannot fail, and give the same bits for the same inputs and number of threads. May not know: data
 * sets, the driver. */
#ifndef LVT_KERNELS_KERNEL_H
#define LVT_KERNELS_KERNEL_H

#include "ir/op.h"
#include "ir/program/program.h"
#include "threads.h"

/* How a value lies in memory: its type and strides (elements). The base pointer comes at run time. */
typedef struct lvt_view {
    lvt_type type;
    int64_t strides[LVT_MAX_RANK];
} lvt_view;

typedef struct lvt_kernel lvt_kernel;

/* What run() is given, for kernels of chunks. */
typedef struct lvt_run {
    void *const *operands, *const *results;
    char *scratch;
} lvt_run;
enum { LVT_ROUNDS = 2 };

struct lvt_kernel {
    /* operands and results in node order; scratch has scratch_bytes, 64-byte aligned, contents undefined. */
    void (*run)(lvt_kernel *k, void *const *operands, void *const *results, void *scratch);
    void (*free)(lvt_kernel *k);
    size_t scratch_bytes;
    lvt_variant
        variant; /* the one that was made: the standard one where the library lacks what was asked for */
    /* What a kernel makes of its steady operands lies in kept memory: 64-byte aligned, its own from prepare()
     * on, which comes before the first run and again whenever such an operand may have changed. 0 and NULL:
     * it makes nothing. */
    size_t kept_bytes;
    void (*prepare)(lvt_kernel *k, void *const *operands, void *scratch, void *kept);
    /* Kernels of chunks (chunk not NULL) have lvt_run_chunks as their run(): two rounds, the second (often
     * empty) after the first. The chunks of a round may run in any order on any thread, also beside those of
     * other kernels. thread: 0 .. threads - 1, no two chunks at a time have the same. cost: of one chunk, in
     * element operations. */
    void (*chunk)(const lvt_kernel *k, const lvt_run *r, int round, int64_t chunk, int thread);
    struct {
        int64_t n;
        double cost;
    } rounds[LVT_ROUNDS];
    int threads;
};
void lvt_run_chunks(lvt_kernel *k, void *const *operands, void *const *results, void *scratch); /* bundle.c */

/* What a family needs for making kernels: the session owns oneDNN's context, the program the code
 * generator's. */
typedef struct lvt_kernel_request {
    const lvt_graph *graph;
    lvt_node_id node;
    const lvt_view *operands, *results;
    const bool
        *steady; /* one an operand: the same at every run until prepare() is called again. NULL: none is */
    const bool *unread; /* one a result: nobody reads it, so it need not be computed. NULL: all may be read */
    int threads;        /* size of the team at run time */
    lvt_variant variant;
    lvt_diag *diag;
    lvt_pos at;
} lvt_kernel_request;

/* onednn/ */
typedef struct lvt_onednn lvt_onednn;
lvt_status lvt_onednn_new(lvt_onednn **out, lvt_diag *diag);
void lvt_onednn_free(lvt_onednn *c);
/* Without a word, from any thread; LVT_OK and *out NULL when oneDNN has no kernel for the node. */
lvt_status lvt_onednn_try(lvt_onednn *c, const lvt_kernel_request *r, lvt_kernel **out);
/* With messages; where oneDNN has none, the interpreter's kernel. */
lvt_status lvt_onednn_make(lvt_onednn *c, const lvt_kernel_request *r, lvt_kernel **out);

/* vector/: convolutions without oneDNN, which its family offers as a variant. LVT_OK and *out NULL where
 * the channels of an image do not lie together. */
lvt_status lvt_winograd_make(const lvt_kernel_request *r, lvt_kernel **out);
lvt_status lvt_depthwise_make(const lvt_kernel_request *r, lvt_kernel **out);

/* jit/: requests are collected first, compiled together (in parallel, equal ones once, from the cache where
 * possible). */
typedef struct lvt_jit lvt_jit;
/* cache_folder NULL: the user's, "": none. apart: compile in a process of its own. */
lvt_status lvt_jit_new(const char *cache_folder, bool apart, lvt_jit **out, lvt_diag *diag);
/* Takes kernels from a folder that lvt_jit_seal has sealed, before any other. LVT_NOMEM. */
lvt_status lvt_jit_look_in(lvt_jit *j, const char *folder);
/* Marks the cache folder as made for this processor by this version. LVT_IO, LVT_NOMEM. */
lvt_status lvt_jit_seal(lvt_jit *j, lvt_diag *diag);
void lvt_jit_free(lvt_jit *j); /* after all its kernels */
lvt_status lvt_jit_make(lvt_jit *j, size_t n, const lvt_kernel_request *requests, lvt_kernel **out);

/* How much code the last lvt_jit_make compiled and found in the cache, how many kernels shared an equal
 * one's. */
typedef struct lvt_jit_counts {
    uint32_t compiled, cached, shared;
    double compile_seconds;
} lvt_jit_counts;
lvt_jit_counts lvt_jit_last(const lvt_jit *j);

/* interp.c: any node, through the interpreter. */
lvt_status lvt_interp_make(const lvt_kernel_request *r, lvt_kernel **out);

/* collective.c. with: where the session's connection is at run time. */
struct lvt_collective;
lvt_status lvt_collective_make(const struct lvt_collective *const *with, const lvt_kernel_request *r,
                               lvt_kernel **out);

#endif
