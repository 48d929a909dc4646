/* Pass shard: makes a training entry the part that one of `ranks` processes does, each on its share of the
 * batch.
 *
 * The inputs that are named, and what is computed of them image by image, get a `ranks`-th of their rows;
 * wherever values of different images meet (a mean, the statistics of a norm, the gradient of a weight) an
 * all_reduce follows, so every process has the same state and the same losses as one that has the whole
 * batch, but for the order of sums. Numbers of images that are in the graph as constants stay those of the
 * whole batch, since the pass comes after autodiff and decompose. Invariant: a value is either the same in
 * every process or divided along one axis, which axis_of[] says; updates and outputs are the same. May not
 * know: who the processes are and how they talk. */
#include "rewrite.h"

#include <string.h>

enum { WHOLE = -1 };

typedef struct shard {
    lvt_rewrite r;
    int64_t ranks;
    int8_t *axis_of; /* by value of `in`: the divided axis, or WHOLE */
    lvt_node_id node;
    bool failed;
} shard;

static lvt_value fail(shard *s, const char *why) {
    if (!s->failed && !s->r.out->failed) {
        const lvt_node *n = &s->r.in->nodes[s->node];
        lvt_pass_fail(s->r.ctx, LVT_USER, "E434", n->loc, "%s cannot be divided among processes: %s",
                      lvt_op_of(n)->name, why);
        lvt_note(s->r.ctx->diag, LVT_NOWHERE, "without --ranks the model can be compiled");
    }
    s->failed = true;
    return LVT_NONE;
}

static const lvt_type *type_of(const shard *s, lvt_value v) {
    return &s->r.in->values[v].type;
}

/* Type of a value of `in` in one process. */
static lvt_type part_of(const shard *s, const lvt_type *t, int axis) {
    lvt_type p = *t;
    if (axis >= 0)
        p.dim[axis] /= s->ranks;
    return p;
}

/* ---- building ---- */

/* The node again, with other operands and one attribute changed. */
static lvt_value again(shard *s, const lvt_node *n, const lvt_value *operands, const lvt_named_attr *changed,
                       int n_changed) {
    lvt_named_attr attrs[16];
    const lvt_op_def *def = lvt_op_of(n);
    for (int i = 0; i < def->n_attrs; i++) {
        attrs[i] = (lvt_named_attr){def->attrs[i].name, n->attrs[i]};
        for (int k = 0; k < n_changed; k++) {
            if (!strcmp(changed[k].name, def->attrs[i].name))
                attrs[i].value = changed[k].value;
        }
    }
    return lvt_build(&s->r.b, (lvt_op)n->op, n->n_operands, operands, (uint32_t)def->n_attrs, attrs);
}

static lvt_value with_shape(shard *s, const lvt_node *n, const lvt_value *operands, const lvt_type *t) {
    lvt_named_attr shape = {"shape", lvt_attr_ints(t->dim, t->rank)};
    return again(s, n, operands, &shape, 1);
}

static lvt_value together(shard *s, lvt_value v, const char *reduce) {
    lvt_named_attr attrs[] = {{"reduce", lvt_attr_string(reduce)}, {"ranks", lvt_attr_int(s->ranks)}};
    return lvt_build(&s->r.b, LVT_OP_all_reduce, 1, &v, 2, attrs);
}

/* ---- where an axis goes ---- */

/* Through a reshape: rows of the divided axis must stay whole, one after the other. WHOLE: they do not. */
static int through_reshape(const shard *s, const lvt_type *from, const lvt_type *to, int axis) {
    int64_t before = 1, at = 1;
    for (int i = 0; i < axis; i++)
        before *= from->dim[i];
    for (int i = 0; i < to->rank; at *= to->dim[i++]) {
        if (at == before && to->dim[i] > 1)
            return to->dim[i] % s->ranks == 0 ? i : WHOLE;
    }
    return WHOLE;
}

/* ---- parts of what every process has whole ---- */

/* What the values of one process are, when v is needed divided along `axis`: possible where it is the same
 * for all images, so that any rows will do. */
