/* Making an entry of a session: its kernels, the tables of pointers its steps run with, constants, kept
 * memory.
 *
 * Invariants: all that can fail is done here; kernels belong to the session, because they are made for its
 * number of threads and keep run state of their own. May not know: how a family works, files, data sets. */
#include "internal.h"
#include "ir/interp.h"

#include <stdlib.h>
#include <string.h>

lvt_status lvt_session_no_memory(lvt_diag *diag) {
    return lvt_no_memory(diag, "while making a session");
}

lvt_status lvt_session_no_room(const char *what, size_t bytes, lvt_diag *diag) {
    lvt_status status = lvt_session_no_memory(diag);
    lvt_note(diag, LVT_NOWHERE, "%s would take %zu bytes, which the system does not give", what, bytes);
    return status;
}

static void *pool_aligned(lvt_session *s, size_t bytes) {
    char *p = bytes > SIZE_MAX - 64 ? NULL : lvt_arena_alloc(s->pool, bytes + 64);
    return p ? p + (64 - (uintptr_t)p % 64) % 64 : NULL;
}

/* ---- constants and places ------------------------------------------------------------------------------ */

/* Packed values of every constant node that some place refers to. One that fills its shape with one value is
 * only as large as the places reach into it. */
static lvt_status make_constants(lvt_session *s, const lvt_plan *plan, void **constants, lvt_diag *diag) {
    const lvt_graph *g = plan->graph;
    size_t *reach = calloc(g->n_nodes + 1, sizeof *reach);
    if (!reach)
        return lvt_session_no_memory(diag);
    for (uint32_t v = 0; v < g->n_values; v++) {
        const lvt_place *place = &plan->places[v];
        if (place->kind != LVT_PLACE_CONSTANT)
            continue;
        const lvt_type *t = &g->values[v].type;
        size_t end = place->offset +
                     (size_t)lvt_strides_extent(t, place->strides) * lvt_dtype_size((lvt_dtype)t->dtype);
        if (end > reach[place->index])
            reach[place->index] = end;
    }
    lvt_status status = LVT_OK;
    for (uint32_t i = 0; i < g->n_nodes && status == LVT_OK; i++) {
        if (!reach[i])
            continue;
        const lvt_attr *values = lvt_attr_get(&g->nodes[i], "values");
        lvt_type type = g->values[g->nodes[i].result].type;
        size_t size = lvt_dtype_size((lvt_dtype)type.dtype), full = lvt_type_bytes(&type);
        char *data = pool_aligned(s, values->n == 1 ? reach[i] : full);
        if (!data) {
            status = lvt_session_no_memory(diag);
        } else if (values->n == 1) {
            lvt_type one = lvt_type_make((lvt_dtype)type.dtype, 0, NULL);
            lvt_tensor t = {one, (double *)values->floats};
            lvt_tensor_store(&t, data);
            for (size_t at = size; at < reach[i]; at += size)
                memcpy(data + at, data, size);
        } else {
            lvt_tensor t = {type, (double *)values->floats};
            lvt_tensor_store(&t, data);
        }
        constants[i] = data;
    }
    free(reach);
    return status;
}

/* Where a place is now, for those that do not follow an input; NULL for the others. */
static void *fixed_place(lvt_session *s, const lvt_session_entry *e, const lvt_place *place,
                         void **constants) {
    switch ((lvt_place_kind)place->kind) {
    case LVT_PLACE_ARENA:
        return (char *)s->arena.base + place->offset;
    case LVT_PLACE_STATE:
        return (char *)s->states[place->index] + place->offset;
    case LVT_PLACE_CONSTANT:
        return (char *)constants[place->index] + place->offset;
    case LVT_PLACE_KEPT:
        return (char *)e->kept.base + place->offset;
    default:
        return NULL;
    }
}

static void add_pointer(lvt_session *s, lvt_session_entry *e, void **constants, lvt_value v, void **slot) {
    const lvt_place *place = &e->plan->places[v];
    *slot = fixed_place(s, e, place, constants);
    if (place->kind == LVT_PLACE_INPUT)
        e->patches[e->n_patches++] = (lvt_patch){slot, place->index, place->offset};
}

/* ---- tables -------------------------------------------------------------------------------------------- */

