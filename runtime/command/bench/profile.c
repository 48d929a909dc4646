/* Rows of a profile: names, sums, limits, tables.
 *
 * Invariants: every step is counted in exactly one row; a row's limit is the sum of its steps' limits, so a
 * row cannot look better than its parts. May not know: how times are measured. */
#include "profile.h"
#include "runtime/session/internal.h"
#include "ir/op.h"
#include "ir/base/utf8.h"

#include <stdlib.h>
#include <string.h>

static const char *const bound_names[] = {"FMA", "L2", "L3", "memory"};

const char *lvt_bound_name(lvt_bound b) {
    return bound_names[b];
}

double lvt_limits_time(const lvt_limits *l, double flops, double bytes, lvt_bound *bound) {
    int level = LVT_BOUND_L2;
    while (level < LVT_BOUND_MEMORY && bytes > (double)l->thread_bytes[level] * l->threads)
        level++;
    double compute = flops / l->rate[LVT_BOUND_FMA], traffic = bytes / l->rate[level];
    *bound = compute >= traffic ? LVT_BOUND_FMA : (lvt_bound)level;
    return compute >= traffic ? compute : traffic;
}

/* ---- names --------------------------------------------------------------------------------------------- */

/* Text of a source line, without what is around it. */
static void source_line(const lvt_module *m, const char *file, uint32_t line, char *out, size_t size) {
    *out = 0;
    for (uint32_t i = 0; i < m->n_sources; i++) {
        const lvt_source *s = &m->sources[i];
        if (!s->text || strcmp(s->name, file))
            continue;
        const char *at = s->text;
        for (uint32_t k = 1; k < line && at; k++) {
            at = strchr(at, '\n');
            at = at ? at + 1 : NULL;
        }
        if (at) {
            at += strspn(at, " \t");
            snprintf(out, size, "%.*s", (int)strcspn(at, "\n"), at);
        }
    }
}

/* A file that imports nothing and is not the model itself: layers, below everything that is worth a line. */
static bool is_library(const lvt_module *m, uint32_t file, uint32_t model) {
    const char *text = m->sources[file].text;
    return file != model && text && strncmp(text, "import ", 7) != 0 && !strstr(text, "\nimport ");
}

/* The innermost line that a place was reached from which is not in a library: neither inside a layer, nor the
 * call of the whole network. */
static lvt_loc model_place(const lvt_module *m, lvt_loc loc) {
    lvt_loc outer = lvt_module_outermost(m, loc);
    while (loc != outer && is_library(m, m->locs[loc].file, m->locs[outer].file))
        loc = m->locs[loc].parent;
    return loc;
}

static void name_row(const lvt_plan *plan, uint32_t step, lvt_profile_by by, lvt_profile_row *row) {
    const lvt_graph *g = plan->graph;
    const lvt_node *n = &g->nodes[plan->steps[step].node];
    const char *family = lvt_family_name((lvt_family)plan->steps[step].family);
    bool lines = by == LVT_BY_LINE || by == LVT_BY_LINE_FAMILY;
    lvt_pos at = lvt_module_pos(g->module, lines ? model_place(g->module, n->loc) : n->loc);
    memset(row, 0, sizeof *row);
    row->family = plan->steps[step].family;
    if (by == LVT_BY_OP) {
        snprintf(row->name, sizeof row->name, "%-6s %-20s %s", family, lvt_op_of(n)->name,
                 lvt_role_name((lvt_role)n->role));
    } else if (lines) {
        if (at.file) {
            row->line = at.line;
            source_line(g->module, at.file, at.line, row->text, sizeof row->text);
        }
        int used = by == LVT_BY_LINE ? 0 : snprintf(row->name, sizeof row->name, "%-6s ", family);
        if (at.file)
            snprintf(row->name + used, sizeof row->name - (size_t)used, "%s:%u: %s", at.file, at.line,
                     row->text);
        else
            snprintf(row->name + used, sizeof row->name - (size_t)used, "(no place)");
    } else {
        char type[LVT_TYPE_TEXT];
        snprintf(row->name, sizeof row->name, "%4u %-6s %-18s %-8s %s %s:%u", step, family,
                 lvt_op_of(n)->name, lvt_role_name((lvt_role)n->role),
                 lvt_type_text(&g->values[n->result].type, type), at.file ? at.file : "?", at.line);
    }
}

/* ---- sums ---------------------------------------------------------------------------------------------- */

static int by_time(const void *a, const void *b) {
    double x = ((const lvt_profile_row *)a)->seconds, y = ((const lvt_profile_row *)b)->seconds;
    return (x < y) - (x > y);
}

