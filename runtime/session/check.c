/* Compares a program's kernels with the reference interpreter, step by step.
 *
 * Each step (those of a bundle together, as they run) runs on its kernel, and its node is evaluated on the
 * very operands the kernel saw, so the first step that is reported is the one at fault and not one that
 * inherited an error. What a step read is compared with what was computed for it: a difference is a mistake
 * of the plan (memory reused too early). May not know: families. */
#include "internal.h"
#include "ir/epilogue.h"
#include "ir/interp.h"
#include "ir/base/hash.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How far a kernel may be from the interpreter. An element of the result may be off by `relative` times the
 * largest magnitude of the result, and by `terms` times the size that its sum can have on the way: large
 * terms may cancel and leave their rounding errors. */
typedef enum summed { SUM_NONE, SUM_PRODUCTS, SUM_BODY } summed;
typedef struct tolerance {
    int op;
    double relative, terms;
    summed kind;     /* products of two operands; or what a body adds up of its operands */
    double outliers; /* share of the elements that may be further away */
    const char *reason;
} tolerance;

static const tolerance tolerances[] = {
    {LVT_OP_matmul, 2e-5, 1e-6, SUM_PRODUCTS, 0,
     "sums of products in f32, in another order than the interpreter's"},
    {LVT_OP_conv2d, 2e-5, 1e-6, SUM_PRODUCTS, 0,
     "as matmul: sums over the window and the channels; by Winograd errors are some three times as large"},
    {LVT_OP_conv2d_grad_input, 2e-5, 1e-6, SUM_PRODUCTS, 0, "as conv2d"},
    {LVT_OP_conv2d_grad_weight, 2e-5, 1e-6, SUM_PRODUCTS, 0, "as conv2d: sums over batch and image"},
    {LVT_OP_fused, 1e-4, 1e-6, SUM_BODY, 1e-4,
     "a chain of f32 roundings with polynomial exp, tanh and erf; where a comparison inside is decided by "
     "the last "
     "bit, an element may take the other branch"},
    {LVT_OP_attention, 2e-5, 1e-6, SUM_BODY, 0, "as matmul, twice, with a polynomial exp between"},
    {LVT_OP_attention_grad, 2e-5, 1e-6, SUM_BODY, 0, "as attention, on the scores computed again"},
    {LVT_OP_gather_grad, 1e-5, 1e-6, SUM_BODY, 0, "repeated indices add up in f32"},
    {LVT_OP_gather, 0, 0, SUM_NONE, 0, "moves elements"},
    {LVT_OP_copy, 0, 0, SUM_NONE, 0, "moves elements"},
    {LVT_OP_concat, 0, 0, SUM_NONE, 0, "moves elements"},
};
static const tolerance otherwise = {LVT_NO_OP, 1e-5, 1e-6, SUM_BODY, 0, "some roundings of f32"};

/* A product that finishes its result is judged as the product: additions and activations make no error larger
 * that matters. */
static const tolerance *tolerance_of(const lvt_node *n) {
    const lvt_node *product = n->body ? lvt_epilogue_product(n->body) : NULL;
    lvt_op op = (lvt_op)(product ? product : n)->op;
    for (size_t i = 0; i < sizeof tolerances / sizeof *tolerances; i++) {
        if (tolerances[i].op == (int)op)
            return &tolerances[i];
    }
    return &otherwise;
}

typedef struct checker {
    lvt_session *s;
    int entry;
    lvt_session_entry *e;
    uint64_t *sums;   /* of a value's elements when they were computed; 0: not computed by a step */
    lvt_value *roots; /* the value that a chain of views starts from */
    lvt_diag *diag;
} checker;

static uint64_t sum_of(const void *data, size_t n) {
    return lvt_fnv(LVT_FNV_START, data, n) | 1;
}

static lvt_status no_memory(checker *c) {
    return lvt_no_memory(c->diag, NULL);
}

/* Packed copy of a value as it is in memory now, and its doubles. */
static bool fetch(checker *c, lvt_value v, const void *from, lvt_tensor *t, uint64_t *sum) {
    const lvt_type *type = &c->e->graph->values[v].type;
    void *packed = malloc(lvt_type_bytes(type));
    t->type = *type;
    t->data = malloc((size_t)lvt_numel(type) * sizeof *t->data);
    if (packed && t->data) {
        lvt_gather_packed(type, c->e->plan->places[v].strides, from, packed);
        lvt_tensor_load(t, packed);
        *sum = sum_of(packed, lvt_type_bytes(type));
    }
    bool ok = packed && t->data;
    free(packed);
    return ok;
}

