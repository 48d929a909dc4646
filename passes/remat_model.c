/* See remat.h. */
#include "remat.h"
#include "rewrite.h"

#include <string.h>

enum { MOST_RUNS = 24 }; /* of one lvt_remat_again */

/* ---- making ---- */

/* Estimated seconds of one run. Only the proportions count for what is chosen: products near the peak of a
 * few cores, everything else as fast as memory, and a little for the start of a kernel. */
static double estimate(const lvt_graph *g, const lvt_node *n) {
    const double products = 300e9, scalars = 60e9, memory = 30e9, start = 5e-6;
    lvt_cost cost = lvt_node_cost(g, n);
    double arithmetic = cost.flops / (n->op == LVT_OP_fused ? scalars : products),
           moves = cost.bytes / memory;
    return (arithmetic > moves ? arithmetic : moves) + start;
}

static uint32_t add_copy(remat_model *m, lvt_value root, uint32_t run) {
    void *grown =
        lvt_arena_grow(m->arena, m->copies, m->n_copies, m->n_copies + 1u, &m->cap_copies, sizeof *m->copies);
    if (!grown) {
        m->no_memory = true;
        return LVT_NONE;
    }
    m->copies = grown;
    bool inside = m->base.of[root] != LVT_NONE;
    m->copies[m->n_copies] =
        (remat_copy){.value = root,
                     .run = run,
                     .other = m->newest[root],
                     .bytes = inside ? lvt_buffer_bytes(m->g, m->plan->places, root) : 0};
    m->newest[root] = m->n_copies;
    return m->n_copies++;
}

/* A run of the node whose operands are still to be filled in; it has no place in the order yet. */
static uint32_t add_run(remat_model *m, lvt_node_id node) {
    const lvt_node *n = &m->g->nodes[node];
    void *grown = lvt_arena_grow(m->arena, m->runs, m->n_runs, m->n_runs + 1u, &m->cap_runs, sizeof *m->runs);
    uint32_t *reads = lvt_arena_alloc(m->arena, (n->n_operands + 1u) * sizeof *reads), run = m->n_runs;
    if (!grown || !reads) {
        m->no_memory = true;
        return LVT_NONE;
    }
    m->runs = grown;
    m->runs[m->n_runs++] = (remat_run){node, reads, m->n_copies};
    for (uint32_t k = 0; k < n->n_results; k++)
        if (add_copy(m, n->result + k, run) == LVT_NONE)
            return LVT_NONE;
    return run;
}

static bool find_in_place(remat_model *m, const lvt_node *n, lvt_node_id id) {
    if (n->op != LVT_OP_fused)
        return true;
    bool any = false, *ok = lvt_arena_alloc(m->arena, (size_t)n->n_results * n->n_operands + 1u);
    for (uint32_t k = 0; ok && k < n->n_results; k++)
        for (uint32_t j = 0; j < n->n_operands; j++)
            any |= ok[k * n->n_operands + j] =
                m->base.of[n->result + k] != LVT_NONE &&
                lvt_in_place_ok(m->g, m->plan->places, m->base.roots, n, n->result + k,
                                m->base.roots[n->operands[j]], m->arena);
    m->in_place[id] = any ? ok : NULL;
    return ok != NULL;
}

static bool make_runs(remat_model *m) {
    const lvt_graph *g = m->g;
    for (lvt_value v = 0; v < g->n_values; v++) /* what is always there */
        if (m->base.roots[v] == v && (m->base.made[v] == LVT_NONE || m->base.made[v] < m->plan->n_prologue) &&
            add_copy(m, v, LVT_NONE) == LVT_NONE)
            return false;
    for (uint32_t s = m->plan->n_prologue; s < m->plan->n_steps; s++) {
        const lvt_node *n = &g->nodes[m->plan->steps[s].node];
        uint32_t run = add_run(m, m->plan->steps[s].node);
        if (run == LVT_NONE || !find_in_place(m, n, m->plan->steps[s].node))
            return false;
        m->seconds[m->runs[run].node] = estimate(g, n);
        for (uint32_t k = 0; k < n->n_operands; k++)
            m->runs[run].reads[k] = m->newest[m->base.roots[n->operands[k]]];
        m->order[run] = run;
    }
    for (uint32_t i = 0; i < g->n_outputs; i++)
        m->copies[m->newest[m->base.roots[g->outputs[i].value]]].ends = true;
    for (uint32_t i = 0; i < g->n_updates; i++) {
        remat_copy *c = &m->copies[m->newest[m->base.roots[g->updates[i].value]]];
        c->ends = true;
        m->replaced[g->updates[i].state] = c->run;
    }
    return true;
}

