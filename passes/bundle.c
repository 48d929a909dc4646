/* Pass bundle: small steps wait until something needs them, and those that do not depend on each other then
 * run together, in one parallel region: all parameters' updates, the sums of squares of all gradients, the
 * statistics of several norms. Each alone is too small for more than one thread or costs less than starting
 * it.
 *
 * A step is small when all it reads and writes is: what it keeps alive by waiting is little, and nothing is
 * lost when it has left the caches by then. Large ones stay where they are and join what they stand beside.
 * Invariant: no step overtakes one that makes what it reads or that reads the old value of a state it
 * replaces; the arena does not grow. May not know: kernels, addresses. */
#include "buffers.h"
#include "rewrite.h"

#include <stdlib.h>
#include <string.h>

typedef struct bundler {
    const lvt_graph *g;
    const lvt_plan *plan;
    lvt_arena *arena;
    uint32_t first, n;         /* steps first .. first + n - 1 of the plan, numbered from 0 here */
    uint32_t *offset, *before; /* step i comes after the steps before[offset[i] .. offset[i + 1]) */
    uint32_t *starts, *after;  /* the other way round */
    uint32_t *missing;         /* by step: so many of those before it have not run */
    uint32_t *ready, n_ready;  /* steps that wait but could run */
    uint64_t *bytes;           /* by step: that it reads and writes */
    bool *shares;              /* by step: its kernel consists of chunks */
    uint32_t *order, *done;    /* the new order; by step: its place in it + 1, 0 while it waits */
    bool *joined;              /* by place in the order */
} bundler;

/* Kernels of the jit family that consist of chunks: all but attention. What else may be here (a step of
 * another family) would run alone, as before. */
static bool consists_of_chunks(const lvt_graph *g, const lvt_step *s) {
    int op = g->nodes[s->node].op;
    return s->family == LVT_FAMILY_JIT && op != LVT_OP_attention && op != LVT_OP_attention_grad;
}

static uint64_t touched(const lvt_graph *g, const lvt_node *n) {
    uint64_t bytes = 0;
    for (uint32_t k = 0; k < n->n_operands; k++)
        bytes += lvt_type_bytes(&g->values[n->operands[k]].type);
    for (uint32_t k = 0; k < n->n_results; k++)
        bytes += lvt_type_bytes(&g->values[n->result + k].type);
    return bytes;
}

/* Which steps each has to come after. */
static bool find_order(bundler *b) {
    const lvt_graph *g = b->g;
    lvt_arena *a = b->arena;
    uint32_t total = 0, *maker = lvt_arena_alloc(a, (g->n_nodes + 1u) * sizeof *maker);
    uint32_t n_states = g->module->n_states, *writer = lvt_arena_alloc(a, (n_states + 1u) * sizeof *writer);
    lvt_value *roots = lvt_plan_roots(g, a);
    if (!maker || !writer || !roots)
        return false;
    for (uint32_t i = 0; i < b->n; i++)
        maker[b->plan->steps[b->first + i].node] = i + 1;
    for (uint32_t i = 0; i < g->n_updates; i++)
        writer[g->updates[i].state] = maker[g->values[roots[g->updates[i].value]].node];
    for (int pass = 0; pass < 2; pass++) { /* counts, then fills */
        for (uint32_t i = 0; i < b->n; i++) {
            const lvt_node *n = &g->nodes[b->plan->steps[b->first + i].node];
            for (uint32_t k = 0; k < n->n_operands; k++) {
                const lvt_node *from = lvt_value_node(g, roots[n->operands[k]]);
                uint32_t made = maker[g->values[roots[n->operands[k]]].node], from_step = made - 1, to = i;
                if (from->op == LVT_OP_state) { /* who replaces it comes after this, if it does now */
                    made = writer[lvt_attr_get(from, "index")->i];
                    from_step = i;
                    to = made - 1;
                    if (!made || to <= i)
                        continue;
                }
                if (!made)
                    continue;
                if (pass)
                    b->before[b->offset[to + 1]++] = from_step;
                else
                    b->offset[to + 2]++, total++;
            }
        }
        for (uint32_t i = 2; i < b->n + 2 && !pass; i++)
            b->offset[i] += b->offset[i - 1];
        if (!pass && !(b->before = lvt_arena_alloc(a, (total + 1u) * sizeof *b->before)))
            return false;
    }
    return true;
}

