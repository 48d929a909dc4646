/* The builder: checked construction of nodes.
 *
 * Invariant: see build.h. After a mistake the graph is marked as failed but building goes on, with LVT_NONE
 * for what could not be made, so that one run finds many mistakes. May not know: passes, kernels. */
#include "op.h"
#include "op_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ATTRS = 16, SMALL = 16 };

lvt_builder lvt_builder_for(lvt_graph *g, lvt_diag *diag) {
    return (lvt_builder){.graph = g, .diag = diag, .role = LVT_FORWARD, .origin = LVT_NONE};
}

lvt_attr lvt_attr_int(int64_t v) {
    return (lvt_attr){.kind = LVT_ATTR_INT, .i = v};
}
lvt_attr lvt_attr_bool(bool v) {
    return (lvt_attr){.kind = LVT_ATTR_BOOL, .i = v};
}
lvt_attr lvt_attr_float(double v) {
    return (lvt_attr){.kind = LVT_ATTR_FLOAT, .f = v};
}
lvt_attr lvt_attr_string(const char *s) {
    return (lvt_attr){.kind = LVT_ATTR_STRING, .s = s};
}
lvt_attr lvt_attr_dtype(lvt_dtype t) {
    return (lvt_attr){.kind = LVT_ATTR_DTYPE, .i = t};
}
lvt_attr lvt_attr_ints(const int64_t *v, size_t n) {
    return (lvt_attr){.kind = LVT_ATTR_INTS, .n = (uint32_t)n, .ints = v};
}
lvt_attr lvt_attr_floats(const double *v, size_t n) {
    return (lvt_attr){.kind = LVT_ATTR_FLOATS, .n = (uint32_t)n, .floats = v};
}

/* ---- one node ---- */

/* What one call of lvt_build works on. Memory that only lives as long as the call is in `scratch`. */
typedef struct build {
    lvt_builder *b;
    const lvt_op_def *def;
    lvt_node node;
    lvt_attr attrs[MAX_ATTRS];
    lvt_arena *scratch;
    lvt_pos at;
} build;

static lvt_value fail_nomem(lvt_builder *b) {
    b->graph->failed = b->graph->no_memory = true;
    return LVT_NONE;
}

static const char *const kind_names[] = {"an integer",         "a number",          "a text",
                                         "a list of integers", "a list of numbers", "an element type",
                                         "a boolean"};

/* Turns the attribute into the kind the table wants; false when it cannot be. */
static bool convert(build *s, const lvt_attr_def *want, lvt_attr *a) {
    if (a->kind == want->kind)
        return true;
    lvt_dtype dtype;
    switch (want->kind) {
    case LVT_ATTR_FLOAT:
        if (a->kind != LVT_ATTR_INT)
            return false;
        *a = lvt_attr_float((double)a->i);
        return true;
    case LVT_ATTR_BOOL:
        if (a->kind != LVT_ATTR_INT || (a->i != 0 && a->i != 1))
            return false;
        a->kind = LVT_ATTR_BOOL;
        return true;
    case LVT_ATTR_DTYPE:
        if (a->kind != LVT_ATTR_STRING || !a->s || !lvt_dtype_parse(a->s, strlen(a->s), &dtype))
            return false;
        *a = lvt_attr_dtype(dtype);
        return true;
    case LVT_ATTR_INTS: {
        /* A list of no elements has no kind of its own. */
        bool empty = a->kind == LVT_ATTR_FLOATS && a->n == 0;
        int64_t *one = lvt_arena_alloc(s->scratch, sizeof *one);
        if ((a->kind != LVT_ATTR_INT && !empty) || !one)
            return false;
        *one = empty ? 0 : a->i;
        *a = lvt_attr_ints(one, empty ? 0 : 1);
        return true;
    }
    case LVT_ATTR_FLOATS: {
        bool list = a->kind == LVT_ATTR_INTS;
        size_t n = list ? a->n : 1;
        double *v = lvt_arena_alloc(s->scratch, n * sizeof *v + 1);
        if ((!list && a->kind != LVT_ATTR_INT && a->kind != LVT_ATTR_FLOAT) || !v)
            return false;
        for (size_t i = 0; i < n; i++)
            v[i] = list ? (double)a->ints[i] : a->kind == LVT_ATTR_INT ? (double)a->i : a->f;
        *a = lvt_attr_floats(v, n);
        return true;
    }
    default:
        return false;
    }
}