static lvt_status make_tables(lvt_session *s, lvt_session_entry *e, void *discard, lvt_diag *diag) {
    const lvt_plan *plan = e->plan;
    const lvt_graph *g = plan->graph;
    void **constants = lvt_arena_alloc(s->pool, (g->n_nodes + 1) * sizeof *constants);
    size_t pointers = 0;
    for (uint32_t i = 0; i < plan->n_steps; i++)
        pointers +=
            (size_t)g->nodes[plan->steps[i].node].n_operands + g->nodes[plan->steps[i].node].n_results;
    void **table = lvt_arena_alloc(s->pool, (pointers + 1) * sizeof *table);
    e->operands = lvt_arena_alloc(s->pool, (plan->n_steps + 1) * sizeof *e->operands);
    e->results = lvt_arena_alloc(s->pool, (plan->n_steps + 1) * sizeof *e->results);
    e->patches =
        lvt_arena_alloc(s->pool, (pointers + g->n_outputs + plan->n_stores + 1) * sizeof *e->patches);
    e->outputs = lvt_arena_alloc(s->pool, (g->n_outputs + 1) * sizeof *e->outputs);
    e->out_copies = lvt_arena_alloc(s->pool, (g->n_outputs + 1) * sizeof *e->out_copies);
    e->stores = lvt_arena_alloc(s->pool, (plan->n_stores + 1) * sizeof *e->stores);
    e->defaults = lvt_arena_alloc(s->pool, (g->n_inputs + 1) * sizeof *e->defaults);
    e->times = lvt_arena_alloc(s->pool, (plan->n_steps + 1) * sizeof *e->times);
    if (!constants || !table || !e->operands || !e->results || !e->patches || !e->outputs || !e->out_copies ||
        !e->stores || !e->defaults || !e->times)
        return lvt_session_no_memory(diag);
    lvt_status status = make_constants(s, plan, constants, diag);
    if (status != LVT_OK)
        return status;
    for (uint32_t i = 0; i < plan->n_steps; i++) {
        const lvt_node *n = &g->nodes[plan->steps[i].node];
        e->operands[i] = table;
        for (uint32_t k = 0; k < n->n_operands; k++)
            add_pointer(s, e, constants, n->operands[k], table++);
        e->results[i] = table;
        for (uint32_t k = 0; k < n->n_results; k++, table++) {
            add_pointer(s, e, constants, n->result + k, table);
            if (plan->places[n->result + k].kind == LVT_PLACE_NOWHERE)
                *table = discard;
        }
    }
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        lvt_value v = g->outputs[i].value;
        const lvt_place *place = &plan->places[v];
        const lvt_type *type = &g->values[v].type;
        bool stays = place->kind == LVT_PLACE_ARENA || place->kind == LVT_PLACE_CONSTANT ||
                     place->kind == LVT_PLACE_KEPT;
        if (stays && lvt_strides_packed(type, place->strides)) {
            e->outputs[i] = fixed_place(s, e, place, constants);
            continue;
        }
        lvt_end_copy *copy = &e->out_copies[e->n_out_copies++];
        copy->value = v;
        copy->to = e->outputs[i] = pool_aligned(s, lvt_type_bytes(type));
        if (!copy->to)
            return lvt_session_no_memory(diag);
        add_pointer(s, e, constants, v, &copy->from);
    }
    for (uint32_t i = 0; i < plan->n_stores; i++) {
        lvt_value v = plan->stores[i].value;
        lvt_end_copy *copy = &e->stores[e->n_stores++];
        copy->value = v;
        copy->to = s->states[plan->stores[i].state];
        if (plan->places[v].kind == LVT_PLACE_STATE) {
            copy->stage = pool_aligned(s, lvt_type_bytes(&g->values[v].type));
            if (!copy->stage)
                return lvt_session_no_memory(diag);
        }
        add_pointer(s, e, constants, v, &copy->from);
    }
    for (uint32_t i = 0; i < g->n_inputs; i++) {
        if (!g->inputs[i].has_default)
            continue;
        lvt_type one = g->values[g->inputs[i].value].type;
        one.rank = 0; /* a default is one element; only scalars have one */
        lvt_tensor t = {one, (double *)&g->inputs[i].default_value};
        e->defaults[i] = lvt_arena_alloc(s->pool, sizeof(double));
        if (!e->defaults[i])
            return lvt_session_no_memory(diag);
        lvt_tensor_store(&t, e->defaults[i]);
    }
    return LVT_OK;
}

