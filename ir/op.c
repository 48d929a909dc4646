/* The table of ops and what every op shares: pointwise inference, evaluation and gradients from the rows of
 * ops.def, attributes, messages, costs.
 *
 * Invariant: nothing here names a single op beyond the table. May not know: passes, kernels. */
#include "op.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool letter_accepts(char letter, lvt_dtype t) {
    switch (letter) {
    case 'b':
        return t == LVT_BOOL;
    case 'f':
        return lvt_dtype_is_float(t);
    case 'n':
        return lvt_dtype_is_float(t) || t == LVT_I32;
    default:
        return true;
    }
}

static const char *letter_text(char letter) {
    return letter == 'b' ? "bool" : letter == 'f' ? "a float type" : "a float type or i32";
}

static lvt_status pointwise_infer(lvt_infer *c) {
    const char *signature = lvt_op_of(c->node)->signature;
    char text[LVT_TYPE_TEXT], other[LVT_TYPE_TEXT];
    int common = -1; /* operand that fixes the type the letters stand for */
    for (int i = 0; signature[i] != '_'; i++) {
        const lvt_type *t = &c->operands[i];
        if (!letter_accepts(signature[i], (lvt_dtype)t->dtype))
            return lvt_infer_error(c, "E202", "element type %s is not possible here, needs %s",
                                   lvt_dtype_name((lvt_dtype)t->dtype), letter_text(signature[i]));
        if (!lvt_shape_equal(t, &c->operands[0]))
            return lvt_infer_error(c, "E203", "shapes do not fit, %s and %s",
                                   lvt_type_text(&c->operands[0], text), lvt_type_text(t, other));
        if (signature[i] == 'b')
            continue;
        if (common >= 0 && c->operands[common].dtype != t->dtype)
            return lvt_infer_error(c, "E202", "element types differ, %s and %s",
                                   lvt_dtype_name((lvt_dtype)c->operands[common].dtype),
                                   lvt_dtype_name((lvt_dtype)t->dtype));
        if (common < 0)
            common = i;
    }
    c->results[0] = c->operands[common < 0 ? 0 : common];
    if (strchr(signature, '_')[1] == 'b')
        c->results[0].dtype = LVT_BOOL;
    return LVT_OK;
}

/* ---- pointwise evaluation and gradient ---- */

static lvt_status pointwise_eval(lvt_eval *c) {
    const lvt_op_def *def = lvt_op_of(c->node);
    uint32_t n = c->node->n_operands;
    lvt_dtype dtype = (lvt_dtype)c->in[n - 1].type.dtype;
    int64_t size = lvt_numel(&c->out[0].type);
    lvt_expr self = {.kind = LVT_EXPR_CALL, .op = (lvt_op)c->node->op, .n_args = (int)n};
    lvt_expr vars[3] = {{.kind = LVT_EXPR_VAR, .var = 'a'},
                        {.kind = LVT_EXPR_VAR, .var = 'b'},
                        {.kind = LVT_EXPR_VAR, .var = 'c'}};
    for (uint32_t k = 0; k < n; k++)
        self.args[k] = &vars[k];
    const lvt_expr *e = def->expr ? lvt_expr_parse(def->expr, c->arena) : &self;
    if (!e)
        return LVT_NOMEM;
    for (int64_t i = 0; i < size; i++) {
        double args[3] = {0};
        for (uint32_t k = 0; k < n; k++)
            args[k] = c->in[k].data[i];
        c->out[0].data[i] = lvt_expr_eval(e, dtype, args);
    }
    return LVT_OK;
}

/* Nodes for an expression. A number takes the element type of its neighbours: it is built last, as a scalar.
 */
typedef struct expr_env {
    lvt_builder *b;
    const lvt_node *node;
    lvt_value gradient;
    lvt_dtype dtype; /* for an expression of numbers alone */
} expr_env;

