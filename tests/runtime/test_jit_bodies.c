/* Bodies as fusion makes them: softmax, cross-entropy, normalisations, their backward passes, several results
 * in one pass; bit-equal for any number of threads; results in place of operands. */
#include "jit_util.h"

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

/* f32 rounds each of some ten steps to 2^-24; exponentials add a few units; sums of up to 1000 terms 2^-19.
 */
#define RELATIVE 4e-6
#define ABSOLUTE 4e-6

/* The decomposition of a composite op, as the body of a kernel. */
static void composite(lvt_jit *jit, lvt_op op, int rank, const int64_t *dim) {
    body_case c;
    body_new(&c);
    lvt_value x = body_input(&c, LVT_F32, rank, dim, -3, 3), args[3] = {x};
    uint32_t n = 1;
    if (op == LVT_OP_cross_entropy)
        args[n++] = body_input(&c, LVT_I32, 1, dim, 0, (double)dim[1]);
    if (op == LVT_OP_layer_norm) {
        args[n++] = body_input(&c, LVT_F32, 1, dim + rank - 1, 0.5, 2);
        args[n++] = body_input(&c, LVT_F32, 1, dim + rank - 1, -1, 1);
    }
    lvt_value y = lvt_build(&c.b, op, n, args, 0, NULL), results[3];
    assert_int_not_equal(y, LVT_NONE);
    lvt_node node = *lvt_value_node(c.body, y);
    lvt_graph *plain = lvt_graph_new(c.module, NULL, 0, false);
    lvt_builder b = lvt_builder_for(plain, c.diag);
    for (uint32_t i = 0; i < n; i++) {
        char name[16];
        snprintf(name, sizeof name, "x%u", i);
        args[i] = lvt_build_input(&b, name, lvt_value_type(c.body, args[i]));
    }
    assert_int_equal(lvt_op_table[op]->decompose(&b, &node, args, results), LVT_OK);
    c.body = plain;
    c.b = b;
    body_output(&c, results[0]);
    char what[80];
    snprintf(what, sizeof what, "%s of %lld rows", lvt_op_table[op]->name, (long long)dim[0]);
    check_body(jit, &c, RELATIVE, ABSOLUTE, what);
    body_free(&c);
}

static void test_composites(void **state) {
    static const lvt_op ops[] = {LVT_OP_softmax, LVT_OP_log_softmax, LVT_OP_layer_norm, LVT_OP_cross_entropy};
    static const int64_t rows[][2] = {{7, 16},  {5, 100}, {3, 1},    {64, 10}, {1, 33},
                                      {9, 256}, {4, 257}, {3, 1000}, {200, 64}};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        for (size_t s = 0; s < sizeof rows / sizeof *rows; s++)
            composite(*state, ops[i], 2, rows[s]);
    composite(*state, LVT_OP_softmax, 4, DIMS(3, 4, 5, 64));
    composite(*state, LVT_OP_softmax, 3, DIMS(3, 4, 17));
}

static lvt_value op2(body_case *c, lvt_op op, lvt_value x, lvt_value y) {
    return lvt_build_binary(&c->b, op, x, y);
}
static lvt_value sum(body_case *c, lvt_value x, int axis, bool keep) {
    return lvt_build_reduce(&c->b, LVT_OP_reduce_sum, x, 1, DIMS(axis), keep);
}
static lvt_value mean(body_case *c, lvt_value x, int axis) {
    return lvt_build_reduce(&c->b, LVT_OP_reduce_mean, x, 1, DIMS(axis), true);
}
static lvt_value full(body_case *c, double x) {
    return lvt_build_scalar(&c->b, LVT_F32, x);
}

/* dx = p (dp - sum(p dp)); with the bias gradient, the sum of dx over the first dim. */
static void softmax_backward(lvt_jit *jit, int64_t batch, int64_t m, int64_t n) {
    body_case c;
    body_new(&c);
    lvt_value p = body_input(&c, LVT_F32, 3, DIMS(batch, m, n), 0, 1),
              dp = body_input(&c, LVT_F32, 3, DIMS(batch, m, n), -1, 1);
    lvt_value dot = sum(&c, op2(&c, LVT_OP_mul, p, dp), 2, true);
    lvt_value dx = op2(&c, LVT_OP_mul, p, op2(&c, LVT_OP_sub, dp, dot));
    body_output(&c, op2(&c, LVT_OP_mul, dx, full(&c, 0.125)));
    body_output(&c, sum(&c, dx, 0, false));
    check_body(jit, &c, RELATIVE, ABSOLUTE * (double)batch, "softmax backward");
    body_free(&c);
}