static lvt_status unknown_attr(build *s, const char *name) {
    const char *known[MAX_ATTRS];
    for (int i = 0; i < s->def->n_attrs; i++)
        known[i] = s->def->attrs[i].name;
    const char *near = lvt_nearest(name, known, (size_t)s->def->n_attrs);
    lvt_error(s->b->diag, LVT_USER, "E206", s->at, "%s: no attribute '%s'%s%s%s", s->def->name, name,
              near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    char *all = lvt_op_attrs_text(s->def);
    if (all)
        lvt_note(s->b->diag, LVT_NOWHERE, *all ? "its attributes are %s" : "it has none%s", all);
    free(all);
    return LVT_USER;
}

/* `axis` and `axes` count from the end when negative; `axes` are kept in order. A default such as softmax's
 * -1 stays as it is, so that the printer need not show it. */
static bool normalise_axes(build *s, const lvt_attr_def *def, lvt_attr *a) {
    if (!s->node.n_operands)
        return true;
    int64_t rank = s->b->graph->values[s->node.operands[0]].type.rank;
    if (a->kind == LVT_ATTR_INT && !strcmp(def->name, "axis")) {
        if (a->i < 0 && a->i >= -rank && (def->required || a->i != (int64_t)def->value))
            a->i += rank;
    } else if (a->kind == LVT_ATTR_INTS && !strcmp(def->name, "axes") && a->n) {
        int64_t *v = lvt_arena_alloc(s->scratch, a->n * sizeof *v);
        if (!v)
            return false;
        for (uint32_t i = 0; i < a->n; i++) {
            int64_t x = a->ints[i] < 0 && a->ints[i] >= -rank ? a->ints[i] + rank : a->ints[i];
            uint32_t k = i;
            for (; k && v[k - 1] > x; k--)
                v[k] = v[k - 1];
            v[k] = x;
        }
        a->ints = v;
    }
    return true;
}

static lvt_status fill_attrs(build *s, uint32_t n, const lvt_named_attr *given) {
    const lvt_op_def *def = s->def;
    bool seen[MAX_ATTRS] = {false};
    for (uint32_t k = 0; k < n; k++) {
        int i = 0;
        while (i < def->n_attrs && strcmp(def->attrs[i].name, given[k].name))
            i++;
        if (i == def->n_attrs)
            return unknown_attr(s, given[k].name);
        if (seen[i])
            return lvt_error(s->b->diag, LVT_USER, "E206", s->at, "%s: attribute '%s' is given twice",
                             def->name, given[k].name);
        seen[i] = true;
        s->attrs[i] = given[k].value;
        if (!convert(s, &def->attrs[i], &s->attrs[i]))
            return lvt_error(s->b->diag, LVT_USER, "E206", s->at, "%s: attribute '%s' must be %s, not %s",
                             def->name, given[k].name, kind_names[def->attrs[i].kind],
                             kind_names[given[k].value.kind]);
        if (!normalise_axes(s, &def->attrs[i], &s->attrs[i]))
            return LVT_NOMEM;
    }
    for (int i = 0; i < def->n_attrs; i++) {
        if (seen[i])
            continue;
        if (def->attrs[i].required)
            return lvt_error(s->b->diag, LVT_USER, "E206", s->at, "%s: attribute '%s' is missing", def->name,
                             def->attrs[i].name);
        s->attrs[i] = lvt_attr_default(&def->attrs[i]);
    }
    return LVT_OK;
}

/* Infers and appends s->node. Mistakes do not stop later builds from being checked: only their own results
 * are missing. */
static lvt_value append(build *s) {
    lvt_graph *g = s->b->graph;
    lvt_node *node = &s->node;
    lvt_type *operands = lvt_arena_alloc(s->scratch, node->n_operands * sizeof *operands + 1);
    lvt_type *results = lvt_arena_alloc(s->scratch, lvt_infer_capacity(node) * sizeof *results + 1);
    if (!operands || !results)
        return fail_nomem(s->b);
    for (uint32_t i = 0; i < node->n_operands; i++)
        operands[i] = g->values[node->operands[i]].type;
    uint32_t n_results = 0;
    if (lvt_infer_types(g, node, operands, results, &n_results, s->b->diag, s->at) != LVT_OK) {
        g->failed = true;
        return LVT_NONE;
    }
    node->n_results = (uint16_t)n_results;
    bool failed = g->failed;
    g->failed = false;
    lvt_node_id id = lvt_graph_append(g, node, results);
    if (id == LVT_NONE)
        return fail_nomem(s->b);
    g->failed = failed;
    return g->nodes[id].result;
}

static lvt_value build_node(lvt_builder *b, lvt_op op, lvt_graph *body, uint32_t n_operands,
                            const lvt_value *operands, uint32_t n_attrs, const lvt_named_attr *attrs) {
    if (!b->graph)
        return LVT_NONE;
    for (uint32_t i = 0; i < n_operands; i++)
        if (operands[i] == LVT_NONE)
            return LVT_NONE;
    if (op >= LVT_N_OPS || n_operands > UINT16_MAX) {
        b->graph->failed = true;
        lvt_error(b->diag, LVT_USER, "E201", lvt_module_pos(b->graph->module, b->loc),
                  op >= LVT_N_OPS ? "no such op" : "too many operands");
        return LVT_NONE;
    }
    build s = {.b = b, .def = lvt_op_table[op], .at = lvt_module_pos(b->graph->module, b->loc)};
    s.scratch = lvt_arena_new();
    if (!s.scratch)
        return fail_nomem(b);
    s.node = (lvt_node){.op = (uint16_t)op,
                        .role = (uint8_t)b->role,
                        .n_operands = (uint16_t)n_operands,
                        .operands = (lvt_value *)operands, /* only read, then copied */
                        .attrs = s.attrs,
                        .loc = b->loc,
                        .origin = b->origin,
                        .body = body};
    lvt_status status = fill_attrs(&s, n_attrs, attrs);
    lvt_value result = status == LVT_OK ? append(&s) : LVT_NONE;
    if (status == LVT_NOMEM)
        fail_nomem(b);
    if (status != LVT_OK)
        b->graph->failed = true;
    lvt_arena_free(s.scratch);
    return result;
}

lvt_value lvt_build(lvt_builder *b, lvt_op op, uint32_t n_operands, const lvt_value *operands,
                    uint32_t n_attrs, const lvt_named_attr *attrs) {
    return build_node(b, op, NULL, n_operands, operands, n_attrs, attrs);
}

lvt_value lvt_build_fused(lvt_builder *b, lvt_graph *body, uint32_t n_operands, const lvt_value *operands) {
    return build_node(b, LVT_OP_fused, body, n_operands, operands, 0, NULL);
}

/* ---- sources ---- */

/* A node whose result type is not inferred but declared. */
static lvt_value declare(lvt_builder *b, lvt_op op, uint32_t index, const lvt_type *type) {
    lvt_attr attr = lvt_attr_int(index);
    lvt_node node = {.op = (uint16_t)op,
                     .role = (uint8_t)b->role,
                     .n_results = 1,
                     .attrs = &attr,
                     .loc = b->loc,
                     .origin = b->origin};
    bool failed = b->graph->failed;
    b->graph->failed = false;
    lvt_node_id id = lvt_graph_append(b->graph, &node, type);
    if (id == LVT_NONE)
        return fail_nomem(b);
    b->graph->failed = failed;
    return b->graph->nodes[id].result;
}

lvt_value lvt_build_input(lvt_builder *b, const char *name, const lvt_type *type) {
    lvt_graph *g = b->graph;
    if (!g)
        return LVT_NONE;
    char *copy = name ? lvt_arena_strdup(g->module->arena, name) : NULL;
    void *grown = lvt_arena_grow(g->module->arena, g->inputs, g->n_inputs, (size_t)g->n_inputs + 1,
                                 &g->cap_inputs, sizeof *g->inputs);
    if ((name && !copy) || !grown)
        return fail_nomem(b);
    g->inputs = grown;
    lvt_value v = declare(b, LVT_OP_input, g->n_inputs, type);
    if (v == LVT_NONE)
        return LVT_NONE;
    g->values[v].name = copy;
    g->inputs[g->n_inputs++] = (lvt_input){.name = copy, .value = v, .loc = b->loc};
    return v;
}

lvt_value lvt_build_state(lvt_builder *b, uint32_t state) {
    lvt_graph *g = b->graph;
    if (!g || state >= g->module->n_states)
        return LVT_NONE;
    if (state < g->cap_state_nodes && g->state_nodes[state])
        return g->nodes[g->state_nodes[state] - 1].result;
    lvt_value v = declare(b, LVT_OP_state, state, &g->module->states[state].type);
    if (v != LVT_NONE)
        g->values[v].name = g->module->states[state].name;
    return v;
}

lvt_value lvt_build_scalar(lvt_builder *b, lvt_dtype dtype, double value) {
    lvt_named_attr attrs[] = {{"dtype", lvt_attr_dtype(dtype)},
                              {"shape", lvt_attr_ints(NULL, 0)},
                              {"values", lvt_attr_floats(&value, 1)}};
    return lvt_build(b, LVT_OP_constant, 0, NULL, 3, attrs);
}

lvt_value lvt_build_full(lvt_builder *b, const lvt_type *type, double value) {
    return lvt_build_broadcast(b, lvt_build_scalar(b, (lvt_dtype)type->dtype, value), type->rank, type->dim);
}

/* ---- pointwise ---- */

lvt_value lvt_build_unary(lvt_builder *b, lvt_op op, lvt_value x) {
    return lvt_build(b, op, 1, &x, 0, NULL);
}

/* Brings all operands to their common shape. On misfits the originals stay, and inference says what is wrong.
 */
static void broadcast_all(lvt_builder *b, uint32_t n, lvt_value *v) {
    lvt_type common;
    for (uint32_t i = 0; i < n; i++) {
        if (v[i] == LVT_NONE)
            return;
        lvt_type t = b->graph->values[v[i]].type, joined;
        if (i == 0)
            common = t;
        else if (lvt_broadcast_types(&common, &t, &joined))
            common = joined;
        else
            return;
    }
    for (uint32_t i = 0; i < n; i++)
        v[i] = lvt_build_broadcast(b, v[i], common.rank, common.dim);
}

lvt_value lvt_build_binary(lvt_builder *b, lvt_op op, lvt_value x, lvt_value y) {
    lvt_value v[2] = {x, y};
    broadcast_all(b, 2, v);
    return lvt_build(b, op, 2, v, 0, NULL);
}

lvt_value lvt_build_select(lvt_builder *b, lvt_value condition, lvt_value x, lvt_value y) {
    lvt_value v[3] = {condition, x, y};
    broadcast_all(b, 3, v);
    return lvt_build(b, LVT_OP_select, 3, v, 0, NULL);
}

/* ---- changes of type and shape ---- */

lvt_value lvt_build_cast(lvt_builder *b, lvt_value x, lvt_dtype dtype) {
    if (x == LVT_NONE || b->graph->values[x].type.dtype == dtype)
        return x;
    lvt_named_attr attr = {"dtype", lvt_attr_dtype(dtype)};
    return lvt_build(b, LVT_OP_cast, 1, &x, 1, &attr);
}

static bool has_shape(const lvt_builder *b, lvt_value x, int rank, const int64_t *dims) {
    const lvt_type *t = &b->graph->values[x].type;
    return t->rank == rank && (rank == 0 || !memcmp(t->dim, dims, (size_t)rank * sizeof *dims));
}

static lvt_value build_shaped(lvt_builder *b, lvt_op op, lvt_value x, int rank, const int64_t *dims) {
    if (x == LVT_NONE || has_shape(b, x, rank, dims))
        return x;
    lvt_named_attr attr = {"shape", lvt_attr_ints(dims, (size_t)rank)};
    return lvt_build(b, op, 1, &x, 1, &attr);
}

lvt_value lvt_build_broadcast(lvt_builder *b, lvt_value x, int rank, const int64_t *dims) {
    return build_shaped(b, LVT_OP_broadcast, x, rank, dims);
}

lvt_value lvt_build_reshape(lvt_builder *b, lvt_value x, int rank, const int64_t *dims) {
    return build_shaped(b, LVT_OP_reshape, x, rank, dims);
}

lvt_value lvt_build_transpose(lvt_builder *b, lvt_value x, const int64_t *order) {
    if (x == LVT_NONE)
        return LVT_NONE;
    lvt_named_attr attr = {"order", lvt_attr_ints(order, b->graph->values[x].type.rank)};
    return lvt_build(b, LVT_OP_transpose, 1, &x, 1, &attr);
}

lvt_value lvt_build_slice(lvt_builder *b, lvt_value x, int axis, int64_t begin, int64_t end) {
    lvt_named_attr attrs[] = {
        {"axis", lvt_attr_int(axis)}, {"begin", lvt_attr_int(begin)}, {"end", lvt_attr_int(end)}};
    return lvt_build(b, LVT_OP_slice, 1, &x, 3, attrs);
}

lvt_value lvt_build_concat(lvt_builder *b, uint32_t n, const lvt_value *parts, int axis) {
    lvt_named_attr attr = {"axis", lvt_attr_int(axis)};
    return lvt_build(b, LVT_OP_concat, n, parts, 1, &attr);
}

lvt_value lvt_build_reduce(lvt_builder *b, lvt_op op, lvt_value x, int n_axes, const int64_t *axes,
                           bool keep) {
    lvt_named_attr attrs[] = {{"axes", lvt_attr_ints(axes, (size_t)n_axes)}, {"keep", lvt_attr_bool(keep)}};
    return lvt_build(b, op, 1, &x, 2, attrs);
}

lvt_value lvt_build_matmul(lvt_builder *b, lvt_value x, lvt_value y, bool transpose_x, bool transpose_y) {
    lvt_named_attr attrs[] = {{"transpose_a", lvt_attr_bool(transpose_x)},
                              {"transpose_b", lvt_attr_bool(transpose_y)}};
    return lvt_build(b, LVT_OP_matmul, 2, (lvt_value[]){x, y}, 2, attrs);
}

lvt_value lvt_build_unbroadcast(lvt_builder *b, lvt_value x, const lvt_type *type) {
    if (x == LVT_NONE)
        return LVT_NONE;
    lvt_type from = b->graph->values[x].type;
    int64_t axes[LVT_MAX_RANK];
    int n = 0, added = from.rank - type->rank;
    for (int i = 0; i < from.rank; i++)
        if (i < added || (type->dim[i - added] == 1 && from.dim[i] != 1))
            axes[n++] = i;
    if (n)
        x = lvt_build_reduce(b, LVT_OP_reduce_sum, x, n, axes, false);
    return lvt_build_reshape(b, x, type->rank, type->dim);
}
