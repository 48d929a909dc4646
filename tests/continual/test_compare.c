/* Intervals and groups of runs, on folders written here. */
#include "runtime/report/compare.h"
#include "ir/base/file.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static void intervals(void **state) {
    (void)state;
    lvt_interval v = lvt_interval_of((double[]){1, 2, 3}, 3);
    /* mean 2, deviation 1: 4.303 (t for 2 degrees of freedom) / sqrt(3) */
    assert_float_equal(v.mean, 2, 1e-12);
    assert_float_equal(v.half, 4.303 / sqrt(3), 1e-12);
    assert_float_equal(v.deviation, 1, 1e-12);
    v = lvt_interval_of((double[]){5}, 1);
    assert_true(v.mean == 5 && isnan(v.half));
    v = lvt_interval_of(NULL, 0);
    assert_true(v.n == 0 && isnan(v.mean));
}

static void put(const char *folder, const char *name, const char *text) {
    char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(lvt_file_write(NULL, path, text, strlen(text), NULL), LVT_OK);
}

static char *write_run(const char *base, const char *name, int seed, int memory, const char *records) {
    static char path[160];
    char text[256];
    snprintf(path, sizeof path, "%s/%s", base, name);
    assert_int_equal(mkdir(path, 0777), 0);
    snprintf(text, sizeof text,
             "{\"program\":\"p\",\"program_hash\":\"ab\",\"settings\":{\"seed\":\"%d\",\"tasks\":2,"
             "\"memory\":%d}}",
             seed, memory);
    put(path, "settings.json", text);
    put(path, "metrics.jsonl", records);
    return strdup(path);
}

static void remove_runs(const char *base, char **folders, int n) {
    char command[64];
    for (int i = 0; i < n; i++)
        free(folders[i]);
    snprintf(command, sizeof command, "rm -rf %s", base);
    assert_int_equal(system(command), 0);
}

