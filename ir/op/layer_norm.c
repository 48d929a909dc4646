/* layer_norm (x [...,C], gamma [C], beta [C]) {eps}: (x - mean) / sqrt(var + eps) * gamma + beta with mean
 * and biased variance over the last dim. May not know: anything outside ir. */
#include "common.h"

#include <math.h>

static const lvt_attr_def attrs[] = {{"eps", LVT_ATTR_FLOAT, .value = 1e-5}};

static lvt_status infer(lvt_infer *c) {
    const lvt_type *x = &c->operands[0];
    char text[LVT_TYPE_TEXT];
    LVT_TRY(lvt_want_float(c, 0));
    LVT_TRY(lvt_want_same_dtype(c));
    LVT_TRY(lvt_want_rank(c, 0, 1, LVT_MAX_RANK));
    lvt_type row = lvt_type_make((lvt_dtype)x->dtype, 1, &x->dim[x->rank - 1]);
    for (int k = 1; k < 3; k++)
        if (!lvt_type_equal(&c->operands[k], &row))
            return lvt_infer_error(c, "E203", "%s must have one element for each of %lld channels, not %s",
                                   k == 1 ? "gamma" : "beta", (long long)row.dim[0],
                                   lvt_type_text(&c->operands[k], text));
    if (!(lvt_float_attr(c->node, "eps") >= 0))
        return lvt_infer_error(c, "E207", "eps must be 0 or more, not %g", lvt_float_attr(c->node, "eps"));
    c->results[0] = *x;
    return LVT_OK;
}

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
    lvt_value eps = lvt_build_scalar(b, (lvt_dtype)t->dtype, lvt_float_attr(node, "eps"));
    *rstd = lvt_build_unary(b, LVT_OP_rsqrt, lvt_build_binary(b, LVT_OP_add, var, eps));
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

static lvt_cost cost(const lvt_node *n, const lvt_type *operands, const lvt_type *results) {
    (void)n;
    return (lvt_cost){7 * (double)lvt_numel(&operands[0]),
                      (double)lvt_type_bytes(&operands[0]) + (double)lvt_type_bytes(&results[0])};
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
    .attrs = attrs,
    .n_attrs = LVT_COUNT(attrs),
    .infer = infer,
    .grad = grad,
    .eval = eval,
    .decompose = decompose,
    .cost = cost,
    .samples = samples,
};
