/* Lists that grow one by one without being copied each time. */
#ifndef LVT_IR_BASE_GROW_H
#define LVT_IR_BASE_GROW_H

#include <stdint.h>
#include <stdlib.h>

/* A list that holds n items of `size` bytes, with room for two more (an item and an end): its memory doubles when
 * n + 1 is a power of two. n rises by one from call to call, from 0 (list NULL). NULL: out of memory, the list is
 * as it was. */
static inline void *lvt_grow(void *list, size_t n, size_t size) {
    if (n && ((n + 1) & n))
        return list;
    size_t room = 4;
    while (room < n + 2)
        room *= 2;
    return room > SIZE_MAX / size ? NULL : realloc(list, room * size);
}

#endif
