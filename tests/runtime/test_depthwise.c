/* Gradients of weights of depthwise convolutions against the interpreter: rows of 3, 5 and 7 taps, strides,
 * paddings, every width of vectors and their tails, parts of one row; the same bits for any number of threads. */
#include "jit_util.h"

enum { MOST_THREADS = 3 };

typedef struct shape {
    int64_t batch, height, width, channels, taps[2], stride[2], padding[4];
} shape;

static void check(const shape *s) {
    body_case c;
    body_new(&c);
    int64_t out[2];
    for (int d = 0; d < 2; d++)
        out[d] =
            ((d ? s->width : s->height) + s->padding[d] + s->padding[d + 2] - s->taps[d]) / s->stride[d] + 1;
    lvt_value args[2] = {
        body_input(&c, LVT_F32, 4, (int64_t[]){s->batch, out[0], out[1], s->channels}, -1, 1),
        body_input(&c, LVT_F32, 4, (int64_t[]){s->batch, s->height, s->width, s->channels}, -1, 1)};
    lvt_named_attr a[] = {{"stride", lvt_attr_ints(s->stride, 2)},
                          {"padding", lvt_attr_ints(s->padding, 4)},
                          {"groups", lvt_attr_int(s->channels)},
                          {"kernel", lvt_attr_ints(s->taps, 2)}};
    lvt_value v = lvt_build(&c.b, LVT_OP_conv2d_grad_weight, 2, args, 4, a);
    if (v == LVT_NONE)
        fail_msg("%s", lvt_diag_text(c.diag));
    lvt_node_id node = c.body->values[v].node;
    const lvt_node *n = &c.body->nodes[node];
    assert_true(lvt_variant_legal(c.body, node, LVT_FAMILY_ONEDNN, LVT_VARIANT_OWN_DEPTHWISE, NULL));
    end in[MAX_ENDS], to[MAX_ENDS];
    make_ends(c.body, node, in, to, PACKED, 3, c.lo, c.hi, c.diag);
    unsigned char *first = NULL;
    /* so many products of at most 1, each sum of floats rounded once; roundings have either sign */
    double terms = (double)(s->batch * out[0] * out[1]), tolerance = 6e-8 * terms * sqrt(terms);
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        lvt_view operands[2] = {in[0].view, in[1].view};
        lvt_kernel_request r = {.graph = c.body,
                                .node = node,
                                .operands = operands,
                                .results = &to[0].view,
                                .threads = threads,
                                .variant = LVT_VARIANT_OWN_DEPTHWISE,
                                .diag = c.diag};
        lvt_kernel *kernel = NULL;
        assert_int_equal(lvt_depthwise_make(&r, &kernel), LVT_OK);
        assert_non_null(kernel);
        assert_int_equal(kernel->variant, LVT_VARIANT_OWN_DEPTHWISE);
        run_kernel(kernel, n, in, to);
        kernel->free(kernel);
        for (int64_t i = 0; i < lvt_numel(&to[0].view.type); i++) {
            double got = end_read(&to[0], i), want = to[0].tensor.data[i];
            if (!(fabs(got - want) <= tolerance))
                fail_msg("%lld channels, %lldx%lld taps: element %lld: got %.9g, want %.9g",
                         (long long)s->channels, (long long)s->taps[0], (long long)s->taps[1], (long long)i,
                         got, want);
        }
        if (first) {
            assert_memory_equal(first, to[0].memory, to[0].bytes);
        } else {
            first = malloc(to[0].bytes);
            memcpy(first, to[0].memory, to[0].bytes);
        }
    }
    free(first);
    free_ends(n, in, to);
    body_free(&c);
}

static void test_channels(void **state) {
    (void)state;
    static const int64_t channels[] = {1, 3, 4, 12, 16, 17, 31, 32, 64, 67, 130};
    for (size_t i = 0; i < sizeof channels / sizeof *channels; i++)
        for (int64_t taps = 3; taps <= 7; taps += 2)
            for (int64_t stride = 1; stride <= 2; stride++)
                check(&(shape){2,
                               9,
                               8,
                               channels[i],
                               {taps, taps},
                               {stride, stride},
                               {taps / 2, taps / 2, taps / 2, taps / 2}});
}

static void test_windows(void **state) {
    (void)state;
    static const shape shapes[] = {
        {1, 5, 9, 20, {1, 3}, {1, 1}, {0, 0, 0, 0}},   {2, 6, 7, 9, {4, 5}, {2, 3}, {3, 0, 1, 4}},
        {1, 1, 1, 5, {3, 3}, {1, 1}, {1, 1, 1, 1}},    {3, 2, 2, 33, {5, 7}, {1, 1}, {4, 6, 4, 6}},
        {4, 33, 31, 96, {3, 3}, {1, 1}, {1, 1, 1, 1}}, {16, 28, 28, 72, {5, 5}, {2, 2}, {2, 2, 2, 2}}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        check(&shapes[i]);
}

/* What it is not for. */
static void test_refused(void **state) {
    (void)state;
    static const struct {
        int64_t results, channels, groups, dilation, taps;
    } cases[] = {{16, 8, 8, 1, 3}, {8, 8, 4, 1, 3}, {8, 8, 8, 2, 3}, {8, 8, 8, 1, 4}, {8, 8, 1, 1, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        body_case c;
        body_new(&c);
        int64_t side = 9 - cases[i].dilation * (cases[i].taps - 1);
        lvt_value args[2] = {body_input(&c, LVT_F32, 4, (int64_t[]){1, side, side, cases[i].results}, -1, 1),
                             body_input(&c, LVT_F32, 4, (int64_t[]){1, 9, 9, cases[i].channels}, -1, 1)};
        lvt_named_attr a[] = {{"groups", lvt_attr_int(cases[i].groups)},
                              {"dilation", lvt_attr_int(cases[i].dilation)},
                              {"kernel", lvt_attr_int(cases[i].taps)}};
        lvt_value v = lvt_build(&c.b, LVT_OP_conv2d_grad_weight, 2, args, 3, a);
        if (v == LVT_NONE)
            fail_msg("%s", lvt_diag_text(c.diag));
        assert_false(lvt_variant_legal(c.body, c.body->values[v].node, LVT_FAMILY_ONEDNN,
                                       LVT_VARIANT_OWN_DEPTHWISE, NULL));
        body_free(&c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_channels), cmocka_unit_test(test_windows),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