bool lvt_remat_model_make(remat_model *m, lvt_pass *ctx, const lvt_graph *g, const lvt_plan *plan) {
    lvt_arena *a = ctx->arena;
    size_t values = g->n_values + 1u, states = g->module->n_states + 1u;
    *m = (remat_model){.g = g, .plan = plan, .arena = a};
    m->newest = lvt_arena_alloc(a, values * sizeof *m->newest);
    m->replaced = lvt_arena_alloc(a, states * sizeof *m->replaced);
    m->in_place = lvt_arena_alloc(a, (g->n_nodes + 1u) * sizeof *m->in_place);
    m->seconds = lvt_arena_alloc(a, (g->n_nodes + 1u) * sizeof *m->seconds);
    m->order = lvt_arena_grow(a, NULL, 0, m->plan->n_steps + 1u, &m->cap_order, sizeof *m->order);
    if (!m->newest || !m->replaced || !m->in_place || !m->seconds || !m->order ||
        !lvt_buffers_find(g, m->plan, a, &m->base))
        return false;
    memset(m->newest, 0xff, values * sizeof *m->newest);
    memset(m->replaced, 0xff, states * sizeof *m->replaced);
    return make_runs(m) && lvt_remat_measure(m);
}

/* ---- measuring ---- */

/* The buffer of an operand that dies here and may be written over; LVT_NONE: none. */
static uint32_t reuse(const remat_model *m, const remat_run *r, uint32_t k, uint64_t bytes, uint32_t p) {
    const lvt_node *n = &m->g->nodes[r->node];
    const bool *ok = m->in_place[r->node];
    for (uint32_t j = 0; ok && j < n->n_operands; j++) {
        const remat_copy *c = &m->copies[r->reads[j]];
        if (ok[k * n->n_operands + j] && c->buffer != LVT_NONE && c->last == p &&
            m->buffers[c->buffer].to == p && m->buffers[c->buffer].bytes == bytes)
            return c->buffer;
    }
    return LVT_NONE;
}

static void find_lifetimes(remat_model *m) {
    for (uint32_t c = 0; c < m->n_copies; c++) {
        m->copies[c].buffer = LVT_NONE;
        m->copies[c].made = m->copies[c].last = 0;
    }
    for (uint32_t p = 0; p < m->n_runs; p++) {
        const remat_run *r = &m->runs[m->order[p]];
        const lvt_node *n = &m->g->nodes[r->node];
        m->position[m->order[p]] = p;
        for (uint32_t k = 0; k < n->n_operands; k++)
            m->copies[r->reads[k]].last = p;
        for (uint32_t k = 0; k < n->n_results; k++)
            m->copies[r->results + k].made = m->copies[r->results + k].last = p;
    }
    for (uint32_t c = 0; c < m->n_copies; c++)
        if (m->copies[c].ends)
            m->copies[c].last = m->n_runs;
}

static void find_reads(remat_model *m) {
    for (uint32_t c = 0; c < m->n_copies; c++) {
        m->copies[c].before = m->copies[c].made;
        m->copies[c].after = LVT_NONE;
    }
    for (uint32_t p = m->n_runs; p-- > 0;) {
        const remat_run *r = &m->runs[m->order[p]];
        for (uint32_t k = 0; k < m->g->nodes[r->node].n_operands; k++) {
            remat_copy *c = &m->copies[r->reads[k]];
            if (p > m->peak_at)
                c->after = p;
            else if (p > c->before)
                c->before = p;
        }
    }
}

