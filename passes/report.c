/* The memory report of a planned entry, as text, JSON or drawing.
 *
 * Invariant: changes nothing but the report; of JSON and SVG the first entry of the module begins the
 * document, the last one ends it. May not know: how buffers were placed. */
#include "buffers.h"
#include "ir/base/xml.h"
#include "ir/base/utf8.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct reporter {
    lvt_text *text;
    const lvt_module *m;
    const lvt_graph *g;
    const lvt_plan *plan;
    const lvt_buffers *b;
    const uint64_t *alive; /* by step: bytes */
    uint64_t most, states;
    uint32_t at;            /* the step of the peak */
    const lvt_buffer *peak; /* buffers alive at it, largest first */
    uint32_t n_peak;
} reporter;

static int by_bytes(const void *a, const void *b) {
    const lvt_buffer *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x->value < y->value ? -1 : 1;
}

/* Line of the model file that a place comes from; the place itself where it is in no library. */
static lvt_pos model_line(const lvt_module *m, lvt_loc loc) {
    uint32_t model = m->locs[lvt_module_outermost(m, loc)].file;
    while (m->locs[loc].file != model && m->locs[loc].parent && m->locs[loc].parent < loc)
        loc = m->locs[loc].parent;
    return lvt_module_pos(m, loc);
}

/* ---- text ---- */

static void report_text(const reporter *r) {
    enum { TOP = 20 };
    const lvt_plan *plan = r->plan;
    uint64_t sum = plan->arena_bytes + r->states + plan->kept_bytes;
    lvt_text_add(r->text, "entry %s: arena %.2f MB, states %.2f MB", r->g->name ? r->g->name : "",
                 (double)plan->arena_bytes / 1e6, (double)r->states / 1e6);
    if (plan->kept_bytes)
        lvt_text_add(r->text, ", kept %.2f MB", (double)plan->kept_bytes / 1e6);
    lvt_text_add(r->text, ", together %.2f MB", (double)sum / 1e6);
    if (plan->n_steps) {
        const lvt_node *node = &r->g->nodes[plan->steps[r->at].node];
        lvt_text_add(r->text, "\n  peak %.2f MB at step %u of %u, %s", (double)r->most / 1e6, r->at,
                     plan->n_steps, lvt_op_of(node)->name);
        lvt_text_add_place(r->text, r->m, node->loc);
    }
    lvt_text_add(r->text, "\n");
    for (uint32_t i = 0; i < r->n_peak && i < TOP; i++) {
        const lvt_node *node = lvt_value_node(r->g, r->peak[i].value);
        char type[LVT_TYPE_TEXT];
        lvt_text_add(r->text, "  %9.3f MB  %-24s %-8s %-9s steps %u..%u ", (double)r->peak[i].bytes / 1e6,
                     lvt_type_text(&r->g->values[r->peak[i].value].type, type), lvt_op_of(node)->name,
                     lvt_role_name((lvt_role)node->role), r->peak[i].from, r->peak[i].to);
        lvt_text_add_place(r->text, r->m, node->loc);
        lvt_text_add(r->text, "\n");
    }
    if (r->n_peak > TOP)
        lvt_text_add(r->text, "  and %u more\n", r->n_peak - TOP);
}

/* ---- JSON ---- */

static void json_string(lvt_text *t, const char *s) {
    char *quoted = lvt_json_quoted(s ? s : "");
    lvt_text_add(t, "%s", quoted ? quoted : "\"\"");
    free(quoted);
}

/* "op": .., "role": .., and where known the place and the line of the model file, without braces. */
static void json_node(const reporter *r, const lvt_node *n) {
    lvt_pos own = lvt_module_pos(r->m, n->loc), model = model_line(r->m, n->loc);
    lvt_text_add(r->text, "\"op\":\"%s\",\"role\":\"%s\"", lvt_op_of(n)->name,
                 lvt_role_name((lvt_role)n->role));
    if (!own.file)
        return;
    lvt_text_add(r->text, ",\"file\":");
    json_string(r->text, own.file);
    lvt_text_add(r->text, ",\"line\":%u,\"model_file\":", own.line);
    json_string(r->text, model.file);
    lvt_text_add(r->text, ",\"model_line\":%u", model.line);
}

