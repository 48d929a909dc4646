/* Models, and the contracts that they use: `use NAME(...)` brings a contract's settings and entries.
 *
 * Invariants: settings are evaluated in order, a later default may use an earlier one; entries are elaborated in
 * the order of the file, so that `params` of a later one sees what the earlier ones declared. A contract sees
 * what `use` gives it, its settings and its file, nothing of the model else; what it is given wrong is told where
 * it is used. May not know: any contract. */
#include "elab.h"

#include <string.h>

static const ast_stmt *setting_of(const ast_stmt *contract, const char *name) {
    for (uint32_t i = 0; i < contract->body.n; i++) {
        const ast_stmt *s = contract->body.items[i];
        if (s->kind == STMT_SETTING && !strcmp(s->names[0].text, name))
            return s;
    }
    return NULL;
}

static void no_such(frame *f, const block_value *contract, const argument *a) {
    const ast_stmt *s = contract->ast;
    const char **names = NULL;
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_params; i++)
        if (!lvt_lang_grow(f->e, &names, &n, &s->params[i].name, sizeof *names))
            return;
    for (uint32_t i = 0; i < s->body.n; i++)
        if (s->body.items[i]->kind == STMT_SETTING &&
            !lvt_lang_grow(f->e, &names, &n, &s->body.items[i]->names[0].text, sizeof *names))
            return;
    const char *near = lvt_nearest(a->name, names, n);
    lvt_lang_fail(f, a->name_at, "E311", "%s has no parameter or setting '%.60s'%s%s%s", s->names[0].text,
                  a->name, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    lvt_lang_explain(f, s->names[0].line, s->names[0].col, contract->file, "'%s' is declared here",
                     s->names[0].text);
}

static const argument *pick(const argument *args, uint32_t n, const char *name) {
    for (uint32_t i = 0; i < n; i++)
        if (!strcmp(args[i].name, name))
            return &args[i];
    return NULL;
}

/* Gives arguments by position their names. Every one is then a parameter of the contract or a setting. */
static bool name_all(frame *f, const block_value *contract, argument *args, uint32_t n) {
    const ast_stmt *s = contract->ast;
    for (uint32_t i = 0, next = 0; i < n; i++) {
        argument *a = &args[i];
        if (!a->name && next >= s->n_params) {
            lvt_lang_fail(f, a->at, "E310", "%s takes %u argument%s by position", s->names[0].text,
                          s->n_params, s->n_params == 1 ? "" : "s");
            return false;
        }
        bool known = !a->name || setting_of(s, a->name);
        if (!a->name) {
            a->name = s->params[next++].name;
            a->name_at = a->at;
        }
        for (uint32_t k = 0; !known && k < s->n_params; k++)
            known = !strcmp(s->params[k].name, a->name);
        if (!known) {
            no_such(f, contract, a);
            return false;
        }
        if (pick(args, i, a->name)) {
            lvt_lang_fail(f, a->name_at, "E313", "%s: '%s' is given twice", s->names[0].text, a->name);
            return false;
        }
    }
    return true;
}

static bool bind_arguments(frame *c, const ast_stmt *contract, const argument *args, uint32_t n) {
    for (uint32_t k = 0; k < contract->n_params; k++) {
        const ast_param *p = &contract->params[k];
        const argument *a = pick(args, n, p->name);
        if (!a && !p->value) {
            lvt_lang_fail(c->user, c->used_at, "E312", "%s: '%s' is missing", contract->names[0].text,
                          p->name);
            lvt_lang_explain(c->user, p->line, p->col, c->file, "the parameter is declared here");
            return false;
        }
        value v = a ? a->v : lvt_lang_eval(c, p->value);
        if (is_poison(v) || !lvt_lang_env_add(c, c->env, p->name, v, BIND_LOCAL, SPOT(p)))
            return false;
    }
    return true;
}

/* What the contract's setting is without --set: what `use` says, the model's own, or the default. */
static bool bind_one(frame *c, const ast_stmt *s, const argument *args, uint32_t n) {
    elab *e = c->e;
    const char *name = s->names[0].text;
    spot at = SPOT(&s->names[0]);
    const argument *a = pick(args, n, name);
    const setting *own = lvt_lang_find_setting(e, name);
    value asked = lvt_lang_eval(c, s->value);
    if (a && own) {
        lvt_lang_fail(c->user, a->name_at, "E511",
                      "'%s' is a setting of '%s', whose value is taken here; leave it out, or the other",
                      name, own->owner);
        lvt_lang_explain(c->user, own->at.line, own->at.col, own->file, "the setting is declared here");
        return false;
    }
    if (!a && !own)
        return lvt_lang_bind_setting(c, name, at, asked, asked, c, at);
    frame from = *c->user;
    if (own)
        from.file = own->file;
    return lvt_lang_bind_setting(c, name, at, asked, a ? a->v : own->v, &from, a ? a->at : own->at);
}

