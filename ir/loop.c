/* Loop form (see loop.h): places every value of a body on one domain, or says why that cannot be.
 *
 * How: dims of values of the highest rank lie on themselves; what the nodes demand of their operands' and
 * results' dims is then applied until nothing changes; a value that is still free is aligned at the right.
 * Only then are all demands checked, so the order of application cannot let a wrong body through. Where
 * values of the highest rank have their sizes of 1 in different places ([B,C,1,1] beside [B,1,1,C]: images of
 * one pixel), the largest value alone lies on itself and all others are placed by what they are used with.
 * May not know: LLVM, plans. */
#include "loop.h"

#include <string.h>

enum { UNKNOWN = -2, UNIT = -1 };

const char lvt_loop_no_memory[] = "out of memory";

bool lvt_loop_heavy(int op) {
    switch (op) {
    case LVT_OP_exp:
    case LVT_OP_log:
    case LVT_OP_log1p:
    case LVT_OP_expm1:
    case LVT_OP_tanh:
    case LVT_OP_erf:
    case LVT_OP_sin:
    case LVT_OP_cos:
    case LVT_OP_pow:
    case LVT_OP_sigmoid:
    case LVT_OP_silu:
    case LVT_OP_gelu:
        return true;
    default:
        return false;
    }
}

bool lvt_loop_has_f64(int op) {
    return op != LVT_OP_erf && op != LVT_OP_gelu && op != LVT_OP_sin && op != LVT_OP_cos &&
           op != LVT_OP_mod && op != LVT_OP_pow;
}

typedef struct placing {
    const lvt_graph *g;
    lvt_loop *loop;
    lvt_value seed; /* the value that is the domain; LVT_NONE: all of the highest rank are */
    bool changed, conflict;
} placing;

/* dim i of value a and dim j of value b are the same dim of the domain. */
static void tie(placing *p, lvt_value a, int i, lvt_value b, int j) {
    int8_t *x = &p->loop->values[a].map[i], *y = &p->loop->values[b].map[j];
    if (p->g->values[a].type.dim[i] == 1 || p->g->values[b].type.dim[j] == 1 || *x == *y)
        return;
    if (*x == UNKNOWN || *y == UNKNOWN) {
        if (*x == UNKNOWN)
            *x = *y;
        else
            *y = *x;
        p->changed = true;
    } else {
        p->conflict = true;
    }
}

/* Set of axes of a reduction of operand type t. */
static uint8_t reduced_axes(const lvt_node *n, const lvt_type *t) {
    const lvt_attr *axes = lvt_attr_get(n, "axes");
    uint8_t set = 0;
    for (uint32_t k = 0; k < axes->n; k++) {
        int64_t a = axes->ints[k] < 0 ? axes->ints[k] + t->rank : axes->ints[k];
        if (a >= 0 && a < t->rank)
            set |= (uint8_t)(1u << a);
    }
    return axes->n == 0 ? (uint8_t)((1u << t->rank) - 1) : set;
}

static bool is_reduce(int op) {
    return op == LVT_OP_reduce_sum || op == LVT_OP_reduce_max || op == LVT_OP_reduce_mean;
}

