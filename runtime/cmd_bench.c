/* lvt-run bench: how fast an entry runs, against what the processor can do, and where the time goes.
 *
 * Invariant: the peak is measured right before and right after in the same process, because a shared machine
 * changes its speed within minutes; single steps are timed in runs of their own, so that timing them costs
 * the headline nothing. May not know: data sets. */
#include "cmd.h"
#include "internal.h"
#include "ir/op.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char about[] = "Times one entry on made-up inputs: the median of its runs, GFLOP/s as the ops "
                            "count them, and the share of\n"
                            "the processor's own limit for f32 fused multiply-adds, which is measured before "
                            "and after. --by says where\n"
                            "the time goes.\n\n"
                            "Example: lvt-run bench models/lvt-s.lvtx --entry train --by op";

enum { BY_NONE, BY_OP, BY_LINE, BY_STEP };
static const char *const by_names[] = {"none", "op", "line", "step", NULL};

typedef struct row { /* one line of the profile */
    char name[160];
    double seconds, flops, bytes;
    uint32_t steps;
} row;

typedef struct result {
    double first, median, best, worst, flops, bytes, peak_before, peak_after;
    const char *peak_name;
    int runs, threads;
} result;

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int by_time(const void *a, const void *b) {
    double x = ((const row *)a)->seconds, y = ((const row *)b)->seconds;
    return (x < y) - (x > y);
}

/* ---- profile ----------------------------------------------------------------------------------------------
 */

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

static void name_row(const lvt_plan *plan, uint32_t step, int by, char *out, size_t size) {
    static const char *const roles[] = {"forward", "gradient", "update"};
    const lvt_graph *g = plan->graph;
    const lvt_node *n = &g->nodes[plan->steps[step].node];
    const char *family = lvt_family_name((lvt_family)plan->steps[step].family);
    lvt_pos at = lvt_module_pos(g->module, by == BY_LINE ? lvt_module_outermost(g->module, n->loc) : n->loc);
    if (by == BY_OP) {
        snprintf(out, size, "%-6s %-20s %s", family, lvt_op_of(n)->name, roles[n->role]);
    } else if (by == BY_LINE) {
        char text[96];
        if (!at.file) {
            snprintf(out, size, "(no place)");
            return;
        }
        source_line(g->module, at.file, at.line, text, sizeof text);
        snprintf(out, size, "%s:%u: %s", at.file, at.line, text);
    } else {
        char type[LVT_TYPE_TEXT];
        snprintf(out, size, "%4u %-6s %-18s %-8s %s %s:%u", step, family, lvt_op_of(n)->name, roles[n->role],
                 lvt_type_text(&g->values[n->result].type, type), at.file ? at.file : "?", at.line);
    }
}

static uint32_t collect(const lvt_plan *plan, const lvt_step_time *times, int by, row *rows) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < plan->n_steps; i++) {
        char name[160];
        name_row(plan, i, by, name, sizeof name);
        uint32_t k = 0;
        while (k < n && strcmp(rows[k].name, name))
            k++;
        if (k == n)
            memcpy(rows[n++].name, name, sizeof name);
        lvt_cost cost = lvt_node_cost(plan->graph, &plan->graph->nodes[plan->steps[i].node]);
        rows[k].seconds += times[i].runs ? times[i].seconds / (double)times[i].runs : 0;
        rows[k].flops += cost.flops;
        rows[k].bytes += cost.bytes;
        rows[k].steps++;
    }
    qsort(rows, n, sizeof *rows, by_time);
    return n;
}

static void print_rows(const row *rows, uint32_t n, int top, bool json) {
    double total = 0;
    for (uint32_t i = 0; i < n; i++)
        total += rows[i].seconds;
    if (!json)
        printf("\n%9s %6s %6s %9s %8s\n", "ms", "share", "steps", "GFLOP/s", "GB/s");
    for (uint32_t i = 0; i < n && (top == 0 || i < (uint32_t)top); i++) {
        const row *r = &rows[i];
        double t = r->seconds > 0 ? r->seconds : 1e-12;
        if (json) {
            printf("%s{\"name\":", i ? "," : "");
            lvt_print_json_string(r->name);
            printf(",\"ms\":%.6f,\"steps\":%u,\"flops\":%.0f,\"bytes\":%.0f}", r->seconds * 1e3, r->steps,
                   r->flops, r->bytes);
        } else {
            printf("%9.3f %5.1f%% %6u %9.1f %8.1f  %s\n", r->seconds * 1e3, 100 * r->seconds / total,
                   r->steps, r->flops / t * 1e-9, r->bytes / t * 1e-9, r->name);
        }
    }
}

