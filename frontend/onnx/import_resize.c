/* Imported operators that are a matrix along an axis: Resize, Upsample, CumSum, LRN. The matrix is a
 * constant, so kernels and gradients are those of products, or of gather where each row takes one element.
 * May not know: files. */
#include "importer.h"

#include <math.h>
#include <string.h>

enum { LARGEST = 1 << 24 }; /* elements of such a matrix */

/* y[.., r, ..] = sum over c of matrix[r][c] x[.., c, ..]; x itself for the identity. */
static lvt_value along(lvt_importer *im, lvt_value x, int axis, int64_t rows, const double *matrix) {
    lvt_type t = lvt_im_type(im, x), y = t;
    int64_t columns = t.dim[axis], outer = 1, inner = 1;
    bool picks = true, same = rows == columns;
    double *at = lvt_arena_alloc(im->arena, (size_t)rows * sizeof *at);
    if (!at)
        return LVT_NONE;
    for (int i = 0; i < t.rank; i++)
        *(i < axis ? &outer : &inner) *= i == axis ? 1 : t.dim[i];
    for (int64_t r = 0; r < rows; r++) {
        int ones = 0;
        for (int64_t c = 0; c < columns; c++) {
            double w = matrix[r * columns + c];
            picks &= w == 0 || w == 1;
            ones += w == 1;
            at[r] = w == 1 ? (double)c : at[r];
        }
        picks &= ones == 1;
        same = same && picks && at[r] == (double)r;
    }
    if (same)
        return x;
    y.dim[axis] = rows;
    if (picks) {
        lvt_named_attr a = {"axis", lvt_attr_int(axis)};
        bool small = t.dtype == LVT_U8 || t.dtype == LVT_BOOL;
        x = small ? lvt_build_cast(&im->b, x, LVT_I32) : x;
        x = lvt_build(&im->b, LVT_OP_gather, 2, (lvt_value[]){x, lvt_im_vector(im, rows, at, LVT_I32)}, 1,
                      &a);
        return lvt_build_cast(&im->b, x, (lvt_dtype)t.dtype);
    }
    if (!lvt_dtype_is_float((lvt_dtype)t.dtype)) { /* sums of whole numbers are exact in doubles */
        x = along(im, lvt_build_cast(&im->b, x, LVT_F64), axis, rows, matrix);
        return lvt_build_cast(&im->b, x, (lvt_dtype)t.dtype);
    }
    lvt_type mt = lvt_type_make((lvt_dtype)t.dtype, 2, (int64_t[]){rows, columns});
    lvt_value m = lvt_im_constant(im, &mt, matrix);
    if (inner == 1) {
        x = lvt_build_reshape(&im->b, x, 2, (int64_t[]){outer, columns});
        x = lvt_build_matmul(&im->b, x, m, false, true);
    } else {
        x = lvt_build_reshape(&im->b, x, 3, (int64_t[]){outer, columns, inner});
        x = lvt_build_matmul(&im->b, m, x, false, false);
    }
    return lvt_build_reshape(&im->b, x, y.rank, y.dim);
}

static double *zeros(lvt_importer *im, int64_t rows, int64_t columns) {
    if (rows < 1 || columns < 1 || rows > LARGEST / columns) {
        lvt_im_no(im, "its result is empty or too large");
        return NULL;
    }
    double *m = lvt_arena_alloc(im->arena, (size_t)(rows * columns) * sizeof *m);
    if (m)
        memset(m, 0, (size_t)(rows * columns) * sizeof *m);
    return m;
}

/* ---- Resize ---- */

typedef struct resize {
    const char *place, *nearest;
    bool cubic, exact; /* exact: nearest */
    bool antialias, exclude;
    double a;                        /* of the cubic */
    float scale, start, end, length; /* length: of the result, where it stands in align_corners */
    int64_t in, out;
} resize;

/* Where element i of the result lies among those of the input: the formulas of attribute
 * coordinate_transformation_mode in ONNX's text of Resize. In float as scales are and as PyTorch and onnxruntime
 * compute: 3 / 0.6f is 5 there, in double it is a little less, and then floor takes another element. */
