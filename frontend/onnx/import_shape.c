/* Imported operators that move elements. May not know: files. */
#include "importer.h"

#include <string.h>

static int64_t count(const lvt_type *t, int from, int to) {
    int64_t n = 1;
    for (int i = from; i < to; i++)
        n *= t->dim[i];
    return n;
}

static lvt_value pick(lvt_importer *im, lvt_value x, int axis, int64_t n, const double *index) {
    lvt_named_attr a = {"axis", lvt_attr_int(axis)};
    return lvt_build(&im->b, LVT_OP_gather, 2, (lvt_value[]){x, lvt_im_vector(im, n, index, LVT_I32)}, 1, &a);
}

static bool shape(lvt_importer *im) {
    lvt_type t = lvt_im_type(im, lvt_im_in(im, 0));
    int64_t start = lvt_im_int(im, "start", 0), end = lvt_im_int(im, "end", t.rank), n = 0;
    double dims[LVT_MAX_RANK];
    start += start < 0 ? t.rank : 0;
    end += end < 0 ? t.rank : 0;
    for (int64_t i = start < 0 ? 0 : start; i < end && i < t.rank; i++)
        dims[n++] = (double)t.dim[i];
    return n ? lvt_im_out(im, lvt_im_vector(im, n, dims, LVT_I32)) : lvt_im_no(im, "its result is empty");
}

static bool size(lvt_importer *im) {
    lvt_type t = lvt_im_type(im, lvt_im_in(im, 0));
    return lvt_im_out(im, lvt_build_scalar(&im->b, LVT_I32, (double)lvt_numel(&t)));
}

static bool reshape(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0);
    lvt_type t = lvt_im_type(im, x);
    int64_t dims[LVT_MAX_RANK], known = 1;
    int n = lvt_im_either(im, 1, "shape", LVT_MAX_RANK, dims), free = -1;
    bool zeros = lvt_im_int(im, "allowzero", 0); /* a 0 is a size, not the input's */
    if (n < 0)
        return n == -1 ? false : lvt_im_no(im, "it has no shape");
    for (int i = 0; i < n; i++) {
        if (dims[i] == 0 && i < t.rank && !zeros)
            dims[i] = t.dim[i];
        if (dims[i] == -1 && free < 0)
            free = i;
        else if (dims[i] < 1 || known > LVT_MAX_DIM / dims[i])
            return lvt_im_no(im, "a dimension of its shape cannot be used");
        else
            known *= dims[i];
    }
    if (free >= 0)
        dims[free] = lvt_numel(&t) / known;
    return lvt_im_out(im, lvt_build_reshape(&im->b, x, n, dims));
}

static bool flatten(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0);
    lvt_type t = lvt_im_type(im, x);
    int64_t axis = lvt_im_int(im, "axis", 1);
    axis += axis < 0 ? t.rank : 0;
    if (axis < 0 || axis > t.rank)
        return lvt_im_no(im, "axis is out of range");
    int64_t dims[] = {count(&t, 0, (int)axis), count(&t, (int)axis, t.rank)};
    return lvt_im_out(im, lvt_build_reshape(&im->b, x, 2, dims));
}

static bool squeeze(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0);
    lvt_type t = lvt_im_type(im, x), y = {0};
    int64_t axes[LVT_MAX_RANK];
    int n = lvt_im_either(im, 1, "axes", LVT_MAX_RANK, axes);
    if (n == -1)
        return false;
    for (int i = 0; i < t.rank; i++) {
        bool gone = n < 0 && t.dim[i] == 1;
        for (int k = 0; k < n; k++)
            gone |= (axes[k] < 0 ? axes[k] + t.rank : axes[k]) == i;
        if (gone && t.dim[i] != 1)
            return lvt_im_no(im, "dimension %d is %lld, not 1", i, (long long)t.dim[i]);
        if (!gone)
            y.dim[y.rank++] = t.dim[i];
    }
    return lvt_im_out(im, lvt_build_reshape(&im->b, x, y.rank, y.dim));
}

