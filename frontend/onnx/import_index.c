/* Imported operators with indices: gather and scatter of all kinds, largest elements, what is chosen by a
 * constant. They come down to gather and its gradient, a sum by index, over a table with one row an index.
 * May not know: files. */
#include "importer.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int64_t count(const lvt_type *t, int from, int to) {
    int64_t n = 1;
    for (int i = from; i < to; i++)
        n *= t->dim[i];
    return n;
}

/* Small types have no arithmetic here and no sums: they are moved as i32. */
static lvt_value wide(lvt_importer *im, lvt_value x) {
    uint8_t d = lvt_im_type(im, x).dtype;
    return d == LVT_U8 || d == LVT_BOOL ? lvt_build_cast(&im->b, x, LVT_I32) : x;
}

static lvt_value take(lvt_importer *im, lvt_value x, lvt_value index, int axis) {
    lvt_dtype dtype = (lvt_dtype)lvt_im_type(im, x).dtype;
    lvt_named_attr a = {"axis", lvt_attr_int(axis)};
    x = lvt_build(&im->b, LVT_OP_gather, 2, (lvt_value[]){wide(im, x), index}, 1, &a);
    return x == LVT_NONE ? x : lvt_build_cast(&im->b, x, dtype);
}

static lvt_value flatten(lvt_importer *im, lvt_value x) {
    lvt_type t = lvt_im_type(im, x);
    int64_t n = lvt_numel(&t);
    return lvt_build_reshape(&im->b, x, 1, &n);
}

static bool gather(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0), index = lvt_im_in(im, 1);
    lvt_type t = lvt_im_type(im, x);
    int axis = lvt_im_axis(im, 0, t.rank);
    if (axis < 0)
        return false;
    index = lvt_im_from_front(im, lvt_build_cast(&im->b, index, LVT_I32), t.dim[axis]);
    return lvt_im_out(im, take(im, x, index, axis));
}

/* The place of each element of an index along an axis in the flat table of type t. */
static lvt_value elements(lvt_importer *im, const lvt_type *t, lvt_value index, int axis) {
    lvt_type u = lvt_im_type(im, index);
    lvt_value flat = LVT_NONE;
    index = lvt_im_from_front(im, lvt_build_cast(&im->b, index, LVT_I32), t->dim[axis]);
    for (int i = 0; i < t->rank; i++) {
        lvt_value at = i == axis ? index : lvt_im_iota(im, u.rank, u.dim, i);
        at = lvt_imk(im, LVT_OP_mul, at, (double)count(t, i + 1, t->rank));
        flat = i ? lvt_im2(im, LVT_OP_add, flat, at) : at;
    }
    return flat;
}

static bool gather_elements(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0), index = lvt_im_in(im, 1);
    lvt_type t = lvt_im_type(im, x), u = lvt_im_type(im, index);
    int axis = lvt_im_axis(im, 0, t.rank);
    if (axis < 0 || u.rank != t.rank)
        return axis < 0 ? false : lvt_im_no(im, "its index has another rank");
    return lvt_im_out(im, take(im, flatten(im, x), elements(im, &t, index, axis), 0));
}

/* Places of the index tuples, the last dim of `index`, in dims [first, first + q) of t; after `first` dims
 * that index and table share. Shape: that of the index without its last dim. */
static lvt_value tuples(lvt_importer *im, const lvt_type *t, lvt_value index, int first) {
    lvt_type u = lvt_im_type(im, index);
    int q = (int)u.dim[u.rank - 1];
    lvt_value flat = LVT_NONE;
    index = lvt_build_cast(&im->b, index, LVT_I32);
    u.rank--;
    for (int k = 0; k < first + q; k++) {
        lvt_value at;
        if (k < first) {
            at = lvt_im_iota(im, u.rank, u.dim, k);
        } else {
            at = lvt_build_slice(&im->b, index, u.rank, k - first, k - first + 1);
            at = lvt_im_from_front(im, lvt_build_reshape(&im->b, at, u.rank, u.dim), t->dim[k]);
        }
        at = lvt_imk(im, LVT_OP_mul, at, (double)count(t, k + 1, first + q));
        flat = k ? lvt_im2(im, LVT_OP_add, flat, at) : at;
    }
    return flat;
}

