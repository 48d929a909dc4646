/* Which family runs a node and in which ways it can: the rows of providers.def and variants.def, and their
 * predicates.
 *
 * Invariant: an answer depends on the node, its types and its body alone, so compiler and runtime, asked on
 * different machines, say the same. May not know: oneDNN, LLVM; a predicate states what runtime/ promises to
 * run. */
#include "program.h"
#include "ir/epilogue.h"
#include "ir/loop.h"
#include "ir/op.h"

#include <stdio.h>
#include <string.h>

const char *lvt_family_name(lvt_family f) {
    static const char *const names[] = {[LVT_FAMILY_NONE] = "none",
                                        [LVT_FAMILY_ONEDNN] = "onednn",
                                        [LVT_FAMILY_JIT] = "jit",
                                        [LVT_FAMILY_COLLECTIVE] = "collective",
                                        [LVT_FAMILY_INTERP] = "interp"};
    return (unsigned)f < LVT_N_FAMILIES ? names[f] : "?";
}

/* ---- predicates: NULL to accept, else why not ---------------------------------------------------------- */

static bool every_float(const lvt_graph *g, const lvt_node *n) {
    for (uint32_t k = 0; k < n->n_operands; k++)
        if (g->values[n->operands[k]].type.dtype != LVT_F32)
            return false;
    return g->values[n->result].type.dtype == LVT_F32;
}

static const char *lvt_accept_fused(const lvt_graph *g, const lvt_node *n) {
    (void)g;
    return n->body ? lvt_loop_accepts(n->body) : "it has no body";
}

/* Moving elements is the same for every type. */
static const char *lvt_accept_move(const lvt_graph *g, const lvt_node *n) {
    (void)g;
    (void)n;
    return NULL;
}

static const char *lvt_accept_number(const lvt_graph *g, const lvt_node *n) {
    uint8_t dtype = g->values[n->operands[0]].type.dtype;
    return dtype == LVT_F32 || dtype == LVT_F64 || dtype == LVT_I32 ? NULL
                                                                    : "only f32, f64 and i32 have code";
}

static const char *lvt_accept_float(const lvt_graph *g, const lvt_node *n) {
    return every_float(g, n) ? NULL : "processes exchange f32 only";
}

static const char *lvt_accept_pool(const lvt_graph *g, const lvt_node *n) {
    return every_float(g, n) ? NULL : "pools have code for f32 only";
}

static const char *lvt_accept_matmul(const lvt_graph *g, const lvt_node *n) {
    return every_float(g, n) ? NULL : "oneDNN multiplies matrices of f32 only";
}

static const char *lvt_accept_conv(const lvt_graph *g, const lvt_node *n) {
    return every_float(g, n) ? NULL : "oneDNN convolves f32 only";
}

/* A product or convolution with what follows it. */
static const char *lvt_accept_epilogue(const lvt_graph *g, const lvt_node *n) {
    lvt_epilogue e;
    const char *why = n->body ? lvt_epilogue_analyse(n->body, &e) : "it has no body";
    return why || every_float(g, n) ? why : "oneDNN finishes products of f32 only";
}

/* The kernels keep the scores of one head and image, and what meets them, in the second-level cache. */
static const char *lvt_accept_attention(const lvt_graph *g, const lvt_node *n) {
    enum { MOST = 1 << 17 }; /* f32 elements: scores and their gradients take 2 * 256 KiB at most */
    bool backward = n->op == LVT_OP_attention_grad;
    const lvt_type *q = &g->values[n->operands[backward]].type,
                   *k = &g->values[n->operands[1 + backward]].type;
    int64_t m = k->dim[k->rank - 2], widest = k->dim[k->rank - 1];
    int64_t dv = g->values[n->operands[2 + backward]].type.dim[3];
    widest = dv > widest ? dv : widest;
    if (!every_float(g, n))
        return "attention has code for f32 only";
    if (q->dim[2] > MOST / 2 / m || widest > MOST / 2 / m || widest > MOST / 2 / q->dim[2])
        return "its scores are too many for the caches";
    return NULL;
}

/* ---- predicates of variants: NULL where the variant computes what the node says ------------------------ */

/* The variant differs in how it computes alone. */
static const char *lvt_can_always(const lvt_graph *g, const lvt_node *n) {
    (void)g;
    (void)n;
    return NULL;
}

/* oneDNN 2.6.3 computes wrong numbers for the gradient of the image with other paddings than 1. */
static const char *lvt_can_winograd(const lvt_graph *g, const lvt_node *n) {
    lvt_window w = lvt_window_of(n);
    bool fits = w.groups == 1;
    if (n->op != LVT_OP_conv2d_grad_weight)
        memcpy(w.kernel, &g->values[n->operands[1]].type.dim[2], sizeof w.kernel);
    for (int i = 0; i < 2; i++)
        fits = fits && w.kernel[i] == 3 && w.stride[i] == 1 && w.dilation[i] == 1;
    for (int i = 0; i < 4; i++)
        fits = fits && w.padding[i] == 1;
    return fits ? NULL : "Winograd is for kernels of 3x3 with stride 1, padding 1, no dilation and one group";
}

