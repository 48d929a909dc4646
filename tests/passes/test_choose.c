/* Pass choose: the rule, the fastest of what was measured, and programs that hold either choice: they compute
 * what the interpreter computes, the same bits at every run. */
#include "ir/text.h"
#include "passes/pass.h"
#include "runtime/compiled.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

/* Two equal convolutions, one by one; their gradients; products of an ordinary and a transposed matrix. */
static const char text[] =
    "module \"m\" state @w : f32[64,64,3,3] = normal(0, 1) "
    "entry @e { %0 = input {index = 0} : f32[8,16,16,64] \"x\" %1 = state {index = 0} : f32[64,64,3,3] "
    "%2 = conv2d(%0, %1) {padding = [1]} : f32[8,16,16,64] %3 = conv2d(%2, %1) {padding = [1]} : "
    "f32[8,16,16,64] "
    "%4 = conv2d_grad_input(%3, %1) {padding = [1], height = 16, width = 16} : f32[8,16,16,64] "
    "%5 = conv2d_grad_weight(%3, %4) {padding = [1], kernel = [3, 3]} : f32[64,64,3,3] "
    "%6 = reshape(%4) {shape = [1024, 128]} : f32[1024,128] "
    "%7 = matmul(%6, %6) {transpose_a = true} : f32[128,128] %8 = matmul(%6, %7) {transpose_b = true} : "
    "f32[1024,128] "
    "input \"x\" = %0 return \"dw\" = %5 return \"z\" = %8 }";
enum { CONVS = 4, PRODUCTS = 2, IMAGE = 8 * 16 * 16 * 64 };

static lvt_compiled *compile(const lvt_compile_options *options, lvt_diag *diag) {
    lvt_module *m = NULL;
    lvt_compiled *c = NULL;
    assert_int_equal(lvt_read_module("choose", text, sizeof text - 1, &m, diag), LVT_OK);
    assert_int_equal(lvt_compile(m, options, &c, diag), LVT_OK);
    return c;
}

/* How many steps run in that variant. */
static int count(const lvt_compiled *c, lvt_variant v) {
    int n = 0;
    for (uint32_t i = 0; i < c->plans[0].n_steps; i++)
        n += c->plans[0].steps[i].family == LVT_FAMILY_ONEDNN && c->plans[0].steps[i].variant == v;
    return n;
}

/* Writes and opens it, checks every step against the interpreter, runs it twice. Frees the program. */
static void runs_right(lvt_compiled *c, lvt_diag *diag) {
    char path[] = "/tmp/lvt-choose-XXXXXX";
    int file = mkstemp(path);
    lvt_program *p = NULL;
    lvt_session *s = NULL;
    float *x = malloc(IMAGE * sizeof *x), *first = malloc(1024 * 128 * sizeof *first);
    assert_true(file >= 0 && x && first);
    close(file);
    for (int i = 0; i < IMAGE; i++)
        x[i] = (float)(i * 7919 % 1000) / 1000 - 0.5f;
    assert_int_equal(lvt_program_write(c, path, diag), LVT_OK);
    assert_int_equal(lvt_program_open(path, &(lvt_program_options){.cache = "", .threads = 2}, &p, diag),
                     LVT_OK);
    unlink(path);
    assert_int_equal(lvt_program_compiled(p)->hash, c->hash);
    assert_int_equal(lvt_program_compiled(p)->plans[0].tuned, c->plans[0].tuned);
    for (uint32_t i = 0; i < c->plans[0].n_steps; i++)
        assert_int_equal(lvt_program_compiled(p)->plans[0].steps[i].variant, c->plans[0].steps[i].variant);
    assert_int_equal(lvt_session_new(p, NULL, &s, diag), LVT_OK);
    assert_int_equal(lvt_session_check(s, 0, (const void *const[]){x}, diag), LVT_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(lvt_session_run(s, 0, (const void *const[]){x}, diag), LVT_OK);
        if (i)
            assert_memory_equal(lvt_session_output(s, 0, 1), first, 1024 * 128 * sizeof *first);
        memcpy(first, lvt_session_output(s, 0, 1), 1024 * 128 * sizeof *first);
    }
    lvt_session_free(s);
    lvt_program_close(p);
    lvt_compiled_free(c);
    free(x);
    free(first);
}

