/* Parameters that training and prediction do not share: warnings W701 and W702, after all entries.
 *
 * A path that differs between two calls of one block gives two sets of parameters, of which one is trained and
 * the other one predicts. Invariants: nothing is warned about in a model without entries that update
 * parameters; a parameter that a training entry reads without updating it is frozen on purpose (`over`,
 * stop_gradient), and so is a `state`. May not know: names of entries. */
#include "elab.h"

#include <string.h>

typedef struct uses { /* of one entry; a mark for every state */
    const lvt_graph *g;
    bool *read; /* its graph has a node for it, needed or not */
    bool *live; /* an output or update needs it */
    bool *updated;
    bool trains;     /* updates a parameter */
    bool *live_node; /* a mark for every node */
} uses;

typedef struct survey {
    elab *e;
    const lvt_module *m;
    uses *entries;
    bool *trained;   /* by any entry */
    bool *seen;      /* read by an entry that trains */
    bool *predicted; /* read by an entry without updates */
    bool *needed;    /* the same, and an output of it needs it */
    bool *told;
} survey;

static uint32_t state_of(const lvt_node *n) {
    return n->op == LVT_OP_state ? (uint32_t)lvt_attr_get(n, "index")->i : LVT_NONE;
}

static bool look_at(survey *s, uses *u, const lvt_graph *g) {
    elab *e = s->e;
    *u = (uses){.g = g,
                .read = lvt_lang_room(e, s->m->n_states),
                .live = lvt_lang_room(e, s->m->n_states),
                .updated = lvt_lang_room(e, s->m->n_states),
                .live_node = lvt_lang_room(e, g->n_nodes)};
    if (!u->read || !u->live || !u->updated || !u->live_node)
        return false;
    for (uint32_t i = 0; i < g->n_outputs; i++)
        u->live_node[g->values[g->outputs[i].value].node] = true;
    for (uint32_t i = 0; i < g->n_updates; i++) {
        u->live_node[g->values[g->updates[i].value].node] = true;
        u->updated[g->updates[i].state] = true;
        u->trains |= s->m->states[g->updates[i].state].trainable;
    }
    for (lvt_node_id i = g->n_nodes; i-- > 0;) {
        const lvt_node *n = &g->nodes[i];
        uint32_t state = state_of(n);
        if (state != LVT_NONE) {
            u->read[state] = true;
            u->live[state] |= u->live_node[i];
        }
        for (uint32_t k = 0; u->live_node[i] && k < n->n_operands; k++)
            u->live_node[g->values[n->operands[k]].node] = true;
    }
    return true;
}

static bool survey_all(survey *s) {
    elab *e = s->e;
    uint32_t n = s->m->n_states;
    bool **marks[] = {&s->trained, &s->seen, &s->predicted, &s->needed, &s->told};
    s->entries = lvt_lang_room(e, s->m->n_entries * sizeof *s->entries);
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (!(*marks[i] = lvt_lang_room(e, n)))
            return false;
    for (uint32_t i = 0; s->entries && i < s->m->n_entries; i++) {
        uses *u = &s->entries[i];
        if (!look_at(s, u, s->m->entries[i]))
            return false;
        for (uint32_t k = 0; k < n; k++) {
            s->trained[k] |= u->updated[k] && s->m->states[k].trainable;
            s->seen[k] |= u->trains && u->read[k];
            s->predicted[k] |= !u->g->n_updates && u->read[k];
            s->needed[k] |= !u->g->n_updates && u->live[k];
        }
    }
    return s->entries != NULL;
}

/* Where an entry reads a state: the place of its node, live if it can be. */
static lvt_loc read_at(const uses *u, uint32_t state) {
    lvt_loc at = 0;
    for (lvt_node_id i = 0; i < u->g->n_nodes; i++)
        if (state_of(&u->g->nodes[i]) == state && (!at || u->live_node[i]))
            at = u->g->nodes[i].loc;
    return at;
}

static bool same_place(const lvt_module *m, lvt_loc a, lvt_loc b) {
    const lvt_loc_info *x = &m->locs[a], *y = &m->locs[b];
    return x->file == y->file && x->line == y->line && x->col == y->col;
}

/* Length of the part of a path before what it has in common with the end of another, in whole names. */
static size_t head_of(const char *path, const char *other) {
    size_t n = strlen(path), k = strlen(other), cut = n;
    while (n && k && path[n - 1] == other[k - 1]) {
        n--;
        k--;
        if ((n == 0 || path[n - 1] == '.') && (k == 0 || other[k - 1] == '.'))
            cut = n;
    }
    return cut;
}

/* The parameter that is trained in the place of `q`: declared by the same statement, of the same type, not read
 * by any prediction, and with the longest end of the path in common; LVT_NONE: there is none. */
