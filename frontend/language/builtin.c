/* The built-in functions: one row of a table each.
 *
 * Invariant: a built-in that has an op of the same name calls it as soon as an argument is a tensor. May not
 * know: how values are declared (state.c). */
#include "elab.h"

#include <math.h>
#include <string.h>

struct builtin {
    const char *name;
    int min, max;      /* arguments; max < 0: any number */
    const char *names; /* names its arguments may have, with a space before and after each; NULL: none */
    value (*run)(frame *f, const builtin *b, const argument *args, uint32_t n, spot at);
    double (*number)(double); /* of functions of one number */
    lvt_op op;                /* on tensors; LVT_N_OPS: none */
};

static value poison(void) {
    return (value){.kind = VALUE_POISON};
}

static value wrong(frame *f, const builtin *b, const argument *a, const char *wanted) {
    return fail(f, a->at, "E220", "%s takes %s, not %s", b->name, wanted, value_describe(f->e, a->v));
}

/* The argument at position k or of that name; NULL when it is not given. */
static const argument *pick(const argument *args, uint32_t n, uint32_t k, const char *name) {
    for (uint32_t i = 0; i < n; i++)
        if (args[i].name ? !strcmp(args[i].name, name) : i == k)
            return &args[i];
    return NULL;
}

/* ---- shapes and lists ---------------------------------------------------------------------------------- */

static value run_shape(frame *f, const builtin *b, const argument *a, uint32_t n, spot at) {
    (void)at;
    if (a->v.kind != VALUE_TENSOR)
        return wrong(f, b, a, "a tensor");
    lvt_type t = *type_of(f, a->v);
    value dims[LVT_MAX_RANK];
    for (int i = 0; i < t.rank; i++)
        dims[i] = value_int(t.dim[i]);
    switch (b->name[0]) {
    case 'r':
        return value_int(t.rank);
    case 'n':
        return value_int(lvt_numel(&t));
    case 's':
        return value_list(f->e, VALUE_LIST, dims, t.rank);
    default:
        break;
    }
    if (b->name[1] == 't') /* dtype */
        return (value){.kind = VALUE_DTYPE, .i = t.dtype};
    if (n < 2 || a[1].v.kind != VALUE_INT)
        return wrong(f, b, &a[n - 1], "a tensor and the number of a dimension");
    int64_t i = a[1].v.i < 0 ? a[1].v.i + t.rank : a[1].v.i;
    if (i < 0 || i >= t.rank)
        return fail(f, a[1].at, "E226", "the tensor has %d dimensions", t.rank);
    return dims[i];
}

static value run_len(frame *f, const builtin *b, const argument *a, uint32_t n, spot at) {
    (void)n, (void)at;
    return is_list(a->v) ? value_int(a->v.n) : wrong(f, b, a, "a list");
}

static value run_is_tensor(frame *f, const builtin *b, const argument *a, uint32_t n, spot at) {
    (void)f, (void)b, (void)n, (void)at;
    return value_bool(a->v.kind == VALUE_TENSOR);
}

static value run_range(frame *f, const builtin *b, const argument *a, uint32_t n, spot at) {
    int64_t v[3] = {0, 0, 1};
    for (uint32_t i = 0; i < n; i++) {
        if (a[i].v.kind != VALUE_INT || a[i].v.i > INT32_MAX || a[i].v.i < INT32_MIN)
            return wrong(f, b, &a[i], "whole numbers of 32 bits");
        v[n == 1 ? 1 : i] = a[i].v.i;
    }
    if (v[2] == 0)
        return fail(f, at, "E220", "range: the step cannot be 0");
    int64_t count = v[2] > 0 ? (v[1] - v[0] + v[2] - 1) / v[2] : (v[0] - v[1] - v[2] - 1) / -v[2];
    count = count < 0 ? 0 : count;
    if (count > ELAB_MAX_LIST)
        return fail(f, at, "E307", "a list may have at most %d items", ELAB_MAX_LIST);
    value *items = room(f->e, (size_t)count * sizeof *items);
    if (!items)
        return out_of_memory(f->e);
    for (int64_t i = 0; i < count; i++)
        items[i] = value_int(v[0] + i * v[2]);
    return (value){.kind = VALUE_LIST, .n = (uint32_t)count, .items = items};
}

