/* Made-up inputs for trying a program without data.
 *
 * Invariant: indices stay within what they index, found by following the input to its uses. May not know:
 * data sets. */
#include "runtime/command/command.h"
#include "runtime/session/internal.h"
#include "runtime/data/augment.h"
#include "ir/op.h"
#include "ir/base/philox.h"

#include <stdlib.h>
#include <string.h>

enum { ANY_INDEX = 1 << 30, MAX_DEPTH = 64 };

/* The length of the iota that a value is a view of, or 0. */
static int64_t iota_length(const lvt_graph *g, lvt_value v) {
    const lvt_node *n = lvt_value_node(g, v);
    while (lvt_op_of(n)->kind == LVT_KIND_VIEW || n->op == LVT_OP_cast) {
        v = n->operands[0];
        n = lvt_value_node(g, v);
    }
    if (n->op != LVT_OP_iota)
        return 0;
    return lvt_value_type(g, v)->dim[lvt_attr_get(n, "axis")->i];
}

/* An upper limit for the values of v, from what uses it as an index. */
static int64_t index_limit(const lvt_graph *g, lvt_value v, int depth) {
    int64_t limit = ANY_INDEX;
    for (uint32_t i = 0; i < g->n_nodes && depth < MAX_DEPTH; i++) {
        const lvt_node *n = &g->nodes[i];
        for (uint32_t k = 0; k < n->n_operands; k++) {
            if (n->operands[k] != v)
                continue;
            int64_t here = ANY_INDEX;
            if (n->op == LVT_OP_one_hot) {
                here = lvt_attr_get(n, "size")->i;
            } else if (n->op == LVT_OP_cross_entropy && k == 1) {
                here = lvt_value_type(g, n->operands[0])->dim[1];
            } else if (n->op == LVT_OP_gather && k == 1) {
                const lvt_type *table = lvt_value_type(g, n->operands[0]);
                int64_t axis = lvt_attr_get(n, "axis")->i;
                here = table->dim[axis < 0 ? axis + table->rank : axis];
            } else if (n->op == LVT_OP_eq) {
                int64_t length = iota_length(g, n->operands[1 - k]);
                here = length ? length : ANY_INDEX;
            } else if (n->op == LVT_OP_fused) {
                here = index_limit(n->body, n->body->inputs[k].value, depth + 1);
            } else if (lvt_op_of(n)->kind == LVT_KIND_VIEW || n->op == LVT_OP_copy || n->op == LVT_OP_cast ||
                       n->op == LVT_OP_concat) {
                here = index_limit(g, n->result, depth + 1);
            }
            limit = here < limit ? here : limit;
        }
    }
    return limit;
}

static void fill_input(const lvt_graph *g, const lvt_input *in, uint32_t index, uint64_t seed, void *data) {
    const lvt_type *t = lvt_value_type(g, in->value);
    int64_t n = lvt_numel(t), limit = ANY_INDEX;
    if (t->dtype == LVT_I32)
        limit = index_limit(g, in->value, 0);
    bool mask = strstr(in->name, "mask") != NULL;
    uint32_t words[4];
    for (int64_t i = 0; i < n; i++) {
        if (i % 4 == 0)
            lvt_philox(seed, (uint32_t)(i / 4), 0, index, 0x6c7674u, words);
        uint32_t word = words[i % 4];
        double unit = word / 4294967296.0;
        switch ((lvt_dtype)t->dtype) {
        case LVT_F32: /* deviation 1, like a normalised image */
            ((float *)data)[i] = mask ? 1.0f : t->rank == 0 ? 0.01f : (float)((unit - 0.5) * 3.4641016);
            break;
        case LVT_F64:
            ((double *)data)[i] = mask ? 1.0 : t->rank == 0 ? 0.01 : (unit - 0.5) * 3.4641016;
            break;
        case LVT_BF16: { /* the upper half of an f32 */
            float x = mask ? 1.0f : (float)((unit - 0.5) * 3.4641016);
            memcpy((char *)data + 2 * i, (char *)&x + 2, 2);
            break;
        }
        case LVT_I32:
            ((int32_t *)data)[i] = limit == ANY_INDEX ? (int32_t)(word & 1) : (int32_t)(unit * (double)limit);
            break;
        case LVT_U8:
            ((uint8_t *)data)[i] = (uint8_t)word;
            break;
        default:
            ((uint8_t *)data)[i] = 1;
        }
    }
}

void **lvt_cmd_inputs(const lvt_program *p, int entry, uint64_t seed, lvt_diag *diag) {
    const lvt_graph *g = lvt_program_compiled(p)->plans[entry].graph;
    void **inputs = calloc(g->n_inputs + 1, sizeof *inputs);
    bool ok = inputs != NULL;
    for (uint32_t i = 0; ok && i < g->n_inputs; i++) {
        if (g->inputs[i].has_default)
            continue;
        inputs[i] = calloc(1, lvt_type_bytes(lvt_value_type(g, g->inputs[i].value)));
        ok = inputs[i] != NULL;
        if (ok)
            fill_input(g, &g->inputs[i], i, seed, inputs[i]);
    }
    if (!ok) {
        lvt_cmd_inputs_free(p, entry, inputs);
        lvt_no_memory(diag, NULL);
        return NULL;
    }
    return inputs;
}

void lvt_cmd_inputs_free(const lvt_program *p, int entry, void **inputs) {
    for (uint32_t i = 0; inputs && i < lvt_program_compiled(p)->plans[entry].graph->n_inputs; i++)
        free(inputs[i]);
    free(inputs);
}

lvt_status lvt_cmd_entry(const lvt_program *p, const char *name, int *entry, lvt_diag *diag) {
    const lvt_module *m = lvt_program_compiled(p)->module;
    *entry = lvt_entry_find(p, name ? name : "train");
    if (*entry < 0 && !name && m->n_entries)
        *entry = 0;
    if (*entry >= 0)
        return LVT_OK;
    const char *names[64];
    size_t n = 0;
    for (; n < m->n_entries && n < 64; n++)
        names[n] = m->entries[n]->name;
    const char *near = name ? lvt_nearest(name, names, n) : NULL;
    return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                     "no such entry, \"%s\"%s%s%s (`lvt-run info` lists them)", name ? name : "train",
                     near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}
