/* Runs an entry of a program for some steps on made-up inputs and writes all that went in and came out as
 * safetensors, for test_onnx.py to compare with.
 * usage: onnx_reference PROGRAM.lvtx ENTRY STEPS OUT.safetensors [WEIGHTS.safetensors] */
#include "ir/init.h"
#include "ir/safetensors.h"
#include "lvt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 4096 };

static lvt_stored_tensor tensors[MOST];
static size_t n_tensors;

static void keep(const char *kind, int step, const char *name, const lvt_type *t, const void *data) {
    char full[256];
    void *copy = malloc(lvt_type_bytes(t) + 1);
    snprintf(full, sizeof full, "%s.%d.%s", kind, step, name);
    if (!copy || n_tensors == MOST)
        exit(70);
    memcpy(copy, data, lvt_type_bytes(t));
    tensors[n_tensors++] = (lvt_stored_tensor){strdup(full), *t, copy};
}

/* Numbers in -1..1, labels in 0..9, masks of ones. */
static void *make_input(const lvt_input *in, const lvt_type *t, int step, uint32_t index) {
    int64_t n = lvt_numel(t);
    char *packed = malloc(lvt_type_bytes(t) + 1);
    for (int64_t i = 0; packed && i < n; i++) {
        uint32_t w[4];
        lvt_philox(7, (uint32_t)step, index, (uint32_t)i, 0, w);
        float f = strstr(in->name, "mask") ? 1 : (float)(w[0] / 2147483648.0 - 1);
        int32_t k = (int32_t)(w[0] % 10);
        memcpy(packed + 4 * i, t->dtype == LVT_F32 ? (void *)&f : (void *)&k, 4);
    }
    return packed;
}

int main(int argc, char **argv) {
    lvt_diag *d = lvt_diag_new();
    lvt_program *p = NULL;
    lvt_session *s = NULL;
    lvt_safetensors w = {0};
    if (argc < 5)
        return 2;
    lvt_program_options options = {.cache = "", .threads = 2};
    lvt_status status = lvt_program_open(argv[1], &options, &p, d);
    if (!status)
        status = lvt_session_new(p, &(lvt_session_options){.seed = 1}, &s, d);
    if (!status && argc > 5)
        status = lvt_safetensors_read(argv[5], &w, d);
    int e = status ? -1 : lvt_entry_find(p, argv[2]);
    if (e >= 0) {
        const lvt_module *m = lvt_program_compiled(p)->module;
        const lvt_graph *g = m->entries[e];
        for (uint32_t i = 0; i < m->n_states && argc > 5; i++) {
            const lvt_stored_tensor *t = lvt_safetensors_find(&w, m->states[i].name);
            if (t)
                memcpy(lvt_session_state(s, i), t->data, lvt_type_bytes(&t->type));
        }
        for (int step = 0; step < atoi(argv[3]) && !status; step++) {
            const void *inputs[64] = {0};
            void *made[64] = {0};
            for (uint32_t i = 0; i < g->n_inputs; i++) {
                const lvt_input *in = &g->inputs[i];
                const lvt_type *t = lvt_value_type(g, in->value);
                if (in->has_default)
                    continue;
                inputs[i] = made[i] = make_input(in, t, step, i);
                keep("in", step, in->name, t, inputs[i]);
            }
            status = lvt_session_run(s, e, inputs, d);
            for (uint32_t i = 0; i < g->n_outputs && !status; i++)
                keep("out", step, g->outputs[i].name, lvt_value_type(g, g->outputs[i].value),
                     lvt_session_output(s, e, (int)i));
            for (uint32_t i = 0; i < g->n_inputs; i++)
                free(made[i]);
        }
        for (uint32_t i = 0; i < m->n_states && !status; i++)
            keep("state", 0, m->states[i].name, &m->states[i].type, lvt_session_state(s, i));
        if (!status)
            status = lvt_safetensors_write(argv[4], NULL, tensors, n_tensors, d);
    }
    char *text = lvt_diag_text(d);
    fputs(text ? text : "out of memory", stderr);
    free(text);
    for (size_t i = 0; i < n_tensors; i++) {
        free((void *)tensors[i].name);
        free((void *)tensors[i].data);
    }
    lvt_safetensors_free(&w);
    lvt_session_free(s);
    lvt_program_close(p);
    lvt_diag_free(d);
    return e < 0 || status ? 1 : 0;
}
