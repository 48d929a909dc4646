/* copy, concat, pad, gather, gather_grad, one_hot and argmax against the interpreter, on every sample of the
 * table of ops and on shapes large enough to be cut, packed and as views. All but gather_grad move bits: they
 * must agree exactly. */
#include "jit_util.h"

static int setup(void **state) {
    lvt_jit *jit = NULL;
    int failed = lvt_jit_new("", false, &jit, NULL) != LVT_OK;
    *state = jit;
    return failed;
}
static int teardown(void **state) {
    lvt_jit_free(*state);
    return 0;
}

typedef struct operand {
    lvt_dtype dtype;
    int rank;
    int64_t dim[LVT_MAX_RANK];
    double lo, hi;
} operand;

static void check(lvt_jit *jit, lvt_op op, uint32_t n, const operand *x, uint32_t n_attrs,
                  const lvt_named_attr *attrs) {
    for (int layout = PACKED; layout <= STRIDED; layout++)
        for (uint64_t seed = 1; seed < 5; seed++) {
            body_case c;
            body_new(&c);
            lvt_value args[MAX_ENDS];
            double lo[MAX_ENDS], hi[MAX_ENDS];
            for (uint32_t i = 0; i < n; i++) {
                args[i] = body_input(&c, x[i].dtype, x[i].rank, x[i].dim, x[i].lo, x[i].hi);
                lo[i] = x[i].lo, hi[i] = x[i].hi;
            }
            lvt_value y = lvt_build(&c.b, op, n, args, n_attrs, attrs);
            assert_int_not_equal(y, LVT_NONE);
            lvt_node_id node = c.body->values[y].node;
            end in[MAX_ENDS], out[MAX_ENDS];
            make_ends(c.body, node, in, out, layout, seed, lo, hi, c.diag);
            /* sums of some hundred numbers below 1 in the same order, but in float */
            double tolerance = op == LVT_OP_gather_grad ? 2e-5 : 0;
            run_and_compare(jit, c.body, node, in, out, 0, tolerance, 2, c.diag, lvt_op_table[op]->name);
            free_ends(&c.body->nodes[node], in, out);
            body_free(&c);
        }
}

static void test_copy(void **state) {
    static const int64_t shapes[][5] = {
        {1, 1}, {1, 100000}, {2, 70, 130}, {3, 5, 37, 64}, {4, 3, 33, 5, 41}, {4, 2, 64, 4, 32}, {2, 1, 9}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int t = 0; t < LVT_N_DTYPES; t++) {
            operand x = {(lvt_dtype)t, (int)shapes[s][0], {0}, 0, t == LVT_BOOL ? 2 : 100};
            memcpy(x.dim, shapes[s] + 1, (size_t)x.rank * sizeof *x.dim);
            check(*state, LVT_OP_copy, 1, &x, 0, NULL);
        }
}

static void test_concat_and_pad(void **state) {
    for (int64_t axis = 0; axis < 3; axis++) {
        operand x[3];
        for (int i = 0; i < 3; i++) {
            x[i] = (operand){LVT_F32, 3, {6, 35, 20}, -1, 1};
            x[i].dim[axis] = 3 + 11 * i;
        }
        lvt_named_attr a[] = {{"axis", lvt_attr_int(axis)},
                              {"before", lvt_attr_int(2)},
                              {"after", lvt_attr_int(1)},
                              {"value", lvt_attr_float(7)}};
        check(*state, LVT_OP_concat, 3, x, 1, a);
        check(*state, LVT_OP_pad, 1, x, 4, a);
        a[1].value = lvt_attr_int(0);
        check(*state, LVT_OP_pad, 1, x, 4, a);
    }
}

static void test_by_index(void **state) {
    for (int64_t axis = 0; axis < 3; axis++) {
        operand table = {LVT_F32, 3, {7, 9, 33}, -1, 1},
                index = {LVT_I32, 2, {5, 13}, -2, 12}; /* some outside: the nearest */
        lvt_named_attr a[] = {{"axis", lvt_attr_int(axis)}, {"size", lvt_attr_int(8)}};
        check(*state, LVT_OP_gather, 2, (operand[]){table, index}, 1, a);
        operand dy = {LVT_F32, 4, {0}, -1, 1};
        for (int i = 0, k = 0; i < 3; i++) {
            if (i != axis) {
                dy.dim[k++] = table.dim[i];
                continue;
            }
            dy.dim[k++] = 5;
            dy.dim[k++] = 13;
        }
        check(*state, LVT_OP_gather_grad, 2, (operand[]){dy, index}, 2, a);
        check(*state, LVT_OP_argmax, 1, &table, 1, a);
    }
    operand bias = {LVT_F32, 2, {8, 64}, -1, 1}, pairs = {LVT_I32, 2, {64, 64}, 0, 64},
            d = {LVT_F32, 3, {8, 64, 64}, -0.1, 0.1};
    lvt_named_attr a[] = {{"axis", lvt_attr_int(1)}, {"size", lvt_attr_int(64)}};
    check(*state, LVT_OP_gather, 2, (operand[]){bias, pairs}, 1, a);
    check(*state, LVT_OP_gather_grad, 2, (operand[]){d, pairs}, 2, a);
    operand labels = {LVT_I32, 2, {3, 700}, -2, 12};
    for (int t = 0; t < LVT_N_DTYPES; t++) {
        lvt_named_attr hot[] = {{"size", lvt_attr_int(10)}, {"dtype", lvt_attr_dtype((lvt_dtype)t)}};
        check(*state, LVT_OP_one_hot, 1, &labels, 2, hot);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_copy), cmocka_unit_test(test_concat_and_pad),
                                       cmocka_unit_test(test_by_index)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
