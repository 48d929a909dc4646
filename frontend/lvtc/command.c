/* The options of lvtc: one row each. What has an effect of its own has a function in its row.
 *
 * Invariant: an option without effect in the company it is given in is refused, never ignored.
 * May not know: how anything is compiled, models, files. */
#include "command.h"
#include "ir/base/c_locale.h"
#include "frontend/onnx/export.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef enum kind {
    FLAG,    /* a bool becomes true */
    TEXT,    /* a string */
    NUMBER,  /* a uint64_t of least to most */
    ACTION,  /* `least` says which; ends the reading */
    SPECIAL, /* `take` */
    MAYBE,   /* the same; the value may be missing and is NULL then */
} kind;

/* What an option has no effect without. */
typedef enum company {
    ANY,
    PASSES,       /* all of them, or those that --stop-after and --start-at leave */
    NO_EXPORT,    /* an export runs its own choice of passes */
    EXPORT,       /* --emit=onnx */
    ENTRY_CHOICE, /* one entry is written or read */
    MODEL_FILE,
    SOURCES,
    ONNX_FILE,
    WEIGHTS,
    TUNING,
    RANKS,
} company;

typedef struct row {
    const char *name;
    kind kind;
    size_t at; /* the member of lvt_lvtc_command */
    uint64_t least, most;
    const char *wants;                                    /* the value in words */
    bool (*take)(lvt_lvtc_command *c, const char *value); /* false: it is not what the option wants */
    company with;
    const char *pass; /* which alone looks at it; NULL: none, or several */
    /* What a shell may offer as its value. Where it says nothing a TEXT is a file. */
    const char *const *words; /* ends in NULL */
    bool names_pass, no_file;
} row;

static bool ends_with(const char *s, const char *tail) {
    size_t n = strlen(s), m = strlen(tail);
    return n >= m && !strcmp(s + n - m, tail);
}

static bool take_setting(lvt_lvtc_command *c, const char *value) {
    if (!strchr(value, '=') || value[0] == '=')
        return false;
    c->settings[c->n_settings++] = value;
    return true;
}

static const char *const emit_names[] = {
    [LVT_EMIT_PROGRAM] = "program", [LVT_EMIT_IR] = "ir", [LVT_EMIT_ONNX] = "onnx", NULL};

static bool take_emit(lvt_lvtc_command *c, const char *value) {
    for (size_t i = 0; emit_names[i]; i++) {
        if (!strcmp(emit_names[i], value)) {
            c->emit = (lvt_lvtc_emit)i;
            c->emit_given = true;
            return true;
        }
    }
    return false;
}

static bool take_split(lvt_lvtc_command *c, const char *value) {
    c->compile.split = value;
    c->split_given = true;
    return *value;
}

static bool take_ops(lvt_lvtc_command *c, const char *value) {
    c->action = LVT_LVTC_OPS;
    c->input = value;
    return true;
}

static bool take_memory_report(lvt_lvtc_command *c, const char *value) {
    c->memory_file = value;
    c->compile.memory_report = value && ends_with(value, ".svg")    ? LVT_MEMORY_SVG
                               : value && ends_with(value, ".json") ? LVT_MEMORY_JSON
                                                                    : LVT_MEMORY_TEXT;
    return true;
}

/* "300M", "1.5G", "400000" bytes. */
static bool take_budget(lvt_lvtc_command *c, const char *text) {
    static const char units[] = "KMG";
    char *end;
    double n = lvt_strtod(text, &end);
    if (end == text || !(n > 0) || n > 1e15 || strspn(text, "0123456789.") != (size_t)(end - text))
        return false;
    const char *unit = *end ? strchr(units, lvt_to_upper(*end)) : NULL;
    for (ptrdiff_t i = 0; unit && i <= unit - units; i++)
        n *= 1000;
    end += unit ? 1 : 0;
    if (unit && lvt_same_word(end, "iB"))
        for (ptrdiff_t i = 0; i <= unit - units; i++)
            n *= 1.024;
    else if (*end && !lvt_same_word(end, "B"))
        return false;
    c->compile.memory_budget = (uint64_t)n;
    return n >= 1 && n < 1e18;
}

#define AT(member) offsetof(lvt_lvtc_command, member)

