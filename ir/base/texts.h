/* Lists of texts. May not know: what they say. */
#ifndef LVT_IR_BASE_TEXTS_H
#define LVT_IR_BASE_TEXTS_H

#include <stdbool.h>

/* Texts that grow one by one. After an allocation that failed `failed` is set and nothing more is added. */
typedef struct lvt_texts {
    char **list; /* n texts and a NULL; NULL while empty */
    int n;
    bool failed;
} lvt_texts;
/* Adds a formatted text; returns it, NULL when out of memory. */
const char *lvt_texts_add(lvt_texts *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void lvt_texts_free(lvt_texts *t);

#endif
