/* oneDNN kernels against the interpreter: random shapes, odd sizes, any strides. */
#include "harness.h"

/* Sums of at most a few thousand products of numbers in -1..1, in f32 and in any order: an error of some 1e-7
 * times the square root of their number, relative to a largest magnitude of about three times that root. */
static const double relative = 1e-5;

typedef struct fixture {
    lvt_onednn *c;
    lvt_diag *diag;
    rng r;
} fixture;

static int setup(void **state) {
    fixture *f = calloc(1, sizeof *f);
    f->diag = lvt_diag_new();
    f->r.state = 0x9e3779b97f4a7c15u;
    *state = f;
    return lvt_onednn_new(&f->c, f->diag) == LVT_OK ? 0 : -1;
}

static int teardown(void **state) {
    fixture *f = *state;
    lvt_onednn_free(f->c);
    lvt_diag_free(f->diag);
    free(f);
    return 0;
}

static lvt_value input(lvt_builder *b, int rank, const int64_t *dims) {
    char name[16];
    snprintf(name, sizeof name, "x%u", b->graph->n_inputs);
    lvt_type t = lvt_type_make(LVT_F32, rank, dims);
    return lvt_build_input(b, name, &t);
}

static void run_matmul(fixture *f, int ra, const int64_t *da, int rb, const int64_t *db, bool ta, bool tb,
                       bool packed) {
    lvt_module *m = lvt_module_new("test");
    lvt_graph *g = lvt_module_add_entry(m, "e", 0, false);
    lvt_builder b = lvt_builder_for(g, f->diag);
    lvt_value a = input(&b, ra, da), w = input(&b, rb, db), y = lvt_build_matmul(&b, a, w, ta, tb);
    assert_int_not_equal(y, LVT_NONE);
    static const lvt_variant variants[] = {LVT_VARIANT_STANDARD, LVT_VARIANT_WHOLE, LVT_VARIANT_SPLIT,
                                           LVT_VARIANT_PACKED, LVT_VARIANT_OWN_PRODUCT};
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        compare_variant(f->c, &f->r, g, g->values[y].node, variants[i], packed, relative);
    lvt_module_free(m);
}

static void matmul_random(void **state) {
    fixture *f = *state;
    for (int i = 0; i < 400; i++) {
        int batch = (int)rng_range(&f->r, 0, 3);
        int64_t da[LVT_MAX_RANK], db[LVT_MAX_RANK];
        int64_t most = batch ? 24 : 90;
        int64_t m = rng_range(&f->r, 1, most), n = rng_range(&f->r, 1, most), k = rng_range(&f->r, 1, most);
        for (int d = 0; d < batch; d++) {
            da[d] = db[d] = rng_range(&f->r, 1, 5);
            switch (rng_range(&f->r, 0, 3)) {
            case 0:
                da[d] = 1;
                break;
            case 1:
                db[d] = 1;
            }
        }
        bool ta = rng_next(&f->r) & 1, tb = rng_next(&f->r) & 1;
        da[batch] = ta ? k : m;
        da[batch + 1] = ta ? m : k;
        db[batch] = tb ? n : k;
        db[batch + 1] = tb ? k : n;
        int drop = (int)rng_range(&f->r, 0, batch); /* operands of unequal rank */
        bool from_a = rng_next(&f->r) & 1;
        int sa = from_a ? drop : 0, sb = from_a ? 0 : drop;
        run_matmul(f, batch + 2 - sa, da + sa, batch + 2 - sb, db + sb, ta, tb, rng_next(&f->r) & 1);
    }
}

