/* Random graphs, compiled and run by the kernels with two threads, agree step by step with the interpreter:
 * what fusion, layout and plan promise to the runtime is what the runtime needs. */
#include "runtime/compiled.h"
#include "passes/pass.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "random_graph.h"

static void check_kernels(uint64_t seed, const char *path, int number) {
    lvt_diag *diag = lvt_diag_new();
    lvt_module *m = random_module(seed, diag);
    lvt_compiled *compiled = NULL;
    lvt_program *p = NULL;
    lvt_session *s = NULL;
    assert_int_equal(lvt_compile(m, &(lvt_compile_options){0}, &compiled, diag), LVT_OK);
    assert_int_equal(lvt_program_write(compiled, path, diag), LVT_OK);
    lvt_compiled_free(compiled);
    lvt_status status = lvt_program_open(path, &(lvt_program_options){.cache = "", .threads = 2}, &p, diag);
    if (status == LVT_OK)
        status = lvt_session_new(p, &(lvt_session_options){.threads = 2, .seed = seed}, &s, diag);
    if (status == LVT_OK) {
        float small[8], wide[32]; /* the two inputs, [8] and [4,1,8] */
        const void *inputs[2] = {small, wide};
        for (int i = 0; i < 8; i++)
            small[i] = (float)(2 * uniform(&seed) - 1);
        for (int i = 0; i < 32; i++)
            wide[i] = (float)(2 * uniform(&seed) - 1);
        for (uint32_t i = 0; i < 2; i++) {
            float *data = lvt_session_state(s, i);
            int64_t n = lvt_numel(&lvt_program_compiled(p)->module->states[i].type);
            for (int64_t k = 0; k < n; k++)
                data[k] = (float)(0.3 + 0.5 * uniform(&seed));
        }
        status = lvt_session_check(s, 0, inputs, diag);
    }
    if (status != LVT_OK) {
        char *words = lvt_diag_text(diag);
        print_error("random graph %d: %s", number, words);
        free(words);
    }
    lvt_session_free(s);
    lvt_program_close(p);
    lvt_diag_free(diag);
    assert_int_equal(status, LVT_OK);
}

static void random_graphs(void **state) {
    (void)state;
    char path[] = "/tmp/lvt-kernels-XXXXXX";
    int file = mkstemp(path), cases = getenv("LVT_CASES") ? atoi(getenv("LVT_CASES")) : 12;
    assert_true(file >= 0);
    close(file);
    for (int i = 1; i <= cases; i++)
        check_kernels((uint64_t)i * 0x9e3779b97f4a7c15u, path, i);
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_graphs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
