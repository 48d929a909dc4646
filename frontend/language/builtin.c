/* The built-in functions: one row of a table each.
 *
 * Invariant: a built-in that has an op of the same name calls it as soon as an argument is a tensor. May not
 * know: how values are declared (state.c). */
#include "elab.h"
#include "language.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct builtin {
    const char *name;
    int min, max; /* arguments; max < 0: any number */
    const char
        *names; /* names its arguments may have, with a space before and after each; "*": any; NULL: none */
    value (*run)(frame *f, const builtin *b, const argument *args, uint32_t n, spot at);
    double (*number)(double);    /* of functions of one number */
    lvt_op op;                   /* on tensors; LVT_N_OPS: none */
    const char *usage, *meaning; /* for people: `lvtc --ops`, the guide */
};

static value poison(void) {
    return (value){.kind = VALUE_POISON};
}

static value wrong(frame *f, const builtin *b, const argument *a, const char *wanted) {
    return lvt_lang_fail(f, a->at, "E220", "%s takes %s, not %s", b->name, wanted,
                         lvt_lang_value_describe(f->e, a->v));
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
    lvt_type t = *lvt_lang_type_of(f, a->v);
    value dims[LVT_MAX_RANK];
    for (int i = 0; i < t.rank; i++)
        dims[i] = lvt_lang_value_int(t.dim[i]);
    switch (b->name[0]) {
    case 'r':
        return lvt_lang_value_int(t.rank);
    case 'n':
        return lvt_lang_value_int(lvt_numel(&t));
    case 's':
        return lvt_lang_value_list(f->e, VALUE_LIST, dims, t.rank);
    default:
        break;
    }
    if (b->name[1] == 't') /* dtype */
        return (value){.kind = VALUE_DTYPE, .i = t.dtype};
    if (n < 2 || a[1].v.kind != VALUE_INT)
        return wrong(f, b, &a[n - 1], "a tensor and the number of a dimension");
    int64_t i = a[1].v.i < 0 ? a[1].v.i + t.rank : a[1].v.i;
    if (i < 0 || i >= t.rank)
        return lvt_lang_fail(f, a[1].at, "E226", "the tensor has %d dimensions", t.rank);
    return dims[i];
}

static value run_len(frame *f, const builtin *b, const argument *a, uint32_t n, spot at) {
    (void)n, (void)at;
    return is_list(a->v) ? lvt_lang_value_int(a->v.n) : wrong(f, b, a, "a list");
}

static value run_is_tensor(frame *f, const builtin *b, const argument *a, uint32_t n, spot at) {
    (void)f, (void)b, (void)n, (void)at;
    return lvt_lang_value_bool(a->v.kind == VALUE_TENSOR);
}

static value run_range(frame *f, const builtin *b, const argument *a, uint32_t n, spot at) {
    int64_t v[3] = {0, 0, 1};
    for (uint32_t i = 0; i < n; i++) {
        if (a[i].v.kind != VALUE_INT || a[i].v.i > INT32_MAX || a[i].v.i < INT32_MIN)
            return wrong(f, b, &a[i], "whole numbers of 32 bits");
        v[n == 1 ? 1 : i] = a[i].v.i;
    }
    if (v[2] == 0)
        return lvt_lang_fail(f, at, "E220", "range: the step cannot be 0");
    int64_t count = v[2] > 0 ? (v[1] - v[0] + v[2] - 1) / v[2] : (v[0] - v[1] - v[2] - 1) / -v[2];
    count = count < 0 ? 0 : count;
    if (count > ELAB_MAX_LIST)
        return lvt_lang_fail(f, at, "E307", "a list may have at most %d items", ELAB_MAX_LIST);
    value *items = lvt_lang_room(f->e, (size_t)count * sizeof *items);
    if (!items)
        return lvt_lang_out_of_memory(f->e);
    for (int64_t i = 0; i < count; i++)
        items[i] = lvt_lang_value_int(v[0] + i * v[2]);
    return (value){.kind = VALUE_LIST, .n = (uint32_t)count, .items = items};
}

