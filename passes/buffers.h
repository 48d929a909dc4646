/* Which values share memory and when it is needed: what an order of steps asks of the arena. Asked by
 * schedule for every order it considers, by remat for what holds the peak, by plan for good.
 *
 * Invariant: a result lies over an operand only where lvt_in_place_ok says so and the operand is not read
 * later; new state lies over the old one only when all readers of the old come first; what a step of a
 * bundle reads or makes is alive during all of the bundle. May not know: offsets.
 */
#ifndef LVT_PASSES_BUFFERS_H
#define LVT_PASSES_BUFFERS_H

#include "plan.h"

enum { LVT_BUFFER_ALIGN = 64 };

typedef struct lvt_buffer {
    lvt_value value;   /* the first root that lies in it */
    uint64_t bytes;    /* a multiple of LVT_BUFFER_ALIGN */
    uint64_t offset;   /* left to pass plan */
    uint32_t from, to; /* steps: made at, last read at; the number of steps: after all */
} lvt_buffer;

typedef struct lvt_buffers {
    lvt_value *roots;       /* by value: the value whose memory it lies in */
    uint32_t *made, *last;  /* by root: step that makes it (LVT_NONE: none), last step that reads it */
    uint32_t *of;           /* by root: index into list, or LVT_NONE: not in the arena */
    uint32_t *in_state;     /* by root: the state it is written into, or LVT_NONE */
    bool *output;           /* by root: an output reads it */
    lvt_value *state_value; /* by state: its `state` node's value, or LVT_NONE */
    uint32_t *reader,
        *reader_before; /* by root: the last step that reads it, and the last before that; + 1, 0: none */
    uint32_t *first, *final; /* by step, and "after all": of its bundle */
    lvt_buffer *list;
    uint32_t n;
} lvt_buffers;

/* Finds them for the steps of a plan whose places hold strides and offsets relative to roots, as layout
 * leaves them. Arrays are in `arena`. False when out of memory. Results of the prologue are in no buffer:
 * they are kept. */
bool lvt_buffers_find(const lvt_graph *g, const lvt_plan *plan, lvt_arena *arena, lvt_buffers *out);
/* Most bytes alive at a step: below it no arena can be. *at (may be NULL): the first step where it is so.
 * alive (may be NULL): bytes by step, n_steps + 2 zeros on entry. UINT64_MAX when out of memory. */
uint64_t lvt_buffers_peak(const lvt_buffers *b, uint32_t n_steps, lvt_arena *arena, uint64_t *alive,
                          uint32_t *at);

/* Gives every buffer its offset and *bytes the size of the arena. No smaller one than `least` is looked for.
 * False when out of memory. In plan.c. */
bool lvt_buffers_pack(lvt_buffers *b, uint64_t least, lvt_arena *arena, uint64_t *bytes);

/* May result v of the node lie where operand root `old` lies, if nobody reads that later? */
bool lvt_in_place_ok(const lvt_graph *g, const lvt_place *places, const lvt_value *roots, const lvt_node *n,
                     lvt_value v, lvt_value old, lvt_arena *scratch);
/* Bytes of a root's memory, aligned. */
uint64_t lvt_buffer_bytes(const lvt_graph *g, const lvt_place *places, lvt_value root);

/* The memory report of a finished plan, in ctx->memory_form, at the end of ctx->memory. */
void lvt_explain_memory(lvt_pass *ctx, const lvt_buffers *b);

#endif
