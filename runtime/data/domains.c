/* Data sets of several domains: the same classes, images of another kind in each. Readers for folders of
 * domains, and for any other data set seen through permuted pixels or rotated.
 *
 * Invariants: images of domain 0 come first, then those of domain 1, ..; what is drawn follows from the seed
 * in the name alone. May not know: how other readers work. */
#include "augment.h"
#include "dataset.h"
#include "ir/base/file.h"
#include "ir/base/c_locale.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool room(const lvt_dataset *d, lvt_images *images, size_t n) {
    int32_t *domains = realloc(images->domains, (images->n + n + 1) * sizeof *domains);
    images->domains = domains ? domains : images->domains;
    return domains && lvt_images_grow(d, images, n);
}

/* What all domains share is the first one's. */
static bool take_form(lvt_dataset *d, const lvt_dataset *from) {
    d->height = from->height;
    d->width = from->width;
    d->channels = from->channels;
    d->crop = from->crop;
    d->flip = from->flip;
    if (!(d->class_names = calloc((size_t)from->classes, sizeof *d->class_names)))
        return false;
    for (; d->classes < from->classes; d->classes++) {
        if (!(d->class_names[d->classes] = strdup(from->class_names[d->classes])))
            return false;
    }
    if (from->groups && (d->groups = malloc((size_t)from->classes * sizeof *d->groups)))
        memcpy(d->groups, from->groups, (size_t)from->classes * sizeof *d->groups);
    return !from->groups || d->groups;
}

/* Adds a domain: all images of a part. */
static bool add_domain(lvt_dataset *d, lvt_images *to, const lvt_images *from, int domain) {
    size_t bytes = lvt_image_bytes(d);
    if (!room(d, to, from->n))
        return false;
    for (size_t i = 0; i < from->n; i++, to->n++) {
        memcpy(to->pixels + to->n * bytes, from->pixels + i * bytes, bytes);
        to->labels[to->n] = from->labels[i];
        to->domains[to->n] = domain;
    }
    return true;
}

static bool name_domain(lvt_dataset *d, const char *name) {
    char **more = realloc(d->domain_names, ((size_t)d->domains + 1) * sizeof *more);
    d->domain_names = more ? more : d->domain_names;
    if (!more || !(more[d->domains] = strdup(name)))
        return false;
    d->domains++;
    return true;
}

/* ---- transformations ----------------------------------------------------------------------------------- */

/* Domain 0 is the image as it is; the others have their pixels in another order each. */
static void permuted_taps(const lvt_dataset *d, int domain, int n, uint64_t seed, lvt_tap *taps,
                          char name[64]) {
    uint32_t pixels = (uint32_t)(d->height * d->width), *order = malloc(pixels * sizeof *order);
    (void)n;
    for (uint32_t p = 0; p < pixels && order; p++)
        order[p] = p;
    if (order && domain)
        lvt_shuffle(seed, LVT_RANDOM_DOMAIN, (uint32_t)domain, 0, order, pixels, pixels);
    for (uint32_t p = 0; p < pixels; p++)
        taps[p] = (lvt_tap){{order ? order[p] : p, 0, 0, 0}, {256, 0, 0, 0}};
    snprintf(name, 64, domain ? "permutation %d" : "as it is", domain);
    if (!order)
        *name = 0;
    free(order);
}

