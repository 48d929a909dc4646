/* Passes assign and schedule: which family runs each node, and in which order.
 *
 * Invariant: a step comes after the steps that make what it reads; a node that makes new state comes, where
 * that is possible, after all readers of the old state, so that the planner may write it in place. The order
 * is the graph's own, if no other needs less memory at its peak: that of the graph with steps that set memory
 * free moved ahead, or a greedy one. May not know: addresses. */
#include "buffers.h"
#include "rewrite.h"
#include "ir/loop.h"

#include <string.h>

/* Why a concat or pad moves what somebody else could have written to the right place: a view shares the
 * memory of what it is made from, and there is no value that others are made into. */
static const char *moves_why(const lvt_graph *g, const lvt_node *n) {
    bool inputs = false, results = false;
    if (n->op != LVT_OP_concat && n->op != LVT_OP_pad)
        return NULL;
    for (uint32_t k = 0; k < n->n_operands; k++) {
        const lvt_node *from = lvt_value_node(g, n->operands[k]);
        while (lvt_op_of(from)->kind == LVT_KIND_VIEW)
            from = lvt_value_node(g, from->operands[0]);
        bool elsewhere = from->op == LVT_OP_input || from->op == LVT_OP_state || from->op == LVT_OP_constant;
        inputs |= elsewhere;
        results |= !elsewhere;
    }
    return inputs && results ? "inputs and states lie where they are, results have memory of their own"
           : inputs          ? "inputs and states lie where they are"
                             : "results have memory of their own, no part of another value's";
}

/* Elements of the largest value that a node reads or makes. */
static int64_t largest_value(const lvt_graph *g, const lvt_node *n) {
    int64_t most = 0;
    for (uint32_t k = 0; k < n->n_operands + (uint32_t)n->n_results; k++) {
        lvt_value v = k < n->n_operands ? n->operands[k] : n->result + k - n->n_operands;
        int64_t size = lvt_numel(&g->values[v].type);
        most = size > most ? size : most;
    }
    return most;
}

/* A step that the interpreter runs takes a hundred times as long as on a kernel, which nobody sees where it is
 * small. Once for a line, which may stand in a loop. */
static void warn_of_interpreter(lvt_pass *ctx, const lvt_graph *g, lvt_node_id id, const char *why) {
    enum { SMALL = 1000 };
    const lvt_plan *p = ctx->plan;
    const lvt_node *n = &g->nodes[id];
    char type[LVT_TYPE_TEXT];
    if (largest_value(g, n) <= SMALL)
        return;
    for (uint32_t i = 0; i < p->n_steps; i++) {
        const lvt_node *other = &g->nodes[p->steps[i].node];
        if (p->steps[i].family == LVT_FAMILY_INTERP && other->op == n->op && other->loc == n->loc &&
            largest_value(g, other) > SMALL)
            return;
    }
    lvt_warning(ctx->diag, "W703", lvt_module_pos(ctx->module, n->loc),
                "%s of %s runs on the interpreter, slowly: %s", lvt_op_of(n)->name,
                lvt_type_text(&g->values[n->n_operands ? n->operands[0] : n->result].type, type),
                why ? why : "it has no kernel");
}

lvt_graph *lvt_pass_assign(lvt_pass *ctx, const lvt_graph *in) {
    lvt_plan *p = ctx->plan;
    p->n_steps = 0;
    p->steps = lvt_arena_alloc(ctx->module->arena, (in->n_nodes + 1u) * sizeof *p->steps);
    if (!p->steps)
        return lvt_pass_nomem(ctx);
    for (lvt_node_id i = 0; i < in->n_nodes; i++) {
        const lvt_node *n = &in->nodes[i];
        const char *why = NULL;
        if (lvt_op_of(n)->kind == LVT_KIND_VIEW || n->op == LVT_OP_input || n->op == LVT_OP_state ||
            n->op == LVT_OP_constant)
            continue;
        lvt_family family = lvt_family_for(in, i, &why);
        if (why == lvt_loop_no_memory)
            return lvt_pass_nomem(ctx);
        if (family == LVT_FAMILY_INTERP)
            warn_of_interpreter(ctx, in, i, why);
        p->steps[p->n_steps++] = (lvt_step){.node = i, .family = (uint8_t)family};
        char type[LVT_TYPE_TEXT];
        lvt_text_add(ctx->explain, "%s: %s -> %s on %s", in->name ? in->name : "", lvt_op_of(n)->name,
                     lvt_type_text(&in->values[n->result].type, type), lvt_family_name(family));
        lvt_text_add_place(ctx->explain, ctx->module, n->loc);
        if (family == LVT_FAMILY_INTERP && why)
            lvt_text_add(ctx->explain, ": %s", why);
        else if ((why = moves_why(in, n)))
            lvt_text_add(ctx->explain, ": moves %.3g MB: %s",
                         (double)lvt_type_bytes(&in->values[n->result].type) / 1e6, why);
        lvt_text_add(ctx->explain, "\n");
    }
    return (lvt_graph *)in;
}

