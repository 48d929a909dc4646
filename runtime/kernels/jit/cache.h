/* Images kept in a folder of the user's.
 *
 * Invariant: what is found was stored for exactly this key on exactly this kind of machine. May not know: kernels. */
#ifndef LVT_KERNELS_JIT_CACHE_H
#define LVT_KERNELS_JIT_CACHE_H

#include "image.h"
#include "machine.h"

typedef struct lvt_cache lvt_cache;
/* folder NULL: the user's; "": none (nothing is ever found). A folder that cannot be used, or that is not the
 * user's own, is none: fails only for memory. */
lvt_status lvt_cache_new(const char *folder, const lvt_machine *m, lvt_cache **out);
void lvt_cache_free(lvt_cache *c);
enum { LVT_CACHE_NAME = 33 };
/* File name of a kernel, from its key and the machine: 32 hexadecimal digits. */
void lvt_cache_name(const lvt_cache *c, const char *key, char name[LVT_CACHE_NAME]);
/* The object stored for exactly this key on exactly this kind of machine; the caller frees its data. */
bool lvt_cache_get(lvt_cache *c, const char *key, lvt_object *out);
void lvt_cache_put(lvt_cache *c, const char *key, const lvt_object *object);
enum { LVT_CACHE_MOST = 64 << 20 };
/* When the folder holds more than so many bytes, removes files until three quarters of that are left, those
 * first that were not used for the longest time (to the day), and what writers that were killed have left
 * behind. */
void lvt_cache_prune(lvt_cache *c, uint64_t most);
const char *lvt_cache_folder(const lvt_cache *c); /* NULL: none */

#endif