/* Turned about the middle by domain * 180 / n degrees, bilinear; black comes in at the corners. */
static void rotated_taps(const lvt_dataset *d, int domain, int n, uint64_t seed, lvt_tap *taps,
                         char name[64]) {
    double angle = domain * 180.0 / n, c = cos(angle * M_PI / 180), s = sin(angle * M_PI / 180);
    double my = (d->height - 1) / 2., mx = (d->width - 1) / 2.;
    (void)seed;
    for (int y = 0; y < d->height; y++) {
        for (int x = 0; x < d->width; x++) {
            double sx = c * (x - mx) - s * (y - my) + mx, sy = s * (x - mx) + c * (y - my) + my;
            int x0 = (int)floor(sx), y0 = (int)floor(sy);
            lvt_tap *t = &taps[y * d->width + x];
            *t = (lvt_tap){{0}, {0}};
            for (int k = 0; k < 4; k++) {
                int px = x0 + (k & 1), py = y0 + (k >> 1);
                double share = (k & 1 ? sx - x0 : 1 - (sx - x0)) * (k >> 1 ? sy - y0 : 1 - (sy - y0));
                if (px < 0 || px >= d->width || py < 0 || py >= d->height)
                    continue;
                t->from[k] = (uint32_t)(py * d->width + px);
                t->weight[k] = (uint16_t)lrint(256 * share);
            }
            /* Rounded shares may come to 257: what is white stays within a byte. */
            int sum = t->weight[0] + t->weight[1] + t->weight[2] + t->weight[3], k = 0;
            while (sum > 256) {
                if (t->weight[k]) {
                    t->weight[k]--;
                    sum--;
                }
                k = (k + 1) % 4;
            }
        }
    }
    lvt_snprintf(name, 64, "%.4g degrees", angle);
}

/* Takes over the images of a part, seen in all ways: of each domain all images, in their order. */
static bool see(lvt_dataset *d, lvt_images *to, lvt_images *from) {
    size_t n = from->n * (size_t)d->domains;
    to->labels = malloc((n + 1) * sizeof *to->labels);
    to->domains = malloc((n + 1) * sizeof *to->domains);
    if (!to->labels || !to->domains)
        return false;
    for (size_t i = 0; i < n; i++) {
        to->labels[i] = from->labels[i % from->n];
        to->domains[i] = (int32_t)(i / from->n);
    }
    to->views = &d->views;
    to->stored = from->n;
    to->n = n;
    to->pixels = from->pixels;
    from->pixels = NULL;
    return true;
}

/* "N:SPEC", seeded also "N,SEED:SPEC" */
static lvt_status transformed(lvt_dataset *d, const char *dir, bool seeded, const lvt_dataset_options *o,
                              void (*taps_of)(const lvt_dataset *, int, int, uint64_t, lvt_tap *, char[64]),
                              lvt_diag *diag) {
    char *end;
    errno = 0;
    long n = strtol(dir, &end, 10);
    uint64_t seed = 1;
    bool ok = end != dir && !errno && n >= 2 && n <= 1000;
    if (ok && seeded && *end == ',') {
        const char *text = end + 1;
        seed = strtoull(text, &end, 10);
        ok = end != text && *text != '-' && !errno;
    }
    if (!ok || *end != ':' || !end[1])
        return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE,
                         "%s:%s is not %s:N:DATA%s with 2 to 1000 domains, such as %s:5:digits", d->name, dir,
                         d->name, seeded ? " or permuted:N,SEED:DATA" : "", d->name);
    lvt_dataset *inner;
    lvt_status status = lvt_dataset_open(end + 1, o, &inner, diag);
    if (status != LVT_OK)
        return status;
    size_t pixels = (size_t)inner->height * (size_t)inner->width;
    d->views = (lvt_views){pixels, (size_t)inner->channels, calloc((size_t)n * pixels, sizeof(lvt_tap))};
    ok = d->views.taps && take_form(d, inner);
    if (inner->domains > 1)
        status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s has domains already", end + 1);
    for (int k = 0; k < n && ok && status == LVT_OK; k++) {
        char name[64];
        taps_of(d, k, (int)n, seed, d->views.taps + (size_t)k * pixels, name);
        ok = *name && name_domain(d, name);
    }
    if (ok && status == LVT_OK)
        ok = see(d, &d->train, &inner->train) && see(d, &d->test, &inner->test);
    lvt_dataset_free(inner);
    return status == LVT_OK && !ok ? lvt_no_memory(diag, NULL) : status;
}

lvt_status lvt_read_permuted(lvt_dataset *d, const char *dir, const lvt_dataset_options *o, lvt_diag *diag) {
    lvt_status status = transformed(d, dir, true, o, permuted_taps, diag);
    d->crop = 0; /* neighbours are no neighbours any more */
    d->flip = false;
    return status;
}

