/* The blocks of models/nn.lvt against numbers worked out by hand. Random initial values are 0.25 here. */
#include "helpers.h"

/* Operands that come from other calls, layers of models/nn.lvt against numbers worked out by hand. */
static void test_layers(void **unused) {
    (void)unused;
    EXPECT("import \"nn.lvt\"", "", "linear(x, 2)", 0.25 * 6 + 0.25, 0.25 * 6 + 0.25, 0.25 * 15 + 0.25,
           0.25 * 15 + 0.25);
    EXPECT("import \"nn.lvt\"", "", "cast(offset_index(2, 3), f32)[4]", 4, 3, 4, 1, 0, 1);
    EXPECT("import \"nn.lvt\"", "", "cast(offset_index(4, 4, 2), f32)[3]", 10, 9, 8, 9, 6, 5, 4, 5, 2, 1, 0,
           1, 6, 5, 4, 5);
    EXPECT("import \"nn.lvt\"", "let m = cast(i < 3, f32)", "masked_cross_entropy(x[0:1] * 0, i[0:1] - 1, m)",
           0.69314718055994530942);
    EXPECT("import \"nn.lvt\"", "let m = cast(x < 3, f32)", "distill_mse(x, x - 2, m)", 4);
    EXPECT("import \"nn.lvt\"", "", "distill_kl(x, x, x * 0 + 1)", 0);
    EXPECT("import \"nn.lvt\"", "", "reshape(every(reshape(x, [1, 2, 3, 1]), 2), [2])", 1, 3);
    EXPECT("import \"nn.lvt\"", "", "batch_norm(x) * 1.00000499998750005", 1, 2, 3, 4, 5,
           6); /* sqrt(1 + eps) */
    EXPECT("import \"nn.lvt\"", "", "join_heads(split_heads(reshape(x, [1, 1, 6]), 3))", 1, 2, 3, 4, 5, 6);
}

/* Statistics of batch norm: all together, and two images apart from one. */
static void test_batch_norm(void **unused) {
    (void)unused;
    static const char text[] = "import \"nn.lvt\"\nmodel m(groups = none) { training entry t(x: f32[3, 2, "
                               "1]) { return y = batch_norm(x, groups = groups) } }";
    lvt_module *m = compile(text);
    lvt_tensor *s = new_states(m);
    double y[64], expected;
    assert_int_equal(run(m, "t", s, 0, y), 6);
    double variance = 35.0 / 12; /* of 1..6 */
    expected = -2.5 / sqrt(variance + 1e-5);
    assert_float_equal(y[0], expected, 1e-12);
    assert_float_equal(s[lvt_module_find_state(m, "batch_norm.running_mean")].data[0], 0.35, 1e-12);
    assert_float_equal(s[lvt_module_find_state(m, "batch_norm.running_var")].data[0], 0.9 + 0.1 * 3.5, 1e-12);
    free_states(m, s);
    lvt_module_free(m);
    const char *const apart[] = {"groups=[2, 1]"};
    m = compile_with(text, apart, 1);
    s = new_states(m);
    run(m, "t", s, 0, y);
    assert_float_equal(y[0], -1.5 / sqrt(1.25 + 1e-5), 1e-12);
    assert_float_equal(y[4], -0.5 / sqrt(0.25 + 1e-5), 1e-12);
    assert_float_equal(s[lvt_module_find_state(m, "batch_norm.running_mean")].data[0], 0.1 * (2.5 + 5.5) / 2,
                       1e-12);
    free_states(m, s);
    lvt_module_free(m);
}

