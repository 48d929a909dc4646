/* reduce_sum {axes, keep}: sum over some dims; no axes: over all.
 * May not know: anything outside ir. */
#include "common.h"

static lvt_status infer(lvt_infer *c) {
    LVT_TRY(lvt_want_number(c, 0));
    return lvt_reduce_infer(c);
}

static void add(double *accumulator, double x) {
    *accumulator += x;
}

static lvt_status eval(lvt_eval *c) {
    lvt_reduce_walk(c, 0, add);
    return LVT_OK;
}

static lvt_status grad(lvt_grad *c) {
    c->doperands[0] = lvt_reduce_expand(c->b, c->node, c->dresults[0]);
    return LVT_MADE(c->doperands[0]);
}

static const char *const samples[] = {"f32[2,3] in -2..2",
                                      "f32[2,3,4] in -2..2 {axes = [0, 2]}",
                                      "f32[2,3,4] in -2..2 {axes = [1], keep = true}",
                                      "f32[3] in -2..2 {axes = [0], keep = true}",
                                      "i32[2,3] in -9..9 {axes = [1]}",
                                      NULL};

const lvt_op_def lvt_op_def_reduce_sum = {
    .name = "reduce_sum",
    .kind = LVT_KIND_COMPUTE,
    .min_operands = 1,
    .max_operands = 1,
    .n_results = 1,
    .operands = "x: number",
    .results = "y: number",
    .meaning = "sum over axes, without axes over all; sum(x) calls it",
    .attrs = lvt_reduce_attrs,
    .n_attrs = LVT_REDUCE_ATTRS,
    .infer = infer,
    .grad = grad,
    .eval = eval,
    .cost = lvt_reduce_cost,
    .samples = samples,
};
