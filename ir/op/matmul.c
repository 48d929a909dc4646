/* matmul (a, b) {transpose_a, transpose_b}: products of the last two dims; the dims before them broadcast.
 * May not know: anything outside ir. */
#include "common.h"

#include <string.h>

static const lvt_attr_def attrs[] = {{"transpose_a", LVT_ATTR_BOOL}, {"transpose_b", LVT_ATTR_BOOL}};

/* Rows and columns of an operand after its transposition. */
static void matrix(const lvt_type *t, bool transposed, int64_t *rows, int64_t *columns) {
    *rows = t->dim[t->rank - 1 - !transposed];
    *columns = t->dim[t->rank - 1 - transposed];
}

/* The dims before the matrix, as a type of their own. */
static lvt_type batch_of(const lvt_type *t) {
    return lvt_type_make((lvt_dtype)t->dtype, t->rank - 2, t->dim);
}

static lvt_status infer(lvt_infer *c) {
    const lvt_type *a = &c->operands[0], *b = &c->operands[1];
    char text[LVT_TYPE_TEXT], other[LVT_TYPE_TEXT];
    int64_t m, k, k2, n;
    LVT_TRY(lvt_want_float(c, 0));
    LVT_TRY(lvt_want_same_dtype(c));
    LVT_TRY(lvt_want_rank(c, 0, 2, LVT_MAX_RANK));
    LVT_TRY(lvt_want_rank(c, 1, 2, LVT_MAX_RANK));
    matrix(a, c->node->attrs[0].i, &m, &k);
    matrix(b, c->node->attrs[1].i, &k2, &n);
    if (k != k2)
        return lvt_infer_error(c, "E204", "inner dimensions differ, %lld and %lld", (long long)k,
                               (long long)k2);
    lvt_type batch_a = batch_of(a), batch_b = batch_of(b), *y = &c->results[0];
    if (!lvt_broadcast_types(&batch_a, &batch_b, y))
        return lvt_infer_error(c, "E203", "the dimensions before the last two do not fit, %s and %s",
                               lvt_type_text(a, text), lvt_type_text(b, other));
    y->dim[y->rank++] = m;
    y->dim[y->rank++] = n;
    return LVT_OK;
}

/* Strides of an operand's batch dims along those of the result. */
static void batch_strides(const lvt_type *t, const lvt_type *y, int64_t out[LVT_MAX_RANK]) {
    int64_t strides[LVT_MAX_RANK];
    lvt_strides(t, strides);
    memset(out, 0, LVT_MAX_RANK * sizeof *out);
    for (int i = 0; i < t->rank - 2; i++)
        out[y->rank - t->rank + i] = t->dim[i] == 1 ? 0 : strides[i];
}

static lvt_status eval(lvt_eval *c) {
    const lvt_type *a = &c->in[0].type, *b = &c->in[1].type, *y = &c->out[0].type;
    bool ta = c->node->attrs[0].i, tb = c->node->attrs[1].i;
    int64_t m, n, k, index[LVT_MAX_RANK] = {0}, sa[LVT_MAX_RANK], sb[LVT_MAX_RANK], at_a = 0, at_b = 0;
    matrix(a, ta, &m, &k);
    matrix(b, tb, &k, &n);
    batch_strides(a, y, sa);
    batch_strides(b, y, sb);
    double *packed = tb ? lvt_arena_alloc(c->arena, (size_t)(k * n) * sizeof *packed) : NULL;
    if (tb && !packed)
        return LVT_NOMEM;
    memset(c->out[0].data, 0, (size_t)lvt_numel(y) * sizeof(double));
    int64_t batches = lvt_numel(y) / (m * n), packed_at = -1;
    for (int64_t i = 0; i < batches; i++) {
        const double *x = c->in[0].data + at_a, *w = c->in[1].data + at_b;
        if (tb && packed_at != at_b) {
            for (int64_t p = 0; p < k; p++)
                for (int64_t j = 0; j < n; j++)
                    packed[p * n + j] = w[j * k + p];
            packed_at = at_b;
        }
        lvt_gemm(m, n, k, x, ta ? 1 : k, ta ? m : 1, tb ? packed : w, n, c->out[0].data + i * m * n, n);
        for (int d = y->rank - 3; d >= 0; d--) {
            at_a += sa[d];
            at_b += sb[d];
            if (++index[d] < y->dim[d])
                break;
            at_a -= sa[d] * y->dim[d];
            at_b -= sb[d] * y->dim[d];
            index[d] = 0;
        }
    }
    return LVT_OK;
}

