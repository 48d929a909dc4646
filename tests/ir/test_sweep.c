/* Goes over the table of ops: every row is complete, every sample builds, prints, reads back and evaluates,
 * and every kind of wrong use is refused with a message. */
#include "ir/text.h"
#include "tests/samples.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

/* Ops that are not made from operands alone: graphs with inputs, states, bodies and gradients have tests of
 * their own. */
static bool declared(const lvt_op_def *def) {
    return def->kind == LVT_KIND_META || (def->kind == LVT_KIND_SOURCE && !def->eval);
}

static void test_rows(void **state) {
    (void)state;
    for (int op = 0; op < LVT_N_OPS; op++) {
        const lvt_op_def *def = lvt_op_table[op];
        assert_non_null(def);
        assert_int_equal(lvt_op_find(def->name, strlen(def->name)), op);
        assert_non_null(def->infer);
        assert_true(def->n_attrs <= 16); /* what the builder has room for */
        assert_true(def->max_operands < 0 || def->min_operands <= def->max_operands);
        if (declared(def))
            continue;
        if (!def->samples || !def->samples[0])
            fail_msg("%s has no samples", def->name);
        if (!def->eval)
            fail_msg("%s cannot be evaluated", def->name);
        if (!def->grad && !def->no_gradient)
            fail_msg("%s has neither a gradient nor a reason for having none", def->name);
        if (def->grad && def->no_gradient)
            fail_msg("%s has a gradient that is never used", def->name);
    }
    assert_int_equal(lvt_op_find("no_such_op", 10), LVT_NO_OP);
}

static void test_samples(void **state) {
    (void)state;
    for (int op = 0; op < LVT_N_OPS; op++) {
        const lvt_op_def *def = lvt_op_table[op];
        for (int i = 0; !declared(def) && def->samples[i]; i++) {
            lvt_diag *diag = lvt_diag_new();
            sample s;
            if (!sample_make((lvt_op)op, def->samples[i], &s, diag))
                fail_msg("%s: %s: %s", def->name, def->samples[i], lvt_diag_text(diag));
            assert_int_equal(lvt_verify_module(s.module, diag), LVT_OK);
            size_t length;
            char *text = lvt_print_module(s.module, &length);
            lvt_module *again = NULL;
            if (lvt_read_module("printed", text, length, &again, diag) != LVT_OK)
                fail_msg("%s: %s\n%s", def->name, lvt_diag_text(diag), text);
            char *text2 = lvt_print_module(again, NULL);
            assert_string_equal(text, text2);
            free(text);
            free(text2);
            lvt_module_free(again);

            lvt_cost cost = lvt_node_cost(s.graph, &s.graph->nodes[s.node]);
            assert_true(cost.flops >= 0 && cost.bytes >= 0);
            assert_true(def->kind != LVT_KIND_COMPUTE || (cost.flops > 0 && cost.bytes > 0));

            /* In f32 every result is a number of its type. */
            lvt_tensor in[SAMPLE_MAX], out[4];
            uint64_t seed = (uint64_t)op * 100 + (uint64_t)i;
            for (uint32_t k = 0; k < s.n_operands; k++)
                in[k] = sample_operand(&s, k, &seed);
            for (uint32_t k = 0; k < s.graph->n_outputs; k++)
                out[k] = sample_tensor(lvt_value_type(s.graph, s.graph->outputs[k].value), 0, 1, &seed);
            assert_int_equal(lvt_interp_run(s.graph, in, NULL, out, LVT_PRECISION_F32, NULL, NULL, diag),
                             LVT_OK);
            for (uint32_t k = 0; k < s.graph->n_outputs; k++) {
                for (int64_t j = 0; j < lvt_numel(&out[k].type); j++) {
                    double x = out[k].data[j];
                    if (!(isfinite(x) && lvt_round_to((lvt_dtype)out[k].type.dtype, x) == x))
                        fail_msg("%s: %s: result %lld is %g", def->name, def->samples[i], (long long)j, x);
                }
                free(out[k].data);
            }
            for (uint32_t k = 0; k < s.n_operands; k++)
                free(in[k].data);
            sample_free(&s);
            lvt_diag_free(diag);
        }
    }
}