/* Layer norm backward with the gradients of gamma and beta: row and column reductions in one body. */
static void layer_norm_backward(lvt_jit *jit, int64_t rows, int64_t n) {
    body_case c;
    body_new(&c);
    lvt_value x = body_input(&c, LVT_F32, 2, DIMS(rows, n), -2, 2),
              dy = body_input(&c, LVT_F32, 2, DIMS(rows, n), -1, 1);
    lvt_value gamma = body_input(&c, LVT_F32, 1, DIMS(n), 0.5, 2);
    lvt_value centered = op2(&c, LVT_OP_sub, x, mean(&c, x, 1));
    lvt_value var = mean(&c, op2(&c, LVT_OP_mul, centered, centered), 1);
    lvt_value rstd = lvt_build_unary(&c.b, LVT_OP_rsqrt, op2(&c, LVT_OP_add, var, full(&c, 1e-3)));
    lvt_value xhat = op2(&c, LVT_OP_mul, centered, rstd), g = op2(&c, LVT_OP_mul, dy, gamma);
    lvt_value a = mean(&c, g, 1), b = mean(&c, op2(&c, LVT_OP_mul, g, xhat), 1);
    lvt_value dx = op2(&c, LVT_OP_sub, op2(&c, LVT_OP_sub, g, a), op2(&c, LVT_OP_mul, xhat, b));
    body_output(&c, op2(&c, LVT_OP_mul, dx, rstd));
    body_output(&c, sum(&c, op2(&c, LVT_OP_mul, dy, xhat), 0, false));
    body_output(&c, sum(&c, dy, 0, true));
    check_body(jit, &c, RELATIVE * 4, ABSOLUTE * 4 * sqrt((double)rows), "layer norm backward");
    body_free(&c);
}

static void test_rows_with_columns(void **state) {
    softmax_backward(*state, 6, 5, 64);
    softmax_backward(*state, 40, 16, 16);
    softmax_backward(*state, 3, 4, 300);
    softmax_backward(*state, 2, 7, 13);
    layer_norm_backward(*state, 40, 48);
    layer_norm_backward(*state, 7, 100);
    layer_norm_backward(*state, 600, 64);
    layer_norm_backward(*state, 5, 700);
    layer_norm_backward(*state, 5, 1);
}

/* Batch norm: y = (x - mean) rsqrt(var + eps) gamma + beta with statistics given; what varies along the
 * channels alone is hoisted. */
static void batch_norm_apply(lvt_jit *jit, int rank, const int64_t *dim) {
    body_case c;
    body_new(&c);
    const int64_t *last = dim + rank - 1;
    lvt_value x = body_input(&c, LVT_F32, rank, dim, -2, 2), m = body_input(&c, LVT_F32, 1, last, -1, 1),
              v = body_input(&c, LVT_F32, 1, last, 0.1, 2), gamma = body_input(&c, LVT_F32, 1, last, 0.5, 2),
              beta = body_input(&c, LVT_F32, 1, last, -1, 1);
    lvt_value scale = op2(&c, LVT_OP_mul, gamma,
                          lvt_build_unary(&c.b, LVT_OP_rsqrt, op2(&c, LVT_OP_add, v, full(&c, 1e-5))));
    lvt_value y = op2(&c, LVT_OP_add, op2(&c, LVT_OP_mul, op2(&c, LVT_OP_sub, x, m), scale), beta);
    body_output(&c, y);
    body_output(&c, lvt_build_unary(&c.b, LVT_OP_gelu, y));
    body_output(&c, op2(&c, LVT_OP_gt, y, full(&c, 0)));
    body_output(&c, lvt_build_reduce(&c.b, LVT_OP_reduce_max, y, rank - 1, DIMS(0, 1, 2, 3), false));
    check_body(jit, &c, RELATIVE, ABSOLUTE, "batch norm");
    body_free(&c);
}

