/* oneDNN: the differences between its versions, the context, and the kernel that runs a list of primitives.
 *
 * Invariant: this file alone looks at DNNL_VERSION_MAJOR. May not know: matrix products, convolutions. */
#include "api.h"

#include <stdlib.h>
#include <string.h>

dnnl_data_type_t lvt_onednn_dtype(uint8_t dtype) {
    static const dnnl_data_type_t types[LVT_N_DTYPES] = {
        [LVT_F32] = dnnl_f32, [LVT_BF16] = dnnl_bf16, [LVT_F64] = dnnl_data_type_undef,
        [LVT_I32] = dnnl_s32, [LVT_U8] = dnnl_u8,     [LVT_BOOL] = dnnl_data_type_undef};
    return types[dtype];
}

/* What oneDNN calls the implementation; "" when it does not say. */
static const char *implementation(dnnl_primitive_desc_t pd) {
    const char *info = NULL;
    bool said = dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, (void *)&info) == dnnl_success;
    return said && info ? info : "";
}

/* ---- versions ------------------------------------------------------------------------------------------ */

#if DNNL_VERSION_MAJOR >= 3

lvt_md lvt_md_strided(int rank, const int64_t *dims, dnnl_data_type_t type, const int64_t *strides) {
    lvt_md md = NULL;
    return dnnl_memory_desc_create_with_strides(&md, rank, dims, type, strides) == dnnl_success ? md : NULL;
}

lvt_md lvt_md_any(int rank, const int64_t *dims, dnnl_data_type_t type) {
    lvt_md md = NULL;
    return dnnl_memory_desc_create_with_tag(&md, rank, dims, type, dnnl_format_tag_any) == dnnl_success
               ? md
               : NULL;
}

void lvt_md_free(lvt_md md) {
    if (md)
        dnnl_memory_desc_destroy(md);
}

/* The transpose of oneDNN 3.7.2, and of later sources too, writes plain results as if they had no gaps. Then:
 * the same layout without them, where it is to write first; else NULL. */
static lvt_md without_gaps(dnnl_primitive_desc_t reorder, lvt_md_ref to) {
    int rank = 0, blocks = 0;
    const dnnl_dims_t *dims, *strides;
    dnnl_data_type_t type;
    if (!strstr(implementation(reorder), "brgemm_matmul_copy_reorder") ||
        dnnl_memory_desc_query(to, dnnl_query_inner_nblks_s32, &blocks) != dnnl_success || blocks ||
        dnnl_memory_desc_query(to, dnnl_query_ndims_s32, &rank) != dnnl_success ||
        dnnl_memory_desc_query(to, dnnl_query_dims, &dims) != dnnl_success ||
        dnnl_memory_desc_query(to, dnnl_query_strides, &strides) != dnnl_success ||
        dnnl_memory_desc_query(to, dnnl_query_data_type, &type) != dnnl_success)
        return NULL;
    int64_t dense[DNNL_MAX_NDIMS], step = 1;
    bool done[DNNL_MAX_NDIMS] = {false}, gaps = false;
    for (int turn = 0; turn < rank; turn++) { /* by rising stride */
        int next = -1;
        for (int i = 0; i < rank; i++)
            if (!done[i] && (next < 0 || (*strides)[i] < (*strides)[next] ||
                             ((*strides)[i] == (*strides)[next] && (*dims)[i] < (*dims)[next])))
                next = i;
        done[next] = true;
        gaps = gaps || ((*dims)[next] > 1 && (*strides)[next] != step);
        dense[next] = step;
        step *= (*dims)[next];
    }
    return gaps ? lvt_md_strided(rank, *dims, type, dense) : NULL;
}

dnnl_status_t lvt_post_activation(dnnl_post_ops_t list, dnnl_alg_kind_t kind, float alpha) {
    return dnnl_post_ops_append_eltwise(list, kind, alpha, 0);
}

dnnl_status_t lvt_pd_matmul(lvt_onednn *c, lvt_md_ref a, lvt_md_ref b, lvt_md_ref bias, lvt_md_ref y,
                            dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *out) {
    return dnnl_matmul_primitive_desc_create(out, c->engine, a, b, bias, y, attr);
}

