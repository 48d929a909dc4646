/* The page: numbers, tables, and where the drawings go. May not know: terminals, how training works. */
#include "page.h"
#include "runtime/continual/metrics.h"
#include "report.h"
#include "ir/base/file.h"
#include "ir/base/xml.h"
#include "ir/program/json.h"
#include "ir/base/c_locale.h"
#include "ir/base/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

/* What is drawn says what it is (class='heat'), not how it looks. c0, c1, c2: lines of a chart; s0 to s7:
 * blocks of the network, in colours that differ for colour-blind eyes too (Okabe and Ito) and in their
 * dashes. */
/* clang-format off */
static const char style[] =
    ":root{color-scheme:light dark;--bg:#f4f6f9;--card:#fff;--edge:#dfe5ec;--ink:#1c2733;--soft:#566473;--grid:#e3e8ee;"
    "--mark:#b8c2cd;--heat:#0b4a86;--on:#fff;--c0:#0b4a86;--c1:#c2620e;--c2:#1f7a8c;--one:#9fb3c8;--right:#0b4a86;"
    "--wrong:#c2410c;--field:#f4f7fa}\n"
    "@media screen and (prefers-color-scheme:dark){:root{--bg:#10151c;--card:#19212b;--edge:#2b3644;--ink:#e7ecf2;"
    "--soft:#a3b2c2;--grid:#2b3644;--mark:#55657a;--heat:#6cb8f5;--on:#08131f;--c0:#6cb8f5;--c1:#f2a65a;--c2:#5cc8ba;"
    "--one:#5d7186;--right:#6cb8f5;--wrong:#ff9566;--field:#141b24}}\n"
    "*{box-sizing:border-box}body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--bg);margin:0}"
    "main{max-width:980px;margin:0 auto;padding:32px 20px 60px}h1{font-size:24px;line-height:1.25;margin:0 0 6px;text-wrap:balance}"
    "h2{font-size:17px;margin:0 0 10px}h2:not(:first-child){margin-top:18px}"
    "section,.card{background:var(--card);border:1px solid var(--edge);border-radius:10px}"
    "section{padding:18px 22px;margin-top:18px}"
    ".sub{color:var(--soft);margin:0 0 12px;font-size:14px}header .sub{margin:0}.sub.note{max-width:270px;font-size:12px}.wide .sub.note{max-width:530px;padding-left:96px}"
    ".cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:14px;margin-top:18px}"
    ".card{padding:12px 18px}.card b{display:block;font-size:27px;font-weight:650;line-height:1.3}"
    ".card span{color:var(--soft);font-size:13px}\n"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;font-size:13px}"
    "td,th{text-align:left;padding:4px 18px 4px 0;border-bottom:1px solid var(--grid);vertical-align:top}"
    "td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}th.n{min-width:64px;white-space:nowrap}"
    "td.names{min-width:190px}"
    "code{font-size:12px;color:var(--soft);overflow-wrap:anywhere}"
    "svg{max-width:100%;height:auto;vertical-align:top}.row{display:flex;gap:12px 20px;flex-wrap:wrap;align-items:flex-start}"
    ".row>*{max-width:100%}figure{margin:0}figcaption{font-size:12px;color:var(--soft);padding-left:60px;line-height:1.6}"
    "figcaption span{white-space:nowrap;margin-right:12px}figcaption svg{vertical-align:middle}.panel{margin:0 0 10px}\n"
    "text{font-family:system-ui,sans-serif;fill:var(--ink)}.h{font-size:14px;font-weight:600}.t,.l{font-size:11px;"
    "fill:var(--soft)}.v{font-size:11px}.w{fill:var(--on)}.g{stroke:var(--grid)}.zero{stroke:var(--mark)}"
    ".mark{stroke:var(--mark);stroke-dasharray:2 4}.heat{fill:var(--heat)}.right{fill:var(--right)}.wrong{fill:var(--wrong)}"
    ".field{fill:var(--field)}.cut{stroke:var(--mark);stroke-width:.6}.bin{fill:var(--c2)}"
    ".ideal{stroke:var(--c1);stroke-width:1.5;stroke-dasharray:5 4}\n"
    "polyline{fill:none;stroke-linejoin:round}.c0,.c1{stroke-width:2.5}.c0{stroke:var(--c0)}.c1{stroke:var(--c1);"
    "stroke-dasharray:7 3}.c2{stroke:var(--c2);stroke-width:1.7}.one{stroke:var(--one);stroke-width:1.2}.dot{fill:var(--card)}"
    ".s0,.s1,.s2,.s3,.s4,.s5,.s6,.s7{stroke-width:2}.s0{stroke:#2b83ba}.s1{stroke:#e69f00;stroke-dasharray:8 3}"
    ".s2{stroke:#009e73;stroke-dasharray:3 3}.s3{stroke:#cc79a7;stroke-dasharray:9 3 2 3}.s4{stroke:#56b4e9}"
    ".s5{stroke:#d55e00;stroke-dasharray:8 3}.s6{stroke:#8c8c8c;stroke-dasharray:3 3}.s7{stroke:#a8a03a;stroke-dasharray:9 3 2 3}\n"
    ".classes{columns:var(--strip);column-gap:28px}.class{break-inside:avoid;margin:0 0 10px}.class p,.maps p{margin:0 0 3px;font-size:12px;"
    "color:var(--soft)}.class svg svg{max-width:none}image{image-rendering:pixelated}.dim{opacity:.5}.map{mix-blend-mode:screen}"
    ".query{fill:none;stroke:#fff}.maps td,.maps th{padding:6px 14px 6px 0;border:0}"
    ".maps th{font-weight:600;color:var(--soft);font-size:12px}.heads{display:grid;grid-template-columns:48px 48px;gap:4px 8px;"
    "margin-top:8px}.maps svg{isolation:isolate;max-width:none}.maps p{margin-top:4px;max-width:104px}\n"
    "@media(max-width:640px){main{padding:18px 10px 40px}section{padding:14px 12px}h1{font-size:20px}.classes{columns:1}"
    ".cards{gap:8px;grid-template-columns:repeat(auto-fit,minmax(130px,1fr))}.card{padding:8px 12px}.card b{font-size:22px}}\n"
    "@media print{.panel,.row>svg{width:47%!important}body{background:#fff;font-size:12px}main{max-width:none;padding:0}section,.card{border-color:#ccc;"
    "break-inside:avoid-page}.long{break-inside:auto}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}";
