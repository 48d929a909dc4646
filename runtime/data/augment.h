/* Counter-based random numbers, and pictures as a network's input: crop, mirror, normalise.
 *
 * Invariant: everything random is a pure function of a seed and of counters that say what it is for, so a run
 * can be resumed from its counters alone. May not know: tasks, sessions. */
#ifndef LVT_DATA_AUGMENT_H
#define LVT_DATA_AUGMENT_H

#include "dataset.h"
#include "ir/base/philox.h"

/* What a random number is for: the first counter of the generator, so that two uses never share numbers. */
typedef enum lvt_random_use {
    LVT_RANDOM_SHUFFLE = 1,    /* order of an epoch: task, epoch, draw */
    LVT_RANDOM_AUGMENT,        /* crop and mirror of a new image: step, position in the batch */
    LVT_RANDOM_AUGMENT_MEMORY, /* the same for a remembered image */
    LVT_RANDOM_DRAW,           /* which remembered images: step, draw */
    LVT_RANDOM_CLASS_ORDER,    /* draw */
    LVT_RANDOM_MEMORY,         /* memory policies: task, image */
    LVT_RANDOM_VALIDATION,     /* images kept for measuring: class */
    LVT_RANDOM_DOMAIN,         /* order of a domain's pixels: domain */
    LVT_RANDOM_MIX             /* mixing of new images: step, position in the batch */
} lvt_random_use;
/* Further numbers for the same thing: block k of four words. */
#define LVT_RANDOM_BLOCK(use, k) ((uint32_t)(use) + ((uint32_t)(k) << 8))

/* A number in 0..n-1 from a random word (multiply and shift; bias under n / 2^32). */
static inline uint32_t lvt_random_below(uint32_t word, uint32_t n) {
    return (uint32_t)(((uint64_t)word * n) >> 32);
}
/* Puts items 0..n-1 of `list` in random order (Fisher and Yates); only the first `k` places are settled. */
void lvt_shuffle(uint64_t seed, uint32_t use, uint32_t a, uint32_t b, uint32_t *list, uint32_t n, uint32_t k);

/* How pictures become inputs. The tables fold scaling to 0..1 and normalisation into one look-up. */
typedef struct lvt_augment {
    int height, width, channels;
    int crop;     /* the picture is shifted by up to this many pixels each way, zeros (black) come in */
    bool flip;    /* half of the pictures are mirrored left to right */
    int cutout;   /* side of a square of 0 (the mean colour) whose centre is any pixel; 0: none */
    float colour; /* brightness, contrast, saturation times random factors in 1 - colour .. 1 + colour */
    float table[LVT_MAX_CHANNELS][256];
} lvt_augment;

enum { LVT_AUGMENT_WORDS = 8 };
/* The random words of one picture: a function of what it is for, step and place in the batch. */
void lvt_augment_words(uint64_t seed, lvt_random_use use, uint64_t step, uint32_t place,
                       uint32_t out[LVT_AUGMENT_WORDS]);
/* crop and flip are copied from the data set's defaults; nothing else is done. */
void lvt_augment_init(lvt_augment *a, const lvt_dataset *d);
/* out: height x width x channels f32, normalised. random: NULL for the picture as it is. */
void lvt_augment_image(const lvt_augment *a, const uint8_t *pixels, const uint32_t random[LVT_AUGMENT_WORDS],
                       float *out);

/* ---- two pictures in one ------------------------------------------------------------------------------- */

/* mixup (Zhang et al., ICLR 2018): share * a + (1 - share) * b. CutMix (Yun et al., ICCV 2019): a, with a box
 * of b, whose area is about 1 - share. */
typedef struct lvt_mixing {
    double mixup, cutmix; /* of Beta(alpha, alpha), from which shares are drawn; 0: not at all */
    double part;          /* of the pictures that are mixed, 0..1 */
} lvt_mixing;

/* What becomes of one picture of a batch. */
typedef struct lvt_mix {
    uint32_t with;                /* place of the other picture; its own place: it stays as it is */
    float share;                  /* of this picture; the other one has the rest */
    int top, left, bottom, right; /* box of the other one, all 0: the pictures are blended */
} lvt_mix;

/* A function of seed, step, place and the size of the batch. */
lvt_mix lvt_mix_draw(const lvt_mixing *how, uint64_t seed, uint64_t step, uint32_t place, uint32_t batch,
                     int height, int width);
/* out, which may be `a`: height x width x channels. */
void lvt_mix_images(const lvt_mix *mix, const float *a, const float *b, int height, int width, int channels,
                    float *out);
/* A number from Beta(a, a), a > 0: a function of its arguments. */
double lvt_random_beta(double a, uint64_t seed, uint32_t use, uint64_t step, uint32_t place);

#endif
