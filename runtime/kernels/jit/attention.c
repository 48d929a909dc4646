/* Kernels of attention and attention_grad: sizes, scratch, chunks. The code of a tile (one head and image) is
 * codegen/attention.c's.
 *
 * A chunk is some images of one head; what only the head decides (its key, transposed and packed) is prepared
 * once a chunk. Gradients that are summed over images (dbias, dk of a shared key) go to a partial of the
 * chunk; partials are added in the order of the images. Invariants: chunks depend on sizes alone, so the bits
 * do not depend on the number of threads. May not know: LLVM. */
#include "attention.h"
#include "ir/base/c_locale.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHUNKS = 16,          /* that there should be, for a few threads */
    CHUNK_FLOPS = 1 << 18 /* that a chunk should have: some 3 microseconds */
};

typedef struct attention_kernel {
    lvt_jit_kernel base;
    lvt_attention a;
} attention_kernel;

typedef struct run_state {
    const attention_kernel *k;
    void *const *operands, *const *results;
    float *scratch; /* partials, then an area for each thread */
} run_state;

static int64_t round_up(int64_t n, int64_t to) {
    return (n + to - 1) / to * to;
}

static size_t partials_floats(const lvt_attention *a) {
    return a->backward ? (size_t)(a->heads * a->chunks * a->partial) : 0;
}

/* Where the tile of a head and image begins. */
static void *tile_at(const lvt_view *v, bool images, void *base, int64_t head, int64_t image) {
    return (float *)base + head * v->strides[0] + (images ? image * v->strides[1] : 0);
}

/* The key of a head (or image): transposed, and for dq as it is, with whole vectors in each row. */
static void prepare_key(const lvt_attention *a, const float *k, float *scratch) {
    int64_t step = lvt_attention_row(&a->in[LVT_ATT_IN_K]);
    lvt_move_turn(sizeof(float), (const char *)k, step, (char *)(scratch + a->area[LVT_ATT_KT]), a->mp, a->dk,
                  a->m);
    for (int64_t m = 0; m < a->m && a->backward; m++)
        memcpy(scratch + a->area[LVT_ATT_KEY] + m * a->dkp, k + m * step, (size_t)a->dk * sizeof(float));
}

static void run_chunk(void *user, int64_t chunk, int thread) {
    const run_state *r = user;
    const lvt_attention *a = &r->k->a;
    int64_t head = chunk / a->chunks, part = chunk % a->chunks, first = part * a->images;
    int64_t end = first + a->images < a->batch ? first + a->images : a->batch;
    float *partial = r->scratch + chunk * a->partial;
    float *area = r->scratch + partials_floats(a) + thread * a->area[LVT_ATT_N_AREAS];
    void *in[LVT_ATT_N_IN] = {0}, *out[LVT_ATT_N_OUT] = {0};
    /* What pads rows of keys and values meets results that nobody reads; zeros are never slow. */
    memset(area, 0, (size_t)a->area[LVT_ATT_V] * sizeof *area);
    if (a->backward)
        memset(partial, 0, (size_t)a->partial * sizeof *partial);
    for (int64_t image = first; image < end; image++) {
        for (int k = 0; k < LVT_ATT_N_IN; k++)
            if (a->in[k].type.rank)
                in[k] = tile_at(&a->in[k], k != LVT_ATT_IN_BIAS && !(k == LVT_ATT_IN_K && a->shared),
                                r->operands[a->operand[k]], head, image);
        for (int k = 0; k < LVT_ATT_N_OUT; k++)
            if (a->out[k].type.rank)
                out[k] = tile_at(&a->out[k],
                                 k != LVT_ATT_OUT_DBIAS && !(a->backward && k == LVT_ATT_OUT_DK && a->shared),
                                 r->results[k], head, image);
        if (image == first || !a->shared)
            prepare_key(a, in[LVT_ATT_IN_K], area);
        if (a->backward)
            lvt_move_turn(sizeof(float), in[LVT_ATT_IN_V], lvt_attention_row(&a->in[LVT_ATT_IN_V]),
                          (char *)(area + a->area[LVT_ATT_VT]), a->mp, a->dv, a->m);
        r->k->base.entry(in, out, partial, area, 0, 0, 0, 0);
    }
}

