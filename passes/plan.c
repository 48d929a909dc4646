/* Pass plan: the place of every value. Memory of its own for what outlives a run; one arena for the step:
 * buffers are placed one after the other, each in the smallest gap that holds it among those alive at the
 * same time. Several orders are tried, each improved by placing first what came to lie last; the best stays.
 * What shares a buffer, and what lies in a state, buffers.c has decided.
 *
 * Invariant: two buffers alive at the same step do not overlap. May not know: kernels. */
#include "buffers.h"
#include "rewrite.h"

#include <stdlib.h>
#include <string.h>

typedef struct planner {
    lvt_pass *ctx;
    const lvt_graph *g;
    lvt_plan *plan;
    lvt_buffers b;
} planner;

static bool place_states(planner *p) {
    const lvt_graph *g = p->g;
    p->plan->n_stores = 0;
    p->plan->stores = lvt_arena_alloc(p->ctx->module->arena, (g->n_updates + 1u) * sizeof *p->plan->stores);
    if (!p->plan->stores)
        return false;
    for (uint32_t i = 0; i < g->n_updates; i++) {
        const lvt_update *u = &g->updates[i];
        lvt_value root = p->b.roots[u->value];
        if (p->b.in_state[root] != u->state) {
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

/* Kept memory: one value after the other, for they live for ever. */
static void place_kept(planner *p) {
    p->plan->kept_bytes = 0;
    for (uint32_t s = 0; s < p->plan->n_prologue; s++) {
        const lvt_node *n = &p->g->nodes[p->plan->steps[s].node];
        for (lvt_value v = n->result; v < n->result + n->n_results; v++) {
            p->plan->places[v].kind = LVT_PLACE_KEPT;
            p->plan->places[v].offset = p->plan->kept_bytes;
            p->plan->kept_bytes += lvt_buffer_bytes(p->g, p->plan->places, v);
        }
    }
}

/* ---- the arena ---- */

typedef int (*comparison)(const void *, const void *);

static int by_size(const void *a, const void *b) {
    const lvt_buffer *x = *(lvt_buffer *const *)a, *y = *(lvt_buffer *const *)b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x->value < y->value ? -1 : 1;
}

/* Bytes times steps. */
static int by_area(const void *a, const void *b) {
    const lvt_buffer *x = *(lvt_buffer *const *)a, *y = *(lvt_buffer *const *)b;
    uint64_t p = x->bytes * (x->to - x->from + 1), q = y->bytes * (y->to - y->from + 1);
    return p != q ? (p < q ? 1 : -1) : by_size(a, b);
}

static int by_length(const void *a, const void *b) {
    const lvt_buffer *x = *(lvt_buffer *const *)a, *y = *(lvt_buffer *const *)b;
    uint32_t p = x->to - x->from, q = y->to - y->from;
    return p != q ? (p < q ? 1 : -1) : by_size(a, b);
}

/* Gives the buffers offsets in this order and returns the bytes they need. sorted: scratch, as many. */
static uint64_t place_in_order(lvt_buffer *const *order, uint32_t n, lvt_buffer **sorted) {
    uint64_t whole = 0;
    uint32_t placed = 0; /* so many stand in `sorted`, by offset */
    for (uint32_t i = 0; i < n; i++) {
        lvt_buffer *b = order[i];
        uint64_t end = 0, best = UINT64_MAX, least = UINT64_MAX;
        for (uint32_t k = 0; k < placed; k++) {
            const lvt_buffer *o = sorted[k];
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
        whole = b->offset + b->bytes > whole ? b->offset + b->bytes : whole;
    }
    return whole;
}

/* The buffer that reaches the end of the arena goes first. */
static void advance(lvt_buffer **order, uint32_t n, uint64_t whole) {
    uint32_t at = 0;
    while (at + 1 < n && order[at]->offset + order[at]->bytes != whole)
        at++;
    lvt_buffer *last = order[at];
    memmove(order + 1, order, at * sizeof *order);
    order[0] = last;
}

/* ---- very many buffers: one sweep over the steps ---- */

typedef struct gap {
    uint64_t begin, end;
} gap;

/* Free memory below `top`, by offset; no two touch each other or the top. */
typedef struct gaps {
    gap *list;
    uint32_t n;
    uint64_t top, whole;
} gaps;

static uint32_t gap_after(const gaps *g, uint64_t offset) {
    uint32_t low = 0, high = g->n;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (g->list[middle].begin < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void drop_gap(gaps *g, uint32_t at) {
    memmove(g->list + at, g->list + at + 1, (--g->n - at) * sizeof *g->list);
}

static void give_back(gaps *g, uint64_t begin, uint64_t end) {
    uint32_t at = gap_after(g, begin);
    if (at < g->n && g->list[at].begin == end) {
        end = g->list[at].end;
        drop_gap(g, at);
    }
    if (at && g->list[at - 1].end == begin) {
        begin = g->list[--at].begin;
        drop_gap(g, at);
    }
    if (end == g->top) {
        g->top = begin;
        return;
    }
    memmove(g->list + at + 1, g->list + at, (g->n++ - at) * sizeof *g->list);
    g->list[at] = (gap){begin, end};
}

/* The smallest gap that holds them, of the MOST_GAPS lowest; else the top. */
static uint64_t take(gaps *g, uint64_t bytes) {
    enum { MOST_GAPS = 256 };
    uint32_t best = g->n;
    for (uint32_t i = 0; i < g->n && i < MOST_GAPS; i++) {
        uint64_t size = g->list[i].end - g->list[i].begin;
        if (size >= bytes && (best == g->n || size < g->list[best].end - g->list[best].begin))
            best = i;
    }
    uint64_t offset = best < g->n ? g->list[best].begin : g->top;
    if (best == g->n) {
        g->top += bytes;
        g->whole = g->top > g->whole ? g->top : g->whole;
    } else if ((g->list[best].begin += bytes) == g->list[best].end) {
        drop_gap(g, best);
    }
    return offset;
}

static int by_begin(const void *a, const void *b) {
    const lvt_buffer *x = *(lvt_buffer *const *)a, *y = *(lvt_buffer *const *)b;
    return x->from != y->from ? (x->from < y->from ? -1 : 1) : by_size(a, b);
}

static int by_end(const void *a, const void *b) {
    const lvt_buffer *x = *(lvt_buffer *const *)a, *y = *(lvt_buffer *const *)b;
    return x->to != y->to ? (x->to < y->to ? -1 : 1) : by_size(a, b);
}

/* Places in the order of time, as an allocator would: worse than the orders above by some per cent, but in
 * time in proportion to the buffers. */
static bool place_by_time(lvt_buffers *b, lvt_buffer **begin, lvt_buffer **end, lvt_arena *arena,
                          uint64_t *bytes) {
    gaps g = {.list = lvt_arena_alloc(arena, (b->n + 1u) * sizeof *g.list)};
    if (!g.list)
        return false;
    for (uint32_t i = 0; i < b->n; i++)
        begin[i] = end[i] = &b->list[i];
    qsort(begin, b->n, sizeof *begin, by_begin);
    qsort(end, b->n, sizeof *end, by_end);
    for (uint32_t i = 0, left = 0; i < b->n; i++) {
        for (; end[left]->to < begin[i]->from; left++)
            if (end[left]->bytes)
                give_back(&g, end[left]->offset, end[left]->offset + end[left]->bytes);
        begin[i]->offset = take(&g, begin[i]->bytes);
    }
    *bytes = g.whole;
    return true;
}

bool lvt_buffers_pack(lvt_buffers *b, uint64_t least, lvt_arena *arena, uint64_t *bytes) {
    static const comparison orders[] = {by_size, by_area, by_length};
    enum { N = sizeof orders / sizeof *orders, TURNS = 60, MOST_BUFFERS = 3000 };
    size_t size = (b->n + 1u) * sizeof(lvt_buffer *);
    lvt_buffer **order = lvt_arena_alloc(arena, size), **sorted = lvt_arena_alloc(arena, size);
    lvt_buffer **best = lvt_arena_alloc(arena, size);
    if (!order || !sorted || !best)
        return false;
    if (b->n > MOST_BUFFERS) /* comparing each with each would take minutes */
        return place_by_time(b, order, sorted, arena, bytes);
    *bytes = UINT64_MAX;
    uint64_t enough = least + least / 4096; /* the rest is not worth the time */
    for (int k = 0; k<N && * bytes> enough; k++) {
        for (uint32_t i = 0; i < b->n; i++)
            order[i] = &b->list[i];
        qsort(order, b->n, sizeof *order, orders[k]);
        for (int turn = 0; turn<TURNS && * bytes> enough; turn++) {
            uint64_t whole = place_in_order(order, b->n, sorted);
            if (whole < *bytes) {
                *bytes = whole;
                memcpy(best, order, size);
            }
            if (b->n)
                advance(order, b->n, whole);
        }
    }
    *bytes = place_in_order(best, b->n, sorted);
    return true;
}

static void place_all(planner *p) {
    const lvt_graph *g = p->g;
    for (lvt_value v = 0; v < g->n_values; v++) {
        lvt_place *place = &p->plan->places[v];
        const lvt_place *root = &p->plan->places[p->b.roots[v]];
        const lvt_node *n = lvt_value_node(g, v);
        if (p->b.roots[v] != v) { /* comes after its root: nodes are in order */
            place->kind = root->kind;
            place->index = root->index;
            place->offset += root->offset;
        } else if (n->op == LVT_OP_input || n->op == LVT_OP_state) {
            place->kind = n->op == LVT_OP_input ? LVT_PLACE_INPUT : LVT_PLACE_STATE;
            place->index = (uint32_t)lvt_attr_get(n, "index")->i;
        } else if (n->op == LVT_OP_constant) {
            place->kind = LVT_PLACE_CONSTANT;
            place->index = g->values[v].node;
        } else if (p->b.of[v] != LVT_NONE) {
            place->kind = LVT_PLACE_ARENA;
            place->offset = p->b.list[p->b.of[v]].offset;
        }
    }
}

lvt_graph *lvt_pass_plan(lvt_pass *ctx, const lvt_graph *in) {
    planner p = {.ctx = ctx, .g = in, .plan = ctx->plan};
    if (!lvt_buffers_find(in, ctx->plan, ctx->arena, &p.b) || !place_states(&p))
        return lvt_pass_nomem(ctx);
    uint64_t least = lvt_buffers_peak(&p.b, ctx->plan->n_steps, ctx->arena, NULL, NULL);
    if (least == UINT64_MAX || !lvt_buffers_pack(&p.b, least, ctx->arena, &ctx->plan->arena_bytes))
        return lvt_pass_nomem(ctx);
    place_kept(&p);
    place_all(&p);
    lvt_explain_memory(ctx, &p.b);
    return (lvt_graph *)in;
}
