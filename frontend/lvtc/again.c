/* Compiling again from a program. Invariant: the program's file is only read. May not know: passes. */
#include "frontend/lvtc/again.h"
#include "ir/program/program.h"
#include "ir/program/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool from_file(const lvt_state *s) {
    return s->init.kind == LVT_INIT_FILE;
}

/* Values that the program's states have from a file go to the states of the same names. */
static lvt_status carry_values(lvt_module *program, lvt_module *m, const char *path, lvt_diag *diag) {
    bool any = false;
    for (uint32_t i = 0; i < program->n_states; i++) {
        uint32_t k =
            from_file(&program->states[i]) ? lvt_module_find_state(m, program->states[i].name) : LVT_NONE;
        any |= k != LVT_NONE && !m->states[k].values;
    }
    lvt_status status = any ? lvt_weights_read(program, path, diag) : LVT_OK;
    for (uint32_t i = 0; any && i < program->n_states && status == LVT_OK; i++) {
        const lvt_state *old = &program->states[i];
        uint32_t k = from_file(old) ? lvt_module_find_state(m, old->name) : LVT_NONE;
        if (k == LVT_NONE || m->states[k].values)
            continue;
        lvt_state *s = &m->states[k];
        char now[LVT_TYPE_TEXT], then[LVT_TYPE_TEXT];
        if (!lvt_type_equal(&s->type, &old->type)) {
            lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                      "%s has values for '%s' from a file, as %s, but it is %s now", path, s->name,
                      lvt_type_text(&old->type, then), lvt_type_text(&s->type, now));
            return LVT_USER;
        }
        size_t bytes = lvt_type_bytes(&s->type);
        void *values = lvt_module_values(m, bytes);
        if (!values || !old->values)
            return lvt_no_memory(diag, NULL);
        memcpy(values, old->values, bytes);
        s->values = values;
        s->init = old->init;
    }
    return status;
}

static uint64_t ranks_of(const lvt_module *program) {
    for (uint32_t i = program->n_settings; i-- > 0;) /* the compiler's stands behind those of the model */
        if (!strcmp(program->settings[i].name, "ranks"))
            return strtoull(program->settings[i].value, NULL, 10);
    return 0;
}

static bool has_setting(const lvt_module *m, const char *name) {
    for (uint32_t i = 0; i < m->n_settings; i++)
        if (!strcmp(m->settings[i].name, name))
            return true;
    return false;
}

bool lvt_lvtc_is_program(const char *path) {
    char start[4] = {0};
    FILE *f = fopen(path, "rb");
    bool is = f && fread(start, 1, sizeof start, f) == sizeof start && !memcmp(start, "LVTX", sizeof start);
    if (f)
        fclose(f);
    return is;
}

lvt_status lvt_lvtc_settings(const lvt_lvtc_command *c, const char *models, lvt_setting_list *out,
                             lvt_diag *diag) {
    lvt_compiled *program = NULL;
    *out = (lvt_setting_list){0};
    LVT_TRY(lvt_program_read(c->input, &program, diag));
    lvt_status status =
        lvt_list_settings_again(program->module, c->settings, c->n_settings, models, out, diag);
    lvt_compiled_free(program);
    return status;
}

lvt_status lvt_lvtc_again(lvt_lvtc_command *c, const char *models, lvt_module **out, lvt_diag *diag) {
    lvt_compiled *program = NULL;
    *out = NULL;
    LVT_TRY(lvt_program_read(c->input, &program, diag));
    lvt_status status = lvt_compile_again(program->module, c->settings, c->n_settings, models, out, diag);
    if (status != LVT_OK)
        goto done;
    if (!c->weights && (status = carry_values(program->module, *out, c->input, diag)) != LVT_OK) {
        lvt_module_free(*out);
        *out = NULL;
        goto done;
    }
    if (!c->ranks && !has_setting(*out, "ranks")) {
        c->ranks = ranks_of(program->module);
        c->compile.ranks = (int)c->ranks;
    }
done:
    lvt_compiled_free(program);
    return status;
}
