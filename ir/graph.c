/* Modules and graphs: adding, copying, uses. Invariant: see ir.h; nothing here checks meaning. May not know:
 * what an op does beyond the size of its attribute table. */
#include "op.h"

#include "ir/base/hash.h"

#include <string.h>

/* Room for one more element of an arena array, as an expression that is false when out of memory. */
#define ROOM(arena, array, n, cap)                                                                           \
    ({                                                                                                       \
        void *grown_ = lvt_arena_grow(arena, array, n, (size_t)(n) + 1, &(cap), sizeof *(array));            \
        if (grown_)                                                                                          \
            (array) = grown_;                                                                                \
        grown_ != NULL;                                                                                      \
    })

/* ---- modules ---- */

lvt_module *lvt_module_new(const char *name) {
    lvt_arena *arena = lvt_arena_new();
    lvt_module *m = arena ? lvt_arena_alloc(arena, sizeof *m) : NULL;
    if (!m) {
        lvt_arena_free(arena);
        return NULL;
    }
    lvt_arena_limit(arena, LVT_MAX_MODULE_BYTES);
    m->arena = arena;
    m->name = lvt_arena_strdup(arena, name);
    if (!m->name || !ROOM(arena, m->locs, 0, m->cap_locs)) {
        lvt_arena_free(arena);
        return NULL;
    }
    m->n_locs = 1; /* index 0: unknown */
    return m;
}

void lvt_module_free(lvt_module *m) {
    if (!m)
        return;
    lvt_arena_free(m->values);
    lvt_arena_free(m->arena); /* the module itself lives there */
}

lvt_status lvt_module_no_memory(const lvt_module *m, lvt_loc at, const char *doing, lvt_diag *diag) {
    lvt_pos pos = lvt_module_pos(m, m->limit_loc ? m->limit_loc : at);
    if (m->too_many_nodes)
        return lvt_error(diag, LVT_USER, "E609", pos, "%s: more than %d nodes in an entry", doing,
                         LVT_MAX_NODES);
    if (lvt_arena_at_limit(m->arena))
        return lvt_error(diag, LVT_USER, "E609", pos, "%s: more than %zu MiB of nodes", doing,
                         LVT_MAX_MODULE_BYTES >> 20);
    return pos.file ? lvt_error(diag, LVT_NOMEM, NULL, pos, "out of memory (%s)", doing)
                    : lvt_no_memory(diag, doing);
}

uint32_t lvt_module_source(lvt_module *m, const char *name, const char *text, size_t length) {
    uint32_t i = 0;
    while (i < m->n_sources && strcmp(m->sources[i].name, name))
        i++;
    if (i == m->n_sources) {
        char *copy = lvt_arena_strdup(m->arena, name);
        if (!copy || !ROOM(m->arena, m->sources, m->n_sources, m->cap_sources))
            return UINT32_MAX;
        m->sources[m->n_sources++] = (lvt_source){.name = copy};
    }
    if (text && !m->sources[i].text) {
        char *copy = lvt_arena_strndup(m->arena, text, length);
        if (!copy)
            return UINT32_MAX;
        m->sources[i].text = copy;
        m->sources[i].length = length;
    }
    return i;
}

lvt_loc lvt_module_loc(lvt_module *m, uint32_t file, uint32_t line, uint32_t col, lvt_loc parent) {
    /* Neighbouring nodes come from the same place: looking back a little keeps the table small without an
     * index. */
    for (uint32_t i = m->n_locs, seen = 0; i > 1 && seen < 8; seen++) {
        const lvt_loc_info *l = &m->locs[--i];
        if (l->file == file && l->line == line && l->col == col && l->parent == parent)
            return i;
    }
    if (!ROOM(m->arena, m->locs, m->n_locs, m->cap_locs))
        return 0;
    m->locs[m->n_locs] = (lvt_loc_info){file, line, col, parent};
    return m->n_locs++;
}

lvt_pos lvt_module_pos(const lvt_module *m, lvt_loc loc) {
    if (!loc || loc >= m->n_locs || m->locs[loc].file >= m->n_sources)
        return LVT_NOWHERE;
    const lvt_loc_info *l = &m->locs[loc];
    return (lvt_pos){m->sources[l->file].name, l->line, l->col};
}

const char *lvt_role_name(lvt_role role) {
    static const char *const names[LVT_N_ROLES] = {"forward", "gradient", "update", "recompute"};
    return (unsigned)role < LVT_N_ROLES ? names[role] : "?";
}

