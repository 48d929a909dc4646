/* compare.svg: mean accuracy over tasks with 95% bands in each scenario, and bars of the end. May not know:
 * files. */
#include "compare.h"
#include "ir/base/xml.h"
#include "ir/base/c_locale.h"

#include <math.h>
#include <string.h>

enum { WIDTH = 940, LEFT = 52, PANEL = 390, HEIGHT = 230, TOP = 78, BAR = 24, GAP = 64 };
/* Okabe and Ito's colours, which people with any colour vision tell apart. */
static const char *const colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                      "#e69f00", "#56b4e9", "#444444", "#a05a2c"};
enum { N_COLOURS = sizeof colours / sizeof *colours };

/* Curves over the tasks, of one scenario. */
typedef struct plot {
    const char *title;
    int what, left, width;
} plot;

static double x_of(const lvt_comparison *c, const plot *p, int k) {
    return c->tasks > 1 ? (k - 1) * (double)p->width / (c->tasks - 1) : p->width / 2.;
}

static void curves(const lvt_comparison *c, FILE *f, const plot *panel) {
    fprintf(
        f,
        "<g transform='translate(%d,%d)'>\n<text y='-14' class='h'>%s, mean over the tasks learned</text>\n",
        panel->left, TOP, panel->title);
    for (int p = 0; p <= 100; p += 25) {
        double y = HEIGHT * (1 - p / 100.);
        fprintf(f,
                "<line x1='0' x2='%d' y1='%g' y2='%g' stroke='#e4e7eb'/><text x='-8' y='%g' class='t' "
                "text-anchor='end'>%d%%</text>\n",
                panel->width, y, y, y + 4, p);
    }
    for (int k = 1; k <= c->tasks; k++) {
        if (c->tasks <= 25 || k % 5 == 0)
            fprintf(f, "<text x='%g' y='%d' class='t' text-anchor='middle'>%d</text>\n", x_of(c, panel, k),
                    HEIGHT + 18, k);
    }
    fprintf(f, "<text x='%d' y='%d' class='t' text-anchor='middle'>after task</text>\n", panel->width / 2,
            HEIGHT + 36);
    for (int pass = 0; pass < 2; pass++) { /* bands below all lines */
        for (int g = 0; g < c->n_groups; g++) {
            const char *colour = colours[g % N_COLOURS];
            if (pass) {
                fprintf(
                    f,
                    "<polyline fill='none' stroke='%s' stroke-width='2.2' stroke-linejoin='round'%s points='",
                    colour, g >= N_COLOURS ? " stroke-dasharray='6 4'" : "");
            } else {
                fprintf(f, "<polygon fill='%s' opacity='.14' points='", colour);
            }
            for (int side = 0; side < (pass ? 1 : 2); side++) {
                for (int i = 1; i <= c->tasks; i++) {
                    int k = side ? c->tasks + 1 - i : i;
                    lvt_interval v = lvt_comparison_value(c, g, panel->what, k);
                    double half = pass || isnan(v.half) ? 0 : side ? -v.half : v.half;
                    double y = v.mean + half;
                    if (v.n)
                        fprintf(f, "%.1f,%.1f ", x_of(c, panel, k), HEIGHT * (1 - fmin(fmax(y, 0), 1)));
                }
            }
            fprintf(f, "'/>\n");
            for (int k = 1; k <= c->tasks && pass; k++) {
                lvt_interval v = lvt_comparison_value(c, g, panel->what, k);
                if (v.n)
                    fprintf(f, "<circle cx='%.1f' cy='%.1f' r='2.8' fill='%s'/>\n", x_of(c, panel, k),
                            HEIGHT * (1 - v.mean), colour);
            }
        }
    }
    fprintf(f, "</g>\n");
}

