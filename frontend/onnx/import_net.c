/* Imported layers: products, convolutions, pools, normalisations. ONNX has channels second, lvt has them
 * last. May not know: files. */
#include "importer.h"

#include <string.h>

static bool matmul(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0), y = lvt_im_in(im, 1);
    lvt_type a = lvt_im_type(im, x), b = lvt_im_type(im, y);
    if (!a.rank || !b.rank)
        return lvt_im_no(im, "its inputs are scalars");
    if (a.rank == 1)
        x = lvt_build_reshape(&im->b, x, 2, (int64_t[]){1, a.dim[0]});
    if (b.rank == 1)
        y = lvt_build_reshape(&im->b, y, 2, (int64_t[]){b.dim[0], 1});
    lvt_value r = lvt_build_matmul(&im->b, x, y, false, false);
    lvt_type t = lvt_im_type(im, r);
    if (r != LVT_NONE && b.rank == 1)
        t.rank--;
    if (r != LVT_NONE && a.rank == 1) {
        t.dim[t.rank - 2 + (b.rank == 1)] = t.dim[t.rank - 1 + (b.rank == 1)];
        t.rank--;
    }
    return lvt_im_out(im, a.rank == 1 || b.rank == 1 ? lvt_build_reshape(&im->b, r, t.rank, t.dim) : r);
}

static bool gemm(lvt_importer *im) {
    double alpha = lvt_im_float(im, "alpha", 1), beta = lvt_im_float(im, "beta", 1);
    lvt_value y = lvt_build_matmul(&im->b, lvt_im_in(im, 0), lvt_im_in(im, 1), lvt_im_int(im, "transA", 0),
                                   lvt_im_int(im, "transB", 0));
    if (alpha != 1)
        y = lvt_imk(im, LVT_OP_mul, y, alpha);
    if (lvt_im_has(im, 2)) {
        lvt_value c = lvt_im_in(im, 2);
        y = lvt_im2(im, LVT_OP_add, y, beta != 1 ? lvt_imk(im, LVT_OP_mul, c, beta) : c);
    }
    return lvt_im_out(im, y);
}

/* Three spatial dims: the sum over the depth of the kernel of convolutions of slices. */
static lvt_value convolve_deep(lvt_importer *im, lvt_value x, lvt_value k) {
    lvt_type t = lvt_im_type(im, x), kt = lvt_im_type(im, k);
    lvt_im_reach r[3];
    lvt_value sum = LVT_NONE;
    for (int d = 0; d < 3; d++)
        if (!lvt_im_reach_of(im, 3, d, t.dim[2 + d], kt.dim[2 + d], false, &r[d]))
            return LVT_NONE;
    int64_t depth = t.dim[2] + r[0].before + r[0].after - ((r[0].kernel - 1) * r[0].dilation + 1);
    if (depth < 0 || r[0].kernel != kt.dim[2] || r[0].kernel > 64) {
        lvt_im_no(im, "its kernel does not fit its input");
        return LVT_NONE;
    }
    depth = depth / r[0].stride + 1;
    x = lvt_build_transpose(&im->b, lvt_im_pad(im, x, 2, r[0].before, r[0].after, 0),
                            (int64_t[]){0, 2, 3, 4, 1});
    for (int64_t i = 0; i < r[0].kernel; i++) {
        lvt_named_attr slice[] = {{"axis", lvt_attr_int(1)},
                                  {"begin", lvt_attr_int(i * r[0].dilation)},
                                  {"end", lvt_attr_int(i * r[0].dilation + (depth - 1) * r[0].stride + 1)},
                                  {"step", lvt_attr_int(r[0].stride)}};
        lvt_named_attr a[] = {
            {"stride", lvt_attr_ints((int64_t[]){r[1].stride, r[2].stride}, 2)},
            {"padding", lvt_attr_ints((int64_t[]){r[1].before, r[2].before, r[1].after, r[2].after}, 4)},
            {"dilation", lvt_attr_ints((int64_t[]){r[1].dilation, r[2].dilation}, 2)},
            {"groups", lvt_attr_int(lvt_im_int(im, "group", 1))}};
        lvt_value s = lvt_build(&im->b, LVT_OP_slice, 1, &x, 4, slice), kernel;
        s = lvt_build_reshape(&im->b, s, 4, (int64_t[]){t.dim[0] * depth, t.dim[3], t.dim[4], t.dim[1]});
        kernel = lvt_build_reshape(&im->b, lvt_build_slice(&im->b, k, 2, (int)i, (int)i + 1), 4,
                                   (int64_t[]){kt.dim[0], kt.dim[1], kt.dim[3], kt.dim[4]});
        s = lvt_build(&im->b, LVT_OP_conv2d, 2, (lvt_value[]){s, kernel}, 4, a);
        sum = i ? lvt_im2(im, LVT_OP_add, sum, s) : s;
    }
    if (sum != LVT_NONE && lvt_im_has(im, 2) && !strcmp(im->n->op_type, "Conv"))
        sum = lvt_im2(im, LVT_OP_add, sum, lvt_im_in(im, 2));
    lvt_type y = lvt_im_type(im, sum);
    sum = lvt_build_reshape(&im->b, sum, 5, (int64_t[]){t.dim[0], depth, y.dim[1], y.dim[2], y.dim[3]});
    return lvt_build_transpose(&im->b, sum, (int64_t[]){0, 4, 1, 2, 3});
}

