/* The intermediate representation: modules, graphs, nodes, values, types, attributes.
 *
 * Invariants: the nodes of a graph are in topological order (every operand is a result of an earlier node); a
 * node is never changed once it is added, passes build new graphs; values are 32-bit indices into their
 * graph; nothing has side effects: state is read by `state` nodes and written by the graph's list of updates,
 * which take effect together at the end of a step. May not know: passes, kernels, plans. */
#ifndef LVT_IR_IR_H
#define LVT_IR_IR_H

#include "ir/base/arena.h"
#include "ir/base/diag.h"
#include "ir/type.h"

/* ---- types --------------------------------------------------------------------------------------------- */

lvt_type lvt_type_make(lvt_dtype dtype, int rank, const int64_t *dims);
bool lvt_type_equal(const lvt_type *a, const lvt_type *b);
bool lvt_shape_equal(const lvt_type *a, const lvt_type *b); /* same dims, any dtype */
/* The elements of a shape from outside; false: a dimension is not 1..LVT_MAX_DIM, or there are more than
 * LVT_MAX_DIM elements. */
bool lvt_shape_count(int rank, const int64_t *dims, int64_t *out);
bool lvt_dtype_parse(const char *name, size_t n, lvt_dtype *out); /* false: no such type */
bool lvt_dtype_is_float(lvt_dtype dtype);
enum { LVT_MAX_RANKS = 4096 }; /* processes that may share a batch */
enum { LVT_INT_TEXT = 24 };
/* Decimal digits of i, as printf has them; returns how many characters. */
size_t lvt_int_text(int64_t i, char text[LVT_INT_TEXT]);
/* Result of numpy-style broadcasting of a and b (dtype of a); false when the shapes do not fit. */
bool lvt_broadcast_types(const lvt_type *a, const lvt_type *b, lvt_type *out);

/* ---- source locations ---------------------------------------------------------------------------------- */

/* Index into the module's table; 0 means unknown. parent: the place the enclosing block was called from. */
typedef uint32_t lvt_loc;
typedef struct lvt_loc_info {
    uint32_t file, line, col;
    lvt_loc parent;
} lvt_loc_info;

typedef struct lvt_source { /* text may be NULL when only the name is known */
    const char *name, *text;
    size_t length;
} lvt_source;

/* ---- attributes ---------------------------------------------------------------------------------------- */

typedef enum lvt_attr_kind {
    LVT_ATTR_INT,
    LVT_ATTR_FLOAT,
    LVT_ATTR_STRING,
    LVT_ATTR_INTS,
    LVT_ATTR_FLOATS,
    LVT_ATTR_DTYPE,
    LVT_ATTR_BOOL
} lvt_attr_kind;
typedef struct lvt_attr {
    uint8_t kind;
    uint32_t n; /* of INTS, FLOATS */
    union {
        int64_t i; /* INT, BOOL, DTYPE */
        double f;
        const char *s;
        const int64_t *ints;
        const double *floats; /* every element of an f32, i32, u8 or bool tensor is exact in a double */
    };
} lvt_attr;

/* One row of an op's attribute table. `required` attributes have no default; others default to `value`
 * (INTS and FLOATS: empty; STRING: text, or "" when NULL). */
typedef struct lvt_attr_def {
    const char *name;
    uint8_t kind;
    bool required;
    double value;
    const char *text;
} lvt_attr_def;

/* ---- ops ----------------------------------------------------------------------------------------------- */

typedef enum lvt_op {
#define LVT_PW(name, ...) LVT_OP_##name,
#define LVT_OP(name) LVT_OP_##name,
#include "ops.def"
    LVT_N_OPS
} lvt_op;
enum { LVT_NO_OP = LVT_N_OPS };

typedef uint32_t lvt_value;   /* index into graph->values */
typedef uint32_t lvt_node_id; /* index into graph->nodes */
#define LVT_NONE UINT32_MAX   /* no value, no node */

/* How a node came to be. Profiles and errors roll up by it. RECOMPUTE: once more what its origin computes, so
 * that nobody has to keep that result; never merged with it. */
typedef enum lvt_role { LVT_FORWARD, LVT_GRADIENT, LVT_UPDATE, LVT_RECOMPUTE, LVT_N_ROLES } lvt_role;
const char *lvt_role_name(lvt_role role); /* "forward" */

typedef struct lvt_graph lvt_graph;
typedef struct lvt_module lvt_module;

