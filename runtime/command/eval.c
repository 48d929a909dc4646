/* lvt-run eval: accuracy of a checkpoint on the test images, in each scenario.
 * May not know: training. */
#include "command.h"
#include "runtime/continual/checkpoint.h"
#include "checkpoint.h"
#include "ir/program/json.h"
#include "ir/base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct accuracy { /* of a task; NaN: the data have no images of it */
    double class_il, task_il;
    size_t images;
} accuracy;

/* Over the tasks that have images. */
static accuracy mean_of(const accuracy *a, int n) {
    accuracy mean = {0};
    int with = 0;
    for (int j = 0; j < n; j++)
        with += a[j].images > 0;
    for (int j = 0; j < n; j++) {
        mean.images += a[j].images;
        mean.class_il += a[j].images ? a[j].class_il / with : 0;
        mean.task_il += a[j].images ? a[j].task_il / with : 0;
    }
    return mean;
}

static void print_text(const lvt_checkpoint_info *info, const accuracy *a, int n, const lvt_dataset *d,
                       bool all) {
    accuracy mean = mean_of(a, n);
    int scenarios = lvt_scenarios(&info->tasks);
    lvt_print("%s after %d of %d tasks, on %s%zu %s of %s\n", info->program, n, info->tasks.n,
              all ? "all " : "", all ? d->test.n : mean.images, all ? "pictures" : "test images", d->name);
    if (all && mean.images < d->test.n)
        lvt_print("%zu of them are of classes that were not learned yet: they are left out\n",
                  d->test.n - mean.images);
    lvt_print("\n%6s", "task");
    for (int s = 0; s < scenarios; s++)
        lvt_print("%11s", lvt_scenario_name(&info->tasks, s));
    lvt_print("%8s  %s\n", "images", info->tasks.domains ? "domain" : "classes");
    for (int j = 0; j < n; j++) {
        char *labels = info->tasks.domains ? strdup(d->domain_names[j]) : lvt_task_labels(&info->tasks, j);
        lvt_print("%6d", j + 1);
        for (int s = 0; s < scenarios; s++) {
            if (a[j].images)
                lvt_print("%10.2f%%", 100 * (s ? a[j].task_il : a[j].class_il));
            else
                lvt_print("%11s", "-");
        }
        lvt_print("%8zu  %s\n", a[j].images, labels ? labels : "");
        free(labels);
    }
    lvt_print("%6s", "mean");
    for (int s = 0; s < scenarios; s++)
        lvt_print("%10.2f%%", 100 * (s ? mean.task_il : mean.class_il));
    lvt_print("%8zu\n", mean.images);
}

static bool print_json(const lvt_checkpoint_info *info, const accuracy *a, int n) {
    cJSON *o = cJSON_CreateObject(), *list = cJSON_CreateArray();
    accuracy mean = mean_of(a, n);
    cJSON_AddStringToObject(o, "program", info->program);
    cJSON_AddNumberToObject(o, "tasks_learned", n);
    for (int j = 0; j < n; j++) {
        cJSON *r = cJSON_CreateObject();
        cJSON_AddNumberToObject(r, "task", j + 1);
        cJSON_AddItemToObject(r, "classes",
                              cJSON_CreateIntArray(info->tasks.order + lvt_task_begin(&info->tasks, j),
                                                   lvt_task_size(&info->tasks, j)));
        cJSON_AddNumberToObject(r, "images", (double)a[j].images);
        cJSON_AddNumberToObject(r, "class_il", a[j].class_il); /* NaN becomes null */
        cJSON_AddNumberToObject(r, "task_il", a[j].task_il);
        cJSON_AddItemToArray(list, r);
    }
    cJSON_AddItemToObject(o, "per_task", list);
    cJSON_AddNumberToObject(o, "images", (double)mean.images);
    cJSON_AddNumberToObject(o, "class_il", mean.class_il);
    cJSON_AddNumberToObject(o, "task_il", mean.task_il);
    char *text = lvt_json_text(o, true);
    cJSON_Delete(o);
    if (text)
        lvt_print("%s\n", text);
    free(text);
    return text != NULL;
}

