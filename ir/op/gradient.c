/* gradient (loss, x...) -> d loss / d x...: stands for the reverse of the graph that leads from the x to the
 * loss. Pass autodiff replaces it; nothing evaluates it. May not know: anything outside ir. */
#include "common.h"

static lvt_status infer(lvt_infer *c) {
    char text[LVT_TYPE_TEXT];
    if (c->operands[0].rank != 0 || !lvt_dtype_is_float((lvt_dtype)c->operands[0].dtype))
        return lvt_infer_error(c, "E205", "the loss must be a scalar of a float type, not %s",
                               lvt_type_text(&c->operands[0], text));
    for (uint32_t i = 1; i < c->node->n_operands; i++) {
        if (!lvt_dtype_is_float((lvt_dtype)c->operands[i].dtype))
            return lvt_infer_error(c, "E202", "there is no gradient for %s, which is not of a float type",
                                   lvt_type_text(&c->operands[i], text));
        c->results[i - 1] = c->operands[i];
    }
    c->n_results = c->node->n_operands - 1u;
    return LVT_OK;
}

const lvt_op_def lvt_op_def_gradient = {
    .name = "gradient",
    .kind = LVT_KIND_META,
    .min_operands = 2,
    .max_operands = -1,
    .n_results = 1,
    .operands = "loss: float [], x...: float",
    .results = "dx...: float",
    .meaning = "d loss / d x; grad(loss, of = list) makes it, pass autodiff replaces it",
    .infer = infer,
    .no_gradient = true,
};
