/* Which nodes become one kernel. See fuse.h.
 *
 * Three steps, each judged by bytes moved: a node joins the groups that make its operands; groups that read
 * the same values are joined; values that can be computed again from what their reader reads anyway are. */
#include "fuse.h"

#include "ir/loop.h"

#include <string.h>

enum {
    MOST_NODES = 128,      /* in one body: what the code generator compiles in tens of milliseconds */
    MOST_COPIED = 24,      /* nodes copied to save one value */
    MOST_LOOKED = 300,     /* operands a node of the graph that the search for cycles looks at, beyond ... */
    FREE_LOOKED = 5000000, /* ... so many; after that groups join only */
    NEAR = 4096,           /* that have fewer groups between them */
    MOST_SIBLINGS = 1000,  /* readers of a value that each of the others is compared with */
    ROUNDS = 3,            /* of copying: what a copy brings along may make the next one free */
    HEAVY = 8,             /* an exp or erf takes as long as so many bytes from memory */
    TRIAL_MEMORY = 1 << 24 /* bytes of tried bodies before the scratch module is renewed */
};

/* The group has this node, its own or a copy. */
static bool has_node(const lvt_group *g, lvt_node_id n) {
    uint32_t low = 0, high = g->n;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (g->nodes[middle] < n)
            low = middle + 1;
        else
            high = middle;
    }
    return low < g->n && g->nodes[low] == n;
}

/* ---- legality ---- */

/* The group that makes the k-th operand of a node; LVT_NONE: nothing has to make it. */
static uint32_t maker(const lvt_fuse *f, const lvt_node *n, uint32_t k) {
    lvt_value s = f->deep[n->operands[k]];
    return s == LVT_NONE ? LVT_NONE : lvt_fuse_home(f, f->in->values[s].node);
}

/* Is there a way from group `low` to group `high` through another group? It would become a cycle when the two
 * are one. Groups are numbered so that each comes after all that it reads (f->order), so only those with
 * numbers in between can be on such a way: a chain is searched in constant time a step. Fills f->before with
 * the groups in between that `high` depends on. */
static bool makes_cycle(lvt_fuse *f, uint32_t low, uint32_t high) {
    const lvt_graph *g = f->in;
    f->now++;
    f->n_before = 0;
    for (uint32_t next = 0, at = high;; at = f->before[next++]) {
        const lvt_group *group = &f->groups[at];
        for (uint32_t i = 0; i < group->n; i++)
            for (uint32_t k = 0; k < g->nodes[group->nodes[i]].n_operands; k++) {
                uint32_t home = maker(f, &g->nodes[group->nodes[i]], k);
                f->looked++;
                if (home == LVT_NONE || home == at || f->order[home] < f->order[low])
                    continue;
                if (home == low && at != high)
                    return true;
                if (home == low || f->stamp[home] == f->now)
                    continue;
                f->stamp[home] = f->now;
                f->before[f->n_before++] = home;
            }
        if (next == f->n_before)
            return false;
    }
}

/* Ascending by key, or by themselves. */
static void sort_by(const uint32_t *key, uint32_t *list, uint32_t n) {
    for (uint32_t gap = n / 2; gap; gap /= 2) /* Shell, "A high-speed sorting procedure", 1959 */
        for (uint32_t i = gap; i < n; i++) {
            uint32_t x = list[i], k = i;
            for (; k >= gap && (key ? key[x] < key[list[k - gap]] : x < list[k - gap]); k -= gap)
                list[k] = list[k - gap];
            list[k] = x;
        }
}

/* Numbers the groups anew where `low` and `high`, of which no way leads to the other through a third one,
 * become one: first what `high` depends on (f->before), then the two, then what depends on `low` (Pearce and
 * Kelly, "A dynamic topological sort algorithm for directed acyclic graphs", 2006). */
