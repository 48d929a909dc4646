/* A program with the state of a checkpoint in it. May not know: what is done with it. */
#include "checkpoint.h"

#include <stdio.h>

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
    else
        lvt_trained_close(t);
    lvt_safetensors_free(&file);
    return status;
}
