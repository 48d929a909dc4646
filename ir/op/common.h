/* What the files of ops share: checks with their messages, walks over strided tensors, the loops of
 * reductions, convolutions and matrix products. Invariant: pure functions. May not know: anything outside ir.
 */
#ifndef LVT_IR_OP_COMMON_H
#define LVT_IR_OP_COMMON_H

#include "ir/op.h"

/* For gradients and decompositions, whose builds cannot be wrong: LVT_NONE means out of memory. */
#define LVT_MADE(value) ((value) == LVT_NONE ? LVT_NOMEM : LVT_OK)

int64_t lvt_int_attr(const lvt_node *n, const char *name);
double lvt_float_attr(const lvt_node *n, const char *name);

/* A `grad` for ops with a decomposition: builds that and goes back through it, node by node. */
lvt_status lvt_grad_by_decomposition(lvt_grad *c);

/* ---- checks of inference; all report and return LVT_USER ---- */

lvt_status lvt_want_float(lvt_infer *c, uint32_t operand);
lvt_status lvt_want_number(lvt_infer *c, uint32_t operand); /* a float type or i32 */
lvt_status lvt_want_i32(lvt_infer *c, uint32_t operand);
lvt_status lvt_want_rank(lvt_infer *c, uint32_t operand, int low, int high);
lvt_status lvt_want_same_dtype(lvt_infer *c); /* all operands */
/* Attribute `axis` of a tensor of that rank: 0..rank-1. */
lvt_status lvt_want_axis(lvt_infer *c, int64_t axis, int rank);
/* Result 0 of that element type, in the shape of attribute `shape`. */
lvt_status lvt_shape_attr(lvt_infer *c, lvt_dtype dtype);
/* A list attribute for messages: "[1, 2]". */
const char *lvt_ints_text(const lvt_attr *a, char *buffer, size_t size);

/* ---- walks ---- */

/* Row-major strides in elements. */
void lvt_strides(const lvt_type *t, int64_t strides[LVT_MAX_RANK]);
/* to[i] = from[index of i under the strides], over `to`'s type in row-major order. */
void lvt_strided_read(const lvt_type *t, double *to, const double *from, const int64_t strides[LVT_MAX_RANK]);
/* Splits the dims around an axis: outer * t->dim[axis] * inner elements. */
void lvt_around(const lvt_type *t, int axis, int64_t *outer, int64_t *inner);
/* `axis` of softmax and its like, where -1 is the last dim. */
int lvt_axis_of(const lvt_node *n, int rank);

/* For ops that work along one axis of a float tensor, {axis}: the result has the operand's type. */
enum { LVT_AXIS_ATTRS = 1 };
extern const lvt_attr_def lvt_axis_attrs[LVT_AXIS_ATTRS];
extern const char *const lvt_axis_samples[];
lvt_status lvt_infer_along_axis(lvt_infer *c);
/* Calls line(x, y, n, step) for every line along the axis: n elements, step apart, of operand and result. */
void lvt_eval_lines(lvt_eval *c, void (*line)(const double *x, double *y, int64_t n, int64_t step));

/* ---- reductions ---- */

enum { LVT_REDUCE_ATTRS = 2 };
extern const lvt_attr_def lvt_reduce_attrs[LVT_REDUCE_ATTRS];
lvt_status lvt_reduce_infer(lvt_infer *c);
/* Calls step(accumulator, x) for every element in row-major order; results start at `start`. */
void lvt_reduce_walk(lvt_eval *c, double start, void (*step)(double *accumulator, double x));
/* Number of elements that each result of a reduction is made of. */
double lvt_reduce_count(const lvt_type *operand, const lvt_type *result);
/* A result of the reduction (or its gradient) back at the operand's shape. */
lvt_value lvt_reduce_expand(lvt_builder *b, const lvt_node *n, lvt_value v);
lvt_cost lvt_reduce_cost(const lvt_node *n, const lvt_type *operands, const lvt_type *results);

/* ---- norms: (x [...,C], gamma [C], beta [C]) {eps} ---- */