/* ---- kernels ------------------------------------------------------------------------------------------- */

typedef struct requests { /* of the family that takes all its requests at once */
    lvt_kernel_request *list;
    lvt_kernel ***slots;
    size_t n;
} requests;

static void views_of(const lvt_plan *plan, const lvt_value *values, lvt_value first, uint32_t n,
                     lvt_view *views) {
    for (uint32_t k = 0; k < n; k++) {
        lvt_value v = values ? values[k] : first + k;
        const lvt_place *place = &plan->places[v];
        views[k].type = plan->graph->values[v].type;
        if (place->kind == LVT_PLACE_NOWHERE)
            lvt_strides_of(&views[k].type, views[k].strides);
        else
            memcpy(views[k].strides, place->strides, sizeof views[k].strides);
    }
}

typedef struct making { /* of kernels, by the families that make them in parallel */
    lvt_session *s;
    requests onednn, jit;
} making;

/* By value: no step, output or state reads it, nor a view of it. NULL: out of memory. */
static bool *find_unread(const lvt_graph *g, lvt_arena *arena) {
    bool *unread = lvt_arena_alloc(arena, g->n_values + (size_t)1);
    if (!unread)
        return NULL;
    memset(unread, true, g->n_values);
    for (lvt_node_id i = 0; i < g->n_nodes; i++)
        for (uint32_t k = 0; k < g->nodes[i].n_operands; k++)
            unread[g->nodes[i].operands[k]] = false;
    for (uint32_t i = 0; i < g->n_outputs; i++)
        unread[g->outputs[i].value] = false;
    for (uint32_t i = 0; i < g->n_updates; i++)
        unread[g->updates[i].value] = false;
    return unread;
}

static lvt_status collect_requests(lvt_session *s, lvt_session_entry *e, lvt_arena *temporary, making *all,
                                   lvt_diag *diag) {
    const lvt_plan *plan = e->plan;
    const bool *unread = find_unread(plan->graph, temporary);
    for (uint32_t i = 0; i < plan->n_steps; i++) {
        const lvt_node *n = &plan->graph->nodes[plan->steps[i].node];
        lvt_view *views =
            lvt_arena_alloc(temporary, ((size_t)n->n_operands + n->n_results + 1) * sizeof *views);
        bool *steady = lvt_arena_alloc(temporary, n->n_operands + (size_t)1);
        if (!views || !steady || !unread)
            return lvt_session_no_memory(diag);
        for (uint32_t k = 0; k < n->n_operands && i >= plan->n_prologue && !plan->graph->n_updates; k++) {
            lvt_place_kind kind = (lvt_place_kind)plan->places[n->operands[k]].kind;
            steady[k] = kind == LVT_PLACE_STATE || kind == LVT_PLACE_CONSTANT || kind == LVT_PLACE_KEPT;
        }
        views_of(plan, n->operands, 0, n->n_operands, views);
        views_of(plan, NULL, n->result, n->n_results, views + n->n_operands);
        lvt_kernel_request r = {plan->graph, plan->steps[i].node,
                                views,       views + n->n_operands,
                                steady,      unread + n->result,
                                s->threads,  (lvt_variant)plan->steps[i].variant,
                                diag,        lvt_module_pos(plan->graph->module, n->loc)};
        lvt_family family = s->program->interpret ? LVT_FAMILY_INTERP : (lvt_family)plan->steps[i].family;
        if (family == LVT_FAMILY_JIT || family == LVT_FAMILY_ONEDNN) {
            requests *list = family == LVT_FAMILY_JIT ? &all->jit : &all->onednn;
            list->list[list->n] = r;
            list->slots[list->n++] = &e->kernels[i];
        } else if (n->op == LVT_OP_all_reduce) {
            lvt_status status = lvt_collective_make(&s->collective, &r, &e->kernels[i]);
            if (status != LVT_OK)
                return status;
        } else {
            lvt_status status = lvt_interp_make(&r, &e->kernels[i]);
            if (status != LVT_OK)
                return status;
        }
    }
    return LVT_OK;
}

static void try_onednn(void *user, int64_t i, int worker) {
    const making *all = user;
    (void)worker;
    (void)lvt_onednn_try(all->s->onednn, &all->onednn.list[i], all->onednn.slots[i]);
}

