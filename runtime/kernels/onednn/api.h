/* oneDNN's C interface as the kernels here use it, the same for its versions 2.6 and 3.x, and the kernel that
 * is a short list of primitives.
 *
 * Invariants: a primitive's scratchpad and every packed copy lie in the session's scratch; running allocates
 * nothing of ours. May not know: the graph beyond one node. */
#ifndef LVT_KERNELS_ONEDNN_API_H
#define LVT_KERNELS_ONEDNN_API_H

#include "runtime/kernels/kernel.h"
#include "ir/epilogue.h"
#include "runtime/kernels/vector/product.h"

#include <oneapi/dnnl/dnnl.h>

struct lvt_onednn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_attr_t attr; /* scratchpad given by the caller */
};

/* A memory descriptor we own, and one to look at. */
#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t lvt_md;
typedef const_dnnl_memory_desc_t lvt_md_ref;
enum { LVT_ONEDNN_ANY_STRIDES = 0 }; /* whether matrix products are right with any strides */
#else
typedef dnnl_memory_desc_t *lvt_md;
typedef const dnnl_memory_desc_t *lvt_md_ref;
enum { LVT_ONEDNN_ANY_STRIDES = 1 };
#endif

/* Element type of oneDNN, dnnl_data_type_undef when it has none. */
dnnl_data_type_t lvt_onednn_dtype(uint8_t dtype);
/* Descriptors by strides (elements) or of a layout the primitive may choose; NULL when refused or out of
 * memory. Freed with lvt_md_free. */
lvt_md lvt_md_strided(int rank, const int64_t *dims, dnnl_data_type_t type, const int64_t *strides);
lvt_md lvt_md_any(int rank, const int64_t *dims, dnnl_data_type_t type);
void lvt_md_free(lvt_md md);

/* A new attribute: scratchpad given by the caller, products of f32 in f32 whatever ONEDNN_DEFAULT_FPMATH_MODE
 * says. Not NULL after an error after which it has to be destroyed. */
dnnl_status_t lvt_onednn_attr(dnnl_primitive_attr_t *out);
/* Post-ops of an attribute: an activation; the addition of a tensor of that descriptor. */
dnnl_status_t lvt_post_activation(dnnl_post_ops_t list, dnnl_alg_kind_t kind, float alpha);
dnnl_status_t lvt_post_add(dnnl_post_ops_t list, lvt_md_ref added);

/* Primitive descriptors; dnnl_unimplemented and dnnl_invalid_arguments mean "not these layouts". */
/* bias: NULL where there is none; attr: the context's, or one with post-ops. */
dnnl_status_t lvt_pd_matmul(lvt_onednn *c, lvt_md_ref a, lvt_md_ref b, lvt_md_ref bias, lvt_md_ref y,
                            dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *out);
typedef struct lvt_conv_shape {
    dnnl_dims_t stride, dilation, before, after; /* rows, columns; dilation counts from 0 as in oneDNN */
} lvt_conv_shape;
/* kind: LVT_OP_conv2d, _grad_input or _grad_weight; x, w, y are the descriptors of image, weights and result
 * whichever of them is computed; algorithm: dnnl_convolution_direct or _winograd; bias and attr as above, of
 * gradients NULL and the context's. */
dnnl_status_t lvt_pd_conv(lvt_onednn *c, lvt_op kind, dnnl_alg_kind_t algorithm, lvt_md_ref x, lvt_md_ref w,
                          lvt_md_ref bias, lvt_md_ref y, const lvt_conv_shape *s, dnnl_primitive_attr_t attr,
                          dnnl_primitive_desc_t *out);

/* ---- the kernel ---------------------------------------------------------------------------------------- */

/* Where an argument of a primitive is at run time. */
typedef enum lvt_where { LVT_AT_OPERAND, LVT_AT_RESULT, LVT_AT_SCRATCH, LVT_AT_KEPT } lvt_where;
typedef struct lvt_at {
    lvt_where where;
    uint32_t index; /* of operand or result */
    size_t offset;  /* bytes */
} lvt_at;

