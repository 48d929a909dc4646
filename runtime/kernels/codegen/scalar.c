/* Types, constants, memory and pointwise ops of the code generator, one vector at a time.
 *
 * Invariant: the meaning of an op is ir/expr.c's; composite ops go through the same expression text as there.
 * May not know: loops. */
#include "emit.h"

#include <llvm-c/Core.h>
#include <math.h>
#include <string.h>

typedef LLVMValueRef V;

enum {
    CONTRACT = LLVMFastMathAllowContract
}; /* a * b + c may become one instruction: only ever more exact */

LLVMTypeRef lvt_emit_lane(lvt_emit *e, lvt_dtype t) {
    LLVMTypeRef lanes[LVT_N_DTYPES] = {[LVT_F32] = e->f32, [LVT_BF16] = e->f32, [LVT_F64] = e->f64,
                                       [LVT_I32] = e->i32, [LVT_U8] = e->i8,    [LVT_BOOL] = e->i1};
    return lanes[t];
}

LLVMTypeRef lvt_emit_store(lvt_emit *e, lvt_dtype t) {
    return t == LVT_BOOL ? e->i8 : t == LVT_BF16 ? e->i16 : lvt_emit_lane(e, t);
}

LLVMTypeRef lvt_emit_vector(lvt_emit *e, LLVMTypeRef lane) {
    return LLVMVectorType(lane, (unsigned)e->width);
}

V lvt_emit_i64(lvt_emit *e, int64_t x) {
    return LLVMConstInt(e->i64, (unsigned long long)x, true);
}

static V vector_of(lvt_emit *e, V (*item)(lvt_emit *, LLVMTypeRef, double, int), LLVMTypeRef lane, double x) {
    V items[64];
    for (int k = 0; k < e->width; k++)
        items[k] = item(e, lane, x, k);
    return LLVMConstVector(items, (unsigned)e->width);
}

static V same_real(lvt_emit *e, LLVMTypeRef lane, double x, int k) {
    (void)e, (void)k;
    return LLVMConstReal(lane, x);
}

static V same_int(lvt_emit *e, LLVMTypeRef lane, double x, int k) {
    (void)e, (void)k;
    return LLVMConstInt(lane, (unsigned long long)(int64_t)x, true);
}

static V counting(lvt_emit *e, LLVMTypeRef lane, double x, int k) {
    (void)e, (void)x;
    return LLVMConstInt(lane, (unsigned long long)k, false);
}

V lvt_emit_real(lvt_emit *e, LLVMTypeRef lane, double x) {
    return vector_of(e, same_real, lane, x);
}
V lvt_emit_int(lvt_emit *e, LLVMTypeRef lane, int64_t x) {
    return vector_of(e, same_int, lane, (double)x);
}
V lvt_emit_lanes(lvt_emit *e, LLVMTypeRef lane) {
    return vector_of(e, counting, lane, 0);
}

V lvt_emit_constant(lvt_emit *e, lvt_dtype t, double x) {
    if (t == LVT_F64)
        return lvt_emit_real(e, e->f64, x);
    if (lvt_dtype_is_float(t))
        return lvt_emit_real(e, e->f32, (double)(float)x);
    return lvt_emit_int(e, lvt_emit_lane(e, t), t == LVT_BOOL ? x != 0 : (int64_t)x);
}

V lvt_emit_splat(lvt_emit *e, V scalar) {
    LLVMTypeRef type = lvt_emit_vector(e, LLVMTypeOf(scalar));
    V one = LLVMBuildInsertElement(e->b, LLVMGetPoison(type), scalar, lvt_emit_i64(e, 0), "");
    return LLVMBuildShuffleVector(e->b, one, LLVMGetPoison(type), lvt_emit_int(e, e->i32, 0), "");
}

V lvt_emit_first(lvt_emit *e, V x) {
    return LLVMBuildExtractElement(e->b, x, lvt_emit_i64(e, 0), "");
}

