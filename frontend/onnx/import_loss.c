/* Imported losses, and the update formulas of ai.onnx.preview.training. May not know: files. */
#include "importer.h"

#include <string.h>

/* x [N,C,d...], labels [N,d...], weight [C] or none. Rows of classes, as cross_entropy has them; a row with
 * the label ignore_index counts for nothing. mean: the sum over the sum of the rows' weights. */
static bool loss(lvt_importer *im) {
    bool of_logits = !strcmp(im->n->op_type, "SoftmaxCrossEntropyLoss");
    lvt_builder *b = &im->b;
    lvt_value x = lvt_im_in(im, 0), labels = lvt_im_in(im, 1), valid = LVT_NONE, weight = LVT_NONE, l;
    lvt_type t = lvt_im_type(im, x), u = lvt_im_type(im, labels), last = t;
    int64_t order[LVT_MAX_RANK] = {0}, back[LVT_MAX_RANK] = {0};
    const char *reduction = lvt_im_string(im, "reduction", "mean");
    if (t.rank < 2 || u.rank != t.rank - 1)
        return lvt_im_no(im, "its labels do not fit its input");
    for (int i = 1; i < t.rank; i++) {
        order[i] = i == t.rank - 1 ? 1 : i + 1;
        back[i] = i == 1 ? t.rank - 1 : i - 1;
        last.dim[i] = t.dim[order[i]];
    }
    int64_t classes = t.dim[1], rows = lvt_numel(&t) / classes;
    if (lvt_numel(&u) != rows)
        return lvt_im_no(im, "its labels do not fit its input");
    x = lvt_build_reshape(b, lvt_build_transpose(b, x, order), 2, (int64_t[]){rows, classes});
    labels = lvt_build_reshape(b, lvt_build_cast(b, labels, LVT_I32), 1, &rows);
    if (lvt_im_attr(im, "ignore_index")) {
        valid = lvt_imk(im, LVT_OP_ne, labels, (double)lvt_im_int(im, "ignore_index", 0));
        labels = lvt_build_select(b, valid, labels, lvt_im_number(im, labels, 0));
    }
    if (of_logits) {
        l = lvt_build(b, LVT_OP_cross_entropy, 2, (lvt_value[]){x, labels}, 0, NULL);
    } else {
        lvt_value hit = lvt_im_hot(im, labels, classes);
        l = lvt_build_select(b, hit, x, lvt_im_number(im, x, 0)); /* 0 times -inf would be no number */
        l = lvt_im1(im, LVT_OP_neg, lvt_build_reduce(b, LVT_OP_reduce_sum, l, 1, (int64_t[]){1}, false));
    }
    if (lvt_im_has(im, 2)) {
        lvt_named_attr a = {"axis", lvt_attr_int(0)};
        weight = lvt_build(b, LVT_OP_gather, 2, (lvt_value[]){lvt_im_statistic(im, 2), labels}, 1, &a);
        l = lvt_im2(im, LVT_OP_mul, l, weight);
    }
    if (valid != LVT_NONE) {
        lvt_value none = lvt_im_number(im, l, 0);
        l = lvt_build_select(b, valid, l, none);
        weight = weight == LVT_NONE ? lvt_build_cast(b, valid, (lvt_dtype)t.dtype)
                                    : lvt_build_select(b, valid, weight, none);
    }
    if (im->n->n_output > 1) {
        lvt_value p = of_logits ? lvt_build(b, LVT_OP_log_softmax, 1, &x, 0, NULL) : x;
        im->out[1] = lvt_build_transpose(b, lvt_build_reshape(b, p, last.rank, last.dim), back);
    }
    if (!strcmp(reduction, "none"))
        return lvt_im_out(im, lvt_build_reshape(b, l, u.rank, u.dim));
    if (strcmp(reduction, "sum") && strcmp(reduction, "mean"))
        return lvt_im_no(im, "reduction %s is not known", reduction);
    bool sum = !strcmp(reduction, "sum") || weight != LVT_NONE;
    l = lvt_build_reduce(b, sum ? LVT_OP_reduce_sum : LVT_OP_reduce_mean, l, 0, NULL, false);
    if (!strcmp(reduction, "mean") && weight != LVT_NONE)
        l = lvt_im2(im, LVT_OP_div, l, lvt_build_reduce(b, LVT_OP_reduce_sum, weight, 0, NULL, false));
    return lvt_im_out(im, l);
}

enum { ADAGRAD, ADAM, MOMENTUM };

/* Inputs: rate, step number, then all X, all gradients, and all of each state; outputs: all new X, and of
 * each state. */