static void report_json(const reporter *r) {
    lvt_text_add(r->text, "%s{\"entry\":", r->text->length ? ",\n" : "[");
    json_string(r->text, r->g->name);
    lvt_text_add(r->text,
                 ",\"arena_bytes\":%" PRIu64 ",\"state_bytes\":%" PRIu64 ",\"kept_bytes\":%" PRIu64
                 ",\"peak_bytes\":%" PRIu64 ",\"peak_step\":%u,\n\"steps\":[",
                 r->plan->arena_bytes, r->states, r->plan->kept_bytes, r->most, r->at);
    for (uint32_t s = 0; s < r->plan->n_steps; s++) {
        lvt_text_add(r->text, "%s{", s ? ",\n" : "");
        json_node(r, &r->g->nodes[r->plan->steps[s].node]);
        lvt_text_add(r->text, ",\"alive_bytes\":%" PRIu64 "}", r->alive[s]);
    }
    lvt_text_add(r->text, "],\n\"buffers\":[");
    for (uint32_t i = 0; i < r->b->n; i++) {
        const lvt_buffer *b = &r->b->list[i];
        char type[LVT_TYPE_TEXT];
        lvt_text_add(r->text,
                     "%s{\"bytes\":%" PRIu64 ",\"offset\":%" PRIu64 ",\"from\":%u,\"to\":%u,\"type\":\"%s\",",
                     i ? ",\n" : "", b->bytes, b->offset, b->from, b->to,
                     lvt_type_text(&r->g->values[b->value].type, type));
        json_node(r, lvt_value_node(r->g, b->value));
        lvt_text_add(r->text, ",\"at_peak\":%s}", b->from <= r->at && r->at <= b->to ? "true" : "false");
    }
    lvt_text_add(r->text, "]}");
    if (r->g == r->m->entries[r->m->n_entries - 1])
        lvt_text_add(r->text, "]\n");
}

/* ---- drawing ---- */

/* Pixels: the drawing is WIDE, its map of an entry MAP_W by MAP_H with its upper left corner at LEFT, TOP of
 * the band of the entry, which is BAND high. */
enum { WIDE = 1180, BAND = 370, LEFT = 70, TOP = 34, MAP_W = 700, MAP_H = 280, LIST = LEFT + MAP_W + 20 };

static void svg_string(lvt_text *t, const char *s) {
    char room[8];
    while (s && *s)
        lvt_text_add(t, "%s", lvt_xml_next(&s, room));
}

static void svg_place(lvt_text *t, const lvt_module *m, lvt_loc loc) {
    lvt_text place = {0};
    lvt_text_add_place(&place, m, loc);
    svg_string(t, place.data);
    lvt_text_free(&place);
}

/* The same without folders: a list has no room for them. */
static void svg_short_place(lvt_text *t, const lvt_module *m, lvt_loc loc) {
    lvt_text place = {0};
    lvt_text_add_place(&place, m, loc);
    char *rest = place.data, *word;
    while (rest && (word = strsep(&rest, " ()"))) {
        char *slash = strrchr(word, '/');
        svg_string(t, slash ? slash + 1 : word);
        lvt_text_add(t, *word && rest ? " " : "");
    }
    lvt_text_free(&place);
}

/* A step that is a round number of bytes, four to ten of which fill the axis. */
static double tick(double whole) {
    double step = 1;
    while (step * 100 <= whole)
        step *= 10;
    static const double parts[] = {1, 2, 2.5, 5, 10, 20};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (whole / (step * parts[i]) <= 10)
            return step * parts[i];
    return step * 20;
}

