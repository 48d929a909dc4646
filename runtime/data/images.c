/* Images in memory: growing, as colour, views made when they are asked for. May not know: files. */
#include "dataset.h"

#include <stdlib.h>
#include <string.h>

bool lvt_images_grow(const lvt_dataset *d, lvt_images *images, size_t n) {
    uint8_t *pixels = realloc(images->pixels, (images->n + n) * lvt_image_bytes(d) + 1);
    if (!pixels)
        return false;
    images->pixels = pixels;
    int32_t *labels = realloc(images->labels, (images->n + n + 1) * sizeof *labels);
    if (!labels)
        return false;
    images->labels = labels;
    return true;
}

bool lvt_images_colour(const lvt_dataset *d, lvt_images *images) {
    size_t n = images->n * (size_t)d->height * (size_t)d->width;
    uint8_t *pixels = malloc(6 * n + 3 * (size_t)d->height * (size_t)d->width + 1);
    if (!pixels)
        return false;
    for (size_t i = 0; i < n; i++)
        memset(pixels + 3 * i, images->pixels[i], 3);
    free(images->pixels);
    images->pixels = pixels;
    return true;
}

lvt_status lvt_dataset_join(lvt_dataset *d, lvt_diag *diag) {
    lvt_images *train = &d->train, *test = &d->test;
    if (!lvt_images_grow(d, test, train->n))
        return lvt_no_memory(diag, NULL);
    memcpy(test->pixels + test->n * lvt_image_bytes(d), train->pixels, train->n * lvt_image_bytes(d));
    memcpy(test->labels + test->n, train->labels, train->n * sizeof *train->labels);
    test->n += train->n;
    free(train->pixels);
    free(train->labels);
    *train = (lvt_images){0};
    return LVT_OK;
}

const uint8_t *lvt_image_at(const lvt_images *images, size_t bytes, size_t i, uint8_t *scratch) {
    const lvt_views *v = images->views;
    if (!v)
        return images->pixels + i * bytes;
    const uint8_t *in = images->pixels + i % images->stored * bytes;
    const lvt_tap *taps = v->taps + (size_t)images->domains[i] * v->pixels;
    for (size_t p = 0; p < v->pixels; p++) {
        for (size_t c = 0; c < v->channels; c++) {
            uint32_t sum = 128;
            for (int k = 0; k < 4; k++)
                sum += taps[p].weight[k] * in[taps[p].from[k] * v->channels + c];
            scratch[p * v->channels + c] = (uint8_t)(sum >> 8);
        }
    }
    return scratch;
}

void lvt_dataset_free(lvt_dataset *d) {
    if (!d)
        return;
    for (int c = 0; d->class_names && c < d->classes; c++)
        free(d->class_names[c]);
    free(d->class_names);
    free(d->groups);
    free(d->train.pixels);
    free(d->train.labels);
    free(d->train.domains);
    free(d->test.domains);
    for (int k = 0; d->domain_names && k < d->domains; k++)
        free(d->domain_names[k]);
    free(d->domain_names);
    free(d->views.taps);
    free(d->test.pixels);
    free(d->test.labels);
    free(d->name);
    free(d);
}
