/* What the builders of imported operators share.
 *
 * Invariants: a builder gives its results with lvt_im_out, or says why it cannot; tensors of the file stay in
 * the file until somebody asks for them as values or as numbers. May not know: files. */
#ifndef LVT_ONNX_IMPORTER_H
#define LVT_ONNX_IMPORTER_H

#include "import.h"
#include "ir/build.h"
#include "ir/interp.h"

#include <onnx.pb-c.h>

enum { LVT_IM_OUTPUTS = 64 };

typedef struct lvt_im_value {
    const char *name;
    lvt_value value;                 /* LVT_NONE until asked for, or for ever when its node failed */
    const Onnx__TensorProto *tensor; /* of the file, or NULL */
    uint32_t weight;                 /* number of the initialiser: becomes a state when it is a float */
    const char *called;              /* the state's name where the file's is invented, or NULL */
    bool reserved;                   /* no tensor, but the name of a state */
    int type;                        /* ONNX's; 0: not known */
    size_t of_node;                  /* of a copy: the node that it was made for */
    uint32_t uses;                   /* of a tensor of the file, by the nodes before the one at hand */
    bool failed;
    bool empty;  /* it has no elements: there is no value, but Concat and lists of numbers take it */
    bool wanted; /* some output needs it */
    bool asked;  /* it is one */
} lvt_im_value;

typedef struct lvt_onnx_weight { /* what is known of an initialiser that was used as a state */
    lvt_type type;
    lvt_init init;
    void *packed; /* of the module; NULL: not used yet */
    bool fixed;   /* it looks like a mask or table */
    bool uniform; /* all its elements are equal, and it has more than one */
} lvt_onnx_weight;

struct lvt_onnx_file {
    Onnx__ModelProto *model;
    const Onnx__GraphProto *graph;
    char *name, *folder; /* folder NULL: no external data */
    int opset;
    lvt_onnx_weight *weights; /* one an initialiser */
    const Onnx__ValueInfoProto **inputs;
    size_t n_inputs;
    bool told;       /* that initialisers were copied */
    bool told_fixed; /* that parameters look like masks */
    bool told_wide;  /* that numbers may leave 32 bits */
};
/* Fills f->inputs and makes room for f->weights: inputs that are initialisers too are taken as these by
 * default. False: out of memory. */
bool lvt_onnx_find_inputs(lvt_onnx_file *f);

/* It can be read: there is a value or will be, there is nothing in it, or its mistake was reported. */
static inline bool lvt_im_made(const lvt_im_value *v) {
    return v->name && (v->value != LVT_NONE || v->tensor || v->failed || v->empty);
}

typedef struct lvt_im_range { /* of whole numbers, ends included; -INFINITY to INFINITY: not known */
    double low, high;
} lvt_im_range;

typedef struct lvt_importer {
    lvt_onnx_file *file;
    const lvt_onnx_use *use;
    lvt_module *m;
    lvt_graph *g;
    lvt_builder b;
    lvt_arena *arena; /* scratch */
    lvt_diag *diag;
    const char *folder;
    const lvt_onnx_import *options;
    int opset;
    lvt_diag *aside;      /* what the builder says of the node at hand */
    lvt_im_value *values; /* hash table by name */
    size_t cap_values, n_reserved;
    bool sizes_given;        /* of some dim that the file leaves open */
    bool tied;               /* uses of one initialiser are one state, whatever it holds */
    const char *first_fixed; /* a parameter that looks like a mask or a table */
    uint32_t n_fixed;
    uint32_t n_copies;        /* states beside those of the initialisers' names */
    const char *first_copied; /* the initialiser */
    bool statistics_copied;   /* among them are some that are not uniform */
    lvt_im_range *ranges;     /* by value of the graph; NaN: not known yet */
    uint32_t n_ranges, n_wide;
    const char *first_wide, *first_wide_op; /* of the nodes whose numbers may leave 32 bits */
    /* of the node at hand */
    const Onnx__NodeProto *n;
    const struct lvt_im_row *row;
    size_t index; /* of the node of the file's graph that it is, or in which it is */
    lvt_value out[LVT_IM_OUTPUTS];
    uint64_t attributes_read, inputs_read; /* by the builder, of the first 64 */
    const Onnx__TensorProto *tensor;       /* its only result as it stands in the file, or NULL */
    bool nothing;                          /* its only result is empty */
    uint64_t empty_results;                /* those of several that are empty */
    const char *empty; /* an input without elements that was asked for as a value, or NULL */
    char why[400];
} lvt_importer;