static lvt_value build_expr(const expr_env *env, const lvt_expr *e) {
    if (e->kind == LVT_EXPR_NUMBER)
        return lvt_build_scalar(env->b, env->dtype, e->number);
    if (e->kind == LVT_EXPR_VAR)
        return e->var == 'g'   ? env->gradient
               : e->var == 'y' ? env->node->result
                               : env->node->operands[e->var - 'a'];
    lvt_value v[3];
    expr_env inner = *env;
    const char *signature = lvt_op_table[e->op]->signature;
    for (int i = 0; i < e->n_args; i++) {
        if (e->args[i]->kind == LVT_EXPR_NUMBER)
            continue;
        v[i] = build_expr(env, e->args[i]);
        if (v[i] == LVT_NONE)
            return LVT_NONE;
        if (signature[i] != 'b')
            inner.dtype = (lvt_dtype)env->b->graph->values[v[i]].type.dtype;
    }
    for (int i = 0; i < e->n_args; i++)
        if (e->args[i]->kind == LVT_EXPR_NUMBER)
            v[i] = build_expr(&inner, e->args[i]);
    return e->n_args == 1   ? lvt_build_unary(env->b, e->op, v[0])
           : e->n_args == 2 ? lvt_build_binary(env->b, e->op, v[0], v[1])
                            : lvt_build_select(env->b, v[0], v[1], v[2]);
}

static lvt_status pointwise_grad(lvt_grad *c) {
    /* The node may move when its graph grows, so work on a copy. */
    lvt_node node = *c->node;
    const lvt_op_def *def = lvt_op_of(&node);
    lvt_status status = LVT_OK;
    lvt_arena *arena = lvt_arena_new();
    if (!arena)
        return LVT_NOMEM;
    expr_env env = {c->b, &node, c->dresults[0], (lvt_dtype)c->b->graph->values[node.result].type.dtype};
    for (uint32_t k = 0; k < node.n_operands && status == LVT_OK; k++) {
        if (!c->wants[k] || !def->grads[k])
            continue;
        const lvt_expr *e = lvt_expr_parse(def->grads[k], arena);
        lvt_type type = c->b->graph->values[node.operands[k]].type;
        lvt_value v = e ? build_expr(&env, e) : LVT_NONE;
        c->doperands[k] = lvt_build_broadcast(c->b, v, type.rank, type.dim);
        if (c->doperands[k] == LVT_NONE)
            status = LVT_NOMEM;
    }
    lvt_arena_free(arena);
    return status;
}

/* ---- the table ---- */

/* Samples by the types of a row: float operands in its range, and integers where it takes them. */
#define FLOATS(range) "f32[2,3] in " range
#define SAMPLES_n_n(range) FLOATS(range), "i32[5] in -9..9"
#define SAMPLES_nn_n(range) FLOATS(range) ", " FLOATS(range), "i32[7] in -9..9, i32[7] in -4..4"
#define SAMPLES_nn_b(range) SAMPLES_nn_n(range)
#define SAMPLES_xx_b(range) SAMPLES_nn_n(range), "bool[9], bool[9]"
#define SAMPLES_f_f(range) FLOATS(range)
#define SAMPLES_ff_f(range) FLOATS(range) ", " FLOATS(range)
#define SAMPLES_x_x(range) FLOATS(range), "i32[5] in -9..9", "bool[5]"
#define SAMPLES_b_b(range) "bool[6]"
#define SAMPLES_bb_b(range) "bool[9], bool[9]"
#define SAMPLES_bxx_x(range)                                                                                 \
    "bool[2,3], " FLOATS(range) ", " FLOATS(range), "bool[7], i32[7] in 0..9, i32[7] in 0..9"
