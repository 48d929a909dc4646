/* Pass plan: the place of every value. Memory of its own for what outlives a run; one arena for the step:
 * buffers are placed largest first, each in the smallest gap that holds it among those alive at the same
 * time. New state is written where the old one lies when all readers of the old come first, and an
 * elementwise kernel writes over an operand that dies with it.
 *
 * Invariant: two buffers alive at the same step do not overlap, except that a kernel may write over an
 * operand whose elements it reads at the same index only (in_place_ok). May not know: kernels beyond that
 * promise of loop form. */
#include "plan.h"
#include "rewrite.h"

#include "ir/loop.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64 };

typedef struct buffer {
    lvt_value value; /* the first root that lies in it */
    uint64_t bytes, offset;
    uint32_t from, to; /* steps: made at, last read at */
} buffer;

typedef struct planner {
    lvt_pass *ctx;
    const lvt_graph *g;
    lvt_plan *plan;
    lvt_value *roots;
    uint32_t *made, *last; /* by root: step that makes it, last step that reads it (n_steps: after all) */
    uint32_t *buffer_of;   /* by root: index into buffers, or LVT_NONE */
    bool *output;          /* by root: an output reads it */
    buffer *buffers;
    uint32_t n_buffers;
    lvt_value *state_value; /* by state: its `state` node's value, or LVT_NONE */
} planner;

static const lvt_node *step_node(const planner *p, uint32_t step) {
    return &p->g->nodes[p->plan->steps[step].node];
}

static bool lifetimes(planner *p) {
    const lvt_graph *g = p->g;
    lvt_arena *a = p->ctx->arena;
    size_t n = g->n_values + 1u;
    p->roots = lvt_plan_roots(g, a);
    p->made = lvt_arena_alloc(a, n * sizeof *p->made);
    p->last = lvt_arena_alloc(a, n * sizeof *p->last);
    p->buffer_of = lvt_arena_alloc(a, n * sizeof *p->buffer_of);
    p->output = lvt_arena_alloc(a, n);
    p->buffers = lvt_arena_alloc(a, n * sizeof *p->buffers);
    p->state_value = lvt_arena_alloc(a, (g->module->n_states + 1u) * sizeof *p->state_value);
    if (!p->roots || !p->made || !p->last || !p->buffer_of || !p->output || !p->buffers || !p->state_value)
        return false;
    memset(p->made, 0xff, n * sizeof *p->made);
    memset(p->buffer_of, 0xff, n * sizeof *p->buffer_of);
    memset(p->state_value, 0xff, g->module->n_states * sizeof *p->state_value);
    for (uint32_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op == LVT_OP_state)
            p->state_value[lvt_attr_get(&g->nodes[i], "index")->i] = g->nodes[i].result;
    for (uint32_t s = 0; s < p->plan->n_steps; s++) {
        const lvt_node *node = step_node(p, s);
        for (uint32_t k = 0; k < node->n_results; k++)
            p->made[node->result + k] = p->last[node->result + k] = s;
        for (uint32_t k = 0; k < node->n_operands; k++)
            p->last[p->roots[node->operands[k]]] = s;
    }
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        p->output[p->roots[g->outputs[i].value]] = true;
        p->last[p->roots[g->outputs[i].value]] = p->plan->n_steps;
    }
    for (uint32_t i = 0; i < g->n_updates; i++)
        p->last[p->roots[g->updates[i].value]] = p->plan->n_steps;
    return true;
}

/* Elements of the loop nest of a fused node. */
static int64_t domain_size(const planner *p, const lvt_node *n) {
    lvt_loop loop;
    int64_t size = 1;
    if (lvt_loop_analyse(n->body, p->ctx->arena, &loop))
        return 0;
    for (int i = 0; i < loop.rank; i++)
        size *= loop.dim[i];
    return size;
}

/* May result v of the node lie where operand root `old` lies? Results as large as the domain are written in
 * the last pass over a row, index by index, after the operands of that index are read. */
static bool in_place_ok(const planner *p, const lvt_node *n, lvt_value v, lvt_value old) {
    const lvt_graph *g = p->g;
    const lvt_type *t = &g->values[v].type;
    if (n->op != LVT_OP_fused)
        return false;
    for (uint32_t k = 0; k < n->n_operands; k++) {
        lvt_value o = n->operands[k];
        if (p->roots[o] == old &&
            (!lvt_type_equal(&g->values[o].type, t) || p->plan->places[o].offset ||
             !lvt_strides_equal(t, p->plan->places[o].strides, p->plan->places[v].strides)))
            return false;
    }
    return lvt_numel(t) == domain_size(p, n);
}

/* ---- states ---- */

