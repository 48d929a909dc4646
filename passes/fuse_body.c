/* Bodies of groups, and what a group gives to the others. See fuse.h. */
#include "fuse.h"

#include <string.h>

enum { LARGE = 1 << 14 }; /* elements: below this a kernel's cost is its launch, not its bytes */

bool lvt_fuse_is_leaf(const lvt_fuse *f, const lvt_node *n) {
    const lvt_graph *g = f->in;
    if (n->op == LVT_OP_iota || n->op == LVT_OP_broadcast)
        return true;
    if (n->op == LVT_OP_constant)
        return lvt_is_splat(g, n->result, NULL);
    if (n->op != LVT_OP_reshape)
        return false;
    const lvt_type *a = &g->values[n->operands[0]].type, *b = &g->values[n->result].type;
    int i = 0, j = 0;
    for (;; i++, j++) { /* only dims of size 1 come or go */
        while (i < a->rank && a->dim[i] == 1)
            i++;
        while (j < b->rank && b->dim[j] == 1)
            j++;
        if (i == a->rank || j == b->rank)
            return i == a->rank && j == b->rank;
        if (a->dim[i] != b->dim[j])
            return false;
    }
}

uint32_t lvt_fuse_home(const lvt_fuse *f, lvt_node_id n) {
    while (f->groups[n].into != n)
        n = f->groups[n].into = f->groups[f->groups[n].into].into; /* the way is shorter next time */
    return n;
}

static bool can_fuse(const lvt_node *n) {
    return (lvt_is_pointwise(n) || n->op == LVT_OP_cast || lvt_is_reduce(n)) && n->n_results == 1;
}

static void set_domain(const lvt_fuse *f, const lvt_node *n, lvt_group *group) {
    const lvt_type *t = &f->in->values[lvt_is_reduce(n) ? n->operands[0] : n->result].type;
    for (int i = 0; i < t->rank; i++)
        if (t->dim[i] != 1)
            group->dim[group->rank++] = t->dim[i];
    group->large = lvt_numel(t) >= LARGE;
}

static bool find_users(lvt_fuse *f) {
    const lvt_graph *g = f->in;
    uint32_t total = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (lvt_node_id i = 0; i < g->n_nodes; i++) {
            const lvt_node *n = &g->nodes[i];
            if (lvt_fuse_is_leaf(f, n))
                continue;
            for (uint32_t k = 0; k < n->n_operands; k++) {
                lvt_value s = f->deep[n->operands[k]];
                if (s == LVT_NONE)
                    continue;
                if (!f->groups[i].fusable)
                    f->hard[s] = true;
                if (pass)
                    f->users[f->offset[s + 1]++] = i;
                else
                    f->offset[s + 2]++, total++;
            }
        }
        if (!pass) {
            for (size_t v = 2; v < (size_t)g->n_values + 2; v++)
                f->offset[v] += f->offset[v - 1];
            f->users = lvt_arena_alloc(f->ctx->arena, (total + 1u) * sizeof *f->users);
            if (!f->users)
                return false;
        }
    }
    return true;
}

bool lvt_fuse_begin(lvt_fuse *f, lvt_pass *ctx, const lvt_graph *in) {
    lvt_arena *a = ctx->arena;
    size_t nodes = in->n_nodes + 1u, values = in->n_values + 1u;
    *f = (lvt_fuse){.ctx = ctx, .in = in};
    f->groups = lvt_arena_alloc(a, nodes * sizeof *f->groups);
    f->inside = lvt_arena_alloc(a, nodes * sizeof *f->inside);
    f->stamp = lvt_arena_alloc(a, nodes * sizeof *f->stamp);
    f->order = lvt_arena_alloc(a, nodes * sizeof *f->order);
    f->before = lvt_arena_alloc(a, nodes * sizeof *f->before);
    f->after = lvt_arena_alloc(a, nodes * sizeof *f->after);
    f->places = lvt_arena_alloc(a, nodes * sizeof *f->places);
    f->deep = lvt_arena_alloc(a, values * sizeof *f->deep);
    f->hard = lvt_arena_alloc(a, values * sizeof *f->hard);
    f->offset = lvt_arena_alloc(a, (values + 2) * sizeof *f->offset);
    f->touched = lvt_arena_alloc(a, values * sizeof *f->touched);
    f->map = lvt_graph_new_map(in, a);
    f->scratch = lvt_module_new("scratch");
    if (!f->groups || !f->inside || !f->stamp || !f->order || !f->before || !f->after || !f->places ||
        !f->deep || !f->hard || !f->offset || !f->touched || !f->map || !f->scratch) {
        lvt_pass_nomem(ctx);
        return false;
    }
    for (lvt_node_id i = 0; i < in->n_nodes; i++) {
        const lvt_node *n = &in->nodes[i];
        lvt_group *group = &f->groups[i];
        bool leaf = lvt_fuse_is_leaf(f, n);
        for (uint32_t k = 0; k < n->n_results; k++)
            f->deep[n->result + k] = !leaf           ? n->result + k
                                     : n->n_operands ? f->deep[n->operands[0]]
                                                     : LVT_NONE;
        group->into = i;
        f->order[i] = i; /* operands come before their users */
        group->role = n->role;
        group->fusable = can_fuse(n);
        group->reduces = lvt_is_reduce(n);
        group->nodes = lvt_arena_alloc(a, sizeof *group->nodes);
        if (!group->nodes) {
            lvt_pass_nomem(ctx);
            return false;
        }
        group->nodes[0] = i;
        group->n = 1;
        group->cap = 1;
        if (group->fusable)
            set_domain(f, n, group);
    }
    for (uint32_t i = 0; i < in->n_outputs; i++)
        if (f->deep[in->outputs[i].value] != LVT_NONE)
            f->hard[f->deep[in->outputs[i].value]] = true;
    for (uint32_t i = 0; i < in->n_updates; i++)
        if (f->deep[in->updates[i].value] != LVT_NONE)
            f->hard[f->deep[in->updates[i].value]] = true;
    if (!find_users(f)) {
        lvt_pass_nomem(ctx);
        return false;
    }
    return true;
}

