/* The text form: what is printed reads back to the same bytes, what is wrong is refused with its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ir/op.h"
#include "ir/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads; on failure shows why. */
static lvt_module *read_or_fail(const char *text, size_t length) {
    lvt_diag *d = lvt_diag_new();
    lvt_module *m = NULL;
    lvt_status status = lvt_read_module("t.ir", text, length, &m, d);
    char *words = lvt_diag_text(d);
    if (status != LVT_OK)
        print_error("%s", words);
    assert_int_equal(status, LVT_OK);
    assert_string_equal(words, "");
    free(words);
    lvt_diag_free(d);
    return m;
}

/* Text that is canonical already. */
static void expect_fixed(const char *text) {
    lvt_module *m = read_or_fail(text, strlen(text));
    size_t length;
    char *printed = lvt_print_module(m, &length);
    assert_string_equal(printed, text);
    assert_int_equal(length, strlen(text));
    free(printed);
    lvt_module_free(m);
}

static void test_fixed(void **state) {
    (void)state;
    static const char *const texts[] = {
        "module \"\"\n",
        "module \"quotes \\\" \\\\ \\n \\t \\r \\x01 \xc3\xa9\"\n",
        "module \"m\"\n"
        "setting \"width\" = \"32\"\n"
        "setting \"name\" = \"\\\"x\\\"\"\n"
        "source \"models/a.lvt\"\n"
        "source \"models/nn.lvt\"\n"
        "state @stem.0.weight : f32[2,3] = normal(0, 0.1) param loc(0:12:5)\n"
        "state @a : bf16[1,1,1,1,1,1] = truncated_normal(-1.5, 1e-05)\n"
        "state @b : f64[] = uniform(-inf, inf) param\n"
        "state @c : i32[7] = -3\n"
        "state @d : u8[7] = nan\n"
        "state @\"with space/and:more\" : bool[2147483648] = 1 loc(1:1:1 < 0:2:3 < 0:4:5)\n",
        "module \"nested\"\n"
        "source \"m.lvt\"\n"
        "state @w : f32[4,8] = 0\n"
        "entry @train training loc(0:20:3) {\n"
        "  %0 = input {index = 0} : f32[2,8] loc(0:20:18) \"x\"\n"
        "  %1 = input {index = 1} : f32[] \"lr\"\n"
        "  %2 = state {index = 0} : f32[4,8] loc(0:40:5 < 0:21:10)\n"
        "  %3 = matmul(%0, %2) {transpose_b = true} : f32[2,4] loc(0:44:9 < 0:21:10)\n"
        "  %4, %5 = fused(%3, %1) : f32[2,4], f32[2] loc(0:45:1) gradient(%3) _, \"row sum\" {\n"
        "    %0 = input {index = 0} : f32[2,4]\n"
        "    %1 = input {index = 1} : f32[]\n"
        "    %2 = broadcast(%1) {shape = [2, 4]} : f32[2,4]\n"
        "    %3 = add(%0, %2) : f32[2,4]\n"
        "    %4 = reduce_sum(%3) {axes = [1]} : f32[2]\n"
        "    return %3\n"
        "    return %4\n"
        "  }\n"
        "  %6 = constant {shape = [4, 8], values = [0.10000000149011612]} : f32[4,8] update(%8)\n"
        "  %7 = constant {shape = [3], values = [-0, 1e+300, 123456789012345]} : f32[3] gradient\n"
        "  %8 = sub(%2, %6) : f32[4,8] update \"new weight\"\n"
        "  input \"x\" = %0 loc(0:20:18)\n"
        "  input \"lr\" = %1 default 0.1\n"
        "  update @w = %8 loc(0:24:7)\n"
        "  return \"loss\" = %5 loc(0:25:7)\n"
        "  return \"y\" = %4\n"
        "}\n"
        "entry @predict {\n"
        "  %0 = input {index = 1} : i32[2]\n"
        "  %1 = input {index = 0} : bool[2]\n"
        "  input \"b\" = %1\n"
        "  input \"i\" = %0\n"
        "}\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        expect_fixed(texts[i]);
}

/* A text in another form than the canonical one, and that form. */
static void test_made_canonical(void **state) {
    (void)state;
    static const char loose[] = "# a comment\nmodule\n  \"m\" entry @e {\r\n"
                                "%10 = input{index=0}:f32[2,]  # first\n"
                                "%20 = neg ( %10 ) { } : f32[2]\n"
                                "%21 = reduce_sum(%20) {keep = false, axes = [0,]} : f32[]\n"
                                "input \"x\" = %10 return \"y\" = %21}";
    lvt_diag *d = lvt_diag_new();
    lvt_module *m;
    assert_int_equal(lvt_read_module("t", loose, sizeof loose - 1, &m, d), LVT_USER);
    lvt_diag_free(d);
    static const char good[] = "# a comment\nmodule\n  \"m\" entry @e {\r\n"
                               "%10 = input{index=0}:f32[2]  # first\n"
                               "%20 = neg ( %10 )  : f32[2]\n"
                               "%21 = reduce_sum(%20) {keep = false, axes = [0]} : f32[]\n"
                               "input \"x\" = %10 return \"y\" = %21}";
    m = read_or_fail(good, sizeof good - 1);
    char *printed = lvt_print_module(m, NULL);
    assert_string_equal(printed, "module \"m\"\n"
                                 "entry @e {\n"
                                 "  %0 = input {index = 0} : f32[2]\n"
                                 "  %1 = neg(%0) : f32[2]\n"
                                 "  %2 = reduce_sum(%1) {axes = [0]} : f32[]\n"
                                 "  input \"x\" = %0\n"
                                 "  return \"y\" = %2\n"
                                 "}\n");
    free(printed);
    char *graph = lvt_print_graph(m->entries[0]);
    assert_non_null(strstr(graph, "entry @e {\n  %0 = input"));
    free(graph);
    lvt_module_free(m);
}

/* Every double is printed in the fewest digits that give it back. */
static void test_numbers(void **state) {
    (void)state;
    static const struct {
        double value;
        const char *text;
    } rows[] = {{0, "0"},
                {-0.0, "-0"},
                {1, "1"},
                {-17, "-17"},
                {0.1, "0.1"},
                {(double)0.1f, "0.10000000149011612"},
                {1e-5, "1e-05"},
                {1.0 / 3, "0.3333333333333333"},
                {2147483648.0, "2147483648"},
                {999999999999999, "999999999999999"},
                {1e15, "1e+15"},
                {1.7976931348623157e308, "1.7976931348623157e+308"},
                {4.9406564584124654e-324, "5e-324"},
                {INFINITY, "inf"},
                {-INFINITY, "-inf"},
                {NAN, "nan"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        lvt_module *m = lvt_module_new("n");
        lvt_type scalar = lvt_type_make(LVT_F64, 0, NULL);
        lvt_module_add_state(m, "s", &scalar, (lvt_init){LVT_INIT_CONSTANT, rows[i].value, 0}, false, 0);
        char *text = lvt_print_module(m, NULL), wanted[100];
        snprintf(wanted, sizeof wanted, "module \"n\"\nstate @s : f64[] = %s\n", rows[i].text);
        assert_string_equal(text, wanted);
        lvt_module *again = read_or_fail(text, strlen(text));
        double back = again->states[0].init.a;
        assert_true(isnan(rows[i].value) ? isnan(back) : memcmp(&back, &rows[i].value, sizeof back) == 0);
        free(text);
        lvt_module_free(m);
        lvt_module_free(again);
    }
    /* and many that nobody chose */
    uint64_t bits = 1;
    lvt_module *m = lvt_module_new("n");
    lvt_type scalar = lvt_type_make(LVT_F64, 0, NULL);
    double values[2000];
    for (int i = 0; i < 2000; i++) {
        bits = bits * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        uint64_t pattern = i % 2 ? bits : bits & ~UINT64_C(0x1fffffff); /* doubles; those that are floats */
        char name[16];
        memcpy(&values[i], &pattern, sizeof pattern);
        if (isnan(values[i]))
            values[i] = 0;
        snprintf(name, sizeof name, "s%d", i);
        lvt_module_add_state(m, name, &scalar, (lvt_init){LVT_INIT_CONSTANT, values[i], 0}, false, 0);
    }
    char *text = lvt_print_module(m, NULL);
    lvt_module *again = read_or_fail(text, strlen(text));
    for (int i = 0; i < 2000; i++)
        assert_memory_equal(&again->states[i].init.a, &values[i], sizeof(double));
    free(text);
    lvt_module_free(m);
    lvt_module_free(again);
}

/* What a hash is made of changes with what is computed and with nothing else. */
static void test_meaning(void **state) {
    (void)state;
    static const char *const same[] = {
        "module \"a\"\nsource \"f\"\nsetting \"s\" = \"1\"\nstate @w : f32[2] = 0 loc(0:1:1)\nentry @e "
        "loc(0:2:2) {\n"
        "  %0 = state {index = 0} : f32[2] loc(0:3:1) \"w\"\n  %1 = neg(%0) : f32[2] gradient(%0)\n"
        "  return \"y\" = %1 loc(0:4:4)\n}\n",
        "module \"b\"\nstate @w : f32[2] = 0\nentry @e {\n  %0 = state {index = 0} : f32[2]\n"
        "  %1 = neg(%0) : f32[2]\n  return \"y\" = %1\n}\n"};
    static const char other[] =
        "module \"b\"\nstate @w : f32[2] = 1\nentry @e {\n  %0 = state {index = 0} : f32[2]\n"
        "  %1 = neg(%0) : f32[2]\n  return \"y\" = %1\n}\n";
    lvt_module *a = read_or_fail(same[0], strlen(same[0])), *b = read_or_fail(same[1], strlen(same[1])),
               *c = read_or_fail(other, strlen(other));
    char *ta = lvt_print_meaning(a, NULL), *tb = lvt_print_meaning(b, NULL), *tc = lvt_print_meaning(c, NULL);
    assert_string_equal(ta, tb);
    assert_string_not_equal(ta, tc);
    free(ta);
    free(tb);
    free(tc);
    lvt_module_free(a);
    lvt_module_free(b);
    lvt_module_free(c);
}

/* ---- what is refused ----------------------------------------------------------------------------------- */

#define HEAD "module \"m\"\nsource \"f\"\nstate @w : f32[2] = 0\n"
#define IN "entry @e {\n%0 = input {index = 0} : f32[2]\n"

static const struct {
    const char *text, *message; /* the first line of what is said */
} bad[] = {
    {"", "t:1:1: error E151: expected 'module', found end of file"},
    {"modul", "t:1:1: error E151: expected 'module', found 'modul'"},
    {"module m", "t:1:8: error E151: expected the module's name in quotes, found 'm'"},
    {"module \"m", "t:1:8: error E103: this string does not end on its line"},
    {"module \"m\" $", "t:1:12: error E101: stray character '$'"},
    {"module \"m\" 5", "t:1:12: error E151: expected setting, source, state or entry"},
    {"module \"m\"\nsetting \"a\" = 5",
     "t:2:15: error E151: expected its value in quotes, found the number 5"},
    {"module \"m\"\nsource \"a\"\nsource \"a\"", "t:3:8: error E158: this source is listed twice"},
    {"module \"m\"\nstate w", "t:2:7: error E151: expected the @path of a state, found 'w'"},
    {"module \"m\"\nstate @w f32", "t:2:10: error E151: expected ':', found 'f32'"},
    {"module \"m\"\nstate @w : f16[]",
     "t:2:12: error E153: no element type 'f16'; there are f32, bf16, f64, i32, u8 "
     "and bool"},
    {"module \"m\"\nstate @w : f32[0]", "t:2:16: error E153: a dimension is 1 to 2147483648"},
    {"module \"m\"\nstate @w : f32[2147483649]", "t:2:16: error E153: a dimension is 1 to 2147483648"},
    {"module \"m\"\nstate @w : f32[1,2,3,4,5,6,7]", "t:2:28: error E153: a tensor has at most 6 dimensions"},
    {"module \"m\"\nstate @w : f32[65536,65536]",
     "t:2:12: error E153: this type has more than 2147483648 elements"},
    {"module \"m\"\nstate @w : f32[2", "t:2:17: error E151: expected ',' or ']', found end of file"},
    {"module \"m\"\nstate @w : f32[2] = normal(1)", "t:2:29: error E151: expected ',', found ')'"},
    {"module \"m\"\nstate @w : f32[2] = big", "t:2:21: error E151: expected a number, found 'big'"},
    {HEAD "state @w : f32[2] = 0", "error E160: two states are called 'w'"},
    {HEAD "state @v : f32[2] = 0 loc(1:1:1)", "t:4:27: error E152: no source has number 1, there are 1"},
    {HEAD "state @v : f32[2] = 0 loc(0:-1:1)", "t:4:29: error E151: expected a line, found '-'"},
    {HEAD "state @v : f32[2] = 0 loc(0:1:5000000000)", "t:4:31: error E152: a column is at most 4294967295"},
    {HEAD "entry e", "t:4:7: error E151: expected the @name of an entry, found 'e'"},
    {HEAD "entry @e {",
     "t:4:11: error E151: expected a node, input, update, return or '}', found end of file"},
    {HEAD "entry @e { }\nstate @v : f32[] = 0",
     "t:5:1: error E151: after the first entry there can only be entries"},
    {HEAD "entry @e { }\nentry @e { }", "error E160: two entries are called 'e'"},
    {HEAD IN "%0 = neg(%0) : f32[2]", "t:6:1: error E156: numbers of values must rise: %0 comes after %0"},
    {HEAD IN "%1 = neg(%1) : f32[2]", "t:6:10: error E156: %1 is not defined before it is used"},
    {HEAD IN "%1 = neg(%7) : f32[2]", "t:6:10: error E156: %7 is not defined before it is used"},
    {HEAD IN "%1 = reluu(%0) : f32[2]", "t:6:6: error E154: no operation 'reluu'; did you mean 'relu'?"},
    {HEAD IN "%1 = quite_else(%0) : f32[2]", "t:6:6: error E154: no operation 'quite_else'"},
    {HEAD IN "%1 = neg(%0 : f32[2]", "t:6:13: error E151: expected ')', found ':'"},
    {HEAD IN "%1 = neg(%0) {axis = 1} : f32[2]", "t:6:15: error E155: neg has no attribute 'axis'"},
    {HEAD IN "%1 = softmax(%0) {axi = 1} : f32[2]",
     "t:6:19: error E155: softmax has no attribute 'axi'; did you mean 'axis'?"},
    {HEAD IN "%1 = softmax(%0) {axis = 0, axis = 0} : f32[2]",
     "t:6:29: error E155: attribute 'axis' is given twice"},
    {HEAD IN "%1 = softmax(%0) {axis = 0.5} : f32[2]",
     "t:6:26: error E151: expected a whole number, found the number 0.5"},
    {HEAD IN "%1 = softmax(%0) {axis = 9223372036854775808} : f32[2]",
     "t:6:26: error E102: this integer does not fit in 64 bits"},
    {HEAD IN "%1 = slice(%0) {axis = 0} : f32[2]", "t:6:6: error E155: slice needs attribute 'begin'"},
    {HEAD IN "%1 = reduce_sum(%0) {keep = 1} : f32[2]",
     "t:6:29: error E151: expected true or false, found the number 1"},
    {HEAD IN "%1 = cast(%0) {dtype = f16} : f32[2]",
     "t:6:24: error E151: expected an element type, found 'f16'"},
    {HEAD IN "%1 = neg(%0)", "t:6:13: error E151: expected ':', found end of file"},
    {HEAD IN "%1, %2 = neg(%0) : f32[2]\n}", "t:7:1: error E151: expected ',', found '}'"},
    {HEAD IN "%1 = neg(%0) : f32[2] \"a\", \"b\"\n}", "t:6:28: error E156: more names than results"},
    {HEAD IN "%1 = neg(%0) : f32[2] gradient(%9)\n}",
     "t:6:32: error E156: %9 is not defined before it is used"},
    {HEAD IN "%1 = neg(%0) : f32[2] {\n}", "t:6:23: error E157: only fused has a body"},
    {HEAD "entry @e {\n%0 = input {index = 1} : f32[2]\n}",
     "t:6:1: error E158: the 1 input nodes of this graph must have each index from 0 to 0 once"},
    {HEAD "entry @e {\n%0 = input {index = 0} : f32[2]\n%1 = input {index = 0} : f32[2]\n}",
     "t:7:1: error E158: the 2 input nodes of this graph must have each index from 0 to 1 once"},
    {HEAD IN "%1 = neg(%0) : f32[2]\ninput \"x\" = %1\n}",
     "t:7:13: error E158: this value is not the result of an input node"},
    {HEAD IN "input \"x\" = %0\nupdate @nothing = %0\n}", "t:7:8: error E158: no state @nothing"},
    {HEAD IN "input \"x\" = %0\nupdate @w = 3\n}",
     "t:7:13: error E151: expected a value, found the number 3"},
    {HEAD IN "return %0\n}", "error E160: e: input 0 has no name"},
    {HEAD IN "input \"x\" = %0\nreturn %0\n}", "error E160: e: output 0 has no name"},
    {HEAD IN "input \"x\" = %0\nreturn \"a\" = %0\nreturn \"a\" = %0\n}",
     "error E160: two outputs are called 'a'"},
    {HEAD IN "input \"x\" = %0\n%1 = neg(%0) : f32[2]\n}",
     "t:7:1: error E151: expected a node, input, update, return or '}', found %1"},
    {HEAD IN "input \"x\" = %0\n} 5", "t:7:3: error E151: after the first entry there can only be entries"},
};

static void test_bad(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        lvt_diag *d = lvt_diag_new();
        lvt_module *m = (lvt_module *)d;
        lvt_status status = lvt_read_module("t", bad[i].text, strlen(bad[i].text), &m, d);
        char *text = lvt_diag_text(d);
        size_t first = strcspn(text, "\n");
        if (status != LVT_USER || strlen(bad[i].message) != first ||
            strncmp(text, bad[i].message, first) != 0)
            fail_msg("%s\n---\nsays %d: %s\nnot %s", bad[i].text, (int)status, text, bad[i].message);
        assert_null(m);
        free(text);
        lvt_diag_free(d);
    }
}

static void test_caret(void **state) {
    (void)state;
    static const char text[] = "module \"m\"\nentry @e {\n\t%0 = inputt {index = 0} : f32[2]\n}\n";
    lvt_diag *d = lvt_diag_new();
    lvt_module *m;
    assert_int_equal(lvt_read_module("t.ir", text, sizeof text - 1, &m, d), LVT_USER);
    char *words = lvt_diag_text(d);
    assert_string_equal(words, "t.ir:3:7: error E154: no operation 'inputt'; did you mean 'input'?\n"
                               "    3 |         %0 = inputt {index = 0} : f32[2]\n"
                               "      |              ^\n");
    free(words);
    lvt_diag_free(d);
}

/* Depth and length of hostile text cost no stack and no more memory than the text is long. */
static void test_hostile(void **state) {
    (void)state;
    enum { N = 200000 };
    static const struct {
        const char *head, *again;
    } rows[] = {
        {"module \"m\" entry @e { ", "%0 = fused : f32[] { "},
        {"module \"m\" source \"a\" state @s : f32[] = 0 loc(0:1:1", " < 0:1:1"},
        {"module \"m\" state @s : f32[", "1,"},
        {"module \"m\" entry @e { %0 = constant {values = [", "0,"},
        {"module \"m\" entry @e { %0 = concat(", "%0,"},
        {"module \"m\" entry @e { %0", ",%1"},
        {"module \"m\" entry @e { }", " entry @e { }"},
        {"module \"", "\\\\"},
        {"", "\xff"},
        {"", "("},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t head = strlen(rows[i].head), step = strlen(rows[i].again), n = head;
        char *text = malloc(head + step * N);
        memcpy(text, rows[i].head, head);
        for (int k = 0; k < N; k++, n += step)
            memcpy(text + n, rows[i].again, step);
        lvt_module *m;
        assert_int_equal(lvt_read_module("t", text, n, &m, NULL), LVT_USER);
        assert_null(m);
        free(text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fixed),   cmocka_unit_test(test_made_canonical),
                                       cmocka_unit_test(test_numbers), cmocka_unit_test(test_meaning),
                                       cmocka_unit_test(test_bad),     cmocka_unit_test(test_caret),
                                       cmocka_unit_test(test_hostile)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
