/* Bump allocator: a list of blocks, the newest first. Invariant: every block is zeroed when it is made and
 * memory is handed out once, so what callers get is zero. May not know: what is stored. */
#include "arena.h"
#include "ir/base/c_locale.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct block {
    struct block *next;
    size_t used, size;
    _Alignas(16) unsigned char data[];
} block;

struct lvt_arena {
    block *blocks;
    size_t used, limit; /* limit 0: none */
    bool at_limit, failed;
};

enum { FIRST_BLOCK = 1 << 14, LARGEST_STEP = 1 << 22 };

lvt_arena *lvt_arena_new(void) {
    return calloc(1, sizeof(lvt_arena));
}

void lvt_arena_free(lvt_arena *a) {
    if (!a)
        return;
    for (block *b = a->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(a);
}

void *lvt_arena_alloc(lvt_arena *a, size_t bytes) {
    if (bytes > SIZE_MAX / 2) {
        a->failed = true;
        return NULL;
    }
    bytes = (bytes + 15) & ~(size_t)15;
    if (a->limit && (a->used > a->limit || bytes > a->limit - a->used)) {
        a->at_limit = a->failed = true;
        return NULL;
    }
    block *b = a->blocks;
    if (!b || b->size - b->used < bytes) {
        /* Blocks double, so that a large module has few and a small one wastes little. */
        size_t size = b ? b->size * 2 : FIRST_BLOCK;
        if (size > LARGEST_STEP)
            size = LARGEST_STEP;
        if (size < bytes)
            size = bytes;
        block *fresh = calloc(1, sizeof(block) + size);
        if (!fresh) {
            a->failed = true;
            return NULL;
        }
        fresh->size = size;
        if (b && b->size - b->used > size - bytes) {
            /* An outsize request: keep filling the old block. */
            fresh->next = b->next;
            b->next = fresh;
        } else {
            fresh->next = b;
            a->blocks = fresh;
        }
        b = fresh;
    }
    void *result = b->data + b->used;
    b->used += bytes;
    a->used += bytes;
    return result;
}

char *lvt_arena_strndup(lvt_arena *a, const char *s, size_t n) {
    char *copy = n < SIZE_MAX ? lvt_arena_alloc(a, n + 1) : NULL;
    if (copy)
        memcpy(copy, s, n);
    return copy;
}

char *lvt_arena_strdup(lvt_arena *a, const char *s) {
    return lvt_arena_strndup(a, s, strlen(s));
}

char *lvt_arena_printf(lvt_arena *a, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = lvt_vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = n >= 0 ? lvt_arena_alloc(a, (size_t)n + 1) : NULL;
    if (!text)
        return NULL;
    va_start(args, format);
    lvt_vsnprintf(text, (size_t)n + 1, format, args);
    va_end(args);
    return text;
}

void *lvt_arena_grow(lvt_arena *a, void *old, size_t have, size_t want, size_t *cap, size_t size) {
    if (want <= *cap)
        return old;
    size_t larger = *cap ? *cap * 2 : 8;
    if (larger < want)
        larger = want;
    if (larger > SIZE_MAX / 2 / size) {
        a->failed = true;
        return NULL;
    }
    void *fresh = lvt_arena_alloc(a, larger * size);
    if (!fresh)
        return NULL;
    if (have)
        memcpy(fresh, old, have * size);
    *cap = larger;
    return fresh;
}

void lvt_arena_limit(lvt_arena *a, size_t bytes) {
    a->limit = bytes;
}

bool lvt_arena_at_limit(const lvt_arena *a) {
    return a->at_limit;
}

bool lvt_arena_failed(const lvt_arena *a) {
    return a->failed;
}

size_t lvt_arena_used(const lvt_arena *a) {
    return a->used;
}
