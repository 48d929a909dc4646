/* Pass fold: nodes whose operands are known become constants, computed by the reference interpreter.
 *
 * Invariant: a folded value is what the interpreter gives in f32. Known are constants, iota and views of
 * them; views that only repeat (broadcast) stay nodes, since kernels compute them for nothing and a table of
 * their elements would have to be read. May not know: anything about the op that lvt_eval_node does not. */
#include "rewrite.h"

#include "ir/interp.h"

#include <string.h>

enum {
    MOST_FROM_CONSTANTS = 1 << 20, /* elements of a result worth computing here */
    MOST_FROM_IOTA = 1 << 16       /* the same when an index is among the operands: kernels can count too */
};

typedef enum known { UNKNOWN, KNOWN_CONSTANT, KNOWN_INDEX } known;

typedef struct folder {
    lvt_rewrite r;
    uint8_t *known;      /* per value of in */
    lvt_tensor *tensors; /* per value of in; data NULL until asked for */
} folder;

/* The elements of a known value; NULL when they cannot be computed, or (the graph has failed then) for want of
 * memory. */
static const lvt_tensor *elements(folder *f, lvt_value v) {
    lvt_tensor *t = &f->tensors[v];
    const lvt_graph *g = f->r.in;
    if (t->data)
        return t;
    const lvt_node *n = lvt_value_node(g, v);
    lvt_tensor in[3] = {0};
    if (n->n_operands > 3 || n->n_results != 1)
        return NULL;
    for (uint32_t k = 0; k < n->n_operands;
         k++) { /* depth: chains of views only, the rest is computed already */
        const lvt_tensor *operand = elements(f, n->operands[k]);
        if (!operand)
            return NULL;
        in[k] = *operand;
    }
    lvt_tensor out = {*lvt_value_type(g, v),
                      lvt_arena_alloc(f->r.ctx->arena, (size_t)lvt_numel(&g->values[v].type) * 8)};
    lvt_status status =
        out.data ? lvt_eval_node(g, g->values[v].node, in, &out, LVT_PRECISION_F32, NULL) : LVT_NOMEM;
    if (status == LVT_NOMEM)
        f->r.out->failed = f->r.out->no_memory = true;
    if (status != LVT_OK)
        return NULL;
    *t = out;
    return t;
}

static lvt_value constant_of(folder *f, const lvt_tensor *t) {
    int64_t n = lvt_numel(&t->type), same = 1;
    while (same < n && !memcmp(&t->data[same], &t->data[0], sizeof *t->data))
        same++;
    lvt_named_attr attrs[] = {{"dtype", lvt_attr_dtype(t->type.dtype)},
                              {"shape", lvt_attr_ints(t->type.dim, t->type.rank)},
                              {"values", lvt_attr_floats(t->data, same == n ? 1 : (size_t)n)}};
    return lvt_build(&f->r.b, LVT_OP_constant, 0, NULL, 3, attrs);
}

/* A result of one value for operands of one value each: no need for all the elements. */
static bool splat_result(folder *f, const lvt_node *n, double *x) {
    double args[3];
    const lvt_graph *g = f->r.in;
    if (n->n_operands > 3 || !n->n_operands)
        return false;
    for (uint32_t k = 0; k < n->n_operands; k++) /* constants made here are constants of out only */
        if (!lvt_is_splat(f->r.out, f->r.map[n->operands[k]], &args[k]))
            return false;
    lvt_dtype dtype = g->values[n->result].type.dtype;
    lvt_dtype of = g->values[n->operands[n->n_operands - 1]].type.dtype;
    if (n->op == LVT_OP_cast) {
        *x = lvt_round_to(dtype, args[0]);
        return true;
    }
    if (lvt_is_view(n)) {
        *x = args[0];
        return true;
    }
    if (!lvt_is_pointwise(n))
        return false;
    *x = lvt_round_to(dtype, lvt_scalar_eval((lvt_op)n->op, of, args));
    return true;
}

/* What node i's results are known to be: an index if any operand is one. */
static known known_of(const folder *f, const lvt_node *n) {
    const lvt_op_kind kind = lvt_op_of(n)->kind;
    if (n->op == LVT_OP_constant)
        return KNOWN_CONSTANT;
    if (n->op == LVT_OP_iota)
        return KNOWN_INDEX;
    if (kind == LVT_KIND_META || kind == LVT_KIND_SOURCE || n->op == LVT_OP_random_uniform ||
        n->op == LVT_OP_copy || !n->n_operands || n->n_operands > 3 || n->n_results != 1)
        return UNKNOWN;
    known k = KNOWN_CONSTANT;
    for (uint32_t i = 0; i < n->n_operands; i++) {
        if (f->known[n->operands[i]] == UNKNOWN)
            return UNKNOWN;
        k = f->known[n->operands[i]] > k ? f->known[n->operands[i]] : k;
    }
    return k;
}

/* Elements of the largest of the operands and the result. */
static int64_t largest(const lvt_graph *g, const lvt_node *n) {
    int64_t most = lvt_numel(&g->values[n->result].type);
    for (uint32_t k = 0; k < n->n_operands; k++) {
        int64_t size = lvt_numel(&g->values[n->operands[k]].type);
        most = size > most ? size : most;
    }
    return most;
}

static bool fold_node(folder *f, lvt_node_id i) {
    const lvt_graph *g = f->r.in;
    const lvt_node *n = &g->nodes[i];
    known k = known_of(f, n);
    if (k == UNKNOWN)
        return false;
    const lvt_type *type = &g->values[n->result].type; /* of the one result */
    bool view = lvt_is_view(n);
    double x;
    lvt_value v = LVT_NONE;
    f->known[n->result] = (uint8_t)k;
    if (!n->n_operands)
        return false;
    if (splat_result(f, n, &x)) {
        v = lvt_splat(&f->r.b, type, x);
    } else if (largest(g, n) > (k == KNOWN_INDEX ? MOST_FROM_IOTA : MOST_FROM_CONSTANTS)) {
        f->known[n->result] = UNKNOWN;
    } else if (!(view && (k == KNOWN_INDEX || n->op == LVT_OP_broadcast))) {
        const lvt_tensor *t = elements(f, n->result);
        if (t)
            v = constant_of(f, t);
        else
            f->known[n->result] = UNKNOWN;
    }
    if (v == LVT_NONE)
        return false;
    if (k == KNOWN_INDEX)
        f->known[n->result] = KNOWN_CONSTANT;
    lvt_rewrite_replace(&f->r, i, &v);
    return true;
}

lvt_graph *lvt_pass_fold(lvt_pass *ctx, const lvt_graph *in) {
    folder f = {0};
    if (!lvt_rewrite_begin(&f.r, ctx, in))
        return NULL;
    f.known = lvt_arena_alloc(ctx->arena, in->n_values + 1u);
    f.tensors = lvt_arena_alloc(ctx->arena, (in->n_values + 1u) * sizeof *f.tensors);
    if (!f.known || !f.tensors)
        return lvt_pass_nomem(ctx);
    for (uint32_t i = 0; i < in->n_nodes && !f.r.out->failed; i++) {
        lvt_rewrite_at(&f.r, i);
        if (!fold_node(&f, i))
            lvt_rewrite_copy(&f.r, i);
    }
    return lvt_rewrite_end(&f.r);
}