static bool unsqueeze(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0);
    lvt_type t = lvt_im_type(im, x);
    int64_t axes[LVT_MAX_RANK], dims[LVT_MAX_RANK] = {0};
    int n = lvt_im_either(im, 1, "axes", LVT_MAX_RANK, axes), rank = t.rank + n;
    if (n < 0 || rank > LVT_MAX_RANK)
        return n == -1 ? false : lvt_im_no(im, "the result has more than %d dimensions", LVT_MAX_RANK);
    for (int k = 0; k < n; k++) {
        int64_t a = axes[k] < 0 ? axes[k] + rank : axes[k];
        if (a < 0 || a >= rank || dims[a])
            return lvt_im_no(im, "its axes cannot be used");
        dims[a] = 1;
    }
    for (int i = 0, k = 0; i < rank; i++)
        if (!dims[i])
            dims[i] = t.dim[k++];
    return lvt_im_out(im, lvt_build_reshape(&im->b, x, rank, dims));
}

static bool transpose(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0);
    int rank = lvt_im_type(im, x).rank;
    int64_t order[LVT_MAX_RANK];
    int n = lvt_im_ints(im, "perm", LVT_MAX_RANK, order);
    if (n == -1 || (n >= 0 && n != rank))
        return lvt_im_no(im, "perm does not fit its input");
    for (int i = 0; n < 0 && i < rank; i++)
        order[i] = rank - 1 - i;
    return lvt_im_out(im, lvt_build_transpose(&im->b, x, order));
}

static bool expand(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0);
    int64_t dims[LVT_MAX_RANK];
    int n = lvt_im_list(im, 1, LVT_MAX_RANK, dims);
    lvt_type t = lvt_im_type(im, x), want, wide;
    for (int i = 0; i < n; i++)
        if (dims[i] < 1 || dims[i] > LVT_MAX_DIM)
            return lvt_im_no(im, "a dimension of its shape cannot be used");
    if (n < 0)
        return false;
    want = lvt_type_make((lvt_dtype)t.dtype, n, dims);
    if (!lvt_broadcast_types(&t, &want, &wide))
        return lvt_im_no(im, "its input does not fit the shape");
    return lvt_im_out(im, lvt_build_broadcast(&im->b, x, wide.rank, wide.dim));
}

static bool tile(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0);
    int64_t times[LVT_MAX_RANK];
    int n = lvt_im_list(im, 1, LVT_MAX_RANK, times), rank = lvt_im_type(im, x).rank;
    if (n < 0 || n != rank)
        return lvt_im_no(im, "its repeats are not known, or do not fit");
    for (int i = 0; i < n; i++) {
        if (times[i] < 1 || times[i] > 1024)
            return lvt_im_no(im, "%lld repeats are not supported", (long long)times[i]);
        lvt_value *parts = lvt_arena_alloc(im->arena, (size_t)times[i] * sizeof *parts);
        for (int64_t k = 0; parts && k < times[i]; k++)
            parts[k] = x;
        x = !parts ? LVT_NONE : times[i] == 1 ? x : lvt_build_concat(&im->b, (uint32_t)times[i], parts, i);
    }
    return lvt_im_out(im, x);
}

static bool concat(lvt_importer *im) {
    size_t n = 0, all = im->n->n_input;
    lvt_value *parts = lvt_arena_alloc(im->arena, (all + 1) * sizeof *parts);
    for (size_t i = 0; parts && i < all; i++)
        if (!lvt_im_is_empty(im, i))
            parts[n++] = lvt_im_in(im, i);
    if (!parts || !all)
        return false;
    if (!n)
        return lvt_im_out_empty(im);
    int axis = lvt_im_axis(im, 0, lvt_im_type(im, parts[0]).rank);
    if (axis < 0)
        return false;
    return lvt_im_out(im, n == 1 ? parts[0] : lvt_build_concat(&im->b, (uint32_t)n, parts, axis));
}

