/* Imported operators that cut out, lay down and place pieces of images: CenterCropPad, Col2Im, AffineGrid,
 * RoiAlign. May not know: files. */
#include "frontend/onnx/importer.h"

#include <math.h>
#include <string.h>

static bool center_crop_pad(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0);
    lvt_type t = lvt_im_type(im, x);
    int64_t want[LVT_MAX_RANK], axes[LVT_MAX_RANK];
    int n = lvt_im_list(im, 1, LVT_MAX_RANK, want), m = lvt_im_ints(im, "axes", LVT_MAX_RANK, axes);
    for (int i = 0; m == -2 && i < n; i++)
        axes[i] = i;
    if (n < 0 || m == -1)
        return false;
    if ((m >= 0 ? m : t.rank) != n)
        return lvt_im_no(im, "its shape does not fit its axes");
    for (int k = 0; k < n; k++) {
        int64_t axis = axes[k] < 0 ? axes[k] + t.rank : axes[k], d, more;
        if (axis < 0 || axis >= t.rank || want[k] < 1 || want[k] > 1 << 20)
            return lvt_im_no(im, "its axes or shape cannot be used");
        d = t.dim[axis];
        more = want[k] - d;
        if (more > 0)
            x = lvt_im_pad(im, x, (int)axis, more / 2, more - more / 2, 0);
        else if (more < 0)
            x = lvt_build_slice(&im->b, x, (int)axis, -more / 2, -more / 2 + want[k]);
    }
    return lvt_im_out(im, x);
}

/* Blocks [N, C * block, places] summed where they lie in the image: the gradient of a gather whose indices are
 * the places of the blocks' elements in the padded image. */
static bool col2im(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0);
    lvt_type t = lvt_im_type(im, x);
    int64_t image[3], block[3], pads[6], steps[3], gaps[3], blocks[3], padded[3], y[LVT_MAX_RANK];
    int n = lvt_im_list(im, 1, 3, image), m = lvt_im_list(im, 2, 3, block);
    if (n < 0 || m < 0)
        return false;
    int p = lvt_im_ints(im, "pads", 6, pads), s = lvt_im_ints(im, "strides", 3, steps),
        g = lvt_im_ints(im, "dilations", 3, gaps);
    if (n != m || n < 1 || t.rank != 3 || (p != -2 && p != 2 * n) || (s != -2 && s != n) ||
        (g != -2 && g != n))
        return lvt_im_no(im, "its image, blocks, pads, strides or dilations do not fit together");
    int64_t elements = 1, places = 1, all = 1;
    for (int d = 0; d < n; d++) {
        int64_t before = p == -2 ? 0 : pads[d], after = p == -2 ? 0 : pads[d + n];
        steps[d] = s == -2 ? 1 : steps[d];
        gaps[d] = g == -2 ? 1 : gaps[d];
        if (image[d] < 1 || image[d] > 1 << 16 || block[d] < 1 || block[d] > 1 << 10 || before < 0 ||
            after < 0 || before > 1 << 10 || after > 1 << 10 || steps[d] < 1 || steps[d] > 1 << 16 ||
            gaps[d] < 1 || gaps[d] > 1 << 16)
            return lvt_im_no(im, "a size of its image or blocks cannot be used");
        padded[d] = image[d] + before + after;
        int64_t room = padded[d] - (gaps[d] * (block[d] - 1) + 1);
        if (room < 0)
            return lvt_im_no(im, "its blocks are larger than its image");
        blocks[d] = room / steps[d] + 1;
        elements *= block[d];
        places *= blocks[d];
        all *= padded[d];
        if (all > 1 << 24 || elements * places > 1 << 24)
            return lvt_im_no(im, "its image is too large");
    }
    if (t.dim[1] % elements || t.dim[2] != places)
        return lvt_im_no(im, "its input does not have the blocks of its image");
    double *index = lvt_arena_alloc(im->arena, (size_t)(elements * places) * sizeof *index);
    if (!index)
        return false;
    for (int64_t e = 0; e < elements; e++)
        for (int64_t l = 0; l < places; l++) {
            int64_t at = 0, size = 1, of = e, by = l;
            for (int d = n; d-- > 0;) {
                at += size * (by % blocks[d] * steps[d] + of % block[d] * gaps[d]);
                size *= padded[d];
                of /= block[d];
                by /= blocks[d];
            }
            index[e * places + l] = (double)at;
        }
    int64_t channels = t.dim[1] / elements, rows = t.dim[0] * channels;
    lvt_named_attr a[] = {{"axis", lvt_attr_int(1)}, {"size", lvt_attr_int(all)}};
    x = lvt_build_reshape(&im->b, x, 2, (int64_t[]){rows, elements * places});
    x = lvt_build(&im->b, LVT_OP_gather_grad, 2,
                  (lvt_value[]){x, lvt_im_vector(im, elements * places, index, LVT_I32)}, 2, a);
    y[0] = t.dim[0];
    y[1] = channels;
    memcpy(y + 2, padded, (size_t)n * sizeof *y);
    x = lvt_build_reshape(&im->b, x, n + 2, y);
    for (int d = 0; d < n; d++) {
        int64_t before = p == -2 ? 0 : pads[d];
        if (padded[d] != image[d])
            x = lvt_build_slice(&im->b, x, d + 2, before, before + image[d]);
    }
    return lvt_im_out(im, x);
}

