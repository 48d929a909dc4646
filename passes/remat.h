/* Inside pass remat: the steps of an entry as a model in which nodes can be run more than once.
 *
 * A RUN is one execution of a node at a position of the order, a COPY one result of a run. At first every
 * node has one run; lvt_remat_again() adds runs of nodes and makes later readers read the new copies. Invariant:
 * every run reads copies that were made before it; all operands of a run that lie in the memory of one value
 * read the same copy of it; a state is read before it is replaced. May not know: kernels, offsets. */
#ifndef LVT_PASSES_REMAT_H
#define LVT_PASSES_REMAT_H

#include "buffers.h"

typedef struct remat_run {
    lvt_node_id node;
    uint32_t *reads;  /* copies, one an operand of the node */
    uint32_t results; /* the first copy it makes; copy results + k is of result k */
} remat_run;

typedef struct remat_copy {
    lvt_value value;     /* a root */
    uint32_t run;        /* that makes it; LVT_NONE: always there (input, state, constant, kept) */
    uint32_t other;      /* another copy of the value, made earlier; LVT_NONE: this was the first */
    uint64_t bytes;      /* in the arena; 0 if it is not there */
    bool ends;           /* read after the last step */
    uint32_t made, last; /* positions; lvt_remat_measure fills them in */
    uint32_t before,
        after; /* positions of the last read up to remat_model.peak_at and the first one behind */
    uint32_t buffer;
} remat_copy;

typedef struct remat_model {
    const lvt_graph *g;
    const lvt_plan *plan;
    lvt_arena *arena; /* scratch */
    lvt_buffers base;
    remat_run *runs;
    remat_copy *copies;
    uint32_t n_runs, n_copies;
    size_t cap_runs, cap_copies;
    uint32_t *order; /* runs, n_runs of them */
    size_t cap_order;
    uint32_t *newest;   /* by root: its newest copy */
    uint32_t *replaced; /* by state: the run that makes its new value, or LVT_NONE */
    uint32_t *position; /* by run */
    size_t cap_position;
    bool **in_place; /* by node: n_results * n_operands answers of lvt_in_place_ok; NULL: never */
    lvt_buffer *buffers;
    size_t cap_buffers;
    uint64_t *alive; /* by position: bytes */
    size_t cap_alive;
    uint64_t peak;
    uint32_t peak_at; /* position */
    double *seconds;  /* by node: estimated time of one run */
    bool no_memory;
} remat_model;

/* What lvt_remat_again changed, so that it can be taken back. */
typedef struct remat_change {
    uint32_t n_runs, n_copies, at; /* as they were; position of the first new run */
    uint32_t *moved;               /* pairs: run, operand: read another copy before */
    uint32_t *was;                 /* and which */
    uint32_t n_moved;
    size_t cap_moved, cap_was;
    double seconds; /* of the new runs */
} remat_change;

/* The steps of a plan of g, one run each, measured. False when out of memory. */
bool lvt_remat_model_make(remat_model *m, lvt_pass *ctx, const lvt_graph *g, const lvt_plan *plan);
/* Lifetimes, bytes alive, the peak. False when out of memory. */
bool lvt_remat_measure(remat_model *m);
/* Bytes above `target`, summed over the positions. */
double lvt_remat_excess(const remat_model *m, double target);
/* Frees copy c between its last read up to the peak and the first behind it: runs its node again just before
 * that one, with whatever else is not there any more. False when that cannot be; nothing has changed then. */
bool lvt_remat_again(remat_model *m, uint32_t c, remat_change *change);
void lvt_remat_undo(remat_model *m, const remat_change *change);

#endif
