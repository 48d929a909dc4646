/* Runs the passes of passes.def in order over every entry of a module, and makes the compiled program of what
 * the last one leaves. All switches of lvtc that concern passes are here.
 *
 * Invariant: passes run pass by pass, not entry by entry, so that the module after a pass is one thing that
 * can be printed and fed back. May not know: what any pass does. */
#include "pass.h"
#include "plan.h"

#include "ir/base/clock.h"
#include "ir/text.h"

#include <stdlib.h>
#include <string.h>

const lvt_pass_info lvt_pass_table[] = {
#define LVT_PASS(name, function, purpose) {name, purpose, function},
#include "passes.def"
    {0}};

/* Index into the table, or -1. */
static int find_pass(const char *name) {
    for (int i = 0; lvt_pass_table[i].name; i++)
        if (!strcmp(lvt_pass_table[i].name, name))
            return i;
    return -1;
}

typedef struct driver {
    lvt_module *module;
    const lvt_compile_options *options;
    lvt_diag *diag;
    lvt_plan *plans;
    lvt_text explain, memory, times;
    int optional_runs; /* of passes that only improve, for --pass-limit */
} driver;

static lvt_status no_pass(driver *d, const char *option, const char *name) {
    const char *names[64];
    size_t n = 0;
    for (; lvt_pass_table[n].name && n < 64; n++)
        names[n] = lvt_pass_table[n].name;
    lvt_error(d->diag, LVT_USAGE, NULL, LVT_NOWHERE, "%s: there is no pass '%s'", option, name);
    const char *near = lvt_nearest(name, names, n);
    if (near)
        lvt_note(d->diag, LVT_NOWHERE, "did you mean '%s'?", near);
    return LVT_USAGE;
}

static bool only_improves(lvt_pass_fn f) {
    return f == lvt_pass_fold || f == lvt_pass_simplify || f == lvt_pass_cse || f == lvt_pass_dce ||
           f == lvt_pass_unify_shapes || f == lvt_pass_fuse_attention || f == lvt_pass_fuse_pointwise ||
           f == lvt_pass_fold_norm || f == lvt_pass_fuse_linear;
}

static lvt_status run_entry(driver *d, const lvt_pass_info *info, uint32_t entry) {
    const lvt_compile_options *o = d->options;
    if (only_improves(info->run) && o->pass_limit > 0 && ++d->optional_runs > o->pass_limit)
        return LVT_OK;
    lvt_pass ctx = {.name = info->name,
                    .module = d->module,
                    .diag = d->diag,
                    .arena = lvt_arena_new(),
                    .explain = o->explain ? &d->explain : NULL,
                    .memory = o->memory_report ? &d->memory : NULL,
                    .memory_form = o->memory_report,
                    .limited = o->pass_limit > 0,
                    .memory_budget = o->memory_budget,
                    .ranks = o->ranks > 1 ? o->ranks : 1,
                    .split = o->split,
                    .plan = &d->plans[entry],
                    .exact = o->exact,
                    .measure = o->measure,
                    .status = LVT_INTERNAL};
    if (!ctx.arena)
        return lvt_module_no_memory(d->module, 0, info->name, d->diag);
    lvt_arena_limit(ctx.arena, LVT_MAX_SCRATCH_BYTES);
    size_t errors = lvt_diag_errors(d->diag);
    lvt_graph *g = info->run(&ctx, d->module->entries[entry]);
    /* What a pass left undone for want of memory may look like a decision: nothing such goes on. */
    if (g && (lvt_arena_failed(ctx.arena) || lvt_arena_failed(d->module->arena)))
        g = lvt_pass_nomem(&ctx);
    else if (!g && d->diag && lvt_diag_errors(d->diag) == errors)
        lvt_pass_nomem(&ctx); /* what fails without a word fails for want of memory: builders say all else */
    lvt_arena_free(ctx.arena);
    if (!g)
        return ctx.status == LVT_OK ? LVT_INTERNAL : ctx.status;
    d->module->entries[entry] = d->plans[entry].graph = g;
    if (o->verify_each && lvt_verify_graph(g, d->diag) != LVT_OK)
        return lvt_error(d->diag, LVT_INTERNAL, NULL, LVT_NOWHERE,
                         "pass %s left a graph that is not valid (entry %s)", info->name, g->name);
    return LVT_OK;
}