static value run_zip(frame *f, const builtin *b, const argument *a, uint32_t n, spot at) {
    for (uint32_t k = 0; k < n; k++) {
        if (!is_list(a[k].v))
            return wrong(f, b, &a[k], "lists");
        if (a[k].v.n != a[0].v.n)
            return lvt_lang_fail(f, at, "E220", "zip: the lists have %u and %u items", a[0].v.n, a[k].v.n);
    }
    value *items = lvt_lang_room(f->e, a[0].v.n * sizeof *items);
    if (!items)
        return lvt_lang_out_of_memory(f->e);
    for (uint32_t i = 0; i < a[0].v.n; i++) {
        value *parts = lvt_lang_room(f->e, n * sizeof *parts);
        if (!parts)
            return lvt_lang_out_of_memory(f->e);
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
        sum = lvt_lang_value_binary(f, AST_ADD, sum, a[i].v, at);
    }
    return sum;
}

/* ---- numbers ------------------------------------------------------------------------------------------- */

static value run_math(frame *f, const builtin *b, const argument *a, uint32_t n, spot at) {
    (void)n;
    if (a->v.kind == VALUE_TENSOR && b->op != LVT_N_OPS)
        return lvt_lang_build_op(f, b->op, &a->v, 1, NULL, 0, at);
    if (!is_number(a->v))
        return wrong(f, b, a, b->op == LVT_N_OPS ? "a number" : "a number or a tensor");
    if (b->op == LVT_OP_abs && a->v.kind == VALUE_INT && a->v.i != INT64_MIN)
        return lvt_lang_value_int(a->v.i < 0 ? -a->v.i : a->v.i);
    double x = number_of(a->v), y = b->number(x);
    if (isnan(y) || isinf(y))
        return lvt_lang_fail(f, at, "E222", "%s of %s is not a number", b->name,
                             lvt_lang_value_text(f->e, a->v));
    bool whole = b->number == floor || b->number == ceil || b->number == round || b->number == trunc;
    if (whole && fabs(y) >= 9e18)
        return lvt_lang_fail(f, at, "E221", "the result does not fit in 64 bits");
    return whole ? lvt_lang_value_int((int64_t)y) : lvt_lang_value_float(y);
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
    return lvt_lang_call_op(f, op, list, k, at);
}

static value run_reduce(frame *f, const builtin *b, const argument *a, uint32_t n, spot at) {
    if (is_list(a->v) && n == 1 && a->v.n) { /* of a list: numbers or tensors */
        value sum = a->v.items[0];
        for (uint32_t i = 1; i < a->v.n; i++)
            sum = lvt_lang_value_binary(f, AST_ADD, sum, a->v.items[i], at);
        return b->op == LVT_OP_reduce_mean
                   ? lvt_lang_value_binary(f, AST_DIV, sum, lvt_lang_value_float(a->v.n), at)
                   : sum;
    }
    return a->v.kind == VALUE_TENSOR ? reduce(f, b->op, a, n, at) : wrong(f, b, a, "a tensor or a list");
}

