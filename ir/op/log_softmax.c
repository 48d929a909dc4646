/* log_softmax {axis = -1}: x - max - log(sum(exp(x - max))) along the axis.
 * May not know: anything outside ir. */
#include "common.h"

#include <math.h>

static void log_softmax_row(const double *x, double *y, int64_t n, int64_t step) {
    double largest = -INFINITY, sum = 0;
    for (int64_t k = 0; k < n; k++)
        largest = fmax(largest, x[k * step]);
    for (int64_t k = 0; k < n; k++)
        sum += exp(x[k * step] - largest);
    for (int64_t k = 0; k < n; k++)
        y[k * step] = x[k * step] - largest - log(sum);
}

static lvt_status eval(lvt_eval *c) {
    lvt_eval_lines(c, log_softmax_row);
    return LVT_OK;
}

static lvt_status decompose(lvt_builder *b, const lvt_node *node, const lvt_value *operands,
                            lvt_value *results) {
    int64_t axis = lvt_axis_of(node, lvt_value_type(b->graph, operands[0])->rank);
    lvt_value largest = lvt_build_reduce(b, LVT_OP_reduce_max, operands[0], 1, &axis, true);
    lvt_value shifted = lvt_build_binary(b, LVT_OP_sub, operands[0], largest);
    lvt_value e = lvt_build_unary(b, LVT_OP_exp, shifted);
    lvt_value sum = lvt_build_reduce(b, LVT_OP_reduce_sum, e, 1, &axis, true);
    results[0] = lvt_build_binary(b, LVT_OP_sub, shifted, lvt_build_unary(b, LVT_OP_log, sum));
    return LVT_MADE(results[0]);
}

/* dx = g - exp(y) * sum(g) */
static lvt_status grad(lvt_grad *c) {
    lvt_builder *b = c->b;
    lvt_value y = c->node->result, g = c->dresults[0];
    int64_t axis = lvt_axis_of(c->node, lvt_value_type(b->graph, y)->rank);
    lvt_value sum = lvt_build_reduce(b, LVT_OP_reduce_sum, g, 1, &axis, true);
    lvt_value p = lvt_build_unary(b, LVT_OP_exp, y);
    c->doperands[0] = lvt_build_binary(b, LVT_OP_sub, g, lvt_build_binary(b, LVT_OP_mul, p, sum));
    return LVT_MADE(c->doperands[0]);
}

const lvt_op_def lvt_op_def_log_softmax = {
    .name = "log_softmax",
    .kind = LVT_KIND_COMPUTE,
    .min_operands = 1,
    .max_operands = 1,
    .n_results = 1,
    .operands = "x: float",
    .results = "y: float",
    .meaning = "logarithm of softmax along an axis",
    .attrs = lvt_axis_attrs,
    .n_attrs = LVT_AXIS_ATTRS,
    .infer = lvt_infer_along_axis,
    .grad = grad,
    .eval = eval,
    .decompose = decompose,
    .samples = lvt_axis_samples,
};
