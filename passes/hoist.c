/* Pass hoist: steps that depend on states and constants alone go first; the runtime runs them when states may
 * have changed, and keeps their results from run to run.
 *
 * Invariant: only in an entry without updates, where states are the same from its first run to the next
 * change from outside; the order among the steps is kept otherwise. May not know: what any op does, where
 * results will lie. */
#include "plan.h"

#include <string.h>

void lvt_find_steady(const lvt_graph *g, bool *steady) {
    for (lvt_node_id i = 0; i < g->n_nodes; i++) {
        const lvt_node *n = &g->nodes[i];
        bool is = n->op != LVT_OP_input;
        for (uint32_t k = 0; k < n->n_operands; k++)
            is = is && steady[n->operands[k]];
        memset(steady + n->result, is, n->n_results);
    }
}

lvt_graph *lvt_pass_hoist(lvt_pass *ctx, const lvt_graph *in) {
    lvt_plan *p = ctx->plan;
    bool *steady = lvt_arena_alloc(ctx->arena, in->n_values + 1u);
    lvt_step *steps = lvt_arena_alloc(ctx->module->arena, (p->n_steps + 1u) * sizeof *steps);
    uint32_t n = 0;
    if (!steady || !steps)
        return lvt_pass_nomem(ctx);
    p->n_prologue = 0;
    if (in->n_updates)
        return (lvt_graph *)in;
    lvt_find_steady(in, steady);
    for (int once = 1; once >= 0; once--) {
        for (uint32_t i = 0; i < p->n_steps; i++)
            if (steady[in->nodes[p->steps[i].node].result] == once)
                steps[n++] = p->steps[i];
        p->n_prologue = once ? n : p->n_prologue;
    }
    p->steps = steps;
    lvt_text_add(ctx->explain, "%s: %u of %u steps depend on states and constants alone and run once\n",
                 in->name ? in->name : "", p->n_prologue, p->n_steps);
    return (lvt_graph *)in;
}