static bool split(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0);
    lvt_type t = lvt_im_type(im, x);
    int64_t sizes[LVT_IM_OUTPUTS], at = 0, outputs = (int64_t)im->n->n_output;
    int axis = lvt_im_axis(im, 0, t.rank), n = lvt_im_either(im, 1, "split", LVT_IM_OUTPUTS, sizes);
    if (lvt_im_int(im, "num_outputs", outputs) != outputs)
        return lvt_im_no(im, "its num_outputs are not its outputs");
    if (axis < 0 || n == -1 || outputs > LVT_IM_OUTPUTS || (n >= 0 && n != outputs) || !outputs)
        return axis < 0 || n == -1 ? false : lvt_im_no(im, "its sizes do not fit its outputs");
    int64_t each = (t.dim[axis] + outputs - 1) / outputs;
    for (int64_t k = 0; k < outputs; k++) {
        int64_t rest = t.dim[axis] - at, size = n >= 0 ? sizes[k] : each < rest ? each : rest;
        if (size < 0 || size > rest)
            return lvt_im_no(im, "an output would be too large");
        if (size == 0) {
            im->empty_results |= (uint64_t)1 << k;
            continue;
        }
        int64_t end = at + size;
        if ((im->out[k] = lvt_build_slice(&im->b, x, axis, at, end)) == LVT_NONE)
            return false;
        at = end;
    }
    return true;
}

static bool slice(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0);
    lvt_type t = lvt_im_type(im, x);
    int64_t from[LVT_MAX_RANK], to[LVT_MAX_RANK], axes[LVT_MAX_RANK], steps[LVT_MAX_RANK];
    bool inputs = im->opset >= 10;
    int n = inputs ? lvt_im_list(im, 1, LVT_MAX_RANK, from) : lvt_im_ints(im, "starts", LVT_MAX_RANK, from);
    int m = inputs ? lvt_im_list(im, 2, LVT_MAX_RANK, to) : lvt_im_ints(im, "ends", LVT_MAX_RANK, to);
    int a = inputs && lvt_im_has(im, 3) ? lvt_im_list(im, 3, LVT_MAX_RANK, axes)
            : inputs                    ? -2
                                        : lvt_im_ints(im, "axes", LVT_MAX_RANK, axes);
    int s = inputs && lvt_im_has(im, 4) ? lvt_im_list(im, 4, LVT_MAX_RANK, steps) : -2;
    if (n < 0 || m != n || a == -1 || s == -1 || (a >= 0 && a != n) || (s >= 0 && s != n))
        return im->why[0] ? false : lvt_im_no(im, "its bounds do not fit together");
    for (int k = 0; k < n; k++) {
        int64_t axis = a < 0 ? k : axes[k] < 0 ? axes[k] + t.rank : axes[k], step = s < 0 ? 1 : steps[k];
        if (axis < 0 || axis >= t.rank || step == 0 || step == INT64_MIN)
            return lvt_im_no(im, "its axes or steps cannot be used");
        int64_t d = t.dim[axis], low = step > 0 ? 0 : -1, high = step > 0 ? d : d - 1;
        int64_t begin = from[k] < 0 ? (from[k] < -d ? -1 : from[k] + d) : from[k];
        int64_t end = to[k] < 0 ? (to[k] < -d ? -1 : to[k] + d) : to[k];
        begin = begin < 0 ? (step > 0 ? 0 : from[k] < -d ? 0 : low) : begin > high ? high : begin;
        end = end < low ? low : end > d ? d : end;
        if (step > 0 ? begin >= end : begin <= end)
            return lvt_im_out_empty(im);
        if (step > 0) {
            lvt_named_attr at[] = {{"axis", lvt_attr_int(axis)},
                                   {"begin", lvt_attr_int(begin)},
                                   {"end", lvt_attr_int(end)},
                                   {"step", lvt_attr_int(step > d ? d : step)}};
            x = lvt_build(&im->b, LVT_OP_slice, 1, &x, 4, at);
        } else {
            double *index = lvt_arena_alloc(im->arena, (size_t)d * sizeof *index);
            int64_t c = 0;
            for (int64_t i = begin; index && i > end; i = i < -step ? -1 : i + step)
                index[c++] = (double)i;
            if (!index)
                return false;
            x = pick(im, x, (int)axis, c, index);
        }
    }
    return lvt_im_out(im, x);
}