/* Adds the partials of a head and writes the sums as rows of a result. */
static void combine(const run_state *r, int64_t head, int result, int64_t offset, int64_t padded) {
    enum { BLOCK = 64 };
    const lvt_attention *a = &r->k->a;
    const lvt_view *v = &a->out[result];
    const float *from = r->scratch + head * a->chunks * a->partial + offset;
    int64_t rows = v->type.dim[v->type.rank - 2], columns = v->type.dim[v->type.rank - 1];
    int64_t step = v->strides[v->type.rank - 1];
    for (int64_t i = 0; i < rows; i++) {
        float *to = (float *)r->results[result] + head * v->strides[0] + i * lvt_attention_row(v);
        for (int64_t j = 0; j < columns; j += BLOCK) {
            double sum[BLOCK] = {0};
            int64_t n = columns - j < BLOCK ? columns - j : BLOCK;
            for (int64_t c = 0; c < a->chunks; c++)
                for (int64_t e = 0; e < n; e++)
                    sum[e] += (double)from[c * a->partial + i * padded + j + e];
            for (int64_t e = 0; e < n; e++)
                to[(j + e) * step] = (float)sum[e];
        }
    }
}

static void run_combine(void *user, int64_t unit, int thread) {
    const run_state *r = user;
    const lvt_attention *a = &r->k->a;
    (void)thread;
    if (unit % 2)
        combine(r, unit / 2, LVT_ATT_OUT_DBIAS, a->partial_dbias, a->mp);
    else if (a->shared)
        combine(r, unit / 2, LVT_ATT_OUT_DK, 0, a->dkp);
}

static void attention_run(lvt_kernel *base, void *const *operands, void *const *results, void *scratch) {
    const attention_kernel *k = (const attention_kernel *)base;
    run_state r = {k, operands, results, scratch};
    lvt_parallel(k->base.base.threads, k->a.heads * k->a.chunks, run_chunk, &r);
    if (k->a.backward)
        lvt_parallel(k->a.heads * k->a.chunks >= CHUNKS ? k->base.base.threads : 1, 2 * k->a.heads,
                     run_combine, &r);
}

static void attention_free(lvt_kernel *base) {
    free(base);
}

/* ---- making ---- */

static void place_areas(lvt_attention *a) {
    int64_t forward = !a->backward, backward = a->backward;
    int64_t size[LVT_ATT_N_AREAS] = {[LVT_ATT_KT] = a->dk * a->mp,
                                     [LVT_ATT_KEY] = backward * a->m * a->dkp,
                                     [LVT_ATT_VT] = backward * a->dv * a->mp,
                                     [LVT_ATT_V] = forward * a->m * a->dvp,
                                     [LVT_ATT_Q] = backward * a->n * a->dkp,
                                     [LVT_ATT_DY] = backward * a->n * a->dvp,
                                     [LVT_ATT_P] = a->n * a->mp,
                                     [LVT_ATT_DS] = backward * a->n * a->mp,
                                     [LVT_ATT_ROW] = a->n,
                                     [LVT_ATT_SUM] = forward * a->n};
    for (int k = 0; k < LVT_ATT_N_AREAS; k++)
        a->area[k + 1] = a->area[k] + round_up(size[k], 16);
    a->partial_dbias = a->shared ? round_up(a->m * a->dkp, 16) : 0;
    a->partial = backward ? a->partial_dbias + round_up(a->n * a->mp, 16) : 0;
}

static void place_chunks(lvt_attention *a) {
    double flops = (a->backward ? 4.0 : 2.0) * (double)a->n * (double)a->m * (double)(a->dk + a->dv);
    int64_t least = (int64_t)(CHUNK_FLOPS / flops) + 1, chunks = (CHUNKS + a->heads - 1) / a->heads;
    a->images = (a->batch + chunks - 1) / chunks;
    a->images = a->images < least ? least : a->images;
    a->images = a->images > a->batch ? a->batch : a->images;
    a->chunks = (a->batch + a->images - 1) / a->images;
}

