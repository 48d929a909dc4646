/* Messages with their chain of calls, environments, parameter paths, and the elaborator's memory.
 *
 * Invariant: a place and message is reported once a compilation: a block expanded ten times has its mistake
 * once, and another mistake of a later call or entry on the same line is told at once, too. */
#include "elab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *lvt_lang_room(elab *e, size_t bytes) {
    void *p = lvt_arena_alloc(e->arena, bytes ? bytes : 1);
    if (!p)
        lvt_lang_out_of_memory(e);
    return p;
}

value lvt_lang_out_of_memory(elab *e) {
    if (lvt_arena_at_limit(e->arena))
        return lvt_lang_beyond(e, "the values of the model take more than %zu MiB", ELAB_MAX_MEMORY >> 20);
    if (e->m->too_many_nodes)
        return lvt_lang_beyond(e, "an entry has more than %d nodes", LVT_MAX_NODES);
    if (lvt_arena_at_limit(e->m->arena))
        return lvt_lang_beyond(e, "the nodes of the model take more than %zu MiB",
                               LVT_MAX_MODULE_BYTES >> 20);
    e->nomem = true;
    return (value){.kind = VALUE_POISON};
}

value lvt_lang_beyond(elab *e, const char *format, ...) {
    char text[200];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    bool first = !e->nomem;
    e->nomem = e->beyond = e->errors = true; /* before the report, which may want memory too */
    lvt_arena_limit(e->arena, 0);            /* and gets it: nothing else will ask */
    if (first && e->at)
        lvt_lang_fail(e->at, e->at_spot, "E314", "%s", text);
    else if (first)
        lvt_error(e->diag, LVT_USER, "E314", LVT_NOWHERE, "%s", text);
    return (value){.kind = VALUE_POISON};
}

bool lvt_lang_spend(elab *e, uint64_t work) {
    e->work += work;
    if (e->work > ELAB_MAX_WORK)
        lvt_lang_beyond(e, "the model takes more than %d steps to unfold", ELAB_MAX_WORK);
    return e->work <= ELAB_MAX_WORK;
}

bool lvt_lang_grow(elab *e, void *array, uint32_t *n, const void *element, size_t size) {
    char **items = array;
    uint32_t have = *n;
    if ((have & (have - 1)) == 0) { /* room doubles at powers of two */
        char *grown = lvt_lang_room(e, (have ? 2 * (size_t)have : 1) * size);
        if (!grown)
            return false;
        if (have)
            memcpy(grown, *items, have * size);
        *items = grown;
    }
    memcpy(*items + have * size, element, size);
    ++*n;
    return true;
}

lvt_loc lvt_lang_loc_of(frame *f, spot at) {
    return lvt_module_loc(f->e->m, f->file->source, at.line, at.col, f->parent);
}

/* Whether these words were said of this place before; notes them. */
static bool reported(elab *e, uint32_t file, spot at, const char *words) {
    for (uint32_t i = 0; i < e->n_places; i++)
        if (e->places[i].file == file && e->places[i].line == at.line && e->places[i].col == at.col &&
            !strcmp(e->places[i].words, words))
            return true;
    if (e->n_places < 4096) {
        struct place p = {file, at.line, at.col, lvt_arena_strdup(e->arena, words)};
        if (p.words)
            lvt_lang_grow(e, &e->places, &e->n_places, &p, sizeof p);
        else
            e->nomem = true;
    }
    return false;
}

/* The calls that led to a frame, innermost first. */
static void chain(frame *f) {
    lvt_module *m = f->e->m;
    const char *what = "called from here";
    int shown = 0;
    for (lvt_loc l = f->parent; l && l < m->n_locs; l = m->locs[l].parent) {
        if (shown++ == 6) {
            lvt_note(f->e->diag, LVT_NOWHERE, "and from further calls");
            break;
        }
        lvt_note(f->e->diag, lvt_module_pos(m, l), "%s", what);
    }
}

/* printf into the compilation's memory. */
static const char *words(elab *e, const char *format, va_list list) {
    va_list again;
    va_copy(again, list);
    int n = vsnprintf(NULL, 0, format, list);
    char *text = n < 0 ? NULL : lvt_lang_room(e, (size_t)n + 1);
    if (text)
        vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    return text ? text : "";
}

value lvt_lang_fail(frame *f, spot at, const char *code, const char *format, ...) {
    elab *e = f->e;
    e->errors = true;
    va_list list;
    va_start(list, format);
    const char *text = words(e, format, list);
    va_end(list);
    e->silenced = reported(e, f->file->source, at, text);
    if (e->silenced)
        return (value){.kind = VALUE_POISON};
    lvt_error(e->diag, LVT_USER, code, (lvt_pos){f->file->name, at.line, at.col}, "%s", text);
    chain(f);
    return (value){.kind = VALUE_POISON};
}

value lvt_lang_too_deep(frame *f, spot at) {
    if (f->e->too_deep)
        return (value){.kind = VALUE_POISON};
    f->e->too_deep = true;
    return lvt_lang_fail(f, at, "E305", "this is nested too deeply");
}

