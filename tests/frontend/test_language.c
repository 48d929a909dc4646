/* What the model language means: values, scopes, paths and sharing, shapes, settings, imports, states,
 * gradients. Numbers are checked by running the entry on the interpreter. */
#include "helpers.h"

/* The messages of a text that must not compile; the caller frees them. */
static char *refused(const char *text, const char *const *settings, size_t n) {
    lvt_diag *d = lvt_diag_new();
    lvt_module *m = NULL;
    lvt_status status = lvt_compile_text("text.lvt", text, strlen(text), settings, n, "models", &m, d);
    assert_int_equal(status, LVT_USER);
    assert_null(m);
    char *messages = lvt_diag_text(d);
    lvt_diag_free(d);
    return messages;
}

static void test_numbers(void **unused) {
    (void)unused;
    EXPECT("", "", "1 + 2 * 3 - 4", 3);
    EXPECT("", "", "2 ** 3 ** 2", 512);
    EXPECT("", "", "-2 ** 2", -4);
    EXPECT("", "", "7 // 2 + 7 % 2 + -7 // 2 + -7 % 2", 3 + 1 - 4 + 1);
    EXPECT("", "", "6 / 3 + 1.5 / 2", 2.75);
    EXPECT("", "", "2 ** -1 + 2.0 ** 0.5", 0.5 + 1.4142135623730951);
    EXPECT("", "", "int(2.7) + round(2.5) + ceil(2.1) + floor(-0.5) + abs(-3) + min(1, 2) + max([4, 9, 2])",
           2 + 3 + 3 - 1 + 3 + 1 + 9);
    EXPECT("", "", "sqrt(9) + log(exp(2))", 5);
    EXPECT("", "let s = [1, 2, 3] + [4]\nlet n = 0\nfor a in s[1:-1] { n = n * 10 + a }",
           "n + s[-1] * 100 + len(s)", 23 + 400 + 4);
    EXPECT("", "let n = 0\nif 1 < 2 and not 3 == 4 or false { n = 1 } else { n = 2 }", "n", 1);
    EXPECT("", "let n = 0\nif [1, 2] == [1, 2.0] and \"a\" != \"b\" { n = 1 }", "n", 1);
    EXPECT("", "let n = 0\nif false { n = 1 } else if true { n = 2 } else { n = 3 }", "n", 2);
    EXPECT("", "let n = 0\nrepeat 3 as i { repeat 2 as j { n = n + i * j } }", "n", 3);
    EXPECT("", "let n = 0\nfor a, b in zip([1, 2], range(5, 9, 2)) { n = n + a * b }", "n", 5 + 14);
    EXPECT("", "let n = 0\nfor a in range(3, 0, -1) { n = 10 * n + a }", "n", 321);
}

static void test_tensors(void **unused) {
    (void)unused;
    EXPECT("", "", "x + 1", 2, 3, 4, 5, 6, 7);
    EXPECT("", "", "1 - x[0] * 2", -1, -3, -5);
    EXPECT("", "", "x[1:2] / x[0:1]", 4, 2.5, 2);
    EXPECT("", "", "x[-1][1]", 5);
    EXPECT("", "", "sum(x, axes = [1])", 6, 15);
    EXPECT("", "", "mean(x, [0], true) + max(x, axes = [0]) - min(x, axes = [0])", 2.5 + 3, 3.5 + 3, 4.5 + 3);
    EXPECT("", "", "sum([sum(x), mean(x), 2])", 26.5);
    EXPECT("", "", "x @ transpose(x, [1, 0])", 14, 32, 32, 77);
    EXPECT("", "", "reshape(x, [3, 2])[2]", 5, 6);
    EXPECT("", "", "concat([x[0], x[1][0:2]], axis = 0)", 1, 2, 3, 4, 5);
    EXPECT("", "", "concat(x[0], x[1], axis = 0)", 1, 2, 3, 4, 5, 6);
    EXPECT("", "", "select(x > 3, x, 0)", 0, 0, 0, 4, 5, 6);
    EXPECT("", "", "max(x, 3) - min(x, 4)", 2, 1, 0, 0, 1, 2);
    EXPECT("", "", "cast(i // 2, f32)", 0, 1, 1);
    EXPECT("", "", "cast(i % 2 == 1, f32)", 1, 0, 1);
    EXPECT("", "", "cast(iota([2, 2], 1) * 10 + iota([2, 2], 0), f32)", 0, 10, 1, 11);
    EXPECT("", "", "full([2], 3) * rank(x) + numel(x) + dim(x, -1) + shape(x)[0]", 6 + 6 + 3 + 2,
           6 + 6 + 3 + 2);
    EXPECT("", "", "gather(x, i - 1, axis = 1)[1]", 4, 5, 6);
    EXPECT("", "let a, m, v = op.batch_norm(x, full([3], 1), full([3], 0), eps = 0)", "v", 2.25, 2.25, 2.25);
    EXPECT("", "", "-(x ** 2)[0]", -1, -4, -9);
}

