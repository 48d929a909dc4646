/* lvt-run bench: how fast an entry runs, against what the processor can do, and where the time goes.
 *
 * Invariant: the peak is measured right before and right after in the same process, because a shared machine
 * changes its speed within minutes; single steps are timed in runs of their own, so that timing them costs
 * the headline nothing. May not know: data sets. */
#include "profile.h"
#include "runtime/session/internal.h"
#include "ir/base/file.h"
#include "ir/base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char about[] = "Times one entry on made-up inputs: the median of its runs, GFLOP/s as the ops "
                            "count them, and the share of\n"
                            "the processor's own limit for f32 fused multiply-adds, which is measured before "
                            "and after. --by says where\n"
                            "the time goes; --roofline also what each part is bound by, arithmetic or the "
                            "memory that holds what it\n"
                            "touches, and how close to that limit it comes.\n\n"
                            "Example: lvt-run bench models/lvt-s.lvtx --entry train --by op\n"
                            "         lvt-run bench models/lvt-s.lvtx --roofline --svg roofline.svg";

static const char *const by_names[] = {"none", "op", "line", "step", NULL}; /* of lvt_profile_by */

typedef struct result {
    double first, median, best, worst, flops, bytes, peak_before, peak_after;
    double since_start; /* seconds from the process' start to its first finished run; below 0: unknown */
    double memory;      /* the most bytes this process has had in memory; below 0: unknown */
    const char *peak_name;
    double opening;
    lvt_opening parts; /* of it */
    int runs, threads;
} result;

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* ---- measuring ----------------------------------------------------------------------------------------- */

static double median_of(const double *sorted, int n) {
    return n % 2 ? sorted[n / 2] : 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]);
}

static lvt_status measure(lvt_session *s, int entry, void **inputs, int warm, result *r, lvt_diag *diag) {
    double *times = calloc((size_t)r->runs, sizeof *times);
    if (!times)
        return lvt_no_memory(diag, NULL);
    lvt_status status = LVT_OK;
    for (int i = 0; i < warm && status == LVT_OK; i++) {
        double begin = lvt_seconds();
        status = lvt_session_run(s, entry, (const void *const *)inputs, diag);
        if (i == 0) {
            r->first = lvt_seconds() - begin;
            r->since_start = lvt_cmd_since_start();
        }
    }
    r->peak_before = lvt_cmd_peak(r->threads, &r->peak_name);
    for (int i = 0; i < r->runs && status == LVT_OK; i++) {
        double begin = lvt_seconds();
        status = lvt_session_run(s, entry, (const void *const *)inputs, diag);
        times[i] = lvt_seconds() - begin;
    }
    r->peak_after = lvt_cmd_peak(r->threads, &r->peak_name);
    r->memory = lvt_cmd_peak_memory();
    qsort(times, (size_t)r->runs, sizeof *times, by_value);
    r->median = median_of(times, r->runs);
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
    lvt_print("%s, entry %s, %d thread%s\n", path, entry, r->threads, r->threads == 1 ? "" : "s");
    lvt_print("median   %.3f ms a run (%d runs: %.3f to %.3f; the first ever took %.3f)\n", r->median * 1e3,
              r->runs, r->best * 1e3, r->worst * 1e3, r->first * 1e3);
    lvt_print("rate     %.1f GFLOP/s (%.3f GFLOP a run), %.1f%% of the f32 peak\n", rate, r->flops * 1e-9,
              100 * rate / peak_of(r));
    lvt_print("peak     %.1f GFLOP/s before, %.1f after (%s fused multiply-adds)\n", r->peak_before,
              r->peak_after, r->peak_name);
    if (peaks_differ(r))
        lvt_print(
            "The two differ by more than 5%%: the machine was busy or changed its clock; measure again.\n");
    lvt_print("opening  %.0f ms", r->opening * 1e3);
    if (r->since_start >= 0)
        lvt_print("; first run done %.2f s after the process started", r->since_start);
    lvt_print(
        "\n         of it reading %.1f ms, oneDNN %.1f (%u kernels), generated code %.1f (%u kernels; %u "
        "pieces compiled "
        "in %.1f, %u from the cache), initial values %.1f\n",
        r->parts.read_seconds * 1e3, r->parts.onednn_seconds * 1e3, r->parts.onednn_kernels,
        r->parts.code_seconds * 1e3, r->parts.code_kernels, r->parts.compiled, r->parts.compile_seconds * 1e3,
        r->parts.cached, r->parts.state_seconds * 1e3);
    if (r->memory >= 0)
        lvt_print("memory   %.1f MiB at most\n", r->memory / 1048576);
}

