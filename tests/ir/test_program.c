/* Plans: a sound one passes, and each rule of program.h, broken alone, is reported. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/small_program.h"

#include <stdio.h>

typedef struct variant {
    void (*apply)(lvt_compiled *c, lvt_plan *p);
    const char *message; /* must be said; NULL: the plan is still sound */
} variant;

#define VARIANT(name, statements)                                                                            \
    static void name(lvt_compiled *c, lvt_plan *p) {                                                         \
        (void)c;                                                                                             \
        (void)p;                                                                                             \
        statements;                                                                                          \
    }

static void swap_steps(lvt_plan *p, uint32_t a, uint32_t b) {
    lvt_step s = p->steps[a];
    p->steps[a] = p->steps[b];
    p->steps[b] = s;
}

static void drop_step(lvt_plan *p, uint32_t i) {
    memmove(p->steps + i, p->steps + i + 1, (p->n_steps - i - 1) * sizeof *p->steps);
    p->n_steps--;
}

/* ---- sound ---- */
VARIANT(as_it_is, )
VARIANT(interpreted, p->steps[0].family = p->steps[1].family = LVT_FAMILY_INTERP)
VARIANT(reuse_free_memory, p->places[7].offset = p->places[8].offset = 0) /* %2 is not needed any more */
VARIANT(apart, p->places[7].offset = p->places[8].offset = 128; p->arena_bytes = 160)
VARIANT(no_step_in_place, p->places[6] = ((lvt_place){LVT_PLACE_ARENA, 0, 128, {4, 1}}); p->arena_bytes = 176;
        p->stores[p->n_stores++] = ((lvt_store){0, 6}))
VARIANT(result_in_place_through_view, p->places[7] = ((lvt_place){LVT_PLACE_STATE, 1, 0, {2, 1}});
        p->places[8] = ((lvt_place){LVT_PLACE_STATE, 1, 0, {1}}); p->n_stores = 0)
VARIANT(other_order, swap_steps(p, 2, 3))
VARIANT(permuted_result, p->places[2].strides[0] = 1; p->places[2].strides[1] = 2;
        p->places[3].strides[0] = 2; p->places[3].strides[1] = 1)
VARIANT(gaps_in_result, p->places[2].strides[0] = 8; p->places[3].strides[1] = 8)
VARIANT(view_as_step, p->steps[4] = ((lvt_step){8, LVT_FAMILY_INTERP}); p->n_steps = 5;
        p->places[8].offset = 0; p->places[8].strides[0] = 1)
VARIANT(constant_spread, p->places[5].strides[0] = 4; p->places[5].strides[1] = 1)

VARIANT(bundle, p->steps[2].joined = true)
VARIANT(bundle_of_reader, p->steps[3].joined = true) /* of %4, made before the bundle, which %7 replaces */
VARIANT(after_reader, p->places[6] = ((lvt_place){LVT_PLACE_ARENA, 0, 0, {4, 1}});
        p->stores[p->n_stores++] = ((lvt_store){0, 6}); p->places[7].offset = p->places[8].offset = 64)