/* clang-format on */

static void card(FILE *f, const char *name, double value, const char *unit) {
    value = fabs(value) < 0.005 ? 0 : value; /* no -0.00 */
    if (!isnan(value))
        fprintf(f, "<div class='card'><b>%.2f%s</b><span>%s</span></div>\n", value, unit, name);
}

static void metrics(FILE *f, const lvt_accuracies *a) {
    int n = a->tasks->n;
    fprintf(f, "<section><h2>Metrics</h2><div class='scroll'><table><tr><th>per cent</th>");
    for (int s = 0; s < LVT_N_MATRICES && a->in[s]; s++)
        if (s % 2 < lvt_scenarios(a->tasks))
            fprintf(f, "<th class='n'>%s%s</th>", s == LVT_VALIDATION_CLASS_IL ? "validation, " : "",
                    lvt_scenario_name(a->tasks, s % 2));
    fprintf(f, "<th>formula</th></tr>\n");
    for (int i = 0; i < LVT_N_METRICS; i++) {
        double first = lvt_metrics[i].value(a->in[LVT_CLASS_IL], n, a->learned);
        if (isnan(first))
            continue;
        fprintf(f, "<tr><td>%s</td>", lvt_metrics[i].title);
        for (int s = 0; s < LVT_N_MATRICES && a->in[s]; s++)
            if (s % 2 < lvt_scenarios(a->tasks))
                fprintf(f, "<td class='n'>%.2f</td>", 100 * lvt_metrics[i].value(a->in[s], n, a->learned));
        fprintf(f, "<td><code>");
        lvt_xml_write(f, lvt_metrics[i].formula, SIZE_MAX);
        fprintf(f, "</code></td></tr>\n");
    }
    fprintf(f, "</table></div><p class='sub' style='margin:10px 0 0'>a[k][j]: accuracy on task j after "
               "learning k tasks; T: "
               "tasks learned so far. Forgetting and accuracy belong together: who learns nothing forgets "
               "nothing.</p></section>\n");
}

