/* Imported ONNX files, called as blocks are: their nodes go into the graph, their initialisers are parameters
 * below the path of the call.
 *
 * Invariants: a file is opened once an import and closed at the end of the compilation; what it lacks is
 * reported at the import, what a call lacks at the call. May not know: how ONNX operators are built. */
#include "elab.h"
#include "frontend/onnx/import.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_INPUTS = 64, MOST_OUTPUTS = 64, MOST_GROUPS = 64, MOST_CONSTANTS = 32 };

static const lvt_onnx_import no_options;

bool lvt_lang_is_net(const char *name) {
    size_t n = name ? strlen(name) : 0;
    return n > 5 && !strcmp(name + n - 5, ".onnx");
}

/* The text of the first error, without its place. */
static const char *what_is_said(elab *e, const lvt_diag *d) {
    char *text = lvt_diag_text(d), *from = text ? strstr(text, "error: ") : NULL;
    if (from)
        from[strcspn(from, "\n")] = 0;
    const char *copy = lvt_arena_strdup(e->arena, from ? from + 7 : "it cannot be read");
    free(text);
    return copy ? copy : "";
}

bool lvt_lang_load_net(elab *e, source_file *file, const ast_stmt *s) {
    spot at = SPOT(s->value);
    lvt_pos place = {file->name, at.line, at.col};
    if (!s->n_names || !lvt_lang_is_net(s->value->text)) {
        e->errors = true;
        lvt_error(e->diag, LVT_USER, "E509", place,
                  s->n_names ? "only an ONNX file (.onnx) is imported under a name"
                             : "an ONNX file is imported under a name: import \"x.onnx\" as NAME");
        return false;
    }
    const char *path = lvt_lang_find_import(e, s->value->text, file, at);
    net *n = path ? lvt_lang_room(e, sizeof *n) : NULL;
    if (!n)
        return false;
    *n = (net){.name = s->names[0].text, .file = file, .at = at, .n_outputs = s->n_args};
    n->outputs = lvt_lang_room(e, s->n_args * sizeof *n->outputs);
    if (!n->outputs || !lvt_lang_grow(e, &file->nets, &file->n_nets, &n, sizeof n) ||
        !lvt_lang_grow(e, &e->nets, &e->n_nets, &n, sizeof n))
        return false;
    for (uint32_t i = 0; i < s->n_args; i++)
        n->outputs[i] = s->args[i].value->kind == EXPR_STRING ? s->args[i].value->text : "";
    lvt_diag *aside = lvt_diag_new();
    lvt_status status = aside ? lvt_onnx_open(path, &n->onnx, aside) : LVT_NOMEM;
    if (status == LVT_NOMEM)
        e->nomem = true;
    else if (status != LVT_OK)
        lvt_error(e->diag, LVT_USER, "E509", place, "cannot import \"%s\": %s", s->value->text,
                  what_is_said(e, aside));
    lvt_diag_free(aside);
    lvt_onnx_use use = {
        .options = &no_options, .at = place, .outputs = n->outputs, .n_outputs = n->n_outputs};
    size_t outputs = n->onnx ? (n->n_outputs ? n->n_outputs : lvt_onnx_outputs(n->onnx)) : 0;
    if (status == LVT_OK && (outputs > MOST_OUTPUTS || outputs < 1 || lvt_onnx_inputs(n->onnx) > MOST_INPUTS))
        status = lvt_error(e->diag, LVT_USER, "E509", place,
                           "cannot import \"%s\": it has no or too many inputs or outputs", s->value->text);
    if (status == LVT_OK)
        status = lvt_onnx_check(n->onnx, &use, e->diag);
    e->errors |= status != LVT_OK;
    return status == LVT_OK;
}

void lvt_lang_close_nets(elab *e) {
    for (uint32_t i = 0; i < e->n_nets; i++)
        lvt_onnx_close(e->nets[i]->onnx);
}

bool lvt_lang_bind_nets(frame *f, source_file *file) {
    bool ok = true;
    for (uint32_t i = 0; i < file->n_nets; i++) {
        value v = {.kind = VALUE_NET, .net = file->nets[i]};
        ok &= lvt_lang_env_add(f, &file->names, file->nets[i]->name, v, BIND_BLOCK, file->nets[i]->at);
    }
    return ok;
}

/* ---- calls ---- */

typedef struct user {
    frame *f;
    spot at;
} user;

static lvt_value state(void *u, const char *name, const lvt_type *type, lvt_init init, const void *values,
                       bool trainable) {
    const user *c = u;
    elab *e = c->f->e;
    const char *path = lvt_lang_join_path(e, c->f->scope->path, name, "");
    uint32_t s = e->nomem ? LVT_NONE : lvt_lang_declare_state(c->f, path, type, init, trainable, c->at);
    if (s == LVT_NONE)
        return LVT_NONE;
    e->m->states[s].values = values;
    return lvt_build_state(&e->b, s);
}

