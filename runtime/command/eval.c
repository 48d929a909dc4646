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

typedef struct accuracy {
    double class_il, task_il;
} accuracy;

static void print_text(const lvt_checkpoint_info *info, const accuracy *a, int n, const lvt_dataset *d) {
    double mean[2] = {0};
    int scenarios = lvt_scenarios(&info->tasks);
    lvt_print("%s after %d of %d tasks, on the test images of %s\n\n%6s", info->program, n, info->tasks.n,
              d->name, "task");
    for (int s = 0; s < scenarios; s++)
        lvt_print("%11s", lvt_scenario_name(&info->tasks, s));
    lvt_print("  %s\n", info->tasks.domains ? "domain" : "classes");
    for (int j = 0; j < n; j++) {
        char *labels = info->tasks.domains ? strdup(d->domain_names[j]) : lvt_task_labels(&info->tasks, j);
        lvt_print("%6d", j + 1);
        for (int s = 0; s < scenarios; s++) {
            double v = s ? a[j].task_il : a[j].class_il;
            mean[s] += v / n;
            lvt_print("%10.2f%%", 100 * v);
        }
        lvt_print("  %s\n", labels ? labels : "");
        free(labels);
    }
    lvt_print("%6s", "mean");
    for (int s = 0; s < scenarios; s++)
        lvt_print("%10.2f%%", 100 * mean[s]);
    lvt_print("\n");
}

static bool print_json(const lvt_checkpoint_info *info, const accuracy *a, int n) {
    cJSON *o = cJSON_CreateObject(), *list = cJSON_CreateArray();
    double c = 0, t = 0;
    cJSON_AddStringToObject(o, "program", info->program);
    cJSON_AddNumberToObject(o, "tasks_learned", n);
    for (int j = 0; j < n; j++) {
        cJSON *r = cJSON_CreateObject();
        cJSON_AddNumberToObject(r, "task", j + 1);
        cJSON_AddItemToObject(r, "classes",
                              cJSON_CreateIntArray(info->tasks.order + lvt_task_begin(&info->tasks, j),
                                                   lvt_task_size(&info->tasks, j)));
        cJSON_AddNumberToObject(r, "class_il", a[j].class_il);
        cJSON_AddNumberToObject(r, "task_il", a[j].task_il);
        cJSON_AddItemToArray(list, r);
        c += a[j].class_il / n;
        t += a[j].task_il / n;
    }
    cJSON_AddItemToObject(o, "per_task", list);
    cJSON_AddNumberToObject(o, "class_il", c);
    cJSON_AddNumberToObject(o, "task_il", t);
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

static lvt_status evaluate(lvt_trained *t, const char *path, const lvt_dataset *d, bool json,
                           lvt_diag *diag) {
    const lvt_checkpoint_info *info = &t->info;
    lvt_status status = lvt_model_fits(&t->model, d, diag);
    if (status == LVT_OK)
        status = fits(info, path, d, diag);
    int n = lvt_checkpoint_learned(info);
    accuracy *a = calloc((size_t)n, sizeof *a);
    if (!a)
        return lvt_no_memory(diag, NULL);
    for (int j = 0; j < n && status == LVT_OK; j++)
        status = lvt_evaluate_task(&t->model, &t->augment, (lvt_part){&d->test, NULL, false}, &info->tasks, j,
                                   n, NULL, NULL, &a[j].class_il, &a[j].task_il, diag);
    if (status == LVT_OK && lvt_at_chance(&info->tasks, (lvt_part){&d->test, NULL, false}, n, n, &a->class_il,
                                          &a->task_il, sizeof *a / sizeof a->class_il))
        lvt_cmd_chance(diag);
    if (status == LVT_OK && !json)
        print_text(info, a, n, d);
    if (status == LVT_OK && json && !print_json(info, a, n))
        status = lvt_no_memory(diag, NULL);
    free(a);
    return status;
}

lvt_status lvt_cmd_eval(int argc, char **argv, lvt_diag *diag) {
    lvt_trained_options o = {0};
    const char *spec = NULL;
    bool json = false;
    const lvt_option rows[] = {
        {"checkpoint", 'c', LVT_OPTION_TEXT, "FILE", "checkpoint of lvt-run train (needed)", &o.checkpoint, 0,
         0, NULL},
        {"data", 'd', LVT_OPTION_TEXT, "KIND[:DIR]", "the test images, as `lvt-run train` has them (needed)",
         &spec, 0, 0, NULL},
        {"json", 'j', LVT_OPTION_FLAG, NULL, "print JSON", &json, 0, 0, NULL},
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
        "class), for each task and on average.\n"
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
    status = lvt_dataset_open(spec, &size, &d, diag);
    if (status == LVT_OK)
        status = evaluate(&trained, o.checkpoint, d, json, diag);
    lvt_dataset_free(d);
    lvt_trained_close(&trained);
    return status;
}
