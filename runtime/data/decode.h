/* Several pictures at once, decoded by threads.
 *
 * Invariants: what comes out does not depend on the number of threads; a picture that cannot be read costs
 * itself alone. May not know: data sets, models. */
#ifndef LVT_DATA_DECODE_H
#define LVT_DATA_DECODE_H

#include "image.h"

/* Calls each(user, i) for 0 .. n - 1, each once, by up to `threads` threads (of them the calling one; where the
 * system gives fewer, by these). Returns when all are done. */
void lvt_in_threads(int threads, size_t n, void (*each)(void *user, size_t i), void *user);

/* What pictures have to become. */
typedef struct lvt_picture_form {
    int height, width, channels; /* pixels; channels 1 or 3 */
    bool resize;                 /* else another size is an error (LVT_USER) */
} lvt_picture_form;
/* Makes pictures of that form: image i of height x width x channels bytes in `pixels` (n images of room), ok[i]:
 * it is there. words[i]: NULL, or what is wrong with it, which the caller frees; where memory is out there are no
 * words. */
void lvt_pictures_decode(char *const *paths, size_t n, const lvt_picture_form *form, int threads,
                         uint8_t *pixels, bool *ok, lvt_diag **words);

#endif
