/* iCaRL against the paper, computed here from the network's features: which images herding keeps and in which
 * order, the means of exemplars, the answers by the nearest mean; herding by features on made-up numbers. */
#include "runtime/continual/trainer.h"
#include "ir/base/file.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct gathered { /* of all images asked for */
    const lvt_model *m;
    double *features; /* of length 1 */
    float *logits;
} gathered;

static void gather(void *user, uint32_t i, const float *logits, const float *injection) {
    gathered *g = user;
    size_t n = (size_t)g->m->n_features, classes = (size_t)g->m->classes;
    const float *f = lvt_model_features(g->m) + i % (uint32_t)g->m->predict_batch * n;
    double length = 0;
    (void)injection;
    for (size_t d = 0; d < n; d++)
        length += (double)f[d] * f[d];
    for (size_t d = 0; d < n; d++)
        g->features[i * n + d] = f[d] / sqrt(length);
    memcpy(g->logits + i * classes, logits, classes * sizeof *logits);
}

static gathered look(lvt_trainer *t, const lvt_images *images) {
    uint32_t *index = malloc(images->n * sizeof *index), n = (uint32_t)images->n;
    gathered g = {t->model, malloc(images->n * (size_t)t->model->n_features * sizeof *g.features),
                  malloc(images->n * (size_t)t->model->classes * sizeof *g.logits)};
    assert_non_null(index);
    assert_non_null(g.features);
    assert_non_null(g.logits);
    for (uint32_t i = 0; i < n; i++)
        index[i] = i;
    assert_int_equal(lvt_predict_images(t->model, &t->plain, images, index, n, NULL, gather, &g, NULL),
                     LVT_OK);
    free(index);
    return g;
}

/* The paper's algorithm 4, written out: p_k = argmin | mu - (phi(x) + sum of those before) / k |. */
static void herd(const double *features, const uint32_t *members, int n, int dims, int keep, uint32_t *out) {
    double mean[dims], sum[dims];
    bool used[n];
    memset(used, 0, sizeof used);
    for (int d = 0; d < dims; d++) {
        mean[d] = sum[d] = 0;
        for (int i = 0; i < n; i++)
            mean[d] += features[members[i] * (uint32_t)dims + (uint32_t)d] / n;
    }
    for (int k = 1; k <= keep; k++) {
        int best = -1;
        double least = INFINITY;
        for (int i = 0; i < n; i++) {
            double distance = 0;
            for (int d = 0; d < dims; d++)
                distance +=
                    pow(mean[d] - (features[members[i] * (uint32_t)dims + (uint32_t)d] + sum[d]) / k, 2);
            if (!used[i] && distance < least) {
                least = distance;
                best = i;
            }
        }
        used[best] = true;
        out[k - 1] = members[best];
        for (int d = 0; d < dims; d++)
            sum[d] += features[members[best] * (uint32_t)dims + (uint32_t)d];
    }
}

