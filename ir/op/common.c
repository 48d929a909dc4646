/* Checks and walks shared by the ops; see common.h. */
#include "common.h"

#include <stdio.h>
#include <string.h>

int64_t lvt_int_attr(const lvt_node *n, const char *name) {
    return lvt_attr_get(n, name)->i;
}

double lvt_float_attr(const lvt_node *n, const char *name) {
    return lvt_attr_get(n, name)->f;
}

/* ---- gradients ---- */

/* The reverse of nodes first..n_nodes-1. adjoint and varies are by value, as many as there are values now;
 * what the reverse itself adds is not looked at. */
static lvt_status reverse_nodes(lvt_builder *b, lvt_node_id first, lvt_value *adjoint, const bool *varies,
                                lvt_arena *arena) {
    lvt_graph *g = b->graph;
    for (lvt_node_id i = g->n_nodes; i-- > first;) {
        const lvt_node n = g->nodes[i]; /* the array moves as the graph grows */
        lvt_value *d = lvt_arena_alloc(arena, (n.n_operands + 1u) * sizeof *d);
        bool *wants = lvt_arena_alloc(arena, n.n_operands + 1u), flows = false, any = false;
        if (!d || !wants)
            return LVT_NOMEM;
        for (uint32_t k = 0; k < n.n_results; k++)
            flows |= adjoint[n.result + k] != LVT_NONE;
        for (uint32_t k = 0; k < n.n_operands; k++) {
            d[k] = LVT_NONE;
            any |= wants[k] = varies[n.operands[k]];
        }
        if (!flows || !any || !lvt_op_of(&n)->grad)
            continue;
        lvt_grad c = {b, &n, adjoint + n.result, wants, d};
        LVT_TRY(lvt_op_of(&n)->grad(&c));
        for (uint32_t k = 0; k < n.n_operands; k++) {
            lvt_value *sum = &adjoint[n.operands[k]];
            if (!wants[k] || d[k] == LVT_NONE)
                continue;
            *sum = *sum == LVT_NONE ? d[k] : lvt_build_binary(b, LVT_OP_add, *sum, d[k]);
            LVT_TRY(LVT_MADE(*sum));
        }
    }
    return LVT_OK;
}

static lvt_status grad_by_decomposition(lvt_grad *c, lvt_arena *arena) {
    lvt_graph *g = c->b->graph;
    const lvt_node *n = c->node;
    lvt_node_id first = g->n_nodes;
    lvt_value *results = lvt_arena_alloc(arena, (n->n_results + 1u) * sizeof *results);
    if (!results)
        return LVT_NOMEM;
    LVT_TRY(lvt_op_of(n)->decompose(c->b, n, n->operands, results));
    uint32_t n_values = g->n_values;
    bool *varies = lvt_arena_alloc(arena, n_values + 1u);
    lvt_value *adjoint = lvt_arena_alloc(arena, (n_values + 1u) * sizeof *adjoint);
    if (!varies || !adjoint)
        return LVT_NOMEM;
    memset(adjoint, 0xff, n_values * sizeof *adjoint);
    for (uint32_t k = 0; k < n->n_operands; k++)
        varies[n->operands[k]] |= c->wants[k];
    for (lvt_node_id i = first; i < g->n_nodes; i++)
        for (uint32_t r = 0; r < g->nodes[i].n_results; r++)
            for (uint32_t k = 0; k < g->nodes[i].n_operands; k++)
                varies[g->nodes[i].result + r] |= varies[g->nodes[i].operands[k]];
    for (uint32_t k = 0; k < n->n_results; k++)
        adjoint[results[k]] = c->dresults[k];
    LVT_TRY(reverse_nodes(c->b, first, adjoint, varies, arena));
    for (uint32_t k = 0; k < n->n_operands; k++)
        if (c->wants[k]) { /* an operand that is there twice: all of it to the first */
            c->doperands[k] = adjoint[n->operands[k]];
            adjoint[n->operands[k]] = LVT_NONE;
        }
    return LVT_OK;
}

lvt_status lvt_grad_by_decomposition(lvt_grad *c) {
    lvt_arena *arena = lvt_arena_new();
    lvt_status status = arena ? grad_by_decomposition(c, arena) : LVT_NOMEM;
    lvt_arena_free(arena);
    return status;
}

/* ---- checks ---- */