static void renumber(lvt_fuse *f, uint32_t low, uint32_t high) {
    const lvt_graph *g = f->in;
    uint32_t n_after = 0, n_places = 0;
    f->now++;
    for (uint32_t next = 0, at = low;; at = f->after[next++]) {
        const lvt_group *group = &f->groups[at];
        for (uint32_t i = 0; i < group->n; i++) {
            lvt_value v = g->nodes[group->nodes[i]].result, end = v + g->nodes[group->nodes[i]].n_results;
            for (; v < end; v++)
                for (uint32_t k = f->offset[v]; k < f->offset[v + 1]; k++) {
                    uint32_t home = lvt_fuse_home(f, f->users[k]);
                    f->looked++;
                    if (home == at || home == high || f->order[home] > f->order[high] ||
                        f->stamp[home] == f->now)
                        continue;
                    f->stamp[home] = f->now;
                    f->after[n_after++] = home;
                }
        }
        if (next == n_after)
            break;
    }
    sort_by(f->order, f->before, f->n_before);
    sort_by(f->order, f->after, n_after);
    f->places[n_places++] = f->order[low];
    f->places[n_places++] = f->order[high];
    for (uint32_t i = 0; i < f->n_before; i++)
        f->places[n_places++] = f->order[f->before[i]];
    for (uint32_t i = 0; i < n_after; i++)
        f->places[n_places++] = f->order[f->after[i]];
    sort_by(NULL, f->places, n_places);
    const uint32_t *place = f->places;
    for (uint32_t i = 0; i < f->n_before; i++)
        f->order[f->before[i]] = *place++;
    f->order[low] = f->order[high] = *place++;
    for (uint32_t i = 0; i < n_after; i++)
        f->order[f->after[i]] = *place++;
}

static bool same_domain(const lvt_group *a, const lvt_group *b) {
    return a->rank == b->rank && !memcmp(a->dim, b->dim, (size_t)a->rank * sizeof *a->dim);
}

/* The domain of `rows` is that of `whole` without its innermost dims: one value a row. */
static bool row_domain(const lvt_group *whole, const lvt_group *rows) {
    return whole->reduces && rows->rank < whole->rank &&
           !memcmp(whole->dim, rows->dim, (size_t)rows->rank * sizeof *rows->dim);
}

static bool renew_scratch(lvt_fuse *f) {
    if (lvt_arena_used(f->scratch->arena) < TRIAL_MEMORY)
        return true;
    lvt_module *fresh = lvt_module_new("scratch");
    if (!fresh)
        return false;
    lvt_module_free(f->scratch);
    f->scratch = fresh;
    return true;
}

static const char *try_body(lvt_fuse *f, const lvt_node_id *nodes, uint32_t n, const lvt_value *outputs,
                            uint32_t n_outputs) {
    uint32_t n_externals;
    size_t room = 1;
    for (uint32_t i = 0; i < n; i++)
        room += f->in->nodes[nodes[i]].n_operands;
    lvt_value *externals = lvt_arena_alloc(f->scratch->arena, room * sizeof *externals);
    lvt_graph *body =
        externals ? lvt_fuse_body(f, f->scratch, nodes, n, outputs, n_outputs, externals, &n_externals)
                  : NULL;
    return body ? lvt_loop_accepts(body) : lvt_loop_no_memory;
}

static lvt_node_id *union_of(lvt_arena *arena, const lvt_group *a, const lvt_group *b, uint32_t *n) {
    lvt_node_id *nodes = lvt_arena_alloc(arena, ((size_t)a->n + b->n) * sizeof *nodes);
    uint32_t i = 0, k = 0;
    *n = 0;
    while (nodes && (i < a->n || k < b->n)) {
        if (k == b->n || (i < a->n && a->nodes[i] <= b->nodes[k])) {
            k += k < b->n && a->nodes[i] == b->nodes[k];
            nodes[(*n)++] = a->nodes[i++];
        } else {
            nodes[(*n)++] = b->nodes[k++];
        }
    }
    return nodes;
}

static const char *no_memory(lvt_fuse *f) {
    f->nomem = true;
    return lvt_loop_no_memory;
}

