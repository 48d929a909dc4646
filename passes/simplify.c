/* Pass simplify: nodes that change nothing go, chains of shape changes become one, products become the shapes
 * that kernels like.
 *
 * Invariant: each rule replaces one node by others that compute the same up to rounding and the sign of zero,
 * NaN and infinities included (what overflows in between may be spared it), looking at operands only; since
 * operands were simplified before, one pass over the graph reaches a fixed point for nearly all. May not
 * know: kernels. The rules for matrix products are in simplify_matmul.c. */
#include "simplify.h"

#include <math.h>
#include <string.h>

#define OPERAND(r, n, k) ((r)->map[(n)->operands[k]])

static const lvt_type *type_of(const lvt_rewrite *r, lvt_value v) {
    return &r->out->values[v].type;
}

/* The only user of operand k of n is n, so what it computes may change. */
static bool single(const lvt_simplify *s, const lvt_node *n, uint32_t k) {
    return lvt_only_user(&s->uses, n->operands[k]) != LVT_NONE;
}

/* v is f(x, c) with f that op and c a splat: returns x. */
static lvt_value with_constant(const lvt_graph *g, lvt_value v, lvt_op op, double *c) {
    if (!lvt_is_op(g, v, op))
        return LVT_NONE;
    const lvt_node *n = lvt_value_node(g, v);
    if (lvt_is_splat(g, n->operands[1], c))
        return n->operands[0];
    if ((op == LVT_OP_mul || op == LVT_OP_add) && lvt_is_splat(g, n->operands[0], c))
        return n->operands[1];
    return LVT_NONE;
}

static lvt_value scaled(lvt_rewrite *r, lvt_value x, double c) {
    if (c == 1)
        return x;
    lvt_value k = lvt_splat(&r->b, type_of(r, x), c);
    return lvt_build_binary(&r->b, LVT_OP_mul, x, k);
}

/* ---- arithmetic ---- */

/* A factor that is neither 0 nor infinite in any float type, nor makes those of others. */
static bool moderate(double c) {
    return fabs(c) > 1e-30 && fabs(c) < 1e30;
}

static lvt_value simplify_mul(lvt_simplify *s, const lvt_node *n) {
    lvt_rewrite *r = &s->r;
    lvt_value a = OPERAND(r, n, 0), b = OPERAND(r, n, 1);
    double c, d;
    uint32_t other = 0;
    if (lvt_is_splat(r->out, a, &c)) {
        lvt_value t = a;
        a = b;
        b = t;
        other = 1;
    } else if (!lvt_is_splat(r->out, b, &c)) {
        return LVT_NONE;
    }
    if (c == 1)
        return a;
    if (!lvt_dtype_is_float((lvt_dtype)type_of(r, a)->dtype))
        return LVT_NONE;
    if (c == -1)
        return lvt_build_unary(&r->b, LVT_OP_neg, a);
    lvt_value x = with_constant(r->out, a, LVT_OP_mul, &d);
    return x != LVT_NONE && single(s, n, other) && moderate(c * d) ? scaled(r, x, c * d) : LVT_NONE;
}

static lvt_value simplify_div(lvt_simplify *s, const lvt_node *n) {
    lvt_rewrite *r = &s->r;
    lvt_value a = OPERAND(r, n, 0), b = OPERAND(r, n, 1);
    double c, d;
    if (!lvt_is_splat(r->out, b, &c))
        return LVT_NONE;
    if (c == 1)
        return a;
    if (!lvt_dtype_is_float((lvt_dtype)type_of(r, a)->dtype) || !moderate(c))
        return LVT_NONE;
    lvt_value x = with_constant(r->out, a, LVT_OP_mul, &d);
    if (x != LVT_NONE && single(s, n, 0) && moderate(d / c))
        return scaled(r, x, d / c);
    return scaled(r, a, 1 / c); /* one rounding more than the division, in the last bit */
}

/* Small whole powers are products; these have the same values at 0, infinity and NaN. */
static lvt_value simplify_pow(lvt_simplify *s, const lvt_node *n) {
    lvt_rewrite *r = &s->r;
    lvt_value a = OPERAND(r, n, 0);
    double c;
    if (!lvt_is_splat(r->out, OPERAND(r, n, 1), &c))
        return LVT_NONE;
    if (c == 0)
        return lvt_splat(&r->b, type_of(r, a), 1);
    if (c == 1)
        return a;
    if (c == -1)
        return lvt_build_binary(&r->b, LVT_OP_div, lvt_splat(&r->b, type_of(r, a), 1), a);
    if (c != 2 && c != 3)
        return LVT_NONE;
    lvt_value square = lvt_build_binary(&r->b, LVT_OP_mul, a, a);
    return c == 2 ? square : lvt_build_binary(&r->b, LVT_OP_mul, square, a);
}

