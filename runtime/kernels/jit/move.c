/* Kernels that move elements and compute nothing: copy, concat and pad as boxes; gather, gather_grad, one_hot
 * and argmax.
 *
 * A box is a strided copy of a sub-tensor, its dims merged and ordered at creation so that the result is
 * written in order. Where the operand's unit stride lies elsewhere (a transpose), 4x4 blocks are turned in
 * registers inside tiles that stay in the cache. Invariant: work is cut by shape; gather_grad adds in the
 * order of the index, so its sums have the same bits for any number of threads. May not know: LLVM; these
 * loops need no knowledge of the host beyond what the C compiler has. */
#include "jit.h"
#include "ir/interp.h"

#include <stdlib.h>
#include <string.h>

enum {
    CHUNK = 16384, /* elements a chunk should have */
    TILE = 32,     /* side of a tile of a transpose: 32 * 32 * 4 bytes twice fit the first-level cache */
    PIECE = 4096   /* elements of a contiguous piece that is cut further */
};

typedef struct box {
    int from; /* operand, or -1: a constant */
    int rank; /* dims, outermost first; the last is the innermost of the result */
    int64_t dim[LVT_MAX_RANK], in[LVT_MAX_RANK], out[LVT_MAX_RANK]; /* strides in elements */
    int64_t in_offset, out_offset;
    int turn; /* the dim with unit stride in the operand when it is not the last; else -1 */
    int64_t outer, pieces,
        units;            /* units of work: outer positions times pieces of dim `turn` or of the last */
    int64_t step, chunks; /* units a chunk */
} box;

/* Positions of one group of dims as offsets into memory, so that every stride pattern is one loop. */
typedef struct offsets {
    int64_t n, *at;
    bool packed; /* 0, 1, 2, ... */
} offsets;

typedef struct move_kernel {
    lvt_kernel base;
    lvt_arena *arena;
    size_t size; /* bytes an element */
    uint32_t n_boxes;
    box *boxes;
    double constant; /* first `size` bytes: what boxes without operand hold */
    /* gather, gather_grad, argmax: [outer, axis, inner] on the side of the table, [outer, index, inner] on
     * the other */
    offsets t_outer, t_inner, y_outer, y_index, y_inner, index;
    int64_t axis_size, axis_stride;
    lvt_dtype dtype;
    int64_t step; /* units a chunk, of those by index */
} move_kernel;

static int64_t min64(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

/* ---- boxes ---- */

static void order_box(box *b) {
    for (int pass = 0; pass < b->rank; pass++)
        for (int i = 0; i + 1 < b->rank; i++)
            if (b->out[i] < b->out[i + 1] && b->dim[i] > 0) {
                int64_t t[3] = {b->dim[i], b->in[i], b->out[i]};
                b->dim[i] = b->dim[i + 1], b->in[i] = b->in[i + 1], b->out[i] = b->out[i + 1];
                b->dim[i + 1] = t[0], b->in[i + 1] = t[1], b->out[i + 1] = t[2];
            }
    int n = 0;
    for (int i = 0; i < b->rank; i++) {
        if (b->dim[i] == 1)
            continue;
        if (n && b->out[n - 1] == b->out[i] * b->dim[i] && b->in[n - 1] == b->in[i] * b->dim[i]) {
            b->dim[n - 1] *= b->dim[i];
            b->in[n - 1] = b->in[i];
            b->out[n - 1] = b->out[i];
        } else {
            b->dim[n] = b->dim[i], b->in[n] = b->in[i], b->out[n++] = b->out[i];
        }
    }
    if (n == 0)
        b->dim[n] = 1, b->in[n] = 1, b->out[n++] = 1;
    b->rank = n;
}

static void finish_box(box *b) {
    order_box(b);
    int last = b->rank - 1;
    b->turn = -1;
    for (int i = 0; i < last; i++)
        if (b->in[i] == 1 && b->in[last] != 1 && b->in[last] != 0)
            b->turn = i;
    b->outer = 1;
    for (int i = 0; i < last; i++)
        b->outer *= i == b->turn ? 1 : b->dim[i];
    b->pieces = b->turn >= 0 ? ceil_div(b->dim[b->turn], TILE) : ceil_div(b->dim[last], PIECE);
    b->units = b->outer * b->pieces;
    int64_t elements = b->outer * b->dim[last] * (b->turn < 0 ? 1 : b->dim[b->turn]);
    b->step = ceil_div(CHUNK, elements / b->units + 1);
    b->chunks = ceil_div(b->units, b->step);
}

typedef uint32_t four __attribute__((vector_size(16), aligned(4), may_alias));

static void turn_4x4(const uint32_t *in, int64_t in_step, uint32_t *out, int64_t out_step) {
    four a = *(const four *)in, b = *(const four *)(in + in_step), c = *(const four *)(in + 2 * in_step),
         d = *(const four *)(in + 3 * in_step);
    four ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), AB = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    four cd = __builtin_shufflevector(c, d, 0, 4, 1, 5), CD = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    *(four *)out = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
    *(four *)(out + out_step) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
    *(four *)(out + 2 * out_step) = __builtin_shufflevector(AB, CD, 0, 1, 4, 5);
    *(four *)(out + 3 * out_step) = __builtin_shufflevector(AB, CD, 2, 3, 6, 7);
}

