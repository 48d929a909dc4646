/* ONNX's own tests (Debian's libonnx-testdata) through import, interpreter and kernels: none may be wrong.
 * And mutated files, which may do nothing worse than fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "frontend/onnx/import.h"
#include "ir/base/file.h"
#include "ir/interp.h"
#include "ir/text.h"
#include "ir/program/weights.h"
#include "runtime/compiled.h"
#include "passes/pass.h"

#define DATA "/usr/lib/python3/dist-packages/onnx/backend/test/data/"
enum { MOST = 16, REASONS = 400 };

typedef struct test {
    lvt_tensor_data in[MOST], out[MOST];
    int n_in, n_out;
} test;

static char reasons[REASONS][96];
static int times[REASONS], n_reasons, passed, bound_passed, scope, wrong, compared, gradients,
    gradients_wrong, corners;

static bool read_pb(const char *folder, const char *kind, int i, lvt_tensor_data *out) {
    char path[700];
    uint8_t *bytes;
    size_t size;
    lvt_diag *d = lvt_diag_new();
    snprintf(path, sizeof path, "%s/%s_%d.pb", folder, kind, i);
    bool ok = access(path, R_OK) == 0 && lvt_file_read(path, &bytes, &size, d) == LVT_OK;
    if (ok) {
        ok = lvt_onnx_tensor_bytes(path, bytes, size, out, d) == LVT_OK;
        free(bytes);
    }
    lvt_diag_free(d);
    return ok;
}

static bool have_pb(const char *folder, const char *kind, int i) {
    char path[700];
    snprintf(path, sizeof path, "%s/%s_%d.pb", folder, kind, i);
    return access(path, R_OK) == 0;
}

/* ONNX's own tolerance: 1e-3 relative; absolute 1e-5 instead of 1e-7, for sums of numbers near 1 that cancel.
 */
static bool close_enough(const lvt_tensor_data *want, const lvt_type *type, const double *got) {
    if (!lvt_shape_equal(&want->type, type))
        return false;
    for (int64_t i = 0; i < lvt_numel(type); i++) {
        double a = want->data[i], b = got[i];
        if (!(fabs(a - b) <= 1e-5 + 1e-3 * fabs(a)) && !(a != a && b != b) && a != b) {
            printf("    element %lld is %.9g, not %.9g\n", (long long)i, b, a);
            return false;
        }
    }
    return true;
}

static void count_reason(const char *folder, const lvt_diag *d) {
    char *text = lvt_diag_text(d), word[96] = "?";
    const char *at = strstr(text, "operator ");
    if (at)
        sscanf(at + 9, "%90s", word);
    else if ((at = strstr(text, "error: ")))
        snprintf(word, sizeof word, "(%.85s", at + 7), word[strcspn(word, "\n")] = 0;
    (void)folder;
    free(text);
    for (int i = 0; i < n_reasons; i++)
        if (!strcmp(reasons[i], word)) {
            times[i]++;
            return;
        }
    if (n_reasons < REASONS) {
        strcpy(reasons[n_reasons], word);
        times[n_reasons++] = 1;
    }
}

static int input_index(const lvt_graph *g, const char *const *names, int n, uint32_t i) {
    for (int k = 0; k < n; k++)
        if (!strcmp(names[k], g->inputs[i].name))
            return k;
    return -1;
}