static bool gather_nd(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0), index = lvt_im_in(im, 1);
    lvt_type t = lvt_im_type(im, x), u = lvt_im_type(im, index), y = {0};
    int64_t shared = lvt_im_int(im, "batch_dims", 0), q = u.rank ? u.dim[u.rank - 1] : 0;
    if (shared < 0 || q < 1 || shared >= u.rank || shared + q > t.rank ||
        u.rank - 1 + t.rank - shared - q > LVT_MAX_RANK ||
        memcmp(t.dim, u.dim, (size_t)shared * sizeof *t.dim))
        return lvt_im_no(im, "its index does not fit its input");
    lvt_value at = flatten(im, tuples(im, &t, index, (int)shared));
    int rows = (int)(shared + q);
    x = lvt_build_reshape(&im->b, x, 2, (int64_t[]){count(&t, 0, rows), count(&t, rows, t.rank)});
    for (int i = 0; i + 1 < u.rank; i++)
        y.dim[y.rank++] = u.dim[i];
    for (int i = rows; i < t.rank; i++)
        y.dim[y.rank++] = t.dim[i];
    return lvt_im_out(im, lvt_build_reshape(&im->b, take(im, x, at, 0), y.rank, y.dim));
}

/* Rows of `updates` [m,inner] into rows `index` [m] of `table` [n,inner]. What the last of equal indices
 * would write is for `none` not defined by ONNX: here they add up. */
static lvt_value scatter(lvt_importer *im, lvt_value table, lvt_value index, lvt_value updates,
                         const char *how) {
    lvt_builder *b = &im->b;
    lvt_type t = lvt_im_type(im, table), u = lvt_im_type(im, updates);
    lvt_named_attr a[] = {{"axis", lvt_attr_int(0)}, {"size", lvt_attr_int(t.dim[0])}};
    static const struct {
        const char *name;
        lvt_op op;
    } ops[] = {{"mul", LVT_OP_mul}, {"max", LVT_OP_max}, {"min", LVT_OP_min}};
    table = wide(im, table);
    updates = wide(im, updates);
    if (!strcmp(how, "none") || !strcmp(how, "add")) {
        lvt_value sum = lvt_build(b, LVT_OP_gather_grad, 2, (lvt_value[]){updates, index}, 2, a);
        if (!strcmp(how, "add")) {
            table = lvt_im2(im, LVT_OP_add, table, sum);
        } else {
            lvt_type one = lvt_type_make(LVT_I32, 2, (int64_t[]){u.dim[0], 1});
            lvt_value hit = lvt_build_full(b, &one, 1);
            hit = lvt_build(b, LVT_OP_gather_grad, 2, (lvt_value[]){hit, index}, 2, a);
            table = lvt_build_select(b, lvt_imk(im, LVT_OP_gt, hit, 0), sum, table);
        }
        return table == LVT_NONE ? table : lvt_build_cast(b, table, (lvt_dtype)t.dtype);
    }
    for (size_t k = 0; k < sizeof ops / sizeof *ops; k++) { /* one row after the other */
        if (strcmp(ops[k].name, how))
            continue;
        if (u.dim[0] > 256) {
            lvt_im_no(im, "reduction %s of more than 256 rows is not supported", how);
            return LVT_NONE;
        }
        lvt_type place = lvt_type_make(LVT_I32, 2, (int64_t[]){t.dim[0], 1});
        lvt_value rows = lvt_im_iota(im, place.rank, place.dim, 0);
        for (int64_t i = 0; i < u.dim[0]; i++) {
            lvt_value at = lvt_build_slice(b, index, 0, i, i + 1),
                      row = lvt_build_slice(b, updates, 0, i, i + 1);
            lvt_value hit = lvt_im2(im, LVT_OP_eq, rows, at);
            table = lvt_build_select(b, hit, lvt_im2(im, ops[k].op, table, row), table);
        }
        return table == LVT_NONE ? table : lvt_build_cast(b, table, (lvt_dtype)t.dtype);
    }
    lvt_im_no(im, "reduction %s is not known", how);
    return LVT_NONE;
}