static value run_zip(frame *f, const builtin *b, const argument *a, uint32_t n, spot at) {
    for (uint32_t k = 0; k < n; k++) {
        if (!is_list(a[k].v))
            return wrong(f, b, &a[k], "lists");
        if (a[k].v.n != a[0].v.n)
            return fail(f, at, "E220", "zip: the lists have %u and %u items", a[0].v.n, a[k].v.n);
    }
    value *items = room(f->e, a[0].v.n * sizeof *items);
    if (!items)
        return out_of_memory(f->e);
    for (uint32_t i = 0; i < a[0].v.n; i++) {
        value *parts = room(f->e, n * sizeof *parts);
        if (!parts)
            return out_of_memory(f->e);
        for (uint32_t k = 0; k < n; k++)
            parts[k] = a[k].v.items[i];
        items[i] = (value){.kind = VALUE_TUPLE, .n = n, .items = parts};
    }
    return (value){.kind = VALUE_LIST, .n = a[0].v.n, .items = items};
}

static value run_concat_shape(frame *f, const builtin *b, const argument *a, uint32_t n, spot at) {
    value sum = {.kind = VALUE_LIST};
    for (uint32_t i = 0; i < n; i++) {
        if (!is_list(a[i].v))
            return wrong(f, b, &a[i], "lists");
        sum = value_binary(f, AST_ADD, sum, a[i].v, at);
    }
    return sum;
}

/* ---- numbers ------------------------------------------------------------------------------------------- */

static value run_math(frame *f, const builtin *b, const argument *a, uint32_t n, spot at) {
    (void)n;
    if (a->v.kind == VALUE_TENSOR && b->op != LVT_N_OPS)
        return build_op(f, b->op, &a->v, 1, NULL, 0, at);
    if (!is_number(a->v))
        return wrong(f, b, a, b->op == LVT_N_OPS ? "a number" : "a number or a tensor");
    if (b->op == LVT_OP_abs && a->v.kind == VALUE_INT && a->v.i != INT64_MIN)
        return value_int(a->v.i < 0 ? -a->v.i : a->v.i);
    double x = number_of(a->v), y = b->number(x);
    if (isnan(y) || isinf(y))
        return fail(f, at, "E222", "%s of %s is not a number", b->name, value_text(f->e, a->v));
    bool whole = b->number == floor || b->number == ceil || b->number == round || b->number == trunc;
    if (whole && fabs(y) >= 9e18)
        return fail(f, at, "E221", "the result does not fit in 64 bits");
    return whole ? value_int((int64_t)y) : value_float(y);
}

static double identity(double x) {
    return x;
}

/* Reduction over axes (default: all) with `keep`. */
static value reduce(frame *f, lvt_op op, const argument *a, uint32_t n, spot at) {
    const argument *axes = pick(a, n, 1, "axes"), *keep = pick(a, n, 2, "keep");
    argument list[3] = {{.v = a->v, .at = a->at}};
    uint32_t k = 1;
    if (axes && axes->v.kind != VALUE_NONE) {
        list[k] = *axes;
        list[k++].name = "axes";
    }
    if (keep) {
        list[k] = *keep;
        list[k++].name = "keep";
    }
    return call_op(f, op, list, k, at);
}

static value run_reduce(frame *f, const builtin *b, const argument *a, uint32_t n, spot at) {
    if (is_list(a->v) && n == 1 && a->v.n) { /* of a list: numbers or tensors */
        value sum = a->v.items[0];
        for (uint32_t i = 1; i < a->v.n; i++)
            sum = value_binary(f, AST_ADD, sum, a->v.items[i], at);
        return b->op == LVT_OP_reduce_mean ? value_binary(f, AST_DIV, sum, value_float(a->v.n), at) : sum;
    }
    return a->v.kind == VALUE_TENSOR ? reduce(f, b->op, a, n, at) : wrong(f, b, a, "a tensor or a list");
}

