/* One OpenMP team for everything: our kernels use it through lvt_parallel, oneDNN by itself.
 *
 * Invariant: which thread runs which chunk depends on (n, threads) alone. May not know: kernels. */
#define _GNU_SOURCE /* sched_getaffinity, pthread_attr_setaffinity_np */
#include "threads.h"
#include "runtime/lvt.h"

#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

int lvt_processors(void) {
    int n =
        omp_get_num_procs(); /* not this thread's own affinity: the team's threads may each be bound to one */
    int quota = lvt_cpu_quota("");
    n = quota < n ? quota : n;
    return n < 1 ? 1 : n;
}

/* ---- the team that there is -------------------------------------------------------------------------------
 */

lvt_team_settings lvt_team(int threads) {
    lvt_team_settings old = {omp_get_max_threads(), omp_get_dynamic(), omp_get_max_active_levels()};
    if (old.threads != threads)
        omp_set_num_threads(threads);
    if (old.dynamic)
        omp_set_dynamic(0);
    if (old.levels < 1)
        omp_set_max_active_levels(1);
    return old;
}

void lvt_team_restore(lvt_team_settings old) {
    if (omp_get_max_threads() != old.threads)
        omp_set_num_threads(old.threads);
    if (old.dynamic)
        omp_set_dynamic(1);
    if (old.levels < 1)
        omp_set_max_active_levels(old.levels);
}

const char *lvt_team_limit(int threads) {
    if (threads <= 1)
        return NULL;
    if (omp_in_parallel())
        return "the calling thread is in a parallel region already";
    return omp_get_thread_limit() < threads ? "OMP_THREAD_LIMIT is lower" : NULL;
}

static void *wait_a_moment(void *mutex) {
    pthread_mutex_lock(mutex);
    pthread_mutex_unlock(mutex);
    return NULL;
}

/* How many threads the system lets live at a time beside this one, up to `more`: GNU's OpenMP ends the
 * process when it cannot make one. */
static int threads_beside(int more) {
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_t *list = calloc((size_t)more, sizeof *list);
    int n = 0;
    pthread_mutex_lock(&mutex);
    while (list && n < more && pthread_create(&list[n], NULL, wait_a_moment, &mutex) == 0)
        n++;
    pthread_mutex_unlock(&mutex);
    for (int i = 0; i < n; i++)
        pthread_join(list[i], NULL);
    free(list);
    return n;
}

int lvt_team_given(int threads, const char **why) {
    *why = lvt_team_limit(threads);
    int given = *why ? (omp_in_parallel() ? 1 : omp_get_thread_limit()) : threads;
    if (given > 1) {
        int possible = 1 + threads_beside(given - 1);
        *why = possible < given ? "the system starts no more threads" : *why;
        given = possible < given ? possible : given;
    }
    return given < 1 ? 1 : given;
}

int lvt_team_first(int threads) {
    lvt_team_settings old = lvt_team(threads);
    int team = 1;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        if (omp_get_thread_num() == 0)
            team = omp_get_num_threads();
    }
    lvt_team_restore(old);
    return team;
}

void lvt_parallel(int threads, int64_t n, void (*body)(void *user, int64_t chunk, int thread), void *user) {
    if (threads > n)
        threads = (int)n;
    if (threads <= 1 || omp_in_parallel()) {
        for (int64_t i = 0; i < n; i++)
            body(user, i, 0);
        return;
    }
    /* The loop over parts is for the case that there are fewer threads than asked for: every part is still
     * done once and under its own number. oneDNN's regions are not made like that, which is why sessions look
     * at the team before (lvt_team_given, lvt_team_limit). */
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

typedef struct queue {
    atomic_llong next;
    long long n;
    int team;
    void (*body)(void *user, int64_t i, int worker);
    void *user;
} queue;

typedef struct worker {
    pthread_t thread;
    queue *q;
    int number;
    bool started;
} worker;

static void serve(queue *q, int number) {
    for (long long i; (i = atomic_fetch_add(&q->next, 1)) < q->n;)
        q->body(q->user, i, number);
}

/* Where the team's threads are bound to places, the calling one is too. A new thread would be bound to the
 * same one, or left waiting behind it for milliseconds if it were just let go: each gets a place of its own,
 * the `number`th after the calling thread's. */
static void bind(pthread_attr_t *attr, int number) {
    int places = omp_get_num_places(), here = omp_get_place_num(), ids[CPU_SETSIZE];
    int place = places > 0 ? ((here > 0 ? here : 0) + number) % places : 0;
    if (places <= 0 || omp_get_place_num_procs(place) > CPU_SETSIZE)
        return;
    cpu_set_t set;
    CPU_ZERO(&set);
    omp_get_place_proc_ids(place, ids);
    for (int i = 0; i < omp_get_place_num_procs(place); i++) {
        if (ids[i] >= 0 && ids[i] < CPU_SETSIZE)
            CPU_SET(ids[i], &set);
    }
    (void)pthread_attr_setaffinity_np(attr, sizeof set, &set); /* a wish */
}

static void *work(void *user) {
    worker *w = user;
    if (w->q->team)
        lvt_team(w->q->team);
    serve(w->q, w->number);
    return NULL;
}

/* False: there will be one thread less. */
static bool start(worker *w) {
    pthread_attr_t attr;
    if (pthread_attr_init(&attr) != 0)
        return false;
    bind(&attr, w->number);
    bool started = pthread_create(&w->thread, &attr, work, w) == 0;
    pthread_attr_destroy(&attr);
    return started;
}

void lvt_workers(int workers, int team, int64_t n, void (*body)(void *user, int64_t i, int worker),
                 void *user) {
    queue q = {.n = n, .team = team, .body = body, .user = user};
    int more = (workers < n ? workers : (int)n) - 1; /* the calling thread is one of them */
    worker *list = more > 0 ? calloc((size_t)more, sizeof *list) : NULL;
    for (int t = 0; list && t < more; t++) { /* fewer do it as well */
        list[t].q = &q;
        list[t].number = t + 1;
        list[t].started = start(&list[t]);
    }
    serve(&q, 0);
    for (int t = 0; list && t < more; t++) {
        if (list[t].started)
            pthread_join(list[t].thread, NULL);
    }
    free(list);
}

/* By default threads spin for milliseconds; when another process has the partner's processor, each of a
 * step's hundreds of regions stalls for so long. Sleeping at once costs a wake-up of some 15 us a region and
 * lets the system put both threads on one processor. Best of what was measured, with and without a busy
 * neighbour: each thread stays on its own processor and spins for some 40 us before it sleeps (a region of 42
 * us takes 42 us alone, and as long as one thread would need beside a busy neighbour; with the default it was
 * ten times as long). Staying put would pile up processes that use a part of the processors, so those sleep
 * at once instead. */
bool lvt_choose_waiting(int threads) {
    static const char *const chosen[] = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_PROC_BIND",
                                         "GOMP_CPU_AFFINITY"};
    for (size_t i = 0; i < sizeof chosen / sizeof *chosen; i++) {
        if (getenv(chosen[i]))
            return false;
    }
    cpu_set_t set;
    int processors = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    bool all = processors > 1 && lvt_cpu_quota("") >= processors && (threads == 0 || threads == processors);
    return !(all ? setenv("OMP_PROC_BIND", "true", 1) | setenv("GOMP_SPINCOUNT", "2000", 1)
                 : setenv("OMP_WAIT_POLICY", "passive", 1));
}