static bool scatter_elements(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0), index = lvt_im_in(im, 1), updates = lvt_im_in(im, 2);
    lvt_type t = lvt_im_type(im, x), u = lvt_im_type(im, index), v = lvt_im_type(im, updates);
    int axis = lvt_im_axis(im, 0, t.rank);
    if (axis < 0 || u.rank != t.rank || !lvt_shape_equal(&u, &v))
        return axis < 0 ? false : lvt_im_no(im, "its index does not fit its input or its updates");
    index = flatten(im, elements(im, &t, index, axis));
    x = lvt_build_reshape(&im->b, x, 2, (int64_t[]){lvt_numel(&t), 1});
    updates = lvt_build_reshape(&im->b, updates, 2, (int64_t[]){lvt_numel(&u), 1});
    x = scatter(im, x, index, updates, lvt_im_string(im, "reduction", "none"));
    return lvt_im_out(im, lvt_build_reshape(&im->b, x, t.rank, t.dim));
}

static bool scatter_nd(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0), index = lvt_im_in(im, 1), updates = lvt_im_in(im, 2);
    lvt_type t = lvt_im_type(im, x), u = lvt_im_type(im, index), v = lvt_im_type(im, updates);
    int q = u.rank && u.dim[u.rank - 1] <= t.rank ? (int)u.dim[u.rank - 1] : 0;
    if (!q)
        return lvt_im_no(im, "its index does not fit its input");
    int64_t rows = count(&u, 0, u.rank - 1), inner = count(&t, q, t.rank);
    if (lvt_numel(&v) != rows * inner)
        return lvt_im_no(im, "its updates do not fit its index");
    index = flatten(im, tuples(im, &t, index, 0));
    x = lvt_build_reshape(&im->b, x, 2, (int64_t[]){count(&t, 0, q), inner});
    updates = lvt_build_reshape(&im->b, updates, 2, (int64_t[]){rows, inner});
    x = scatter(im, x, index, updates, lvt_im_string(im, "reduction", "none"));
    return lvt_im_out(im, lvt_build_reshape(&im->b, x, t.rank, t.dim));
}