static lvt_value localize(shard *s, lvt_value v, int axis) {
    const lvt_graph *g = s->r.in;
    const lvt_node *n = lvt_value_node(g, v);
    const lvt_type *t = type_of(s, v);
    lvt_type part = part_of(s, t, axis);
    lvt_value operands[3];
    double x;
    if (s->axis_of[v] == axis)
        return s->r.map[v];
    if (s->axis_of[v] != WHOLE || t->dim[axis] % s->ranks)
        return fail(s, "its operands are divided along different dimensions");
    if (lvt_is_splat(g, v, &x))
        return lvt_splat(&s->r.b, &part, x);
    switch (n->op) {
    case LVT_OP_iota:
        if (lvt_attr_get(n, "axis")->i == axis)
            break;
        return with_shape(s, n, NULL, &part);
    case LVT_OP_broadcast: {
        const lvt_type *from = type_of(s, n->operands[0]);
        int k = axis - (t->rank - from->rank);
        operands[0] = k < 0 || from->dim[k] == 1 ? s->r.map[n->operands[0]] : localize(s, n->operands[0], k);
        return operands[0] == LVT_NONE ? LVT_NONE : with_shape(s, n, operands, &part);
    }
    case LVT_OP_reshape: {
        int k = through_reshape(s, t, type_of(s, n->operands[0]), axis);
        operands[0] = k == WHOLE ? LVT_NONE : localize(s, n->operands[0], k);
        return operands[0] == LVT_NONE ? fail(s, "a reshape mixes the images")
                                       : with_shape(s, n, operands, &part);
    }
    case LVT_OP_transpose:
        operands[0] = localize(s, n->operands[0], (int)lvt_attr_get(n, "order")->ints[axis]);
        return operands[0] == LVT_NONE ? LVT_NONE : again(s, n, operands, NULL, 0);
    case LVT_OP_reduce_sum:
    case LVT_OP_reduce_mean:
    case LVT_OP_reduce_max: {
        uint32_t mask = lvt_reduce_mask(g, n);
        int from = axis;
        for (int i = 0; i <= from && !lvt_attr_get(n, "keep")->i; i++)
            from += mask >> i & 1;
        operands[0] = mask >> from & 1 ? LVT_NONE : localize(s, n->operands[0], from);
        return operands[0] == LVT_NONE ? fail(s, "it mixes the images") : again(s, n, operands, NULL, 0);
    }
    case LVT_OP_matmul: /* the rows of a factor that are alike give rows that are alike */
        for (int k = 0; k < 2; k++) {
            const lvt_type *own = type_of(s, n->operands[k]);
            bool flip = lvt_attr_get(n, k ? "transpose_b" : "transpose_a")->i;
            int at = axis - (t->rank - own->rank);
            if (axis >= t->rank - 2)
                at = (axis == t->rank - 1) != k ? -1 : k ? own->rank - 1 - flip : own->rank - 2 + flip;
            operands[k] =
                at < 0 || own->dim[at] == 1 ? s->r.map[n->operands[k]] : localize(s, n->operands[k], at);
            if (operands[k] == LVT_NONE)
                return LVT_NONE;
        }
        return again(s, n, operands, NULL, 0);
    case LVT_OP_conv2d:
    case LVT_OP_conv2d_grad_input:
        operands[0] = axis ? LVT_NONE : localize(s, n->operands[0], 0);
        operands[1] = s->r.map[n->operands[1]];
        return operands[0] == LVT_NONE ? fail(s, "only images may be divided")
                                       : again(s, n, operands, NULL, 0);
    default:
        if (!lvt_is_pointwise(n) && n->op != LVT_OP_cast)
            break;
        for (uint32_t k = 0; k < n->n_operands; k++) {
            operands[k] = localize(s, n->operands[k], axis);
            if (operands[k] == LVT_NONE)
                return LVT_NONE;
        }
        return again(s, n, operands, NULL, 0);
    }
    return fail(s, "it meets a value that differs from image to image and that every process has whole");
}

/* ---- rules --------------------------------------------------------------------------------------------- */

/* The result and the axis along which it is divided. */
typedef struct made {
    lvt_value value;
    int axis;
} made;

static made nothing(shard *s, const char *why) {
    return (made){fail(s, why), WHOLE};
}

/* All operands divided along the same axis, or the same for every image. */
static bool all_along(shard *s, const lvt_node *n, int axis, lvt_value *operands) {
    for (uint32_t k = 0; k < n->n_operands; k++) {
        operands[k] = localize(s, n->operands[k], axis);
        if (operands[k] == LVT_NONE)
            return false;
    }
    return true;
}

