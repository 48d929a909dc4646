/* Products of matrices: what their vector code (one set of functions for each width of vectors) and their
 * kernel (blocks, threads, memory) agree on.
 *
 * A tile is some rows of the result by a panel of columns; it stays in registers while the sum runs. Panels
 * are parts of a matrix laid out as tiles read them: for each term of the sum the elements of `rows` rows of
 * the first matrix, or of `columns` columns of the second, one after the other.
 *
 * Invariants: nothing here allocates; each element is one chain of fused multiply-adds in the order of k
 * (lvt_tile_code.dots alone has a chain a lane). May not know: oneDNN, threads. */
#ifndef LVT_KERNELS_VECTOR_TILE_H
#define LVT_KERNELS_VECTOR_TILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* c[i][j] = sum over k of a(i, k) b[k][j], or that added to c. Strides in floats. */
typedef struct lvt_tile {
    int64_t k;
    const float *a, *b;
    float *c, *next; /* next: where results of the tile that follows go */
    int64_t
        a_step; /* flat: from row to row of a, whose terms lie together; else from term to term of a panel */
    int64_t b_row, c_row;
    int64_t columns; /* at most a panel's */
    bool add, flat;
} lvt_tile;

enum { LVT_TILE_SLACK = 16 }; /* floats behind a panel that packing may write */

/* From a matrix to panels of `width` elements; n elements, the rest of the last panel is anything but never
 * read from outside the matrix. Element i of term q is at from[i * step + q] (turned) or from[q * step + i].
 * Panels are panel_step floats apart, at least k * width + LVT_TILE_SLACK. */
typedef void lvt_tile_pack(const float *from, int64_t step, int64_t k, int64_t n, int64_t width,
                           int64_t panel_step, float *to);

/* y[i][j] (+)= sum over q of a[i][q] b[q][j] for rows of b as long as n, read one after the other; or of
 * b[j][q] (dots). For few rows of a. */
typedef struct lvt_tile_rows {
    int64_t m, n, k, a_row, a_col, b_row, y_row;
    const float *a, *b;
    float *y;
} lvt_tile_rows;

/* A step after the product, on results y: adds x (row: floats from row to row, 0 for a vector that all rows
 * share), or is an activation, x NULL. gelu is the one by erf. */
typedef enum lvt_tile_kind {
    LVT_TILE_ADD,
    LVT_TILE_GELU,
    LVT_TILE_TANH,
    LVT_TILE_SIGMOID,
    LVT_TILE_SILU
} lvt_tile_kind;
typedef struct lvt_tile_step {
    lvt_tile_kind kind;
    const float *x;
    int64_t row;
} lvt_tile_step;

typedef struct lvt_tile_code {
    const char *name;
    int lanes, rows, columns; /* of vectors; of the largest tile */
    int terms;                /* most for a panel of columns that tiles read again and again, measured */
    void (*tile)(int rows, const lvt_tile *t);
    lvt_tile_pack *pack, *pack_turned;
    void (*stream)(const lvt_tile_rows *r); /* b's rows lie together */
    void (*dots)(const lvt_tile_rows *r);   /* b's columns lie together, a's rows too (a_col is 1) */
    void (*sum)(float *y, const float *x, int64_t n); /* y += x */
    void (*finish)(const lvt_tile_step *s, float *y, int64_t y_row, int64_t rows, int64_t columns);
} lvt_tile_code;

/* The code for this processor, and all that it can run, the best first. */
const lvt_tile_code *lvt_tile_code_host(void);
int lvt_tile_codes(const lvt_tile_code *list[4]);

#endif
