/* Imported operators that work element by element, and reductions. May not know: files. */
#include "importer.h"

#include <math.h>
#include <string.h>

static bool unary(lvt_importer *im) {
    return lvt_im_out(im, lvt_im1(im, (lvt_op)lvt_im_code(im), lvt_im_in(im, 0)));
}

static bool same(lvt_importer *im) {
    return lvt_im_out(im, lvt_im_in(im, 0));
}

/* u8 has no arithmetic here: it is done in i32 and wraps. */
static lvt_value widen(lvt_importer *im, lvt_value x) {
    return lvt_im_type(im, x).dtype == LVT_U8 ? lvt_build_cast(&im->b, x, LVT_I32) : x;
}
static lvt_value narrow(lvt_importer *im, lvt_value x, lvt_dtype dtype) {
    return dtype == LVT_U8 ? lvt_build_cast(&im->b, lvt_imk(im, LVT_OP_mod, x, 256), LVT_U8) : x;
}

/* Before operator set 7 the dims of y stand at an axis of x, or at its end. */
static lvt_value placed(lvt_importer *im, lvt_value x, lvt_value y) {
    lvt_type t = lvt_im_type(im, x), u = lvt_im_type(im, y);
    int64_t axis = lvt_im_int(im, "axis", t.rank - u.rank);
    axis += axis < 0 ? t.rank : 0;
    if (im->opset > 6 || !lvt_im_int(im, "broadcast", 0) || axis < 0 || axis + u.rank > t.rank)
        return y;
    for (int i = 0; i + axis < t.rank; i++)
        u.dim[i] = i < u.rank ? u.dim[i] : 1;
    return lvt_build_reshape(&im->b, y, (int)(t.rank - axis), u.dim);
}

static bool binary(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0), y = lvt_im_in(im, 1);
    lvt_op op = (lvt_op)lvt_im_code(im);
    lvt_dtype dtype = (lvt_dtype)lvt_im_type(im, x).dtype;
    bool arithmetic = op == LVT_OP_add || op == LVT_OP_sub || op == LVT_OP_mul;
    y = placed(im, x, y);
    lvt_value r = lvt_im2(im, op, widen(im, x), widen(im, y));
    return lvt_im_out(im, arithmetic ? narrow(im, r, dtype) : r);
}

/* Integers are divided towards zero. */
static bool divide(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0), y = placed(im, x, lvt_im_in(im, 1));
    lvt_dtype dtype = (lvt_dtype)lvt_im_type(im, x).dtype;
    if (lvt_dtype_is_float(dtype))
        return lvt_im_out(im, lvt_im2(im, LVT_OP_div, x, y));
    x = widen(im, x), y = widen(im, y);
    lvt_value q = lvt_im2(im, LVT_OP_div, lvt_im1(im, LVT_OP_abs, x), lvt_im1(im, LVT_OP_abs, y));
    q = lvt_im2(im, LVT_OP_mul, q,
                lvt_im2(im, LVT_OP_mul, lvt_im1(im, LVT_OP_sign, x), lvt_im1(im, LVT_OP_sign, y)));
    return lvt_im_out(im, narrow(im, q, dtype));
}

static bool modulo(lvt_importer *im) {
    lvt_value x = widen(im, lvt_im_in(im, 0)), y = widen(im, lvt_im_in(im, 1));
    if (!lvt_im_int(im, "fmod", 0))
        return lvt_im_out(im, narrow(im, lvt_im2(im, LVT_OP_mod, x, y),
                                     (lvt_dtype)lvt_im_type(im, lvt_im_in(im, 0)).dtype));
    lvt_value r = lvt_im2(im, LVT_OP_mod, lvt_im1(im, LVT_OP_abs, x), lvt_im1(im, LVT_OP_abs, y));
    return lvt_im_out(im, lvt_im2(im, LVT_OP_mul, r, lvt_im1(im, LVT_OP_sign, x)));
}

static bool variadic(lvt_importer *im) {
    lvt_value r = lvt_im_in(im, 0);
    lvt_dtype dtype = (lvt_dtype)lvt_im_type(im, r).dtype;
    bool mean = !strcmp(im->n->op_type, "Mean");
    if (im->n->n_input == 0)
        return lvt_im_no(im, "it has no input");
    r = widen(im, r);
    for (size_t i = 1; i < im->n->n_input; i++)
        r = lvt_im2(im, (lvt_op)lvt_im_code(im), r, widen(im, lvt_im_in(im, i)));
    if (mean)
        r = lvt_imk(im, LVT_OP_mul, r, 1.0 / (double)im->n->n_input);
    return lvt_im_out(im, narrow(im, r, dtype));
}

