/* Initial values of states, by all threads. May not know: sessions. */
#include "internal.h"
#include "ir/program/init.h"

#include <math.h>

/* Elements of a piece: 2 MiB of f32, a large page, so that threads do not wait for each other's first touch.
 * A multiple of 4, as lvt_init_fill wants. */
enum { PIECE = 1 << 19 };

typedef struct fill {
    const lvt_state *states;
    uint32_t n;
    uint64_t seed;
    bool zeroed;
    void *const *packed;
} fill;

static bool is_zero(const lvt_state *s) {
    return !s->values && s->init.kind == LVT_INIT_CONSTANT && s->init.a == 0 && !signbit(s->init.a);
}

/* Elements of all states in one row, each state from a multiple of 4 on. */
static int64_t in_row(const fill *f, const lvt_state *s) {
    return f->zeroed && is_zero(s) ? 0 : (lvt_numel(&s->type) + 3) / 4 * 4;
}

static void fill_piece(void *user, int64_t piece, int worker) {
    (void)worker;
    const fill *f = user;
    int64_t at = piece * PIECE, end = at + PIECE; /* from the beginning of state i */
    for (uint32_t i = 0; i < f->n && end > 0; i++) {
        int64_t length = in_row(f, &f->states[i]), n = lvt_numel(&f->states[i].type);
        if (length > 0 && at < length)
            lvt_init_fill(&f->states[i], f->seed, at > 0 ? at : 0, end < n ? end : n, f->packed[i]);
        at -= length;
        end -= length;
    }
}

void lvt_init_values(const lvt_state *states, uint32_t n, uint64_t seed, int threads, bool zeroed,
                     void *const *packed) {
    fill f = {states, n, seed, zeroed, packed};
    int64_t total = 0;
    for (uint32_t i = 0; i < n; i++)
        total += in_row(&f, &states[i]);
    lvt_workers(threads, 0, (total + PIECE - 1) / PIECE, fill_piece, &f);
}