static bool set_state(void *u, lvt_value of, lvt_value x) {
    const user *c = u;
    lvt_graph *g = c->f->e->b.graph;
    uint32_t s = (uint32_t)lvt_attr_get(lvt_value_node(g, of), "index")->i;
    if (!lvt_lang_updated_once(c->f, s, c->at))
        return false;
    return lvt_lang_add_update(c->f, s, x, c->at);
}

static lvt_value key(void *u) {
    const user *c = u;
    value v = lvt_lang_random_key(c->f, c->at);
    return is_poison(v) ? LVT_NONE : v.tensor.v;
}

typedef struct call_options {
    value training, step, groups, images, any_size, tied, constants;
} call_options;

/* Arguments by position are inputs; by name inputs or options. */
static bool bind(frame *f, const net *n, const argument *args, uint32_t n_args, value *inputs,
                 call_options *o, spot at) {
    elab *e = f->e;
    const struct {
        const char *name;
        value *to;
    } rows[] = {{"training", &o->training},  {"step", &o->step},         {"groups", &o->groups},
                {"images", &o->images},      {"any_size", &o->any_size}, {"tied", &o->tied},
                {"constants", &o->constants}};
    enum { N_ROWS = sizeof rows / sizeof *rows };
    const char *names[MOST_INPUTS + N_ROWS];
    size_t n_inputs = lvt_onnx_inputs(n->onnx), next = 0;
    for (size_t i = 0; i < n_inputs; i++) {
        inputs[i] = (value){.kind = VALUE_NONE};
        names[i] = lvt_onnx_input(n->onnx, i);
    }
    for (size_t i = 0; i < N_ROWS; i++)
        names[n_inputs + i] = rows[i].name;
    for (uint32_t k = 0; k < n_args; k++) {
        const argument *a = &args[k];
        size_t i = a->name ? 0 : next++;
        while (a->name && i < n_inputs + N_ROWS && strcmp(names[i], a->name))
            i++;
        if (!a->name && i >= n_inputs) {
            lvt_lang_fail(f, a->at, "E310", "%s takes %zu argument%s by position", n->name, n_inputs,
                          n_inputs == 1 ? "" : "s");
            return false;
        }
        if (i >= n_inputs + N_ROWS) {
            const char *near = lvt_nearest(a->name, names, n_inputs + N_ROWS);
            lvt_lang_fail(f, a->name_at, "E311", "%s has no parameter '%.60s'%s%s%s", n->name, a->name,
                          near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
            return false;
        }
        value *to = i < n_inputs ? &inputs[i] : rows[i - n_inputs].to;
        if (i < n_inputs && to->kind != VALUE_NONE) {
            lvt_lang_fail(f, a->at, "E313", "%s: '%s' is given twice", n->name, names[i]);
            return false;
        }
        if (i < n_inputs && a->v.kind != VALUE_TENSOR) {
            lvt_lang_fail(f, a->at, "E224", "%s: '%s' must be a tensor, not %s", n->name, names[i],
                          lvt_lang_value_describe(e, a->v));
            return false;
        }
        *to = a->v;
    }
    for (size_t i = 0; i < n_inputs; i++)
        if (inputs[i].kind == VALUE_NONE) {
            lvt_lang_fail(f, at, "E312", "%s: '%s' is missing", n->name, names[i]);
            return false;
        }
    if (o->training.kind == VALUE_BOOL && o->images.kind == VALUE_BOOL && o->any_size.kind == VALUE_BOOL &&
        o->tied.kind == VALUE_BOOL && (o->step.kind == VALUE_NONE || o->step.kind == VALUE_TENSOR) &&
        (o->groups.kind == VALUE_NONE || is_list(o->groups)) &&
        (o->constants.kind == VALUE_NONE || is_list(o->constants)))
        return true;
    lvt_lang_fail(
        f, at, "E224",
        "%s: training, images, any_size and tied are true or false, step is a tensor, groups a list of "
        "numbers, constants one of patterns",
        n->name);
    return false;
}

value lvt_lang_call_net(frame *f, const net *n, const argument *args, uint32_t n_args, const char *path,
                        naming named, spot at) {
    elab *e = f->e;
    value inputs[MOST_INPUTS], poison = {.kind = VALUE_POISON};
    lvt_value in[MOST_INPUTS], out[MOST_OUTPUTS];
    int64_t groups[MOST_GROUPS];
    const char *constants[MOST_CONSTANTS];
    bool found[MOST_CONSTANTS] = {false};
    if (!e->b.graph)
        return lvt_lang_fail(f, at, "E303", "an imported network is for entries only");
    call_options o = {lvt_lang_value_bool(e->b.graph->training),
                      {.kind = VALUE_NONE},
                      {.kind = VALUE_NONE},
                      lvt_lang_value_bool(true),
                      lvt_lang_value_bool(false),
                      lvt_lang_value_bool(false),
                      {.kind = VALUE_NONE}};
    if (!bind(f, n, args, n_args, inputs, &o, at))
        return poison;
    for (size_t i = 0; i < lvt_onnx_inputs(n->onnx); i++)
        in[i] = inputs[i].tensor.v;
    uint32_t n_groups = o.groups.kind == VALUE_NONE ? 0 : o.groups.n;
    for (uint32_t i = 0; i < n_groups; i++) {
        if (n_groups > MOST_GROUPS || o.groups.items[i].kind != VALUE_INT || o.groups.items[i].i < 1 ||
            o.groups.items[i].i > INT32_MAX)
            return lvt_lang_fail(f, at, "E224", "%s: 'groups' are at most %d numbers of images, not %s",
                                 n->name, MOST_GROUPS, lvt_lang_value_describe(e, o.groups));
        groups[i] = o.groups.items[i].i;
    }
    uint32_t n_constants = o.constants.kind == VALUE_NONE ? 0 : o.constants.n;
    for (uint32_t i = 0; i < n_constants; i++) {
        if (n_constants > MOST_CONSTANTS || o.constants.items[i].kind != VALUE_STRING)
            return lvt_lang_fail(f, at, "E224", "%s: 'constants' are at most %d patterns of names, not %s",
                                 n->name, MOST_CONSTANTS, lvt_lang_value_describe(e, o.constants));
        constants[i] = o.constants.items[i].s;
    }
    if (!path)
        path = lvt_lang_join_path(e, f->scope->path, n->name, f->suffix);
    scope *sc = lvt_lang_room(e, sizeof *sc);
    if (!sc)
        return lvt_lang_out_of_memory(e);
    *sc = (scope){.parent = f->scope, .path = path, .named = named, .at = at, .caller = f};
    frame inner = *f;
    inner.scope = sc;
    inner.suffix = "";
    lvt_lang_build_begin(f, at);
    if (e->nomem)
        return poison;
    lvt_builder b = e->b;
    user u = {&inner, at};
    lvt_onnx_use use = {.module = e->m,
                        .builder = &b,
                        .options = &no_options,
                        .at = lvt_module_pos(e->m, b.loc),
                        .outputs = n->outputs,
                        .n_outputs = n->n_outputs,
                        .inputs = in,
                        .images = o.images.i,
                        .any_size = o.any_size.i,
                        .tied = o.tied.i,
                        .constants = constants,
                        .n_constants = n_constants,
                        .constants_found = found,
                        .form = o.training.i ? LVT_ONNX_TRAINING : LVT_ONNX_INFERENCE,
                        .step = o.step.kind == VALUE_TENSOR ? o.step.tensor.v : LVT_NONE,
                        .streams = &e->streams,
                        .groups = n_groups ? groups : NULL,
                        .n_groups = (int)n_groups,
                        .state = state,
                        .update = set_state,
                        .key = key,
                        .user = &u};
    lvt_status status = lvt_onnx_expand(n->onnx, &use, out, e->aside);
    if (status == LVT_NOMEM)
        return lvt_lang_out_of_memory(e);
    if (status != LVT_OK) {
        value v = lvt_lang_build_end(f, LVT_NONE, at);
        if (!e->silenced)
            lvt_note(e->diag, (lvt_pos){n->file->name, n->at.line, n->at.col}, "'%s' is imported here",
                     n->name);
        return v;
    }
    lvt_diag_move(e->diag, e->aside);
    for (uint32_t i = 0; i < n_constants; i++)
        if (!found[i])
            return lvt_lang_fail(f, at, "E224",
                                 "%s: no float tensor of the file that is used here is called '%.60s'",
                                 n->name, constants[i]);
    size_t n_out = n->n_outputs ? n->n_outputs : lvt_onnx_outputs(n->onnx);
    if (n_out == 1)
        return lvt_lang_value_tensor(out[0], LVT_NONE);
    value *items = lvt_lang_room(e, n_out * sizeof *items);
    const char **names = lvt_lang_room(e, n_out * sizeof *names);
    if (!items || !names)
        return lvt_lang_out_of_memory(e);
    for (size_t i = 0; i < n_out; i++) {
        items[i] = lvt_lang_value_tensor(out[i], LVT_NONE);
        const char *name = n->n_outputs ? n->outputs[i] : lvt_onnx_output(n->onnx, i);
        names[i] = name ? name : "";
    }
    return (value){.kind = VALUE_TUPLE, .n = (uint32_t)n_out, .items = items, .names = names};
}
