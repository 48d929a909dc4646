/* The family that runs anything: one node through the reference interpreter, on values gathered into doubles.
 *
 * Invariant: correct for every op and every stride, fast for none; unlike the other families it allocates
 * while it runs (the interpreter's own scratch). May not know: sessions, other families. */
#include "kernel.h"
#include "memory.h"
#include "ir/interp.h"

#include <stdlib.h>
#include <string.h>

typedef struct interp_kernel {
    lvt_kernel base;
    const lvt_graph *graph;
    lvt_node_id node;
    uint32_t n_in, n_out;
    lvt_view *views; /* operands, then results */
    lvt_tensor *tensors;
    double *data;
} interp_kernel;

static void interp_free(lvt_kernel *base) {
    interp_kernel *k = (interp_kernel *)base;
    free(k->views);
    free(k->tensors);
    free(k->data);
    free(k);
}

static void interp_run(lvt_kernel *base, void *const *operands, void *const *results, void *scratch) {
    interp_kernel *k = (interp_kernel *)base;
    for (uint32_t i = 0; i < k->n_in; i++) {
        lvt_gather_packed(&k->views[i].type, k->views[i].strides, operands[i], scratch);
        lvt_tensor_load(&k->tensors[i], scratch);
    }
    lvt_tensor *out = k->tensors + k->n_in;
    lvt_status status = lvt_eval_node(k->graph, k->node, k->tensors, out, LVT_PRECISION_F32, NULL);
    for (uint32_t i = 0; i < k->n_out; i++) {
        const lvt_view *view = &k->views[k->n_in + i];
        if (status !=
            LVT_OK) { /* out of memory in the interpreter: a run cannot fail, so nothing may look right */
            for (int64_t j = 0, n = lvt_numel(&view->type); j < n; j++)
                out[i].data[j] =
                    lvt_dtype_is_float((lvt_dtype)view->type.dtype) ? (double)__builtin_nanf("") : 0;
        }
        lvt_tensor_store(&out[i], scratch);
        lvt_scatter_packed(&view->type, view->strides, scratch, results[i]);
    }
}

lvt_status lvt_interp_make(const lvt_kernel_request *r, lvt_kernel **out) {
    *out = NULL;
    const lvt_node *node = &r->graph->nodes[r->node];
    uint32_t n = (uint32_t)node->n_operands + node->n_results;
    interp_kernel *k = calloc(1, sizeof *k);
    if (!k)
        return lvt_error(r->diag, LVT_NOMEM, NULL, r->at, "out of memory");
    k->base = (lvt_kernel){interp_run, interp_free, 0};
    k->graph = r->graph;
    k->node = r->node;
    k->n_in = node->n_operands;
    k->n_out = node->n_results;
    k->views = calloc(n, sizeof *k->views);
    k->tensors = calloc(n, sizeof *k->tensors);
    size_t total = 0, most = 0;
    for (uint32_t i = 0; k->views && i < n; i++) {
        k->views[i] = i < k->n_in ? r->operands[i] : r->results[i - k->n_in];
        size_t bytes = lvt_type_bytes(&k->views[i].type);
        most = bytes > most ? bytes : most;
        total += (size_t)lvt_numel(&k->views[i].type);
    }
    k->data = calloc(total + 1, sizeof *k->data);
    if (!k->views || !k->tensors || !k->data) {
        interp_free(&k->base);
        return lvt_error(r->diag, LVT_NOMEM, NULL, r->at, "out of memory");
    }
    total = 0;
    for (uint32_t i = 0; i < n; i++) {
        k->tensors[i] = (lvt_tensor){k->views[i].type, k->data + total};
        total += (size_t)lvt_numel(&k->views[i].type);
    }
    k->base.scratch_bytes = most;
    *out = &k->base;
    return LVT_OK;
}
