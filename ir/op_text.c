/* The table of ops in words; see op_text.h. */
#include "op_text.h"
#include "ir/base/c_locale.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A text that grows. */
typedef struct words {
    char *text;
    size_t n, room;
    bool failed;
} words;

static void say(words *w, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = lvt_vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length >= 0 && w->n + (size_t)length + 1 > w->room) {
        size_t wanted = 2 * (w->n + (size_t)length) + 256;
        char *grown = realloc(w->text, wanted);
        w->failed |= !grown;
        if (grown) {
            w->text = grown;
            w->room = wanted;
        }
    }
    if (length >= 0 && !w->failed)
        w->n += (size_t)lvt_vsnprintf(w->text + w->n, w->room - w->n, format, again);
    va_end(again);
}

static char *done(words *w) {
    if (!w->failed)
        return w->text;
    free(w->text);
    return NULL;
}

/* The shortest decimal number that reads back as x. */
static const char *number(double x, char text[32]) {
    for (int digits = 1; digits <= 17; digits++) {
        lvt_snprintf(text, 32, "%.*g", digits, x);
        if (lvt_strtod(text, NULL) == x)
            break;
    }
    return text;
}

const char *lvt_attr_def_text(const lvt_attr_def *d, char buffer[LVT_ATTR_DEF_TEXT]) {
    static const char *const kinds[] = {
        [LVT_ATTR_INT] = "integer",   [LVT_ATTR_FLOAT] = "number",   [LVT_ATTR_STRING] = "text",
        [LVT_ATTR_INTS] = "integers", [LVT_ATTR_FLOATS] = "numbers", [LVT_ATTR_DTYPE] = "element type",
        [LVT_ATTR_BOOL] = "boolean"};
    char text[32];
    const char *value = "[]";
    switch ((lvt_attr_kind)d->kind) {
    case LVT_ATTR_INT:
    case LVT_ATTR_FLOAT:
        value = number(d->value, text);
        break;
    case LVT_ATTR_STRING:
        value = d->text ? d->text : "\"\"";
        break;
    case LVT_ATTR_DTYPE:
        value = lvt_dtype_name((lvt_dtype)d->value);
        break;
    case LVT_ATTR_BOOL:
        value = d->value != 0 ? "true" : "false";
        break;
    case LVT_ATTR_INTS:
    case LVT_ATTR_FLOATS:
        break;
    }
    if (d->required)
        snprintf(buffer, LVT_ATTR_DEF_TEXT, "%s: %s", d->name, kinds[d->kind]);
    else
        snprintf(buffer, LVT_ATTR_DEF_TEXT, "%s: %s = %s", d->name, kinds[d->kind], value);
    return buffer;
}

static void say_attrs(words *w, const lvt_op_def *def) {
    char text[LVT_ATTR_DEF_TEXT];
    for (int i = 0; i < def->n_attrs; i++)
        say(w, "%s%s", i ? ", " : "", lvt_attr_def_text(&def->attrs[i], text));
}

char *lvt_op_attrs_text(const lvt_op_def *def) {
    words w = {0};
    say(&w, "%s", "");
    say_attrs(&w, def);
    return done(&w);
}

static const char *letter(char c) {
    switch (c) {
    case 'b':
        return "bool";
    case 'f':
        return "float";
    case 'n':
        return "number";
    default:
        return "any";
    }
}

char *lvt_op_text(lvt_op op, const char *runs_on) {
    const lvt_op_def *def = lvt_op_table[op];
    words w = {0};
    say(&w, "%s(", def->name);
    if (def->signature) {
        const char *c = def->signature;
        for (; *c != '_'; c++)
            say(&w, "%s%c: %s", c == def->signature ? "" : ", ", (char)('a' + (c - def->signature)),
                letter(*c));
        say(&w, ") -> %s\n", letter(c[1]));
    } else {
        say(&w, "%s) -> %s\n", def->operands ? def->operands : "", def->results ? def->results : "");
    }
    if (def->n_attrs) {
        say(&w, "    {");
        say_attrs(&w, def);
        say(&w, "}\n");
    }
    say(&w, "    %s\n", def->meaning ? def->meaning : "");
    say(&w, "    gradient: %s; runs on: %s\n", def->grad ? "yes" : "no", runs_on);
    return done(&w);
}