static void tasks_table(FILE *f, const lvt_trainer *t) {
    fprintf(f,
            "<section class='long'><h2>Tasks</h2><div class='scroll'><table><tr><th "
            "class='n'>task</th><th>%s</th><th class='n'>seconds</th>",
            t->tasks.domains ? "domain" : "classes");
    for (int s = 0; s < lvt_scenarios(&t->tasks); s++)
        fprintf(f, "<th class='n'>%s now</th><th class='n'>best before</th>",
                lvt_scenario_name(&t->tasks, s));
    fprintf(f, "</tr>\n");
    int n = t->tasks.n, k = t->at.task;
    for (int j = 0; j < k; j++) {
        fprintf(f, "<tr><td class='n'>%d</td><td class='names'>", j + 1);
        if (t->tasks.domains)
            lvt_xml_write(f, t->data->domain_names[j], SIZE_MAX);
        for (int i = t->tasks.first[j]; i < t->tasks.first[j + 1] && !t->tasks.domains; i++) {
            fprintf(f, "%s", i > t->tasks.first[j] ? ", " : "");
            lvt_xml_write(f, t->data->class_names[t->tasks.order[i]], SIZE_MAX);
        }
        fprintf(f, "</td><td class='n'>%.1f</td>", t->task_seconds[j]);
        for (int m = 0; m < lvt_scenarios(&t->tasks); m++) {
            double best = NAN; /* what forgetting is measured from */
            for (int l = j + 1; l < k; l++)
                best = fmax(best, t->accuracy[m][l * n + j]);
            fprintf(f,
                    isnan(best) ? "<td class='n'>%.2f</td><td class='n'>-</td>"
                                : "<td class='n'>%.2f</td><td class='n'>%.2f</td>",
                    100 * t->accuracy[m][k * n + j], 100 * best);
        }
        fprintf(f, "</tr>\n");
    }
    fprintf(f, "</table></div></section>\n");
}

static void row(FILE *f, const char *name, const char *value) {
    fprintf(f, "<tr><td>");
    lvt_xml_write(f, name, SIZE_MAX);
    fprintf(f, "</td><td><code>");
    lvt_xml_write(f, value, SIZE_MAX);
    fprintf(f, "</code></td></tr>\n");
}

static void settings_table(FILE *f, const lvt_trainer *t) {
    fprintf(f, "<section class='long'><div class='row'><div><h2>Settings of the run</h2><table>\n");
    cJSON *settings = lvt_settings_to_json(t->settings), *j;
    cJSON_ArrayForEach(j, settings) {
        char *value = lvt_json_text(j, false);
        row(f, j->string, cJSON_IsString(j) ? j->valuestring : value ? value : "");
        free(value);
    }
    cJSON_Delete(settings);
    const lvt_module *m = lvt_model_module(t->model);
    fprintf(f, "</table></div><div><h2>Program ");
    lvt_xml_write(f, m->name, SIZE_MAX);
    fprintf(f, "</h2><table>\n");
    for (uint32_t i = 0; i < m->n_settings; i++)
        row(f, m->settings[i].name, m->settings[i].value);
    char text[128];
    snprintf(text, sizeof text, "%016" PRIx64, lvt_program_compiled(t->model->program)->hash);
    row(f, "hash", text);
    fprintf(f, "</table></div><div><h2>Coefficients</h2><table>\n");
    for (int i = 0; i < t->model->n_scalars; i++) {
        const lvt_scalar *s = &t->model->scalars[i];
        lvt_snprintf(text, sizeof text, "%.6g", s->given ? s->exact : s->default_value);
        row(f, s->name, text);
    }
    fprintf(f, "</table><h2>Machine</h2><table>\n");
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
    uint8_t *bytes = NULL;
    size_t size;
    cJSON *list = cJSON_CreateArray();
    if (list && lvt_folder_file_read(t->folder, "metrics.jsonl", &bytes, &size, NULL) == LVT_OK) {
        char *rest = (char *)bytes, *line;
        while ((line = strsep(&rest, "\n"))) {
            cJSON *o = *line ? lvt_json_read(line, strlen(line)) : NULL;
            if (o)
                cJSON_AddItemToArray(list, o);
        }
    }
    free(bytes);
    return list;
}

