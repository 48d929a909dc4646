/* Pass fuse-attention: softmax(scale q k^T + bias) v, found by its softmax, becomes one attention node, and
 * its gradient, found by what else reads the probabilities, one attention_grad node.
 *
 * What is looked for is what autodiff, simplify and cse make of the blocks in models/nn.lvt: products with a
 * transposed key, reshapes between [h,B,N,M] and [h,B*N,M], a scale before or after them. Invariant: all or
 * nothing: a value that would go must have no reader outside; forward and gradient go together. May not know:
 * kernels; what they cost is in gain() alone. */
#include "rewrite.h"

#include <string.h>

typedef struct match {
    lvt_node_id softmax, product; /* p = softmax(s), y = p v */
    lvt_value q, key, v, bias;    /* bias: LVT_NONE, or of rank 4 with 1 for the batch */
    int64_t h, b, n, m, dk, dv;
    bool shared; /* one key for all images */
    double scale;
    bool backward;
    lvt_value dy;
    lvt_node_id dv_node, dq_node, dk_node, dbias_node; /* LVT_NONE: not there */
    lvt_node_id first_grad;                            /* of the nodes that go: where the gradient is made */
} match;

typedef struct finder {
    lvt_pass *ctx;
    const lvt_graph *g;
    lvt_uses uses;
    uint32_t *owner; /* by node: 1 + the match that it goes with, or 0 */
    match *matches;
    uint32_t n, current;
    const char *why; /* the match is left alone */
} finder;

static const lvt_type *type_of(const finder *f, lvt_value v) {
    return &f->g->values[v].type;
}
static const lvt_node *node_of(const finder *f, lvt_value v) {
    return lvt_value_node(f->g, v);
}
static lvt_node_id id_of(const finder *f, lvt_value v) {
    return f->g->values[v].node;
}
static void take(finder *f, lvt_value v) {
    f->owner[id_of(f, v)] = f->current;
}
static bool refuse(finder *f, const char *why) {
    f->why = why;
    return false;
}
static bool is_type(const finder *f, lvt_value v, int rank, const int64_t *dims) {
    lvt_type t = lvt_type_make((lvt_dtype)type_of(f, v)->dtype, rank, dims);
    return lvt_type_equal(type_of(f, v), &t);
}

/* v is a product with these operands transposed. */
static bool is_product(const finder *f, lvt_value v, bool ta, bool tb) {
    return lvt_is_op(f->g, v, LVT_OP_matmul) && lvt_attr_get(node_of(f, v), "transpose_a")->i == ta &&
           lvt_attr_get(node_of(f, v), "transpose_b")->i == tb;
}

/* v without the reshapes and the scale that made it; they go. */
static lvt_value strip(finder *f, lvt_value v, double *scale) {
    for (;;) {
        const lvt_node *n = node_of(f, v);
        double x;
        if (n->op == LVT_OP_reshape) {
            take(f, v);
            v = n->operands[0];
        } else if (n->op == LVT_OP_mul && lvt_is_splat(f->g, n->operands[1], &x)) {
            take(f, v);
            *scale *= x;
            v = n->operands[0];
        } else if (n->op == LVT_OP_mul && lvt_is_splat(f->g, n->operands[0], &x)) {
            take(f, v);
            *scale *= x;
            v = n->operands[1];
        } else {
            return v;
        }
    }
}

/* ---- forward ---- */

/* v comes from a product by nothing but reshapes and scales. */
static bool comes_from_product(const finder *f, lvt_value v) {
    for (;;) {
        const lvt_node *n = node_of(f, v);
        if (n->op == LVT_OP_mul && lvt_is_splat(f->g, n->operands[0], NULL))
            v = n->operands[1];
        else if (n->op == LVT_OP_reshape || (n->op == LVT_OP_mul && lvt_is_splat(f->g, n->operands[1], NULL)))
            v = n->operands[0];
        else
            return n->op == LVT_OP_matmul;
    }
}

/* The bias, with rank 4, that operand v of the addition to the scores is, `scores` being the other; else
 * LVT_NONE. It is broadcast over the batch, but for a batch of one image. */
