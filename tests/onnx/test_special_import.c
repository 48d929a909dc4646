/* Imported operators at special points, tests/special/onnx.txt: values, and slopes where they have any, by the
 * interpreter and by compiled programs, both in f32. */
#include "frontend/onnx/import.h"
#include "ir/interp.h"
#include "ir/program/weights.h"
#include "passes/pass.h"
#include "runtime/session/internal.h"
#include "tests/special/table.h"

#include <onnx.pb-c.h>
#include <stdio.h>
#include <unistd.h>

enum { MOST = 4 };

typedef struct tensor_text { /* "f32[2,3] 1 2 3 4 5 6" */
    bool whole;
    int rank;
    int64_t dim[4];
    list numbers;
} tensor_text;

typedef struct imported {
    int line;
    char name[64], attributes[256];
    tensor_text in, given[2], out[2];
    list grad;
    int n_given, n_out;
    bool differentiable;
} imported;

static int failures; /* of the test that runs: all are told before it fails */

/* ---- reading ---- */

static void read_tensor(const char *p, tensor_text *t) {
    char *end;
    t->whole = *p == 'i';
    for (p = strchr(p, '[') + 1; *p != ']'; p = end + (*end == ',')) {
        t->dim[t->rank++] = strtoll(p, &end, 10);
        assert_true(end > p && t->rank <= 4);
    }
    assert_string_equal(read_numbers(p + 1, &t->numbers), "");
}

/* ---- the model ---- */

static void *clear(size_t bytes) {
    void *p = calloc(1, bytes + 1);
    assert_non_null(p);
    return p;
}

static char *copy(const char *s) {
    return strcpy(clear(strlen(s)), s);
}

static Onnx__ValueInfoProto *value_info(const char *name, const tensor_text *t) {
    Onnx__ValueInfoProto *v = clear(sizeof *v);
    onnx__value_info_proto__init(v);
    v->name = copy(name);
    if (!t)
        return v;
    Onnx__TypeProto *type = v->type = clear(sizeof *type);
    onnx__type_proto__init(type);
    Onnx__TypeProto__Tensor *tensor = clear(sizeof *tensor);
    onnx__type_proto__tensor__init(tensor);
    type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type->tensor_type = tensor;
    tensor->has_elem_type = true;
    tensor->elem_type =
        t->whole ? ONNX__TENSOR_PROTO__DATA_TYPE__INT64 : ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    Onnx__TensorShapeProto *shape = tensor->shape = clear(sizeof *shape);
    onnx__tensor_shape_proto__init(shape);
    shape->n_dim = (size_t)t->rank;
    shape->dim = clear(shape->n_dim * sizeof *shape->dim);
    for (int i = 0; i < t->rank; i++) {
        shape->dim[i] = clear(sizeof **shape->dim);
        onnx__tensor_shape_proto__dimension__init(shape->dim[i]);
        shape->dim[i]->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        shape->dim[i]->dim_value = t->dim[i];
    }
    return v;
}

static Onnx__TensorProto *initializer(const char *name, const tensor_text *t, bool int64) {
    Onnx__TensorProto *x = clear(sizeof *x);
    onnx__tensor_proto__init(x);
    x->name = copy(name);
    x->has_data_type = true;
    x->data_type = int64 ? ONNX__TENSOR_PROTO__DATA_TYPE__INT64 : ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    x->n_dims = (size_t)t->rank;
    x->dims = clear(x->n_dims * sizeof *x->dims);
    memcpy(x->dims, t->dim, x->n_dims * sizeof *x->dims);
    size_t n = (size_t)t->numbers.n;
    if (int64) {
        x->n_int64_data = n;
        x->int64_data = clear(n * sizeof *x->int64_data);
    } else {
        x->n_float_data = n;
        x->float_data = clear(n * sizeof *x->float_data);
    }
    for (size_t i = 0; i < n && int64; i++)
        x->int64_data[i] = (int64_t)t->numbers.x[i];
    for (size_t i = 0; i < n && !int64; i++)
        x->float_data[i] = (float)t->numbers.x[i];
    return x;
}

/* "name=value": a list of integers, an integer, a float or a word, as the operators have it. */
static Onnx__AttributeProto *attribute(char *text) {
    static const char *const lists[] = {"axes", "kernel_shape", "strides"};
    Onnx__AttributeProto *a = clear(sizeof *a);
    char *value = strchr(text, '=');
    *value++ = 0;
    onnx__attribute_proto__init(a);
    a->name = copy(text);
    a->has_type = true;
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(lists[i], text))
            continue;
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
        a->ints = clear(4 * sizeof *a->ints);
        for (char *p = value; *p; p += *p == ',')
            a->ints[a->n_ints++] = strtoll(p, &p, 10);
        return a;
    }
    if (strchr("abcdefghijklmnopqrstuvwxyz", *value)) {
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING;
        a->has_s = true;
        a->s.len = strlen(value);
        a->s.data = (uint8_t *)copy(value);
    } else if (strchr(value, '.')) {
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
        a->has_f = true;
        a->f = strtof(value, NULL);
    } else {
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
        a->has_i = true;
        a->i = strtoll(value, NULL, 10);
    }
    return a;
}

