/* The verifier: every invariant of ir.h, checked on a module that may come from anywhere.
 *
 * Invariant: trusts no index, count, kind or type before it has checked it; pointers and array lengths are
 * the caller's promise. Reports every problem, each once, at the place in the model file that the node came
 * from. May not know: passes, plans, which nodes a kernel can run. */
#include "op.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 8 }; /* of bodies in bodies, as in the reader */

typedef struct verifier {
    const lvt_module *m;
    lvt_arena *scratch;
    lvt_diag *diag;
    size_t problems;
    bool no_memory;
} verifier;

static lvt_pos place(const verifier *v, lvt_loc loc) {
    return lvt_module_pos(v->m, loc);
}

static bool count_problem(verifier *v) {
    v->problems++;
    return false;
}

/* Reports a problem; false, so that checks read as `ok = PROBLEM(...)`. */
#define PROBLEM(v, loc, code, ...)                                                                           \
    (lvt_error((v)->diag, LVT_USER, code, place(v, loc), __VA_ARGS__), count_problem(v))

/* ---- names --------------------------------------------------------------------------------------------- */

typedef struct named {
    const char *name;
    lvt_loc loc;
} named;

static int by_name(const void *a, const void *b) {
    return strcmp(((const named *)a)->name, ((const named *)b)->name);
}

static named *new_names(verifier *v, uint32_t n) {
    named *names = lvt_arena_alloc(v->scratch, n * sizeof *names + 1);
    v->no_memory |= !names;
    return names;
}

/* Sorts names and reports each that occurs again. */
static void check_unique(verifier *v, named *names, uint32_t n, const char *what) {
    qsort(names, n, sizeof *names, by_name);
    for (uint32_t i = 1; i < n; i++)
        if (strcmp(names[i].name, names[i - 1].name) == 0)
            PROBLEM(v, names[i].loc, "E160", "two %s are called '%s'", what, names[i].name);
}

/* ---- types and attributes ------------------------------------------------------------------------------ */

static const char *type_mistake(const lvt_type *t) {
    if (t->dtype >= LVT_N_DTYPES)
        return "unknown element type";
    if (t->rank > LVT_MAX_RANK)
        return "too many dimensions";
    int64_t elements;
    for (int i = 0; i < LVT_MAX_RANK; i++)
        if (i >= t->rank ? t->dim[i] != 0 : t->dim[i] < 1 || t->dim[i] > LVT_MAX_DIM)
            return "a dimension is out of range";
    return lvt_shape_count(t->rank, t->dim, &elements) ? NULL : "too many elements";
}

static const char *attr_mistake(const lvt_attr *a, const lvt_attr_def *def) {
    if (a->kind != def->kind)
        return "is of the wrong kind";
    switch ((lvt_attr_kind)a->kind) {
    case LVT_ATTR_DTYPE:
        return a->i < 0 || a->i >= LVT_N_DTYPES ? "is no element type" : NULL;
    case LVT_ATTR_BOOL:
        return a->i != 0 && a->i != 1 ? "is neither true nor false" : NULL;
    case LVT_ATTR_STRING:
        return a->s ? NULL : "has no text";
    case LVT_ATTR_INTS:
        return a->n && !a->ints ? "has no values" : NULL;
    case LVT_ATTR_FLOATS:
        return a->n && !a->floats ? "has no values" : NULL;
    case LVT_ATTR_INT:
    case LVT_ATTR_FLOAT:
        return NULL;
    }
    return "is of an unknown kind";
}

/* ---- nodes --------------------------------------------------------------------------------------------- */

static void check_graph(verifier *v, const lvt_graph *g, int depth);

/* Parts of a message that every node has: "train: %5 = matmul". */
#define NODE_FORMAT "%s: %%%u = %s: "
#define NODE_ARGS(g, n) (g)->name ? (g)->name : "body", (n)->result, lvt_op_of(n)->name

