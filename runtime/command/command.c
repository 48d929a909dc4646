/* Options of lvt-run's commands, read by one table.
 *
 * Invariant: the table that parses is the table that help prints, so the two cannot disagree. May not know:
 * any command. */
#include "command.h"
#include "ir/base/c_locale.h"
#include "ir/base/utf8.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HELP_COLUMN = 26 };

static void print_help(const lvt_usage *u) {
    lvt_print("Usage: %s\n\n%s\n\nOptions:\n", u->synopsis, u->about);
    for (int i = 0; i < u->n_options; i++) {
        const lvt_option *o = &u->options[i];
        if (!o->name) {
            lvt_print("\n%s:\n", o->help);
            continue;
        }
        char left[96];
        int n = o->letter ? snprintf(left, sizeof left, "  -%c, --%s", o->letter, o->name)
                          : snprintf(left, sizeof left, "      --%s", o->name);
        if (o->kind == LVT_OPTION_CHOICE) {
            for (const char *const *c = o->choices; *c && n < (int)sizeof left; c++)
                n += snprintf(left + n, sizeof left - (size_t)n, "%s%s", c == o->choices ? "=" : "|", *c);
        } else if (o->argument && n < (int)sizeof left) {
            n += snprintf(left + n, sizeof left - (size_t)n, "=%s", o->argument);
        }
        lvt_print("%s", left);
        int column = n < HELP_COLUMN - 1 ? n : HELP_COLUMN;
        if (column == HELP_COLUMN) {
            lvt_print("\n");
            column = 0;
        }
        const char *text = o->help;
        while (*text) {
            size_t line = strcspn(text, "\n");
            lvt_print("%*s%.*s\n", HELP_COLUMN - column, "", (int)line, text);
            column = 0;
            text += line + (text[line] == '\n');
        }
    }
    lvt_print("  -h, --help              this text\n");
}

/* For the shell: every option with what its value may be, a line each, as runtime/package/completion.bash
 * reads it. */
static void print_completion(const lvt_usage *u) {
    for (int i = 0; i < u->n_options; i++) {
        const lvt_option *o = &u->options[i];
        if (!o->name)
            continue;
        printf("--%s%s", o->name, o->kind == LVT_OPTION_FLAG ? "" : " =");
        for (const char *const *c = o->kind == LVT_OPTION_CHOICE ? o->choices : NULL; c && *c; c++)
            printf(" %s", *c);
        static const char *const files[] = {"FILE", "FOLDER", "DIR"};
        bool file = false;
        for (size_t k = 0; k < sizeof files / sizeof *files; k++)
            file |= o->kind == LVT_OPTION_TEXT && o->argument &&
                    !strncmp(o->argument, files[k], strlen(files[k]));
        printf("%s\n", file ? " @" : "");
    }
    printf("--help\n");
}

static lvt_status bad_value(const lvt_option *o, const char *value, const char *wanted, lvt_diag *diag) {
    return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "--%s: \"%s\" is not %s", o->name, value, wanted);
}

static lvt_status set_number(const lvt_option *o, const char *value, lvt_diag *diag) {
    char *end;
    errno = 0;
    bool whole = o->kind == LVT_OPTION_INT;
    double v = whole ? (double)strtoll(value, &end, 10) : lvt_strtod(value, &end);
    if (end == value || *end || errno || v != v || (whole && (v < -2147483647. || v > 2147483647.)))
        return bad_value(o, value, whole ? "a whole number" : "a number", diag);
    if ((o->min != 0 || o->max != 0) && (v < o->min || v > o->max))
        return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "--%s: %s is not within %.9g to %.9g", o->name,
                         value, o->min, o->max);
    if (whole)
        *(int *)o->target = (int)v;
    else
        *(double *)o->target = v;
    return LVT_OK;
}

static lvt_status set_choice(const lvt_option *o, const char *value, lvt_diag *diag) {
    size_t n = 0;
    for (; o->choices[n]; n++) {
        if (!strcmp(o->choices[n], value)) {
            *(int *)o->target = (int)n;
            return LVT_OK;
        }
    }
    const char *near = lvt_nearest(value, o->choices, n);
    lvt_status status =
        lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "--%s: no such choice, \"%s\"%s%s%s", o->name, value,
                  near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    char list[256] = "";
    size_t used = 0;
    for (size_t i = 0; i < n && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", o->choices[i]);
    lvt_note(diag, LVT_NOWHERE, "the choices are %s", list);
    return status;
}

static lvt_status set_option(const lvt_option *o, const char *value, lvt_diag *diag) {
    switch ((lvt_option_kind)o->kind) {
    case LVT_OPTION_FLAG:
        *(bool *)o->target = true;
        return LVT_OK;
    case LVT_OPTION_INT:
    case LVT_OPTION_NUMBER:
        return set_number(o, value, diag);
    case LVT_OPTION_SEED: {
        char *end;
        errno = 0;
        unsigned long long v = strtoull(value, &end, 0);
        if (end == value || *end || errno || *value == '-')
            return bad_value(o, value, "a number from 0 to 18446744073709551615", diag);
        *(uint64_t *)o->target = v;
        return LVT_OK;
    }
    case LVT_OPTION_TEXT:
        *(const char **)o->target = value;
        return LVT_OK;
    case LVT_OPTION_CHOICE:
        return set_choice(o, value, diag);
    case LVT_OPTION_LIST: {
        lvt_option_list *list = o->target;
        if (list->n == list->capacity)
            return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "--%s may be given at most %d times",
                             o->name, list->capacity);
        list->items[list->n++] = value;
        return LVT_OK;
    }
    }
    return LVT_INTERNAL;
}