static void svg_begin(const reporter *r) {
    int high = (int)r->m->n_entries * BAND + 40;
    static const char *const colours[] = {"#4c78a8", "#f58518", "#54a24b", "#b279a2"};
    lvt_text_add(r->text,
                 "<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d' viewBox='0 0 %d %d'>\n"
                 "<style>text{font:12px "
                 "sans-serif;fill:#222}.s{font-size:10px}rect{stroke:#fff;stroke-width:.3}</style>\n"
                 "<rect width='%d' height='%d' fill='#fff'/>\n",
                 WIDE, high, WIDE, high, WIDE, high);
    for (int i = 0; i < LVT_N_ROLES; i++)
        lvt_text_add(r->text,
                     "<rect x='%d' y='12' width='12' height='12' fill='%s'/><text x='%d' y='22'>%s</text>\n",
                     LEFT + i * 110, colours[i], LEFT + 18 + i * 110, lvt_role_name((lvt_role)i));
    lvt_text_add(r->text, "<style>");
    for (int i = 0; i < LVT_N_ROLES; i++)
        lvt_text_add(r->text, ".r%d{fill:%s}", i, colours[i]);
    lvt_text_add(r->text, "</style>\n");
}

static void svg_axes(const reporter *r, double whole, double x) {
    double step = tick(whole);
    for (double at = 0; at <= whole; at += step) {
        double y = TOP + MAP_H - at / whole * MAP_H;
        lvt_text_add(r->text,
                     "<path d='M%d %.1fh%d' stroke='#ddd'/><text class='s' x='%d' y='%.1f' "
                     "text-anchor='end'>%g MB</text>\n",
                     LEFT, y, MAP_W, LEFT - 5, y + 3, at / 1e6);
    }
    for (uint32_t s = 0; s <= r->plan->n_steps; s += r->plan->n_steps / 8 + 1)
        lvt_text_add(r->text, "<text class='s' x='%.1f' y='%d' text-anchor='middle'>%u</text>\n",
                     LEFT + s * x, TOP + MAP_H + 14, s);
    lvt_text_add(r->text, "<text class='s' x='%d' y='%d'>step</text>\n", LEFT + MAP_W + 4, TOP + MAP_H + 14);
}

static void svg_map(const reporter *r, double whole, double x) {
    for (uint32_t i = 0; i < r->b->n; i++) {
        const lvt_buffer *b = &r->b->list[i];
        const lvt_node *n = lvt_value_node(r->g, b->value);
        double high = (double)b->bytes / whole * MAP_H;
        char type[LVT_TYPE_TEXT];
        if (high < 0.05)
            continue; /* nobody would see it */
        lvt_text_add(r->text,
                     "<rect class='r%d' x='%.1f' y='%.2f' width='%.1f' height='%.2f'><title>%.3f MB %s %s "
                     "%s, steps %u to %u",
                     n->role, LEFT + b->from * x,
                     TOP + MAP_H - (double)(b->offset + b->bytes) / whole * MAP_H, (b->to - b->from + 1) * x,
                     high, (double)b->bytes / 1e6, lvt_type_text(&r->g->values[b->value].type, type),
                     lvt_op_of(n)->name, lvt_role_name((lvt_role)n->role), b->from, b->to);
        svg_place(r->text, r->m, n->loc);
        lvt_text_add(r->text, "</title></rect>\n");
    }
    lvt_text_add(r->text, "<path fill='none' stroke='#000' d='M%d %d", LEFT, TOP + MAP_H);
    for (uint32_t s = 0; s < r->plan->n_steps; s++)
        lvt_text_add(r->text, "V%.1fh%.2f", TOP + MAP_H - (double)r->alive[s] / whole * MAP_H, x);
    lvt_text_add(r->text, "'/>\n<path stroke='#d00' d='M%.1f %dv%d'/>\n", LEFT + (r->at + 0.5) * x, TOP,
                 MAP_H);
}

