/* lvtc: compiles a model file (or IR text) into a program for lvt-run.
 *
 * Invariant: results that were asked for (IR, dumps, reports) go to standard output or the named file, words
 * about them to standard error; the exit code is 0, 1 (the model or the system), 2 (the command line) or 70
 * (a bug). May not know: how anything is compiled. */
#include "command.h"
#include "help.h"
#include "frontend/language/language.h"
#include "frontend/onnx/export.h"
#include "frontend/onnx/import.h"
#include "ir/base/file.h"
#include "frontend/lvtc/again.h"
#include "frontend/lvtc/ops.h"
#include "frontend/lvtc/settings_list.h"
#include "ir/text.h"
#include "ir/program/weights.h"
#include "ir/base/file.h"
#include "ir/base/utf8.h"
#include "runtime/compiled.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct session {
    lvt_lvtc_command *command;
    lvt_status report_status; /* of writing reports to files */
    lvt_diag *diag;
} session;

static const char inference[] = "predict"; /* the entry beside a training step; see models/README.md */

/* The models folder beside the installed program, or that of the source tree, or NULL. The caller frees it.
 */
static char *find_models(void) {
    static const char tail[] = "../share/lvt/models";
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - sizeof tail);
    char *slash = NULL;
    if (n > 0) {
        self[n] = 0;
        slash = strrchr(self, '/');
    }
    if (slash) {
        strcpy(slash + 1, tail);
        if (!access(self, R_OK))
            return strdup(self);
    }
#ifdef LVT_MODELS_FOLDER
    if (!access(LVT_MODELS_FOLDER, R_OK))
        return strdup(LVT_MODELS_FOLDER);
#endif
    return NULL;
}

static lvt_status write_text(const char *path, const char *text, lvt_diag *diag) {
    if (path && strcmp(path, "-"))
        return lvt_file_write(NULL, path, text, strlen(text), diag);
    return fputs(text, stdout) >= 0 && fflush(stdout) == 0
               ? LVT_OK
               : lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "standard output: %s", strerror(errno));
}

/* "models/lvt-s.lvt", ".lvtx" -> "lvt-s.lvtx" */
static char *default_output(const char *input, const char *tail) {
    const char *base = strrchr(input, '/');
    base = base ? base + 1 : input;
    const char *dot = strrchr(base, '.');
    int n = dot && dot != base ? (int)(dot - base) : (int)strlen(base);
    size_t size = (size_t)n + strlen(tail) + 1;
    char *name = malloc(size);
    if (name)
        snprintf(name, size, "%.*s%s", n, base, tail);
    return name;
}

static void print_report(void *user, lvt_report kind, const char *title, const char *text) {
    session *s = user;
    const char *file = s->command->memory_file;
    if (kind == LVT_REPORT_MEMORY && file) {
        if (s->report_status == LVT_OK)
            s->report_status = write_text(file, text, s->diag);
        return;
    }
    if (kind == LVT_REPORT_DUMP) { /* to be read again: its own quotes keep names in order */
        printf("# after %s\n", title);
        fputs(text, stdout);
    } else {
        lvt_print("%s", text);
    }
}

static lvt_status read_text(const char *path, char **text, size_t *length, lvt_diag *diag) {
    FILE *f = !strcmp(path, "-") ? stdin : fopen(path, "rb");
    size_t cap = 0, n;
    *text = NULL;
    *length = 0;
    if (!f)
        return lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: %s", path, strerror(errno));
    do {
        if (*length + 65536 > cap) {
            char *grown = realloc(*text, cap = 2 * cap + 65536);
            if (!grown) {
                if (f != stdin)
                    fclose(f);
                return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "out of memory reading %s", path);
            }
            *text = grown;
        }
        n = fread(*text + *length, 1, 65536, f);
        *length += n;
    } while (n);
    bool failed = ferror(f);
    if (f != stdin)
        fclose(f);
    return failed ? lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: %s", path, strerror(errno)) : LVT_OK;
}

