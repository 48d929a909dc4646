/* Convolutions of 3x3 taps and their gradients by Winograd's way, on channels-last images: blocks, threads,
 * memory.
 *
 * A thread transforms some tiles, multiplies them panel by panel (64 channels of the result) and transforms
 * the products back, all in memory of its own: what one core has written another reads slowly. Weights go
 * through memory of all where many blocks of tiles share them; where all tiles are one block each thread
 * takes panels and transforms their weights itself. Invariants: every sum has one order, so how the work is
 * divided changes no bit; only the gradient of weights adds up parts, whose number follows from the shape.
 * May not know: oneDNN, the vectors' width. */
#include "winograd.h"

#include <stdlib.h>
#include <string.h>

enum {
    PANEL = LVT_WINO_PANEL,
    BLOCK = 16,  /* tiles multiplied together */
    ROWS = 16,   /* rows of weights transformed together */
    INNER = 128, /* terms of a sum added in registers before they go to memory */
    EDGE = 16    /* floats between the matrices of two points: off powers of two */
};
/* Bytes of transformed tiles a thread keeps: those of images for results; where one block is to be all tiles;
 * for gradients of weights; and the parts of the latter. Measured on Zen 4 with 1 MiB of second-level cache.
 */
static const double SPAN = 7e5, WHOLE = 6e6, GRADIENT = 1.5e6, PARTS = 10e6;
static const double SHARED =
    6e6; /* bytes of all transformed weights, above which threads transform their own */

typedef struct side { /* along one dimension: elements, and their distance from tile to tile */
    int in, in_step, out, out_step;
} side;

static const struct shape {
    int stride, tile, points, weights;
    side forward, backward;
    unsigned char weight_of[9];
} shapes[LVT_WINO_N] = {
    [LVT_WINO_S1M4] = {1, 4, 6, 6, {6, 4, 4, 4}, {6, 4, 4, 4}, {0, 1, 2, 3, 4, 5}},
    [LVT_WINO_S2M4] = {2, 4, 9, 6, {9, 8, 4, 4}, {5, 4, 8, 8}, {0, 1, 2, 3, 4, 5, 5, 5, 5}},
    [LVT_WINO_S2M2] = {2, 2, 5, 4, {5, 4, 2, 2}, {3, 2, 4, 4}, {0, 1, 2, 3, 3}},
};

typedef struct image {
    int64_t size[2], channels, panels, step, row, pixel; /* step: to the next image */
} image;

typedef enum kind { FORWARD, BACKWARD, WEIGHT } kind;

typedef struct winograd {
    lvt_kernel base;
    kind kind;
    const lvt_wino_code *code;
    const lvt_wino_squares *squares;
    const struct shape *shape;
    side side;
    image in, out; /* of the gradient of weights: x and dy */
    int64_t in_start[2], out_start[2], tiles[2], n_tiles;
    int64_t w_dims[2], w_step[4]; /* [O, C] and the strides of [O, C, 3, 3] */
    int threads;
    int64_t span, ranges, range,
        groups;              /* tiles kept, parts of the tiles and their length, parts of the panels */
    bool own_weights;        /* threads transform their panels' weights themselves */
    bool own_sums;           /* threads transform their panels' gradients themselves */
    int64_t points, weights; /* in two dimensions */
    size_t v_point, z_point, m_point, u_weight, u_panel, d_weight, d_panel; /* distances, in floats */
    size_t shared, own;               /* scratch: floats for all, of a thread */
    size_t v, z, m, u, d, none, dump; /* places in a thread's own */
    float *kept;
} winograd;

typedef struct job {
    const winograd *k;
    const float *in, *second; /* weights, or dy */
    float *out, *shared, *own;
} job;

