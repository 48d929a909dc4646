/* The sequence of tasks: which classes are learned when.
 *
 * Invariants: with domains every task is a domain with all classes, which are in their natural order. Else
 * `order` is a permutation of 0..classes-1 (the data set's own labels, which outputs keep); task k learns
 * order[first[k]] .. order[first[k + 1] - 1], at least one class. May not know: images, models. */
#ifndef LVT_CONTINUAL_TASKS_H
#define LVT_CONTINUAL_TASKS_H

#include "runtime/data/dataset.h"

typedef struct lvt_tasks {
    int n, classes;
    int *order, *first; /* classes and n + 1 entries */
    int *task_of;       /* of each class; with domains all 0: they are known from the first task on */
    bool domains;
} lvt_tasks;

/* A data set with domains: one task a domain, whatever the rest says but for n. Else splits the classes of d
 * into n tasks as equal as possible (the first ones get one more); first_task > 0: the first task has that
 * many classes, the others share the rest; split "4,3,3": the sizes of all tasks, NULL: none. order:
 * "natural", "seed:N", "seed" (as "seed:" and `seed`), "groups" (by superclass), or all labels with commas
 * between. Errors: LVT_USER (does not fit the data), LVT_USAGE (order cannot be read), LVT_NOMEM. Freed by
 * lvt_tasks_free. */
lvt_status lvt_tasks_make(const lvt_dataset *d, int n, int first_task, const char *split, const char *order,
                          uint64_t seed, lvt_tasks *out, lvt_diag *diag);
void lvt_tasks_free(lvt_tasks *t);
/* A task's classes are order[begin] .. order[end - 1]. */
static inline int lvt_task_begin(const lvt_tasks *t, int task) {
    return t->domains ? 0 : t->first[task];
}
static inline int lvt_task_end_of(const lvt_tasks *t, int task) {
    return t->domains ? t->classes : t->first[task + 1];
}
static inline int lvt_tasks_seen(const lvt_tasks *t, int task) {
    return lvt_task_end_of(t, task);
} /* classes, after `task` */
static inline int lvt_task_size(const lvt_tasks *t, int task) {
    return lvt_task_end_of(t, task) - lvt_task_begin(t, task);
}
/* The task that an image belongs to. */
static inline int lvt_task_of_image(const lvt_tasks *t, const lvt_images *images, size_t i) {
    return t->domains ? images->domains[i] : t->task_of[images->labels[i]];
}
/* How many scenarios a run is measured in, and their names: 0 among all classes seen, 1 among the classes of
 * the image's own task. With domains these are the same (van de Ven et al., 2022). */
static inline int lvt_scenarios(const lvt_tasks *t) {
    return t->domains ? 1 : 2;
}
static inline const char *lvt_scenario_name(const lvt_tasks *t, int scenario) {
    return scenario ? "Task-IL" : t->domains ? "Domain-IL" : "Class-IL";
}
/* A part of a data set: all images (flags NULL), or those whose flag is `flag`. */
typedef struct lvt_part {
    const lvt_images *images;
    const bool *flags;
    bool flag;
} lvt_part;
/* Indices of the images whose class belongs to tasks first..last, in their order. *out is malloc'ed (never
 * NULL on success); false when out of memory. */
bool lvt_task_images(const lvt_tasks *t, int first, int last, lvt_part part, uint32_t **out, uint32_t *n);
/* Chooses the validation images: out[i] is true for `part` (0..1) of the images of each class, with domains
 * of each in every domain (the same images where domains are views of them), by the seed; at least one and at
 * most all but one. out has images->n entries, all false before. false: out of
 * memory. */
bool lvt_validation_images(const lvt_images *images, int classes, double part, uint64_t seed, bool *out);
/* Chooses n images for measuring, as many of each class (with domains, of each class in each domain) as of any other,
 * spread evenly over it: out[i], false before. What does not divide goes to the first classes; a class with too few
 * gives all. False: out of memory. */
bool lvt_tested_images(const lvt_images *images, int classes, size_t n, bool *out);
/* "3 7 12": the labels of a task, malloc'ed; NULL when out of memory. */
char *lvt_task_labels(const lvt_tasks *t, int task);

#endif