static lvt_value bias_of(const finder *f, const match *m, lvt_value v, lvt_value scores) {
    lvt_value x = lvt_is_op(f->g, v, LVT_OP_broadcast) ? node_of(f, v)->operands[0] : v;
    if (x == v && (m->b != 1 || !comes_from_product(f, scores)))
        return LVT_NONE;
    return is_type(f, x, 4, (int64_t[]){m->h, 1, m->n, m->m}) ? x : LVT_NONE;
}

static bool match_scores(finder *f, match *m) {
    lvt_value s = f->g->nodes[m->softmax].operands[0];
    const lvt_node *add = node_of(f, s);
    m->bias = LVT_NONE;
    if (add->op == LVT_OP_add) {
        int side = 1;
        m->bias = bias_of(f, m, add->operands[1], add->operands[0]);
        if (m->bias == LVT_NONE)
            m->bias = bias_of(f, m, add->operands[side = 0], add->operands[1]);
        if (m->bias == LVT_NONE)
            return refuse(f, "what is added to the scores is no bias for each head that the batch shares");
        take(f, s);
        if (m->bias != add->operands[side])
            take(f, add->operands[side]);
        s = add->operands[!side];
    }
    m->scale = 1;
    s = strip(f, s, &m->scale);
    if (!is_product(f, s, false, true))
        return refuse(f, "the scores are no scaled product of queries and transposed keys");
    take(f, s);
    m->q = node_of(f, s)->operands[0];
    m->key = node_of(f, s)->operands[1];
    const lvt_type *q = type_of(f, m->q);
    m->dk = q->dim[q->rank - 1];
    if (is_type(f, m->q, 3, (int64_t[]){m->h, m->b * m->n, m->dk}))
        m->shared = is_type(f, m->key, 3, (int64_t[]){m->h, m->m, m->dk});
    else if (!is_type(f, m->q, 4, (int64_t[]){m->h, m->b, m->n, m->dk}) ||
             !is_type(f, m->key, 4, (int64_t[]){m->h, m->b, m->m, m->dk}))
        return refuse(f, "queries and keys have other dimensions than heads, images, tokens, size");
    else
        return true;
    return m->shared || refuse(f, "queries and keys have other dimensions than heads, images, tokens, size");
}

static bool match_product(finder *f, match *m) {
    lvt_value p = f->g->nodes[m->softmax].result;
    for (uint32_t i = f->uses.offset[p]; i < f->uses.offset[p + 1]; i++) {
        lvt_value y = f->g->nodes[f->uses.users[i]].result;
        if (!is_product(f, y, false, false) || node_of(f, y)->operands[0] != p)
            continue;
        m->product = id_of(f, y);
        m->v = node_of(f, y)->operands[1];
        m->dv = type_of(f, y)->dim[3];
        take(f, y);
        return is_type(f, m->v, 4, (int64_t[]){m->h, m->b, m->m, m->dv}) ||
               refuse(f, "the values are not those of each head and image");
    }
    return refuse(f, "no product with values follows");
}

/* ---- gradient ---- */

/* The user of v that is a product of these operands (LVT_NONE: any), or LVT_NONE. */
static lvt_value product_user(const finder *f, lvt_value v, lvt_value a, lvt_value b, bool ta, bool tb) {
    for (uint32_t i = f->uses.offset[v]; i < f->uses.offset[v + 1]; i++) {
        const lvt_node *n = &f->g->nodes[f->uses.users[i]];
        if (is_product(f, n->result, ta, tb) && (a == LVT_NONE || n->operands[0] == a) &&
            (b == LVT_NONE || n->operands[1] == b))
            return n->result;
    }
    return LVT_NONE;
}

static bool is_binary(const finder *f, lvt_value v, lvt_op op, lvt_value a, lvt_value b) {
    const lvt_node *n = node_of(f, v);
    return n->op == op && ((n->operands[0] == a && n->operands[1] == b) ||
                           (op == LVT_OP_mul && n->operands[0] == b && n->operands[1] == a));
}