static bool pad(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0);
    lvt_type t = lvt_im_type(im, x);
    int64_t pads[2 * LVT_MAX_RANK];
    double value = lvt_im_float(im, "value", 0);
    int n = im->opset >= 11 ? lvt_im_list(im, 1, 2 * LVT_MAX_RANK, pads)
                            : lvt_im_ints(im, "pads", 2 * LVT_MAX_RANK, pads);
    const char *mode = lvt_im_string(im, "mode", "constant");
    int64_t axes[LVT_MAX_RANK], seen = 0;
    int m = t.rank;
    for (int i = 0; i < m; i++)
        axes[i] = i;
    if (lvt_im_has(im, 3) && (m = lvt_im_list(im, 3, LVT_MAX_RANK, axes)) < 0)
        return false;
    if (n < 0 || n != 2 * m)
        return im->why[0] ? false : lvt_im_no(im, "its pads do not fit its input or axes");
    if (im->opset >= 11 && lvt_im_has(im, 2) && lvt_im_numbers(im, 2, 1, &value) < 0)
        return false;
    for (int k = 0; k < m; k++) {
        int64_t before = pads[k], after = pads[k + m], axis = axes[k] < 0 ? axes[k] + t.rank : axes[k];
        if (axis < 0 || axis >= t.rank || seen >> axis & 1)
            return lvt_im_no(im, "its axes cannot be used");
        seen |= (int64_t)1 << axis;
        int i = (int)axis;
        int64_t d = t.dim[i];
        if (before < -d || after < -d || before > 1 << 20 || after > 1 << 20 ||
            d + (before < 0 ? before : 0) + (after < 0 ? after : 0) < 1)
            return lvt_im_no(im, "its pads leave nothing, or are too large");
        if (before < 0 || after < 0) { /* a negative pad takes elements away */
            x = lvt_build_slice(&im->b, x, i, before < 0 ? -before : 0, after < 0 ? d + after : d);
            d += (before < 0 ? before : 0) + (after < 0 ? after : 0);
            before = before < 0 ? 0 : before;
            after = after < 0 ? 0 : after;
        }
        if (!before && !after)
            continue;
        if (!strcmp(mode, "constant")) {
            x = lvt_im_pad(im, x, i, before, after, value);
            continue;
        }
        bool edge = !strcmp(mode, "edge"), wrap = !strcmp(mode, "wrap");
        if (!edge && !wrap && strcmp(mode, "reflect"))
            return lvt_im_no(im, "mode %s is not supported", mode);
        double *index = lvt_arena_alloc(im->arena, (size_t)(before + d + after) * sizeof *index);
        int64_t turn = d > 1 ? 2 * d - 2 : 1; /* of reflections */
        for (int64_t j = 0; index && j < before + d + after; j++) {
            int64_t at = j - before, there = ((at % turn) + turn) % turn;
            at = edge   ? (at < 0    ? 0
                           : at >= d ? d - 1
                                     : at)
                 : wrap ? ((at % d) + d) % d
                        : (there < d ? there : turn - there);
            index[j] = (double)at;
        }
        x = index ? pick(im, x, i, before + d + after, index) : LVT_NONE;
    }
    return lvt_im_out(im, x);
}

static bool cast(lvt_importer *im) {
    bool like = !strcmp(im->n->op_type, "CastLike");
    int64_t to = lvt_im_int(im, "to", 0);
    lvt_value x = lvt_im_in(im, 0);
    if (like) /* of which nothing but the type is read */
        to = lvt_im_onnx_type(im, 1);
    if (like && !to)
        return lvt_im_out(im, lvt_build_cast(&im->b, x, (lvt_dtype)lvt_im_type(im, lvt_im_in(im, 1)).dtype));
    int dtype = to > 0 && to < 100 ? lvt_onnx_dtype((int)to) : -1;
    if (dtype < 0)
        return lvt_im_no(im, "element type %s is not supported", lvt_onnx_type_name((int)to));
    return lvt_im_out(im, lvt_build_cast(&im->b, x, (lvt_dtype)dtype));
}