static int divided_axis(const shard *s, const lvt_node *n) {
    for (uint32_t k = 0; k < n->n_operands; k++) {
        if (s->axis_of[n->operands[k]] != WHOLE)
            return s->axis_of[n->operands[k]];
    }
    return WHOLE;
}

static made reduce(shard *s, const lvt_node *n, lvt_value x, int axis) {
    uint32_t mask = lvt_reduce_mask(s->r.in, n);
    lvt_value v = again(s, n, &x, NULL, 0);
    static const char *const kinds[] = {"sum", "mean", "max"};
    if (mask >> axis & 1)
        return (made){together(s, v,
                               kinds[n->op == LVT_OP_reduce_mean  ? 1
                                     : n->op == LVT_OP_reduce_max ? 2
                                                                  : 0]),
                      WHOLE};
    int to = axis;
    if (!lvt_attr_get(n, "keep")->i)
        to -= __builtin_popcount(mask & ((1u << axis) - 1));
    return (made){v, to};
}

/* An axis of a product's operand: a dim of the batch, the one that stays, the one that is summed over. */
typedef enum role { ROLE_NONE, ROLE_BATCH, ROLE_OUTER, ROLE_INNER } role;
static role role_of(const lvt_type *t, int axis, bool transposed, bool second) {
    if (axis == WHOLE)
        return ROLE_NONE;
    if (axis < t->rank - 2)
        return ROLE_BATCH;
    bool last = axis == t->rank - 1;
    return (last != transposed) != second ? ROLE_INNER : ROLE_OUTER;
}

static made matmul(shard *s, const lvt_node *n) {
    const lvt_type *ta = type_of(s, n->operands[0]), *tb = type_of(s, n->operands[1]),
                   *t = type_of(s, n->result);
    bool flip_a = lvt_attr_get(n, "transpose_a")->i, flip_b = lvt_attr_get(n, "transpose_b")->i;
    int a = s->axis_of[n->operands[0]], b = s->axis_of[n->operands[1]];
    role ra = role_of(ta, a, flip_a, false), rb = role_of(tb, b, flip_b, true);
    lvt_value operands[] = {s->r.map[n->operands[0]], s->r.map[n->operands[1]]};
    int axis = WHOLE;
    if (ta->rank < 2 || tb->rank < 2)
        return nothing(s, "a vector");
    if (ra == ROLE_INNER || rb == ROLE_INNER) {
        a = ra == ROLE_NONE ? ta->rank - 1 - flip_a : a;
        b = rb == ROLE_NONE ? tb->rank - 2 + flip_b : b;
        if (role_of(ta, a, flip_a, false) != ROLE_INNER || role_of(tb, b, flip_b, true) != ROLE_INNER)
            return nothing(s, "one factor is divided where the sum runs, the other elsewhere");
        operands[0] = localize(s, n->operands[0], a);
        operands[1] = localize(s, n->operands[1], b);
    } else if (ra == ROLE_BATCH || rb == ROLE_BATCH) {
        axis = ra == ROLE_BATCH ? a + t->rank - ta->rank : b + t->rank - tb->rank;
        if (ra == ROLE_OUTER || rb == ROLE_OUTER)
            return nothing(s, "its factors are divided along different dimensions");
        for (int k = 0; k < 2; k++) {
            const lvt_type *own = k ? tb : ta;
            int at = axis - (t->rank - own->rank);
            if (at >= 0 && own->dim[at] > 1)
                operands[k] = localize(s, n->operands[k], at);
            else if (s->axis_of[n->operands[k]] != WHOLE)
                return nothing(s, "its factors are divided along different dimensions");
        }
    } else if (ra == ROLE_OUTER && rb == ROLE_OUTER) {
        return nothing(s, "every image of one factor meets every image of the other");
    } else {
        axis = ra == ROLE_OUTER ? t->rank - 2 : t->rank - 1;
    }
    if (operands[0] == LVT_NONE || operands[1] == LVT_NONE)
        return (made){LVT_NONE, WHOLE};
    lvt_value v = again(s, n, operands, NULL, 0);
    return axis == WHOLE ? (made){together(s, v, "sum"), WHOLE} : (made){v, axis};
}

