/* Pass fuse-pointwise: pointwise ops, broadcasts and reductions become `fused` nodes, each one loop nest.
 *
 * What belongs together is decided in fuse_cluster.c; here the groups are put in order, what nobody needs any
 * more (because its readers compute it themselves) is left out, and bodies are made. Every node that can be a
 * body is one in the end, alone if need be: what is left outside is views, sources and ops with kernels of
 * their own. Invariant: groups are emitted producers first. May not know: kernels. */
#include "fuse.h"

#include "ir/loop.h"

#include <string.h>

typedef struct emitter {
    lvt_fuse f;
    lvt_rewrite r;
    uint32_t *order; /* units, producers first: a node that is not fused, or the home of a group */
    uint32_t n_order;
    uint8_t *state; /* by unit: 1 begun, 2 done */
    bool *needed;   /* by value: someone reads it */
    bool *live;     /* by node: scratch, live in the group at hand */
    lvt_node_id *nodes;
    lvt_value *outputs, *externals, *operands;
    bool nomem;
} emitter;

/* The unit that makes value v (which is no leaf). */
static uint32_t unit_of(const emitter *e, lvt_value v) {
    return lvt_fuse_home(&e->f, e->f.in->values[v].node);
}

static bool order_units(emitter *e) {
    const lvt_graph *g = e->f.in;
    size_t cap = 0, depth = 0;
    uint32_t *stack = NULL;
    for (lvt_node_id i = 0; i < g->n_nodes; i++) {
        if (lvt_fuse_is_leaf(&e->f, &g->nodes[i]))
            continue;
        uint32_t unit = lvt_fuse_home(&e->f, i);
        for (bool first = true; first || depth; first = false) {
            if (!first) {
                unit = stack[depth - 1];
                if (e->state[unit]) {
                    if (e->state[unit] == 1)
                        e->order[e->n_order++] = unit;
                    e->state[unit] = 2;
                    depth--;
                    continue;
                }
                e->state[unit] = 1;
            } else if (e->state[unit]) {
                break;
            }
            const lvt_group *group = &e->f.groups[unit];
            size_t want = depth + 1;
            for (uint32_t k = 0; k < group->n; k++)
                want += g->nodes[group->nodes[k]].n_operands;
            void *grown = lvt_arena_grow(e->r.ctx->arena, stack, depth, want, &cap, sizeof *stack);
            if (!grown)
                return false;
            stack = grown;
            if (first) {
                stack[depth++] = unit;
                continue;
            }
            for (uint32_t k = group->n; k-- > 0;) {
                const lvt_node *n = &g->nodes[group->nodes[k]];
                for (uint32_t j = n->n_operands; j-- > 0;) {
                    lvt_value s = e->f.deep[n->operands[j]];
                    if (s != LVT_NONE && !e->state[unit_of(e, s)])
                        stack[depth++] = unit_of(e, s);
                }
            }
        }
    }
    return true;
}

/* Drops the nodes of the group that no needed value of its own nodes depends on; marks what the rest reads.
 */
static void trim(emitter *e, uint32_t unit) {
    lvt_group *group = &e->f.groups[unit];
    const lvt_graph *g = e->f.in;
    uint32_t kept = 0;
    if (!group->fusable) {
        const lvt_node *n = &g->nodes[unit];
        for (uint32_t k = 0; k < n->n_operands; k++)
            if (e->f.deep[n->operands[k]] != LVT_NONE)
                e->needed[e->f.deep[n->operands[k]]] = true;
        return;
    }
    for (uint32_t i = 0; i < group->n; i++) {
        lvt_node_id id = group->nodes[i];
        e->live[id] = e->needed[g->nodes[id].result] && lvt_fuse_home(&e->f, id) == unit;
        e->f.inside[id] = true;
    }
    for (uint32_t i = group->n; i-- > 0;) {
        const lvt_node *n = &g->nodes[group->nodes[i]];
        for (uint32_t k = 0; e->live[group->nodes[i]] && k < n->n_operands; k++) {
            lvt_value s = e->f.deep[n->operands[k]];
            if (s == LVT_NONE)
                continue;
            if (e->f.inside[g->values[s].node])
                e->live[g->values[s].node] = true;
            else
                e->needed[s] = true;
        }
    }
    for (uint32_t i = 0; i < group->n; i++) {
        lvt_node_id id = group->nodes[i];
        e->f.inside[id] = false;
        if (e->live[id])
            group->nodes[kept++] = id;
        e->live[id] = false;
    }
    group->n = kept;
}

