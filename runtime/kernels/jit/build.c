/* Kernels to code: compiles what the cache does not have, on all threads, and in a process of its own where
 * the program allows it.
 *
 * Invariants: an image depends on its source and the machine alone, not on who compiled it or in what order;
 * the other process ends with this call. LLVM takes 80 MB that it never gives back, and more than half of
 * that is its own code: in another process they are gone before the first run. May not know: LLVM, what a
 * kernel is. */
#define _GNU_SOURCE /* pipe2 */
#include "codegen.h"
#include "ir/base/file.h"
#include "runtime/kernels/threads.h"

#include <errno.h>
#include <pthread.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct work {
    const lvt_machine *machine;
    lvt_cache *cache;
    const lvt_codegen *codegen;
    lvt_build_item *list;
    size_t n;
    const uint32_t *compile;  /* which of the list */
    lvt_compiler **compilers; /* one a thread, made at first use */
    int pipe;                 /* -1: results stay in the list */
    pthread_mutex_t lock;     /* around the pipe */
} work;

/* What goes through the pipe: this, then `size` bytes, an image or, when status is not LVT_OK, a text. */
typedef struct message {
    uint32_t index; /* of work.compile; WHOLE: of all of them */
    int32_t status;
    uint64_t size;
} message;
enum { WHOLE = UINT32_MAX };

static void send(work *w, uint32_t index, lvt_status status, const void *data, size_t size) {
    message m = {index, (int32_t)status, size};
    pthread_mutex_lock(&w->lock);
    if (lvt_fd_write(w->pipe, &m, sizeof m))
        (void)lvt_fd_write(w->pipe, data, size); /* a reader that is gone misses nothing */
    pthread_mutex_unlock(&w->lock);
}

static void compile_one(void *user, int64_t i, int thread) {
    work *w = user;
    lvt_build_item *b = &w->list[w->compile[i]];
    lvt_compiler **c = &w->compilers[thread];
    lvt_object object = {0};
    const char *refused = NULL;
    b->status = *c ? LVT_OK : w->codegen->compiler_new(w->machine, c, NULL);
    if (b->status == LVT_OK)
        b->status = w->codegen->compile(*c, b->source, b->symbol, &object, &b->why);
    if (b->status == LVT_OK)
        b->status = lvt_image_make(&object, b->symbol, &b->image, &refused);
    free(object.data);
    if (refused)
        b->why = strdup(refused);
    if (b->status == LVT_OK)
        lvt_cache_put(w->cache, b->source->key, &b->image);
    if (w->pipe < 0)
        return;
    if (b->status == LVT_OK)
        send(w, (uint32_t)i, b->status, b->image.data, b->image.size);
    else
        send(w, (uint32_t)i, b->status, b->why ? b->why : "", b->why ? strlen(b->why) : 0);
    free(b->image.data);
    b->image = (lvt_object){0};
}

static lvt_status compile_here(work *w, int threads, char **why) {
    void *module;
    lvt_status status = lvt_codegen_open(&module, &w->codegen, why);
    if (status != LVT_OK)
        return status;
    lvt_workers(threads, 0, (int64_t)w->n, compile_one, w);
    for (int t = 0; t < threads; t++) {
        if (w->compilers[t])
            w->codegen->compiler_free(w->compilers[t]);
    }
    lvt_codegen_close(module);
    return LVT_OK;
}

/* The other process: never returns. Ends without the caller's exit handlers, which are not its own. */
static void child(work *w, int threads) {
    char *why = NULL;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    lvt_status status = compile_here(w, threads, &why);
    if (status != LVT_OK)
        send(w, WHOLE, status, why ? why : "", why ? strlen(why) : 0);
    for (;;)
        syscall(SYS_exit_group, 0);
}

static bool receive(work *w, int fd, lvt_status *whole, char **why) {
    message m;
    size_t left = w->n;
    while (left && lvt_fd_read(fd, &m, sizeof m)) {
        lvt_build_item *b = m.index < w->n ? &w->list[w->compile[m.index]] : NULL;
        char *data = m.size <= LVT_IMAGE_MOST ? malloc(m.size + 1) : NULL;
        if (!data || !lvt_fd_read(fd, data, m.size)) {
            free(data);
            return false;
        }
        data[m.size] = 0;
        if (!b) {
            *whole = (lvt_status)m.status;
            *why = data;
            return true;
        }
        b->status = (lvt_status)m.status;
        if (b->status == LVT_OK)
            b->image = (lvt_object){data, m.size};
        else
            b->why = data;
        left--;
    }
    return left == 0;
}

/* False when there can be no other process; then nothing has been done. */
static bool compile_apart(work *w, int threads, lvt_status *status, char **why) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        w->pipe = ends[1];
        child(w, threads);
    }
    close(ends[1]);
    *status = LVT_OK;
    if (pid > 0 && !receive(w, ends[0], status, why)) {
        *why = strdup("it stopped before it was done");
        *status = LVT_INTERNAL;
    }
    close(ends[0]); /* one that still writes is ended by that */
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return pid > 0;
}

lvt_status lvt_build_images(const lvt_machine *m, lvt_cache *cache, int threads, bool apart,
                            lvt_build_item *list, size_t n, const uint32_t *compile, char **why) {
    *why = NULL;
    work w = {.machine = m, .cache = cache, .list = list, .n = n, .compile = compile, .pipe = -1};
    threads = threads > (int64_t)n ? (int)n : threads;
    w.compilers = calloc((size_t)threads + 1, sizeof *w.compilers);
    if (!w.compilers || pthread_mutex_init(&w.lock, NULL) != 0) {
        free(w.compilers);
        return LVT_NOMEM;
    }
    lvt_status status;
    if (!apart || !compile_apart(&w, threads, &status, why))
        status = compile_here(&w, threads, why);
    pthread_mutex_destroy(&w.lock);
    free(w.compilers);
    return status;
}
