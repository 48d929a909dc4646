/* See buffers.h. */
#include "buffers.h"
#include "rewrite.h"

#include "ir/loop.h"

#include <string.h>

/* ---- when a value is needed ---- */

static bool allocate(const lvt_graph *g, uint32_t n_steps, lvt_arena *a, lvt_buffers *b) {
    size_t n = g->n_values + 1u, states = g->module->n_states + 1u;
    b->roots = lvt_plan_roots(g, a);
    b->made = lvt_arena_alloc(a, n * sizeof *b->made);
    b->last = lvt_arena_alloc(a, n * sizeof *b->last);
    b->of = lvt_arena_alloc(a, n * sizeof *b->of);
    b->in_state = lvt_arena_alloc(a, n * sizeof *b->in_state);
    b->output = lvt_arena_alloc(a, n);
    b->list = lvt_arena_alloc(a, n * sizeof *b->list);
    b->reader = lvt_arena_alloc(a, n * sizeof *b->reader);
    b->reader_before = lvt_arena_alloc(a, n * sizeof *b->reader_before);
    b->first = lvt_arena_alloc(a, (n_steps + 1u) * sizeof *b->first);
    b->final = lvt_arena_alloc(a, (n_steps + 1u) * sizeof *b->final);
    b->state_value = lvt_arena_alloc(a, states * sizeof *b->state_value);
    if (!b->roots || !b->made || !b->last || !b->of || !b->in_state || !b->output || !b->list ||
        !b->state_value || !b->reader || !b->reader_before || !b->first || !b->final)
        return false;
    memset(b->made, 0xff, n * sizeof *b->made);
    memset(b->of, 0xff, n * sizeof *b->of);
    memset(b->in_state, 0xff, n * sizeof *b->in_state);
    memset(b->state_value, 0xff, states * sizeof *b->state_value);
    return true;
}

static void note_reader(lvt_buffers *b, lvt_value root, uint32_t step) {
    b->last[root] = step;
    if (b->reader[root] != step + 1)
        b->reader_before[root] = b->reader[root];
    b->reader[root] = step + 1;
}

static void find_lifetimes(const lvt_graph *g, const lvt_plan *plan, lvt_buffers *b) {
    for (uint32_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op == LVT_OP_state)
            b->state_value[lvt_attr_get(&g->nodes[i], "index")->i] = g->nodes[i].result;
    for (uint32_t s = 0; s < plan->n_steps; s++) {
        const lvt_node *n = &g->nodes[plan->steps[s].node];
        for (uint32_t k = 0; k < n->n_results; k++)
            b->made[n->result + k] = b->last[n->result + k] = s;
        for (uint32_t k = 0; k < n->n_operands; k++)
            note_reader(b, b->roots[n->operands[k]], s);
        b->first[s] = s && plan->steps[s].joined ? b->first[s - 1] : s;
    }
    b->first[plan->n_steps] = b->final[plan->n_steps] = plan->n_steps; /* "after all" */
    for (uint32_t s = plan->n_steps; s-- > 0;)
        b->final[s] = s + 1 < plan->n_steps && plan->steps[s + 1].joined ? b->final[s + 1] : s;
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        b->output[b->roots[g->outputs[i].value]] = true;
        b->last[b->roots[g->outputs[i].value]] = plan->n_steps;
    }
    for (uint32_t i = 0; i < g->n_updates; i++)
        b->last[b->roots[g->updates[i].value]] = plan->n_steps;
}

/* ---- in place ---- */

/* Elements of the loop nest of a fused node. */
static int64_t domain_size(const lvt_node *n, lvt_arena *scratch) {
    lvt_loop loop;
    int64_t size = 1;
    if (lvt_loop_analyse(n->body, scratch, &loop))
        return 0;
    for (int i = 0; i < loop.rank; i++)
        size *= loop.dim[i];
    return size;
}

/* Results as large as the domain are written in the last pass over a row, index by index, after the operands
 * of that index are read. */
bool lvt_in_place_ok(const lvt_graph *g, const lvt_place *places, const lvt_value *roots, const lvt_node *n,
                     lvt_value v, lvt_value old, lvt_arena *scratch) {
    const lvt_type *t = &g->values[v].type;
    if (n->op != LVT_OP_fused)
        return false;
    for (uint32_t k = 0; k < n->n_operands; k++) {
        lvt_value o = n->operands[k];
        if (roots[o] == old && (!lvt_type_equal(&g->values[o].type, t) || places[o].offset ||
                                !lvt_strides_equal(t, places[o].strides, places[v].strides)))
            return false;
    }
    return lvt_numel(t) == domain_size(n, scratch);
}

