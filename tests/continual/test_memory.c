/* Task split and memory: quotas, ranking, cuts, policies, draws. */
#include "runtime/continual/memory.h"
#include "runtime/data/augment.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A data set of `classes` classes with `each` images of one pixel; pixel and class of image i are told by i.
 */
static void make_data(lvt_dataset *d, int classes, int each) {
    *d = (lvt_dataset){.name = (char *)"made", .height = 1, .width = 1, .channels = 1, .classes = classes};
    d->train.n = (size_t)(classes * each);
    d->train.pixels = malloc(d->train.n);
    d->train.labels = malloc(d->train.n * sizeof(int32_t));
    for (size_t i = 0; i < d->train.n; i++) {
        d->train.pixels[i] = (uint8_t)i;
        d->train.labels[i] =
            (int32_t)(i % (size_t)classes); /* classes interleaved: order of the data is not order of class */
    }
}

static void free_data(lvt_dataset *d) {
    free(d->train.pixels);
    free(d->train.labels);
}

static void split(void **state) {
    (void)state;
    lvt_dataset d;
    make_data(&d, 10, 1);
    lvt_tasks t;
    assert_int_equal(lvt_tasks_make(&d, 3, 0, NULL, "natural", 1, &t, NULL), LVT_OK);
    assert_memory_equal(t.first, ((int[]){0, 4, 7, 10}), 4 * sizeof(int));
    assert_int_equal(t.task_of[6], 1);
    assert_int_equal(lvt_tasks_seen(&t, 1), 7);
    char *labels = lvt_task_labels(&t, 2);
    assert_string_equal(labels, "7 8 9");
    free(labels);
    lvt_tasks_free(&t);

    assert_int_equal(lvt_tasks_make(&d, 3, 5, NULL, "9,8,7,6,5,4,3,2,1,0", 1, &t, NULL), LVT_OK);
    assert_memory_equal(t.first, ((int[]){0, 5, 8, 10}), 4 * sizeof(int));
    assert_int_equal(t.order[0], 9);
    assert_int_equal(t.task_of[9], 0);
    assert_int_equal(t.task_of[0], 2);
    uint32_t *index, n;
    assert_true(lvt_task_images(&t, 2, 2, (lvt_part){&d.train, NULL, false}, &index, &n));
    assert_int_equal(n, 2);
    assert_int_equal(index[0], 0);
    free(index);
    lvt_tasks_free(&t);

    /* A seed makes a permutation, another seed another one (trap: an option that changes nothing). */
    lvt_tasks u;
    assert_int_equal(lvt_tasks_make(&d, 2, 0, NULL, "seed:1", 1, &t, NULL), LVT_OK);
    assert_int_equal(lvt_tasks_make(&d, 2, 0, NULL, "seed:2", 1, &u, NULL), LVT_OK);
    assert_memory_not_equal(t.order, u.order, 10 * sizeof(int));
    int seen = 0;
    for (int i = 0; i < 10; i++)
        seen |= 1 << t.order[i];
    assert_int_equal(seen, 1023);
    lvt_tasks_free(&t);
    lvt_tasks_free(&u);

    static const struct {
        int n, first;
        const char *order;
        lvt_status status;
        const char *words;
    } bad[] = {{11, 0, "natural", LVT_USER, "11 tasks are more than the 10 classes"},
               {3, 9, "natural", LVT_USER, "leaves 1 of 10 for 2 other tasks"},
               {1, 3, "natural", LVT_USER, "leaves 7 of 10 for 0 other tasks"},
               {2, 0, "1,2,3", LVT_USER, "3 labels, but there are 10"},
               {2, 0, "0,1,2,3,4,5,6,7,8,8", LVT_USER, "class 8 is named twice"},
               {2, 0, "0,1,2,3,4,5,6,7,8,10", LVT_USER, "no class 10"},
               {2, 0, "random", LVT_USAGE, "neither natural"},
               {2, 0, "", LVT_USAGE, "neither natural"},
               {2, 0, "1,", LVT_USAGE, "neither natural"},
               {2, 0, "seed:", LVT_USAGE, "not a seed"},
               {2, 0, "seed:-1", LVT_USAGE, "not a seed"},
               {2, 0, "groups", LVT_USER, "no superclasses"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        lvt_diag *diag = lvt_diag_new();
        assert_int_equal(lvt_tasks_make(&d, bad[i].n, bad[i].first, NULL, bad[i].order, 1, &t, diag),
                         bad[i].status);
        char *text = lvt_diag_text(diag);
        if (!strstr(text, bad[i].words))
            fail_msg("\"%s\" is not in %s", bad[i].words, text);
        free(text);
        lvt_diag_free(diag);
        lvt_tasks_free(&t);
    }
    d.groups = (int32_t[]){1, 0, 1, 0, 1, 0, 1, 0, 1, 0};
    assert_int_equal(lvt_tasks_make(&d, 2, 0, NULL, "groups", 1, &t, NULL), LVT_OK);
    assert_memory_equal(t.order, ((int[]){1, 3, 5, 7, 9, 0, 2, 4, 6, 8}), 10 * sizeof(int));
    lvt_tasks_free(&t);
    free_data(&d);
}

static void quota(void **state) {
    (void)state;
    for (size_t capacity = 1; capacity < 60; capacity++) {
        for (int seen = 1; seen <= 20; seen++) {
            size_t sum = 0;
            for (int k = 0; k < seen; k++) {
                size_t q = lvt_memory_quota(capacity, seen, k);
                assert_true(q == capacity / (size_t)seen || q == capacity / (size_t)seen + 1);
                if (k < seen - 1) /* never more than a class already has: cutting is enough */
                    assert_true(q <= lvt_memory_quota(capacity, seen - 1, k));
                sum += q;
            }
            assert_int_equal(sum, capacity);
        }
    }
}

/* Against giving images out one by one, round after round, to the classes that have more. */
static void quota_of_small_classes(void **state) {
    (void)state;
    uint32_t draw = 1;
    for (int test = 0; test < 20000; test++) {
        size_t has[12], quotas[12], want[12] = {0};
        draw = draw * 1664525u + 1013904223u;
        int n = 1 + (int)((draw >> 8) % 12);
        size_t capacity = (draw >> 16) % 90, left = capacity;
        for (int k = 0; k < n; k++) {
            draw = draw * 1664525u + 1013904223u;
            has[k] = (draw >> 28) < 5 ? (draw >> 20) % 4 : (draw >> 16) % 40;
        }
        for (bool more = true; more && left;) {
            more = false;
            for (int k = 0; k < n && left; k++) {
                if (want[k] < has[k]) {
                    want[k]++;
                    left--;
                    more = true;
                }
            }
        }
        lvt_memory_quotas(capacity, n, has, quotas);
        assert_memory_equal(quotas, want, (size_t)n * sizeof *want);
    }
}

/* What the end of a task offers: confidence and logits told by the image. */
typedef struct offer {
    lvt_candidates c;
    uint32_t *index;
    float *confidence, *logits;
} offer;

static float confidence_of(uint32_t image) {
    return (float)((image * 37) % 101) / 101;
}

static void make_offer(offer *o, const lvt_dataset *d, const lvt_tasks *t, int task) {
    uint32_t n;
    assert_true(lvt_task_images(t, task, task, (lvt_part){&d->train, NULL, false}, &o->index, &n));
    o->confidence = malloc(n * sizeof(float));
    o->logits = malloc(n * (size_t)d->classes * sizeof(float));
    for (uint32_t i = 0; i < n; i++) {
        o->confidence[i] = confidence_of(o->index[i]);
        for (int k = 0; k < d->classes; k++)
            o->logits[i * (uint32_t)d->classes + (uint32_t)k] = (float)(o->index[i] * 10 + (uint32_t)k);
    }
    o->c = (lvt_candidates){n, o->index, &d->train, o->confidence, o->logits};
}

static void free_offer(offer *o) {
    free(o->index);
    free(o->confidence);
    free(o->logits);
}

static void run(lvt_memory *m, const lvt_dataset *d, const lvt_tasks *t, lvt_memory_policy policy, int task) {
    offer o;
    make_offer(&o, d, t, task);
    assert_int_equal(lvt_memory_update(m, policy, t, task, &o.c, 5, NULL), LVT_OK);
    free_offer(&o);
}

static void confidence(void **state) {
    (void)state;
    lvt_dataset d;
    make_data(&d, 6, 30);
    lvt_tasks t;
    lvt_memory m;
    assert_int_equal(lvt_tasks_make(&d, 3, 0, NULL, "5,3,1,0,2,4", 1, &t, NULL), LVT_OK);
    assert_int_equal(lvt_memory_init(&m, 22, &d, NULL), LVT_OK);
    for (int task = 0; task < 3; task++) {
        run(&m, &d, &t, LVT_POLICY_confidence, task);
        int seen = lvt_tasks_seen(&t, task);
        assert_int_equal(m.n, 22);
        size_t at = 0;
        for (int k = 0; k < seen; k++) {
            /* Exactly the most confident of the class, best first; ties cannot happen (101 is prime, 180 >
             * 101 though: equal confidences are 101 images apart, never of one class). */
            size_t q = lvt_memory_quota(22, seen, k);
            for (size_t i = 0; i < q; i++, at++) {
                uint32_t image = m.images[at];
                assert_int_equal(m.labels[at], t.order[k]);
                assert_int_equal(d.train.labels[image], t.order[k]);
                assert_true(m.scores[at] == confidence_of(image));
                assert_int_equal(m.tasks[at], t.task_of[t.order[k]]);
                for (int j = 0; j < 6; j++)
                    assert_true(m.logits[at * 6 + (size_t)j] == (float)(image * 10 + (uint32_t)j));
                if (i)
                    assert_true(m.scores[at] < m.scores[at - 1]);
            }
            int better = 0;
            for (uint32_t i = 0; i < d.train.n; i++)
                better += d.train.labels[i] == t.order[k] && confidence_of(i) > m.scores[at - 1];
            assert_int_equal(better, (int)q - 1);
        }
    }
    lvt_memory_free(&m);
    lvt_tasks_free(&t);
    free_data(&d);
}

/* Policies that do not ask: chosen first and answered then gives what answers beforehand give. */
static void answered_later(void **state) {
    (void)state;
    lvt_dataset d;
    make_data(&d, 6, 30);
    lvt_tasks t;
    assert_int_equal(lvt_tasks_make(&d, 3, 0, NULL, "5,3,1,0,2,4", 1, &t, NULL), LVT_OK);
    for (lvt_memory_policy policy = 0; policy < LVT_N_POLICIES; policy++) {
        if (lvt_memory_asks(policy))
            continue;
        lvt_memory now, later;
        assert_int_equal(lvt_memory_init(&now, 22, &d, NULL), LVT_OK);
        assert_int_equal(lvt_memory_init(&later, 22, &d, NULL), LVT_OK);
        for (int task = 0; task < 3; task++) {
            size_t filled = 0;
            offer o;
            run(&now, &d, &t, policy, task);
            make_offer(&o, &d, &t, task);
            const float *confidence = o.confidence, *logits = o.logits;
            o.c.confidence = o.c.logits = NULL;
            assert_int_equal(lvt_memory_update(&later, policy, &t, task, &o.c, 5, NULL), LVT_OK);
            for (size_t i = 0; i < later.n; i++) {
                uint32_t k = later.unanswered[i];
                assert_int_equal(k != UINT32_MAX, later.tasks[i] == task);
                if (k == UINT32_MAX)
                    continue;
                lvt_memory_fill(&later, policy, i, confidence[k], logits + (size_t)k * 6);
                assert_true(later.unanswered[i] == UINT32_MAX);
                filled++;
            }
            assert_true(filled > 0 && filled < o.c.n);
            free_offer(&o);
            assert_int_equal(later.n, now.n);
            assert_memory_equal(later.images, now.images, now.n * now.image_bytes);
            assert_memory_equal(later.labels, now.labels, now.n * sizeof *now.labels);
            assert_memory_equal(later.tasks, now.tasks, now.n * sizeof *now.tasks);
            assert_memory_equal(later.logits, now.logits, now.n * 6 * sizeof *now.logits);
            assert_memory_equal(later.scores, now.scores, now.n * sizeof *now.scores);
        }
        lvt_memory_free(&now);
        lvt_memory_free(&later);
    }
    lvt_tasks_free(&t);
    free_data(&d);
}

/* Classes with fewer images than their quota: all enter, nothing else does, and nothing is invented. */
static void few_images(void **state) {
    (void)state;
    lvt_dataset d;
    make_data(&d, 4, 3);
    lvt_tasks t;
    lvt_memory m;
    assert_int_equal(lvt_tasks_make(&d, 2, 0, NULL, "natural", 1, &t, NULL), LVT_OK);
    assert_int_equal(lvt_memory_init(&m, 100, &d, NULL), LVT_OK);
    run(&m, &d, &t, LVT_POLICY_confidence, 0);
    assert_int_equal(m.n, 6);
    run(&m, &d, &t, LVT_POLICY_confidence, 1);
    assert_int_equal(m.n, 12);
    bool seen[12] = {false};
    for (size_t i = 0; i < m.n; i++)
        seen[m.images[i]] = true;
    for (int i = 0; i < 12; i++)
        assert_true(seen[i]);

    /* A half-filled memory gives no empty images: every draw is a stored one, as often as the others. */
    uint32_t scratch[12], drawn[30], counts[12] = {0};
    lvt_memory_draw(&m, 3, 17, 30, scratch, drawn);
    for (int i = 0; i < 30; i++) {
        assert_true(drawn[i] < 12);
        counts[drawn[i]]++;
    }
    for (int i = 0; i < 12; i++)
        assert_true(counts[i] == 2 || counts[i] == 3);
    lvt_memory_free(&m);
    lvt_tasks_free(&t);
    free_data(&d);
}

static void draws(void **state) {
    (void)state;
    lvt_memory m = {.n = 50};
    uint32_t scratch[50], a[32], b[32], counts[50] = {0};
    for (uint64_t step = 0; step < 2000; step++) {
        bool seen[50] = {false};
        lvt_memory_draw(&m, 1, step, 32, scratch, a);
        for (int i = 0; i < 32; i++) {
            assert_true(a[i] < 50 && !seen[a[i]]); /* without replacement */
            seen[a[i]] = true;
            counts[a[i]]++;
        }
    }
    lvt_memory_draw(&m, 1, 1999, 32, scratch, b);
    assert_memory_equal(a, b, sizeof a);
    /* 2000 draws of 32 of 50: 1280 each, deviation 21.5; five deviations are 108. */
    for (int i = 0; i < 50; i++)
        assert_in_range(counts[i], 1280 - 108, 1280 + 108);
}

static void reservoir(void **state) {
    (void)state;
    lvt_dataset d;
    make_data(&d, 4, 50);
    lvt_tasks t;
    assert_int_equal(lvt_tasks_make(&d, 2, 0, NULL, "natural", 1, &t, NULL), LVT_OK);
    int first = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        lvt_memory m;
        assert_int_equal(lvt_memory_init(&m, 20, &d, NULL), LVT_OK);
        for (int task = 0; task < 2; task++) {
            offer o;
            make_offer(&o, &d, &t, task);
            assert_int_equal(lvt_memory_update(&m, LVT_POLICY_reservoir, &t, task, &o.c, seed, NULL), LVT_OK);
            free_offer(&o);
        }
        assert_int_equal(m.n, 20);
        assert_int_equal(m.seen, 200);
        bool kept[200] = {false};
        for (size_t i = 0; i < m.n; i++) {
            assert_false(kept[m.images[i]]);
            kept[m.images[i]] = true;
            assert_int_equal(m.tasks[i], t.task_of[m.labels[i]]);
            first += m.tasks[i] == 0;
        }
        lvt_memory_free(&m);
    }
    /* 200 runs keep 20 of 200, half of them of the first task: 2000, deviation about 30. */
    assert_in_range(first, 1850, 2150);
    lvt_tasks_free(&t);
    free_data(&d);
}

