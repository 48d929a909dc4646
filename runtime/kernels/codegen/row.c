/* A row of a kernel: passes over it, vectors, tails, reductions along it, the last pass with results and
 * accumulators.
 *
 * Invariant: see state.h; the order of every reduction is fixed by the nest. May not know: what is
 * outside of the row. */
#include "state.h"

#include <string.h>

typedef LLVMValueRef V;

/* ---- walking along a row ---- */

static V lanes_below(lvt_nest_state *s, V rest) {
    V r = lvt_emit_splat(s->e, LLVMBuildTrunc(s->e->b, rest, s->e->i32, ""));
    return LLVMBuildICmp(s->e->b, LLVMIntULT, lvt_emit_lanes(s->e, s->e->i32), r, "");
}

/* slot: where the vectors are remembered; rows held in registers need one slot for each vector of the row. */
static void visit_at(lvt_nest_state *s, V start, int slot, int count, V mask, lvt_nest_visit f, void *user) {
    for (int j = 0; j < count; j++)
        s->pos[slot + j] = lvt_nest_add(s, start, lvt_nest_i64(s, (int64_t)j * s->n->width));
    s->mask = mask;
    if (!s->n->flat)
        lvt_nest_forget(s);
    f(s, slot, slot + count, user);
    s->mask = NULL;
}

void lvt_nest_walk(lvt_nest_state *s, int64_t length, lvt_nest_visit f, void *user) {
    int w = s->n->width, most = s->n->flat ? LVT_NEST_SLOTS - 1 : LVT_NEST_UNROLL;
    int64_t block_size = (int64_t)w * most, at = length / block_size * block_size;
    if (at > block_size) {
        lvt_emit_loop l = lvt_emit_loop_begin(s->e, lvt_nest_i64(s, 0), lvt_nest_i64(s, at), block_size);
        visit_at(s, l.index, 0, most, NULL, f, user);
        lvt_emit_loop_end(s->e, &l);
    } else if (at) {
        visit_at(s, lvt_nest_i64(s, 0), 0, most, NULL, f, user);
    }
    int left = (int)((length - at) / w);
    if (left)
        visit_at(s, lvt_nest_i64(s, at), 0, left, NULL, f, user);
    if (length % w)
        visit_at(s, lvt_nest_i64(s, length / w * w), s->n->flat ? (int)(length / w) : 0, 1,
                 lanes_below(s, lvt_nest_i64(s, length % w)), f, user);
}

static void walk_range(lvt_nest_state *s, V lo, V hi, lvt_nest_visit f, void *user) {
    int w = s->n->width;
    LLVMBuilderRef b = s->e->b;
    V length = LLVMBuildSub(b, hi, lo, "");
    V blocks =
        lvt_nest_add(s, lo, LLVMBuildAnd(b, length, lvt_nest_i64(s, -(int64_t)w * LVT_NEST_UNROLL), ""));
    V whole = lvt_nest_add(s, lo, LLVMBuildAnd(b, length, lvt_nest_i64(s, -(int64_t)w), ""));
    lvt_emit_loop l = lvt_emit_loop_begin(s->e, lo, blocks, (int64_t)w * LVT_NEST_UNROLL);
    visit_at(s, l.index, 0, LVT_NEST_UNROLL, NULL, f, user);
    lvt_emit_loop_end(s->e, &l);
    l = lvt_emit_loop_begin(s->e, blocks, whole, w);
    visit_at(s, l.index, 0, 1, NULL, f, user);
    lvt_emit_loop_end(s->e, &l);
    LLVMBasicBlockRef tail = lvt_emit_block(s->e), end = lvt_emit_block(s->e);
    LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntSLT, whole, hi, ""), tail, end);
    LLVMPositionBuilderAtEnd(b, tail);
    visit_at(s, whole, 0, 1, lanes_below(s, LLVMBuildSub(b, hi, whole, "")), f, user);
    LLVMBuildBr(b, end);
    LLVMPositionBuilderAtEnd(b, end);
}

static void walk_inner(lvt_nest_state *s, lvt_nest_visit f, void *user) {
    if (!s->n->phased && s->n->grid == lvt_nest_inner(s) && !s->hoisting)
        walk_range(s, s->s0, s->s1, f, user);
    else
        lvt_nest_walk(s, s->n->dim[lvt_nest_inner(s)], f, user);
}

