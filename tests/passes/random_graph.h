/* Random small graphs for property tests: every kind of op the passes rewrite, a loss of all of it, its
 * gradients, two updates and three outputs. The same seed gives the same graph. To be included once, after
 * cmocka.h. */
#ifndef LVT_TESTS_RANDOM_GRAPH_H
#define LVT_TESTS_RANDOM_GRAPH_H

#include "ir/build.h"

#include <stdio.h>

static uint64_t random_bits(uint64_t *seed) { /* xorshift64*, Vigna 2016 */
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * 0x2545f4914f6cdd1du;
}
static double uniform(uint64_t *seed) {
    return (double)(random_bits(seed) >> 11) / 9007199254740992.0;
}
static int below(uint64_t *seed, int n) {
    return (int)(random_bits(seed) % (uint64_t)n);
}

enum { MOST_VALUES = 64 };

typedef struct growing {
    lvt_builder b;
    lvt_value values[MOST_VALUES];
    int n;
    uint64_t *seed;
} growing;

static void add(growing *x, lvt_value v) {
    assert_int_not_equal(v, LVT_NONE);
    if (x->n < MOST_VALUES)
        x->values[x->n++] = v;
}

static lvt_value any(growing *x) {
    return x->values[below(x->seed, x->n)];
}

static void grow(growing *x) {
    static const lvt_op unary[] = {LVT_OP_neg,  LVT_OP_tanh,   LVT_OP_gelu, LVT_OP_sigmoid,
                                   LVT_OP_relu, LVT_OP_square, LVT_OP_sin,  LVT_OP_stop_gradient};
    static const lvt_op binary[] = {LVT_OP_add, LVT_OP_sub, LVT_OP_mul, LVT_OP_max};
    static const lvt_op reductions[] = {LVT_OP_reduce_sum, LVT_OP_reduce_mean, LVT_OP_reduce_max};
    lvt_builder *b = &x->b;
    lvt_value v = any(x);
    lvt_type t = *lvt_value_type(b->graph, v);
    lvt_type joined;
    switch (below(x->seed, 11)) {
    case 0:
        add(x, lvt_build_unary(b, unary[below(x->seed, 8)], v));
        break;
    case 1: /* something of a fitting shape, or a number */
        for (int tries = 0; tries < 8; tries++) {
            lvt_value w = any(x);
            if (lvt_broadcast_types(&t, lvt_value_type(b->graph, w), &joined)) {
                add(x, lvt_build_binary(b, binary[below(x->seed, 4)], v, w));
                return;
            }
        }
        break;
    case 2:
        add(x, lvt_build_binary(b, binary[below(x->seed, 4)], v,
                                lvt_build_scalar(b, LVT_F32, below(x->seed, 3) - 1)));
        break;
    case 3: {
        int64_t axes[LVT_MAX_RANK];
        int n = 0;
        for (int i = 0; i < t.rank; i++)
            if (below(x->seed, 2))
                axes[n++] = i;
        if (n)
            add(x, lvt_build_reduce(b, reductions[below(x->seed, 3)], v, n, axes, below(x->seed, 2)));
        break;
    }
    case 4: { /* the same elements in another shape: two dims joined, or one split */
        int64_t dims[LVT_MAX_RANK];
        int rank = 0;
        if (t.rank >= 2 && below(x->seed, 2)) {
            int at = below(x->seed, t.rank - 1);
            for (int i = 0; i < t.rank; i++)
                if (i == at + 1)
                    dims[rank - 1] *= t.dim[i];
                else
                    dims[rank++] = t.dim[i];
        } else if (t.rank >= 1 && t.rank < 4) {
            int at = below(x->seed, t.rank);
            for (int i = 0; i < t.rank; i++) {
                if (i == at && t.dim[i] % 2 == 0) {
                    dims[rank++] = 2;
                    dims[rank++] = t.dim[i] / 2;
                } else {
                    dims[rank++] = t.dim[i];
                }
            }
        } else {
            break;
        }
        add(x, lvt_build_reshape(b, v, rank, dims));
        break;
    }
    case 5: {
        int64_t order[LVT_MAX_RANK];
        for (int i = 0; i < t.rank; i++)
            order[i] = i;
        for (int i = t.rank; i-- > 1;) {
            int k = below(x->seed, i + 1);
            int64_t o = order[i];
            order[i] = order[k];
            order[k] = o;
        }
        if (t.rank)
            add(x, lvt_build_transpose(b, v, order));
        break;
    }
    case 6:
        if (t.rank >= 1) {
            int axis = below(x->seed, t.rank);
            int64_t from = below(x->seed, (int)t.dim[axis]);
            add(x, lvt_build_slice(b, v, axis, from, from + 1 + below(x->seed, (int)(t.dim[axis] - from))));
        }
        break;
    case 7:
        if (t.rank >= 1 && lvt_numel(&t) < 200) {
            lvt_value parts[2] = {v, v};
            add(x, lvt_build_concat(b, 2, parts, below(x->seed, t.rank)));
        }
        break;
    case 8:
        if (t.rank >= 2) {
            bool flip = below(x->seed, 2);
            lvt_value w = flip ? v : lvt_build_unary(b, LVT_OP_sin, v);
            add(x, lvt_build_matmul(b, v, w, flip, !flip));
        }
        break;
    case 9:
        if (t.rank >= 1)
            add(x, lvt_build(b, below(x->seed, 2) ? LVT_OP_softmax : LVT_OP_log_softmax, 1, &v, 0, NULL));
        break;
    case 10:
        if (t.rank >= 2) {
            lvt_type row = lvt_type_make(LVT_F32, 1, &t.dim[t.rank - 1]);
            lvt_value operands[3] = {v, lvt_build_full(b, &row, 0.5), lvt_build_full(b, &row, 0.25)};
            add(x, lvt_build(b, LVT_OP_batch_norm, 3, operands, 0, NULL));
        }
        break;
    }
}