static uint32_t twin_of(const survey *s, uint32_t q) {
    const lvt_state *of = &s->m->states[q];
    uint32_t best = LVT_NONE;
    size_t best_common = 0;
    for (uint32_t p = 0; p < s->m->n_states; p++) {
        const lvt_state *state = &s->m->states[p];
        size_t common = strlen(of->name) - head_of(of->name, state->name);
        if (s->trained[p] && !s->predicted[p] && common > best_common &&
            same_place(s->m, state->loc, of->loc) && lvt_type_equal(&state->type, &of->type)) {
            best = p;
            best_common = common;
        }
    }
    return best;
}

static const uses *trainer_of(const survey *s, uint32_t p) {
    for (uint32_t i = 0; i < s->m->n_entries; i++)
        if (s->entries[i].updated[p])
            return &s->entries[i];
    return NULL;
}

/* The calls in which the ways to two places part: from the inside, where the places are equal, outwards. */
static void part_ways(const lvt_module *m, lvt_loc *a, lvt_loc *b) {
    while (m->locs[*a].parent && m->locs[*b].parent && same_place(m, *a, *b)) {
        *a = m->locs[*a].parent;
        *b = m->locs[*b].parent;
    }
}

/* The path that both calls should have: what the paths do not have in common at their ends, without what they
 * have in common before that. NULL: it is more than one name. */
static const char *one_name(elab *e, const char *path, size_t head, const char *other, size_t other_head) {
    size_t skip = 0;
    for (size_t i = 0; i < head && i < other_head && path[i] == other[i]; i++)
        if (path[i] == '.')
            skip = i + 1;
    size_t n = head > skip ? head - skip : 0, k = other_head > skip ? other_head - skip : 0;
    n -= n && path[skip + n - 1] == '.';
    k -= k && other[skip + k - 1] == '.';
    if (!n || !k)
        return "_";
    if (memchr(path + skip, '.', n) || memchr(other + skip, '.', k))
        return NULL;
    return lvt_arena_strndup(e->arena, path + skip, n);
}

/* How many parameters of the entry are in the same case as q, whose twin is p; marks them. */
static uint32_t group(survey *s, const uses *u, uint32_t q, uint32_t p) {
    const char *path = s->m->states[q].name, *other = p == LVT_NONE ? "" : s->m->states[p].name;
    size_t head = p == LVT_NONE ? 0 : head_of(path, other),
           other_head = p == LVT_NONE ? 0 : head_of(other, path);
    lvt_loc line = lvt_module_outermost(s->m, read_at(u, q));
    uint32_t n = 0;
    for (uint32_t i = q; i < s->m->n_states; i++) {
        const lvt_state *state = &s->m->states[i];
        if (s->told[i] || !state->trainable || !u->live[i] || s->trained[i] || s->seen[i])
            continue;
        uint32_t twin = twin_of(s, i);
        bool same =
            p == LVT_NONE
                ? twin == LVT_NONE && same_place(s->m, line, lvt_module_outermost(s->m, read_at(u, i)))
                : twin != LVT_NONE && head_of(state->name, s->m->states[twin].name) == head &&
                      head_of(s->m->states[twin].name, state->name) == other_head &&
                      !strncmp(state->name, path, head) &&
                      !strncmp(s->m->states[twin].name, other, other_head);
        if (!same)
            continue;
        s->told[i] = true;
        if (twin != LVT_NONE)
            s->told[twin] = true;
        n++;
    }
    return n;
}

static const char *and_more(elab *e, uint32_t n) {
    const char *text = n < 2 ? "" : lvt_arena_printf(e->arena, " and %u more", n - 1);
    return text ? text : "";
}

static void warn_untrained(survey *s, const uses *u, uint32_t q) {
    elab *e = s->e;
    const lvt_module *m = s->m;
    const lvt_state *state = &m->states[q];
    uint32_t p = twin_of(s, q);
    if (p == LVT_NONE && (state->values || state->init.kind == LVT_INIT_FILE))
        return; /* trained elsewhere */
    lvt_loc at = read_at(u, q);
    uint32_t n = group(s, u, q, p);
    if (p == LVT_NONE) {
        lvt_warning(e->diag, "W701", lvt_module_pos(m, lvt_module_outermost(m, at)),
                    "%s reads the parameter '%s'%s, which no entry trains", u->g->name, state->name,
                    and_more(e, n));
        lvt_note(e->diag, lvt_module_pos(m, at),
                 "it keeps its initial value; what is meant to keep it is declared with `state`");
        return;
    }
    const uses *t = trainer_of(s, p);
    const char *trained = m->states[p].name;
    lvt_loc there = read_at(t, p);
    part_ways(m, &at, &there);
    lvt_warning(e->diag, "W701", lvt_module_pos(m, at),
                "%s reads the parameter '%s'%s, which no entry trains; %s trains '%s' in its place",
                u->g->name, state->name, and_more(e, n), t->g->name, trained);
    const char *name =
        one_name(e, state->name, head_of(state->name, trained), trained, head_of(trained, state->name));
    lvt_note(e->diag, lvt_module_pos(m, there),
             "%s calls it here; with one path, as in `as %s` after both calls, they are the same", t->g->name,
             name ? name : "NAME");
}

