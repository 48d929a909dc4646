/* Pass fold-norm: scale and shift of a product's or convolution's channels, by states and constants, go into
 * its weight and one addition: (x w) s + t becomes x (w s) + t.
 *
 * Batch norm at inference is such a chain: running statistics and gamma, beta are states. What is computed of
 * states alone then runs once for each change of states (pass hoist), so trained checkpoints are folded when
 * they are loaded, and nothing is folded into the program. Invariant: only in entries without updates; every
 * value inside has one reader. May not know: which layers a model has, where it says batch_norm. */
#include "plan.h"
#include "rewrite.h"

#include <string.h>

enum { MOST = 16 }; /* steps of a chain */

typedef struct chain {
    lvt_node_id product, end; /* end: the last step */
    lvt_node_id step[MOST];   /* nodes of the chain behind the product, reshapes included */
    int n;
} chain;

typedef struct folder {
    lvt_pass *ctx;
    const lvt_graph *g;
    lvt_uses uses;
    const bool *steady;
    chain *chains;
    uint32_t *chain_of; /* by node: 1 + the chain that it is part of, or 0 */
    uint32_t n;
} folder;

static int64_t channels_of(const lvt_graph *g, lvt_value v) {
    const lvt_type *t = &g->values[v].type;
    return t->rank ? t->dim[t->rank - 1] : 1;
}

/* What v repeats along all dims but the last, of which it has `channels` elements; LVT_NONE when it is not so
 * or changes from run to run. */
static lvt_value channel_vector(const folder *f, lvt_value v, int64_t channels) {
    const lvt_graph *g = f->g;
    if (!f->steady[v] || channels_of(g, v) != channels)
        return LVT_NONE;
    if (lvt_is_splat(g, v, NULL))
        return v;
    return lvt_channel_vector(g, v, channels);
}

static bool is_affine(lvt_op op) {
    return op == LVT_OP_add || op == LVT_OP_sub || op == LVT_OP_mul || op == LVT_OP_div;
}

/* The operand of a step that is not the chain's value `at`, if the step is one of ours. */
static lvt_value step_vector(const folder *f, const lvt_node *n, lvt_value at, int64_t channels) {
    if (!is_affine((lvt_op)n->op) || n->operands[0] == n->operands[1])
        return LVT_NONE;
    bool second = n->operands[1] == at;
    if (second && (n->op == LVT_OP_sub || n->op == LVT_OP_div))
        return LVT_NONE;
    return channel_vector(f, n->operands[!second], channels);
}

static void explain(const folder *f, lvt_node_id product, const char *what) {
    const lvt_node *n = &f->g->nodes[product];
    lvt_text_add(f->ctx->explain, "%s: %s", f->g->name ? f->g->name : "", lvt_op_of(n)->name);
    lvt_text_add_place(f->ctx->explain, f->ctx->module, n->loc);
    lvt_text_add(f->ctx->explain, ": %s\n", what);
}

/* Follows the only readers of the product as long as they scale or shift channels. */
static bool find_chain(const folder *f, lvt_node_id product, chain *c) {
    const lvt_graph *g = f->g;
    const lvt_node *p = &g->nodes[product];
    if ((p->op != LVT_OP_matmul && p->op != LVT_OP_conv2d) || !f->steady[p->operands[1]] ||
        f->steady[p->operands[0]])
        return false;
    int64_t channels = channels_of(g, p->result);
    lvt_value at = p->result;
    bool scales = false;
    int last = 0;
    *c = (chain){.product = product};
    while (c->n < MOST) {
        lvt_node_id user = lvt_only_user(&f->uses, at);
        if (user == LVT_NONE)
            break;
        const lvt_node *n = &g->nodes[user];
        bool affine = step_vector(f, n, at, channels) != LVT_NONE;
        if (!affine && (n->op != LVT_OP_reshape || channels_of(g, n->result) != channels))
            break;
        scales |= affine && (n->op == LVT_OP_mul || n->op == LVT_OP_div);
        c->step[c->n++] = user;
        at = n->result;
        if (affine)
            last = c->n;
    }
    if (!scales) {
        for (uint32_t i = f->uses.offset[at]; i < f->uses.offset[at + 1] && f->ctx->explain; i++) {
            const lvt_node *n = &g->nodes[f->uses.users[i]];
            if (n->op == LVT_OP_mul && step_vector(f, n, at, channels) != LVT_NONE) {
                explain(f, product, "a scale of its channels stays: others read what is scaled, too");
                break;
            }
        }
        return false;
    }
    c->n = last;
    c->end = c->step[last - 1];
    return true;
}

/* The vector of a step as f32[channels] (or whatever the type is) in the new graph. */
static lvt_value vector(lvt_rewrite *r, const folder *f, lvt_value v, const lvt_type *t) {
    double x;
    if (lvt_is_splat(f->g, v, &x))
        return lvt_splat(&r->b, t, x);
    return lvt_shaped(&r->b, r->map[v], t);
}

