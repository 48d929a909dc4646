/* What the files of the session share and few others see: the structs behind lvt.h, initial values.
 *
 * Invariants: a program is read-only once opened (but for the code cache, under its lock); everything a run
 * touches belongs to the session. May not know: LLVM, oneDNN, data sets. */
#ifndef LVT_SESSION_INTERNAL_H
#define LVT_SESSION_INTERNAL_H

#include "ir/base/clock.h"
#include "runtime/kernels/bundle.h"
#include "runtime/kernels/memory.h"
#include "runtime/kernels/threads.h"
#include "runtime/compiled.h"

#include <pthread.h>

struct lvt_program {
    lvt_compiled *compiled;
    lvt_jit *jit;         /* NULL when every step is interpreted */
    pthread_mutex_t lock; /* around jit: sessions may be made from several threads */
    int threads;
    bool interpret;
    char *name; /* as it was opened, for messages */
    double read_seconds;
};

/* A pointer of a step's table that has to follow an input of the run. */
typedef struct lvt_patch {
    void **slot;
    uint32_t input;
    uint64_t offset;
} lvt_patch;

/* Copy of a value into packed memory at the end of a run. */
typedef struct lvt_end_copy {
    lvt_value value;
    void *from; /* patched like the tables */
    void *to;
    void *stage; /* not NULL: copied here first, so that states can be exchanged */
} lvt_end_copy;

typedef struct lvt_session_entry {
    const lvt_plan *plan;
    const lvt_graph *graph;
    lvt_kernel **kernels;         /* one a step */
    lvt_bundle **bundles;         /* by its first step; NULL: steps run one by one */
    void ***operands, ***results; /* one table a step */
    lvt_patch *patches;
    lvt_end_copy *out_copies,
        *stores; /* outputs that need a packed copy; states that are not updated in place */
    void **outputs;
    void **defaults; /* packed default values of inputs, NULL where there is none */
    uint32_t n_patches, n_out_copies, n_stores;
    lvt_step_time *times;
    lvt_block kept;  /* results of the prologue, then what kernels make of steady operands */
    size_t *kept_at; /* one a step: where its kernel's part of `kept` begins */
    bool made;       /* kernels and tables are there */
    bool fresh;      /* `kept` holds what the states, as they are, give */
} lvt_session_entry;

struct lvt_session {
    lvt_program *program;
    lvt_onednn *onednn;
    int threads;
    bool profile;
    const lvt_collective *collective; /* NULL: nobody else takes part */
    lvt_session_entry *entries;
    uint32_t n_entries;
    void **states;   /* one a state of the module */
    lvt_arena *pool; /* tables, constants, defaults, output copies */
    lvt_block arena, state_block, scratch;
    lvt_block discard; /* where results go that nobody needs */
    uint32_t *looked;  /* one a thread, see lvt_session_unsound */
    bool *infinite;    /* one a state: the model begins with infinities there */
    lvt_opening opening;
};

/* ---- program.c ----------------------------------------------------------------------------------------- */

/* A program of a compiled module that is already verified; takes ownership of it, also on error. */
lvt_status lvt_program_new(lvt_compiled *compiled, const char *name, const lvt_program_options *options,
                           lvt_program **out, lvt_diag *diag);

/* ---- rng.c --------------------------------------------------------------------------------------------- */

/* Initial values of n states, packed elements each: a function of (seed, name, init, type) alone, the same on
 * every machine and for every number of threads. zeroed: the memory is, and is left alone where zeros belong.
 */
void lvt_init_values(const lvt_state *states, uint32_t n, uint64_t seed, int threads, bool zeroed,
                     void *const *packed);

/* ---- make.c -------------------------------------------------------------------------------------------- */

lvt_status lvt_session_no_memory(lvt_diag *diag); /* reports that a session could not be made */
/* The same, and a note that says what for. */
lvt_status lvt_session_no_room(const char *what, size_t bytes, lvt_diag *diag);
void lvt_session_free_kernels(lvt_session_entry *e);

/* LVT_USER: there is no entry of that index. */
lvt_status lvt_session_no_entry(int entry, lvt_diag *diag);
static inline bool lvt_session_has(const lvt_session *s, int entry) {
    return entry >= 0 && (uint32_t)entry < s->n_entries;
}

/* ---- session.c ----------------------------------------------------------------------------------------- */

/* Points the tables at the inputs. Errors: those of lvt_session_run. */
lvt_status lvt_session_bind(lvt_session *s, int entry, const void *const *inputs, lvt_diag *diag);
/* Runs a step, or the bundle that begins with it; returns how many steps that were. */
uint32_t lvt_session_run_step(lvt_session *s, int entry, uint32_t step);
/* What kernels make of steady operands; between the prologue and the other steps. */
void lvt_session_pack(lvt_session *s, int entry);

#endif