static bool constant(lvt_importer *im) {
    const Onnx__AttributeProto *a =
        im->n->n_attribute == 1 ? lvt_im_attr(im, im->n->attribute[0]->name) : NULL;
    if (!a || !a->name)
        return lvt_im_no(im, "it has no value");
    for (size_t i = 0; a->t && i < a->t->n_dims; i++)
        if (a->t->dims[i] == 0)
            return lvt_im_out_empty(im);
    if (a->t && !strcmp(a->name, "value"))
        return lvt_im_out_tensor(im, a->t);
    size_t n = a->n_floats ? a->n_floats : a->n_ints;
    double *x = lvt_arena_alloc(im->arena, (n + 1) * sizeof *x);
    for (size_t i = 0; x && i < n; i++)
        x[i] = a->n_floats ? a->floats[i] : (double)a->ints[i];
    if (!strcmp(a->name, "value_float"))
        return lvt_im_out(im, lvt_build_scalar(&im->b, LVT_F32, a->f));
    if (!strcmp(a->name, "value_int"))
        return lvt_im_out(im, lvt_build_scalar(&im->b, LVT_I32, (double)a->i));
    if (n && (!strcmp(a->name, "value_floats") || !strcmp(a->name, "value_ints")))
        return lvt_im_out(im,
                          x ? lvt_im_vector(im, (int64_t)n, x, a->n_floats ? LVT_F32 : LVT_I32) : LVT_NONE);
    return lvt_im_no(im, "its %s is not supported", a->name);
}

static bool constant_of_shape(lvt_importer *im) {
    int64_t dims[LVT_MAX_RANK];
    int n = lvt_im_list(im, 0, LVT_MAX_RANK, dims);
    const Onnx__AttributeProto *a = lvt_im_attr(im, "value");
    lvt_value x = a && a->t ? lvt_im_tensor_value(im, a->t) : lvt_build_scalar(&im->b, LVT_F32, 0);
    for (int i = 0; i < n; i++)
        if (dims[i] < 0 || dims[i] > LVT_MAX_DIM)
            return lvt_im_no(im, "its result is too large");
    for (int i = 0; i < n; i++)
        if (!dims[i])
            return lvt_im_out_empty(im);
    return n < 0
               ? false
               : lvt_im_out(im, lvt_build_broadcast(&im->b, lvt_build_reshape(&im->b, x, 0, NULL), n, dims));
}

static bool range(lvt_importer *im) {
    double p[3];
    for (size_t i = 0; i < 3; i++)
        if (lvt_im_numbers(im, i, 1, &p[i]) != 1)
            return false;
    lvt_dtype dtype = (lvt_dtype)lvt_im_type(im, lvt_im_in(im, 0)).dtype;
    double n = (p[1] - p[0]) / p[2];
    if (!(n > 0) || n > 1 << 24)
        return lvt_im_no(im, "its result is empty or too large");
    int64_t c = (int64_t)n + ((double)(int64_t)n < n);
    double *x = lvt_arena_alloc(im->arena, (size_t)c * sizeof *x);
    for (int64_t i = 0; x && i < c; i++)
        x[i] = p[0] + (double)i * p[2];
    return lvt_im_out(im, x ? lvt_im_vector(im, c, x, dtype) : LVT_NONE);
}

/* 1 where condition(row, column) holds, as a constant of the last two dims. */
static lvt_value mask(lvt_importer *im, int64_t rows, int64_t columns, int kind, int64_t k) {
    lvt_type t = lvt_type_make(LVT_BOOL, 2, (int64_t[]){rows, columns});
    double *x =
        rows * columns <= 1 << 24 ? lvt_arena_alloc(im->arena, (size_t)(rows * columns) * sizeof *x) : NULL;
    for (int64_t i = 0; x && i < rows * columns; i++) {
        int64_t d = i % columns - i / columns;
        x[i] = kind > 0 ? d >= k : kind < 0 ? d <= k : d == k;
    }
    return x ? lvt_im_constant(im, &t, x) : LVT_NONE;
}

