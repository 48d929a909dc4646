/* An ONNX graph in the making. May not know: the intermediate representation's ops, what a model means. */
#include "writer.h"
#include "ir/base/c_locale.h"

#include "ir/base/file.h"
#include "ir/interp.h"
#include "ir/base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory and names ---- */

void *lvt_onnx_alloc(lvt_onnx_writer *w, size_t bytes) {
    void *p = w->no_memory ? NULL : lvt_arena_alloc(w->arena, bytes ? bytes : 1);
    w->no_memory |= !p;
    return p;
}

const char *lvt_onnx_text(lvt_onnx_writer *w, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = lvt_vsnprintf(NULL, 0, format, args);
    char *text = n < 0 ? NULL : lvt_onnx_alloc(w, (size_t)n + 1);
    if (text)
        lvt_vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    va_end(args);
    return text ? text : "";
}

static void *grow(lvt_onnx_writer *w, void *old, size_t n, size_t *cap, size_t size) {
    void *p = w->no_memory ? NULL : lvt_arena_grow(w->arena, old, n, n + 1, cap, size);
    w->no_memory |= !p;
    return p;
}

/* Where the name is or would be. */
static size_t slot(const lvt_onnx_writer *w, const char *name) {
    size_t at = (size_t)lvt_hash_text(name) & (w->cap_names - 1);
    while (w->names[at] && strcmp(w->names[at], name))
        at = (at + 1) & (w->cap_names - 1);
    return at;
}

bool lvt_onnx_taken(const lvt_onnx_writer *w, const char *name) {
    return w->cap_names && w->names[slot(w, name)];
}

const char *lvt_onnx_name(lvt_onnx_writer *w, const char *wanted) {
    if (2 * (w->n_names + 1) > w->cap_names) {
        const char **old = w->names;
        size_t cap = w->cap_names, more = cap ? 2 * cap : 1024;
        const char **table = lvt_onnx_alloc(w, more * sizeof *table);
        if (!table)
            return "";
        w->names = table;
        w->cap_names = more;
        for (size_t i = 0; i < cap; i++)
            if (old[i])
                w->names[slot(w, old[i])] = old[i];
    }
    const char *name = lvt_onnx_text(w, "%s", wanted);
    for (int k = 2; lvt_onnx_taken(w, name) && !w->no_memory; k++)
        name = lvt_onnx_text(w, "%s_%d", wanted, k);
    w->names[slot(w, name)] = name;
    w->n_names++;
    return name;
}

void lvt_onnx_begin(lvt_onnx_writer *w, lvt_arena *arena, int opset, const char *name) {
    *w = (lvt_onnx_writer){.arena = arena, .opset = opset, .prefix = ""};
    onnx__graph_proto__init(&w->graph);
    w->graph.name = (char *)lvt_onnx_text(w, "%s", name);
}

void lvt_onnx_begin_beside(lvt_onnx_writer *w, const lvt_onnx_writer *first, const char *name) {
    lvt_onnx_begin(w, first->arena, first->opset, name);
    w->no_memory |= first->no_memory;
    w->prefix = lvt_onnx_text(w, "%s/", name);
    w->names = lvt_onnx_alloc(w, first->cap_names * sizeof *w->names);
    if (!w->names || !first->cap_names)
        return;
    memcpy(w->names, first->names, first->cap_names * sizeof *w->names);
    w->n_names = first->n_names;
    w->cap_names = first->cap_names;
}

/* ---- nodes ---- */

static Onnx__AttributeProto *attribute(lvt_onnx_writer *w, const char *name,
                                       Onnx__AttributeProto__AttributeType type) {
    Onnx__AttributeProto *a = lvt_onnx_alloc(w, sizeof *a);
    if (!a || w->n_attrs == LVT_ONNX_MAX_ATTRS)
        return NULL;
    onnx__attribute_proto__init(a);
    a->name = (char *)lvt_onnx_text(w, "%s", name);
    a->has_type = 1;
    a->type = type;
    return w->attrs[w->n_attrs++] = a;
}