static bool check_operands(verifier *v, const lvt_graph *g, const lvt_node *n) {
    const lvt_op_def *def = lvt_op_of(n);
    bool ok = true;
    if (n->n_operands < def->min_operands || (def->max_operands >= 0 && n->n_operands > def->max_operands))
        ok = PROBLEM(v, n->loc, "E162", NODE_FORMAT "%u operands, but it takes %s%d", NODE_ARGS(g, n),
                     n->n_operands,
                     def->max_operands == def->min_operands        ? ""
                     : n->n_operands < (unsigned)def->min_operands ? "at least "
                                                                   : "at most ",
                     n->n_operands < def->min_operands ? def->min_operands : def->max_operands);
    for (uint32_t k = 0; k < n->n_operands; k++)
        if (n->operands[k] >= n->result)
            ok = PROBLEM(v, n->loc, "E163",
                         NODE_FORMAT "operand %u is %%%u, which is not a result of an earlier node",
                         NODE_ARGS(g, n), k, n->operands[k]);
    return ok;
}

static bool check_results(verifier *v, const lvt_graph *g, const lvt_node *n, lvt_node_id id,
                          uint32_t expected) {
    const lvt_op_def *def = lvt_op_of(n);
    bool ok = true;
    if (n->result != expected || n->n_results > g->n_values - expected)
        return PROBLEM(v, n->loc, "E164",
                       NODE_FORMAT "results must be numbered in order of nodes, from %%%u on",
                       NODE_ARGS(g, n), expected);
    if (n->n_results == 0 || (def->kind != LVT_KIND_META && n->n_results != (uint32_t)def->n_results))
        ok = PROBLEM(v, n->loc, "E164", NODE_FORMAT "%u results, but it has %d", NODE_ARGS(g, n),
                     n->n_results, def->n_results);
    for (uint32_t k = 0; k < n->n_results; k++) {
        const lvt_value_info *info = &g->values[n->result + k];
        const char *mistake = type_mistake(&info->type);
        if (mistake)
            ok = PROBLEM(v, n->loc, "E165", NODE_FORMAT "type of result %u: %s", NODE_ARGS(g, n), k, mistake);
        if (info->node != id || info->index != k)
            ok =
                PROBLEM(v, n->loc, "E164", NODE_FORMAT "%%%u does not know that it is result %u of this node",
                        NODE_ARGS(g, n), n->result + k, k);
    }
    return ok;
}

static bool check_attrs(verifier *v, const lvt_graph *g, const lvt_node *n) {
    const lvt_op_def *def = lvt_op_of(n);
    bool ok = true;
    if (def->n_attrs && !n->attrs)
        return PROBLEM(v, n->loc, "E166", NODE_FORMAT "no attributes", NODE_ARGS(g, n));
    for (int i = 0; i < def->n_attrs; i++) {
        const char *mistake = attr_mistake(&n->attrs[i], &def->attrs[i]);
        if (mistake)
            ok = PROBLEM(v, n->loc, "E166", NODE_FORMAT "attribute '%s' %s", NODE_ARGS(g, n),
                         def->attrs[i].name, mistake);
    }
    return ok;
}

static void same_type(verifier *v, const lvt_graph *g, const lvt_node *n, lvt_value value,
                      const lvt_type *wanted, const char *says) {
    char have[LVT_TYPE_TEXT], want[LVT_TYPE_TEXT];
    const lvt_type *type = &g->values[value].type;
    if (!lvt_type_equal(type, wanted))
        PROBLEM(v, n->loc, "E165", NODE_FORMAT "%%%u has type %s, but %s says %s", NODE_ARGS(g, n), value,
                lvt_type_text(type, have), says, lvt_type_text(wanted, want));
}

static void check_input(verifier *v, const lvt_graph *g, const lvt_node *n) {
    int64_t index = lvt_attr_get(n, "index")->i;
    if (index < 0 || index >= g->n_inputs || g->inputs[index].value != n->result)
        PROBLEM(v, n->loc, "E167", NODE_FORMAT "is not the input with index %lld of the graph",
                NODE_ARGS(g, n), (long long)index);
}

static void check_state(verifier *v, const lvt_graph *g, const lvt_node *n, int depth) {
    int64_t index = lvt_attr_get(n, "index")->i;
    if (index < 0 || index >= v->m->n_states)
        PROBLEM(v, n->loc, "E167", NODE_FORMAT "there is no state with index %lld", NODE_ARGS(g, n),
                (long long)index);
    else if (depth)
        PROBLEM(v, n->loc, "E168", NODE_FORMAT "a body cannot read a state", NODE_ARGS(g, n));
    else
        same_type(v, g, n, n->result, &v->m->states[index].type, "the state");
}

