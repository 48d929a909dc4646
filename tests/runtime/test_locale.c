/* A program that has called setlocale, as desktop programs and some interpreters do, gets the same files, bits and
 * messages from the library as one that has not. Locales are made by localedef; skipped (77) where it is not. */
#include "ir/base/c_locale.h"
#include "ir/base/file.h"
#include "ir/op.h"
#include "ir/program/json.h"
#include "runtime/command/command.h"

#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Commas; a point of two bytes (U+066B), which no library that looks for a byte finds. */
static const char *const locales[] = {"de_DE", "ps_AF"};
enum { N_LOCALES = sizeof locales / sizeof *locales };
static char folder[64];

static bool shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static bool shell(const char *format, ...) {
    char command[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    return system(command) == 0;
}

static void enter(const char *name) {
    char text[64];
    snprintf(text, sizeof text, "%s.UTF-8", name);
    assert_non_null(setlocale(LC_ALL, text));
    snprintf(text, sizeof text, "%.1f", 0.5);
    assert_string_not_equal(text, "0.5"); /* so the locale is a hostile one */
}

static void numbers_and_letters(void **state) {
    (void)state;
    for (int i = 0; i < N_LOCALES; i++) {
        enter(locales[i]);
        char *end, text[64];
        const char *number = "0.125e1,5";
        assert_true(lvt_strtod(number, &end) == 1.25 && *end == ',');
        lvt_snprintf(text, sizeof text, "%g %.3f %a", 0.1, 2.5, 1.5);
        assert_string_equal(text, "0.1 2.500 0x1.8p+0");

        lvt_arena *arena = lvt_arena_new();
        lvt_expr *e = lvt_expr_parse("a * 0.5 + 1.25e1", arena);
        assert_non_null(e);
        assert_true(lvt_expr_eval(e, LVT_F64, (double[]){3, 0, 0}) == 14);
        lvt_arena_free(arena);

        cJSON *o = lvt_json_read("{\"a\":0.1,\"b\":1e-3}", 18);
        char *json = lvt_json_text(o, false);
        assert_string_equal(json, "{\"a\":0.1,\"b\":0.001}");
        cJSON_free(json);
        cJSON_Delete(o);

        lvt_diag *d = lvt_diag_new();
        lvt_warning(d, NULL, LVT_NOWHERE, "%g of %.2f", 0.5, 1.5);
        char *message = lvt_diag_text(d);
        assert_non_null(strstr(message, "0.5 of 1.50"));
        free(message);
        lvt_diag_free(d);
        snprintf(text, sizeof text, "%.1f", 0.5); /* the program's own numbers stay as they were */
        assert_string_not_equal(text, "0.5");
    }
    setlocale(LC_ALL, "C");
}

/* lvt-run train within a process of that locale, with a cache of its own, so that all code is made in it. */
static void train(const char *name) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        char program[128], out[128], cache[128];
        snprintf(program, sizeof program, "%s/tiny.lvtx", folder);
        snprintf(out, sizeof out, "--out=%s/%s", folder, name);
        snprintf(cache, sizeof cache, "%s/cache-%s", folder, name);
        setenv("XDG_CACHE_HOME", cache, 1);
        if (strcmp(name, "C"))
            enter(name);
        char *argv[] = {(char *)"train",
                        program,
                        out,
                        (char *)"--data=digits",
                        (char *)"--tasks=2",
                        (char *)"--steps=6",
                        (char *)"--memory=20",
                        (char *)"--log-every=2",
                        (char *)"--coef=clip=0.75",
                        (char *)"--validation=12.5%",
                        (char *)"--lr=0.0625",
                        (char *)"--threads=2",
                        (char *)"--quiet",
                        NULL};
        lvt_diag *d = lvt_diag_new();
        int null = dup2(fileno(fopen("/dev/null", "we")), 1);
        lvt_status status = null < 0 ? LVT_IO : lvt_cmd_train((int)(sizeof argv / sizeof *argv) - 1, argv, d);
        char *text = lvt_diag_text(d);
        if (status != LVT_OK)
            fputs(text, stderr);
        _exit(status);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        fail_msg("train in %s: status %d", name, status);
}

