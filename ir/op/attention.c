/* attention (q [h,B,N,d], k [h,B,M,d] or [h,M,d] shared by the batch, v [h,B,M,e], bias [h,N,M], which may be
 * left out) {scale}: with s = scale q k^T + bias for each head and image, y = softmax(s) v [h,B,N,e] and
 * logsumexp = log(sum(exp(s))) [h,B,N], all that the gradient needs to find the probabilities again.
 * May not know: anything outside ir. */
#include "attention.h"

#include <math.h>
#include <string.h>

/* ---- what attention and attention_grad share ---- */

lvt_attention_shape lvt_attention_of(const lvt_type *q, const lvt_type *k, const lvt_type *v) {
    return (lvt_attention_shape){.heads = q->dim[0],
                                 .batch = q->dim[1],
                                 .n = q->dim[2],
                                 .m = k->dim[k->rank - 2],
                                 .dk = q->dim[3],
                                 .dv = v->dim[3],
                                 .shared = k->rank == 3};
}

lvt_status lvt_attention_check(lvt_infer *c, uint32_t q, uint32_t k, uint32_t v, uint32_t bias) {
    static const char *const names[] = {"query", "key", "value"};
    const uint32_t operands[] = {q, k, v};
    char text[LVT_TYPE_TEXT], want[LVT_TYPE_TEXT];
    LVT_TRY(lvt_want_float(c, 0));
    LVT_TRY(lvt_want_same_dtype(c));
    for (int i = 0; i < 3; i++) {
        const lvt_type *t = &c->operands[operands[i]];
        if (t->rank != 4 && !(i == 1 && t->rank == 3))
            return lvt_infer_error(c, "E205", "the %s must have 4 dimensions, heads first%s, not %d as in %s",
                                   names[i], i == 1 ? " (or 3, when the batch shares it)" : "", t->rank,
                                   lvt_type_text(t, text));
    }
    lvt_attention_shape s = lvt_attention_of(&c->operands[q], &c->operands[k], &c->operands[v]);
    int64_t rows[4][4] = {{s.heads, s.batch, s.m, s.dk},
                          {s.heads, s.m, s.dk},
                          {s.heads, s.batch, s.m, s.dv},
                          {s.heads, s.n, s.m}};
    lvt_dtype dtype = (lvt_dtype)c->operands[0].dtype;
    lvt_type wanted[] = {s.shared ? lvt_type_make(dtype, 3, rows[1]) : lvt_type_make(dtype, 4, rows[0]),
                         lvt_type_make(dtype, 4, rows[2]), lvt_type_make(dtype, 3, rows[3])};
    static const char *const what[] = {"key", "value", "bias"};
    const uint32_t at[] = {k, v, bias};
    for (int i = 0; i < 3; i++)
        if (at[i] < c->node->n_operands && !lvt_type_equal(&c->operands[at[i]], &wanted[i]))
            return lvt_infer_error(c, "E203", "the %s must be %s here, not %s", what[i],
                                   lvt_type_text(&wanted[i], want), lvt_type_text(&c->operands[at[i]], text));
    if (!isfinite(lvt_float_attr(c->node, "scale")))
        return lvt_infer_error(c, "E207", "scale must be a finite number");
    return LVT_OK;
}

lvt_value lvt_attention_scores(lvt_builder *b, const lvt_node *node, lvt_value q, lvt_value k,
                               lvt_value bias) {
    lvt_type tq = *lvt_value_type(b->graph, q), tk = *lvt_value_type(b->graph, k);
    int64_t m = tk.dim[tk.rank - 2];
    if (tk.rank == 3) /* one product a head for the whole batch */
        q = lvt_build_reshape(b, q, 3, (int64_t[]){tq.dim[0], tq.dim[1] * tq.dim[2], tq.dim[3]});
    lvt_value s = lvt_build_matmul(b, q, k, false, true);
    s = lvt_build_reshape(b, s, 4, (int64_t[]){tq.dim[0], tq.dim[1], tq.dim[2], m});
    double scale = lvt_float_attr(node, "scale");
    if (scale != 1)
        s = lvt_build_binary(b, LVT_OP_mul, s, lvt_build_scalar(b, (lvt_dtype)tq.dtype, scale));
    if (bias == LVT_NONE)
        return s;
    bias = lvt_build_reshape(b, bias, 4, (int64_t[]){tq.dim[0], 1, tq.dim[2], m});
    return lvt_build_binary(b, LVT_OP_add, s, bias);
}

