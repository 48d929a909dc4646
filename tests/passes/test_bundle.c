/* Bundles change when steps run, never what they compute: random programs of small updates, reductions and
 * moves give the same bits with bundles and without, for every number of threads, and agree with the
 * interpreter. And a bundle runs every chunk once, the second round after the first. */
#include "ir/text.h"
#include "passes/pass.h"
#include "runtime/session/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

/* ---- whole programs ---- */

enum { STATES = 24, TEXT = 1 << 16 };

/* STATES states of many sizes (a few large enough for several chunks): a norm over all, a rate by it, an
 * update of each, a sum of columns, and copies of some into others. */
static char *make_text(unsigned seed) {
    char *text = malloc(TEXT);
    size_t n = 0;
    int rows[STATES], columns[STATES], next = 0;
    assert_non_null(text);
#define PUT(...) n += (size_t)snprintf(text + n, TEXT - n, __VA_ARGS__)
    PUT("module \"m\" ");
    for (int i = 0; i < STATES; i++) {
        seed = seed * 1664525u + 1013904223u;
        rows[i] = 1 + (int)(seed >> 16) % (i % 8 ? 9 : 300);
        columns[i] = 1 + (int)(seed >> 24) % (i % 8 ? 20 : 200);
        PUT("state @s%d : f32[%d,%d] = normal(0, 1) ", i, rows[i], columns[i]);
    }
    for (int i = 0; i < STATES; i += 4)
        PUT("state @copy%d : f32[%d,%d] = 0 ", i, rows[i], columns[i]);
    PUT("entry @train training {\n%%%d = input {index = 0} : f32[]\n", next++);
    for (int i = 0; i < STATES; i++)
        PUT("%%%d = state {index = %d} : f32[%d,%d]\n", next++, i, rows[i], columns[i]);
    int total = -1;
    for (int i = 0; i < STATES; i++) {
        PUT("%%%d = square(%%%d) : f32[%d,%d]\n", next, 1 + i, rows[i], columns[i]);
        PUT("%%%d = reduce_sum(%%%d) : f32[]\n", next + 1, next);
        next += 2;
        if (total >= 0)
            PUT("%%%d = add(%%%d, %%%d) : f32[]\n", next, total, next - 1), next++;
        total = next - 1;
    }
    PUT("%%%d = sqrt(%%%d) : f32[]\n%%%d = div(%%0, %%%d) : f32[]\n", next, total, next + 1, next);
    int rate = next + 1, new_value[STATES], sums[STATES];
    next += 2;
    for (int i = 0; i < STATES; i++) {
        PUT("%%%d = broadcast(%%%d) {shape = [%d, %d]} : f32[%d,%d]\n", next, rate, rows[i], columns[i],
            rows[i], columns[i]);
        PUT("%%%d = mul(%%%d, %%%d) : f32[%d,%d]\n", next + 1, next, 1 + i, rows[i], columns[i]);
        PUT("%%%d = sub(%%%d, %%%d) : f32[%d,%d]\n", next + 2, 1 + i, next + 1, rows[i], columns[i]);
        PUT("%%%d = reduce_sum(%%%d) {axes = [0]} : f32[%d]\n", next + 3, 1 + i, columns[i]);
        new_value[i] = next + 2;
        sums[i] = next + 3;
        next += 4;
    }
    PUT("input \"rate\" = %%0\n");
    for (int i = 0; i < STATES; i++)
        PUT("update @s%d = %%%d\n", i, new_value[i]);
    for (int i = 0; i < STATES; i += 4)
        PUT("update @copy%d = %%%d\n", i, 1 + i);
    PUT("return \"norm\" = %%%d\n", rate - 1);
    for (int i = 0; i < STATES; i++)
        PUT("return \"sum%d\" = %%%d\n", i, sums[i]);
    PUT("}");
    assert_true(n < TEXT);
#undef PUT
    return text;
}

static lvt_program *open_program(const char *text, bool bundles, lvt_diag *diag) {
    char path[] = "/tmp/lvt-bundle-XXXXXX";
    int file = mkstemp(path);
    lvt_module *m = NULL;
    lvt_compiled *compiled = NULL;
    lvt_program *p = NULL;
    assert_true(file >= 0);
    close(file);
    assert_int_equal(lvt_read_module("bundle", text, strlen(text), &m, diag), LVT_OK);
    assert_int_equal(lvt_compile(m, &(lvt_compile_options){.verify_each = true}, &compiled, diag), LVT_OK);
    uint32_t joined = 0;
    for (uint32_t i = 0; i < compiled->plans[0].n_steps; i++) {
        joined += compiled->plans[0].steps[i].joined;
        compiled->plans[0].steps[i].joined &= bundles;
    }
    assert_true(joined > STATES); /* all sums of squares, all updates */
    assert_int_equal(lvt_program_seal(compiled, diag), LVT_OK);
    assert_int_equal(lvt_program_verify(compiled, diag), LVT_OK);
    assert_int_equal(lvt_program_write(compiled, path, diag), LVT_OK);
    lvt_compiled_free(compiled);
    assert_int_equal(lvt_program_open(path, &(lvt_program_options){.cache = "", .threads = 2}, &p, diag),
                     LVT_OK);
    unlink(path);
    return p;
}

