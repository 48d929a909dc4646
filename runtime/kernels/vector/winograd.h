/* Convolutions of 3x3 taps by Winograd's way: what their vector code (one set of functions for each width of
 * vectors) and their kernel (blocks, threads, memory) agree on.
 *
 * In one dimension m results of a filter of r taps need m + r - 1 products instead of m r: y = A^T ((G g) .
 * (B^T d)), point by point (Toom and Cook; S. Winograd, Arithmetic Complexity of Computations, 1980; for
 * images Lavin and Gray, arXiv:1509.09308). Three taps that move by two are two taps on every other sample
 * plus one tap on those between: (m + 1) + m points instead of 3 m products, the last m of which share a
 * weight. In two dimensions the transforms go along columns and rows, and each point is a product of
 * matrices, [tiles, channels] by [channels, channels].
 *
 * Invariants: nothing here allocates; what is computed does not depend on the number of threads. May not
 * know: oneDNN. */
#ifndef LVT_KERNELS_VECTOR_WINOGRAD_H
#define LVT_KERNELS_VECTOR_WINOGRAD_H

#include "runtime/kernels/kernel.h"

enum {
    LVT_WINO_PANEL = 64, /* columns of a matrix that lie together */
    LVT_WINO_MOST = 81   /* elements of a square, points of an algorithm */
};

/* Transforms squares of vectors along both dimensions. An element of the square is n_src floats at src[i] +
 * from, row by row; a result n_dst floats at dst[i] + to. As many vectors as the smaller of the two has, the
 * last one may be part of one: missing floats are 0, and not written. */
typedef void lvt_wino_square(const float *const *src, size_t from, float *const *dst, size_t to,
                             int64_t n_src, int64_t n_dst);

/* c[i][j] = sum over k of a[i * a_row + k * a_col] * b[k * b_row + j], or that added to c; n in whole
 * vectors, and a_row or a_col is 1. */
typedef struct lvt_wino_product {
    int64_t m, n, k;
    const float *a, *b;
    float *c;
    int64_t a_row, a_col, b_row, c_row;
    bool add;
} lvt_wino_product;

/* Stride, and results in a tile along one dimension. */
typedef enum lvt_wino_algorithm {
    LVT_WINO_S1M4,
    LVT_WINO_S2M4,
    LVT_WINO_S2M2,
    LVT_WINO_N
} lvt_wino_algorithm;

/* in, out: of images and of results. back: from gradients of results to those of images, with the taps turned
 * round. adjoint: of gradients of results, for the gradient of weights, whose images go through `in`.
 * weights: from taps to points, each that several points share once. */
typedef struct lvt_wino_squares {
    lvt_wino_square *in, *out, *back_in, *back_out, *adjoint, *weights, *weights_adjoint;
} lvt_wino_squares;

typedef struct lvt_wino_code {
    int lanes;
    void (*multiply)(const lvt_wino_product *p);
    lvt_wino_squares squares[LVT_WINO_N];
} lvt_wino_code;

/* The code for this processor. */
const lvt_wino_code *lvt_wino_code_host(void);

#endif
