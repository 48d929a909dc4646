/* The ways into the model language: a file, a text, or what a program holds.
 *
 * Invariant: either a whole module comes out, or none and at least one error. */
#include "language.h"
#include "elab.h"

#include <string.h>

static const ast_stmt *find_model(elab *e, const source_file *file) {
    const ast_stmt *model = NULL;
    for (uint32_t i = 0; i < file->ast->items.n; i++) {
        const ast_stmt *s = file->ast->items.items[i];
        if (s->kind != STMT_MODEL)
            continue;
        if (model) {
            lvt_error(e->diag, LVT_USER, "E508", (lvt_pos){file->name, s->line, s->col},
                      "a file has at most one model");
            return NULL;
        }
        model = s;
    }
    if (!model && !e->errors && !e->misread)
        lvt_error(e->diag, LVT_USER, "E508", (lvt_pos){.file = file->name}, "%s holds no model", file->name);
    return model;
}

/* What is compiled: a text, or where that is NULL the file `name`, from the disk or among `sources`. */
typedef struct input {
    const char *name, *text;
    size_t length;
    const lvt_source *sources;
    size_t n_sources;
    bool stored; /* see elab.h */
} input;

static lvt_status compile(const input *in, const char *const *settings, size_t n_settings,
                          const char *models_folder, lvt_module **out, lvt_setting_list *list,
                          lvt_diag *diag) {
    const char *name = in->name;
    *out = NULL;
    size_t before = lvt_diag_errors(diag);
    lvt_diag *own = diag ? NULL : lvt_diag_new(); /* errors are counted even when nobody reads them */
    elab e = {.arena = lvt_arena_new(),
              .m = lvt_module_new(name),
              .diag = diag ? diag : own,
              .aside = lvt_diag_new(),
              .models_folder = models_folder,
              .given = settings,
              .n_given = n_settings,
              .settings_only = list != NULL,
              .stored = in->stored,
              .sources = in->sources,
              .n_sources = in->n_sources};
    lvt_status status = LVT_NOMEM;
    if (e.arena)
        lvt_arena_limit(e.arena, ELAB_MAX_MEMORY);
    if (e.arena && e.m && e.diag && e.aside) {
        source_file *file = in->text ? lvt_lang_load_text(&e, name, in->text, in->length)
                                     : lvt_lang_load_file(&e, name, NULL, (spot){0});
        const ast_stmt *model = file ? find_model(&e, file) : NULL;
        if (model && !e.errors && lvt_lang_evaluate_file(&e, file))
            lvt_lang_run_model(&e, file, model);
        bool failed = !model || e.errors || e.misread || lvt_diag_errors(e.diag) > before;
        if (e.nomem && !e.beyond)
            status = lvt_no_memory(e.diag, NULL);
        else if (failed)
            status = !file && !e.n_files ? LVT_IO : LVT_USER;
        else
            status = LVT_OK;
    }
    if (status == LVT_OK && list && !lvt_lang_list_settings(&e, list))
        status = lvt_error(e.diag, LVT_NOMEM, NULL, LVT_NOWHERE, "out of memory");
    if (status || list)
        lvt_module_free(e.m);
    else
        *out = e.m;
    lvt_lang_close_nets(&e);
    lvt_arena_free(e.arena);
    lvt_diag_free(e.aside);
    lvt_diag_free(own);
    return status;
}

lvt_status lvt_compile_file(const char *path, const char *const *settings, size_t n_settings,
                            const char *models_folder, lvt_module **out, lvt_diag *diag) {
    return compile(&(input){.name = path}, settings, n_settings, models_folder, out, NULL, diag);
}

lvt_status lvt_compile_text(const char *name, const char *text, size_t length, const char *const *settings,
                            size_t n_settings, const char *models_folder, lvt_module **out, lvt_diag *diag) {
    return compile(&(input){.name = name, .text = text, .length = length}, settings, n_settings,
                   models_folder, out, NULL, diag);
}

lvt_status lvt_list_settings(const char *path, const char *const *settings, size_t n_settings,
                             const char *models_folder, lvt_setting_list *out, lvt_diag *diag) {
    lvt_module *none;
    *out = (lvt_setting_list){0};
    return compile(&(input){.name = path}, settings, n_settings, models_folder, &none, out, diag);
}

