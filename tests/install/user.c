/* A program that trains: opens a compiled model, trains it on made-up pictures, asks it about others.
 *     lvtc lvt-tiny.lvt && cc user.c $(pkg-config --cflags --libs lvt) -o user && ./user lvt-tiny.lvtx */
#include <lvt.h>

#include <stdio.h>
#include <stdlib.h>

static lvt_diag *diag; /* where the library leaves its words */

static void check(lvt_status status) {
    if (status == LVT_OK)
        return;
    char *text = lvt_diag_text(diag);
    fprintf(stderr, "%s", text ? text : "out of memory\n");
    exit(lvt_exit_code(status));
}

/* Noise, and for each class a bright spot in a place of its own. */
static void make_up(float *x, int32_t *y, int64_t images, int64_t pixels, int64_t classes) {
    for (int64_t i = 0; i < images; i++) {
        y[i] = (int32_t)(rand() % classes);
        for (int64_t k = 0; k < pixels; k++)
            x[i * pixels + k] = (float)rand() / (float)RAND_MAX + (k == y[i] * pixels / classes ? 2 : 0);
    }
}

int main(int argc, char **argv) {
    lvt_program *program;
    lvt_session *session;
    diag = lvt_diag_new();
    check(lvt_program_open(argc > 1 ? argv[1] : "lvt-tiny.lvtx", NULL, &program, diag));
    /* Memory, initial values and the kernels of all entries: what takes time, or can fail, is done here. */
    check(lvt_session_new(program, &(lvt_session_options){.seed = 1}, &session, diag));

    /* How entries and their inputs are called is said by the model file, and by `lvt-run info PROGRAM`. */
    int train = lvt_entry_find(program, "train_new"), predict = lvt_entry_find(program, "predict");
    int x = lvt_entry_input(program, train, "x"), mask = lvt_entry_input(program, train, "mask");
    lvt_type pictures = lvt_program_input(program, train, x).type;
    int64_t batch = pictures.dim[0], pixels = lvt_numel(&pictures) / batch;
    int64_t asked = lvt_program_input(program, predict, 0).type.dim[0], most = asked > batch ? asked : batch;
    int64_t classes = lvt_program_input(program, train, mask).type.dim[0];
    float *images = malloc((size_t)(most * pixels) * sizeof *images);
    int32_t *labels = malloc((size_t)most * sizeof *labels);
    float *all = malloc((size_t)classes * sizeof *all);
    for (int64_t c = 0; c < classes; c++)
        all[c] = 1; /* every class counts in the loss */

    /* One pointer an input, to packed elements; NULL takes the default that the model gives it. */
    const void **inputs = calloc((size_t)lvt_program_entry(program, train).n_inputs, sizeof *inputs);
    inputs[x] = images;
    inputs[lvt_entry_input(program, train, "y")] = labels;
    inputs[mask] = all;
    for (int step = 1; step <= 200; step++) {
        make_up(images, labels, batch, pixels, classes);
        check(lvt_session_run(session, train, inputs, diag));
        if (step == 1 || step % 50 == 0)
            printf("step %3d: loss %.4f\n", step, *(const float *)lvt_session_output(session, train, 0));
    }

    make_up(images, labels, asked, pixels, classes);
    check(lvt_session_run(session, predict, (const void *[]){images}, diag));
    const float *logits = lvt_session_output(session, predict, lvt_entry_output(program, predict, "logits"));
    int right = 0;
    for (int64_t i = 0, best = 0; i < asked; i++, best = 0) {
        for (int64_t c = 1; c < classes; c++)
            best = logits[i * classes + c] > logits[i * classes + best] ? c : best;
        right += best == labels[i];
    }
    printf("of %d new pictures it knows %d\n", (int)asked, right);
    lvt_session_free(session);
    lvt_program_close(program);
    lvt_diag_free(diag);
    return right * 10 < asked * 9; /* 0: nine of ten or more */
}