#define LVT_PW(name_, arity, expr_, da, db, dc, range, types, meaning_)                                      \
    const lvt_op_def lvt_op_def_##name_ = {                                                                  \
        .name = #name_,                                                                                      \
        .kind = LVT_KIND_POINTWISE,                                                                          \
        .min_operands = arity,                                                                               \
        .max_operands = arity,                                                                               \
        .n_results = 1,                                                                                      \
        .meaning = meaning_,                                                                                 \
        .expr = expr_,                                                                                       \
        .grads = {da, db, dc},                                                                               \
        .signature = #types,                                                                                 \
        .infer = pointwise_infer,                                                                            \
        .grad = (da) || (db) || (dc) ? pointwise_grad : NULL,                                                \
        .eval = pointwise_eval,                                                                              \
        .samples = (const char *const[]){SAMPLES_##types(range), NULL},                                      \
        .no_gradient = !(da) && !(db) && !(dc),                                                              \
    };
#define LVT_OP(name_)
#include "ops.def"

static const lvt_attr *optional_attr(const lvt_node *n, const char *name) {
    const lvt_attr *a = lvt_attr_get(n, name);
    return a && a->kind == LVT_ATTR_INTS && a->n ? a : NULL;
}

/* Two numbers, or one that stands for both; `otherwise` when absent. */
static void read_pair(const lvt_attr *a, const int64_t otherwise[2], int64_t out[2]) {
    out[0] = a ? a->ints[0] : otherwise[0];
    out[1] = a ? a->ints[a->n > 1] : otherwise[1];
}

lvt_window lvt_window_of(const lvt_node *n) {
    static const int64_t zeros[2] = {0, 0}, ones[2] = {1, 1};
    lvt_window w = {.groups = 1};
    bool pool = !lvt_attr_get(n, "dilation"); /* pools step by their kernel, convolutions by 1 */
    read_pair(optional_attr(n, "kernel"), zeros, w.kernel);
    read_pair(optional_attr(n, "stride"), pool ? w.kernel : ones, w.stride);
    read_pair(optional_attr(n, "dilation"), ones, w.dilation);
    const lvt_attr *padding = optional_attr(n, "padding");
    for (uint32_t i = 0; padding && i < 4;
         i++) /* one: all sides; two: vertical, horizontal; four: as they are */
        w.padding[i] = padding->ints[padding->n == 4 ? i : padding->n == 2 ? i % 2 : 0];
    const lvt_attr *groups = lvt_attr_get(n, "groups");
    if (groups)
        w.groups = groups->i;
    return w;
}

/* ---- cost ---- */

static lvt_cost plain_cost(const lvt_node *n, const lvt_type *operands, const lvt_type *results) {
    lvt_cost cost = {0, 0};
    for (uint32_t i = 0; i < n->n_operands; i++)
        cost.bytes += (double)lvt_type_bytes(&operands[i]);
    for (uint32_t k = 0; k < n->n_results; k++) {
        cost.bytes += (double)lvt_type_bytes(&results[k]);
        cost.flops += (double)lvt_numel(&results[k]);
    }
    return cost;
}

lvt_cost lvt_node_cost(const lvt_graph *g, const lvt_node *n) {
    const lvt_op_def *def = lvt_op_of(n);
    lvt_cost none = {0, 0};
    /* Sources and views do no work; `gradient` is gone before anybody asks. */
    if (def->kind == LVT_KIND_SOURCE || def->kind == LVT_KIND_VIEW ||
        (def->kind == LVT_KIND_META && !n->body))
        return none;
    size_t n_types = (size_t)n->n_operands + n->n_results;
    lvt_type *types = malloc(n_types * sizeof *types + 1);
    if (!types)
        return none;
    for (uint32_t i = 0; i < n->n_operands; i++)
        types[i] = g->values[n->operands[i]].type;
    for (uint32_t k = 0; k < n->n_results; k++)
        types[n->n_operands + k] = g->values[n->result + k].type;
    lvt_cost cost = (def->cost ? def->cost : plain_cost)(n, types, types + n->n_operands);
    free(types);
    if (n->body) {
        cost.flops = 0;
        for (uint32_t i = 0; i < n->body->n_nodes; i++)
            cost.flops += lvt_node_cost(n->body, &n->body->nodes[i]).flops;
    }
    return cost;
}
