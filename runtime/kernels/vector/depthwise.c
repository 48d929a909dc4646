/* Gradients of weights of depthwise convolutions (a channel of the result sees one of the image) on
 * channels-last images.
 *
 * A part is some rows of results; its sums lie in memory of its own, [tap, channel], and the parts are added
 * up in their order, in double. A chunk of the first round is a part of some channels: row by row of results
 * and of taps, sums of one row of taps are in registers. Invariant: parts follow from the shape, so bits do
 * not depend on the number of threads. May not know: oneDNN. */
#include "runtime/kernels/kernel.h"
#include "runtime/kernels/target.h"
#include "ir/op.h"

#include <stdlib.h>
#include <string.h>

typedef struct lvt_depthwise_row {
    int64_t results, width, stride, padding; /* of a row of the result and of the image, in pixels */
    int64_t dy_step, x_step, sum_step;       /* floats from pixel to pixel, from tap to tap */
} lvt_depthwise_row;

typedef void add_row(const lvt_depthwise_row *r, const float *dy, const float *x, float *sums);

enum {
    PIECE = 128,    /* channels of a chunk: rows of so many stay in the second-level cache */
    WORK = 1 << 20, /* multiply-adds of a part */
    PARTS = 64,
    SIZES = 3 /* of rows of taps: 3, 5, 7 */
};

/* row_TAPS_LANES_VECTORS. */

#if defined(__x86_64__)
LVT_BEGIN_TARGET("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")
#define LANES 16
#define VECTORS 2
#define NAME row_3_16_2
#define TAPS 3
#include "depthwise.inc"
#define NAME row_5_16_2
#define TAPS 5
#include "depthwise.inc"
#define NAME row_7_16_2
#define TAPS 7
#include "depthwise.inc"
#undef LANES
#undef VECTORS
#define LANES 16
#define VECTORS 1
#define NAME row_3_16_1
#define TAPS 3
#include "depthwise.inc"
#define NAME row_5_16_1
#define TAPS 5
#include "depthwise.inc"
#define NAME row_7_16_1
#define TAPS 7
#include "depthwise.inc"
#undef LANES
#undef VECTORS
LVT_END_TARGET
LVT_BEGIN_TARGET("avx2,fma")
#define LANES 8
#define VECTORS 2
#define NAME row_3_8_2
#define TAPS 3
#include "depthwise.inc"
#define NAME row_5_8_2
#define TAPS 5
#include "depthwise.inc"
#define NAME row_7_8_2
#define TAPS 7
#include "depthwise.inc"
#undef LANES
#undef VECTORS
#define LANES 8
#define VECTORS 1
#define NAME row_3_8_1
#define TAPS 3
#include "depthwise.inc"
#define NAME row_5_8_1
#define TAPS 5
#include "depthwise.inc"
#define NAME row_7_8_1
#define TAPS 7
#include "depthwise.inc"
#undef LANES
#undef VECTORS
LVT_END_TARGET
#endif
#define LANES 4
#define VECTORS 2
#define NAME row_3_4_2
#define TAPS 3
#include "depthwise.inc"
#define NAME row_5_4_2
#define TAPS 5
#include "depthwise.inc"
#define NAME row_7_4_2
#define TAPS 7
#include "depthwise.inc"
#undef LANES
#undef VECTORS
#define LANES 4
#define VECTORS 1
#define NAME row_3_4_1
#define TAPS 3
#include "depthwise.inc"
#define NAME row_5_4_1
#define TAPS 5
#include "depthwise.inc"
#define NAME row_7_4_1
#define TAPS 7
#include "depthwise.inc"
#undef LANES
#undef VECTORS
#define LANES 1
#define VECTORS 1
#define NAME row_3_1_1
#define TAPS 3
#include "depthwise.inc"
#define NAME row_5_1_1
#define TAPS 5
#include "depthwise.inc"
#define NAME row_7_1_1
#define TAPS 7
#include "depthwise.inc"
#undef LANES
#undef VECTORS

/* From wide to narrow; the last one has one channel. */
typedef struct width {
    int64_t channels;
    add_row *rows[SIZES];
} width;
#define WIDTH(lanes, vectors)                                                                                \
    {                                                                                                        \
        lanes *vectors, {                                                                                    \
            row_3_##lanes##_##vectors, row_5_##lanes##_##vectors, row_7_##lanes##_##vectors                  \
        }                                                                                                    \
    }
static const width narrow[] = {WIDTH(4, 2), WIDTH(4, 1), WIDTH(1, 1)};
#if defined(__x86_64__)
static const width middle[] = {WIDTH(8, 2), WIDTH(8, 1), WIDTH(4, 1), WIDTH(1, 1)};
static const width wide[] = {WIDTH(16, 2), WIDTH(16, 1), WIDTH(8, 1), WIDTH(4, 1), WIDTH(1, 1)};
#endif

static const width *widths_host(void) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
        return wide;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return middle;
#endif
    return narrow;
}

