/* Import: an ONNX model as a module with one entry.
 *
 * Invariant: whatever the bytes, the answer is a module or an error. May not know: passes, kernels. */
#ifndef LVT_ONNX_IMPORT_H
#define LVT_ONNX_IMPORT_H

#include "ir/safetensors.h"

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

typedef struct lvt_onnx_weights { /* values of the module's states, in its arena */
    lvt_stored_tensor *tensors;
    size_t n, cap;
} lvt_onnx_weights;

/* Reads the model of a file; tensors outside it are looked for in its folder only. Float initialisers become
 * trainable states of their names, whose values are weights->tensors; the rest is constant. 64-bit and small
 * integers become i32, half floats f32. Errors: LVT_USER (not a model; operators or dims that are not known,
 * all of them are reported), LVT_IO, LVT_NOMEM. */
lvt_status lvt_onnx_import_file(const char *path, const lvt_onnx_import *options, lvt_module **out,
                                lvt_onnx_weights *weights, lvt_diag *diag);
/* The same of bytes; folder: where external data may lie, NULL: nowhere. */
lvt_status lvt_onnx_import_bytes(const char *name, const uint8_t *bytes, size_t size, const char *folder,
                                 const lvt_onnx_import *options, lvt_module **out, lvt_onnx_weights *weights,
                                 lvt_diag *diag);
/* A TensorProto alone (the data of ONNX's own tests), as doubles in malloc'ed memory that the caller frees.
 */
lvt_status lvt_onnx_tensor_bytes(const char *name, const uint8_t *bytes, size_t size, lvt_tensor_data *out,
                                 lvt_diag *diag);

#endif
