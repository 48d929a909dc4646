/* Import of a model: names, tensors, dims, and the walk over its nodes. May not know: single operators. */
#include "frontend/onnx/importer.h"
#include "ir/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what builders ask ---- */

bool lvt_im_no(lvt_importer *im, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(im->why, sizeof im->why, format, args);
    va_end(args);
    return false;
}

const lvt_im_row *lvt_im_find(const char *op) {
    static const lvt_im_row *const tables[] = {lvt_im_math, lvt_im_shapes, lvt_im_nets};
    for (size_t t = 0; t < 3; t++)
        for (const lvt_im_row *r = tables[t]; r->op; r++)
            if (!strcmp(r->op, op))
                return r;
    return NULL;
}

int lvt_im_code(const lvt_importer *im) {
    return lvt_im_find(im->n->op_type)->code;
}

static lvt_im_value *slot(lvt_importer *im, const char *name) {
    uint64_t h = 0xcbf29ce484222325u;
    for (const char *c = name; *c; c++)
        h = (h ^ (unsigned char)*c) * 0x100000001b3u;
    size_t at = (size_t)h & (im->cap_values - 1); /* the table is twice as large as there are names */
    while (im->values[at].name && strcmp(im->values[at].name, name))
        at = (at + 1) & (im->cap_values - 1);
    return &im->values[at];
}

static lvt_im_value *input(const lvt_importer *im, size_t i) {
    const char *name = i < im->n->n_input ? im->n->input[i] : NULL;
    return name && *name ? slot((lvt_importer *)im, name) : NULL;
}

bool lvt_im_has(const lvt_importer *im, size_t i) {
    return input(im, i) != NULL;
}

lvt_value lvt_im_constant(lvt_importer *im, const lvt_type *t, const double *values) {
    lvt_named_attr a[] = {{"dtype", lvt_attr_dtype((lvt_dtype)t->dtype)},
                          {"shape", lvt_attr_ints(t->dim, t->rank)},
                          {"values", lvt_attr_floats(values, (size_t)lvt_numel(t))}};
    return lvt_build(&im->b, LVT_OP_constant, 0, NULL, 3, a);
}

lvt_value lvt_im_vector(lvt_importer *im, int64_t n, const double *values, lvt_dtype dtype) {
    lvt_type t = lvt_type_make(dtype, 1, &n);
    return lvt_im_constant(im, &t, values);
}

lvt_value lvt_im_number(lvt_importer *im, lvt_value like, double x) {
    return lvt_build_scalar(&im->b, (lvt_dtype)lvt_im_type(im, like).dtype, x);
}

lvt_value lvt_im_tensor_value(lvt_importer *im, const Onnx__TensorProto *t) {
    lvt_type type;
    double *x = lvt_onnx_read_tensor(im->arena, t, im->folder, &type, im->diag);
    return x ? lvt_im_constant(im, &type, x) : LVT_NONE;
}

/* A float initialiser becomes a state, and its numbers a weight; others are constants. */
static lvt_value materialise(lvt_importer *im, lvt_im_value *v) {
    lvt_type type;
    double *x = lvt_onnx_read_tensor(im->arena, v->tensor, im->folder, &type, im->diag);
    if (!x)
        return LVT_NONE;
    if (!v->weight || im->options->freeze || !lvt_dtype_is_float((lvt_dtype)type.dtype))
        return lvt_im_constant(im, &type, x);
    double sum = 0, squares = 0, n = (double)lvt_numel(&type);
    for (int64_t i = 0; i < lvt_numel(&type); i++)
        sum += x[i];
    for (int64_t i = 0; i < lvt_numel(&type); i++)
        squares += (x[i] - sum / n) * (x[i] - sum / n);
    /* Without its weights a state starts with numbers of their mean and deviation. */
    lvt_init init = {LVT_INIT_CONSTANT, sum / n, 0};
    if (squares > 0)
        init = (lvt_init){LVT_INIT_NORMAL, sum / n, __builtin_sqrt(squares / n)};
    if (!(sum - sum == 0) || !(squares - squares == 0))
        init = (lvt_init){LVT_INIT_CONSTANT, 0, 0};
    if (lvt_module_find_state(im->m, v->name) != LVT_NONE)
        return LVT_NONE;
    uint32_t s = lvt_module_add_state(im->m, v->name, &type, init, true, im->b.loc);
    void *packed = lvt_arena_alloc(im->m->arena, lvt_type_bytes(&type));
    lvt_stored_tensor *list = lvt_arena_grow(im->m->arena, im->weights->tensors, im->weights->n,
                                             im->weights->n + 1, &im->weights->cap, sizeof *list);
    if (s == LVT_NONE || !packed || !list)
        return LVT_NONE;
    lvt_tensor_store(&(lvt_tensor){type, x}, packed);
    list[im->weights->n++] = (lvt_stored_tensor){im->m->states[s].name, type, packed};
    im->weights->tensors = list;
    return lvt_build_state(&im->b, s);
}

