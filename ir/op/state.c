/* state {index}: the value that a state of the module had when the step began.
 * May not know: anything outside ir. */
#include "common.h"

static const lvt_attr_def attrs[] = {{"index", LVT_ATTR_INT, .required = true}};

static lvt_status infer(lvt_infer *c) {
    int64_t index = c->node->attrs[0].i;
    if (!c->graph || index < 0 || index >= c->graph->module->n_states)
        return lvt_infer_error(c, "E207", "there is no state %lld", (long long)index);
    c->results[0] = c->graph->module->states[index].type;
    return LVT_OK;
}

const lvt_op_def lvt_op_def_state = {
    .name = "state",
    .kind = LVT_KIND_SOURCE,
    .min_operands = 0,
    .max_operands = 0,
    .n_results = 1,
    .operands = "",
    .results = "x: any",
    .meaning = "a parameter or state",
    .attrs = attrs,
    .n_attrs = LVT_COUNT(attrs),
    .infer = infer,
    .no_gradient = true,
};