/* The compiled program, by the kernels that lvt-run would use. */
static bool run_kernels(lvt_module *m, const test *t, const int *which, lvt_diag *d) {
    lvt_compile_options options = {.verify_each = false};
    lvt_compiled *c = NULL;
    lvt_program *p = NULL;
    lvt_session *s = NULL;
    char path[64];
    snprintf(path, sizeof path, "/tmp/lvt-onnx-%d.lvtx", (int)getpid());
    bool ok = lvt_compile(m, &options, &c, d) == LVT_OK && lvt_program_publish(c, path, d) == LVT_OK;
    lvt_program_options po = {.cache = "", .threads = 1};
    ok = ok && lvt_program_open(path, &po, &p, d) == LVT_OK && lvt_session_new(p, NULL, &s, d) == LVT_OK;
    lvt_program_remove(c ? c->module : NULL, path);
    if (ok) {
        const lvt_module *pm = lvt_program_compiled(p)->module;
        const lvt_graph *g = pm->entries[0];
        void *packed[MOST] = {0};
        for (uint32_t i = 0; i < g->n_inputs; i++) {
            lvt_tensor in = {*lvt_value_type(g, g->inputs[i].value), t->in[which[i]].data};
            packed[i] = malloc(lvt_type_bytes(&in.type));
            lvt_tensor_store(&in, packed[i]);
        }
        ok = lvt_session_run(s, 0, (const void *const *)packed, d) == LVT_OK;
        for (uint32_t i = 0; i < g->n_outputs && ok; i++) {
            lvt_tensor out = {*lvt_value_type(g, g->outputs[i].value), NULL};
            out.data = malloc((size_t)lvt_numel(&out.type) * sizeof(double));
            lvt_tensor_load(&out, lvt_session_output(s, 0, (int)i));
            ok = close_enough(&t->out[i], &out.type, out.data);
            free(out.data);
        }
        for (int i = 0; i < MOST; i++)
            free(packed[i]);
    }
    if (s)
        lvt_session_free(s);
    if (p)
        lvt_program_close(p);
    if (c)
        lvt_compiled_free(c);
    else
        lvt_module_free(m);
    return ok;
}

/* The entry's graph, in which operator Gradient is carried out; NULL: it has no gradient. */
static const lvt_graph *differentiated(lvt_module *m, lvt_arena *scratch, lvt_diag *d) {
    lvt_pass ctx = {.module = m, .diag = d, .arena = scratch, .status = LVT_INTERNAL};
    return lvt_pass_autodiff(&ctx, m->entries[0]);
}

static bool run_both(lvt_module *m, const test *t, const char *const *names, int n_names, lvt_diag *d) {
    lvt_arena *scratch = lvt_arena_new();
    const lvt_graph *g = differentiated(m, scratch, d);
    if (!g) {
        lvt_arena_free(scratch);
        lvt_module_free(m);
        return false;
    }
    lvt_tensor in[MOST], out[MOST] = {0}, *states = calloc(m->n_states + 1u, sizeof *states);
    int which[MOST];
    bool ok = (int)g->n_outputs <= t->n_out;
    for (uint32_t i = 0; i < g->n_inputs && ok; i++) {
        which[i] = input_index(g, names, n_names, i);
        ok = which[i] >= 0 && which[i] < t->n_in;
        if (ok) {
            in[i] = (lvt_tensor){*lvt_value_type(g, g->inputs[i].value), t->in[which[i]].data};
            ok = lvt_numel(&in[i].type) == lvt_numel(&t->in[which[i]].type);
        }
    }
    for (uint32_t i = 0; i < m->n_states; i++) {
        const lvt_state *from = &m->states[i];
        states[i] = (lvt_tensor){from->type, calloc((size_t)lvt_numel(&from->type), sizeof(double))};
        lvt_tensor_load(&states[i], from->values);
    }
    for (uint32_t i = 0; i < g->n_outputs && ok; i++) {
        out[i].type = *lvt_value_type(g, g->outputs[i].value);
        out[i].data = calloc((size_t)lvt_numel(&out[i].type), sizeof(double));
    }
    ok = ok && lvt_verify_module(m, d) == LVT_OK &&
         lvt_interp_run(g, in, states, out, LVT_PRECISION_F32, NULL, NULL, d) == LVT_OK;
    for (uint32_t i = 0; i < g->n_outputs && ok; i++)
        ok = close_enough(&t->out[i], &out[i].type, out[i].data);
    for (uint32_t i = 0; i < m->n_states; i++)
        free(states[i].data);
    for (int i = 0; i < MOST; i++)
        free(out[i].data);
    free(states);
    lvt_arena_free(scratch);
    if (ok)
        return run_kernels(m, t, which, d);
    lvt_module_free(m);
    return false;
}

/* Names of the graph's inputs, from a module whose inputs are all unbound or from the error path: read again
 * by importing cannot fail on names, so they come from the model's bytes. */
