/* Pass layout: how every value lies in memory.
 *
 * Transposes, slices, broadcasts and reshapes become views of their operand where strides can say it and all
 * readers can read it, else their operand, or their result, is copied. A kernel that can write with strides
 * writes in the order its readers want, when that saves copies: attention's output is written as [B,N,h,d]
 * though it is computed as [h,B,N,d]. Invariant: the graph computes the same; places[v] holds strides for
 * every value, and an offset relative to the memory of its root (see plan.h); given its own result the pass
 * changes nothing. May not know: addresses. */
#include "plan.h"
#include "rewrite.h"
#include "ir/epilogue.h"

#include <string.h>

typedef struct layouter {
    lvt_rewrite r;
    lvt_uses uses;
    lvt_place *places; /* by value of out */
    size_t cap;
    lvt_value *copies; /* by value of out: its dense copy, or LVT_NONE */
    size_t cap_copies;
    uint32_t n; /* values that have a place */
} layouter;

/* ---- which order a result is written in ---- */

/* Bytes that will be copied below value v of `in` when it lies like this. */
static double copied_bytes(const layouter *l, lvt_value v, const lvt_place *place) {
    const lvt_graph *g = l->r.in;
    const lvt_type *t = &g->values[v].type;
    double bytes = 0, own = (double)lvt_type_bytes(t);
    bool copied = false; /* one copy serves all */
    int64_t dense[LVT_MAX_RANK];
    lvt_strides_dense(t, dense);
    if (l->uses.ends[v] && !lvt_strides_equal(t, dense, place->strides))
        copied = true;
    for (uint32_t i = l->uses.offset[v]; i < l->uses.offset[v + 1]; i++) {
        lvt_node_id user = l->uses.users[i];
        const lvt_node *n = &g->nodes[user];
        lvt_place view;
        if (lvt_is_view(n)) {
            if (lvt_view_place(g, n, place, &view))
                bytes += copied_bytes(l, n->result, &view);
            else
                copied = true;
            continue;
        }
        for (uint32_t k = 0; k < n->n_operands; k++)
            copied |= n->operands[k] == v && !lvt_reads_strides(g, user, k, place->strides);
    }
    return bytes + (copied ? own : 0);
}

static bool writes_strides(const lvt_graph *g, lvt_value v, const int64_t *strides) {
    const lvt_type *t = &g->values[v].type;
    switch (lvt_value_node(g, v)->op) {
    case LVT_OP_fused: /* but products that finish their results write them packed */
        return !lvt_epilogue_product(lvt_value_node(g, v)->body);
    case LVT_OP_matmul: /* rows of the result must be contiguous */
    case LVT_OP_attention:
    case LVT_OP_attention_grad:
        return t->rank >= 2 && (strides[t->rank - 1] == 1 || t->dim[t->rank - 1] == 1);
    default:
        return false;
    }
}

typedef struct choice {
    lvt_place best;
    double bytes;
} choice;

/* Tries the order that makes a transpose below `at` (v itself, or v through reshapes) come out dense. */
static void try_orders(const layouter *l, lvt_value v, lvt_value at, choice *c, int depth) {
    const lvt_graph *g = l->r.in;
    for (uint32_t i = l->uses.offset[at]; i < l->uses.offset[at + 1] && c->bytes > 0; i++) {
        const lvt_node *n = &g->nodes[l->uses.users[i]];
        if (n->op == LVT_OP_reshape && depth < 4)
            try_orders(l, v, n->result, c, depth + 1);
        if (n->op != LVT_OP_transpose)
            continue;
        int64_t dense[LVT_MAX_RANK], operand[LVT_MAX_RANK] = {0};
        const lvt_attr *order = lvt_attr_get(n, "order");
        lvt_place p = {0};
        lvt_strides_dense(&g->values[n->result].type, dense);
        for (uint32_t k = 0; k < order->n; k++)
            operand[order->ints[k]] = dense[k];
        if (!lvt_strides_reshape(&g->values[at].type, operand, &g->values[v].type, p.strides) ||
            !writes_strides(g, v, p.strides))
            continue;
        double bytes = copied_bytes(l, v, &p);
        if (bytes < c->bytes)
            *c = (choice){p, bytes};
    }
}

static lvt_place result_place(const layouter *l, lvt_value v) {
    choice c = {0};
    lvt_strides_dense(&l->r.in->values[v].type, c.best.strides);
    c.bytes = copied_bytes(l, v, &c.best);
    if (c.bytes > 0)
        try_orders(l, v, v, &c, 0);
    return c.best;
}

/* ---- the new graph ---- */

static bool set_place(layouter *l, lvt_value v, const lvt_place *place) {
    void *places =
        lvt_arena_grow(l->r.ctx->module->arena, l->places, l->n, v + 1u, &l->cap, sizeof *l->places);
    void *copies =
        lvt_arena_grow(l->r.ctx->arena, l->copies, l->n, v + 1u, &l->cap_copies, sizeof *l->copies);
    if (!places || !copies) {
        l->r.out->failed = true;
        return false;
    }
    l->places = places;
    l->copies = copies;
    l->places[v] = *place;
    l->copies[v] = LVT_NONE;
    l->n = v + 1;
    return true;
}

static lvt_value dense_copy(layouter *l, lvt_value v, const char *why) {
    if (v == LVT_NONE || l->copies[v] != LVT_NONE)
        return v == LVT_NONE ? v : l->copies[v];
    lvt_place place = {0};
    lvt_strides_dense(&l->r.out->values[v].type, place.strides);
    lvt_value copy = lvt_build_unary(&l->r.b, LVT_OP_copy, v);
    if (copy == LVT_NONE || !set_place(l, copy, &place))
        return LVT_NONE;
    if (l->r.ctx->explain) {
        char type[LVT_TYPE_TEXT];
        lvt_text_add(l->r.ctx->explain, "%s: copy of %s", l->r.in->name ? l->r.in->name : "",
                     lvt_type_text(&l->r.out->values[v].type, type));
        lvt_text_add_place(l->r.ctx->explain, l->r.ctx->module, l->r.b.loc);
        lvt_text_add(l->r.ctx->explain, ": %s\n", why);
    }
    l->copies[v] = copy;
    return copy;
}