static value run_extreme(frame *f, const builtin *b, const argument *a, uint32_t n, spot at) {
    bool max = b->op == LVT_OP_max, pair = n == 2 && !a[1].name && !is_list(a[1].v);
    if (pair && (a[0].v.kind == VALUE_TENSOR || a[1].v.kind == VALUE_TENSOR))
        return tensor_binary(f, b->op, a[0].v, a[1].v, at);
    if (a->v.kind == VALUE_TENSOR) {
        if (max)
            return reduce(f, LVT_OP_reduce_max, a, n, at);
        argument first = {.v = value_unary(f, AST_NEG, a->v, at), .at = a->at}, all[3];
        all[0] = first;
        for (uint32_t i = 1; i < n && i < 3; i++)
            all[i] = a[i];
        return value_unary(f, AST_NEG, reduce(f, LVT_OP_reduce_max, all, n < 3 ? n : 3, at), at);
    }
    const value *items = a->v.items;
    uint32_t count = a->v.n;
    value two[2];
    if (pair) {
        two[0] = a[0].v;
        two[1] = a[1].v;
        items = two;
        count = 2;
    } else if (!is_list(a->v) || n > 1 || !count) {
        return wrong(f, b, a, "two numbers, a list of numbers, or a tensor");
    }
    value best = items[0];
    for (uint32_t i = 0; i < count; i++) {
        if (!is_number(items[i]))
            return wrong(f, b, pair ? &a[i] : a, "numbers");
        if (max ? number_of(items[i]) > number_of(best) : number_of(items[i]) < number_of(best))
            best = items[i];
    }
    return best;
}

/* ---- tensors ------------------------------------------------------------------------------------------- */

static value run_full(frame *f, const builtin *b, const argument *a, uint32_t n, spot at) {
    lvt_type t;
    const argument *dtype = pick(a, n, 2, "dtype");
    if (!shape_of(f, a[0].v, a[0].at, "the shape", &t))
        return poison();
    if (n < 2 || a[1].name || (!is_number(a[1].v) && a[1].v.kind != VALUE_BOOL))
        return wrong(f, b, &a[n < 2 ? 0 : 1], "a shape and a number");
    if (dtype && dtype->v.kind != VALUE_DTYPE)
        return wrong(f, b, dtype, "a shape, a number and a type");
    if (!f->e->b.graph)
        return fail(f, at, "E303", "tensors are made inside entries only");
    t.dtype = dtype ? (uint8_t)dtype->v.i : a[1].v.kind == VALUE_BOOL ? LVT_BOOL : LVT_F32;
    build_begin(f, at);
    return build_end(f, lvt_build_full(&f->e->b, &t, number_of(a[1].v)), at);
}

static value run_iota(frame *f, const builtin *b, const argument *a, uint32_t n, spot at) {
    (void)b;
    argument all[3] = {{.name = "shape", .v = a[0].v, .at = a[0].at},
                       {.name = "axis", .v = value_int(0), .at = at},
                       {.name = "dtype", .v = {.kind = VALUE_DTYPE, .i = LVT_I32}, .at = at}};
    const argument *axis = pick(a, n, 1, "axis"), *dtype = pick(a, n, 2, "dtype");
    if (axis)
        all[1].v = axis->v;
    if (dtype)
        all[2].v = dtype->v;
    lvt_type t;
    if (!shape_of(f, a[0].v, a[0].at, "the shape", &t))
        return poison();
    if (all[1].v.kind == VALUE_INT && all[1].v.i < 0)
        all[1].v.i += t.rank;
    return call_op(f, LVT_OP_iota, all, 3, at);
}

static value run_stream(frame *f, const builtin *b, const argument *a, uint32_t n, spot at) {
    (void)b, (void)a, (void)n;
    if (!f->e->b.graph)
        return fail(f, at, "E303", "'stream' is known inside entries only");
    return value_int(f->e->streams++);
}

