/* Pass unify-shapes: chains of pointwise ops and reductions, which the products around them leave in several
 * shapes of the same elements ([B*N, C] and [B, N, C]), get one shape, so that fusion sees them as one loop
 * nest.
 *
 * How: nodes that pass all their elements to each other, directly or through reshapes, form a component; its
 * shape is the coarsest that all others are coarser than, and the nodes with a coarser one are built again.
 * Invariant: only reshapes come and go; the elements and their order stay. May not know: kernels. */
#include "simplify.h"

#include <string.h>

typedef struct shaper {
    lvt_simplify s;
    uint32_t *parent; /* by node: components */
    lvt_type *shape;  /* by component: dims without those of size 1 */
    uint8_t *state;   /* by component: 0 nothing seen, 1 shape is right, 2 there is no common shape */
} shaper;

static bool shapeable(const lvt_node *n) {
    return (lvt_is_pointwise(n) || n->op == LVT_OP_cast || lvt_is_reduce(n)) && n->n_results == 1;
}

static const lvt_type *domain(const lvt_graph *g, const lvt_node *n) {
    return &g->values[lvt_is_reduce(n) ? n->operands[0] : n->result].type;
}

static uint32_t find(shaper *p, uint32_t i) {
    while (p->parent[i] != i)
        i = p->parent[i] = p->parent[p->parent[i]];
    return i;
}

static lvt_type without_units(const lvt_type *t) {
    lvt_type u = {.dtype = LVT_F32};
    for (int i = 0; i < t->rank; i++)
        if (t->dim[i] != 1)
            u.dim[u.rank++] = t->dim[i];
    return u;
}

/* The coarsest shape both are coarser than; false when dims overlap, or are too many. */
static bool refine(const lvt_type *a, const lvt_type *b, lvt_type *out) {
    lvt_type r = {.dtype = LVT_F32};
    int i = 0, j = 0;
    int64_t x = 1, y = 1; /* what is left of the dims at hand */
    for (;;) {
        if (x == 1 && i < a->rank)
            x = a->dim[i++];
        if (y == 1 && j < b->rank)
            y = b->dim[j++];
        if (x == 1 || y == 1)
            break;
        int64_t step = x < y ? x : y;
        if (x % step || y % step || r.rank == LVT_MAX_RANK)
            return false;
        r.dim[r.rank++] = step;
        x /= step;
        y /= step;
    }
    *out = r;
    return x == 1 && y == 1;
}

static void find_components(shaper *p) {
    const lvt_graph *g = p->s.r.in;
    for (lvt_node_id i = 0; i < g->n_nodes; i++)
        p->parent[i] = i;
    for (lvt_node_id i = 0; i < g->n_nodes; i++) {
        const lvt_node *n = &g->nodes[i];
        if (!shapeable(n))
            continue;
        for (uint32_t k = 0; k < n->n_operands; k++) {
            lvt_value v = n->operands[k];
            while (lvt_is_op(g, v, LVT_OP_reshape))
                v = lvt_value_node(g, v)->operands[0];
            const lvt_node *maker = lvt_value_node(g, v);
            if (maker->op != LVT_OP_constant && maker->op != LVT_OP_iota && maker->op != LVT_OP_broadcast &&
                !lvt_is_reduce(maker))
                p->parent[find(p, i)] = find(p, g->values[v].node);
        }
    }
    for (lvt_node_id i = 0; i < g->n_nodes; i++) {
        if (!shapeable(&g->nodes[i]))
            continue;
        uint32_t c = find(p, i);
        lvt_type t = without_units(domain(g, &g->nodes[i]));
        if (!p->state[c]) {
            p->shape[c] = t;
            p->state[c] = 1;
        } else if (p->state[c] == 1 && !refine(&p->shape[c], &t, &p->shape[c])) {
            p->state[c] = 2;
        }
    }
}

/* Dims of the component's shape that make up each dim of t: those of dim i are first[i] .. first[i + 1]. */
static void match(const lvt_type *t, const lvt_type *shape, int first[LVT_MAX_RANK + 1]) {
    int j = 0;
    for (int i = 0; i < t->rank; i++) {
        first[i] = j;
        for (int64_t left = t->dim[i]; left > 1; j++)
            left /= shape->dim[j];
    }
    first[t->rank] = j;
}

