/* Kernels of max_pool2d, avg_pool2d and their gradients: chunks, threads, memory (see pool.h).
 *
 * A chunk is some rows of the result, of an image and a piece of its channels. For gradients it first finds
 * what each window that reaches into its rows sends (the place of its maximum; its share), in memory of its
 * thread, then gathers that. Windows over the edge between two chunks are found twice. Invariant: chunks
 * follow from shapes, and no bit from chunks. May not know: vectors, LLVM. */
#include "pool.h"
#include "jit.h"

#include <stdlib.h>
#include <string.h>

enum {
    CHUNK = 16384, /* element operations a chunk should have at least */
    LEAST = 64     /* channels that a piece should have at least */
};

typedef struct pool_kernel {
    lvt_kernel base;
    lvt_pool pool, source; /* source: of gradients of maxima, with the strides of x */
    const lvt_pool_code *code;
    bool grad, max;
    int64_t images, channels, piece, pieces;
    int64_t rows, bands; /* of an image's result: rows a chunk, chunks */
    size_t own;          /* scratch: bytes of a thread */
} pool_kernel;

typedef struct job { /* of a chunk */
    const float *x, *dy;
    float *out;
    int64_t begin, end, n;
} job;

static int64_t min64(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

static void run_forward(const pool_kernel *k, const job *j) {
    for (int64_t oy = j->begin; oy < j->end; oy++) {
        if (k->max)
            k->code->largest(&k->pool, j->x, j->out, NULL, oy, j->n);
        else
            k->code->mean(&k->pool, j->x, j->out, oy, j->n);
    }
}

static void run_grad(const pool_kernel *k, const job *j, void *own) {
    const lvt_pool *p = &k->pool;
    int64_t first, last, ignored, window = p->pooled[1] * j->n;
    lvt_pool_covered(p, 0, j->begin, &first, &ignored);
    lvt_pool_covered(p, 0, j->end - 1, &ignored, &last);
    for (int64_t oy = first; oy < last; oy++) {
        if (k->max)
            k->code->largest(&k->source, j->x, NULL, (int32_t *)own + (oy - first) * window, oy, j->n);
        else
            k->code->share(p, j->dy, (double *)own + (oy - first) * window, oy, j->n);
    }
    for (int64_t iy = j->begin; iy < j->end; iy++) {
        if (k->max)
            k->code->send(p, j->dy, own, first, j->out, iy, j->n);
        else
            k->code->spread(p, own, first, j->out, iy, j->n);
    }
}

static void run_pool(const lvt_kernel *base, const lvt_run *r, int round, int64_t chunk, int thread) {
    (void)round;
    const pool_kernel *k = (const pool_kernel *)base;
    const lvt_pool *p = &k->pool;
    int64_t piece = chunk % k->pieces, band = chunk / k->pieces % k->bands,
            image = chunk / k->pieces / k->bands, c = piece * k->piece;
    int64_t x = image * p->x_step[0] + c * p->x_step[3], y = image * p->y_step[0] + c * p->y_step[3];
    job j = {.begin = band * k->rows, .n = piece + 1 < k->pieces ? k->piece : k->channels - c};
    j.end = min64(j.begin + k->rows, k->grad ? p->image[0] : p->pooled[0]);
    j.out = (float *)r->results[0] + (k->grad ? x : y);
    if (!k->grad) {
        j.x = (const float *)r->operands[0] + x;
        run_forward(k, &j);
        return;
    }
    j.dy = (const float *)r->operands[0] + y;
    if (k->max)
        j.x = (const float *)r->operands[1] + image * k->source.x_step[0] + c * k->source.x_step[3];
    run_grad(k, &j, r->scratch + (size_t)thread * k->own);
}

/* A share of the channels that keeps `row`, operations on a row of all of them, below `most`. */
static void cut_channels(pool_kernel *k, double row, double most) {
    k->piece = k->channels;
    while (k->piece >= 2 * LEAST && row > most) {
        k->piece = ceil_div(k->piece, 32) * 16;
        row /= 2;
    }
    k->pieces = k->channels / k->piece; /* the last one has the rest too, so each fills vectors */
}

static bool cut(pool_kernel *k) {
    const lvt_pool *p = &k->pool;
    double taps = (double)(p->kernel[0] * p->kernel[1]);
    double windows = (double)(p->pooled[0] * p->pooled[1] * k->images * k->channels);
    double elements = (double)(p->image[0] * p->image[1] * k->images * k->channels);
    int64_t height = k->grad ? p->image[0] : p->pooled[0], width = k->grad ? p->image[1] : p->pooled[1];
    double a_row = (double)(width * k->channels) * (k->grad ? 1 : taps);
    cut_channels(k, a_row, k->grad ? CHUNK : 4 * CHUNK);
    a_row = (double)(width * k->piece) * (k->grad ? 1 : taps);
    k->rows = a_row > CHUNK ? 1 : (int64_t)(CHUNK / a_row) + 1;
    if (k->grad) { /* as many as windows are high, so that few windows are found twice; whole windows */
        k->rows = k->rows < p->kernel[0] ? p->kernel[0] : k->rows;
        k->rows = ceil_div(k->rows, p->stride[0]) * p->stride[0];
    }
    k->rows = min64(k->rows, height);
    k->bands = ceil_div(height, k->rows);
    int64_t chunks = k->images * k->bands * k->pieces;
    k->base.rounds[0].n = chunks;
    k->base.rounds[0].cost = (windows * taps + (k->grad ? elements : 0)) / (double)chunks;
    if (!k->grad)
        return true;
    int64_t rows = min64(p->pooled[0], (k->rows + p->kernel[0]) / p->stride[0] + 2);
    int64_t widest = k->channels - (k->pieces - 1) * k->piece;
    size_t each = k->max ? sizeof(int32_t) : sizeof(double),
           floor = SIZE_MAX / (size_t)k->base.threads / each;
    if ((double)rows * (double)p->pooled[1] * (double)widest > (double)floor / 2)
        return false;
    k->own = ((size_t)(rows * p->pooled[1] * widest) * each + 63) / 64 * 64;
    k->base.scratch_bytes = k->own * (size_t)k->base.threads;
    return true;
}

static void pool_free(lvt_kernel *base) {
    free(base);
}

lvt_status lvt_pool_make(const lvt_kernel_request *r, lvt_kernel **out) {
    const lvt_node *n = &r->graph->nodes[r->node];
    pool_kernel *k = calloc(1, sizeof *k);
    *out = NULL;
    if (!k)
        return lvt_no_memory(r->diag, NULL);
    k->base = (lvt_kernel){.run = lvt_run_chunks, .free = pool_free, .chunk = run_pool};
    k->base.threads = r->threads < 1 ? 1 : r->threads;
    k->max = n->op == LVT_OP_max_pool2d || n->op == LVT_OP_max_pool2d_grad;
    k->grad = n->op == LVT_OP_max_pool2d_grad || n->op == LVT_OP_avg_pool2d_grad;
    const lvt_view *x = k->grad ? &r->results[0] : &r->operands[0],
                   *y = k->grad ? &r->operands[0] : &r->results[0];
    lvt_window w = lvt_window_of(n);
    lvt_pool *p = &k->pool;
    for (int d = 0; d < 2; d++) {
        p->kernel[d] = w.kernel[d];
        p->stride[d] = w.stride[d];
        p->padding[d] = w.padding[d];
        p->image[d] = x->type.dim[1 + d];
        p->pooled[d] = y->type.dim[1 + d];
    }
    memcpy(p->x_step, x->strides, sizeof p->x_step);
    memcpy(p->y_step, y->strides, sizeof p->y_step);
    p->include_padding = !k->max && lvt_attr_get(n, "include_padding")->i;
    k->images = x->type.dim[0];
    k->channels = x->type.dim[3];
    k->source = *p;
    if (k->grad && k->max)
        memcpy(k->source.x_step, r->operands[1].strides, sizeof p->x_step);
    bool made = cut(k);
    bool together = p->x_step[3] == 1 && p->y_step[3] == 1 && k->source.x_step[3] == 1;
    k->code = together ? lvt_pool_code_for(k->piece) : lvt_pool_code_strided();
    if (!made) {
        free(k);
        return lvt_no_memory(r->diag, NULL);
    }
    *out = &k->base;
    return LVT_OK;
}
