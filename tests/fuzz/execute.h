/* What opens is run: for harnesses that have a compiled program. Every entry, twice, on hostile inputs (NaN,
 * infinities, labels of no class), by the interpreter or by kernels. Under AddressSanitizer a session's memory
 * has a page behind it that nobody may touch, so that generated code is watched too. */
#ifndef LVT_TESTS_EXECUTE_H
#define LVT_TESTS_EXECUTE_H

#include "fuzz.h"

#include "runtime/kernels/jit/codegen.h"
#include "runtime/session/internal.h"

#include <math.h>

enum { EXECUTE_BYTES = 1 << 24, EXECUTE_WORK = 1 << 23, EXECUTE_STEPS = 2000 };
#define EXECUTE_ABSURD 1e15 /* bytes: no machine grants so many, so a session has to say so */

static inline void *execute_input(const lvt_tensor_info *t, uint64_t *random) {
    static const float floats[] = {0.0f,   -0.0f,  1.0f,     -1.0f,     0.5f, 3e38f,
                                   -3e38f, 1e-40f, INFINITY, -INFINITY, NAN};
    static const int32_t ints[] = {0, 1, 2, 3, -1, 7, 1 << 20, INT32_MAX, INT32_MIN};
    unsigned char *data = malloc(t->bytes ? t->bytes : 1);
    bool tame = fuzz_below(random, 2); /* else every element may be anything */
    for (int64_t i = 0, n = lvt_numel(&t->type); data && i < n; i++) {
        double plain = (double)fuzz_below(random, 2001) / 1000 - 1;
        float f = tame ? (float)plain : floats[fuzz_below(random, sizeof floats / sizeof *floats)];
        double d = f;
        int32_t k = ints[fuzz_below(random, tame ? 3 : sizeof ints / sizeof *ints)];
        uint8_t byte = (uint8_t)fuzz_random(random), truth = byte & 1;
        uint32_t bits;
        memcpy(&bits, &f, sizeof bits);
        uint16_t half = (uint16_t)(bits >> 16);
        const void *from[LVT_N_DTYPES] = {[LVT_F32] = &f, [LVT_BF16] = &half, [LVT_F64] = &d,
                                          [LVT_I32] = &k, [LVT_U8] = &byte,   [LVT_BOOL] = &truth};
        size_t size = lvt_dtype_size((lvt_dtype)t->type.dtype);
        memcpy(data + (size_t)i * size, from[t->type.dtype], size);
    }
    return data;
}

static inline void execute_entry(lvt_session *s, const lvt_program *p, int entry, uint64_t *random) {
    lvt_entry_info info = lvt_program_entry(p, entry);
    void **inputs = calloc((size_t)info.n_inputs + 1, sizeof *inputs);
    for (int i = 0; inputs && i < info.n_inputs; i++) {
        lvt_tensor_info t = lvt_program_input(p, entry, i);
        inputs[i] = execute_input(&t, random);
    }
    lvt_diag *d = lvt_diag_new();
    lvt_status status = lvt_session_run(s, entry, (const void *const *)inputs, d);
    if (status != LVT_OK || lvt_diag_errors(d))
        abort();
    unsigned sum = 0; /* every byte of every output can be read */
    for (int i = 0; i < info.n_outputs; i++) {
        const volatile unsigned char *out = lvt_session_output(s, entry, i);
        for (size_t k = 0; k < lvt_program_output(p, entry, i).bytes; k++)
            sum += out[k];
    }
    (void)sum;
    for (int i = 0; inputs && i < info.n_inputs; i++)
        free(inputs[i]);
    free(inputs);
    lvt_diag_free(d);
}

/* Takes the program over. kernels: not the interpreter alone. What would take long is left alone; what no
 * machine can hold has to be refused in words. */
static inline void fuzz_execute(lvt_compiled *compiled, bool kernels, int threads, uint64_t seed) {
    /* The code generator stays loaded: libFuzzer reads the counters of every module that it has seen. */
    static void *module;
    const lvt_codegen *codegen;
    char *why;
    if (!module && lvt_codegen_open(&module, &codegen, &why) != LVT_OK)
        abort();
    uint64_t random = seed | 1;
    lvt_diag *d = lvt_diag_new();
    lvt_program *p;
    lvt_program_options options = {.cache = "", .interpret = !kernels, .threads = threads};
    if (lvt_program_new(compiled, "fuzz", &options, &p, d) != LVT_OK)
        abort();
    double bytes = 0, work = 0;
    for (int i = 0; i < lvt_program_states(p); i++)
        bytes += (double)lvt_program_state(p, i).bytes;
    int steps = 0;
    for (int i = 0; i < lvt_program_entries(p); i++) {
        lvt_entry_info e = lvt_program_entry(p, i);
        bytes += (double)e.working_bytes + (double)e.kept_bytes;
        work += e.flops + e.bytes;
        steps += e.n_steps;
        for (int k = 0; k < e.n_inputs; k++)
            bytes += (double)lvt_program_input(p, i, k).bytes;
        for (int k = 0; k < e.n_outputs; k++)
            bytes += (double)lvt_program_output(p, i, k).bytes;
    }
    lvt_session *s = NULL;
    if (bytes <= EXECUTE_BYTES && work <= EXECUTE_WORK && steps <= EXECUTE_STEPS) {
        lvt_status status = lvt_session_new(p, NULL, &s, d);
        if ((status == LVT_OK) != (s != NULL) || (status != LVT_OK && !lvt_diag_errors(d)) ||
            status == LVT_INTERNAL)
            abort();
        for (int round = 0; s && round < 2; round++)
            for (int i = 0; i < lvt_program_entries(p); i++)
                execute_entry(s, p, i, &random);
    } else if (bytes > EXECUTE_ABSURD && !kernels && steps <= EXECUTE_STEPS) {
        if (lvt_session_new(p, NULL, &s, d) == LVT_OK ? bytes > 1e18 : !lvt_diag_errors(d))
            abort();
    }
    lvt_session_free(s);
    lvt_program_close(p);
    lvt_diag_free(d);
}

#endif
