/* Pass remat: computes again in the backward part what would hold too much memory until then, when the plan
 * of an entry is over the budget that was asked for.
 *
 * As long as the peak is too high, one of the values that are alive there without being read is freed and
 * computed again before its next reader, from what is alive then or, in turn, computed again: the one that
 * takes most bytes off the steps over the budget for an estimated second. Invariant: what is computed again
 * is the same node on the same operands in the same layout, so results are the same to the bit; without a
 * budget, or within it, nothing changes. May not know: kernels. */
#include "remat.h"
#include "rewrite.h"

#include <stdlib.h>
#include <string.h>

/* The search takes time in proportion to the third power of an entry's size: half a minute at this one. */
enum { MOST_NODES = 8000 };

typedef struct decision {
    lvt_value value;
    uint64_t bytes;
    double seconds;
    uint32_t runs;
} decision;

typedef struct rematerialiser {
    lvt_pass *ctx;
    const lvt_graph *in;
    const lvt_plan *base; /* of `in`, as it came */
    remat_model m;
    remat_change change;
    uint64_t least; /* arena reached so far */
    decision *decisions;
    uint32_t n_decisions;
    size_t cap_decisions;
} rematerialiser;

/* ---- choosing ---- */

typedef struct candidate {
    uint32_t copy;
    double score; /* bytes times steps over the target that go, for a second: before it was tried */
} candidate;

static int by_score(const void *a, const void *b) {
    const candidate *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return x->copy < y->copy ? -1 : 1;
}

static double expected(const remat_model *m, const remat_copy *c, double target) {
    double sum = 0;
    for (uint32_t p = c->before + 1; p < c->after; p++) {
        double over = (double)m->alive[p] - target;
        sum += over <= 0 ? 0 : over < (double)c->bytes ? over : (double)c->bytes;
    }
    return sum;
}

static uint32_t find_candidates(rematerialiser *r, double target, candidate *list) {
    remat_model *m = &r->m;
    uint32_t n = 0, n_copies = m->n_copies;
    for (uint32_t c = 0; c < n_copies && !m->no_memory; c++) {
        const remat_copy *x = &m->copies[c];
        if (!x->bytes || x->ends || x->run == LVT_NONE || x->after == LVT_NONE || x->before >= m->peak_at ||
            x->made >= m->peak_at)
            continue;
        double gain = expected(m, x, target);
        if (gain > 0 && lvt_remat_again(m, c, &r->change)) {
            list[n++] = (candidate){c, gain / r->change.seconds};
            lvt_remat_undo(m, &r->change);
        }
    }
    qsort(list, n, sizeof *list, by_score);
    return n;
}

static bool note_decision(rematerialiser *r, uint32_t copy) {
    const remat_copy *c = &r->m.copies[copy];
    void *grown = lvt_arena_grow(r->ctx->arena, r->decisions, r->n_decisions, r->n_decisions + 1u,
                                 &r->cap_decisions, sizeof *r->decisions);
    if (!grown)
        return false;
    r->decisions = grown;
    r->decisions[r->n_decisions++] =
        (decision){c->value, c->bytes, r->change.seconds, r->m.n_runs - r->change.n_runs};
    return true;
}

/* Frees one value at the peak: of the few that promise most, the one that keeps most of its promise, else the
 * first that helps at all. *helped: there was one. False when out of memory. */
static bool free_one(rematerialiser *r, double target, bool *helped) {
    enum { TRIED = 4 };
    remat_model *m = &r->m;
    double before = lvt_remat_excess(m, target), most = 0;
    uint32_t best = LVT_NONE, n_copies = m->n_copies;
    candidate *list = lvt_arena_alloc(r->ctx->arena, (n_copies + 1u) * sizeof *list);
    uint32_t n = list ? find_candidates(r, target, list) : 0;
    *helped = false;
    for (uint32_t i = 0; i < n && (i < TRIED || best == LVT_NONE); i++) {
        if (!lvt_remat_again(m, list[i].copy, &r->change) || !lvt_remat_measure(m))
            return false;
        double score = (before - lvt_remat_excess(m, target)) / r->change.seconds;
        lvt_remat_undo(m, &r->change);
        if (!lvt_remat_measure(m))
            return false;
        if (score > most) {
            most = score;
            best = list[i].copy;
        }
        if (score > 0.9 * list[i].score)
            break;
    }
    if (best == LVT_NONE)
        return list && !m->no_memory;
    *helped = true;
    return lvt_remat_again(m, best, &r->change) && note_decision(r, best) && lvt_remat_measure(m);
}