dnnl_status_t lvt_pd_conv(lvt_onednn *c, lvt_op kind, dnnl_alg_kind_t algorithm, lvt_md_ref x, lvt_md_ref w,
                          lvt_md_ref bias, lvt_md_ref y, const lvt_conv_shape *s, dnnl_primitive_attr_t attr,
                          dnnl_primitive_desc_t *out) {
    dnnl_primitive_desc_t forward;
    dnnl_status_t status = dnnl_convolution_forward_primitive_desc_create(
        &forward, c->engine, dnnl_forward_training, algorithm, x, w, bias, y, s->stride, s->dilation,
        s->before, s->after, attr);
    if (status != dnnl_success || kind == LVT_OP_conv2d) {
        *out = status == dnnl_success ? forward : NULL;
        return status;
    }
    if (kind == LVT_OP_conv2d_grad_input)
        status = dnnl_convolution_backward_data_primitive_desc_create(out, c->engine, algorithm, x, w, y,
                                                                      s->stride, s->dilation, s->before,
                                                                      s->after, forward, c->attr);
    else
        status = dnnl_convolution_backward_weights_primitive_desc_create(
            out, c->engine, algorithm, x, w, NULL, y, s->stride, s->dilation, s->before, s->after, forward,
            c->attr);
    dnnl_primitive_desc_destroy(forward);
    return status;
}

#else /* 2.x: descriptors are structs, and an operation descriptor comes before the primitive descriptor */

lvt_md lvt_md_strided(int rank, const int64_t *dims, dnnl_data_type_t type, const int64_t *strides) {
    lvt_md md = calloc(1, sizeof *md);
    if (md && dnnl_memory_desc_init_by_strides(md, rank, dims, type, strides) == dnnl_success)
        return md;
    free(md);
    return NULL;
}

lvt_md lvt_md_any(int rank, const int64_t *dims, dnnl_data_type_t type) {
    lvt_md md = calloc(1, sizeof *md);
    if (md && dnnl_memory_desc_init_by_tag(md, rank, dims, type, dnnl_format_tag_any) == dnnl_success)
        return md;
    free(md);
    return NULL;
}

void lvt_md_free(lvt_md md) {
    free(md);
}

static lvt_md without_gaps(dnnl_primitive_desc_t reorder, lvt_md_ref to) {
    (void)reorder;
    (void)to;
    return NULL;
}

dnnl_status_t lvt_post_activation(dnnl_post_ops_t list, dnnl_alg_kind_t kind, float alpha) {
    return dnnl_post_ops_append_eltwise(list, 1, kind, alpha, 0);
}

dnnl_status_t lvt_pd_matmul(lvt_onednn *c, lvt_md_ref a, lvt_md_ref b, lvt_md_ref bias, lvt_md_ref y,
                            dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *out) {
    dnnl_matmul_desc_t d;
    dnnl_status_t status = dnnl_matmul_desc_init(&d, a, b, bias, y);
    return status == dnnl_success ? dnnl_primitive_desc_create(out, &d, attr, c->engine, NULL) : status;
}

dnnl_status_t lvt_pd_conv(lvt_onednn *c, lvt_op kind, dnnl_alg_kind_t algorithm, lvt_md_ref x, lvt_md_ref w,
                          lvt_md_ref bias, lvt_md_ref y, const lvt_conv_shape *s, dnnl_primitive_attr_t attr,
                          dnnl_primitive_desc_t *out) {
    dnnl_convolution_desc_t d;
    dnnl_primitive_desc_t forward;
    dnnl_status_t status = dnnl_dilated_convolution_forward_desc_init(
        &d, dnnl_forward_training, algorithm, x, w, bias, y, s->stride, s->dilation, s->before, s->after);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(&forward, &d, attr, c->engine, NULL);
    if (status != dnnl_success || kind == LVT_OP_conv2d) {
        *out = status == dnnl_success ? forward : NULL;
        return status;
    }
    if (kind == LVT_OP_conv2d_grad_input)
        status = dnnl_dilated_convolution_backward_data_desc_init(&d, algorithm, x, w, y, s->stride,
                                                                  s->dilation, s->before, s->after);
    else
        status = dnnl_dilated_convolution_backward_weights_desc_init(&d, algorithm, x, w, NULL, y, s->stride,
                                                                     s->dilation, s->before, s->after);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(out, &d, c->attr, c->engine, forward);
    dnnl_primitive_desc_destroy(forward);
    return status;
}

