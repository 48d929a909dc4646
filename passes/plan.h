/* What the passes from layout on share: the plan under construction.
 *
 * Invariant: ctx->plan->places has one entry a value of ctx->plan->graph once layout ran. Until pass plan, a
 * place says only where the value lies relative to its root: kind is LVT_PLACE_NOWHERE for a value with
 * memory of its own, offset 0. May not know: kernels. */
#ifndef LVT_PASSES_PLAN_H
#define LVT_PASSES_PLAN_H

#include "pass.h"

/* Row-major strides of a type. */
void lvt_strides_dense(const lvt_type *t, int64_t strides[LVT_MAX_RANK]);
bool lvt_strides_equal(const lvt_type *t, const int64_t *a,
                       const int64_t *b); /* dims of size 1 do not count */
/* Bytes from the first to past the last element. */
uint64_t lvt_strides_span(const lvt_type *t, const int64_t *strides);

/* Strides of the same elements in the same order under another shape; false when no strides can say it. */
bool lvt_strides_reshape(const lvt_type *from, const int64_t *strides, const lvt_type *to,
                         int64_t result[LVT_MAX_RANK]);
/* The consumer can read operand k lying like this. */
bool lvt_reads_strides(const lvt_graph *g, lvt_node_id n, uint32_t k, const int64_t *strides);
/* Strides and offset (bytes) of a view node's result, given those of its operand. False: it cannot be a view
 * (a reshape of something whose dims are not adjacent). */
bool lvt_view_place(const lvt_graph *g, const lvt_node *n, const lvt_place *operand, lvt_place *result);

/* roots[v]: the value whose memory v lies in; v itself where it is no view. In `arena`; NULL when out of
 * memory. */
lvt_value *lvt_plan_roots(const lvt_graph *g, lvt_arena *arena);

/* steady[v]: the value is the same at every run while no state changes. */
void lvt_find_steady(const lvt_graph *g, bool *steady);
/* choose.c: whether its rule would run the convolution by Winograd; false for all other nodes and with
 * --exact. */
bool lvt_rule_wants_winograd(const lvt_pass *ctx, const lvt_graph *g, lvt_node_id id);

/* The plan as comment lines of IR text, for dumps and golden tests. Prints what is there so far. */
void lvt_plan_print(const lvt_plan *p, lvt_text *out);
/* A compiled program of the module and its plans (both in the module's arena), with its hash. NULL: out of
 * memory. */
lvt_compiled *lvt_plan_program(lvt_module *m, lvt_plan *plans);
/* Frees the program but not the module. */
void lvt_plan_program_drop(lvt_compiled *p);

#endif