lvt_value lvt_im_in(lvt_importer *im, size_t i) {
    lvt_im_value *v = input(im, i);
    if (!v)
        return LVT_NONE;
    if (v->value == LVT_NONE && v->tensor && !v->failed) {
        v->value = materialise(im, v);
        v->failed = v->value == LVT_NONE;
    }
    return v->value;
}

lvt_type lvt_im_type(const lvt_importer *im, lvt_value v) {
    return v == LVT_NONE ? (lvt_type){.dtype = LVT_F32} : *lvt_value_type(im->g, v);
}

bool lvt_im_out(lvt_importer *im, lvt_value v) {
    im->out[0] = v;
    return v != LVT_NONE;
}

const Onnx__AttributeProto *lvt_im_attr(const lvt_importer *im, const char *name) {
    for (size_t i = 0; i < im->n->n_attribute; i++)
        if (im->n->attribute[i]->name && !strcmp(im->n->attribute[i]->name, name))
            return im->n->attribute[i];
    return NULL;
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
    char *s = a && a->has_s ? lvt_arena_strndup(im->arena, (const char *)a->s.data, a->s.len) : NULL;
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
    if (v->tensor && v->tensor->n_dims == 1 && v->tensor->dims[0] == 0)
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

/* ---- the walk ---- */

/* A value made of constants alone, as a constant: shapes are computed by nodes like any other. */
static lvt_value fold(lvt_importer *im, lvt_value v, int depth) {
    const lvt_node n = *lvt_value_node(im->g, v);
    lvt_type type = lvt_im_type(im, v);
    lvt_tensor in[8], out;
    if (n.op == LVT_OP_constant)
        return v;
    if (n.n_results != 1 || n.n_operands > 8 || depth <= 0 || lvt_numel(&type) > 1 << 20 ||
        n.op == LVT_OP_input || n.op == LVT_OP_state)
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

static bool standard(const char *domain) {
    return !domain || !*domain || !strcmp(domain, "ai.onnx");
}

/* All operators that are not known, with the first node of each. */
static lvt_status check_operators(lvt_importer *im, const Onnx__GraphProto *g, const char *file) {
    lvt_status status = LVT_OK;
    for (size_t i = 0; i < g->n_node; i++) {
        const Onnx__NodeProto *n = g->node[i];
        const char *op = n->op_type ? n->op_type : "", *domain = n->domain ? n->domain : "";
        size_t times = 0;
        bool first = true;
        if (standard(domain) && lvt_im_find(op))
            continue;
        for (size_t k = 0; k < g->n_node && i < 10000; k++) {
            bool same = g->node[k]->op_type && !strcmp(g->node[k]->op_type, op);
            times += same;
            first &= !(same && k < i);
        }
        if (first)
            status = lvt_error(im->diag, LVT_USER, NULL, (lvt_pos){file, (uint32_t)i + 1, 0},
                               "operator %s%s%s is not supported (%zu node(s), the first is '%s')", domain,
                               standard(domain) ? "" : ".", op, times, n->name ? n->name : "");
    }
    return status;
}

static lvt_status add_name(lvt_importer *im, const char *name, lvt_value value, const Onnx__TensorProto *t) {
    if (!name || !*name)
        return lvt_error(im->diag, LVT_USER, NULL, LVT_NOWHERE, "a tensor of the graph has no name");
    lvt_im_value *v = slot(im, name);
    if (v->name && value == LVT_NONE && !t)
        return LVT_OK;
    if (v->name)
        return lvt_error(im->diag, LVT_USER, NULL, LVT_NOWHERE, "two tensors are called '%s'", name);
    *v = (lvt_im_value){.name = name, .value = value, .tensor = t, .weight = t != NULL};
    return LVT_OK;
}

static int64_t symbol(const lvt_importer *im, const char *name) {
    int64_t size = 0;
    size_t n = strlen(name);
    for (size_t i = 0; i < im->options->n_settings; i++) {
        const char *s = im->options->settings[i];
        char *end;
        if (strncmp(s, name, n) || s[n] != '=')
            continue;
        size = strtoll(s + n + 1, &end, 10);
        if (*end)
            size = 0;
    }
    return size;
}

static lvt_status add_input(lvt_importer *im, const Onnx__ValueInfoProto *v) {
    const Onnx__TypeProto *t = v->type;
    const char *name = v->name ? v->name : "";
    if (slot(im, name)->tensor) /* an input with a default: it is taken as the constant it is by default */
        return LVT_OK;
    for (size_t i = 0; i < im->options->n_bound; i++)
        if (!strcmp(im->options->bound[i].name, name)) {
            const lvt_tensor_data *d = im->options->bound[i].value;
            lvt_value c = lvt_im_constant(im, &d->type, d->data);
            return c == LVT_NONE ? LVT_USER : add_name(im, name, c, NULL);
        }
    if (!t || t->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !t->tensor_type->shape)
        return lvt_error(im->diag, LVT_USER, NULL, LVT_NOWHERE, "input '%s' is no tensor of known shape",
                         name);
    int dtype = t->tensor_type->has_elem_type ? lvt_onnx_dtype(t->tensor_type->elem_type) : -1;
    const Onnx__TensorShapeProto *s = t->tensor_type->shape;
    if (dtype < 0 || s->n_dim > LVT_MAX_RANK)
        return lvt_error(im->diag, LVT_USER, NULL, LVT_NOWHERE,
                         "input '%s': its element type or rank is not supported", name);
    lvt_type type = {.dtype = (uint8_t)dtype, .rank = (uint8_t)s->n_dim};
    int64_t n = 1;
    for (size_t i = 0; i < s->n_dim; i++) {
        const Onnx__TensorShapeProto__Dimension *d = s->dim[i];
        bool symbolic = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
        int64_t size = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE ? d->dim_value
                       : symbolic ? symbol(im, d->dim_param)
                                  : 0;
        if (size < 1 || size > LVT_MAX_DIM || n > LVT_MAX_DIM / size) {
            lvt_error(im->diag, LVT_USER, NULL, LVT_NOWHERE,
                      "input '%s': the size of dimension %zu (%s) is not usable", name, i,
                      symbolic ? d->dim_param : "not given");
            if (symbolic)
                lvt_note(im->diag, LVT_NOWHERE, "give it with `--set %s=SIZE`", d->dim_param);
            return LVT_USER;
        }
        type.dim[i] = size;
        n *= size;
    }
    lvt_value value = lvt_build_input(&im->b, name, &type);
    return value == LVT_NONE ? LVT_USER : add_name(im, name, value, NULL);
}

static lvt_status build_node(lvt_importer *im, const char *file) {
    const Onnx__NodeProto *n = im->n;
    const lvt_im_row *row = lvt_im_find(n->op_type);
    lvt_pos at = lvt_module_pos(im->m, im->b.loc);
    const char *name = n->name ? n->name : "";
    (void)file;
    for (size_t i = 0; i < n->n_input; i++) {
        const lvt_im_value *v = input(im, i);
        if (v && !v->name)
            return lvt_error(im->diag, LVT_USER, NULL, at,
                             "node '%s' (%s): nothing before it makes its input '%s'", name, n->op_type,
                             n->input[i]);
    }
    for (int k = 0; k < LVT_IM_OUTPUTS; k++)
        im->out[k] = LVT_NONE;
    im->why[0] = 0;
    bool poisoned = false;
    for (size_t i = 0; i < n->n_input; i++)
        poisoned |= input(im, i) && input(im, i)->failed;
    size_t errors = lvt_diag_errors(im->diag);
    bool ok = !poisoned && row->build(im);
    if (!ok && !poisoned && (im->why[0] || lvt_diag_errors(im->diag) == errors))
        lvt_error(im->diag, im->g->no_memory ? LVT_NOMEM : LVT_USER, NULL, at, "node '%s' (%s): %s", name,
                  n->op_type, im->why[0] ? im->why : "it cannot be built");
    for (size_t k = 0; k < n->n_output; k++) {
        if (!n->output[k] || !*n->output[k])
            continue;
        lvt_im_value *v = slot(im, n->output[k]);
        if (v->name)
            return lvt_error(im->diag, LVT_USER, NULL, at, "node '%s' (%s): there is a tensor '%s' already",
                             name, n->op_type, n->output[k]);
        lvt_value value = ok && k < LVT_IM_OUTPUTS ? im->out[k] : LVT_NONE;
        *v =
            (lvt_im_value){.name = n->output[k], .value = value == LVT_NONE ? LVT_NONE : fold(im, value, 64)};
        v->failed = v->value == LVT_NONE;
    }
    return ok || poisoned ? LVT_OK : LVT_USER;
}

static lvt_status import_graph(lvt_importer *im, const Onnx__GraphProto *g, const char *file) {
    size_t names = g->n_input + g->n_initializer;
    for (size_t i = 0; i < g->n_node; i++)
        names += g->node[i]->n_output + g->node[i]->n_input;
    for (im->cap_values = 64; im->cap_values < 2 * names + 2;)
        im->cap_values *= 2;
    im->values = lvt_arena_alloc(im->arena, im->cap_values * sizeof *im->values);
    uint32_t source = lvt_module_source(im->m, file, NULL, 0);
    if (!im->values || source == UINT32_MAX)
        return LVT_NOMEM;
    lvt_status status = check_operators(im, g, file), one;
    for (size_t i = 0; i < g->n_initializer; i++)
        if ((one = add_name(im, g->initializer[i]->name, LVT_NONE, g->initializer[i])) != LVT_OK)
            status = one;
    if (g->n_sparse_initializer)
        status = lvt_error(im->diag, LVT_USER, NULL, LVT_NOWHERE, "sparse initialisers are not supported");
    for (size_t i = 0; i < g->n_input && status != LVT_NOMEM; i++)
        if ((one = add_input(im, g->input[i])) != LVT_OK)
            status = one;
    for (size_t i = 0; i < g->n_node && status == LVT_OK; i++) {
        im->n = g->node[i];
        im->b.loc = lvt_module_loc(im->m, source, (uint32_t)i + 1, 0, 0);
        status = build_node(im, file);
    }
    for (size_t i = 0; i < g->n_output && status == LVT_OK; i++) {
        const char *name = g->output[i]->name ? g->output[i]->name : "";
        Onnx__NodeProto identity;
        onnx__node_proto__init(&identity);
        identity.input = (char **)&name;
        identity.n_input = 1;
        im->n = &identity;
        if (!slot(im, name)->name)
            return lvt_error(im->diag, LVT_USER, NULL, LVT_NOWHERE, "no node makes output '%s'", name);
        lvt_value v = lvt_im_in(im, 0);
        if (v == LVT_NONE || !lvt_graph_add_output(im->g, name, v, im->b.loc))
            status = lvt_error(im->diag, LVT_USER, NULL, LVT_NOWHERE, "output '%s' cannot be made", name);
    }
    return status == LVT_OK && im->g->failed ? LVT_USER : status;
}

lvt_status lvt_onnx_import_bytes(const char *name, const uint8_t *bytes, size_t size, const char *folder,
                                 const lvt_onnx_import *options, lvt_module **out, lvt_onnx_weights *weights,
                                 lvt_diag *diag) {
    *out = NULL;
    *weights = (lvt_onnx_weights){0};
    Onnx__ModelProto *model = lvt_onnx_bounded(&onnx__model_proto__descriptor, bytes, size, 32)
                                  ? onnx__model_proto__unpack(NULL, size, bytes)
                                  : NULL;
    if (!model || !model->graph) {
        if (model)
            onnx__model_proto__free_unpacked(model, NULL);
        return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                         "%s: not an ONNX model, or one that nests too deep", name);
    }
    lvt_importer im = {.diag = diag, .folder = folder, .options = options, .weights = weights};
    lvt_status status = LVT_OK;
    for (size_t i = 0; i < model->n_opset_import; i++)
        if (standard(model->opset_import[i]->domain))
            im.opset = model->opset_import[i]->version < 1000 ? (int)model->opset_import[i]->version : 1000;
    if (im.opset < 6 || im.opset > 21)
        status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: its operator set is %d, 6 to 21 are known",
                           name, im.opset);
    im.arena = lvt_arena_new();
    im.m = lvt_module_new(model->graph->name && *model->graph->name ? model->graph->name : "model");
    im.g = im.m ? lvt_module_add_entry(im.m, options->entry ? options->entry : "predict", 0, false) : NULL;
    if (!im.arena || !im.g)
        status = LVT_NOMEM;
    if (status == LVT_OK) {
        im.b = lvt_builder_for(im.g, diag);
        status = import_graph(&im, model->graph, name);
    }
    if (status != LVT_OK && !lvt_diag_errors(diag))
        lvt_error(diag, status, NULL, LVT_NOWHERE, "%s: out of memory", name);
    lvt_arena_free(im.arena);
    onnx__model_proto__free_unpacked(model, NULL);
    if (status == LVT_OK) {
        *out = im.m;
    } else if (im.m) {
        lvt_module_free(im.m);
        *weights = (lvt_onnx_weights){0};
    }
    return status;
}

lvt_status lvt_onnx_import_file(const char *path, const lvt_onnx_import *options, lvt_module **out,
                                lvt_onnx_weights *weights, lvt_diag *diag) {
    uint8_t *bytes;
    size_t size;
    *out = NULL;
    *weights = (lvt_onnx_weights){0};
    lvt_status status = lvt_file_read(path, &bytes, &size, diag);
    if (status != LVT_OK)
        return status;
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    status = folder ? lvt_onnx_import_bytes(path, bytes, size, folder, options, out, weights, diag)
                    : lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "out of memory");
    free(folder);
    free(bytes);
    return status;
}