static int64_t up(int64_t x, int64_t unit) {
    return (x + unit - 1) / unit * unit;
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* ---- pieces of the work ---- */

/* Where the square of a tile lies in an image; `outside` is taken for what does not. */
static void find(const image *m, const float *base, const int64_t *tiles, int64_t tile, const int64_t *start,
                 int step, int n, const float *outside, const float **to) {
    int64_t x = start[1] + tile % tiles[1] * step, y = start[0] + tile / tiles[1] % tiles[0] * step;
    base += tile / (tiles[0] * tiles[1]) * m->step;
    for (int i = 0; i < n; i++) {
        bool inside = y + i >= 0 && y + i < m->size[0];
        for (int j = 0; j < n; j++)
            to[i * n + j] = inside && x + j >= 0 && x + j < m->size[1]
                                ? base + (y + i) * m->row + (x + j) * m->pixel
                                : outside;
    }
}

/* Weights of some rows of a panel: to[weight][row][64], rows being the channels that products sum over. */
static void transform_weights(const winograd *k, const float *w, int64_t panel, int64_t from, int64_t end,
                              float *to) {
    enum { TAPS = 9, WIDEST = 16 };
    float taps[ROWS * TAPS * WIDEST] __attribute__((aligned(64)));
    const float *src[TAPS];
    float *dst[LVT_WINO_MOST];
    bool back = k->kind == BACKWARD, packed = k->w_step[1] == TAPS && k->w_step[2] == 3 && k->w_step[3] == 1;
    int lanes = k->code->lanes;
    int64_t row_step = k->w_step[!back], col_step = k->w_step[back],
            cols = least(k->out.channels - panel * PANEL, PANEL), tap[TAPS];
    for (int t = 0; t < TAPS; t++) {
        int turned = back ? TAPS - 1 - t : t;
        tap[t] = turned / 3 * k->w_step[2] + turned % 3 * k->w_step[3];
        src[t] = taps + t * lanes;
    }
    for (int64_t i = 0; i < k->weights; i++)
        dst[i] = to + (size_t)i * k->u_weight;
    for (int64_t first = from; first < end; first += ROWS) {
        int64_t n = least(end - first, ROWS);
        for (int64_t c = 0; c < cols; c += lanes) {
            const float *base = w + first * row_step + (panel * PANEL + c) * col_step;
            if (cols - c < lanes)
                memset(taps, 0, sizeof taps);
            int64_t outer = back ? n : least(lanes, cols - c), inner = back ? least(lanes, cols - c) : n;
            for (int64_t x = 0; x < outer && packed; x++) { /* as the weights lie: inputs inside outputs */
                const float *line = base + x * k->w_step[0];
                if (back) {
                    for (int64_t lane = 0; lane < inner; lane++)
                        for (int t = 0; t < TAPS; t++)
                            taps[(x * TAPS + TAPS - 1 - t) * lanes + lane] = line[lane * TAPS + t];
                } else {
                    for (int64_t i = 0; i < inner * TAPS; i++)
                        taps[i * lanes + x] = line[i];
                }
            }
            for (int64_t x = 0; x < outer && !packed; x++) {
                for (int64_t y = 0; y < inner; y++) {
                    int64_t row = back ? x : y, lane = back ? y : x;
                    for (int t = 0; t < TAPS; t++)
                        taps[(row * TAPS + t) * lanes + lane] =
                            base[row * row_step + lane * col_step + tap[t]];
                }
            }
            for (int64_t r = 0; r < n; r++)
                k->squares->weights(src, (size_t)(r * TAPS * lanes), dst, (size_t)((first + r) * PANEL + c),
                                    lanes, lanes);
        }
    }
}

/* Products of n tiles from the t-th kept one on with a panel's weights, and back to the image. */
static void multiply_block(const job *j, float *own, const float *u, int64_t first, int64_t t, int64_t n,
                           int64_t panel) {
    const winograd *k = j->k;
    const float *src[LVT_WINO_MOST];
    const float *dst[LVT_WINO_MOST];
    int p = k->shape->points;
    int64_t depth = k->in.channels, row = up(depth, BLOCK),
            cols = least(k->out.channels - panel * PANEL, PANEL);
    lvt_wino_square *back = k->kind == BACKWARD ? k->squares->back_out : k->squares->out;
    for (int i = 0; i < p * p; i++) {
        int w = k->shape->weight_of[i / p] * k->shape->weights + k->shape->weight_of[i % p];
        float *m = own + k->m + (size_t)i * k->m_point;
        for (int64_t c = 0; c < depth; c += INNER) {
            lvt_wino_product product = {.m = n,
                                        .n = up(cols, k->code->lanes),
                                        .k = least(depth - c, INNER),
                                        .a = own + k->v + (size_t)i * k->v_point + t * row + c,
                                        .b = u + (size_t)w * k->u_weight + c * PANEL,
                                        .c = m,
                                        .a_row = row,
                                        .a_col = 1,
                                        .b_row = PANEL,
                                        .c_row = PANEL,
                                        .add = c > 0};
            k->code->multiply(&product);
        }
        src[i] = m;
    }
    for (int64_t i = 0; i < n; i++) {
        find(&k->out, j->out + panel * PANEL, k->tiles, first + t + i, k->out_start, k->side.out_step,
             k->side.out, own + k->dump, dst);
        back(src, (size_t)(i * PANEL), (float *const *)dst, 0, PANEL, cols);
    }
}

/* ---- results, and gradients of images ---- */

static void weights_chunk(void *user, int64_t chunk, int thread) {
    const job *j = user;
    const winograd *k = j->k;
    int64_t blocks = up(k->in.channels, ROWS) / ROWS, panel = chunk / blocks, from = chunk % blocks * ROWS;
    (void)thread;
    transform_weights(k, j->second, panel, from, least(from + ROWS, k->in.channels),
                      j->shared + (size_t)panel * k->u_panel);
}

static void transform_weights_once(const job *j) {
    const winograd *k = j->k;
    lvt_parallel(k->threads, k->out.panels * (up(k->in.channels, ROWS) / ROWS), weights_chunk, (void *)j);
}

static void results_chunk(void *user, int64_t chunk, int thread) {
    const job *j = user;
    const winograd *k = j->k;
    float *own = j->own + (size_t)thread * k->own, *dst[LVT_WINO_MOST];
    const float *src[LVT_WINO_MOST];
    int64_t first = chunk / k->groups * k->range, end = least(first + k->range, k->n_tiles),
            group = chunk % k->groups, row = up(k->in.channels, BLOCK);
    lvt_wino_square *in = k->kind == BACKWARD ? k->squares->back_in : k->squares->in;
    memset(own + k->none, 0, (size_t)row * sizeof(float));
    for (int64_t i = 0; i < k->points; i++)
        dst[i] = own + k->v + (size_t)i * k->v_point;
    for (; first < end; first += k->span) {
        int64_t n = least(end - first, k->span);
        for (int64_t t = 0; t < n; t++) {
            find(&k->in, j->in, k->tiles, first + t, k->in_start, k->side.in_step, k->side.in, own + k->none,
                 src);
            in(src, 0, dst, (size_t)(t * row), k->in.channels, row);
        }
        for (int64_t panel = k->out.panels * group / k->groups;
             panel < k->out.panels * (group + 1) / k->groups; panel++) {
            const float *u = k->own_weights ? own + k->u : j->shared + (size_t)panel * k->u_panel;
            if (k->own_weights)
                transform_weights(k, j->second, panel, 0, k->in.channels, own + k->u);
            for (int64_t t = 0; t < n; t += BLOCK)
                multiply_block(j, own, u, first, t, least(n - t, BLOCK), panel);
        }
    }
}

static void run_results(lvt_kernel *base, void *const *operands, void *const *results, void *scratch) {
    winograd *k = (winograd *)base;
    job j = {
        k, operands[0], operands[1], results[0], k->kept ? k->kept : scratch, (float *)scratch + k->shared};
    if (!k->own_weights && !k->kept)
        transform_weights_once(&j);
    lvt_parallel(k->threads, k->ranges * k->groups, results_chunk, &j);
}

static void prepare(lvt_kernel *base, void *const *operands, void *scratch, void *kept) {
    winograd *k = (winograd *)base;
    (void)scratch;
    k->kept = kept;
    transform_weights_once(&(job){.k = k, .second = operands[1], .shared = kept});
}

/* ---- gradients of weights ---- */

/* Back to taps: of the sums' panel for channels q of results and c of images, at `sums` and, of further
 * parts, `step` floats further on; adds up the parts. */
static void write_taps(const job *j, const float *sums, int64_t parts, size_t step, int64_t q, int64_t c) {
    enum { TAPS = 9 };
    const winograd *k = j->k;
    float taps[TAPS * PANEL] __attribute__((aligned(64))), total[TAPS * PANEL] __attribute__((aligned(64))),
        *dst[TAPS];
    const float *src[LVT_WINO_MOST];
    int64_t n = least(k->in.channels - c * PANEL, PANEL);
    for (int64_t o = 0; o < least(k->out.channels - q * PANEL, PANEL); o++) {
        for (int64_t part = 0; part < parts; part++) {
            for (int64_t i = 0; i < k->weights; i++)
                src[i] = sums + (size_t)part * step + (size_t)i * k->d_weight;
            for (int t = 0; t < TAPS; t++)
                dst[t] = (part ? taps : total) + t * PANEL;
            k->squares->weights_adjoint(src, (size_t)(o * PANEL), dst, 0, n, n);
            for (int i = 0; part && i < TAPS * PANEL; i++)
                total[i] += taps[i];
        }
        float *to = j->out + (q * PANEL + o) * k->w_step[0] + c * PANEL * k->w_step[1];
        for (int64_t l = 0; l < n; l++)
            for (int t = 0; t < TAPS; t++)
                to[l * k->w_step[1] + t / 3 * k->w_step[2] + t % 3 * k->w_step[3]] = total[t * PANEL + l];
    }
}

/* Sums over n kept tiles for channels q of results and c of images, to[weight][64 of q][64 of c]. */
static void multiply_gradient(const winograd *k, float *own, int64_t n, int64_t q, int64_t c, bool add,
                              float *to) {
    bool begun[LVT_WINO_MOST] = {false};
    int p = k->shape->points;
    for (int i = 0; i < p * p; i++) {
        int w = k->shape->weight_of[i / p] * k->shape->weights + k->shape->weight_of[i % p];
        for (int64_t t = 0; t < n; t += INNER) {
            lvt_wino_product product = {.m = least(k->out.channels - q * PANEL, PANEL),
                                        .n = up(least(k->in.channels - c * PANEL, PANEL), k->code->lanes),
                                        .k = least(n - t, INNER),
                                        .a = own + k->z + (size_t)i * k->z_point + t * PANEL,
                                        .b = own + k->v + (size_t)i * k->v_point + (c * k->span + t) * PANEL,
                                        .c = to + (size_t)w * k->d_weight,
                                        .a_row = 1,
                                        .a_col = PANEL,
                                        .b_row = PANEL,
                                        .c_row = PANEL,
                                        .add = add || begun[w]};
            k->code->multiply(&product);
            begun[w] = true;
        }
    }
}

/* One part of the tiles, for some panels of the results' channels. */
static void gradient_chunk(void *user, int64_t chunk, int thread) {
    const job *j = user;
    const winograd *k = j->k;
    static const int64_t origin[2] = {0, 0};
    float *own = j->own + (size_t)thread * k->own, *dst[LVT_WINO_MOST];
    const float *src[LVT_WINO_MOST];
    int64_t part = chunk / k->groups, group = chunk % k->groups, begin = part * k->range,
            end = least(begin + k->range, k->n_tiles);
    float *sums = j->shared + (size_t)(part * k->in.panels * k->out.panels) * k->d_panel;
    memset(own + k->none, 0,
           (size_t)(k->in.panels > k->out.panels ? k->in.panels : k->out.panels) * PANEL * sizeof(float));
    for (int64_t first = begin; first < end; first += k->span) {
        int64_t n = least(end - first, k->span);
        for (int64_t t = 0; t < n; t++) {
            find(&k->in, j->in, k->tiles, first + t, k->in_start, k->side.in_step, k->side.in, own + k->none,
                 src);
            for (int64_t c = 0; c < k->in.panels; c++) {
                for (int64_t i = 0; i < k->points; i++)
                    dst[i] = own + k->v + (size_t)i * k->v_point + c * k->span * PANEL;
                k->squares->in(src, (size_t)(c * PANEL), dst, (size_t)(t * PANEL), k->in.channels - c * PANEL,
                               PANEL);
            }
        }
        for (int64_t q = k->out.panels * group / k->groups; q < k->out.panels * (group + 1) / k->groups;
             q++) {
            for (int64_t i = 0; i < k->points; i++)
                dst[i] = own + k->z + (size_t)i * k->z_point;
            for (int64_t t = 0; t < n; t++) {
                find(&k->out, j->second, k->tiles, first + t, origin, k->shape->tile, k->shape->tile,
                     own + k->none, src);
                k->squares->adjoint(src, (size_t)(q * PANEL), dst, (size_t)(t * PANEL),
                                    k->out.channels - q * PANEL, PANEL);
            }
            for (int64_t c = 0; c < k->in.panels; c++) {
                float *to = k->own_sums ? own + k->d : sums + (size_t)(q * k->in.panels + c) * k->d_panel;
                multiply_gradient(k, own, n, q, c, first > begin, to);
                if (k->own_sums)
                    write_taps(j, to, 1, 0, q, c);
            }
        }
    }
}

static void taps_chunk(void *user, int64_t chunk, int thread) {
    const job *j = user;
    const winograd *k = j->k;
    int64_t panels = k->in.panels * k->out.panels;
    (void)thread;
    write_taps(j, j->shared + (size_t)chunk * k->d_panel, k->ranges, (size_t)panels * k->d_panel,
               chunk / k->in.panels, chunk % k->in.panels);
}

static void run_gradient(lvt_kernel *base, void *const *operands, void *const *results, void *scratch) {
    winograd *k = (winograd *)base;
    job j = {k, operands[1], operands[0], results[0], scratch, (float *)scratch + k->shared};
    lvt_parallel(k->threads, k->ranges * k->groups, gradient_chunk, &j);
    if (!k->own_sums)
        lvt_parallel(k->threads, k->in.panels * k->out.panels, taps_chunk, &j);
}

/* ---- making ---- */

static void free_kernel(lvt_kernel *base) {
    free(base);
}

static bool image_of(const lvt_view *v, image *m) {
    const int64_t *d = v->type.dim, *s = v->strides;
    *m = (image){{d[1], d[2]}, d[3], up(d[3], PANEL) / PANEL, s[0], s[1], s[2]};
    return s[3] == 1 || d[3] == 1;
}

/* The one that multiplies less. */
static lvt_wino_algorithm algorithm_for(int64_t stride, const int64_t *results) {
    if (stride == 1)
        return LVT_WINO_S1M4;
    int64_t four = 81 * (up(results[0], 4) / 4) * (up(results[1], 4) / 4),
            two = 25 * (up(results[0], 2) / 2) * (up(results[1], 2) / 2);
    return four <= two ? LVT_WINO_S2M4 : LVT_WINO_S2M2;
}

static void place_tiles(winograd *k, const lvt_window *window, int64_t images) {
    k->n_tiles = images;
    for (int d = 0; d < 2; d++) {
        int64_t before = window->padding[d];
        if (k->kind != BACKWARD) {
            k->in_start[d] = -before;
        } else if (k->shape->stride == 1) {
            k->in_start[d] = before - 2;
        } else { /* dx[2 j - 1 - before], dx[2 j - before], .. are made of dy[j - 1], dy[j], ..: the first
                    such j */
            k->out_start[d] = before % 2 ? 0 : -1;
            k->in_start[d] = (k->out_start[d] + 1 + before) / 2 - 1;
        }
        k->tiles[d] = up(k->out.size[d] - k->out_start[d], k->side.out_step) / k->side.out_step;
        k->n_tiles *= k->tiles[d];
    }
}

static size_t take(size_t *total, int64_t n) {
    size_t at = *total;
    *total += (size_t)up(n, EDGE) + EDGE;
    return at;
}

static void divide_results(winograd *k, bool steady) {
    int64_t row = up(k->in.channels, BLOCK), tile = k->points * row * 4;
    double weights = 4.0 * (double)(k->weights * row * k->out.panels * PANEL);
    k->span = (int64_t)(SPAN / (double)tile) / BLOCK * BLOCK;
    k->span = k->span < BLOCK ? BLOCK : k->span;
    k->span = least(k->span, up((k->n_tiles + k->threads - 1) / k->threads, BLOCK));
    bool whole = (double)(tile * k->n_tiles) <= WHOLE && k->out.panels % k->threads == 0 &&
                 (weights > SHARED || k->n_tiles < 2 * k->threads * k->span);
    if (whole) {
        k->groups = k->threads;
        k->span = k->n_tiles;
    }
    k->own_weights = whole && !steady;
    k->range = k->span;
    k->ranges = (k->n_tiles + k->range - 1) / k->range;
    k->v_point = (size_t)(k->span * row + EDGE);
    k->m_point = BLOCK * PANEL + EDGE;
    k->u_weight = (size_t)(k->in.channels * PANEL + EDGE);
    k->u_panel = (size_t)k->weights * k->u_weight;
    k->v = take(&k->own, k->points * (int64_t)k->v_point);
    k->m = take(&k->own, k->points * (int64_t)k->m_point);
    k->none = take(&k->own, row);
    k->dump = take(&k->own, PANEL);
    if (k->own_weights)
        k->u = take(&k->own, (int64_t)k->u_panel);
    else if (steady)
        k->base.kept_bytes = (size_t)k->out.panels * k->u_panel * sizeof(float);
    else
        k->shared = (size_t)k->out.panels * k->u_panel;
    k->base.run = run_results;
    k->base.prepare = k->base.kept_bytes ? prepare : NULL;
}

static void divide_gradient(winograd *k) {
    int64_t tile = k->points * k->in.panels * PANEL * 4, panels = k->in.panels * k->out.panels;
    k->d_weight = PANEL * PANEL + EDGE;
    k->d_panel = (size_t)k->weights * k->d_weight;
    int64_t parts = (int64_t)(PARTS / ((double)k->d_panel * 4 * (double)panels)), most = k->n_tiles / 32;
    parts = parts > most ? most : parts;
    parts = parts > 8 ? 8 : parts < 1 ? 1 : parts;
    k->range = (k->n_tiles + parts - 1) / parts;
    k->ranges = (k->n_tiles + k->range - 1) / k->range;
    k->groups = least((k->threads + k->ranges - 1) / k->ranges, k->out.panels);
    k->own_sums = k->ranges == 1 && (double)(tile * k->n_tiles) <= WHOLE;
    k->span = (int64_t)(GRADIENT / (double)tile) / BLOCK * BLOCK;
    k->span = k->own_sums ? k->n_tiles : least(k->span < BLOCK ? BLOCK : k->span, least(k->range, INNER));
    k->v_point = (size_t)(k->in.panels * k->span * PANEL + EDGE);
    k->z_point = (size_t)(k->span * PANEL + EDGE);
    k->v = take(&k->own, k->points * (int64_t)k->v_point);
    k->z = take(&k->own, k->points * (int64_t)k->z_point);
    k->none = take(&k->own, (k->in.panels > k->out.panels ? k->in.panels : k->out.panels) * PANEL);
    if (k->own_sums)
        k->d = take(&k->own, (int64_t)k->d_panel);
    else
        k->shared = (size_t)(k->ranges * panels) * k->d_panel;
    k->base.run = run_gradient;
}

lvt_status lvt_winograd_make(const lvt_kernel_request *r, lvt_kernel **out) {
    const lvt_node *n = &r->graph->nodes[r->node];
    *out = NULL;
    winograd *k = calloc(1, sizeof *k);
    if (!k)
        return LVT_NOMEM;
    k->base.free = free_kernel;
    k->base.variant = LVT_VARIANT_OWN_WINOGRAD;
    k->kind = n->op == LVT_OP_conv2d ? FORWARD : n->op == LVT_OP_conv2d_grad_input ? BACKWARD : WEIGHT;
    k->threads = r->threads;
    k->groups = 1;
    k->code = lvt_wino_code_host();
    const lvt_view *w = k->kind == WEIGHT ? &r->results[0] : &r->operands[1];
    bool fits = image_of(&r->operands[k->kind == WEIGHT], &k->in) &&
                image_of(k->kind == WEIGHT ? &r->operands[0] : &r->results[0], &k->out);
    if (!fits) {
        free(k);
        return LVT_OK;
    }
    lvt_window window = lvt_window_of(n);
    lvt_wino_algorithm a = algorithm_for(window.stride[0], k->kind == BACKWARD ? k->in.size : k->out.size);
    k->shape = &shapes[a];
    k->squares = &k->code->squares[a];
    k->side = k->kind == BACKWARD ? k->shape->backward : k->shape->forward;
    k->points = k->shape->points * k->shape->points;
    k->weights = k->shape->weights * k->shape->weights;
    memcpy(k->w_dims, w->type.dim, sizeof k->w_dims);
    memcpy(k->w_step, w->strides, sizeof k->w_step);
    place_tiles(k, &window, r->operands[0].type.dim[0]);
    if (k->kind == WEIGHT)
        divide_gradient(k);
    else
        divide_results(k, r->steady && r->steady[1]);
    k->base.scratch_bytes = (k->shared + (size_t)k->threads * k->own) * sizeof(float);
    *out = &k->base;
    return LVT_OK;
}
