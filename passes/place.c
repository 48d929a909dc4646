/* Arithmetic of strides and views, the plan as text, and the program made of it. See plan.h. */
#include "plan.h"
#include "rewrite.h"

#include "ir/epilogue.h"
#include "ir/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void lvt_strides_dense(const lvt_type *t, int64_t strides[LVT_MAX_RANK]) {
    int64_t step = 1;
    memset(strides, 0, LVT_MAX_RANK * sizeof *strides);
    for (int i = t->rank; i-- > 0;) {
        strides[i] = step;
        step *= t->dim[i];
    }
}

bool lvt_strides_equal(const lvt_type *t, const int64_t *a, const int64_t *b) {
    for (int i = 0; i < t->rank; i++)
        if (t->dim[i] != 1 && a[i] != b[i])
            return false;
    return true;
}

uint64_t lvt_strides_span(const lvt_type *t, const int64_t *strides) {
    int64_t last = 0;
    for (int i = 0; i < t->rank; i++)
        last += (t->dim[i] - 1) * strides[i];
    return (uint64_t)(last + 1) * lvt_dtype_size((lvt_dtype)t->dtype);
}

bool lvt_strides_reshape(const lvt_type *from, const int64_t *strides, const lvt_type *to,
                         int64_t result[LVT_MAX_RANK]) {
    memset(result, 0, LVT_MAX_RANK * sizeof *result);
    int i = 0, j = 0;
    while (i < from->rank || j < to->rank) {
        /* The smallest runs of dims of both shapes with the same number of elements. */
        int i0 = i, j0 = j;
        int64_t a = i < from->rank ? from->dim[i++] : 1, b = j < to->rank ? to->dim[j++] : 1;
        while (a != b) {
            if (a < b)
                a *= from->dim[i++];
            else
                b *= to->dim[j++];
        }
        int64_t step = 0, next = -1; /* next: the stride the dim before must have */
        for (int k = i; k-- > i0;) {
            if (from->dim[k] == 1)
                continue;
            if (next < 0)
                step = strides[k];
            else if (strides[k] != next)
                return false;
            next = strides[k] * from->dim[k];
        }
        for (int k = j; k-- > j0;) {
            result[k] = step;
            step *= to->dim[k];
        }
    }
    return true;
}

bool lvt_view_place(const lvt_graph *g, const lvt_node *n, const lvt_place *operand, lvt_place *result) {
    const lvt_type *from = &g->values[n->operands[0]].type, *to = &g->values[n->result].type;
    const int64_t *s = operand->strides;
    lvt_place p = *operand;
    memset(p.strides, 0, sizeof p.strides);
    switch (n->op) {
    case LVT_OP_reshape:
        if (!lvt_strides_reshape(from, s, to, p.strides))
            return false;
        break;
    case LVT_OP_transpose: {
        const lvt_attr *order = lvt_attr_get(n, "order");
        for (int i = 0; i < to->rank; i++)
            p.strides[i] = s[order->ints[i]];
        break;
    }
    case LVT_OP_broadcast: {
        int skip = to->rank - from->rank;
        for (int i = skip; i < to->rank; i++)
            p.strides[i] = from->dim[i - skip] == to->dim[i] ? s[i - skip] : 0;
        break;
    }
    case LVT_OP_slice: {
        int64_t axis = lvt_attr_get(n, "axis")->i, step = lvt_attr_get(n, "step")->i;
        int64_t begin = lvt_attr_get(n, "begin")->i;
        axis += axis < 0 ? from->rank : 0;
        begin += begin < 0 ? from->dim[axis] : 0;
        memcpy(p.strides, s, sizeof p.strides);
        p.strides[axis] = s[axis] * step;
        p.offset += (uint64_t)(begin * s[axis]) * lvt_dtype_size((lvt_dtype)to->dtype);
        break;
    }
    default:
        return false;
    }
    *result = p;
    return true;
}

/* Products read a matrix whose rows or columns are contiguous, in any batch order, without packing it first.
 */
static bool matrix_strides(const lvt_type *t, const int64_t *s) {
    int64_t rows = t->dim[t->rank - 2], cols = t->dim[t->rank - 1];
    int64_t r = s[t->rank - 2], c = s[t->rank - 1];
    bool by_row = (cols == 1 || c == 1) && (rows == 1 || r >= cols);
    bool by_column = (rows == 1 || r == 1) && (cols == 1 || c >= rows);
    return by_row || by_column;
}

