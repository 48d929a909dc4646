/* A compiled program as a continual learner: its entries found by name, their inputs bound by name.
 *
 * Invariants: every entry that is bound has exactly the inputs and outputs that models/README.md describes,
 * and all sizes agree between entries; scalars of one name share one value. May not know: data sets' files,
 * tasks, memory. */
#ifndef LVT_CONTINUAL_MODEL_H
#define LVT_CONTINUAL_MODEL_H

#include "runtime/data/dataset.h"
#include "runtime/compiled.h"

enum { LVT_MAX_LOSSES = 16, LVT_MAX_INPUTS = 40, LVT_MAX_SCALARS = 40, LVT_MAX_MAPS = 64 };

/* The entries the driver knows. */
typedef enum lvt_entry_kind {
    LVT_ENTRY_TRAIN_NEW,
    LVT_ENTRY_TRAIN,
    LVT_ENTRY_PREDICT,
    LVT_ENTRY_IMPORTANCE,
    LVT_ENTRY_CONSOLIDATE,
    LVT_ENTRY_INSPECT,
    LVT_N_ENTRIES
} lvt_entry_kind;

/* The inputs that are tensors; every other input is a scalar. */
typedef enum lvt_input_kind {
    LVT_IN_X,
    LVT_IN_Y,
    LVT_IN_XM,
    LVT_IN_YM,
    LVT_IN_ZM,
    LVT_IN_ZM_MASK,
    LVT_IN_MASK,
    LVT_IN_STEP,
    LVT_IN_Y2,
    LVT_IN_MIX,
    LVT_IN_FREQUENCY,
    LVT_IN_TASK_MASK,
    LVT_N_INPUTS
} lvt_input_kind;

typedef struct lvt_bound_entry {
    int index; /* in the program, -1: the model does not have it */
    int n_inputs, n_losses;
    uint8_t kind[LVT_MAX_INPUTS];   /* lvt_input_kind, or LVT_N_INPUTS for a scalar */
    uint8_t scalar[LVT_MAX_INPUTS]; /* index of the scalar */
    const char *loss_names[LVT_MAX_LOSSES];
    int losses[LVT_MAX_LOSSES];      /* outputs */
    int logits, injection, features; /* outputs of predict; features -1: it has none */
    int n_maps, maps[LVT_MAX_MAPS];  /* outputs of inspect */
} lvt_bound_entry;

typedef struct lvt_scalar {
    const char *name; /* the program's */
    float value;
    double exact; /* the value before it was rounded to f32 */
    bool given;   /* else the program's default is used */
    bool has_default;
    double default_value;
    unsigned used;     /* the entries that compute with it: a bit each, by lvt_entry_kind */
    const char *entry; /* where it was seen first */
} lvt_scalar;

typedef struct lvt_model {
    lvt_program *program;
    lvt_session *session;
    lvt_bound_entry entries[LVT_N_ENTRIES];
    lvt_scalar scalars[LVT_MAX_SCALARS];
    int n_scalars;
    int height, width, channels, classes;
    int batch, memory_batch, predict_batch, inspect_batch; /* inspect_batch 0: no entry inspect */
    int n_features;                                        /* of predict's output features; 0: it has none */
    int ranks; /* processes that the training entries share a batch with: batch and memory_batch are all their
                  images */
    const lvt_collective *with; /* NULL: alone */
    const char *method;         /* the program's setting of that name; NULL: it has none */
} lvt_model;

/* Opens the program and binds its entries; the session has the initial values of `seed`. trains: it will run
 * all of them but inspect, else predict alone, and only those get kernels now. Errors: LVT_USER (no predict
 * entry, inputs that are not in the contract), those of lvt_program_open. Freed by lvt_model_close (also
 * after an error).
 */
lvt_status lvt_model_open(lvt_model *m, const char *path, const lvt_program_options *options, uint64_t seed,
                          bool trains, lvt_diag *diag);
void lvt_model_close(lvt_model *m);
/* Does the model take these images and have these classes? LVT_USER if not. */
lvt_status lvt_model_fits(const lvt_model *m, const lvt_dataset *d, lvt_diag *diag);
/* Trains with these processes (NULL: alone) from now on; every one of them gives whole batches to
 * lvt_model_run, which takes its share. LVT_USER when the program is for another number of them. `with` must
 * outlive the model. */
lvt_status lvt_model_connect(lvt_model *m, const lvt_collective *with, lvt_diag *diag);
int lvt_model_scalar(const lvt_model *m, const char *name); /* -1: no entry has it */
/* "NAME=VALUE"; LVT_USAGE with the nearest name. */
lvt_status lvt_model_set(lvt_model *m, const char *text, lvt_diag *diag);
/* Runs one step. tensors: by lvt_input_kind, only those that the entry has are read. */
lvt_status lvt_model_run(lvt_model *m, lvt_entry_kind entry, const void *const tensors[LVT_N_INPUTS],
                         lvt_diag *diag);
static inline bool lvt_model_has(const lvt_model *m, lvt_entry_kind entry) {
    return m->entries[entry].index >= 0;
}
/* Do the training entries take images of two classes (y2 and mix, models/README.md)? */
bool lvt_model_mixes(const lvt_model *m);
static inline const lvt_module *lvt_model_module(const lvt_model *m) {
    return lvt_program_compiled(m->program)->module;
}
/* features of the last predict: predict_batch x n_features; NULL: it has none. */
const float *lvt_model_features(const lvt_model *m);
/* Of the last run of inspect: map i, f32[heads, inspect_batch, queries, keys], and its type. */
const float *lvt_model_map(const lvt_model *m, int i, lvt_type *type);
const char *lvt_entry_kind_name(lvt_entry_kind entry);

#endif
