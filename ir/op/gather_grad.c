/* gather_grad (dy, index i32) {axis, size}: the table that gather with that axis read from, each row the sum
 * of the rows of dy that were taken from it, added in the order of the index. Index rules as in gather. May
 * not know: anything outside ir. */
#include "common.h"

#include <string.h>

static const lvt_attr_def attrs[] = {{"axis", LVT_ATTR_INT}, {"size", LVT_ATTR_INT, .required = true}};

static lvt_status infer(lvt_infer *c) {
    const lvt_type *dy = &c->operands[0], *index = &c->operands[1];
    int64_t axis = lvt_int_attr(c->node, "axis"), size = lvt_int_attr(c->node, "size");
    char text[LVT_TYPE_TEXT], other[LVT_TYPE_TEXT];
    LVT_TRY(lvt_want_number(c, 0));
    LVT_TRY(lvt_want_i32(c, 1));
    LVT_TRY(lvt_want_axis(c, axis, dy->rank - index->rank + 1));
    if (size < 1)
        return lvt_infer_error(c, "E207", "size must be 1 or more, not %lld", (long long)size);
    if (dy->rank - index->rank + 1 > LVT_MAX_RANK)
        return lvt_infer_error(c, "E205", "the result would have %d dimensions, at most %d are possible",
                               dy->rank - index->rank + 1, LVT_MAX_RANK);
    for (int i = 0; i < index->rank; i++)
        if (dy->dim[axis + i] != index->dim[i])
            return lvt_infer_error(c, "E203", "%s at dimension %lld does not have the shape of the index, %s",
                                   lvt_type_text(dy, text), (long long)axis, lvt_type_text(index, other));
    lvt_type *y = &c->results[0];
    *y = (lvt_type){.dtype = dy->dtype};
    for (int i = 0; i < axis; i++)
        y->dim[y->rank++] = dy->dim[i];
    y->dim[y->rank++] = size;
    for (int i = (int)axis + index->rank; i < dy->rank; i++)
        y->dim[y->rank++] = dy->dim[i];
    return LVT_OK;
}

static lvt_status eval(lvt_eval *c) {
    int axis = (int)lvt_int_attr(c->node, "axis");
    const lvt_type *t = &c->out[0].type;
    int64_t outer, inner, size = t->dim[axis], n = lvt_numel(&c->in[1].type);
    lvt_around(t, axis, &outer, &inner);
    memset(c->out[0].data, 0, (size_t)lvt_numel(t) * sizeof(double));
    for (int64_t o = 0; o < outer; o++)
        for (int64_t k = 0; k < n; k++) {
            int64_t i = (int64_t)c->in[1].data[k];
            i = i < 0 ? 0 : i >= size ? size - 1 : i;
            double *to = c->out[0].data + (o * size + i) * inner;
            const double *from = c->in[0].data + (o * n + k) * inner;
            for (int64_t j = 0; j < inner; j++)
                to[j] += from[j];
        }
    return LVT_OK;
}

static lvt_status grad(lvt_grad *c) {
    if (!c->wants[0])
        return LVT_OK;
    lvt_named_attr a = {"axis", lvt_attr_int(lvt_int_attr(c->node, "axis"))};
    c->doperands[0] =
        lvt_build(c->b, LVT_OP_gather, 2, (lvt_value[]){c->dresults[0], c->node->operands[1]}, 1, &a);
    return LVT_MADE(c->doperands[0]);
}

static lvt_cost cost(const lvt_node *n, const lvt_type *operands, const lvt_type *results) {
    (void)n;
    return (lvt_cost){(double)lvt_numel(&operands[0]), (double)lvt_type_bytes(&operands[0]) +
                                                           (double)lvt_type_bytes(&operands[1]) +
                                                           (double)lvt_type_bytes(&results[0])};
}

static const char *const samples[] = {"f32[5,3] in -2..2, i32[5] in 0..4 {axis = 0, size = 4}",
                                      "f32[2,3,2] in -2..2, i32[3,2] in 0..5 {axis = 1, size = 5}",
                                      "f32[2,6,3] in -2..2, i32[6] in 0..3 {axis = 1, size = 4}", NULL};

const lvt_op_def lvt_op_def_gather_grad = {
    .name = "gather_grad",
    .kind = LVT_KIND_COMPUTE,
    .min_operands = 2,
    .max_operands = 2,
    .n_results = 1,
    .operands = "dy: number, index: i32",
    .results = "table: number",
    .meaning = "gradient of gather for its table of that size: rows of dy with equal indices add up",
    .attrs = attrs,
    .n_attrs = LVT_COUNT(attrs),
    .infer = infer,
    .grad = grad,
    .eval = eval,
    .cost = cost,
    .samples = samples,
};