void lvt_onnx_int(lvt_onnx_writer *w, const char *name, int64_t v) {
    Onnx__AttributeProto *a = attribute(w, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    if (a) {
        a->has_i = 1;
        a->i = v;
    }
}

void lvt_onnx_float(lvt_onnx_writer *w, const char *name, double v) {
    Onnx__AttributeProto *a = attribute(w, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    if (a) {
        a->has_f = 1;
        a->f = (float)v;
    }
}

void lvt_onnx_string(lvt_onnx_writer *w, const char *name, const char *v) {
    Onnx__AttributeProto *a = attribute(w, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    if (a) {
        a->has_s = 1;
        a->s.data = (uint8_t *)lvt_onnx_text(w, "%s", v);
        a->s.len = strlen((const char *)a->s.data);
    }
}

void lvt_onnx_ints(lvt_onnx_writer *w, const char *name, size_t n, const int64_t *v) {
    Onnx__AttributeProto *a = attribute(w, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    int64_t *copy = a ? lvt_onnx_alloc(w, n * sizeof *copy) : NULL;
    if (copy) {
        memcpy(copy, v, n * sizeof *copy);
        a->ints = copy;
        a->n_ints = n;
    }
}

void lvt_onnx_node_n(lvt_onnx_writer *w, const char *scope, const char *op, size_t n_inputs,
                     const char *const *inputs, size_t n_outputs, const char **outputs) {
    Onnx__NodeProto *n = lvt_onnx_alloc(w, sizeof *n);
    Onnx__NodeProto **nodes =
        n ? grow(w, w->graph.node, w->graph.n_node, &w->cap_nodes, sizeof *nodes) : NULL;
    char **in = nodes ? lvt_onnx_alloc(w, n_inputs * sizeof *in) : NULL;
    char **out = in ? lvt_onnx_alloc(w, n_outputs * sizeof *out) : NULL;
    Onnx__AttributeProto **attrs = out ? lvt_onnx_alloc(w, w->n_attrs * sizeof *attrs) : NULL;
    for (size_t i = 0; i < n_outputs; i++) {
        const char *plain = lvt_onnx_text(w, "%s%s%s%s", w->prefix, scope, *scope ? "/" : "", op);
        outputs[i] = lvt_onnx_name(w, i ? lvt_onnx_text(w, "%s.%zu", plain, i) : plain);
        if (attrs)
            out[i] = (char *)outputs[i];
    }
    if (!attrs)
        return;
    onnx__node_proto__init(n);
    if (n_inputs)
        memcpy(in, inputs, n_inputs * sizeof *in);
    memcpy(attrs, w->attrs, w->n_attrs * sizeof *attrs);
    n->op_type = (char *)lvt_onnx_text(w, "%s", op);
    n->name = (char *)outputs[0]; /* nodes and tensors have separate name spaces */
    n->doc_string = (char *)w->place;
    n->input = in;
    n->n_input = n_inputs;
    n->output = out;
    n->n_output = n_outputs;
    n->attribute = attrs;
    n->n_attribute = w->n_attrs;
    w->n_attrs = 0;
    w->graph.node = nodes;
    nodes[w->graph.n_node++] = n;
}

const char *lvt_onnx_node(lvt_onnx_writer *w, const char *scope, const char *op, size_t n_inputs,
                          const char *const *inputs) {
    const char *out = "";
    lvt_onnx_node_n(w, scope, op, n_inputs, inputs, 1, &out);
    return out;
}

/* ---- tensors and ports ---- */

void lvt_onnx_tensor(lvt_onnx_writer *w, const char *name, int data_type, int rank, const int64_t *dims,
                     const void *data, size_t bytes) {
    Onnx__TensorProto *t = lvt_onnx_alloc(w, sizeof *t);
    int64_t *shape = t ? lvt_onnx_alloc(w, (size_t)rank * sizeof *shape) : NULL;
    uint8_t *copy = shape ? lvt_onnx_alloc(w, bytes) : NULL;
    Onnx__TensorProto **list =
        copy ? grow(w, w->graph.initializer, w->graph.n_initializer, &w->cap_initializers, sizeof *list)
             : NULL;
    if (!list)
        return;
    onnx__tensor_proto__init(t);
    if (rank)
        memcpy(shape, dims, (size_t)rank * sizeof *shape);
    memcpy(copy, data, bytes);
    t->name = (char *)name;
    t->has_data_type = 1;
    t->data_type = data_type;
    t->dims = shape;
    t->n_dims = (size_t)rank;
    t->has_raw_data = 1;
    t->raw_data.data = copy;
    t->raw_data.len = bytes;
    w->graph.initializer = list;
    list[w->graph.n_initializer++] = t;
}

const char *lvt_onnx_number(lvt_onnx_writer *w, lvt_dtype dtype, double x) {
    lvt_type t = lvt_type_make(dtype, 0, NULL);
    char digits[32];
    uint8_t packed[8];
    int precision = 0;
    do /* as few as tell it from other numbers of its type */
        lvt_snprintf(digits, sizeof digits, "%.*g", ++precision, x);
    while (precision < 17 && lvt_round_to(dtype, lvt_strtod(digits, NULL)) != lvt_round_to(dtype, x));
    const char *name = lvt_onnx_text(w, "%sconst/%s.%s", w->prefix, lvt_dtype_name(dtype), digits);
    if (!lvt_onnx_taken(w, name)) {
        name = lvt_onnx_name(w, name);
        lvt_tensor_store(&(lvt_tensor){t, &x}, packed);
        lvt_onnx_tensor(w, name, lvt_onnx_type(dtype), 0, NULL, packed, lvt_type_bytes(&t));
    }
    return name;
}

const char *lvt_onnx_int64s(lvt_onnx_writer *w, size_t n, const int64_t *v) {
    const char *name = lvt_onnx_text(w, "%sconst/i64", w->prefix);
    for (size_t i = 0; i < n; i++)
        name = lvt_onnx_text(w, "%s%s%lld", name, i ? "_" : ".", (long long)v[i]);
    if (!lvt_onnx_taken(w, name)) {
        name = lvt_onnx_name(w, name);
        lvt_onnx_tensor(w, name, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, 1, (int64_t[]){(int64_t)n}, v,
                        n * sizeof *v);
    }
    return name;
}

int lvt_onnx_type(lvt_dtype t) {
    static const int types[LVT_N_DTYPES] = {[LVT_F32] = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT,
                                            [LVT_BF16] = ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16,
                                            [LVT_F64] = ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE,
                                            [LVT_I32] = ONNX__TENSOR_PROTO__DATA_TYPE__INT32,
                                            [LVT_U8] = ONNX__TENSOR_PROTO__DATA_TYPE__UINT8,
                                            [LVT_BOOL] = ONNX__TENSOR_PROTO__DATA_TYPE__BOOL};
    return types[t];
}

void lvt_onnx_port(lvt_onnx_writer *w, lvt_onnx_port_kind kind, const char *name, int data_type, int rank,
                   const int64_t *dims, const char *const *dims_text) {
    Onnx__ValueInfoProto *v = lvt_onnx_alloc(w, sizeof *v);
    Onnx__TypeProto *type = lvt_onnx_alloc(w, sizeof *type);
    Onnx__TypeProto__Tensor *tensor = lvt_onnx_alloc(w, sizeof *tensor);
    Onnx__TensorShapeProto *shape = lvt_onnx_alloc(w, sizeof *shape);
    Onnx__TensorShapeProto__Dimension *d = lvt_onnx_alloc(w, (size_t)rank * sizeof *d);
    Onnx__TensorShapeProto__Dimension **list = lvt_onnx_alloc(w, (size_t)rank * sizeof *list);
    Onnx__GraphProto *g = &w->graph;
    Onnx__ValueInfoProto ***lists[] = {&g->input, &g->output, &g->value_info}, ***ports = lists[kind];
    size_t *counts[] = {&g->n_input, &g->n_output, &g->n_value_info}, *n = counts[kind];
    Onnx__ValueInfoProto **grown = grow(w, *ports, *n, &w->cap_ports[kind], sizeof *grown);
    if (!grown || !v || !type || !tensor || !shape || !d || !list)
        return;
    onnx__value_info_proto__init(v);
    onnx__type_proto__init(type);
    onnx__type_proto__tensor__init(tensor);
    onnx__tensor_shape_proto__init(shape);
    for (int i = 0; i < rank; i++) {
        onnx__tensor_shape_proto__dimension__init(list[i] = &d[i]);
        if (dims_text && dims_text[i]) {
            d[i].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
            d[i].dim_param = (char *)dims_text[i];
        } else {
            d[i].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
            d[i].dim_value = dims[i];
        }
    }
    shape->dim = list;
    shape->n_dim = (size_t)rank;
    tensor->has_elem_type = 1;
    tensor->elem_type = data_type;
    tensor->shape = shape;
    type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type->tensor_type = tensor;
    v->name = (char *)name;
    v->type = type;
    *ports = grown;
    grown[(*n)++] = v;
}

void lvt_onnx_alias(lvt_onnx_writer *w, const char *name, const char *tensor) {
    Onnx__GraphProto *g = &w->graph;
    bool port = false;
    for (size_t i = 0; i < g->n_output; i++) /* a result that is an output already keeps that name */
        port |= !strcmp(g->output[i]->name, tensor);
    for (size_t i = 0; i < g->n_node && !port; i++) {
        for (size_t k = 0; k < g->node[i]->n_output; k++) {
            if (strcmp(g->node[i]->output[k], tensor))
                continue;
            g->node[i]->output[k] = (char *)name;
            if (k == 0)
                g->node[i]->name = (char *)name;
            for (size_t j = i + 1; j < g->n_node; j++)
                for (size_t m = 0; m < g->node[j]->n_input; m++)
                    if (!strcmp(g->node[j]->input[m], tensor))
                        g->node[j]->input[m] = (char *)name;
            return;
        }
    }
    size_t before = g->n_node;
    lvt_onnx_node(w, name, "Identity", 1, &tensor);
    if (g->n_node > before) {
        g->node[before]->output[0] = (char *)name;
        g->node[before]->name = (char *)name;
    }
}

void lvt_onnx_clean(lvt_onnx_writer *w) {
    Onnx__GraphProto *g = &w->graph;
    lvt_onnx_writer used = {.arena = w->arena}; /* its table of names is the set of tensors that are used */
    size_t kept = g->n_node;
    for (size_t i = 0; i < g->n_output; i++)
        lvt_onnx_name(&used, g->output[i]->name);
    for (size_t i = g->n_node; i-- > 0 && !used.no_memory;) {
        Onnx__NodeProto *n = g->node[i];
        bool live = false;
        for (size_t k = 0; k < n->n_output; k++)
            live |= lvt_onnx_taken(&used, n->output[k]);
        for (size_t k = 0; live && k < n->n_input; k++)
            if (!lvt_onnx_taken(&used, n->input[k]))
                lvt_onnx_name(&used, n->input[k]);
        if (live)
            g->node[--kept] = n;
    }
    w->no_memory |= used.no_memory;
    if (w->no_memory)
        return;
    g->node += kept; /* the last ones were kept, in order */
    g->n_node -= kept;
    w->cap_nodes = 0;
    size_t n = 0;
    for (size_t i = 0; i < g->n_input; i++)
        if (lvt_onnx_taken(&used, g->input[i]->name))
            g->input[n++] = g->input[i];
    g->n_input = n;
    n = 0;
    for (size_t i = 0; i < g->n_initializer; i++)
        if (lvt_onnx_taken(&used, g->initializer[i]->name))
            g->initializer[n++] = g->initializer[i];
    g->n_initializer = n;
}

/* ---- files ---- */

static Onnx__StringStringEntryProto *entry(lvt_onnx_writer *w, const char *key, const char *value) {
    Onnx__StringStringEntryProto *e = lvt_onnx_alloc(w, sizeof *e);
    if (e) {
        onnx__string_string_entry_proto__init(e);
        e->key = (char *)key;
        e->value = (char *)value;
    }
    return e;
}

static Onnx__StringStringEntryProto **entries(lvt_onnx_writer *w, const lvt_onnx_meta *m, size_t n) {
    Onnx__StringStringEntryProto **list = lvt_onnx_alloc(w, n * sizeof *list);
    for (size_t i = 0; list && i < n; i++)
        if (!(list[i] = entry(w, m[i].key, m[i].value)))
            return NULL;
    return list;
}

/* Moves large tensors to PATH.data, each at a multiple of 4096 bytes, so that readers can map it. */
static lvt_status write_external(lvt_onnx_writer *w, const lvt_onnx_file *file, lvt_diag *diag) {
    const Onnx__GraphProto *more = file->algorithm ? &file->algorithm->graph : NULL;
    size_t own = w->graph.n_initializer, all = own + (more ? more->n_initializer : 0);
    const char *data = lvt_onnx_text(w, "%s.data", file->path), *base = strrchr(data, '/');
    lvt_atomic_file f;
    lvt_status status = LVT_OK;
    int64_t at = 0;
    static const char zeros[4096];
    for (size_t i = 0; i < all && status == LVT_OK && !w->no_memory; i++) {
        Onnx__TensorProto *t = i < own ? w->graph.initializer[i] : more->initializer[i - own];
        if ((int64_t)t->raw_data.len < file->external_bytes || !t->raw_data.len)
            continue;
        if (!at) {
            status = lvt_atomic_begin(&f, NULL, data, diag);
            if (status != LVT_OK)
                return status;
        }
        int64_t start = (at + 4095) / 4096 * 4096;
        fwrite(zeros, 1, (size_t)(start - at), f.stream);
        fwrite(t->raw_data.data, 1, t->raw_data.len,
               f.stream); /* a short write is in the stream's error flag */
        at = start + (int64_t)t->raw_data.len;
        lvt_onnx_meta keys[] = {{"location", base ? base + 1 : data},
                                {"offset", lvt_onnx_text(w, "%lld", (long long)start)},
                                {"length", lvt_onnx_text(w, "%zu", t->raw_data.len)}};
        t->external_data = entries(w, keys, 3);
        t->n_external_data = t->external_data ? 3 : 0;
        t->has_data_location = 1;
        t->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
        t->has_raw_data = 0;
        t->raw_data = (ProtobufCBinaryData){0};
    }
    return at ? lvt_atomic_end(&f, w->no_memory ? LVT_NOMEM : status, diag) : status;
}

/* The oldest version of the file format that goes with an operator set. */
static int64_t ir_version(int opset) {
    return opset <= 14 ? 7 : opset <= 18 ? 8 : opset <= 20 ? 9 : opset <= 22 ? 10 : opset <= 23 ? 11 : 12;
}

lvt_status lvt_onnx_write(lvt_onnx_writer *w, const lvt_onnx_file *file, lvt_diag *diag) {
    lvt_status status = LVT_OK;
    if (file->external_bytes >= 0)
        status = write_external(w, file, diag);
    Onnx__ModelProto model;
    Onnx__OperatorSetIdProto opset, *opsets = &opset;
    Onnx__TrainingInfoProto training, *trainings = &training;
    onnx__model_proto__init(&model);
    onnx__operator_set_id_proto__init(&opset);
    onnx__training_info_proto__init(&training);
    opset.domain = "";
    opset.has_version = 1;
    opset.version = w->opset;
    model.has_ir_version = 1;
    model.ir_version = ir_version(w->opset);
    model.opset_import = &opsets;
    model.n_opset_import = 1;
    model.producer_name = "lvt";
    model.producer_version = (char *)file->producer_version;
    model.doc_string = (char *)file->doc;
    model.graph = &w->graph;
    model.metadata_props = entries(w, file->meta, file->n_meta);
    model.n_metadata_props = model.metadata_props ? file->n_meta : 0;
    if (file->algorithm) {
        training.algorithm = &file->algorithm->graph;
        training.initialization = &file->initialization->graph;
        training.update_binding = entries(w, file->updates, file->n_updates);
        training.n_update_binding = training.update_binding ? file->n_updates : 0;
        training.initialization_binding = entries(w, file->initials, file->n_initials);
        training.n_initialization_binding = training.initialization_binding ? file->n_initials : 0;
        w->no_memory |= file->algorithm->no_memory || file->initialization->no_memory;
        model.training_info = &trainings;
        model.n_training_info = 1;
    }
    if (status != LVT_OK)
        return status;
    size_t size = w->no_memory ? 0 : onnx__model_proto__get_packed_size(&model);
    if (size >= (size_t)1 << 31)
        return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                         "%s would have %zu bytes, ONNX files end at 2 GiB; keep tensors beside it with "
                         "--external-data",
                         file->path, size);
    uint8_t *bytes = w->no_memory ? NULL : malloc(size + 1);
    if (!bytes)
        return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "%s: out of memory", file->path);
    onnx__model_proto__pack(&model, bytes);
    status = lvt_file_write(NULL, file->path, bytes, size, diag);
    free(bytes);
    return status;
}
