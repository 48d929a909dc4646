/* Imported windows: their attributes, and the pools. May not know: files. */
#include "importer.h"

#include <math.h>
#include <string.h>

/* Number d of attribute `name` of `spatial` numbers; `or` where it is missing. */
static bool number(lvt_importer *im, const char *name, int spatial, int d, int64_t or, int64_t *out) {
    int64_t given[3];
    int n = lvt_im_ints(im, name, 3, given);
    if (n == -1 || (n >= 0 && n != spatial))
        return lvt_im_no(im, "attribute %s does not fit its input", name);
    *out = n >= 0 ? given[d] : or ;
    return (*out >= 1 && *out <= 1 << 20) || lvt_im_no(im, "attribute %s cannot be used", name);
}

bool lvt_im_reach_of(lvt_importer *im, int spatial, int d, int64_t size, int64_t kernel, bool transposed,
                     lvt_im_reach *r) {
    int64_t pads[6];
    const char *automatic = lvt_im_string(im, "auto_pad", "NOTSET");
    int n = lvt_im_ints(im, "pads", 6, pads);
    if (spatial < 1 || spatial > 3)
        return lvt_im_no(im, "%d spatial dimensions are not supported", spatial);
    if (!number(im, "kernel_shape", spatial, d, kernel, &r->kernel) ||
        !number(im, "strides", spatial, d, 1, &r->stride) ||
        !number(im, "dilations", spatial, d, 1, &r->dilation))
        return false;
    if (n == -1 || (n >= 0 && n != 2 * spatial))
        return lvt_im_no(im, "attribute pads does not fit its input");
    r->before = n >= 0 ? pads[d] : 0;
    r->after = n >= 0 ? pads[d + spatial] : 0;
    r->more = 0;
    int64_t reach = (r->kernel - 1) * r->dilation + 1;
    if (!strncmp(automatic, "SAME", 4)) {
        int64_t out = (size + r->stride - 1) / r->stride;
        int64_t all = transposed ? reach - r->stride : (out - 1) * r->stride + reach - size;
        all = all > 0 ? all : 0;
        r->before = !strcmp(automatic, "SAME_UPPER") ? all / 2 : all - all / 2;
        r->after = all - r->before;
    } else if (!strcmp(automatic, "VALID")) {
        r->before = r->after = 0;
    }
    if (r->before < 0 || r->after < 0 || r->before > 1 << 20 || r->after > 1 << 20)
        return lvt_im_no(im, "attribute pads cannot be used");
    int64_t whole = size + r->before + r->after - reach;
    if (!transposed && whole >= 0 && lvt_im_int(im, "ceil_mode", 0)) {
        /* One more window where some of the image is left; it begins before the padding at the end does. */
        int64_t out = (whole + r->stride - 1) / r->stride;
        if (out * r->stride < size + r->before && out * r->stride > whole)
            r->more = out * r->stride - whole;
    }
    return true;
}

bool lvt_im_window_of(lvt_importer *im, const lvt_type *x, const int64_t *kernel, bool transposed,
                      lvt_im_window *w) {
    int spatial = x->rank - 2;
    *w = (lvt_im_window){.kernel = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}, .flat = spatial == 1};
    if (spatial < 1 || spatial > 2)
        return lvt_im_no(im, "%d spatial dimensions are not supported", spatial);
    for (int d = 0; d < spatial; d++) {
        lvt_im_reach r;
        int e = d + 2 - spatial;
        if (!lvt_im_reach_of(im, spatial, d, x->dim[2 + d], kernel ? kernel[d] : 0, transposed, &r))
            return false;
        w->kernel[e] = r.kernel;
        w->stride[e] = r.stride;
        w->dilation[e] = r.dilation;
        w->padding[e] = r.before;
        w->padding[e + 2] = r.after;
        w->more[e] = r.more;
    }
    return true;
}

lvt_value lvt_im_lift(lvt_importer *im, lvt_value x, bool flat) {
    lvt_type t = lvt_im_type(im, x);
    return flat ? lvt_build_reshape(&im->b, x, 4, (int64_t[]){t.dim[0], t.dim[1], 1, t.dim[2]}) : x;
}
lvt_value lvt_im_sink(lvt_importer *im, lvt_value x, bool flat) {
    lvt_type t = lvt_im_type(im, x);
    return flat ? lvt_build_reshape(&im->b, x, 3, (int64_t[]){t.dim[0], t.dim[1], t.dim[3]}) : x;
}

