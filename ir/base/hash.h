/* FNV-1a (Fowler, Noll, Vo), 64 bits: the one hash, for checksums, names and identities.
 *
 * Every step is a bijection of the state, so a single changed byte always changes the result. It is no
 * defence against a person. */
#ifndef LVT_IR_BASE_HASH_H
#define LVT_IR_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define LVT_FNV_START UINT64_C(0xcbf29ce484222325)
#define LVT_FNV_PRIME UINT64_C(0x100000001b3)

/* Continued from `hash`; LVT_FNV_START begins. */
static inline uint64_t lvt_fnv(uint64_t hash, const void *bytes, size_t length) {
    const unsigned char *p = bytes;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ p[i]) * LVT_FNV_PRIME;
    return hash;
}

static inline uint64_t lvt_hash_text(const char *text) {
    uint64_t hash = LVT_FNV_START;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * LVT_FNV_PRIME;
    return hash;
}

#endif