lvt_loc lvt_module_outermost(const lvt_module *m, lvt_loc loc) {
    while (loc && loc < m->n_locs && m->locs[loc].parent && m->locs[loc].parent < loc)
        loc = m->locs[loc].parent;
    return loc;
}

/* Where the name is in the table, or the free place where it belongs. */
static size_t slot_of(const lvt_module *m, const char *name) {
    uint64_t hash = lvt_hash_text(name);
    size_t at = (hash ^ hash >> 32) & (m->cap_names - 1);
    while (m->names[at] && strcmp(m->states[m->names[at] - 1].name, name))
        at = (at + 1) & (m->cap_names - 1);
    return at;
}

/* At most half of the table is in use. */
static bool room_for_name(lvt_module *m) {
    if (2 * ((size_t)m->n_states + 1) <= m->cap_names)
        return true;
    size_t larger = m->cap_names ? 2 * m->cap_names : 16;
    uint32_t *names = lvt_arena_alloc(m->arena, larger * sizeof *names);
    if (!names)
        return false;
    m->names = names;
    m->cap_names = larger;
    for (uint32_t i = m->n_states; i-- > 0;)
        m->names[slot_of(m, m->states[i].name)] = i + 1;
    return true;
}

uint32_t lvt_module_add_state(lvt_module *m, const char *name, const lvt_type *type, lvt_init init,
                              bool trainable, lvt_loc loc) {
    char *copy = lvt_arena_strdup(m->arena, name);
    if (!copy || !ROOM(m->arena, m->states, m->n_states, m->cap_states) || !room_for_name(m))
        return LVT_NONE;
    m->states[m->n_states] = (lvt_state){copy, *type, init, trainable, loc, NULL};
    if (!m->names[slot_of(m, name)]) /* of two of one name, which the verifier refuses, the first is found */
        m->names[slot_of(m, name)] = m->n_states + 1;
    return m->n_states++;
}

void *lvt_module_values(lvt_module *m, size_t bytes) {
    if (!m->values && !(m->values = lvt_arena_new()))
        return NULL;
    return lvt_arena_alloc(m->values, bytes);
}

uint32_t lvt_module_find_state(const lvt_module *m, const char *name) {
    return m->cap_names && m->names[slot_of(m, name)] ? m->names[slot_of(m, name)] - 1 : LVT_NONE;
}

bool lvt_module_add_setting(lvt_module *m, const char *name, const char *value) {
    lvt_setting s = {lvt_arena_strdup(m->arena, name), lvt_arena_strdup(m->arena, value)};
    if (!s.name || !s.value || !ROOM(m->arena, m->settings, m->n_settings, m->cap_settings))
        return false;
    m->settings[m->n_settings++] = s;
    return true;
}

lvt_graph *lvt_module_find_entry(const lvt_module *m, const char *name) {
    for (uint32_t i = 0; i < m->n_entries; i++)
        if (!strcmp(m->entries[i]->name, name))
            return m->entries[i];
    return NULL;
}

lvt_graph *lvt_module_add_entry(lvt_module *m, const char *name, lvt_loc loc, bool training) {
    lvt_graph *g = lvt_graph_new(m, name, loc, training);
    if (!g || !ROOM(m->arena, m->entries, m->n_entries, m->cap_entries))
        return NULL;
    return m->entries[m->n_entries++] = g;
}

/* ---- graphs ---- */

lvt_graph *lvt_graph_new(lvt_module *m, const char *name, lvt_loc loc, bool training) {
    lvt_graph *g = lvt_arena_alloc(m->arena, sizeof *g);
    if (!g)
        return NULL;
    *g = (lvt_graph){.module = m, .loc = loc, .training = training};
    if (name && !(g->name = lvt_arena_strdup(m->arena, name)))
        return NULL;
    return g;
}

static void *copy_of(lvt_arena *a, const void *data, size_t bytes) {
    void *p = lvt_arena_alloc(a, bytes);
    if (p && bytes)
        memcpy(p, data, bytes);
    return p;
}

/* What a shallow copy of an attribute shares with its source must be copied too, unless it lives in the same
 * arena already: nodes copied between graphs of one module may share, since nothing there ever changes. */
static bool own_attr(lvt_arena *a, lvt_attr *attr) {
    switch (attr->kind) {
    case LVT_ATTR_STRING:
        return !attr->s || (attr->s = lvt_arena_strdup(a, attr->s));
    case LVT_ATTR_INTS:
        return !attr->n || (attr->ints = copy_of(a, attr->ints, attr->n * sizeof *attr->ints));
    case LVT_ATTR_FLOATS:
        return !attr->n || (attr->floats = copy_of(a, attr->floats, attr->n * sizeof *attr->floats));
    default:
        return true;
    }
}