lvt_value lvt_im_channels(lvt_importer *im, lvt_value v, int rank) {
    lvt_type t = lvt_im_type(im, v);
    int64_t dims[LVT_MAX_RANK] = {t.dim[0], 1, 1, 1, 1};
    return t.rank == 1 && rank >= 2 ? lvt_build_reshape(&im->b, v, rank - 1, dims) : v;
}

enum { MAX, MEAN, NORM };

/* x [B,C,H,W] */
static lvt_value pool_image(lvt_importer *im, lvt_value x, lvt_im_window w, bool include) {
    int64_t count = w.kernel[0] * w.kernel[1];
    double p = (double)lvt_im_int(im, "p", 2);
    bool mean = lvt_im_code(im) != MAX;
    x = lvt_im_last(im, x);
    if (lvt_im_code(im) == NORM) {
        x = lvt_im1(im, LVT_OP_abs, x);
        x = p == 1 ? x : p == 2 ? lvt_im1(im, LVT_OP_square, x) : lvt_imk(im, LVT_OP_pow, x, p);
        include = true;
    }
    bool beyond = w.more[0] || w.more[1];
    if (beyond && mean && include) { /* what the last window has beyond the padding counts nowhere */
        for (int d = 0; d < 2; d++) {
            x = lvt_im_pad(im, x, 1 + d, w.padding[d], w.padding[d + 2], 0);
            w.padding[d] = w.padding[d + 2] = 0;
        }
        include = lvt_im_code(im) == NORM;
    }
    for (int d = 0; d < 2; d++)
        w.padding[d + 2] += w.more[d];
    lvt_named_attr a[] = {{"kernel", lvt_attr_ints(w.kernel, 2)},
                          {"stride", lvt_attr_ints(w.stride, 2)},
                          {"padding", lvt_attr_ints(w.padding, 4)},
                          {"include_padding", lvt_attr_bool(include)}};
    x = lvt_build(&im->b, mean ? LVT_OP_avg_pool2d : LVT_OP_max_pool2d, 1, &x, mean ? 4 : 3, a);
    if (lvt_im_code(im) == NORM) {
        x = lvt_imk(im, LVT_OP_mul, x, (double)count);
        x = lvt_im_root(im, x, p);
    }
    return lvt_im_second(im, x);
}

/* Element (ky, kx) of all windows over x [B,C,H,W] at once. */
static lvt_value tap(lvt_importer *im, lvt_value x, const lvt_im_window *w, const int64_t *at,
                     const int64_t *out, double outside) {
    for (int d = 0; d < 2; d++) {
        int64_t begin = at[d] * w->dilation[d];
        lvt_named_attr a[] = {{"axis", lvt_attr_int(2 + d)},
                              {"begin", lvt_attr_int(begin)},
                              {"end", lvt_attr_int(begin + (out[d] - 1) * w->stride[d] + 1)},
                              {"step", lvt_attr_int(w->stride[d])}};
        x = lvt_im_pad(im, x, 2 + d, w->padding[d], w->padding[d + 2] + w->more[d], outside);
        x = lvt_build(&im->b, LVT_OP_slice, 1, &x, 4, a);
    }
    return x;
}

