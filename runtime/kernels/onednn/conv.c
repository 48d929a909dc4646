/* Convolutions on oneDNN: channels-last images, weights kept plain in the program's state.
 *
 * Variants (ir/program/variants.def) let the primitive choose the layout of images as well, blocks of channels; the
 * images are copied to and from it. Where the library has no such primitive the standard way runs.
 *
 * The weights' layout inside is the primitive's own choice; a reorder before (or, for their gradient, after)
 * costs a few hundredths of the convolution with large batches, and nothing where weights are steady. Images
 * that are not packed channels-last are packed when the primitive would otherwise fall to its reference. May
 * not know: where images come from. */
#include "api.h"

#include <string.h>

typedef struct image { /* as [B, C, H, W] */
    int64_t dims[4], strides[4], packed[4];
} image;

static image image_of(const lvt_view *v) {
    static const int source[4] = {0, 3, 1, 2};
    image m;
    for (int i = 0; i < 4; i++) {
        m.dims[i] = v->type.dim[source[i]];
        m.strides[i] = v->strides[source[i]];
    }
    const int64_t *d = v->type.dim;
    int64_t packed[4] = {d[1] * d[2] * d[3], 1, d[2] * d[3], d[3]};
    memcpy(m.packed, packed, sizeof packed);
    for (int i = 0; i < 4; i++) {
        if (m.dims[i] == 1)
            m.strides[i] = m.packed[i];
    }
    return m;
}

enum { X, W, Y, N_TENSORS };

typedef struct conv {
    lvt_op op;
    lvt_conv_shape shape;
    dnnl_data_type_t type[N_TENSORS];
    lvt_at at[N_TENSORS];
    int computed;             /* which of X, W, Y is the result */
    lvt_md plain[N_TENSORS];  /* as the session has them */
    lvt_md packed[N_TENSORS]; /* images: packed channels-last */
    lvt_md any[N_TENSORS];    /* the primitive's choice */
    lvt_tail *tail;
} conv;

static void conv_free(conv *c) {
    for (int i = 0; i < N_TENSORS; i++) {
        lvt_md_free(c->plain[i]);
        lvt_md_free(c->packed[i]);
        lvt_md_free(c->any[i]);
    }
}

static dnnl_status_t conv_describe(conv *c, const lvt_kernel_request *r) {
    const lvt_node *node = c->tail->form.product;
    c->op = (lvt_op)node->op;
    c->computed = c->op == LVT_OP_conv2d ? Y : c->op == LVT_OP_conv2d_grad_input ? X : W;
    /* operands: (x, w), (dy, w) or (dy, x) */
    int first = c->op == LVT_OP_conv2d ? X : Y, second = c->op == LVT_OP_conv2d_grad_weight ? X : W;
    const lvt_view *views[N_TENSORS];
    views[first] = &r->operands[0];
    views[second] = &r->operands[1];
    views[c->computed] = &r->results[0];
    c->at[first] = (lvt_at){LVT_AT_OPERAND, 0, 0};
    c->at[second] = (lvt_at){LVT_AT_OPERAND, 1, 0};
    c->at[c->computed] = (lvt_at){LVT_AT_RESULT, 0, 0};

    lvt_window window = lvt_window_of(node);
    int64_t groups = window.groups;
    for (int i = 0; i < 2; i++) {
        c->shape.stride[i] = window.stride[i];
        c->shape.dilation[i] = window.dilation[i] - 1;
        c->shape.before[i] = window.padding[i];
        c->shape.after[i] = window.padding[2 + i];
    }
    for (int i = 0; i < N_TENSORS; i++) {
        c->type[i] = lvt_onednn_dtype(views[i]->type.dtype);
        if (c->type[i] == dnnl_data_type_undef)
            return dnnl_unimplemented;
        if (i == W)
            continue;
        image m = image_of(views[i]);
        c->plain[i] = lvt_md_strided(4, m.dims, c->type[i], m.strides);
        c->packed[i] = lvt_md_strided(4, m.dims, c->type[i], m.packed);
        c->any[i] = lvt_md_any(4, m.dims, c->type[i]);
    }
    const lvt_view *w = views[W];
    const int64_t *d = w->type.dim, *s = w->strides;
    int64_t dims[5] = {groups, d[0] / groups, d[1], d[2], d[3]};
    int64_t strides[5] = {d[0] / groups * s[0], s[0], s[1], s[2], s[3]};
    int skip = groups == 1;
    c->plain[W] = lvt_md_strided(5 - skip, dims + skip, c->type[W], strides + skip);
    c->any[W] = lvt_md_any(5 - skip, dims + skip, c->type[W]);
    bool made = c->plain[W] && c->any[W];
    for (int i = X; i <= Y; i += Y - X)
        made = made && c->plain[i] && c->packed[i] && c->any[i];
    if (!made)
        return dnnl_invalid_arguments;
    return lvt_tail_make(c->tail, c->packed[Y], 1, 0, d[0]); /* results with a tail are packed */
}

