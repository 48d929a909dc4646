/* Reading and grouping of runs, intervals, table and CSV. May not know: training, command lines. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* asprintf */
#endif
#include "compare.h"
#include "record.h"
#include "ir/base/file.h"
#include "ir/program/json.h"
#include "ir/base/c_locale.h"
#include "ir/base/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading ------------------------------------------------------------------------------------------- */

static void read_record(lvt_compared_run *r, const cJSON *o) {
    double after = lvt_record_number(o, "after_task");
    if (!lvt_record_is(o, "metrics") || !(after >= 1 && after <= r->tasks))
        return;
    double *row = r->values + (int)after * LVT_N_COMPARED;
    for (int s = 0; s < LVT_N_MATRICES; s++) {
        const cJSON *values = cJSON_GetObjectItemCaseSensitive(o, lvt_matrix_names[s]);
        for (int i = 0; i < LVT_N_METRICS; i++)
            row[s * LVT_N_METRICS + i] = lvt_record_number(values, lvt_metrics[i].name);
    }
    row[LVT_COMPARED_ECE] = lvt_record_number(o, "calibration_error");
    double before = after > 1 ? row[LVT_COMPARED_SECONDS - LVT_N_COMPARED] : 0;
    row[LVT_COMPARED_SECONDS] = before + lvt_record_number(o, "task_seconds");
    row[LVT_COMPARED_MEMORY] = lvt_record_number(o, "peak_memory_bytes");
    row[LVT_COMPARED_ENERGY] = lvt_record_number(o, "energy_joules");
    /* A trial does not measure after every task. */
    if (!isnan(row[0]) || !cJSON_GetObjectItemCaseSensitive(o, lvt_matrix_names[0]))
        r->learned = (int)after;
}

static lvt_status read_run(lvt_compared_run *r, const char *folder, lvt_diag *diag) {
    char *settings = lvt_path_join(folder, "settings.json"),
         *metrics = lvt_path_join(folder, "metrics.jsonl");
    uint8_t *bytes = NULL;
    size_t size;
    lvt_status status = LVT_OK;
    if (!settings || !metrics || !(r->folder = strdup(folder)))
        status = lvt_no_memory(diag, NULL);
    else if (!lvt_path_exists(settings))
        status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                           "%s: not the folder of a run (no settings.json in it)", folder);
    if (status == LVT_OK)
        status = lvt_file_read(settings, &bytes, &size, diag);
    if (status == LVT_OK) {
        r->settings = lvt_json_read((char *)bytes, size);
        double tasks = lvt_record_number(cJSON_GetObjectItemCaseSensitive(r->settings, "settings"), "tasks");
        r->tasks = tasks >= 1 && tasks <= 100000 ? (int)tasks : 0;
        if (!r->tasks)
            status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: not the settings of a run", settings);
        else if (!(r->values = malloc((size_t)(r->tasks + 1) * LVT_N_COMPARED * sizeof *r->values)))
            status = lvt_no_memory(diag, NULL);
    }
    free(bytes);
    bytes = NULL;
    if (status == LVT_OK)
        status = lvt_file_read(metrics, &bytes, &size, diag);
    if (status == LVT_OK) {
        for (int i = 0; i < (r->tasks + 1) * LVT_N_COMPARED; i++)
            r->values[i] = NAN;
        char *rest = (char *)bytes, *line;
        while ((line = strsep(&rest, "\n"))) {
            cJSON *o =
                *line ? lvt_json_read(line, strlen(line)) : NULL; /* a line cut off by a crash is no object */
            read_record(r, o);
            cJSON_Delete(o);
        }
        if (!r->learned)
            status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: no task has been learned yet", folder);
    }
    free(bytes);
    free(settings);
    free(metrics);
    return status;
}

/* ---- groups -------------------------------------------------------------------------------------------- */

/* Settings that do not make another experiment. */
static bool ignored(const char *name) {
    static const char *const names[] = {"seed",      "data",      "threads", "checkpoint_every",
                                        "log_every", "forgetting"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!strcmp(name, names[i]))
            return true;
    }
    return false;
}

static const cJSON *settings_of(const lvt_compared_run *r) {
    return cJSON_GetObjectItemCaseSensitive(r->settings, "settings");
}