static void test_attention(void **unused) {
    (void)unused;
    /* one head of 3: every channel of q, k and v of token n is c[n] = 0.25 * sum(x[n]) + 0.25 */
    double c[2] = {0.25 * 6 + 0.25, 0.25 * 15 + 0.25}, want[6];
    for (int n = 0; n < 2; n++) {
        double a = exp(3 * c[n] * (c[0] - c[1]) / sqrt(3)), v = (a * c[0] + c[1]) / (1 + a);
        for (int k = 0; k < 3; k++)
            want[3 * n + k] = 0.25 * 3 * v + 0.25;
    }
    expect("import \"nn.lvt\"", "let t = reshape(x, [1, 2, 3])", "self_attention(t, 1)", 6, want);
    /* external keys, all 0.25: scores do not depend on the key's position, the bias table is 0: all tokens
     * weigh the same; v[n] = 0.25 * sum(x[n]) / sqrt(1 + 1e-5) by the initial statistics */
    double mean = 0.25 * (6 + 15 + 15 + 6) / 4 / sqrt(1 + 1e-5);
    double same[8];
    for (int k = 0; k < 8; k++)
        same[k] = mean;
    expect("import \"nn.lvt\"",
           "let t = concat([reshape(x, [1, 2, 3]), reshape(x[1], [1, 1, 3]), reshape(x[0], [1, 1, 3])], axis "
           "= 1)",
           "inter_task_attention(t, 2, 2, 1, 3, 2)", 8, same);
    expect("import \"nn.lvt\"", "let t = concat([reshape(x, [1, 2, 3]), reshape(x, [1, 2, 3])], axis = 1)",
           "inter_task_attention(t, 2, 2, 1, 3, 2, step = 2, norm = \"batch_norm\")", 2, same);
}

static void test_norms_and_convolutions(void **unused) {
    (void)unused;
    double s = sqrt(2.0 / 3 + 1e-5);
    EXPECT("import \"nn.lvt\"", "", "layer_norm(x)", -1 / s, 0, 1 / s, -1 / s, 0, 1 / s);
    /* a 3x3 kernel of 0.25 on the image 1 2 3 / 4 5 6, bias 0.25 */
    EXPECT("import \"nn.lvt\"", "let p = reshape(x, [1, 2, 3, 1])", "conv(p, 1)", 3.25, 5.5, 4.25, 3.25, 5.5,
           4.25);
    EXPECT("import \"nn.lvt\"", "let p = reshape(x, [1, 2, 3, 1])",
           "conv(p, 2, kernel = 1, stride = 2, bias = false)", 0.25, 0.25, 0.75, 0.75);
    double b = 1 / sqrt(1 + 1e-5);
    /* conv1 over the whole image at (0, 0) and (0, 2), conv2 over both, and the short cut without a
     * convolution */
    double h[2] = {0.25 * 12 * b, 0.25 * 16 * b}, y = 0.25 * (h[0] + h[1]) * b * 2;
    EXPECT("import \"nn.lvt\"", "let p = reshape(x, [1, 2, 3, 1])",
           "basic_block(p, 2, stride = 2, downsample = false)", y + 1, y, y + 3, y);
}

static void test_optimisers(void **unused) {
    (void)unused;
    lvt_module *m = compile(
        "import \"nn.lvt\"\nmodel m {\n"
        " entry plain(g: f32[2]) { param p: f32[2] = 1\n sgd(p, g, 0.5) at p }\n"
        " entry heavy(g: f32[2]) { param q: f32[2] = 1\n sgd(q, g, 0.5, momentum = 0.9, decay = 0.1) at q }\n"
        " entry look_ahead(g: f32[2], m: f32[] = 0.9) { param n: f32[2] = 1\n sgd(n, g, 0.5, momentum = m, "
        "nesterov = true) at n }\n"
        " entry adam(g: f32[2]) { param a: f32[2] = 1\n adamw(a, g, 0.1) at a }\n}\n");
    lvt_tensor *s = new_states(m);
    double y[64];
    static const char *const entries[] = {"plain", "heavy", "look_ahead", "adam"};
    for (int i = 0; i < 4; i++) {
        run(m, entries[i], s, 9, y);
        run(m, entries[i], s, 9, y);
    }
    /* two steps with gradient 2 for the second element, as PyTorch's SGD and AdamW define them */
    assert_float_equal(s[lvt_module_find_state(m, "p")].data[1], 1 - 0.5 * 2 - 0.5 * 2, 1e-12);
    double v = 2 + 0.1 * 1, p = 1 - 0.5 * v;
    v = 0.9 * v + 2 + 0.1 * p;
    p -= 0.5 * v;
    assert_float_equal(s[lvt_module_find_state(m, "q")].data[1], p, 1e-12);
    assert_float_equal(s[lvt_module_find_state(m, "q.velocity")].data[1], v, 1e-12);
    p = 1 - 0.5 * (2 + 0.9 * 2);
    v = 0.9 * 2 + 2;
    p -= 0.5 * (2 + 0.9 * v);
    assert_float_equal(s[lvt_module_find_state(m, "n")].data[1], p, 1e-12);
    p = 1; /* equal gradients: both corrected moments are the gradient and its square */
    for (int i = 0; i < 2; i++)
        p = p * (1 - 0.1 * 0.01) - 0.1 * 2 / (2 + 1e-8);
    assert_float_equal(s[lvt_module_find_state(m, "a")].data[1], p, 1e-12);
    free_states(m, s);
    lvt_module_free(m);
}

