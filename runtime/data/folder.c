/* Reader of folders of pictures: DIR/train/CLASS/FILE and DIR/test/CLASS/FILE (or val instead of test), or
 * DIR/CLASS/FILE with a split made here.
 *
 * Invariants: classes and files are taken in the byte order of their names, so the data set does not depend
 * on the file system; without a test folder every fifth file of a class is a test image; files that are left
 * out are counted, names of classes are UTF-8. May not know: how pictures are coded. */
#include "dataset.h"
#include "ir/base/file.h"
#include "image.h"
#include "listing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_bytes(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* ---- reading ------------------------------------------------------------------------------------------- */

typedef struct reading {
    lvt_dataset *d;
    const lvt_dataset_options *options;
    char *first;       /* the picture that set the size */
    const char *inner; /* folder below a class's that holds its pictures; NULL: none */
    lvt_ignored ignored;
    lvt_names broken; /* pictures that were left out */
} reading;

/* A grey picture among colour ones is read as colour; the first that is not grey makes the data set colour. */
static lvt_status same_channels(reading *r, const char *path, lvt_picture *p, lvt_diag *diag) {
    lvt_dataset *d = r->d;
    if (p->channels < d->channels) {
        free(p->pixels);
        p->pixels = NULL;
        return lvt_picture_read(path, d->channels, p, diag);
    }
    if (p->channels > d->channels) {
        if (!lvt_images_colour(d, &d->train) || !lvt_images_colour(d, &d->test))
            return lvt_no_memory(diag, path);
        d->channels = p->channels;
    }
    return LVT_OK;
}

/* Makes a picture that was read like those before it, and puts it behind them. The caller frees its pixels. */
static lvt_status put(reading *r, lvt_images *images, const char *path, lvt_picture *p, int label,
                      lvt_diag *diag) {
    lvt_dataset *d = r->d;
    const lvt_dataset_options *o = r->options;
    if (r->first)
        LVT_TRY(same_channels(r, path, p, diag));
    if (o->resize_height)
        LVT_TRY(lvt_picture_resize(p, o->resize_height, o->resize_width, diag));
    if (!r->first) {
        d->height = p->height;
        d->width = p->width;
        d->channels = p->channels;
        if (!(r->first = strdup(path)))
            return lvt_no_memory(diag, NULL);
    }
    if (p->height != d->height || p->width != d->width) {
        lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: the picture has %dx%d pixels, %s has %dx%d", path,
                  p->height, p->width, r->first, d->height, d->width);
        lvt_note(diag, LVT_NOWHERE, "--resize HxW scales all pictures to one size");
        return LVT_USER;
    }
    if ((images->n & (images->n - 1)) == 0 && !lvt_images_grow(d, images, images->n + 1))
        return lvt_no_memory(diag, path);
    memcpy(images->pixels + images->n * lvt_image_bytes(d), p->pixels, lvt_image_bytes(d));
    images->labels[images->n++] = label;
    return LVT_OK;
}

static lvt_status add(reading *r, lvt_images *images, const char *path, int label, lvt_diag *diag) {
    lvt_picture p = {0};
    lvt_status status = lvt_picture_read(path, r->options->channels, &p, diag);
    if (status == LVT_OK)
        status = put(r, images, path, &p, label, diag);
    free(p.pixels);
    return status;
}

/* The same, but with options.skip_broken a picture that cannot be read is left out. */
static lvt_status add_if_whole(reading *r, lvt_images *images, const char *path, int label, lvt_diag *diag) {
    if (!r->options->skip_broken)
        return add(r, images, path, label, diag);
    lvt_diag *words = lvt_diag_new();
    lvt_status status = words ? add(r, images, path, label, words) : lvt_no_memory(diag, path);
    if (status == LVT_USER || status == LVT_IO) {
        if (r->options->broken)
            r->options->broken(r->options->user, words);
        status = lvt_names_add(&r->broken, strdup(path)) ? LVT_OK : lvt_no_memory(diag, path);
    } else if (words) {
        lvt_diag_move(diag, words);
    }
    lvt_diag_free(words);
    return status;
}

