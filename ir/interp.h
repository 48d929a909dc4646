/* The reference interpreter: the oracle that kernels, passes and gradients are compared with. Clear, not
 * fast. Every value is held as doubles; in LVT_PRECISION_F32 each result is rounded to its element type after
 * the op, in LVT_PRECISION_F64 f32 and bf16 results keep double precision. May not know: plans, kernels. */
#ifndef LVT_IR_INTERP_H
#define LVT_IR_INTERP_H

#include "op.h"

typedef enum lvt_precision { LVT_PRECISION_F32, LVT_PRECISION_F64 } lvt_precision;

/* Evaluates one node; out[k].data must have room (types are the node's result types). */
lvt_status lvt_eval_node(const lvt_graph *g, lvt_node_id n, const lvt_tensor *in, lvt_tensor *out,
                         lvt_precision precision, lvt_diag *diag);

/* Called after each node with its results; returning anything but LVT_OK stops the run. */
typedef lvt_status (*lvt_interp_watch)(void *user, const lvt_graph *g, lvt_node_id n,
                                       const lvt_tensor *results);

/* Runs a graph. inputs: n_inputs tensors of the inputs' types. states: one tensor for every state of the
 * module (data may be NULL where the graph does not touch it); updates are written back into them at the end.
 * outputs: n_outputs tensors, data allocated by the caller, or NULL. Values are freed after their last use.
 */
lvt_status lvt_interp_run(const lvt_graph *g, const lvt_tensor *inputs, lvt_tensor *states,
                          lvt_tensor *outputs, lvt_precision precision, lvt_interp_watch watch, void *user,
                          lvt_diag *diag);

/* Conversions between packed elements of the dtype and doubles. */
void lvt_tensor_load(lvt_tensor *t, const void *packed);
void lvt_tensor_store(const lvt_tensor *t, void *packed);
double lvt_round_to(lvt_dtype dtype, double x);

#endif
