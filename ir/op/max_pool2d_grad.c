/* max_pool2d_grad (dy, x) {as max_pool2d}: each window sends its gradient to its first largest element.
 * May not know: anything outside ir. */
#include "common.h"

#include <math.h>
#include <string.h>

static const lvt_attr_def attrs[] = {LVT_POOL_ATTR_ROWS};

static lvt_status infer(lvt_infer *c) {
    char text[LVT_TYPE_TEXT], other[LVT_TYPE_TEXT];
    lvt_type y;
    LVT_TRY(lvt_want_float(c, 1));
    LVT_TRY(lvt_want_same_dtype(c));
    LVT_TRY(lvt_want_rank(c, 1, 4, 4));
    LVT_TRY(lvt_pool_infer(c, c->operands[1], &y));
    if (!lvt_type_equal(&y, &c->operands[0]))
        return lvt_infer_error(c, "E203", "the gradient is %s, the pooled tensor %s",
                               lvt_type_text(&c->operands[0], text), lvt_type_text(&y, other));
    c->results[0] = c->operands[1];
    return LVT_OK;
}

static lvt_status eval(lvt_eval *c) {
    const lvt_type *y = &c->in[0].type, *x = &c->in[1].type;
    lvt_window w = lvt_window_of(c->node);
    int64_t n = lvt_numel(y);
    memset(c->out[0].data, 0, (size_t)lvt_numel(x) * sizeof(double));
    for (int64_t i = 0; i < n; i++) {
        int64_t at = lvt_pool_max(&w, x, y, c->in[1].data, i);
        if (at >= 0)
            c->out[0].data[at] += c->in[0].data[i];
    }
    return LVT_OK;
}

/* Tap (ky, kx) of all windows at once: [B,OH,OW,C]; `value` stands in the padding. */
static lvt_value tap_of(lvt_builder *b, const lvt_node *node, lvt_value x, int tap, double value) {
    lvt_window w = lvt_window_of(node);
    lvt_type y = *lvt_value_type(b->graph, node->operands[0]);
    int64_t k[2] = {tap / w.kernel[1], tap % w.kernel[1]};
    for (int d = 0; d < 2; d++) {
        lvt_named_attr pad[] = {{"axis", lvt_attr_int(1 + d)},
                                {"before", lvt_attr_int(w.padding[d])},
                                {"after", lvt_attr_int(w.padding[d + 2])},
                                {"value", lvt_attr_float(value)}};
        lvt_named_attr slice[] = {{"axis", lvt_attr_int(1 + d)},
                                  {"begin", lvt_attr_int(k[d])},
                                  {"end", lvt_attr_int(k[d] + (y.dim[1 + d] - 1) * w.stride[d] + 1)},
                                  {"step", lvt_attr_int(w.stride[d])}};
        x = lvt_build(b, LVT_OP_pad, 1, &x, 4, pad);
        x = lvt_build(b, LVT_OP_slice, 1, &x, 4, slice);
    }
    return x;
}

/* For dy: what the first largest element of each window receives. The place does not depend on x where it is
 * differentiable, so nothing flows to x. Walks the taps backwards: an earlier hit replaces a later one. */
static lvt_status grad(lvt_grad *c) {
    if (!c->wants[0])
        return LVT_OK;
    lvt_window w = lvt_window_of(c->node);
    int taps = (int)(w.kernel[0] * w.kernel[1]);
    lvt_value x = c->node->operands[1], result = LVT_NONE;
    lvt_named_attr a[LVT_POOL_ATTRS];
    lvt_same_attrs(c->node, LVT_POOL_ATTRS, a);
    lvt_value largest = lvt_build(c->b, LVT_OP_max_pool2d, 1, &x, LVT_POOL_ATTRS, a);
    for (int t = taps - 1; t >= 0; t--) {
        lvt_value hit = lvt_build_binary(c->b, LVT_OP_eq, tap_of(c->b, c->node, x, t, -INFINITY), largest);
        lvt_value g = tap_of(c->b, c->node, c->dresults[0], t, 0);
        if (result == LVT_NONE)
            result = lvt_build_full(c->b, lvt_value_type(c->b->graph, c->node->operands[0]), 0);
        result = lvt_build_select(c->b, hit, g, result);
    }
    c->doperands[0] = result;
    return LVT_MADE(result);
}

static lvt_cost cost(const lvt_node *n, const lvt_type *operands, const lvt_type *results) {
    return lvt_pool_cost(n, operands, results, &operands[0]);
}

static const char *const samples[] = {
    "f32[2,2,2,3] in -2..2, f32[2,4,4,3] in -2..2 {kernel = [2, 2]}",
    "f32[1,3,3,2] in -2..2, f32[1,5,6,2] in -2..2 {kernel = [3, 3], stride = [2, 2], padding = [1, 1, 1, 1]}",
    NULL};

const lvt_op_def lvt_op_def_max_pool2d_grad = {
    .name = "max_pool2d_grad",
    .kind = LVT_KIND_COMPUTE,
    .min_operands = 2,
    .max_operands = 2,
    .n_results = 1,
    .operands = "dy: float [B, OH, OW, C], x: float [B, H, W, C]",
    .results = "dx: float [B, H, W, C]",
    .meaning = "gradient of max_pool2d: goes to the first largest element of each window",
    .attrs = attrs,
    .n_attrs = LVT_COUNT(attrs),
    .infer = infer,
    .grad = grad,
    .eval = eval,
    .cost = cost,
    .samples = samples,
};
