/* See rewrite.h. */
#include "rewrite.h"
#include "ir/base/c_locale.h"

#include <stdio.h>
#include <string.h>

bool lvt_rewrite_begin(lvt_rewrite *r, lvt_pass *ctx, const lvt_graph *in) {
    *r = (lvt_rewrite){.ctx = ctx, .in = in};
    r->out = lvt_graph_new(ctx->module, in->name, in->loc, in->training);
    r->map = lvt_graph_new_map(in, ctx->arena);
    r->nodes = lvt_arena_alloc(ctx->arena, (size_t)in->n_nodes * sizeof *r->nodes + 1);
    if (!r->out || !r->map || !r->nodes) {
        lvt_pass_nomem(ctx);
        return false;
    }
    memset(r->nodes, 0xff, (size_t)in->n_nodes * sizeof *r->nodes);
    r->b = lvt_builder_for(r->out, ctx->diag);
    return true;
}

void lvt_rewrite_at(lvt_rewrite *r, lvt_node_id n) {
    const lvt_node *node = &r->in->nodes[n];
    r->ctx->at = r->b.loc = node->loc;
    r->b.role = node->role;
    r->b.origin = node->origin == LVT_NONE ? LVT_NONE : r->nodes[node->origin];
}

void lvt_rewrite_copy(lvt_rewrite *r, lvt_node_id n) {
    r->ctx->at = r->in->nodes[n].loc;
    lvt_graph_copy_node(r->out, r->in, n, r->map, r->nodes);
}

void lvt_rewrite_replace(lvt_rewrite *r, lvt_node_id n, const lvt_value *values) {
    const lvt_node *node = &r->in->nodes[n];
    for (uint32_t k = 0; k < node->n_results; k++) {
        if (values[k] == LVT_NONE || values[k] >= r->out->n_values) {
            r->out->failed = true;
            return;
        }
        lvt_value_info *info = &r->out->values[values[k]];
        r->map[node->result + k] = values[k];
        if (!info->name)
            info->name = r->in->values[node->result + k].name;
    }
    if (node->n_results)
        r->nodes[n] = r->out->values[values[0]].node;
}

lvt_graph *lvt_rewrite_end(lvt_rewrite *r) {
    if (r->out->failed || !lvt_graph_copy_ends(r->out, r->in, r->map)) {
        if (lvt_diag_errors(r->ctx->diag))
            return NULL; /* the builder has said what is wrong */
        return lvt_pass_nomem(r->ctx);
    }
    return r->out;
}

lvt_value lvt_splat(lvt_builder *b, const lvt_type *t, double x) {
    lvt_named_attr attrs[] = {{"dtype", lvt_attr_dtype((lvt_dtype)t->dtype)},
                              {"shape", lvt_attr_ints(t->dim, t->rank)},
                              {"values", lvt_attr_floats(&x, 1)}};
    return lvt_build(b, LVT_OP_constant, 0, NULL, 3, attrs);
}

bool lvt_is_splat(const lvt_graph *g, lvt_value v, double *x) {
    if (!lvt_is_op(g, v, LVT_OP_constant))
        return false;
    const lvt_attr *values = lvt_attr_get(lvt_value_node(g, v), "values");
    if (values->n != 1)
        return false;
    if (x)
        *x = values->floats[0];
    return true;
}

lvt_value lvt_channel_vector(const lvt_graph *g, lvt_value v, int64_t channels) {
    const lvt_type *whole = &g->values[v].type;
    if (lvt_is_op(g, v, LVT_OP_broadcast))
        v = lvt_value_node(g, v)->operands[0];
    const lvt_type *t = &g->values[v].type;
    return t->rank && whole->dim[whole->rank - 1] == channels && t->dim[t->rank - 1] == channels &&
                   lvt_numel(t) == channels
               ? v
               : LVT_NONE;
}

lvt_value lvt_shaped(lvt_builder *b, lvt_value x, const lvt_type *t) {
    if (x == LVT_NONE || lvt_shape_equal(&b->graph->values[x].type, t))
        return x;
    return lvt_build_reshape(b, x, t->rank, t->dim);
}

uint32_t lvt_reduce_mask(const lvt_graph *g, const lvt_node *n) {
    const lvt_attr *axes = lvt_attr_get(n, "axes");
    int rank = lvt_value_type(g, n->operands[0])->rank;
    uint32_t mask = 0;
    for (uint32_t i = 0; i < axes->n; i++)
        mask |= 1u << (axes->ints[i] < 0 ? axes->ints[i] + rank : axes->ints[i]);
    return axes->n ? mask : (1u << rank) - 1;
}

lvt_graph *lvt_pass_fail(lvt_pass *ctx, lvt_status status, const char *code, lvt_loc loc, const char *format,
                         ...) {
    char words[512];
    va_list args;
    va_start(args, format);
    lvt_vsnprintf(words, sizeof words, format, args);
    va_end(args);
    ctx->status = lvt_error(ctx->diag, status, code, lvt_module_pos(ctx->module, loc), "%s", words);
    return NULL;
}

lvt_graph *lvt_pass_nomem(lvt_pass *ctx) {
    char doing[80];
    snprintf(doing, sizeof doing, "pass %.60s", ctx->name);
    if (lvt_arena_at_limit(ctx->arena) && !lvt_arena_at_limit(ctx->module->arena))
        return lvt_pass_fail(ctx, LVT_USER, "E609", ctx->at, "%s: more than %zu MiB of scratch memory", doing,
                             LVT_MAX_SCRATCH_BYTES >> 20);
    ctx->status = lvt_module_no_memory(ctx->module, ctx->at, doing, ctx->diag);
    return NULL;
}

lvt_value lvt_rewrite_reshape(lvt_rewrite *r, lvt_value x, int rank, const int64_t *dims) {
    while (lvt_is_op(r->out, x, LVT_OP_reshape))
        x = lvt_value_node(r->out, x)->operands[0];
    const lvt_type *have = &r->out->values[x].type;
    lvt_type want = lvt_type_make((lvt_dtype)have->dtype, rank, dims);
    return lvt_type_equal(have, &want) ? x : lvt_build_reshape(&r->b, x, rank, dims);
}
