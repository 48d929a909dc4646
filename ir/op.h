/* What an op is: one lvt_op_def says all that the rest of the system can ask about it.
 *
 * Invariant: the table lvt_op_table has a row for every name in ops.def and never changes. A pointwise op is
 * a row of ops.def alone; every other op is a row and a file ir/op/NAME.c that defines `lvt_op_def_NAME`. May
 * not know: passes, kernels. */
#ifndef LVT_IR_OP_H
#define LVT_IR_OP_H

#include "ir.h"
#include "build.h"

/* A tensor of the interpreter. Elements are doubles whatever the type; `type.dtype` says what they stand for.
 */
typedef struct lvt_tensor {
    lvt_type type;
    double *data; /* lvt_numel(&type) elements, row-major */
} lvt_tensor;

/* Given to `infer`: fill results[0..n_results). Report mistakes with lvt_infer_error (it knows place and
 * origins). */
typedef struct lvt_infer {
    const lvt_graph *graph;   /* may be NULL in tests */
    const lvt_node *node;     /* op, attrs, n_operands are valid; operands may be NULL in tests */
    const lvt_type *operands; /* n_operands types */
    lvt_type *results;
    uint32_t n_results; /* in: the op's fixed number; `fused` and `gradient` set it themselves */
    lvt_diag *diag;
    lvt_pos at;
} lvt_infer;
/* Error "matmul: inner dimensions differ, 192 and 768", with a note for each operand's origin. Returns
 * LVT_USER. */