/* "DIR: 7 pictures that cannot be read are left out: a.png, b.png, c.png, ..." */
static void tell_broken(const reading *r, const char *dir, lvt_diag *diag) {
    enum { NAMED = 3 };
    const lvt_names *b = &r->broken;
    if (b->n && !r->options->broken) /* who is told of each knows */
        lvt_warning(diag, NULL, LVT_NOWHERE, "%s: %d picture%s that cannot be read %s left out: %s%s%s%s%s%s",
                    dir, b->n, b->n == 1 ? "" : "s", b->n == 1 ? "is" : "are", b->list[0],
                    b->n > 1 ? ", " : "", b->n > 1 ? b->list[1] : "", b->n > 2 ? ", " : "",
                    b->n > 2 ? b->list[2] : "", b->n > NAMED ? ", ..." : "");
}

static lvt_status enough(const reading *r, const char *dir, int n, bool split, lvt_diag *diag) {
    if (n == 0)
        return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                         "%s: the class is empty: no .png, .jpg, .jpeg, .bmp or .webp in it", dir);
    if (split && n < 5 && !r->options->asks)
        return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                         "%s: %d pictures are too few to split (every fifth is a test image, so 5 at least)",
                         dir, n);
    return LVT_OK;
}

/* All pictures of one class folder; every fifth goes to `fifth`. */
static lvt_status read_class(reading *r, const char *dir, int label, lvt_images *images, lvt_images *fifth,
                             lvt_diag *diag) {
    lvt_names files;
    LVT_TRY(lvt_list(dir, LVT_LIST_PICTURES, &files, &r->ignored, diag));
    lvt_status status = enough(r, dir, files.n, fifth != images, diag);
    for (int i = 0; i < files.n && status == LVT_OK; i++) {
        char *path = lvt_path_join(dir, files.list[i]);
        status = path ? add_if_whole(r, i % 5 == 4 ? fifth : images, path, label, diag)
                      : lvt_no_memory(diag, NULL);
        free(path);
    }
    lvt_names_free(&files);
    return status;
}

static lvt_status read_part(reading *r, const char *dir, lvt_images *images, lvt_images *fifth,
                            lvt_diag *diag) {
    lvt_status status = LVT_OK;
    for (int c = 0; c < r->d->classes && status == LVT_OK; c++) {
        char *path = lvt_path_join(dir, r->d->class_names[c]);
        if (path && r->inner) {
            char *below = lvt_path_join(path, r->inner);
            free(path);
            path = below;
        }
        status = path ? read_class(r, path, c, images, fifth, diag) : lvt_no_memory(diag, NULL);
        free(path);
    }
    return status;
}

/* Tiny ImageNet: DIR/val/val_annotations.txt says "FILE<tab>CLASS<tab>..." of each picture in DIR/val/images.
 * Its test pictures have no labels, so those of validation are the test images, as is usual. */
static lvt_status read_annotated(reading *r, const char *dir, lvt_diag *diag) {
    char *list_path = lvt_path_join(dir, "val/val_annotations.txt"),
         *pictures = lvt_path_join(dir, "val/images");
    uint8_t *bytes = NULL;
    size_t size;
    lvt_status status =
        list_path && pictures ? lvt_file_read(list_path, &bytes, &size, diag) : lvt_no_memory(diag, NULL);
    uint32_t number = 0;
    char *rest = (char *)bytes, *line;
    while (status == LVT_OK && (line = strsep(&rest, "\n"))) {
        number++;
        line[strcspn(line, "\r")] = 0;
        if (!*line)
            continue;
        char *file = strsep(&line, "\t"), *class = strsep(&line, "\t");
        char **found =
            class ? bsearch(&class, r->d->class_names, (size_t)r->d->classes, sizeof class, by_bytes) : NULL;
        char *path = lvt_path_join(pictures, file);
        if (!path)
            status = lvt_no_memory(diag, NULL);
        else if (!found)
            status = lvt_error(diag, LVT_USER, NULL, (lvt_pos){list_path, number, 0},
                               class ? "there is no class %s among the training images"
                                     : "FILE, tab, CLASS are wanted%s",
                               class ? class : "");
        else
            status = add_if_whole(r, &r->d->test, path, (int)(found - r->d->class_names), diag);
        free(path);
    }
    free(bytes);
    free(list_path);
    free(pictures);
    return status;
}

