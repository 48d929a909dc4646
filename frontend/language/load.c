/* Files: reading, imports, the names they declare.
 *
 * Invariants: a file is read once a compilation, under the name it was found by; imports are not passed on
 * (who imports a file sees its own names only); cycles are harmless, since blocks are looked up when they are
 * called. */
#include "elab.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The whole file, or NULL with errno set (EFBIG: larger than AST_MAX_FILE; ENOMEM). malloc'ed. */
static char *read_whole(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    size_t cap = 1 << 14, n = 0;
    char *text = malloc(cap);
    int error = text ? 0 : ENOMEM;
    while (text && !error) {
        size_t got = fread(text + n, 1, cap - n, file);
        n += got;
        if (ferror(file))
            error = errno ? errno : EIO;
        if (!got)
            break;
        if (n > AST_MAX_FILE) {
            error = EFBIG;
        } else if (n == cap) {
            char *grown = realloc(text, cap * 2);
            if (!grown)
                error = ENOMEM;
            else
                text = grown, cap *= 2;
        }
    }
    fclose(file);
    if (error) {
        free(text);
        text = NULL;
        errno = error;
    }
    *length = n;
    return text;
}

static source_file *find(elab *e, const char *name) {
    for (uint32_t i = 0; i < e->n_files; i++)
        if (!strcmp(e->files[i]->name, name))
            return e->files[i];
    return NULL;
}

static const char *folder_of(elab *e, const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? lvt_arena_strndup(e->arena, path, (size_t)(slash - path) + 1) : "";
}

static bool load_imports(elab *e, source_file *file) {
    bool ok = true;
    for (uint32_t i = 0; i < file->ast->items.n; i++) {
        const ast_stmt *s = file->ast->items.items[i];
        if (s->kind != STMT_IMPORT)
            continue;
        if (lvt_lang_is_net(s->value->text) || s->n_names) {
            ok &= lvt_lang_load_net(e, file, s);
            continue;
        }
        source_file *other = lvt_lang_load_file(e, s->value->text, file, SPOT(s->value));
        if (!other)
            ok = false;
        else if (!lvt_lang_grow(e, &file->imports, &file->n_imports, &other, sizeof(source_file *)))
            return false;
    }
    return ok;
}

source_file *lvt_lang_load_text(elab *e, const char *name, const char *text, size_t length) {
    lvt_pos top = {.file = name};
    source_file *file = lvt_lang_room(e, sizeof *file);
    char *own_name = lvt_arena_strdup(e->arena, name), *own = lvt_arena_strndup(e->arena, text, length);
    if (!file || !own_name || !own)
        return lvt_lang_out_of_memory(e), NULL;
    lvt_diag_source(e->diag, name, text, length);
    uint32_t source = lvt_module_source(e->m, name, text, length);
    if (source == UINT32_MAX)
        return lvt_lang_out_of_memory(e), NULL;
    *file = (source_file){.name = own_name, .source = source};
    file->names = (env){.imports_of = file, .frame = true};
    if (e->n_files >= ELAB_MAX_FILES) {
        lvt_error(e->diag, LVT_USER, "E505", top, "more than %d files", ELAB_MAX_FILES);
        return NULL;
    }
    if (!lvt_lang_grow(e, &e->files, &e->n_files, &file, sizeof(source_file *)))
        return NULL;
    if (length > AST_MAX_FILE) {
        lvt_error(e->diag, LVT_USER, "E505", top, "the file is larger than %d MiB", AST_MAX_FILE >> 20);
        return NULL;
    }
    lvt_status status = lvt_lang_ast_parse(own_name, own, length, e->arena, e->diag, &file->ast);
    if (status == LVT_NOMEM)
        return lvt_lang_out_of_memory(e), NULL;
    e->misread |= status != LVT_OK;
    for (uint32_t i = 0; file->ast && i < file->ast->items.n; i++) {
        const ast_stmt *one = file->ast->items.items[i];
        e->names_lost |= one->kind == STMT_LOST && (one->was == STMT_IMPORT || !one->n_names);
    }
    return file->ast && load_imports(e, file) ? file : NULL;
}

/* Where a file may be: beside the importing one, then in the models folder. */
static bool candidates(elab *e, const char *name, const source_file *from, const char *tries[2]) {
    tries[0] = name;
    tries[1] = NULL;
    if (!from || name[0] == '/')
        return true;
    tries[0] = lvt_arena_printf(e->arena, "%s%s", folder_of(e, from->name), name);
    if (e->models_folder)
        tries[1] = lvt_arena_printf(e->arena, "%s/%s", e->models_folder, name);
    return (tries[0] && (tries[1] || !e->models_folder)) || (lvt_lang_out_of_memory(e), false);
}

static void cannot_load(elab *e, const char *name, const source_file *from, spot at, const char *tries[2],
                        int error) {
    e->errors = true;
    const char *why = error == EFBIG ? "it is larger than a model file may be" : strerror(error);
    lvt_pos place = from ? (lvt_pos){from->name, at.line, at.col} : LVT_NOWHERE;
    if (from)
        lvt_error(e->diag, LVT_USER, "E501", place, "cannot import \"%s\": %s", name, why);
    else
        lvt_error(e->diag, LVT_IO, "E501", place, "cannot read %s: %s", name, why);
    if (from && tries[1] && error == ENOENT)
        lvt_note(e->diag, LVT_NOWHERE, "looked for %s and %s", tries[0], tries[1]);
}

