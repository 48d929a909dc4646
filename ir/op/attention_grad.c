/* attention_grad (dy, q, k, v, y, logsumexp, bias, which may be left out) {scale} -> dq, dk, dv, dbias: the
 * gradients of attention for dy, the gradient of its first result. With p = exp(s - logsumexp), which are the
 * probabilities again, and c = row sums of dy * y (Dao et al. 2022, FlashAttention, appendix B): dv = p^T dy,
 * ds = p * (dy v^T - c), dq = scale ds k, dk = scale ds^T q, dbias = ds; dk of a shared key and dbias are
 * summed over the batch. dbias is there without a bias, too: what a bias of zero would get.
 * May not know: anything outside ir. */
#include "attention.h"

#include <math.h>
#include <string.h>

enum { DY, Q, K, V, Y, LOGSUMEXP, BIAS };

static const lvt_attr_def attrs[] = {{"scale", LVT_ATTR_FLOAT, .value = 1}};

static lvt_status infer(lvt_infer *c) {
    char text[LVT_TYPE_TEXT], want[LVT_TYPE_TEXT];
    LVT_TRY(lvt_attention_check(c, Q, K, V, BIAS));
    lvt_attention_shape s = lvt_attention_of(&c->operands[Q], &c->operands[K], &c->operands[V]);
    lvt_dtype dtype = (lvt_dtype)c->operands[0].dtype;
    lvt_type y = lvt_type_make(dtype, 4, (int64_t[]){s.heads, s.batch, s.n, s.dv});
    lvt_type l = lvt_type_make(dtype, 3, y.dim);
    static const struct {
        int operand;
        const char *name;
    } rest[] = {{DY, "gradient"}, {Y, "result"}, {LOGSUMEXP, "logsumexp"}};
    for (int i = 0; i < 3; i++) {
        const lvt_type *t = &c->operands[rest[i].operand], *wanted = rest[i].operand == LOGSUMEXP ? &l : &y;
        if (!lvt_type_equal(t, wanted))
            return lvt_infer_error(c, "E203", "the %s must be %s here, not %s", rest[i].name,
                                   lvt_type_text(wanted, want), lvt_type_text(t, text));
    }
    for (int k = 0; k < 3; k++)
        c->results[k] = c->operands[Q + k];
    c->results[3] = lvt_type_make(dtype, 3, (int64_t[]){s.heads, s.n, s.m});
    return LVT_OK;
}

static lvt_status eval(lvt_eval *c) {
    lvt_attention_shape s = lvt_attention_of(&c->in[Q].type, &c->in[K].type, &c->in[V].type);
    double scale = lvt_float_attr(c->node, "scale");
    size_t scores = (size_t)(s.n * s.m) * sizeof(double);
    double *p = lvt_arena_alloc(c->arena, scores), *ds = lvt_arena_alloc(c->arena, scores);
    double *kt = lvt_arena_alloc(c->arena, (size_t)(s.dk * s.m) * sizeof *kt);
    double *vt = lvt_arena_alloc(c->arena, (size_t)(s.dv * s.m) * sizeof *vt);
    if (!p || !ds || !kt || !vt)
        return LVT_NOMEM;
    for (int k = 0; k < 4; k++)
        memset(c->out[k].data, 0, (size_t)lvt_numel(&c->out[k].type) * sizeof(double));
    for (int64_t t = 0; t < s.heads * s.batch; t++) {
        int64_t head = t / s.batch, key = (s.shared ? head : t) * s.m * s.dk;
        const double *dy = c->in[DY].data + t * s.n * s.dv, *y = c->in[Y].data + t * s.n * s.dv;
        const double *q = c->in[Q].data + t * s.n * s.dk, *v = c->in[V].data + t * s.m * s.dv;
        double *dbias = c->out[3].data + head * s.n * s.m;
        lvt_attention_turn(s.m, s.dk, c->in[K].data + key, kt);
        lvt_attention_turn(s.m, s.dv, v, vt);
        lvt_attention_tile_scores(&s, scale, q, kt,
                                  c->node->n_operands > BIAS ? c->in[BIAS].data + head * s.n * s.m : NULL, p);
        memset(ds, 0, scores);
        lvt_gemm(s.n, s.m, s.dv, dy, s.dv, 1, vt, s.m, ds, s.m);
        for (int64_t i = 0; i < s.n; i++) {
            double sum = 0;
            for (int64_t j = 0; j < s.dv; j++)
                sum += dy[i * s.dv + j] * y[i * s.dv + j];
            for (int64_t j = i * s.m; j < (i + 1) * s.m; j++) {
                p[j] = exp(p[j] - c->in[LOGSUMEXP].data[t * s.n + i]);
                ds[j] = p[j] * (ds[j] - sum);
                dbias[j] += ds[j];
                ds[j] *= scale;
            }
        }
        lvt_gemm(s.m, s.dv, s.n, p, 1, s.m, dy, s.dv, c->out[2].data + t * s.m * s.dv, s.dv);
        lvt_gemm(s.n, s.dk, s.m, ds, s.m, 1, c->in[K].data + key, s.dk, c->out[0].data + t * s.n * s.dk,
                 s.dk);
        lvt_gemm(s.m, s.dk, s.n, ds, 1, s.m, q, s.dk, c->out[1].data + key, s.dk);
    }
    return LVT_OK;
}