lvt_value lvt_im_convolve(lvt_importer *im, lvt_value x, lvt_value k) {
    lvt_type t = lvt_im_type(im, x), kt = lvt_im_type(im, k);
    bool back = !strcmp(im->n->op_type, "ConvTranspose");
    lvt_im_window w;
    if (kt.rank == 5 && t.rank == 5 && !back)
        return convolve_deep(im, x, k);
    if (kt.rank != t.rank || !lvt_im_window_of(im, &t, &kt.dim[2], back, &w)) {
        if (!im->why[0])
            lvt_im_no(im, "its weight has another rank than its input");
        return LVT_NONE;
    }
    x = lvt_im_last(im, lvt_im_lift(im, x, w.flat));
    k = lvt_im_lift(im, k, w.flat);
    int64_t size[2] = {1, 1};
    if (back) { /* the gradient of a convolution for its image */
        int spatial = t.rank - 2;
        int64_t more[2] = {0, 0}, want[4];
        int m = lvt_im_ints(im, "output_padding", 2, more), s = lvt_im_ints(im, "output_shape", 4, want);
        bool fit =
            m != -1 && s != -1 && (m < 0 || m == spatial) && (s < 0 || s == spatial || s == spatial + 2);
        for (int d = 0; d < spatial && fit; d++)
            fit = more[d] >= 0 && more[d] <= 1 << 20 &&
                  (s < 0 || (want[s - spatial + d] >= 1 && want[s - spatial + d] <= LVT_MAX_DIM));
        if (!fit) {
            lvt_im_no(im, "its output padding or shape does not fit its input");
            return LVT_NONE;
        }
        for (int d = 0; d < spatial; d++) {
            int e = d + 2 - spatial;
            int64_t whole = (t.dim[2 + d] - 1) * w.stride[e] + (m >= 0 ? more[d] : 0) +
                            (w.kernel[e] - 1) * w.dilation[e] + 1;
            if (s >= 0) {
                int64_t all = whole - want[s - spatial + d];
                if (all < 0) {
                    lvt_im_no(im, "its output shape is larger than what it can make");
                    return LVT_NONE;
                }
                bool upper = !strcmp(lvt_im_string(im, "auto_pad", "NOTSET"), "SAME_UPPER");
                w.padding[e] = upper ? all / 2 : all - all / 2;
                w.padding[e + 2] = all - w.padding[e];
            }
            size[e] = whole - w.padding[e] - w.padding[e + 2];
        }
    }
    lvt_named_attr a[] = {
        {"stride", lvt_attr_ints(w.stride, 2)},     {"padding", lvt_attr_ints(w.padding, 4)},
        {"dilation", lvt_attr_ints(w.dilation, 2)}, {"groups", lvt_attr_int(lvt_im_int(im, "group", 1))},
        {"height", lvt_attr_int(size[0])},          {"width", lvt_attr_int(size[1])}};
    lvt_value y = lvt_build(&im->b, back ? LVT_OP_conv2d_grad_input : LVT_OP_conv2d, 2, (lvt_value[]){x, k},
                            back ? 6 : 4, a);
    bool bias = back || !strcmp(im->n->op_type, "Conv");
    if (bias && lvt_im_has(im, 2))
        y = lvt_im2(im, LVT_OP_add, y, lvt_im_in(im, 2));
    return lvt_im_sink(im, lvt_im_second(im, y), w.flat);
}