static void test_indexing(void **unused) {
    (void)unused;
    EXPECT("", "", "x[:, 0]", 1, 4);
    EXPECT("", "", "x[..., 1:3]", 2, 3, 5, 6);
    EXPECT("", "", "x[..., -1]", 3, 6);
    EXPECT("", "", "x[1, :]", 4, 5, 6);
    EXPECT("", "", "x[1, 2]", 6);
    EXPECT("", "", "x[1, ...]", 4, 5, 6);
    EXPECT("", "", "x[:, :-1]", 1, 2, 4, 5);
    EXPECT("", "", "x[:, -2:]", 2, 3, 5, 6);
    EXPECT("", "", "x[:, ::2]", 1, 3, 4, 6);
    EXPECT("", "", "x[0, 1::1]", 2, 3);
    EXPECT("", "", "x[:][...][:, :]", 1, 2, 3, 4, 5, 6);
    EXPECT("", "", "x[0:1, 2:3] * rank(x[0:1, 2:3]) + rank(x[0, 2])", 6);
    EXPECT("", "let t = reshape(concat([x, x + 6], axis = 0), [2, 2, 3])", "t[:, 1, 0]", 4, 10);
    EXPECT("", "let t = reshape(concat([x, x + 6], axis = 0), [2, 2, 3])", "t[1, ..., 1:]", 8, 9, 11, 12);
    EXPECT("", "let t = reshape(concat([x, x + 6], axis = 0), [2, 2, 3])", "t[:,\n 0,\n -1,]", 3, 9);
    EXPECT("", "let s = [1, 2, 3, 4, 5]",
           "sum(s[::2]) * 1000 + s[::-1][0] * 100 + len(s[3:0:-2]) * 10 + s[-5:][4]", 9000 + 500 + 20 + 5);
    EXPECT("", "let s = [1, 2, 3]", "len(s[1:1]) + len(s[:]) + s[2:1:-1][0] + len(s[::9223372036854775807])",
           0 + 3 + 3 + 1);
    /* a whole dim makes no node, and rows are what they always were: one slice, one reshape */
    lvt_module *m = one("", "", "x[:, :]"), *n = one("", "", "x[0]");
    assert_int_equal(lvt_module_find_entry(m, "e")->n_nodes, 2);
    assert_int_equal(lvt_module_find_entry(n, "e")->n_nodes, 4);
    lvt_module_free(m);
    lvt_module_free(n);
}

/* Texts of any length stay whole: messages, settings, `+`. */
static void test_long_texts(void **unused) {
    (void)unused;
    char value[700], set[720], text[2000];
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = 0;
    snprintf(set, sizeof set, "name=%s", value);
    const char *const given[] = {set, "list=[1,2,3,4,5,6,7,8,9,10,11]", "words=[\"a b\", \"c\\\"d\"]"};
    lvt_module *m = compile_with(
        "model m(name = \"\", list = [], words = [\"\"]) { entry e(x: f32[2]) { let t = name + name\n "
        "return y = x } }",
        given, 3);
    assert_string_equal(m->settings[0].value, value);
    assert_string_equal(m->settings[1].value, "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]");
    assert_string_equal(m->settings[2].value, "[\"a b\", \"c\\\"d\"]");
    lvt_module_free(m);
    snprintf(text, sizeof text, "model m { entry e(x: f32[2]) { assert(false, \"%s\")\n return y = x } }",
             value);
    char *messages = refused(text, NULL, 0);
    assert_non_null(strstr(messages, value));
    free(messages);
    snprintf(
        text, sizeof text,
        "model m { entry e(x: f32[2]) { let t = \"%s\"\n repeat 20 as i { t = t + t }\n return y = x } }",
        value);
    messages = refused(text, NULL, 0);
    assert_non_null(strstr(messages, "error E307: a text may have at most"));
    free(messages);
}

