/* lvt-run data: what a data set holds, and a sheet of its pictures. May not know: models, training. */
#include "command.h"
#include "ir/base/c_locale.h"
#include "checkpoint.h"
#include "settings.h"
#include "runtime/continual/trainer.h"
#include "runtime/data/image.h"
#include "ir/base/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void count(const lvt_images *images, uint32_t *counts) {
    for (size_t i = 0; i < images->n; i++)
        counts[images->labels[i]]++;
}

static void print(const lvt_dataset *d, const uint32_t *train, const uint32_t *test) {
    lvt_print("data         %s: %zu training and %zu test images, %dx%dx%d (height, width, channels)\n",
              d->name, d->train.n, d->test.n, d->height, d->width, d->channels);
    lvt_print("channels     mean");
    for (int c = 0; c < d->channels; c++)
        lvt_print(" %.4f", d->mean[c]);
    lvt_print(", deviation");
    for (int c = 0; c < d->channels; c++)
        lvt_print(" %.4f", d->deviation[c]);
    lvt_print(" (of training images, 0 to 1)\naugmentation random crops with %d pixels of padding%s\n",
              d->crop, d->flip ? ", half mirrored" : "");
    for (int k = 0; k < d->domains; k++)
        lvt_print("%-13s%s\n", k ? "" : "domains", d->domain_names[k]);
    lvt_print("fingerprint  %016" PRIx64 "\n\n%6s%10s%8s%s  class\n", d->fingerprint, "label", "training",
              "test", d->groups ? "  group" : "");
    for (int c = 0; c < d->classes; c++) {
        lvt_print("%6d%10u%8u", c, train[c], test[c]);
        if (d->groups)
            lvt_print("%7d", d->groups[c]);
        lvt_print("  %s\n", d->class_names[c]);
    }
}

/* ---- the sheet ----------------------------------------------------------------------------------------- */

typedef struct sheet {
    const lvt_dataset *d;
    int columns, rows_a_class; /* 2: as it is, and below it as training sees it */
    lvt_augment augment;
    lvt_mixing mixing;
    uint64_t seed;
} sheet;

enum { GAP = 2, LEGIBLE = 32 };

/* Small pictures are enlarged by a whole number. */
static int zoom_of(const lvt_dataset *d) {
    return d->height < LEGIBLE ? (LEGIBLE + d->height - 1) / d->height : 1;
}

static void draw(const sheet *s, const lvt_picture *p, int row, int column, const uint8_t *image) {
    const lvt_dataset *d = s->d;
    int zoom = zoom_of(d), y0 = row * (zoom * d->height + GAP), x0 = column * (zoom * d->width + GAP);
    for (int y = 0; y < zoom * d->height; y++) {
        uint8_t *to = p->pixels + ((size_t)(y0 + y) * (size_t)p->width + (size_t)x0) * (size_t)p->channels;
        for (int x = 0; x < zoom * d->width; x++, to += p->channels)
            memcpy(to, image + (size_t)(y / zoom * d->width + x / zoom) * (size_t)d->channels,
                   (size_t)p->channels);
    }
}

/* The images chosen are one batch of training: what becomes of each, below it. chosen: 1 + place of an image,
 * 0 where a class has fewer. scratch: one image. */
