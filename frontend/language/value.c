/* Compile-time values and their arithmetic.
 *
 * Invariant: integers never overflow silently, `/` of integers is exact or an error, no value is changed in
 * place. May not know: graphs, except through lvt_lang_tensor_binary. */
#include "elab.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

value lvt_lang_value_int(int64_t i) {
    return (value){.kind = VALUE_INT, .i = i};
}
value lvt_lang_value_float(double x) {
    return (value){.kind = VALUE_FLOAT, .f = x};
}
value lvt_lang_value_bool(bool b) {
    return (value){.kind = VALUE_BOOL, .i = b};
}
value lvt_lang_value_string(const char *s) {
    return (value){.kind = VALUE_STRING, .s = s};
}
value lvt_lang_value_tensor(lvt_value v, uint32_t state) {
    return (value){.kind = VALUE_TENSOR, .tensor = {.v = v, .state = state}};
}

value lvt_lang_value_list(elab *e, value_kind kind, const value *items, size_t n) {
    if (n > ELAB_MAX_LIST)
        return lvt_lang_beyond(e, "a list has more than %d items", ELAB_MAX_LIST);
    value *copy = lvt_lang_room(e, n * sizeof *copy);
    if (!copy)
        return lvt_lang_out_of_memory(e);
    if (n)
        memcpy(copy, items, n * sizeof *copy);
    return (value){.kind = (uint8_t)kind, .n = (uint32_t)n, .items = copy};
}

/* Lists that share parts may be compared in many more ways than they have items: what is spent bounds it. */
static bool value_equal(elab *e, value a, value b) {
    if (!lvt_lang_spend(e, 1))
        return false;
    if (is_number(a) && is_number(b))
        return a.kind == VALUE_INT && b.kind == VALUE_INT ? a.i == b.i : number_of(a) == number_of(b);
    if (is_list(a) && is_list(b)) {
        if (a.n != b.n)
            return false;
        for (uint32_t i = 0; i < a.n; i++)
            if (!value_equal(e, a.items[i], b.items[i]))
                return false;
        return true;
    }
    if (a.kind != b.kind)
        return false;
    switch (a.kind) {
    case VALUE_NONE:
        return true;
    case VALUE_BOOL:
    case VALUE_DTYPE:
        return a.i == b.i;
    case VALUE_STRING:
    case VALUE_BUILTIN:
        return !strcmp(a.s, b.s);
    case VALUE_BLOCK:
    case VALUE_CONTRACT:
        return a.block->ast == b.block->ast;
    case VALUE_NET:
        return a.net == b.net;
    case VALUE_TENSOR:
        return a.tensor.v == b.tensor.v;
    default:
        return false;
    }
}

static const struct op_row {
    const char *text;
    lvt_op op; /* on tensors; LVT_N_OPS: none */
} op_rows[AST_N_OPS] = {
    [AST_ADD] = {"+", LVT_OP_add},  [AST_SUB] = {"-", LVT_OP_sub},       [AST_MUL] = {"*", LVT_OP_mul},
    [AST_DIV] = {"/", LVT_OP_div},  [AST_FLOORDIV] = {"//", LVT_N_OPS},  [AST_MOD] = {"%", LVT_OP_mod},
    [AST_POW] = {"**", LVT_OP_pow}, [AST_MATMUL] = {"@", LVT_OP_matmul}, [AST_LT] = {"<", LVT_OP_lt},
    [AST_LE] = {"<=", LVT_OP_le},   [AST_GT] = {">", LVT_OP_gt},         [AST_GE] = {">=", LVT_OP_ge},
    [AST_EQ] = {"==", LVT_OP_eq},   [AST_NE] = {"!=", LVT_OP_ne},        [AST_AND] = {"and", LVT_OP_and},
    [AST_OR] = {"or", LVT_OP_or},   [AST_NEG] = {"-", LVT_OP_neg},       [AST_NOT] = {"not", LVT_OP_not},
};

