/* A compiled program: what the passes make, what the file holds, what the runtime runs.
 *
 * Invariants: data, never code; every index and offset is checked by lvt_program_verify before anything uses
 * it; the plan is valid for any machine (machine code belongs to the runtime, and so does the standard way
 * where a kernel library lacks a variant). May not know: how a pass found the plan, how a kernel does its
 * work. */
#ifndef LVT_IR_PROGRAM_PROGRAM_H
#define LVT_IR_PROGRAM_PROGRAM_H

#include "ir/ir.h"

/* Who runs a step. A row of providers.def says which ops and nodes a family accepts. */
typedef enum lvt_family {
    LVT_FAMILY_NONE, /* no work: input, state, constant, views */
    LVT_FAMILY_ONEDNN,
    LVT_FAMILY_JIT,
    LVT_FAMILY_COLLECTIVE, /* what several processes do together */
    LVT_FAMILY_INTERP,     /* the reference interpreter: slow, always possible */
    LVT_N_FAMILIES
} lvt_family;
const char *lvt_family_name(lvt_family f);
/* The first family of providers.def that accepts the node, LVT_FAMILY_INTERP if none. *why (may be NULL) gets
 * a static text: the reason a faster family refused. */
lvt_family lvt_family_for(const lvt_graph *g, lvt_node_id n, const char **why);

enum { LVT_FAMILIES_TEXT = 64 };
/* Who runs nodes of an op, in words: "onednn", "jit, in fused loops", "nobody: it is a view"; returns buffer. */
const char *lvt_op_families(lvt_op op, char buffer[LVT_FAMILIES_TEXT]);

/* How a family runs a step, where it has several ways: rows of variants.def. */
typedef enum lvt_variant {
    LVT_VARIANT_STANDARD,     /* of convolutions: direct, on images as they lie. Of products: split where the
                                 first matrix is transposed and large; steady matrices packed */
    LVT_VARIANT_WINOGRAD,     /* F(4x4, 3x3), on images copied to blocks of channels */
    LVT_VARIANT_BLOCKED,      /* direct, on images copied to blocks of channels */
    LVT_VARIANT_WHOLE,        /* of products: one primitive for all threads */
    LVT_VARIANT_SPLIT,        /* of products: rows divided among threads, a primitive each */
    LVT_VARIANT_PACKED,       /* of products: the second matrix copied to the primitive's own layout */
    LVT_VARIANT_OWN_WINOGRAD, /* F(4x4, 3x3), strides of 2 by phases, on images as they lie (runtime/winograd)
                               */
    LVT_VARIANT_OWN_PRODUCT,  /* without oneDNN, on every processor; the standard way decides by processor */
    LVT_VARIANT_OWN_DEPTHWISE, /* a channel of the result sees one of the image: vectors of channels */
    LVT_N_VARIANTS
} lvt_variant;
const char *lvt_variant_name(lvt_variant v);
/* Whether that family may run the node in that way; the standard one always may. *why (may be NULL) gets a
 * static text where the answer is no. */
bool lvt_variant_legal(const lvt_graph *g, lvt_node_id n, lvt_family f, lvt_variant v, const char **why);

/* Where a value lives. A view shares the place of what it views, with its own offset and strides. */
typedef enum lvt_place_kind {
    LVT_PLACE_NOWHERE,  /* not needed at run time (dead, or inside nothing) */
    LVT_PLACE_ARENA,    /* offset bytes into the entry's arena */
    LVT_PLACE_STATE,    /* state `index`, plus offset */
    LVT_PLACE_INPUT,    /* input `index` of the entry, plus offset */
    LVT_PLACE_CONSTANT, /* the values of the `constant` node `index`, plus offset */
    LVT_PLACE_KEPT      /* offset bytes into the entry's kept memory, which outlives its runs */
} lvt_place_kind;
typedef struct lvt_place {
    uint8_t kind;
    uint32_t index;
    uint64_t offset; /* bytes; a multiple of 64 for arena and kept buffers, of the element size for views */
    int64_t strides[LVT_MAX_RANK]; /* in elements, one a dim of the value's type; 0 where it is broadcast */
} lvt_place;

