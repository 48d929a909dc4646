/* Import: an ONNX model as a module with one entry, or as a piece of a graph.
 *
 * Invariant: whatever the bytes, the answer is a result or an error. May not know: passes, kernels, the model
 * language. */
#ifndef LVT_ONNX_IMPORT_H
#define LVT_ONNX_IMPORT_H

#include "ir/build.h"

enum { LVT_ONNX_NEWEST = 28 }; /* the newest operator set that is read */

typedef struct lvt_tensor_data {
    lvt_type type;
    double *data;
} lvt_tensor_data;

typedef struct lvt_onnx_bound { /* an input that is a constant: shapes and the like */
    const char *name;
    const lvt_tensor_data *value;
} lvt_onnx_bound;

typedef struct lvt_onnx_import {
    const char *const *settings; /* "NAME=VALUE": sizes of symbolic dims */
    size_t n_settings;
    const char *entry; /* name of the entry; NULL: predict */
    const lvt_onnx_bound *bound;
    size_t n_bound;
    bool freeze; /* weights are constants of the program, not parameters */
} lvt_onnx_import;

/* Reads the model of a file; tensors outside it are looked for in its folder only. Float initialisers become
 * trainable states of their names whose initial values are theirs (those of norms' statistics are not
 * trainable); scalars and the rest are constants. 64-bit and small integers become i32, half floats f32.
 * Errors: LVT_USER (not a model; operators or dims that are not known, all of them are reported), LVT_IO,
 * LVT_NOMEM. */
lvt_status lvt_onnx_import_file(const char *path, const lvt_onnx_import *options, lvt_module **out,
                                lvt_diag *diag);
/* The same of bytes; folder: where external data may lie, NULL: nowhere. */
lvt_status lvt_onnx_import_bytes(const char *name, const uint8_t *bytes, size_t size, const char *folder,
                                 const lvt_onnx_import *options, lvt_module **out, lvt_diag *diag);

/* ---- a model as a piece of a graph ---- */

typedef struct lvt_onnx_file lvt_onnx_file;
lvt_status lvt_onnx_open(const char *path, lvt_onnx_file **out, lvt_diag *diag);
lvt_status lvt_onnx_open_bytes(const char *name, const uint8_t *bytes, size_t size, const char *folder,
                               lvt_onnx_file **out, lvt_diag *diag);
void lvt_onnx_close(lvt_onnx_file *f);
size_t lvt_onnx_inputs(const lvt_onnx_file *f); /* without initialisers */
const char *lvt_onnx_input(const lvt_onnx_file *f, size_t i);
size_t lvt_onnx_outputs(const lvt_onnx_file *f);
const char *lvt_onnx_output(const lvt_onnx_file *f, size_t i);

typedef enum lvt_onnx_form {
    LVT_ONNX_AS_IS,    /* norms and dropout as the file's attributes say */
    LVT_ONNX_TRAINING, /* statistics of the batch, running statistics are updated; elements are dropped */
    LVT_ONNX_INFERENCE
} lvt_onnx_form;

typedef struct lvt_onnx_use {
    lvt_module *module; /* keeps values of weights; the same for all uses of a file */
    lvt_builder *
        builder; /* of the graph; its loc is the place of the use, and the place of errors when `at` is set */
    const lvt_onnx_import *options;
    lvt_pos at;                 /* where errors are; no file: at the node's number in the file */
    const char *const *outputs; /* names of the tensors wanted; nodes that they do not need are left out */
    size_t n_outputs;
    const lvt_value *inputs; /* one an input of the file; NULL: inputs of the graph are made */
    bool images;   /* inputs and outputs of four dims are [batch, height, width, channels] outside */
    bool any_size; /* dims that are numbers in the file need not be those of `inputs` */
    lvt_onnx_form form;
    lvt_value step;        /* of dropout in training: i32[2], seed and step number; LVT_NONE: ask `key` */
    uint32_t *streams;     /* its next stream of random numbers */
    const int64_t *groups; /* rows of the batch that norms see as batches of their own; NULL: all together */
    int n_groups;
    const char *const *constants; /* patterns (of fnmatch) of initialisers that are no parameters */
    size_t n_constants;
    bool *constants_found; /* set where one fits an initialiser that is used; or NULL */
    bool tied;             /* an initialiser is one state, also where all its elements are equal */
    bool step_of_file; /* the file is a training step: initialisers of rank 0 are asked for by `state` too,
                        * and each is one state */
    /* A state of the graph for an initialiser. LVT_NONE: an error, which it has reported. */
    lvt_value (*state)(void *user, const char *name, const lvt_type *type, lvt_init init, const void *values,
                       bool trainable);
    /* state (a result of the function above) is to be x after the step. False: an error, which it has
     * reported. */
    bool (*update)(void *user, lvt_value state, lvt_value x);
    /* The same where it is needed and `step` is not given. LVT_NONE: an error, which it has reported; may be
     * NULL. */
    lvt_value (*key)(void *user);
    void *user;
} lvt_onnx_use;
/* All operators that are needed for the outputs and not known; that the outputs are there. */
lvt_status lvt_onnx_check(const lvt_onnx_file *f, const lvt_onnx_use *use, lvt_diag *diag);
/* Builds the nodes; results: one value an output. */
lvt_status lvt_onnx_expand(lvt_onnx_file *f, const lvt_onnx_use *use, lvt_value *results, lvt_diag *diag);

/* A TensorProto alone (the data of ONNX's own tests), as doubles in malloc'ed memory that the caller frees.
 */
lvt_status lvt_onnx_tensor_bytes(const char *name, const uint8_t *bytes, size_t size, lvt_tensor_data *out,
                                 lvt_diag *diag);

#endif
