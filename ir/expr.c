/* Scalar expressions of pointwise ops: their parser, and the value of every primitive on scalars.
 *
 * Invariant: this file is the meaning of the primitives; the code generator is compared with it. Integers
 * (i32) wrap to 32 bits; their div rounds down, and gives 0 for a divisor of 0. A NaN among the operands of
 * arithmetic is a NaN of the result, but pow(x, 0) and pow(1, x) are 1, as in C. May not know: graphs,
 * tensors. */
#include "op.h"
#include "ir/base/c_locale.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- parsing: comparison < sum < product < unary < atom, all left-associative ---- */

typedef struct parser {
    const char *p;
    lvt_arena *arena;
    int depth;
} parser;

enum { MAX_DEPTH = 64 };

static lvt_expr *parse_comparison(parser *s);

static void skip_blanks(parser *s) {
    while (*s->p == ' ')
        s->p++;
}

static bool take(parser *s, char c) {
    skip_blanks(s);
    if (*s->p != c)
        return false;
    s->p++;
    return true;
}

static lvt_expr *make_call(parser *s, lvt_op op, lvt_expr *x, lvt_expr *y) {
    if (!x)
        return NULL;
    lvt_expr *e = lvt_arena_alloc(s->arena, sizeof *e);
    if (e)
        *e = (lvt_expr){.kind = LVT_EXPR_CALL, .op = op, .n_args = y ? 2 : 1, .args = {x, y}};
    return e;
}

static lvt_expr *parse_number(parser *s) {
    char *end;
    double value = lvt_strtod(s->p, &end);
    lvt_expr *e = end > s->p ? lvt_arena_alloc(s->arena, sizeof *e) : NULL;
    if (e)
        *e = (lvt_expr){.kind = LVT_EXPR_NUMBER, .number = value};
    s->p = end;
    return e;
}

static lvt_expr *parse_atom(parser *s) {
    skip_blanks(s);
    if (lvt_is_digit(*s->p))
        return parse_number(s);
    if (take(s, '(')) {
        lvt_expr *e = parse_comparison(s);
        return take(s, ')') ? e : NULL;
    }
    const char *start = s->p;
    while (lvt_is_letter(*s->p) || lvt_is_digit(*s->p) || *s->p == '_')
        s->p++;
    size_t n = (size_t)(s->p - start);
    lvt_expr *e = n ? lvt_arena_alloc(s->arena, sizeof *e) : NULL;
    if (!e)
        return NULL;
    if (n == 1 && strchr("abcyg", *start)) {
        *e = (lvt_expr){.kind = LVT_EXPR_VAR, .var = *start};
        return e;
    }
    lvt_op op = lvt_op_find(start, n);
    if ((int)op == LVT_NO_OP || lvt_op_table[op]->kind != LVT_KIND_POINTWISE || !take(s, '('))
        return NULL;
    *e = (lvt_expr){.kind = LVT_EXPR_CALL, .op = op};
    do {
        if (e->n_args == 3 || !(e->args[e->n_args++] = parse_comparison(s)))
            return NULL;
    } while (take(s, ','));
    return take(s, ')') && e->n_args == lvt_op_table[op]->min_operands ? e : NULL;
}

static lvt_expr *parse_unary(parser *s) {
    if (s->depth >= MAX_DEPTH)
        return NULL;
    s->depth++;
    lvt_expr *e;
    if (take(s, '-')) {
        e = parse_unary(s);
        if (e && e->kind == LVT_EXPR_NUMBER)
            e->number = -e->number;
        else
            e = make_call(s, LVT_OP_neg, e, NULL);
    } else {
        e = parse_atom(s);
    }
    s->depth--;
    return e;
}

/* One level of binary operators: `symbols` and, at the same index, their ops. */
static lvt_expr *parse_level(parser *s, lvt_expr *(*next)(parser *), const char *symbols, const lvt_op *ops) {
    lvt_expr *e = next(s);
    for (;;) {
        skip_blanks(s);
        const char *hit = e && *s->p ? strchr(symbols, *s->p) : NULL;
        if (!hit)
            return e;
        s->p++;
        lvt_expr *right = next(s);
        e = right ? make_call(s, ops[hit - symbols], e, right) : NULL;
    }
}

static lvt_expr *parse_product(parser *s) {
    return parse_level(s, parse_unary, "*/", (const lvt_op[]){LVT_OP_mul, LVT_OP_div});
}

static lvt_expr *parse_sum(parser *s) {
    return parse_level(s, parse_product, "+-", (const lvt_op[]){LVT_OP_add, LVT_OP_sub});
}

static lvt_expr *parse_comparison(parser *s) {
    return parse_level(s, parse_sum, "<>", (const lvt_op[]){LVT_OP_lt, LVT_OP_gt});
}

lvt_expr *lvt_expr_parse(const char *text, lvt_arena *arena) {
    parser s = {text, arena, 0};
    lvt_expr *e = parse_comparison(&s);
    skip_blanks(&s);
    return *s.p ? NULL : e;
}

/* ---- evaluation ---- */