/* One piece of work, in order. Steps that are `joined` to the one before form a bundle with it: none depends
 * on another, so they may run in any order, or all at once on the threads of one team. */
typedef struct lvt_step {
    lvt_node_id node;
    uint8_t family, variant;
    bool joined;
} lvt_step;

/* A state that is not updated in place: after the last step, copy `value` to state `state`. */
typedef struct lvt_store {
    uint32_t state;
    lvt_value value;
} lvt_store;

typedef struct lvt_plan { /* of one entry */
    lvt_graph *graph;
    lvt_place *places; /* one a value */
    lvt_step *steps;
    lvt_store *stores;
    uint32_t n_steps, n_stores;
    uint64_t arena_bytes; /* the entry's arena; entries share one allocation of the largest size, since only
                             states outlive a step */
    uint64_t kept_bytes;  /* the entry's kept memory, its own */
    uint32_t n_prologue; /* the first so many steps depend on states and constants alone: they run when states
                            may have changed, not at every run */
    uint32_t tuned; /* threads of the team that the variants of steps were measured with; 0: chosen by rule */
} lvt_plan;

/* First and last step of the bundle that step `s` belongs to; alone, it is both. What is not a step (n_steps,
 * "after all") stays what it is. */
static inline uint32_t lvt_bundle_first(const lvt_plan *p, uint32_t s) {
    while (s && s < p->n_steps && p->steps[s].joined)
        s--;
    return s;
}
static inline uint32_t lvt_bundle_last(const lvt_plan *p, uint32_t s) {
    while (s + 1 < p->n_steps && p->steps[s + 1].joined)
        s++;
    return s;
}

typedef struct lvt_compiled {
    lvt_module *module; /* owned; its entries are the planned graphs; its arena holds the plans */
    lvt_plan *plans;    /* one an entry, same order */
    uint64_t hash;      /* of the text of the module's states, entries and plan: identifies the program in
                           checkpoints */
    uint32_t version;   /* of the file format */
} lvt_compiled;
enum { LVT_PROGRAM_VERSION = 5 };
/* Bytes of an arena, and of kept memory: what is added to them does not overflow. */
#define LVT_MAX_PLAN_BYTES ((uint64_t)1 << 56)

void lvt_compiled_free(lvt_compiled *p);
/* Fills in hash and version: of what is computed and how, not of names of values, places in the model file or
 * settings, so that a changed comment does not make checkpoints strangers. */
lvt_status lvt_program_seal(lvt_compiled *p, lvt_diag *diag);
/* What a plan may do:
 *   - A node that is a step writes its results: to the arena (offset a multiple of 64), to a state in place,
 * or nowhere (nobody reads them). No two elements of a result share a byte.
 *   - Of other nodes, input, state and constant lie at the start of their own memory, row-major (a constant
 * of one value may have any strides); a view's place follows from its operand's (strides of size-1 dims are
 * free); the rest is dead. What is nowhere is not read.
 *   - Of a bundle, no step reads what another one writes, the old value of a state included, and all that its
 * steps read or write is needed until all of them are done. It lies in the prologue or after it.
 *   - The first n_prologue steps, in an entry without updates only, read nothing but states, constants and
 * each other's results. These lie in the kept memory, which nobody else writes, and never share it.
 *   - Outputs, updates and stores read after the last step. An update of a state is a store, or its value
 * lies in the state itself, row-major, written by a step after which nothing reads the old value.
 *   - A `fused` or pointwise step may write a result over an operand that it is the last to read, if both
 * have the same place and shape, that of the whole domain.
 *
 * Checks that every index is in range, that places lie inside their buffers with alignment, that steps cover
 * what outputs, updates and stores need in a legal order, that each node's family accepts it, and that no two
 * values that are alive at the same time overlap (computed here from nothing but the graph, the step order
 * and the places). */
lvt_status lvt_program_verify(const lvt_compiled *p, lvt_diag *diag);
/* Writes to a temporary name beside `path`, syncs, renames; devices and pipes are written to directly. */
lvt_status lvt_program_write(lvt_compiled *p, const char *path, lvt_diag *diag);
/* Reads, validates checksums, offsets and version, verifies. *out is NULL on error. */
lvt_status lvt_program_read(const char *path, lvt_compiled **out, lvt_diag *diag);

#endif