/* ---- schedule ---- */

typedef struct scheduler {
    const lvt_graph *g;
    const lvt_plan *plan;
    lvt_arena *arena;
    uint32_t n;
    lvt_value *roots;
    uint32_t *step_of;      /* by node: its step in the graph's order, or LVT_NONE */
    uint32_t *first, *next; /* edges as lists: step -> steps that wait for it */
    uint32_t *to, n_edges;
    size_t cap_next, cap_to;
    uint32_t *waits;                   /* by step: how many it waits for */
    uint32_t *readers, *reader_offset; /* by root: the steps that read it */
    uint32_t n_reads;                  /* of all */
    uint32_t *left, *who;              /* by root: steps still to come that read it; their numbers, xor */
    uint32_t *seen, turn;              /* by root: scratch */
    bool *kept;                        /* by root: lives to the end, or is not in the arena */
    double *bytes;                     /* by root */
    uint32_t *mark, now, *stack;
} scheduler;

static bool add_edge(scheduler *s, uint32_t from, uint32_t to) {
    uint32_t *next =
        lvt_arena_grow(s->arena, s->next, s->n_edges, s->n_edges + 1u, &s->cap_next, sizeof *next);
    uint32_t *ends = lvt_arena_grow(s->arena, s->to, s->n_edges, s->n_edges + 1u, &s->cap_to, sizeof *ends);
    if (!next || !ends)
        return false;
    s->next = next;
    s->to = ends;
    next[s->n_edges] = s->first[from];
    ends[s->n_edges] = to;
    s->first[from] = s->n_edges++;
    s->waits[to]++;
    return true;
}

/* Marks every step that waits, directly or not, for `from`. */
static void mark_after(scheduler *s, uint32_t from) {
    uint32_t depth = 0;
    s->now++;
    s->mark[from] = s->now;
    s->stack[depth++] = from;
    while (depth) {
        uint32_t at = s->stack[--depth];
        for (uint32_t e = s->first[at]; e != LVT_NONE; e = s->next[e])
            if (s->mark[s->to[e]] != s->now) {
                s->mark[s->to[e]] = s->now;
                s->stack[depth++] = s->to[e];
            }
    }
}

static bool build_edges(scheduler *s) {
    const lvt_graph *g = s->g;
    uint32_t total = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < s->n; i++) {
            const lvt_node *n = &g->nodes[s->plan->steps[i].node];
            for (uint32_t k = 0; k < n->n_operands; k++) {
                lvt_value root = s->roots[n->operands[k]];
                uint32_t maker = s->step_of[g->values[root].node];
                if (!pass) {
                    s->reader_offset[root + 2]++;
                    total++;
                    if (maker != LVT_NONE && !add_edge(s, maker, i))
                        return false;
                } else {
                    s->readers[s->reader_offset[root + 1]++] = i;
                }
            }
        }
        if (!pass) {
            s->n_reads = total;
            for (size_t v = 2; v < (size_t)g->n_values + 2; v++)
                s->reader_offset[v] += s->reader_offset[v - 1];
            if (!(s->readers = lvt_arena_alloc(s->arena, (total + 1u) * sizeof *s->readers)))
                return false;
        }
    }
    return true;
}

