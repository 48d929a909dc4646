/* lvt-run predict: names what is in pictures. May not know: training. */
#include "command.h"
#include "checkpoint.h"
#include "runtime/data/image.h"
#include "ir/program/json.h"
#include "ir/base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOP = 5 };

typedef struct answers {
    const lvt_checkpoint_info *info;
    char **paths;
    cJSON *json; /* NULL: print text */
    bool *seen;
} answers;

static void show_one(void *user, uint32_t i, const float *logits, const float *injection) {
    answers *a = user;
    (void)injection;
    int classes = a->info->tasks.classes, best[TOP], n = 0;
    bool left[classes];
    memcpy(left, a->seen, sizeof left);
    while (n < TOP && (best[n] = lvt_argmax(logits, left, classes)) >= 0)
        left[best[n++]] = false;
    double sum = 0;
    for (int c = 0; c < classes; c++)
        sum += a->seen[c] && n ? exp((double)logits[c] - logits[best[0]]) : 0;
    cJSON *o = a->json ? cJSON_CreateObject() : NULL, *list = o ? cJSON_AddArrayToObject(o, "classes") : NULL;
    if (o) {
        cJSON_AddStringToObject(o, "picture", a->paths[i]);
        cJSON_AddItemToArray(a->json, o);
    } else {
        lvt_print("%s%s\n", i ? "\n" : "", a->paths[i]);
    }
    for (int k = 0; k < n; k++) {
        double p = exp((double)logits[best[k]] - logits[best[0]]) / sum;
        if (o) {
            cJSON *r = cJSON_CreateObject();
            cJSON_AddNumberToObject(r, "class", best[k]);
            cJSON_AddStringToObject(r, "name", a->info->class_names[best[k]]);
            cJSON_AddNumberToObject(r, "probability", p);
            cJSON_AddItemToArray(list, r);
        } else {
            lvt_print("%7.2f%%  %s\n", 100 * p, a->info->class_names[best[k]]);
        }
    }
}

static lvt_status read_pictures(const lvt_model *m, char **paths, int n, bool resize, uint8_t *pixels,
                                lvt_diag *diag) {
    size_t bytes = (size_t)m->height * (size_t)m->width * (size_t)m->channels;
    for (int i = 0; i < n; i++) {
        lvt_picture p;
        lvt_status status = lvt_picture_read(paths[i], m->channels, &p, diag);
        if (status == LVT_OK && resize)
            status = lvt_picture_resize(&p, m->height, m->width, diag);
        if (status == LVT_OK && (p.height != m->height || p.width != m->width)) {
            status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                               "%s: the picture has %dx%d pixels, the model takes %dx%d", paths[i], p.height,
                               p.width, m->height, m->width);
            lvt_note(diag, LVT_NOWHERE, "--resize scales pictures to the model's size");
        }
        if (status == LVT_OK)
            memcpy(pixels + (size_t)i * bytes, p.pixels, bytes);
        free(p.pixels);
        if (status != LVT_OK)
            return status;
    }
    return LVT_OK;
}

static lvt_status predict(lvt_trained *t, char **paths, int n, bool resize, bool json, lvt_diag *diag) {
    lvt_model *m = &t->model;
    const lvt_tasks *tasks = &t->info.tasks;
    if (m->channels != 1 && m->channels != 3)
        return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                         "the model takes images of %d channels, pictures have 1 or 3", m->channels);
    size_t bytes = (size_t)m->height * (size_t)m->width * (size_t)m->channels;
    uint8_t *pixels = malloc((size_t)n * bytes);
    uint32_t *index = malloc((size_t)n * sizeof *index);
    answers a = {&t->info, paths, json ? cJSON_CreateArray() : NULL,
                 calloc((size_t)tasks->classes, sizeof(bool))};
    lvt_status status = LVT_NOMEM;
    if (pixels && index && a.seen && (a.json || !json)) {
        for (int i = 0; i < n; i++)
            index[i] = (uint32_t)i;
        for (int c = 0; c < tasks->classes; c++)
            a.seen[c] = tasks->task_of[c] < lvt_checkpoint_learned(&t->info);
        lvt_images images = {pixels, NULL, (size_t)n};
        status = read_pictures(m, paths, n, resize, pixels, diag);
        if (status == LVT_OK)
            status =
                lvt_predict_images(m, &t->augment, &images, index, (uint32_t)n, NULL, show_one, &a, diag);
        char *text = status == LVT_OK && json ? lvt_json_text(a.json, true) : NULL;
        if (text)
            lvt_print("%s\n", text);
        else if (status == LVT_OK && json)
            status = LVT_NOMEM;
        free(text);
    }
    if (status == LVT_NOMEM)
        lvt_no_memory(diag, NULL);
    cJSON_Delete(a.json);
    free(a.seen);
    free(index);
    free(pixels);
    return status;
}

lvt_status lvt_cmd_predict(int argc, char **argv, lvt_diag *diag) {
    lvt_trained_options o = {0};
    bool json = false, resize = false;
    const lvt_option rows[] = {
        {"checkpoint", 'c', LVT_OPTION_TEXT, "FILE", "checkpoint of lvt-run train (needed)", &o.checkpoint, 0,
         0, NULL},
        {"resize", 0, LVT_OPTION_FLAG, NULL, "scale pictures to the model's size", &resize, 0, 0, NULL},
        {"json", 'j', LVT_OPTION_FLAG, NULL, "print JSON", &json, 0, 0, NULL},
        {"threads", 't', LVT_OPTION_INT, "N", "0: all processors (0)", &o.threads, 0, 1024, NULL},
        {"interpret", 0, LVT_OPTION_FLAG, NULL, "run on the reference interpreter: slow", &o.interpret, 0, 0,
         NULL},
    };
    const lvt_usage usage = {"lvt-run predict PROGRAM.lvtx --checkpoint FILE PICTURE...",
                             "Says what is in PNG or JPEG pictures: the five most probable of the classes "
                             "learned so far, with their\n"
                             "probabilities (of the accumulation classifier).\n"
                             "  lvt-run predict lvt-s.lvtx --checkpoint run/task-10.safetensors picture.png",
                             rows,
                             sizeof rows / sizeof *rows,
                             2,
                             -1};
    lvt_arguments arguments;
    lvt_status status = lvt_arguments_parse(&usage, argc, argv, &arguments, diag);
    if (status != LVT_OK || arguments.done)
        return status;
    if (!o.checkpoint)
        return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "--checkpoint is missing");
    lvt_trained trained;
    status = lvt_trained_open(&trained, arguments.values[0], &o, diag);
    if (status != LVT_OK)
        return status;
    status = predict(&trained, arguments.values + 1, arguments.n - 1, resize, json, diag);
    lvt_trained_close(&trained);
    return status;
}
