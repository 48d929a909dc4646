/* conv2d (x [B,H,W,C], w [O,C/groups,kh,kw]) {stride, padding, dilation, groups} -> [B,OH,OW,O]. stride and
 * dilation: one number or [vertical, horizontal]; padding: one number, two, or [top, left, bottom, right].
 * May not know: anything outside ir. */
#include "common.h"

static const lvt_attr_def attrs[] = {LVT_CONV_ATTR_ROWS};

static lvt_status infer(lvt_infer *c) {
    const lvt_type *x = &c->operands[0], *weight = &c->operands[1];
    lvt_window w;
    LVT_TRY(lvt_want_conv(c, &w));
    if (x->dim[3] != weight->dim[1] * w.groups)
        return w.groups == 1
                   ? lvt_infer_error(c, "E204", "the image has %lld channels, the weight takes %lld",
                                     (long long)x->dim[3], (long long)weight->dim[1])
                   : lvt_infer_error(
                         c, "E204", "the image has %lld channels, the weight takes %lld in %lld groups",
                         (long long)x->dim[3], (long long)(weight->dim[1] * w.groups), (long long)w.groups);
    if (weight->dim[0] % w.groups)
        return lvt_infer_error(c, "E204", "%lld output channels do not divide into %lld groups",
                               (long long)weight->dim[0], (long long)w.groups);
    lvt_type *y = &c->results[0];
    *y = *x;
    y->dim[3] = weight->dim[0];
    for (int d = 0; d < 2; d++) {
        y->dim[1 + d] = lvt_window_out(&w, d, x->dim[1 + d], weight->dim[2 + d]);
        if (y->dim[1 + d] < 1)
            return lvt_infer_error(
                c, "E207", "kernel %lld does not fit into %s %lld with padding %lld and %lld",
                (long long)weight->dim[2 + d], d ? "width" : "height", (long long)x->dim[1 + d],
                (long long)w.padding[d], (long long)w.padding[d + 2]);
    }
    return LVT_OK;
}

static const char *const samples[] = {
    "f32[2,4,5,3] in -1..1, f32[2,3,3,3] in -1..1 {padding = [1, 1, 1, 1]}",
    "f32[1,6,6,2] in -1..1, f32[4,2,3,3] in -1..1 {stride = [2, 2], padding = [1, 1, 1, 1]}",
    "f32[2,3,3,4] in -1..1, f32[3,4,1,1] in -1..1",
    "f32[1,5,4,4] in -1..1, f32[6,2,3,2] in -1..1 {stride = [2, 1], padding = [0, 1, 2, 0], groups = 2}",
    "f32[1,7,7,1] in -1..1, f32[2,1,3,3] in -1..1 {dilation = [2, 2], padding = [1, 1, 1, 1]}",
    "f32[1,7,6,1] in -1..1, f32[1,1,2,2] in -1..1 {stride = [3, 3]}",
    NULL};

const lvt_op_def lvt_op_def_conv2d = {
    .name = "conv2d",
    .kind = LVT_KIND_COMPUTE,
    .min_operands = 2,
    .max_operands = 2,
    .n_results = 1,
    .operands = "x: float [B, H, W, C], w: float [O, C / groups, kh, kw]",
    .results = "y: float [B, OH, OW, O]",
    .meaning = "convolution; stride (1) and dilation (1): one number or [vertical, horizontal]; padding (0): "
               "one, two, or [top, left, bottom, right]",
    .attrs = attrs,
    .n_attrs = LVT_COUNT(attrs),
    .infer = infer,
    .grad = lvt_conv_grad,
    .eval = lvt_conv_eval,
    .cost = lvt_conv_cost_of,
    .samples = samples,
};
