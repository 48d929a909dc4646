/* What a program holds, in the words of lvt.h: entries, their inputs, outputs and steps, states, settings.
 *
 * Invariant: asks the compiled module alone, so nothing here needs a session. May not know: kernels. */
#include "ir/op.h"
#include "runtime/compiled.h"

#include <string.h>

static const lvt_module *module_of(const lvt_program *p) {
    return lvt_program_compiled(p)->module;
}

/* NULL: there is no such entry. */
static const lvt_graph *graph_of(const lvt_program *p, int entry) {
    const lvt_module *m = module_of(p);
    return entry >= 0 && (uint32_t)entry < m->n_entries ? m->entries[entry] : NULL;
}

const char *lvt_program_name(const lvt_program *p) {
    return module_of(p)->name;
}

uint64_t lvt_program_hash(const lvt_program *p) {
    return lvt_program_compiled(p)->hash;
}

int lvt_program_entries(const lvt_program *p) {
    return (int)module_of(p)->n_entries;
}

int lvt_program_states(const lvt_program *p) {
    return (int)module_of(p)->n_states;
}

lvt_entry_info lvt_program_entry(const lvt_program *p, int entry) {
    const lvt_graph *g = graph_of(p, entry);
    if (!g)
        return (lvt_entry_info){0};
    const lvt_plan *plan = &lvt_program_compiled(p)->plans[entry];
    lvt_entry_info info = {.name = g->name,
                           .training = g->training,
                           .n_updates = (int)g->n_updates,
                           .n_inputs = (int)g->n_inputs,
                           .n_outputs = (int)g->n_outputs,
                           .n_steps = (int)plan->n_steps,
                           .working_bytes = plan->arena_bytes,
                           .kept_bytes = plan->kept_bytes};
    for (uint32_t i = plan->n_prologue; i < plan->n_steps; i++) { /* the prologue is no part of a run */
        lvt_cost cost = lvt_node_cost(g, &g->nodes[plan->steps[i].node]);
        info.flops += cost.flops;
        info.bytes += cost.bytes;
    }
    return info;
}

/* ---- tensors ------------------------------------------------------------------------------------------- */

static lvt_tensor_info tensor_info(const lvt_module *m, const char *name, const lvt_type *type,
                                   lvt_tensor_role role, lvt_loc loc) {
    return (lvt_tensor_info){.name = name,
                             .type = *type,
                             .bytes = lvt_type_bytes(type),
                             .role = role,
                             .used = true,
                             .at = lvt_module_pos(m, loc)};
}

static bool is_used(const lvt_graph *g, lvt_value v) {
    for (uint32_t i = 0; i < g->n_nodes; i++)
        for (uint32_t k = 0; k < g->nodes[i].n_operands; k++)
            if (g->nodes[i].operands[k] == v)
                return true;
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (g->outputs[i].value == v)
            return true;
    for (uint32_t i = 0; i < g->n_updates; i++)
        if (g->updates[i].value == v)
            return true;
    return false;
}

lvt_tensor_info lvt_program_input(const lvt_program *p, int entry, int input) {
    const lvt_graph *g = graph_of(p, entry);
    if (!g || input < 0 || (uint32_t)input >= g->n_inputs)
        return (lvt_tensor_info){0};
    const lvt_input *in = &g->inputs[input];
    lvt_tensor_info info =
        tensor_info(g->module, in->name, lvt_value_type(g, in->value), LVT_ROLE_INPUT, in->loc);
    info.used = is_used(g, in->value);
    info.has_default = in->has_default;
    info.default_value = in->default_value;
    return info;
}

lvt_tensor_info lvt_program_output(const lvt_program *p, int entry, int output) {
    const lvt_graph *g = graph_of(p, entry);
    if (!g || output < 0 || (uint32_t)output >= g->n_outputs)
        return (lvt_tensor_info){0};
    const lvt_output *out = &g->outputs[output];
    return tensor_info(g->module, out->name, lvt_value_type(g, out->value), LVT_ROLE_OUTPUT, out->loc);
}

lvt_tensor_info lvt_program_state(const lvt_program *p, int state) {
    const lvt_module *m = module_of(p);
    if (state < 0 || (uint32_t)state >= m->n_states)
        return (lvt_tensor_info){0};
    const lvt_state *s = &m->states[state];
    return tensor_info(m, s->name, &s->type, s->trainable ? LVT_ROLE_PARAMETER : LVT_ROLE_STATE, s->loc);
}

bool lvt_program_updates(const lvt_program *p, int entry, int state) {
    const lvt_graph *g = graph_of(p, entry);
    for (uint32_t i = 0; g && i < g->n_updates; i++)
        if (state >= 0 && g->updates[i].state == (uint32_t)state)
            return true;
    return false;
}

bool lvt_program_setting(const lvt_program *p, int i, const char **name, const char **value) {
    const lvt_module *m = module_of(p);
    if (i < 0 || (uint32_t)i >= m->n_settings)
        return false;
    *name = m->settings[i].name;
    *value = m->settings[i].value;
    return true;
}

/* ---- steps --------------------------------------------------------------------------------------------- */

lvt_step_info lvt_program_step(const lvt_program *p, int entry, int step) {
    const lvt_graph *g = graph_of(p, entry);
    const lvt_plan *plan = g ? &lvt_program_compiled(p)->plans[entry] : NULL;
    if (!g || step < 0 || (uint32_t)step >= plan->n_steps)
        return (lvt_step_info){0};
    const lvt_step *s = &plan->steps[step];
    const lvt_node *n = &g->nodes[s->node];
    lvt_cost cost = lvt_node_cost(g, n);
    return (lvt_step_info){.op = lvt_op_of(n)->name,
                           .name = n->n_results ? g->values[n->result].name : NULL,
                           .family = lvt_family_name((lvt_family)s->family),
                           .variant = lvt_variant_name((lvt_variant)s->variant),
                           .role = lvt_role_name((lvt_role)n->role),
                           .prologue = (uint32_t)step < plan->n_prologue,
                           .at = lvt_module_pos(g->module, n->loc),
                           .from = lvt_module_pos(g->module, lvt_module_outermost(g->module, n->loc)),
                           .flops = cost.flops,
                           .bytes = cost.bytes};
}

/* ---- by name ------------------------------------------------------------------------------------------- */

int lvt_entry_find(const lvt_program *p, const char *name) {
    const lvt_module *m = module_of(p);
    for (uint32_t i = 0; i < m->n_entries; i++)
        if (!strcmp(m->entries[i]->name, name))
            return (int)i;
    return -1;
}

int lvt_entry_input(const lvt_program *p, int entry, const char *name) {
    const lvt_graph *g = graph_of(p, entry);
    for (uint32_t i = 0; g && i < g->n_inputs; i++)
        if (!strcmp(g->inputs[i].name, name))
            return (int)i;
    return -1;
}

int lvt_entry_output(const lvt_program *p, int entry, const char *name) {
    const lvt_graph *g = graph_of(p, entry);
    for (uint32_t i = 0; g && i < g->n_outputs; i++)
        if (!strcmp(g->outputs[i].name, name))
            return (int)i;
    return -1;
}

int lvt_state_find(const lvt_program *p, const char *name) {
    uint32_t i = lvt_module_find_state(module_of(p), name);
    return i == LVT_NONE ? -1 : (int)i;
}
