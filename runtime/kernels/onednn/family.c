/* The family as sessions see it: which maker takes a node.
 *
 * May not know: memory descriptors, versions of oneDNN. */
#include "api.h"

#include "runtime/kernels/memory.h"

#include <stdlib.h>

/* oneDNN does not survive everywhere that memory is short while it makes a primitive: that there is some is
 * seen first. */
static bool room_for_primitive(void) {
    lvt_block b;
    if (!lvt_block_map(&b, (size_t)32 << 20))
        return false;
    lvt_block_unmap(&b);
    return true;
}

lvt_status lvt_onednn_try(lvt_onednn *c, const lvt_kernel_request *r, lvt_kernel **out) {
    *out = NULL;
    if (r->variant == LVT_VARIANT_OWN_WINOGRAD || r->variant == LVT_VARIANT_OWN_DEPTHWISE) {
        lvt_status made =
            r->variant == LVT_VARIANT_OWN_WINOGRAD ? lvt_winograd_make(r, out) : lvt_depthwise_make(r, out);
        if (made != LVT_OK || *out)
            return made;
    }
    const lvt_node *node = &r->graph->nodes[r->node];
    lvt_onednn_kernel *k = room_for_primitive() ? calloc(1, sizeof *k) : NULL;
    if (!k)
        return LVT_NOMEM;
    k->base =
        (lvt_kernel){.run = lvt_onednn_run, .free = lvt_onednn_kernel_free, .prepare = lvt_onednn_prepare};
    k->context = c;
    lvt_tail tail;
    dnnl_status_t status = lvt_tail_find(c, node, &tail);
    if (status == dnnl_success)
        status = tail.form.product->op == LVT_OP_matmul ? lvt_onednn_matmul(k, r, &tail)
                                                        : lvt_onednn_conv(k, r, &tail);
    lvt_tail_free(&tail);
    if (status == dnnl_success) {
        k->base.scratch_bytes = k->scratch;
        k->base.kept_bytes = k->kept;
        *out = &k->base;
        return LVT_OK;
    }
    lvt_onednn_kernel_free(&k->base);
    return status == dnnl_out_of_memory ? LVT_NOMEM : LVT_OK;
}

lvt_status lvt_onednn_make(lvt_onednn *c, const lvt_kernel_request *r, lvt_kernel **out) {
    lvt_status status = lvt_onednn_try(c, r, out);
    if (status != LVT_OK)
        return lvt_error(r->diag, status, NULL, r->at, "out of memory");
    if (*out)
        return LVT_OK;
    lvt_warning(r->diag, "W701", r->at,
                "%s: oneDNN has no kernel for this case; it runs on the interpreter, slowly",
                lvt_op_table[r->graph->nodes[r->node].op]->name);
    return lvt_interp_make(r, out);
}
