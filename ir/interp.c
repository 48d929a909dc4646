/* The reference interpreter.
 *
 * Invariants: a value lives from its node to its last use; updates take effect together after the last node,
 * when the outputs have been taken. May not know: plans, kernels. */
#include "interp.h"
#include "ir/base/half.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- element types ---- */

static double to_integer(double x, double low, double high) {
    if (isnan(x))
        return 0;
    return fmax(low, fmin(high, trunc(x)));
}

double lvt_round_to(lvt_dtype dtype, double x) {
    switch (dtype) {
    case LVT_F32:
        return (double)(float)x;
    case LVT_BF16:
        return (double)lvt_bf16_value(lvt_bf16_bits((float)x));
    case LVT_I32:
        return to_integer(x, INT32_MIN, INT32_MAX);
    case LVT_U8:
        return to_integer(x, 0, UINT8_MAX);
    case LVT_BOOL:
        return x != 0;
    default:
        return x;
    }
}

void lvt_tensor_load(lvt_tensor *t, const void *packed) {
    int64_t n = lvt_numel(&t->type);
    for (int64_t i = 0; i < n; i++)
        switch (t->type.dtype) {
        case LVT_F32:
            t->data[i] = (double)((const float *)packed)[i];
            break;
        case LVT_F64:
            t->data[i] = ((const double *)packed)[i];
            break;
        case LVT_BF16:
            t->data[i] = (double)lvt_bf16_value(((const uint16_t *)packed)[i]);
            break;
        case LVT_I32:
            t->data[i] = (double)((const int32_t *)packed)[i];
            break;
        default:
            t->data[i] = (double)((const uint8_t *)packed)[i];
        }
}

void lvt_tensor_store(const lvt_tensor *t, void *packed) {
    int64_t n = lvt_numel(&t->type);
    for (int64_t i = 0; i < n; i++) {
        double x = lvt_round_to((lvt_dtype)t->type.dtype, t->data[i]);
        switch (t->type.dtype) {
        case LVT_F32:
            ((float *)packed)[i] = (float)x;
            break;
        case LVT_F64:
            ((double *)packed)[i] = x;
            break;
        case LVT_BF16:
            ((uint16_t *)packed)[i] = lvt_bf16_bits((float)x);
            break;
        case LVT_I32:
            ((int32_t *)packed)[i] = (int32_t)x;
            break;
        default:
            ((uint8_t *)packed)[i] = (uint8_t)x;
        }
    }
}

/* ---- running a graph ---- */

/* A graph on its way. data[v]: elements of value v while it lives; owned[v]: to be freed here, else the
 * caller's. */
typedef struct run {
    const lvt_graph *g;
    const lvt_tensor *inputs;
    const lvt_tensor *states; /* NULL inside a body, which has none */
    lvt_precision precision;
    lvt_interp_watch watch;
    void *user;
    lvt_diag *diag;
    double **data;
    bool *owned;
    uint32_t *last; /* node that uses v last; LVT_NONE: needed at the end */
    lvt_tensor *tensors;
} run;

static lvt_status nomem(lvt_diag *diag) {
    return lvt_no_memory(diag, NULL);
}

static double *allocate(const lvt_type *t) {
    return malloc((size_t)lvt_numel(t) * sizeof(double) + 1);
}

static void release(run *r, lvt_value v) {
    if (r->owned[v])
        free(r->data[v]);
    r->data[v] = NULL;
    r->owned[v] = false;
}