static value run_extreme(frame *f, const builtin *b, const argument *a, uint32_t n, spot at) {
    bool max = b->op == LVT_OP_max, pair = n == 2 && !a[1].name && !is_list(a[1].v);
    if (pair && (a[0].v.kind == VALUE_TENSOR || a[1].v.kind == VALUE_TENSOR))
        return lvt_lang_tensor_binary(f, b->op, a[0].v, a[1].v, at);
    if (a->v.kind == VALUE_TENSOR) {
        if (max)
            return reduce(f, LVT_OP_reduce_max, a, n, at);
        argument first = {.v = lvt_lang_value_unary(f, AST_NEG, a->v, at), .at = a->at}, all[3];
        all[0] = first;
        for (uint32_t i = 1; i < n && i < 3; i++)
            all[i] = a[i];
        return lvt_lang_value_unary(f, AST_NEG, reduce(f, LVT_OP_reduce_max, all, n < 3 ? n : 3, at), at);
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
    if (!lvt_lang_shape_of(f, a[0].v, a[0].at, "the shape", &t))
        return poison();
    if (n < 2 || a[1].name || (!is_number(a[1].v) && a[1].v.kind != VALUE_BOOL))
        return wrong(f, b, &a[n < 2 ? 0 : 1], "a shape and a number");
    if (dtype && dtype->v.kind != VALUE_DTYPE)
        return wrong(f, b, dtype, "a shape, a number and a type");
    if (!f->e->b.graph)
        return lvt_lang_fail(f, at, "E303", "tensors are made inside entries only");
    t.dtype = dtype ? (uint8_t)dtype->v.i : a[1].v.kind == VALUE_BOOL ? LVT_BOOL : LVT_F32;
    lvt_lang_build_begin(f, at);
    return lvt_lang_build_end(f, lvt_build_full(&f->e->b, &t, number_of(a[1].v)), at);
}

static value run_iota(frame *f, const builtin *b, const argument *a, uint32_t n, spot at) {
    (void)b;
    argument all[3] = {{.name = "shape", .v = a[0].v, .at = a[0].at},
                       {.name = "axis", .v = lvt_lang_value_int(0), .at = at},
                       {.name = "dtype", .v = {.kind = VALUE_DTYPE, .i = LVT_I32}, .at = at}};
    const argument *axis = pick(a, n, 1, "axis"), *dtype = pick(a, n, 2, "dtype");
    if (axis)
        all[1].v = axis->v;
    if (dtype)
        all[2].v = dtype->v;
    lvt_type t;
    if (!lvt_lang_shape_of(f, a[0].v, a[0].at, "the shape", &t))
        return poison();
    if (all[1].v.kind == VALUE_INT && all[1].v.i < 0)
        all[1].v.i += t.rank;
    return lvt_lang_call_op(f, LVT_OP_iota, all, 3, at);
}

static value run_stream(frame *f, const builtin *b, const argument *a, uint32_t n, spot at) {
    (void)b, (void)a, (void)n;
    if (!f->e->b.graph)
        return lvt_lang_fail(f, at, "E303", "'stream' is known inside entries only");
    return lvt_lang_value_int(f->e->streams++);
}

static value run_random_key(frame *f, const builtin *b, const argument *a, uint32_t n, spot at) {
    (void)b, (void)a, (void)n;
    return lvt_lang_random_key(f, at);
}

static value run_params(frame *f, const builtin *b, const argument *a, uint32_t n, spot at) {
    value *patterns = lvt_lang_room(f->e, n * sizeof *patterns);
    uint32_t n_patterns = 0;
    bool optional = false;
    if (!patterns)
        return lvt_lang_out_of_memory(f->e);
    for (uint32_t i = 0; i < n; i++) {
        if (a[i].name && a[i].v.kind == VALUE_BOOL)
            optional = a[i].v.i;
        else if (!a[i].name && a[i].v.kind == VALUE_STRING)
            patterns[n_patterns++] = a[i].v;
        else
            return wrong(f, b, &a[i], a[i].name ? "optional = true or false" : "patterns in quotes");
    }
    return lvt_lang_states_matching(f, patterns, n_patterns, !strcmp(b->name, "params"), optional, at);
}

static value run_grad(frame *f, const builtin *b, const argument *a, uint32_t n, spot at) {
    const argument *of = pick(a, n, 1, "of");
    if (!of)
        return lvt_lang_fail(f, at, "E312", "%s: 'of' is missing", b->name);
    return lvt_lang_gradients(f, a->v, of->v, at);
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
            return lvt_lang_fail(f, at, "E220", "%s takes a number above 0", b->name);
        bool normal = b->name[8] == 'n';
        init.kind = normal ? LVT_INIT_NORMAL : LVT_INIT_UNIFORM;
        init.b = normal ? sqrt(2 / x[0]) : sqrt(1 / x[0]);
        init.a = normal ? 0 : -init.b;
    } else if (b->name[0] != 'u') {
        init.kind = b->name[0] == 'n' ? LVT_INIT_NORMAL : LVT_INIT_TRUNCATED_NORMAL;
        init.b = x[0];
        init.a = 0;
    } else if (x[0] >= x[1]) {
        return lvt_lang_fail(f, at, "E220", "uniform takes a lower and a higher number");
    }
    return (value){.kind = VALUE_INIT, .init = init};
}

