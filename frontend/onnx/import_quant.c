/* Imported quantisation: whole numbers that stand for (q - zero) scale. Products are sums in floats of whole
 * numbers, so exact up to 2^24 in size. May not know: files. */
#include "importer.h"

#include <math.h>
#include <string.h>

/* Of eight bits; wider ones are not here. */
static bool limits(lvt_importer *im, int type, double *low, double *high) {
    bool is_signed = type == ONNX__TENSOR_PROTO__DATA_TYPE__INT8;
    *low = is_signed ? -128 : 0;
    *high = is_signed ? 127 : 255;
    return is_signed || type == ONNX__TENSOR_PROTO__DATA_TYPE__UINT8 ||
           lvt_im_no(im, "only int8 and uint8 are supported as its result");
}

/* A scale or zero point: a number, or one for each index of an axis of a tensor of `rank` dims. */
static lvt_value at_axis(lvt_importer *im, lvt_value v, int rank, int axis) {
    lvt_type t = lvt_im_type(im, v);
    int64_t dims[LVT_MAX_RANK] = {1, 1, 1, 1, 1, 1};
    if (v == LVT_NONE || t.rank > 1)
        return v;
    if (t.rank == 0 || t.dim[0] == 1)
        return lvt_build_reshape(&im->b, v, 0, NULL);
    dims[0] = t.dim[0];
    return lvt_build_reshape(&im->b, v, rank - axis, dims);
}

/* Input i as a float, less its zero point, input `zero` if it is there. */
static lvt_value centred(lvt_importer *im, size_t i, size_t zero, int axis) {
    lvt_value x = lvt_build_cast(&im->b, lvt_im_in(im, i), LVT_F32);
    if (!lvt_im_has(im, zero))
        return x;
    lvt_value z = lvt_build_cast(&im->b, lvt_im_in(im, zero), LVT_F32);
    return lvt_im2(im, LVT_OP_sub, x, at_axis(im, z, lvt_im_type(im, x).rank, axis));
}

/* x / scale + zero, rounded, in the range of the type. scale LVT_NONE: 1. */
static lvt_value quantised(lvt_importer *im, lvt_value x, lvt_value scale, lvt_value zero, int type) {
    double low, high;
    if (!limits(im, type, &low, &high))
        return LVT_NONE;
    lvt_dtype dtype = (lvt_dtype)lvt_im_type(im, x).dtype;
    if (scale != LVT_NONE && dtype == LVT_F32) /* rounded once: the last bit decides where halves go */
        x = lvt_build_cast(&im->b,
                           lvt_im2(im, LVT_OP_div, lvt_build_cast(&im->b, x, LVT_F64),
                                   lvt_build_cast(&im->b, scale, LVT_F64)),
                           dtype);
    else if (scale != LVT_NONE)
        x = lvt_im2(im, LVT_OP_div, x, scale);
    x = lvt_im_round(im, x);
    if (zero != LVT_NONE)
        x = lvt_im2(im, LVT_OP_add, x, zero);
    x = lvt_imk(im, LVT_OP_min, lvt_imk(im, LVT_OP_max, x, low), high);
    return x == LVT_NONE ? x : lvt_build_cast(&im->b, x, low < 0 ? LVT_I32 : LVT_U8);
}

