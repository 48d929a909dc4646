/* Rules of pass simplify for matrix products and for the sums that gradients of slices leave. See simplify.h.
 */
#include "simplify.h"

#include <string.h>

static const lvt_type *type_of(const lvt_rewrite *r, lvt_value v) {
    return &r->out->values[v].type;
}

/* v is a transpose of the last two dims alone: what it transposes, else LVT_NONE. */
static lvt_value last_two_swapped(const lvt_graph *g, lvt_value v) {
    if (!lvt_is_op(g, v, LVT_OP_transpose))
        return LVT_NONE;
    const lvt_node *n = lvt_value_node(g, v);
    const lvt_attr *order = lvt_attr_get(n, "order");
    for (uint32_t i = 0; i + 2 < order->n; i++)
        if (order->ints[i] != i)
            return LVT_NONE;
    return order->n >= 2 && order->ints[order->n - 1] == order->n - 2 ? n->operands[0] : LVT_NONE;
}

/* Products repeat a batch of size 1 by themselves: a broadcast of batch dims alone need not be made. */
static lvt_value without_batch_broadcast(const lvt_graph *g, lvt_value v) {
    if (!lvt_is_op(g, v, LVT_OP_broadcast))
        return v;
    lvt_value x = lvt_value_node(g, v)->operands[0];
    const lvt_type *a = &g->values[x].type, *b = &g->values[v].type;
    bool same = a->rank >= 2 && a->dim[a->rank - 1] == b->dim[b->rank - 1] &&
                a->dim[a->rank - 2] == b->dim[b->rank - 2];
    return same ? x : v;
}

/* x with dims of size 1 in front, to that rank. */
static lvt_value with_rank(lvt_simplify *s, lvt_value x, int rank) {
    lvt_type t = *type_of(&s->r, x);
    int64_t dims[LVT_MAX_RANK];
    for (int i = 0; i < rank; i++)
        dims[i] = i < rank - t.rank ? 1 : t.dim[i - (rank - t.rank)];
    return t.rank < rank ? lvt_rewrite_reshape(&s->r, x, rank, dims) : x;
}

lvt_value lvt_simplify_matmul(lvt_simplify *s, const lvt_node *n) {
    lvt_rewrite *r = &s->r;
    lvt_value x[2];
    bool flip[2] = {lvt_attr_get(n, "transpose_a")->i, lvt_attr_get(n, "transpose_b")->i}, changed = false;
    const lvt_type *to = &r->in->values[n->result].type;
    for (int k = 0; k < 2; k++) {
        x[k] = r->map[n->operands[k]];
        lvt_value inner = last_two_swapped(r->out, x[k]);
        if (inner != LVT_NONE) {
            x[k] = inner;
            flip[k] = !flip[k];
            changed = true;
        }
    }
    /* Only when the result keeps its batch: one operand must still have it. */
    lvt_value a = without_batch_broadcast(r->out, x[0]), b = without_batch_broadcast(r->out, x[1]);
    if (a != x[0] && type_of(r, x[1])->rank == to->rank &&
        !memcmp(type_of(r, x[1])->dim, to->dim, (size_t)(to->rank - 2) * sizeof *to->dim)) {
        x[0] = a;
        changed = true;
    } else if (b != x[1] && type_of(r, x[0])->rank == to->rank &&
               !memcmp(type_of(r, x[0])->dim, to->dim, (size_t)(to->rank - 2) * sizeof *to->dim)) {
        x[1] = b;
        changed = true;
    }
    const lvt_type *ta = type_of(r, x[0]), *tb = type_of(r, x[1]);
    int64_t batch_b = lvt_numel(tb) / (tb->dim[tb->rank - 1] * tb->dim[tb->rank - 2]);
    if (ta->rank > 2 && batch_b == 1 && !flip[0]) {
        /* [..., M, K] by one matrix: all rows together. */
        int64_t k = ta->dim[ta->rank - 1];
        int64_t flat[2] = {lvt_numel(ta) / k, k}, matrix[2] = {tb->dim[tb->rank - 2], tb->dim[tb->rank - 1]};
        lvt_value rows = lvt_rewrite_reshape(&s->r, x[0], 2, flat);
        lvt_value y =
            lvt_build_matmul(&r->b, rows, lvt_rewrite_reshape(&s->r, x[1], 2, matrix), false, flip[1]);
        return y == LVT_NONE ? y : lvt_rewrite_reshape(&s->r, y, to->rank, to->dim);
    }
    if (!changed && ta->rank == tb->rank)
        return LVT_NONE;
    int rank = to->rank; /* kernels want operands of equal rank */
    return lvt_build_matmul(&r->b, with_rank(s, x[0], rank), with_rank(s, x[1], rank), flip[0], flip[1]);
}

