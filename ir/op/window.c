/* Matrix products and sliding windows: the loops under matmul, convolutions and pools.
 *
 * Invariant: every result element adds its terms in one fixed order. Written so that a whole training step
 * runs in seconds: the oracle must be usable, not fast. May not know: graphs. */
#include "common.h"

#include <string.h>

typedef double pair __attribute__((vector_size(16)));

static pair load(const double *p) {
    pair v;
    memcpy(&v, p, sizeof v);
    return v;
}

static void add_to(double *p, pair v) {
    v += load(p);
    memcpy(p, &v, sizeof v);
}

/* Four rows by four columns in registers. */
static void gemm_4x4(int64_t k, const double *a, int64_t a_row, int64_t a_col, const double *b, int64_t b_row,
                     double *c, int64_t c_row) {
    pair sum[4][2] = {{{0}}};
    for (int64_t p = 0; p < k; p++, a += a_col, b += b_row) {
        pair b0 = load(b), b1 = load(b + 2);
        for (int i = 0; i < 4; i++) {
            pair x = {a[i * a_row], a[i * a_row]};
            sum[i][0] += x * b0;
            sum[i][1] += x * b1;
        }
    }
    for (int i = 0; i < 4; i++) {
        add_to(c + i * c_row, sum[i][0]);
        add_to(c + i * c_row + 2, sum[i][1]);
    }
}

static void gemm_edge(int64_t m, int64_t n, int64_t k, const double *a, int64_t a_row, int64_t a_col,
                      const double *b, int64_t b_row, double *c, int64_t c_row) {
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t p = 0; p < k; p++)
                sum += a[i * a_row + p * a_col] * b[p * b_row + j];
            c[i * c_row + j] += sum;
        }
}

void lvt_gemm(int64_t m, int64_t n, int64_t k, const double *a, int64_t a_row, int64_t a_col, const double *b,
              int64_t b_row, double *c, int64_t c_row) {
    int64_t m4 = m & ~(int64_t)3, n4 = n & ~(int64_t)3;
    for (int64_t j = 0; j < n4; j += 4)
        for (int64_t i = 0; i < m4; i += 4)
            gemm_4x4(k, a + i * a_row, a_row, a_col, b + j, b_row, c + i * c_row + j, c_row);
    gemm_edge(m, n - n4, k, a, a_row, a_col, b + n4, b_row, c + n4, c_row);
    gemm_edge(m - m4, n4, k, a + m4 * a_row, a_row, a_col, b, b_row, c + m4 * c_row, c_row);
}

/* ---- windows ---- */

static lvt_status check_list(lvt_infer *c, const char *name, unsigned lengths, int64_t low) {
    const lvt_attr *a = lvt_attr_get(c->node, name);
    char text[64];
    if (!a || a->kind != LVT_ATTR_INTS)
        return LVT_OK;
    if (a->n > 4 || !(lengths >> a->n & 1))
        return lvt_infer_error(c, "E206", "%s must be one number or a list of %s, not %s", name,
                               lengths >> 4 & 1 ? "2 or 4" : "2", lvt_ints_text(a, text, sizeof text));
    for (uint32_t i = 0; i < a->n; i++)
        if (a->ints[i] < low || a->ints[i] > INT32_MAX)
            return lvt_infer_error(c, "E207", "%s must be %lld or more, not %lld", name, (long long)low,
                                   (long long)a->ints[i]);
    return LVT_OK;
}

/* Checks list lengths and ranges of stride, padding, dilation, groups, kernel. */
static lvt_status want_window(lvt_infer *c, lvt_window *w) {
    /* Bit n: a list of n numbers is right; an empty one is a default, which a kernel does not have. */
    LVT_TRY(check_list(c, "kernel", 6, 1));
    LVT_TRY(check_list(c, "stride", 7, 1));
    LVT_TRY(check_list(c, "padding", 23, 0));
    LVT_TRY(check_list(c, "dilation", 7, 1));
    *w = lvt_window_of(c->node);
    if (w->groups < 1)
        return lvt_infer_error(c, "E207", "groups must be 1 or more, not %lld", (long long)w->groups);
    return LVT_OK;
}

lvt_status lvt_want_conv(lvt_infer *c, lvt_window *w) {
    LVT_TRY(want_window(c, w));
    LVT_TRY(lvt_want_float(c, 0));
    LVT_TRY(lvt_want_same_dtype(c));
    LVT_TRY(lvt_want_rank(c, 0, 4, 4));
    return lvt_want_rank(c, 1, 4, 4);
}

