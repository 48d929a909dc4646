/* What builders of imported operators ask: inputs, attributes, numbers. May not know: files, single
 * operators. */
#include "importer.h"
#include "ir/base/hash.h"
#include "ir/base/c_locale.h"

#include <stdio.h>
#include <string.h>

static lvt_im_value *input(const lvt_importer *im, size_t i) {
    const char *name = i < im->n->n_input ? im->n->input[i] : NULL;
    if (i < 64)
        ((lvt_importer *)im)->inputs_read |= (uint64_t)1 << i;
    return name && *name ? lvt_im_slot((lvt_importer *)im, name) : NULL;
}

bool lvt_im_has(const lvt_importer *im, size_t i) {
    return input(im, i) != NULL;
}

static bool has_nothing(const lvt_im_value *v) {
    bool empty = v->empty;
    for (size_t i = 0; v->tensor && i < v->tensor->n_dims; i++)
        empty |= v->tensor->dims[i] == 0;
    return empty;
}

bool lvt_im_is_empty(const lvt_importer *im, size_t i) {
    const lvt_im_value *v = input(im, i);
    return v && has_nothing(v);
}

bool lvt_im_out_tensor(lvt_importer *im, const Onnx__TensorProto *t) {
    im->tensor = t;
    return true;
}

bool lvt_im_out_empty(lvt_importer *im) {
    im->nothing = true;
    return true;
}

static lvt_value value_of(lvt_importer *im, lvt_im_value *v, bool trainable) {
    if (!v)
        return LVT_NONE;
    if (has_nothing(v)) {
        im->empty = v->name;
        return LVT_NONE;
    }
    if (v->value == LVT_NONE && v->tensor && !v->failed) {
        v->value = lvt_im_materialise(im, v, trainable);
        v->failed = v->value == LVT_NONE;
    }
    return v->value;
}

static lvt_im_value *own_input(lvt_importer *im, size_t i) {
    lvt_im_value *v = input(im, i);
    return v ? lvt_im_of_its_own(im, i, v) : NULL;
}

lvt_value lvt_im_in(lvt_importer *im, size_t i) {
    return value_of(im, own_input(im, i), true);
}

lvt_value lvt_im_statistic(lvt_importer *im, size_t i) {
    lvt_im_value *v = input(im, i);
    return value_of(im, v ? lvt_im_own_statistic(im, i, v) : NULL, false);
}

lvt_value lvt_im_fixed(lvt_importer *im, size_t i) {
    return value_of(im, input(im, i), false);
}

lvt_value lvt_im_named(lvt_importer *im, const char *name) {
    lvt_im_value *v = *name ? lvt_im_slot(im, name) : NULL;
    return v && v->name ? value_of(im, v, true) : LVT_NONE;
}

bool lvt_im_out(lvt_importer *im, lvt_value v) {
    im->out[0] = v;
    return v != LVT_NONE;
}

const Onnx__AttributeProto *lvt_im_attr(const lvt_importer *im, const char *name) {
    for (size_t i = 0; i < im->n->n_attribute; i++)
        if (im->n->attribute[i]->name && !strcmp(im->n->attribute[i]->name, name)) {
            if (i < 64)
                ((lvt_importer *)im)->attributes_read |= (uint64_t)1 << i;
            return im->n->attribute[i];
        }
    return NULL;
}

