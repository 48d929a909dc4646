/* Arena, types and graphs: the ground everything stands on. */
#include "ir/op.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static void arena_gives_zeroed_aligned_memory(void **state) {
    (void)state;
    lvt_arena *a = lvt_arena_new();
    assert_non_null(a);
    for (size_t n = 0; n < 5000; n += 37) {
        unsigned char *p = lvt_arena_alloc(a, n);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xee, n); /* a later block that overlaps would not be zero */
    }
    unsigned char *large = lvt_arena_alloc(a, 10000000), *small = lvt_arena_alloc(a, 16);
    assert_non_null(large);
    assert_non_null(small);
    assert_int_equal(large[9999999], 0);
    assert_null(lvt_arena_alloc(a, SIZE_MAX));
    assert_string_equal(lvt_arena_printf(a, "%s-%d", "abc", 7), "abc-7");
    assert_string_equal(lvt_arena_strndup(a, "abcdef", 3), "abc");
    lvt_arena_free(a);
    lvt_arena_free(NULL);
}

static void arena_grow_keeps_contents(void **state) {
    (void)state;
    lvt_arena *a = lvt_arena_new();
    int *v = NULL;
    size_t cap = 0;
    for (int i = 0; i < 1000; i++) {
        v = lvt_arena_grow(a, v, (size_t)i, (size_t)i + 1, &cap, sizeof *v);
        assert_non_null(v);
        v[i] = i;
    }
    for (int i = 0; i < 1000; i++)
        assert_int_equal(v[i], i);
    assert_null(lvt_arena_grow(a, v, 1000, SIZE_MAX / 4, &cap, sizeof *v));
    lvt_arena_free(a);
}

static lvt_type type_of(int rank, int64_t a, int64_t b, int64_t c) {
    return lvt_type_make(LVT_F32, rank, (int64_t[]){a, b, c});
}

static void types_print_compare_and_broadcast(void **state) {
    (void)state;
    char buffer[LVT_TYPE_TEXT];
    lvt_type t = type_of(3, 4, 1, 5), scalar = type_of(0, 0, 0, 0), out;
    assert_string_equal(lvt_type_text(&t, buffer), "f32[4,1,5]");
    assert_string_equal(lvt_type_text(&scalar, buffer), "f32[]");
    assert_int_equal(lvt_numel(&t), 20);
    assert_int_equal(lvt_numel(&scalar), 1);
    assert_int_equal(lvt_type_bytes(&t), 80);
    lvt_type other = t;
    other.dtype = LVT_I32;
    assert_true(lvt_shape_equal(&t, &other));
    assert_false(lvt_type_equal(&t, &other));
    lvt_type row = type_of(2, 3, 1, 0), fits_not = type_of(2, 3, 4, 0);
    assert_true(lvt_broadcast_types(&t, &row, &out));
    assert_string_equal(lvt_type_text(&out, buffer), "f32[4,3,5]");
    assert_true(lvt_broadcast_types(&scalar, &t, &out));
    assert_true(lvt_type_equal(&out, &t));
    assert_false(lvt_broadcast_types(&t, &fits_not, &out));
    lvt_dtype d;
    for (int i = 0; i < LVT_N_DTYPES; i++) {
        const char *name = lvt_dtype_name((lvt_dtype)i);
        assert_true(lvt_dtype_parse(name, strlen(name), &d));
        assert_int_equal(d, i);
    }
    assert_false(lvt_dtype_parse("f3", 2, &d));
    assert_false(lvt_dtype_parse("f322", 4, &d));
}

static void locations_are_shared_and_chained(void **state) {
    (void)state;
    lvt_module *m = lvt_module_new("m");
    uint32_t model = lvt_module_source(m, "model.lvt", "text", 4),
             nn = lvt_module_source(m, "nn.lvt", NULL, 0);
    assert_int_equal(lvt_module_source(m, "model.lvt", NULL, 0), model);
    assert_string_equal(m->sources[model].text, "text");
    lvt_loc call = lvt_module_loc(m, model, 14, 7, 0), inside = lvt_module_loc(m, nn, 55, 3, call);
    assert_int_equal(lvt_module_loc(m, nn, 55, 3, call), inside);
    assert_int_not_equal(lvt_module_loc(m, nn, 55, 3, 0), inside);
    assert_int_equal(lvt_module_outermost(m, inside), call);
    lvt_pos pos = lvt_module_pos(m, inside);
    assert_string_equal(pos.file, "nn.lvt");
    assert_int_equal(pos.line, 55);
    assert_null(lvt_module_pos(m, 0).file);
    assert_null(lvt_module_pos(m, 12345).file);
    lvt_module_free(m);
}