enum { LVT_MAX_ARGS = 5 + LVT_EPILOGUE_MOST, LVT_MAX_CALLS = 5, LVT_MAX_PREPARED = 3 };
typedef struct lvt_call {
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t args[LVT_MAX_ARGS];
    lvt_at at[LVT_MAX_ARGS];
    void *last[LVT_MAX_ARGS]; /* pointer the memory object has now */
    int n;
    dnnl_stream_t stream; /* of a piece, which runs beside others; NULL: the context's */
} lvt_call;
typedef struct lvt_onednn_kernel {
    lvt_kernel base;
    lvt_onednn *context;
    lvt_call calls[LVT_MAX_CALLS], prepared[LVT_MAX_PREPARED]; /* at each run; when steady operands changed */
    int n_calls, n_prepared;
    size_t scratch, kept; /* bytes laid out so far */
    void *kept_base;      /* once prepared */
    lvt_call *pieces;     /* primitives of one thread each, run by the team after the calls */
    int n_pieces, max_pieces;
    lvt_product own; /* instead of all these where it has rows: not oneDNN's */
    lvt_at own_at[3];
    uint32_t own_added[LVT_PRODUCT_STEPS]; /* operands that its steps add */
} lvt_onednn_kernel;

/* Appends the primitive of pd with its arguments and its scratchpad; pd and descriptors stay the caller's. */
dnnl_status_t lvt_call_add(lvt_onednn_kernel *k, dnnl_primitive_desc_t pd, int n, const int *arg,
                           const lvt_md_ref *md, const lvt_at *at);
/* Room for that many pieces; between this and the last of them primitive descriptors are to be made with a
 * team of one thread. */
dnnl_status_t lvt_pieces_begin(lvt_onednn_kernel *k, int n);
dnnl_status_t lvt_piece_add(lvt_onednn_kernel *k, dnnl_primitive_desc_t pd, int n, const int *arg,
                            const lvt_md_ref *md, const lvt_at *at);
/* Forgets the pieces. */
void lvt_pieces_drop(lvt_onednn_kernel *k);
/* Appends a copy between layouts; one into kept memory is made when the kernel is prepared, the others at
 * each run. */
dnnl_status_t lvt_call_reorder(lvt_onednn_kernel *k, lvt_md_ref from, lvt_at from_at, lvt_md_ref to,
                               lvt_at to_at);
/* Room for a packed copy of an operand or result: kept where that operand is steady. */
lvt_at lvt_packed_at(lvt_onednn_kernel *k, const lvt_kernel_request *r, lvt_at plain, size_t bytes);
/* The operand is the same at every run. */
bool lvt_at_steady(const lvt_kernel_request *r, lvt_at at);
/* True when the implementation is oneDNN's plain C++ reference, which is hundreds of times slower than the
 * others. */
bool lvt_pd_is_reference(dnnl_primitive_desc_t pd);
bool lvt_pd_is_winograd(dnnl_primitive_desc_t pd);

/* ---- what a product does to its result before it leaves the registers (ir/epilogue.h) ---- */

typedef struct lvt_tail {
    lvt_epilogue form;
    lvt_md bias; /* NULL: none */
    dnnl_primitive_attr_t attr;
    lvt_onednn *context;
} lvt_tail;
/* The node itself, or the product of a fused node, with nothing to do yet. dnnl_unimplemented: it is no
 * epilogue. */
dnnl_status_t lvt_tail_find(lvt_onednn *c, const lvt_node *node, lvt_tail *t);
/* Makes bias and attr. added: descriptor of the operands that are added, as the primitive sees the result;
 * bias_rank: dims of the bias's descriptor, all 1 but the one of the channels. */
dnnl_status_t lvt_tail_make(lvt_tail *t, lvt_md_ref added, int bias_rank, int channel_dim, int64_t channels);
/* Appends the arguments that the tail needs to n arguments (room for LVT_MAX_ARGS); returns how many there
 * are then. */
int lvt_tail_args(const lvt_tail *t, lvt_md_ref added, int n, int *arg, lvt_md_ref *md, lvt_at *at);
void lvt_tail_free(lvt_tail *t);

/* Fill an empty kernel for the node. */
dnnl_status_t lvt_onednn_matmul(lvt_onednn_kernel *k, const lvt_kernel_request *r, lvt_tail *t);
dnnl_status_t lvt_onednn_conv(lvt_onednn_kernel *k, const lvt_kernel_request *r, lvt_tail *t);

/* run, prepare and free of every kernel of the family. */
void lvt_onednn_run(lvt_kernel *base, void *const *operands, void *const *results, void *scratch);
void lvt_onednn_prepare(lvt_kernel *base, void *const *operands, void *scratch, void *kept);
void lvt_onednn_kernel_free(lvt_kernel *base);

#endif