/* row: from one experiment to the next; name: what of it a name of its own line takes. */
static void bars(const lvt_comparison *c, FILE *f, int what, const char *title, double left, double top,
                 double width, double row, double name) {
    double low = 0, high = 0.01;
    for (int g = 0; g < c->n_groups; g++) {
        lvt_interval v = lvt_comparison_value(c, g, what, 0);
        double half = isnan(v.half) ? 0 : v.half;
        if (v.n) {
            low = fmin(low, v.mean - half);
            high = fmax(high, v.mean + half);
        }
    }
    low = fmax(low, -1);
    high = fmin(high, 1);
    double scale = (width - 96) / (high - low), zero = -low * scale;
    fprintf(f, "<g transform='translate(%g,%g)'>\n<text y='-10' class='h'>%s</text>\n", left, top, title);
    for (int g = 0; g < c->n_groups; g++) {
        lvt_interval v = lvt_comparison_value(c, g, what, 0);
        if (!v.n)
            continue;
        double y = g * row + name, x = zero + v.mean * scale, end = x;
        fprintf(f, "<rect x='%.1f' y='%.1f' width='%.1f' height='%d' rx='2' fill='%s' opacity='.85'/>\n",
                fmin(zero, x), y, fmax(fabs(x - zero), 1), BAR - 8, colours[g % N_COLOURS]);
        if (!isnan(v.half)) {
            double a = zero + fmax(v.mean - v.half, low) * scale,
                   b = zero + fmin(v.mean + v.half, high) * scale, m = y + (BAR - 8) / 2.;
            fprintf(f,
                    "<path d='M%.1f %.1fH%.1fM%.1f %.1fv6M%.1f %.1fv6' stroke='#1f2933' stroke-width='1.3' "
                    "fill='none'/>\n",
                    a, m, b, a, m - 3, b, m - 3);
            end = fmax(b, x);
        }
        fprintf(f, "<text x='%.1f' y='%.1f' class='t'>%.1f", fmax(end, zero) + 6, y + 12, 100 * v.mean);
        if (!isnan(v.half))
            fprintf(f, " &#177;%.1f", 100 * v.half);
        fprintf(f, "</text>\n");
    }
    for (int g = 0; g < c->n_groups; g++) /* the axis, but not through a name */
        fprintf(f, "<path d='M%.1f %.1fv%d' stroke='#9aa5b1'/>\n", zero, g * row + name - 4, BAR);
    fprintf(f, "</g>\n");
}

void lvt_comparison_svg(const lvt_comparison *c, FILE *f) {
    locale_t before = lvt_c_locale_begin();
    enum { BESIDE = 38, MOST = 136 }; /* letters of a name that has room beside bars; on a line of its own */
    size_t longest = 0;
    for (int g = 0; g < c->n_groups; g++)
        longest = strlen(c->labels[g]) > longest ? strlen(c->labels[g]) : longest;
    bool above = longest > BESIDE;
    double name = above ? 20 : 0, row = BAR + name, top = TOP + HEIGHT + 96;
    double height = top + c->n_groups * row + 30;
    const lvt_tasks tasks = {.domains = c->domains};
    int scenarios = lvt_scenarios(&tasks);
    double names = above ? 0 : fmax(60 + 6.2 * (double)longest, 120),
           column = (WIDTH - 24 - names - LEFT) / (scenarios + 1);
    fprintf(f,
            "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %g' width='%d' height='%g'>\n"
            "<style>text{font-family:system-ui,sans-serif;fill:#1f2933}.h{font-size:13px;font-weight:600}"
            ".t{font-size:11px;fill:#52606d}.n{font-size:12px}</style>\n<rect width='100%%' height='100%%' "
            "fill='#fff'/>\n"
            "<text x='%d' y='32' style='font-size:17px;font-weight:600'>%d runs, %d experiment%s</text>\n",
            WIDTH, height, WIDTH, height, LEFT, c->n, c->n_groups, c->n_groups == 1 ? "" : "s");
    for (int s = 0; s < scenarios; s++)
        curves(c, f,
               &(plot){lvt_scenario_name(&tasks, s), lvt_compared("acc", s), LEFT + s * (PANEL + GAP),
                       scenarios > 1 ? PANEL : 2 * PANEL + GAP});
    for (int g = 0; g < c->n_groups; g++) {
        int runs = 0;
        for (int i = 0; i < c->n; i++)
            runs += c->runs[i].group == g;
        fprintf(f,
                "<rect x='%d' y='%g' width='12' height='12' rx='2' fill='%s'/><text x='%d' y='%g' class='n'>",
                LEFT - 24, top + g * row + 2, colours[g % N_COLOURS], LEFT - 6, top + g * row + 12);
        lvt_xml_write(f, c->labels[g], MOST);
        fprintf(f, "%s <tspan class='t'>&#215;%d</tspan></text>\n",
                strlen(c->labels[g]) > MOST ? "&#8230;" : "", runs);
    }
    fprintf(f, "<text x='%d' y='%g' class='t'>at the end; whiskers and bands: 95%%</text>\n", LEFT - 24,
            top - 28);
    const struct {
        int what;
        const char *scenario, *metric;
    } shown[] = {{lvt_compared("acc", LVT_CLASS_IL), lvt_scenario_name(&tasks, 0), "accuracy %"},
                 {lvt_compared(lvt_forgetting_name(c->forgetting), LVT_CLASS_IL),
                  lvt_scenario_name(&tasks, 0), "forgetting"},
                 {lvt_compared("acc", LVT_TASK_IL), lvt_scenario_name(&tasks, 1), "accuracy %"}};
    for (int i = 0; i <= scenarios; i++) {
        char title[40];
        snprintf(title, sizeof title, "%s, %s", shown[i].scenario, shown[i].metric);
        bars(c, f, shown[i].what, title, LEFT + names + i * column, top, column, row, name);
    }
    fprintf(f, "</svg>\n");
    lvt_c_locale_end(before);
}
