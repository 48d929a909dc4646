/* The samples of the op table as graphs, and numbers to run them on: for every test that goes over all ops.
 *
 * A sample "f32[2,3] in 0.5..2, i32[2] in 0..4 {axis = 1}" becomes an entry whose inputs are the operands and
 * whose outputs are the results of that one node. Everything is derived from fixed seeds. */
#ifndef LVT_TESTS_SAMPLES_H
#define LVT_TESTS_SAMPLES_H

#include "ir/interp.h"
#include "ir/reader.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLE_MAX = 8 };

typedef struct sample {
    lvt_module *module; /* owned; sample_free */
    lvt_graph *graph;
    lvt_node_id node;
    uint32_t n_operands;
    double low[SAMPLE_MAX], high[SAMPLE_MAX]; /* what operands are drawn from; integers below high */
} sample;

/* A number in [0, 1) (splitmix64). */
static inline double sample_random(uint64_t *seed) {
    uint64_t z = *seed += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 11) / 9007199254740992.0;
}

/* False when the text is wrong or the builder refuses the node; diag says why. */
static inline bool sample_make(lvt_op op, const char *text, sample *out, lvt_diag *diag) {
    *out = (sample){.module = lvt_module_new("sample")};
    lvt_module *m = out->module;
    lvt_reader r = {.m = m, .scratch = m->arena, .diag = diag, .status = LVT_OK};
    lvt_lex_init(&r.lexer, LVT_LEX_IR, "sample", text, strlen(text), m->arena, diag);
    out->graph = lvt_module_add_entry(
        m, "sample", lvt_module_loc(m, lvt_module_source(m, "sample", text, strlen(text)), 1, 1, 0), false);
    lvt_builder b = lvt_builder_for(out->graph, diag);
    b.loc = out->graph->loc;
    lvt_value operands[SAMPLE_MAX];
    bool more = lvt_read_advance(&r) && r.t.kind == LVT_TOK_NAME;
    while (more) {
        uint32_t k = out->n_operands++;
        lvt_type type;
        bool ranged;
        char name[8] = {(char)('a' + k)};
        out->low[k] = 0;
        if (k >= SAMPLE_MAX || !lvt_read_type(&r, &type) || !lvt_read_accept_word(&r, "in", &ranged))
            return false;
        out->high[k] = type.dtype == LVT_BOOL ? 2 : 1;
        if (ranged && (!lvt_read_double(&r, &out->low[k]) || !lvt_read_expect(&r, LVT_PUNCT_RANGE) ||
                       !lvt_read_double(&r, &out->high[k])))
            return false;
        operands[k] = lvt_build_input(&b, name, &type);
        if (!lvt_read_accept(&r, ',', &more))
            return false;
    }
    lvt_node like = {.op = (uint16_t)op};
    lvt_named_attr attrs[16];
    if (!lvt_read_attrs(&r, &r.t, &like) || r.t.kind != LVT_TOK_END)
        return false;
    const lvt_op_def *def = lvt_op_table[op];
    for (int i = 0; i < def->n_attrs; i++)
        attrs[i] = (lvt_named_attr){def->attrs[i].name, like.attrs[i]};
    lvt_value v = lvt_build(&b, op, out->n_operands, operands, (uint32_t)def->n_attrs, attrs);
    if (v == LVT_NONE)
        return false;
    out->node = out->graph->values[v].node;
    for (uint32_t k = 0; k < out->graph->nodes[out->node].n_results; k++) {
        char name[8] = {'r', (char)('0' + k)};
        lvt_graph_add_output(out->graph, name, v + k, b.loc);
    }
    return !out->graph->failed;
}

static inline void sample_free(sample *s) {
    lvt_module_free(s->module);
}

/* A tensor of that type drawn from [low, high); freed with free(t.data). */
static inline lvt_tensor sample_tensor(const lvt_type *type, double low, double high, uint64_t *seed) {
    lvt_tensor t = {*type, malloc((size_t)lvt_numel(type) * sizeof(double) + 1)};
    for (int64_t i = 0; i < lvt_numel(type); i++) {
        double x = low + (high - low) * sample_random(seed);
        t.data[i] = lvt_dtype_is_float((lvt_dtype)type->dtype) ? lvt_round_to(LVT_F32, x) : floor(x);
    }
    return t;
}

/* The operand k of a sample. */
static inline lvt_tensor sample_operand(const sample *s, uint32_t k, uint64_t *seed) {
    return sample_tensor(lvt_value_type(s->graph, s->graph->inputs[k].value), s->low[k], s->high[k], seed);
}

#endif