/* The largest element and, for output 1, its place in the flat input, element by element of the window. */
static bool max_by_taps(lvt_importer *im, lvt_value x, const lvt_im_window *w) {
    lvt_type t = lvt_im_type(im, x);
    int64_t out[2], at[2];
    bool columns = lvt_im_int(im, "storage_order", 0);
    lvt_value best = LVT_NONE, place = LVT_NONE, index = LVT_NONE;
    if (w->kernel[0] > 256 || w->kernel[1] > 256 || w->kernel[0] * w->kernel[1] > 256)
        return lvt_im_no(im, "windows of more than 256 elements with dilation or indices are not supported");
    for (int d = 0; d < 2; d++) {
        int64_t left = t.dim[2 + d] + w->padding[d] + w->padding[d + 2] + w->more[d] -
                       ((w->kernel[d] - 1) * w->dilation[d] + 1);
        if (left < 0)
            return lvt_im_no(im, "its window is larger than its input");
        out[d] = left / w->stride[d] + 1;
    }
    int64_t step[] = {t.dim[1] * t.dim[2] * t.dim[3], t.dim[2] * t.dim[3], columns ? 1 : t.dim[3],
                      columns ? t.dim[2] : 1};
    for (int i = 0; i < 4 && im->n->n_output > 1; i++) {
        lvt_value k = lvt_imk(im, LVT_OP_mul, lvt_im_iota(im, t.rank, t.dim, i), (double)step[i]);
        index = i ? lvt_im2(im, LVT_OP_add, index, k) : k;
    }
    for (at[0] = 0; at[0] < w->kernel[0]; at[0]++)
        for (at[1] = 0; at[1] < w->kernel[1]; at[1]++) {
            lvt_value v = tap(im, x, w, at, out, -INFINITY);
            lvt_value p = index != LVT_NONE ? tap(im, index, w, at, out, 0) : LVT_NONE;
            if (best != LVT_NONE && p != LVT_NONE)
                p = lvt_build_select(&im->b,
                                     lvt_im2(im, LVT_OP_or, lvt_im2(im, LVT_OP_gt, v, best),
                                             lvt_im2(im, LVT_OP_ne, v, v)), /* as PyTorch: the last NaN */
                                     p, place);
            best = best == LVT_NONE
                       ? v
                       : lvt_im2(im, LVT_OP_max, v, best); /* at ties the first keeps the gradient */
            place = p;
            if (best == LVT_NONE)
                return false;
        }
    im->out[1] = lvt_im_sink(im, place, w->flat);
    return lvt_im_out(im, best);
}

static bool pool(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0);
    lvt_type t = lvt_im_type(im, x);
    bool max = lvt_im_code(im) == MAX, include = lvt_im_int(im, "count_include_pad", 0);
    lvt_im_window w;
    if (max && !lvt_dtype_is_float((lvt_dtype)t.dtype) && x != LVT_NONE)
        x = lvt_build_cast(&im->b, x, LVT_F64);
    if (t.rank == 5) { /* height and width of each slice, then depth; counts of elements are products */
        lvt_im_reach r;
        w = (lvt_im_window){.flat = false};
        for (int d = 1; d < 3; d++) {
            if (!lvt_im_reach_of(im, 3, d, t.dim[2 + d], 0, false, &r))
                return false;
            w.kernel[d - 1] = r.kernel, w.stride[d - 1] = r.stride, w.dilation[d - 1] = r.dilation;
            w.padding[d - 1] = r.before, w.padding[d + 1] = r.after, w.more[d - 1] = r.more;
        }
        if (!lvt_im_reach_of(im, 3, 0, t.dim[2], 0, false, &r))
            return false;
        if (im->n->n_output > 1 || w.dilation[0] != 1 || w.dilation[1] != 1 || r.dilation != 1)
            return lvt_im_no(im, "indices and dilations of three spatial dimensions are not supported");
        x = lvt_build_reshape(&im->b, x, 4,
                              (int64_t[]){t.dim[0] * t.dim[1] * t.dim[2], 1, t.dim[3], t.dim[4]});
        x = pool_image(im, x, w, include);
        lvt_type u = lvt_im_type(im, x);
        x = lvt_build_reshape(&im->b, x, 4,
                              (int64_t[]){t.dim[0] * t.dim[1], 1, t.dim[2], u.dim[2] * u.dim[3]});
        lvt_im_window deep = {.kernel = {r.kernel, 1},
                              .stride = {r.stride, 1},
                              .dilation = {1, 1},
                              .padding = {r.before, 0, r.after, 0},
                              .more = {r.more, 0}};
        x = pool_image(im, x, deep, include);
        int64_t depth = lvt_im_type(im, x).dim[2], dims[] = {t.dim[0], t.dim[1], depth, u.dim[2], u.dim[3]};
        x = x == LVT_NONE ? x : lvt_build_reshape(&im->b, x, 5, dims);
        return lvt_im_out(im, x == LVT_NONE ? x : lvt_build_cast(&im->b, x, (lvt_dtype)t.dtype));
    }
    if (!lvt_im_window_of(im, &t, NULL, false, &w))
        return false;
    x = lvt_im_lift(im, x, w.flat);
    if (im->n->n_output > 1 || w.dilation[0] != 1 || w.dilation[1] != 1) {
        if (!max)
            return lvt_im_no(im, "dilations of this pool are not supported");
        if (!max_by_taps(im, x, &w))
            return false;
        x = im->out[0];
    } else {
        x = pool_image(im, x, w, include);
    }
    x = lvt_im_sink(im, x, w.flat);
    return lvt_im_out(im, x == LVT_NONE ? x : lvt_build_cast(&im->b, x, (lvt_dtype)t.dtype));
}

