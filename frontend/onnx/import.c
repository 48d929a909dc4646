/* Import of a model: names, tensors, dims, and the walk over its nodes. May not know: single operators. */
#include "importer.h"
#include "ir/base/c_locale.h"
#include "ir/base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A value made of constants alone, as a constant: shapes are computed by nodes like any other. */
static lvt_value fold(lvt_importer *im, lvt_value v, int depth) {
    const lvt_node n = *lvt_value_node(im->g, v);
    lvt_type type = lvt_im_type(im, v);
    lvt_tensor in[8], out;
    if (n.op == LVT_OP_constant)
        return v;
    if (n.n_results != 1 || n.n_operands > 8 || depth <= 0 || lvt_numel(&type) > 1 << 20 ||
        n.op == LVT_OP_input || n.op == LVT_OP_state || lvt_op_of(&n)->kind == LVT_KIND_META)
        return v;
    for (uint32_t k = 0; k < n.n_operands; k++) {
        lvt_value c = fold(im, n.operands[k], depth - 1);
        if (!lvt_im_known(im, c))
            return v;
        in[k].type = lvt_im_type(im, c);
        size_t count = (size_t)lvt_numel(&in[k].type);
        const lvt_attr *a = lvt_attr_get(lvt_value_node(im->g, c), "values");
        if (!(in[k].data = lvt_arena_alloc(im->arena, count * sizeof(double))))
            return v;
        for (size_t i = 0; i < count; i++)
            in[k].data[i] = a->floats[a->n == 1 ? 0 : i];
    }
    out.type = type;
    out.data = lvt_arena_alloc(im->arena, (size_t)lvt_numel(&type) * sizeof(double));
    if (!out.data || lvt_eval_node(im->g, im->g->values[v].node, in, &out, LVT_PRECISION_F32, NULL) != LVT_OK)
        return v;
    return lvt_im_constant(im, &type, out.data);
}

#define TRAINING "ai.onnx.preview.training"

static bool standard(const char *domain) {
    return !domain || !*domain || !strcmp(domain, "ai.onnx");
}

/* The row of the node's operator; NULL: it is not known. */
static const lvt_im_row *known(const Onnx__NodeProto *n) {
    bool ours = standard(n->domain) || !strcmp(n->domain, TRAINING);
    return ours && n->op_type ? lvt_im_find(n->op_type) : NULL;
}

/* Whether an output needs this node. */
static bool wanted(lvt_importer *im, const Onnx__NodeProto *n) {
    for (size_t k = 0; k < n->n_output; k++)
        if (n->output[k] && *n->output[k] && lvt_im_slot(im, n->output[k])->wanted)
            return true;
    return false;
}

static void want(lvt_importer *im, const char *name) {
    lvt_im_value *v = name && *name ? lvt_im_slot(im, name) : NULL;
    if (v && !v->wanted)
        *v = (lvt_im_value){.name = name, .value = LVT_NONE, .weight = LVT_NONE, .wanted = true};
}

/* How many names a graph brings, those inside its nodes' attributes included. */
static size_t count_names(const Onnx__GraphProto *g) {
    size_t names = g->n_input + g->n_initializer + g->n_output;
    for (size_t i = 0; i < g->n_node; i++) {
        const Onnx__NodeProto *n = g->node[i];
        names += n->n_output + n->n_input + 1;
        for (size_t a = 0; a < n->n_attribute; a++)
            names += n->attribute[a]->g ? count_names(n->attribute[a]->g) : 0;
    }
    return names;
}

/* What a node reads: its inputs, and what is named inside its attributes. */
static void want_inputs(lvt_importer *im, const Onnx__NodeProto *n) {
    for (size_t k = 0; k < n->n_input; k++)
        want(im, n->input[k]);
    for (size_t a = 0; a < n->n_attribute; a++) {
        const Onnx__AttributeProto *attr = n->attribute[a];
        for (size_t i = 0; attr->g && i < attr->g->n_node; i++)
            want_inputs(im, attr->g->node[i]);
        for (size_t i = 0; attr->g && i < attr->g->n_output; i++)
            want(im, attr->g->output[i]->name);
        if (attr->name && !strcmp(attr->name, "y") && attr->has_s && n->op_type &&
            !strcmp(n->op_type, "Gradient"))
            want(im,
                 lvt_arena_strndup(im->arena, attr->s.len ? (const char *)attr->s.data : "", attr->s.len));
    }
}

