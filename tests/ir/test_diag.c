/* Messages: how they look, how many are kept, which name is nearest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ir/base/diag.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void expect_text(const lvt_diag *d, const char *wanted) {
    char *text = lvt_diag_text(d);
    assert_non_null(text);
    assert_string_equal(text, wanted);
    free(text);
}

static void test_caret(void **state) {
    (void)state;
    static const char source[] = "model a {\n"
                                 "    h = matmul(x, w)\n"
                                 "\tif\tx\n"
                                 "    \xc3\xa4\xc3\xb6 = y\r\n"
                                 "end";
    lvt_diag *d = lvt_diag_new();
    lvt_diag_source(d, "m.lvt", source, sizeof source - 1);
    assert_int_equal(lvt_error(d, LVT_USER, "E204", (lvt_pos){"m.lvt", 2, 9}, "sizes %d and %d", 3, 4),
                     LVT_USER);
    lvt_note(d, (lvt_pos){"m.lvt", 1, 7}, "from here");
    lvt_error(d, LVT_USER, NULL, (lvt_pos){"m.lvt", 3, 5}, "after tabs");
    lvt_error(d, LVT_USER, NULL, (lvt_pos){"m.lvt", 4, 10}, "after letters of two bytes");
    lvt_error(d, LVT_USER, NULL, (lvt_pos){"m.lvt", 5, 99}, "past the end of the line");
    lvt_error(d, LVT_USER, NULL, (lvt_pos){"m.lvt", 1, 0}, "whole line");
    lvt_error(d, LVT_USER, NULL, (lvt_pos){"m.lvt", 9, 1}, "no such line");
    lvt_error(d, LVT_USER, NULL, (lvt_pos){"other.lvt", 1, 1}, "text not known");
    lvt_error(d, LVT_IO, "E900", (lvt_pos){"disk", 0, 0}, "no line");
    lvt_warning(d, NULL, LVT_NOWHERE, "nowhere");
    expect_text(d, "m.lvt:2:9: error E204: sizes 3 and 4\n"
                   "    2 |     h = matmul(x, w)\n"
                   "      |         ^\n"
                   "m.lvt:1:7: note: from here\n"
                   "m.lvt:3:5: error: after tabs\n"
                   "    3 |         if      x\n"
                   "      |                 ^\n"
                   "m.lvt:4:10: error: after letters of two bytes\n"
                   "    4 |     \xc3\xa4\xc3\xb6 = y\n"
                   "      |        ^\n"
                   "m.lvt:5:99: error: past the end of the line\n"
                   "    5 | end\n"
                   "      |    ^\n"
                   "m.lvt:1: error: whole line\n"
                   "    1 | model a {\n"
                   "m.lvt:9:1: error: no such line\n"
                   "other.lvt:1:1: error: text not known\n"
                   "disk: error E900: no line\n"
                   "warning: nowhere\n");
    assert_int_equal(lvt_diag_errors(d), 8);
    assert_int_equal(lvt_diag_warnings(d), 1);
    lvt_diag_clear(d);
    assert_int_equal(lvt_diag_errors(d), 0);
    expect_text(d, "");
    lvt_error(d, LVT_USER, NULL, (lvt_pos){"m.lvt", 5, 1}, "the source is still known");
    expect_text(d, "m.lvt:5:1: error: the source is still known\n    5 | end\n      | ^\n");
    lvt_diag_free(d);
}

static void test_long_line(void **state) {
    (void)state;
    char line[1000];
    memset(line, 'x', sizeof line);
    line[700] = '!';
    lvt_diag *d = lvt_diag_new();
    lvt_diag_source(d, "f", line, sizeof line);
    lvt_error(d, LVT_USER, NULL, (lvt_pos){"f", 1, 701}, "here");
    char *text = lvt_diag_text(d);
    assert_true(strlen(text) < 500);
    const char *bang = strchr(text, '!'), *caret = strchr(text, '^'), *line2 = strchr(text, '\n') + 1,
               *line3 = strchr(line2, '\n') + 1;
    assert_non_null(bang);
    assert_int_equal(bang - line2, caret - line3);
    free(text);
    lvt_diag_free(d);
}

static void test_many(void **state) {
    (void)state;
    lvt_diag *d = lvt_diag_new();
    for (int i = 0; i < 50; i++) {
        lvt_error(d, LVT_USER, NULL, LVT_NOWHERE, "error %d", i);
        lvt_note(d, LVT_NOWHERE, "note %d", i);
    }
    assert_int_equal(lvt_diag_errors(d), 50);
    char *text = lvt_diag_text(d);
    assert_non_null(strstr(text, "error 19\nnote: note 19\n30 more errors are not shown\n"));
    assert_null(strstr(text, "error 20"));
    assert_null(strstr(text, "note 20"));
    free(text);
    lvt_diag_free(d);
}

static void test_null(void **state) {
    (void)state;
    assert_int_equal(lvt_error(NULL, LVT_IO, "E1", LVT_NOWHERE, "x"), LVT_IO);
    lvt_warning(NULL, NULL, LVT_NOWHERE, "x");
    lvt_note(NULL, LVT_NOWHERE, "x");
    lvt_diag_source(NULL, "a", "b", 1);
    lvt_diag_clear(NULL);
    lvt_diag_free(NULL);
    assert_int_equal(lvt_diag_errors(NULL), 0);
    expect_text(NULL, "");
}

static void test_exit_codes(void **state) {
    (void)state;
    static const struct {
        lvt_status status;
        int code;
    } rows[] = {{LVT_OK, 0},    {LVT_USER, 1},        {LVT_USAGE, 2},    {LVT_IO, 1},
                {LVT_NOMEM, 1}, {LVT_INTERRUPT, 130}, {LVT_INTERNAL, 70}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(lvt_exit_code(rows[i].status), rows[i].code);
}

static void test_nearest(void **state) {
    (void)state;
    static const char *const names[] = {"width", "depth", "batch", "matmul", "x"};
    static const struct {
        const char *word, *near;
    } rows[] = {{"wdith", "width"}, {"with", "width"}, {"matmull", "matmul"}, {"batch", "batch"}, {"y", NULL},
                {"classes", NULL},  {"", NULL},        {"dpeth", "depth"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *near = lvt_nearest(rows[i].word, names, 5);
        if (rows[i].near)
            assert_string_equal(near, rows[i].near);
        else
            assert_null(near);
    }
    assert_null(lvt_nearest("x", NULL, 0));
    char word[1000];
    memset(word, 'a', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    assert_null(lvt_nearest(word, names, 5));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_caret),      cmocka_unit_test(test_long_line),
                                       cmocka_unit_test(test_many),       cmocka_unit_test(test_null),
                                       cmocka_unit_test(test_exit_codes), cmocka_unit_test(test_nearest)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