/* With mirroring, as its authors' program does, means are of the exemplars and of their mirror images. */
static void check_paper(bool mirrored) {
    char folder[] = "/tmp/lvt-icarl-XXXXXX", command[1024], path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/icarl.lvtx", folder);
    snprintf(command, sizeof command, "'%s/lvtc' '%s/models/lvt-tiny.lvt' --set method=icarl -o %s",
             LVT_BINARY_DIR, LVT_SOURCE_DIR, path);
    assert_int_equal(system(command), 0);
    lvt_settings s;
    lvt_settings_defaults(&s);
    s.data = "digits";
    s.tasks = 2;
    s.steps = 30;
    s.memory = 73; /* neither whole quotas nor whole batches */
    s.threads = 1;
    s.flip = mirrored ? LVT_FLIP_ON : LVT_FLIP_AUTO; /* off for digits */
    lvt_model m;
    lvt_dataset *d;
    lvt_trainer t;
    lvt_diag *diag = lvt_diag_new();
    lvt_folder in;
    assert_int_equal(lvt_folder_open(&in, NULL, folder, diag), LVT_OK);
    assert_int_equal(lvt_model_open(&m, path, &(lvt_program_options){.threads = 1}, 1, true, diag), LVT_OK);
    assert_int_equal(lvt_dataset_open("digits", NULL, &d, diag), LVT_OK);
    assert_int_equal(lvt_trainer_init(&t, &s, &m, d, &in, NULL, diag), LVT_OK);
    assert_int_equal(lvt_trainer_run(&t, diag), LVT_OK);

    int dims = m.n_features, classes = d->classes;
    const lvt_module *module = lvt_model_module(&m);
    const float *means = NULL;
    for (uint32_t k = 0; k < module->n_states; k++) {
        if (!strcmp(module->states[k].name, "exemplars.means"))
            means = lvt_session_state(m.session, k);
    }
    assert_non_null(means);

    /* Exemplars of the last task's classes: the network is the one that chose them. */
    gathered train = look(&t, &d->train);
    size_t at = 0;
    for (int k = 0; k < classes; k++) {
        int label = t.tasks.order[k], n = 0, keep = (int)lvt_memory_quota(73, classes, k);
        uint32_t members[400], expected[73];
        for (size_t i = 0; i < d->train.n; i++) {
            if (d->train.labels[i] == label)
                members[n++] = (uint32_t)i;
        }
        herd(train.features, members, n, dims, keep, expected);
        for (int i = 0; i < keep; i++, at++) {
            assert_int_equal(t.memory.labels[at], label);
            if (t.tasks.task_of[label] == 1)
                assert_memory_equal(t.memory.images + at * 64, d->train.pixels + expected[i] * 64, 64);
        }
    }
    assert_int_equal(at, t.memory.n);

    /* Means: of features of length 1, brought to length 1 themselves. f32 sums of a dozen numbers below 1. */
    lvt_images kept = {t.memory.images, t.memory.labels, t.memory.n};
    gathered memory = look(&t, &kept);
    double *expected = calloc((size_t)(classes * dims), sizeof *expected);
    assert_non_null(expected);
    for (size_t i = 0; i < t.memory.n; i++) {
        for (int f = 0; f < dims; f++)
            expected[t.memory.labels[i] * dims + f] += memory.features[i * (size_t)dims + (size_t)f];
    }
    if (mirrored) {
        uint8_t *turned = malloc(t.memory.n * 64);
        assert_non_null(turned);
        for (size_t i = 0; i < t.memory.n * 64; i++)
            turned[i] = t.memory.images[i / 8 * 8 + 7 - i % 8];
        lvt_images mirror = {.pixels = turned, .labels = t.memory.labels, .n = t.memory.n};
        gathered more = look(&t, &mirror);
        for (size_t i = 0; i < t.memory.n; i++) {
            for (int f = 0; f < dims; f++)
                expected[t.memory.labels[i] * dims + f] += more.features[i * (size_t)dims + (size_t)f];
        }
        free(more.features);
        free(more.logits);
        free(turned);
    }
    for (int c = 0; c < classes; c++) {
        double length = 0;
        for (int f = 0; f < dims; f++)
            length += expected[c * dims + f] * expected[c * dims + f];
        for (int f = 0; f < dims; f++) {
            expected[c * dims + f] /= sqrt(length);
            assert_true(fabs(expected[c * dims + f] - (double)means[c * dims + f]) < 1e-5);
        }
    }

    /* Answers: minus the squared distance; the accuracy that was reported is the share of nearest means. */
    gathered test = look(&t, &d->test);
    int right[2] = {0, 0}, of[2] = {0, 0};
    for (size_t i = 0; i < d->test.n; i++) {
        int nearest = 0;
        double least = INFINITY;
        for (int c = 0; c < classes; c++) {
            double distance = 0;
            for (int f = 0; f < dims; f++)
                distance += pow(test.features[i * (size_t)dims + (size_t)f] - expected[c * dims + f], 2);
            assert_true(fabs(distance + (double)test.logits[i * (size_t)classes + (size_t)c]) < 1e-4);
            if (distance < least) {
                least = distance;
                nearest = c;
            }
        }
        int task = t.tasks.task_of[d->test.labels[i]];
        of[task]++;
        right[task] += nearest == d->test.labels[i];
    }
    for (int task = 0; task < 2; task++) /* one image may lie as near to two means as f32 can tell */
        assert_true(fabs((double)right[task] / of[task] - t.accuracy[LVT_CLASS_IL][4 + task]) <
                    1.5 / of[task]);

    gathered *all[] = {&train, &memory, &test};
    for (int i = 0; i < 3; i++) {
        free(all[i]->features);
        free(all[i]->logits);
    }
    free(expected);
    lvt_trainer_free(&t);
    lvt_model_close(&m);
    lvt_dataset_free(d);

    /* Without a memory there is nothing to answer by. */
    s.memory = 0;
    assert_int_equal(lvt_model_open(&m, path, &(lvt_program_options){.threads = 1}, 1, true, diag), LVT_OK);
    assert_int_equal(lvt_dataset_open("digits", NULL, &d, diag), LVT_OK);
    assert_int_equal(lvt_trainer_init(&t, &s, &m, d, &in, NULL, diag), LVT_USER);
    lvt_trainer_free(&t);
    lvt_model_close(&m);
    lvt_dataset_free(d);
    lvt_folder_close(&in);
    lvt_diag_free(diag);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
}

static void the_paper(void **state) {
    (void)state;
    check_paper(false);
}
static void mirrored_means(void **state) {
    (void)state;
    check_paper(true);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_paper), cmocka_unit_test(mirrored_means)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
