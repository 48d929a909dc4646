/* What depends on states alone runs once, and again whenever a state may have changed: after a run that
 * updates, after a reset, after somebody was given the pointer to write, after its memory was given back. In
 * between it is not run. */
#include "ir/text.h"
#include "passes/pass.h"
#include "runtime/compiled.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static const char text[] =
    "module \"m\" state @w : f32[24,40] = normal(0, 1) state @s : f32[24] = uniform(0.5, 1) "
    "entry @predict { %0 = input {index = 0} : f32[3,40] %1 = state {index = 0} : f32[24,40] "
    "%2 = state {index = 1} : f32[24] %3 = matmul(%0, %1) {transpose_b = true} : f32[3,24] %4 = exp(%2) : "
    "f32[24] "
    "%5 = broadcast(%4) {shape = [3, 24]} : f32[3,24] %6 = mul(%3, %5) : f32[3,24] "
    "%7 = reduce_sum(%1) {axes = [1]} : f32[24] input \"x\" = %0 return \"y\" = %6 return \"sum\" = %7 } "
    "entry @train { %0 = state {index = 0} : f32[24,40] %1 = neg(%0) : f32[24,40]\nupdate @w = %1 }";

static lvt_program *open_program(lvt_diag *diag) {
    char path[] = "/tmp/lvt-hoist-XXXXXX";
    int file = mkstemp(path);
    lvt_module *m = NULL;
    lvt_compiled *compiled = NULL;
    lvt_program *p = NULL;
    assert_true(file >= 0);
    close(file);
    assert_int_equal(lvt_read_module("hoist", text, sizeof text - 1, &m, diag), LVT_OK);
    assert_int_equal(lvt_compile(m, &(lvt_compile_options){.verify_each = true}, &compiled, diag), LVT_OK);
    assert_int_equal(lvt_program_write(compiled, path, diag), LVT_OK);
    lvt_compiled_free(compiled);
    assert_int_equal(lvt_program_open(path, &(lvt_program_options){.cache = "", .threads = 2}, &p, diag),
                     LVT_OK);
    unlink(path);
    return p;
}

/* Runs predict and compares with the states as they are. */
static void expect(lvt_session *s, float *const states[2], lvt_diag *diag) {
    float x[3 * 40];
    for (int i = 0; i < 3 * 40; i++)
        x[i] = (float)(i % 11 - 5);
    assert_int_equal(lvt_session_run(s, 0, (const void *const[]){x}, diag), LVT_OK);
    const float *y = lvt_session_output(s, 0, 0), *sum = lvt_session_output(s, 0, 1);
    for (int j = 0; j < 24; j++) {
        double total = 0;
        for (int k = 0; k < 40; k++)
            total += states[0][j * 40 + k];
        assert_true(fabs(sum[j] - total) < 1e-4); /* 40 terms of about 1 in f32 */
        for (int i = 0; i < 3; i++) {
            double dot = 0;
            for (int k = 0; k < 40; k++)
                dot += (double)x[i * 40 + k] * states[0][j * 40 + k];
            assert_true(fabs(y[i * 24 + j] - dot * exp(states[1][j])) <
                        1e-3); /* 40 terms of about 10 in f32 */
        }
    }
}

static void follows_states(void **state) {
    (void)state;
    lvt_diag *diag = lvt_diag_new();
    lvt_program *p = open_program(diag);
    lvt_session *s = NULL;
    const lvt_plan *plan = &lvt_program_compiled(p)->plans[0];
    assert_int_equal(plan->n_prologue, 2); /* exp and the sum */
    assert_true(plan->kept_bytes > 0);
    assert_int_equal(lvt_program_compiled(p)->plans[1].n_prologue, 0);
    assert_int_equal(lvt_session_new(p, &(lvt_session_options){.threads = 2, .seed = 3}, &s, diag), LVT_OK);
    float *states[2] = {lvt_session_state(s, 0), lvt_session_state(s, 1)};
    expect(s, states, diag);
    expect(s, states, diag);
    assert_int_equal(lvt_session_run(s, 1, NULL, diag), LVT_OK);
    expect(s, states, diag);
    lvt_session_reset(s, 4);
    expect(s, states, diag);
    for (int i = 0; i < 24; i++)
        ((float *)lvt_session_state(s, 1))[i] = (float)i / 24;
    expect(s, states, diag);
    float x[3 * 40] = {1};
    assert_int_equal(lvt_session_check(s, 0, (const void *const[]){x}, diag), LVT_OK);
    expect(s, states, diag);
    lvt_session_free(s);
    lvt_program_close(p);
    lvt_diag_free(diag);
}

static void runs_once(void **state) {
    (void)state;
    lvt_diag *diag = lvt_diag_new();
    lvt_program *p = open_program(diag);
    lvt_session *s = NULL;
    float x[3 * 40] = {1};
    assert_int_equal(lvt_session_new(p, NULL, &s, diag), LVT_OK);
    lvt_session_profile(s, true);
    for (int i = 0; i < 3; i++)
        assert_int_equal(lvt_session_run(s, 0, (const void *const[]){x}, diag), LVT_OK);
    const lvt_plan *plan = &lvt_program_compiled(p)->plans[0];
    for (uint32_t i = 0; i < plan->n_steps; i++)
        assert_int_equal(lvt_session_times(s, 0)[i].runs, i < plan->n_prologue ? 1 : 3);
    double flops = lvt_program_entry(p, 0).flops;
    assert_true(flops >= 2 * 3 * 24 * 40 && flops < 2 * 3 * 24 * 40 + 24 * 40); /* without the sum over w */
    lvt_session_free(s);
    lvt_program_close(p);
    lvt_diag_free(diag);
}

/* Memory that was given back reads as zeros until the next run has filled it again. */
static void is_made_again(void **state) {
    (void)state;
    lvt_diag *diag = lvt_diag_new();
    lvt_program *p = open_program(diag);
    lvt_session *s = NULL;
    assert_int_equal(lvt_session_new(p, &(lvt_session_options){.threads = 2, .seed = 3}, &s, diag), LVT_OK);
    float *states[2] = {lvt_session_state(s, 0), lvt_session_state(s, 1)};
    expect(s, states, diag);
    const float *sum = lvt_session_output(s, 0, 1); /* of the prologue: lies in kept memory */
    assert_true(sum[0] != 0);
    lvt_session_release(s, 0);
    for (int i = 0; i < 24; i++)
        assert_true(sum[i] == 0);
    expect(s, states, diag);
    lvt_session_release(s, 1); /* keeps nothing */
    lvt_session_free(s);
    lvt_program_close(p);
    lvt_diag_free(diag);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(follows_states), cmocka_unit_test(runs_once),
                                       cmocka_unit_test(is_made_again)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
