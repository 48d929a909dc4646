/* One OpenMP team for everything: our kernels use it through lvt_parallel, oneDNN by itself.
 *
 * Invariant: which thread runs which chunk depends on (n, threads) alone. May not know: kernels. */
#ifndef LVT_KERNELS_THREADS_H
#define LVT_KERNELS_THREADS_H

#include <stdbool.h>
#include <stdint.h>

/* How many processors this process may use, by its affinity and its CPU quota, at least 1. */
int lvt_processors(void);
/* quota.c: processors that the control groups' CPU quota comes to, a part of one counted as one; INT_MAX: no
 * limit. root: "", or a folder that has `proc` and what mountinfo names below it. */
int lvt_cpu_quota(const char *root);

/* Runs body(user, chunk) for every chunk in 0..n on the team, each chunk once; which thread runs which is
 * fixed by (n, threads). */
void lvt_parallel(int threads, int64_t n, void (*body)(void *user, int64_t chunk, int thread), void *user);

/* Runs body(user, i, worker) for every i in 0..n-1, each once, on `workers` threads that exist for this call
 * alone, in any order: for making things, not for computing. They have OpenMP teams of `team` threads (0:
 * they use none). */
void lvt_workers(int workers, int team, int64_t n, void (*body)(void *user, int64_t i, int worker),
                 void *user);

/* What decides the team of this thread's OpenMP regions, ours and oneDNN's. */
typedef struct lvt_team_settings {
    int threads, dynamic, levels;
} lvt_team_settings;
/* Has this thread's regions get teams of `threads`, whatever OMP_DYNAMIC, OMP_NUM_THREADS and
 * OMP_MAX_ACTIVE_LEVELS say, and returns what was set before, for lvt_team_restore. */
lvt_team_settings lvt_team(int threads);
void lvt_team_restore(lvt_team_settings old);
/* Why a region of this thread cannot have a team of `threads` now; NULL: it can, or nothing is known against
 * it. Costs some nanoseconds. */
const char *lvt_team_limit(int threads);
/* How large a team will be when `threads` are asked for; *why: why it is smaller, or NULL. Leaves no thread
 * behind, so a process may fork afterwards. Kernels are made for that many. */
int lvt_team_given(int threads, const char **why);
/* The size of the team that a region really has. */
int lvt_team_first(int threads);

#endif