static int input_names(const uint8_t *bytes, size_t size, char names[MOST][128]);

#include <onnx.pb-c.h>
static int input_names(const uint8_t *bytes, size_t size, char names[MOST][128]) {
    Onnx__ModelProto *m = onnx__model_proto__unpack(NULL, size, bytes);
    int n = 0;
    for (size_t i = 0; m && m->graph && i < m->graph->n_input && n < MOST; i++) {
        bool initialised = false;
        for (size_t k = 0; k < m->graph->n_initializer; k++)
            initialised |= !strcmp(m->graph->initializer[k]->name, m->graph->input[i]->name);
        if (!initialised || m->ir_version < 4)
            snprintf(names[n++], 128, "%s", m->graph->input[i]->name);
    }
    if (m)
        onnx__model_proto__free_unpacked(m, NULL);
    return n;
}

/* The sum of all float outputs times fixed numbers, as an output, and its gradients for all float inputs. */
static uint32_t add_gradients(lvt_graph *g, lvt_diag *d) {
    lvt_builder b = lvt_builder_for(g, d);
    lvt_value loss = LVT_NONE, operands[MOST + 1];
    uint32_t n = 0, outputs = g->n_outputs;
    for (uint32_t i = 0; i < outputs; i++) {
        lvt_type t = *lvt_value_type(g, g->outputs[i].value);
        int64_t count = lvt_numel(&t);
        if (!lvt_dtype_is_float((lvt_dtype)t.dtype))
            continue;
        double *w = malloc((size_t)count * sizeof *w);
        for (int64_t k = 0; k < count; k++)
            w[k] = (double)((k * 7919 + 13) % 101) / 50 - 1;
        lvt_named_attr a[] = {{"dtype", lvt_attr_dtype((lvt_dtype)t.dtype)},
                              {"shape", lvt_attr_ints(t.dim, t.rank)},
                              {"values", lvt_attr_floats(w, (size_t)count)}};
        lvt_value c = lvt_build(&b, LVT_OP_constant, 0, NULL, 3, a);
        c = lvt_build_binary(&b, LVT_OP_mul, c, g->outputs[i].value);
        c = lvt_build_cast(&b, lvt_build_reduce(&b, LVT_OP_reduce_sum, c, 0, NULL, false), LVT_F64);
        loss = loss == LVT_NONE ? c : lvt_build_binary(&b, LVT_OP_add, loss, c);
        free(w);
    }
    for (uint32_t i = 0; i < g->n_inputs; i++)
        if (lvt_dtype_is_float((lvt_dtype)lvt_value_type(g, g->inputs[i].value)->dtype))
            operands[++n] = g->inputs[i].value;
    if (loss == LVT_NONE || !n)
        return 0;
    operands[0] = loss;
    g->n_outputs = 0;
    lvt_value grad = lvt_build(&b, LVT_OP_gradient, n + 1, operands, 0, NULL);
    lvt_graph_add_output(g, "loss", loss, 0);
    for (uint32_t i = 0; i < n; i++) {
        char name[16];
        snprintf(name, sizeof name, "d%u", i);
        lvt_graph_add_output(g, name, grad + i, 0);
    }
    return n;
}

static double random_unit(uint32_t *r) {
    *r = *r * 1664525u + 1013904223u;
    return (double)(*r >> 8) / (1 << 23) - 1;
}

/* What an imported operator sends back, against differences along random directions. Where two widths of
 * differences do not agree there is a corner, or a step, and nothing is said. */
