/* Values that share memory: the part of the verifier of plans (verify.h) that compares their times.
 *
 * Invariant: relies on every check of verify.c. Shares no code with the passes that make plans. May
 * not know: how a plan is found, how a kernel works beyond loop.h. */
#include "ir/loop.h"
#include "verify.h"

#include <stdlib.h>
#include <string.h>

typedef lvt_plan_checker checker;

/* Elements of a fused step's iteration space, 0 when its body has no loop form. */
static int64_t domain_size(checker *c, const lvt_node *n) {
    lvt_loop loop;
    if (n->op != LVT_OP_fused)
        return lvt_op_of(n)->kind == LVT_KIND_POINTWISE ? lvt_numel(type_of(c, n->result)) : 0;
    lvt_arena *arena = lvt_arena_new();
    int64_t size = 0;
    const char *why = arena ? lvt_loop_analyse(n->body, arena, &loop) : lvt_loop_no_memory;
    if (why) {
        c->no_memory |= why == lvt_loop_no_memory;
    } else {
        size = 1;
        for (int i = 0; i < loop.rank; i++)
            size *= loop.dim[i];
    }
    lvt_arena_free(arena);
    return size;
}

/* Whether the step that writes `result` may do so over `old` (a root that it reads for the last time): every
 * operand in that memory is read at just the element that is written, and the two cover the same bytes. For
 * states several nodes may stand for the old value, hence the comparison by place. */
static bool may_replace(checker *c, lvt_value result, const lvt_place *old, uint64_t old_bytes) {
    const lvt_node *n = lvt_value_node(c->g, result);
    const lvt_place *p = place(c, result);
    if (p->offset != old->offset || c->bytes[result] != old_bytes ||
        lvt_numel(type_of(c, result)) != domain_size(c, n))
        return false;
    for (uint32_t k = 0; k < n->n_operands; k++) {
        lvt_value o = n->operands[k];
        const lvt_place *q = place(c, o);
        if (q->kind != p->kind || q->index != p->index || q->offset >= p->offset + c->bytes[result] ||
            p->offset >= q->offset + c->bytes[o])
            continue; /* elsewhere */
        if (!lvt_shape_equal(type_of(c, o), type_of(c, result)) || !same_place(c, o, p) ||
            lvt_dtype_size((lvt_dtype)type_of(c, o)->dtype) !=
                lvt_dtype_size((lvt_dtype)type_of(c, result)->dtype))
            return false;
    }
    return true;
}

/* What the steps of bundles read, sorted by bundle, memory and offset, so that a question does not go through
 * all steps of a bundle: there may be thousands, each asking. */
typedef struct read {
    uint32_t bundle, kind, index, step;
    uint64_t begin, end;
    uint64_t furthest; /* the largest `end` of this and those before it of the same memory and bundle */
} read;

typedef struct reads {
    read *list;
    size_t n;
} reads;

static int by_memory(const read *a, const read *b) {
    if (a->bundle != b->bundle)
        return a->bundle < b->bundle ? -1 : 1;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}

static int by_begin(const void *a, const void *b) {
    const read *x = a, *y = b;
    int order = by_memory(x, y);
    return order ? order : x->begin != y->begin ? (x->begin < y->begin ? -1 : 1) : 0;
}

static bool find_reads(const checker *c, reads *out) {
    size_t n = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t s = 0; s < c->plan->n_steps; s++) {
            const lvt_node *node = &c->g->nodes[c->plan->steps[s].node];
            for (uint32_t k = 0; c->first[s] != c->final[s] && k < node->n_operands; k++) {
                const lvt_place *q = place(c, node->operands[k]);
                if (pass)
                    out->list[out->n++] = (read){.bundle = c->first[s],
                                                 .kind = q->kind,
                                                 .index = q->index,
                                                 .step = s,
                                                 .begin = q->offset,
                                                 .end = q->offset + c->bytes[node->operands[k]]};
                else
                    n++;
            }
        }
        if (!pass && !(out->list = lvt_arena_alloc(c->scratch, (n + 1) * sizeof *out->list)))
            return false;
    }
    qsort(out->list, n, sizeof *out->list, by_begin);
    for (size_t i = 0; i < n; i++) {
        read *r = &out->list[i];
        bool same = i && !by_memory(r - 1, r);
        r->furthest = same && r[-1].furthest > r->end ? r[-1].furthest : r->end;
    }
    return true;
}

