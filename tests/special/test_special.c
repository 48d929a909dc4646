/* Every op of ir/ops.def at special points, special.txt: zeros, subnormals, infinities, NaN, huge numbers,
 * where branches join. Values and derivatives by the interpreter in f64 and f32, by whole compiled programs
 * in f32 and f64, and of pointwise rows by generated code for other processors than this one.
 *
 * An op without a line in the table fails. README.md beside says how the table is made and read. */
#include "ir/interp.h"
#include "passes/pass.h"
#include "runtime/kernels/jit/codegen.h"
#include "runtime/kernels/jit/image.h"
#include "runtime/kernels/jit/jit.h"
#include "runtime/kernels/jit/nest.h"
#include "runtime/compiled.h"
#include "tests/samples.h"
#include "tests/special/table.h"

#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

enum { MOST = 12 };

/* One case: an op on operands; `want` are its results, then the gradients of their sum for the float
 * operands.
 */
typedef struct special {
    int line;
    lvt_op op;
    char text[512]; /* as a sample of the op: types and attributes */
    bool row;       /* of a pointwise op; each element is a line */
    int n_in, n_want, n_results;
    list in[MOST], want[MOST];
} special;

typedef struct table {
    special *cases;
    int n;
    bool known[LVT_N_OPS];
    int numbers, deviations;
} table;

/* ---- reading ---- */

static lvt_op op_named(const char *name, size_t length, int line) {
    lvt_op op = lvt_op_find(name, length);
    if ((int)op == LVT_NO_OP)
        fail_msg("special.txt:%d: there is no op %.*s", line, (int)length, name);
    return op;
}

/* "a b = y da db ! reason y da db": the numbers of one element, appended to the lists of a row. */
static void read_point(table *t, special *s, const char *p, int line) {
    list in = {0}, want = {0}, mine = {0};
    p = read_numbers(p, &in);
    if (*p == '=')
        p = read_numbers(p + 1, &want);
    if (*p == '!') {
        p += 2;
        p = read_numbers(p + strcspn(p, " "), &mine);
        t->deviations++;
    }
    if (*p || in.n != lvt_op_table[s->op]->min_operands || !want.n || (mine.n && mine.n != want.n) ||
        (s->n_want && s->n_want != want.n))
        fail_msg("special.txt:%d: cannot be read", line);
    s->n_in = in.n;
    s->n_want = want.n;
    for (int k = 0; k < in.n; k++)
        add_number(&s->in[k], in.x[k], false);
    for (int k = 0; k < want.n; k++)
        add_number(&s->want[k], mine.n ? mine.x[k] : want.x[k], mine.n ? mine.wide[k] : want.wide[k]);
    t->numbers += want.n;
}

/* The sample text of a row once all its points are known. */
static void finish_row(special *s, const char *type) {
    const char *signature = lvt_op_table[s->op]->signature;
    size_t at = 0;
    for (int k = 0; k < s->n_in; k++)
        at += (size_t)snprintf(s->text + at, sizeof s->text - at, "%s%s[%d]", k ? ", " : "",
                               signature[k] == 'b' ? "bool" : type, s->in[0].n);
    s->n_results = 1;
}

static special *new_case(table *t, const char *name, int line) {
    t->cases = realloc(t->cases, (size_t)(t->n + 1) * sizeof *t->cases);
    assert_non_null(t->cases);
    special *s = &t->cases[t->n++];
    memset(s, 0, sizeof *s);
    s->line = line;
    size_t length = strcspn(name, " ");
    s->op = op_named(name, length, line);
    t->known[s->op] = true;
    name += length;
    snprintf(s->text, sizeof s->text, "%s", name + strspn(name, " "));
    return s;
}

