/* Records, ambient names, and contracts: which value a setting has, what entries a contract brings and where
 * they say they are, what settings mean. */
#include "helpers.h"

static void test_records(void **unused) {
    (void)unused;
    EXPECT("", "let r = record(a = 1, b = 2)", "full([2], r.a * 10 + r.b)", 12, 12);
    EXPECT("", "let r = record(record(a = 1, b = 2), b = 5, c = 7)", "full([1], r.a * 100 + r.b * 10 + r.c)",
           157);
    EXPECT("block f(x) { return a = x, b = 2 }", "let r = record(f(1), a = 3)", "full([1], r.a * 10 + r.b)",
           32);
    EXPECT("let usual = record(f = relu)\nlet other = record(usual, f = square)", "",
           "usual.f(x[0] - 2) + other.f(x[0])", 1, 4, 10);
    EXPECT("", "let r = record(inputs(), x = x * 2)", "r.x[0]", 2, 4, 6);
    /* has and kind */
    EXPECT("", "let v = 0\nif has(record(a = 1), \"a\") { v = 1 }\nif has(3, \"a\") { v = 2 }",
           "full([1], v)", 1);
    EXPECT(
        "block f(x) { return x }\nblock all(list, kinds) { let n = 0\n for v, k in zip(list, kinds) {\n"
        " if kind(v) == k { n = n + 1 } }\n return n }",
        "let r = record()",
        "full([1], all([1, 1.5, true, \"a\", f32, [1], f, relu, r, x, none, normal(1)], [\"int\", \"float\", "
        "\"bool\", \"text\", \"type\", \"list\", \"block\", \"block\", \"record\", \"tensor\", \"none\", "
        "\"initialiser\"]))",
        12);
    /* none, against any value */
    EXPECT("",
           "let v = 0\nif x != none { v = v + 1 }\nif not (none == x) { v = v + 2 }\nif none == none { v = v "
           "+ 4 }",
           "full([1], v)", 7);
}

static void test_ambient(void **unused) {
    (void)unused;
#define DEPTH                                                                                                \
    "ambient depth = 1\nblock inner(d = depth) { return d }\nblock outer() { return inner() as _ }\n"
    EXPECT(DEPTH, "let a = outer()\nlet b = 0\nwith depth = 2 { b = outer() }",
           "full([1], a * 100 + b * 10 + outer())", 121);
    /* one inside another, and the outer one again */
    EXPECT(DEPTH,
           "let a = 0\nlet b = 0\nwith depth = 2 {\n with depth = depth + 1 { a = outer() }\n b = outer() }",
           "full([1], a * 10 + b)", 32);
    /* a body that returns puts it back */
    EXPECT(DEPTH "block leave() { with depth = 9 { return outer() } }", "let a = leave()",
           "full([1], a * 10 + outer())", 91);
    EXPECT(DEPTH, "let a = 0\nlet b = 0\nwith depth = 5 { a = inner(d = 3)\n b = depth }",
           "full([1], a * 10 + b)", 35);
}

static void test_optional_params(void **unused) {
    (void)unused;
    EXPECT("", "let ps = params(\"*.key\", optional = true)", "full([1], len(ps))", 0);
    EXPECT("block f(x) { param key: f32[3] = 2\n return x * key }", "let y = f(x)\n",
           "full([1], len(params(\"*.key\", \"*.none\", optional = true)))", 1);
}

static const char contract[] = "contract looks(scale, n = 1, ways = record()) {\n"
                               "    setting rows = 2       # how many: \"#\" is\n"
                               "                           # no comment in text\n"
                               "    setting name = \"a#b\"\n"
                               "    # what is multiplied with\n"
                               "    setting by = 1.5\n"
                               "    let twice = rows * 2\n"
                               "    entry look(x: f32[rows], ...ways) {\n"
                               "        let s = record(settings(), inputs())\n"
                               "        let y = scale(s.x) * s.by * n\n"
                               "        if has(s, \"tau\") { y = y * s.tau }\n"
                               "        return y = y, rows = full([1], twice)\n"
                               "    }\n"
                               "}\n";

static const char *value_of(const lvt_module *m, const char *name) {
    for (uint32_t i = 0; i < m->n_settings; i++)
        if (!strcmp(m->settings[i].name, name))
            return m->settings[i].value;
    return NULL;
}

