/* Pass autodiff: replaces each `gradient` node by the reverse of the graph that leads from its variables to
 * its loss.
 *
 * Invariants: nodes are copied in order, and a `gradient` node is expanded where it stands, so that its
 * forward nodes are already in the new graph; a later `gradient` node sees the nodes of earlier ones as plain
 * nodes, which is all that gradients of gradients need. Only nodes on a path from a variable to the loss are
 * reversed. New nodes have the role `gradient`, and the place and the identity (origin) of the forward node
 * they belong to. May not know: what any op's gradient is, kernels. */
#include "pass.h"

#include <string.h>

/* One expansion. Arrays have an element for every value of the graph as it was when the expansion began. */
typedef struct reverse {
    lvt_pass *ctx;
    lvt_graph *g;
    lvt_builder b;
    bool *varies;       /* depends on a variable in a differentiable way */
    bool *reached;      /* the loss depends on it */
    lvt_value *adjoint; /* d loss / d value so far */
} reverse;

static bool any(const bool *flags, const lvt_value *values, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (flags[values[i]])
            return true;
    return false;
}

static bool any_result(const bool *flags, const lvt_node *n) {
    for (uint32_t k = 0; k < n->n_results; k++)
        if (flags[n->result + k])
            return true;
    return false;
}

/* Marks what lies between the variables and the loss, and reports every op there that has no gradient. */
static bool mark(reverse *r, lvt_value loss, uint32_t n_variables, const lvt_value *variables) {
    lvt_graph *g = r->g;
    bool ok = true;
    for (uint32_t i = 0; i < n_variables; i++)
        r->varies[variables[i]] = true;
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        const lvt_node *n = &g->nodes[i];
        if (lvt_op_of(n)->no_gradient || !any(r->varies, n->operands, n->n_operands))
            continue;
        for (uint32_t k = 0; k < n->n_results; k++)
            if (lvt_dtype_is_float((lvt_dtype)lvt_value_type(g, n->result + k)->dtype))
                r->varies[n->result + k] = true;
    }
    r->reached[loss] = r->varies[loss];
    for (uint32_t i = g->n_nodes; i-- > 0;) {
        const lvt_node *n = &g->nodes[i];
        const lvt_op_def *def = lvt_op_of(n);
        if (!any_result(r->reached, n) || def->no_gradient || !any(r->varies, n->operands, n->n_operands))
            continue;
        for (uint32_t k = 0; k < n->n_operands; k++)
            if (r->varies[n->operands[k]])
                r->reached[n->operands[k]] = true;
        if (!def->grad) {
            lvt_pass_fail(r->ctx, LVT_USER, "E401", n->loc, "%s has no gradient", def->name);
            ok = false;
        }
    }
    return ok;
}

/* The forward node that gradients of this one are counted to. */
static lvt_node_id origin_of(const lvt_graph *g, lvt_node_id id) {
    const lvt_node *n = &g->nodes[id];
    return n->role != LVT_FORWARD && n->origin != LVT_NONE ? n->origin : id;
}

static bool reverse_node(reverse *r, lvt_node_id id) {
    lvt_graph *g = r->g;
    const lvt_node node = g->nodes[id]; /* the array moves as the graph grows */
    lvt_arena *arena = r->ctx->arena;
    bool flows = false;
    lvt_value *dresults = lvt_arena_alloc(arena, node.n_results * sizeof *dresults + 1);
    lvt_value *doperands = lvt_arena_alloc(arena, node.n_operands * sizeof *doperands + 1);
    bool *wants = lvt_arena_alloc(arena, node.n_operands * sizeof *wants + 1);
    if (!dresults || !doperands || !wants)
        return false;
    for (uint32_t k = 0; k < node.n_results; k++) {
        dresults[k] = r->reached[node.result + k] ? r->adjoint[node.result + k] : LVT_NONE;
        flows |= dresults[k] != LVT_NONE;
    }
    if (!flows || lvt_op_of(&node)->no_gradient || !any(r->varies, node.operands, node.n_operands))
        return true;
    for (uint32_t k = 0; k < node.n_operands; k++) {
        wants[k] = r->varies[node.operands[k]];
        doperands[k] = LVT_NONE;
    }
    r->b.loc = node.loc;
    r->b.origin = origin_of(g, id);
    lvt_grad c = {&r->b, &node, dresults, wants, doperands};
    if (lvt_op_of(&node)->grad(&c) != LVT_OK || g->failed)
        return false;
    for (uint32_t k = 0; k < node.n_operands; k++) {
        lvt_value v = node.operands[k];
        if (!wants[k] || doperands[k] == LVT_NONE)
            continue;
        if (!lvt_type_equal(lvt_value_type(g, doperands[k]), lvt_value_type(g, v))) {
            lvt_pass_fail(r->ctx, LVT_INTERNAL, NULL, node.loc,
                          "%s: the gradient of operand %u has a wrong type", lvt_op_of(&node)->name, k);
            return false;
        }
        if (r->adjoint[v] != LVT_NONE)
            doperands[k] = lvt_build_binary(&r->b, LVT_OP_add, r->adjoint[v], doperands[k]);
        r->adjoint[v] = doperands[k];
    }
    return !g->failed;
}