/* ---- not sound ---- */
VARIANT(bundle_of_nothing, p->steps[0].joined = true)
VARIANT(bundle_of_maker, p->steps[2].joined = p->steps[3].joined = true)
VARIANT(bundle_of_old_value, swap_steps(p, 1, 2); p->steps[1].joined = true)
VARIANT(bundle_over_reader, after_reader(c, p); p->steps[2].joined = true)
VARIANT(wrong_graph, p->graph = c->module->entries[1])
VARIANT(place_kind, p->places[4].kind = 9)
VARIANT(arena_index, p->places[4].index = 1)
VARIANT(state_index, p->places[1].index = 2)
VARIANT(input_index, p->places[0].index = 1)
VARIANT(constant_index, p->places[5].index = 4)
VARIANT(constant_far, p->places[5].index = 4000)
VARIANT(negative_stride, p->places[4].strides[0] = -1)
VARIANT(huge_stride, p->places[4].strides[0] = INT64_MAX)
VARIANT(large_stride, p->places[4].strides[0] = INT64_MAX / 4)
VARIANT(arena_too_small, p->arena_bytes = 95)
VARIANT(far_offset, p->places[4].offset = UINT64_MAX - 15)
VARIANT(odd_offset, p->places[4].offset = 62)
VARIANT(unaligned_buffer, p->places[2].offset = p->places[3].offset = 4)
VARIANT(state_overrun, p->places[1].offset = 4)
VARIANT(step_far, p->steps[3].node = 9)
VARIANT(step_twice, p->steps[4] = p->steps[3]; p->n_steps = 5)
VARIANT(step_input, p->steps[4].node = 0; p->n_steps = 5)
VARIANT(family_wrong, p->steps[0].family = LVT_FAMILY_JIT)
VARIANT(family_none, p->steps[0].family = LVT_FAMILY_NONE)
VARIANT(family_far, p->steps[0].family = 77)
VARIANT(way_of_other_op, p->steps[0].variant = LVT_VARIANT_WINOGRAD)
VARIANT(way_far, p->steps[0].variant = 99)
VARIANT(family_of_view, p->steps[4] = ((lvt_step){8, LVT_FAMILY_JIT}); p->n_steps = 5)
VARIANT(state_transposed, p->places[1].strides[0] = 1; p->places[1].strides[1] = 3)
VARIANT(state_elsewhere, p->places[1].kind = LVT_PLACE_ARENA)
VARIANT(constant_of_other, p->places[5].kind = LVT_PLACE_STATE; p->places[5].index = 0)
VARIANT(view_strides, p->places[3].strides[0] = 2)
VARIANT(view_offset, p->places[3].offset = 64)
VARIANT(view_kind, p->places[3].kind = LVT_PLACE_STATE)
VARIANT(view_of_nothing, p->places[2].kind = LVT_PLACE_NOWHERE)
VARIANT(not_computed, drop_step(p, 3))
VARIANT(write_constant, p->places[4] = ((lvt_place){LVT_PLACE_CONSTANT, 5, 0, {2, 1}}))
VARIANT(write_input, p->places[4] = ((lvt_place){LVT_PLACE_INPUT, 0, 0, {1, 0}}))
VARIANT(shared_element, p->places[4].strides[0] = 0)
VARIANT(interleaved, p->places[4].strides[0] = 1)
VARIANT(read_too_early, swap_steps(p, 0, 1))
VARIANT(read_nothing, p->places[4].kind = LVT_PLACE_NOWHERE)
VARIANT(return_nothing, p->places[8].kind = LVT_PLACE_NOWHERE)
VARIANT(store_missing, p->n_stores = 0)
VARIANT(store_other, p->stores[0].value = 3)
VARIANT(store_twice, p->stores[1] = p->stores[0]; p->n_stores = 2)
VARIANT(store_far_state, p->stores[0].state = 2)
VARIANT(store_far_value, p->stores[0].value = 9)
VARIANT(store_not_updated, c->module->entries[0]->n_updates = 1)
VARIANT(update_outside, p->places[6] = ((lvt_place){LVT_PLACE_ARENA, 0, 128, {4, 1}}); p->arena_bytes = 176)
VARIANT(update_transposed, p->places[6].strides[0] = 1; p->places[6].strides[1] = 3)
VARIANT(write_wrong_state, p->places[4] = ((lvt_place){LVT_PLACE_STATE, 1, 0, {2, 1}}))
VARIANT(old_value_lost, swap_steps(p, 1, 2); swap_steps(p, 0, 1))
VARIANT(return_old_value, c->module->entries[0]->outputs[0].value = 1)
VARIANT(overlap_operand, p->places[4].offset = 0; p->places[7].offset = p->places[8].offset = 64)
VARIANT(overlap_partly, p->places[7].offset = p->places[8].offset = 64; p->places[2].strides[0] = 16;
        p->places[3].strides[1] = 16)

