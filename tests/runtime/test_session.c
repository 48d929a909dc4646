/* Sessions on a hand-made program: results against the interpreter, inputs left out, states that are
 * exchanged, views as outputs, the same bits for the same seed, checks that find a wrong plan. */
#include "harness.h"
#include "ir/op.h"

typedef struct example {
    lvt_module *module;
    lvt_graph *g;
    lvt_diag *diag;
    lvt_compiled *compiled;
} example;

static lvt_value state(lvt_builder *b, const char *name, int rank, const int64_t *dims) {
    lvt_type t = lvt_type_make(LVT_F32, rank, dims);
    uint32_t index =
        lvt_module_add_state(b->graph->module, name, &t, (lvt_init){LVT_INIT_NORMAL, 0, 1}, true, 0);
    return lvt_build_state(b, index);
}

/* y = scale * x w^T; w := w + bias; a and b change places. Outputs: y, its transpose, w before the step, x
 * itself. */
static void build(example *e) {
    e->diag = lvt_diag_new();
    e->module = lvt_module_new("example");
    e->g = lvt_module_add_entry(e->module, "step", 0, true);
    lvt_builder b = lvt_builder_for(e->g, e->diag);
    lvt_type tx = lvt_type_make(LVT_F32, 2, (const int64_t[]){4, 6}), ts = lvt_type_make(LVT_F32, 0, NULL);
    lvt_value x = lvt_build_input(&b, "x", &tx), scale = lvt_build_input(&b, "scale", &ts);
    e->g->inputs[1].has_default = true;
    e->g->inputs[1].default_value = 3;
    lvt_value w = state(&b, "w", 2, (const int64_t[]){5, 6}),
              bias = state(&b, "bias", 1, (const int64_t[]){6});
    lvt_value p = state(&b, "p", 1, (const int64_t[]){7}), q = state(&b, "q", 1, (const int64_t[]){7});
    lvt_value y = lvt_build_binary(&b, LVT_OP_mul, lvt_build_matmul(&b, x, w, false, true), scale);
    lvt_value next = lvt_build_binary(&b, LVT_OP_add, w, bias);
    lvt_graph_add_output(e->g, "y", y, 0);
    lvt_graph_add_output(e->g, "yt", lvt_build_transpose(&b, y, (const int64_t[]){1, 0}), 0);
    lvt_graph_add_output(e->g, "old", w, 0);
    lvt_graph_add_output(e->g, "x", x, 0);
    lvt_graph_add_update(e->g, 0, next, 0);
    lvt_graph_add_update(e->g, 2, q, 0);
    lvt_graph_add_update(e->g, 3, p, 0);
    assert_false(e->g->failed);
}

/* A place for a view, from the place of what it views. */
static void place_view(const lvt_graph *g, const lvt_node *n, const lvt_place *from, lvt_place *to) {
    const lvt_type *old = lvt_value_type(g, n->operands[0]), *t = lvt_value_type(g, n->result);
    *to = *from;
    memset(to->strides, 0, sizeof to->strides);
    if (n->op == LVT_OP_transpose) {
        for (int i = 0; i < t->rank; i++)
            to->strides[i] = from->strides[lvt_attr_get(n, "order")->ints[i]];
    } else {
        assert_int_equal(n->op, LVT_OP_broadcast);
        for (int i = 0; i < old->rank; i++)
            to->strides[t->rank - old->rank + i] = old->dim[i] == 1 ? 0 : from->strides[i];
    }
}

/* The simplest plan: every value that is computed has memory of its own; all updates are copied at the end.
 */
