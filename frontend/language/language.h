/* The model language: a model file and settings in, an IR module out.
 *
 * The module holds one graph an entry, not yet differentiated (`gradient` nodes stand for what pass autodiff
 * makes), all parameters and states by path, and the settings it was compiled with. May not know: passes,
 * kernels. */
#ifndef LVT_LANGUAGE_H
#define LVT_LANGUAGE_H

#include "ir/ir.h"

/* Compiles the model of a file. settings: n_settings texts "NAME=VALUE", the last of a name wins.
 * models_folder: where imports that are not beside the importing file are looked for; NULL: nowhere else. On
 * success *out is the module, freed with lvt_module_free; on error it is NULL. Returns LVT_USER for mistakes
 * in model or settings (all are in diag, with places), LVT_IO when the file cannot be read, LVT_NOMEM. */
lvt_status lvt_compile_file(const char *path, const char *const *settings, size_t n_settings,
                            const char *models_folder, lvt_module **out, lvt_diag *diag);

/* The same for a text; name stands for the file in messages, and imports are looked for beside it. */
lvt_status lvt_compile_text(const char *name, const char *text, size_t length, const char *const *settings,
                            size_t n_settings, const char *models_folder, lvt_module **out, lvt_diag *diag);

/* Compiles again what a program holds, its sources and settings: `program` is the module of a compiled program,
 * `settings` what shall be different. A setting that had its default then has it now, so that what hangs on a
 * changed setting follows. Imported files that are not of the language are read from the disk. Returns as
 * lvt_compile_file; LVT_USER, too, when the program does not hold its sources. */
lvt_status lvt_compile_again(const lvt_module *program, const char *const *settings, size_t n_settings,
                             const char *models_folder, lvt_module **out, lvt_diag *diag);

/* The built-in functions, from 0: the name of each, NULL after the last, and how it is called and what it
 * means in two lines (malloc'ed; NULL after the last, or when out of memory). */
const char *lvt_builtin_name(size_t i);
char *lvt_builtin_text(size_t i);

/* A setting of a model or of a contract that it uses. All strings are the list's. */
typedef struct lvt_setting_info {
    char *name, *value;
    char *usual;   /* without --set */
    char *meaning; /* the comment at its declaration; "": none */
    char *owner;   /* the model or contract that declares it */
    char *file;
    uint32_t line;
} lvt_setting_info;
typedef struct lvt_setting_list {
    lvt_setting_info *items;
    size_t n;
} lvt_setting_list;

/* The settings of a model file, the model's own first, with the values that `settings` give them; no entry is
 * compiled. Freed with lvt_setting_list_free; empty after an error. Returns as lvt_compile_file. */
lvt_status lvt_list_settings(const char *path, const char *const *settings, size_t n_settings,
                             const char *models_folder, lvt_setting_list *out, lvt_diag *diag);

/* The same of what a compiled program holds: its settings with the values that it was compiled with, or that
 * `settings` give them now. Returns as lvt_compile_again. */
lvt_status lvt_list_settings_again(const lvt_module *program, const char *const *settings, size_t n_settings,
                                   const char *models_folder, lvt_setting_list *out, lvt_diag *diag);
void lvt_setting_list_free(lvt_setting_list *list);

#endif
