/* What changes over tasks and steps, for report.html: accuracy, forgetting, losses, drift of keys. May not
 * know: files, terminals. */
#include "runtime/continual/metrics.h"
#include "page.h"
#include "record.h"
#include "ir/base/c_locale.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WIDE = 420, WIDE_HEIGHT = 250, NARROW = 280, NARROW_HEIGHT = 160, POINTS = 400 };

/* A round number at or above v > 0, for the top of an axis. */
static double round_up(double v) {
    static const int round[] = {1, 2, 4, 6, 8, 10};
    double power = pow(10, floor(log10(v)));
    int i = 0;
    while (i < 5 && v > power * round[i])
        i++;
    return power * round[i];
}

/* ---- accuracy and forgetting --------------------------------------------------------------------------- */

void lvt_page_accuracy(FILE *f, const lvt_accuracies *a) {
    int n = a->tasks->n, k = a->learned, scenarios = lvt_scenarios(a->tasks);
    const lvt_metric *lost = lvt_metric_of(lvt_forgetting_name(a->forgetting));
    fprintf(f, "<div class='row'>\n");
    for (int m = 0; m < scenarios; m++)
        lvt_report_heat(a, m, f);
    fprintf(f, "</div>\n");
    /* Rows: tasks as x, then a curve each: two means, two of forgetting, every task's. */
    double *all = malloc(((size_t)n + 5) * (size_t)n * sizeof *all);
    lvt_series *s = malloc(((size_t)n + 2) * sizeof *s);
    if (all && s) {
        double *x = all, low = 0, high = 0.1;
        for (int i = 0; i < k; i++) {
            x[i] = i + 1;
            for (int m = 0; m < 2; m++) {
                all[(1 + m) * n + i] = lvt_metric_value("acc", a->in[m], n, i + 1);
                double v = all[(3 + m) * n + i] = lost->value(a->in[m], n, i + 1);
                low = v < low ? v : low;
                high = v > high ? v : high;
            }
            for (int j = 0; j < k; j++)
                all[(5 + j) * n + i] = j <= i ? a->in[LVT_CLASS_IL][(i + 1) * n + j] : NAN;
        }
        int count = 0;
        char one[40], mean[2][32];
        snprintf(one, sizeof one, "%s, one task each", lvt_scenario_name(a->tasks, 0));
        for (int m = 0; m < scenarios; m++)
            snprintf(mean[m], sizeof mean[m], "%s, mean", lvt_scenario_name(a->tasks, m));
        for (int j = 0; j < k; j++)
            s[count++] = (lvt_series){j ? NULL : one, "one", k, x, all + (5 + j) * n};
        for (int m = scenarios; m-- > 0;)
            s[count++] = (lvt_series){mean[m], m ? "c1" : "c0", k, x, all + (1 + m) * n};
        lvt_panel p = {.title = "Accuracy as tasks are learned",
                       .width = WIDE,
                       .height = WIDE_HEIGHT,
                       .x0 = 1,
                       .x1 = n > 1 ? n : 2,
                       .y1 = 1,
                       .percent = true,
                       .ticks = n};
        fprintf(f, "<div class='row'>\n");
        lvt_page_panel(f, &p, s, count);
        count = 0;
        for (int m = scenarios; m-- > 0;)
            s[count++] =
                (lvt_series){lvt_scenario_name(a->tasks, m), m ? "c1" : "c0", k, x, all + (3 + m) * n};
        char title[64];
        snprintf(title, sizeof title, "%c%s as tasks are learned", lvt_to_upper(*lost->title),
                 lost->title + 1);
        p.title = title;
        p.y1 = round_up(fmax(high, -low)); /* so at most as many lines below 0 as above */
        p.y0 = -p.y1 / 4 * ceil(-low / (p.y1 / 4));
        if (k > 1)
            lvt_page_panel(f, &p, s, count);
        fprintf(f, "</div>\n");
    }
    free(all);
    free(s);
}

/* ---- losses -------------------------------------------------------------------------------------------- */

/* Of many records, means over equal numbers of them: a drawing has no room for more. */
static void loss_panel(FILE *f, const cJSON *records, const char *name, double last, int every,
                       const double *marks, int n_marks) {
    double x[POINTS + 1], y[POINTS + 1], sum = 0, high = 0;
    int n = 0, in = 0;
    const cJSON *o;
    cJSON_ArrayForEach(o, records) {
        double v = lvt_record_is(o, "train") ? lvt_record_number(o, name) : NAN;
        if (isnan(v))
            continue;
        sum += v;
        if (++in == every && n <= POINTS) {
            x[n] = lvt_record_number(o, "global_step");
            y[n] = sum / in;
            high = fmax(high, y[n++]);
            sum = in = 0;
        }
    }
    char title[48], right[32];
    snprintf(title, sizeof title, "%.40s", lvt_loss_title(name));
    lvt_snprintf(right, sizeof right, "step %.0f", last);
    lvt_series s = {NULL, "c2", n, x, y};
    lvt_panel p = {.title = title,
                   .width = NARROW,
                   .height = NARROW_HEIGHT,
                   .x1 = last,
                   .y1 = high > 0 ? round_up(high) : 1,
                   .right = right,
                   .marks = marks,
                   .n_marks = n_marks};
    lvt_page_panel(f, &p, &s, 1);
}