/* ---- measuring --------------------------------------------------------------------------------------------
 */

static lvt_status measure(lvt_session *s, int entry, void **inputs, int warm, result *r, lvt_diag *diag) {
    double *times = calloc((size_t)r->runs, sizeof *times);
    if (!times)
        return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "out of memory");
    lvt_status status = LVT_OK;
    for (int i = 0; i < warm && status == LVT_OK; i++) {
        double begin = lvt_seconds();
        status = lvt_session_run(s, entry, (const void *const *)inputs, diag);
        if (i == 0)
            r->first = lvt_seconds() - begin;
    }
    r->peak_before = lvt_cmd_peak(r->threads, &r->peak_name);
    for (int i = 0; i < r->runs && status == LVT_OK; i++) {
        double begin = lvt_seconds();
        status = lvt_session_run(s, entry, (const void *const *)inputs, diag);
        times[i] = lvt_seconds() - begin;
    }
    r->peak_after = lvt_cmd_peak(r->threads, &r->peak_name);
    qsort(times, (size_t)r->runs, sizeof *times, by_value);
    r->median = r->runs % 2 ? times[r->runs / 2] : 0.5 * (times[r->runs / 2 - 1] + times[r->runs / 2]);
    r->best = times[0];
    r->worst = times[r->runs - 1];
    free(times);
    return status;
}

static double peak_of(const result *r) {
    return r->peak_before > r->peak_after ? r->peak_before : r->peak_after;
}

static bool peaks_differ(const result *r) {
    double low = r->peak_before < r->peak_after ? r->peak_before : r->peak_after;
    return low < 0.95 * peak_of(r);
}

static void print_result(const result *r, const char *path, const char *entry) {
    double rate = r->flops / r->median * 1e-9;
    printf("%s, entry %s, %d thread%s\n", path, entry, r->threads, r->threads == 1 ? "" : "s");
    printf("median   %.3f ms a run (%d runs: %.3f to %.3f; the first ever took %.3f)\n", r->median * 1e3,
           r->runs, r->best * 1e3, r->worst * 1e3, r->first * 1e3);
    printf("rate     %.1f GFLOP/s (%.3f GFLOP a run), %.1f%% of the f32 peak\n", rate, r->flops * 1e-9,
           100 * rate / peak_of(r));
    printf("peak     %.1f GFLOP/s before, %.1f after (%s fused multiply-adds)\n", r->peak_before,
           r->peak_after, r->peak_name);
    if (peaks_differ(r))
        printf(
            "The two differ by more than 5%%: the machine was busy or changed its clock; measure again.\n");
}

static lvt_status profile(lvt_session *s, int entry, void **inputs, int runs, int by, int top, bool json,
                          lvt_diag *diag) {
    const lvt_plan *plan = &lvt_program_compiled(s->program)->plans[entry];
    row *rows = calloc(plan->n_steps + 1, sizeof *rows);
    if (!rows)
        return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "out of memory");
    lvt_session_profile(s, true);
    lvt_status status = LVT_OK;
    for (int i = 0; i < runs && status == LVT_OK; i++)
        status = lvt_session_run(s, entry, (const void *const *)inputs, diag);
    if (status == LVT_OK)
        print_rows(rows, collect(plan, lvt_session_times(s, entry), by, rows), top, json);
    lvt_session_profile(s, false);
    free(rows);
    return status;
}

