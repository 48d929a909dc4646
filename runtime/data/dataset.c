/* Data sets: the table of readers, and what all of them share (statistics, checks, names).
 * Invariant: a data set that is handed out has passed `finish`. May not know: any file format. */
#include "dataset.h"
#include "image.h"
#include "ir/base/hash.h"
#include "ir/base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READERS(X)                                                                                           \
    X("cifar100", lvt_read_cifar100, true, ":DIR  train.bin, test.bin: 100 classes, 32x32 colour")           \
    X("cifar10", lvt_read_cifar10, true, ":DIR   data_batch_1.bin .. 5, test_batch.bin: 10 classes, 32x32")  \
    X("idx", lvt_read_idx, true,                                                                             \
      ":DIR       MNIST's files: train-images-idx3-ubyte, t10k-labels-idx1-ubyte, ...")                      \
    X("folder", lvt_read_folder, true,                                                                       \
      ":DIR    pictures: DIR/CLASS/*, or DIR/train/CLASS/* and DIR/test/CLASS/*; Tiny ImageNet")             \
    X("domains", lvt_read_domains, true,                                                                     \
      ":DIR   DIR/DOMAIN/, a folder as above each: every domain is a task")                                  \
    X("permuted", lvt_read_permuted, true,                                                                   \
      ":N:DATA  any of these in N domains, each with its pixels in another order (N,SEED)")                  \
    X("rotated", lvt_read_rotated, true, ":N:DATA   in N domains, turned by 0 to 180 degrees")               \
    X("digits", lvt_read_digits, false, "        1,797 handwritten digits, built in: 10 classes, 8x8 grey")

typedef struct reader {
    const char *name;
    lvt_dataset_reader read;
    bool needs_dir;
} reader;
static const reader readers[] = {
#define ROW(name, read, dir, help) {name, read, dir},
    READERS(ROW)
#undef ROW
};
enum { N_READERS = sizeof readers / sizeof *readers };

static const char help_text[] =
#define ROW(name, read, dir, help) "  " name help "\n"
    READERS(ROW)
#undef ROW
    ;

const char *lvt_dataset_help(void) {
    return help_text;
}

/* Images of a reader that knows nothing of options: scaled, then grey ones as colour. */
static lvt_status adapt(lvt_dataset *d, const lvt_dataset_options *o, lvt_diag *diag) {
    int height = o->resize_height ? o->resize_height : d->height,
        width = o->resize_width ? o->resize_width : d->width;
    lvt_images *parts[] = {&d->train, &d->test};
    bool scaled = height != d->height || width != d->width;
    size_t from = lvt_image_bytes(d), to = (size_t)height * (size_t)width * (size_t)d->channels;
    for (int part = 0; part < 2 && scaled; part++) {
        uint8_t *pixels = malloc(parts[part]->n * to + 1);
        lvt_status status = pixels ? LVT_OK : lvt_no_memory(diag, NULL);
        for (size_t i = 0; i < parts[part]->n && status == LVT_OK; i++) {
            lvt_picture p = {d->height, d->width, d->channels, malloc(from + 1)};
            if (p.pixels)
                memcpy(p.pixels, parts[part]->pixels + i * from, from);
            status = p.pixels ? lvt_picture_resize(&p, height, width, diag) : lvt_no_memory(diag, NULL);
            if (status == LVT_OK)
                memcpy(pixels + i * to, p.pixels, to);
            free(p.pixels);
        }
        if (status != LVT_OK) {
            free(pixels);
            return status;
        }
        free(parts[part]->pixels);
        parts[part]->pixels = pixels;
    }
    if (scaled)
        d->crop = (int)((int64_t)d->crop * height / d->height);
    d->height = height;
    d->width = width;
    if (o->channels == 3 && d->channels == 1) {
        if (!lvt_images_colour(d, &d->train) || !lvt_images_colour(d, &d->test))
            return lvt_no_memory(diag, NULL);
        d->channels = 3;
    }
    return LVT_OK;
}

/* FNV-1a, eight bytes at a time: fast enough for 180 MB, and any changed byte changes it. */
static uint64_t hash_bytes(uint64_t h, const void *bytes, size_t n) {
    const uint8_t *p = bytes;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        h = (h ^ word) * LVT_FNV_PRIME;
        h ^= h >> 29; /* the product alone never carries a high bit down */
    }
    return lvt_fnv(h, p, n);
}

/* Mean and deviation of each channel over the training images, from exact integer sums. */
static void measure(lvt_dataset *d, uint8_t *scratch) {
    uint64_t counts[LVT_MAX_CHANNELS][256] = {{0}};
    size_t pixels = (size_t)d->height * (size_t)d->width, n = d->train.n * pixels;
    for (size_t i = 0; i < d->train.n; i++) {
        const uint8_t *p = lvt_image_at(&d->train, lvt_image_bytes(d), i, scratch);
        for (size_t k = 0; k < pixels; k++) {
            for (int c = 0; c < d->channels; c++)
                counts[c][*p++]++;
        }
    }
    for (int c = 0; c < d->channels; c++) {
        double sum = 0, squares = 0;
        for (int v = 0; v < 256; v++) {
            sum += (double)counts[c][v] * v;
            squares += (double)counts[c][v] * v * v;
        }
        double mean = sum / (double)n, variance = squares / (double)n - mean * mean;
        d->mean[c] = (float)(mean / 255);
        /* A channel without any variation is left unscaled. */
        d->deviation[c] = variance > 1e-9 ? (float)(sqrt(variance) / 255) : 1;
    }
}

