/* Settings: of a model, in its head, and of the contracts it uses.
 *
 * Invariants: a setting is evaluated once; of what it may be, `--set` comes first, then what `use` says, then
 * the model's own setting of that name, then the contract's default, whose kind it has in any case. May not
 * know: entries. */
#include "elab.h"
#include "language.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The text given for a setting, or NULL. The last one wins. */
static const char *given(const elab *e, const char *name) {
    const char *text = NULL;
    size_t length = strlen(name);
    for (size_t i = 0; i < e->n_given; i++)
        if (!strncmp(e->given[i], name, length) && e->given[i][length] == '=')
            text = e->given[i] + length + 1;
    return text;
}

const setting *lvt_lang_find_setting(const elab *e, const char *name) {
    for (uint32_t i = 0; i < e->n_settings; i++)
        if (!strcmp(e->settings[i].name, name))
            return &e->settings[i];
    return NULL;
}

static bool add_name(elab *e, const char ***names, uint32_t *n, const char *name) {
    for (uint32_t i = 0; i < *n; i++)
        if (!strcmp((*names)[i], name))
            return true;
    return lvt_lang_grow(e, names, n, &name, sizeof name);
}

/* Names of settings in the head of the model and in what it uses; *all false: a contract is not known. */
static bool collect(frame *f, const ast_stmt *model, const char ***names, uint32_t *n, bool *all) {
    *all = true;
    for (uint32_t i = 0; i < model->n_params; i++)
        if (!add_name(f->e, names, n, model->params[i].name))
            return false;
    for (uint32_t i = 0; i < model->body.n; i++) {
        const ast_stmt *s = model->body.items[i];
        const binding *b = s->kind == STMT_USE ? lvt_lang_env_find(f->env, s->value->a->text) : NULL;
        *all &= s->kind != STMT_USE || (b && b->v.kind == VALUE_CONTRACT);
        const ast_body *body = b && b->v.kind == VALUE_CONTRACT ? &b->v.block->ast->body : NULL;
        for (uint32_t k = 0; body && k < body->n; k++)
            if (body->items[k]->kind == STMT_SETTING &&
                !add_name(f->e, names, n, body->items[k]->names[0].text))
                return false;
    }
    return true;
}

