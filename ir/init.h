/* Initial values of states, from a counter-based generator.
 *
 * Invariant: the same bits on every machine and for every number of threads. May not know: sessions, threads.
 */
#ifndef LVT_IR_INIT_H
#define LVT_IR_INIT_H

#include "ir.h"

/* Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): four words of 32
 * random bits for this counter under this seed. */
void lvt_philox(uint64_t seed, uint32_t use, uint32_t a, uint32_t b, uint32_t c, uint32_t out[4]);

/* Elements begin..end-1 of the initial value of a state, into packed[0..numel); begin is a multiple of 4.
 * Element i depends on (seed, name of the state, its initialiser, i) alone. */
void lvt_init_fill(const lvt_state *state, uint64_t seed, int64_t begin, int64_t end, void *packed);

#endif
