/* Small matrix products as generated code: everything lies in the first two caches, all sizes are known.
 *
 * A tile of c, some rows by up to four vectors of columns, stays in registers while k runs: for each k a few
 * vectors of b are loaded, each element of a is broadcast and meets all of them. So a may have any strides
 * (a transposed operand costs nothing), b must have adjacent columns and whole vectors. Invariant: each
 * element of c is one chain of multiply-adds in the order of k. May not know: attention. */
#include "emit.h"

typedef LLVMValueRef V;

enum { MAX_VECTORS = 4, MAX_ROWS = 12, UNROLL = 4 };

typedef struct tile {
    lvt_emit *e;
    const lvt_gemm_spec *g;
    V a, b, c;
    int rows, vectors;
    V last; /* mask of the last vector when c is not padded and this is its last one; else NULL */
    V acc[MAX_ROWS][MAX_VECTORS];
} tile;

static V at(lvt_emit *e, V base, int64_t offset) {
    V index = lvt_emit_i64(e, offset);
    return offset ? LLVMBuildGEP2(e->b, e->f32, base, &index, 1, "") : base;
}

static V moved(lvt_emit *e, V base, V index, int64_t stride) {
    V offset = stride == 1 ? index : LLVMBuildMul(e->b, index, lvt_emit_i64(e, stride), "");
    return LLVMBuildGEP2(e->b, e->f32, base, &offset, 1, "");
}

static V load_vector(lvt_emit *e, V at) {
    return lvt_emit_load(e, LVT_F32, at, 1, lvt_emit_i64(e, 0), NULL);
}

/* One step of k, at the given addresses. */
static void step(tile *t, V a, V b, int64_t k) {
    lvt_emit *e = t->e;
    V x[MAX_VECTORS];
    for (int j = 0; j < t->vectors; j++)
        x[j] = load_vector(e, at(e, b, k * t->g->b_k + (int64_t)j * e->width));
    for (int i = 0; i < t->rows; i++) {
        V s =
            lvt_emit_load(e, LVT_F32, at(e, a, k * t->g->a_k + i * t->g->a_row), 0, lvt_emit_i64(e, 0), NULL);
        for (int j = 0; j < t->vectors; j++)
            t->acc[i][j] = lvt_emit_fma(e, s, x[j], t->acc[i][j]);
    }
}

/* All of k: a loop over whole groups of UNROLL steps, whose accumulators are phis, then the rest. */
static void run_depth(tile *t) {
    lvt_emit *e = t->e;
    int64_t depth = t->g->depth, groups = depth / UNROLL;
    if (groups <= 2) {
        for (int64_t k = 0; k < depth; k++)
            step(t, t->a, t->b, k);
        return;
    }
    LLVMBasicBlockRef from = LLVMGetInsertBlock(e->b), body = lvt_emit_block(e), exit = lvt_emit_block(e);
    LLVMBuildBr(e->b, body);
    LLVMPositionBuilderAtEnd(e->b, body);
    V start = lvt_emit_i64(e, 0), k = LLVMBuildPhi(e->b, e->i64, ""), phi[MAX_ROWS][MAX_VECTORS];
    LLVMAddIncoming(k, &start, &from, 1);
    for (int i = 0; i < t->rows; i++)
        for (int j = 0; j < t->vectors; j++) {
            phi[i][j] = LLVMBuildPhi(e->b, LLVMTypeOf(t->acc[i][j]), "");
            LLVMAddIncoming(phi[i][j], &t->acc[i][j], &from, 1);
            t->acc[i][j] = phi[i][j];
        }
    V a = moved(e, t->a, k, t->g->a_k), b = moved(e, t->b, k, t->g->b_k);
    for (int u = 0; u < UNROLL; u++)
        step(t, a, b, u);
    V next = LLVMBuildAdd(e->b, k, lvt_emit_i64(e, UNROLL), "");
    LLVMAddIncoming(k, &next, &body, 1);
    for (int i = 0; i < t->rows; i++)
        for (int j = 0; j < t->vectors; j++)
            LLVMAddIncoming(phi[i][j], &t->acc[i][j], &body, 1);
    V more = LLVMBuildICmp(e->b, LLVMIntSLT, next, lvt_emit_i64(e, groups * UNROLL), "");
    LLVMBuildCondBr(e->b, more, body, exit);
    LLVMPositionBuilderAtEnd(e->b, exit);
    for (int64_t r = groups * UNROLL; r < depth; r++)
        step(t, t->a, t->b, r);
}