lvt_status lvt_read_rotated(lvt_dataset *d, const char *dir, const lvt_dataset_options *o, lvt_diag *diag) {
    return transformed(d, dir, false, o, rotated_taps, diag);
}

/* ---- folders ------------------------------------------------------------------------------------------- */

static int by_bytes(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}
static int visible(const struct dirent *e) {
    return e->d_name[0] != '.';
}

/* mixed: set where some domains are grey and others in colour. */
static lvt_status add_folder(lvt_dataset *d, const char *path, const char *name, const lvt_dataset_options *o,
                             bool *mixed, lvt_diag *diag) {
    lvt_dataset *inner = NULL;
    char *spec = malloc(strlen(path) + 8);
    if (!spec)
        return lvt_no_memory(diag, NULL);
    sprintf(spec, "folder:%s", path);
    lvt_status status = lvt_dataset_open(spec, o, &inner, diag);
    free(spec);
    if (status != LVT_OK)
        return status;
    bool ok = d->domains || take_form(d, inner);
    bool same = ok && d->classes == inner->classes;
    for (int c = 0; c < d->classes && same; c++)
        same = !strcmp(d->class_names[c], inner->class_names[c]);
    if (ok && !same)
        status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: the classes are not those of domain %s",
                           path, d->domain_names[0]);
    else if (ok &&
             (d->height != inner->height || d->width != inner->width || d->channels != inner->channels)) {
        *mixed = d->channels != inner->channels && !o->channels;
        status =
            lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                      "%s: pictures of %dx%dx%d, those of domain %s have %dx%dx%d", path, inner->height,
                      inner->width, inner->channels, d->domain_names[0], d->height, d->width, d->channels);
        lvt_note(diag, LVT_NOWHERE, "--resize HxW scales all pictures to one size");
    } else
        ok = ok && add_domain(d, &d->train, &inner->train, d->domains) &&
             add_domain(d, &d->test, &inner->test, d->domains) && name_domain(d, name);
    lvt_dataset_free(inner);
    return status == LVT_OK && !ok ? lvt_no_memory(diag, NULL) : status;
}

static lvt_status read_all(lvt_dataset *d, const char *dir, const lvt_dataset_options *o, bool *mixed,
                           lvt_diag *diag) {
    struct dirent **entries = NULL;
    int n = scandir(dir, &entries, visible, by_bytes);
    if (n < 0)
        return lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: cannot be read: %s", dir, strerror(errno));
    lvt_status status = LVT_OK;
    for (int i = 0; i < n; i++) {
        char *path = lvt_path_join(dir, entries[i]->d_name);
        struct stat st;
        if (!path)
            status = lvt_no_memory(diag, NULL);
        else if (status == LVT_OK && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
            status = add_folder(d, path, entries[i]->d_name, o, mixed, diag);
        free(path);
        free(entries[i]);
    }
    free(entries);
    if (status == LVT_OK && d->domains < 2)
        status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                           "%s: two folders at least are needed, one a domain (DIR/DOMAIN/CLASS/*.png)", dir);
    return status;
}

lvt_status lvt_read_domains(lvt_dataset *d, const char *dir, const lvt_dataset_options *o, lvt_diag *diag) {
    lvt_diag *words = lvt_diag_new();
    lvt_dataset *trial = words ? calloc(1, sizeof *trial) : NULL;
    lvt_dataset_options options = *o;
    bool mixed = false, read = trial && read_all(trial, dir, o, &mixed, words) == LVT_OK;
    lvt_diag_free(words);
    if (!trial)
        return lvt_no_memory(diag, NULL);
    if (read) {
        trial->name = d->name;
        *d = *trial;
        free(trial);
        return LVT_OK;
    }
    lvt_dataset_free(trial);
    if (mixed) /* all in colour then; else again for its words */
        options.channels = 3;
    return read_all(d, dir, &options, &mixed, diag);
}