static void read_table(table *t) {
    FILE *f = fopen(LVT_SOURCE_DIR "/tests/special/special.txt", "r");
    assert_non_null(f);
    static char text[1 << 16];
    char type[16] = "";
    special *s = NULL;
    for (int line = 1; fgets(text, sizeof text, f); line++) {
        text[strcspn(text, "\n")] = 0;
        if (s && s->row && !*text)
            finish_row(s, type);
        if (!*text || *text == '#' || !strncmp(text, "reason ", 7))
            continue;
        if (!strncmp(text, "none ", 5)) {
            t->known[op_named(text + 5, strcspn(text + 5, ":"), line)] = true;
        } else if (!strncmp(text, "row ", 4)) {
            s = new_case(t, text + 4, line);
            s->row = true;
            snprintf(type, sizeof type, "%.8s", s->text);
        } else if (!strncmp(text, "op ", 3)) {
            s = new_case(t, text + 3, line);
        } else if (s && s->row) {
            read_point(t, s, text, line);
        } else if (s && !strncmp(text, "in ", 3)) {
            assert_string_equal(read_numbers(text + 3, &s->in[s->n_in++]), "");
        } else if (s && (!strncmp(text, "out ", 4) || !strncmp(text, "grad ", 5))) {
            s->n_results += *text == 'o';
            assert_string_equal(read_numbers(strchr(text, ' '), &s->want[s->n_want++]), "");
            t->numbers += s->want[s->n_want - 1].n;
        } else if (s && !strncmp(text, "lvt ", 4)) {
            list *l = &s->want[s->n_want - 1];
            t->deviations++;
            l->n = 0;
            assert_string_equal(read_numbers(strchr(text + 4, ' '), l), "");
        } else {
            fail_msg("special.txt:%d: cannot be read", line);
        }
    }
    if (s && s->row)
        finish_row(s, type);
    fclose(f);
}

static int setup(void **state) {
    table *t = calloc(1, sizeof *t);
    *state = t;
    read_table(t);
    return 0;
}

static int teardown(void **state) {
    free(((table *)*state)->cases);
    free(*state);
    return 0;
}

/* ---- what is asked ---- */

/* A new row of ops.def needs special points. */
static void test_every_op(void **state) {
    const table *t = *state;
    for (int op = 0; op < LVT_N_OPS; op++) {
        const lvt_op_def *def = lvt_op_table[op];
        if (!t->known[op])
            fail_msg("%s has no special points in tests/special/special.txt: add it to make_special.py",
                     def->name);
        if (def->kind != LVT_KIND_POINTWISE)
            continue;
        bool floats = false, derived = false, derivable = def->grads[0] || def->grads[1] || def->grads[2];
        for (int i = 0; i < t->n; i++) {
            bool here = t->cases[i].op == (lvt_op)op && t->cases[i].row && strstr(t->cases[i].text, "f32");
            floats |= here;
            derived |= here && t->cases[i].n_want > 1;
        }
        if (!floats && def->signature[0] != 'b')
            fail_msg("%s has no special points of floats", def->name);
        if (derivable && !derived)
            fail_msg("%s has no derivatives at special points", def->name);
    }
    print_message("%d cases, %d numbers, %d lines where lvt means something else\n", t->n, t->numbers,
                  t->deviations);
    assert_true(t->numbers > 3000);
}

/* How far a result may lie from the table, which is exact: `relative`, of functions in generated code up to
 * some 7 units in the last place and of composites several roundings; `absolute` where terms of size 1 cancel
 * (1 + erf, 1 - y^2, sums of probabilities). NaN, infinities and zeros of pointwise values have none. */
static tolerance allowed(const special *s, int k, bool single) {
    double unit = single ? 0x1p-24 : 0x1p-53;
    bool exact = s->row && k == 0 && s->op != LVT_OP_gelu;
    if (!s->row && !single) /* the table's own numbers are sums of f64 */
        unit *= 256;
    return (tolerance){32 * unit, exact ? 0 : 32 * unit};
}

static int failures; /* of the test that runs: all are told before it fails */

static void compare(const special *s, int k, const lvt_type *type, const double *got, bool single,
                    const char *how) {
    const list *want = &s->want[k];
    if (lvt_numel(type) != want->n)
        fail_msg("special.txt:%d: %s: %d numbers are given, %lld made", s->line, lvt_op_table[s->op]->name,
                 want->n, (long long)lvt_numel(type));
    bool whole = !lvt_dtype_is_float((lvt_dtype)type->dtype);
    tolerance t = allowed(s, k, single || type->dtype == LVT_F32);
    t.relative = type->dtype == LVT_BF16 ? 0x1p-8 : t.relative;
    for (int i = 0; i < want->n; i++) {
        /* A function that has come to its limit is there, whatever it is multiplied by. */
        double rounded = single ? (double)(float)want->x[i] : want->x[i];
        bool limit = s->row && k == 0 && fabs(s->in[0].x[i]) >= 20 && fabs(rounded) == 1;
        tolerance here = {limit ? 0 : t.relative, t.absolute};
        bool same =
            whole ? got[i] == want->x[i] : is_near(got[i], want, i, single && type->dtype != LVT_F64, here);
        if (same)
            continue;
        failures++;
        print_error("%s, %s at special.txt:%d: %s %d, element %d:", how, lvt_op_table[s->op]->name,
                    s->line + (s->row ? i + 1 : 0), k < s->n_results ? "result" : "gradient",
                    k < s->n_results ? k : k - s->n_results, i);
        for (int j = 0; j < s->n_in && s->row; j++)
            print_error(" %.9g", s->in[j].x[i]);
        print_error(": %.9g, should be %.9g\n", got[i], want->x[i]);
    }
}

