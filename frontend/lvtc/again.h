/* A compiled program as the input of lvtc. */
#ifndef LVT_FRONTEND_AGAIN_H
#define LVT_FRONTEND_AGAIN_H

#include "frontend/language/language.h"
#include "frontend/lvtc/command.h"

/* Compiles again what the program c->input holds, with the settings of the command line in place of its own.
 * Initial values that it has from a file stay: they are read from beside it, unless --weights gives others. The
 * number of processes it is for becomes c->compile.ranks where --ranks does not say another. Errors: those of
 * lvt_program_read, lvt_weights_read and lvt_compile_again; LVT_USER for a state that has values from a file and
 * another type now. */
lvt_status lvt_lvtc_again(lvt_lvtc_command *c, const char *models, lvt_module **out, lvt_diag *diag);

/* The settings of the program c->input, as lvt_list_settings_again gives them; freed with lvt_setting_list_free.
 * Errors: those of lvt_program_read and lvt_list_settings_again; the list is empty then. */
lvt_status lvt_lvtc_settings(const lvt_lvtc_command *c, const char *models, lvt_setting_list *out,
                             lvt_diag *diag);

/* Whether the file begins as a compiled program does, whatever it is called. */
bool lvt_lvtc_is_program(const char *path);

#endif
