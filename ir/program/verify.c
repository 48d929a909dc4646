/* The verifier of plans: what lvt_program_verify promises, from nothing but the graph, the order of steps and
 * the places. It shares no code with the passes that make plans.
 *
 * Invariant: uses no index before it has checked it. May not know: how a plan is found, how a kernel works
 * beyond loop.h. */
#include "ir/loop.h"
#include "verify.h"
#include "ir/text.h"

#include <string.h>

typedef lvt_plan_checker checker;

/* ---- places -------------------------------------------------------------------------------------------- */

/* Size of the memory a place is in; false when there is no such memory. */
static bool room(const checker *c, const lvt_place *p, uint64_t *out) {
    switch ((lvt_place_kind)p->kind) {
    case LVT_PLACE_ARENA:
        *out = c->plan->arena_bytes;
        return p->index == 0;
    case LVT_PLACE_STATE:
        if (p->index >= c->m->n_states)
            return false;
        *out = lvt_type_bytes(&c->m->states[p->index].type);
        return true;
    case LVT_PLACE_INPUT:
        if (p->index >= c->g->n_inputs)
            return false;
        *out = lvt_type_bytes(type_of(c, c->g->inputs[p->index].value));
        return true;
    case LVT_PLACE_CONSTANT:
        if (p->index >= c->g->n_nodes || c->g->nodes[p->index].op != LVT_OP_constant)
            return false;
        *out = lvt_type_bytes(type_of(c, c->g->nodes[p->index].result));
        return true;
    case LVT_PLACE_KEPT:
        *out = c->plan->kept_bytes;
        return p->index == 0;
    case LVT_PLACE_NOWHERE:
        break;
    }
    return false;
}

/* Every place that is somewhere is inside its memory. The other checks only run when this holds. */
static void check_places(checker *c) {
    if (c->plan->arena_bytes > LVT_MAX_PLAN_BYTES || c->plan->kept_bytes > LVT_MAX_PLAN_BYTES) {
        lvt_error(c->diag, LVT_USER, "E622", LVT_NOWHERE,
                  "%s: no machine has the memory that its plan asks for: an arena of %llu bytes, %llu kept",
                  c->g->name, (unsigned long long)c->plan->arena_bytes,
                  (unsigned long long)c->plan->kept_bytes);
        c->problems++;
        return;
    }
    for (lvt_value v = 0; v < c->g->n_values; v++) {
        const lvt_place *p = place(c, v);
        const lvt_type *t = type_of(c, v);
        uint64_t size = 0;
        if (p->kind == LVT_PLACE_NOWHERE)
            continue;
        if (!room(c, p, &size))
            PROBLEM(c, v, "E620", VALUE_FORMAT "its place (kind %u, index %u) does not exist",
                    VALUE_ARGS(c, v), p->kind, p->index);
        else if (!lvt_check_span(t, p->strides, &c->bytes[v]))
            PROBLEM(c, v, "E621", VALUE_FORMAT "its strides are out of range", VALUE_ARGS(c, v));
        else if (p->offset > size || c->bytes[v] > size - p->offset)
            PROBLEM(c, v, "E622", VALUE_FORMAT "%llu bytes at offset %llu do not fit into %llu",
                    VALUE_ARGS(c, v), (unsigned long long)c->bytes[v], (unsigned long long)p->offset,
                    (unsigned long long)size);
        else if (p->offset % lvt_dtype_size((lvt_dtype)t->dtype))
            PROBLEM(c, v, "E622", VALUE_FORMAT "offset %llu is not aligned", VALUE_ARGS(c, v),
                    (unsigned long long)p->offset);
    }
}

/* ---- steps --------------------------------------------------------------------------------------------- */

