/* Epilogue form: what a `fused` body must look like so that the kernel of one matrix product or convolution
 * computes it whole, finishing each result while it is still in registers.
 *
 * The body's nodes are, in this order of use: one matmul of two matrices or one conv2d, of inputs 0 and 1;
 * then a chain of at most LVT_EPILOGUE_MOST steps, each of which reads the one before it: first, if at all,
 * the addition of a bias (an input of one element a column or channel, through a broadcast); additions of
 * inputs of the result's own shape (a residual connection); activations. The last of the chain is the body's
 * only result, so nothing inside is needed elsewhere. The interpreter runs the body as any other. Operands 0
 * and 1 lie as the product reads them, all others and the result are packed. May not know: oneDNN. passes
 * make such bodies, runtime/kernels/onednn runs them, providers.c asks. */
#ifndef LVT_IR_EPILOGUE_H
#define LVT_IR_EPILOGUE_H

#include "op.h"

enum { LVT_EPILOGUE_MOST = 4 };

typedef enum lvt_epilogue_kind {
    LVT_EPILOGUE_BIAS,
    LVT_EPILOGUE_ADD,
    LVT_EPILOGUE_ACTIVATION
} lvt_epilogue_kind;

typedef struct lvt_epilogue {
    const lvt_node *product; /* matmul or conv2d */
    int n;
    struct {
        lvt_epilogue_kind kind;
        uint32_t operand; /* of BIAS and ADD: which operand of the fused node is added */
        lvt_op op;        /* of ACTIVATION */
    } step[LVT_EPILOGUE_MOST];
} lvt_epilogue;

/* Activations that can stand in an epilogue; relu cannot: oneDNN's makes 0 of NaN. */
bool lvt_epilogue_activates(lvt_op op);
/* The product of a body that may be in epilogue form, or NULL: a quick look for those who need to tell such
 * bodies from loop nests. */
const lvt_node *lvt_epilogue_product(const lvt_graph *body);
/* Fills *out; NULL, or a static text saying why the body is not in epilogue form. */
const char *lvt_epilogue_analyse(const lvt_graph *body, lvt_epilogue *out);

#endif