/* Marks what outputs need; in a file whose nodes are not in order something is left out, and missed later. */
static bool mark(lvt_importer *im) {
    const Onnx__GraphProto *g = im->file->graph;
    size_t names = count_names(g) + lvt_im_n_outputs(im);
    for (im->cap_values = 64; im->cap_values < 4 * names + 2;) /* copies and names of layers come to them */
        im->cap_values *= 2;
    if (!(im->values = lvt_arena_alloc(im->arena, im->cap_values * sizeof *im->values)))
        return false;
    for (size_t i = 0; i < lvt_im_n_outputs(im); i++)
        want(im, lvt_im_output_name(im, i));
    for (size_t i = g->n_node; i-- > 0;)
        if (wanted(im, g->node[i]))
            want_inputs(im, g->node[i]);
    return true;
}

/* All operators that are not known, with the first node of each. */
static lvt_status check_operators(lvt_importer *im) {
    const Onnx__GraphProto *g = im->file->graph;
    lvt_status status = LVT_OK;
    for (size_t i = 0; i < g->n_node; i++) {
        const Onnx__NodeProto *n = g->node[i];
        const char *op = n->op_type ? n->op_type : "", *domain = n->domain ? n->domain : "";
        size_t times = 0;
        bool first = true;
        if (known(n) || !wanted(im, n))
            continue;
        for (size_t k = 0; k < g->n_node && i < 10000 && first; k++) {
            bool same = g->node[k]->op_type && !strcmp(g->node[k]->op_type, op) && wanted(im, g->node[k]);
            times += same;
            first &= !(same && k < i);
        }
        im->index = i;
        if (first)
            status = lvt_error(im->diag, LVT_USER, NULL, lvt_im_place(im),
                               "operator %s%s%s is not supported (%zu node(s), the first is '%s')", domain,
                               standard(domain) ? "" : ".", op, times, n->name ? n->name : "");
    }
    return status;
}

/* Outputs have names of their own, and every one wanted is made by something in the file. */
static lvt_status check_outputs(lvt_importer *im) {
    const Onnx__GraphProto *g = im->file->graph;
    size_t cap = 0, n = 0;
    for (size_t i = 0; i < g->n_node; i++)
        cap += g->node[i]->n_output;
    const char **names = lvt_arena_alloc(im->arena, (cap + 1) * sizeof *names);
    if (!names)
        return LVT_NOMEM;
    for (size_t i = 0; i < g->n_node; i++)
        for (size_t k = 0; k < g->node[i]->n_output; k++)
            names[n++] = g->node[i]->output[k] ? g->node[i]->output[k] : "";
    lvt_status status = LVT_OK;
    for (size_t o = 0; o < lvt_im_n_outputs(im); o++) {
        const char *name = lvt_im_output_name(im, o);
        lvt_im_value *v = lvt_im_slot(im, name);
        if (v->asked)
            status = lvt_error(im->diag, LVT_USER, NULL, im->use->at, "%s: two outputs are called '%s'",
                               im->file->name, name);
        v->asked = *name;
    }
    for (size_t o = 0; o < lvt_im_n_outputs(im) && im->use->n_outputs; o++) {
        const char *name = lvt_im_output_name(im, o);
        bool found = false;
        for (size_t i = 0; i < n; i++)
            found |= !strcmp(names[i], name);
        if (found)
            continue;
        status = lvt_error(im->diag, LVT_USER, NULL, im->use->at, "no node of %s makes a tensor '%s'",
                           im->file->name, name);
        const char *near = lvt_nearest(name, names, n);
        if (near)
            lvt_note(im->diag, LVT_NOWHERE, "did you mean '%s'?", near);
        for (size_t i = n > 6 ? n - 6 : 0; i < n; i++)
            lvt_note(im->diag, LVT_NOWHERE, "one of its last tensors is '%s'", names[i]);
    }
    return status;
}

