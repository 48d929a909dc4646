/* Reader of IDX files, the form of MNIST and its relatives: a head of big-endian numbers, then bytes.
 * Invariants: sizes in the head and in the file agree, images and labels are as many, or an error names the
 * file. May not know: where the files came from, tasks. */
#include "dataset.h"
#include "ir/base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of an IDX file of unsigned bytes with `rank` dims. *bytes is malloc'ed; *data points into it. name:
 * as published, with a dash or a dot before "idx". */
static lvt_status read_idx(const char *dir, const char *name, int rank, uint32_t dims[3], uint8_t **bytes,
                           const uint8_t **data, lvt_diag *diag) {
    char file[64];
    snprintf(file, sizeof file, "%s", name);
    char *path = lvt_path_join(dir, file);
    if (path && !lvt_path_exists(path)) {
        *strstr(file, "-idx") = '.';
        free(path);
        path = lvt_path_join(dir, file);
    }
    if (!path)
        return lvt_no_memory(diag, NULL);
    lvt_status status = LVT_OK;
    size_t size = 0;
    if (!lvt_path_exists(path)) {
        char packed[4096];
        snprintf(packed, sizeof packed, "%s/%s.gz", dir, name);
        status = lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: there is no %s", dir, name);
        if (lvt_path_exists(packed))
            lvt_note(diag, LVT_NOWHERE, "it is there in packed form: unpack it first with `gzip -dk %s`",
                     packed);
    } else {
        status = lvt_file_read(path, bytes, &size, diag);
    }
    size_t head = 4 + 4 * (size_t)rank, wanted = 1;
    if (status == LVT_OK &&
        (size < head || (*bytes)[0] || (*bytes)[1] || (*bytes)[2] != 8 || (*bytes)[3] != rank))
        status =
            lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: not an IDX file of bytes with %d dimension%s",
                      path, rank, rank == 1 ? "" : "s");
    for (int i = 0; i < rank && status == LVT_OK; i++) {
        const uint8_t *p = *bytes + 4 + 4 * i;
        dims[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
        /* No product overflows: three factors below 2^20 (images of 4096 at most, see below). */
        if (!dims[i] || dims[i] > (i ? 4096u : 1u << 28))
            status =
                lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: dimension %d is %u", path, i + 1, dims[i]);
        wanted *= dims[i];
    }
    if (status == LVT_OK && size - head != wanted)
        status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                           "%s: truncated or too long: %zu bytes follow the head, which asks for %zu", path,
                           size - head, wanted);
    if (status == LVT_OK)
        *data = *bytes + head;
    free(path);
    return status;
}

static lvt_status read_part(lvt_dataset *d, lvt_images *images, const char *dir, const char *part,
                            lvt_diag *diag) {
    char name[64];
    uint32_t size[3] = {0}, count[3] = {0};
    uint8_t *pixels = NULL, *labels = NULL;
    const uint8_t *p = NULL, *l = NULL;
    snprintf(name, sizeof name, "%s-images-idx3-ubyte", part);
    lvt_status status = read_idx(dir, name, 3, size, &pixels, &p, diag);
    snprintf(name, sizeof name, "%s-labels-idx1-ubyte", part);
    if (status == LVT_OK)
        status = read_idx(dir, name, 1, count, &labels, &l, diag);
    if (status == LVT_OK && size[0] != count[0])
        status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: %u images, but %u labels in the part %s",
                           dir, size[0], count[0], part);
    if (status == LVT_OK && d->height && (d->height != (int)size[1] || d->width != (int)size[2]))
        status =
            lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: training images are %dx%d, test images %ux%u",
                      dir, d->height, d->width, size[1], size[2]);
    if (status == LVT_OK) {
        d->height = (int)size[1];
        d->width = (int)size[2];
        if (!lvt_images_grow(d, images, size[0]))
            status = lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "%s: out of memory", dir);
    }
    if (status == LVT_OK) {
        memcpy(images->pixels, p, size[0] * lvt_image_bytes(d));
        for (uint32_t i = 0; i < size[0]; i++) {
            images->labels[i] = l[i];
            d->classes = l[i] >= d->classes ? l[i] + 1 : d->classes;
        }
        images->n = size[0];
    }
    free(pixels);
    free(labels);
    return status;
}

lvt_status lvt_read_idx(lvt_dataset *d, const char *dir, const lvt_dataset_options *o, lvt_diag *diag) {
    (void)o;
    d->channels = 1;
    lvt_status status = read_part(d, &d->train, dir, "train", diag);
    if (status == LVT_OK)
        status = read_part(d, &d->test, dir, "t10k", diag);
    if (status != LVT_OK)
        return status;
    d->crop = d->height / 8;
    int n = d->classes;
    d->classes = 0; /* names are freed by their number */
    if (!(d->class_names = calloc((size_t)n, sizeof *d->class_names)))
        return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "%s: out of memory", dir);
    for (; d->classes < n; d->classes++) {
        char number[16];
        snprintf(number, sizeof number, "%d", d->classes);
        if (!(d->class_names[d->classes] = strdup(number)))
            return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "%s: out of memory", dir);
    }
    return LVT_OK;
}