enum { LVT_NORM_ATTRS = 1 };
extern const lvt_attr_def lvt_norm_attrs[LVT_NORM_ATTRS];
lvt_status lvt_norm_infer(lvt_infer *c); /* the type of x; further results are [C] */
/* 1 / sqrt(var + eps) */
lvt_value lvt_norm_rstd(lvt_builder *b, const lvt_node *node, lvt_value var);
lvt_cost lvt_norm_cost(const lvt_node *n, const lvt_type *operands, const lvt_type *results);

/* ---- matrix products and windows ---- */

/* c[i, j] += sum over p of a[i, p] * b[p, j]; strides in elements, columns of b and c are adjacent. */
void lvt_gemm(int64_t m, int64_t n, int64_t k, const double *a, int64_t a_row, int64_t a_col, const double *b,
              int64_t b_row, double *c, int64_t c_row);

/* Of a convolution or one of its gradients: the window, and two operands of four dims. */
lvt_status lvt_want_conv(lvt_infer *c, lvt_window *w);
/* An image of x along dim d (0 height, 1 width) gives a result of y. */
lvt_status lvt_want_conv_size(lvt_infer *c, const lvt_window *w, int d, int64_t x, int64_t kernel, int64_t y);
/* Size of the result along dim d (0 height, 1 width), 0 or less when the kernel does not fit. */
int64_t lvt_window_out(const lvt_window *w, int d, int64_t size, int64_t kernel);

/* The three products of a convolution, tap by tap; x [B,H,W,C], w [O,C/groups,kh,kw], y [B,OH,OW,O]. The one
 * that is computed is written, the others are read. LVT_NOMEM when scratch runs out. */
typedef enum lvt_conv_what { LVT_CONV_FORWARD, LVT_CONV_INPUT, LVT_CONV_WEIGHT } lvt_conv_what;
typedef struct lvt_conv {
    lvt_window window;
    const lvt_type *x_type, *w_type, *y_type;
    double *x, *w, *y;
} lvt_conv;
lvt_status lvt_conv_run(const lvt_conv *c, lvt_conv_what what, lvt_arena *arena);
/* eval, grad and cost of the three ops, see conv.c. */
lvt_status lvt_conv_eval(lvt_eval *c);
lvt_status lvt_conv_grad(lvt_grad *c);
lvt_cost lvt_conv_cost_of(const lvt_node *n, const lvt_type *operands, const lvt_type *results);
/* Attributes of a convolution node for building another: stride, padding, dilation, groups. */
enum { LVT_CONV_ATTRS = 4 };
#define LVT_CONV_ATTR_ROWS                                                                                   \
    {"stride", LVT_ATTR_INTS}, {"padding", LVT_ATTR_INTS}, {"dilation", LVT_ATTR_INTS}, {                    \
        "groups", LVT_ATTR_INT, .value = 1                                                                   \
    }
void lvt_same_attrs(const lvt_node *n, int count, lvt_named_attr *out);

enum { LVT_POOL_ATTRS = 3 };
#define LVT_POOL_ATTR_ROWS                                                                                   \
    {"kernel", LVT_ATTR_INTS, .required = true}, {"stride", LVT_ATTR_INTS}, {                                \
        "padding", LVT_ATTR_INTS                                                                             \
    }
/* [B,H,W,C] of the pooled tensor from the operand's or the given height and width. */
lvt_status lvt_pool_infer(lvt_infer *c, lvt_type x, lvt_type *y);
/* pooled: the type with one element a window. */
lvt_cost lvt_pool_cost(const lvt_node *n, const lvt_type *operands, const lvt_type *results,
                       const lvt_type *pooled);
/* Where in x the first largest element of the window of result i (row-major in y) is; -1: the window holds
 * none. */
int64_t lvt_pool_max(const lvt_window *w, const lvt_type *x_type, const lvt_type *y_type, const double *x,
                     int64_t i);
/* Means of windows of x into y, or, in reverse, adds to x the elements of y in equal shares. */
void lvt_pool_mean(const lvt_window *w, bool include_padding, const lvt_type *x_type, const lvt_type *y_type,
                   double *x, double *y, bool reverse);

#endif