static void begin_sums(lvt_nest_state *s, bool within);
static void end_sums(lvt_nest_state *s, bool within);

/* A row of several loops: all but the last are loops around the vectors. Such rows are never taken several
 * together. */
static void walk(lvt_nest_state *s, int l, lvt_nest_visit f, void *user) {
    if (l == lvt_nest_inner(s)) {
        if (s->last)
            begin_sums(s, true);
        walk_inner(s, f, user);
        if (s->last)
            end_sums(s, true);
        return;
    }
    lvt_emit_loop x = lvt_emit_loop_begin(s->e, lvt_nest_i64(s, 0), lvt_nest_i64(s, s->n->dim[l]), 1);
    V *old = lvt_nest_step_to(s, 0, s->ptr[0], l, x.index);
    walk(s, l + 1, f, user);
    s->ptr[0] = old;
    lvt_emit_loop_end(s->e, &x);
}

/* ---- reductions along the row ---- */

static V *slot(lvt_nest_state *s, uint32_t k, int u, int j) {
    return &s->sums[((size_t)k * LVT_NEST_ROWS + (size_t)u) * LVT_NEST_UNROLL + (size_t)j];
}

/* Sets the accumulators of reduction k to the identity; makes their stack slots at first use. */
static void clear_sums(lvt_nest_state *s, uint32_t k, lvt_op op, lvt_dtype t) {
    LLVMTypeRef type = lvt_emit_vector(s->e, lvt_emit_lane(s->e, t));
    for (int u = 0; u < s->rows; u++)
        for (int j = 0; j < LVT_NEST_UNROLL; j++) {
            V *x = slot(s, k, u, j);
            if (!*x) {
                LLVMBasicBlockRef here = LLVMGetInsertBlock(s->e->b);
                LLVMPositionBuilderAtEnd(s->e->b, LLVMGetEntryBasicBlock(s->e->function));
                *x = LLVMBuildAlloca(s->e->b, type, "");
                LLVMPositionBuilderAtEnd(s->e->b, here);
            }
            LLVMBuildStore(s->e->b, lvt_emit_identity(s->e, op, t), *x);
        }
}

static V masked(lvt_nest_state *s, lvt_op op, lvt_dtype t, V x) {
    return s->mask ? lvt_emit_select(s->e, s->mask, x, lvt_emit_identity(s->e, op, t)) : x;
}

static void add_sum(lvt_nest_state *s, uint32_t k, lvt_op op, lvt_dtype t, V x, int u, int j) {
    V where = *slot(s, k, u, j % LVT_NEST_UNROLL);
    V sum = LLVMBuildLoad2(s->e->b, LLVMTypeOf(x), where, "");
    LLVMBuildStore(s->e->b, lvt_emit_combine(s->e, op, t, sum, masked(s, op, t, x)), where);
}

static V total(lvt_nest_state *s, uint32_t k, lvt_op op, lvt_dtype t, int u) {
    LLVMTypeRef type = lvt_emit_vector(s->e, lvt_emit_lane(s->e, t));
    V x[LVT_NEST_UNROLL];
    for (int j = 0; j < LVT_NEST_UNROLL; j++)
        x[j] = LLVMBuildLoad2(s->e->b, type, *slot(s, k, u, j), "");
    V sum = lvt_emit_combine(s->e, op, t, lvt_emit_combine(s->e, op, t, x[0], x[1]),
                             lvt_emit_combine(s->e, op, t, x[2], x[3]));
    return lvt_emit_across(s->e, op, t, sum);
}

static bool reduces_at(const lvt_nest_state *s, lvt_node_id i, int level) {
    const lvt_loop_value *x = &s->n->loop.values[s->g->nodes[i].result];
    return x->live && x->kind == LVT_LOOP_ROW && x->level == level;
}

static void visit_level(lvt_nest_state *s, int first, int end, void *user) {
    int level = *(int *)user;
    for (lvt_node_id i = 0; i < s->g->n_nodes; i++) {
        const lvt_node *node = &s->g->nodes[i];
        if (reduces_at(s, i, level))
            for (int j = first; j < end; j++)
                add_sum(s, s->n->n_accs + i, (lvt_op)node->op,
                        (lvt_dtype)s->g->values[node->result].type.dtype,
                        lvt_nest_value(s, node->operands[0], 0, j), 0, j);
    }
}

