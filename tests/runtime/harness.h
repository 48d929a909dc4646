/* Runs one node on a kernel, with random values at random strides, and compares with the interpreter. For
 * tests. */
#ifndef LVT_TESTS_RUNTIME_HARNESS_H
#define LVT_TESTS_RUNTIME_HARNESS_H

#include "ir/build.h"
#include "ir/interp.h"
#include "runtime/kernels/kernel.h"
#include "runtime/session/internal.h"

#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

typedef struct rng {
    uint64_t state;
} rng;

static inline uint32_t rng_next(rng *r) { /* xorshift: repeatable, and that is all a test needs */
    r->state ^= r->state << 13;
    r->state ^= r->state >> 7;
    r->state ^= r->state << 17;
    return (uint32_t)(r->state >> 16);
}
static inline int64_t rng_range(rng *r, int64_t low, int64_t high) {
    return low + rng_next(r) % (uint32_t)(high - low + 1);
}

/* Packed, or a random order of dims in memory with gaps; dims of size 1 get a stride that must not matter. */
static inline void random_strides(rng *r, const lvt_type *t, bool packed, int64_t *strides) {
    lvt_strides_of(t, strides);
    if (packed)
        return;
    int order[LVT_MAX_RANK];
    for (int i = 0; i < t->rank; i++)
        order[i] = i;
    for (int i = t->rank - 1; i > 0; i--) {
        int k = (int)rng_range(r, 0, i), o = order[i];
        order[i] = order[k];
        order[k] = o;
    }
    int64_t step = rng_range(r, 0, 7) == 0 ? 2 : 1;
    for (int i = t->rank - 1; i >= 0; i--) {
        strides[order[i]] = step;
        step = step * t->dim[order[i]] + (rng_range(r, 0, 3) == 0 ? rng_range(r, 1, 5) : 0);
        if (t->dim[order[i]] == 1)
            strides[order[i]] = rng_range(r, 0, 9);
    }
}

typedef struct placed { /* a value in memory at its strides */
    lvt_view view;
    float *data;
    size_t bytes;
} placed;

static inline placed place_new(rng *r, const lvt_type *t, bool packed) {
    placed p = {.view.type = *t};
    random_strides(r, t, packed, p.view.strides);
    p.bytes = (size_t)lvt_strides_extent(t, p.view.strides) * lvt_dtype_size((lvt_dtype)t->dtype);
    p.data = aligned_alloc(64, (p.bytes + 63) / 64 * 64);
    assert_non_null(p.data);
    memset(p.data, 0xff, p.bytes); /* NaN: what is read but was not written shows */
    return p;
}

static inline void compare_results(const lvt_node *n, const lvt_view *views, const lvt_view *out,
                                   const lvt_tensor *want, const float *got, double relative) {
    const lvt_type *ty = &want->type;
    int64_t count = lvt_numel(ty);
    double largest = 0;
    for (int64_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(want->data[i]));
    for (int64_t i = 0; i < count; i++) {
        if (!(fabs(got[i] - want->data[i]) <= relative * largest)) {
            char text[LVT_TYPE_TEXT];
            print_error("element %lld of %s: %.9g, should be %.9g\n", (long long)i, lvt_type_text(ty, text),
                        got[i], want->data[i]);
            for (int k = 0; k <= n->n_operands; k++) {
                const lvt_view *v = k < n->n_operands ? &views[k] : out;
                print_error("  %s strides", lvt_type_text(&v->type, text));
                for (int d = 0; d < v->type.rank; d++)
                    print_error(" %lld", (long long)v->strides[d]);
                print_error("\n");
            }
            fail();
        }
    }
}

/* Makes `node` of g on oneDNN in that variant, runs it twice on random values in -1..1, compares with the
 * interpreter: within `relative` of the largest magnitude; both runs must give the same bits. */
