/* The code of attention and attention_grad for one head and image.
 *
 * forward: pack v; s = q k^T; rows of s: scale, bias, largest, exp, sum, quotient; y = p v; logsumexp.
 * backward: pack q, dy, row sums of dy * y; s = q k^T; dp = dy v^T; rows: p = exp(s - logsumexp),
 * ds = p * (dp - sum), dbias += ds, scale; dv = p^T dy; dq = ds k; dk += ds^T q.
 * Scores, with their rows padded to whole vectors, stay in scratch that the caches hold; what stands in the
 * padding is never read as an element. Invariant: sizes and strides are those of the key. May not know:
 * chunks, threads. */
#include "runtime/kernels/jit/attention.h"
#include "emit.h"

typedef LLVMValueRef V;

enum { KEPT = 8 }; /* vectors of a row of scores that stay in registers between its passes */

typedef struct state {
    lvt_emit *e;
    const lvt_attention *a;
    V in[LVT_ATT_N_IN], out[LVT_ATT_N_OUT], area[LVT_ATT_N_AREAS], partial;
    V tail; /* mask of the last vector of a row of scores, or NULL */
} state;

static V i64(state *s, int64_t x) {
    return lvt_emit_i64(s->e, x);
}
static V moved(state *s, V base, V index, int64_t stride) {
    V offset = LLVMBuildMul(s->e->b, index, i64(s, stride), "");
    return LLVMBuildGEP2(s->e->b, s->e->f32, base, &offset, 1, "");
}
static V load(state *s, V ptr, V index, V mask) {
    return lvt_emit_load(s->e, LVT_F32, ptr, 1, index, mask);
}
static void store(state *s, V x, V ptr, V index) {
    lvt_emit_write(s->e, LVT_F32, x, ptr, 1, index, NULL);
}
static V scalar(state *s, V ptr, V index, int64_t stride) { /* in all lanes */
    return lvt_emit_load(s->e, LVT_F32, moved(s, ptr, index, stride), 0, i64(s, 0), NULL);
}
static V op(state *s, lvt_op o, V x, V y) {
    return lvt_emit_op(s->e, o, LVT_F32, (V[]){x, y});
}
static V real(state *s, double x) {
    return lvt_emit_real(s->e, s->e->f32, x);
}
/* Mask of the lanes below n % width, or NULL when n is a multiple. */
static V tail_mask(state *s, int64_t n) {
    int64_t rest = n % s->e->width;
    return rest ? LLVMBuildICmp(s->e->b, LLVMIntULT, lvt_emit_lanes(s->e, s->e->i32),
                                lvt_emit_int(s->e, s->e->i32, rest), "")
                : NULL;
}

/* A vector that changes in loops; mem2reg makes a register of it. */
static V variable(state *s, V start) {
    LLVMBasicBlockRef here = LLVMGetInsertBlock(s->e->b);
    LLVMPositionBuilderAtEnd(s->e->b, LLVMGetEntryBasicBlock(s->e->function));
    V slot = LLVMBuildAlloca(s->e->b, LLVMTypeOf(start), "");
    LLVMPositionBuilderAtEnd(s->e->b, here);
    LLVMBuildStore(s->e->b, start, slot);
    return slot;
}
static V get(state *s, V slot) {
    return LLVMBuildLoad2(s->e->b, lvt_emit_vector(s->e, s->e->f32), slot, "");
}
static void set(state *s, V slot, V x) {
    LLVMBuildStore(s->e->b, x, slot);
}

/* ---- rows ---- */

/* What is done with a vector of a row. kept: its value from the pass before, and for the next one, where rows
 * are short enough to stay in registers; else NULL, and values pass through memory. */
typedef void (*visit)(state *s, void *user, V index, V mask, V *kept);

