/* Products of matrices on Winograd's vector code: for many rows times weights, where copying the weights to
 * panels pays.
 *
 * Invariants: nothing here allocates; each sum has one order, whatever the number of threads. May not know:
 * oneDNN. */
#ifndef LVT_KERNELS_VECTOR_PRODUCT_H
#define LVT_KERNELS_VECTOR_PRODUCT_H

#include "winograd.h"

/* y[m][n] = a[m][k] b[k][n], all f32. Strides in elements; a and y have unit stride along their columns, b
 * along its columns or its rows. */
typedef struct lvt_product {
    int64_t m, n, k;
    int64_t a_row, b_row, b_col, y_row;
    int threads;
} lvt_product;

/* Whether lvt_product_run takes it. */
bool lvt_product_fits(const lvt_product *p);
size_t lvt_product_scratch(const lvt_product *p); /* bytes */
void lvt_product_run(const lvt_product *p, const float *a, const float *b, float *y, void *scratch);

#endif
