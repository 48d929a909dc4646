/* lvt-run step: runs an entry on tensors from a file and keeps what comes out. May not know: data sets, what
 * a model means. */
#include "command.h"
#include "runtime/compiled.h"
#include "ir/interp.h"
#include "ir/program/safetensors.h"
#include "ir/base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct run {
    lvt_program *program;
    lvt_session *session;
    const lvt_module *module;
    const lvt_graph *graph;
    int entry;
    uint64_t seed;
    int64_t steps;
    const lvt_safetensors *file; /* of inputs, or NULL: they are made up */
    const char *path;
    lvt_stored_tensor *inputs,
        *outputs; /* of all steps, what is kept; data is NULL for inputs left at defaults */
    bool keep_inputs, keep_outputs;
} run;

/* t with one more dim in front, the steps; false: too many dims. */
static bool stacked(const lvt_type *t, int64_t steps, lvt_type *out) {
    int64_t dims[LVT_MAX_RANK];
    int before = t->rank < LVT_MAX_RANK; /* else there is no room: the steps lie within the first dimension */
    dims[0] = steps;
    for (int i = 0; i < t->rank; i++)
        dims[i + before] = t->dim[i];
    if (!before && steps > LVT_MAX_DIM / dims[0])
        return false;
    dims[0] = before ? steps : steps * t->dim[0];
    *out = lvt_type_make((lvt_dtype)t->dtype, t->rank + before, dims);
    return true;
}

/* How many steps values `of` a tensor like that are for, if they are. */
static int64_t steps_in(const lvt_type *all, const lvt_type *of) {
    return !all->rank ? 0 : of->rank < LVT_MAX_RANK ? all->dim[0] : all->dim[0] / of->dim[0];
}

/* Finds how many steps the file holds; every tensor in it must be an input, every input without default in
 * it. */
static lvt_status check_inputs(run *r, lvt_diag *diag) {
    const lvt_graph *g = r->graph;
    int64_t found = -1; /* steps; none yet */
    const char **names = calloc(g->n_inputs + 1u, sizeof *names);
    if (!names)
        return lvt_no_memory(diag, NULL);
    for (uint32_t i = 0; i < g->n_inputs; i++)
        names[i] = g->inputs[i].name;
    lvt_status status = LVT_OK;
    for (size_t k = 0; k < r->file->n; k++) {
        const lvt_stored_tensor *t = &r->file->tensors[k];
        bool known = false;
        for (uint32_t i = 0; i < g->n_inputs; i++)
            known |= !strcmp(names[i], t->name);
        const char *near = known ? NULL : lvt_nearest(t->name, names, g->n_inputs);
        if (!known)
            status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: entry %s has no input \"%s\"%s%s%s",
                               r->path, g->name, t->name, near ? "; did you mean " : "", near ? near : "",
                               near ? "?" : "");
    }
    free(names);
    for (uint32_t i = 0; i < g->n_inputs; i++) {
        const lvt_type *want = lvt_value_type(g, g->inputs[i].value);
        const lvt_stored_tensor *t = lvt_safetensors_find(r->file, g->inputs[i].name);
        char have[LVT_TYPE_TEXT], wanted[LVT_TYPE_TEXT];
        lvt_type all;
        if (!t && !g->inputs[i].has_default)
            status =
                lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: there is no tensor for input \"%s\", %s",
                          r->path, g->inputs[i].name, lvt_type_text(want, wanted));
        if (!t || lvt_type_equal(&t->type, want))
            continue;
        int64_t steps = steps_in(&t->type, want);
        if (!t->type.rank || (steps < 1 && t->type.dim[0]) || !stacked(want, steps, &all) ||
            !lvt_type_equal(&t->type, &all))
            status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                               "%s: %s is %s, the entry takes %s, or that with the steps as first dimension",
                               r->path, t->name, lvt_type_text(&t->type, have), lvt_type_text(want, wanted));
        else if (!t->type.dim[0])
            status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                               "%s: %s holds no step, its first dimension is 0", r->path, t->name);
        else if (found >= 0 && found != steps)
            status =
                lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: %s is for %lld steps, another is for %lld",
                          r->path, t->name, (long long)steps, (long long)found);
        else
            found = steps;
    }
    if (status == LVT_OK && found >= 0 && r->steps > found)
        status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s holds %lld steps, %lld are wanted", r->path,
                           (long long)found, (long long)r->steps);
    if (!r->steps)
        r->steps = found >= 0 ? found : 1;
    return status;
}

