/* Calls: which function a name means, arguments to parameters, and the expansion of blocks.
 *
 * Invariants: a block sees its parameters and what is visible where it is declared; every call opens one
 * scope for parameter paths. May not know: statements' meaning (stmt.c). */
#include "elab.h"

#include <stdio.h>
#include <string.h>

bool lvt_lang_eval_args(frame *f, const ast_arg *args, uint32_t n, argument **out) {
    argument *list = *out = lvt_lang_room(f->e, n * sizeof *list);
    bool ok = list != NULL;
    for (uint32_t i = 0; list && i < n; i++) {
        list[i] = (argument){.name = args[i].name,
                             .v = lvt_lang_eval(f, args[i].value),
                             .at = SPOT(args[i].value),
                             .name_at = SPOT(&args[i])};
        ok &= !is_poison(list[i].v);
    }
    return ok;
}

/* `as a.b[i]` as text; `_` adds nothing. */
static const char *as_path(frame *f, const ast_expr *x) {
    const char *path = "";
    for (uint32_t i = 0; i < x->n_path; i++) {
        const char *part = x->path[i].name;
        if (!part) {
            value v = lvt_lang_eval(f, x->path[i].index);
            if (is_poison(v))
                return NULL;
            if ((v.kind != VALUE_INT || v.i < 0) && v.kind != VALUE_STRING) {
                lvt_lang_fail(f, SPOT(x->path[i].index), "E304",
                              "a path's index is a number from 0 or a text, not %s",
                              lvt_lang_value_describe(f->e, v));
                return NULL;
            }
            part = lvt_lang_value_text(f->e, v);
        }
        if (strcmp(part, "_"))
            path = lvt_lang_join_path(f->e, path, part, "");
    }
    return path;
}

/* A mistake in a call. Where a library calls a block of the model, its declaration is what can be mended. */
static void wrong_call(frame *f, frame *caller, spot at, spot declared, const char *code, const char *text,
                       const char *note) {
    const source_file *model = f->e->files[0];
    if (f->file == model && caller->file != model) {
        lvt_lang_fail(f, declared, code, "%s", text);
        return;
    }
    lvt_lang_fail(caller, at, code, "%s", text);
    lvt_lang_explain(caller, declared.line, declared.col, f->file, "%s", note);
}

/* Binds or checks the dims of one parameter's type. */
static bool check_dims(frame *f, frame *caller, const argument *a, const ast_param *p,
                       const block_value *block) {
    elab *e = f->e;
    const ast_type *t = p->type;
    lvt_type got = *lvt_lang_type_of(f, a->v);
    uint32_t open = t->n_dims; /* where "..." is */
    for (uint32_t i = 0; i < t->n_dims; i++)
        if (!t->dims[i])
            open = i;
    bool any = open < t->n_dims;
    uint32_t fixed = t->n_dims - any;
    const char *name = block->ast->names[0].text;
    char type[LVT_TYPE_TEXT];
    lvt_type_text(&got, type);
    const char *problem = NULL;
    if (t->has_dtype && got.dtype != t->dtype)
        problem = lvt_arena_printf(e->arena, "%s: '%s' must be %s, but is %s", name, p->name,
                                   lvt_dtype_name(t->dtype), type);
    else if (any ? got.rank < fixed : got.rank != fixed)
        problem = lvt_arena_printf(e->arena, "%s: '%s' must have %s%u dimension%s, but is %s", name, p->name,
                                   any ? "at least " : "", fixed, fixed == 1 ? "" : "s", type);
    for (uint32_t i = 0; !problem && i < t->n_dims; i++) {
        const ast_expr *d = t->dims[i];
        if (!d)
            continue;
        int64_t have = got.dim[i < open ? i : got.rank - (t->n_dims - i)];
        if (d->kind == EXPR_NAME && !lvt_lang_env_find(f->env, d->text)) {
            if (!lvt_lang_env_add(f, f->env, d->text, lvt_lang_value_int(have), BIND_LOCAL, SPOT(d)))
                return false;
            continue;
        }
        value want = lvt_lang_eval(f, d);
        if (is_poison(want))
            return false;
        if (want.kind != VALUE_INT || want.i != have) {
            problem = lvt_arena_printf(e->arena, "%s: dimension %u of '%s' must be %s%s%s, but '%s' is %s",
                                       name, i, p->name, d->kind == EXPR_NAME ? d->text : "",
                                       d->kind == EXPR_NAME ? " = " : "", lvt_lang_value_text(e, want),
                                       p->name, type);
        }
    }
    if (!problem)
        return true;
    wrong_call(f, caller, a->at, SPOT(t), "E224", problem, "the parameter is declared here");
    return false;
}