static bool draw_augmented(const sheet *s, const lvt_picture *p, const size_t *chosen, uint32_t n,
                           uint8_t *scratch) {
    size_t bytes = lvt_image_bytes(s->d), channels = (size_t)s->d->channels;
    uint32_t *batch = malloc(n * sizeof *batch), size = 0;
    float *seen = malloc(n * bytes * sizeof *seen), *mixed = malloc(bytes * sizeof *mixed);
    bool ok = batch && seen && mixed;
    for (uint32_t i = 0; i < n && ok; i++) {
        uint32_t words[LVT_AUGMENT_WORDS];
        if (!chosen[i])
            continue;
        lvt_augment_words(s->seed, LVT_RANDOM_AUGMENT, 0, size, words);
        lvt_augment_image(&s->augment, lvt_image_at(&s->d->train, bytes, chosen[i] - 1, scratch), words,
                          seen + size * bytes);
        batch[size++] = i;
    }
    for (uint32_t i = 0; i < size && ok; i++) {
        lvt_mix mix = lvt_mix_draw(&s->mixing, s->seed, 0, i, size, s->d->height, s->d->width);
        lvt_mix_images(&mix, seen + i * bytes, seen + mix.with * bytes, s->d->height, s->d->width,
                       s->d->channels, mixed);
        for (size_t k = 0; k < bytes; k++) {
            const float *table = s->augment.table[k % channels];
            scratch[k] = (uint8_t)lrintf(255 * (mixed[k] - table[0]) / (table[255] - table[0]));
        }
        draw(s, p, (int)(batch[i] / (uint32_t)s->columns) * 2 + 1, (int)(batch[i] % (uint32_t)s->columns),
             scratch);
    }
    free(batch);
    free(seen);
    free(mixed);
    return ok;
}

/* Each class with its first `columns` training images; with domains as many of each as have room, side by
 * side. */
static lvt_status write_sheet(const sheet *s, const char *path, lvt_diag *diag) {
    const lvt_dataset *d = s->d;
    int channels = d->channels == 3 ? 3 : 1, zoom = zoom_of(d);
    int rows = d->classes * s->rows_a_class, columns = s->columns;
    lvt_picture p = {rows * (zoom * d->height + GAP) - GAP, columns * (zoom * d->width + GAP) - GAP, channels,
                     NULL};
    size_t bytes = (size_t)p.height * (size_t)p.width * (size_t)channels,
           n = (size_t)d->classes * (size_t)columns;
    size_t *chosen = calloc(n, sizeof *chosen);
    int *shown = calloc((size_t)d->classes, sizeof *shown);
    uint8_t *scratch = malloc(lvt_image_bytes(d));
    bool ok = chosen && shown && scratch && (p.pixels = malloc(bytes));
    if (ok)
        memset(p.pixels, 255, bytes);
    int kinds = d->domains && d->domains < columns ? d->domains : 1, each = columns / kinds;
    for (size_t i = 0; i < d->train.n && ok; i++) {
        int class = d->train.labels[i], domain = kinds > 1 ? d->train.domains[i] : 0;
        if (shown[class] == (domain + 1) * each) /* images of a domain follow those of the one before */
            continue;
        chosen[class * columns + shown[class]] = i + 1;
        draw(s, &p, class * s->rows_a_class, shown[class]++,
             lvt_image_at(&d->train, lvt_image_bytes(d), i, scratch));
    }
    if (ok && s->rows_a_class == 2)
        ok = draw_augmented(s, &p, chosen, (uint32_t)n, scratch);
    lvt_status status = ok ? lvt_picture_write(&p, NULL, path, diag)
                           : lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "%s: out of memory", path);
    free(p.pixels);
    free(shown);
    free(scratch);
    free(chosen);
    return status;
}

/* ---- the command --------------------------------------------------------------------------------------- */

/* Rows of the settings that say how images are changed, as `train` has them. */
static int augment_rows(lvt_settings *s, lvt_option_list *coef, lvt_option *rows) {
    static const char *const names[] = {"seed",   "crop",  "flip",   "cutout",
                                        "colour", "mixup", "cutmix", "mix-part"};
    lvt_option all[LVT_SETTINGS_ROWS];
    int n = 0, count = lvt_cmd_settings(s, coef, all);
    for (int i = 0; i < count; i++) {
        for (size_t k = 0; k < sizeof names / sizeof *names && all[i].name; k++) {
            if (!strcmp(names[k], all[i].name))
                rows[n++] = all[i];
        }
    }
    return n;
}

/* Of each broken picture at once: there may be more than a diag keeps. */
static void tell_broken(void *user, const lvt_diag *words) {
    size_t *n = user;
    char *text = lvt_diag_text(words);
    fputs(text ? text : "out of memory\n", stderr);
    free(text);
    ++*n;
}