static lvt_status load_any(lvt_lvtc_command *c, lvt_module **m, lvt_diag *diag) {
    if (c->source == LVT_SOURCE_ONNX) {
        lvt_onnx_import options = {
            .settings = c->settings, .n_settings = c->n_settings, .freeze = c->freeze, .entry = c->entry};
        return lvt_onnx_import_file(c->input, &options, m, diag);
    }
    if (c->source == LVT_SOURCE_IR) {
        char *text;
        size_t length;
        lvt_status status = read_text(c->input, &text, &length, diag);
        if (status == LVT_OK && c->n_settings)
            status = lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "%s is IR text: its settings are fixed",
                               c->input);
        if (status == LVT_OK)
            status = lvt_read_module(c->input, text, length, m, diag);
        free(text);
        return status;
    }
    if (c->source == LVT_SOURCE_MODEL && lvt_lvtc_is_program(c->input))
        return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                         "%s is a compiled program; with a name that ends in .lvtx it is compiled again",
                         c->input);
    char *found = c->models ? NULL : find_models();
    const char *models = c->models ? c->models : found;
    lvt_status status = c->source == LVT_SOURCE_PROGRAM
                            ? lvt_lvtc_again(c, models, m, diag)
                            : lvt_compile_file(c->input, c->settings, c->n_settings, models, m, diag);
    free(found);
    return status;
}

/* With --weights the model's initial values are those of the file; the export without a map reads it itself,
 * for what a checkpoint says beside its values. */
static lvt_status load(lvt_lvtc_command *c, lvt_module **m, lvt_diag *diag) {
    lvt_status status = load_any(c, m, diag);
    if (status != LVT_OK || !c->weights || (c->emit == LVT_EMIT_ONNX && !c->map))
        return status;
    status = lvt_weights_load(*m, c->weights, c->map, diag);
    for (uint32_t i = 0; i < (*m)->n_states && status == LVT_OK; i++) {
        lvt_state *s = &(*m)->states[i];
        if (s->values)
            s->init = lvt_weights_init(s->values, lvt_type_bytes(&s->type));
    }
    if (status != LVT_OK) {
        lvt_module_free(*m);
        *m = NULL;
    }
    return status;
}

static lvt_status emit_ir(const lvt_lvtc_command *c, lvt_module *m, lvt_diag *diag) {
    char *text = lvt_print_module(m, NULL);
    lvt_status status = text ? write_text(c->output, text, diag) : lvt_no_memory(diag, "printing the module");
    free(text);
    return status;
}

static const char *exported_entry(const lvt_lvtc_command *c) {
    return c->entry ? c->entry : c->training_info ? "train" : inference;
}

/* The module as it is exported: differentiated and cleaned up, not fused. */
static lvt_status load_unfused(lvt_lvtc_command *c, lvt_module **m, lvt_diag *diag) {
    lvt_compile_options options = {.stop_after = "dce"};
    lvt_compiled *none = NULL;
    lvt_status status = load(c, m, diag);
    return status == LVT_OK ? lvt_compile(*m, &options, &none, diag) : status;
}

/* The model once more, with another batch; NULL where its entry has no batch of its own. */
static lvt_status load_other_batch(lvt_lvtc_command *c, const lvt_module *m, lvt_module **out,
                                   lvt_diag *diag) {
    const lvt_setting *batch =
        c->fixed_batch ? NULL : lvt_onnx_batch_setting(m, c->training_info ? inference : exported_entry(c));
    if (!batch)
        return LVT_OK;
    lvt_lvtc_command again = *c;
    char text[256];
    snprintf(text, sizeof text, "%s=%lld", batch->name, strtoll(batch->value, NULL, 10) + 3);
    again.settings = calloc(c->n_settings + 1, sizeof *again.settings);
    if (!again.settings)
        return lvt_no_memory(diag, NULL);
    memcpy(again.settings, c->settings, c->n_settings * sizeof *c->settings);
    again.settings[again.n_settings++] = text;
    lvt_diag *aside = lvt_diag_new(); /* warnings have been given at the first batch */
    lvt_status status = aside ? load_unfused(&again, out, aside) : lvt_no_memory(diag, NULL);
    if (status != LVT_OK)
        lvt_diag_move(diag, aside);
    lvt_diag_free(aside);
    free(again.settings);
    return status;
}

