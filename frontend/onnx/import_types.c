/* ONNX's whole numbers in 32 bits: which of its types a value has, what range it can have, and what follows:
 * results of narrow types wrap as there, those of wide types that may leave 32 bits are told.
 *
 * Invariant: a range holds every number that the value can have, whatever the inputs are. May not know: files. */
#include "frontend/onnx/importer.h"

#include <math.h>
#include <string.h>

typedef lvt_im_range range;

enum {
    T_U8 = ONNX__TENSOR_PROTO__DATA_TYPE__UINT8,
    T_I8 = ONNX__TENSOR_PROTO__DATA_TYPE__INT8,
    T_U16 = ONNX__TENSOR_PROTO__DATA_TYPE__UINT16,
    T_I16 = ONNX__TENSOR_PROTO__DATA_TYPE__INT16,
    T_I32 = ONNX__TENSOR_PROTO__DATA_TYPE__INT32,
    T_I64 = ONNX__TENSOR_PROTO__DATA_TYPE__INT64,
    T_U32 = ONNX__TENSOR_PROTO__DATA_TYPE__UINT32,
    T_U64 = ONNX__TENSOR_PROTO__DATA_TYPE__UINT64
};

static const range whole = {INT32_MIN, INT32_MAX}, unknown = {-INFINITY, INFINITY};

/* The numbers of a narrow type; false: it is none. */
static bool limits(int type, range *out) {
    switch (type) {
    case T_U8:
        *out = (range){0, 255};
        return true;
    case T_I8:
        *out = (range){-128, 127};
        return true;
    case T_U16:
        *out = (range){0, 65535};
        return true;
    case T_I16:
        *out = (range){-32768, 32767};
        return true;
    default:
        return false;
    }
}

/* ---- types ---- */

static int type_of_tensor(const Onnx__AttributeProto *a, int or) {
    return a && a->t && a->t->has_data_type ? a->t->data_type : or ;
}

int lvt_im_result_type(lvt_importer *im, size_t output) {
    static const struct {
        const char *op;
        int type, from; /* type 0: that of input `from` */
    } rows[] = {{"Shape", T_I64, 0},         {"Size", T_I64, 0},        {"ArgMax", T_I64, 0},
                {"ArgMin", T_I64, 0},        {"NonZero", T_I64, 0},     {"NonMaxSuppression", T_I64, 0},
                {"CastLike", 0, 1},          {"Where", 0, 1},           {"OneHot", 0, 2},
                {"MatMulInteger", T_I32, 0}, {"ConvInteger", T_I32, 0}, {"QLinearConv", 0, 7},
                {"QLinearMatMul", 0, 7}};
    const Onnx__AttributeProto *a;
    const char *op = im->n->op_type;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strcmp(op, rows[i].op))
            return rows[i].type ? rows[i].type : lvt_im_onnx_type(im, (size_t)rows[i].from);
    if (output && (!strcmp(op, "TopK") || !strcmp(op, "MaxPool")))
        return T_I64;
    if (!strcmp(op, "If") || !strcmp(op, "Loop") || !strcmp(op, "Scan"))
        return 0;
    if (!strcmp(op, "Cast"))
        return (int)lvt_im_int(im, "to", 0);
    if (!strcmp(op, "Constant"))
        return (a = lvt_im_attr(im, "value")) ? type_of_tensor(a, 0) : T_I64;
    if (!strcmp(op, "ConstantOfShape"))
        return type_of_tensor(lvt_im_attr(im, "value"), ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT);
    if (!strcmp(op, "EyeLike") && (a = lvt_im_attr(im, "dtype")))
        return (int)a->i;
    if (!strcmp(op, "QuantizeLinear"))
        return lvt_im_has(im, 2) ? lvt_im_onnx_type(im, 2) : (int)lvt_im_int(im, "output_dtype", T_U8);
    int t = lvt_im_onnx_type(im, 0);
    return t ? t : T_I64;
}

