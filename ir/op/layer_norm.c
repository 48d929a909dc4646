/* layer_norm (x [...,C], gamma [C], beta [C]) {eps}: (x - mean) / sqrt(var + eps) * gamma + beta with mean
 * and biased variance over the last dim. May not know: anything outside ir. */
#include "common.h"

#include <math.h>

static lvt_status eval(lvt_eval *c) {
    const double *gamma = c->in[1].data, *beta = c->in[2].data;
    int64_t n = c->in[1].type.dim[0], rows = lvt_numel(&c->in[0].type) / n;
    double eps = lvt_float_attr(c->node, "eps");
    for (int64_t i = 0; i < rows; i++) {
        const double *x = c->in[0].data + i * n;
        double mean = 0, var = 0;
        for (int64_t k = 0; k < n; k++)
            mean += x[k];
        mean /= (double)n;
        for (int64_t k = 0; k < n; k++)
            var += (x[k] - mean) * (x[k] - mean);
        var /= (double)n;
        for (int64_t k = 0; k < n; k++)
            c->out[0].data[i * n + k] = (x[k] - mean) / sqrt(var + eps) * gamma[k] + beta[k];
    }
    return LVT_OK;
}

/* (x - mean) / sqrt(var + eps), and 1 / sqrt(var + eps) with the last dim 1 */
static lvt_value normalised(lvt_builder *b, const lvt_node *node, lvt_value x, lvt_value *rstd) {
    const lvt_type *t = lvt_value_type(b->graph, x);
    int64_t axis = t->rank - 1;
    lvt_value mean = lvt_build_reduce(b, LVT_OP_reduce_mean, x, 1, &axis, true);
    lvt_value d = lvt_build_binary(b, LVT_OP_sub, x, mean);
    lvt_value var =
        lvt_build_reduce(b, LVT_OP_reduce_mean, lvt_build_binary(b, LVT_OP_mul, d, d), 1, &axis, true);
    *rstd = lvt_norm_rstd(b, node, var);
    return lvt_build_binary(b, LVT_OP_mul, d, *rstd);
}

static lvt_status decompose(lvt_builder *b, const lvt_node *node, const lvt_value *operands,
                            lvt_value *results) {
    lvt_value rstd, xhat = normalised(b, node, operands[0], &rstd);
    results[0] =
        lvt_build_binary(b, LVT_OP_add, lvt_build_binary(b, LVT_OP_mul, xhat, operands[1]), operands[2]);
    return LVT_MADE(results[0]);
}

/* With h = dy * gamma: dx = rstd * (h - mean(h) - xhat * mean(h * xhat)), dgamma = sum(dy * xhat), dbeta =
 * sum(dy) (Ba, Kiros and Hinton 2016). The statistics are cheaper to make again than to keep. */
static lvt_status grad(lvt_grad *c) {
    lvt_builder *b = c->b;
    lvt_value x = c->node->operands[0], gamma = c->node->operands[1], dy = c->dresults[0], rstd;
    lvt_value xhat = normalised(b, c->node, x, &rstd);
    lvt_type row = *lvt_value_type(b->graph, gamma);
    int64_t axis = lvt_value_type(b->graph, x)->rank - 1;
    if (c->wants[0]) {
        lvt_value h = lvt_build_binary(b, LVT_OP_mul, dy, gamma);
        lvt_value m1 = lvt_build_reduce(b, LVT_OP_reduce_mean, h, 1, &axis, true);
        lvt_value hx = lvt_build_binary(b, LVT_OP_mul, h, xhat);
        lvt_value m2 = lvt_build_reduce(b, LVT_OP_reduce_mean, hx, 1, &axis, true);
        lvt_value dx = lvt_build_binary(b, LVT_OP_sub, h, m1);
        dx = lvt_build_binary(b, LVT_OP_sub, dx, lvt_build_binary(b, LVT_OP_mul, xhat, m2));
        c->doperands[0] = lvt_build_binary(b, LVT_OP_mul, dx, rstd);
        LVT_TRY(LVT_MADE(c->doperands[0]));
    }
    if (c->wants[1]) {
        c->doperands[1] = lvt_build_unbroadcast(b, lvt_build_binary(b, LVT_OP_mul, dy, xhat), &row);
        LVT_TRY(LVT_MADE(c->doperands[1]));
    }
    if (c->wants[2]) {
        c->doperands[2] = lvt_build_unbroadcast(b, dy, &row);
        LVT_TRY(LVT_MADE(c->doperands[2]));
    }
    return LVT_OK;
}

static const char *const samples[] = {"f32[6,3] in -2..2, f32[3] in 0.5..2, f32[3] in -1..1",
                                      "f32[2,3,4] in -2..2, f32[4] in 0.5..2, f32[4] in -1..1 {eps = 0.001}",
                                      "f32[5] in -2..2, f32[5] in 0.5..2, f32[5] in -1..1", NULL};

const lvt_op_def lvt_op_def_layer_norm = {
    .name = "layer_norm",
    .kind = LVT_KIND_COMPUTE,
    .min_operands = 3,
    .max_operands = 3,
    .n_results = 1,
    .operands = "x: float [..., C], gamma: float [C], beta: float [C]",
    .results = "y: float [..., C]",
    .meaning = "(x - mean) / sqrt(var + eps) * gamma + beta over the last dim; var is biased",
    .attrs = lvt_norm_attrs,
    .n_attrs = LVT_NORM_ATTRS,
    .infer = lvt_norm_infer,
    .grad = grad,
    .eval = eval,
    .decompose = decompose,
    .cost = lvt_norm_cost,
    .samples = samples,
};
