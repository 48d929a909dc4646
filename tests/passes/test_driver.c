/* The driver of passes at its edges, and the arithmetic of strides against counting. */
#include "ir/text.h"
#include "passes/pass.h"
#include "passes/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static lvt_status compile(const char *text, const lvt_compile_options *o, lvt_compiled **program,
                          lvt_diag *diag) {
    lvt_module *m = NULL;
    *program = NULL;
    lvt_status status = lvt_read_module("test", text, strlen(text), &m, diag);
    assert_int_equal(status, LVT_OK);
    status = lvt_compile(m, o, program, diag);
    if (!*program)
        lvt_module_free(m);
    return status;
}

static lvt_compiled *compiled(const char *text) {
    lvt_diag *diag = lvt_diag_new();
    lvt_compiled *p;
    lvt_status status = compile(text, &(lvt_compile_options){.verify_each = true}, &p, diag);
    char *words = lvt_diag_text(diag);
    if (status != LVT_OK)
        print_error("%s", words);
    free(words);
    lvt_diag_free(diag);
    assert_int_equal(status, LVT_OK);
    return p;
}

static void outputs_have_memory_of_their_own(void **state) {
    (void)state;
    lvt_compiled *p = compiled("module \"m\"\n"
                               "state @s : f32[3] = 1\n"
                               "entry @f {\n"
                               "  %0 = input {index = 0} : f32[3] \"x\"\n"
                               "  %1 = constant {shape = [3], values = [2]} : f32[3]\n"
                               "  %2 = state {index = 0} : f32[3]\n"
                               "  %3 = broadcast(%0) {shape = [2, 3]} : f32[2,3]\n"
                               "  input \"x\" = %0\n"
                               "  update @s = %0\n"
                               "  return \"input\" = %0\n"
                               "  return \"constant\" = %1\n"
                               "  return \"old\" = %2\n"
                               "  return \"repeated\" = %3\n"
                               "}\n");
    const lvt_plan *plan = &p->plans[0];
    for (uint32_t i = 0; i < plan->graph->n_outputs; i++) {
        lvt_value v = plan->graph->outputs[i].value;
        int64_t dense[LVT_MAX_RANK];
        lvt_strides_dense(&plan->graph->values[v].type, dense);
        assert_int_equal(plan->places[v].kind, LVT_PLACE_ARENA);
        assert_true(lvt_strides_equal(&plan->graph->values[v].type, dense, plan->places[v].strides));
    }
    lvt_compiled_free(p);
}

static void exchanged_states_survive(void **state) {
    (void)state;
    lvt_compiled *p = compiled("module \"m\"\n"
                               "state @a : f32[3] = 1\n"
                               "state @b : f32[3] = 2\n"
                               "entry @f {\n"
                               "  %0 = state {index = 0} : f32[3]\n"
                               "  %1 = state {index = 1} : f32[3]\n"
                               "  update @a = %1\n"
                               "  update @b = %0\n"
                               "}\n");
    const lvt_plan *plan = &p->plans[0];
    /* At most one of the two may be written over; the other one's old value has to be saved first. */
    assert_int_equal(plan->n_steps, 2);
    int in_arena = 0;
    for (uint32_t i = 0; i < plan->graph->n_updates; i++)
        in_arena += plan->places[plan->graph->updates[i].value].kind == LVT_PLACE_ARENA;
    assert_true(in_arena >= 1);
    assert_int_equal(plan->n_stores, in_arena);
    lvt_compiled_free(p);
}

static void nothing_to_do(void **state) {
    (void)state;
    lvt_compiled *p = compiled(
        "module \"m\"\nentry @f {\n  %0 = input {index = 0} : f32[3] \"x\"\n  input \"x\" = %0\n}\n");
    assert_int_equal(p->plans[0].n_steps, 0);
    assert_int_equal(p->plans[0].arena_bytes, 0);
    lvt_compiled_free(p);
    p = compiled("module \"empty\"\n");
    assert_int_equal(p->module->n_entries, 0);
    lvt_compiled_free(p);
}

static const char softmax[] = "module \"m\"\nentry @f {\n  %0 = input {index = 0} : f32[4,8] \"x\"\n"
                              "  %1 = softmax(%0) : f32[4,8]\n  input \"x\" = %0\n  return \"y\" = %1\n}\n";

