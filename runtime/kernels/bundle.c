/* Kernels of chunks: one alone, or the kernels of a bundle in one parallel region.
 *
 * Which thread runs which chunk is decided when the bundle is made: a kernel with enough chunks for all
 * threads is divided as it is when it runs alone, so that a thread finds in its caches what it wrote there
 * before; the chunks of small ones go to the threads that have least to do. Invariant: chunks are those of
 * the kernels themselves, so the bits are the same as alone, and do not depend on the number of threads;
 * running allocates nothing. May not know: what a kernel computes, plans. */
#include "bundle.h"

#include <stdlib.h>

enum { REGION_WORK = 16384 }; /* element operations that are worth waking the other threads for */

typedef struct alone {
    const lvt_kernel *k;
    lvt_run run;
    int round;
} alone;

static void run_one(void *user, int64_t chunk, int thread) {
    const alone *a = user;
    a->k->chunk(a->k, &a->run, a->round, chunk, thread);
}

static int team_for(double work, int threads) {
    return work >= REGION_WORK ? threads : 1;
}

void lvt_run_chunks(lvt_kernel *k, void *const *operands, void *const *results, void *scratch) {
    alone a = {.k = k, .run = {operands, results, scratch}};
    for (; a.round < LVT_ROUNDS; a.round++) {
        double work = (double)k->rounds[a.round].n * k->rounds[a.round].cost;
        lvt_parallel(team_for(work, k->threads), k->rounds[a.round].n, run_one, &a);
    }
}

/* ---- bundles ---- */

typedef struct piece { /* of one kernel's round, for one thread */
    uint32_t kernel;
    int64_t begin, end;
} piece;

typedef struct part { /* what a thread does in a round */
    piece *pieces;
    uint32_t n;
    double work;
} part;

struct lvt_bundle {
    uint32_t n;
    lvt_kernel **kernels;
    size_t *scratch_at;
    double *share;
    int team[LVT_ROUNDS];
    part *parts[LVT_ROUNDS]; /* one a thread */
};

static void add_piece(part *p, uint32_t kernel, int64_t begin, int64_t end, double cost) {
    p->pieces[p->n++] = (piece){kernel, begin, end};
    p->work += (double)(end - begin) * cost;
}

static bool divide(lvt_bundle *b, int round, int threads, lvt_arena *arena) {
    double work = 0;
    for (uint32_t i = 0; i < b->n; i++)
        work += (double)b->kernels[i]->rounds[round].n * b->kernels[i]->rounds[round].cost;
    int team = b->team[round] = team_for(work, threads);
    part *parts = b->parts[round] = lvt_arena_alloc(arena, (size_t)team * sizeof *parts);
    for (int t = 0; t < team && parts; t++)
        if (!(parts[t].pieces = lvt_arena_alloc(arena, b->n * (size_t)team * sizeof(piece))))
            return false;
    for (int small = 0; small < 2 && parts; small++)
        for (uint32_t i = 0; i < b->n; i++) {
            int64_t n = b->kernels[i]->rounds[round].n;
            double cost = b->kernels[i]->rounds[round].cost;
            for (int t = 0; t < team && n >= team && !small; t++)
                add_piece(&parts[t], i, n * t / team, n * (t + 1) / team, cost);
            for (int64_t c = 0; c < n && n < team && small; c++) {
                part *least = &parts[0];
                for (int t = 1; t < team; t++)
                    least = parts[t].work < least->work ? &parts[t] : least;
                add_piece(least, i, c, c + 1, cost);
            }
        }
    return parts != NULL;
}

bool lvt_bundle_make(lvt_kernel **kernels, uint32_t n, int threads, lvt_arena *arena, lvt_bundle **out) {
    *out = NULL;
    for (uint32_t i = 0; i < n; i++)
        if (!kernels[i]->chunk)
            return true;
    lvt_bundle *b = lvt_arena_alloc(arena, sizeof *b);
    if (!b)
        return false;
    b->n = n;
    b->kernels = kernels;
    b->scratch_at = lvt_arena_alloc(arena, (n + (size_t)1) * sizeof *b->scratch_at);
    b->share = lvt_arena_alloc(arena, n * sizeof *b->share);
    if (!b->scratch_at || !b->share)
        return false;
    double whole = 0;
    for (uint32_t i = 0; i < n; i++) {
        b->scratch_at[i + 1] = b->scratch_at[i] + (kernels[i]->scratch_bytes + 63) / 64 * 64;
        for (int r = 0; r < LVT_ROUNDS; r++)
            b->share[i] += (double)kernels[i]->rounds[r].n * kernels[i]->rounds[r].cost;
        whole += b->share[i];
    }
    for (uint32_t i = 0; i < n; i++)
        b->share[i] = whole > 0 ? b->share[i] / whole : 1.0 / n;
    for (int r = 0; r < LVT_ROUNDS; r++)
        if (!divide(b, r, threads, arena))
            return false;
    *out = b;
    return true;
}

size_t lvt_bundle_scratch(const lvt_bundle *b) {
    return b->scratch_at[b->n];
}

double lvt_bundle_share(const lvt_bundle *b, uint32_t kernel) {
    return b->share[kernel];
}

typedef struct together {
    const lvt_bundle *b;
    void **const *operands, **const *results;
    char *scratch;
    int round;
} together;

static void run_part(void *user, int64_t number, int thread) {
    const together *r = user;
    const part *p = &r->b->parts[r->round][number];
    (void)thread; /* a part may run on any, what matters is that its buffers are its own */
    for (uint32_t i = 0; i < p->n; i++) {
        uint32_t at = p->pieces[i].kernel;
        const lvt_kernel *k = r->b->kernels[at];
        lvt_run run = {r->operands[at], r->results[at], r->scratch + r->b->scratch_at[at]};
        for (int64_t c = p->pieces[i].begin; c < p->pieces[i].end; c++)
            k->chunk(k, &run, r->round, c, (int)number);
    }
}

void lvt_bundle_run(const lvt_bundle *b, void **const *operands, void **const *results, void *scratch) {
    together r = {b, operands, results, scratch, 0};
    for (; r.round < LVT_ROUNDS; r.round++) {
        bool any = false;
        for (int t = 0; t < b->team[r.round]; t++)
            any |= b->parts[r.round][t].n > 0;
        if (any)
            lvt_parallel(b->team[r.round], b->team[r.round], run_part, &r);
    }
}