static uint64_t hash(uint64_t h, const void *data, size_t n) {
    for (size_t i = 0; i < n; i++)
        h = (h ^ ((const unsigned char *)data)[i]) * 0x100000001b3u;
    return h;
}

/* Of all states and outputs after three runs. */
static uint64_t run(lvt_program *p, int threads, lvt_diag *diag) {
    lvt_session *s = NULL;
    const lvt_module *m = lvt_program_compiled(p)->module;
    const lvt_graph *g = lvt_program_compiled(p)->plans[0].graph;
    float rate = 0.25f;
    const void *inputs[] = {&rate};
    uint64_t h = 0xcbf29ce484222325u;
    assert_int_equal(lvt_session_new(p, &(lvt_session_options){.threads = threads, .seed = 5}, &s, diag),
                     LVT_OK);
    assert_int_equal(lvt_session_check(s, 0, inputs, diag), LVT_OK);
    lvt_session_profile(s, true);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(lvt_session_run(s, 0, inputs, diag), LVT_OK);
        for (uint32_t k = 0; k < g->n_outputs; k++)
            h = hash(h, lvt_session_output(s, 0, (int)k),
                     lvt_type_bytes(&g->values[g->outputs[k].value].type));
    }
    for (uint32_t i = 0; i < lvt_program_compiled(p)->plans[0].n_steps; i++)
        assert_int_equal(lvt_session_times(s, 0)[i].runs, 3);
    for (uint32_t i = 0; i < m->n_states; i++)
        h = hash(h, lvt_session_state(s, i), lvt_type_bytes(&m->states[i].type));
    lvt_session_free(s);
    return h;
}

static void same_bits(void **state) {
    (void)state;
    for (unsigned seed = 1; seed <= 4; seed++) {
        lvt_diag *diag = lvt_diag_new();
        char *text = make_text(seed);
        lvt_program *one_by_one = open_program(text, false, diag), *together = open_program(text, true, diag);
        uint64_t want = run(one_by_one, 1, diag);
        for (int threads = 1; threads <= 5; threads++)
            assert_int_equal(run(together, threads, diag), want);
        lvt_program_close(one_by_one);
        lvt_program_close(together);
        lvt_diag_free(diag);
        free(text);
    }
}

/* ---- bundles ---- */

enum { KERNELS = 9, MOST = 40 };

typedef struct counted {
    lvt_kernel base;
    atomic_int runs[LVT_ROUNDS][MOST];
    atomic_int *finished; /* chunks of first rounds, of all kernels */
    int first_rounds;     /* that many there are */
    void *scratch;
} counted;

static void count(const lvt_kernel *base, const lvt_run *r, int round, int64_t chunk, int thread) {
    counted *k = (counted *)base;
    assert_true(chunk >= 0 && chunk < base->rounds[round].n);
    assert_true(thread >= 0 && thread < base->threads);
    k->runs[round][chunk]++;
    k->scratch = r->scratch;
    if (round == 0)
        (*k->finished)++;
    else
        assert_int_equal(*k->finished, k->first_rounds);
    assert_ptr_equal(r->operands[0], k);
}

static void every_chunk_once(void **state) {
    (void)state;
    for (int threads = 1; threads <= 4; threads++) {
        atomic_int finished = 0;
        counted all[KERNELS] = {0};
        lvt_kernel *kernels[KERNELS];
        void *operands[KERNELS], **tables[KERNELS];
        lvt_arena *arena = lvt_arena_new();
        lvt_bundle *b = NULL;
        double share = 0;
        int first_rounds = 0;
        for (int i = 0; i < KERNELS; i++)
            first_rounds += 1 + i * 4 % MOST;
        for (int i = 0; i < KERNELS; i++) {
            all[i].base = (lvt_kernel){.chunk = count, .threads = threads, .scratch_bytes = 24};
            all[i].base.rounds[0].n = 1 + i * 4 % MOST;
            all[i].base.rounds[0].cost = i % 3 ? 9000 : 100;
            all[i].base.rounds[1].n = i % 3;
            all[i].base.rounds[1].cost = 20000;
            all[i].finished = &finished;
            all[i].first_rounds = first_rounds;
            kernels[i] = &all[i].base;
            operands[i] = &all[i];
            tables[i] = &operands[i];
        }
        assert_true(lvt_bundle_make(kernels, KERNELS, threads, arena, &b));
        assert_non_null(b);
        char *scratch = malloc(lvt_bundle_scratch(b));
        lvt_bundle_run(b, tables, tables, scratch);
        for (int i = 0; i < KERNELS; i++) {
            for (int r = 0; r < LVT_ROUNDS; r++)
                for (int64_t c = 0; c < MOST; c++)
                    assert_int_equal(all[i].runs[r][c], c < all[i].base.rounds[r].n);
            for (int k = 0; k < i; k++)
                assert_ptr_not_equal(all[i].scratch, all[k].scratch);
            share += lvt_bundle_share(b, (uint32_t)i);
        }
        assert_true(share > 0.999 && share < 1.001);
        all[3].base.chunk = NULL;
        assert_true(lvt_bundle_make(kernels, KERNELS, threads, arena, &b));
        assert_null(b); /* one of them cannot be divided */
        free(scratch);
        lvt_arena_free(arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_bits), cmocka_unit_test(every_chunk_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