lvt_status lvt_infer_error(lvt_infer *c, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* How many results inference may write for this node: the room `results` needs. */
uint32_t lvt_infer_capacity(const lvt_node *node);
/* Checks arity, infers the result types and checks that they are within the limits. results has room for
 * lvt_infer_capacity(node); *n_results becomes their number. at: the place for messages. */
lvt_status lvt_infer_types(const lvt_graph *graph, const lvt_node *node, const lvt_type *operands,
                           lvt_type *results, uint32_t *n_results, lvt_diag *diag, lvt_pos at);

/* Given to `grad`: all values are of b->graph, where node is. results[k] has gradient dresults[k], or
 * LVT_NONE where nothing flows. Fill doperands[k] (preset to LVT_NONE) for every operand with wants[k]; leave
 * LVT_NONE only where the derivative is zero (index operands). */
typedef struct lvt_grad {
    lvt_builder *b;
    const lvt_node *node;
    const lvt_value *dresults;
    const bool *wants;
    lvt_value *doperands;
} lvt_grad;

/* Given to `eval`: compute out[] (data allocated, type set) from in[] in double arithmetic. The interpreter
 * rounds each result to its dtype afterwards (in f64 mode f32 results are left alone). */
typedef struct lvt_eval {
    const lvt_node *node;
    const lvt_tensor *in;
    lvt_tensor *out;
    lvt_arena *arena; /* scratch, freed after the node; eval returns LVT_NOMEM when it runs out */
    lvt_diag *diag;
    lvt_pos at;
} lvt_eval;

/* Arithmetic and traffic of one node, for the cost model and for GFLOP/s. A fused multiply-add is 2 flops. */
typedef struct lvt_cost {
    double flops, bytes;
} lvt_cost;

typedef enum lvt_op_kind {
    LVT_KIND_SOURCE,    /* input, state, constant, iota: no operands */
    LVT_KIND_POINTWISE, /* same shape in and out, one scalar function */
    LVT_KIND_VIEW,      /* reshape, transpose, slice, broadcast: no arithmetic, may alias its operand */
    LVT_KIND_COMPUTE,   /* everything with loops of its own */
    LVT_KIND_META       /* gradient, fused: stands for other nodes */
} lvt_op_kind;

typedef struct lvt_op_def {
    const char *name;
    lvt_op_kind kind;
    int min_operands, max_operands; /* max < 0: any number */
    int n_results;
    /* For people (op_text.h). operands, results: "x: float [B, H, W, C], w: float [O]", of each its name and
     * type; NULL where `signature` says it. meaning: one line. */
    const char *operands, *results, *meaning;
    const lvt_attr_def *attrs;
    int n_attrs;
    /* pointwise: the scalar function as an expression of a, b, c over primitive pointwise ops and numbers
     * (NULL: the op is itself a primitive of the scalar evaluators), and d/da, d/db, d/dc as expressions of
     * a, b, c, y (the result) and g (the gradient of y) over pointwise ops; NULL: derivative is zero. */
    const char *expr, *grads[3];
    const char *signature; /* pointwise: types of operands and result as in ops.def: "nn_n" */
    lvt_status (*infer)(lvt_infer *c);
    lvt_status (*grad)(lvt_grad *c); /* NULL: not differentiable (a sweep test checks that this is meant) */
    lvt_status (*eval)(lvt_eval *c);
    /* Into simpler ops; NULL: is simple. Operands are values of b->graph. */
    lvt_status (*decompose)(lvt_builder *b, const lvt_node *node, const lvt_value *operands,
                            lvt_value *results);
    /* NULL: 1 flop a result element, all operands read and results written once. */
    lvt_cost (*cost)(const lvt_node *node, const lvt_type *operands, const lvt_type *results);
    /* NULL-ended. Cases for the sweep tests, in IR syntax with the operand types, an optional range of values
     * after each and the attributes: "f32[2,3] in 0.5..2, i32[2] in 0..4 {axis = 1}"; of integers the upper
     * end is excluded. */
    const char *const *samples;
    bool no_gradient; /* integer, boolean or piecewise constant result: exempt from the gradient check */
} lvt_op_def;

extern const lvt_op_def *const lvt_op_table[LVT_N_OPS];
static inline const lvt_op_def *lvt_op_of(const lvt_node *n) {
    return lvt_op_table[n->op];
}
lvt_op lvt_op_find(const char *name, size_t length); /* LVT_NO_OP: no such op */
/* The attribute of a node by name. It must be in the op's table. */
const lvt_attr *lvt_attr_get(const lvt_node *n, const char *name);

lvt_attr lvt_attr_default(const lvt_attr_def *def); /* shares def->text; of a required one: zero or empty */

/* Geometry of a convolution or pooling, from attributes that may be left out (stride 1, or the kernel for
 * pools; padding 0; dilation 1; groups 1) or given as one number for both dims. padding is top, left, bottom,
 * right. kernel: of pools and conv2d_grad_weight; 0 where the op has no such attribute (take it from the
 * weight). */
typedef struct lvt_window {
    int64_t kernel[2], stride[2], padding[4], dilation[2], groups;
} lvt_window;
lvt_window lvt_window_of(const lvt_node *n);

lvt_cost lvt_node_cost(const lvt_graph *g,
                       const lvt_node *n); /* of `fused`: flops of the body, bytes of its ends */

/* ---- scalar expressions of pointwise ops --------------------------------------------------------------- */

/* Syntax tree of an expression: call of a pointwise op, number, or variable. + - * / < > and unary - are
 * calls of add, sub, mul, div, lt, gt, neg. */
typedef struct lvt_expr {
    enum { LVT_EXPR_NUMBER, LVT_EXPR_VAR, LVT_EXPR_CALL } kind;
    double number;
    char var; /* 'a' 'b' 'c' 'y' 'g' */
    lvt_op op;
    int n_args;
    struct lvt_expr *args[3];
} lvt_expr;
/* Parses in `arena`; NULL when malformed or out of memory (a unit test parses every row). */
lvt_expr *lvt_expr_parse(const char *text, lvt_arena *arena);
/* Value of a pointwise op on scalars, composite ops through their expression. args as many as operands; dtype
 * is the type of the last operand (the arithmetic of i32 differs). NaN when the op is not pointwise or memory
 * runs out. */
double lvt_scalar_eval(lvt_op op, lvt_dtype dtype, const double *args);
/* Whether x takes the place of y as the largest so far: the first NaN stays. */
static inline bool lvt_exceeds(double x, double y) {
    return x > y || (x != x && y == y);
}
/* Value of an expression over primitives, for a, b, c = args[0..2]. */
double lvt_expr_eval(const lvt_expr *e, lvt_dtype dtype, const double *args);

#endif
