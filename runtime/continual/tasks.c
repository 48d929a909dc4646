/* The sequence of tasks. May not know: models, training. */
#include "tasks.h"
#include "runtime/data/augment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void lvt_tasks_free(lvt_tasks *t) {
    free(t->order);
    free(t->first);
    free(t->task_of);
    *t = (lvt_tasks){0};
}

static lvt_status read_list(const char *text, lvt_tasks *t, lvt_diag *diag) {
    bool *seen = calloc((size_t)t->classes, sizeof *seen);
    if (!seen)
        return lvt_no_memory(diag, NULL);
    int n = 0;
    lvt_status status = LVT_OK;
    for (const char *p = text; status == LVT_OK; p++) {
        char *end;
        errno = 0;
        long v = strtol(p, &end, 10);
        if (end == p || (*end && *end != ',') || errno)
            status = lvt_error(
                diag, LVT_USAGE, NULL, LVT_NOWHERE,
                "--class-order: \"%s\" is neither natural, groups, seed:N nor labels with commas between",
                text);
        else if (v < 0 || v >= t->classes)
            status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                               "--class-order: there is no class %ld (there are %d)", v, t->classes);
        else if (seen[v])
            status =
                lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "--class-order: class %ld is named twice", v);
        else {
            seen[v] = true;
            t->order[n++] = (int)v;
        }
        p = end;
        if (!*p)
            break;
    }
    if (status == LVT_OK && n != t->classes)
        status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                           "--class-order: %d labels, but there are %d classes", n, t->classes);
    free(seen);
    return status;
}

static lvt_status order_classes(const lvt_dataset *d, const char *text, uint64_t seed, lvt_tasks *t,
                                lvt_diag *diag) {
    for (int c = 0; c < t->classes; c++)
        t->order[c] = c;
    if (!strcmp(text, "natural"))
        return LVT_OK;
    if (!strcmp(text, "groups")) {
        if (!d->groups)
            return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                             "--class-order groups: %s has no superclasses", d->name);
        int n = 0;
        for (int g = 0; g < 256; g++) {
            for (int c = 0; c < t->classes; c++) {
                if (d->groups[c] == g)
                    t->order[n++] = c;
            }
        }
        return LVT_OK;
    }
    bool own = !strcmp(text, "seed");
    if (own || !strncmp(text, "seed:", 5)) {
        char *end = "";
        errno = 0;
        seed = own ? seed : strtoull(text + 5, &end, 0);
        if (!own && (!text[5] || text[5] == '-' || *end || errno))
            return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "--class-order: \"%s\" is not a seed",
                             text + 5);
        lvt_shuffle(seed, LVT_RANDOM_CLASS_ORDER, 0, 0, (uint32_t *)t->order, (uint32_t)t->classes,
                    (uint32_t)t->classes);
        return LVT_OK;
    }
    return read_list(text, t, diag);
}

/* "4,3,3" */
static lvt_status read_split(const char *text, const lvt_tasks *t, int *sizes, lvt_diag *diag) {
    int sum = 0, n = 0;
    for (const char *p = text;; p++) {
        char *end;
        errno = 0;
        long v = strtol(p, &end, 10);
        if (end == p || (*end && *end != ',') || errno || v < 1 || v > t->classes)
            return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE,
                             "--split: \"%s\" is not sizes of tasks such as 4,3,3, at least 1 each", text);
        sum += (int)v;
        if (n < t->n)
            sizes[n] = (int)v;
        n++;
        p = end;
        if (!*p || sum > t->classes)
            break;
    }
    if (n != t->n || sum != t->classes)
        return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                         "--split: %s%d sizes with %d classes for %d tasks (--tasks) and %d classes",
                         sum > t->classes ? "at least " : "", n, sum, t->n, t->classes);
    return LVT_OK;
}