/* Goes along a row of n elements; the last vector gets `mask`. */
static void along(state *s, int64_t n, V mask, visit f, void *user, V *kept) {
    int64_t width = s->e->width, vectors = (n + width - 1) / width, looped = vectors - (mask ? 1 : 0);
    if (vectors > KEPT) {
        lvt_emit_loop l = lvt_emit_loop_begin(s->e, i64(s, 0), i64(s, looped * width), width);
        f(s, user, l.index, NULL, NULL);
        lvt_emit_loop_end(s->e, &l);
    }
    for (int64_t j = vectors > KEPT ? looped : 0; j < vectors; j++)
        f(s, user, i64(s, j * width), j == vectors - 1 ? mask : NULL,
          kept && vectors <= KEPT ? &kept[j] : NULL);
}

/* ---- packing ---- */

typedef struct packing {
    V from, to, other, sum;
} packing;

static void pack_vector(state *s, void *user, V index, V mask, V *kept) {
    packing *p = user;
    (void)kept;
    V x = load(s, p->from, index, mask);
    store(s, x, p->to, index);
    if (p->other)
        set(s, p->sum, lvt_emit_fma(s->e, x, load(s, p->other, index, mask), get(s, p->sum)));
}

/* to [rows, whole vectors of columns] = from, the padding zero. With `other`, sums[row] = sum of from *
 * other. The rows of from and other are from_row and other_row apart. */
static void pack(state *s, int64_t rows, int64_t columns, V from, int64_t from_row, V to, V other,
                 int64_t other_row, V sums) {
    lvt_emit *e = s->e;
    int64_t padded = (columns + e->width - 1) / e->width * e->width;
    V mask = tail_mask(s, columns);
    lvt_emit_loop l = lvt_emit_loop_begin(e, i64(s, 0), i64(s, rows), 1);
    packing p = {.from = moved(s, from, l.index, from_row), .to = moved(s, to, l.index, padded)};
    if (other) {
        p.other = moved(s, other, l.index, other_row);
        p.sum = variable(s, real(s, 0));
    }
    along(s, columns, mask, pack_vector, &p, NULL);
    if (other) {
        V sum = lvt_emit_across(e, LVT_OP_reduce_sum, LVT_F32, get(s, p.sum));
        lvt_emit_write(e, LVT_F32, lvt_emit_splat(e, sum), moved(s, sums, l.index, 1), 0, i64(s, 0), NULL);
    }
    lvt_emit_loop_end(e, &l);
}

/* ---- rows of scores ---- */

typedef struct scores {
    V p, ds, bias, dbias; /* addresses of the row */
    V a, b;               /* numbers of the row, in all lanes */
    V sum;                /* variable */
} scores;

/* scale * score + bias (+ b, when given) */
static V scaled(state *s, const scores *r, V index, V mask) {
    V x = load(s, r->p, index, NULL), scale = real(s, s->a->scale), bias = NULL;
    if (r->bias)
        bias = load(s, r->bias, index, mask);
    if (r->b)
        bias = bias ? op(s, LVT_OP_add, bias, r->b) : r->b;
    return bias ? lvt_emit_fma(s->e, x, scale, bias) : op(s, LVT_OP_mul, x, scale);
}

static V known(state *s, const scores *r, V index, V *kept) {
    return kept ? *kept : load(s, r->p, index, NULL);
}
static void keep(state *s, const scores *r, V index, V *kept, V x) {
    if (kept)
        *kept = x;
    else
        store(s, x, r->p, index);
}

static void visit_largest(state *s, void *user, V index, V mask, V *kept) {
    scores *r = user;
    V x = scaled(s, r, index, mask);
    keep(s, r, index, kept, x);
    if (mask)
        x = lvt_emit_select(s->e, mask, x, lvt_emit_identity(s->e, LVT_OP_reduce_max, LVT_F32));
    set(s, r->sum, lvt_emit_combine(s->e, LVT_OP_reduce_max, LVT_F32, get(s, r->sum), x));
}

static void visit_exp(state *s, void *user, V index, V mask, V *kept) {
    scores *r = user;
    V x = lvt_emit_exp(s->e, op(s, LVT_OP_sub, known(s, r, index, kept), r->a));
    keep(s, r, index, kept, x);
    if (mask)
        x = lvt_emit_select(s->e, mask, x, real(s, 0));
    set(s, r->sum, op(s, LVT_OP_add, get(s, r->sum), x));
}

