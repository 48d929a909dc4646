/* Types of results: what holds for every op, and the messages of inference.
 *
 * May not know: how an op infers. */
#include "op.h"
#include "ir/base/c_locale.h"

#include <stdio.h>

lvt_status lvt_infer_error(lvt_infer *c, const char *code, const char *format, ...) {
    static const char *const ordinals[] = {"first", "second", "third"};
    char text[512], type[LVT_TYPE_TEXT];
    va_list args;
    va_start(args, format);
    lvt_vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const lvt_op_def *def = lvt_op_of(c->node);
    lvt_error(c->diag, LVT_USER, code, c->at, "%s: %s", def->name, text);
    if (!c->graph || !c->node->operands)
        return LVT_USER;
    for (uint32_t i = 0; i < c->node->n_operands && i < 3; i++) {
        lvt_pos at = lvt_module_pos(c->graph->module, lvt_value_node(c->graph, c->node->operands[i])->loc);
        lvt_type_text(&c->operands[i], type);
        if (c->node->n_operands == 1)
            lvt_note(c->diag, at, "the operand, %s, comes from here", type);
        else
            lvt_note(c->diag, at, "the %s operand, %s, comes from here", ordinals[i], type);
    }
    return LVT_USER;
}

uint32_t lvt_infer_capacity(const lvt_node *node) {
    uint32_t n = (uint32_t)lvt_op_of(node)->n_results;
    if (node->n_operands > n)
        n = node->n_operands;
    if (node->body && node->body->n_outputs > n)
        n = node->body->n_outputs;
    return n ? n : 1;
}

static lvt_status check_result(lvt_infer *c, const lvt_type *t) {
    char text[LVT_TYPE_TEXT];
    int64_t n;
    for (int i = 0; i < t->rank; i++)
        if (t->dim[i] < 1 || t->dim[i] > LVT_MAX_DIM)
            return lvt_infer_error(c, "E208",
                                   "the result would be %s; a dimension must be at least 1 and at most %lld",
                                   lvt_type_text(t, text), (long long)LVT_MAX_DIM);
    if (!lvt_shape_count(t->rank, t->dim, &n))
        return lvt_infer_error(c, "E208", "the result would be %s; a tensor has at most %lld elements",
                               lvt_type_text(t, text), (long long)LVT_MAX_DIM);
    return LVT_OK;
}

lvt_status lvt_infer_types(const lvt_graph *graph, const lvt_node *node, const lvt_type *operands,
                           lvt_type *results, uint32_t *n_results, lvt_diag *diag, lvt_pos at) {
    const lvt_op_def *def = lvt_op_of(node);
    lvt_infer c = {graph, node, operands, results, (uint32_t)def->n_results, diag, at};
    int n = node->n_operands;
    *n_results = 0;
    if (n < def->min_operands || (def->max_operands >= 0 && n > def->max_operands)) {
        const char *more = def->max_operands < 0 ? "at least " : "";
        return lvt_infer_error(&c, "E201", "takes %s%d operand%s, not %d", more, def->min_operands,
                               def->min_operands == 1 ? "" : "s", n);
    }
    lvt_status status = def->infer(&c);
    for (uint32_t k = 0; status == LVT_OK && k < c.n_results; k++)
        status = check_result(&c, &results[k]);
    *n_results = c.n_results;
    return status;
}