bool lvt_remat_measure(remat_model *m) {
    size_t n = m->n_runs;
    void *position = lvt_arena_grow(m->arena, m->position, 0, n + 1, &m->cap_position, sizeof *m->position);
    void *buffers =
        lvt_arena_grow(m->arena, m->buffers, 0, m->n_copies + 1u, &m->cap_buffers, sizeof *m->buffers);
    void *alive = lvt_arena_grow(m->arena, m->alive, 0, n + 2, &m->cap_alive, sizeof *m->alive);
    if (!position || !buffers || !alive) {
        m->no_memory = true;
        return false;
    }
    m->position = position;
    m->buffers = buffers;
    m->alive = alive;
    memset(m->alive, 0, (n + 2) * sizeof *m->alive);
    find_lifetimes(m);
    uint32_t n_buffers = 0;
    for (uint32_t p = 0; p < m->n_runs; p++) {
        const remat_run *r = &m->runs[m->order[p]];
        for (uint32_t k = 0; k < m->g->nodes[r->node].n_results; k++) {
            remat_copy *c = &m->copies[r->results + k];
            if (!c->bytes)
                continue;
            c->buffer = reuse(m, r, k, c->bytes, p);
            if (c->buffer == LVT_NONE) {
                c->buffer = n_buffers++;
                m->buffers[c->buffer] = (lvt_buffer){.value = c->value, .bytes = c->bytes, .from = p};
            }
            m->buffers[c->buffer].to = c->last;
        }
    }
    for (uint32_t i = 0; i < n_buffers; i++) {
        m->alive[m->buffers[i].from] += m->buffers[i].bytes;
        m->alive[m->buffers[i].to + 1] -= m->buffers[i].bytes;
    }
    m->peak = 0;
    m->peak_at = 0;
    for (uint32_t p = 0; p < m->n_runs; p++) {
        m->alive[p + 1] += m->alive[p];
        if (m->alive[p] > m->peak) {
            m->peak = m->alive[p];
            m->peak_at = p;
        }
    }
    find_reads(m);
    return true;
}

double lvt_remat_excess(const remat_model *m, double target) {
    double sum = 0;
    for (uint32_t p = 0; p < m->n_runs; p++)
        sum += (double)m->alive[p] > target ? (double)m->alive[p] - target : 0;
    return sum;
}

/* ---- computing again ---- */

typedef struct plan_again {
    remat_model *m;
    remat_change *change;
    uint32_t at;     /* position everything is put before */
    uint64_t bytes;  /* of what is to be freed */
    uint32_t *fresh; /* new runs in the order they go, operands first */
    uint32_t n_fresh, n_begun;
} plan_again;

/* A state can be read as long as it was not replaced. */
static bool still_there(const remat_model *m, const remat_copy *c, uint32_t at) {
    const lvt_node *n = lvt_value_node(m->g, c->value);
    if (n->op != LVT_OP_state)
        return true;
    uint32_t run = m->replaced[lvt_attr_get(n, "index")->i];
    return run == LVT_NONE || m->position[run] >= at;
}

/* A copy of the value that is there at the position, or can be kept until then at little cost; LVT_NONE:
 * none. */
static uint32_t find_copy(const plan_again *a, lvt_value root, bool *lost) {
    const remat_model *m = a->m;
    uint32_t best = LVT_NONE;
    for (uint32_t c = m->newest[root]; c != LVT_NONE; c = m->copies[c].other) {
        const remat_copy *x = &m->copies[c];
        if (x->run == LVT_NONE) {
            *lost = !still_there(m, x, a->at);
            return *lost ? LVT_NONE : c;
        }
        if (c >= a->change->n_copies)
            return c; /* one of the new ones */
        if (x->made >= a->at)
            continue;
        if (x->last >= a->at || !x->bytes)
            return c;
        if (x->last >= m->peak_at || x->bytes <= a->bytes / 16)
            best = c;
    }
    return best;
}

