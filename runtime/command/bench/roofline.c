/* The drawing of a roofline: rates over intensities, both logarithmic, below the limits of arithmetic and of
 * each level of memory; beside it the lines of the model with their time and the part that the limits
 * explain.
 *
 * Invariant: plain SVG 1.1 without scripts or fonts of its own; every mark has a <title> with its numbers.
 * May not know: how they were measured. */
#include "profile.h"
#include "ir/base/xml.h"

#include <math.h>
#include <string.h>

static const double PI = 3.14159265358979323846;

enum {
    WIDTH = 1320,
    HEIGHT = 760,
    LEFT = 76,
    TOP = 96,
    RIGHT = 800,
    BOTTOM = 690,
    LIST = 846,
    LIST_END = 1290
};
enum { LIST_ROWS = 22, LIST_STEP = 26, MAX_LABELS = 64, MAX_CIRCLES = 256, CODE_CHARS = 38 };

static const struct {
    const char *name, *fill, *dark;
} families[LVT_N_FAMILIES] = {
    [LVT_FAMILY_NONE] = {"", "#888888", "#555555"},
    [LVT_FAMILY_ONEDNN] = {"products and convolutions", "#1f7a8c", "#155462"},
    [LVT_FAMILY_JIT] = {"fused pointwise work and reductions (JIT)", "#e07a1f", "#a85510"},
    [LVT_FAMILY_INTERP] = {"interpreter", "#8e3b76", "#642852"},
};
static const char *const bound_colours[LVT_N_BOUNDS] = {"#333333", "#9aa5b1", "#7b8794", "#52606d"};

typedef struct box {
    double x0, y0, x1, y1;
} box;

typedef struct circle {
    double x, y, r;
    const lvt_profile_row *row;
} circle;

typedef struct canvas {
    FILE *f;
    double x_low, x_high, y_low, y_high; /* logarithms, base 10 */
    box labels[MAX_LABELS];
    circle circles[MAX_CIRCLES];
    int n_labels, n_circles;
} canvas;

static double at_x(const canvas *c, double intensity) {
    return LEFT + (RIGHT - LEFT) * (log10(intensity) - c->x_low) / (c->x_high - c->x_low);
}

static double at_y(const canvas *c, double rate) {
    return BOTTOM - (BOTTOM - TOP) * (log10(rate) - c->y_low) / (c->y_high - c->y_low);
}

static bool can_show(const lvt_profile_row *r) {
    return r->flops > 0 && r->bytes > 0 && r->seconds > 0;
}

static void choose_range(canvas *c, const lvt_limits *limits, const lvt_profile_row *points, uint32_t n) {
    /* Slopes long enough for their names below the roof; no empty half. */
    double peak = limits->rate[LVT_BOUND_FMA], low = peak / 8,
           left = fmin(0.25, peak / limits->rate[LVT_BOUND_L2] / 4),
           right = 2 * peak / limits->rate[LVT_BOUND_MEMORY], high = peak * 1.7;
    double total = 0;
    for (uint32_t i = 0; i < n; i++)
        total += points[i].seconds;
    for (uint32_t i = 0; i < n; i++) {
        const lvt_profile_row *r = &points[i];
        if (!can_show(r) || r->seconds < 0.0005 * total) /* specks do not stretch the axes */
            continue;
        low = fmin(low, r->flops / r->seconds);
        high = fmax(high, 1.2 * r->flops / r->seconds); /* Winograd: flops are those of direct convolutions */
        left = fmin(left, r->flops / r->bytes);
        right = fmax(right, r->flops / r->bytes);
    }
    c->x_low = floor(log2(left * 0.8)) * log10(2);
    c->x_high = ceil(log2(right * 1.5)) * log10(2);
    c->y_low = log10(low * 0.7);
    c->y_high = log10(high);
}

