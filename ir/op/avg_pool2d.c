/* avg_pool2d (x [B,H,W,C]) {kernel, stride, padding, include_padding}: mean of each window; stride defaults
 * to the kernel. include_padding: padding counts as zeros, else it does not count. May not know: anything
 * outside ir. */
#include "common.h"

static const lvt_attr_def attrs[] = {LVT_POOL_ATTR_ROWS, {"include_padding", LVT_ATTR_BOOL}};

static lvt_status infer(lvt_infer *c) {
    LVT_TRY(lvt_want_float(c, 0));
    LVT_TRY(lvt_want_rank(c, 0, 4, 4));
    return lvt_pool_infer(c, c->operands[0], &c->results[0]);
}

static lvt_status eval(lvt_eval *c) {
    lvt_window w = lvt_window_of(c->node);
    lvt_pool_mean(&w, lvt_int_attr(c->node, "include_padding"), &c->in[0].type, &c->out[0].type,
                  c->in[0].data, c->out[0].data, false);
    return LVT_OK;
}

static lvt_status grad(lvt_grad *c) {
    const lvt_type *x = lvt_value_type(c->b->graph, c->node->operands[0]);
    lvt_named_attr a[LVT_COUNT(attrs) + 2];
    lvt_same_attrs(c->node, LVT_COUNT(attrs), a);
    a[LVT_COUNT(attrs)] = (lvt_named_attr){"height", lvt_attr_int(x->dim[1])};
    a[LVT_COUNT(attrs) + 1] = (lvt_named_attr){"width", lvt_attr_int(x->dim[2])};
    c->doperands[0] = lvt_build(c->b, LVT_OP_avg_pool2d_grad, 1, c->dresults, LVT_COUNT(attrs) + 2, a);
    return LVT_MADE(c->doperands[0]);
}

static lvt_cost cost(const lvt_node *n, const lvt_type *operands, const lvt_type *results) {
    return lvt_pool_cost(n, operands, results, &results[0]);
}

static const char *const samples[] = {
    "f32[2,4,4,3] in -2..2 {kernel = [2, 2]}",
    "f32[1,5,6,2] in -2..2 {kernel = [3, 3], stride = [2, 2], padding = [1, 1, 1, 1]}",
    "f32[1,5,6,2] in -2..2 {kernel = [3, 2], stride = [1, 2], padding = [1, 1, 0, 1], include_padding = "
    "true}",
    NULL};

const lvt_op_def lvt_op_def_avg_pool2d = {
    .name = "avg_pool2d",
    .kind = LVT_KIND_COMPUTE,
    .min_operands = 1,
    .max_operands = 1,
    .n_results = 1,
    .operands = "x: float [B, H, W, C]",
    .results = "y: float [B, OH, OW, C]",
    .meaning =
        "mean of each window; stride: the kernel unless given; include_padding: padding counts as zeros",
    .attrs = attrs,
    .n_attrs = LVT_COUNT(attrs),
    .infer = infer,
    .grad = grad,
    .eval = eval,
    .cost = cost,
    .samples = samples,
};