bool lvt_lang_known_settings(frame *f, const ast_stmt *model) {
    elab *e = f->e;
    const char **names = NULL, *list = "";
    uint32_t n = 0;
    bool ok = true, all;
    if (!collect(f, model, &names, &n, &all))
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (!(list = lvt_arena_printf(e->arena, "%s%s%s", list, i ? ", " : "", names[i])))
            return lvt_lang_out_of_memory(e), false;
    for (size_t i = 0; i < e->n_given; i++) {
        const char *text = e->given[i], *equals = strchr(text, '=');
        char name[100];
        snprintf(name, sizeof name, "%.*s", equals ? (int)(equals - text > 90 ? 90 : equals - text) : 90,
                 text);
        if (!equals || equals == text) {
            lvt_error(e->diag, LVT_USER, "E503", LVT_NOWHERE, "a setting is NAME=VALUE, not '%s'", name);
            ok = false;
            continue;
        }
        /* the mistake in `use` is told; what it would bring is not known. A program holds more: ranks */
        bool found = !all || e->stored;
        for (uint32_t k = 0; k < n; k++)
            found |= !strcmp(names[k], name);
        if (found)
            continue;
        const char *near = lvt_nearest(name, names, n);
        lvt_error(e->diag, LVT_USER, "E504", LVT_NOWHERE, "the model has no setting '%s'%s%s%s", name,
                  near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
        lvt_note(e->diag, LVT_NOWHERE, "its settings are: %s", list);
        ok = false;
    }
    return ok;
}

/* Is v something that a setting can be? */
static bool is_plain(value v) {
    bool ok = v.kind == VALUE_NONE || is_number(v) || v.kind == VALUE_BOOL || v.kind == VALUE_STRING ||
              v.kind == VALUE_DTYPE || v.kind == VALUE_LIST;
    for (uint32_t i = 0; ok && v.kind == VALUE_LIST && i < v.n; i++)
        ok = is_plain(v.items[i]);
    return ok;
}

static bool is_callable(value v) {
    return v.kind == VALUE_BLOCK || v.kind == VALUE_BUILTIN || v.kind == VALUE_NET;
}

/* v as a value of the kind of `asked`; false: it is none. */
static bool fits(value asked, value *v) {
    if (is_callable(asked) && is_callable(*v))
        return true;
    if (asked.kind == VALUE_FLOAT && v->kind == VALUE_INT)
        *v = lvt_lang_value_float((double)v->i);
    return asked.kind == VALUE_NONE || v->kind == asked.kind;
}

/* The value of a setting from its text; the default's kind decides how it is read. */
static bool read_setting(frame *f, const char *name, spot at, const char *text, value asked, value *out) {
    elab *e = f->e;
    if (asked.kind == VALUE_STRING) {
        const char *copy = lvt_arena_strdup(e->arena, text);
        *out = lvt_lang_value_string(copy ? copy : "");
        return copy != NULL;
    }
    ast_expr *x = lvt_lang_ast_parse_expression(text, e->arena);
    size_t before = lvt_diag_errors(e->diag);
    value v = {.kind = VALUE_POISON};
    lvt_dtype dtype;
    if (x && x->kind == EXPR_NAME && asked.kind == VALUE_DTYPE &&
        lvt_dtype_parse(x->text, strlen(x->text), &dtype))
        v = (value){.kind = VALUE_DTYPE, .i = dtype};
    else if (x && x->kind == EXPR_NAME && is_callable(asked))
        v = lvt_lang_eval(f, x);
    else if (x && x->kind != EXPR_NAME && x->kind != EXPR_CALL)
        v = lvt_lang_eval(f, x);
    if (asked.kind == VALUE_NONE && is_poison(v)) {
        const char *copy = lvt_arena_strdup(e->arena, text);
        v = lvt_lang_value_string(copy ? copy : "");
    }
    if (!is_poison(v) && fits(asked, &v)) {
        *out = v;
        return true;
    }
    if (lvt_diag_errors(e->diag) == before) {
        lvt_error(e->diag, LVT_USER, "E506", LVT_NOWHERE, "the setting '%s' cannot be '%.60s'", name, text);
        lvt_note(e->diag, (lvt_pos){f->file->name, at.line, at.col}, "its default is %s",
                 lvt_lang_value_describe(e, asked));
    }
    e->errors = true;
    return false;
}

bool lvt_lang_bind_setting(frame *f, const char *name, spot at, value asked, value usual, frame *from,
                           spot where) {
    elab *e = f->e;
    if (is_poison(asked) || is_poison(usual))
        return false;
    if (f->user && !is_plain(usual)) {
        lvt_lang_fail(from, where, "E506",
                      "the setting '%s' is a number, text, true or false, a type, or a list of these, not %s",
                      name, lvt_lang_value_describe(e, usual));
        return false;
    }
    if (!fits(asked, &usual)) {
        lvt_lang_fail(from, where, "E506", "the setting '%s' cannot be %s", name,
                      lvt_lang_value_describe(e, usual));
        lvt_lang_explain(from, at.line, at.col, f->file, "its default is %s",
                         lvt_lang_value_describe(e, asked));
        return false;
    }
    const char *text = e->stored && !is_plain(asked) && !is_callable(asked)
                           ? NULL
                           : given(e, name);               /* no --set has that kind */
    const setting *known = lvt_lang_find_setting(e, name); /* the model's own: --set has been looked at */
    value v = known ? usual : (value){.kind = VALUE_POISON};
    if (!known && text && !read_setting(f, name, at, text, usual.kind == VALUE_NONE ? asked : usual, &v))
        return false;
    if (!known && !text)
        v = usual;
    if (!lvt_lang_env_add(f, f->env, name, v, BIND_SETTING, at))
        return false;
    if (known)
        return true;
    setting s = {.name = name, .v = v, .usual = usual, .owner = f->name, .file = f->file, .at = at};
    return (lvt_module_add_setting(e->m, name, lvt_lang_value_source(e, v)) &&
            lvt_lang_grow(e, &e->settings, &e->n_settings, &s, sizeof s)) ||
           (lvt_lang_out_of_memory(e), false);
}

bool lvt_lang_bind_settings(frame *f, const ast_stmt *model) {
    elab *e = f->e;
    bool ok = true;
    for (uint32_t i = 0; i < model->n_params; i++) {
        const ast_param *p = &model->params[i];
        spot at = SPOT(p);
        value v = {.kind = VALUE_NONE};
        if (p->type) {
            lvt_lang_fail(f, SPOT(p->type), "E506", "a setting has no type; its default decides");
            ok = false;
        }
        if (p->value) {
            v = lvt_lang_eval(f, p->value);
        } else if (!given(e, p->name)) {
            lvt_error(e->diag, LVT_USER, "E507", (lvt_pos){f->file->name, p->line, p->col},
                      "the setting '%s' has no default; give it with --set %s=VALUE", p->name, p->name);
            ok = false;
        }
        ok &= lvt_lang_bind_setting(f, p->name, at, v, v, f, at);
    }
    return ok;
}

/* ---- what they mean: comments at the declaration ---- */

static const char *line_of(const char *text, uint32_t line) {
    for (uint32_t i = 1; text && i < line; i++)
        if ((text = strchr(text, '\n')))
            text++;
    return text;
}

/* Where the comment of a line begins, outside of strings; -1: nowhere. */
static long comment_at(const char *line) {
    bool text = false;
    for (long i = 0; line[i] && line[i] != '\n'; i++) {
        if (line[i] == '"' && !(text && i && line[i - 1] == '\\'))
            text = !text;
        if (line[i] == '#' && !text)
            return i;
    }
    return -1;
}

static bool only_comment(const char *line) {
    line += strspn(line, " \t");
    return *line == '#';
}

static char *append(char *so_far, const char *line) {
    const char *from = line + comment_at(line) + 1;
    from += strspn(from, " ");
    int n = (int)strcspn(from, "\n");
    size_t have = so_far ? strlen(so_far) : 0;
    char *text = realloc(so_far, have + (size_t)n + 2);
    if (!text)
        return free(so_far), NULL;
    snprintf(text + have, (size_t)n + 2, "%s%.*s", have ? " " : "", n, from);
    return text;
}

/* The comment at the end of a line and on the lines below it that have nothing else and begin in the same
 * column; else the lines of comment above it. malloc'ed; NULL: out of memory. */
static char *meaning_of(const char *source, uint32_t number) {
    const char *line = line_of(source, number);
    char *text = calloc(1, 1);
    long at = line ? comment_at(line) : -1;
    if (at >= 0 && text) {
        text = append(text, line);
        for (const char *next = strchr(line, '\n');
             text && next && only_comment(next + 1) && comment_at(next + 1) == at;
             next = strchr(next + 1, '\n'))
            text = append(text, next + 1);
        return text;
    }
    uint32_t first = number;
    while (line && first > 1 && only_comment(line_of(source, first - 1)))
        first--;
    if (line && first > 1 && first < number &&
        comment_at(line_of(source, first - 1)) == comment_at(line_of(source, first)))
        first = number; /* they go on with what is said of the line before */
    for (uint32_t i = first; text && line && i < number; i++)
        text = append(text, line_of(source, i));
    return text;
}

static char *copy_of(const char *text) {
    size_t n = strlen(text) + 1;
    char *copy = malloc(n);
    return copy ? memcpy(copy, text, n) : NULL;
}

void lvt_setting_list_free(lvt_setting_list *list) {
    for (size_t i = 0; i < list->n; i++) {
        lvt_setting_info *s = &list->items[i];
        free(s->name), free(s->value), free(s->usual), free(s->owner), free(s->file), free(s->meaning);
    }
    free(list->items);
    *list = (lvt_setting_list){0};
}

bool lvt_lang_list_settings(elab *e, lvt_setting_list *out) {
    *out = (lvt_setting_list){.items = calloc(e->n_settings + 1u, sizeof *out->items), .n = e->n_settings};
    bool ok = out->items != NULL;
    for (uint32_t i = 0; ok && i < e->n_settings; i++) {
        const setting *s = &e->settings[i];
        lvt_setting_info *to = &out->items[i];
        *to = (lvt_setting_info){.name = copy_of(s->name),
                                 .value = copy_of(lvt_lang_value_source(e, s->v)),
                                 .usual = copy_of(lvt_lang_value_source(e, s->usual)),
                                 .owner = copy_of(s->owner),
                                 .file = copy_of(s->file->name),
                                 .line = s->at.line,
                                 .meaning = meaning_of(e->m->sources[s->file->source].text, s->at.line)};
        ok = to->name && to->value && to->usual && to->owner && to->file && to->meaning;
    }
    if (!ok) {
        out->n = out->items ? out->n : 0;
        lvt_setting_list_free(out);
        e->nomem = true;
    }
    return ok;
}
