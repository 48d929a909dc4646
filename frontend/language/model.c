/* Models: settings, then one graph an entry.
 *
 * Invariants: settings are evaluated in order, a later default may use an earlier one; entries are elaborated
 * in the order of the file, so that `params` of a later one sees what the earlier ones declared. */
#include "elab.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The text given for a setting, or NULL. The last one wins. */
static const char *given(const char *name, const char *const *settings, size_t n) {
    const char *text = NULL;
    size_t length = strlen(name);
    for (size_t i = 0; i < n; i++)
        if (!strncmp(settings[i], name, length) && settings[i][length] == '=')
            text = settings[i] + length + 1;
    return text;
}

static bool known_settings(elab *e, const ast_stmt *model, const char *const *settings, size_t n) {
    bool ok = true;
    const char **names = room(e, (model->n_params + 1) * sizeof *names);
    if (!names)
        return false;
    const char *list = "";
    for (uint32_t i = 0; i < model->n_params; i++) {
        names[i] = model->params[i].name;
        list = lvt_arena_printf(e->arena, "%s%s%s", list, i ? ", " : "", names[i]);
        if (!list)
            return out_of_memory(e), false;
    }
    for (size_t i = 0; i < n; i++) {
        const char *equals = strchr(settings[i], '=');
        char name[100];
        snprintf(name, sizeof name, "%.*s",
                 equals ? (int)(equals - settings[i] > 90 ? 90 : equals - settings[i]) : 90, settings[i]);
        if (!equals || equals == settings[i]) {
            lvt_error(e->diag, LVT_USER, "E503", LVT_NOWHERE, "a setting is NAME=VALUE, not '%s'", name);
            ok = false;
            continue;
        }
        bool found = false;
        for (uint32_t k = 0; k < model->n_params; k++)
            found |= !strcmp(names[k], name);
        if (found)
            continue;
        const char *near = lvt_nearest(name, names, model->n_params);
        lvt_error(e->diag, LVT_USER, "E504", LVT_NOWHERE, "the model has no setting '%s'%s%s%s", name,
                  near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
        lvt_note(e->diag, LVT_NOWHERE, "its settings are: %s", list);
        ok = false;
    }
    return ok;
}

/* The value of a setting from its text; the default's kind decides how it is read. */
static bool read_setting(frame *f, const ast_param *p, const char *text, value usual, value *out) {
    elab *e = f->e;
    if (usual.kind == VALUE_STRING) {
        const char *copy = lvt_arena_strdup(e->arena, text);
        *out = value_string(copy ? copy : "");
        return copy != NULL;
    }
    ast_expr *x = ast_parse_expression(text, e->arena);
    size_t before = lvt_diag_errors(e->diag);
    value v = {.kind = VALUE_POISON};
    if (x && x->kind != EXPR_NAME && x->kind != EXPR_CALL)
        v = eval(f, x);
    if (usual.kind == VALUE_FLOAT && v.kind == VALUE_INT)
        v = value_float((double)v.i);
    bool any = usual.kind == VALUE_NONE;
    if (any && is_poison(v)) {
        const char *copy = lvt_arena_strdup(e->arena, text);
        v = value_string(copy ? copy : "");
    }
    if (!is_poison(v) && (any || v.kind == usual.kind)) {
        *out = v;
        return true;
    }
    if (lvt_diag_errors(e->diag) == before) {
        lvt_error(e->diag, LVT_USER, "E506", LVT_NOWHERE, "the setting '%s' cannot be '%.60s'", p->name,
                  text);
        lvt_note(e->diag, (lvt_pos){f->file->name, p->line, p->col}, "its default is %s",
                 value_describe(e, usual));
    }
    e->errors = true;
    return false;
}

static bool bind_settings(frame *f, const ast_stmt *model, const char *const *settings, size_t n) {
    elab *e = f->e;
    bool ok = known_settings(e, model, settings, n);
    for (uint32_t i = 0; i < model->n_params; i++) {
        const ast_param *p = &model->params[i];
        const char *text = given(p->name, settings, n);
        value v = {.kind = VALUE_NONE};
        if (p->type) {
            fail(f, SPOT(p->type), "E506", "a setting has no type; its default decides");
            ok = false;
        }
        if (p->value)
            v = eval(f, p->value);
        else if (!text) {
            lvt_error(e->diag, LVT_USER, "E507", (lvt_pos){f->file->name, p->line, p->col},
                      "the setting '%s' has no default; give it with --set %s=VALUE", p->name, p->name);
            ok = false;
        }
        if (text && !is_poison(v) && !read_setting(f, p, text, v, &v))
            v = (value){.kind = VALUE_POISON};
        ok &= !is_poison(v) && env_add(f, f->env, p->name, v, BIND_SETTING, SPOT(p));
        if (!is_poison(v) && !lvt_module_add_setting(e->m, p->name, value_text(e, v)))
            return out_of_memory(e), false;
    }
    return ok;
}

static bool bind_inputs(frame *f, const ast_stmt *s) {
    elab *e = f->e;
    lvt_graph *g = e->b.graph;
    bool ok = true;
    for (uint32_t i = 0; i < s->n_params; i++) {
        const ast_param *p = &s->params[i];
        spot at = SPOT(p);
        lvt_type type;
        value v = {.kind = VALUE_POISON};
        value wanted = p->condition ? eval(f, p->condition) : (value){.kind = VALUE_BOOL, .i = true};
        if (wanted.kind == VALUE_BOOL && !wanted.i) {
            ok &= env_add(f, f->env, p->name, (value){.kind = VALUE_NONE}, BIND_LOCAL, at);
            continue;
        }
        if (wanted.kind != VALUE_BOOL) {
            if (!is_poison(wanted))
                fail(f, SPOT(p->condition), "E220", "an input is there if a setting is true, not if %s",
                     value_describe(e, wanted));
        } else if (!p->type)
            fail(f, at, "E421", "the input '%s' needs a type, as in %s: f32[batch, 10]", p->name, p->name);
        else if (eval_type(f, p->type, &type)) {
            build_begin(f, at);
            v = build_end(f, lvt_build_input(&e->b, p->name, &type), at);
        }
        if (!is_poison(v))
            g->inputs[g->n_inputs - 1].loc = loc_of(f, at);
        if (p->value && !is_poison(v)) {
            value d = eval(f, p->value);
            if (type.rank != 0 || !(is_number(d) || d.kind == VALUE_BOOL)) {
                if (!is_poison(d))
                    fail(f, SPOT(p->value), "E421",
                         "only scalar inputs have defaults, and these are numbers");
                ok = false;
            } else {
                g->inputs[g->n_inputs - 1].has_default = true;
                g->inputs[g->n_inputs - 1].default_value = number_of(d);
            }
        }
        ok &= env_add(f, f->env, p->name, v, BIND_LOCAL, at) && !is_poison(v);
    }
    return ok;
}

static void add_outputs(frame *f, const ast_stmt *s) {
    elab *e = f->e;
    value r = f->result;
    if (is_poison(r) || r.kind == VALUE_NONE)
        return;
    spot at = SPOT(s);
    for (uint32_t i = 0; i < s->body.n; i++) /* the place of the return, where there is one at the top */
        if (s->body.items[i]->kind == STMT_RETURN)
            at = SPOT(s->body.items[i]);
    if (r.kind != VALUE_TUPLE || !r.names) {
        fail(f, at, "E420", "an entry returns values by name, as in return loss = loss");
        return;
    }
    for (uint32_t i = 0; i < r.n; i++) {
        bool several = r.items[i].kind == VALUE_LIST;
        for (uint32_t k = 0; k < (several ? r.items[i].n : 1); k++) {
            value item = several ? r.items[i].items[k] : r.items[i];
            size_t size = strlen(r.names[i]) + 16;
            char *name = several ? room(e, size) : NULL;
            lvt_value v;
            if (name)
                snprintf(name, size, "%s.%" PRIu32, r.names[i], k);
            if (is_poison(item) || !as_tensor(f, item, LVT_F32, at, &v))
                continue;
            if ((several && !name) ||
                !lvt_graph_add_output(e->b.graph, several ? name : r.names[i], v, loc_of(f, at)))
                out_of_memory(e);
        }
    }
}

static void run_entry(elab *e, source_file *file, env *model_env, const ast_stmt *s) {
    scope top = {.path = ""};
    env inputs = {.parent = model_env, .frame = true}, body = {.parent = &inputs};
    frame f = {.e = e,
               .file = file,
               .env = &inputs,
               .scope = &top,
               .suffix = "",
               .name = s->names[0].text,
               .result = {.kind = VALUE_NONE}};
    if (lvt_module_find_entry(e->m, s->names[0].text)) {
        fail(&f, SPOT(&s->names[0]), "E302", "there are two entries '%s'", s->names[0].text);
        return;
    }
    lvt_graph *g = lvt_module_add_entry(e->m, s->names[0].text, loc_of(&f, SPOT(s)), s->training);
    if (!g) {
        out_of_memory(e);
        return;
    }
    e->b = lvt_builder_for(g, e->diag);
    e->declared = NULL;
    e->updated = NULL;
    e->n_declared = e->n_updated = e->streams = 0;
    bind_inputs(&f, s);
    run_body(&f, &s->body, &body);
    add_outputs(&f, s);
    e->b.graph = NULL;
}

void run_model(elab *e, source_file *file, const ast_stmt *model, const char *const *settings,
               size_t n_settings) {
    scope top = {.path = ""};
    env own = {.parent = &file->names, .frame = true};
    frame f = {.e = e, .file = file, .env = &own, .scope = &top, .suffix = "", .name = model->names[0].text};
    e->m->name = lvt_arena_strdup(e->m->arena, model->names[0].text);
    if (!e->m->name) {
        out_of_memory(e);
        return;
    }
    if (!bind_settings(&f, model, settings, n_settings)) {
        e->errors = true;
        return;
    }
    uint32_t entries = 0;
    for (uint32_t i = 0; i < model->body.n; i++) {
        const ast_stmt *s = model->body.items[i];
        entries += s->kind == STMT_ENTRY;
        if (s->kind != STMT_BLOCK)
            continue;
        block_value *b = room(e, sizeof *b);
        if (!b)
            return;
        *b = (block_value){.ast = s, .env = &own, .file = file};
        value v = {.kind = VALUE_BLOCK, .block = b};
        env_add(&f, &own, s->names[0].text, v, BIND_BLOCK, SPOT(&s->names[0]));
    }
    if (!entries)
        fail(&f, SPOT(model), "E508",
             "the model has no entry; lvt-run looks for train_new, train and predict");
    for (uint32_t i = 0; i < model->body.n && !e->nomem; i++) {
        const ast_stmt *s = model->body.items[i];
        if (s->kind == STMT_ENTRY)
            run_entry(e, file, &own, s);
        else
            run_stmt(&f, s);
    }
}
