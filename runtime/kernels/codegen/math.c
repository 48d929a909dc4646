/* exp, expm1, log, log1p, tanh and pow on vectors of float and double, erf, sin, cos and mod on vectors of
 * float.
 *
 * Invariant: no calls to functions, only intrinsics that every host has instructions for; straight-line code,
 * but for arguments of sin and cos from 2^24 on and for mod. Accuracy (units in the last place, as
 * tests/runtime/test_jit_math.c bounds it): f32 exp 2, expm1 5, log 2, log1p 4, tanh 6, erf 6, sin and cos 2,
 * pow 1, mod none; f64 exp 2, expm1 5, log 2, log1p 4, tanh 4. The f32 coefficients are minimax
 * fits of the remainder after range reduction (Lawson's iteration on a Chebyshev grid, relative error), those
 * that other code needs too in functions.h; the f64 ones are Taylor coefficients, computed here. Not-a-number
 * goes in and comes out. May not know: ops, loops. */
#include "emit.h"
#include "runtime/kernels/functions.h"

#include <math.h>

typedef LLVMValueRef V;

static LLVMTypeRef lane_of(V x) {
    return LLVMGetElementType(LLVMTypeOf(x));
}
static bool is_f64(V x) {
    return LLVMGetTypeKind(lane_of(x)) == LLVMDoubleTypeKind;
}
static V real(lvt_emit *e, V like, double c) {
    return lvt_emit_real(e, lane_of(like), c);
}
static V add(lvt_emit *e, V x, V y) {
    return LLVMBuildFAdd(e->b, x, y, "");
}
static V sub(lvt_emit *e, V x, V y) {
    return LLVMBuildFSub(e->b, x, y, "");
}
static V mul(lvt_emit *e, V x, V y) {
    return LLVMBuildFMul(e->b, x, y, "");
}
static V quotient(lvt_emit *e, V x, V y) {
    return LLVMBuildFDiv(e->b, x, y, "");
}
static V less(lvt_emit *e, V x, V y) {
    return LLVMBuildFCmp(e->b, LLVMRealOLT, x, y, "");
}
static V absolute(lvt_emit *e, V x) {
    return lvt_emit_intrinsic(e, "llvm.fabs", LLVMTypeOf(x), &x, 1);
}
static V as_int(lvt_emit *e, V x) {
    return LLVMBuildBitCast(e->b, x, lvt_emit_vector(e, is_f64(x) ? e->i64 : e->i32), "");
}
static V bits_as(lvt_emit *e, V x, V like) {
    return LLVMBuildBitCast(e->b, x, LLVMTypeOf(like), "");
}

V lvt_emit_fma(lvt_emit *e, V x, V y, V z) {
    return lvt_emit_intrinsic(e, "llvm.fmuladd", LLVMTypeOf(x), (V[]){x, y, z}, 3);
}

/* c[0] + c[1] z + ... by Horner's rule. */
static V polynomial(lvt_emit *e, V z, const double *c, int n) {
    V r = real(e, z, c[n - 1]);
    for (int k = n - 2; k >= 0; k--)
        r = lvt_emit_fma(e, r, z, real(e, z, c[k]));
    return r;
}

/* Limits that let not-a-number through. */
static V clamp(lvt_emit *e, V x, double lo, double hi) {
    V l = real(e, x, lo), h = real(e, x, hi);
    x = lvt_emit_select(e, less(e, x, l), l, x);
    return lvt_emit_select(e, less(e, h, x), h, x);
}

/* Nearest integer of |x| < 2^22 (f32), 2^51 (f64), by adding a number whose last place is 1; *magic holds the
 * integer in its low bits. */
static V nearest(lvt_emit *e, V x, V scale, V *magic) {
    V c = real(e, x, is_f64(x) ? 6755399441055744.0 : 12582912.0);
    *magic = lvt_emit_fma(e, x, scale, c);
    return sub(e, *magic, c);
}

