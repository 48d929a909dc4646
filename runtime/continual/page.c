/* The page: numbers, tables, and where the drawings go. May not know: terminals, how training works. */
#include "continual/page.h"
#include "continual/metrics.h"
#include "continual/report.h"
#include "ir/file.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

void lvt_page_escaped(FILE *f, const char *text) {
    for (; *text; text++) {
        if (strchr("&<>\"'", *text))
            fprintf(f, "&#%d;", *text);
        else if ((unsigned char)*text >= ' ')
            fputc(*text, f);
    }
}

static const char style[] =
    "body{font:15px/1.5 system-ui,sans-serif;color:#1f2933;background:#f5f7fa;margin:0}"
    "main{max-width:920px;margin:0 auto;padding:28px 20px 60px}h1{font-size:22px;margin:0 0 4px}"
    "h2{font-size:16px;margin:0 0 12px}section{background:#fff;border:1px solid "
    "#e4e7eb;border-radius:8px;padding:18px 22px;"
    "margin-top:18px;overflow-x:auto}.sub{color:#616e7c;margin:0}.cards{display:flex;flex-wrap:wrap;gap:14px;"
    "margin-top:18px}"
    ".card{background:#fff;border:1px solid #e4e7eb;border-radius:8px;padding:12px 18px;flex:1 1 120px}.card "
    "b{display:block;"
    "font-size:26px;font-weight:650}.card "
    "span{color:#616e7c;font-size:13px}table{border-collapse:collapse;font-size:13px}"
    "td,th{text-align:left;padding:4px 18px 4px 0;border-bottom:1px solid "
    "#eef1f4;vertical-align:top}td.n{text-align:right;"
    "font-variant-numeric:tabular-nums}code{font-size:12px;color:#52606d}svg{max-width:100%;height:auto}.row{"
    "display:flex;gap:28px;"
    "flex-wrap:wrap;align-items:flex-start}.thumbs{display:flex;flex-wrap:wrap;gap:6px}figure{margin:0;text-"
    "align:center;"
    "font-size:10px;color:#616e7c}figure "
    "img{display:block;image-rendering:pixelated;width:40px;height:40px;border-radius:3px}"
    ".class{margin:0 0 10px}.class p{margin:0 0 3px;font-size:12px;color:#52606d}";

static void card(FILE *f, const char *name, double value, const char *unit) {
    if (!isnan(value))
        fprintf(f, "<div class='card'><b>%.2f%s</b><span>%s</span></div>\n", value, unit, name);
}

static void metrics(FILE *f, const lvt_accuracies *a) {
    int n = a->tasks->n;
    const double *all[] = {a->class_il, a->task_il, a->validation[0], a->validation[1]};
    fprintf(f,
            "<section><h2>Metrics</h2><table><tr><th>per "
            "cent</th><th>Class-IL</th><th>Task-IL</th>%s<th>formula</th></tr>\n",
            all[2] ? "<th>validation, Class-IL</th><th>Task-IL</th>" : "");
    for (int i = 0; i < LVT_N_METRICS; i++) {
        double first = lvt_metrics[i].value(a->class_il, n, a->learned);
        if (isnan(first))
            continue;
        fprintf(f, "<tr><td>%s</td>", lvt_metrics[i].title);
        for (int s = 0; s < 4 && all[s]; s++)
            fprintf(f, "<td class='n'>%.2f</td>", 100 * lvt_metrics[i].value(all[s], n, a->learned));
        fprintf(f, "<td><code>");
        lvt_page_escaped(f, lvt_metrics[i].formula);
        fprintf(f, "</code></td></tr>\n");
    }
    fprintf(f, "</table><p class='sub'>a[k][j]: accuracy on task j after learning k tasks; T: tasks learned "
               "so far.</p></section>\n");
}

static void tasks_table(FILE *f, const lvt_trainer *t) {
    fprintf(f,
            "<section><h2>Tasks</h2><table><tr><th>task</th><th>%s</th><th>seconds</th><th>Class-IL now</th>"
            "<th>Task-IL now</th></tr>\n",
            t->tasks.domains ? "domain" : "classes");
    int n = t->tasks.n, k = t->at.task;
    for (int j = 0; j < k; j++) {
        fprintf(f, "<tr><td class='n'>%d</td><td>", j + 1);
        if (t->tasks.domains)
            lvt_page_escaped(f, t->data->domain_names[j]);
        for (int i = t->tasks.first[j]; i < t->tasks.first[j + 1] && !t->tasks.domains; i++) {
            fprintf(f, "%s", i > t->tasks.first[j] ? ", " : "");
            lvt_page_escaped(f, t->data->class_names[t->tasks.order[i]]);
        }
        fprintf(f, "</td><td class='n'>%.1f</td><td class='n'>%.2f</td><td class='n'>%.2f</td></tr>\n",
                t->task_seconds[j], 100 * t->class_il[k * n + j], 100 * t->task_il[k * n + j]);
    }
    fprintf(f, "</table></section>\n");
}

static void row(FILE *f, const char *name, const char *value) {
    fprintf(f, "<tr><td>");
    lvt_page_escaped(f, name);
    fprintf(f, "</td><td><code>");
    lvt_page_escaped(f, value);
    fprintf(f, "</code></td></tr>\n");
}

