/* Import of a whole file as a module: an entry, or two where the file has a training step beside its graph.
 *
 * A step is known by training_info, whose bindings name the states; or, in a plain graph, by outputs
 * NAME.next of inputs NAME that have initial values, which is how lvtc writes one. Its states are updated by
 * the entry, other inputs with initial values are coefficients with defaults, and other initialisers are
 * constants. May not know: single operators. */
#include "importer.h"
#include "ir/program/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct entry {
    lvt_onnx_file *file;
    lvt_builder b;
    bool step;           /* of a file with a step: initialisers are states only when they are among these */
    const char **states; /* sorted */
    size_t n_states;
    const char **keys, **values; /* what is updated, and the tensors with the new values */
    size_t n_updates;
    lvt_diag *diag;
} entry;

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool among(const char *name, const char *const *list, size_t n) {
    return n && bsearch(&name, list, n, sizeof *list, by_text) != NULL;
}

static lvt_value constant(lvt_builder *b, const lvt_type *type, const void *packed) {
    size_t n = (size_t)lvt_numel(type);
    double *x = malloc((n + 1) * sizeof *x);
    lvt_value v = LVT_NONE;
    if (x) {
        lvt_tensor_load(&(lvt_tensor){*type, x}, packed);
        lvt_named_attr a[] = {{"dtype", lvt_attr_dtype((lvt_dtype)type->dtype)},
                              {"shape", lvt_attr_ints(type->dim, type->rank)},
                              {"values", lvt_attr_floats(x, n)}};
        v = lvt_build(b, LVT_OP_constant, 0, NULL, 3, a);
    }
    free(x);
    return v;
}

static bool is_input(const lvt_onnx_file *f, const char *name) {
    for (size_t i = 0; i < f->graph->n_input; i++)
        if (f->graph->input[i]->name && !strcmp(f->graph->input[i]->name, name))
            return true;
    return false;
}

static lvt_value state(void *user, const char *name, const lvt_type *type, lvt_init init, const void *values,
                       bool trainable) {
    entry *e = user;
    lvt_module *m = e->b.graph->module;
    if (e->step && !among(name, e->states, e->n_states)) {
        if (type->rank || !is_input(e->file, name))
            return constant(&e->b, type, values);
        double x;
        lvt_tensor_load(&(lvt_tensor){*type, &x}, values);
        lvt_value v = lvt_build_input(&e->b, name, type);
        if (v != LVT_NONE) {
            e->b.graph->inputs[e->b.graph->n_inputs - 1].has_default = true;
            e->b.graph->inputs[e->b.graph->n_inputs - 1].default_value = x;
        }
        return v;
    }
    uint32_t s = lvt_module_find_state(m, name);
    if (s == LVT_NONE && (s = lvt_module_add_state(m, name, type, init, trainable, e->b.loc)) == LVT_NONE)
        return LVT_NONE;
    m->states[s].values = values;
    return lvt_build_state(&e->b, s);
}

/* The state of that name, also one that no node of the graph reads. */
static uint32_t find_state(entry *e, const char *name, lvt_arena *arena) {
    const Onnx__GraphProto *g = e->file->graph;
    lvt_module *m = e->b.graph->module;
    uint32_t s = lvt_module_find_state(m, name);
    for (size_t i = 0; i < g->n_initializer && s == LVT_NONE; i++) {
        lvt_type type;
        if (!g->initializer[i]->name || strcmp(g->initializer[i]->name, name))
            continue;
        double *x = lvt_onnx_read_tensor(arena, g->initializer[i], e->file->folder, &type, e->diag);
        void *packed = x ? lvt_module_values(m, lvt_type_bytes(&type)) : NULL;
        if (!packed)
            return LVT_NONE;
        lvt_tensor_store(&(lvt_tensor){type, x}, packed);
        s = lvt_module_add_state(m, name, &type, lvt_weights_init(packed, lvt_type_bytes(&type)), true,
                                 e->b.loc);
        if (s != LVT_NONE)
            m->states[s].values = packed;
        return s;
    }
    return s;
}

static const char *update_of(const entry *e, const char *output) {
    for (size_t i = 0; i < e->n_updates; i++)
        if (!strcmp(e->values[i], output))
            return e->keys[i];
    return NULL;
}

