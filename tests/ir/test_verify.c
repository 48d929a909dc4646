/* The verifier: a sound module passes, and each invariant, broken alone, is reported. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ir/op.h"
#include "ir/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char sound[] = "module \"m\"\n"
                            "setting \"a\" = \"1\"\n"
                            "setting \"b\" = \"1\"\n"
                            "source \"m.lvt\"\n"
                            "state @w : f32[2,3] = 0 loc(0:1:1)\n"
                            "state @v : f32[2,3] = 0 loc(0:2:1)\n"
                            "entry @e training loc(0:5:1) {\n"
                            "  %0 = input {index = 0} : f32[2,3] loc(0:5:9)\n"
                            "  %1 = input {index = 1} : f32[] loc(0:5:20)\n"
                            "  %2 = state {index = 0} : f32[2,3] loc(0:6:1)\n"
                            "  %3 = softmax(%2) {axis = 1} : f32[2,3] loc(0:7:1)\n"
                            "  %4 = fused(%3, %1) : f32[2,3] loc(0:8:1) gradient(%3) {\n"
                            "    %0 = input {index = 0} : f32[2,3]\n"
                            "    %1 = input {index = 1} : f32[]\n"
                            "    %2 = neg(%0) : f32[2,3]\n"
                            "    return %2\n"
                            "  }\n"
                            "  %5 = cast(%4) {dtype = i32} : i32[2,3] loc(0:9:1)\n"
                            "  %6 = constant {shape = [2], values = [1, 2]} : f32[2]\n"
                            "  input \"x\" = %0\n"
                            "  input \"lr\" = %1 default 0.1\n"
                            "  update @w = %4 loc(0:10:1)\n"
                            "  return \"y\" = %5 loc(0:11:1)\n"
                            "  return \"z\" = %4 loc(0:12:1)\n"
                            "}\n"
                            "entry @f {\n"
                            "}\n";

enum { X, LR, W, SOFTMAX, FUSED, CAST, CONSTANT }; /* nodes of the entry, and their results */

typedef struct breakage {
    void (*apply)(lvt_module *m, lvt_graph *g);
    const char *message; /* must be said */
    size_t errors;       /* how many in all */
} breakage;

#define BREAK(name, statement)                                                                               \
    static void name(lvt_module *m, lvt_graph *g) {                                                          \
        (void)m;                                                                                             \
        (void)g;                                                                                             \
        statement;                                                                                           \
    }