static bool find_followers(bundler *b) {
    b->after = lvt_arena_alloc(b->arena, (b->offset[b->n] + 1u) * sizeof *b->after);
    if (!b->after)
        return false;
    for (uint32_t k = 0; k < b->offset[b->n]; k++)
        b->starts[b->before[k] + 2]++;
    for (uint32_t i = 2; i < b->n + 2; i++)
        b->starts[i] += b->starts[i - 1];
    for (uint32_t i = 0; i < b->n; i++)
        for (uint32_t k = b->offset[i]; k < b->offset[i + 1]; k++)
            b->after[b->starts[b->before[k] + 1]++] = i;
    return true;
}

static bool begin(bundler *b) {
    lvt_arena *a = b->arena;
    size_t n = b->n + 3u;
    b->offset = lvt_arena_alloc(a, n * sizeof *b->offset);
    b->bytes = lvt_arena_alloc(a, n * sizeof *b->bytes);
    b->shares = lvt_arena_alloc(a, n);
    b->order = lvt_arena_alloc(a, n * sizeof *b->order);
    b->done = lvt_arena_alloc(a, n * sizeof *b->done);
    b->joined = lvt_arena_alloc(a, n);
    b->starts = lvt_arena_alloc(a, n * sizeof *b->starts);
    b->missing = lvt_arena_alloc(a, n * sizeof *b->missing);
    b->ready = lvt_arena_alloc(a, n * sizeof *b->ready);
    if (!b->starts || !b->missing || !b->ready || !b->offset || !b->bytes || !b->shares || !b->order ||
        !b->done || !b->joined)
        return false;
    for (uint32_t i = 0; i < b->n; i++) {
        const lvt_step *s = &b->plan->steps[b->first + i];
        b->bytes[i] = touched(b->g, &b->g->nodes[s->node]);
        b->shares[i] = consists_of_chunks(b->g, s);
    }
    return find_order(b) && find_followers(b);
}

/* The step takes its place; those after it that have come (all before `came`) and wait for nothing else are
 * ready. */
static void run(bundler *b, uint32_t step, uint32_t place, uint32_t came) {
    b->order[place] = step;
    b->done[step] = place + 1;
    for (uint32_t k = b->starts[step]; k < b->starts[step + 1]; k++)
        if (!--b->missing[b->after[k]] && b->after[k] < came)
            b->ready[b->n_ready++] = b->after[k];
}