static void axes(const canvas *c) {
    for (int e = (int)ceil(c->x_low / log10(2) - 1e-9); e * log10(2) <= c->x_high + 1e-9; e++) {
        double x = at_x(c, exp2(e));
        fprintf(c->f, "<line class='%s' x1='%.1f' x2='%.1f' y1='%d' y2='%d'/>\n", e % 2 ? "g" : "gg", x, x,
                TOP, BOTTOM);
        if (e % 2 == 0 && e < 0)
            fprintf(c->f, "<text class='t m' x='%.1f' y='%d'>1/%d</text>\n", x, BOTTOM + 20, 1 << -e);
        else if (e % 2 == 0)
            fprintf(c->f, "<text class='t m' x='%.1f' y='%d'>%d</text>\n", x, BOTTOM + 20, 1 << e);
    }
    static const double steps[] = {1, 2, 5};
    for (int e = -3; e < 9; e++) {
        for (int k = 0; k < 3; k++) {
            double gflops = steps[k] * pow(10, e), l = log10(gflops * 1e9);
            if (l < c->y_low || l > c->y_high)
                continue;
            double y = at_y(c, gflops * 1e9);
            fprintf(c->f, "<line class='%s' x1='%d' x2='%d' y1='%.1f' y2='%.1f'/>\n", k ? "g" : "gg", LEFT,
                    RIGHT, y, y);
            fprintf(c->f, "<text class='t e' x='%d' y='%.1f'>%g</text>\n", LEFT - 8, y + 4, gflops);
        }
    }
    fprintf(c->f,
            "<text class='l m' x='%d' y='%d'>arithmetic intensity, flops a byte read or written</text>\n",
            (LEFT + RIGHT) / 2, BOTTOM + 44);
    fprintf(c->f, "<text class='l m' transform='translate(22,%d) rotate(-90)'>GFLOP/s</text>\n",
            (TOP + BOTTOM) / 2);
}

static void roofs(const canvas *c, const lvt_limits *limits) {
    double peak = limits->rate[LVT_BOUND_FMA], left = pow(10, c->x_low), bottom = pow(10, c->y_low);
    double slope = atan2((BOTTOM - TOP) / (c->y_high - c->y_low), (RIGHT - LEFT) / (c->x_high - c->x_low));
    for (int b = LVT_BOUND_L2; b < LVT_N_BOUNDS; b++) {
        double rate = limits->rate[b], begin = fmax(left, bottom / rate), end = peak / rate;
        double x = at_x(c, begin), y = at_y(c, begin * rate);
        fprintf(c->f, "<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' stroke='%s' stroke-width='2'/>\n", x, y,
                at_x(c, end), at_y(c, peak), bound_colours[b]);
        /* Above the line at its lower end; the third level, close to the second, has it below. */
        double shift = b == LVT_BOUND_L3 ? -14 : 6;
        fprintf(c->f,
                "<text class='r' transform='translate(%.1f,%.1f) rotate(%.2f)' style='fill:%s'>%s %.0f "
                "GB/s</text>\n",
                x + 14 * cos(slope) - shift * sin(slope), y - 14 * sin(slope) - shift * cos(slope),
                -slope * 180 / PI, bound_colours[b], lvt_bound_name((lvt_bound)b), rate * 1e-9);
    }
    double ridge = peak / limits->rate[LVT_BOUND_L2];
    fprintf(c->f, "<line x1='%.1f' y1='%.1f' x2='%d' y2='%.1f' stroke='#333' stroke-width='2.5'/>\n",
            at_x(c, fmax(ridge, left)), at_y(c, peak), RIGHT, at_y(c, peak));
    fprintf(c->f, "<text class='r' x='%.1f' y='%.1f'>fused multiply-adds %.0f GFLOP/s</text>\n",
            at_x(c, fmax(ridge, left)) + 4, at_y(c, peak) - 8, peak * 1e-9);
}

/* ---- points -------------------------------------------------------------------------------------------- */

static bool overlap(const box *a, const box *b) {
    return a->x0 < b->x1 && b->x0 < a->x1 && a->y0 < b->y1 && b->y0 < a->y1;
}

static box box_around(double x, double y, double w, double h) {
    return (box){x - w / 2, y - h / 2, x + w / 2, y + h / 2};
}

/* Whether a label may lie there: inside the drawing, on no other label and on no circle but number `own`. */
static bool is_free(const canvas *c, box b, int own) {
    if (b.x0 < LEFT || b.x1 > RIGHT || b.y0 < TOP || b.y1 > BOTTOM)
        return false;
    for (int i = 0; i < c->n_labels; i++) {
        if (overlap(&b, &c->labels[i]))
            return false;
    }
    for (int i = 0; i < c->n_circles; i++) {
        const circle *o = &c->circles[i];
        double dx = fmax(fmax(b.x0 - o->x, o->x - b.x1), 0), dy = fmax(fmax(b.y0 - o->y, o->y - b.y1), 0);
        if (i != own && dx * dx + dy * dy < o->r * o->r)
            return false;
    }
    return true;
}

