/* Export of an entry. May not know: what single ops look like in ONNX. */
#include "frontend/onnx/export.h"
#include "frontend/onnx/emit.h"
#include "ir/init.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

const lvt_setting *lvt_onnx_batch_setting(const lvt_module *m, const char *entry) {
    const lvt_graph *g = lvt_module_find_entry(m, entry);
    const lvt_setting *found = NULL;
    for (uint32_t s = 0; g && s < m->n_settings; s++) {
        const char *name = m->settings[s].name;
        size_t n = strlen(name);
        if (n < 5 || strcmp(name + n - 5, "batch"))
            continue;
        char *end;
        long long size = strtoll(m->settings[s].value, &end, 10);
        bool fits = false;
        for (uint32_t i = 0; i < g->n_inputs; i++) {
            const lvt_type *t = lvt_value_type(g, g->inputs[i].value);
            fits |= t->rank && t->dim[0] == size;
        }
        if (*end || !fits)
            continue;
        if (found)
            return NULL;
        found = &m->settings[s];
    }
    return found;
}

/* ---- preparing the graph ---- */

/* A copy of the graph in which ops without a standard form stand in their parts. NULL: reported, or out of
 * memory. */
static lvt_graph *take_apart(const lvt_graph *g, int opset, lvt_arena *arena, lvt_diag *diag) {
    lvt_graph *out = lvt_graph_new(g->module, g->name, g->loc, g->training);
    lvt_value *map = lvt_graph_new_map(g, arena);
    lvt_node_id *nodes = lvt_arena_alloc(arena, (g->n_nodes + 1u) * sizeof *nodes);
    if (!out || !map || !nodes)
        return NULL;
    memset(nodes, 0xff, (g->n_nodes + 1u) * sizeof *nodes);
    lvt_builder b = lvt_builder_for(out, diag);
    for (uint32_t i = 0; i < g->n_nodes && !out->failed; i++) {
        const lvt_node *n = &g->nodes[i];
        const lvt_op_def *def = lvt_op_of(n);
        if (!def->decompose || def->kind == LVT_KIND_META || lvt_onnx_emitter(n, opset)) {
            lvt_graph_copy_node(out, g, i, map, nodes);
            continue;
        }
        lvt_value *operands = lvt_arena_alloc(arena, (n->n_operands + 1u) * sizeof *operands);
        lvt_value *results = lvt_arena_alloc(arena, (n->n_results + 1u) * sizeof *results);
        if (!operands || !results)
            return NULL;
        for (uint32_t k = 0; k < n->n_operands; k++)
            operands[k] = map[n->operands[k]];
        b.loc = n->loc;
        b.role = (lvt_role)n->role;
        b.origin = n->origin == LVT_NONE ? LVT_NONE : nodes[n->origin];
        if (def->decompose(&b, n, operands, results) != LVT_OK)
            return NULL;
        for (uint32_t k = 0; k < n->n_results; k++)
            map[n->result + k] = results[k];
        nodes[i] = out->n_nodes - 1;
    }
    return lvt_graph_copy_ends(out, g, map) && !out->failed ? out : NULL;
}

static bool same_attr(const lvt_attr *a, const lvt_attr *b) {
    if (a->kind != b->kind)
        return false;
    if (a->kind == LVT_ATTR_INTS || a->kind == LVT_ATTR_FLOATS)
        return a->n == b->n && (!a->n || !memcmp(a->ints, b->ints, a->n * 8u));
    if (a->kind == LVT_ATTR_STRING)
        return !strcmp(a->s, b->s);
    return a->i == b->i;
}

/* Whether the graphs are one graph at two batch sizes: NULL, or the node where they part. */
static const lvt_node *parts(const lvt_graph *g, const lvt_graph *h, int64_t batch_a, int64_t batch_b) {
    if (g->n_nodes != h->n_nodes || g->n_values != h->n_values || g->n_updates != h->n_updates)
        return &g->nodes[0];
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        const lvt_node *n = &g->nodes[i], *m = &h->nodes[i];
        const lvt_op_def *def = lvt_op_of(n);
        if (n->op != m->op || n->n_operands != m->n_operands || n->n_results != m->n_results ||
            (n->n_operands && memcmp(n->operands, m->operands, n->n_operands * sizeof *n->operands)))
            return n;
        for (uint32_t k = 0; k < n->n_results; k++) {
            const lvt_type *a = lvt_value_type(g, n->result + k), *b = lvt_value_type(h, n->result + k);
            if (a->rank != b->rank || a->dtype != b->dtype)
                return n;
            for (int d = 0; d < a->rank; d++)
                if (a->dim[d] != b->dim[d] && (a->dim[d] % batch_a || b->dim[d] % batch_b ||
                                               a->dim[d] / batch_a != b->dim[d] / batch_b))
                    return n;
        }
        for (int k = 0; k < def->n_attrs; k++) {
            const char *name = def->attrs[k].name;
            if (!strcmp(name, "shape") || same_attr(&n->attrs[k], &m->attrs[k]))
                continue;
            int64_t axis = n->op == LVT_OP_slice ? lvt_attr_get(n, "axis")->i : 0;
            if (n->op == LVT_OP_slice && !strcmp(name, "end") &&
                n->attrs[k].i == lvt_value_type(g, n->operands[0])->dim[axis] &&
                m->attrs[k].i == lvt_value_type(h, n->operands[0])->dim[axis])
                continue;
            return n;
        }
    }
    return NULL;
}

