/* What eval and predict share: a program with the state of a checkpoint in it.
 * May not know: what is done with it. */
#ifndef LVT_COMMAND_CHECKPOINT_H
#define LVT_COMMAND_CHECKPOINT_H

#include "runtime/continual/checkpoint.h"

typedef struct lvt_trained_options {
    const char *checkpoint, *resize;
    int threads;
    bool interpret;
    bool known; /* what is known has to be told from what is not */
} lvt_trained_options;

typedef struct lvt_trained {
    lvt_model model;
    lvt_checkpoint_info info;
    /* With options.known: the threshold that the checkpoint has, else the one of its remembered images. */
    lvt_known known;
    const char *known_of; /* "test images", "validation images", "remembered images" */
    lvt_augment augment;  /* the normalisation that the network was trained with, nothing random */
} lvt_trained;

/* After an error there is nothing to close. */
lvt_status lvt_trained_open(lvt_trained *t, const char *program, const lvt_trained_options *o,
                            lvt_diag *diag);
void lvt_trained_close(lvt_trained *t);
/* "HEIGHTxWIDTH", NULL: zeros. LVT_USAGE. */
lvt_status lvt_parse_size(const char *text, lvt_dataset_options *out, lvt_diag *diag);

#endif