lvt_value lvt_simplify_summed_matmul(lvt_simplify *s, const lvt_node *n, uint32_t mask) {
    lvt_rewrite *r = &s->r;
    const lvt_node *mm = lvt_value_node(r->out, r->map[n->operands[0]]);
    const lvt_type *t = type_of(r, mm->result), *to = &r->in->values[n->result].type;
    const lvt_type *ta = type_of(r, mm->operands[0]), *tb = type_of(r, mm->operands[1]);
    /* sum over batches of A^T B, where the batches lie just before the rows that are summed anyway: one
     * product with longer columns. Only the batch dims next to the matrix can join without moving anything.
     */
    if (!lvt_attr_get(mm, "transpose_a")->i || lvt_attr_get(mm, "transpose_b")->i || t->rank < 3 ||
        ta->rank != t->rank || tb->rank != t->rank ||
        memcmp(ta->dim, tb->dim, (size_t)(t->rank - 2) * sizeof *t->dim))
        return LVT_NONE;
    int batch = t->rank - 2, from = 0; /* dims from..batch-1 are summed */
    while (from < batch && !(mask & (1u << from)))
        from++;
    if (from == batch || mask != ((1u << batch) - 1) - ((1u << from) - 1))
        return LVT_NONE;
    int64_t da[LVT_MAX_RANK], db[LVT_MAX_RANK], rows = ta->dim[batch];
    for (int i = 0; i < batch; i++) {
        if (i < from)
            da[i] = db[i] = ta->dim[i];
        else
            rows *= ta->dim[i];
    }
    da[from] = db[from] = rows;
    da[from + 1] = ta->dim[batch + 1];
    db[from + 1] = tb->dim[batch + 1];
    lvt_value a = lvt_rewrite_reshape(&s->r, mm->operands[0], from + 2, da);
    lvt_value b = lvt_rewrite_reshape(&s->r, mm->operands[1], from + 2, db);
    lvt_value y = lvt_build_matmul(&r->b, a, b, true, false);
    return y == LVT_NONE ? y : lvt_rewrite_reshape(&s->r, y, to->rank, to->dim);
}

lvt_value lvt_simplify_joined_pads(lvt_simplify *s, const lvt_node *n) {
    lvt_rewrite *r = &s->r;
    lvt_value parts[2];
    int64_t before[2], axis[2], size[2];
    for (int k = 0; k < 2; k++) {
        lvt_value v = r->map[n->operands[k]];
        if (!lvt_is_op(r->out, v, LVT_OP_pad))
            return LVT_NONE;
        const lvt_node *pad = lvt_value_node(r->out, v);
        if (lvt_attr_get(pad, "value")->f != 0)
            return LVT_NONE;
        parts[k] = pad->operands[0];
        axis[k] = lvt_attr_get(pad, "axis")->i;
        before[k] = lvt_attr_get(pad, "before")->i;
        size[k] = type_of(r, parts[k])->dim[axis[k]];
    }
    int first = before[0] <= before[1] ? 0 : 1;
    if (axis[0] != axis[1] || before[first] != 0 || before[!first] != size[first] ||
        size[0] + size[1] != r->in->values[n->result].type.dim[axis[0]])
        return LVT_NONE;
    lvt_value ordered[2] = {parts[first], parts[!first]};
    return lvt_build_concat(&r->b, 2, ordered, (int)axis[0]);
}
