/* Methods: what the driver does for each. The losses are in models/methods.lvt; the program's setting
 * `method` says which one it was compiled with.
 *
 * Invariant: a method is one row of method.def. May not know: models, memory. */
#ifndef LVT_CONTINUAL_METHOD_H
#define LVT_CONTINUAL_METHOD_H

#include "memory.h"

/* Where the second batch of a step (xm, ym, zm) comes from. */
typedef enum lvt_rehearsal {
    LVT_REHEARSE_NOTHING, /* no such batch: every step is train_new; a memory is refused */
    LVT_REHEARSE_MEMORY,  /* remembered images, once there are any */
    LVT_REHEARSE_SELF /* the new images again, with the logits the network gave for them before the task */
} lvt_rehearsal;

/* Which training images a task sees: its own, also those of the tasks before, or also the remembered ones. */
typedef enum lvt_reach { LVT_REACH_TASK, LVT_REACH_ALL_SO_FAR, LVT_REACH_MEMORY } lvt_reach;

/* Which images the entry importance sees at the end of a task, before consolidate: none (neither is run), the
 * task's, or the remembered ones (those of this task among them). */
typedef enum lvt_measured { LVT_MEASURE_NOTHING, LVT_MEASURE_TASK, LVT_MEASURE_MEMORY } lvt_measured;

/* Whether logits stored with remembered images stay those of the day they were stored, or get the columns of
 * classes that were learned since at the end of each task (see lvt_memory_renew). */
typedef enum lvt_stored_logits { LVT_LOGITS_KEPT, LVT_LOGITS_RENEWED } lvt_stored_logits;

typedef struct lvt_method {
    const char *name, *title;
    lvt_rehearsal rehearsal;
    lvt_reach reach;
    lvt_measured measured;
    lvt_stored_logits logits;
    lvt_memory_policy policy;  /* unless --memory-policy says otherwise */
    double alpha, beta, gamma; /* unless --coef says otherwise; NaN: the program's */
} lvt_method;

/* The method of a program without the setting `method`: it promises nothing about its entries. */
#define LVT_METHOD_OWN "own"

/* NULL: no such method. */
const lvt_method *lvt_method_find(const char *name);
/* The method whose name is nearest, for messages; NULL: none is near. */
const char *lvt_method_nearest(const char *name);
const char *lvt_method_list(void); /* "lvt, finetune, ..."; static */

#endif