static bool conv(lvt_importer *im) {
    return lvt_im_out(im, lvt_im_convolve(im, lvt_im_in(im, 0), lvt_im_in(im, 1)));
}

/* (x - mean) / sqrt(var + eps) over the axes; statistics keep their dims. */
static lvt_value normalise(lvt_importer *im, lvt_value x, int n, const int64_t *axes, double eps,
                           lvt_value *mean, lvt_value *var, lvt_value *rstd) {
    *mean = lvt_build_reduce(&im->b, LVT_OP_reduce_mean, x, n, axes, true);
    lvt_value centred = lvt_im2(im, LVT_OP_sub, x, *mean);
    *var = lvt_build_reduce(&im->b, LVT_OP_reduce_mean, lvt_im1(im, LVT_OP_square, centred), n, axes, true);
    *rstd = lvt_im1(im, LVT_OP_rsqrt, lvt_imk(im, LVT_OP_add, *var, eps));
    return lvt_im2(im, LVT_OP_mul, centred, *rstd);
}

/* The training form: statistics of the batch, of each group of its images; running ones move by 1 - momentum,
 * the variance among them is unbiased, as PyTorch's (ONNX's own form has it biased). Channels last, as
 * batch_norm is. */
static bool train_norm(lvt_importer *im, lvt_value x, double eps, double momentum) {
    lvt_type t = lvt_im_type(im, x), c = lvt_im_type(im, lvt_im_in(im, 1));
    lvt_value scale = lvt_im_in(im, 1), shift = lvt_im_in(im, 2);
    lvt_value old[] = {lvt_im_statistic(im, 3), lvt_im_statistic(im, 4)}, sum[] = {LVT_NONE, LVT_NONE},
              parts[64];
    int64_t there[LVT_MAX_RANK] = {0}, back[LVT_MAX_RANK] = {0}, start = 0, whole[] = {t.dim[0]};
    const int64_t *groups = im->use->groups ? im->use->groups : whole;
    int n = im->use->groups ? im->use->n_groups : 1;
    int64_t rows = 0;
    for (int k = 0; k < n; k++)
        rows += groups[k];
    if (rows != t.dim[0] || n > 64)
        return lvt_im_no(im, "its groups do not make up the %lld images of its input", (long long)t.dim[0]);
    for (int i = 1; i < t.rank; i++)
        there[i] = i == t.rank - 1 ? 1 : i + 1, back[i] = i == 1 ? t.rank - 1 : i - 1;
    x = lvt_build_transpose(&im->b, x, there);
    for (int k = 0; k < n; start += groups[k++]) {
        lvt_value piece = n > 1 ? lvt_build_slice(&im->b, x, 0, start, start + groups[k]) : x;
        lvt_named_attr a = {"eps", lvt_attr_float(eps)};
        double count = (double)(lvt_numel(&t) / t.dim[0] * groups[k] / t.dim[1]);
        parts[k] = lvt_build(&im->b, LVT_OP_batch_norm, 3, (lvt_value[]){piece, scale, shift}, 1, &a);
        if (parts[k] == LVT_NONE)
            return false;
        lvt_value now[] = {parts[k] + 1, lvt_imk(im, LVT_OP_mul, parts[k] + 2, count / (count - 1))};
        for (int j = 0; j < 2; j++)
            sum[j] = k ? lvt_im2(im, LVT_OP_add, sum[j], now[j]) : now[j];
    }
    for (size_t j = 0; j < 2; j++) {
        lvt_value mean = lvt_imk(im, LVT_OP_mul, sum[j], (1 - momentum) / n);
        im->out[1 + j] = lvt_im2(im, LVT_OP_add, lvt_imk(im, LVT_OP_mul, old[j], momentum), mean);
        if (im->out[1 + j] == LVT_NONE)
            return false;
        bool state = lvt_value_node(im->g, old[j])->op == LVT_OP_state && c.rank == 1;
        if (state && im->use->update && !im->use->update(im->use->user, old[j], im->out[1 + j]))
            return false;
    }
    x = n > 1 ? lvt_build_concat(&im->b, (uint32_t)n, parts, 0) : parts[0];
    return lvt_im_out(im, lvt_build_transpose(&im->b, x, back));
}

