/* Statements.
 *
 * Invariants: braces open an environment of their own; loops add their index to the paths of what is declared
 * in them. May not know: what declarations do (state.c). */
#include "elab.h"

#include <string.h>

void lvt_lang_run_body(frame *f, const ast_body *body, env *own) {
    env *outer = f->env;
    f->env = own;
    for (uint32_t i = 0; i < body->n && !f->returned && !f->e->nomem; i++)
        lvt_lang_run_stmt(f, body->items[i]);
    f->env = outer;
}

static void run_nested(frame *f, const ast_body *body) {
    env *own = lvt_lang_room(f->e, sizeof *own);
    if (!own)
        return;
    own->parent = f->env;
    lvt_lang_run_body(f, body, own);
}

/* The k-th of n parts of a value; poison (after an error) when it has not n parts. */
static value part(frame *f, value v, uint32_t k, uint32_t n, spot at) {
    if (n == 1 || is_poison(v))
        return v;
    if (!is_list(v))
        return lvt_lang_fail(f, at, "E231", "expected %u values, found %s", n,
                             lvt_lang_value_describe(f->e, v));
    if (v.n != n)
        return lvt_lang_fail(f, at, "E231", "expected %u values, found %u", n, v.n);
    return v.items[k];
}

static void run_let(frame *f, const ast_stmt *s) {
    value v = lvt_lang_eval_named(f, s->value, s->n_names == 1 ? s->names[0].text : NULL);
    for (uint32_t i = 0; i < s->n_names; i++) {
        value one = part(f, v, i, s->n_names, SPOT(s->value));
        lvt_lang_env_add(f, f->env, s->names[i].text, one, BIND_LOCAL, SPOT(&s->names[i]));
    }
}

static void run_assign(frame *f, const ast_stmt *s) {
    value v = lvt_lang_eval(f, s->value);
    for (uint32_t i = 0; i < s->n_names; i++) {
        const ast_name *name = &s->names[i];
        value one = part(f, v, i, s->n_names, SPOT(s->value));
        binding *b = lvt_lang_env_find_local(f->env, name->text);
        if (b) {
            b->v = one;
            continue;
        }
        b = lvt_lang_env_find(f->env, name->text);
        if (b) {
            lvt_lang_fail(f, SPOT(name), "E306", "'%.60s' cannot be changed here", name->text);
            lvt_lang_explain(f, b->line, b->col, b->file, "it is declared here");
        } else if (!f->e->names_lost) {
            lvt_lang_fail(f, SPOT(name), "E301", "'%.60s' is not known here; declare it with let%s",
                          name->text, lvt_lang_suggest(f, f->env, name->text, false));
        }
    }
}

static void run_return(frame *f, const ast_stmt *s) {
    elab *e = f->e;
    f->returned = true;
    value *items = lvt_lang_room(e, s->n_args * sizeof *items);
    const char **names = lvt_lang_room(e, s->n_args * sizeof *names);
    if (!items || !names)
        return;
    for (uint32_t i = 0; i < s->n_args; i++) {
        items[i] = lvt_lang_eval(f, s->args[i].value);
        names[i] = s->args[i].name;
        for (uint32_t k = 0; k < i && names[i]; k++)
            if (!strcmp(names[k], names[i]))
                items[i] = lvt_lang_fail(f, SPOT(&s->args[i]), "E313", "'%.60s' is returned twice", names[i]);
    }
    if (!s->n_args)
        f->result = (value){.kind = VALUE_NONE};
    else if (s->n_args == 1 && !names[0])
        f->result = items[0];
    else
        f->result =
            (value){.kind = VALUE_TUPLE, .n = s->n_args, .items = items, .names = names[0] ? names : NULL};
}

/* Where it is not known what a body would have assigned: going on would report what is not so. */
static void end_with_poison(frame *f) {
    f->returned = true;
    f->result = (value){.kind = VALUE_POISON};
}

/* One more iteration of any loop; false when there were too many. */
static bool iterate(frame *f, spot at) {
    elab *e = f->e;
    if (++e->unrolled <= ELAB_MAX_UNROLL)
        return !e->nomem && !f->returned;
    lvt_lang_fail(f, at, "E308", "more than %d iterations of loops in all", ELAB_MAX_UNROLL);
    return false;
}

static void run_loop(frame *f, const ast_stmt *s) {
    elab *e = f->e;
    spot at = SPOT(s->value);
    value v = lvt_lang_eval(f, s->value);
    const char *outer = f->suffix, *outer_loop = f->loop;
    bool repeat = s->kind == STMT_REPEAT;
    if (is_poison(v)) {
        end_with_poison(f);
        return;
    }
    if (repeat ? v.kind != VALUE_INT || v.i < 0 : !is_list(v)) {
        lvt_lang_fail(f, at, "E220", "%s, not %s",
                      repeat ? "repeat takes a whole number from 0" : "for takes a list",
                      lvt_lang_value_describe(e, v));
        return;
    }
    int64_t n = repeat ? v.i : (int64_t)v.n;
    f->loop = s->names[0].text;
    for (int64_t i = 0; i < n && iterate(f, at); i++) {
        env *own = lvt_lang_room(e, sizeof *own);
        if (!own)
            break;
        own->parent = f->env;
        f->suffix = lvt_lang_join_path(e, outer, lvt_lang_value_text(e, lvt_lang_value_int(i)), "");
        if (f->suffix[0] != '.')
            f->suffix = lvt_arena_printf(e->arena, ".%s", f->suffix);
        if (!f->suffix)
            f->suffix = "", lvt_lang_out_of_memory(e);
        value item = repeat ? lvt_lang_value_int(i) : v.items[i];
        for (uint32_t k = 0; k < s->n_names; k++)
            lvt_lang_env_add(f, own, s->names[k].text, part(f, item, k, s->n_names, at), BIND_LOCAL,
                             SPOT(&s->names[k]));
        lvt_lang_run_body(f, &s->body, own);
    }
    f->suffix = outer;
    f->loop = outer_loop;
}

