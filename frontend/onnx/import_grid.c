/* Imported GridSample: elements at places that are computed, weighted by how near they are. Gradients go to
 * the image and, through the weights, to the places. May not know: files. */
#include "importer.h"

#include <string.h>

typedef struct sampler {
    lvt_importer *im;
    bool corners, reflect, zeros;
    int64_t size[2]; /* width, height */
} sampler;

/* From -1..1 to elements of dim d. */
static lvt_value place(const sampler *s, lvt_value g, int d) {
    double n = (double)s->size[d], scale = s->corners ? (n - 1) / 2 : n / 2, shift = (n - 1) / 2;
    return lvt_imk(s->im, LVT_OP_add, lvt_imk(s->im, LVT_OP_mul, g, scale), shift);
}

/* Mirrored at the borders until it lies inside: |x - low| modulo twice the width, and back. */
static lvt_value inside(const sampler *s, lvt_value x, int d) {
    double low = s->corners ? 0 : -0.5, width = (double)s->size[d] - (s->corners ? 1 : 0);
    if (!s->reflect || width == 0)
        return s->zeros
                   ? x
                   : lvt_imk(s->im, LVT_OP_min, lvt_imk(s->im, LVT_OP_max, x, 0), (double)(s->size[d] - 1));
    lvt_value k =
        lvt_imk(s->im, LVT_OP_mod, lvt_im1(s->im, LVT_OP_abs, lvt_imk(s->im, LVT_OP_sub, x, low)), 2 * width);
    k = lvt_im2(s->im, LVT_OP_min, k, lvt_im2(s->im, LVT_OP_sub, lvt_im_number(s->im, k, 2 * width), k));
    return lvt_imk(s->im, LVT_OP_add, k, low);
}

/* Weights of the elements -1, 0, 1, 2 from the one before the place, which is `r` further; linear: of 0
 * and 1. */
static lvt_value weight(lvt_importer *im, lvt_value r, int tap, bool cubic) {
    double a = -0.75; /* Keys (1981) */
    lvt_value d = tap <= 0 ? lvt_imk(im, LVT_OP_add, r, -(double)tap)
                           : lvt_im2(im, LVT_OP_sub, lvt_im_number(im, r, (double)tap), r);
    if (!cubic)
        return lvt_im2(im, LVT_OP_sub, lvt_im_number(im, r, 1), d);
    bool near = tap == 0 || tap == 1;
    double p[] = {near ? a + 2 : a, near ? -(a + 3) : -5 * a, near ? 0 : 8 * a, near ? 1 : -4 * a};
    lvt_value y = lvt_imk(im, LVT_OP_mul, d, p[0]);
    for (int i = 1; i < 4; i++) {
        y = lvt_imk(im, LVT_OP_add, y, p[i]);
        y = i < 3 ? lvt_im2(im, LVT_OP_mul, y, d) : y;
    }
    return y;
}

static bool grid_sample(lvt_importer *im) {
    lvt_builder *b = &im->b;
    lvt_value x = lvt_im_in(im, 0), grid = lvt_im_in(im, 1), at[2], from[2], rest[2], sum = LVT_NONE;
    lvt_type t = lvt_im_type(im, x), u = lvt_im_type(im, grid);
    const char *mode = lvt_im_string(im, "mode", "linear"),
               *padding = lvt_im_string(im, "padding_mode", "zeros");
    bool cubic = !strcmp(mode, "cubic") || !strcmp(mode, "bicubic"), nearest = !strcmp(mode, "nearest");
    if (t.rank != 4 || u.rank != 4 || u.dim[0] != t.dim[0] || u.dim[3] != 2 ||
        !lvt_dtype_is_float((lvt_dtype)t.dtype))
        return lvt_im_no(im, "its image or grid cannot be used: floats of two spatial dims are supported");
    sampler s = {.im = im,
                 .corners = lvt_im_int(im, "align_corners", 0),
                 .reflect = !strcmp(padding, "reflection"),
                 .zeros = !strcmp(padding, "zeros"),
                 .size = {t.dim[3], t.dim[2]}};
    int64_t dims[] = {u.dim[0], u.dim[1], u.dim[2]}, points = dims[0] * dims[1] * dims[2];
    for (int d = 0; d < 2; d++) {
        at[d] = lvt_build_reshape(b, lvt_build_slice(b, grid, 3, d, d + 1), 3, dims);
        at[d] = place(&s, at[d], d);
        at[d] = cubic ? at[d] : inside(&s, at[d], d);
        at[d] = nearest ? lvt_im_round(im, at[d]) : at[d];
        from[d] = lvt_im1(im, LVT_OP_floor, at[d]);
        rest[d] = lvt_im2(im, LVT_OP_sub, at[d], from[d]);
    }
    x = lvt_build_reshape(b, lvt_im_last(im, x), 2, (int64_t[]){t.dim[0] * t.dim[2] * t.dim[3], t.dim[1]});
    lvt_named_attr rows = {"axis", lvt_attr_int(0)};
    lvt_value image = lvt_imk(im, LVT_OP_mul, lvt_im_iota(im, 3, dims, 0), (double)(t.dim[2] * t.dim[3]));
    int first = cubic ? -1 : 0, last = nearest ? 0 : cubic ? 2 : 1;
    for (int ky = first; ky <= last; ky++)
        for (int kx = first; kx <= last; kx++) {
            lvt_value index = image, valid = LVT_NONE, w = LVT_NONE;
            for (int d = 1; d >= 0; d--) {
                int k = d ? ky : kx;
                lvt_value e = lvt_imk(im, LVT_OP_add, from[d], (double)k);
                e = s.reflect ? inside(&s, e, d) : e;
                lvt_value ok = lvt_im2(im, LVT_OP_and, lvt_imk(im, LVT_OP_ge, e, 0),
                                       lvt_imk(im, LVT_OP_le, e, (double)(s.size[d] - 1)));
                valid = valid == LVT_NONE ? ok : lvt_im2(im, LVT_OP_and, valid, ok);
                e = lvt_imk(im, LVT_OP_min, lvt_imk(im, LVT_OP_max, e, 0), (double)(s.size[d] - 1));
                if (e == LVT_NONE)
                    return false;
                e = lvt_imk(im, LVT_OP_mul, lvt_build_cast(b, e, LVT_I32), d ? (double)s.size[0] : 1);
                index = lvt_im2(im, LVT_OP_add, index, e);
                if (!nearest) {
                    lvt_value one = weight(im, rest[d], k, cubic);
                    w = w == LVT_NONE ? one : lvt_im2(im, LVT_OP_mul, w, one);
                }
            }
            index = lvt_build_reshape(b, index, 1, &points);
            lvt_value v = lvt_build(b, LVT_OP_gather, 2, (lvt_value[]){x, index}, 1, &rows);
            if (w != LVT_NONE)
                v = lvt_im2(im, LVT_OP_mul, v, lvt_build_reshape(b, w, 2, (int64_t[]){points, 1}));
            if (s.zeros) {
                valid = lvt_build_reshape(b, valid, 2, (int64_t[]){points, 1});
                v = lvt_build_select(b, valid, v, lvt_im_number(im, x, 0));
            }
            sum = sum == LVT_NONE ? v : lvt_im2(im, LVT_OP_add, sum, v);
        }
    sum = lvt_build_reshape(b, sum, 4, (int64_t[]){dims[0], dims[1], dims[2], t.dim[1]});
    return lvt_im_out(im, lvt_im_second(im, sum));
}

const lvt_im_row lvt_im_grids[] = {{"GridSample", grid_sample, 0}, {0}};