/* Builds the node of a sample with changed operands or attributes and expects the refusal `code`. */
static void expect_refusal(const sample *s, uint32_t n, const lvt_value *operands, uint32_t n_attrs,
                           const lvt_named_attr *attrs, const char *code) {
    const lvt_node *node = &s->graph->nodes[s->node];
    lvt_diag *diag = lvt_diag_new();
    lvt_builder b = lvt_builder_for(s->graph, diag);
    uint32_t nodes = s->graph->n_nodes;
    if (lvt_build(&b, (lvt_op)node->op, n, operands, n_attrs, attrs) != LVT_NONE)
        fail_msg("%s takes what it should refuse with %s", lvt_op_of(node)->name, code);
    assert_true(s->graph->failed);
    assert_int_equal(s->graph->n_nodes, nodes);
    char *text = lvt_diag_text(diag);
    if (!strstr(text, code) || !strstr(text, lvt_op_of(node)->name))
        fail_msg("%s: expected %s, got: %s", lvt_op_of(node)->name, code, text);
    free(text);
    lvt_diag_free(diag);
    s->graph->failed = false;
}

static void test_refusals(void **state) {
    (void)state;
    for (int op = 0; op < LVT_N_OPS; op++) {
        const lvt_op_def *def = lvt_op_table[op];
        if (declared(def))
            continue;
        sample s;
        assert_true(sample_make((lvt_op)op, def->samples[0], &s, NULL));
        const lvt_node *node = &s.graph->nodes[s.node];
        lvt_value operands[SAMPLE_MAX + 1];
        lvt_named_attr attrs[17];
        uint32_t n_attrs = (uint32_t)def->n_attrs;
        for (uint32_t k = 0; k < s.n_operands; k++)
            operands[k] = node->operands[k];
        for (uint32_t k = 0; k < n_attrs; k++)
            attrs[k] = (lvt_named_attr){def->attrs[k].name, node->attrs[k]};

        /* arity */
        operands[s.n_operands] = s.n_operands ? operands[0] : 0;
        if (def->max_operands >= 0 && s.n_operands)
            expect_refusal(&s, s.n_operands + 1, operands, n_attrs, attrs, "E201");
        if (s.n_operands)
            expect_refusal(&s, 0, NULL, n_attrs, attrs, "E201");

        /* poison is silent */
        if (s.n_operands) {
            lvt_builder b = lvt_builder_for(s.graph, NULL);
            lvt_value none[SAMPLE_MAX];
            memset(none, 0xff, sizeof none);
            assert_int_equal(lvt_build(&b, (lvt_op)op, s.n_operands, none, n_attrs, attrs), LVT_NONE);
            assert_false(s.graph->failed);
        }

        /* attributes: unknown, twice, of a wrong kind, missing */
        attrs[n_attrs] = (lvt_named_attr){"no_such_attribute", lvt_attr_int(1)};
        expect_refusal(&s, s.n_operands, operands, n_attrs + 1, attrs, "E206");
        if (n_attrs) {
            attrs[n_attrs] = attrs[0];
            expect_refusal(&s, s.n_operands, operands, n_attrs + 1, attrs, "E206");
        }
        for (uint32_t k = 0; k < n_attrs; k++) {
            lvt_attr kept = attrs[k].value;
            attrs[k].value =
                kept.kind == LVT_ATTR_STRING ? lvt_attr_int(1) : lvt_attr_string("no such thing");
            expect_refusal(&s, s.n_operands, operands, n_attrs, attrs, "E206");
            attrs[k].value = kept;
            if (!def->attrs[k].required)
                continue;
            lvt_named_attr others[16];
            memcpy(others, attrs, k * sizeof *others);
            memcpy(others + k, attrs + k + 1, (n_attrs - k - 1) * sizeof *others);
            expect_refusal(&s, s.n_operands, operands, n_attrs - 1, others, "E206");
        }

        /* a wrong element type or shape: an image of six dims of bytes suits nothing that looks at its
         * operands */
        bool anything = def->kind == LVT_KIND_VIEW ||
                        (def->kind == LVT_KIND_POINTWISE && def->signature[0] == 'x') || op == LVT_OP_cast ||
                        op == LVT_OP_copy || op == LVT_OP_pad || op == LVT_OP_concat || op == LVT_OP_gather;
        if (s.n_operands && !anything) {
            lvt_builder b = lvt_builder_for(s.graph, NULL);
            lvt_type bytes = *lvt_value_type(s.graph, operands[0]);
            bytes.dtype = LVT_U8;
            operands[0] = lvt_build_input(&b, "bytes", &bytes);
            expect_refusal(&s, s.n_operands, operands, n_attrs, attrs, "E202");
        }
        if (s.n_operands == 2 && op != LVT_OP_gather && op != LVT_OP_matmul && op != LVT_OP_concat) {
            lvt_builder b = lvt_builder_for(s.graph, NULL);
            lvt_type odd = *lvt_value_type(s.graph, node->operands[1]);
            for (int d = 0; d < odd.rank; d++)
                odd.dim[d] += 7;
            operands[0] = node->operands[0];
            operands[1] = lvt_build_input(&b, "odd", &odd);
            expect_refusal(&s, 2, operands, n_attrs, attrs,
                           op == LVT_OP_conv2d || op == LVT_OP_conv2d_grad_input ||
                                   op == LVT_OP_conv2d_grad_weight
                               ? "E204"
                               : "E203");
        }
        sample_free(&s);
    }
}