static void check_body(verifier *v, const lvt_graph *g, const lvt_node *n, int depth) {
    const lvt_graph *body = n->body;
    if (!body) {
        PROBLEM(v, n->loc, "E168", NODE_FORMAT "has no body", NODE_ARGS(g, n));
        return;
    }
    if (depth == MAX_DEPTH) {
        PROBLEM(v, n->loc, "E168", NODE_FORMAT "bodies are nested more than %d deep", NODE_ARGS(g, n),
                MAX_DEPTH);
        return;
    }
    size_t before = v->problems;
    if (body->n_inputs != n->n_operands || body->n_outputs != n->n_results)
        PROBLEM(v, n->loc, "E168", NODE_FORMAT "%u operands and %u results, but the body has %u and %u",
                NODE_ARGS(g, n), n->n_operands, n->n_results, body->n_inputs, body->n_outputs);
    if (body->n_updates)
        PROBLEM(v, n->loc, "E168", NODE_FORMAT "a body cannot update a state", NODE_ARGS(g, n));
    check_graph(v, body, depth + 1);
    if (v->problems != before)
        return;
    for (uint32_t k = 0; k < n->n_operands; k++)
        same_type(v, g, n, n->operands[k], &body->values[body->inputs[k].value].type, "the body's input");
    for (uint32_t k = 0; k < n->n_results; k++)
        same_type(v, g, n, n->result + k, &body->values[body->outputs[k].value].type, "the body");
}

/* Result types must be those that inference finds. Only called when all else is right. */
static void check_inference(verifier *v, const lvt_graph *g, const lvt_node *n) {
    const lvt_op_def *def = lvt_op_of(n);
    size_t room = (size_t)n->n_operands + n->n_results + 1;
    lvt_type *types = lvt_arena_alloc(v->scratch, (room + n->n_operands) * sizeof *types);
    if (!types) {
        v->no_memory = true;
        return;
    }
    lvt_type *operands = types + room;
    for (uint32_t k = 0; k < n->n_operands; k++) {
        operands[k] = g->values[n->operands[k]].type;
        if (type_mistake(&operands[k]))
            return; /* reported where it comes from */
    }
    lvt_infer c = {.graph = g, .node = n, .operands = operands, .results = types, .n_results = n->n_results};
    c.diag = v->diag;
    c.at = place(v, n->loc);
    lvt_status status = def->infer(&c);
    if (status == LVT_NOMEM) {
        v->no_memory = true;
    } else if (status != LVT_OK) {
        v->problems++; /* inference has said why */
    } else if (c.n_results != n->n_results) {
        PROBLEM(v, n->loc, "E164", NODE_FORMAT "%u results, but inference finds %u", NODE_ARGS(g, n),
                n->n_results, c.n_results);
    } else {
        for (uint32_t k = 0; k < n->n_results; k++)
            same_type(v, g, n, n->result + k, &types[k], "inference");
    }
}

/* False when what follows in the graph cannot be numbered. */
static bool check_node(verifier *v, const lvt_graph *g, lvt_node_id id, uint32_t *n_values, int depth) {
    const lvt_node *n = &g->nodes[id];
    if (n->op >= LVT_N_OPS)
        return PROBLEM(v, n->loc, "E161", "%s: node %u has no known operation", g->name ? g->name : "body",
                       id);
    bool ok = check_operands(v, g, n), results = check_results(v, g, n, id, *n_values);
    bool numbered = n->result == *n_values && n->n_results <= g->n_values - *n_values;
    *n_values += n->n_results;
    ok &= results & check_attrs(v, g, n);
    if (n->loc >= v->m->n_locs)
        ok = PROBLEM(v, 0, "E169", NODE_FORMAT "no place has number %u", NODE_ARGS(g, n), n->loc);
    if (n->role >= LVT_N_ROLES)
        ok = PROBLEM(v, n->loc, "E170", NODE_FORMAT "unknown role %u", NODE_ARGS(g, n), n->role);
    if (n->origin != LVT_NONE && (n->origin >= g->n_nodes || n->origin == id || n->role == LVT_FORWARD))
        ok = PROBLEM(v, n->loc, "E170", NODE_FORMAT "%s", NODE_ARGS(g, n),
                     n->role == LVT_FORWARD ? "a forward node has no origin"
                                            : "its origin is not another node");
    if (n->body && n->op != LVT_OP_fused)
        ok = PROBLEM(v, n->loc, "E168", NODE_FORMAT "only fused has a body", NODE_ARGS(g, n));
    if (!ok)
        return numbered;
    if (n->op == LVT_OP_input)
        check_input(v, g, n);
    else if (n->op == LVT_OP_state)
        check_state(v, g, n, depth);
    else if (n->op == LVT_OP_fused)
        check_body(v, g, n, depth);
    else if (lvt_op_of(n)->infer)
        check_inference(v, g, n);
    return true;
}