/* Root of the update's value when it can be written into the state itself; LVT_NONE otherwise. */
static lvt_value stays_in_state(const planner *p, const lvt_update *u) {
    const lvt_graph *g = p->g;
    lvt_value root = p->roots[u->value], old = p->state_value[u->state];
    uint32_t maker = p->made[root];
    if (maker == LVT_NONE || p->output[root] || p->plan->places[root].kind != LVT_PLACE_NOWHERE ||
        p->plan->places[u->value].offset ||
        lvt_strides_span(&g->values[root].type, p->plan->places[root].strides) !=
            lvt_type_bytes(&g->module->states[u->state].type))
        return LVT_NONE;
    if (old == LVT_NONE || p->last[old] < maker)
        return root;
    bool reads = false;
    const lvt_node *n = step_node(p, maker);
    for (uint32_t k = 0; k < n->n_operands; k++)
        reads |= p->roots[n->operands[k]] == old;
    if (p->last[old] > maker)
        return LVT_NONE;
    return !reads || in_place_ok(p, n, root, old) ? root : LVT_NONE;
}

static bool place_states(planner *p) {
    const lvt_graph *g = p->g;
    p->plan->n_stores = 0;
    p->plan->stores = lvt_arena_alloc(p->ctx->module->arena, (g->n_updates + 1u) * sizeof *p->plan->stores);
    if (!p->plan->stores)
        return false;
    for (uint32_t i = 0; i < g->n_updates; i++) {
        const lvt_update *u = &g->updates[i];
        lvt_value root = stays_in_state(p, u);
        if (root == LVT_NONE) {
            p->plan->stores[p->plan->n_stores++] = (lvt_store){u->state, u->value};
            lvt_text_add(p->ctx->explain, "%s: state %s is copied to at the end of the step\n",
                         g->name ? g->name : "", g->module->states[u->state].name);
        } else {
            p->plan->places[root].kind = LVT_PLACE_STATE;
            p->plan->places[root].index = u->state;
        }
    }
    return true;
}

/* ---- the arena ---- */

/* A buffer whose only value dies at this step and may be written over by result v; LVT_NONE if there is none.
 */
static uint32_t reuse(planner *p, uint32_t step, lvt_value v, uint64_t bytes) {
    const lvt_node *n = step_node(p, step);
    for (uint32_t k = 0; k < n->n_operands; k++) {
        lvt_value old = p->roots[n->operands[k]];
        uint32_t b = p->buffer_of[old];
        if (b != LVT_NONE && p->last[old] == step && p->buffers[b].to == step &&
            p->buffers[b].bytes == bytes && in_place_ok(p, n, v, old))
            return b;
    }
    return LVT_NONE;
}

static void make_buffers(planner *p) {
    const lvt_graph *g = p->g;
    p->plan->kept_bytes = 0;
    for (uint32_t s = 0; s < p->plan->n_steps; s++) {
        const lvt_node *n = step_node(p, s);
        for (uint32_t k = 0; k < n->n_results; k++) {
            lvt_value v = n->result + k;
            if (p->plan->places[v].kind != LVT_PLACE_NOWHERE)
                continue;
            uint64_t bytes = lvt_strides_span(&g->values[v].type, p->plan->places[v].strides);
            bytes = (bytes + ALIGN - 1) / ALIGN * ALIGN;
            if (s < p->plan->n_prologue) { /* one after the other: they live for ever */
                p->plan->places[v].kind = LVT_PLACE_KEPT;
                p->plan->places[v].offset = p->plan->kept_bytes;
                p->plan->kept_bytes += bytes;
                continue;
            }
            uint32_t b = reuse(p, s, v, bytes);
            if (b == LVT_NONE) {
                b = p->n_buffers++;
                p->buffers[b] = (buffer){.value = v, .bytes = bytes, .from = s};
            }
            p->buffer_of[v] = b;
            p->buffers[b].to = p->last[v];
        }
    }
}

static int by_size(const void *a, const void *b) {
    const buffer *x = *(buffer *const *)a, *y = *(buffer *const *)b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x->value < y->value ? -1 : 1;
}