/* Operand x of domain t, in the component's shape. */
static lvt_value reshaped(shaper *p, lvt_value x, const lvt_type *t, const lvt_type *shape,
                          const int *first) {
    lvt_rewrite *r = &p->s.r;
    const lvt_node *maker = lvt_value_node(r->out, x);
    double c;
    if (lvt_is_splat(r->out, x, &c)) {
        lvt_type full = *shape;
        full.dtype = r->out->values[x].type.dtype;
        return lvt_splat(&r->b, &full, c);
    }
    if (maker->op == LVT_OP_iota) {
        int axis = (int)lvt_attr_get(maker, "axis")->i;
        if (first[axis + 1] - first[axis] == 1) {
            lvt_named_attr attrs[] = {{"dtype", lvt_attr_dtype((lvt_dtype)r->out->values[x].type.dtype)},
                                      {"shape", lvt_attr_ints(shape->dim, shape->rank)},
                                      {"axis", lvt_attr_int(first[axis])}};
            return lvt_build(&r->b, LVT_OP_iota, 0, NULL, 3, attrs);
        }
    }
    if (maker->op == LVT_OP_broadcast) {
        /* Each dim of what is repeated is whole, and is split likewise, or of size 1. */
        lvt_value small = maker->operands[0];
        const lvt_type *s = &r->out->values[small].type;
        int skip = t->rank - s->rank;
        int64_t dims[LVT_MAX_RANK];
        for (int i = 0; i < t->rank; i++)
            for (int j = first[i]; j < first[i + 1]; j++)
                dims[j] = i >= skip && s->dim[i - skip] == t->dim[i] ? shape->dim[j] : 1;
        int from = s->rank ? first[skip] : shape->rank;
        small = lvt_rewrite_reshape(&p->s.r, small, shape->rank - from, dims + from);
        return lvt_build_broadcast(&r->b, small, shape->rank, shape->dim);
    }
    return lvt_rewrite_reshape(&p->s.r, x, shape->rank, shape->dim);
}

static lvt_value rebuild(shaper *p, const lvt_node *n, const lvt_type *shape) {
    lvt_rewrite *r = &p->s.r;
    const lvt_type *t = domain(r->in, n), *to = &r->in->values[n->result].type;
    lvt_value operands[3], y;
    int first[LVT_MAX_RANK + 1];
    match(t, shape, first);
    for (uint32_t k = 0; k < n->n_operands; k++)
        operands[k] = reshaped(p, r->map[n->operands[k]], t, shape, first);
    if (lvt_is_reduce(n)) {
        uint32_t mask = lvt_reduce_mask(r->in, n);
        int64_t axes[LVT_MAX_RANK];
        int n_axes = 0;
        for (int i = 0; i < t->rank; i++)
            for (int j = first[i]; j < first[i + 1]; j++)
                if (mask & (1u << i))
                    axes[n_axes++] = j;
        if (!n_axes)
            return LVT_NONE;
        y = lvt_build_reduce(&r->b, (lvt_op)n->op, operands[0], n_axes, axes, to->rank == t->rank);
    } else if (n->op == LVT_OP_cast) {
        y = lvt_build_cast(&r->b, operands[0], (lvt_dtype)to->dtype);
    } else {
        y = lvt_build(&r->b, (lvt_op)n->op, n->n_operands, operands, 0, NULL);
    }
    return y == LVT_NONE ? y : lvt_rewrite_reshape(&p->s.r, y, to->rank, to->dim);
}

lvt_graph *lvt_pass_unify_shapes(lvt_pass *ctx, const lvt_graph *in) {
    shaper p = {0};
    if (!lvt_rewrite_begin(&p.s.r, ctx, in))
        return NULL;
    p.parent = lvt_arena_alloc(ctx->arena, (in->n_nodes + 1u) * sizeof *p.parent);
    p.shape = lvt_arena_alloc(ctx->arena, (in->n_nodes + 1u) * sizeof *p.shape);
    p.state = lvt_arena_alloc(ctx->arena, in->n_nodes + 1u);
    if (!p.parent || !p.shape || !p.state || !lvt_graph_uses(in, ctx->arena, &p.s.uses))
        return lvt_pass_nomem(ctx);
    find_components(&p);
    for (lvt_node_id i = 0; i < in->n_nodes && !p.s.r.out->failed; i++) {
        const lvt_node *n = &in->nodes[i];
        lvt_value v = LVT_NONE;
        lvt_rewrite_at(&p.s.r, i);
        const lvt_type *to = &in->values[n->result].type;
        if (n->op == LVT_OP_reshape)
            v = lvt_rewrite_reshape(&p.s.r, p.s.r.map[n->operands[0]], to->rank, to->dim);
        else if (shapeable(n) && n->n_operands <= 3) {
            uint32_t c = find(&p, i);
            lvt_type t = without_units(domain(in, n));
            if (p.state[c] == 1 && !lvt_shape_equal(&t, &p.shape[c]))
                v = rebuild(&p, n, &p.shape[c]);
        }
        if (v == LVT_NONE)
            lvt_rewrite_copy(&p.s.r, i);
        else
            lvt_rewrite_replace(&p.s.r, i, &v);
    }
    return lvt_rewrite_end(&p.s.r);
}
