/* The loops of a kernel: grid, outer loops, rows, passes over a row, vectors, tails.
 *
 *     for k in chunk, for outer loops                    run_grid, run_outer
 *       values that are constant along the row           prepare
 *       for each level of row reductions: pass           run_level
 *       last pass: element results, accumulators         run_last
 * Invariants: at one position all loads come before all stores (a result may lie where an operand does); the
 * order of every reduction is fixed by the nest. A value is emitted once for each row (u) and vector (j) in
 * flight and remembered there. May not know: where kernels come from, caches. */
#include "emit.h"

#include <string.h>

typedef LLVMValueRef V;
enum { MAX_ROWS = 4, MAX_SLOTS = LVT_NEST_FLAT / 4 + 1 };

typedef struct state {
    lvt_emit *e;
    const lvt_nest *n;
    const lvt_graph *g;
    V k0, k1, s0, s1, buffer;
    uint32_t n_streams; /* operands, results, accumulators */
    const lvt_stream **streams;
    V *ptr[MAX_ROWS];                /* by stream: address at the present indices */
    V index[MAX_ROWS][LVT_MAX_RANK]; /* of the loops outside the vectors */
    V *reciprocal; /* by value: of what row_divisor() finds; only rows taken one at a time have such */
    V *fixed, *uniform[MAX_ROWS], *at; /* by value: for the whole function; for a row; at [u][j] */
    int rows;                          /* in flight */
    V pos[MAX_SLOTS], mask;
    V *sums;             /* stack slots of reductions: [k][u][j] */
    bool hoisting, last; /* in the loop before all others; in the last pass over a row */
} state;

static int inner(const state *s) {
    return s->n->n_dims - 1;
}
static uint32_t result_stream(const state *s, uint32_t k) {
    return s->g->n_inputs + k;
}
static uint32_t acc_stream(const state *s, uint32_t k) {
    return s->g->n_inputs + s->g->n_outputs + k;
}
static V i64(state *s, int64_t x) {
    return lvt_emit_i64(s->e, x);
}
static V add(state *s, V x, V y) {
    return LLVMBuildAdd(s->e->b, x, y, "");
}
static V mul(state *s, V x, V y) {
    return LLVMBuildMul(s->e->b, x, y, "");
}

/* Values at the rows in flight share what does not vary with the row. */
static int row_of(const state *s, lvt_value v, int u) {
    return s->rows > 1 && !(s->n->vary[v] & (1u << (s->n->row - 1))) ? 0 : u;
}

/* ---- loops ---- */

typedef lvt_emit_loop loop;

static LLVMBasicBlockRef block(state *s) {
    return lvt_emit_block(s->e);
}
static loop loop_begin(state *s, V lo, V hi, int64_t step) {
    return lvt_emit_loop_begin(s->e, lo, hi, step);
}
static void loop_end(state *s, loop *l) {
    lvt_emit_loop_end(s->e, l);
}

/* Moves the addresses of row u to `index` of loop l. Returns the old ones, to be put back. */
static V *step_to(state *s, int u, const V *base, int l, V index) {
    V *old = s->ptr[u], *now = lvt_arena_alloc(s->e->arena, (s->n_streams + 1) * sizeof *now);
    if (!now) {
        s->e->failed = true;
        return old;
    }
    for (uint32_t i = 0; i < s->n_streams; i++) {
        now[i] = base[i];
        if (!base[i] || s->streams[i]->stride[l] == 0)
            continue;
        V at = mul(s, index, i64(s, s->streams[i]->stride[l]));
        bool acc = i >= acc_stream(s, 0);
        LLVMTypeRef lane = acc ? lvt_emit_lane(s->e, (lvt_dtype)s->streams[i]->dtype)
                               : lvt_emit_store(s->e, (lvt_dtype)s->streams[i]->dtype);
        now[i] = LLVMBuildGEP2(s->e->b, lane, base[i], &at, 1, "");
    }
    s->ptr[u] = now;
    s->index[u][l] = index;
    return old;
}

/* ---- values ---- */