/* Joins groups a and b if that is legal. NULL when done, else why not (of which no memory is noted). */
static const char *merge(lvt_fuse *f, uint32_t a, uint32_t b) {
    lvt_group *x = &f->groups[a], *y = &f->groups[b];
    bool equal = same_domain(x, y);
    uint32_t n, n_outputs;
    if (!equal && !row_domain(x, y) && !row_domain(y, x))
        return "their shapes differ";
    if (x->n + y->n > MOST_NODES)
        return "the kernel would be too large";
    if ((x->role == LVT_FORWARD) != (y->role == LVT_FORWARD) && (x->large || y->large))
        return "a value of the forward pass would be kept for the backward pass";
    uint32_t low = f->order[a] < f->order[b] ? a : b, high = low == a ? b : a;
    if (f->looked > FREE_LOOKED + (uint64_t)MOST_LOOKED * f->in->n_nodes &&
        f->order[high] - f->order[low] > NEAR)
        return "too much stands between them to be looked through in a model of this size";
    if (makes_cycle(f, low, high))
        return "something between them has to run first";
    if (x->reduces || y->reduces) {
        if (!renew_scratch(f))
            return no_memory(f);
        lvt_node_id *nodes = union_of(f->scratch->arena, x, y, &n);
        lvt_value *outputs = nodes ? lvt_arena_alloc(f->scratch->arena, n * sizeof *outputs) : NULL;
        if (!outputs)
            return no_memory(f);
        n_outputs = lvt_fuse_outputs(f, nodes, n, outputs);
        if (n_outputs) { /* else nobody needs any of it; dce has not run */
            const char *why = try_body(f, nodes, n, outputs, n_outputs);
            if (why)
                return why == lvt_loop_no_memory ? no_memory(f) : why;
        }
    }
    lvt_node_id *nodes = union_of(f->ctx->arena, x, y, &n);
    if (!nodes)
        return no_memory(f);
    renumber(f, low, high);
    lvt_group *to = y->rank > x->rank ? y : x, *from = to == x ? y : x;
    from->into = to->into;
    to->nodes = nodes;
    to->n = n;
    to->reduces |= from->reduces;
    to->role = to->role > from->role ? to->role : from->role;
    return NULL;
}

/* ---- reports ---- */

static void where(lvt_fuse *f, lvt_node_id n) {
    lvt_text_add(f->ctx->explain, "%s", lvt_op_of(&f->in->nodes[n])->name);
    lvt_text_add_place(f->ctx->explain, f->ctx->module, f->in->nodes[n].loc);
}

static void explain_apart(lvt_fuse *f, lvt_node_id producer, lvt_node_id consumer, const char *why) {
    if (!f->ctx->explain || !f->groups[lvt_fuse_home(f, consumer)].large)
        return;
    lvt_text_add(f->ctx->explain, "%s: not fused: ", f->in->name ? f->in->name : "");
    where(f, producer);
    lvt_text_add(f->ctx->explain, " and ");
    where(f, consumer);
    lvt_text_add(f->ctx->explain, ": %s\n", why);
}

/* ---- producers with consumers ---- */

static void join_operands(lvt_fuse *f, lvt_node_id i) {
    const lvt_graph *g = f->in;
    const lvt_node *n = &g->nodes[i];
    for (uint32_t k = 0; k < n->n_operands && !f->nomem; k++) {
        lvt_value s = f->deep[n->operands[k]];
        if (s == LVT_NONE)
            continue;
        lvt_node_id producer = g->values[s].node;
        uint32_t a = lvt_fuse_home(f, producer), b = lvt_fuse_home(f, i);
        if (a == b || !f->groups[a].fusable)
            continue;
        const char *why = merge(f, a, b);
        if (why)
            explain_apart(f, producer, i, why);
    }
}

/* ---- siblings ---- */

/* Groups that read v: each is tried with the first one it can be joined with. A value read by many that are
 * not worth joining (a scalar in large kernels) is passed over, except for updates, which have nothing else
 * in common. */