V lvt_emit_select(lvt_emit *e, V c, V x, V y) {
    return LLVMBuildSelect(e->b, c, x, y, "");
}

static V call(lvt_emit *e, const char *name, LLVMTypeRef *over, size_t n_over, V *args, unsigned n) {
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    V f = LLVMGetIntrinsicDeclaration(e->module, id, over, n_over);
    return LLVMBuildCall2(e->b, LLVMGlobalGetValueType(f), f, args, n, "");
}

V lvt_emit_intrinsic(lvt_emit *e, const char *name, LLVMTypeRef over, V *args, unsigned n) {
    return call(e, name, &over, 1, args, n);
}

V lvt_emit_lookup(lvt_emit *e, V table, V index) {
    V at = LLVMBuildGEP2(e->b, e->f64, table, &index, 1, "");
    LLVMTypeRef type = lvt_emit_vector(e, e->f64);
    V args[] = {at, LLVMConstInt(e->i32, 8, false), lvt_emit_int(e, e->i1, 1), LLVMConstNull(type)};
    return call(e, "llvm.masked.gather", (LLVMTypeRef[]){type, lvt_emit_vector(e, e->ptr)}, 2, args, 4);
}

/* ---- functions and loops ---- */

void lvt_emit_function(lvt_emit *e, const char *symbol) {
    LLVMTypeRef args[] = {e->ptr, e->ptr, e->ptr, e->ptr, e->i64, e->i64, e->i64, e->i64};
    e->function = LLVMAddFunction(e->module, symbol,
                                  LLVMFunctionType(LLVMVoidTypeInContext(e->context), args, 8, false));
}

LLVMBasicBlockRef lvt_emit_block(lvt_emit *e) {
    return LLVMAppendBasicBlockInContext(e->context, e->function, "");
}

lvt_emit_loop lvt_emit_loop_begin(lvt_emit *e, V lo, V hi, int64_t step) {
    lvt_emit_loop l = {.head = lvt_emit_block(e), .exit = lvt_emit_block(e), .step = lvt_emit_i64(e, step)};
    LLVMBasicBlockRef from = LLVMGetInsertBlock(e->b), body = lvt_emit_block(e);
    LLVMBuildBr(e->b, l.head);
    LLVMPositionBuilderAtEnd(e->b, l.head);
    l.index = LLVMBuildPhi(e->b, e->i64, "");
    LLVMAddIncoming(l.index, &lo, &from, 1);
    LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, l.index, hi, ""), body, l.exit);
    LLVMPositionBuilderAtEnd(e->b, body);
    return l;
}

void lvt_emit_loop_end(lvt_emit *e, lvt_emit_loop *l) {
    V next = LLVMBuildAdd(e->b, l->index, l->step, "");
    LLVMBasicBlockRef from = LLVMGetInsertBlock(e->b);
    LLVMBuildBr(e->b, l->head);
    LLVMAddIncoming(l->index, &next, &from, 1);
    LLVMPositionBuilderAtEnd(e->b, l->exit);
}

/* ---- memory ---- */

/* From what memory holds to what values are, and back. */
static V unpack(lvt_emit *e, lvt_dtype t, V x) {
    LLVMTypeRef type = LLVMTypeOf(x);
    bool vector = LLVMGetTypeKind(type) == LLVMVectorTypeKind;
    if (t == LVT_BOOL)
        return LLVMBuildICmp(e->b, LLVMIntNE, x, LLVMConstNull(type), "");
    if (t == LVT_BF16) {
        LLVMTypeRef i = vector ? lvt_emit_vector(e, e->i32) : e->i32,
                    f = vector ? lvt_emit_vector(e, e->f32) : e->f32;
        V wide = LLVMBuildZExt(e->b, x, i, ""),
          by = vector ? lvt_emit_int(e, e->i32, 16) : LLVMConstInt(e->i32, 16, false);
        return LLVMBuildBitCast(e->b, LLVMBuildShl(e->b, wide, by, ""), f, "");
    }
    return x;
}

