/* pad {axis, before, after, value}: adds elements of one value at both ends of an axis.
 * May not know: anything outside ir. */
#include "common.h"

#include <string.h>

static const lvt_attr_def attrs[] = {{"axis", LVT_ATTR_INT, .required = true},
                                     {"before", LVT_ATTR_INT},
                                     {"after", LVT_ATTR_INT},
                                     {"value", LVT_ATTR_FLOAT}};

static lvt_status infer(lvt_infer *c) {
    int64_t axis = lvt_int_attr(c->node, "axis"), before = lvt_int_attr(c->node, "before");
    int64_t after = lvt_int_attr(c->node, "after");
    LVT_TRY(lvt_want_axis(c, axis, c->operands[0].rank));
    if (before < 0 || after < 0 || before > LVT_MAX_DIM || after > LVT_MAX_DIM)
        return lvt_infer_error(c, "E207", "before and after must be 0 or more, not %lld and %lld",
                               (long long)before, (long long)after);
    c->results[0] = c->operands[0];
    c->results[0].dim[axis] += before + after;
    return LVT_OK;
}

static lvt_status eval(lvt_eval *c) {
    const lvt_type *x = &c->in[0].type, *y = &c->out[0].type;
    int axis = (int)lvt_int_attr(c->node, "axis");
    int64_t outer, inner, before = lvt_int_attr(c->node, "before"), n = lvt_numel(y);
    lvt_around(x, axis, &outer, &inner);
    double value = lvt_float_attr(c->node, "value");
    for (int64_t i = 0; i < n; i++)
        c->out[0].data[i] = value;
    for (int64_t i = 0; i < outer; i++)
        memcpy(c->out[0].data + (i * y->dim[axis] + before) * inner, c->in[0].data + i * x->dim[axis] * inner,
               (size_t)(x->dim[axis] * inner) * sizeof(double));
    return LVT_OK;
}

static lvt_status grad(lvt_grad *c) {
    int64_t axis = lvt_int_attr(c->node, "axis"), before = lvt_int_attr(c->node, "before");
    int64_t n = lvt_value_type(c->b->graph, c->node->operands[0])->dim[axis];
    c->doperands[0] = lvt_build_slice(c->b, c->dresults[0], (int)axis, before, before + n);
    return LVT_MADE(c->doperands[0]);
}

static const char *const samples[] = {"f32[2,3] in -2..2 {axis = 1, before = 1, after = 2}",
                                      "f32[2,2,3] in -2..2 {axis = 0, after = 1, value = -1.5}", NULL};

const lvt_op_def lvt_op_def_pad = {
    .name = "pad",
    .kind = LVT_KIND_COMPUTE,
    .min_operands = 1,
    .max_operands = 1,
    .n_results = 1,
    .operands = "x: any",
    .results = "y: any",
    .meaning = "adds elements of one value before and after along an axis",
    .attrs = attrs,
    .n_attrs = LVT_COUNT(attrs),
    .infer = infer,
    .grad = grad,
    .eval = eval,
    .samples = samples,
};
