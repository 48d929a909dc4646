/* Pools, their gradients and random numbers as kernels, bit for bit against the interpreter: every width of
 * vectors and their tails, kernels, strides and paddings, equal and special values, views, one and two
 * threads, shapes large enough to be cut into chunks. */
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

/* What operands are drawn from. */
typedef enum values { UNIFORM, EQUALS, SPECIAL, N_VALUES } values;

static double draw(values what, uint64_t *seed) {
    static const double special[] = {-INFINITY, -INFINITY, NAN, INFINITY, 0.0, -0.0, 3e38, -3e38, 1e-40, 1};
    double x = uniform_in(seed, -2, 2);
    if (what == SPECIAL)
        x = special[next_random(seed) % (sizeof special / sizeof *special)];
    return lvt_round_to(LVT_F32, what == EQUALS ? floor(x) : x);
}

static void refill(const lvt_graph *g, lvt_node_id node, end *in, end *out, values what, uint64_t seed,
                   lvt_diag *diag) {
    const lvt_node *n = &g->nodes[node];
    lvt_tensor ti[MAX_ENDS], to[MAX_ENDS];
    for (uint32_t k = 0; k < n->n_operands; k++) {
        for (int64_t i = 0; i < lvt_numel(&in[k].view.type); i++)
            end_write(&in[k], i, in[k].tensor.data[i] = draw(what, &seed));
        ti[k] = in[k].tensor;
    }
    to[0] = out[0].tensor;
    assert_int_equal(lvt_eval_node(g, node, ti, to, LVT_PRECISION_F32, diag), LVT_OK);
}

/* Zeros with their signs; of NaN only that it is one. */
static void check_signs(end *out, const char *what) {
    for (int64_t i = 0; i < lvt_numel(&out->view.type); i++) {
        double got = end_read(out, i), want = out->tensor.data[i];
        if (!isnan(want) && signbit(got) != signbit(want))
            fail_msg("%s: element %lld: got %g, want %g", what, (long long)i, got, want);
    }
}

typedef struct window_case {
    int64_t batch, height, width, channels, kernel[2], stride[2], padding[4];
} window_case;

static void check_node(lvt_jit *jit, body_case *c, lvt_value v, const char *what) {
    lvt_node_id node = c->body->values[v].node;
    for (int layout = PACKED; layout <= STRIDED; layout++)
        for (values x = UNIFORM; x < N_VALUES; x++)
            for (int threads = 1; threads <= 2; threads++) {
                end in[MAX_ENDS], out[MAX_ENDS];
                char name[300];
                snprintf(name, sizeof name, "%s, values %d, layout %d, threads %d", what, (int)x, layout,
                         threads);
                make_ends(c->body, node, in, out, layout, (uint64_t)x + 1, c->lo, c->hi, c->diag);
                refill(c->body, node, in, out, x, (uint64_t)x + 7, c->diag);
                run_and_compare(jit, c->body, node, in, out, 0, 0, threads, c->diag, name);
                check_signs(&out[0], name);
                free_ends(&c->body->nodes[node], in, out);
            }
}

static void check_pools(lvt_jit *jit, const window_case *w) {
    static const lvt_op ops[] = {LVT_OP_max_pool2d, LVT_OP_max_pool2d_grad, LVT_OP_avg_pool2d,
                                 LVT_OP_avg_pool2d_grad};
    for (size_t o = 0; o < sizeof ops / sizeof *ops; o++)
        for (int include = 0; include <= (o >= 2); include++) {
            body_case c;
            body_new(&c);
            int64_t out[2];
            for (int d = 0; d < 2; d++)
                out[d] = ((d ? w->width : w->height) + w->padding[d] + w->padding[d + 2] - w->kernel[d]) /
                             w->stride[d] +
                         1;
            int64_t image[4] = {w->batch, w->height, w->width, w->channels},
                    pooled[4] = {w->batch, out[0], out[1], w->channels};
            lvt_named_attr a[6] = {
                {"kernel", lvt_attr_ints(w->kernel, 2)},   {"stride", lvt_attr_ints(w->stride, 2)},
                {"padding", lvt_attr_ints(w->padding, 4)}, {"include_padding", lvt_attr_bool(include)},
                {"height", lvt_attr_int(w->height)},       {"width", lvt_attr_int(w->width)}};
            bool grad = ops[o] == LVT_OP_max_pool2d_grad || ops[o] == LVT_OP_avg_pool2d_grad;
            lvt_value args[2];
            args[0] = body_input(&c, LVT_F32, 4, grad ? pooled : image, -2, 2);
            if (ops[o] == LVT_OP_max_pool2d_grad)
                args[1] = body_input(&c, LVT_F32, 4, image, -2, 2);
            lvt_value v = lvt_build(&c.b, ops[o], ops[o] == LVT_OP_max_pool2d_grad ? 2 : 1, args,
                                    o < 2    ? 3
                                    : o == 2 ? 4
                                             : 6,
                                    a);
            if (v == LVT_NONE)
                fail_msg("%s", lvt_diag_text(c.diag));
            char what[200];
            snprintf(what, sizeof what, "%s of %lldx%lldx%lldx%lld, kernel %lldx%lld, stride %lldx%lld",
                     lvt_op_table[ops[o]]->name, (long long)w->batch, (long long)w->height,
                     (long long)w->width, (long long)w->channels, (long long)w->kernel[0],
                     (long long)w->kernel[1], (long long)w->stride[0], (long long)w->stride[1]);
            check_node(jit, &c, v, what);
            body_free(&c);
        }
}