static bool batch_norm(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0), in[4];
    int rank = lvt_im_type(im, x).rank;
    double eps = lvt_im_float(im, "epsilon", 1e-5), momentum = lvt_im_float(im, "momentum", 0.9);
    if (rank < 2)
        return lvt_im_no(im, "its input has no channels");
    for (size_t k = 1; k < 5; k++)
        if (!lvt_im_has(im, k))
            return lvt_im_no(im, "input %zu is missing", k);
    if (im->use->form == LVT_ONNX_TRAINING)
        return train_norm(im, x, eps, momentum);
    for (size_t k = 0; k < 4; k++)
        in[k] = lvt_im_channels(im, k < 2 ? lvt_im_in(im, 1 + k) : lvt_im_statistic(im, 1 + k), rank);
    lvt_value rstd = lvt_im1(im, LVT_OP_rsqrt, lvt_imk(im, LVT_OP_add, in[3], eps));
    if (im->use->form == LVT_ONNX_AS_IS && lvt_im_int(im, "training_mode", 0)) {
        int64_t axes[LVT_MAX_RANK] = {0};
        lvt_value now[2];
        lvt_type c = lvt_im_type(im, lvt_im_in(im, 1));
        for (int i = 2; i < rank; i++)
            axes[i - 1] = i;
        lvt_value y = normalise(im, x, rank - 1, axes, eps, &now[0], &now[1], &rstd);
        for (size_t k = 0; k < 2; k++) {
            lvt_value old = lvt_imk(im, LVT_OP_mul, lvt_im_statistic(im, 3 + k), momentum);
            now[k] = lvt_imk(im, LVT_OP_mul, lvt_build_reshape(&im->b, now[k], 1, c.dim), 1 - momentum);
            im->out[1 + k] = lvt_im2(im, LVT_OP_add, old, now[k]);
        }
        return lvt_im_out(im, lvt_im2(im, LVT_OP_add, lvt_im2(im, LVT_OP_mul, y, in[0]), in[1]));
    }
    if (im->use->form == LVT_ONNX_AS_IS && im->n->n_output > 1)
        return lvt_im_no(im, "its training form of old versions is not supported");
    for (size_t k = 0; k < 2; k++)
        im->out[1 + k] = lvt_im_statistic(im, 3 + k);
    /* As nn.lvt has it: what hangs on states alone is one product and one sum a channel, made once. */
    lvt_value scale = lvt_im2(im, LVT_OP_mul, in[0], rstd);
    lvt_value shift = lvt_im2(im, LVT_OP_sub, in[1], lvt_im2(im, LVT_OP_mul, in[2], scale));
    return lvt_im_out(im, lvt_im2(im, LVT_OP_add, lvt_im2(im, LVT_OP_mul, x, scale), shift));
}

static bool instance_norm(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0), mean, var, rstd;
    int rank = lvt_im_type(im, x).rank;
    int64_t axes[LVT_MAX_RANK];
    if (rank < 3)
        return lvt_im_no(im, "its input has no spatial dimension");
    for (int i = 2; i < rank; i++)
        axes[i - 2] = i;
    lvt_value y = normalise(im, x, rank - 2, axes, lvt_im_float(im, "epsilon", 1e-5), &mean, &var, &rstd);
    y = lvt_im2(im, LVT_OP_mul, y, lvt_im_channels(im, lvt_im_in(im, 1), rank));
    return lvt_im_out(im, lvt_im2(im, LVT_OP_add, y, lvt_im_channels(im, lvt_im_in(im, 2), rank)));
}

/* Statistics of each group of channels of each image; scale and shift are those of the groups before operator
 * set 21. */