static bool power(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0), y = lvt_im_in(im, 1);
    lvt_dtype dtype = (lvt_dtype)lvt_im_type(im, x).dtype,
              inner = lvt_dtype_is_float(dtype) ? dtype : LVT_F64;
    double k;
    lvt_type yt = lvt_im_type(im, y);
    if (lvt_dtype_is_float(dtype) && lvt_numel(&yt) == 1 && lvt_im_numbers(im, 1, 1, &k) == 1 &&
        yt.rank == 0 && (k == 2 || k == 0.5 || k == 1))
        return lvt_im_out(im, k == 2   ? lvt_im1(im, LVT_OP_square, x)
                              : k == 1 ? x
                                       : lvt_im1(im, LVT_OP_sqrt, x));
    im->why[0] = 0;
    x = lvt_build_cast(&im->b, x, inner);
    y = lvt_build_cast(&im->b, y, inner);
    lvt_value r = lvt_im2(im, LVT_OP_pow, x, y);
    if (inner != dtype) /* 3^2 by logarithms is not quite 9 */
        r = lvt_im1(im, LVT_OP_floor, lvt_imk(im, LVT_OP_add, r, 0.5));
    return lvt_im_out(im, lvt_build_cast(&im->b, r, dtype));
}

static bool clip(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0), given = x;
    x = widen(im, x);
    for (size_t i = 1; i <= 2; i++) {
        lvt_op op = i == 1 ? LVT_OP_max : LVT_OP_min;
        const Onnx__AttributeProto *a = lvt_im_attr(im, i == 1 ? "min" : "max");
        if (lvt_im_has(im, i))
            x = lvt_im2(im, op, x, widen(im, lvt_im_in(im, i)));
        else if (a && a->has_f)
            x = lvt_imk(im, op, x, a->f);
    }
    return lvt_im_out(im, narrow(im, x, (lvt_dtype)lvt_im_type(im, given).dtype));
}

static bool where(lvt_importer *im) {
    return lvt_im_out(im, lvt_build_select(&im->b, lvt_im_in(im, 0), lvt_im_in(im, 1), lvt_im_in(im, 2)));
}

static bool prelu(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0), slope = lvt_im_in(im, 1), y;
    lvt_type t = lvt_im_type(im, x), s = lvt_im_type(im, slope);
    if (s.rank == 1 && t.rank > 1 && im->opset < 9 && s.dim[0] == t.dim[1]) /* one a channel */
        slope = lvt_im_channels(im, slope, t.rank);
    y = lvt_im2(im, LVT_OP_mul, x, slope);
    return lvt_im_out(im, lvt_build_select(&im->b, lvt_imk(im, LVT_OP_gt, x, 0), x, y));
}

lvt_value lvt_im_round(lvt_importer *im, lvt_value x) {
    lvt_value f = lvt_im1(im, LVT_OP_floor, x), rest = lvt_im2(im, LVT_OP_sub, x, f); /* exact */
    lvt_value half = lvt_imk(im, LVT_OP_mul, f, 0.5);
    lvt_value odd = lvt_im2(im, LVT_OP_ne, half, lvt_im1(im, LVT_OP_floor, half));
    lvt_value up = lvt_im2(im, LVT_OP_and, lvt_imk(im, LVT_OP_eq, rest, 0.5), odd);
    up = lvt_im2(im, LVT_OP_or, lvt_imk(im, LVT_OP_gt, rest, 0.5), up);
    return lvt_build_select(&im->b, up, lvt_imk(im, LVT_OP_add, f, 1), f);
}

/* Bits of ONNX's type of input i; *is_signed: whether its numbers go below 0. */
static int bits_of(lvt_importer *im, size_t i, bool *is_signed) {
    int type = lvt_im_onnx_type(im, i);
    *is_signed = type == ONNX__TENSOR_PROTO__DATA_TYPE__INT8 ||
                 type == ONNX__TENSOR_PROTO__DATA_TYPE__INT16 ||
                 type == ONNX__TENSOR_PROTO__DATA_TYPE__INT32 || type == ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
    switch (type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT8:
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT8:
        return 8;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT16:
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT16:
        return 16;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT64:
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT64:
        return 64;
    default:
        return 32;
    }
}

/* x 2^y or, rounded down, x 2^-y. Beyond the bits of the type, and for y < 0, what the sign leaves: -1 for a
 * right shift of x < 0, else 0. */