/* ---- checks -------------------------------------------------------------------------------------------- */

/* What fails ends its block: all that follows relies on it, and would only hide the cause. `at`, a block: the
 * mistake is there. In a contract it is where the contract is used. */
static value run_assert(frame *f, const builtin *b, const argument *a, uint32_t n, spot at) {
    if (a->v.kind != VALUE_BOOL)
        return wrong(f, b, a, "a condition known at compile time");
    if (a->v.i)
        return (value){.kind = VALUE_NONE};
    f->returned = true;
    const argument *text = pick(a, n, 1, "text"), *where = pick(a, n, 2, "at");
    frame declared = *f, *to = f->user ? f->user : f;
    spot place = f->user ? f->used_at : at;
    if (where && where->v.kind == VALUE_BLOCK) {
        to = &declared;
        declared.file = where->v.block->file;
        declared.parent = 0;
        place = SPOT(&where->v.block->ast->names[0]);
    }
    f->result = lvt_lang_fail(to, place, "E230", "%s",
                              text ? lvt_lang_value_text(f->e, text->v) : "this assertion does not hold");
    if (to != f)
        lvt_lang_explain(f, at.line, at.col, f->file, "it is asked for here");
    return f->result;
}

static value run_print(frame *f, const builtin *b, const argument *a, uint32_t n, spot at) {
    (void)b;
    const char *text = "";
    for (uint32_t i = 0; i < n; i++) {
        const char *one = a[i].v.kind == VALUE_TENSOR ? lvt_lang_value_describe(f->e, a[i].v)
                                                      : lvt_lang_value_text(f->e, a[i].v);
        const char *both = lvt_arena_printf(f->e->arena, "%s%s%s", text, i ? " " : "", one);
        text = both && strlen(both) <= ELAB_MAX_TEXT ? both : text;
    }
    lvt_warning(f->e->diag, "print", (lvt_pos){f->file->name, at.line, at.col}, "%s", text);
    return (value){.kind = VALUE_NONE};
}

