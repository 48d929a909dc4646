/* Text in drawings and pages. */
#include "ir/base/xml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void writes(const char *text, size_t most, const char *wanted) {
    char *bytes = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&bytes, &n);
    assert_non_null(f);
    lvt_xml_write(f, text, most);
    assert_int_equal(fclose(f), 0);
    assert_string_equal(bytes, wanted);
    free(bytes);
}

static void right_in_text_and_in_either_quotes(void **state) {
    (void)state;
    writes("a<b>&'c'\"", SIZE_MAX, "a&#60;b&#62;&#38;&#39;c&#39;&#34;");
    writes("", SIZE_MAX, "");
}

static void control_characters_are_left_out(void **state) {
    (void)state;
    writes("\x01"
           "a\x1b[31m\nb\tc",
           SIZE_MAX, "a[31mbc");
}

static void bytes_that_are_no_text(void **state) {
    (void)state;
    writes("caf\xe9 \xc2\x9b\xef\xbf\xbe", SIZE_MAX, "caf\uFFFD ");
}

/* An "ä" has two bytes, a "…" three: neither is cut in two. */
static void counts_characters(void **state) {
    (void)state;
    writes("ä…bc", 2, "ä…");
    writes("ä…bc", 1, "ä");
    writes("<<<", 2, "&#60;&#60;");
    writes("abc", 0, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_in_text_and_in_either_quotes),
        cmocka_unit_test(control_characters_are_left_out),
        cmocka_unit_test(bytes_that_are_no_text),
        cmocka_unit_test(counts_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
