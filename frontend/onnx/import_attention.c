/* Imported operators of transformers: Attention, RotaryEmbedding, RMSNormalization, Swish and SwiGLU. May not
 * know: files. */
#include "frontend/onnx/importer.h"

#include <math.h>
#include <string.h>

/* [B,L,heads*d] to [B,heads,L,d]; four dims stay. LVT_NONE: with the reason. */
static lvt_value with_heads(lvt_importer *im, lvt_value x, const char *attribute) {
    lvt_type t = lvt_im_type(im, x);
    int64_t heads = lvt_im_int(im, attribute, 0);
    if (x == LVT_NONE || t.rank == 4)
        return x;
    if (t.rank != 3 || heads < 1 || t.dim[2] % heads) {
        lvt_im_no(im, "an input of three dimensions needs %s, a divisor of its last", attribute);
        return LVT_NONE;
    }
    x = lvt_build_reshape(&im->b, x, 4, (int64_t[]){t.dim[0], t.dim[1], heads, t.dim[2] / heads});
    return lvt_build_transpose(&im->b, x, (int64_t[]){0, 2, 1, 3});
}

/* The keys or values of before, if there are some, and those at hand. */
static lvt_value joined(lvt_importer *im, size_t past, lvt_value x) {
    if (!lvt_im_has(im, past) || lvt_im_is_empty(im, past))
        return x;
    lvt_value p = lvt_im_in(im, past);
    return p == LVT_NONE ? p : lvt_build_concat(&im->b, 2, (lvt_value[]){p, x}, 2);
}

/* What is added to scores [B,H,N,M], in parts: where attention may be (bool; LVT_NONE: everywhere), and a sum
 * (LVT_NONE: 0). */
typedef struct mask {
    lvt_value allowed, sum;
    bool may_close; /* a row may be without any key */
} mask;

static void restrict_to(lvt_importer *im, mask *m, lvt_value allowed) {
    m->allowed = m->allowed == LVT_NONE ? allowed : lvt_im2(im, LVT_OP_and, m->allowed, allowed);
}

static bool given_mask(lvt_importer *im, int64_t keys, mask *m) {
    lvt_value x = lvt_im_fixed(im, 3);
    lvt_type t = lvt_im_type(im, x);
    if (x == LVT_NONE || t.rank < 1 || t.rank > 4 || t.dim[t.rank - 1] > keys)
        return lvt_im_no(im, "its mask does not fit its keys");
    bool choice = t.dtype == LVT_BOOL;
    if (t.dim[t.rank - 1] < keys && t.dim[t.rank - 1] > 1)
        x = lvt_im_pad(im, x, t.rank - 1, 0, keys - t.dim[t.rank - 1], choice ? 0 : -INFINITY);
    *(choice ? &m->allowed : &m->sum) = x;
    m->may_close = true;
    return x != LVT_NONE;
}

/* Keys up to that of the query, and those within a window, by places: query i stands at i + offset. With keys
 * kept outside the offset is that of the image, input 6. */
static bool place_masks(lvt_importer *im, int64_t queries, int64_t keys, int64_t offset, mask *m) {
    bool causal = lvt_im_int(im, "is_causal", 0), cached = lvt_im_has(im, 6);
    int64_t left = lvt_im_int(im, "left_window_size", -1), right = lvt_im_int(im, "right_window_size", -1);
    lvt_type pair = {.dtype = LVT_I32, .rank = 2, .dim = {queries, keys}};
    if (left < -1 || right < -1 || left > LVT_MAX_DIM || right > LVT_MAX_DIM)
        return lvt_im_no(im, "its window cannot be used");
    if (!causal && left < 0 && right < 0 && !cached)
        return true;
    lvt_value key = lvt_im_iota(im, 2, pair.dim, 1), query = lvt_im_iota(im, 2, pair.dim, 0),
              length = LVT_NONE;
    if (cached) {
        length = lvt_build_cast(&im->b, lvt_im_in(im, 6), LVT_I32);
        lvt_type t = lvt_im_type(im, length);
        length = lvt_build_reshape(&im->b, length, 4, (int64_t[]){lvt_numel(&t), 1, 1, 1});
        restrict_to(im, m, lvt_im2(im, LVT_OP_lt, key, length));
        query = lvt_im2(im, LVT_OP_add, query, lvt_imk(im, LVT_OP_sub, length, (double)queries));
        m->may_close = true;
    } else if (offset) {
        query = lvt_imk(im, LVT_OP_add, query, (double)offset);
    }
    if (causal)
        restrict_to(im, m, lvt_im2(im, LVT_OP_le, key, query));
    if (left >= 0)
        restrict_to(im, m, lvt_im2(im, LVT_OP_ge, key, lvt_imk(im, LVT_OP_sub, query, (double)left)));
    if (right >= 0)
        restrict_to(im, m, lvt_im2(im, LVT_OP_le, key, lvt_imk(im, LVT_OP_add, query, (double)right)));
    m->may_close |= left >= 0 || right >= 0;
    return m->allowed != LVT_NONE;
}