void lvt_attention_tile_scores(const lvt_attention_shape *s, double scale, const double *q, const double *kt,
                               const double *bias, double *to) {
    memset(to, 0, (size_t)(s->n * s->m) * sizeof *to);
    lvt_gemm(s->n, s->m, s->dk, q, s->dk, 1, kt, s->m, to, s->m);
    for (int64_t i = 0; i < s->n * s->m; i++)
        to[i] = to[i] * scale + (bias ? bias[i] : 0);
}

void lvt_attention_turn(int64_t rows, int64_t columns, const double *from, double *to) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            to[j * rows + i] = from[i * columns + j];
}

/* ---- the op ---- */

static const lvt_attr_def attrs[] = {{"scale", LVT_ATTR_FLOAT, .value = 1}};

static lvt_status infer(lvt_infer *c) {
    LVT_TRY(lvt_attention_check(c, 0, 1, 2, 3));
    c->results[0] = c->results[1] = c->operands[0];
    c->results[0].dim[3] = c->operands[2].dim[3];
    c->results[1] = lvt_type_make((lvt_dtype)c->operands[0].dtype, 3, c->operands[0].dim);
    return LVT_OK;
}

static lvt_status eval(lvt_eval *c) {
    lvt_attention_shape s = lvt_attention_of(&c->in[0].type, &c->in[1].type, &c->in[2].type);
    double scale = lvt_float_attr(c->node, "scale");
    double *p = lvt_arena_alloc(c->arena, (size_t)(s.n * s.m) * sizeof *p);
    double *kt = lvt_arena_alloc(c->arena, (size_t)(s.dk * s.m) * sizeof *kt);
    if (!p || !kt)
        return LVT_NOMEM;
    memset(c->out[0].data, 0, (size_t)lvt_numel(&c->out[0].type) * sizeof(double));
    for (int64_t t = 0; t < s.heads * s.batch; t++) {
        int64_t head = t / s.batch;
        lvt_attention_turn(s.m, s.dk, c->in[1].data + (s.shared ? head : t) * s.m * s.dk, kt);
        lvt_attention_tile_scores(&s, scale, c->in[0].data + t * s.n * s.dk, kt,
                                  c->node->n_operands > 3 ? c->in[3].data + head * s.n * s.m : NULL, p);
        for (int64_t i = 0; i < s.n; i++) {
            double *row = p + i * s.m, largest = -INFINITY, sum = 0;
            for (int64_t j = 0; j < s.m; j++)
                largest = fmax(largest, row[j]);
            for (int64_t j = 0; j < s.m; j++)
                sum += row[j] = exp(row[j] - largest);
            for (int64_t j = 0; j < s.m; j++)
                row[j] /= sum;
            c->out[1].data[t * s.n + i] = largest + log(sum);
        }
        lvt_gemm(s.n, s.dv, s.m, p, s.m, 1, c->in[2].data + t * s.m * s.dv, s.dv,
                 c->out[0].data + t * s.n * s.dv, s.dv);
    }
    return LVT_OK;
}

