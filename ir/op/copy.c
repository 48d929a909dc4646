/* copy: the same value, laid out contiguously. Made by pass layout where a kernel cannot read a view.
 * May not know: anything outside ir. */
#include "common.h"

#include <string.h>

static lvt_status infer(lvt_infer *c) {
    c->results[0] = c->operands[0];
    return LVT_OK;
}

static lvt_status eval(lvt_eval *c) {
    memcpy(c->out[0].data, c->in[0].data, (size_t)lvt_numel(&c->in[0].type) * sizeof(double));
    return LVT_OK;
}

static lvt_status grad(lvt_grad *c) {
    c->doperands[0] = c->dresults[0];
    return LVT_OK;
}

static const char *const samples[] = {"f32[2,3] in -2..2", "i32[4] in -9..9", NULL};

const lvt_op_def lvt_op_def_copy = {
    .name = "copy",
    .kind = LVT_KIND_COMPUTE,
    .min_operands = 1,
    .max_operands = 1,
    .n_results = 1,
    .operands = "x: any",
    .results = "y: any",
    .meaning = "a contiguous copy of a view; made by pass layout",
    .infer = infer,
    .grad = grad,
    .eval = eval,
    .samples = samples,
};
