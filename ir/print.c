/* The canonical printer of modules, see "Text" in README.md.
 *
 * Invariant: equal modules print equal bytes, whatever the program's locale; the reader gives back what was
 * printed. Prints anything, also graphs the verifier would reject, since dumps are for finding mistakes. May
 * not know: plans. */
#include "op.h"
#include "ir/base/c_locale.h"
#include "text.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct out {
    char *bytes;
    size_t n, capacity;
    bool failed;
    bool bare; /* no places, roles, names of values */
} out;

/* Room for n bytes and a zero. */
static bool grow(out *o, size_t n) {
    size_t wanted = o->capacity * 2 + n + 256;
    char *bigger = o->failed ? NULL : realloc(o->bytes, wanted);
    o->failed |= !bigger;
    if (bigger) {
        o->bytes = bigger;
        o->capacity = wanted;
    }
    return !o->failed;
}

static inline void put_bytes(out *o, const char *bytes, size_t n) {
    if (o->capacity - o->n <= n && !grow(o, n))
        return;
    memcpy(o->bytes + o->n, bytes, n);
    o->n += n;
}

/* Inlined the compiler knows the length of a literal; most of what is printed is a few bytes long. */
static inline __attribute__((always_inline)) void put(out *o, const char *text) {
    put_bytes(o, text, strlen(text));
}

static void put_int(out *o, int64_t i) {
    char text[LVT_INT_TEXT];
    put_bytes(o, text, lvt_int_text(i, text));
}

static void put_value(out *o, lvt_value v) {
    if (v == LVT_NONE) {
        put(o, "none");
        return;
    }
    put(o, "%");
    put_int(o, v);
}

/* The shortest decimal that reads back as the same double; whole numbers below 10^15 without an exponent. */
static void put_double(out *o, double x) {
    char text[40];
    if (isnan(x)) {
        put(o, "nan");
    } else if (isinf(x)) {
        put(o, x < 0 ? "-inf" : "inf");
    } else if (fabs(x) < 1e15 && x == floor(x)) {
        put(o, x == 0 && signbit(x) ? "-" : "");
        put_int(o, (int64_t)x);
    } else {
        /* most constants are short or were floats, for which 9 digits do */
        lvt_snprintf(text, sizeof text, "%.9g", x);
        for (int digits = lvt_strtod(text, NULL) == x ? 1 : 10; digits <= 17; digits++) {
            lvt_snprintf(text, sizeof text, "%.*g", digits, x);
            if (lvt_strtod(text, NULL) == x)
                break;
        }
        put(o, text);
    }
}

