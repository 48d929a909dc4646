/* What the emitters of ops share: values on their way to ONNX.
 *
 * Invariants: a value is known by number (`known`) or by the name of a tensor, in the dims order of the graph
 * (form[0], which may have fewer elements than the value where ONNX broadcasts by itself: `have`) or with
 * channels before rows (form[1], always whole). Either is made from the other when asked for. May not know:
 * files. */
#ifndef LVT_ONNX_EMIT_H
#define LVT_ONNX_EMIT_H

#include "writer.h"
#include "ir/interp.h"

typedef struct lvt_shape2 { /* a type at two batch sizes; where dims differ they grow with the batch */
    lvt_type a, b;
} lvt_shape2;

typedef struct lvt_onnx_value {
    const char *form[2];
    lvt_shape2 have;     /* of form[0] or known */
    const double *known; /* elements of have.a, or NULL */
    const char *label;   /* what to call the tensor of known values; NULL: by scope */
    const char *scope;
} lvt_onnx_value;

typedef enum lvt_onnx_states {
    LVT_ONNX_CONSTANTS,   /* numbers like others, computed with where that is possible */
    LVT_ONNX_INPUTS,      /* inputs with default values */
    LVT_ONNX_INITIALIZERS /* tensors that whoever runs the model may change */
} lvt_onnx_states;

typedef struct lvt_emitter {
    lvt_onnx_writer w;
    lvt_onnx_states states;
    const char **state_names;          /* of initialisers, by state; NULL: not there yet */
    const Onnx__GraphProto *inference; /* the graph beside which this one runs, or NULL */
    lvt_arena *arena;
    const lvt_graph *g, *h; /* h: at the other batch size; g where there is none */
    lvt_onnx_value *values;
    int64_t batch_a, batch_b;
    const char *batch; /* tensor i64[1]: the batch, or NULL until asked for */
    const char *batch_input;
    const char *scope;
    const char *why; /* set by an emitter that cannot */
} lvt_emitter;

/* Emits one node; NULL in the table: there is no standard form. False: e->why says why not. */
typedef bool (*lvt_emit_fn)(lvt_emitter *e, const lvt_node *n);
lvt_emit_fn lvt_onnx_emitter(const lvt_node *n, int opset);

lvt_shape2 lvt_emit_shape(const lvt_emitter *e, lvt_value v);
bool lvt_shape2_fixed(const lvt_shape2 *x);
bool lvt_shape2_equal(const lvt_shape2 *x, const lvt_shape2 *y);
/* The name of a constant with the dims to reshape to; NULL: out of memory. */
const char *lvt_emit_reshape_target(lvt_emitter *e, const lvt_shape2 *s);

const char *lvt_emit_use(lvt_emitter *e, lvt_value v);  /* any shape that broadcasts to the value's */
const char *lvt_emit_full(lvt_emitter *e, lvt_value v); /* the value's own shape */
const char *lvt_emit_nchw(lvt_emitter *e, lvt_value v); /* whole, rank 4, channels second */
void lvt_emit_set(lvt_emitter *e, lvt_value v, const char *name);
void lvt_emit_set_nchw(lvt_emitter *e, lvt_value v, const char *name);
/* A tensor for dims (int64): constant, or made of the batch at run time. */
const char *lvt_emit_dims(lvt_emitter *e, const lvt_shape2 *s);
const char *lvt_emit_number(lvt_emitter *e, lvt_dtype t, double x); /* rank 0 */
const char *lvt_emit_doubles(lvt_emitter *e, const char *wanted, const lvt_type *t, const double *x);

/* Shorthand: a node with up to four inputs. */
const char *lvt_emit1(lvt_emitter *e, const char *op, const char *a);
const char *lvt_emit2(lvt_emitter *e, const char *op, const char *a, const char *b);
const char *lvt_emit_transpose(lvt_emitter *e, const char *x, int rank, const int64_t *order);

bool lvt_emit_pointwise(lvt_emitter *e, const lvt_node *n);
bool lvt_emit_conv(lvt_emitter *e, const lvt_node *n);
bool lvt_emit_conv_grad_input(lvt_emitter *e, const lvt_node *n);
bool lvt_emit_conv_grad_weight(lvt_emitter *e, const lvt_node *n);
bool lvt_emit_max_pool(lvt_emitter *e, const lvt_node *n);
bool lvt_emit_max_pool_grad(lvt_emitter *e, const lvt_node *n);
bool lvt_emit_avg_pool(lvt_emitter *e, const lvt_node *n);
bool lvt_emit_avg_pool_grad(lvt_emitter *e, const lvt_node *n);

#endif
