/* The memory of remembered images: scores, quotas, reservoir, draws. May not know: models. */
#include "memory.h"
#include "runtime/data/augment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

lvt_status lvt_memory_init(lvt_memory *m, size_t capacity, const lvt_dataset *d, lvt_diag *diag) {
    *m = (lvt_memory){.capacity = capacity, .image_bytes = lvt_image_bytes(d), .classes = d->classes};
    m->images = calloc(capacity + 1, m->image_bytes);
    m->labels = calloc(capacity + 1, sizeof *m->labels);
    m->tasks = calloc(capacity + 1, sizeof *m->tasks);
    m->logits = calloc(capacity + 1, sizeof *m->logits * (size_t)m->classes);
    m->scores = calloc(capacity + 1, sizeof *m->scores);
    m->unanswered = calloc(capacity + 1, sizeof *m->unanswered);
    if (m->images && m->labels && m->tasks && m->logits && m->scores && m->unanswered)
        return LVT_OK;
    lvt_memory_free(m);
    return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "not enough memory to remember %zu images",
                     capacity);
}

void lvt_memory_free(lvt_memory *m) {
    free(m->images);
    free(m->labels);
    free(m->tasks);
    free(m->logits);
    free(m->scores);
    free(m->unanswered);
    *m = (lvt_memory){0};
}

static void move_item(lvt_memory *m, size_t to, size_t from) {
    if (to == from)
        return;
    memcpy(m->images + to * m->image_bytes, m->images + from * m->image_bytes, m->image_bytes);
    memcpy(m->logits + to * (size_t)m->classes, m->logits + from * (size_t)m->classes,
           (size_t)m->classes * sizeof *m->logits);
    m->labels[to] = m->labels[from];
    m->tasks[to] = m->tasks[from];
    m->scores[to] = m->scores[from];
}

static void put_item(lvt_memory *m, size_t to, const lvt_candidates *c, uint32_t i, int task, float score) {
    uint8_t *here = m->images + to * m->image_bytes;
    const uint8_t *image = lvt_image_at(c->images, m->image_bytes, c->index[i], here);
    if (image != here)
        memcpy(here, image, m->image_bytes);
    if (c->logits)
        memcpy(m->logits + to * (size_t)m->classes, c->logits + (size_t)i * (size_t)m->classes,
               (size_t)m->classes * sizeof *m->logits);
    else
        m->unanswered[to] = i;
    m->labels[to] = c->images->labels[c->index[i]];
    m->tasks[to] = task;
    m->scores[to] = score;
}

/* ---- scores: higher is kept longer --------------------------------------------------------------------- */

typedef struct ranking {
    const lvt_candidates *c;
    const uint32_t *members; /* candidates of one class */
    uint32_t n;
    int classes, task;
    uint64_t seed;
    float *scores; /* one a member */
    double *work;  /* 2 x features or classes */
} ranking;

static void score_confidence(const ranking *r) {
    for (uint32_t i = 0; i < r->n; i++)
        r->scores[i] = r->c->confidence[r->members[i]];
}

static void score_random(const ranking *r) {
    for (uint32_t i = 0; i < r->n; i++) {
        uint32_t words[4];
        lvt_philox(r->seed, LVT_RANDOM_MEMORY, (uint32_t)r->task, r->members[i], 0, words);
        r->scores[i] = (float)(words[0] >> 8) * 0x1p-24f;
    }
}

/* iCaRL's herding (Rebuffi et al., CVPR 2017), on features or, without any, on logits. The score is minus the
 * rank. */
static void score_herding(const ranking *r) {
    const float *features = r->c->features ? r->c->features : r->c->logits;
    size_t k = r->c->features ? r->c->n_features : (size_t)r->classes;
    double *mean = r->work, *sum = r->work + k;
    memset(r->work, 0, 2 * k * sizeof *r->work);
    for (uint32_t i = 0; i < r->n; i++) {
        r->scores[i] = 1; /* not taken yet */
        for (size_t d = 0; d < k; d++)
            mean[d] += features[r->members[i] * k + d] / (double)r->n;
    }
    for (uint32_t rank = 0; rank < r->n; rank++) {
        uint32_t best = r->n;
        double nearest = 0;
        for (uint32_t i = 0; i < r->n; i++) {
            if (r->scores[i] <= 0)
                continue;
            double distance = 0;
            for (size_t d = 0; d < k; d++) {
                double e = mean[d] - (sum[d] + (double)features[r->members[i] * k + d]) / (rank + 1);
                distance += e * e;
            }
            if (best == r->n || distance < nearest) {
                best = i;
                nearest = distance;
            }
        }
        for (size_t d = 0; d < k; d++)
            sum[d] += features[r->members[best] * k + d];
        r->scores[best] = -(float)rank;
    }
}

