/* Every tests/error/NAME.lvt must be refused with exactly the text of NAME.err. A first line `# set: A=1 B=2`
 * gives settings. With LVT_BLESS=1 in the environment the .err files are rewritten. Every code that the
 * language can report must be in one of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "frontend/language/language.h"

static char *read_text(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    size_t n = fread(text, 1, (1 << 20) - 1, f);
    assert_true(n < (1 << 20) - 1);
    fclose(f);
    return text;
}

static bool ends_with(const char *name, const char *end) {
    size_t n = strlen(name), k = strlen(end);
    return n > k && !strcmp(name + n - k, end);
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* The messages of one file; the caller frees them. */
static char *messages(const char *path) {
    char *source = read_text(path);
    assert_non_null(source);
    char *settings[16], *save = NULL;
    size_t n = 0;
    if (!strncmp(source, "# set:", 6)) {
        source[strcspn(source, "\n")] = '\0';
        for (char *word = strtok_r(source + 6, " ", &save); word && n < 16; word = strtok_r(NULL, " ", &save))
            settings[n++] = word;
    }
    lvt_diag *d = lvt_diag_new();
    lvt_module *m = NULL;
    lvt_status status = lvt_compile_file(path, (const char *const *)settings, n, "models", &m, d);
    if (!status)
        fail_msg("%s compiles", path);
    assert_null(m);
    assert_true(lvt_diag_errors(d) > 0);
    char *text = lvt_diag_text(d);
    lvt_diag_free(d);
    free(source);
    return text;
}

static void test_texts(void **unused) {
    (void)unused;
    struct dirent **list;
    int n = scandir("tests/error", &list, NULL, by_name), files = 0, wrong = 0;
    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
        if (ends_with(list[i]->d_name, ".lvt")) {
            char path[512], expected[512];
            snprintf(path, sizeof path, "tests/error/%s", list[i]->d_name);
            snprintf(expected, sizeof expected, "%.*s.err", (int)strlen(path) - 4, path);
            char *got = messages(path);
            files++;
            if (getenv("LVT_BLESS")) {
                FILE *f = fopen(expected, "wb");
                assert_non_null(f);
                fputs(got, f);
                fclose(f);
            }
            char *want = read_text(expected);
            if (!want || strcmp(got, want)) {
                wrong++;
                print_error("%s: expected\n%s--- got\n%s\n", path, want ? want : "(no .err file)\n", got);
            }
            free(want);
            free(got);
        }
        free(list[i]);
    }
    free(list);
    assert_int_equal(wrong, 0);
    assert_true(files >= 40);
}

/* All codes in the sources, but for those no file of a reasonable size can provoke. */
static void test_codes(void **unused) {
    (void)unused;
    static const char *const exempt[] = {"E505"}; /* more than 256 files or 4 MiB */
    char *all = calloc(1, 1 << 21);
    assert_non_null(all);
    struct dirent **list;
    int n = scandir("tests/error", &list, NULL, by_name);
    for (int i = 0; i < n; i++) {
        if (ends_with(list[i]->d_name, ".err")) {
            char path[512];
            snprintf(path, sizeof path, "tests/error/%s", list[i]->d_name);
            char *text = read_text(path);
            assert_true(strlen(all) + strlen(text) < (1 << 21) - 1);
            strcat(all, text);
            free(text);
        }
        free(list[i]);
    }
    free(list);
    n = scandir("frontend/language", &list, NULL, by_name);
    assert_true(n > 0);
    int codes = 0;
    for (int i = 0; i < n; i++) {
        char path[512];
        snprintf(path, sizeof path, "frontend/language/%s", list[i]->d_name);
        char *text = ends_with(path, ".c") ? read_text(path) : NULL;
        for (char *p = text; p && (p = strstr(p, "\"E")); p++) {
            char code[5] = {0};
            memcpy(code, p + 1, 4);
            if (strspn(code + 1, "0123456789") != 3 || p[5] != '"')
                continue;
            codes++;
            bool known = strstr(all, code) != NULL;
            for (size_t k = 0; k < sizeof exempt / sizeof *exempt; k++)
                known |= !strcmp(code, exempt[k]);
            if (!known)
                fail_msg("%s: no fixture for %s", path, code);
        }
        free(text);
        free(list[i]);
    }
    free(list);
    free(all);
    assert_true(codes > 40);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_texts), cmocka_unit_test(test_codes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