static void no_contract(frame *f, const char *name, spot at) {
    lvt_lang_fail(f, at, "E301", "there is no contract '%.60s'%s", name,
                  lvt_lang_suggest(f, f->env, name, false));
    if (!f->e->silenced && !f->file->n_imports)
        lvt_note(f->e->diag, LVT_NOWHERE, "it is brought by an import, as in import \"continual.lvt\"");
}

static void run_use(frame *f, const ast_stmt *s) {
    elab *e = f->e;
    const ast_expr *call = s->value;
    spot at = SPOT(call);
    const binding *b = lvt_lang_env_find(f->env, call->a->text);
    if (b ? is_poison(b->v) : e->names_lost)
        return;
    if (!b || b->v.kind != VALUE_CONTRACT) {
        if (b)
            lvt_lang_fail(f, at, "E304", "'use' takes a contract, not %s", lvt_lang_value_describe(e, b->v));
        else
            no_contract(f, call->a->text, at);
        return;
    }
    const block_value *contract = b->v.block;
    const ast_stmt *declared = contract->ast;
    argument *args;
    env *own = lvt_lang_room(e, sizeof *own);
    bool ok = lvt_lang_eval_args(f, call->args, call->n_args, &args);
    if (!own || !ok || !name_all(f, contract, args, call->n_args))
        return;
    *own = (env){.parent = contract->env, .frame = true};
    frame c = {.e = e,
               .file = contract->file,
               .env = own,
               .scope = f->scope,
               .suffix = "",
               .loop = "",
               .parent = lvt_lang_loc_of(f, at),
               .name = declared->names[0].text,
               .result = {.kind = VALUE_NONE},
               .user = f,
               .used_at = at};
    if (!bind_arguments(&c, declared, args, call->n_args) || !lvt_lang_bind_blocks(&c, &declared->body))
        return;
    for (uint32_t i = 0; ok && i < declared->body.n && !e->nomem && !c.returned; i++) {
        const ast_stmt *one = declared->body.items[i];
        if (one->kind == STMT_SETTING)
            ok = bind_one(&c, one, args, call->n_args);
        else if (one->kind == STMT_ENTRY)
            lvt_lang_run_entry(&c, one);
        else
            lvt_lang_run_stmt(&c, one);
    }
}

void lvt_lang_run_model(elab *e, source_file *file, const ast_stmt *model) {
    scope top = {.path = ""};
    env own = {.parent = &file->names, .frame = true};
    frame f = {.e = e,
               .file = file,
               .env = &own,
               .scope = &top,
               .suffix = "",
               .loop = "",
               .name = model->names[0].text};
    e->m->name = lvt_arena_strdup(e->m->arena, model->names[0].text);
    if (!e->m->name) {
        lvt_lang_out_of_memory(e);
        return;
    }
    if (!lvt_lang_known_settings(&f, model) || !lvt_lang_bind_settings(&f, model)) {
        e->errors = true;
        return;
    }
    lvt_lang_bind_blocks(&f, &model->body);
    uint32_t entries = 0;
    for (uint32_t i = 0; i < model->body.n; i++)
        entries += model->body.items[i]->kind == STMT_ENTRY || model->body.items[i]->kind == STMT_USE ||
                   model->body.items[i]->kind == STMT_LOST;
    if (!entries)
        lvt_lang_fail(
            &f, SPOT(model), "E508",
            "the model has no entry; those of lvt-run come with use continual(network, image = [H, W, C])");
    for (uint32_t i = 0; i < model->body.n && !e->nomem; i++) {
        const ast_stmt *s = model->body.items[i];
        if (s->kind == STMT_ENTRY)
            lvt_lang_run_entry(&f, s);
        else if (s->kind == STMT_USE)
            run_use(&f, s);
        else
            lvt_lang_run_stmt(&f, s);
    }
    if (!e->errors && !e->misread && !e->settings_only && !e->nomem)
        lvt_lang_check_trained(e);
}