/* ds = p * (dp - broadcast(sum over keys of dp * p)): found from p; takes its nodes. */
static lvt_value match_softmax_grad(finder *f, lvt_value p, lvt_value dp) {
    for (uint32_t i = f->uses.offset[p]; i < f->uses.offset[p + 1]; i++) {
        const lvt_node *n = &f->g->nodes[f->uses.users[i]];
        lvt_value difference = LVT_NONE;
        if (n->op == LVT_OP_mul)
            difference = n->operands[0] == p ? n->operands[1] : n->operands[0];
        if (!lvt_is_op(f->g, difference, LVT_OP_sub) || node_of(f, difference)->operands[0] != dp)
            continue;
        lvt_value spread = node_of(f, difference)->operands[1], sum, weighed;
        if (!lvt_is_op(f->g, spread, LVT_OP_broadcast))
            continue;
        sum = node_of(f, spread)->operands[0];
        if (!lvt_is_op(f->g, sum, LVT_OP_reduce_sum) || lvt_reduce_mask(f->g, node_of(f, sum)) != 1u << 3)
            continue;
        weighed = node_of(f, sum)->operands[0];
        if (!is_binary(f, weighed, LVT_OP_mul, dp, p))
            continue;
        lvt_value gone[] = {n->result, difference, spread, sum, weighed};
        for (size_t k = 0; k < sizeof gone / sizeof *gone; k++)
            take(f, gone[k]);
        return n->result;
    }
    return LVT_NONE;
}

/* From ds on: dbias, dq, dk through reshapes and the scale. */
static bool match_scores_grad(finder *f, match *m, lvt_value ds) {
    lvt_value at = ds, dq = LVT_NONE, dk = LVT_NONE;
    double scale = 1, x;
    for (int steps = 0; steps < 4 && dk == LVT_NONE; steps++) {
        dq = product_user(f, at, at, m->key, false, false);
        dk = product_user(f, at, at, m->q, true, false);
        lvt_value next = LVT_NONE;
        for (uint32_t i = f->uses.offset[at]; i < f->uses.offset[at + 1]; i++) {
            const lvt_node *n = &f->g->nodes[f->uses.users[i]];
            if (n->op == LVT_OP_reduce_sum && at == ds && lvt_reduce_mask(f->g, n) == 1u << 1) {
                m->dbias_node = f->uses.users[i];
                take(f, n->result);
            } else if (n->op == LVT_OP_reshape) {
                next = n->result;
            } else if (n->op == LVT_OP_mul &&
                       (lvt_is_splat(f->g, n->operands[0], &x) || lvt_is_splat(f->g, n->operands[1], &x))) {
                scale *= x;
                next = n->result;
            }
        }
        if (dk != LVT_NONE || next == LVT_NONE)
            break;
        take(f, at = next);
    }
    if (dk == LVT_NONE)
        return refuse(f, "the gradient of the keys does not follow from that of the scores");
    if (scale != m->scale)
        return refuse(f, "the gradient's scale is another");
    m->dk_node = id_of(f, dk);
    take(f, dk);
    if (dq != LVT_NONE) {
        m->dq_node = id_of(f, dq);
        take(f, dq);
    }
    return true;
}

static bool match_grad(finder *f, match *m) {
    const lvt_graph *g = f->g;
    lvt_value p = g->nodes[m->softmax].result, dp, ds;
    m->dv_node = m->dq_node = m->dk_node = m->dbias_node = LVT_NONE;
    m->backward = f->uses.offset[p + 1] - f->uses.offset[p] > 1;
    if (!m->backward)
        return true;
    /* Without anything to learn below (the first layer, when only keys matter) values and queries need no
     * gradient. */
    lvt_value dv = product_user(f, p, p, LVT_NONE, true, false);
    if (dv != LVT_NONE) {
        m->dv_node = id_of(f, dv);
        take(f, dv);
    }
    dp = product_user(f, m->v, dv != LVT_NONE ? node_of(f, dv)->operands[1] : LVT_NONE, m->v, false, true);
    if (dp == LVT_NONE)
        return refuse(
            f, "the probabilities have other readers, and their gradient is no product with the values");
    m->dy = node_of(f, dp)->operands[0];
    take(f, dp);
    ds = match_softmax_grad(f, p, dp);
    if (ds == LVT_NONE)
        return refuse(f, "the gradient of the softmax is not found");
    return match_scores_grad(f, m, ds);
}

