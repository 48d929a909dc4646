/* Products and convolutions that finish their results (ir/epilogue.h), oneDNN's and ours, against the interpreter:
 * random shapes, odd sizes, one row, one column, one image, every activation, steps in any order that the
 * form allows. */
#include "ir/epilogue.h"
#include "harness.h"

/* As in test_onednn.c: sums of at most a thousand products. oneDNN's tanh, erf and exp are off by some 1e-7,
 * and no activation is steeper than 1.13. */
static const double relative = 1e-5;

static lvt_value body_input(lvt_builder *b, lvt_builder *outer, lvt_value *operands, int rank,
                            const int64_t *dims) {
    lvt_type t = lvt_type_make(LVT_F32, rank, dims);
    char name[16];
    snprintf(name, sizeof name, "x%u", outer->graph->n_inputs);
    operands[b->graph->n_inputs] = lvt_build_input(outer, name, &t);
    return lvt_build_input(b, NULL, &t);
}

/* Appends random steps to the product (its inputs come after those of the product, so they are made first),
 * closes the body and compares. */
static void finish(lvt_onednn *c, rng *r, lvt_builder *outer, lvt_builder *b, lvt_value *operands,
                   const lvt_type *result, lvt_value (*product)(lvt_builder *b, const void *how),
                   const void *how) {
    static const lvt_op activations[] = {LVT_OP_gelu, LVT_OP_tanh, LVT_OP_sigmoid, LVT_OP_silu};
    lvt_value added[LVT_EPILOGUE_MOST] = {0};
    int n = (int)rng_range(r, 1, LVT_EPILOGUE_MOST), kind[LVT_EPILOGUE_MOST];
    for (int i = 0; i < n; i++) {
        kind[i] = (int)rng_range(r, i ? 1 : 0, 2); /* a bias comes first */
        if (kind[i] == 1 && result->rank == 4)
            kind[i] = 2; /* convolutions add nothing but a bias: oneDNN 2.6 adds wrong elements to some */
        if (kind[i] == 0)
            added[i] = body_input(b, outer, operands, 1, &result->dim[result->rank - 1]);
        if (kind[i] == 1)
            added[i] = body_input(b, outer, operands, result->rank, result->dim);
    }
    lvt_value y = product(b, how);
    assert_int_not_equal(y, LVT_NONE);
    assert_true(lvt_type_equal(lvt_value_type(b->graph, y), result));
    for (int i = 0; i < n; i++) {
        if (kind[i] == 0) /* said as the pass says it, also where there is but one row */
            y = lvt_build_binary(
                b, LVT_OP_add, y,
                lvt_build(b, LVT_OP_broadcast, 1, &added[i], 1,
                          &(lvt_named_attr){"shape", lvt_attr_ints(result->dim, result->rank)}));
        else
            y = kind[i] == 1 ? lvt_build_binary(b, LVT_OP_add, y, added[i])
                             : lvt_build_unary(b, activations[rng_range(r, 0, 3)], y);
    }
    assert_true(lvt_graph_add_output(b->graph, NULL, y, 0));
    lvt_epilogue form;
    const char *why = lvt_epilogue_analyse(b->graph, &form);
    if (why)
        fail_msg("%s", why);
    assert_int_equal(form.n, n);
    lvt_value fused = lvt_build_fused(outer, b->graph, b->graph->n_inputs, operands);
    assert_int_not_equal(fused, LVT_NONE);
    assert_int_equal(lvt_family_for(outer->graph, outer->graph->values[fused].node, NULL), LVT_FAMILY_ONEDNN);
    compare_with_interpreter(c, r, outer->graph, outer->graph->values[fused].node, true, relative);
    if (form.product->op == LVT_OP_matmul)
        compare_variant(c, r, outer->graph, outer->graph->values[fused].node, LVT_VARIANT_OWN_PRODUCT, true,
                        relative);
}

typedef struct matrices {
    bool ta, tb;
} matrices;

static lvt_value make_matmul(lvt_builder *b, const void *how) {
    const matrices *m = how;
    return lvt_build_matmul(b, b->graph->inputs[0].value, b->graph->inputs[1].value, m->ta, m->tb);
}

