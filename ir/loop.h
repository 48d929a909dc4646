/* Loop form: what a `fused` body must look like so that one loop nest computes it, and the analysis of it.
 *
 * The body's DOMAIN is a shape D: the broadcast of its values of the highest rank. Each dim of each value
 * lies on one dim of D (equal size) or has size 1; values of lower rank are aligned by how they are used
 * (through broadcast, reductions without `keep`, reshapes that only add or drop dims of size 1), else
 * numpy-like at the right. Nodes may be: input, constant of one value, iota, pointwise, cast, broadcast,
 * reshape over dims of size 1, reduce_sum, reduce_max, reduce_mean.
 *   - A ROW reduction is used by later nodes of the body (softmax, layer norm). All of a body's row
 * reductions reduce the same suffix of D, the ROW; the kernel makes one pass over the row for each level of
 * them.
 *   - Any other reduction (ACC) is only returned. It may reduce any dims of a value that varies along all of
 * D, or of a value that is constant along the row and varies along the rest (the mean of a loss per row).
 * What is returned is an ACC reduction, a value that varies along all of D (size 1 dims aside), or one that
 * is constant along the row and varies along the rest. Operands and results may have any strides; unit
 * strides along the innermost dim are fast. May not know: LLVM. passes use lvt_loop_accepts to decide what to
 * fuse, runtime/kernels/jit generates code from lvt_loop. */
#ifndef LVT_IR_LOOP_H
#define LVT_IR_LOOP_H

#include "op.h"

/* NULL when the body can be one loop nest, else a static text saying why not: lvt_loop_no_memory when it
 * could not be found out. */
extern const char lvt_loop_no_memory[];
const char *lvt_loop_accepts(const lvt_graph *body);

/* Whether a body may hold the op at all, whatever its types. */
bool lvt_loop_takes(int op);
bool lvt_loop_heavy(int op); /* an op that is not one or two instructions, but a score */
bool lvt_loop_has_f64(
    int op); /* a pointwise op that kernels compute in f64 too; the interpreter does others */

enum { LVT_LOOP_MAX_ROW = 1 << 15 }; /* elements: a row belongs to one thread and is read once a pass */

enum { LVT_LOOP_PLAIN, LVT_LOOP_ROW, LVT_LOOP_ACC }; /* lvt_loop_value.kind: not a reduction, or which */

typedef struct lvt_loop_value {
    int8_t map[LVT_MAX_RANK]; /* dim of D that each dim of the value lies on; -1 for a dim of size 1 */
    uint8_t vary;             /* set of the dims of D along which the value varies */
    uint8_t kind;
    uint8_t reduced; /* of reductions: set of the dims of D that go */
    uint8_t level;   /* number of passes over the row before the value is known */
    bool live;       /* an output needs it */
} lvt_loop_value;

typedef struct lvt_loop {
    const lvt_graph *body;
    int rank;
    int64_t dim[LVT_MAX_RANK]; /* D */
    uint8_t all;               /* set of the dims of D larger than 1 */
    uint8_t row; /* set of the dims (larger than 1) that row reductions reduce; 0: there are none */
    int levels;  /* passes over the row before the last one */
    lvt_loop_value *values; /* one a value of the body */
} lvt_loop;

/* Fills *out from a body (arrays in `arena`). NULL, or the reason why the body is not in loop form. */
const char *lvt_loop_analyse(const lvt_graph *body, lvt_arena *arena, lvt_loop *out);

#endif
