/* lvtc: compiles a model file (or IR text) into a program for lvt-run.
 *
 * Invariant: results that were asked for (IR, dumps, reports) go to standard output or the named file, words
 * about them to standard error; the exit code is 0, 1 (the model or the system), 2 (the command line) or 70
 * (a bug). May not know: how anything is compiled. */
#include "frontend/help.h"
#include "frontend/language/language.h"
#include "frontend/onnx/export.h"
#include "frontend/onnx/import.h"
#include "ir/text.h"
#include "ir/weights.h"
#include "passes/pass.h"
#include "runtime/lvt.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

typedef struct command {
    const char *input, *output, *emit, *models;
    const char *memory_file;  /* where the memory report goes; NULL: standard output */
    lvt_status report_status; /* of writing it */
    lvt_diag *diag;
    const char **settings;
    size_t n_settings;
    lvt_compile_options compile;
    const char *entry, *weights, *map; /* entry and weights: of --emit=onnx too, as what follows */
    int opset;
    bool fixed_batch, freeze, entry_given, training_info, preprocessing;
    const char *mean, *deviation;
    long long external;
    unsigned long long seed;
    bool tune;
    int threads; /* of --tune; 0: all processors */
} command;

static const char inference[] = "predict"; /* the entry beside a training step; see models/README.md */

enum {
    OPT_SET = 256,
    OPT_EMIT,
    OPT_MODELS,
    OPT_STOP,
    OPT_START,
    OPT_DUMP,
    OPT_EACH,
    OPT_TIME,
    OPT_LIMIT,
    OPT_EXPLAIN,
    OPT_MEMORY,
    OPT_BUDGET,
    OPT_PASSES,
    OPT_ENTRY,
    OPT_WEIGHTS,
    OPT_MAP,
    OPT_OPSET,
    OPT_FIXED,
    OPT_TRAINING,
    OPT_PREPROCESSING,
    OPT_MEAN,
    OPT_DEVIATION,
    OPT_EXTERNAL,
    OPT_SEED,
    OPT_FREEZE,
    OPT_EXACT,
    OPT_TUNE,
    OPT_THREADS,
    OPT_RANKS,
    OPT_SPLIT,
    OPT_VERSION
};

static const struct option long_options[] = {{"output", required_argument, NULL, 'o'},
                                             {"set", required_argument, NULL, OPT_SET},
                                             {"emit", required_argument, NULL, OPT_EMIT},
                                             {"models", required_argument, NULL, OPT_MODELS},
                                             {"explain", no_argument, NULL, OPT_EXPLAIN},
                                             {"memory-report", optional_argument, NULL, OPT_MEMORY},
                                             {"memory-budget", required_argument, NULL, OPT_BUDGET},
                                             {"time-passes", no_argument, NULL, OPT_TIME},
                                             {"stop-after", required_argument, NULL, OPT_STOP},
                                             {"start-at", required_argument, NULL, OPT_START},
                                             {"dump-after", required_argument, NULL, OPT_DUMP},
                                             {"verify-each", no_argument, NULL, OPT_EACH},
                                             {"pass-limit", required_argument, NULL, OPT_LIMIT},
                                             {"passes", no_argument, NULL, OPT_PASSES},
                                             {"help", no_argument, NULL, 'h'},
                                             {"version", no_argument, NULL, OPT_VERSION},
                                             {"entry", required_argument, NULL, OPT_ENTRY},
                                             {"weights", required_argument, NULL, OPT_WEIGHTS},
                                             {"map", required_argument, NULL, OPT_MAP},
                                             {"opset", required_argument, NULL, OPT_OPSET},
                                             {"fixed-batch", no_argument, NULL, OPT_FIXED},
                                             {"training-info", no_argument, NULL, OPT_TRAINING},
                                             {"with-preprocessing", no_argument, NULL, OPT_PREPROCESSING},
                                             {"mean", required_argument, NULL, OPT_MEAN},
                                             {"deviation", required_argument, NULL, OPT_DEVIATION},
                                             {"external-data", required_argument, NULL, OPT_EXTERNAL},
                                             {"seed", required_argument, NULL, OPT_SEED},
                                             {"freeze", no_argument, NULL, OPT_FREEZE},
                                             {"exact", no_argument, NULL, OPT_EXACT},
                                             {"tune", no_argument, NULL, OPT_TUNE},
                                             {"threads", required_argument, NULL, OPT_THREADS},
                                             {"ranks", required_argument, NULL, OPT_RANKS},
                                             {"split", required_argument, NULL, OPT_SPLIT},
                                             {0}};

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