static bool shift(lvt_importer *im) {
    lvt_builder *b = &im->b;
    lvt_value x = widen(im, lvt_im_in(im, 0)), y = lvt_build_cast(b, lvt_im_in(im, 1), LVT_I32), power, r;
    lvt_dtype dtype = (lvt_dtype)lvt_im_type(im, lvt_im_in(im, 0)).dtype;
    double powers[31];
    bool is_signed;
    int bits = bits_of(im, 0, &is_signed);
    if (x != LVT_NONE && lvt_dtype_is_float(dtype))
        return lvt_im_no(im, "it is known for whole numbers only");
    for (int i = 0; i < 31; i++)
        powers[i] = ldexp(1, i);
    lvt_named_attr a = {"axis", lvt_attr_int(0)};
    power = lvt_build(b, LVT_OP_gather, 2, (lvt_value[]){lvt_im_vector(im, 31, powers, LVT_I32), y}, 1, &a);
    lvt_value zero = lvt_im_number(im, x, 0), below = lvt_imk(im, LVT_OP_lt, x, 0);
    lvt_value sign = lvt_build_select(b, below, lvt_im_number(im, x, -1), zero),
              most = lvt_imk(im, LVT_OP_ge, y, 31);
    bool left = !strcmp(lvt_im_string(im, "direction", "LEFT"), "LEFT");
    if (left) { /* 2^31 is no number here: 2^30 times 2 comes round as it does there */
        r = lvt_im2(im, LVT_OP_mul, x, power);
        r = lvt_build_select(b, most, lvt_imk(im, LVT_OP_mul, r, 2), r);
    } else {
        r = lvt_build_select(b, most, sign, lvt_im2(im, LVT_OP_div, x, power));
    }
    lvt_value outside = lvt_im2(im, LVT_OP_or, lvt_imk(im, LVT_OP_lt, y, 0),
                                lvt_imk(im, LVT_OP_ge, y, bits < 32 ? bits : 32));
    r = lvt_build_select(b, outside, left || !is_signed ? zero : sign, r);
    return lvt_im_out(im, narrow(im, r, dtype));
}

enum { BITS_AND, BITS_OR, BITS_XOR, BITS_NOT };

/* Bit by bit: bit k of x is floor(x / 2^k) mod 2, below 0 too, and bit 31 is the sign. Bits beyond 32 are as the
 * sign says, so they follow from bit 31. */
static bool bitwise(lvt_importer *im) {
    lvt_value x = widen(im, lvt_im_in(im, 0)), sum = LVT_NONE;
    lvt_dtype dtype = (lvt_dtype)lvt_im_type(im, lvt_im_in(im, 0)).dtype;
    bool is_signed;
    int bits = bits_of(im, 0, &is_signed), code = lvt_im_code(im);
    if (x == LVT_NONE || lvt_dtype_is_float(dtype) || dtype == LVT_BOOL)
        return lvt_im_no(im, "it is known for whole numbers only");
    if (code == BITS_NOT) {
        if (bits >= 32 && !is_signed)
            return lvt_im_no(im, "its results are numbers that do not fit into 32 bits");
        return lvt_im_out(im, narrow(im, lvt_im2(im, LVT_OP_sub, lvt_im_number(im, x, -1), x), dtype));
    }
    lvt_value y = widen(im, lvt_im_in(im, 1));
    for (int k = 0; k < (bits < 32 ? bits : 32); k++) {
        lvt_value bit[2], both;
        for (int i = 0; i < 2; i++) {
            lvt_value v = i ? y : x;
            bit[i] = k < 31 ? lvt_imk(im, LVT_OP_mod, lvt_imk(im, LVT_OP_div, v, ldexp(1, k)), 2)
                            : lvt_build_cast(&im->b, lvt_imk(im, LVT_OP_lt, v, 0), LVT_I32);
        }
        both = lvt_im2(im,
                       code == BITS_AND  ? LVT_OP_min
                       : code == BITS_OR ? LVT_OP_max
                                         : LVT_OP_ne,
                       bit[0], bit[1]);
        if (both != LVT_NONE && code == BITS_XOR)
            both = lvt_build_cast(&im->b, both, LVT_I32);
        both = lvt_imk(im, LVT_OP_mul, both, k < 31 ? ldexp(1, k) : INT32_MIN);
        sum = k ? lvt_im2(im, LVT_OP_add, sum, both) : both;
    }
    return lvt_im_out(im, narrow(im, sum, dtype));
}

/* y with the sign of x, and |x|, both with the slope of the right side at 0, where abs and sign have none. */
static lvt_value odd(lvt_importer *im, lvt_value x, lvt_value y) {
    return lvt_build_select(&im->b, lvt_imk(im, LVT_OP_lt, x, 0), lvt_im1(im, LVT_OP_neg, y), y);
}
static lvt_value size_of(lvt_importer *im, lvt_value x) {
    return odd(im, x, x);
}

/* sqrt(1 - x), sqrt(1 + x): apart, for the slope of the one is infinite where the other's is not. */
static lvt_value below_one(lvt_importer *im, lvt_value x) {
    return lvt_im1(im, LVT_OP_sqrt, lvt_im2(im, LVT_OP_sub, lvt_im_number(im, x, 1), x));
}
static lvt_value above_one(lvt_importer *im, lvt_value x) {
    return lvt_im1(im, LVT_OP_sqrt, lvt_imk(im, LVT_OP_add, x, 1));
}