typedef struct lvt_node {
    uint16_t op;
    uint8_t role;
    uint16_t n_operands, n_results;
    lvt_value *operands;
    lvt_value result; /* the first; result + k is the k-th */
    lvt_attr *attrs;  /* as many as the op's table has rows, in its order, defaults filled in */
    lvt_loc loc;
    lvt_node_id origin; /* for gradient and update nodes: the forward node of the same graph they come from;
                           for recompute nodes: the node they repeat; or LVT_NONE */
    lvt_graph *body;    /* of `fused`: inputs are the operands, outputs the results */
} lvt_node;

typedef struct lvt_value_info {
    lvt_type type;
    lvt_node_id node; /* the node whose result it is */
    uint32_t index;   /* which result */
    const char *name; /* as in the model file, or NULL; never needed for meaning */
} lvt_value_info;

/* ---- graphs -------------------------------------------------------------------------------------------- */

typedef struct lvt_input {
    const char *name;
    lvt_value value;  /* result of the `input` node with this index */
    bool has_default; /* scalars only */
    double default_value;
    lvt_loc loc;
} lvt_input;
typedef struct lvt_output {
    const char *name;
    lvt_value value;
    lvt_loc loc;
} lvt_output;
typedef struct lvt_update { /* at the end of a step, state := value */
    uint32_t state;
    lvt_value value;
    lvt_loc loc;
} lvt_update;

/* What a module may be: more would be no network, but a text that unfolds without a bound (loops in loops,
 * gradients of gradients). What goes beyond fails as for want of memory, and lvt_module_no_memory says what.
 */
enum { LVT_MAX_NODES = 250000 };                  /* of a graph */
#define LVT_MAX_MODULE_BYTES ((size_t)1536 << 20) /* of its arena, the graphs that passes made included */

struct lvt_graph {
    lvt_module *module;
    const char *name; /* of the entry; NULL for a body */
    lvt_loc loc;
    bool training;
    bool no_memory; /* why it failed: an allocation */
    bool failed; /* an allocation or a build failed: not to be used (building goes on, to find more mistakes)
                  */
    lvt_node *nodes;
    lvt_value_info *values;
    lvt_input *inputs;
    lvt_output *outputs;
    lvt_update *updates;
    lvt_node_id *state_nodes; /* by state: its `state` node + 1, or 0; as far as it reaches */
    uint32_t n_nodes, n_values, n_inputs, n_outputs, n_updates;
    size_t cap_nodes, cap_values, cap_inputs, cap_outputs, cap_updates, cap_state_nodes;
};

/* ---- modules ------------------------------------------------------------------------------------------- */

typedef enum lvt_init_kind {
    LVT_INIT_CONSTANT,
    LVT_INIT_NORMAL,
    LVT_INIT_TRUNCATED_NORMAL,
    LVT_INIT_UNIFORM,
    LVT_INIT_FILE
} lvt_init_kind;
typedef struct lvt_init { /* CONSTANT: a; NORMAL: mean a, deviation b; TRUNCATED at 2 deviations; UNIFORM: [a,
                             b); FILE: values from a file, a and b are the halves of their hash (see
                             weights.h) */
    uint8_t kind;
    double a, b;
} lvt_init;

typedef struct lvt_state {
    const char *name; /* path, unique: "stage1.0.attention.key", "stage1.0.attention.key.momentum" */
    lvt_type type;
    lvt_init init;
    bool trainable; /* declared with `param` */
    lvt_loc loc;
    const void *values; /* packed initial values, used instead of `init`, of the module; NULL: by init. Not
                           part of the text: weights.h writes and reads them beside it */
} lvt_state;

typedef struct lvt_setting { /* a named parameter of the model and the value it was compiled with, as text */
    const char *name, *value;
} lvt_setting;

struct lvt_module {
    lvt_arena *arena;  /* owns everything below but what states' values are */
    lvt_arena *values; /* owns these; NULL: there are none */
    const char *name;
    lvt_source *sources;
    lvt_loc_info *locs; /* [0] is "unknown" */
    lvt_state *states;
    lvt_setting *settings;
    lvt_graph **entries;
    uint32_t *names; /* of states: a hash table of indices + 1, cap_names (a power of two) large */
    uint32_t n_sources, n_locs, n_states, n_settings, n_entries;
    size_t cap_sources, cap_locs, cap_states, cap_settings, cap_entries, cap_names;
    bool too_many_nodes; /* an append was refused because of LVT_MAX_NODES */
    lvt_loc limit_loc;   /* the place of the last append that was refused, for any reason */
};

/* A new, empty module (name is copied), or NULL when out of memory. Freed with all it holds by
 * lvt_module_free. */