lvt_status lvt_tasks_make(const lvt_dataset *d, int n, int first_task, const char *split, const char *order,
                          uint64_t seed, lvt_tasks *out, lvt_diag *diag) {
    *out = (lvt_tasks){.n = n, .classes = d->classes, .domains = d->domains > 0};
    if (out->domains && n != d->domains)
        return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s has %d domains, each a task: --tasks is %d",
                         d->name, d->domains, n);
    if (out->domains && (first_task || split || strcmp(order, "natural")))
        return lvt_error(
            diag, LVT_USER, NULL, LVT_NOWHERE,
            "every domain has all classes: --first-task, --split and --class-order do not apply");
    if (first_task && split)
        return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE,
                         "--first-task and --split contradict each other");
    if (n > d->classes && !out->domains)
        return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%d tasks are more than the %d classes of %s", n,
                         d->classes, d->name);
    if (first_task && (n == 1 ? first_task != d->classes : d->classes - first_task < n - 1))
        return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                         "a first task of %d classes leaves %d of %d for %d other tasks", first_task,
                         d->classes - first_task, d->classes, n - 1);
    out->order = calloc((size_t)d->classes, sizeof *out->order);
    out->task_of = calloc((size_t)d->classes, sizeof *out->task_of);
    out->first = calloc((size_t)n + 1, sizeof *out->first);
    lvt_status status = out->order && out->task_of && out->first ? order_classes(d, order, seed, out, diag)
                                                                 : lvt_no_memory(diag, NULL);
    int *sizes = calloc((size_t)n, sizeof *sizes);
    if (status == LVT_OK && !sizes)
        status = lvt_no_memory(diag, NULL);
    if (status == LVT_OK && split)
        status = read_split(split, out, sizes, diag);
    if (status != LVT_OK) {
        free(sizes);
        lvt_tasks_free(out);
        return status;
    }
    int parts = first_task ? n - 1 : n, rest = d->classes - first_task;
    for (int k = 0; k < n; k++) {
        int part = first_task ? k - 1 : k;
        int size = part < 0 ? first_task : rest / parts + (part < rest % parts);
        if (split)
            size = sizes[k];
        else if (out->domains) /* every task has all classes: the first brings them */
            size = k ? 0 : d->classes;
        out->first[k + 1] = out->first[k] + size;
        for (int i = out->first[k]; i < out->first[k + 1]; i++)
            out->task_of[out->order[i]] = k;
    }
    free(sizes);
    return LVT_OK;
}

bool lvt_task_images(const lvt_tasks *t, int first, int last, lvt_part part, uint32_t **out, uint32_t *n) {
    const lvt_images *images = part.images;
    *n = 0;
    *out = malloc((images->n + 1) * sizeof **out);
    for (size_t i = 0; i < images->n && *out; i++) {
        int task = lvt_task_of_image(t, images, i);
        if (task >= first && task <= last && (!part.flags || part.flags[i] == part.flag))
            (*out)[(*n)++] = (uint32_t)i;
    }
    return *out != NULL;
}

bool lvt_validation_images(const lvt_images *images, int classes, double part, uint64_t seed, bool *out) {
    uint32_t *members = malloc((images->n + 1) * sizeof *members);
    /* Views of one image go together: else what is measured has been learned in another domain. */
    size_t all = images->views ? images->stored : images->n;
    int domains = 1;
    for (size_t i = 0; i < all && images->domains; i++)
        domains = images->domains[i] + 1 > domains ? images->domains[i] + 1 : domains;
    for (int kind = 0; kind < classes * domains && members; kind++) {
        int c = kind % classes, domain = kind / classes;
        uint32_t n = 0;
        for (size_t i = 0; i < all; i++) {
            if (images->labels[i] == c && (!images->domains || images->domains[i] == domain))
                members[n++] = (uint32_t)i;
        }
        uint32_t k = (uint32_t)(part * n + 0.5);
        k = k ? k : 1;
        k = k < n ? k : n ? n - 1 : 0;
        lvt_shuffle(seed, LVT_RANDOM_VALIDATION, (uint32_t)c, (uint32_t)domain, members, n, k);
        for (uint32_t i = 0; i < k; i++) {
            for (size_t view = members[i]; view < images->n; view += all)
                out[view] = true;
        }
    }
    free(members);
    return members != NULL;
}

bool lvt_tested_images(const lvt_images *images, int classes, size_t n, bool *out) {
    int domains = 1;
    for (size_t i = 0; i < images->n && images->domains; i++)
        domains = images->domains[i] + 1 > domains ? images->domains[i] + 1 : domains;
    size_t kinds = (size_t)classes * (size_t)domains;
    size_t *there = calloc(2 * kinds, sizeof *there), *passed = there + kinds;
    if (!there)
        return false;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < images->n; i++) {
            size_t kind = (size_t)images->labels[i] +
                          (size_t)classes * (images->domains ? (size_t)images->domains[i] : 0);
            size_t quota = n / kinds + (kind < n % kinds);
            quota = quota < there[kind] ? quota : there[kind];
            if (!pass) {
                there[kind]++;
            } else {
                size_t before = passed[kind]++ * quota / there[kind];
                out[i] = passed[kind] * quota / there[kind] > before;
            }
        }
    }
    free(there);
    return true;
}

char *lvt_task_labels(const lvt_tasks *t, int task) {
    int begin = lvt_task_begin(t, task), end = lvt_task_end_of(t, task);
    char *text = malloc(12 * (size_t)(end - begin) + 1), *p = text;
    for (int i = begin; i < end && text; i++)
        p += sprintf(p, "%s%d", i > begin ? " " : "", t->order[i]);
    return text;
}