/* Room for all steps of a value that is kept. */
static lvt_status room(lvt_stored_tensor *t, const char *name, const lvt_type *type, int64_t steps,
                       lvt_diag *diag) {
    if (!stacked(type, steps, &t->type))
        return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s is too large to be kept for all steps", name);
    t->name = name;
    t->data = malloc(lvt_type_bytes(&t->type) + 1);
    return t->data ? LVT_OK : lvt_no_memory(diag, NULL);
}

static lvt_status prepare(run *r, lvt_diag *diag) {
    const lvt_graph *g = r->graph;
    lvt_status status = r->file ? check_inputs(r, diag) : LVT_OK;
    r->steps = r->steps ? r->steps : 1;
    r->inputs = calloc(g->n_inputs + 1u, sizeof *r->inputs);
    r->outputs = calloc(g->n_outputs + 1u, sizeof *r->outputs);
    if (!r->inputs || !r->outputs)
        return lvt_no_memory(diag, NULL);
    for (uint32_t i = 0; i < g->n_inputs && status == LVT_OK && r->keep_inputs; i++)
        if (r->file ? lvt_safetensors_find(r->file, g->inputs[i].name) != NULL : !g->inputs[i].has_default)
            status =
                room(&r->inputs[i], g->inputs[i].name, lvt_value_type(g, g->inputs[i].value), r->steps, diag);
    for (uint32_t i = 0; i < g->n_outputs && status == LVT_OK && r->keep_outputs; i++)
        status =
            room(&r->outputs[i], g->outputs[i].name, lvt_value_type(g, g->outputs[i].value), r->steps, diag);
    return status;
}

static void keep(const lvt_stored_tensor *t, const lvt_type *one, int64_t step, const void *data) {
    size_t bytes = lvt_type_bytes(one);
    if (t->data)
        memcpy((char *)t->data + (size_t)step * bytes, data, bytes);
}

static void print_scalars(const run *r, int64_t step) {
    const lvt_graph *g = r->graph;
    lvt_print("step %lld:", (long long)step + 1);
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        const lvt_type *t = lvt_value_type(g, g->outputs[i].value);
        double x;
        if (t->rank)
            continue;
        lvt_tensor_load(&(lvt_tensor){*t, &x}, lvt_session_output(r->session, r->entry, (int)i));
        lvt_print(" %s %.9g", g->outputs[i].name, x);
    }
    lvt_print("\n");
}

static lvt_status one_step(run *r, int64_t step, lvt_diag *diag) {
    const lvt_graph *g = r->graph;
    void **made = r->file ? NULL : lvt_cmd_inputs(r->program, r->entry, r->seed + (uint64_t)step, diag);
    const void **inputs = calloc(g->n_inputs + 1u, sizeof *inputs);
    lvt_status status = !inputs ? lvt_no_memory(diag, NULL) : made || r->file ? LVT_OK : LVT_NOMEM;
    for (uint32_t i = 0; i < g->n_inputs && status == LVT_OK; i++) {
        const lvt_type *type = lvt_value_type(g, g->inputs[i].value);
        const lvt_stored_tensor *t = r->file ? lvt_safetensors_find(r->file, g->inputs[i].name) : NULL;
        if (made)
            inputs[i] = made[i];
        else if (t)
            inputs[i] = (const char *)t->data +
                        (lvt_type_equal(&t->type, type) ? 0 : (size_t)step * lvt_type_bytes(type));
        if (inputs[i])
            keep(&r->inputs[i], type, step, inputs[i]);
    }
    if (status == LVT_OK)
        status = lvt_session_run(r->session, r->entry, inputs, diag);
    for (uint32_t i = 0; i < g->n_outputs && status == LVT_OK; i++)
        keep(&r->outputs[i], lvt_value_type(g, g->outputs[i].value), step,
             lvt_session_output(r->session, r->entry, (int)i));
    if (status == LVT_OK)
        print_scalars(r, step);
    if (made)
        lvt_cmd_inputs_free(r->program, r->entry, made);
    free(inputs);
    return status;
}