/* *met: the peak is at most the goal. Where nothing helps any more it aims lower: then a value counts that is
 * freed below the goal too, and makes room for what is computed again there. False when out of memory. */
static bool reduce(rematerialiser *r, double goal, bool *met) {
    double target = goal;
    while ((double)r->m.peak > goal && target > 0.3 * goal) {
        bool helped;
        if (!free_one(r, target, &helped))
            return false;
        target *= helped ? 1 : 0.95;
    }
    *met = (double)r->m.peak <= goal;
    return true;
}

/* ---- the new graph ---- */

typedef struct emitter {
    rematerialiser *r;
    const lvt_graph *in;
    lvt_graph *out;
    lvt_plan *plan;
    lvt_value *map;     /* by value of in: what stands for it in the node at hand */
    lvt_value *of_copy; /* by copy: value of out */
    uint32_t *first;    /* by root: its first copy */
    uint32_t *view_of;  /* by view: the copy its newest node is a view of */
    lvt_value *view;    /* and that node's value */
    lvt_node_id *node;  /* by node of in: its first node of out */
    lvt_node_id *from;  /* by node of out: node of in */
    size_t cap_from;
    lvt_place *places;
    size_t cap_places;
} emitter;

/* Copies a node whose operands are in map; enters places. LVT_NONE when out of memory. */
static lvt_node_id emit_node(emitter *e, lvt_node_id id) {
    lvt_arena *a = e->out->module->arena;
    uint32_t values = e->out->n_values, nodes = e->out->n_nodes;
    lvt_node_id fresh = lvt_graph_copy_node(e->out, e->in, id, e->map, NULL);
    if (fresh == LVT_NONE)
        return LVT_NONE;
    void *places = lvt_arena_grow(a, e->places, values, e->out->n_values, &e->cap_places, sizeof *e->places);
    void *from = lvt_arena_grow(e->r->ctx->arena, e->from, nodes, nodes + 1u, &e->cap_from, sizeof *e->from);
    if (!places || !from)
        return LVT_NONE;
    e->places = places;
    e->from = from;
    e->from[fresh] = id;
    for (uint32_t k = 0; k < e->in->nodes[id].n_results; k++)
        e->places[values + k] = e->plan->places[e->in->nodes[id].result + k];
    if (e->node[id] == LVT_NONE)
        e->node[id] = fresh;
    return fresh;
}

/* Value v of `in`, a view of a root or the root itself, in memory of this copy. */
static lvt_value resolve(emitter *e, lvt_value v, uint32_t copy) {
    if (e->r->m.base.roots[v] == v)
        return e->of_copy[copy];
    if (e->view_of[v] == copy)
        return e->view[v];
    lvt_value operand = lvt_value_node(e->in, v)->operands[0];
    lvt_value to = resolve(e, operand, copy);
    if (to == LVT_NONE)
        return LVT_NONE;
    e->map[operand] = to;
    lvt_node_id fresh = emit_node(e, e->in->values[v].node);
    if (fresh == LVT_NONE)
        return LVT_NONE;
    e->view_of[v] = copy;
    return e->view[v] = e->out->nodes[fresh].result;
}

/* run: NULL in the prologue. */
static bool emit_step(emitter *e, const remat_run *run, const lvt_step *step) {
    lvt_node_id id = step->node;
    const lvt_node *n = &e->in->nodes[id];
    bool again = e->node[id] != LVT_NONE;
    lvt_value *operands = lvt_arena_alloc(e->r->ctx->arena, (n->n_operands + 1u) * sizeof *operands);
    if (!operands)
        return false;
    for (uint32_t k = 0; k < n->n_operands; k++) {
        lvt_value v = n->operands[k];
        operands[k] = resolve(e, v, run ? run->reads[k] : e->first[e->r->m.base.roots[v]]);
        if (operands[k] == LVT_NONE)
            return false;
    }
    for (uint32_t k = 0; k < n->n_operands; k++)
        e->map[n->operands[k]] = operands[k];
    lvt_node_id fresh = emit_node(e, id);
    if (fresh == LVT_NONE)
        return false;
    if (again)
        e->out->nodes[fresh].role = LVT_RECOMPUTE;
    for (uint32_t k = 0; k < n->n_results; k++)
        e->of_copy[run ? run->results + k : e->first[n->result + k]] = e->out->nodes[fresh].result + k;
    lvt_step *to = &e->plan->steps[e->plan->n_steps++];
    *to = *step;
    to->node = fresh;
    return true;
}