static void visit_share(state *s, void *user, V index, V mask, V *kept) {
    scores *r = user;
    (void)mask;
    store(s, op(s, LVT_OP_mul, known(s, r, index, kept), r->a), r->p, index);
}

/* Runs f along the row; the reduction of what it adds to r->sum, in all lanes. */
static V reduced(state *s, lvt_op o, visit f, scores *r, V *kept) {
    r->sum = variable(s, lvt_emit_identity(s->e, o, LVT_F32));
    along(s, s->a->m, s->tail, f, r, kept);
    return lvt_emit_splat(s->e, lvt_emit_across(s->e, o, LVT_F32, get(s, r->sum)));
}

static void softmax_row(state *s, V index) {
    V kept[KEPT] = {0}, one = real(s, 1), largest, sum;
    scores r = {.p = moved(s, s->area[LVT_ATT_P], index, s->a->mp)};
    if (s->a->bias)
        r.bias = moved(s, s->in[LVT_ATT_IN_BIAS], index, lvt_attention_row(&s->a->in[LVT_ATT_IN_BIAS]));
    r.a = largest = reduced(s, LVT_OP_reduce_max, visit_largest, &r, kept);
    sum = reduced(s, LVT_OP_reduce_sum, visit_exp, &r, kept);
    r.a = op(s, LVT_OP_div, one, sum);
    along(s, s->a->m, s->tail, visit_share, &r, kept);
    lvt_emit_write(s->e, LVT_F32, largest, moved(s, s->area[LVT_ATT_ROW], index, 1), 0, i64(s, 0), NULL);
    lvt_emit_write(s->e, LVT_F32, sum, moved(s, s->area[LVT_ATT_SUM], index, 1), 0, i64(s, 0), NULL);
}

/* a: the row's sum of dy * y; b: -logsumexp */
static void visit_grad(state *s, void *user, V index, V mask, V *kept) {
    scores *r = user;
    (void)kept;
    V p = lvt_emit_exp(s->e, scaled(s, r, index, mask));
    V ds = op(s, LVT_OP_mul, p, op(s, LVT_OP_sub, load(s, r->ds, index, NULL), r->a));
    store(s, p, r->p, index);
    store(s, op(s, LVT_OP_add, load(s, r->dbias, index, NULL), ds), r->dbias, index);
    store(s, op(s, LVT_OP_mul, ds, real(s, s->a->scale)), r->ds, index);
}

static void grad_row(state *s, V index) {
    const lvt_attention *a = s->a;
    scores r = {.p = moved(s, s->area[LVT_ATT_P], index, a->mp),
                .ds = moved(s, s->area[LVT_ATT_DS], index, a->mp),
                .a = scalar(s, s->area[LVT_ATT_ROW], index, 1)};
    V dbias = i64(s, a->partial_dbias);
    r.dbias = moved(s, LLVMBuildGEP2(s->e->b, s->e->f32, s->partial, &dbias, 1, ""), index, a->mp);
    r.b = scalar(s, s->in[LVT_ATT_IN_L], index, a->in[LVT_ATT_IN_L].strides[2]);
    r.b = LLVMBuildFNeg(s->e->b, r.b, "");
    if (a->bias)
        r.bias = moved(s, s->in[LVT_ATT_IN_BIAS], index, lvt_attention_row(&a->in[LVT_ATT_IN_BIAS]));
    along(s, a->m, s->tail, visit_grad, &r, NULL);
}

/* Several rows at a time, for their reductions have long chains. */
static void each_row(state *s, void (*f)(state *s, V index), int together) {
    int64_t n = s->a->n, whole = n / together * together;
    if (s->a->mp / s->e->width > KEPT)
        together = 1, whole = n;
    if (whole) {
        lvt_emit_loop l = lvt_emit_loop_begin(s->e, i64(s, 0), i64(s, whole), together);
        for (int u = 0; u < together; u++)
            f(s, LLVMBuildAdd(s->e->b, l.index, i64(s, u), ""));
        lvt_emit_loop_end(s->e, &l);
    }
    for (int64_t i = whole; i < n; i++)
        f(s, i64(s, i));
}

