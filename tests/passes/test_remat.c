/* Programs that compute values again to fit a budget: they fit, give the same bits as without one, survive
 * the text and the passes that look for equal nodes, and where a budget cannot be met the compiler says what
 * holds it. */
#include "frontend/language/language.h"
#include "ir/text.h"
#include "passes/pass.h"
#include "runtime/compiled.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

typedef struct model {
    const char *path, *settings[4];
    size_t n_settings;
} model;

/* Batches that are large enough for what is kept for the backward part to be most of the arena. */
static const model tiny = {"models/lvt-tiny.lvt", {"predict_batch=2"}, 1};
static const model levit = {"tests/bench/levit_step.lvt", {"batch=16", "predict_batch=2"}, 2};

typedef struct result {
    lvt_status status;
    lvt_compiled *program;
    char *words; /* of the diag */
} result;

static result compile(const model *m, uint64_t budget) {
    lvt_diag *diag = lvt_diag_new();
    lvt_module *module = NULL;
    result r = {0};
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", LVT_SOURCE_DIR, m->path);
    assert_int_equal(lvt_compile_file(path, (const char **)m->settings, m->n_settings,
                                      LVT_SOURCE_DIR "/models", &module, diag),
                     LVT_OK);
    r.status = lvt_compile(module, &(lvt_compile_options){.memory_budget = budget, .verify_each = true},
                           &r.program, diag);
    r.words = lvt_diag_text(diag);
    if (r.status != LVT_OK)
        lvt_module_free(module);
    lvt_diag_free(diag);
    return r;
}

static void drop(result *r) {
    lvt_compiled_free(r->program);
    free(r->words);
}

static uint64_t state_bytes(const lvt_module *m) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < m->n_states; i++)
        sum += lvt_type_bytes(&m->states[i].type);
    return sum;
}

static uint32_t entry_index(const lvt_module *m, const char *name) {
    for (uint32_t i = 0; i < m->n_entries; i++)
        if (!strcmp(m->entries[i]->name, name))
            return i;
    fail();
    return 0;
}

static uint32_t count_again(const lvt_graph *g) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        const lvt_node *node = &g->nodes[i];
        if (node->role != LVT_RECOMPUTE)
            continue;
        n++;
        assert_true(node->origin < i && g->nodes[node->origin].op == node->op);
    }
    return n;
}

/* ---- the same bits ---- */

/* Programs of one test share kernels: compiled once. */
static char cache[] = "/tmp/lvt-remat-cache-XXXXXX";

static lvt_session *open_session(lvt_compiled *c, lvt_program **p, int threads, lvt_diag *diag) {
    char path[] = "/tmp/lvt-remat-XXXXXX";
    lvt_session *s = NULL;
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    assert_int_equal(lvt_program_write(c, path, diag), LVT_OK);
    assert_int_equal(
        lvt_program_open(path, &(lvt_program_options){.cache = cache, .threads = threads}, p, diag), LVT_OK);
    unlink(path);
    assert_int_equal(lvt_session_new(*p, &(lvt_session_options){.threads = threads, .seed = 3}, &s, diag),
                     LVT_OK);
    return s;
}

static void **draw_inputs(const lvt_graph *g) {
    void **inputs = calloc(g->n_inputs + 1, sizeof *inputs);
    uint32_t seed = 12345;
    for (uint32_t i = 0; i < g->n_inputs; i++) {
        const lvt_type *t = &g->values[g->inputs[i].value].type;
        if (g->inputs[i].has_default)
            continue;
        inputs[i] = calloc(1, lvt_type_bytes(t));
        for (int64_t k = 0; k < lvt_numel(t); k++) {
            seed = seed * 1664525u + 1013904223u;
            if (t->dtype == LVT_F32)
                ((float *)inputs[i])[k] = (float)(seed >> 8) / 8388608.0f - 1;
            else if (t->dtype == LVT_I32)
                ((int32_t *)inputs[i])[k] = (int32_t)(seed >> 16) % 10;
        }
    }
    return inputs;
}

/* Two steps of `train` on both programs: every output and every state is the same to the bit. */
static void expect_same_bits(lvt_compiled *a, lvt_compiled *b, int threads) {
    lvt_diag *diag = lvt_diag_new();
    lvt_program *programs[2];
    lvt_session *sessions[2] = {open_session(a, &programs[0], threads, diag),
                                open_session(b, &programs[1], threads, diag)};
    int train = (int)entry_index(a->module, "train");
    const lvt_graph *g = a->module->entries[train];
    void **inputs = draw_inputs(g);
    for (int step = 0; step < 2; step++) {
        for (int k = 0; k < 2; k++)
            assert_int_equal(lvt_session_run(sessions[k], train, (const void *const *)inputs, diag), LVT_OK);
        for (uint32_t i = 0; i < g->n_outputs; i++)
            assert_memory_equal(lvt_session_output(sessions[0], train, (int)i),
                                lvt_session_output(sessions[1], train, (int)i),
                                lvt_type_bytes(&g->values[g->outputs[i].value].type));
        for (uint32_t i = 0; i < a->module->n_states; i++)
            assert_memory_equal(lvt_session_state(sessions[0], i), lvt_session_state(sessions[1], i),
                                lvt_type_bytes(&a->module->states[i].type));
    }
    for (uint32_t i = 0; i < g->n_inputs; i++)
        free(inputs[i]);
    free(inputs);
    for (int k = 0; k < 2; k++) {
        lvt_session_free(sessions[k]);
        lvt_program_close(programs[k]);
    }
    lvt_diag_free(diag);
}

