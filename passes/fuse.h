/* Inside of pass fuse-pointwise: groups of nodes that become one kernel each.
 *
 * Invariant: every node of the graph is in one group (its home), except leaves, which are free to compute and
 * are copied into whatever uses them; the graph with each group drawn as one node has no cycle. A node may be
 * copied into further groups when computing it twice moves fewer bytes. May not know: how a body becomes
 * code. */
#ifndef LVT_PASSES_FUSE_H
#define LVT_PASSES_FUSE_H

#include "rewrite.h"

typedef struct lvt_group {
    lvt_node_id *nodes; /* ascending; copies of other groups' nodes included */
    uint32_t n;
    size_t cap;
    int rank; /* the domain without its dims of size 1 */
    int64_t dim[LVT_MAX_RANK];
    bool fusable, reduces, large; /* large: the domain has many elements */
    uint8_t role;
    uint32_t into; /* the group this one was merged into, or itself */
} lvt_group;

typedef struct lvt_fuse {
    lvt_pass *ctx;
    const lvt_graph *in;
    lvt_group *groups; /* by node */
    lvt_value
        *deep;  /* by value: what it is computed from when it is a leaf (LVT_NONE: nothing), else itself */
    bool *hard; /* by value: outputs, updates or nodes that cannot be fused need it */
    uint32_t *offset,
        *users;      /* nodes that use a value, directly or through leaves: users[offset[v] .. offset[v+1]) */
    bool *inside;    /* by node: scratch, in the group at hand */
    uint32_t *order; /* by group: a number above those of all groups that it reads */
    uint32_t *stamp, now;               /* by node: scratch of the search for cycles */
    uint32_t *before, *after, n_before; /* groups found between two that may be joined, see makes_cycle */
    uint32_t *places;                   /* scratch: their numbers */
    uint64_t looked;                    /* operands and users looked at in the search for cycles */
    bool nomem;                         /* nothing that was decided since counts */
    lvt_value *map;                     /* by value of in: scratch, its value in the body at hand */
    lvt_value *touched;                 /* values of in entered in map */
    uint32_t n_touched;
    lvt_module *scratch; /* of bodies that are only tried */
} lvt_fuse;

/* Allocates and finds leaves, users, domains. False (reported): out of memory. */
bool lvt_fuse_begin(lvt_fuse *f, lvt_pass *ctx, const lvt_graph *in);
void lvt_fuse_end(lvt_fuse *f);
/* Merges producers with consumers, then siblings, then copies cheap producers. False: out of memory. */
bool lvt_fuse_cluster(lvt_fuse *f);

uint32_t lvt_fuse_home(const lvt_fuse *f, lvt_node_id n); /* group of the node */
bool lvt_fuse_is_leaf(const lvt_fuse *f, const lvt_node *n);

/* The body of a set of nodes (ascending) whose results `outputs` are wanted. externals (room for as many as
 * the graph has values) gets the operands. NULL: out of memory. */
lvt_graph *lvt_fuse_body(lvt_fuse *f, lvt_module *m, const lvt_node_id *nodes, uint32_t n,
                         const lvt_value *outputs, uint32_t n_outputs, lvt_value *externals,
                         uint32_t *n_externals);
/* Results of these nodes that others need, as long as nothing has been copied; `outputs` has room for n. */
uint32_t lvt_fuse_outputs(lvt_fuse *f, const lvt_node_id *nodes, uint32_t n, lvt_value *outputs);

#endif