static bool place_view(layouter *l, lvt_node_id i) {
    const lvt_node *n = &l->r.in->nodes[i];
    lvt_value operand = l->r.map[n->operands[0]];
    lvt_place view;
    if (!lvt_view_place(l->r.in, n, &l->places[operand], &view)) {
        lvt_value copy = dense_copy(l, operand, "a reshape needs its elements in order");
        if (copy == LVT_NONE || !lvt_view_place(l->r.in, n, &l->places[copy], &view))
            return false;
        lvt_value kept = l->r.map[n->operands[0]];
        l->r.map[n->operands[0]] = copy;
        lvt_rewrite_copy(&l->r, i);
        l->r.map[n->operands[0]] = kept;
    } else {
        lvt_rewrite_copy(&l->r, i);
    }
    return !l->r.out->failed && set_place(l, l->r.map[n->result], &view);
}

/* Copies a node that works; operands that it cannot read are copied first. */
static bool place_worker(layouter *l, lvt_node_id i) {
    const lvt_graph *g = l->r.in;
    const lvt_node *n = &g->nodes[i];
    lvt_value *kept = lvt_arena_alloc(l->r.ctx->arena, (n->n_operands + 1u) * sizeof *kept);
    if (!kept)
        return false;
    for (uint32_t k = 0; k < n->n_operands; k++)
        kept[k] = l->r.map[n->operands[k]];
    for (uint32_t k = 0; k < n->n_operands; k++) {
        if (lvt_reads_strides(g, i, k, l->places[kept[k]].strides))
            continue;
        lvt_value copy = dense_copy(l, kept[k], lvt_op_of(n)->name);
        if (copy == LVT_NONE)
            return false;
        l->r.map[n->operands[k]] = copy;
    }
    lvt_rewrite_copy(&l->r, i);
    for (uint32_t k = 0; k < n->n_operands; k++)
        l->r.map[n->operands[k]] = kept[k];
    for (uint32_t k = 0; k < n->n_results && !l->r.out->failed; k++) {
        lvt_place place = result_place(l, n->result + k);
        double x;
        if (lvt_is_splat(g, n->result, &x)) /* one value in memory, however large the constant */
            memset(place.strides, 0, sizeof place.strides);
        set_place(l, l->r.map[n->result + k], &place);
    }
    return !l->r.out->failed;
}

/* Outputs are read as packed elements after the step, and new state must not be a view of what a step may
 * overwrite: both get memory of their own. */
static lvt_value settled(layouter *l, lvt_value v, lvt_loc loc, bool update, bool *taken) {
    lvt_graph *g = l->r.out;
    lvt_value root = v;
    int64_t dense[LVT_MAX_RANK];
    while (lvt_is_view(lvt_value_node(g, root)))
        root = lvt_value_node(g, root)->operands[0];
    lvt_strides_dense(&g->values[v].type, dense);
    bool own = lvt_op_of(lvt_value_node(g, root))->kind != LVT_KIND_SOURCE &&
               lvt_strides_equal(&g->values[v].type, dense, l->places[v].strides);
    if (own && !(update && taken[root])) {
        taken[root] |= update;
        return v;
    }
    l->r.b.loc = loc ? loc : lvt_value_node(g, v)->loc;
    l->r.b.role = update ? LVT_UPDATE : (lvt_role)lvt_value_node(g, v)->role;
    l->r.b.origin = LVT_NONE;
    if (update)
        l->copies[v] = LVT_NONE; /* each state its own */
    return dense_copy(l, v, update ? "new state needs memory of its own" : "an output is packed");
}

static bool settle_ends(layouter *l) {
    const lvt_graph *in = l->r.in;
    bool *taken = lvt_arena_alloc(l->r.ctx->arena, in->n_values + l->r.out->n_values + 1u);
    bool ok = taken != NULL;
    for (uint32_t i = 0; ok && i < in->n_outputs; i++) {
        const lvt_output *o = &in->outputs[i];
        lvt_value v = settled(l, l->r.map[o->value], o->loc, false, taken);
        ok = v != LVT_NONE && lvt_graph_add_output(l->r.out, o->name, v, o->loc);
    }
    for (uint32_t i = 0; ok && i < in->n_updates; i++) {
        const lvt_update *u = &in->updates[i];
        lvt_value v = settled(l, l->r.map[u->value], u->loc, true, taken);
        ok = v != LVT_NONE && lvt_graph_add_update(l->r.out, u->state, v, u->loc);
    }
    return ok && !l->r.out->failed;
}

lvt_graph *lvt_pass_layout(lvt_pass *ctx, const lvt_graph *in) {
    layouter l = {0};
    if (!lvt_rewrite_begin(&l.r, ctx, in))
        return NULL;
    bool ok = lvt_graph_uses(in, ctx->arena, &l.uses);
    for (lvt_node_id i = 0; ok && i < in->n_nodes; i++) {
        lvt_rewrite_at(&l.r, i);
        ok = lvt_is_view(&in->nodes[i]) ? place_view(&l, i) : place_worker(&l, i);
    }
    if (!ok || !settle_ends(&l))
        return lvt_diag_errors(ctx->diag) ? NULL : lvt_pass_nomem(ctx);
    *ctx->plan = (lvt_plan){.graph = l.r.out, .places = l.places};
    return l.r.out;
}