/* Another step of the bundle reads memory that `result` is written to. */
static bool read_beside(const checker *c, const reads *r, lvt_value result) {
    const lvt_place *p = place(c, result);
    uint32_t step = (uint32_t)c->defined[result];
    read key = {
        .bundle = c->first[step], .kind = p->kind, .index = p->index, .begin = p->offset + c->bytes[result]};
    size_t low = 0, high = r->n;
    while (low < high) { /* those before `low` begin before the result ends */
        size_t middle = low + (high - low) / 2;
        if (by_begin(&r->list[middle], &key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low > 0 && !by_memory(&r->list[low - 1], &key) && r->list[low - 1].furthest > p->offset; low--)
        if (r->list[low - 1].step != step && r->list[low - 1].end > p->offset)
            return true;
    return false;
}

static void check_states(checker *c, const reads *r) {
    for (uint32_t s = 0; s < c->m->n_states; s++) {
        lvt_value fresh = c->in_place[s];
        if (fresh == LVT_NONE || c->old_last[s] < (int64_t)c->first[c->defined[fresh]])
            continue;
        lvt_place old = {.kind = LVT_PLACE_STATE, .index = s};
        if (c->old_last[s] > c->defined[fresh])
            PROBLEM(c, fresh, "E629",
                    VALUE_FORMAT "is written over @%s in step %lld, but step %lld reads the old value",
                    VALUE_ARGS(c, fresh), c->m->states[s].name, (long long)c->defined[fresh],
                    (long long)c->old_last[s]);
        else if (read_beside(c, r, fresh))
            PROBLEM(c, fresh, "E629",
                    VALUE_FORMAT "is written over @%s beside a step of its bundle that reads the old value",
                    VALUE_ARGS(c, fresh), c->m->states[s].name);
        else if (!may_replace(c, fresh, &old, lvt_type_bytes(&c->m->states[s].type)))
            PROBLEM(c, fresh, "E629",
                    VALUE_FORMAT "is written over @%s while its old value is read out of order",
                    VALUE_ARGS(c, fresh), c->m->states[s].name);
    }
}

/* Roots that are alive in the arena, by offset; no two of them overlap. */
typedef struct alive {
    lvt_value *values;
    size_t n;
} alive;

/* Index of the first that ends after `offset`. */
static size_t find(const checker *c, const alive *a, uint64_t offset) {
    size_t low = 0, high = a->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (place(c, a->values[middle])->offset + c->bytes[a->values[middle]] <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void leave(const checker *c, alive *a, lvt_value v) {
    size_t i = find(c, a, place(c, v)->offset);
    if (i < a->n && a->values[i] == v) {
        memmove(a->values + i, a->values + i + 1, (a->n - i - 1) * sizeof *a->values);
        a->n--;
    }
}

static void enter(checker *c, alive *a, lvt_value v) {
    const lvt_place *p = place(c, v);
    size_t i = find(c, a, p->offset);
    if (i < a->n && place(c, a->values[i])->offset < p->offset + c->bytes[v]) {
        lvt_value other = a->values[i];
        PROBLEM(c, v, "E630",
                VALUE_FORMAT
                "step %lld writes bytes %llu to %llu of the arena, where %%%u is needed until step %lld",
                VALUE_ARGS(c, v), (long long)c->defined[v], (unsigned long long)p->offset,
                (unsigned long long)(p->offset + c->bytes[v]), other, (long long)c->last[other]);
        return;
    }
    memmove(a->values + i + 1, a->values + i, (a->n - i) * sizeof *a->values);
    a->values[i] = v;
    a->n++;
}

/* Walks the bundles with the set of live buffers: what a step writes must not touch any of them. */
static bool check_arena(checker *c, const reads *r) {
    uint32_t n_steps = c->plan->n_steps;
    alive a = {lvt_arena_alloc(c->scratch, c->g->n_values * sizeof *a.values + 1), 0};
    /* ends[t] .. ends[t + 1] of `ending`: roots whose last read is in step t */
    uint32_t *ends = lvt_arena_alloc(c->scratch, ((size_t)n_steps + 3) * sizeof *ends);
    lvt_value *ending = lvt_arena_alloc(c->scratch, c->g->n_values * sizeof *ending + 1);
    if (!a.values || !ends || !ending)
        return false;
    for (lvt_value v = 0; v < c->g->n_values; v++)
        if (c->root[v] == v && place(c, v)->kind == LVT_PLACE_ARENA)
            ends[c->last[v] + 2]++;
    for (uint32_t t = 1; t < n_steps + 3; t++)
        ends[t] += ends[t - 1];
    for (lvt_value v = 0; v < c->g->n_values; v++)
        if (c->root[v] == v && place(c, v)->kind == LVT_PLACE_ARENA)
            ending[ends[c->last[v] + 1]++] = v;
    uint32_t left = 0; /* so many of `ending` are */
    for (uint32_t t = 0; t < n_steps; t++) {
        const lvt_node *n = &c->g->nodes[c->plan->steps[t].node];
        for (; !c->plan->steps[t].joined && left < ends[t]; left++)
            leave(c, &a, ending[left]); /* last read before step t */
        for (lvt_value v = n->result; v < n->result + n->n_results; v++) {
            if (place(c, v)->kind != LVT_PLACE_ARENA)
                continue;
            for (uint32_t k = 0; k < n->n_operands; k++) {
                lvt_value old = c->root[n->operands[k]];
                if (place(c, old)->kind == LVT_PLACE_ARENA && place(c, old)->offset == place(c, v)->offset &&
                    c->last[old] == t && may_replace(c, v, place(c, old), c->bytes[old]) &&
                    !read_beside(c, r, v))
                    leave(c, &a, old);
            }
            enter(c, &a, v);
        }
    }
    return true;
}

static int by_offset(const void *a, const void *b) {
    const uint64_t *x = a, *y = b;
    return x[0] < y[0] ? -1 : x[0] > y[0];
}

/* Kept values live for ever: no two of them may touch. False when out of memory. */
static bool check_kept(checker *c) {
    typedef uint64_t range[3]; /* begin, end, value */
    range *all = lvt_arena_alloc(c->scratch, (c->g->n_values + (size_t)1) * sizeof *all);
    size_t n = 0;
    if (!all)
        return false;
    for (lvt_value v = 0; v < c->g->n_values; v++) {
        if (c->root[v] != v || place(c, v)->kind != LVT_PLACE_KEPT)
            continue;
        all[n][0] = place(c, v)->offset;
        all[n][1] = place(c, v)->offset + c->bytes[v];
        all[n++][2] = v;
    }
    qsort(all, n, sizeof *all, by_offset);
    for (size_t i = 1; i < n; i++) {
        lvt_value v = (lvt_value)all[i][2], other = (lvt_value)all[i - 1][2];
        if (all[i][0] < all[i - 1][1])
            PROBLEM(c, v, "E630", VALUE_FORMAT "shares kept memory with %%%u", VALUE_ARGS(c, v), other);
    }
    return true;
}

bool lvt_check_overlap(lvt_plan_checker *c) {
    reads r = {0};
    if (!find_reads(c, &r))
        return false;
    check_states(c, &r);
    return check_kept(c) && check_arena(c, &r);
}
