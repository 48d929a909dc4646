/* The kernels of attention and its gradient against the interpreter: fixed shapes of real networks, random
 * ones with odd sizes, one image, one token; rows anywhere in memory; the same bits for any number of
 * threads.
 */
#include "jit_util.h"

typedef struct shape {
    int64_t heads, batch, n, m, dk, dv;
    bool shared, bias;
    double scale;
} shape;

static int setup(void **state) {
    lvt_jit *jit = NULL;
    int failed = lvt_jit_new("", false, &jit, NULL) != LVT_OK;
    *state = jit;
    return failed;
}
static int teardown(void **state) {
    lvt_jit_free(*state);
    return 0;
}

/* An end whose rows are contiguous, in any order and with gaps between them. */
static void rows_new(end *e, const lvt_type *t, bool strided, uint64_t *seed) {
    lvt_type rows = lvt_type_make((lvt_dtype)t->dtype, t->rank - 1, t->dim);
    end outer;
    end_new(&outer, &rows, strided ? STRIDED : PACKED, seed);
    end_new(e, t, PACKED, seed);
    int64_t row = t->dim[t->rank - 1] + (strided ? (int64_t)(next_random(seed) % 5) : 0), last = 0;
    for (int i = 0; i + 1 < t->rank; i++) {
        e->view.strides[i] = outer.view.strides[i] * row;
        last += e->view.strides[i] * (t->dim[i] - 1);
    }
    end_free(&outer);
    free(e->memory);
    free(e->filled);
    e->bytes = (size_t)(last + row + 16) * sizeof(float);
    e->base = e->memory = malloc(e->bytes);
    e->filled = calloc(1, e->bytes);
    memset(e->memory, 0xa5, e->bytes);
}

static lvt_value operand(lvt_builder *b, int rank, const int64_t *dims) {
    lvt_type t = lvt_type_make(LVT_F32, rank, dims);
    return lvt_build_input(b, "x", &t);
}

/* A node of a graph of its own; the module goes with it. */
static lvt_graph *make_node(const shape *s, bool backward, lvt_diag *diag, lvt_node_id *node) {
    lvt_module *m = lvt_module_new("attention");
    lvt_graph *g = lvt_module_add_entry(m, "e", 0, false);
    lvt_builder b = lvt_builder_for(g, diag);
    int64_t q[] = {s->heads, s->batch, s->n, s->dk}, k[] = {s->heads, s->batch, s->m, s->dk},
            v[] = {s->heads, s->batch, s->m, s->dv}, y[] = {s->heads, s->batch, s->n, s->dv};
    lvt_value x[7];
    uint32_t n = 0;
    if (backward)
        x[n++] = operand(&b, 4, y);
    x[n++] = operand(&b, 4, q);
    x[n++] = s->shared ? operand(&b, 3, DIMS(s->heads, s->m, s->dk)) : operand(&b, 4, k);
    x[n++] = operand(&b, 4, v);
    if (backward) {
        x[n++] = operand(&b, 4, y);
        x[n++] = operand(&b, 3, y);
    }
    if (s->bias)
        x[n++] = operand(&b, 3, DIMS(s->heads, s->n, s->m));
    lvt_named_attr scale = {"scale", lvt_attr_float(s->scale)};
    lvt_value r = lvt_build(&b, backward ? LVT_OP_attention_grad : LVT_OP_attention, n, x, 1, &scale);
    assert_int_not_equal(r, LVT_NONE);
    *node = g->values[r].node;
    const char *why;
    assert_int_equal(lvt_family_for(g, *node, &why), LVT_FAMILY_JIT);
    return g;
}

static double largest(const lvt_tensor *t) {
    double x = 0;
    for (int64_t i = 0; i < lvt_numel(&t->type); i++)
        x = fmax(x, fabs(t->data[i]));
    return x;
}

/* What the gradient is given for y and logsumexp: those of the operands, or its numbers would mean nothing.
 */
static void fill_results(const shape *s, const lvt_tensor *in, lvt_tensor *y, lvt_tensor *l) {
    lvt_node_id node;
    lvt_graph *g = make_node(s, false, NULL, &node);
    lvt_tensor forward[4] = {in[1], in[2], in[3], in[6]}, out[2] = {*y, *l};
    assert_int_equal(lvt_eval_node(g, node, forward, out, LVT_PRECISION_F32, NULL), LVT_OK);
    lvt_module_free(g->module);
}