/* ---- ranges ---- */

static range joined(range a, range b) {
    return (range){fmin(a.low, b.low), fmax(a.high, b.high)};
}

static range of_corners(const double *x, int n) {
    range r = {INFINITY, -INFINITY};
    for (int i = 0; i < n; i++) {
        if (x[i] != x[i])
            return unknown;
        r = joined(r, (range){x[i], x[i]});
    }
    return r;
}

static range of_constant(const lvt_node *n) {
    const lvt_attr *a = lvt_attr_get(n, "values");
    range r = a->n ? of_corners(a->floats, 1) : unknown;
    for (uint32_t i = 1; i < a->n; i++)
        r = joined(r, of_corners(&a->floats[i], 1));
    /* The ends of 32 bits stand for numbers beyond, which were read as these. */
    r.low = r.low == INT32_MIN ? INT64_MIN : r.low;
    r.high = r.high == INT32_MAX ? (double)INT64_MAX : r.high;
    return r;
}

/* Of the first result, before it is cut to 32 bits; in: of the operands. */
static range of_node(const lvt_importer *im, const lvt_node *n, const range *in, const lvt_type *type) {
    range a = n->n_operands > 0 ? in[0] : unknown, b = n->n_operands > 1 ? in[1] : unknown;
    lvt_type t = n->n_operands ? lvt_im_type(im, n->operands[0]) : *type;
    double count = (double)lvt_numel(&t) / (double)lvt_numel(type);
    range r = unknown;
    switch ((int)n->op) {
    case LVT_OP_constant:
        return of_constant(n);
    case LVT_OP_iota:
        return (range){0, LVT_MAX_DIM < INT32_MAX ? (double)LVT_MAX_DIM : INT32_MAX};
    case LVT_OP_argmax:
        return (range){0, fmin((double)lvt_numel(&t), INT32_MAX)};
    case LVT_OP_one_hot:
        return (range){0, 1};
    case LVT_OP_reshape:
    case LVT_OP_transpose:
    case LVT_OP_broadcast:
    case LVT_OP_slice:
    case LVT_OP_gather:
    case LVT_OP_cast:
    case LVT_OP_floor:
    case LVT_OP_reduce_max:
        return a;
    case LVT_OP_concat:
        for (uint32_t k = 1; k < n->n_operands; k++)
            a = joined(a, in[k]);
        return a;
    case LVT_OP_select:
        return n->n_operands > 2 ? joined(in[1], in[2]) : unknown;
    case LVT_OP_pad:
        return joined(a, (range){lvt_attr_get(n, "value")->f, lvt_attr_get(n, "value")->f});
    case LVT_OP_add:
        return (range){a.low + b.low, a.high + b.high};
    case LVT_OP_sub:
        return (range){a.low - b.high, a.high - b.low};
    case LVT_OP_neg:
        return (range){-a.high, -a.low};
    case LVT_OP_abs:
        return (range){a.low > 0 ? a.low : a.high < 0 ? -a.high : 0, fmax(fabs(a.low), fabs(a.high))};
    case LVT_OP_sign:
        return (range){-1, 1};
    case LVT_OP_max:
        return (range){fmax(a.low, b.low), fmax(a.high, b.high)};
    case LVT_OP_min:
        return (range){fmin(a.low, b.low), fmin(a.high, b.high)};
    case LVT_OP_mod: /* the sign of the divisor; by 0 it is 0 or no number */
        return (range){fmin(b.low, 0), fmax(b.high, 0)};
    case LVT_OP_div: /* by a whole number, of whole numbers: no larger */
        return (range){fmin(a.low, -a.high), fmax(a.high, -a.low)};
    case LVT_OP_square:
        b = a;
        /* fall through */
    case LVT_OP_mul:
        return of_corners((double[]){a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high}, 4);
    case LVT_OP_pow:
        if (a.low >= 0 && b.low >= 0)
            return of_corners(
                (double[]){pow(a.low, b.low), pow(a.low, b.high), pow(a.high, b.low), pow(a.high, b.high), 1},
                5);
        return r;
    case LVT_OP_reduce_sum:
        return of_corners((double[]){a.low * count, a.high * count}, 2);
    case LVT_OP_gather_grad:
        return of_corners(
            (double[]){fmin(a.low, 0) * (double)lvt_numel(&t), fmax(a.high, 0) * (double)lvt_numel(&t)}, 2);
    case LVT_OP_matmul: {
        double m = fmax(fabs(a.low), fabs(a.high)) * fmax(fabs(b.low), fabs(b.high)) *
                   (double)t.dim[t.rank - (lvt_attr_get(n, "transpose_a")->i ? 2 : 1)];
        return of_corners((double[]){-m, m}, 2);
    }
    default:
        return unknown;
    }
}

