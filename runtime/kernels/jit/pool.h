/* Pools of windows on channels-last images: what their vector code (one set of functions for each width of
 * vectors) and their kernel (chunks, threads, memory) agree on.
 *
 * Results are those of the interpreter, bit for bit: maxima are chosen, not computed; sums are of doubles in
 * the interpreter's order and rounded once. Gradients are gathered: an element of the image adds up what the
 * windows that it lies in send it, in the order of the windows, so no two threads write one element. May not
 * know: graphs, chunks. */
#ifndef LVT_KERNELS_JIT_POOL_H
#define LVT_KERNELS_JIT_POOL_H

#include <stdbool.h>
#include <stdint.h>

typedef struct lvt_pool {
    int64_t kernel[2], stride[2], padding[2]; /* padding: above and at the left */
    int64_t image[2], pooled[2];              /* height and width */
    int64_t x_step[4], y_step[4]; /* elements to the next image, row, pixel, channel; of code of more than
                                   * one lane those to the next channel are 1 */
    bool include_padding;
} lvt_pool;

/* All pointers are to the first of the n channels that are asked for, which must be `lanes` or more. x, dx, y
 * and dy: of one image. places and shares: [window row - first, window column, n]. */
typedef struct lvt_pool_code {
    int lanes;
    /* The maximum of each window of row oy; or, where places is not NULL, which element of the image, width *
     * row + column, is it: the first of equals. A NaN counts as larger than all numbers. */
    void (*largest)(const lvt_pool *p, const float *x, float *y, int32_t *places, int64_t oy, int64_t n);
    /* Row iy of the image's gradient: from each window that has its maximum there. */
    void (*send)(const lvt_pool *p, const float *dy, const int32_t *places, int64_t first, float *dx,
                 int64_t iy, int64_t n);
    /* The mean of each window of row oy. */
    void (*mean)(const lvt_pool *p, const float *x, float *y, int64_t oy, int64_t n);
    /* dy of row oy divided by the number of elements it is spread over, and row iy of the image's gradient
     * as sums of those. */
    void (*share)(const lvt_pool *p, const float *dy, double *shares, int64_t oy, int64_t n);
    void (*spread)(const lvt_pool *p, const double *shares, int64_t first, float *dx, int64_t iy, int64_t n);
} lvt_pool_code;

/* The code with most lanes that this processor runs and n channels fill. */
const lvt_pool_code *lvt_pool_code_for(int64_t n);
/* For channels that do not lie together. */
const lvt_pool_code *lvt_pool_code_strided(void);

/* Elements *low .. *high - 1 along dim d of the image that window o covers: at least one. */
static inline void lvt_pool_covers(const lvt_pool *p, int d, int64_t o, int64_t *low, int64_t *high) {
    int64_t begin = o * p->stride[d] - p->padding[d], end = begin + p->kernel[d];
    *low = begin < 0 ? 0 : begin;
    *high = end < p->image[d] ? end : p->image[d];
}

/* Windows *low .. *high - 1 along dim d that cover element i of the image: none where strides leave gaps. */
static inline void lvt_pool_covered(const lvt_pool *p, int d, int64_t i, int64_t *low, int64_t *high) {
    int64_t last = (i + p->padding[d]) / p->stride[d] + 1, before = i + p->padding[d] - p->kernel[d];
    *low = before < 0 ? 0 : before / p->stride[d] + 1;
    *high = last < p->pooled[d] ? last : p->pooled[d];
    if (*high < *low)
        *high = *low;
}

#endif