#endif

dnnl_status_t lvt_post_add(dnnl_post_ops_t list, lvt_md_ref added) {
    return dnnl_post_ops_append_binary(list, dnnl_binary_add, added);
}

/* ---- calls --------------------------------------------------------------------------------------------- */

/* Room for `bytes` of scratch that no other part of the kernel uses. */
static lvt_at scratch_at(lvt_onednn_kernel *k, size_t bytes) {
    lvt_at at = {LVT_AT_SCRATCH, 0, k->scratch};
    k->scratch += (bytes + 63) / 64 * 64;
    return at;
}

/* The same of kept memory. */
static lvt_at kept_at(lvt_onednn_kernel *k, size_t bytes) {
    lvt_at at = {LVT_AT_KEPT, 0, k->kept};
    k->kept += (bytes + 63) / 64 * 64;
    return at;
}

bool lvt_at_steady(const lvt_kernel_request *r, lvt_at at) {
    return at.where == LVT_AT_OPERAND && r->steady && r->steady[at.index];
}

lvt_at lvt_packed_at(lvt_onednn_kernel *k, const lvt_kernel_request *r, lvt_at plain, size_t bytes) {
    return lvt_at_steady(r, plain) ? kept_at(k, bytes) : scratch_at(k, bytes);
}

bool lvt_pd_is_winograd(dnnl_primitive_desc_t pd) {
    return strstr(implementation(pd), "wino") != NULL;
}

bool lvt_pd_is_reference(dnnl_primitive_desc_t pd) {
    const char *info = implementation(pd);
    return !strncmp(info, "ref", 3) || strstr(info, ":ref") != NULL;
}

static dnnl_status_t add_memory(lvt_onednn_kernel *k, lvt_call *call, int arg, lvt_md_ref md, lvt_at at) {
    dnnl_memory_t memory;
    dnnl_status_t status = dnnl_memory_create(&memory, md, k->context->engine, DNNL_MEMORY_NONE);
    if (status == dnnl_success) {
        call->args[call->n] = (dnnl_exec_arg_t){arg, memory};
        call->at[call->n++] = at;
    }
    return status;
}

static dnnl_status_t add_call(lvt_onednn_kernel *k, lvt_call *list, int *length, int most,
                              dnnl_primitive_desc_t pd, int n, const int *arg, const lvt_md_ref *md,
                              const lvt_at *at) {
    dnnl_status_t status = *length < most && n < LVT_MAX_ARGS ? dnnl_success : dnnl_runtime_error;
    if (status == dnnl_success) {
        lvt_call *call = &list[*length];
        status = dnnl_primitive_create(&call->primitive, pd);
        *length += status == dnnl_success;
        for (int i = 0; i < n && status == dnnl_success; i++)
            status = add_memory(k, call, arg[i], md[i], at[i]);
        lvt_md_ref pad = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
        size_t bytes = pad ? dnnl_memory_desc_get_size(pad) : 0;
        if (status == dnnl_success && bytes)
            status = add_memory(k, call, DNNL_ARG_SCRATCHPAD, pad, scratch_at(k, bytes));
    }
    return status;
}

dnnl_status_t lvt_call_add(lvt_onednn_kernel *k, dnnl_primitive_desc_t pd, int n, const int *arg,
                           const lvt_md_ref *md, const lvt_at *at) {
    return add_call(k, k->calls, &k->n_calls, LVT_MAX_CALLS, pd, n, arg, md, at);
}

