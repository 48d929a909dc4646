/* Messages with their chain of calls, environments, parameter paths, and the elaborator's memory.
 *
 * Invariant: a place is reported once a compilation (a block expanded ten times has its mistake once). */
#include "elab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *room(elab *e, size_t bytes) {
    void *p =
        lvt_arena_used(e->arena) > ELAB_MAX_MEMORY ? NULL : lvt_arena_alloc(e->arena, bytes ? bytes : 1);
    if (!p)
        e->nomem = true;
    return p;
}

value out_of_memory(elab *e) {
    e->nomem = true;
    return (value){.kind = VALUE_POISON};
}

bool grow(elab *e, void *array, uint32_t *n, const void *element, size_t size) {
    char **items = array;
    uint32_t have = *n;
    if ((have & (have - 1)) == 0) { /* room doubles at powers of two */
        char *grown = room(e, (have ? 2 * (size_t)have : 1) * size);
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

lvt_loc loc_of(frame *f, spot at) {
    return lvt_module_loc(f->e->m, f->file->source, at.line, at.col, f->parent);
}

static bool reported(elab *e, uint32_t file, spot at) {
    for (uint32_t i = 0; i < e->n_places; i++)
        if (e->places[i].file == file && e->places[i].line == at.line && e->places[i].col == at.col)
            return true;
    if (e->n_places < 4096) {
        struct place p = {file, at.line, at.col};
        grow(e, &e->places, &e->n_places, &p, sizeof p);
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

value fail(frame *f, spot at, const char *code, const char *format, ...) {
    elab *e = f->e;
    e->errors = true;
    e->silenced = reported(e, f->file->source, at);
    if (e->silenced)
        return (value){.kind = VALUE_POISON};
    char text[512];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    lvt_error(e->diag, LVT_USER, code, (lvt_pos){f->file->name, at.line, at.col}, "%s", text);
    chain(f);
    return (value){.kind = VALUE_POISON};
}

value too_deep(frame *f, spot at) {
    if (f->e->too_deep)
        return (value){.kind = VALUE_POISON};
    f->e->too_deep = true;
    return fail(f, at, "E305", "this is nested too deeply");
}

void explain(frame *f, uint32_t line, uint32_t col, const source_file *file, const char *format, ...) {
    if (f->e->silenced)
        return;
    char text[512];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    lvt_note(f->e->diag, (lvt_pos){file->name, line, col}, "%s", text);
}

void build_begin(frame *f, spot at) {
    elab *e = f->e;
    e->b.loc = loc_of(f, at);
    e->b.diag = e->diag;
    for (uint32_t i = 0; i < e->n_places; i++)
        if (e->places[i].file == f->file->source && e->places[i].line == at.line &&
            e->places[i].col == at.col)
            e->b.diag = NULL;
    if (e->b.graph->n_nodes > ELAB_MAX_NODES || lvt_arena_used(e->m->arena) > ELAB_MAX_MEMORY)
        out_of_memory(e);
}

value build_end(frame *f, lvt_value v, spot at) {
    elab *e = f->e;
    if (v != LVT_NONE)
        return value_tensor(v, LVT_NONE);
    bool said = e->b.diag != NULL;
    if (e->b.graph->no_memory)
        return out_of_memory(e);
    e->b.graph->failed = false; /* go on: the compilation fails anyway, but finds more mistakes */
    if (said && !reported(e, f->file->source, at)) {
        if (lvt_diag_errors(e->diag) == 0)
            return out_of_memory(e); /* a build that fails without a word */
        chain(f);
    }
    e->errors = true;
    return (value){.kind = VALUE_POISON};
}

/* ---- environments -------------------------------------------------------------------------------------- */

static binding *in_one(const env *en, const char *name) {
    for (binding *b = en->first; b; b = b->next)
        if (!strcmp(b->name, name))
            return b;
    return NULL;
}

binding *env_find(env *en, const char *name) {
    for (; en; en = en->parent) {
        binding *b = in_one(en, name);
        for (uint32_t i = 0; !b && en->imports_of && i < en->imports_of->n_imports; i++)
            b = in_one(&en->imports_of->imports[i]->names, name);
        if (b)
            return b;
    }
    return NULL;
}

binding *env_find_local(env *en, const char *name) {
    for (; en; en = en->parent) {
        binding *b = in_one(en, name);
        if (b)
            return b;
        if (en->frame)
            break;
    }
    return NULL;
}

bool env_add(frame *f, env *en, const char *name, value v, binding_kind kind, spot at) {
    const binding *old = en->frame ? in_one(en, name) : NULL;
    for (const env *k = en; k && !k->frame && !old; k = k->parent)
        old = in_one(k, name);
    if (old) {
        fail(f, at, "E302", "'%.60s' is already declared%s", name,
             kind == BIND_LOCAL ? "; to change it write = without let" : "");
        explain(f, old->line, old->col, old->file, "the first declaration");
        return false;
    }
    binding *b = room(f->e, sizeof *b);
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

const char *join_path(elab *e, const char *base, const char *name, const char *suffix) {
    size_t n = strlen(base) + strlen(name) + strlen(suffix) + 2;
    char *path = n > ELAB_MAX_PATH ? NULL : room(e, n);
    if (!path)
        return e->nomem = true, "";
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

const char *suggest(frame *f, env *en, const char *name, bool callable) {
    const char *names[1024];
    size_t n = 0, cap = sizeof names / sizeof *names;
    for (; en; en = en->parent) {
        n = collect(en, callable, names, n, cap);
        for (uint32_t i = 0; en->imports_of && i < en->imports_of->n_imports; i++)
            n = collect(&en->imports_of->imports[i]->names, callable, names, n, cap);
    }
    if (callable) {
        n += builtin_names(names + n, cap - n);
        for (int i = 0; i < LVT_N_OPS && n < cap; i++)
            names[n++] = lvt_op_table[i]->name;
    }
    const char *near = lvt_nearest(name, names, n);
    return near ? lvt_arena_printf(f->e->arena, "; did you mean '%s'?", near) : "";
}
