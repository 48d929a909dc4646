/* Export: an entry of a module as an ONNX model of standard operators.
 *
 * Invariant: what is exported is the graph before fusion (autodiff, fold, simplify, cse, dce have run). May
 * not know: kernels, plans. */
#ifndef LVT_ONNX_EXPORT_H
#define LVT_ONNX_EXPORT_H

#include "ir/program/safetensors.h"

enum { LVT_ONNX_MIN_OPSET = 13, LVT_ONNX_MAX_OPSET = 24, LVT_ONNX_DEFAULT_OPSET = 17 };

typedef struct lvt_onnx_options {
    const char *entry, *path, *version;
    int opset;
    uint64_t seed;                  /* of initial values, where weights has none */
    const lvt_safetensors *weights; /* values of states by name; NULL: initial values */
    const char *weights_path;       /* for messages */
    int64_t external_bytes;         /* tensors from this size on lie beside the model; < 0: none */
    bool training_info;             /* the graph is `inference`, `entry` a training step beside it */
    const char *inference;
    bool with_preprocessing;      /* the inference graph takes uint8 pictures and returns probabilities */
    const char *mean, *deviation; /* "0.5,0.4,0.3": of the pictures, where weights does not say; or NULL */
} lvt_onnx_options;

/* The setting that is the batch size of the entry alone: an integer whose name ends in "batch", whose value
 * is the first dim of an input. NULL: there is none, or more than one. */
const lvt_setting *lvt_onnx_batch_setting(const lvt_module *m, const char *entry);

/* Writes the entry to options->path. `other`: the same model compiled with another batch size (see
 * lvt_onnx_batch_setting), from which dims that grow with the batch are known, or NULL: all dims are fixed.
 * An entry that updates states becomes a step: states are inputs (their values are defaults) and each updated
 * one is an output NAME.next; in other entries states are constants. With training_info `other` is for the
 * inference entry, states are initialisers, and the step, of fixed batch, is a TrainingInfoProto whose
 * bindings say which initialisers it changes. Errors: LVT_USER (no such entry, an op that has no standard
 * form; all are reported), LVT_IO, LVT_NOMEM. */
lvt_status lvt_onnx_export(const lvt_module *m, const lvt_module *other, const lvt_onnx_options *options,
                           lvt_diag *diag);

#endif