/* False: why it cannot is in im->why (lvt_im_no), or reported already. */
typedef bool (*lvt_im_fn)(lvt_importer *im);
typedef struct lvt_im_row {
    const char *op;
    lvt_im_fn build;
    int code; /* free for the builder: lvt_im_code */
} lvt_im_row;
/* Ended by a row without name. */
extern const lvt_im_row lvt_im_math[], lvt_im_shapes[], lvt_im_indices[], lvt_im_nets[], lvt_im_pools[],
    lvt_im_matrices[], lvt_im_losses[], lvt_im_sums[], lvt_im_grids[], lvt_im_quantised[], lvt_im_flows[],
    lvt_im_attentions[], lvt_im_windows[];
const lvt_im_row *lvt_im_find(const char *op);
/* Of the node at hand, for messages: the use in the model file, or the node's number in the file. */
lvt_pos lvt_im_place(const lvt_importer *im);
/* The entry of the table for that name; its `name` is NULL when there is none. */
lvt_im_value *lvt_im_slot(lvt_importer *im, const char *name);

/* Names of the outputs that are asked for: those of the file, or of the use. */
size_t lvt_im_n_outputs(const lvt_importer *im);
const char *lvt_im_output_name(const lvt_importer *im, size_t i);

/* A float initialiser becomes a state of the slot's name, other tensors of the file are constants: large ones as
 * states too, which nothing updates, since values of states are bytes beside the program and those of constants
 * decimal numbers in its text. LVT_NONE: reported. */
lvt_value lvt_im_materialise(lvt_importer *im, const lvt_im_value *v, bool trainable);
/* The initialiser that the node gives another name, if it is such an Identity of PyTorch's: its result is an
 * initialiser too, equal but not the same. Else NULL. */
const lvt_im_value *lvt_im_renamed(lvt_importer *im, const Onnx__NodeProto *n);
/* After a node of the file, also one that is left out. */
void lvt_im_count_uses(lvt_importer *im, const Onnx__NodeProto *n);
/* What input i of the node at hand, tensor v, stands for: an initialiser with all elements equal is one of
 * its own for each input that it is, but for the first. NULL: the reason is in im->why. */
lvt_im_value *lvt_im_of_its_own(lvt_importer *im, size_t i, lvt_im_value *v);
/* The same of a running statistic, which each norm moves for itself: one of its own for each use whatever it
 * holds, but in a file alone, where nothing moves. */
lvt_im_value *lvt_im_own_statistic(lvt_importer *im, size_t i, lvt_im_value *v);
/* Warns of initialisers that became several, once a file. */
void lvt_im_tell_copies(lvt_importer *im);

/* Builds a node of im->index, which may be one inside its attributes; leaves im->n, out and why changed. An
 * error is reported, and the node's outputs are poison. */
lvt_status lvt_im_node(lvt_importer *im, const Onnx__NodeProto *n);
/* The value of a tensor by name; LVT_NONE: there is none before this node, or it could not be made. */
lvt_value lvt_im_named(lvt_importer *im, const char *name);

/* Whether the builder has looked at all that the node says and reads: what it does not know it does not look at.
 * False: with the reason. */
