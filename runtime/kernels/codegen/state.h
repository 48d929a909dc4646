/* Inside the emitter of loop nests: the state of one function, shared by its loops (emit.c), its rows
 * (row.c) and its values (value.c).
 *
 * Invariant: at one position all loads come before all stores (a result may lie where an operand does); a
 * value is emitted once for each row (u) and vector (j) in flight and remembered. May not know: where kernels
 * come from, caches. */
#ifndef LVT_KERNELS_CODEGEN_NEST_H
#define LVT_KERNELS_CODEGEN_NEST_H

#include "emit.h"

enum { LVT_NEST_ROWS = 4, LVT_NEST_SLOTS = LVT_NEST_FLAT / 4 + 1 };

typedef struct lvt_nest_state {
    lvt_emit *e;
    const lvt_nest *n;
    const lvt_graph *g;
    LLVMValueRef k0, k1, s0, s1, buffer;
    uint32_t n_streams; /* operands, results, accumulators */
    const lvt_stream **streams;
    LLVMValueRef *ptr[LVT_NEST_ROWS];                /* by stream: address at the present indices */
    LLVMValueRef index[LVT_NEST_ROWS][LVT_MAX_RANK]; /* of the loops outside the vectors */
    LLVMValueRef
        *reciprocal; /* by value: of what row_divisor() finds; only rows taken one at a time have such */
    LLVMValueRef *fixed, *uniform[LVT_NEST_ROWS],
        *at;  /* by value: for the whole function; for a row; at [u][j] */
    int rows; /* in flight */
    LLVMValueRef pos[LVT_NEST_SLOTS], mask;
    LLVMValueRef *sums;  /* stack slots of reductions: [k][u][j] */
    bool hoisting, last; /* in the loop before all others; in the last pass over a row */
} lvt_nest_state;

static inline int lvt_nest_inner(const lvt_nest_state *s) {
    return s->n->n_dims - 1;
}
static inline uint32_t lvt_nest_result_stream(const lvt_nest_state *s, uint32_t k) {
    return s->g->n_inputs + k;
}
static inline uint32_t lvt_nest_acc_stream(const lvt_nest_state *s, uint32_t k) {
    return s->g->n_inputs + s->g->n_outputs + k;
}
static inline LLVMValueRef lvt_nest_i64(lvt_nest_state *s, int64_t x) {
    return lvt_emit_i64(s->e, x);
}
static inline LLVMValueRef lvt_nest_add(lvt_nest_state *s, LLVMValueRef x, LLVMValueRef y) {
    return LLVMBuildAdd(s->e->b, x, y, "");
}
static inline LLVMValueRef lvt_nest_mul(lvt_nest_state *s, LLVMValueRef x, LLVMValueRef y) {
    return LLVMBuildMul(s->e->b, x, y, "");
}

/* Values at the rows in flight share what does not vary with the row. */
static inline int lvt_nest_row_of(const lvt_nest_state *s, lvt_value v, int u) {
    return s->rows > 1 && !(s->n->vary[v] & (1u << (s->n->row - 1))) ? 0 : u;
}

/* ---- emit.c: moves the addresses of row u to `index` of loop l. Returns the old ones, to be put back. */
LLVMValueRef *lvt_nest_step_to(lvt_nest_state *s, int u, const LLVMValueRef *base, int l, LLVMValueRef index);

/* ---- value.c */
/* Value v at row u, vector j: emitted at its first use at this position. */
LLVMValueRef lvt_nest_value(lvt_nest_state *s, lvt_value v, int u, int j);
/* The same, emitted anew. */
LLVMValueRef lvt_nest_compute(lvt_nest_state *s, lvt_value v, int u, int j);
void lvt_nest_forget(lvt_nest_state *s); /* the position changes */
/* Emits what is constant along the row and known after `level` passes over it. */
void lvt_nest_prepare(lvt_nest_state *s, int level);

/* ---- row.c */
typedef void (*lvt_nest_visit)(lvt_nest_state *s, int first, int end,
                               void *user); /* the vectors at s->pos[first..end) */
/* Visits `length` elements along the inner loop. */
void lvt_nest_walk(lvt_nest_state *s, int64_t length, lvt_nest_visit f, void *user);
/* Everything about one row, or about `rows` of them together. */
void lvt_nest_run_row(lvt_nest_state *s, int rows);

#endif