static void test_blocks(void **unused) {
    (void)unused;
    EXPECT("block f(a, b = 2) { return a * b }", "", "f(3) + f(b = 5, a = 1) + f(1, 1)", 12);
    EXPECT("block f(a) { return a, a + 1 }", "let p, q = f(1)\np, q = f(q)", "p * 10 + q", 23);
    EXPECT("block f(a) { return first = a,\n  second = a + 1 }", "let p,\n q = [1,\n 2]",
           "f(1).second * 10 + q", 22);
    EXPECT("block f(a) { return first = a, second = a + 1 }", "let t = f(1)", "t.second * 10 + t.first", 21);
    EXPECT("block f(a) { if a > 1 { return 1 }\n return 2 }", "", "f(1) * 10 + f(2)", 21);
    EXPECT("block f(a) { repeat 5 as i { if i == a { return i } } }", "", "f(3)", 3);
    EXPECT("block f(g, a) { return g(a) }\nblock h(a) { return a + 1 }", "", "f(h, 1) + sum(f(gelu, x * 0))",
           2);
    EXPECT("block f(x: [B, ..., C]) { return B * 10 + C }", "", "f(x) + f(reshape(x, [3, 2, 1]))", 23 + 31);
    EXPECT("block f(s: f32[]) { return s * 2 }", "", "f(3) + f(sum(x))", 6 + 42);
    EXPECT("let k = 3\nblock f(a) { return a * k }",
           "let a = f(2)\nif true { a = a + 1\n let b = 5\n a = a + b }", "a", 12);
    EXPECT("block mean2(x) { let mean = mean(x)\n return mean }", "", "mean2(x)", 3.5);
    EXPECT("block gelu(x) { return op.gelu(x) + 1 }", "", "gelu(0.0 * x[0])", 1, 1, 1);
}

static const lvt_state *state(const lvt_module *m, const char *path) {
    uint32_t i = lvt_module_find_state(m, path);
    if (i == LVT_NONE)
        print_error("there is no %s\n", path);
    assert_int_not_equal(i, LVT_NONE);
    return &m->states[i];
}