/* Strides of 1 or 2, any padding. */
static const char *lvt_can_own_winograd(const lvt_graph *g, const lvt_node *n) {
    lvt_window w = lvt_window_of(n);
    bool fits = w.groups == 1 && w.stride[0] == w.stride[1] && w.stride[0] <= 2;
    if (n->op != LVT_OP_conv2d_grad_weight)
        memcpy(w.kernel, &g->values[n->operands[1]].type.dim[2], sizeof w.kernel);
    for (int i = 0; i < 2; i++)
        fits = fits && w.kernel[i] == 3 && w.dilation[i] == 1;
    return fits ? NULL : "our Winograd is for kernels of 3x3 with stride 1 or 2, no dilation and one group";
}

/* Of the gradient of weights: as many channels of the result as of the image, one group each. */
static const char *lvt_can_depthwise(const lvt_graph *g, const lvt_node *n) {
    lvt_window w = lvt_window_of(n);
    const lvt_type *x = &g->values[n->operands[1]].type, *y = &g->values[n->result].type;
    bool size = y->dim[3] == 3 || y->dim[3] == 5 || y->dim[3] == 7;
    return w.groups == x->dim[3] && y->dim[0] == x->dim[3] && w.dilation[0] == 1 && w.dilation[1] == 1 &&
                   size && y->dim[2] <= 7
               ? NULL
               : "our depthwise is for one channel a group and rows of 3, 5 or 7 taps without dilation";
}

/* ---- the table ----------------------------------------------------------------------------------------- */

typedef struct row {
    lvt_op op;
    lvt_family family;
    const char *(*refuses)(const lvt_graph *g, const lvt_node *n);
} row;

static const row rows[] = {
#define LVT_PROVIDER(op, family, predicate) {LVT_OP_##op, LVT_FAMILY_##family, predicate},
#include "providers.def"
};

lvt_family lvt_family_for(const lvt_graph *g, lvt_node_id id, const char **why) {
    const lvt_node *n = &g->nodes[id];
    const char *reason = NULL, *ignored;
    why = why ? why : &ignored;
    *why = NULL;
    if (n->op == LVT_OP_input || n->op == LVT_OP_state || n->op == LVT_OP_constant ||
        lvt_op_of(n)->kind == LVT_KIND_VIEW)
        return LVT_FAMILY_NONE;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].op != n->op)
            continue;
        const char *refusal = rows[i].refuses(g, n);
        if (!refusal)
            return rows[i].family;
        reason = reason ? reason : refusal;
    }
    *why = reason ? reason : "no kernel of its own; fusion takes what is pointwise or a reduction";
    return LVT_FAMILY_INTERP;
}

const char *lvt_op_families(lvt_op op, char buffer[LVT_FAMILIES_TEXT]) {
    const lvt_op_def *def = lvt_op_table[op];
    unsigned said = 0;
    size_t n = 0;
    buffer[0] = 0;
    if (def->kind == LVT_KIND_VIEW)
        return strcpy(buffer, "nobody: it is a view");
    if (op == LVT_OP_input || op == LVT_OP_state || op == LVT_OP_constant)
        return strcpy(buffer, "nobody: it is there");
    if (op == LVT_OP_gradient)
        return strcpy(buffer, "nobody: it is replaced");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].op != op || said & 1u << rows[i].family)
            continue;
        said |= 1u << rows[i].family;
        n += (size_t)snprintf(buffer + n, LVT_FAMILIES_TEXT - n, "%s%s", n ? ", " : "",
                              lvt_family_name(rows[i].family));
    }
    if (n)
        return buffer;
    return strcpy(buffer, lvt_loop_takes(op) ? "jit, in fused loops"
                          : def->decompose   ? "the ops it is made of"
                                             : "interp");
}

typedef struct way {
    lvt_op op;
    lvt_family family;
    lvt_variant variant;
    const char *(*refuses)(const lvt_graph *g, const lvt_node *n);
} way;

static const way ways[] = {
#define LVT_VARIANT(op, family, variant, predicate)                                                          \
    {LVT_OP_##op, LVT_FAMILY_##family, LVT_VARIANT_##variant, predicate},
#include "variants.def"
};

const char *lvt_variant_name(lvt_variant v) {
    static const char *const names[] = {[LVT_VARIANT_STANDARD] = "standard",
                                        [LVT_VARIANT_WINOGRAD] = "winograd",
                                        [LVT_VARIANT_BLOCKED] = "blocked",
                                        [LVT_VARIANT_WHOLE] = "whole",
                                        [LVT_VARIANT_SPLIT] = "split",
                                        [LVT_VARIANT_PACKED] = "packed",
                                        [LVT_VARIANT_OWN_WINOGRAD] = "own-winograd",
                                        [LVT_VARIANT_OWN_PRODUCT] = "own-product",
                                        [LVT_VARIANT_OWN_DEPTHWISE] = "own-depthwise"};
    return (unsigned)v < LVT_N_VARIANTS ? names[v] : "?";
}

bool lvt_variant_legal(const lvt_graph *g, lvt_node_id id, lvt_family f, lvt_variant v, const char **why) {
    const lvt_node *n = &g->nodes[id];
    const char *refusal = v == LVT_VARIANT_STANDARD ? NULL : "this family has no such variant of the op";
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        if (ways[i].op == n->op && ways[i].family == f && ways[i].variant == v)
            refusal = ways[i].refuses(g, n);
    }
    if (why)
        *why = refusal;
    return !refusal;
}
