/* The processor that code is made for. May not know: kernels, LLVM. */
#ifndef LVT_KERNELS_JIT_MACHINE_H
#define LVT_KERNELS_JIT_MACHINE_H

#include <stdbool.h>

typedef struct lvt_machine {
    char identity[256];         /* all that tells processors apart; part of every key of the cache */
    const char *cpu, *features; /* LLVM's names, to compile for another processor; NULL: the host's */
    int width;                  /* lanes of f32 in a vector register */
    bool avx512, sse41;
} lvt_machine;
void lvt_machine_host(lvt_machine *m);

#endif
