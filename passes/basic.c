/* The passes that need no thought about ops: verify, cse, dce, decompose. Invariant: see pass.h; none of
 * these changes what a graph computes. May not know: what any op means. */
#include "rewrite.h"

#include "ir/text.h"

#include <string.h>

lvt_graph *lvt_pass_verify(lvt_pass *ctx, const lvt_graph *in) {
    ctx->status = lvt_verify_graph(in, ctx->diag);
    return ctx->status == LVT_OK ? (lvt_graph *)in : NULL;
}

lvt_graph *lvt_pass_dce(lvt_pass *ctx, const lvt_graph *in) {
    lvt_rewrite r;
    bool *live = lvt_arena_alloc(ctx->arena, (size_t)in->n_nodes + 1);
    if (!live || !lvt_rewrite_begin(&r, ctx, in))
        return lvt_pass_nomem(ctx);
    for (uint32_t i = 0; i < in->n_outputs; i++)
        live[in->values[in->outputs[i].value].node] = true;
    for (uint32_t i = 0; i < in->n_updates; i++)
        live[in->values[in->updates[i].value].node] = true;
    for (uint32_t i = in->n_nodes; i-- > 0;) {
        live[i] |= in->nodes[i].op == LVT_OP_input; /* callers count on every input being there */
        for (uint32_t k = 0; live[i] && k < in->nodes[i].n_operands; k++)
            live[in->values[in->nodes[i].operands[k]].node] = true;
    }
    for (uint32_t i = 0; i < in->n_nodes; i++) {
        if (live[i])
            lvt_rewrite_copy(&r, i);
        else if (in->nodes[i].origin == LVT_NONE)
            continue;
        else
            r.nodes[i] = r.nodes[in->nodes[i].origin]; /* what comes from it comes from where it came from */
    }
    return lvt_rewrite_end(&r);
}

lvt_graph *lvt_pass_decompose(lvt_pass *ctx, const lvt_graph *in) {
    lvt_rewrite r;
    if (!lvt_rewrite_begin(&r, ctx, in))
        return NULL;
    for (uint32_t i = 0; i < in->n_nodes && !r.out->failed; i++) {
        const lvt_node *n = &in->nodes[i];
        const lvt_op_def *def = lvt_op_of(n);
        /* One with a kernel of its own stays whole. */
        if (!def->decompose || def->kind == LVT_KIND_META ||
            lvt_family_for(in, i, NULL) != LVT_FAMILY_INTERP) {
            lvt_rewrite_copy(&r, i);
            continue;
        }
        lvt_value *operands = lvt_arena_alloc(ctx->arena, (n->n_operands + 1u) * sizeof *operands);
        lvt_value *results = lvt_arena_alloc(ctx->arena, (n->n_results + 1u) * sizeof *results);
        if (!operands || !results)
            return lvt_pass_nomem(ctx);
        for (uint32_t k = 0; k < n->n_operands; k++)
            operands[k] = r.map[n->operands[k]];
        lvt_rewrite_at(&r, i);
        ctx->status = def->decompose(&r.b, n, operands, results);
        if (ctx->status != LVT_OK)
            return NULL;
        ctx->status = LVT_INTERNAL;
        lvt_rewrite_replace(&r, i, results);
    }
    return lvt_rewrite_end(&r);
}

/* ---- cse ---- */

static uint64_t mix(uint64_t h, uint64_t x) {
    h = (h ^ x) * 0x9e3779b97f4a7c15u;
    return h ^ (h >> 29);
}

static uint64_t hash_bytes(uint64_t h, const void *data, size_t n) {
    const unsigned char *p = data;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t x;
        memcpy(&x, p, 8);
        h = mix(h, x);
    }
    uint64_t x = n;
    for (; n; n--)
        x = x << 8 | *p++;
    return mix(h, x);
}

static uint64_t hash_node(const lvt_node *n, const lvt_value *operands) {
    uint64_t h = mix(n->op, (uintptr_t)n->body);
    h = hash_bytes(h, operands, n->n_operands * sizeof *operands);
    for (int i = 0; i < lvt_op_of(n)->n_attrs; i++) {
        const lvt_attr *a = &n->attrs[i];
        if (a->kind == LVT_ATTR_INTS || a->kind == LVT_ATTR_FLOATS)
            h = hash_bytes(h, a->ints, a->n * 8u);
        else if (a->kind == LVT_ATTR_STRING)
            h = hash_bytes(h, a->s, strlen(a->s));
        else
            h = mix(h, (uint64_t)a->i);
    }
    return h;
}

static bool equal_attr(const lvt_attr *a, const lvt_attr *b) {
    if (a->kind != b->kind)
        return false;
    if (a->kind == LVT_ATTR_INTS || a->kind == LVT_ATTR_FLOATS)
        return a->n == b->n && (!a->n || !memcmp(a->ints, b->ints, a->n * 8u));
    if (a->kind == LVT_ATTR_STRING)
        return !strcmp(a->s, b->s);
    return a->i == b->i; /* a float by its bits: -0 and 0 differ, as they must */
}

static bool equal_node(const lvt_node *a, const lvt_node *b, const lvt_value *b_operands) {
    if (a->op != b->op || a->body != b->body || a->n_operands != b->n_operands ||
        a->n_results != b->n_results || memcmp(a->operands, b_operands, a->n_operands * sizeof *b_operands))
        return false;
    for (int i = 0; i < lvt_op_of(a)->n_attrs; i++)
        if (!equal_attr(&a->attrs[i], &b->attrs[i]))
            return false;
    return true;
}

lvt_graph *lvt_pass_cse(lvt_pass *ctx, const lvt_graph *in) {
    lvt_rewrite r;
    size_t size = 16;
    uint32_t most = 1;
    for (uint32_t i = 0; i < in->n_nodes; i++)
        most = in->nodes[i].n_operands > most ? in->nodes[i].n_operands : most;
    while (size < 2 * (size_t)in->n_nodes)
        size *= 2;
    lvt_node_id *table = lvt_arena_alloc(ctx->arena, size * sizeof *table); /* node of out + 1 */
    lvt_value *operands = lvt_arena_alloc(ctx->arena, most * sizeof *operands);
    lvt_value *results = lvt_arena_alloc(ctx->arena, 16 * sizeof *results);
    if (!table || !operands || !results || !lvt_rewrite_begin(&r, ctx, in))
        return lvt_pass_nomem(ctx);
    for (uint32_t i = 0; i < in->n_nodes && !r.out->failed; i++) {
        const lvt_node *n = &in->nodes[i];
        for (uint32_t k = 0; k < n->n_operands; k++)
            operands[k] = r.map[n->operands[k]];
        size_t at = hash_node(n, operands) & (size - 1);
        if (n->op == LVT_OP_input || n->n_results > 16 || n->role == LVT_RECOMPUTE) {
            lvt_rewrite_copy(&r, i);
            continue;
        }
        while (table[at] && !equal_node(&r.out->nodes[table[at] - 1], n, operands))
            at = (at + 1) & (size - 1);
        if (!table[at]) {
            lvt_rewrite_copy(&r, i);
            table[at] = r.nodes[i] + 1;
            continue;
        }
        for (uint32_t k = 0; k < n->n_results; k++)
            results[k] = r.out->nodes[table[at] - 1].result + k;
        lvt_rewrite_replace(&r, i, results);
    }
    return lvt_rewrite_end(&r);
}