/* Tasks that are domains are found in the data; labels mean what the data say. */
static lvt_status fits(const lvt_checkpoint_info *info, const char *path, const lvt_dataset *d,
                       lvt_diag *diag) {
    if (info->tasks.domains && d->domains != info->tasks.n) {
        lvt_status status =
            lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "the checkpoint's tasks are %d domains, %s has %d",
                      info->tasks.n, d->name, d->domains);
        lvt_note(diag, LVT_NOWHERE, "give the --data that the run was trained on; settings.json has it");
        return status;
    }
    lvt_checkpoint_compare_names(info, path, d, diag);
    return LVT_OK;
}

static int class_of(const lvt_checkpoint_info *info, const char *name) {
    int c = 0;
    while (c < info->tasks.classes && strcmp(info->class_names[c], name))
        c++;
    return c < info->tasks.classes ? c : -1;
}

/* A folder may have some of the classes, in any order: its pictures are of the classes of the same names. Data
 * that call one otherwise are left as they are; *unknown is its name then, else NULL. */
static lvt_status name_classes(const lvt_checkpoint_info *info, lvt_dataset *d, const char **unknown,
                               lvt_diag *diag) {
    int n = info->tasks.classes;
    *unknown = NULL;
    for (int c = d->classes; c-- > 0;)
        *unknown = class_of(info, d->class_names[c]) < 0 ? d->class_names[c] : *unknown;
    if (info->tasks.domains || d->domains || *unknown)
        return LVT_OK;
    char **names = calloc((size_t)n, sizeof *names);
    bool ok = names != NULL;
    for (int c = 0; c < n && ok; c++)
        ok = (names[c] = strdup(info->class_names[c])) != NULL;
    if (!ok) {
        for (int c = 0; c < n && names; c++)
            free(names[c]);
        free(names);
        return lvt_no_memory(diag, NULL);
    }
    for (size_t i = 0; i < d->test.n; i++)
        d->test.labels[i] = class_of(info, d->class_names[d->test.labels[i]]);
    for (int c = 0; c < d->classes; c++)
        free(d->class_names[c]);
    free(d->class_names);
    d->class_names = names;
    d->classes = n;
    return LVT_OK;
}

static lvt_status evaluate(lvt_trained *t, const char *path, lvt_dataset *d, bool json, lvt_diag *diag) {
    const lvt_checkpoint_info *info = &t->info;
    /* Where nobody said which pictures are for tests, all are: but of the data that it was trained on those that
     * it was not. */
    const char *unknown = NULL;
    bool all = d->fifths && d->fingerprint != info->fingerprint;
    lvt_status status = all ? lvt_dataset_join(d, diag) : LVT_OK;
    if (status == LVT_OK)
        status = name_classes(info, d, &unknown, diag);
    if (status == LVT_OK)
        status = lvt_model_fits(&t->model, d, diag);
    if (status == LVT_USER && unknown && d->classes != info->tasks.classes) {
        const char *near =
            lvt_nearest(unknown, (const char *const *)info->class_names, (size_t)info->tasks.classes);
        lvt_note(diag, LVT_NOWHERE, "%s knows no class \"%s\"%s%s%s", path, unknown,
                 near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    }
    if (status == LVT_OK)
        status = fits(info, path, d, diag);
    if (status != LVT_OK)
        return status;
    int n = lvt_checkpoint_learned(info);
    accuracy *a = calloc((size_t)n, sizeof *a);
    if (!a)
        return lvt_no_memory(diag, NULL);
    for (size_t i = 0; i < d->test.n; i++) {
        int j = lvt_task_of_image(&info->tasks, &d->test, i);
        if (j < n)
            a[j].images++;
    }
    if (!mean_of(a, n).images)
        status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                           "none of the images is of a class that %s has learned", path);
    for (int j = 0; j < n && status == LVT_OK; j++)
        status = lvt_evaluate_task(&t->model, &t->augment, (lvt_part){&d->test, NULL, false}, &info->tasks, j,
                                   n, NULL, NULL, &a[j].class_il, &a[j].task_il, diag);
    if (status == LVT_OK && lvt_at_chance(&info->tasks, (lvt_part){&d->test, NULL, false}, n, n, &a->class_il,
                                          &a->task_il, sizeof *a / sizeof a->class_il))
        lvt_cmd_chance(diag);
    if (status == LVT_OK && !json)
        print_text(info, a, n, d, all);
    if (status == LVT_OK && json && !print_json(info, a, n))
        status = lvt_no_memory(diag, NULL);
    free(a);
    return status;
}