static double place_of(const resize *r, int64_t i) {
    float x = (float)i, last = (float)(r->in - 1);
    if (!strcmp(r->place, "asymmetric"))
        return x / r->scale;
    if (!strcmp(r->place, "align_corners"))
        return r->length == 1 || r->out == 1 ? 0 : x * last / (r->length - 1);
    if (!strcmp(r->place, "tf_half_pixel_for_nn"))
        return (x + 0.5f) / r->scale;
    if (!strcmp(r->place, "pytorch_half_pixel") && r->out == 1)
        return 0;
    if (!strcmp(r->place, "tf_crop_and_resize"))
        return r->out > 1 ? r->start * last + x * (r->end - r->start) * last / (float)(r->out - 1)
                          : 0.5f * (r->start + r->end) * last;
    float shift = 0;
    if (!strcmp(r->place, "half_pixel_symmetric"))
        shift = (float)r->in / 2 * (1 - (float)r->out / (r->scale * (float)r->in));
    return shift + (x + 0.5f) / r->scale - 0.5f;
}

/* PyTorch, TensorFlow and Paddle mean whole lengths with align_corners, and onnxruntime takes them so; the
 * data of ONNX's own tests are made with the length before it is cut to a whole number. */
static bool whole_lengths(const lvt_importer *im) {
    static const char *const exporters[] = {"pytorch", "tf2onnx", "Paddle", "keras2onnx"};
    const char *by = im->file->model->producer_name;
    for (size_t i = 0; by && i < sizeof exporters / sizeof *exporters; i++)
        if (!strncmp(by, exporters[i], strlen(exporters[i])))
            return true;
    return false;
}

/* The weight of an element at distance d: a triangle, or the cubic of Keys (1981) with parameter a. */
static double weight_at(const resize *r, double d) {
    d = fabs(d);
    if (!r->cubic)
        return d < 1 ? 1 - d : 0;
    return d <= 1  ? ((r->a + 2) * d - (r->a + 3)) * d * d + 1
           : d < 2 ? ((r->a * d - 5 * r->a) * d + 8 * r->a) * d - 4 * r->a
                   : 0;
}

static int64_t nearest_of(const char *mode, double x) {
    return (int64_t)(!strcmp(mode, "floor")               ? floor(x)
                     : !strcmp(mode, "ceil")              ? ceil(x)
                     : !strcmp(mode, "round_prefer_ceil") ? floor(x + 0.5)
                                                          : ceil(x - 0.5));
}

/* A row of the matrix. False: the element lies outside and takes the extrapolation value. */
static bool fill_row(const resize *r, int64_t i, double *row) {
    double x = place_of(r, i), last = (double)(r->in - 1), sum = 0;
    if (!strcmp(r->place, "tf_crop_and_resize") && !(x >= 0 && x <= last))
        return false;
    x = x == x ? fmax(-1e9, fmin(x, 1e9)) : 0;
    if (r->exact) {
        int64_t at = nearest_of(r->nearest, x);
        row[at < 0 ? 0 : at >= r->in ? r->in - 1 : at] = 1;
        return true;
    }
    double narrow = r->antialias && r->scale < 1 ? r->scale : 1, reach = (r->cubic ? 2 : 1) / narrow;
    double low = fmax(floor(x - reach), -reach - 1), high = fmin(ceil(x + reach), last + reach + 1);
    for (double j = low; j <= high; j++) {
        double w = weight_at(r, (j - x) * narrow);
        bool outside = j < 0 || j > last;
        if (outside && r->exclude)
            continue;
        row[j < 0 ? 0 : j > last ? r->in - 1 : (int64_t)j] += w;
        sum += w;
    }
    if (sum == 0) { /* all of it is outside */
        row[x < 0 ? 0 : r->in - 1] = 1;
        return true;
    }
    for (int64_t j = 0; j < r->in && (r->exclude || narrow != 1); j++)
        row[j] /= sum;
    return true;
}

/* Every element stays where it is. */
static bool stays(const resize *r) {
    return r->out == r->in && r->scale == 1 && r->start == 0 && r->end == 1;
}

static lvt_value resize_axis(lvt_importer *im, lvt_value x, int axis, const resize *r, double outside) {
    lvt_type t = lvt_im_type(im, x);
    double *m = zeros(im, r->out, r->in), *more = m ? zeros(im, r->out, 1) : NULL;
    bool leaves = false;
    if (!more)
        return LVT_NONE;
    for (int64_t i = 0; i < r->out; i++)
        if (!fill_row(r, i, m + i * r->in)) {
            more[i] = outside;
            leaves = true;
        }
    x = along(im, x, axis, r->out, m);
    if (!leaves || outside == 0)
        return x;
    /* Rows inside sum to 1, so a value that one axis has set the next one keeps. */
    lvt_type e = {.dtype = t.dtype, .rank = t.rank};
    for (int i = 0; i < t.rank; i++)
        e.dim[i] = i == axis ? r->out : 1;
    return lvt_im2(im, LVT_OP_add, x, lvt_im_constant(im, &e, more));
}