static void plan(example *e) {
    lvt_graph *g = e->g;
    lvt_arena *arena = e->module->arena;
    lvt_plan *p = lvt_arena_alloc(arena, sizeof *p);
    p->graph = g;
    p->places = lvt_arena_alloc(arena, g->n_values * sizeof *p->places);
    p->steps = lvt_arena_alloc(arena, g->n_nodes * sizeof *p->steps);
    p->stores = lvt_arena_alloc(arena, g->n_updates * sizeof *p->stores);
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        const lvt_node *n = &g->nodes[i];
        lvt_place *place = &p->places[n->result];
        lvt_strides_of(lvt_value_type(g, n->result), place->strides);
        if (n->op == LVT_OP_input || n->op == LVT_OP_state) {
            place->kind = n->op == LVT_OP_input ? LVT_PLACE_INPUT : LVT_PLACE_STATE;
            place->index = (uint32_t)lvt_attr_get(n, "index")->i;
        } else if (lvt_op_of(n)->kind == LVT_KIND_VIEW) {
            place_view(g, n, &p->places[n->operands[0]], place);
        } else {
            place->kind = LVT_PLACE_ARENA;
            place->offset = p->arena_bytes;
            p->arena_bytes += (lvt_type_bytes(lvt_value_type(g, n->result)) + 63) / 64 * 64;
            p->steps[p->n_steps++] =
                (lvt_step){i, n->op == LVT_OP_matmul ? LVT_FAMILY_ONEDNN : LVT_FAMILY_INTERP};
        }
    }
    for (uint32_t i = 0; i < g->n_updates; i++)
        p->stores[p->n_stores++] = (lvt_store){g->updates[i].state, g->updates[i].value};
    e->compiled = calloc(1, sizeof *e->compiled);
    *e->compiled = (lvt_compiled){.module = e->module, .plans = p, .version = LVT_PROGRAM_VERSION};
}

static lvt_program *open(example *e, bool interpret) {
    build(e);
    plan(e);
    assert_int_equal(lvt_program_verify(e->compiled, e->diag), LVT_OK);
    lvt_program *p = NULL;
    const lvt_program_options options = {.interpret = interpret, .cache = ""};
    assert_int_equal(lvt_program_new(e->compiled, "example", &options, &p, e->diag), LVT_OK);
    return p;
}

static void done(example *e, lvt_program *p, lvt_session *s) {
    lvt_session_free(s);
    lvt_program_close(p);
    lvt_diag_free(e->diag);
}

/* The call failed as a mistake of the caller's, with that code, and the diag is empty again. */
static void expect_code(example *e, lvt_status status, const char *code) {
    assert_int_equal(status, LVT_USER);
    char *text = lvt_diag_text(e->diag);
    assert_non_null(strstr(text, code));
    free(text);
    lvt_diag_clear(e->diag);
}

static lvt_session *session(lvt_program *p, uint64_t seed, lvt_diag *d) {
    lvt_session *s = NULL;
    assert_int_equal(lvt_session_new(p, &(lvt_session_options){.threads = 2, .seed = seed}, &s, d), LVT_OK);
    return s;
}

static void fill(float *x, int n, uint64_t seed) {
    rng r = {seed};
    for (int i = 0; i < n; i++)
        x[i] = (float)(rng_next(&r) / 2147483648.0 - 1);
}

static void near(const void *got, const double *want, int n) {
    for (int i = 0; i < n; i++) /* sums of six products of f32 numbers near 1: a few roundings of 6e-8 */
        assert_true(fabs(((const float *)got)[i] - want[i]) < 2e-6);
}

static void run_and_compare(bool interpret) {
    example e;
    lvt_program *p = open(&e, interpret);
    lvt_session *s = session(p, 11, e.diag);
    float x[24], scale = 0.5f;
    double in[24], dscale, y[20], yt[20], old[30], xo[24], w[30], bias[6], a[7], b[7];
    const lvt_graph *g = e.g;
    lvt_tensor states[4] = {{e.module->states[0].type, w},
                            {e.module->states[1].type, bias},
                            {e.module->states[2].type, a},
                            {e.module->states[3].type, b}};
    lvt_tensor inputs[2] = {{*lvt_value_type(g, g->inputs[0].value), in},
                            {*lvt_value_type(g, g->inputs[1].value), &dscale}};
    double *out[4] = {y, yt, old, xo};
    lvt_tensor outputs[4];
    for (int i = 0; i < 4; i++) {
        outputs[i] = (lvt_tensor){*lvt_value_type(g, g->outputs[i].value), out[i]};
        lvt_tensor_load(&states[i], lvt_session_state(s, (uint32_t)i));
    }
    for (int step = 0; step < 3; step++) {
        bool given = step != 1; /* the second time, scale takes its default */
        fill(x, 24, 77 + (uint64_t)step);
        lvt_tensor_load(&inputs[0], x);
        dscale = given ? 0.5 : 3;
        assert_int_equal(lvt_session_run(s, 0, (const void *const[]){x, given ? &scale : NULL}, e.diag),
                         LVT_OK);
        assert_int_equal(lvt_interp_run(g, inputs, states, outputs, LVT_PRECISION_F32, NULL, NULL, e.diag),
                         LVT_OK);
        memset(x, 0, sizeof x); /* inputs are read during the call only */
        static const int counts[4] = {20, 20, 30, 24}, sizes[4] = {30, 6, 7, 7};
        for (int i = 0; i < 4; i++) {
            near(lvt_session_output(s, 0, i), out[i], counts[i]);
            near(lvt_session_state(s, (uint32_t)i), states[i].data, sizes[i]);
        }
    }
    done(&e, p, s);
}