static const row rows[] = {
    {"output", TEXT, AT(output)}, /* the one with a letter, too: -o */
    {"set", SPECIAL, .wants = "NAME=VALUE", .take = take_setting},
    {"models", TEXT, AT(models), .with = MODEL_FILE},
    {"settings", FLAG, AT(list_settings), .with = SOURCES},
    {"emit", SPECIAL, .wants = "ir, onnx or program", .take = take_emit, .words = emit_names},
    {"tune", FLAG, AT(tune), .with = PASSES, .pass = "choose"},
    {"threads", NUMBER, AT(threads), 1, 1024, "a number from 1", .with = TUNING},
    {"exact", FLAG, AT(compile.exact), .with = PASSES, .pass = "choose"},
    {"weights", TEXT, AT(weights)},
    {"map", TEXT, AT(map), .with = WEIGHTS},
    {"entry", TEXT, AT(entry), .with = ENTRY_CHOICE, .no_file = true},
    {"training-info", FLAG, AT(training_info), .with = EXPORT},
    {"with-preprocessing", FLAG, AT(preprocessing), .with = EXPORT},
    {"mean", TEXT, AT(mean), .with = EXPORT, .no_file = true},
    {"deviation", TEXT, AT(deviation), .with = EXPORT, .no_file = true},
    {"seed", NUMBER, AT(seed), 0, UINT64_MAX, "a whole number", .with = EXPORT},
    {"opset", NUMBER, AT(opset), LVT_ONNX_MIN_OPSET, LVT_ONNX_MAX_OPSET, "13 to 24", .with = EXPORT},
    {"fixed-batch", FLAG, AT(fixed_batch), .with = EXPORT},
    {"external-data", NUMBER, AT(external), 0, LLONG_MAX, "a number of bytes", .with = EXPORT},
    {"freeze", FLAG, AT(freeze), .with = ONNX_FILE},
    {"ranks", NUMBER, AT(ranks), 1, LVT_MAX_RANKS, "a number of processes", .with = PASSES, .pass = "shard"},
    {"split", SPECIAL, .wants = "names of inputs, such as x,y", .take = take_split, .with = RANKS},
    {"explain", FLAG, AT(compile.explain), .with = PASSES},
    {"memory-report", MAYBE, .take = take_memory_report, .with = PASSES, .pass = "plan"},
    {"memory-budget", SPECIAL, .wants = "a size such as 300M or 1.5G", .take = take_budget, .with = PASSES,
     .pass = "remat"},
    {"time-passes", FLAG, AT(compile.time_passes), .with = PASSES},
    {"stop-after", TEXT, AT(compile.stop_after), .with = NO_EXPORT, .names_pass = true},
    {"start-at", TEXT, AT(compile.start_at), .with = NO_EXPORT, .names_pass = true},
    {"dump-after", TEXT, AT(compile.dump_after), .with = PASSES, .names_pass = true},
    {"verify-each", FLAG, AT(compile.verify_each), .with = PASSES},
    {"pass-limit", NUMBER, AT(pass_limit), 1, 1000000, "a number from 1", .with = PASSES},
    {"passes", ACTION, .least = LVT_LVTC_PASSES},
    {"ops", MAYBE, .take = take_ops},
    {"version", ACTION, .least = LVT_LVTC_VERSION},
    {"completion", ACTION, .least = LVT_LVTC_COMPLETION}, /* for the shell, which nobody types */
    {"help", ACTION, .least = LVT_LVTC_HELP},
};
enum { N_ROWS = sizeof rows / sizeof *rows };

void lvt_lvtc_completion(FILE *to) {
    for (size_t i = 0; i < N_ROWS; i++) {
        const row *r = &rows[i];
        if (r->kind == ACTION && r->least == LVT_LVTC_COMPLETION)
            continue;
        bool value = r->kind != FLAG && r->kind != ACTION;
        fprintf(to, "--%s%s", r->name, !value ? "" : r->kind == MAYBE ? " ?" : " =");
        for (const char *const *w = r->words; w && *w; w++)
            fprintf(to, " %s", *w);
        for (const lvt_pass_info *p = lvt_pass_table; r->names_pass && p->name; p++)
            fprintf(to, " %s", p->name);
        bool file = r->kind == TEXT && !r->words && !r->names_pass && !r->no_file;
        fprintf(to, "%s\n", file ? " @" : "");
    }
}