/* Nearest bf16, ties to even; not-a-number stays one. */
static V round_bf16(lvt_emit *e, V x) {
    V i = LLVMBuildBitCast(e->b, x, lvt_emit_vector(e, e->i32), "");
    V odd = LLVMBuildAnd(e->b, LLVMBuildLShr(e->b, i, lvt_emit_int(e, e->i32, 16), ""),
                         lvt_emit_int(e, e->i32, 1), "");
    V up = LLVMBuildAdd(e->b, i, LLVMBuildAdd(e->b, odd, lvt_emit_int(e, e->i32, 0x7fff), ""), "");
    V r = LLVMBuildAnd(e->b, up, lvt_emit_int(e, e->i32, (int64_t)0xffff0000), "");
    V nan = LLVMBuildFCmp(e->b, LLVMRealUNO, x, x, "");
    return lvt_emit_select(e, nan, lvt_emit_real(e, e->f32, NAN),
                           LLVMBuildBitCast(e->b, r, LLVMTypeOf(x), ""));
}

static V pack(lvt_emit *e, lvt_dtype t, V x) {
    if (t == LVT_BOOL)
        return LLVMBuildZExt(e->b, x, lvt_emit_vector(e, e->i8), "");
    if (t == LVT_BF16) { /* values are rounded already: the high half is the number */
        V i = LLVMBuildBitCast(e->b, x, lvt_emit_vector(e, e->i32), "");
        return LLVMBuildTrunc(e->b, LLVMBuildLShr(e->b, i, lvt_emit_int(e, e->i32, 16), ""),
                              lvt_emit_vector(e, e->i16), "");
    }
    return x;
}

static unsigned alignment(lvt_dtype t) {
    return (unsigned)lvt_dtype_size(t);
}

static V address(lvt_emit *e, LLVMTypeRef lane, V ptr, int64_t stride, V index) {
    if (stride != 1)
        index = LLVMBuildMul(e->b, index, lvt_emit_i64(e, stride), "");
    return LLVMBuildGEP2(e->b, lane, ptr, &index, 1, "");
}

static V lane_addresses(lvt_emit *e, LLVMTypeRef lane, V ptr, int64_t stride, V index) {
    V at = LLVMBuildAdd(e->b, lvt_emit_splat(e, index), lvt_emit_lanes(e, e->i64), "");
    at = LLVMBuildMul(e->b, at, lvt_emit_int(e, e->i64, stride), "");
    return LLVMBuildGEP2(e->b, lane, ptr, &at, 1, "");
}

V lvt_emit_load(lvt_emit *e, lvt_dtype t, V ptr, int64_t stride, V index, V mask) {
    LLVMTypeRef lane = lvt_emit_store(e, t), type = lvt_emit_vector(e, lane);
    V x;
    if (stride == 0) {
        x = LLVMBuildLoad2(e->b, lane, ptr, "");
        LLVMSetAlignment(x, alignment(t));
        return lvt_emit_splat(e, unpack(e, t, x));
    }
    if (stride == 1 && !mask) {
        x = LLVMBuildLoad2(e->b, type, address(e, lane, ptr, 1, index), "");
        LLVMSetAlignment(x, alignment(t));
    } else if (stride == 1) {
        V args[] = {address(e, lane, ptr, 1, index), LLVMConstInt(e->i32, alignment(t), false), mask,
                    LLVMConstNull(type)};
        x = call(e, "llvm.masked.load", (LLVMTypeRef[]){type, e->ptr}, 2, args, 4);
    } else {
        V all = mask ? mask : lvt_emit_int(e, e->i1, 1);
        V args[] = {lane_addresses(e, lane, ptr, stride, index), LLVMConstInt(e->i32, alignment(t), false),
                    all, LLVMConstNull(type)};
        x = call(e, "llvm.masked.gather", (LLVMTypeRef[]){type, lvt_emit_vector(e, e->ptr)}, 2, args, 4);
    }
    return unpack(e, t, x);
}