lvt_attr lvt_attr_default(const lvt_attr_def *def) {
    lvt_attr a = {.kind = def->kind};
    switch (def->kind) {
    case LVT_ATTR_FLOAT:
        a.f = def->value;
        break;
    case LVT_ATTR_STRING:
        a.s = def->text ? def->text : "";
        break;
    case LVT_ATTR_INTS:
    case LVT_ATTR_FLOATS:
        break;
    default:
        a.i = (int64_t)def->value;
    }
    return a;
}

static lvt_node_id out_of_memory(lvt_graph *g) {
    g->failed = g->no_memory = true;
    return LVT_NONE;
}

static lvt_node_id refused(lvt_graph *g, lvt_loc loc) {
    g->module->limit_loc = loc;
    return out_of_memory(g);
}

/* Notes a `state` node, so that lvt_build_state finds it. */
static bool enter_state(lvt_graph *g, const lvt_node *node) {
    if (node->op != LVT_OP_state || node->attrs[0].i < 0 || node->attrs[0].i >= g->module->n_states)
        return true; /* which the verifier reports */
    size_t have = g->cap_state_nodes, want = (size_t)node->attrs[0].i + 1;
    lvt_node_id *grown = lvt_arena_grow(g->module->arena, g->state_nodes, have, want, &g->cap_state_nodes,
                                        sizeof *g->state_nodes);
    if (!grown)
        return false;
    g->state_nodes = grown;
    if (!g->state_nodes[want - 1])
        g->state_nodes[want - 1] = g->n_nodes + 1;
    return true;
}

static lvt_node_id append(lvt_graph *g, const lvt_node *like, const lvt_type *result_types,
                          bool share_attrs) {
    lvt_arena *arena = g->module->arena;
    const lvt_op_def *def = lvt_op_table[like->op];
    lvt_node node = *like;
    size_t want = (size_t)g->n_values + like->n_results;
    void *values = lvt_arena_grow(arena, g->values, g->n_values, want, &g->cap_values, sizeof *g->values);
    if (g->failed)
        return LVT_NONE;
    g->module->too_many_nodes |= g->n_nodes >= LVT_MAX_NODES;
    if (!values || want >= LVT_NONE || g->n_nodes >= LVT_MAX_NODES ||
        !ROOM(arena, g->nodes, g->n_nodes, g->cap_nodes))
        return refused(g, like->loc);
    g->values = values;
    node.operands = copy_of(arena, like->operands, like->n_operands * sizeof *like->operands);
    bool ok = node.operands != NULL;
    if (def->n_attrs && !(share_attrs && like->attrs)) {
        node.attrs = lvt_arena_alloc(arena, (size_t)def->n_attrs * sizeof *node.attrs);
        ok = ok && node.attrs;
        for (int i = 0; ok && i < def->n_attrs; i++) {
            node.attrs[i] = like->attrs ? like->attrs[i] : lvt_attr_default(&def->attrs[i]);
            ok = own_attr(arena, &node.attrs[i]);
        }
    }
    if (!ok)
        return refused(g, like->loc);
    if (!enter_state(g, &node))
        return refused(g, like->loc);
    node.result = g->n_values;
    for (uint32_t k = 0; k < node.n_results; k++)
        g->values[g->n_values++] = (lvt_value_info){.type = result_types[k], .node = g->n_nodes, .index = k};
    g->nodes[g->n_nodes] = node;
    return g->n_nodes++;
}

lvt_node_id lvt_graph_append(lvt_graph *g, const lvt_node *like, const lvt_type *result_types) {
    return append(g, like, result_types, false);
}

bool lvt_graph_add_output(lvt_graph *g, const char *name, lvt_value value, lvt_loc loc) {
    char *copy = name ? lvt_arena_strdup(g->module->arena, name) : NULL;
    if ((name && !copy) || !ROOM(g->module->arena, g->outputs, g->n_outputs, g->cap_outputs))
        return out_of_memory(g) != LVT_NONE;
    g->outputs[g->n_outputs++] = (lvt_output){copy, value, loc};
    return true;
}

bool lvt_graph_add_update(lvt_graph *g, uint32_t state, lvt_value value, lvt_loc loc) {
    if (!ROOM(g->module->arena, g->updates, g->n_updates, g->cap_updates))
        return out_of_memory(g) != LVT_NONE;
    g->updates[g->n_updates++] = (lvt_update){state, value, loc};
    return true;
}

/* ---- rebuilding ---- */