static void copy_strided(size_t size, const char *in, int64_t in_step, char *out, int64_t out_step,
                         int64_t n) {
#define COPY_LOOP(type)                                                                                      \
    for (int64_t i = 0; i < n; i++)                                                                          \
    ((type *)out)[i * out_step] = ((const type *)in)[i * in_step]
    if (in_step == 1 && out_step == 1)
        memcpy(out, in, (size_t)n * size);
    else if (size == 4)
        COPY_LOOP(uint32_t);
    else if (size == 8)
        COPY_LOOP(uint64_t);
    else if (size == 2)
        COPY_LOOP(uint16_t);
    else
        COPY_LOOP(uint8_t);
#undef COPY_LOOP
}

/* A tile of a transpose: rows [0, rows) along the operand's unit stride, columns [0, n) along the result's.
 */
void lvt_move_turn(size_t size, const char *in, int64_t in_step, char *out, int64_t out_step, int64_t rows,
                   int64_t n) {
    for (int64_t c0 = 0; c0 < n; c0 += TILE) {
        int64_t columns = min64(TILE, n - c0), r4 = size == 4 ? rows / 4 * 4 : 0, c4 = columns / 4 * 4;
        for (int64_t r = 0; r < r4; r += 4)
            for (int64_t c = 0; c < c4; c += 4)
                turn_4x4((const uint32_t *)in + r + (c0 + c) * in_step, in_step,
                         (uint32_t *)out + r * out_step + c0 + c, out_step);
        if (c4 < columns)
            for (int64_t r = 0; r < r4; r++)
                copy_strided(size, in + (size_t)(r + (c0 + c4) * in_step) * size, in_step,
                             out + (size_t)(r * out_step + c0 + c4) * size, 1, columns - c4);
        for (int64_t r = r4; r < rows; r++)
            copy_strided(size, in + (size_t)(r + c0 * in_step) * size, in_step,
                         out + (size_t)(r * out_step + c0) * size, 1, columns);
    }
}

static void box_unit(const box *b, size_t size, const char *in, char *out, int64_t unit) {
    int last = b->rank - 1;
    int64_t piece = unit % b->pieces, rest = unit / b->pieces, i = b->in_offset, o = b->out_offset;
    for (int d = last - 1; d >= 0; d--) {
        if (d == b->turn)
            continue;
        i += rest % b->dim[d] * b->in[d];
        o += rest % b->dim[d] * b->out[d];
        rest /= b->dim[d];
    }
    if (b->turn < 0) {
        int64_t at = piece * PIECE, n = min64(PIECE, b->dim[last] - at);
        copy_strided(size, in + (size_t)(i + at * b->in[last]) * size, b->in[last],
                     out + (size_t)(o + at * b->out[last]) * size, b->out[last], n);
        return;
    }
    int64_t at = piece * TILE, rows = min64(TILE, b->dim[b->turn] - at);
    in += (size_t)(i + at) * size;
    out += (size_t)(o + at * b->out[b->turn]) * size;
    if (b->out[last] == 1)
        lvt_move_turn(size, in, b->in[last], out, b->out[b->turn], rows, b->dim[last]);
    else
        for (int64_t r = 0; r < rows; r++)
            copy_strided(size, in + (size_t)r * size, b->in[last], out + (size_t)(r * b->out[b->turn]) * size,
                         b->out[last], b->dim[last]);
}

static void run_boxes(const lvt_kernel *base, const lvt_run *r, int round, int64_t chunk, int thread) {
    (void)round;
    (void)thread;
    const move_kernel *k = (const move_kernel *)base;
    const box *b = k->boxes;
    for (; chunk >= b->chunks; b++)
        chunk -= b->chunks;
    const char *in = b->from < 0 ? (const char *)&k->constant : r->operands[b->from];
    for (int64_t u = chunk * b->step; u < min64((chunk + 1) * b->step, b->units); u++)
        box_unit(b, k->size, in, r->results[0], u);
}

