/* argmax {axis}: index (i32) of the largest element along an axis, the first of equals; a NaN counts as larger
 * than all numbers; the axis disappears. May not know: anything outside ir. */
#include "common.h"

static const lvt_attr_def attrs[] = {{"axis", LVT_ATTR_INT, .required = true}};

static lvt_status infer(lvt_infer *c) {
    const lvt_type *x = &c->operands[0];
    int64_t axis = c->node->attrs[0].i;
    LVT_TRY(lvt_want_number(c, 0));
    LVT_TRY(lvt_want_axis(c, axis, x->rank));
    lvt_type *y = &c->results[0];
    *y = (lvt_type){.dtype = LVT_I32};
    for (int i = 0; i < x->rank; i++)
        if (i != axis)
            y->dim[y->rank++] = x->dim[i];
    return LVT_OK;
}

static lvt_status eval(lvt_eval *c) {
    int axis = (int)c->node->attrs[0].i;
    int64_t outer, inner, n = c->in[0].type.dim[axis];
    lvt_around(&c->in[0].type, axis, &outer, &inner);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            const double *x = c->in[0].data + o * n * inner + i;
            int64_t best = 0;
            for (int64_t k = 1; k < n; k++)
                if (lvt_exceeds(x[k * inner], x[best * inner]))
                    best = k;
            c->out[0].data[o * inner + i] = (double)best;
        }
    return LVT_OK;
}

static const char *const samples[] = {"f32[3,4] in -2..2 {axis = 1}", "f32[3,4,2] in -2..2 {axis = 0}",
                                      "i32[6] in 0..3 {axis = 0}", NULL};

const lvt_op_def lvt_op_def_argmax = {
    .name = "argmax",
    .kind = LVT_KIND_COMPUTE,
    .min_operands = 1,
    .max_operands = 1,
    .n_results = 1,
    .operands = "x: number",
    .results = "y: i32",
    .meaning = "index of the largest element along an axis, the first of equals; the axis disappears",
    .attrs = attrs,
    .n_attrs = LVT_COUNT(attrs),
    .infer = infer,
    .eval = eval,
    .cost = lvt_reduce_cost,
    .samples = samples,
    .no_gradient = true,
};