static void join_readers(lvt_fuse *f, lvt_value v) {
    const lvt_graph *g = f->in;
    int64_t size = lvt_numel(&g->values[v].type);
    for (uint32_t i = f->offset[v]; i < f->offset[v + 1] && !f->nomem; i++) {
        int tries = 0;
        for (uint32_t k = f->offset[v]; k < i && tries < 8 && k - f->offset[v] < MOST_SIBLINGS; k++) {
            uint32_t a = lvt_fuse_home(f, f->users[k]), b = lvt_fuse_home(f, f->users[i]);
            const lvt_group *x = &f->groups[a], *y = &f->groups[b];
            if (a == b)
                break;
            if (!x->fusable || !y->fusable || x->role != y->role || !same_domain(x, y))
                continue;
            int64_t domain = 1;
            for (int d = 0; d < x->rank; d++)
                domain *= x->dim[d];
            if (size < domain && x->large && x->role != LVT_UPDATE)
                continue;
            tries++;
            if (!merge(f, a, b))
                break;
        }
    }
}

/* ---- computing again ---- */

typedef struct cone {
    lvt_node_id nodes[MOST_COPIED];
    uint32_t n;
    lvt_value leaves[2 * MOST_COPIED];
    uint32_t n_leaves;
    int heavy; /* nodes that compute much */
    bool fits;
} cone;

static void add_leaf(cone *c, lvt_value v) {
    for (uint32_t i = 0; i < c->n_leaves; i++)
        if (c->leaves[i] == v)
            return;
    if (c->n_leaves == 2 * MOST_COPIED)
        c->fits = false;
    else
        c->leaves[c->n_leaves++] = v;
}

/* Nodes of group a that v is computed by, back to what others make, to reductions, and to values that are in
 * memory anyway. */
static void cone_of(lvt_fuse *f, uint32_t a, lvt_value v, cone *c) {
    const lvt_graph *g = f->in;
    *c = (cone){.fits = true};
    c->nodes[c->n++] = g->values[v].node;
    for (uint32_t i = 0; i < c->n && c->fits; i++) {
        const lvt_node *n = &g->nodes[c->nodes[i]];
        c->heavy += lvt_loop_heavy(n->op);
        for (uint32_t k = 0; k < n->n_operands && c->fits; k++) {
            lvt_value s = f->deep[n->operands[k]];
            if (s == LVT_NONE)
                continue;
            lvt_node_id p = g->values[s].node;
            bool known = false;
            for (uint32_t j = 0; j < c->n; j++)
                known |= c->nodes[j] == p;
            if (known)
                continue;
            if (!has_node(&f->groups[a], p) || f->hard[s] || lvt_is_reduce(&g->nodes[p]))
                add_leaf(c, s);
            else if (c->n == MOST_COPIED)
                c->fits = false;
            else
                c->nodes[c->n++] = p;
        }
    }
}

static bool reads(const lvt_fuse *f, const lvt_group *b, lvt_value v) {
    if (f->offset[v + 1] - f->offset[v] <= MOST_NODES) {
        for (uint32_t i = f->offset[v]; i < f->offset[v + 1]; i++)
            if (has_node(b, f->users[i]))
                return true;
    } else { /* a value that very many read is looked for in the group */
        for (uint32_t i = 0; i < b->n; i++)
            for (uint32_t k = 0; k < f->in->nodes[b->nodes[i]].n_operands; k++)
                if (f->deep[f->in->nodes[b->nodes[i]].operands[k]] == v)
                    return true;
    }
    return has_node(b, f->in->values[v].node);
}

/* Bytes that group b reads more (or, negative, less) when it computes the cone itself; computing much counts
 * as reading. */
static double extra_bytes(const lvt_fuse *f, const lvt_group *b, lvt_value v, const cone *c) {
    const lvt_type *t = &f->in->values[v].type;
    double bytes = (double)HEAVY * c->heavy * (double)lvt_numel(t) - (double)lvt_type_bytes(t);
    for (uint32_t i = 0; i < c->n_leaves; i++)
        if (!reads(f, b, c->leaves[i]))
            bytes += (double)lvt_type_bytes(&f->in->values[c->leaves[i]].type);
    return bytes;
}

