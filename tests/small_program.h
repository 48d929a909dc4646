/* A small compiled program with everything a plan can have: a view, a step over its operand, an update in
 * place, a store, a constant. For tests of the verifier and of files. */
#ifndef LVT_TESTS_SMALL_PROGRAM_H
#define LVT_TESTS_SMALL_PROGRAM_H

#include "ir/op.h"
#include "ir/program/program.h"
#include "ir/text.h"

#include <stdlib.h>
#include <string.h>

static const char small_text[] = "module \"small\"\n"
                                 "setting \"width\" = \"4\"\n"
                                 "source \"small.lvt\"\n"
                                 "state @w : f32[3,4] = normal(0, 1) param loc(0:1:1)\n"
                                 "state @v : f32[8] = 0 loc(0:2:1)\n"
                                 "entry @e training loc(0:3:1) {\n"
                                 "  %0 = input {index = 0} : f32[2,3] loc(0:3:9)\n"
                                 "  %1 = state {index = 0} : f32[3,4]\n"
                                 "  %2 = matmul(%0, %1) : f32[2,4] loc(0:4:1)\n"
                                 "  %3 = transpose(%2) {order = [1, 0]} : f32[4,2]\n"
                                 "  %4 = fused(%3) : f32[4,2] loc(0:5:1) {\n"
                                 "    %0 = input {index = 0} : f32[4,2]\n"
                                 "    %1 = neg(%0) : f32[4,2]\n"
                                 "    return %1\n"
                                 "  }\n"
                                 "  %5 = constant {shape = [3, 4], values = [0.5]} : f32[3,4]\n"
                                 "  %6 = fused(%1, %5) : f32[3,4] loc(0:6:1) {\n"
                                 "    %0 = input {index = 0} : f32[3,4]\n"
                                 "    %1 = input {index = 1} : f32[3,4]\n"
                                 "    %2 = sub(%0, %1) : f32[3,4]\n"
                                 "    return %2\n"
                                 "  }\n"
                                 "  %7 = fused(%4) : f32[4,2] loc(0:7:1) {\n"
                                 "    %0 = input {index = 0} : f32[4,2]\n"
                                 "    %1 = exp(%0) : f32[4,2]\n"
                                 "    return %1\n"
                                 "  }\n"
                                 "  %8 = reshape(%7) {shape = [8]} : f32[8]\n"
                                 "  input \"x\" = %0 loc(0:3:9)\n"
                                 "  update @w = %6 loc(0:8:1)\n"
                                 "  update @v = %8 loc(0:9:1)\n"
                                 "  return \"y\" = %8 loc(0:10:1)\n"
                                 "}\n"
                                 "entry @nothing {\n"
                                 "}\n";

/* The program, or NULL when out of memory. Its arrays are the caller's to break. */
static inline lvt_compiled *small_program(void) {
    static const lvt_place places[] = {
        {LVT_PLACE_INPUT, 0, 0, {3, 1}}, {LVT_PLACE_STATE, 0, 0, {4, 1}},  {LVT_PLACE_ARENA, 0, 0, {4, 1}},
        {LVT_PLACE_ARENA, 0, 0, {1, 4}}, {LVT_PLACE_ARENA, 0, 64, {2, 1}}, {LVT_PLACE_CONSTANT, 5, 0, {0, 0}},
        {LVT_PLACE_STATE, 0, 0, {4, 1}}, {LVT_PLACE_ARENA, 0, 64, {2, 1}}, {LVT_PLACE_ARENA, 0, 64, {1}},
    };
    static const lvt_step steps[] = {
        {2, LVT_FAMILY_ONEDNN}, {4, LVT_FAMILY_JIT}, {6, LVT_FAMILY_JIT}, {7, LVT_FAMILY_JIT}};
    static const lvt_store stores[] = {{1, 8}};
    lvt_module *m = NULL;
    lvt_read_module("small.ir", small_text, sizeof small_text - 1, &m, NULL);
    if (!m)
        return NULL;
    lvt_compiled *p = calloc(1, sizeof *p);
    lvt_plan *plans = lvt_arena_alloc(m->arena, 2 * sizeof *plans);
    /* room for two more steps and stores */
    lvt_place *own_places = lvt_arena_alloc(m->arena, sizeof places);
    lvt_step *own_steps = lvt_arena_alloc(m->arena, sizeof steps + 2 * sizeof *steps);
    lvt_store *own_stores = lvt_arena_alloc(m->arena, sizeof stores + 2 * sizeof *stores);
    if (!p || !plans || !own_places || !own_steps || !own_stores ||
        lvt_module_source(m, "small.lvt", "a source\n", 9) == UINT32_MAX) {
        free(p);
        lvt_module_free(m);
        return NULL;
    }
    memcpy(own_places, places, sizeof places);
    memcpy(own_steps, steps, sizeof steps);
    memcpy(own_stores, stores, sizeof stores);
    plans[0] = (lvt_plan){m->entries[0], own_places, own_steps, own_stores, 4, 1, 96};
    plans[1] = (lvt_plan){.graph = m->entries[1]};
    *p = (lvt_compiled){.module = m, .plans = plans};
    return p;
}

#endif
