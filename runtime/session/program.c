/* Programs: a compiled file, read and verified, and what its sessions share.
 *
 * Invariant: nothing of a program changes after it is opened but its cache of machine code, which has a lock.
 * May not know: how kernels work, what a session does. */
#include "internal.h"
#include "ir/program/weights.h"

#include <stdlib.h>
#include <string.h>

lvt_status lvt_program_new(lvt_compiled *compiled, const char *name, const lvt_program_options *options,
                           lvt_program **out, lvt_diag *diag) {
    *out = NULL;
    lvt_program_options defaults = {0};
    options = options ? options : &defaults;
    lvt_program *p = calloc(1, sizeof *p);
    char *copy = strdup(name);
    if (!p || !copy || pthread_mutex_init(&p->lock, NULL) != 0) {
        free(p);
        free(copy);
        lvt_compiled_free(compiled);
        return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "%s: out of memory", name);
    }
    p->compiled = compiled;
    p->name = copy;
    p->interpret = options->interpret;
    p->threads = options->threads;
    lvt_status status =
        p->interpret ? LVT_OK : lvt_jit_new(options->cache, options->compile_apart, &p->jit, diag);
    const char *kernels = options->kernels ? options->kernels : getenv("LVT_KERNELS");
    if (status == LVT_OK && p->jit && kernels && *kernels && lvt_jit_look_in(p->jit, kernels) != LVT_OK)
        status = lvt_no_memory(diag, name);
    if (status != LVT_OK) {
        lvt_program_close(p);
        return status;
    }
    *out = p;
    return LVT_OK;
}

lvt_status lvt_program_open(const char *path, const lvt_program_options *options, lvt_program **out,
                            lvt_diag *diag) {
    *out = NULL;
    lvt_compiled *compiled = NULL;
    double begin = lvt_seconds();
    lvt_status status = LVT_OK;
    /* Another process may take the program's place, and its values away, between two readings: then the new
     * one is read. */
    uint64_t before = 0;
    for (bool again = true; again && status == LVT_OK;) {
        again = false;
        status = lvt_program_read(path, &compiled, diag);
        if (status == LVT_OK && options && options->weights)
            status = lvt_weights_load(compiled->module, options->weights, options->map, diag);
        if (status != LVT_OK || (options && options->no_weights))
            break;
        bool fresh = before != compiled->hash;
        before = compiled->hash;
        status = lvt_weights_read(compiled->module, path, fresh ? NULL : diag);
        if (fresh && (status == LVT_USER || status == LVT_IO)) {
            lvt_compiled_free(compiled);
            compiled = NULL;
            status = LVT_OK;
            again = true;
        }
    }
    double seconds = lvt_seconds() - begin;
    if (status != LVT_OK) {
        if (compiled)
            lvt_compiled_free(compiled);
        return status;
    }
    status = lvt_program_new(compiled, path, options, out, diag);
    if (status == LVT_OK)
        (*out)->read_seconds = seconds;
    return status;
}

void lvt_program_close(lvt_program *p) {
    if (!p)
        return;
    if (p->jit)
        lvt_jit_free(p->jit);
    lvt_compiled_free(p->compiled);
    pthread_mutex_destroy(&p->lock);
    free(p->name);
    free(p);
}

lvt_status lvt_program_pack(lvt_program *p, const char *path, lvt_diag *diag) {
    lvt_module *m = p->compiled->module;
    for (uint32_t i = 0; i < m->n_states; i++) { /* values that it was opened with come along */
        lvt_state *s = &m->states[i];
        if (s->values)
            s->init = lvt_weights_init(s->values, lvt_type_bytes(&s->type));
    }
    LVT_TRY(lvt_program_publish(p->compiled, path, diag));
    return lvt_jit_seal(p->jit, diag);
}

const lvt_compiled *lvt_program_compiled(const lvt_program *p) {
    return p->compiled;
}