/* ---- end of a task ------------------------------------------------------------------------------------- */

typedef struct ranked {
    float score;
    uint32_t member;
} ranked;

/* Best first; equal scores in the order of the data set, so that the result is the same everywhere. NaN is
 * worst. */
static int best_first(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    float p = x->score == x->score ? x->score : -1e30f, q = y->score == y->score ? y->score : -1e30f;
    if (p != q)
        return p > q ? -1 : 1;
    return x->member < y->member ? -1 : x->member > y->member;
}

void lvt_memory_quotas(size_t capacity, int seen, const size_t *has, size_t *quotas) {
    size_t left = capacity;
    int open = seen; /* classes that may get more than they have: quotas SIZE_MAX so far */
    for (int k = 0; k < seen; k++)
        quotas[k] = SIZE_MAX;
    for (int closed = 1; closed && open;) {
        size_t share = left / (size_t)open;
        closed = 0;
        for (int k = 0; k < seen; k++) {
            if (quotas[k] == SIZE_MAX && has[k] <= share) {
                quotas[k] = has[k];
                left -= has[k];
                closed++;
            }
        }
        open -= closed;
    }
    for (int k = 0, i = 0; k < seen; k++)
        if (quotas[k] == SIZE_MAX)
            quotas[k] = lvt_memory_quota(left, open, i++);
}

/* Room for the best `quota` of old class `label`: they are already in order, so cutting keeps the front. */
static size_t cut_class(lvt_memory *m, int label, int task, size_t quota, size_t *read, size_t write) {
    size_t kept = 0;
    for (; *read < m->n && m->labels[*read] == label && m->tasks[*read] == task; ++*read) {
        if (kept < quota) {
            move_item(m, write + kept, *read);
            kept++;
        }
    }
    return write + kept;
}

static lvt_status update_with_quotas(lvt_memory *m, void (*score)(const ranking *), const lvt_tasks *tasks,
                                     int task, const lvt_candidates *c, uint64_t seed, lvt_diag *diag) {
    uint32_t *members = malloc((c->n + 1) * sizeof *members);
    float *scores = malloc((c->n + 1) * sizeof *scores);
    ranked *order = malloc((c->n + 1) * sizeof *order);
    double *work = malloc(2 * ((size_t)m->classes + c->n_features) * sizeof *work);
    /* Kinds: classes, or with domains every class of every domain. */
    int begin = tasks->domains ? task * tasks->classes : tasks->first[task],
        seen = tasks->domains ? begin + tasks->classes : tasks->first[task + 1];
    size_t *has = calloc(2 * (size_t)seen, sizeof *has), *quotas = has ? has + seen : NULL;
    lvt_status status = LVT_OK;
    if (members && scores && order && work && has) {
        size_t write = 0, read = 0;
        for (int k = 0; k < seen; k++) {
            int label = tasks->order[k % tasks->classes],
                of = tasks->domains ? k / tasks->classes : tasks->task_of[label];
            for (; k < begin && read < m->n && m->labels[read] == label && m->tasks[read] == of; read++)
                has[k]++;
            for (uint32_t i = 0; i < c->n && k >= begin; i++)
                has[k] += c->images->labels[c->index[i]] == label;
        }
        lvt_memory_quotas(m->capacity, seen, has, quotas);
        read = 0;
        for (int k = 0; k < begin; k++) {
            int label = tasks->order[k % tasks->classes];
            write = cut_class(m, label, tasks->domains ? k / tasks->classes : tasks->task_of[label],
                              quotas[k], &read, write);
        }
        for (int k = begin; k < seen; k++) {
            int label = tasks->order[k % tasks->classes];
            uint32_t n = 0;
            for (uint32_t i = 0; i < c->n; i++) {
                if (c->images->labels[c->index[i]] == label)
                    members[n++] = i;
            }
            score(&(ranking){c, members, n, m->classes, task, seed, scores, work});
            for (uint32_t i = 0; i < n; i++)
                order[i] = (ranked){scores[i], members[i]};
            qsort(order, n, sizeof *order, best_first);
            for (uint32_t i = 0; i < n && i < quotas[k]; i++)
                put_item(m, write++, c, order[i].member, task, order[i].score);
        }
        m->n = write;
    } else {
        status = lvt_no_memory(diag, "choosing images to remember");
    }
    free(members);
    free(scores);
    free(order);
    free(work);
    free(has);
    return status;
}

