/* Expressions: from syntax to values.
 *
 * Invariant: evaluation is from left to right; `and` and `or` on compile-time booleans stop early. May not
 * know: how calls expand (call.c). */
#include "elab.h"

#include <string.h>

static value name_value(frame *f, const ast_expr *x) {
    binding *b = lvt_lang_env_find(f->env, x->text);
    if (b)
        return b->v;
    if (!strcmp(x->text, "training")) {
        if (!f->e->b.graph)
            return lvt_lang_fail(f, SPOT(x), "E303", "'training' is known inside entries only");
        return lvt_lang_value_bool(f->e->b.graph->training);
    }
    lvt_dtype dtype;
    if (lvt_dtype_parse(x->text, strlen(x->text), &dtype))
        return (value){.kind = VALUE_DTYPE, .i = dtype};
    if (lvt_lang_builtin_find(x->text) || (int)lvt_op_find(x->text, strlen(x->text)) != LVT_N_OPS)
        return (value){.kind = VALUE_BUILTIN, .s = x->text};
    if (f->e->names_lost)
        return (value){.kind = VALUE_POISON};
    return lvt_lang_fail(f, SPOT(x), "E301", "'%.60s' is not known here%s", x->text,
                         lvt_lang_suggest(f, f->env, x->text, false));
}

static value list_value(frame *f, const ast_expr *x) {
    value *items = lvt_lang_room(f->e, x->n_args * sizeof *items);
    if (!items)
        return lvt_lang_out_of_memory(f->e);
    bool poison = false;
    for (uint32_t i = 0; i < x->n_args; i++) {
        items[i] = lvt_lang_eval(f, x->args[i].value);
        poison |= is_poison(items[i]);
    }
    if (poison)
        return (value){.kind = VALUE_POISON};
    return (value){.kind = x->kind == EXPR_LIST ? VALUE_LIST : VALUE_TUPLE, .n = x->n_args, .items = items};
}

