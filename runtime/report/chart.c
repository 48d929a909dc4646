/* accuracy.svg: heat maps of both matrices, and curves over tasks. Plain SVG 1.1 without scripts or fonts of
 * its own. May not know: training, terminals. */
#include "runtime/continual/metrics.h"
#include "report.h"
#include "ir/base/file.h"
#include "ir/base/xml.h"
#include "ir/base/c_locale.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* NUMBERS: so many tasks at most have their accuracies written into the maps. WHOLE: so
 * many letters of a title have room at its usual size. */
enum { PANEL = 420, MARGIN = 56, TOP = 108, CURVES = 300, NUMBERS = 20, WHOLE = 80 };

static void heat_map(FILE *f, const lvt_accuracies *a, int scenario, double left) {
    int n = a->tasks->n;
    const double *m = a->in[scenario];
    double size = (double)(PANEL - MARGIN - 16) / n;
    fprintf(f, "<g transform='translate(%g,%d)'>\n<text x='%d' y='-30' class='h'>%s</text>\n", left, TOP,
            MARGIN, lvt_scenario_name(a->tasks, scenario));
    fprintf(f, "<text x='%g' y='-8' class='l' text-anchor='middle'>accuracy on task</text>\n",
            MARGIN + n * size / 2);
    fprintf(
        f,
        "<text transform='translate(14,%g) rotate(-90)' class='l' text-anchor='middle'>after task</text>\n",
        n * size / 2);
    for (int k = 1; k <= n; k++) {
        if (n <= 25 || k % 5 == 0)
            fprintf(f, "<text x='%d' y='%g' class='t' text-anchor='end'>%d</text>\n", MARGIN - 8,
                    (k - 0.5) * size + 4, k);
        if (n <= 16 || k % (n <= 25 ? 2 : 5) == 0) /* numbers side by side need more room */
            fprintf(f, "<text x='%g' y='%g' class='t' text-anchor='middle'>%d</text>\n",
                    MARGIN + (k - 0.5) * size, n * size + 18, k);
        for (int j = 0; j < n; j++) {
            double v = k <= a->learned ? m[k * n + j] : NAN;
            if (isnan(v))
                continue;
            fprintf(f,
                    "<rect x='%.2f' y='%.2f' width='%.2f' height='%.2f' rx='2' class='heat' "
                    "fill-opacity='%.3f'><title>task %d after task %d: %.2f%%</title></rect>\n",
                    MARGIN + j * size, (k - 1) * size, size - 1.5, size - 1.5, 0.06 + 0.94 * v, j + 1, k,
                    100 * v);
            if (n <= NUMBERS)
                fprintf(f, "<text x='%.2f' y='%.2f' class='v%s' %stext-anchor='middle'>%.0f</text>\n",
                        MARGIN + (j + 0.5) * size - 0.75, (k - 0.5) * size + 3, v > 0.5 ? " w" : "",
                        n > 12 ? "style='font-size:8px' " : "", 100 * v);
        }
    }
    for (int p = 0; p <= 100 && n > NUMBERS; p += 25) /* what the shades mean, in the empty corner */
        fprintf(f,
                "<rect x='%d' y='%d' width='14' height='14' rx='2' class='heat' fill-opacity='%.3f'/>"
                "<text x='%d' y='%d' class='t' text-anchor='end'>%d%%</text>\n",
                PANEL - 30, p * 18 / 25, 0.06 + 0.94 * p / 100, PANEL - 36, p * 18 / 25 + 11, p);
    fprintf(f, "</g>\n");
}

/* One line: values over tasks first..learned, NaN left out. */
static void curve(FILE *f, const lvt_accuracies *a, double width, double height, int first,
                  double (*value)(const lvt_accuracies *a, int k, int which), int which, const char *style) {
    int n = a->tasks->n;
    fprintf(f, "<polyline %s points='", style);
    for (int k = first; k <= a->learned; k++) {
        double v = value(a, k, which);
        if (!isnan(v))
            fprintf(f, "%.1f,%.1f ", n > 1 ? (k - 1) * width / (n - 1) : width / 2, height * (1 - v));
    }
    fprintf(f, "'/>\n");
}

static double mean_at(const lvt_accuracies *a, int k, int scenario) {
    return lvt_metric_value("acc", a->in[scenario], a->tasks->n, k);
}
static double task_at(const lvt_accuracies *a, int k, int task) {
    return a->in[LVT_CLASS_IL][k * a->tasks->n + task];
}