/* Remembers what v, just computed, and every view of it look like. */
static lvt_status remember(checker *c, lvt_value v, const void *at) {
    const lvt_graph *g = c->e->graph;
    const lvt_place *base = &c->e->plan->places[v];
    for (lvt_value u = v; u < g->n_values; u++) {
        const lvt_place *place = &c->e->plan->places[u];
        if (c->roots[u] != v || place->kind != base->kind || place->index != base->index)
            continue;
        const lvt_type *type = &g->values[u].type;
        void *packed = malloc(lvt_type_bytes(type));
        if (!packed)
            return no_memory(c);
        lvt_gather_packed(type, place->strides, (const char *)at + (int64_t)(place->offset - base->offset),
                          packed);
        c->sums[u] = sum_of(packed, lvt_type_bytes(type));
        free(packed);
    }
    return LVT_OK;
}

static void describe_step(checker *c, uint32_t step, char *buffer, size_t size) {
    const lvt_node *n = &c->e->graph->nodes[c->e->plan->steps[step].node];
    const char *name = c->e->graph->values[n->result].name;
    snprintf(buffer, size, "entry %s, step %u (%s%s%s on %s)", c->e->graph->name, step, lvt_op_of(n)->name,
             name ? " " : "", name ? name : "", lvt_family_name((lvt_family)c->e->plan->steps[step].family));
}

static double largest_of(const lvt_tensor *t) {
    double largest = 0;
    for (int64_t i = 0, n = lvt_numel(&t->type); i < n; i++) {
        if (isfinite(t->data[i]) && fabs(t->data[i]) > largest)
            largest = fabs(t->data[i]);
    }
    return largest;
}

/* The size that rounding errors of a result's terms scale with: random signs make errors of n terms grow as
 * sqrt(n). */
static double size_of_terms(const checker *c, const lvt_node *n, summed kind, const lvt_tensor *in,
                            const lvt_tensor *want) {
    double results = (double)lvt_numel(&want->type), size = 0, terms = 1;
    if (kind == SUM_PRODUCTS) {
        double pairs = lvt_node_cost(c->e->graph, n).flops / (2 * results);
        return largest_of(&in[0]) * largest_of(&in[1]) * sqrt(pairs > 1 ? pairs : 1);
    }
    for (uint32_t k = 0; kind == SUM_BODY && k < n->n_operands; k++) {
        double largest = lvt_dtype_is_float((lvt_dtype)in[k].type.dtype) ? largest_of(&in[k]) : 0;
        size = largest > size ? largest : size;
        terms = fmax(terms, (double)lvt_numel(&in[k].type) / results);
    }
    return size * sqrt(terms);
}

static lvt_status compare(checker *c, uint32_t step, uint32_t result, const lvt_tensor *in,
                          const lvt_tensor *got, const lvt_tensor *want) {
    const lvt_node *n = &c->e->graph->nodes[c->e->plan->steps[step].node];
    const tolerance *tol = tolerance_of(n);
    int64_t count = lvt_numel(&want->type), wrong = 0, worst_at = 0;
    double worst = -1;
    bool exact = !lvt_dtype_is_float((lvt_dtype)want->type.dtype);
    double relative =
        want->type.dtype == LVT_BF16 ? 0x1p-7 : tol->relative; /* bf16: the last of its 8 bits */
    double allowed =
        exact ? 0 : relative * largest_of(want) + tol->terms * size_of_terms(c, n, tol->kind, in, want);
    for (int64_t i = 0; i < count; i++) {
        double a = got->data[i], b = want->data[i];
        double distance = a == b || (isnan(a) && isnan(b)) ? 0
                          : isfinite(a) && isfinite(b)     ? fabs(a - b)
                                                           : INFINITY;
        wrong += distance > allowed;
        if (distance > worst) {
            worst = distance;
            worst_at = i;
        }
    }
    if ((double)wrong <= tol->outliers * (double)count || (tol->outliers > 0 && exact && wrong <= 1))
        return LVT_OK;
    char what[256], type[LVT_TYPE_TEXT];
    describe_step(c, step, what, sizeof what);
    lvt_pos at = lvt_module_pos(c->e->graph->module, n->loc);
    lvt_status status = lvt_error(
        c->diag, LVT_INTERNAL, "E710", at,
        "%s: result %u, %s, differs from the interpreter: element %lld is %.9g, should be %.9g", what, result,
        lvt_type_text(&want->type, type), (long long)worst_at, got->data[worst_at], want->data[worst_at]);
    lvt_note(c->diag, LVT_NOWHERE, "%lld of %lld elements are off by more than %.3g (allowed for %s)",
             (long long)wrong, (long long)count, allowed,
             exact ? "nothing: these are no floating-point numbers" : tol->reason);
    return status;
}

static lvt_status check_operand(checker *c, uint32_t step, uint32_t operand, lvt_value v, uint64_t sum) {
    if (!c->sums[v] || c->sums[v] == sum)
        return LVT_OK;
    char what[256];
    describe_step(c, step, what, sizeof what);
    const lvt_node *n = &c->e->graph->nodes[c->e->plan->steps[step].node];
    return lvt_error(
        c->diag, LVT_INTERNAL, "E711", lvt_module_pos(c->e->graph->module, n->loc),
        "%s: operand %u was overwritten after it was computed: the plan reuses its memory too early", what,
        operand);
}