/* An output, and the updates that take it. In a graph of its own an update is no output beside that. */
static lvt_status add_output(entry *e, const char *name, lvt_value v, lvt_arena *arena) {
    lvt_graph *g = e->b.graph;
    if (!e->n_updates || !update_of(e, name))
        return lvt_graph_add_output(g, name, v, e->b.loc) ? LVT_OK : lvt_no_memory(e->diag, NULL);
    for (size_t i = 0; i < e->n_updates; i++) {
        if (strcmp(e->values[i], name))
            continue;
        uint32_t s = find_state(e, e->keys[i], arena);
        const lvt_type *type = lvt_value_type(g, v);
        char want[LVT_TYPE_TEXT], have[LVT_TYPE_TEXT];
        if (s == LVT_NONE)
            return lvt_error(e->diag, LVT_USER, NULL, LVT_NOWHERE,
                             "%s: there is no initialiser '%s' to update", e->file->name, e->keys[i]);
        if (!lvt_type_equal(type, &g->module->states[s].type))
            return lvt_error(e->diag, LVT_USER, NULL, LVT_NOWHERE, "%s: '%s' is %s, its update '%s' is %s",
                             e->file->name, e->keys[i], lvt_type_text(&g->module->states[s].type, want), name,
                             lvt_type_text(type, have));
        for (uint32_t k = 0; k < g->n_updates; k++) {
            if (g->updates[k].state == s)
                return lvt_error(e->diag, LVT_USER, NULL, LVT_NOWHERE,
                                 "%s: the initialiser '%s' has two updates", e->file->name, e->keys[i]);
        }
        if (!lvt_graph_add_update(g, s, v, e->b.loc))
            return lvt_no_memory(e->diag, NULL);
    }
    return LVT_OK;
}

static lvt_status build(entry *e, lvt_module *m, const char *name, const lvt_onnx_import *options) {
    size_t n = lvt_onnx_outputs(e->file);
    lvt_graph *g = lvt_module_add_entry(m, name, 0, e->n_updates > 0);
    lvt_value *results = calloc(n + 1, sizeof *results);
    const char **outputs = calloc(n + 1, sizeof *outputs);
    lvt_arena *arena = lvt_arena_new();
    lvt_status status = g && results && outputs && arena ? LVT_OK : lvt_no_memory(e->diag, NULL);
    if (status == LVT_OK) {
        e->b = lvt_builder_for(g, e->diag);
        for (size_t i = 0; i < n; i++)
            outputs[i] = lvt_onnx_output(e->file, i) ? lvt_onnx_output(e->file, i) : "";
        lvt_onnx_use use = {.module = m,
                            .builder = &e->b,
                            .options = options,
                            .step_of_file = e->step,
                            .state = state,
                            .user = e,
                            .step = LVT_NONE};
        status = lvt_onnx_check(e->file, &use, e->diag);
        if (status == LVT_OK)
            status = lvt_onnx_expand(e->file, &use, results, e->diag);
        if (status == LVT_OK && g->n_nodes)
            e->b.loc = g->nodes[g->n_nodes - 1].loc;
        for (size_t i = 0; i < n && status == LVT_OK; i++)
            status = add_output(e, outputs[i], results[i], arena);
    }
    lvt_arena_free(arena);
    free(outputs);
    free(results);
    return status;
}

/* ---- what is a step ---- */

static bool room(entry *e, size_t n) {
    e->states = calloc(2 * n + 1, sizeof *e->states);
    e->keys = calloc(n + 1, sizeof *e->keys);
    e->values = calloc(n + 1, sizeof *e->values);
    return e->states && e->keys && e->values;
}

static void forget(entry *e) {
    free(e->states);
    free(e->keys);
    free(e->values);
}

/* Outputs NAME.next of inputs NAME with initial values. */
static bool find_plain_step(entry *e) {
    const Onnx__GraphProto *g = e->file->graph;
    const char **initial = calloc(g->n_initializer + 1, sizeof *initial),
               **inputs = calloc(g->n_input + 1, sizeof *inputs);
    size_t n = 0;
    bool ok = initial && inputs && room(e, g->n_output + g->n_input);
    for (size_t i = 0; ok && i < g->n_initializer; i++)
        initial[i] = g->initializer[i]->name ? g->initializer[i]->name : "";
    if (ok)
        qsort(initial, g->n_initializer, sizeof *initial, by_text);
    for (size_t i = 0; ok && i < g->n_input; i++)
        if (g->input[i]->name && among(g->input[i]->name, initial, g->n_initializer))
            inputs[n++] = g->input[i]->name;
    if (ok)
        qsort(inputs, n, sizeof *inputs, by_text);
    for (size_t i = 0; ok && i < g->n_output; i++) {
        const char *name = g->output[i]->name ? g->output[i]->name : "", *dot = strrchr(name, '.');
        char *key = dot && !strcmp(dot, ".next") ? strndup(name, (size_t)(dot - name)) : NULL;
        const char *const *found = key ? bsearch(&key, inputs, n, sizeof *inputs, by_text) : NULL;
        if (found) {
            e->keys[e->n_updates] = *found;
            e->values[e->n_updates++] = name;
        }
        free(key);
    }
    e->step = e->n_updates > 0;
    for (size_t i = 0; ok && e->step && i < e->n_updates; i++)
        e->states[e->n_states++] = e->keys[i];
    for (size_t i = 0; ok && e->step && i < e->file->graph->n_initializer; i++) {
        const Onnx__TensorProto *t = g->initializer[i]; /* read, not updated */
        if (t->n_dims && t->name && among(t->name, inputs, n))
            e->states[e->n_states++] = t->name;
    }
    if (ok)
        qsort(e->states, e->n_states, sizeof *e->states, by_text);
    free(initial);
    free(inputs);
    return ok;
}