static void test_channels(void **state) {
    static const int64_t channels[] = {1, 3, 4, 7, 8, 15, 16, 17, 31, 64};
    for (size_t i = 0; i < sizeof channels / sizeof *channels; i++) {
        check_pools(*state, &(window_case){2, 6, 8, channels[i], {2, 2}, {2, 2}, {0, 0, 0, 0}});
        check_pools(*state, &(window_case){2, 7, 5, channels[i], {3, 3}, {2, 2}, {1, 1, 1, 1}});
        check_pools(*state, &(window_case){1, 5, 6, channels[i], {3, 2}, {1, 1}, {2, 0, 1, 1}});
    }
}

static void test_windows(void **state) {
    static const window_case cases[] = {
        {2, 9, 11, 17, {5, 5}, {1, 1}, {2, 2, 2, 2}}, /* many windows over one element */
        {2, 9, 11, 17, {1, 1}, {3, 2}, {0, 0, 0, 0}}, /* elements of no window */
        {2, 9, 11, 5, {2, 3}, {4, 5}, {1, 2, 0, 1}},
        {1, 3, 4, 6, {7, 9}, {1, 2}, {6, 8, 5, 7}},  /* windows larger than the image */
        {3, 7, 7, 33, {7, 7}, {7, 7}, {0, 0, 0, 0}}, /* all of it */
        {1, 1, 1, 3, {1, 1}, {1, 1}, {0, 0, 0, 0}},
        {1, 1, 40, 20, {1, 4}, {1, 3}, {0, 1, 0, 2}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_pools(*state, &cases[i]);
}

/* Bands of rows, pieces of channels. */
static void test_chunks(void **state) {
    static const window_case cases[] = {
        {2, 33, 40, 24, {3, 3}, {2, 2}, {1, 1, 1, 1}},
        {1, 40, 40, 17, {2, 2}, {2, 2}, {0, 0, 0, 0}},
        {1, 12, 14, 1030, {3, 3}, {1, 1}, {1, 1, 1, 1}},
        {1, 28, 30, 333, {28, 30}, {1, 1}, {0, 0, 0, 0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_pools(*state, &cases[i]);
}

static void test_random(void **state) {
    static const struct {
        int rank;
        int64_t dim[3], stream;
    } cases[] = {{1, {1}, 0},      {1, {127}, 3},        {1, {128}, 4294967295},
                 {2, {129, 3}, 1}, {3, {5, 7, 33}, 2},   {1, {100001}, 9},
                 {0, {0}, 4},      {3, {64, 17, 31}, 12}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int layout = PACKED; layout <= STRIDED; layout++)
            for (int threads = 1; threads <= 2; threads++) {
                body_case c;
                body_new(&c);
                lvt_value key = body_input(&c, LVT_I32, 1, DIMS(2), -2147483648.0, 2147483647.0);
                lvt_named_attr a[] = {{"shape", lvt_attr_ints(cases[i].dim, (uint32_t)cases[i].rank)},
                                      {"stream", lvt_attr_int(cases[i].stream)}};
                lvt_value v = lvt_build(&c.b, LVT_OP_random_uniform, 1, &key, 2, a);
                assert_int_not_equal(v, LVT_NONE);
                lvt_node_id node = c.body->values[v].node;
                end in[MAX_ENDS], out[MAX_ENDS];
                make_ends(c.body, node, in, out, layout, i + 1, c.lo, c.hi, c.diag);
                run_and_compare(*state, c.body, node, in, out, 0, 0, threads, c.diag, "random_uniform");
                free_ends(&c.body->nodes[node], in, out);
                body_free(&c);
            }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_channels), cmocka_unit_test(test_windows),
                                       cmocka_unit_test(test_chunks), cmocka_unit_test(test_random)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