/* x, y inputs; z = x + y; w = z * z; returns w, state := z */
static lvt_graph *sample(lvt_module *m) {
    lvt_type t = type_of(2, 2, 3, 0);
    uint32_t s = lvt_module_add_state(m, "s", &t, (lvt_init){0}, false, 0);
    assert_int_equal(lvt_module_find_state(m, "s"), s);
    assert_int_equal(lvt_module_find_state(m, "t"), LVT_NONE);
    lvt_graph *g = lvt_module_add_entry(m, "f", 0, true);
    assert_ptr_equal(lvt_module_find_entry(m, "f"), g);
    assert_null(lvt_module_find_entry(m, "g"));
    lvt_builder b = lvt_builder_for(g, NULL);
    lvt_value x = lvt_build_input(&b, "x", &t), y = lvt_build_input(&b, "y", &t);
    lvt_value z = lvt_build_binary(&b, LVT_OP_add, x, y), w = lvt_build_binary(&b, LVT_OP_mul, z, z);
    assert_true(lvt_graph_add_output(g, "w", w, 0));
    assert_true(lvt_graph_add_update(g, s, z, 0));
    assert_false(g->failed);
    return g;
}

static void uses_list_every_operand(void **state) {
    (void)state;
    lvt_module *m = lvt_module_new("m");
    lvt_graph *g = sample(m);
    lvt_uses uses;
    assert_true(lvt_graph_uses(g, m->arena, &uses));
    lvt_value x = g->inputs[0].value, z = g->updates[0].value, w = g->outputs[0].value;
    assert_int_equal(uses.offset[x + 1] - uses.offset[x], 1);
    assert_int_equal(uses.offset[z + 1] - uses.offset[z], 2);
    assert_int_equal(uses.users[uses.offset[z]], g->values[w].node);
    assert_int_equal(uses.users[uses.offset[z] + 1], g->values[w].node);
    assert_int_equal(uses.offset[w + 1] - uses.offset[w], 0);
    assert_int_equal(uses.ends[x], 0);
    assert_int_equal(uses.ends[z], 1);
    assert_int_equal(uses.ends[w], 1);
    lvt_module_free(m);
}

static void copying_keeps_inputs_in_place(void **state) {
    (void)state;
    lvt_module *m = lvt_module_new("m");
    lvt_graph *g = sample(m), *copy = lvt_graph_new(m, "f", 0, true);
    lvt_value *map = lvt_graph_new_map(g, m->arena);
    /* y first: the list of inputs must not follow the order of nodes. */
    lvt_node_id order[] = {g->values[g->inputs[1].value].node, g->values[g->inputs[0].value].node};
    for (int i = 0; i < 2; i++)
        assert_int_not_equal(lvt_graph_copy_node(copy, g, order[i], map, NULL), LVT_NONE);
    for (uint32_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op != LVT_OP_input)
            lvt_graph_copy_node(copy, g, i, map, NULL);
    assert_true(lvt_graph_copy_ends(copy, g, map));
    assert_int_equal(copy->n_inputs, 2);
    for (uint32_t i = 0; i < 2; i++) {
        assert_string_equal(copy->inputs[i].name, g->inputs[i].name);
        assert_int_equal(copy->inputs[i].value, map[g->inputs[i].value]);
    }
    assert_int_equal(copy->outputs[0].value, map[g->outputs[0].value]);
    assert_int_equal(copy->updates[0].value, map[g->updates[0].value]);
    const lvt_node *add = lvt_value_node(copy, copy->updates[0].value);
    assert_int_equal(add->operands[0], copy->inputs[0].value);
    assert_int_equal(add->operands[1], copy->inputs[1].value);
    lvt_module_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_gives_zeroed_aligned_memory),
        cmocka_unit_test(arena_grow_keeps_contents),
        cmocka_unit_test(types_print_compare_and_broadcast),
        cmocka_unit_test(locations_are_shared_and_chained),
        cmocka_unit_test(uses_list_every_operand),
        cmocka_unit_test(copying_keeps_inputs_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
