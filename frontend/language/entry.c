/* Entries: one graph each, with its inputs and outputs.
 *
 * Invariant: what a contract brings says that it is where the contract is used. May not know: settings. */
#include "elab.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Of what a contract brings, the place is where it is used: the driver's messages then name a line that its user
 * has written. */
static lvt_loc place_of(frame *f, spot at) {
    return f->user ? f->parent : lvt_lang_loc_of(f, at);
}

static bool add_input(frame *f, const char *name, value v, spot at) {
    elab *e = f->e;
    return lvt_lang_env_add(f, f->env, name, v, BIND_LOCAL, at) &&
           lvt_lang_grow(e, &e->input_names, &e->n_input_names, &name, sizeof name) &&
           lvt_lang_grow(e, &e->input_values, &e->n_input_values, &v, sizeof v);
}

/* `...record`: an f32[] input for each field, whose value is the default. */
static bool spread_inputs(frame *f, const ast_param *p) {
    lvt_graph *g = f->e->b.graph;
    value all = lvt_lang_eval(f, p->value);
    spot at = SPOT(p);
    const lvt_type scalar = {.dtype = LVT_F32};
    if (is_poison(all))
        return false;
    frame *who = f->user ? f->user : f;
    spot where = f->user ? f->used_at : at;
    bool record = all.kind == VALUE_TUPLE && all.names, ok = record;
    if (!record)
        lvt_lang_fail(who, where, "E421", "'...' takes a record of numbers, not %s",
                      lvt_lang_value_describe(f->e, all));
    for (uint32_t i = 0; ok && i < all.n; i++) {
        ok = is_number(all.items[i]) && !lvt_lang_env_find_local(f->env, all.names[i]);
        if (!is_number(all.items[i]))
            lvt_lang_fail(who, where, "E421", "the input '%.60s' has a number for its default, not %s",
                          all.names[i], lvt_lang_value_describe(f->e, all.items[i]));
        else if (!ok)
            lvt_lang_fail(who, where, "E302", "'%.60s' is an input already", all.names[i]);
    }
    if (!ok && f->user)
        lvt_lang_explain(f, at.line, at.col, f->file, "the fields of a record become inputs here");
    for (uint32_t i = 0; !ok && record && i < all.n; i++) /* what uses them is silent then */
        if (!lvt_lang_env_find_local(f->env, all.names[i]))
            add_input(f, all.names[i], (value){.kind = VALUE_POISON}, at);
    if (!ok)
        return false;
    for (uint32_t i = 0; i < all.n; i++) {
        lvt_lang_build_begin(f, at);
        value v = lvt_lang_build_end(f, lvt_build_input(&f->e->b, all.names[i], &scalar), at);
        if (is_poison(v) || !add_input(f, all.names[i], v, at))
            return false;
        lvt_input *in = &g->inputs[g->n_inputs - 1];
        in->loc = place_of(f, at);
        in->has_default = true;
        in->default_value = number_of(all.items[i]);
    }
    return true;
}