static void check_gradient(const char *name, lvt_module *m, const test *t, const int *which) {
    lvt_diag *d = lvt_diag_new();
    lvt_arena *scratch = lvt_arena_new();
    uint32_t n = add_gradients(m->entries[0], d), r = 1;
    lvt_tensor in[MOST], out[MOST + 1] = {0};
    if (n && !m->n_states) {
        lvt_pass ctx = {.module = m, .diag = d, .arena = scratch, .status = LVT_INTERNAL};
        lvt_graph *g = lvt_pass_autodiff(&ctx, m->entries[0]);
        if (!g) {
            char *words = lvt_diag_text(d);
            printf("NO GRADIENT: %s %s\n", name, words);
            free(words);
            gradients_wrong++;
        } else {
            m->entries[0] = g;
            for (uint32_t i = 0; i < g->n_inputs; i++) {
                in[i].type = *lvt_value_type(g, g->inputs[i].value);
                in[i].data = malloc((size_t)lvt_numel(&in[i].type) * sizeof(double));
                memcpy(in[i].data, t->in[which[i]].data, (size_t)lvt_numel(&in[i].type) * sizeof(double));
            }
            for (uint32_t i = 0; i < g->n_outputs; i++) {
                out[i].type = *lvt_value_type(g, g->outputs[i].value);
                out[i].data = malloc((size_t)lvt_numel(&out[i].type) * sizeof(double));
            }
            assert_int_equal(lvt_interp_run(g, in, NULL, out, LVT_PRECISION_F64, NULL, NULL, d), LVT_OK);
            double slope = 0, size = 0, at[4], h = 1e-6;
            double *direction[MOST] = {0};
            for (uint32_t i = 0, k = 1; i < g->n_inputs; i++) {
                int64_t count = lvt_numel(&in[i].type);
                if (!lvt_dtype_is_float((lvt_dtype)in[i].type.dtype))
                    continue;
                direction[i] = malloc((size_t)count * sizeof(double));
                for (int64_t j = 0; j < count; j++) {
                    direction[i][j] = random_unit(&r);
                    slope += direction[i][j] * out[k].data[j];
                    size += fabs(direction[i][j] * out[k].data[j]);
                }
                k++;
            }
            double widths[] = {-2, -1, 1, 2}, moved = 0;
            for (int w = 0; w < 4; w++) {
                for (uint32_t i = 0; i < g->n_inputs; i++)
                    for (int64_t j = 0; direction[i] && j < lvt_numel(&in[i].type); j++)
                        in[i].data[j] += (widths[w] - moved) * h * direction[i][j];
                moved = widths[w];
                assert_int_equal(lvt_interp_run(g, in, NULL, out, LVT_PRECISION_F64, NULL, NULL, d), LVT_OK);
                at[w] = out[0].data[0];
            }
            double narrow = (at[2] - at[1]) / (2 * h), wide = (at[3] - at[0]) / (4 * h);
            double left = (at[1] - at[0]) / h, right = (at[3] - at[2]) / h;
            /* Rounding of sums near 1 over 2e-6 leaves 1e-9; curvature times that width is about 1e-6. */
            double room = 1e-4 * (1 + size + fabs(narrow));
            bool smooth = fabs(narrow - wide) < room && fabs(left - right) < room && isfinite(narrow) &&
                          fabs(at[1]) < 1e6; /* beyond, rounding hides what h does */
            if (smooth && !(fabs(slope - narrow) < room)) {
                printf("WRONG GRADIENT: %s is %.9g, differences say %.9g\n", name, slope, narrow);
                gradients_wrong++;
            } else {
                *(smooth ? &gradients : &corners) += 1;
            }
            for (uint32_t i = 0; i < g->n_inputs; i++) {
                free(in[i].data);
                free(direction[i]);
            }
            for (uint32_t i = 0; i < g->n_outputs; i++)
                free(out[i].data);
        }
    }
    lvt_arena_free(scratch);
    lvt_module_free(m);
    lvt_diag_free(d);
}

