/* Every model of models/ compiles with its defaults and with the settings that change its graph, verifies,
 * prints and reads back, and has the size and the entries it claims. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "frontend/language/language.h"
#include "ir/text.h"

static const struct model {
    const char *file;
    int64_t least, most; /* parameters */
    int64_t height, channels;
} models[] = {
    {"models/lvt.lvt", 8880000, 8930000, 32, 3},   /* METHOD: the paper's 8.9M */
    {"models/levit.lvt", 8844040, 8844040, 32, 3}, /* the PyTorch program of tests/bench has as many */
    {"models/lvt-s.lvt", 6000000, 7000000, 32, 3},
    {"models/lvt-tiny.lvt", 20000, 99999, 8, 1},
};

static lvt_module *compile(const char *file, const char *const *settings, size_t n) {
    lvt_diag *d = lvt_diag_new();
    lvt_module *m = NULL;
    lvt_status status = lvt_compile_file(file, settings, n, "models", &m, d);
    if (!status)
        status = lvt_verify_module(m, d);
    if (status) {
        char *text = lvt_diag_text(d);
        fail_msg("%s: %s", file, text);
    }
    lvt_diag_free(d);
    return m;
}

static int64_t parameters(const lvt_module *m) {
    int64_t n = 0;
    for (uint32_t i = 0; i < m->n_states; i++)
        if (m->states[i].trainable)
            n += lvt_numel(&m->states[i].type);
    return n;
}

static bool has_input(const lvt_graph *g, const char *name) {
    for (uint32_t i = 0; i < g->n_inputs; i++)
        if (!strcmp(g->inputs[i].name, name))
            return true;
    return false;
}

static bool has_output(const lvt_graph *g, const char *name) {
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (!strcmp(g->outputs[i].name, name))
            return true;
    return false;
}

static void test_size(void **unused) {
    (void)unused;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        lvt_module *m = compile(models[i].file, NULL, 0);
        int64_t n = parameters(m);
        print_message("%s: %lld parameters\n", models[i].file, (long long)n);
        assert_true(n >= models[i].least && n <= models[i].most);
        lvt_module_free(m);
    }
}

/* The contract of models/README.md. */
static void test_contract(void **unused) {
    (void)unused;
    static const struct {
        const char *entry, *inputs[9], *outputs[7];
        bool training;
    } rows[] = {
        {"train_new",
         {"x", "y", "mask", "lr", "clip", "r", "gamma"},
         {"loss", "loss_injection", "loss_accumulation", "loss_drift"},
         true},
        {"train",
         {"x", "y", "xm", "ym", "zm", "zm_mask", "mask", "alpha", "beta"},
         {"loss", "loss_injection", "loss_replay", "loss_distill", "loss_accumulation", "loss_drift"},
         true},
        {"predict", {"x"}, {"logits", "injection"}, false},
        {"inspect", {"x"}, {"maps.0", "maps.1", "maps.2"}, false},
        {"importance", {"x", "y", "mask", "weight"}, {NULL}, false},
        {"consolidate", {NULL}, {NULL}, false},
    };
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        lvt_module *m = compile(models[i].file, NULL, 0);
        for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
            lvt_graph *g = lvt_module_find_entry(m, rows[k].entry);
            assert_non_null(g);
            assert_int_equal(g->training, rows[k].training);
            for (int j = 0; j < 9 && rows[k].inputs[j]; j++)
                assert_true(has_input(g, rows[k].inputs[j]));
            for (int j = 0; j < 7 && rows[k].outputs[j]; j++)
                assert_true(has_output(g, rows[k].outputs[j]));
            if (!rows[k].outputs[0])
                assert_true(g->n_updates > 0);
            if (g->n_inputs) {
                const lvt_type *x = lvt_value_type(g, g->inputs[0].value);
                assert_int_equal(x->dim[1], models[i].height);
                assert_int_equal(x->dim[3], models[i].channels);
            }
        }
        lvt_module_free(m);
    }
}

static void test_settings(void **unused) {
    (void)unused;
    static const char *const cases[][3] = {
        {"joint_norm=false", NULL},
        {"norm=batch_norm", NULL},
        {"distill=kl", "temperature=3", NULL},
        {"momentum=0.9", "nesterov=true"},
        {"batch=8", "memory_batch=4"},
        {"classes=6", "depth1=0", "depth2=0"},
        {"method=finetune", NULL},
        {"method=joint", NULL},
        {"method=er", "joint_norm=false"},
        {"method=der++", "distill=kl"},
        {"method=er-ace", NULL},
        {"method=a-gem", "momentum=0.9"},
        {"method=lwf", NULL},
        {"method=ewc", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = 0;
        while (n < 3 && cases[i][n])
            n++;
        lvt_module *m = compile("models/lvt-tiny.lvt", cases[i], n);
        char *text = lvt_print_module(m, NULL);
        assert_non_null(text);
        lvt_module *again = NULL;
        lvt_diag *d = lvt_diag_new();
        lvt_status status = lvt_read_module("printed", text, strlen(text), &again, d);
        char *problem = lvt_diag_text(d);
        if (status)
            fail_msg("%s", problem);
        free(problem);
        char *text2 = lvt_print_module(again, NULL);
        assert_string_equal(text, text2);
        free(text);
        free(text2);
        lvt_diag_free(d);
        lvt_module_free(again);
        lvt_module_free(m);
    }
    static const char *const plain[] = {"downsample=false"};
    lvt_module *m = compile("models/lvt.lvt", plain, 1);
    assert_int_equal(parameters(m),
                     8906560 - 64 * 128 - 2 * 128 - 128 * 256 - 2 * 256); /* two 1x1 convolutions less */
    lvt_module_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_size), cmocka_unit_test(test_contract),
                                       cmocka_unit_test(test_settings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