static lvt_status dump(driver *d, const char *title) {
    lvt_text plan = {0};
    char *text = lvt_print_module(d->module, NULL);
    if (!text)
        return lvt_no_memory(d->diag, "printing the module");
    for (uint32_t i = 0; i < d->module->n_entries; i++)
        lvt_plan_print(&d->plans[i], &plan);
    lvt_text whole = {0};
    lvt_text_add(&whole, "%s%s", text, plan.data ? plan.data : "");
    d->options->report(d->options->user, LVT_REPORT_DUMP, title, whole.data ? whole.data : "");
    lvt_text_free(&plan);
    lvt_text_free(&whole);
    free(text);
    return LVT_OK;
}

static uint32_t count_nodes(const lvt_module *m) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->n_entries; i++)
        n += m->entries[i]->n_nodes;
    return n;
}

static lvt_status run_passes(driver *d, int first, int last) {
    const lvt_compile_options *o = d->options;
    lvt_text_add(&d->times, "%-16s %9s %8s\n", "pass", "ms", "nodes");
    for (int p = first; p <= last && lvt_pass_table[p].name; p++) {
        const lvt_pass_info *info = &lvt_pass_table[p];
        double start = lvt_seconds();
        lvt_status status = LVT_OK, worst = LVT_OK;
        for (uint32_t i = 0; i < d->module->n_entries; i++) {
            status = run_entry(d, info, i); /* every entry, to report the mistakes of all */
            worst = status == LVT_OK ? worst : status;
        }
        if (worst != LVT_OK)
            return worst;
        lvt_text_add(&d->times, "%-16s %9.2f %8u\n", info->name, 1e3 * (lvt_seconds() - start),
                     count_nodes(d->module));
        bool wanted = o->dump_after && o->report &&
                      (!strcmp(o->dump_after, "all") || !strcmp(o->dump_after, info->name));
        if (wanted && dump(d, info->name) != LVT_OK)
            return LVT_NOMEM;
    }
    return LVT_OK;
}

static lvt_status finish(driver *d, lvt_compiled **out) {
    lvt_compiled *p = lvt_plan_program(d->module, d->plans);
    if (!p)
        return lvt_no_memory(d->diag, "making the program");
    lvt_status status = lvt_program_verify(p, d->diag);
    if (status != LVT_OK) {
        lvt_plan_program_drop(p);
        if (status == LVT_NOMEM)
            return status;
        return lvt_error(d->diag, LVT_INTERNAL, NULL, LVT_NOWHERE,
                         "the plan does not hold; this is a bug in lvt");
    }
    *out = p;
    return LVT_OK;
}

static void report(driver *d, lvt_report kind, const char *title, const lvt_text *text) {
    if (text->data && d->options->report)
        d->options->report(d->options->user, kind, title, text->data);
}

lvt_status lvt_compile(lvt_module *m, const lvt_compile_options *options, lvt_compiled **out,
                       lvt_diag *diag) {
    driver d = {.module = m, .options = options, .diag = diag};
    int first = 0, last = 0;
    *out = NULL;
    while (lvt_pass_table[last + 1].name)
        last++;
    int end = last;
    if (options->start_at && (first = find_pass(options->start_at)) < 0)
        return no_pass(&d, "--start-at", options->start_at);
    if (options->stop_after && (last = find_pass(options->stop_after)) < 0)
        return no_pass(&d, "--stop-after", options->stop_after);
    if (options->dump_after && strcmp(options->dump_after, "all") && find_pass(options->dump_after) < 0)
        return no_pass(&d, "--dump-after", options->dump_after);
    d.plans = lvt_arena_alloc(m->arena, (m->n_entries + 1u) * sizeof *d.plans);
    if (!d.plans)
        return lvt_no_memory(diag, NULL);
    /* The passes from layout on build on each other's decisions, which the text does not hold: layout, given
     * a graph it has made itself, decides the same again. */
    int layout = find_pass("layout");
    lvt_status status = first > layout ? run_passes(&d, layout, first - 1) : LVT_OK;
    lvt_text_free(&d.times);
    if (status == LVT_OK)
        status = run_passes(&d, first, last);
    if (status == LVT_OK && last == end)
        status = finish(&d, out);
    report(&d, LVT_REPORT_EXPLAIN, "explain", &d.explain);
    report(&d, LVT_REPORT_MEMORY, "memory", &d.memory);
    if (options->time_passes)
        report(&d, LVT_REPORT_TIME, "time", &d.times);
    lvt_text_free(&d.explain);
    lvt_text_free(&d.memory);
    lvt_text_free(&d.times);
    return status;
}