/* ---- states ---- */

/* Packed values of a state: of the weights, else its initial ones. NULL: reported. */
static void *state_values(lvt_emitter *e, const lvt_state *s, const lvt_onnx_options *o, lvt_diag *diag) {
    size_t bytes = lvt_type_bytes(&s->type);
    void *packed = lvt_onnx_alloc(&e->w, bytes);
    const lvt_stored_tensor *t = o->weights ? lvt_safetensors_find(o->weights, s->name) : NULL;
    if (!packed)
        return NULL;
    if (t && !lvt_type_equal(&t->type, &s->type)) {
        char have[LVT_TYPE_TEXT], want[LVT_TYPE_TEXT];
        lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: %s is %s, the model has %s", o->weights_path,
                  s->name, lvt_type_text(&t->type, have), lvt_type_text(&s->type, want));
        return NULL;
    }
    if (o->weights && !t) {
        lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: there is no tensor %s", o->weights_path, s->name);
        return NULL;
    }
    if (t)
        memcpy(packed, t->data, bytes);
    else
        lvt_init_fill(s, o->seed, 0, lvt_numel(&s->type), packed);
    return packed;
}

static lvt_status emit_state(lvt_emitter *e, const lvt_node *n, const lvt_onnx_options *o, lvt_diag *diag) {
    const lvt_state *s = &e->g->module->states[lvt_attr_get(n, "index")->i];
    lvt_onnx_value *v = &e->values[n->result];
    void *packed = state_values(e, s, o, diag);
    if (!packed)
        return e->w.no_memory ? LVT_NOMEM : LVT_USER;
    v->have = lvt_emit_shape(e, n->result);
    if (e->g->n_updates) { /* a step: the state is an input, which has these values if it is not given */
        const char *name = lvt_onnx_name(&e->w, s->name);
        int type = lvt_onnx_type((lvt_dtype)s->type.dtype);
        lvt_onnx_port(&e->w, false, name, type, s->type.rank, s->type.dim, NULL);
        lvt_onnx_tensor(&e->w, name, type, s->type.rank, s->type.dim, packed, lvt_type_bytes(&s->type));
        v->form[0] = name;
        return LVT_OK;
    }
    double *x = lvt_onnx_alloc(&e->w, (size_t)lvt_numel(&s->type) * sizeof *x);
    if (!x)
        return LVT_NOMEM;
    lvt_tensor_load(&(lvt_tensor){s->type, x}, packed);
    v->known = x;
    v->label = s->name;
    return LVT_OK;
}

/* ---- inputs, outputs, names ---- */

static void port(lvt_emitter *e, bool output, const char *name, lvt_value v) {
    lvt_shape2 s = lvt_emit_shape(e, v);
    const char *text[LVT_MAX_RANK] = {0};
    for (int i = 0; i < s.a.rank; i++) {
        int64_t times = s.a.dim[i] / e->batch_a;
        if (s.a.dim[i] != s.b.dim[i])
            text[i] = times == 1 ? "batch" : lvt_onnx_text(&e->w, "%lld*batch", (long long)times);
    }
    lvt_onnx_port(&e->w, output, name, lvt_onnx_type((lvt_dtype)s.a.dtype), s.a.rank, s.a.dim, text);
}

static void emit_input(lvt_emitter *e, const lvt_node *n) {
    const lvt_input *in = &e->g->inputs[lvt_attr_get(n, "index")->i];
    lvt_shape2 s = lvt_emit_shape(e, n->result);
    const char *name = lvt_onnx_name(&e->w, in->name);
    port(e, false, name, n->result);
    lvt_emit_set(e, n->result, name);
    if (s.a.rank && s.a.dim[0] != s.b.dim[0] && s.a.dim[0] == e->batch_a && !e->batch_input)
        e->batch_input = name;
    if (in->has_default) {
        uint8_t packed[8];
        double x = in->default_value;
        lvt_tensor_store(&(lvt_tensor){s.a, &x}, packed);
        lvt_onnx_tensor(&e->w, name, lvt_onnx_type((lvt_dtype)s.a.dtype), 0, s.a.dim, packed,
                        lvt_type_bytes(&s.a));
    }
}

