/* The two ways into the model language: a file or a text.
 *
 * Invariant: either a whole module comes out, or none and at least one error. */
#include "language.h"
#include "elab.h"

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

/* text NULL: read the file `name`. */
static lvt_status compile(const char *name, const char *text, size_t length, const char *const *settings,
                          size_t n_settings, const char *models_folder, lvt_module **out,
                          lvt_setting_list *list, lvt_diag *diag) {
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
              .settings_only = list != NULL};
    lvt_status status = LVT_NOMEM;
    if (e.arena && e.m && e.diag && e.aside) {
        source_file *file = text ? load_text(&e, name, text, length) : load_file(&e, name, NULL, (spot){0});
        const ast_stmt *model = file ? find_model(&e, file) : NULL;
        if (model && !e.errors && evaluate_file(&e, file))
            run_model(&e, file, model);
        bool failed = !model || e.errors || e.misread || lvt_diag_errors(e.diag) > before;
        status = e.nomem ? LVT_NOMEM : !failed ? LVT_OK : !file && !e.n_files ? LVT_IO : LVT_USER;
        if (e.nomem)
            lvt_error(e.diag, LVT_NOMEM, NULL, LVT_NOWHERE,
                      "out of memory: the model needs more than a compilation may use");
    }
    if (status == LVT_OK && list && !list_settings(&e, list))
        status = lvt_error(e.diag, LVT_NOMEM, NULL, LVT_NOWHERE, "out of memory");
    if (status || list)
        lvt_module_free(e.m);
    else
        *out = e.m;
    close_nets(&e);
    lvt_arena_free(e.arena);
    lvt_diag_free(e.aside);
    lvt_diag_free(own);
    return status;
}

lvt_status lvt_compile_file(const char *path, const char *const *settings, size_t n_settings,
                            const char *models_folder, lvt_module **out, lvt_diag *diag) {
    return compile(path, NULL, 0, settings, n_settings, models_folder, out, NULL, diag);
}

lvt_status lvt_compile_text(const char *name, const char *text, size_t length, const char *const *settings,
                            size_t n_settings, const char *models_folder, lvt_module **out, lvt_diag *diag) {
    return compile(name, text, length, settings, n_settings, models_folder, out, NULL, diag);
}

lvt_status lvt_list_settings(const char *path, const char *const *settings, size_t n_settings,
                             const char *models_folder, lvt_setting_list *out, lvt_diag *diag) {
    lvt_module *none;
    *out = (lvt_setting_list){0};
    return compile(path, NULL, 0, settings, n_settings, models_folder, &none, out, diag);
}
