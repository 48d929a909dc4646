/* Products of matrices in every form: A B, A^T B, A B^T, batches, few rows, second matrices packed once.
 *
 * Invariants: nothing here allocates; each sum has one order, whatever the number of threads and however
 * large the caches: a chain of fused multiply-adds in the order of k, or chains of parts that follow from the
 * shape. So processors with such an instruction agree in bits, but for few rows of A B^T, whose sums have a
 * chain a lane. May not know: oneDNN. */
#ifndef LVT_KERNELS_VECTOR_PRODUCT_H
#define LVT_KERNELS_VECTOR_PRODUCT_H

#include "runtime/kernels/kernel.h"
#include "tile.h"

enum { LVT_PRODUCT_STEPS = 4 };

/* Of the second matrix, as it is found at run time. */
typedef enum lvt_product_way {
    LVT_PRODUCT_PANELS, /* both copied to panels, or the first read where it lies */
    LVT_PRODUCT_STREAM, /* few rows times rows */
    LVT_PRODUCT_DOTS    /* few rows times columns */
} lvt_product_way;

/* y[m][n] = a[m][k] b[k][n], all f32, for each of a batch. Strides in floats; y's columns lie together. Steps
 * only without a batch. */
typedef struct lvt_product {
    int64_t m, n, k;
    int64_t a_row, a_col, b_row, b_col, y_row;
    int n_batch;
    int64_t batch[LVT_MAX_RANK], a_batch[LVT_MAX_RANK], b_batch[LVT_MAX_RANK], y_batch[LVT_MAX_RANK];
    int threads;
    int n_steps; /* done to each result, in their order; their x is given to runs */
    lvt_tile_step steps[LVT_PRODUCT_STEPS];
    bool packed;               /* b is what lvt_product_pack made */
    const lvt_tile_code *code; /* NULL: this processor's best */

    /* lvt_product_plan's */
    lvt_product_way way;
    bool flat;                       /* a is read where it lies */
    int64_t items, parts;            /* of the batch, of the sum */
    int64_t rows_grid, columns_grid; /* pieces of a result, one a chunk */
    int64_t kc, nc, mc, height;      /* of a block: terms, columns, rows; rows of a tile */
} lvt_product;

/* Decides how; false: this form is not taken. */
bool lvt_product_plan(lvt_product *p);
size_t lvt_product_scratch(const lvt_product *p); /* bytes */
/* added: x of each step, NULL where it adds nothing; may be NULL without steps. scratch: aligned as the caches'
 * lines are. */
void lvt_product_run(const lvt_product *p, const float *a, const float *b, float *y,
                     const float *const *added, void *scratch);
/* The second matrix in panels, for runs with `packed`, which is to be set before planning. */
size_t lvt_product_packed(const lvt_product *p); /* bytes */
void lvt_product_pack(const lvt_product *p, const float *b, float *to);

#endif
