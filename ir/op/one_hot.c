/* one_hot (index i32) {size, dtype}: adds a last dim with 1 at the index and 0 elsewhere; an index outside
 * gives a row of zeros. May not know: anything outside ir. */
#include "common.h"

static const lvt_attr_def attrs[] = {{"size", LVT_ATTR_INT, .required = true},
                                     {"dtype", LVT_ATTR_DTYPE, .value = LVT_F32}};

static lvt_status infer(lvt_infer *c) {
    int64_t size = lvt_int_attr(c->node, "size");
    LVT_TRY(lvt_want_i32(c, 0));
    LVT_TRY(lvt_want_rank(c, 0, 0, LVT_MAX_RANK - 1));
    if (size < 1)
        return lvt_infer_error(c, "E207", "size must be 1 or more, not %lld", (long long)size);
    c->results[0] = c->operands[0];
    c->results[0].dtype = (uint8_t)lvt_int_attr(c->node, "dtype");
    c->results[0].dim[c->results[0].rank++] = size;
    return LVT_OK;
}

static lvt_status eval(lvt_eval *c) {
    int64_t size = lvt_int_attr(c->node, "size"), n = lvt_numel(&c->out[0].type);
    for (int64_t i = 0; i < n; i++)
        c->out[0].data[i] = c->in[0].data[i / size] == (double)(i % size);
    return LVT_OK;
}

static lvt_status decompose(lvt_builder *b, const lvt_node *node, const lvt_value *operands,
                            lvt_value *results) {
    const lvt_type *t = lvt_value_type(b->graph, operands[0]);
    lvt_type wide = *t;
    wide.dim[wide.rank++] = 1;
    lvt_value index = lvt_build_reshape(b, operands[0], wide.rank, wide.dim);
    wide.dim[wide.rank - 1] = lvt_int_attr(node, "size");
    lvt_named_attr a[] = {{"dtype", lvt_attr_dtype(LVT_I32)},
                          {"shape", lvt_attr_ints(wide.dim, wide.rank)},
                          {"axis", lvt_attr_int(wide.rank - 1)}};
    lvt_value hit = lvt_build_binary(b, LVT_OP_eq, index, lvt_build(b, LVT_OP_iota, 0, NULL, 3, a));
    results[0] = lvt_build_cast(b, hit, (lvt_dtype)lvt_int_attr(node, "dtype"));
    return LVT_MADE(results[0]);
}

static const char *const samples[] = {"i32[5] in -1..4 {size = 3}",
                                      "i32[2,3] in 0..4 {size = 4, dtype = bool}",
                                      "i32[] in 0..4 {size = 4, dtype = i32}", NULL};

const lvt_op_def lvt_op_def_one_hot = {
    .name = "one_hot",
    .kind = LVT_KIND_COMPUTE,
    .min_operands = 1,
    .max_operands = 1,
    .n_results = 1,
    .operands = "index: i32",
    .results = "y: dtype [..., size]",
    .meaning = "a last dim with 1 at the index; an index outside gives zeros",
    .attrs = attrs,
    .n_attrs = LVT_COUNT(attrs),
    .infer = infer,
    .eval = eval,
    .decompose = decompose,
    .samples = samples,
    .no_gradient = true,
};
