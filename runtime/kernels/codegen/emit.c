/* The loops of a kernel: grid, outer loops; and the function around them.
 *
 *     for k in chunk, for outer loops                    run_grid, run_outer
 *       values that are constant along the row           lvt_nest_prepare (value.c)
 *       for each level of row reductions: pass           run_level (row.c)
 *       last pass: element results, accumulators         run_last (row.c)
 * Invariant: see state.h. May not know: where kernels come from, caches. */
#include "state.h"

#include <string.h>

typedef LLVMValueRef V;

/* Moves the addresses of row u to `index` of loop l. Returns the old ones, to be put back. */
V *lvt_nest_step_to(lvt_nest_state *s, int u, const V *base, int l, V index) {
    V *old = s->ptr[u], *now = lvt_arena_alloc(s->e->arena, (s->n_streams + 1) * sizeof *now);
    if (!now) {
        s->e->failed = true;
        return old;
    }
    for (uint32_t i = 0; i < s->n_streams; i++) {
        now[i] = base[i];
        if (!base[i] || s->streams[i]->stride[l] == 0)
            continue;
        V at = lvt_nest_mul(s, index, lvt_nest_i64(s, s->streams[i]->stride[l]));
        bool acc = i >= lvt_nest_acc_stream(s, 0);
        LLVMTypeRef lane = acc ? lvt_emit_lane(s->e, (lvt_dtype)s->streams[i]->dtype)
                               : lvt_emit_store(s->e, (lvt_dtype)s->streams[i]->dtype);
        now[i] = LLVMBuildGEP2(s->e->b, lane, base[i], &at, 1, "");
    }
    s->ptr[u] = now;
    s->index[u][l] = index;
    return old;
}

/* ---- outer loops ---- */

static void run_outer(lvt_nest_state *s, int l) {
    if (l == s->n->row) {
        lvt_nest_run_row(s, 1);
        return;
    }
    V lo = l == s->n->grid ? s->s0 : lvt_nest_i64(s, 0),
      hi = l == s->n->grid ? s->s1 : lvt_nest_i64(s, s->n->dim[l]);
    V *base = s->ptr[0];
    if (l == s->n->row - 1 && s->n->rows > 1) {
        V many = LLVMBuildAnd(s->e->b, LLVMBuildSub(s->e->b, hi, lo, ""),
                              lvt_nest_i64(s, -(int64_t)s->n->rows), "");
        V middle = lvt_nest_add(s, lo, many);
        lvt_emit_loop x = lvt_emit_loop_begin(s->e, lo, middle, s->n->rows);
        for (int u = 0; u < s->n->rows; u++) {
            memcpy(s->index[u], s->index[0], sizeof s->index[0]);
            lvt_nest_step_to(s, u, base, l, lvt_nest_add(s, x.index, lvt_nest_i64(s, u)));
        }
        lvt_nest_run_row(s, s->n->rows);
        s->ptr[0] = base;
        lvt_emit_loop_end(s->e, &x);
        lo = middle;
    }
    lvt_emit_loop x = lvt_emit_loop_begin(s->e, lo, hi, 1);
    lvt_nest_step_to(s, 0, base, l, x.index);
    run_outer(s, l + 1);
    s->ptr[0] = base;
    lvt_emit_loop_end(s->e, &x);
}

static void run_grid(lvt_nest_state *s) {
    const lvt_nest *n = s->n;
    if (n->grid == 0) {
        run_outer(s, 0);
        return;
    }
    lvt_emit_loop x = lvt_emit_loop_begin(s->e, s->k0, s->k1, 1);
    V *base = s->ptr[0], rest = x.index;
    for (int l = n->grid - 1; l >= 0; l--) {
        V d = lvt_nest_i64(s, n->dim[l]);
        lvt_nest_step_to(s, 0, s->ptr[0], l, l ? LLVMBuildURem(s->e->b, rest, d, "") : rest);
        if (l)
            rest = LLVMBuildUDiv(s->e->b, rest, d, "");
    }
    run_outer(s, n->grid);
    s->ptr[0] = base;
    lvt_emit_loop_end(s->e, &x);
}

/* ---- the function ---- */

static void visit_hoist(lvt_nest_state *s, int first, int end, void *user) {
    (void)user;
    for (int k = 0; k < s->n->n_hoist; k++) {
        V offset = lvt_nest_i64(s, (int64_t)(s->n->hoist_bytes * (size_t)k));
        V at = LLVMBuildGEP2(s->e->b, s->e->i8, s->buffer, &offset, 1, "");
        for (int j = first; j < end; j++) /* whole vectors: the buffer has room */
            lvt_emit_write(s->e, (lvt_dtype)s->g->values[s->n->hoist[k]].type.dtype,
                           lvt_nest_value(s, s->n->hoist[k], 0, j), at, 1, s->pos[j], NULL);
    }
}