static bool update(lvt_importer *im) {
    int code = lvt_im_code(im);
    size_t states = code == ADAM ? 2 : 1, inputs = im->n->n_input,
           n = inputs > 2 ? (inputs - 2) / (2 + states) : 0;
    double norm = lvt_im_float(im, "norm_coefficient", 0), eps = lvt_im_float(im, "epsilon", 1e-6);
    double alpha = lvt_im_float(im, "alpha", 0.9), beta = lvt_im_float(im, "beta", code == ADAM ? 0.999 : 0);
    double after = lvt_im_float(im, "norm_coefficient_post", 0);
    bool nesterov = !strcmp(lvt_im_string(im, "mode", "standard"), "nesterov");
    if (n < 1 || inputs != 2 + n * (2 + states) || n * (1 + states) > LVT_IM_OUTPUTS)
        return lvt_im_no(im, "it has %zu inputs", inputs);
    lvt_dtype dtype = (lvt_dtype)lvt_im_type(im, lvt_im_in(im, 2)).dtype;
    if (!lvt_dtype_is_float(dtype))
        return lvt_im_no(im, "it is known for floats only");
    lvt_value rate = lvt_build_reshape(&im->b, lvt_build_cast(&im->b, lvt_im_in(im, 0), dtype), 0, NULL);
    lvt_value t = lvt_build_reshape(&im->b, lvt_build_cast(&im->b, lvt_im_in(im, 1), dtype), 0, NULL);
    lvt_value one = lvt_im_number(im, rate, 1), later = lvt_imk(im, LVT_OP_gt, t, 0), fresh = LVT_NONE;
    if (code == ADAGRAD) {
        lvt_value decay = lvt_imk(im, LVT_OP_mul, t, lvt_im_float(im, "decay_factor", 0));
        rate = lvt_im2(im, LVT_OP_div, rate, lvt_imk(im, LVT_OP_add, decay, 1));
    } else if (code == MOMENTUM) {
        fresh = lvt_build_select(&im->b, later, lvt_im_number(im, rate, beta), one);
    } else { /* the first steps have seen little: sqrt(1 - beta^t) / (1 - alpha^t) */
        lvt_value a = lvt_im2(im, LVT_OP_sub, one, lvt_im2(im, LVT_OP_pow, lvt_im_number(im, t, alpha), t));
        lvt_value b = lvt_im2(im, LVT_OP_sub, one, lvt_im2(im, LVT_OP_pow, lvt_im_number(im, t, beta), t));
        lvt_value own =
            lvt_im2(im, LVT_OP_div, lvt_im2(im, LVT_OP_mul, rate, lvt_im1(im, LVT_OP_sqrt, b)), a);
        rate = lvt_build_select(&im->b, later, own, rate);
    }
    for (size_t i = 0; i < n; i++) {
        lvt_value x = lvt_im_in(im, 2 + i), g = lvt_im_in(im, 2 + n + i), v = lvt_im_in(im, 2 + 2 * n + i), y;
        g = norm != 0 ? lvt_im2(im, LVT_OP_add, g, lvt_imk(im, LVT_OP_mul, x, norm)) : g;
        if (code == ADAGRAD) {
            v = lvt_im2(im, LVT_OP_add, v, lvt_im1(im, LVT_OP_square, g));
            y = lvt_im2(im, LVT_OP_div, g, lvt_imk(im, LVT_OP_add, lvt_im1(im, LVT_OP_sqrt, v), eps));
        } else if (code == MOMENTUM) {
            v = lvt_im2(im, LVT_OP_add, lvt_imk(im, LVT_OP_mul, v, alpha), lvt_im2(im, LVT_OP_mul, g, fresh));
            y = nesterov ? lvt_im2(im, LVT_OP_add, g, lvt_imk(im, LVT_OP_mul, v, alpha)) : v;
        } else {
            lvt_value h = lvt_im_in(im, 2 + 3 * n + i), square = lvt_im1(im, LVT_OP_square, g);
            v = lvt_im2(im, LVT_OP_add, lvt_imk(im, LVT_OP_mul, v, alpha),
                        lvt_imk(im, LVT_OP_mul, g, 1 - alpha));
            h = lvt_im2(im, LVT_OP_add, lvt_imk(im, LVT_OP_mul, h, beta),
                        lvt_imk(im, LVT_OP_mul, square, 1 - beta));
            y = lvt_im2(im, LVT_OP_div, v, lvt_imk(im, LVT_OP_add, lvt_im1(im, LVT_OP_sqrt, h), eps));
            im->out[2 * n + i] = h;
        }
        y = lvt_im2(im, LVT_OP_sub, x, lvt_im2(im, LVT_OP_mul, y, rate));
        im->out[i] = after != 0 ? lvt_imk(im, LVT_OP_mul, y, 1 - after) : y;
        im->out[n + i] = v;
        if (im->out[i] == LVT_NONE || v == LVT_NONE)
            return false;
    }
    return true;
}

const lvt_im_row lvt_im_losses[] = {
    {"SoftmaxCrossEntropyLoss", loss, 0}, {"NegativeLogLikelihoodLoss", loss, 0},
    {"Adagrad", update, ADAGRAD},         {"Adam", update, ADAM},
    {"Momentum", update, MOMENTUM},       {0}};