void lvt_fuse_end(lvt_fuse *f) {
    lvt_module_free(f->scratch);
}

static bool enter(lvt_fuse *f, lvt_graph *body, lvt_value v, lvt_value *externals, uint32_t *n_externals) {
    if (f->map[v] != LVT_NONE)
        return true;
    const lvt_node *n = lvt_value_node(f->in, v);
    if (lvt_fuse_is_leaf(f, n)) {
        if (n->n_operands && !enter(f, body, n->operands[0], externals, n_externals))
            return false;
        if (lvt_graph_copy_node(body, f->in, f->in->values[v].node, f->map, NULL) == LVT_NONE)
            return false;
        body->values[f->map[v]].name = NULL;
    } else {
        lvt_builder b = lvt_builder_for(body, f->ctx->diag);
        f->map[v] = lvt_build_input(&b, NULL, &f->in->values[v].type);
        if (f->map[v] == LVT_NONE)
            return false;
        externals[(*n_externals)++] = v;
    }
    f->touched[f->n_touched++] = v;
    return true;
}

lvt_graph *lvt_fuse_body(lvt_fuse *f, lvt_module *m, const lvt_node_id *nodes, uint32_t n,
                         const lvt_value *outputs, uint32_t n_outputs, lvt_value *externals,
                         uint32_t *n_externals) {
    lvt_graph *body = lvt_graph_new(m, NULL, 0, false);
    bool ok = body != NULL;
    *n_externals = 0;
    f->n_touched = 0;
    /* Inputs first: every body of equal shape then reads the same, whatever order its inputs were met in. */
    for (uint32_t i = 0; i < n; i++)
        f->inside[nodes[i]] = true;
    for (uint32_t i = 0; ok && i < n; i++)
        for (uint32_t k = 0; ok && k < f->in->nodes[nodes[i]].n_operands; k++) {
            lvt_value s = f->deep[f->in->nodes[nodes[i]].operands[k]];
            if (s != LVT_NONE && !f->inside[f->in->values[s].node])
                ok = enter(f, body, s, externals, n_externals);
        }
    for (uint32_t i = 0; ok && i < n; i++) {
        const lvt_node *node = &f->in->nodes[nodes[i]];
        for (uint32_t k = 0; ok && k < node->n_operands; k++)
            ok = enter(f, body, node->operands[k], externals, n_externals);
        ok = ok && lvt_graph_copy_node(body, f->in, nodes[i], f->map, NULL) != LVT_NONE;
        if (ok) {
            body->values[f->map[node->result]].name = NULL;
            f->touched[f->n_touched++] = node->result;
        }
    }
    for (uint32_t k = 0; ok && k < n_outputs; k++)
        ok = lvt_graph_add_output(body, NULL, f->map[outputs[k]], 0);
    for (uint32_t i = 0; i < n; i++)
        f->inside[nodes[i]] = false;
    for (uint32_t i = 0; i < f->n_touched; i++)
        f->map[f->touched[i]] = LVT_NONE;
    return ok && !body->failed ? body : NULL;
}

/* Does a node that is not inside read v? */
static bool read_outside(lvt_fuse *f, lvt_value v) {
    for (uint32_t i = f->offset[v]; i < f->offset[v + 1]; i++)
        if (!f->inside[f->users[i]])
            return true;
    return false;
}

uint32_t lvt_fuse_outputs(lvt_fuse *f, const lvt_node_id *nodes, uint32_t n, lvt_value *outputs) {
    uint32_t n_outputs = 0;
    for (uint32_t i = 0; i < n; i++)
        f->inside[nodes[i]] = true;
    for (uint32_t i = 0; i < n; i++) {
        lvt_value v = f->in->nodes[nodes[i]].result;
        if (f->hard[v] || read_outside(f, v))
            outputs[n_outputs++] = v;
    }
    for (uint32_t i = 0; i < n; i++)
        f->inside[nodes[i]] = false;
    return n_outputs;
}