static value overflow(frame *f, spot at) {
    return lvt_lang_fail(f, at, "E221", "the result does not fit in 64 bits");
}

static value power(frame *f, int64_t base, int64_t exponent, spot at) {
    if (exponent < 0)
        return lvt_lang_value_float(pow((double)base, (double)exponent));
    int64_t r = 1;
    for (; exponent; exponent >>= 1) {
        if ((exponent & 1) && __builtin_mul_overflow(r, base, &r))
            return overflow(f, at);
        if (exponent > 1 && __builtin_mul_overflow(base, base, &base))
            return overflow(f, at);
    }
    return lvt_lang_value_int(r);
}

static value int_binary(frame *f, ast_op op, int64_t a, int64_t b, spot at) {
    int64_t r = 0;
    bool bad = false;
    switch (op) {
    case AST_ADD:
        bad = __builtin_add_overflow(a, b, &r);
        break;
    case AST_SUB:
        bad = __builtin_sub_overflow(a, b, &r);
        break;
    case AST_MUL:
        bad = __builtin_mul_overflow(a, b, &r);
        break;
    case AST_DIV:
    case AST_FLOORDIV:
    case AST_MOD:
        if (!b)
            return lvt_lang_fail(f, at, "E222", "division by zero");
        if (a == INT64_MIN && b == -1)
            return op == AST_MOD ? lvt_lang_value_int(0) : overflow(f, at);
        if (op == AST_DIV && a % b)
            return lvt_lang_fail(f, at, "E223",
                                 "%" PRId64 " / %" PRId64
                                 " is not a whole number; // rounds down, a point as in %" PRId64
                                 ".0 gives a fraction",
                                 a, b, b);
        r = a % b;
        if (r && (r < 0) != (b < 0)) /* as Python: the remainder has the divisor's sign */
            r += b;
        if (op != AST_MOD)
            r = (a - r) / b;
        break;
    case AST_POW:
        return power(f, a, b, at);
    case AST_LT:
        return lvt_lang_value_bool(a < b);
    case AST_LE:
        return lvt_lang_value_bool(a <= b);
    case AST_GT:
        return lvt_lang_value_bool(a > b);
    case AST_GE:
        return lvt_lang_value_bool(a >= b);
    default:
        return lvt_lang_fail(f, at, "E220", "'%s' does not work on numbers", op_rows[op].text);
    }
    return bad ? overflow(f, at) : lvt_lang_value_int(r);
}

static value float_binary(frame *f, ast_op op, double a, double b, spot at) {
    switch (op) {
    case AST_ADD:
        return lvt_lang_value_float(a + b);
    case AST_SUB:
        return lvt_lang_value_float(a - b);
    case AST_MUL:
        return lvt_lang_value_float(a * b);
    case AST_DIV:
    case AST_FLOORDIV:
    case AST_MOD:
        if (b == 0)
            return lvt_lang_fail(f, at, "E222", "division by zero");
        if (op == AST_DIV)
            return lvt_lang_value_float(a / b);
        return lvt_lang_value_float(op == AST_MOD ? a - floor(a / b) * b : floor(a / b));
    case AST_POW:
        return lvt_lang_value_float(pow(a, b));
    case AST_LT:
        return lvt_lang_value_bool(a < b);
    case AST_LE:
        return lvt_lang_value_bool(a <= b);
    case AST_GT:
        return lvt_lang_value_bool(a > b);
    case AST_GE:
        return lvt_lang_value_bool(a >= b);
    default:
        return lvt_lang_fail(f, at, "E220", "'%s' does not work on numbers", op_rows[op].text);
    }
}