/* clang-format off */
static const builtin table[] = {
    {"shape", 1, 1, NULL, run_shape, NULL, LVT_N_OPS,
     "shape(x)",
     "the dims of a tensor as a list"},
    {"rank", 1, 1, NULL, run_shape, NULL, LVT_N_OPS,
     "rank(x)",
     "how many dims a tensor has"},
    {"numel", 1, 1, NULL, run_shape, NULL, LVT_N_OPS,
     "numel(x)",
     "how many elements a tensor has"},
    {"dim", 2, 2, NULL, run_shape, NULL, LVT_N_OPS,
     "dim(x, i)",
     "dim i of a tensor, from the end when negative"},
    {"dtype", 1, 1, NULL, run_shape, NULL, LVT_N_OPS,
     "dtype(x)",
     "the element type of a tensor"},
    {"is_tensor", 1, 1, NULL, run_is_tensor, NULL, LVT_N_OPS,
     "is_tensor(v)",
     "whether v is a tensor: an input that is not there, or none, is not"},
    {"len", 1, 1, NULL, run_len, NULL, LVT_N_OPS,
     "len(list)",
     "how many items a list has"},
    {"range", 1, 3, NULL, run_range, NULL, LVT_N_OPS,
     "range(n), range(from, to, step = 1)",
     "the list of whole numbers from 0 or `from` to below n or `to`"},
    {"zip", 1, -1, NULL, run_zip, NULL, LVT_N_OPS,
     "zip(a, b, ...)",
     "the items of lists of equal length side by side: for p, g in zip(ps, gs) { ... }"},
    {"concat_shape", 1, -1, NULL, run_concat_shape, NULL, LVT_N_OPS,
     "concat_shape(a, b, ...)",
     "lists one after the other, as a + b"},
    {"int", 1, 1, NULL, run_math, trunc, LVT_N_OPS,
     "int(x)",
     "a number without its fraction"},
    {"float", 1, 1, NULL, run_math, identity, LVT_N_OPS,
     "float(x)",
     "a number as a float"},
    {"round", 1, 1, NULL, run_math, round, LVT_N_OPS,
     "round(x)",
     "the nearest whole number, halves away from 0"},
    {"ceil", 1, 1, NULL, run_math, ceil, LVT_N_OPS,
     "ceil(x)",
     "the next whole number above"},
    {"floor", 1, 1, NULL, run_math, floor, LVT_OP_floor,
     "floor(x)",
     "the next whole number below; of a tensor the op"},
    {"sqrt", 1, 1, NULL, run_math, sqrt, LVT_OP_sqrt,
     "sqrt(x)",
     "square root of a number; of a tensor the op"},
    {"log", 1, 1, NULL, run_math, log, LVT_OP_log,
     "log(x)",
     "natural logarithm of a number; of a tensor the op"},
    {"exp", 1, 1, NULL, run_math, exp, LVT_OP_exp,
     "exp(x)",
     "e to the power of a number; of a tensor the op"},
    {"abs", 1, 1, NULL, run_math, fabs, LVT_OP_abs,
     "abs(x)",
     "absolute value of a number; of a tensor the op"},
    {"min", 1, 3, " axes keep ", run_extreme, NULL, LVT_OP_min,
     "min(a, b), min(list), min(x, axes = all, keep = false)",
     "the smaller of two numbers or, element by element, tensors; the smallest of a list, or along axes of a tensor"},
    {"max", 1, 3, " axes keep ", run_extreme, NULL, LVT_OP_max,
     "max(a, b), max(list), max(x, axes = all, keep = false)",
     "the larger of two numbers or, element by element, tensors; the largest of a list, or along axes of a tensor"},
    {"sum", 1, 3, " axes keep ", run_reduce, NULL, LVT_OP_reduce_sum,
     "sum(list), sum(x, axes = all, keep = false)",
     "of numbers and tensors in a list, or along axes of a tensor; keep: reduced dims stay as 1"},
    {"mean", 1, 3, " axes keep ", run_reduce, NULL, LVT_OP_reduce_mean,
     "mean(list), mean(x, axes = all, keep = false)",
     "of numbers and tensors in a list, or along axes of a tensor; keep: reduced dims stay as 1"},
    {"full", 2, 3, " dtype ", run_full, NULL, LVT_N_OPS,
     "full(shape, v, dtype = f32)",
     "a tensor of one value"},
    {"iota", 1, 3, " axis dtype ", run_iota, NULL, LVT_N_OPS,
     "iota(shape, axis = 0, dtype = i32)",
     "a tensor whose elements are their index along the axis"},
    {"stream", 0, 0, NULL, run_stream, NULL, LVT_N_OPS,
     "stream()",
     "another number at each use: the stream of random_uniform"},
    {"random_key", 0, 0, NULL, run_random_key, NULL, LVT_N_OPS,
     "random_key()",
     "seed and step number, i32[2], the key of random_uniform: the entry's input `step`, which an entry that does not declare it gets"},
    {"params", 0, -1, " optional ", run_params, NULL, LVT_N_OPS,
     "params(pattern, ..., optional = false)",
     "the list of parameters declared so far whose paths match a pattern such as \"*.key\"; without patterns all; optional: a pattern may match none"},
    {"states", 0, -1, " optional ", run_params, NULL, LVT_N_OPS,
     "states(pattern, ..., optional = false)",
     "the same of what is not trained"},
    {"grad", 1, 2, " of ", run_grad, NULL, LVT_N_OPS,
     "grad(loss, of = list)",
     "the list of gradients of a scalar for tensors"},
    {"normal", 1, 1, NULL, run_init, NULL, LVT_N_OPS,
     "normal(std)",
     "initialiser: normal distribution around 0"},
    {"truncated_normal", 1, 1, NULL, run_init, NULL, LVT_N_OPS,
     "truncated_normal(std)",
     "initialiser: the same within two deviations"},
    {"uniform", 2, 2, NULL, run_init, NULL, LVT_N_OPS,
     "uniform(a, b)",
     "initialiser: evenly from a to below b"},
    {"kaiming_uniform", 1, 1, NULL, run_init, NULL, LVT_N_OPS,
     "kaiming_uniform(fan_in)",
     "initialiser: evenly within sqrt(1 / fan_in) of 0, as PyTorch's layers start"},
    {"kaiming_normal", 1, 1, NULL, run_init, NULL, LVT_N_OPS,
     "kaiming_normal(fan_out)",
     "initialiser: normal with deviation sqrt(2 / fan_out)"},
    {"assert", 1, 3, " at ", run_assert, NULL, LVT_N_OPS,
     "assert(condition, \"text\", at = block)",
     "an error with the text where a condition known at compile time does not hold; at: the block to blame"},
    {"print", 0, -1, NULL, run_print, NULL, LVT_N_OPS,
     "print(v, ...)",
     "a warning with the values, to look at them while compiling"},
    {"record", 0, -1, "*", lvt_lang_run_record, NULL, LVT_N_OPS,
     "record(r, ..., name = v, ...)",
     "a record of these values and of the fields of other records; a later field replaces an earlier one"},
    {"settings", 0, 0, NULL, lvt_lang_run_settings, NULL, LVT_N_OPS,
     "settings()",
     "the record of all settings"},
    {"inputs", 0, 0, NULL, lvt_lang_run_inputs, NULL, LVT_N_OPS,
     "inputs()",
     "the record of the entry's inputs"},
    {"has", 2, 2, NULL, lvt_lang_run_has, NULL, LVT_N_OPS,
     "has(r, \"name\")",
     "whether a record has a field of that name"},
    {"kind", 1, 1, NULL, lvt_lang_run_kind, NULL, LVT_N_OPS,
     "kind(v)",
     "what v is, as a text"},
};
/* clang-format on */