/* A node's state, also through what only changes its shape or type. */
static uint32_t state_behind(const lvt_graph *g, lvt_value v) {
    const lvt_node *n = lvt_value_node(g, v);
    while (n->n_operands == 1 && (lvt_op_of(n)->kind == LVT_KIND_VIEW || n->op == LVT_OP_cast))
        n = lvt_value_node(g, n->operands[0]);
    return state_of(n);
}

/* A parameter that predictions need and that works, in the entry's forward part, on what comes from p: there
 * predictions lack p. LVT_NONE: p is at the end, as a head or loss that only training has. */
static uint32_t behind(const survey *s, const uses *u, uint32_t p) {
    const lvt_graph *g = u->g;
    bool *from = lvt_lang_room(s->e, g->n_values);
    for (lvt_node_id i = 0; from && i < g->n_nodes; i++) {
        const lvt_node *n = &g->nodes[i];
        bool depends = state_of(n) == p;
        if (n->role != LVT_FORWARD || n->op == LVT_OP_gradient || n->op == LVT_OP_stop_gradient)
            continue;
        for (uint32_t k = 0; k < n->n_operands; k++)
            depends |= from[n->operands[k]];
        for (uint32_t k = 0; depends && k < n->n_operands; k++) {
            uint32_t other = from[n->operands[k]] ? LVT_NONE : state_behind(g, n->operands[k]);
            if (other != LVT_NONE && s->m->states[other].trainable && s->needed[other] && s->trained[other])
                return other;
        }
        for (uint32_t k = 0; k < n->n_results; k++)
            from[n->result + k] = depends;
    }
    return LVT_NONE;
}

static void warn_unread(survey *s, bool nothing_shared) {
    const lvt_module *m = s->m;
    for (uint32_t i = 0; i < m->n_entries; i++) {
        const uses *u = &s->entries[i];
        const char *first = NULL;
        uint32_t n = 0, by = LVT_NONE;
        lvt_loc at = 0;
        for (uint32_t p = 0; p < m->n_states; p++) {
            if (!u->updated[p] || !m->states[p].trainable || s->predicted[p] || s->told[p])
                continue;
            uint32_t other = nothing_shared ? LVT_NONE : behind(s, u, p);
            if (other == LVT_NONE && !nothing_shared)
                continue;
            s->told[p] = true;
            by = n++ ? by : other;
            at = first ? at : lvt_module_outermost(m, read_at(u, p));
            first = first ? first : m->states[p].name;
        }
        if (!first)
            continue;
        lvt_warning(s->e->diag, "W702", lvt_module_pos(m, at),
                    "%s trains the parameter '%s'%s, which no entry for prediction reads", u->g->name, first,
                    and_more(s->e, n));
        for (uint32_t k = 0; by != LVT_NONE && k < m->n_entries; k++)
            if (!s->entries[k].g->n_updates && s->entries[k].live[by]) {
                lvt_note(s->e->diag, lvt_module_pos(m, lvt_module_outermost(m, read_at(&s->entries[k], by))),
                         "%s reads '%s' here, which works on what comes from it in %s", s->entries[k].g->name,
                         m->states[by].name, u->g->name);
                break;
            }
    }
}

void lvt_lang_check_trained(elab *e) {
    survey s = {.e = e, .m = e->m};
    bool any = false, predicts = false, shared = false;
    if (!survey_all(&s))
        return;
    for (uint32_t i = 0; i < s.m->n_states; i++) {
        any |= s.trained[i];
        predicts |= s.needed[i] && s.m->states[i].trainable;
        shared |= s.trained[i] && s.predicted[i];
    }
    if (!any)
        return;
    for (int with_updates = 0; with_updates < 2; with_updates++) /* what predicts first */
        for (uint32_t i = 0; i < s.m->n_entries; i++) {
            const uses *u = &s.entries[i];
            for (uint32_t q = 0; !u->trains && (u->g->n_updates > 0) == with_updates && q < s.m->n_states;
                 q++)
                if (s.m->states[q].trainable && u->live[q] && !s.trained[q] && !s.seen[q] && !s.told[q])
                    warn_untrained(&s, u, q);
        }
    if (predicts && !e->nomem)
        warn_unread(&s, !shared);
}