static bool ends_with(const char *s, const char *tail) {
    size_t n = strlen(s), m = strlen(tail);
    return n >= m && !strcmp(s + n - m, tail);
}

static lvt_status write_text(const char *path, const char *text, lvt_diag *diag) {
    bool std = !path || !strcmp(path, "-");
    FILE *f = std ? stdout : fopen(path, "w");
    bool ok = f && fputs(text, f) >= 0 && fflush(f) == 0;
    if (f && !std)
        ok = fclose(f) == 0 && ok;
    return ok ? LVT_OK
              : lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: %s", std ? "standard output" : path,
                          strerror(errno));
}

static lvt_status usage(lvt_diag *diag, const char *what, const char *value) {
    return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, what, value);
}

static lvt_status unknown_option(lvt_diag *diag, const char *given) {
    const char *names[sizeof long_options / sizeof *long_options];
    char word[64];
    size_t n = 0, length = strcspn(given, "=");
    for (; long_options[n].name; n++)
        names[n] = long_options[n].name;
    lvt_status status = usage(diag, "option '%s' is unknown or lacks its value; see lvtc --help", given);
    if (!strncmp(given, "--", 2) && length - 2 < sizeof word) {
        snprintf(word, sizeof word, "%.*s", (int)length - 2, given + 2);
        const char *near = lvt_nearest(word, names, n);
        if (near)
            lvt_note(diag, LVT_NOWHERE, "did you mean '--%s'?", near);
    }
    return status;
}

/* "300M", "1.5G", "400000" bytes; false when it is no size. */
static bool parse_size(const char *text, uint64_t *out) {
    static const char units[] = "KMG";
    char *end;
    double n = strtod(text, &end);
    if (end == text || !(n > 0) || n > 1e15 || strspn(text, "0123456789.") != (size_t)(end - text))
        return false;
    const char *unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
    for (ptrdiff_t i = 0; unit && i <= unit - units; i++)
        n *= 1000;
    end += unit ? 1 : 0;
    if (unit && !strcasecmp(end, "iB"))
        for (ptrdiff_t i = 0; i <= unit - units; i++)
            n *= 1.024;
    else if (*end && strcasecmp(end, "B"))
        return false;
    *out = (uint64_t)n;
    return n >= 1 && n < 1e18;
}

