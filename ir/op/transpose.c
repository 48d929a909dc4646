/* transpose {order}: dim i of the result is dim order[i] of the operand.
 * May not know: anything outside ir. */
#include "common.h"

static const lvt_attr_def attrs[] = {{"order", LVT_ATTR_INTS, .required = true}};

static lvt_status infer(lvt_infer *c) {
    const lvt_attr *order = &c->node->attrs[0];
    const lvt_type *x = &c->operands[0];
    char text[160];
    unsigned seen = 0;
    if (order->n != x->rank)
        return lvt_infer_error(c, "E205", "order %s has %u entries for %d dimensions",
                               lvt_ints_text(order, text, sizeof text), order->n, x->rank);
    c->results[0] = *x;
    for (int i = 0; i < x->rank; i++) {
        LVT_TRY(lvt_want_axis(c, order->ints[i], x->rank));
        if (seen >> order->ints[i] & 1)
            return lvt_infer_error(c, "E207", "order %s names dimension %lld twice",
                                   lvt_ints_text(order, text, sizeof text), (long long)order->ints[i]);
        seen |= 1u << order->ints[i];
        c->results[0].dim[i] = x->dim[order->ints[i]];
    }
    return LVT_OK;
}

static lvt_status eval(lvt_eval *c) {
    int64_t strides[LVT_MAX_RANK], permuted[LVT_MAX_RANK] = {0};
    lvt_strides(&c->in[0].type, strides);
    for (int i = 0; i < c->in[0].type.rank; i++)
        permuted[i] = strides[c->node->attrs[0].ints[i]];
    lvt_strided_read(&c->out[0].type, c->out[0].data, c->in[0].data, permuted);
    return LVT_OK;
}

static lvt_status grad(lvt_grad *c) {
    int64_t inverse[LVT_MAX_RANK];
    for (uint32_t i = 0; i < c->node->attrs[0].n; i++)
        inverse[c->node->attrs[0].ints[i]] = i;
    c->doperands[0] = lvt_build_transpose(c->b, c->dresults[0], inverse);
    return LVT_MADE(c->doperands[0]);
}

static const char *const samples[] = {"f32[2,3] in -2..2 {order = [1, 0]}",
                                      "f32[2,3,4] in -2..2 {order = [2, 0, 1]}",
                                      "f32[2,3,2,2] in -2..2 {order = [0, 2, 1, 3]}", NULL};

const lvt_op_def lvt_op_def_transpose = {
    .name = "transpose",
    .kind = LVT_KIND_VIEW,
    .min_operands = 1,
    .max_operands = 1,
    .n_results = 1,
    .operands = "x: any",
    .results = "y: any",
    .meaning = "dims in another order: dim i of the result is dim order[i] of x",
    .attrs = attrs,
    .n_attrs = LVT_COUNT(attrs),
    .infer = infer,
    .grad = grad,
    .eval = eval,
    .samples = samples,
};
