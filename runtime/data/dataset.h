/* Data sets of labelled pictures, held in memory as bytes.
 *
 * Invariants: images are uint8, height x width x channels each, one after the other; labels are 0..classes-1;
 * names of classes and domains are UTF-8; every class has at least one training image
 * (but with options.asks); nothing changes after
 * the data set is open. May not know: models, tasks. */
#ifndef LVT_DATA_DATASET_H
#define LVT_DATA_DATASET_H

#include "ir/base/diag.h"

enum { LVT_MAX_CHANNELS = 4 };

/* A pixel of a view: four pixels of the image and their shares of 256. Weight 0: black. */
typedef struct lvt_tap {
    uint32_t from[4];
    uint16_t weight[4];
} lvt_tap;

/* The same images seen in several ways, each of which is a domain: made when they are needed. */
typedef struct lvt_views {
    size_t pixels, channels; /* of an image */
    lvt_tap *taps;           /* domains x pixels */
} lvt_views;

typedef struct lvt_images {
    uint8_t *pixels; /* n x height x width x channels; with views n / domains of them: read by lvt_image_at */
    int32_t *labels; /* n */
    size_t n;
    int32_t *domains;       /* n; NULL: there is one domain */
    const lvt_views *views; /* NULL: images are as they are stored */
    size_t stored;          /* with views: image i is number i % stored */
} lvt_images;

typedef struct lvt_dataset {
    char *name; /* the reader's name: "cifar100" */
    int height, width, channels, classes;
    char **class_names;  /* one a class */
    int domains;         /* 0, or how many kinds of images each class has: every one is a task */
    char **domain_names; /* one a domain */
    int32_t *groups;     /* superclass of each class (CIFAR-100's coarse labels), or NULL */
    lvt_images train, test;
    lvt_views views;                                           /* of both */
    float mean[LVT_MAX_CHANNELS], deviation[LVT_MAX_CHANNELS]; /* of train, pixels scaled to 0..1 */
    uint64_t fingerprint; /* of all pixels, labels and names: resume refuses other data */
    int crop;             /* default augmentation: zero padding of random crops, in pixels */
    bool flip;            /* default augmentation: mirror half of the images */
    bool
        fifths; /* the source does not say which images are for tests: the reader took every fifth of a class */
} lvt_dataset;

typedef struct lvt_dataset_options {
    int resize_height, resize_width; /* scale every image to this size; 0: as they are, all of one size */
    int channels;                    /* what the model takes: grey pictures become colour for 3, pictures in
                                        files grey for 1; 0: colour where any picture is */
    bool
        asks; /* the images are to be asked about only: a class may have few, one class is enough, and a class
                  may have no test images (lvt_dataset_join) */
    bool skip_broken; /* leave out pictures in files that cannot be read (a warning counts them); those that
                         stay are in the parts where they would be otherwise */
    void (*broken)(void *user, const lvt_diag *words); /* told of each of these; may be NULL */
    void *user;
} lvt_dataset_options;

/* Opens "READER" or "READER:FOLDER" (lvt_dataset_help lists the readers). *out is NULL on error and belongs
 * to the caller. Errors: LVT_USAGE (no such reader), LVT_USER (the content is wrong; the file is named),
 * LVT_IO, LVT_NOMEM. */
lvt_status lvt_dataset_open(const char *spec, const lvt_dataset_options *options, lvt_dataset **out,
                            lvt_diag *diag);
void lvt_dataset_free(lvt_dataset *d);
/* All images become test images; mean, deviation and fingerprint stay those of the parts. For data without views.
 * LVT_NOMEM. */
lvt_status lvt_dataset_join(lvt_dataset *d, lvt_diag *diag);
/* One line a reader, "  cifar100:DIR   ...\n", for help texts; static. */
const char *lvt_dataset_help(void);
static inline size_t lvt_image_bytes(const lvt_dataset *d) {
    return (size_t)d->height * (size_t)d->width * (size_t)d->channels;
}

/* Image i of `bytes` bytes: where it lies, or made in `scratch`, which has room for one. Valid until scratch
 * is used again. */
const uint8_t *lvt_image_at(const lvt_images *images, size_t bytes, size_t i, uint8_t *scratch);

/* ---- for readers --------------------------------------------------------------------------------------- */

/* A reader fills name-independent fields of an empty data set: sizes, class names, train, test, crop, flip.
 */
typedef lvt_status (*lvt_dataset_reader)(lvt_dataset *d, const char *dir, const lvt_dataset_options *options,
                                         lvt_diag *diag);
lvt_status lvt_read_cifar10(lvt_dataset *d, const char *dir, const lvt_dataset_options *o, lvt_diag *diag);
lvt_status lvt_read_cifar100(lvt_dataset *d, const char *dir, const lvt_dataset_options *o, lvt_diag *diag);
lvt_status lvt_read_digits(lvt_dataset *d, const char *dir, const lvt_dataset_options *o, lvt_diag *diag);
lvt_status lvt_read_idx(lvt_dataset *d, const char *dir, const lvt_dataset_options *o, lvt_diag *diag);
lvt_status lvt_read_folder(lvt_dataset *d, const char *dir, const lvt_dataset_options *o, lvt_diag *diag);
lvt_status lvt_read_domains(lvt_dataset *d, const char *dir, const lvt_dataset_options *o, lvt_diag *diag);
lvt_status lvt_read_permuted(lvt_dataset *d, const char *dir, const lvt_dataset_options *o, lvt_diag *diag);
lvt_status lvt_read_rotated(lvt_dataset *d, const char *dir, const lvt_dataset_options *o, lvt_diag *diag);
/* Grey images as colour, with room for as many more (three equal channels; d->channels is the caller's);
 * false when out of memory (what was there stays). */
bool lvt_images_colour(const lvt_dataset *d, lvt_images *images);
/* Makes room for n more images; false when out of memory (what was there stays). */
bool lvt_images_grow(const lvt_dataset *d, lvt_images *images, size_t n);

#endif