/* logsumexp = largest + log(sum), for whole vectors of queries. */
static void visit_logsumexp(state *s, void *user, V index, V mask, V *kept) {
    (void)user, (void)kept;
    V x = lvt_emit_log(s->e, load(s, s->area[LVT_ATT_SUM], index, mask));
    x = op(s, LVT_OP_add, x, load(s, s->area[LVT_ATT_ROW], index, mask));
    lvt_emit_write(s->e, LVT_F32, x, s->out[LVT_ATT_OUT_L], s->a->out[LVT_ATT_OUT_L].strides[2], index, mask);
}

/* ---- the two tiles ---- */

static lvt_gemm_spec product(int64_t rows, int64_t columns, int64_t depth) {
    return (lvt_gemm_spec){
        .rows = rows, .columns = columns, .depth = depth, .a_k = 1, .padded = true, .scale = 1};
}

static void to_result(state *s, lvt_gemm_spec *g, int k) {
    g->c = s->out[k];
    g->c_row = lvt_attention_row(&s->a->out[k]);
    g->padded = false;
}

/* The rows of an end of this image, or of the next one (beyond the last image that asks for nothing useful,
 * and does no harm). */
static lvt_touch touch(state *s, const lvt_view *v, V at, bool next, bool write) {
    V image = i64(s, v->strides[1]);
    if (next && s->a->batch == 1)
        return (lvt_touch){0};
    return (lvt_touch){.at = next ? LLVMBuildGEP2(s->e->b, s->e->f32, at, &image, 1, "") : at,
                       .rows = v->type.dim[2],
                       .columns = v->type.dim[3],
                       .step = v->strides[2],
                       .write = write};
}
static lvt_touch next_in(state *s, int k) {
    return touch(s, &s->a->in[k], s->in[k], true, false);
}
static lvt_touch this_out(state *s, int k) {
    return touch(s, &s->a->out[k], s->out[k], false, true);
}

static void forward(state *s) {
    const lvt_attention *a = s->a;
    pack(s, a->m, a->dv, s->in[LVT_ATT_IN_V], lvt_attention_row(&a->in[LVT_ATT_IN_V]), s->area[LVT_ATT_V],
         NULL, 0, NULL);
    lvt_gemm_spec g = product(a->n, a->m, a->dk);
    g.a = s->in[LVT_ATT_IN_Q], g.a_row = lvt_attention_row(&a->in[LVT_ATT_IN_Q]);
    g.b = s->area[LVT_ATT_KT], g.b_k = a->mp;
    g.c = s->area[LVT_ATT_P], g.c_row = a->mp;
    g.touch[0] = this_out(s, LVT_ATT_OUT_Y);
    lvt_emit_gemm(s->e, &g);
    each_row(s, softmax_row, 2);
    g = product(a->n, a->dv, a->m);
    g.a = s->area[LVT_ATT_P], g.a_row = a->mp;
    g.b = s->area[LVT_ATT_V], g.b_k = a->dvp;
    to_result(s, &g, LVT_ATT_OUT_Y);
    g.touch[0] = next_in(s, LVT_ATT_IN_V);
    g.touch[1] = next_in(s, LVT_ATT_IN_Q);
    lvt_emit_gemm(s->e, &g);
    along(s, a->n, tail_mask(s, a->n), visit_logsumexp, NULL, NULL);
}

