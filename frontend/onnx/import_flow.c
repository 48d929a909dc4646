/* Imported operators that speak of the graph itself: If, whose branch is chosen while importing or whose results are when
 * the program runs; Loop and Scan, which are unrolled; and Gradient. May not know: files. */
#include "importer.h"

#include <math.h>
#include <string.h>

/* Names that a graph makes are free again, for its next turn; all in it, inside its nodes too. */
static void forget(lvt_importer *im, const Onnx__GraphProto *g) {
    for (size_t i = 0; i < g->n_input + g->n_initializer; i++) {
        const char *name = i < g->n_input ? g->input[i]->name : g->initializer[i - g->n_input]->name;
        lvt_im_value *v = name && *name ? lvt_im_slot(im, name) : NULL;
        if (v && v->name)
            *v = (lvt_im_value){.name = v->name, .value = LVT_NONE, .weight = LVT_NONE, .wanted = true};
    }
    for (size_t i = 0; i < g->n_node; i++) {
        const Onnx__NodeProto *n = g->node[i];
        for (size_t k = 0; k < n->n_output; k++) {
            lvt_im_value *v = n->output[k] && *n->output[k] ? lvt_im_slot(im, n->output[k]) : NULL;
            if (v && v->name)
                *v = (lvt_im_value){.name = v->name, .value = LVT_NONE, .weight = LVT_NONE, .wanted = true};
        }
        for (size_t a = 0; a < n->n_attribute; a++)
            if (n->attribute[a]->g)
                forget(im, n->attribute[a]->g);
    }
}

/* The nodes of graph g inside the node at hand (`what` in messages) stand in the graph as if they had no frame; names
 * are unique in the whole model. inputs: one an input of g; results: the first n outputs. */
static bool body(lvt_importer *im, const Onnx__GraphProto *g, const char *what, const lvt_value *inputs,
                 size_t n, lvt_value *results) {
    const Onnx__NodeProto *own = im->n;
    const lvt_im_row *own_row = im->row;
    uint64_t read[] = {im->attributes_read, im->inputs_read};
    bool ok = true;
    for (size_t i = 0; i < g->n_input + g->n_initializer && ok; i++) {
        const Onnx__TensorProto *t = i < g->n_input ? NULL : g->initializer[i - g->n_input];
        const char *of = t ? t->name : g->input[i]->name;
        lvt_im_value *v = of && *of ? lvt_im_slot(im, of) : NULL;
        if (!v || lvt_im_made(v))
            return lvt_im_no(im, "a tensor of its %s is called '%s'", what, of ? of : "");
        *v = (lvt_im_value){
            .name = of, .value = t ? LVT_NONE : inputs[i], .tensor = t, .weight = LVT_NONE, .wanted = true};
        ok = t || inputs[i] != LVT_NONE;
    }
    for (size_t i = 0; i < g->n_node && ok; i++)
        ok = lvt_im_node(im, g->node[i]) == LVT_OK;
    im->n = own;
    im->row = own_row;
    im->why[0] = 0; /* what went wrong inside was reported there */
    im->attributes_read = read[0];
    im->inputs_read = read[1];
    im->nothing = false;
    im->tensor = NULL;
    im->empty_results = 0;
    for (size_t k = 0; k < n && ok; k++) {
        results[k] = lvt_im_named(im, g->output[k]->name ? g->output[k]->name : "");
        if (results[k] == LVT_NONE)
            return lvt_im_no(im, "output %zu of its %s cannot be made", k, what);
    }
    return ok;
}

static bool branch(lvt_importer *im, const char *name, lvt_value *results) {
    const Onnx__AttributeProto *a = lvt_im_attr(im, name);
    const Onnx__GraphProto *g = a ? a->g : NULL;
    if (!g || g->n_output < im->n->n_output || im->n->n_output > LVT_IM_OUTPUTS || g->n_input ||
        g->n_sparse_initializer)
        return lvt_im_no(im, "its %s cannot be used", name);
    return body(im, g, name, NULL, im->n->n_output, results);
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
            return lvt_im_no(
                im,
                "its condition is known when the program runs only, and output %zu is %s or %s: types must "
                "be equal",
                k, lvt_type_text(&b, text[0]), lvt_type_text(&a, text[1]));
        im->out[k] = lvt_build_select(&im->b, condition, results[1][k], results[0][k]);
        ok = im->out[k] != LVT_NONE;
    }
    return ok;
}