/* Another step of the bundle reads that root, which no step after this one reads. */
static bool read_beside(const lvt_buffers *b, uint32_t step, lvt_value root) {
    uint32_t other = b->reader[root] == step + 1 ? b->reader_before[root] : b->reader[root];
    return other > b->first[step]; /* it is the step + 1 */
}

/* Root of the update's value when it can be written into the state itself; LVT_NONE otherwise. */
static lvt_value stays_in_state(const lvt_graph *g, const lvt_plan *plan, const lvt_buffers *b,
                                const lvt_update *u, lvt_arena *scratch) {
    lvt_value root = b->roots[u->value], old = b->state_value[u->state];
    uint32_t maker = b->made[root];
    if (maker == LVT_NONE || b->output[root] || b->in_state[root] != LVT_NONE ||
        plan->places[u->value].offset ||
        lvt_strides_span(&g->values[root].type, plan->places[root].strides) !=
            lvt_type_bytes(&g->module->states[u->state].type))
        return LVT_NONE;
    if (old == LVT_NONE || b->last[old] < b->first[maker])
        return root;
    bool reads = false;
    const lvt_node *n = &g->nodes[plan->steps[maker].node];
    for (uint32_t k = 0; k < n->n_operands; k++)
        reads |= b->roots[n->operands[k]] == old;
    if (b->last[old] > maker || read_beside(b, maker, old))
        return LVT_NONE;
    return !reads || lvt_in_place_ok(g, plan->places, b->roots, n, root, old, scratch) ? root : LVT_NONE;
}

/* A buffer whose only value dies at this step and may be written over by result v; LVT_NONE if there is none.
 */
static uint32_t reuse(const lvt_graph *g, const lvt_plan *plan, const lvt_buffers *b, uint32_t step,
                      lvt_value v, uint64_t bytes, lvt_arena *scratch) {
    const lvt_node *n = &g->nodes[plan->steps[step].node];
    for (uint32_t k = 0; k < n->n_operands; k++) {
        lvt_value old = b->roots[n->operands[k]];
        uint32_t at = b->of[old];
        if (at != LVT_NONE && b->last[old] == step && b->list[at].to == b->final[step] &&
            b->list[at].bytes == bytes && !read_beside(b, step, old) &&
            lvt_in_place_ok(g, plan->places, b->roots, n, v, old, scratch))
            return at;
    }
    return LVT_NONE;
}

uint64_t lvt_buffer_bytes(const lvt_graph *g, const lvt_place *places, lvt_value root) {
    uint64_t bytes = lvt_strides_span(&g->values[root].type, places[root].strides);
    return (bytes + LVT_BUFFER_ALIGN - 1) / LVT_BUFFER_ALIGN * LVT_BUFFER_ALIGN;
}

bool lvt_buffers_find(const lvt_graph *g, const lvt_plan *plan, lvt_arena *arena, lvt_buffers *out) {
    lvt_buffers *b = out;
    *b = (lvt_buffers){0};
    if (!allocate(g, plan->n_steps, arena, b))
        return false;
    find_lifetimes(g, plan, b);
    for (uint32_t i = 0; i < g->n_updates; i++) {
        lvt_value root = stays_in_state(g, plan, b, &g->updates[i], arena);
        if (root != LVT_NONE)
            b->in_state[root] = g->updates[i].state;
    }
    for (uint32_t s = plan->n_prologue; s < plan->n_steps; s++) {
        const lvt_node *n = &g->nodes[plan->steps[s].node];
        for (uint32_t k = 0; k < n->n_results; k++) {
            lvt_value v = n->result + k;
            if (b->in_state[v] != LVT_NONE)
                continue;
            uint64_t bytes = lvt_buffer_bytes(g, plan->places, v);
            uint32_t at = reuse(g, plan, b, s, v, bytes, arena);
            if (at == LVT_NONE) {
                at = b->n++;
                b->list[at] = (lvt_buffer){.value = v, .bytes = bytes, .from = b->first[s]};
            }
            b->of[v] = at;
            b->list[at].to = b->final[b->last[v]];
        }
    }
    return true;
}

uint64_t lvt_buffers_peak(const lvt_buffers *b, uint32_t n_steps, lvt_arena *arena, uint64_t *alive,
                          uint32_t *at) {
    uint64_t most = 0;
    if (!alive && !(alive = lvt_arena_alloc(arena, (n_steps + 2u) * sizeof *alive)))
        return UINT64_MAX;
    if (at)
        *at = 0;
    for (uint32_t i = 0; i < b->n; i++) {
        alive[b->list[i].from] += b->list[i].bytes;
        alive[b->list[i].to + 1] -= b->list[i].bytes;
    }
    for (uint32_t s = 0; s < n_steps; s++) {
        alive[s + 1] += alive[s];
        if (alive[s] > most) {
            most = alive[s];
            if (at)
                *at = s;
        }
    }
    return most;
}
