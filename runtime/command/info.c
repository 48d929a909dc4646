/* lvt-run info: what a compiled program holds. */
#include "command.h"
#include "runtime/compiled.h"
#include "runtime/continual/checkpoint.h"
#include "ir/op.h"
#include "ir/base/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static const char about[] =
    "Says what a compiled program holds: its entries with their inputs and outputs, its parameters and "
    "other\n"
    "state, the memory and arithmetic of one run of each entry, the settings it was compiled with, and "
    "which\n"
    "kernel families run its steps (interp is the slow reference: a step there is worth a look with\n"
    "`lvtc --explain`) and how many of a family's run in another way than its standard one.\n\n"
    "Example: lvt-run info models/lvt-s.lvtx --states";

static void family_counts(const lvt_plan *plan, uint32_t counts[LVT_N_FAMILIES]) {
    for (int f = 0; f < LVT_N_FAMILIES; f++)
        counts[f] = 0;
    for (uint32_t i = 0; i < plan->n_steps; i++)
        counts[plan->steps[i].family]++;
}

/* Steps of the family that run in that way. */
static uint32_t variant_count(const lvt_plan *plan, int family, int variant) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < plan->n_steps; i++)
        n += plan->steps[i].family == family && plan->steps[i].variant == variant;
    return n;
}

/* Says which variants of the entry's steps this machine lacks: one step of each is asked. Where that cannot
 * be found out nothing is said. */
static void print_missing(const lvt_plan *plan) {
    lvt_tuner *t = NULL;
    lvt_diag *diag = lvt_diag_new();
    unsigned asked = 1u << LVT_VARIANT_STANDARD;
    bool has = true;
    for (uint32_t i = 0; diag && i < plan->n_steps; i++) {
        unsigned variant = plan->steps[i].variant;
        if (plan->steps[i].family != LVT_FAMILY_ONEDNN || asked >> variant & 1)
            continue;
        asked |= 1u << variant;
        if ((t || lvt_tuner_new(0, &t, diag) == LVT_OK) && lvt_tuner_has(t, plan, i, &has, diag) == LVT_OK &&
            !has)
            lvt_print(
                "          this machine has no kernel for %s (at least one step): the standard way runs\n",
                lvt_variant_name((lvt_variant)variant));
    }
    lvt_tuner_free(t);
    lvt_diag_free(diag);
}

static void count_states(const lvt_module *m, bool trainable, int64_t *elements, uint32_t *tensors,
                         size_t *bytes) {
    *elements = 0;
    *tensors = 0;
    *bytes = 0;
    for (uint32_t i = 0; i < m->n_states; i++) {
        if (m->states[i].trainable != trainable)
            continue;
        *elements += lvt_numel(&m->states[i].type);
        *bytes += lvt_type_bytes(&m->states[i].type);
        ++*tensors;
    }
}

static void print_text(const lvt_program *p, const char *path, bool states) {
    const lvt_compiled *c = lvt_program_compiled(p);
    const lvt_module *m = c->module;
    char type[LVT_TYPE_TEXT];
    int64_t elements;
    uint32_t tensors;
    size_t bytes;
    lvt_print("%s: model %s, program %016" PRIx64 ", format %u\n", path, m->name, c->hash, c->version);
    count_states(m, true, &elements, &tensors, &bytes);
    lvt_print("parameters   %" PRId64 " in %u tensors, %.2f MiB\n", elements, tensors,
              (double)bytes / 1048576);
    count_states(m, false, &elements, &tensors, &bytes);
    lvt_print("other state  %" PRId64 " in %u tensors, %.2f MiB\n", elements, tensors,
              (double)bytes / 1048576);
    if (m->n_settings)
        lvt_print("settings    ");
    for (uint32_t i = 0; i < m->n_settings; i++)
        lvt_print(" %s=%s", m->settings[i].name, m->settings[i].value);
    lvt_print("%s", m->n_settings ? "\n" : "");
    for (uint32_t i = 0; i < m->n_entries; i++) {
        const lvt_plan *plan = &c->plans[i];
        const lvt_graph *g = plan->graph;
        uint32_t counts[LVT_N_FAMILIES];
        lvt_entry_info entry = lvt_program_entry(p, (int)i);
        double flops = entry.flops, traffic = entry.bytes;
        family_counts(plan, counts);
        lvt_print("\nentry %s%s\n", g->name, g->training ? " (training)" : "");
        for (uint32_t k = 0; k < g->n_inputs; k++) {
            lvt_print("  input   %-12s %s", g->inputs[k].name,
                      lvt_type_text(lvt_value_type(g, g->inputs[k].value), type));
            if (g->inputs[k].has_default)
                lvt_print(" = %.9g", g->inputs[k].default_value);
            lvt_print("\n");
        }
        for (uint32_t k = 0; k < g->n_outputs; k++)
            lvt_print("  output  %-12s %s\n", g->outputs[k].name,
                      lvt_type_text(lvt_value_type(g, g->outputs[k].value), type));
        lvt_print("  steps   %u:", plan->n_steps);
        for (int f = 0; f < LVT_N_FAMILIES; f++) {
            if (counts[f])
                lvt_print(" %u %s", counts[f], lvt_family_name((lvt_family)f));
            for (int v = LVT_VARIANT_STANDARD + 1; v < LVT_N_VARIANTS; v++) {
                uint32_t n = variant_count(plan, f, v);
                if (n)
                    lvt_print(" (%u %s)", n, lvt_variant_name((lvt_variant)v));
            }
        }
        if (plan->tuned)
            lvt_print("; variants measured with %u thread%s", plan->tuned, plan->tuned == 1 ? "" : "s");
        if (plan->n_prologue)
            lvt_print("; the first %u run once, and keep %.2f MiB", plan->n_prologue,
                      (double)plan->kept_bytes / 1048576);
        lvt_print("\n");
        print_missing(plan);
        lvt_print("  memory  %.2f MiB of working memory, %u states copied at the end\n",
                  (double)plan->arena_bytes / 1048576, plan->n_stores);
        lvt_print("  cost    %.3f GFLOP, %.3f GB read and written\n", flops * 1e-9, traffic * 1e-9);
    }
    if (states && m->n_states)
        lvt_print("\nstates\n");
    for (uint32_t i = 0; states && i < m->n_states; i++)
        lvt_print("  %-9s %-44s %s\n", m->states[i].trainable ? "parameter" : "state", m->states[i].name,
                  lvt_type_text(&m->states[i].type, type));
}