/* Vitter's algorithm R over the stream of all training images, task after task, each image once. */
static lvt_status update_reservoir(lvt_memory *m, int task, const lvt_candidates *c, uint64_t seed,
                                   lvt_diag *diag) {
    uint32_t *stream = malloc((c->n + 1) * sizeof *stream);
    if (!stream)
        return lvt_no_memory(diag, "choosing images to remember");
    for (uint32_t i = 0; i < c->n; i++)
        stream[i] = i;
    lvt_shuffle(seed, LVT_RANDOM_MEMORY, (uint32_t)task, 1, stream, c->n, c->n);
    for (uint32_t i = 0; i < c->n; i++) {
        uint32_t words[4];
        lvt_philox(seed, LVT_RANDOM_MEMORY, (uint32_t)task, stream[i], 2, words);
        uint64_t seen = ++m->seen, place = m->n;
        if (m->n < m->capacity)
            m->n++;
        else
            place = (uint64_t)(((unsigned __int128)(((uint64_t)words[0] << 32) | words[1]) * seen) >> 64);
        if (place < m->capacity)
            put_item(m, (size_t)place, c, stream[i], task, c->confidence ? c->confidence[stream[i]] : 0);
    }
    free(stream);
    return LVT_OK;
}

static const struct {
    void (*score)(const ranking *); /* NULL: no quotas, and scores are confidences, for people alone */
    bool asks;
} rows[] = {[LVT_POLICY_confidence] = {score_confidence, true},
            [LVT_POLICY_random] = {score_random, false},
            [LVT_POLICY_herding] = {score_herding, true},
            [LVT_POLICY_reservoir] = {NULL, false}};

bool lvt_memory_asks(lvt_memory_policy policy) {
    return rows[policy].asks;
}

lvt_status lvt_memory_update(lvt_memory *m, lvt_memory_policy policy, const lvt_tasks *tasks, int task,
                             const lvt_candidates *c, uint64_t seed, lvt_diag *diag) {
    for (size_t i = 0; i < m->capacity; i++)
        m->unanswered[i] = UINT32_MAX;
    return rows[policy].score ? update_with_quotas(m, rows[policy].score, tasks, task, c, seed, diag)
                              : update_reservoir(m, task, c, seed, diag);
}

void lvt_memory_fill(lvt_memory *m, lvt_memory_policy policy, size_t place, float confidence,
                     const float *logits) {
    memcpy(m->logits + place * (size_t)m->classes, logits, (size_t)m->classes * sizeof *logits);
    if (!rows[policy].score)
        m->scores[place] = confidence;
    m->unanswered[place] = UINT32_MAX;
}

void lvt_memory_renew(lvt_memory *m, size_t place, const bool *of_task, const float *logits) {
    float *stored = m->logits + place * (size_t)m->classes, own = stored[m->labels[place]],
          largest = -INFINITY;
    for (int c = 0; c < m->classes; c++)
        largest = of_task[c] && logits[c] > largest ? logits[c] : largest;
    bool above = largest > own;
    float scale = above && own > 0 ? 0.85f * own / largest : 1, shift = above && own <= 0 ? own - largest : 0;
    for (int c = 0; c < m->classes; c++)
        stored[c] = of_task[c] ? logits[c] * scale + shift : stored[c];
}

void lvt_memory_draw(const lvt_memory *m, uint64_t seed, uint64_t step, uint32_t batch, uint32_t *scratch,
                     uint32_t *out) {
    uint32_t n = (uint32_t)m->n;
    for (uint32_t done = 0, pass = 0; done < batch; pass++) {
        uint32_t k = batch - done < n ? batch - done : n;
        for (uint32_t i = 0; i < n; i++)
            scratch[i] = i;
        lvt_shuffle(seed, LVT_RANDOM_DRAW + (pass << 8), (uint32_t)step, (uint32_t)(step >> 32), scratch, n,
                    k);
        memcpy(out + done, scratch, k * sizeof *out);
        done += k;
    }
}