void lvt_emit_write(lvt_emit *e, lvt_dtype t, V x, V ptr, int64_t stride, V index, V mask) {
    LLVMTypeRef lane = lvt_emit_store(e, t), type = lvt_emit_vector(e, lane);
    x = pack(e, t, x);
    if (stride == 0) { /* one element */
        LLVMSetAlignment(LLVMBuildStore(e->b, lvt_emit_first(e, x), ptr), alignment(t));
    } else if (stride == 1 && !mask) {
        LLVMSetAlignment(LLVMBuildStore(e->b, x, address(e, lane, ptr, 1, index)), alignment(t));
    } else if (stride == 1) {
        V args[] = {x, address(e, lane, ptr, 1, index), LLVMConstInt(e->i32, alignment(t), false), mask};
        call(e, "llvm.masked.store", (LLVMTypeRef[]){type, e->ptr}, 2, args, 4);
    } else {
        V all = mask ? mask : lvt_emit_int(e, e->i1, 1);
        V args[] = {x, lane_addresses(e, lane, ptr, stride, index), LLVMConstInt(e->i32, alignment(t), false),
                    all};
        call(e, "llvm.masked.scatter", (LLVMTypeRef[]){type, lvt_emit_vector(e, e->ptr)}, 2, args, 4);
    }
}

/* ---- casts ---- */

V lvt_emit_cast(lvt_emit *e, V x, lvt_dtype from, lvt_dtype to) {
    LLVMTypeRef type = lvt_emit_vector(e, lvt_emit_lane(e, to));
    bool float_from = lvt_dtype_is_float(from), float_to = lvt_dtype_is_float(to);
    if (from == to)
        return x;
    if (to == LVT_BOOL) {
        V zero = LLVMConstNull(LLVMTypeOf(x));
        return float_from ? LLVMBuildFCmp(e->b, LLVMRealUNE, x, zero, "")
                          : LLVMBuildICmp(e->b, LLVMIntNE, x, zero, "");
    }
    if (float_from && float_to) {
        if (to == LVT_F64)
            return LLVMBuildFPExt(e->b, x, type, "");
        x = from == LVT_F64 ? LLVMBuildFPTrunc(e->b, x, type, "") : x;
        return to == LVT_BF16 ? round_bf16(e, x) : x;
    }
    if (float_to) {
        x = from == LVT_I32 ? LLVMBuildSIToFP(e->b, x, type, "") : LLVMBuildUIToFP(e->b, x, type, "");
        return to == LVT_BF16 ? round_bf16(e, x) : x;
    }
    if (float_from) { /* toward zero, saturating, not-a-number is 0 */
        const char *name = to == LVT_U8 ? "llvm.fptoui.sat" : "llvm.fptosi.sat";
        return call(e, name, (LLVMTypeRef[]){type, LLVMTypeOf(x)}, 2, &x, 1);
    }
    if (to == LVT_U8 && from == LVT_I32) { /* saturating */
        V lo = lvt_emit_int(e, e->i32, 0), hi = lvt_emit_int(e, e->i32, 255);
        x = lvt_emit_select(e, LLVMBuildICmp(e->b, LLVMIntSLT, x, lo, ""), lo, x);
        x = lvt_emit_select(e, LLVMBuildICmp(e->b, LLVMIntSGT, x, hi, ""), hi, x);
        return LLVMBuildTrunc(e->b, x, type, "");
    }
    return LLVMBuildZExt(e->b, x, type, "");
}

/* ---- pointwise ops ---- */

static V flagged(V x) {
    if (LLVMIsAInstruction(x) && LLVMCanValueUseFastMathFlags(x))
        LLVMSetFastMathFlags(x, CONTRACT);
    return x;
}

/* The larger or smaller of two, for which `first` and `second` hold when x or y is it, so that both are false
 * where one of them is no number: that one is the result. Which of them is asked for is decided so that the
 * question folds away beside a constant. */