/* What is made by f of x up to `limit`, and by log(x) + log(2) beyond, where x^2 + 1 has rounded to x^2. */
static lvt_value area(lvt_importer *im, lvt_value x, lvt_value near, double limit) {
    lvt_value far = lvt_im1(im, LVT_OP_log, lvt_imk_first(im, LVT_OP_max, limit, x));
    far = lvt_imk(im, LVT_OP_add, far, 0.69314718055994531);
    return lvt_build_select(&im->b, lvt_imk(im, LVT_OP_gt, x, limit), far, near);
}

/* The angle whose tangent is x: 1/x where that is smaller, halved three times by tan(a/2) = t / (1 + sqrt(1 +
 * t^2)), then the series, whose first term left out is below 1e-18. */
static lvt_value arc_tangent(lvt_importer *im, lvt_value x) {
    lvt_value one = lvt_im_number(im, x, 1), size = size_of(im, x);
    lvt_value large = lvt_im2(im, LVT_OP_gt, size, one);
    lvt_value divisor = lvt_build_select(&im->b, large, size, one);
    lvt_value t = lvt_build_select(&im->b, large, lvt_im2(im, LVT_OP_div, one, divisor), size);
    for (int i = 0; i < 3; i++) {
        lvt_value root = lvt_im1(im, LVT_OP_sqrt, lvt_imk(im, LVT_OP_add, lvt_im1(im, LVT_OP_square, t), 1));
        t = lvt_im2(im, LVT_OP_div, t, lvt_imk(im, LVT_OP_add, root, 1));
    }
    lvt_value square = lvt_im1(im, LVT_OP_square, t), sum = lvt_im_number(im, x, 1.0 / 17);
    for (int k = 15; k >= 1; k -= 2) {
        sum = lvt_im2(im, LVT_OP_mul, sum, square);
        sum = lvt_im2(im, LVT_OP_sub, lvt_im_number(im, x, 1.0 / k), sum);
    }
    t = lvt_imk(im, LVT_OP_mul, lvt_im2(im, LVT_OP_mul, sum, t), 8);
    t = lvt_build_select(&im->b, large, lvt_im2(im, LVT_OP_sub, lvt_im_number(im, x, 1.5707963267948966), t),
                         t);
    return odd(im, x, t);
}

/* Functions of one element that have a name in ONNX and none here. */
enum shape {
    CEIL,
    ROUND,
    RECIPROCAL,
    SOFTPLUS,
    SOFTSIGN,
    HARD_SIGMOID,
    HARD_SWISH,
    ELU,
    SELU,
    CELU,
    LEAKY,
    THRESHOLDED,
    MISH,
    TAN,
    ATAN,
    ASIN,
    ACOS,
    SINH,
    COSH,
    ASINH,
    ACOSH,
    ATANH,
    IS_NAN,
    IS_INF,
    SHRINK,
    GELU
};