V lvt_emit_floor(lvt_emit *e, V x) {
    if (e->machine->sse41)
        return lvt_emit_intrinsic(e, "llvm.floor", LLVMTypeOf(x), &x, 1);
    LLVMTypeRef i = lvt_emit_vector(e, is_f64(x) ? e->i64 : e->i32);
    V big =
        real(e, x, is_f64(x) ? 4503599627370496.0 : 8388608.0); /* from here on every number is an integer */
    V t = LLVMBuildSIToFP(e->b, LLVMBuildFPToSI(e->b, x, i, ""), LLVMTypeOf(x), "");
    t = sub(e, t, lvt_emit_select(e, less(e, x, t), real(e, x, 1), real(e, x, 0)));
    return lvt_emit_select(e, less(e, absolute(e, x), big), t, x);
}

/* p * 2^n for the integer n held by `magic` (nf as a float): in two steps, so that neither leaves the range
 * of exponents. */
static V scale_by(lvt_emit *e, V p, V nf, V magic) {
    if (e->machine->avx512 && e->width == 16 && !is_f64(p)) {
        unsigned id = LLVMLookupIntrinsicID("llvm.x86.avx512.mask.scalef.ps.512", 34);
        if (id) {
            V f = LLVMGetIntrinsicDeclaration(e->module, id, NULL, 0);
            V args[] = {p, nf, p, LLVMConstInt(e->i16, 0xffff, false), LLVMConstInt(e->i32, 4, false)};
            return LLVMBuildCall2(e->b, LLVMGlobalGetValueType(f), f, args, 5, "");
        }
    }
    LLVMTypeRef lane = is_f64(p) ? e->i64 : e->i32;
    int mantissa = is_f64(p) ? 52 : 23, bias = is_f64(p) ? 1023 : 127;
    V n = LLVMBuildSub(e->b, as_int(e, magic),
                       as_int(e, real(e, p, is_f64(p) ? 6755399441055744.0 : 12582912.0)), "");
    V half = LLVMBuildAShr(e->b, n, lvt_emit_int(e, lane, 1), "");
    V parts[] = {half, LLVMBuildSub(e->b, n, half, "")};
    for (int k = 0; k < 2; k++) {
        V x = LLVMBuildAdd(e->b, parts[k], lvt_emit_int(e, lane, bias), "");
        p = mul(e, p, bits_as(e, LLVMBuildShl(e->b, x, lvt_emit_int(e, lane, mantissa), ""), p));
    }
    return p;
}

/* The two halves of ln 2 (functions.h). */
static const double ln2_parts[2][2] = {{LVT_LN2_HIGH, LVT_LN2_LOW}, {0x1.62e42feep-1, 0x1.a39ef35793c76p-33}};

/* e^r - 1 - r over r^2, for |r| <= ln 2 / 2. */
static V exp_rest(lvt_emit *e, V r) {
    if (!is_f64(r)) {
        static const double c[] = {LVT_EXP_REST};
        return polynomial(e, r, c, 5);
    }
    double c[12], f = 1;
    for (int k = 0; k < 12; k++)
        c[k] = 1 / (f *= k + 2); /* 1 / (k + 2)! */
    return polynomial(e, r, c, 12);
}

V lvt_emit_exp(lvt_emit *e, V x) {
    bool d = is_f64(x);
    x = clamp(e, x, d ? -746 : -104, d ? 710 : 89);
    V magic, n = nearest(e, x, real(e, x, 1.4426950408889634), &magic);
    V r = lvt_emit_fma(e, n, real(e, x, -ln2_parts[d][0]), x);
    r = lvt_emit_fma(e, n, real(e, x, -ln2_parts[d][1]), r);
    V one = real(e, x, 1), p = lvt_emit_fma(e, lvt_emit_fma(e, exp_rest(e, r), r, one), r, one);
    return scale_by(e, p, n, magic);
}

