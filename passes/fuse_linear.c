/* Pass fuse-linear: a matrix product or convolution and what finishes its result, the bias, activations,
 * residual additions, become one `fused` node in epilogue form (ir/epilogue.h), so that the result goes
 * through memory once.
 *
 * Follows the only reader of each value from the product on. What somebody else needs, as GELU's gradient its
 * operand, ends the chain: the value inside is then the result. Invariant: every node is part of one chain at
 * most; a chain's value has one reader, which is the chain's next node. May not know: kernels; what they can
 * finish is asked of epilogue.h. */
#include "plan.h"
#include "rewrite.h"
#include "ir/epilogue.h"

typedef struct chain {
    lvt_node_id product, end;
    lvt_node_id step[LVT_EPILOGUE_MOST]; /* without the reshapes between them */
    lvt_value added[LVT_EPILOGUE_MOST];  /* what an addition adds, LVT_NONE of activations */
    bool bias[LVT_EPILOGUE_MOST];        /* added[k] is the bias before it is repeated */
    int n;
} chain;

typedef struct finder {
    lvt_pass *ctx;
    const lvt_graph *g;
    lvt_uses uses;
    chain *chains;
    uint32_t *chain_of; /* by node: 1 + the chain that it is part of, or 0 */
    uint32_t n;
} finder;

static bool is_f32(const lvt_graph *g, lvt_value v) {
    return g->values[v].type.dtype == LVT_F32;
}

/* A convolution that oneDNN may run by Winograd, or we should, stays alone: pass choose then has the choice,
 * and no way but the standard one finishes results. */
static bool is_product(const lvt_pass *ctx, const lvt_graph *g, lvt_node_id id) {
    const lvt_node *n = &g->nodes[id];
    bool right = n->op == LVT_OP_matmul && g->values[n->result].type.rank == 2;
    if (n->op == LVT_OP_conv2d)
        right = !lvt_variant_legal(g, id, LVT_FAMILY_ONEDNN, LVT_VARIANT_WINOGRAD, NULL) &&
                !lvt_rule_wants_winograd(ctx, g, id);
    return right && is_f32(g, n->result) && n->operands[0] != n->operands[1];
}

/* The vector that v repeats along all but the last dim, whose `channels` elements it has. */
static lvt_value bias_of(const lvt_graph *g, lvt_value v, int64_t channels) {
    return lvt_is_op(g, v, LVT_OP_broadcast) ? lvt_channel_vector(g, v, channels) : LVT_NONE;
}

/* v lies packed in memory, as far as can be told before layout. */
static bool is_packed(const lvt_graph *g, lvt_value v) {
    while (lvt_is_op(g, v, LVT_OP_reshape))
        v = lvt_value_node(g, v)->operands[0];
    const lvt_node *n = lvt_value_node(g, v);
    return !lvt_is_view(n) && n->op != LVT_OP_constant && n->op != LVT_OP_iota;
}

/* Whether the product's kernel does a step on that many elements faster than a loop nest of its own would.
 * Measured on Zen 4, two threads: a bias costs a product nothing; what oneDNN makes of GELU and its like
 * takes 0.3 ns an element, twice as long as generated code, and saves 2 to 5 microseconds of starting that;
 * an addition reads its operand while the product waits, which pays as long as both lie in the second-level
 * caches. NULL: it does. */
static const char *gain(lvt_op op, int64_t elements) {
    enum { FEW = 1 << 14, CACHED = 1 << 18 };
    if (op == LVT_OP_add)
        return elements <= CACHED ? NULL : "an addition of so many elements is faster alone";
    return elements <= FEW ? NULL : "an activation of so many elements is faster in generated code";
}

