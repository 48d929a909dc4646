/* Lists of texts that grow one by one. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* vasprintf */
#endif
#include "texts.h"
#include "grow.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *lvt_texts_add(lvt_texts *t, const char *format, ...) {
    char **more = t->failed ? NULL : lvt_grow(t->list, (size_t)t->n, sizeof *more);
    t->list = more ? more : t->list;
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (!more || vasprintf(&text, format, arguments) < 0) {
        t->failed = true;
        text = NULL;
    }
    va_end(arguments);
    if (text) {
        t->list[t->n++] = text;
        t->list[t->n] = NULL;
    }
    return text;
}

void lvt_texts_free(lvt_texts *t) {
    for (int i = 0; i < t->n; i++)
        free(t->list[i]);
    free(t->list);
    *t = (lvt_texts){0};
}