static bool curve(lvt_importer *im) {
    lvt_builder *b = &im->b;
    lvt_value x = lvt_im_in(im, 0), y = LVT_NONE, e;
    double alpha = lvt_im_float(im, "alpha", 1);
    if (!lvt_dtype_is_float((lvt_dtype)lvt_im_type(im, x).dtype) && x != LVT_NONE &&
        lvt_im_code(im) != SHRINK)
        return lvt_im_no(im, "it is known for floats only");
    switch (lvt_im_code(im)) {
    case CEIL:
        y = lvt_im1(im, LVT_OP_neg, lvt_im1(im, LVT_OP_floor, lvt_im1(im, LVT_OP_neg, x)));
        break;
    case ROUND:
        y = lvt_im_round(im, x);
        break;
    case RECIPROCAL:
        y = lvt_im2(im, LVT_OP_div, lvt_im_number(im, x, 1), x);
        break;
    case MISH:
    case SOFTPLUS: /* log(1 + exp(x)), which is x where exp would grow too large */
        e = lvt_im1(im, LVT_OP_exp, lvt_imk_first(im, LVT_OP_min, 40, x));
        y = lvt_im1(im, LVT_OP_log1p, e);
        y = lvt_build_select(b, lvt_imk(im, LVT_OP_gt, x, 40), x, y);
        if (lvt_im_code(im) == MISH)
            y = lvt_im2(im, LVT_OP_mul, x, lvt_im1(im, LVT_OP_tanh, y));
        break;
    case SOFTSIGN:
        y = lvt_im2(im, LVT_OP_div, x, lvt_imk(im, LVT_OP_add, lvt_im1(im, LVT_OP_abs, x), 1));
        break;
    case HARD_SIGMOID:
    case HARD_SWISH: {
        bool swish = lvt_im_code(im) == HARD_SWISH;
        double slope = swish ? 1.0 / 6 : lvt_im_float(im, "alpha", 0.2);
        double shift = swish ? 0.5 : lvt_im_float(im, "beta", 0.5);
        y = lvt_imk(im, LVT_OP_add, lvt_imk(im, LVT_OP_mul, x, slope), shift);
        y = lvt_imk(im, LVT_OP_min, lvt_imk(im, LVT_OP_max, y, 0), 1);
        y = swish ? lvt_im2(im, LVT_OP_mul, x, y) : y;
        break;
    }
    case ELU:
    case SELU:
    case CELU: { /* where x > 0: x, elsewhere alpha (exp(x / c) - 1) */
        double a = lvt_im_code(im) == SELU ? lvt_im_float(im, "alpha", 1.67326319217681884765625) : alpha;
        lvt_value low = lvt_imk_first(im, LVT_OP_min, 0, x); /* 0 belongs to the lower branch */
        low = lvt_im_code(im) == CELU ? lvt_imk(im, LVT_OP_mul, low, 1 / a) : low;
        low = lvt_imk(im, LVT_OP_mul, lvt_im1(im, LVT_OP_expm1, low), a);
        y = lvt_build_select(b, lvt_imk(im, LVT_OP_gt, x, 0), x, low);
        if (lvt_im_code(im) == SELU)
            y = lvt_imk(im, LVT_OP_mul, y, lvt_im_float(im, "gamma", 1.05070102214813232421875));
        break;
    }
    case LEAKY:
        y = lvt_imk(im, LVT_OP_mul, x, lvt_im_float(im, "alpha", 0.01));
        y = lvt_build_select(b, lvt_imk(im, LVT_OP_gt, x, 0), x, y);
        break;
    case THRESHOLDED:
        y = lvt_build_select(b, lvt_imk(im, LVT_OP_le, x, alpha), lvt_im_number(im, x, 0), x);
        break;
    case TAN:
        y = lvt_im2(im, LVT_OP_div, lvt_im1(im, LVT_OP_sin, x), lvt_im1(im, LVT_OP_cos, x));
        break;
    case ATAN:
        y = arc_tangent(im, x);
        break;
    case ASIN: /* twice the angle whose tangent is x / (1 + sqrt(1 - x) sqrt(1 + x)) */
        e = lvt_imk(im, LVT_OP_add, lvt_im2(im, LVT_OP_mul, below_one(im, x), above_one(im, x)), 1);
        y = lvt_imk(im, LVT_OP_mul, arc_tangent(im, lvt_im2(im, LVT_OP_div, x, e)), 2);
        break;
    case ACOS: { /* of |x|: twice the angle whose tangent is sqrt(1 - x) / sqrt(1 + x) */
        lvt_value size = size_of(im, x);
        y = arc_tangent(im, lvt_im2(im, LVT_OP_div, below_one(im, size), above_one(im, size)));
        y = lvt_imk(im, LVT_OP_mul, y, 2);
        e = lvt_im2(im, LVT_OP_sub, lvt_im_number(im, x, 3.1415926535897931), y);
        y = lvt_build_select(b, lvt_imk(im, LVT_OP_lt, x, 0), e, y);
        break;
    }
    case SINH:   /* of |x|: u = exp(x) - 1, (u + u / (u + 1)) / 2 */
    case COSH: { /* (exp(x) + 1 / exp(x)) / 2; far out both are exp(x / 2)^2 / 2 */
        lvt_value size = size_of(im, x), small = lvt_imk_first(im, LVT_OP_min, 20, size);
        if (lvt_im_code(im) == SINH) {
            e = lvt_im1(im, LVT_OP_expm1, small);
            e = lvt_im2(im, LVT_OP_add, e, lvt_im2(im, LVT_OP_div, e, lvt_imk(im, LVT_OP_add, e, 1)));
            e = lvt_imk(im, LVT_OP_mul, e, 0.5);
        } else {
            e = lvt_im1(im, LVT_OP_exp, small);
            e = lvt_im2(im, LVT_OP_add, e, lvt_im2(im, LVT_OP_div, lvt_im_number(im, x, 1), e));
            e = lvt_imk(im, LVT_OP_mul, e, 0.5);
        }
        y = lvt_im1(im, LVT_OP_exp, lvt_imk(im, LVT_OP_mul, size, 0.5));
        y = lvt_im2(im, LVT_OP_mul, lvt_imk(im, LVT_OP_mul, y, 0.5), y);
        y = lvt_build_select(b, lvt_imk(im, LVT_OP_gt, size, 20), y, e);
        y = lvt_im_code(im) == SINH ? odd(im, x, y) : y;
        break;
    }
    case ASINH: { /* of |x|: log(1 + x + x^2 / (1 + sqrt(x^2 + 1))) */
        lvt_value size = size_of(im, x), s = lvt_imk_first(im, LVT_OP_min, 1e9, size);
        lvt_value square = lvt_im1(im, LVT_OP_square, s);
        e = lvt_imk(im, LVT_OP_add, lvt_im1(im, LVT_OP_sqrt, lvt_imk(im, LVT_OP_add, square, 1)), 1);
        e = lvt_im2(im, LVT_OP_add, s, lvt_im2(im, LVT_OP_div, square, e));
        y = odd(im, x, area(im, size, lvt_im1(im, LVT_OP_log1p, e), 1e9));
        break;
    }
    case ACOSH: { /* t = x - 1: log(1 + t + sqrt(t) sqrt(t + 2)) */
        lvt_value t = lvt_imk(im, LVT_OP_sub, lvt_imk_first(im, LVT_OP_min, 1e9, x), 1);
        e = lvt_im1(im, LVT_OP_sqrt, lvt_imk(im, LVT_OP_add, t, 2));
        e = lvt_im2(im, LVT_OP_mul, lvt_im1(im, LVT_OP_sqrt, t), e);
        y = area(im, x, lvt_im1(im, LVT_OP_log1p, lvt_im2(im, LVT_OP_add, t, e)), 1e9);
        break;
    }
    case ATANH: /* half of log(1 + x) - log(1 - x) */
        e = lvt_im1(im, LVT_OP_log1p, lvt_im1(im, LVT_OP_neg, x));
        y = lvt_imk(im, LVT_OP_mul, lvt_im2(im, LVT_OP_sub, lvt_im1(im, LVT_OP_log1p, x), e), 0.5);
        break;
    case IS_NAN:
        y = lvt_im2(im, LVT_OP_ne, x, x);
        break;
    case IS_INF: {
        bool high = lvt_im_int(im, "detect_positive", 1), low = lvt_im_int(im, "detect_negative", 1);
        lvt_value is_high = lvt_imk(im, LVT_OP_eq, x, INFINITY),
                  is_low = lvt_imk(im, LVT_OP_eq, x, -INFINITY);
        y = high && low ? lvt_im2(im, LVT_OP_or, is_high, is_low)
            : high      ? is_high
            : low       ? is_low
                        : lvt_im2(im, LVT_OP_and, is_high, is_low);
        break;
    }
    case SHRINK: {
        double bias = lvt_im_float(im, "bias", 0), lambda = lvt_im_float(im, "lambd", 0.5);
        lvt_value zero = lvt_build_select(b, lvt_im2(im, LVT_OP_ne, x, x), x, lvt_im_number(im, x, 0));
        y = lvt_build_select(b, lvt_imk(im, LVT_OP_gt, x, lambda), lvt_imk(im, LVT_OP_sub, x, bias), zero);
        y = lvt_build_select(b, lvt_imk(im, LVT_OP_lt, x, -lambda), lvt_imk(im, LVT_OP_add, x, bias), y);
        break;
    }
    case GELU:
        if (!strcmp(lvt_im_string(im, "approximate", "none"), "none")) {
            y = lvt_im1(im, LVT_OP_gelu, x);
            break;
        }
        /* 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))); from 20 on the tangent is 1, and x^3 might be
         * infinite */
        e = lvt_imk_first(im, LVT_OP_max, -20, lvt_imk_first(im, LVT_OP_min, 20, x));
        e = lvt_im2(
            im, LVT_OP_add, e,
            lvt_imk(im, LVT_OP_mul, lvt_im2(im, LVT_OP_mul, lvt_im1(im, LVT_OP_square, e), e), 0.044715));
        e = lvt_im1(im, LVT_OP_tanh, lvt_imk(im, LVT_OP_mul, e, 0.7978845608028654));
        y = lvt_im2(im, LVT_OP_mul, lvt_imk(im, LVT_OP_mul, x, 0.5), lvt_imk(im, LVT_OP_add, e, 1));
        break;
    }
    return lvt_im_out(im, y);
}