dnnl_status_t lvt_pieces_begin(lvt_onednn_kernel *k, int n) {
    k->pieces = calloc((size_t)n, sizeof *k->pieces);
    k->max_pieces = n;
    return k->pieces ? dnnl_success : dnnl_out_of_memory;
}

dnnl_status_t lvt_piece_add(lvt_onednn_kernel *k, dnnl_primitive_desc_t pd, int n, const int *arg,
                            const lvt_md_ref *md, const lvt_at *at) {
    dnnl_status_t status = add_call(k, k->pieces, &k->n_pieces, k->max_pieces, pd, n, arg, md, at);
    if (status == dnnl_success)
        status = dnnl_stream_create(&k->pieces[k->n_pieces - 1].stream, k->context->engine,
                                    dnnl_stream_default_flags);
    return status;
}

/* steps: how many copies it may be. */
static dnnl_status_t reorder(lvt_onednn_kernel *k, int steps, lvt_md_ref from, lvt_at from_at, lvt_md_ref to,
                             lvt_at to_at) {
    dnnl_primitive_desc_t pd;
    dnnl_engine_t engine = k->context->engine;
    dnnl_status_t status =
        dnnl_reorder_primitive_desc_create(&pd, from, engine, to, engine, k->context->attr);
    if (status != dnnl_success)
        return status;
    bool once = to_at.where == LVT_AT_KEPT;
    lvt_md between = without_gaps(pd, to);
    if (between) {
        size_t bytes = dnnl_memory_desc_get_size(between);
        lvt_at at = once ? kept_at(k, bytes) : scratch_at(k, bytes);
        status = steps < 2 ? dnnl_unimplemented : reorder(k, 1, from, from_at, between, at);
        if (status == dnnl_success)
            status = reorder(k, 1, between, at, to, to_at);
        lvt_md_free(between);
    } else {
        status = add_call(k, once ? k->prepared : k->calls, once ? &k->n_prepared : &k->n_calls,
                          once ? LVT_MAX_PREPARED : LVT_MAX_CALLS, pd, 2,
                          (const int[]){DNNL_ARG_FROM, DNNL_ARG_TO}, (const lvt_md_ref[]){from, to},
                          (const lvt_at[]){from_at, to_at});
    }
    dnnl_primitive_desc_destroy(pd);
    return status;
}

dnnl_status_t lvt_call_reorder(lvt_onednn_kernel *k, lvt_md_ref from, lvt_at from_at, lvt_md_ref to,
                               lvt_at to_at) {
    return reorder(k, 2, from, from_at, to, to_at);
}

/* ---- the kernel ---------------------------------------------------------------------------------------- */

static void *place(const lvt_onednn_kernel *k, const lvt_at *at, void *const *operands, void *const *results,
                   void *scratch) {
    switch (at->where) {
    case LVT_AT_OPERAND:
        return (char *)operands[at->index] + at->offset;
    case LVT_AT_RESULT:
        return (char *)results[at->index] + at->offset;
    case LVT_AT_KEPT:
        return (char *)k->kept_base + at->offset;
    default:
        return (char *)scratch + at->offset;
    }
}

static void run_calls(lvt_onednn_kernel *k, lvt_call *calls, int n, void *const *operands,
                      void *const *results, void *scratch) {
    for (int i = 0; i < n; i++) {
        lvt_call *call = &calls[i];
        for (int a = 0; a < call->n; a++) {
            void *p = place(k, &call->at[a], operands, results, scratch);
            if (p != call->last[a]) { /* only inputs move from run to run */
                dnnl_memory_set_data_handle(call->args[a].memory, p);
                call->last[a] = p;
            }
        }
        dnnl_primitive_execute(call->primitive, call->stream ? call->stream : k->context->stream, call->n,
                               call->args);
    }
}

typedef struct team_run {
    lvt_onednn_kernel *k;
    void *const *operands, *const *results;
    void *scratch;
} team_run;

static void run_piece(void *user, int64_t chunk, int thread) {
    const team_run *t = user;
    (void)thread;
    run_calls(t->k, &t->k->pieces[chunk], 1, t->operands, t->results, t->scratch);
}