static void backward(state *s) {
    const lvt_attention *a = s->a;
    V *area = s->area;
    pack(s, a->n, a->dk, s->in[LVT_ATT_IN_Q], lvt_attention_row(&a->in[LVT_ATT_IN_Q]), area[LVT_ATT_Q], NULL,
         0, NULL);
    pack(s, a->n, a->dv, s->in[LVT_ATT_IN_DY], lvt_attention_row(&a->in[LVT_ATT_IN_DY]), area[LVT_ATT_DY],
         s->in[LVT_ATT_IN_Y], lvt_attention_row(&a->in[LVT_ATT_IN_Y]), area[LVT_ATT_ROW]);
    lvt_gemm_spec g = product(a->n, a->m, a->dk); /* s = q k^T */
    g.a = area[LVT_ATT_Q], g.a_row = a->dkp;
    g.b = area[LVT_ATT_KT], g.b_k = a->mp;
    g.c = area[LVT_ATT_P], g.c_row = a->mp;
    g.touch[0] = this_out(s, LVT_ATT_OUT_DV);
    lvt_emit_gemm(s->e, &g);
    g = product(a->n, a->m, a->dv); /* dp = dy v^T */
    g.a = area[LVT_ATT_DY], g.a_row = a->dvp;
    g.b = area[LVT_ATT_VT], g.b_k = a->mp;
    g.c = area[LVT_ATT_DS], g.c_row = a->mp;
    g.touch[0] = this_out(s, LVT_ATT_OUT_DQ);
    lvt_emit_gemm(s->e, &g);
    each_row(s, grad_row, 1);
    if (s->out[LVT_ATT_OUT_DV]) {
        g = product(a->m, a->dv, a->n); /* dv = p^T dy */
        g.a = area[LVT_ATT_P], g.a_row = 1, g.a_k = a->mp;
        g.b = area[LVT_ATT_DY], g.b_k = a->dvp;
        to_result(s, &g, LVT_ATT_OUT_DV);
        g.touch[0] = next_in(s, LVT_ATT_IN_DY);
        lvt_emit_gemm(s->e, &g);
    }
    if (s->out[LVT_ATT_OUT_DQ]) {
        g = product(a->n, a->dk, a->m); /* dq = ds k */
        g.a = area[LVT_ATT_DS], g.a_row = a->mp;
        g.b = area[LVT_ATT_KEY], g.b_k = a->dkp;
        to_result(s, &g, LVT_ATT_OUT_DQ);
        g.touch[0] = next_in(s, LVT_ATT_IN_Y);
        lvt_emit_gemm(s->e, &g);
    }
    g = product(a->m, a->dk, a->n); /* dk = ds^T q */
    g.a = area[LVT_ATT_DS], g.a_row = 1, g.a_k = a->mp;
    g.b = area[LVT_ATT_Q], g.b_k = a->dkp;
    g.touch[0] = next_in(s, LVT_ATT_IN_V);
    g.touch[1] = next_in(s, LVT_ATT_IN_Q);
    if (a->shared)
        g.c = s->partial, g.c_row = a->dkp, g.add = true;
    else
        to_result(s, &g, LVT_ATT_OUT_DK);
    lvt_emit_gemm(s->e, &g);
}

static V table_entry(lvt_emit *e, V table, int64_t k) {
    V at = lvt_emit_i64(e, k);
    return LLVMBuildLoad2(e->b, e->ptr, LLVMBuildGEP2(e->b, e->ptr, table, &at, 1, ""), "");
}

bool lvt_emit_attention(lvt_emit *e, const lvt_attention *a, const char *symbol) {
    state s = {.e = e, .a = a};
    lvt_emit_function(e, symbol);
    LLVMBasicBlockRef entry = lvt_emit_block(e), start = lvt_emit_block(e);
    LLVMPositionBuilderAtEnd(e->b, start);
    for (int k = 0; k < LVT_ATT_N_IN; k++)
        if (s.a->in[k].type.rank)
            s.in[k] = table_entry(e, LLVMGetParam(e->function, 0), k);
    for (int k = 0; k < LVT_ATT_N_OUT; k++)
        if (s.a->out[k].type.rank)
            s.out[k] = table_entry(e, LLVMGetParam(e->function, 1), k);
    s.partial = LLVMGetParam(e->function, 2);
    for (int k = 0; k < LVT_ATT_N_AREAS; k++) {
        V at = lvt_emit_i64(e, s.a->area[k]);
        s.area[k] = LLVMBuildGEP2(e->b, e->f32, LLVMGetParam(e->function, 3), &at, 1, "");
    }
    s.tail = tail_mask(&s, s.a->m);
    if (s.a->backward)
        backward(&s);
    else
        forward(&s);
    LLVMBuildRetVoid(e->b);
    LLVMPositionBuilderAtEnd(e->b, entry);
    LLVMBuildBr(e->b, start);
    return !e->failed;
}