/* The maker of new state waits for the readers of the old, unless one of them waits for it. */
static bool order_updates(scheduler *s) {
    const lvt_graph *g = s->g;
    lvt_value *state_value = lvt_arena_alloc(s->arena, (g->module->n_states + 1u) * sizeof *state_value);
    if (!state_value)
        return false;
    memset(state_value, 0xff, g->module->n_states * sizeof *state_value);
    for (uint32_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op == LVT_OP_state)
            state_value[lvt_attr_get(&g->nodes[i], "index")->i] = g->nodes[i].result;
    for (uint32_t i = 0; i < g->n_updates; i++) {
        lvt_value old = state_value[g->updates[i].state];
        uint32_t maker = s->step_of[g->values[s->roots[g->updates[i].value]].node];
        if (old == LVT_NONE || maker == LVT_NONE)
            continue;
        mark_after(s, maker);
        bool possible = true;
        for (uint32_t k = s->reader_offset[old]; k < s->reader_offset[old + 1]; k++)
            possible &= s->readers[k] == maker || s->mark[s->readers[k]] != s->now;
        for (uint32_t k = s->reader_offset[old]; possible && k < s->reader_offset[old + 1]; k++)
            if (s->readers[k] != maker && !add_edge(s, s->readers[k], maker))
                return false;
    }
    return true;
}

/* Memory that step i takes (its results) less what it sets free: operands that no other step will read. */
static double growth(scheduler *s, uint32_t i) {
    const lvt_node *n = &s->g->nodes[s->plan->steps[i].node];
    double freed = 0, made = 0;
    s->turn++;
    for (uint32_t k = 0; k < n->n_results; k++)
        made += s->bytes[n->result + k];
    for (uint32_t k = 0; k < n->n_operands; k++) {
        lvt_value root = s->roots[n->operands[k]];
        if (s->seen[root] != s->turn && s->left[root] == 1 && !s->kept[root])
            freed += s->bytes[root];
        s->seen[root] = s->turn;
    }
    for (uint32_t k = 0; k < n->n_results; k++) /* results nobody reads */
        if (s->reader_offset[n->result + k] == s->reader_offset[n->result + k + 1] && !s->kept[n->result + k])
            freed += s->bytes[n->result + k];
    return made - freed;
}

/* Steps that may run, the one that comes first on top. One whose key has changed is entered again: what is
 * taken out is compared with what it is now. */
typedef struct entry {
    double key;
    uint32_t step;
} entry;
typedef struct heap {
    entry *list;
    uint32_t n;
} heap;

static bool sooner(entry a, entry b) {
    return a.key != b.key ? a.key < b.key : a.step < b.step;
}

static void push(heap *h, double key, uint32_t step) {
    entry x = {key, step};
    uint32_t at = h->n++;
    for (; at && sooner(x, h->list[(at - 1) / 2]); at = (at - 1) / 2)
        h->list[at] = h->list[(at - 1) / 2];
    h->list[at] = x;
}

static void pop(heap *h) {
    entry x = h->list[--h->n];
    uint32_t at = 0;
    for (uint32_t child; (child = 2 * at + 1) < h->n; at = child) {
        child += child + 1 < h->n && sooner(h->list[child + 1], h->list[child]);
        if (!sooner(h->list[child], x))
            break;
        h->list[at] = h->list[child];
    }
    if (h->n)
        h->list[at] = x;
}

typedef struct lister {
    uint32_t *waits;
    uint8_t *state; /* by step: 1 may run, 2 has */
    double *grows;  /* by step that may run */
    heap free_ones; /* those that set free at least as much as they take, by number */
    heap others;    /* all, by number or by growth */
    bool greedy;
} lister;

static void enter(scheduler *s, lister *l, uint32_t i) {
    l->grows[i] = growth(s, i);
    if (l->grows[i] <= 0)
        push(&l->free_ones, 0, i);
    push(&l->others, l->greedy ? l->grows[i] : 0, i);
}

static uint32_t choose(lister *l) {
    while (l->free_ones.n && l->state[l->free_ones.list[0].step] == 2)
        pop(&l->free_ones);
    if (l->free_ones.n)
        return l->free_ones.list[0].step;
    while (l->others.n && (l->state[l->others.list[0].step] == 2 ||
                           (l->greedy && l->others.list[0].key != l->grows[l->others.list[0].step])))
        pop(&l->others);
    return l->others.n ? l->others.list[0].step : LVT_NONE;
}