static lvt_status wrong_dtype(lvt_infer *c, uint32_t operand, const char *needs) {
    static const char *const ordinals[] = {"first", "second", "third"};
    const char *name = lvt_dtype_name((lvt_dtype)c->operands[operand].dtype);
    if (c->node->n_operands == 1 || operand > 2)
        return lvt_infer_error(c, "E202", "the operand must be %s, not %s", needs, name);
    return lvt_infer_error(c, "E202", "the %s operand must be %s, not %s", ordinals[operand], needs, name);
}

lvt_status lvt_want_float(lvt_infer *c, uint32_t operand) {
    return lvt_dtype_is_float((lvt_dtype)c->operands[operand].dtype)
               ? LVT_OK
               : wrong_dtype(c, operand, "of a float type");
}

lvt_status lvt_want_number(lvt_infer *c, uint32_t operand) {
    lvt_dtype t = (lvt_dtype)c->operands[operand].dtype;
    return lvt_dtype_is_float(t) || t == LVT_I32 ? LVT_OK : wrong_dtype(c, operand, "of a float type or i32");
}

lvt_status lvt_want_i32(lvt_infer *c, uint32_t operand) {
    return c->operands[operand].dtype == LVT_I32 ? LVT_OK : wrong_dtype(c, operand, "i32");
}

lvt_status lvt_want_rank(lvt_infer *c, uint32_t operand, int low, int high) {
    static const char *const ordinals[] = {"first ", "second ", "third "};
    int rank = c->operands[operand].rank;
    char text[LVT_TYPE_TEXT], range[32];
    if (rank >= low && rank <= high)
        return LVT_OK;
    if (low == high)
        snprintf(range, sizeof range, "%d", low);
    else if (high == LVT_MAX_RANK)
        snprintf(range, sizeof range, "%d or more", low);
    else
        snprintf(range, sizeof range, "%d to %d", low, high);
    return lvt_infer_error(c, "E205", "the %soperand must have %s dimensions, not %d as in %s",
                           c->node->n_operands == 1 || operand > 2 ? "" : ordinals[operand], range, rank,
                           lvt_type_text(&c->operands[operand], text));
}

lvt_status lvt_want_same_dtype(lvt_infer *c) {
    for (uint32_t i = 1; i < c->node->n_operands; i++)
        if (c->operands[i].dtype != c->operands[0].dtype)
            return lvt_infer_error(c, "E202", "element types differ, %s and %s",
                                   lvt_dtype_name((lvt_dtype)c->operands[0].dtype),
                                   lvt_dtype_name((lvt_dtype)c->operands[i].dtype));
    return LVT_OK;
}

lvt_status lvt_want_axis(lvt_infer *c, int64_t axis, int rank) {
    if (axis >= 0 && axis < rank)
        return LVT_OK;
    return lvt_infer_error(c, "E207", "axis %lld is outside a tensor of %d dimension%s", (long long)axis,
                           rank, rank == 1 ? "" : "s");
}

lvt_status lvt_shape_attr(lvt_infer *c, lvt_dtype dtype) {
    const lvt_attr *shape = lvt_attr_get(c->node, "shape");
    if (shape->n > LVT_MAX_RANK)
        return lvt_infer_error(c, "E205", "a tensor has at most %d dimensions, not %u", LVT_MAX_RANK,
                               shape->n);
    c->results[0] = lvt_type_make(dtype, (int)shape->n, shape->ints);
    for (uint32_t i = 0; i < shape->n; i++)
        if (shape->ints[i] < 1)
            return lvt_infer_error(c, "E207", "a dimension must be at least 1, not %lld",
                                   (long long)shape->ints[i]);
    return LVT_OK;
}

const char *lvt_ints_text(const lvt_attr *a, char *buffer, size_t size) {
    size_t used = (size_t)snprintf(buffer, size, "[");
    for (uint32_t i = 0; i < a->n && used + 24 < size; i++)
        used += (size_t)snprintf(buffer + used, size - used, "%s%lld", i ? ", " : "", (long long)a->ints[i]);
    snprintf(buffer + used, size - used, "]");
    return buffer;
}

/* ---- walks ---- */

void lvt_strides(const lvt_type *t, int64_t strides[LVT_MAX_RANK]) {
    int64_t n = 1;
    memset(strides, 0, LVT_MAX_RANK * sizeof *strides);
    for (int i = t->rank - 1; i >= 0; i--) {
        strides[i] = n;
        n *= t->dim[i];
    }
}

