/* The blocks of models/nn.lvt against numbers worked out by hand. Random initial values are 0.25 here. */
#include "helpers.h"
#include "passes/pass.h"

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
           "inter_task_attention(t, 2, 2, 1, 3, 2).out", 8, same);
    expect("import \"nn.lvt\"", "let t = concat([reshape(x, [1, 2, 3]), reshape(x, [1, 2, 3])], axis = 1)",
           "inter_task_attention(t, 2, 2, 1, 3, 2, step = 2, norm = \"batch_norm\").out", 2, same);
    /* and its map: equal weights, which add up to 1 */
    double quarter[4] = {0.25, 0.25, 0.25, 0.25};
    expect("import \"nn.lvt\"", "let t = concat([reshape(x, [1, 2, 3]), reshape(x, [1, 2, 3])], axis = 1)",
           "inter_task_attention(t, 2, 2, 1, 3, 2, step = 2).map", 4, quarter);
}

static void test_norms_and_convolutions(void **unused) {
    (void)unused;
    double s = sqrt(2.0 / 3 + 1e-5);
    EXPECT("import \"nn.lvt\"", "", "layer_norm(x)", -1 / s, 0, 1 / s, -1 / s, 0, 1 / s);
    /* two pixels of three channels, each channel by itself; then all six numbers together */
    double g = 1.5 / sqrt(2.25 + 1e-5), t = 1 / sqrt(35.0 / 12 + 1e-5);
    EXPECT("import \"nn.lvt\"", "let p = reshape(x, [1, 1, 2, 3])", "group_norm(p, groups = 3)", -g, -g, -g,
           g, g, g);
    EXPECT("import \"nn.lvt\"", "let p = reshape(x, [1, 1, 2, 3])", "group_norm(p, groups = 1)", -2.5 * t,
           -1.5 * t, -0.5 * t, 0.5 * t, 1.5 * t, 2.5 * t);
    EXPECT("import \"nn.lvt\"", "", "hard_swish(x * 2 - 7)", 0, 0, -1.0 / 3, 2.0 / 3, 3, 5);
    /* a row of three to six places, and back by leaving out */
    EXPECT("import \"nn.lvt\"", "let p = reshape(x[0], [1, 1, 3, 1])", "resize(p, 1, 6)", 1, 1.25, 1.75, 2.25,
           2.75, 3);
    EXPECT("import \"nn.lvt\"", "let p = reshape(x, [1, 1, 6, 1])", "resize(p, 1, 3)", 1.5, 3.5, 5.5);
    EXPECT("import \"nn.lvt\"", "", "drop_path(x, 0.5)", 1, 2, 3, 4, 5, 6); /* not in training */
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

/* Labels of two classes and smoothed ones, against PyTorch 2.15's cross_entropy in f64 with probabilities and
 * label_smoothing, and binary_cross_entropy_with_logits. The logits are x * x / 4. */
static void test_soft_labels(void **unused) {
    (void)unused;
#define NN "import \"nn.lvt\"\nimport \"methods.lvt\""
#define GIVEN                                                                                                \
    "let z = x * x / 4\nlet y = cast(i[0:2] * 2 - 2, i32)\nlet y2 = i[0:2]\nlet all = x[0] * 0 + 1\n"        \
    "let mix = concat([all[0:1] * 0.7, all[0:1] * 0.25], axis = 0)\nlet s = sum(all) * 0.2 / 3\n"
    /* inputs are 1, 2, 3: y = 0, 2 and y2 = 1, 2 */
    EXPECT(NN, GIVEN, "cast(y, f32)", 0, 2);
    EXPECT(NN, GIVEN, "masked_cross_entropy(z, soft_labels(y, smoothing = s), all)", 1.3767829513759506);
    EXPECT(NN, GIVEN, "masked_cross_entropy(z, soft_labels(y, y2, mix, none), all)", 1.0976162847092839);
    EXPECT(NN, GIVEN, "masked_cross_entropy(z, soft_labels(y, y2, mix, s), all)", 1.2867829513759503);
    EXPECT(NN, GIVEN, "yes_or_no(z, yes_or_no_shares(soft_labels(y, y2, mix, s), 3), all)",
           6.9523047948127825);
    /* Class 1 was not seen: nothing of a label goes there. PyTorch: the loss of columns 0 and 2 alone. */
    EXPECT(NN, GIVEN "let seen = cast(i != 2, f32)",
           "masked_cross_entropy(z, soft_labels(y, smoothing = s), seen)", 1.2168216797660454);
    /* No smoothing and no mixing are the plain loss. */
    EXPECT(
        NN, GIVEN,
        "masked_cross_entropy(z, soft_labels(y, y2, mix * 0 + 1, s * 0), all) - masked_cross_entropy(z, y, "
        "all)",
        0);
    EXPECT(NN, GIVEN, "classes_of(soft_labels(y, y2, mix, s), 4)", 1, 1, 1, 0);
    EXPECT(NN, GIVEN, "classes_of(soft_labels(y, smoothing = s), 4)", 1, 0, 1, 0);
    EXPECT(NN, GIVEN, "classes_of(soft_labels(y), 4)", 1, 0, 1, 0);
}

/* Gradients are nodes of their own until the pass autodiff. */
static lvt_module *differentiated(const char *text, const char *const *settings, size_t n) {
    lvt_module *m = compile_with(text, settings, n);
    lvt_diag *d = lvt_diag_new();
    lvt_compiled *whole = NULL;
    assert_int_equal(lvt_compile(m, &(lvt_compile_options){.stop_after = "autodiff"}, &whole, d), LVT_OK);
    assert_null(whole);
    lvt_diag_free(d);
    return m;
}

/* The gradient of soft cross entropies, among seen classes and not, against central differences in f64. */
static void test_soft_gradient(void **unused) {
    (void)unused;
    static const char *const losses[] = {"masked_cross_entropy(w, labels, mask)",
                                         "yes_or_no(w, yes_or_no_shares(labels, 4), mask)"};
    for (int l = 0; l < 2; l++) {
        char text[1000];
        snprintf(text, sizeof text,
                 "%s\nmodel m {\n training entry e(y: i32[2], y2: i32[2], mix: f32[2], s: f32[] = 0.3) {\n"
                 "  param w: f32[2, 4] = normal(1)\n  let mask = cast(iota([4], 0) != 3, f32)\n"
                 "  let labels = soft_labels(y - 1, y2, mix * 0.3, s)\n  let loss = %s\n"
                 "  let gs = grad(loss, of = params(\"w\"))\n  return loss = loss, g = gs[0]\n }\n}\n",
                 NN, losses[l]);
        lvt_module *m = differentiated(text, NULL, 0);
        lvt_tensor *s = new_states(m);
        double *w = s[lvt_module_find_state(m, "w")].data, g[64], low[64], high[64];
        for (int i = 0; i < 8; i++)
            w[i] = sin(3.0 * i + 1); /* none is 0, where max(z, 0) has a kink */
        assert_int_equal(run(m, "e", s, 1, g), 8);
        for (int i = 0; i < 8; i++) {
            double h = 1e-5, at = w[i];
            w[i] = at + h;
            run(m, "e", s, 0, high);
            w[i] = at - h;
            run(m, "e", s, 0, low);
            w[i] = at;
            /* central differences: error h^2 times a third derivative below 1 */
            assert_float_equal(g[i], (high[0] - low[0]) / (2 * h), 1e-9);
            assert_true(i % 4 != 3 || g[i] == 0); /* the class that is not in question */
        }
        free_states(m, s);
        lvt_module_free(m);
    }
}

/* The optimiser is a setting: step_by is sgd or adamw; its states lie beside the parameter. */
static void test_choice_of_optimiser(void **unused) {
    (void)unused;
    static const char text[] =
        "import \"nn.lvt\"\nmodel m(optimizer = \"sgd\", momentum = 0.0) {\n"
        " training entry e(x: f32[2], clip: f32[] = 0, lr: f32[] = usual_rate(optimizer)) {\n"
        "  param p: f32[2] = 1\n  let loss = sum(p * x)\n"
        "  descend(loss, optimizer, lr, clip, momentum, false, 0.5) as _\n  return loss = loss\n }\n}\n";
    static const char *const adam[] = {"optimizer=adamw"}, *const heavy[] = {"momentum=0.9"};
    double y[64];
    for (int i = 0; i < 3; i++) {
        lvt_module *m = differentiated(text, i == 1 ? adam : heavy, i > 0);
        lvt_tensor *s = new_states(m);
        run(m, "e", s, 0, y);
        double g = 2, want = i == 1 ? 1 * (1 - 0.001 * 0.5) - 0.001 * g / (g + 1e-8) : 1 - 0.1 * (g + 0.5);
        assert_float_equal(s[lvt_module_find_state(m, "p")].data[1], want, 1e-12);
        assert_int_equal(lvt_module_find_state(m, "p.first") != LVT_NONE, i == 1);
        assert_int_equal(lvt_module_find_state(m, "p.velocity") != LVT_NONE, i == 2);
        free_states(m, s);
        lvt_module_free(m);
    }
}

/* An input with a condition is there when that is true. */
static void test_conditional_input(void **unused) {
    (void)unused;
    static const char text[] =
        "model m(soft = false) {\n entry e(x: f32[2], k: f32[] = 3 if soft and true) {\n"
        "  if is_tensor(k) { return y = x * k }\n  return y = x\n }\n}\n";
    static const char *const soft[] = {"soft=true"};
    double y[64];
    for (uint32_t i = 0; i < 2; i++) {
        lvt_module *m = compile_with(text, soft, i);
        lvt_tensor *s = new_states(m);
        run(m, "e", s, 0, y);
        assert_int_equal(lvt_module_find_entry(m, "e")->n_inputs, 1 + i);
        assert_true(y[1] == (i ? 6 : 2));
        free_states(m, s);
        lvt_module_free(m);
    }
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

/* The entry's input `step` is found, or made; either way the numbers are those of a step that is handed on. */
static void test_implicit_step(void **unused) {
    (void)unused;
    lvt_module *m = compile(
        "import \"nn.lvt\"\n"
        "block inner(x) { return dropout(x, 0.5) }\n"
        "model m {\n training entry given(step: i32[2]) { return a = dropout(full([64], 1), 0.5, step) }\n"
        " training entry found(x: f32[2], step: i32[2]) { return a = inner(full([64], 1)) }\n"
        " training entry made(x: f32[2]) { let a = inner(full([64], 1))\n let b = inner(x)\n return a = a, b "
        "= b }\n"
        " entry none_needed(x: f32[2]) { return a = inner(x) }\n"
        " training entry by_hand() { return a = random_uniform(random_key(), shape = [4], stream = stream()) "
        "}\n}\n");
    lvt_tensor *s = new_states(m);
    double a[64], b[64];
    assert_int_equal(run(m, "given", s, 0, a), 64);
    run(m, "found", s, 0, b);
    assert_memory_equal(a, b, sizeof a);
    run(m, "made", s, 0, b);
    assert_memory_equal(a, b, sizeof a);
    const lvt_graph *g = lvt_module_find_entry(m, "made");
    assert_int_equal(g->n_inputs, 2); /* one for both uses */
    assert_string_equal(g->inputs[1].name, "step");
    assert_int_equal(lvt_module_find_entry(m, "found")->n_inputs, 2);
    assert_int_equal(lvt_module_find_entry(m, "none_needed")->n_inputs, 1);
    assert_int_equal(lvt_module_find_entry(m, "by_hand")->n_inputs, 1);
    char *text = lvt_print_module(m, NULL), *text2;
    lvt_module *again = NULL;
    assert_int_equal(lvt_read_module("printed", text, strlen(text), &again, NULL), LVT_OK);
    text2 = lvt_print_module(again, NULL);
    assert_string_equal(text, text2);
    free(text);
    free(text2);
    lvt_module_free(again);
    free_states(m, s);
    lvt_module_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_layers),
                                       cmocka_unit_test(test_batch_norm),
                                       cmocka_unit_test(test_attention),
                                       cmocka_unit_test(test_norms_and_convolutions),
                                       cmocka_unit_test(test_soft_labels),
                                       cmocka_unit_test(test_soft_gradient),
                                       cmocka_unit_test(test_choice_of_optimiser),
                                       cmocka_unit_test(test_conditional_input),
                                       cmocka_unit_test(test_optimisers),
                                       cmocka_unit_test(test_drift),
                                       cmocka_unit_test(test_dropout),
                                       cmocka_unit_test(test_implicit_step)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