/* Messages that users meet most: exact words, with the origin of each operand. */
static void test_messages(void **state) {
    (void)state;
    lvt_diag *diag = lvt_diag_new();
    lvt_module *m = lvt_module_new("m");
    uint32_t file = lvt_module_source(m, "models/x.lvt", NULL, 0);
    lvt_graph *g = lvt_module_add_entry(m, "e", 0, false);
    lvt_builder b = lvt_builder_for(g, diag);
    lvt_type ta = lvt_type_make(LVT_F32, 2, (int64_t[]){64, 192}),
             tb = lvt_type_make(LVT_F32, 2, (int64_t[]){768, 10});
    b.loc = lvt_module_loc(m, file, 3, 5, 0);
    lvt_value x = lvt_build_input(&b, "x", &ta);
    b.loc = lvt_module_loc(m, file, 9, 5, 0);
    lvt_value w = lvt_build_input(&b, "w", &tb);
    b.loc = lvt_module_loc(m, file, 14, 7, 0);
    assert_int_equal(lvt_build_matmul(&b, x, w, false, false), LVT_NONE);
    assert_int_equal(lvt_build_binary(&b, LVT_OP_add, x, w), LVT_NONE);
    lvt_named_attr attr = {"transpose_c", lvt_attr_bool(true)};
    assert_int_equal(lvt_build(&b, LVT_OP_matmul, 2, (lvt_value[]){x, w}, 1, &attr), LVT_NONE);
    char *text = lvt_diag_text(diag);
    assert_string_equal(
        text,
        "models/x.lvt:14:7: error E204: matmul: inner dimensions differ, 192 and 768\n"
        "models/x.lvt:3:5: note: the first operand, f32[64,192], comes from here\n"
        "models/x.lvt:9:5: note: the second operand, f32[768,10], comes from here\n"
        "models/x.lvt:14:7: error E203: add: shapes do not fit, f32[64,192] and f32[768,10]\n"
        "models/x.lvt:3:5: note: the first operand, f32[64,192], comes from here\n"
        "models/x.lvt:9:5: note: the second operand, f32[768,10], comes from here\n"
        "models/x.lvt:14:7: error E206: matmul: no attribute 'transpose_c'; did you mean 'transpose_a'?\n"
        "note: its attributes are transpose_a: boolean = false, transpose_b: boolean = false\n");
    free(text);
    lvt_module_free(m);
    lvt_diag_free(diag);
}