static void by_chunks(move_kernel *k, int64_t chunks, double elements) {
    k->base.rounds[0].n = chunks;
    k->base.rounds[0].cost = elements / (double)chunks;
}

static void start_box(box *b, int from, const lvt_view *in, const lvt_view *out) {
    *b = (box){.from = from, .rank = out->type.rank};
    for (int i = 0; i < b->rank; i++) {
        b->dim[i] = out->type.dim[i];
        b->in[i] = in ? in->strides[i] : 0;
        b->out[i] = out->strides[i];
    }
}

static bool make_boxes(move_kernel *k, const lvt_kernel_request *r, const lvt_node *n) {
    const lvt_view *y = &r->results[0];
    k->base.chunk = run_boxes;
    k->boxes = lvt_arena_alloc(k->arena, (n->n_operands + 3) * sizeof(box));
    if (!k->boxes)
        return false;
    if (n->op == LVT_OP_pad) {
        int axis = (int)lvt_attr_get(n, "axis")->i;
        int64_t before = lvt_attr_get(n, "before")->i, inside = r->operands[0].type.dim[axis],
                whole = y->type.dim[axis];
        int64_t edges[4] = {0, before, before + inside, whole};
        lvt_tensor value = {lvt_type_make((lvt_dtype)y->type.dtype, 0, NULL),
                            (double[]){lvt_attr_get(n, "value")->f}};
        lvt_tensor_store(&value, &k->constant);
        for (int part = 0; part < 3; part++) {
            if (edges[part] == edges[part + 1])
                continue;
            box *b = &k->boxes[k->n_boxes++];
            start_box(b, part == 1 ? 0 : -1, part == 1 ? &r->operands[0] : NULL, y);
            b->dim[axis] = edges[part + 1] - edges[part];
            b->out_offset = edges[part] * y->strides[axis];
        }
    } else {
        int axis = n->op == LVT_OP_concat ? (int)lvt_attr_get(n, "axis")->i : 0;
        int64_t at = 0;
        for (uint32_t i = 0; i < n->n_operands; i++) {
            box *b = &k->boxes[k->n_boxes++];
            start_box(b, (int)i, &r->operands[i], y);
            if (n->op != LVT_OP_concat)
                continue;
            b->dim[axis] = r->operands[i].type.dim[axis];
            b->out_offset = at * y->strides[axis];
            at += b->dim[axis];
        }
    }
    int64_t chunks = 0;
    for (uint32_t i = 0; i < k->n_boxes; i++) {
        finish_box(&k->boxes[i]);
        chunks += k->boxes[i].chunks;
    }
    by_chunks(k, chunks, (double)lvt_numel(&y->type));
    return true;
}

/* ---- by index ---- */

/* Offsets of dims [begin, end) of a view, in row-major order. */
static bool make_offsets(lvt_arena *arena, const lvt_view *v, int begin, int end, offsets *o) {
    o->n = 1;
    for (int d = begin; d < end; d++)
        o->n *= v->type.dim[d];
    o->at = lvt_arena_alloc(arena, (size_t)o->n * sizeof *o->at);
    if (!o->at)
        return false;
    o->packed = true;
    for (int64_t i = 0; i < o->n; i++) {
        int64_t rest = i;
        for (int d = end - 1; d >= begin; d--) {
            o->at[i] += rest % v->type.dim[d] * v->strides[d];
            rest /= v->type.dim[d];
        }
        o->packed &= o->at[i] == i;
    }
    return true;
}

static int64_t index_at(const move_kernel *k, const void *index, int64_t i) {
    int64_t x = ((const int32_t *)index)[k->index.at[i]];
    return x < 0 ? 0 : x >= k->axis_size ? k->axis_size - 1 : x;
}