static void svg_list(const reporter *r) {
    enum { LINES = 11 };
    const lvt_node *step = &r->g->nodes[r->plan->steps[r->at].node];
    lvt_text_add(r->text,
                 "<text x='%d' y='%d'>peak %.2f MB at step %u, %s</text>\n<text class='s' x='%d' y='%d'>",
                 LIST, TOP + 10, (double)r->most / 1e6, r->at, lvt_op_of(step)->name, LIST, TOP + 23);
    svg_short_place(r->text, r->m, step->loc);
    lvt_text_add(r->text, "</text>\n");
    for (uint32_t i = 0; i < r->n_peak && i < LINES; i++) {
        const lvt_node *n = lvt_value_node(r->g, r->peak[i].value);
        char type[LVT_TYPE_TEXT];
        int y = TOP + 46 + (int)i * 23;
        lvt_text_add(r->text,
                     "<text class='s' x='%d' y='%d'>%.2f MB %s %s, %s</text><text class='s' x='%d' y='%d' "
                     "fill-opacity='.6'>",
                     LIST, y, (double)r->peak[i].bytes / 1e6,
                     lvt_type_text(&r->g->values[r->peak[i].value].type, type), lvt_op_of(n)->name,
                     lvt_role_name((lvt_role)n->role), LIST, y + 11);
        svg_short_place(r->text, r->m, n->loc);
        lvt_text_add(r->text, "</text>\n");
    }
    if (r->n_peak > LINES)
        lvt_text_add(r->text, "<text class='s' x='%d' y='%d'>and %u more</text>\n", LIST,
                     TOP + 46 + LINES * 23, r->n_peak - LINES);
}

static void report_svg(const reporter *r) {
    uint32_t index = 0;
    while (index < r->m->n_entries && r->m->entries[index] != r->g)
        index++;
    if (!r->text->length)
        svg_begin(r);
    double whole = r->plan->arena_bytes ? (double)r->plan->arena_bytes : 1;
    double x = MAP_W / (double)(r->plan->n_steps + 1);
    lvt_text_add(r->text, "<g transform='translate(0 %d)'>\n<text x='%d' y='%d'>entry ",
                 30 + (int)index * BAND, LEFT, TOP - 10);
    svg_string(r->text, r->g->name);
    lvt_text_add(r->text, ": arena %.2f MB, states %.2f MB, kept %.2f MB</text>\n",
                 (double)r->plan->arena_bytes / 1e6, (double)r->states / 1e6,
                 (double)r->plan->kept_bytes / 1e6);
    if (r->plan->n_steps && r->plan->arena_bytes) {
        svg_axes(r, whole, x);
        svg_map(r, whole, x);
        svg_list(r);
    }
    lvt_text_add(r->text, "</g>\n%s", index + 1 == r->m->n_entries ? "</svg>\n" : "");
}

/* ---- all ---- */

void lvt_explain_memory(lvt_pass *ctx, const lvt_buffers *b) {
    uint32_t steps = ctx->plan->n_steps;
    if (!ctx->memory)
        return;
    uint64_t *alive = lvt_arena_alloc(ctx->arena, (steps + 2u) * sizeof *alive);
    lvt_buffer *peak = lvt_arena_alloc(ctx->arena, (b->n + 1u) * sizeof *peak);
    if (!alive || !peak)
        return;
    reporter r = {.text = ctx->memory,
                  .m = ctx->module,
                  .g = ctx->plan->graph,
                  .plan = ctx->plan,
                  .b = b,
                  .alive = alive,
                  .peak = peak};
    r.most = lvt_buffers_peak(b, steps, ctx->arena, alive, &r.at);
    for (uint32_t i = 0; i < b->n; i++)
        if (b->list[i].from <= r.at && r.at <= b->list[i].to)
            peak[r.n_peak++] = b->list[i];
    qsort(peak, r.n_peak, sizeof *peak, by_bytes);
    for (uint32_t i = 0; i < r.m->n_states; i++)
        r.states += lvt_type_bytes(&r.m->states[i].type);
    if (ctx->memory_form == LVT_MEMORY_SVG)
        report_svg(&r);
    else if (ctx->memory_form == LVT_MEMORY_JSON)
        report_json(&r);
    else
        report_text(&r);
}
