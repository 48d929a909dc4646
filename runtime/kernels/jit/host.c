/* What processor this is, as far as kernels and the cache have to know, without LLVM.
 *
 * Invariant: equal identities mean that code made on one machine runs on the other. May not know: LLVM,
 * files. */
#include "jit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#else
#include <sys/auxv.h>
#endif

#if defined(__x86_64__) || defined(__i386__)

/* Vendor, model and every bit that says what the processor can do, also what the system lets it do (XCR0
 * shows in leaf 13). Left out: the processor's number, which differs from core to core. */
static void describe(lvt_machine *m) {
    static const struct {
        unsigned leaf, sub;
        unsigned char eax, ebx, ecx, edx;
    } asked[] = {{0, 0, 0, 1, 1, 1},  {1, 0, 1, 0, 1, 1},  {7, 0, 0, 1, 1, 1},          {7, 1, 1, 0, 0, 1},
                 {13, 0, 1, 0, 0, 1}, {13, 1, 1, 0, 0, 0}, {0x80000001u, 0, 0, 0, 1, 1}};
    size_t n = 0;
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        unsigned a = 0, b = 0, c = 0, d = 0;
        (void)__get_cpuid_count(asked[i].leaf, asked[i].sub, &a, &b, &c, &d); /* unknown leaves are zeros */
        n += (size_t)snprintf(m->identity + n, sizeof m->identity - n, "%x.%x.%x.%x ", asked[i].eax ? a : 0,
                              asked[i].ebx ? b : 0, asked[i].ecx ? c : 0, asked[i].edx ? d : 0);
    }
    m->avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    m->width = m->avx512 ? 16 : __builtin_cpu_supports("avx2") ? 8 : 4;
    m->sse41 = __builtin_cpu_supports("sse4.1");
}

#else

static void describe(lvt_machine *m) {
    const char *platform = (const char *)getauxval(AT_PLATFORM);
    snprintf(m->identity, sizeof m->identity, "%.32s %lx %lx", platform ? platform : "?", getauxval(AT_HWCAP),
             getauxval(AT_HWCAP2));
    m->width = 4;
#ifdef __aarch64__
    m->sse41 = true;
#endif
}

#endif

void lvt_machine_host(lvt_machine *m) {
    memset(m, 0, sizeof *m);
    describe(m);
}