static V extreme(lvt_emit *e, LLVMRealPredicate wins, V x, V y) {
    V asked = LLVMIsConstant(y) ? y : x, other = asked == x ? y : x;
    LLVMRealPredicate held = wins; /* that x is the result */
    if (asked == y)                /* y wins ties, as it does with the other question */
        held = wins == LLVMRealOGT ? LLVMRealOLE : LLVMRealOGE;
    V best = lvt_emit_select(e, LLVMBuildFCmp(e->b, held, x, y, ""), asked, other);
    return lvt_emit_select(e, LLVMBuildFCmp(e->b, LLVMRealUNO, asked, asked, ""), asked, best);
}

static V sign_of(lvt_emit *e, V zero, V one, V minus, V positive, V negative) {
    return lvt_emit_select(e, positive, one, lvt_emit_select(e, negative, minus, zero));
}

static V float_op(lvt_emit *e, lvt_op op, LLVMTypeRef lane, const V *x) {
    LLVMBuilderRef b = e->b;
    LLVMTypeRef type = lvt_emit_vector(e, lane);
    V zero = LLVMConstNull(type), one = lvt_emit_real(e, lane, 1), args[2];
    args[0] = x[0];
    switch (op) {
    case LVT_OP_add:
        return flagged(LLVMBuildFAdd(b, x[0], x[1], ""));
    case LVT_OP_sub:
        return flagged(LLVMBuildFSub(b, x[0], x[1], ""));
    case LVT_OP_mul:
        return flagged(LLVMBuildFMul(b, x[0], x[1], ""));
    case LVT_OP_div:
        return LLVMBuildFDiv(b, x[0], x[1], "");
    case LVT_OP_neg:
        return LLVMBuildFNeg(b, x[0], "");
    case LVT_OP_abs:
        return lvt_emit_intrinsic(e, "llvm.fabs", type, args, 1);
    case LVT_OP_sign: /* x + 0: 0 of both zeros, and not-a-number */
        return sign_of(e, LLVMBuildFAdd(b, x[0], zero, ""), one, lvt_emit_real(e, lane, -1),
                       LLVMBuildFCmp(b, LLVMRealOGT, x[0], zero, ""),
                       LLVMBuildFCmp(b, LLVMRealOLT, x[0], zero, ""));
    case LVT_OP_floor:
        return lvt_emit_floor(e, x[0]);
    case LVT_OP_exp:
        return lvt_emit_exp(e, x[0]);
    case LVT_OP_log:
        return lvt_emit_log(e, x[0]);
    case LVT_OP_log1p:
        return lvt_emit_log1p(e, x[0]);
    case LVT_OP_expm1:
        return lvt_emit_expm1(e, x[0]);
    case LVT_OP_sqrt:
        return lvt_emit_intrinsic(e, "llvm.sqrt", type, args, 1);
    case LVT_OP_rsqrt:
        return LLVMBuildFDiv(b, one, lvt_emit_intrinsic(e, "llvm.sqrt", type, args, 1), "");
    case LVT_OP_tanh:
        return lvt_emit_tanh(e, x[0]);
    case LVT_OP_erf:
        return lvt_emit_erf(e, x[0]);
    case LVT_OP_sin:
        return lvt_emit_sincos(e, x[0], false);
    case LVT_OP_cos:
        return lvt_emit_sincos(e, x[0], true);
    case LVT_OP_max:
        return extreme(e, LLVMRealOGT, x[0], x[1]);
    case LVT_OP_min:
        return extreme(e, LLVMRealOLT, x[0], x[1]);
    case LVT_OP_pow:
        return lvt_emit_pow(e, x[0], x[1]);
    case LVT_OP_mod:
        return lvt_emit_mod(e, x[0], x[1]);
    case LVT_OP_lt:
        return LLVMBuildFCmp(b, LLVMRealOLT, x[0], x[1], "");
    case LVT_OP_le:
        return LLVMBuildFCmp(b, LLVMRealOLE, x[0], x[1], "");
    case LVT_OP_gt:
        return LLVMBuildFCmp(b, LLVMRealOGT, x[0], x[1], "");
    case LVT_OP_ge:
        return LLVMBuildFCmp(b, LLVMRealOGE, x[0], x[1], "");
    case LVT_OP_eq:
        return LLVMBuildFCmp(b, LLVMRealOEQ, x[0], x[1], "");
    case LVT_OP_ne:
        return LLVMBuildFCmp(b, LLVMRealUNE, x[0], x[1], "");
    default:
        return NULL;
    }
}