static bool bind_inputs(frame *f, const ast_stmt *s) {
    elab *e = f->e;
    lvt_graph *g = e->b.graph;
    bool ok = true;
    for (uint32_t i = 0; i < s->n_params; i++) {
        const ast_param *p = &s->params[i];
        spot at = SPOT(p);
        lvt_type type;
        if (p->spread) {
            ok &= spread_inputs(f, p);
            continue;
        }
        value v = {.kind = VALUE_POISON};
        value wanted = p->condition ? lvt_lang_eval(f, p->condition) : (value){.kind = VALUE_BOOL, .i = true};
        if (wanted.kind == VALUE_BOOL && !wanted.i) {
            ok &= add_input(f, p->name, (value){.kind = VALUE_NONE}, at);
            continue;
        }
        if (wanted.kind != VALUE_BOOL) {
            if (!is_poison(wanted))
                lvt_lang_fail(f, SPOT(p->condition), "E220",
                              "an input is there if a setting is true, not if %s",
                              lvt_lang_value_describe(e, wanted));
        } else if (!p->type)
            lvt_lang_fail(f, at, "E421", "the input '%s' needs a type, as in %s: f32[batch, 10]", p->name,
                          p->name);
        else if (lvt_lang_eval_type(f, p->type, &type)) {
            lvt_lang_build_begin(f, at);
            v = lvt_lang_build_end(f, lvt_build_input(&e->b, p->name, &type), at);
        }
        if (!is_poison(v))
            g->inputs[g->n_inputs - 1].loc = place_of(f, at);
        if (p->value && !is_poison(v)) {
            value d = lvt_lang_eval(f, p->value);
            if (type.rank != 0 || !(is_number(d) || d.kind == VALUE_BOOL)) {
                if (!is_poison(d))
                    lvt_lang_fail(f, SPOT(p->value), "E421",
                                  "only scalar inputs have defaults, and these are numbers");
                ok = false;
            } else {
                g->inputs[g->n_inputs - 1].has_default = true;
                g->inputs[g->n_inputs - 1].default_value = number_of(d);
            }
        }
        ok &= add_input(f, p->name, v, at) && !is_poison(v);
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
        lvt_lang_fail(f, at, "E420", "an entry returns values by name, as in return loss = loss");
        return;
    }
    for (uint32_t i = 0; i < r.n; i++) {
        bool several = r.items[i].kind == VALUE_LIST;
        for (uint32_t k = 0; k < (several ? r.items[i].n : 1); k++) {
            value item = several ? r.items[i].items[k] : r.items[i];
            size_t size = strlen(r.names[i]) + 16;
            char *name = several ? lvt_lang_room(e, size) : NULL;
            lvt_value v;
            if (name)
                snprintf(name, size, "%s.%" PRIu32, r.names[i], k);
            if (is_poison(item) || !lvt_lang_as_tensor(f, item, LVT_F32, at, &v))
                continue;
            if ((several && !name) ||
                !lvt_graph_add_output(e->b.graph, several ? name : r.names[i], v, place_of(f, at)))
                lvt_lang_out_of_memory(e);
        }
    }
}

void lvt_lang_run_entry(frame *declaring, const ast_stmt *s) {
    elab *e = declaring->e;
    scope top = {.path = ""};
    env inputs = {.parent = declaring->env, .frame = true}, body = {.parent = &inputs};
    frame f = {.e = e,
               .file = declaring->file,
               .env = &inputs,
               .scope = &top,
               .suffix = "",
               .loop = "",
               .parent = declaring->parent,
               .name = s->names[0].text,
               .result = {.kind = VALUE_NONE},
               .user = declaring->user,
               .used_at = declaring->used_at};
    if (e->settings_only)
        return;
    const lvt_graph *other = lvt_module_find_entry(e->m, s->names[0].text);
    if (other) {
        lvt_lang_fail(f.user ? f.user : &f, f.user ? f.used_at : SPOT(&s->names[0]), "E302",
                      "there are two entries '%s'%s", s->names[0].text,
                      f.user ? ", one of them from here" : "");
        if (f.user)
            lvt_lang_explain(&f, s->names[0].line, s->names[0].col, f.file, "'%s' is declared here",
                             s->names[0].text);
        return;
    }
    lvt_graph *g = lvt_module_add_entry(e->m, s->names[0].text, place_of(&f, SPOT(s)), s->training);
    if (!g) {
        lvt_lang_out_of_memory(e);
        return;
    }
    e->b = lvt_builder_for(g, e->diag);
    e->declared = NULL;
    e->input_names = NULL;
    e->input_values = NULL;
    e->updated = NULL;
    e->n_updated = e->n_declared = e->streams = e->n_input_names = e->n_input_values = 0;
    bind_inputs(&f, s);
    lvt_lang_run_body(&f, &s->body, &body);
    add_outputs(&f, s);
    e->b.graph = NULL;
}

bool lvt_lang_bind_blocks(frame *f, const ast_body *body) {
    bool ok = true;
    for (uint32_t i = 0; i < body->n; i++) {
        const ast_stmt *s = body->items[i];
        if (s->kind == STMT_LOST)
            lvt_lang_run_lost(f, s);
        if (s->kind != STMT_BLOCK)
            continue;
        block_value *b = lvt_lang_room(f->e, sizeof *b);
        if (!b)
            return false;
        *b = (block_value){.ast = s, .env = f->env, .file = f->file};
        value v = {.kind = VALUE_BLOCK, .block = b};
        ok &= lvt_lang_env_add(f, f->env, s->names[0].text, v, BIND_BLOCK, SPOT(&s->names[0]));
    }
    return ok;
}