/* ---- as graphs ---- */

static bool differentiable(const special *s) {
    return s->n_want > s->n_results;
}

/* The case as a graph: results, then gradients of their sum. wide: f64 in the place of f32. */
static void make_graph(const special *s, bool wide, sample *out, lvt_diag *diag) {
    char text[512];
    snprintf(text, sizeof text, "%s", s->text);
    for (char *p = text; wide && (p = strstr(p, "f32"));)
        memcpy(p, "f64", 3);
    if (!sample_make(s->op, text, out, diag)) {
        char *words = lvt_diag_text(diag);
        fail_msg("special.txt:%d: %s %s: %s", s->line, lvt_op_table[s->op]->name, text, words ? words : "");
    }
    if (!differentiable(s))
        return;
    lvt_graph *g = out->graph;
    lvt_builder b = lvt_builder_for(g, diag);
    b.loc = g->loc;
    lvt_value operands[MOST + 1], sum = LVT_NONE;
    lvt_dtype of = wide ? LVT_F64 : LVT_F32;
    uint32_t n = 1;
    for (uint32_t k = 0; k < out->n_operands; k++)
        if (lvt_dtype_is_float((lvt_dtype)lvt_value_type(g, g->inputs[k].value)->dtype))
            operands[n++] = g->inputs[k].value;
    for (uint32_t k = 0; k < g->nodes[out->node].n_results; k++) {
        lvt_value y = g->nodes[out->node].result + k;
        if (!lvt_dtype_is_float((lvt_dtype)lvt_value_type(g, y)->dtype))
            continue;
        y = lvt_build_reduce(&b, LVT_OP_reduce_sum, lvt_build_cast(&b, y, of), 0, NULL, false);
        sum = sum == LVT_NONE ? y : lvt_build_binary(&b, LVT_OP_add, sum, y);
    }
    operands[0] = sum;
    lvt_value d = lvt_build(&b, LVT_OP_gradient, n, operands, 0, NULL);
    for (uint32_t k = 1; k < n; k++)
        lvt_graph_add_output(g, (char[]){'d', (char)('a' + k), 0}, d + k - 1, 0);
    assert_false(g->failed);
}

static lvt_tensor *make_inputs(const special *s, const lvt_graph *g) {
    lvt_tensor *in = calloc((size_t)s->n_in + 1, sizeof *in);
    assert_int_equal(g->n_inputs, s->n_in);
    for (int k = 0; k < s->n_in; k++) {
        const lvt_type *t = lvt_value_type(g, g->inputs[k].value);
        if (lvt_numel(t) != s->in[k].n)
            fail_msg("special.txt:%d: operand %d has %d numbers", s->line, k, s->in[k].n);
        in[k] = (lvt_tensor){*t, (double *)s->in[k].x};
    }
    return in;
}

static void check_interpreter(const special *s, lvt_precision precision) {
    lvt_diag *diag = lvt_diag_new();
    sample x;
    make_graph(s, false, &x, diag);
    lvt_arena *scratch = lvt_arena_new();
    lvt_pass ctx = {
        .name = "autodiff", .module = x.module, .diag = diag, .arena = scratch, .status = LVT_INTERNAL};
    lvt_graph *g = lvt_pass_autodiff(&ctx, x.graph);
    assert_non_null(g);
    assert_int_equal(g->n_outputs, s->n_want);
    lvt_tensor *in = make_inputs(s, g), out[MOST];
    uint64_t seed = 1;
    for (int k = 0; k < s->n_want; k++)
        out[k] = sample_tensor(lvt_value_type(g, g->outputs[k].value), 0, 0, &seed);
    assert_int_equal(lvt_interp_run(g, in, NULL, out, precision, NULL, NULL, diag), LVT_OK);
    bool single = precision == LVT_PRECISION_F32;
    for (int k = 0; k < s->n_want; k++) {
        compare(s, k, &out[k].type, out[k].data, single,
                single ? "interpreter in f32" : "interpreter in f64");
        free(out[k].data);
    }
    free(in);
    lvt_arena_free(scratch);
    sample_free(&x);
    lvt_diag_free(diag);
}