static bool make_key(lvt_attention *a, int width) {
    size_t n = (size_t)lvt_snprintf(
        a->key, sizeof a->key,
        "attention %s w%d images%d n%lld m%lld dk%lld dv%lld scale%.17g bias%d shared%d in",
        a->backward ? "backward" : "forward", width, a->batch > 1, (long long)a->n, (long long)a->m,
        (long long)a->dk, (long long)a->dv, a->scale, a->bias, a->shared);
    for (int k = 0; k < LVT_ATT_N_IN + LVT_ATT_N_OUT && n < sizeof a->key; k++) {
        const lvt_view *v = k < LVT_ATT_N_IN ? &a->in[k] : &a->out[k - LVT_ATT_N_IN];
        if (v->type.rank)
            n += (size_t)snprintf(a->key + n, sizeof a->key - n, " %d:%lld,%lld,%lld", k,
                                  (long long)v->strides[1], (long long)v->strides[2],
                                  (long long)v->strides[3]);
    }
    return n < sizeof a->key;
}

lvt_status lvt_attention_make(const lvt_kernel_request *r, const lvt_machine *m, lvt_jit_kernel **out) {
    /* Which operand of the node each end is; -1: none. */
    static const int8_t order[2][LVT_ATT_N_IN] = {{[LVT_ATT_IN_Q] = 0,
                                                   [LVT_ATT_IN_K] = 1,
                                                   [LVT_ATT_IN_V] = 2,
                                                   [LVT_ATT_IN_BIAS] = 3,
                                                   [LVT_ATT_IN_DY] = -1,
                                                   [LVT_ATT_IN_Y] = -1,
                                                   [LVT_ATT_IN_L] = -1},
                                                  {[LVT_ATT_IN_DY] = 0,
                                                   [LVT_ATT_IN_Q] = 1,
                                                   [LVT_ATT_IN_K] = 2,
                                                   [LVT_ATT_IN_V] = 3,
                                                   [LVT_ATT_IN_Y] = 4,
                                                   [LVT_ATT_IN_L] = 5,
                                                   [LVT_ATT_IN_BIAS] = 6}};
    const lvt_node *node = &r->graph->nodes[r->node];
    attention_kernel *k = calloc(1, sizeof *k);
    if (!k)
        return lvt_error(r->diag, LVT_NOMEM, NULL, r->at, "out of memory");
    *out = &k->base;
    lvt_attention *a = &k->a;
    a->backward = node->op == LVT_OP_attention_grad;
    memcpy(a->operand, order[a->backward], sizeof a->operand);
    for (int e = 0; e < LVT_ATT_N_IN; e++)
        if (a->operand[e] >= 0 && a->operand[e] < node->n_operands)
            a->in[e] = r->operands[a->operand[e]];
    for (int e = 0; e < node->n_results; e++) {
        /* the others share what they are computed from with results that someone does read */
        bool whole = a->backward && (e == LVT_ATT_OUT_DQ || e == LVT_ATT_OUT_DV);
        if (!whole || !r->unread || !r->unread[e])
            a->out[e] = r->results[e];
    }
    const lvt_type *q = &a->in[LVT_ATT_IN_Q].type, *key = &a->in[LVT_ATT_IN_K].type;
    a->shared = key->rank == 3;
    a->bias = a->in[LVT_ATT_IN_BIAS].type.rank != 0;
    a->heads = q->dim[0], a->batch = q->dim[1], a->n = q->dim[2], a->dk = q->dim[3];
    a->m = key->dim[key->rank - 2];
    a->dv = a->in[LVT_ATT_IN_V].type.dim[3];
    a->mp = round_up(a->m, m->width), a->dkp = round_up(a->dk, m->width), a->dvp = round_up(a->dv, m->width);
    a->scale = (double)(float)lvt_attr_get(node, "scale")->f;
    place_areas(a);
    place_chunks(a);
    k->base.base.run = attention_run;
    k->base.base.free = attention_free;
    k->base.base.threads = r->threads < 1 ? 1 : r->threads;
    k->base.base.scratch_bytes =
        (partials_floats(a) + (size_t)k->base.base.threads * (size_t)a->area[LVT_ATT_N_AREAS]) *
        sizeof(float);
    k->base.source = (lvt_source_code){a->key, LVT_SOURCE_ATTENTION, a};
    if (!make_key(a, m->width))
        return lvt_error(r->diag, LVT_INTERNAL, "E901", r->at, "attention: the key of its code is too long");
    return LVT_OK;
}