/* False when out of memory. */
static bool check_steps(checker *c) {
    for (uint32_t i = 0; i < c->plan->n_steps; i++) {
        const lvt_step *s = &c->plan->steps[i];
        if (s->node >= c->g->n_nodes) {
            lvt_error(c->diag, LVT_USER, "E623", LVT_NOWHERE, "%s: step %u runs node %u of %u", c->g->name, i,
                      s->node, c->g->n_nodes);
            c->problems++;
            continue;
        }
        lvt_value v = c->g->nodes[s->node].result;
        lvt_op op = (lvt_op)c->g->nodes[s->node].op;
        if (c->step_of[s->node])
            PROBLEM(c, v, "E623", VALUE_FORMAT "runs twice, as steps %u and %u", VALUE_ARGS(c, v),
                    c->step_of[s->node] - 1, i);
        c->step_of[s->node] = i + 1;
        const char *why;
        lvt_family can = lvt_family_for(c->g, s->node, &why);
        if (why == lvt_loop_no_memory)
            return false;
        if (op == LVT_OP_input || op == LVT_OP_state || op == LVT_OP_constant || op == LVT_OP_gradient)
            PROBLEM(c, v, "E623", VALUE_FORMAT "cannot be a step", VALUE_ARGS(c, v));
        else if (s->family != LVT_FAMILY_INTERP && (s->family != can || can == LVT_FAMILY_NONE))
            PROBLEM(c, v, "E624", VALUE_FORMAT "family %s does not run this%s%s", VALUE_ARGS(c, v),
                    lvt_family_name((lvt_family)s->family), why ? ": " : "", why ? why : "");
        else if (!lvt_variant_legal(c->g, s->node, (lvt_family)s->family, (lvt_variant)s->variant, &why))
            PROBLEM(c, v, "E624", VALUE_FORMAT "cannot run in the way %s: %s", VALUE_ARGS(c, v),
                    lvt_variant_name((lvt_variant)s->variant), why);
    }
    return true;
}

/* ---- what each value is -------------------------------------------------------------------------------- */

static void check_source(checker *c, const lvt_node *n, lvt_node_id id) {
    lvt_value v = n->result;
    lvt_place wanted = {.kind = LVT_PLACE_CONSTANT, .index = id};
    lvt_check_packed(type_of(c, v), wanted.strides);
    if (n->op != LVT_OP_constant) {
        wanted.kind = n->op == LVT_OP_input ? LVT_PLACE_INPUT : LVT_PLACE_STATE;
        wanted.index = (uint32_t)lvt_attr_get(n, "index")->i;
    } else if (lvt_attr_get(n, "values")->n == 1) {
        memcpy(wanted.strides, place(c, v)->strides, sizeof wanted.strides);
    }
    if (!same_place(c, v, &wanted))
        PROBLEM(c, v, "E625", VALUE_FORMAT "does not lie at the start of its own memory", VALUE_ARGS(c, v));
}

static void check_view(checker *c, const lvt_node *n) {
    lvt_value v = n->result;
    lvt_place wanted;
    if (place(c, n->operands[0])->kind == LVT_PLACE_NOWHERE)
        PROBLEM(c, v, "E625", VALUE_FORMAT "is a view of %%%u, which is nowhere", VALUE_ARGS(c, v),
                n->operands[0]);
    else if (!lvt_check_view(c->g, n, place(c, n->operands[0]), &wanted) || !same_place(c, v, &wanted))
        PROBLEM(c, v, "E625", VALUE_FORMAT "does not lie where a view of %%%u must", VALUE_ARGS(c, v),
                n->operands[0]);
}