static void test_interpreter(void **state) {
    failures = 0;
    const table *t = *state;
    for (int i = 0; i < t->n; i++) {
        check_interpreter(&t->cases[i], LVT_PRECISION_F64);
        check_interpreter(&t->cases[i], LVT_PRECISION_F32);
    }
    assert_int_equal(failures, 0);
}

/* Through all passes and on the kernels of this processor. */
static void check_program(const special *s, bool wide, const char *path) {
    lvt_diag *diag = lvt_diag_new();
    sample x;
    lvt_compiled *compiled = NULL;
    lvt_program *p = NULL;
    lvt_session *session = NULL;
    make_graph(s, wide, &x, diag);
    lvt_status status = lvt_compile(x.module, &(lvt_compile_options){.exact = true}, &compiled, diag);
    if (status == LVT_OK)
        status = lvt_program_write(compiled, path, diag);
    lvt_compiled_free(compiled);
    if (status == LVT_OK)
        status = lvt_program_open(path, &(lvt_program_options){.cache = "", .threads = 2}, &p, diag);
    if (status == LVT_OK)
        status = lvt_session_new(p, &(lvt_session_options){.threads = 2}, &session, diag);
    if (status != LVT_OK) {
        char *words = lvt_diag_text(diag);
        fail_msg("special.txt:%d: %s: %s", s->line, lvt_op_table[s->op]->name, words ? words : "");
    }
    const lvt_graph *g = lvt_program_compiled(p)->module->entries[0];
    lvt_tensor *in = make_inputs(s, g);
    const void *packed[MOST];
    for (int k = 0; k < s->n_in; k++) {
        void *data = malloc(lvt_type_bytes(&in[k].type) + 8);
        lvt_tensor_store(&in[k], data);
        packed[k] = data;
    }
    assert_int_equal(lvt_session_run(session, 0, packed, diag), LVT_OK);
    uint64_t seed = 1;
    for (int k = 0; k < s->n_want; k++) {
        lvt_tensor out = sample_tensor(lvt_value_type(g, g->outputs[k].value), 0, 0, &seed);
        lvt_tensor_load(&out, lvt_session_output(session, 0, k));
        compare(s, k, &out.type, out.data, !wide, wide ? "program in f64" : "program in f32");
        free(out.data);
    }
    for (int k = 0; k < s->n_in; k++)
        free((void *)packed[k]);
    free(in);
    lvt_session_free(session);
    lvt_program_close(p);
    lvt_diag_free(diag);
}

static void test_programs(void **state) {
    failures = 0;
    const table *t = *state;
    char path[] = "/tmp/lvt-special-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    for (int i = 0; i < t->n; i++) {
        check_program(&t->cases[i], false, path);
        bool has_f64 = t->cases[i].op != LVT_OP_all_reduce; /* processes exchange f32 alone */
        if (has_f64 && strstr(t->cases[i].text, "f32"))
            check_program(&t->cases[i], true, path);
    }
    unlink(path);
    assert_int_equal(failures, 0);
}

/* ---- generated code for other processors ---- */

/* The row and its derivatives for a gradient of 1 as the body of a fused node in a graph of its own. */
static lvt_graph *make_body(const special *s, lvt_module *m, lvt_diag *diag, lvt_node_id *node) {
    const lvt_op_def *def = lvt_op_table[s->op];
    lvt_graph *body = lvt_graph_new(m, NULL, 0, false), *g = lvt_graph_new(m, "outer", 0, false);
    lvt_builder b = lvt_builder_for(body, diag), outer = lvt_builder_for(g, diag);
    lvt_value args[3], operands[3], d[3] = {LVT_NONE, LVT_NONE, LVT_NONE};
    int64_t n = s->in[0].n;
    bool wants[3] = {false};
    for (int k = 0; k < s->n_in; k++) {
        lvt_type type = lvt_type_make(def->signature[k] == 'b' ? LVT_BOOL : LVT_F32, 1, &n);
        char name[8] = {(char)('a' + k)};
        args[k] = lvt_build_input(&b, name, &type);
        operands[k] = lvt_build_input(&outer, name, &type);
        wants[k] = differentiable(s) && type.dtype == LVT_F32;
    }
    lvt_value y = lvt_build(&b, s->op, (uint32_t)s->n_in, args, 0, NULL);
    lvt_graph_add_output(body, "y", y, 0);
    if (differentiable(s)) {
        lvt_value one = lvt_build_full(&b, lvt_value_type(body, y), 1);
        lvt_node n_y = *lvt_value_node(body, y);
        assert_int_equal(def->grad(&(lvt_grad){&b, &n_y, &one, wants, d}), LVT_OK);
        for (int k = 0; k < s->n_in; k++)
            if (wants[k]) {
                char name[8] = {'d', (char)('a' + k)};
                lvt_graph_add_output(body, name, d[k], 0);
            }
    }
    assert_false(body->failed);
    assert_int_equal(body->n_outputs, s->n_want);
    *node = g->values[lvt_build_fused(&outer, body, (uint32_t)s->n_in, operands)].node;
    return g;
}

