/* Drawings of report.html of what was measured last: confusion, calibration. May not know: files, terminals.
 */
#include "page.h"
#include "ir/base/xml.h"

#include <math.h>
#include <string.h>

void lvt_page_confusion(FILE *f, const lvt_tasks *tasks, int learned, const int32_t *confusion,
                        char *const *names) {
    enum { SIDE = 420, LEFT = 96, TOP = 10 };
    int seen = lvt_tasks_seen(tasks, learned - 1);
    double cell = (double)SIDE / seen;
    bool named = seen <= 40; /* more names would run into each other: tasks are numbered instead */
    fprintf(f,
            "<svg viewBox='0 0 %d %d' width='%d' height='%d' role='img'><g transform='translate(%d,%d)'>"
            "<rect width='%d' height='%d' class='field'/>\n",
            LEFT + SIDE + 10, TOP + SIDE + 30, LEFT + SIDE + 10, TOP + SIDE + 30, LEFT, TOP, SIDE, SIDE);
    for (int r = 0; r < seen; r++) {
        int label = tasks->order[r];
        double sum = 0;
        for (int c = 0; c < tasks->classes; c++)
            sum += confusion[label * tasks->classes + c];
        if (named) {
            fprintf(f, "<text x='-6' y='%.1f' class='t' text-anchor='end'>", (r + 0.5) * cell + 4);
            lvt_xml_write(f, names[label], 14);
            fprintf(f, "</text>");
        }
        for (int c = 0; c < seen; c++) {
            int count = confusion[label * tasks->classes + tasks->order[c]];
            if (!count)
                continue;
            double v = count / sum;
            const char *style = r == c ? "right" : "wrong";
            fprintf(
                f,
                "<rect x='%.2f' y='%.2f' width='%.2f' height='%.2f' class='%s' fill-opacity='%.3f'><title>",
                c * cell, r * cell, cell - named, cell - named, style, 0.08 + 0.92 * sqrt(v));
            lvt_xml_write(f, names[label], SIZE_MAX);
            fprintf(f, " as ");
            lvt_xml_write(f, names[tasks->order[c]], SIZE_MAX);
            fprintf(f, ": %d of %.0f</title></rect>\n", count, sum);
            if (seen <= 12)
                fprintf(f, "<text x='%.1f' y='%.1f' class='v%s' text-anchor='middle'>%d</text>",
                        (c + 0.5) * cell, (r + 0.5) * cell + 4, v > 0.2 ? " w" : "", count);
        }
    }
    for (int k = 1; k < learned; k++) {
        double at = tasks->first[k] * cell;
        fprintf(f, "<path d='M0 %.1fH%dM%.1f 0V%d' class='cut'/>", at, SIDE, at, SIDE);
    }
    for (int k = 0; k < learned && !tasks->domains; k++) {
        double middle = (tasks->first[k] + tasks->first[k + 1]) / 2. * cell;
        if (learned > 25 && (k + 1) % 5)
            continue;
        if (!named)
            fprintf(f, "<text x='-6' y='%.1f' class='t' text-anchor='end'>%s%d</text>", middle + 4,
                    k ? "" : "task ", k + 1);
        fprintf(f, "<text x='%.1f' y='%d' class='t' text-anchor='middle'>%s%d</text>", middle, SIDE + 16,
                !k && learned <= 10 ? "task " : "", k + 1);
    }
    fprintf(f,
            "</g></svg>\n<p class='sub note'>Rows: what it is. Columns: the answer, in the %s.\n"
            "<svg width='10' height='10'><rect width='10' height='10' class='right'/></svg> right, "
            "<svg width='10' height='10'><rect width='10' height='10' class='wrong'/></svg> wrong; the "
            "stronger, the larger the share of the row.</p>\n",
            tasks->domains ? "same order" : "order of learning; lines part tasks");
}

void lvt_page_calibration(FILE *f, const double *bins) {
    enum { SIDE = 220, LEFT = 40, TOP = 10, N = LVT_CALIBRATION_BINS };
    double all = 0;
    for (int b = 0; b < N; b++)
        all += bins[3 * b];
    fprintf(f, "<svg viewBox='0 0 %d %d' width='%d' height='%d' role='img'><g transform='translate(%d,%d)'>",
            LEFT + SIDE + 18, TOP + SIDE + 44, LEFT + SIDE + 18, TOP + SIDE + 44, LEFT, TOP);
    for (int p = 0; p <= 100; p += 50)
        fprintf(f,
                "<line x2='%d' y1='%g' y2='%g' class='g'/><text x='-5' y='%g' class='t' "
                "text-anchor='end'>%d%%</text>"
                "<text x='%g' y='%d' class='t' text-anchor='middle'>%d%%</text>",
                SIDE, SIDE * (1 - p / 100.), SIDE * (1 - p / 100.), SIDE * (1 - p / 100.) + 4, p,
                SIDE * p / 100., SIDE + 16, p);
    for (int b = 0; b < N; b++) {
        double n = bins[3 * b], w = (double)SIDE / N;
        if (!(n > 0))
            continue;
        double right = bins[3 * b + 2] / n;
        fprintf(f,
                "<rect x='%.1f' y='%.1f' width='%.1f' height='%.1f' class='bin' "
                "fill-opacity='%.2f'><title>%.0f images: %.1f%% right, "
                "mean probability %.1f%%</title></rect>",
                b * w, SIDE * (1 - right), w - 1, SIDE * right, 0.25 + 0.75 * sqrt(n / all), n, 100 * right,
                100 * bins[3 * b + 1] / n);
    }
    fprintf(f,
            "<line x1='0' y1='%d' x2='%d' y2='0' class='ideal'/>"
            "<text x='%d' y='%d' class='t' text-anchor='middle'>probability of the answer</text></g></svg>\n"
            "<p class='sub note'>Bars: how often answers of that probability are right; darker ones hold "
            "more images. "
            "The dashed line is perfect calibration.</p>\n",
            SIDE, SIDE, SIDE / 2, SIDE + 34);
}