/* ---- graphs -------------------------------------------------------------------------------------------- */

static const char *graph_name(const lvt_graph *g) {
    return g->name ? g->name : "body";
}

static void check_inputs(verifier *v, const lvt_graph *g) {
    named *names = new_names(v, g->n_inputs);
    uint32_t n = 0;
    for (uint32_t i = 0; names && i < g->n_inputs; i++) {
        const lvt_input *in = &g->inputs[i];
        if (in->value >= g->n_values)
            PROBLEM(v, in->loc, "E167", "%s: input %u has no node", graph_name(g), i);
        else if (g->nodes[g->values[in->value].node].op != LVT_OP_input)
            PROBLEM(v, in->loc, "E167", "%s: input %u is not the result of an input node", graph_name(g), i);
        else if (in->has_default && g->values[in->value].type.rank != 0)
            PROBLEM(v, in->loc, "E167", "%s: input %u has a default but is no scalar", graph_name(g), i);
        if (in->loc >= v->m->n_locs)
            PROBLEM(v, 0, "E169", "%s: input %u: no place has number %u", graph_name(g), i, in->loc);
        if (in->name)
            names[n++] = (named){in->name, in->loc};
        else if (g->name)
            PROBLEM(v, in->loc, "E160", "%s: input %u has no name", graph_name(g), i);
    }
    if (names)
        check_unique(v, names, n, "inputs");
}

static void check_outputs(verifier *v, const lvt_graph *g) {
    named *names = new_names(v, g->n_outputs);
    uint32_t n = 0;
    for (uint32_t i = 0; names && i < g->n_outputs; i++) {
        const lvt_output *out = &g->outputs[i];
        if (out->value >= g->n_values)
            PROBLEM(v, out->loc, "E171", "%s: output %u has no value", graph_name(g), i);
        if (out->loc >= v->m->n_locs)
            PROBLEM(v, 0, "E169", "%s: output %u: no place has number %u", graph_name(g), i, out->loc);
        if (out->name)
            names[n++] = (named){out->name, out->loc};
        else if (g->name)
            PROBLEM(v, out->loc, "E160", "%s: output %u has no name", graph_name(g), i);
    }
    if (names)
        check_unique(v, names, n, "outputs");
}

static void check_updates(verifier *v, const lvt_graph *g) {
    if (g->n_updates == 0)
        return;
    bool *seen = lvt_arena_alloc(v->scratch, (size_t)v->m->n_states + 1);
    v->no_memory |= !seen;
    for (uint32_t i = 0; seen && i < g->n_updates; i++) {
        const lvt_update *u = &g->updates[i];
        char have[LVT_TYPE_TEXT], want[LVT_TYPE_TEXT];
        if (u->loc >= v->m->n_locs)
            PROBLEM(v, 0, "E169", "%s: update %u: no place has number %u", graph_name(g), i, u->loc);
        if (u->state >= v->m->n_states || u->value >= g->n_values) {
            PROBLEM(v, u->loc, "E172", "%s: update %u: no such %s", graph_name(g), i,
                    u->state >= v->m->n_states ? "state" : "value");
            continue;
        }
        const lvt_state *state = &v->m->states[u->state];
        if (seen[u->state])
            PROBLEM(v, u->loc, "E172", "%s: state @%s is updated twice", graph_name(g), state->name);
        seen[u->state] = true;
        const lvt_type *type = &g->values[u->value].type;
        if (!type_mistake(type) && !type_mistake(&state->type) && !lvt_type_equal(type, &state->type))
            PROBLEM(v, u->loc, "E172", "%s: state @%s is %s, but the update gives it %s", graph_name(g),
                    state->name, lvt_type_text(&state->type, want), lvt_type_text(type, have));
    }
}

