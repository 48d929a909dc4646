/* Epilogues of matrix products and convolutions as oneDNN's bias and post-ops: see ir/epilogue.h.
 *
 * Activations are oneDNN's own code: GELU by erf, as the table of ops has it; they carry NaN (its relu does
 * not, and is not used). Invariant: the steps run in
 * their order. May not know: which layouts the product takes. */
#include "api.h"

dnnl_status_t lvt_tail_find(lvt_onednn *c, const lvt_node *node, lvt_tail *t) {
    *t = (lvt_tail){.context = c, .attr = c->attr};
    if (!node->body) {
        t->form.product = node;
        return dnnl_success;
    }
    return lvt_epilogue_analyse(node->body, &t->form) ? dnnl_unimplemented : dnnl_success;
}

static dnnl_status_t append(dnnl_post_ops_t list, lvt_op op) {
    switch (op) {
    case LVT_OP_gelu:
        return lvt_post_activation(list, dnnl_eltwise_gelu_erf, 0);
    case LVT_OP_tanh:
        return lvt_post_activation(list, dnnl_eltwise_tanh, 0);
    case LVT_OP_sigmoid:
        return lvt_post_activation(list, dnnl_eltwise_logistic, 0);
    case LVT_OP_silu:
        return lvt_post_activation(list, dnnl_eltwise_swish, 1);
    default:
        return dnnl_unimplemented;
    }
}

dnnl_status_t lvt_tail_make(lvt_tail *t, lvt_md_ref added, int bias_rank, int channel_dim, int64_t channels) {
    const lvt_epilogue *e = &t->form;
    dnnl_post_ops_t list = NULL;
    if (!e->n)
        return dnnl_success;
    dnnl_status_t status = lvt_onednn_attr(&t->attr);
    if (status != dnnl_success) {
        t->attr = t->context->attr;
        return status;
    }
    status = dnnl_post_ops_create(&list);
    for (int i = 0; i < e->n && status == dnnl_success; i++) {
        if (e->step[i].kind == LVT_EPILOGUE_BIAS) {
            int64_t dims[LVT_MAX_RANK], strides[LVT_MAX_RANK];
            for (int d = 0; d < bias_rank; d++) {
                dims[d] = d == channel_dim ? channels : 1;
                strides[d] = d < channel_dim ? channels : 1;
            }
            t->bias = lvt_md_strided(bias_rank, dims, dnnl_f32, strides);
            status = t->bias ? dnnl_success : dnnl_out_of_memory;
        } else if (e->step[i].kind == LVT_EPILOGUE_ADD) {
            status = lvt_post_add(list, added);
        } else {
            status = append(list, e->step[i].op);
        }
    }
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_post_ops(t->attr, list);
    if (list)
        dnnl_post_ops_destroy(list);
    return status;
}

int lvt_tail_args(const lvt_tail *t, lvt_md_ref added, int n, int *arg, lvt_md_ref *md, lvt_at *at) {
    const lvt_epilogue *e = &t->form;
    int post = 0; /* number of the post-op: a bias is none */
    for (int i = 0; i < e->n; i++) {
        bool bias = e->step[i].kind == LVT_EPILOGUE_BIAS;
        if (e->step[i].kind != LVT_EPILOGUE_ACTIVATION) {
            arg[n] = bias ? DNNL_ARG_BIAS : DNNL_ARG_ATTR_MULTIPLE_POST_OP(post) | DNNL_ARG_SRC_1;
            md[n] = bias ? t->bias : added;
            at[n++] = (lvt_at){LVT_AT_OPERAND, e->step[i].operand, 0};
        }
        post += !bias;
    }
    return n;
}

void lvt_tail_free(lvt_tail *t) {
    if (t->attr != t->context->attr)
        dnnl_primitive_attr_destroy(t->attr);
    lvt_md_free(t->bias);
}