static range cut(range r, range to) {
    r.low = r.low >= to.low ? fmin(r.low, to.high) : to.low;
    r.high = r.high <= to.high ? fmax(r.high, to.low) : to.high;
    return r;
}

static bool inside(range r, range of) {
    return r.low >= of.low && r.high <= of.high;
}

/* Makes room for the ranges of all values there are; NaN: not known yet. */
static bool room(lvt_importer *im) {
    uint32_t want = im->g->n_values;
    if (want <= im->n_ranges)
        return true;
    range *more = lvt_arena_alloc(im->arena, 2 * (size_t)want * sizeof *more);
    if (!more)
        return false;
    if (im->n_ranges)
        memcpy(more, im->ranges, im->n_ranges * sizeof *more);
    for (uint32_t i = im->n_ranges; i < 2 * want; i++)
        more[i].low = NAN;
    im->ranges = more;
    im->n_ranges = 2 * want;
    return true;
}

static range of_value(lvt_importer *im, lvt_value v, int depth) {
    if (v == LVT_NONE || v >= im->n_ranges)
        return unknown;
    if (im->ranges[v].low == im->ranges[v].low)
        return im->ranges[v];
    lvt_type type = lvt_im_type(im, v);
    const lvt_node *n = lvt_value_node(im->g, v);
    range in[8], r = type.dtype == LVT_BOOL  ? (range){0, 1}
                     : type.dtype == LVT_U8  ? (range){0, 255}
                     : type.dtype == LVT_I32 ? whole
                                             : unknown;
    if (type.dtype != LVT_BOOL && type.dtype != LVT_U8 && n->n_results == 1 && n->n_operands <= 8 && depth) {
        for (uint32_t k = 0; k < n->n_operands; k++)
            in[k] = of_value(im, n->operands[k], depth - 1);
        range full = of_node(im, n, in, &type);
        if (full.low == full.low && full.high == full.high) {
            /* An end of 32 bits that stands for more is handed on by what moves elements alone. */
            bool beyond = type.dtype == LVT_I32 && !inside(full, whole) && isfinite(full.low + full.high);
            r = type.dtype != LVT_I32 || (beyond && n->op != LVT_OP_cast) ? full : cut(full, whole);
        }
    }
    return im->ranges[v] = r;
}

/* ---- what follows ---- */

static bool counts(const char *op) {
    static const char *const names[] = {"Add",       "Sub",        "Mul",       "Neg",
                                        "Abs",       "Sum",        "Pow",       "CumSum",
                                        "ReduceSum", "ReduceProd", "ReduceL1",  "ReduceSumSquare",
                                        "MatMul",    "Einsum",     "BitShift",  "Gemm",
                                        "Mean",      "ReduceMean", "ScatterND", "ScatterElements",
                                        "Scatter"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(op, names[i]))
            return true;
    return false;
}

static void leaves(lvt_importer *im, const char *op, const char *node) {
    if (!im->n_wide++) {
        im->first_wide = node ? node : "";
        im->first_wide_op = op;
    }
}

