/* conv2d_grad_weight (dy [B,OH,OW,O], x [B,H,W,C]) {as conv2d, kernel [2]}: gradient of conv2d for its
 * weight. May not know: anything outside ir. */
#include "common.h"

static const lvt_attr_def attrs[] = {LVT_CONV_ATTR_ROWS, {"kernel", LVT_ATTR_INTS, .required = true}};

static lvt_status infer(lvt_infer *c) {
    const lvt_type *dy = &c->operands[0], *x = &c->operands[1];
    lvt_window w;
    LVT_TRY(lvt_want_conv(c, &w));
    if (dy->dim[0] != x->dim[0])
        return lvt_infer_error(c, "E204", "batches differ, %lld and %lld", (long long)dy->dim[0],
                               (long long)x->dim[0]);
    if (x->dim[3] % w.groups || dy->dim[3] % w.groups)
        return lvt_infer_error(c, "E204", "%lld and %lld channels do not divide into %lld groups",
                               (long long)x->dim[3], (long long)dy->dim[3], (long long)w.groups);
    c->results[0] = lvt_type_make((lvt_dtype)x->dtype, 4,
                                  (int64_t[]){dy->dim[3], x->dim[3] / w.groups, w.kernel[0], w.kernel[1]});
    for (int d = 0; d < 2; d++)
        LVT_TRY(lvt_want_conv_size(c, &w, d, x->dim[1 + d], w.kernel[d], dy->dim[1 + d]));
    return LVT_OK;
}

static const char *const samples[] = {
    "f32[2,4,5,2] in -1..1, f32[2,4,5,3] in -1..1 {padding = [1, 1, 1, 1], kernel = [3, 3]}",
    "f32[1,3,3,4] in -1..1, f32[1,6,6,2] in -1..1 {stride = [2, 2], padding = [1, 1, 1, 1], kernel = [3, 3]}",
    "f32[1,3,4,6] in -1..1, f32[1,5,4,4] in -1..1 {stride = [2, 1], padding = [0, 1, 2, 0], groups = 2, "
    "kernel = [3, 2]}",
    NULL};

const lvt_op_def lvt_op_def_conv2d_grad_weight = {
    .name = "conv2d_grad_weight",
    .kind = LVT_KIND_COMPUTE,
    .min_operands = 2,
    .max_operands = 2,
    .n_results = 1,
    .operands = "dy: float [B, OH, OW, O], x: float [B, H, W, C]",
    .results = "dw: float [O, C / groups, kh, kw]",
    .meaning = "gradient of conv2d for its weight",
    .attrs = attrs,
    .n_attrs = LVT_COUNT(attrs),
    .infer = infer,
    .grad = lvt_conv_grad,
    .eval = lvt_conv_eval,
    .cost = lvt_conv_cost_of,
    .samples = samples,
};