static bool take_number(const row *r, const char *text, uint64_t *out) {
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    *out = n;
    return lvt_is_digit(*text) && !*end && !errno && n >= r->least && n <= r->most;
}

/* False: the value is not what the option wants. */
static bool take(lvt_lvtc_command *c, const row *r, const char *value) {
    void *at = (char *)c + r->at;
    switch (r->kind) {
    case FLAG:
        *(bool *)at = true;
        return true;
    case TEXT:
        *(const char **)at = value;
        return true;
    case NUMBER:
        return take_number(r, value, at);
    case ACTION:
        c->action = (lvt_lvtc_action)r->least;
        return true;
    case SPECIAL:
    case MAYBE:
        return r->take(c, value);
    }
    return false;
}

static lvt_status usage(lvt_diag *diag, const char *what) {
    return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "%s", what);
}

static lvt_status wrong_option(lvt_diag *diag, const char *given, bool known) {
    const char *names[N_ROWS];
    char word[64];
    size_t length = strcspn(given, "=");
    for (size_t n = 0; n < N_ROWS; n++)
        names[n] = rows[n].name;
    lvt_status status = lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "option '%s' %s; see lvtc --help",
                                  given, known ? "needs a value" : "is unknown");
    if (!known && !strncmp(given, "--", 2) && length - 2 < sizeof word) {
        snprintf(word, sizeof word, "%.*s", (int)length - 2, given + 2);
        const char *near = lvt_nearest(word, names, N_ROWS);
        if (near)
            lvt_note(diag, LVT_NOWHERE, "did you mean '--%s'?", near);
    }
    return status;
}

/* Words for what is missing, or NULL: the option has its effect. */
static const char *lacking(const lvt_lvtc_command *c, company with) {
    bool export = c->emit == LVT_EMIT_ONNX;
    bool untouched = c->emit == LVT_EMIT_IR && !c->compile.stop_after && !c->compile.start_at;
    bool onnx = c->source == LVT_SOURCE_ONNX;
    const struct {
        bool here;
        const char *words;
    } all[] = {
        [ANY] = {true, ""},
        [PASSES] = {!export && !untouched, "a program, or with --emit=ir --stop-after=PASS"},
        [NO_EXPORT] = {!export, "a program or --emit=ir"},
        [EXPORT] = {export, "--emit=onnx"},
        [ENTRY_CHOICE] = {export || onnx, "--emit=onnx or an ONNX file: a program has all entries"},
        [MODEL_FILE] = {c->source == LVT_SOURCE_MODEL, "a model file, which alone imports others"},
        [SOURCES] = {c->source == LVT_SOURCE_MODEL || c->source == LVT_SOURCE_PROGRAM,
                     "a model file or a program that holds one"},
        [ONNX_FILE] = {onnx, "an ONNX file"},
        [WEIGHTS] = {c->weights, "--weights"},
        [TUNING] = {c->tune, "--tune"},
        [RANKS] = {c->ranks, "--ranks"},
    };
    return all[with].here ? NULL : all[with].words;
}

static int place_of(const char *pass) {
    for (int i = 0; pass && lvt_pass_table[i].name; i++)
        if (!strcmp(lvt_pass_table[i].name, pass))
            return i;
    return -1;
}

/* Whether --start-at and --stop-after leave this pass; those from layout on run in any case, see lvt_compile.
 * Of unknown names lvt_compile speaks. */
static bool runs(const lvt_compile_options *o, const char *pass) {
    int at = place_of(pass), first = place_of(o->start_at), last = place_of(o->stop_after);
    return (first <= at || at >= place_of("layout")) && (last < 0 || at <= last);
}

/* Which kind the input is: by the end of its name, or because a pass is named that takes it up. */
static lvt_lvtc_source source_of(const lvt_lvtc_command *c) {
    static const struct {
        const char *ending;
        lvt_lvtc_source source;
    } endings[] = {{".onnx", LVT_SOURCE_ONNX}, {".lvtx", LVT_SOURCE_PROGRAM}, {".lvtir", LVT_SOURCE_IR}};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (ends_with(c->input, endings[i].ending))
            return endings[i].source;
    return c->compile.start_at ? LVT_SOURCE_IR : LVT_SOURCE_MODEL;
}