static const variant variants[] = {
    {as_it_is, NULL},
    {bundle, NULL},
    {bundle_of_reader, NULL},
    {after_reader, NULL},
    {bundle_of_nothing, "E632: e: step 0 is joined to a step it cannot run with"},
    {bundle_of_maker, "E632: e: %4 = fused: is read by step 3 of the bundle in which step 1 writes it"},
    {bundle_of_old_value, "E629: e: %6 = fused: is written over @w beside a step of its bundle"},
    {bundle_over_reader,
     "E630: e: %6 = fused: step 2 writes bytes 0 to 48 of the arena, where %2 is needed until step 1"},
    {interpreted, NULL},
    {reuse_free_memory, NULL},
    {apart, NULL},
    {no_step_in_place, NULL},
    {result_in_place_through_view, NULL},
    {other_order, NULL},
    {permuted_result, NULL},
    {gaps_in_result, NULL},
    {view_as_step, NULL},
    {constant_spread, NULL},
    {wrong_graph, "E620: plan 0 is not of entry 0"},
    {place_kind, "small.lvt:5:1: error E620: e: %4 = fused: its place (kind 9, index 0) does not exist"},
    {arena_index, "E620: e: %4 = fused: its place (kind 1, index 1) does not exist"},
    {state_index, "E620: e: %1 = state: its place (kind 2, index 2) does not exist"},
    {input_index, "E620: e: %0 = input: its place (kind 3, index 1) does not exist"},
    {constant_index, "E620: e: %5 = constant: its place (kind 4, index 4) does not exist"},
    {constant_far, "E620: e: %5 = constant: its place (kind 4, index 4000) does not exist"},
    {negative_stride, "E621: e: %4 = fused: its strides are out of range"},
    {huge_stride, "E621: e: %4 = fused: its strides are out of range"},
    {large_stride, "E621: e: %4 = fused: its strides are out of range"},
    {arena_too_small, "E622: e: %4 = fused: 32 bytes at offset 64 do not fit into 95"},
    {far_offset, "E622: e: %4 = fused: 32 bytes at offset 18446744073709551600 do not fit into 96"},
    {odd_offset, "E622: e: %4 = fused: offset 62 is not aligned"},
    {unaligned_buffer, "E622: e: %2 = matmul: offset 4 is not a multiple of 64"},
    {state_overrun, "E622: e: %1 = state: 48 bytes at offset 4 do not fit into 48"},
    {step_far, "E623: e: step 3 runs node 9 of 9"},
    {step_twice, "E623: e: %7 = fused: runs twice, as steps 3 and 4"},
    {step_input, "E623: e: %0 = input: cannot be a step"},
    {family_wrong, "small.lvt:4:1: error E624: e: %2 = matmul: family jit does not run this"},
    {family_none, "E624: e: %2 = matmul: family none does not run this"},
    {way_of_other_op, "E624: e: %2 = matmul: cannot run in the way winograd: this family has no such"},
    {way_far, "E624: e: %2 = matmul: cannot run in the way ?: "},
    {family_far, "E624: e: %2 = matmul: family ? does not run this"},
    {family_of_view, "E624: e: %8 = reshape: family jit does not run this"},
    {state_transposed, "E625: e: %1 = state: does not lie at the start of its own memory"},
    {state_elsewhere, "E625: e: %1 = state: does not lie at the start of its own memory"},
    {constant_of_other, "E625: e: %5 = constant: does not lie at the start of its own memory"},
    {view_strides, "E625: e: %3 = transpose: does not lie where a view of %2 must"},
    {view_offset, "E625: e: %3 = transpose: does not lie where a view of %2 must"},
    {view_kind, "E625: e: %3 = transpose: does not lie where a view of %2 must"},
    {view_of_nothing, "E625: e: %3 = transpose: is a view of %2, which is nowhere"},
    {not_computed, "E625: e: %7 = fused: has a place, but no step computes it"},
    {write_constant, "E626: e: %4 = fused: a step may write to the arena or to a state only"},
    {write_input, "E626: e: %4 = fused: a step may write to the arena or to a state only"},
    {shared_element, "E626: e: %4 = fused: two of its elements share a place"},
    {interleaved, "E626: e: %4 = fused: two of its elements share a place"},
    {read_too_early, "E627: e: %3 = transpose: is read by step 0, before step 1 writes it"},
    {read_nothing, "E627: e: %4 = fused: is read by step 3, but it is nowhere"},
    {return_nothing, "E627: e: %8 = reshape: is read by output 0, but it is nowhere"},
    {store_missing, "E628: e: @v is to become %8, but no store says so and %8 is not in it"},
    {store_other, "E628: e: @v is to become %8, but %3 is stored"},
    {store_twice, "E628: e: store 1 writes a state that another store writes"},
    {store_far_state, "E628: e: store 0 names a state or a value that does not exist"},
    {store_far_value, "E628: e: store 0 names a state or a value that does not exist"},
    {store_not_updated, "E628: e: %8 is stored to @v, which is not updated"},
    {update_outside, "E628: e: @w is to become %6, but no store says so and %6 is not in it"},
    {update_transposed, "E628: e: @w is to become %6, but no store says so and %6 is not in it"},
    {write_wrong_state, "E628: e: %4 = fused: is written over @v, but is not its new value"},
    {old_value_lost, "E629: e: %6 = fused: is written over @w in step 0, but step 1 reads the old value"},
    {return_old_value, "E629: e: %6 = fused: is written over @w in step 2, but step 4 reads the old value"},
    {overlap_operand,
     "E630: e: %4 = fused: step 1 writes bytes 0 to 32 of the arena, where %2 is needed until step 1"},
    {overlap_partly,
     "E630: e: %4 = fused: step 1 writes bytes 64 to 96 of the arena, where %2 is needed until step 1"},
};