static void run_own(lvt_onednn_kernel *k, void *const *operands, void *const *results, void *scratch) {
    const float *added[LVT_PRODUCT_STEPS] = {NULL};
    for (int i = 0; i < k->own.n_steps; i++)
        added[i] = operands[k->own_added[i]];
    lvt_product_run(&k->own, place(k, &k->own_at[0], operands, results, scratch),
                    k->own.packed ? k->kept_base : place(k, &k->own_at[1], operands, results, scratch),
                    place(k, &k->own_at[2], operands, results, scratch), added, scratch);
}

void lvt_onednn_run(lvt_kernel *base, void *const *operands, void *const *results, void *scratch) {
    lvt_onednn_kernel *k = (lvt_onednn_kernel *)base;
    run_calls(k, k->calls, k->n_calls, operands, results, scratch);
    if (k->n_pieces)
        lvt_parallel(k->n_pieces, k->n_pieces, run_piece, &(team_run){k, operands, results, scratch});
    if (k->own.m)
        run_own(k, operands, results, scratch);
}

void lvt_onednn_prepare(lvt_kernel *base, void *const *operands, void *scratch, void *kept) {
    lvt_onednn_kernel *k = (lvt_onednn_kernel *)base;
    k->kept_base = kept;
    run_calls(k, k->prepared, k->n_prepared, operands, NULL, scratch);
    if (k->own.packed)
        lvt_product_pack(&k->own, place(k, &k->own_at[1], operands, NULL, scratch), kept);
}

static void clear_calls(lvt_call *calls, int n) {
    for (int i = 0; i < n; i++) {
        for (int a = 0; a < calls[i].n; a++)
            dnnl_memory_destroy(calls[i].args[a].memory);
        dnnl_primitive_destroy(calls[i].primitive);
        if (calls[i].stream)
            dnnl_stream_destroy(calls[i].stream);
    }
}

void lvt_pieces_drop(lvt_onednn_kernel *k) {
    clear_calls(k->pieces, k->n_pieces);
    free(k->pieces);
    k->pieces = NULL;
    k->n_pieces = k->max_pieces = 0;
}

static void kernel_clear(lvt_onednn_kernel *k) {
    clear_calls(k->calls, k->n_calls);
    clear_calls(k->prepared, k->n_prepared);
    lvt_pieces_drop(k);
}

void lvt_onednn_kernel_free(lvt_kernel *base) {
    kernel_clear((lvt_onednn_kernel *)base);
    free(base);
}

dnnl_status_t lvt_onednn_attr(dnnl_primitive_attr_t *out) {
    dnnl_status_t status = dnnl_primitive_attr_create(out);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(*out, dnnl_scratchpad_mode_user);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_fpmath_mode(*out, dnnl_fpmath_mode_strict);
    return status;
}

lvt_status lvt_onednn_new(lvt_onednn **out, lvt_diag *diag) {
    *out = NULL;
    lvt_onednn *c = calloc(1, sizeof *c);
    if (!c)
        return lvt_no_memory(diag, NULL);
    dnnl_status_t status = dnnl_engine_create(&c->engine, dnnl_cpu, 0);
    if (status == dnnl_success)
        status = dnnl_stream_create(&c->stream, c->engine, dnnl_stream_default_flags);
    if (status == dnnl_success)
        status = lvt_onednn_attr(&c->attr);
    if (status != dnnl_success) {
        lvt_onednn_free(c);
        return lvt_error(diag, status == dnnl_out_of_memory ? LVT_NOMEM : LVT_INTERNAL, NULL, LVT_NOWHERE,
                         "oneDNN cannot be set up (its status is %d)", (int)status);
    }
    *out = c;
    return LVT_OK;
}

void lvt_onednn_free(lvt_onednn *c) {
    if (!c)
        return;
    if (c->attr)
        dnnl_primitive_attr_destroy(c->attr);
    if (c->stream)
        dnnl_stream_destroy(c->stream);
    if (c->engine)
        dnnl_engine_destroy(c->engine);
    free(c);
}
