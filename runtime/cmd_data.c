/* lvt-run data: what a data set holds, and a sheet of its pictures. May not know: models, training. */
#include "cmd.h"
#include "cmd_checkpoint.h"
#include "data/image.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void count(const lvt_images *images, uint32_t *counts) {
    for (size_t i = 0; i < images->n; i++)
        counts[images->labels[i]]++;
}

static void print(const lvt_dataset *d, const uint32_t *train, const uint32_t *test) {
    printf("data         %s: %zu training and %zu test images, %dx%dx%d (height, width, channels)\n", d->name,
           d->train.n, d->test.n, d->height, d->width, d->channels);
    printf("channels     mean");
    for (int c = 0; c < d->channels; c++)
        printf(" %.4f", d->mean[c]);
    printf(", deviation");
    for (int c = 0; c < d->channels; c++)
        printf(" %.4f", d->deviation[c]);
    printf(" (of training images, 0 to 1)\naugmentation random crops with %d pixels of padding%s\n", d->crop,
           d->flip ? ", half mirrored" : "");
    for (int k = 0; k < d->domains; k++)
        printf("%-13s%s\n", k ? "" : "domains", d->domain_names[k]);
    printf("fingerprint  %016" PRIx64 "\n\n%6s%10s%8s%s  class\n", d->fingerprint, "label", "training",
           "test", d->groups ? "  group" : "");
    for (int c = 0; c < d->classes; c++) {
        printf("%6d%10u%8u", c, train[c], test[c]);
        if (d->groups)
            printf("%7d", d->groups[c]);
        printf("  %s\n", d->class_names[c]);
    }
}

/* One row a class with its first `columns` training images, enlarged by a whole number when they are small.
 */
static lvt_status write_sheet(const lvt_dataset *d, int columns, const char *path, lvt_diag *diag) {
    enum { GAP = 2, LEGIBLE = 32 };
    int channels = d->channels == 3 ? 3 : 1;
    int zoom = d->height < LEGIBLE ? (LEGIBLE + d->height - 1) / d->height : 1;
    int cell_h = zoom * d->height + GAP, cell_w = zoom * d->width + GAP;
    lvt_picture p = {d->classes * cell_h - GAP, columns * cell_w - GAP, channels, NULL};
    size_t bytes = (size_t)p.height * (size_t)p.width * (size_t)channels;
    int *shown = calloc((size_t)d->classes, sizeof *shown);
    if (!shown || !(p.pixels = malloc(bytes))) {
        free(shown);
        return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "%s: out of memory", path);
    }
    memset(p.pixels, 255, bytes);
    for (size_t i = 0; i < d->train.n; i++) {
        int row = d->train.labels[i];
        if (shown[row] == columns)
            continue;
        const uint8_t *image = d->train.pixels + i * lvt_image_bytes(d);
        for (int y = 0; y < zoom * d->height; y++) {
            uint8_t *to =
                p.pixels + ((size_t)(row * cell_h + y) * (size_t)p.width + (size_t)(shown[row] * cell_w)) *
                               (size_t)channels;
            for (int x = 0; x < zoom * d->width; x++, to += channels)
                memcpy(to, image + (size_t)(y / zoom * d->width + x / zoom) * (size_t)d->channels,
                       (size_t)channels);
        }
        shown[row]++;
    }
    lvt_status status = lvt_picture_write(&p, path, diag);
    free(p.pixels);
    free(shown);
    return status;
}

lvt_status lvt_cmd_data(int argc, char **argv, lvt_diag *diag) {
    const char *sheet = NULL, *resize = NULL;
    int columns = 20;
    const lvt_option rows[] = {
        {"sheet", 0, LVT_OPTION_TEXT, "FILE.png", "draw a sheet of training images, one row a class", &sheet,
         0, 0, NULL},
        {"columns", 0, LVT_OPTION_INT, "N", "images a class on it (20)", &columns, 1, 200, NULL},
        {"resize", 0, LVT_OPTION_TEXT, "HxW", "scale the pictures of folder:DIR", &resize, 0, 0, NULL},
    };
    const lvt_usage usage = {
        "lvt-run data KIND[:DIR]",
        "Reads a data set as `lvt-run train --data` does and says what is in it: sizes, statistics, and how\n"
        "many images each class has.\n"
        "  lvt-run data cifar100:DIR --sheet sheet.png",
        rows,
        sizeof rows / sizeof *rows,
        1,
        1};
    lvt_arguments arguments;
    lvt_status status = lvt_arguments_parse(&usage, argc, argv, &arguments, diag);
    if (status != LVT_OK || arguments.done)
        return status;
    lvt_dataset_options options;
    lvt_dataset *d = NULL;
    status = lvt_parse_size(resize, &options, diag);
    if (status == LVT_OK)
        status = lvt_dataset_open(arguments.values[0], &options, &d, diag);
    if (status != LVT_OK)
        return status;
    uint32_t *counts = calloc(2 * (size_t)d->classes, sizeof *counts);
    if (counts) {
        count(&d->train, counts);
        count(&d->test, counts + d->classes);
        print(d, counts, counts + d->classes);
        if (sheet)
            status = write_sheet(d, columns, sheet, diag);
    } else {
        status = lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "out of memory");
    }
    free(counts);
    lvt_dataset_free(d);
    return status;
}