lvt_status lvt_cmd_data(int argc, char **argv, lvt_diag *diag) {
    const char *path = NULL, *resize = NULL;
    int columns = 20;
    bool augmented = false, check = false, skip = false;
    lvt_settings settings;
    lvt_settings_defaults(&settings);
    enum { COLUMNS = 1, AUGMENTED = 5, OWN_ROWS }; /* those below; the settings follow */
    lvt_option rows[OWN_ROWS + LVT_SETTINGS_ROWS + 1] = {
        {"sheet", 0, LVT_OPTION_TEXT, "FILE.png", "draw a sheet of training images, one row a class", &path,
         0, 0, NULL},
        {"columns", 0, LVT_OPTION_INT, "N", "images a class on it (20)", &columns, 1, 200, NULL},
        {"resize", 0, LVT_OPTION_TEXT, "HxW", "scale the images to one size", &resize, 0, 0, NULL},
        {"check", 0, LVT_OPTION_FLAG, NULL,
         "read all pictures of folders and name every one that cannot be\nread; the exit code is 1 if there "
         "are any",
         &check, 0, 0, NULL},
        {"skip-broken", 0, LVT_OPTION_FLAG, NULL, "leave out pictures of folders that cannot be read", &skip,
         0, 0, NULL},
        {"augmented", 0, LVT_OPTION_FLAG, NULL,
         "below each image of the sheet, what training makes of it; with\nthe options of `lvt-run train`:",
         &augmented, 0, 0, NULL},
    };
    lvt_option_list coef;
    int n_rows = OWN_ROWS + augment_rows(&settings, &coef, rows + OWN_ROWS);
    const lvt_usage usage = {
        "lvt-run data KIND[:DIR]",
        "Reads a data set as `lvt-run train --data` does and says what is in it: sizes, statistics, and how\n"
        "many images each class has.\n"
        "  lvt-run data cifar100:DIR --sheet sheet.png\n"
        "  lvt-run data cifar100:DIR --sheet sheet.png --augmented --cutout 8 --mixup 0.4",
        rows,
        n_rows,
        1,
        1};
    lvt_arguments arguments;
    lvt_status status = lvt_arguments_parse(&usage, argc, argv, &arguments, diag);
    if (status != LVT_OK || arguments.done)
        return status;
    for (int i = 0; i < n_rows; i++) {
        bool draws = i == COLUMNS || i == AUGMENTED, changes = i >= OWN_ROWS;
        if (arguments.given[i] && ((draws && !path) || (changes && !augmented)))
            return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE,
                             "--%s says how a sheet is drawn: give --sheet FILE.png%s", rows[i].name,
                             changes ? " and --augmented" : "");
    }
    size_t length = path ? strlen(path) : 0;
    if (path && (length < 4 || !lvt_same_word(path + length - 4, ".png")))
        return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "--sheet writes PNG: %s does not end in .png",
                         path);
    lvt_dataset_options options;
    lvt_dataset *d = NULL;
    status = lvt_parse_size(resize, &options, diag);
    size_t broken = 0;
    options.skip_broken = check || skip;
    options.broken = check ? tell_broken : NULL;
    options.user = &broken;
    if (status == LVT_OK)
        status = lvt_dataset_open(arguments.values[0], &options, &d, diag);
    if (status == LVT_OK && broken)
        status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%zu of %zu pictures cannot be read", broken,
                           d->train.n + d->test.n + broken);
    if (status != LVT_OK) {
        lvt_dataset_free(d);
        return status;
    }
    uint32_t *counts = calloc(2 * (size_t)d->classes, sizeof *counts);
    if (counts) {
        count(&d->train, counts);
        count(&d->test, counts + d->classes);
        print(d, counts, counts + d->classes);
        sheet drawn = {.d = d, .columns = columns, .rows_a_class = augmented ? 2 : 1, .seed = settings.seed};
        lvt_augment_by(&settings, d, &drawn.augment, &drawn.mixing);
        if (path)
            status = write_sheet(&drawn, path, diag);
    } else {
        status = lvt_no_memory(diag, NULL);
    }
    free(counts);
    lvt_dataset_free(d);
    return status;
}