/* The rows [..,N,1] with no key at all. */
static lvt_value closed_rows(lvt_importer *im, lvt_value bias) {
    int rank = lvt_im_type(im, bias).rank;
    int64_t last = rank - 1;
    lvt_value top = lvt_build_reduce(&im->b, LVT_OP_reduce_max, bias, 1, &last, true);
    return lvt_imk(im, LVT_OP_eq, top, -INFINITY);
}

/* softmax(scale Q K^T, capped, + masks) V, per head; a group of heads of queries shares one of keys: their rows
 * are rows of one product. */
static bool attention(lvt_importer *im) {
    lvt_builder *b = &im->b;
    bool flat = lvt_im_type(im, lvt_im_in(im, 0)).rank == 3;
    lvt_value q = with_heads(im, lvt_im_in(im, 0), "q_num_heads");
    lvt_value k = with_heads(im, lvt_im_in(im, 1), "kv_num_heads");
    lvt_value v = with_heads(im, lvt_im_in(im, 2), "kv_num_heads");
    if (q == LVT_NONE || k == LVT_NONE || v == LVT_NONE)
        return false;
    if (!flat) { /* these are in the shapes */
        lvt_im_attr(im, "q_num_heads");
        lvt_im_attr(im, "kv_num_heads");
    }
    int64_t offset =
        lvt_im_has(im, 4) && !lvt_im_is_empty(im, 4) ? lvt_im_type(im, lvt_im_in(im, 4)).dim[2] : 0;
    k = im->out[1] = joined(im, 4, k);
    v = im->out[2] = joined(im, 5, v);
    lvt_type tq = lvt_im_type(im, q), tk = lvt_im_type(im, k), tv = lvt_im_type(im, v);
    int64_t batch = tq.dim[0], heads = tq.dim[1], n = tq.dim[2], of_keys = tk.dim[1], keys = tk.dim[2];
    if (tk.rank != 4 || tv.rank != 4 || tk.dim[0] != batch || tv.dim[0] != batch || tk.dim[3] != tq.dim[3] ||
        tv.dim[1] != of_keys || tv.dim[2] != keys || heads % of_keys)
        return lvt_im_no(im, "its queries, keys and values do not fit together");
    double scale = lvt_im_float(im, "scale", 1 / sqrt((double)tq.dim[3])),
           cap = lvt_im_float(im, "softcap", 0);
    int64_t rows = heads / of_keys * n, mode = lvt_im_int(im, "qk_matmul_output_mode", 0);
    int64_t precise = lvt_im_int(im, "softmax_precision", 0);
    mask m = {LVT_NONE, LVT_NONE, false};
    if ((lvt_im_has(im, 3) && !given_mask(im, keys, &m)) || !place_masks(im, n, keys, offset, &m))
        return false;

    if (rows != n)
        q = lvt_build_reshape(b, q, 4, (int64_t[]){batch, of_keys, rows, tq.dim[3]});
    lvt_value s = lvt_imk(im, LVT_OP_mul, lvt_build_matmul(b, q, k, false, true), scale);
    if (rows != n)
        s = lvt_build_reshape(b, s, 4, (int64_t[]){batch, heads, n, keys});
    im->out[3] = s;
    if (cap != 0)
        s = lvt_imk(im, LVT_OP_mul, lvt_im1(im, LVT_OP_tanh, lvt_imk(im, LVT_OP_mul, s, 1 / cap)), cap);
    im->out[3] = mode >= 1 ? s : im->out[3];
    lvt_value bias = m.sum, closed = LVT_NONE;
    if (m.allowed != LVT_NONE)
        bias = lvt_build_select(b, m.allowed, bias == LVT_NONE ? lvt_im_number(im, s, 0) : bias,
                                lvt_im_number(im, s, -INFINITY));
    if (bias != LVT_NONE) {
        if (mode == 2)
            im->out[3] = lvt_im2(im, LVT_OP_add, s, bias);
        if (m.may_close) { /* such a row attends to nothing: 0, and no gradient */
            closed = closed_rows(im, bias);
            bias = lvt_build_select(b, closed, lvt_im_number(im, bias, 0), bias);
        }
        s = lvt_im2(im, LVT_OP_add, s, bias);
    }
    lvt_named_attr a = {"axis", lvt_attr_int(3)};
    if (precise == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE)
        s = lvt_build_cast(b, s, LVT_F64);
    lvt_value p = s == LVT_NONE ? s : lvt_build(b, LVT_OP_softmax, 1, &s, 1, &a);
    if (p != LVT_NONE)
        p = lvt_build_cast(b, p, (lvt_dtype)tq.dtype);
    if (closed != LVT_NONE)
        p = lvt_build_select(b, closed, lvt_im_number(im, p, 0), p);
    im->out[3] = mode == 3 ? p : im->out[3];
    if (rows != n)
        p = lvt_build_reshape(b, p, 4, (int64_t[]){batch, of_keys, rows, keys});
    lvt_value y = lvt_build_matmul(b, p, v, false, false);
    if (rows != n)
        y = lvt_build_reshape(b, y, 4, (int64_t[]){batch, heads, n, tv.dim[3]});
    if (flat)
        y = lvt_build_reshape(b, lvt_build_transpose(b, y, (int64_t[]){0, 2, 1, 3}), 3,
                              (int64_t[]){batch, n, heads * tv.dim[3]});
    return lvt_im_out(im, y);
}