/* The divisor of a division of elements by a row's reduction (softmax), or LVT_NONE. One reciprocal a row and
 * products cost a third of divisions and one more rounding. */
static lvt_value row_divisor(const state *s, const lvt_node *node) {
    if (node->op != LVT_OP_div || lvt_nest_uniform(s->n, node->result))
        return LVT_NONE;
    uint8_t type = s->g->values[node->result].type.dtype;
    lvt_value d = node->operands[1];
    for (const lvt_node *x = lvt_value_node(s->g, d); x->op == LVT_OP_broadcast || x->op == LVT_OP_reshape;
         x = lvt_value_node(s->g, d))
        d = x->operands[0];
    bool one_a_row = lvt_nest_uniform(s->n, d) && s->n->loop.values[d].level > 0;
    return one_a_row && (type == LVT_F32 || type == LVT_F64) ? d : LVT_NONE;
}

static V value(state *s, lvt_value v, int u, int j);

static V iota(state *s, const lvt_node *node, int u, int j) {
    const lvt_stream *at = &s->n->iotas[node - s->g->nodes];
    V sum = i64(s, 0);
    for (int l = 0; l < inner(s); l++)
        if (at->stride[l])
            sum = add(s, sum, mul(s, s->index[u][l], i64(s, at->stride[l])));
    int64_t step = at->stride[inner(s)];
    if (step)
        sum = add(s, sum, mul(s, s->pos[j], i64(s, step)));
    V x = lvt_emit_splat(s->e, LLVMBuildTrunc(s->e->b, sum, s->e->i32, ""));
    if (step)
        x = add(s, x, mul(s, lvt_emit_lanes(s->e, s->e->i32), lvt_emit_int(s->e, s->e->i32, step)));
    return lvt_emit_cast(s->e, x, LVT_I32, (lvt_dtype)s->g->values[node->result].type.dtype);
}

static V compute(state *s, lvt_value v, int u, int j) {
    const lvt_node *node = lvt_value_node(s->g, v);
    lvt_dtype type = (lvt_dtype)s->g->values[v].type.dtype;
    switch (node->op) {
    case LVT_OP_input: {
        uint32_t k = (uint32_t)lvt_attr_get(node, "index")->i;
        return lvt_emit_load(s->e, type, s->ptr[u][k], s->n->operands[k].stride[inner(s)], s->pos[j],
                             s->mask);
    }
    case LVT_OP_constant:
        return lvt_emit_constant(s->e, type, lvt_attr_get(node, "values")->floats[0]);
    case LVT_OP_iota:
        return iota(s, node, u, j);
    case LVT_OP_cast:
        return lvt_emit_cast(s->e, value(s, node->operands[0], u, j),
                             (lvt_dtype)s->g->values[node->operands[0]].type.dtype, type);
    default:
        break;
    }
    lvt_value divisor = row_divisor(s, node);
    if (divisor != LVT_NONE && s->reciprocal[divisor]) {
        V args[2] = {value(s, node->operands[0], u, j), s->reciprocal[divisor]};
        return lvt_emit_op(s->e, LVT_OP_mul, type, args);
    }
    V args[3] = {0};
    for (uint32_t k = 0; k < node->n_operands && k < 3; k++)
        args[k] = value(s, node->operands[k], u, j);
    if (lvt_op_of(node)->kind != LVT_KIND_POINTWISE) /* broadcast, reshape, a reduction over dims of size 1 */
        return args[0];
    lvt_dtype of = (lvt_dtype)s->g->values[node->operands[node->n_operands - 1]].type.dtype;
    return lvt_emit_op(s->e, (lvt_op)node->op, of, args);
}

