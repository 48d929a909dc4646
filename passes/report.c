/* The memory report of a planned entry.
 *
 * Invariant: changes nothing. May not know: how buffers were placed. */
#include "buffers.h"

#include <stdlib.h>

static int by_bytes(const void *a, const void *b) {
    const lvt_buffer *x = a, *y = b;
    return x->bytes < y->bytes ? 1 : x->bytes > y->bytes ? -1 : x->value < y->value ? -1 : 1;
}

static void report_text(lvt_pass *ctx, const lvt_buffers *b, uint32_t at, uint64_t most,
                        const lvt_buffer *peak, uint32_t n) {
    enum { TOP = 20 };
    lvt_text *text = ctx->memory;
    const lvt_module *m = ctx->module;
    const lvt_plan *plan = ctx->plan;
    const lvt_graph *g = plan->graph;
    uint64_t states = 0;
    (void)b;
    for (uint32_t i = 0; i < m->n_states; i++)
        states += lvt_type_bytes(&m->states[i].type);
    lvt_text_add(text, "entry %s: arena %.2f MB, states %.2f MB", g->name ? g->name : "",
                 (double)plan->arena_bytes / 1e6, (double)states / 1e6);
    if (plan->kept_bytes)
        lvt_text_add(text, ", kept %.2f MB", (double)plan->kept_bytes / 1e6);
    if (plan->n_steps) {
        const lvt_node *node = &g->nodes[plan->steps[at].node];
        lvt_text_add(text, "\n  peak %.2f MB at step %u of %u, %s", (double)most / 1e6, at, plan->n_steps,
                     lvt_op_of(node)->name);
        lvt_text_add_place(text, m, node->loc);
    }
    lvt_text_add(text, "\n");
    for (uint32_t i = 0; i < n && i < TOP; i++) {
        const lvt_node *node = lvt_value_node(g, peak[i].value);
        char type[LVT_TYPE_TEXT];
        lvt_text_add(text, "  %9.3f MB  %-24s %-8s %-9s steps %u..%u ", (double)peak[i].bytes / 1e6,
                     lvt_type_text(&g->values[peak[i].value].type, type), lvt_op_of(node)->name,
                     lvt_role_name((lvt_role)node->role), peak[i].from, peak[i].to);
        lvt_text_add_place(text, m, node->loc);
        lvt_text_add(text, "\n");
    }
    if (n > TOP)
        lvt_text_add(text, "  and %u more\n", n - TOP);
}

void lvt_explain_memory(lvt_pass *ctx, const lvt_buffers *b) {
    uint32_t at = 0, n = 0, steps = ctx->plan->n_steps;
    if (!ctx->memory)
        return;
    uint64_t *alive = lvt_arena_alloc(ctx->arena, (steps + 2u) * sizeof *alive);
    lvt_buffer *peak = lvt_arena_alloc(ctx->arena, (b->n + 1u) * sizeof *peak);
    if (!alive || !peak)
        return;
    uint64_t most = lvt_buffers_peak(b, steps, ctx->arena, alive, &at);
    for (uint32_t i = 0; i < b->n; i++)
        if (b->list[i].from <= at && at <= b->list[i].to)
            peak[n++] = b->list[i];
    qsort(peak, n, sizeof *peak, by_bytes);
    report_text(ctx, b, at, most, peak, n);
}