lvt_value *lvt_graph_new_map(const lvt_graph *from, lvt_arena *arena) {
    lvt_value *map = lvt_arena_alloc(arena, (size_t)from->n_values * sizeof *map + 1);
    if (map)
        memset(map, 0xff, (size_t)from->n_values * sizeof *map);
    return map;
}

lvt_node_id lvt_graph_copy_node(lvt_graph *to, const lvt_graph *from, lvt_node_id id, lvt_value *map,
                                lvt_node_id *node_map) {
    const lvt_node *old = &from->nodes[id];
    lvt_node node = *old;
    lvt_value small[8], *operands = small;
    lvt_type small_types[4], *types = small_types;
    lvt_arena *arena = to->module->arena;
    if (old->n_operands > 8)
        operands = lvt_arena_alloc(arena, old->n_operands * sizeof *operands);
    if (old->n_results > 4)
        types = lvt_arena_alloc(arena, old->n_results * sizeof *types);
    if (to->failed)
        return LVT_NONE;
    if (!operands || !types)
        return out_of_memory(to);
    for (uint32_t i = 0; i < old->n_operands; i++)
        operands[i] = map[old->operands[i]];
    for (uint32_t k = 0; k < old->n_results; k++)
        types[k] = from->values[old->result + k].type;
    node.operands = operands;
    if (from != to)
        node.origin = node_map && old->origin != LVT_NONE ? node_map[old->origin] : LVT_NONE;
    lvt_node_id fresh = append(to, &node, types, from->module == to->module);
    if (fresh == LVT_NONE)
        return LVT_NONE;
    if (node_map)
        node_map[id] = fresh;
    lvt_value result = to->nodes[fresh].result;
    for (uint32_t k = 0; k < old->n_results; k++) {
        map[old->result + k] = result + k;
        to->values[result + k].name = from->values[old->result + k].name;
    }
    if (old->op == LVT_OP_input) {
        /* Inputs keep their numbers: the list of the new graph is that of the old one, entry for entry. */
        uint32_t index = (uint32_t)lvt_attr_get(old, "index")->i;
        if (to->n_inputs < from->n_inputs) {
            void *grown = lvt_arena_grow(arena, to->inputs, to->n_inputs, from->n_inputs, &to->cap_inputs,
                                         sizeof *to->inputs);
            if (!grown)
                return out_of_memory(to);
            to->inputs = grown;
            for (; to->n_inputs < from->n_inputs; to->n_inputs++) {
                to->inputs[to->n_inputs] = from->inputs[to->n_inputs];
                to->inputs[to->n_inputs].value = LVT_NONE;
            }
        }
        to->inputs[index].value = result;
    }
    return fresh;
}

bool lvt_graph_copy_ends(lvt_graph *to, const lvt_graph *from, const lvt_value *map) {
    for (uint32_t i = 0; i < from->n_outputs; i++)
        lvt_graph_add_output(to, from->outputs[i].name, map[from->outputs[i].value], from->outputs[i].loc);
    for (uint32_t i = 0; i < from->n_updates; i++)
        lvt_graph_add_update(to, from->updates[i].state, map[from->updates[i].value], from->updates[i].loc);
    to->loc = from->loc;
    to->training = from->training;
    return !to->failed;
}

bool lvt_graph_uses(const lvt_graph *g, lvt_arena *arena, lvt_uses *out) {
    size_t n = g->n_values, total = 0;
    out->offset = lvt_arena_alloc(arena, (n + 2) * sizeof *out->offset);
    out->ends = lvt_arena_alloc(arena, (n + 1) * sizeof *out->ends);
    if (!out->offset || !out->ends)
        return false;
    for (uint32_t i = 0; i < g->n_nodes; i++)
        for (uint32_t k = 0; k < g->nodes[i].n_operands; k++, total++)
            out->offset[g->nodes[i].operands[k] + 2]++;
    out->users = lvt_arena_alloc(arena, (total + 1) * sizeof *out->users);
    if (!out->users)
        return false;
    for (size_t v = 2; v < n + 2; v++)
        out->offset[v] += out->offset[v - 1];
    /* Filling moves offset[v + 1] from the start of v's users to their end, which is the start of v + 1's. */
    for (uint32_t i = 0; i < g->n_nodes; i++)
        for (uint32_t k = 0; k < g->nodes[i].n_operands; k++)
            out->users[out->offset[g->nodes[i].operands[k] + 1]++] = i;
    for (uint32_t i = 0; i < g->n_outputs; i++)
        out->ends[g->outputs[i].value]++;
    for (uint32_t i = 0; i < g->n_updates; i++)
        out->ends[g->updates[i].value]++;
    return true;
}