BREAK(unknown_op, g->nodes[CAST].op = LVT_N_OPS)
BREAK(too_few_operands, g->nodes[SOFTMAX].n_operands = 0)
BREAK(later_operand, g->nodes[SOFTMAX].operands[0] = 5)
BREAK(own_operand, g->nodes[SOFTMAX].operands[0] = 3)
BREAK(no_operand, g->nodes[SOFTMAX].operands[0] = LVT_NONE)
BREAK(no_results, g->nodes[CONSTANT].n_results = 0)
BREAK(many_results, g->nodes[CONSTANT].n_results = 500)
BREAK(wrong_number, g->nodes[SOFTMAX].result = 4)
BREAK(value_without_node, g->values[3].node = 77)
BREAK(value_of_other_node, g->values[3].node = 0)
BREAK(value_of_other_result, g->values[3].index = 1)
BREAK(extra_value, g->n_nodes--)
BREAK(wrong_type, g->values[3].type.dim[0] = 3)
BREAK(zero_dim, g->values[6].type.dim[0] = 0)
BREAK(huge_type, g->values[6].type = lvt_type_make(LVT_F32, 2, ((int64_t[]){1 << 20, 1 << 20})))
BREAK(wrong_rank, g->values[6].type.rank = 7)
BREAK(dim_past_rank, g->values[6].type.dim[3] = 1)
BREAK(wrong_dtype, g->values[6].type.dtype = LVT_N_DTYPES)
BREAK(no_attrs, g->nodes[SOFTMAX].attrs = NULL)
BREAK(attr_kind, g->nodes[SOFTMAX].attrs[0].kind = LVT_ATTR_FLOAT)
BREAK(attr_dtype, g->nodes[CAST].attrs[0].i = 99)
BREAK(attr_range, g->nodes[SOFTMAX].attrs[0].i = 7)
BREAK(attr_values, ((lvt_attr *)lvt_attr_get(&g->nodes[CONSTANT], "values"))->floats = NULL)
BREAK(attr_count, ((lvt_attr *)lvt_attr_get(&g->nodes[CONSTANT], "values"))->n = 0)
BREAK(node_place, g->nodes[CAST].loc = 10000)
BREAK(role, g->nodes[CAST].role = 9)
BREAK(forward_origin, g->nodes[CAST].origin = SOFTMAX)
BREAK(origin_itself, g->nodes[FUSED].origin = FUSED)
BREAK(origin_nothing, g->nodes[FUSED].origin = 1000)
BREAK(body_of_cast, g->nodes[CAST].body = g->nodes[FUSED].body)
BREAK(no_body, g->nodes[FUSED].body = NULL)
BREAK(body_inputs, g->nodes[FUSED].n_operands = 1)
BREAK(body_outputs, g->nodes[FUSED].body->n_outputs = 0)
BREAK(body_input_type, g->nodes[FUSED].operands[0] = 1)
BREAK(body_result_type, g->values[4].type.dim[1] = 2)
BREAK(body_update, lvt_graph_add_update(g->nodes[FUSED].body, 0, 2, 0))
BREAK(body_wrong, g->nodes[FUSED].body->values[2].type.dim[0] = 5)
BREAK(body_of_itself, g->nodes[FUSED].body = g)
BREAK(input_index, g->nodes[X].attrs[0].i = 5)
BREAK(input_negative, g->nodes[X].attrs[0].i = -1)
BREAK(input_twice, g->nodes[LR].attrs[0].i = 0)
BREAK(input_no_node, g->inputs[0].value = LVT_NONE)
BREAK(input_other_node, g->inputs[0].value = 3)
BREAK(input_default, g->inputs[0].has_default = true)
BREAK(input_name, g->inputs[0].name = "lr")
BREAK(input_no_name, g->inputs[0].name = NULL)
BREAK(input_place, g->inputs[0].loc = 999)
BREAK(state_index, g->nodes[W].attrs[0].i = 2)
BREAK(state_type, m->states[0].type.dim[0] = 4)
BREAK(state_name, m->states[1].name = "w")
BREAK(state_no_name, m->states[1].name = "")
BREAK(state_init, m->states[1].init.kind = 17)
BREAK(state_place, m->states[1].loc = 999)
BREAK(output_value, g->outputs[0].value = 7)
BREAK(output_name, g->outputs[0].name = "z")
BREAK(output_no_name, g->outputs[0].name = NULL)
BREAK(output_place, g->outputs[0].loc = 999)
BREAK(update_twice, lvt_graph_add_update(g, 0, 2, 0))
BREAK(update_state, g->updates[0].state = 2)
BREAK(update_value, g->updates[0].value = LVT_NONE)
BREAK(update_type, g->updates[0].value = 6)
BREAK(update_place, g->updates[0].loc = 999)
BREAK(failed, g->failed = true)
BREAK(other_module, g->module = (lvt_module *)g)
BREAK(graph_place, g->loc = 999)
BREAK(entry_name, g->name = "f")
BREAK(entry_no_name, m->entries[1]->name = NULL)
BREAK(setting_name, m->settings[1].name = "a")
BREAK(place_file, m->locs[2].file = 1)
BREAK(place_parent, m->locs[2].parent = 2)

