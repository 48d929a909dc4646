/* Counter-based random numbers, and pictures as a network's input: crop, mirror, normalise.
 *
 * Invariant: everything random is a pure function of a seed and of counters that say what it is for, so a run
 * can be resumed from its counters alone. May not know: tasks, sessions. */
#ifndef LVT_DATA_AUGMENT_H
#define LVT_DATA_AUGMENT_H

#include "data/dataset.h"
#include "ir/init.h" /* lvt_philox */

/* What a random number is for: the first counter of the generator, so that two uses never share numbers. */
typedef enum lvt_random_use {
    LVT_RANDOM_SHUFFLE = 1,    /* order of an epoch: task, epoch, draw */
    LVT_RANDOM_AUGMENT,        /* crop and mirror of a new image: step, position in the batch */
    LVT_RANDOM_AUGMENT_MEMORY, /* the same for a remembered image */
    LVT_RANDOM_DRAW,           /* which remembered images: step, draw */
    LVT_RANDOM_CLASS_ORDER,    /* draw */
    LVT_RANDOM_MEMORY,         /* memory policies: task, image */
    LVT_RANDOM_VALIDATION,     /* images kept for measuring: class */
    LVT_RANDOM_DOMAIN          /* order of a domain's pixels: domain */
} lvt_random_use;

/* A number in 0..n-1 from a random word (multiply and shift; bias under n / 2^32). */
static inline uint32_t lvt_random_below(uint32_t word, uint32_t n) {
    return (uint32_t)(((uint64_t)word * n) >> 32);
}
/* Puts items 0..n-1 of `list` in random order (Fisher and Yates); only the first `k` places are settled. */
void lvt_shuffle(uint64_t seed, uint32_t use, uint32_t a, uint32_t b, uint32_t *list, uint32_t n, uint32_t k);

/* How pictures become inputs. The tables fold scaling to 0..1 and normalisation into one look-up. */
typedef struct lvt_augment {
    int height, width, channels;
    int crop;  /* the picture is shifted by up to this many pixels each way, zeros (black) come in */
    bool flip; /* half of the pictures are mirrored left to right */
    float table[LVT_MAX_CHANNELS][256];
} lvt_augment;

/* crop and flip are copied from the data set's defaults. */
void lvt_augment_init(lvt_augment *a, const lvt_dataset *d);
/* out: height x width x channels f32, normalised. random: four words, or NULL for the picture as it is. */
void lvt_augment_image(const lvt_augment *a, const uint8_t *pixels, const uint32_t random[4], float *out);

#endif