uint32_t lvt_profile_collect(const lvt_plan *plan, const double *seconds, lvt_profile_by by,
                             const lvt_limits *limits, lvt_profile_row *rows) {
    uint32_t n = 0;
    for (uint32_t i = plan->n_prologue; i < plan->n_steps; i++) { /* the prologue is no part of a run */
        lvt_profile_row named;
        name_row(plan, i, by, &named);
        uint32_t k = 0;
        while (k < n && strcmp(rows[k].name, named.name))
            k++;
        if (k == n)
            rows[n++] = named;
        lvt_cost cost = lvt_node_cost(plan->graph, &plan->graph->nodes[plan->steps[i].node]);
        rows[k].seconds += seconds[i];
        rows[k].flops += cost.flops;
        rows[k].bytes += cost.bytes;
        rows[k].steps++;
        if (limits) {
            lvt_bound bound;
            double least = lvt_limits_time(limits, cost.flops, cost.bytes, &bound);
            rows[k].limit[bound] += least;
        }
    }
    qsort(rows, n, sizeof *rows, by_time);
    return n;
}

double lvt_profile_limit(const lvt_profile_row *r, lvt_bound *bound) {
    double sum = 0;
    int most = 0;
    for (int b = 0; b < LVT_N_BOUNDS; b++) {
        sum += r->limit[b];
        most = r->limit[b] > r->limit[most] ? b : most;
    }
    *bound = (lvt_bound)most;
    return sum;
}

/* ---- tables -------------------------------------------------------------------------------------------- */

static void print_json_row(const lvt_profile_row *r, const lvt_limits *limits) {
    lvt_print("{\"name\":");
    lvt_print_json_string(r->name);
    lvt_print(",\"ms\":%.6f,\"steps\":%u,\"flops\":%.0f,\"bytes\":%.0f", r->seconds * 1e3, r->steps, r->flops,
              r->bytes);
    if (limits) {
        lvt_bound bound;
        double limit = lvt_profile_limit(r, &bound);
        lvt_print(",\"bound\":\"%s\",\"limit_ms\":%.6f,\"limit_share\":%.5f", lvt_bound_name(bound),
                  limit * 1e3, r->seconds > 0 ? limit / r->seconds : 0);
    }
    lvt_print("}");
}

static void print_row(const lvt_profile_row *r, const lvt_limits *limits, double total) {
    double t = r->seconds > 0 ? r->seconds : 1e-12;
    lvt_print("%9.3f %5.1f%% %6u ", r->seconds * 1e3, total > 0 ? 100 * r->seconds / total : 0, r->steps);
    if (limits)
        lvt_print("%9.3f %9.2f ", r->flops * 1e-9, r->bytes * 1e-6);
    lvt_print("%9.1f %8.1f  ", r->flops / t * 1e-9, r->bytes / t * 1e-9);
    if (limits) {
        lvt_bound bound;
        double limit = lvt_profile_limit(r, &bound);
        lvt_print("%-6s %5.1f%%  ", lvt_bound_name(bound), 100 * limit / t);
    }
    lvt_print("%s\n", r->name);
}

void lvt_profile_print(const lvt_profile_row *rows, uint32_t n, int top, const lvt_limits *limits,
                       bool json) {
    double total = 0;
    for (uint32_t i = 0; i < n; i++)
        total += rows[i].seconds;
    if (!json && limits)
        lvt_print("\n%9s %6s %6s %9s %9s %9s %8s  %-6s %6s\n", "ms", "share", "steps", "GFLOP", "MB",
                  "GFLOP/s", "GB/s", "bound", "of it");
    else if (!json)
        lvt_print("\n%9s %6s %6s %9s %8s\n", "ms", "share", "steps", "GFLOP/s", "GB/s");
    lvt_profile_row rest = {.name = "(shorter ones)"};
    for (uint32_t i = 0; i < n; i++) {
        bool shown = top == 0 || i < (uint32_t)top;
        if (shown && json) {
            lvt_print("%s", i ? "," : "");
            print_json_row(&rows[i], limits);
        } else if (shown) {
            print_row(&rows[i], limits, total);
        } else {
            rest.seconds += rows[i].seconds;
            rest.flops += rows[i].flops;
            rest.bytes += rows[i].bytes;
            rest.steps += rows[i].steps;
            for (int b = 0; b < LVT_N_BOUNDS; b++)
                rest.limit[b] += rows[i].limit[b];
        }
    }
    if (rest.steps && !json)
        print_row(&rest, limits, total);
}