static bool group_norm(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0), mean, var, rstd;
    lvt_type t = lvt_im_type(im, x);
    int64_t groups = lvt_im_int(im, "num_groups", 0), inner = 1;
    if (t.rank < 2 || groups < 1 || t.dim[1] % groups)
        return lvt_im_no(im, "its groups do not divide its channels");
    for (int i = 2; i < t.rank; i++)
        inner *= t.dim[i];
    int64_t each = t.dim[1] / groups;
    x = lvt_build_reshape(&im->b, x, 4, (int64_t[]){t.dim[0], groups, each, inner});
    x = normalise(im, x, 2, (int64_t[]){2, 3}, lvt_im_float(im, "epsilon", 1e-5), &mean, &var, &rstd);
    for (size_t i = 1; i <= 2; i++) {
        lvt_value k = lvt_im_in(im, i);
        lvt_type kt = lvt_im_type(im, k);
        if (kt.rank != 1 || (kt.dim[0] != groups && kt.dim[0] != t.dim[1]))
            return lvt_im_no(im, "its scale or bias does not fit its channels");
        k = lvt_build_reshape(&im->b, k, 3, (int64_t[]){groups, kt.dim[0] / groups, 1});
        x = lvt_im2(im, i == 1 ? LVT_OP_mul : LVT_OP_add, x, k);
    }
    return lvt_im_out(im, lvt_build_reshape(&im->b, x, t.rank, t.dim));
}

static bool lp_norm(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0), size;
    int64_t axis = lvt_im_axis(im, -1, lvt_im_type(im, x).rank), p = lvt_im_int(im, "p", 2);
    if (axis < 0 || (p != 1 && p != 2))
        return axis < 0 ? false : lvt_im_no(im, "only the norms 1 and 2 are known");
    size = lvt_im1(im, p == 1 ? LVT_OP_abs : LVT_OP_square, x);
    size = lvt_build_reduce(&im->b, LVT_OP_reduce_sum, size, 1, &axis, true);
    size = lvt_im_root(im, size, (double)p);
    lvt_value none = lvt_imk(im, LVT_OP_eq, size, 0); /* zeros stay zeros */
    size = lvt_build_select(&im->b, none, lvt_im_number(im, size, 1), size);
    return lvt_im_out(im, lvt_im2(im, LVT_OP_div, x, size));
}

static bool mean_variance(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0);
    lvt_type t = lvt_im_type(im, x);
    int64_t axes[LVT_MAX_RANK] = {0, 2, 3};
    int n = lvt_im_ints(im, "axes", LVT_MAX_RANK, axes);
    if (n == -1)
        return false;
    n = n < 0 ? 3 : n;
    for (int i = 0; i < n; i++)
        if ((axes[i] < 0 ? axes[i] + t.rank : axes[i]) >= t.rank)
            return lvt_im_no(im, "its axes do not fit its input");
    lvt_value centred =
        lvt_im2(im, LVT_OP_sub, x, lvt_build_reduce(&im->b, LVT_OP_reduce_mean, x, n, axes, true));
    lvt_value var =
        lvt_build_reduce(&im->b, LVT_OP_reduce_mean, lvt_im1(im, LVT_OP_square, centred), n, axes, true);
    var = lvt_imk(im, LVT_OP_add, lvt_im_root(im, var, 2), 1e-9);
    return lvt_im_out(im, lvt_im2(im, LVT_OP_div, centred, var));
}

static bool layer_norm(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0), var;
    int rank = lvt_im_type(im, x).rank, n = 0;
    int64_t axis = lvt_im_int(im, "axis", -1), axes[LVT_MAX_RANK];
    axis += axis < 0 ? rank : 0;
    if (axis < 0 || axis >= rank)
        return lvt_im_no(im, "axis is out of range");
    for (int64_t i = axis; i < rank; i++)
        axes[n++] = i;
    lvt_value y =
        normalise(im, x, n, axes, lvt_im_float(im, "epsilon", 1e-5), &im->out[1], &var, &im->out[2]);
    y = lvt_im2(im, LVT_OP_mul, y, lvt_im_in(im, 1));
    return lvt_im_out(im, lvt_im_has(im, 2) ? lvt_im2(im, LVT_OP_add, y, lvt_im_in(im, 2)) : y);
}

