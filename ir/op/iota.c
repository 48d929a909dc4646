/* iota {dtype, shape, axis}: every element is its index along the axis.
 * May not know: anything outside ir. */
#include "common.h"

static const lvt_attr_def attrs[] = {{"dtype", LVT_ATTR_DTYPE, .value = LVT_I32},
                                     {"shape", LVT_ATTR_INTS, .required = true},
                                     {"axis", LVT_ATTR_INT}};

static lvt_status infer(lvt_infer *c) {
    LVT_TRY(lvt_shape_attr(c, (lvt_dtype)lvt_int_attr(c->node, "dtype")));
    return lvt_want_axis(c, lvt_int_attr(c->node, "axis"), c->results[0].rank);
}

static lvt_status eval(lvt_eval *c) {
    const lvt_type *t = &c->out[0].type;
    int axis = (int)lvt_int_attr(c->node, "axis");
    int64_t outer, inner, n = lvt_numel(t);
    lvt_around(t, axis, &outer, &inner);
    for (int64_t i = 0; i < n; i++)
        c->out[0].data[i] = (double)(i / inner % t->dim[axis]);
    return LVT_OK;
}

static const char *const samples[] = {"{shape = [2, 3], axis = 1}",
                                      "{dtype = f32, shape = [4, 2, 3], axis = 0}", NULL};

const lvt_op_def lvt_op_def_iota = {
    .name = "iota",
    .kind = LVT_KIND_SOURCE,
    .min_operands = 0,
    .max_operands = 0,
    .n_results = 1,
    .operands = "",
    .results = "x: any [shape]",
    .meaning = "every element is its index along the axis",
    .attrs = attrs,
    .n_attrs = LVT_COUNT(attrs),
    .infer = infer,
    .eval = eval,
    .samples = samples,
    .no_gradient = true,
};
