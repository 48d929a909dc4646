/* Imported operators that speak of the graph itself: If, whose branch is chosen while importing or whose results are when
 * the program runs, and
 * Gradient. May not know: files. */
#include "importer.h"

#include <string.h>

/* The branch's nodes stand in the graph as if they had no frame; their names are unique in the whole model. Its
 * results go into `results`, one an output of the node. */
static bool branch(lvt_importer *im, const char *name, lvt_value *results) {
    const Onnx__NodeProto *own = im->n;
    const Onnx__AttributeProto *a = lvt_im_attr(im, name);
    const Onnx__GraphProto *g = a ? a->g : NULL;
    uint64_t read[] = {im->attributes_read, im->inputs_read};
    if (!g || g->n_output < own->n_output || own->n_output > LVT_IM_OUTPUTS || g->n_input ||
        g->n_sparse_initializer)
        return lvt_im_no(im, "its %s cannot be used", name);
    bool ok = true;
    for (size_t i = 0; i < g->n_initializer && ok; i++) {
        const char *of = g->initializer[i]->name ? g->initializer[i]->name : "";
        lvt_im_value *v = lvt_im_slot(im, of);
        if (!*of || lvt_im_made(v))
            return lvt_im_no(im, "a tensor of its %s is called '%s'", name, of);
        *v = (lvt_im_value){
            .name = of, .value = LVT_NONE, .tensor = g->initializer[i], .weight = LVT_NONE, .wanted = true};
    }
    for (size_t i = 0; i < g->n_node && ok; i++)
        ok = lvt_im_node(im, g->node[i]) == LVT_OK;
    im->n = own;
    im->why[0] = 0; /* what went wrong inside was reported there */
    im->attributes_read = read[0];
    im->inputs_read = read[1];
    im->nothing = false;
    im->tensor = NULL;
    im->empty_results = 0;
    for (size_t k = 0; k < own->n_output && ok; k++) {
        results[k] = lvt_im_named(im, g->output[k]->name ? g->output[k]->name : "");
        if (results[k] == LVT_NONE)
            return lvt_im_no(im, "output %zu of its %s cannot be made", k, name);
    }
    return ok;
}

/* One branch where the condition is known while importing; else both, and each result is chosen when the program runs:
 * their types must be equal. */
static bool if_node(lvt_importer *im) {
    static const char *const names[] = {"else_branch", "then_branch"};
    lvt_value results[2][LVT_IM_OUTPUTS], condition = LVT_NONE;
    double known;
    bool fixed = lvt_im_numbers(im, 0, 1, &known) == 1, ok = true;
    if (!fixed) {
        im->why[0] = 0;
        condition = lvt_im_in(im, 0);
        lvt_type t = lvt_im_type(im, condition);
        if (condition == LVT_NONE || t.dtype != LVT_BOOL || lvt_numel(&t) != 1)
            return lvt_im_no(im, "its condition is not one bool");
        condition = lvt_build_reshape(&im->b, condition, 0, NULL);
    }
    for (int i = 0; i < 2 && ok; i++)
        if (!fixed || i == (known != 0))
            ok = branch(im, names[i], results[i]);
    for (int k = 0; k < LVT_IM_OUTPUTS; k++)
        im->out[k] = LVT_NONE;
    for (size_t k = 0; k < im->n->n_output && ok; k++) {
        im->out[k] = fixed ? results[known != 0][k] : LVT_NONE;
        lvt_type a = fixed ? (lvt_type){0} : lvt_im_type(im, results[0][k]),
                 b = fixed ? (lvt_type){0} : lvt_im_type(im, results[1][k]);
        char text[2][LVT_TYPE_TEXT];
        if (fixed)
            continue;
        if (!lvt_type_equal(&a, &b))
            return lvt_im_no(im, "its condition is known when the program runs only, and output %zu is %s or %s: types must "
                                 "be equal", k, lvt_type_text(&b, text[0]), lvt_type_text(&a, text[1]));
        im->out[k] = lvt_build_select(&im->b, condition, results[1][k], results[0][k]);
        ok = im->out[k] != LVT_NONE;
    }
    return ok;
}

static bool same(const ProtobufCBinaryData *text, const char *name) {
    size_t n = name ? strlen(name) : 0;
    return n && text->len == n && !memcmp(text->data, name, n);
}

/* Derivatives of y where the graph stands: inputs are the tensors that xs and zs name. */
static bool gradient(lvt_importer *im) {
    const Onnx__AttributeProto *xs = lvt_im_attr(im, "xs"), *zs = lvt_im_attr(im, "zs");
    const char *y = lvt_im_string(im, "y", "");
    size_t n = xs ? xs->n_strings : 0, fixed = zs ? zs->n_strings : 0;
    lvt_value operands[LVT_IM_OUTPUTS + 1];
    if (!n || n > LVT_IM_OUTPUTS || im->n->n_output > n || im->n->n_input != n + fixed || !*y)
        return lvt_im_no(im, "it has %zu inputs for %zu names", im->n->n_input, n + fixed);
    for (size_t i = 0; i < n + fixed; i++)
        if (!same(i < n ? &xs->strings[i] : &zs->strings[i - n], im->n->input[i]))
            return lvt_im_no(im,
                             "its input %zu is not the tensor that it names: the gradient elsewhere than "
                             "where the graph stands is not supported",
                             i);
    lvt_value loss = lvt_im_named(im, y);
    if (loss == LVT_NONE)
        return lvt_im_no(im, "nothing before it makes '%s'", y);
    operands[0] =
        lvt_im_type(im, loss).rank ? lvt_build_reduce(&im->b, LVT_OP_reduce_sum, loss, 0, NULL, false) : loss;
    for (size_t i = 0; i < n; i++)
        operands[i + 1] = lvt_im_in(im, i);
    lvt_value d = lvt_build(&im->b, LVT_OP_gradient, (uint32_t)n + 1, operands, 0, NULL);
    for (size_t i = 0; i < im->n->n_output && d != LVT_NONE; i++)
        im->out[i] = d + (lvt_value)i;
    return d != LVT_NONE;
}

const lvt_im_row lvt_im_flows[] = {{"If", if_node, 0}, {"Gradient", gradient, 0}, {0}};