/* k times the largest of what is left. */
static bool top_k(lvt_importer *im) {
    lvt_builder *b = &im->b;
    lvt_value x = lvt_im_in(im, 0), values[64], indices[64];
    lvt_type t = lvt_im_type(im, x), one = t;
    double k = (double)lvt_im_int(im, "k", 0);
    int axis = lvt_im_axis(im, -1, t.rank);
    if (axis < 0 || (lvt_im_has(im, 1) && lvt_im_numbers(im, 1, 1, &k) != 1))
        return false;
    if (!(k >= 1 && k <= 64 && k <= (double)t.dim[axis]) || t.dtype == LVT_U8 || t.dtype == LVT_BOOL)
        return lvt_im_no(im, "%g elements of %lld, or their type, are not supported", k,
                         (long long)t.dim[axis]);
    bool largest = lvt_im_int(im, "largest", 1), whole = t.dtype == LVT_I32;
    /* What is taken lies below all others, those of -infinity too; among the smallest NaN comes last. */
    static const double lowest[LVT_N_DTYPES][2] = {[LVT_F32] = {-0x1.fffffcp127, -0x1.fffffep127},
                                                   [LVT_BF16] = {-0x1.fcp127, -0x1.fep127},
                                                   [LVT_F64] = {-0x1.ffffffffffffep1023, -DBL_MAX},
                                                   [LVT_I32] = {INT32_MIN + 1.0}};
    double floor = whole ? INT32_MIN : -INFINITY;
    lvt_value key = largest ? x : lvt_im1(im, LVT_OP_neg, x), places = lvt_im_iota(im, t.rank, t.dim, axis);
    lvt_named_attr a = {"axis", lvt_attr_int(axis)};
    key = lvt_imk(im, LVT_OP_max, key, lowest[t.dtype][0]);
    if (!largest && !whole)
        key =
            lvt_build_select(b, lvt_im2(im, LVT_OP_ne, x, x), lvt_im_number(im, x, lowest[t.dtype][1]), key);
    one.dim[axis] = 1;
    for (int i = 0; i < (int)k; i++) {
        lvt_value at = lvt_build(b, LVT_OP_argmax, 1, &key, 1, &a);
        indices[i] = lvt_build_reshape(b, at, one.rank, one.dim);
        lvt_value hit = lvt_im2(im, LVT_OP_eq, places, indices[i]);
        values[i] = lvt_build_select(b, hit, x, lvt_im_number(im, x, 0));
        values[i] = lvt_build_reduce(b, LVT_OP_reduce_sum, values[i], 1, (int64_t[]){axis}, true);
        key = lvt_build_select(b, hit, lvt_im_number(im, key, floor), key);
        if (key == LVT_NONE || values[i] == LVT_NONE)
            return false;
    }
    im->out[1] = k > 1 ? lvt_build_concat(b, (uint32_t)k, indices, axis) : indices[0];
    return lvt_im_out(im, k > 1 ? lvt_build_concat(b, (uint32_t)k, values, axis) : values[0]);
}

/* Where the condition, known while importing, holds. */
static bool compress(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0);
    enum { MOST = 1 << 20 };
    double *condition = lvt_arena_alloc(im->arena, MOST * sizeof *condition);
    int n = condition ? lvt_im_numbers(im, 1, MOST, condition) : -1, c = 0, axis = 0;
    if (n < 0)
        return false;
    if (lvt_im_attr(im, "axis"))
        axis = lvt_im_axis(im, 0, lvt_im_type(im, x).rank);
    else
        x = flatten(im, x);
    if (axis < 0)
        return false;
    for (int i = 0; i < n && i < lvt_im_type(im, x).dim[axis]; i++)
        if (condition[i] != 0)
            condition[c++] = i;
    return c ? lvt_im_out(im, take(im, x, lvt_im_vector(im, c, condition, LVT_I32), axis))
             : lvt_im_no(im, "its result is empty");
}

/* Indices [rank, count] of what is not 0, of a constant: shapes are computed like that. */
static bool non_zero(lvt_importer *im) {
    lvt_type t = lvt_im_type(im, lvt_im_in(im, 0)), y;
    enum { MOST = 1 << 20 };
    double *x = lvt_arena_alloc(im->arena, MOST * sizeof *x), *at;
    int n = x ? lvt_im_numbers(im, 0, MOST, x) : -1, c = 0;
    if (n < 0)
        return false;
    for (int i = 0; i < n; i++)
        if (x[i] != 0)
            x[c++] = i;
    if (!c || !t.rank || !(at = lvt_arena_alloc(im->arena, (size_t)c * t.rank * sizeof *at)))
        return lvt_im_no(im, "its result is empty");
    for (int d = 0; d < t.rank; d++)
        for (int i = 0; i < c; i++)
            at[d * c + i] = (double)((int64_t)x[i] / count(&t, d + 1, t.rank) % t.dim[d]);
    y = lvt_type_make(LVT_I32, 2, (int64_t[]){t.rank, c});
    return lvt_im_out(im, lvt_im_constant(im, &y, at));
}