static bool check_param(frame *f, frame *caller, argument *a, const ast_param *p, const block_value *block) {
    const ast_type *t = p->type;
    if (!t || a->v.kind == VALUE_NONE)
        return true;
    if (t->like) {
        lvt_lang_fail(f, SPOT(t), "E224", "a parameter's type cannot be like()");
        return false;
    }
    if (a->v.kind != VALUE_TENSOR) {
        lvt_value v;
        if (t->n_dims == 0 && (is_number(a->v) || a->v.kind == VALUE_BOOL)) { /* a number for a scalar */
            lvt_dtype dtype = t->has_dtype ? t->dtype : a->v.kind == VALUE_BOOL ? LVT_BOOL : LVT_F32;
            if (!lvt_lang_as_tensor(caller, a->v, dtype, a->at, &v))
                return false;
            a->v = lvt_lang_value_tensor(v, LVT_NONE);
            return true;
        }
        lvt_lang_fail(caller, a->at, "E224", "%s: '%s' must be a tensor, not %s", block->ast->names[0].text,
                      p->name, lvt_lang_value_describe(f->e, a->v));
        lvt_lang_explain(caller, t->line, t->col, f->file, "the parameter is declared here");
        return false;
    }
    return check_dims(f, caller, a, p, block);
}

/* Arguments to parameters, in the order of the parameters. */
static bool bind(frame *f, frame *caller, const block_value *block, const argument *args, uint32_t n,
                 spot at) {
    elab *e = f->e;
    const ast_stmt *s = block->ast;
    const char *name = s->names[0].text;
    argument *bound = lvt_lang_room(e, s->n_params * sizeof *bound);
    bool *given = lvt_lang_room(e, s->n_params * sizeof *given);
    if (!bound || !given)
        return false;
    for (uint32_t i = 0, next = 0; i < n; i++) {
        uint32_t k = next;
        if (args[i].name) {
            for (k = 0; k < s->n_params && strcmp(s->params[k].name, args[i].name);)
                k++;
        } else {
            next++;
        }
        if (k >= s->n_params) {
            if (!args[i].name) {
                bool library = f->file == e->files[0] && caller->file != f->file;
                wrong_call(f, caller, args[i].at, SPOT(&s->names[0]), "E310",
                           lvt_arena_printf(e->arena, "%s takes %u argument%s%s", name, s->n_params,
                                            s->n_params == 1 ? "" : "s",
                                            library ? ", too few for its call" : ""),
                           lvt_arena_printf(e->arena, "'%s' is declared here", name));
                return false;
            } else {
                const char **names = lvt_lang_room(e, (s->n_params + 1) * sizeof *names);
                if (!names)
                    return false;
                for (uint32_t j = 0; j < s->n_params; j++)
                    names[j] = s->params[j].name;
                const char *near = lvt_nearest(args[i].name, names, s->n_params);
                lvt_lang_fail(caller, args[i].name_at, "E311", "%s has no parameter '%.60s'%s%s%s", name,
                              args[i].name, near ? "; did you mean '" : "", near ? near : "",
                              near ? "'?" : "");
            }
            lvt_lang_explain(caller, s->names[0].line, s->names[0].col, f->file, "'%s' is declared here",
                             name);
            return false;
        }
        if (given[k]) {
            lvt_lang_fail(caller, args[i].name_at, "E313", "%s: '%s' is given twice", name,
                          s->params[k].name);
            return false;
        }
        given[k] = true;
        bound[k] = args[i];
    }
    for (uint32_t k = 0; k < s->n_params; k++) {
        const ast_param *p = &s->params[k];
        if (!given[k]) {
            if (!p->value) {
                wrong_call(f, caller, at, SPOT(p), "E312",
                           lvt_arena_printf(e->arena, "%s: '%s' is missing", name, p->name),
                           "the parameter is declared here");
                return false;
            }
            bound[k] = (argument){.name = p->name, .v = lvt_lang_eval(f, p->value), .at = at};
            if (is_poison(bound[k].v))
                return false;
        }
        if (!check_param(f, caller, &bound[k], p, block) ||
            !lvt_lang_env_add(f, f->env, p->name, bound[k].v, BIND_LOCAL, SPOT(p)))
            return false;
    }
    return true;
}

value lvt_lang_call_block(frame *f, const block_value *block, const argument *args, uint32_t n,
                          const char *path, naming named, spot at) {
    elab *e = f->e;
    const ast_stmt *s = block->ast;
    if (e->calls >= ELAB_MAX_CALLS)
        return lvt_lang_fail(f, at, "E305",
                             "blocks call each other more than %d levels deep; recursion is not possible",
                             ELAB_MAX_CALLS);
    for (uint32_t i = 0; i < n; i++)
        if (is_poison(args[i].v))
            return (value){.kind = VALUE_POISON};
    scope *sc = lvt_lang_room(e, sizeof *sc);
    env *own = lvt_lang_room(e, sizeof *own);
    if (!sc || !own)
        return lvt_lang_out_of_memory(e);
    if (!path)
        path = lvt_lang_join_path(e, f->scope->path, s->names[0].text, f->suffix);
    *sc = (scope){.parent = f->scope, .path = path, .named = named, .at = at, .caller = f};
    *own = (env){.parent = block->env, .frame = true};
    frame inner = {.e = e,
                   .file = block->file,
                   .env = own,
                   .scope = sc,
                   .suffix = "",
                   .loop = "",
                   .parent = lvt_lang_loc_of(f, at),
                   .name = s->names[0].text,
                   .result = {.kind = VALUE_NONE}};
    e->calls++;
    if (bind(&inner, f, block, args, n, at)) {
        env *body = lvt_lang_room(e, sizeof *body);
        if (body) {
            body->parent = own;
            lvt_lang_run_body(&inner, &s->body, body);
        }
    } else {
        inner.result = (value){.kind = VALUE_POISON};
    }
    e->calls--;
    return e->nomem ? (value){.kind = VALUE_POISON} : inner.result;
}

