/* broadcast {shape}: repeats dims of size 1 and adds dims in front, by the rules of numpy.
 * May not know: anything outside ir. */
#include "common.h"

static const lvt_attr_def attrs[] = {{"shape", LVT_ATTR_INTS, .required = true}};

static lvt_status infer(lvt_infer *c) {
    const lvt_type *x = &c->operands[0];
    char from[LVT_TYPE_TEXT], to[LVT_TYPE_TEXT];
    LVT_TRY(lvt_shape_attr(c, (lvt_dtype)x->dtype));
    const lvt_type *y = &c->results[0];
    for (int i = 1; i <= x->rank; i++)
        if (x->rank > y->rank || (x->dim[x->rank - i] != 1 && x->dim[x->rank - i] != y->dim[y->rank - i]))
            return lvt_infer_error(c, "E203", "%s does not stretch to %s", lvt_type_text(x, from),
                                   lvt_type_text(y, to));
    return LVT_OK;
}

static lvt_status eval(lvt_eval *c) {
    const lvt_type *x = &c->in[0].type, *y = &c->out[0].type;
    int64_t strides[LVT_MAX_RANK], stretched[LVT_MAX_RANK] = {0};
    lvt_strides(x, strides);
    for (int i = 0; i < x->rank; i++)
        stretched[y->rank - x->rank + i] = x->dim[i] == 1 ? 0 : strides[i];
    lvt_strided_read(y, c->out[0].data, c->in[0].data, stretched);
    return LVT_OK;
}

static lvt_status grad(lvt_grad *c) {
    lvt_type x = *lvt_value_type(c->b->graph, c->node->operands[0]);
    c->doperands[0] = lvt_build_unbroadcast(c->b, c->dresults[0], &x);
    return LVT_MADE(c->doperands[0]);
}

static const char *const samples[] = {"f32[] in -2..2 {shape = [2, 3]}", "f32[3] in -2..2 {shape = [2, 3]}",
                                      "f32[2,1,3] in -2..2 {shape = [2, 4, 3]}",
                                      "f32[4,1] in -2..2 {shape = [2, 4, 3]}", NULL};

const lvt_op_def lvt_op_def_broadcast = {
    .name = "broadcast",
    .kind = LVT_KIND_VIEW,
    .min_operands = 1,
    .max_operands = 1,
    .n_results = 1,
    .operands = "x: any",
    .results = "y: any [shape]",
    .meaning = "repeats dims of size 1 and adds dims in front, by the rules of numpy",
    .attrs = attrs,
    .n_attrs = LVT_COUNT(attrs),
    .infer = infer,
    .grad = grad,
    .eval = eval,
    .samples = samples,
};
