/* Initial values of states as an ONNX graph (TrainingInfoProto.initialization).
 *
 * Invariant: the graph has no input; its numbers are drawn by the formulas of the model file, not the bits
 * that lvt-run draws. May not know: entries. */
#ifndef LVT_ONNX_INITIAL_H
#define LVT_ONNX_INITIAL_H

#include "writer.h"

/* Begins w beside a finished graph and fills it: an output NAME.initial for every state that has an
 * initialiser (initializers[state], NULL: none). Returns the bindings, *n pairs of initialiser and output.
 * Running out of memory is in w. */
const lvt_onnx_meta *lvt_onnx_initialization(lvt_onnx_writer *w, const lvt_onnx_writer *beside,
                                             const lvt_module *m, const char *const *initializers,
                                             uint64_t seed, size_t *n);

#endif
