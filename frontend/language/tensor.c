/* Nodes: operators on tensors and calls of ops, with the errors of the builder told at the place of the call.
 *
 * Invariant: a new op of ops.def is callable without a change here: operands by position, attributes by name
 * or, after the operands, by position in the order of its table. May not know: what any op means. */
#include "elab.h"

#include <math.h>
#include <string.h>

const lvt_type *lvt_lang_type_of(frame *f, value v) {
    return lvt_value_type(f->e->b.graph, v.tensor.v);
}

static bool in_entry(frame *f, spot at) {
    if (f->e->b.graph)
        return true;
    lvt_lang_fail(f, at, "E303", "tensors are made inside entries only");
    return false;
}

bool lvt_lang_as_tensor(frame *f, value v, lvt_dtype dtype, spot at, lvt_value *out) {
    *out = LVT_NONE;
    if (is_poison(v) || !in_entry(f, at))
        return false;
    if (v.kind == VALUE_TENSOR) {
        *out = v.tensor.v;
        return true;
    }
    bool real = lvt_dtype_is_float(dtype);
    if ((v.kind == VALUE_BOOL && dtype == LVT_BOOL) || v.kind == VALUE_INT ||
        (v.kind == VALUE_FLOAT && (real || v.f == trunc(v.f)))) {
        if (dtype == LVT_BOOL && v.kind != VALUE_BOOL) {
            lvt_lang_fail(f, at, "E220", "%s does not mix with a bool tensor",
                          lvt_lang_value_describe(f->e, v));
            return false;
        }
        lvt_lang_build_begin(f, at);
        *out = lvt_build_scalar(&f->e->b, dtype, number_of(v));
        return !is_poison(lvt_lang_build_end(f, *out, at));
    }
    if (v.kind == VALUE_FLOAT)
        lvt_lang_fail(f, at, "E220", "%s does not mix with a tensor of %s", lvt_lang_value_describe(f->e, v),
                      lvt_dtype_name(dtype));
    else
        lvt_lang_fail(f, at, "E220", "expected a tensor, not %s", lvt_lang_value_describe(f->e, v));
    return false;
}

value lvt_lang_tensor_binary(frame *f, lvt_op op, value a, value b, spot at) {
    value pair[2] = {a, b};
    return lvt_lang_build_op(f, op, pair, 2, NULL, 0, at);
}

/* The element type numbers among the operands take: that of the last tensor (of select: not the condition's).
 */
static lvt_dtype operand_dtype(frame *f, const value *operands, uint32_t n, bool *any) {
    lvt_dtype dtype = LVT_F32;
    *any = false;
    for (uint32_t i = 0; i < n; i++)
        if (operands[i].kind == VALUE_TENSOR) {
            lvt_dtype t = (lvt_dtype)lvt_lang_type_of(f, operands[i])->dtype;
            if (!*any || t != LVT_BOOL)
                dtype = t;
            *any = true;
        }
    return dtype;
}

value lvt_lang_build_op(frame *f, lvt_op op, const value *operands, uint32_t n, const lvt_named_attr *attrs,
                        uint32_t n_attrs, spot at) {
    elab *e = f->e;
    if (!in_entry(f, at))
        return (value){.kind = VALUE_POISON};
    const lvt_op_def *def = lvt_op_table[op];
    bool any;
    lvt_dtype dtype = operand_dtype(f, operands, n, &any);
    if (op == LVT_OP_select && n == 3 && dtype == LVT_BOOL && operands[1].kind != VALUE_TENSOR &&
        operands[2].kind != VALUE_TENSOR)
        dtype = LVT_F32;
    lvt_value few[8], *values = n <= 8 ? few : lvt_lang_room(e, n * sizeof *values);
    if (!values)
        return lvt_lang_out_of_memory(e);
    for (uint32_t i = 0; i < n; i++)
        if (!lvt_lang_as_tensor(f, operands[i], op == LVT_OP_select && i == 0 ? LVT_BOOL : dtype, at,
                                &values[i]))
            return (value){.kind = VALUE_POISON};
    lvt_lang_build_begin(f, at);
    lvt_value v;
    if (def->kind == LVT_KIND_POINTWISE && n == 2 && def->max_operands == 2 && !n_attrs)
        v = lvt_build_binary(&e->b, op, values[0], values[1]);
    else if (op == LVT_OP_select && n == 3 && !n_attrs)
        v = lvt_build_select(&e->b, values[0], values[1], values[2]);
    else
        v = lvt_build(&e->b, op, n, values, n_attrs, attrs);
    value r = lvt_lang_build_end(f, v, at);
    if (is_poison(r))
        return r;
    uint32_t n_results = lvt_value_node(e->b.graph, v)->n_results;
    if (n_results == 1)
        return r;
    value *items = lvt_lang_room(e, n_results * sizeof *items);
    if (!items)
        return lvt_lang_out_of_memory(e);
    for (uint32_t i = 0; i < n_results; i++)
        items[i] = lvt_lang_value_tensor(v + i, LVT_NONE);
    return (value){.kind = VALUE_TUPLE, .n = n_results, .items = items};
}