static void run_tile(tile *t) {
    lvt_emit *e = t->e;
    LLVMTypeRef type = lvt_emit_vector(e, e->f32);
    V zero = lvt_emit_i64(e, 0), scale = lvt_emit_real(e, e->f32, t->g->scale);
    for (int i = 0; i < t->rows; i++)
        for (int j = 0; j < t->vectors; j++)
            t->acc[i][j] = t->g->add ? load_vector(e, at(e, t->c, i * t->g->c_row + (int64_t)j * e->width))
                                     : LLVMConstNull(type);
    run_depth(t);
    for (int i = 0; i < t->rows; i++)
        for (int j = 0; j < t->vectors; j++) {
            V x = t->acc[i][j];
            if (t->g->scale != 1)
                x = LLVMBuildFMul(e->b, x, scale, "");
            lvt_emit_write(e, LVT_F32, x, at(e, t->c, i * t->g->c_row + (int64_t)j * e->width), 1, zero,
                           j == t->vectors - 1 ? t->last : NULL);
        }
}

/* Asks for this tile's share of what will be wanted: that of tile `number` among so many. */
static void touch(lvt_emit *e, const lvt_touch *t, V number, int64_t tiles) {
    enum { LINE = 16 };
    int64_t rows = (t->rows + tiles - 1) / tiles;
    V args[4] = {NULL, LLVMConstInt(e->i32, t->write, false), LLVMConstInt(e->i32, 2, false),
                 LLVMConstInt(e->i32, 1, false)};
    V base = moved(e, t->at, number, rows * t->step);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < t->columns; j += LINE) {
            args[0] = at(e, base, i * t->step + j);
            lvt_emit_intrinsic(e, "llvm.prefetch", e->ptr, args, 4);
        }
}

/* All rows of some vectors of columns, in tiles of nearly equal height. */
static void run_rows(tile *t, V b, V c, int most, bool touches) {
    lvt_emit *e = t->e;
    const lvt_gemm_spec *g = t->g;
    int64_t tiles = (g->rows + most - 1) / most, height = (g->rows + tiles - 1) / tiles;
    int64_t whole = g->rows / height;
    t->b = b;
    if (whole > 1) {
        lvt_emit_loop l = lvt_emit_loop_begin(e, lvt_emit_i64(e, 0), lvt_emit_i64(e, whole * height), height);
        t->a = moved(e, g->a, l.index, g->a_row);
        t->c = moved(e, c, l.index, g->c_row);
        t->rows = (int)height;
        V number = LLVMBuildUDiv(e->b, l.index, lvt_emit_i64(e, height), "");
        for (int k = 0; k < LVT_GEMM_TOUCHES && touches; k++)
            if (g->touch[k].at)
                touch(e, &g->touch[k], number, whole);
        run_tile(t);
        lvt_emit_loop_end(e, &l);
    }
    for (int64_t done = whole > 1 ? whole * height : 0; done < g->rows; done += t->rows) {
        t->a = at(e, g->a, done * g->a_row);
        t->c = at(e, c, done * g->c_row);
        t->rows = (int)(g->rows - done < height ? g->rows - done : height);
        run_tile(t);
    }
}

void lvt_emit_gemm(lvt_emit *e, const lvt_gemm_spec *g) {
    /* Registers: the tile, a vector of b for each of its columns, one element of a. */
    int registers = e->machine->avx512 ? 24 : 12, widest = e->machine->avx512 ? MAX_VECTORS : 2;
    int64_t vectors = (g->columns + e->width - 1) / e->width, panels = (vectors + widest - 1) / widest;
    int64_t done = 0;
    V mask = NULL;
    if (!g->padded && g->columns % e->width)
        mask = LLVMBuildICmp(e->b, LLVMIntULT, lvt_emit_lanes(e, e->i32),
                             lvt_emit_int(e, e->i32, g->columns % e->width), "");
    for (int64_t p = 0; p < panels; p++) {
        tile t = {.e = e, .g = g, .vectors = (int)((vectors - done + panels - p - 1) / (panels - p))};
        int most = registers / t.vectors > MAX_ROWS ? MAX_ROWS : registers / t.vectors;
        done += t.vectors;
        t.last = done == vectors ? mask : NULL;
        run_rows(&t, at(e, g->b, (done - t.vectors) * e->width), at(e, g->c, (done - t.vectors) * e->width),
                 most, p == 0);
    }
}
