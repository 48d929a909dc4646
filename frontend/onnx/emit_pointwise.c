/* Pointwise ops as ONNX operators: a table of expressions over operators. May not know: files, states. */
#include "emit.h"
#include "ir/base/c_locale.h"

#include <stdlib.h>
#include <string.h>

/* The first row whose opset and type fit. a, b, c are the operands; numbers have the type of a. `type`: f
 * float, i i32, * any. */
static const struct {
    uint16_t op;
    uint8_t opset;
    char type;
    const char *text;
} rows[] = {
    {LVT_OP_add, 0, '*', "Add(a,b)"},
    {LVT_OP_sub, 0, '*', "Sub(a,b)"},
    {LVT_OP_mul, 0, '*', "Mul(a,b)"},
    {LVT_OP_div, 0, 'f', "Div(a,b)"},
    {LVT_OP_div, 0, 'i', "Div(Sub(a,Mod(a,b)),b)"}, /* rounds down */
    {LVT_OP_neg, 0, '*', "Neg(a)"},
    {LVT_OP_abs, 0, '*', "Abs(a)"},
    {LVT_OP_sign, 0, '*', "Sign(a)"},
    {LVT_OP_floor, 0, 'i', "Identity(a)"},
    {LVT_OP_floor, 0, 'f', "Floor(a)"},
    {LVT_OP_exp, 0, '*', "Exp(a)"},
    {LVT_OP_log, 0, '*', "Log(a)"},
    {LVT_OP_log1p, 0, '*', "Where(Less(Abs(a),0.5),Mul(Atanh(Div(a,Add(a,2))),2),Log(Add(a,1)))"},
    {LVT_OP_expm1, 0, '*', /* 2 t / (1 - t), t = tanh(a / 2), where exp(a) is near 1 */
     "Where(Less(Abs(a),0.5),Div(Mul(Tanh(Mul(a,0.5)),2),Sub(1,Tanh(Mul(a,0.5)))),Sub(Exp(a),1))"},
    {LVT_OP_sqrt, 0, '*', "Sqrt(a)"},
    {LVT_OP_rsqrt, 0, '*', "Reciprocal(Sqrt(a))"},
    {LVT_OP_tanh, 0, '*', "Tanh(a)"},
    {LVT_OP_erf, 0, '*', "Erf(a)"},
    {LVT_OP_sin, 0, '*', "Sin(a)"},
    {LVT_OP_cos, 0, '*', "Cos(a)"},
    {LVT_OP_max, 0, '*', "Max(a,b)"},
    {LVT_OP_min, 0, '*', "Min(a,b)"},
    {LVT_OP_pow, 0, '*', "Pow(a,b)"},
    {LVT_OP_mod, 0, 'i', "Mod(a,b)"},
    {LVT_OP_mod, 0, 'f', "Sub(a,Mul(Floor(Div(a,b)),b))"},
    {LVT_OP_lt, 0, '*', "Less(a,b)"},
    {LVT_OP_le, 0, '*', "LessOrEqual(a,b)"},
    {LVT_OP_gt, 0, '*', "Greater(a,b)"},
    {LVT_OP_ge, 0, '*', "GreaterOrEqual(a,b)"},
    {LVT_OP_eq, 0, '*', "Equal(a,b)"},
    {LVT_OP_ne, 0, '*', "Not(Equal(a,b))"},
    {LVT_OP_and, 0, '*', "And(a,b)"},
    {LVT_OP_or, 0, '*', "Or(a,b)"},
    {LVT_OP_not, 0, '*', "Not(a)"},
    {LVT_OP_select, 0, '*', "Where(a,b,c)"},
    {LVT_OP_relu, 0, 'i', "Max(a,0)"},
    {LVT_OP_relu, 0, 'f', "Relu(a)"},
    {LVT_OP_sigmoid, 0, '*', "Sigmoid(a)"},
    {LVT_OP_silu, 0, '*', "Mul(a,Sigmoid(a))"},
    {LVT_OP_gelu, 20, '*', "Gelu(a)"},
    {LVT_OP_gelu, 0, '*', "Mul(Mul(a,0.5),Add(Erf(Mul(a,0.70710678118654752)),1))"},
    {LVT_OP_square, 0, '*', "Mul(a,a)"},
    {LVT_OP_stop_gradient, 0, '*', "Identity(a)"},
};

typedef struct expression {
    lvt_emitter *e;
    const char *at, *const *operands;
    lvt_dtype dtype;
} expression;