/* The primitive, and which images it wants in another layout than they have. */
typedef struct form {
    dnnl_primitive_desc_t pd;
    lvt_md_ref used[N_TENSORS];
} form;

static lvt_md_ref chosen(const conv *c, dnnl_primitive_desc_t pd, int i) {
    static const dnnl_query_t result[N_TENSORS] = {dnnl_query_diff_src_md, dnnl_query_diff_weights_md,
                                                   dnnl_query_dst_md};
    static const dnnl_query_t operand[N_TENSORS] = {dnnl_query_src_md, dnnl_query_weights_md,
                                                    dnnl_query_diff_dst_md};
    return dnnl_primitive_desc_query_md(pd, i == c->computed ? result[i] : operand[i], 0);
}

/* The variant that was asked for; false where the library has no such primitive. */
static bool find_variant(const conv *c, lvt_onednn *context, lvt_variant variant, form *f) {
    bool winograd = variant == LVT_VARIANT_WINOGRAD;
    if ((!winograd && variant != LVT_VARIANT_BLOCKED) || c->tail->form.n)
        return false;
    if (lvt_pd_conv(context, c->op, winograd ? dnnl_convolution_winograd : dnnl_convolution_direct, c->any[X],
                    c->any[W], NULL, c->any[Y], &c->shape, context->attr, &f->pd) != dnnl_success)
        return false;
    if (lvt_pd_is_reference(f->pd) || (winograd && !lvt_pd_is_winograd(f->pd))) {
        dnnl_primitive_desc_destroy(f->pd);
        return false;
    }
    for (int i = 0; i < N_TENSORS; i++)
        f->used[i] = chosen(c, f->pd, i);
    return true;
}

static dnnl_status_t find_standard(const conv *c, lvt_onednn *context, form *f) {
    /* As they lie first: packed images are the usual case and then both descriptors are equal. */
    const lvt_md *images = c->plain;
    dnnl_status_t status = lvt_pd_conv(context, c->op, dnnl_convolution_direct, c->plain[X], c->any[W],
                                       c->tail->bias, c->plain[Y], &c->shape, c->tail->attr, &f->pd);
    if (status != dnnl_success || lvt_pd_is_reference(f->pd)) {
        dnnl_primitive_desc_t other = NULL;
        dnnl_status_t made = lvt_pd_conv(context, c->op, dnnl_convolution_direct, c->packed[X], c->any[W],
                                         c->tail->bias, c->packed[Y], &c->shape, c->tail->attr, &other);
        if (made == dnnl_success) {
            if (status == dnnl_success)
                dnnl_primitive_desc_destroy(f->pd);
            f->pd = other;
            images = c->packed;
        }
        status = status == dnnl_success ? status : made;
    }
    if (status != dnnl_success)
        return status;
    f->used[X] = images[X];
    f->used[Y] = images[Y];
    f->used[W] = chosen(c, f->pd, W);
    return dnnl_success;
}

dnnl_status_t lvt_onednn_conv(lvt_onednn_kernel *k, const lvt_kernel_request *r, lvt_tail *t) {
    conv c = {.tail = t};
    form f;
    dnnl_status_t status = conv_describe(&c, r);
    if (status == dnnl_success && find_variant(&c, k->context, r->variant, &f))
        k->base.variant = r->variant;
    else if (status == dnnl_success)
        status = find_standard(&c, k->context, &f);
    if (status != dnnl_success) {
        conv_free(&c);
        return status;
    }
    bool pack[N_TENSORS];
    lvt_at at[N_TENSORS];
    for (int i = 0; i < N_TENSORS; i++) {
        pack[i] = !dnnl_memory_desc_equal(f.used[i], c.plain[i]);
        at[i] = pack[i] ? lvt_packed_at(k, r, c.at[i], dnnl_memory_desc_get_size(f.used[i])) : c.at[i];
    }
    for (int i = 0; i < N_TENSORS && status == dnnl_success; i++) {
        if (pack[i] && i != c.computed)
            status = lvt_call_reorder(k, c.plain[i], c.at[i], f.used[i], at[i]);
    }
    static const int args[][N_TENSORS] = {
        [X] = {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST},
        [W] = {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST},
        [Y] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
    };
    if (status == dnnl_success) {
        int arg[LVT_MAX_ARGS];
        lvt_md_ref md[LVT_MAX_ARGS];
        lvt_at where[LVT_MAX_ARGS];
        for (int i = 0; i < N_TENSORS; i++) {
            arg[i] = args[c.computed][i];
            md[i] = f.used[i];
            where[i] = at[i];
        }
        int n = lvt_tail_args(t, c.packed[Y], N_TENSORS, arg, md, where);
        status = lvt_call_add(k, f.pd, n, arg, md, where);
    }
    if (status == dnnl_success && pack[c.computed])
        status =
            lvt_call_reorder(k, f.used[c.computed], at[c.computed], c.plain[c.computed], c.at[c.computed]);
    dnnl_primitive_desc_destroy(f.pd); /* descriptors it chose are a part of it */
    conv_free(&c);
    return status;
}