/* Values of states by name. Tensors that are no states (those of a checkpoint's memory, say) are left alone.
 */
static lvt_status load_states(const run *r, const char *path, lvt_diag *diag) {
    lvt_safetensors file = {0};
    lvt_status status = lvt_safetensors_read(path, &file, diag);
    uint32_t missing = 0;
    const char *first = NULL;
    for (uint32_t i = 0; i < r->module->n_states && status == LVT_OK; i++) {
        const lvt_state *s = &r->module->states[i];
        const lvt_stored_tensor *t = lvt_safetensors_find(&file, s->name);
        char have[LVT_TYPE_TEXT], want[LVT_TYPE_TEXT];
        if (!t) {
            first = missing++ ? first : s->name;
            continue;
        }
        if (!lvt_type_equal(&t->type, &s->type))
            status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: %s is %s, the program has %s", path,
                               s->name, lvt_type_text(&t->type, have), lvt_type_text(&s->type, want));
        else
            memcpy(lvt_session_state(r->session, i), t->data, lvt_type_bytes(&t->type));
    }
    if (status == LVT_OK && missing && missing == r->module->n_states)
        status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                           "%s: no tensor is called like a state of the program", path);
    else if (status == LVT_OK && missing)
        lvt_warning(diag, NULL, LVT_NOWHERE,
                    "%s: %u of %u states are not there and keep their initial values, %s%s", path, missing,
                    r->module->n_states, first, missing > 1 ? " among them" : "");
    lvt_safetensors_free(&file);
    return status;
}

static lvt_status save(const char *path, lvt_stored_tensor *tensors, size_t n, lvt_diag *diag) {
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) /* the others are inputs left at their defaults */
        if (tensors[i].data) {
            lvt_stored_tensor t = tensors[i];
            tensors[i].data = NULL;
            tensors[kept++] = t;
        }
    return lvt_safetensors_write(NULL, path, NULL, tensors, kept, diag);
}

static lvt_status save_states(const run *r, const char *path, lvt_diag *diag) {
    const lvt_module *m = r->module;
    lvt_stored_tensor *t = calloc(m->n_states + 1u, sizeof *t);
    if (!t)
        return lvt_no_memory(diag, NULL);
    for (uint32_t i = 0; i < m->n_states; i++)
        t[i] = (lvt_stored_tensor){m->states[i].name, m->states[i].type, lvt_session_state(r->session, i)};
    lvt_status status = lvt_safetensors_write(NULL, path, NULL, t, m->n_states, diag);
    free(t);
    return status;
}

static const char about[] =
    "Runs an entry for some steps on tensors from a safetensors file and keeps what comes out: for feeding "
    "a\n"
    "program from another tool, and for comparing it with one. Prints the scalar outputs of every step.\n"
    "A tensor of the file is named as an input and has its type, or that with the steps as first dimension;\n"
    "inputs with a default may be missing. Without --inputs they are made up, as `lvt-run check` does.\n\n"
    "Example: lvt-run step lvt-s.lvtx --entry predict --inputs images.safetensors \\\n"
    "             --weights run/task-10.safetensors --save-outputs logits.safetensors";

