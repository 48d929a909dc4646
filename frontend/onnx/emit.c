/* The table of emitters: for every op that has a standard form, the function that writes it. May not know:
 * files, states' values. */
#include "emit.h"
#include "ir/interp.h"

#include <stdlib.h>
#include <string.h>

static int64_t attr(const lvt_node *n, const char *name) {
    return lvt_attr_get(n, name)->i;
}

/* Values that are known are computed here and now, if that does not blow the file up. */
static bool fold(lvt_emitter *e, const lvt_node *n) {
    lvt_tensor in[8], out[1];
    int64_t largest = 4096;
    if (n->n_results != 1 || n->n_operands > 8 || lvt_op_of(n)->kind == LVT_KIND_META)
        return false;
    for (uint32_t k = 0; k < n->n_operands; k++) {
        lvt_onnx_value *v = &e->values[n->operands[k]];
        lvt_shape2 whole = lvt_emit_shape(e, n->operands[k]);
        if (!v->known || !lvt_shape2_equal(&v->have, &whole))
            return false;
        in[k] = (lvt_tensor){whole.a, (double *)v->known};
        largest = lvt_numel(&whole.a) > largest ? lvt_numel(&whole.a) : largest;
    }
    lvt_shape2 s = lvt_emit_shape(e, n->result);
    if (!lvt_shape2_fixed(&s) || lvt_numel(&s.a) > 4 * largest)
        return false;
    out[0].type = s.a;
    out[0].data = lvt_onnx_alloc(&e->w, (size_t)lvt_numel(&s.a) * sizeof(double));
    if (!out[0].data || lvt_eval_node(e->g, (lvt_node_id)(n - e->g->nodes), in, out, LVT_PRECISION_F32, NULL))
        return false;
    e->values[n->result].known = out[0].data;
    e->values[n->result].have = s;
    return true;
}

static bool emit_constant(lvt_emitter *e, const lvt_node *n) {
    const lvt_attr *a = lvt_attr_get(n, "values");
    lvt_onnx_value *v = &e->values[n->result];
    v->known = a->floats;
    v->have = lvt_emit_shape(e, n->result);
    if (a->n == 1)
        v->have.a = v->have.b = lvt_type_make((lvt_dtype)v->have.a.dtype, 0, NULL);
    return true;
}

static const char *scalar64(lvt_emitter *e, int64_t v) {
    const char *name = lvt_onnx_text(&e->w, "%sconst/i64.scalar.%lld", e->w.prefix, (long long)v);
    if (!lvt_onnx_taken(&e->w, name)) {
        name = lvt_onnx_name(&e->w, name);
        lvt_onnx_tensor(&e->w, name, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, 0, &v, &v, sizeof v);
    }
    return name;
}

/* 0, 1, 2 ... along the axis; ONNX repeats it along the others. */
static bool emit_iota(lvt_emitter *e, const lvt_node *n) {
    lvt_shape2 s = lvt_emit_shape(e, n->result);
    int axis = (int)attr(n, "axis"), rank = s.a.rank - axis;
    int64_t size = s.a.dim[axis], dims[LVT_MAX_RANK];
    lvt_dtype dtype = (lvt_dtype)s.a.dtype;
    lvt_onnx_value *v = &e->values[n->result];
    for (int i = 0; i < rank; i++)
        dims[i] = i ? 1 : size;
    v->have.a = v->have.b = lvt_type_make(dtype, rank, dims);
    v->have.b.dim[0] = s.b.dim[axis];
    if (size != s.b.dim[axis]) {
        lvt_shape2 one = {lvt_type_make(LVT_I32, 1, &size), lvt_type_make(LVT_I32, 1, &s.b.dim[axis])};
        const char *in[] = {lvt_emit2(e, "Reshape", lvt_emit_dims(e, &one), lvt_onnx_int64s(&e->w, 0, NULL))};
        const char *ends[] = {scalar64(e, 0), in[0], scalar64(e, 1)};
        const char *range = lvt_onnx_node(&e->w, e->scope, "Range", 3, ends);
        lvt_onnx_int(&e->w, "to", lvt_onnx_type(dtype));
        dims[0] = -1;
        v->form[0] =
            lvt_emit2(e, "Reshape", lvt_emit1(e, "Cast", range), lvt_onnx_int64s(&e->w, (size_t)rank, dims));
        return true;
    }
    double *x = lvt_onnx_alloc(&e->w, (size_t)size * sizeof *x);
    for (int64_t i = 0; x && i < size; i++)
        x[i] = (double)i;
    v->known = x;
    return true;
}