lvt_status lvt_page_write(const lvt_trainer *t, const char *title, const char *file, lvt_diag *diag) {
    lvt_atomic_file out;
    lvt_status status = lvt_atomic_begin(&out, t->folder, file, diag);
    if (status != LVT_OK)
        return status;
    locale_t before = lvt_c_locale_begin();
    FILE *f = out.stream;
    int n = t->tasks.n, k = t->at.task;
    lvt_accuracies a = lvt_accuracies_of(t);
    /* The empty icon keeps browsers from asking for one. */
    fprintf(f, "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><meta name='viewport' "
               "content='width=device-width,initial-scale=1'><link rel='icon' href='data:,'><title>");
    lvt_xml_write(f, title, SIZE_MAX);
    fprintf(f, "</title><style>%s</style></head><body><main>\n<header><h1>", style);
    lvt_xml_write(f, title, SIZE_MAX);
    fprintf(f,
            "</h1><p class='sub'>%s%s%d of %d tasks learned; %s; %zu training, %zu validation and %zu test "
            "images</p></header>\n",
            t->trial, *t->trial ? "; " : "", k, n, t->method->title, t->data->train.n - t->n_held, t->n_held,
            t->n_tested);
    fprintf(f, "<div class='cards'>\n");
    const lvt_metric *lost = lvt_metric_of(lvt_forgetting_name(t->settings->forgetting));
    char name[64];
    for (int s = 0; s < lvt_scenarios(&t->tasks); s++) {
        snprintf(name, sizeof name, "average accuracy, %s", lvt_scenario_name(&t->tasks, s));
        card(f, name, 100 * lvt_metric_value("acc", a.in[s], n, k), "%");
    }
    for (int s = 0; s < lvt_scenarios(&t->tasks); s++) {
        snprintf(name, sizeof name, "%s, %s", lost->title, lvt_scenario_name(&t->tasks, s));
        card(f, name, 100 * lost->value(a.in[s], n, k), "");
    }
    card(f, "expected calibration error", 100 * lvt_calibration_error(t->last.bins), "%");
    fprintf(f, "</div>\n<section><h2>Accuracy</h2>\n");
    lvt_page_accuracy(f, &a);
    fprintf(f, "</section>\n");
    metrics(f, &a);
    tasks_table(f, t);
    cJSON *records = read_records(t);
    fprintf(f, "<section><h2>Loss terms over steps</h2>\n");
    lvt_page_losses(f, records);
    fprintf(f, "</section>\n");
    lvt_page_drift(f, records, n);
    cJSON_Delete(records);
    status = lvt_page_attention(f, t, diag);
    fprintf(f, "<section><div class='row'><div class='wide'><h2>Confusion, %s</h2>\n",
            lvt_scenario_name(&t->tasks, 0));
    lvt_page_confusion(f, &t->tasks, k, t->last.confusion, t->data->class_names);
    fprintf(f, "</div><div><h2>Calibration</h2>\n");
    lvt_page_calibration(f, t->last.bins);
    fprintf(f, "</div></div></section>\n");
    if (t->memory.n && status == LVT_OK)
        status = lvt_page_memory(f, t, diag);
    settings_table(f, t);
    fprintf(f, "</main></body></html>\n");
    lvt_c_locale_end(before);
    return lvt_atomic_end(&out, status, diag);
}