static void batch_norm_backward_sums(lvt_jit *jit, int64_t rows, int64_t n) {
    body_case c;
    body_new(&c);
    lvt_value x = body_input(&c, LVT_F32, 2, DIMS(rows, n), -2, 2),
              dy = body_input(&c, LVT_F32, 2, DIMS(rows, n), -1, 1),
              m = body_input(&c, LVT_F32, 2, DIMS(1, n), -1, 1);
    lvt_value z = op2(&c, LVT_OP_mul, dy, op2(&c, LVT_OP_sub, x, m));
    body_output(&c, sum(&c, dy, 0, true));
    body_output(&c, sum(&c, z, 0, false));
    body_output(&c, lvt_build_reduce(&c.b, LVT_OP_reduce_mean, z, 0, NULL, false));
    check_body(jit, &c, RELATIVE * 4, ABSOLUTE * sqrt((double)rows) * 16, "batch norm backward sums");
    body_free(&c);
}

static void test_columns(void **state) {
    batch_norm_apply(*state, 2, DIMS(37, 64));
    batch_norm_apply(*state, 4, DIMS(3, 4, 5, 20));
    batch_norm_apply(*state, 3, DIMS(2, 3, 1));
    batch_norm_apply(*state, 2, DIMS(1030, 48));
    batch_norm_backward_sums(*state, 33, 100);
    batch_norm_backward_sums(*state, 1000, 64);
    batch_norm_backward_sums(*state, 1, 7);
    batch_norm_backward_sums(*state, 4000, 3);
}

/* A loss per row and its mean over rows: an accumulator that takes one value a row. */
static void test_loss_and_mean(void **state) {
    for (int64_t rows = 1; rows < 200; rows += 66) {
        body_case c;
        body_new(&c);
        lvt_value x = body_input(&c, LVT_F32, 2, DIMS(rows, 100), -3, 3),
                  w = body_input(&c, LVT_F32, 2, DIMS(rows, 1), 0, 1);
        lvt_value top = lvt_build_reduce(&c.b, LVT_OP_reduce_max, x, 1, DIMS(1), true);
        lvt_value e = lvt_build_unary(&c.b, LVT_OP_exp, op2(&c, LVT_OP_sub, x, top));
        lvt_value lse = op2(&c, LVT_OP_add, lvt_build_unary(&c.b, LVT_OP_log, sum(&c, e, 1, true)), top);
        lvt_value loss = op2(&c, LVT_OP_mul, lse, w);
        body_output(&c, loss);
        body_output(&c, op2(&c, LVT_OP_sub, x, lse));
        body_output(&c, mean(&c, loss, 0));
        body_output(&c, lvt_build_reduce(&c.b, LVT_OP_reduce_sum, loss, 0, NULL, false));
        check_body(*state, &c, RELATIVE, ABSOLUTE, "loss and mean");
        body_free(&c);
    }
}

/* Rows of several loops, and accumulators that keep some of them: scores normalised over all but the heads,
 * with the maxima for the softmax that follows. */
static void test_part_of_a_row(void **state) {
    body_case c;
    body_new(&c);
    lvt_value x = body_input(&c, LVT_F32, 4, DIMS(3, 5, 6, 19), -1, 1),
              bias = body_input(&c, LVT_F32, 4, DIMS(3, 1, 6, 19), -1, 1);
    lvt_value m = lvt_build_reduce(&c.b, LVT_OP_reduce_mean, x, 3, DIMS(1, 2, 3), true);
    lvt_value y = op2(&c, LVT_OP_add, op2(&c, LVT_OP_sub, x, m), bias);
    body_output(&c, y);
    body_output(&c, m);
    body_output(&c, lvt_build_reduce(&c.b, LVT_OP_reduce_max, y, 1, DIMS(3), true));
    body_output(&c, lvt_build_reduce(&c.b, LVT_OP_reduce_sum, y, 2, DIMS(0, 2), false));
    body_output(&c, lvt_build_reduce(&c.b, LVT_OP_reduce_sum, y, 2, DIMS(1, 3), false));
    body_output(&c, lvt_build_reduce(&c.b, LVT_OP_reduce_sum, y, 3, DIMS(0, 1, 3), false));
    check_body(*state, &c, RELATIVE, ABSOLUTE * 8, "part of a row");
    body_free(&c);
}

