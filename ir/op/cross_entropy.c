/* cross_entropy (logits [...,C], labels i32 [...]) -> loss [...]: log(sum(exp(logits))) - logits[label]. A
 * label outside 0..C-1 picks nothing: its loss is the first term alone. May not know: anything outside ir. */
#include "common.h"

#include <math.h>

static lvt_status infer(lvt_infer *c) {
    const lvt_type *x = &c->operands[0], *labels = &c->operands[1];
    char text[LVT_TYPE_TEXT], other[LVT_TYPE_TEXT];
    LVT_TRY(lvt_want_float(c, 0));
    LVT_TRY(lvt_want_i32(c, 1));
    LVT_TRY(lvt_want_rank(c, 0, 1, LVT_MAX_RANK));
    lvt_type y = lvt_type_make((lvt_dtype)x->dtype, x->rank - 1, x->dim);
    if (!lvt_shape_equal(&y, labels))
        return lvt_infer_error(c, "E203", "logits %s need labels for all but the last dimension, not %s",
                               lvt_type_text(x, text), lvt_type_text(labels, other));
    c->results[0] = y;
    return LVT_OK;
}

static lvt_status eval(lvt_eval *c) {
    const lvt_type *t = &c->in[0].type;
    int64_t n = t->dim[t->rank - 1], rows = lvt_numel(t) / n;
    for (int64_t i = 0; i < rows; i++) {
        const double *x = c->in[0].data + i * n;
        double label = c->in[1].data[i], largest = -INFINITY, sum = 0;
        for (int64_t k = 0; k < n; k++)
            largest = fmax(largest, x[k]);
        for (int64_t k = 0; k < n; k++)
            sum += exp(x[k] - largest);
        double picked = label >= 0 && label < (double)n ? x[(int64_t)label] : 0;
        c->out[0].data[i] = log(sum) + largest - picked;
    }
    return LVT_OK;
}

/* Where class == label, at the shape of the logits. */
static lvt_value hits(lvt_builder *b, lvt_value logits, lvt_value labels) {
    lvt_type wide = *lvt_value_type(b->graph, logits), narrow = wide;
    narrow.dim[narrow.rank - 1] = 1;
    lvt_named_attr a[] = {{"dtype", lvt_attr_dtype(LVT_I32)},
                          {"shape", lvt_attr_ints(wide.dim, wide.rank)},
                          {"axis", lvt_attr_int(wide.rank - 1)}};
    lvt_value classes = lvt_build(b, LVT_OP_iota, 0, NULL, 3, a);
    return lvt_build_binary(b, LVT_OP_eq, classes, lvt_build_reshape(b, labels, narrow.rank, narrow.dim));
}

static lvt_status decompose(lvt_builder *b, const lvt_node *node, const lvt_value *operands,
                            lvt_value *results) {
    (void)node;
    lvt_value x = operands[0];
    lvt_type type = *lvt_value_type(b->graph, x);
    int64_t axis = type.rank - 1;
    lvt_value largest = lvt_build_reduce(b, LVT_OP_reduce_max, x, 1, &axis, true);
    lvt_value e = lvt_build_unary(b, LVT_OP_exp, lvt_build_binary(b, LVT_OP_sub, x, largest));
    lvt_value sum = lvt_build_reduce(b, LVT_OP_reduce_sum, e, 1, &axis, true);
    lvt_value zero = lvt_build_scalar(b, (lvt_dtype)type.dtype, 0);
    lvt_value picked = lvt_build_select(b, hits(b, x, operands[1]), x, zero);
    picked = lvt_build_reduce(b, LVT_OP_reduce_sum, picked, 1, &axis, true);
    lvt_value loss = lvt_build_binary(b, LVT_OP_add, lvt_build_unary(b, LVT_OP_log, sum), largest);
    loss = lvt_build_binary(b, LVT_OP_sub, loss, picked);
    results[0] = lvt_build_reshape(b, loss, type.rank - 1, type.dim);
    return LVT_MADE(results[0]);
}

/* dlogits = g * (softmax(logits) - [class == label]) */
static lvt_status grad(lvt_grad *c) {
    if (!c->wants[0])
        return LVT_OK;
    lvt_builder *b = c->b;
    lvt_value x = c->node->operands[0];
    lvt_type type = *lvt_value_type(b->graph, x), narrow = type;
    narrow.dim[narrow.rank - 1] = 1;
    lvt_value p = lvt_build_unary(b, LVT_OP_softmax, x);
    lvt_value hit = lvt_build_cast(b, hits(b, x, c->node->operands[1]), (lvt_dtype)type.dtype);
    lvt_value g = lvt_build_reshape(b, c->dresults[0], narrow.rank, narrow.dim);
    c->doperands[0] = lvt_build_binary(b, LVT_OP_mul, lvt_build_binary(b, LVT_OP_sub, p, hit), g);
    return LVT_MADE(c->doperands[0]);
}

static lvt_cost cost(const lvt_node *n, const lvt_type *operands, const lvt_type *results) {
    (void)n;
    return (lvt_cost){3 * (double)lvt_numel(&operands[0]), (double)lvt_type_bytes(&operands[0]) +
                                                               (double)lvt_type_bytes(&operands[1]) +
                                                               (double)lvt_type_bytes(&results[0])};
}

static const char *const samples[] = {"f32[4,5] in -3..3, i32[4] in 0..5",
                                      "f32[2,3,4] in -3..3, i32[2,3] in 0..4",
                                      "f32[3,2] in -30..30, i32[3] in -1..3", NULL};

const lvt_op_def lvt_op_def_cross_entropy = {
    .name = "cross_entropy",
    .kind = LVT_KIND_COMPUTE,
    .min_operands = 2,
    .max_operands = 2,
    .n_results = 1,
    .operands = "logits: float [..., C], labels: i32 [...]",
    .results = "loss: float [...]",
    .meaning = "log(sum(exp(logits))) - logits[label] for each row",
    .infer = infer,
    .grad = grad,
    .eval = eval,
    .decompose = decompose,
    .cost = cost,
    .samples = samples,
};