/* Names every class that is only in one of two parts. */
static lvt_status same_classes(const lvt_names *a, const char *in_a, const lvt_names *b, const char *in_b,
                               lvt_diag *diag) {
    lvt_status status = LVT_OK;
    for (int i = 0, k = 0; i < a->n || k < b->n;) {
        int order = i == a->n ? 1 : k == b->n ? -1 : strcmp(a->list[i], b->list[k]);
        if (order)
            status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "class \"%s\" is only in %s, not in %s",
                               order < 0 ? a->list[i] : b->list[k], order < 0 ? in_a : in_b,
                               order < 0 ? in_b : in_a);
        i += order <= 0;
        k += order >= 0;
    }
    if (status != LVT_OK)
        lvt_note(diag, LVT_NOWHERE, "both need a folder of every class");
    return status;
}

/* Where the pictures of a folder stand. */
typedef struct parts {
    const char *dir, *train, *test; /* test: or val */
    bool has_train, split;          /* split: train/ and test/ are there */
} parts;

/* The classes go to the data set, which owns them then, also when this fails. */
static lvt_status read_classes(reading *r, const parts *p, lvt_diag *diag) {
    lvt_dataset *d = r->d;
    const char *base = p->split || r->inner ? p->train : p->dir;
    lvt_names classes = {0}, tested = {0};
    lvt_status status = lvt_list(base, LVT_LIST_CLASSES, &classes, &r->ignored, diag);
    d->class_names = classes.list;
    d->classes = classes.n;
    if (status != LVT_OK)
        return status;
    if (classes.n < (r->options->asks ? 1 : 2))
        return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: %s", base,
                         classes.n && !p->split && p->has_train
                             ? "there is train/ but neither test/ nor val/ beside it"
                         : classes.n ? "only one class folder in it; two at least are needed"
                                     : "no class folders in it (DIR/CLASS/*.png or DIR/train/CLASS/*.png)");
    if (!p->split)
        return LVT_OK;
    LVT_TRY(lvt_list(p->test, LVT_LIST_CLASSES, &tested, &r->ignored, diag));
    status = same_classes(&classes, p->train, &tested, p->test, diag);
    lvt_names_free(&tested);
    return status;
}

static lvt_status read_parts(reading *r, const parts *p, lvt_diag *diag) {
    lvt_dataset *d = r->d;
    LVT_TRY(read_classes(r, p, diag));
    if (!p->split && !r->inner)
        return read_part(r, p->dir, &d->train, &d->test, diag);
    LVT_TRY(read_part(r, p->train, &d->train, &d->train, diag));
    return r->inner ? read_annotated(r, p->dir, diag) : read_part(r, p->test, &d->test, &d->test, diag);
}

lvt_status lvt_read_folder(lvt_dataset *d, const char *dir, const lvt_dataset_options *o, lvt_diag *diag) {
    reading r = {.d = d, .options = o};
    lvt_status status;
    char *train = lvt_path_join(dir, "train"), *test = lvt_path_join(dir, "test"),
         *val = lvt_path_join(dir, "val"), *annotations = lvt_path_join(dir, "val/val_annotations.txt");
    if (!train || !test || !val || !annotations) {
        status = lvt_no_memory(diag, NULL);
        goto done;
    }
    parts p = {.dir = dir, .train = train, .test = test, .has_train = lvt_path_exists(train)};
    if (p.has_train && lvt_path_exists(annotations))
        r.inner = "images";
    else if (p.has_train && !lvt_path_exists(test) && lvt_path_exists(val)) /* as ImageNet has it */
        p.test = val;
    p.split = p.has_train && lvt_path_exists(p.test) && !r.inner;
    d->flip = true;
    d->fifths = !p.split && !r.inner;
    status = read_parts(&r, &p, diag);
    if (status == LVT_OK)
        lvt_ignored_tell(&r.ignored, dir, diag);
    tell_broken(&r, dir, diag);
    lvt_names_free(&r.broken);
    if (status == LVT_OK && !r.first)
        status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: not one picture can be read", dir);
    d->crop = d->height / 8 < d->width / 8 ? d->height / 8 : d->width / 8; /* as 4 for 32 pixels */
    free(r.first);
done:
    free(train);
    free(test);
    free(val);
    free(annotations);
    return status;
}
