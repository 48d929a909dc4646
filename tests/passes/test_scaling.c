/* Compilation takes time in proportion to the size of the model: chains of all kinds, each of 12,500 and of
 * 50,000 nodes, which is doubled twice. A pass that compares each node with each other takes four times as long
 * for each doubling; 2.3 times is allowed.
 *
 * Measured is the processor's time of this thread, the best of a few runs of each size: other programs on the
 * machine delay but do not count. A kind that misses the bound is measured again, since caches are shared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "frontend/language/language.h"
#include "passes/pass.h"

enum { NODES = 50000, TRIES = 8 };
static const double most = 2.3;

typedef struct kind {
    const char *name;
    int nodes;        /* an iteration adds at least so many to the graph that the passes get */
    const char *text; /* %d: iterations */
    int ranks;        /* for pass shard */
    uint64_t budget;  /* for pass remat */
} kind;

#define MODEL(body) "import \"nn.lvt\"\nmodel m() {\n" body "}\n"
#define ENTRY(body) MODEL("entry e(x: f32[4, 4], y: f32[4, 4]) {\n" body "return z = x\n}\n")
#define TRAIN(before, last)                                                                                  \
    MODEL("block layer(x) { " before " }\n"                                                                  \
          "training entry e(x: f32[4, 4], lr: f32[]) {\n"                                                    \
          "repeat %d as i { x = layer(x) }\n"                                                                \
          "minimize sum(x * x) with sgd(lr = lr" last ")\n"                                                  \
          "return z = sum(x)\n}\n")

static const kind kinds[] = {
    {"pointwise", 1, ENTRY("repeat %d as i { x = sin(x) }\n"), 0, 0},
    {"two operands", 3, ENTRY("repeat %d as i { let t = x\n x = max(x, y)\n y = t + sin(y) }\n x = x + y\n"),
     0, 0},
    {"products", 1, ENTRY("repeat %d as i { x = x @ y }\n"), 0, 0},
    {"views", 3,
     ENTRY("repeat %d as i { x = concat([transpose(x, order = [1, 0])[1:4], y[0:1]], axis = 0) }\n"), 0, 0},
    {"reductions", 3, ENTRY("repeat %d as i { x = x - mean(x, axes = [1], keep = true) }\n"), 0, 0},
    {"softmax", 2, ENTRY("repeat %d as i { x = softmax(x) @ y }\n"), 0, 0},
    {"readers of one value", 3, ENTRY("let s = y\n repeat %d as i { s = s + (x + i) }\n x = s\n"), 0, 0},
    {"many results", 300,
     MODEL("entry e(x: f32[4, 4]) {\nlet s = []\nrepeat %d as i {\nlet t = []\n"
           "repeat 100 as k { t = t + [sin(x * (100 * i + k))] }\ns = s + t\n}\nreturn z = s\n}\n"),
     0, 0},
    {"parameters", 6, TRAIN("param w: f32[4, 4] = 0\n return x * w", ""), 0, 0},
    {"parameters of products", 8, TRAIN("param w: f32[4, 4] = 0\n return x @ w", ", momentum = 0.9"), 0, 0},
    {"two ranks", 8, TRAIN("param w: f32[4, 4] = 0\n return gelu(x @ w)", ""), 2, 0},
    {"gradient", 6,
     MODEL("entry e(x: f32[4, 4]) {\nlet z = x\nrepeat %d as i { z = sin(z) * z }\nreturn z = grad(sum(z), "
           "of = x)[0]\n}\n"),
     0, 0},
    {"batch norm", 20, TRAIN("return batch_norm(x)", ""), 0, 0},
    {"constants", 2, ENTRY("repeat %d as i { x = max(x, y + (i + 0.5)) }\n"), 0, 0},
};

