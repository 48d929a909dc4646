/* Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): the one generator.
 *
 * Inline, so that loops over counters become vectors. May not know: what the numbers are for. */
#ifndef LVT_IR_BASE_PHILOX_H
#define LVT_IR_BASE_PHILOX_H

#include <stdint.h>

/* Four words of 32 random bits for this counter under this seed. */
static inline void lvt_philox(uint64_t seed, uint32_t use, uint32_t a, uint32_t b, uint32_t c,
                              uint32_t out[4]) {
    uint32_t x0 = use, x1 = a, x2 = b, x3 = c, k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p = (uint64_t)0xD2511F53u * x0, q = (uint64_t)0xCD9E8D57u * x2;
        x0 = (uint32_t)(q >> 32) ^ x1 ^ k0;
        x2 = (uint32_t)(p >> 32) ^ x3 ^ k1;
        x1 = (uint32_t)q;
        x3 = (uint32_t)p;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = x0;
    out[1] = x1;
    out[2] = x2;
    out[3] = x3;
}

#endif