static lvt_status emit_onnx(lvt_lvtc_command *c, lvt_diag *diag) {
    lvt_module *m = NULL, *other = NULL;
    lvt_safetensors weights = {0};
    char *name = c->output ? NULL : default_output(c->input, ".onnx");
    bool std = c->output && !strcmp(c->output, "-");
    lvt_status status = load_unfused(c, &m, diag);
    if (status == LVT_OK)
        status = load_other_batch(c, m, &other, diag);
    if (status == LVT_OK && c->weights && !c->map)
        status = lvt_safetensors_read(c->weights, &weights, diag);
    lvt_onnx_options options = {.entry = exported_entry(c),
                                .path = std         ? "/dev/stdout"
                                        : c->output ? c->output
                                                    : name,
                                .version = lvt_version(),
                                .opset = (int)c->opset,
                                .seed = c->seed,
                                .weights = c->weights && !c->map ? &weights : NULL,
                                .weights_path = c->weights,
                                .external_bytes = (long long)c->external, /* none becomes -1 */
                                .training_info = c->training_info,
                                .inference = inference,
                                .with_preprocessing = c->preprocessing,
                                .mean = c->mean,
                                .deviation = c->deviation};
    if (status == LVT_OK && !options.path)
        status = lvt_no_memory(diag, NULL);
    if (status == LVT_OK)
        status = lvt_onnx_export(m, other, &options, diag);
    lvt_safetensors_free(&weights);
    if (other)
        lvt_module_free(other);
    if (m)
        lvt_module_free(m);
    free(name);
    return status;
}

/* One line on a terminal, over and over; nothing elsewhere. */
static lvt_status measure(void *user, const lvt_plan *plan, uint32_t step, const bool *steady,
                          unsigned variants, double *seconds, lvt_diag *diag) {
    lvt_tuner *tuner = user;
    size_t before = lvt_tuner_measured(tuner);
    lvt_status status = lvt_tuner_measure(tuner, plan, step, steady, variants, seconds, diag);
    if (lvt_tuner_measured(tuner) != before && isatty(STDERR_FILENO))
        fprintf(stderr, "\rmeasuring %s: %zu kernels", plan->graph->name, lvt_tuner_measured(tuner));
    return status;
}

static lvt_status compile_tuned(lvt_lvtc_command *c, lvt_module *m, lvt_compiled **program, lvt_diag *diag) {
    lvt_tuner *tuner = NULL;
    lvt_status status = lvt_tuner_new((int)c->threads, &tuner, diag);
    if (status != LVT_OK)
        return status;
    lvt_measure how = {measure, tuner, lvt_tuner_threads(tuner)};
    c->compile.measure = &how;
    status = lvt_compile(m, &c->compile, program, diag);
    c->compile.measure = NULL;
    if (lvt_tuner_measured(tuner) && isatty(STDERR_FILENO))
        fputs("\n", stderr);
    lvt_tuner_free(tuner);
    return status;
}

/* The inputs of all training entries go to `names`, if it is not NULL. Returns how many there are. */
static uint32_t training_inputs(const lvt_module *m, const char **names) {
    uint32_t n = 0;
    for (uint32_t e = 0; e < m->n_entries; e++)
        for (uint32_t i = 0; m->entries[e]->training && i < m->entries[e]->n_inputs; i++, n++)
            if (names)
                names[n] = m->entries[e]->inputs[i].name;
    return n;
}

/* Every name of --split is an input of some training entry; which entries divide it, pass shard sees. */
static lvt_status check_split(const lvt_module *m, const char *split, lvt_diag *diag) {
    uint32_t n = training_inputs(m, NULL);
    const char **names = calloc(n + 1u, sizeof *names);
    lvt_status status = names ? LVT_OK : lvt_no_memory(diag, NULL);
    if (names)
        training_inputs(m, names);
    for (const char *at = split; names && *at; at += strcspn(at, ","), at += *at == ',') {
        char name[64];
        bool found = false;
        snprintf(name, sizeof name, "%.*s", (int)strcspn(at, ","), at);
        for (uint32_t i = 0; i < n; i++)
            found |= !strcmp(names[i], name);
        if (found)
            continue;
        const char *near = lvt_nearest(name, names, n);
        status =
            lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "--split: no training entry has an input %s%s%s%s",
                      name, near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    }
    free(names);
    return status;
}

static lvt_status list_settings(const lvt_lvtc_command *c, lvt_diag *diag) {
    lvt_setting_list list = {0};
    char *found = c->models ? NULL : find_models();
    const char *models = c->models ? c->models : found;
    lvt_status status = c->source == LVT_SOURCE_PROGRAM
                            ? lvt_lvtc_settings(c, models, &list, diag)
                            : lvt_list_settings(c->input, c->settings, c->n_settings, models, &list, diag);
    if (status == LVT_OK)
        lvt_settings_print(stdout, &list);
    lvt_setting_list_free(&list);
    free(found);
    return status;
}

