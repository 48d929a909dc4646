/* Emitting LLVM IR: the state shared by emit.c (loops), scalar.c (pointwise ops and memory) and math.c
 * (functions).
 *
 * Every value of a body is a vector of `width` lanes; what is constant along the row is a vector of equal
 * lanes. f32 and bf16 are float lanes (bf16 is rounded after each op), bool is i1. May not know: caches,
 * threads. */
#ifndef LVT_KERNELS_CODEGEN_EMIT_H
#define LVT_KERNELS_CODEGEN_EMIT_H

#include "runtime/kernels/jit/jit.h"

#include <llvm-c/Core.h>

typedef struct lvt_emit {
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMBuilderRef b;
    LLVMTypeRef i1, i8, i16, i32, i64, f32, f64, ptr;
    const lvt_machine *machine;
    lvt_arena *arena;
    LLVMValueRef function; /* its entry block holds the stack slots alone */
    int width;
    bool failed; /* out of memory */
} lvt_emit;

/* ---- types and constants (scalar.c) */
LLVMTypeRef lvt_emit_lane(lvt_emit *e, lvt_dtype t);  /* of values: bool is i1, bf16 is float */
LLVMTypeRef lvt_emit_store(lvt_emit *e, lvt_dtype t); /* of memory: bool is i8, bf16 is i16 */
LLVMTypeRef lvt_emit_vector(lvt_emit *e, LLVMTypeRef lane);
LLVMValueRef lvt_emit_splat(lvt_emit *e, LLVMValueRef scalar);
LLVMValueRef lvt_emit_real(lvt_emit *e, LLVMTypeRef lane, double x); /* a vector of equal constants */
LLVMValueRef lvt_emit_int(lvt_emit *e, LLVMTypeRef lane, int64_t x);
LLVMValueRef lvt_emit_constant(lvt_emit *e, lvt_dtype t, double x);
LLVMValueRef lvt_emit_i64(lvt_emit *e, int64_t x);          /* a scalar */
LLVMValueRef lvt_emit_lanes(lvt_emit *e, LLVMTypeRef lane); /* 0, 1, 2, ... */
/* Calls an intrinsic that is overloaded on one type. */
LLVMValueRef lvt_emit_intrinsic(lvt_emit *e, const char *name, LLVMTypeRef over, LLVMValueRef *args,
                                unsigned n);

/* The elements of a table of f64 at a vector of i64. */
LLVMValueRef lvt_emit_lookup(lvt_emit *e, LLVMValueRef table, LLVMValueRef index);

/* ---- memory. ptr: address of inner index 0; index: inner index of lane 0 (i64); mask: NULL, or lanes that
 * exist */
LLVMValueRef lvt_emit_load(lvt_emit *e, lvt_dtype t, LLVMValueRef ptr, int64_t stride, LLVMValueRef index,
                           LLVMValueRef mask);
void lvt_emit_write(lvt_emit *e, lvt_dtype t, LLVMValueRef x, LLVMValueRef ptr, int64_t stride,
                    LLVMValueRef index, LLVMValueRef mask);

/* ---- arithmetic */
LLVMValueRef lvt_emit_cast(lvt_emit *e, LLVMValueRef x, lvt_dtype from, lvt_dtype to);
/* A pointwise op, composite ones through their expression. dtype: of the last operand. */
LLVMValueRef lvt_emit_op(lvt_emit *e, lvt_op op, lvt_dtype dtype, const LLVMValueRef *args);
/* x op y for reductions: sum or max. */
LLVMValueRef lvt_emit_combine(lvt_emit *e, lvt_op op, lvt_dtype t, LLVMValueRef x, LLVMValueRef y);
LLVMValueRef lvt_emit_identity(lvt_emit *e, lvt_op op, lvt_dtype t); /* vector */
LLVMValueRef lvt_emit_across(lvt_emit *e, lvt_op op, lvt_dtype t,
                             LLVMValueRef x);             /* all lanes: a scalar, fixed order */
LLVMValueRef lvt_emit_first(lvt_emit *e, LLVMValueRef x); /* lane 0 */
LLVMValueRef lvt_emit_select(lvt_emit *e, LLVMValueRef c, LLVMValueRef x, LLVMValueRef y);

/* ---- functions of vectors of float or double (math.c) */
LLVMValueRef lvt_emit_fma(lvt_emit *e, LLVMValueRef x, LLVMValueRef y,
                          LLVMValueRef z); /* fused where the host can */
LLVMValueRef lvt_emit_floor(lvt_emit *e, LLVMValueRef x);
LLVMValueRef lvt_emit_exp(lvt_emit *e, LLVMValueRef x);
LLVMValueRef lvt_emit_log(lvt_emit *e, LLVMValueRef x);
LLVMValueRef lvt_emit_log1p(lvt_emit *e, LLVMValueRef x);
LLVMValueRef lvt_emit_expm1(lvt_emit *e, LLVMValueRef x);
LLVMValueRef lvt_emit_tanh(lvt_emit *e, LLVMValueRef x);
LLVMValueRef lvt_emit_erf(lvt_emit *e, LLVMValueRef x);
LLVMValueRef lvt_emit_sincos(lvt_emit *e, LLVMValueRef x, bool cosine);
LLVMValueRef lvt_emit_pow(lvt_emit *e, LLVMValueRef x, LLVMValueRef y);
LLVMValueRef lvt_emit_mod(lvt_emit *e, LLVMValueRef x, LLVMValueRef y); /* of float */

/* ---- loops (scalar.c): for index = lo; index < hi; index += step */
typedef struct lvt_emit_loop {
    LLVMBasicBlockRef head, exit;
    LLVMValueRef index, step;
} lvt_emit_loop;
LLVMBasicBlockRef lvt_emit_block(lvt_emit *e);
lvt_emit_loop lvt_emit_loop_begin(lvt_emit *e, LLVMValueRef lo, LLVMValueRef hi, int64_t step);
void lvt_emit_loop_end(lvt_emit *e, lvt_emit_loop *l);
/* Starts e->function, of type lvt_nest_code. */
void lvt_emit_function(lvt_emit *e, const char *symbol);

/* ---- functions of type lvt_nest_code called `symbol`, added to e->module. False: out of memory. */
bool lvt_emit_nest(lvt_emit *e, const lvt_nest *n, const char *symbol); /* emit.c */
struct lvt_attention;
bool lvt_emit_attention(lvt_emit *e, const struct lvt_attention *a, const char *symbol); /* attention.c */

/* ---- matrix products in the caches (gemm.c) */
typedef struct lvt_touch { /* memory that will be wanted soon: rows of f32, `step` elements apart */
    LLVMValueRef at;
    int64_t rows, columns, step;
    bool write;
} lvt_touch;
enum { LVT_GEMM_TOUCHES = 2 };
typedef struct lvt_gemm_spec {
    int64_t rows, columns, depth;
    LLVMValueRef a, b, c;              /* f32; c[i, j] = sum over k of a[i, k] b[k, j] */
    int64_t a_row, a_k, b_k, c_row;    /* elements; columns of b and c are adjacent */
    bool add;                          /* to what c holds: whole vectors are read then, too */
    bool padded;                       /* c has room for whole vectors; b always must */
    double scale;                      /* of the result; 1: none */
    lvt_touch touch[LVT_GEMM_TOUCHES]; /* fetched into the second-level cache beside the arithmetic; at NULL:
                                          none */
} lvt_gemm_spec;
void lvt_emit_gemm(lvt_emit *e, const lvt_gemm_spec *g);

#endif