/* ---- reductions ---- */

enum { R_SUM, R_MEAN, R_MAX, R_MIN, R_L1, R_L2, R_LOG_SUM, R_LOG_SUM_EXP, R_SQUARES, R_PROD };

static bool reduce(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0), y;
    lvt_type t = lvt_im_type(im, x);
    int64_t axes[LVT_MAX_RANK];
    int n = lvt_im_either(im, 1, "axes", LVT_MAX_RANK, axes), code = lvt_im_code(im);
    bool keep = lvt_im_int(im, "keepdims", 1), nothing = lvt_im_int(im, "noop_with_empty_axes", 0);
    if (n == -1)
        return false;
    if (n <= 0 && nothing)
        return lvt_im_out(im, x);
    if (t.dtype == LVT_U8)
        return lvt_im_no(im, "reductions of uint8 are not supported");
    if (n <= 0)
        for (n = 0; n < t.rank; n++)
            axes[n] = n;
    if (code == R_PROD) { /* slice by slice */
        y = x;
        for (int k = 0; k < n; k++) {
            int axis = (int)(axes[k] < 0 ? axes[k] + t.rank : axes[k]);
            lvt_type now = lvt_im_type(im, y);
            if (axis < 0 || axis >= t.rank || now.dim[axis] > 256)
                return lvt_im_no(im, "products of more than 256 elements are not supported");
            lvt_value r = lvt_build_slice(&im->b, y, axis, 0, 1);
            for (int64_t i = 1; i < now.dim[axis]; i++)
                r = lvt_im2(im, LVT_OP_mul, r, lvt_build_slice(&im->b, y, axis, i, i + 1));
            y = r;
        }
        lvt_type now = lvt_im_type(im, y), left = {.dtype = t.dtype};
        for (int i = 0; i < t.rank; i++) {
            bool gone = false;
            for (int k = 0; k < n; k++)
                gone |= (axes[k] < 0 ? axes[k] + t.rank : axes[k]) == i;
            if (!gone)
                left.dim[left.rank++] = now.dim[i];
        }
        return lvt_im_out(im, keep ? y : lvt_build_reshape(&im->b, y, left.rank, left.dim));
    }
    if (code == R_MIN)
        x = lvt_im1(im, LVT_OP_neg, x);
    if (code == R_L1)
        x = lvt_im1(im, LVT_OP_abs, x);
    if (code == R_L2 || code == R_SQUARES)
        x = lvt_im1(im, LVT_OP_square, x);
    lvt_value top = LVT_NONE;
    if (code == R_LOG_SUM_EXP) { /* the result does not depend on what is taken off: nothing flows back */
        top = lvt_build_reduce(&im->b, LVT_OP_reduce_max, x, n, axes, true);
        lvt_value finite = lvt_imk(im, LVT_OP_lt, lvt_im1(im, LVT_OP_abs, top), INFINITY);
        top = lvt_build_select(&im->b, finite, top, lvt_im_number(im, top, 0));
        top = lvt_im1(im, LVT_OP_stop_gradient, top);
        x = lvt_im1(im, LVT_OP_exp, lvt_im2(im, LVT_OP_sub, x, top));
    }
    y = lvt_build_reduce(&im->b,
                         code == R_MEAN                   ? LVT_OP_reduce_mean
                         : code == R_MAX || code == R_MIN ? LVT_OP_reduce_max
                                                          : LVT_OP_reduce_sum,
                         x, n, axes, keep);
    if (code == R_MIN)
        y = lvt_im1(im, LVT_OP_neg, y);
    if (code == R_L2)
        y = lvt_im_root(im, y, 2);
    if (code == R_LOG_SUM)
        y = lvt_im1(im, LVT_OP_log, y);
    if (code == R_LOG_SUM_EXP) { /* -infinity of nothing but -infinities, without a slope */
        lvt_value none = lvt_imk(im, LVT_OP_eq, y, 0);
        y = lvt_im1(im, LVT_OP_log, lvt_build_select(&im->b, none, lvt_im_number(im, y, 1), y));
        y = lvt_build_select(&im->b, none, lvt_im_number(im, y, -INFINITY), y);
    }
    if (code == R_LOG_SUM_EXP) {
        lvt_type s = lvt_im_type(im, y);
        y = lvt_im2(im, LVT_OP_add, y, lvt_build_reshape(&im->b, top, s.rank, s.dim));
    }
    return lvt_im_out(im, y);
}

