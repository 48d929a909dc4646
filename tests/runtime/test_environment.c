/* What the environment gives: CPU quotas of control groups, teams that OpenMP's settings would make smaller,
 * parallel regions around a call. The bits of a session stay. */
#include "ir/finite.h"
#include "runtime/kernels/threads.h"
#include "runtime/compiled.h"

#include <limits.h>
#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *format, ...) {
    char command[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    if (system(command))
        fail_msg("failed: %s", command);
}

static void put(const char *root, const char *path, const char *text) {
    shell("mkdir -p \"$(dirname '%s/%s')\" && printf -- '%s' >'%s/%s'", root, path, text, root, path);
}

static int set_up(void **state) {
    (void)state;
    strcpy(folder, "/tmp/lvt-environment-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}
static int tear_down(void **state) {
    (void)state;
    shell("rm -rf '%s'", folder);
    return 0;
}

/* ---- quotas ---- */

#define V2 "30 1 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\\n"

static void quotas(void **state) {
    (void)state;
    const struct {
        const char *what, *groups, *mounts, *files[6];
        int processors;
    } cases[] = {
        {"nothing to read", "0::/\\n", "", {0}, INT_MAX},
        {"no limit", "0::/a\\n", V2, {"/sys/fs/cgroup/a/cpu.max", "max 100000\\n"}, INT_MAX},
        {"two", "0::/a\\n", V2, {"/sys/fs/cgroup/a/cpu.max", "200000 100000\\n"}, 2},
        {"one and a half is two", "0::/a\\n", V2, {"/sys/fs/cgroup/a/cpu.max", "75000 50000\\n"}, 2},
        {"a part of one is one", "0::/a\\n", V2, {"/sys/fs/cgroup/a/cpu.max", "1000 100000\\n"}, 1},
        {"the one above is less",
         "0::/a/b/c\\n",
         V2,
         {"/sys/fs/cgroup/a/b/c/cpu.max", "max 100000\\n", "/sys/fs/cgroup/a/b/cpu.max", "900000 100000\\n",
          "/sys/fs/cgroup/a/cpu.max", "300000 100000\\n"},
         3},
        {"a container that sees its own group as the top",
         "0::/\\n",
         V2,
         {"/sys/fs/cgroup/cpu.max", "400000 100000\\n"},
         4},
        {"a group outside of what is mounted",
         "0::/../other\\n",
         V2,
         {"/sys/fs/cgroup/cpu.max", "500000 100000\\n"},
         5},
        {"nonsense", "0::/a\\n", V2, {"/sys/fs/cgroup/a/cpu.max", "-1 0\\n"}, INT_MAX},
        {"version 1",
         "3:cpuset:/z\\n2:cpu,cpuacct:/a\\n0::/\\n",
         "32 1 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\\n",
         {"/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "150000\\n",
          "/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\\n"},
         2},
        {"version 1 without a limit",
         "2:cpu,cpuacct:/a\\n",
         "32 1 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\\n",
         {"/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "-1\\n",
          "/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\\n"},
         INT_MAX},
        {"version 1, a container whose group is mounted as the top",
         "4:cpu:/docker/12ab\\n",
         "32 1 0:28 /docker/12ab /sys/fs/cgroup/the\\\\040cpu rw - cgroup cgroup rw,cpu\\n",
         {"/sys/fs/cgroup/the cpu/cpu.cfs_quota_us", "600000\\n", "/sys/fs/cgroup/the cpu/cpu.cfs_period_us",
          "100000\\n"},
         6},
        {"cpuset is not cpu",
         "4:cpuset:/a\\n",
         "32 1 0:28 / /sys/fs/cgroup rw - cgroup cgroup rw,cpuset\\n",
         {"/sys/fs/cgroup/a/cpu.cfs_quota_us", "100000\\n", "/sys/fs/cgroup/a/cpu.cfs_period_us",
          "100000\\n"},
         INT_MAX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char root[96];
        snprintf(root, sizeof root, "%s/%zu", folder, i);
        put(root, "proc/self/cgroup", cases[i].groups);
        put(root, "proc/self/mountinfo", cases[i].mounts);
        for (int k = 0; k < 6 && cases[i].files[k]; k += 2)
            put(root, cases[i].files[k], cases[i].files[k + 1]);
        int got = lvt_cpu_quota(root);
        if (got != cases[i].processors)
            fail_msg("%s: %d, not %d", cases[i].what, got, cases[i].processors);
    }
    assert_true(lvt_processors() >= 1 && lvt_processors() <= omp_get_num_procs());
}

/* ---- teams ---- */

static lvt_program *open_program(lvt_diag *d) {
    char path[96];
    lvt_program *p = NULL;
    snprintf(path, sizeof path, "%s/tiny.lvtx", folder);
    shell("'%s/lvtc' '%s/models/lvt-tiny.lvt' -o '%s'", LVT_BINARY_DIR, LVT_SOURCE_DIR, path);
    assert_int_equal(lvt_program_open(path, &(lvt_program_options){.cache = ""}, &p, d), LVT_OK);
    return p;
}

static lvt_session *new_session(lvt_program *p, int threads, lvt_diag *d) {
    lvt_session *s = NULL;
    int entry = lvt_entry_find(p, "train_new");
    const lvt_session_options o = {.threads = threads, .seed = 3, .entries = &entry, .n_entries = 1};
    assert_int_equal(lvt_session_new(p, &o, &s, d), LVT_OK);
    return s;
}

/* Some steps; a sum over all states that tells bits apart. */
static uint64_t steps(lvt_program *p, lvt_session *s, int n, lvt_diag *d) {
    const lvt_module *m = lvt_program_compiled(p)->module;
    int e = lvt_entry_find(p, "train_new");
    const lvt_graph *g = m->entries[e];
    void *inputs[16] = {0};
    for (uint32_t i = 0; i < g->n_inputs; i++) {
        const lvt_type *t = lvt_value_type(g, g->inputs[i].value);
        inputs[i] = g->inputs[i].has_default ? NULL : calloc(1, lvt_type_bytes(t));
        for (int64_t k = 0; inputs[i] && k < lvt_numel(t); k++) {
            if (t->dtype == LVT_F32)
                ((float *)inputs[i])[k] = strcmp(g->inputs[i].name, "mask") ? (float)(k * 37 % 101) / 101 : 1;
            else if (t->dtype == LVT_I32)
                ((int32_t *)inputs[i])[k] = (int32_t)(k % 10);
        }
    }
    for (int i = 0; i < n; i++)
        assert_int_equal(lvt_session_run(s, e, (const void *const *)inputs, d), LVT_OK);
    for (uint32_t i = 0; i < g->n_inputs; i++)
        free(inputs[i]);
    uint64_t sum = 14695981039346656037u;
    for (uint32_t i = 0; i < m->n_states; i++) {
        const uint8_t *x = lvt_session_state(s, i);
        for (size_t k = 0; k < lvt_type_bytes(&m->states[i].type); k++)
            sum = (sum ^ x[k]) * 1099511628211u;
    }
    return sum;
}

static void expect(lvt_diag *d, const char *words) {
    char *text = lvt_diag_text(d);
    if (!strstr(text, words))
        fail_msg("no \"%s\" in: %s", words, text);
    free(text);
    lvt_diag_clear(d);
}

static void hostile_settings(void **state) {
    (void)state;
    lvt_diag *d = lvt_diag_new();
    lvt_program *p = open_program(d);
    lvt_session *s = new_session(p, 2, d);
    assert_int_equal(lvt_session_threads(s), 2);
    uint64_t want = steps(p, s, 4, d);
    lvt_session_free(s);

    /* What the settings were is what they are again afterwards. */
    omp_set_dynamic(1);
    omp_set_max_active_levels(0);
    omp_set_num_threads(1);
    s = new_session(p, 2, d);
    assert_int_equal(lvt_session_threads(s), 2);
    assert_true(steps(p, s, 4, d) == want);
    assert_int_equal(omp_get_dynamic(), 1);
    assert_int_equal(omp_get_max_active_levels(), 0);
    assert_int_equal(omp_get_max_threads(), 1);
    omp_set_dynamic(0);
    omp_set_max_active_levels(1);

    /* More threads than processors: said, done. */
    lvt_diag_clear(d);
    lvt_session *many = new_session(p, lvt_processors() + 3, d);
    assert_int_equal(lvt_session_threads(many), lvt_processors() + 3);
    expect(d, "processor");
    steps(p, many, 1, d);
    lvt_session_free(many);

    /* Within a parallel region there is no team: a session made outside refuses, one made there has one thread.
     * cmocka's jumps may not leave a region, so what happens in it is looked at behind it. */
    lvt_status refused = LVT_OK, made = LVT_USER;
    lvt_session *inner = NULL;
    int e = lvt_entry_find(p, "train_new"), size = 0;
#pragma omp parallel num_threads(2)
    {
        if (omp_get_thread_num() == 1) {
            size = omp_get_num_threads();
            refused = lvt_session_run(s, e, NULL, d);
            const lvt_session_options o = {.threads = 2, .seed = 3, .entries = &e, .n_entries = 1};
            made = lvt_session_new(p, &o, &inner, d);
        }
    }
    if (size == 2) { /* else the test itself was given one thread */
        assert_int_equal(refused, LVT_USER);
        assert_int_equal(made, LVT_OK);
        assert_int_equal(lvt_session_threads(inner), 1);
        expect(d, "parallel region");
        lvt_session *one = new_session(p, 1, d);
        assert_true(steps(p, inner, 4, d) == steps(p, one, 4, d));
        lvt_session_free(one);
        lvt_session_free(inner);
    }
    lvt_session_reset(s, 3);
    assert_true(steps(p, s, 4, d) == want); /* refusing changed nothing */

    /* NaN in a state is found, in whatever part of it; infinities too. */
    const lvt_module *m = lvt_program_compiled(p)->module;
    int64_t element;
    assert_int_equal(lvt_session_unsound(s, &element), -1);
    for (uint32_t i = 0; i < m->n_states; i++) {
        int64_t n = lvt_numel(&m->states[i].type);
        if (m->states[i].type.dtype != LVT_F32)
            continue;
        for (int where = 0; where < 3; where++) {
            int64_t at = where == 0 ? 0 : where == 1 ? n / 2 : n - 1;
            float *x = lvt_session_state(s, i), old = x[at];
            x[at] = where == 1 ? -INFINITY : NAN;
            assert_int_equal(lvt_session_unsound(s, &element), i);
            assert_int_equal(element, at);
            int found = 0;
            for (uint64_t turn = 100; turn < 100 + LVT_GLANCES; turn++)
                found += lvt_session_glance(s, turn, &element) == i;
            assert_true(!m->states[i].trainable  ? !found
                        : at < LVT_GLANCE_ALWAYS ? found == LVT_GLANCES
                                                 : found == 1);
            x[at] = old;
        }
    }
    assert_int_equal(lvt_session_unsound(s, &element), -1);
    lvt_session_free(s);
    lvt_program_close(p);
    lvt_diag_free(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quotas),
        cmocka_unit_test(hostile_settings),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