static lvt_status run(session *s) {
    lvt_lvtc_command *c = s->command;
    lvt_diag *diag = s->diag;
    if (c->list_settings)
        return list_settings(c, diag);
    if (c->emit == LVT_EMIT_ONNX)
        return emit_onnx(c, diag);
    lvt_module *m = NULL;
    lvt_compiled *program = NULL;
    bool ir = c->emit == LVT_EMIT_IR, whole = !c->compile.stop_after;
    lvt_status status = load(c, &m, diag);
    if (status != LVT_OK)
        return status;
    if (ir && whole && !c->compile.start_at) { /* as the model says it: nothing to run */
        status = emit_ir(c, m, diag);
        lvt_module_free(m);
        return status;
    }
    if (c->split_given)
        status = check_split(m, c->compile.split, diag);
    if (status == LVT_OK && c->compile.ranks > 1) {
        char text[16];
        snprintf(text, sizeof text, "%d", c->compile.ranks);
        if (!lvt_module_add_setting(m, "ranks", text))
            status = lvt_no_memory(diag, NULL);
    }
    if (status == LVT_OK)
        status = c->tune ? compile_tuned(c, m, &program, diag) : lvt_compile(m, &c->compile, &program, diag);
    status = status == LVT_OK ? s->report_status : status;
    if (status == LVT_OK && (ir || !program)) {
        if (ir || !c->compile.dump_after)
            status = emit_ir(c, m, diag);
    } else if (status == LVT_OK) {
        char *name = c->output ? NULL : default_output(c->input, ".lvtx");
        const char *path = c->output ? c->output : name;
        if (!path)
            status = lvt_no_memory(diag, NULL);
        else if (!strcmp(path, "-"))
            status = lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE,
                               "a program goes into a file, not to standard output");
        else
            status = lvt_program_publish(program, path, diag);
        free(name);
    }
    if (program)
        lvt_compiled_free(program);
    else
        lvt_module_free(m);
    return status;
}

/* What the command line asks for. */
static lvt_status act(session *s, char **argv) {
    lvt_lvtc_command *c = s->command;
    switch (c->action) {
    case LVT_LVTC_HELP:
        lvt_lvtc_help(stdout);
        return LVT_OK;
    case LVT_LVTC_VERSION:
        printf("lvtc %s\n", lvt_version());
        return LVT_OK;
    case LVT_LVTC_PASSES:
        for (const lvt_pass_info *p = lvt_pass_table; p->name; p++)
            printf("%-16s %s\n", p->name, p->purpose);
        return LVT_OK;
    case LVT_LVTC_COMPLETION:
        lvt_lvtc_completion(stdout);
        return LVT_OK;
    case LVT_LVTC_OPS:
        return lvt_lvtc_ops(stdout, c->input, s->diag);
    case LVT_LVTC_COMPILE:
        break;
    }
    if (c->tune && lvt_choose_waiting((int)c->threads))
        execv("/proc/self/exe", argv); /* when it returns, there is no /proc: go on as we are */
    c->compile.report = print_report;
    c->compile.user = s;
    return run(s);
}

int main(int argc, char **argv) {
    if (!lvt_fd_standard()) /* nobody can be told */
        return 1;
    lvt_lvtc_command command;
    session s = {.command = &command, .diag = lvt_diag_new()};
    if (!s.diag) {
        fputs("lvtc: out of memory\n", stderr);
        return 1;
    }
    lvt_status status = lvt_lvtc_parse(&command, argc, argv, s.diag);
    if (status == LVT_OK)
        status = act(&s, argv);
    if (fflush(stdout) && status == LVT_OK)
        status = lvt_error(s.diag, LVT_IO, NULL, LVT_NOWHERE, "standard output: %s", strerror(errno));
    char *words = lvt_diag_text(s.diag);
    bool lost = !words || (status != LVT_OK && !*words); /* no memory for the words either */
    fputs(lost ? "lvtc: out of memory\n" : words, stderr);
    free(words);
    free(command.settings);
    lvt_diag_free(s.diag);
    return lvt_exit_code(status);
}