static lvt_status decompose(lvt_builder *b, const lvt_node *node, const lvt_value *operands,
                            lvt_value *results) {
    lvt_attention_shape s =
        lvt_attention_of(lvt_value_type(b->graph, operands[Q]), lvt_value_type(b->graph, operands[K]),
                         lvt_value_type(b->graph, operands[V]));
    lvt_dtype dtype = (lvt_dtype)lvt_value_type(b->graph, operands[Q])->dtype;
    lvt_value dy = operands[DY], q = operands[Q], scores, p, c, ds;
    int64_t last = 3, batch = 1, column[] = {s.heads, s.batch, s.n, 1};
    scores =
        lvt_attention_scores(b, node, q, operands[K], node->n_operands > BIAS ? operands[BIAS] : LVT_NONE);
    p = lvt_build_binary(b, LVT_OP_sub, scores, lvt_build_reshape(b, operands[LOGSUMEXP], 4, column));
    p = lvt_build_unary(b, LVT_OP_exp, p);
    c = lvt_build_binary(b, LVT_OP_mul, dy, operands[Y]);
    c = lvt_build_reduce(b, LVT_OP_reduce_sum, c, 1, &last, true);
    ds = lvt_build_matmul(b, dy, operands[V], false, true);
    ds = lvt_build_binary(b, LVT_OP_mul, p, lvt_build_binary(b, LVT_OP_sub, ds, c));
    results[3] = lvt_build_reduce(b, LVT_OP_reduce_sum, ds, 1, &batch, false);
    ds = lvt_build_binary(b, LVT_OP_mul, ds, lvt_build_scalar(b, dtype, lvt_float_attr(node, "scale")));
    if (s.shared) {
        ds = lvt_build_reshape(b, ds, 3, (int64_t[]){s.heads, s.batch * s.n, s.m});
        q = lvt_build_reshape(b, q, 3, (int64_t[]){s.heads, s.batch * s.n, s.dk});
    }
    results[0] = lvt_build_matmul(b, ds, operands[K], false, false);
    results[0] = lvt_build_reshape(b, results[0], 4, (int64_t[]){s.heads, s.batch, s.n, s.dk});
    results[1] = lvt_build_matmul(b, ds, q, true, false);
    results[2] = lvt_build_matmul(b, p, dy, true, false);
    for (int k = 0; k < 4; k++)
        LVT_TRY(LVT_MADE(results[k]));
    return LVT_OK;
}

/* Without the product that makes the scores again: what counts is the work a network asks for, however it is
 * done. */
static lvt_cost cost(const lvt_node *n, const lvt_type *operands, const lvt_type *results) {
    lvt_attention_shape s = lvt_attention_of(&operands[Q], &operands[K], &operands[V]);
    lvt_cost c = {lvt_attention_scores_count(&s) * (4.0 * (double)(s.dk + s.dv) + 5), 0};
    for (uint32_t k = 0; k < n->n_operands; k++)
        c.bytes += (double)lvt_type_bytes(&operands[k]);
    for (int k = 0; k < 4; k++)
        c.bytes += (double)lvt_type_bytes(&results[k]);
    return c;
}

/* dy, q, k, v, y, logsumexp, bias */
static const char *const samples[] = {
    "f32[2,2,3,2] in -1..1, f32[2,2,3,4] in -1..1, f32[2,5,4] in -1..1, f32[2,2,5,2] in -1..1, "
    "f32[2,2,3,2] in -1..1, f32[2,2,3] in 1..2, f32[2,3,5] in -1..1 {scale = 0.5}",
    "f32[2,2,3,2] in -1..1, f32[2,2,3,4] in -1..1, f32[2,2,5,4] in -1..1, f32[2,2,5,2] in -1..1, "
    "f32[2,2,3,2] in -1..1, f32[2,2,3] in 1..2, f32[2,3,5] in -1..1 {scale = 0.7}",
    "f32[1,3,4,2] in -1..1, f32[1,3,4,2] in -1..1, f32[1,3,4,2] in -1..1, f32[1,3,4,2] in -1..1, "
    "f32[1,3,4,2] in -1..1, f32[1,3,4] in 1..2",
    "f32[3,1,1,1] in -1..1, f32[3,1,1,5] in -1..1, f32[3,1,5] in -1..1, f32[3,1,1,1] in -1..1, "
    "f32[3,1,1,1] in -1..1, f32[3,1,1] in 1..2 {scale = 2}",
    NULL};

const lvt_op_def lvt_op_def_attention_grad = {
    .name = "attention_grad",
    .kind = LVT_KIND_COMPUTE,
    .min_operands = 6,
    .max_operands = 7,
    .n_results = 4,
    .operands =
        "dy: float, q: float, k: float, v: float, y: float, logsumexp: float, bias: float, may be left out",
    .results = "dq: float, dk: float, dv: float, dbias: float",
    .meaning = "gradient of attention for its operands",
    .attrs = attrs,
    .n_attrs = LVT_COUNT(attrs),
    .infer = infer,
    .grad = lvt_grad_by_decomposition,
    .eval = eval,
    .decompose = decompose,
    .cost = cost,
    .samples = samples,
};