bool lvt_im_all_read(lvt_importer *im);
bool lvt_im_no(lvt_importer *im, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Of the node at hand, which is built all the same. */
void lvt_im_warn(lvt_importer *im, const char *format, ...) __attribute__((format(printf, 2, 3)));
int lvt_im_code(const lvt_importer *im);
bool lvt_im_has(const lvt_importer *im, size_t i);      /* input i is given */
lvt_value lvt_im_in(lvt_importer *im, size_t i);        /* LVT_NONE: not given, or failed */
lvt_value lvt_im_statistic(lvt_importer *im, size_t i); /* as lvt_im_in; an initialiser that is not trained */
lvt_value lvt_im_fixed(lvt_importer *im,
                       size_t i); /* a table or mask: not trained, and one for all its uses */
lvt_type lvt_im_type(const lvt_importer *im, lvt_value v); /* a scalar for LVT_NONE */
bool lvt_im_out(lvt_importer *im, lvt_value v);            /* the only result; false for LVT_NONE */
bool lvt_im_out_empty(lvt_importer *im);                   /* the only result, without elements */
bool lvt_im_is_empty(const lvt_importer *im, size_t i);    /* input i is given, without elements */

int64_t lvt_im_int(const lvt_importer *im, const char *name, int64_t or);
double lvt_im_float(const lvt_importer *im, const char *name, double or);
const char *lvt_im_string(lvt_importer *im, const char *name, const char * or);
/* Number of elements, at most `most` (else -1, with the reason); -2: there is no such attribute. */
int lvt_im_ints(lvt_importer *im, const char *name, int most, int64_t *out);
const Onnx__AttributeProto *lvt_im_attr(const lvt_importer *im, const char *name);
/* Numbers of input i, which must be known while importing. -1: they are not, with the reason. */
int lvt_im_numbers(lvt_importer *im, size_t i, int most, double *out);
int lvt_im_list(lvt_importer *im, size_t i, int most, int64_t *out);
/* The list from input i (of newer versions) or attribute `name`; -2: neither is there. */
int lvt_im_either(lvt_importer *im, size_t i, const char *name, int most, int64_t *out);
/* ONNX's type of input i (data_type of TensorProto), 0 where the file does not say. */
int lvt_im_onnx_type(const lvt_importer *im, size_t i);
bool lvt_im_known(const lvt_importer *im, lvt_value v);

lvt_value lvt_im_constant(lvt_importer *im, const lvt_type *t, const double *values);
lvt_value lvt_im_vector(lvt_importer *im, int64_t n, const double *values, lvt_dtype dtype);
lvt_value lvt_im_number(lvt_importer *im, lvt_value like, double x); /* a scalar of its element type */
/* Positions along an axis, i32 of that shape. */
lvt_value lvt_im_iota(lvt_importer *im, int rank, const int64_t *dims, int axis);
/* x with `before` and `after` more elements of that value along an axis; x itself for none. */
lvt_value lvt_im_pad(lvt_importer *im, lvt_value x, int axis, int64_t before, int64_t after, double value);
/* Whether the class of the last dim, one more than i32 `index` has, is the one in the index. */
lvt_value lvt_im_hot(lvt_importer *im, lvt_value index, int64_t classes);
lvt_value lvt_im_tensor_value(lvt_importer *im, const Onnx__TensorProto *t);
/* Tensor t of the file is the only result; read when somebody asks for it. */
bool lvt_im_out_tensor(lvt_importer *im, const Onnx__TensorProto *t);

/* Attributes of a window over x [B,C,d...], of one or two spatial dims: `flat` says that a height of 1 was
 * added. kernel: used where the attribute is missing. False: with the reason. */
typedef struct lvt_im_window {
    int64_t kernel[2], stride[2], padding[4], dilation[2];
    int64_t more[2]; /* by ceil_mode: padding at the end that no mean counts */
    bool flat;
} lvt_im_window;
typedef struct lvt_im_reach {
    int64_t kernel, stride, dilation, before, after, more;
} lvt_im_reach;
/* Of spatial dim d of `spatial`, at most three, whose size is `size`. */
bool lvt_im_reach_of(lvt_importer *im, int spatial, int d, int64_t size, int64_t kernel, bool transposed,
                     lvt_im_reach *r);
bool lvt_im_window_of(lvt_importer *im, const lvt_type *x, const int64_t *kernel, bool transposed,
                      lvt_im_window *w);
/* [B,C,W] to [B,C,1,W] and back, where `flat`. */
lvt_value lvt_im_lift(lvt_importer *im, lvt_value x, bool flat);
lvt_value lvt_im_sink(lvt_importer *im, lvt_value x, bool flat);
/* [C] beside [B,C,...] */
lvt_value lvt_im_channels(lvt_importer *im, lvt_value v, int rank);
/* The convolution that the node describes. */
lvt_value lvt_im_convolve(lvt_importer *im, lvt_value x, lvt_value weight);
/* Channels last, where convolutions and pools have them, and second, where ONNX has them. */
static inline lvt_value lvt_im_last(lvt_importer *im, lvt_value x) {
    return lvt_build_transpose(&im->b, x, (int64_t[]){0, 2, 3, 1});
}
static inline lvt_value lvt_im_second(lvt_importer *im, lvt_value x) {
    return lvt_build_transpose(&im->b, x, (int64_t[]){0, 3, 1, 2});
}
/* Attribute axis, counted from 0; -1 and a reason when it is out of range. */
int lvt_im_axis(lvt_importer *im, int64_t or, int rank);
/* Indices below 0 count from the end. */
lvt_value lvt_im_from_front(lvt_importer *im, lvt_value index, int64_t n);
/* x rounded to the nearest, halves to even. */
lvt_value lvt_im_round(lvt_importer *im, lvt_value x);
/* The p-th root of a sum of powers, without a slope at 0: the norm of zeros has the gradient 0. */
lvt_value lvt_im_root(lvt_importer *im, lvt_value x, double p);

/* Data of a tensor as doubles in `arena`, NULL: reported. dims of 0 are refused. */
double *lvt_onnx_read_tensor(lvt_arena *arena, const Onnx__TensorProto *t, const char *folder, lvt_type *type,
                             lvt_diag *diag);
int lvt_onnx_dtype(int data_type);             /* -1: no such element type here */
const char *lvt_onnx_type_name(int data_type); /* ONNX's: float8e4m3fn */
/* The setting that gives a dim of an input its size: the dim's name, or INPUT.AXIS (in `arena`) for one without a
 * name; NULL for one whose size is in the file. */
const char *lvt_onnx_dim_setting(lvt_arena *arena, const char *input, size_t axis,
                                 const Onnx__TensorShapeProto__Dimension *d);
/* Whether the bytes nest no deeper than `message` may be unpacked. */
/* The bytes of a message that stands in a field which the messages here do not know yet. */
bool lvt_onnx_unknown_message(const ProtobufCMessageUnknownField *f, const uint8_t **data, size_t *size);
/* Puts the nodes of functions in the place of their calls. Errors: LVT_USER, LVT_NOMEM; then the graph is shorter. */
lvt_status lvt_onnx_inline(Onnx__ModelProto *m, const char *file, lvt_diag *diag);
bool lvt_onnx_bounded(const ProtobufCMessageDescriptor *message, const uint8_t *bytes, size_t size,
                      int depth);

/* ---- names of states (import_names.c) ---- */

bool lvt_im_invented_name(const char *name); /* val_74, onnx::MatMul_12 */
/* Gives initialisers of invented names that the node uses first names of its layer. */
void lvt_im_name_by_use(lvt_importer *im, const Onnx__NodeProto *n);
const char *lvt_im_name_of_use(lvt_importer *im, const Onnx__NodeProto *n,
                               size_t i);                           /* of input i; NULL: not known */
bool lvt_im_said_constant(lvt_importer *im, const lvt_im_value *v); /* by the caller's patterns */
bool lvt_im_looks_fixed(const lvt_type *type, const double *x);

/* ---- types and ranges (import_types.c) ---- */

/* ONNX's type of result k of the node at hand; right where it is a type of whole numbers. */
int lvt_im_result_type(lvt_importer *im, size_t k);
/* v wrapped to the numbers of a narrow type, where it may have others; v itself for other types. */
lvt_value lvt_im_wrapped(lvt_importer *im, lvt_value v, int type);
/* After the node at hand was built, from the graph's value `from` on: results of narrow types are wrapped, and it
 * is noted when those of 64 bits, or of 32 unsigned, may not fit into 32. False: with the reason. */
bool lvt_im_in_range(lvt_importer *im, uint32_t from);
void lvt_im_input_range(lvt_importer *im, lvt_value v, int type);
void lvt_im_check_wide_output(lvt_importer *im, const char *name, lvt_value v);
void lvt_im_tell_wide(lvt_importer *im); /* once a file */

/* Short forms of builders. */
static inline lvt_value lvt_im1(lvt_importer *im, lvt_op op, lvt_value x) {
    return lvt_build_unary(&im->b, op, x);
}
static inline lvt_value lvt_im2(lvt_importer *im, lvt_op op, lvt_value x, lvt_value y) {
    return lvt_build_binary(&im->b, op, x, y);
}
/* k op x: where both are equal, max and min send their gradient to x, not to the limit. */
static inline lvt_value lvt_imk_first(lvt_importer *im, lvt_op op, double k, lvt_value x) {
    return lvt_build_binary(&im->b, op, lvt_im_number(im, x, k), x);
}
static inline lvt_value lvt_imk(lvt_importer *im, lvt_op op, lvt_value x, double k) {
    return lvt_build_binary(&im->b, op, x, lvt_im_number(im, x, k));
}

#endif
