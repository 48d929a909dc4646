/* gather (table, index i32) {axis}: takes the table at the indices along an axis; the result has the dims of
 * the index in the place of the axis. An index outside is moved to the nearest end. May not know: anything
 * outside ir. */
#include "common.h"

#include <string.h>

static const lvt_attr_def attrs[] = {{"axis", LVT_ATTR_INT}};

static lvt_status infer(lvt_infer *c) {
    const lvt_type *table = &c->operands[0], *index = &c->operands[1];
    int64_t axis = c->node->attrs[0].i;
    LVT_TRY(lvt_want_i32(c, 1));
    LVT_TRY(lvt_want_axis(c, axis, table->rank));
    if (table->rank + index->rank - 1 > LVT_MAX_RANK)
        return lvt_infer_error(c, "E205", "the result would have %d dimensions, at most %d are possible",
                               table->rank + index->rank - 1, LVT_MAX_RANK);
    lvt_type *y = &c->results[0];
    *y = (lvt_type){.dtype = table->dtype};
    for (int i = 0; i < axis; i++)
        y->dim[y->rank++] = table->dim[i];
    for (int i = 0; i < index->rank; i++)
        y->dim[y->rank++] = index->dim[i];
    for (int i = (int)axis + 1; i < table->rank; i++)
        y->dim[y->rank++] = table->dim[i];
    return LVT_OK;
}

static lvt_status eval(lvt_eval *c) {
    int axis = (int)c->node->attrs[0].i;
    int64_t outer, inner, size = c->in[0].type.dim[axis], n = lvt_numel(&c->in[1].type);
    lvt_around(&c->in[0].type, axis, &outer, &inner);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t k = 0; k < n; k++) {
            int64_t i = (int64_t)c->in[1].data[k];
            i = i < 0 ? 0 : i >= size ? size - 1 : i;
            memcpy(c->out[0].data + (o * n + k) * inner, c->in[0].data + (o * size + i) * inner,
                   (size_t)inner * sizeof(double));
        }
    return LVT_OK;
}

static lvt_status grad(lvt_grad *c) {
    if (!c->wants[0])
        return LVT_OK;
    int64_t axis = c->node->attrs[0].i, size = lvt_value_type(c->b->graph, c->node->operands[0])->dim[axis];
    lvt_named_attr a[] = {{"axis", lvt_attr_int(axis)}, {"size", lvt_attr_int(size)}};
    c->doperands[0] =
        lvt_build(c->b, LVT_OP_gather_grad, 2, (lvt_value[]){c->dresults[0], c->node->operands[1]}, 2, a);
    return LVT_MADE(c->doperands[0]);
}

static const char *const samples[] = {"f32[4,3] in -2..2, i32[5] in 0..4 {axis = 0}",
                                      "f32[2,5] in -2..2, i32[3,2] in 0..5 {axis = 1}",
                                      "f32[2,4,3] in -2..2, i32[6] in -1..5 {axis = 1}", NULL};

const lvt_op_def lvt_op_def_gather = {
    .name = "gather",
    .kind = LVT_KIND_COMPUTE,
    .min_operands = 2,
    .max_operands = 2,
    .n_results = 1,
    .operands = "table: any, index: i32",
    .results = "y: any",
    .meaning = "table at the indices along an axis, whose place the dims of index take; an index outside is "
               "moved to the nearest end",
    .attrs = attrs,
    .n_attrs = LVT_COUNT(attrs),
    .infer = infer,
    .grad = grad,
    .eval = eval,
    .samples = samples,
};