static lvt_value simplify_add_sub(lvt_simplify *s, const lvt_node *n) {
    lvt_rewrite *r = &s->r;
    lvt_value a = OPERAND(r, n, 0), b = OPERAND(r, n, 1);
    double c;
    if (lvt_is_splat(r->out, b, &c) && c == 0)
        return a;
    if (n->op == LVT_OP_add && lvt_is_splat(r->out, a, &c) && c == 0)
        return b;
    if (lvt_is_op(r->out, b, LVT_OP_neg))
        return lvt_build_binary(&r->b, n->op == LVT_OP_add ? LVT_OP_sub : LVT_OP_add, a,
                                lvt_value_node(r->out, b)->operands[0]);
    return n->op == LVT_OP_add ? lvt_simplify_joined_pads(s, n) : LVT_NONE;
}

static lvt_value simplify_neg(lvt_simplify *s, const lvt_node *n) {
    lvt_rewrite *r = &s->r;
    lvt_value a = OPERAND(r, n, 0);
    if (lvt_is_op(r->out, a, LVT_OP_neg))
        return lvt_value_node(r->out, a)->operands[0];
    if (lvt_is_op(r->out, a, LVT_OP_sub) && single(s, n, 0)) {
        const lvt_node *sub = lvt_value_node(r->out, a);
        return lvt_build_binary(&r->b, LVT_OP_sub, sub->operands[1], sub->operands[0]);
    }
    return LVT_NONE;
}

/* ---- shapes ---- */

static lvt_value simplify_reshape(lvt_simplify *s, const lvt_node *n) {
    lvt_rewrite *r = &s->r;
    const lvt_type *t = &r->in->values[n->result].type;
    lvt_value x = OPERAND(r, n, 0);
    if (lvt_type_equal(type_of(r, x), t))
        return x;
    if (lvt_is_op(r->out, x, LVT_OP_reshape))
        return lvt_rewrite_reshape(&s->r, x, t->rank, t->dim);
    const lvt_node *from = lvt_value_node(r->out, x);
    if (!lvt_is_reduce(from) || !single(s, n, 0))
        return LVT_NONE;
    /* A reduction whose dims come back as size 1, or whose kept dims go: the reduction itself can do that. */
    const lvt_type *in = type_of(r, from->operands[0]);
    uint32_t mask = lvt_reduce_mask(r->out, from);
    int64_t axes[LVT_MAX_RANK];
    for (int keep = 0; keep < 2; keep++) {
        lvt_type want = {.dtype = t->dtype};
        int n_axes = 0;
        for (int i = 0; i < in->rank; i++) {
            if (!(mask & (1u << i)))
                want.dim[want.rank++] = in->dim[i];
            else if (keep)
                want.dim[want.rank++] = 1;
            if (mask & (1u << i))
                axes[n_axes++] = i;
        }
        if (lvt_type_equal(&want, t))
            return lvt_build_reduce(&r->b, (lvt_op)from->op, from->operands[0], n_axes, axes, keep);
    }
    return LVT_NONE;
}

static lvt_value simplify_transpose(lvt_simplify *s, const lvt_node *n) {
    lvt_rewrite *r = &s->r;
    lvt_value x = OPERAND(r, n, 0);
    const lvt_attr *order = lvt_attr_get(n, "order");
    const lvt_type *t = type_of(r, x);
    int64_t composed[LVT_MAX_RANK], last = -1;
    bool identity = true, moves = false;
    if (lvt_is_op(r->out, x, LVT_OP_transpose)) {
        const lvt_node *inner = lvt_value_node(r->out, x);
        const lvt_attr *first = lvt_attr_get(inner, "order");
        for (uint32_t i = 0; i < order->n; i++) {
            composed[i] = first->ints[order->ints[i]];
            identity &= composed[i] == i;
        }
        return identity ? inner->operands[0] : lvt_build_transpose(&r->b, inner->operands[0], composed);
    }
    for (uint32_t i = 0; i < order->n; i++) {
        if (t->dim[order->ints[i]] == 1)
            continue;
        moves |= order->ints[i] < last;
        last = order->ints[i];
    }
    if (moves)
        return LVT_NONE;
    const lvt_type *to = &r->in->values[n->result].type; /* only dims of size 1 move */
    return lvt_rewrite_reshape(&s->r, x, to->rank, to->dim);
}