static uint8_t *model_bytes(const imported *s, size_t *size) {
    Onnx__ModelProto *m = clear(sizeof *m);
    Onnx__GraphProto *g = clear(sizeof *g);
    Onnx__NodeProto *n = clear(sizeof *n);
    Onnx__OperatorSetIdProto *opset = clear(sizeof *opset);
    char attributes[sizeof s->attributes], *at = attributes, *next;
    onnx__model_proto__init(m);
    onnx__graph_proto__init(g);
    onnx__node_proto__init(n);
    onnx__operator_set_id_proto__init(opset);
    m->graph = g;
    m->has_ir_version = true;
    m->ir_version = 8;
    m->n_opset_import = 1;
    m->opset_import = clear(sizeof *m->opset_import);
    m->opset_import[0] = opset;
    opset->has_version = true;
    opset->version = !strcmp(s->name, "Gelu") ? 20 : !strcmp(s->name, "Mish") ? 18 : 17;
    g->name = copy("g");
    g->n_node = g->n_input = 1;
    g->node = clear(sizeof *g->node);
    g->node[0] = n;
    g->input = clear(sizeof *g->input);
    g->input[0] = value_info("x", &s->in);
    g->n_output = n->n_output = (size_t)s->n_out;
    g->output = clear(g->n_output * sizeof *g->output);
    n->output = clear(n->n_output * sizeof *n->output);
    for (int i = 0; i < s->n_out; i++) {
        g->output[i] = value_info((char[]){'y', (char)('0' + i), 0}, &s->out[i]);
        n->output[i] = copy(g->output[i]->name);
    }
    n->op_type = copy(s->name);
    n->n_input = 1 + (size_t)s->n_given;
    n->input = clear(n->n_input * sizeof *n->input);
    n->input[0] = copy("x");
    g->n_initializer = (size_t)s->n_given;
    g->initializer = clear(g->n_initializer * sizeof *g->initializer);
    for (int i = 0; i < s->n_given; i++) {
        n->input[1 + i] = copy((char[]){'k', (char)('0' + i), 0});
        g->initializer[i] = initializer(n->input[1 + i], &s->given[i], !strcmp(s->name, "TopK"));
    }
    n->attribute = clear(8 * sizeof *n->attribute);
    strcpy(attributes, s->attributes);
    while ((next = strtok_r(at, " ", &at)))
        n->attribute[n->n_attribute++] = attribute(next);
    *size = onnx__model_proto__get_packed_size(m);
    uint8_t *bytes = clear(*size);
    onnx__model_proto__pack(m, bytes);
    onnx__model_proto__free_unpacked(m, NULL);
    return bytes;
}

static lvt_module *import(const imported *s, lvt_diag *diag) {
    size_t size;
    uint8_t *bytes = model_bytes(s, &size);
    lvt_module *m = NULL;
    lvt_onnx_import options = {0};
    if (lvt_onnx_import_bytes("special.onnx", bytes, size, NULL, &options, &m, diag) != LVT_OK) {
        char *words = lvt_diag_text(diag);
        fail_msg("onnx.txt:%d: %s: %s", s->line, s->name, words ? words : "");
    }
    free(bytes);
    if (!s->differentiable)
        return m;
    lvt_graph *g = m->entries[0];
    lvt_builder b = lvt_builder_for(g, diag);
    lvt_value loss = lvt_build_reduce(&b, LVT_OP_reduce_sum, g->outputs[0].value, 0, NULL, false);
    lvt_value d = lvt_build(&b, LVT_OP_gradient, 2, (lvt_value[]){loss, g->inputs[0].value}, 0, NULL);
    lvt_graph_add_output(g, "slope", d, 0);
    assert_false(g->failed);
    return m;
}

/* ---- running ---- */

/* Composites of up to some twenty roundings; 1 +- something cancels in many of them. */
static const tolerance allowed = {64 * 0x1p-24, 32 * 0x1p-24};

static void compare(const imported *s, uint32_t k, const lvt_type *type, const double *got, const char *how) {
    const list *want = (int)k < s->n_out ? &s->out[k].numbers : &s->grad;
    if (lvt_numel(type) != want->n)
        fail_msg("onnx.txt:%d: %s: %d numbers are given, %lld made", s->line, s->name, want->n,
                 (long long)lvt_numel(type));
    bool whole = !lvt_dtype_is_float((lvt_dtype)type->dtype);
    for (int i = 0; i < want->n; i++) {
        if (whole ? got[i] == want->x[i] : is_near(got[i], want, i, true, allowed))
            continue;
        failures++;
        print_error("%s, %s %s at onnx.txt:%d: %s, element %d", how, s->name, s->attributes, s->line,
                    (int)k < s->n_out ? "result" : "slope", i);
        if (s->in.numbers.n == want->n)
            print_error(" of %.9g", s->in.numbers.x[i]);
        print_error(": %.9g, should be %.9g\n", got[i], want->x[i]);
    }
}