static void run_gather(const lvt_kernel *base, const lvt_run *r, int round, int64_t chunk, int thread) {
    (void)round;
    (void)thread;
    const move_kernel *k = (const move_kernel *)base;
    bool packed = k->t_inner.packed && k->y_inner.packed;
    int64_t u = chunk * k->step, end = min64(u + k->step, k->y_outer.n * k->index.n);
    for (int64_t o = u / k->index.n, i = u % k->index.n; u < end; u++) {
        const char *in = r->operands[0];
        char *out = r->results[0];
        in += (size_t)(k->t_outer.at[o] + index_at(k, r->operands[1], i) * k->axis_stride) * k->size;
        out += (size_t)(k->y_outer.at[o] + k->y_index.at[i]) * k->size;
        if (packed && k->y_inner.n == 1 && k->size == 4)
            *(uint32_t *)out = *(const uint32_t *)in;
        else if (packed)
            memcpy(out, in, (size_t)k->y_inner.n * k->size);
        else
            for (int64_t j = 0; j < k->y_inner.n; j++)
                memcpy(out + (size_t)k->y_inner.at[j] * k->size, in + (size_t)k->t_inner.at[j] * k->size,
                       k->size);
        if (++i == k->index.n)
            i = 0, o++;
    }
}

/* Chunks are ranges of [outer, inner]: no two of them add to the same element. */
static void run_gather_grad(const lvt_kernel *base, const lvt_run *r, int round, int64_t chunk, int thread) {
    (void)round;
    (void)thread;
    const move_kernel *k = (const move_kernel *)base;
    int64_t n = k->y_inner.n, all = k->y_outer.n * n;
    for (int64_t u = chunk * k->step; u < min64((chunk + 1) * k->step, all);) {
        int64_t o = u / n, j0 = u % n, j1 = min64(n, j0 + min64((chunk + 1) * k->step, all) - u);
        u += j1 - j0;
#define ADD_LOOP(type)                                                                                       \
    do {                                                                                                     \
        const type *dy = (const type *)r->operands[0] + k->y_outer.at[o];                                    \
        type *dx = (type *)r->results[0] + k->t_outer.at[o];                                                 \
        for (int64_t i = 0; i < k->axis_size; i++)                                                           \
            for (int64_t j = j0; j < j1; j++)                                                                \
                dx[i * k->axis_stride + k->t_inner.at[j]] = 0;                                               \
        for (int64_t i = 0; i < k->index.n; i++) {                                                           \
            type *to = dx + index_at(k, r->operands[1], i) * k->axis_stride;                                 \
            for (int64_t j = j0; j < j1; j++)                                                                \
                to[k->t_inner.at[j]] += dy[k->y_index.at[i] + k->y_inner.at[j]];                             \
        }                                                                                                    \
    } while (0)
        if (k->dtype == LVT_F32)
            ADD_LOOP(float);
        else if (k->dtype == LVT_F64)
            ADD_LOOP(double);
        else
            ADD_LOOP(uint32_t); /* i32 that wraps */
#undef ADD_LOOP
    }
}

static void run_argmax(const lvt_kernel *base, const lvt_run *r, int round, int64_t chunk, int thread) {
    (void)round;
    (void)thread;
    const move_kernel *k = (const move_kernel *)base;
    int64_t n = k->t_inner.n;
    for (int64_t u = chunk * k->step; u < min64((chunk + 1) * k->step, k->t_outer.n * n); u++) {
        int64_t at = k->t_outer.at[u / n] + k->t_inner.at[u % n], best = 0;
#define MAX_LOOP(type)                                                                                       \
    do {                                                                                                     \
        const type *x = (const type *)r->operands[0] + at;                                                   \
        for (int64_t i = 1; i < k->axis_size; i++)                                                           \
            if (lvt_exceeds((double)x[i * k->axis_stride], (double)x[best * k->axis_stride]))                \
                best = i;                                                                                    \
    } while (0)
        if (k->dtype == LVT_F32)
            MAX_LOOP(float);
        else if (k->dtype == LVT_F64)
            MAX_LOOP(double);
        else
            MAX_LOOP(int32_t);
#undef MAX_LOOP
        ((int32_t *)r->results[0])[k->y_outer.at[u / n] + k->y_inner.at[u % n]] = (int32_t)best;
    }
}

/* Work on `units` of a_unit elements each. */
static void by_units(move_kernel *k, int64_t units, int64_t a_unit) {
    k->step = ceil_div(CHUNK, a_unit);
    by_chunks(k, ceil_div(units, k->step), (double)units * (double)a_unit);
}

