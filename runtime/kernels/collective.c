/* The family of ops that several processes do together: one kernel, which hands its values to whoever
 * connects the session with the others (lvt_session_connect). Alone, it takes the others to have the same
 * values, as the interpreter does, so that a program made for several can be timed and checked in one.
 *
 * Invariant: every process runs the same steps in the same order, so calls meet. May not know: how processes
 * talk. */
#include "kernel.h"
#include "runtime/lvt.h"

#include <stdlib.h>
#include <string.h>

typedef struct collective_kernel {
    lvt_kernel base;
    const lvt_collective *const *with; /* the session's, which may come later */
    lvt_reduce reduce;
    int64_t n;
    float ranks;
} collective_kernel;

static void collective_run(lvt_kernel *base, void *const *operands, void *const *results, void *scratch) {
    collective_kernel *k = (collective_kernel *)base;
    const lvt_collective *c = *k->with;
    float *y = results[0];
    (void)scratch;
    if (y != operands[0])
        memcpy(y, operands[0], (size_t)k->n * sizeof *y);
    if (c) {
        c->all_reduce(c->user, k->reduce, y, k->n);
    } else if (k->reduce == LVT_REDUCE_SUM) {
        for (int64_t i = 0; i < k->n; i++)
            y[i] *= k->ranks;
    }
}

static void collective_free(lvt_kernel *base) {
    free(base);
}

lvt_status lvt_collective_make(const lvt_collective *const *with, const lvt_kernel_request *r,
                               lvt_kernel **out) {
    const lvt_node *n = &r->graph->nodes[r->node];
    const char *reduce = lvt_attr_get(n, "reduce")->s;
    collective_kernel *k = calloc(1, sizeof *k);
    if (!k)
        return lvt_error(r->diag, LVT_NOMEM, NULL, r->at, "out of memory");
    k->base = (lvt_kernel){.run = collective_run, .free = collective_free};
    k->with = with;
    k->reduce = !strcmp(reduce, "mean")  ? LVT_REDUCE_MEAN
                : !strcmp(reduce, "max") ? LVT_REDUCE_MAX
                                         : LVT_REDUCE_SUM;
    k->n = lvt_numel(&r->results[0].type);
    k->ranks = (float)lvt_attr_get(n, "ranks")->i;
    *out = &k->base;
    return LVT_OK;
}