static void check_result(checker *c, lvt_value v) {
    const lvt_place *p = place(c, v);
    if (p->kind == LVT_PLACE_NOWHERE)
        return;
    bool prologue = c->defined[v] < c->plan->n_prologue;
    if (prologue != (p->kind == LVT_PLACE_KEPT))
        PROBLEM(c, v, "E631", VALUE_FORMAT "kept memory is for results of the prologue, and they for it",
                VALUE_ARGS(c, v));
    else if (p->kind != LVT_PLACE_ARENA && p->kind != LVT_PLACE_STATE && !prologue)
        PROBLEM(c, v, "E626", VALUE_FORMAT "a step may write to the arena or to a state only",
                VALUE_ARGS(c, v));
    else if (p->kind != LVT_PLACE_STATE && p->offset % 64)
        PROBLEM(c, v, "E622", VALUE_FORMAT "offset %llu is not a multiple of 64", VALUE_ARGS(c, v),
                (unsigned long long)p->offset);
    else if (!lvt_check_injective(type_of(c, v), p->strides))
        PROBLEM(c, v, "E626", VALUE_FORMAT "two of its elements share a place", VALUE_ARGS(c, v));
}

/* Finds root and time of every value and checks that its place is one such a value may have. */
static void check_values(checker *c) {
    for (lvt_node_id id = 0; id < c->g->n_nodes; id++) {
        const lvt_node *n = &c->g->nodes[id];
        for (lvt_value v = n->result; v < n->result + n->n_results; v++) {
            bool nowhere = place(c, v)->kind == LVT_PLACE_NOWHERE;
            c->root[v] = v;
            c->defined[v] = -1;
            if (c->step_of[id]) {
                c->defined[v] = (int64_t)c->step_of[id] - 1;
                check_result(c, v);
            } else if (nowhere) {
                continue;
            } else if (n->op == LVT_OP_input || n->op == LVT_OP_state || n->op == LVT_OP_constant) {
                check_source(c, n, id);
            } else if (lvt_op_of(n)->kind == LVT_KIND_VIEW) {
                c->root[v] = c->root[n->operands[0]];
                check_view(c, n);
            } else {
                PROBLEM(c, v, "E625", VALUE_FORMAT "has a place, but no step computes it", VALUE_ARGS(c, v));
            }
            c->last[v] = c->defined[v];
        }
    }
}

/* ---- reads --------------------------------------------------------------------------------------------- */

static void read_value(checker *c, lvt_value v, int64_t time, const char *reader, uint32_t number) {
    if (place(c, v)->kind == LVT_PLACE_NOWHERE) {
        PROBLEM(c, v, "E627", VALUE_FORMAT "is read by %s %u, but it is nowhere", VALUE_ARGS(c, v), reader,
                number);
        return;
    }
    lvt_value root = c->root[v];
    if (c->defined[root] >= time)
        PROBLEM(c, v, "E627", VALUE_FORMAT "is read by %s %u, before step %lld writes it", VALUE_ARGS(c, v),
                reader, number, (long long)c->defined[root]);
    else if (c->defined[root] >= (int64_t)c->first[time])
        PROBLEM(c, v, "E632", VALUE_FORMAT "is read by step %lld of the bundle in which step %lld writes it",
                VALUE_ARGS(c, v), (long long)time, (long long)c->defined[root]);
    if (time > c->last[root])
        c->last[root] = time;
    if (lvt_value_node(c->g, root)->op == LVT_OP_state && time > c->old_last[place(c, root)->index])
        c->old_last[place(c, root)->index] = time;
}

static void check_reads(checker *c) {
    int64_t end = c->plan->n_steps;
    for (uint32_t i = 0; i < c->plan->n_steps; i++) {
        const lvt_node *n = &c->g->nodes[c->plan->steps[i].node];
        for (uint32_t k = 0; k < n->n_operands; k++)
            read_value(c, n->operands[k], i, "step", i);
    }
    for (uint32_t i = 0; i < c->g->n_outputs; i++)
        read_value(c, c->g->outputs[i].value, end, "output", i);
    for (uint32_t i = 0; i < c->plan->n_stores; i++)
        read_value(c, c->plan->stores[i].value, end, "store", i);
}

/* ---- the prologue -------------------------------------------------------------------------------------- */

