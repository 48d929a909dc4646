/* The values of a kernel at the position at hand: loads, constants, pointwise ops, what is constant along a
 * row.
 *
 * Invariant: see state.h. May not know: loops. */
#include "state.h"

#include <string.h>

typedef LLVMValueRef V;

/* Through broadcasts and reshapes. */
static lvt_value origin(const lvt_nest_state *s, lvt_value v) {
    for (const lvt_node *x = lvt_value_node(s->g, v); x->op == LVT_OP_broadcast || x->op == LVT_OP_reshape;
         x = lvt_value_node(s->g, v))
        v = x->operands[0];
    return v;
}

/* v is made by op: that node, else NULL. */
static const lvt_node *made_by(const lvt_nest_state *s, lvt_value v, lvt_op op) {
    const lvt_node *n = lvt_value_node(s->g, origin(s, v));
    return n->op == op ? n : NULL;
}

/* The divisor of a softmax's division, the row's sum of exp(x - largest), or LVT_NONE. One reciprocal a row
 * and products cost a third of divisions and one more rounding. That sum lies between 1 and the length of the
 * row (or is NaN); the reciprocal of a divisor that may be smaller than 2^-126 could be infinite where the
 * quotient is not. */
static lvt_value row_divisor(const lvt_nest_state *s, const lvt_node *node) {
    if (node->op != LVT_OP_div || lvt_nest_uniform(s->n, node->result))
        return LVT_NONE;
    uint8_t type = s->g->values[node->result].type.dtype;
    lvt_value d = origin(s, node->operands[1]);
    const lvt_node *sum = made_by(s, d, LVT_OP_reduce_sum),
                   *e = sum ? made_by(s, sum->operands[0], LVT_OP_exp) : NULL,
                   *shifted = e ? made_by(s, e->operands[0], LVT_OP_sub) : NULL;
    bool softmax = shifted && made_by(s, shifted->operands[1], LVT_OP_reduce_max);
    bool one_a_row = softmax && lvt_nest_uniform(s->n, d) && s->n->loop.values[d].level > 0;
    return one_a_row && (type == LVT_F32 || type == LVT_F64) ? d : LVT_NONE;
}

static V iota(lvt_nest_state *s, const lvt_node *node, int u, int j) {
    const lvt_stream *at = &s->n->iotas[node - s->g->nodes];
    V sum = lvt_nest_i64(s, 0);
    for (int l = 0; l < lvt_nest_inner(s); l++)
        if (at->stride[l])
            sum = lvt_nest_add(s, sum, lvt_nest_mul(s, s->index[u][l], lvt_nest_i64(s, at->stride[l])));
    int64_t step = at->stride[lvt_nest_inner(s)];
    if (step)
        sum = lvt_nest_add(s, sum, lvt_nest_mul(s, s->pos[j], lvt_nest_i64(s, step)));
    V x = lvt_emit_splat(s->e, LLVMBuildTrunc(s->e->b, sum, s->e->i32, ""));
    if (step)
        x = lvt_nest_add(
            s, x, lvt_nest_mul(s, lvt_emit_lanes(s->e, s->e->i32), lvt_emit_int(s->e, s->e->i32, step)));
    return lvt_emit_cast(s->e, x, LVT_I32, (lvt_dtype)s->g->values[node->result].type.dtype);
}