/* "stem.conv" for what reads state "stem.conv.weight", and for what reads that. Gradients and updates go
 * under names of their own. */
static const char *scope_of(lvt_emitter *e, const lvt_node *n, const char **node_scopes) {
    const char *first = NULL;
    for (uint32_t k = 0; k < n->n_operands; k++) {
        const lvt_node *from = lvt_value_node(e->g, n->operands[k]);
        const char *scope = e->values[n->operands[k]].scope;
        if (from->op == LVT_OP_state && n->role == LVT_FORWARD)
            return scope;
        if (!first && scope && *scope)
            first = scope;
    }
    if (n->role != LVT_FORWARD && n->origin != LVT_NONE && node_scopes[n->origin] &&
        n->role == LVT_GRADIENT && strncmp(node_scopes[n->origin], "grad/", 5))
        return lvt_onnx_text(&e->w, "grad/%s", node_scopes[n->origin]);
    if (n->role == LVT_UPDATE && !(first && !strncmp(first, "update/", 7)))
        return lvt_onnx_text(&e->w, "update/%s", first ? first : "step");
    return first ? first : "";
}

static const char *state_scope(lvt_emitter *e, const lvt_node *n) {
    const char *name = e->g->module->states[lvt_attr_get(n, "index")->i].name, *dot = strrchr(name, '.');
    return dot ? lvt_onnx_text(&e->w, "%.*s", (int)(dot - name), name) : name;
}

static lvt_status emit_nodes(lvt_emitter *e, const lvt_onnx_options *o, lvt_diag *diag) {
    const lvt_module *m = e->g->module;
    const char **scopes = lvt_onnx_alloc(&e->w, (e->g->n_nodes + 1u) * sizeof *scopes);
    lvt_status status = LVT_OK;
    for (uint32_t i = 0; i < e->g->n_nodes && !e->w.no_memory; i++) {
        const lvt_node *n = &e->g->nodes[i];
        lvt_pos at = lvt_module_pos(m, n->loc);
        lvt_status one = LVT_OK;
        e->w.place = at.file ? lvt_onnx_text(&e->w, "%s:%u", at.file, at.line) : NULL;
        e->scope = scopes[i] = n->op == LVT_OP_state ? state_scope(e, n) : scope_of(e, n, scopes);
        for (uint32_t k = 0; k < n->n_results; k++)
            e->values[n->result + k].scope = e->scope;
        bool ready = true; /* what hangs on a node that could not be written is not reported again */
        for (uint32_t k = 0; k < n->n_operands; k++) {
            const lvt_onnx_value *v = &e->values[n->operands[k]];
            ready &= v->form[0] || v->form[1] || v->known;
        }
        if (!ready)
            continue;
        e->why = "it has no form in ONNX's standard operators";
        if (n->op == LVT_OP_input) {
            emit_input(e, n);
        } else if (n->op == LVT_OP_state) {
            one = emit_state(e, n, o, diag);
        } else {
            lvt_emit_fn emit = lvt_onnx_emitter(n, o->opset);
            if (!emit || !emit(e, n))
                one = lvt_error(diag, LVT_USER, NULL, at, "%s cannot be exported: %s", lvt_op_of(n)->name,
                                e->why);
        }
        if (one != LVT_OK)
            status = one;
    }
    e->w.place = NULL;
    return e->w.no_memory ? LVT_NOMEM : status;
}

static void emit_ends(lvt_emitter *e) {
    const lvt_graph *g = e->g;
    for (uint32_t i = 0; i < g->n_outputs + g->n_updates && !e->w.no_memory; i++) {
        bool update = i >= g->n_outputs;
        lvt_value v = update ? g->updates[i - g->n_outputs].value : g->outputs[i].value;
        const char *name = update ? lvt_onnx_text(&e->w, "%s.next",
                                                  g->module->states[g->updates[i - g->n_outputs].state].name)
                                  : g->outputs[i].name;
        e->scope = name;
        const char *tensor = lvt_emit_full(e, v);
        name = lvt_onnx_name(&e->w, name);
        lvt_onnx_alias(&e->w, name, tensor);
        for (lvt_value k = 0; k < g->n_values; k++)
            if (e->values[k].form[0] && !strcmp(e->values[k].form[0], tensor) &&
                lvt_value_node(g, k)->op != LVT_OP_state && lvt_value_node(g, k)->op != LVT_OP_input)
                e->values[k].form[0] = name; /* one of several outputs that are one value */
        port(e, true, name, v);
    }
}

/* ---- metadata ---- */

