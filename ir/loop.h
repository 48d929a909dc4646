/* Loop form: what a `fused` body must look like so that one loop nest computes it, and the analysis of it.
 *
 * The body's DOMAIN is a shape D of rank r (the broadcast of all its values' shapes). Every value of the body
 * has rank r with each dim equal to D's or 1, except: scalars (rank 0), inputs and constants of lower rank
 * that feed a `broadcast` (numpy-aligned), and results of reductions without `keep` that are only returned.
 * Nodes may be: input, constant (one value), iota, pointwise, cast, broadcast, one_hot-like comparisons,
 * reduce_sum, reduce_max, reduce_mean.
 *   - ROW reductions reduce a suffix of D's dims (all non-1 reduced dims are the innermost ones); the result
 * may be used by later nodes of the same body (softmax, layer norm): the kernel makes one pass over the row
 * for each level of such reductions.
 *   - COLUMN reductions reduce anything else (a prefix, a middle, all): their results are only returned from
 * the body. All domains of one body are the same. Writing and reading with any strides is fine (innermost
 * unit stride is fast). May not know: LLVM. passes use lvt_loop_accepts to decide what to fuse, runtime/jit
 * generates code from lvt_loop. */
#ifndef LVT_IR_LOOP_H
#define LVT_IR_LOOP_H

#include "op.h"

/* NULL when the body can be one loop nest, else a static text saying why not. */
const char *lvt_loop_accepts(const lvt_graph *body);

#endif