/* All that can be made in parallel; then, one by one, what there is something to say about. */
static lvt_status make_onednn(making *all) {
    double begin = lvt_seconds();
    lvt_session *s = all->s;
    lvt_status status = LVT_OK;
    lvt_workers(s->threads, s->threads, (int64_t)all->onednn.n, try_onednn, all);
    for (size_t i = 0; i < all->onednn.n && status == LVT_OK; i++) {
        if (!*all->onednn.slots[i])
            status = lvt_onednn_make(s->onednn, &all->onednn.list[i], all->onednn.slots[i]);
    }
    s->opening.onednn_seconds += lvt_seconds() - begin;
    s->opening.onednn_kernels += (uint32_t)all->onednn.n;
    return status;
}

static lvt_status make_jit(making *all, lvt_kernel **made) {
    double begin = lvt_seconds();
    lvt_program *p = all->s->program;
    lvt_opening *o = &all->s->opening;
    pthread_mutex_lock(&p->lock);
    lvt_status status = lvt_jit_make(p->jit, all->jit.n, all->jit.list, made);
    lvt_jit_counts counts = lvt_jit_last(p->jit);
    pthread_mutex_unlock(&p->lock);
    for (size_t i = 0; i < all->jit.n && status == LVT_OK; i++)
        *all->jit.slots[i] = made[i];
    o->code_seconds += lvt_seconds() - begin;
    o->compile_seconds += counts.compile_seconds;
    o->code_kernels += (uint32_t)all->jit.n;
    o->compiled += counts.compiled;
    o->cached += counts.cached;
    return status;
}

static lvt_status make_kernels(lvt_session *s, const int *entries, int n, lvt_diag *diag) {
    lvt_arena *temporary = lvt_arena_new();
    if (!temporary)
        return lvt_session_no_memory(diag);
    size_t steps = 1;
    for (int i = 0; i < n; i++)
        steps += s->entries[entries[i]].plan->n_steps;
    making all = {.s = s};
    requests *lists[] = {&all.onednn, &all.jit};
    lvt_kernel **made = lvt_arena_alloc(temporary, steps * sizeof(lvt_kernel *));
    lvt_status status = made ? LVT_OK : lvt_session_no_memory(diag);
    for (int i = 0; i < 2 && status == LVT_OK; i++) {
        lists[i]->list = lvt_arena_alloc(temporary, steps * sizeof *lists[i]->list);
        lists[i]->slots = lvt_arena_alloc(temporary, steps * sizeof *lists[i]->slots);
        status = lists[i]->list && lists[i]->slots ? LVT_OK : lvt_session_no_memory(diag);
    }
    for (int i = 0; i < n && status == LVT_OK; i++)
        status = collect_requests(s, &s->entries[entries[i]], temporary, &all, diag);
    if (status == LVT_OK && all.jit.n) /* first: compiling may fork, and there are no threads yet */
        status = make_jit(&all, made);
    if (status == LVT_OK && all.onednn.n)
        status = make_onednn(&all);
    lvt_arena_free(temporary);
    return status;
}

/* ---- entries ------------------------------------------------------------------------------------------- */

/* Memory that outlives the runs of an entry: the plan's, then the kernels'. */
static lvt_status make_kept(lvt_session *s, lvt_session_entry *e, lvt_diag *diag) {
    size_t bytes = (e->plan->kept_bytes + 63) / 64 * 64;
    e->kept_at = lvt_arena_alloc(s->pool, (e->plan->n_steps + 1) * sizeof *e->kept_at);
    if (!e->kept_at)
        return lvt_session_no_memory(diag);
    for (uint32_t k = 0; k < e->plan->n_steps; k++) {
        e->kept_at[k] = bytes;
        bytes += (e->kernels[k]->kept_bytes + 63) / 64 * 64;
    }
    return lvt_block_map(&e->kept, bytes)
               ? LVT_OK
               : lvt_session_no_room("what entries keep between runs", bytes, diag);
}

void lvt_session_free_kernels(lvt_session_entry *e) {
    for (uint32_t k = 0; e->kernels && k < e->plan->n_steps; k++) {
        if (e->kernels[k])
            e->kernels[k]->free(e->kernels[k]);
        e->kernels[k] = NULL;
    }
    lvt_block_unmap(&e->kept);
}