static void run_level(lvt_nest_state *s, int level) {
    double length = 1;
    for (int l = s->n->row; l < s->n->n_dims; l++)
        length *= (double)s->n->dim[l];
    for (lvt_node_id i = 0; i < s->g->n_nodes; i++)
        if (reduces_at(s, i, level))
            clear_sums(s, s->n->n_accs + i, (lvt_op)s->g->nodes[i].op,
                       (lvt_dtype)s->g->values[s->g->nodes[i].result].type.dtype);
    walk(s, s->n->row, visit_level, &level);
    for (lvt_node_id i = 0; i < s->g->n_nodes; i++) {
        if (!reduces_at(s, i, level))
            continue;
        lvt_value v = s->g->nodes[i].result;
        lvt_op op = (lvt_op)s->g->nodes[i].op;
        lvt_dtype t = (lvt_dtype)s->g->values[v].type.dtype;
        V x = lvt_emit_splat(s->e, total(s, s->n->n_accs + i, op, t, 0));
        if (op == LVT_OP_reduce_mean)
            x = LLVMBuildFDiv(s->e->b, x, lvt_emit_constant(s->e, t == LVT_BF16 ? LVT_F32 : t, length), "");
        if (t == LVT_BF16)
            x = lvt_emit_cast(s->e, x, LVT_F32, LVT_BF16);
        s->uniform[0][v] = x;
    }
}

/* ---- the last pass ---- */

static V acc_operand(lvt_nest_state *s, const lvt_acc *a, int u, int j) {
    return lvt_nest_value(s, s->g->nodes[a->node].operands[0], u, j);
}

/* Adds x (lanes along the inner loop) to an accumulator that keeps the inner loop. */
static void add_lanes(lvt_nest_state *s, uint32_t k, V x, int u, int j) {
    const lvt_acc *a = &s->n->accs[k];
    lvt_dtype t = (lvt_dtype)a->dtype;
    V at = s->ptr[u][lvt_nest_acc_stream(s, k)], old = lvt_emit_load(s->e, t, at, 1, s->pos[j], s->mask);
    lvt_emit_write(s->e, t, lvt_emit_combine(s->e, (lvt_op)a->op, t, old, x), at, 1, s->pos[j], s->mask);
}

static void add_scalar(lvt_nest_state *s, uint32_t k, V x, int u) {
    const lvt_acc *a = &s->n->accs[k];
    lvt_dtype t = (lvt_dtype)a->dtype;
    V at = s->ptr[u][lvt_nest_acc_stream(s, k)], zero = lvt_nest_i64(s, 0);
    V sum = lvt_emit_combine(s->e, (lvt_op)a->op, t, lvt_emit_load(s->e, t, at, 0, zero, NULL),
                             lvt_emit_splat(s->e, x));
    lvt_emit_write(s->e, t, sum, at, 0, zero, NULL);
}

static bool writes_elements(const lvt_nest_state *s, uint32_t output) {
    lvt_value v = s->g->outputs[output].value;
    return s->n->loop.values[v].kind != LVT_LOOP_ACC && !lvt_nest_uniform(s->n, v);
}

static void visit_last(lvt_nest_state *s, int first, int end, void *user) {
    V *values = user;
    for (uint32_t k = 0; k < s->g->n_outputs; k++)
        for (int u = 0; u < s->rows && writes_elements(s, k); u++)
            for (int j = first; j < end; j++)
                values[((size_t)k * LVT_NEST_ROWS + (size_t)u) * LVT_NEST_SLOTS + (size_t)j] =
                    lvt_nest_value(s, s->g->outputs[k].value, u, j);
    for (uint32_t k = 0; k < s->n->n_accs; k++) {
        const lvt_acc *a = &s->n->accs[k];
        bool together = s->rows > 1 && a->at.stride[s->n->row - 1] == 0;
        for (int j = first; j < end && !a->row_constant; j++) {
            V x[LVT_NEST_ROWS];
            for (int u = 0; u < s->rows; u++)
                x[u] = acc_operand(s, a, u, j);
            if (a->at.stride[lvt_nest_inner(s)] == 0) {
                for (int u = 0; u < s->rows; u++)
                    add_sum(s, k, (lvt_op)a->op, (lvt_dtype)a->dtype, x[u], u, j);
                continue;
            }
            int rows = s->rows;
            for (; together && rows > 1; rows /= 2)
                for (int u = 0; u < rows / 2; u++)
                    x[u] = lvt_emit_combine(s->e, (lvt_op)a->op, (lvt_dtype)a->dtype, x[u], x[u + rows / 2]);
            for (int u = 0; u < rows; u++)
                add_lanes(s, k, x[u], u, j);
        }
    }
    for (uint32_t k = 0; k < s->g->n_outputs; k++)
        for (int u = 0; u < s->rows && writes_elements(s, k); u++)
            for (int j = first; j < end; j++)
                lvt_emit_write(s->e, (lvt_dtype)s->n->results[k].dtype,
                               values[((size_t)k * LVT_NEST_ROWS + (size_t)u) * LVT_NEST_SLOTS + (size_t)j],
                               s->ptr[u][lvt_nest_result_stream(s, k)],
                               s->n->results[k].stride[lvt_nest_inner(s)], s->pos[j], s->mask);
}