/* Slice and pad along the divided axis count in images: every process has its share of each part. */
static made cut(shard *s, const lvt_node *n, lvt_value x, int axis) {
    bool slice = n->op == LVT_OP_slice;
    const char *names[] = {slice ? "begin" : "before", slice ? "end" : "after"};
    lvt_named_attr changed[2];
    int64_t all = type_of(s, n->operands[0])->dim[axis], step = slice ? lvt_attr_get(n, "step")->i : 1;
    if (step != 1) { /* every so many images: of each share, when it holds a whole number of steps */
        lvt_named_attr end = {"end", lvt_attr_int(all / s->ranks)};
        bool same = step > 0 && all / s->ranks % step == 0 && lvt_attr_get(n, "begin")->i >= 0 &&
                    lvt_attr_get(n, "begin")->i < step && lvt_attr_get(n, "end")->i >= all;
        return same ? (made){again(s, n, &x, &end, 1), axis}
                    : nothing(s, "its steps through the batch do not fit into the shares");
    }
    for (int k = 0; k < 2; k++) {
        int64_t at = lvt_attr_get(n, names[k])->i, size = type_of(s, n->operands[0])->dim[axis];
        at = slice && at < 0 ? at + size : slice && at > size ? size : at;
        if (at % s->ranks)
            return nothing(s, "its part of the batch is not a multiple of the number of processes");
        changed[k] = (lvt_named_attr){names[k], lvt_attr_int(at / s->ranks)};
    }
    return (made){again(s, n, &x, changed, 2), axis};
}

static made gather(shard *s, const lvt_node *n) {
    const lvt_type *table = type_of(s, n->operands[0]), *index = type_of(s, n->operands[1]);
    int axis = (int)lvt_attr_get(n, "axis")->i, t = s->axis_of[n->operands[0]],
        i = s->axis_of[n->operands[1]];
    axis += axis < 0 ? table->rank : 0;
    lvt_value operands[] = {s->r.map[n->operands[0]], s->r.map[n->operands[1]]};
    if (t == axis || (t != WHOLE && i != WHOLE))
        return nothing(s, "an index may point at another process's images");
    lvt_value v = again(s, n, operands, NULL, 0);
    return (made){v, i != WHOLE ? axis + i : t < axis ? t : t + index->rank - 1};
}

static made gather_grad(shard *s, const lvt_node *n) {
    const lvt_type *index = type_of(s, n->operands[1]);
    int axis = (int)lvt_attr_get(n, "axis")->i, i = s->axis_of[n->operands[1]],
        d = s->axis_of[n->operands[0]];
    axis += axis < 0 ? type_of(s, n->result)->rank : 0;
    if (d == WHOLE || (d >= axis && d < axis + index->rank)) {
        int at = d == WHOLE ? i : d - axis;
        lvt_value operands[] = {localize(s, n->operands[0], axis + at), localize(s, n->operands[1], at)};
        if (operands[0] == LVT_NONE || operands[1] == LVT_NONE)
            return (made){LVT_NONE, WHOLE};
        return (made){together(s, again(s, n, operands, NULL, 0), "sum"), WHOLE};
    }
    if (i != WHOLE)
        return nothing(s, "index and gradient are divided along different dimensions");
    lvt_value operands[] = {s->r.map[n->operands[0]], s->r.map[n->operands[1]]};
    return (made){again(s, n, operands, NULL, 0), d < axis ? d : d - index->rank + 1};
}

/* attention and its gradient are divided by images: dim 1 of all but a key that the batch shares and the
 * bias. */
static made attention(shard *s, const lvt_node *n) {
    bool backward = n->op == LVT_OP_attention_grad;
    uint32_t key = 1 + backward, bias = backward ? 6 : 3;
    lvt_value operands[8];
    for (uint32_t k = 0; k < n->n_operands; k++) {
        bool whole = (k == key && type_of(s, n->operands[k])->rank == 3) || k == bias;
        if (whole && s->axis_of[n->operands[k]] != WHOLE)
            return nothing(s, "its key or bias differs from image to image");
        operands[k] = whole ? s->r.map[n->operands[k]] : localize(s, n->operands[k], 1);
        if (operands[k] == LVT_NONE)
            return (made){LVT_NONE, WHOLE};
    }
    lvt_value first = again(s, n, operands, NULL, 0);
    for (uint32_t k = 0; k < n->n_results && first != LVT_NONE; k++) {
        bool whole = backward && ((k == 1 && type_of(s, n->operands[key])->rank == 3) || k == 3);
        s->r.map[n->result + k] = whole ? together(s, first + k, "sum") : first + k;
        s->axis_of[n->result + k] = whole ? WHOLE : 1;
    }
    return (made){first == LVT_NONE ? LVT_NONE : s->r.map[n->result], s->axis_of[n->result]};
}