static lvt_status add_name(lvt_importer *im, const char *name, lvt_value value, uint32_t initialiser) {
    if (!name || !*name)
        return lvt_error(im->diag, LVT_USER, NULL, im->use->at, "a tensor of the graph has no name");
    lvt_im_value *v = lvt_im_slot(im, name);
    const Onnx__TensorProto *t = initialiser != LVT_NONE ? im->file->graph->initializer[initialiser] : NULL;
    if (v->name && (v->value != LVT_NONE || v->tensor))
        return lvt_error(im->diag, LVT_USER, NULL, im->use->at, "two tensors are called '%s'", name);
    *v =
        (lvt_im_value){.name = name, .value = value, .tensor = t, .weight = initialiser, .wanted = v->wanted};
    return LVT_OK;
}

/* The size that a setting says, the last of a name; *text: what it says, NULL when there is none. */
static int64_t symbol(const lvt_importer *im, const char *name, const char **text) {
    int64_t size = 0;
    size_t n = strlen(name);
    *text = NULL;
    for (size_t i = 0; i < im->options->n_settings; i++) {
        const char *s = im->options->settings[i];
        char *end;
        if (strncmp(s, name, n) || s[n] != '=')
            continue;
        *text = s + n + 1;
        size = strtoll(*text, &end, 10);
        if (*end || end == *text)
            size = 0;
    }
    return size;
}

static int64_t size_of_dim(const Onnx__TensorShapeProto__Dimension *d) {
    return d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE ? d->dim_value : 0;
}

static const char *name_of_dim(const Onnx__TensorShapeProto__Dimension *d) {
    bool named = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM && d->dim_param;
    return named ? d->dim_param : "";
}

/* The setting that gives a dim of an input its size: its name, or INPUT.AXIS for one without. */
const char *lvt_onnx_dim_setting(lvt_arena *arena, const char *input, size_t axis,
                                 const Onnx__TensorShapeProto__Dimension *d) {
    const char *name = name_of_dim(d);
    if (size_of_dim(d) > 0)
        return NULL;
    return *name && strcmp(name, "?") && strcmp(name, "-1") ? name
                                                            : lvt_arena_printf(arena, "%s.%zu", input, axis);
}

/* The sizes of an input's dims, those that are not in the file from the settings. All that are missing or
 * cannot be used are reported. */
static lvt_status input_dims(lvt_importer *im, const char *input, const Onnx__TensorShapeProto *s,
                             lvt_type *type) {
    lvt_status status = LVT_OK;
    int64_t n = 1;
    for (size_t i = 0; i < s->n_dim; i++) {
        const char *key = lvt_onnx_dim_setting(im->arena, input, i, s->dim[i]), *text;
        int64_t size = key ? symbol(im, key, &text) : size_of_dim(s->dim[i]);
        im->sizes_given |= key != NULL;
        if (key && !text) {
            status = lvt_error(im->diag, LVT_USER, NULL, im->use->at,
                               "input '%s': the size of dimension %zu (%s) is not in the file", input, i,
                               *name_of_dim(s->dim[i]) ? name_of_dim(s->dim[i]) : "without a name");
            lvt_note(im->diag, LVT_NOWHERE, "give it with `--set %s=SIZE`", key);
        } else if (size < 1 || size > LVT_MAX_DIM || n > LVT_MAX_DIM / size) {
            bool number = !key || size != 0;
            status = lvt_error(im->diag, LVT_USER, NULL, im->use->at,
                               "input '%s': dimension %zu cannot be '%.40s': %s", input, i,
                               key ? text : lvt_arena_printf(im->arena, "%lld", (long long)size),
                               !number              ? "that is no whole number from 1 on"
                               : size < 1           ? "sizes are whole numbers from 1 on"
                               : size > LVT_MAX_DIM ? "that is larger than a dimension may be"
                                                    : "the input would have too many elements");
        } else {
            type->dim[i] = size;
            n *= size;
        }
    }
    return status;
}

