/* What a checkpoint says of pictures and classes, and a graph that takes pictures as they are.
 *
 * Invariant: pixels become what lvt-run feeds, by the same operations in the same order. May not know: ONNX.
 */
#ifndef LVT_ONNX_PICTURES_H
#define LVT_ONNX_PICTURES_H

#include "ir/program/safetensors.h"

enum { LVT_ONNX_CHANNELS = 4 };

typedef struct lvt_onnx_pictures {
    int channels; /* that have mean and deviation; 0: not known */
    double mean[LVT_ONNX_CHANNELS], deviation[LVT_ONNX_CHANNELS]; /* of pixels in 0..1 */
    int classes;                                                  /* 0: not known */
    const bool *learned;     /* by class: it was among the tasks learned so far */
    const char *class_names; /* a JSON list, or NULL */
} lvt_onnx_pictures;

/* From the metadata of a checkpoint (weights may be NULL or have none) and from "0.5,0.4,0.3" texts, which
 * win (NULL: not given). Memory is in `arena`. Errors: LVT_USAGE (texts that are not numbers), LVT_NOMEM. */
lvt_status lvt_onnx_pictures_read(lvt_onnx_pictures *out, const lvt_safetensors *weights, const char *mean,
                                  const char *deviation, lvt_arena *arena, lvt_diag *diag);

/* A copy of an inference graph that takes uint8 pictures [batch, height, width, channels] where g takes f32
 * ones, and returns `probabilities` [batch, classes], 0 for classes that were not learned, and `label` i32
 * [batch], the most probable class, instead of g's outputs. It belongs to g's module. NULL: reported, or out
 * of memory. */
lvt_graph *lvt_onnx_take_pictures(const lvt_graph *g, const lvt_onnx_pictures *p, lvt_arena *arena,
                                  lvt_diag *diag);

#endif
