/* Convolutions, pools and their gradients as ONNX operators. May not know: files, states. */
#include "emit.h"

#include <string.h>

static const int64_t to_front[4] = {3, 0, 1, 2}; /* [B,H,W,C] -> [C,B,H,W] */

static int64_t attr(const lvt_node *n, const char *name) {
    return lvt_attr_get(n, name)->i;
}

static void geometry(lvt_emitter *e, const lvt_window *w, const int64_t *kernel, bool dilated) {
    lvt_onnx_ints(&e->w, "kernel_shape", 2, kernel);
    lvt_onnx_ints(&e->w, "strides", 2, w->stride);
    lvt_onnx_ints(&e->w, "pads", 4, w->padding);
    if (dilated) {
        lvt_onnx_ints(&e->w, "dilations", 2, w->dilation);
        if (w->groups != 1)
            lvt_onnx_int(&e->w, "group", w->groups);
    }
}

bool lvt_emit_conv(lvt_emitter *e, const lvt_node *n) {
    lvt_window w = lvt_window_of(n);
    const char *in[] = {lvt_emit_nchw(e, n->operands[0]), lvt_emit_full(e, n->operands[1])};
    geometry(e, &w, &lvt_value_type(e->g, n->operands[1])->dim[2], true);
    lvt_emit_set_nchw(e, n->result, lvt_onnx_node(&e->w, e->scope, "Conv", 2, in));
    return true;
}

/* The transposed convolution; output_padding gives back the rows that the stride had left over. */
bool lvt_emit_conv_grad_input(lvt_emitter *e, const lvt_node *n) {
    lvt_window w = lvt_window_of(n);
    const lvt_type *dy = lvt_value_type(e->g, n->operands[0]), *k = lvt_value_type(e->g, n->operands[1]);
    const char *in[] = {lvt_emit_nchw(e, n->operands[0]), lvt_emit_full(e, n->operands[1])};
    int64_t size[2] = {attr(n, "height"), attr(n, "width")}, more[2];
    for (int d = 0; d < 2; d++)
        more[d] = size[d] + w.padding[d] + w.padding[d + 2] - (dy->dim[1 + d] - 1) * w.stride[d] -
                  ((k->dim[2 + d] - 1) * w.dilation[d] + 1);
    geometry(e, &w, &k->dim[2], true);
    if (more[0] || more[1])
        lvt_onnx_ints(&e->w, "output_padding", 2, more);
    lvt_emit_set_nchw(e, n->result, lvt_onnx_node(&e->w, e->scope, "ConvTranspose", 2, in));
    return true;
}

/* dw[o,c,i,j] = sum over b,h,w of dy[b,h,w,o] x[b, h stride + i dilation - padding, ..., c]: a convolution
 * whose batch are the channels, whose channels are the images, whose kernel is dy, with stride and dilation
 * exchanged. */
bool lvt_emit_conv_grad_weight(lvt_emitter *e, const lvt_node *n) {
    lvt_window w = lvt_window_of(n), swapped = w;
    lvt_shape2 x = lvt_emit_shape(e, n->operands[1]);
    const lvt_type *dw = lvt_value_type(e->g, n->result);
    const char *image = lvt_emit_transpose(e, lvt_emit_full(e, n->operands[1]), 4, to_front);
    const char *kernel = lvt_emit_transpose(e, lvt_emit_full(e, n->operands[0]), 4, to_front);
    if (w.groups != 1) { /* [G C/G, B, H, W] -> [C/G, G B, H, W] */
        int64_t c = x.a.dim[3] / w.groups;
        if (!lvt_shape2_fixed(&x)) {
            e->why = "the gradient of a convolution in groups needs a fixed batch (--fixed-batch)";
            return false;
        }
        int64_t five[] = {w.groups, c, x.a.dim[0], x.a.dim[1], x.a.dim[2]};
        int64_t four[] = {c, w.groups * x.a.dim[0], x.a.dim[1], x.a.dim[2]};
        image = lvt_emit2(e, "Reshape", image, lvt_onnx_int64s(&e->w, 5, five));
        image = lvt_emit_transpose(e, image, 5, (int64_t[]){1, 0, 2, 3, 4});
        image = lvt_emit2(e, "Reshape", image, lvt_onnx_int64s(&e->w, 4, four));
    }
    memcpy(swapped.stride, w.dilation, sizeof w.dilation);
    memcpy(swapped.dilation, w.stride, sizeof w.stride);
    geometry(e, &swapped, &lvt_value_type(e->g, n->operands[0])->dim[1], true);
    const char *y = lvt_emit2(e, "Conv", image, kernel);
    /* Rows of x that no tap of the forward convolution had reached give more taps than there are. */
    const char *cut[] = {y, lvt_onnx_int64s(&e->w, 2, (int64_t[]){0, 0}),
                         lvt_onnx_int64s(&e->w, 2, &dw->dim[2]),
                         lvt_onnx_int64s(&e->w, 2, (int64_t[]){2, 3})};
    bool more = false;
    for (int d = 0; d < 2; d++)
        more |= (x.a.dim[1 + d] + w.padding[d] + w.padding[d + 2] -
                 ((lvt_value_type(e->g, n->operands[0])->dim[1 + d] - 1) * w.stride[d] + 1)) /
                        w.dilation[d] +
                    1 >
                dw->dim[2 + d];
    if (more)
        y = lvt_onnx_node(&e->w, e->scope, "Slice", 4, cut);
    lvt_emit_set(e, n->result, lvt_emit_transpose(e, y, 4, (int64_t[]){1, 0, 2, 3}));
    return true;
}