static bool global_pool(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0);
    int64_t axes[LVT_MAX_RANK];
    int rank = lvt_im_type(im, x).rank, code = lvt_im_code(im);
    double p = (double)lvt_im_int(im, "p", 2);
    for (int i = 2; i < rank; i++)
        axes[i - 2] = i;
    if (rank < 3)
        return lvt_im_no(im, "its input has no spatial dimension");
    if (code == NORM)
        x = lvt_imk(im, LVT_OP_pow, lvt_im1(im, LVT_OP_abs, x), p);
    x = lvt_build_reduce(&im->b,
                         code == MAX    ? LVT_OP_reduce_max
                         : code == MEAN ? LVT_OP_reduce_mean
                                        : LVT_OP_reduce_sum,
                         x, rank - 2, axes, true);
    return lvt_im_out(im, code == NORM ? lvt_im_root(im, x, p) : x);
}

/* Each element goes to the place that MaxPool has said; all others are 0. */
static bool unpool(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0), index = lvt_im_in(im, 1);
    lvt_type t = lvt_im_type(im, x), y = t;
    lvt_im_window w;
    int64_t want[LVT_MAX_RANK], n = lvt_numel(&t);
    int given = lvt_im_has(im, 2) ? lvt_im_list(im, 2, LVT_MAX_RANK, want) : -2;
    if (given == -1 || !lvt_im_window_of(im, &t, NULL, false, &w))
        return false;
    lvt_type u = lvt_im_type(im, index);
    if ((given >= 0 && given != t.rank) || lvt_numel(&u) != n)
        return lvt_im_no(im, "its index or output shape does not fit its input");
    for (int d = 0; d < t.rank - 2; d++) { /* places are those of the shape that these attributes make */
        int e = d + 4 - t.rank;
        y.dim[2 + d] = (t.dim[2 + d] - 1) * w.stride[e] + w.kernel[e] - w.padding[e] - w.padding[e + 2];
    }
    int64_t places;
    if (!lvt_shape_count(y.rank, y.dim, &places))
        return lvt_im_no(im, "its result is empty or too large");
    lvt_named_attr a[] = {{"axis", lvt_attr_int(0)}, {"size", lvt_attr_int(places)}};
    index = lvt_build_reshape(&im->b, lvt_build_cast(&im->b, index, LVT_I32), 1, &n);
    x = lvt_build_reshape(&im->b, x, 1, &n);
    x = lvt_build(&im->b, LVT_OP_gather_grad, 2, (lvt_value[]){x, index}, 2, a);
    x = lvt_build_reshape(&im->b, x, y.rank, y.dim);
    for (int d = 0; d < given; d++) { /* what the windows of the pool did not reach */
        if (want[d] < y.dim[d] || want[d] > LVT_MAX_DIM)
            return lvt_im_no(im, "its output shape cannot be used");
        x = lvt_im_pad(im, x, d, 0, want[d] - y.dim[d], 0);
    }
    return lvt_im_out(im, x);
}

const lvt_im_row lvt_im_pools[] = {{"MaxPool", pool, MAX},
                                   {"AveragePool", pool, MEAN},
                                   {"LpPool", pool, NORM},
                                   {"GlobalMaxPool", global_pool, MAX},
                                   {"GlobalAveragePool", global_pool, MEAN},
                                   {"GlobalLpPool", global_pool, NORM},
                                   {"MaxUnpool", unpool, 0},
                                   {0}};