lvt_module *lvt_module_new(const char *name);
void lvt_module_free(lvt_module *m);
/* Reports that what was made of this module failed for want of memory, or because it is beyond the bounds
 * above (E609, at the place of the node that was too much): LVT_NOMEM or LVT_USER. `at`: the place if that of
 * the node is not known. */
lvt_status lvt_module_no_memory(const lvt_module *m, lvt_loc at, const char *doing, lvt_diag *diag);
/* Index of the source file, added if new; text may be NULL, is copied. UINT32_MAX when out of memory. */
uint32_t lvt_module_source(lvt_module *m, const char *name, const char *text, size_t length);
lvt_loc lvt_module_loc(lvt_module *m, uint32_t file, uint32_t line, uint32_t col,
                       lvt_loc parent);                   /* 0 when out of memory */
lvt_pos lvt_module_pos(const lvt_module *m, lvt_loc loc); /* the place itself, for messages */
/* The outermost caller of a place: for a node inside a library block, the line of the model file. */
lvt_loc lvt_module_outermost(const lvt_module *m, lvt_loc loc);
/* Adds a state; LVT_NONE when out of memory. The name must be new (see lvt_module_find_state). */
uint32_t lvt_module_add_state(lvt_module *m, const char *name, const lvt_type *type, lvt_init init,
                              bool trainable, lvt_loc loc);
uint32_t lvt_module_find_state(const lvt_module *m, const char *name); /* LVT_NONE: not there */
/* Room for initial values of states, as long as the module lives; NULL when out of memory. */
void *lvt_module_values(lvt_module *m, size_t bytes);
bool lvt_module_add_setting(lvt_module *m, const char *name, const char *value);
lvt_graph *lvt_module_find_entry(const lvt_module *m, const char *name);
/* Adds an entry graph and returns it; NULL when out of memory. */
lvt_graph *lvt_module_add_entry(lvt_module *m, const char *name, lvt_loc loc, bool training);

/* An empty graph of the module that is not (yet) an entry: for bodies and for passes. */
lvt_graph *lvt_graph_new(lvt_module *m, const char *name, lvt_loc loc, bool training);

/* Appends a node without inferring or checking anything: result types are given. attrs: the op's whole table
 * in order, or NULL for all defaults; both arrays are copied (deep). Returns the node, or LVT_NONE when out
 * of memory (graph->failed is then set). Builders, readers and copies call it; everything else uses
 * ir/build.h. */
lvt_node_id lvt_graph_append(lvt_graph *g, const lvt_node *like, const lvt_type *result_types);

bool lvt_graph_add_output(lvt_graph *g, const char *name, lvt_value value, lvt_loc loc);
bool lvt_graph_add_update(lvt_graph *g, uint32_t state, lvt_value value, lvt_loc loc);

/* -- rebuilding: how passes change a graph. map has one lvt_value per value of `from`, filled with LVT_NONE.
 * -- */
lvt_value *lvt_graph_new_map(const lvt_graph *from, lvt_arena *arena);
/* Copies one node of `from` to `to` (operands through map, body shared, origin through node_map when not
 * NULL, else kept only if from == to), enters its results into map, carries inputs over, and returns the new
 * node. */
lvt_node_id lvt_graph_copy_node(lvt_graph *to, const lvt_graph *from, lvt_node_id node, lvt_value *map,
                                lvt_node_id *node_map);
/* Copies outputs and updates through map. */
bool lvt_graph_copy_ends(lvt_graph *to, const lvt_graph *from, const lvt_value *map);

/* Uses of every value: users[offset[v] .. offset[v+1]) are node ids, one for each operand use, in order;
 * outputs and updates are counted in ends[v]. All arrays are in `arena`; false when out of memory. */
typedef struct lvt_uses {
    uint32_t *offset, *users, *ends;
} lvt_uses;
bool lvt_graph_uses(const lvt_graph *g, lvt_arena *arena, lvt_uses *out);
/* The node whose one operand is all that reads v; LVT_NONE when more does, or nothing. */
static inline lvt_node_id lvt_only_user(const lvt_uses *uses, lvt_value v) {
    uint32_t at = uses->offset[v];
    return !uses->ends[v] && uses->offset[v + 1] == at + 1 ? uses->users[at] : LVT_NONE;
}

/* LVT_NONE, what a build that failed gives, has a type too, a scalar's: who asks before the failure is noticed
 * reads no other memory. */
static inline const lvt_type *lvt_value_type(const lvt_graph *g, lvt_value v) {
    static const lvt_type none = {0};
    return v == LVT_NONE ? &none : &g->values[v].type;
}
static inline const lvt_node *lvt_value_node(const lvt_graph *g, lvt_value v) {
    return &g->nodes[g->values[v].node];
}

#endif
