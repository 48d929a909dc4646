/* cast {dtype}: the same numbers as another element type. To an integer type it drops the fraction and stays
 * within the range of the type (NaN gives 0); to bool everything but 0 is true.
 * May not know: anything outside ir. */
#include "common.h"

#include <string.h>

static const lvt_attr_def attrs[] = {{"dtype", LVT_ATTR_DTYPE, .required = true}};

static lvt_status infer(lvt_infer *c) {
    c->results[0] = c->operands[0];
    c->results[0].dtype = (uint8_t)c->node->attrs[0].i;
    return LVT_OK;
}

/* The interpreter rounds every result to its type, which is all a cast does. */
static lvt_status eval(lvt_eval *c) {
    memcpy(c->out[0].data, c->in[0].data, (size_t)lvt_numel(&c->in[0].type) * sizeof(double));
    return LVT_OK;
}

static lvt_status grad(lvt_grad *c) {
    lvt_dtype from = (lvt_dtype)lvt_value_type(c->b->graph, c->node->operands[0])->dtype;
    c->doperands[0] = lvt_build_cast(c->b, c->dresults[0], from);
    return LVT_MADE(c->doperands[0]);
}

static const char *const samples[] = {
    "f32[2,3] in -3..3 {dtype = f64}", "f32[2,3] in -3..3 {dtype = i32}", "i32[2,3] in -3..3 {dtype = f32}",
    "bool[4] {dtype = f32}",           "f32[3] in -3..300 {dtype = u8}",  "f32[3] in -3..3 {dtype = bool}",
    "u8[3] in 0..256 {dtype = f32}",   "f32[3] in -3..3 {dtype = bf16}",  NULL};

const lvt_op_def lvt_op_def_cast = {
    .name = "cast",
    .kind = LVT_KIND_COMPUTE,
    .min_operands = 1,
    .max_operands = 1,
    .n_results = 1,
    .operands = "x: any",
    .results = "y: dtype",
    .meaning = "the same numbers as another element type; to integers without their fraction",
    .attrs = attrs,
    .n_attrs = LVT_COUNT(attrs),
    .infer = infer,
    .grad = grad,
    .eval = eval,
    .samples = samples,
};