/* An input that is given: its type against what the file says. Sizes of one symbol must agree. */
static lvt_status given_input(lvt_importer *im, const Onnx__ValueInfoProto *v, int dtype,
                              const Onnx__TensorShapeProto *s, lvt_value x) {
    lvt_type type = lvt_im_type(im, x);
    char text[LVT_TYPE_TEXT];
    if (im->use->images && type.rank == 4) {
        x = lvt_build_transpose(&im->b, x, (int64_t[]){0, 3, 1, 2});
        type = lvt_im_type(im, x);
    }
    if (x == LVT_NONE)
        return LVT_NOMEM;
    const char *image = im->use->images && type.rank == 4 ? ", channels second" : "";
    lvt_type_text(&type, text);
    if (type.dtype != dtype || type.rank != s->n_dim)
        return lvt_error(im->diag, LVT_USER, NULL, im->use->at,
                         "input '%s' has %zu dimensions of %s in %s, but is given %s%s", v->name, s->n_dim,
                         lvt_dtype_name((lvt_dtype)dtype), im->file->name, text, image);
    for (size_t i = 0; i < s->n_dim && !im->use->any_size; i++) {
        const Onnx__TensorShapeProto__Dimension *d = s->dim[i];
        if (d->value_case != ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE ||
            d->dim_value == type.dim[i])
            continue;
        lvt_error(im->diag, LVT_USER, NULL, im->use->at,
                  "dimension %zu of input '%s' is %lld in %s, but it is given %s%s", i, v->name,
                  (long long)d->dim_value, im->file->name, text, image);
        lvt_note(im->diag, LVT_NOWHERE,
                 "export it with that dimension symbolic, or say `any_size = true` if nothing in it depends "
                 "on the size");
        return LVT_USER;
    }
    lvt_im_input_range(im, x, v->type->tensor_type->elem_type);
    return add_name(im, v->name, x, LVT_NONE);
}

static lvt_status add_input(lvt_importer *im, size_t index) {
    const Onnx__ValueInfoProto *v = im->file->inputs[index];
    const Onnx__TypeProto *t = v->type;
    const char *name = v->name ? v->name : "";
    for (size_t i = 0; i < im->options->n_bound; i++)
        if (!strcmp(im->options->bound[i].name, name)) {
            const lvt_tensor_data *d = im->options->bound[i].value;
            lvt_value c = lvt_im_constant(im, &d->type, d->data);
            return c == LVT_NONE ? LVT_USER : add_name(im, name, c, LVT_NONE);
        }
    if (!t || t->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !t->tensor_type->shape)
        return lvt_error(im->diag, LVT_USER, NULL, im->use->at, "input '%s' is no tensor of known shape",
                         name);
    int dtype = t->tensor_type->has_elem_type ? lvt_onnx_dtype(t->tensor_type->elem_type) : -1;
    const Onnx__TensorShapeProto *s = t->tensor_type->shape;
    if (dtype < 0)
        return lvt_error(im->diag, LVT_USER, NULL, im->use->at,
                         "input '%s': its element type %s is not supported", name,
                         lvt_onnx_type_name(t->tensor_type->elem_type));
    if (s->n_dim > LVT_MAX_RANK)
        return lvt_error(im->diag, LVT_USER, NULL, im->use->at,
                         "input '%s' has %zu dimensions, %d are the limit", name, s->n_dim, LVT_MAX_RANK);
    if (im->use->inputs)
        return given_input(im, v, dtype, s, im->use->inputs[index]);
    lvt_type type = {.dtype = (uint8_t)dtype, .rank = (uint8_t)s->n_dim};
    if (input_dims(im, name, s, &type) != LVT_OK)
        return LVT_USER;
    lvt_value value = lvt_build_input(&im->b, name, &type);
    lvt_im_input_range(im, value, t->tensor_type->elem_type);
    return value == LVT_NONE ? LVT_USER : add_name(im, name, value, LVT_NONE);
}

/* What the builder has said of the node, without its place. */
static void what_builder_says(lvt_importer *im) {
    char *text = lvt_diag_text(im->aside), *from = text ? strstr(text, "error ") : NULL;
    from = from ? strstr(from, ": ") : NULL;
    if (from && !im->why[0])
        lvt_im_no(im, "%.*s", (int)strcspn(from + 2, "\n"), from + 2);
    free(text);
    lvt_diag_clear(im->aside);
}