/* The settings of a program as texts NAME=VALUE, all or those that are not what they are without --set; and room
 * for n more. In `arena`; NULL: out of memory. */
static const char **as_given(lvt_arena *arena, const lvt_setting *stored, const lvt_setting_list *chosen,
                             size_t count, size_t more, size_t *n) {
    const char **texts = lvt_arena_alloc(arena, (count + more + 1) * sizeof *texts);
    *n = 0;
    for (size_t i = 0; texts && i < count; i++) {
        if (chosen && !strcmp(chosen->items[i].value, chosen->items[i].usual))
            continue;
        const char *name = chosen ? chosen->items[i].name : stored[i].name;
        const char *text = chosen ? chosen->items[i].value : stored[i].value;
        if (!(texts[(*n)++] = lvt_arena_printf(arena, "%s=%s", name, text)))
            return NULL;
    }
    return texts;
}

/* The first pass of both below: the settings of a program that differ from their defaults, then those given, as
 * texts in `arena`. Without the first, what hangs on a changed setting would keep the value it had. */
static lvt_status settings_again(lvt_arena *arena, const input *in, const lvt_module *program,
                                 const char *const *settings, size_t n_settings, const char *models_folder,
                                 const char ***texts, size_t *n, lvt_diag *diag) {
    lvt_setting_list list = {0};
    lvt_module *none;
    const char **stored = as_given(arena, program->settings, NULL, program->n_settings, 0, n);
    lvt_diag *aside = lvt_diag_new();
    if (!stored || !aside) {
        lvt_diag_free(aside);
        return lvt_no_memory(diag, NULL);
    }
    lvt_status status = compile(in, stored, *n, models_folder, &none, &list, aside);
    if (status != LVT_OK) /* else its warnings come once more from the second pass */
        lvt_diag_move(diag, aside);
    lvt_diag_free(aside);
    if (status == LVT_OK && !(*texts = as_given(arena, NULL, &list, list.n, n_settings, n)))
        status = lvt_no_memory(diag, NULL);
    lvt_setting_list_free(&list);
    if (status != LVT_OK)
        return status;
    for (size_t i = 0; i < n_settings; i++)
        (*texts)[(*n)++] = settings[i];
    return LVT_OK;
}

/* A module into *out, or where list is not NULL the settings into that. */
static lvt_status again(const lvt_module *program, const char *const *settings, size_t n_settings,
                        const char *models_folder, lvt_module **out, lvt_setting_list *list, lvt_diag *diag) {
    const lvt_source *main = program->sources;
    *out = NULL;
    if (!program->n_sources || !main->text)
        return lvt_error(diag, LVT_USER, "E501", LVT_NOWHERE,
                         "the program does not hold what it was compiled from%s%s",
                         program->n_sources ? ", " : "", program->n_sources ? main->name : "");
    input in = {
        .name = main->name, .sources = program->sources, .n_sources = program->n_sources, .stored = true};
    const char **texts = NULL;
    size_t n = 0;
    lvt_arena *arena = lvt_arena_new();
    if (!arena)
        return lvt_no_memory(diag, NULL);
    lvt_status status =
        settings_again(arena, &in, program, settings, n_settings, models_folder, &texts, &n, diag);
    in.stored = false;
    if (status == LVT_OK)
        status = compile(&in, texts, n, models_folder, out, list, diag);
    lvt_arena_free(arena);
    return status;
}

lvt_status lvt_compile_again(const lvt_module *program, const char *const *settings, size_t n_settings,
                             const char *models_folder, lvt_module **out, lvt_diag *diag) {
    return again(program, settings, n_settings, models_folder, out, NULL, diag);
}

lvt_status lvt_list_settings_again(const lvt_module *program, const char *const *settings, size_t n_settings,
                                   const char *models_folder, lvt_setting_list *out, lvt_diag *diag) {
    lvt_module *none;
    *out = (lvt_setting_list){0};
    return again(program, settings, n_settings, models_folder, &none, out, diag);
}