const char *lvt_lang_find_import(elab *e, const char *name, const source_file *from, spot at) {
    const char *tries[2];
    int error = ENOENT;
    if (!candidates(e, name, from, tries))
        return NULL;
    for (int i = 0; i < 2 && tries[i]; i++) {
        if (access(tries[i], R_OK) == 0)
            return tries[i];
        if (errno != ENOENT)
            error = errno;
    }
    cannot_load(e, name, from, at, tries, error);
    return NULL;
}

/* Among the sources that were given: the name itself, then one that ends in it, as it was found in another
 * models folder. */
static const lvt_source *held(const elab *e, const char *path, const char *name) {
    for (size_t i = 0; i < e->n_sources; i++)
        if (!strcmp(e->sources[i].name, path) && e->sources[i].text)
            return &e->sources[i];
    size_t n = strlen(name);
    for (size_t i = 0; i < e->n_sources; i++) {
        const char *other = e->sources[i].name;
        size_t k = strlen(other);
        if (k > n && other[k - n - 1] == '/' && !strcmp(other + k - n, name) && e->sources[i].text)
            return &e->sources[i];
    }
    return NULL;
}

source_file *lvt_lang_load_file(elab *e, const char *name, const source_file *from, spot at) {
    const char *tries[2];
    if (!candidates(e, name, from, tries))
        return NULL;
    int error = ENOENT;
    if (e->sources) {
        const lvt_source *s = held(e, tries[0], name);
        source_file *known = s ? find(e, s->name) : NULL;
        if (known)
            return known->ast ? known : NULL;
        if (s)
            return lvt_lang_load_text(e, s->name, s->text, s->length);
        cannot_load(e, name, from, at, tries, error);
        return NULL;
    }
    for (int i = 0; i < 2 && tries[i]; i++) {
        source_file *known = find(e, tries[i]);
        if (known)
            return known->ast ? known : NULL;
        size_t length;
        char *text = read_whole(tries[i], &length);
        if (text) {
            source_file *file = lvt_lang_load_text(e, tries[i], text, length);
            free(text);
            return file;
        }
        if (errno == ENOMEM)
            return lvt_lang_out_of_memory(e), NULL;
        error = errno;
        if (error != ENOENT)
            break;
    }
    cannot_load(e, name, from, at, tries, error);
    return NULL;
}

/* A name that two imports declare would depend on their order. */
static bool imports_agree(frame *f, const source_file *file) {
    bool ok = true;
    for (uint32_t i = 0; i < file->n_imports; i++)
        for (uint32_t k = 0; k < i; k++) {
            if (file->imports[i] == file->imports[k])
                continue;
            for (binding *b = file->imports[i]->names.first; b; b = b->next)
                for (binding *c = file->imports[k]->names.first; c; c = c->next)
                    if (!strcmp(b->name, c->name) && !lvt_lang_env_find_local((env *)&file->names, b->name)) {
                        lvt_error(f->e->diag, LVT_USER, "E502", (lvt_pos){b->file->name, b->line, b->col},
                                  "'%s' is also declared in another import of %s", b->name, file->name);
                        lvt_lang_explain(f, c->line, c->col, c->file, "the other declaration");
                        ok = false;
                    }
        }
    return ok;
}

bool lvt_lang_evaluate_file(elab *e, source_file *file) {
    if (file->evaluated)
        return true;
    file->evaluated = true;
    bool ok = true;
    for (uint32_t i = 0; i < file->n_imports; i++)
        ok &= lvt_lang_evaluate_file(e, file->imports[i]);
    scope top = {.path = ""};
    frame f = {
        .e = e, .file = file, .env = &file->names, .scope = &top, .suffix = "", .loop = "", .name = ""};
    for (uint32_t i = 0; i < file->ast->items.n; i++) {
        const ast_stmt *s = file->ast->items.items[i];
        if (s->kind == STMT_LOST)
            lvt_lang_run_lost(&f, s);
        if (s->kind != STMT_BLOCK && s->kind != STMT_CONTRACT)
            continue;
        block_value *b = lvt_lang_room(e, sizeof *b);
        if (!b)
            return false;
        *b = (block_value){.ast = s, .env = &file->names, .file = file};
        value v = {.kind = s->kind == STMT_BLOCK ? VALUE_BLOCK : VALUE_CONTRACT, .block = b};
        ok &= lvt_lang_env_add(&f, &file->names, s->names[0].text, v, BIND_BLOCK, SPOT(&s->names[0]));
    }
    for (uint32_t i = 0; i < file->ast->items.n; i++)
        lvt_lang_run_stmt(&f, file->ast->items.items[i]);
    ok &= lvt_lang_bind_nets(&f, file);
    return ok && imports_agree(&f, file) && !e->nomem;
}
