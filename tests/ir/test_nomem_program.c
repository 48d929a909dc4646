/* Every allocation fails once: what the library was asked for then fails cleanly and everything is given
 * back. The allocator of this program is replaced; under AddressSanitizer, which has its own, the test is
 * skipped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/small_program.h"
#include "ir/program/file.h"

#include <errno.h>

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
#define REPLACED 1

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t n);
void __libc_free(void *p);

static long countdown = -1; /* allocations until one fails; negative: none does */
static long live;           /* blocks that are in use */
static bool failed;

static bool fails(void) {
    if (countdown != 0) {
        countdown -= countdown > 0;
        return false;
    }
    countdown = -1;
    failed = true;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t n) {
    void *p = fails() ? NULL : __libc_malloc(n);
    live += p != NULL;
    return p;
}

void *calloc(size_t n, size_t size) {
    void *p = fails() ? NULL : __libc_calloc(n, size);
    live += p != NULL;
    return p;
}

void *realloc(void *old, size_t n) {
    void *p = fails() ? NULL : __libc_realloc(old, n);
    live += p != NULL && old == NULL;
    return p;
}

void free(void *p) {
    live -= p != NULL;
    __libc_free(p);
}

/* Calls `work` with its first, second, ... allocation failing until one run needs no more of them. */
static void fail_each(lvt_status (*work)(lvt_diag *d)) {
    for (long n = 0;; n++) {
        long before = live;
        failed = false;
        countdown = n;
        lvt_diag *d = lvt_diag_new(); /* may be NULL: then nothing is said */
        lvt_status status = work(d);
        lvt_diag_free(d);
        countdown = -1;
        assert_int_equal(live, before);
        if (!failed) {
            assert_int_equal(status, LVT_OK);
            assert_true(n > 10);
            return;
        }
        /* words of a message, or the diag itself, may be what was lost */
        assert_true(status == LVT_NOMEM || status == LVT_OK);
    }
}

static lvt_status read_and_print(lvt_diag *d) {
    lvt_module *m;
    lvt_status status = lvt_read_module("t", small_text, sizeof small_text - 1, &m, d);
    if (status != LVT_OK)
        return status;
    char *text = lvt_print_module(m, NULL);
    status = text ? LVT_OK : LVT_NOMEM;
    free(text);
    lvt_module_free(m);
    return status;
}

static lvt_status encode_and_decode(lvt_diag *d) {
    lvt_compiled *p = small_program(), *q = NULL;
    unsigned char *bytes = NULL;
    size_t n;
    if (!p)
        return LVT_NOMEM;
    lvt_status status = lvt_program_encode(p, &bytes, &n, d);
    lvt_compiled_free(p);
    if (status == LVT_OK)
        status = lvt_program_decode("t", bytes, n, &q, d);
    free(bytes);
    lvt_compiled_free(q);
    return status;
}

static lvt_status say(lvt_diag *d) {
    lvt_diag_source(d, "f", "one\ntwo\n", 8);
    for (int i = 0; i < 12; i++) {
        lvt_error(d, LVT_USER, "E1", (lvt_pos){"f", 2, 2}, "message %d", i);
        lvt_note(d, (lvt_pos){"f", 1, 1}, "note");
    }
    if (d && lvt_diag_errors(d) != 12)
        return LVT_INTERNAL; /* words may be lost, the count may not */
    char *text = lvt_diag_text(d);
    lvt_status status = text ? LVT_OK : LVT_NOMEM;
    free(text);
    return status;
}

static void test_text(void **state) {
    (void)state;
    fail_each(read_and_print);
}
static void test_program(void **state) {
    (void)state;
    fail_each(encode_and_decode);
}
static void test_diag(void **state) {
    (void)state;
    fail_each(say);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_text), cmocka_unit_test(test_program),
                                       cmocka_unit_test(test_diag)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#else
int main(void) {
    return 0;
}
#endif