static V value(state *s, lvt_value v, int u, int j) {
    if (s->fixed[v])
        return s->fixed[v];
    u = row_of(s, v, u);
    if (lvt_nest_uniform(s->n, v) && !s->hoisting) {
        if (!s->uniform[u][v])
            s->e->failed = true; /* prepare() makes all of them */
        return s->uniform[u][v] ? s->uniform[u][v]
                                : lvt_emit_constant(s->e, (lvt_dtype)s->g->values[v].type.dtype, 0);
    }
    V *known = &s->at[((size_t)u * MAX_SLOTS + (size_t)j) * s->g->n_values + v];
    if (*known)
        return *known;
    for (int k = 0; k < s->n->n_hoist && !s->hoisting; k++)
        if (s->n->hoist[k] == v) {
            V offset = i64(s, (int64_t)(s->n->hoist_bytes * (size_t)k));
            V at = LLVMBuildGEP2(s->e->b, s->e->i8, s->buffer, &offset, 1, "");
            return *known =
                       lvt_emit_load(s->e, (lvt_dtype)s->g->values[v].type.dtype, at, 1, s->pos[j], NULL);
        }
    return *known = compute(s, v, u, j);
}

static void forget(state *s) {
    memset(s->at, 0, sizeof(V) * MAX_ROWS * MAX_SLOTS * s->g->n_values);
}

/* Emits what is constant along the row and known after `level` passes over it. */
static void prepare(state *s, int level) {
    V mask = s->mask;
    s->mask = NULL;
    s->pos[0] = i64(s, 0);
    for (lvt_node_id i = 0; i < s->g->n_nodes; i++) {
        lvt_value v = s->g->nodes[i].result;
        const lvt_loop_value *x = &s->n->loop.values[v];
        if (!x->live || x->kind != LVT_LOOP_PLAIN || x->level > level || !lvt_nest_uniform(s->n, v) ||
            s->fixed[v])
            continue;
        for (int u = 0; u < s->rows; u++)
            if (row_of(s, v, u) == u && !s->uniform[u][v])
                s->uniform[u][v] = compute(s, v, u, 0);
    }
    for (lvt_node_id i = 0; i < s->g->n_nodes; i++) {
        lvt_value d =
            s->n->loop.values[s->g->nodes[i].result].live ? row_divisor(s, &s->g->nodes[i]) : LVT_NONE;
        if (d == LVT_NONE || s->reciprocal[d] || !s->uniform[0][d])
            continue;
        V one = lvt_emit_constant(s->e, (lvt_dtype)s->g->values[d].type.dtype, 1);
        s->reciprocal[d] = LLVMBuildFDiv(s->e->b, one, s->uniform[0][d], "");
    }
    s->mask = mask;
}

/* ---- walking along a row ---- */

typedef void (*visit)(state *s, int first, int end, void *user); /* the vectors at s->pos[first..end) */

static V lanes_below(state *s, V rest) {
    V r = lvt_emit_splat(s->e, LLVMBuildTrunc(s->e->b, rest, s->e->i32, ""));
    return LLVMBuildICmp(s->e->b, LLVMIntULT, lvt_emit_lanes(s->e, s->e->i32), r, "");
}

/* slot: where the vectors are remembered; rows held in registers need one slot for each vector of the row. */
static void visit_at(state *s, V start, int slot, int count, V mask, visit f, void *user) {
    for (int j = 0; j < count; j++)
        s->pos[slot + j] = add(s, start, i64(s, (int64_t)j * s->n->width));
    s->mask = mask;
    if (!s->n->flat)
        forget(s);
    f(s, slot, slot + count, user);
    s->mask = NULL;
}

static void walk_known(state *s, int64_t length, visit f, void *user) {
    int w = s->n->width, most = s->n->flat ? MAX_SLOTS - 1 : LVT_NEST_UNROLL;
    int64_t block_size = (int64_t)w * most, at = length / block_size * block_size;
    if (at > block_size) {
        loop l = loop_begin(s, i64(s, 0), i64(s, at), block_size);
        visit_at(s, l.index, 0, most, NULL, f, user);
        loop_end(s, &l);
    } else if (at) {
        visit_at(s, i64(s, 0), 0, most, NULL, f, user);
    }
    int left = (int)((length - at) / w);
    if (left)
        visit_at(s, i64(s, at), 0, left, NULL, f, user);
    if (length % w)
        visit_at(s, i64(s, length / w * w), s->n->flat ? (int)(length / w) : 0, 1,
                 lanes_below(s, i64(s, length % w)), f, user);
}