static bool emit_sources(emitter *e) {
    for (lvt_node_id id = 0; id < e->in->n_nodes; id++) {
        const lvt_node *n = &e->in->nodes[id];
        if (n->op != LVT_OP_input && n->op != LVT_OP_state && n->op != LVT_OP_constant)
            continue;
        lvt_node_id fresh = emit_node(e, id);
        if (fresh == LVT_NONE)
            return false;
        e->of_copy[e->first[n->result]] = e->out->nodes[fresh].result;
    }
    return true;
}

static bool emit_ends(emitter *e) {
    const remat_model *m = &e->r->m;
    for (uint32_t i = 0; i < e->in->n_outputs + e->in->n_updates; i++) {
        lvt_value v =
            i < e->in->n_outputs ? e->in->outputs[i].value : e->in->updates[i - e->in->n_outputs].value;
        lvt_value to = resolve(e, v, e->first[m->base.roots[v]]);
        if (to == LVT_NONE)
            return false;
        e->map[v] = to;
    }
    for (lvt_node_id id = 0; id < e->out->n_nodes;
         id++) { /* where nodes come from, now that all have numbers */
        lvt_node *n = &e->out->nodes[id];
        const lvt_node *old = &e->in->nodes[e->from[id]];
        lvt_node_id origin = old->origin;
        if (n->role == LVT_RECOMPUTE)
            origin = e->from[id];
        n->origin = origin == LVT_NONE ? LVT_NONE : e->node[origin];
    }
    return lvt_graph_copy_ends(e->out, e->in, e->map);
}

static bool allocate(emitter *e) {
    lvt_arena *a = e->r->ctx->arena;
    const remat_model *m = &e->r->m;
    size_t values = e->in->n_values + 1u, nodes = e->in->n_nodes + 1u;
    e->out = lvt_graph_new(e->r->ctx->module, e->in->name, e->in->loc, e->in->training);
    e->map = lvt_graph_new_map(e->in, a);
    e->of_copy = lvt_arena_alloc(a, (m->n_copies + 1u) * sizeof *e->of_copy);
    e->first = lvt_arena_alloc(a, values * sizeof *e->first);
    e->view_of = lvt_arena_alloc(a, values * sizeof *e->view_of);
    e->view = lvt_arena_alloc(a, values * sizeof *e->view);
    e->node = lvt_arena_alloc(a, nodes * sizeof *e->node);
    e->plan->steps = lvt_arena_alloc(e->r->ctx->module->arena,
                                     (m->plan->n_prologue + m->n_runs + 1u) * sizeof *e->plan->steps);
    if (!e->out || !e->map || !e->of_copy || !e->first || !e->view_of || !e->view || !e->node ||
        !e->plan->steps)
        return false;
    memset(e->first, 0xff, values * sizeof *e->first);
    memset(e->view_of, 0xff, values * sizeof *e->view_of);
    memset(e->node, 0xff, nodes * sizeof *e->node);
    for (uint32_t c = m->n_copies; c-- > 0;)
        e->first[m->copies[c].value] = c;
    return true;
}

/* The graph in the model's order, *plan with its places and steps. NULL when out of memory. */
static lvt_graph *emit(rematerialiser *r, lvt_plan *plan) {
    const remat_model *m = &r->m;
    emitter e = {.r = r, .in = r->in, .plan = plan};
    *plan = *m->plan;
    if (!allocate(&e) || !emit_sources(&e))
        return NULL;
    plan->n_steps = 0;
    for (uint32_t s = 0; s < m->plan->n_prologue; s++)
        if (!emit_step(&e, NULL, &m->plan->steps[s]))
            return NULL;
    const lvt_step **steps =
        lvt_arena_alloc(r->ctx->arena, (r->in->n_nodes + 1u) * sizeof *steps); /* by node */
    if (!steps)
        return NULL;
    for (uint32_t s = 0; s < m->plan->n_steps; s++)
        steps[m->plan->steps[s].node] = &m->plan->steps[s];
    for (uint32_t p = 0; p < m->n_runs; p++) {
        const remat_run *run = &m->runs[m->order[p]];
        if (!emit_step(&e, run, steps[run->node]))
            return NULL;
    }
    if (!emit_ends(&e))
        return NULL;
    plan->places = e.places;
    plan->graph = e.out;
    plan->n_prologue = 0;
    return e.out;
}