/* The number of the line: inside its circle when it fits and no other covers it, else at the nearest free
 * place around, tied to the circle when that is not beside it. */
static void label(canvas *c, int which) {
    const circle *o = &c->circles[which];
    char text[16];
    snprintf(text, sizeof text, "%u", o->row->line);
    double w = 7.6 * (double)strlen(text) + 2, h = 13;
    if (c->n_labels == MAX_LABELS)
        return;
    if (o->r > w / 2 + 1 && is_free(c, box_around(o->x, o->y, w, h), which)) {
        c->labels[c->n_labels++] = box_around(o->x, o->y, w, h);
        fprintf(c->f, "<text class='p m' style='fill:#fff' x='%.1f' y='%.1f'>%s</text>\n", o->x, o->y + 4,
                text);
        return;
    }
    static const double gaps[] = {3, 14, 28, 44, 62};
    for (size_t ring = 0; ring < sizeof gaps / sizeof *gaps; ring++) {
        for (int side = 0; side < 16; side++) {
            double angle = side * PI / 8, reach = o->r + gaps[ring], ux = cos(angle), uy = -sin(angle);
            double x = o->x + ux * (reach + w / 2), y = o->y + uy * (reach + h / 2);
            if (!is_free(c, box_around(x, y, w, h), -1))
                continue;
            c->labels[c->n_labels++] = box_around(x, y, w, h);
            if (ring)
                fprintf(c->f, "<line class='tie' x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f'/>\n", o->x, o->y,
                        x - ux * w * 0.45, y - uy * h * 0.55);
            fprintf(c->f, "<text class='p m' style='fill:%s' x='%.1f' y='%.1f'>%s</text>\n",
                    families[o->row->family].dark, x, y + 4, text);
            return;
        }
    }
}

static double radius(double share) {
    return fmax(2.5, 54 * sqrt(share));
}

static void numbers(FILE *f, const lvt_profile_row *r) {
    lvt_bound bound;
    double limit = lvt_profile_limit(r, &bound);
    fprintf(f, "<title>");
    lvt_xml_write(f, r->name, 1000);
    fprintf(f,
            "\n%.3f ms, %u steps, %.3f GFLOP, %.2f MB, %.1f GFLOP/s, %.1f GB/s, bound by %s, %.0f%% of "
            "it</title>",
            r->seconds * 1e3, r->steps, r->flops * 1e-9, r->bytes * 1e-6, r->flops / r->seconds * 1e-9,
            r->bytes / r->seconds * 1e-9, lvt_bound_name(bound), 100 * limit / r->seconds);
}

static void draw_points(canvas *c, const lvt_profile_row *points, uint32_t n, double total) {
    for (uint32_t i = 0; i < n; i++) {
        const lvt_profile_row *r = &points[i];
        if (!can_show(r) || r->line == 0)
            continue;
        circle o = {at_x(c, r->flops / r->bytes), at_y(c, r->flops / r->seconds), radius(r->seconds / total),
                    r};
        if (o.x < LEFT || o.x > RIGHT || o.y < TOP || o.y > BOTTOM)
            continue;
        fprintf(c->f, "<circle cx='%.1f' cy='%.1f' r='%.1f' fill='%s'>", o.x, o.y, o.r,
                families[r->family].fill);
        numbers(c->f, r);
        fprintf(c->f, "</circle>\n");
        if (c->n_circles < MAX_CIRCLES)
            c->circles[c->n_circles++] = o;
    }
    for (int i = 0; i < c->n_circles; i++) { /* after all circles: none covers a label */
        if (c->circles[i].row->seconds > 0.003 * total)
            label(c, i);
    }
}

/* ---- list ---------------------------------------------------------------------------------------------- */