static bool emit_cast(lvt_emitter *e, const lvt_node *n) {
    lvt_onnx_value *x = &e->values[n->operands[0]], *y = &e->values[n->result];
    lvt_dtype dtype = (lvt_dtype)lvt_value_type(e->g, n->result)->dtype;
    const char *name = lvt_emit_use(e, n->operands[0]);
    lvt_onnx_int(&e->w, "to", lvt_onnx_type(dtype));
    y->form[0] = lvt_emit1(e, "Cast", name);
    y->have = x->have;
    y->have.a.dtype = y->have.b.dtype = (uint8_t)dtype;
    return true;
}

static bool emit_reshape(lvt_emitter *e, const lvt_node *n) {
    lvt_shape2 s = lvt_emit_shape(e, n->result);
    lvt_onnx_value *x = &e->values[n->operands[0]], *y = &e->values[n->result];
    if (x->have.a.rank == 0) { /* one number stays one, whatever the shape */
        const char *scope = y->scope;
        if (!x->known)
            lvt_emit_use(e, n->operands[0]);
        *y = *x;
        y->scope = scope;
        y->form[1] = NULL;
        return true;
    }
    const char *in = lvt_emit_full(e, n->operands[0]);
    lvt_emit_set(e, n->result, lvt_emit2(e, "Reshape", in, lvt_emit_reshape_target(e, &s)));
    return true;
}

static bool emit_transpose(lvt_emitter *e, const lvt_node *n) {
    const lvt_attr *order = lvt_attr_get(n, "order");
    const char *x = lvt_emit_full(e, n->operands[0]);
    lvt_emit_set(e, n->result, lvt_emit_transpose(e, x, (int)order->n, order->ints));
    return true;
}

/* Left to the operator that reads it: ONNX broadcasts by the same rules. */
static bool emit_broadcast(lvt_emitter *e, const lvt_node *n) {
    lvt_onnx_value *y = &e->values[n->result];
    const char *scope = y->scope;
    const lvt_onnx_value *x = &e->values[n->operands[0]];
    if (!x->known || x->label) /* a state is one tensor, however many values are it */
        lvt_emit_use(e, n->operands[0]);
    *y = *x;
    y->scope = scope;
    y->form[1] = NULL;
    return true;
}

static bool emit_slice(lvt_emitter *e, const lvt_node *n) {
    int64_t axis = attr(n, "axis"), end = attr(n, "end"), step = attr(n, "step"), begin = attr(n, "begin");
    lvt_shape2 x = lvt_emit_shape(e, n->operands[0]);
    if (x.a.dim[axis] != x.b.dim[axis] && end == x.a.dim[axis])
        end = INT64_MAX;
    const char *in[] = {lvt_emit_full(e, n->operands[0]), lvt_onnx_int64s(&e->w, 1, &begin),
                        lvt_onnx_int64s(&e->w, 1, &end), lvt_onnx_int64s(&e->w, 1, &axis),
                        lvt_onnx_int64s(&e->w, 1, &step)};
    lvt_emit_set(e, n->result, lvt_onnx_node(&e->w, e->scope, "Slice", step == 1 ? 4 : 5, in));
    return true;
}

static bool emit_pad(lvt_emitter *e, const lvt_node *n) {
    const lvt_type *t = lvt_value_type(e->g, n->operands[0]);
    int64_t pads[2 * LVT_MAX_RANK] = {0}, axis = attr(n, "axis");
    pads[axis] = attr(n, "before");
    pads[axis + t->rank] = attr(n, "after");
    const char *in[] = {lvt_emit_full(e, n->operands[0]), lvt_onnx_int64s(&e->w, 2u * t->rank, pads),
                        lvt_emit_number(e, (lvt_dtype)t->dtype, lvt_attr_get(n, "value")->f)};
    lvt_emit_set(e, n->result, lvt_onnx_node(&e->w, e->scope, "Pad", 3, in));
    return true;
}

