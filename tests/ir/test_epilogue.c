/* Which bodies are in epilogue form, and what is said of those that are not. */
#include "ir/epilogue.h"
#include "ir/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define INPUTS                                                                                               \
    "%0 = input {index = 0} : f32[3,4] %1 = input {index = 1} : f32[5,4] %2 = input {index = 2} : f32[5] "   \
    "%3 = input {index = 3} : f32[3,5] "
#define PRODUCT "%4 = matmul(%0, %1) {transpose_b = true} : f32[3,5] "
#define BIAS "%5 = broadcast(%2) {shape = [3, 5]} : f32[3,5] "

static const struct {
    const char *body, *refusal; /* NULL: none */
    int steps;
} cases[] = {
    {INPUTS PRODUCT BIAS "%6 = add(%4, %5) : f32[3,5] return %6", NULL, 1},
    {INPUTS PRODUCT BIAS
     "%6 = add(%5, %4) : f32[3,5] %7 = gelu(%6) : f32[3,5] %8 = add(%3, %7) : f32[3,5] return %8",
     NULL, 3},
    {INPUTS PRODUCT "return %4", NULL, 0},
    {INPUTS PRODUCT
     "%5 = tanh(%4) : f32[3,5] %6 = broadcast(%2) {shape = [3, 5]} : f32[3,5] %7 = add(%5, %6) : f32[3,5] "
     "return %7",
     "neither an input nor a bias", 0},
    {INPUTS PRODUCT "%5 = add(%4, %4) : f32[3,5] return %5", "no addition and no activation", 0},
    {INPUTS PRODUCT "%5 = exp(%4) : f32[3,5] return %5", "no addition and no activation", 0},
    {INPUTS PRODUCT "%5 = tanh(%4) : f32[3,5] return %4", "not the last", 0},
    {INPUTS PRODUCT "%5 = tanh(%4) : f32[3,5] return %5 return %4", "more than one value", 0},
    {INPUTS PRODUCT "%5 = tanh(%3) : f32[3,5] return %4", "more than one chain", 0},
    {INPUTS "%4 = matmul(%1, %0) {transpose_b = true} : f32[5,3] return %4", "first two operands", 0},
    {INPUTS "%4 = tanh(%3) : f32[3,5] return %4", "no product", 0},
    {INPUTS PRODUCT
     "%5 = tanh(%4) : f32[3,5] %6 = tanh(%5) : f32[3,5] %7 = tanh(%6) : f32[3,5] %8 = tanh(%7) : f32[3,5] "
     "%9 = tanh(%8) : f32[3,5] return %9",
     "more follows", 0},
};

static void forms(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[2048];
        lvt_diag *diag = lvt_diag_new();
        lvt_module *m = NULL;
        bool two = strstr(cases[i].body, "return %5 return %4") != NULL;
        snprintf(
            text, sizeof text,
            "module \"m\" entry @f { %%0 = input {index = 0} : f32[3,4] %%1 = input {index = 1} : f32[5,4] "
            "%%2 = input {index = 2} : f32[5] %%3 = input {index = 3} : f32[3,5] %%4%s = fused(%%0, %%1, "
            "%%2, %%3) : "
            "%s%s {%s} input \"a\" = %%0 input \"b\" = %%1 input \"c\" = %%2 input \"d\" = %%3 return \"y\" "
            "= %%4 }",
            two ? ", %5" : "", strstr(cases[i].body, "f32[5,3] return") ? "f32[5,3]" : "f32[3,5]",
            two ? ", f32[3,5]" : "", cases[i].body);
        if (lvt_read_module("test", text, strlen(text), &m, diag) != LVT_OK) {
            char *words = lvt_diag_text(diag);
            fail_msg("case %zu: %s", i, words);
        }
        const lvt_graph *g = m->entries[0];
        lvt_epilogue form;
        const char *why = lvt_epilogue_analyse(lvt_value_node(g, g->outputs[0].value)->body, &form);
        if (!cases[i].refusal != !why || (why && !strstr(why, cases[i].refusal)))
            fail_msg("case %zu: %s", i, why ? why : "accepted");
        if (!why)
            assert_int_equal(form.n, cases[i].steps);
        lvt_module_free(m);
        lvt_diag_free(diag);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(forms)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