static bool read_bindings(entry *e, const Onnx__TrainingInfoProto *t) {
    if (!room(e, t->n_update_binding + t->n_initialization_binding))
        return false;
    for (size_t i = 0; i < t->n_update_binding; i++)
        if (t->update_binding[i]->key && t->update_binding[i]->value) {
            e->states[e->n_states++] = e->keys[e->n_updates] = t->update_binding[i]->key;
            e->values[e->n_updates++] = t->update_binding[i]->value;
        }
    for (size_t i = 0; i < t->n_initialization_binding; i++)
        if (t->initialization_binding[i]->key)
            e->states[e->n_states++] = t->initialization_binding[i]->key;
    qsort(e->states, e->n_states, sizeof *e->states, by_text);
    e->step = true;
    return true;
}

static void *joined(void *a, size_t n, void *b, size_t m) {
    char **list = calloc(n + m + 1, sizeof *list);
    if (list && n)
        memcpy(list, a, n * sizeof *list);
    if (list && m)
        memcpy(list + n, b, m * sizeof *list);
    return list;
}

/* The graph a training step executes: main graph and algorithm, list by list one after the other. */
static bool combine(const Onnx__GraphProto *a, const Onnx__GraphProto *b, Onnx__GraphProto *out) {
    onnx__graph_proto__init(out);
    out->node = joined(a->node, a->n_node, b->node, b->n_node);
    out->n_node = a->n_node + b->n_node;
    out->initializer = joined(a->initializer, a->n_initializer, b->initializer, b->n_initializer);
    out->n_initializer = a->n_initializer + b->n_initializer;
    out->input = joined(a->input, a->n_input, b->input, b->n_input);
    out->n_input = a->n_input + b->n_input;
    out->n_sparse_initializer = a->n_sparse_initializer + b->n_sparse_initializer;
    out->output = b->output;
    out->n_output = b->n_output;
    return out->node && out->initializer && out->input;
}

static const char *meta(const lvt_onnx_file *f, const char *key, const char * or) {
    for (size_t i = 0; i < f->model->n_metadata_props; i++) {
        const Onnx__StringStringEntryProto *p = f->model->metadata_props[i];
        if (p->key && p->value && *p->value && !strcmp(p->key, key))
            return p->value;
    }
    return or ;
}

static lvt_status import_step(entry *main, lvt_module *m, const lvt_onnx_import *options) {
    const Onnx__ModelProto *model = main->file->model;
    const Onnx__TrainingInfoProto *t = model->training_info[0];
    Onnx__GraphProto graph;
    lvt_onnx_file file = *main->file;
    entry step = {.file = &file, .diag = main->diag};
    file.graph = &graph;
    file.inputs = NULL;
    file.weights = NULL;
    file.n_inputs = 0;
    bool ok = combine(main->file->graph, t->algorithm, &graph) && lvt_onnx_find_inputs(&file) &&
              read_bindings(&step, t);
    lvt_status status = ok ? LVT_OK : lvt_no_memory(main->diag, NULL);
    for (size_t i = 0; i < step.n_updates && status == LVT_OK; i++) {
        bool made = false;
        for (size_t k = 0; k < graph.n_output; k++)
            made |= graph.output[k]->name && !strcmp(graph.output[k]->name, step.values[i]);
        if (!made)
            status = lvt_error(main->diag, LVT_USER, NULL, LVT_NOWHERE,
                               "%s: the update of '%s' is '%s', which is no output of the training step",
                               file.name, step.keys[i], step.values[i]);
    }
    const char *name = meta(main->file, "lvt.training_entry", "train");
    if (status == LVT_OK && lvt_module_find_entry(m, name))
        status = lvt_error(main->diag, LVT_USER, NULL, LVT_NOWHERE, "%s: two entries are called %s",
                           file.name, name);
    if (status == LVT_OK)
        status = build(&step, m, name, options);
    forget(&step);
    free(file.inputs);
    free(file.weights);
    free(graph.node);
    free(graph.initializer);
    free(graph.input);
    return status;
}