V lvt_emit_expm1(lvt_emit *e, V x) {
    V near = less(e, absolute(e, x), real(e, x, 0.34657359027997264)); /* without the cancellation */
    V r = lvt_emit_select(e, near, x, real(e, x, 0));
    V m = lvt_emit_fma(e, mul(e, exp_rest(e, r), r), r, r);
    return lvt_emit_select(e, near, m, sub(e, lvt_emit_exp(e, x), real(e, x, 1)));
}

/* log(x), or log(1 + given) where `given` is that and x its sum with 1: where 1 + f needs no reduction the
 * rounding error of the sum is left out. */
static V log_of(lvt_emit *e, V x, V given) {
    bool d = is_f64(x);
    LLVMTypeRef lane = d ? e->i64 : e->i32;
    int mantissa = d ? 52 : 23;
    /* x = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)); subnormal numbers are made normal first */
    V small = less(e, x, real(e, x, d ? 0x1p-1022 : 0x1p-126));
    V y = lvt_emit_select(e, small, mul(e, x, real(e, x, d ? 0x1p54 : 0x1p23)), x);
    V i = as_int(e, y), origin = as_int(e, real(e, x, 0.70710678118654752));
    V k = LLVMBuildAShr(e->b, LLVMBuildSub(e->b, i, origin, ""), lvt_emit_int(e, lane, mantissa), "");
    V f =
        bits_as(e, LLVMBuildSub(e->b, i, LLVMBuildShl(e->b, k, lvt_emit_int(e, lane, mantissa), ""), ""), x);
    f = sub(e, f, real(e, x, 1));
    k = LLVMBuildSub(
        e->b, k, lvt_emit_select(e, small, lvt_emit_int(e, lane, d ? 54 : 23), lvt_emit_int(e, lane, 0)), "");
    V kf = LLVMBuildSIToFP(e->b, k, LLVMTypeOf(x), ""), r;
    if (given) {
        V near = LLVMBuildAnd(e->b, less(e, real(e, x, -0.29), given), less(e, given, real(e, x, 0.41)), "");
        f = lvt_emit_select(e, near, given, f);
        kf = lvt_emit_select(e, near, real(e, x, 0), kf);
    }
    if (d) { /* log(1 + f) = 2 artanh(s), s = f / (2 + f), = f - s (f - rest) with the series of artanh in s^2
              */
        double c[11];
        for (int j = 0; j < 11; j++)
            c[j] = 2.0 / (2 * j + 3);
        V s = quotient(e, f, add(e, f, real(e, x, 2))), z = mul(e, s, s);
        V rest = mul(e, z, polynomial(e, z, c, 11)), half = mul(e, mul(e, f, f), real(e, x, 0.5));
        /* f - (f^2/2 - (s (f^2/2 + rest) + k ln2_low)) keeps the rounding errors small beside f */
        V low = lvt_emit_fma(e, kf, real(e, x, ln2_parts[1][1]), mul(e, s, add(e, half, rest)));
        r = sub(e, f, sub(e, half, low));
    } else {
        static const double c[] = {0.3333331260363769,   -0.2500000960084664, 0.20002118683598327,
                                   -0.16667995790253104, 0.14219551869032324, -0.12405589773076384,
                                   0.11888166453763575,  -0.1167564821893149, 0.06746627168531141};
        V z = mul(e, f, f), p = mul(e, mul(e, polynomial(e, f, c, 9), f), z);
        p = lvt_emit_fma(e, kf, real(e, x, ln2_parts[0][1]), p);
        r = add(e, f, lvt_emit_fma(e, z, real(e, x, -0.5), p));
    }
    r = lvt_emit_fma(e, kf, real(e, x, ln2_parts[d][0]), r);
    V infinite = LLVMBuildFCmp(e->b, LLVMRealOEQ, x, real(e, x, INFINITY), "");
    V positive = LLVMBuildFCmp(e->b, LLVMRealOGT, x, real(e, x, 0), "");
    V zero = LLVMBuildFCmp(e->b, LLVMRealOEQ, x, real(e, x, 0), "");
    V outside = lvt_emit_select(e, zero, real(e, x, -INFINITY), real(e, x, NAN));
    return lvt_emit_select(e, positive, lvt_emit_select(e, infinite, x, r), outside);
}

