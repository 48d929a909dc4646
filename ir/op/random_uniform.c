/* random_uniform (key i32 [2]: seed, step) {shape, stream}: numbers in [0, 1), f32, by Philox 4x32-10 (Salmon
 * and others, "Parallel random numbers: as easy as 1, 2, 3", 2011).
 *
 * Layout, part of the meaning of every model: element i of the result is word i % 4 of the block with counter
 * (i / 4, 0, stream, step) and key (seed, 0x4c5654), and w becomes (w >> 8) / 2^24, which f32 holds exactly.
 * May not know: anything outside ir. */
#include "common.h"
#include "ir/base/philox.h"

static const lvt_attr_def attrs[] = {{"shape", LVT_ATTR_INTS, .required = true}, {"stream", LVT_ATTR_INT}};

static lvt_status infer(lvt_infer *c) {
    int64_t stream = lvt_int_attr(c->node, "stream");
    char text[LVT_TYPE_TEXT];
    LVT_TRY(lvt_want_i32(c, 0));
    if (c->operands[0].rank != 1 || c->operands[0].dim[0] != 2)
        return lvt_infer_error(c, "E203", "the key must be i32[2], seed and step, not %s",
                               lvt_type_text(&c->operands[0], text));
    if (stream < 0 || stream > UINT32_MAX)
        return lvt_infer_error(c, "E207", "stream must be a 32-bit number, not %lld", (long long)stream);
    return lvt_shape_attr(c, LVT_F32);
}

static lvt_status eval(lvt_eval *c) {
    uint32_t seed = (uint32_t)(int32_t)c->in[0].data[0], step = (uint32_t)(int32_t)c->in[0].data[1];
    uint32_t stream = (uint32_t)lvt_int_attr(c->node, "stream"), words[4] = {0};
    int64_t n = lvt_numel(&c->out[0].type);
    for (int64_t i = 0; i < n; i++) {
        if (i % 4 == 0)
            lvt_philox((uint64_t)0x4c5654u << 32 | seed, (uint32_t)(i / 4), 0, stream, step, words);
        c->out[0].data[i] = (double)(words[i % 4] >> 8) / 16777216.0;
    }
    return LVT_OK;
}

static lvt_cost cost(const lvt_node *n, const lvt_type *operands, const lvt_type *results) {
    (void)n;
    (void)operands;
    return (lvt_cost){25 * (double)lvt_numel(&results[0]), (double)lvt_type_bytes(&results[0])};
}

static const char *const samples[] = {"i32[2] in 0..100 {shape = [3, 5]}",
                                      "i32[2] in 0..100 {shape = [7], stream = 3}", NULL};

const lvt_op_def lvt_op_def_random_uniform = {
    .name = "random_uniform",
    .kind = LVT_KIND_COMPUTE,
    .min_operands = 1,
    .max_operands = 1,
    .n_results = 1,
    .operands = "key: i32 [2], seed and step",
    .results = "y: f32 [shape]",
    .meaning = "numbers in [0, 1) from a counter: the same bits for the same key and stream; random_key() is "
               "the key, stream() the next stream",
    .attrs = attrs,
    .n_attrs = LVT_COUNT(attrs),
    .infer = infer,
    .eval = eval,
    .cost = cost,
    .samples = samples,
    .no_gradient = true,
};
