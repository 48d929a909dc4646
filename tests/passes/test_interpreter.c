/* Nothing ends on the interpreter unseen: every sample of the table of ops, in f32, i32 and bool, compiled as
 * an entry of its own and with its gradient, has a kernel for every step, or stands in a list with a reason;
 * pass assign warns about steps that are more than small. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "passes/pass.h"
#include "tests/samples.h"

/* What may run on the interpreter, and why: a row is {op, type of its first operand (its result where it has
 * none), reason}. One that no sample needs is an error too. */
static const struct allowed {
    lvt_op op;
    const char *type, *reason;
} allowed[] = {{LVT_N_OPS, "", "the end: at present there is none"}};
enum { N_ALLOWED = sizeof allowed / sizeof *allowed };

typedef struct tally {
    int steps, compiled, failures;
    bool needed[N_ALLOWED];
} tally;

static void judge(tally *t, const lvt_graph *g, const lvt_node *n, const char *text) {
    lvt_value v = n->n_operands ? n->operands[0] : n->result;
    const char *type = lvt_dtype_name((lvt_dtype)g->values[v].type.dtype);
    for (int i = 0; allowed[i].op != LVT_N_OPS; i++)
        if (allowed[i].op == n->op && !strcmp(allowed[i].type, type)) {
            t->needed[i] = true;
            return;
        }
    const char *why;
    lvt_family_for(g, (lvt_node_id)(n - g->nodes), &why);
    print_error("%s: %s of %s is left to the interpreter: %s\n", text, lvt_op_of(n)->name, type,
                why ? why : "no reason");
    t->failures++;
}

/* Replaces every `from` by `to`. */
static void replace(const char *text, const char *from, const char *to, char *out, size_t size) {
    size_t n = 0;
    while (*text && n + strlen(to) + 1 < size) {
        if (!strncmp(text, from, strlen(from))) {
            memcpy(out + n, to, strlen(to));
            n += strlen(to);
            text += strlen(from);
        } else {
            out[n++] = *text++;
        }
    }
    out[n] = 0;
}

/* Adds the gradient of the sum of the float results by all float operands; false: there is none. */
static bool add_gradient(sample *s, lvt_diag *diag) {
    lvt_builder b = lvt_builder_for(s->graph, diag);
    const lvt_node *n = &s->graph->nodes[s->node];
    lvt_value loss = LVT_NONE, operands[SAMPLE_MAX + 1];
    uint32_t count = 0;
    for (uint32_t k = 0; k < n->n_results; k++) {
        lvt_value r = s->graph->nodes[s->node].result + k;
        if (!lvt_dtype_is_float((lvt_dtype)lvt_value_type(s->graph, r)->dtype))
            continue;
        r = lvt_build_binary(&b, LVT_OP_mul, r, r);
        r = lvt_build_reduce(&b, LVT_OP_reduce_sum, r, 0, NULL, false);
        loss = loss == LVT_NONE ? r : lvt_build_binary(&b, LVT_OP_add, loss, r);
    }
    for (uint32_t k = 0; k < s->n_operands && loss != LVT_NONE; k++)
        if (lvt_dtype_is_float((lvt_dtype)lvt_value_type(s->graph, s->graph->inputs[k].value)->dtype))
            operands[++count] = s->graph->inputs[k].value;
    if (!count)
        return false;
    operands[0] = loss;
    lvt_value d = lvt_build(&b, LVT_OP_gradient, count + 1, operands, 0, NULL);
    for (uint32_t k = 0; k < count && d != LVT_NONE; k++) {
        char name[8] = {'d', (char)('0' + k)};
        lvt_graph_add_output(s->graph, name, d + k, b.loc);
    }
    return d != LVT_NONE && !s->graph->failed;
}

static void check_sample(tally *t, lvt_op op, const char *text, bool gradient) {
    lvt_diag *diag = lvt_diag_new();
    lvt_compiled *program = NULL;
    sample s;
    /* A type the op does not take, an op without gradient: nothing to look at. */
    bool made = sample_make(op, text, &s, diag) && (!gradient || add_gradient(&s, diag));
    if (made && lvt_compile(s.module, &(lvt_compile_options){0}, &program, diag) == LVT_OK) {
        const lvt_plan *p = &program->plans[0];
        t->compiled++;
        for (uint32_t i = 0; i < p->n_steps; i++, t->steps++)
            if (p->steps[i].family == LVT_FAMILY_INTERP)
                judge(t, p->graph, &p->graph->nodes[p->steps[i].node], text);
        lvt_compiled_free(program);
    } else {
        sample_free(&s);
    }
    lvt_diag_free(diag);
}