static lvt_value simplify_broadcast(lvt_simplify *s, const lvt_node *n) {
    lvt_rewrite *r = &s->r;
    lvt_value x = OPERAND(r, n, 0);
    const lvt_type *t = &r->in->values[n->result].type;
    if (lvt_type_equal(type_of(r, x), t))
        return x;
    if (lvt_is_op(r->out, x, LVT_OP_broadcast))
        return lvt_build_broadcast(&r->b, lvt_value_node(r->out, x)->operands[0], t->rank, t->dim);
    if (lvt_is_op(r->out, x, LVT_OP_reshape)) { /* leading dims of size 1 are broadcast's own business */
        lvt_value y = lvt_value_node(r->out, x)->operands[0];
        const lvt_type *a = type_of(r, y), *b = type_of(r, x);
        int extra = b->rank - a->rank;
        bool leading = extra > 0 && !memcmp(a->dim, b->dim + extra, (size_t)a->rank * sizeof *a->dim);
        for (int i = 0; i < extra; i++)
            leading &= b->dim[i] == 1;
        if (leading)
            return lvt_build_broadcast(&r->b, y, t->rank, t->dim);
    }
    return LVT_NONE;
}

static lvt_value simplify_slice(lvt_simplify *s, const lvt_node *n) {
    lvt_rewrite *r = &s->r;
    lvt_value x = OPERAND(r, n, 0);
    if (lvt_type_equal(type_of(r, x), &r->in->values[n->result].type))
        return x;
    int axis = (int)lvt_attr_get(n, "axis")->i;
    int64_t begin = lvt_attr_get(n, "begin")->i, end = lvt_attr_get(n, "end")->i;
    if (lvt_attr_get(n, "step")->i != 1 || !lvt_is_op(r->out, x, LVT_OP_concat))
        return LVT_NONE;
    const lvt_node *concat = lvt_value_node(r->out, x);
    if (lvt_attr_get(concat, "axis")->i != axis)
        return LVT_NONE;
    for (uint32_t k = 0; k < concat->n_operands; k++) { /* of one part alone */
        int64_t size = type_of(r, concat->operands[k])->dim[axis];
        if (begin >= 0 && end <= size)
            return begin == 0 && end == size ? concat->operands[k]
                                             : lvt_build_slice(&r->b, concat->operands[k], axis, begin, end);
        begin -= size;
        end -= size;
        if (begin < 0)
            break;
    }
    return LVT_NONE;
}

static lvt_value simplify_pad(lvt_simplify *s, const lvt_node *n) {
    lvt_rewrite *r = &s->r;
    lvt_value x = OPERAND(r, n, 0);
    return lvt_type_equal(type_of(r, x), &r->in->values[n->result].type) ? x : LVT_NONE;
}

static lvt_value simplify_cast(lvt_simplify *s, const lvt_node *n) {
    lvt_value x = OPERAND(&s->r, n, 0);
    return type_of(&s->r, x)->dtype == s->r.in->values[n->result].type.dtype ? x : LVT_NONE;
}

static lvt_value simplify_concat(lvt_simplify *s, const lvt_node *n) {
    return n->n_operands == 1 ? OPERAND(&s->r, n, 0) : LVT_NONE;
}

static lvt_value simplify_select(lvt_simplify *s, const lvt_node *n) {
    double c;
    if (lvt_is_splat(s->r.out, OPERAND(&s->r, n, 0), &c))
        return OPERAND(&s->r, n, c != 0 ? 1 : 2);
    return OPERAND(&s->r, n, 1) == OPERAND(&s->r, n, 2) ? OPERAND(&s->r, n, 1) : LVT_NONE;
}

