/* What conv2d and its two gradients share: they are one relation between an image x, a weight w and a result
 * y, linear in each, and each op computes one of the three from the other two.
 *
 * So each op's gradients are the other two ops. May not know: anything outside ir. */
#include "common.h"

typedef enum part { X, W, Y, N_PARTS } part;

/* By lvt_conv_what: the op, the part it computes and those of its operands. */
static const struct {
    lvt_op op;
    uint8_t computes, operands[2];
} forms[] = {
    [LVT_CONV_FORWARD] = {LVT_OP_conv2d, Y, {X, W}},
    [LVT_CONV_INPUT] = {LVT_OP_conv2d_grad_input, X, {Y, W}},
    [LVT_CONV_WEIGHT] = {LVT_OP_conv2d_grad_weight, W, {Y, X}},
};
static const lvt_conv_what computing[N_PARTS] = {
    [X] = LVT_CONV_INPUT, [W] = LVT_CONV_WEIGHT, [Y] = LVT_CONV_FORWARD};

static lvt_conv_what form_of(const lvt_node *n) {
    lvt_conv_what what = LVT_CONV_FORWARD;
    while (forms[what].op != n->op)
        what++;
    return what;
}

lvt_status lvt_conv_eval(lvt_eval *c) {
    lvt_conv_what what = form_of(c->node);
    const lvt_tensor *parts[N_PARTS];
    parts[forms[what].computes] = &c->out[0];
    for (int i = 0; i < 2; i++)
        parts[forms[what].operands[i]] = &c->in[i];
    lvt_conv conv = {lvt_window_of(c->node), &parts[X]->type, &parts[W]->type, &parts[Y]->type,
                     parts[X]->data,         parts[W]->data,  parts[Y]->data};
    return lvt_conv_run(&conv, what, c->arena);
}

/* The op of that form on these parts, with the window of `like`. */
static lvt_value build(lvt_builder *b, const lvt_node *like, lvt_conv_what what,
                       const lvt_value parts[N_PARTS]) {
    lvt_value made = parts[forms[what].computes]; /* of the type of what is computed */
    lvt_type type = *lvt_value_type(b->graph, made);
    lvt_named_attr a[LVT_CONV_ATTRS + 2];
    uint32_t n = LVT_CONV_ATTRS;
    lvt_same_attrs(like, LVT_CONV_ATTRS, a);
    if (what == LVT_CONV_INPUT) {
        a[n++] = (lvt_named_attr){"height", lvt_attr_int(type.dim[1])};
        a[n++] = (lvt_named_attr){"width", lvt_attr_int(type.dim[2])};
    } else if (what == LVT_CONV_WEIGHT) {
        a[n++] = (lvt_named_attr){"kernel", lvt_attr_ints(&type.dim[2], 2)};
    }
    lvt_value operands[] = {parts[forms[what].operands[0]], parts[forms[what].operands[1]]};
    return lvt_build(b, forms[what].op, 2, operands, n, a);
}

lvt_status lvt_conv_grad(lvt_grad *c) {
    lvt_conv_what what = form_of(c->node);
    for (int i = 0; i < 2; i++) {
        if (!c->wants[i])
            continue;
        part wanted = forms[what].operands[i], other = forms[what].operands[1 - i];
        lvt_value parts[N_PARTS];
        parts[forms[what].computes] = c->dresults[0];
        parts[other] = c->node->operands[1 - i];
        parts[wanted] = c->node->operands[i];
        c->doperands[i] = build(c->b, c->node, computing[wanted], parts);
        LVT_TRY(LVT_MADE(c->doperands[i]));
    }
    return LVT_OK;
}

lvt_cost lvt_conv_cost_of(const lvt_node *n, const lvt_type *operands, const lvt_type *results) {
    lvt_conv_what what = form_of(n);
    const lvt_type *parts[N_PARTS];
    parts[forms[what].computes] = &results[0];
    for (int i = 0; i < 2; i++)
        parts[forms[what].operands[i]] = &operands[i];
    const lvt_type *w = parts[W];
    lvt_cost cost = {2 * (double)lvt_numel(parts[Y]) * (double)(w->dim[1] * w->dim[2] * w->dim[3]), 0};
    for (int i = 0; i < N_PARTS; i++)
        cost.bytes += (double)lvt_type_bytes(parts[i]);
    return cost;
}