static void groups(void **state) {
    (void)state;
    char base[] = "/tmp/lvt-compare-XXXXXX";
    assert_non_null(mkdtemp(base));
    char *folders[] = {
        write_run(base, "a", 1, 10,
                  "{\"type\":\"train\",\"loss\":1}\n"
                  "{\"type\":\"metrics\",\"after_task\":1,\"class_il\":{\"acc\":0.9},\"task_seconds\":2}\n"
                  "{\"type\":\"metrics\",\"after_task\":2,\"class_il\":{\"acc\":0.5,\"forgetting\":0.2},"
                  "\"task_seconds\":3}\n"),
        write_run(base, "b", 1, 20,
                  "{\"type\":\"metrics\",\"after_task\":1,\"class_il\":{\"acc\":0.8}}\n{\"type\":\"metr"),
        write_run(base, "c", 2, 10,
                  "{\"type\":\"metrics\",\"after_task\":2,\"class_il\":{\"acc\":0.7,\"forgetting\":null}}\n"),
    };
    lvt_comparison c;
    assert_int_equal(lvt_comparison_read(&c, folders, 3, NULL), LVT_OK);
    assert_int_equal(c.n_groups, 2);
    assert_int_equal(c.runs[2].group, 0); /* another seed is the same experiment */
    assert_string_equal(c.labels[0], "memory 10");
    assert_string_equal(c.labels[1], "memory 20");
    lvt_interval v = lvt_comparison_value(&c, 0, 0, 0);
    assert_int_equal(v.n, 2);
    assert_float_equal(v.mean, 0.6, 1e-12);
    assert_int_equal(lvt_comparison_value(&c, 0, 2, 0).n, 1); /* null is not there */
    assert_float_equal(lvt_comparison_value(&c, 0, LVT_COMPARED_SECONDS, 0).mean, 5, 1e-12);
    assert_int_equal(c.runs[1].learned, 1);
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    lvt_comparison_text(&c, f);
    lvt_comparison_csv(&c, f);
    lvt_comparison_svg(&c, f);
    fclose(f);
    assert_non_null(strstr(text, "/b is not finished: 1 of 2 tasks"));
    assert_non_null(strstr(
        text, "\"memory 10\",2,class_il,acc,0.600000,-0.670600,1.870600,0.141421\n")); /* 12.706 * 0.1 */
    assert_non_null(strstr(text, "</svg>"));
    assert_null(strstr(text, "nan"));
    free(text);
    lvt_comparison_free(&c);
    /* Runs of a group that are not equally far: what they have in common. */
    char *uneven[] = {
        folders[0],
        write_run(base, "d", 1, 10, "{\"type\":\"metrics\",\"after_task\":1,\"class_il\":{\"acc\":0.7}}\n")};
    assert_int_equal(lvt_comparison_read(&c, uneven, 2, NULL), LVT_OK);
    assert_int_equal(c.n_groups, 1);
    assert_float_equal(lvt_comparison_value(&c, 0, 0, 0).mean, 0.8, 1e-12);
    f = open_memstream(&text, &size);
    lvt_comparison_text(&c, f);
    fclose(f);
    assert_non_null(strstr(text, "of what all its runs have learned"));
    assert_non_null(strstr(text, "have the same seed"));
    free(text);
    lvt_comparison_free(&c);
    /* The place of the data does not matter, what they are does. */
    for (int i = 0; i < 2; i++) {
        char words[256];
        snprintf(
            words, sizeof words,
            "{\"program\":\"p\",\"program_hash\":\"ab\",\"data_fingerprint\":\"%d\",\"settings\":{\"seed\":"
            "\"1\",\"tasks\":2,\"data\":\"rotated:%d:digits\"}}",
            i, i + 2);
        put(uneven[i], "settings.json", words);
    }
    assert_int_equal(lvt_comparison_read(&c, uneven, 2, NULL), LVT_OK);
    assert_int_equal(c.n_groups, 2);
    assert_string_equal(c.labels[1], "data rotated:3:digits");
    lvt_comparison_free(&c);
    /* All domains have the same classes, so that both scenarios are one: only when all runs are of domains.
     */
    for (int domains = 1; domains <= 2; domains++) {
        for (int i = 0; i < 2; i++) {
            char words[256];
            snprintf(words, sizeof words,
                     "{\"program\":\"p\",\"program_hash\":\"ab\",\"domains\":%s,\"settings\":{\"seed\":\"1\","
                     "\"tasks\":2}}",
                     i < domains ? "true" : "false");
            put(uneven[i], "settings.json", words);
            const char *record = "{\"type\":\"metrics\",\"after_task\":1,\"class_il\":{\"acc\":0.7},\"task_"
                                 "il\":{\"acc\":0.7}}\n";
            put(uneven[i], "metrics.jsonl", record);
        }
        assert_int_equal(lvt_comparison_read(&c, uneven, 2, NULL), LVT_OK);
        f = open_memstream(&text, &size);
        lvt_comparison_text(&c, f);
        lvt_comparison_svg(&c, f);
        fclose(f);
        assert_int_equal(strstr(text, "Domain-IL, accuracy") != NULL, domains == 2);
        assert_int_equal(strstr(text, "Class-IL") != NULL, domains < 2);
        assert_int_equal(strstr(text, "Task-IL") != NULL, domains < 2);
        free(text);
        lvt_comparison_free(&c);
    }
    /* Names longer than the place beside bars are above them; what was not given is not told. */
    for (int i = 0; i < 2; i++) {
        char words[400];
        snprintf(words, sizeof words,
                 "{\"program\":\"p\",\"program_hash\":\"ab\",\"settings\":{\"seed\":\"1\",\"tasks\":2,"
                 "\"method\":\"er\",\"split\":%s,\"fwt\":%s,\"coef\":%s}}",
                 i ? "\"1,2,3,4,5,6,7,8,9,10,11,12,13\"" : "null", i ? "true" : "false",
                 i ? "[\"a=1\"]" : "[]");
        put(uneven[i], "settings.json", words);
    }
    assert_int_equal(lvt_comparison_read(&c, uneven, 2, NULL), LVT_OK);
    assert_string_equal(c.labels[0], "er");
    assert_string_equal(c.labels[1], "split 1,2,3,4,5,6,7,8,9,10,11,12,13, fwt true, coef [\"a=1\"]");
    f = open_memstream(&text, &size);
    lvt_comparison_svg(&c, f);
    fclose(f);
    char *name = strstr(text, ">split 1,2,3"), *first_bar = strstr(text, "opacity='.85'");
    assert_true(name && first_bar);
    double name_y = 0, bars_y = 0;
    while (name > text && strncmp(name, " y='", 4))
        name--;
    char *group = first_bar;
    while (group > text && strncmp(group, "<g transform='translate(", 24))
        group--;
    assert_int_equal(sscanf(name, " y='%lf'", &name_y) + sscanf(strchr(group, ','), ",%lf", &bars_y), 2);
    double second = 0; /* the bar of the second experiment is below its name */
    assert_non_null(strstr(first_bar + 1, "opacity='.85'"));
    char *bar = strstr(first_bar + 1, "<rect");
    assert_int_equal(sscanf(strstr(bar, " y='"), " y='%lf'", &second), 1);
    assert_true(bars_y + second > name_y);
    free(text);
    lvt_comparison_free(&c);
    free(uneven[1]);
    char *wrong[] = {base};
    assert_int_equal(lvt_comparison_read(&c, wrong, 1, NULL), LVT_USER);
    lvt_comparison_free(&c);
    remove_runs(base, folders, 3);
}

