/* input {index}: a value the caller gives. Its type is the one that was declared with it.
 * May not know: anything outside ir. */
#include "common.h"

static const lvt_attr_def attrs[] = {{"index", LVT_ATTR_INT, .required = true}};

static lvt_status infer(lvt_infer *c) {
    int64_t index = c->node->attrs[0].i;
    if (!c->graph || index < 0 || index >= c->graph->n_inputs || c->graph->inputs[index].value == LVT_NONE)
        return lvt_infer_error(c, "E207", "there is no input %lld", (long long)index);
    c->results[0] = *lvt_value_type(c->graph, c->graph->inputs[index].value);
    return LVT_OK;
}

const lvt_op_def lvt_op_def_input = {
    .name = "input",
    .kind = LVT_KIND_SOURCE,
    .min_operands = 0,
    .max_operands = 0,
    .n_results = 1,
    .operands = "",
    .results = "x: any",
    .meaning = "a value that the caller gives",
    .attrs = attrs,
    .n_attrs = LVT_COUNT(attrs),
    .infer = infer,
    .no_gradient = true,
};