static void check(lvt_jit *jit, const shape *s, bool backward, bool strided, uint64_t seed) {
    lvt_diag *diag = lvt_diag_new();
    lvt_node_id node;
    lvt_graph *g = make_node(s, backward, diag, &node);
    const lvt_node *n = &g->nodes[node];
    end in[7], out[4];
    lvt_tensor ti[7] = {{.data = NULL}}, to[4];
    char what[160];
    snprintf(what, sizeof what, "%s h%d B%d N%d M%d dk%d dv%d%s%s", lvt_op_of(n)->name, (int)s->heads,
             (int)s->batch, (int)s->n, (int)s->m, (int)s->dk, (int)s->dv, s->shared ? " shared" : "",
             strided ? " strided" : "");
    for (uint32_t k = 0; k < n->n_operands; k++) {
        rows_new(&in[k], lvt_value_type(g, n->operands[k]), strided, &seed);
        for (int64_t i = 0; i < lvt_numel(&in[k].view.type); i++)
            in[k].tensor.data[i] = (double)(float)uniform_in(&seed, -2, 2);
        ti[k] = in[k].tensor;
    }
    if (backward)
        fill_results(s, ti, &ti[4], &ti[5]);
    for (uint32_t k = 0; k < n->n_operands; k++)
        for (int64_t i = 0; i < lvt_numel(&in[k].view.type); i++)
            end_write(&in[k], i, in[k].tensor.data[i]);
    for (uint32_t k = 0; k < n->n_results; k++) {
        rows_new(&out[k], lvt_value_type(g, n->result + k), strided, &seed);
        to[k] = out[k].tensor;
    }
    assert_int_equal(lvt_eval_node(g, node, ti, to, LVT_PRECISION_F64, diag), LVT_OK);
    double size = 0;
    for (uint32_t k = 0; k < n->n_results; k++)
        size = fmax(size, largest(&to[k]));
    /* Sums of up to some thousand f32 products, twice over, through an exp whose argument is rounded at its
     * own size: some 2^-24 times the scores, which reach 30. Against the largest of all results, for the
     * gradients are differences of sums that may cancel. */
    run_and_compare(jit, g, node, in, out, 0, 2e-5 * (size + 1), 1, diag, what);
    /* The same bits from 1 and 3 threads. */
    unsigned char *once[4];
    for (uint32_t k = 0; k < n->n_results; k++) {
        once[k] = malloc(out[k].bytes);
        memcpy(once[k], out[k].memory, out[k].bytes);
    }
    lvt_kernel *kernel = make_kernel(jit, g, node, in, out, 3, diag, what);
    run_kernel(kernel, n, in, out);
    kernel->free(kernel);
    for (uint32_t k = 0; k < n->n_results; k++)
        if (memcmp(once[k], out[k].memory, out[k].bytes) != 0)
            fail_msg("%s: result %u depends on the number of threads", what, k);
    /* Gradients nobody reads are left out; the others have the same bits. */
    for (uint32_t gone = 0; backward && gone < n->n_results; gone += 2) {
        bool unread[4] = {0};
        unread[gone] = true;
        memset(out[gone].memory, 0xa5, out[gone].bytes);
        kernel = make_kernel_for(jit, g, node, in, out, unread, 2, diag, what);
        run_kernel(kernel, n, in, out);
        kernel->free(kernel);
        for (uint32_t k = 0; k < n->n_results; k++)
            if (k != gone && memcmp(once[k], out[k].memory, out[k].bytes) != 0)
                fail_msg("%s: result %u depends on whether %u is read", what, k, gone);
        for (size_t i = 0; i < out[gone].bytes; i++)
            assert_int_equal(out[gone].memory[i], 0xa5);
    }
    for (uint32_t k = 0; k < n->n_results; k++) {
        free(once[k]);
        end_free(&out[k]);
    }
    for (uint32_t k = 0; k < n->n_operands; k++)
        end_free(&in[k]);
    lvt_module_free(g->module);
    lvt_diag_free(diag);
}

static void test_networks(void **state) {
    static const shape shapes[] = {
        {4, 3, 64, 64, 32, 64, true, true, 0.17677669529663687}, /* LVT-S, stage 1 */
        {8, 3, 16, 64, 32, 96, true, true, 0.17677669529663687}, /* its shrink */
        {8, 5, 16, 16, 32, 64, true, true, 0.17677669529663687}, /* its stage 2 */
        {8, 2, 4, 4, 64, 64, true, true, 0.125},      /* the last stage of the benchmark's network */
        {3, 2, 64, 64, 16, 16, false, false, 0.25},   /* keys from the input */
        {1, 1, 197, 197, 64, 64, false, true, 0.125}, /* rows longer than what stays in registers */
        {1, 40, 7, 9, 300, 280, true, false, 0.05},   /* wide rows */
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int backward = 0; backward < 2; backward++)
            for (int strided = 0; strided < 2; strided++)
                check(*state, &shapes[i], backward, strided, 10 * i + 1);
}

static void test_random(void **state) {
    int cases = getenv("LVT_CASES") ? atoi(getenv("LVT_CASES")) : 12;
    uint64_t seed = 2024;
    for (int i = 0; i < cases; i++) {
        static const int64_t sizes[] = {1, 2, 3, 5, 8, 13, 16, 17, 31, 33, 48, 65};
        int64_t pick[4];
        for (int k = 0; k < 4; k++)
            pick[k] = sizes[next_random(&seed) % 12];
        shape s = {.heads = 1 + (int64_t)(next_random(&seed) % 3),
                   .batch = 1 + (int64_t)(next_random(&seed) % 6),
                   .n = pick[0],
                   .m = pick[1],
                   .dk = pick[2],
                   .dv = pick[3],
                   .shared = next_random(&seed) % 2,
                   .bias = next_random(&seed) % 2,
                   .scale = uniform_in(&seed, 0.1, 1.5)};
        check(*state, &s, i % 2, next_random(&seed) % 2, seed);
    }
}

/* Scores so far apart that all but one probability vanish, and so large that exp alone would overflow. */
static void test_large_scores(void **state) {
    shape s = {2, 3, 5, 7, 4, 3, true, true, 40};
    check(*state, &s, false, false, 5);
    check(*state, &s, true, false, 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_networks), cmocka_unit_test(test_random),
                                       cmocka_unit_test(test_large_scores)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
