/* Attention as one kernel against oneDNN's products with generated softmax, forward and with its backward:
 * the measurements behind the cost rule of pass fuse-attention. bench_attention [threads [h B N M dk dv]].
 * Both are compiled from the same kind of graph, open at once, and run in turn; medians in milliseconds. */
#include "passes/pass.h"
#include "runtime/compiled.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { RUNS = 41, N_INPUTS = 5 };

typedef struct shape {
    int64_t h, b, n, m, dk, dv;
    const char *what;
} shape;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static lvt_value input(lvt_builder *b, const char *name, int rank, const int64_t *dims) {
    lvt_type t = lvt_type_make(LVT_F32, rank, dims);
    return lvt_build_input(b, name, &t);
}

static lvt_value heads(lvt_builder *b, lvt_value x, const shape *s, int64_t tokens, int64_t d) {
    x = lvt_build_reshape(b, x, 4, (int64_t[]){s->b, tokens, s->h, d});
    return lvt_build_transpose(b, x, (int64_t[]){2, 0, 1, 3});
}

static lvt_module *make_module(const shape *s, bool whole, bool training, lvt_diag *diag) {
    lvt_module *m = lvt_module_new("bench");
    lvt_graph *g = lvt_module_add_entry(m, "e", 0, training);
    lvt_builder b = lvt_builder_for(g, diag);
    lvt_value in[N_INPUTS] = {input(&b, "q", 2, (int64_t[]){s->b * s->n, s->h * s->dk}),
                              input(&b, "key", 3, (int64_t[]){s->h, s->m, s->dk}),
                              input(&b, "v", 2, (int64_t[]){s->b * s->m, s->h * s->dv}),
                              input(&b, "bias", 3, (int64_t[]){s->h, s->n, s->m}),
                              input(&b, "w", 2, (int64_t[]){s->b * s->n, s->h * s->dv})};
    lvt_value q = heads(&b, in[0], s, s->n, s->dk), v = heads(&b, in[2], s, s->m, s->dv), y;
    double scale = 1 / sqrt((double)s->dk);
    if (whole) {
        lvt_named_attr a = {"scale", lvt_attr_float(scale)};
        y = lvt_build(&b, LVT_OP_attention, 4, (lvt_value[]){q, in[1], v, in[3]}, 1, &a);
    } else {
        q = lvt_build_reshape(&b, q, 3, (int64_t[]){s->h, s->b * s->n, s->dk});
        y = lvt_build_matmul(&b, q, in[1], false, true);
        y = lvt_build_binary(&b, LVT_OP_mul, y, lvt_build_scalar(&b, LVT_F32, scale));
        y = lvt_build_reshape(&b, y, 4, (int64_t[]){s->h, s->b, s->n, s->m});
        lvt_value bias = lvt_build_reshape(&b, in[3], 4, (int64_t[]){s->h, 1, s->n, s->m});
        y = lvt_build_unary(&b, LVT_OP_softmax, lvt_build_binary(&b, LVT_OP_add, y, bias));
        y = lvt_build_matmul(&b, y, v, false, false);
    }
    y = lvt_build_transpose(&b, y, (int64_t[]){1, 2, 0, 3});
    y = lvt_build_reshape(&b, y, 2, (int64_t[]){s->b * s->n, s->h * s->dv});
    if (!training) {
        lvt_graph_add_output(g, "y", y, 0);
        return m;
    }
    lvt_value loss = lvt_build_binary(&b, LVT_OP_mul, y, in[4]);
    loss = lvt_build_reduce(&b, LVT_OP_reduce_sum, loss, 0, NULL, false);
    lvt_value d = lvt_build(&b, LVT_OP_gradient, 5, (lvt_value[]){loss, in[0], in[1], in[2], in[3]}, 0, NULL);
    for (lvt_value k = 0; k < 4; k++)
        lvt_graph_add_output(g, in[k] == in[0] ? "dq" : k == 1 ? "dkey" : k == 2 ? "dv" : "dbias", d + k, 0);
    lvt_graph_add_output(g, "y", y, 0);
    return m;
}

