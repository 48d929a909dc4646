/* Golden tests of passes: each tests/golden/NAME.golden holds the passes to run, IR text, and the exact text
 * that must come out, with the plan as comments once there is one.
 *
 *     passes FIRST LAST [BUDGET]       a budget of memory in bytes
 *     ---- input
 *     ...
 *     ---- expected
 *     ...
 * LVT_BLESS=1 in the environment rewrites what is expected. */
#include "ir/text.h"
#include "passes/pass.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static char *read_file(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    char *text = NULL;
    size_t length = 0, n;
    do {
        text = realloc(text, length + 65537);
        n = fread(text + length, 1, 65536, f);
        length += n;
    } while (n);
    text[length] = 0;
    fclose(f);
    return text;
}

typedef struct capture {
    const char *last;
    char *text;
} capture;

static void keep(void *user, lvt_report kind, const char *title, const char *text) {
    capture *c = user;
    if (kind == LVT_REPORT_DUMP && !strcmp(title, c->last)) {
        free(c->text);
        c->text = strdup(text);
    }
}

static bool run_case(const char *path) {
    static const char input_mark[] = "---- input\n", expected_mark[] = "---- expected\n";
    char *text = read_file(path), first[64], last[64];
    unsigned long long budget = 0;
    assert_non_null(text);
    char *input = strstr(text, input_mark), *expected = strstr(text, expected_mark);
    if (!input || !expected || sscanf(text, "passes %63s %63s %llu", first, last, &budget) < 2)
        fail_msg("%s: not in the form of a golden file", path);
    size_t head = (size_t)(expected - text);
    input += sizeof input_mark - 1;
    lvt_diag *diag = lvt_diag_new();
    lvt_module *m = NULL;
    lvt_compiled *program = NULL;
    capture c = {.last = last};
    lvt_compile_options o = {.start_at = first,
                             .stop_after = last,
                             .dump_after = last,
                             .verify_each = true,
                             .memory_budget = budget,
                             .report = keep,
                             .user = &c};
    lvt_status status = lvt_read_module(path, input, (size_t)(expected - input), &m, diag);
    if (status == LVT_OK)
        status = lvt_compile(m, &o, &program, diag);
    char *words = lvt_diag_text(diag);
    if (status != LVT_OK || !c.text)
        print_error("%s: %s\n", path, words);
    bool ok = status == LVT_OK && c.text;
    if (ok && getenv("LVT_BLESS")) {
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        fprintf(f, "%.*s%s%s", (int)head, text, expected_mark, c.text);
        assert_int_equal(fclose(f), 0);
    } else if (ok && strcmp(expected + sizeof expected_mark - 1, c.text)) {
        print_error("%s: expected\n%s\ngot\n%s\n", path, expected + sizeof expected_mark - 1, c.text);
        ok = false;
    }
    free(words);
    free(c.text);
    free(text);
    if (program)
        lvt_compiled_free(program);
    else
        lvt_module_free(m);
    lvt_diag_free(diag);
    return ok;
}

static void golden_files(void **state) {
    (void)state;
    DIR *folder = opendir(LVT_SOURCE_DIR "/tests/golden");
    assert_non_null(folder);
    int cases = 0, wrong = 0;
    for (struct dirent *e; (e = readdir(folder));) {
        const char *dot = strrchr(e->d_name, '.');
        char path[4096];
        if (!dot || strcmp(dot, ".golden"))
            continue;
        snprintf(path, sizeof path, "%s/tests/golden/%s", LVT_SOURCE_DIR, e->d_name);
        cases++;
        wrong += !run_case(path);
    }
    closedir(folder);
    assert_int_equal(wrong, 0);
    assert_true(cases > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
