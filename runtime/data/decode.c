/* Threads that take the next picture until there is none. May not know: data sets, models. */
#include "decode.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

typedef struct work {
    atomic_size_t next;
    size_t n;
    void (*each)(void *user, size_t i);
    void *user;
} work;

static void *take(void *argument) {
    work *w = argument;
    for (size_t i; (i = atomic_fetch_add(&w->next, 1)) < w->n;)
        w->each(w->user, i);
    return NULL;
}

enum { MOST_THREADS = 64 };

void lvt_in_threads(int threads, size_t n, void (*each)(void *user, size_t i), void *user) {
    work w = {.n = n, .each = each, .user = user};
    pthread_t others[MOST_THREADS];
    int started = 0;
    while (started + 1 < threads && (size_t)started + 1 < n && started < MOST_THREADS &&
           pthread_create(&others[started], NULL, take, &w) == 0)
        started++;
    take(&w);
    while (started)
        pthread_join(others[--started], NULL);
}

typedef struct decoding {
    char *const *paths;
    const lvt_picture_form *form;
    uint8_t *pixels;
    bool *ok;
    lvt_diag **words;
} decoding;

static lvt_status decode(const char *path, const lvt_picture_form *form, uint8_t *to, lvt_diag *diag) {
    lvt_picture p;
    lvt_status status = lvt_picture_read(path, form->channels, &p, diag);
    if (status == LVT_OK && form->resize)
        status = lvt_picture_resize(&p, form->height, form->width, diag);
    if (status == LVT_OK && (p.height != form->height || p.width != form->width)) {
        status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                           "%s: the picture has %dx%d pixels, the model takes %dx%d", path, p.height, p.width,
                           form->height, form->width);
        lvt_note(diag, LVT_NOWHERE, "--resize scales pictures to the model's size");
    }
    if (status == LVT_OK)
        memcpy(to, p.pixels, (size_t)p.height * (size_t)p.width * (size_t)p.channels);
    free(p.pixels);
    return status;
}

static void decode_one(void *user, size_t i) {
    decoding *d = user;
    size_t bytes = (size_t)d->form->height * (size_t)d->form->width * (size_t)d->form->channels;
    lvt_diag *diag = lvt_diag_new();
    d->ok[i] = decode(d->paths[i], d->form, d->pixels + i * bytes, diag) == LVT_OK;
    if (d->ok[i]) {
        lvt_diag_free(diag);
        diag = NULL;
    }
    d->words[i] = diag;
}

void lvt_pictures_decode(char *const *paths, size_t n, const lvt_picture_form *form, int threads,
                         uint8_t *pixels, bool *ok, lvt_diag **words) {
    decoding d = {paths, form, pixels, ok, words};
    lvt_in_threads(threads, n, decode_one, &d);
}