static lvt_status unknown_option(const lvt_usage *u, const char *word, lvt_diag *diag) {
    const char *names[LVT_MAX_OPTIONS + 1];
    size_t n = 0;
    for (int i = 0; i < u->n_options && n < LVT_MAX_OPTIONS; i++) {
        if (u->options[i].name)
            names[n++] = u->options[i].name;
    }
    names[n++] = "help";
    char name[64];
    const char *start = word + strspn(word, "-");
    snprintf(name, sizeof name, "%.*s", (int)strcspn(start, "="), start);
    const char *near = lvt_nearest(name, names, n);
    lvt_status status =
        lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "unknown or ambiguous option \"%s\"%s%s%s", word,
                  near ? "; did you mean --" : "", near ? near : "", near ? "?" : "");
    lvt_note(diag, LVT_NOWHERE, "usage: %s", u->synopsis);
    return status;
}

lvt_status lvt_arguments_parse(const lvt_usage *u, int argc, char **argv, lvt_arguments *out,
                               lvt_diag *diag) {
    *out = (lvt_arguments){0};
    if (argc == 2 && !strcmp(argv[1], "--completion")) {
        print_completion(u);
        out->done = true;
        return LVT_OK;
    }
    struct option longs[LVT_MAX_OPTIONS + 2] = {0};
    int row_of[LVT_MAX_OPTIONS + 2] = {0};
    char shorts[2 * LVT_MAX_OPTIONS + 8] = ":h";
    size_t n_shorts = 2;
    int n = 0;
    for (int i = 0; i < u->n_options && i < LVT_MAX_OPTIONS; i++) {
        const lvt_option *o = &u->options[i];
        if (!o->name)
            continue;
        int takes = o->kind == LVT_OPTION_FLAG ? no_argument : required_argument;
        longs[n] = (struct option){o->name, takes, NULL, 256 + n};
        row_of[n++] = i;
        if (o->letter) {
            shorts[n_shorts++] = o->letter;
            if (takes == required_argument)
                shorts[n_shorts++] = ':';
        }
    }
    longs[n] = (struct option){"help", no_argument, NULL, 'h'};

    optind = 0; /* getopt keeps its place in globals: 0 makes it start afresh */
    opterr = 0;
    for (int c, before = 1; (c = getopt_long(argc, argv, shorts, longs, NULL)) != -1; before = optind) {
        if (c == 'h') {
            print_help(u);
            out->done = true;
            return LVT_OK;
        }
        const char *word = argv[optind > before ? optind - 1 : (optind < argc ? optind : argc - 1)];
        if (c == ':') {
            lvt_status status = lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "option \"%s\" needs a value",
                                          argv[optind - 1]);
            lvt_note(diag, LVT_NOWHERE, "usage: %s", u->synopsis);
            return status;
        }
        if (c == '?') {
            /* An option without an argument that was given one is the other reason for '?'. */
            for (int i = 0; i < n; i++) {
                if (optopt == longs[i].val)
                    return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "--%s takes no value",
                                     longs[i].name);
            }
            return unknown_option(u, word, diag);
        }
        const lvt_option *o = NULL;
        if (c >= 256) {
            o = &u->options[row_of[c - 256]];
        } else {
            for (int i = 0; i < u->n_options && !o; i++) {
                if (u->options[i].name && u->options[i].letter == c)
                    o = &u->options[i];
            }
        }
        lvt_status status = o ? set_option(o, optarg, diag) : unknown_option(u, word, diag);
        if (o)
            out->given[o - u->options] = true;
        if (status != LVT_OK)
            return status;
    }
    out->n = argc - optind;
    out->values = argv + optind;
    if (out->n < u->min_arguments || (u->max_arguments >= 0 && out->n > u->max_arguments)) {
        lvt_status status =
            lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE,
                      out->n < u->min_arguments ? "something is missing" : "unexpected argument \"%s\"",
                      out->n < u->min_arguments ? "" : out->values[u->max_arguments]);
        lvt_note(diag, LVT_NOWHERE, "usage: %s", u->synopsis);
        return status;
    }
    return LVT_OK;
}

void lvt_print_json_string(const char *s) {
    char *quoted = lvt_json_quoted(s);
    fputs(quoted ? quoted : "\"\"", stdout);
    free(quoted);
}

void lvt_cmd_say(lvt_diag *diag) {
    char *text = lvt_diag_warnings(diag) && !lvt_diag_errors(diag) ? lvt_diag_text(diag) : NULL;
    if (text) {
        fputs(text, stderr);
        lvt_diag_clear(diag);
    }
    free(text);
}

void lvt_cmd_chance(lvt_diag *diag) {
    lvt_warning(diag, NULL, LVT_NOWHERE,
                "the answers are no better than chance in every task: nothing was learned");
    lvt_note(diag, LVT_NOWHERE,
             "images that are not what the model expects, --lr, too few steps and initial values are what to "
             "look at");
}