/* Places of a grid of an image of `size` [N,C,spatial...], from -1 to 1, moved by theta [N,k,k+1]. */
static bool affine_grid(lvt_importer *im) {
    lvt_value theta = lvt_im_in(im, 0);
    lvt_type t = lvt_im_type(im, theta);
    int64_t size[5], points = 1;
    int n = lvt_im_list(im, 1, 5, size), k = n - 2;
    bool corners = lvt_im_int(im, "align_corners", 0);
    if (n < 0)
        return false;
    if (k < 2 || t.rank != 3 || t.dim[1] != k || t.dim[2] != k + 1 || t.dim[0] != size[0])
        return lvt_im_no(im, "its matrices do not fit its size");
    for (int d = 0; d < k; d++) {
        if (size[2 + d] < 1 || size[2 + d] > 1 << 14 || (points *= size[2 + d]) > 1 << 24)
            return lvt_im_no(im, "a size cannot be used");
    }
    lvt_type gt = lvt_type_make((lvt_dtype)t.dtype, 2, (int64_t[]){points, k + 1});
    double *grid = lvt_arena_alloc(im->arena, (size_t)(points * (k + 1)) * sizeof *grid);
    for (int64_t i = 0; grid && i < points; i++) {
        int64_t rest = i;
        for (int d = k; d-- > 0; rest /= size[2 + d]) { /* x first, which is the last dim */
            double at = (double)(rest % size[2 + d]), of = (double)size[2 + d];
            grid[i * (k + 1) + k - 1 - d] =
                corners ? (of > 1 ? 2 * at / (of - 1) - 1 : -1) : (2 * at + 1) / of - 1;
        }
        grid[i * (k + 1) + k] = 1;
    }
    lvt_value y = grid ? lvt_im_constant(im, &gt, grid) : LVT_NONE;
    y = lvt_build_matmul(&im->b, y, theta, false, true);
    int64_t dims[LVT_MAX_RANK] = {size[0]};
    for (int d = 0; d < k; d++)
        dims[1 + d] = size[2 + d];
    dims[1 + k] = k;
    return lvt_im_out(im, lvt_build_reshape(&im->b, y, k + 2, dims));
}

/* Weights [R, out, size] of the rows of a map for regions from `low` to `high` [R,1,1]: means of `grid` samples a
 * result, each a straight line between neighbours. A sample beyond the map by more than 1 counts as 0. */
static lvt_value roi_weights(lvt_importer *im, lvt_value low, lvt_value high, int64_t out, int64_t size,
                             int64_t grid, bool at_least_one) {
    lvt_dtype dtype = (lvt_dtype)lvt_im_type(im, low).dtype;
    lvt_value length = lvt_im2(im, LVT_OP_sub, high, low);
    if (at_least_one)
        length = lvt_imk(im, LVT_OP_max, length, 1);
    lvt_type pt = lvt_type_make(dtype, 3, (int64_t[]){1, out * grid, 1});
    double *part = lvt_arena_alloc(im->arena, (size_t)(out * grid) * sizeof *part);
    for (int64_t i = 0; part && i < out * grid; i++)
        part[i] = ((double)(i / grid) + ((double)(i % grid) + 0.5) / (double)grid) / (double)out;
    lvt_value at = part ? lvt_im_constant(im, &pt, part) : LVT_NONE;
    at = lvt_im2(im, LVT_OP_add, low, lvt_im2(im, LVT_OP_mul, length, at)); /* [R, out grid, 1] */
    lvt_value inside =
        lvt_im2(im, LVT_OP_and, lvt_imk(im, LVT_OP_ge, at, -1), lvt_imk(im, LVT_OP_le, at, (double)size));
    at = lvt_imk(im, LVT_OP_min, lvt_imk(im, LVT_OP_max, at, 0), (double)(size - 1));
    lvt_value rows = lvt_im_iota(im, 3, (int64_t[]){1, 1, size}, 2);
    rows = rows == LVT_NONE ? rows : lvt_build_cast(&im->b, rows, dtype);
    lvt_value far = lvt_im1(im, LVT_OP_abs, lvt_im2(im, LVT_OP_sub, at, rows));
    lvt_value w = lvt_imk(im, LVT_OP_max, lvt_im2(im, LVT_OP_sub, lvt_im_number(im, at, 1), far), 0);
    w = lvt_build_select(&im->b, inside, w, lvt_im_number(im, w, 0));
    lvt_type t = lvt_im_type(im, w);
    w = lvt_build_reshape(&im->b, w, 4, (int64_t[]){t.dim[0], out, grid, size});
    return lvt_build_reduce(&im->b, LVT_OP_reduce_mean, w, 1, (int64_t[]){2}, false);
}