/* The rows above are the only input. */
static const char *emit(expression *x) {
    if (*x->at >= 'a' && *x->at <= 'c')
        return x->operands[*x->at++ - 'a'];
    if (lvt_is_digit(*x->at)) {
        char *end;
        double v = lvt_strtod(x->at, &end);
        x->at = end;
        return lvt_emit_number(x->e, x->dtype, v);
    }
    size_t n = strcspn(x->at, "(");
    const char *op = lvt_onnx_text(&x->e->w, "%.*s", (int)n, x->at), *in[3];
    size_t count = 0;
    x->at += n;
    do {
        x->at++;
        in[count++] = emit(x);
    } while (*x->at == ',');
    x->at++;
    return lvt_onnx_node(&x->e->w, x->e->scope, op, count, in);
}

/* Elements of a known value at an index of a wider type. */
static int64_t element(const lvt_type *have, const lvt_type *wide, int64_t index) {
    int64_t at = 0, stride = 1;
    for (int i = wide->rank - 1, k = have->rank - 1; k >= 0; i--, k--) {
        int64_t d = index % wide->dim[i];
        index /= wide->dim[i];
        at += have->dim[k] == 1 ? 0 : d * stride;
        stride *= have->dim[k];
    }
    return at;
}

static bool fold(lvt_emitter *e, const lvt_node *n, const lvt_shape2 *have) {
    int64_t count = lvt_numel(&have->a);
    for (uint32_t k = 0; k < n->n_operands; k++)
        if (!e->values[n->operands[k]].known)
            return false;
    if (!lvt_shape2_fixed(have) || count > 1 << 24)
        return false;
    double *y = lvt_onnx_alloc(&e->w, (size_t)count * sizeof *y);
    if (!y)
        return true;
    lvt_dtype in = (lvt_dtype)lvt_value_type(e->g, n->operands[n->n_operands - 1])->dtype;
    for (int64_t i = 0; i < count; i++) {
        double args[3];
        for (uint32_t k = 0; k < n->n_operands; k++) {
            const lvt_onnx_value *v = &e->values[n->operands[k]];
            args[k] = v->known[element(&v->have.a, &have->a, i)];
        }
        y[i] = lvt_round_to((lvt_dtype)have->a.dtype, lvt_scalar_eval((lvt_op)n->op, in, args));
    }
    e->values[n->result].known = y;
    e->values[n->result].have = *have;
    return true;
}

/* A channel vector or a scalar keeps its meaning beside tensors with channels second; everything else has to
 * be whole. */
static const char *beside_nchw(lvt_emitter *e, lvt_value v) {
    lvt_onnx_value *x = &e->values[v];
    if (x->form[1] || x->have.a.rank > 1)
        return lvt_emit_nchw(e, v);
    const char *name = lvt_emit_use(e, v);
    if (x->have.a.rank == 0)
        return name;
    const char *in[] = {name, lvt_onnx_int64s(&e->w, 3, (int64_t[]){-1, 1, 1})};
    return lvt_onnx_node(&e->w, e->scope, "Reshape", 2, in);
}

bool lvt_emit_pointwise(lvt_emitter *e, const lvt_node *n) {
    lvt_shape2 whole = lvt_emit_shape(e, n->result), have = {0};
    const lvt_type *first = lvt_value_type(e->g, n->operands[0]);
    bool second = false, third = false; /* someone has channels second; someone whole has them last only */
    for (uint32_t k = 0; k < n->n_operands; k++) {
        const lvt_onnx_value *v = &e->values[n->operands[k]];
        bool is_whole = v->have.a.rank > 1;
        second |= v->form[1] && !v->form[0];
        third |= is_whole && !v->form[1];
        lvt_shape2 wider = v->have;
        if (k && (!lvt_broadcast_types(&have.a, &v->have.a, &wider.a) ||
                  !lvt_broadcast_types(&have.b, &v->have.b, &wider.b)))
            return false;
        have = wider;
    }
    have.a.dtype = have.b.dtype = whole.a.dtype;
    if (n->op == LVT_OP_stop_gradient) {
        const char *scope = e->values[n->result].scope;
        e->values[n->result] = e->values[n->operands[0]];
        e->values[n->result].scope = scope;
        return true;
    }
    if (fold(e, n, &have))
        return true;
    bool nchw = whole.a.rank == 4 && second && !third;
    const char *operands[3] = {0};
    for (uint32_t k = 0; k < n->n_operands; k++)
        operands[k] = nchw ? beside_nchw(e, n->operands[k]) : lvt_emit_use(e, n->operands[k]);
    char type = lvt_dtype_is_float((lvt_dtype)first->dtype) ? 'f' : 'i';
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].op != n->op || rows[i].opset > e->w.opset ||
            (rows[i].type != '*' && rows[i].type != type))
            continue;
        expression x = {e, rows[i].text, operands, (lvt_dtype)first->dtype};
        const char *name = emit(&x);
        if (nchw) {
            lvt_emit_set_nchw(e, n->result, name);
        } else {
            e->values[n->result].form[0] = name;
            e->values[n->result].have = have;
        }
        return true;
    }
    e->why = "it has no row in the table of pointwise operators";
    return false;
}