static bool arg(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0);
    lvt_type t = lvt_im_type(im, x);
    int64_t axis = lvt_im_int(im, "axis", 0);
    axis += axis < 0 ? t.rank : 0;
    if (axis < 0 || axis >= t.rank)
        return lvt_im_no(im, "axis is out of range");
    bool last = lvt_im_int(im, "select_last_index", 0);
    int64_t n = t.dim[axis];
    if (!strcmp(im->n->op_type, "ArgMin"))
        x = lvt_im1(im, LVT_OP_neg, x);
    if (last) { /* the first of the reversed */
        double *order = lvt_arena_alloc(im->arena, (size_t)n * sizeof *order);
        for (int64_t i = 0; order && i < n; i++)
            order[i] = (double)(n - 1 - i);
        if (!order)
            return false;
        lvt_named_attr a = {"axis", lvt_attr_int(axis)};
        x = lvt_build(&im->b, LVT_OP_gather, 2, (lvt_value[]){x, lvt_im_vector(im, n, order, LVT_I32)}, 1,
                      &a);
    }
    lvt_named_attr a = {"axis", lvt_attr_int(axis)};
    lvt_value y = lvt_build(&im->b, LVT_OP_argmax, 1, &x, 1, &a);
    if (last)
        y = lvt_im2(im, LVT_OP_sub, lvt_im_number(im, y, (double)(n - 1)), y);
    t.dim[axis] = 1;
    return lvt_im_out(im, lvt_im_int(im, "keepdims", 1) ? lvt_build_reshape(&im->b, y, t.rank, t.dim) : y);
}