static bool make_by_index(move_kernel *k, const lvt_kernel_request *r, const lvt_node *n) {
    bool grad = n->op == LVT_OP_gather_grad, arg = n->op == LVT_OP_argmax;
    const lvt_view *table = grad ? &r->results[0] : &r->operands[0],
                   *y = grad ? &r->operands[0] : &r->results[0];
    int axis = (int)lvt_attr_get(n, "axis")->i, wide = arg ? 0 : r->operands[1].type.rank;
    k->axis_size = table->type.dim[axis];
    k->axis_stride = table->strides[axis];
    k->dtype = (lvt_dtype)table->type.dtype;
    bool ok = make_offsets(k->arena, table, 0, axis, &k->t_outer) &&
              make_offsets(k->arena, table, axis + 1, table->type.rank, &k->t_inner) &&
              make_offsets(k->arena, y, 0, axis, &k->y_outer) &&
              make_offsets(k->arena, y, axis, axis + wide, &k->y_index) &&
              make_offsets(k->arena, y, axis + wide, y->type.rank, &k->y_inner) &&
              (arg || make_offsets(k->arena, &r->operands[1], 0, wide, &k->index));
    if (!ok)
        return false;
    if (arg)
        by_units(k, k->t_outer.n * k->t_inner.n, k->axis_size);
    else if (grad)
        by_units(k, k->y_outer.n * k->y_inner.n, k->index.n + k->axis_size);
    else
        by_units(k, k->y_outer.n * k->index.n, k->y_inner.n);
    k->base.chunk = grad ? run_gather_grad : arg ? run_argmax : run_gather;
    return true;
}

/* ---- one_hot ---- */

static void run_one_hot(const lvt_kernel *base, const lvt_run *r, int round, int64_t chunk, int thread) {
    (void)round;
    (void)thread;
    const move_kernel *k = (const move_kernel *)base;
    const char *one = (const char *)&k->constant;
    for (int64_t i = chunk * k->step; i < min64((chunk + 1) * k->step, k->index.n); i++) {
        char *out = (char *)r->results[0] + (size_t)k->y_index.at[i] * k->size;
        int64_t hit = ((const int32_t *)r->operands[0])[k->index.at[i]];
        for (int64_t j = 0; j < k->axis_size; j++)
            memset(out + (size_t)(j * k->axis_stride) * k->size, 0, k->size);
        if (hit >= 0 && hit < k->axis_size)
            memcpy(out + (size_t)(hit * k->axis_stride) * k->size, one, k->size);
    }
}

static bool make_one_hot(move_kernel *k, const lvt_kernel_request *r) {
    const lvt_view *y = &r->results[0];
    int last = y->type.rank - 1;
    lvt_tensor one = {lvt_type_make((lvt_dtype)y->type.dtype, 0, NULL), (double[]){1}};
    lvt_tensor_store(&one, &k->constant);
    k->axis_size = y->type.dim[last];
    k->axis_stride = y->strides[last];
    k->base.chunk = run_one_hot;
    if (!make_offsets(k->arena, &r->operands[0], 0, last, &k->index) ||
        !make_offsets(k->arena, y, 0, last, &k->y_index))
        return false;
    by_units(k, k->index.n, k->axis_size);
    return true;
}

/* ---- making ---- */

static void move_free(lvt_kernel *base) {
    move_kernel *k = (move_kernel *)base;
    if (k)
        lvt_arena_free(k->arena);
    free(k);
}

lvt_status lvt_move_make(const lvt_kernel_request *r, lvt_kernel **out) {
    const lvt_node *n = &r->graph->nodes[r->node];
    move_kernel *k = calloc(1, sizeof *k);
    *out = NULL;
    if (k)
        k->arena = lvt_arena_new();
    bool ok = k && k->arena, known = true;
    if (ok) {
        k->base.free = move_free;
        k->base.run = lvt_run_chunks;
        k->base.threads = r->threads < 1 ? 1 : r->threads;
        k->size = lvt_dtype_size((lvt_dtype)r->results[0].type.dtype);
        switch (n->op) {
        case LVT_OP_copy:
        case LVT_OP_concat:
        case LVT_OP_pad:
            ok = make_boxes(k, r, n);
            break;
        case LVT_OP_gather:
        case LVT_OP_gather_grad:
        case LVT_OP_argmax:
            ok = make_by_index(k, r, n);
            break;
        case LVT_OP_one_hot:
            ok = make_one_hot(k, r);
            break;
        default:
            known = false;
        }
    }
    if (ok && known) {
        *out = &k->base;
        return LVT_OK;
    }
    if (k)
        move_free(&k->base);
    return known ? lvt_error(r->diag, LVT_NOMEM, NULL, r->at, "out of memory")
                 : lvt_error(r->diag, LVT_INTERNAL, "E901", r->at, "%s: the jit family has no kernel for it",
                             lvt_op_of(n)->name);
}