/* ---- a checkpoint -------------------------------------------------------------------------------------- */

static void print_checkpoint(const lvt_checkpoint_info *c, const char *path) {
    int learned = 0;
    bool seen[c->tasks.classes];
    lvt_checkpoint_seen(c, seen);
    for (int k = 0; k < c->tasks.classes; k++)
        learned += seen[k];
    lvt_print("\ncheckpoint %s: of \"%s\", %d of %d tasks done", path, c->program, c->at.task, c->tasks.n);
    if (c->at.step)
        lvt_print(", and %" PRIu64 " steps", c->at.step);
    lvt_print("\nclasses      %d of %d:", learned, c->tasks.classes);
    for (int k = 0; k < c->tasks.classes; k++)
        if (seen[k])
            lvt_print(" %s", c->class_names[k]);
    lvt_print("\nunknown      ");
    if (isnan(c->known.threshold))
        lvt_print("no threshold: it is measured at the end of a task\n");
    else if (isinf(c->known.threshold))
        lvt_print("no threshold: %.0f images are too few to tell\n", c->known.images);
    else
        lvt_print("below %.4g%% a picture is of none of these: %.0f%% of %.0f %s images are above\n",
                  100 * c->known.threshold, 100 * LVT_KNOWN_ACCEPT, c->known.images,
                  c->known_held ? "validation" : "test");
}

static void print_checkpoint_json(const lvt_checkpoint_info *c) {
    bool seen[c->tasks.classes];
    lvt_checkpoint_seen(c, seen);
    lvt_print(",\"checkpoint\":{\"model\":");
    lvt_print_json_string(c->program);
    lvt_print(",\"hash\":\"%016" PRIx64 "\",\"tasks_done\":%d,\"steps_done\":%" PRIu64
              ",\"tasks\":%d,\"classes\":[",
              c->program_hash, c->at.task, c->at.step, c->tasks.n);
    for (int k = 0; k < c->tasks.classes; k++) {
        lvt_print("%s{\"name\":", k ? "," : "");
        lvt_print_json_string(c->class_names[k]);
        lvt_print(",\"task\":%d,\"learned\":%s}", c->tasks.task_of[k] + 1, seen[k] ? "true" : "false");
    }
    lvt_print("],\"known\":");
    if (isfinite(c->known.threshold))
        lvt_print("{\"score\":\"%s\",\"threshold\":%.17g,\"accepts\":%.9g,\"images\":%.0f,\"of\":\"%s\"}}",
                  LVT_KNOWN_SCORE, c->known.threshold, LVT_KNOWN_ACCEPT, c->known.images,
                  c->known_held ? "validation" : "test");
    else
        lvt_print("null}");
}

static lvt_status read_checkpoint(const char *path, lvt_checkpoint_info *out, lvt_diag *diag) {
    lvt_safetensors file = {0};
    *out = (lvt_checkpoint_info){0};
    lvt_status status = lvt_safetensors_read(path, &file, diag);
    if (status == LVT_OK)
        status = lvt_checkpoint_info_read(&file, path, out, diag);
    lvt_safetensors_free(&file);
    return status;
}

/* ---- as JSON ------------------------------------------------------------------------------------------- */