static void check_graph(verifier *v, const lvt_graph *g, int depth) {
    uint32_t n_values = 0;
    if (g->module != v->m) {
        PROBLEM(v, 0, "E173", "%s belongs to another module", graph_name(g));
        return;
    }
    if (g->failed)
        PROBLEM(v, g->loc, "E173", "%s: building it failed", graph_name(g));
    if (g->loc >= v->m->n_locs)
        PROBLEM(v, 0, "E169", "%s: no place has number %u", graph_name(g), g->loc);
    for (uint32_t v2 = 0; v2 < g->n_values; v2++)
        if (g->values[v2].node >= g->n_nodes) {
            PROBLEM(v, g->loc, "E164", "%s: %%%u is not a result of any node", graph_name(g), v2);
            return;
        }
    for (lvt_node_id i = 0; i < g->n_nodes; i++)
        if (!check_node(v, g, i, &n_values, depth))
            return;
    if (n_values != g->n_values)
        PROBLEM(v, g->loc, "E164", "%s: %u values, but the nodes have %u results", graph_name(g), g->n_values,
                n_values);
    check_inputs(v, g);
    check_outputs(v, g);
    check_updates(v, g);
}

/* ---- modules ------------------------------------------------------------------------------------------- */

/* Places are checked first, since messages follow them. */
static void check_locs(verifier *v) {
    for (uint32_t i = 1; i < v->m->n_locs; i++) {
        const lvt_loc_info *l = &v->m->locs[i];
        if (l->file >= v->m->n_sources || l->parent >= i)
            PROBLEM(v, 0, "E169", "place %u: %s", i,
                    l->parent >= i ? "its caller does not come before it" : "there is no such source");
    }
}

static void check_states(verifier *v) {
    named *names = new_names(v, v->m->n_states);
    uint32_t n = 0;
    for (uint32_t i = 0; names && i < v->m->n_states; i++) {
        const lvt_state *s = &v->m->states[i];
        const char *mistake = type_mistake(&s->type);
        if (mistake)
            PROBLEM(v, s->loc, "E165", "state %u: %s", i, mistake);
        if (s->init.kind > LVT_INIT_FILE)
            PROBLEM(v, s->loc, "E174", "state %u: unknown initialiser", i);
        if (s->loc >= v->m->n_locs)
            PROBLEM(v, 0, "E169", "state %u: no place has number %u", i, s->loc);
        if (s->name && *s->name)
            names[n++] = (named){s->name, s->loc};
        else
            PROBLEM(v, s->loc, "E160", "state %u has no name", i);
    }
    if (names)
        check_unique(v, names, n, "states");
}

static void check_names(verifier *v) {
    const lvt_module *m = v->m;
    named *settings = new_names(v, m->n_settings), *entries = new_names(v, m->n_entries);
    uint32_t n = 0;
    if (!settings || !entries)
        return;
    for (uint32_t i = 0; i < m->n_settings; i++)
        settings[i] = (named){m->settings[i].name, 0};
    check_unique(v, settings, m->n_settings, "settings");
    for (uint32_t i = 0; i < m->n_entries; i++) {
        const lvt_graph *g = m->entries[i];
        if (g->name && *g->name)
            entries[n++] = (named){g->name, g->loc};
        else
            PROBLEM(v, g->loc, "E160", "entry %u has no name", i);
    }
    check_unique(v, entries, n, "entries");
}

static lvt_status verify(const lvt_module *m, const lvt_graph *g, lvt_diag *diag) {
    verifier v = {.m = m, .scratch = lvt_arena_new(), .diag = diag};
    if (!v.scratch)
        return lvt_no_memory(diag, NULL);
    if (g) {
        check_graph(&v, g, 0);
    } else {
        check_locs(&v);
        check_states(&v);
        check_names(&v);
        for (uint32_t i = 0; i < m->n_entries; i++)
            check_graph(&v, m->entries[i], 0);
    }
    lvt_arena_free(v.scratch);
    if (v.no_memory)
        return lvt_no_memory(diag, NULL);
    return v.problems ? LVT_USER : LVT_OK;
}

lvt_status lvt_verify_module(const lvt_module *m, lvt_diag *diag) {
    return verify(m, NULL, diag);
}

/* A body alone (no name) may read what bodies may read. */
lvt_status lvt_verify_graph(const lvt_graph *g, lvt_diag *diag) {
    return verify(g->module, g, diag);
}
