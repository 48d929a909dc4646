/* One OpenMP team for everything: our kernels use it through lvt_parallel, oneDNN by itself.
 *
 * Invariant: which thread runs which chunk depends on (n, threads) alone. May not know: kernels. */
#include "internal.h"

#include <omp.h>
#include <time.h>

int lvt_processors(void) {
    int n =
        omp_get_num_procs(); /* not this thread's own affinity: the team's threads may each be bound to one */
    return n < 1 ? 1 : n;
}

int lvt_team(int threads) {
    int old = omp_get_max_threads();
    if (old != threads)
        omp_set_num_threads(threads);
    return old;
}

double lvt_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void lvt_parallel(int threads, int64_t n, void (*body)(void *user, int64_t chunk, int thread), void *user) {
    if (threads > n)
        threads = (int)n;
    if (threads <= 1 || omp_in_parallel()) {
        for (int64_t i = 0; i < n; i++)
            body(user, i, 0);
        return;
    }
    /* The loop over parts is for the case that the system gives fewer threads than asked for: every part is
     * still done once and under its own number. */
#pragma omp parallel num_threads(threads)
    {
        int team = omp_get_num_threads();
        for (int t = omp_get_thread_num(); t < threads; t += team) {
            int64_t begin = n * t / threads, end = n * (t + 1) / threads;
            for (int64_t i = begin; i < end; i++)
                body(user, i, t);
        }
    }
}