static double wrap_i32(int64_t x) {
    return (double)(int32_t)(uint32_t)(uint64_t)x;
}

static int64_t floor_div(int64_t a, int64_t b) {
    return b == 0 ? 0 : a / b - (a % b != 0 && (a < 0) != (b < 0));
}

/* The arithmetic of i32; false for an op that is the same as on doubles. */
static bool int_primitive(lvt_op op, const double *x, double *out) {
    int64_t a = (int64_t)x[0];
    switch (op) {
    case LVT_OP_add:
        *out = wrap_i32(a + (int64_t)x[1]);
        return true;
    case LVT_OP_sub:
        *out = wrap_i32(a - (int64_t)x[1]);
        return true;
    case LVT_OP_mul:
        *out = wrap_i32(a * (int64_t)x[1]);
        return true;
    case LVT_OP_div:
        *out = wrap_i32(floor_div(a, (int64_t)x[1]));
        return true;
    case LVT_OP_mod:
        *out = wrap_i32(a - floor_div(a, (int64_t)x[1]) * (int64_t)x[1]);
        return true;
    case LVT_OP_neg:
        *out = wrap_i32(-a);
        return true;
    case LVT_OP_abs:
        *out = wrap_i32(a < 0 ? -a : a);
        return true;
    default:
        return false;
    }
}

/* What is left of a when b is taken off as often as it fits, with the sign of b. fmod is exact. */
static double modulo(double a, double b) {
    double r = fmod(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

static double primitive(lvt_op op, lvt_dtype dtype, const double *x) {
    double r;
    if (dtype == LVT_I32 && int_primitive(op, x, &r))
        return r;
    switch (op) {
    case LVT_OP_add:
        return x[0] + x[1];
    case LVT_OP_sub:
        return x[0] - x[1];
    case LVT_OP_mul:
        return x[0] * x[1];
    case LVT_OP_div:
        return x[0] / x[1];
    case LVT_OP_neg:
        return -x[0];
    case LVT_OP_abs:
        return fabs(x[0]);
    case LVT_OP_sign:
        return isnan(x[0]) ? x[0] : (double)((x[0] > 0) - (x[0] < 0));
    case LVT_OP_floor:
        return floor(x[0]);
    case LVT_OP_exp:
        return exp(x[0]);
    case LVT_OP_log:
        return log(x[0]);
    case LVT_OP_log1p:
        return log1p(x[0]);
    case LVT_OP_expm1:
        return expm1(x[0]);
    case LVT_OP_sqrt:
        return sqrt(x[0]);
    case LVT_OP_rsqrt:
        return 1 / sqrt(x[0]);
    case LVT_OP_tanh:
        return tanh(x[0]);
    case LVT_OP_erf:
        return erf(x[0]);
    case LVT_OP_sin:
        return sin(x[0]);
    case LVT_OP_cos:
        return cos(x[0]);
    case LVT_OP_max:
        return isnan(x[0]) || x[0] > x[1] ? x[0] : x[1];
    case LVT_OP_min:
        return isnan(x[0]) || x[0] < x[1] ? x[0] : x[1];
    case LVT_OP_pow:
        return pow(x[0], x[1]);
    case LVT_OP_mod:
        return modulo(x[0], x[1]);
    case LVT_OP_lt:
        return x[0] < x[1];
    case LVT_OP_le:
        return x[0] <= x[1];
    case LVT_OP_gt:
        return x[0] > x[1];
    case LVT_OP_ge:
        return x[0] >= x[1];
    case LVT_OP_eq:
        return x[0] == x[1];
    case LVT_OP_ne:
        return x[0] != x[1];
    case LVT_OP_and:
        return x[0] != 0 && x[1] != 0;
    case LVT_OP_or:
        return x[0] != 0 || x[1] != 0;
    case LVT_OP_not:
        return x[0] == 0;
    case LVT_OP_select:
        return x[0] != 0 ? x[1] : x[2];
    default:
        return NAN;
    }
}

double lvt_expr_eval(const lvt_expr *e, lvt_dtype dtype, const double *args) {
    if (e->kind == LVT_EXPR_NUMBER)
        return e->number;
    if (e->kind == LVT_EXPR_VAR)
        return e->var >= 'a' && e->var <= 'c' ? args[e->var - 'a'] : NAN;
    double x[3];
    for (int i = 0; i < e->n_args; i++)
        x[i] = lvt_expr_eval(e->args[i], dtype, args);
    return lvt_op_table[e->op]->expr ? lvt_scalar_eval(e->op, dtype, x) : primitive(e->op, dtype, x);
}

double lvt_scalar_eval(lvt_op op, lvt_dtype dtype, const double *args) {
    const lvt_op_def *def = lvt_op_table[op];
    if (def->kind != LVT_KIND_POINTWISE)
        return NAN;
    if (!def->expr)
        return primitive(op, dtype, args);
    lvt_arena *arena = lvt_arena_new();
    lvt_expr *e = arena ? lvt_expr_parse(def->expr, arena) : NULL;
    double result = e ? lvt_expr_eval(e, dtype, args) : NAN;
    lvt_arena_free(arena);
    return result;
}
