/* Experiment files, as lists of runs, and whether a run that was begun is still the file's: on folders
 * written here. */
#include "runtime/continual/metrics.h"
#include "runtime/sweep/sweep.h"
#include "ir/base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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
    assert_int_equal(lvt_file_write(NULL, f->file, text, strlen(text), NULL), LVT_OK);
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

/* Each two rows of an experiment whose programs must not be one. */
static void programs(void **state) {
    (void)state;
    static const char *const texts[] = {
        "data = digits\n[1]\nmodel = a/m.lvt\n[2]\nmodel = b/m.lvt\n",
        "data = digits\n[1]\nmodel = \"m x.lvt\"\n[2]\nmodel = m_x.lvt\n",
        HEAD "[1]\nset norm = \"a b\"\n[2]\nset norm = a_b\n",
        HEAD "for method = er lvt\n",
    };
    fixture f;
    begin(&f);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        lvt_texts two[2] = {{0}, {0}};
        assert_int_equal(read_text(&f, texts[i]), LVT_OK);
        for (int r = 0; r < 2; r++)
            assert_true(lvt_sweep_program(&f.sweep, "out", r, 0, false, &two[r]));
        assert_string_not_equal(two[0].list[1], two[1].list[1]);
        lvt_texts_free(&two[0]);
        lvt_texts_free(&two[1]);
    }
    end(&f);
}

static void write_in(const fixture *f, const char *name, const char *text) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", f->base, name);
    assert_int_equal(lvt_file_write(NULL, path, text, strlen(text), NULL), LVT_OK);
}

static void make_in(const fixture *f, const char *name) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", f->base, name);
    assert_int_equal(mkdir(path, 0777), 0);
}

static void begun(void **state) {
    (void)state;
    static const char *const folders[] = {"final", "final/run,seed=1", "state", "state/final"};
    static const struct {
        const char *text; /* of the experiment */
        uint64_t program, data;
        const char *place, *words, *old; /* old: words when the state file does not say what was compiled */
    } cases[] = {
        {HEAD "set width = 32\ntasks = 2\n", 0xab, 0xcd, NULL, NULL, NULL},
        {HEAD "set width = 16\ntasks = 2\n", 0xab, 0xcd, NULL, NULL, NULL}, /* the very same program */
        {HEAD "set width = 16\ntasks = 2\n", 0xac, 0xcd, "4:1:", "width=32, and now there is width=16",
         "a setting of the model, the model file"},
        {HEAD "set width = 32\ntasks = 2\n", 0xac, 0xcd, "1:1:", "note: the model file", "a setting of the"},
        {HEAD "set width = 32\n\ntasks = 3\n", 0xab, 0xcd, "6:1:", "--tasks=2, and now there is --tasks=3",
         "--tasks=3"},
        {HEAD "set width = 32\ntasks = 2\ncoef alpha = 1\n", 0xab, 0xcd,
         "6:1:", "begun without --coef=alpha=1", "begun without"},
        {HEAD "set width = 32\n", 0xab, 0xcd, "", "begun with --tasks=2\n", "begun with --tasks=2\n"},
        {HEAD "set width = 32\ntasks = 2\n", 0xab, 0xce, "2:1:", "other data than digits",
         "begun with permuted:2:digits"},
        {HEAD "set width = 32\ntasks = 2\n", 0, 0xcd, NULL, NULL, NULL}, /* a program that is not known */
    };
    fixture f;
    begin(&f);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        make_in(&f, folders[i]);
    assert_int_equal(read_text(&f, HEAD "set width = 32\ntasks = 2\n"), LVT_OK);
    lvt_sweep_begun b;
    assert_int_equal(lvt_sweep_begun_read(f.base, f.sweep.runs, &b, NULL), LVT_OK);
    assert_false(b.begun);
    lvt_sweep_begun_free(&b);
    write_in(&f, "final/run,seed=1/settings.json", "{\"program_hash\": 3}");
    assert_int_equal(lvt_sweep_begun_read(f.base, f.sweep.runs, &b, NULL), LVT_USER);
    lvt_sweep_begun_free(&b);
    write_in(&f, "final/run,seed=1/settings.json",
             "{\"program_hash\":\"00000000000000ab\",\"data_fingerprint\":\"00000000000000cd\","
             "\"settings\":{\"data\":\"permuted:2:digits\",\"threads\":3}}");
    for (int old = 0; old < 2; old++) {
        assert_int_equal(read_text(&f, HEAD "set width = 32\ntasks = 2\n"), LVT_OK);
        lvt_sweep_status status = {LVT_SWEEP_DONE, 0, 0, 7};
        assert_int_equal(lvt_sweep_save(&f.sweep, f.base, f.sweep.runs, &status, NULL), LVT_OK);
        if (old) /* as it was written before what is compiled was in it */
            write_in(&f, "state/final/run,seed=1.json",
                     "{\"options\":[\"--tasks=2\",\"--seed=1\",\"--name=run\"],\"state\":\"done\",\"code\":0,"
                     "\"seconds\":7}");
        assert_int_equal(lvt_sweep_load(f.base, f.sweep.runs, &status, NULL), LVT_OK);
        assert_true(status.state == LVT_SWEEP_DONE && status.seconds == 7);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            assert_int_equal(read_text(&f, cases[i].text), LVT_OK);
            assert_int_equal(lvt_sweep_begun_read(f.base, f.sweep.runs, &b, NULL), LVT_OK);
            assert_true(b.begun && b.program == 0xab && b.data == 0xcd && b.threads == 3);
            lvt_status found = lvt_sweep_check(&f.sweep, f.base, f.sweep.runs, &b, cases[i].program, f.diag);
            if (found == LVT_OK)
                found =
                    lvt_sweep_check_data(&f.sweep, f.base, f.sweep.runs, &b, "digits", cases[i].data, f.diag);
            if (found != (cases[i].words ? LVT_USER : LVT_OK))
                fail_msg("case %zu: status %d", i, found);
            if (cases[i].words && !old)
                told(&f, cases[i].place, cases[i].words);
            else if (cases[i].words)
                told(&f, "", cases[i].old);
            lvt_sweep_begun_free(&b);
        }
    }
    end(&f);
}