static void check_machine(const special *s, const lvt_machine *m, const lvt_codegen *codegen) {
    lvt_diag *diag = lvt_diag_new();
    lvt_module *module = lvt_module_new("special");
    lvt_arena *arena = lvt_arena_new();
    lvt_compiler *compiler;
    lvt_nest nest;
    lvt_object object, image;
    lvt_code *code = NULL;
    lvt_nest_code entry;
    lvt_node_id node;
    char *why = NULL, how[64];
    const char *refused;
    lvt_graph *g = make_body(s, module, diag, &node);
    lvt_view in[3], out[4];
    void *operands[3], *results[4];
    int64_t n = s->in[0].n;
    for (int k = 0; k < s->n_in + s->n_want; k++) {
        lvt_value v =
            k < s->n_in ? g->nodes[node].operands[k] : g->nodes[node].result + (uint32_t)(k - s->n_in);
        lvt_view *view = k < s->n_in ? &in[k] : &out[k - s->n_in];
        *view = (lvt_view){*lvt_value_type(g, v), {1}};
        void *data = calloc((size_t)n + 64, 8);
        *(k < s->n_in ? &operands[k] : &results[k - s->n_in]) = data;
        if (k < s->n_in)
            lvt_tensor_store(&(lvt_tensor){view->type, (double *)s->in[k].x}, data);
    }
    lvt_kernel_request r = {
        .graph = g, .node = node, .operands = in, .results = out, .threads = 1, .diag = diag};
    assert_int_equal(codegen->compiler_new(m, &compiler, NULL), LVT_OK);
    assert_int_equal(lvt_nest_make(&nest, &r, m, arena), LVT_OK);
    lvt_source_code source = {nest.key, LVT_SOURCE_NEST, &nest};
    assert_int_equal(codegen->compile(compiler, &source, "kernel", &object, &why), LVT_OK);
    assert_int_equal(lvt_image_make(&object, "kernel", &image, &refused), LVT_OK);
    assert_int_equal(lvt_code_map(&code, 1, &image, &entry), LVT_OK);
    void *buffer = aligned_alloc(64, (nest.hoist_bytes * (size_t)nest.n_hoist + 127) / 64 * 64);
    entry(operands, results, NULL, buffer, 0, nest.k_total, 0, nest.s_total);
    snprintf(how, sizeof how, "generated code for %s", m->cpu);
    for (int k = 0; k < s->n_want; k++) {
        uint64_t seed = 1;
        lvt_tensor x = sample_tensor(&out[k].type, 0, 0, &seed);
        lvt_tensor_load(&x, results[k]);
        compare(s, k, &x.type, x.data, true, how);
        free(x.data);
    }
    for (int k = 0; k < s->n_in + s->n_want; k++)
        free(k < s->n_in ? operands[k] : results[k - s->n_in]);
    free(buffer);
    free(object.data);
    free(image.data);
    lvt_code_free(code);
    codegen->compiler_free(compiler);
    lvt_arena_free(arena);
    lvt_module_free(module);
    lvt_diag_free(diag);
}

static void test_other_processors(void **state) {
    failures = 0;
#ifdef __x86_64__
    const table *t = *state;
    static const lvt_machine machines[] = {{.cpu = "x86-64", .features = "", .width = 4},
                                           {.cpu = "x86-64-v3", .features = "", .width = 8, .sse41 = true}};
    void *module;
    const lvt_codegen *codegen;
    char *why = NULL;
    assert_int_equal(lvt_codegen_open(&module, &codegen, &why), LVT_OK);
    for (int m = 0; m < 2; m++) {
        if (m && !__builtin_cpu_supports("avx2"))
            continue;
        for (int i = 0; i < t->n; i++)
            if (t->cases[i].row && strstr(t->cases[i].text, "f32"))
                check_machine(&t->cases[i], &machines[m], codegen);
    }
    lvt_codegen_close(module);
    assert_int_equal(failures, 0);
#else
    (void)state;
    skip();
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_op), cmocka_unit_test(test_interpreter),
                                       cmocka_unit_test(test_programs),
                                       cmocka_unit_test(test_other_processors)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