/* Operators whose attributes were others before operator set 6. */
static bool other_before_6(const char *op) {
    static const char *const names[] = {"BatchNormalization",
                                        "Cast",
                                        "Concat",
                                        "Dropout",
                                        "GlobalLpPool",
                                        "LpPool",
                                        "Pad",
                                        "Split",
                                        "Tile",
                                        "Upsample"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(op, names[i]))
            return true;
    return false;
}

/* Whether something before the node makes all its inputs; *poisoned: of one that could not be made. */
static bool has_inputs(lvt_importer *im, bool *poisoned) {
    const Onnx__NodeProto *n = im->n;
    bool all = true;
    *poisoned = false;
    for (size_t i = 0; i < n->n_input; i++) {
        if (!n->input[i] || !*n->input[i])
            continue;
        const lvt_im_value *v = lvt_im_slot(im, n->input[i]);
        *poisoned |= v->failed;
        if (lvt_im_made(v))
            continue;
        all = false;
        lvt_error(im->diag, LVT_USER, NULL, lvt_im_place(im),
                  "node '%s' (%s): nothing before it makes its input '%s'", n->name ? n->name : "",
                  n->op_type, n->input[i]);
    }
    return all;
}

/* The values of a node's outputs; after a mistake they are poison, and what uses them is silent. */
static lvt_status name_outputs(lvt_importer *im, bool ok) {
    const Onnx__NodeProto *n = im->n;
    for (size_t k = 0; k < n->n_output; k++) {
        if (!n->output[k] || !*n->output[k])
            continue;
        lvt_im_value *v = lvt_im_slot(im, n->output[k]);
        if (lvt_im_made(v))
            return lvt_error(im->diag, LVT_USER, NULL, lvt_im_place(im),
                             "node '%s' (%s): there is a tensor '%s' already", n->name ? n->name : "",
                             n->op_type, n->output[k]);
        lvt_value value = ok && k < LVT_IM_OUTPUTS ? im->out[k] : LVT_NONE;
        *v = (lvt_im_value){.name = n->output[k],
                            .value = value == LVT_NONE ? LVT_NONE : fold(im, value, 64),
                            .weight = LVT_NONE,
                            .type = ok ? lvt_im_result_type(im, k) : 0,
                            .tensor = ok && !k ? im->tensor : NULL,
                            .wanted = v->wanted};
        v->empty = ok && ((!k && im->nothing) || (k < LVT_IM_OUTPUTS && im->empty_results >> k & 1));
        v->failed = v->value == LVT_NONE && !v->empty && !v->tensor;
    }
    return LVT_OK;
}

lvt_status lvt_im_node(lvt_importer *im, const Onnx__NodeProto *n) {
    const lvt_im_row *row = known(n);
    size_t errors = lvt_diag_errors(im->diag);
    im->n = n;
    im->row = row;
    bool poisoned, whole = has_inputs(im, &poisoned);
    for (int k = 0; k < LVT_IM_OUTPUTS; k++)
        im->out[k] = LVT_NONE;
    im->why[0] = 0;
    im->nothing = false;
    im->tensor = NULL;
    im->empty_results = 0;
    im->empty = NULL;
    im->attributes_read = im->inputs_read = 0;
    if (!row)
        return lvt_error(im->diag, LVT_USER, NULL, lvt_im_place(im),
                         "operator %s is not supported (node '%s', inside another)",
                         n->op_type ? n->op_type : "", n->name ? n->name : "");
    if (im->opset < 6 && other_before_6(n->op_type))
        lvt_im_no(im, "its form of operator set %d is not supported", im->opset);
    uint32_t before = im->g->n_values;
    bool ok = whole && !poisoned && !im->why[0] && row->build(im);
    im->n = n;
    ok = ok && lvt_im_all_read(im) && (im->nothing || im->tensor || lvt_im_in_range(im, before));
    for (size_t k = 0; k < n->n_output && ok && !im->nothing && !im->tensor; k++)
        if (n->output[k] && *n->output[k] && lvt_im_slot(im, n->output[k])->wanted &&
            (k >= LVT_IM_OUTPUTS || (im->out[k] == LVT_NONE && !(im->empty_results >> k & 1))))
            ok = lvt_im_no(im, "its output %zu is not supported", k);
    if (im->empty && whole && !poisoned)
        ok = lvt_im_no(im, "its input '%s' is empty", im->empty);
    what_builder_says(im);
    if (!ok && whole && !poisoned && (im->why[0] || lvt_diag_errors(im->diag) == errors))
        lvt_error(im->diag, im->g->no_memory ? LVT_NOMEM : LVT_USER, NULL, lvt_im_place(im),
                  "node '%s' (%s): %s", n->name ? n->name : "", n->op_type,
                  im->why[0] ? im->why : "it cannot be built");
    im->n = n;
    lvt_status status = name_outputs(im, ok);
    return im->g->no_memory ? LVT_NOMEM : ok || (whole && poisoned) ? status : LVT_USER;
}