static lvt_value grad_a(lvt_grad *c, lvt_value g, lvt_value b, bool ta, bool tb) {
    return ta ? lvt_build_matmul(c->b, b, g, tb, true) : lvt_build_matmul(c->b, g, b, false, !tb);
}

/* When b is one matrix for all batches of a, its gradient is one large product, not many small ones and their
 * sum. */
static lvt_value grad_b(lvt_grad *c, lvt_value g, lvt_value a, lvt_value b, bool ta, bool tb) {
    lvt_type type = *lvt_value_type(c->b->graph, a);
    if (lvt_value_type(c->b->graph, b)->rank == 2 && type.rank > 2) {
        int64_t m, n, k, order[LVT_MAX_RANK] = {0, 1, 2, 3, 4, 5};
        if (ta) {
            order[type.rank - 1] = type.rank - 2;
            order[type.rank - 2] = type.rank - 1;
            a = lvt_build_transpose(c->b, a, order);
        }
        matrix(&type, ta, &m, &k);
        lvt_type dy = *lvt_value_type(c->b->graph, g);
        n = dy.dim[dy.rank - 1];
        a = lvt_build_reshape(c->b, a, 2, (int64_t[]){lvt_numel(&type) / k, k});
        g = lvt_build_reshape(c->b, g, 2, (int64_t[]){lvt_numel(&dy) / n, n});
        ta = false;
    }
    return tb ? lvt_build_matmul(c->b, g, a, true, ta) : lvt_build_matmul(c->b, a, g, !ta, false);
}

static lvt_status grad(lvt_grad *c) {
    lvt_value a = c->node->operands[0], b = c->node->operands[1];
    bool ta = c->node->attrs[0].i, tb = c->node->attrs[1].i;
    lvt_type types[2] = {*lvt_value_type(c->b->graph, a), *lvt_value_type(c->b->graph, b)};
    for (int k = 0; k < 2; k++) {
        if (!c->wants[k])
            continue;
        lvt_value g = k ? grad_b(c, c->dresults[0], a, b, ta, tb) : grad_a(c, c->dresults[0], b, ta, tb);
        c->doperands[k] = lvt_build_unbroadcast(c->b, g, &types[k]);
        LVT_TRY(LVT_MADE(c->doperands[k]));
    }
    return LVT_OK;
}

static lvt_cost cost(const lvt_node *node, const lvt_type *operands, const lvt_type *results) {
    int64_t m, k;
    matrix(&operands[0], node->attrs[0].i, &m, &k);
    return (lvt_cost){2.0 * (double)lvt_numel(&results[0]) * (double)k,
                      (double)lvt_type_bytes(&operands[0]) + (double)lvt_type_bytes(&operands[1]) +
                          (double)lvt_type_bytes(&results[0])};
}

static const char *const samples[] = {
    "f32[2,3] in -2..2, f32[3,4] in -2..2",
    "f32[5,6] in -2..2, f32[7,6] in -2..2 {transpose_b = true}",
    "f32[3,2] in -2..2, f32[3,4] in -2..2 {transpose_a = true}",
    "f32[3,2] in -2..2, f32[4,3] in -2..2 {transpose_a = true, transpose_b = true}",
    "f32[2,3,4] in -2..2, f32[4,5] in -2..2",
    "f32[2,4,3] in -2..2, f32[5,4] in -2..2 {transpose_a = true, transpose_b = true}",
    "f32[2,2,3,4] in -2..2, f32[2,5,4] in -2..2 {transpose_b = true}",
    "f32[2,1,3,2] in -2..2, f32[1,3,2,3] in -2..2",
    NULL};

const lvt_op_def lvt_op_def_matmul = {
    .name = "matmul",
    .kind = LVT_KIND_COMPUTE,
    .min_operands = 2,
    .max_operands = 2,
    .n_results = 1,
    .operands = "a: float [..., N, K], b: float [..., K, M]",
    .results = "y: float [..., N, M]",
    .meaning = "matrix products of the last two dims; dims before them broadcast; a @ b says it shorter",
    .attrs = attrs,
    .n_attrs = LVT_COUNT(attrs),
    .infer = infer,
    .grad = grad,
    .eval = eval,
    .cost = cost,
    .samples = samples,
};