static bool emit_concat(lvt_emitter *e, const lvt_node *n) {
    const char **in = lvt_onnx_alloc(&e->w, n->n_operands * sizeof *in);
    for (uint32_t k = 0; in && k < n->n_operands; k++)
        in[k] = lvt_emit_full(e, n->operands[k]);
    if (!in)
        return true;
    lvt_onnx_int(&e->w, "axis", attr(n, "axis"));
    lvt_emit_set(e, n->result, lvt_onnx_node(&e->w, e->scope, "Concat", n->n_operands, in));
    return true;
}

static bool emit_reduce(lvt_emitter *e, const lvt_node *n) {
    const lvt_attr *a = lvt_attr_get(n, "axes");
    const lvt_type *t = lvt_value_type(e->g, n->operands[0]);
    int64_t axes[LVT_MAX_RANK], keep = attr(n, "keep");
    size_t count = a->n ? a->n : t->rank;
    bool reduced[LVT_MAX_RANK] = {false};
    for (size_t i = 0; i < count; i++) {
        axes[i] = a->n ? a->ints[i] : (int64_t)i;
        reduced[axes[i]] = true;
    }
    const char *op = n->op == LVT_OP_reduce_sum    ? "ReduceSum"
                     : n->op == LVT_OP_reduce_mean ? "ReduceMean"
                                                   : "ReduceMax";
    lvt_onnx_value *x = &e->values[n->operands[0]];
    const char *in[2];
    if (t->rank == 4 && x->form[1] && !x->form[0] && !keep && (reduced[3] || (reduced[1] && reduced[2]))) {
        in[0] = x->form[1]; /* what stays is in the same order either way */
        for (size_t i = 0; i < count; i++)
            axes[i] = axes[i] == 0 ? 0 : axes[i] == 3 ? 1 : axes[i] + 1;
    } else {
        in[0] = lvt_emit_full(e, n->operands[0]);
    }
    if (!t->rank) {
        lvt_emit_set(e, n->result, lvt_emit1(e, "Identity", in[0]));
        return true;
    }
    bool input = n->op == LVT_OP_reduce_sum || e->w.opset >= 18;
    lvt_onnx_int(&e->w, "keepdims", keep);
    if (input)
        in[1] = lvt_onnx_int64s(&e->w, count, axes);
    else
        lvt_onnx_ints(&e->w, "axes", count, axes);
    lvt_emit_set(e, n->result, lvt_onnx_node(&e->w, e->scope, op, input ? 2 : 1, in));
    return true;
}

static bool emit_argmax(lvt_emitter *e, const lvt_node *n) {
    const char *x = lvt_emit_full(e, n->operands[0]);
    lvt_onnx_int(&e->w, "axis", attr(n, "axis"));
    lvt_onnx_int(&e->w, "keepdims", 0);
    x = lvt_emit1(e, "ArgMax", x);
    lvt_onnx_int(&e->w, "to", lvt_onnx_type(LVT_I32));
    lvt_emit_set(e, n->result, lvt_emit1(e, "Cast", x));
    return true;
}

/* The index, moved to the nearest end where it may lie outside. */
static const char *inside(lvt_emitter *e, lvt_value index, int64_t size) {
    const lvt_onnx_value *v = &e->values[index];
    bool sure = v->known != NULL;
    for (int64_t i = 0; sure && i < lvt_numel(&v->have.a); i++)
        sure = v->known[i] >= 0 && v->known[i] < (double)size;
    const char *in[] = {lvt_emit_full(e, index), lvt_emit_number(e, LVT_I32, 0),
                        lvt_emit_number(e, LVT_I32, (double)(size - 1))};
    return sure ? in[0] : lvt_onnx_node(&e->w, e->scope, "Clip", 3, in);
}

static bool emit_gather(lvt_emitter *e, const lvt_node *n) {
    int64_t axis = attr(n, "axis");
    const char *table = lvt_emit_full(e, n->operands[0]);
    const char *index = inside(e, n->operands[1], lvt_value_type(e->g, n->operands[0])->dim[axis]);
    lvt_onnx_int(&e->w, "axis", axis);
    lvt_emit_set(e, n->result, lvt_emit2(e, "Gather", table, index));
    return true;
}