/* The shapes of the models, small: projections, their gradients, products with an external key, attention. */
static void matmul_of_models(void **state) {
    fixture *f = *state;
    static const struct {
        int ra, rb;
        int64_t a[4], b[4];
        bool ta, tb;
    } cases[] = {
        {3, 2, {4, 64, 96}, {32, 96}, false, true}, /* tokens times a projection */
        {2, 2, {256, 32}, {256, 96}, true, false},  /* its weight gradient */
        {2, 2, {256, 128}, {256, 96}, true, false}, /* the same, a part for each thread */
        {2, 2, {131, 333}, {131, 77}, true, false},
        {2, 2, {333, 131}, {131, 77}, false, false}, /* rows that can be divided */
        {2, 2, {257, 40}, {129, 40}, false, true},
        {2, 2, {257, 40}, {128, 40}, false, true}, /* columns of panels */
        {3, 2, {4, 63, 33}, {33, 208}, false, false},
        {3, 3, {1, 128, 150}, {1, 128, 1}, true, false},
        {4, 3, {3, 4, 64, 32}, {4, 64, 32}, false, true},     /* queries times the external key */
        {4, 4, {3, 4, 64, 64}, {3, 4, 64, 64}, false, false}, /* attention times values */
        {4, 4, {3, 4, 64, 64}, {3, 4, 64, 64}, true, false},
        {4, 4, {3, 4, 16, 64}, {3, 4, 64, 64}, false, true},
        {2, 2, {33, 1}, {1, 17}, false, false}, /* outer product */
        {2, 2, {1, 70}, {70, 1}, false, false}, /* inner product */
        {2, 2, {7, 1000}, {3, 1000}, false, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int repeat = 0; repeat < 6; repeat++)
            run_matmul(f, cases[i].ra, cases[i].a, cases[i].rb, cases[i].b, cases[i].ta, cases[i].tb,
                       repeat == 0);
    }
}

typedef struct conv_shape {
    int64_t batch, height, width, in, out, groups; /* in, out: channels */
    int64_t kernel[2], stride[2], dilation[2], padding[4];
} conv_shape;

/* A convolution and both its gradients. */
static void run_conv(fixture *f, const conv_shape *s, lvt_variant variant, bool packed, double allowed) {
    int64_t dx[4] = {s->batch, s->height, s->width, s->in},
            dw[4] = {s->out, s->in / s->groups, s->kernel[0], s->kernel[1]};
    lvt_module *m = lvt_module_new("test");
    lvt_graph *g = lvt_module_add_entry(m, "e", 0, false);
    lvt_builder b = lvt_builder_for(g, f->diag);
    lvt_value x = input(&b, 4, dx), k = input(&b, 4, dw), made[3];
    const lvt_named_attr shape[] = {
        {"stride", lvt_attr_ints(s->stride, 2)},     {"padding", lvt_attr_ints(s->padding, 4)},
        {"dilation", lvt_attr_ints(s->dilation, 2)}, {"groups", lvt_attr_int(s->groups)},
        {"height", lvt_attr_int(s->height)},         {"width", lvt_attr_int(s->width)}};
    lvt_named_attr of_weight[5];
    memcpy(of_weight, shape, 4 * sizeof *shape);
    of_weight[4] = (lvt_named_attr){"kernel", lvt_attr_ints(s->kernel, 2)};
    made[0] = lvt_build(&b, LVT_OP_conv2d, 2, (const lvt_value[]){x, k}, 4, shape);
    assert_int_not_equal(made[0], LVT_NONE);
    lvt_type ty = *lvt_value_type(g, made[0]);
    lvt_value dy = lvt_build_input(&b, "dy", &ty);
    made[1] = lvt_build(&b, LVT_OP_conv2d_grad_input, 2, (const lvt_value[]){dy, k}, 6, shape);
    made[2] = lvt_build(&b, LVT_OP_conv2d_grad_weight, 2, (const lvt_value[]){dy, x}, 5, of_weight);
    for (int i = 0; i < 3; i++) {
        assert_int_not_equal(made[i], LVT_NONE);
        lvt_node_id node = g->values[made[i]].node;
        assert_true(lvt_variant_legal(g, node, LVT_FAMILY_ONEDNN, variant, NULL));
        compare_variant(f->c, &f->r, g, node, variant, packed, allowed);
    }
    lvt_module_free(m);
}

static conv_shape random_conv(rng *r) {
    conv_shape s = {.batch = rng_range(r, 1, 3),
                    .height = rng_range(r, 5, 12),
                    .width = rng_range(r, 5, 12),
                    .groups = rng_range(r, 0, 3) == 0 ? 2 : 1};
    s.in = s.groups * rng_range(r, 1, 20);
    s.out = s.groups * rng_range(r, 1, 20);
    for (int i = 0; i < 2; i++) {
        s.kernel[i] = rng_range(r, 1, 3);
        s.stride[i] = rng_range(r, 1, 2);
        s.dilation[i] = i ? 1 : rng_range(r, 1, 2);
    }
    for (int i = 0; i < 4; i++)
        s.padding[i] = rng_range(r, 0, 1);
    return s;
}