static void draw_list(FILE *f, const lvt_profile_row *lines, uint32_t n, double total) {
    uint32_t shown = n < LIST_ROWS ? n : LIST_ROWS;
    double longest = n ? lines[0].seconds : 1, span = LIST_END - LIST;
    fprintf(f,
            "<text class='l' x='%d' y='%d'>lines of the model by time; dark: the part that the limits "
            "explain</text>\n",
            LIST, TOP - 12);
    for (uint32_t i = 0; i < shown; i++) {
        const lvt_profile_row *r = &lines[i];
        lvt_bound bound;
        double y = TOP + 12 + (double)i * LIST_STEP, limit = lvt_profile_limit(r, &bound),
               part = r->seconds > 0 ? fmin(1, limit / r->seconds) : 0, width = span * r->seconds / longest;
        fprintf(f, "<g>");
        if (r->seconds > 0)
            numbers(f, r);
        fprintf(f, "<rect x='%d' y='%.1f' width='%.1f' height='5' fill='#c9d6df'/>", LIST, y + 5, width);
        fprintf(f, "<rect x='%d' y='%.1f' width='%.1f' height='5' fill='#3e5c76'/>", LIST, y + 5,
                width * part);
        fprintf(f, "<text class='c' x='%d' y='%.1f'><tspan font-weight='bold'>", LIST, y);
        if (r->line)
            fprintf(f, "%u", r->line);
        fprintf(f, "</tspan> ");
        lvt_xml_write(f, r->line ? r->text : "(no place)", CODE_CHARS);
        fprintf(f, "%s</text>", strlen(r->text) > CODE_CHARS ? "…" : "");
        fprintf(f, "<text class='n e' x='%d' y='%.1f'>%.2f ms, %s, %.0f%%</text></g>\n", LIST_END, y,
                r->seconds * 1e3, lvt_bound_name(bound), r->seconds > 0 ? 100 * limit / r->seconds : 0);
    }
    double rest = 0;
    for (uint32_t i = shown; i < n; i++)
        rest += lines[i].seconds;
    if (n > shown)
        fprintf(f, "<text class='n' x='%d' y='%d'>and %u lines more: %.2f ms (%.1f%%)</text>\n", LIST,
                TOP + 10 + LIST_ROWS * LIST_STEP, n - shown, rest * 1e3, 100 * rest / total);
}

static void legend(FILE *f, const lvt_profile_row *points, uint32_t n, double total) {
    double x = LEFT;
    for (int family = LVT_FAMILY_ONEDNN; family < LVT_N_FAMILIES; family++) {
        double seconds = 0;
        for (uint32_t i = 0; i < n; i++)
            seconds += points[i].family == family ? points[i].seconds : 0;
        if (seconds == 0)
            continue;
        char text[128];
        int length = snprintf(text, sizeof text, "%s, %.1f%% of the time", families[family].name,
                              100 * seconds / total);
        fprintf(f, "<circle cx='%.1f' cy='68' r='6' fill='%s'/><text class='t' x='%.1f' y='72'>%s</text>\n",
                x + 6, families[family].fill, x + 18, text);
        x += 40 + 6.3 * length;
    }
}

void lvt_roofline_draw(FILE *f, const char *title, const lvt_limits *limits, const lvt_profile_row *points,
                       uint32_t n_points, const lvt_profile_row *lines, uint32_t n_lines) {
    canvas c = {.f = f};
    double total = 1e-12;
    for (uint32_t i = 0; i < n_points; i++)
        total += points[i].seconds;
    choose_range(&c, limits, points, n_points);
    fprintf(
        f,
        "<?xml version='1.0' encoding='UTF-8'?>\n"
        "<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d' viewBox='0 0 %d %d'>\n"
        "<style>text{font:12px system-ui,'DejaVu Sans',sans-serif;fill:#333}"
        ".h{font-size:17px;font-weight:600}.l{font-size:12.5px;fill:#444}.r{font-size:12px;font-weight:600}"
        ".p{font-size:11.5px;font-weight:700}.tie{stroke:#888;stroke-width:.8}.c{font:11px 'DejaVu Sans "
        "Mono',monospace}"
        ".n{font-size:11px;fill:#555}.m{text-anchor:middle}.e{text-anchor:end}"
        ".g{stroke:#eef1f4}.gg{stroke:#dbe1e7}circle{fill-opacity:.82;stroke:#fff;stroke-width:1}</style>\n"
        "<rect width='100%%' height='100%%' fill='#fff'/>\n",
        WIDTH, HEIGHT, WIDTH, HEIGHT);
    fprintf(f, "<text class='h' x='%d' y='34'>", LEFT);
    lvt_xml_write(f, title, 200);
    fprintf(
        f,
        "</text>\n<text class='t' x='%d' y='52'>%.2f ms in kernels; a circle is the work of one family of "
        "kernels for one line of the model, its area the time; numbers are lines</text>\n",
        LEFT, total * 1e3);
    legend(f, points, n_points, total);
    axes(&c);
    roofs(&c, limits);
    draw_points(&c, points, n_points, total);
    draw_list(f, lines, n_lines, total);
    fprintf(f, "</svg>\n");
}