/* The weight with its channels scaled: rows of [O,I,kh,kw] and of a transposed matrix, else columns. */
static lvt_value scaled_weight(lvt_rewrite *r, const lvt_node *product, lvt_value scale) {
    lvt_value w = r->map[product->operands[1]];
    lvt_type t = r->out->values[w].type;
    int64_t dims[LVT_MAX_RANK] = {1, 1, 1, 1, 1, 1};
    int along = product->op == LVT_OP_conv2d              ? 0
                : lvt_attr_get(product, "transpose_b")->i ? t.rank - 2
                                                          : t.rank - 1;
    dims[along] = t.dim[along];
    return lvt_build_binary(&r->b, LVT_OP_mul, w, lvt_build_reshape(&r->b, scale, t.rank, dims));
}

/* The product of the chain again, with another weight. */
static lvt_value new_product(lvt_rewrite *r, lvt_node_id id, lvt_value weight) {
    const lvt_node *old = &r->in->nodes[id];
    lvt_value kept = r->map[old->operands[1]];
    if (weight == LVT_NONE)
        return LVT_NONE;
    r->map[old->operands[1]] = weight;
    lvt_rewrite_copy(r, id);
    r->map[old->operands[1]] = kept;
    return r->out->failed ? LVT_NONE : r->map[old->result];
}

/* `so_far` op v, where LVT_NONE stands for the number that a mul or an add leaves v as it is. */
static lvt_value continued(lvt_rewrite *r, lvt_op op, lvt_value so_far, double neutral, lvt_value v,
                           const lvt_type *t) {
    if (so_far == LVT_NONE && (op == LVT_OP_mul || op == LVT_OP_add))
        return v;
    return lvt_build_binary(&r->b, op, so_far == LVT_NONE ? lvt_splat(&r->b, t, neutral) : so_far, v);
}

static void fold(lvt_rewrite *r, const folder *f, const chain *c) {
    const lvt_graph *g = f->g;
    const lvt_node *product = &g->nodes[c->product];
    lvt_value at = product->result, scale = LVT_NONE, shift = LVT_NONE;
    int64_t channels = channels_of(g, at);
    lvt_type t = lvt_type_make((lvt_dtype)g->values[at].type.dtype, 1, &channels);
    lvt_rewrite_at(r, c->end);
    for (int i = 0; i < c->n; i++) {
        const lvt_node *n = &g->nodes[c->step[i]];
        if (n->op != LVT_OP_reshape) {
            lvt_value v = vector(r, f, step_vector(f, n, at, channels), &t);
            bool scales = n->op == LVT_OP_mul || n->op == LVT_OP_div;
            if (scales)
                scale = continued(r, (lvt_op)n->op, scale, 1, v, &t);
            if (!scales || shift != LVT_NONE)
                shift = continued(r, (lvt_op)n->op, shift, 0, v, &t);
        }
        at = n->result;
    }
    lvt_rewrite_at(r, c->product);
    lvt_value y = new_product(r, c->product, scaled_weight(r, product, scale));
    lvt_rewrite_at(r, c->end);
    if (shift != LVT_NONE && y != LVT_NONE)
        y = lvt_build_binary(&r->b, LVT_OP_add, y, shift);
    y = lvt_shaped(&r->b, y, &g->values[at].type);
    lvt_rewrite_replace(r, c->end, &y);
    for (int i = 0; i < c->n && y != LVT_NONE; i++)
        r->nodes[c->step[i]] = r->out->values[y].node;
}

lvt_graph *lvt_pass_fold_norm(lvt_pass *ctx, const lvt_graph *in) {
    folder f = {.ctx = ctx, .g = in};
    if (in->n_updates)
        return (lvt_graph *)in;
    bool *steady = lvt_arena_alloc(ctx->arena, in->n_values + 1u);
    f.chain_of = lvt_arena_alloc(ctx->arena, (in->n_nodes + 1u) * sizeof *f.chain_of);
    f.chains = lvt_arena_alloc(ctx->arena, (in->n_nodes + 1u) * sizeof *f.chains);
    if (!steady || !f.chain_of || !f.chains || !lvt_graph_uses(in, ctx->arena, &f.uses))
        return lvt_pass_nomem(ctx);
    lvt_find_steady(in, steady);
    f.steady = steady;
    for (lvt_node_id i = 0; i < in->n_nodes; i++) {
        chain *c = &f.chains[f.n];
        if (!find_chain(&f, i, c))
            continue;
        f.chain_of[i] = ++f.n;
        for (int k = 0; k < c->n; k++)
            f.chain_of[c->step[k]] = f.n;
        explain(&f, i, "the scale of its channels goes into the weight, the shift stays an addition");
    }
    lvt_rewrite r;
    if (!f.n)
        return (lvt_graph *)in;
    if (!lvt_rewrite_begin(&r, ctx, in))
        return NULL;
    for (lvt_node_id i = 0; i < in->n_nodes && !r.out->failed; i++) {
        if (!f.chain_of[i])
            lvt_rewrite_copy(&r, i);
        else if (f.chains[f.chain_of[i] - 1].end == i)
            fold(&r, &f, &f.chains[f.chain_of[i] - 1]);
    }
    return lvt_rewrite_end(&r);
}