static void test_every_op(void **state) {
    (void)state;
    static const char *const types[] = {"f32", "i32", "bool"};
    tally t = {0};
    for (int op = 0; op < LVT_N_OPS; op++) {
        const lvt_op_def *def = lvt_op_table[op];
        if (op == LVT_OP_gradient || op == LVT_OP_fused || op == LVT_OP_input || op == LVT_OP_state)
            continue;
        int before = t.compiled;
        for (int i = 0; def->samples && def->samples[i]; i++) {
            char text[512];
            for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
                replace(def->samples[i], "f32", types[k], text, sizeof text);
                if (k && !strcmp(text, def->samples[i]))
                    continue;
                check_sample(&t, (lvt_op)op, text, false);
                if (!def->no_gradient)
                    check_sample(&t, (lvt_op)op, text, true);
            }
        }
        if (def->kind != LVT_KIND_META && t.compiled == before)
            fail_msg("%s: no sample compiles", def->name);
    }
    print_message("%d entries, %d steps\n", t.compiled, t.steps);
    assert_int_equal(t.failures, 0);
    for (int i = 0; allowed[i].op != LVT_N_OPS; i++)
        if (!t.needed[i])
            fail_msg("%s may run on the interpreter (%s), but does not any more: take it out of the list",
                     lvt_op_table[allowed[i].op]->name, allowed[i].reason);
    assert_true(t.steps > 300);
}

/* One place, where a loop has made several steps, is warned about once; small steps and kernels are not. */
static void test_warning(void **state) {
    (void)state;
    static const struct {
        lvt_dtype type;
        int64_t size;
        int warnings;
    } cases[] = {{LVT_F64, 16, 1}, {LVT_F64, 4, 0}, {LVT_F32, 16, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lvt_diag *diag = lvt_diag_new();
        lvt_compiled *program = NULL;
        lvt_module *m = lvt_module_new("test");
        static const char text[] = "the line";
        lvt_loc loc = lvt_module_loc(m, lvt_module_source(m, "pools.lvt", text, sizeof text - 1), 1, 5, 0);
        lvt_graph *g = lvt_module_add_entry(m, "predict", loc, false);
        lvt_builder b = lvt_builder_for(g, diag);
        b.loc = loc;
        lvt_type type = lvt_type_make(cases[i].type, 4, (int64_t[]){2, cases[i].size, cases[i].size, 3});
        lvt_named_attr kernel[] = {{"kernel", lvt_attr_ints((int64_t[]){3, 3}, 2)},
                                   {"stride", lvt_attr_ints((int64_t[]){1, 1}, 2)},
                                   {"padding", lvt_attr_ints((int64_t[]){1, 1, 1, 1}, 4)}};
        lvt_value x = lvt_build_input(&b, "x", &type);
        for (int k = 0; k < 3; k++)
            x = lvt_build(&b, LVT_OP_max_pool2d, 1, &x, 3, kernel);
        assert_int_not_equal(x, LVT_NONE);
        lvt_graph_add_output(g, "y", x, loc);
        assert_int_equal(lvt_compile(m, &(lvt_compile_options){0}, &program, diag), LVT_OK);
        char *words = lvt_diag_text(diag);
        const char *first = words ? strstr(words, "pools.lvt:1:5: warning W703: max_pool2d of f64[2,16,16,3] "
                                                  "runs on the interpreter, slowly: pools have code for f32 "
                                                  "only")
                                  : NULL;
        if (!first != !cases[i].warnings ||
            (first && strstr(first, "f64") && strstr(strstr(first, "f64"), "W703")))
            fail_msg("case %zu: %s", i, words ? words : "");
        free(words);
        lvt_compiled_free(program);
        lvt_diag_free(diag);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_op), cmocka_unit_test(test_warning)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