static void print_json(const result *r, const char *path, const char *entry) {
    lvt_print("{\"program\":");
    lvt_print_json_string(path);
    lvt_print(",\"entry\":");
    lvt_print_json_string(entry);
    lvt_print(
        ",\"threads\":%d,\"runs\":%d,\"open_ms\":%.3f,\"first_ms\":%.6f,\"median_ms\":%.6f,\"best_ms\":%.6f,"
        "\"worst_ms\":%.6f,\"flops\":%.0f,\"gflops\":%.3f,\"peak_before_gflops\":%.3f,"
        "\"peak_after_gflops\":%.3f,\"peak_share\":%.5f,\"peak_steady\":%s",
        r->threads, r->runs, r->opening * 1e3, r->first * 1e3, r->median * 1e3, r->best * 1e3, r->worst * 1e3,
        r->flops, r->flops / r->median * 1e-9, r->peak_before, r->peak_after,
        r->flops / r->median * 1e-9 / peak_of(r), peaks_differ(r) ? "false" : "true");
    lvt_print(
        ",\"opening\":{\"read_ms\":%.3f,\"onednn_ms\":%.3f,\"onednn_kernels\":%u,\"code_ms\":%.3f,\"code_"
        "kernels\":%u,"
        "\"compile_ms\":%.3f,\"compiled\":%u,\"cached\":%u,\"states_ms\":%.3f}",
        r->parts.read_seconds * 1e3, r->parts.onednn_seconds * 1e3, r->parts.onednn_kernels,
        r->parts.code_seconds * 1e3, r->parts.code_kernels, r->parts.compile_seconds * 1e3, r->parts.compiled,
        r->parts.cached, r->parts.state_seconds * 1e3);
    if (r->since_start >= 0)
        lvt_print(",\"first_done_s\":%.3f", r->since_start);
    if (r->memory >= 0)
        lvt_print(",\"peak_memory_mib\":%.3f", r->memory / 1048576);
}

/* ---- profile ------------------------------------------------------------------------------------------- */

/* Median time of each step, over runs in which every step is timed. seconds: room for one a step. */
static lvt_status time_steps(lvt_session *s, int entry, void **inputs, int runs, double *seconds,
                             lvt_diag *diag) {
    uint32_t n = (uint32_t)lvt_program_entry(s->program, entry).n_steps;
    double *all = calloc((size_t)runs * n + 1, sizeof *all);
    if (!all)
        return lvt_no_memory(diag, NULL);
    lvt_status status = LVT_OK;
    for (int i = 0; i < runs && status == LVT_OK; i++) {
        lvt_session_profile(s, true); /* from zero again */
        status = lvt_session_run(s, entry, (const void *const *)inputs, diag);
        const lvt_step_time *times = lvt_session_times(s, entry);
        for (uint32_t k = 0; k < n; k++)
            all[(size_t)k * (size_t)runs + (size_t)i] = times[k].seconds;
    }
    for (uint32_t k = 0; k < n; k++) {
        qsort(all + (size_t)k * (size_t)runs, (size_t)runs, sizeof *all, by_value);
        seconds[k] = median_of(all + (size_t)k * (size_t)runs, runs);
    }
    lvt_session_profile(s, false);
    free(all);
    return status;
}

typedef struct profile_wish { /* what the command line asks for */
    int by, top;
    bool roofline, json;
    const char *svg, *title;
} profile_wish;

