/* The door to the code generator: a shared module of its own, because LLVM's libraries take 40 ms and 30 MB
 * to load and a start that finds all its code in the cache needs none of them.
 *
 * Invariant: the module is of this very release, else it is refused. May not know: LLVM. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* dladdr */
#endif
#include "codegen.h"
#include "ir/base/version.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *say(const char *format, const char *what) {
    int n = snprintf(NULL, 0, format, what);
    char *s = n < 0 ? NULL : malloc((size_t)n + 1);
    if (s)
        snprintf(s, (size_t)n + 1, format, what);
    return s;
}

/* The module beside the file this code is in, liblvt or a program; else where that file's search path says,
 * which whoever stands between us and dlopen, such as a sanitizer, does not see. */
static void *load(void) {
    char path[PATH_MAX + sizeof LVT_CODEGEN_MODULE];
    Dl_info self;
    ssize_t n = 0;
    if (dladdr(LVT_CODEGEN_SYMBOL, &self) && self.dli_fname && *self.dli_fname == '/')
        n = snprintf(path, PATH_MAX, "%s", self.dli_fname);
    else
        n = readlink("/proc/self/exe", path, PATH_MAX - 1);
    if (n > 0 && n < PATH_MAX) {
        path[n] = 0;
        strcpy(strrchr(path, '/') + 1, LVT_CODEGEN_MODULE);
        if (!access(path, R_OK))
            return dlopen(path, RTLD_NOW | RTLD_LOCAL);
    }
    return dlopen(LVT_CODEGEN_MODULE, RTLD_NOW | RTLD_LOCAL);
}

lvt_status lvt_codegen_open(void **module, const lvt_codegen **codegen, char **why) {
    *codegen = NULL;
    *why = NULL;
    *module = load();
    if (!*module) {
        const char *reason = dlerror();
        *why = say("its library cannot be loaded: %s", reason ? reason : "?");
        return LVT_USER;
    }
    const lvt_codegen *c = dlsym(*module, LVT_CODEGEN_SYMBOL);
    if (c && c->size == sizeof *c && strcmp(c->version, lvt_version()) == 0) {
        *codegen = c;
        return LVT_OK;
    }
    lvt_codegen_close(*module);
    *module = NULL;
    *why = say("its library, %s, is of another release of lvt", LVT_CODEGEN_MODULE);
    return LVT_USER;
}

void lvt_codegen_close(void *module) {
    if (module)
        dlclose(module);
}