void lvt_strided_read(const lvt_type *t, double *to, const double *from,
                      const int64_t strides[LVT_MAX_RANK]) {
    int64_t index[LVT_MAX_RANK] = {0}, at = 0, n = lvt_numel(t);
    for (int64_t i = 0; i < n; i++) {
        to[i] = from[at];
        for (int d = t->rank - 1; d >= 0; d--) {
            at += strides[d];
            if (++index[d] < t->dim[d])
                break;
            at -= strides[d] * t->dim[d];
            index[d] = 0;
        }
    }
}

void lvt_around(const lvt_type *t, int axis, int64_t *outer, int64_t *inner) {
    *outer = *inner = 1;
    for (int i = 0; i < t->rank; i++)
        if (i != axis)
            *(i < axis ? outer : inner) *= t->dim[i];
}

int lvt_axis_of(const lvt_node *n, int rank) {
    int64_t axis = lvt_int_attr(n, "axis");
    return (int)(axis < 0 ? axis + rank : axis);
}

void lvt_same_attrs(const lvt_node *n, int count, lvt_named_attr *out) {
    for (int i = 0; i < count; i++)
        out[i] = (lvt_named_attr){lvt_op_of(n)->attrs[i].name, n->attrs[i]};
}

/* ---- reductions ---- */

const lvt_attr_def lvt_reduce_attrs[LVT_REDUCE_ATTRS] = {{"axes", LVT_ATTR_INTS}, {"keep", LVT_ATTR_BOOL}};

/* Bit i: dim i is reduced. */
static unsigned reduced_dims(const lvt_node *n, int rank) {
    const lvt_attr *axes = lvt_attr_get(n, "axes");
    unsigned mask = axes->n ? 0 : (1u << rank) - 1;
    for (uint32_t i = 0; i < axes->n; i++)
        mask |= 1u << axes->ints[i];
    return mask;
}

lvt_status lvt_reduce_infer(lvt_infer *c) {
    const lvt_type *x = &c->operands[0];
    const lvt_attr *axes = lvt_attr_get(c->node, "axes");
    bool keep = lvt_int_attr(c->node, "keep");
    for (uint32_t i = 0; i < axes->n; i++) {
        LVT_TRY(lvt_want_axis(c, axes->ints[i], x->rank));
        if (i && axes->ints[i] == axes->ints[i - 1])
            return lvt_infer_error(c, "E207", "axis %lld is given twice", (long long)axes->ints[i]);
        if (i && axes->ints[i] < axes->ints[i - 1])
            return lvt_infer_error(c, "E207", "axes must be in ascending order");
    }
    unsigned mask = reduced_dims(c->node, x->rank);
    lvt_type *y = &c->results[0];
    *y = (lvt_type){.dtype = x->dtype};
    for (int i = 0; i < x->rank; i++) {
        if (!(mask >> i & 1))
            y->dim[y->rank++] = x->dim[i];
        else if (keep)
            y->dim[y->rank++] = 1;
    }
    return LVT_OK;
}

void lvt_reduce_walk(lvt_eval *c, double start, void (*step)(double *, double)) {
    const lvt_type *x = &c->in[0].type;
    unsigned mask = reduced_dims(c->node, x->rank);
    int64_t strides[LVT_MAX_RANK] = {0}, index[LVT_MAX_RANK] = {0}, n = 1, at = 0;
    for (int d = x->rank - 1; d >= 0; d--)
        if (!(mask >> d & 1)) {
            strides[d] = n;
            n *= x->dim[d];
        }
    for (int64_t i = 0; i < n; i++)
        c->out[0].data[i] = start;
    n = lvt_numel(x);
    for (int64_t i = 0; i < n; i++) {
        step(&c->out[0].data[at], c->in[0].data[i]);
        for (int d = x->rank - 1; d >= 0; d--) {
            at += strides[d];
            if (++index[d] < x->dim[d])
                break;
            at -= strides[d] * x->dim[d];
            index[d] = 0;
        }
    }
}

double lvt_reduce_count(const lvt_type *operand, const lvt_type *result) {
    return (double)(lvt_numel(operand) / lvt_numel(result));
}