/* ---- loops: each turn is built, one after the other ---- */

enum { MOST_TURNS = 256, MOST_CARRIED = 32 };

static const Onnx__GraphProto *body_of(lvt_importer *im) {
    const Onnx__AttributeProto *a = lvt_im_attr(im, "body");
    const Onnx__GraphProto *g = a ? a->g : NULL;
    return g && !g->n_sparse_initializer && g->n_input <= MOST_CARRIED && g->n_output <= MOST_CARRIED ? g
                                                                                                      : NULL;
}

/* Results of all turns, one behind the other along a new axis. */
static lvt_value stacked(lvt_importer *im, uint32_t n, lvt_value *turns, int axis) {
    for (uint32_t i = 0; i < n; i++) {
        lvt_type t = lvt_im_type(im, turns[i]), one = {.rank = t.rank + 1};
        if (turns[i] == LVT_NONE || t.rank == LVT_MAX_RANK || axis > t.rank)
            return LVT_NONE;
        for (int d = 0; d <= t.rank; d++)
            one.dim[d] = d == axis ? 1 : t.dim[d - (d > axis)];
        turns[i] = lvt_build_reshape(&im->b, turns[i], one.rank, one.dim);
    }
    return n > 1 ? lvt_build_concat(&im->b, n, turns, axis) : turns[0];
}

/* (most turns or none, condition or none, carried...) -> carried..., stacked...; body: (turn, condition, carried...) ->
 * condition, carried..., stacked... */
static bool loop(lvt_importer *im) {
    const Onnx__GraphProto *g = body_of(im);
    size_t carried = im->n->n_input >= 2 ? im->n->n_input - 2 : 0, outputs = im->n->n_output;
    double most = INFINITY, go = 1;
    if (!g || g->n_input != carried + 2 || g->n_output < carried + 1 || outputs > g->n_output - 1)
        return lvt_im_no(im, "its body cannot be used");
    for (size_t i = 0; i < 2; i++)
        if (lvt_im_has(im, i) && lvt_im_numbers(im, i, 1, i ? &go : &most) != 1)
            return lvt_im_no(
                im, "how often it turns is known when the program runs only: its %s must be constant",
                i ? "condition" : "number of turns");
    lvt_value in[MOST_CARRIED], out[MOST_CARRIED];
    lvt_value(*turns)[MOST_TURNS] = lvt_arena_alloc(im->arena, MOST_CARRIED * sizeof *turns);
    for (size_t k = 0; k < carried; k++)
        in[2 + k] = lvt_im_in(im, 2 + k);
    uint32_t n = 0;
    for (; turns && go != 0 && n < most; n++) {
        if (n == MOST_TURNS)
            return lvt_im_no(im, "it turns more than %d times, which is the limit: each turn is built",
                             MOST_TURNS);
        in[0] = lvt_build_scalar(&im->b, LVT_I32, n);
        in[1] = lvt_build_scalar(&im->b, LVT_BOOL, 1);
        if (!body(im, g, "body", in, g->n_output, out))
            return false;
        const lvt_attr *a =
            lvt_im_known(im, out[0]) ? lvt_attr_get(lvt_value_node(im->g, out[0]), "values") : NULL;
        if (!a)
            return lvt_im_no(im, "its condition is known when the program runs only");
        go = a->floats[0];
        memcpy(in + 2, out + 1, carried * sizeof *in);
        for (size_t k = carried + 1; k < g->n_output; k++)
            turns[k][n] = out[k];
        forget(im, g);
    }
    if (!turns || (!n && outputs > carried))
        return lvt_im_no(im, "it does not turn at all: its stacked results are empty");
    for (int k = 0; k < LVT_IM_OUTPUTS; k++)
        im->out[k] = LVT_NONE;
    for (size_t k = 0; k < outputs; k++)
        if ((im->out[k] = k < carried ? in[2 + k] : stacked(im, n, turns[k + 1], 0)) == LVT_NONE)
            return im->why[0] ? false : lvt_im_no(im, "its result %zu cannot be made", k);
    return true;
}

static bool axes_of(lvt_importer *im, const char *name, size_t n, int64_t *out) {
    int have = lvt_im_ints(im, name, MOST_CARRIED, out);
    for (size_t i = 0; i < n && have == -2; i++)
        out[i] = 0;
    return have == -2 || have == (int)n || lvt_im_no(im, "its %s do not fit", name);
}

