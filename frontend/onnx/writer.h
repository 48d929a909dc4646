/* An ONNX graph in the making: nodes, tensors, names; and its bytes.
 *
 * Invariants: every tensor has a name of its own; running out of memory is remembered (`no_memory`) and
 * leaves all calls harmless, so that whoever writes a graph looks once, at the end. May not know: the
 * intermediate representation's ops, what a model means. */
#ifndef LVT_ONNX_WRITER_H
#define LVT_ONNX_WRITER_H

#include "ir/ir.h"
#include <onnx.pb-c.h>

enum { LVT_ONNX_MAX_ATTRS = 12 };

typedef struct lvt_onnx_writer {
    lvt_arena *arena; /* owns all that is written here */
    bool no_memory;
    int opset;
    const char *place;  /* doc_string of new nodes, or NULL */
    const char *prefix; /* of the names of nodes and of constants that are no one's in particular */
    Onnx__GraphProto graph;
    size_t cap_nodes, cap_initializers, cap_ports[3];
    Onnx__AttributeProto *attrs[LVT_ONNX_MAX_ATTRS]; /* of the next node */
    size_t n_attrs;
    const char **names; /* hash table of names taken */
    size_t n_names, cap_names;
} lvt_onnx_writer;

/* Sets up an empty graph in `arena`. name is copied. */
void lvt_onnx_begin(lvt_onnx_writer *w, lvt_arena *arena, int opset, const char *name);
/* The same for a graph whose names have to differ from those of `first`, which is finished; its nodes' names
 * begin with "NAME/". */
void lvt_onnx_begin_beside(lvt_onnx_writer *w, const lvt_onnx_writer *first, const char *name);

/* Text in the arena; "" when out of memory. */
const char *lvt_onnx_text(lvt_onnx_writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Zeroed memory in the arena, NULL when out of memory. */
void *lvt_onnx_alloc(lvt_onnx_writer *w, size_t bytes);
/* Takes `wanted`, or wanted_2, wanted_3 ... when that is taken. */
const char *lvt_onnx_name(lvt_onnx_writer *w, const char *wanted);
bool lvt_onnx_taken(const lvt_onnx_writer *w, const char *name);

/* Attributes of the next node. */
void lvt_onnx_int(lvt_onnx_writer *w, const char *name, int64_t v);
void lvt_onnx_float(lvt_onnx_writer *w, const char *name, double v);
void lvt_onnx_string(lvt_onnx_writer *w, const char *name, const char *v);
void lvt_onnx_ints(lvt_onnx_writer *w, const char *name, size_t n, const int64_t *v);

/* Appends a node with one result, whose name is made from `scope` (may be "") and the operator; returns it.
 */
const char *lvt_onnx_node(lvt_onnx_writer *w, const char *scope, const char *op, size_t n_inputs,
                          const char *const *inputs);
/* The same with n results; outputs[] are filled in. */
void lvt_onnx_node_n(lvt_onnx_writer *w, const char *scope, const char *op, size_t n_inputs,
                     const char *const *inputs, size_t n_outputs, const char **outputs);

/* A constant tensor of packed elements (copied); name must have been taken with lvt_onnx_name. */
void lvt_onnx_tensor(lvt_onnx_writer *w, const char *name, int data_type, int rank, const int64_t *dims,
                     const void *data, size_t bytes);
/* A constant of rank 0; equal numbers share one tensor. */
const char *lvt_onnx_number(lvt_onnx_writer *w, lvt_dtype dtype, double x);
/* A constant list of 64-bit integers; equal lists share one tensor. */
const char *lvt_onnx_int64s(lvt_onnx_writer *w, size_t n, const int64_t *v);

typedef enum lvt_onnx_port_kind { LVT_ONNX_INPUT, LVT_ONNX_OUTPUT, LVT_ONNX_INNER } lvt_onnx_port_kind;
/* An input, an output, or what is known of a tensor between them. dims_text[i]: symbolic name of dim i, or
 * NULL. */
void lvt_onnx_port(lvt_onnx_writer *w, lvt_onnx_port_kind kind, const char *name, int data_type, int rank,
                   const int64_t *dims, const char *const *dims_text);
/* Makes `name` (new) a name for what `tensor` holds: by renaming its node's result where that is possible,
 * else by a node Identity. */
void lvt_onnx_alias(lvt_onnx_writer *w, const char *name, const char *tensor);
/* Drops nodes, constants and inputs that no output needs. */
void lvt_onnx_clean(lvt_onnx_writer *w);

int lvt_onnx_type(lvt_dtype t); /* number of TensorProto.DataType */

typedef struct lvt_onnx_meta { /* metadata_props */
    const char *key, *value;
} lvt_onnx_meta;
typedef struct lvt_onnx_file {
    const char *path, *producer_version, *doc;
    const lvt_onnx_meta *meta;
    size_t n_meta;
    int64_t external_bytes; /* tensors of this size and more go to PATH.data beside it; < 0: none do */
    /* training_info: a step beside the graph and a graph of initial values, or both NULL; bindings are pairs
     * of an initialiser (of the graph or of `algorithm`) and an output. */
    lvt_onnx_writer *algorithm, *initialization;
    const lvt_onnx_meta *updates, *initials;
    size_t n_updates, n_initials;
} lvt_onnx_file;
/* Writes the model; the data file first, both atomically. LVT_IO, LVT_NOMEM, LVT_USER (2 GiB and more need
 * external data). */
lvt_status lvt_onnx_write(lvt_onnx_writer *w, const lvt_onnx_file *file, lvt_diag *diag);

#endif