lvt_value lvt_reduce_expand(lvt_builder *b, const lvt_node *n, lvt_value v) {
    lvt_type x = *lvt_value_type(b->graph, n->operands[0]);
    unsigned mask = reduced_dims(n, x.rank);
    int64_t dims[LVT_MAX_RANK];
    for (int i = 0; i < x.rank; i++)
        dims[i] = mask >> i & 1 ? 1 : x.dim[i];
    v = lvt_build_reshape(b, v, x.rank, dims);
    return lvt_build_broadcast(b, v, x.rank, x.dim);
}

lvt_cost lvt_reduce_cost(const lvt_node *n, const lvt_type *operands, const lvt_type *results) {
    (void)n;
    return (lvt_cost){(double)lvt_numel(&operands[0]),
                      (double)lvt_type_bytes(&operands[0]) + (double)lvt_type_bytes(&results[0])};
}

lvt_status lvt_infer_along_axis(lvt_infer *c) {
    LVT_TRY(lvt_want_float(c, 0));
    LVT_TRY(lvt_want_axis(c, lvt_axis_of(c->node, c->operands[0].rank), c->operands[0].rank));
    c->results[0] = c->operands[0];
    return LVT_OK;
}

void lvt_eval_lines(lvt_eval *c, void (*line)(const double *x, double *y, int64_t n, int64_t step)) {
    const lvt_type *t = &c->in[0].type;
    int axis = lvt_axis_of(c->node, t->rank);
    int64_t outer, inner, n = t->dim[axis];
    lvt_around(t, axis, &outer, &inner);
    for (int64_t i = 0; i < outer * inner; i++) {
        int64_t at = i / inner * n * inner + i % inner;
        line(c->in[0].data + at, c->out[0].data + at, n, inner);
    }
}

const lvt_attr_def lvt_axis_attrs[LVT_AXIS_ATTRS] = {{"axis", LVT_ATTR_INT, .value = -1}};
const char *const lvt_axis_samples[] = {"f32[3,4] in -3..3", "f32[2,3,4] in -3..3 {axis = 1}",
                                        "f32[5] in -40..40 {axis = 0}", NULL};

/* ---- norms ---- */

const lvt_attr_def lvt_norm_attrs[LVT_NORM_ATTRS] = {{"eps", LVT_ATTR_FLOAT, .value = 1e-5}};

lvt_status lvt_norm_infer(lvt_infer *c) {
    const lvt_type *x = &c->operands[0];
    char text[LVT_TYPE_TEXT];
    LVT_TRY(lvt_want_float(c, 0));
    LVT_TRY(lvt_want_same_dtype(c));
    LVT_TRY(lvt_want_rank(c, 0, 1, LVT_MAX_RANK));
    lvt_type row = lvt_type_make((lvt_dtype)x->dtype, 1, &x->dim[x->rank - 1]);
    for (int k = 1; k < 3; k++)
        if (!lvt_type_equal(&c->operands[k], &row))
            return lvt_infer_error(c, "E203", "%s must have one element for each of %lld channels, not %s",
                                   k == 1 ? "gamma" : "beta", (long long)row.dim[0],
                                   lvt_type_text(&c->operands[k], text));
    if (!(lvt_float_attr(c->node, "eps") >= 0))
        return lvt_infer_error(c, "E207", "eps must be 0 or more, not %g", lvt_float_attr(c->node, "eps"));
    c->results[0] = *x;
    for (uint32_t k = 1; k < c->n_results; k++)
        c->results[k] = row;
    return LVT_OK;
}

lvt_value lvt_norm_rstd(lvt_builder *b, const lvt_node *node, lvt_value var) {
    lvt_dtype dtype = (lvt_dtype)lvt_value_type(b->graph, var)->dtype;
    lvt_value eps = lvt_build_scalar(b, dtype, lvt_float_attr(node, "eps"));
    return lvt_build_unary(b, LVT_OP_rsqrt, lvt_build_binary(b, LVT_OP_add, var, eps));
}

lvt_cost lvt_norm_cost(const lvt_node *n, const lvt_type *operands, const lvt_type *results) {
    (void)n;
    return (lvt_cost){7 * (double)lvt_numel(&operands[0]),
                      (double)lvt_type_bytes(&operands[0]) + (double)lvt_type_bytes(&results[0])};
}

/* ---- convolutions ---- */