/* Rounded down, 0 when the divisor is 0. The double quotient of 32-bit integers is close enough: it differs
 * from an integer above it by at least 2^-31 of itself. */
static V int_div(lvt_emit *e, V x, V y) {
    LLVMTypeRef wide = lvt_emit_vector(e, e->f64), type = lvt_emit_vector(e, e->i32);
    V none = LLVMBuildICmp(e->b, LLVMIntEQ, y, LLVMConstNull(type), "");
    V d = lvt_emit_select(e, none, lvt_emit_int(e, e->i32, 1), y);
    V q = LLVMBuildFDiv(e->b, LLVMBuildSIToFP(e->b, x, wide, ""), LLVMBuildSIToFP(e->b, d, wide, ""), "");
    q = lvt_emit_floor(e, q);
    q = LLVMBuildTrunc(e->b, LLVMBuildFPToSI(e->b, q, lvt_emit_vector(e, e->i64), ""), type, "");
    return lvt_emit_select(e, none, LLVMConstNull(type), q);
}

static V int_op(lvt_emit *e, lvt_op op, lvt_dtype t, LLVMTypeRef lane, const V *x) {
    LLVMBuilderRef b = e->b;
    bool is_signed = t == LVT_I32;
    V zero = lvt_emit_int(e, lane, 0);
#define COMPARE(s, u) LLVMBuildICmp(b, is_signed ? LLVMInt##s : LLVMInt##u, x[0], x[1], "")
    switch (op) {
    case LVT_OP_add:
        return LLVMBuildAdd(b, x[0], x[1], "");
    case LVT_OP_sub:
        return LLVMBuildSub(b, x[0], x[1], "");
    case LVT_OP_mul:
        return LLVMBuildMul(b, x[0], x[1], "");
    case LVT_OP_div:
        return int_div(e, x[0], x[1]);
    case LVT_OP_mod:
        return LLVMBuildSub(b, x[0], LLVMBuildMul(b, int_div(e, x[0], x[1]), x[1], ""), "");
    case LVT_OP_neg:
        return LLVMBuildSub(b, zero, x[0], "");
    case LVT_OP_abs:
        return lvt_emit_select(e, LLVMBuildICmp(b, LLVMIntSLT, x[0], zero, ""),
                               LLVMBuildSub(b, zero, x[0], ""), x[0]);
    case LVT_OP_sign:
        return sign_of(e, zero, lvt_emit_int(e, lane, 1), lvt_emit_int(e, lane, -1),
                       LLVMBuildICmp(b, LLVMIntSGT, x[0], zero, ""),
                       LLVMBuildICmp(b, LLVMIntSLT, x[0], zero, ""));
    case LVT_OP_floor:
        return x[0];
    case LVT_OP_max:
        return lvt_emit_select(e, COMPARE(SGT, UGT), x[0], x[1]);
    case LVT_OP_min:
        return lvt_emit_select(e, COMPARE(SLT, ULT), x[0], x[1]);
    case LVT_OP_lt:
        return COMPARE(SLT, ULT);
    case LVT_OP_le:
        return COMPARE(SLE, ULE);
    case LVT_OP_gt:
        return COMPARE(SGT, UGT);
    case LVT_OP_ge:
        return COMPARE(SGE, UGE);
    case LVT_OP_eq:
        return LLVMBuildICmp(b, LLVMIntEQ, x[0], x[1], "");
    case LVT_OP_ne:
        return LLVMBuildICmp(b, LLVMIntNE, x[0], x[1], "");
    case LVT_OP_and:
        return LLVMBuildAnd(b, x[0], x[1], "");
    case LVT_OP_or:
        return LLVMBuildOr(b, x[0], x[1], "");
    case LVT_OP_not:
        return LLVMBuildNot(b, x[0], "");
    default:
        return NULL;
    }
#undef COMPARE
}