static void put_string(out *o, const char *s) {
    put(o, "\"");
    while (*s) {
        size_t plain = 0; /* most strings have nothing that needs more than copying */
        while ((unsigned char)s[plain] >= 0x20 && s[plain] != 0x7f && s[plain] != '"' && s[plain] != '\\')
            plain++;
        put_bytes(o, s, plain);
        s += plain;
        if (!*s)
            break;
        unsigned char c = (unsigned char)*s++;
        char text[8];
        if (c == '"' || c == '\\')
            snprintf(text, sizeof text, "\\%c", c);
        else if (c == '\n' || c == '\t' || c == '\r')
            snprintf(text, sizeof text, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
        else
            snprintf(text, sizeof text, "\\x%02x", c);
        put(o, text);
    }
    put(o, "\"");
}

/* @path, quoted when it has characters that a bare path cannot have. */
static void put_path(out *o, const char *path) {
    static const char bare[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.";
    put(o, "@");
    if (*path && *path != '.' && strspn(path, bare) == strlen(path))
        put(o, path);
    else
        put_string(o, path);
}

static void put_type(out *o, const lvt_type *t) {
    char text[LVT_TYPE_TEXT];
    put(o, lvt_type_text(t, text));
}

/* " loc(file:line:col < caller ...)", nothing when unknown. */
static void put_loc(out *o, const lvt_module *m, lvt_loc loc) {
    if (!loc || loc >= m->n_locs || o->bare)
        return;
    put(o, " loc(");
    for (const char *between = ""; loc; between = " < ") {
        const lvt_loc_info *l = &m->locs[loc];
        put(o, between);
        put_int(o, l->file);
        put(o, ":");
        put_int(o, l->line);
        put(o, ":");
        put_int(o, l->col);
        loc = l->parent < loc ? l->parent : 0; /* callers come before what they call: the chain ends */
    }
    put(o, ")");
}

/* ---- nodes --------------------------------------------------------------------------------------------- */

static bool same_double(double a, double b) {
    return memcmp(&a, &b, sizeof a) == 0;
}

static bool is_default(const lvt_attr *a, const lvt_attr_def *def) {
    if (def->required || a->kind != def->kind)
        return false;
    switch ((lvt_attr_kind)a->kind) {
    case LVT_ATTR_FLOAT:
        return same_double(a->f, def->value);
    case LVT_ATTR_STRING:
        return strcmp(a->s ? a->s : "", def->text ? def->text : "") == 0;
    case LVT_ATTR_INTS:
    case LVT_ATTR_FLOATS:
        return a->n == 0;
    case LVT_ATTR_INT:
    case LVT_ATTR_DTYPE:
    case LVT_ATTR_BOOL:
        return a->i == (int64_t)def->value;
    }
    return false;
}

static void put_attr(out *o, const lvt_attr *a) {
    switch ((lvt_attr_kind)a->kind) {
    case LVT_ATTR_INT:
        put_int(o, a->i);
        break;
    case LVT_ATTR_FLOAT:
        put_double(o, a->f);
        break;
    case LVT_ATTR_STRING:
        put_string(o, a->s ? a->s : "");
        break;
    case LVT_ATTR_BOOL:
        put(o, a->i ? "true" : "false");
        break;
    case LVT_ATTR_DTYPE:
        put(o, a->i >= 0 && a->i < LVT_N_DTYPES ? lvt_dtype_name((lvt_dtype)a->i) : "?");
        break;
    case LVT_ATTR_INTS:
    case LVT_ATTR_FLOATS:
        put(o, "[");
        for (uint32_t i = 0; i < a->n; i++) {
            put(o, i ? ", " : "");
            if (a->kind == LVT_ATTR_INTS)
                put_int(o, a->ints[i]);
            else
                put_double(o, a->floats[i]);
        }
        put(o, "]");
        break;
    }
}

static void put_attrs(out *o, const lvt_node *n) {
    const lvt_op_def *def = lvt_op_of(n);
    const char *before = " {";
    for (int i = 0; i < def->n_attrs; i++) {
        if (is_default(&n->attrs[i], &def->attrs[i]))
            continue;
        put(o, before);
        put(o, def->attrs[i].name);
        put(o, " = ");
        put_attr(o, &n->attrs[i]);
        before = ", ";
    }
    if (before[0] == ',')
        put(o, "}");
}

/* The names of the results, as far as they have any: ` "y", _, "deviation"`. */
static void put_names(out *o, const lvt_graph *g, const lvt_node *n) {
    uint32_t last = 0;
    for (uint32_t k = 0; k < n->n_results && !o->bare; k++)
        if (g->values[n->result + k].name)
            last = k + 1;
    for (uint32_t k = 0; k < last; k++) {
        const char *name = g->values[n->result + k].name;
        put(o, k ? ", " : " ");
        if (name)
            put_string(o, name);
        else
            put(o, "_");
    }
}

static void put_role(out *o, const lvt_graph *g, const lvt_node *n) {
    if (n->role == LVT_FORWARD || o->bare)
        return;
    put(o, " ");
    put(o, lvt_role_name((lvt_role)n->role));
    if (n->origin < g->n_nodes) {
        put(o, "(");
        put_value(o, g->nodes[n->origin].result);
        put(o, ")");
    }
}

static void put_graph(out *o, const lvt_graph *g, int indent);

static void put_indent(out *o, int indent) {
    for (int i = 0; i < indent; i++)
        put(o, "  ");
}

static void put_node(out *o, const lvt_graph *g, const lvt_node *n, int indent) {
    put_indent(o, indent);
    for (uint32_t k = 0; k < n->n_results; k++) {
        put(o, k ? ", " : "");
        put_value(o, n->result + k);
    }
    put(o, " = ");
    put(o, lvt_op_of(n)->name);
    for (uint32_t k = 0; k < n->n_operands; k++) {
        put(o, k ? ", " : "(");
        put_value(o, n->operands[k]);
    }
    put(o, n->n_operands ? ")" : "");
    put_attrs(o, n);
    for (uint32_t k = 0; k < n->n_results; k++) {
        put(o, k ? ", " : " : ");
        put_type(o, &g->values[n->result + k].type);
    }
    put_loc(o, g->module, n->loc);
    put_role(o, g, n);
    put_names(o, g, n);
    if (n->body) {
        put(o, " {\n");
        put_graph(o, n->body, indent + 1);
        put_indent(o, indent);
        put(o, "}");
    }
    put(o, "\n");
}

/* The lines between the braces. */
static void put_graph(out *o, const lvt_graph *g, int indent) {
    const lvt_module *m = g->module;
    for (uint32_t i = 0; i < g->n_nodes; i++)
        put_node(o, g, &g->nodes[i], indent);
    for (uint32_t i = 0; i < g->n_inputs; i++) {
        const lvt_input *in = &g->inputs[i];
        if (!in->name && !in->has_default && !in->loc)
            continue; /* as in bodies: the node says it all */
        put_indent(o, indent);
        put(o, "input ");
        if (in->name) {
            put_string(o, in->name);
            put(o, " = ");
        }
        put_value(o, in->value);
        if (in->has_default) {
            put(o, " default ");
            put_double(o, in->default_value);
        }
        put_loc(o, m, in->loc);
        put(o, "\n");
    }
    for (uint32_t i = 0; i < g->n_updates; i++) {
        put_indent(o, indent);
        put(o, "update ");
        put_path(o, g->updates[i].state < m->n_states ? m->states[g->updates[i].state].name : "");
        put(o, " = ");
        put_value(o, g->updates[i].value);
        put_loc(o, m, g->updates[i].loc);
        put(o, "\n");
    }
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        put_indent(o, indent);
        put(o, "return ");
        if (g->outputs[i].name) {
            put_string(o, g->outputs[i].name);
            put(o, " = ");
        }
        put_value(o, g->outputs[i].value);
        put_loc(o, m, g->outputs[i].loc);
        put(o, "\n");
    }
}

static void put_entry(out *o, const lvt_graph *g) {
    put(o, "entry ");
    put_path(o, g->name ? g->name : "");
    put(o, g->training ? " training" : "");
    put_loc(o, g->module, g->loc);
    put(o, " {\n");
    put_graph(o, g, 1);
    put(o, "}\n");
}

static void put_state(out *o, const lvt_module *m, const lvt_state *s) {
    static const char *const names[] = {[LVT_INIT_NORMAL] = "normal(",
                                        [LVT_INIT_TRUNCATED_NORMAL] = "truncated_normal(",
                                        [LVT_INIT_UNIFORM] = "uniform(",
                                        [LVT_INIT_FILE] = "file("};
    put(o, "state ");
    put_path(o, s->name);
    put(o, " : ");
    put_type(o, &s->type);
    put(o, " = ");
    if (s->init.kind == LVT_INIT_CONSTANT || s->init.kind > LVT_INIT_FILE) {
        put_double(o, s->init.a);
    } else {
        put(o, names[s->init.kind]);
        put_double(o, s->init.a);
        put(o, ", ");
        put_double(o, s->init.b);
        put(o, ")");
    }
    put(o, s->trainable ? " param" : "");
    put_loc(o, m, s->loc);
    put(o, "\n");
}

static void put_heading(out *o, const lvt_module *m) {
    put(o, "module ");
    put_string(o, m->name);
    put(o, "\n");
    for (uint32_t i = 0; i < m->n_settings; i++) {
        put(o, "setting ");
        put_string(o, m->settings[i].name);
        put(o, " = ");
        put_string(o, m->settings[i].value);
        put(o, "\n");
    }
    for (uint32_t i = 0; i < m->n_sources; i++) {
        put(o, "source ");
        put_string(o, m->sources[i].name);
        put(o, "\n");
    }
}

static void put_module(out *o, const lvt_module *m) {
    if (!o->bare)
        put_heading(o, m);
    for (uint32_t i = 0; i < m->n_states; i++)
        put_state(o, m, &m->states[i]);
    for (uint32_t i = 0; i < m->n_entries; i++)
        put_entry(o, m->entries[i]);
}

/* Prints one or the other with a decimal point, whatever the caller's locale says. */
static char *print(const lvt_module *m, const lvt_graph *g, bool bare, size_t *length) {
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (c == (locale_t)0)
        return NULL;
    locale_t before = uselocale(c);
    out o = {.bare = bare};
    if (m)
        put_module(&o, m);
    else
        put_entry(&o, g);
    uselocale(before);
    freelocale(c);
    put_bytes(&o, "", 1); /* a module without states and entries has an empty meaning */
    if (o.failed) {
        free(o.bytes);
        return NULL;
    }
    if (length)
        *length = o.n - 1;
    return o.bytes;
}

char *lvt_print_module(const lvt_module *m, size_t *length) {
    return print(m, NULL, false, length);
}

char *lvt_print_meaning(const lvt_module *m, size_t *length) {
    return print(m, NULL, true, length);
}

char *lvt_print_graph(const lvt_graph *g) {
    return print(NULL, g, false, NULL);
}