V lvt_emit_log(lvt_emit *e, V x) {
    return log_of(e, x, NULL);
}

V lvt_emit_log1p(lvt_emit *e, V x) {
    return log_of(e, add(e, x, real(e, x, 1)), x);
}

/* x p(x^2) / q(x^2) on |x| <= limit, where the quotient is above 1 by several units in the last place, so that
 * it is 1 from there on: 1 + erf is multiplied by numbers of any size. */
static V odd_rational(lvt_emit *e, V x, double limit, const double *p, int np, const double *q, int nq) {
    x = clamp(e, x, -limit, limit);
    V z = mul(e, x, x);
    V r = quotient(e, mul(e, x, polynomial(e, z, p, np)), polynomial(e, z, q, nq));
    return clamp(e, r, -1, 1);
}

V lvt_emit_tanh(lvt_emit *e, V x) {
    if (!is_f64(x)) {
        static const double p[] = {LVT_TANH_P}, q[] = {LVT_TANH_Q};
        return odd_rational(e, x, LVT_TANH_LIMIT, p, 5, q, 5);
    }
    /* m / (m + 2), m = e^(2x) - 1, without the cancellation of e^(2x) - 1 near 0 */
    V t = clamp(e, mul(e, x, real(e, x, 2)), -40, 40);
    V m = lvt_emit_expm1(e, t);
    return quotient(e, m, add(e, m, real(e, x, 2)));
}

V lvt_emit_erf(lvt_emit *e, V x) {
    static const double p[] = {LVT_ERF_P}, q[] = {LVT_ERF_Q};
    return odd_rational(e, x, LVT_ERF_LIMIT, p, 6, q, 6);
}

/* Whether any lane of a mask holds. */
static V any(lvt_emit *e, V mask) {
    V bits = LLVMBuildBitCast(e->b, mask, LLVMIntTypeInContext(e->context, (unsigned)e->width), "");
    return LLVMBuildICmp(e->b, LLVMIntNE, bits, LLVMConstNull(LLVMTypeOf(bits)), "");
}
static V both(lvt_emit *e, V a, V b) {
    return LLVMBuildAnd(e->b, a, b, "");
}
static V compare(lvt_emit *e, LLVMRealPredicate p, V x, double c) {
    return LLVMBuildFCmp(e->b, p, x, real(e, x, c), "");
}

/* ---- sin and cos ---- */

enum {
    HUGE_EXPONENT = 24, /* from 2^24 on pi/2 is taken off by the digits of 2/pi */
    HUGE_ROWS = 128 - HUGE_EXPONENT,
    HUGE_PARTS = 3
};

/* `count` binary digits of 2/pi; digit i stands for 2^-i. */
static double digits(int first, int count) {
    static const uint32_t of[] = {0xa2f9836e, 0x4e441529, 0xfc2757d1, 0xf534ddc0,
                                  0xdb629599, 0x3c439041, 0xfe5163ab, 0xdebbc561};
    double x = 0;
    for (int i = first; i < first + count; i++)
        if (i > 0 && of[(i - 1) / 32] >> (31 - (i - 1) % 32) & 1)
            x += ldexp(1, -i);
    return x;
}

/* Row k: 2^e 2/pi modulo 4, e = k + 1, in three parts of 29, 29 and 53 digits: the products of the first two
 * with 24 digits are exact, and what is left out is below 2^-109 (Payne and Hanek 1983). */