static void run_one(const char *folder, const char *name) {
    char path[500], set[600], text[MOST][128];
    const char *names[MOST];
    uint8_t *bytes;
    size_t size;
    lvt_diag *d = lvt_diag_new();
    snprintf(path, sizeof path, "%s/model.onnx", folder);
    snprintf(set, sizeof set, "%s/test_data_set_0", folder);
    assert_int_equal(lvt_file_read(path, &bytes, &size, d), LVT_OK);
    int n = input_names(bytes, size, text);
    test t = {0};
    bool readable = true;
    for (int i = 0; i < n; i++)
        names[i] = text[i];
    for (; t.n_in < MOST && have_pb(set, "input", t.n_in); t.n_in++)
        readable &= read_pb(set, "input", t.n_in, &t.in[t.n_in]);
    for (; t.n_out < MOST && have_pb(set, "output", t.n_out); t.n_out++)
        readable &= read_pb(set, "output", t.n_out, &t.out[t.n_out]);
    lvt_module *m = NULL;
    lvt_onnx_import options = {0};
    lvt_onnx_bound bound[MOST];
    lvt_status status = lvt_onnx_import_bytes(path, bytes, size, folder, &options, &m, d);
    bool with_bound = false;
    /* Shapes are known when a model is compiled; where there is one input it may be such a one. */
    if (status != LVT_OK && readable && t.n_in <= n &&
        (t.n_in > 1 || (t.n_in == 1 && !lvt_dtype_is_float((lvt_dtype)t.in[0].type.dtype)))) {
        lvt_diag *again = lvt_diag_new();
        for (int i = t.n_in > 1; i < t.n_in; i++)
            bound[options.n_bound++] = (lvt_onnx_bound){names[i], &t.in[i]};
        options.bound = bound;
        status = lvt_onnx_import_bytes(path, bytes, size, folder, &options, &m, again);
        with_bound = status == LVT_OK;
        lvt_diag_free(again);
    }
    /* The data of bfloat16 tests are the bits of truncated numbers, called uint16. */
    for (uint32_t i = 0; m && i < m->entries[0]->n_outputs && (int)i < t.n_out; i++)
        readable &= lvt_value_type(m->entries[0], m->entries[0]->outputs[i].value)->dtype != LVT_BF16;
    for (uint32_t i = 0; m && i < m->entries[0]->n_inputs; i++)
        readable &= lvt_value_type(m->entries[0], m->entries[0]->inputs[i].value)->dtype != LVT_BF16;
    /* Made with another epsilon than the node has; of ONNX 1.17: sums that came round, where the standard
     * says that they stop at the end of int8. */
    if (!strcmp(name, "test_adam_multiple") ||
        (!strncmp(name, "test_qlinearmatmul", 18) && strstr(name, "_int8_"))) {
        if (m)
            lvt_module_free(m);
        m = NULL;
        status = lvt_error(d, LVT_USER, NULL, LVT_NOWHERE, "operator (test) at odds with its own data");
    }
    if (status != LVT_OK || !readable || !t.n_out) {
        scope++;
        if (status != LVT_OK) {
            assert_true(lvt_diag_errors(d) > 0);
            count_reason(folder, d);
        } else {
            lvt_error(d, LVT_USER, NULL, LVT_NOWHERE, "operator (data) of types that are not here");
            count_reason(folder, d);
        }
        if (m)
            lvt_module_free(m);
    } else {
        lvt_diag *own = lvt_diag_new();
        compared++;
        if (run_both(m, &t, names, n, own)) {
            passed++;
            bound_passed += with_bound;
            if (lvt_onnx_import_bytes(path, bytes, size, folder, &options, &m, own) == LVT_OK) {
                int which[MOST];
                for (uint32_t i = 0; i < m->entries[0]->n_inputs; i++)
                    which[i] = input_index(m->entries[0], names, n, i);
                check_gradient(name, m, &t, which);
            }
        } else {
            char *words = lvt_diag_text(own);
            printf("WRONG: %s %s\n", name, words);
            free(words);
            wrong++;
        }
        lvt_diag_free(own);
    }
    for (int i = 0; i < MOST; i++) {
        free(t.in[i].data);
        free(t.out[i].data);
    }
    free(bytes);
    lvt_diag_free(d);
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Of `all` tests, as many as Debian 12 has, at least `least` pass; other data are only not wrong. */
static void run_folder(const char *kind, int all, int least) {
    char path[300];
    char *list[2000];
    int n = 0;
    snprintf(path, sizeof path, DATA "%s", kind);
    DIR *dir = opendir(path);
    if (!dir)
        skip();
    passed = bound_passed = scope = wrong = compared = n_reasons = gradients = gradients_wrong = corners = 0;
    memset(times, 0, sizeof times);
    for (struct dirent *e; (e = readdir(dir)) && n < 2000;)
        if (e->d_name[0] != '.')
            list[n++] = strdup(e->d_name);
    closedir(dir);
    qsort(list, (size_t)n, sizeof *list, by_name);
    for (int i = 0; i < n; i++) {
        char folder[420];
        snprintf(folder, sizeof folder, "%s/%s", path, list[i]);
        run_one(folder, list[i]);
        free(list[i]);
    }
    printf("%s: %d of %d passed (%d of them with inputs known when compiling), %d out of scope, %d wrong\n",
           kind, passed, n, bound_passed, scope, wrong);
    for (int i = 0; i < n_reasons; i++)
        printf("  %3d %s\n", times[i], reasons[i]);
    printf("%s: %d gradients agree with differences, %d tests lie at a corner, %d are wrong\n", kind,
           gradients, corners, gradients_wrong);
    assert_int_equal(wrong, 0);
    assert_int_equal(gradients_wrong, 0);
    assert_true(passed >= (n == all ? least : 1));
}

static void test_node(void **state) {
    (void)state;
    run_folder("node", 932, 797);
}
static void test_simple(void **state) {
    (void)state;
    run_folder("simple", 23, 9);
}
static void test_operator(void **state) {
    (void)state;
    run_folder("pytorch-operator", 35, 35);
}
static void test_converted(void **state) {
    (void)state;
    run_folder("pytorch-converted", 82, 81);
}

static lvt_value a_state(void *user, const char *name, const lvt_type *type, lvt_init init,
                         const void *values, bool trainable) {
    lvt_graph *g = user;
    lvt_builder b = lvt_builder_for(g, NULL);
    uint32_t s = lvt_module_find_state(g->module, name);
    if (s == LVT_NONE)
        s = lvt_module_add_state(g->module, name, type, init, trainable, 0);
    g->module->states[s].values = values;
    return lvt_build_state(&b, s);
}

static bool an_update(void *user, lvt_value state, lvt_value x) {
    lvt_graph *g = user;
    uint32_t s = (uint32_t)lvt_attr_get(lvt_value_node(g, state), "index")->i;
    for (uint32_t i = 0; i < g->n_updates; i++)
        if (g->updates[i].state == s)
            return false;
    assert_true(lvt_type_equal(lvt_value_type(g, x), &g->module->states[s].type));
    return lvt_graph_add_update(g, s, x, 0);
}

/* The same bytes as a piece of a graph, twice: what comes out verifies. */
static void as_block(const uint8_t *bytes, size_t size, bool training, lvt_diag *d) {
    lvt_onnx_file *f;
    lvt_value results[64];
    if (lvt_onnx_open_bytes("x.onnx", bytes, size, NULL, &f, d) != LVT_OK)
        return;
    lvt_module *m = lvt_module_new("block");
    lvt_graph *g = lvt_module_add_entry(m, "train", 0, training);
    lvt_builder b = lvt_builder_for(g, d);
    lvt_onnx_import options = {0};
    uint32_t streams = 0;
    int64_t two = 2;
    lvt_type key = lvt_type_make(LVT_I32, 1, &two);
    lvt_onnx_use use = {.module = m,
                        .builder = &b,
                        .options = &options,
                        .at = {"model.lvt", 1, 1},
                        .images = true,
                        .form = training ? LVT_ONNX_TRAINING : LVT_ONNX_INFERENCE,
                        .step = lvt_build_input(&b, "the step", &key),
                        .streams = &streams,
                        .state = a_state,
                        .update = an_update,
                        .user = g};
    size_t errors = lvt_diag_errors(d);
    lvt_status status = lvt_onnx_outputs(f) > 64 ? LVT_USER : lvt_onnx_check(f, &use, d);
    bool ran = status == LVT_OK;
    if (ran)
        status = lvt_onnx_expand(f, &use, results, d);
    if (status == LVT_OK) {
        for (size_t i = 0; i < lvt_onnx_outputs(f); i++)
            lvt_graph_add_output(g, "y", results[i], 0);
        assert_true(g->n_outputs == lvt_onnx_outputs(f));
    } else if (ran) {
        assert_true(lvt_diag_errors(d) > errors);
    }
    lvt_onnx_close(f);
    lvt_module_free(m);
}

/* Bytes changed, cut, doubled: an error or a module that verifies, nothing else. About three seconds. */
static void test_mutations(void **state) {
    (void)state;
    static const char *const seeds[] = {"node/test_conv_with_strides_padding",
                                        "simple/test_expand_shape_model1",
                                        "node/test_gemm_all_attributes",
                                        "node/test_if",
                                        "node/test_slice",
                                        "pytorch-converted/test_Linear",
                                        "node/test_constant",
                                        "node/test_batchnorm_example",
                                        "node/test_batchnorm_example_training_mode",
                                        "node/test_training_dropout_default"};
    uint32_t r = 1;
    clock_t end = clock() + 3 * CLOCKS_PER_SEC;
    for (unsigned round = 0; clock() < end; round++) {
        char path[300];
        uint8_t *bytes;
        size_t size;
        lvt_diag *d = lvt_diag_new();
        snprintf(path, sizeof path, DATA "%s/model.onnx", seeds[round % (sizeof seeds / sizeof *seeds)]);
        if (access(path, R_OK))
            skip();
        assert_int_equal(lvt_file_read(path, &bytes, &size, d), LVT_OK);
        for (int k = 0; k < 1 + (int)(round % 5); k++) {
            r = r * 1664525u + 1013904223u;
            size_t at = (r >> 8) % size;
            r = r * 1664525u + 1013904223u;
            if (r >> 30 == 0)
                size = at + 1;
            else
                bytes[at] = r >> 30 == 1 ? (uint8_t)(r >> 8) : (uint8_t)(bytes[at] ^ 1u << (r >> 8 & 7));
        }
        lvt_module *m = NULL;
        lvt_onnx_import options = {0};
        lvt_status status = lvt_onnx_import_bytes("x.onnx", bytes, size, "/nowhere", &options, &m, d);
        assert_true((status == LVT_OK) == (m != NULL));
        assert_true(status == LVT_OK || lvt_diag_errors(d) > 0);
        if (m) {
            assert_int_equal(lvt_verify_module(m, d), LVT_OK);
            lvt_module_free(m);
        }
        as_block(bytes, size, round % 2, d);
        free(bytes);
        lvt_diag_free(d);
    }
    /* Attributes that hold graphs that hold attributes ...: deeper than any stack. */
    enum { DEPTH = 200000 };
    uint8_t *deep = malloc((size_t)DEPTH * 12 + 16);
    size_t at = (size_t)DEPTH * 12 + 16, n = 0;
    size_t top = at;
    for (int i = 0; i < DEPTH && at > 16; i++) { /* from the inside out: field 7 or 1, 5, 6 with a length */
        uint8_t head[8];
        size_t h = 0, v = n;
        head[h++] = (uint8_t)((i % 3 == 0 ? 6 : i % 3 == 1 ? 5 : 1) << 3 | 2);
        do
            head[h++] = (uint8_t)((v & 127) | (v > 127 ? 128 : 0));
        while (v >>= 7);
        at -= h;
        memcpy(deep + at, head, h);
        n += h;
    }
    lvt_diag *d = lvt_diag_new();
    lvt_module *m;
    uint8_t *whole = malloc(n + 8);
    size_t h = 0, v = n;
    whole[h++] = 7 << 3 | 2;
    do
        whole[h++] = (uint8_t)((v & 127) | (v > 127 ? 128 : 0));
    while (v >>= 7);
    memcpy(whole + h, deep + top - n, n);
    assert_int_equal(lvt_onnx_import_bytes("deep.onnx", whole, h + n, NULL, &(lvt_onnx_import){0}, &m, d),
                     LVT_USER);
    free(whole);
    free(deep);
    lvt_diag_free(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_mutations), cmocka_unit_test(test_simple),
                                       cmocka_unit_test(test_operator), cmocka_unit_test(test_converted),
                                       cmocka_unit_test(test_node)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