static void check_budgets(const model *m, int threads, int least) {
    result whole = compile(m, 0);
    assert_int_equal(whole.status, LVT_OK);
    uint32_t train = entry_index(whole.program->module, "train");
    uint64_t states = state_bytes(whole.program->module), arena = whole.program->plans[train].arena_bytes;
    assert_int_equal(count_again(whole.program->module->entries[train]), 0);
    uint32_t before = 0;
    for (int percent = 85; percent >= least; percent -= 20) {
        uint64_t budget = states + arena * (uint64_t)percent / 100;
        result r = compile(m, budget);
        if (r.status != LVT_OK)
            print_error("%s", r.words);
        assert_int_equal(r.status, LVT_OK);
        for (uint32_t i = 0; i < r.program->module->n_entries; i++)
            assert_true(r.program->plans[i].arena_bytes + r.program->plans[i].kept_bytes + states <= budget);
        uint32_t again = count_again(r.program->module->entries[train]);
        assert_true(again > before); /* a smaller budget asks for more */
        before = again;
        expect_same_bits(whole.program, r.program, threads);
        drop(&r);
    }
    result enough = compile(m, states + arena + 1000000);
    assert_int_equal(enough.status, LVT_OK);
    assert_true(enough.program->hash == whole.program->hash); /* nothing is done that nobody needs */
    drop(&enough);
    drop(&whole);
}

static void budgets_of_tiny(void **state) {
    (void)state;
    check_budgets(&tiny, 1, 45);
}

static void budgets_of_levit(void **state) {
    (void)state;
    check_budgets(&levit, 2, 85);
}

/* ---- text ---- */

static void keep_text(void *user, lvt_report kind, const char *title, const char *text) {
    (void)title;
    if (kind == LVT_REPORT_DUMP) {
        free(*(char **)user);
        *(char **)user = strdup(text);
    }
}

static lvt_module *read_text(const char *text, lvt_diag *diag) {
    lvt_module *m = NULL;
    assert_int_equal(lvt_read_module("dump", text, strlen(text), &m, diag), LVT_OK);
    return m;
}

static void survives_text_and_passes(void **state) {
    (void)state;
    result whole = compile(&tiny, 0);
    uint32_t train = entry_index(whole.program->module, "train");
    uint64_t budget = state_bytes(whole.program->module) + whole.program->plans[train].arena_bytes * 6 / 10;
    lvt_diag *diag = lvt_diag_new();
    result r = compile(&tiny, budget);
    assert_int_equal(r.status, LVT_OK);
    uint32_t again = count_again(r.program->module->entries[train]);
    char *text = lvt_print_module(r.program->module, NULL), *dump = NULL;
    assert_true(again > 0);
    /* Planned again from the text: the same program, with and without the budget. */
    for (int k = 0; k < 2; k++) {
        lvt_module *m = read_text(text, diag);
        lvt_compiled *p = NULL;
        lvt_compile_options o = {.start_at = "plan", .memory_budget = k ? budget : 0};
        assert_int_equal(lvt_compile(m, &o, &p, diag), LVT_OK);
        assert_int_equal(p->plans[train].arena_bytes, r.program->plans[train].arena_bytes);
        assert_true(p->hash == r.program->hash);
        lvt_compiled_free(p);
    }
    /* Looking for equal nodes does not find them equal. */
    lvt_module *m = read_text(text, diag);
    lvt_compiled *none = NULL;
    lvt_compile_options o = {.start_at = "cse-3",
                             .stop_after = "dce-3",
                             .dump_after = "dce-3",
                             .report = keep_text,
                             .user = &dump};
    assert_int_equal(lvt_compile(m, &o, &none, diag), LVT_OK);
    assert_int_equal(count_again(m->entries[train]), again);
    lvt_module_free(m);
    free(text);
    free(dump);
    drop(&r);
    drop(&whole);
    lvt_diag_free(diag);
}

/* ---- what cannot be ---- */

static void says_what_holds_the_peak(void **state) {
    (void)state;
    result r = compile(&tiny, 1000);
    assert_int_equal(r.status, LVT_USER);
    assert_null(r.program);
    assert_non_null(
        strstr(r.words, "E431: entry train does not fit into 0.00 MB: the least that was reached is"));
    assert_non_null(strstr(r.words, "nn.lvt:"));
    assert_non_null(strstr(r.words, " MB are f32["));
    drop(&r);
}

static int make_cache(void **state) {
    (void)state;
    return mkdtemp(cache) ? 0 : 1;
}

static int drop_cache(void **state) {
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", cache);
    return system(command);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(budgets_of_tiny), cmocka_unit_test(budgets_of_levit),
                                       cmocka_unit_test(survives_text_and_passes),
                                       cmocka_unit_test(says_what_holds_the_peak)};
    return cmocka_run_group_tests(tests, make_cache, drop_cache);
}