static void test_paths(void **unused) {
    (void)unused;
    lvt_module *m = compile("block leaf(x, v = 1) { param w: f32[] = v\n return x * w }\n"
                            "block pair(x) { let a = leaf(x)\n return leaf(a) as named[3].b }\n"
                            "model m {\n"
                            " entry one(x: f32[2]) {\n"
                            "  let y = pair(x)\n"
                            "  y = leaf(y)\n"
                            "  repeat 2 as i { y = leaf(y) as stage[i]\n let z = leaf(y)\n repeat 1 as j { y "
                            "= leaf(z)\n param p: f32[] = 2 } }\n"
                            "  y = pair(y) as twice\n"
                            "  y = pair(y) as twice\n"
                            "  y = leaf(y) as _\n"
                            "  for p in params(\"twice.*\") { y = leaf(y, 7) at p }\n"
                            "  return y = y\n }\n"
                            " entry two(x: f32[2]) { let y = pair(x)\n for p in params(\"stage.?.w\", \"w\") "
                            "{ y = y + p }\n return y = y }\n"
                            "}\n");
    static const char *const paths[] = {"y.a.w",
                                        "y.named.3.b.w",
                                        "leaf.w",
                                        "stage.0.w",
                                        "stage.1.w",
                                        "z.0.w",
                                        "z.1.w",
                                        "leaf.0.0.w",
                                        "leaf.1.0.w",
                                        "p.0.0",
                                        "p.1.0",
                                        "twice.a.w",
                                        "twice.named.3.b.w",
                                        "w",
                                        "twice.a.w.w",
                                        "twice.named.3.b.w.w"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        assert_true(state(m, paths[i])->trainable);
    assert_int_equal(m->n_states, sizeof paths / sizeof *paths);
    assert_float_equal(state(m, "twice.a.w.w")->init.a, 7, 0);
    /* entry two: y = 1 * 1 * x + 1 + 1 + 1 */
    lvt_tensor *s = new_states(m);
    double y[64];
    assert_int_equal(run(m, "two", s, 0, y), 2);
    assert_float_equal(y[0], 4, 0);
    assert_float_equal(y[1], 5, 0);
    free_states(m, s);
    lvt_module_free(m);
}

static void test_initialisers(void **unused) {
    (void)unused;
    lvt_module *m = compile("model m { entry e(x: f32[]) {\n param a: f32[2] = normal(0.5)\n param b: f32[2] "
                            "= truncated_normal(0.02)\n"
                            " param c: f32[2] = uniform(-1, 2)\n param d: f32[2] = kaiming_uniform(16)\n "
                            "param e: f32[2] = kaiming_normal(8)\n"
                            " state f: like(a) = 3\n state g: i32[1] = 4\n return y = x } }");
    static const struct {
        const char *name;
        lvt_init_kind kind;
        double a, b;
    } rows[] = {{"a", LVT_INIT_NORMAL, 0, 0.5}, {"b", LVT_INIT_TRUNCATED_NORMAL, 0, 0.02},
                {"c", LVT_INIT_UNIFORM, -1, 2}, {"d", LVT_INIT_UNIFORM, -0.25, 0.25},
                {"e", LVT_INIT_NORMAL, 0, 0.5}, {"f", LVT_INIT_CONSTANT, 3, 0},
                {"g", LVT_INIT_CONSTANT, 4, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const lvt_state *s = state(m, rows[i].name);
        assert_int_equal(s->init.kind, rows[i].kind);
        assert_float_equal(s->init.a, rows[i].a, 1e-15); /* one rounding of sqrt */
        assert_float_equal(s->init.b, rows[i].b, 1e-15);
        assert_int_equal(s->trainable, i < 5);
    }
    lvt_module_free(m);
}

static void test_updates(void **unused) {
    (void)unused;
    lvt_module *m =
        compile("model m {\n training entry t(x: f32[3]) { state s: f32[3] = 1\n state n: i32[] = 0\n"
                "  update s = 2 * s + x\n update n = n + 1\n return s = s }\n"
                " entry clear() { state s: f32[3] = 1\n update s = 0 }\n}\n");
    lvt_tensor *s = new_states(m);
    double y[64];
    run(m, "t", s, 0, y);
    run(m, "t", s, 0, y);
    assert_float_equal(y[2], 5, 0); /* the old value: 2 * 1 + 3 */
    assert_float_equal(s[0].data[2], 13, 0);
    assert_float_equal(s[1].data[0], 2, 0);
    run(m, "clear", s, 0, y);
    assert_float_equal(s[0].data[2], 0, 0);
    free_states(m, s);
    lvt_module_free(m);
}

static const lvt_node *find_op(const lvt_graph *g, lvt_op op) {
    for (uint32_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op == op)
            return &g->nodes[i];
    return NULL;
}

static void test_minimize(void **unused) {
    (void)unused;
    static const char text[] =
        "import \"nn.lvt\"\nmodel m(momentum = 0.0) {\n training entry t(x: f32[3], lr: f32[] = 0.1, clip: "
        "f32[] = 5) {\n"
        "  param key: f32[3] = 1\n param other: f32[3] = 2\n param unused: f32[3] = 3\n param fixed: f32[3] "
        "= 4\n"
        "  let loss = sum(x * key * other * stop_gradient(fixed))\n"
        "  minimize loss with sgd(lr = lr, momentum = momentum), clip = clip\n return loss = loss }\n"
        " training entry k(x: f32[3]) { param key: f32[3] = 1\n param other: f32[3] = 2\n"
        "  minimize sum(x * key * other) with sgd(lr = 1), over = [\"k*\"] }\n}\n";
    const char *const momentum[] = {"momentum=0.9"};
    lvt_module *m = compile(text);
    const lvt_graph *g = lvt_module_find_entry(m, "t");
    const lvt_node *gradient = find_op(g, LVT_OP_gradient);
    assert_non_null(gradient);
    assert_int_equal(gradient->n_operands, 3); /* the loss, key, other */
    assert_int_equal(g->n_updates, 2);
    assert_string_equal(m->states[g->updates[0].state].name, "key");
    assert_true(g->training);
    assert_int_equal(lvt_module_find_entry(m, "k")->n_updates, 1);
    assert_int_equal(m->n_states, 4);
    /* the update is of role UPDATE and knows its line and, as parent, the line of minimize */
    const lvt_node *node = lvt_value_node(g, g->updates[0].value);
    assert_int_equal(node->role, LVT_UPDATE);
    assert_string_equal(lvt_module_pos(m, node->loc).file, "models/nn.lvt");
    assert_int_equal(lvt_module_pos(m, lvt_module_outermost(m, node->loc)).line, 9);
    lvt_module_free(m);
    m = compile_with(text, momentum, 1);
    assert_int_equal(lvt_module_find_entry(m, "t")->n_updates, 4);
    assert_false(state(m, "key.velocity")->trainable);
    lvt_module_free(m);
}

static void test_settings(void **unused) {
    (void)unused;
    static const char text[] = "model m(width = 4, depth = width // 2, rate = 0.5, name = \"a\", sizes = "
                               "[1], deep = false, free = none) {\n"
                               " entry e(x: f32[width]) { let n = 0\n if deep { n = 1 }\n if name == \"b c\" "
                               "{ n = n + 2 }\n if free == \"q\" { n = n + 4 }\n"
                               " return y = x + depth + rate + sum(sizes) + n } }";
    const char *const given[] = {"width=9",      "width=6",   "rate=2", "name=b c",
                                 "sizes=[4, 5]", "deep=true", "free=q"};
    lvt_module *m = compile_with(text, given, 7);
    lvt_tensor *s = new_states(m);
    double y[64];
    assert_int_equal(run(m, "e", s, 0, y), 6);
    assert_float_equal(y[0], 1 + 3 + 2 + 9 + 7, 0);
    free_states(m, s);
    static const char *const want[][2] = {{"width", "6"},  {"depth", "3"},      {"rate", "2.0"},
                                          {"name", "b c"}, {"sizes", "[4, 5]"}, {"deep", "true"},
                                          {"free", "q"}};
    assert_int_equal(m->n_settings, 7);
    for (uint32_t i = 0; i < 7; i++) {
        assert_string_equal(m->settings[i].name, want[i][0]);
        assert_string_equal(m->settings[i].value, want[i][1]);
    }
    assert_string_equal(m->name, "m");
    lvt_module_free(m);
    const char *const wrong[] = {"wdth=3"};
    char *messages = refused(text, wrong, 1);
    assert_non_null(strstr(messages, "did you mean 'width'?"));
    assert_non_null(strstr(messages, "width, depth, rate"));
    free(messages);
}

static void test_entries(void **unused) {
    (void)unused;
    lvt_module *m = compile("block b(x) { if training { return x * 2 }\n return x }\n"
                            "model m {\n training entry t(x: f32[2], lr: f32[] = 0.5, n: i32[2]) { return "
                            "loss = b(x), n = n, three = 3 }\n"
                            " entry p(x: f32[2]) { return y = b(x) }\n"
                            " entry l(x: f32[2]) { return a = [], y = [b(x), x + 1], z = x } }");
    const lvt_graph *g = lvt_module_find_entry(m, "t");
    assert_int_equal(g->n_inputs, 3);
    assert_true(g->inputs[1].has_default && !g->inputs[0].has_default);
    assert_float_equal(g->inputs[1].default_value, 0.5, 0);
    assert_int_equal(lvt_value_type(g, g->inputs[2].value)->dtype, LVT_I32);
    assert_int_equal(g->n_outputs, 3);
    assert_string_equal(g->outputs[2].name, "three");
    double y[64];
    lvt_tensor *s = new_states(m);
    run(m, "t", s, 0, y);
    assert_float_equal(y[1], 4, 0);
    run(m, "p", s, 0, y);
    assert_float_equal(y[1], 2, 0);
    g = lvt_module_find_entry(m, "l"); /* a list is one output an item */
    assert_int_equal(g->n_outputs, 3);
    assert_string_equal(g->outputs[0].name, "y.0");
    assert_string_equal(g->outputs[1].name, "y.1");
    run(m, "l", s, 1, y);
    assert_float_equal(y[1], 3, 0);
    free_states(m, s);
    lvt_module_free(m);
}

static void test_missing_file(void **unused) {
    (void)unused;
    lvt_diag *d = lvt_diag_new();
    lvt_module *m = (lvt_module *)d;
    assert_int_equal(lvt_compile_file("no/such.lvt", NULL, 0, NULL, &m, d), LVT_IO);
    assert_null(m);
    char *text = lvt_diag_text(d);
    assert_non_null(strstr(text, "cannot read no/such.lvt: No such file"));
    free(text);
    lvt_diag_free(d);
    assert_int_equal(lvt_compile_text("x", "model m {", 9, NULL, 0, NULL, &m, NULL), LVT_USER);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),      cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_indexing),     cmocka_unit_test(test_long_texts),
        cmocka_unit_test(test_blocks),       cmocka_unit_test(test_paths),
        cmocka_unit_test(test_initialisers), cmocka_unit_test(test_updates),
        cmocka_unit_test(test_minimize),     cmocka_unit_test(test_settings),
        cmocka_unit_test(test_entries),      cmocka_unit_test(test_missing_file)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
