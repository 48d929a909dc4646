/* conv2d_grad_input (dy [B,OH,OW,O], w) {as conv2d, height, width}: gradient of conv2d for its image
 * [B,height,width,C]. May not know: anything outside ir. */
#include "common.h"

static const lvt_attr_def attrs[] = {LVT_CONV_ATTR_ROWS,
                                     {"height", LVT_ATTR_INT, .required = true},
                                     {"width", LVT_ATTR_INT, .required = true}};

static lvt_status infer(lvt_infer *c) {
    const lvt_type *dy = &c->operands[0], *weight = &c->operands[1];
    int64_t size[2] = {lvt_int_attr(c->node, "height"), lvt_int_attr(c->node, "width")};
    lvt_window w;
    LVT_TRY(lvt_want_conv(c, &w));
    if (dy->dim[3] != weight->dim[0] || weight->dim[0] % w.groups)
        return lvt_infer_error(c, "E204",
                               "the gradient has %lld channels, the weight gives %lld in %lld group(s)",
                               (long long)dy->dim[3], (long long)weight->dim[0], (long long)w.groups);
    lvt_type *x = &c->results[0];
    *x = *dy;
    x->dim[3] = weight->dim[1] * w.groups;
    for (int d = 0; d < 2; d++) {
        x->dim[1 + d] = size[d];
        LVT_TRY(lvt_want_conv_size(c, &w, d, size[d], weight->dim[2 + d], dy->dim[1 + d]));
    }
    return LVT_OK;
}

static const char *const samples[] = {
    "f32[2,4,5,2] in -1..1, f32[2,3,3,3] in -1..1 {padding = [1, 1, 1, 1], height = 4, width = 5}",
    "f32[1,3,3,4] in -1..1, f32[4,2,3,3] in -1..1 {stride = [2, 2], padding = [1, 1, 1, 1], height = 6, "
    "width = 6}",
    "f32[1,3,4,6] in -1..1, f32[6,2,3,2] in -1..1 {stride = [2, 1], padding = [0, 1, 2, 0], groups = 2, "
    "height = 5, width = 4}",
    NULL};

const lvt_op_def lvt_op_def_conv2d_grad_input = {
    .name = "conv2d_grad_input",
    .kind = LVT_KIND_COMPUTE,
    .min_operands = 2,
    .max_operands = 2,
    .n_results = 1,
    .operands = "dy: float [B, OH, OW, O], w: float [O, C / groups, kh, kw]",
    .results = "dx: float [B, height, width, C]",
    .meaning = "gradient of conv2d for its image",
    .attrs = attrs,
    .n_attrs = LVT_COUNT(attrs),
    .infer = infer,
    .grad = lvt_conv_grad,
    .eval = lvt_conv_eval,
    .cost = lvt_conv_cost_of,
    .samples = samples,
};
