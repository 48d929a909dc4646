/* concat {axis}: operands one after the other along an axis.
 * May not know: anything outside ir. */
#include "common.h"

#include <string.h>

static const lvt_attr_def attrs[] = {{"axis", LVT_ATTR_INT, .required = true}};

static lvt_status infer(lvt_infer *c) {
    int64_t axis = c->node->attrs[0].i;
    char text[LVT_TYPE_TEXT], other[LVT_TYPE_TEXT];
    LVT_TRY(lvt_want_axis(c, axis, c->operands[0].rank));
    LVT_TRY(lvt_want_same_dtype(c));
    c->results[0] = c->operands[0];
    for (uint32_t k = 1; k < c->node->n_operands; k++) {
        lvt_type t = c->operands[k];
        if (t.rank > axis) {
            c->results[0].dim[axis] += t.dim[axis];
            t.dim[axis] = c->operands[0].dim[axis];
        }
        if (!lvt_shape_equal(&t, &c->operands[0]))
            return lvt_infer_error(
                c, "E203", "operands may differ in dimension %lld alone, but are %s and %s", (long long)axis,
                lvt_type_text(&c->operands[0], text), lvt_type_text(&c->operands[k], other));
        if (c->results[0].dim[axis] > LVT_MAX_DIM)
            break; /* reported with the result */
    }
    return LVT_OK;
}

static lvt_status eval(lvt_eval *c) {
    int axis = (int)c->node->attrs[0].i;
    int64_t outer, inner, row, at = 0;
    lvt_around(&c->out[0].type, axis, &outer, &inner);
    row = c->out[0].type.dim[axis] * inner;
    for (uint32_t k = 0; k < c->node->n_operands; k++) {
        int64_t part = c->in[k].type.dim[axis] * inner;
        for (int64_t i = 0; i < outer; i++)
            memcpy(c->out[0].data + i * row + at, c->in[k].data + i * part, (size_t)part * sizeof(double));
        at += part;
    }
    return LVT_OK;
}

static lvt_status grad(lvt_grad *c) {
    int axis = (int)c->node->attrs[0].i;
    int64_t at = 0;
    for (uint32_t k = 0; k < c->node->n_operands; k++) {
        int64_t n = lvt_value_type(c->b->graph, c->node->operands[k])->dim[axis];
        if (c->wants[k]) {
            c->doperands[k] = lvt_build_slice(c->b, c->dresults[0], axis, at, at + n);
            LVT_TRY(LVT_MADE(c->doperands[k]));
        }
        at += n;
    }
    return LVT_OK;
}

static const char *const samples[] = {"f32[2,3] in -2..2, f32[2,1] in -2..2 {axis = 1}",
                                      "f32[1,2] in -2..2, f32[2,2] in -2..2, f32[1,2] in -2..2 {axis = 0}",
                                      "i32[2] in 0..9 {axis = 0}", NULL};

const lvt_op_def lvt_op_def_concat = {
    .name = "concat",
    .kind = LVT_KIND_COMPUTE,
    .min_operands = 1,
    .max_operands = -1,
    .n_results = 1,
    .operands = "x...: any",
    .results = "y: any",
    .meaning = "operands one after the other along an axis",
    .attrs = attrs,
    .n_attrs = LVT_COUNT(attrs),
    .infer = infer,
    .grad = grad,
    .eval = eval,
    .samples = samples,
};