static lvt_value every_second(lvt_importer *im, lvt_value x, int axis, int64_t from, int64_t end) {
    lvt_named_attr a[] = {{"axis", lvt_attr_int(axis)},
                          {"begin", lvt_attr_int(from)},
                          {"end", lvt_attr_int(end)},
                          {"step", lvt_attr_int(2)}};
    return x == LVT_NONE ? x : lvt_build(&im->b, LVT_OP_slice, 1, &x, 4, a);
}

/* Pairs of a head's first elements turned by the angle of their place; the others as they are. */
static bool rotary(lvt_importer *im) {
    lvt_builder *b = &im->b;
    lvt_value x = lvt_im_in(im, 0), wave[2], part[2], turned[2];
    lvt_type t = lvt_im_type(im, x);
    bool flat = t.rank == 3, pairs = lvt_im_int(im, "interleaved", 0);
    int64_t heads = lvt_im_int(im, "num_heads", 0);
    if (flat && (heads < 1 || t.dim[2] % heads))
        return lvt_im_no(im, "an input of three dimensions needs num_heads, a divisor of its last");
    if (flat) /* to [B,L,heads,d] */
        x = lvt_build_reshape(b, x, 4, (int64_t[]){t.dim[0], t.dim[1], heads, t.dim[2] / heads});
    else if (t.rank == 4)
        x = lvt_build_transpose(b, x, (int64_t[]){0, 2, 1, 3});
    else
        return lvt_im_no(im, "its input has neither three nor four dimensions");
    lvt_type h = lvt_im_type(im, x);
    int64_t size = lvt_im_int(im, "rotary_embedding_dim", 0), whole = h.dim[3];
    size = size ? size : whole;
    if (size < 2 || size % 2 || size > whole)
        return lvt_im_no(im, "it turns %lld of %lld elements", (long long)size, (long long)whole);
    for (size_t i = 0; i < 2; i++) {
        lvt_value c = lvt_im_fixed(im, 1 + i);
        if (lvt_im_has(im, 3)) {
            lvt_named_attr a = {"axis", lvt_attr_int(0)};
            lvt_value at = lvt_build_cast(b, lvt_im_in(im, 3), LVT_I32);
            c = lvt_build(b, LVT_OP_gather, 2, (lvt_value[]){c, at}, 1, &a);
        }
        lvt_type ct = lvt_im_type(im, c);
        if (c == LVT_NONE || ct.rank != 3 || ct.dim[2] != size / 2)
            return lvt_im_no(im, "its tables do not fit");
        wave[i] = lvt_build_reshape(b, c, 4, (int64_t[]){ct.dim[0], ct.dim[1], 1, ct.dim[2]});
    }
    for (int i = 0; i < 2; i++)
        part[i] = pairs ? every_second(im, x, 3, i, size)
                        : lvt_build_slice(b, x, 3, i * size / 2, (i + 1) * size / 2);
    for (int i = 0; i < 2; i++)
        turned[i] = lvt_im2(im, i ? LVT_OP_add : LVT_OP_sub, lvt_im2(im, LVT_OP_mul, wave[i], part[0]),
                            lvt_im2(im, LVT_OP_mul, wave[!i], part[1]));
    for (int i = 0; i < 2 && pairs; i++)
        turned[i] =
            lvt_build_reshape(b, turned[i], 5, (int64_t[]){h.dim[0], h.dim[1], h.dim[2], size / 2, 1});
    if (turned[0] == LVT_NONE || turned[1] == LVT_NONE)
        return false;
    lvt_value y = lvt_build_concat(b, 2, turned, pairs ? 4 : 3);
    if (pairs)
        y = lvt_build_reshape(b, y, 4, (int64_t[]){h.dim[0], h.dim[1], h.dim[2], size});
    if (size < whole)
        y = lvt_build_concat(b, 2, (lvt_value[]){y, lvt_build_slice(b, x, 3, size, whole)}, 3);
    return lvt_im_out(im, flat ? lvt_build_reshape(b, y, 3, t.dim)
                               : lvt_build_transpose(b, y, (int64_t[]){0, 2, 1, 3}));
}

