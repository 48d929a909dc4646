/* One OpenMP team for everything: our kernels use it through lvt_parallel, oneDNN by itself.
 *
 * Invariant: which thread runs which chunk depends on (n, threads) alone. May not know: kernels. */
#ifndef LVT_KERNELS_THREADS_H
#define LVT_KERNELS_THREADS_H

#include <stdbool.h>
#include <stdint.h>

int lvt_processors(void); /* how many this process may use, at least 1 */

/* Runs body(user, chunk) for every chunk in 0..n on the team, each chunk once; which thread runs which is
 * fixed by (n, threads). */
void lvt_parallel(int threads, int64_t n, void (*body)(void *user, int64_t chunk, int thread), void *user);

/* Runs body(user, i, worker) for every i in 0..n-1, each once, on `workers` threads that exist for this call
 * alone, in any order: for making things, not for computing. They have OpenMP teams of `team` threads (0:
 * they use none). */
void lvt_workers(int workers, int team, int64_t n, void (*body)(void *user, int64_t i, int worker),
                 void *user);

/* Sets the team's size for this thread's OpenMP regions and returns the old one, to be set again afterwards.
 */
int lvt_team(int threads);

#endif
