/* reduce_max {axes, keep}: largest element over some dims; no axes: over all; NaN where one is NaN. Equal
 * maxima share the gradient. May not know: anything outside ir. */
#include "common.h"

#include <math.h>

static lvt_status infer(lvt_infer *c) {
    LVT_TRY(lvt_want_number(c, 0));
    return lvt_reduce_infer(c);
}

static void larger(double *accumulator, double x) {
    if (x > *accumulator || isnan(x))
        *accumulator = x;
}

static lvt_status eval(lvt_eval *c) {
    lvt_reduce_walk(c, -INFINITY, larger);
    return LVT_OK;
}

static lvt_status grad(lvt_grad *c) {
    lvt_builder *b = c->b;
    lvt_value x = c->node->operands[0];
    lvt_dtype dtype = (lvt_dtype)lvt_value_type(b->graph, x)->dtype;
    lvt_value y = lvt_reduce_expand(b, c->node, c->node->result);
    lvt_value hit = lvt_build_cast(b, lvt_build_binary(b, LVT_OP_eq, x, y), dtype);
    lvt_named_attr attrs[LVT_REDUCE_ATTRS];
    lvt_same_attrs(c->node, LVT_REDUCE_ATTRS, attrs);
    lvt_value count = lvt_build(b, LVT_OP_reduce_sum, 1, &hit, LVT_REDUCE_ATTRS, attrs);
    lvt_value share = lvt_build_binary(b, LVT_OP_div, c->dresults[0], count);
    c->doperands[0] = lvt_build_binary(b, LVT_OP_mul, hit, lvt_reduce_expand(b, c->node, share));
    return LVT_MADE(c->doperands[0]);
}

static const char *const samples[] = {"f32[2,3] in -2..2",
                                      "f32[2,3,4] in -2..2 {axes = [0, 2]}",
                                      "f32[2,3,4] in -2..2 {axes = [1], keep = true}",
                                      "f32[3] in -2..2 {axes = [0], keep = true}",
                                      "i32[2,3] in -9..9 {axes = [1]}",
                                      NULL};

const lvt_op_def lvt_op_def_reduce_max = {
    .name = "reduce_max",
    .kind = LVT_KIND_COMPUTE,
    .min_operands = 1,
    .max_operands = 1,
    .n_results = 1,
    .operands = "x: number",
    .results = "y: number",
    .meaning = "largest element over axes, without axes over all; max(x) calls it",
    .attrs = lvt_reduce_attrs,
    .n_attrs = LVT_REDUCE_ATTRS,
    .infer = infer,
    .grad = grad,
    .eval = eval,
    .cost = lvt_reduce_cost,
    .samples = samples,
};