static bool make_bundles(lvt_session *s, lvt_session_entry *e) {
    const lvt_plan *plan = e->plan;
    e->bundles = lvt_arena_alloc(s->pool, (plan->n_steps + 1) * sizeof *e->bundles);
    for (uint32_t i = 0, last; e->bundles && i < plan->n_steps; i = last + 1) {
        last = lvt_bundle_last(plan, i);
        if (last > i && !lvt_bundle_make(e->kernels + i, last - i + 1, s->threads, s->pool, &e->bundles[i]))
            return false;
    }
    return e->bundles != NULL;
}

static lvt_status finish_entries(lvt_session *s, const int *entries, int n, lvt_diag *diag) {
    size_t scratch = s->scratch.bytes + !s->scratch.bytes; /* offsets of 0 are added to it */
    lvt_status status = LVT_OK;
    for (int i = 0; i < n; i++) {
        lvt_session_entry *e = &s->entries[entries[i]];
        if (!make_bundles(s, e))
            return lvt_session_no_memory(diag);
        for (uint32_t k = 0; k < e->plan->n_steps; k++) {
            size_t bytes = e->bundles[k] ? lvt_bundle_scratch(e->bundles[k]) : e->kernels[k]->scratch_bytes;
            scratch = bytes > scratch ? bytes : scratch;
        }
    }
    if (scratch > s->scratch.bytes) { /* nothing lies there between steps, and kernels are told where it is */
        lvt_block_unmap(&s->scratch);
        if (!lvt_block_map(&s->scratch, scratch))
            return lvt_session_no_room("scratch memory of kernels", scratch, diag);
    }
    for (int i = 0; i < n && status == LVT_OK; i++) {
        lvt_session_entry *e = &s->entries[entries[i]];
        status = make_kept(s, e, diag);
        if (status == LVT_OK)
            status = make_tables(s, e, s->discard.base, diag);
    }
    return status;
}

lvt_status lvt_session_no_entry(int entry, lvt_diag *diag) {
    return lvt_error(diag, LVT_USER, "E705", LVT_NOWHERE,
                     "the program has no entry %d; lvt_entry_find gives -1 for a name it does not know",
                     entry);
}

/* Those of the entries that are not made yet, each once; `made` of them is true until they are. */
static int missing_entries(lvt_session *s, const int *entries, int n, int *missing) {
    int n_missing = 0;
    for (int i = 0; i < n; i++) {
        int entry = entries ? entries[i] : i;
        if (!s->entries[entry].made)
            missing[n_missing++] = entry;
        s->entries[entry].made = true;
    }
    return n_missing;
}

lvt_status lvt_session_prepare(lvt_session *s, const int *entries, int n_entries, lvt_diag *diag) {
    int n = entries ? n_entries : (int)s->n_entries;
    bool made = true;
    for (int i = 0; i < n; i++) {
        if (entries && !lvt_session_has(s, entries[i]))
            return lvt_session_no_entry(entries[i], diag);
        made &= s->entries[entries ? entries[i] : i].made;
    }
    if (made)
        return LVT_OK;
    int *missing = malloc((size_t)n * sizeof *missing);
    if (!missing)
        return lvt_session_no_memory(diag);
    n = missing_entries(s, entries, n, missing);
    lvt_team_settings team =
        lvt_team(s->threads); /* oneDNN asks OpenMP for the team's size when it makes a primitive */
    lvt_status status = make_kernels(s, missing, n, diag);
    if (status == LVT_OK) { /* not before: compiling may fork */
        int given = lvt_team_first(s->threads);
        if (given != s->threads)
            status = lvt_error(diag, LVT_USER, "E702", LVT_NOWHERE,
                               "OpenMP gives a team of %d thread%s, not of %d; --threads %d asks for as many",
                               given, given == 1 ? "" : "s", s->threads, given);
    }
    if (status == LVT_OK)
        status = finish_entries(s, missing, n, diag);
    lvt_team_restore(team);
    for (int i = 0; i < n; i++) {
        s->entries[missing[i]].made = status == LVT_OK;
        if (status != LVT_OK)
            lvt_session_free_kernels(&s->entries[missing[i]]);
    }
    free(missing);
    return status;
}