/* Runs of a search that came to their end without what is looked at are not runs that failed. */
static void chosen(void **state) {
    (void)state;
    static const struct {
        const char *value;
        lvt_sweep_state state;
        const char *place, *words;
    } cases[] = {{"0.5", LVT_SWEEP_DONE, NULL, NULL},
                 {"null", LVT_SWEEP_DONE, "5:1:", "bwt of validation_class_il was not measured"},
                 {"0.5", LVT_SWEEP_FAILED, "1:", "no combination that was tried has come to its end"}};
    static const char *const folders[] = {"search", "search/run,lr_0.1,seed=1", "search/run,lr_0.2,seed=1"};
    fixture f;
    begin(&f);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        make_in(&f, folders[i]);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t k = 1; k < sizeof folders / sizeof *folders; k++) {
            char name[128], text[256];
            snprintf(name, sizeof name, "%s/settings.json", folders[k]);
            write_in(&f, name, "{\"program_hash\":\"ab\",\"settings\":{\"data\":\"digits\",\"tasks\":2}}");
            snprintf(name, sizeof name, "%s/metrics.jsonl", folders[k]);
            snprintf(text, sizeof text,
                     "{\"type\":\"metrics\",\"after_task\":2,\"validation_class_il\":{\"bwt\":%s}}\n",
                     cases[i].value);
            write_in(&f, name, text);
        }
        assert_int_equal(read_text(&f, HEAD "try lr = 0.1 0.2\nselect = bwt\n"), LVT_OK);
        const lvt_sweep_status status[3] = {{.state = cases[i].state}, {.state = cases[i].state}};
        assert_int_equal(lvt_sweep_choose(&f.sweep, f.base, 0, status, f.diag),
                         cases[i].words ? LVT_USER : LVT_OK);
        assert_int_equal(f.sweep.rows[0].chosen, cases[i].words ? -1 : 0);
        if (cases[i].words)
            told(&f, cases[i].place, cases[i].words);
    }
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seeds), cmocka_unit_test(selected), cmocka_unit_test(programs),
        cmocka_unit_test(begun), cmocka_unit_test(chosen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
