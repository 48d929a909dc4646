/* What the code generator's module offers to the rest of the runtime: one table.
 *
 * compile.c fills it; jit.c loads the module when there is something to compile. May not know: LLVM. */
#ifndef LVT_KERNELS_JIT_CODEGEN_H
#define LVT_KERNELS_JIT_CODEGEN_H

#include "jit.h"

#define LVT_CODEGEN_MODULE "liblvt-codegen.so.0.1" /* see package/install.cmake */
#define LVT_CODEGEN_SYMBOL "lvt_codegen_table"

typedef struct lvt_compiler lvt_compiler; /* LLVM's state for one thread */

typedef struct lvt_codegen {
    size_t size;         /* of this table */
    const char *version; /* lvt_version() of the runtime it belongs to */
    lvt_status (*compiler_new)(const lvt_machine *m, lvt_compiler **out, lvt_diag *diag);
    void (*compiler_free)(lvt_compiler *c);
    /* Compiles into an object file with a function called `symbol`; the caller frees its data. *why gets a
     * malloc'ed text on failure. */
    lvt_status (*compile)(lvt_compiler *c, const lvt_source_code *s, const char *symbol, lvt_object *out,
                          char **why);
    /* The LLVM IR before optimisation, malloc'ed, for people. NULL when out of memory. */
    char *(*text)(lvt_compiler *c, const lvt_source_code *s);
} lvt_codegen;

/* Loads the module; *codegen is its table, valid until lvt_codegen_close(*module). LVT_USER and a malloc'ed
 * text when it cannot be. */
lvt_status lvt_codegen_open(void **module, const lvt_codegen **codegen, char **why);
void lvt_codegen_close(void *module); /* NULL: nothing */

#endif