/* Steps that do not run every time: what they read may only change when a state does. */
static void check_prologue(checker *c) {
    const lvt_plan *p = c->plan;
    if (p->n_prologue > p->n_steps || (p->n_prologue && c->g->n_updates)) {
        lvt_error(c->diag, LVT_USER, "E631", LVT_NOWHERE, "%s: a prologue of %u of %u steps%s", c->g->name,
                  p->n_prologue, p->n_steps, c->g->n_updates ? " in an entry that updates states" : "");
        c->problems++;
        return;
    }
    for (uint32_t i = 0; i < p->n_steps; i++) {
        if (!p->steps[i].joined || (i && i != p->n_prologue))
            continue;
        lvt_error(c->diag, LVT_USER, "E632", LVT_NOWHERE,
                  "%s: step %u is joined to a step it cannot run with", c->g->name, i);
        c->problems++;
        return;
    }
    for (uint32_t i = 0; i < p->n_prologue; i++) {
        const lvt_node *n = &c->g->nodes[p->steps[i].node];
        for (uint32_t k = 0; k < n->n_operands; k++) {
            lvt_op op = (lvt_op)lvt_value_node(c->g, c->root[n->operands[k]])->op;
            if (op == LVT_OP_input)
                PROBLEM(c, n->result, "E631", VALUE_FORMAT "reads an input, but is in the prologue",
                        VALUE_ARGS(c, n->result));
        }
    }
}

/* ---- updates ------------------------------------------------------------------------------------------- */

/* The value lies in the state, whole and in order. */
static bool lies_in_state(const checker *c, lvt_value v, uint32_t state) {
    const lvt_place *p = place(c, v);
    return p->kind == LVT_PLACE_STATE && p->index == state && p->offset == 0 &&
           lvt_check_is_packed(type_of(c, v), p->strides);
}

static bool check_stores(checker *c, lvt_value *stored) {
    for (uint32_t i = 0; i < c->plan->n_stores; i++) {
        const lvt_store *s = &c->plan->stores[i];
        if (s->state >= c->m->n_states || s->value >= c->g->n_values || stored[s->state] != LVT_NONE) {
            lvt_error(c->diag, LVT_USER, "E628", LVT_NOWHERE, "%s: store %u %s", c->g->name, i,
                      s->state >= c->m->n_states || s->value >= c->g->n_values
                          ? "names a state or a value that does not exist"
                          : "writes a state that another store writes");
            c->problems++;
            return false;
        }
        stored[s->state] = s->value;
    }
    return true;
}

/* Each update happens once, by a store or in place, and nothing else changes a state. */
static void check_updates(checker *c, lvt_value *stored) {
    for (uint32_t i = 0; i < c->g->n_updates; i++) {
        const lvt_update *u = &c->g->updates[i];
        const char *name = c->m->states[u->state].name;
        if (stored[u->state] != LVT_NONE) {
            if (stored[u->state] != u->value)
                PROBLEM(c, u->value, "E628", "%s: @%s is to become %%%u, but %%%u is stored", c->g->name,
                        name, u->value, stored[u->state]);
            stored[u->state] = LVT_NONE;
        } else if (lies_in_state(c, u->value, u->state)) {
            lvt_value root = c->root[u->value];
            /* updating a state with itself leaves it as it is: nothing to check */
            if (lvt_value_node(c->g, root)->op != LVT_OP_state)
                c->in_place[u->state] = root;
            read_value(c, u->value, c->plan->n_steps, "update", i);
        } else {
            PROBLEM(c, u->value, "E628",
                    "%s: @%s is to become %%%u, but no store says so and %%%u is not in it", c->g->name, name,
                    u->value, u->value);
        }
    }
    for (uint32_t s = 0; s < c->m->n_states; s++)
        if (stored[s] != LVT_NONE)
            PROBLEM(c, stored[s], "E628", "%s: %%%u is stored to @%s, which is not updated", c->g->name,
                    stored[s], c->m->states[s].name);
    for (lvt_value v = 0; v < c->g->n_values; v++)
        if (c->root[v] == v && place(c, v)->kind == LVT_PLACE_STATE && c->defined[v] >= 0 &&
            c->in_place[place(c, v)->index] != v)
            PROBLEM(c, v, "E628", VALUE_FORMAT "is written over @%s, but is not its new value",
                    VALUE_ARGS(c, v), c->m->states[place(c, v)->index].name);
}