static void random_and_herding(void **state) {
    (void)state;
    lvt_dataset d;
    make_data(&d, 2, 100);
    lvt_tasks t;
    lvt_memory m;
    assert_int_equal(lvt_tasks_make(&d, 1, 0, NULL, "natural", 1, &t, NULL), LVT_OK);
    assert_int_equal(lvt_memory_init(&m, 10, &d, NULL), LVT_OK);
    run(&m, &d, &t, LVT_POLICY_random, 0);
    assert_int_equal(m.n, 10);
    assert_int_equal(m.labels[4], 0);
    assert_int_equal(m.labels[5], 1);
    lvt_memory_free(&m);

    /* Logits of a class lie on a line: 10 * image for image = 0, 2, .. 198. The mean is at image 99; the
     * nearest one of equally near 98 and 100 is the first, and the second choice mends the mean. */
    assert_int_equal(lvt_memory_init(&m, 4, &d, NULL), LVT_OK);
    run(&m, &d, &t, LVT_POLICY_herding, 0);
    assert_int_equal(m.images[0], 98);
    assert_int_equal(m.images[1], 100);
    assert_int_equal(m.images[2], 99);
    assert_int_equal(m.images[3], 101);
    lvt_memory_free(&m);
    lvt_tasks_free(&t);
    free_data(&d);
}