/* What the file says of an output against what its nodes make. Where sizes were given from outside, dims of
 * the file may be those of its example: then they are warned of. */
static lvt_status check_declared(lvt_importer *im, const char *name, lvt_value v) {
    const Onnx__GraphProto *g = im->file->graph;
    const Onnx__TypeProto__Tensor *t = NULL;
    for (size_t i = 0; i < g->n_output + g->n_value_info && !t; i++) {
        const Onnx__ValueInfoProto *o = i < g->n_output ? g->output[i] : g->value_info[i - g->n_output];
        if (o->name && !strcmp(o->name, name) && o->type &&
            o->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
            t = o->type->tensor_type;
    }
    lvt_type type = lvt_im_type(im, v);
    char have[LVT_TYPE_TEXT], want[200] = "";
    int dtype = t && t->has_elem_type ? lvt_onnx_dtype(t->elem_type) : -1;
    bool other = dtype >= 0 && dtype != type.dtype;
    size_t rank = t && t->shape ? t->shape->n_dim : type.rank, n = 0;
    other |= rank != type.rank;
    for (size_t i = 0; t && t->shape && i < rank; i++) {
        int64_t size = size_of_dim(t->shape->dim[i]);
        other |= size > 0 && i < type.rank && size != type.dim[i];
        n += (size_t)snprintf(want + n, n < sizeof want ? sizeof want - n : 0, size > 0 ? "%s%lld" : "%s?",
                              i ? "," : "", (long long)size);
        n = n < sizeof want ? n : sizeof want - 1;
    }
    if (!t || v == LVT_NONE || !other)
        return LVT_OK;
    bool example =
        (im->sizes_given || im->use->any_size) && rank == type.rank && (dtype < 0 || dtype == type.dtype);
    const char *format = "output '%s' is %s[%s] in the file, but its nodes make %s%s";
    lvt_type_text(&type, have);
    const char *element = lvt_dtype_name((lvt_dtype)(dtype >= 0 ? dtype : type.dtype));
    if (example) {
        lvt_warning(im->diag, NULL, im->use->at, format, name, element, want, have,
                    ": the file's sizes may be those of its example");
        return LVT_OK;
    }
    lvt_error(im->diag, LVT_USER, NULL, im->use->at, format, name, element, want, have, "");
    lvt_note(im->diag, LVT_NOWHERE,
             "one of both is wrong: write the type anew (onnx.shape_inference), or report the node");
    return LVT_USER;
}

static lvt_status import_graph(lvt_importer *im, lvt_value *results) {
    const Onnx__GraphProto *g = im->file->graph;
    lvt_loc here = im->b.loc;
    uint32_t source = lvt_module_source(im->m, im->file->name, NULL, 0);
    if (source == UINT32_MAX)
        return LVT_NOMEM;
    lvt_status status = LVT_OK, one;
    for (size_t i = 0; i < g->n_initializer; i++)
        if ((one = add_name(im, g->initializer[i]->name, LVT_NONE, (uint32_t)i)) != LVT_OK)
            status = one;
    if (g->n_sparse_initializer)
        status = lvt_error(im->diag, LVT_USER, NULL, im->use->at, "sparse initialisers are not supported");
    for (size_t i = 0; i < im->file->n_inputs && status != LVT_NOMEM; i++)
        if ((one = add_input(im, i)) != LVT_OK)
            status = one;
    for (size_t i = 0; i < g->n_node && !im->use->step_of_file; i++)
        lvt_im_name_by_use(im, g->node[i]);
    im->tied = im->use->tied || im->use->step_of_file;
    for (size_t i = 0; i < g->n_node && !im->tied; i++) /* where names were kept the rest is one indeed */
        im->tied = lvt_im_renamed(im, g->node[i]) != NULL;
    /* All that is not supported is said at once, but for what hangs on inputs that are not there. */
    size_t tries = status == LVT_OK ? 20 : 0;
    for (size_t i = 0; i < g->n_node && tries && status != LVT_NOMEM; lvt_im_count_uses(im, g->node[i++])) {
        const lvt_im_value *same = lvt_im_renamed(im, g->node[i]);
        if (!wanted(im, g->node[i]))
            continue;
        im->index = i;
        im->b.loc = lvt_module_loc(im->m, source, (uint32_t)i + 1, 0, here);
        one =
            same ? add_name(im, g->node[i]->output[0], LVT_NONE, same->weight) : lvt_im_node(im, g->node[i]);
        if (one != LVT_OK) {
            status = one;
            tries--;
        }
    }
    lvt_im_tell_copies(im);
    for (size_t i = 0; i < lvt_im_n_outputs(im) && status == LVT_OK; i++) {
        const char *name = lvt_im_output_name(im, i);
        const lvt_im_value *slot = *name ? lvt_im_slot(im, name) : NULL;
        if (!slot || !lvt_im_made(slot))
            return lvt_error(im->diag, LVT_USER, NULL, im->use->at, "no node makes output '%s'", name);
        results[i] = lvt_im_named(im, name);
        if ((one = check_declared(im, name, results[i])) != LVT_OK)
            status = one;
        if (im->use->images && lvt_im_type(im, results[i]).rank == 4)
            results[i] = lvt_build_transpose(&im->b, results[i], (int64_t[]){0, 2, 3, 1});
        if (results[i] == LVT_NONE)
            status = lvt_error(im->diag, LVT_USER, NULL, im->use->at, "output '%s' cannot be made", name);
        lvt_im_check_wide_output(im, name, results[i]);
    }
    if (status == LVT_OK)
        lvt_im_tell_wide(im);
    return status == LVT_OK && im->g->failed ? LVT_USER : status;
}

static lvt_status begin(lvt_importer *im, lvt_onnx_file *f, const lvt_onnx_use *use, lvt_diag *diag) {
    *im = (lvt_importer){.file = f,
                         .use = use,
                         .diag = diag,
                         .folder = f->folder,
                         .options = use->options,
                         .opset = f->opset,
                         .m = use->module,
                         .aside = lvt_diag_new(),
                         .arena = lvt_arena_new()};
    if (use->builder) {
        im->b = *use->builder;
        im->b.diag = im->aside;
        im->g = im->b.graph;
    }
    if (im->arena && im->aside && mark(im))
        return LVT_OK;
    return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "%s: out of memory", f->name);
}