static value field_value(frame *f, const ast_expr *x) {
    if (x->a->kind == EXPR_NAME && !strcmp(x->a->text, "op") && !lvt_lang_env_find(f->env, "op")) {
        if ((int)lvt_op_find(x->text, strlen(x->text)) == LVT_N_OPS)
            return lvt_lang_fail(f, SPOT(x), "E301", "there is no op '%.60s'%s", x->text,
                                 lvt_lang_suggest(f, NULL, x->text, true));
        return (value){.kind = VALUE_BUILTIN, .s = x->text};
    }
    value a = lvt_lang_eval(f, x->a);
    if (is_poison(a))
        return a;
    if (a.kind != VALUE_TUPLE || !a.names)
        return lvt_lang_fail(f, SPOT(x), "E227", "%s has no named parts", lvt_lang_value_describe(f->e, a));
    for (uint32_t i = 0; i < a.n; i++)
        if (!strcmp(a.names[i], x->text))
            return a.items[i];
    const char *near = lvt_nearest(x->text, (const char *const *)a.names, a.n);
    return lvt_lang_fail(f, SPOT(x), "E227", "there is no part '%.60s'%s%s%s", x->text,
                         near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static value binary_value(frame *f, const ast_expr *x) {
    value a = lvt_lang_eval(f, x->a);
    if (a.kind == VALUE_BOOL && (x->op == AST_AND || x->op == AST_OR)) {
        if (a.i == (x->op == AST_OR))
            return a;
        value b = lvt_lang_eval(f, x->b);
        if (b.kind == VALUE_BOOL || b.kind == VALUE_TENSOR || is_poison(b))
            return b;
        return lvt_lang_fail(f, SPOT(x), "E220", "'%s' does not work on %s", x->op == AST_AND ? "and" : "or",
                             lvt_lang_value_describe(f->e, b));
    }
    value b = lvt_lang_eval(f, x->b);
    return lvt_lang_value_binary(f, (ast_op)x->op, a, b, SPOT(x));
}

value lvt_lang_eval_named(frame *f, const ast_expr *x, const char *name) {
    elab *e = f->e;
    if (e->nomem)
        return (value){.kind = VALUE_POISON};
    if (!lvt_lang_spend(e, 1))
        return (value){.kind = VALUE_POISON};
    if (++e->depth > ELAB_MAX_DEPTH) {
        e->depth--;
        return lvt_lang_too_deep(f, SPOT(x));
    }
    value v = {.kind = VALUE_POISON};
    switch (x->kind) {
    case EXPR_INT:
        v = lvt_lang_value_int(x->i);
        break;
    case EXPR_FLOAT:
        v = lvt_lang_value_float(x->f);
        break;
    case EXPR_STRING:
        v = lvt_lang_value_string(x->text);
        break;
    case EXPR_BOOL:
        v = lvt_lang_value_bool(x->i);
        break;
    case EXPR_NONE:
        v = (value){.kind = VALUE_NONE};
        break;
    case EXPR_NAME:
        v = name_value(f, x);
        break;
    case EXPR_LIST:
    case EXPR_TUPLE:
        v = list_value(f, x);
        break;
    case EXPR_BINARY:
        v = binary_value(f, x);
        break;
    case EXPR_UNARY:
        v = lvt_lang_value_unary(f, (ast_op)x->op, lvt_lang_eval(f, x->a), SPOT(x));
        break;
    case EXPR_INDEX:
        v = lvt_lang_index_value(f, x);
        break;
    case EXPR_FIELD:
        v = field_value(f, x);
        break;
    case EXPR_CALL:
        v = lvt_lang_eval_call(f, x, name);
        break;
    default:
        break;
    }
    e->depth--;
    return v;
}

value lvt_lang_eval(frame *f, const ast_expr *x) {
    return lvt_lang_eval_named(f, x, NULL);
}

bool lvt_lang_shape_of(frame *f, value v, spot at, const char *what, lvt_type *shape) {
    if (is_poison(v))
        return false;
    *shape = (lvt_type){0};
    if (!is_list(v) || v.n > LVT_MAX_RANK) {
        lvt_lang_fail(f, at, "E228", "%s is a list of at most %d whole numbers, not %s", what, LVT_MAX_RANK,
                      lvt_lang_value_describe(f->e, v));
        return false;
    }
    int64_t total = 1;
    for (uint32_t i = 0; i < v.n; i++) {
        value d = v.items[i];
        if (d.kind != VALUE_INT || d.i < 1 || d.i > LVT_MAX_DIM || (total *= d.i) > LVT_MAX_DIM) {
            if (d.kind == VALUE_INT && d.i >= 1)
                lvt_lang_fail(f, at, "E228", "%s %s has more than 2147483648 elements", what,
                              lvt_lang_value_brief(f->e, v));
            else
                lvt_lang_fail(f, at, "E228", "dimension %u of %s is %s; a dimension is a whole number from 1",
                              i, what, lvt_lang_value_describe(f->e, d));
            return false;
        }
        shape->dim[i] = d.i;
    }
    shape->rank = (uint8_t)v.n;
    return true;
}

bool lvt_lang_eval_type(frame *f, const ast_type *t, lvt_type *out) {
    spot at = SPOT(t);
    if (t->like) {
        value v = lvt_lang_eval(f, t->like);
        if (v.kind == VALUE_TENSOR) {
            *out = *lvt_lang_type_of(f, v);
            return true;
        }
        if (!is_poison(v))
            lvt_lang_fail(f, at, "E224", "like() takes a tensor, not %s", lvt_lang_value_describe(f->e, v));
        return false;
    }
    if (!t->has_dtype) {
        lvt_lang_fail(f, at, "E224", "the type needs an element type, as in f32[2, 3]");
        return false;
    }
    value *items = lvt_lang_room(f->e, t->n_dims * sizeof *items);
    if (!items)
        return false;
    for (uint32_t i = 0; i < t->n_dims; i++) {
        if (!t->dims[i]) {
            lvt_lang_fail(f, at, "E224", "'...' does not fit here: all dimensions must be known");
            return false;
        }
        items[i] = lvt_lang_eval(f, t->dims[i]);
        if (is_poison(items[i]))
            return false;
    }
    value dims = {.kind = VALUE_LIST, .n = t->n_dims, .items = items};
    if (!lvt_lang_shape_of(f, dims, at, "the shape", out))
        return false;
    out->dtype = (uint8_t)t->dtype;
    return true;
}