void lvt_page_losses(FILE *f, const cJSON *records) {
    const char *names[LVT_MAX_LOSSES];
    enum { MARKS = 128 };
    double marks[MARKS], task = 1, last = 0;
    int n = 0, n_marks = 0, count = 0;
    const cJSON *o, *j;
    cJSON_ArrayForEach(o, records) {
        if (!lvt_record_is(o, "train"))
            continue;
        count++;
        if (lvt_record_number(o, "task") != task && n_marks < MARKS)
            marks[n_marks++] = last;
        task = lvt_record_number(o, "task");
        last = lvt_record_number(o, "global_step");
        cJSON_ArrayForEach(j, o) {
            bool known = strncmp(j->string, "loss", 4) != 0;
            for (int i = 0; i < n && !known; i++)
                known = !strcmp(names[i], j->string);
            if (!known && n < LVT_MAX_LOSSES)
                names[n++] = j->string;
        }
    }
    if (!n)
        fprintf(f, "<p class='sub'>No step has been recorded.</p>\n");
    fprintf(f, "<div class='row'>\n");
    for (int i = 0; i < n; i++)
        loss_panel(f, records, names[i], last, (count + POINTS - 1) / POINTS, marks, n_marks);
    fprintf(f, "</div>\n");
}

/* ---- drift --------------------------------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n > m && !strcmp(text + n - m, end);
}

void lvt_page_block_name(const char *state, char *name, size_t size) {
    snprintf(name, size, "%s", state);
    static const char *const ends[] = {".key", ".bias_table", ".attention"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        if (ends_with(name, ends[i]))
            name[strlen(name) - strlen(ends[i])] = 0;
    }
}

static void drift_panel(FILE *f, const cJSON *records, int tasks, const char *end, const char *field,
                        const char *title) {
    enum { BLOCKS = 16, STYLES = 8 };
    static const char *const styles[STYLES] = {"s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7"};
    char names[BLOCKS][64];
    lvt_series s[BLOCKS];
    int n = 0;
    double high = 0, *all = malloc((BLOCKS + 1) * ((size_t)tasks + 1) * sizeof *all);
    const cJSON *o, *j;
    for (int k = 0; all && k < (BLOCKS + 1) * (tasks + 1); k++)
        all[k] = k <= tasks ? k : NAN; /* the first row is x */
    cJSON_ArrayForEach(o, records) {
        double k = lvt_record_is(o, "drift") ? lvt_record_number(o, "after_task") : NAN;
        if (!all || !(k >= 1 && k <= tasks))
            continue;
        int b = 0;
        cJSON_ArrayForEach(j, cJSON_GetObjectItemCaseSensitive(o, "states")) {
            const cJSON *state = cJSON_GetObjectItemCaseSensitive(j, "state");
            if (!cJSON_IsString(state) || !ends_with(state->valuestring, end) || b == BLOCKS)
                continue;
            double v = lvt_record_number(j, field), *y = all + (b + 1) * (tasks + 1);
            y[(int)k] = v;
            high = v > high ? v : high;
            lvt_page_block_name(state->valuestring, names[b], sizeof names[b]);
            s[b] = (lvt_series){names[b], styles[b % STYLES], tasks + 1, all, y};
            n = ++b > n ? b : n;
        }
    }
    lvt_panel p = {.title = title,
                   .width = WIDE,
                   .height = WIDE_HEIGHT - 40,
                   .x0 = 1,
                   .x1 = tasks > 1 ? tasks : 2,
                   .y1 = high > 0 ? round_up(high) : 0.01,
                   .percent = true,
                   .ticks = tasks};
    if (n)
        lvt_page_panel(f, &p, s, n);
    free(all);
}

void lvt_page_drift(FILE *f, const cJSON *records, int tasks) {
    bool any = false;
    const cJSON *o;
    cJSON_ArrayForEach(o, records) any = any || lvt_record_is(o, "drift");
    if (!any)
        return;
    fprintf(f, "<section><h2>Drift of external keys</h2><p class='sub'>How far each block's keys and bias "
               "table have moved "
               "when a task ends, in per cent of their norm.</p><div class='row'>\n");
    static const struct {
        const char *end, *field, *title;
    } panels[] = {{".key", "since_previous_task", "Keys, since the task before"},
                  {".key", "since_first_task", "Keys, since the first task"},
                  {".bias_table", "since_previous_task", "Bias tables, since the task before"},
                  {".bias_table", "since_first_task", "Bias tables, since the first task"}};
    for (size_t i = 0; i < sizeof panels / sizeof *panels; i++)
        drift_panel(f, records, tasks, panels[i].end, panels[i].field, panels[i].title);
    fprintf(f, "</div></section>\n");
}