/* The value v of `in` as a value of `out`; leaves that only nodes outside of bodies use are made on the way.
 */
static lvt_value raw(emitter *e, lvt_value v) {
    const lvt_node *n = lvt_value_node(e->f.in, v);
    if (e->r.map[v] == LVT_NONE && lvt_fuse_is_leaf(&e->f, n)) {
        lvt_node_id id = e->f.in->values[v].node;
        uint32_t n_externals = 0;
        if (n->n_operands && raw(e, n->operands[0]) == LVT_NONE)
            return LVT_NONE;
        if (n->op == LVT_OP_iota) { /* nothing in memory to make a view of: a kernel has to count */
            lvt_graph *body =
                lvt_fuse_body(&e->f, e->r.ctx->module, &id, 1, &n->result, 1, e->externals, &n_externals);
            lvt_rewrite_at(&e->r, id);
            lvt_value made = body ? lvt_build_fused(&e->r.b, body, 0, NULL) : LVT_NONE;
            lvt_rewrite_replace(&e->r, id, &made);
        } else {
            lvt_rewrite_copy(&e->r, id);
        }
    }
    return e->r.map[v];
}

static void explain_fused(emitter *e, const lvt_node_id *nodes, uint32_t n, uint32_t n_externals,
                          uint32_t n_outputs) {
    lvt_text *text = e->r.ctx->explain;
    const lvt_graph *g = e->f.in;
    if (!text)
        return;
    double in = 0, out = 0;
    for (uint32_t i = 0; i < n_externals; i++)
        in += (double)lvt_type_bytes(&g->values[e->externals[i]].type);
    for (uint32_t i = 0; i < n_outputs; i++)
        out += (double)lvt_type_bytes(&g->values[e->outputs[i]].type);
    lvt_text_add(text, "%s: fused", g->name ? g->name : "");
    lvt_text_add_place(text, e->r.ctx->module, g->nodes[nodes[n - 1]].loc);
    lvt_text_add(text, ": %u operands %.3g MB, %u results %.3g MB:", n_externals, in / 1e6, n_outputs,
                 out / 1e6);
    for (uint32_t i = 0; i < n; i++)
        lvt_text_add(text, " %s", lvt_op_of(&g->nodes[nodes[i]])->name);
    lvt_text_add(text, "\n");
}

/* Makes one fused node of these nodes; false when they are not in loop form (or out of memory, see nomem). */
static bool emit_fused(emitter *e, uint32_t unit, const lvt_node_id *nodes, uint32_t n) {
    const lvt_graph *g = e->f.in;
    uint32_t n_outputs = 0, n_externals;
    lvt_node_id last = nodes[n - 1];
    for (uint32_t i = 0; i < n; i++)
        if (lvt_fuse_home(&e->f, nodes[i]) == unit && e->needed[g->nodes[nodes[i]].result]) {
            e->outputs[n_outputs++] = g->nodes[nodes[i]].result;
            last = nodes[i];
        }
    lvt_graph *body =
        lvt_fuse_body(&e->f, e->r.ctx->module, nodes, n, e->outputs, n_outputs, e->externals, &n_externals);
    if (!body) {
        e->nomem = true;
        return false;
    }
    const char *why = lvt_loop_accepts(body);
    if (why == lvt_loop_no_memory) {
        e->nomem = true;
        return false;
    }
    if (why) {
        lvt_text *text = e->r.ctx->explain;
        lvt_text_add(text, "%s: not fused: %s", g->name ? g->name : "", lvt_op_of(&g->nodes[last])->name);
        lvt_text_add_place(text, e->r.ctx->module, g->nodes[last].loc);
        lvt_text_add(text, ": %s\n", why);
        return false;
    }
    for (uint32_t i = 0; i < n_externals; i++)
        if ((e->operands[i] = raw(e, e->externals[i])) == LVT_NONE)
            return false;
    explain_fused(e, nodes, n, n_externals, n_outputs);
    lvt_rewrite_at(&e->r, last);
    body->loc = g->nodes[last].loc;
    lvt_value made = lvt_build_fused(&e->r.b, body, n_externals, e->operands);
    for (uint32_t k = 0; made != LVT_NONE && k < n_outputs; k++) {
        lvt_value result = made + k;
        lvt_rewrite_replace(&e->r, g->values[e->outputs[k]].node, &result);
    }
    for (uint32_t i = 0; made != LVT_NONE && i < n; i++)
        if (lvt_fuse_home(&e->f, nodes[i]) == unit)
            e->r.nodes[nodes[i]] = e->r.out->values[made].node;
    return true;
}