static bool run_init(run *r) {
    const lvt_graph *g = r->g;
    uint32_t most = 1;
    r->data = calloc((size_t)g->n_values + 1, sizeof *r->data);
    r->owned = calloc((size_t)g->n_values + 1, sizeof *r->owned);
    r->last = calloc((size_t)g->n_values + 1, sizeof *r->last);
    for (uint32_t i = 0; i < g->n_nodes; i++)
        if ((uint32_t)g->nodes[i].n_operands + g->nodes[i].n_results > most)
            most = (uint32_t)g->nodes[i].n_operands + g->nodes[i].n_results;
    r->tensors = calloc(most, sizeof *r->tensors);
    if (!r->data || !r->owned || !r->last || !r->tensors)
        return false;
    for (uint32_t v = 0; v < g->n_values; v++)
        r->last[v] = g->values[v].node; /* unused: goes at once */
    for (uint32_t i = 0; i < g->n_nodes; i++)
        for (uint32_t k = 0; k < g->nodes[i].n_operands; k++)
            r->last[g->nodes[i].operands[k]] = i;
    for (uint32_t i = 0; i < g->n_outputs; i++)
        r->last[g->outputs[i].value] = LVT_NONE;
    for (uint32_t i = 0; i < g->n_updates; i++)
        r->last[g->updates[i].value] = LVT_NONE;
    return true;
}

static void run_done(run *r) {
    for (uint32_t v = 0; r->data && r->owned && v < r->g->n_values; v++)
        release(r, v);
    free(r->data);
    free(r->owned);
    free(r->last);
    free(r->tensors);
}

/* A value that comes from outside: lent, not copied. */
static lvt_status lend(run *r, const lvt_node *n, const lvt_tensor *from, uint32_t count) {
    int64_t index = n->attrs[0].i;
    lvt_pos at = lvt_module_pos(r->g->module, n->loc);
    char text[LVT_TYPE_TEXT], other[LVT_TYPE_TEXT];
    if (!from || index < 0 || index >= count || !from[index].data)
        return lvt_error(r->diag, LVT_INTERNAL, NULL, at, "%s %lld has no value", lvt_op_of(n)->name,
                         (long long)index);
    const lvt_type *t = lvt_value_type(r->g, n->result);
    if (!lvt_type_equal(t, &from[index].type))
        return lvt_error(r->diag, LVT_USER, NULL, at, "%s %lld is %s, but %s was given", lvt_op_of(n)->name,
                         (long long)index, lvt_type_text(t, text), lvt_type_text(&from[index].type, other));
    r->data[n->result] = from[index].data;
    return LVT_OK;
}

static lvt_status run_node(run *r, lvt_node_id id) {
    const lvt_graph *g = r->g;
    const lvt_node *n = &g->nodes[id];
    lvt_tensor *in = r->tensors, *out = r->tensors + n->n_operands;
    lvt_status status = LVT_OK;
    if (n->op == LVT_OP_input) {
        status = lend(r, n, r->inputs, g->n_inputs);
    } else if (n->op == LVT_OP_state) {
        status = lend(r, n, r->states, g->module->n_states);
    } else {
        for (uint32_t k = 0; k < n->n_operands; k++)
            in[k] = (lvt_tensor){*lvt_value_type(g, n->operands[k]), r->data[n->operands[k]]};
        for (uint32_t k = 0; k < n->n_results; k++) {
            lvt_value v = n->result + k;
            r->data[v] = allocate(lvt_value_type(g, v));
            r->owned[v] = true;
            if (!r->data[v])
                return nomem(r->diag);
            out[k] = (lvt_tensor){*lvt_value_type(g, v), r->data[v]};
        }
        status = lvt_eval_node(g, id, in, out, r->precision, r->diag);
    }
    if (status == LVT_OK && r->watch) {
        for (uint32_t k = 0; k < n->n_results; k++)
            out[k] = (lvt_tensor){*lvt_value_type(g, n->result + k), r->data[n->result + k]};
        status = r->watch(r->user, g, id, out);
    }
    for (uint32_t k = 0; k < n->n_operands; k++)
        if (r->last[n->operands[k]] == id)
            release(r, n->operands[k]);
    for (uint32_t k = 0; k < n->n_results; k++)
        if (r->last[n->result + k] == id)
            release(r, n->result + k);
    return status;
}

/* Copies outputs, then writes updates. A state's value may be another state's old one: those are saved first.
 */
