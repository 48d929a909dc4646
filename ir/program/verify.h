/* Inside the verifier of plans: what its two parts share. verify.c checks each step and each value by
 * itself, overlap.c that values which share memory do not meet.
 *
 * Invariant: an index is used only after it was checked. Time of a value: -1 before the first step, i during
 * step i, n_steps after the last. May not know: how a plan is found. */
#ifndef LVT_IR_PROGRAM_VERIFY_H
#define LVT_IR_PROGRAM_VERIFY_H

#include "ir/op.h"
#include "check.h"

typedef struct lvt_plan_checker {
    const lvt_plan *plan;
    const lvt_graph *g;
    const lvt_module *m;
    lvt_arena *scratch;
    lvt_diag *diag;
    size_t problems;
    bool no_memory; /* what was found then says nothing */
    /* one a step, and one for "after all": the first and the last step of its bundle */
    uint32_t *first, *final;
    /* one a node: index of its step + 1, 0 for none */
    uint32_t *step_of;
    /* one a value */
    lvt_value *root;  /* the value whose memory it shares: itself, or what it is a view of */
    int64_t *defined; /* of roots: time of writing */
    int64_t *last;    /* of roots: time of the last read of it or a view of it, `defined` when never read */
    uint64_t *bytes;  /* from the first byte of its place to past its last */
    /* one a state: time of the last read of the old value, and the root that replaces it in place */
    int64_t *old_last;
    lvt_value *in_place;
} lvt_plan_checker;

/* Reports a problem with value v. */
#define PROBLEM(c, v, code, ...)                                                                             \
    do {                                                                                                     \
        lvt_pos pos = lvt_module_pos((c)->m, (c)->g->nodes[(c)->g->values[v].node].loc);                     \
        lvt_error((c)->diag, LVT_USER, code, pos, __VA_ARGS__);                                              \
        (c)->problems++;                                                                                     \
    } while (0)
#define VALUE_FORMAT "%s: %%%u = %s: "
#define VALUE_ARGS(c, v) (c)->g->name, v, lvt_op_of(lvt_value_node((c)->g, v))->name

static inline const lvt_type *type_of(const lvt_plan_checker *c, lvt_value v) {
    return &c->g->values[v].type;
}
static inline const lvt_place *place(const lvt_plan_checker *c, lvt_value v) {
    return &c->plan->places[v];
}
static inline bool same_place(const lvt_plan_checker *c, lvt_value v, const lvt_place *wanted) {
    const lvt_place *p = place(c, v);
    return p->kind == wanted->kind && p->index == wanted->index && p->offset == wanted->offset &&
           lvt_check_same_strides(type_of(c, v), p->strides, wanted->strides);
}

/* Of a plan whose values lie and are read as they may: nothing that is still needed is written over. False
 * when out of memory. */
bool lvt_check_overlap(lvt_plan_checker *c);

#endif