static void by_rule(void **state) {
    (void)state;
    lvt_diag *diag = lvt_diag_new();
    lvt_compiled *c = compile(&(lvt_compile_options){.verify_each = true}, diag);
    assert_int_equal(c->plans[0].tuned, 0);
    assert_int_equal(count(c, LVT_VARIANT_OWN_WINOGRAD), CONVS);
    assert_int_equal(count(c, LVT_VARIANT_OWN_PRODUCT), 1); /* the other one's first matrix is transposed */
    assert_int_equal(count(c, LVT_VARIANT_STANDARD), PRODUCTS - 1);
    runs_right(c, diag);
    c = compile(&(lvt_compile_options){.exact = true}, diag);
    assert_int_equal(count(c, LVT_VARIANT_STANDARD), CONVS + PRODUCTS - 1);
    runs_right(c, diag);
    lvt_diag_free(diag);
}

/* A made-up stopwatch: the wanted variant takes `share` of the standard one's time. */
typedef struct stopwatch {
    lvt_variant wanted;
    double share;
    int asked;
    unsigned seen; /* variants it was asked for */
    lvt_status status;
} stopwatch;

static lvt_status made_up(void *user, const lvt_plan *plan, uint32_t step, const bool *steady,
                          unsigned variants, double *seconds, lvt_diag *diag) {
    stopwatch *w = user;
    const lvt_node *n = &plan->graph->nodes[plan->steps[step].node];
    w->asked++;
    w->seen |= variants;
    if (w->status != LVT_OK)
        return lvt_error(diag, w->status, NULL, LVT_NOWHERE, "the clock stands");
    for (int v = 0; v < LVT_N_VARIANTS; v++)
        seconds[v] = variants >> v & 1 ? (v == (int)w->wanted ? w->share : v ? 2 : 1) : -1;
    /* The entry updates nothing: its state is the same at every run. */
    if (n->op == LVT_OP_conv2d || n->op == LVT_OP_conv2d_grad_input)
        assert_true(steady[1] && !steady[0]);
    else
        assert_false(steady[0] || steady[1]);
    return LVT_OK;
}

static lvt_compiled *with(stopwatch *w, bool exact, lvt_diag *diag) {
    lvt_measure how = {made_up, w, 7};
    return compile(&(lvt_compile_options){.measure = &how, .exact = exact}, diag);
}

static void by_stopwatch(void **state) {
    (void)state;
    static const struct {
        stopwatch watch;
        bool exact;
        int chosen;
    } rows[] = {{{LVT_VARIANT_WINOGRAD, 0.5, 0, 0, 0}, false, CONVS},
                {{LVT_VARIANT_BLOCKED, 0.5, 0, 0, 0}, false, CONVS},
                {{LVT_VARIANT_BLOCKED, 0.99, 0, 0, 0}, false, 0}, /* an accident */
                {{LVT_VARIANT_SPLIT, 0.5, 0, 0, 0}, false, PRODUCTS},
                {{LVT_VARIANT_OWN_PRODUCT, 0.5, 0, 0, 0}, false, PRODUCTS},
                {{LVT_VARIANT_OWN_WINOGRAD, 0.5, 0, 0, 0}, false, CONVS},
                {{LVT_VARIANT_WINOGRAD, 0.5, 0, 0, 0}, true, 0},
                {{LVT_VARIANT_OWN_WINOGRAD, 0.5, 0, 0, 0}, true, 0}};
    lvt_diag *diag = lvt_diag_new();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        stopwatch w = rows[i].watch;
        lvt_compiled *c = with(&w, rows[i].exact, diag);
        assert_int_equal(w.asked, CONVS + PRODUCTS);
        assert_int_equal(!(w.seen >> LVT_VARIANT_WINOGRAD & 1), rows[i].exact);
        assert_int_equal(!(w.seen >> LVT_VARIANT_OWN_WINOGRAD & 1), rows[i].exact);
        assert_int_equal(c->plans[0].tuned, 7);
        assert_int_equal(count(c, w.wanted), rows[i].chosen);
        assert_int_equal(count(c, LVT_VARIANT_STANDARD), CONVS + PRODUCTS - rows[i].chosen);
        runs_right(c, diag);
    }
    lvt_module *m = NULL;
    lvt_compiled *c = NULL;
    stopwatch w = {.status = LVT_NOMEM};
    lvt_measure how = {made_up, &w, 7};
    assert_int_equal(lvt_read_module("choose", text, sizeof text - 1, &m, diag), LVT_OK);
    assert_int_equal(lvt_compile(m, &(lvt_compile_options){.measure = &how}, &c, diag), LVT_NOMEM);
    assert_null(c);
    lvt_module_free(m);
    lvt_diag_free(diag);
}

