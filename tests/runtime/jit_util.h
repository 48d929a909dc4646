/* What the tests of the code generator share: build a body, lay its ends out in memory in any way, run it as
 * a kernel, compare with the interpreter. */
#ifndef LVT_TESTS_JIT_UTIL_H
#define LVT_TESTS_JIT_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/interp.h"
#include "ir/loop.h"
#include "runtime/kernels/jit/jit.h"

#define DIMS(...)                                                                                            \
    (const int64_t[]) {                                                                                      \
        __VA_ARGS__                                                                                          \
    }

static inline uint64_t next_random(uint64_t *s) {
    uint64_t z = (*s += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}
static inline double uniform_in(uint64_t *s, double lo, double hi) {
    return lo + (hi - lo) * (double)(next_random(s) >> 11) * 0x1p-53;
}

enum { MAX_ENDS = 12 };
enum { PACKED, STRIDED }; /* layouts */

typedef struct body_case {
    lvt_module *module;
    lvt_graph *body;
    lvt_builder b;
    lvt_diag *diag;
    double lo[MAX_ENDS], hi[MAX_ENDS];
    uint64_t seed;
} body_case;

static inline void body_new(body_case *c) {
    *c = (body_case){.module = lvt_module_new("test"), .diag = lvt_diag_new(), .seed = 1};
    c->body = lvt_graph_new(c->module, NULL, 0, false);
    c->b = lvt_builder_for(c->body, c->diag);
}
static inline void body_free(body_case *c) {
    lvt_module_free(c->module);
    lvt_diag_free(c->diag);
}
static inline lvt_value body_input(body_case *c, lvt_dtype t, int rank, const int64_t *dims, double lo,
                                   double hi) {
    lvt_type type = lvt_type_make(t, rank, dims);
    c->lo[c->body->n_inputs] = lo;
    c->hi[c->body->n_inputs] = hi;
    char name[16];
    snprintf(name, sizeof name, "x%u", c->body->n_inputs);
    return lvt_build_input(&c->b, name, &type);
}
static inline void body_output(body_case *c, lvt_value v) {
    char name[16];
    snprintf(name, sizeof name, "y%u", c->body->n_outputs);
    if (v == LVT_NONE) {
        char *text = lvt_diag_text(c->diag);
        fail_msg("%s", text ? text : "");
    }
    assert_true(lvt_graph_add_output(c->body, name, v, 0));
}

typedef struct end { /* an operand or result in memory */
    lvt_view view;
    unsigned char *memory, *filled; /* filled: 1 for bytes that belong to an element */
    void *base;
    size_t bytes;
    lvt_tensor tensor;
} end;

/* Strides of a layout: row-major, or a random order of dims with gaps between them. */
static inline void end_new(end *e, const lvt_type *t, int layout, uint64_t *seed) {
    memset(e, 0, sizeof *e);
    e->view.type = *t;
    int order[LVT_MAX_RANK];
    for (int i = 0; i < t->rank; i++)
        order[i] = i;
    for (int i = t->rank - 1; i > 0 && layout == STRIDED; i--) {
        int j = (int)(next_random(seed) % (uint64_t)(i + 1)), x = order[i];
        order[i] = order[j];
        order[j] = x;
    }
    int64_t step = layout == STRIDED && next_random(seed) % 4 == 0 ? 2 : 1;
    for (int i = t->rank - 1; i >= 0; i--) {
        e->view.strides[order[i]] = step;
        step *= t->dim[order[i]];
        if (layout == STRIDED && next_random(seed) % 3 == 0)
            step += 3;
    }
    e->bytes = (size_t)(step + 16) * lvt_dtype_size((lvt_dtype)t->dtype);
    e->memory = malloc(e->bytes);
    e->filled = calloc(1, e->bytes);
    memset(e->memory, 0xa5, e->bytes);
    e->base = e->memory;
    e->tensor = (lvt_tensor){*t, calloc((size_t)lvt_numel(t), sizeof(double))};
}
static inline void end_free(end *e) {
    free(e->memory);
    free(e->filled);
    free(e->tensor.data);
}
static inline int64_t end_offset(const end *e, int64_t i) {
    int64_t at = 0;
    for (int d = e->view.type.rank - 1; d >= 0; d--) {
        at += i % e->view.type.dim[d] * e->view.strides[d];
        i /= e->view.type.dim[d];
    }
    return at;
}
static inline void end_write(end *e, int64_t i, double x) {
    lvt_dtype t = (lvt_dtype)e->view.type.dtype;
    lvt_tensor one = {lvt_type_make(t, 0, NULL), &x};
    lvt_tensor_store(&one, (char *)e->base + end_offset(e, i) * (int64_t)lvt_dtype_size(t));
}
static inline double end_read(end *e, int64_t i) {
    lvt_dtype t = (lvt_dtype)e->view.type.dtype;
    double x;
    lvt_tensor one = {lvt_type_make(t, 0, NULL), &x};
    size_t at = (size_t)end_offset(e, i) * lvt_dtype_size(t);
    lvt_tensor_load(&one, (char *)e->base + at);
    memset(e->filled + at, 1, lvt_dtype_size(t));
    return x;
}

/* unread: see kernel.h */
static inline lvt_kernel *make_kernel_for(lvt_jit *jit, const lvt_graph *g, lvt_node_id node, end *in,
                                          end *out, const bool *unread, int threads, lvt_diag *diag,
                                          const char *what) {
    const lvt_node *n = &g->nodes[node];
    lvt_view operands[MAX_ENDS], results[MAX_ENDS];
    for (uint32_t k = 0; k < n->n_operands; k++)
        operands[k] = in[k].view;
    for (uint32_t k = 0; k < n->n_results; k++)
        results[k] = out[k].view;
    lvt_kernel_request r = {.graph = g,
                            .node = node,
                            .operands = operands,
                            .results = results,
                            .unread = unread,
                            .threads = threads,
                            .diag = diag};
    lvt_kernel *kernel = NULL;
    if (lvt_jit_make(jit, 1, &r, &kernel) != LVT_OK) {
        char *text = lvt_diag_text(diag);
        fail_msg("%s: %s", what, text ? text : "");
    }
    return kernel;
}

static inline lvt_kernel *make_kernel(lvt_jit *jit, const lvt_graph *g, lvt_node_id node, end *in, end *out,
                                      int threads, lvt_diag *diag, const char *what) {
    return make_kernel_for(jit, g, node, in, out, NULL, threads, diag, what);
}

static inline void run_kernel(lvt_kernel *kernel, const lvt_node *n, end *in, end *out) {
    void *in_ptr[MAX_ENDS], *out_ptr[MAX_ENDS];
    for (uint32_t k = 0; k < n->n_operands; k++)
        in_ptr[k] = in[k].base;
    for (uint32_t k = 0; k < n->n_results; k++)
        out_ptr[k] = out[k].base;
    void *scratch = aligned_alloc(64, (kernel->scratch_bytes + 127) / 64 * 64);
    memset(scratch, 0xff, kernel->scratch_bytes);
    kernel->run(kernel, in_ptr, out_ptr, scratch);
    free(scratch);
}

/* Runs node (fused or not) of graph g, whose operands are given, and compares all results with the tensors of
 * `out`. |got - want| <= absolute + relative * |want|; not-a-number and infinities must agree. Nothing
 * outside the results may be written. */
static inline void run_and_compare(lvt_jit *jit, const lvt_graph *g, lvt_node_id node, end *in, end *out,
                                   double relative, double absolute, int threads, lvt_diag *diag,
                                   const char *what) {
    const lvt_node *n = &g->nodes[node];
    lvt_kernel *kernel = make_kernel(jit, g, node, in, out, threads, diag, what);
    run_kernel(kernel, n, in, out);
    kernel->free(kernel);
    for (uint32_t k = 0; k < n->n_results; k++) {
        int64_t count = lvt_numel(&out[k].view.type);
        for (int64_t i = 0; i < count; i++) {
            double got = end_read(&out[k], i), want = out[k].tensor.data[i];
            bool same = got == want || (isnan(got) && isnan(want)) ||
                        fabs(got - want) <= absolute + relative * fabs(want);
            if (!same)
                fail_msg("%s: result %u element %lld: got %.9g, want %.9g", what, k, (long long)i, got, want);
        }
        for (size_t i = 0; i < out[k].bytes; i++)
            if (!out[k].filled[i] && out[k].memory[i] != 0xa5)
                fail_msg("%s: result %u: byte %zu outside the view was written", what, k, i);
    }
}

/* The fused node for a body, in a graph of its own. */
static inline lvt_node_id fuse(body_case *c, lvt_graph **graph) {
    lvt_graph *g = *graph = lvt_graph_new(c->module, "outer", 0, false);
    lvt_builder b = lvt_builder_for(g, c->diag);
    lvt_value operands[MAX_ENDS];
    lvt_type types[MAX_ENDS];
    for (uint32_t k = 0; k < c->body->n_inputs; k++) {
        char name[16];
        snprintf(name, sizeof name, "x%u", k);
        operands[k] = lvt_build_input(&b, name, lvt_value_type(c->body, c->body->inputs[k].value));
    }
    for (uint32_t k = 0; k < c->body->n_outputs; k++)
        types[k] = *lvt_value_type(c->body, c->body->outputs[k].value);
    lvt_node n = {.op = LVT_OP_fused,
                  .n_operands = (uint16_t)c->body->n_inputs,
                  .n_results = (uint16_t)c->body->n_outputs,
                  .operands = operands,
                  .origin = LVT_NONE,
                  .body = c->body};
    return lvt_graph_append(g, &n, types);
}

/* Makes ends for a node of g, random operands, and the interpreter's results. */
static inline void make_ends(const lvt_graph *g, lvt_node_id node, end *in, end *out, int layout,
                             uint64_t seed, const double *lo, const double *hi, lvt_diag *diag) {
    const lvt_node *n = &g->nodes[node];
    lvt_tensor ti[MAX_ENDS], to[MAX_ENDS];
    for (uint32_t k = 0; k < n->n_operands; k++) {
        end_new(&in[k], lvt_value_type(g, n->operands[k]), layout, &seed);
        for (int64_t i = 0; i < lvt_numel(&in[k].view.type); i++) {
            in[k].tensor.data[i] =
                lvt_round_to((lvt_dtype)in[k].view.type.dtype, uniform_in(&seed, lo[k], hi[k]));
            end_write(&in[k], i, in[k].tensor.data[i]);
        }
        ti[k] = in[k].tensor;
    }
    for (uint32_t k = 0; k < n->n_results; k++) {
        end_new(&out[k], lvt_value_type(g, n->result + k), layout, &seed);
        to[k] = out[k].tensor;
    }
    assert_int_equal(lvt_eval_node(g, node, ti, to, LVT_PRECISION_F32, diag), LVT_OK);
}

static inline void free_ends(const lvt_node *n, end *in, end *out) {
    for (uint32_t k = 0; k < n->n_operands; k++)
        end_free(&in[k]);
    for (uint32_t k = 0; k < n->n_results; k++)
        end_free(&out[k]);
}

/* Compares a body with the interpreter in both layouts. */
static inline void check_body(lvt_jit *jit, body_case *c, double relative, double absolute,
                              const char *what) {
    const char *why = lvt_loop_accepts(c->body);
    if (why)
        fail_msg("%s: %s", what, why);
    lvt_graph *g;
    lvt_node_id node = fuse(c, &g);
    for (int layout = PACKED; layout <= STRIDED; layout++) {
        end in[MAX_ENDS], out[MAX_ENDS];
        make_ends(g, node, in, out, layout, c->seed++, c->lo, c->hi, c->diag);
        char name[200];
        snprintf(name, sizeof name, "%s%s", what, layout == STRIDED ? " strided" : "");
        run_and_compare(jit, g, node, in, out, relative, absolute, 2, c->diag, name);
        free_ends(&g->nodes[node], in, out);
    }
}

#endif
