/* Objects made callable.
 *
 * May not know: kernels, where objects come from. */
#ifndef LVT_KERNELS_JIT_IMAGE_H
#define LVT_KERNELS_JIT_IMAGE_H

#include "nest.h"

#include <stddef.h>

typedef struct lvt_object { /* an object file or an image; data is malloc'ed */
    void *data;
    size_t size;
} lvt_object;

enum { LVT_IMAGE_ALIGN = 64, LVT_IMAGE_MOST = 16 << 20 };
/* An image of an object file's code, with the function `symbol` to be called. LVT_INTERNAL and *why (static
 * text) when the object needs anything from outside, LVT_NOMEM. */
lvt_status lvt_image_make(const lvt_object *object, const char *symbol, lvt_object *image, const char **why);
bool lvt_image_plausible(const lvt_object *image); /* its entry lies within it */

typedef struct lvt_code lvt_code; /* a list of pieces of executable memory */
/* Copies n images to executable memory, a new piece at the head of *list; entries[i] is the function of the
 * i-th. LVT_NOMEM, or LVT_IO when the system does not allow it. */
lvt_status lvt_code_map(lvt_code **list, size_t n, const lvt_object *images, lvt_nest_code *entries);
void lvt_code_free(lvt_code *list);

#endif