static lvt_status draw(const profile_wish *w, const lvt_plan *plan, const double *seconds,
                       const lvt_limits *limits, lvt_profile_row *rows, lvt_diag *diag) {
    lvt_atomic_file file;
    lvt_status status = lvt_atomic_begin(&file, NULL, w->svg, diag);
    if (status != LVT_OK)
        return status;
    lvt_profile_row *lines = rows + plan->n_steps;
    uint32_t n_points = lvt_profile_collect(plan, seconds, LVT_BY_LINE_FAMILY, limits, rows);
    uint32_t n_lines = lvt_profile_collect(plan, seconds, LVT_BY_LINE, limits, lines);
    lvt_roofline_draw(file.stream, w->title, limits, rows, n_points, lines, n_lines);
    return lvt_atomic_end(&file, LVT_OK, diag);
}

static void print_limits(const lvt_limits *l, bool json) {
    if (json)
        lvt_print(",\"limits\":{\"fma_gflops\":%.3f", l->rate[LVT_BOUND_FMA] * 1e-9);
    else
        lvt_print("limits   %.1f GFLOP/s", l->rate[LVT_BOUND_FMA] * 1e-9);
    for (int b = LVT_BOUND_L2; b < LVT_N_BOUNDS; b++) {
        const char *name = lvt_bound_name((lvt_bound)b);
        if (json)
            lvt_print(",\"%s_gbs\":%.3f,\"%s_thread_bytes\":%zu", name, l->rate[b] * 1e-9, name,
                      l->thread_bytes[b]);
        else
            lvt_print(", %s %.1f GB/s", name, l->rate[b] * 1e-9);
    }
    lvt_print(json ? "}" : " (triads)\n");
}

/* One table, or one member of the JSON object. */
static void print_profile(const profile_wish *w, const char *member, int by, int top, const lvt_plan *plan,
                          const double *seconds, const lvt_limits *limits, lvt_profile_row *rows) {
    uint32_t n = lvt_profile_collect(plan, seconds, (lvt_profile_by)by, limits, rows);
    if (w->json)
        lvt_print(",\"%s\":[", member);
    lvt_profile_print(rows, n, top, limits, w->json);
    if (w->json)
        lvt_print("]");
}

/* With --roofline: kinds of ops and lines of the model file, and in JSON every step too, unless --by chose
 * one of them. */
static lvt_status profile(lvt_session *s, int entry, void **inputs, int runs, double peak,
                          const profile_wish *w, lvt_diag *diag) {
    const lvt_plan *plan = &lvt_program_compiled(s->program)->plans[entry];
    lvt_profile_row *rows = calloc(2 * (size_t)plan->n_steps + 1, sizeof *rows);
    double *seconds = calloc((size_t)plan->n_steps + 1, sizeof *seconds);
    lvt_limits measured, *limits = NULL;
    lvt_status status = rows && seconds ? LVT_OK : lvt_no_memory(diag, NULL);
    if (status == LVT_OK)
        status = time_steps(s, entry, inputs, runs, seconds, diag);
    if (status == LVT_OK && w->roofline) {
        lvt_team_settings team = lvt_team(s->threads);
        if (lvt_limits_measure(peak, s->threads, &measured))
            limits = &measured;
        else
            status = lvt_no_memory(diag, NULL);
        lvt_team_restore(team);
    }
    if (status == LVT_OK && limits)
        print_limits(limits, w->json);
    if (status == LVT_OK && w->by != LVT_BY_NONE) {
        print_profile(w, "profile", w->by, w->top, plan, seconds, limits, rows);
    } else if (status == LVT_OK && w->roofline) {
        print_profile(w, "ops", LVT_BY_OP, w->top, plan, seconds, limits, rows);
        print_profile(w, "lines", LVT_BY_LINE, w->top, plan, seconds, limits, rows);
        if (w->json)
            print_profile(w, "every_step", LVT_BY_STEP, 0, plan, seconds, limits, rows);
    }
    if (status == LVT_OK && w->svg)
        status = draw(w, plan, seconds, limits, rows, diag);
    free(seconds);
    free(rows);
    return status;
}

