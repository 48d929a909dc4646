/* Epilogue form: see epilogue.h. Invariant: the answer depends on the body alone; any body that verifies may
 * be asked about. May not know: oneDNN. */
#include "epilogue.h"

bool lvt_epilogue_activates(lvt_op op) {
    return op == LVT_OP_gelu || op == LVT_OP_tanh || op == LVT_OP_sigmoid || op == LVT_OP_silu;
}

const lvt_node *lvt_epilogue_product(const lvt_graph *body) {
    for (lvt_node_id i = 0; i < body->n_nodes; i++)
        if (body->nodes[i].op == LVT_OP_matmul || body->nodes[i].op == LVT_OP_conv2d)
            return &body->nodes[i];
    return NULL;
}

/* The number of the input that v is, or LVT_NONE. */
static uint32_t input_of(const lvt_graph *g, lvt_value v) {
    for (uint32_t i = 0; i < g->n_inputs; i++)
        if (g->inputs[i].value == v)
            return i;
    return LVT_NONE;
}

/* v repeats an input that has one element a column: which input. */
static uint32_t bias_of(const lvt_graph *g, lvt_value v) {
    const lvt_node *n = lvt_value_node(g, v);
    const lvt_type *t = lvt_value_type(g, v);
    if (n->op != LVT_OP_broadcast)
        return LVT_NONE;
    const lvt_type *x = lvt_value_type(g, n->operands[0]);
    return x->rank == 1 && x->dim[0] == t->dim[t->rank - 1] ? input_of(g, n->operands[0]) : LVT_NONE;
}

/* Adds node n, which reads `before`, to the chain; NULL or why not. */
static const char *add_step(const lvt_graph *g, const lvt_node *n, lvt_value before, lvt_epilogue *e) {
    if (e->n == LVT_EPILOGUE_MOST)
        return "more follows the product than its kernel does";
    if (lvt_epilogue_activates((lvt_op)n->op)) {
        e->step[e->n].kind = LVT_EPILOGUE_ACTIVATION;
        e->step[e->n].operand = LVT_NONE;
        e->step[e->n++].op = (lvt_op)n->op;
        return NULL;
    }
    if (n->op != LVT_OP_add || n->operands[0] == n->operands[1])
        return "what follows the product is no addition and no activation";
    lvt_value other = n->operands[n->operands[0] == before];
    lvt_epilogue_kind kind = LVT_EPILOGUE_ADD;
    uint32_t operand = input_of(g, other);
    if (operand == LVT_NONE && e->n == 0) {
        kind = LVT_EPILOGUE_BIAS;
        operand = bias_of(g, other);
    }
    if (kind == LVT_EPILOGUE_ADD && operand != LVT_NONE && e->product->op == LVT_OP_conv2d)
        return "a convolution adds nothing but a bias";
    if (operand == LVT_NONE)
        return "what is added to the product is neither an input nor a bias";
    e->step[e->n].kind = kind;
    e->step[e->n].operand = operand;
    e->step[e->n++].op = LVT_OP_add;
    return NULL;
}

const char *lvt_epilogue_analyse(const lvt_graph *body, lvt_epilogue *out) {
    const lvt_graph *g = body;
    const lvt_node *product = lvt_epilogue_product(g);
    *out = (lvt_epilogue){.product = product};
    if (!product)
        return "there is no product and no convolution in it";
    if (g->n_outputs != 1)
        return "more than one value is needed of it";
    if (g->n_inputs < 2 || product->operands[0] != g->inputs[0].value ||
        product->operands[1] != g->inputs[1].value)
        return "it is no product of its first two operands";
    if (product->op == LVT_OP_matmul && lvt_value_type(g, product->result)->rank != 2)
        return "it is a product of many matrices";
    lvt_value at = product->result;
    for (lvt_node_id i = g->values[at].node + 1; i < g->n_nodes; i++) {
        const lvt_node *n = &g->nodes[i];
        bool reads = false;
        for (uint32_t k = 0; k < n->n_operands; k++)
            reads |= n->operands[k] == at;
        if (n->op == LVT_OP_broadcast && !reads)
            continue; /* of a bias */
        if (!reads)
            return n->op == LVT_OP_input ? "it has inputs behind the product" : "it is more than one chain";
        const char *why = add_step(g, n, at, out);
        if (why)
            return why;
        at = n->result;
    }
    return g->outputs[0].value == at ? NULL : "its result is not the last of the chain";
}