static void print_ports(const lvt_graph *g, bool inputs) {
    char type[LVT_TYPE_TEXT];
    uint32_t n = inputs ? g->n_inputs : g->n_outputs;
    for (uint32_t k = 0; k < n; k++) {
        lvt_value v = inputs ? g->inputs[k].value : g->outputs[k].value;
        lvt_print("%s{\"name\":", k ? "," : "");
        lvt_print_json_string(inputs ? g->inputs[k].name : g->outputs[k].name);
        lvt_print(",\"type\":\"%s\"", lvt_type_text(lvt_value_type(g, v), type));
        if (inputs && g->inputs[k].has_default)
            lvt_print(",\"default\":%.17g", g->inputs[k].default_value);
        lvt_print("}");
    }
}

static void print_json(const lvt_program *p, const lvt_checkpoint_info *checkpoint) {
    const lvt_compiled *c = lvt_program_compiled(p);
    const lvt_module *m = c->module;
    char type[LVT_TYPE_TEXT];
    int64_t elements;
    uint32_t tensors;
    size_t bytes;
    count_states(m, true, &elements, &tensors, &bytes);
    lvt_print("{\"model\":");
    lvt_print_json_string(m->name);
    lvt_print(",\"hash\":\"%016" PRIx64 "\",\"format\":%u,\"parameters\":%" PRId64 ",\"settings\":{", c->hash,
              c->version, elements);
    for (uint32_t i = 0; i < m->n_settings; i++) {
        lvt_print("%s", i ? "," : "");
        lvt_print_json_string(m->settings[i].name);
        lvt_print(":");
        lvt_print_json_string(m->settings[i].value);
    }
    lvt_print("},\"entries\":[");
    for (uint32_t i = 0; i < m->n_entries; i++) {
        const lvt_plan *plan = &c->plans[i];
        uint32_t counts[LVT_N_FAMILIES];
        lvt_entry_info entry = lvt_program_entry(p, (int)i);
        double flops = entry.flops, traffic = entry.bytes;
        family_counts(plan, counts);
        lvt_print("%s{\"name\":", i ? "," : "");
        lvt_print_json_string(plan->graph->name);
        lvt_print(",\"training\":%s,\"inputs\":[", plan->graph->training ? "true" : "false");
        print_ports(plan->graph, true);
        lvt_print("],\"outputs\":[");
        print_ports(plan->graph, false);
        lvt_print("],\"steps\":%u,\"families\":{", plan->n_steps);
        for (int f = 0; f < LVT_N_FAMILIES; f++)
            lvt_print("%s\"%s\":%u", f ? "," : "", lvt_family_name((lvt_family)f), counts[f]);
        lvt_print("},\"arena_bytes\":%" PRIu64 ",\"flops\":%.0f,\"bytes\":%.0f}", plan->arena_bytes, flops,
                  traffic);
    }
    lvt_print("],\"states\":[");
    for (uint32_t i = 0; i < m->n_states; i++) {
        lvt_print("%s{\"name\":", i ? "," : "");
        lvt_print_json_string(m->states[i].name);
        lvt_print(",\"type\":\"%s\",\"trainable\":%s}", lvt_type_text(&m->states[i].type, type),
                  m->states[i].trainable ? "true" : "false");
    }
    lvt_print("]");
    if (checkpoint)
        print_checkpoint_json(checkpoint);
    lvt_print("}\n");
}

lvt_status lvt_cmd_info(int argc, char **argv, lvt_diag *diag) {
    bool json = false, states = false;
    const char *path = NULL;
    const lvt_option options[] = {
        {"states", 's', LVT_OPTION_FLAG, NULL, "also list every parameter and other state", &states, 0, 0,
         NULL},
        {"checkpoint", 'c', LVT_OPTION_TEXT, "FILE",
         "also say what is in a checkpoint of `lvt-run train`: tasks,\nclasses, from where on a picture is "
         "of "
         "none of them",
         &path, 0, 0, NULL},
        {"json", 0, LVT_OPTION_FLAG, NULL, "everything as one JSON object", &json, 0, 0, NULL},
    };
    const lvt_usage usage = {"lvt-run info PROGRAM.lvtx [options]", about, options,
                             sizeof options / sizeof *options,      1,     1};
    lvt_arguments arguments;
    lvt_status status = lvt_arguments_parse(&usage, argc, argv, &arguments, diag);
    if (status != LVT_OK || arguments.done)
        return status;
    lvt_checkpoint_info checkpoint = {0};
    status = path ? read_checkpoint(path, &checkpoint, diag) : LVT_OK;
    if (status != LVT_OK)
        return status;
    lvt_program *p;
    /* No kernels are made here, so none of their machinery is started. */
    status = lvt_program_open(arguments.values[0],
                              &(lvt_program_options){.interpret = true, .no_weights = true}, &p, diag);
    if (status == LVT_OK && json)
        print_json(p, path ? &checkpoint : NULL);
    else if (status == LVT_OK)
        print_text(p, arguments.values[0], states);
    if (status == LVT_OK && !json && path)
        print_checkpoint(&checkpoint, path);
    lvt_checkpoint_info_free(&checkpoint);
    lvt_program_close(p);
    return status;
}