/* Zeros for a variable that the loss does not depend on. */
static lvt_value no_dependence(reverse *r, const lvt_node *gradient, lvt_value variable) {
    const char *name = r->g->values[variable].name;
    lvt_pos at = lvt_module_pos(r->g->module, gradient->loc);
    if (name)
        lvt_warning(r->ctx->diag, "W402", at, "the loss does not depend on '%s': its gradient is zero", name);
    else
        lvt_warning(r->ctx->diag, "W402", at, "the loss does not depend on this value: its gradient is zero");
    if (!name)
        lvt_note(r->ctx->diag, lvt_module_pos(r->g->module, lvt_value_node(r->g, variable)->loc),
                 "the value comes from here");
    r->b.loc = gradient->loc;
    r->b.origin = LVT_NONE;
    lvt_type type = *lvt_value_type(r->g, variable);
    return lvt_build_full(&r->b, &type, 0);
}

/* Builds the reverse for a `gradient` node of the old graph and enters its results into map. */
static bool expand(lvt_pass *ctx, lvt_graph *g, const lvt_node *gradient, lvt_value *map) {
    uint32_t n_variables = gradient->n_operands - 1u, n_values = g->n_values, n_nodes = g->n_nodes;
    reverse r = {.ctx = ctx, .g = g, .b = lvt_builder_for(g, ctx->diag)};
    lvt_value *operands = lvt_arena_alloc(ctx->arena, gradient->n_operands * sizeof *operands);
    r.varies = lvt_arena_alloc(ctx->arena, n_values * sizeof *r.varies + 1);
    r.reached = lvt_arena_alloc(ctx->arena, n_values * sizeof *r.reached + 1);
    r.adjoint = lvt_graph_new_map(g, ctx->arena);
    if (!operands || !r.varies || !r.reached || !r.adjoint)
        return false;
    for (uint32_t i = 0; i < gradient->n_operands; i++)
        operands[i] = map[gradient->operands[i]];
    lvt_value loss = operands[0];
    if (!mark(&r, loss, n_variables, operands + 1))
        return false;
    r.b.role = LVT_GRADIENT;
    r.b.loc = gradient->loc;
    r.b.origin = origin_of(g, g->values[loss].node);
    if (r.reached[loss])
        r.adjoint[loss] = lvt_build_scalar(&r.b, (lvt_dtype)lvt_value_type(g, loss)->dtype, 1);
    for (uint32_t i = n_nodes; i-- > 0;)
        if (!reverse_node(&r, i))
            return false;
    for (uint32_t i = 0; i < n_variables; i++) {
        lvt_value v = r.adjoint[operands[i + 1]];
        map[gradient->result + i] = v != LVT_NONE ? v : no_dependence(&r, gradient, operands[i + 1]);
    }
    return !g->failed;
}

lvt_graph *lvt_pass_autodiff(lvt_pass *ctx, const lvt_graph *in) {
    lvt_graph *g = lvt_graph_new(ctx->module, in->name, in->loc, in->training);
    lvt_value *map = lvt_graph_new_map(in, ctx->arena);
    lvt_node_id *node_map = lvt_arena_alloc(ctx->arena, in->n_nodes * sizeof *node_map + 1);
    if (!g || !map || !node_map)
        return lvt_pass_nomem(ctx);
    memset(node_map, 0xff, in->n_nodes * sizeof *node_map);
    size_t errors = lvt_diag_errors(ctx->diag);
    bool ok = true;
    for (uint32_t i = 0; i < in->n_nodes; i++) {
        const lvt_node *n = &in->nodes[i];
        ctx->at = n->loc;
        if (n->op != LVT_OP_gradient)
            ok &= lvt_graph_copy_node(g, in, i, map, node_map) != LVT_NONE;
        else if (!expand(ctx, g, n, map))
            ok = false;
        if (!ok)
            break;
    }
    if (ok && lvt_graph_copy_ends(g, in, map))
        return g;
    /* What the builder says is in the diagnostics already; silence means memory. */
    return lvt_diag_errors(ctx->diag) > errors ? NULL : lvt_pass_nomem(ctx);
}