static uint32_t run_again(plan_again *a, lvt_node_id node) {
    remat_model *m = a->m;
    const lvt_node *n = &m->g->nodes[node];
    uint32_t reads[64];
    if (n->n_operands > 64 || a->n_begun++ >= MOST_RUNS)
        return LVT_NONE;
    for (uint32_t k = 0; k < n->n_operands; k++) {
        lvt_value root = m->base.roots[n->operands[k]];
        bool lost = false;
        reads[k] = find_copy(a, root, &lost);
        if (lost)
            return LVT_NONE;
        if (reads[k] == LVT_NONE) {
            uint32_t run = run_again(a, m->g->values[root].node);
            if (run == LVT_NONE)
                return LVT_NONE;
            reads[k] = m->runs[run].results + m->g->values[root].index;
        }
    }
    uint32_t run = add_run(m, node);
    if (run == LVT_NONE)
        return LVT_NONE;
    memcpy(m->runs[run].reads, reads, n->n_operands * sizeof *reads);
    a->fresh[a->n_fresh++] = run;
    a->change->seconds += m->seconds[node];
    return run;
}

/* Readers of copy `from` at the position or later read `to`. */
static bool move_readers(remat_model *m, remat_change *change, uint32_t from, uint32_t to, uint32_t at) {
    for (uint32_t p = at; p < change->n_runs; p++) {
        const remat_run *r = &m->runs[m->order[p]];
        for (uint32_t k = 0; k < m->g->nodes[r->node].n_operands; k++) {
            if (r->reads[k] != from)
                continue;
            uint32_t *moved =
                lvt_arena_grow(m->arena, change->moved, 2 * (size_t)change->n_moved,
                               2 * ((size_t)change->n_moved + 1), &change->cap_moved, sizeof *moved);
            uint32_t *was = lvt_arena_grow(m->arena, change->was, change->n_moved,
                                           change->n_moved + (size_t)1, &change->cap_was, sizeof *was);
            if (!moved || !was) {
                m->no_memory = true;
                return false;
            }
            change->moved = moved;
            change->was = was;
            moved[2 * change->n_moved] = m->order[p];
            moved[2 * change->n_moved + 1] = k;
            was[change->n_moved++] = from;
            r->reads[k] = to;
        }
    }
    return true;
}

static bool put_in_order(remat_model *m, const uint32_t *fresh, uint32_t n, uint32_t at, uint32_t before) {
    uint32_t *order =
        lvt_arena_grow(m->arena, m->order, before, before + (size_t)n, &m->cap_order, sizeof *order);
    if (!order) {
        m->no_memory = true;
        return false;
    }
    m->order = order;
    memmove(order + at + n, order + at, (before - at) * sizeof *order);
    memcpy(order + at, fresh, n * sizeof *order);
    return true;
}

bool lvt_remat_again(remat_model *m, uint32_t c, remat_change *change) {
    remat_copy x = m->copies[c];
    uint32_t fresh[MOST_RUNS];
    change->n_runs = m->n_runs;
    change->n_copies = m->n_copies;
    change->n_moved = 0;
    change->seconds = 0;
    change->at = x.after;
    plan_again a = {.m = m, .change = change, .at = x.after, .bytes = x.bytes, .fresh = fresh};
    uint32_t run = run_again(&a, m->runs[x.run].node);
    bool ok = run != LVT_NONE;
    /* The other results of the node too, where nobody reads them before. */
    for (uint32_t k = 0; ok && k < m->g->nodes[m->runs[x.run].node].n_results; k++) {
        uint32_t old = m->runs[x.run].results + k;
        if (old == c || (!m->copies[old].ends && m->copies[old].after != LVT_NONE &&
                         m->copies[old].after >= x.after && m->copies[old].before < m->peak_at))
            ok = move_readers(m, change, old, m->runs[run].results + k, x.after);
    }
    ok = ok && put_in_order(m, fresh, a.n_fresh, x.after, change->n_runs);
    if (ok)
        return true;
    change->at = LVT_NONE;
    lvt_remat_undo(m, change);
    return false;
}

void lvt_remat_undo(remat_model *m, const remat_change *change) {
    uint32_t n = m->n_runs - change->n_runs;
    for (uint32_t i = change->n_moved; i-- > 0;)
        m->runs[change->moved[2 * i]].reads[change->moved[2 * i + 1]] = change->was[i];
    if (change->at != LVT_NONE)
        memmove(m->order + change->at, m->order + change->at + n,
                (change->n_runs - change->at) * sizeof *m->order);
    while (m->n_copies > change->n_copies) {
        const remat_copy *c = &m->copies[--m->n_copies];
        m->newest[c->value] = c->other;
    }
    m->n_runs = change->n_runs;
}