lvt_status lvt_cmd_bench(int argc, char **argv, lvt_diag *diag) {
    const char *entry_name = NULL, *cache = NULL;
    int runs = 20, warm = 3, threads = 0, by = BY_NONE, top = 25;
    uint64_t seed = 1;
    bool json = false, interpret = false;
    const lvt_option options[] = {
        {"entry", 'e', LVT_OPTION_TEXT, "NAME", "which entry (default: train, else the first)", &entry_name,
         0, 0, NULL},
        {"steps", 'n', LVT_OPTION_INT, "N", "timed runs (default 20)", &runs, 1, 1e6, NULL},
        {"warm-up", 0, LVT_OPTION_INT, "N", "runs before them (default 3)", &warm, 1, 1e6, NULL},
        {"threads", 't', LVT_OPTION_INT, "N", "threads (default: all processors)", &threads, 1, 1024, NULL},
        {"by", 0, LVT_OPTION_CHOICE, NULL,
         "where the time goes: by kind of op, by line of the\nmodel file, or every single step", &by, 0, 0,
         by_names},
        {"top", 0, LVT_OPTION_INT, "N", "rows of it, longest first (default 25; 0: all)", &top, 0, 1e6, NULL},
        {"seed", 0, LVT_OPTION_SEED, "N", "of parameters and inputs (default 1)", &seed, 0, 0, NULL},
        {"cache", 0, LVT_OPTION_TEXT, "FOLDER", "for machine code (default: the user's; \"\": none)", &cache,
         0, 0, NULL},
        {"interpret", 0, LVT_OPTION_FLAG, NULL, "run on the reference interpreter instead of kernels",
         &interpret, 0, 0, NULL},
        {"json", 0, LVT_OPTION_FLAG, NULL, "the result as one JSON object", &json, 0, 0, NULL},
    };
    const lvt_usage usage = {"lvt-run bench PROGRAM.lvtx [options]", about, options,
                             sizeof options / sizeof *options,       1,     1};
    lvt_arguments arguments;
    lvt_status status = lvt_arguments_parse(&usage, argc, argv, &arguments, diag);
    if (status != LVT_OK || arguments.done)
        return status;
    const char *path = arguments.values[0];
    lvt_program *p;
    double begin = lvt_seconds();
    status = lvt_program_open(path, &(lvt_program_options){.cache = cache, .interpret = interpret}, &p, diag);
    if (status != LVT_OK)
        return status;
    int entry;
    lvt_session *s = NULL;
    void **inputs = NULL;
    status = lvt_cmd_entry(p, entry_name, &entry, diag);
    if (status == LVT_OK)
        status = lvt_session_new(p, &(lvt_session_options){.threads = threads, .seed = seed}, &s, diag);
    double ready = lvt_seconds() - begin;
    if (status == LVT_OK && !(inputs = lvt_cmd_inputs(p, entry, seed, diag)))
        status = LVT_NOMEM;
    if (status == LVT_OK) {
        const char *name = lvt_program_compiled(p)->plans[entry].graph->name;
        result r = {.runs = runs, .threads = s->threads};
        lvt_entry_cost(p, entry, &r.flops, &r.bytes);
        status = measure(s, entry, inputs, warm, &r, diag);
        if (status == LVT_OK && json) {
            printf("{\"program\":");
            lvt_print_json_string(path);
            printf(",\"entry\":");
            lvt_print_json_string(name);
            printf(",\"threads\":%d,\"runs\":%d,\"open_ms\":%.3f,\"first_ms\":%.6f,\"median_ms\":%.6f,\"best_"
                   "ms\":%.6f,"
                   "\"worst_ms\":%.6f,\"flops\":%.0f,\"gflops\":%.3f,\"peak_before_gflops\":%.3f,"
                   "\"peak_after_gflops\":%.3f,\"peak_share\":%.5f,\"peak_steady\":%s",
                   r.threads, r.runs, ready * 1e3, r.first * 1e3, r.median * 1e3, r.best * 1e3, r.worst * 1e3,
                   r.flops, r.flops / r.median * 1e-9, r.peak_before, r.peak_after,
                   r.flops / r.median * 1e-9 / peak_of(&r), peaks_differ(&r) ? "false" : "true");
        } else if (status == LVT_OK) {
            print_result(&r, path, name);
            printf("opening  %.0f ms\n", ready * 1e3);
        }
        if (status == LVT_OK && by != BY_NONE) {
            printf("%s", json ? ",\"profile\":[" : "");
            status = profile(s, entry, inputs, runs, by, top, json, diag);
            printf("%s", json ? "]" : "");
        }
        printf("%s", json ? "}\n" : "");
    }
    if (inputs)
        lvt_cmd_inputs_free(p, entry, inputs);
    lvt_session_free(s);
    lvt_program_close(p);
    return status;
}