lvt_status lvt_want_conv_size(lvt_infer *c, const lvt_window *w, int d, int64_t x, int64_t kernel,
                              int64_t y) {
    if (x >= 1 && x <= LVT_MAX_DIM && lvt_window_out(w, d, x, kernel) == y)
        return LVT_OK;
    return lvt_infer_error(c, "E204", "an image of %s %lld does not give a result of %lld",
                           d ? "width" : "height", (long long)x, (long long)y);
}

int64_t lvt_window_out(const lvt_window *w, int d, int64_t size, int64_t kernel) {
    int64_t span = size + w->padding[d] + w->padding[d + 2] - w->dilation[d] * (kernel - 1) - 1;
    return span < 0 ? 0 : span / w->stride[d] + 1;
}

/* The results ox in *low..*high-1 whose tap k along dim d lies inside 0..size-1; the first tap position is
 * ox * stride - padding + k * dilation. */
static void window_range(const lvt_window *w, int d, int64_t size, int64_t out, int64_t k, int64_t *low,
                         int64_t *high) {
    int64_t first = k * w->dilation[d] - w->padding[d], s = w->stride[d];
    *low = first >= 0 ? 0 : (-first + s - 1) / s;
    *high = size - first <= 0 ? 0 : (size - first - 1) / s + 1;
    if (*high > out)
        *high = out;
    if (*low > *high)
        *low = *high;
}

/* One tap (ky, kx) of one group: products of rows of the image with the tap's slice of the weight. `tap` is
 * [C/groups, O/groups], or [O/groups, C/groups] for the gradient of the input. */
static void run_tap(const lvt_conv *c, lvt_conv_what what, int64_t group, int64_t ky, int64_t kx,
                    double *tap) {
    const lvt_window *w = &c->window;
    const int64_t *x = c->x_type->dim, *y = c->y_type->dim;
    int64_t channels = x[3] / w->groups, outs = y[3] / w->groups, y0, y1, x0, x1;
    window_range(w, 0, x[1], y[1], ky, &y0, &y1);
    window_range(w, 1, x[2], y[2], kx, &x0, &x1);
    if (x0 == x1)
        return;
    for (int64_t image = 0; image < x[0]; image++)
        for (int64_t oy = y0; oy < y1; oy++) {
            int64_t iy = oy * w->stride[0] + ky * w->dilation[0] - w->padding[0];
            int64_t ix = x0 * w->stride[1] + kx * w->dilation[1] - w->padding[1], step = w->stride[1] * x[3];
            double *in = c->x + ((image * x[1] + iy) * x[2] + ix) * x[3] + group * channels;
            double *out = c->y + ((image * y[1] + oy) * y[2] + x0) * y[3] + group * outs;
            if (what == LVT_CONV_FORWARD)
                lvt_gemm(x1 - x0, outs, channels, in, step, 1, tap, outs, out, y[3]);
            else if (what == LVT_CONV_INPUT)
                lvt_gemm(x1 - x0, channels, outs, out, y[3], 1, tap, channels, in, step);
            else
                lvt_gemm(channels, outs, x1 - x0, in, 1, step, out, y[3], tap, outs);
        }
}

/* Gathers the tap's weights, or writes back their gradients. */
static void move_tap(const lvt_conv *c, lvt_conv_what what, int64_t group, int64_t t, double *tap) {
    const int64_t *w = c->w_type->dim;
    int64_t outs = w[0] / c->window.groups, channels = w[1], taps = w[2] * w[3];
    for (int64_t o = 0; o < outs; o++)
        for (int64_t i = 0; i < channels; i++) {
            double *weight = &c->w[((group * outs + o) * channels + i) * taps + t];
            double *element = &tap[what == LVT_CONV_INPUT ? o * channels + i : i * outs + o];
            if (what == LVT_CONV_WEIGHT)
                *weight = *element;
            else
                *element = *weight;
        }
}

lvt_status lvt_conv_run(const lvt_conv *c, lvt_conv_what what, lvt_arena *arena) {
    const int64_t *w = c->w_type->dim;
    size_t tap_bytes = (size_t)(w[0] / c->window.groups * w[1]) * sizeof(double);
    double *tap = lvt_arena_alloc(arena, tap_bytes);
    if (!tap)
        return LVT_NOMEM;
    if (what == LVT_CONV_FORWARD)
        memset(c->y, 0, (size_t)lvt_numel(c->y_type) * sizeof *c->y);
    else if (what == LVT_CONV_INPUT)
        memset(c->x, 0, (size_t)lvt_numel(c->x_type) * sizeof *c->x);
    for (int64_t group = 0; group < c->window.groups; group++)
        for (int64_t t = 0; t < w[2] * w[3]; t++) {
            if (what == LVT_CONV_WEIGHT)
                memset(tap, 0, tap_bytes);
            else
                move_tap(c, what, group, t, tap);
            run_tap(c, what, group, t / w[3], t % w[3], tap);
            if (what == LVT_CONV_WEIGHT)
                move_tap(c, what, group, t, tap);
        }
    return LVT_OK;
}

