/* constant {dtype, shape, values}: values in row-major order; a single value fills the shape.
 * May not know: anything outside ir. */
#include "common.h"

static const lvt_attr_def attrs[] = {{"dtype", LVT_ATTR_DTYPE, .value = LVT_F32},
                                     {"shape", LVT_ATTR_INTS},
                                     {"values", LVT_ATTR_FLOATS, .required = true}};

static lvt_status infer(lvt_infer *c) {
    const lvt_attr *values = lvt_attr_get(c->node, "values");
    LVT_TRY(lvt_shape_attr(c, (lvt_dtype)lvt_int_attr(c->node, "dtype")));
    int64_t n = lvt_numel(&c->results[0]);
    if (values->n != 1 && values->n != n)
        return lvt_infer_error(c, "E203", "%u values for a shape of %lld elements", values->n, (long long)n);
    return LVT_OK;
}

static lvt_status eval(lvt_eval *c) {
    const lvt_attr *values = lvt_attr_get(c->node, "values");
    int64_t n = lvt_numel(&c->out[0].type);
    for (int64_t i = 0; i < n; i++)
        c->out[0].data[i] = values->floats[values->n == 1 ? 0 : i];
    return LVT_OK;
}

static const char *const samples[] = {"{shape = [2, 2], values = [1, 2.5, -3, 0]}",
                                      "{dtype = i32, shape = [3], values = [7]}",
                                      "{dtype = bool, values = [1]}", NULL};

const lvt_op_def lvt_op_def_constant = {
    .name = "constant",
    .kind = LVT_KIND_SOURCE,
    .min_operands = 0,
    .max_operands = 0,
    .n_results = 1,
    .operands = "",
    .results = "x: any [shape]",
    .meaning = "values in row-major order; one value fills the shape",
    .attrs = attrs,
    .n_attrs = LVT_COUNT(attrs),
    .infer = infer,
    .eval = eval,
    .samples = samples,
    .no_gradient = true,
};