static bool insert(lvt_fuse *f, lvt_group *b, const cone *c) {
    lvt_node_id sorted[MOST_COPIED];
    uint32_t n = c->n;
    memcpy(sorted, c->nodes, n * sizeof *sorted);
    for (uint32_t i = 1; i < n; i++)
        for (uint32_t k = i; k && sorted[k] < sorted[k - 1]; k--) {
            lvt_node_id t = sorted[k];
            sorted[k] = sorted[k - 1];
            sorted[k - 1] = t;
        }
    lvt_group copied = {.nodes = sorted, .n = n};
    lvt_node_id *nodes = union_of(f->ctx->arena, b, &copied, &n);
    if (!nodes)
        return false;
    b->nodes = nodes;
    b->n = n;
    return true;
}

/* Group b, the cone included, can be one loop nest. */
static bool fits_in(lvt_fuse *f, uint32_t b, const cone *c) {
    lvt_group trial = f->groups[b];
    if (trial.n + c->n > MOST_NODES)
        return false;
    f->nomem |= !renew_scratch(f) || !insert(f, &trial, c);
    lvt_value *outputs = f->nomem ? NULL : lvt_arena_alloc(f->scratch->arena, trial.n * sizeof *outputs);
    if (!outputs)
        return f->nomem = true, false;
    uint32_t n_outputs = 0;
    for (uint32_t i = 0; i < trial.n; i++) { /* its own values that it gives to others */
        lvt_value v = f->in->nodes[trial.nodes[i]].result;
        bool out = f->hard[v];
        for (uint32_t k = f->offset[v]; k < f->offset[v + 1] && !out; k++)
            out = !has_node(&trial, f->users[k]);
        if (out && lvt_fuse_home(f, trial.nodes[i]) == b)
            outputs[n_outputs++] = v;
    }
    const char *why = n_outputs ? try_body(f, trial.nodes, trial.n, outputs, n_outputs) : "";
    f->nomem |= why == lvt_loop_no_memory;
    return !why;
}

static bool copy_producer(lvt_fuse *f, lvt_node_id i, bool *copied) {
    enum { MOST_READERS = 8 };
    const lvt_graph *g = f->in;
    const lvt_node *n = &g->nodes[i];
    uint32_t a = lvt_fuse_home(f, i), readers[MOST_READERS], n_readers = 0;
    lvt_value v = n->result;
    if (!f->groups[a].fusable || !f->groups[a].large || lvt_is_reduce(n))
        return true;
    for (uint32_t k = f->offset[v]; k < f->offset[v + 1]; k++) {
        uint32_t b = lvt_fuse_home(f, f->users[k]);
        bool known = b == a || !f->groups[b].fusable || has_node(&f->groups[b], i);
        for (uint32_t j = 0; j < n_readers; j++)
            known |= readers[j] == b;
        if (!known && n_readers == MOST_READERS)
            return true;
        if (!known)
            readers[n_readers++] = b;
    }
    if (!n_readers)
        return true;
    cone c;
    cone_of(f, a, v, &c);
    if (!c.fits)
        return true;
    double bytes = f->hard[v] ? 0 : -(double)lvt_type_bytes(&g->values[v].type);
    for (uint32_t j = 0; j < n_readers; j++)
        bytes += extra_bytes(f, &f->groups[readers[j]], v, &c);
    if (bytes >= 0)
        return true;
    for (uint32_t j = 0; j < n_readers; j++)
        if (!fits_in(f, readers[j], &c))
            return true;
    for (uint32_t j = 0; j < n_readers; j++)
        if (!insert(f, &f->groups[readers[j]], &c))
            return false;
    *copied = true;
    return true;
}

bool lvt_fuse_cluster(lvt_fuse *f) {
    const lvt_graph *g = f->in;
    for (lvt_node_id i = 0; i < g->n_nodes && !f->nomem; i++)
        if (f->groups[i].fusable)
            join_operands(f, i);
    for (lvt_value v = 0; v < g->n_values && !f->nomem; v++)
        if (f->deep[v] == v)
            join_readers(f, v);
    bool copied = true;
    for (int round = 0; round < ROUNDS && copied; round++) {
        copied = false;
        for (lvt_node_id i = g->n_nodes; i-- > 0 && !f->nomem;)
            if (f->groups[i].fusable)
                f->nomem |= !copy_producer(f, i, &copied);
    }
    if (f->nomem)
        lvt_pass_nomem(f->ctx);
    return !f->nomem;
}