static void walk_range(state *s, V lo, V hi, visit f, void *user) {
    int w = s->n->width;
    LLVMBuilderRef b = s->e->b;
    V length = LLVMBuildSub(b, hi, lo, "");
    V blocks = add(s, lo, LLVMBuildAnd(b, length, i64(s, -(int64_t)w * LVT_NEST_UNROLL), ""));
    V whole = add(s, lo, LLVMBuildAnd(b, length, i64(s, -(int64_t)w), ""));
    loop l = loop_begin(s, lo, blocks, (int64_t)w * LVT_NEST_UNROLL);
    visit_at(s, l.index, 0, LVT_NEST_UNROLL, NULL, f, user);
    loop_end(s, &l);
    l = loop_begin(s, blocks, whole, w);
    visit_at(s, l.index, 0, 1, NULL, f, user);
    loop_end(s, &l);
    LLVMBasicBlockRef tail = block(s), end = block(s);
    LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntSLT, whole, hi, ""), tail, end);
    LLVMPositionBuilderAtEnd(b, tail);
    visit_at(s, whole, 0, 1, lanes_below(s, LLVMBuildSub(b, hi, whole, "")), f, user);
    LLVMBuildBr(b, end);
    LLVMPositionBuilderAtEnd(b, end);
}

static void walk_inner(state *s, visit f, void *user) {
    if (!s->n->phased && s->n->grid == inner(s) && !s->hoisting)
        walk_range(s, s->s0, s->s1, f, user);
    else
        walk_known(s, s->n->dim[inner(s)], f, user);
}

static void begin_sums(state *s, bool within);
static void end_sums(state *s, bool within);

/* A row of several loops: all but the last are loops around the vectors. Such rows are never taken several
 * together. */
static void walk(state *s, int l, visit f, void *user) {
    if (l == inner(s)) {
        if (s->last)
            begin_sums(s, true);
        walk_inner(s, f, user);
        if (s->last)
            end_sums(s, true);
        return;
    }
    loop x = loop_begin(s, i64(s, 0), i64(s, s->n->dim[l]), 1);
    V *old = step_to(s, 0, s->ptr[0], l, x.index);
    walk(s, l + 1, f, user);
    s->ptr[0] = old;
    loop_end(s, &x);
}

/* ---- reductions along the row ---- */

static V *slot(state *s, uint32_t k, int u, int j) {
    return &s->sums[((size_t)k * MAX_ROWS + (size_t)u) * LVT_NEST_UNROLL + (size_t)j];
}

