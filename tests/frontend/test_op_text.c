/* What the table of ops says to people is whole and agrees with what it says to the compiler. */
#include "helpers.h"

#include "ir/op_text.h"
#include "ir/program/program.h"

static int count(const char *text, char c) {
    int n = 0;
    for (; text && *text; text++)
        n += *text == c;
    return n;
}

static void test_table(void **unused) {
    (void)unused;
    for (int i = 0; i < LVT_N_OPS; i++) {
        const lvt_op_def *def = lvt_op_table[i];
        if (!def->meaning || !*def->meaning)
            fail_msg("%s has no line of meaning", def->name);
        if (def->signature) {
            assert_int_equal(strchr(def->signature, '_') - def->signature, def->max_operands);
        } else if (!def->operands || !def->results) {
            fail_msg("%s does not say what it takes and gives", def->name);
        } else if (def->max_operands < 0) { /* x...: any number of them */
            assert_non_null(strstr(def->operands, "..."));
        } else { /* a name and a type each */
            if (count(def->operands, ':') != def->max_operands)
                fail_msg("%s takes %d operands, not \"%s\"", def->name, def->max_operands, def->operands);
            bool optional = strstr(def->operands, "may be left out") != NULL;
            assert_int_equal(optional, def->min_operands < def->max_operands);
        }
        if (def->results && def->kind != LVT_KIND_META && count(def->results, ':') != def->n_results)
            fail_msg("%s has %d results, not \"%s\"", def->name, def->n_results, def->results);
        char *text = lvt_op_text((lvt_op)i, "somebody");
        assert_non_null(text);
        assert_int_equal(strncmp(text, def->name, strlen(def->name)), 0);
        for (int k = 0; k < def->n_attrs; k++)
            assert_non_null(strstr(text, def->attrs[k].name));
        free(text);
    }
}

static void test_attributes(void **unused) {
    (void)unused;
    char buffer[LVT_ATTR_DEF_TEXT];
    static const lvt_attr_def rows[] = {{"axis", LVT_ATTR_INT, .value = -1},
                                        {"eps", LVT_ATTR_FLOAT, .value = 1e-5},
                                        {"shape", LVT_ATTR_INTS, .required = true},
                                        {"dtype", LVT_ATTR_DTYPE, .value = LVT_I32},
                                        {"keep", LVT_ATTR_BOOL},
                                        {"reduce", LVT_ATTR_STRING, .text = "sum"}};
    static const char *const want[] = {"axis: integer = -1",    "eps: number = 1e-05",
                                       "shape: integers",       "dtype: element type = i32",
                                       "keep: boolean = false", "reduce: text = sum"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(lvt_attr_def_text(&rows[i], buffer), want[i]);
    assert_string_equal(lvt_op_families(LVT_OP_matmul, buffer), "onednn");
    assert_string_equal(lvt_op_families(LVT_OP_gelu, buffer), "jit, in fused loops");
    assert_string_equal(lvt_op_families(LVT_OP_softmax, buffer), "the ops it is made of");
    assert_string_equal(lvt_op_families(LVT_OP_transpose, buffer), "nobody: it is a view");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table), cmocka_unit_test(test_attributes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