static bool make_state(lvt_nest_state *s) {
    const lvt_graph *g = s->g;
    lvt_arena *a = s->e->arena;
    s->n_streams = lvt_nest_acc_stream(s, s->n->n_accs);
    s->streams = lvt_arena_alloc(a, (s->n_streams + 1) * sizeof *s->streams);
    s->fixed = lvt_arena_alloc(a, (g->n_values + 1) * sizeof(V));
    s->at = lvt_arena_alloc(a, (size_t)LVT_NEST_ROWS * LVT_NEST_SLOTS * (g->n_values + 1) * sizeof(V));
    s->sums =
        lvt_arena_alloc(a, ((size_t)s->n->n_accs + g->n_nodes) * LVT_NEST_ROWS * LVT_NEST_UNROLL * sizeof(V));
    s->ptr[0] = lvt_arena_alloc(a, (s->n_streams + 1) * sizeof(V));
    s->reciprocal = lvt_arena_alloc(a, (g->n_values + 1) * sizeof(V));
    bool ok = s->streams && s->reciprocal && s->fixed && s->at && s->sums && s->ptr[0];
    for (int u = 0; u < LVT_NEST_ROWS; u++)
        ok &= (s->uniform[u] = lvt_arena_alloc(a, (g->n_values + 1) * sizeof(V))) != NULL;
    if (!ok)
        return false;
    for (uint32_t i = 0; i < g->n_inputs; i++)
        s->streams[i] = &s->n->operands[i];
    for (uint32_t i = 0; i < g->n_outputs; i++)
        s->streams[lvt_nest_result_stream(s, i)] = &s->n->results[i];
    for (uint32_t i = 0; i < s->n->n_accs; i++)
        s->streams[lvt_nest_acc_stream(s, i)] = &s->n->accs[i].at;
    return true;
}

static V table_entry(lvt_nest_state *s, V table, uint32_t k) {
    V at = lvt_nest_i64(s, k);
    return LLVMBuildLoad2(s->e->b, s->e->ptr, LLVMBuildGEP2(s->e->b, s->e->ptr, table, &at, 1, ""), "");
}

bool lvt_emit_nest(lvt_emit *e, const lvt_nest *n, const char *symbol) {
    lvt_nest_state *s = lvt_arena_alloc(e->arena, sizeof *s);
    if (!s)
        return false;
    *s = (lvt_nest_state){.e = e, .n = n, .g = n->body, .rows = 1};
    e->width = n->width;
    lvt_emit_function(e, symbol);
    if (!make_state(s))
        return false;
    LLVMBasicBlockRef entry = lvt_emit_block(s->e), start = lvt_emit_block(s->e);
    LLVMPositionBuilderAtEnd(e->b, start);
    V operands = LLVMGetParam(e->function, 0), results = LLVMGetParam(e->function, 1),
      partial = LLVMGetParam(e->function, 2);
    s->buffer = LLVMGetParam(e->function, 3);
    s->k0 = LLVMGetParam(e->function, 4);
    s->k1 = LLVMGetParam(e->function, 5);
    s->s0 = LLVMGetParam(e->function, 6);
    s->s1 = LLVMGetParam(e->function, 7);
    for (uint32_t k = 0; k < s->g->n_inputs; k++)
        if (n->loop.values[s->g->inputs[k].value].live)
            s->ptr[0][k] = table_entry(s, operands, k);
    for (uint32_t k = 0; k < s->g->n_outputs; k++)
        if (n->loop.values[s->g->outputs[k].value].kind != LVT_LOOP_ACC)
            s->ptr[0][lvt_nest_result_stream(s, k)] = table_entry(s, results, k);
    for (uint32_t k = 0; k < n->n_accs; k++) {
        V offset = lvt_nest_i64(s, (int64_t)n->accs[k].offset);
        s->ptr[0][lvt_nest_acc_stream(s, k)] = LLVMBuildGEP2(e->b, e->i8, partial, &offset, 1, "");
    }
    s->pos[0] = lvt_nest_i64(s, 0);
    for (lvt_node_id i = 0; i < s->g->n_nodes; i++) {
        lvt_value v = s->g->nodes[i].result;
        const lvt_loop_value *x = &n->loop.values[v];
        if (x->live && n->vary[v] == 0 && x->kind == LVT_LOOP_PLAIN && x->level == 0)
            s->fixed[v] = lvt_nest_compute(s, v, 0, 0);
    }
    if (n->n_hoist) {
        s->hoisting = true;
        lvt_nest_walk(s, n->dim[lvt_nest_inner(s)], visit_hoist, NULL);
        s->hoisting = false;
    }
    run_grid(s);
    LLVMBuildRetVoid(e->b);
    LLVMPositionBuilderAtEnd(e->b, entry);
    LLVMBuildBr(e->b, start);
    return !e->failed;
}