static double processor(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void say(void *user, lvt_report report, const char *title, const char *text) {
    (void)user, (void)report, (void)title;
    print_message("%s", text);
}

/* Seconds to compile the model of `nodes` nodes. */
static double compile(const kind *k, int nodes, bool talk) {
    char text[2000];
    int length = snprintf(text, sizeof text, k->text, nodes / k->nodes);
    assert_in_range(length, 1, sizeof text - 1);
    lvt_diag *diag = lvt_diag_new();
    lvt_module *m = NULL;
    lvt_compiled *program = NULL;
    double begin = processor();
    lvt_status status =
        lvt_compile_text("chain.lvt", text, (size_t)length, NULL, 0, LVT_SOURCE_DIR "/models", &m, diag);
    double middle = processor();
    if (status == LVT_OK)
        status = lvt_compile(m,
                             &(lvt_compile_options){.ranks = k->ranks,
                                                    .split = k->ranks ? "x" : NULL,
                                                    .memory_budget = k->budget,
                                                    .time_passes = talk,
                                                    .report = say},
                             &program, diag);
    double seconds = processor() - begin;
    if (talk)
        print_message("language %.3f\n", middle - begin);
    char *words = lvt_diag_text(diag);
    if (status != LVT_OK && !k->budget)
        fail_msg("%s: %s", k->name, words);
    free(words);
    if (program)
        lvt_compiled_free(program);
    else
        lvt_module_free(m);
    lvt_diag_free(diag);
    return seconds;
}

static void test_doubling(void **state) {
    (void)state;
    const char *only = getenv("LVT_SCALING");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const kind *k = &kinds[i];
        if (only && strcmp(only, k->name))
            continue;
        double small = 1e9, large = 1e9;
        for (int t = 0; t < TRIES && (t < 1 || large > most * most * small); t++) {
            double a = compile(k, NODES / 4, only), b = compile(k, NODES, only);
            small = a < small ? a : small;
            large = b < large ? b : large;
        }
        print_message("%-24s %6.2f s, %6.2f s: %.2f times, %.2f allowed\n", k->name, small, large,
                      large / small, most * most);
        if (large > most * most * small)
            fail_msg("%s: four times the size takes %.2f times as long", k->name, large / small);
    }
}

/* Texts of a few lines that would unfold for ever end with an error at a line, and soon. */
static void test_bounds(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
        uint64_t budget;
    } rows[] = {
        {"model m() { entry e(x: f32[2]) {\nlet l = sum(gelu(x))\n"
         "repeat 12 as i { l = sum(grad(sum(gelu(x) * l), of = x)[0] * x) }\nreturn y = l\n} }\n",
         "text.lvt:2:13: error E609: pass autodiff: more than 250000 nodes in an entry", 0},
        {"model m() { entry e(x: f32[2]) {\nlet l = x\nrepeat 12 as i { let k = l\n"
         "repeat 40 as j { l = sin(l) * k }\nl = grad(sum(l), of = x)[0] }\nreturn y = l\n} }\n",
         "E609: pass autodiff: more than 250000 nodes in an entry", 0},
        {"model m() { entry e(x: f32[4, 4]) {\nlet s = x\n"
         "repeat 6000 as i { s = s + grad(sum(sin(x * i)), of = x)[0] }\nreturn y = s\n} }\n",
         "E609: pass autodiff: more than 1024 MiB of scratch memory", 0},
        {"model m() { block layer(x) { param w: f32[4, 4] = 0\nreturn gelu(x @ w) }\n"
         "block sgd(p, g) { update p = p - g }\ntraining entry e(x: f32[4, 4]) {\n"
         "repeat 3000 as i { x = layer(x) }\nminimize sum(x) with sgd()\nreturn z = sum(x)\n} }\n",
         "E431", 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        lvt_diag *diag = lvt_diag_new();
        lvt_module *m = NULL;
        lvt_compiled *program = NULL;
        double begin = processor();
        lvt_status status =
            lvt_compile_text("text.lvt", rows[i].text, strlen(rows[i].text), NULL, 0, NULL, &m, diag);
        if (status == LVT_OK)
            status = lvt_compile(m, &(lvt_compile_options){.memory_budget = rows[i].budget}, &program, diag);
        double seconds = processor() - begin;
        char *words = lvt_diag_text(diag);
        print_message("%zu: %.1f s: %.200s\n", i, seconds, words);
        assert_int_equal(status, LVT_USER);
        assert_non_null(strstr(words, rows[i].words));
        assert_true(seconds < 30);
        free(words);
        lvt_module_free(m);
        lvt_diag_free(diag);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bounds), cmocka_unit_test(test_doubling)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