static void test_variants(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        lvt_compiled *p = small_program();
        lvt_diag *d = lvt_diag_new();
        assert_non_null(p);
        variants[i].apply(p, &p->plans[0]);
        lvt_status status = lvt_program_verify(p, d);
        char *text = lvt_diag_text(d);
        bool expected = variants[i].message ? status == LVT_USER && strstr(text, variants[i].message)
                                            : status == LVT_OK && lvt_diag_errors(d) == 0;
        if (!expected)
            fail_msg("row %zu: status %d\n%snot: %s", i, (int)status, text, variants[i].message);
        assert_int_equal(lvt_program_verify(p, NULL), status);
        free(text);
        lvt_diag_free(d);
        lvt_compiled_free(p);
    }
}

/* A step may write over an operand only where it reads just the element it writes. */
static void test_replacing(void **state) {
    (void)state;
    static const struct {
        const char *body,
            *type; /* of a fused node of %1 : f32[4,4] and %2 : f32[4]; its result lies over `over` */
        int over;
        lvt_status status;
    } rows[] = {
        {"%2 = neg(%0) : f32[4,4] return %2", "f32[4,4]", 1, LVT_OK},
        {"%2 = reduce_max(%0) {axes = [1], keep = true} : f32[4,1] %3 = broadcast(%2) {shape = [4, 4]} : "
         "f32[4,4] "
         "%4 = sub(%0, %3) : f32[4,4] return %4",
         "f32[4,4]", 1, LVT_OK},
        {"%2 = neg(%1) : f32[4] return %2", "f32[4]", 2, LVT_OK},
        /* %1 runs along the columns, the result along the rows */
        {"%2 = broadcast(%1) {shape = [4, 4]} : f32[4,4] %3 = add(%0, %2) : f32[4,4] "
         "%4 = reduce_sum(%3) {axes = [1]} : f32[4] return %4",
         "f32[4]", 2, LVT_USER},
        /* one element is read four times */
        {"%2 = broadcast(%1) {shape = [4, 4]} : f32[4,4] %3 = add(%0, %2) : f32[4,4] return %3", "f32[4,4]",
         2, LVT_USER},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[2000];
        snprintf(
            text, sizeof text,
            "module \"m\" entry @e { %%0 = input {index = 0} : f32[4,4] "
            "%%1 = fused(%%0) : f32[4,4] { %%0 = input {index = 0} : f32[4,4] %%1 = neg(%%0) : f32[4,4] "
            "return %%1 } "
            "%%2 = fused(%%0) : f32[4] { %%0 = input {index = 0} : f32[4,4] "
            "%%1 = reduce_sum(%%0) {axes = [0]} : f32[4] return %%1 } "
            "%%3 = fused(%s) : %s { %%0 = input {index = 0} : f32[4,4] %%1 = input {index = 1} : f32[4] %s } "
            "input \"x\" = %%0 return \"y\" = %%3 }",
            "%1, %2", rows[i].type, rows[i].body);
        if (i == 2) /* the row needs a body without the matrix */
            snprintf(text, sizeof text,
                     "module \"m\" entry @e { %%0 = input {index = 0} : f32[4,4] "
                     "%%1 = fused(%%0) : f32[4,4] { %%0 = input {index = 0} : f32[4,4] %%1 = neg(%%0) : "
                     "f32[4,4] return %%1 } "
                     "%%2 = fused(%%0) : f32[4] { %%0 = input {index = 0} : f32[4,4] "
                     "%%1 = reduce_sum(%%0) {axes = [0]} : f32[4] return %%1 } "
                     "%%3 = fused(%%2) : f32[4] { %%0 = input {index = 0} : f32[4] %%1 = neg(%%0) : f32[4] "
                     "return %%1 } "
                     "input \"x\" = %%0 return \"y\" = %%3 }");
        lvt_module *m;
        lvt_diag *d = lvt_diag_new();
        lvt_status status = lvt_read_module("t", text, strlen(text), &m, d);
        lvt_place places[] = {{LVT_PLACE_INPUT, 0, 0, {4, 1}},
                              {LVT_PLACE_ARENA, 0, 0, {4, 1}},
                              {LVT_PLACE_ARENA, 0, 64, {1}},
                              {LVT_PLACE_ARENA, 0, rows[i].over == 1 ? 0 : 64, {4, 1}}};
        if (!strcmp(rows[i].type, "f32[4]"))
            places[3].strides[0] = 1;
        lvt_step steps[] = {{1, LVT_FAMILY_INTERP}, {2, LVT_FAMILY_INTERP}, {3, LVT_FAMILY_INTERP}};
        lvt_compiled c = {.module = m};
        lvt_plan plan = {m ? m->entries[0] : NULL, places, steps, NULL, 3, 0, 128};
        c.plans = &plan;
        if (status == LVT_OK && lvt_program_verify(&c, d) != rows[i].status)
            status = LVT_INTERNAL;
        char *words = lvt_diag_text(d);
        if (status != LVT_OK)
            fail_msg("row %zu: %s", i, words);
        if (rows[i].status != LVT_OK)
            assert_non_null(strstr(words, "E630: e: %3 = fused: step 2 writes bytes 64"));
        free(words);
        lvt_diag_free(d);
        lvt_module_free(m);
    }
}