/* What has to agree, and what follows. given: a mark for each row. */
static lvt_status finish(lvt_lvtc_command *c, const bool *given, int n, char **files, lvt_diag *diag) {
    if (!n)
        return usage(diag, "no model file is given; see lvtc --help");
    if (n > 1)
        return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "one model file at a time; '%s' is too many",
                         files[1]);
    c->input = files[0];
    if (!c->emit_given && c->output && ends_with(c->output, ".onnx"))
        c->emit = LVT_EMIT_ONNX; /* nobody wants a program of that name */
    c->source = source_of(c);
    if (c->source == LVT_SOURCE_PROGRAM) {
        if (!c->emit_given && c->emit != LVT_EMIT_ONNX && !c->list_settings)
            return lvt_error(
                diag, LVT_USAGE, NULL, LVT_NOWHERE,
                "%s is a compiled program: lvt-run runs it; --emit=ir, onnx or program compiles again "
                "from the sources and settings that it holds, --settings lists these",
                c->input);
        if (c->compile.start_at)
            return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "--start-at goes with IR text, not with %s",
                             c->input);
        if (c->emit == LVT_EMIT_PROGRAM && !c->output && !c->list_settings)
            return usage(diag, "--emit=program of a program wants -o FILE: where the new one goes");
    }
    for (int i = 0; i < N_ROWS; i++) {
        const char *without = given[i] ? lacking(c, rows[i].with) : NULL;
        bool for_list = !strcmp(rows[i].name, "set") || !strcmp(rows[i].name, "models") ||
                        !strcmp(rows[i].name, "settings");
        if (!without && c->list_settings && given[i] && !for_list)
            return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE,
                             "--%s does not go with --settings, which compiles nothing", rows[i].name);
        if (without)
            return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "--%s goes with %s", rows[i].name, without);
        if (given[i] && rows[i].pass && !runs(&c->compile, rows[i].pass))
            return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE,
                             "--%s is for the pass %s, which --start-at or --stop-after leaves out",
                             rows[i].name, rows[i].pass);
    }
    if (c->external != UINT64_MAX && c->output && !strcmp(c->output, "-"))
        return usage(diag, "--external-data wants a file with -o: tensors go beside it");
    c->compile.ranks = (int)c->ranks;
    c->compile.pass_limit = (int)c->pass_limit;
    return LVT_OK;
}

lvt_status lvt_lvtc_parse(lvt_lvtc_command *c, int argc, char **argv, lvt_diag *diag) {
    struct option options[N_ROWS + 1] = {0};
    bool given[N_ROWS] = {false};
    int option, index;
    *c = (lvt_lvtc_command){.settings = calloc((size_t)argc + 1, sizeof *c->settings),
                            .opset = LVT_ONNX_DEFAULT_OPSET,
                            .external = UINT64_MAX,
                            .seed = 1,
                            /* models/README.md, what the driver feeds */
                            .compile.split = "x,y,y2,mix,xm,ym,zm,zm_mask"};
    if (!c->settings)
        return lvt_no_memory(diag, NULL);
    for (int i = 0; i < N_ROWS; i++) {
        kind k = rows[i].kind;
        options[i].name = rows[i].name;
        options[i].has_arg = k == FLAG || k == ACTION ? no_argument
                             : k == MAYBE             ? optional_argument
                                                      : required_argument;
    }
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":o:h", options, &index)) != -1) {
        if (option == 'o')
            c->output = optarg;
        else if (option == 'h')
            c->action = LVT_LVTC_HELP;
        else if (option)
            return wrong_option(diag, argv[optind - 1], option == ':');
        else if (!take(c, &rows[index], optarg))
            return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "--%s wants %s, not '%s'", rows[index].name,
                             rows[index].wants, optarg);
        else
            given[index] = true;
        if (c->action == LVT_LVTC_OPS && !c->input && optind < argc && argv[optind][0] != '-')
            c->input = argv[optind]; /* --ops NAME as --ops=NAME */
        if (c->action != LVT_LVTC_COMPILE)
            return LVT_OK;
    }
    return finish(c, given, argc - optind, argv + optind, diag);
}
