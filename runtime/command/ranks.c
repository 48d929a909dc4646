/* See ranks.h. The module is looked for beside the program and where it is installed, and loaded only
 * then. */
#include "ranks.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool started_by_mpi(void) {
    static const char *const marks[] = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_SIZE"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        if (getenv(marks[i]))
            return true;
    }
    return false;
}

static void *load(void) {
    static const char *const places[] = {"liblvt-mpi.so", "../lib/lvt/liblvt-mpi.so",
                                         LVT_MODULE_FOLDER "/liblvt-mpi.so"};
    char self[4096], path[sizeof self + 64];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = 0;
    char *slash = strrchr(self, '/');
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(path, sizeof path, "%.*s%s", *places[i] == '/' || !slash ? 0 : (int)(slash + 1 - self), self,
                 places[i]);
        void *module = dlopen(path, RTLD_NOW | RTLD_GLOBAL); /* Open MPI's own modules look for its symbols */
        if (module)
            return module;
    }
    return NULL;
}

lvt_status lvt_ranks_open(lvt_ranks *r, lvt_diag *diag) {
    *r = (lvt_ranks){0};
    if (!started_by_mpi())
        return LVT_OK;
    r->module = load();
    int (*open)(lvt_collective *) = NULL;
    if (r->module)
        *(void **)&open = dlsym(r->module, "lvt_mpi_open");
    if (!open)
        return lvt_error(
            diag, LVT_USER, NULL, LVT_NOWHERE, "started by mpirun, but this lvt-run has no liblvt-mpi.so: %s",
            r->module ? "a wrong one was found" : "build it where MPI is installed (libopenmpi-dev)");
    return open(&r->all) ? lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "MPI does not start") : LVT_OK;
}

void lvt_ranks_close(lvt_ranks *r) {
    void (*leave)(void) = NULL;
    if (r->module)
        *(void **)&leave = dlsym(r->module, "lvt_mpi_close");
    if (leave)
        leave();
}