static lvt_session *open_session(const shape *s, bool whole, bool training, int threads, lvt_program **p) {
    lvt_diag *diag = lvt_diag_new();
    lvt_module *m = make_module(s, whole, training, diag);
    lvt_compiled *c = NULL;
    lvt_session *session = NULL;
    char path[] = "/tmp/lvt-attention-XXXXXX";
    int file = mkstemp(path);
    /* past the pass that would make the two equal */
    lvt_status status = lvt_compile(m, &(lvt_compile_options){.stop_after = "dce"}, &c, diag);
    if (status == LVT_OK)
        status = lvt_compile(m, &(lvt_compile_options){.start_at = "decompose"}, &c, diag);
    if (status == LVT_OK && file >= 0)
        status = lvt_program_write(c, path, diag);
    if (status == LVT_OK)
        status = lvt_program_open(path, &(lvt_program_options){.threads = threads}, p, diag);
    if (status == LVT_OK)
        status = lvt_session_new(*p, &(lvt_session_options){.threads = threads}, &session, diag);
    if (status != LVT_OK)
        fprintf(stderr, "%s\n", lvt_diag_text(diag));
    unlink(path);
    close(file);
    lvt_compiled_free(c);
    lvt_diag_free(diag);
    return session;
}

static void measure(const shape *s, bool training, int threads) {
    lvt_program *p[2] = {NULL, NULL};
    lvt_session *session[2];
    int64_t size[N_INPUTS] = {s->b * s->n * s->h * s->dk, s->h * s->m * s->dk, s->b * s->m * s->h * s->dv,
                              s->h * s->n * s->m, s->b * s->n * s->h * s->dv};
    const void *in[N_INPUTS];
    for (int k = 0; k < N_INPUTS; k++) {
        float *x = malloc((size_t)size[k] * sizeof *x);
        for (int64_t i = 0; i < size[k]; i++)
            x[i] = (float)((i * 7919 + k * 104729) % 1000) / 500 - 1;
        in[k] = x;
    }
    for (int whole = 0; whole < 2; whole++)
        if (!(session[whole] = open_session(s, whole, training, threads, &p[whole])))
            exit(1);
    double t[2][RUNS];
    for (int r = -3; r < RUNS; r++)
        for (int whole = 0; whole < 2; whole++) {
            double start = now();
            lvt_session_run(session[whole], 0, in, NULL);
            if (r >= 0)
                t[whole][r] = now() - start;
        }
    for (int whole = 0; whole < 2; whole++)
        qsort(t[whole], RUNS, sizeof *t[whole], compare);
    double flops = (training ? 6.0 : 2.0) * (double)(s->h * s->b * s->n * s->m) * (double)(s->dk + s->dv);
    printf("%-22s %-8s h%-2d B%-3d N%-3d M%-3d dk%-3d dv%-3d  products %8.3f  kernel %8.3f  ratio %5.2f  "
           "%6.1f GFLOP/s\n",
           s->what, training ? "training" : "forward", (int)s->h, (int)s->b, (int)s->n, (int)s->m, (int)s->dk,
           (int)s->dv, 1e3 * t[0][RUNS / 2], 1e3 * t[1][RUNS / 2], t[0][RUNS / 2] / t[1][RUNS / 2],
           flops / t[1][RUNS / 2] * 1e-9);
    for (int whole = 0; whole < 2; whole++) {
        lvt_session_free(session[whole]);
        lvt_program_close(p[whole]);
    }
    for (int k = 0; k < N_INPUTS; k++)
        free((void *)in[k]);
}

int main(int argc, char **argv) {
    static const shape shapes[] = {
        {4, 64, 64, 64, 32, 64, "lvt-s stage 1"},      {8, 64, 16, 64, 32, 96, "lvt-s shrink"},
        {8, 64, 16, 16, 32, 64, "lvt-s stage 2"},      {4, 64, 64, 64, 64, 64, "levit_step stage 1"},
        {6, 64, 16, 16, 64, 64, "levit_step stage 2"}, {8, 64, 4, 4, 64, 64, "levit_step stage 3"},
        {4, 1, 64, 64, 32, 64, "lvt-s, one image"},    {3, 8, 197, 197, 64, 64, "ViT-Ti"}};
    int threads = argc > 1 ? atoi(argv[1]) : 2;
    shape own = {.what = "own"};
    int64_t *sizes[] = {&own.h, &own.b, &own.n, &own.m, &own.dk, &own.dv};
    for (int k = 0; k < 6 && argc > 7; k++)
        *sizes[k] = atoi(argv[2 + k]);
    for (size_t i = 0; i < (argc > 7 ? 1 : sizeof shapes / sizeof *shapes); i++)
        for (int training = 0; training < 2; training++)
            measure(argc > 7 ? &own : &shapes[i], training, threads);
    return 0;
}
