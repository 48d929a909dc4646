/* The memory of remembered images.
 *
 * Invariants: at most `capacity` images; what a policy with quotas keeps is ordered by class (in the order
 * they were learned) and, inside a class, best score first; labels are the data set's. May not know: models,
 * how logits come about. */
#ifndef LVT_CONTINUAL_MEMORY_H
#define LVT_CONTINUAL_MEMORY_H

#include "tasks.h"

typedef struct lvt_memory {
    size_t capacity, n, image_bytes;
    int classes;
    uint8_t *images;         /* n x image_bytes */
    int32_t *labels, *tasks; /* n; the task an image was stored after */
    float *logits, *scores;  /* n x classes (of the accumulation classifier, when it was stored), n */
    uint64_t seen;           /* images that reservoir sampling has been offered */
    uint32_t *unanswered; /* n: number of the candidate whose answers are to be filled in; else UINT32_MAX */
} lvt_memory;

/* What a finished task offers: all its training images, un-augmented. */
typedef struct lvt_candidates {
    uint32_t n;
    const uint32_t *index; /* n: place in `images` */
    const lvt_images *images;
    const float *confidence; /* n: the injection classifier's probability of the true class */
    const float *logits; /* n x classes: the accumulation classifier's; NULL with confidence: they are filled
                          * in, of what is kept alone, where the policy does not ask */
    const float *features; /* n x n_features: what herding goes by; NULL: logits */
    size_t n_features;
} lvt_candidates;

/* Order is the order of `--memory-policy`'s choices. */
#define LVT_MEMORY_POLICIES(X)                                                                               \
    X(confidence, "the injection classifier's probability of the true class, best first, equal quotas")      \
    X(random, "at random, equal quotas")                                                                     \
    X(herding, "greedily, so that the mean of what is kept stays near the class mean; equal quotas")         \
    X(reservoir, "every image seen so far is kept with equal probability; no quotas")
typedef enum lvt_memory_policy {
#define LVT_ROW(name, help) LVT_POLICY_##name,
    LVT_MEMORY_POLICIES(LVT_ROW)
#undef LVT_ROW
        LVT_N_POLICIES
} lvt_memory_policy;

/* Empty memory; capacity 0 is legal. LVT_NOMEM. Freed by lvt_memory_free. */
lvt_status lvt_memory_init(lvt_memory *m, size_t capacity, const lvt_dataset *d, lvt_diag *diag);
void lvt_memory_free(lvt_memory *m);
/* Images of the k-th learned class (from 0) when `seen` classes, each with enough of them, share `capacity`:
 * floor, the remainder one by one. */
static inline size_t lvt_memory_quota(size_t capacity, int seen, int k) {
    return capacity / (size_t)seen + ((size_t)k < capacity % (size_t)seen);
}
/* The same for classes that have has[k] images: what a small class leaves passes on to the others in equal
 * parts, so that the sum is `capacity` or all there are. */
void lvt_memory_quotas(size_t capacity, int seen, const size_t *has, size_t *quotas);
/* Whether the policy chooses by what the network answers. */
bool lvt_memory_asks(lvt_memory_policy policy);
/* End of `task`: new classes enter, old ones are cut to their new quota. LVT_NOMEM. */
lvt_status lvt_memory_update(lvt_memory *m, lvt_memory_policy policy, const lvt_tasks *tasks, int task,
                             const lvt_candidates *c, uint64_t seed, lvt_diag *diag);
/* Answers of the network for an image that lvt_memory_update kept without: confidence, logits of m->classes.
 */
void lvt_memory_fill(lvt_memory *m, lvt_memory_policy policy, size_t place, float confidence,
                     const float *logits);
/* Brings the logits stored with image `place` up to date after a task: the columns of its classes (of_task[c])
 * become what the network says now, scaled so that the largest stays below the logit of the image's own class:
 * times 0.85 own / largest where that is larger (Boschini et al., "Class-incremental continual learning into the
 * extended DER-verse", TPAMI 2022), and shifted instead where own is not positive. */
void lvt_memory_renew(lvt_memory *m, size_t place, const bool *of_task, const float *logits);
/* Draws `batch` places for a step: all different when the memory holds that many, else every image as often
 * as the others (give or take one). m->n > 0. scratch has m->n entries. */
void lvt_memory_draw(const lvt_memory *m, uint64_t seed, uint64_t step, uint32_t batch, uint32_t *scratch,
                     uint32_t *out);

#endif