static lvt_status run_ends(run *r, lvt_tensor *states, lvt_tensor *outputs) {
    const lvt_graph *g = r->g;
    for (uint32_t i = 0; outputs && i < g->n_outputs; i++) {
        lvt_value v = g->outputs[i].value;
        outputs[i].type = *lvt_value_type(g, v);
        if (outputs[i].data)
            memcpy(outputs[i].data, r->data[v], (size_t)lvt_numel(&outputs[i].type) * sizeof(double));
    }
    for (uint32_t i = 0; i < g->n_updates; i++) {
        lvt_value v = g->updates[i].value;
        if (!states || !states[g->updates[i].state].data)
            return lvt_error(r->diag, LVT_INTERNAL, NULL, lvt_module_pos(g->module, g->updates[i].loc),
                             "state %u has no room for its update", g->updates[i].state);
        if (r->owned[v])
            continue;
        size_t bytes = (size_t)lvt_numel(lvt_value_type(g, v)) * sizeof(double);
        double *copy = allocate(lvt_value_type(g, v));
        if (!copy)
            return nomem(r->diag);
        memcpy(copy, r->data[v], bytes);
        r->data[v] = copy;
        r->owned[v] = true;
    }
    for (uint32_t i = 0; i < g->n_updates; i++) {
        lvt_value v = g->updates[i].value;
        memcpy(states[g->updates[i].state].data, r->data[v],
               (size_t)lvt_numel(lvt_value_type(g, v)) * sizeof(double));
    }
    return LVT_OK;
}

lvt_status lvt_interp_run(const lvt_graph *g, const lvt_tensor *inputs, lvt_tensor *states,
                          lvt_tensor *outputs, lvt_precision precision, lvt_interp_watch watch, void *user,
                          lvt_diag *diag) {
    run r = {.g = g,
             .inputs = inputs,
             .states = states,
             .precision = precision,
             .watch = watch,
             .user = user,
             .diag = diag};
    lvt_status status = run_init(&r) ? LVT_OK : nomem(diag);
    for (uint32_t i = 0; status == LVT_OK && i < g->n_nodes; i++)
        status = run_node(&r, i);
    if (status == LVT_OK)
        status = run_ends(&r, states, outputs);
    run_done(&r);
    return status;
}

static void round_results(const lvt_node *n, lvt_tensor *out, lvt_precision precision) {
    for (uint32_t k = 0; k < n->n_results; k++) {
        lvt_dtype dtype = (lvt_dtype)out[k].type.dtype;
        if (dtype == LVT_F64 || (precision == LVT_PRECISION_F64 && lvt_dtype_is_float(dtype)))
            continue;
        int64_t size = lvt_numel(&out[k].type);
        for (int64_t i = 0; i < size; i++)
            out[k].data[i] = lvt_round_to(dtype, out[k].data[i]);
    }
}

lvt_status lvt_eval_node(const lvt_graph *g, lvt_node_id id, const lvt_tensor *in, lvt_tensor *out,
                         lvt_precision precision, lvt_diag *diag) {
    const lvt_node *n = &g->nodes[id];
    const lvt_op_def *def = lvt_op_of(n);
    lvt_pos at = lvt_module_pos(g->module, n->loc);
    if (n->body)
        return lvt_interp_run(n->body, in, NULL, out, precision, NULL, NULL, diag);
    if (!def->eval)
        return lvt_error(diag, LVT_INTERNAL, NULL, at, "%s cannot be evaluated", def->name);
    lvt_arena *scratch = lvt_arena_new();
    if (!scratch)
        return nomem(diag);
    lvt_eval c = {n, in, out, scratch, diag, at};
    lvt_status status = def->eval(&c);
    lvt_arena_free(scratch);
    if (status == LVT_NOMEM)
        return nomem(diag);
    if (status == LVT_OK)
        round_results(n, out, precision);
    return status;
}