bool lvt_emit_max_pool(lvt_emitter *e, const lvt_node *n) {
    lvt_window w = lvt_window_of(n);
    const char *x = lvt_emit_nchw(e, n->operands[0]);
    geometry(e, &w, w.kernel, false);
    lvt_emit_set_nchw(e, n->result, lvt_emit1(e, "MaxPool", x));
    return true;
}

/* MaxPool says where each maximum was, counted over the whole tensor: dy is added there. */
bool lvt_emit_max_pool_grad(lvt_emitter *e, const lvt_node *n) {
    lvt_window w = lvt_window_of(n);
    lvt_shape2 x = lvt_emit_shape(e, n->operands[1]), nchw = x;
    if (e->w.opset < 16) {
        e->why = "the gradient of max_pool2d needs opset 16 (ScatterElements that adds)";
        return false;
    }
    for (int i = 1; i < 4; i++)
        nchw.a.dim[i] = x.a.dim[i == 1 ? 3 : i - 1], nchw.b.dim[i] = x.b.dim[i == 1 ? 3 : i - 1];
    const char *in = lvt_emit_nchw(e, n->operands[1]), *dy = lvt_emit_nchw(e, n->operands[0]), *out[2];
    const char *flat = lvt_onnx_int64s(&e->w, 1, (int64_t[]){-1}), *dims = lvt_emit_dims(e, &nchw);
    geometry(e, &w, w.kernel, false);
    lvt_onnx_node_n(&e->w, e->scope, "MaxPool", 1, &in, 2, out);
    const char *zeros[] = {lvt_emit_number(e, (lvt_dtype)x.a.dtype, 0), dims};
    const char *data = lvt_emit2(e, "Reshape", lvt_emit2(e, "Expand", zeros[0], zeros[1]), flat);
    const char *scatter[] = {data, lvt_emit2(e, "Reshape", out[1], flat), lvt_emit2(e, "Reshape", dy, flat)};
    lvt_onnx_int(&e->w, "axis", 0);
    lvt_onnx_string(&e->w, "reduction", "add");
    data = lvt_onnx_node(&e->w, e->scope, "ScatterElements", 3, scatter);
    lvt_emit_set_nchw(e, n->result, lvt_emit2(e, "Reshape", data, dims));
    return true;
}

bool lvt_emit_avg_pool(lvt_emitter *e, const lvt_node *n) {
    lvt_window w = lvt_window_of(n);
    const char *x = lvt_emit_nchw(e, n->operands[0]);
    geometry(e, &w, w.kernel, false);
    lvt_onnx_int(&e->w, "count_include_pad", attr(n, "include_padding"));
    lvt_emit_set_nchw(e, n->result, lvt_emit1(e, "AveragePool", x));
    return true;
}

/* Each result's gradient, divided by the number of pixels it was the mean of, goes to all of them: a
 * transposed convolution of each channel by a kernel of ones. */
bool lvt_emit_avg_pool_grad(lvt_emitter *e, const lvt_node *n) {
    lvt_window w = lvt_window_of(n);
    const lvt_type *dy = lvt_value_type(e->g, n->operands[0]);
    lvt_dtype dtype = (lvt_dtype)dy->dtype;
    int64_t size[2] = {attr(n, "height"), attr(n, "width")}, more[2], c = dy->dim[3];
    lvt_type map = lvt_type_make(dtype, 2, &dy->dim[1]),
             ones = lvt_type_make(dtype, 4, (int64_t[]){c, 1, w.kernel[0], w.kernel[1]});
    double *share = lvt_onnx_alloc(&e->w, (size_t)lvt_numel(&map) * sizeof *share),
           *one = lvt_onnx_alloc(&e->w, (size_t)lvt_numel(&ones) * sizeof *one);
    if (!share || !one)
        return true;
    for (int64_t i = 0; i < lvt_numel(&ones); i++)
        one[i] = 1;
    for (int64_t i = 0; i < lvt_numel(&map); i++) {
        double count = 1;
        for (int d = 0; d < 2; d++) {
            int64_t at = (d ? i % map.dim[1] : i / map.dim[1]) * w.stride[d] - w.padding[d],
                    end = at + w.kernel[d];
            count *= attr(n, "include_padding")
                         ? (double)w.kernel[d]
                         : (double)((end < size[d] ? end : size[d]) - (at > 0 ? at : 0));
        }
        share[i] = 1 / count;
    }
    for (int d = 0; d < 2; d++)
        more[d] =
            size[d] + w.padding[d] + w.padding[d + 2] - (dy->dim[1 + d] - 1) * w.stride[d] - w.kernel[d];
    const char *shared =
        lvt_emit2(e, "Mul", lvt_emit_nchw(e, n->operands[0]),
                  lvt_emit_doubles(e, lvt_onnx_text(&e->w, "%s/share", e->scope), &map, share));
    const char *kernel = lvt_emit_doubles(e, lvt_onnx_text(&e->w, "%s/ones", e->scope), &ones, one);
    geometry(e, &w, w.kernel, false);
    lvt_onnx_int(&e->w, "group", c);
    if (more[0] || more[1])
        lvt_onnx_ints(&e->w, "output_padding", 2, more);
    lvt_emit_set_nchw(e, n->result, lvt_emit2(e, "ConvTranspose", shared, kernel));
    return true;
}