static void settings_table(FILE *f, const lvt_trainer *t) {
    fprintf(f, "<section><div class='row'><div><h2>Settings of the run</h2><table>\n");
    cJSON *settings = lvt_settings_to_json(t->settings), *j;
    cJSON_ArrayForEach(j, settings) {
        char *value = cJSON_PrintUnformatted(j);
        row(f, j->string, cJSON_IsString(j) ? j->valuestring : value ? value : "");
        cJSON_free(value);
    }
    cJSON_Delete(settings);
    const lvt_module *m = lvt_model_module(t->model);
    fprintf(f, "</table></div><div><h2>Program %s</h2><table>\n", m->name);
    for (uint32_t i = 0; i < m->n_settings; i++)
        row(f, m->settings[i].name, m->settings[i].value);
    char text[128];
    snprintf(text, sizeof text, "%016" PRIx64, lvt_program_compiled(t->model->program)->hash);
    row(f, "hash", text);
    fprintf(f, "</table></div><div><h2>Coefficients</h2><table>\n");
    for (int i = 0; i < t->model->n_scalars; i++) {
        const lvt_scalar *s = &t->model->scalars[i];
        snprintf(text, sizeof text, "%.6g", s->given ? s->exact : s->default_value);
        row(f, s->name, text);
    }
    fprintf(f, "</table><h2 style='margin-top:18px'>Machine</h2><table>\n");
    struct utsname u;
    if (uname(&u) == 0) {
        snprintf(text, sizeof text, "%.40s %.60s", u.sysname, u.machine);
        row(f, "system", text);
    }
    FILE *cpu = fopen("/proc/cpuinfo", "re");
    char line[256];
    while (cpu && fgets(line, sizeof line, cpu)) {
        char *colon = strchr(line, ':');
        if (!strncmp(line, "model name", 10) && colon) {
            row(f, "processor", colon + 2);
            break;
        }
    }
    if (cpu)
        fclose(cpu);
    row(f, "lvt", lvt_version());
    fprintf(f, "</table></div></div></section>\n");
}

/* The records of metrics.jsonl as an array; a line that cannot be read is left out. NULL: none. */
static cJSON *read_records(const lvt_trainer *t) {
    char *path = lvt_path_join(t->folder, "metrics.jsonl");
    uint8_t *bytes = NULL;
    size_t size;
    cJSON *list = cJSON_CreateArray();
    if (path && list && lvt_path_exists(path) && lvt_file_read(path, &bytes, &size, NULL) == LVT_OK) {
        char *rest = (char *)bytes, *line;
        while ((line = strsep(&rest, "\n"))) {
            cJSON *o = *line ? cJSON_Parse(line) : NULL;
            if (o)
                cJSON_AddItemToArray(list, o);
        }
    }
    free(bytes);
    free(path);
    return list;
}

lvt_status lvt_page_write(const lvt_trainer *t, const char *title, const char *path, lvt_diag *diag) {
    lvt_atomic_file out;
    lvt_status status = lvt_atomic_begin(&out, path, diag);
    if (status != LVT_OK)
        return status;
    FILE *f = out.stream;
    int n = t->tasks.n, k = t->at.task;
    lvt_accuracies a = {&t->tasks,   t->class_il, t->task_il, k, {t->validation[0], t->validation[1]},
                        t->last.bins};
    /* The empty icon keeps browsers from asking for one. */
    fprintf(f, "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><meta name='viewport' "
               "content='width=device-width'><link rel='icon' href='data:,'><title>");
    lvt_page_escaped(f, title);
    fprintf(f, "</title><style>%s</style></head><body><main>\n<h1>", style);
    lvt_page_escaped(f, title);
    fprintf(f,
            "</h1><p class='sub'>%d of %d tasks learned; %s; %zu training, %zu validation and %zu test "
            "images</p>\n",
            k, n, t->method->title, t->data->train.n - t->n_held, t->n_held, t->data->test.n);
    fprintf(f, "<div class='cards'>\n");
    card(f, "average accuracy, Class-IL", 100 * lvt_metric_value("acc", t->class_il, n, k), "%");
    card(f, "average accuracy, Task-IL", 100 * lvt_metric_value("acc", t->task_il, n, k), "%");
    card(f, "forgetting, Class-IL", 100 * lvt_metric_value("forgetting", t->class_il, n, k), "");
    card(f, "forgetting, Task-IL", 100 * lvt_metric_value("forgetting", t->task_il, n, k), "");
    card(f, "expected calibration error", 100 * lvt_calibration_error(t->last.bins), "%");
    fprintf(f, "</div>\n<section><h2>Accuracy</h2>\n");
    lvt_report_draw(&a, NULL, f);
    fprintf(f, "</section>\n");
    metrics(f, &a);
    tasks_table(f, t);
    cJSON *records = read_records(t);
    fprintf(f, "<section><h2>Loss terms over steps</h2>\n");
    lvt_page_losses(f, records);
    cJSON_Delete(records);
    fprintf(f, "</section>\n<section><div class='row'><div><h2>Confusion, Class-IL</h2>\n");
    lvt_page_confusion(f, &t->tasks, k, t->last.confusion, t->data->class_names);
    fprintf(f, "</div><div><h2>Calibration</h2>\n");
    lvt_page_calibration(f, t->last.bins);
    fprintf(f, "</div></div></section>\n");
    if (t->memory.n)
        status = lvt_page_memory(f, t, diag);
    settings_table(f, t);
    fprintf(f, "</main></body></html>\n");
    return lvt_atomic_end(&out, status, diag);
}