static void conv_random(void **state) {
    fixture *f = *state;
    for (int i = 0; i < 120; i++) {
        conv_shape s = random_conv(&f->r);
        run_conv(f, &s, LVT_VARIANT_STANDARD, rng_range(&f->r, 0, 3) != 0, relative);
    }
}

static void conv_blocked(void **state) {
    fixture *f = *state;
    for (int i = 0; i < 60; i++) {
        conv_shape s = random_conv(&f->r);
        run_conv(f, &s, LVT_VARIANT_BLOCKED, rng_range(&f->r, 0, 3) != 0, relative);
    }
}

/* F(4x4, 3x3): the transforms of a tile multiply by up to 5 in each direction, and the products cancel again,
 * so errors are larger than those of plain sums: 2.5e-6 of the largest magnitude here, against 9e-7. The same
 * limit holds. */
static void conv_winograd(void **state) {
    fixture *f = *state;
    for (int i = 0; i < 120; i++) {
        rng *r = &f->r;
        conv_shape s = random_conv(r);
        s.height = rng_range(r, 1, 17);
        s.width = rng_range(r, 1, 17);
        s.groups = 1;
        s.in = rng_range(r, 0, 2) ? rng_range(r, 1, 70) : 16 * rng_range(r, 1, 5);
        s.out = rng_range(r, 0, 2) ? rng_range(r, 1, 70) : 16 * rng_range(r, 1, 5);
        for (int d = 0; d < 2; d++) {
            s.kernel[d] = 3;
            s.stride[d] = s.dilation[d] = 1;
        }
        memcpy(s.padding, (const int64_t[]){1, 1, 1, 1}, sizeof s.padding);
        run_conv(f, &s, LVT_VARIANT_WINOGRAD, rng_range(r, 0, 3) != 0, relative);
    }
}

/* Strides of 1 and 2, any padding; errors as above. */
static void conv_own_winograd(void **state) {
    fixture *f = *state;
    for (int i = 0; i < 300; i++) {
        rng *r = &f->r;
        conv_shape s = random_conv(r);
        s.height = rng_range(r, 3, 23);
        s.width = rng_range(r, 3, 23);
        s.groups = 1;
        s.in = rng_range(r, 0, 2) ? rng_range(r, 1, 140) : 16 * rng_range(r, 1, 9);
        s.out = rng_range(r, 0, 2) ? rng_range(r, 1, 140) : 16 * rng_range(r, 1, 9);
        s.stride[1] = s.stride[0];
        for (int d = 0; d < 2; d++) {
            s.kernel[d] = 3;
            s.dilation[d] = 1;
        }
        for (int d = 0; d < 4; d++)
            s.padding[d] = rng_range(r, 0, 2);
        run_conv(f, &s, LVT_VARIANT_OWN_WINOGRAD, rng_range(r, 0, 3) != 0, relative);
    }
}

/* Attributes left out: stride 1, no padding, no dilation, one group. */
static void conv_defaults(void **state) {
    fixture *f = *state;
    lvt_module *m = lvt_module_new("test");
    lvt_graph *g = lvt_module_add_entry(m, "e", 0, false);
    lvt_builder b = lvt_builder_for(g, f->diag);
    lvt_value x = input(&b, 4, (const int64_t[]){2, 9, 7, 5}),
              k = input(&b, 4, (const int64_t[]){6, 5, 3, 3});
    lvt_value y = lvt_build(&b, LVT_OP_conv2d, 2, (const lvt_value[]){x, k}, 0, NULL);
    assert_int_not_equal(y, LVT_NONE);
    compare_with_interpreter(f->c, &f->r, g, g->values[y].node, true, relative);
    lvt_module_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(matmul_random, setup, teardown),
        cmocka_unit_test_setup_teardown(matmul_of_models, setup, teardown),
        cmocka_unit_test_setup_teardown(conv_random, setup, teardown),
        cmocka_unit_test_setup_teardown(conv_blocked, setup, teardown),
        cmocka_unit_test_setup_teardown(conv_winograd, setup, teardown),
        cmocka_unit_test_setup_teardown(conv_own_winograd, setup, teardown),
        cmocka_unit_test_setup_teardown(conv_defaults, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