const builtin *lvt_lang_builtin_find(const char *name) {
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!strcmp(table[i].name, name))
            return &table[i];
    return NULL;
}

size_t lvt_lang_builtin_names(const char **names, size_t cap) {
    size_t n = 0;
    for (size_t i = 0; i < sizeof table / sizeof *table && n < cap; i++)
        names[n++] = table[i].name;
    return n;
}

char *lvt_builtin_text(size_t i) {
    if (i >= sizeof table / sizeof *table)
        return NULL;
    size_t n = strlen(table[i].usage) + strlen(table[i].meaning) + 8;
    char *text = malloc(n);
    if (text)
        snprintf(text, n, "%s\n    %s\n", table[i].usage, table[i].meaning);
    return text;
}

const char *lvt_builtin_name(size_t i) {
    return i < sizeof table / sizeof *table ? table[i].name : NULL;
}

value lvt_lang_call_builtin(frame *f, const builtin *b, const argument *args, uint32_t n, spot at) {
    if ((int)n < b->min)
        return lvt_lang_fail(f, at, "E312", "%s takes at least %d argument%s", b->name, b->min,
                             b->min == 1 ? "" : "s");
    if (b->max >= 0 && (int)n > b->max)
        return lvt_lang_fail(f, args[b->max].at, "E310", "%s takes at most %d argument%s", b->name, b->max,
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
        bool any = b->names && b->names[0] == '*';
        if (!any && (i == 0 || !b->names || !strstr(b->names, word)))
            return lvt_lang_fail(f, args[i].name_at, "E311", "%s has no parameter '%.60s'", b->name,
                                 args[i].name);
    }
    return b->run(f, b, args, n, at);
}