/* ---- programs ------------------------------------------------------------------------------------------ */

static bool allocate(checker *c) {
    size_t values = c->g->n_values + (size_t)1, states = c->m->n_states + (size_t)1;
    uint32_t n_steps = c->plan->n_steps;
    c->first = lvt_arena_alloc(c->scratch, ((size_t)n_steps + 1) * sizeof *c->first);
    c->final = lvt_arena_alloc(c->scratch, ((size_t)n_steps + 1) * sizeof *c->final);
    c->step_of = lvt_arena_alloc(c->scratch, (c->g->n_nodes + (size_t)1) * sizeof *c->step_of);
    c->root = lvt_arena_alloc(c->scratch, values * sizeof *c->root);
    c->defined = lvt_arena_alloc(c->scratch, values * sizeof *c->defined);
    c->last = lvt_arena_alloc(c->scratch, values * sizeof *c->last);
    c->bytes = lvt_arena_alloc(c->scratch, values * sizeof *c->bytes);
    c->old_last = lvt_arena_alloc(c->scratch, states * sizeof *c->old_last);
    c->in_place = lvt_arena_alloc(c->scratch, states * sizeof *c->in_place);
    if (!c->first || !c->final || !c->step_of || !c->root || !c->defined || !c->last || !c->bytes ||
        !c->old_last || !c->in_place)
        return false;
    for (uint32_t i = 0; i <= n_steps; i++)
        c->first[i] = i && i < n_steps && c->plan->steps[i].joined ? c->first[i - 1] : i;
    for (uint32_t i = n_steps + 1; i-- > 0;)
        c->final[i] = i + 1 < n_steps && c->plan->steps[i + 1].joined ? c->final[i + 1] : i;
    memset(c->old_last, 0xff, states * sizeof *c->old_last); /* -1: not read */
    memset(c->in_place, 0xff, states * sizeof *c->in_place); /* LVT_NONE */
    return true;
}

/* False when out of memory. Each group of checks relies on the ones before. */
static bool check_plan(checker *c) {
    lvt_value *stored = lvt_arena_alloc(c->scratch, (c->m->n_states + (size_t)1) * sizeof *stored);
    if (!allocate(c) || !stored)
        return false;
    memset(stored, 0xff, c->m->n_states * sizeof *stored);
    check_places(c);
    if (!check_steps(c))
        return false;
    if (c->problems)
        return true;
    check_values(c);
    if (c->problems || !check_stores(c, stored))
        return true;
    check_reads(c);
    check_prologue(c);
    check_updates(c, stored);
    if (c->problems)
        return true;
    return lvt_check_overlap(c);
}

lvt_status lvt_program_verify(const lvt_compiled *p, lvt_diag *diag) {
    lvt_status status = lvt_verify_module(p->module, diag);
    if (status != LVT_OK)
        return status; /* a plan of a wrong graph cannot be judged */
    for (uint32_t i = 0; i < p->module->n_entries && status != LVT_NOMEM; i++) {
        const lvt_plan *plan = &p->plans[i];
        if (plan->graph != p->module->entries[i]) {
            status = lvt_error(diag, LVT_USER, "E620", LVT_NOWHERE, "plan %u is not of entry %u", i, i);
            continue;
        }
        checker c = {
            .plan = plan, .g = plan->graph, .m = p->module, .scratch = lvt_arena_new(), .diag = diag};
        if (!c.scratch || !check_plan(&c) || c.no_memory)
            status = lvt_no_memory(diag, NULL);
        else if (c.problems)
            status = LVT_USER;
        lvt_arena_free(c.scratch);
    }
    return status;
}