static void on_kernels(void **unused) {
    (void)unused;
    run_and_compare(false);
}

static void on_interpreter(void **unused) {
    (void)unused;
    run_and_compare(true);
}

static void names(void **unused) {
    (void)unused;
    example e;
    lvt_program *p = open(&e, true);
    assert_int_equal(lvt_entry_find(p, "step"), 0);
    assert_int_equal(lvt_entry_find(p, "steps"), -1);
    assert_int_equal(lvt_entry_input(p, 0, "scale"), 1);
    assert_int_equal(lvt_entry_input(p, 0, "y"), -1);
    assert_int_equal(lvt_entry_output(p, 0, "old"), 2);
    assert_int_equal(lvt_entry_output(p, 0, "scale"), -1);
    assert_true(lvt_program_entry(p, 0).flops ==
                2 * 4 * 5 * 6 + 20 + 30); /* the product, the scaling, the update */
    done(&e, p, NULL);
}

static void missing_input(void **unused) {
    (void)unused;
    example e;
    lvt_program *p = open(&e, true);
    lvt_session *s = session(p, 1, e.diag);
    float scale = 1, before[30];
    memcpy(before, lvt_session_state(s, 0), sizeof before);
    assert_int_equal(lvt_session_run(s, 0, (const void *const[]){NULL, &scale}, e.diag), LVT_USER);
    assert_int_equal(lvt_session_run(s, 0, NULL, e.diag), LVT_USER);
    assert_memory_equal(before, lvt_session_state(s, 0), sizeof before);
    char *text = lvt_diag_text(e.diag);
    assert_non_null(strstr(text, "entry step: input x has no default and was not given"));
    free(text);
    done(&e, p, s);
}

static void same_bits(void **unused) {
    (void)unused;
    example e;
    lvt_program *p = open(&e, false);
    lvt_session *s = session(p, 5, e.diag), *t = session(p, 5, e.diag);
    float x[24];
    fill(x, 24, 9);
    for (int i = 0; i < 3; i++) { /* two sessions of one program, in turns */
        assert_int_equal(lvt_session_run(s, 0, (const void *const[]){x, NULL}, e.diag), LVT_OK);
        assert_int_equal(lvt_session_run(t, 0, (const void *const[]){x, NULL}, e.diag), LVT_OK);
    }
    assert_memory_equal(lvt_session_output(s, 0, 0), lvt_session_output(t, 0, 0), 20 * sizeof(float));
    assert_memory_equal(lvt_session_state(s, 0), lvt_session_state(t, 0), 30 * sizeof(float));
    float first[30], later[30];
    memcpy(later, lvt_session_state(s, 0), sizeof later);
    lvt_session_reset(s, 6);
    memcpy(first, lvt_session_state(s, 0), sizeof first);
    assert_memory_not_equal(first, later, sizeof first);
    lvt_session_reset(s, 5);
    for (int i = 0; i < 3; i++)
        assert_int_equal(lvt_session_run(s, 0, (const void *const[]){x, NULL}, e.diag), LVT_OK);
    assert_memory_equal(later, lvt_session_state(s, 0), sizeof later);
    lvt_session_free(t);
    done(&e, p, s);
}

