/* A user's program: opens a compiled program, makes a session, runs a training step and a prediction. Built
 * by test_install.sh against the installed library. May not know: anything but the installed headers. */
#include <lvt.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static lvt_diag *diag;

static void check(lvt_status status) {
    if (status == LVT_OK)
        return;
    char *text = lvt_diag_text(diag);
    fprintf(stderr, "%s\n", text ? text : "out of memory");
    exit(lvt_exit_code(status));
}

/* Runs an entry on zeros (labels 0, mask all ones) and returns its first output's first number. */
static float run(lvt_program *p, lvt_session *s, const char *name) {
    int entry = lvt_entry_find(p, name);
    if (entry < 0) {
        fprintf(stderr, "no entry %s\n", name);
        exit(1);
    }
    const lvt_graph *g = lvt_program_compiled(p)->module->entries[entry];
    const void **inputs = calloc(g->n_inputs, sizeof *inputs);
    for (uint32_t i = 0; i < g->n_inputs; i++) {
        if (g->inputs[i].has_default)
            continue; /* NULL: the default */
        const lvt_type *type = lvt_value_type(g, g->inputs[i].value);
        float *data = calloc(1, lvt_type_bytes(type));
        if (type->dtype == LVT_F32) {
            for (int64_t k = 0; k < lvt_numel(type); k++)
                data[k] = type->rank > 1 ? (float)(k % 17) / 17 : 1;
        }
        inputs[i] = data;
    }
    check(lvt_session_run(s, entry, inputs, diag));
    for (uint32_t i = 0; i < g->n_inputs; i++)
        free((void *)inputs[i]);
    free(inputs);
    return *(const float *)lvt_session_output(s, entry, 0);
}

int main(int argc, char **argv) {
    if (argc != 2)
        return 2;
    diag = lvt_diag_new();
    lvt_program *program;
    lvt_session *session;
    check(lvt_program_open(argv[1], NULL, &program, diag));
    check(lvt_session_new(program, &(lvt_session_options){.threads = 1, .seed = 1}, &session, diag));
    float first = run(program, session, "train_new"), loss = first;
    for (int i = 0; i < 5; i++)
        loss = run(program, session, "train_new");
    float logit = run(program, session, "predict");
    printf("lvt %s: loss %.4f, after 5 more steps %.4f, logit %.4f\n", lvt_version(), first, loss, logit);
    lvt_session_free(session);
    lvt_program_close(program);
    lvt_diag_free(diag);
    return isfinite(first) && isfinite(logit) && loss < first ? 0 : 1;
}