static void products(void **state) {
    (void)state;
    lvt_onednn *c = NULL;
    lvt_diag *diag = lvt_diag_new();
    rng r = {0x9e3779b97f4a7c15u};
    assert_int_equal(lvt_onednn_new(&c, diag), LVT_OK);
    for (int i = 0; i < 150; i++) {
        int64_t m = rng_range(&r, 0, 4) ? rng_range(&r, 1, 90) : 1, k = rng_range(&r, 1, 200);
        int64_t n = rng_range(&r, 0, 6) ? rng_range(&r, 1, 90) : 1;
        matrices how = {rng_next(&r) & 1, rng_next(&r) & 1};
        lvt_module *module = lvt_module_new("test");
        lvt_builder outer = lvt_builder_for(lvt_module_add_entry(module, "e", 0, false), diag);
        lvt_builder b = lvt_builder_for(lvt_graph_new(module, NULL, 0, false), diag);
        lvt_value operands[8];
        lvt_type y = lvt_type_make(LVT_F32, 2, (int64_t[]){m, n});
        body_input(&b, &outer, operands, 2, how.ta ? (int64_t[]){k, m} : (int64_t[]){m, k});
        body_input(&b, &outer, operands, 2, how.tb ? (int64_t[]){n, k} : (int64_t[]){k, n});
        finish(c, &r, &outer, &b, operands, &y, make_matmul, &how);
        lvt_module_free(module);
    }
    lvt_onednn_free(c);
    lvt_diag_free(diag);
}

static lvt_value make_conv(lvt_builder *b, const void *how) {
    return lvt_build(b, LVT_OP_conv2d, 2, (lvt_value[]){b->graph->inputs[0].value, b->graph->inputs[1].value},
                     3, how);
}

static void convolutions(void **state) {
    (void)state;
    lvt_onednn *c = NULL;
    lvt_diag *diag = lvt_diag_new();
    rng r = {0x2545f4914f6cdd1du};
    assert_int_equal(lvt_onednn_new(&c, diag), LVT_OK);
    for (int i = 0; i < 80; i++) {
        int64_t groups = rng_range(&r, 0, 4) == 0 ? 2 : 1, batch = rng_range(&r, 1, 3);
        int64_t ci = groups * rng_range(&r, 1, 20), co = groups * rng_range(&r, 1, 40);
        int64_t size[2] = {rng_range(&r, 3, 12), rng_range(&r, 3, 12)}, stride[2], kernel[2], padding[4];
        int64_t out[2];
        for (int d = 0; d < 2; d++) {
            kernel[d] = rng_range(&r, 1, 3);
            stride[d] = rng_range(&r, 1, 2);
            padding[d] = rng_range(&r, 0, 1);
            padding[d + 2] = rng_range(&r, 0, 1);
            out[d] = (size[d] + padding[d] + padding[d + 2] - kernel[d]) / stride[d] + 1;
        }
        const lvt_named_attr how[] = {{"stride", lvt_attr_ints(stride, 2)},
                                      {"padding", lvt_attr_ints(padding, 4)},
                                      {"groups", lvt_attr_int(groups)}};
        lvt_module *module = lvt_module_new("test");
        lvt_builder outer = lvt_builder_for(lvt_module_add_entry(module, "e", 0, false), diag);
        lvt_builder b = lvt_builder_for(lvt_graph_new(module, NULL, 0, false), diag);
        lvt_value operands[8];
        lvt_type y = lvt_type_make(LVT_F32, 4, (int64_t[]){batch, out[0], out[1], co});
        body_input(&b, &outer, operands, 4, (int64_t[]){batch, size[0], size[1], ci});
        body_input(&b, &outer, operands, 4, (int64_t[]){co, ci / groups, kernel[0], kernel[1]});
        finish(c, &r, &outer, &b, operands, &y, make_conv, how);
        lvt_module_free(module);
    }
    lvt_onednn_free(c);
    lvt_diag_free(diag);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(products), cmocka_unit_test(convolutions)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