void lvt_lang_explain(frame *f, uint32_t line, uint32_t col, const source_file *file, const char *format,
                      ...) {
    if (f->e->silenced)
        return;
    va_list list;
    va_start(list, format);
    const char *text = words(f->e, format, list);
    va_end(list);
    lvt_note(f->e->diag, (lvt_pos){file->name, line, col}, "%s", text);
}

void lvt_lang_build_begin(frame *f, spot at) {
    elab *e = f->e;
    e->b.loc = lvt_lang_loc_of(f, at);
    e->b.diag = e->aside;
    lvt_lang_spend(e, 1);
}

value lvt_lang_build_end(frame *f, lvt_value v, spot at) {
    elab *e = f->e;
    const char *words = lvt_diag_first(e->aside);
    bool no_memory = e->b.graph->no_memory || (!words && !lvt_diag_errors(e->diag));
    e->silenced = words && reported(e, f->file->source, at, words);
    lvt_diag_move(e->silenced ? NULL : e->diag, e->aside);
    if (v != LVT_NONE)
        return lvt_lang_value_tensor(v, LVT_NONE);
    if (no_memory) /* that alone fails without a word */
        return lvt_lang_out_of_memory(e);
    e->b.graph->failed = false; /* go on: the compilation fails anyway, but finds more mistakes */
    e->errors = true;
    if (!e->silenced)
        chain(f);
    return (value){.kind = VALUE_POISON};
}

/* ---- environments -------------------------------------------------------------------------------------- */

static binding *in_one(const env *en, const char *name) {
    for (binding *b = en->first; b; b = b->next)
        if (!strcmp(b->name, name))
            return b;
    return NULL;
}

binding *lvt_lang_env_find(env *en, const char *name) {
    for (; en; en = en->parent) {
        binding *b = in_one(en, name);
        for (uint32_t i = 0; !b && en->imports_of && i < en->imports_of->n_imports; i++)
            b = in_one(&en->imports_of->imports[i]->names, name);
        if (b)
            return b;
    }
    return NULL;
}

binding *lvt_lang_env_find_local(env *en, const char *name) {
    for (; en; en = en->parent) {
        binding *b = in_one(en, name);
        if (b)
            return b;
        if (en->frame)
            break;
    }
    return NULL;
}

bool lvt_lang_env_add(frame *f, env *en, const char *name, value v, binding_kind kind, spot at) {
    const binding *old = en->frame ? in_one(en, name) : NULL;
    for (const env *k = en; k && !k->frame && !old; k = k->parent)
        old = in_one(k, name);
    if (old) {
        lvt_lang_fail(f, at, "E302", "'%.60s' is already declared%s", name,
                      kind == BIND_LOCAL ? "; to change it write = without let" : "");
        lvt_lang_explain(f, old->line, old->col, old->file, "the first declaration");
        return false;
    }
    binding *b = lvt_lang_room(f->e, sizeof *b);
    if (!b)
        return false;
    *b = (binding){.name = name,
                   .v = v,
                   .kind = (uint8_t)kind,
                   .line = at.line,
                   .col = at.col,
                   .file = f->file,
                   .next = en->first};
    en->first = b;
    return true;
}

const char *lvt_lang_join_path(elab *e, const char *base, const char *name, const char *suffix) {
    size_t n = strlen(base) + strlen(name) + strlen(suffix) + 2;
    if (n > ELAB_MAX_PATH)
        return lvt_lang_beyond(e, "the path of a parameter has more than %d letters", ELAB_MAX_PATH), "";
    char *path = lvt_lang_room(e, n);
    if (!path)
        return "";
    snprintf(path, n, "%s%s%s%s", base, *base && *name ? "." : "", name, suffix);
    return path;
}

/* Adds the names of one environment. */
static size_t collect(const env *en, bool callable, const char **names, size_t n, size_t cap) {
    for (const binding *b = en->first; b && n < cap; b = b->next)
        if (!callable || b->v.kind == VALUE_BLOCK || b->v.kind == VALUE_NET || b->v.kind == VALUE_BUILTIN)
            names[n++] = b->name;
    return n;
}

const char *lvt_lang_suggest(frame *f, env *en, const char *name, bool callable) {
    const char *names[1024];
    size_t n = 0, cap = sizeof names / sizeof *names;
    for (; en; en = en->parent) {
        n = collect(en, callable, names, n, cap);
        for (uint32_t i = 0; en->imports_of && i < en->imports_of->n_imports; i++)
            n = collect(&en->imports_of->imports[i]->names, callable, names, n, cap);
    }
    if (callable) {
        n += lvt_lang_builtin_names(names + n, cap - n);
        for (int i = 0; i < LVT_N_OPS && n < cap; i++)
            names[n++] = lvt_op_table[i]->name;
    }
    const char *near = lvt_nearest(name, names, n);
    return near ? lvt_arena_printf(f->e->arena, "; did you mean '%s'?", near) : "";
}
