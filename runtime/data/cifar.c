/* Readers of CIFAR-10 and CIFAR-100 in their binary form: records of label bytes and 3072 pixels (1024 red,
 * 1024 green, 1024 blue). Invariants: a file is a whole number of records with labels in range, or an error
 * names it. May not know: where the files came from, tasks. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* asprintf */
#endif
#include "dataset.h"
#include "ir/base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 32, PLANE = SIDE * SIDE, PIXELS = 3 * PLANE };

/* Where a file lies: in the folder itself or in the folder that the published archive makes. NULL (with the
 * message) when it is in neither. The caller frees it. */
static char *find(const char *dir, const char *folder, const char *name, lvt_status *status, lvt_diag *diag) {
    static const char *const packed[] = {".xz", ".gz", ".bz2", ".zst"};
    static const char *const unpack[] = {"xz -dk", "gzip -dk", "bzip2 -dk", "zstd -d"};
    char *found_packed = NULL;
    for (int place = 0; place < 2; place++) {
        char *base = place ? lvt_path_join(dir, folder) : strdup(dir);
        char *path = base ? lvt_path_join(base, name) : NULL;
        free(base);
        if (!path) {
            *status = lvt_no_memory(diag, NULL);
            free(found_packed);
            return NULL;
        }
        if (lvt_path_exists(path)) {
            free(found_packed);
            return path;
        }
        for (int i = 0; i < 4 && !found_packed; i++) {
            char both[4096];
            snprintf(both, sizeof both, "%s%s", path, packed[i]);
            if (lvt_path_exists(both) && asprintf(&found_packed, "%s %s", unpack[i], both) < 0)
                found_packed = NULL;
        }
        free(path);
    }
    *status = lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: there is no %s", dir, name);
    if (found_packed)
        lvt_note(diag, LVT_NOWHERE, "it is there in packed form: unpack it first with `%s`", found_packed);
    else
        lvt_note(diag, LVT_NOWHERE, "looked in %s and in %s/%s", dir, dir, folder);
    free(found_packed);
    return NULL;
}

/* Appends the records of one file. labels: label bytes a record, the last one is the class; coarse (classes
 * long, may be NULL) gets the first one of each class. */
static lvt_status read_records(lvt_dataset *d, lvt_images *images, const char *dir, const char *folder,
                               const char *name, int labels, int32_t *coarse, lvt_diag *diag) {
    lvt_status status = LVT_OK;
    char *path = find(dir, folder, name, &status, diag);
    if (!path)
        return status;
    uint8_t *bytes;
    size_t size, record = (size_t)labels + PIXELS;
    status = lvt_file_read(path, &bytes, &size, diag);
    size_t n = size / record;
    if (status == LVT_OK && (n == 0 || size % record))
        status = lvt_error(
            diag, LVT_USER, NULL, LVT_NOWHERE,
            "%s: %zu bytes are not a whole number of records of %zu bytes (%zu and %zu bytes more): the "
            "file is truncated or of another kind",
            path, size, record, n, size % record);
    if (status == LVT_OK && !lvt_images_grow(d, images, n))
        status = lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "%s: out of memory", path);
    for (size_t i = 0; i < n && status == LVT_OK; i++) {
        const uint8_t *r = bytes + i * record;
        int label = r[labels - 1];
        if (label >= d->classes) {
            status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                               "%s: record %zu has label %d, but there are %d classes", path, i, label,
                               d->classes);
            break;
        }
        if (coarse && labels > 1)
            coarse[label] = r[0];
        uint8_t *to = images->pixels + (images->n + i) * PIXELS;
        for (int p = 0; p < PLANE; p++) {
            for (int c = 0; c < 3; c++)
                to[p * 3 + c] = r[labels + c * PLANE + p];
        }
        images->labels[images->n + i] = label;
    }
    if (status == LVT_OK)
        images->n += n;
    free(bytes);
    free(path);
    return status;
}

/* Names one a line; when there is no such file, classes are called by their numbers. */
static lvt_status read_names(lvt_dataset *d, const char *dir, const char *folder, const char *name,
                             lvt_diag *diag) {
    d->class_names = calloc((size_t)d->classes, sizeof *d->class_names);
    uint8_t *text = NULL;
    size_t size = 0;
    char *path = NULL;
    for (int place = 0; place < 2 && !text && d->class_names; place++) {
        char *base = place ? lvt_path_join(dir, folder) : strdup(dir);
        free(path);
        path = base ? lvt_path_join(base, name) : NULL;
        free(base);
        if (path && lvt_path_exists(path)) {
            lvt_status status = lvt_file_read(path, &text, &size, diag);
            if (status != LVT_OK) {
                free(path);
                return status;
            }
        }
    }
    int n = 0;
    char *rest = (char *)text, *line;
    bool memory = d->class_names != NULL;
    while (rest && memory && (line = strsep(&rest, "\n"))) {
        line[strcspn(line, "\r")] = 0;
        if (!*line)
            continue;
        if (n < d->classes)
            memory = (d->class_names[n] = strdup(line)) != NULL;
        n++;
    }
    lvt_status status = LVT_OK;
    if (text && n != d->classes)
        status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: %d names, but there are %d classes", path,
                           n, d->classes);
    for (int c = 0; c < d->classes && !text && memory; c++) {
        char number[16];
        snprintf(number, sizeof number, "%d", c);
        memory = (d->class_names[c] = strdup(number)) != NULL;
    }
    free(text);
    free(path);
    if (!memory)
        return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "%s: out of memory", dir);
    return status;
}

static void shape(lvt_dataset *d, int classes) {
    d->height = d->width = SIDE;
    d->channels = 3;
    d->classes = classes;
    d->crop = 4;
    d->flip = true;
}

lvt_status lvt_read_cifar100(lvt_dataset *d, const char *dir, const lvt_dataset_options *o, lvt_diag *diag) {
    static const char folder[] = "cifar-100-binary";
    (void)o;
    shape(d, 100);
    lvt_status status = read_names(d, dir, folder, "fine_label_names.txt", diag);
    if (status == LVT_OK && !(d->groups = calloc((size_t)d->classes, sizeof *d->groups)))
        status = lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "%s: out of memory", dir);
    if (status == LVT_OK)
        status = read_records(d, &d->train, dir, folder, "train.bin", 2, d->groups, diag);
    if (status == LVT_OK)
        status = read_records(d, &d->test, dir, folder, "test.bin", 2, NULL, diag);
    return status;
}

lvt_status lvt_read_cifar10(lvt_dataset *d, const char *dir, const lvt_dataset_options *o, lvt_diag *diag) {
    static const char folder[] = "cifar-10-batches-bin";
    (void)o;
    shape(d, 10);
    lvt_status status = read_names(d, dir, folder, "batches.meta.txt", diag);
    for (int i = 1; i <= 5 && status == LVT_OK; i++) {
        char name[32];
        snprintf(name, sizeof name, "data_batch_%d.bin", i);
        status = read_records(d, &d->train, dir, folder, name, 1, NULL, diag);
    }
    if (status == LVT_OK)
        status = read_records(d, &d->test, dir, folder, "test_batch.bin", 1, NULL, diag);
    return status;
}
