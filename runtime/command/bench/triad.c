/* The memory's own limits: a triad in place, a[i] = b[i] + s a[i], over as much as each level of memory
 * holds.
 *
 * Invariant: every thread has its own part, first touched by itself; vectors as wide as the processor has. It
 * is in place so that the bytes of the formula, 12 an element, are those that move: a cache that overwrites
 * another array reads it first, which a kernel may avoid. May not know: programs. */
#include "profile.h"
#include "runtime/session/internal.h"

/* 384 KiB a thread fit into the second-level cache of a server's core (1 MiB and more; half of it on older
 * ones), 6 MiB a thread into its share of the third level, 64 MiB a thread into neither. */
static const size_t level_bytes[LVT_N_BOUNDS] = {0, 384u << 10, 6u << 20, 64u << 20};

enum { RUNS = 7, ALIGN = 4096 };
static const double RUN_SECONDS =
    0.003; /* long beside the start of a parallel region, short beside a time slice */

typedef float vector __attribute__((vector_size(64), may_alias));

typedef struct triad {
    char *base;
    size_t part;    /* bytes from one thread's arrays to the next one's */
    size_t vectors; /* an array, of each thread */
    long repeats;
} triad;

/* One body for each instruction set: the compiler lowers the 64-byte vectors to what the target has. */
#define TRIAD_BODY                                                                                           \
    const triad *t = user;                                                                                   \
    vector *a = (vector *)(t->base + (size_t)chunk * t->part), *b = a + t->vectors;                          \
    (void)thread;                                                                                            \
    for (long r = 0; r < t->repeats; r++) {                                                                  \
        for (size_t i = 0; i < t->vectors; i++)                                                              \
            a[i] = b[i] + 0.5f * a[i];                                                                       \
        __asm__ volatile("" ::: "memory"); /* every repeat has to run */                                     \
    }

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static void triad512(void *user, int64_t chunk, int thread) {
    TRIAD_BODY
}
__attribute__((target("avx2,fma"))) static void triad256(void *user, int64_t chunk, int thread) {
    TRIAD_BODY
}
#endif
static void triad_plain(void *user, int64_t chunk, int thread) {
    TRIAD_BODY
}

static void touch(void *user, int64_t chunk, int thread) {
    const triad *t = user;
    float *x = (float *)(t->base + (size_t)chunk * t->part);
    (void)thread;
    for (size_t i = 0; i < t->part / sizeof *x; i++)
        x[i] = 1;
}

bool lvt_limits_measure(double peak, int threads, lvt_limits *out) {
    void (*body)(void *, int64_t, int) = triad_plain;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f"))
        body = triad512;
    else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        body = triad256;
#endif
    *out = (lvt_limits){.rate = {peak}, .threads = threads};
    for (int level = LVT_BOUND_L2; level < LVT_N_BOUNDS; level++) {
        triad t = {.vectors = level_bytes[level] / 2 / sizeof(vector), .repeats = 1};
        t.part = (2 * t.vectors * sizeof(vector) + ALIGN - 1) / ALIGN * ALIGN;
        lvt_block block; /* in large pages, as a session's memory is */
        if (!lvt_block_map(&block, t.part * (size_t)threads))
            return false;
        t.base = block.base;
        lvt_parallel(threads, threads, touch, &t);
        double bytes = 3.0 * (double)(t.vectors * sizeof(vector)) * threads, best = 0;
        for (int i = 0; i <= RUNS; i++) {
            double begin = lvt_seconds();
            lvt_parallel(threads, threads, body, &t);
            double seconds = lvt_seconds() - begin;
            double rate = seconds > 0 ? bytes * (double)t.repeats / seconds : 0;
            best = rate > best ? rate : best;
            if (i == 0 && rate > 0) /* the first run says how many repeats a run takes */
                t.repeats = (long)(RUN_SECONDS * rate / bytes) + 1;
        }
        lvt_block_unmap(&block);
        out->rate[level] = best;
        out->thread_bytes[level] = level_bytes[level];
    }
    return true;
}