static lvt_status finish(lvt_dataset *d, const char *spec, const lvt_dataset_options *o, lvt_diag *diag) {
    size_t *counts = calloc((size_t)d->classes * 2 + 1, sizeof *counts);
    if (!counts)
        return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "%s: out of memory", spec);
    const lvt_images *parts[] = {&d->train, &d->test};
    for (int part = 0; part < 2; part++) {
        for (size_t i = 0; i < parts[part]->n; i++)
            counts[part * d->classes + parts[part]->labels[i]]++;
    }
    lvt_status status = LVT_OK;
    for (int c = 0; c < d->classes + d->domains && status == LVT_OK; c++) {
        const char *name = c < d->classes ? d->class_names[c] : d->domain_names[c - d->classes];
        if (!lvt_utf8_valid(name))
            status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: the name of a %s is not UTF-8, \"%s\"",
                               spec, c < d->classes ? "class" : "domain", name);
    }
    for (int c = 0; c < d->classes && status == LVT_OK; c++) {
        for (int part = 0; part < 2 && status == LVT_OK; part++) {
            if (!counts[part * d->classes + c] && !o->asks)
                status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: class %d (%s) has no %s images",
                                   spec, c, d->class_names[c], part ? "test" : "training");
        }
    }
    free(counts);
    if (status != LVT_OK)
        return status;
    size_t bytes = lvt_image_bytes(d);
    uint8_t *scratch = malloc(bytes + 1);
    if (!scratch)
        return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "%s: out of memory", spec);
    measure(d, scratch);
    uint64_t h = LVT_FNV_START;
    for (int part = 0; part < 2; part++) {
        if (!parts[part]->views)
            h = hash_bytes(h, parts[part]->pixels, parts[part]->n * bytes);
        for (size_t i = 0; i < parts[part]->n && parts[part]->views; i++)
            h = hash_bytes(h, lvt_image_at(parts[part], bytes, i, scratch), bytes);
        h = hash_bytes(h, parts[part]->labels, parts[part]->n * sizeof(int32_t));
    }
    free(scratch);
    for (int c = 0; c < d->classes; c++)
        h = hash_bytes(h, d->class_names[c], strlen(d->class_names[c]) + 1);
    for (int part = 0; part < 2 && d->domains; part++)
        h = hash_bytes(h, parts[part]->domains, parts[part]->n * sizeof(int32_t));
    int32_t shape[] = {d->height, d->width, d->channels, d->classes};
    d->fingerprint = hash_bytes(h, shape, sizeof shape);
    return LVT_OK;
}

static const reader *find_reader(const char *spec, size_t length, lvt_diag *diag) {
    const char *names[N_READERS];
    for (int i = 0; i < N_READERS; i++) {
        names[i] = readers[i].name;
        if (strlen(names[i]) == length && !strncmp(names[i], spec, length))
            return &readers[i];
    }
    char word[32];
    snprintf(word, sizeof word, "%.*s", (int)(length < 31 ? length : 31), spec);
    const char *near = lvt_nearest(word, names, N_READERS);
    lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "no such kind of data, \"%s\"%s%s%s", word,
              near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    lvt_note(diag, LVT_NOWHERE,
             "the kinds are cifar100:DIR, cifar10:DIR, idx:DIR, folder:DIR, domains:DIR, permuted:N:DATA,\n"
             "rotated:N:DATA and digits");
    return NULL;
}

lvt_status lvt_dataset_open(const char *spec, const lvt_dataset_options *options, lvt_dataset **out,
                            lvt_diag *diag) {
    *out = NULL;
    const char *colon = strchr(spec, ':');
    const reader *r = find_reader(spec, colon ? (size_t)(colon - spec) : strlen(spec), diag);
    if (!r)
        return LVT_USAGE;
    if (r->needs_dir ? !colon || !colon[1] : colon != NULL)
        return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE,
                         r->needs_dir ? "%s needs a folder: %s:DIR" : "%s is built in and takes no folder",
                         r->name, r->name);
    lvt_dataset *d = calloc(1, sizeof *d);
    if (!d || !(d->name = strdup(r->name))) {
        lvt_dataset_free(d);
        return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "%s: out of memory", spec);
    }
    static const lvt_dataset_options none;
    options = options ? options : &none;
    lvt_status status = r->read(d, colon ? colon + 1 : NULL, options, diag);
    if (status == LVT_OK && !d->train.views) /* of views what they are of was adapted */
        status = adapt(d, options, diag);
    if (status == LVT_OK)
        status = finish(d, spec, options, diag);
    if (status != LVT_OK) {
        lvt_dataset_free(d);
        return status;
    }
    *out = d;
    return LVT_OK;
}
