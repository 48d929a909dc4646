/* A bump allocator: everything a module owns lives in one of these and goes away with it.
 *
 * Invariant: memory is zeroed and aligned to 16 bytes; nothing is freed alone. May not know: anything else.
 */
#ifndef LVT_IR_BASE_ARENA_H
#define LVT_IR_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdarg.h>

typedef struct lvt_arena lvt_arena;

lvt_arena *lvt_arena_new(void); /* NULL when out of memory */
void lvt_arena_free(lvt_arena *a);
/* `bytes` zeroed bytes, or NULL when out of memory. A failed arena stays usable for smaller requests. */
void *lvt_arena_alloc(lvt_arena *a, size_t bytes);
char *lvt_arena_strdup(lvt_arena *a, const char *s);
char *lvt_arena_strndup(lvt_arena *a, const char *s, size_t n);
char *lvt_arena_printf(lvt_arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Grows an array: returns room for at least `want` elements of `size` bytes, the first `have` copied from
 * `old`. *cap is the old capacity and becomes the new one. NULL when out of memory (the old array stays
 * valid). */
void *lvt_arena_grow(lvt_arena *a, void *old, size_t have, size_t want, size_t *cap, size_t size);
size_t lvt_arena_used(const lvt_arena *a); /* bytes handed out */
/* From now on hands out at most so many bytes in all; 0: any number, as a new arena does. What is refused for
 * that reason is NULL too: lvt_arena_at_limit tells it from memory that the system has not. */
void lvt_arena_limit(lvt_arena *a, size_t bytes);
bool lvt_arena_at_limit(const lvt_arena *a); /* something was refused because of the limit */
/* Some request was refused, for whatever reason. What was decided in this arena may then have been decided
 * for want of memory, and does not count. */
bool lvt_arena_failed(const lvt_arena *a);

#endif
