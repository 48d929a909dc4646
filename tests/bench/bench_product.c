/* Products of matrices, ours beside oneDNN's, in the forms and shapes of training steps: the measurements
 * behind the table in runtime/kernels/onednn/matmul.c. bench_product [threads [avx2 [form m n k]]].
 *
 * avx2: our code for that instruction set alone; oneDNN's is held to it by ONEDNN_MAX_CPU_ISA=AVX2, set by the
 * caller. Both run in turn with a loop of multiply-adds, so a busy moment of the machine meets all three; the
 * figures are shares of that loop's rate, by medians and by best times. HOT=1 in the environment: the same
 * matrices again and again. */
#include "ir/build.h"
#include "runtime/kernels/kernel.h"
#include "runtime/kernels/memory.h"
#include "runtime/kernels/vector/product.h"
#include "runtime/session/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { MOST_ROUNDS = 60, CHAINS = 12 };

static bool alone; /* one thread: its own time, whatever else runs */

static double now(void) {
    struct timespec t;
    clock_gettime(alone ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* ---- the peak ---- */

typedef struct peak {
    long rounds;
    int lanes;
    float sum;
} peak;

#if defined(__x86_64__)
#define CHAIN(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define LOOP(name, target_name, vector, set, fma, constraint)                                                \
    __attribute__((target(target_name))) static void name(long rounds) {                                     \
        vector m = set(0.5f), c = m, a[CHAINS];                                                              \
        for (int i = 0; i < CHAINS; i++)                                                                     \
            a[i] = m;                                                                                        \
        for (long k = 0; k < rounds; k++) {                                                                  \
            _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) a[i] = fma(a[i], m, c);                \
            __asm__ volatile("" : "+" constraint(m));                                                        \
        }                                                                                                    \
        for (int i = 0; i < CHAINS; i++)                                                                     \
            __asm__ volatile("" : "+" constraint(a[i]));                                                     \
    }
LOOP(loop_16, "avx512f", __m512, _mm512_set1_ps, _mm512_fmadd_ps, "v")
LOOP(loop_8, "avx2,fma", __m256, _mm256_set1_ps, _mm256_fmadd_ps, "x")
#endif

static void peak_part(void *user, int64_t i, int thread) {
    peak *p = user;
    (void)i, (void)thread;
#if defined(__x86_64__)
    (p->lanes == 16 ? loop_16 : loop_8)(p->rounds);
#else
    (void)p;
#endif
}

/* ---- one shape ---- */

typedef struct shape {
    const char *form; /* nn: A B, nt: A B^T, tn: A^T B */
    int64_t m, n, k;
    const char *what;
} shape;

static const shape shapes[] = {
    {"nt", 4096, 256, 256, "lvt-s, tokens by weights"},
    {"nt", 4096, 768, 256, ""},
    {"nt", 4096, 512, 256, ""},
    {"nt", 4096, 256, 512, ""},
    {"nt", 1024, 512, 512, ""},
    {"nt", 1024, 1024, 512, ""},
    {"nt", 1024, 512, 1024, ""},
    {"nn", 4096, 256, 256, "gradients of tokens"},
    {"nn", 4096, 256, 768, ""},
    {"nn", 4096, 512, 256, ""},
    {"nn", 1024, 512, 512, ""},
    {"nn", 1024, 1024, 512, ""},
    {"nn", 1024, 512, 1024, ""},
    {"tn", 256, 256, 4096, "gradients of weights"},
    {"tn", 768, 256, 4096, ""},
    {"tn", 256, 512, 4096, ""},
    {"tn", 512, 512, 1024, ""},
    {"tn", 512, 1024, 1024, ""},
    {"tn", 1024, 512, 1024, ""},
    {"nt", 16384, 192, 64, "levit_step"},
    {"nt", 16384, 64, 128, ""},
    {"nn", 16384, 64, 192, ""},
    {"tn", 192, 64, 16384, ""},
    {"nt", 64, 512, 512, "few rows"},
    {"nt", 16, 512, 512, ""},
    {"nt", 1, 512, 512, ""},
    {"nn", 16, 512, 512, ""},
    {"nn", 1, 512, 512, ""},
    {"nt", 1, 4096, 1024, ""},
    {"nt", 8, 4096, 1024, ""},
    {"nn", 1, 1024, 4096, ""},
    {"nn", 8, 1024, 4096, ""},
};

typedef struct bench {
    lvt_product own;
    lvt_kernel *other;
    float *a, *b, *y;
    void *scratch;
    peak p;
    int threads;
} bench;

static void run_peak(bench *b) {
    lvt_parallel(b->threads, b->threads, peak_part, &b->p);
}
static void run_own(bench *b) {
    lvt_product_run(&b->own, b->a, b->b, b->y, NULL, b->scratch);
}
static void run_other(bench *b) {
    b->other->run(b->other, (void *[]){b->a, b->b}, (void *[]){b->y}, b->scratch);
}

static double once(void (*run)(bench *b), bench *b) {
    double begin = now();
    run(b);
    return now() - begin;
}

static lvt_kernel *make_other(lvt_onednn *c, const shape *s, int threads, lvt_variant variant,
                              lvt_module **module) {
    lvt_diag *diag = lvt_diag_new();
    bool ta = s->form[0] == 't', tb = s->form[1] == 't';
    *module = lvt_module_new("bench");
    lvt_graph *g = lvt_module_add_entry(*module, "e", 0, false);
    lvt_builder b = lvt_builder_for(g, diag);
    lvt_type t[3] = {lvt_type_make(LVT_F32, 2, ta ? (int64_t[]){s->k, s->m} : (int64_t[]){s->m, s->k}),
                     lvt_type_make(LVT_F32, 2, tb ? (int64_t[]){s->n, s->k} : (int64_t[]){s->k, s->n}),
                     lvt_type_make(LVT_F32, 2, (int64_t[]){s->m, s->n})};
    lvt_value x = lvt_build_input(&b, "a", &t[0]), w = lvt_build_input(&b, "b", &t[1]);
    lvt_value y = lvt_build_matmul(&b, x, w, ta, tb);
    lvt_view views[3];
    for (int i = 0; i < 3; i++) {
        views[i].type = t[i];
        lvt_strides_of(&t[i], views[i].strides);
    }
    lvt_kernel *kernel = NULL;
    lvt_kernel_request r = {.graph = g,
                            .node = g->values[y].node,
                            .operands = views,
                            .results = &views[2],
                            .threads = threads,
                            .variant = variant,
                            .diag = diag};
    if (lvt_onednn_make(c, &r, &kernel) != LVT_OK)
        exit(1);
    return kernel;
}

static void measure(lvt_onednn *c, const shape *s, int threads, const lvt_tile_code *code) {
    bool ta = s->form[0] == 't', tb = s->form[1] == 't';
    bench b = {.threads = threads, .p.lanes = code->lanes};
    b.own = (lvt_product){.m = s->m,
                          .n = s->n,
                          .k = s->k,
                          .a_row = ta ? 1 : s->k,
                          .a_col = ta ? s->m : 1,
                          .b_row = tb ? 1 : s->n,
                          .b_col = tb ? s->k : 1,
                          .y_row = s->n,
                          .threads = threads,
                          .code = code};
    if (!lvt_product_plan(&b.own))
        exit(1);
    lvt_module *module;
    lvt_team(threads);
    b.other = make_other(c, s, threads, LVT_VARIANT_STANDARD, &module);
    size_t scratch = lvt_product_scratch(&b.own), other = b.other->scratch_bytes;
    lvt_block room, of_all; /* as sessions have them */
    if (!lvt_block_map(&room, (scratch > other ? scratch : other) + 64))
        exit(1);
    b.scratch = room.base;
    /* Several sets of matrices, or they would lie in the caches as in no step. */
    size_t bytes = sizeof(float) * (size_t)(s->m * s->k + s->k * s->n + s->m * s->n);
    int sets = (int)((64u << 20) / (bytes + 1)) + 1;
    sets = getenv("HOT") ? 1 : sets > 16 ? 16 : sets;
    if (!lvt_block_map(&of_all, (size_t)sets * bytes))
        exit(1);
    float *memory = of_all.base;
    for (size_t i = 0; i < (size_t)sets * bytes / sizeof(float); i++)
        memory[i] = (float)(i % 1013) / 1013 - 0.5f;
    double flops = 2.0 * (double)s->m * (double)s->n * (double)s->k;
    b.p.rounds = (long)(flops / (2.0 * code->lanes * CHAINS * threads)) + 1000;
    double peak_flops = 2.0 * code->lanes * CHAINS * (double)b.p.rounds * threads;
    int rounds = (int)(0.4e11 / flops / 3);
    rounds = rounds > MOST_ROUNDS ? MOST_ROUNDS : rounds < 9 ? 9 : rounds;
    double time[3][MOST_ROUNDS];
    for (int i = -2; i < rounds; i++) {
        b.a = memory + (size_t)((i + 2) % sets) * (bytes / sizeof(float));
        b.b = b.a + s->m * s->k;
        b.y = b.b + s->k * s->n;
        double t0 = once(run_peak, &b), t1 = once(run_own, &b);
        b.a = memory + (size_t)((i + 2 + sets / 2) % sets) * (bytes / sizeof(float));
        b.b = b.a + s->m * s->k;
        b.y = b.b + s->k * s->n;
        double t2 = once(run_other, &b);
        if (i >= 0)
            time[0][i] = t0, time[1][i] = t1, time[2][i] = t2;
    }
    for (int i = 0; i < 3; i++)
        qsort(time[i], (size_t)rounds, sizeof(double), compare);
    double scale = flops / peak_flops;
    printf("%s %5lld %5lld %5lld  %7.1f  %8.3f %3.0f%% %3.0f%%  %8.3f %3.0f%% %3.0f%%  %5.2f %5.2f  parts "
           "%lld grid %lldx%lld %s\n",
           s->form, (long long)s->m, (long long)s->n, (long long)s->k, peak_flops / time[0][0] * 1e-9,
           1e3 * time[1][rounds / 2], 100 * scale * time[0][rounds / 2] / time[1][rounds / 2],
           100 * scale * time[0][0] / time[1][0], 1e3 * time[2][rounds / 2],
           100 * scale * time[0][rounds / 2] / time[2][rounds / 2], 100 * scale * time[0][0] / time[2][0],
           time[2][rounds / 2] / time[1][rounds / 2], time[2][0] / time[1][0], (long long)b.own.parts,
           (long long)b.own.rows_grid, (long long)b.own.columns_grid, s->what);
    fflush(stdout);
    b.other->free(b.other);
    lvt_module_free(module);
    lvt_block_unmap(&room);
    lvt_block_unmap(&of_all);
}

int main(int argc, char **argv) {
    int threads = argc > 1 ? atoi(argv[1]) : lvt_processors();
    alone = threads == 1;
    const lvt_tile_code *list[4], *code;
    int n = lvt_tile_codes(list);
    code = list[0];
    for (int i = 0; i < n && argc > 2 && !strcmp(argv[2], "avx2"); i++)
        code = list[i]->lanes == 8 ? list[i] : code;
    lvt_diag *diag = lvt_diag_new();
    lvt_onednn *c = NULL;
    if (lvt_onednn_new(&c, diag) != LVT_OK)
        return 1;
    printf("%s, %d threads; ms, shares of the peak by medians and by best times; oneDNN's; ratios\n",
           code->name, threads);
    printf("form    m     n     k     peak  ours                 oneDNN              oneDNN / ours\n");
    if (argc > 6) {
        measure(c, &(shape){argv[3], atoll(argv[4]), atoll(argv[5]), atoll(argv[6]), ""}, threads, code);
    } else {
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            measure(c, &shapes[i], threads, code);
    }
    lvt_onednn_free(c);
    lvt_diag_free(diag);
    return 0;
}