/* Takes node n, the reader of `at`, into the chain; NULL, or why that cannot be. */
static const char *take(const finder *f, chain *c, lvt_node_id id, lvt_value at) {
    const lvt_graph *g = f->g;
    const lvt_node *n = &g->nodes[id];
    lvt_value product = g->nodes[c->product].result;
    int64_t channels = g->values[product].type.dim[g->values[product].type.rank - 1];
    if (f->chain_of[id])
        return "its reader belongs to another product";
    if (c->n == LVT_EPILOGUE_MOST)
        return "no more fits into its kernel";
    c->step[c->n] = id;
    c->added[c->n] = LVT_NONE;
    c->bias[c->n] = false;
    if (lvt_epilogue_activates((lvt_op)n->op)) {
        const char *why = gain((lvt_op)n->op, lvt_numel(&g->values[product].type));
        c->n += !why;
        return why;
    }
    if (n->op != LVT_OP_add || n->operands[0] == n->operands[1])
        return "what reads it is no addition and no activation";
    lvt_value other = n->operands[n->operands[0] == at];
    lvt_value bias = bias_of(g, other, channels);
    if (bias != LVT_NONE && c->n)
        return "a bias comes too late for its kernel";
    if (bias == LVT_NONE && g->nodes[c->product].op == LVT_OP_conv2d)
        return "a convolution adds nothing but a bias";
    if (bias == LVT_NONE && !is_packed(g, other))
        return "what is added to it does not lie packed in memory";
    const char *why = bias == LVT_NONE ? gain(LVT_OP_add, lvt_numel(&g->values[product].type)) : NULL;
    if (why)
        return why;
    c->bias[c->n] = bias != LVT_NONE;
    c->added[c->n++] = bias != LVT_NONE ? bias : other;
    return NULL;
}

static void explain(const finder *f, const chain *c, const char *why) {
    lvt_text *text = f->ctx->explain;
    const lvt_node *p = &f->g->nodes[c->product];
    if (!text)
        return;
    lvt_text_add(text, "%s: %s", f->g->name ? f->g->name : "", lvt_op_of(p)->name);
    lvt_text_add_place(text, f->ctx->module, p->loc);
    lvt_text_add(text, c->n ? ": finishes its result itself:" : ": finishes nothing itself");
    for (int i = 0; i < c->n; i++)
        lvt_text_add(text, " %s", c->bias[i] ? "bias" : lvt_op_of(&f->g->nodes[c->step[i]])->name);
    lvt_text_add(text, "; %s\n", why);
}

/* Follows the product's only reader as far as its kernel can go. */
static bool find_chain(const finder *f, lvt_node_id product, chain *c) {
    const lvt_graph *g = f->g;
    lvt_value at = g->nodes[product].result;
    const char *why = NULL;
    *c = (chain){.product = product};
    while (!why) {
        lvt_node_id user = lvt_only_user(&f->uses, at);
        if (user == LVT_NONE) {
            why = f->uses.ends[at] ? "it is a result of the step" : "it has several readers";
        } else {
            if (g->nodes[user].op != LVT_OP_reshape)
                why = take(f, c, user, at);
            at = g->nodes[user].result;
        }
    }
    explain(f, c, why);
    c->end = c->n ? c->step[c->n - 1] : product;
    return c->n > 0;
}

/* The chain as the body of a fused node, whose operands go to `operands` (of r->out). map: scratch, by value.
 */
