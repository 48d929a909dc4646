/* The builder: how parser, ONNX reader, autodiff, passes and C users make nodes.
 *
 * Invariant: a node made here has inferred, checked types. On any error the call reports to b->diag, sets
 * graph->failed and returns LVT_NONE; calls with a LVT_NONE operand return LVT_NONE silently, so
 * straight-line code needs one check at its end. Running out of memory sets graph->no_memory too and is not
 * reported: who gives up says so, once. May not know: passes, kernels. */
#ifndef LVT_IR_BUILD_H
#define LVT_IR_BUILD_H

#include "ir.h"

typedef struct lvt_builder {
    lvt_graph *graph;
    lvt_diag *diag;
    lvt_loc loc; /* given to new nodes */
    lvt_role role;
    lvt_node_id origin; /* LVT_NONE unless role is gradient or update */
} lvt_builder;
lvt_builder lvt_builder_for(lvt_graph *g, lvt_diag *diag);

typedef struct lvt_named_attr {
    const char *name;
    lvt_attr value;
} lvt_named_attr;
lvt_attr lvt_attr_int(int64_t v);
lvt_attr lvt_attr_bool(bool v);
lvt_attr lvt_attr_float(double v);
lvt_attr lvt_attr_string(const char *s);
lvt_attr lvt_attr_dtype(lvt_dtype t);
lvt_attr lvt_attr_ints(const int64_t *v, size_t n); /* not copied until the node is built */
lvt_attr lvt_attr_floats(const double *v, size_t n);

/* The general form: checks arity, fills attribute defaults, converts to the kind the table wants (INT to
 * FLOAT, BOOL or a list of one; INTS to FLOATS; STRING to DTYPE), counts negative `axis` and `axes` from the
 * end of the first operand's dims and sorts `axes`, rejects unknown names (with the nearest), infers types.
 * Returns the first result. */
lvt_value lvt_build(lvt_builder *b, lvt_op op, uint32_t n_operands, const lvt_value *operands,
                    uint32_t n_attrs, const lvt_named_attr *attrs);

/* A node for `body`: as many operands as it has inputs, as many results as outputs. */
lvt_value lvt_build_fused(lvt_builder *b, lvt_graph *body, uint32_t n_operands, const lvt_value *operands);

lvt_value lvt_build_input(lvt_builder *b, const char *name, const lvt_type *type);
/* The `state` node of that state: one per graph, made at the first call. */
lvt_value lvt_build_state(lvt_builder *b, uint32_t state);
lvt_value lvt_build_scalar(lvt_builder *b, lvt_dtype dtype, double value);    /* rank 0 */
lvt_value lvt_build_full(lvt_builder *b, const lvt_type *type, double value); /* constant, broadcast */
lvt_value lvt_build_unary(lvt_builder *b, lvt_op op, lvt_value x);
/* Pointwise with numpy-style broadcasting: inserts `broadcast` nodes where shapes differ. */
lvt_value lvt_build_binary(lvt_builder *b, lvt_op op, lvt_value x, lvt_value y);
lvt_value lvt_build_select(lvt_builder *b, lvt_value condition, lvt_value x, lvt_value y);
lvt_value lvt_build_cast(lvt_builder *b, lvt_value x, lvt_dtype dtype); /* x itself if it has it */
lvt_value lvt_build_broadcast(lvt_builder *b, lvt_value x, int rank,
                              const int64_t *dims); /* x itself if it fits */
lvt_value lvt_build_reshape(lvt_builder *b, lvt_value x, int rank, const int64_t *dims);
lvt_value lvt_build_transpose(lvt_builder *b, lvt_value x,
                              const int64_t *order); /* result dim i = x dim order[i] */
lvt_value lvt_build_slice(lvt_builder *b, lvt_value x, int axis, int64_t begin, int64_t end);
lvt_value lvt_build_concat(lvt_builder *b, uint32_t n, const lvt_value *parts, int axis);
/* op: LVT_OP_reduce_sum, reduce_max, reduce_mean. keep: reduced dims stay as 1. */
lvt_value lvt_build_reduce(lvt_builder *b, lvt_op op, lvt_value x, int n_axes, const int64_t *axes,
                           bool keep);
lvt_value lvt_build_matmul(lvt_builder *b, lvt_value x, lvt_value y, bool transpose_x, bool transpose_y);
/* Sums x over the dims that broadcasting to x's shape from `type` had added or stretched: gradient of
 * broadcast. */
lvt_value lvt_build_unbroadcast(lvt_builder *b, lvt_value x, const lvt_type *type);

#endif
