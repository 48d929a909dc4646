/* The loop nest of a fused node: a request's body placed on loops, which the code generator's module turns into code.
 *
 * May not know: LLVM, caches. */
#ifndef LVT_KERNELS_JIT_NEST_H
#define LVT_KERNELS_JIT_NEST_H

#include "ir/loop.h"
#include "machine.h"
#include "runtime/kernels/kernel.h"

enum {
    LVT_NEST_UNROLL = 4, /* vectors in flight: hides the latency of an add or a multiply-add */
    LVT_NEST_FLAT = 256, /* rows of up to so many elements stay in registers */
    LVT_NEST_HOIST = 8
};

/* How operands, results, iotas and accumulators move with the loops: elements a step of each loop. */
typedef struct lvt_stream {
    uint8_t dtype;
    int64_t stride[LVT_MAX_RANK];
} lvt_stream;

typedef struct lvt_acc { /* a reduction that is only returned; its sums over a part of the domain live in a
                            partial */
    lvt_node_id node;
    uint32_t output;
    uint8_t op;        /* reduce_sum, reduce_max, reduce_mean */
    uint8_t dtype;     /* of the accumulator: f32, f64 or i32 */
    bool row_constant; /* adds one value a row */
    lvt_stream at;
    int64_t numel, per_k; /* elements in all, elements that one step of the grid owns */
    double count;         /* elements that one result takes in */
    size_t offset;        /* in a partial, bytes */
} lvt_acc;

typedef struct lvt_nest {
    lvt_loop loop;
    const lvt_graph *body;
    int n_dims; /* merged loops, outermost first; at least one */
    int64_t dim[LVT_MAX_RANK];
    int row;       /* the first loop that belongs to the row; the last loop is vectorised */
    bool phased;   /* there are row reductions */
    uint8_t *vary; /* by value: set of loops along which it varies */
    lvt_stream *operands, *results, *iotas; /* by body input, by output, by node */
    lvt_acc *accs;
    uint32_t n_accs;
    size_t partial_bytes; /* of one partial: all accumulators */

    /* The chunks: steps of `grid` outer loops taken together as one index k, and the next loop (index s).
     * Accumulators never reduce grid loops, so only the s direction needs several partials. */
    int grid;
    int64_t k_total, k_step, k_chunks, s_total, s_step, s_chunks;
    double chunk_work; /* element operations of a chunk */

    int width; /* lanes */
    bool flat; /* rows are unrolled completely and held in registers */
    int rows;  /* rows taken together (column sums: fewer passes over the accumulators) */
    lvt_value hoist[LVT_NEST_HOIST]; /* values of the inner loop alone, computed once a chunk into a buffer */
    int n_hoist;
    size_t hoist_bytes; /* of one buffer */
    char *key;          /* canonical text: equal for equal code */
} lvt_nest;

/* The nest of a fused node; everything is in `arena`. LVT_USER with a message when the body is not in loop
 * form. */
lvt_status lvt_nest_make(lvt_nest *n, const lvt_kernel_request *r, const lvt_machine *m, lvt_arena *arena);

static inline bool lvt_nest_uniform(const lvt_nest *n, lvt_value v) { /* constant along the row */
    return (n->vary[v] >> n->row) == 0;
}

/* What the code of a nest is called with. buffer: hoist_bytes * n_hoist, 64-byte aligned. */
typedef void (*lvt_nest_code)(void *const *operands, void *const *results, void *partial, void *buffer,
                              int64_t k_begin, int64_t k_end, int64_t s_begin, int64_t s_end);

#endif
