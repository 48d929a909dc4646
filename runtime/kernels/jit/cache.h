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
/* Also takes what is in a folder that lvt_cache_seal has sealed, and takes it first; nothing is written there. A
 * folder that cannot be used is remembered for lvt_cache_sealed alone. LVT_NOMEM. */
lvt_status lvt_cache_look_in(lvt_cache *c, const char *folder);
typedef enum lvt_sealed {
    LVT_SEALED_NONE,    /* nobody named such a folder */
    LVT_SEALED_FITS,    /* it is looked into */
    LVT_SEALED_MISSING, /* there is no sealed folder of that name */
    LVT_SEALED_OTHER,   /* made for another processor, or by another version */
    LVT_SEALED_UNSAFE /* others than its owner may write there, or the owner is neither this user nor root */
} lvt_sealed;
/* *folder: as it was named. */
lvt_sealed lvt_cache_sealed(const lvt_cache *c, const char **folder);
/* Writes into the cache's own folder which processor and which version it is for, and lets everybody read it.
 * LVT_IO, LVT_NOMEM. */
lvt_status lvt_cache_seal(const lvt_cache *c, lvt_diag *diag);
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