static lvt_status bench(lvt_program *p, const char *path, int entry, lvt_session *s, int warm, uint64_t seed,
                        result *r, profile_wish *w, lvt_diag *diag) {
    void **inputs = lvt_cmd_inputs(p, entry, seed, diag);
    if (!inputs)
        return LVT_NOMEM;
    lvt_entry_info info = lvt_program_entry(p, entry);
    const char *name = info.name;
    r->flops = info.flops;
    r->bytes = info.bytes;
    lvt_status status = measure(s, entry, inputs, warm, r, diag);
    if (status == LVT_OK) {
        (w->json ? print_json : print_result)(r, path, name);
        char title[256];
        snprintf(title, sizeof title, "%s, entry %s, %d thread%s: %.1f ms a run, %.0f%% of the f32 peak",
                 path, name, r->threads, r->threads == 1 ? "" : "s", r->median * 1e3,
                 100 * r->flops / r->median * 1e-9 / peak_of(r));
        w->title = title;
        if (w->by != LVT_BY_NONE || w->roofline)
            status = profile(s, entry, inputs, r->runs, peak_of(r) * 1e9, w, diag);
        w->title = NULL;
        lvt_print("%s", w->json ? "}\n" : "");
    }
    lvt_cmd_inputs_free(p, entry, inputs);
    return status;
}

lvt_status lvt_cmd_bench(int argc, char **argv, lvt_diag *diag) {
    const char *entry_name = NULL, *cache = NULL;
    int runs = 20, warm = 3, threads = 0;
    uint64_t seed = 1;
    bool interpret = false;
    profile_wish wish = {.by = LVT_BY_NONE, .top = 25};
    const lvt_option options[] = {
        {"entry", 'e', LVT_OPTION_TEXT, "NAME", "which entry (default: train, else the first)", &entry_name,
         0, 0, NULL},
        {"steps", 'n', LVT_OPTION_INT, "N", "timed runs (default 20)", &runs, 1, 1e6, NULL},
        {"warm-up", 0, LVT_OPTION_INT, "N", "runs before them (default 3)", &warm, 1, 1e6, NULL},
        {"threads", 't', LVT_OPTION_INT, "N", "threads (default: all processors)", &threads, 1, 1024, NULL},
        {"by", 0, LVT_OPTION_CHOICE, NULL,
         "where the time goes: by kind of op, by line of the\nmodel file, or every single step", &wish.by, 0,
         0, by_names},
        {"roofline", 0, LVT_OPTION_FLAG, NULL,
         "what each part is bound by and how close it comes: by op\nand by line, or as --by says",
         &wish.roofline, 0, 0, NULL},
        {"svg", 0, LVT_OPTION_TEXT, "FILE", "draw the roofline", &wish.svg, 0, 0, NULL},
        {"top", 0, LVT_OPTION_INT, "N", "rows of it, longest first (default 25; 0: all)", &wish.top, 0, 1e6,
         NULL},
        {"seed", 0, LVT_OPTION_SEED, "N", "of parameters and inputs (default 1)", &seed, 0, 0, NULL},
        {"cache", 0, LVT_OPTION_TEXT, "FOLDER", "for machine code (default: the user's; \"\": none)", &cache,
         0, 0, NULL},
        {"interpret", 0, LVT_OPTION_FLAG, NULL, "run on the reference interpreter instead of kernels",
         &interpret, 0, 0, NULL},
        {"json", 0, LVT_OPTION_FLAG, NULL, "the result as one JSON object", &wish.json, 0, 0, NULL},
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
    status = lvt_program_open(
        path, &(lvt_program_options){.compile_apart = true, .cache = cache, .interpret = interpret}, &p,
        diag);
    if (status != LVT_OK)
        return status;
    int entry;
    lvt_session *s = NULL;
    wish.roofline |= wish.svg != NULL;
    status = lvt_cmd_entry(p, entry_name, &entry, diag);
    if (status == LVT_OK)
        status = lvt_session_new(
            p, &(lvt_session_options){.threads = threads, .seed = seed, .entries = &entry, .n_entries = 1},
            &s, diag);
    if (status == LVT_OK) {
        result r = {.runs = runs,
                    .threads = s->threads,
                    .opening = lvt_seconds() - begin,
                    .parts = *lvt_session_opening(s)};
        status = bench(p, path, entry, s, warm, seed, &r, &wish, diag);
    }
    lvt_session_free(s);
    lvt_program_close(p);
    return status;
}