static void end(lvt_importer *im) {
    lvt_arena_free(im->arena);
    lvt_diag_free(im->aside);
}

lvt_status lvt_onnx_check(const lvt_onnx_file *f, const lvt_onnx_use *use, lvt_diag *diag) {
    lvt_importer im;
    lvt_status status = begin(&im, (lvt_onnx_file *)f, use, diag), outputs = LVT_OK;
    if (status == LVT_OK) {
        outputs = check_outputs(&im);
        status = check_operators(&im);
    }
    end(&im);
    return outputs != LVT_OK ? outputs : status;
}

lvt_status lvt_onnx_expand(lvt_onnx_file *f, const lvt_onnx_use *use, lvt_value *results, lvt_diag *diag) {
    lvt_importer im;
    size_t errors = lvt_diag_errors(diag);
    lvt_status status = begin(&im, f, use, diag);
    if (status == LVT_OK)
        status = import_graph(&im, results);
    if (status != LVT_OK && lvt_diag_errors(diag) == errors)
        lvt_error(diag, status, NULL, use->at, "%s: out of memory", f->name);
    end(&im);
    return status;
}

/* ---- files ---- */

size_t lvt_onnx_inputs(const lvt_onnx_file *f) {
    return f->n_inputs;
}
const char *lvt_onnx_input(const lvt_onnx_file *f, size_t i) {
    return f->inputs[i]->name ? f->inputs[i]->name : "";
}
void lvt_onnx_close(lvt_onnx_file *f) {
    if (!f)
        return;
    if (f->model)
        onnx__model_proto__free_unpacked(f->model, NULL);
    free(f->name);
    free(f->folder);
    free(f->weights);
    free(f->inputs);
    free(f);
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

bool lvt_onnx_find_inputs(lvt_onnx_file *f) {
    const Onnx__GraphProto *g = f->graph;
    const char **names = calloc(g->n_initializer + 1, sizeof *names);
    f->inputs = calloc(g->n_input + 1, sizeof *f->inputs);
    f->weights = calloc(g->n_initializer + 1, sizeof *f->weights);
    for (size_t i = 0; names && i < g->n_initializer; i++)
        names[i] = g->initializer[i]->name ? g->initializer[i]->name : "";
    if (names)
        qsort(names, g->n_initializer, sizeof *names, by_text);
    for (size_t i = 0; names && f->inputs && i < g->n_input; i++) {
        const char *name = g->input[i]->name ? g->input[i]->name : "";
        if (!bsearch(&name, names, g->n_initializer, sizeof *names, by_text))
            f->inputs[f->n_inputs++] = g->input[i];
    }
    free(names);
    return names && f->inputs && f->weights;
}

lvt_status lvt_onnx_open_bytes(const char *name, const uint8_t *bytes, size_t size, const char *folder,
                               lvt_onnx_file **out, lvt_diag *diag) {
    lvt_onnx_file *f = *out = NULL;
    Onnx__ModelProto *model = lvt_onnx_bounded(&onnx__model_proto__descriptor, bytes, size, 32)
                                  ? onnx__model_proto__unpack(NULL, size, bytes)
                                  : NULL;
    if (!model || !model->graph) {
        if (model)
            onnx__model_proto__free_unpacked(model, NULL);
        return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                         "%s: not an ONNX model, or one that nests too deep", name);
    }
    if (!(f = calloc(1, sizeof *f))) {
        onnx__model_proto__free_unpacked(model, NULL);
        return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "%s: out of memory", name);
    }
    lvt_status status = LVT_OK;
    *f = (lvt_onnx_file){.model = model, .graph = model->graph, .name = strdup(name)};
    f->folder = folder ? strdup(folder) : NULL;
    for (size_t i = 0; i < model->n_opset_import; i++)
        if (standard(model->opset_import[i]->domain))
            f->opset = model->opset_import[i]->version < 1000 ? (int)model->opset_import[i]->version : 1000;
    for (size_t i = 0; i < model->n_opset_import && !f->opset; i++)
        if (!strcmp(model->opset_import[i]->domain ? model->opset_import[i]->domain : "", TRAINING))
            f->opset = 14; /* nothing else in it: the set of the day */
    if (f->opset < 1 || f->opset > LVT_ONNX_NEWEST)
        status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: its operator set is %d, 1 to %d are known",
                           name, f->opset, LVT_ONNX_NEWEST);
    else if (model->n_functions && lvt_onnx_inline(model, name, diag) != LVT_OK)
        status = LVT_USER;
    else if (!f->name || (folder && !f->folder) || !lvt_onnx_find_inputs(f))
        status = lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "%s: out of memory", name);
    if (status == LVT_OK)
        *out = f;
    else
        lvt_onnx_close(f);
    return status;
}

lvt_status lvt_onnx_open(const char *path, lvt_onnx_file **out, lvt_diag *diag) {
    uint8_t *bytes;
    size_t size;
    *out = NULL;
    lvt_status status = lvt_file_read(path, &bytes, &size, diag);
    if (status != LVT_OK)
        return status;
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    status = folder ? lvt_onnx_open_bytes(path, bytes, size, folder, out, diag) : lvt_no_memory(diag, NULL);
    free(folder);
    free(bytes);
    return status;
}