static void check_wide(lvt_importer *im, uint32_t from, bool is_unsigned) {
    bool told = false, casts = !strcmp(im->n->op_type, "Cast");
    for (uint32_t i = from; i < im->g->n_values; i++) {
        const lvt_node *n = lvt_value_node(im->g, i);
        lvt_type type = lvt_im_type(im, i);
        range r = of_value(im, i, 64);
        if (casts && n->op == LVT_OP_cast && type.dtype != LVT_I32 && type.dtype != LVT_BOOL)
            r = lvt_im_type(im, n->operands[0]).dtype == LVT_I32 ? of_value(im, n->operands[0], 64) : whole;
        else if (casts || type.dtype != LVT_I32)
            continue;
        told |= isfinite(r.low + r.high) && (!inside(r, whole) || (is_unsigned && r.low < 0));
        if (type.dtype == LVT_I32)
            im->ranges[i] = cut(r, whole);
    }
    if (told)
        leaves(im, im->n->op_type, im->n->name);
}

lvt_value lvt_im_wrapped(lvt_importer *im, lvt_value v, int type) {
    range t;
    if (v == LVT_NONE || !limits(type, &t) || lvt_im_type(im, v).dtype != LVT_I32 || !room(im))
        return v;
    if (!inside(of_value(im, v, 64), t)) {
        double size = t.high - t.low + 1;
        v = t.low != 0 ? lvt_imk(im, LVT_OP_sub, v, t.low) : v;
        v = lvt_imk(im, LVT_OP_mod, v, size);
        v = t.low != 0 ? lvt_imk(im, LVT_OP_add, v, t.low) : v;
    }
    if (v != LVT_NONE && room(im))
        im->ranges[v] = cut(of_value(im, v, 64), t);
    return v;
}

bool lvt_im_in_range(lvt_importer *im, uint32_t from) {
    if (!room(im))
        return lvt_im_no(im, "out of memory");
    for (size_t k = 0; k < im->n->n_output && k < LVT_IM_OUTPUTS; k++) {
        int type = lvt_im_type(im, im->out[k]).dtype == LVT_I32 ? lvt_im_result_type(im, k) : 0;
        if (im->out[k] != LVT_NONE && (im->out[k] = lvt_im_wrapped(im, im->out[k], type)) == LVT_NONE)
            return false;
    }
    bool casts = !strcmp(im->n->op_type, "Cast");
    int type = lvt_im_result_type(im, 0);
    bool is_unsigned = type == T_U32 || type == T_U64;
    if ((type == T_I64 || is_unsigned) && (casts || counts(im->n->op_type)))
        check_wide(im, from, is_unsigned);
    return true;
}

void lvt_im_input_range(lvt_importer *im, lvt_value v, int type) {
    range r = {0, INT32_MAX};
    if (v != LVT_NONE && (limits(type, &r) || type == T_U32 || type == T_U64) &&
        lvt_im_type(im, v).dtype == LVT_I32 && room(im))
        im->ranges[v] = r;
}

void lvt_im_check_wide_output(lvt_importer *im, const char *name, lvt_value v) {
    if (v != LVT_NONE && lvt_im_type(im, v).dtype == LVT_I32 && room(im)) {
        range r = of_value(im, v, 64);
        if (!inside(r, whole) && isfinite(r.low + r.high))
            leaves(im, "output", name);
    }
}

void lvt_im_tell_wide(lvt_importer *im) {
    if (!im->n_wide || im->file->told_wide)
        return;
    im->file->told_wide = true;
    lvt_warning(im->diag, NULL, im->use->at,
                "%s counts in 64 bits, which are 32 here: %u place%s may leave them, the first is '%s' (%s)",
                im->file->name, im->n_wide, im->n_wide == 1 ? "" : "s", im->first_wide, im->first_wide_op);
    lvt_note(im->diag, LVT_NOWHERE,
             "results from -2147483648 to 2147483647 are right, others wrap: give inputs that stay within");
}