/* Step i runs: those that are the last to read one of its operands now set that free. */
static void take(scheduler *s, lister *l, uint32_t i) {
    const lvt_node *n = &s->g->nodes[s->plan->steps[i].node];
    l->state[i] = 2;
    uint32_t turn = ++s->turn;
    for (uint32_t k = 0; k < n->n_operands; k++) {
        lvt_value root = s->roots[n->operands[k]];
        if (s->seen[root] == turn)
            continue;
        s->seen[root] = turn;
        s->left[root]--;
        s->who[root] ^= i;
    }
    for (uint32_t k = 0; k < n->n_operands; k++) {
        lvt_value root = s->roots[n->operands[k]];
        if (s->left[root] == 1 && l->state[s->who[root]] == 1)
            enter(s, l, s->who[root]);
    }
}

/* How many steps read each root, and the sum of their numbers without carry: the number of the last one left. */
static void reset_readers(scheduler *s) {
    for (lvt_value v = 0; v < s->g->n_values; v++) {
        s->left[v] = s->who[v] = 0;
        for (uint32_t k = s->reader_offset[v]; k < s->reader_offset[v + 1]; k++)
            if (k == s->reader_offset[v] || s->readers[k] != s->readers[k - 1]) { /* they are in order */
                s->left[v]++;
                s->who[v] ^= s->readers[k];
            }
    }
}

/* Of the steps that may run, the first (in the graph's order) that sets free at least as much as it takes; if
 * there is none, the first of all (greedy = false), or the one that grows least (greedy = true). */
static bool list_order(scheduler *s, bool greedy, uint32_t *order, bool *nomem) {
    size_t steps = s->n + 1u, entries = steps + s->n_reads;
    lister l = {.waits = lvt_arena_alloc(s->arena, steps * sizeof *l.waits),
                .state = lvt_arena_alloc(s->arena, steps),
                .grows = lvt_arena_alloc(s->arena, steps * sizeof *l.grows),
                .free_ones.list = lvt_arena_alloc(s->arena, entries * sizeof(entry)),
                .others.list = lvt_arena_alloc(s->arena, entries * sizeof(entry)),
                .greedy = greedy};
    *nomem = !l.waits || !l.state || !l.grows || !l.free_ones.list || !l.others.list;
    if (*nomem)
        return false;
    memcpy(l.waits, s->waits, s->n * sizeof *l.waits);
    reset_readers(s);
    for (uint32_t i = 0; i < s->n; i++)
        if (!l.waits[i]) {
            l.state[i] = 1;
            enter(s, &l, i);
        }
    for (uint32_t done = 0; done < s->n; done++) {
        uint32_t best = choose(&l);
        if (best == LVT_NONE)
            return false; /* the edges have a cycle: cannot be, order_updates looked */
        order[done] = best;
        take(s, &l, best);
        for (uint32_t e = s->first[best]; e != LVT_NONE; e = s->next[e])
            if (!--l.waits[s->to[e]]) {
                l.state[s->to[e]] = 1;
                enter(s, &l, s->to[e]);
            }
    }
    return true;
}