static bool same_item(const lvt_compared_run *a, const lvt_compared_run *b, const char *name) {
    const cJSON *x = cJSON_GetObjectItemCaseSensitive(settings_of(a), name),
                *y = cJSON_GetObjectItemCaseSensitive(settings_of(b), name);
    return (!x && !y) || (x && y && cJSON_Compare(x, y, true));
}

static bool same_program(const lvt_compared_run *a, const lvt_compared_run *b) {
    return cJSON_Compare(cJSON_GetObjectItemCaseSensitive(a->settings, "program_hash"),
                         cJSON_GetObjectItemCaseSensitive(b->settings, "program_hash"), true);
}

/* Where data lie does not matter, what they are does. Runs of before it was written down: true. */
static bool same_data(const lvt_compared_run *a, const lvt_compared_run *b) {
    const cJSON *x = cJSON_GetObjectItemCaseSensitive(a->settings, "data_fingerprint"),
                *y = cJSON_GetObjectItemCaseSensitive(b->settings, "data_fingerprint");
    return !x || !y || cJSON_Compare(x, y, true);
}

static bool same_experiment(const lvt_compared_run *a, const lvt_compared_run *b) {
    const cJSON *j;
    cJSON_ArrayForEach(j, settings_of(a)) {
        if (!ignored(j->string) && !same_item(a, b, j->string))
            return false;
    }
    cJSON_ArrayForEach(j, settings_of(b)) {
        if (!ignored(j->string) && !same_item(a, b, j->string))
            return false;
    }
    return same_program(a, b) && same_data(a, b);
}

/* What a run is a trial of (lvt_settings_trial). */
static void trial_of(const lvt_compared_run *r, char text[LVT_TRIAL_TEXT]) {
    lvt_settings s;
    *text = 0;
    if (lvt_settings_from_json(settings_of(r), r->folder, &s, NULL) == LVT_OK)
        lvt_settings_trial(&s, text);
}

static const lvt_compared_run *first_of(const lvt_comparison *c, int group) {
    int i = 0;
    while (c->runs[i].group != group)
        i++;
    return &c->runs[i];
}

static const char *name_of(const lvt_compared_run *r) {
    const cJSON *j = cJSON_GetObjectItemCaseSensitive(settings_of(r), "name");
    return cJSON_IsString(j) && *j->valuestring ? j->valuestring : NULL;
}

/* Does the group have a name, and no other group the same? */
static bool named(const lvt_comparison *c, int group) {
    const char *name = name_of(first_of(c, group));
    for (int g = 0; g < c->n_groups && name; g++) {
        const char *other = g == group ? NULL : name_of(first_of(c, g));
        if (other && !strcmp(name, other))
            return false;
    }
    return name != NULL;
}

/* An option that was not given: the others say that they have it. */
static bool says_nothing(const cJSON *value) {
    return cJSON_IsNull(value) || cJSON_IsFalse(value) || (cJSON_IsArray(value) && !value->child);
}

/* Settings that the label of a trial has in words. */
static bool told_as_trial(const char *name) {
    return !strcmp(name, "test_images") || !strcmp(name, "eval_every") || !strcmp(name, "steps");
}

/* What it was called; else "er, memory 100": program and settings in which some group differs from another.
 */
