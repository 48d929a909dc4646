/* slice {axis, begin, end, step}: the elements begin, begin + step, ... below end along one axis.
 * May not know: anything outside ir. */
#include "common.h"

static const lvt_attr_def attrs[] = {{"axis", LVT_ATTR_INT, .required = true},
                                     {"begin", LVT_ATTR_INT, .required = true},
                                     {"end", LVT_ATTR_INT, .required = true},
                                     {"step", LVT_ATTR_INT, .value = 1}};

static lvt_status infer(lvt_infer *c) {
    const lvt_type *x = &c->operands[0];
    int64_t axis = lvt_int_attr(c->node, "axis"), begin = lvt_int_attr(c->node, "begin");
    int64_t end = lvt_int_attr(c->node, "end"), step = lvt_int_attr(c->node, "step");
    LVT_TRY(lvt_want_axis(c, axis, x->rank));
    if (begin < 0 || begin >= end || end > x->dim[axis])
        return lvt_infer_error(c, "E207", "%lld to %lld is not a part of dimension %lld, which has size %lld",
                               (long long)begin, (long long)end, (long long)axis, (long long)x->dim[axis]);
    if (step < 1 || step > LVT_MAX_DIM)
        return lvt_infer_error(c, "E207", "step must be from 1 to %lld, not %lld", (long long)LVT_MAX_DIM,
                               (long long)step);
    c->results[0] = *x;
    c->results[0].dim[axis] = (end - begin - 1) / step + 1;
    return LVT_OK;
}

static lvt_status eval(lvt_eval *c) {
    int64_t strides[LVT_MAX_RANK], axis = lvt_int_attr(c->node, "axis");
    lvt_strides(&c->in[0].type, strides);
    const double *from = c->in[0].data + lvt_int_attr(c->node, "begin") * strides[axis];
    strides[axis] *= lvt_int_attr(c->node, "step");
    lvt_strided_read(&c->out[0].type, c->out[0].data, from, strides);
    return LVT_OK;
}

static lvt_value pad(lvt_builder *b, lvt_value x, int64_t axis, int64_t before, int64_t after) {
    lvt_named_attr a[] = {
        {"axis", lvt_attr_int(axis)}, {"before", lvt_attr_int(before)}, {"after", lvt_attr_int(after)}};
    return before || after ? lvt_build(b, LVT_OP_pad, 1, &x, 3, a) : x;
}

/* Zeros around the gradient; with a step, also between its elements: each gets a row of its own of `step`
 * elements. */
static lvt_status grad(lvt_grad *c) {
    lvt_type x = *lvt_value_type(c->b->graph, c->node->operands[0]);
    lvt_type y = *lvt_value_type(c->b->graph, c->node->result);
    int64_t axis = lvt_int_attr(c->node, "axis"), begin = lvt_int_attr(c->node, "begin");
    int64_t step = lvt_int_attr(c->node, "step"), outer, inner, n = y.dim[axis];
    lvt_value g = c->dresults[0];
    if (step == 1 || n == 1) {
        c->doperands[0] = pad(c->b, g, axis, begin, x.dim[axis] - begin - n);
        return LVT_MADE(c->doperands[0]);
    }
    lvt_around(&x, (int)axis, &outer, &inner);
    g = lvt_build_reshape(c->b, g, 4, (int64_t[]){outer, n, 1, inner});
    g = pad(c->b, g, 2, 0, step - 1);
    g = lvt_build_reshape(c->b, g, 3, (int64_t[]){outer, n * step, inner});
    int64_t room = x.dim[axis] - begin;
    if (n * step > room)
        g = lvt_build_slice(c->b, g, 1, 0, room);
    g = pad(c->b, g, 1, begin, n * step > room ? 0 : room - n * step);
    c->doperands[0] = lvt_build_reshape(c->b, g, x.rank, x.dim);
    return LVT_MADE(c->doperands[0]);
}

static const char *const samples[] = {"f32[5,2] in -2..2 {axis = 0, begin = 1, end = 4}",
                                      "f32[2,7] in -2..2 {axis = 1, begin = 1, end = 6, step = 2}",
                                      "f32[2,8,3] in -2..2 {axis = 1, begin = 0, end = 8, step = 2}",
                                      "f32[9] in -2..2 {axis = 0, begin = 2, end = 4, step = 3}", NULL};

const lvt_op_def lvt_op_def_slice = {
    .name = "slice",
    .kind = LVT_KIND_VIEW,
    .min_operands = 1,
    .max_operands = 1,
    .n_results = 1,
    .operands = "x: any",
    .results = "y: any",
    .meaning = "elements begin, begin + step, ... below end along an axis; x[..., 1:3] says it shorter",
    .attrs = attrs,
    .n_attrs = LVT_COUNT(attrs),
    .infer = infer,
    .grad = grad,
    .eval = eval,
    .samples = samples,
};