/* The prologue: kept memory, what may be in it, what not. */
static void test_prologue(void **state) {
    (void)state;
    static const char text[] =
        "module \"m\" state @s : f32[4] = 0 entry @e { %0 = input {index = 0} : f32[4] "
        "%1 = state {index = 0} : f32[4] %2 = neg(%1) : f32[4] %3 = exp(%2) : f32[4] "
        "%4 = mul(%0, %3) : f32[4] input \"x\" = %0 return \"y\" = %4 } "
        "entry @u { %0 = state {index = 0} : f32[4] %1 = neg(%0) : f32[4]\nupdate @s = %1 }";
    static const struct {
        uint32_t n_prologue, other; /* steps; of the entry that updates */
        uint8_t kind[3];            /* of %2, %3, %4 */
        uint64_t offset[3], kept_bytes;
        const char *message; /* NULL: sound */
    } rows[] = {
        {2, 0, {LVT_PLACE_KEPT, LVT_PLACE_KEPT, LVT_PLACE_ARENA}, {0, 64, 0}, 80, NULL},
        {1, 0, {LVT_PLACE_KEPT, LVT_PLACE_ARENA, LVT_PLACE_ARENA}, {0, 0, 64}, 16, NULL},
        {0, 0, {LVT_PLACE_ARENA, LVT_PLACE_ARENA, LVT_PLACE_ARENA}, {0, 64, 128}, 0, NULL},
        {2,
         0,
         {LVT_PLACE_KEPT, LVT_PLACE_KEPT, LVT_PLACE_ARENA},
         {0, 0, 0},
         80,
         "E630: e: %3 = exp: shares kept memory with %2"},
        {2,
         0,
         {LVT_PLACE_KEPT, LVT_PLACE_KEPT, LVT_PLACE_ARENA},
         {0, 64, 0},
         79,
         "E622: e: %3 = exp: 16 bytes at offset 64 do not fit into 79"},
        {2,
         0,
         {LVT_PLACE_KEPT, LVT_PLACE_KEPT, LVT_PLACE_ARENA},
         {0, 16, 0},
         80,
         "E622: e: %3 = exp: offset 16 is not a multiple of 64"},
        {2,
         0,
         {LVT_PLACE_ARENA, LVT_PLACE_KEPT, LVT_PLACE_ARENA},
         {64, 64, 0},
         80,
         "E631: e: %2 = neg: kept memory"},
        {1,
         0,
         {LVT_PLACE_KEPT, LVT_PLACE_KEPT, LVT_PLACE_ARENA},
         {0, 64, 0},
         80,
         "E631: e: %3 = exp: kept memory"},
        {3,
         0,
         {LVT_PLACE_KEPT, LVT_PLACE_KEPT, LVT_PLACE_KEPT},
         {0, 64, 128},
         192,
         "E631: e: %4 = mul: reads an input, but is in the prologue"},
        {4,
         0,
         {LVT_PLACE_KEPT, LVT_PLACE_KEPT, LVT_PLACE_KEPT},
         {0, 64, 128},
         192,
         "E631: e: a prologue of 4 of 3 steps"},
        {2,
         1,
         {LVT_PLACE_KEPT, LVT_PLACE_KEPT, LVT_PLACE_ARENA},
         {0, 64, 0},
         80,
         "E631: u: a prologue of 1 of 1 steps in an entry that updates states"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        lvt_module *m;
        lvt_diag *d = lvt_diag_new();
        assert_int_equal(lvt_read_module("t", text, sizeof text - 1, &m, d), LVT_OK);
        lvt_place places[5] = {{LVT_PLACE_INPUT, 0, 0, {1}}, {LVT_PLACE_STATE, 0, 0, {1}}};
        for (int k = 0; k < 3; k++)
            places[2 + k] = (lvt_place){rows[i].kind[k], 0, rows[i].offset[k], {1}};
        lvt_place others[2] = {{LVT_PLACE_STATE, 0, 0, {1}}, {LVT_PLACE_STATE, 0, 0, {1}}};
        if (rows[i].other)
            others[1] = (lvt_place){LVT_PLACE_KEPT, 0, 0, {1}};
        lvt_step steps[] = {{2, LVT_FAMILY_INTERP}, {3, LVT_FAMILY_INTERP}, {4, LVT_FAMILY_INTERP}},
                 other = {1, LVT_FAMILY_INTERP};
        lvt_store store = {0, 1};
        lvt_plan plans[2] = {
            {m->entries[0], places, steps, NULL, 3, 0, 256, rows[i].kept_bytes, rows[i].n_prologue},
            {m->entries[1], others, &other, &store, 1, rows[i].other, 0, 16, rows[i].other}};
        lvt_compiled c = {.module = m, .plans = plans};
        lvt_status status = lvt_program_verify(&c, d);
        char *words = lvt_diag_text(d);
        if (rows[i].message ? status != LVT_USER || !strstr(words, rows[i].message) : status != LVT_OK)
            fail_msg("row %zu: status %d\n%s", i, (int)status, words);
        free(words);
        lvt_diag_free(d);
        lvt_module_free(m);
    }
}

static void test_families(void **state) {
    (void)state;
    static const char text[] =
        "module \"m\" state @s : f32[2,3] = 0 entry @e { %0 = input {index = 0} : f32[4,3] "
        "%1 = state {index = 0} : f32[2,3] %2 = transpose(%1) {order = [1, 0]} : f32[3,2] %3 = matmul(%0, "
        "%2) : f32[4,2] "
        "%4 = neg(%3) : f32[4,2] %5 = fused(%4) : f32[4,2] { %0 = input {index = 0} : f32[4,2] %1 = neg(%0) "
        ": f32[4,2] "
        "return %1 } %6 = fused(%4) : f32[2,4] { %0 = input {index = 0} : f32[4,2] "
        "%1 = transpose(%0) {order = [1, 0]} : f32[2,4] return %1 } %7 = copy(%2) : f32[3,2] "
        "%8 = concat(%3, %4) {axis = 0} : f32[8,2] %9 = cast(%3) {dtype = f64} : f64[4,2] %10 = copy(%9) : "
        "f64[4,2] "
        "input \"x\" = %0 }";
    static const struct {
        lvt_family family;
        bool why;
    } wanted[] = {{LVT_FAMILY_NONE, false},   {LVT_FAMILY_NONE, false},  {LVT_FAMILY_NONE, false},
                  {LVT_FAMILY_ONEDNN, false}, {LVT_FAMILY_INTERP, true}, {LVT_FAMILY_JIT, false},
                  {LVT_FAMILY_INTERP, true},  {LVT_FAMILY_JIT, false},   {LVT_FAMILY_JIT, false},
                  {LVT_FAMILY_INTERP, true},  {LVT_FAMILY_JIT, false}};
    lvt_module *m;
    assert_int_equal(lvt_read_module("t", text, sizeof text - 1, &m, NULL), LVT_OK);
    for (lvt_node_id i = 0; i < m->entries[0]->n_nodes; i++) {
        const char *why;
        assert_int_equal(lvt_family_for(m->entries[0], i, &why), wanted[i].family);
        assert_int_equal(why != NULL, wanted[i].why);
        assert_int_equal(lvt_family_for(m->entries[0], i, NULL), wanted[i].family);
    }
    assert_string_equal(lvt_family_name(LVT_FAMILY_ONEDNN), "onednn");
    assert_string_equal(lvt_family_name((lvt_family)12), "?");
    lvt_module_free(m);
}

/* Winograd is for 3x3 convolutions of oneDNN's family: the library's with stride 1 and padding 1, ours also
 * with stride 2. */
static void test_ways(void **state) {
    (void)state;
    static const char text[] =
        "module \"m\" entry @e { %0 = input {index = 0} : f32[1,8,8,4] \"x\" %1 = input {index = 1} : "
        "f32[6,4,3,3] \"w\" "
        "%2 = input {index = 2} : f32[1,8,8,6] \"g\" "
        "%3 = conv2d(%0, %1) {padding = [1]} : f32[1,8,8,6] "
        "%4 = conv2d_grad_input(%2, %1) {padding = [1, 1], height = 8, width = 8} : f32[1,8,8,4] "
        "%5 = conv2d_grad_weight(%2, %0) {padding = [1, 1, 1, 1], kernel = [3, 3]} : f32[6,4,3,3] "
        "%6 = conv2d(%0, %1) {padding = [1], stride = [2]} : f32[1,4,4,6] "
        "%7 = conv2d(%0, %1) : f32[1,6,6,6] "
        "%8 = conv2d(%0, %1) {padding = [2], dilation = [2]} : f32[1,8,8,6] "
        "%9 = conv2d_grad_weight(%2, %0) {padding = [2], kernel = [5, 5]} : f32[6,4,5,5] "
        "input \"x\" = %0 input \"w\" = %1 input \"g\" = %2 }";
    static const bool winograd[] = {false, false, false, true, true, true, false, false, false, false};
    static const bool own[] = {false, false, false, true, true, true, true, true, false, false};
    lvt_module *m;
    assert_int_equal(lvt_read_module("t", text, sizeof text - 1, &m, NULL), LVT_OK);
    const lvt_graph *g = m->entries[0];
    assert_int_equal(g->n_nodes, 10);
    for (lvt_node_id i = 0; i < g->n_nodes; i++) {
        const char *why;
        assert_int_equal(lvt_variant_legal(g, i, LVT_FAMILY_ONEDNN, LVT_VARIANT_WINOGRAD, &why), winograd[i]);
        assert_int_equal(why == NULL, winograd[i]);
        assert_int_equal(lvt_variant_legal(g, i, LVT_FAMILY_ONEDNN, LVT_VARIANT_OWN_WINOGRAD, NULL), own[i]);
        assert_int_equal(lvt_variant_legal(g, i, LVT_FAMILY_ONEDNN, LVT_VARIANT_BLOCKED, NULL), i >= 3);
        assert_true(lvt_variant_legal(g, i, LVT_FAMILY_ONEDNN, LVT_VARIANT_STANDARD, &why));
        assert_false(lvt_variant_legal(g, i, LVT_FAMILY_INTERP, LVT_VARIANT_WINOGRAD, NULL));
    }
    assert_string_equal(lvt_variant_name(LVT_VARIANT_WINOGRAD), "winograd");
    assert_string_equal(lvt_variant_name((lvt_variant)99), "?");
    lvt_module_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_variants), cmocka_unit_test(test_replacing),
                                       cmocka_unit_test(test_prologue), cmocka_unit_test(test_families),
                                       cmocka_unit_test(test_ways)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