static void wrong_names(void **state) {
    (void)state;
    const lvt_compile_options wrong[] = {
        {.start_at = "nothing"}, {.stop_after = "nothing"}, {.dump_after = "nothing"}};
    for (size_t i = 0; i < 3; i++) {
        lvt_diag *diag = lvt_diag_new();
        lvt_compiled *p;
        assert_int_equal(compile(softmax, &wrong[i], &p, diag), LVT_USAGE);
        assert_null(p);
        lvt_diag_free(diag);
    }
}

static void limit_of_passes(void **state) {
    (void)state;
    uint32_t steps[2];
    for (int i = 0; i < 2;
         i++) { /* with one improving pass, fusion does not run and nearly all nodes are steps */
        lvt_diag *diag = lvt_diag_new();
        lvt_compiled *p;
        assert_int_equal(compile(softmax, &(lvt_compile_options){.pass_limit = i ? 1 : 0}, &p, diag), LVT_OK);
        steps[i] = p->plans[0].n_steps;
        lvt_compiled_free(p);
        lvt_diag_free(diag);
    }
    assert_int_equal(steps[0], 1);
    assert_true(steps[1] > 1);
}

static void equal_programs_have_equal_hashes(void **state) {
    (void)state;
    lvt_compiled *a = compiled(softmax), *b = compiled(softmax);
    lvt_compiled *c = compiled("module \"m\"\nentry @f {\n  %0 = input {index = 0} : f32[4,9] \"x\"\n"
                               "  %1 = softmax(%0) : f32[4,9]\n  input \"x\" = %0\n  return \"y\" = %1\n}\n");
    assert_true(a->hash == b->hash);
    assert_true(a->hash != c->hash);
    lvt_compiled_free(a);
    lvt_compiled_free(b);
    lvt_compiled_free(c);
}

/* Where element `index` (row-major) of t lies. */
static int64_t address(const lvt_type *t, const int64_t *strides, int64_t index) {
    int64_t at = 0;
    for (int i = t->rank; i-- > 0;) {
        at += index % t->dim[i] * strides[i];
        index /= t->dim[i];
    }
    return at;
}

static void reshaped_strides(void **state) {
    (void)state;
    static const struct {
        int rank;
        int64_t dim[LVT_MAX_RANK];
    } shapes[] = {{1, {24}},      {2, {4, 6}},       {2, {6, 4}},     {3, {2, 3, 4}},
                  {3, {4, 1, 6}}, {4, {2, 2, 3, 2}}, {3, {1, 24, 1}}, {4, {2, 1, 12, 1}}};
    enum { N = sizeof shapes / sizeof *shapes };
    int possible = 0, impossible = 0;
    for (int a = 0; a < N; a++)
        for (int b = 0; b < N; b++)
            for (int order = 0; order < 3; order++) { /* dense, first two dims exchanged, gaps between rows */
                lvt_type from = lvt_type_make(LVT_F32, shapes[a].rank, shapes[a].dim);
                lvt_type to = lvt_type_make(LVT_F32, shapes[b].rank, shapes[b].dim);
                int64_t strides[LVT_MAX_RANK], result[LVT_MAX_RANK];
                lvt_strides_dense(&from, strides);
                if (order == 1 && from.rank >= 2) {
                    int64_t inner = strides[1];
                    strides[0] = inner;
                    strides[1] = inner * from.dim[0];
                } else if (order == 2) {
                    for (int i = 0; i + 1 < from.rank; i++)
                        strides[i] *= 5;
                }
                if (!lvt_strides_reshape(&from, strides, &to, result)) {
                    impossible++;
                    assert_true(order != 0); /* what is dense can have any shape */
                    continue;
                }
                possible++;
                for (int64_t i = 0; i < 24; i++)
                    assert_int_equal(address(&from, strides, i), address(&to, result, i));
            }
    assert_true(possible > N * N && impossible > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(outputs_have_memory_of_their_own),
                                       cmocka_unit_test(exchanged_states_survive),
                                       cmocka_unit_test(nothing_to_do),
                                       cmocka_unit_test(wrong_names),
                                       cmocka_unit_test(limit_of_passes),
                                       cmocka_unit_test(equal_programs_have_equal_hashes),
                                       cmocka_unit_test(reshaped_strides)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