static const breakage breakages[] = {
    {unknown_op, "E161: e: node 5 has no known operation", 1},
    {too_few_operands, "m.lvt:7:1: error E162: e: %3 = softmax: 0 operands, but it takes 1", 1},
    {later_operand, "E163: e: %3 = softmax: operand 0 is %5, which is not a result of an earlier node", 1},
    {own_operand, "E163: e: %3 = softmax: operand 0 is %3, which is not", 1},
    {no_operand, "E163: e: %3 = softmax: operand 0 is %4294967295, which is not", 1},
    {no_results, "E164: e: %6 = constant: 0 results, but it has 1", 2},
    {many_results, "E164: e: %6 = constant: results must be numbered in order of nodes, from %6 on", 1},
    {wrong_number, "E164: e: %4 = softmax: results must be numbered in order of nodes, from %3 on", 1},
    {value_without_node, "E164: e: %3 is not a result of any node", 1},
    {value_of_other_node, "E164: e: %3 = softmax: %3 does not know that it is result 0 of this node", 1},
    {value_of_other_result, "E164: e: %3 = softmax: %3 does not know that it is result 0", 1},
    {extra_value, "E164: e: %6 is not a result of any node", 1},
    {wrong_type, "E165: e: %3 = softmax: %3 has type f32[3,3], but inference says f32[2,3]", 2},
    {zero_dim, "E165: e: %6 = constant: type of result 0: a dimension is out of range", 1},
    {huge_type, "E165: e: %6 = constant: type of result 0: too many elements", 1},
    {wrong_rank, "E165: e: %6 = constant: type of result 0: too many dimensions", 1},
    {dim_past_rank, "E165: e: %6 = constant: type of result 0: a dimension is out of range", 1},
    {wrong_dtype, "E165: e: %6 = constant: type of result 0: unknown element type", 1},
    {no_attrs, "E166: e: %3 = softmax: no attributes", 1},
    {attr_kind, "E166: e: %3 = softmax: attribute 'axis' is of the wrong kind", 1},
    {attr_dtype, "E166: e: %5 = cast: attribute 'dtype' is no element type", 1},
    {attr_range, "softmax", 1},
    {attr_values, "E166: e: %6 = constant: attribute 'values' has no values", 1},
    {attr_count, "constant", 1},
    {node_place, "E169: e: %5 = cast: no place has number 10000", 1},
    {role, "E170: e: %5 = cast: unknown role 9", 1},
    {forward_origin, "E170: e: %5 = cast: a forward node has no origin", 1},
    {origin_itself, "E170: e: %4 = fused: its origin is not another node", 1},
    {origin_nothing, "E170: e: %4 = fused: its origin is not another node", 1},
    {body_of_cast, "E168: e: %5 = cast: only fused has a body", 1},
    {no_body, "E168: e: %4 = fused: has no body", 1},
    {body_inputs, "E168: e: %4 = fused: 1 operands and 1 results, but the body has 2 and 1", 1},
    {body_outputs, "E168: e: %4 = fused: 2 operands and 1 results, but the body has 2 and 0", 1},
    {body_input_type, "E165: e: %4 = fused: %1 has type f32[], but the body's input says f32[2,3]", 1},
    {body_result_type, "E165: e: %4 = fused: %4 has type f32[2,2], but the body says f32[2,3]", 3},
    {body_update, "E168: e: %4 = fused: a body cannot update a state", 1},
    {body_wrong, "E165: body: %2 = neg: %2 has type f32[5,3], but inference says f32[2,3]", 1},
    {body_of_itself, "E168: e: %2 = state: a body cannot read a state", 0},
    {input_index, "E167: e: %0 = input: is not the input with index 5 of the graph", 1},
    {input_negative, "E167: e: %0 = input: is not the input with index -1", 1},
    {input_twice, "E167: e: %1 = input: is not the input with index 0", 1},
    {input_no_node, "E167: e: input 0 has no node", 2},
    {input_other_node, "E167: e: input 0 is not the result of an input node", 2},
    {input_default, "E167: e: input 0 has a default but is no scalar", 1},
    {input_name, "E160: two inputs are called 'lr'", 1},
    {input_no_name, "E160: e: input 0 has no name", 1},
    {input_place, "E169: e: input 0: no place has number 999", 1},
    {state_index, "m.lvt:6:1: error E167: e: %2 = state: there is no state with index 2", 1},
    {state_type, "E165: e: %2 = state: %2 has type f32[2,3], but the state says f32[4,3]", 2},
    {state_name, "E160: two states are called 'w'", 1},
    {state_no_name, "E160: state 1 has no name", 1},
    {state_init, "E174: state 1: unknown initialiser", 1},
    {state_place, "E169: state 1: no place has number 999", 1},
    {output_value, "m.lvt:11:1: error E171: e: output 0 has no value", 1},
    {output_name, "E160: two outputs are called 'z'", 1},
    {output_no_name, "E160: e: output 0 has no name", 1},
    {output_place, "E169: e: output 0: no place has number 999", 1},
    {update_twice, "E172: e: state @w is updated twice", 1},
    {update_state, "E172: e: update 0: no such state", 1},
    {update_value, "E172: e: update 0: no such value", 1},
    {update_type, "m.lvt:10:1: error E172: e: state @w is f32[2,3], but the update gives it f32[2]", 1},
    {update_place, "E169: e: update 0: no place has number 999", 1},
    {failed, "E173: e: building it failed", 1},
    {other_module, "E173: e belongs to another module", 1},
    {graph_place, "E169: e: no place has number 999", 1},
    {entry_name, "E160: two entries are called 'f'", 1},
    {entry_no_name, "E160: entry 1 has no name", 1},
    {setting_name, "E160: two settings are called 'a'", 1},
    {place_file, "E169: place 2: there is no such source", 1},
    {place_parent, "E169: place 2: its caller does not come before it", 1},
};

