/* reduce_mean {axes, keep}: mean over some dims; no axes: over all.
 * May not know: anything outside ir. */
#include "common.h"

static lvt_status infer(lvt_infer *c) {
    LVT_TRY(lvt_want_float(c, 0));
    return lvt_reduce_infer(c);
}

static void add(double *accumulator, double x) {
    *accumulator += x;
}

static lvt_status eval(lvt_eval *c) {
    double count = lvt_reduce_count(&c->in[0].type, &c->out[0].type);
    int64_t n = lvt_numel(&c->out[0].type);
    lvt_reduce_walk(c, 0, add);
    for (int64_t i = 0; i < n; i++)
        c->out[0].data[i] /= count;
    return LVT_OK;
}

/* Scaled before it is spread: there are fewer elements then. */
static lvt_status grad(lvt_grad *c) {
    const lvt_type *x = lvt_value_type(c->b->graph, c->node->operands[0]);
    const lvt_type *y = lvt_value_type(c->b->graph, c->node->result);
    lvt_value scale = lvt_build_scalar(c->b, (lvt_dtype)x->dtype, 1 / lvt_reduce_count(x, y));
    lvt_value g = lvt_build_binary(c->b, LVT_OP_mul, c->dresults[0], scale);
    c->doperands[0] = lvt_reduce_expand(c->b, c->node, g);
    return LVT_MADE(c->doperands[0]);
}

static const char *const samples[] = {"f32[2,3] in -2..2", "f32[2,3,4] in -2..2 {axes = [0, 2]}",
                                      "f32[2,3,4] in -2..2 {axes = [1], keep = true}",
                                      "f32[3] in -2..2 {axes = [0], keep = true}", NULL};

const lvt_op_def lvt_op_def_reduce_mean = {
    .name = "reduce_mean",
    .kind = LVT_KIND_COMPUTE,
    .min_operands = 1,
    .max_operands = 1,
    .n_results = 1,
    .operands = "x: number",
    .results = "y: number",
    .meaning = "mean over axes, without axes over all; mean(x) calls it",
    .attrs = lvt_reduce_attrs,
    .n_attrs = LVT_REDUCE_ATTRS,
    .infer = infer,
    .grad = grad,
    .eval = eval,
    .cost = lvt_reduce_cost,
    .samples = samples,
};
