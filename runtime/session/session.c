/* Sessions: the memory of a running program and the loop over its steps.
 *
 * Invariants: making an entry (make.c) does all that can fail; a run walks tables of pointers made
 * there, patches those that follow inputs, allocates nothing and takes no lock. Kept memory of an entry is
 * what its prologue made of the states as they are, or not fresh. May not know: how a family works, files,
 * data sets. */
#include "internal.h"
#include "ir/finite.h"

#include <stdlib.h>
#include <string.h>

/* ---- life ---------------------------------------------------------------------------------------------- */

static lvt_status make_states(lvt_session *s, lvt_diag *diag) {
    const lvt_module *m = s->program->compiled->module;
    size_t total = 0;
    s->infinite = lvt_arena_alloc(s->pool, m->n_states + (size_t)1);
    if (!s->infinite)
        return lvt_session_no_memory(diag);
    for (uint32_t i = 0; i < m->n_states; i++)
        s->infinite[i] = lvt_state_begins_infinite(&m->states[i]);
    for (uint32_t i = 0; i < m->n_states; i++)
        total += (lvt_type_bytes(&m->states[i].type) + 63) / 64 * 64;
    s->states = lvt_arena_alloc(s->pool, (m->n_states + 1) * sizeof *s->states);
    if (!s->states)
        return lvt_session_no_memory(diag);
    if (!lvt_block_map(&s->state_block, total))
        return lvt_session_no_room("the states", total, diag);
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
    if (!s->entries)
        return lvt_session_no_memory(diag);
    size_t arena = 0, discard = 0;
    for (uint32_t i = 0; i < s->n_entries; i++) {
        lvt_session_entry *e = &s->entries[i];
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
    if (status == LVT_OK && !lvt_block_map(&s->arena, arena))
        status = lvt_session_no_room("the arena of the entries' values", arena, diag);
    if (status == LVT_OK && !lvt_block_map(&s->discard, discard))
        status = lvt_session_no_room("results that nobody reads", discard, diag);
    if (status != LVT_OK)
        return status;
    return lvt_session_prepare(s, options ? options->entries : NULL, options ? options->n_entries : 0, diag);
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

/* Kernels are made for the team that there is: a smaller one would leave parts of oneDNN's work undone. */
static void find_team(lvt_session *s, int asked, lvt_diag *diag) {
    const lvt_program *p = s->program;
    const char *why;
    bool said = asked > 0 || p->threads > 0;
    int processors = lvt_processors();
    asked = asked > 0 ? asked : p->threads > 0 ? p->threads : processors;
    s->threads = lvt_team_given(asked, &why);
    if (why)
        lvt_warning(diag, NULL, LVT_NOWHERE, "%d thread%s instead of %d: %s", s->threads,
                    s->threads == 1 ? "" : "s", asked, why);
    else if (said && asked > processors)
        lvt_warning(diag, NULL, LVT_NOWHERE, "%d threads for %d processor%s: they will wait for each other",
                    asked, processors, processors == 1 ? "" : "s");
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
    find_team(s, options ? options->threads : 0, diag);
    s->looked = lvt_arena_alloc(s->pool, (size_t)s->threads * sizeof *s->looked);
    lvt_status status = !s->looked ? lvt_session_no_memory(diag) : session_make(s, options, diag);
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

int lvt_session_threads(const lvt_session *s) {
    return s->threads;
}

const lvt_opening *lvt_session_opening(const lvt_session *s) {
    return &s->opening;
}

/* ---- running ------------------------------------------------------------------------------------------- */

lvt_status lvt_session_bind(lvt_session *s, int entry, const void *const *inputs, lvt_diag *diag) {
    if (!lvt_session_has(s, entry))
        return lvt_session_no_entry(entry, diag);
    lvt_session_entry *e = &s->entries[entry];
    const lvt_graph *g = e->graph;
    const char *limit = lvt_team_limit(s->threads);
    if (limit) /* the session was made by a thread that gets more */
        return lvt_error(
            diag, LVT_USER, "E702", LVT_NOWHERE,
            "the session was made for %d threads, of which the calling one cannot have a team: %s",
            s->threads, limit);
    lvt_status status = LVT_OK;
    if (!e->made) {
        status = lvt_error(diag, LVT_USER, "E704", LVT_NOWHERE, "entry %s has no kernels yet", g->name);
        lvt_note(diag, LVT_NOWHERE,
                 "a run makes none: call lvt_session_prepare first, or name the entry in "
                 "the options of lvt_session_new");
        return status;
    }
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

void lvt_session_pack(lvt_session *s, int entry) {
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
    lvt_team_settings team = lvt_team(s->threads);
    if (!e->fresh) {
        run_steps(s, entry, 0, e->plan->n_prologue);
        lvt_session_pack(s, entry);
        e->fresh = true;
    }
    run_steps(s, entry, e->plan->n_prologue, e->plan->n_steps);
    finish(s, entry);
    if (e->graph->n_updates)
        states_changed(s);
    lvt_team_restore(team);
    return LVT_OK;
}

const void *lvt_session_output(const lvt_session *s, int entry, int output) {
    if (!lvt_session_has(s, entry) || !s->entries[entry].made)
        return NULL;
    bool there = output >= 0 && (uint32_t)output < s->entries[entry].graph->n_outputs;
    return there ? s->entries[entry].outputs[output] : NULL;
}

void *lvt_session_state(lvt_session *s, uint32_t state) {
    if (state >= s->program->compiled->module->n_states)
        return NULL;
    states_changed(s);
    return s->states[state];
}

enum { LOOK = 1 << 16, GLANCE = LVT_GLANCE_ALWAYS }; /* elements: of a piece of work; of a glance */

typedef struct looking {
    const lvt_session *s;
    uint64_t turn; /* of a glance */
    bool glance;
    uint32_t *bad; /* one a thread: the first state it found something in, LVT_NONE */
} looking;

/* Elements at .. at + n of a state; of a glance its first and every LVT_GLANCES-th part, others each turn. */
static bool sound(const looking *l, uint32_t state, int64_t at, int64_t n) {
    lvt_dtype dtype = (lvt_dtype)l->s->program->compiled->module->states[state].type.dtype;
    const char *from = l->s->states[state];
    size_t size = lvt_dtype_size(dtype);
    if (!l->glance)
        return lvt_first_unsound(dtype, from + (size_t)at * size, n, l->s->infinite[state]) < 0;
    for (int64_t i = at; i < at + n; i += GLANCE) {
        int64_t here = at + n - i < GLANCE ? at + n - i : GLANCE;
        if ((!i || ((uint64_t)(i / GLANCE) + l->turn) % LVT_GLANCES == 0) &&
            lvt_first_unsound(dtype, from + (size_t)i * size, here, l->s->infinite[state]) >= 0)
            return false;
    }
    return true;
}

/* Every threads-th piece of every state. */
static void look(void *user, int64_t part, int thread) {
    looking *l = user;
    const lvt_module *m = l->s->program->compiled->module;
    int64_t piece = 0;
    (void)thread;
    for (uint32_t i = 0; i < m->n_states; i++) {
        int64_t n = l->glance && !m->states[i].trainable ? 0 : lvt_numel(&m->states[i].type);
        for (int64_t at = 0; at < n; at += LOOK, piece++) {
            if (piece % l->s->threads == part && !sound(l, i, at, n - at < LOOK ? n - at : LOOK)) {
                l->bad[part] = i;
                return;
            }
        }
    }
}

static int64_t find_unsound(lvt_session *s, looking l, int64_t *element) {
    for (int t = 0; t < s->threads; t++)
        s->looked[t] = LVT_NONE;
    lvt_team_settings team = lvt_team(s->threads);
    lvt_parallel(s->threads, s->threads, look, &l);
    lvt_team_restore(team);
    uint32_t first = LVT_NONE;
    for (int t = 0; t < s->threads; t++)
        first = s->looked[t] < first ? s->looked[t] : first;
    if (first == LVT_NONE)
        return -1;
    const lvt_type *type = &s->program->compiled->module->states[first].type;
    *element =
        lvt_first_unsound((lvt_dtype)type->dtype, s->states[first], lvt_numel(type), s->infinite[first]);
    return first;
}

int64_t lvt_session_unsound(lvt_session *s, int64_t *element) {
    return find_unsound(s, (looking){.s = s, .bad = s->looked}, element);
}

int64_t lvt_session_glance(lvt_session *s, uint64_t turn, int64_t *element) {
    return find_unsound(s, (looking){.s = s, .bad = s->looked, .glance = true, .turn = turn}, element);
}

void lvt_session_release(lvt_session *s, int entry) {
    if (!lvt_session_has(s, entry))
        return;
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
    return s->profile && lvt_session_has(s, entry) ? s->entries[entry].times : NULL;
}

void lvt_session_connect(lvt_session *s, const lvt_collective *with) {
    s->collective = with;
}