static bool place_buffers(planner *p) {
    uint32_t n = p->n_buffers, placed = 0;
    buffer **order = lvt_arena_alloc(p->ctx->arena, (n + 1u) * sizeof *order);
    buffer **sorted = lvt_arena_alloc(p->ctx->arena, (n + 1u) * sizeof *sorted); /* placed ones, by offset */
    if (!order || !sorted)
        return false;
    for (uint32_t i = 0; i < n; i++)
        order[i] = &p->buffers[i];
    qsort(order, n, sizeof *order, by_size);
    p->plan->arena_bytes = 0;
    for (uint32_t i = 0; i < n; i++) {
        buffer *b = order[i];
        uint64_t end = 0, best = UINT64_MAX, least = UINT64_MAX;
        for (uint32_t k = 0; k < placed; k++) {
            const buffer *o = sorted[k];
            if (o->to < b->from || b->to < o->from)
                continue;
            if (o->offset > end && o->offset - end >= b->bytes && o->offset - end < least) {
                least = o->offset - end;
                best = end;
            }
            end = o->offset + o->bytes > end ? o->offset + o->bytes : end;
        }
        b->offset = best == UINT64_MAX ? end : best;
        uint32_t at = placed++;
        for (; at && sorted[at - 1]->offset > b->offset; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = b;
        if (b->offset + b->bytes > p->plan->arena_bytes)
            p->plan->arena_bytes = b->offset + b->bytes;
    }
    return true;
}

static void place_all(planner *p) {
    const lvt_graph *g = p->g;
    for (lvt_value v = 0; v < g->n_values; v++) {
        lvt_place *place = &p->plan->places[v];
        const lvt_place *root = &p->plan->places[p->roots[v]];
        const lvt_node *n = lvt_value_node(g, v);
        if (p->roots[v] != v) { /* comes after its root: nodes are in order */
            place->kind = root->kind;
            place->index = root->index;
            place->offset += root->offset;
        } else if (n->op == LVT_OP_input || n->op == LVT_OP_state) {
            place->kind = n->op == LVT_OP_input ? LVT_PLACE_INPUT : LVT_PLACE_STATE;
            place->index = (uint32_t)lvt_attr_get(n, "index")->i;
        } else if (n->op == LVT_OP_constant) {
            place->kind = LVT_PLACE_CONSTANT;
            place->index = g->values[v].node;
        } else if (p->buffer_of[v] != LVT_NONE) {
            place->kind = LVT_PLACE_ARENA;
            place->offset = p->buffers[p->buffer_of[v]].offset;
        }
    }
}

/* ---- the memory report ---- */

static int by_bytes(const void *a, const void *b) {
    const buffer *x = a, *y = b;
    return x->bytes < y->bytes ? 1 : x->bytes > y->bytes ? -1 : x->value < y->value ? -1 : 1;
}

static void report(planner *p) {
    enum { TOP = 20 };
    lvt_text *text = p->ctx->memory;
    const lvt_module *m = p->ctx->module;
    uint64_t most = 0, states = 0;
    uint32_t at = 0, n = 0;
    if (!text)
        return;
    uint64_t *alive = lvt_arena_alloc(p->ctx->arena, (p->plan->n_steps + 2u) * sizeof *alive);
    buffer *peak = lvt_arena_alloc(p->ctx->arena, (p->n_buffers + 1u) * sizeof *peak);
    if (!alive || !peak)
        return;
    for (uint32_t i = 0; i < p->n_buffers; i++) {
        alive[p->buffers[i].from] += p->buffers[i].bytes;
        alive[p->buffers[i].to + 1] -= p->buffers[i].bytes;
    }
    for (uint32_t s = 0; s < p->plan->n_steps; s++) {
        alive[s + 1] += alive[s];
        if (alive[s] > most) {
            most = alive[s];
            at = s;
        }
    }
    for (uint32_t i = 0; i < p->n_buffers; i++)
        if (p->buffers[i].from <= at && at <= p->buffers[i].to)
            peak[n++] = p->buffers[i];
    qsort(peak, n, sizeof *peak, by_bytes);
    for (uint32_t i = 0; i < m->n_states; i++)
        states += lvt_type_bytes(&m->states[i].type);
    lvt_text_add(text, "entry %s: arena %.2f MB, states %.2f MB", p->g->name ? p->g->name : "",
                 (double)p->plan->arena_bytes / 1e6, (double)states / 1e6);
    if (p->plan->kept_bytes)
        lvt_text_add(text, ", kept %.2f MB", (double)p->plan->kept_bytes / 1e6);
    if (p->plan->n_steps) {
        const lvt_node *node = step_node(p, at);
        lvt_text_add(text, "\n  peak %.2f MB at step %u of %u, %s", (double)most / 1e6, at, p->plan->n_steps,
                     lvt_op_of(node)->name);
        lvt_text_add_place(text, m, node->loc);
    }
    lvt_text_add(text, "\n");
    for (uint32_t i = 0; i < n && i < TOP; i++) {
        const lvt_node *node = lvt_value_node(p->g, peak[i].value);
        char type[LVT_TYPE_TEXT];
        static const char *const roles[] = {"forward", "gradient", "update"};
        lvt_text_add(text, "  %9.3f MB  %-24s %-8s %-8s steps %u..%u ", (double)peak[i].bytes / 1e6,
                     lvt_type_text(&p->g->values[peak[i].value].type, type), lvt_op_of(node)->name,
                     roles[node->role <= LVT_UPDATE ? node->role : 0], peak[i].from, peak[i].to);
        lvt_text_add_place(text, m, node->loc);
        lvt_text_add(text, "\n");
    }
    if (n > TOP)
        lvt_text_add(text, "  and %u more\n", n - TOP);
}

lvt_graph *lvt_pass_plan(lvt_pass *ctx, const lvt_graph *in) {
    planner p = {.ctx = ctx, .g = in, .plan = ctx->plan};
    if (!lifetimes(&p) || !place_states(&p))
        return lvt_pass_nomem(ctx);
    make_buffers(&p);
    if (!place_buffers(&p))
        return lvt_pass_nomem(ctx);
    place_all(&p);
    report(&p);
    return (lvt_graph *)in;
}
