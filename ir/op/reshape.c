/* reshape {shape}: the same elements in the same row-major order.
 * May not know: anything outside ir. */
#include "common.h"

#include <string.h>

static const lvt_attr_def attrs[] = {{"shape", LVT_ATTR_INTS, .required = true}};

static lvt_status infer(lvt_infer *c) {
    char from[LVT_TYPE_TEXT], to[LVT_TYPE_TEXT];
    LVT_TRY(lvt_shape_attr(c, (lvt_dtype)c->operands[0].dtype));
    int64_t n = lvt_numel(&c->results[0]);
    if (n != lvt_numel(&c->operands[0]))
        return lvt_infer_error(c, "E203", "%s has %lld elements, %s has %lld",
                               lvt_type_text(&c->operands[0], from), (long long)lvt_numel(&c->operands[0]),
                               lvt_type_text(&c->results[0], to), (long long)n);
    return LVT_OK;
}

static lvt_status eval(lvt_eval *c) {
    memcpy(c->out[0].data, c->in[0].data, (size_t)lvt_numel(&c->in[0].type) * sizeof(double));
    return LVT_OK;
}

static lvt_status grad(lvt_grad *c) {
    lvt_type x = *lvt_value_type(c->b->graph, c->node->operands[0]);
    c->doperands[0] = lvt_build_reshape(c->b, c->dresults[0], x.rank, x.dim);
    return LVT_MADE(c->doperands[0]);
}

static const char *const samples[] = {"f32[2,3] in -2..2 {shape = [3, 2]}",
                                      "f32[4] in -2..2 {shape = [2, 1, 2]}", "i32[1] in 0..9 {shape = []}",
                                      NULL};

const lvt_op_def lvt_op_def_reshape = {
    .name = "reshape",
    .kind = LVT_KIND_VIEW,
    .min_operands = 1,
    .max_operands = 1,
    .n_results = 1,
    .operands = "x: any",
    .results = "y: any [shape]",
    .meaning = "the same elements in another shape",
    .attrs = attrs,
    .n_attrs = LVT_COUNT(attrs),
    .infer = infer,
    .grad = grad,
    .eval = eval,
    .samples = samples,
};