V lvt_nest_compute(lvt_nest_state *s, lvt_value v, int u, int j) {
    const lvt_node *node = lvt_value_node(s->g, v);
    lvt_dtype type = (lvt_dtype)s->g->values[v].type.dtype;
    switch (node->op) {
    case LVT_OP_input: {
        uint32_t k = (uint32_t)lvt_attr_get(node, "index")->i;
        return lvt_emit_load(s->e, type, s->ptr[u][k], s->n->operands[k].stride[lvt_nest_inner(s)], s->pos[j],
                             s->mask);
    }
    case LVT_OP_constant:
        return lvt_emit_constant(s->e, type, lvt_attr_get(node, "values")->floats[0]);
    case LVT_OP_iota:
        return iota(s, node, u, j);
    case LVT_OP_cast:
        return lvt_emit_cast(s->e, lvt_nest_value(s, node->operands[0], u, j),
                             (lvt_dtype)s->g->values[node->operands[0]].type.dtype, type);
    default:
        break;
    }
    lvt_value divisor = row_divisor(s, node);
    if (divisor != LVT_NONE && s->reciprocal[divisor]) {
        V args[2] = {lvt_nest_value(s, node->operands[0], u, j), s->reciprocal[divisor]};
        return lvt_emit_op(s->e, LVT_OP_mul, type, args);
    }
    V args[3] = {0};
    for (uint32_t k = 0; k < node->n_operands && k < 3; k++)
        args[k] = lvt_nest_value(s, node->operands[k], u, j);
    if (lvt_op_of(node)->kind != LVT_KIND_POINTWISE) /* broadcast, reshape, a reduction over dims of size 1 */
        return args[0];
    lvt_dtype of = (lvt_dtype)s->g->values[node->operands[node->n_operands - 1]].type.dtype;
    return lvt_emit_op(s->e, (lvt_op)node->op, of, args);
}

V lvt_nest_value(lvt_nest_state *s, lvt_value v, int u, int j) {
    if (s->fixed[v])
        return s->fixed[v];
    u = lvt_nest_row_of(s, v, u);
    if (lvt_nest_uniform(s->n, v) && !s->hoisting) {
        if (!s->uniform[u][v])
            s->e->failed = true; /* lvt_nest_prepare() makes all of them */
        return s->uniform[u][v] ? s->uniform[u][v]
                                : lvt_emit_constant(s->e, (lvt_dtype)s->g->values[v].type.dtype, 0);
    }
    V *known = &s->at[((size_t)u * LVT_NEST_SLOTS + (size_t)j) * s->g->n_values + v];
    if (*known)
        return *known;
    for (int k = 0; k < s->n->n_hoist && !s->hoisting; k++)
        if (s->n->hoist[k] == v) {
            V offset = lvt_nest_i64(s, (int64_t)(s->n->hoist_bytes * (size_t)k));
            V at = LLVMBuildGEP2(s->e->b, s->e->i8, s->buffer, &offset, 1, "");
            return *known =
                       lvt_emit_load(s->e, (lvt_dtype)s->g->values[v].type.dtype, at, 1, s->pos[j], NULL);
        }
    return *known = lvt_nest_compute(s, v, u, j);
}

void lvt_nest_forget(lvt_nest_state *s) {
    memset(s->at, 0, sizeof(V) * LVT_NEST_ROWS * LVT_NEST_SLOTS * s->g->n_values);
}

/* Emits what is constant along the row and known after `level` passes over it. */
void lvt_nest_prepare(lvt_nest_state *s, int level) {
    V mask = s->mask;
    s->mask = NULL;
    s->pos[0] = lvt_nest_i64(s, 0);
    for (lvt_node_id i = 0; i < s->g->n_nodes; i++) {
        lvt_value v = s->g->nodes[i].result;
        const lvt_loop_value *x = &s->n->loop.values[v];
        if (!x->live || x->kind != LVT_LOOP_PLAIN || x->level > level || !lvt_nest_uniform(s->n, v) ||
            s->fixed[v])
            continue;
        for (int u = 0; u < s->rows; u++)
            if (lvt_nest_row_of(s, v, u) == u && !s->uniform[u][v])
                s->uniform[u][v] = lvt_nest_compute(s, v, u, 0);
    }
    for (lvt_node_id i = 0; i < s->g->n_nodes; i++) {
        lvt_value d =
            s->n->loop.values[s->g->nodes[i].result].live ? row_divisor(s, &s->g->nodes[i]) : LVT_NONE;
        if (d == LVT_NONE || s->reciprocal[d] || !s->uniform[0][d])
            continue;
        V one = lvt_emit_constant(s->e, (lvt_dtype)s->g->values[d].type.dtype, 1);
        s->reciprocal[d] = LLVMBuildFDiv(s->e->b, one, s->uniform[0][d], "");
    }
    s->mask = mask;
}