/* Sets the accumulators of reduction k to the identity; makes their stack slots at first use. */
static void clear_sums(state *s, uint32_t k, lvt_op op, lvt_dtype t) {
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

static V masked(state *s, lvt_op op, lvt_dtype t, V x) {
    return s->mask ? lvt_emit_select(s->e, s->mask, x, lvt_emit_identity(s->e, op, t)) : x;
}

static void add_sum(state *s, uint32_t k, lvt_op op, lvt_dtype t, V x, int u, int j) {
    V where = *slot(s, k, u, j % LVT_NEST_UNROLL);
    V sum = LLVMBuildLoad2(s->e->b, LLVMTypeOf(x), where, "");
    LLVMBuildStore(s->e->b, lvt_emit_combine(s->e, op, t, sum, masked(s, op, t, x)), where);
}

static V total(state *s, uint32_t k, lvt_op op, lvt_dtype t, int u) {
    LLVMTypeRef type = lvt_emit_vector(s->e, lvt_emit_lane(s->e, t));
    V x[LVT_NEST_UNROLL];
    for (int j = 0; j < LVT_NEST_UNROLL; j++)
        x[j] = LLVMBuildLoad2(s->e->b, type, *slot(s, k, u, j), "");
    V sum = lvt_emit_combine(s->e, op, t, lvt_emit_combine(s->e, op, t, x[0], x[1]),
                             lvt_emit_combine(s->e, op, t, x[2], x[3]));
    return lvt_emit_across(s->e, op, t, sum);
}

static bool reduces_at(const state *s, lvt_node_id i, int level) {
    const lvt_loop_value *x = &s->n->loop.values[s->g->nodes[i].result];
    return x->live && x->kind == LVT_LOOP_ROW && x->level == level;
}

static void visit_level(state *s, int first, int end, void *user) {
    int level = *(int *)user;
    for (lvt_node_id i = 0; i < s->g->n_nodes; i++) {
        const lvt_node *node = &s->g->nodes[i];
        if (reduces_at(s, i, level))
            for (int j = first; j < end; j++)
                add_sum(s, s->n->n_accs + i, (lvt_op)node->op,
                        (lvt_dtype)s->g->values[node->result].type.dtype, value(s, node->operands[0], 0, j),
                        0, j);
    }
}

static void run_level(state *s, int level) {
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

static V acc_operand(state *s, const lvt_acc *a, int u, int j) {
    return value(s, s->g->nodes[a->node].operands[0], u, j);
}

/* Adds x (lanes along the inner loop) to an accumulator that keeps the inner loop. */
static void add_lanes(state *s, uint32_t k, V x, int u, int j) {
    const lvt_acc *a = &s->n->accs[k];
    lvt_dtype t = (lvt_dtype)a->dtype;
    V at = s->ptr[u][acc_stream(s, k)], old = lvt_emit_load(s->e, t, at, 1, s->pos[j], s->mask);
    lvt_emit_write(s->e, t, lvt_emit_combine(s->e, (lvt_op)a->op, t, old, x), at, 1, s->pos[j], s->mask);
}

static void add_scalar(state *s, uint32_t k, V x, int u) {
    const lvt_acc *a = &s->n->accs[k];
    lvt_dtype t = (lvt_dtype)a->dtype;
    V at = s->ptr[u][acc_stream(s, k)], zero = i64(s, 0);
    V sum = lvt_emit_combine(s->e, (lvt_op)a->op, t, lvt_emit_load(s->e, t, at, 0, zero, NULL),
                             lvt_emit_splat(s->e, x));
    lvt_emit_write(s->e, t, sum, at, 0, zero, NULL);
}

static bool writes_elements(const state *s, uint32_t output) {
    lvt_value v = s->g->outputs[output].value;
    return s->n->loop.values[v].kind != LVT_LOOP_ACC && !lvt_nest_uniform(s->n, v);
}

static void visit_last(state *s, int first, int end, void *user) {
    V *values = user;
    for (uint32_t k = 0; k < s->g->n_outputs; k++)
        for (int u = 0; u < s->rows && writes_elements(s, k); u++)
            for (int j = first; j < end; j++)
                values[((size_t)k * MAX_ROWS + (size_t)u) * MAX_SLOTS + (size_t)j] =
                    value(s, s->g->outputs[k].value, u, j);
    for (uint32_t k = 0; k < s->n->n_accs; k++) {
        const lvt_acc *a = &s->n->accs[k];
        bool together = s->rows > 1 && a->at.stride[s->n->row - 1] == 0;
        for (int j = first; j < end && !a->row_constant; j++) {
            V x[MAX_ROWS];
            for (int u = 0; u < s->rows; u++)
                x[u] = acc_operand(s, a, u, j);
            if (a->at.stride[inner(s)] == 0) {
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
                               values[((size_t)k * MAX_ROWS + (size_t)u) * MAX_SLOTS + (size_t)j],
                               s->ptr[u][result_stream(s, k)], s->n->results[k].stride[inner(s)], s->pos[j],
                               s->mask);
}

/* Accumulators that reduce the inner loop add up in registers: along the innermost loop when they move with a
 * loop of the row (within), else along the whole row. */
static bool adds_up(const state *s, const lvt_acc *a, bool within) {
    bool moves = false;
    for (int l = s->n->row; l < inner(s); l++)
        moves |= a->at.stride[l] != 0;
    return !a->row_constant && a->at.stride[inner(s)] == 0 && moves == within;
}

static void begin_sums(state *s, bool within) {
    for (uint32_t k = 0; k < s->n->n_accs; k++)
        if (adds_up(s, &s->n->accs[k], within))
            clear_sums(s, k, (lvt_op)s->n->accs[k].op, (lvt_dtype)s->n->accs[k].dtype);
}

static void end_sums(state *s, bool within) {
    for (uint32_t k = 0; k < s->n->n_accs; k++) {
        const lvt_acc *a = &s->n->accs[k];
        for (int u = 0; u < s->rows && adds_up(s, a, within); u++)
            add_scalar(s, k, total(s, k, (lvt_op)a->op, (lvt_dtype)a->dtype, u), u);
    }
}

static void run_last(state *s) {
    bool elements = false;
    for (uint32_t k = 0; k < s->g->n_outputs; k++)
        elements |= writes_elements(s, k);
    for (uint32_t k = 0; k < s->n->n_accs; k++)
        elements |= !s->n->accs[k].row_constant;
    V *values = lvt_arena_alloc(s->e->arena, (size_t)s->g->n_outputs * MAX_ROWS * MAX_SLOTS * sizeof *values);
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
            lvt_emit_write(s->e, (lvt_dtype)s->n->results[k].dtype, value(s, v, u, 0),
                           s->ptr[u][result_stream(s, k)], 0, i64(s, 0), NULL);
    }
}

static void run_row(state *s, int rows) {
    s->rows = rows;
    memset(s->reciprocal, 0, s->g->n_values * sizeof(V));
    for (int u = 0; u < rows; u++)
        memset(s->uniform[u], 0, s->g->n_values * sizeof(V));
    forget(s);
    prepare(s, 0);
    for (int level = 1; level <= s->n->loop.levels; level++) {
        run_level(s, level);
        prepare(s, level);
    }
    run_last(s);
    s->rows = 1;
}

/* ---- outer loops ---- */

static void run_outer(state *s, int l) {
    if (l == s->n->row) {
        run_row(s, 1);
        return;
    }
    V lo = l == s->n->grid ? s->s0 : i64(s, 0), hi = l == s->n->grid ? s->s1 : i64(s, s->n->dim[l]);
    V *base = s->ptr[0];
    if (l == s->n->row - 1 && s->n->rows > 1) {
        V many = LLVMBuildAnd(s->e->b, LLVMBuildSub(s->e->b, hi, lo, ""), i64(s, -(int64_t)s->n->rows), "");
        V middle = add(s, lo, many);
        loop x = loop_begin(s, lo, middle, s->n->rows);
        for (int u = 0; u < s->n->rows; u++) {
            memcpy(s->index[u], s->index[0], sizeof s->index[0]);
            step_to(s, u, base, l, add(s, x.index, i64(s, u)));
        }
        run_row(s, s->n->rows);
        s->ptr[0] = base;
        loop_end(s, &x);
        lo = middle;
    }
    loop x = loop_begin(s, lo, hi, 1);
    step_to(s, 0, base, l, x.index);
    run_outer(s, l + 1);
    s->ptr[0] = base;
    loop_end(s, &x);
}

static void run_grid(state *s) {
    const lvt_nest *n = s->n;
    if (n->grid == 0) {
        run_outer(s, 0);
        return;
    }
    loop x = loop_begin(s, s->k0, s->k1, 1);
    V *base = s->ptr[0], rest = x.index;
    for (int l = n->grid - 1; l >= 0; l--) {
        V d = i64(s, n->dim[l]);
        step_to(s, 0, s->ptr[0], l, l ? LLVMBuildURem(s->e->b, rest, d, "") : rest);
        if (l)
            rest = LLVMBuildUDiv(s->e->b, rest, d, "");
    }
    run_outer(s, n->grid);
    s->ptr[0] = base;
    loop_end(s, &x);
}

/* ---- the function ---- */

static void visit_hoist(state *s, int first, int end, void *user) {
    (void)user;
    for (int k = 0; k < s->n->n_hoist; k++) {
        V offset = i64(s, (int64_t)(s->n->hoist_bytes * (size_t)k));
        V at = LLVMBuildGEP2(s->e->b, s->e->i8, s->buffer, &offset, 1, "");
        for (int j = first; j < end; j++) /* whole vectors: the buffer has room */
            lvt_emit_write(s->e, (lvt_dtype)s->g->values[s->n->hoist[k]].type.dtype,
                           value(s, s->n->hoist[k], 0, j), at, 1, s->pos[j], NULL);
    }
}

static bool make_state(state *s) {
    const lvt_graph *g = s->g;
    lvt_arena *a = s->e->arena;
    s->n_streams = acc_stream(s, s->n->n_accs);
    s->streams = lvt_arena_alloc(a, (s->n_streams + 1) * sizeof *s->streams);
    s->fixed = lvt_arena_alloc(a, (g->n_values + 1) * sizeof(V));
    s->at = lvt_arena_alloc(a, (size_t)MAX_ROWS * MAX_SLOTS * (g->n_values + 1) * sizeof(V));
    s->sums =
        lvt_arena_alloc(a, ((size_t)s->n->n_accs + g->n_nodes) * MAX_ROWS * LVT_NEST_UNROLL * sizeof(V));
    s->ptr[0] = lvt_arena_alloc(a, (s->n_streams + 1) * sizeof(V));
    s->reciprocal = lvt_arena_alloc(a, (g->n_values + 1) * sizeof(V));
    bool ok = s->streams && s->reciprocal && s->fixed && s->at && s->sums && s->ptr[0];
    for (int u = 0; u < MAX_ROWS; u++)
        ok &= (s->uniform[u] = lvt_arena_alloc(a, (g->n_values + 1) * sizeof(V))) != NULL;
    if (!ok)
        return false;
    for (uint32_t i = 0; i < g->n_inputs; i++)
        s->streams[i] = &s->n->operands[i];
    for (uint32_t i = 0; i < g->n_outputs; i++)
        s->streams[result_stream(s, i)] = &s->n->results[i];
    for (uint32_t i = 0; i < s->n->n_accs; i++)
        s->streams[acc_stream(s, i)] = &s->n->accs[i].at;
    return true;
}

static V table_entry(state *s, V table, uint32_t k) {
    V at = i64(s, k);
    return LLVMBuildLoad2(s->e->b, s->e->ptr, LLVMBuildGEP2(s->e->b, s->e->ptr, table, &at, 1, ""), "");
}

bool lvt_emit_nest(lvt_emit *e, const lvt_nest *n, const char *symbol) {
    state *s = lvt_arena_alloc(e->arena, sizeof *s);
    if (!s)
        return false;
    *s = (state){.e = e, .n = n, .g = n->body, .rows = 1};
    e->width = n->width;
    lvt_emit_function(e, symbol);
    if (!make_state(s))
        return false;
    LLVMBasicBlockRef entry = block(s), start = block(s);
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
            s->ptr[0][result_stream(s, k)] = table_entry(s, results, k);
    for (uint32_t k = 0; k < n->n_accs; k++) {
        V offset = i64(s, (int64_t)n->accs[k].offset);
        s->ptr[0][acc_stream(s, k)] = LLVMBuildGEP2(e->b, e->i8, partial, &offset, 1, "");
    }
    s->pos[0] = i64(s, 0);
    for (lvt_node_id i = 0; i < s->g->n_nodes; i++) {
        lvt_value v = s->g->nodes[i].result;
        const lvt_loop_value *x = &n->loop.values[v];
        if (x->live && n->vary[v] == 0 && x->kind == LVT_LOOP_PLAIN && x->level == 0)
            s->fixed[v] = compute(s, v, 0, 0);
    }
    if (n->n_hoist) {
        s->hoisting = true;
        walk_known(s, n->dim[inner(s)], visit_hoist, NULL);
        s->hoisting = false;
    }
    run_grid(s);
    LLVMBuildRetVoid(e->b);
    LLVMPositionBuilderAtEnd(e->b, entry);
    LLVMBuildBr(e->b, start);
    return !e->failed;
}
