/* A run allocates nothing: counts every allocation of the process while steps run, and asks who made it.
 *
 * oneDNN's own dnnl_primitive_execute builds a small table in C++ at each call; those come from libdnnl and
 * libstdc++ and are the only ones allowed. */
#define _GNU_SOURCE
#include "harness.h"
#include "frontend/language/language.h"
#include "passes/pass.h"

#include <dlfcn.h>
#include <stdatomic.h>

#if !defined(__SANITIZE_ADDRESS__)
#define COUNTED 1
enum { MAX_CALLERS = 4096 };
static atomic_int counting, n_callers;
static void *callers[MAX_CALLERS];

static void note(void *caller) {
    if (atomic_load(&counting)) {
        int i = atomic_fetch_add(&n_callers, 1);
        if (i < MAX_CALLERS)
            callers[i] = caller;
    }
}

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
#pragma GCC visibility push(default) /* the libraries must find these */
void *malloc(size_t size) {
    note(__builtin_return_address(0));
    return __libc_malloc(size);
}
void *calloc(size_t n, size_t size) {
    note(__builtin_return_address(0));
    return __libc_calloc(n, size);
}
void *realloc(void *p, size_t size) {
    note(__builtin_return_address(0));
    return __libc_realloc(p, size);
}
#pragma GCC visibility pop
#endif

static void steps_allocate_nothing(void **unused) {
    (void)unused;
#ifndef COUNTED
    skip(); /* the sanitizer owns the allocator */
#else
    lvt_diag *d = lvt_diag_new();
    lvt_module *m = NULL;
    lvt_compiled *c = NULL;
    lvt_program *p = NULL;
    lvt_session *s = NULL;
    assert_int_equal(lvt_compile_file("models/lvt-tiny.lvt", NULL, 0, "models", &m, d), LVT_OK);
    assert_int_equal(lvt_compile(m, &(lvt_compile_options){0}, &c, d), LVT_OK);
    assert_int_equal(lvt_program_new(c, "tiny", &(lvt_program_options){.cache = ""}, &p, d), LVT_OK);
    assert_int_equal(lvt_session_new(p, &(lvt_session_options){.threads = 2, .seed = 1}, &s, d), LVT_OK);
    int entry = lvt_entry_find(p, "train");
    assert_true(entry >= 0);
    const lvt_graph *g = c->plans[entry].graph;
    const void **inputs = calloc(g->n_inputs, sizeof *inputs);
    for (uint32_t i = 0; i < g->n_inputs; i++) {
        if (!g->inputs[i].has_default) /* zeros: labels of class 0 */
            inputs[i] = calloc(1, lvt_type_bytes(lvt_value_type(g, g->inputs[i].value)));
    }
    assert_int_equal(lvt_session_run(s, entry, inputs, d),
                     LVT_OK); /* threads start, libraries set themselves up */
    atomic_store(&counting, 1);
    lvt_status status = lvt_session_run(s, entry, inputs, d);
    atomic_store(&counting, 0);
    assert_int_equal(status, LVT_OK);
    int ours = 0, made = n_callers;
    atomic_store(&counting, 1); /* the counter itself works */
    void *volatile probe = strdup("x");
    atomic_store(&counting, 0);
    free(probe);
    assert_int_equal(n_callers, made + 1);
    for (int i = 0; i < made && i < MAX_CALLERS; i++) {
        Dl_info info = {0};
        bool found = dladdr(callers[i], &info) && info.dli_fname;
        if (found && (strstr(info.dli_fname, "libdnnl") || strstr(info.dli_fname, "libstdc++")))
            continue;
        print_error("allocation from %s %s\n", found ? info.dli_fname : "generated code",
                    found && info.dli_sname ? info.dli_sname : "");
        ours++;
    }
    assert_int_equal(ours, 0);
    print_message("oneDNN allocated %d times in %u steps\n", made, c->plans[entry].n_steps);
    for (uint32_t i = 0; i < g->n_inputs; i++)
        free((void *)inputs[i]);
    free(inputs);
    lvt_session_free(s);
    lvt_program_close(p);
    lvt_diag_free(d);
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(steps_allocate_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
