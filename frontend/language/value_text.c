/* Compile-time values as text: whole, short for messages, and as the language reads them back.
 *
 * Invariant: a text is cut only where it says so ("...", lvt_lang_value_describe). May not know: graphs, but for the
 * types of tensors. */
#include "elab.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NESTED = 32, SHORT_ITEMS = 8, SHORT_NESTED = 4, SHORT_TEXT = 60 };

typedef struct out {
    elab *e;
    char *text;
    size_t n, cap;
    bool brief;  /* lists and texts are cut */
    bool quotes; /* texts in lists are written as the language reads them */
} out;

static void put_bytes(out *o, const char *bytes, size_t n) {
    if (o->n + n + 1 > o->cap) {
        size_t cap = 2 * (o->n + n) + 64;
        char *grown = lvt_lang_room(o->e, cap);
        if (!grown)
            return;
        if (o->n)
            memcpy(grown, o->text, o->n);
        o->text = grown;
        o->cap = cap;
    }
    memcpy(o->text + o->n, bytes, n);
    o->n += n;
    o->text[o->n] = 0;
}

static void put(out *o, const char *text) {
    put_bytes(o, text, strlen(text));
}

/* Shortest form that reads back as the same number, always with a point or an exponent. */
static void put_float(out *o, double x) {
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x)
            break;
    }
    put(o, text);
    if (!strpbrk(text, ".en"))
        put(o, ".0");
}

static void put_quoted(out *o, const char *s) {
    put(o, "\"");
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        char hex[8];
        if (c == '"' || c == '\\')
            put(o, "\\");
        if (c < ' ') {
            snprintf(hex, sizeof hex, "\\x%02x", c);
            put(o, hex);
        } else {
            put_bytes(o, s, 1);
        }
    }
    put(o, "\"");
}

static void put_value(out *o, value v, uint32_t depth) {
    char number[32];
    switch (v.kind) {
    case VALUE_INT:
        snprintf(number, sizeof number, "%" PRId64, v.i);
        put(o, number);
        break;
    case VALUE_FLOAT:
        put_float(o, v.f);
        break;
    case VALUE_BOOL:
        put(o, v.i ? "true" : "false");
        break;
    case VALUE_STRING:
        if (o->quotes && depth)
            put_quoted(o, v.s);
        else if (o->brief && strlen(v.s) > SHORT_TEXT)
            put_bytes(o, v.s, SHORT_TEXT), put(o, "...");
        else
            put(o, v.s);
        break;
    case VALUE_BUILTIN:
        put(o, v.s);
        break;
    case VALUE_DTYPE:
        put(o, lvt_dtype_name((lvt_dtype)v.i));
        break;
    case VALUE_LIST:
    case VALUE_TUPLE:
        put(o, v.kind == VALUE_LIST ? "[" : "(");
        for (uint32_t i = 0; i < v.n && !o->e->nomem; i++) {
            put(o, i ? ", " : "");
            if (depth >= (o->brief ? SHORT_NESTED : MAX_NESTED) || (o->brief && i == SHORT_ITEMS)) {
                put(o, "...");
                break;
            }
            put_value(o, v.items[i], depth + 1);
        }
        put(o, v.kind == VALUE_LIST ? "]" : ")");
        break;
    case VALUE_BLOCK:
    case VALUE_CONTRACT:
        put(o, v.block->ast->names[0].text);
        break;
    case VALUE_NET:
        put(o, v.net->name);
        break;
    case VALUE_NONE:
        put(o, "none");
        break;
    case VALUE_INIT:
        put(o, "an initialiser");
        break;
    case VALUE_TENSOR:
        put(o, "a tensor");
        break;
    default:
        put(o, "?");
        break;
    }
}

static const char *text_of(elab *e, value v, bool brief, bool quotes) {
    out o = {.e = e, .brief = brief, .quotes = quotes};
    if (v.kind == VALUE_STRING && !brief)
        return v.s;
    put_value(&o, v, 0);
    return o.text ? o.text : "";
}

const char *lvt_lang_value_text(elab *e, value v) {
    return text_of(e, v, false, false);
}

const char *lvt_lang_value_source(elab *e, value v) {
    return text_of(e, v, false, true);
}

const char *lvt_lang_value_brief(elab *e, value v) {
    return text_of(e, v, true, false);
}

const char *lvt_lang_value_describe(elab *e, value v) {
    static const char *const kinds[] = {
        [VALUE_INT] = "the number ", [VALUE_FLOAT] = "the number ",     [VALUE_BOOL] = "",
        [VALUE_DTYPE] = "the type ", [VALUE_LIST] = "the list ",        [VALUE_BLOCK] = "the block ",
        [VALUE_NET] = "the block ",  [VALUE_BUILTIN] = "the function ", [VALUE_CONTRACT] = "the contract "};
    char type[LVT_TYPE_TEXT];
    const char *text = NULL;
    if (v.kind == VALUE_TENSOR && e->b.graph)
        text = lvt_arena_strdup(e->arena, lvt_type_text(lvt_value_type(e->b.graph, v.tensor.v), type));
    else if (v.kind == VALUE_TUPLE)
        text = lvt_arena_printf(e->arena, v.names ? "a record of %u" : "%u values", v.n);
    else if (v.kind == VALUE_NONE)
        return "nothing";
    else if (v.kind == VALUE_STRING)
        text = lvt_arena_printf(e->arena, "the text \"%s\"", lvt_lang_value_brief(e, v));
    else
        text = lvt_arena_printf(e->arena, "%s%s",
                                v.kind < sizeof kinds / sizeof *kinds && kinds[v.kind] ? kinds[v.kind] : "",
                                lvt_lang_value_brief(e, v));
    return text ? text : "";
}
