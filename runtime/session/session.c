/* Sessions: the memory of a running program and the loop over its steps.
 *
 * Invariants: making an entry (make.c) does all that can fail; a run walks tables of pointers made
 * there, patches those that follow inputs, allocates nothing and takes no lock. Kept memory of an entry is
 * what its prologue made of the states as they are, or not fresh. May not know: how a family works, files,
 * data sets. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- life ---------------------------------------------------------------------------------------------- */

static lvt_status make_states(lvt_session *s, lvt_diag *diag) {
    const lvt_module *m = s->program->compiled->module;
    size_t total = 0;
    for (uint32_t i = 0; i < m->n_states; i++)
        total += (lvt_type_bytes(&m->states[i].type) + 63) / 64 * 64;
    s->states = lvt_arena_alloc(s->pool, (m->n_states + 1) * sizeof *s->states);
    if (!s->states || !lvt_block_map(&s->state_block, total))
        return lvt_session_no_memory(diag);
    char *at = s->state_block.base;
    for (uint32_t i = 0; i < m->n_states; i++) {
        s->states[i] = at;
        at += (lvt_type_bytes(&m->states[i].type) + 63) / 64 * 64;
    }
    return LVT_OK;
}

/* Results nobody needs still have to be written somewhere: packed, into memory at the end of the scratch
 * block. */
static size_t discard_bytes(const lvt_plan *plan) {
    size_t most = 0;
    for (uint32_t i = 0; i < plan->n_steps; i++) {
        const lvt_node *n = &plan->graph->nodes[plan->steps[i].node];
        for (uint32_t k = 0; k < n->n_results; k++) {
            size_t bytes = lvt_type_bytes(&plan->graph->values[n->result + k].type);
            if (plan->places[n->result + k].kind == LVT_PLACE_NOWHERE && bytes > most)
                most = bytes;
        }
    }
    return most;
}

static lvt_status session_make(lvt_session *s, const lvt_session_options *options, lvt_diag *diag) {
    const lvt_compiled *c = s->program->compiled;
    s->n_entries = c->module->n_entries;
    s->opening.read_seconds = s->program->read_seconds;
    s->entries = lvt_arena_alloc(s->pool, (s->n_entries + 1) * sizeof *s->entries);
    int *all = lvt_arena_alloc(s->pool, (s->n_entries + 1) * sizeof *all);
    if (!s->entries || !all)
        return lvt_session_no_memory(diag);
    size_t arena = 0, discard = 0;
    for (uint32_t i = 0; i < s->n_entries; i++) {
        lvt_session_entry *e = &s->entries[i];
        all[i] = (int)i;
        e->plan = &c->plans[i];
        e->graph = c->plans[i].graph;
        e->kernels = lvt_arena_alloc(s->pool, (e->plan->n_steps + 1) * sizeof *e->kernels);
        if (!e->kernels)
            return lvt_session_no_memory(diag);
        arena = e->plan->arena_bytes > arena ? e->plan->arena_bytes : arena;
        size_t bytes = discard_bytes(e->plan);
        discard = bytes > discard ? bytes : discard;
    }
    lvt_status status = s->program->interpret ? LVT_OK : lvt_onednn_new(&s->onednn, diag);
    if (status == LVT_OK)
        status = make_states(s, diag);
    if (status == LVT_OK && (!lvt_block_map(&s->arena, arena) || !lvt_block_map(&s->discard, discard)))
        status = lvt_session_no_memory(diag);
    if (status == LVT_OK && options && options->entries)
        return lvt_session_make_entries(s, options->entries, options->n_entries, diag);
    return status == LVT_OK ? lvt_session_make_entries(s, all, (int)s->n_entries, diag) : status;
}

/* States may have changed: what was made of them has to be made again. */
static void states_changed(lvt_session *s) {
    for (uint32_t i = 0; i < s->n_entries; i++)
        s->entries[i].fresh = false;
}

static void reset(lvt_session *s, uint64_t seed, bool zeroed) {
    const lvt_module *m = s->program->compiled->module;
    double begin = lvt_seconds();
    states_changed(s);
    lvt_init_values(m->states, m->n_states, seed, s->threads, zeroed, s->states);
    s->opening.state_seconds = lvt_seconds() - begin;
}

lvt_status lvt_session_new(lvt_program *p, const lvt_session_options *options, lvt_session **out,
                           lvt_diag *diag) {
    *out = NULL;
    lvt_session *s = calloc(1, sizeof *s);
    if (!s || !(s->pool = lvt_arena_new())) {
        free(s);
        return lvt_session_no_memory(diag);
    }
    s->program = p;
    s->threads = options && options->threads > 0 ? options->threads : p->threads;
    lvt_status status = session_make(s, options, diag);
    if (status == LVT_OK)
        reset(s, options ? options->seed : 0, true);
    if (status != LVT_OK) {
        lvt_session_free(s);
        return status;
    }
    *out = s;
    return LVT_OK;
}

void lvt_session_free(lvt_session *s) {
    if (!s)
        return;
    for (uint32_t i = 0; s->entries && i < s->n_entries; i++)
        lvt_session_free_kernels(&s->entries[i]);
    if (s->onednn)
        lvt_onednn_free(s->onednn);
    lvt_block_unmap(&s->arena);
    lvt_block_unmap(&s->state_block);
    lvt_block_unmap(&s->scratch);
    lvt_block_unmap(&s->discard);
    lvt_arena_free(s->pool);
    free(s);
}

void lvt_session_reset(lvt_session *s, uint64_t seed) {
    reset(s, seed, false);
}

