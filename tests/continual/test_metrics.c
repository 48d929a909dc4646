/* Metrics against numbers worked out by hand; schedules. */
#include "runtime/continual/metrics.h"
#include "runtime/report/report.h"
#include "runtime/continual/schedule.h"
#include "runtime/continual/usage.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const double exact = 1e-12; /* sums of a few numbers below 1: rounding only */

static void by_hand(void **state) {
    (void)state;
    const double a[4 * 3] = {
        0.1, 0.2, 0.3, /* untrained */
        0.9, 0.3, 0.1, /**/
        0.6, 0.8, 0.4, /**/
        0.7, 0.5, 0.9, /**/
    };
    assert_float_equal(lvt_metric_value("acc", a, 3, 3), (0.7 + 0.5 + 0.9) / 3, exact);
    assert_float_equal(lvt_metric_value("aia", a, 3, 3), (0.9 + (0.6 + 0.8) / 2 + (0.7 + 0.5 + 0.9) / 3) / 3,
                       exact);
    /* task 1: max(0.9, 0.6) - 0.7; task 2: 0.8 - 0.5. The last row does not count as a maximum. */
    assert_float_equal(lvt_metric_value("forgetting", a, 3, 3), (0.2 + 0.3) / 2, exact);
    assert_float_equal(lvt_metric_value("bwt", a, 3, 3), ((0.7 - 0.9) + (0.5 - 0.8)) / 2, exact);
    assert_float_equal(lvt_metric_value("fwt", a, 3, 3), ((0.3 - 0.2) + (0.4 - 0.3)) / 2, exact);
    assert_float_equal(lvt_metric_value("acc", a, 3, 2), 0.7, exact);
    assert_float_equal(lvt_metric_value("forgetting", a, 3, 2), 0.3, exact);
    assert_true(isnan(lvt_metric_value("forgetting", a, 3, 1)));
    assert_true(isnan(lvt_metric_value("bwt", a, 3, 1)));

    /* Other definitions: the last row counts too; since it was learned; as a part; over all three tasks. */
    assert_float_equal(lvt_metric_value("forgetting_all", a, 3, 3), (0.2 + 0.3) / 2, exact);
    assert_float_equal(lvt_metric_value("forgetting_learned", a, 3, 3), (0.2 + 0.3) / 2, exact);
    assert_float_equal(lvt_metric_value("forgetting_relative", a, 3, 3), (0.2 / 0.9 + 0.3 / 0.8) / 2, exact);
    assert_float_equal(lvt_metric_value("forgetting_mean", a, 3, 3), (0.2 + 0.3) / 3, exact);
    /* Task 1 became better first, task 2 in the end: each definition says something else. */
    const double up[4 * 3] = {
        NAN, NAN, NAN, /**/
        0.5, NAN, NAN, /**/
        0.8, 0.4, NAN, /**/
        0.6, 0.5, 0.7, /**/
    };
    assert_float_equal(lvt_metric_value("forgetting", up, 3, 3), (0.2 - 0.1) / 2, exact);
    assert_float_equal(lvt_metric_value("forgetting_all", up, 3, 3), (0.2 + 0) / 2, exact);
    assert_float_equal(lvt_metric_value("forgetting_learned", up, 3, 3), (-0.1 - 0.1) / 2, exact);
    assert_float_equal(lvt_metric_value("forgetting_relative", up, 3, 3), (0.2 / 0.8 - 0.1 / 0.4) / 2, exact);
    assert_float_equal(lvt_metric_value("forgetting_mean", up, 3, 3), 0.2 / 3, exact);
    assert_true(isnan(lvt_metric_value("forgetting_mean", up, 3, 1)));
    int shown[2] = {0, 0};
    for (int choice = 0; lvt_forgettings[choice]; choice++) {
        assert_false(isnan(lvt_metric_value(lvt_forgetting_name(choice), up, 3, 3)));
        for (int i = 0; i < LVT_N_METRICS; i++) {
            shown[0] += lvt_metric_shown(i, choice);
            shown[1] += lvt_metric_shown(i, choice) && lvt_metric_is_forgetting(lvt_metrics[i].name);
        }
    }
    assert_int_equal(shown[0],
                     5 * 5); /* one forgetting and the four that are none, for each of five choices */
    assert_int_equal(shown[1], 5);

    /* Forgetting is negative when the last accuracy is the best one. */
    const double better[3 * 2] = {0, 0, 0.5, NAN, 0.6, 0.7};
    assert_float_equal(lvt_metric_value("forgetting", better, 2, 2), -0.1, exact);
}

static void put(const char *folder, const char *package, const char *file, unsigned long long v) {
    char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, package);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%s/%s", folder, package, file);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "%llu\n", v);
    fclose(f);
}