/* An entry that is prepared later is the same as one that was made at once. */
static void prepared_late(void **unused) {
    (void)unused;
    example e;
    lvt_program *p = open(&e, false);
    lvt_session *now = session(p, 4, e.diag), *late;
    int none = 0;
    const lvt_session_options options = {.threads = 2, .seed = 4, .entries = &none, .n_entries = 0};
    assert_int_equal(lvt_session_new(p, &options, &late, e.diag), LVT_OK);
    assert_int_equal(lvt_session_opening(now)->onednn_kernels, 1);
    assert_int_equal(lvt_session_opening(late)->onednn_kernels, 0);
    assert_null(lvt_session_output(late, 0, 0));
    expect_code(&e, lvt_session_run(late, 0, NULL, e.diag), "E704");
    expect_code(&e, lvt_session_check(late, 0, NULL, e.diag), "E704");
    expect_code(&e, lvt_session_run(late, -1, NULL, e.diag), "E705");
    expect_code(&e, lvt_session_run(late, 1, NULL, e.diag), "E705");
    expect_code(&e, lvt_session_prepare(late, (const int[]){0, 1}, 2, e.diag), "E705");
    assert_null(lvt_session_output(late, -1, 0));
    assert_null(lvt_session_state(late, 4));
    lvt_session_profile(late, true); /* nothing to time yet */
    lvt_session_profile(late, false);
    for (int twice = 0; twice < 2; twice++) { /* the second time there is nothing to do */
        assert_int_equal(lvt_session_prepare(late, (const int[]){0, 0}, 2, e.diag), LVT_OK);
        assert_int_equal(lvt_session_opening(late)->onednn_kernels, 1);
    }
    float x[24];
    fill(x, 24, 5);
    for (int step = 0; step < 2; step++) {
        assert_int_equal(lvt_session_run(now, 0, (const void *const[]){x, NULL}, e.diag), LVT_OK);
        assert_int_equal(lvt_session_run(late, 0, (const void *const[]){x, NULL}, e.diag), LVT_OK);
        assert_memory_equal(lvt_session_output(now, 0, 0), lvt_session_output(late, 0, 0),
                            20 * sizeof(float));
        for (uint32_t i = 0; i < 4; i++)
            assert_memory_equal(lvt_session_state(now, i), lvt_session_state(late, i),
                                lvt_type_bytes(&e.module->states[i].type));
    }
    assert_int_equal(lvt_session_opening(late)->onednn_kernels, 1);
    lvt_session_free(late);
    done(&e, p, now);
}

static void expect_tensor(lvt_tensor_info t, const char *name, const char *type, lvt_tensor_role role) {
    char text[LVT_TYPE_TEXT];
    assert_string_equal(t.name, name);
    assert_string_equal(lvt_type_text(&t.type, text), type);
    assert_int_equal(t.bytes, lvt_type_bytes(&t.type));
    assert_int_equal(t.role, role);
}