lvt_status lvt_cmd_step(int argc, char **argv, lvt_diag *diag) {
    const char *entry_name = NULL, *cache = NULL, *inputs = NULL, *weights = NULL;
    const char *to_inputs = NULL, *to_outputs = NULL, *to_states = NULL;
    int threads = 0, steps = 0;
    bool interpret = false;
    run r = {.seed = 1};
    const lvt_option options[] = {
        {"entry", 'e', LVT_OPTION_TEXT, "NAME", "which entry (default: train, else the first)", &entry_name,
         0, 0, NULL},
        {"inputs", 'i', LVT_OPTION_TEXT, "FILE", "tensors named as the inputs (default: made up)", &inputs, 0,
         0, NULL},
        {"weights", 'w', LVT_OPTION_TEXT, "FILE",
         "values of states by name: a checkpoint, or what --save-states\nwrote (default: initial values)",
         &weights, 0, 0, NULL},
        {"steps", 'n', LVT_OPTION_INT, "N", "how many (default: as many as the file holds, else 1)", &steps,
         1, 1000000, NULL},
        {"save-outputs", 'o', LVT_OPTION_TEXT, "FILE",
         "the outputs of all steps, with the steps as first dimension", &to_outputs, 0, 0, NULL},
        {"save-states", 's', LVT_OPTION_TEXT, "FILE", "the states after the last step", &to_states, 0, 0,
         NULL},
        {"save-inputs", 0, LVT_OPTION_TEXT, "FILE", "the inputs of all steps", &to_inputs, 0, 0, NULL},
        {"threads", 't', LVT_OPTION_INT, "N", "threads (default: all processors)", &threads, 1, 1024, NULL},
        {"seed", 0, LVT_OPTION_SEED, "N", "of initial values and made-up inputs (default 1)", &r.seed, 0, 0,
         NULL},
        {"cache", 0, LVT_OPTION_TEXT, "FOLDER", "for machine code (default: the user's; \"\": none)", &cache,
         0, 0, NULL},
        {"interpret", 0, LVT_OPTION_FLAG, NULL, "run on the reference interpreter: slow", &interpret, 0, 0,
         NULL},
    };
    const lvt_usage usage = {"lvt-run step PROGRAM.lvtx [options]", about, options,
                             sizeof options / sizeof *options,      1,     1};
    lvt_arguments arguments;
    lvt_status status = lvt_arguments_parse(&usage, argc, argv, &arguments, diag);
    if (status != LVT_OK || arguments.done)
        return status;
    lvt_safetensors file = {0};
    if (inputs)
        status = lvt_safetensors_read(inputs, &file, diag);
    if (status == LVT_OK)
        status = lvt_program_open(
            arguments.values[0],
            &(lvt_program_options){
                .compile_apart = true, .cache = cache, .interpret = interpret, .threads = threads},
            &r.program, diag);
    if (status == LVT_OK)
        status = lvt_cmd_entry(r.program, entry_name, &r.entry, diag);
    if (status == LVT_OK) {
        r.module = lvt_program_compiled(r.program)->module;
        r.graph = r.module->entries[r.entry];
        r.steps = steps;
        r.file = inputs ? &file : NULL;
        r.path = inputs;
        r.keep_inputs = to_inputs != NULL;
        r.keep_outputs = to_outputs != NULL;
        status = prepare(&r, diag);
    }
    if (status == LVT_OK)
        status = lvt_session_new(
            r.program,
            &(lvt_session_options){.threads = threads, .seed = r.seed, .entries = &r.entry, .n_entries = 1},
            &r.session, diag);
    if (status == LVT_OK && weights)
        status = load_states(&r, weights, diag);
    for (int64_t k = 0; k < r.steps && status == LVT_OK; k++)
        status = one_step(&r, k, diag);
    uint32_t n_inputs = r.inputs ? r.graph->n_inputs : 0, n_outputs = r.outputs ? r.graph->n_outputs : 0;
    if (status == LVT_OK && to_inputs)
        status = save(to_inputs, r.inputs, n_inputs, diag);
    if (status == LVT_OK && to_outputs)
        status = save(to_outputs, r.outputs, n_outputs, diag);
    if (status == LVT_OK && to_states)
        status = save_states(&r, to_states, diag);
    for (uint32_t i = 0; i < n_inputs; i++)
        free((void *)r.inputs[i].data);
    for (uint32_t i = 0; i < n_outputs; i++)
        free((void *)r.outputs[i].data);
    free(r.inputs);
    free(r.outputs);
    lvt_safetensors_free(&file);
    lvt_session_free(r.session);
    lvt_program_close(r.program);
    return status;
}