/* What a step read, and what the interpreter made of it. */
typedef struct expected {
    lvt_tensor *in, *out;
    uint32_t n; /* of both */
} expected;

/* Before the step runs: it may write over what it reads. */
static lvt_status expect(checker *c, uint32_t step, expected *x) {
    lvt_session_entry *e = c->e;
    const lvt_node *n = &e->graph->nodes[e->plan->steps[step].node];
    x->n = (uint32_t)n->n_operands + n->n_results;
    x->in = calloc(x->n + 1, sizeof *x->in);
    x->out = x->in ? x->in + n->n_operands : NULL;
    lvt_status status = x->in ? LVT_OK : no_memory(c);
    uint64_t sum = 0;
    for (uint32_t k = 0; status == LVT_OK && k < n->n_operands; k++) {
        if (!fetch(c, n->operands[k], e->operands[step][k], &x->in[k], &sum))
            status = no_memory(c);
        else
            status = check_operand(c, step, k, n->operands[k], sum);
    }
    for (uint32_t k = 0; status == LVT_OK && k < n->n_results; k++) {
        x->out[k].type = e->graph->values[n->result + k].type;
        x->out[k].data = malloc((size_t)lvt_numel(&x->out[k].type) * sizeof(double));
        status = x->out[k].data ? LVT_OK : no_memory(c);
    }
    if (status == LVT_OK)
        status =
            lvt_eval_node(e->graph, e->plan->steps[step].node, x->in, x->out, LVT_PRECISION_F32, c->diag);
    return status;
}

static lvt_status compare_step(checker *c, uint32_t step, const expected *x) {
    lvt_session_entry *e = c->e;
    const lvt_node *n = &e->graph->nodes[e->plan->steps[step].node];
    lvt_tensor got = {0};
    lvt_status status = LVT_OK;
    uint64_t sum = 0;
    for (uint32_t k = 0; status == LVT_OK && k < n->n_results; k++) {
        lvt_value v = n->result + k;
        if (e->plan->places[v].kind == LVT_PLACE_NOWHERE)
            continue;
        if (!fetch(c, v, e->results[step][k], &got, &sum))
            status = no_memory(c);
        else
            status = compare(c, step, k, x->in, &got, &x->out[k]);
        free(got.data);
        got = (lvt_tensor){0};
        if (status == LVT_OK)
            status = remember(c, v, e->results[step][k]);
    }
    return status;
}

/* A step, or the bundle that begins with it; *n gets how many steps that are. */
static lvt_status check_steps(checker *c, uint32_t step, uint32_t *n) {
    *n = lvt_bundle_last(c->e->plan, step) - step + 1;
    expected *all = calloc(*n, sizeof *all);
    lvt_status status = all ? LVT_OK : no_memory(c);
    for (uint32_t i = 0; status == LVT_OK && i < *n; i++)
        status = expect(c, step + i, &all[i]);
    for (uint32_t i = 0; status == LVT_OK && i < *n;)
        i += lvt_session_run_step(c->s, c->entry, step + i);
    for (uint32_t i = 0; status == LVT_OK && i < *n; i++)
        status = compare_step(c, step + i, &all[i]);
    for (uint32_t i = 0; all && i < *n; i++) {
        for (uint32_t k = 0; all[i].in && k < all[i].n; k++)
            free(all[i].in[k].data);
        free(all[i].in);
    }
    free(all);
    return status;
}

lvt_status lvt_session_check(lvt_session *s, int entry, const void *const *inputs, lvt_diag *diag) {
    lvt_status status = lvt_session_bind(s, entry, inputs, diag);
    if (status != LVT_OK)
        return status;
    lvt_session_entry *e = &s->entries[entry];
    uint32_t n = e->graph->n_values;
    checker c = {s, entry, e, calloc(n + 1, sizeof *c.sums), calloc(n + 1, sizeof *c.roots), diag};
    size_t bytes = s->state_block.bytes;
    void *saved = malloc(bytes + 1);
    if (!c.sums || !c.roots || !saved) {
        free(c.sums);
        free(c.roots);
        free(saved);
        return no_memory(&c);
    }
    for (lvt_value v = 0; v < n; v++) {
        const lvt_node *node = lvt_value_node(e->graph, v);
        c.roots[v] = lvt_op_of(node)->kind == LVT_KIND_VIEW ? c.roots[node->operands[0]] : v;
    }
    e->fresh = false; /* a step may fail half-way */
    if (bytes)
        memcpy(saved, s->state_block.base, bytes);
    lvt_team_settings team = lvt_team(s->threads);
    for (uint32_t i = 0, steps; i < e->plan->n_steps && status == LVT_OK; i += steps) {
        if (i == e->plan->n_prologue)
            lvt_session_pack(s, entry);
        status = check_steps(&c, i, &steps);
    }
    lvt_team_restore(team);
    if (bytes)
        memcpy(s->state_block.base, saved, bytes);
    free(c.sums);
    free(c.roots);
    free(saved);
    return status;
}