static lvt_graph *make_body(lvt_rewrite *r, const chain *c, lvt_value *map, lvt_value *operands,
                            uint32_t *n_operands) {
    const lvt_graph *g = r->in;
    const lvt_node *product = &g->nodes[c->product];
    lvt_type t = g->values[product->result].type;
    lvt_graph *body = lvt_graph_new(r->ctx->module, NULL, g->nodes[c->end].loc, false);
    lvt_value inputs[2 + LVT_EPILOGUE_MOST];
    if (!body)
        return NULL;
    lvt_builder b = lvt_builder_for(body, r->ctx->diag);
    *n_operands = 0;
    for (int k = 0; k < 2; k++) {
        map[product->operands[k]] = inputs[*n_operands] =
            lvt_build_input(&b, NULL, &g->values[product->operands[k]].type);
        operands[(*n_operands)++] = r->map[product->operands[k]];
    }
    for (int i = 0; i < c->n; i++) {
        if (c->added[i] == LVT_NONE)
            continue;
        lvt_type flat = lvt_type_make(LVT_F32, 1, &t.dim[t.rank - 1]);
        const lvt_type *added = c->bias[i] ? &flat : &t;
        inputs[*n_operands] = lvt_build_input(&b, NULL, added);
        operands[(*n_operands)++] = lvt_shaped(&r->b, r->map[c->added[i]], added);
    }
    if (body->failed || lvt_graph_copy_node(body, g, c->product, map, NULL) == LVT_NONE)
        return NULL;
    lvt_value y = map[product->result];
    body->values[y].name = NULL;
    uint32_t next = 2;
    for (int i = 0; i < c->n; i++) {
        lvt_op op = (lvt_op)g->nodes[c->step[i]].op;
        y = c->added[i] == LVT_NONE ? lvt_build_unary(&b, op, y) : lvt_build_binary(&b, op, y, inputs[next]);
        next += c->added[i] != LVT_NONE;
    }
    return y != LVT_NONE && lvt_graph_add_output(body, NULL, y, 0) && !body->failed ? body : NULL;
}

static void fuse(lvt_rewrite *r, const chain *c, lvt_value *map) {
    lvt_value operands[2 + LVT_EPILOGUE_MOST], y = LVT_NONE;
    uint32_t n = 0;
    lvt_rewrite_at(r, c->end);
    lvt_graph *body = make_body(r, c, map, operands, &n);
    if (body) {
        lvt_rewrite_at(r, c->product); /* the line whose time it takes */
        y = lvt_build_fused(&r->b, body, n, operands);
    }
    const lvt_type *t = &r->in->values[r->in->nodes[c->end].result].type;
    lvt_value node = y;
    y = lvt_shaped(&r->b, y, t);
    if (y == LVT_NONE) {
        r->out->failed = true;
        return;
    }
    lvt_rewrite_replace(r, c->end, &y);
    r->nodes[c->product] = r->out->values[node].node;
    for (int i = 0; i < c->n; i++)
        r->nodes[c->step[i]] = r->out->values[node].node;
}

/* Marks the nodes of the chain, with the reshapes between its steps. */
static void mark(const finder *f, const chain *c, uint32_t number) {
    lvt_node_id at = c->product;
    for (f->chain_of[at] = number; at != c->end; f->chain_of[at] = number)
        at = lvt_only_user(&f->uses, f->g->nodes[at].result);
}

lvt_graph *lvt_pass_fuse_linear(lvt_pass *ctx, const lvt_graph *in) {
    finder f = {.ctx = ctx, .g = in};
    f.chain_of = lvt_arena_alloc(ctx->arena, (in->n_nodes + 1u) * sizeof *f.chain_of);
    f.chains = lvt_arena_alloc(ctx->arena, (in->n_nodes + 1u) * sizeof *f.chains);
    if (!f.chain_of || !f.chains || !lvt_graph_uses(in, ctx->arena, &f.uses))
        return lvt_pass_nomem(ctx);
    for (lvt_node_id i = 0; i < in->n_nodes; i++) {
        if (is_product(ctx, in, i) && find_chain(&f, i, &f.chains[f.n])) {
            f.n++;
            mark(&f, &f.chains[f.n - 1], f.n);
        }
    }
    lvt_rewrite r;
    lvt_value *map = lvt_graph_new_map(in, ctx->arena);
    if (!map)
        return lvt_pass_nomem(ctx);
    if (!f.n)
        return (lvt_graph *)in;
    if (!lvt_rewrite_begin(&r, ctx, in))
        return NULL;
    for (lvt_node_id i = 0; i < in->n_nodes && !r.out->failed; i++) {
        if (!f.chain_of[i])
            lvt_rewrite_copy(&r, i);
        else if (f.chains[f.chain_of[i] - 1].end == i)
            fuse(&r, &f.chains[f.chain_of[i] - 1], map);
    }
    return lvt_rewrite_end(&r);
}