/* (carried..., scanned...) -> carried..., stacked...; a turn for each index of the scanned inputs' axes. */
static bool scan(lvt_importer *im) {
    const Onnx__GraphProto *g = body_of(im);
    int64_t m = lvt_im_int(im, "num_scan_inputs", 0), axes[MOST_CARRIED], back[MOST_CARRIED],
            to[MOST_CARRIED], from_end[MOST_CARRIED], n = 0;
    size_t all = im->n->n_input, outputs = im->n->n_output;
    if (im->opset < 9 || !g || m < 1 || (size_t)m > all || all > MOST_CARRIED || g->n_input != all ||
        g->n_output != outputs)
        return lvt_im_no(im, im->opset < 9 ? "its form of operator set 8 is not supported"
                                           : "its body cannot be used");
    size_t carried = all - (size_t)m;
    if (outputs < carried || !axes_of(im, "scan_input_axes", (size_t)m, axes) ||
        !axes_of(im, "scan_input_directions", (size_t)m, back) ||
        !axes_of(im, "scan_output_axes", outputs - carried, to) ||
        !axes_of(im, "scan_output_directions", outputs - carried, from_end))
        return im->why[0] ? false : lvt_im_no(im, "its body cannot be used");
    lvt_value in[MOST_CARRIED], out[MOST_CARRIED], x[MOST_CARRIED];
    lvt_value(*turns)[MOST_TURNS] = lvt_arena_alloc(im->arena, MOST_CARRIED * sizeof *turns);
    for (size_t k = 0; k < all; k++) {
        x[k] = lvt_im_in(im, k);
        lvt_type t = lvt_im_type(im, x[k]);
        int64_t axis = k < carried ? 0 : axes[k - carried] + (axes[k - carried] < 0 ? t.rank : 0);
        if (x[k] == LVT_NONE || (k >= carried && (axis < 0 || axis >= t.rank || (n && n != t.dim[axis]))))
            return lvt_im_no(im, "its inputs do not fit together");
        if (k >= carried) {
            axes[k - carried] = axis;
            n = t.dim[axis];
        }
        in[k] = x[k];
    }
    if (n > MOST_TURNS || !turns)
        return lvt_im_no(im, "it turns %lld times, %d is the limit: each turn is built", (long long)n,
                         MOST_TURNS);
    for (int64_t i = 0; i < n; i++) {
        for (size_t k = carried; k < all; k++) {
            int axis = (int)axes[k - carried];
            int64_t at = back[k - carried] ? n - 1 - i : i;
            lvt_value row = lvt_build_slice(&im->b, x[k], axis, at, at + 1);
            lvt_type t = lvt_im_type(im, row);
            for (int d = axis; d + 1 < t.rank; d++)
                t.dim[d] = t.dim[d + 1];
            in[k] = row == LVT_NONE ? row : lvt_build_reshape(&im->b, row, t.rank - 1, t.dim);
        }
        if (!body(im, g, "body", in, outputs, out))
            return false;
        memcpy(in, out, carried * sizeof *in);
        for (size_t k = carried; k < outputs; k++)
            turns[k][from_end[k - carried] ? n - 1 - i : i] = out[k];
        forget(im, g);
    }
    for (int k = 0; k < LVT_IM_OUTPUTS; k++)
        im->out[k] = LVT_NONE;
    for (size_t k = 0; k < outputs; k++) {
        int rank = k < carried ? 0 : lvt_im_type(im, turns[k][0]).rank + 1;
        int64_t axis = k < carried ? 0 : to[k - carried] + (to[k - carried] < 0 ? rank : 0);
        if (axis < 0 || (k >= carried && axis >= rank))
            return lvt_im_no(im, "its scan_output_axes do not fit");
        if ((im->out[k] = k < carried ? in[k] : stacked(im, (uint32_t)n, turns[k], (int)axis)) == LVT_NONE)
            return im->why[0] ? false : lvt_im_no(im, "its result %zu cannot be made", k);
    }
    return true;
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

const lvt_im_row lvt_im_flows[] = {
    {"If", if_node, 0}, {"Loop", loop, 0}, {"Scan", scan, 0}, {"Gradient", gradient, 0}, {0}};