/* Same bits for one to five threads, and again for a second run. */
static void test_bits(void **state) {
    for (int kind = 0; kind < 3; kind++) {
        body_case c;
        body_new(&c);
        lvt_value x = body_input(&c, LVT_F32, 2, DIMS(2111, 130), -1, 1);
        if (kind == 0)
            body_output(&c, sum(&c, x, 0, false));
        if (kind == 1)
            body_output(&c, lvt_build_reduce(&c.b, LVT_OP_reduce_sum, x, 0, NULL, false));
        if (kind == 2) {
            lvt_value y = op2(&c, LVT_OP_div, x, sum(&c, lvt_build_unary(&c.b, LVT_OP_exp, x), 1, true));
            body_output(&c, y);
            body_output(&c, sum(&c, y, 0, true));
        }
        lvt_graph *g;
        lvt_node_id node = fuse(&c, &g);
        end in[MAX_ENDS], out[MAX_ENDS];
        make_ends(g, node, in, out, PACKED, 3, c.lo, c.hi, c.diag);
        unsigned char *first[MAX_ENDS] = {0};
        for (int threads = 1; threads <= 5; threads++) {
            lvt_kernel *k = make_kernel(*state, g, node, in, out, threads, c.diag, "bits");
            for (int again = 0; again < 2; again++) {
                run_kernel(k, &g->nodes[node], in, out);
                for (uint32_t i = 0; i < c.body->n_outputs; i++) {
                    if (!first[i])
                        memcpy(first[i] = malloc(out[i].bytes), out[i].memory, out[i].bytes);
                    assert_memory_equal(first[i], out[i].memory, out[i].bytes);
                }
            }
            k->free(k);
        }
        for (uint32_t i = 0; i < c.body->n_outputs; i++)
            free(first[i]);
        free_ends(&g->nodes[node], in, out);
        body_free(&c);
    }
}

/* The planner may put a result where an operand of the same shape was. */
static void test_in_place(void **state) {
    for (int64_t n = 40; n <= 400; n += 360) { /* rows in registers, rows in loops */
        body_case c;
        body_new(&c);
        lvt_value x = body_input(&c, LVT_F32, 2, DIMS(9, n), -1, 1),
                  y = body_input(&c, LVT_F32, 2, DIMS(9, n), -1, 1);
        lvt_value z = op2(&c, LVT_OP_sub, x, sum(&c, op2(&c, LVT_OP_mul, x, y), 1, true));
        body_output(&c, z);
        body_output(&c, op2(&c, LVT_OP_mul, x, y));
        lvt_graph *g;
        lvt_node_id node = fuse(&c, &g);
        end in[MAX_ENDS], out[MAX_ENDS];
        make_ends(g, node, in, out, PACKED, 3, c.lo, c.hi, c.diag);
        out[0].base = in[1].base;
        out[1].base = in[0].base;
        lvt_kernel *k = make_kernel(*state, g, node, in, out, 2, c.diag, "in place");
        run_kernel(k, &g->nodes[node], in, out);
        k->free(k);
        for (uint32_t r = 0; r < 2; r++)
            for (int64_t i = 0; i < 9 * n; i++)
                assert_true(fabs(end_read(&out[r], i) - out[r].tensor.data[i]) <
                            1e-5); /* sums of 400 products below 1 */
        free_ends(&g->nodes[node], in, out);
        body_free(&c);
    }
}

/* What is not one loop nest is refused with a reason. */
static void test_refusals(void **state) {
    (void)state;
    body_case c;
    body_new(&c);
    lvt_value x = body_input(&c, LVT_F32, 2, DIMS(4, 6), -1, 1);
    body_output(&c, op2(&c, LVT_OP_sub, x, mean(&c, x, 0)));
    assert_string_equal(lvt_loop_accepts(c.body),
                        "a reduction used in the body does not reduce the innermost dims");
    body_free(&c);
    body_new(&c);
    x = body_input(&c, LVT_F32, 2, DIMS(4, 6), -1, 1);
    body_output(&c, lvt_build_reshape(&c.b, x, 2, DIMS(6, 4)));
    assert_string_equal(lvt_loop_accepts(c.body), "a reshape that moves elements");
    body_free(&c);
    body_new(&c);
    x = body_input(&c, LVT_F32, 1, DIMS(6), -1, 1);
    lvt_value y = body_input(&c, LVT_F32, 2, DIMS(4, 6), -1, 1), z = lvt_build_unary(&c.b, LVT_OP_exp, x);
    body_output(&c, z);
    body_output(&c, op2(&c, LVT_OP_add, y, z));
    assert_string_equal(lvt_loop_accepts(c.body), "a result is smaller than the domain");
    body_free(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_composites),    cmocka_unit_test(test_rows_with_columns),
        cmocka_unit_test(test_columns),       cmocka_unit_test(test_loss_and_mean),
        cmocka_unit_test(test_bits),          cmocka_unit_test(test_in_place),
        cmocka_unit_test(test_part_of_a_row), cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