/* importance twice, end of the task, then the drift of a changed parameter. */
static void test_drift(void **unused) {
    (void)unused;
    lvt_module *m =
        compile("import \"nn.lvt\"\nmodel m {\n"
                " entry look(x: f32[2]) { param key: f32[2] = 1\n return d = drift(key) at key }\n"
                " entry matter(g: f32[2], w: f32[] = 0.5) { for p in params(\"key\") { "
                "accumulate_importance(p, -g, w) at p } }\n"
                " entry end() { for p in params(\"key\") { consolidate(p) at p } }\n"
                " entry move(x: f32[2]) { for p in params(\"key\") { update p = p - x } }\n}\n");
    lvt_tensor *s = new_states(m);
    double y[64];
    run(m, "look", s, 0, y);
    assert_float_equal(y[0], 0, 0);
    run(m, "matter", s, 0, y);
    run(m, "matter", s, 0, y);
    run(m, "move", s, 0, y);
    run(m, "end", s, 0, y);
    run(m, "look", s, 0, y);
    assert_float_equal(y[0], 0, 0); /* nothing has moved since */
    run(m, "move", s, 0, y);
    run(m, "look", s, 0, y);
    assert_float_equal(y[0], 1 * 1 + 2 * 2, 1e-12); /* importance |-(1, 2)| times a move of (1, 2) */
    assert_float_equal(s[lvt_module_find_state(m, "key.accumulated")].data[1], 0, 0);
    free_states(m, s);
    lvt_module_free(m);
}

static void test_dropout(void **unused) {
    (void)unused;
    lvt_module *m = compile("import \"nn.lvt\"\nmodel m {\n"
                            " training entry t(step: i32[2]) { let x = full([64], 1)\n return a = dropout(x, "
                            "0.25, step), b = dropout(x, 0.25, step) }\n"
                            " entry p(step: i32[2]) { return a = dropout(full([64], 1), 0.25, step) }\n}\n");
    lvt_tensor *s = new_states(m);
    double a[64], b[64];
    assert_int_equal(run(m, "t", s, 0, a), 64);
    run(m, "t", s, 1, b);
    int kept = 0, differ = 0;
    for (int i = 0; i < 64; i++) {
        assert_true(a[i] == 0 || fabs(a[i] - 4.0 / 3) < 1e-12);
        kept += a[i] != 0;
        differ += a[i] != b[i];
    }
    assert_true(kept > 32 && kept < 62); /* 48 are expected, the standard deviation is 3.5 */
    assert_true(differ > 0);             /* each use has its own stream */
    run(m, "p", s, 0, a);
    for (int i = 0; i < 64; i++)
        assert_float_equal(a[i], 1, 0);
    free_states(m, s);
    lvt_module_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layers),     cmocka_unit_test(test_batch_norm),
        cmocka_unit_test(test_attention),  cmocka_unit_test(test_norms_and_convolutions),
        cmocka_unit_test(test_optimisers), cmocka_unit_test(test_drift),
        cmocka_unit_test(test_dropout)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