static V huge_table(lvt_emit *e) {
    static const int length[HUGE_PARTS] = {29, 29, 53};
    LLVMTypeRef type = LLVMArrayType(e->f64, HUGE_ROWS * HUGE_PARTS);
    V known = LLVMGetNamedGlobal(e->module, "two_over_pi"), items[HUGE_ROWS * HUGE_PARTS];
    if (known)
        return known;
    for (int k = 0; k < HUGE_ROWS; k++)
        for (int part = 0, at = k; part < HUGE_PARTS; at += length[part++])
            items[k * HUGE_PARTS + part] = LLVMConstReal(e->f64, ldexp(digits(at, length[part]), k + 1));
    V table = LLVMAddGlobal(e->module, type, "two_over_pi");
    LLVMSetInitializer(table, LLVMConstArray(e->f64, items, HUGE_ROWS * HUGE_PARTS));
    LLVMSetGlobalConstant(table, true);
    LLVMSetLinkage(table, LLVMPrivateLinkage);
    LLVMSetAlignment(table, 8);
    return table;
}

/* For the lanes of `huge` of x: what is left of x after a number of quarter turns, in double, and that number
 * in its low bits. */
static V reduce_huge(lvt_emit *e, V x, V huge, V *quadrant) {
    LLVMTypeRef wide = lvt_emit_vector(e, e->f64), ints = lvt_emit_vector(e, e->i32);
    V bits = as_int(e, absolute(e, x)), zero = LLVMConstNull(ints), rest, n[2];
    V row = LLVMBuildSub(e->b, LLVMBuildLShr(e->b, bits, lvt_emit_int(e, e->i32, 23), ""),
                         lvt_emit_int(e, e->i32, 127 + HUGE_EXPONENT), "");
    row = LLVMBuildMul(e->b, lvt_emit_select(e, huge, row, zero), lvt_emit_int(e, e->i32, HUGE_PARTS), "");
    V at = LLVMBuildSExt(e->b, row, lvt_emit_vector(e, e->i64), ""), table = huge_table(e), part[HUGE_PARTS];
    V m = LLVMBuildOr(e->b, both(e, bits, lvt_emit_int(e, e->i32, 0x7fffff)),
                      lvt_emit_int(e, e->i32, 0x800000), "");
    m = LLVMBuildSIToFP(e->b, m, wide, "");
    for (int k = 0; k < HUGE_PARTS; k++)
        part[k] = lvt_emit_lookup(e, table, LLVMBuildAdd(e->b, at, lvt_emit_int(e, e->i64, k), ""));
    rest = mul(e, m, part[0]);
    V one = real(e, rest, 1);
    rest = sub(e, rest, nearest(e, rest, one, &n[0]));
    rest = add(e, rest, mul(e, m, part[1]));
    rest = lvt_emit_fma(e, m, part[2], rest);
    rest = sub(e, rest, nearest(e, rest, one, &n[1]));
    for (int k = 0; k < 2; k++)
        n[k] = LLVMBuildTrunc(e->b, as_int(e, n[k]), ints, "");
    V turns = LLVMBuildAdd(e->b, n[0], n[1], "");
    V minus = LLVMBuildICmp(e->b, LLVMIntSLT, as_int(e, x), zero, "");
    *quadrant = lvt_emit_select(e, minus, LLVMBuildSub(e->b, zero, turns, ""), turns);
    rest = mul(e, rest, real(e, rest, 1.5707963267948966));
    return lvt_emit_select(e, minus, LLVMBuildFNeg(e->b, rest, ""), rest);
}

/* x = n pi/2 + r, reduced in double: below 2^24 the two parts of pi/2 leave about 100 bits. Larger numbers
 * are seldom: their code is jumped over where there is none. */
