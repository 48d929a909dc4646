/* Built-ins for records: values with names, as a block returns them.
 *
 * Invariant: a record is never changed; what adds to one makes another. May not know: what is in a record. */
#include "elab.h"

#include <string.h>

typedef struct fields {
    value *items;
    const char **names;
    uint32_t n, n_names;
} fields;

/* A later field of the same name replaces the earlier one, in its place. */
static bool put(elab *e, fields *to, const char *name, value v) {
    for (uint32_t i = 0; i < to->n; i++)
        if (!strcmp(to->names[i], name)) {
            to->items[i] = v;
            return true;
        }
    return lvt_lang_grow(e, &to->items, &to->n, &v, sizeof v) &&
           lvt_lang_grow(e, &to->names, &to->n_names, &name, sizeof name);
}

static value finish(elab *e, const fields *all) {
    if (all->n)
        return (value){.kind = VALUE_TUPLE, .n = all->n, .items = all->items, .names = all->names};
    const char **none = lvt_lang_room(e, sizeof *none); /* a record of nothing is one, too */
    return none ? (value){.kind = VALUE_TUPLE, .names = none} : lvt_lang_out_of_memory(e);
}

static bool is_record(value v) {
    return v.kind == VALUE_TUPLE && v.names;
}

value lvt_lang_run_record(frame *f, const builtin *b, const argument *args, uint32_t n, spot at) {
    (void)b, (void)at;
    fields all = {0};
    for (uint32_t i = 0; i < n; i++) {
        value v = args[i].v;
        bool ok = true;
        if (args[i].name)
            ok = put(f->e, &all, args[i].name, v);
        else if (!is_record(v))
            return lvt_lang_fail(f, args[i].at, "E220", "record takes records and named values, not %s",
                                 lvt_lang_value_describe(f->e, v));
        for (uint32_t k = 0; !args[i].name && ok && k < v.n; k++)
            ok = put(f->e, &all, v.names[k], v.items[k]);
        if (!ok)
            return lvt_lang_out_of_memory(f->e);
    }
    return finish(f->e, &all);
}

value lvt_lang_run_settings(frame *f, const builtin *b, const argument *args, uint32_t n, spot at) {
    (void)b, (void)args, (void)n, (void)at;
    elab *e = f->e;
    fields all = {0};
    for (uint32_t i = 0; i < e->n_settings; i++)
        if (!put(e, &all, e->settings[i].name, e->settings[i].v))
            return lvt_lang_out_of_memory(e);
    return finish(e, &all);
}

value lvt_lang_run_inputs(frame *f, const builtin *b, const argument *args, uint32_t n, spot at) {
    (void)b, (void)args, (void)n;
    elab *e = f->e;
    fields all = {0};
    if (!e->b.graph)
        return lvt_lang_fail(f, at, "E303", "'inputs' are known inside entries only");
    for (uint32_t i = 0; i < e->n_input_names; i++)
        if (!put(e, &all, e->input_names[i], e->input_values[i]))
            return lvt_lang_out_of_memory(e);
    return finish(e, &all);
}

value lvt_lang_run_has(frame *f, const builtin *b, const argument *args, uint32_t n, spot at) {
    (void)b, (void)n, (void)at;
    value v = args[0].v;
    if (args[1].v.kind != VALUE_STRING)
        return lvt_lang_fail(f, args[1].at, "E220", "has takes a value and a name in quotes, not %s",
                             lvt_lang_value_describe(f->e, args[1].v));
    for (uint32_t i = 0; is_record(v) && i < v.n; i++)
        if (!strcmp(v.names[i], args[1].v.s))
            return lvt_lang_value_bool(true);
    return lvt_lang_value_bool(false);
}

value lvt_lang_run_kind(frame *f, const builtin *b, const argument *args, uint32_t n, spot at) {
    (void)f, (void)b, (void)n, (void)at;
    static const char *const names[] = {
        [VALUE_NONE] = "none",        [VALUE_INT] = "int",          [VALUE_FLOAT] = "float",
        [VALUE_BOOL] = "bool",        [VALUE_STRING] = "text",      [VALUE_DTYPE] = "type",
        [VALUE_INIT] = "initialiser", [VALUE_LIST] = "list",        [VALUE_TUPLE] = "tuple",
        [VALUE_BLOCK] = "block",      [VALUE_NET] = "block",        [VALUE_BUILTIN] = "block",
        [VALUE_TENSOR] = "tensor",    [VALUE_CONTRACT] = "contract"};
    value v = args[0].v;
    return lvt_lang_value_string(is_record(v) ? "record" : names[v.kind] ? names[v.kind] : "");
}