static lvt_status really(void *user, const lvt_plan *plan, uint32_t step, const bool *steady,
                         unsigned variants, double *seconds, lvt_diag *diag) {
    lvt_status status = lvt_tuner_measure(user, plan, step, steady, variants, seconds, diag);
    for (int v = 0; status == LVT_OK && v < LVT_N_VARIANTS; v++)
        assert_true(variants >> v & 1 || seconds[v] < 0);
    if (status == LVT_OK)
        assert_true(seconds[LVT_VARIANT_STANDARD] > 0);
    return status;
}

static void by_measurement(void **state) {
    (void)state;
    lvt_diag *diag = lvt_diag_new();
    lvt_tuner *t = NULL;
    assert_int_equal(lvt_tuner_new(2, &t, diag), LVT_OK);
    assert_int_equal(lvt_tuner_threads(t), 2);
    lvt_measure how = {really, t, 2};
    lvt_compiled *c = compile(&(lvt_compile_options){.measure = &how}, diag);
    assert_int_equal(lvt_tuner_measured(t), CONVS + PRODUCTS - 1); /* the two equal ones once */
    assert_int_equal(c->plans[0].tuned, 2);
    uint64_t hash = c->hash;
    for (uint32_t i = 0; i < c->plans[0].n_steps; i++) { /* what was timed is there */
        bool has = false;
        if (c->plans[0].steps[i].family == LVT_FAMILY_ONEDNN) {
            assert_int_equal(lvt_tuner_has(t, &c->plans[0], i, &has, diag), LVT_OK);
            assert_true(has);
        }
    }
    runs_right(c, diag);
    c = compile(&(lvt_compile_options){.measure = &how}, diag); /* the same answers */
    assert_int_equal(lvt_tuner_measured(t), CONVS + PRODUCTS - 1);
    assert_true(c->hash == hash);
    lvt_compiled_free(c);
    lvt_tuner_free(t);
    lvt_tuner_free(NULL);
    lvt_diag_free(diag);
}

/* lvt-run info about the program on a processor without AVX-512, whose oneDNN has no Winograd. Frees the
 * program; the text holds until the next call. */
static const char *info(lvt_compiled *c, lvt_diag *diag) {
    static char said[8192];
    char path[] = "/tmp/lvt-choose-XXXXXX", command[512];
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    assert_int_equal(lvt_program_write(c, path, diag), LVT_OK);
    lvt_compiled_free(c);
    snprintf(command, sizeof command, "ONEDNN_MAX_CPU_ISA=AVX2 '%s/lvt-run' info %s", LVT_BINARY_DIR, path);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    said[fread(said, 1, sizeof said - 1, f)] = 0;
    assert_int_equal(pclose(f), 0);
    unlink(path);
    return said;
}

/* A program chosen on one machine may ask for what another one lacks; only then info says so. */
static void missing_is_said(void **state) {
    (void)state;
    lvt_diag *diag = lvt_diag_new();
    const char *said = info(with(&(stopwatch){LVT_VARIANT_WINOGRAD, 0.5, 0, 0, 0}, false, diag), diag);
    assert_non_null(strstr(said, "this machine has no kernel for winograd (at least one step)"));
    said = info(with(&(stopwatch){LVT_VARIANT_OWN_WINOGRAD, 0.5, 0, 0, 0}, false, diag), diag);
    assert_non_null(strstr(said, "own-winograd"));
    assert_null(strstr(said, "has no kernel"));
    lvt_diag_free(diag);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(by_rule), cmocka_unit_test(by_stopwatch),
                                       cmocka_unit_test(by_measurement), cmocka_unit_test(missing_is_said)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