/* What a trial measured is called so wherever its group is named, and tables for texts have every seed. */
static void tables(void **state) {
    (void)state;
    char base[] = "/tmp/lvt-compare-XXXXXX", text_of[3][900];
    assert_non_null(mkdtemp(base));
    char *folders[3];
    for (int i = 0; i < 3; i++) {
        char name[4], words[400], records[400];
        snprintf(name, sizeof name, "%c", 'a' + i);
        snprintf(records, sizeof records,
                 "{\"type\":\"metrics\",\"after_task\":1,\"class_il\":{\"acc\":null},\"task_seconds\":1}\n"
                 "{\"type\":\"metrics\",\"after_task\":2,\"class_il\":{\"acc\":%.1f},\"task_seconds\":2}\n",
                 0.5 + 0.1 * i);
        folders[i] = write_run(base, name, 1, 10, records);
        snprintf(words, sizeof words,
                 "{\"program\":\"p\",\"program_hash\":\"ab\",\"settings\":{\"seed\":\"%d\",\"tasks\":2,"
                 "\"name\":\"%s\",\"test_images\":%d,\"eval_every\":2}}",
                 i + 1, i < 2 ? "a_b & |c|" : "other", i < 2 ? 0 : 100);
        put(folders[i], "settings.json", words);
    }
    lvt_comparison c;
    assert_int_equal(lvt_comparison_read(&c, folders, 3, NULL), LVT_OK);
    assert_int_equal(c.n_groups, 2);
    assert_string_equal(c.labels[0], "a_b & |c| (trial: measured every 2 tasks)");
    assert_string_equal(c.labels[1], "other (trial: 100 test images, measured every 2 tasks)");
    for (int k = 0; k < 3; k++) {
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);
        lvt_comparison_formats[k + 1].put(&c, f);
        fclose(f);
        assert_true(size < sizeof text_of[k]);
        memcpy(text_of[k], text, size + 1);
        assert_null(strstr(text, "nan"));
        free(text);
    }
    /* Mean 0.55, deviation of 0.5 and 0.6: 0.1 / sqrt(2). Seconds add up over the task that was not measured. */
    assert_non_null(strstr(text_of[0],
                           "| a\\_b & \\|c\\| (trial: measured every 2 tasks) | 2 | 55.00 ± 7.07 | 3.00 ± "
                           "0.00 |\n| · seed 1 |  | 50.00 | 3.00 |\n| · seed 2 |  | 60.00 | 3.00 |\n"));
    assert_non_null(
        strstr(text_of[1], "a\\_b \\& |c| (trial: measured every 2 tasks) & 2 & 55.00 $\\pm$ 7.07 & "));
    assert_non_null(strstr(text_of[1], "\\quad seed 2 &  & 60.00 & 3.00 \\\\\n"));
    assert_non_null(strstr(text_of[2],
                           "group,seed,class_il,seconds\n"
                           "\"a_b & |c| (trial: measured every 2 tasks)\",mean,55.000000,3.000000\n"
                           "\"a_b & |c| (trial: measured every 2 tasks)\",deviation,7.071068,0.000000\n"
                           "\"a_b & |c| (trial: measured every 2 tasks)\",1,50.000000,3.000000\n"));
    lvt_comparison_free(&c);
    remove_runs(base, folders, 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(intervals), cmocka_unit_test(groups),
                                       cmocka_unit_test(tables)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
