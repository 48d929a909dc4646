/* Shared by the rules of pass simplify. A rule gets a node of the old graph, whose operands are simplified
 * already, and returns the value of the new graph that takes its place, or LVT_NONE to leave it. */
#ifndef LVT_PASSES_SIMPLIFY_H
#define LVT_PASSES_SIMPLIFY_H

#include "rewrite.h"

typedef struct lvt_simplify {
    lvt_rewrite r;
    lvt_uses uses; /* of the old graph */
} lvt_simplify;

lvt_value lvt_simplify_matmul(lvt_simplify *s, const lvt_node *n);
/* reduce_sum (of the dims in mask) of a matmul that nobody else reads: the sum joins the inner dimension. */
lvt_value lvt_simplify_summed_matmul(lvt_simplify *s, const lvt_node *n, uint32_t mask);
/* add of two pads with zeros that do not overlap and together fill the result: a concat. */
lvt_value lvt_simplify_joined_pads(lvt_simplify *s, const lvt_node *n);

#endif