static made apply(shard *s, const lvt_node *n, int axis) {
    const lvt_type *t = type_of(s, n->result);
    lvt_value x = n->n_operands ? s->r.map[n->operands[0]] : LVT_NONE;
    lvt_value *operands = lvt_arena_alloc(s->r.ctx->arena, (n->n_operands + 1u) * sizeof *operands);
    if (!operands) {
        s->r.out->failed = true;
        return (made){LVT_NONE, WHOLE};
    }
    switch ((lvt_op)n->op) {
    case LVT_OP_cast:
        return (made){again(s, n, &x, NULL, 0), axis};
    case LVT_OP_one_hot: /* adds a last dim */
        return (made){again(s, n, &x, NULL, 0), axis};
    case LVT_OP_reshape: {
        int to = through_reshape(s, type_of(s, n->operands[0]), t, axis);
        lvt_type part = part_of(s, t, to);
        return to == WHOLE ? nothing(s, "it mixes the images") : (made){with_shape(s, n, &x, &part), to};
    }
    case LVT_OP_transpose:
        for (int i = 0; i < t->rank; i++) {
            if (lvt_attr_get(n, "order")->ints[i] == axis)
                return (made){again(s, n, &x, NULL, 0), i};
        }
        return nothing(s, "its order is not one");
    case LVT_OP_broadcast: {
        int to = axis + t->rank - type_of(s, n->operands[0])->rank;
        lvt_type part = part_of(s, t, to);
        return (made){with_shape(s, n, &x, &part), to};
    }
    case LVT_OP_slice:
    case LVT_OP_pad: {
        int64_t along = lvt_attr_get(n, "axis")->i;
        along += along < 0 ? t->rank : 0;
        return along == axis ? cut(s, n, x, axis) : (made){again(s, n, &x, NULL, 0), axis};
    }
    case LVT_OP_reduce_sum:
    case LVT_OP_reduce_mean:
    case LVT_OP_reduce_max:
        return reduce(s, n, x, axis);
    case LVT_OP_argmax: {
        int along = (int)lvt_attr_get(n, "axis")->i;
        if (along == axis)
            return nothing(s, "it compares the images");
        return (made){again(s, n, &x, NULL, 0), along < axis ? axis - 1 : axis};
    }
    case LVT_OP_softmax:
    case LVT_OP_log_softmax: {
        int along = (int)lvt_attr_get(n, "axis")->i;
        along += along < 0 ? t->rank : 0;
        return along == axis ? nothing(s, "it compares the images") : (made){again(s, n, &x, NULL, 0), axis};
    }
    case LVT_OP_matmul:
        return matmul(s, n);
    case LVT_OP_gather:
        return gather(s, n);
    case LVT_OP_gather_grad:
        return gather_grad(s, n);
    case LVT_OP_attention:
    case LVT_OP_attention_grad:
        return attention(s, n);
    case LVT_OP_conv2d:
    case LVT_OP_conv2d_grad_input:
        if (s->axis_of[n->operands[0]] != 0 || s->axis_of[n->operands[1]] != WHOLE)
            return nothing(s, "only images may be divided, not weights");
        operands[0] = x;
        operands[1] = s->r.map[n->operands[1]];
        return (made){again(s, n, operands, NULL, 0), 0};
    case LVT_OP_conv2d_grad_weight:
        if (axis != 0 || !all_along(s, n, 0, operands))
            return nothing(s, "only images may be divided");
        return (made){together(s, again(s, n, operands, NULL, 0), "sum"), WHOLE};
    case LVT_OP_max_pool2d:
    case LVT_OP_avg_pool2d:
    case LVT_OP_max_pool2d_grad:
    case LVT_OP_avg_pool2d_grad:
        if (axis != 0)
            return nothing(s, "only images may be divided");
        return all_along(s, n, 0, operands) ? (made){again(s, n, operands, NULL, 0), 0}
                                            : (made){LVT_NONE, WHOLE};
    case LVT_OP_concat: /* along the divided axis too: every process has its share of each part */
    default:
        if (!lvt_is_pointwise(n) && n->op != LVT_OP_concat)
            return nothing(s, "there is no rule for it");
        return all_along(s, n, axis, operands) ? (made){again(s, n, operands, NULL, 0), axis}
                                               : (made){LVT_NONE, WHOLE};
    }
}