/* Numbers of input i for the axes; 0: not given. */
static int numbers(lvt_importer *im, size_t i, int n, double *out) {
    double all[2 * LVT_MAX_RANK];
    int have = lvt_im_has(im, i) ? lvt_im_numbers(im, i, n, all) : 0;
    if (have > 0 && have != n) {
        lvt_im_no(im, "input %zu has %d numbers, not %d", i, have, n);
        return -1;
    }
    if (have > 0)
        memcpy(out, all, (size_t)n * sizeof *out);
    return have;
}

static bool resize_node(lvt_importer *im) {
    bool upsample = !strcmp(im->n->op_type, "Upsample"), old = upsample || im->opset < 11;
    lvt_value x = lvt_im_in(im, 0);
    lvt_type t = lvt_im_type(im, x);
    int64_t axes[LVT_MAX_RANK];
    double scales[LVT_MAX_RANK], sizes[LVT_MAX_RANK], roi[2 * LVT_MAX_RANK];
    const char *mode = lvt_im_string(im, "mode", "nearest");
    resize r = {.place =
                    old ? "asymmetric" : lvt_im_string(im, "coordinate_transformation_mode", "half_pixel"),
                .nearest = old ? "floor" : lvt_im_string(im, "nearest_mode", "round_prefer_floor"),
                .cubic = !strcmp(mode, "cubic"),
                .exact = !strcmp(mode, "nearest"),
                .antialias = lvt_im_int(im, "antialias", 0),
                .exclude = lvt_im_int(im, "exclude_outside", 0),
                .a = lvt_im_float(im, "cubic_coeff_a", -0.75)};
    static const char *const places[] = {"half_pixel",        "half_pixel_symmetric", "pytorch_half_pixel",
                                         "align_corners",     "asymmetric",           "tf_half_pixel_for_nn",
                                         "tf_crop_and_resize"};
    bool known = false;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        known |= !strcmp(places[i], r.place);
    if (!known || (!r.exact && !r.cubic && strcmp(mode, "linear") && strcmp(mode, "bilinear")))
        return lvt_im_no(im, "mode %s with coordinates %s is not known", mode, r.place);
    if (!r.exact && x != LVT_NONE && !lvt_dtype_is_float((lvt_dtype)t.dtype))
        return lvt_im_no(im, "mode %s is known for floats only", mode);
    int n = lvt_im_ints(im, "axes", LVT_MAX_RANK, axes), s = 0, z = 0, regions = 0;
    for (int i = 0; n < 0 && i < t.rank; i++)
        axes[i] = i;
    if (n == -1 || (n = n < 0 ? t.rank : n) > t.rank)
        return im->why[0] ? false : lvt_im_no(im, "its axes cannot be used");
    const Onnx__AttributeProto *given = lvt_im_attr(im, "scales");
    if (given && given->n_floats == (size_t)n)
        for (s = 0; s < n; s++)
            scales[s] = given->floats[s];
    else if (old)
        s = numbers(im, 1, n, scales);
    else if ((s = numbers(im, 2, n, scales)) >= 0 && (z = numbers(im, 3, n, sizes)) >= 0 &&
             !strcmp(r.place, "tf_crop_and_resize"))
        regions = numbers(im, 1, 2 * n, roi);
    if (s < 0 || z < 0 || regions < 0)
        return false;
    if (!s == !z || (!strcmp(r.place, "tf_crop_and_resize") && !regions))
        return lvt_im_no(im, "it needs scales or sizes, and regions where it crops");
    const char *policy = lvt_im_string(im, "keep_aspect_ratio_policy", "stretch");
    double outside = lvt_im_float(im, "extrapolation_value", 0), common = 0;
    for (int k = 0; k < n; k++) {
        axes[k] += axes[k] < 0 ? t.rank : 0;
        if (axes[k] < 0 || axes[k] >= t.rank)
            return lvt_im_no(im, "its axes cannot be used");
        double ratio = z ? sizes[k] / (double)t.dim[axes[k]] : scales[k];
        if (!(ratio > 0 && ratio < LVT_MAX_DIM))
            return lvt_im_no(im, "a scale or size cannot be used");
        bool larger = !strcmp(policy, "not_smaller") ? ratio > common : ratio < common;
        common = k == 0 || larger ? ratio : common;
    }
    resize each[LVT_MAX_RANK];
    /* Between convolutions channels are last: two of four dims are resized there. */
    bool image = t.rank == 4 && x != LVT_NONE;
    for (int k = 0; k < n; k++) {
        r.in = t.dim[axes[k]];
        r.scale = (float)(z ? sizes[k] / (double)r.in : scales[k]);
        double out = z ? sizes[k] : floorf(r.scale * (float)r.in); /* 2.3f of 10 are 23 in float only */
        if (z && strcmp(policy, "stretch")) {
            r.scale = (float)common;
            out = floor(common * (double)r.in + 0.5);
        }
        if (!(out >= 1 && out <= LVT_MAX_DIM))
            return lvt_im_no(im, "its result is empty or too large");
        r.out = (int64_t)out;
        r.length = z || whole_lengths(im) ? (float)out : r.scale * (float)r.in;
        if (!strcmp(r.place, "align_corners") && r.length != (float)out)
            lvt_im_warn(im,
                        "align_corners with %g of %lld elements: lengths are taken as in ONNX's tests; "
                        "onnxruntime takes %lld for %g",
                        scales[k], (long long)r.in, (long long)out, (double)r.length);
        r.start = regions ? (float)roi[k] : 0;
        r.end = regions ? (float)roi[k + n] : 1;
        each[k] = r;
        image = image && (axes[k] >= 2 || stays(&r));
    }
    if (image)
        x = lvt_build_transpose(&im->b, x, (int64_t[]){0, 2, 3, 1});
    for (int k = 0; k < n && x != LVT_NONE; k++) {
        if (!stays(&each[k]))
            x = resize_axis(im, x, (int)axes[k] - image, &each[k], outside);
    }
    return lvt_im_out(im, image ? lvt_build_transpose(&im->b, x, (int64_t[]){0, 3, 1, 2}) : x);
}

