/* Runs out of memory at every place where the compiler and the interpreter allocate: they must say so and
 * leave nothing behind, never crash. The allocator is replaced for this program alone, which sanitizers do
 * not allow: there it is skipped. */
#include "frontend/language/language.h"
#include "ir/interp.h"
#include "passes/pass.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#if defined __GLIBC__ && !defined __SANITIZE_ADDRESS__
#define COUNTED 1

/* Allocations still granted while `denying`; live: not yet freed. */
static bool denying;
static long granted, live, made, peak;
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void __libc_free(void *p);
void *malloc(size_t n);
void *calloc(size_t n, size_t size);
void *realloc(void *p, size_t n);
void free(void *p);

static bool grant(void) {
    made++;
    return !denying || (granted > 0 && granted-- > 0);
}

static void *count(void *p) {
    live += p != NULL;
    peak = live > peak ? live : peak;
    return p;
}

void *malloc(size_t n) {
    return grant() ? count(__libc_malloc(n)) : NULL;
}

void *calloc(size_t n, size_t size) {
    return grant() ? count(__libc_calloc(n, size)) : NULL;
}

void *realloc(void *p, size_t n) {
    if (!p)
        return malloc(n);
    return grant() ? __libc_realloc(p, n) : NULL;
}

void free(void *p) {
    live -= p != NULL;
    __libc_free(p);
}

/* Compiles a model down to a planned program. */
static lvt_status compile(void) {
    lvt_diag *diag = lvt_diag_new();
    lvt_module *m = NULL;
    lvt_compiled *program = NULL;
    lvt_status status = lvt_compile_file("models/lvt-tiny.lvt", NULL, 0, "models", &m, diag);
    if (status == LVT_OK)
        status = lvt_compile(m, &(lvt_compile_options){0}, &program, diag);
    if (program)
        lvt_compiled_free(program);
    else
        lvt_module_free(m);
    free(lvt_diag_text(diag));
    lvt_diag_free(diag);
    return status;
}

/* Builds and runs a graph with composite ops, a gradient and a state. */
static lvt_status interpret(void) {
    lvt_diag *diag = lvt_diag_new();
    lvt_module *m = lvt_module_new("m");
    lvt_arena *scratch = lvt_arena_new();
    lvt_status status = LVT_NOMEM;
    double data[2][12] = {{1, 2, 3, 4, 5, 6}, {0.5, -1, 2, 1, 1, 0, 0, 2, 1, 1, 1, 1}}, out = 0;
    lvt_type xt = lvt_type_make(LVT_F32, 2, (int64_t[]){2, 3}),
             wt = lvt_type_make(LVT_F32, 2, (int64_t[]){4, 3});
    lvt_graph *g = m ? lvt_module_add_entry(m, "e", 0, true) : NULL;
    if (g && scratch && lvt_module_add_state(m, "w", &wt, (lvt_init){0}, true, 0) != LVT_NONE) {
        lvt_builder b = lvt_builder_for(g, diag);
        lvt_value x = lvt_build_input(&b, "x", &xt), w = lvt_build_state(&b, 0);
        lvt_value y = lvt_build_unary(&b, LVT_OP_gelu, lvt_build_matmul(&b, x, w, false, true));
        y = lvt_build_unary(&b, LVT_OP_softmax, y);
        lvt_value loss =
            lvt_build_reduce(&b, LVT_OP_reduce_mean, lvt_build_unary(&b, LVT_OP_square, y), 0, NULL, false);
        lvt_value d = lvt_build(&b, LVT_OP_gradient, 2, (lvt_value[]){loss, w}, 0, NULL);
        if (!g->failed && lvt_graph_add_output(g, "loss", loss, 0) && lvt_graph_add_update(g, 0, d, 0)) {
            lvt_pass ctx = {
                .name = "autodiff", .module = m, .diag = diag, .arena = scratch, .status = LVT_INTERNAL};
            lvt_graph *r = lvt_pass_autodiff(&ctx, g);
            lvt_tensor in = {xt, data[0]}, state = {wt, data[1]}, result = {.data = &out};
            status =
                r ? lvt_interp_run(r, &in, &state, &result, LVT_PRECISION_F32, NULL, NULL, diag) : ctx.status;
        }
    }
    lvt_arena_free(scratch);
    lvt_module_free(m);
    lvt_diag_free(diag);
    return status;
}

/* Denies allocation number k and all later ones, for k = 0, step, 2 step... until it is not reached. */
static long deny(lvt_status (*work)(void), long step) {
    for (long k = 0;; k += step) {
        long before = live;
        granted = k;
        denying = true;
        lvt_status status = work();
        denying = false;
        bool enough = granted > 0;
        if (live != before)
            fail_msg("denied allocation %ld: %ld allocations are left", k, live - before);
        if (enough) {
            assert_int_equal(status, LVT_OK);
            return k / step;
        }
        if (status != LVT_NOMEM && status != LVT_OK) /* OK: what was denied was only words */
            fail_msg("denied allocation %ld: status %d", k, status);
    }
}

static void test_interpret(void **state) {
    (void)state;
    assert_int_equal(interpret(), LVT_OK);
    deny(interpret, 1);
}

static void test_compile(void **state) {
    (void)state;
    made = 0;
    assert_int_equal(compile(), LVT_OK);
    deny(compile, made > 50 ? made / 50 : 1); /* some fifty places: a second or two */
}

/* A chain of a thousand values: the interpreter holds a few at a time. */
static void test_lifetimes(void **state) {
    (void)state;
    lvt_module *m = lvt_module_new("m");
    lvt_graph *g = lvt_module_add_entry(m, "e", 0, false);
    lvt_builder b = lvt_builder_for(g, NULL);
    lvt_value x = lvt_build_scalar(&b, LVT_F32, 1);
    for (int i = 0; i < 1000; i++)
        x = lvt_build_unary(&b, LVT_OP_neg, x);
    lvt_graph_add_output(g, "x", x, 0);
    double r = 0;
    lvt_tensor out = {.data = &r};
    long before = peak = live;
    assert_int_equal(lvt_interp_run(g, NULL, NULL, &out, LVT_PRECISION_F32, NULL, NULL, NULL), LVT_OK);
    assert_true(r == 1);
    assert_true(peak - before < 20); /* two values, scratch, and the run's own tables */
    assert_int_equal(live, before);
    lvt_module_free(m);
}
#else
static void test_interpret(void **state) {
    (void)state;
    skip();
}
static void test_compile(void **state) {
    (void)state;
    skip();
}
static void test_lifetimes(void **state) {
    (void)state;
    skip();
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_interpret), cmocka_unit_test(test_compile),
                                       cmocka_unit_test(test_lifetimes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
