/* Experiment files, as lists of runs, and whether a run that was begun is still the file's: on folders
 * written here. */
#include "continual/sweep.h"
#include "ir/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Every key is an option, those in the list are flags. */
static lvt_status any_option(void *user, const char *key, const char *value, bool *flag, lvt_diag *diag) {
    (void)user;
    (void)diag;
    if (!value)
        *flag = !strcmp(key, "fwt");
    return LVT_OK;
}

typedef struct fixture {
    char base[32], file[48];
    lvt_sweep sweep;
    lvt_diag *diag;
} fixture;

static void begin(fixture *f) {
    *f = (fixture){.base = "/tmp/lvt-sweep-XXXXXX"};
    assert_non_null(mkdtemp(f->base));
    snprintf(f->file, sizeof f->file, "%s/x.sweep", f->base);
}

static lvt_status read_text(fixture *f, const char *text) {
    const lvt_sweep_checker checker = {any_option, NULL};
    lvt_sweep_free(&f->sweep);
    lvt_diag_free(f->diag);
    f->diag = lvt_diag_new();
    assert_int_equal(lvt_file_write(f->file, text, strlen(text), NULL), LVT_OK);
    return lvt_sweep_read(&f->sweep, f->file, NULL, &checker, f->diag);
}

/* The messages hold `words`, and the first of them is of that place ("LINE:COLUMN:", after the file). */
static void told(fixture *f, const char *place, const char *words) {
    char *text = lvt_diag_text(f->diag);
    size_t n = strlen(f->file);
    if (!strstr(text, words) || strncmp(text, f->file, n) || strncmp(text + n + 1, place, strlen(place)))
        fail_msg("not \"%s\" at %s: %s", words, place, text);
    free(text);
}

static void end(fixture *f) {
    lvt_sweep_free(&f->sweep);
    lvt_diag_free(f->diag);
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", f->base);
    assert_int_equal(system(command), 0);
}

#define HEAD "model = m.lvt\ndata = digits\nvalidation = 0.1\n"

static void seeds(void **state) {
    (void)state;
    fixture f;
    begin(&f);
    assert_int_equal(read_text(&f, HEAD "seeds = 18446744073709551614..18446744073709551615 7\n"), LVT_OK);
    assert_int_equal(f.sweep.n_runs, 3);
    assert_true(f.sweep.runs[1].seed == UINT64_MAX && f.sweep.runs[2].seed == 7);
    assert_int_equal(read_text(&f, HEAD "seeds = 18446744073709551615\n"), LVT_OK);
    assert_int_equal(f.sweep.n_runs, 1);
    assert_int_equal(read_text(&f, HEAD "seeds = 18446744073709551616\n"), LVT_USER);
    told(&f, "4:1:", "neither a seed nor a range");
    /* 100 seeds for each of 1000 rows are as many as there may be; one row more is too much. */
    char *text = NULL;
    for (int rows = 1000; rows <= 1001; rows++) {
        size_t size;
        FILE *out = open_memstream(&text, &size);
        fprintf(out, HEAD "seeds = 1..100\nfor memory =");
        for (int i = 0; i < rows; i++)
            fprintf(out, " %d", i);
        fclose(out);
        assert_int_equal(read_text(&f, text), rows == 1000 ? LVT_OK : LVT_USER);
        free(text);
    }
    told(&f, "4:1:", "more than 100000 runs");
    assert_int_equal(read_text(&f, HEAD "seeds = 1 2 1\n"), LVT_USER);
    told(&f, "1:", "two runs would have the same name");
    end(&f);
}

static void selected(void **state) {
    (void)state;
    static const struct {
        const char *lines, *words; /* words NULL: it is measured */
    } cases[] = {
        {"select = fwt\n", "select: fwt is only measured with fwt = yes"},
        {"select = fwt\nfwt = no\n", "select: fwt is only measured with fwt = yes"},
        {"select = fwt\nfwt = yes\n", NULL},
        {"select = fwt\nsearch fwt = yes\n", NULL},
        {"select = fwt\nfwt = yes\ntasks = 1\n", "select: fwt needs two tasks or more"},
        {"select = task_il forgetting_relative\ntasks = 1\n", "forgetting_relative needs two tasks or more"},
        {"select = bwt\nsplit = 10\n", "select: bwt needs two tasks or more"},
        {"select = bwt\nsearch tasks = 1\n", "select: bwt needs two tasks or more"},
        {"select = bwt\nsplit = 5,5\n", NULL},
        {"select = forgetting_mean\n", NULL},
        {"select = acc\ntasks = 1\n", NULL},
        {"select = aia\ntasks = 1\n", NULL},
    };
    fixture f;
    begin(&f);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256];
        snprintf(text, sizeof text, HEAD "try lr = 0.1 0.2\n%s", cases[i].lines);
        lvt_status status = read_text(&f, text);
        if (status != (cases[i].words ? LVT_USER : LVT_OK))
            fail_msg("status %d: %s", status, cases[i].lines);
        if (cases[i].words)
            told(&f, "5:1:", cases[i].words);
        snprintf(text, sizeof text, HEAD "lr = 0.1\n%s", cases[i].lines); /* nothing to choose */
        assert_int_equal(read_text(&f, text), LVT_OK);
    }
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(seeds), cmocka_unit_test(selected)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