/* All that a program holds can be asked by index; what does not exist has no name. */
static void described(void **unused) {
    (void)unused;
    example e;
    lvt_program *p = open(&e, true);
    assert_string_equal(lvt_program_name(p), "example");
    assert_int_equal(lvt_program_entries(p), 1);
    assert_int_equal(lvt_program_states(p), 4);
    lvt_entry_info entry = lvt_program_entry(p, 0);
    assert_string_equal(entry.name, "step");
    assert_true(entry.training && entry.n_updates == 3 && entry.n_inputs == 2 && entry.n_outputs == 4);
    assert_int_equal(entry.n_steps, e.compiled->plans[0].n_steps);
    assert_int_equal(entry.working_bytes, e.compiled->plans[0].arena_bytes);
    expect_tensor(lvt_program_input(p, 0, 0), "x", "f32[4,6]", LVT_ROLE_INPUT);
    assert_false(lvt_program_input(p, 0, 0).has_default);
    expect_tensor(lvt_program_input(p, 0, 1), "scale", "f32[]", LVT_ROLE_INPUT);
    assert_true(lvt_program_input(p, 0, 1).has_default && lvt_program_input(p, 0, 1).default_value == 3);
    assert_true(lvt_program_input(p, 0, 1).used);
    expect_tensor(lvt_program_output(p, 0, 1), "yt", "f32[5,4]", LVT_ROLE_OUTPUT);
    expect_tensor(lvt_program_state(p, 1), "bias", "f32[6]", LVT_ROLE_PARAMETER);
    for (int i = 0; i < 4; i++) {
        lvt_tensor_info state = lvt_program_state(p, i);
        assert_int_equal(lvt_state_find(p, state.name), i);
        assert_int_equal(lvt_program_updates(p, 0, i), i != 1);
    }
    lvt_step_info step = lvt_program_step(p, 0, 0);
    assert_string_equal(step.op, "matmul");
    assert_string_equal(step.family, "onednn");
    assert_string_equal(step.role, "forward");
    assert_true(step.flops == 2 * 4 * 5 * 6 && !step.prologue);
    assert_null(step.at.file);
    for (int wrong = -1; wrong < 8; wrong += 8) {
        assert_null(lvt_program_entry(p, wrong).name);
        assert_null(lvt_program_input(p, 0, wrong).name);
        assert_null(lvt_program_input(p, wrong, 0).name);
        assert_null(lvt_program_output(p, 0, wrong).name);
        assert_null(lvt_program_state(p, wrong).name);
        assert_null(lvt_program_step(p, 0, wrong).op);
        assert_false(lvt_program_updates(p, wrong, 0));
        assert_int_equal(lvt_entry_input(p, wrong, "x"), -1);
    }
    assert_int_equal(lvt_state_find(p, "nothing"), -1);
    const char *name, *value;
    assert_false(lvt_program_setting(p, 0, &name, &value));
    done(&e, p, NULL);
}

static void profile(void **unused) {
    (void)unused;
    example e;
    lvt_program *p = open(&e, false);
    lvt_session *s = session(p, 5, e.diag);
    float x[24];
    fill(x, 24, 9);
    assert_null(lvt_session_times(s, 0));
    lvt_session_profile(s, true);
    for (int i = 0; i < 4; i++)
        assert_int_equal(lvt_session_run(s, 0, (const void *const[]){x, NULL}, e.diag), LVT_OK);
    const lvt_step_time *times = lvt_session_times(s, 0);
    for (uint32_t i = 0; i < e.compiled->plans[0].n_steps; i++)
        assert_true(times[i].runs == 4 && times[i].seconds > 0);
    lvt_session_profile(s, false);
    assert_null(lvt_session_times(s, 0));
    done(&e, p, s);
}

/* The check passes on a right plan and leaves the state alone; it names the step whose operand a wrong plan
 * overwrites. */
static void check(void **unused) {
    (void)unused;
    example e;
    lvt_program *p = open(&e, false);
    lvt_session *s = session(p, 5, e.diag);
    float x[24], before[30];
    fill(x, 24, 9);
    memcpy(before, lvt_session_state(s, 0), sizeof before);
    assert_int_equal(lvt_session_check(s, 0, (const void *const[]){x, NULL}, e.diag), LVT_OK);
    assert_memory_equal(before, lvt_session_state(s, 0), sizeof before);
    lvt_session_free(s);

    lvt_plan *bad = &e.compiled->plans[0];
    /* step 0 is the product, 1 its scaling, 2 the update: run the update between them, on the product's
     * memory */
    lvt_step update = bad->steps[2];
    bad->steps[2] = bad->steps[1];
    bad->steps[1] = update;
    bad->places[e.g->nodes[update.node].result].offset =
        bad->places[e.g->nodes[bad->steps[0].node].result].offset;
    s = session(p, 5, e.diag);
    assert_int_equal(lvt_session_check(s, 0, (const void *const[]){x, NULL}, e.diag), LVT_INTERNAL);
    char *text = lvt_diag_text(e.diag);
    assert_non_null(strstr(text, "E711"));
    assert_non_null(strstr(text, "step 2 (mul"));
    free(text);
    done(&e, p, s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_kernels),    cmocka_unit_test(on_interpreter), cmocka_unit_test(names),
        cmocka_unit_test(missing_input), cmocka_unit_test(same_bits),      cmocka_unit_test(profile),
        cmocka_unit_test(check),         cmocka_unit_test(prepared_late),  cmocka_unit_test(described),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