static bool quantise(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0), scale = lvt_im_statistic(im, 1), zero = LVT_NONE;
    lvt_im_attr(im, "axis"); /* of one dim and less it says nothing */
    int rank = lvt_im_type(im, x).rank, axis = rank > 1 ? lvt_im_axis(im, 1, rank) : 0;
    int64_t precision = lvt_im_int(im, "precision", 0);
    if (precision && precision != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT)
        return lvt_im_no(im, "only the precision of float is supported");
    int said = (int)lvt_im_int(im, "output_dtype", 0),
        type = lvt_im_has(im, 2) ? lvt_im_onnx_type(im, 2) : said;
    type = type ? type : ONNX__TENSOR_PROTO__DATA_TYPE__UINT8;
    if (said && said != type)
        return lvt_im_no(im, "its output_dtype is not that of its zero point");
    if (axis < 0 || (x != LVT_NONE && !lvt_dtype_is_float((lvt_dtype)lvt_im_type(im, x).dtype)) ||
        lvt_im_int(im, "block_size", 0))
        return axis < 0 ? false : lvt_im_no(im, "whole numbers and blocks are not supported");
    lvt_dtype dtype = (lvt_dtype)lvt_im_type(im, x).dtype;
    if (lvt_im_has(im, 2))
        zero = at_axis(im, lvt_build_cast(&im->b, lvt_im_in(im, 2), dtype), rank, axis);
    if (scale == LVT_NONE)
        return false;
    scale = at_axis(im, lvt_build_cast(&im->b, scale, dtype), rank, axis);
    return lvt_im_out(im, quantised(im, x, scale, zero, type));
}

static bool dequantise(lvt_importer *im) {
    lvt_value scale = lvt_im_statistic(im, 1);
    lvt_im_attr(im, "axis"); /* of one dim and less it says nothing */
    int rank = lvt_im_type(im, lvt_im_in(im, 0)).rank, axis = rank > 1 ? lvt_im_axis(im, 1, rank) : 0;
    int64_t to = lvt_im_int(im, "output_dtype", 0);
    if (axis < 0 || lvt_im_int(im, "block_size", 0) || (to && to != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT))
        return axis < 0 ? false : lvt_im_no(im, "blocks, and other results than float, are not supported");
    lvt_value x = centred(im, 0, 2, axis);
    return lvt_im_out(im, lvt_im2(im, LVT_OP_mul, x, at_axis(im, scale, rank, axis)));
}

/* To uint8, by the least and largest element and 0. Divided in doubles, then rounded to what floats would
 * give: the last bit decides where halves go. */
static bool quantise_by_range(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0), zero;
    lvt_dtype dtype = (lvt_dtype)lvt_im_type(im, x).dtype;
    lvt_value high = lvt_build_reduce(&im->b, LVT_OP_reduce_max, x, 0, NULL, false);
    lvt_value low = lvt_build_reduce(&im->b, LVT_OP_reduce_max, lvt_im1(im, LVT_OP_neg, x), 0, NULL, false);
    if (high == LVT_NONE || low == LVT_NONE)
        return false;
    high = lvt_build_cast(&im->b, lvt_imk(im, LVT_OP_max, high, 0), LVT_F64);
    low = lvt_im1(im, LVT_OP_neg, lvt_build_cast(&im->b, lvt_imk(im, LVT_OP_max, low, 0), LVT_F64));
    lvt_value scale = lvt_imk(im, LVT_OP_mul, lvt_im2(im, LVT_OP_sub, high, low), 1.0 / 255);
    im->out[1] = scale == LVT_NONE ? scale : lvt_build_cast(&im->b, scale, dtype);
    if (im->out[1] == LVT_NONE)
        return false;
    scale = lvt_build_cast(&im->b, im->out[1], LVT_F64);
    zero = lvt_im1(im, LVT_OP_neg, lvt_im2(im, LVT_OP_div, low, scale));
    x = lvt_im2(im, LVT_OP_div, lvt_build_cast(&im->b, x, LVT_F64), scale);
    if (x == LVT_NONE || zero == LVT_NONE)
        return false;
    x = lvt_build_cast(&im->b, x, dtype);
    zero = lvt_build_cast(&im->b, zero, dtype);
    zero = lvt_im_round(im, lvt_imk(im, LVT_OP_min, lvt_imk(im, LVT_OP_max, zero, 0), 255));
    im->out[2] = zero == LVT_NONE ? zero : lvt_build_cast(&im->b, zero, LVT_U8);
    return lvt_im_out(im, quantised(im, x, LVT_NONE, zero, ONNX__TENSOR_PROTO__DATA_TYPE__UINT8));
}