static char *contents(const char *name, const char *file, size_t *size) {
    char path[160];
    uint8_t *bytes = NULL;
    snprintf(path, sizeof path, "%s/%s/%s", folder, name, file);
    assert_int_equal(lvt_file_read(path, &bytes, size, NULL), LVT_OK);
    return (char *)bytes;
}

/* Without what is measured of the machine. */
static char *record_text(const char *line) {
    static const char *const times[] = {"seconds",         "seconds_left",  "images_per_second",
                                        "task_seconds",    "energy_joules", "peak_memory_bytes",
                                        "seconds_of_tasks"};
    cJSON *o = lvt_json_read(line, strlen(line));
    if (!o)
        fail_msg("no JSON: %s", line);
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        cJSON_DeleteItemFromObjectCaseSensitive(o, times[i]);
    char *text = lvt_json_text(o, false);
    cJSON_Delete(o);
    return text;
}

static void same_runs(void **state) {
    (void)state;
    assert_true(shell("'%s/lvtc' '%s/models/lvt-tiny.lvt' -o '%s/tiny.lvtx'", LVT_BINARY_DIR, LVT_SOURCE_DIR,
                      folder));
    train("C");
    for (int i = 0; i < N_LOCALES; i++) {
        train(locales[i]);
        static const char *const files[] = {"settings.json", "accuracy.csv", "confusion.csv", "accuracy.svg",
                                            "memory.png"};
        size_t n, m;
        for (size_t k = 0; k < sizeof files / sizeof *files; k++) {
            char *want = contents("C", files[k], &n), *got = contents(locales[i], files[k], &m);
            if (n != m || memcmp(want, got, n))
                fail_msg("%s differs in %s", files[k], locales[i]);
            free(want);
            free(got);
        }
        char *want = contents("C", "metrics.jsonl", &n), *got = contents(locales[i], "metrics.jsonl", &m);
        char *a = want, *b = got, *one, *two;
        int lines = 0;
        while ((one = strsep(&a, "\n")) && *one) {
            two = strsep(&b, "\n");
            assert_non_null(two);
            char *x = record_text(one), *y = record_text(two);
            assert_string_equal(x, y);
            cJSON_free(x);
            cJSON_free(y);
            lines++;
        }
        assert_true(lines > 6);
        free(want);
        free(got);
        char *page = contents(locales[i], "report.html", &n), *reference = contents("C", "report.html", &m);
        assert_null(strstr(page, "\xd9\xab")); /* U+066B */
        /* Times are told above; the numbers of drawings are the same. */
        char *here = strstr(reference, "<h2>Confusion"), *there = strstr(page, "<h2>Confusion");
        assert_true(here && there);
        size_t length = strcspn(here, "\n");
        for (char *p = here; (p = strstr(p, "<h2>Calibration")); p++)
            length = (size_t)(p - here);
        assert_true(length > 1000 && strlen(there) > length);
        assert_memory_equal(here, there, length);
        free(page);
        free(reference);
    }
}

int main(void) {
    strcpy(folder, "/tmp/lvt-locale-XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    setenv("LOCPATH", folder, 1);
    setenv("OMP_WAIT_POLICY", "passive", 0);
    int failed = 77;
    bool all = true;
    for (int i = 0; i < N_LOCALES; i++)
        all = all && shell("localedef --no-archive -c -i %s -f UTF-8 '%s/%s.UTF-8' >/dev/null 2>&1; test -f "
                           "'%s/%s.UTF-8/LC_NUMERIC'",
                           locales[i], folder, locales[i], folder, locales[i]);
    if (all) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(numbers_and_letters),
                                           cmocka_unit_test(same_runs)};
        failed = cmocka_run_group_tests(tests, NULL, NULL);
    } else {
        puts("localedef makes no locales here (package locales)");
    }
    return shell("rm -rf '%s'", folder) ? failed : 1;
}
