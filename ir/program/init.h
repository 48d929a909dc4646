/* Initial values of states, from a counter-based generator.
 *
 * Invariant: the same bits on every machine and for every number of threads. May not know: sessions, threads.
 */
#ifndef LVT_IR_PROGRAM_INIT_H
#define LVT_IR_PROGRAM_INIT_H

#include "ir/ir.h"

/* Elements begin..end-1 of the initial value of a state, into packed[0..numel); begin is a multiple of 4.
 * Element i depends on (seed, name of the state, its initialiser, i) alone. */
void lvt_init_fill(const lvt_state *state, uint64_t seed, int64_t begin, int64_t end, void *packed);

#endif