static char *name_group(const lvt_comparison *c, int group) {
    const lvt_compared_run *r = first_of(c, group);
    if (named(c, group))
        return strdup(name_of(r));
    const cJSON *program = cJSON_GetObjectItemCaseSensitive(r->settings, "program"), *j;
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return NULL;
    bool any = false, programs = false;
    for (int g = 0; g < c->n_groups; g++)
        programs |= !cJSON_Compare(
            program, cJSON_GetObjectItemCaseSensitive(first_of(c, g)->settings, "program"), true);
    if (programs || c->n_groups == 1) {
        fprintf(f, "%s", cJSON_IsString(program) ? program->valuestring : "?");
        any = true;
    }
    cJSON_ArrayForEach(j, settings_of(r)) {
        bool differs = c->n_groups == 1 && !strcmp(j->string, "method");
        for (int g = 0; g < c->n_groups; g++)
            differs |= told_as_trial(j->string) ? false
                       : !strcmp(j->string, "data")
                           ? !same_data(r, first_of(c, g))
                           : !ignored(j->string) && !same_item(r, first_of(c, g), j->string);
        if (!differs || says_nothing(j))
            continue;
        char *value = lvt_json_text(j, false);
        if (!strcmp(j->string, "method") && cJSON_IsString(j))
            fprintf(f, "%s%s", any ? ", " : "", j->valuestring);
        else
            fprintf(f, "%s%s %s", any ? ", " : "", j->string,
                    cJSON_IsString(j) ? j->valuestring
                    : value           ? value
                                      : "?");
        free(value);
        any = true;
    }
    const cJSON *method = cJSON_GetObjectItemCaseSensitive(settings_of(r), "method");
    if (!any && cJSON_IsString(method)) {
        fprintf(f, "%s", method->valuestring);
        any = true;
    }
    /* Programs of one name that were compiled with other settings. */
    bool twin = !any;
    for (int g = 0; g < c->n_groups; g++)
        twin |= g != group && !same_program(r, first_of(c, g)) && !programs &&
                same_item(r, first_of(c, g), "method");
    const cJSON *hash = cJSON_GetObjectItemCaseSensitive(r->settings, "program_hash");
    if (twin && cJSON_IsString(hash))
        fprintf(f, "%sprogram %.6s", any ? ", " : "", hash->valuestring);
    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* A trial is called one wherever its group is named. */
static char *label_of(const lvt_comparison *c, int group) {
    char trial[LVT_TRIAL_TEXT], *name = name_group(c, group), *text = NULL;
    trial_of(first_of(c, group), trial);
    if (!name || !*trial)
        return name;
    if (asprintf(&text, "%s (%s)", name, trial) < 0)
        text = NULL;
    free(name);
    return text;
}

lvt_status lvt_comparison_folders(char **folders, int n, lvt_texts *out, lvt_diag *diag) {
    lvt_status status = LVT_OK;
    for (int i = 0; i < n && status == LVT_OK; i++) {
        char *settings = lvt_path_join(folders[i], "settings.json"),
             *list = lvt_path_join(folders[i], "final/list");
        uint8_t *bytes = NULL;
        size_t size;
        int before = out->n;
        out->failed |= !settings || !list;
        if (!out->failed && (lvt_path_exists(settings) || !lvt_path_exists(list))) {
            lvt_texts_add(out, "%s", folders[i]);
        } else if (!out->failed && (status = lvt_file_read(list, &bytes, &size, diag)) == LVT_OK) {
            char *rest = (char *)bytes, *name, *file = NULL;
            while ((name = strsep(&rest, "\n")) && !out->failed) {
                out->failed = asprintf(&file, "%s/final/%s/accuracy.csv", folders[i], name) < 0;
                if (!out->failed && *name && lvt_path_exists(file)) /* it has learned a task */
                    lvt_texts_add(out, "%s/final/%s", folders[i], name);
                if (!out->failed)
                    free(file);
            }
            if (out->n == before && !out->failed)
                status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: no run has learned a task yet",
                                   folders[i]);
        }
        free(bytes);
        free(settings);
        free(list);
    }
    return out->failed ? lvt_no_memory(diag, NULL) : status;
}

lvt_status lvt_comparison_read(lvt_comparison *c, char **folders, int n, lvt_diag *diag) {
    *c = (lvt_comparison){.domains = n > 0};
    if (!(c->runs = calloc((size_t)n + 1, sizeof *c->runs)) ||
        !(c->labels = calloc((size_t)n + 1, sizeof *c->labels)))
        return lvt_no_memory(diag, NULL);
    for (int i = 0; i < n; i++) {
        lvt_compared_run *r = &c->runs[c->n++];
        lvt_status status = read_run(r, folders[i], diag);
        if (status != LVT_OK)
            return status;
        c->tasks = r->tasks > c->tasks ? r->tasks : c->tasks;
        c->domains &= cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(r->settings, "domains"));
        r->group = c->n_groups;
        for (int k = 0; k < i && r->group == c->n_groups; k++) {
            if (same_experiment(r, &c->runs[k]))
                r->group = c->runs[k].group;
        }
        c->n_groups += r->group == c->n_groups;
    }
    for (int g = 0; g < c->n_groups; g++) {
        if (!(c->labels[g] = label_of(c, g)))
            return lvt_no_memory(diag, NULL);
    }
    return LVT_OK;
}

void lvt_comparison_free(lvt_comparison *c) {
    for (int i = 0; i < c->n; i++) {
        free(c->runs[i].folder);
        free(c->runs[i].values);
        cJSON_Delete(c->runs[i].settings);
    }
    for (int g = 0; g < c->n_groups && c->labels; g++)
        free(c->labels[g]);
    free(c->labels);
    free(c->runs);
    *c = (lvt_comparison){0};
}

