/* A library to preload: denies allocations of the program that runs under it, to see what it does then.
 * LVT_DENY_AT=N (from 0): allocation N of the main thread fails, LVT_DENY_ALL=1: and all after it.
 * LVT_DENY_COUNT=FILE: writes how many there were. Only calls from lvt's own code count; what libraries allocate
 * (LLVM, oneDNN, libc's start) they may not survive, and lvt cannot mend. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

static long deny_at = -1, made;
static bool all, ready;
static uintptr_t begin, end; /* of the program's code */

static int find_program(struct dl_phdr_info *info, size_t size, void *user) {
    (void)size, (void)user;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type == PT_LOAD && (p->p_flags & PF_X)) {
            begin = info->dlpi_addr + p->p_vaddr;
            end = begin + p->p_memsz;
        }
    }
    return 1; /* the first is the program */
}

__attribute__((constructor)) static void start(void) {
    const char *at = getenv("LVT_DENY_AT");
    deny_at = at ? atol(at) : -1;
    all = getenv("LVT_DENY_ALL") != NULL;
    dl_iterate_phdr(find_program, NULL);
    ready = true;
}

__attribute__((destructor)) static void stop(void) {
    const char *path = getenv("LVT_DENY_COUNT");
    FILE *f = path ? fopen(path, "w") : NULL;
    if (f) {
        fprintf(f, "%ld\n", made);
        fclose(f);
    }
}

static bool denied(void *caller) {
    uintptr_t at = (uintptr_t)caller;
    if (!ready || at < begin || at >= end)
        return false;
    long n = __atomic_fetch_add(&made, 1, __ATOMIC_RELAXED);
    if (deny_at < 0 || (all ? n < deny_at : n != deny_at))
        return false;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t n) {
    return denied(__builtin_return_address(0)) ? NULL : __libc_malloc(n);
}
void *calloc(size_t n, size_t size) {
    return denied(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}
void *realloc(void *p, size_t n) {
    return denied(__builtin_return_address(0)) ? NULL : __libc_realloc(p, n);
}