static lvt_status parse(command *c, int argc, char **argv, lvt_diag *diag, bool *done) {
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "o:h", long_options, NULL)) != -1) {
        switch (option) {
        case 'o':
            c->output = optarg;
            break;
        case OPT_SET:
            if (!strchr(optarg, '=') || optarg[0] == '=')
                return usage(diag, "--set wants NAME=VALUE, not '%s'", optarg);
            c->settings[c->n_settings++] = optarg;
            break;
        case OPT_EMIT:
            if (strcmp(optarg, "ir") && strcmp(optarg, "program") && strcmp(optarg, "onnx"))
                return usage(diag, "--emit wants ir, onnx or program, not '%s'", optarg);
            c->emit = optarg;
            break;
        case OPT_MODELS:
            c->models = optarg;
            break;
        case OPT_STOP:
            c->compile.stop_after = optarg;
            break;
        case OPT_START:
            c->compile.start_at = optarg;
            break;
        case OPT_DUMP:
            c->compile.dump_after = optarg;
            break;
        case OPT_EACH:
            c->compile.verify_each = true;
            break;
        case OPT_TIME:
            c->compile.time_passes = true;
            break;
        case OPT_EXPLAIN:
            c->compile.explain = true;
            break;
        case OPT_MEMORY:
            c->memory_file = optarg;
            c->compile.memory_report = !optarg                      ? LVT_MEMORY_TEXT
                                       : ends_with(optarg, ".svg")  ? LVT_MEMORY_SVG
                                       : ends_with(optarg, ".json") ? LVT_MEMORY_JSON
                                                                    : LVT_MEMORY_TEXT;
            break;
        case OPT_BUDGET:
            if (!parse_size(optarg, &c->compile.memory_budget))
                return usage(diag, "--memory-budget wants a size such as 300M or 1.5G, not '%s'", optarg);
            break;
        case OPT_RANKS: {
            char *end;
            long n = strtol(optarg, &end, 10);
            if (*end || end == optarg || n < 1 || n > LVT_MAX_RANKS)
                return usage(diag, "--ranks wants a number of processes, not '%s'", optarg);
            c->compile.ranks = (int)n;
            break;
        }
        case OPT_SPLIT:
            c->compile.split = optarg;
            break;
        case OPT_LIMIT: {
            char *end;
            long n = strtol(optarg, &end, 10);
            if (*end || end == optarg || n < 1 || n > 1000000)
                return usage(diag, "--pass-limit wants a number from 1, not '%s'", optarg);
            c->compile.pass_limit = (int)n;
            break;
        }
        case OPT_ENTRY:
            c->entry = optarg;
            c->entry_given = true;
            break;
        case OPT_WEIGHTS:
            c->weights = optarg;
            break;
        case OPT_MAP:
            c->map = optarg;
            break;
        case OPT_OPSET:
        case OPT_EXTERNAL:
        case OPT_SEED: {
            char *end;
            errno = 0;
            unsigned long long n = strtoull(optarg, &end, 10);
            if (*end || end == optarg || errno || *optarg == '-' || (option == OPT_EXTERNAL && n > LLONG_MAX))
                return usage(diag, "a whole number is wanted, not '%s'", optarg);
            if (option == OPT_OPSET && (n < LVT_ONNX_MIN_OPSET || n > LVT_ONNX_MAX_OPSET))
                return usage(diag, "--opset goes from 13 to 21, not '%s'", optarg);
            if (option == OPT_OPSET)
                c->opset = (int)n;
            else if (option == OPT_SEED)
                c->seed = n;
            else
                c->external = (long long)n;
            break;
        }
        case OPT_FREEZE:
            c->freeze = true;
            break;
        case OPT_TUNE:
            c->tune = true;
            break;
        case OPT_THREADS: {
            char *end;
            long n = strtol(optarg, &end, 10);
            if (*end || end == optarg || n < 1 || n > 1024)
                return usage(diag, "--threads wants a number from 1, not '%s'", optarg);
            c->threads = (int)n;
            break;
        }
        case OPT_EXACT:
            c->compile.exact = true;
            break;
        case OPT_FIXED:
            c->fixed_batch = true;
            break;
        case OPT_TRAINING:
            c->training_info = true;
            break;
        case OPT_PREPROCESSING:
            c->preprocessing = true;
            break;
        case OPT_MEAN:
            c->mean = optarg;
            break;
        case OPT_DEVIATION:
            c->deviation = optarg;
            break;
        case OPT_PASSES:
            for (const lvt_pass_info *p = lvt_pass_table; p->name; p++)
                printf("%-16s %s\n", p->name, p->purpose);
            *done = true;
            return LVT_OK;
        case OPT_VERSION:
            puts("lvtc " LVT_VERSION);
            *done = true;
            return LVT_OK;
        case 'h':
            lvt_lvtc_help(stdout);
            *done = true;
            return LVT_OK;
        default:
            return unknown_option(diag, argv[optind - 1]);
        }
    }
    if (optind == argc)
        return usage(diag, "no model file is given; see lvtc --help%s", "");
    if (optind + 1 < argc)
        return usage(diag, "one model file at a time; '%s' is too many", argv[optind + 1]);
    if (c->map && !c->weights)
        return usage(diag, "--map says how names of --weights are read%s", "");
    c->input = argv[optind];
    if (c->threads && !c->tune)
        return usage(diag, "--threads says with how many threads --tune measures%s", "");
    if (!c->entry)
        c->entry = c->training_info ? "train" : inference;
    return LVT_OK;
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
    command *c = user;
    if (kind == LVT_REPORT_MEMORY && c->memory_file) {
        if (c->report_status == LVT_OK)
            c->report_status = write_text(c->memory_file, text, c->diag);
        return;
    }
    if (kind == LVT_REPORT_DUMP)
        printf("# after %s\n", title);
    fputs(text, stdout);
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

