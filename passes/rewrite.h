/* The frame of a pass that goes through a graph once and builds another: what simplify, fold, cse, dce,
 * decompose and layout have in common.
 *
 * Invariant: nodes are visited in order; after a node was copied or replaced, map holds a value of `out` for
 * each of its results. May not know: any op. */
#ifndef LVT_PASSES_REWRITE_H
#define LVT_PASSES_REWRITE_H

#include "pass.h"

typedef struct lvt_rewrite {
    lvt_pass *ctx;
    const lvt_graph *in;
    lvt_graph *out;
    lvt_value *map;     /* value of in -> value of out */
    lvt_node_id *nodes; /* node of in -> the node of out that took its place */
    lvt_builder b;
} lvt_rewrite;

/* False (reported) when out of memory. */
bool lvt_rewrite_begin(lvt_rewrite *r, lvt_pass *ctx, const lvt_graph *in);
/* Gives the builder the place, role and origin of node n of `in`. */
void lvt_rewrite_at(lvt_rewrite *r, lvt_node_id n);
void lvt_rewrite_copy(lvt_rewrite *r, lvt_node_id n);
/* The results of node n of `in` are these values of `out` (as many as it has results). */
void lvt_rewrite_replace(lvt_rewrite *r, lvt_node_id n, const lvt_value *values);
/* Copies outputs and updates. NULL, reported, when anything had failed. */
lvt_graph *lvt_rewrite_end(lvt_rewrite *r);

/* ---- small questions about nodes, shared by the passes ------------------------------------------------- */

static inline bool lvt_is_op(const lvt_graph *g, lvt_value v, lvt_op op) {
    return v != LVT_NONE && lvt_value_node(g, v)->op == op;
}
static inline bool lvt_is_pointwise(const lvt_node *n) {
    return lvt_op_of(n)->kind == LVT_KIND_POINTWISE;
}
static inline bool lvt_is_reduce(const lvt_node *n) {
    return n->op == LVT_OP_reduce_sum || n->op == LVT_OP_reduce_mean || n->op == LVT_OP_reduce_max;
}
static inline bool lvt_is_view(const lvt_node *n) {
    return lvt_op_of(n)->kind == LVT_KIND_VIEW;
}
/* A constant of that type, all elements x: one node, which the rules know again. */
lvt_value lvt_splat(lvt_builder *b, const lvt_type *t, double x);
/* v is a constant of one value (of any shape): its value in *x. */
bool lvt_is_splat(const lvt_graph *g, lvt_value v, double *x);
/* The vector of so many channels that v repeats along all dims but the last; v itself where nothing is
 * repeated; LVT_NONE when it is no such vector. */
lvt_value lvt_channel_vector(const lvt_graph *g, lvt_value v, int64_t channels);
/* x in that shape; x itself if it has it. */
lvt_value lvt_shaped(lvt_builder *b, lvt_value x, const lvt_type *t);
/* Bit k set: the reduction reduces dim k of its operand. */
uint32_t lvt_reduce_mask(const lvt_graph *g, const lvt_node *n);

/* x of the new graph in that shape, through the reshapes it may come from. */
lvt_value lvt_rewrite_reshape(lvt_rewrite *r, lvt_value x, int rank, const int64_t *dims);

#endif