static void check_interpreter(const imported *s) {
    lvt_diag *diag = lvt_diag_new();
    lvt_module *m = import(s, diag);
    lvt_arena *scratch = lvt_arena_new();
    lvt_pass ctx = {.name = "autodiff", .module = m, .diag = diag, .arena = scratch, .status = LVT_INTERNAL};
    const lvt_graph *g = s->differentiable ? lvt_pass_autodiff(&ctx, m->entries[0]) : m->entries[0];
    assert_non_null(g);
    lvt_tensor in = {*lvt_value_type(g, g->inputs[0].value), (double *)s->in.numbers.x}, out[MOST];
    lvt_tensor *states = clear(m->n_states * sizeof *states);
    for (uint32_t i = 0; i < m->n_states; i++) {
        states[i] =
            (lvt_tensor){m->states[i].type, clear((size_t)lvt_numel(&m->states[i].type) * sizeof(double))};
        lvt_tensor_load(&states[i], m->states[i].values);
    }
    assert_true(g->n_outputs <= MOST);
    for (uint32_t k = 0; k < g->n_outputs; k++) {
        out[k].type = *lvt_value_type(g, g->outputs[k].value);
        out[k].data = clear((size_t)lvt_numel(&out[k].type) * sizeof(double));
    }
    assert_int_equal(lvt_interp_run(g, &in, states, out, LVT_PRECISION_F32, NULL, NULL, diag), LVT_OK);
    for (uint32_t k = 0; k < g->n_outputs; k++) {
        compare(s, k, &out[k].type, out[k].data, "interpreter");
        free(out[k].data);
    }
    for (uint32_t i = 0; i < m->n_states; i++)
        free(states[i].data);
    free(states);
    lvt_arena_free(scratch);
    lvt_module_free(m);
    lvt_diag_free(diag);
}

static void check_program(const imported *s) {
    lvt_diag *diag = lvt_diag_new();
    lvt_compiled *compiled = NULL;
    lvt_program *p = NULL;
    lvt_session *session = NULL;
    lvt_status status = lvt_compile(import(s, diag), &(lvt_compile_options){0}, &compiled, diag);
    if (status == LVT_OK) /* not through a file: values that are no numbers are refused there */
        status =
            lvt_program_new(compiled, "special", &(lvt_program_options){.cache = "", .threads = 2}, &p, diag);
    if (status == LVT_OK)
        status = lvt_session_new(p, NULL, &session, diag);
    if (status != LVT_OK) {
        char *words = lvt_diag_text(diag);
        fail_msg("onnx.txt:%d: %s: %s", s->line, s->name, words ? words : "");
    }
    const lvt_graph *g = lvt_program_compiled(p)->module->entries[0];
    lvt_tensor in = {*lvt_value_type(g, g->inputs[0].value), (double *)s->in.numbers.x};
    void *packed = clear(lvt_type_bytes(&in.type));
    lvt_tensor_store(&in, packed);
    assert_int_equal(lvt_session_run(session, 0, (const void *[]){packed}, diag), LVT_OK);
    for (uint32_t k = 0; k < g->n_outputs; k++) {
        lvt_tensor out = {*lvt_value_type(g, g->outputs[k].value), NULL};
        out.data = clear((size_t)lvt_numel(&out.type) * sizeof(double));
        lvt_tensor_load(&out, lvt_session_output(session, 0, (int)k));
        compare(s, k, &out.type, out.data, "program");
        free(out.data);
    }
    free(packed);
    lvt_session_free(session);
    lvt_program_close(p);
    lvt_diag_free(diag);
}

static void test_operators(void **state) {
    (void)state;
    static imported now;
    static char text[1 << 16];
    FILE *f = fopen(LVT_SOURCE_DIR "/tests/special/onnx.txt", "r");
    int checked = 0, line = 0;
    assert_non_null(f);
    for (bool more = true; more;) {
        more = fgets(text, sizeof text, f) != NULL;
        text[more ? strcspn(text, "\n") : 0] = 0;
        line++;
        if (!*text && now.line) {
            check_interpreter(&now);
            check_program(&now);
            checked++;
            memset(&now, 0, sizeof now);
        } else if (!strncmp(text, "model ", 6)) {
            now.line = line;
            sscanf(text + 6, "%63s %255[^\n]", now.name, now.attributes);
        } else if (!strncmp(text, "in ", 3)) {
            read_tensor(text + 3, &now.in);
        } else if (!strncmp(text, "given ", 6)) {
            read_tensor(text + 6, &now.given[now.n_given++]);
        } else if (!strncmp(text, "out ", 4)) {
            read_tensor(text + 4, &now.out[now.n_out++]);
        } else if (!strncmp(text, "grad ", 5)) {
            now.differentiable = true;
            assert_string_equal(read_numbers(text + 5, &now.grad), "");
        } else if (*text && *text != '#') {
            fail_msg("onnx.txt:%d: cannot be read", line);
        }
    }
    fclose(f);
    print_message("%d operators\n", checked);
    assert_true(checked > 60);
    assert_int_equal(failures, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_operators)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