/* What is weaker gives way: the default, the model's own setting or what `use` says, --set. */
static void test_precedence(void **unused) {
    (void)unused;
    static const struct {
        const char *head, *use, *set, *rows;
    } cases[] = {
        {"", "", NULL, "2"},
        {"", ", rows = 3", NULL, "3"},
        {"(rows = 4)", "", NULL, "4"},
        {"", ", rows = 3", "rows=5", "5"},
        {"(rows = 4)", "", "rows=5", "5"},
        {"", "", "rows=5", "5"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[2000];
        snprintf(text, sizeof text, "%smodel m%s {\n block scale(x) { return x }\n use looks(scale%s)\n}\n",
                 contract, cases[i].head, cases[i].use);
        lvt_module *m = compile_with(text, &cases[i].set, cases[i].set != NULL);
        assert_string_equal(value_of(m, "rows"), cases[i].rows);
        assert_string_equal(value_of(m, "by"), "1.5");
        assert_int_equal(m->n_settings, 3); /* the model's own and the contract's are one */
        const lvt_graph *g = lvt_module_find_entry(m, "look");
        assert_int_equal(lvt_value_type(g, g->inputs[0].value)->dim[0], atoi(cases[i].rows));
        double y[64];
        lvt_tensor *s = new_states(m);
        assert_int_equal(run(m, "look", s, 1, y), 1);
        assert_true(y[0] == 2 * atoi(cases[i].rows));
        free_states(m, s);
        lvt_module_free(m);
    }
}

/* A contract sees blocks that it is given with what they see themselves; fields of a record become inputs; entries,
 * inputs and outputs are where the contract is used, nodes where they are written. */
static void test_entries(void **unused) {
    (void)unused;
    char text[2000];
    snprintf(text, sizeof text,
             "%smodel m(width = 7) {\n block scale(x) {\n  param w: f32[] = 3\n  return x * w + width\n }\n"
             " use looks(scale, n = 2, by = 2, ways = record(tau = 0.5, sigma = 4))\n}\n",
             contract);
    lvt_module *m = compile(text);
    const lvt_graph *g = lvt_module_find_entry(m, "look");
    double y[64];
    lvt_tensor *s = new_states(m);
    assert_int_equal(run(m, "look", s, 0, y), 2);
    assert_float_equal(y[1], (2 * 3 + 7) * 2 * 2 * 0.5, 1e-12);
    free_states(m, s);
    assert_int_equal(g->n_inputs, 3);
    assert_string_equal(g->inputs[1].name, "tau");
    assert_true(g->inputs[2].has_default && g->inputs[2].default_value == 4);
    assert_string_equal(value_of(m, "by"), "2.0"); /* of the kind of the default */
    assert_int_equal(lvt_module_pos(m, g->loc).line, 20);
    assert_int_equal(lvt_module_pos(m, g->inputs[0].loc).line, 20);
    assert_int_equal(lvt_module_pos(m, g->inputs[2].loc).line, 20);
    assert_int_equal(lvt_module_pos(m, g->outputs[0].loc).line, 20);
    assert_int_equal(lvt_module_pos(m, m->states[0].loc).line, 17);
    assert_string_equal(m->states[0].name, "scale.w"); /* as if the entry stood in the model */
    lvt_module_free(m);
}

static void test_list(void **unused) {
    (void)unused;
    char path[] = "/tmp/lvt-contract-XXXXXX.lvt";
    int file = mkstemps(path, 4);
    assert_true(file >= 0);
    FILE *f = fdopen(file, "w");
    fprintf(f,
            "%smodel m(width = 7, # of all layers\n   depth = [1, 2]) {\n block scale(x) { return missing }\n"
            " use looks(scale, by = 2)\n}\n",
            contract);
    fclose(f);
    const char *const set[] = {"rows=9"};
    lvt_setting_list list;
    lvt_diag *d = lvt_diag_new();
    assert_int_equal(lvt_list_settings(path, set, 1, "models", &list, d), LVT_OK); /* no entry is compiled */
    static const struct {
        const char *name, *value, *usual, *owner, *meaning;
        uint32_t line;
    } want[] = {
        {"width", "7", "7", "m", "of all layers", 15},
        {"depth", "[1, 2]", "[1, 2]", "m", "", 16},
        {"rows", "9", "2", "looks", "how many: \"#\" is no comment in text", 2},
        {"name", "a#b", "a#b", "looks", "", 4},
        {"by", "2.0", "2.0", "looks", "what is multiplied with", 6},
    };
    assert_int_equal(list.n, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(list.items[i].name, want[i].name);
        assert_string_equal(list.items[i].value, want[i].value);
        assert_string_equal(list.items[i].usual, want[i].usual);
        assert_string_equal(list.items[i].owner, want[i].owner);
        assert_string_equal(list.items[i].meaning, want[i].meaning);
        assert_string_equal(list.items[i].file, path);
        assert_int_equal(list.items[i].line, want[i].line);
    }
    lvt_setting_list_free(&list);
    static const char *const wrong[] = {"rwos=9"};
    assert_int_equal(lvt_list_settings(path, wrong, 1, "models", &list, d), LVT_USER);
    assert_int_equal(list.n, 0);
    char *words = lvt_diag_text(d);
    assert_non_null(strstr(words, "did you mean 'rows'?"));
    assert_non_null(strstr(words, "its settings are: width, depth, rows, name, by"));
    free(words);
    assert_int_equal(lvt_list_settings("no/such.lvt", NULL, 0, "models", &list, d), LVT_IO);
    lvt_diag_free(d);
    remove(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records),         cmocka_unit_test(test_ambient),
        cmocka_unit_test(test_optional_params), cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_entries),         cmocka_unit_test(test_list)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