/* ---- intervals ----------------------------------------------------------------------------------------- */

lvt_interval lvt_interval_of(const double *values, int n) {
    /* 97.5% points of Student's t for 1..30 degrees of freedom; beyond, the normal distribution's is within
     * 4%. */
    static const double t[] = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
                               2.201,  2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
                               2.080,  2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042};
    lvt_interval r = {n, n ? 0 : NAN, NAN, NAN};
    for (int i = 0; i < n; i++)
        r.mean += values[i] / n;
    if (n > 1) {
        double squares = 0;
        for (int i = 0; i < n; i++)
            squares += (values[i] - r.mean) * (values[i] - r.mean);
        r.deviation = sqrt(squares / (n - 1));
        r.half = (n - 1 <= 30 ? t[n - 2] : 1.96) * sqrt(squares / (n - 1) / n);
    }
    return r;
}

/* Tasks that all runs of a group have learned. */
static int common(const lvt_comparison *c, int group) {
    int least = c->tasks;
    for (int i = 0; i < c->n; i++)
        least = c->runs[i].group == group && c->runs[i].learned < least ? c->runs[i].learned : least;
    return least;
}

lvt_interval lvt_comparison_value(const lvt_comparison *c, int group, int what, int learned) {
    double *values = malloc((size_t)(c->n + 1) * sizeof *values);
    int n = 0, row = learned ? learned : common(c, group);
    for (int i = 0; i < c->n && values; i++) {
        const lvt_compared_run *r = &c->runs[i];
        if (r->group == group && row <= r->learned && !isnan(r->values[row * LVT_N_COMPARED + what]))
            values[n++] = r->values[row * LVT_N_COMPARED + what];
    }
    lvt_interval v = lvt_interval_of(values, n);
    free(values);
    return v;
}

/* ---- table and CSV ------------------------------------------------------------------------------------- */

int lvt_compared(const char *name, int matrix) {
    return matrix * LVT_N_METRICS + (int)(lvt_metric_of(name) - lvt_metrics);
}

static int interval_text(lvt_interval v, double scale, char text[48]) {
    return !v.n ? snprintf(text, 48, "-")
                : lvt_snprintf(text, 48, isnan(v.half) ? "%.2f" : "%.2f +- %.2f", scale * v.mean,
                               scale * v.half);
}

const char *lvt_compared_seed(const lvt_compared_run *r) {
    const cJSON *seed = cJSON_GetObjectItemCaseSensitive(settings_of(r), "seed");
    return cJSON_IsString(seed) ? seed->valuestring : "";
}

double lvt_compared_value(const lvt_comparison *c, const lvt_compared_run *r, int what) {
    return r->values[common(c, r->group) * LVT_N_COMPARED + what];
}

void lvt_comparison_columns(const lvt_comparison *c, lvt_compared_column columns[LVT_COMPARED_COLUMNS]) {
    const lvt_tasks tasks = {.domains = c->domains};
    const lvt_compared_column all[LVT_COMPARED_COLUMNS] = {
        {lvt_scenario_name(&tasks, 0), lvt_compared("acc", LVT_CLASS_IL), 100, false},
        {"forgetting", lvt_compared(lvt_forgetting_name(c->forgetting), LVT_CLASS_IL), 100, false},
        {lvt_scenario_name(&tasks, 1), lvt_compared("acc", LVT_TASK_IL), 100, false},
        {"forgetting", lvt_compared(lvt_forgetting_name(c->forgetting), LVT_TASK_IL), 100, false},
        {"validation", lvt_compared("acc", LVT_VALIDATION_CLASS_IL), 100, false},
        {"calibr. error", LVT_COMPARED_ECE, 100, false},
        {"seconds", LVT_COMPARED_SECONDS, 1, false},
        {"MiB", LVT_COMPARED_MEMORY, 1. / (1 << 20), false},
        {"joules", LVT_COMPARED_ENERGY, 1, false}};
    memcpy(columns, all, sizeof all);
    for (int g = 0; g < c->n_groups; g++) {
        for (int k = 0; k < LVT_COMPARED_COLUMNS; k++)
            columns[k].used |= lvt_comparison_value(c, g, columns[k].what, 0).n > 0 &&
                               (columns[k].what / LVT_N_METRICS != LVT_TASK_IL || lvt_scenarios(&tasks) > 1);
    }
}