/* Emits, orders and packs as the passes will; *arena: the bytes that takes. NULL after reporting. */
static lvt_graph *try_plan(rematerialiser *r, uint64_t *arena) {
    lvt_pass quiet = *r->ctx;
    lvt_buffers b;
    quiet.explain = quiet.memory = NULL;
    lvt_graph *g = emit(r, r->ctx->plan);
    if (!g)
        return lvt_pass_nomem(r->ctx);
    if (!lvt_pass_schedule(&quiet, g) || !lvt_pass_hoist(&quiet, g)) {
        r->ctx->status = quiet.status;
        return NULL;
    }
    if (!lvt_buffers_find(g, r->ctx->plan, r->ctx->arena, &b) ||
        !lvt_buffers_pack(&b, lvt_buffers_peak(&b, r->ctx->plan->n_steps, r->ctx->arena, NULL, NULL),
                          r->ctx->arena, arena))
        return lvt_pass_nomem(r->ctx);
    return g;
}

/* ---- words ---- */

static void explain(const rematerialiser *r, uint64_t arena, uint64_t before) {
    lvt_text *text = r->ctx->explain;
    const char *name = r->in->name ? r->in->name : "";
    double again = 0, whole = 0;
    for (uint32_t s = 0; s < r->m.plan->n_steps; s++)
        whole += r->m.seconds[r->m.plan->steps[s].node];
    for (uint32_t i = 0; i < r->n_decisions; i++) {
        const decision *d = &r->decisions[i];
        const lvt_node *n = lvt_value_node(r->in, d->value);
        char type[LVT_TYPE_TEXT];
        again += d->seconds;
        lvt_text_add(text, "%s: %s -> %s is computed again", name, lvt_op_of(n)->name,
                     lvt_type_text(&r->in->values[d->value].type, type));
        lvt_text_add_place(text, r->ctx->module, n->loc);
        lvt_text_add(text, ": %.2f MB less for %u more step%s, about %.3f ms\n", (double)d->bytes / 1e6,
                     d->runs, d->runs == 1 ? "" : "s", d->seconds * 1e3);
    }
    lvt_text_add(
        text, "%s: arena %.2f MB instead of %.2f MB, for %u values computed again, about %.1f%% more work\n",
        name, (double)arena / 1e6, (double)before / 1e6, r->n_decisions, 100 * again / whole);
}

static int by_bytes(const void *a, const void *b) {
    const lvt_buffer *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x->value < y->value ? -1 : 1;
}

/* The budget cannot be met: says the least that was reached and what holds it. NULL. */
static lvt_graph *refuse(rematerialiser *r, uint64_t rest) {
    enum { TOP = 6 };
    lvt_pass *ctx = r->ctx;
    const lvt_graph *g = ctx->plan->graph;
    lvt_buffers b;
    uint32_t at = 0, n = 0;
    if (!lvt_buffers_find(g, ctx->plan, ctx->arena, &b) ||
        lvt_buffers_peak(&b, ctx->plan->n_steps, ctx->arena, NULL, &at) == UINT64_MAX)
        return lvt_pass_nomem(ctx);
    const lvt_node *peak = &g->nodes[ctx->plan->steps[at].node];
    lvt_pass_fail(
        ctx, LVT_USER, "E431", peak->loc,
        "entry %s does not fit into %.2f MB: the least that was reached is %.2f MB, %.2f MB of them states "
        "and kept values; most is needed at this %s",
        g->name ? g->name : "", (double)ctx->memory_budget / 1e6, (double)(r->least + rest) / 1e6,
        (double)rest / 1e6, lvt_op_of(peak)->name);
    for (uint32_t i = 0; i < b.n; i++)
        if (b.list[i].from <= at && at <= b.list[i].to)
            b.list[n++] = b.list[i];
    qsort(b.list, n, sizeof *b.list, by_bytes);
    for (uint32_t i = 0; i < n && i < TOP; i++) {
        const lvt_node *node = lvt_value_node(g, b.list[i].value);
        char type[LVT_TYPE_TEXT];
        lvt_text place = {0};
        lvt_text_add_place(&place, ctx->module, node->loc);
        lvt_note(ctx->diag, lvt_module_pos(ctx->module, node->loc), "%.2f MB are %s, %s, made by %s%s",
                 (double)b.list[i].bytes / 1e6, lvt_type_text(&g->values[b.list[i].value].type, type),
                 lvt_role_name((lvt_role)node->role), lvt_op_of(node)->name, place.data ? place.data : "");
        lvt_text_free(&place);
    }
    return NULL;
}