static void curves(FILE *f, const lvt_accuracies *a, double top) {
    double width = 2 * PANEL - 2 * MARGIN - 120, height = CURVES - 90;
    int n = a->tasks->n;
    fprintf(
        f, "<g transform='translate(%d,%g)'>\n<text y='-16' class='h'>Accuracy as tasks are learned</text>\n",
        MARGIN, top);
    for (int p = 0; p <= 100; p += 25) {
        double y = height * (1 - p / 100.);
        fprintf(f, "<line x1='0' x2='%g' y1='%g' y2='%g' class='g'/>\n", width, y, y);
        fprintf(f, "<text x='-8' y='%g' class='t' text-anchor='end'>%d%%</text>\n", y + 4, p);
    }
    for (int k = 1; k <= n; k++) {
        if (n <= 25 || k % 5 == 0)
            fprintf(f, "<text x='%g' y='%g' class='t' text-anchor='middle'>%d</text>\n",
                    n > 1 ? (k - 1) * width / (n - 1) : width / 2, height + 20, k);
    }
    fprintf(f, "<text x='%g' y='%g' class='l' text-anchor='middle'>after task</text>\n", width / 2,
            height + 40);
    for (int j = 0; j < a->learned; j++)
        curve(f, a, width, height, j + 1, task_at, j, "class='one'");
    for (int s = lvt_scenarios(a->tasks); s-- > 0;)
        curve(f, a, width, height, 1, mean_at, s, s ? "class='c1'" : "class='c0'");
    static const struct {
        const char *line;
        int scenario;
        const char *what;
    } legend[] = {{"c0", 0, "mean"}, {"c1", 1, "mean"}, {"one", 0, "one task"}};
    for (int i = 0, y = 10; i < 3; i++) {
        if (legend[i].scenario >= lvt_scenarios(a->tasks))
            continue;
        fprintf(f,
                "<line x1='%g' x2='%g' y1='%d' y2='%d' class='%s'/><text x='%g' y='%d' "
                "class='t'>%s, %s</text>\n",
                width + 16, width + 36, y, y, legend[i].line, width + 42, y + 4,
                lvt_scenario_name(a->tasks, legend[i].scenario), legend[i].what);
        y += 22;
    }
    fprintf(f, "</g>\n");
}

void lvt_report_heat(const lvt_accuracies *a, int scenario, FILE *f) {
    enum { HEAD = 50 };
    fprintf(f,
            "<svg viewBox='0 0 %d %d' width='%d' height='%d' role='img' aria-label='accuracy, %s'>"
            "<g transform='translate(0,%d)'>\n",
            PANEL, TOP - HEAD + PANEL - MARGIN + 24, PANEL, TOP - HEAD + PANEL - MARGIN + 24,
            lvt_scenario_name(a->tasks, scenario), -HEAD);
    heat_map(f, a, scenario, 0);
    fprintf(f, "</g></svg>\n");
}

static void draw(const lvt_accuracies *a, const char *title, FILE *f) {
    int n = a->tasks->n, scenarios = lvt_scenarios(a->tasks), width = 2 * PANEL + 24,
        map = TOP + PANEL - MARGIN + 16, height = map + CURVES;
    fprintf(
        f,
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' width='%d' height='%d'>\n"
        "<style>text{font-family:system-ui,sans-serif;fill:#1f2933}.h{font-size:14px;font-weight:600}"
        ".l{font-size:11px;fill:#616e7c}.t{font-size:11px;fill:#616e7c}.v{font-size:11px}.w{fill:#fff}"
        ".heat{fill:#0b4a86}.g{stroke:#e4e7eb}polyline{fill:none}"
        ".c0{stroke:#0b4a86;stroke-width:2.5;stroke-linejoin:round}"
        ".c1{stroke:#d9822b;stroke-width:2.5;stroke-linejoin:round}.one{stroke:#9fb3c8;opacity:.7}</style>\n"
        "<rect width='100%%' height='100%%' fill='#fff'/>\n"
        "<text x='%d' y='30' style='font-size:%.1fpx;font-weight:600'>",
        width, height, width, height, MARGIN, fmin(17, 17. * WHOLE / (double)(strlen(title) + 1)));
    lvt_xml_write(f, title, SIZE_MAX);
    fprintf(f, "</text>\n");
    if (a->learned) {
        fprintf(f, "<text x='%d' y='48' class='l'>", MARGIN);
        for (int s = 0; s < scenarios; s++) {
            const double *m = a->in[s];
            double forgetting = lvt_metric_value(lvt_forgetting_name(a->forgetting), m, n, a->learned);
            fprintf(f, "%s: accuracy %.2f%%", lvt_scenario_name(a->tasks, s),
                    100 * lvt_metric_value("acc", m, n, a->learned));
            if (!isnan(forgetting))
                fprintf(f, ", forgetting %.2f", fabs(forgetting) < 5e-5 ? 0 : 100 * forgetting);
            fprintf(f, s + 1 < scenarios ? " &#183; " : "");
        }
        fprintf(f, "</text>\n");
    }
    for (int s = 0; s < scenarios; s++)
        heat_map(f, a, s, s * PANEL);
    curves(f, a, map + 30);
    fprintf(f, "</svg>\n");
}

lvt_status lvt_report_svg(const lvt_accuracies *a, const char *title, const lvt_folder *in, const char *path,
                          lvt_diag *diag) {
    lvt_atomic_file out;
    lvt_status status = lvt_atomic_begin(&out, in, path, diag);
    if (status != LVT_OK)
        return status;
    locale_t before = lvt_c_locale_begin();
    draw(a, title, out.stream);
    lvt_c_locale_end(before);
    return lvt_atomic_end(&out, LVT_OK, diag);
}
