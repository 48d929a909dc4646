/* Export of an entry. May not know: what single ops look like in ONNX. */
#include "export.h"
#include "emit.h"
#include "initial.h"
#include "pictures.h"
#include "ir/program/init.h"

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
    int64_t index = lvt_attr_get(n, "index")->i;
    const lvt_state *s = &e->g->module->states[index];
    const char **known = &e->state_names[index];
    lvt_onnx_value *v = &e->values[n->result];
    v->have = lvt_emit_shape(e, n->result);
    if (*known) {
        v->form[0] = *known;
        return LVT_OK;
    }
    void *packed = state_values(e, s, o, diag);
    if (!packed)
        return e->w.no_memory ? LVT_NOMEM : LVT_USER;
    if (e->states != LVT_ONNX_CONSTANTS) {
        const char *name = *known = v->form[0] = lvt_onnx_name(&e->w, s->name);
        int type = lvt_onnx_type((lvt_dtype)s->type.dtype);
        if (e->states == LVT_ONNX_INPUTS)
            lvt_onnx_port(&e->w, LVT_ONNX_INPUT, name, type, s->type.rank, s->type.dim, NULL);
        lvt_onnx_tensor(&e->w, name, type, s->type.rank, s->type.dim, packed, lvt_type_bytes(&s->type));
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

static void port(lvt_emitter *e, lvt_onnx_port_kind kind, const char *name, const lvt_shape2 *s) {
    const char *text[LVT_MAX_RANK] = {0};
    for (int i = 0; i < s->a.rank; i++) {
        int64_t times = s->a.dim[i] / e->batch_a;
        if (s->a.dim[i] != s->b.dim[i])
            text[i] = times == 1 ? "batch" : lvt_onnx_text(&e->w, "%lld*batch", (long long)times);
    }
    lvt_onnx_port(&e->w, kind, name, lvt_onnx_type((lvt_dtype)s->a.dtype), s->a.rank, s->a.dim, text);
}

/* The name of an input or output; beside an inference graph that has it too, it takes the entry's. */
static const char *port_name(lvt_emitter *e, const char *name) {
    bool taken = e->inference && lvt_onnx_taken(&e->w, name);
    return lvt_onnx_name(&e->w, taken ? lvt_onnx_text(&e->w, "%s.%s", e->g->name, name) : name);
}

/* Whether the inference graph has that input, for all tensors of this shape. */
static bool shared_input(const lvt_emitter *e, const char *name, const lvt_type *type) {
    for (size_t i = 0; e->inference && i < e->inference->n_input; i++) {
        const Onnx__ValueInfoProto *in = e->inference->input[i];
        const Onnx__TypeProto__Tensor *t = in->type->tensor_type;
        bool same = !strcmp(in->name, name) && t->elem_type == lvt_onnx_type((lvt_dtype)type->dtype) &&
                    t->shape->n_dim == type->rank;
        for (size_t d = 0; same && d < type->rank; d++)
            same = t->shape->dim[d]->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM ||
                   t->shape->dim[d]->dim_value == type->dim[d];
        if (same)
            return true;
    }
    return false;
}

static void emit_input(lvt_emitter *e, const lvt_node *n) {
    const lvt_input *in = &e->g->inputs[lvt_attr_get(n, "index")->i];
    lvt_shape2 s = lvt_emit_shape(e, n->result);
    if (shared_input(e, in->name, &s.a)) {
        lvt_emit_set(e, n->result, in->name);
        return;
    }
    const char *name = port_name(e, in->name);
    port(e, LVT_ONNX_INPUT, name, &s);
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

/* Whose update a value serves: the state's name; `shared` when several do. A velocity belongs to its
 * parameter.
 */
static const char shared[] = "";
static const char *owner_of_both(const char *a, const char *b) {
    if (!a || !b)
        return a ? a : b;
    const char *brief = strlen(a) < strlen(b) ? a : b, *other = brief == a ? b : a;
    size_t n = strlen(brief);
    return !strncmp(brief, other, n) && n && (!other[n] || other[n] == '.') ? brief : shared;
}

static const char **find_owners(lvt_emitter *e) {
    const lvt_graph *g = e->g;
    const char **owners = lvt_onnx_alloc(&e->w, (g->n_values + 1u) * sizeof *owners);
    for (uint32_t i = 0; owners && i < g->n_updates; i++) {
        const char **o = &owners[g->updates[i].value];
        *o = owner_of_both(*o, g->module->states[g->updates[i].state].name);
    }
    for (uint32_t i = g->n_nodes; owners && i-- > 0;) {
        const lvt_node *n = &g->nodes[i];
        for (uint32_t r = 0; r < n->n_results && n->role == LVT_UPDATE; r++)
            for (uint32_t k = 0; k < n->n_operands; k++) {
                const char **o = &owners[n->operands[k]];
                *o = owner_of_both(*o, owners[n->result + r]);
            }
    }
    return owners;
}

/* "stem.conv" for what reads state "stem.conv.weight", and for what reads that. Gradients and updates go
 * under names of their own. */
static const char *scope_of(lvt_emitter *e, const lvt_node *n, const char **node_scopes,
                            const char **owners) {
    const char *first = NULL;
    if (n->role == LVT_UPDATE) {
        const char *owner = owners[n->result];
        return owner && owner != shared ? lvt_onnx_text(&e->w, "update/%s", owner) : "update";
    }
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
    return first ? first : "";
}

static const char *state_scope(lvt_emitter *e, const lvt_node *n) {
    const char *name = e->g->module->states[lvt_attr_get(n, "index")->i].name, *dot = strrchr(name, '.');
    return dot ? lvt_onnx_text(&e->w, "%.*s", (int)(dot - name), name) : name;
}

static lvt_status emit_nodes(lvt_emitter *e, const lvt_onnx_options *o, lvt_diag *diag) {
    const lvt_module *m = e->g->module;
    const char **scopes = lvt_onnx_alloc(&e->w, (e->g->n_nodes + 1u) * sizeof *scopes);
    const char **owners = find_owners(e);
    lvt_status status = LVT_OK;
    for (uint32_t i = 0; i < e->g->n_nodes && !e->w.no_memory; i++) {
        const lvt_node *n = &e->g->nodes[i];
        lvt_pos at = lvt_module_pos(m, n->loc);
        lvt_status one = LVT_OK;
        e->w.place = at.file ? lvt_onnx_text(&e->w, "%s:%u", at.file, at.line) : NULL;
        e->scope = scopes[i] = n->op == LVT_OP_state   ? state_scope(e, n)
                               : n->op == LVT_OP_input ? e->g->inputs[lvt_attr_get(n, "index")->i].name
                                                       : scope_of(e, n, scopes, owners);
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
            if (!emit || !emit(e, n)) {
                one = lvt_error(diag, LVT_USER, NULL, at, "%s cannot be exported: %s", lvt_op_of(n)->name,
                                e->why);
                if (n->op == LVT_OP_random_uniform)
                    lvt_note(diag, LVT_NOWHERE,
                             "a rate of 0 leaves dropout out; predict has none, and exports as it is");
            }
        }
        if (one != LVT_OK)
            status = one;
    }
    e->w.place = NULL;
    return e->w.no_memory ? LVT_NOMEM : status;
}

/* Outputs and, as NAME.next, updates. updates[i].value: the output of update i. */
static void emit_ends(lvt_emitter *e, lvt_onnx_meta *updates) {
    const lvt_graph *g = e->g;
    for (uint32_t i = 0; i < g->n_outputs + g->n_updates && !e->w.no_memory; i++) {
        bool update = i >= g->n_outputs;
        lvt_value v = update ? g->updates[i - g->n_outputs].value : g->outputs[i].value;
        const char *name = update ? lvt_onnx_text(&e->w, "%s.next",
                                                  g->module->states[g->updates[i - g->n_outputs].state].name)
                                  : g->outputs[i].name;
        e->scope = name;
        const char *tensor = lvt_emit_full(e, v);
        name = port_name(e, name);
        if (update)
            updates[i - g->n_outputs] = (lvt_onnx_meta){NULL, name};
        lvt_onnx_alias(&e->w, name, tensor);
        for (lvt_value k = 0; k < g->n_values; k++)
            if (e->values[k].form[0] && !strcmp(e->values[k].form[0], tensor) &&
                lvt_value_node(g, k)->op != LVT_OP_state && lvt_value_node(g, k)->op != LVT_OP_input)
                e->values[k].form[0] = name; /* one of several outputs that are one value */
        lvt_shape2 s = lvt_emit_shape(e, v);
        port(e, LVT_ONNX_OUTPUT, name, &s);
    }
}

/* Shapes of tensors between inputs and outputs, as far as they are values of the graph. */
static void emit_shapes(lvt_emitter *e) {
    lvt_onnx_writer inner = {.arena = e->arena}, said = {.arena = e->arena}; /* their tables of names */
    const Onnx__GraphProto *g = &e->w.graph;
    for (size_t i = 0; i < g->n_output; i++)
        if (!lvt_onnx_taken(&said, g->output[i]->name))
            lvt_onnx_name(&said, g->output[i]->name);
    for (size_t i = 0; i < g->n_node; i++)
        for (size_t k = 0; k < g->node[i]->n_output; k++)
            lvt_onnx_name(&inner, g->node[i]->output[k]);
    for (lvt_value v = 0; v < e->g->n_values && !inner.no_memory && !said.no_memory; v++)
        for (int form = 0; form < 2; form++) {
            const char *name = e->values[v].form[form];
            lvt_shape2 s = e->values[v].have;
            if (!name || !lvt_onnx_taken(&inner, name) || lvt_onnx_taken(&said, name))
                continue;
            lvt_onnx_name(&said, name);
            if (form) {
                lvt_shape2 whole = s = lvt_emit_shape(e, v);
                for (int i = 1; i < 4; i++) {
                    s.a.dim[i] = whole.a.dim[i == 1 ? 3 : i - 1];
                    s.b.dim[i] = whole.b.dim[i == 1 ? 3 : i - 1];
                }
            }
            port(e, LVT_ONNX_INNER, name, &s);
        }
    e->w.no_memory |= inner.no_memory || said.no_memory;
}

/* ---- metadata ---- */

static const char *numbers(lvt_emitter *e, const double *x, int n) {
    const char *list = "";
    for (int i = 0; i < n; i++)
        list = lvt_onnx_text(&e->w, "%s%s%.9g", list, i ? "," : "", x[i]);
    return lvt_onnx_text(&e->w, "[%s]", list);
}

/* The entry's inputs that its outputs do not hang on, so that its graph goes without them, as a JSON list;
 * NULL: none. */
static const char *left_out(lvt_emitter *e) {
    const char *list = NULL;
    for (uint32_t i = 0; i < e->g->n_inputs; i++) {
        const lvt_input *in = &e->g->inputs[i];
        const char *tensor = e->values[in->value].form[0];
        bool there = false;
        for (size_t k = 0; tensor && k < e->w.graph.n_input && !there; k++)
            there = !strcmp(e->w.graph.input[k]->name, tensor);
        for (size_t k = 0; tensor && e->inference && k < e->inference->n_input && !there; k++)
            there = !strcmp(e->inference->input[k]->name, tensor);
        if (!there)
            list = lvt_onnx_text(&e->w, "%s%s\"%s\"", list ? list : "", list ? "," : "", in->name);
    }
    return list ? lvt_onnx_text(&e->w, "[%s]", list) : NULL;
}

/* step: of --training-info, or NULL. */
static size_t metadata(lvt_emitter *e, lvt_emitter *step, const lvt_graph *g, const lvt_onnx_options *o,
                       const lvt_onnx_pictures *p, lvt_onnx_meta *meta) {
    const lvt_module *m = g->module;
    const char *unused = left_out(e), *step_unused = step ? left_out(step) : NULL;
    size_t n = 0;
    meta[n++] = (lvt_onnx_meta){"lvt.model", m->name};
    meta[n++] = (lvt_onnx_meta){"lvt.entry", g->name};
    if (unused)
        meta[n++] = (lvt_onnx_meta){"lvt.unused_inputs", unused};
    if (step)
        meta[n++] = (lvt_onnx_meta){"lvt.training_entry", o->entry};
    if (step_unused)
        meta[n++] = (lvt_onnx_meta){"lvt.training_unused_inputs", step_unused};
    meta[n++] = (lvt_onnx_meta){"lvt.version", o->version};
    for (uint32_t s = 0; s < m->n_settings; s++)
        meta[n++] = (lvt_onnx_meta){lvt_onnx_text(&e->w, "lvt.setting.%s", m->settings[s].name),
                                    m->settings[s].value};
    if (p->channels) {
        meta[n++] = (lvt_onnx_meta){"mean", numbers(e, p->mean, p->channels)};
        meta[n++] = (lvt_onnx_meta){"deviation", numbers(e, p->deviation, p->channels)};
    }
    if (o->with_preprocessing)
        meta[n++] = (lvt_onnx_meta){"lvt.preprocessing", "(pixel / 255 - mean) / deviation"};
    if (p->class_names)
        meta[n++] = (lvt_onnx_meta){"class_names", p->class_names};
    if (p->learned) {
        const char *list = "";
        for (int c = 0; c < p->classes; c++)
            if (p->learned[c])
                list = lvt_onnx_text(&e->w, "%s%s%d", list, *list ? "," : "", c);
        meta[n++] = (lvt_onnx_meta){"classes", lvt_onnx_text(&e->w, "%d", p->classes)};
        meta[n++] = (lvt_onnx_meta){"classes_learned", lvt_onnx_text(&e->w, "[%s]", list)};
    }
    return n;
}

/* ---- the parts of a model ---- */

/* Writes an entry's graph into e->w, which is ready for it. updates: room for the entry's updates, see
 * emit_ends. */
static lvt_status export_entry(lvt_emitter *e, const lvt_graph *g, const lvt_graph *h,
                               const lvt_onnx_options *o, lvt_onnx_meta **updates, lvt_diag *diag) {
    const lvt_setting *sa = h ? lvt_onnx_batch_setting(g->module, g->name) : NULL;
    const lvt_setting *sb = h ? lvt_onnx_batch_setting(h->module, g->name) : NULL;
    e->batch_a = e->batch_b = 1;
    e->g = take_apart(g, o->opset, e->arena, diag);
    e->h = sa && sb ? take_apart(h, o->opset, e->arena, diag) : e->g;
    if (!e->g || !e->h)
        return LVT_NOMEM;
    e->values = lvt_onnx_alloc(&e->w, (e->g->n_values + 1u) * sizeof *e->values);
    *updates = lvt_onnx_alloc(&e->w, (e->g->n_updates + 1u) * sizeof **updates);
    if (!e->values || !*updates)
        return LVT_NOMEM;
    if (sa && sb) {
        e->batch_a = strtoll(sa->value, NULL, 10);
        e->batch_b = strtoll(sb->value, NULL, 10);
        const lvt_node *where = parts(e->g, e->h, e->batch_a, e->batch_b);
        if (where) {
            lvt_warning(
                diag, NULL, lvt_module_pos(g->module, where->loc),
                "the batch of the exported model is fixed to %s: the graph depends on it by more than dims",
                sa->value);
            e->h = e->g;
        }
    }
    lvt_status status = emit_nodes(e, o, diag);
    if (status != LVT_OK)
        return status;
    emit_ends(e, *updates);
    lvt_onnx_clean(&e->w);
    emit_shapes(e);
    return e->w.no_memory ? LVT_NOMEM : LVT_OK;
}

static const lvt_graph *find_entry(const lvt_module *m, const char *name, lvt_diag *diag) {
    const lvt_graph *g = lvt_module_find_entry(m, name);
    if (g)
        return g;
    const char **names = calloc(m->n_entries + 1u, sizeof *names);
    for (uint32_t i = 0; names && i < m->n_entries; i++)
        names[i] = m->entries[i]->name;
    const char *near = names ? lvt_nearest(name, names, m->n_entries) : NULL;
    free(names);
    lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "the model has no entry %s%s%s%s", name,
              near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    return NULL;
}

static bool has_initializer(const Onnx__GraphProto *g, const char *name) {
    for (size_t i = 0; g && i < g->n_initializer; i++)
        if (!strcmp(g->initializer[i]->name, name))
            return true;
    return false;
}

/* Initialisers that nothing used were dropped. */
static void forget_dropped(lvt_emitter *e, uint32_t n_states) {
    for (uint32_t s = 0; s < n_states; s++)
        if (e->state_names[s] && !has_initializer(&e->w.graph, e->state_names[s]) &&
            !has_initializer(e->inference, e->state_names[s]))
            e->state_names[s] = NULL;
}

/* A state that the step updates and does not read needs an initialiser, which the binding sets. */
static lvt_status add_unread(lvt_emitter *e, const lvt_onnx_options *o, lvt_onnx_meta *updates,
                             lvt_diag *diag) {
    for (uint32_t i = 0; i < e->g->n_updates; i++) {
        uint32_t index = e->g->updates[i].state;
        const lvt_state *s = &e->g->module->states[index];
        if (!e->state_names[index]) {
            void *packed = state_values(e, s, o, diag);
            if (!packed)
                return e->w.no_memory ? LVT_NOMEM : LVT_USER;
            e->state_names[index] = lvt_onnx_name(&e->w, s->name);
            lvt_onnx_tensor(&e->w, e->state_names[index], lvt_onnx_type((lvt_dtype)s->type.dtype),
                            s->type.rank, s->type.dim, packed, lvt_type_bytes(&s->type));
        }
        updates[i].key = e->state_names[index];
    }
    return e->w.no_memory ? LVT_NOMEM : LVT_OK;
}

static lvt_status export_model(lvt_emitter *e, const lvt_module *m, const lvt_module *other,
                               const lvt_onnx_options *o, lvt_diag *diag) {
    bool training = o->training_info;
    const char *name = training ? o->inference : o->entry;
    const lvt_graph *g = find_entry(m, name, diag), *step = training ? find_entry(m, o->entry, diag) : NULL;
    if (!g || (training && !step))
        return LVT_USER;
    if (training && (g->n_updates || !step->n_updates))
        return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                         "--training-info wants an entry that updates states, and %s that updates none: "
                         "%s does not fit",
                         o->inference, g->n_updates ? g->name : step->name);
    const lvt_graph *made = training ? step : g;
    if (!made->n_outputs && !made->n_updates)
        return lvt_error(diag, LVT_USER, NULL, lvt_module_pos(m, made->loc),
                         "there is nothing to export: entry %s returns nothing and updates nothing",
                         made->name);
    lvt_onnx_begin(&e->w, e->arena, o->opset, name);
    e->states = training ? LVT_ONNX_INITIALIZERS : g->n_updates ? LVT_ONNX_INPUTS : LVT_ONNX_CONSTANTS;
    e->state_names = lvt_onnx_alloc(&e->w, (m->n_states + 1u) * sizeof *e->state_names);
    lvt_onnx_meta *meta = lvt_onnx_alloc(&e->w, (m->n_settings + 14) * sizeof *meta), *none, *updates = NULL;
    if (e->w.no_memory)
        return LVT_NOMEM;
    lvt_onnx_pictures pictures;
    lvt_status status = lvt_onnx_pictures_read(&pictures, o->weights, o->mean, o->deviation, e->arena, diag);
    const lvt_graph *h = other ? lvt_module_find_entry(other, name) : NULL;
    if (status == LVT_OK && o->with_preprocessing) {
        g = lvt_onnx_take_pictures(g, &pictures, e->arena, diag);
        h = g && h ? lvt_onnx_take_pictures(h, &pictures, e->arena, diag) : NULL;
        if (!g)
            return lvt_diag_errors(diag) ? LVT_USER : LVT_NOMEM;
    }
    if (status == LVT_OK)
        status = export_entry(e, g, h, o, &none, diag);
    lvt_emitter s = {.arena = e->arena, .states = e->states, .state_names = e->state_names};
    lvt_onnx_writer initial;
    lvt_onnx_file file = {
        .path = o->path, .producer_version = o->version, .external_bytes = o->external_bytes, .meta = meta};
    if (status == LVT_OK && training) {
        forget_dropped(e, m->n_states);
        s.inference = &e->w.graph;
        lvt_onnx_begin_beside(&s.w, &e->w, step->name);
        status = export_entry(&s, step, NULL, o, &updates, diag);
        if (status == LVT_OK) {
            forget_dropped(&s, m->n_states);
            status = add_unread(&s, o, updates, diag);
        }
        file.algorithm = &s.w;
        file.initialization = &initial;
        file.updates = updates;
        file.n_updates = step->n_updates;
        if (status == LVT_OK)
            file.initials =
                lvt_onnx_initialization(&initial, &s.w, m, s.state_names, o->seed, &file.n_initials);
    }
    if (status != LVT_OK)
        return status;
    file.n_meta = metadata(e, training ? &s : NULL, g, o, &pictures, meta);
    file.doc = lvt_onnx_text(&e->w, "Entry %s of %s. Images are [batch, height, width, channels].", g->name,
                             m->name);
    return lvt_onnx_write(&e->w, &file, diag);
}

lvt_status lvt_onnx_export(const lvt_module *m, const lvt_module *other, const lvt_onnx_options *o,
                           lvt_diag *diag) {
    lvt_arena *arena = lvt_arena_new();
    lvt_emitter e = {.arena = arena};
    lvt_status status = arena ? export_model(&e, m, other, o, diag) : LVT_NOMEM;
    if (status == LVT_NOMEM && !lvt_diag_errors(diag))
        lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "out of memory writing %s", o->path);
    lvt_arena_free(arena);
    return status;
}