/* index [...] -> [..., size] of 0 and 1, in dtype; an index outside gives zeros. */
static const char *one_hot(lvt_emitter *e, const char *index, int rank, int64_t size, lvt_dtype dtype) {
    lvt_type t = lvt_type_make(LVT_I32, 1, &size);
    double *x = lvt_onnx_alloc(&e->w, (size_t)size * sizeof *x);
    for (int64_t i = 0; x && i < size; i++)
        x[i] = (double)i;
    const char *name = lvt_onnx_text(&e->w, "%sconst/classes.%lld", e->w.prefix, (long long)size);
    if (x && !lvt_onnx_taken(&e->w, name))
        lvt_emit_doubles(e, name + strlen(e->w.prefix), &t, x);
    int64_t last = rank;
    const char *wide = lvt_emit2(e, "Unsqueeze", index, lvt_onnx_int64s(&e->w, 1, &last));
    const char *hit = lvt_emit2(e, "Equal", wide, name);
    lvt_onnx_int(&e->w, "to", lvt_onnx_type(dtype));
    return lvt_emit1(e, "Cast", hit);
}

static bool emit_one_hot(lvt_emitter *e, const lvt_node *n) {
    const lvt_type *t = lvt_value_type(e->g, n->operands[0]);
    const char *index = lvt_emit_full(e, n->operands[0]);
    lvt_emit_set(
        e, n->result,
        one_hot(e, index, t->rank, attr(n, "size"), (lvt_dtype)lvt_value_type(e->g, n->result)->dtype));
    return true;
}

/* Rows that came from one row of the table are added up by a product with a matrix of 0 and 1: [size, n] with
 * [outer, n, inner]. */
static bool emit_gather_grad(lvt_emitter *e, const lvt_node *n) {
    int64_t axis = attr(n, "axis"), size = attr(n, "size"),
            count = lvt_numel(lvt_value_type(e->g, n->operands[1]));
    lvt_shape2 dy = lvt_emit_shape(e, n->operands[0]), y = lvt_emit_shape(e, n->result);
    if (!lvt_shape2_fixed(&dy)) {
        e->why = "the gradient of gather needs a fixed batch (--fixed-batch)";
        return false;
    }
    int64_t three[3] = {1, count, 1};
    for (int i = 0; i < y.a.rank; i++)
        three[i < axis ? 0 : 2] *= i == axis ? 1 : y.a.dim[i];
    const char *index =
        lvt_emit2(e, "Reshape", inside(e, n->operands[1], size), lvt_onnx_int64s(&e->w, 1, &count));
    const char *hits = one_hot(e, index, 1, size, (lvt_dtype)dy.a.dtype);
    hits = lvt_emit_transpose(e, hits, 2, (int64_t[]){1, 0});
    const char *rows =
        lvt_emit2(e, "Reshape", lvt_emit_full(e, n->operands[0]), lvt_onnx_int64s(&e->w, 3, three));
    rows = lvt_emit2(e, "MatMul", hits, rows);
    lvt_emit_set(e, n->result, lvt_emit2(e, "Reshape", rows, lvt_onnx_int64s(&e->w, y.a.rank, y.a.dim)));
    return true;
}

static bool emit_matmul(lvt_emitter *e, const lvt_node *n) {
    const char *in[2] = {lvt_emit_full(e, n->operands[0]), lvt_emit_full(e, n->operands[1])};
    bool turn[2] = {attr(n, "transpose_a"), attr(n, "transpose_b")};
    const lvt_type *t[2] = {lvt_value_type(e->g, n->operands[0]), lvt_value_type(e->g, n->operands[1])};
    if (t[0]->rank == 2 && t[1]->rank == 2 && (turn[0] || turn[1])) {
        if (turn[0])
            lvt_onnx_int(&e->w, "transA", 1);
        if (turn[1])
            lvt_onnx_int(&e->w, "transB", 1);
        lvt_emit_set(e, n->result, lvt_onnx_node(&e->w, e->scope, "Gemm", 2, in));
        return true;
    }
    for (int k = 0; k < 2; k++) {
        int64_t order[LVT_MAX_RANK];
        int rank = t[k]->rank;
        for (int i = 0; i < rank; i++)
            order[i] = i < rank - 2 ? i : 2 * rank - 3 - i;
        if (turn[k])
            in[k] = lvt_emit_transpose(e, in[k], rank, order);
    }
    lvt_emit_set(e, n->result, lvt_onnx_node(&e->w, e->scope, "MatMul", 2, in));
    return true;
}