void lvt_comparison_text(const lvt_comparison *c, FILE *f) {
    enum { N = LVT_COMPARED_COLUMNS };
    lvt_compared_column columns[N];
    lvt_comparison_columns(c, columns);
    int width = 10;
    for (int g = 0; g < c->n_groups; g++) {
        width = (int)strlen(c->labels[g]) > width ? (int)strlen(c->labels[g]) : width;
    }
    int widths[N];
    for (int k = 0; k < N; k++) {
        char text[48];
        widths[k] = (int)strlen(columns[k].head) + 2;
        for (int g = 0; g < c->n_groups; g++) {
            int n = interval_text(lvt_comparison_value(c, g, columns[k].what, 0), columns[k].scale, text);
            widths[k] = n + 2 > widths[k] ? n + 2 : widths[k];
        }
    }
    fprintf(f, "%-*s  runs", width, "");
    for (int k = 0; k < N; k++) {
        if (columns[k].used)
            fprintf(f, "%*s", widths[k], columns[k].head);
    }
    for (int g = 0; g < c->n_groups; g++) {
        int runs = 0;
        for (int i = 0; i < c->n; i++)
            runs += c->runs[i].group == g;
        lvt_terminal_print(f, "\n%-*s%6d", width, c->labels[g], runs);
        for (int k = 0; k < N; k++) {
            char text[48];
            interval_text(lvt_comparison_value(c, g, columns[k].what, 0), columns[k].scale, text);
            if (columns[k].used)
                fprintf(f, "%*s", widths[k], text);
        }
    }
    fprintf(f, "\n\nMean over runs +- half of its 95%% interval (Student's t), per cent.\n");
    for (int i = 0; i < 2; i++) {
        const lvt_metric *m = lvt_metric_of(i ? lvt_forgetting_name(c->forgetting) : "acc");
        fprintf(f, "%s: %s\n", m->title, m->formula);
    }
    for (int i = 0; i < c->n; i++) {
        const lvt_compared_run *r = &c->runs[i];
        int runs = 0;
        for (int k = 0; k < c->n; k++)
            runs += c->runs[k].group == r->group;
        if (r->learned < r->tasks)
            lvt_terminal_print(f, "%s is not finished: %d of %d tasks%s\n", r->folder, r->learned, r->tasks,
                               runs > 1 ? "; numbers of its row are of what all its runs have learned" : "");
        for (int k = 0; k < i; k++) {
            if (c->runs[k].group == r->group && same_item(r, &c->runs[k], "seed"))
                lvt_terminal_print(f, "%s and %s have the same seed: the interval takes them for two\n",
                                   c->runs[k].folder, r->folder);
        }
    }
}

static void csv_row(const lvt_comparison *c, FILE *f, int g, const char *scenario, const char *name,
                    int what) {
    lvt_interval v = lvt_comparison_value(c, g, what, 0);
    if (!v.n)
        return;
    lvt_csv_text(f, c->labels[g]);
    fprintf(f, ",%d,%s,%s,%.6f,", v.n, scenario, name, v.mean);
    if (!isnan(v.half))
        fprintf(f, "%.6f,%.6f,%.6f", v.mean - v.half, v.mean + v.half, v.deviation);
    else
        fprintf(f, ",,");
    fprintf(f, "\n");
}

void lvt_comparison_csv(const lvt_comparison *c, FILE *f) {
    locale_t before = lvt_c_locale_begin();
    fprintf(f, "group,runs,scenario,metric,mean,low,high,deviation\n");
    for (int g = 0; g < c->n_groups; g++) {
        for (int s = 0; s < LVT_N_MATRICES; s++) {
            for (int i = 0; i < LVT_N_METRICS; i++)
                csv_row(c, f, g, lvt_matrix_names[s], lvt_metrics[i].name, s * LVT_N_METRICS + i);
        }
        csv_row(c, f, g, "class_il", "calibration_error", LVT_COMPARED_ECE);
        csv_row(c, f, g, "", "seconds", LVT_COMPARED_SECONDS);
        csv_row(c, f, g, "", "peak_memory_bytes", LVT_COMPARED_MEMORY);
        csv_row(c, f, g, "", "energy_joules", LVT_COMPARED_ENERGY);
    }
    lvt_c_locale_end(before);
}