typedef struct depthwise {
    lvt_kernel base;
    const width *widths;
    lvt_depthwise_row row;
    int64_t channels, pieces, rows, parts;                /* rows: of results, all images; parts of them */
    int64_t height, out_height, taps[2], stride, padding; /* along the height */
    int64_t x_image, x_row, dy_image, dy_row, w_step[4];
} depthwise;

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static float *sums_of(const depthwise *k, char *scratch, int64_t part) {
    return (float *)scratch + (size_t)(part * k->taps[0] * k->taps[1] * k->channels);
}

static void add_part(const depthwise *k, const lvt_run *r, int64_t part, int64_t c0, int64_t c1) {
    float *sums = sums_of(k, r->scratch, part);
    for (int64_t t = 0; t < k->taps[0] * k->taps[1]; t++)
        memset(sums + t * k->channels + c0, 0, (size_t)(c1 - c0) * sizeof *sums);
    int size = (int)(k->taps[1] - 3) / 2;
    for (int64_t i = k->rows * part / k->parts; i < k->rows * (part + 1) / k->parts; i++) {
        int64_t image = i / k->out_height, oy = i % k->out_height;
        const float *dy = (const float *)r->operands[0] + image * k->dy_image + oy * k->dy_row;
        const float *x = (const float *)r->operands[1] + image * k->x_image;
        for (int64_t ky = 0; ky < k->taps[0]; ky++) {
            int64_t iy = oy * k->stride + ky - k->padding;
            if (iy < 0 || iy >= k->height)
                continue;
            const width *w = k->widths;
            for (int64_t c = c0; c < c1; c += w->channels) {
                while (c + w->channels > c1)
                    w++;
                w->rows[size](&k->row, dy + c, x + iy * k->x_row + c,
                              sums + ky * k->taps[1] * k->channels + c);
            }
        }
    }
}

static void combine(const depthwise *k, const lvt_run *r, int64_t c0, int64_t c1) {
    for (int64_t t = 0; t < k->taps[0] * k->taps[1]; t++) {
        float *to = (float *)r->results[0] + t / k->taps[1] * k->w_step[2] + t % k->taps[1] * k->w_step[3];
        for (int64_t c = c0; c < c1; c++) {
            double sum = 0;
            for (int64_t p = 0; p < k->parts; p++)
                sum += sums_of(k, r->scratch, p)[t * k->channels + c];
            to[c * k->w_step[0]] = (float)sum;
        }
    }
}

static void run_chunk(const lvt_kernel *base, const lvt_run *r, int round, int64_t chunk, int thread) {
    const depthwise *k = (const depthwise *)base;
    int64_t piece = chunk % k->pieces, c0 = piece * PIECE, c1 = least(c0 + PIECE, k->channels);
    (void)thread;
    if (round == 0)
        add_part(k, r, chunk / k->pieces, c0, c1);
    else
        combine(k, r, c0, c1);
}

static void free_kernel(lvt_kernel *base) {
    free(base);
}

lvt_status lvt_depthwise_make(const lvt_kernel_request *r, lvt_kernel **out) {
    const lvt_node *n = &r->graph->nodes[r->node];
    const lvt_view *dy = &r->operands[0], *x = &r->operands[1], *w = &r->results[0];
    *out = NULL;
    if (x->type.dim[3] > 1 && (x->strides[3] != 1 || dy->strides[3] != 1))
        return LVT_OK;
    depthwise *k = calloc(1, sizeof *k);
    if (!k)
        return LVT_NOMEM;
    lvt_window window = lvt_window_of(n);
    k->base = (lvt_kernel){
        .run = lvt_run_chunks, .free = free_kernel, .chunk = run_chunk, .variant = LVT_VARIANT_OWN_DEPTHWISE};
    k->base.threads = r->threads < 1 ? 1 : r->threads;
    k->widths = widths_host();
    k->channels = x->type.dim[3];
    k->pieces = (k->channels + PIECE - 1) / PIECE;
    k->row = (lvt_depthwise_row){dy->type.dim[2], x->type.dim[2], window.stride[1], window.padding[1],
                                 dy->strides[2],  x->strides[2],  k->channels};
    k->height = x->type.dim[1];
    k->out_height = dy->type.dim[1];
    k->rows = dy->type.dim[0] * k->out_height;
    k->taps[0] = w->type.dim[2];
    k->taps[1] = w->type.dim[3];
    k->stride = window.stride[0];
    k->padding = window.padding[0];
    k->x_image = x->strides[0], k->x_row = x->strides[1];
    k->dy_image = dy->strides[0], k->dy_row = dy->strides[1];
    memcpy(k->w_step, w->strides, sizeof k->w_step);
    double taps = (double)(k->taps[0] * k->taps[1]), work = (double)lvt_numel(&dy->type) * taps;
    k->parts = work / WORK < PARTS ? (int64_t)(work / WORK) + 1 : PARTS;
    k->parts = least(k->parts, k->rows);
    k->base.scratch_bytes = (size_t)(k->parts * k->channels) * (size_t)taps * sizeof(float);
    k->base.rounds[0].n = k->parts * k->pieces;
    k->base.rounds[0].cost = work / (double)k->base.rounds[0].n;
    k->base.rounds[1].n = k->pieces;
    k->base.rounds[1].cost = taps * (double)k->parts * PIECE;
    *out = &k->base;
    return LVT_OK;
}