static bool emit_softmax(lvt_emitter *e, const lvt_node *n) {
    const char *x = lvt_emit_full(e, n->operands[0]);
    lvt_onnx_int(&e->w, "axis", attr(n, "axis"));
    lvt_emit_set(e, n->result, lvt_emit1(e, n->op == LVT_OP_softmax ? "Softmax" : "LogSoftmax", x));
    return true;
}

static bool emit_layer_norm(lvt_emitter *e, const lvt_node *n) {
    const char *in[] = {lvt_emit_full(e, n->operands[0]), lvt_emit_full(e, n->operands[1]),
                        lvt_emit_full(e, n->operands[2])};
    lvt_onnx_int(&e->w, "axis", -1);
    lvt_onnx_float(&e->w, "epsilon", lvt_attr_get(n, "eps")->f);
    lvt_emit_set(e, n->result, lvt_onnx_node(&e->w, e->scope, "LayerNormalization", 3, in));
    return true;
}

static const struct {
    lvt_emit_fn emit;
    int opset; /* the first that has its operators */
} table[LVT_N_OPS] = {
#define LVT_PW(name, ...) [LVT_OP_##name] = {lvt_emit_pointwise, 13},
#include "ir/ops.def"
    [LVT_OP_constant] = {emit_constant, 13},
    [LVT_OP_iota] = {emit_iota, 13},
    [LVT_OP_cast] = {emit_cast, 13},
    [LVT_OP_reshape] = {emit_reshape, 13},
    [LVT_OP_transpose] = {emit_transpose, 13},
    [LVT_OP_broadcast] = {emit_broadcast, 13},
    [LVT_OP_copy] = {emit_broadcast, 13},
    [LVT_OP_slice] = {emit_slice, 13},
    [LVT_OP_pad] = {emit_pad, 13},
    [LVT_OP_concat] = {emit_concat, 13},
    [LVT_OP_reduce_sum] = {emit_reduce, 13},
    [LVT_OP_reduce_mean] = {emit_reduce, 13},
    [LVT_OP_reduce_max] = {emit_reduce, 13},
    [LVT_OP_argmax] = {emit_argmax, 13},
    [LVT_OP_gather] = {emit_gather, 13},
    [LVT_OP_gather_grad] = {emit_gather_grad, 13},
    [LVT_OP_one_hot] = {emit_one_hot, 13},
    [LVT_OP_matmul] = {emit_matmul, 13},
    [LVT_OP_conv2d] = {lvt_emit_conv, 13},
    [LVT_OP_conv2d_grad_input] = {lvt_emit_conv_grad_input, 13},
    [LVT_OP_conv2d_grad_weight] = {lvt_emit_conv_grad_weight, 13},
    [LVT_OP_max_pool2d] = {lvt_emit_max_pool, 13},
    [LVT_OP_avg_pool2d] = {lvt_emit_avg_pool, 13},
    [LVT_OP_max_pool2d_grad] = {lvt_emit_max_pool_grad, 13},
    [LVT_OP_avg_pool2d_grad] = {lvt_emit_avg_pool_grad, 13},
    [LVT_OP_softmax] = {emit_softmax, 13},
    [LVT_OP_log_softmax] = {emit_softmax, 13},
    [LVT_OP_layer_norm] = {emit_layer_norm, 17},
};

static bool fold_or_emit(lvt_emitter *e, const lvt_node *n) {
    return fold(e, n) || table[n->op].emit(e, n);
}

lvt_emit_fn lvt_onnx_emitter(const lvt_node *n, int opset) {
    if (!table[n->op].emit || table[n->op].opset > opset)
        return NULL;
    lvt_op_kind kind = lvt_op_of(n)->kind;
    bool own = kind == LVT_KIND_POINTWISE || kind == LVT_KIND_SOURCE || n->op == LVT_OP_broadcast;
    return own ? table[n->op].emit : fold_or_emit;
}