/* Accumulators that reduce the inner loop add up in registers: along the innermost loop when they move with a
 * loop of the row (within), else along the whole row. */
static bool adds_up(const lvt_nest_state *s, const lvt_acc *a, bool within) {
    bool moves = false;
    for (int l = s->n->row; l < lvt_nest_inner(s); l++)
        moves |= a->at.stride[l] != 0;
    return !a->row_constant && a->at.stride[lvt_nest_inner(s)] == 0 && moves == within;
}

static void begin_sums(lvt_nest_state *s, bool within) {
    for (uint32_t k = 0; k < s->n->n_accs; k++)
        if (adds_up(s, &s->n->accs[k], within))
            clear_sums(s, k, (lvt_op)s->n->accs[k].op, (lvt_dtype)s->n->accs[k].dtype);
}

static void end_sums(lvt_nest_state *s, bool within) {
    for (uint32_t k = 0; k < s->n->n_accs; k++) {
        const lvt_acc *a = &s->n->accs[k];
        for (int u = 0; u < s->rows && adds_up(s, a, within); u++)
            add_scalar(s, k, total(s, k, (lvt_op)a->op, (lvt_dtype)a->dtype, u), u);
    }
}

static void run_last(lvt_nest_state *s) {
    bool elements = false;
    for (uint32_t k = 0; k < s->g->n_outputs; k++)
        elements |= writes_elements(s, k);
    for (uint32_t k = 0; k < s->n->n_accs; k++)
        elements |= !s->n->accs[k].row_constant;
    V *values = lvt_arena_alloc(s->e->arena,
                                (size_t)s->g->n_outputs * LVT_NEST_ROWS * LVT_NEST_SLOTS * sizeof *values);
    begin_sums(s, false);
    s->last = true;
    if (!values)
        s->e->failed = true;
    else if (elements)
        walk(s, s->n->row, visit_last, values);
    s->last = false;
    end_sums(s, false);
    for (uint32_t k = 0; k < s->n->n_accs; k++)
        for (int u = 0; u < s->rows && s->n->accs[k].row_constant; u++)
            add_scalar(s, k, lvt_emit_first(s->e, acc_operand(s, &s->n->accs[k], u, 0)), u);
    for (uint32_t k = 0; k < s->g->n_outputs; k++) {
        lvt_value v = s->g->outputs[k].value;
        if (s->n->loop.values[v].kind == LVT_LOOP_ACC || !lvt_nest_uniform(s->n, v))
            continue;
        for (int u = 0; u < s->rows; u++)
            lvt_emit_write(s->e, (lvt_dtype)s->n->results[k].dtype, lvt_nest_value(s, v, u, 0),
                           s->ptr[u][lvt_nest_result_stream(s, k)], 0, lvt_nest_i64(s, 0), NULL);
    }
}

void lvt_nest_run_row(lvt_nest_state *s, int rows) {
    s->rows = rows;
    memset(s->reciprocal, 0, s->g->n_values * sizeof(V));
    for (int u = 0; u < rows; u++)
        memset(s->uniform[u], 0, s->g->n_values * sizeof(V));
    lvt_nest_forget(s);
    lvt_nest_prepare(s, 0);
    for (int level = 1; level <= s->n->loop.levels; level++) {
        run_level(s, level);
        lvt_nest_prepare(s, level);
    }
    run_last(s);
    s->rows = 1;
}
