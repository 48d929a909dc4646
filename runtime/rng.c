/* Initial values of states, by all threads. May not know: sessions. */
#include "internal.h"
#include "ir/init.h"

enum { CHUNK = 1 << 14 }; /* elements; a multiple of 4, as lvt_init_fill wants */
typedef struct fill {
    const lvt_state *state;
    uint64_t seed;
    void *packed;
} fill;

static void fill_chunk(void *user, int64_t chunk, int thread) {
    (void)thread;
    const fill *f = user;
    int64_t n = lvt_numel(&f->state->type), end = (chunk + 1) * CHUNK;
    lvt_init_fill(f->state, f->seed, chunk * CHUNK, end < n ? end : n, f->packed);
}

void lvt_init_values(const lvt_state *state, uint64_t seed, int threads, void *packed) {
    fill f = {state, seed, packed};
    lvt_parallel(threads, (lvt_numel(&state->type) + CHUNK - 1) / CHUNK, fill_chunk, &f);
}
