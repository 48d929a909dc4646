/* The growing string that reports are written into. Invariant: data is NUL-terminated once it is not NULL;
 * when memory runs out the text stays as it was. May not know: what is reported. */
#include "pass.h"
#include "ir/base/c_locale.h"

#include <stdio.h>
#include <stdlib.h>

void lvt_text_add(lvt_text *t, const char *format, ...) {
    if (!t)
        return;
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = lvt_vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n >= 0 && t->length + (size_t)n + 1 > t->cap) {
        size_t cap = 2 * t->cap + (size_t)n + 256;
        char *data = realloc(t->data, cap);
        if (data) {
            t->data = data;
            t->cap = cap;
        } else {
            n = -1;
        }
    }
    if (n >= 0) {
        lvt_vsnprintf(t->data + t->length, t->cap - t->length, format, again);
        t->length += (size_t)n;
    }
    va_end(again);
}

void lvt_text_add_place(lvt_text *t, const lvt_module *m, lvt_loc loc) {
    lvt_pos own = lvt_module_pos(m, loc);
    if (!t || !own.file)
        return;
    uint32_t model = m->locs[lvt_module_outermost(m, loc)].file;
    lvt_loc at = loc;
    while (m->locs[at].file != model && m->locs[at].parent && m->locs[at].parent < at)
        at = m->locs[at].parent;
    lvt_pos outer = lvt_module_pos(m, at);
    lvt_text_add(t, " (%s:%u", own.file, own.line);
    if (at != loc && outer.file)
        lvt_text_add(t, " from %s:%u", outer.file, outer.line);
    lvt_text_add(t, ")");
}

void lvt_text_free(lvt_text *t) {
    free(t->data);
    *t = (lvt_text){0};
}
