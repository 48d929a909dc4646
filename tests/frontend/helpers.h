/* For tests that compile a text and run its entries on the interpreter in f64. */
#ifndef LVT_TESTS_FRONTEND_HELPERS_H
#define LVT_TESTS_FRONTEND_HELPERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "frontend/language/language.h"
#include "ir/interp.h"
#include "ir/text.h"

static inline lvt_module *compile_with(const char *text, const char *const *settings, size_t n) {
    lvt_diag *d = lvt_diag_new();
    lvt_module *m = NULL;
    lvt_status status =
        lvt_compile_text("tests/frontend/text.lvt", text, strlen(text), settings, n, "models", &m, d);
    if (!status)
        status = lvt_verify_module(m, d);
    char *problem = lvt_diag_text(d);
    lvt_diag_free(d);
    if (status) {
        print_error("%s\n%s", text, problem);
        free(problem);
        fail();
    }
    free(problem);
    return m;
}

static inline lvt_module *compile(const char *text) {
    return compile_with(text, NULL, 0);
}

static inline double initial(const lvt_init *i) {
    return i->kind == LVT_INIT_CONSTANT ? i->a : 0.25;
}

/* States with their initial values (0.25 for random ones). */
static inline lvt_tensor *new_states(const lvt_module *m) {
    lvt_tensor *s = calloc(m->n_states + 1, sizeof *s);
    assert_non_null(s);
    for (uint32_t i = 0; i < m->n_states; i++) {
        s[i].type = m->states[i].type;
        int64_t n = lvt_numel(&s[i].type);
        s[i].data = calloc((size_t)n, sizeof(double));
        for (int64_t k = 0; k < n; k++)
            s[i].data[k] = initial(&m->states[i].init);
    }
    return s;
}

static inline void free_states(const lvt_module *m, lvt_tensor *s) {
    for (uint32_t i = 0; i < m->n_states; i++)
        free(s[i].data);
    free(s);
}

/* Runs an entry in f64; inputs are 1, 2, 3 ... (or their defaults). Output `which` goes to `out`, at most 64
 * numbers; returns how many. */
static inline int64_t run(const lvt_module *m, const char *entry, lvt_tensor *states, uint32_t which,
                          double *out) {
    lvt_graph *g = lvt_module_find_entry(m, entry);
    assert_non_null(g);
    lvt_tensor *in = calloc(g->n_inputs + 1, sizeof *in),
               *results = calloc(g->n_outputs + 1, sizeof *results);
    for (uint32_t i = 0; i < g->n_inputs; i++) {
        in[i].type = *lvt_value_type(g, g->inputs[i].value);
        int64_t n = lvt_numel(&in[i].type);
        in[i].data = calloc((size_t)n, sizeof(double));
        for (int64_t k = 0; k < n; k++)
            in[i].data[k] = g->inputs[i].has_default ? g->inputs[i].default_value : (double)(k + 1);
    }
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        results[i].type = *lvt_value_type(g, g->outputs[i].value);
        results[i].data = calloc((size_t)lvt_numel(&results[i].type), sizeof(double));
    }
    lvt_diag *d = lvt_diag_new();
    lvt_status status = lvt_interp_run(g, in, states, results, LVT_PRECISION_F64, NULL, NULL, d);
    char *problem = lvt_diag_text(d);
    if (status)
        print_error("%s\n", problem);
    free(problem);
    assert_int_equal(status, LVT_OK);
    lvt_diag_free(d);
    int64_t n = 0;
    if (which < g->n_outputs) {
        n = lvt_numel(&results[which].type);
        for (int64_t k = 0; k < n && k < 64; k++)
            out[k] = results[which].data[k];
    }
    for (uint32_t i = 0; i < g->n_inputs; i++)
        free(in[i].data);
    for (uint32_t i = 0; i < g->n_outputs; i++)
        free(results[i].data);
    free(in);
    free(results);
    return n;
}

/* A model of one entry with input x: f32[2, 3] = 1..6 whose output is `expression` after `before`. */
static inline lvt_module *one(const char *blocks, const char *before, const char *expression) {
    char text[4000];
    snprintf(text, sizeof text,
             "%s\nmodel m {\n entry e(x: f32[2, 3], i: i32[3]) {\n%s\n return y = %s\n }\n}\n", blocks,
             before, expression);
    return compile(text);
}

static inline void expect(const char *blocks, const char *before, const char *expression, int n,
                          const double *want) {
    lvt_module *m = one(blocks, before, expression);
    lvt_tensor *states = new_states(m);
    double got[64] = {0};
    int64_t count = run(m, "e", states, 0, got);
    if (count != n)
        print_error("%s: %lld numbers, not %d\n", expression, (long long)count, n);
    assert_int_equal(count, n);
    for (int k = 0; k < n; k++)
        if (fabs(got[k] - want[k]) > 1e-12) { /* f64 arithmetic on small numbers */
            print_error("%s: [%d] is %.17g, not %.17g\n", expression, k, got[k], want[k]);
            fail();
        }
    free_states(m, states);
    lvt_module_free(m);
}
#define EXPECT(blocks, before, expression, ...)                                                              \
    expect(blocks, before, expression, (int)(sizeof((double[]){__VA_ARGS__}) / sizeof(double)),              \
           (double[]){__VA_ARGS__})

#endif