/* The scope of parameter p: `f(...) at p`. */
static const char *at_path(frame *f, const ast_expr *x) {
    value p = lvt_lang_eval(f, x);
    if (is_poison(p))
        return NULL;
    if (p.kind != VALUE_TENSOR || p.tensor.state == LVT_NONE) {
        lvt_lang_fail(f, SPOT(x), "E415", "'at' takes a parameter or state, not %s",
                      lvt_lang_value_describe(f->e, p));
        return NULL;
    }
    return f->e->m->states[p.tensor.state].name;
}

value lvt_lang_eval_call(frame *f, const ast_expr *x, const char *name) {
    elab *e = f->e;
    const ast_expr *callee = x->a;
    spot at = SPOT(x);
    value v;
    const binding *bound = callee->kind == EXPR_NAME ? lvt_lang_env_find(f->env, callee->text) : NULL;
    bool known =
        callee->kind == EXPR_NAME && (lvt_lang_builtin_find(callee->text) ||
                                      (int)lvt_op_find(callee->text, strlen(callee->text)) != LVT_N_OPS);
    if (bound && (!known || is_poison(bound->v) || bound->v.kind == VALUE_BLOCK ||
                  bound->v.kind == VALUE_NET || bound->v.kind == VALUE_BUILTIN))
        v = bound->v;
    else if (known) /* a variable named `mean` does not hide the function */
        v = lvt_lang_value_string(callee->text), v.kind = VALUE_BUILTIN;
    else if (callee->kind == EXPR_NAME && e->names_lost)
        return (value){.kind = VALUE_POISON};
    else if (callee->kind == EXPR_NAME)
        return lvt_lang_fail(f, at, "E301", "there is no block, op or function '%.60s'%s", callee->text,
                             lvt_lang_suggest(f, f->env, callee->text, true));
    else
        v = lvt_lang_eval(f, callee);
    if (is_poison(v))
        return v;
    if (v.kind != VALUE_BLOCK && v.kind != VALUE_NET && v.kind != VALUE_BUILTIN)
        return lvt_lang_fail(f, at, "E304", "%s cannot be called", lvt_lang_value_describe(e, v));
    argument *args;
    bool ok = lvt_lang_eval_args(f, x->args, x->n_args, &args);
    if (v.kind == VALUE_BUILTIN) {
        if (x->n_path || x->b)
            return lvt_lang_fail(f, at, "E304", "'%s' has no parameters to name with 'as' or 'at'", v.s);
        bool op_wanted = callee->kind == EXPR_FIELD;
        const builtin *b = op_wanted ? NULL : lvt_lang_builtin_find(v.s);
        if (!ok)
            return (value){.kind = VALUE_POISON};
        return b ? lvt_lang_call_builtin(f, b, args, x->n_args, at)
                 : lvt_lang_call_op(f, lvt_op_find(v.s, strlen(v.s)), args, x->n_args, at);
    }
    const char *path = NULL;
    naming named = x->b || x->shared ? NAMED_SHARED : x->n_path ? NAMED : NAMED_BY_PLACE;
    if (x->b && !(path = at_path(f, x->b)))
        return (value){.kind = VALUE_POISON};
    if (x->n_path) {
        const char *own = as_path(f, x);
        if (!own)
            return (value){.kind = VALUE_POISON};
        if (!*own && named == NAMED) /* `as _` stays in the caller's scope, which is no word about sharing */
            named = NAMED_BY_PLACE;
        path = lvt_lang_join_path(e, path ? path : f->scope->path, own, "");
    } else if (!path && name) {
        path = lvt_lang_join_path(e, f->scope->path, name, f->suffix);
    } else if (!path && callee->kind == EXPR_NAME) {
        path = lvt_lang_join_path(e, f->scope->path, callee->text, f->suffix);
    }
    if (!ok)
        return (value){.kind = VALUE_POISON};
    if (v.kind == VALUE_NET)
        return lvt_lang_call_net(f, v.net, args, x->n_args, path, named, at);
    return lvt_lang_call_block(f, v.block, args, x->n_args, path, named, at);
}