static void run_if(frame *f, const ast_stmt *s) {
    value v = lvt_lang_eval(f, s->value);
    if (is_poison(v)) {
        end_with_poison(f);
        return;
    }
    if (v.kind != VALUE_BOOL) {
        lvt_lang_fail(f, SPOT(s->value), "E220", "if takes a condition known at compile time, not %s%s",
                      lvt_lang_value_describe(f->e, v),
                      v.kind == VALUE_TENSOR ? "; select(condition, a, b) chooses at run time" : "");
        return;
    }
    run_nested(f, v.i ? &s->body : &s->otherwise);
}

/* An ambient name has another value while the body runs, in whatever it calls. */
static void run_with(frame *f, const ast_stmt *s) {
    const ast_name *name = &s->names[0];
    binding *b = lvt_lang_env_find(f->env, name->text);
    if (!b || b->kind != BIND_AMBIENT) {
        if (b)
            lvt_lang_fail(f, SPOT(name), "E510",
                          "'%.60s' is not ambient: 'with' sets what a file declares with 'ambient'",
                          name->text);
        else
            lvt_lang_fail(f, SPOT(name), "E510", "there is no ambient '%.60s'%s", name->text,
                          lvt_lang_suggest(f, f->env, name->text, false));
        if (b)
            lvt_lang_explain(f, b->line, b->col, b->file, "it is declared here");
        end_with_poison(f);
        return;
    }
    value v = lvt_lang_eval(f, s->value), before = b->v;
    b->v = v;
    run_nested(f, &s->body);
    b->v = before;
}

void lvt_lang_run_lost(frame *f, const ast_stmt *s) {
    value poison = {.kind = VALUE_POISON};
    for (uint32_t i = 0; i < s->n_names; i++) {
        binding *b = lvt_lang_env_find_local(f->env, s->names[i].text);
        if (b)
            b->v = poison;
        else if (!lvt_lang_env_find(f->env, s->names[i].text))
            lvt_lang_env_add(f, f->env, s->names[i].text, poison, BIND_LOCAL, SPOT(&s->names[i]));
    }
    switch (s->was) {
    case STMT_RETURN:
    case STMT_REPEAT:
    case STMT_FOR:
    case STMT_IF:
    case STMT_WITH:
        end_with_poison(f);
        break;
    default:
        break;
    }
}

static void run_kind(frame *f, const ast_stmt *s) {
    elab *e = f->e;
    bool needs_entry =
        s->kind == STMT_PARAM || s->kind == STMT_STATE || s->kind == STMT_UPDATE || s->kind == STMT_MINIMIZE;
    if (needs_entry && !e->b.graph) {
        lvt_lang_fail(f, SPOT(s), "E303", "parameters, state and updates are for entries only");
        return;
    }
    switch (s->kind) {
    case STMT_LET:
        run_let(f, s);
        break;
    case STMT_ASSIGN:
        run_assign(f, s);
        break;
    case STMT_PARAM:
    case STMT_STATE:
        lvt_lang_declare(f, s);
        break;
    case STMT_UPDATE:
        lvt_lang_update(f, s);
        break;
    case STMT_RETURN:
        run_return(f, s);
        break;
    case STMT_REPEAT:
    case STMT_FOR:
        run_loop(f, s);
        break;
    case STMT_IF:
        run_if(f, s);
        break;
    case STMT_MINIMIZE:
        lvt_lang_minimize(f, s);
        break;
    case STMT_EXPR:
        lvt_lang_eval(f, s->value);
        break;
    case STMT_AMBIENT:
        lvt_lang_env_add(f, f->env, s->names[0].text, lvt_lang_eval(f, s->value), BIND_AMBIENT,
                         SPOT(&s->names[0]));
        break;
    case STMT_WITH:
        run_with(f, s);
        break;
    case STMT_LOST:
        lvt_lang_run_lost(f, s);
        break;
    default: /* declarations of files and models are not run */
        break;
    }
}

void lvt_lang_run_stmt(frame *f, const ast_stmt *s) {
    elab *e = f->e;
    frame *outer = e->at;
    spot outer_spot = e->at_spot;
    e->at = f;
    e->at_spot = SPOT(s);
    if (++e->depth > ELAB_MAX_DEPTH)
        lvt_lang_too_deep(f, SPOT(s));
    else if (lvt_lang_spend(e, 1))
        run_kind(f, s);
    e->depth--;
    e->at = outer;
    e->at_spot = outer_spot;
}
