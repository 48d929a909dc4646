/* all_reduce (x f32) {reduce = "sum", ranks}: what `ranks` processes, each running this program on its share
 * of the batch, make together of their values: the sum, mean or max, the same bits at every one. Made by pass
 * shard, after autodiff. By definition of the interpreter, and of a kernel that nobody else takes part in,
 * the others have the same value. May not know: anything outside ir. */
#include "common.h"

#include <string.h>

static const lvt_attr_def attrs[] = {{"reduce", LVT_ATTR_STRING, .text = "sum"},
                                     {"ranks", LVT_ATTR_INT, .required = true}};

static double factor(const lvt_node *n) {
    return strcmp(n->attrs[0].s, "sum") ? 1 : (double)n->attrs[1].i;
}

static lvt_status infer(lvt_infer *c) {
    const char *reduce = c->node->attrs[0].s;
    if (c->operands[0].dtype != LVT_F32)
        return lvt_infer_error(c, "E202", "processes exchange f32, not %s",
                               lvt_dtype_name((lvt_dtype)c->operands[0].dtype));
    if (strcmp(reduce, "sum") && strcmp(reduce, "mean") && strcmp(reduce, "max"))
        return lvt_infer_error(c, "E207", "reduce must be sum, mean or max, not \"%s\"", reduce);
    if (c->node->attrs[1].i < 1 || c->node->attrs[1].i > LVT_MAX_RANKS)
        return lvt_infer_error(c, "E207", "ranks must be 1 to %d", LVT_MAX_RANKS);
    c->results[0] = c->operands[0];
    return LVT_OK;
}

static lvt_status eval(lvt_eval *c) {
    int64_t n = lvt_numel(&c->in[0].type);
    double f = factor(c->node);
    for (int64_t i = 0; i < n; i++)
        c->out[0].data[i] = c->in[0].data[i] * f;
    return LVT_OK;
}

static lvt_status grad(lvt_grad *c) {
    lvt_value f = lvt_build_scalar(c->b, (lvt_dtype)lvt_value_type(c->b->graph, c->dresults[0])->dtype,
                                   factor(c->node));
    c->doperands[0] = lvt_build_binary(c->b, LVT_OP_mul, c->dresults[0], f);
    return LVT_MADE(c->doperands[0]);
}

static const char *const samples[] = {"f32[2,3] in -2..2 {ranks = 2}",
                                      "f32[] in -2..2 {reduce = \"mean\", ranks = 3}",
                                      "f32[5] in -2..2 {reduce = \"max\", ranks = 4}", NULL};

const lvt_op_def lvt_op_def_all_reduce = {
    .name = "all_reduce",
    .kind = LVT_KIND_COMPUTE,
    .min_operands = 1,
    .max_operands = 1,
    .n_results = 1,
    .operands = "x: float",
    .results = "y: float",
    .meaning = "sum, mean or max over the processes that share a batch; made by pass shard",
    .attrs = attrs,
    .n_attrs = LVT_COUNT(attrs),
    .infer = infer,
    .grad = grad,
    .eval = eval,
    .samples = samples,
};
