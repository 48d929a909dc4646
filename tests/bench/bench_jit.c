/* Speed of generated kernels against a triad over as many bytes, one and all threads: bench_jit [threads].
 * Prints, for each kernel, the median time, GB/s of its operands and results, and the share of what the triad
 * reaches with the same number of bytes. */
#include "tests/runtime/jit_util.h"

#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct triad_part {
    float *a, *b, *c;
    int64_t n, step;
} triad_part;

static void triad_chunk(void *user, int64_t chunk, int thread) {
    (void)thread;
    triad_part *p = user;
    typedef float wide __attribute__((vector_size(64), aligned(4)));
    int64_t stop = (chunk + 1) * p->step < p->n ? (chunk + 1) * p->step : p->n;
    for (int64_t i = chunk * p->step; i + 16 <= stop; i += 16)
        *(wide *)(p->a + i) = *(wide *)(p->b + i) + 0.5f * *(wide *)(p->c + i);
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
static double median(double *t, int n) {
    qsort(t, (size_t)n, sizeof *t, compare);
    return t[n / 2];
}

enum { RUNS = 31 };

static double triad(double bytes, int threads) {
    int64_t n = (int64_t)(bytes / 12);
    triad_part p = {aligned_alloc(64, (size_t)n * 4 + 64), aligned_alloc(64, (size_t)n * 4 + 64),
                    aligned_alloc(64, (size_t)n * 4 + 64), n, 16384};
    for (int64_t i = 0; i < n; i++)
        p.a[i] = p.b[i] = p.c[i] = 1;
    double t[RUNS];
    for (int r = 0; r < RUNS; r++) {
        double start = now();
        lvt_parallel(threads, (n + p.step - 1) / p.step, triad_chunk, &p);
        t[r] = now() - start;
    }
    free(p.a), free(p.b), free(p.c);
    return (double)n * 12 / median(t, RUNS);
}

static void measure(lvt_jit *jit, body_case *c, const char *what, int most) {
    lvt_graph *g;
    lvt_node_id node = fuse(c, &g);
    const lvt_node *n = &g->nodes[node];
    end in[MAX_ENDS], out[MAX_ENDS];
    void *in_ptr[MAX_ENDS], *out_ptr[MAX_ENDS];
    uint64_t seed = 1;
    double bytes = 0;
    for (uint32_t k = 0; k < n->n_operands; k++) {
        end_new(&in[k], lvt_value_type(g, n->operands[k]), PACKED, &seed);
        for (int64_t i = 0; i < lvt_numel(&in[k].view.type); i++)
            end_write(&in[k], i, uniform_in(&seed, c->lo[k], c->hi[k]));
        in_ptr[k] = in[k].base;
        bytes += (double)lvt_type_bytes(&in[k].view.type);
    }
    for (uint32_t k = 0; k < n->n_results; k++) {
        end_new(&out[k], lvt_value_type(g, n->result + k), PACKED, &seed);
        out_ptr[k] = out[k].base;
        bytes += (double)lvt_type_bytes(&out[k].view.type);
    }
    for (int threads = 1; threads <= most; threads++) {
        double start = now();
        lvt_kernel *k = make_kernel(jit, g, node, in, out, threads, c->diag, what);
        double made = now() - start, t[RUNS];
        void *scratch = aligned_alloc(64, (k->scratch_bytes + 127) / 64 * 64);
        for (int r = 0; r < RUNS; r++) {
            start = now();
            k->run(k, in_ptr, out_ptr, scratch);
            t[r] = now() - start;
        }
        double best = triad(bytes, threads), rate = bytes / median(t, RUNS);
        printf("%-34s %d threads %8.1f us %6.1f GB/s %4.0f%% of triad %6.1f   made in %.1f ms\n", what,
               threads, median(t, RUNS) * 1e6, rate * 1e-9, 100 * rate / best, best * 1e-9, made * 1e3);
        free(scratch);
        k->free(k);
    }
    free_ends(n, in, out);
    body_free(c);
}

static lvt_value op2(body_case *c, lvt_op op, lvt_value x, lvt_value y) {
    return lvt_build_binary(&c->b, op, x, y);
}
static lvt_value scalar(body_case *c, double x) {
    return lvt_build_scalar(&c->b, LVT_F32, x);
}
static lvt_value sum(body_case *c, lvt_op op, lvt_value x, int axis, bool keep) {
    return lvt_build_reduce(&c->b, op, x, 1, DIMS(axis), keep);
}

int main(int argc, char **argv) {
    int threads = argc > 1 ? atoi(argv[1]) : 2; /* second argument: folder that keeps the objects */
    lvt_jit *jit;
    if (lvt_jit_new(argc > 2 ? argv[2] : "", false, &jit, NULL) != LVT_OK)
        return 1;
    body_case c;
    lvt_value x, y, z;

    body_new(&c);
    x = body_input(&c, LVT_F32, 3, DIMS(64, 64, 512), -3, 3),
    y = body_input(&c, LVT_F32, 3, DIMS(64, 64, 512), -3, 3);
    body_output(&c, op2(&c, LVT_OP_add, x, y));
    measure(jit, &c, "residual add [64,64,512]", threads);

    body_new(&c);
    x = body_input(&c, LVT_F32, 3, DIMS(64, 64, 512), -3, 3);
    body_output(&c, lvt_build_unary(&c.b, LVT_OP_gelu, x));
    measure(jit, &c, "gelu [64,64,512]", threads);

    body_new(&c);
    x = body_input(&c, LVT_F32, 3, DIMS(64, 64, 512), -3, 3),
    y = body_input(&c, LVT_F32, 3, DIMS(64, 64, 512), -3, 3);
    z = op2(&c, LVT_OP_mul,
            op2(&c, LVT_OP_add, lvt_build_unary(&c.b, LVT_OP_erf, op2(&c, LVT_OP_mul, x, scalar(&c, 0.7071))),
                scalar(&c, 1)),
            scalar(&c, 0.5));
    lvt_value e =
        lvt_build_unary(&c.b, LVT_OP_exp, op2(&c, LVT_OP_mul, op2(&c, LVT_OP_mul, x, x), scalar(&c, -0.5)));
    z = op2(&c, LVT_OP_add, z, op2(&c, LVT_OP_mul, op2(&c, LVT_OP_mul, x, scalar(&c, 0.39894)), e));
    body_output(&c, op2(&c, LVT_OP_mul, y, z));
    measure(jit, &c, "gelu backward [64,64,512]", threads);

    for (int sums = 0; sums < 2;
         sums++) { /* y' = dy gelu'(y) of y = (x - m) s + b, with the sums of batch norm */
        body_new(&c);
        x = body_input(&c, LVT_F32, 2, DIMS(4096, 512), -3, 3),
        y = body_input(&c, LVT_F32, 2, DIMS(4096, 512), -3, 3);
        lvt_value m = body_input(&c, LVT_F32, 1, DIMS(512), -1, 1),
                  s = body_input(&c, LVT_F32, 1, DIMS(512), -1, 1), d = op2(&c, LVT_OP_sub, x, m),
                  u = op2(&c, LVT_OP_mul, d, s);
        z = op2(&c, LVT_OP_mul,
                op2(&c, LVT_OP_add,
                    lvt_build_unary(&c.b, LVT_OP_erf, op2(&c, LVT_OP_mul, u, scalar(&c, 0.7071))),
                    scalar(&c, 1)),
                scalar(&c, 0.5));
        e = lvt_build_unary(&c.b, LVT_OP_exp,
                            op2(&c, LVT_OP_mul, op2(&c, LVT_OP_mul, u, u), scalar(&c, -0.5)));
        z = op2(&c, LVT_OP_add, z, op2(&c, LVT_OP_mul, op2(&c, LVT_OP_mul, u, scalar(&c, 0.39894)), e));
        z = op2(&c, LVT_OP_mul, y, z);
        body_output(&c, z);
        if (sums) {
            body_output(&c, sum(&c, LVT_OP_reduce_sum, z, 0, false));
            body_output(&c, sum(&c, LVT_OP_reduce_sum, op2(&c, LVT_OP_mul, z, d), 0, false));
        }
        measure(jit, &c, sums ? "norm, gelu backward, sums [4096,512]" : "norm, gelu backward [4096,512]",
                threads);
    }

    static const int64_t norms[][2] = {{4096, 256}, {65536, 64}, {1024, 768}};
    for (int s = 0; s < 3; s++) {
        int64_t rows = norms[s][0], n = norms[s][1];
        char what[60];
        body_new(&c);
        x = body_input(&c, LVT_F32, 2, DIMS(rows, n), -3, 3);
        body_output(&c, sum(&c, LVT_OP_reduce_mean, x, 0, false));
        snprintf(what, sizeof what, "batch norm mean [%d,%d]", (int)rows, (int)n);
        measure(jit, &c, what, threads);

        body_new(&c);
        x = body_input(&c, LVT_F32, 2, DIMS(rows, n), -3, 3), y = body_input(&c, LVT_F32, 1, DIMS(n), -1, 1);
        z = op2(&c, LVT_OP_sub, x, y);
        body_output(&c, sum(&c, LVT_OP_reduce_mean, z, 0, false));
        body_output(&c, sum(&c, LVT_OP_reduce_mean, op2(&c, LVT_OP_mul, z, z), 0, false));
        snprintf(what, sizeof what, "batch norm moments [%d,%d]", (int)rows, (int)n);
        measure(jit, &c, what, threads);

        body_new(&c);
        x = body_input(&c, LVT_F32, 2, DIMS(rows, n), -3, 3), y = body_input(&c, LVT_F32, 1, DIMS(n), -1, 1);
        lvt_value v = body_input(&c, LVT_F32, 1, DIMS(n), 0.5, 1),
                  gamma = body_input(&c, LVT_F32, 1, DIMS(n), 0.5, 1),
                  beta = body_input(&c, LVT_F32, 1, DIMS(n), 0.5, 1);
        z = op2(&c, LVT_OP_mul, op2(&c, LVT_OP_sub, x, y),
                op2(&c, LVT_OP_mul, gamma,
                    lvt_build_unary(&c.b, LVT_OP_rsqrt, op2(&c, LVT_OP_add, v, scalar(&c, 1e-5)))));
        body_output(&c, op2(&c, LVT_OP_max, op2(&c, LVT_OP_add, z, beta), scalar(&c, 0)));
        snprintf(what, sizeof what, "batch norm apply + relu [%d,%d]", (int)rows, (int)n);
        measure(jit, &c, what, threads);

        body_new(&c);
        x = body_input(&c, LVT_F32, 2, DIMS(rows, n), -3, 3),
        y = body_input(&c, LVT_F32, 2, DIMS(rows, n), -3, 3);
        lvt_value m = body_input(&c, LVT_F32, 1, DIMS(n), -1, 1);
        body_output(&c, sum(&c, LVT_OP_reduce_sum, y, 0, false));
        body_output(&c,
                    sum(&c, LVT_OP_reduce_sum, op2(&c, LVT_OP_mul, y, op2(&c, LVT_OP_sub, x, m)), 0, false));
        snprintf(what, sizeof what, "batch norm backward sums [%d,%d]", (int)rows, (int)n);
        measure(jit, &c, what, threads);
    }

    body_new(&c);
    x = body_input(&c, LVT_F32, 4, DIMS(4, 64, 64, 64), -3, 3);
    e = lvt_build_unary(&c.b, LVT_OP_exp, op2(&c, LVT_OP_sub, x, sum(&c, LVT_OP_reduce_max, x, 3, true)));
    body_output(&c, op2(&c, LVT_OP_div, e, sum(&c, LVT_OP_reduce_sum, e, 3, true)));
    measure(jit, &c, "softmax [4,64,64,64]", threads);

    body_new(&c);
    x = body_input(&c, LVT_F32, 4, DIMS(8, 64, 16, 16), -3, 3);
    e = lvt_build_unary(&c.b, LVT_OP_exp, op2(&c, LVT_OP_sub, x, sum(&c, LVT_OP_reduce_max, x, 3, true)));
    body_output(&c, op2(&c, LVT_OP_div, e, sum(&c, LVT_OP_reduce_sum, e, 3, true)));
    measure(jit, &c, "softmax [8,64,16,16]", threads);

    body_new(&c);
    x = body_input(&c, LVT_F32, 4, DIMS(64, 4, 64, 64), 0, 1),
    y = body_input(&c, LVT_F32, 4, DIMS(64, 4, 64, 64), -1, 1);
    z = op2(&c, LVT_OP_mul, x,
            op2(&c, LVT_OP_sub, y, sum(&c, LVT_OP_reduce_sum, op2(&c, LVT_OP_mul, x, y), 3, true)));
    body_output(&c, z);
    body_output(&c, sum(&c, LVT_OP_reduce_sum, z, 0, false));
    measure(jit, &c, "softmax backward + bias [64,4,64,64]", threads);

    body_new(&c);
    x = body_input(&c, LVT_F32, 2, DIMS(4096, 512), -3, 3);
    z = op2(&c, LVT_OP_sub, x, sum(&c, LVT_OP_reduce_mean, x, 1, true));
    e = lvt_build_unary(&c.b, LVT_OP_rsqrt,
                        op2(&c, LVT_OP_add, sum(&c, LVT_OP_reduce_mean, op2(&c, LVT_OP_mul, z, z), 1, true),
                            scalar(&c, 1e-5)));
    body_output(&c, op2(&c, LVT_OP_mul, z, e));
    measure(jit, &c, "layer norm [4096,512]", threads);

    body_new(&c);
    x = body_input(&c, LVT_F32, 1, DIMS(4 << 20), -3, 3);
    body_output(&c, lvt_build_reduce(&c.b, LVT_OP_reduce_sum, op2(&c, LVT_OP_mul, x, x), 0, NULL, false));
    measure(jit, &c, "sum of squares [4M]", threads);
    lvt_jit_free(jit);
    return 0;
}