/* No value that goes is read elsewhere: all but the results that get a new maker. */
static bool is_closed(finder *f, match *m) {
    const lvt_graph *g = f->g;
    m->first_grad = LVT_NONE;
    for (lvt_node_id i = 0; i < g->n_nodes; i++) {
        if (f->owner[i] != f->current)
            continue;
        if (i > m->product && m->first_grad == LVT_NONE)
            m->first_grad = i;
        if (i == m->product || i == m->dv_node || i == m->dq_node || i == m->dk_node || i == m->dbias_node)
            continue;
        lvt_value v = g->nodes[i].result;
        if (f->uses.ends[v])
            return refuse(f, "the scores or probabilities are a result of the step");
        for (uint32_t k = f->uses.offset[v]; k < f->uses.offset[v + 1]; k++)
            if (f->owner[f->uses.users[k]] != f->current)
                return refuse(f, "the scores or probabilities are read elsewhere, too");
    }
    return true;
}

/* ---- cost ---- */

/* What one kernel saves, less what it computes again, in multiply-adds and so on for each score; measured
 * with tests/bench/bench_attention.c on Zen 4 (see README.md). NULL: it pays. */
static const char *gain(const match *m) {
    double tile = (double)m->n * (double)m->m, all = tile * (double)m->h * (double)m->b;
    if (!m->backward)
        return NULL;
    double saved = all * sizeof(float) <= 1 << 20 ? 0 : tile <= 8192 ? 76 : 38;
    saved += 0.3 * (double)(m->dk + m->dv) + 72000 / tile;
    if (saved > 2 * (double)m->dk)
        return NULL;
    return "computing the scores again for the gradient costs more than keeping them";
}

static bool find(finder *f, match *m) {
    const lvt_node *n = &f->g->nodes[m->softmax];
    const lvt_type *t = type_of(f, n->result);
    int64_t axis = lvt_attr_get(n, "axis")->i;
    m->h = t->dim[0], m->b = t->dim[1], m->n = t->dim[2], m->m = t->dim[3];
    if (t->dtype != LVT_F32 || (axis != -1 && axis != 3))
        return refuse(f, "attention has kernels for f32 and softmax over the keys only");
    take(f, n->result);
    if (!match_scores(f, m) || !match_product(f, m) || !match_grad(f, m) || !is_closed(f, m))
        return false;
    f->why = gain(m);
    return !f->why;
}

static void explain(const finder *f, const match *m) {
    lvt_text *text = f->ctx->explain;
    const lvt_node *n = &f->g->nodes[m->softmax];
    char type[LVT_TYPE_TEXT];
    if (!text)
        return;
    lvt_text_add(text, "%s: attention %s", f->g->name ? f->g->name : "",
                 lvt_type_text(&f->g->values[n->result].type, type));
    lvt_text_add_place(text, f->ctx->module, n->loc);
    if (f->why)
        lvt_text_add(text, ": stays products and a softmax: %s\n", f->why);
    else
        lvt_text_add(text, ": one kernel%s, %.3g MB of scores stay in the caches\n",
                     m->backward ? " and one for its gradient" : "",
                     (double)lvt_type_bytes(&f->g->values[n->result].type) / 1e6);
}

/* ---- the new nodes ---- */

static lvt_value shaped(lvt_rewrite *r, lvt_value of_in, int rank, const int64_t *dims) {
    return of_in == LVT_NONE ? LVT_NONE : lvt_build_reshape(&r->b, r->map[of_in], rank, dims);
}

static uint32_t put_operands(lvt_rewrite *r, const match *m, lvt_value *to) {
    to[0] = shaped(r, m->q, 4, (int64_t[]){m->h, m->b, m->n, m->dk});
    to[1] = r->map[m->key];
    to[2] = r->map[m->v];
    return 3;
}

static lvt_value put_bias(lvt_rewrite *r, const match *m) {
    return shaped(r, m->bias, 3, (int64_t[]){m->h, m->n, m->m});
}

