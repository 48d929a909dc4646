/* exp, log, tanh, erf, sin, cos, pow on vectors of float and double, as straight-line code.
 *
 * Invariant: no calls to functions, only intrinsics that every host has instructions for. Accuracy (units in
 * the last place, as tests/runtime/test_jit_math.c bounds it): f32 exp 2, log 2, tanh 6, erf 6, sin and cos 2
 * for |x| < 2^24; f64 exp 2, log 2, tanh 4, sin and cos 2 for |x| < 2^20. The f32 coefficients are minimax
 * fits of the remainder after range reduction (Lawson's iteration on a Chebyshev grid, relative error); the
 * f64 ones are Taylor coefficients, computed here. Not-a-number goes in and comes out. May not know: ops,
 * loops. */
#include "emit.h"

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

/* The two halves of ln 2: the first has so few bits that its product with any exponent is exact. */
static const double ln2_parts[2][2] = {{0.693359375, -2.12194440054690583e-4},
                                       {0x1.62e42feep-1, 0x1.a39ef35793c76p-33}};

/* e^r - 1 - r over r^2, for |r| <= ln 2 / 2. */
static V exp_rest(lvt_emit *e, V r) {
    if (!is_f64(r)) {
        static const double c[] = {0.5000000095126004, 0.16666518898057614, 0.04166620599590403,
                                   0.008368882304306694, 0.0013950478132726586};
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

V lvt_emit_log(lvt_emit *e, V x) {
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

/* x p(x^2) / q(x^2) on |x| <= limit, where the function has rounded to its limit of 1. */
static V odd_rational(lvt_emit *e, V x, double limit, const double *p, int np, const double *q, int nq) {
    x = clamp(e, x, -limit, limit);
    V z = mul(e, x, x);
    V r = quotient(e, mul(e, x, polynomial(e, z, p, np)), polynomial(e, z, q, nq));
    return clamp(e, r, -1, 1);
}

V lvt_emit_tanh(lvt_emit *e, V x) {
    if (!is_f64(x)) {
        static const double p[] = {0.9999999790581817, 0.13379731498334388, 0.003494049871374924,
                                   2.058370247803265e-05, 1.331932272524993e-08},
                            q[] = {1.0, 0.467130467692617, 0.025871133493044814, 0.0003283116538385303,
                                   7.762133771147357e-07};
        return odd_rational(e, x, 9.01, p, 5, q, 5);
    }
    /* m / (m + 2), m = e^(2x) - 1, without the cancellation of e^(2x) - 1 near 0 */
    V t = clamp(e, mul(e, x, real(e, x, 2)), -40, 40);
    V near = less(e, absolute(e, t), real(e, x, 0.34657359027997264));
    V r = lvt_emit_select(e, near, t, real(e, x, 0));
    V m = lvt_emit_fma(e, mul(e, exp_rest(e, r), r), r, r);
    m = lvt_emit_select(e, near, m, sub(e, lvt_emit_exp(e, t), real(e, x, 1)));
    return quotient(e, m, add(e, m, real(e, x, 2)));
}

V lvt_emit_erf(lvt_emit *e, V x) {
    static const double p[] = {1.1283791462077464,   0.19040483546081796,   0.05274841064851193,
                               0.003765516109312206, 0.0002848751650531949, 2.0500327806820536e-06},
                        q[] = {1.0,
                               0.502074634337404,
                               0.1141083477603305,
                               0.014969024961174913,
                               0.0011625008400726227,
                               3.809075043335779e-05};
    return odd_rational(e, x, 3.92, p, 6, q, 6);
}

/* x = n pi/2 + r, reduced in double: the two parts of pi/2 leave about 100 bits. */
V lvt_emit_sincos(lvt_emit *e, V x, bool cosine) {
    bool d = is_f64(x);
    LLVMTypeRef wide = lvt_emit_vector(e, e->f64);
    V w = d ? x : LLVMBuildFPExt(e->b, x, wide, "");
    V magic, n = nearest(e, w, real(e, w, 0.63661977236758134), &magic);
    V r = lvt_emit_fma(e, n, real(e, w, -1.5707963267948966), w);
    r = lvt_emit_fma(e, n, real(e, w, -6.123233995736766e-17), r);
    r = d ? r : LLVMBuildFPTrunc(e->b, r, LLVMTypeOf(x), "");
    V quadrant = LLVMBuildTrunc(e->b, as_int(e, magic), lvt_emit_vector(e, e->i32), "");
    if (cosine)
        quadrant = LLVMBuildAdd(e->b, quadrant, lvt_emit_int(e, e->i32, 1), "");
    V z = mul(e, r, r), s, c;
    if (d) { /* Taylor: 1/3!, 1/5! ... with alternating signs, 1/4!, 1/6! ... */
        double cs[8], cc[8], f = 1;
        for (int k = 0; k < 8; k++) {
            f *= (2 * k + 2) * (2 * k + 3);
            cs[k] = (k % 2 ? 1 : -1) / f;
        }
        f = 2;
        for (int k = 0; k < 8; k++) {
            f *= (2 * k + 3) * (2 * k + 4);
            cc[k] = (k % 2 ? -1 : 1) / f;
        }
        s = polynomial(e, z, cs, 8);
        c = polynomial(e, z, cc, 8);
    } else {
        static const double cs[] = {-0.1666666664162679, 0.008333329385925884, -0.00019839334849152199,
                                    2.7183116274647782e-06},
                            cc[] = {0.04166666662282758, -0.0013888883753383253, 2.479952000365874e-05,
                                    -2.7210237466543897e-07};
        s = polynomial(e, z, cs, 4);
        c = polynomial(e, z, cc, 4);
    }
    s = lvt_emit_fma(e, mul(e, s, z), r, r);
    c = lvt_emit_fma(e, mul(e, c, z), z, lvt_emit_fma(e, z, real(e, x, -0.5), real(e, x, 1)));
    V one = lvt_emit_int(e, e->i32, 1), two = lvt_emit_int(e, e->i32, 2), zero = lvt_emit_int(e, e->i32, 0);
    V odd = LLVMBuildICmp(e->b, LLVMIntNE, LLVMBuildAnd(e->b, quadrant, one, ""), zero, "");
    V minus = LLVMBuildICmp(e->b, LLVMIntNE, LLVMBuildAnd(e->b, quadrant, two, ""), zero, "");
    V y = lvt_emit_select(e, odd, c, s);
    return lvt_emit_select(e, minus, LLVMBuildFNeg(e->b, y, ""), y);
}

/* e^(y log x), in double: in float the error of the logarithm would be multiplied by up to 88. */
V lvt_emit_pow(lvt_emit *e, V x, V y) {
    bool d = is_f64(x);
    LLVMTypeRef wide = lvt_emit_vector(e, e->f64);
    V a = d ? x : LLVMBuildFPExt(e->b, x, wide, ""), p = d ? y : LLVMBuildFPExt(e->b, y, wide, "");
    V r = lvt_emit_exp(e, mul(e, p, lvt_emit_log(e, a)));
    return d ? r : LLVMBuildFPTrunc(e->b, r, LLVMTypeOf(x), "");
}