/* The first lengths[b] elements backwards, the others as they are. */
static bool reverse_sequence(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0), lengths = lvt_im_in(im, 1);
    lvt_type t = lvt_im_type(im, x), u = lvt_im_type(im, lengths);
    int64_t time = lvt_im_int(im, "time_axis", 0), batch = lvt_im_int(im, "batch_axis", 1);
    if (t.rank < 2 || u.rank != 1 || (time | batch) != 1 || (time & batch) != 0 || u.dim[0] != t.dim[batch])
        return lvt_im_no(im, "its axes or lengths do not fit");
    lvt_type table = lvt_type_make(LVT_I32, 2, t.dim);
    lvt_value at = lvt_im_iota(im, table.rank, table.dim, (int)time);
    lengths = lvt_build_reshape(&im->b, lvt_build_cast(&im->b, lengths, LVT_I32), 2,
                                (int64_t[]){batch ? 1 : u.dim[0], batch ? u.dim[0] : 1});
    lvt_value back = lvt_imk(im, LVT_OP_sub, lvt_im2(im, LVT_OP_sub, lengths, at), 1);
    at = lvt_build_select(&im->b, lvt_im2(im, LVT_OP_lt, at, lengths), back, at);
    lvt_value row =
        lvt_imk(im, LVT_OP_mul, time ? lvt_im_iota(im, table.rank, table.dim, 0) : at, (double)t.dim[1]);
    at = flatten(im, lvt_im2(im, LVT_OP_add, row, time ? at : lvt_im_iota(im, table.rank, table.dim, 1)));
    x = lvt_build_reshape(&im->b, x, 2, (int64_t[]){t.dim[0] * t.dim[1], count(&t, 2, t.rank)});
    return lvt_im_out(im, lvt_build_reshape(&im->b, take(im, x, at, 0), t.rank, t.dim));
}

static bool one_hot(lvt_importer *im) {
    lvt_value index = lvt_im_in(im, 0), values = lvt_im_in(im, 2);
    lvt_type t = lvt_im_type(im, index), v = lvt_im_type(im, values);
    double depth;
    int64_t axis = lvt_im_int(im, "axis", -1), order[LVT_MAX_RANK];
    if (lvt_im_numbers(im, 1, 1, &depth) != 1 || v.rank != 1 || v.dim[0] != 2 || t.rank >= LVT_MAX_RANK ||
        !(depth >= 1 && depth < 1 << 24))
        return im->why[0] ? false : lvt_im_no(im, "its depth or values cannot be used");
    axis += axis < 0 ? t.rank + 1 : 0;
    if (axis < 0 || axis > t.rank)
        return lvt_im_no(im, "axis is out of range");
    index = lvt_im_from_front(im, lvt_build_cast(&im->b, index, LVT_I32), (int64_t)depth);
    lvt_value hit = lvt_im_hot(im, index, (int64_t)depth);
    for (int i = 0, k = 0; i <= t.rank; i++)
        order[i] = i == axis ? t.rank : k++;
    hit = lvt_build_transpose(&im->b, hit, order);
    lvt_value off = lvt_build_reshape(&im->b, lvt_build_slice(&im->b, values, 0, 0, 1), 0, NULL);
    lvt_value on = lvt_build_reshape(&im->b, lvt_build_slice(&im->b, values, 0, 1, 2), 0, NULL);
    return lvt_im_out(im, lvt_build_select(&im->b, hit, on, off));
}

const lvt_im_row lvt_im_indices[] = {{"Gather", gather, 0},
                                     {"GatherElements", gather_elements, 0},
                                     {"GatherND", gather_nd, 0},
                                     {"ScatterElements", scatter_elements, 0},
                                     {"Scatter", scatter_elements, 0},
                                     {"ScatterND", scatter_nd, 0},
                                     {"TopK", top_k, 0},
                                     {"Compress", compress, 0},
                                     {"NonZero", non_zero, 0},
                                     {"ReverseSequence", reverse_sequence, 0},
                                     {"OneHot", one_hot, 0},
                                     {0}};