/* ---- sums along an axis ---- */

static bool cumsum(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0);
    lvt_type t = lvt_im_type(im, x);
    double axis;
    bool exclusive = lvt_im_int(im, "exclusive", 0), reverse = lvt_im_int(im, "reverse", 0);
    if (lvt_im_numbers(im, 1, 1, &axis) != 1)
        return false;
    axis += axis < 0 ? t.rank : 0;
    if (!(axis >= 0 && axis < t.rank))
        return lvt_im_no(im, "axis is out of range");
    int64_t n = t.dim[(int)axis];
    double *m = zeros(im, n, n);
    for (int64_t i = 0; m && i < n * n; i++) {
        int64_t before = reverse ? i % n - i / n : i / n - i % n;
        m[i] = before >= exclusive;
    }
    return m && lvt_im_out(im, along(im, x, (int)axis, n, m));
}

/* x / (bias + alpha / size * sum of the squares of `size` neighbouring channels)^beta */
static bool lrn(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0);
    lvt_type t = lvt_im_type(im, x);
    int64_t size = lvt_im_int(im, "size", 0), c = t.rank > 1 ? t.dim[1] : 1;
    if (t.rank < 2 || size < 1 || size > LVT_MAX_DIM)
        return lvt_im_no(im, "its size or input cannot be used");
    double *m = zeros(im, c, c);
    for (int64_t i = 0; m && i < c * c; i++) {
        int64_t d = i % c - i / c;
        m[i] = d >= -((size - 1) / 2) && d <= size / 2;
    }
    lvt_value sum = m ? along(im, lvt_im1(im, LVT_OP_square, x), 1, c, m) : LVT_NONE;
    sum = lvt_imk(im, LVT_OP_mul, sum, lvt_im_float(im, "alpha", 1e-4) / (double)size);
    sum = lvt_imk(im, LVT_OP_add, sum, lvt_im_float(im, "bias", 1));
    sum = lvt_imk(im, LVT_OP_pow, sum, -lvt_im_float(im, "beta", 0.75));
    return lvt_im_out(im, lvt_im2(im, LVT_OP_mul, x, sum));
}

const lvt_im_row lvt_im_matrices[] = {
    {"Resize", resize_node, 0}, {"Upsample", resize_node, 0}, {"CumSum", cumsum, 0}, {"LRN", lrn, 0}, {0}};