static V quarter_turns(lvt_emit *e, V x, V *quadrant) {
    V w = LLVMBuildFPExt(e->b, x, lvt_emit_vector(e, e->f64), ""), size = absolute(e, x), magic;
    V n = nearest(e, w, real(e, w, 0.63661977236758134), &magic);
    V r = lvt_emit_fma(e, n, real(e, w, -1.5707963267948966), w);
    r = lvt_emit_fma(e, n, real(e, w, -6.123233995736766e-17), r);
    *quadrant = LLVMBuildTrunc(e->b, as_int(e, magic), lvt_emit_vector(e, e->i32), "");
    V huge = both(e, compare(e, LLVMRealOGE, size, ldexp(1, HUGE_EXPONENT)),
                  compare(e, LLVMRealOLT, size, INFINITY));
    LLVMBasicBlockRef from[2] = {LLVMGetInsertBlock(e->b)}, seldom = lvt_emit_block(e),
                      join = lvt_emit_block(e);
    LLVMBuildCondBr(e->b, any(e, huge), seldom, join);
    LLVMPositionBuilderAtEnd(e->b, seldom);
    V turns, rest = reduce_huge(e, x, huge, &turns);
    V rs[2] = {r, lvt_emit_select(e, huge, rest, r)},
      quadrants[2] = {*quadrant, lvt_emit_select(e, huge, turns, *quadrant)};
    from[1] = LLVMGetInsertBlock(e->b);
    LLVMBuildBr(e->b, join);
    LLVMPositionBuilderAtEnd(e->b, join);
    r = LLVMBuildPhi(e->b, LLVMTypeOf(w), "");
    *quadrant = LLVMBuildPhi(e->b, lvt_emit_vector(e, e->i32), "");
    LLVMAddIncoming(r, rs, from, 2);
    LLVMAddIncoming(*quadrant, quadrants, from, 2);
    return LLVMBuildFPTrunc(e->b, r, LLVMTypeOf(x), "");
}

V lvt_emit_sincos(lvt_emit *e, V x, bool cosine) {
    static const double cs[] = {-0.1666666664162679, 0.008333329385925884, -0.00019839334849152199,
                                2.7183116274647782e-06},
                        cc[] = {0.04166666662282758, -0.0013888883753383253, 2.479952000365874e-05,
                                -2.7210237466543897e-07};
    V quadrant, r = quarter_turns(e, x, &quadrant);
    if (cosine)
        quadrant = LLVMBuildAdd(e->b, quadrant, lvt_emit_int(e, e->i32, 1), "");
    V z = mul(e, r, r), s = polynomial(e, z, cs, 4), c = polynomial(e, z, cc, 4);
    s = lvt_emit_fma(e, mul(e, s, z), r, r);
    c = lvt_emit_fma(e, mul(e, c, z), z, lvt_emit_fma(e, z, real(e, x, -0.5), real(e, x, 1)));
    V one = lvt_emit_int(e, e->i32, 1), two = lvt_emit_int(e, e->i32, 2), zero = lvt_emit_int(e, e->i32, 0);
    V odd = LLVMBuildICmp(e->b, LLVMIntNE, both(e, quadrant, one), zero, "");
    V minus = LLVMBuildICmp(e->b, LLVMIntNE, both(e, quadrant, two), zero, "");
    V y = lvt_emit_select(e, odd, c, s);
    return lvt_emit_select(e, minus, LLVMBuildFNeg(e->b, y, ""), y);
}

/* ---- functions of two ---- */

/* |x|^y = e^(y log |x|), in double: in float the error of the logarithm would be multiplied by up to 88. Then
 * what C says of signs, and of 1 and 0 where the product is 0 times infinity. */
