/* fused (operands...): the outputs of its body for these inputs. Made by fusion; the interpreter runs the
 * body. May not know: anything outside ir. */
#include "common.h"

static lvt_status infer(lvt_infer *c) {
    const lvt_graph *body = c->node->body;
    char text[LVT_TYPE_TEXT], other[LVT_TYPE_TEXT];
    if (!body)
        return lvt_infer_error(c, "E206", "has no body");
    if (body->n_inputs != c->node->n_operands)
        return lvt_infer_error(c, "E201", "the body takes %u operand(s), not %u", body->n_inputs,
                               c->node->n_operands);
    for (uint32_t i = 0; i < body->n_inputs; i++) {
        if (body->inputs[i].value == LVT_NONE)
            return lvt_infer_error(c, "E201", "input %u of the body has no node", i);
        const lvt_type *t = lvt_value_type(body, body->inputs[i].value);
        if (!lvt_type_equal(t, &c->operands[i]))
            return lvt_infer_error(c, "E203", "operand %u is %s, the body takes %s", i,
                                   lvt_type_text(&c->operands[i], text), lvt_type_text(t, other));
    }
    for (uint32_t k = 0; k < body->n_outputs; k++)
        c->results[k] = *lvt_value_type(body, body->outputs[k].value);
    c->n_results = body->n_outputs;
    return LVT_OK;
}

const lvt_op_def lvt_op_def_fused = {
    .name = "fused",
    .kind = LVT_KIND_META,
    .min_operands = 0,
    .max_operands = -1,
    .n_results = 1,
    .operands = "x...: any",
    .results = "y...: any",
    .meaning = "the outputs of a body of other ops; made by fusion",
    .infer = infer,
};