/* Means of samples in regions [x1,y1,x2,y2] of maps (He et al. 2017, Mask R-CNN): weights of rows and of columns,
 * so two products a region. */
static bool roi_align(lvt_importer *im) {
    lvt_builder *b = &im->b;
    lvt_value x = lvt_im_in(im, 0), rois = lvt_im_in(im, 1), which = lvt_im_in(im, 2), side[4], w[2];
    lvt_type t = lvt_im_type(im, x), r = lvt_im_type(im, rois);
    int64_t out[] = {lvt_im_int(im, "output_height", 1), lvt_im_int(im, "output_width", 1)};
    int64_t samples = lvt_im_int(im, "sampling_ratio", 0);
    const char *mode = lvt_im_string(im, "mode", "avg");
    const char *place = lvt_im_string(im, "coordinate_transformation_mode",
                                      im->opset >= 16 ? "half_pixel" : "output_half_pixel");
    double scale = lvt_im_float(im, "spatial_scale", 1);
    bool half = !strcmp(place, "half_pixel");
    if (strcmp(mode, "avg") || (!half && strcmp(place, "output_half_pixel")))
        return lvt_im_no(im, "mode %s with %s is not supported: avg is", mode, place);
    if (samples < 1 || samples > 64)
        return lvt_im_no(
            im,
            "sampling_ratio %lld lets the regions say how many samples there are, which is known "
            "when the program runs only: 1 to 64 are possible",
            (long long)samples);
    if (t.rank != 4 || r.rank != 2 || r.dim[1] != 4 || out[0] < 1 || out[1] < 1 || out[0] > 4096 ||
        out[1] > 4096)
        return lvt_im_no(im, "its regions or sizes cannot be used");
    for (int i = 0; i < 4; i++) {
        side[i] = lvt_imk(im, LVT_OP_mul, lvt_build_slice(b, rois, 1, i, i + 1), scale);
        side[i] = half ? lvt_imk(im, LVT_OP_sub, side[i], 0.5) : side[i];
        side[i] = lvt_build_reshape(b, side[i], 3, (int64_t[]){r.dim[0], 1, 1});
    }
    for (int d = 0; d < 2; d++) /* rows, columns */
        w[d] = roi_weights(im, side[1 - d], side[3 - d], out[d], t.dim[2 + d], samples, !half);
    lvt_named_attr a = {"axis", lvt_attr_int(0)};
    x = lvt_build(b, LVT_OP_gather, 2, (lvt_value[]){x, lvt_build_cast(b, which, LVT_I32)}, 1, &a);
    if (x == LVT_NONE || w[0] == LVT_NONE || w[1] == LVT_NONE)
        return false;
    for (int d = 0; d < 2; d++) /* the same for all channels */
        w[d] = lvt_build_reshape(b, w[d], 4, (int64_t[]){r.dim[0], 1, out[d], t.dim[2 + d]});
    x = lvt_build_matmul(b, w[0], x, false, false);
    return lvt_im_out(im, lvt_build_matmul(b, x, w[1], false, true));
}

const lvt_im_row lvt_im_windows[] = {{"CenterCropPad", center_crop_pad, 0},
                                     {"Col2Im", col2im, 0},
                                     {"AffineGrid", affine_grid, 0},
                                     {"RoiAlign", roi_align, 0},
                                     {0}};
