/* Checkpoints: everything a run needs to go on bit for bit, as one safetensors file.
 *
 * Invariants: written atomically; equal runs write equal bytes; what is read is checked against the program, the data and the settings
 * before any state changes. Parameters and other states go by their own names; what belongs to the run is
 * called "lvt:...". May not know: command lines. */
#ifndef LVT_CONTINUAL_CHECKPOINT_H
#define LVT_CONTINUAL_CHECKPOINT_H

#include "ir/program/safetensors.h"
#include "trainer.h"

/* The part that says what a checkpoint is, without its tensors. Freed by lvt_checkpoint_info_free. */
typedef struct lvt_checkpoint_info {
    char program[64]; /* name of the model */
    uint64_t program_hash, fingerprint;
    lvt_position at;
    lvt_tasks tasks;    /* in the order they were learned */
    char **class_names; /* one a class */
    float mean[LVT_MAX_CHANNELS],
        deviation[LVT_MAX_CHANNELS]; /* of the training images: prediction needs no data set */
    lvt_known known; /* NaN: the checkpoint is not of the end of a task, or of before it was measured */
    bool known_held; /* it comes from validation images, else from test images */
} lvt_checkpoint_info;

/* Writes FOLDER/task-NN.safetensors at a task's boundary (t->at is then the beginning of the next task), else
 * FOLDER/last.safetensors. */
lvt_status lvt_checkpoint_save(lvt_trainer *t, bool boundary, lvt_diag *diag);
/* Goes on from the newest checkpoint of the run folder; none: position 0. Errors: LVT_USER (another program,
 * other data, or not a checkpoint). After an error the trainer must not be run. */
lvt_status lvt_checkpoint_resume(lvt_trainer *t, lvt_diag *diag);
/* Whether there is a checkpoint to go on from. */
bool lvt_checkpoint_exists(const lvt_folder *folder);
/* A checkpoint holds nothing that another run of the same steps would have otherwise; how long they took and
 * what they used is in a record of metrics.jsonl before it. Finds the record of the checkpoint that was
 * resumed in the text of that file (without one: the end of its whole lines and the last times before the
 * checkpoint, and false), and takes over what it says; t->metrics_bytes: what of the file stays. */
bool lvt_checkpoint_find_record(lvt_trainer *t, const char *text, size_t n);
lvt_status lvt_checkpoint_info_read(const lvt_safetensors *file, const char *path, lvt_checkpoint_info *out,
                                    lvt_diag *diag);
/* How images become inputs of the network that was trained. */
void lvt_checkpoint_augment(const lvt_checkpoint_info *info, const lvt_model *m, lvt_augment *out);
/* Tasks that have been begun, at least 1: their classes are what the network can answer. */
int lvt_checkpoint_learned(const lvt_checkpoint_info *info);
/* seen[c], for each class: it can be answered. */
void lvt_checkpoint_seen(const lvt_checkpoint_info *info, bool *seen);
/* Warns when the classes of a data set have other names, or are others, than those it was trained on. */
void lvt_checkpoint_compare_names(const lvt_checkpoint_info *info, const char *path, const lvt_dataset *d,
                                  lvt_diag *diag);
void lvt_checkpoint_info_free(lvt_checkpoint_info *info);
/* Loads all states of the model from the file: LVT_USER when one is missing or has another shape (checkpoint
 * of another model); a program that was compiled anew is only warned about. */
lvt_status lvt_checkpoint_load_model(lvt_model *m, const lvt_safetensors *file,
                                     const lvt_checkpoint_info *info, const char *path, lvt_diag *diag);

#endif