/* After a task with classes 2 and 3: their columns are the new answers, below the logit of the image's own class
 * by the factor 0.85, or shifted to it where that is not positive; the other columns stay. */
static void renewed(void **state) {
    (void)state;
    static const struct {
        float stored[4], says[4], becomes[4];
    } cases[] = {
        {{8, 1, 0, 0}, {5, 5, 2, -3}, {8, 1, 2, -3}},      /* smaller than the own one: as they are */
        {{4, 1, 0, 0}, {5, 5, 8, 2}, {4, 1, 3.4f, 0.85f}}, /* times 0.85 * 4 / 8 */
        {{-1, -2, 0, 0}, {5, 5, 3, 1}, {-1, -2, -1, -3}},  /* minus 4 */
        {{0, -2, 9, 9}, {5, 5, -7, -6}, {0, -2, -7, -6}},
    };
    lvt_dataset d;
    make_data(&d, 4, 2);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        lvt_memory m;
        assert_int_equal(lvt_memory_init(&m, 3, &d, NULL), LVT_OK);
        m.n = 3;
        for (int i = 0; i < 12; i++)
            m.logits[i] = i / 4 == 1 ? cases[k].stored[i % 4] : 77;
        m.labels[1] = 0;
        lvt_memory_renew(&m, 1, (const bool[]){false, false, true, true}, cases[k].says);
        for (int i = 0; i < 12; i++) {
            float want = i / 4 == 1 ? cases[k].becomes[i % 4] : 77;
            if (fabsf(m.logits[i] - want) > 1e-6f)
                fail_msg("case %zu, %d: %.9g, not %.9g", k, i, m.logits[i], want);
        }
        lvt_memory_free(&m);
    }
    free_data(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(split),
        cmocka_unit_test(quota),
        cmocka_unit_test(quota_of_small_classes),
        cmocka_unit_test(confidence),
        cmocka_unit_test(answered_later),
        cmocka_unit_test(few_images),
        cmocka_unit_test(draws),
        cmocka_unit_test(reservoir),
        cmocka_unit_test(random_and_herding),
        cmocka_unit_test(renewed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