/* A reshape that keeps the sizes other than 1 in order. */
static bool only_units_change(const lvt_type *a, const lvt_type *b) {
    int i = 0, j = 0;
    for (;; i++, j++) {
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

static void demand(placing *p, const lvt_node *n) {
    lvt_value y = n->result;
    const lvt_type *ty = &p->g->values[y].type;
    for (uint32_t k = 0; k < n->n_operands; k++) {
        lvt_value x = n->operands[k];
        const lvt_type *tx = &p->g->values[x].type;
        if (is_reduce(n->op)) {
            uint8_t axes = reduced_axes(n, tx);
            bool keep = ty->rank == tx->rank;
            for (int i = 0, j = 0; i < tx->rank; i++) {
                if (!(axes & (1u << i)))
                    tie(p, x, i, y, j);
                j += keep || !(axes & (1u << i));
            }
        } else if (n->op == LVT_OP_reshape) {
            for (int i = 0, j = 0; i < tx->rank; i++) {
                if (tx->dim[i] == 1)
                    continue;
                while (ty->dim[j] == 1)
                    j++;
                tie(p, x, i, y, j++);
            }
        } else { /* pointwise, cast, broadcast: aligned at the right */
            for (int i = 1; i <= tx->rank && i <= ty->rank; i++)
                tie(p, x, tx->rank - i, y, ty->rank - i);
        }
    }
}

static const char *place(placing *p) {
    const lvt_graph *g = p->g;
    lvt_loop *loop = p->loop;
    for (lvt_value v = 0; v < g->n_values; v++) {
        const lvt_type *t = &g->values[v].type;
        bool itself = p->seed == LVT_NONE ? t->rank == loop->rank : v == p->seed;
        loop->values[v].vary = 0;
        for (int i = 0; i < t->rank; i++)
            loop->values[v].map[i] = (int8_t)(t->dim[i] == 1 ? UNIT : itself ? i : UNKNOWN);
    }
    for (lvt_value next = 0;;) {
        do {
            p->changed = false;
            for (lvt_node_id n = 0; n < g->n_nodes; n++)
                demand(p, &g->nodes[n]);
        } while (p->changed);
        bool found = false;
        for (; next < g->n_values && !found; next++) {
            const lvt_type *t = &g->values[next].type;
            for (int i = 0; i < t->rank; i++)
                if (loop->values[next].map[i] == UNKNOWN) {
                    if (loop->rank - t->rank + i < 0)
                        return "a value is larger than the domain";
                    loop->values[next].map[i] = (int8_t)(loop->rank - t->rank + i);
                    found = true;
                }
        }
        if (!found)
            break;
    }
    if (p->conflict)
        return "its values do not lie on one domain";
    for (lvt_value v = 0; v < g->n_values; v++) {
        const lvt_type *t = &g->values[v].type;
        int before = -1;
        for (int i = 0; i < t->rank; i++) {
            int d = loop->values[v].map[i];
            if (d == UNIT)
                continue;
            if (t->dim[i] != loop->dim[d])
                return "a value is larger than the domain";
            if (d <= before)
                return "its values do not lie on one domain";
            before = d;
            loop->values[v].vary |= (uint8_t)(1u << d);
        }
    }
    return NULL;
}

/* On the broadcast of all values of the highest rank. */
static const char *place_all(const lvt_graph *g, lvt_loop *out) {
    for (lvt_value v = 0; v < g->n_values; v++)
        if (g->values[v].type.rank > out->rank)
            out->rank = g->values[v].type.rank;
    for (int d = 0; d < out->rank; d++)
        out->dim[d] = 1;
    for (lvt_value v = 0; v < g->n_values; v++) {
        const lvt_type *t = &g->values[v].type;
        for (int d = 0; t->rank == out->rank && d < out->rank; d++) {
            if (t->dim[d] != 1 && out->dim[d] != 1 && t->dim[d] != out->dim[d])
                return "its values do not lie on one domain";
            if (t->dim[d] > out->dim[d])
                out->dim[d] = t->dim[d];
        }
    }
    for (int d = 0; d < out->rank; d++)
        if (out->dim[d] > 1)
            out->all |= (uint8_t)(1u << d);
    return place(&(placing){.g = g, .loop = out, .seed = LVT_NONE});
}

/* On the first of the largest values. */
static const char *place_by_largest(const lvt_graph *g, lvt_loop *out) {
    lvt_value seed = 0;
    for (lvt_value v = 1; v < g->n_values; v++)
        if (lvt_numel(&g->values[v].type) > lvt_numel(&g->values[seed].type))
            seed = v;
    out->rank = g->values[seed].type.rank;
    out->all = 0;
    for (int d = 0; d < out->rank; d++) {
        out->dim[d] = g->values[seed].type.dim[d];
        if (out->dim[d] > 1)
            out->all |= (uint8_t)(1u << d);
    }
    return place(&(placing){.g = g, .loop = out, .seed = seed});
}

static bool has_f64(const lvt_graph *g, const lvt_node *n) {
    return g->values[n->result].type.dtype == LVT_F64;
}

bool lvt_loop_takes(int op) {
    return lvt_op_table[op]->kind == LVT_KIND_POINTWISE || is_reduce(op) || op == LVT_OP_input ||
           op == LVT_OP_cast || op == LVT_OP_broadcast || op == LVT_OP_iota || op == LVT_OP_constant ||
           op == LVT_OP_reshape;
}

/* What one node may be, whatever its neighbours are. */
static const char *node_form(const lvt_graph *g, const lvt_node *n) {
    if (n->n_results != 1)
        return "an op with several results has loops of its own";
    if (!lvt_loop_takes(n->op))
        return "an op with loops of its own";
    const lvt_type *t = &g->values[n->result].type;
    if (lvt_op_of(n)->kind == LVT_KIND_POINTWISE) {
        if (has_f64(g, n) && !lvt_loop_has_f64(n->op))
            return "erf, sin, cos, mod and pow have no vector code in f64";
        return NULL;
    }
    switch (n->op) {
    case LVT_OP_constant:
        return lvt_attr_get(n, "values")->n == 1 ? NULL : "a constant with more than one value";
    case LVT_OP_reshape:
        return only_units_change(&g->values[n->operands[0]].type, t) ? NULL : "a reshape that moves elements";
    case LVT_OP_reduce_sum:
    case LVT_OP_reduce_mean:
    case LVT_OP_reduce_max:
        if (t->dtype == LVT_U8 || t->dtype == LVT_BOOL)
            return "a reduction of u8 or bool";
        if (t->dtype == LVT_I32 && n->op == LVT_OP_reduce_mean)
            return "a mean of integers";
        return NULL;
    default: /* input, cast, broadcast, iota */
        return NULL;
    }
}

static const char *classify_reduction(lvt_loop *loop, const lvt_node *n, const bool *used) {
    const lvt_graph *g = loop->body;
    lvt_loop_value *y = &loop->values[n->result];
    const lvt_loop_value *x = &loop->values[n->operands[0]];
    const lvt_type *tx = &g->values[n->operands[0]].type;
    uint8_t axes = reduced_axes(n, tx);
    for (int i = 0; i < tx->rank; i++)
        if ((axes & (1u << i)) && x->map[i] >= 0)
            y->reduced |= (uint8_t)(1u << x->map[i]);
    if (y->reduced == 0)
        return NULL; /* over dims of size 1: the value itself */
    y->kind = used[n->result] ? LVT_LOOP_ROW : LVT_LOOP_ACC;
    if (y->kind == LVT_LOOP_ACC)
        return NULL;
    if (loop->row && loop->row != y->reduced)
        return "reductions used in the body reduce different dims";
    loop->row = y->reduced;
    int64_t length = 1;
    for (int d = 0; d < loop->rank; d++)
        length *= loop->row & (1u << d) ? loop->dim[d] : 1;
    if (length > LVT_LOOP_MAX_ROW)
        return "a reduction used in the body has rows too long for one thread";
    uint8_t outer = loop->all & (uint8_t)~loop->row;
    for (int d = 0; d < loop->rank; d++)
        if ((outer & (1u << d)) && (loop->row & ((1u << d) - 1)))
            return "a reduction used in the body does not reduce the innermost dims";
    return NULL;
}

static const char *check_ends(const lvt_loop *loop) {
    const lvt_graph *g = loop->body;
    uint8_t rows = loop->all & (uint8_t)~loop->row;
    for (uint32_t k = 0; k < g->n_outputs; k++) {
        const lvt_loop_value *v = &loop->values[g->outputs[k].value];
        if (v->kind != LVT_LOOP_ACC && v->vary != loop->all && !(loop->row && v->vary == rows))
            return "a result is smaller than the domain";
    }
    for (lvt_node_id i = 0; i < g->n_nodes; i++) {
        const lvt_node *n = &g->nodes[i];
        const lvt_loop_value *y = &loop->values[n->result];
        if (!y->live || y->kind == LVT_LOOP_PLAIN)
            continue;
        uint8_t vary = loop->values[n->operands[0]].vary;
        if (y->kind == LVT_LOOP_ROW ? (vary & loop->row) != loop->row
                                    : vary != loop->all && !(loop->row && vary == rows))
            return "a reduction of a value that is smaller than the domain";
    }
    return NULL;
}

const char *lvt_loop_analyse(const lvt_graph *body, lvt_arena *arena, lvt_loop *out) {
    const lvt_graph *g = body;
    memset(out, 0, sizeof *out);
    out->body = body;
    if (!g->n_outputs)
        return "it has no results";
    out->values = lvt_arena_alloc(arena, (g->n_values + 1) * sizeof *out->values);
    bool *used = lvt_arena_alloc(arena, g->n_values + 1);
    if (!out->values || !used)
        return lvt_loop_no_memory;
    for (uint32_t k = 0; k < g->n_outputs; k++)
        out->values[g->outputs[k].value].live = true;
    for (lvt_node_id i = g->n_nodes; i-- > 0;) {
        const lvt_node *n = &g->nodes[i];
        if (!out->values[n->result].live)
            continue;
        for (uint32_t k = 0; k < n->n_operands; k++)
            out->values[n->operands[k]].live = used[n->operands[k]] = true;
    }
    for (lvt_node_id i = 0; i < g->n_nodes; i++) {
        const char *why = node_form(g, &g->nodes[i]);
        if (why)
            return why;
    }
    const char *why = place_all(g, out);
    if (why) {
        const char *again = place_by_largest(g, out);
        why = again ? why : NULL;
    }
    for (lvt_node_id i = 0; i < g->n_nodes && !why; i++)
        if (is_reduce(g->nodes[i].op) && out->values[g->nodes[i].result].live)
            why = classify_reduction(out, &g->nodes[i], used);
    for (lvt_node_id i = 0; i < g->n_nodes && !why; i++) {
        const lvt_node *n = &g->nodes[i];
        lvt_loop_value *y = &out->values[n->result];
        for (uint32_t k = 0; k < n->n_operands; k++)
            if (out->values[n->operands[k]].level > y->level)
                y->level = out->values[n->operands[k]].level;
        if (y->kind == LVT_LOOP_ROW)
            y->level++;
        if (y->level > out->levels)
            out->levels = y->level;
    }
    return why ? why : check_ends(out);
}

const char *lvt_loop_accepts(const lvt_graph *body) {
    lvt_arena *arena = lvt_arena_new();
    lvt_loop loop;
    const char *why = arena ? lvt_loop_analyse(body, arena, &loop) : lvt_loop_no_memory;
    lvt_arena_free(arena);
    return why;
}