static lvt_status decompose(lvt_builder *b, const lvt_node *node, const lvt_value *operands,
                            lvt_value *results) {
    lvt_value s = lvt_attention_scores(b, node, operands[0], operands[1],
                                       node->n_operands > 3 ? operands[3] : LVT_NONE);
    int64_t axis = 3;
    /* The result does not depend on what is subtracted, so nothing flows back through it. */
    lvt_value largest =
        lvt_build_unary(b, LVT_OP_stop_gradient, lvt_build_reduce(b, LVT_OP_reduce_max, s, 1, &axis, true));
    lvt_value e = lvt_build_unary(b, LVT_OP_exp, lvt_build_binary(b, LVT_OP_sub, s, largest));
    lvt_value sum = lvt_build_reduce(b, LVT_OP_reduce_sum, e, 1, &axis, true);
    results[0] = lvt_build_matmul(b, lvt_build_binary(b, LVT_OP_div, e, sum), operands[2], false, false);
    lvt_value l = lvt_build_binary(b, LVT_OP_add, largest, lvt_build_unary(b, LVT_OP_log, sum));
    LVT_TRY(LVT_MADE(l));
    lvt_type t = *lvt_value_type(b->graph, l);
    results[1] = lvt_build_reshape(b, l, 3, t.dim);
    return LVT_MADE(results[0] == LVT_NONE ? LVT_NONE : results[1]);
}

/* attention_grad where only y is used, as in every network; the general case by the decomposition. */
static lvt_status grad(lvt_grad *c) {
    if (c->dresults[0] == LVT_NONE || c->dresults[1] != LVT_NONE)
        return lvt_grad_by_decomposition(c);
    const lvt_node *n = c->node;
    uint32_t count = n->n_operands;
    lvt_value operands[7] = {c->dresults[0], n->operands[0], n->operands[1],
                             n->operands[2], n->result,      n->result + 1};
    if (count > 3)
        operands[6] = n->operands[3];
    lvt_named_attr a;
    lvt_same_attrs(n, 1, &a);
    lvt_value d = lvt_build(c->b, LVT_OP_attention_grad, count + 3, operands, 1, &a);
    LVT_TRY(LVT_MADE(d));
    for (uint32_t k = 0; k < count; k++)
        c->doperands[k] = c->wants[k] ? d + k : LVT_NONE;
    return LVT_OK;
}

static lvt_cost cost(const lvt_node *n, const lvt_type *operands, const lvt_type *results) {
    lvt_attention_shape s = lvt_attention_of(&operands[0], &operands[1], &operands[2]);
    lvt_cost c = {lvt_attention_scores_count(&s) * (2.0 * (double)(s.dk + s.dv) + 5), 0};
    for (uint32_t k = 0; k < n->n_operands; k++)
        c.bytes += (double)lvt_type_bytes(&operands[k]);
    c.bytes += (double)lvt_type_bytes(&results[0]) + (double)lvt_type_bytes(&results[1]);
    return c;
}

static const char *const samples[] = {
    "f32[2,2,3,4] in -1..1, f32[2,5,4] in -1..1, f32[2,2,5,3] in -1..1, f32[2,3,5] in -1..1 {scale = 0.5}",
    "f32[2,2,3,4] in -1..1, f32[2,2,5,4] in -1..1, f32[2,2,5,3] in -1..1, f32[2,3,5] in -1..1 {scale = 0.7}",
    "f32[1,3,4,2] in -1..1, f32[1,3,4,2] in -1..1, f32[1,3,4,2] in -1..1",
    "f32[3,1,1,5] in -4..4, f32[3,1,5] in -4..4, f32[3,1,1,1] in -1..1 {scale = 2}", NULL};

const lvt_op_def lvt_op_def_attention = {
    .name = "attention",
    .kind = LVT_KIND_COMPUTE,
    .min_operands = 3,
    .max_operands = 4,
    .n_results = 2,
    .operands = "q: float [h, B, N, d], k: float [h, M, d] or [h, B, M, d], v: float [h, B, M, e], bias: "
                "float [h, N, M], may be left out",
    .results = "y: float [h, B, N, e], logsumexp: float [h, B, N]",
    .meaning = "softmax(scale q k^T + bias) v for each head and image",
    .attrs = attrs,
    .n_attrs = LVT_COUNT(attrs),
    .infer = infer,
    .grad = grad,
    .eval = eval,
    .decompose = decompose,
    .cost = cost,
    .samples = samples,
};