static bool trilu(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0);
    lvt_type t = lvt_im_type(im, x);
    double k = 0;
    if (t.rank < 2 || (lvt_im_has(im, 1) && lvt_im_numbers(im, 1, 1, &k) != 1))
        return im->why[0] ? false : lvt_im_no(im, "its input is no matrix");
    lvt_value m =
        mask(im, t.dim[t.rank - 2], t.dim[t.rank - 1], lvt_im_int(im, "upper", 1) ? 1 : -1, (int64_t)k);
    return lvt_im_out(im, lvt_build_select(&im->b, m, x, lvt_im_number(im, x, 0)));
}

static bool eye_like(lvt_importer *im) {
    lvt_type t = lvt_im_type(im, lvt_im_in(im, 0));
    int64_t to = lvt_im_int(im, "dtype", 0);
    int dtype = to > 0 && to < 100 ? lvt_onnx_dtype((int)to) : t.dtype;
    if (t.rank != 2 || dtype < 0)
        return lvt_im_no(im, "its input is no matrix, or its type not supported");
    return lvt_im_out(im, lvt_build_cast(&im->b, mask(im, t.dim[0], t.dim[1], 0, lvt_im_int(im, "k", 0)),
                                         (lvt_dtype)dtype));
}

static bool depth_space(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0);
    lvt_type t = lvt_im_type(im, x);
    int64_t s = lvt_im_int(im, "blocksize", 0), *d = t.dim;
    bool to_space = !strcmp(im->n->op_type, "DepthToSpace");
    if (t.rank != 4 || s < 1 || s > 4096 || (to_space ? d[1] % (s * s) : d[2] % s || d[3] % s))
        return lvt_im_no(im, "its blocksize does not fit its input");
    if (to_space) {
        bool crd = !strcmp(lvt_im_string(im, "mode", "DCR"), "CRD");
        int64_t c = d[1] / (s * s), dcr6[] = {d[0], s, s, c, d[2], d[3]},
                crd6[] = {d[0], c, s, s, d[2], d[3]};
        x = lvt_build_reshape(&im->b, x, 6, crd ? crd6 : dcr6);
        x = lvt_build_transpose(&im->b, x,
                                crd ? (int64_t[]){0, 1, 4, 2, 5, 3} : (int64_t[]){0, 3, 4, 1, 5, 2});
        return lvt_im_out(im, lvt_build_reshape(&im->b, x, 4, (int64_t[]){d[0], c, d[2] * s, d[3] * s}));
    }
    bool crd = !strcmp(lvt_im_string(im, "mode", "DCR"), "CRD");
    x = lvt_build_reshape(&im->b, x, 6, (int64_t[]){d[0], d[1], d[2] / s, s, d[3] / s, s});
    x = lvt_build_transpose(&im->b, x, crd ? (int64_t[]){0, 1, 3, 5, 2, 4} : (int64_t[]){0, 3, 5, 1, 2, 4});
    return lvt_im_out(im,
                      lvt_build_reshape(&im->b, x, 4, (int64_t[]){d[0], d[1] * s * s, d[2] / s, d[3] / s}));
}

const lvt_im_row lvt_im_shapes[] = {{"Shape", shape, 0},
                                    {"Size", size, 0},
                                    {"Reshape", reshape, 0},
                                    {"Flatten", flatten, 0},
                                    {"Squeeze", squeeze, 0},
                                    {"Unsqueeze", unsqueeze, 0},
                                    {"Transpose", transpose, 0},
                                    {"Expand", expand, 0},
                                    {"Tile", tile, 0},
                                    {"Concat", concat, 0},
                                    {"Split", split, 0},
                                    {"Slice", slice, 0},
                                    {"Pad", pad, 0},
                                    {"Cast", cast, 0},
                                    {"CastLike", cast, 0},
                                    {"Constant", constant, 0},
                                    {"ConstantOfShape", constant_of_shape, 0},
                                    {"Range", range, 0},
                                    {"Trilu", trilu, 0},
                                    {"EyeLike", eye_like, 0},
                                    {"DepthToSpace", depth_space, 0},
                                    {"SpaceToDepth", depth_space, 0},
                                    {0}};