lvt_cost lvt_pool_cost(const lvt_node *n, const lvt_type *operands, const lvt_type *results,
                       const lvt_type *pooled) {
    lvt_window w = lvt_window_of(n);
    double bytes = (double)lvt_type_bytes(&results[0]);
    for (uint32_t i = 0; i < n->n_operands; i++)
        bytes += (double)lvt_type_bytes(&operands[i]);
    return (lvt_cost){(double)(w.kernel[0] * w.kernel[1]) * (double)lvt_numel(pooled), bytes};
}

lvt_status lvt_pool_infer(lvt_infer *c, lvt_type x, lvt_type *y) {
    lvt_window w;
    LVT_TRY(want_window(c, &w));
    *y = x;
    for (int d = 0; d < 2; d++) {
        y->dim[1 + d] = lvt_window_out(&w, d, x.dim[1 + d], w.kernel[d]);
        if (y->dim[1 + d] < 1)
            return lvt_infer_error(c, "E207", "kernel %lld does not fit into %s %lld", (long long)w.kernel[d],
                                   d ? "width" : "height", (long long)x.dim[1 + d]);
        /* A window that lies in the padding alone has no maximum and no average. */
        if (w.padding[d] >= w.kernel[d] || w.padding[d + 2] >= w.kernel[d])
            return lvt_infer_error(c, "E207", "padding must be smaller than the kernel, %lld",
                                   (long long)w.kernel[d]);
    }
    return LVT_OK;
}

/* The part of the window of result i that lies in the image: rows y0..y1-1, columns x0..x1-1; first element
 * of that image and channel. */
typedef struct part {
    int64_t y0, y1, x0, x1, base;
} part;

static part part_of(const lvt_window *w, const int64_t *x, const int64_t *y, int64_t i) {
    int64_t channel = i % y[3], at[2] = {i / (y[3] * y[2]) % y[1], i / y[3] % y[2]}, low[2], high[2];
    for (int d = 0; d < 2; d++) {
        low[d] = at[d] * w->stride[d] - w->padding[d];
        high[d] = low[d] + w->kernel[d] < x[1 + d] ? low[d] + w->kernel[d] : x[1 + d];
        low[d] = low[d] < 0 ? 0 : low[d];
    }
    return (part){low[0], high[0], low[1], high[1], i / (y[1] * y[2] * y[3]) * x[1] * x[2] * x[3] + channel};
}

int64_t lvt_pool_max(const lvt_window *w, const lvt_type *x_type, const lvt_type *y_type, const double *x,
                     int64_t i) {
    part p = part_of(w, x_type->dim, y_type->dim, i);
    int64_t best = -1;
    for (int64_t iy = p.y0; iy < p.y1; iy++)
        for (int64_t ix = p.x0; ix < p.x1; ix++) {
            int64_t at = p.base + (iy * x_type->dim[2] + ix) * x_type->dim[3];
            if (best < 0 || lvt_exceeds(x[at], x[best]))
                best = at;
        }
    return best;
}

void lvt_pool_mean(const lvt_window *w, bool include_padding, const lvt_type *x_type, const lvt_type *y_type,
                   double *x, double *y, bool reverse) {
    int64_t n = lvt_numel(y_type);
    for (int64_t i = 0; i < n; i++) {
        part p = part_of(w, x_type->dim, y_type->dim, i);
        double count =
                   (double)(include_padding ? w->kernel[0] * w->kernel[1] : (p.y1 - p.y0) * (p.x1 - p.x0)),
               sum = 0;
        for (int64_t iy = p.y0; iy < p.y1; iy++)
            for (int64_t ix = p.x0; ix < p.x1; ix++) {
                int64_t at = p.base + (iy * x_type->dim[2] + ix) * x_type->dim[3];
                if (reverse)
                    x[at] += y[i] / count;
                else
                    sum += x[at];
            }
        if (!reverse)
            y[i] = sum / count;
    }
}
