/* Text on its ways out. */
#include "ir/base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Every code point, and every sequence of two and three bytes, against the definition (RFC 3629, 3 and 4). */
static void reads_utf8(void **state) {
    (void)state;
    for (uint32_t c = 1; c < 0x110000; c++) {
        char text[5] = {0}, *to = text;
        if (c < 0x80) {
            *to++ = (char)c;
        } else if (c < 0x800) {
            *to++ = (char)(0xC0 | c >> 6);
        } else if (c < 0x10000) {
            *to++ = (char)(0xE0 | c >> 12);
            *to++ = (char)(0x80 | (c >> 6 & 63));
        } else {
            *to++ = (char)(0xF0 | c >> 18);
            *to++ = (char)(0x80 | (c >> 12 & 63));
            *to++ = (char)(0x80 | (c >> 6 & 63));
        }
        if (c >= 0x80)
            *to++ = (char)(0x80 | (c & 63));
        const char *at = text;
        bool surrogate = c >= 0xD800 && c < 0xE000;
        assert_int_equal(lvt_utf8_next(&at, (size_t)(to - text)), surrogate ? UINT32_MAX : c);
        assert_ptr_equal(at, surrogate ? text + 1 : to);
        for (size_t n = 1; n < (size_t)(to - text); n++) { /* cut off */
            at = text;
            assert_int_equal(lvt_utf8_next(&at, n), UINT32_MAX);
            assert_ptr_equal(at, text + 1);
        }
    }
    static const char *const wrong[] = {"\x80",
                                        "\xbf",
                                        "\xc0\xaf",
                                        "\xc1\xbf",
                                        "\xe0\x80\xaf",
                                        "\xe0\x9f\xbf",
                                        "\xf0\x80\x80\xaf",
                                        "\xf0\x8f\xbf\xbf",
                                        "\xf4\x90\x80\x80",
                                        "\xf5\x80\x80\x80",
                                        "\xff",
                                        "\xe2(\xa1",
                                        "caf\xe9"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(lvt_utf8_valid(wrong[i]));
    assert_true(lvt_utf8_valid("") && lvt_utf8_valid("caf\u00e9 \U0001F600"));
}

static void is(char *got, const char *want) {
    assert_non_null(got);
    assert_string_equal(got, want);
    free(got);
}

static void copies_and_cuts(void **state) {
    (void)state;
    is(lvt_utf8_copy("caf\xe9 \u00e9\xf0\x9f"), "caf\uFFFD \u00e9\uFFFD\uFFFD");
    is(lvt_utf8_copy(""), "");
    assert_int_equal(lvt_utf8_cut("a\u00e9b", 2), 1);
    assert_int_equal(lvt_utf8_cut("a\u00e9b", 3), 3);
    assert_int_equal(lvt_utf8_cut("a\u00e9b", 9), 4);
    assert_int_equal(lvt_utf8_cut("\u00e9", 0), 0);
}

/* What moves a cursor, changes colours or titles, or turns text around, in one byte or several. */
static void terminal(void **state) {
    (void)state;
    is(lvt_terminal_text("a\x1b[31mb\x07\r\x7f\t\n", true), "a\\x1b[31mb\\x07\\x0d\\x7f\t\n");
    is(lvt_terminal_text("a\tb\nc", false), "a\\x09b\\x0ac");
    is(lvt_terminal_text("\x9b"
                         "31m \xc2\x9b \u202e \u2066 caf\u00e9 \U0001F600",
                         true),
       "\\x9b31m \\u009b \\u202e \\u2066 caf\u00e9 \U0001F600");
    char all[256], *got;
    for (int i = 1; i < 256; i++)
        all[i - 1] = (char)i;
    all[255] = 0;
    got = lvt_terminal_text(all, false);
    for (const char *c = got; *c; c++)
        assert_true(*c >= ' ' && *c < 127);
    free(got);
    char *out = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&out, &n);
    lvt_terminal_print(f, "%s: %5.1f\n", "\x1b]0;x\x07", 1.5);
    memset(all, 'x', 255);
    for (int i = 0; i < 3; i++)
        lvt_terminal_print(f, "%s%s%s\x01", all, all, all); /* longer than its first buffer */
    fclose(f);
    assert_memory_equal(out, "\\x1b]0;x\\x07:   1.5\nxxx", 23);
    assert_int_equal(n, 20 + 3 * (3 * 255 + 4));
    free(out);
}

static void json(void **state) {
    (void)state;
    is(lvt_json_quoted("a\"b\\\n\xe9\x7f\xc2\x9b\u202e"), "\"a\\\"b\\\\\\u000a\uFFFD\\u007f\\u009b\\u202e\"");
    is(lvt_json_safe(strdup("{\"\xff\":\"\x7f\"}")), "{\"\uFFFD\":\"\\u007f\"}");
    assert_null(lvt_json_safe(NULL));
}

static void csv(void **state) {
    (void)state;
    static const struct {
        const char *text, *want;
    } rows[] = {{"plain", "\"plain\""},
                {"a,\"b\"", "\"a,\"\"b\"\"\""},
                {"=1+1", "\"'=1+1\""},
                {"+a", "\"'+a\""},
                {"-a", "\"'-a\""},
                {"@a", "\"'@a\""},
                {"\ta", "\"\\x09a\""},
                {"\ra", "\"\\x0da\""},
                {"", "\"\""},
                {"a=b", "\"a=b\""},
                {"caf\xe9", "\"caf\\xe9\""}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *out = NULL;
        size_t n = 0;
        FILE *f = open_memstream(&out, &n);
        lvt_csv_text(f, rows[i].text);
        fclose(f);
        is(out, rows[i].want);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_utf8), cmocka_unit_test(copies_and_cuts),
        cmocka_unit_test(terminal),   cmocka_unit_test(json),
        cmocka_unit_test(csv),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
