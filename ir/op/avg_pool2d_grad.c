/* avg_pool2d_grad (dy) {as avg_pool2d, height, width}: each window spreads its gradient evenly over its
 * elements. May not know: anything outside ir. */
#include "common.h"

#include <string.h>

static const lvt_attr_def attrs[] = {LVT_POOL_ATTR_ROWS,
                                     {"include_padding", LVT_ATTR_BOOL},
                                     {"height", LVT_ATTR_INT, .required = true},
                                     {"width", LVT_ATTR_INT, .required = true}};

static lvt_status infer(lvt_infer *c) {
    char text[LVT_TYPE_TEXT], other[LVT_TYPE_TEXT];
    LVT_TRY(lvt_want_float(c, 0));
    LVT_TRY(lvt_want_rank(c, 0, 4, 4));
    lvt_type x = c->operands[0], y;
    x.dim[1] = lvt_int_attr(c->node, "height");
    x.dim[2] = lvt_int_attr(c->node, "width");
    if (x.dim[1] < 1 || x.dim[2] < 1 || x.dim[1] > LVT_MAX_DIM || x.dim[2] > LVT_MAX_DIM)
        return lvt_infer_error(c, "E207", "height and width must be 1 or more, not %lld and %lld",
                               (long long)x.dim[1], (long long)x.dim[2]);
    LVT_TRY(lvt_pool_infer(c, x, &y));
    if (!lvt_type_equal(&y, &c->operands[0]))
        return lvt_infer_error(c, "E203", "the gradient is %s, the pooled tensor %s",
                               lvt_type_text(&c->operands[0], text), lvt_type_text(&y, other));
    c->results[0] = x;
    return LVT_OK;
}

static lvt_status eval(lvt_eval *c) {
    lvt_window w = lvt_window_of(c->node);
    memset(c->out[0].data, 0, (size_t)lvt_numel(&c->out[0].type) * sizeof(double));
    lvt_pool_mean(&w, lvt_int_attr(c->node, "include_padding"), &c->out[0].type, &c->in[0].type,
                  c->out[0].data, c->in[0].data, true);
    return LVT_OK;
}

static lvt_status grad(lvt_grad *c) {
    lvt_named_attr a[LVT_POOL_ATTRS + 1];
    lvt_same_attrs(c->node, LVT_POOL_ATTRS + 1, a);
    c->doperands[0] = lvt_build(c->b, LVT_OP_avg_pool2d, 1, c->dresults, LVT_POOL_ATTRS + 1, a);
    return LVT_MADE(c->doperands[0]);
}

static lvt_cost cost(const lvt_node *n, const lvt_type *operands, const lvt_type *results) {
    return lvt_pool_cost(n, operands, results, &operands[0]);
}

static const char *const samples[] = {
    "f32[2,2,2,3] in -2..2 {kernel = [2, 2], height = 4, width = 4}",
    "f32[1,3,3,2] in -2..2 {kernel = [3, 3], stride = [2, 2], padding = [1, 1, 1, 1], height = 5, width = 6}",
    NULL};

const lvt_op_def lvt_op_def_avg_pool2d_grad = {
    .name = "avg_pool2d_grad",
    .kind = LVT_KIND_COMPUTE,
    .min_operands = 1,
    .max_operands = 1,
    .n_results = 1,
    .operands = "dy: float [B, OH, OW, C]",
    .results = "dx: float [B, height, width, C]",
    .meaning = "gradient of avg_pool2d: spread evenly over each window",
    .attrs = attrs,
    .n_attrs = LVT_COUNT(attrs),
    .infer = infer,
    .grad = grad,
    .eval = eval,
    .cost = cost,
    .samples = samples,
};