static void emit_unit(emitter *e, uint32_t unit) {
    const lvt_graph *g = e->f.in;
    const lvt_group *group = &e->f.groups[unit];
    if (!group->n)
        return;
    if (group->fusable && emit_fused(e, unit, group->nodes, group->n))
        return;
    if (e->nomem)
        return;
    /* Not one kernel: one by one then, what others were to copy included, so nothing is missing. */
    for (uint32_t i = 0; i < group->n; i++) {
        lvt_node_id id = group->nodes[i];
        if (e->r.map[g->nodes[id].result] != LVT_NONE && g->nodes[id].n_results)
            continue;
        for (uint32_t k = 0; k < g->nodes[id].n_operands; k++)
            if (raw(e, g->nodes[id].operands[k]) == LVT_NONE)
                return;
        bool was = g->nodes[id].n_results && e->needed[g->nodes[id].result];
        if (group->fusable)
            e->needed[g->nodes[id].result] = true;
        if (group->n > 1 && emit_fused(e, lvt_fuse_home(&e->f, id), &id, 1))
            continue;
        e->needed[g->nodes[id].result] |= was;
        lvt_rewrite_copy(&e->r, id);
    }
}

lvt_graph *lvt_pass_fuse_pointwise(lvt_pass *ctx, const lvt_graph *in) {
    emitter e = {0};
    lvt_graph *out = NULL;
    if (!lvt_rewrite_begin(&e.r, ctx, in))
        return NULL;
    if (!lvt_fuse_begin(&e.f, ctx, in) || !lvt_fuse_cluster(&e.f))
        goto done;
    lvt_arena *a = ctx->arena;
    size_t nodes = in->n_nodes + 1u, values = in->n_values + 1u;
    e.order = lvt_arena_alloc(a, nodes * sizeof *e.order);
    e.state = lvt_arena_alloc(a, nodes);
    e.live = lvt_arena_alloc(a, nodes);
    e.needed = lvt_arena_alloc(a, values);
    e.outputs = lvt_arena_alloc(a, values * sizeof *e.outputs);
    e.externals = lvt_arena_alloc(a, values * sizeof *e.externals);
    e.operands = lvt_arena_alloc(a, values * sizeof *e.operands);
    e.nomem = !e.order || !e.state || !e.live || !e.needed || !e.outputs || !e.externals || !e.operands ||
              !order_units(&e);
    for (uint32_t i = 0; !e.nomem && i < in->n_outputs; i++)
        if (e.f.deep[in->outputs[i].value] != LVT_NONE)
            e.needed[e.f.deep[in->outputs[i].value]] = true;
    for (uint32_t i = 0; !e.nomem && i < in->n_updates; i++)
        if (e.f.deep[in->updates[i].value] != LVT_NONE)
            e.needed[e.f.deep[in->updates[i].value]] = true;
    for (uint32_t i = e.n_order; !e.nomem && i-- > 0;)
        trim(&e, e.order[i]);
    for (uint32_t i = 0; !e.nomem && i < e.n_order && !e.r.out->failed; i++)
        emit_unit(&e, e.order[i]);
    for (uint32_t i = 0; !e.nomem && i < in->n_outputs; i++)
        raw(&e, in->outputs[i].value);
    for (uint32_t i = 0; !e.nomem && i < in->n_updates; i++)
        raw(&e, in->updates[i].value);
    out = e.nomem ? lvt_pass_nomem(ctx) : lvt_rewrite_end(&e.r);
done:
    lvt_fuse_end(&e.f);
    return out;
}