/* ---- the pass ---- */

/* Bytes beside the arena: states, and what the prologue keeps. */
static uint64_t beside(const lvt_pass *ctx, const lvt_graph *g) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < ctx->module->n_states; i++)
        sum += lvt_type_bytes(&ctx->module->states[i].type);
    for (uint32_t s = 0; s < ctx->plan->n_prologue; s++) {
        const lvt_node *n = &g->nodes[ctx->plan->steps[s].node];
        for (uint32_t k = 0; k < n->n_results; k++)
            sum += lvt_buffer_bytes(g, ctx->plan->places, n->result + k);
    }
    return sum;
}

/* Brings the arena to at most `most` bytes: at once, which costs least, or (gradual) by way of many goals in
 * between, which gets further down. *out stays NULL where that cannot be; then *arena is the least that was
 * reached. False after reporting. */
static bool attempt(rematerialiser *r, uint64_t most, bool gradual, lvt_graph **out, uint64_t *arena) {
    enum { ROUNDS = 8 };
    double goal = (double)most;
    *out = NULL;
    if (!lvt_remat_model_make(&r->m, r->ctx, r->in, r->base))
        return lvt_pass_nomem(r->ctx) != NULL;
    r->n_decisions = 0;
    for (int round = 0; round < ROUNDS; round++) {
        bool met;
        do {
            double next = 0.96 * (double)r->m.peak;
            if (!reduce(r, gradual && next > goal ? next : goal, &met))
                return lvt_pass_nomem(r->ctx) != NULL;
        } while (met && (double)r->m.peak > goal);
        lvt_graph *g = try_plan(r, arena);
        if (!g)
            return false;
        r->least = *arena < r->least ? *arena : r->least;
        if (*arena <= most) {
            *out = g;
            return true;
        }
        if (!met)
            break;
        goal -= (double)(*arena - most) * (1 << round); /* what is lost between buffers */
    }
    return true;
}

lvt_graph *lvt_pass_remat(lvt_pass *ctx, const lvt_graph *in) {
    lvt_buffers b;
    uint64_t before, arena;
    if (!ctx->memory_budget)
        return (lvt_graph *)in;
    if (!lvt_buffers_find(in, ctx->plan, ctx->arena, &b) ||
        !lvt_buffers_pack(&b, lvt_buffers_peak(&b, ctx->plan->n_steps, ctx->arena, NULL, NULL), ctx->arena,
                          &before))
        return lvt_pass_nomem(ctx);
    uint64_t rest = beside(ctx, in), most = ctx->memory_budget > rest ? ctx->memory_budget - rest : 0;
    if (before <= most)
        return (lvt_graph *)in;
    if (in->n_nodes > MOST_NODES)
        return lvt_pass_fail(
            ctx, LVT_USER, "E431", in->loc,
            "entry %s has %u nodes after fusion; which of them to compute again for a memory budget is "
            "looked for among at most %d",
            in->name ? in->name : "", in->n_nodes, MOST_NODES);
    lvt_plan base = *ctx->plan;
    rematerialiser r = {.ctx = ctx, .in = in, .base = &base, .least = before};
    lvt_graph *out = NULL;
    for (int gradual = 0; gradual < 2 && !out; gradual++)
        if (!attempt(&r, most, gradual, &out, &arena))
            return NULL;
    if (!out)
        return refuse(&r, rest);
    explain(&r, arena, before);
    return out;
}
