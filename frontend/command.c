/* The options of lvtc: one row each. What has an effect of its own has a function in its row.
 *
 * May not know: how anything is compiled, models, files. */
#include "frontend/command.h"
#include "frontend/onnx/export.h"

#include <ctype.h>
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

typedef struct row {
    const char *name;
    kind kind;
    size_t at; /* the member of lvt_lvtc_command */
    uint64_t least, most;
    const char *wants;                                    /* the value in words */
    bool (*take)(lvt_lvtc_command *c, const char *value); /* false: it is not what the option wants */
    bool exporting;                                       /* goes with --emit=onnx only */
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

static bool take_emit(lvt_lvtc_command *c, const char *value) {
    static const char *const names[] = {
        [LVT_EMIT_PROGRAM] = "program", [LVT_EMIT_IR] = "ir", [LVT_EMIT_ONNX] = "onnx"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!strcmp(names[i], value)) {
            c->emit = (lvt_lvtc_emit)i;
            c->emit_given = true;
            return true;
        }
    }
    return false;
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
    c->compile.memory_budget = (uint64_t)n;
    return n >= 1 && n < 1e18;
}

#define AT(member) offsetof(lvt_lvtc_command, member)

static const row rows[] = {
    {"output", TEXT, AT(output)}, /* the one with a letter, too: -o */
    {"set", SPECIAL, .wants = "NAME=VALUE", .take = take_setting},
    {"models", TEXT, AT(models)},
    {"emit", SPECIAL, .wants = "ir, onnx or program", .take = take_emit},
    {"tune", FLAG, AT(tune)},
    {"threads", NUMBER, AT(threads), 1, 1024, "a number from 1"},
    {"exact", FLAG, AT(compile.exact)},
    {"weights", TEXT, AT(weights)},
    {"map", TEXT, AT(map)},
    {"entry", TEXT, AT(entry)},
    {"training-info", FLAG, AT(training_info), .exporting = true},
    {"with-preprocessing", FLAG, AT(preprocessing), .exporting = true},
    {"mean", TEXT, AT(mean), .exporting = true},
    {"deviation", TEXT, AT(deviation), .exporting = true},
    {"seed", NUMBER, AT(seed), 0, UINT64_MAX, "a whole number", .exporting = true},
    {"opset", NUMBER, AT(opset), LVT_ONNX_MIN_OPSET, LVT_ONNX_MAX_OPSET, "13 to 21", .exporting = true},
    {"fixed-batch", FLAG, AT(fixed_batch), .exporting = true},
    {"external-data", NUMBER, AT(external), 0, LLONG_MAX, "a number of bytes", .exporting = true},
    {"freeze", FLAG, AT(freeze)},
    {"ranks", NUMBER, AT(ranks), 1, LVT_MAX_RANKS, "a number of processes"},
    {"split", TEXT, AT(compile.split)},
    {"explain", FLAG, AT(compile.explain)},
    {"memory-report", MAYBE, .take = take_memory_report},
    {"memory-budget", SPECIAL, .wants = "a size such as 300M or 1.5G", .take = take_budget},
    {"time-passes", FLAG, AT(compile.time_passes)},
    {"stop-after", TEXT, AT(compile.stop_after)},
    {"start-at", TEXT, AT(compile.start_at)},
    {"dump-after", TEXT, AT(compile.dump_after)},
    {"verify-each", FLAG, AT(compile.verify_each)},
    {"pass-limit", NUMBER, AT(pass_limit), 1, 1000000, "a number from 1"},
    {"passes", ACTION, .least = LVT_LVTC_PASSES},
    {"version", ACTION, .least = LVT_LVTC_VERSION},
    {"help", ACTION, .least = LVT_LVTC_HELP},
};
enum { N_ROWS = sizeof rows / sizeof *rows };

static bool take_number(const row *r, const char *text, uint64_t *out) {
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    *out = n;
    return isdigit((unsigned char)*text) && !*end && !errno && n >= r->least && n <= r->most;
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

/* What has to agree, and what follows. */
static lvt_status finish(lvt_lvtc_command *c, int n, char **files, lvt_diag *diag) {
    if (!n)
        return usage(diag, "no model file is given; see lvtc --help");
    if (n > 1)
        return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "one model file at a time; '%s' is too many",
                         files[1]);
    if (c->map && !c->weights)
        return usage(diag, "--map says how names of --weights are read");
    if (c->threads && !c->tune)
        return usage(diag, "--threads says with how many threads --tune measures");
    c->input = files[0];
    if (!c->emit_given && c->output && ends_with(c->output, ".onnx"))
        c->emit = LVT_EMIT_ONNX; /* nobody wants a program of that name */
    if (c->exporting && c->emit != LVT_EMIT_ONNX)
        return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "--%s goes with --emit=onnx", c->exporting);
    if (c->external != UINT64_MAX && c->output && !strcmp(c->output, "-"))
        return usage(diag, "--external-data wants a file with -o: tensors go beside it");
    if (c->freeze && !ends_with(c->input, ".onnx"))
        return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE,
                         "--freeze goes with an ONNX file, and '%s' is none", c->input);
    c->source = ends_with(c->input, ".onnx")                           ? LVT_SOURCE_ONNX
                : c->compile.start_at || ends_with(c->input, ".lvtir") ? LVT_SOURCE_IR
                                                                       : LVT_SOURCE_MODEL;
    c->compile.ranks = (int)c->ranks;
    c->compile.pass_limit = (int)c->pass_limit;
    return LVT_OK;
}

lvt_status lvt_lvtc_parse(lvt_lvtc_command *c, int argc, char **argv, lvt_diag *diag) {
    struct option options[N_ROWS + 1] = {0};
    int option, index;
    *c = (lvt_lvtc_command){.settings = calloc((size_t)argc + 1, sizeof *c->settings),
                            .opset = LVT_ONNX_DEFAULT_OPSET,
                            .external = UINT64_MAX,
                            .seed = 1,
                            /* models/README.md, what the driver feeds */
                            .compile.split = "x,y,y2,mix,xm,ym,zm,zm_mask"};
    if (!c->settings)
        return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "out of memory");
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
        else if (rows[index].exporting)
            c->exporting = rows[index].name;
        if (c->action != LVT_LVTC_COMPILE)
            return LVT_OK;
    }
    return finish(c, argc - optind, argv + optind, diag);
}