const lvt_im_row lvt_im_math[] = {{"Abs", unary, LVT_OP_abs},
                                  {"Neg", unary, LVT_OP_neg},
                                  {"Sign", unary, LVT_OP_sign},
                                  {"Floor", unary, LVT_OP_floor},
                                  {"Exp", unary, LVT_OP_exp},
                                  {"Log", unary, LVT_OP_log},
                                  {"Sqrt", unary, LVT_OP_sqrt},
                                  {"Tanh", unary, LVT_OP_tanh},
                                  {"Erf", unary, LVT_OP_erf},
                                  {"Sin", unary, LVT_OP_sin},
                                  {"Cos", unary, LVT_OP_cos},
                                  {"Relu", unary, LVT_OP_relu},
                                  {"Sigmoid", unary, LVT_OP_sigmoid},
                                  {"Not", unary, LVT_OP_not},
                                  {"Identity", same, 0},
                                  {"Add", binary, LVT_OP_add},
                                  {"Sub", binary, LVT_OP_sub},
                                  {"Mul", binary, LVT_OP_mul},
                                  {"Div", divide, 0},
                                  {"Greater", binary, LVT_OP_gt},
                                  {"Less", binary, LVT_OP_lt},
                                  {"GreaterOrEqual", binary, LVT_OP_ge},
                                  {"LessOrEqual", binary, LVT_OP_le},
                                  {"Equal", binary, LVT_OP_eq},
                                  {"And", binary, LVT_OP_and},
                                  {"Or", binary, LVT_OP_or},
                                  {"Xor", binary, LVT_OP_ne},
                                  {"Mod", modulo, 0},
                                  {"Pow", power, 0},
                                  {"Max", variadic, LVT_OP_max},
                                  {"Min", variadic, LVT_OP_min},
                                  {"Sum", variadic, LVT_OP_add},
                                  {"Mean", variadic, LVT_OP_add},
                                  {"Clip", clip, 0},
                                  {"Where", where, 0},
                                  {"PRelu", prelu, 0},
                                  {"Ceil", curve, CEIL},
                                  {"Round", curve, ROUND},
                                  {"Reciprocal", curve, RECIPROCAL},
                                  {"Softplus", curve, SOFTPLUS},
                                  {"Softsign", curve, SOFTSIGN},
                                  {"HardSigmoid", curve, HARD_SIGMOID},
                                  {"HardSwish", curve, HARD_SWISH},
                                  {"Elu", curve, ELU},
                                  {"Selu", curve, SELU},
                                  {"Celu", curve, CELU},
                                  {"LeakyRelu", curve, LEAKY},
                                  {"ThresholdedRelu", curve, THRESHOLDED},
                                  {"Mish", curve, MISH},
                                  {"Tan", curve, TAN},
                                  {"Atan", curve, ATAN},
                                  {"Asin", curve, ASIN},
                                  {"Acos", curve, ACOS},
                                  {"BitShift", shift, 0},
                                  {"BitwiseAnd", bitwise, BITS_AND},
                                  {"BitwiseOr", bitwise, BITS_OR},
                                  {"BitwiseXor", bitwise, BITS_XOR},
                                  {"BitwiseNot", bitwise, BITS_NOT},
                                  {"Sinh", curve, SINH},
                                  {"Cosh", curve, COSH},
                                  {"Asinh", curve, ASINH},
                                  {"Acosh", curve, ACOSH},
                                  {"Atanh", curve, ATANH},
                                  {"IsNaN", curve, IS_NAN},
                                  {"IsInf", curve, IS_INF},
                                  {"Shrink", curve, SHRINK},
                                  {"Gelu", curve, GELU},
                                  {"ReduceSum", reduce, R_SUM},
                                  {"ReduceMean", reduce, R_MEAN},
                                  {"ReduceMax", reduce, R_MAX},
                                  {"ReduceMin", reduce, R_MIN},
                                  {"ReduceL1", reduce, R_L1},
                                  {"ReduceL2", reduce, R_L2},
                                  {"ReduceLogSum", reduce, R_LOG_SUM},
                                  {"ReduceLogSumExp", reduce, R_LOG_SUM_EXP},
                                  {"ReduceSumSquare", reduce, R_SQUARES},
                                  {"ReduceProd", reduce, R_PROD},
                                  {"ArgMax", arg, 0},
                                  {"ArgMin", arg, 0},
                                  {0}};