/* Counters of two packages, one of which begins anew; a part of a package and something else do not count. */
static void usage(void **state) {
    (void)state;
    assert_true(lvt_peak_memory() > 1 << 20 && lvt_peak_memory() < 1e12);
    char folder[] = "/tmp/lvt-power-XXXXXX", command[64];
    assert_non_null(mkdtemp(folder));
    put(folder, "intel-rapl:0", "energy_uj", 5000000);
    put(folder, "intel-rapl:0", "max_energy_range_uj", 10000000);
    put(folder, "intel-rapl:1", "energy_uj", 9000000);
    put(folder, "intel-rapl:1", "max_energy_range_uj", 10000000);
    put(folder, "intel-rapl:0:0", "energy_uj", 1);
    put(folder, "intel-rapl:0:0", "max_energy_range_uj", 10000000);
    put(folder, "dtpm", "energy_uj", 1);
    lvt_energy e;
    lvt_energy_open(&e, folder);
    assert_int_equal(e.n, 2);
    lvt_energy_sample(&e);
    assert_true(e.joules == 0);
    put(folder, "intel-rapl:0", "energy_uj", 7500000);
    put(folder, "intel-rapl:1", "energy_uj", 500000);
    put(folder, "intel-rapl:0:0", "energy_uj", 900000);
    lvt_energy_sample(&e);
    assert_float_equal(e.joules, 2.5 + 1.5, exact);
    lvt_energy_sample(&e);
    assert_float_equal(e.joules, 4, exact);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
    lvt_energy_sample(&e); /* counters that vanish add nothing */
    assert_float_equal(e.joules, 4, exact);
    lvt_energy_close(&e);
    lvt_energy_open(&e, folder);
    assert_int_equal(e.n, 0);
    lvt_energy_sample(&e);
    lvt_energy_close(&e);
}

static void schedules(void **state) {
    (void)state;
    lvt_settings s;
    lvt_settings_defaults(&s);
    assert_float_equal(lvt_lr_at(&s, 0.1, 77, 100), 0.1, exact);
    s.lr_schedule = LVT_LR_COSINE;
    assert_float_equal(lvt_lr_at(&s, 0.1, 0, 100), 0.1, exact);
    assert_float_equal(lvt_lr_at(&s, 0.1, 50, 100), 0.05, exact);
    s.lr_schedule = LVT_LR_STEP;
    assert_float_equal(lvt_lr_at(&s, 0.1, 49, 100), 0.1, exact);
    assert_float_equal(lvt_lr_at(&s, 0.1, 50, 100), 0.01, exact);
    assert_float_equal(lvt_lr_at(&s, 0.1, 75, 100), 0.001, exact);
    s.lr_schedule = LVT_LR_CONSTANT;
    s.lr_warmup = 10;
    assert_float_equal(lvt_lr_at(&s, 0.1, 0, 100), 0.01, exact);
    assert_float_equal(lvt_lr_at(&s, 0.1, 9, 100), 0.1, exact);
    assert_float_equal(lvt_r_at(0.8, 0.9, 0), 1, exact);
    assert_float_equal(lvt_r_at(0.8, 0.9, 2), 0.8 * 0.81, exact);
}

static void settings_round_trip(void **state) {
    (void)state;
    lvt_settings s, back;
    lvt_settings_defaults(&s);
    s.data = "digits";
    s.seed = 0xfedcba9876543210u; /* more than a double holds */
    s.tasks = 7;
    s.lr = 0.1;
    s.policy = LVT_POLICY_herding;
    s.no_drift = true;
    s.coef.items[0] = "alpha=2";
    s.coef.n = 1;
    cJSON *j = lvt_settings_to_json(&s);
    assert_non_null(j);
    char *text = cJSON_Print(j);
    cJSON *k = cJSON_Parse(text);
    assert_int_equal(lvt_settings_from_json(k, "test", &back, NULL), LVT_OK);
    assert_true(back.seed == s.seed);
    assert_string_equal(back.data, "digits");
    assert_null(back.resize);
    assert_int_equal(back.tasks, 7);
    assert_true(back.lr == 0.1);
    assert_int_equal(back.policy, LVT_POLICY_herding);
    assert_true(back.no_drift);
    assert_string_equal(back.coef.items[0], "alpha=2");
    cJSON_ReplaceItemInObject(k, "tasks", cJSON_CreateNumber(0));
    assert_int_equal(lvt_settings_from_json(k, "test", &back, NULL), LVT_USER);
    cJSON_ReplaceItemInObject(k, "tasks", cJSON_CreateString("many"));
    assert_int_equal(lvt_settings_from_json(k, "test", &back, NULL), LVT_USER);
    cJSON_Delete(j);
    cJSON_Delete(k);
    cJSON_free(text);
}