static lvt_status load_onnx(const command *c, lvt_module **m, lvt_diag *diag) {
    lvt_onnx_import options = {.settings = c->settings, .n_settings = c->n_settings, .freeze = c->freeze};
    if (c->entry_given)
        options.entry = c->entry;
    return lvt_onnx_import_file(c->input, &options, m, diag);
}

static lvt_status load_any(const command *c, lvt_module **m, lvt_diag *diag) {
    if (ends_with(c->input, ".onnx"))
        return load_onnx(c, m, diag);
    if (c->compile.start_at || ends_with(c->input, ".lvtir")) {
        char *text;
        size_t length;
        lvt_status status = read_text(c->input, &text, &length, diag);
        if (status == LVT_OK && c->n_settings)
            status = usage(diag, "%s is IR text: its settings are fixed", c->input);
        if (status == LVT_OK)
            status = lvt_read_module(c->input, text, length, m, diag);
        free(text);
        return status;
    }
    char *found = c->models ? NULL : find_models();
    lvt_status status =
        lvt_compile_file(c->input, c->settings, c->n_settings, c->models ? c->models : found, m, diag);
    free(found);
    return status;
}

/* With --weights the model's initial values are those of the file; the export without a map reads it itself,
 * for what a checkpoint says beside its values. */
static lvt_status load(const command *c, lvt_module **m, lvt_diag *diag) {
    lvt_status status = load_any(c, m, diag);
    bool exported = c->emit && !strcmp(c->emit, "onnx");
    if (status != LVT_OK || !c->weights || (exported && !c->map))
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

static lvt_status emit_ir(const command *c, lvt_module *m, lvt_diag *diag) {
    char *text = lvt_print_module(m, NULL);
    lvt_status status =
        text ? write_text(c->output, text, diag)
             : lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "out of memory printing the module");
    free(text);
    return status;
}

/* The module as it is exported: differentiated and cleaned up, not fused. */
static lvt_status load_unfused(const command *c, lvt_module **m, lvt_diag *diag) {
    lvt_compile_options options = {.stop_after = "dce"};
    lvt_compiled *none = NULL;
    lvt_status status = load(c, m, diag);
    return status == LVT_OK ? lvt_compile(*m, &options, &none, diag) : status;
}

/* The model once more, with another batch; NULL where its entry has no batch of its own. */
static lvt_status load_other_batch(const command *c, const lvt_module *m, lvt_module **out, lvt_diag *diag) {
    const lvt_setting *batch =
        c->fixed_batch ? NULL : lvt_onnx_batch_setting(m, c->training_info ? inference : c->entry);
    if (!batch)
        return LVT_OK;
    command again = *c;
    char text[256];
    snprintf(text, sizeof text, "%s=%lld", batch->name, strtoll(batch->value, NULL, 10) + 3);
    again.settings = calloc(c->n_settings + 1, sizeof *again.settings);
    if (!again.settings)
        return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "out of memory");
    memcpy(again.settings, c->settings, c->n_settings * sizeof *c->settings);
    again.settings[again.n_settings++] = text;
    lvt_status status = load_unfused(&again, out, diag);
    free(again.settings);
    return status;
}

