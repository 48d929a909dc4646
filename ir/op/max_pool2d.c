/* max_pool2d (x [B,H,W,C]) {kernel, stride, padding}: largest element of each window; stride defaults to the
 * kernel. May not know: anything outside ir. */
#include "common.h"

#include <math.h>

static const lvt_attr_def attrs[] = {LVT_POOL_ATTR_ROWS};

static lvt_status infer(lvt_infer *c) {
    LVT_TRY(lvt_want_float(c, 0));
    LVT_TRY(lvt_want_rank(c, 0, 4, 4));
    return lvt_pool_infer(c, c->operands[0], &c->results[0]);
}

static lvt_status eval(lvt_eval *c) {
    const lvt_type *x = &c->in[0].type, *y = &c->out[0].type;
    lvt_window w = lvt_window_of(c->node);
    int64_t n = lvt_numel(y);
    for (int64_t i = 0; i < n; i++) {
        int64_t at = lvt_pool_max(&w, x, y, c->in[0].data, i);
        c->out[0].data[i] = at < 0 ? -INFINITY : c->in[0].data[at];
    }
    return LVT_OK;
}

static lvt_status grad(lvt_grad *c) {
    lvt_named_attr a[LVT_POOL_ATTRS];
    lvt_same_attrs(c->node, LVT_POOL_ATTRS, a);
    c->doperands[0] = lvt_build(c->b, LVT_OP_max_pool2d_grad, 2,
                                (lvt_value[]){c->dresults[0], c->node->operands[0]}, LVT_POOL_ATTRS, a);
    return LVT_MADE(c->doperands[0]);
}

static lvt_cost cost(const lvt_node *n, const lvt_type *operands, const lvt_type *results) {
    return lvt_pool_cost(n, operands, results, &results[0]);
}

static const char *const samples[] = {
    "f32[2,4,4,3] in -2..2 {kernel = [2, 2]}",
    "f32[1,5,6,2] in -2..2 {kernel = [3, 3], stride = [2, 2], padding = [1, 1, 1, 1]}", NULL};

const lvt_op_def lvt_op_def_max_pool2d = {
    .name = "max_pool2d",
    .kind = LVT_KIND_COMPUTE,
    .min_operands = 1,
    .max_operands = 1,
    .n_results = 1,
    .operands = "x: float [B, H, W, C]",
    .results = "y: float [B, OH, OW, C]",
    .meaning = "largest element of each window; stride: the kernel unless given",
    .attrs = attrs,
    .n_attrs = LVT_COUNT(attrs),
    .infer = infer,
    .grad = grad,
    .eval = eval,
    .cost = cost,
    .samples = samples,
};