/* Attributes that change nothing here, or nothing in the case in which the builder does not read them. */
static bool idle(const char *op, const char *name) {
    static const struct {
        const char *op, *name;             /* op NULL: any */
    } rows[] = {{NULL, "consumed_inputs"}, /* of operator set 1: memory */
                {NULL, "stash_type"},      /* the type of statistics: that of the input, or wider */
                {"Gemm", "broadcast"},     /* before operator set 7: C always is */
                {"If", "then_branch"},     /* the branch that is not taken */
                {"If", "else_branch"},
                {"MaxPool", "storage_order"}, /* of indices */
                {NULL, "saturate"},           /* of float8, which is refused */
                {NULL, "round_mode"},
                {"Dropout", "seed"},    /* streams here are of their own */
                {"Dropout", "is_test"}, /* of operator set 1: the form says it */
                {"BatchNormalization", "is_test"},
                {"BatchNormalization", "spatial"},
                {"BatchNormalization", "training_mode"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if ((!rows[i].op || !strcmp(rows[i].op, op)) && !strcmp(rows[i].name, name))
            return true;
    return false;
}

bool lvt_im_all_read(lvt_importer *im) {
    const Onnx__NodeProto *n = im->n;
    for (size_t i = 0; i < n->n_attribute && i < 64; i++) {
        const char *name = n->attribute[i]->name ? n->attribute[i]->name : "";
        if (!(im->attributes_read >> i & 1) && !idle(n->op_type, name))
            return lvt_im_no(im, "its attribute %s is not supported", name);
    }
    for (size_t i = 0; i < n->n_input && i < 64; i++)
        if (n->input[i] && *n->input[i] && !(im->inputs_read >> i & 1))
            return lvt_im_no(im, "its input %zu is not supported", i);
    return true;
}

int64_t lvt_im_int(const lvt_importer *im, const char *name, int64_t or) {
    const Onnx__AttributeProto *a = lvt_im_attr(im, name);
    return a && a->has_i ? a->i : or ;
}

double lvt_im_float(const lvt_importer *im, const char *name, double or) {
    const Onnx__AttributeProto *a = lvt_im_attr(im, name);
    return a && a->has_f ? a->f : or ;
}

const char *lvt_im_string(lvt_importer *im, const char *name, const char * or) {
    const Onnx__AttributeProto *a = lvt_im_attr(im, name);
    char *s = a && a->has_s ? lvt_arena_strndup(im->arena, a->s.len ? (const char *)a->s.data : "", a->s.len)
                            : NULL;
    return s ? s : or ;
}

int lvt_im_ints(lvt_importer *im, const char *name, int most, int64_t *out) {
    const Onnx__AttributeProto *a = lvt_im_attr(im, name);
    if (!a)
        return -2;
    if (a->n_ints > (size_t)most) {
        lvt_im_no(im, "attribute %s has %zu numbers, %d are possible", name, a->n_ints, most);
        return -1;
    }
    if (a->n_ints)
        memcpy(out, a->ints, a->n_ints * sizeof *out);
    return (int)a->n_ints;
}

bool lvt_im_known(const lvt_importer *im, lvt_value v) {
    return v != LVT_NONE && lvt_value_node(im->g, v)->op == LVT_OP_constant;
}

int lvt_im_numbers(lvt_importer *im, size_t i, int most, double *out) {
    lvt_im_value *v = input(im, i);
    lvt_type type = {0};
    const double *x = NULL;
    uint32_t n = 0;
    if (!v) {
        lvt_im_no(im, "input %zu is missing", i);
        return -1;
    }
    if (has_nothing(v))
        return 0;
    if (v->tensor) {
        x = lvt_onnx_read_tensor(im->arena, v->tensor, im->folder, &type, im->diag);
        n = x ? (uint32_t)lvt_numel(&type) : 0;
    } else if (lvt_im_known(im, v->value)) {
        type = lvt_im_type(im, v->value);
        const lvt_attr *a = lvt_attr_get(lvt_value_node(im->g, v->value), "values");
        x = a->floats;
        n = a->n;
    }
    if (!x || lvt_numel(&type) > most) {
        lvt_im_no(im, x ? "input %zu has too many numbers" : "input %zu is not known while importing", i);
        return -1;
    }
    for (int64_t k = 0; k < lvt_numel(&type); k++)
        out[k] = x[n == 1 ? 0 : k];
    return (int)lvt_numel(&type);
}

int lvt_im_list(lvt_importer *im, size_t i, int most, int64_t *out) {
    double x[64];
    int n = lvt_im_numbers(im, i, most < 64 ? most : 64, x);
    for (int k = 0; k < n; k++)
        out[k] = x[k] >= INT32_MAX   ? INT64_MAX
                 : x[k] <= INT32_MIN ? INT64_MIN
                 : x[k] == x[k]      ? (int64_t)x[k]
                                     : 0;
    return n;
}

int lvt_im_either(lvt_importer *im, size_t i, const char *name, int most, int64_t *out) {
    return lvt_im_has(im, i) ? lvt_im_list(im, i, most, out) : lvt_im_ints(im, name, most, out);
}

int lvt_im_axis(lvt_importer *im, int64_t or, int rank) {
    int64_t a = lvt_im_int(im, "axis", or);
    a += a < 0 ? rank : 0;
    if (a < 0 || a >= rank) {
        lvt_im_no(im, "axis %lld is out of range", (long long)a);
        return -1;
    }
    return (int)a;
}

lvt_value lvt_im_from_front(lvt_importer *im, lvt_value index, int64_t n) {
    lvt_value moved = lvt_imk(im, LVT_OP_add, index, (double)n);
    return lvt_build_select(&im->b, lvt_imk(im, LVT_OP_lt, index, 0), moved, index);
}

static int type_among(Onnx__ValueInfoProto *const *list, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++) {
        const Onnx__TypeProto *t = list[i]->type;
        if (list[i]->name && !strcmp(list[i]->name, name) && t &&
            t->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE && t->tensor_type->has_elem_type)
            return t->tensor_type->elem_type;
    }
    return 0;
}

int lvt_im_onnx_type(const lvt_importer *im, size_t i) {
    const lvt_im_value *v = input(im, i);
    const Onnx__GraphProto *g = im->file->graph;
    if (!v || !v->name)
        return 0;
    if (v->type)
        return v->type;
    if (v->tensor)
        return v->tensor->has_data_type ? v->tensor->data_type : 0;
    int t = type_among(g->input, g->n_input, v->name);
    for (size_t k = 0; k < g->n_node && !t;
         k++) { /* a Constant, or an operator that says it in an attribute */
        const Onnx__NodeProto *n = g->node[k];
        for (size_t o = 0; o < n->n_output && !t; o++)
            for (size_t a = 0; a < n->n_attribute && n->output[o] && !strcmp(n->output[o], v->name); a++)
                t = n->attribute[a]->t && n->attribute[a]->t->has_data_type ? n->attribute[a]->t->data_type
                                                                            : t;
    }
    return t ? t : type_among(g->value_info, g->n_value_info, v->name);
}
