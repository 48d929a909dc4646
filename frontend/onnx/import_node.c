/* What holds of every node that is imported: its place and its words, names, and nodes of the graph that many
 * builders make. May not know: how initialisers become values, single operators. */
#include "importer.h"
#include "ir/base/hash.h"
#include "ir/base/c_locale.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>

bool lvt_im_no(lvt_importer *im, const char *format, ...) {
    va_list args;
    va_start(args, format);
    lvt_vsnprintf(im->why, sizeof im->why, format, args);
    va_end(args);
    return false;
}

int lvt_im_code(const lvt_importer *im) {
    return im->row->code;
}

lvt_im_value *lvt_im_slot(lvt_importer *im, const char *name) {
    size_t at = (size_t)lvt_hash_text(name) &
                (im->cap_values - 1); /* the table is twice as large as there are names */
    while (im->values[at].name && strcmp(im->values[at].name, name))
        at = (at + 1) & (im->cap_values - 1);
    return &im->values[at];
}

lvt_value lvt_im_constant(lvt_importer *im, const lvt_type *t, const double *values) {
    int64_t n = lvt_numel(t), same = 1;
    while (same < n && !memcmp(&values[same], values, sizeof *values))
        same++;
    lvt_named_attr a[] = {{"dtype", lvt_attr_dtype((lvt_dtype)t->dtype)},
                          {"shape", lvt_attr_ints(t->dim, t->rank)},
                          {"values", lvt_attr_floats(values, same == n ? 1 : (size_t)n)}};
    return lvt_build(&im->b, LVT_OP_constant, 0, NULL, 3, a);
}

lvt_value lvt_im_vector(lvt_importer *im, int64_t n, const double *values, lvt_dtype dtype) {
    lvt_type t = lvt_type_make(dtype, 1, &n);
    return lvt_im_constant(im, &t, values);
}

lvt_value lvt_im_number(lvt_importer *im, lvt_value like, double x) {
    return lvt_build_scalar(&im->b, (lvt_dtype)lvt_im_type(im, like).dtype, x);
}

lvt_value lvt_im_iota(lvt_importer *im, int rank, const int64_t *dims, int axis) {
    lvt_named_attr a[] = {{"dtype", lvt_attr_dtype(LVT_I32)},
                          {"shape", lvt_attr_ints(dims, (size_t)rank)},
                          {"axis", lvt_attr_int(axis)}};
    return lvt_build(&im->b, LVT_OP_iota, 0, NULL, 3, a);
}

lvt_value lvt_im_pad(lvt_importer *im, lvt_value x, int axis, int64_t before, int64_t after, double value) {
    lvt_named_attr a[] = {{"axis", lvt_attr_int(axis)},
                          {"before", lvt_attr_int(before)},
                          {"after", lvt_attr_int(after)},
                          {"value", lvt_attr_float(value)}};
    return before || after ? lvt_build(&im->b, LVT_OP_pad, 1, &x, 4, a) : x;
}

lvt_value lvt_im_hot(lvt_importer *im, lvt_value index, int64_t classes) {
    lvt_named_attr a[] = {{"size", lvt_attr_int(classes)}, {"dtype", lvt_attr_dtype(LVT_I32)}};
    return lvt_imk(im, LVT_OP_gt, lvt_build(&im->b, LVT_OP_one_hot, 1, &index, 2, a), 0);
}

lvt_value lvt_im_tensor_value(lvt_importer *im, const Onnx__TensorProto *t) {
    lvt_type type;
    double *x = lvt_onnx_read_tensor(im->arena, t, im->folder, &type, im->diag);
    return x ? lvt_im_constant(im, &type, x) : LVT_NONE;
}

lvt_value lvt_im_root(lvt_importer *im, lvt_value x, double p) {
    if (p == 1)
        return x;
    lvt_value zero = lvt_imk(im, LVT_OP_eq, x, 0);
    lvt_value y = lvt_build_select(&im->b, zero, lvt_im_number(im, x, 1), x);
    y = p == 2 ? lvt_im1(im, LVT_OP_sqrt, y) : lvt_imk(im, LVT_OP_pow, y, 1 / p);
    return lvt_build_select(&im->b, zero, x, y);
}

const char *lvt_im_output_name(const lvt_importer *im, size_t i) {
    const char *name = im->use->n_outputs ? im->use->outputs[i] : lvt_onnx_output(im->file, i);
    return name ? name : "";
}

size_t lvt_im_n_outputs(const lvt_importer *im) {
    return im->use->n_outputs ? im->use->n_outputs : lvt_onnx_outputs(im->file);
}

lvt_pos lvt_im_place(const lvt_importer *im) {
    return im->use->at.file ? im->use->at : (lvt_pos){im->file->name, (uint32_t)im->index + 1, 0};
}

void lvt_im_warn(lvt_importer *im, const char *format, ...) {
    char text[400];
    va_list args;
    va_start(args, format);
    lvt_vsnprintf(text, sizeof text, format, args);
    va_end(args);
    lvt_warning(im->diag, NULL, lvt_im_place(im), "node '%s' (%s): %s", im->n->name ? im->n->name : "",
                im->n->op_type, text);
}

size_t lvt_onnx_outputs(const lvt_onnx_file *f) {
    return f->graph->n_output;
}

const char *lvt_onnx_output(const lvt_onnx_file *f, size_t i) {
    return f->graph->output[i]->name;
}

lvt_type lvt_im_type(const lvt_importer *im, lvt_value v) {
    return v == LVT_NONE ? (lvt_type){.dtype = LVT_F32} : *lvt_value_type(im->g, v);
}