/* Two bins: 4 images at 0.5 of which 1 is right (off by 0.25), 6 at 0.9 of which 6 are (0.1): (4 * 0.25 + 6 *
 * 0.1) / 10. */
static void calibration(void **state) {
    (void)state;
    double bins[LVT_CALIBRATION_BINS * 3] = {0};
    assert_true(isnan(lvt_calibration_error(bins)));
    memcpy(bins + 3 * 7, ((double[]){4, 2, 1}), 3 * sizeof(double));
    memcpy(bins + 3 * 13, ((double[]){6, 5.4, 6}), 3 * sizeof(double));
    assert_float_equal(lvt_calibration_error(bins), 0.16, 1e-12); /* rounding of a few sums */
}

static void reports(void **state) {
    (void)state;
    int order[] = {2, 0, 1, 3}, first[] = {0, 2, 4}, task_of[] = {0, 1, 0, 1};
    lvt_tasks tasks = {2, 4, order, first, task_of};
    double a[] = {NAN, NAN, 0.75, NAN, 0.5, 1}, b[] = {NAN, NAN, 0.75, NAN, 0.625, 1};
    double *matrices[LVT_N_MATRICES] = {a, b};
    static char *names[] = {"pear", "a \"b\", c", "=1+1",
                            "fig"}; /* quoted, and no formula of a spreadsheet */
    const lvt_dataset data = {.class_names = names};
    lvt_accuracies acc = {.tasks = &tasks, .in = matrices, .learned = 2, .data = &data, .trial = ""};
    char *text = lvt_report_text(&acc);
    assert_non_null(strstr(text, "     1  75.0     -  75.00\n"));
    assert_non_null(strstr(text, "     2  50.0 100.0  75.00\n"));
    assert_non_null(strstr(text, "forgetting                         25.00     12.50   1/(T-1) sum"));
    free(text);
    char path[] = "/tmp/lvt-report-XXXXXX", line[256];
    close(mkstemp(path));
    assert_int_equal(lvt_report_csv(&acc, NULL, path, NULL), LVT_OK);
    FILE *f = fopen(path, "r");
    static const char *const lines[] = {"scenario,after_task,task,classes,accuracy,names\n",
                                        "class_il,1,1,2 0,0.750000,\"\'=1+1; pear\"\n",
                                        "class_il,2,1,2 0,0.500000,\"\'=1+1; pear\"\n",
                                        "class_il,2,2,1 3,1.000000,\"a \"\"b\"\", c; fig\"\n",
                                        "task_il,1,1,2 0,0.750000,\"\'=1+1; pear\"\n",
                                        "task_il,2,1,2 0,0.625000,\"\'=1+1; pear\"\n",
                                        "task_il,2,2,1 3,1.000000,\"a \"\"b\"\", c; fig\"\n"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        assert_non_null(fgets(line, sizeof line, f));
        assert_string_equal(line, lines[i]);
    }
    assert_null(fgets(line, sizeof line, f));
    fclose(f);
    /* Labels in the order they were learned. */
    int32_t confusion[16] = {3, 0, 0, 1, 0, 4, 0, 0, 0, 0, 5, 0, 2, 0, 0, 6};
    assert_int_equal(lvt_report_confusion(&acc, confusion, NULL, path, NULL), LVT_OK);
    f = fopen(path, "r");
    static const char *const rows[] = {"label,name,2,0,1,3\n", "2,\"'=1+1\",5,0,0,0\n",
                                       "0,\"pear\",0,3,0,1\n", "1,\"a \"\"b\"\", c\",0,0,4,0\n",
                                       "3,\"fig\",0,2,0,6\n"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_non_null(fgets(line, sizeof line, f));
        assert_string_equal(line, rows[i]);
    }
    assert_null(fgets(line, sizeof line, f));
    fclose(f);
    /* With validation images there are two more scenarios. */
    matrices[LVT_VALIDATION_CLASS_IL] = matrices[LVT_VALIDATION_TASK_IL] = a;
    assert_int_equal(lvt_report_csv(&acc, NULL, path, NULL), LVT_OK);
    f = fopen(path, "r");
    int validation = 0;
    while (fgets(line, sizeof line, f))
        validation += !strncmp(line, "validation_", 11);
    assert_int_equal(validation, 6);
    fclose(f);
    assert_int_equal(lvt_report_svg(&acc, "a <b> & c", NULL, path, NULL), LVT_OK);
    f = fopen(path, "r");
    bool title = false;
    while (fgets(line, sizeof line, f))
        title |= strstr(line, "a &#60;b&#62; &#38; c") != NULL;
    assert_true(title);
    fclose(f);
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),     cmocka_unit_test(usage),
        cmocka_unit_test(schedules),   cmocka_unit_test(settings_round_trip),
        cmocka_unit_test(calibration), cmocka_unit_test(reports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