/* ---- the pass ------------------------------------------------------------------------------------------ */

static bool is_named(const char *list, const char *name) {
    size_t length = strlen(name);
    for (const char *at = list; at && *at; at += strcspn(at, ","), at += *at == ',') {
        if (strcspn(at, ",") == length && !strncmp(at, name, length))
            return true;
    }
    return false;
}

static bool divide_input(shard *s, lvt_node_id i, const lvt_input *input) {
    const lvt_node *n = &s->r.in->nodes[i];
    const lvt_type *t = type_of(s, n->result);
    char text[LVT_TYPE_TEXT];
    if (!t->rank || t->dim[0] % s->ranks) {
        lvt_pass_fail(s->r.ctx, LVT_USER, "E433", input->loc,
                      "input %s, %s, cannot be divided among %d processes", input->name,
                      lvt_type_text(t, text), (int)s->ranks);
        lvt_note(s->r.ctx->diag, LVT_NOWHERE, "the batch must be a multiple of --ranks");
        return false;
    }
    lvt_rewrite_copy(&s->r, i); /* which keeps the input's number, wherever undivided ones stand */
    if (s->r.out->failed)
        return true; /* lvt_rewrite_end says why */
    s->r.out->values[s->r.map[n->result]].type = part_of(s, t, 0);
    s->axis_of[n->result] = 0;
    return true;
}

/* A step that shares nothing would be done by every process in full. */
static lvt_graph *nothing_named(lvt_pass *ctx, const lvt_graph *in) {
    lvt_pass_fail(ctx, LVT_USER, "E433", in->loc, "nothing of entry %s is divided among %d processes",
                  in->name, ctx->ranks);
    lvt_note(ctx->diag, LVT_NOWHERE, "none of its inputs is among those of --split, %s", ctx->split);
    return NULL;
}

lvt_graph *lvt_pass_shard(lvt_pass *ctx, const lvt_graph *in) {
    shard s = {.ranks = ctx->ranks};
    bool any = false, tensors = false;
    for (uint32_t i = 0; i < in->n_inputs; i++) {
        any |= is_named(ctx->split, in->inputs[i].name);
        tensors |= in->values[in->inputs[i].value].type.rank > 0;
    }
    if (ctx->ranks < 2 || !tensors || !in->training)
        return (lvt_graph *)in;
    if (!any)
        return nothing_named(ctx, in);
    s.axis_of = lvt_arena_alloc(ctx->arena, in->n_values + 1u);
    if (!s.axis_of || !lvt_rewrite_begin(&s.r, ctx, in))
        return lvt_pass_nomem(ctx);
    memset(s.axis_of, WHOLE, in->n_values + 1u);
    for (uint32_t i = 0; i < in->n_nodes && !s.r.out->failed && !s.failed; i++) {
        const lvt_node *n = &in->nodes[i];
        s.node = i;
        int axis = divided_axis(&s, n);
        if (n->op == LVT_OP_input && is_named(ctx->split, in->inputs[lvt_attr_get(n, "index")->i].name)) {
            if (!divide_input(&s, i, &in->inputs[lvt_attr_get(n, "index")->i]))
                return NULL;
        } else if (axis == WHOLE) {
            lvt_rewrite_copy(&s.r, i);
        } else {
            lvt_rewrite_at(&s.r, i);
            made m = apply(&s, n, axis);
            if (m.value == LVT_NONE)
                break;
            if (n->n_results == 1) {
                s.r.map[n->result] = m.value;
                s.axis_of[n->result] = (int8_t)m.axis;
            }
            s.r.nodes[i] = s.r.out->values[m.value].node;
            if (!s.r.out->values[m.value].name)
                s.r.out->values[m.value].name = in->values[n->result].name;
        }
    }
    if (s.failed)
        return NULL;
    for (uint32_t i = 0; i < in->n_updates; i++) {
        if (s.axis_of[in->updates[i].value] != WHOLE)
            return lvt_pass_fail(ctx, LVT_USER, "E434", in->updates[i].loc,
                                 "state %s would differ among the processes that share a batch",
                                 ctx->module->states[in->updates[i].state].name);
    }
    lvt_text_add(ctx->explain, "entry %s is the part of one of %d processes\n", in->name, (int)s.ranks);
    return lvt_rewrite_end(&s.r);
}