static V expression(lvt_emit *e, const lvt_expr *x, lvt_dtype t, const V *args) {
    if (x->kind == LVT_EXPR_NUMBER)
        return lvt_emit_constant(e, t == LVT_BF16 ? LVT_F32 : t, x->number);
    if (x->kind == LVT_EXPR_VAR)
        return args[x->var - 'a'];
    V sub[3] = {0};
    for (int k = 0; k < x->n_args; k++)
        if (!(sub[k] = expression(e, x->args[k], t, args)))
            return NULL;
    return lvt_emit_op(e, x->op, t == LVT_BF16 ? LVT_F32 : t, sub);
}

V lvt_emit_op(lvt_emit *e, lvt_op op, lvt_dtype t, const V *args) {
    const lvt_op_def *def = lvt_op_table[op];
    V r;
    if (op == LVT_OP_select) {
        r = lvt_emit_select(e, args[0], args[1], args[2]);
    } else if (def->expr) {
        lvt_expr *x = lvt_expr_parse(def->expr, e->arena);
        r = x ? expression(e, x, t, args) : NULL;
    } else {
        LLVMTypeRef lane = lvt_emit_lane(e, t);
        r = lvt_dtype_is_float(t) ? float_op(e, op, lane, args) : int_op(e, op, t, lane, args);
    }
    if (!r) {
        e->failed = true;
        return args[0];
    }
    bool number = LLVMGetElementType(LLVMTypeOf(r)) != e->i1;
    return t == LVT_BF16 && number ? round_bf16(e, r) : r;
}

/* ---- reductions ---- */

static V combine(lvt_emit *e, lvt_op op, lvt_dtype t, V x, V y) {
    bool f = lvt_dtype_is_float(t);
    if (op != LVT_OP_reduce_max)
        return f ? LLVMBuildFAdd(e->b, x, y, "") : LLVMBuildAdd(e->b, x, y, "");
    return f ? extreme(e, LLVMRealOGT, y, x) /* x has gone through more of them: ask about y */
             : lvt_emit_select(e, LLVMBuildICmp(e->b, LLVMIntSGT, x, y, ""), x, y);
}

V lvt_emit_combine(lvt_emit *e, lvt_op op, lvt_dtype t, V x, V y) {
    return flagged(combine(e, op, t, x, y));
}

V lvt_emit_identity(lvt_emit *e, lvt_op op, lvt_dtype t) {
    LLVMTypeRef lane = lvt_emit_lane(e, t);
    if (op != LVT_OP_reduce_max)
        return LLVMConstNull(lvt_emit_vector(e, lane));
    return lvt_dtype_is_float(t) ? lvt_emit_real(e, lane, -INFINITY) : lvt_emit_int(e, lane, INT32_MIN);
}

V lvt_emit_across(lvt_emit *e, lvt_op op, lvt_dtype t, V x) {
    for (int half = e->width / 2; half >= 1; half /= 2) {
        V lo[64], hi[64];
        for (int k = 0; k < half; k++) {
            lo[k] = LLVMConstInt(e->i32, (unsigned)k, false);
            hi[k] = LLVMConstInt(e->i32, (unsigned)(half + k), false);
        }
        V none = LLVMGetPoison(LLVMTypeOf(x));
        V a = LLVMBuildShuffleVector(e->b, x, none, LLVMConstVector(lo, (unsigned)half), "");
        V c = LLVMBuildShuffleVector(e->b, x, none, LLVMConstVector(hi, (unsigned)half), "");
        x = combine(e, op, t, a, c);
    }
    return lvt_emit_first(e, x);
}