bool lvt_reads_strides(const lvt_graph *g, lvt_node_id n, uint32_t k, const int64_t *strides) {
    const lvt_node *node = &g->nodes[n];
    const lvt_type *t = &g->values[node->operands[k]].type;
    int64_t dense[LVT_MAX_RANK];
    lvt_strides_dense(t, dense);
    switch (node->op) {
    case LVT_OP_all_reduce:
    case LVT_OP_conv2d:
    case LVT_OP_conv2d_grad_input:
    case LVT_OP_conv2d_grad_weight:
        return lvt_strides_equal(t, dense, strides);
    case LVT_OP_matmul:
        return t->rank >= 2 && matrix_strides(t, strides);
    case LVT_OP_fused: { /* a loop nest reads anything */
        const lvt_node *product = lvt_epilogue_product(node->body);
        if (!product)
            return true;
        return k < 2 && product->op == LVT_OP_matmul ? matrix_strides(t, strides)
                                                     : lvt_strides_equal(t, dense, strides);
    }
    case LVT_OP_max_pool2d:
    case LVT_OP_avg_pool2d:
    case LVT_OP_max_pool2d_grad:
    case LVT_OP_avg_pool2d_grad: /* vectors of channels */
        return t->dim[t->rank - 1] == 1 || strides[t->rank - 1] == 1;
    case LVT_OP_attention:
    case LVT_OP_attention_grad: /* rows of vectors; of logsumexp one number at a time */
        return t->rank == 3 && k >= 5 ? true : t->dim[t->rank - 1] == 1 || strides[t->rank - 1] == 1;
    default:
        return true; /* generated code and the interpreter read anything */
    }
}

lvt_value *lvt_plan_roots(const lvt_graph *g, lvt_arena *arena) {
    lvt_value *roots = lvt_arena_alloc(arena, (g->n_values + 1u) * sizeof *roots);
    for (lvt_value v = 0; roots && v < g->n_values; v++) {
        const lvt_node *n = lvt_value_node(g, v);
        roots[v] = lvt_is_view(n) ? roots[n->operands[0]] : v;
    }
    return roots;
}

/* ---- the plan as text ---- */

static const char *const place_names[] = {"nowhere", "arena", "state", "input", "constant", "kept"};

static void print_place(const lvt_plan *p, lvt_value v, lvt_text *out) {
    const lvt_place *place = &p->places[v];
    const lvt_type *t = &p->graph->values[v].type;
    lvt_text_add(out, "#   %%%u: %s", v, place_names[place->kind]);
    if (place->kind != LVT_PLACE_NOWHERE && place->kind != LVT_PLACE_ARENA && place->kind != LVT_PLACE_KEPT)
        lvt_text_add(out, " %u", place->index);
    lvt_text_add(out, " + %" PRIu64 " [", place->offset);
    for (int i = 0; i < t->rank; i++)
        lvt_text_add(out, "%s%" PRId64, i ? ", " : "", place->strides[i]);
    lvt_text_add(out, "]\n");
}

void lvt_plan_print(const lvt_plan *p, lvt_text *out) {
    if (!p->places)
        return;
    lvt_text_add(out, "# plan @%s, arena %" PRIu64 " bytes", p->graph->name ? p->graph->name : "",
                 p->arena_bytes);
    if (p->n_prologue)
        lvt_text_add(out, ", kept %" PRIu64 " bytes by the first %u steps", p->kept_bytes, p->n_prologue);
    lvt_text_add(out, "\n");
    for (lvt_value v = 0; v < p->graph->n_values; v++)
        print_place(p, v, out);
    for (uint32_t i = 0; i < p->n_steps; i++) {
        const lvt_node *n = &p->graph->nodes[p->steps[i].node];
        lvt_text_add(out, "#   step %u: %%%u = %s on %s", i, n->result, lvt_op_of(n)->name,
                     lvt_family_name((lvt_family)p->steps[i].family));
        if (p->steps[i].variant)
            lvt_text_add(out, ", %s", lvt_variant_name((lvt_variant)p->steps[i].variant));
        if (p->steps[i].joined)
            lvt_text_add(out, ", joined");
        lvt_text_add(out, "\n");
    }
    for (uint32_t i = 0; i < p->n_stores; i++)
        lvt_text_add(out, "#   store state %u from %%%u\n", p->stores[i].state, p->stores[i].value);
}

/* ---- the program ---- */

lvt_compiled *lvt_plan_program(lvt_module *m, lvt_plan *plans) {
    lvt_compiled *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    *p = (lvt_compiled){.module = m, .plans = plans};
    if (lvt_program_seal(p, NULL) == LVT_OK)
        return p;
    free(p);
    return NULL;
}

void lvt_plan_program_drop(lvt_compiled *p) {
    free(p);
}