/* Adds the settings that give dims of inputs their sizes; room for all. */
static size_t find_symbols(lvt_arena *arena, const Onnx__GraphProto *g, const char **names, size_t n) {
    for (size_t i = 0; i < g->n_input; i++) {
        const Onnx__TypeProto *t = g->input[i]->type;
        bool tensor = t && t->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
        const Onnx__TensorShapeProto *s = tensor ? t->tensor_type->shape : NULL;
        for (size_t d = 0; s && d < s->n_dim; d++) {
            const char *key =
                lvt_onnx_dim_setting(arena, g->input[i]->name ? g->input[i]->name : "", d, s->dim[d]);
            if (key && names)
                names[n] = key;
            n += key != NULL;
        }
    }
    return n;
}

/* Settings are sizes of dims; a file that has none of that name may still be of the right size. */
static lvt_status check_settings(const lvt_onnx_file *f, const lvt_onnx_import *options, lvt_diag *diag) {
    const Onnx__GraphProto *step = f->model->n_training_info ? f->model->training_info[0]->algorithm : NULL;
    lvt_arena *arena = lvt_arena_new();
    size_t n = arena ? find_symbols(arena, f->graph, NULL, step ? find_symbols(arena, step, NULL, 0) : 0) : 0;
    const char **names = arena ? calloc(n + 1, sizeof *names) : NULL;
    lvt_status status = names ? LVT_OK : lvt_no_memory(diag, NULL);
    if (names)
        find_symbols(arena, f->graph, names, step ? find_symbols(arena, step, names, 0) : 0);
    for (size_t i = 0; i < options->n_settings && names; i++) {
        const char *setting = options->settings[i];
        char *name = strndup(setting, strcspn(setting, "="));
        bool found = false;
        for (size_t k = 0; k < n && name; k++)
            found |= !strcmp(names[k], name);
        const char *near = name && !found ? lvt_nearest(name, names, n) : NULL;
        if (!name)
            status = lvt_no_memory(diag, NULL);
        else if (!found)
            lvt_warning(diag, NULL, LVT_NOWHERE, "%s: no input has a dimension '%s'%s%s%s", f->name, name,
                        near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
        free(name);
    }
    free(names);
    lvt_arena_free(arena);
    return status;
}

static lvt_status whole(lvt_onnx_file *f, const lvt_onnx_import *options, lvt_module **out, lvt_diag *diag) {
    const char *name = meta(f, "lvt.model", f->graph->name);
    const Onnx__ModelProto *model = f->model;
    bool training = model->n_training_info && model->training_info[0]->algorithm &&
                    model->training_info[0]->algorithm->n_output && !options->freeze;
    entry main = {.file = f, .diag = diag};
    lvt_module *m = lvt_module_new(name && *name ? name : "model");
    bool ok = m && (options->freeze ||
                    (training ? read_bindings(&main, model->training_info[0]) : find_plain_step(&main)));
    lvt_status status = ok ? check_settings(f, options, diag) : lvt_no_memory(diag, NULL);
    if (status == LVT_OK && training && model->n_training_info > 1)
        status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                           "%s: it has %zu training steps, one is possible", f->name, model->n_training_info);
    if (training)
        main.n_updates = 0; /* those are the step's */
    const char *usual = main.step ? meta(f, "lvt.entry", main.n_updates ? "train" : "predict") : "predict";
    if (status == LVT_OK)
        status = build(&main, m, options->entry ? options->entry : usual, options);
    if (status == LVT_OK && training)
        status = import_step(&main, m, options);
    forget(&main);
    if (status == LVT_OK)
        *out = m;
    else if (m)
        lvt_module_free(m);
    return status;
}

lvt_status lvt_onnx_import_bytes(const char *name, const uint8_t *bytes, size_t size, const char *folder,
                                 const lvt_onnx_import *options, lvt_module **out, lvt_diag *diag) {
    lvt_onnx_file *f;
    *out = NULL;
    lvt_status status = lvt_onnx_open_bytes(name, bytes, size, folder, &f, diag);
    if (status == LVT_OK)
        status = whole(f, options, out, diag);
    lvt_onnx_close(f);
    return status;
}

lvt_status lvt_onnx_import_file(const char *path, const lvt_onnx_import *options, lvt_module **out,
                                lvt_diag *diag) {
    lvt_onnx_file *f;
    *out = NULL;
    lvt_status status = lvt_onnx_open(path, &f, diag);
    if (status == LVT_OK)
        status = whole(f, options, out, diag);
    lvt_onnx_close(f);
    return status;
}