static size_t metadata(lvt_emitter *e, const lvt_onnx_options *o, lvt_onnx_meta *meta, size_t most) {
    const lvt_module *m = e->g->module;
    size_t n = 0;
    meta[n++] = (lvt_onnx_meta){"lvt.model", m->name};
    meta[n++] = (lvt_onnx_meta){"lvt.entry", e->g->name};
    meta[n++] = (lvt_onnx_meta){"lvt.version", o->version};
    for (uint32_t s = 0; s < m->n_settings && n < most - 4; s++)
        meta[n++] = (lvt_onnx_meta){lvt_onnx_text(&e->w, "lvt.setting.%s", m->settings[s].name),
                                    m->settings[s].value};
    cJSON *root = o->weights && o->weights->metadata ? cJSON_Parse(o->weights->metadata) : NULL;
    static const char *const keys[] = {"class_names", "mean", "deviation"};
    for (int k = 0; k < 3; k++) {
        const cJSON *item = root ? cJSON_GetObjectItemCaseSensitive(root, keys[k]) : NULL;
        char *text = item ? cJSON_PrintUnformatted(item) : NULL;
        if (text)
            meta[n++] = (lvt_onnx_meta){keys[k], lvt_onnx_text(&e->w, "%s", text)};
        cJSON_free(text);
    }
    cJSON_Delete(root);
    return n;
}

static lvt_status export_graph(lvt_emitter *e, const lvt_onnx_options *o, lvt_diag *diag) {
    lvt_status status = emit_nodes(e, o, diag);
    if (status != LVT_OK)
        return status;
    emit_ends(e);
    lvt_onnx_clean(&e->w);
    size_t most = e->g->module->n_settings + 8;
    lvt_onnx_meta *meta = lvt_onnx_alloc(&e->w, most * sizeof *meta);
    if (e->w.no_memory)
        return LVT_NOMEM;
    lvt_onnx_file file = {.path = o->path,
                          .producer_version = o->version,
                          .external_bytes = o->external_bytes,
                          .meta = meta,
                          .n_meta = metadata(e, o, meta, most)};
    file.doc = lvt_onnx_text(&e->w, "Entry %s of %s. Images are [batch, height, width, channels].",
                             e->g->name, e->g->module->name);
    return lvt_onnx_write(&e->w, &file, diag);
}

lvt_status lvt_onnx_export(const lvt_module *m, const lvt_module *other, const lvt_onnx_options *o,
                           lvt_diag *diag) {
    const lvt_graph *g = lvt_module_find_entry(m, o->entry),
                    *h = other ? lvt_module_find_entry(other, o->entry) : g;
    if (!g || !h) {
        const char **names = calloc(m->n_entries + 1u, sizeof *names);
        for (uint32_t i = 0; names && i < m->n_entries; i++)
            names[i] = m->entries[i]->name;
        const char *near = names ? lvt_nearest(o->entry, names, m->n_entries) : NULL;
        free(names);
        return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "the model has no entry %s%s%s%s", o->entry,
                         near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    }
    lvt_arena *arena = lvt_arena_new();
    lvt_emitter e = {.arena = arena, .batch_a = 1, .batch_b = 1};
    lvt_status status = arena ? LVT_OK : LVT_NOMEM;
    if (status == LVT_OK) {
        e.g = take_apart(g, o->opset, arena, diag);
        e.h = other ? take_apart(h, o->opset, arena, diag) : e.g;
        lvt_onnx_begin(&e.w, arena, o->opset, o->entry);
        e.values = e.g ? lvt_onnx_alloc(&e.w, (e.g->n_values + 1u) * sizeof *e.values) : NULL;
        status = e.g && e.h && e.values ? LVT_OK : LVT_NOMEM;
    }
    const lvt_setting *sa = other ? lvt_onnx_batch_setting(m, o->entry) : NULL;
    const lvt_setting *sb = other ? lvt_onnx_batch_setting(other, o->entry) : NULL;
    if (status == LVT_OK && sa && sb) {
        e.batch_a = strtoll(sa->value, NULL, 10);
        e.batch_b = strtoll(sb->value, NULL, 10);
        const lvt_node *where = parts(e.g, e.h, e.batch_a, e.batch_b);
        if (where) {
            lvt_warning(
                diag, NULL, lvt_module_pos(m, where->loc),
                "the batch of the exported model is fixed to %s: the graph depends on it by more than dims",
                sa->value);
            e.h = e.g;
        }
    } else {
        e.h = e.g;
    }
    if (status == LVT_OK)
        status = export_graph(&e, o, diag);
    if (status == LVT_NOMEM && !lvt_diag_errors(diag))
        lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "out of memory writing %s", o->path);
    lvt_arena_free(arena);
    return status;
}