V lvt_emit_pow(lvt_emit *e, V x, V y) {
    LLVMTypeRef wide = lvt_emit_vector(e, e->f64);
    V a = LLVMBuildFPExt(e->b, x, wide, ""), p = LLVMBuildFPExt(e->b, y, wide, "");
    V size = absolute(e, a), half = mul(e, p, real(e, p, 0.5)), one = real(e, p, 1);
    V r = lvt_emit_exp(e, mul(e, p, lvt_emit_log(e, size)));
    V unit = both(e, compare(e, LLVMRealOEQ, size, 1), LLVMBuildFCmp(e->b, LLVMRealORD, p, p, ""));
    r = lvt_emit_select(e, unit, one, r);
    V whole = LLVMBuildFCmp(e->b, LLVMRealOEQ, p, lvt_emit_floor(e, p), "");
    V odd = both(e, whole, LLVMBuildFCmp(e->b, LLVMRealUNE, half, lvt_emit_floor(e, half), ""));
    V below_zero = LLVMBuildICmp(e->b, LLVMIntSLT, as_int(e, a), lvt_emit_int(e, e->i64, 0), "");
    r = lvt_emit_select(e, both(e, below_zero, odd), LLVMBuildFNeg(e->b, r, ""), r);
    V root = both(e, compare(e, LLVMRealOLT, a, 0), compare(e, LLVMRealOGT, a, -INFINITY));
    r = lvt_emit_select(e, both(e, root, LLVMBuildNot(e->b, whole, "")), real(e, p, NAN), r);
    V always = LLVMBuildOr(e->b, compare(e, LLVMRealOEQ, p, 0), compare(e, LLVMRealOEQ, a, 1), "");
    r = lvt_emit_select(e, always, one, r);
    return LLVMBuildFPTrunc(e->b, r, LLVMTypeOf(x), "");
}

/* |x| without |y| as often as it fits: as long as it does, the first 29 digits of the quotient, which make an
 * exact product with the 24 of y, and an exact difference. A quotient that may have been rounded up is made
 * smaller first; it is 1 at least. Ten rounds at most, one for quotients below 2^29. */
static V remainder_of(lvt_emit *e, V a, V b) {
    V possible = both(e, compare(e, LLVMRealOGT, b, 0), compare(e, LLVMRealOLT, a, INFINITY));
    LLVMBasicBlockRef from[2] = {LLVMGetInsertBlock(e->b)}, head = lvt_emit_block(e),
                      body = lvt_emit_block(e), end = lvt_emit_block(e);
    LLVMBuildBr(e->b, head);
    LLVMPositionBuilderAtEnd(e->b, head);
    V r = LLVMBuildPhi(e->b, LLVMTypeOf(a), "");
    V more = both(e, possible, LLVMBuildFCmp(e->b, LLVMRealOGE, r, b, ""));
    LLVMBuildCondBr(e->b, any(e, more), body, end);
    LLVMPositionBuilderAtEnd(e->b, body);
    V q = lvt_emit_floor(e, mul(e, quotient(e, r, b), real(e, r, 1 - 0x1p-52)));
    q = bits_as(e, both(e, as_int(e, q), lvt_emit_int(e, e->i64, -0x1000000)), q);
    q = lvt_emit_select(e, compare(e, LLVMRealOLT, q, 1), real(e, q, 1), q);
    V rs[2] = {a, lvt_emit_select(e, more, sub(e, r, mul(e, q, b)), r)};
    from[1] = LLVMGetInsertBlock(e->b);
    LLVMBuildBr(e->b, head);
    LLVMAddIncoming(r, rs, from, 2);
    LLVMPositionBuilderAtEnd(e->b, end);
    return lvt_emit_select(e, possible, r, real(e, r, NAN));
}

V lvt_emit_mod(lvt_emit *e, V x, V y) {
    LLVMTypeRef wide = lvt_emit_vector(e, e->f64);
    V a = LLVMBuildFPExt(e->b, x, wide, ""), b = LLVMBuildFPExt(e->b, y, wide, "");
    V r = remainder_of(e, absolute(e, a), absolute(e, b));
    V x_below = compare(e, LLVMRealOLT, a, 0), y_below = compare(e, LLVMRealOLT, b, 0);
    r = lvt_emit_select(e, x_below, LLVMBuildFNeg(e->b, r, ""), r);
    V turn = both(e, LLVMBuildXor(e->b, x_below, y_below, ""), compare(e, LLVMRealONE, r, 0));
    return LLVMBuildFPTrunc(e->b, lvt_emit_select(e, turn, add(e, r, b), r), LLVMTypeOf(x), "");
}
