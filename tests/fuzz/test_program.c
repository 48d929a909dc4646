/* Some seconds of damaged program files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fuzz_program.c"
#include "tests/small_program.h"

static void test_fuzz(void **state) {
    (void)state;
    unsigned char *bytes;
    size_t n;
    lvt_compiled *p = small_program();
    assert_non_null(p);
    assert_int_equal(lvt_program_encode(p, &bytes, &n, NULL), LVT_OK);
    lvt_compiled_free(p);
    LLVMFuzzerTestOneInput(bytes, n);
    fuzz_run(bytes, n, 2, 1, NULL, 0);
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fuzz)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