/* What the builder does with attributes before they are checked. */
static void test_attributes(void **state) {
    (void)state;
    lvt_module *m = lvt_module_new("m");
    lvt_graph *g = lvt_module_add_entry(m, "e", 0, false);
    lvt_builder b = lvt_builder_for(g, NULL);
    lvt_type t = lvt_type_make(LVT_F32, 3, (int64_t[]){2, 3, 4});
    lvt_value x = lvt_build_input(&b, "x", &t);
    lvt_named_attr axes = {"axes", lvt_attr_ints((int64_t[]){-1, 0}, 2)};
    lvt_value sum = lvt_build(&b, LVT_OP_reduce_sum, 1, &x, 1, &axes);
    const lvt_attr *a = lvt_attr_get(lvt_value_node(g, sum), "axes");
    assert_true(a->n == 2 && a->ints[0] == 0 && a->ints[1] == 2);
    axes.value = lvt_attr_int(-2);
    sum = lvt_build(&b, LVT_OP_reduce_sum, 1, &x, 1, &axes);
    a = lvt_attr_get(lvt_value_node(g, sum), "axes");
    assert_true(a->kind == LVT_ATTR_INTS && a->n == 1 && a->ints[0] == 1);
    lvt_named_attr axis = {"axis", lvt_attr_int(-1)};
    lvt_value index = lvt_build(&b, LVT_OP_argmax, 1, &x, 1, &axis);
    assert_int_equal(lvt_attr_get(lvt_value_node(g, index), "axis")->i, 2);
    lvt_value soft = lvt_build(&b, LVT_OP_softmax, 1, &x, 1, &axis);
    assert_int_equal(lvt_attr_get(lvt_value_node(g, soft), "axis")->i, -1); /* the default stays unprinted */
    lvt_named_attr dtype = {"dtype", lvt_attr_string("f64")};
    lvt_value cast = lvt_build(&b, LVT_OP_cast, 1, &x, 1, &dtype);
    assert_int_equal(lvt_value_type(g, cast)->dtype, LVT_F64);
    assert_int_equal(lvt_build_cast(&b, cast, LVT_F64), cast);
    assert_int_equal(lvt_build_reshape(&b, x, 3, t.dim), x);
    assert_false(g->failed);
    axes.value = lvt_attr_ints((int64_t[]){1, 1}, 2);
    assert_int_equal(lvt_build(&b, LVT_OP_reduce_sum, 1, &x, 1, &axes), LVT_NONE);
    assert_true(g->failed);
    /* After a mistake the others are still found, and right nodes are still made. */
    assert_int_not_equal(lvt_build_unary(&b, LVT_OP_exp, x), LVT_NONE);
    lvt_module_free(m);
}

static void test_window(void **state) {
    (void)state;
    sample s;
    assert_true(sample_make(LVT_OP_max_pool2d, "f32[1,8,8,1] {kernel = [3], padding = [1, 0]}", &s, NULL));
    lvt_window w = lvt_window_of(&s.graph->nodes[s.node]);
    assert_true(w.kernel[0] == 3 && w.kernel[1] == 3 && w.stride[0] == 3 && w.stride[1] == 3 &&
                w.groups == 1);
    assert_true(w.padding[0] == 1 && w.padding[1] == 0 && w.padding[2] == 1 && w.padding[3] == 0);
    sample_free(&s);
    assert_true(sample_make(LVT_OP_conv2d,
                            "f32[1,8,8,2], f32[4,1,3,3] {stride = [2], padding = [1, 2, 3, 4], groups = 2}",
                            &s, NULL));
    w = lvt_window_of(&s.graph->nodes[s.node]);
    assert_true(w.stride[0] == 2 && w.stride[1] == 2 && w.dilation[0] == 1 && w.groups == 2);
    assert_true(w.padding[0] == 1 && w.padding[1] == 2 && w.padding[2] == 3 && w.padding[3] == 4);
    lvt_cost cost = lvt_node_cost(s.graph, &s.graph->nodes[s.node]);
    const lvt_type *y = lvt_value_type(s.graph, s.graph->nodes[s.node].result);
    assert_true(cost.flops == 2.0 * (double)lvt_numel(y) * 9);
    sample_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),     cmocka_unit_test(test_samples),    cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_messages), cmocka_unit_test(test_attributes), cmocka_unit_test(test_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