lvt_status lvt_cmd_eval(int argc, char **argv, lvt_diag *diag) {
    lvt_trained_options o = {0};
    const char *spec = NULL;
    bool json = false, skip = false;
    const lvt_option rows[] = {
        {"checkpoint", 'c', LVT_OPTION_TEXT, "FILE", "checkpoint of lvt-run train (needed)", &o.checkpoint, 0,
         0, NULL},
        {"data", 'd', LVT_OPTION_TEXT, "KIND[:DIR]", "the test images, as `lvt-run train` has them (needed)",
         &spec, 0, 0, NULL},
        {"json", 'j', LVT_OPTION_FLAG, NULL, "print JSON", &json, 0, 0, NULL},
        {"skip-broken", 0, LVT_OPTION_FLAG, NULL, "leave out pictures of folders that cannot be read", &skip,
         0, 0, NULL},
        {"resize", 0, LVT_OPTION_TEXT, "HxW", "scale the images to one size", &o.resize, 0, 0, NULL},
        {"threads", 't', LVT_OPTION_INT, "N", "0: all processors (0)", &o.threads, 0, 1024, NULL},
        {"interpret", 0, LVT_OPTION_FLAG, NULL, "run on the reference interpreter: slow", &o.interpret, 0, 0,
         NULL},
    };
    const lvt_usage usage = {
        "lvt-run eval PROGRAM.lvtx --checkpoint FILE --data KIND[:DIR]",
        "Measures a trained model on the test images of the tasks that it has learned: Class-IL (the answer "
        "may be\n"
        "any class seen so far) and Task-IL (any class of the image's own task), for domains Domain-IL (any\n"
        "class), for each task and on average. Of a folder that is not split into train/ and test/ all "
        "pictures are\n"
        "taken (of the very folder that it was trained on, the test images), and classes go by their names.\n"
        "  lvt-run eval lvt-s.lvtx --checkpoint run/task-10.safetensors --data cifar100:DIR",
        rows,
        sizeof rows / sizeof *rows,
        1,
        1};
    lvt_arguments arguments;
    lvt_status status = lvt_arguments_parse(&usage, argc, argv, &arguments, diag);
    if (status != LVT_OK || arguments.done)
        return status;
    if (!o.checkpoint || !spec)
        return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "--%s is missing",
                         o.checkpoint ? "data" : "checkpoint");
    lvt_dataset_options size;
    lvt_trained trained;
    lvt_dataset *d = NULL;
    status = lvt_parse_size(o.resize, &size, diag);
    if (status == LVT_OK)
        status = lvt_trained_open(&trained, arguments.values[0], &o, diag);
    if (status != LVT_OK)
        return status;
    size.channels = trained.model.channels;
    size.asks = true;
    size.skip_broken = skip;
    status = lvt_dataset_open(spec, &size, &d, diag);
    if (status == LVT_OK)
        status = evaluate(&trained, o.checkpoint, d, json, diag);
    lvt_dataset_free(d);
    lvt_trained_close(&trained);
    return status;
}