/* x / sqrt(mean of squares + eps) scale, over the dims from the axis on. */
static bool rms_norm(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0);
    int rank = lvt_im_type(im, x).rank, axis = lvt_im_axis(im, -1, rank);
    int64_t axes[LVT_MAX_RANK];
    if (axis < 0)
        return false;
    for (int i = axis; i < rank; i++)
        axes[i - axis] = i;
    lvt_value size =
        lvt_build_reduce(&im->b, LVT_OP_reduce_mean, lvt_im1(im, LVT_OP_square, x), rank - axis, axes, true);
    size = lvt_im1(im, LVT_OP_rsqrt, lvt_imk(im, LVT_OP_add, size, lvt_im_float(im, "epsilon", 1e-5)));
    return lvt_im_out(im, lvt_im2(im, LVT_OP_mul, lvt_im2(im, LVT_OP_mul, x, size), lvt_im_in(im, 1)));
}

/* x sigmoid(alpha x), of SwiGLU times the second input. */
static bool swish(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0), y;
    lvt_type t = lvt_im_type(im, x);
    double alpha = lvt_im_float(im, "alpha", 1);
    y = alpha == 1
            ? lvt_im1(im, LVT_OP_silu, x)
            : lvt_im2(im, LVT_OP_mul, x, lvt_im1(im, LVT_OP_sigmoid, lvt_imk(im, LVT_OP_mul, x, alpha)));
    if (!strcmp(im->n->op_type, "SwiGLU")) {
        lvt_type u = lvt_im_type(im, lvt_im_in(im, 1));
        if (!lvt_shape_equal(&t, &u))
            return lvt_im_no(im, "its inputs have different shapes");
        y = lvt_im2(im, LVT_OP_mul, y, lvt_im_in(im, 1));
    }
    return lvt_im_out(im, y);
}

const lvt_im_row lvt_im_attentions[] = {
    {"Attention", attention, 0}, {"RotaryEmbedding", rotary, 0}, {"RMSNormalization", rms_norm, 0},
    {"Swish", swish, 0},         {"SwiGLU", swish, 0},           {0}};