static lvt_module *random_module(uint64_t seed, lvt_diag *diag) {
    static const int64_t shapes[][3] = {{4, 6, 8}, {6, 8}, {8}, {4, 1, 8}};
    static const int ranks[] = {3, 2, 1, 3};
    lvt_module *m = lvt_module_new("random");
    lvt_graph *g = lvt_module_add_entry(m, "f", 0, true);
    growing x = {.b = lvt_builder_for(g, diag), .seed = &seed};
    lvt_value leaves[4];
    for (int i = 0; i < 4; i++) {
        lvt_type t = lvt_type_make(LVT_F32, ranks[i], shapes[i]);
        char name[8];
        snprintf(name, sizeof name, "s%d", i);
        if (i < 2)
            leaves[i] = lvt_build_state(&x.b, lvt_module_add_state(m, name, &t, (lvt_init){0}, true, 0));
        else
            leaves[i] = lvt_build_input(&x.b, name, &t);
        add(&x, leaves[i]);
    }
    for (int i = 0; i < 24; i++)
        grow(&x);
    /* A loss of everything, so that gradients flow through it all; tanh keeps values of size 1. */
    lvt_value loss = LVT_NONE;
    for (int i = 0; i < x.n; i += 1 + below(&seed, 3)) {
        lvt_value mean = lvt_build_reduce(&x.b, LVT_OP_reduce_mean,
                                          lvt_build_unary(&x.b, LVT_OP_tanh, x.values[i]), 0, NULL, false);
        loss = loss == LVT_NONE ? mean : lvt_build_binary(&x.b, LVT_OP_add, loss, mean);
    }
    lvt_value wanted[3] = {loss, leaves[0], leaves[1]};
    lvt_value d = lvt_build(&x.b, LVT_OP_gradient, 3, wanted, 0, NULL);
    assert_int_not_equal(d, LVT_NONE);
    for (int i = 0; i < 2; i++)
        lvt_graph_add_update(g, (uint32_t)i, lvt_build_binary(&x.b, LVT_OP_sub, leaves[i], d + (lvt_value)i),
                             0);
    lvt_graph_add_output(g, "loss", loss, 0);
    lvt_graph_add_output(g, "last", x.values[x.n - 1], 0);
    lvt_graph_add_output(g, "some", x.values[x.n / 2], 0);
    assert_false(g->failed);
    return m;
}

#endif