/* A value as an attribute; kind: what the table wants. */
static bool as_attr(frame *f, const argument *a, const char *name, int kind, lvt_op op, lvt_attr *out) {
    elab *e = f->e;
    value v = a->v;
    switch (v.kind) {
    case VALUE_INT:
        *out = lvt_attr_int(v.i);
        return true;
    case VALUE_FLOAT:
        if (kind == LVT_ATTR_INT || kind == LVT_ATTR_INTS)
            break;
        *out = lvt_attr_float(v.f);
        return true;
    case VALUE_BOOL:
        *out = lvt_attr_bool(v.i);
        return true;
    case VALUE_STRING:
        *out = lvt_attr_string(v.s);
        return true;
    case VALUE_DTYPE:
        *out = lvt_attr_dtype((lvt_dtype)v.i);
        return true;
    case VALUE_LIST:
    case VALUE_TUPLE: {
        int64_t *ints = lvt_lang_room(e, v.n * sizeof *ints);
        double *floats = lvt_lang_room(e, v.n * sizeof *floats);
        if (!ints || !floats)
            return false;
        bool whole = true, numbers = true;
        for (uint32_t i = 0; i < v.n; i++) {
            numbers &= is_number(v.items[i]);
            whole &= v.items[i].kind == VALUE_INT;
            floats[i] = numbers ? number_of(v.items[i]) : 0;
            ints[i] = whole ? v.items[i].i : 0;
        }
        if (!numbers || (!whole && kind == LVT_ATTR_INTS))
            break;
        *out = whole && kind != LVT_ATTR_FLOATS ? lvt_attr_ints(ints, v.n) : lvt_attr_floats(floats, v.n);
        return true;
    }
    default:
        break;
    }
    lvt_lang_fail(f, a->at, "E229", "%s: attribute '%s' cannot be %s", lvt_op_table[op]->name, name,
                  lvt_lang_value_describe(e, v));
    return false;
}

static bool has_tensor(value v) {
    for (uint32_t i = 0; is_list(v) && i < v.n; i++)
        if (v.items[i].kind == VALUE_TENSOR)
            return true;
    return false;
}

value lvt_lang_call_op(frame *f, lvt_op op, const argument *args, uint32_t n, spot at) {
    elab *e = f->e;
    const lvt_op_def *def = lvt_op_table[op];
    value *operands = NULL;
    lvt_named_attr *attrs = NULL;
    uint32_t n_operands = 0, n_attrs = 0;
    int by_position = 0; /* attributes given so */
    const char *bare = strncmp(def->name, "reduce_", 7) ? def->name : def->name + 7;
    if (op == LVT_OP_input || op == LVT_OP_state || op == LVT_OP_fused || op == LVT_OP_gradient ||
        op == LVT_OP_copy)
        return lvt_lang_fail(f, at, "E304", "the op '%s' is not for models", bare);
    for (uint32_t i = 0; i < n; i++) {
        const argument *a = &args[i];
        bool operand =
            !a->name && (def->max_operands < 0 || (int)n_operands < def->max_operands) && !by_position;
        if (operand) {
            if (has_tensor(a->v)) { /* concat([a, b]) */
                for (uint32_t k = 0; k < a->v.n; k++)
                    if (!lvt_lang_grow(e, &operands, &n_operands, &a->v.items[k], sizeof(value)))
                        return lvt_lang_out_of_memory(e);
            } else if (!lvt_lang_grow(e, &operands, &n_operands, &a->v, sizeof(value))) {
                return lvt_lang_out_of_memory(e);
            }
            continue;
        }
        if (!a->name && by_position >= def->n_attrs)
            return lvt_lang_fail(f, a->at, "E310", "%s takes at most %d argument%s", def->name,
                                 def->max_operands + def->n_attrs,
                                 def->max_operands + def->n_attrs == 1 ? "" : "s");
        const char *name = a->name ? a->name : def->attrs[by_position].name;
        by_position += !a->name;
        int kind = -1;
        for (int k = 0; k < def->n_attrs; k++)
            if (!strcmp(def->attrs[k].name, name))
                kind = def->attrs[k].kind;
        for (uint32_t k = 0; k < n_attrs; k++)
            if (!strcmp(attrs[k].name, name))
                return lvt_lang_fail(f, a->name_at, "E313", "%s: '%s' is given twice", def->name, name);
        lvt_named_attr attr = {.name = name, .value = lvt_attr_int(0)};
        if (kind >= 0 && !as_attr(f, a, name, kind, op, &attr.value)) /* of unknown ones the builder speaks */
            return (value){.kind = VALUE_POISON};
        if (!lvt_lang_grow(e, &attrs, &n_attrs, &attr, sizeof attr))
            return lvt_lang_out_of_memory(e);
    }
    return lvt_lang_build_op(f, op, operands, n_operands, attrs, n_attrs, at);
}

value lvt_lang_random_key(frame *f, spot at) {
    static const char name[] = "step";
    elab *e = f->e;
    const lvt_type type = lvt_type_make(LVT_I32, 1, (int64_t[]){2});
    if (!e->b.graph)
        return lvt_lang_fail(f, at, "E303", "random numbers are drawn inside entries only");
    const lvt_graph *g = e->b.graph;
    for (uint32_t i = 0; i < g->n_inputs; i++) {
        if (strcmp(g->inputs[i].name, name) != 0)
            continue;
        value v = lvt_lang_value_tensor(g->inputs[i].value, LVT_NONE);
        if (lvt_type_equal(lvt_lang_type_of(f, v), &type))
            return v;
        lvt_lang_fail(f, at, "E421",
                      "random numbers take the entry's input '%s' for their key, seed and step number, "
                      "which must be i32[2], not %s",
                      name, lvt_lang_value_describe(e, v));
        if (!e->silenced)
            lvt_note(e->diag, lvt_module_pos(e->m, g->inputs[i].loc), "it is declared here");
        return (value){.kind = VALUE_POISON};
    }
    lvt_role role = e->b.role;
    e->b.role = LVT_FORWARD;
    lvt_lang_build_begin(f, at);
    value v = lvt_lang_build_end(f, lvt_build_input(&e->b, name, &type), at);
    e->b.role = role;
    return v;
}