static inline void compare_variant(lvt_onednn *c, rng *r, const lvt_graph *g, lvt_node_id node,
                                   lvt_variant variant, bool packed, double relative) {
    const lvt_node *n = &g->nodes[node];
    enum { MOST = 8 };
    placed in[MOST], out;
    lvt_tensor tensors[MOST], want;
    lvt_view views[MOST];
    void *operands[MOST];
    assert_true(n->n_operands <= MOST);
    for (int k = 0; k < n->n_operands; k++) {
        const lvt_type *t = lvt_value_type(g, n->operands[k]);
        in[k] = place_new(r, t, packed);
        float *values = malloc(lvt_type_bytes(t));
        for (int64_t i = 0; i < lvt_numel(t); i++)
            values[i] = (float)(rng_next(r) / 2147483648.0 - 1);
        lvt_scatter_packed(t, in[k].view.strides, values, in[k].data);
        tensors[k] = (lvt_tensor){*t, malloc((size_t)lvt_numel(t) * sizeof(double))};
        lvt_tensor_load(&tensors[k], values);
        free(values);
        views[k] = in[k].view;
        operands[k] = in[k].data;
    }
    const lvt_type *ty = lvt_value_type(g, n->result);
    int64_t count = lvt_numel(ty);
    out = place_new(r, ty, packed);
    want = (lvt_tensor){*ty, malloc((size_t)count * sizeof(double))};
    lvt_diag *diag = lvt_diag_new();
    assert_int_equal(lvt_eval_node(g, node, tensors, &want, LVT_PRECISION_F32, diag), LVT_OK);

    /* once as at any step, once with the second operand steady: packed weights, made by prepare(). */
    float *got = malloc(lvt_type_bytes(ty)), *again = malloc(lvt_type_bytes(ty));
    for (int once = 0; once < 2; once++) {
        const bool steady[MOST] = {false, once, once, once};
        lvt_kernel_request request = {.graph = g,
                                      .node = node,
                                      .operands = views,
                                      .results = &out.view,
                                      .steady = steady,
                                      .threads = 2,
                                      .variant = variant,
                                      .diag = diag};
        lvt_kernel *kernel = NULL;
        assert_int_equal(lvt_onednn_make(c, &request, &kernel), LVT_OK);
        assert_int_equal(lvt_diag_warnings(diag), 0); /* it must not have fallen back */
        if (variant == LVT_VARIANT_OWN_WINOGRAD && packed)
            assert_int_equal(kernel->variant, variant);
        if (variant == LVT_VARIANT_OWN_PRODUCT && packed)
            assert_int_equal(kernel->variant, variant);
        void *scratch = aligned_alloc(64, (kernel->scratch_bytes + 127) / 64 * 64);
        void *kept = aligned_alloc(64, (kernel->kept_bytes + 127) / 64 * 64);
        void *results[1] = {out.data};
        assert_true(once || !kernel->kept_bytes);
        if (kernel->kept_bytes)
            kernel->prepare(kernel, operands, scratch, kept);
        for (int run = 0; run < 2; run++) {
            memset(out.data, 0xff, out.bytes);
            memset(scratch, 0xff, kernel->scratch_bytes);
            kernel->run(kernel, operands, results, scratch);
            lvt_gather_packed(ty, out.view.strides, out.data, run ? again : got);
        }
        compare_results(n, views, &out.view, &want, got, relative);
        assert_memory_equal(got, again, lvt_type_bytes(ty));
        kernel->free(kernel);
        free(scratch);
        free(kept);
    }
    free(got);
    free(again);
    free(want.data);
    free(out.data);
    for (int k = 0; k < n->n_operands; k++) {
        free(in[k].data);
        free(tensors[k].data);
    }
    lvt_diag_free(diag);
}

static inline void compare_with_interpreter(lvt_onednn *c, rng *r, const lvt_graph *g, lvt_node_id node,
                                            bool packed, double relative) {
    compare_variant(c, r, g, node, LVT_VARIANT_STANDARD, packed, relative);
}

#endif