static value run_params(frame *f, const builtin *b, const argument *a, uint32_t n, spot at) {
    value *patterns = room(f->e, n * sizeof *patterns);
    if (!patterns)
        return out_of_memory(f->e);
    for (uint32_t i = 0; i < n; i++) {
        patterns[i] = a[i].v;
        if (a[i].v.kind != VALUE_STRING)
            return wrong(f, b, &a[i], "patterns in quotes");
    }
    return states_matching(f, patterns, n, !strcmp(b->name, "params"), at);
}

static value run_grad(frame *f, const builtin *b, const argument *a, uint32_t n, spot at) {
    const argument *of = pick(a, n, 1, "of");
    if (!of)
        return fail(f, at, "E312", "%s: 'of' is missing", b->name);
    return gradients(f, a->v, of->v, at);
}

/* ---- initialisers -------------------------------------------------------------------------------------- */

static value run_init(frame *f, const builtin *b, const argument *a, uint32_t n, spot at) {
    double x[2] = {0, 0};
    for (uint32_t i = 0; i < n; i++) {
        if (!is_number(a[i].v))
            return wrong(f, b, &a[i], "numbers");
        x[i] = number_of(a[i].v);
    }
    lvt_init init = {.kind = LVT_INIT_UNIFORM, .a = x[0], .b = x[1]};
    if (b->name[0] == 'k') {
        if (x[0] <= 0)
            return fail(f, at, "E220", "%s takes a number above 0", b->name);
        bool normal = b->name[8] == 'n';
        init.kind = normal ? LVT_INIT_NORMAL : LVT_INIT_UNIFORM;
        init.b = normal ? sqrt(2 / x[0]) : sqrt(1 / x[0]);
        init.a = normal ? 0 : -init.b;
    } else if (b->name[0] != 'u') {
        init.kind = b->name[0] == 'n' ? LVT_INIT_NORMAL : LVT_INIT_TRUNCATED_NORMAL;
        init.b = x[0];
        init.a = 0;
    } else if (x[0] >= x[1]) {
        return fail(f, at, "E220", "uniform takes a lower and a higher number");
    }
    return (value){.kind = VALUE_INIT, .init = init};
}

/* ---- checks -------------------------------------------------------------------------------------------- */

/* What fails ends its block: all that follows relies on it, and would only hide the cause. */
static value run_assert(frame *f, const builtin *b, const argument *a, uint32_t n, spot at) {
    if (a->v.kind != VALUE_BOOL)
        return wrong(f, b, a, "a condition known at compile time");
    if (a->v.i)
        return (value){.kind = VALUE_NONE};
    f->returned = true;
    f->result = fail(f, at, "E230", "%s", n > 1 ? value_text(f->e, a[1].v) : "this assertion does not hold");
    return f->result;
}

static value run_print(frame *f, const builtin *b, const argument *a, uint32_t n, spot at) {
    (void)b;
    const char *text = "";
    for (uint32_t i = 0; i < n; i++) {
        const char *one =
            a[i].v.kind == VALUE_TENSOR ? value_describe(f->e, a[i].v) : value_text(f->e, a[i].v);
        const char *both = lvt_arena_printf(f->e->arena, "%s%s%s", text, i ? " " : "", one);
        text = both && strlen(both) < 2000 ? both : text;
    }
    lvt_warning(f->e->diag, "print", (lvt_pos){f->file->name, at.line, at.col}, "%s", text);
    return (value){.kind = VALUE_NONE};
}