static lvt_value simplify_reduce(lvt_simplify *s, const lvt_node *n) {
    lvt_rewrite *r = &s->r;
    lvt_value x = OPERAND(r, n, 0);
    const lvt_type *t = type_of(r, x), *to = &r->in->values[n->result].type;
    uint32_t mask = lvt_reduce_mask(r->in, n);
    if (lvt_numel(t) == lvt_numel(to))
        return lvt_rewrite_reshape(&s->r, x, to->rank, to->dim);
    if (n->op == LVT_OP_reduce_sum && lvt_is_op(r->out, x, LVT_OP_matmul) && single(s, n, 0))
        return lvt_simplify_summed_matmul(s, n, mask);
    if (lvt_is_op(r->out, x, (lvt_op)n->op) && single(s, n, 0)) { /* a reduction of a reduction */
        const lvt_node *inner = lvt_value_node(r->out, x);
        const lvt_type *whole = type_of(r, inner->operands[0]);
        uint32_t first = lvt_reduce_mask(r->out, inner);
        bool kept = t->rank == whole->rank, keep = to->rank == t->rank;
        int64_t axes[LVT_MAX_RANK];
        int n_axes = 0;
        if (kept != keep)
            return LVT_NONE;
        for (int i = 0, j = 0; i < whole->rank; i++) {
            bool gone = first & (1u << i);
            if (gone || (mask & (1u << (kept ? i : j))))
                axes[n_axes++] = i;
            j += !gone;
        }
        return lvt_build_reduce(&r->b, (lvt_op)n->op, inner->operands[0], n_axes, axes, keep);
    }
    return LVT_NONE;
}

static lvt_value simplify_stop_gradient(lvt_simplify *s, const lvt_node *n) {
    for (uint32_t i = 0; i < s->r.in->n_nodes; i++)
        if (s->r.in->nodes[i].op == LVT_OP_gradient)
            return LVT_NONE; /* autodiff has yet to see it */
    return OPERAND(&s->r, n, 0);
}

/* ---- the pass ---- */

typedef lvt_value (*rule)(lvt_simplify *s, const lvt_node *n);
static const rule rules[LVT_N_OPS] = {
    [LVT_OP_mul] = simplify_mul,
    [LVT_OP_div] = simplify_div,
    [LVT_OP_add] = simplify_add_sub,
    [LVT_OP_sub] = simplify_add_sub,
    [LVT_OP_neg] = simplify_neg,
    [LVT_OP_pow] = simplify_pow,
    [LVT_OP_reshape] = simplify_reshape,
    [LVT_OP_transpose] = simplify_transpose,
    [LVT_OP_broadcast] = simplify_broadcast,
    [LVT_OP_slice] = simplify_slice,
    [LVT_OP_pad] = simplify_pad,
    [LVT_OP_cast] = simplify_cast,
    [LVT_OP_concat] = simplify_concat,
    [LVT_OP_select] = simplify_select,
    [LVT_OP_reduce_sum] = simplify_reduce,
    [LVT_OP_reduce_mean] = simplify_reduce,
    [LVT_OP_reduce_max] = simplify_reduce,
    [LVT_OP_stop_gradient] = simplify_stop_gradient,
    [LVT_OP_matmul] = lvt_simplify_matmul,
};

static lvt_graph *simplify_once(lvt_pass *ctx, const lvt_graph *in, bool *changed) {
    lvt_simplify s = {0};
    *changed = false;
    if (!lvt_rewrite_begin(&s.r, ctx, in))
        return NULL;
    if (!lvt_graph_uses(in, ctx->arena, &s.uses))
        return lvt_pass_nomem(ctx);
    for (lvt_node_id i = 0; i < in->n_nodes && !s.r.out->failed; i++) {
        const lvt_node *n = &in->nodes[i];
        lvt_rewrite_at(&s.r, i);
        lvt_value v = rules[n->op] ? rules[n->op](&s, n) : LVT_NONE;
        if (v == LVT_NONE) {
            lvt_rewrite_copy(&s.r, i);
        } else {
            lvt_rewrite_replace(&s.r, i, &v);
            *changed = true;
        }
    }
    return lvt_rewrite_end(&s.r);
}

lvt_graph *lvt_pass_simplify(lvt_pass *ctx, const lvt_graph *in) {
    enum { MOST_ROUNDS = 4 }; /* rules that look for a single user see it once dead nodes are gone */
    lvt_graph *g = (lvt_graph *)in;
    bool changed = true;
    for (int round = 0; g && changed && round < MOST_ROUNDS; round++) {
        g = simplify_once(ctx, g, &changed);
        if (g && changed)
            g = lvt_pass_dce(ctx, g);
    }
    return g;
}