static lvt_status emit_onnx(const command *c, lvt_diag *diag) {
    lvt_module *m = NULL, *other = NULL;
    lvt_safetensors weights = {0};
    char *name = c->output ? NULL : default_output(c->input, ".onnx");
    lvt_status status = load_unfused(c, &m, diag);
    if (status == LVT_OK)
        status = load_other_batch(c, m, &other, diag);
    if (status == LVT_OK && c->weights && !c->map)
        status = lvt_safetensors_read(c->weights, &weights, diag);
    lvt_onnx_options options = {.entry = c->entry,
                                .path = c->output ? c->output : name,
                                .version = LVT_VERSION,
                                .opset = c->opset,
                                .seed = c->seed,
                                .weights = c->weights && !c->map ? &weights : NULL,
                                .weights_path = c->weights,
                                .external_bytes = c->external,
                                .training_info = c->training_info,
                                .inference = inference,
                                .with_preprocessing = c->preprocessing,
                                .mean = c->mean,
                                .deviation = c->deviation};
    if (status == LVT_OK && !options.path)
        status = lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "out of memory");
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

static lvt_status compile_tuned(command *c, lvt_module *m, lvt_compiled **program, lvt_diag *diag) {
    lvt_tuner *tuner = NULL;
    lvt_status status = lvt_tuner_new(c->threads, &tuner, diag);
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

static lvt_status run(command *c, lvt_diag *diag) {
    if (c->emit && !strcmp(c->emit, "onnx"))
        return emit_onnx(c, diag);
    lvt_module *m = NULL;
    lvt_compiled *program = NULL;
    bool ir = c->emit && !strcmp(c->emit, "ir"), whole = !c->compile.stop_after;
    lvt_status status = load(c, &m, diag);
    if (status != LVT_OK)
        return status;
    if (ir && whole && !c->compile.start_at) { /* as the model says it: nothing to run */
        status = emit_ir(c, m, diag);
        lvt_module_free(m);
        return status;
    }
    if (c->compile.ranks > 1) {
        char text[16];
        snprintf(text, sizeof text, "%d", c->compile.ranks);
        if (!lvt_module_add_setting(m, "ranks", text))
            status = lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "out of memory");
    }
    if (status == LVT_OK)
        status = c->tune ? compile_tuned(c, m, &program, diag) : lvt_compile(m, &c->compile, &program, diag);
    status = status == LVT_OK ? c->report_status : status;
    if (status == LVT_OK && (ir || !program)) {
        if (ir || !c->compile.dump_after)
            status = emit_ir(c, m, diag);
    } else if (status == LVT_OK) {
        char *name = c->output ? NULL : default_output(c->input, ".lvtx");
        const char *path = c->output ? c->output : name;
        if (!path)
            status = lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "out of memory");
        else
            status = lvt_weights_write(m, path, diag);
        if (status == LVT_OK)
            status = lvt_program_write(program, path, diag);
        free(name);
    }
    if (program)
        lvt_compiled_free(program);
    else
        lvt_module_free(m);
    return status;
}

int main(int argc, char **argv) {
    lvt_diag *diag = lvt_diag_new();
    command c = {.settings = calloc((size_t)argc + 1, sizeof *c.settings),
                 .opset = LVT_ONNX_DEFAULT_OPSET,
                 .external = -1,
                 .seed = 1,
                 .compile.split =
                     "x,y,y2,mix,xm,ym,zm,zm_mask" /* models/README.md, what the driver feeds */};
    bool done = false;
    if (!diag || !c.settings) {
        fputs("lvtc: out of memory\n", stderr);
        lvt_diag_free(diag);
        free(c.settings);
        return 1;
    }
    c.compile.report = print_report;
    c.compile.user = &c;
    c.diag = diag;
    lvt_status status = parse(&c, argc, argv, diag, &done);
    if (status == LVT_OK && !done && c.tune && lvt_choose_waiting(c.threads))
        execv("/proc/self/exe", argv); /* when it returns, there is no /proc: go on as we are */
    if (status == LVT_OK && !done)
        status = run(&c, diag);
    if (fflush(stdout) && status == LVT_OK)
        status = lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "standard output: %s", strerror(errno));
    char *words = lvt_diag_text(diag);
    fputs(words ? words : "lvtc: out of memory\n", stderr);
    free(words);
    free(c.settings);
    lvt_diag_free(diag);
    return lvt_exit_code(status);
}