/* A zero point of rows, or one for all. */
static lvt_value rows_of(lvt_importer *im, size_t i, size_t zero) {
    lvt_type t = lvt_im_type(im, lvt_im_in(im, zero));
    int rank = lvt_im_type(im, lvt_im_in(im, i)).rank;
    return centred(im, i, zero, t.rank == 1 && t.dim[0] > 1 && rank > 1 ? rank - 2 : 0);
}

static lvt_value product(lvt_importer *im, lvt_value x, lvt_value y) {
    if (lvt_im_type(im, x).rank >= 2 && lvt_im_type(im, y).rank >= 2)
        return lvt_build_matmul(&im->b, x, y, false, false);
    lvt_im_no(im, "its inputs are no matrices");
    return LVT_NONE;
}

static bool whole_matmul(lvt_importer *im) {
    int rank = lvt_im_type(im, lvt_im_in(im, 1)).rank;
    lvt_value y = product(im, rows_of(im, 0, 2), centred(im, 1, 3, rank ? rank - 1 : 0));
    return lvt_im_out(im, y == LVT_NONE ? y : lvt_build_cast(&im->b, y, LVT_I32));
}

static bool whole_conv(lvt_importer *im) {
    lvt_value y = lvt_im_convolve(im, centred(im, 0, 2, 0), centred(im, 1, 3, 0));
    return lvt_im_out(im, y == LVT_NONE ? y : lvt_build_cast(&im->b, y, LVT_I32));
}

/* (x, x's scale, x's zero, w, w's scale, w's zero, y's scale, y's zero), of a convolution a bias too, which
 * has the scale of the sums. */
static bool quantised_product(lvt_importer *im) {
    bool conv = !strcmp(im->n->op_type, "QLinearConv");
    lvt_value x = centred(im, 0, 2, 0), w, y;
    int rank = lvt_im_type(im, lvt_im_in(im, 3)).rank, axis = conv ? 0 : rank ? rank - 1 : 0;
    int ys = lvt_im_type(im, lvt_im_in(im, 0)).rank, channel = conv ? 1 : ys ? ys - 1 : 0;
    w = centred(im, 3, 5, axis);
    y = conv ? lvt_im_convolve(im, x, w) : product(im, x, w);
    if (conv && lvt_im_has(im, 8))
        y = lvt_im2(im, LVT_OP_add, y,
                    at_axis(im, lvt_build_cast(&im->b, lvt_im_in(im, 8), LVT_F32), ys, channel));
    lvt_value scale[3];
    for (size_t i = 0; i < 3; i++) {
        lvt_value s = lvt_im_statistic(im, i == 0 ? 1 : i == 1 ? 4 : 6);
        scale[i] = at_axis(im, s == LVT_NONE ? s : lvt_build_cast(&im->b, s, LVT_F32), ys, channel);
    }
    if (scale[2] == LVT_NONE)
        return false;
    y = lvt_im2(im, LVT_OP_mul, y, lvt_im2(im, LVT_OP_mul, scale[0], scale[1]));
    lvt_value zero = lvt_im_in(im, 7);
    zero = zero == LVT_NONE ? zero : at_axis(im, lvt_build_cast(&im->b, zero, LVT_F32), ys, channel);
    return lvt_im_out(im, quantised(im, y, scale[2], zero, lvt_im_onnx_type(im, 7)));
}

const lvt_im_row lvt_im_quantised[] = {{"QuantizeLinear", quantise, 0},
                                       {"DequantizeLinear", dequantise, 0},
                                       {"DynamicQuantizeLinear", quantise_by_range, 0},
                                       {"MatMulInteger", whole_matmul, 0},
                                       {"ConvInteger", whole_conv, 0},
                                       {"QLinearConv", quantised_product, 0},
                                       {"QLinearMatMul", quantised_product, 0},
                                       {0}};
