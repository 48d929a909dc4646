/* A program with the state of a checkpoint in it. May not know: what is done with it. */
#include "checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

lvt_status lvt_parse_size(const char *text, lvt_dataset_options *out, lvt_diag *diag) {
    int end = 0;
    *out = (lvt_dataset_options){0};
    if (!text)
        return LVT_OK;
    if (sscanf(text, "%dx%d%n", &out->resize_height, &out->resize_width, &end) != 2 || text[end] ||
        out->resize_height < 1 || out->resize_width < 1 || out->resize_height > 4096 ||
        out->resize_width > 4096)
        return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE,
                         "--resize: \"%s\" is not HEIGHTxWIDTH, such as 32x32", text);
    return LVT_OK;
}

/* Images that were trained on score higher than new ones will: better than nothing, and said. */
static lvt_status known_by_memory(lvt_trained *t, const lvt_safetensors *file, const char *path,
                                  lvt_diag *diag) {
    const lvt_model *m = &t->model;
    const lvt_stored_tensor *kept = lvt_safetensors_find(file, "lvt:memory.images");
    size_t bytes = (size_t)m->height * (size_t)m->width * (size_t)m->channels;
    uint32_t n = kept && kept->type.rank == 4 && lvt_type_bytes(&kept->type) % bytes == 0
                     ? (uint32_t)(lvt_type_bytes(&kept->type) / bytes)
                     : 0;
    if (!n) {
        lvt_status status =
            lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                      "%s has neither a threshold of what is known nor remembered images", path);
        lvt_note(diag, LVT_NOWHERE, "--unknown needs one: take a checkpoint of the end of a task, task-NN");
        return status;
    }
    lvt_warning(diag, NULL, LVT_NOWHERE,
                "%s has no threshold of what is known: it is made from its %u remembered images, which score "
                "higher than new ones, so more than %.0f%% of known pictures may be refused",
                path, n, 100 * (1 - LVT_KNOWN_ACCEPT));
    uint32_t *index = malloc(n * sizeof *index);
    bool *seen = malloc((size_t)m->classes * sizeof *seen);
    lvt_status status = index && seen ? LVT_OK : lvt_no_memory(diag, NULL);
    for (uint32_t i = 0; i < n && status == LVT_OK; i++)
        index[i] = i;
    if (status == LVT_OK)
        lvt_checkpoint_seen(&t->info, seen);
    const lvt_images images = {.pixels = (uint8_t *)kept->data, .n = n};
    if (status == LVT_OK)
        status = lvt_known_measure(&t->model, &t->augment, &images, index, n, seen, LVT_KNOWN_ACCEPT, NULL,
                                   &t->known, diag);
    t->known_of = "remembered images";
    free(index);
    free(seen);
    return status;
}

void lvt_trained_close(lvt_trained *t) {
    lvt_checkpoint_info_free(&t->info);
    lvt_model_close(&t->model);
}

lvt_status lvt_trained_open(lvt_trained *t, const char *program, const lvt_trained_options *o,
                            lvt_diag *diag) {
    *t = (lvt_trained){0};
    lvt_safetensors file = {0};
    /* The file first: it is cheap, and a wrong one should not cost the making of kernels. */
    lvt_status status = lvt_safetensors_read(o->checkpoint, &file, diag);
    if (status == LVT_OK)
        status = lvt_checkpoint_info_read(&file, o->checkpoint, &t->info, diag);
    if (status == LVT_OK)
        status = lvt_model_open(/* all its states are in the checkpoint */
                                &t->model, program,
                                &(lvt_program_options){
                                    .threads = o->threads, .interpret = o->interpret, .no_weights = true},
                                0, false, diag);
    if (status == LVT_OK)
        status = lvt_checkpoint_load_model(&t->model, &file, &t->info, o->checkpoint, diag);
    if (status == LVT_OK)
        lvt_checkpoint_augment(&t->info, &t->model, &t->augment);
    t->known = t->info.known;
    t->known_of = t->info.known_held ? "validation images" : "test images";
    if (status == LVT_OK && o->known && isnan(t->known.threshold))
        status = known_by_memory(t, &file, o->checkpoint, diag);
    if (status != LVT_OK)
        lvt_trained_close(t);
    lvt_safetensors_free(&file);
    return status;
}