const lvt_opening *lvt_session_opening(const lvt_session *s) {
    return &s->opening;
}

/* ---- running ------------------------------------------------------------------------------------------- */

lvt_status lvt_session_bind(lvt_session *s, int entry, const void *const *inputs, lvt_diag *diag) {
    lvt_session_entry *e = &s->entries[entry];
    const lvt_graph *g = e->graph;
    lvt_status status = e->made ? LVT_OK : lvt_session_make_entries(s, &entry, 1, diag);
    if (status != LVT_OK)
        return status;
    for (uint32_t i = 0; i < g->n_inputs; i++) {
        if ((!inputs || !inputs[i]) && !e->defaults[i])
            status =
                lvt_error(diag, LVT_USER, "E701", lvt_module_pos(g->module, g->inputs[i].loc),
                          "entry %s: input %s has no default and was not given", g->name, g->inputs[i].name);
    }
    for (uint32_t i = 0; i < e->n_patches && status == LVT_OK; i++) {
        const lvt_patch *patch = &e->patches[i];
        const void *from = inputs && inputs[patch->input] ? inputs[patch->input] : e->defaults[patch->input];
        *patch->slot = (char *)from + patch->offset;
    }
    return status;
}

uint32_t lvt_session_run_step(lvt_session *s, int entry, uint32_t step) {
    lvt_session_entry *e = &s->entries[entry];
    if (e->bundles[step]) {
        lvt_bundle_run(e->bundles[step], e->operands + step, e->results + step, s->scratch.base);
        return lvt_bundle_last(e->plan, step) - step + 1;
    }
    e->kernels[step]->run(e->kernels[step], e->operands[step], e->results[step], s->scratch.base);
    return 1;
}

void lvt_session_prepare(lvt_session *s, int entry) {
    lvt_session_entry *e = &s->entries[entry];
    for (uint32_t i = e->plan->n_prologue; i < e->plan->n_steps; i++) {
        lvt_kernel *k = e->kernels[i];
        if (k->kept_bytes)
            k->prepare(k, e->operands[i], s->scratch.base, (char *)e->kept.base + e->kept_at[i]);
    }
}

/* Copies outputs and stores states. */
static void finish(lvt_session *s, int entry) {
    lvt_session_entry *e = &s->entries[entry];
    for (uint32_t i = 0; i < e->n_out_copies;
         i++) { /* before the stores: an output may show a state's old value */
        const lvt_end_copy *c = &e->out_copies[i];
        lvt_gather_packed(&e->graph->values[c->value].type, e->plan->places[c->value].strides, c->from,
                          c->to);
    }
    for (uint32_t i = 0; i < e->n_stores; i++) {
        const lvt_end_copy *c = &e->stores[i];
        if (c->stage)
            lvt_gather_packed(&e->graph->values[c->value].type, e->plan->places[c->value].strides, c->from,
                              c->stage);
    }
    for (uint32_t i = 0; i < e->n_stores; i++) {
        const lvt_end_copy *c = &e->stores[i];
        const lvt_type *type = &e->graph->values[c->value].type;
        if (c->stage)
            memcpy(c->to, c->stage, lvt_type_bytes(type));
        else
            lvt_gather_packed(type, e->plan->places[c->value].strides, c->from, c->to);
    }
}

static void run_steps(lvt_session *s, int entry, uint32_t first, uint32_t end) {
    lvt_session_entry *e = &s->entries[entry];
    double begin = s->profile ? lvt_seconds() : 0;
    for (uint32_t i = first, n; i < end; i += n) {
        n = lvt_session_run_step(s, entry, i);
        if (s->profile) {
            double now = lvt_seconds();
            for (uint32_t k = 0; k < n; k++) {
                e->times[i + k].seconds += (now - begin) * (n > 1 ? lvt_bundle_share(e->bundles[i], k) : 1);
                e->times[i + k].runs++;
            }
            begin = now;
        }
    }
}

lvt_status lvt_session_run(lvt_session *s, int entry, const void *const *inputs, lvt_diag *diag) {
    lvt_status status = lvt_session_bind(s, entry, inputs, diag);
    if (status != LVT_OK)
        return status;
    lvt_session_entry *e = &s->entries[entry];
    int team = lvt_team(s->threads);
    if (!e->fresh) {
        run_steps(s, entry, 0, e->plan->n_prologue);
        lvt_session_prepare(s, entry);
        e->fresh = true;
    }
    run_steps(s, entry, e->plan->n_prologue, e->plan->n_steps);
    finish(s, entry);
    if (e->graph->n_updates)
        states_changed(s);
    lvt_team(team);
    return LVT_OK;
}

const void *lvt_session_output(const lvt_session *s, int entry, int output) {
    return s->entries[entry].made ? s->entries[entry].outputs[output] : NULL;
}

void *lvt_session_state(lvt_session *s, uint32_t state) {
    states_changed(s);
    return s->states[state];
}

void lvt_session_release(lvt_session *s, int entry) {
    s->entries[entry].fresh = false;
    lvt_block_drop(&s->entries[entry].kept);
}

void lvt_session_profile(lvt_session *s, bool on) {
    s->profile = on;
    for (uint32_t i = 0; i < s->n_entries && on; i++) {
        if (s->entries[i].made)
            memset(s->entries[i].times, 0, s->entries[i].plan->n_steps * sizeof *s->entries[i].times);
    }
}

const lvt_step_time *lvt_session_times(const lvt_session *s, int entry) {
    return s->profile ? s->entries[entry].times : NULL;
}

void lvt_session_connect(lvt_session *s, const lvt_collective *with) {
    s->collective = with;
}