static bool softmax(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0);
    lvt_type t = lvt_im_type(im, x);
    bool old = im->opset < 13; /* then: of all dims from the axis on */
    int64_t axis = lvt_im_int(im, "axis", old ? 1 : -1), rows = 1, columns = 1;
    axis += axis < 0 ? t.rank : 0;
    if (axis < 0 || axis >= t.rank)
        return lvt_im_no(im, "axis is out of range");
    for (int i = 0; i < t.rank; i++)
        *(i < axis ? &rows : &columns) *= t.dim[i];
    if (old)
        x = lvt_build_reshape(&im->b, x, 2, (int64_t[]){rows, columns});
    lvt_named_attr a = {"axis", lvt_attr_int(old ? 1 : axis)};
    lvt_value y;
    if (!strcmp(im->n->op_type, "Hardmax")) {
        int rank = old ? 2 : t.rank, last = old ? 1 : (int)axis;
        int64_t order[LVT_MAX_RANK];
        for (int i = 0, k = 0; i < rank; i++)
            order[i] = i == last ? rank - 1 : k++;
        lvt_value best = lvt_build(&im->b, LVT_OP_argmax, 1, &x, 1, &a);
        lvt_named_attr h[] = {{"size", lvt_attr_int(old ? columns : t.dim[axis])},
                              {"dtype", lvt_attr_dtype((lvt_dtype)t.dtype)}};
        y = lvt_build_transpose(&im->b, lvt_build(&im->b, LVT_OP_one_hot, 1, &best, 2, h), order);
    } else {
        y = lvt_build(&im->b, (lvt_op)lvt_im_code(im), 1, &x, 1, &a);
    }
    return lvt_im_out(im, old ? lvt_build_reshape(&im->b, y, t.rank, t.dim) : y);
}

static bool dropout(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0);
    lvt_type t = lvt_im_type(im, x), mask = t;
    double training = im->use->form == LVT_ONNX_TRAINING, ratio = lvt_im_float(im, "ratio", 0.5);
    if (im->use->form == LVT_ONNX_AS_IS && lvt_im_has(im, 2) && lvt_im_numbers(im, 2, 1, &training) != 1)
        return false;
    if (lvt_im_has(im, 1) && training != 0 && lvt_im_numbers(im, 1, 1, &ratio) != 1)
        return false;
    mask.dtype = LVT_BOOL;
    if (training == 0 || ratio == 0) {
        if (im->n->n_output > 1)
            im->out[1] = lvt_build_full(&im->b, &mask, 1);
        return lvt_im_out(im, x);
    }
    if (!(ratio > 0 && ratio < 1))
        return lvt_im_no(im, "its ratio %g is not between 0 and 1", ratio);
    if (im->use->form == LVT_ONNX_AS_IS)
        return lvt_im_no(im, "dropout in training is supported in an imported block only");
    lvt_value key = im->use->step;
    if (key == LVT_NONE && (!im->use->key || (key = im->use->key(im->use->user)) == LVT_NONE))
        return lvt_im_no(im, "dropout in training needs the entry's input `step`, i32[2], of seed and step "
                             "number, or `training = false`");
    lvt_named_attr a[] = {{"shape", lvt_attr_ints(t.dim, t.rank)},
                          {"stream", lvt_attr_int((*im->use->streams)++)}};
    lvt_value r = lvt_build(&im->b, LVT_OP_random_uniform, 1, &key, 2, a);
    lvt_value keep = lvt_imk(im, LVT_OP_ge, r, ratio), y = lvt_imk(im, LVT_OP_mul, x, 1 / (1 - ratio));
    im->out[1] = keep;
    return lvt_im_out(im, lvt_build_select(&im->b, keep, y, lvt_build_full(&im->b, &t, 0)));
}

const lvt_im_row lvt_im_nets[] = {{"MatMul", matmul, 0},
                                  {"Gemm", gemm, 0},
                                  {"Conv", conv, 0},
                                  {"ConvTranspose", conv, 0},
                                  {"BatchNormalization", batch_norm, 0},
                                  {"InstanceNormalization", instance_norm, 0},
                                  {"LayerNormalization", layer_norm, 0},
                                  {"GroupNormalization", group_norm, 0},
                                  {"LpNormalization", lp_norm, 0},
                                  {"MeanVarianceNormalization", mean_variance, 0},
                                  {"Softmax", softmax, LVT_OP_softmax},
                                  {"LogSoftmax", softmax, LVT_OP_log_softmax},
                                  {"Hardmax", softmax, 0},
                                  {"Dropout", dropout, 0},
                                  {0}};