static lvt_module *read_sound(void) {
    lvt_module *m;
    assert_int_equal(lvt_read_module("t", sound, sizeof sound - 1, &m, NULL), LVT_OK);
    return m;
}

static void test_sound(void **state) {
    (void)state;
    lvt_module *m = read_sound();
    lvt_diag *d = lvt_diag_new();
    assert_int_equal(lvt_verify_module(m, d), LVT_OK);
    assert_int_equal(lvt_verify_graph(m->entries[0], d), LVT_OK);
    assert_int_equal(lvt_verify_graph(m->entries[0]->nodes[FUSED].body, d), LVT_OK);
    assert_int_equal(lvt_diag_errors(d), 0);
    lvt_diag_free(d);
    lvt_module_free(m);
}

static void test_broken(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof breakages / sizeof *breakages; i++) {
        lvt_module *m = read_sound();
        lvt_diag *d = lvt_diag_new();
        breakages[i].apply(m, m->entries[0]);
        assert_int_equal(lvt_verify_module(m, NULL), LVT_USER);
        assert_int_equal(lvt_verify_module(m, d), LVT_USER);
        char *text = lvt_diag_text(d);
        if (!strstr(text, breakages[i].message) ||
            (breakages[i].errors && lvt_diag_errors(d) != breakages[i].errors))
            fail_msg("row %zu: %zu errors:\n%snot: %s", i, lvt_diag_errors(d), text, breakages[i].message);
        free(text);
        lvt_diag_free(d);
        lvt_module_free(m);
    }
}

/* Several mistakes are all told in one run. */
static void test_all(void **state) {
    (void)state;
    lvt_module *m = read_sound();
    lvt_graph *g = m->entries[0];
    lvt_diag *d = lvt_diag_new();
    state_no_name(m, g);
    attr_kind(m, g);
    output_value(m, g);
    role(m, g);
    setting_name(m, g);
    assert_int_equal(lvt_verify_module(m, d), LVT_USER);
    assert_int_equal(lvt_diag_errors(d), 5);
    lvt_diag_free(d);
    lvt_module_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sound), cmocka_unit_test(test_broken),
                                       cmocka_unit_test(test_all)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
