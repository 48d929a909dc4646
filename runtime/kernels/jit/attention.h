/* One kernel of attention or attention_grad: sizes, strides, what lies where in scratch. attention.c fills it
 * and runs chunks, codegen/attention.c writes the code for one head and image (a tile). May not know: LLVM. */
#ifndef LVT_KERNELS_JIT_ATTENTION_H
#define LVT_KERNELS_JIT_ATTENTION_H

#include "jit.h"

/* Areas of scratch, each a multiple of whole vectors a row and whole vectors altogether. */
typedef enum lvt_attention_area {
    LVT_ATT_KT,  /* k transposed [dk, mp], by attention.c */
    LVT_ATT_KEY, /* k [m, dkp], by attention.c; backward */
    LVT_ATT_VT,  /* v transposed [dv, mp], by attention.c; backward */
    LVT_ATT_V,   /* v [m, dvp]; forward */
    LVT_ATT_Q,   /* q [n, dkp]; backward */
    LVT_ATT_DY,  /* dy [n, dvp]; backward */
    LVT_ATT_P,   /* scores, then probabilities [n, mp] */
    LVT_ATT_DS,  /* gradients of probabilities, then of scores [n, mp]; backward */
    LVT_ATT_ROW, /* a number for each query: largest score; backward: sum of dy * y */
    LVT_ATT_SUM, /* a number for each query: sum of exp; forward */
    LVT_ATT_N_AREAS
} lvt_attention_area;

/* Operands and results of a tile in the order of its pointers. */
enum {
    LVT_ATT_IN_Q,
    LVT_ATT_IN_K,
    LVT_ATT_IN_V,
    LVT_ATT_IN_BIAS,
    LVT_ATT_IN_DY,
    LVT_ATT_IN_Y,
    LVT_ATT_IN_L,
    LVT_ATT_N_IN
};
enum { LVT_ATT_OUT_Y, LVT_ATT_OUT_L };
enum { LVT_ATT_OUT_DQ, LVT_ATT_OUT_DK, LVT_ATT_OUT_DV, LVT_ATT_OUT_DBIAS, LVT_ATT_N_OUT };

typedef struct lvt_attention {
    bool backward, shared, bias;
    int64_t heads, batch, n, m, dk, dv;
    int64_t mp, dkp, dvp; /* rounded up to whole vectors */
    double scale;
    int8_t operand[LVT_ATT_N_IN]; /* of the node, -1: none */
    lvt_view in[LVT_ATT_N_IN];    /* type.rank 0: there is none */
    lvt_view out[LVT_ATT_N_OUT];
    int64_t area[LVT_ATT_N_AREAS + 1]; /* where each begins, in floats; the last: where all end */
    int64_t partial_dbias, partial;    /* of a partial, in floats: dk [m, dkp] before dbias [n, mp]; all */
    int64_t images, chunks;            /* images a chunk, chunks a head */
    char key[640];
} lvt_attention;

/* Elements from row to row of an end of the tile: queries, or keys. */
static inline int64_t lvt_attention_row(const lvt_view *v) {
    return v->strides[v->type.rank - 2];
}

#endif