value lvt_lang_value_binary(frame *f, ast_op op, value a, value b, spot at) {
    elab *e = f->e;
    if (is_poison(a) || is_poison(b))
        return (value){.kind = VALUE_POISON};
    bool none = a.kind == VALUE_NONE || b.kind == VALUE_NONE;
    if (none && (op == AST_EQ || op == AST_NE)) { /* of a tensor, too: is there one? */
        return lvt_lang_value_bool((a.kind == b.kind) == (op == AST_EQ));
    } else if (a.kind == VALUE_TENSOR || b.kind == VALUE_TENSOR) {
        bool other = (a.kind == VALUE_TENSOR || is_number(a) || a.kind == VALUE_BOOL) &&
                     (b.kind == VALUE_TENSOR || is_number(b) || b.kind == VALUE_BOOL);
        if (op == AST_FLOORDIV && other) { /* of integers, div rounds down by itself */
            value q = lvt_lang_tensor_binary(f, LVT_OP_div, a, b, at);
            bool real = !is_poison(q) && lvt_dtype_is_float((lvt_dtype)lvt_lang_type_of(f, q)->dtype);
            return real ? lvt_lang_build_op(f, LVT_OP_floor, &q, 1, NULL, 0, at) : q;
        }
        if (op_rows[op].op != LVT_N_OPS && other)
            return lvt_lang_tensor_binary(f, op_rows[op].op, a, b, at);
    } else if (op == AST_EQ || op == AST_NE) {
        bool equal = value_equal(e, a, b);
        return e->nomem ? (value){.kind = VALUE_POISON} : lvt_lang_value_bool(equal == (op == AST_EQ));
    } else if (a.kind == VALUE_INT && b.kind == VALUE_INT) {
        return int_binary(f, op, a.i, b.i, at);
    } else if (is_number(a) && is_number(b)) {
        return float_binary(f, op, number_of(a), number_of(b), at);
    } else if (op == AST_ADD && a.kind == VALUE_STRING) {
        const char *s = lvt_arena_printf(e->arena, "%s%s", a.s, lvt_lang_value_text(e, b));
        if (s && strlen(s) > ELAB_MAX_TEXT)
            return lvt_lang_fail(f, at, "E307", "a text may have at most %d bytes", ELAB_MAX_TEXT);
        return s ? lvt_lang_value_string(s) : lvt_lang_out_of_memory(e);
    } else if (op == AST_ADD && is_list(a) && is_list(b)) {
        if ((size_t)a.n + b.n > ELAB_MAX_LIST)
            return lvt_lang_fail(f, at, "E307", "a list may have at most %d items", ELAB_MAX_LIST);
        value *items = lvt_lang_room(e, ((size_t)a.n + b.n) * sizeof *items);
        if (!items)
            return lvt_lang_out_of_memory(e);
        if (a.n)
            memcpy(items, a.items, a.n * sizeof *items);
        if (b.n)
            memcpy(items + a.n, b.items, b.n * sizeof *items);
        return (value){.kind = VALUE_LIST, .n = a.n + b.n, .items = items};
    }
    return lvt_lang_fail(f, at, "E220", "'%s' does not work on %s and %s", op_rows[op].text,
                         lvt_lang_value_describe(e, a), lvt_lang_value_describe(e, b));
}

value lvt_lang_value_unary(frame *f, ast_op op, value a, spot at) {
    if (is_poison(a))
        return a;
    if (a.kind == VALUE_TENSOR)
        return lvt_lang_build_op(f, op_rows[op].op, &a, 1, NULL, 0, at);
    if (op == AST_NOT && a.kind == VALUE_BOOL)
        return lvt_lang_value_bool(!a.i);
    if (op == AST_NEG && a.kind == VALUE_INT)
        return a.i == INT64_MIN ? overflow(f, at) : lvt_lang_value_int(-a.i);
    if (op == AST_NEG && a.kind == VALUE_FLOAT)
        return lvt_lang_value_float(-a.f);
    return lvt_lang_fail(f, at, "E220", "'%s' does not work on %s", op_rows[op].text,
                         lvt_lang_value_describe(f->e, a));
}