static bool begin(scheduler *s) {
    const lvt_graph *g = s->g;
    lvt_arena *a = s->arena;
    size_t values = g->n_values + 3u, steps = s->n + 1u;
    s->roots = lvt_plan_roots(g, a);
    s->step_of = lvt_arena_alloc(a, (g->n_nodes + 1u) * sizeof *s->step_of);
    s->first = lvt_arena_alloc(a, steps * sizeof *s->first);
    s->waits = lvt_arena_alloc(a, steps * sizeof *s->waits);
    s->reader_offset = lvt_arena_alloc(a, values * sizeof *s->reader_offset);
    s->left = lvt_arena_alloc(a, values * sizeof *s->left);
    s->who = lvt_arena_alloc(a, values * sizeof *s->who);
    s->seen = lvt_arena_alloc(a, values * sizeof *s->seen);
    s->kept = lvt_arena_alloc(a, values);
    s->bytes = lvt_arena_alloc(a, values * sizeof *s->bytes);
    s->mark = lvt_arena_alloc(a, steps * sizeof *s->mark);
    s->stack = lvt_arena_alloc(a, steps * sizeof *s->stack);
    if (!s->roots || !s->step_of || !s->first || !s->waits || !s->reader_offset || !s->left || !s->who ||
        !s->seen || !s->kept || !s->bytes || !s->mark || !s->stack)
        return false;
    memset(s->step_of, 0xff, g->n_nodes * sizeof *s->step_of);
    memset(s->first, 0xff, s->n * sizeof *s->first);
    for (uint32_t i = 0; i < s->n; i++)
        s->step_of[s->plan->steps[i].node] = i;
    for (lvt_value v = 0; v < g->n_values; v++)
        if (s->roots[v] == v && s->step_of[g->values[v].node] != LVT_NONE)
            s->bytes[v] = (double)lvt_strides_span(&g->values[v].type, s->plan->places[v].strides);
    for (uint32_t i = 0; i < g->n_outputs; i++)
        s->kept[s->roots[g->outputs[i].value]] = true;
    for (uint32_t i = 0; i < g->n_updates; i++)
        s->kept[s->roots[g->updates[i].value]] = true;
    return build_edges(s) && order_updates(s);
}

/* The graph's own order obeys the edges. Its nodes are in order; but a maker of new state may stand before a
 * reader of the old. */
static bool own_order_holds(const scheduler *s) {
    for (uint32_t i = 0; i < s->n; i++)
        for (uint32_t e = s->first[i]; e != LVT_NONE; e = s->next[e])
            if (s->to[e] <= i)
                return false;
    return true;
}

/* The order that needs the least memory; *least gets its bytes. NULL after reporting. */
static lvt_step *best_order(scheduler *s, lvt_pass *ctx, uint64_t *least) {
    lvt_plan plan = *s->plan;
    lvt_step *best = NULL;
    uint32_t *order = lvt_arena_alloc(ctx->arena, (s->n + 1u) * sizeof *order);
    for (int kind = !own_order_holds(s); kind < 3; kind++) { /* its own, then the two of list_order */
        lvt_buffers b;
        lvt_step *steps = lvt_arena_alloc(ctx->module->arena, (s->n + 1u) * sizeof *steps);
        if (!order || !steps)
            return lvt_pass_nomem(ctx), NULL;
        for (uint32_t i = 0; i < s->n; i++)
            order[i] = i;
        bool nomem = false;
        if (kind && !list_order(s, kind == 2, order, &nomem)) {
            if (nomem)
                return lvt_pass_nomem(ctx), NULL;
            lvt_pass_fail(ctx, LVT_INTERNAL, NULL, s->g->loc, "schedule: the steps of %s wait for each other",
                          s->g->name ? s->g->name : "a graph");
            return NULL;
        }
        for (uint32_t i = 0; i < s->n; i++)
            steps[i] = s->plan->steps[order[i]];
        plan.steps = steps;
        uint64_t peak = UINT64_MAX;
        if (lvt_buffers_find(s->g, &plan, ctx->arena, &b))
            peak = lvt_buffers_peak(&b, s->n, ctx->arena, NULL, NULL);
        if (peak == UINT64_MAX)
            return lvt_pass_nomem(ctx), NULL;
        if (!best || peak < *least) {
            best = steps;
            *least = peak;
        }
    }
    return best;
}

lvt_graph *lvt_pass_schedule(lvt_pass *ctx, const lvt_graph *in) {
    lvt_plan *p = ctx->plan;
    scheduler s = {.g = in, .plan = p, .arena = ctx->arena, .n = p->n_steps};
    if (!begin(&s))
        return lvt_pass_nomem(ctx);
    uint64_t least = 0;
    lvt_step *best = best_order(&s, ctx, &least);
    if (!best)
        return NULL;
    p->steps = best;
    lvt_text_add(ctx->explain, "%s: %u steps, at most %.1f MB alive at a time\n", in->name ? in->name : "",
                 s.n, (double)least / 1e6);
    return (lvt_graph *)in;
}
