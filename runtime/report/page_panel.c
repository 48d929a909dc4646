/* A small chart of lines for report.html. May not know: what its numbers are. */
#include "page.h"
#include "ir/base/xml.h"

#include <math.h>
#include <string.h>

enum { LEFT = 60, RIGHT = 14, TOP = 28, BOTTOM = 24 };

static void label(FILE *f, const lvt_panel *p, double y, double v) {
    v = p->percent ? 100 * v : v;
    fprintf(f, "<text x='-6' y='%.1f' class='t' text-anchor='end'>", y + 4);
    fprintf(f, fabs(v) >= 1000 ? "%.0f" : "%.3g", v);
    fprintf(f, p->percent ? "%%</text>\n" : "</text>\n");
}

/* Four lines above 0, and below it as many in the same distance as are needed. */
static void grid(FILE *f, const lvt_panel *p, double width, double height) {
    double step = p->y1 / 4;
    for (int i = (int)lrint(p->y0 / step); i <= 4; i++) {
        double y = height * (p->y1 - i * step) / (p->y1 - p->y0);
        fprintf(f, "<line x2='%g' y1='%.1f' y2='%.1f' class='g%s'/>", width, y, y, i ? "" : " zero");
        if (i % 2 == 0 || height > 140)
            label(f, p, y, i * step);
    }
    int every = p->ticks > 12 ? 5 : 1;
    for (int k = 1; k <= p->ticks; k++) {
        if (k % every == 0)
            fprintf(f, "<text x='%.1f' y='%g' class='t' text-anchor='middle'>%d</text>",
                    (k - p->x0) / (p->x1 - p->x0) * width, height + 17, k);
    }
    if (!p->ticks)
        fprintf(f, "<text y='%g' class='t'>0</text><text x='%g' y='%g' class='t' text-anchor='end'>%s</text>",
                height + 17, width, height + 17, p->right);
}

void lvt_page_panel(FILE *f, const lvt_panel *p, const lvt_series *series, int n) {
    double width = p->width - LEFT - RIGHT, height = p->height - TOP - BOTTOM;
    fprintf(f,
            "<figure class='panel' style='width:%dpx'><svg viewBox='0 0 %d %d' width='%d' height='%d' "
            "role='img'><title>",
            p->width, p->width, p->height, p->width, p->height);
    lvt_xml_write(f, p->title, SIZE_MAX);
    fprintf(f, "</title><text x='%d' y='15' class='h'>", LEFT);
    lvt_xml_write(f, p->title, SIZE_MAX);
    fprintf(f, "</text><g transform='translate(%d,%d)'>\n", LEFT, TOP);
    grid(f, p, width, height);
    double xs = p->x1 > p->x0 ? width / (p->x1 - p->x0) : 0,
           ys = p->y1 > p->y0 ? height / (p->y1 - p->y0) : 0;
    for (int i = 0; i < p->n_marks; i++)
        fprintf(f, "<line x1='%.1f' x2='%.1f' y2='%g' class='mark'/>", (p->marks[i] - p->x0) * xs,
                (p->marks[i] - p->x0) * xs, height);
    bool legend = false;
    for (int s = 0; s < n; s++) {
        const lvt_series *l = &series[s];
        bool open = false;
        int points = 0;
        double x = 0, y = 0;
        for (int i = 0; i < l->n; i++) {
            if (isnan(l->y[i])) {
                fprintf(f, open ? "'/>" : "");
                open = false;
                continue;
            }
            if (!open)
                fprintf(f, "<polyline class='%s' points='", l->style);
            open = true;
            x = (l->x[i] - p->x0) * xs;
            y = height * (1 - fmin(fmax((l->y[i] - p->y0) * ys / height, 0), 1));
            fprintf(f, "%.1f,%.1f ", x, y);
            points++;
        }
        fprintf(f, open ? "'/>" : "");
        if (points == 1) /* no line to see yet */
            fprintf(f, "<circle cx='%.1f' cy='%.1f' r='2.5' class='%s dot'/>", x, y, l->style);
        legend = legend || l->name;
    }
    fprintf(f, "</g></svg>");
    if (legend)
        fprintf(f, "<figcaption>");
    for (int s = 0; s < n; s++) {
        if (!series[s].name)
            continue;
        fprintf(f, "<span><svg width='24' height='8'><line x2='24' y1='4' y2='4' class='%s'/></svg> ",
                series[s].style);
        lvt_xml_write(f, series[s].name, SIZE_MAX);
        fprintf(f, "</span> ");
    }
    fprintf(f, legend ? "</figcaption></figure>\n" : "</figure>\n");
}