static lvt_value make_attention(lvt_rewrite *r, const match *m) {
    lvt_value operands[4];
    uint32_t n = put_operands(r, m, operands);
    if (m->bias != LVT_NONE)
        operands[n++] = put_bias(r, m);
    lvt_named_attr scale = {"scale", lvt_attr_float(m->scale)};
    return lvt_build(&r->b, LVT_OP_attention, n, operands, 1, &scale);
}

/* y: the first result of the attention node */
static lvt_value make_grad(lvt_rewrite *r, const match *m, lvt_value y) {
    lvt_value operands[7] = {r->map[m->dy]};
    uint32_t n = 1 + put_operands(r, m, operands + 1);
    operands[n++] = y;
    operands[n++] = y + 1;
    if (m->bias != LVT_NONE)
        operands[n++] = put_bias(r, m);
    lvt_named_attr scale = {"scale", lvt_attr_float(m->scale)};
    return lvt_build(&r->b, LVT_OP_attention_grad, n, operands, 1, &scale);
}

static void give(lvt_rewrite *r, lvt_node_id old, lvt_value made) {
    if (old == LVT_NONE)
        return;
    const lvt_type *t = &r->in->values[r->in->nodes[old].result].type;
    lvt_value v = lvt_build_reshape(&r->b, made, t->rank, t->dim);
    lvt_rewrite_replace(r, old, &v);
}

/* Makes what takes the place of node i, which goes with match m. */
static void replace(lvt_rewrite *r, const finder *f, const match *m, lvt_node_id i) {
    lvt_node_id from = i == m->product ? 0 : m->first_grad, end = i == m->product ? i : r->in->n_nodes;
    lvt_value made = LVT_NONE;
    if (i != m->product && i != m->first_grad)
        return;
    lvt_rewrite_at(r, i);
    if (i == m->product) {
        made = make_attention(r, m);
        lvt_rewrite_replace(r, i, &made);
    } else if ((made = make_grad(r, m, r->map[r->in->nodes[m->product].result])) != LVT_NONE) {
        give(r, m->dq_node, made);
        give(r, m->dk_node, made + 1);
        give(r, m->dv_node, made + 2);
        give(r, m->dbias_node, made + 3);
    }
    for (lvt_node_id k = from; made != LVT_NONE && k < end; k++)
        if (f->owner[k] && &f->matches[f->owner[k] - 1] == m)
            r->nodes[k] = r->out->values[made].node; /* what came from them comes from this */
}

lvt_graph *lvt_pass_fuse_attention(lvt_pass *ctx, const lvt_graph *in) {
    finder f = {.ctx = ctx, .g = in};
    f.owner = lvt_arena_alloc(ctx->arena, (in->n_nodes + 1u) * sizeof *f.owner);
    f.matches = lvt_arena_alloc(ctx->arena, (in->n_nodes + 1u) * sizeof *f.matches);
    if (!f.owner || !f.matches || !lvt_graph_uses(in, ctx->arena, &f.uses))
        return lvt_pass_nomem(ctx);
    for (lvt_node_id i = 0; i < in->n_nodes; i++) {
        if (in->nodes[i].op != LVT_OP_softmax || in->values[in->nodes[i].result].type.rank != 4)
            continue;
        match *m = &f.matches[f.n];
        *m = (match){.softmax = i};
        f.current = f.n + 1;
        f.why = NULL;
        bool found = find(&f, m);
        explain(&f, m);
        for (lvt_node_id k = 0; k < in->n_nodes && !found; k++)
            f.owner[k] = f.owner[k] == f.current ? 0 : f.owner[k];
        f.n += found;
    }
    if (!f.n)
        return (lvt_graph *)in;
    lvt_rewrite r;
    if (!lvt_rewrite_begin(&r, ctx, in))
        return NULL;
    for (lvt_node_id i = 0; i < in->n_nodes && !r.out->failed; i++) {
        if (f.owner[i])
            replace(&r, &f, &f.matches[f.owner[i] - 1], i);
        else
            lvt_rewrite_copy(&r, i);
    }
    return lvt_rewrite_end(&r);
}