static const builtin table[] = {
    {"shape", 1, 1, NULL, run_shape, NULL, LVT_N_OPS},
    {"rank", 1, 1, NULL, run_shape, NULL, LVT_N_OPS},
    {"numel", 1, 1, NULL, run_shape, NULL, LVT_N_OPS},
    {"dim", 2, 2, NULL, run_shape, NULL, LVT_N_OPS},
    {"dtype", 1, 1, NULL, run_shape, NULL, LVT_N_OPS},
    {"is_tensor", 1, 1, NULL, run_is_tensor, NULL, LVT_N_OPS},
    {"len", 1, 1, NULL, run_len, NULL, LVT_N_OPS},
    {"range", 1, 3, NULL, run_range, NULL, LVT_N_OPS},
    {"zip", 1, -1, NULL, run_zip, NULL, LVT_N_OPS},
    {"concat_shape", 1, -1, NULL, run_concat_shape, NULL, LVT_N_OPS},
    {"int", 1, 1, NULL, run_math, trunc, LVT_N_OPS},
    {"float", 1, 1, NULL, run_math, identity, LVT_N_OPS},
    {"round", 1, 1, NULL, run_math, round, LVT_N_OPS},
    {"ceil", 1, 1, NULL, run_math, ceil, LVT_N_OPS},
    {"floor", 1, 1, NULL, run_math, floor, LVT_OP_floor},
    {"sqrt", 1, 1, NULL, run_math, sqrt, LVT_OP_sqrt},
    {"log", 1, 1, NULL, run_math, log, LVT_OP_log},
    {"exp", 1, 1, NULL, run_math, exp, LVT_OP_exp},
    {"abs", 1, 1, NULL, run_math, fabs, LVT_OP_abs},
    {"min", 1, 3, " axes keep ", run_extreme, NULL, LVT_OP_min},
    {"max", 1, 3, " axes keep ", run_extreme, NULL, LVT_OP_max},
    {"sum", 1, 3, " axes keep ", run_reduce, NULL, LVT_OP_reduce_sum},
    {"mean", 1, 3, " axes keep ", run_reduce, NULL, LVT_OP_reduce_mean},
    {"full", 2, 3, " dtype ", run_full, NULL, LVT_N_OPS},
    {"iota", 1, 3, " axis dtype ", run_iota, NULL, LVT_N_OPS},
    {"stream", 0, 0, NULL, run_stream, NULL, LVT_N_OPS},
    {"params", 0, -1, NULL, run_params, NULL, LVT_N_OPS},
    {"states", 0, -1, NULL, run_params, NULL, LVT_N_OPS},
    {"grad", 1, 2, " of ", run_grad, NULL, LVT_N_OPS},
    {"normal", 1, 1, NULL, run_init, NULL, LVT_N_OPS},
    {"truncated_normal", 1, 1, NULL, run_init, NULL, LVT_N_OPS},
    {"uniform", 2, 2, NULL, run_init, NULL, LVT_N_OPS},
    {"kaiming_uniform", 1, 1, NULL, run_init, NULL, LVT_N_OPS},
    {"kaiming_normal", 1, 1, NULL, run_init, NULL, LVT_N_OPS},
    {"assert", 1, 2, NULL, run_assert, NULL, LVT_N_OPS},
    {"print", 0, -1, NULL, run_print, NULL, LVT_N_OPS},
};

const builtin *builtin_find(const char *name) {
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!strcmp(table[i].name, name))
            return &table[i];
    return NULL;
}

size_t builtin_names(const char **names, size_t cap) {
    size_t n = 0;
    for (size_t i = 0; i < sizeof table / sizeof *table && n < cap; i++)
        names[n++] = table[i].name;
    return n;
}

value call_builtin(frame *f, const builtin *b, const argument *args, uint32_t n, spot at) {
    if ((int)n < b->min)
        return fail(f, at, "E312", "%s takes at least %d argument%s", b->name, b->min,
                    b->min == 1 ? "" : "s");
    if (b->max >= 0 && (int)n > b->max)
        return fail(f, args[b->max].at, "E310", "%s takes at most %d argument%s", b->name, b->max,
                    b->max == 1 ? "" : "s");
    for (uint32_t i = 0; i < n; i++) {
        if (!args[i].name)
            continue;
        char word[64] = " ";
        size_t length = strlen(args[i].name);
        if (length < sizeof word - 2) {
            memcpy(word + 1, args[i].name, length);
            memcpy(word + 1 + length, " ", 2);
        }
        if (i == 0 || !b->names || !strstr(b->names, word))
            return fail(f, args[i].name_at, "E311", "%s has no parameter '%.60s'", b->name, args[i].name);
    }
    return b->run(f, b, args, n, at);
}