static int by_number(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Everything that waits and could run now, in the order in which it came. Returns how many steps have run. */
static uint32_t release(bundler *b, uint32_t n, uint32_t came) {
    uint32_t count = b->n_ready, *list = b->order + n;
    memcpy(list, b->ready, count * sizeof *list);
    qsort(list, count, sizeof *list, by_number);
    b->n_ready = 0;
    for (uint32_t end = n + count; n < end; n++)
        run(b, b->order[n], n, came);
    return n;
}

/* The order in which steps that touch up to `small` bytes wait. */
static void order_steps(bundler *b, uint64_t small) {
    uint32_t n = 0;
    memset(b->done, 0, b->n * sizeof *b->done);
    b->n_ready = 0;
    for (uint32_t i = 0; i < b->n; i++)
        b->missing[i] = b->offset[i + 1] - b->offset[i];
    for (uint32_t i = 0; i < b->n; i++) {
        if (b->shares[i] && b->bytes[i] <= small) {
            if (!b->missing[i])
                b->ready[b->n_ready++] = i;
            continue;
        }
        while (b->missing
                   [i]) /* at least one step runs each time: the first that waits depends on none that does */
            n = release(b, n, i);
        run(b, i, n++, i);
    }
    while (n < b->n)
        n = release(b, n, b->n);
}

/* Joins neighbours that do not depend on each other; those above `large` bytes to nobody. Returns the number
 * of bundles. */
static uint32_t join_steps(bundler *b, uint64_t large) {
    uint32_t first = 0, bundles = 0; /* of the bundle at hand */
    for (uint32_t at = 0; at < b->n; at++) {
        uint32_t step = b->order[at];
        bool joins = at && b->shares[step] && b->shares[b->order[at - 1]] && b->bytes[step] <= large &&
                     b->bytes[b->order[at - 1]] <= large;
        for (uint32_t k = b->offset[step]; k < b->offset[step + 1] && joins; k++)
            joins = b->done[b->before[k]] - 1 < first;
        b->joined[at] = joins;
        bundles += joins && at == first + 1;
        first = joins ? first : at;
    }
    return bundles;
}

/* Bytes the arena needs with the plan's steps; UINT64_MAX: out of memory. */
static uint64_t arena_of(const lvt_pass *ctx, const bundler *b, const lvt_plan *plan) {
    lvt_buffers buffers;
    uint64_t bytes = UINT64_MAX;
    if (!lvt_buffers_find(b->g, plan, b->arena, &buffers))
        return UINT64_MAX;
    uint64_t peak = lvt_buffers_peak(&buffers, plan->n_steps, b->arena, NULL, NULL);
    if (!ctx->memory_budget || peak == UINT64_MAX)
        return peak;
    return lvt_buffers_pack(&buffers, peak, b->arena, &bytes) ? bytes
                                                              : UINT64_MAX; /* what the budget is of */
}

lvt_graph *lvt_pass_bundle(lvt_pass *ctx, const lvt_graph *in) {
    /* Bytes up to which steps wait and join: the first row that costs no memory. */
    static const struct {
        uint64_t wait, join;
    } tries[] = {{1 << 18, UINT64_MAX},
                 {1 << 15, UINT64_MAX},
                 {1 << 12, UINT64_MAX},
                 {0, UINT64_MAX},
                 {1 << 12, 1 << 12}};
    enum { N = sizeof tries / sizeof *tries };
    lvt_plan *p = ctx->plan, tried = *p;
    bundler b = {in, p, ctx->arena, p->n_prologue, p->n_steps - p->n_prologue, 0};
    tried.steps = lvt_arena_alloc(ctx->module->arena, (p->n_steps + 1u) * sizeof *tried.steps);
    if (!tried.steps || !begin(&b))
        return lvt_pass_nomem(ctx);
    uint64_t before = arena_of(ctx, &b, p);
    for (int i = 0; i < N && before != UINT64_MAX; i++) {
        uint32_t joined = 0;
        order_steps(&b, tries[i].wait);
        uint32_t bundles = join_steps(&b, tries[i].join);
        memcpy(tried.steps, p->steps, p->n_prologue * sizeof *tried.steps);
        for (uint32_t k = 0; k < b.n; k++) {
            lvt_step *s = &tried.steps[b.first + k];
            *s = p->steps[b.first + b.order[k]];
            s->joined = b.joined[k];
            joined += s->joined;
        }
        uint64_t now = arena_of(ctx, &b, &tried);
        if (now == UINT64_MAX)
            return lvt_pass_nomem(ctx);
        if (now > before + (ctx->memory_budget ? 0 : before >> 10)) /* a thousandth does not count */
            continue;
        p->steps = tried.steps;
        lvt_text_add(ctx->explain, "%s: %u steps run together in %u bundles\n", in->name ? in->name : "",
                     joined + bundles, bundles);
        return (lvt_graph *)in;
    }
    if (before == UINT64_MAX)
        return lvt_pass_nomem(ctx);
    lvt_text_add(ctx->explain, "%s: no bundles: they would need more memory\n", in->name ? in->name : "");
    return (lvt_graph *)in;
}
