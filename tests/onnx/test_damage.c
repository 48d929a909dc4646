/* Damaged ONNX files: the importer must answer each with a module that verifies or with messages, never with
 * a crash, a read outside the file's folder or a long silence. Seeds are ONNX's own tests and what lvt itself
 * exports: an entry, a step, a training_info with data beside the file. Changes are of bytes and, so that
 * they come further, of the unpacked message: names, numbers, types, operators. Each file is imported alone,
 * as a piece of a graph, and by a model file. LVT_FUZZ_SECONDS and LVT_FUZZ_SEED in the environment: longer,
 * and otherwise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <dirent.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/fuzz/fuzz.h"

#include "frontend/language/language.h"
#include "frontend/onnx/export.h"
#include "frontend/onnx/import.h"
#include "ir/base/file.h"
#include "ir/text.h"
#include "passes/pass.h"

#include <onnx.pb-c.h>

#define NODES "/usr/lib/python3/dist-packages/onnx/backend/test/data/node"
enum { MOST = 1500 };

typedef struct seed {
    uint8_t *bytes;
    size_t size;
} seed;

static const char model[] =
    "import \"nn.lvt\"\n"
    "model m(batch = 2) {\n"
    "    training entry train(x: f32[batch, 6, 6, 2], y: i32[batch], lr: f32[] = 0.1) {\n"
    "        param k: f32[4, 2, 3, 3] = normal(0.1)\n"
    "        let h = relu(op.conv2d(x, k, stride = [2, 2]))\n"
    "        let f = linear(reshape(h, [batch, 16]), 3) as head\n"
    "        let loss = mean(cross_entropy(f, y))\n"
    "        minimize loss with sgd(lr = lr, momentum = 0.9)\n"
    "        return loss = loss\n"
    "    }\n"
    "    entry predict(x: f32[batch, 6, 6, 2]) {\n"
    "        param k: f32[4, 2, 3, 3] = normal(0.1)\n"
    "        let h = relu(op.conv2d(x, k, stride = [2, 2]))\n"
    "        return logits = linear(reshape(h, [batch, 16]), 3) as head\n"
    "    }\n"
    "}\n";

static const char importing[] = "import \"nn.lvt\"\n"
                                "import \"fuzz.onnx\" as net\n"
                                "model m(batch = 2) {\n"
                                "    training entry train(x: f32[batch, 6, 6, 2], step: i32[2]) {\n"
                                "        let f = net(x, step = step, any_size = true)\n"
                                "        let loss = mean(f ** 2)\n"
                                "        minimize loss with sgd(lr = 0.1)\n"
                                "        return loss = loss\n"
                                "    }\n"
                                "}\n";

static const char *const texts[] = {"Resize",
                                    "Einsum",
                                    "TopK",
                                    "ScatterND",
                                    "Conv",
                                    "MaxPool",
                                    "Reshape",
                                    "Constant",
                                    "Loop",
                                    "x",
                                    "",
                                    "Pad",
                                    "Tile",
                                    "OneHot",
                                    "Split",
                                    "Expand",
                                    "Gemm",
                                    "batch",
                                    "x.next",
                                    "GridSample",
                                    "QuantizeLinear",
                                    "SAME_UPPER",
                                    "cubic",
                                    "...ij,jk->",
                                    "data.bin",
                                    "../secret.bin",
                                    "/etc/passwd",
                                    "none",
                                    "CumSum",
                                    "Range",
                                    "Slice",
                                    "Gather",
                                    "GatherND",
                                    "LRN",
                                    "Dropout",
                                    "BatchNormalization",
                                    "SoftmaxCrossEntropyLoss",
                                    "GroupNormalization",
                                    "ConvTranspose",
                                    "Identity",
                                    "pytorch"};

static int64_t number(uint64_t *r) {
    static const int64_t list[] = {0,   1,     -1,      2,         3,         7,         64,
                                   255, 65536, 1 << 20, INT32_MAX, INT64_MAX, INT64_MIN, INT32_MIN};
    return fuzz_below(r, 3) ? list[fuzz_below(r, sizeof list / sizeof *list)]
                            : (int64_t)fuzz_below(r, 12) - 3;
}

static void set_text(char **s, const char *text) {
    char *copy = strdup(text);
    assert_non_null(copy);
    if (*s != protobuf_c_empty_string)
        free(*s);
    *s = copy;
}

/* A name out of the graph, or a word. */
static const char *some_name(const Onnx__GraphProto *g, uint64_t *r) {
    const Onnx__NodeProto *n = g->n_node ? g->node[fuzz_below(r, g->n_node)] : NULL;
    switch (fuzz_below(r, 5)) {
    case 0:
        return n && n->n_input ? n->input[fuzz_below(r, n->n_input)] : "x";
    case 1:
        return n && n->n_output ? n->output[fuzz_below(r, n->n_output)] : "x";
    case 2:
        return g->n_initializer ? g->initializer[fuzz_below(r, g->n_initializer)]->name : "x";
    case 3:
        return g->n_output ? g->output[fuzz_below(r, g->n_output)]->name : "x";
    default:
        return texts[fuzz_below(r, sizeof texts / sizeof *texts)];
    }
}

static void change_tensor(Onnx__TensorProto *t, const Onnx__GraphProto *g, uint64_t *r) {
    switch (fuzz_below(r, 6)) {
    case 0:
        if (t->n_dims)
            t->dims[fuzz_below(r, t->n_dims)] = number(r);
        break;
    case 1:
        t->has_data_type = true;
        t->data_type = (int32_t)fuzz_below(r, 24);
        break;
    case 2:
        t->raw_data.len = fuzz_below(r, t->raw_data.len + 1);
        break;
    case 3:
        for (size_t i = 0; i < 8 && i < t->raw_data.len; i++)
            t->raw_data.data[fuzz_below(r, t->raw_data.len)] = (uint8_t)fuzz_random(r);
        break;
    case 4:
        if (t->name)
            set_text(&t->name, some_name(g, r));
        break;
    default:
        if (t->n_external_data) {
            Onnx__StringStringEntryProto *e = t->external_data[fuzz_below(r, t->n_external_data)];
            static const char *const values[] = {
                "../secret.bin",  "data.bin",  "-1",        "99999999999999999999", "4096", "",
                "./../fuzz.onnx", "fuzz.onnx", "/dev/zero", "sub/../../secret.bin"};
            set_text(&e->value, values[fuzz_below(r, sizeof values / sizeof *values)]);
        } else {
            t->has_data_location = true;
            t->data_location = (Onnx__TensorProto__DataLocation)fuzz_below(r, 3);
        }
    }
}

static void change_graph(Onnx__GraphProto *g, uint64_t *r) {
    Onnx__NodeProto *n = g->n_node ? g->node[fuzz_below(r, g->n_node)] : NULL;
    Onnx__AttributeProto *a = n && n->n_attribute ? n->attribute[fuzz_below(r, n->n_attribute)] : NULL;
    switch (fuzz_below(r, 10)) {
    case 0:
        if (n && n->n_input)
            set_text(&n->input[fuzz_below(r, n->n_input)], some_name(g, r));
        break;
    case 1:
        if (n && n->n_output)
            set_text(&n->output[fuzz_below(r, n->n_output)], some_name(g, r));
        break;
    case 2:
        if (n && n->op_type && !fuzz_below(r, 2))
            set_text(&n->op_type, texts[fuzz_below(r, sizeof texts / sizeof *texts)]);
        else if (n && n->op_type)
            set_text(&n->op_type, g->node[fuzz_below(r, g->n_node)]->op_type);
        break;
    case 3:
        if (a && a->n_ints)
            a->ints[fuzz_below(r, a->n_ints)] = number(r);
        else if (a)
            a->has_i = true, a->i = number(r);
        break;
    case 4:
        if (a && a->has_s) {
            free(a->s.data);
            a->s.data = (uint8_t *)strdup(texts[fuzz_below(r, sizeof texts / sizeof *texts)]);
            a->s.len = strlen((char *)a->s.data);
        } else if (a) {
            a->has_f = true, a->f = (float)number(r) / (float)(1 + fuzz_below(r, 7));
        }
        break;
    case 5:
        if (a && a->t)
            change_tensor(a->t, g, r);
        break;
    case 6:
    case 7:
        if (g->n_initializer)
            change_tensor(g->initializer[fuzz_below(r, g->n_initializer)], g, r);
        break;
    case 8:
        if (g->n_input) {
            Onnx__ValueInfoProto *v = g->input[fuzz_below(r, g->n_input)];
            Onnx__TypeProto__Tensor *t = v->type && v->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE
                                             ? v->type->tensor_type
                                             : NULL;
            if (t && t->shape && t->shape->n_dim && fuzz_below(r, 3)) {
                Onnx__TensorShapeProto__Dimension *d = t->shape->dim[fuzz_below(r, t->shape->n_dim)];
                if (d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE)
                    d->dim_value = number(r);
            } else if (t) {
                t->elem_type = (int32_t)fuzz_below(r, 20);
            }
        }
        break;
    default:
        if (g->n_node > 1) { /* out of order: what is used is not made yet */
            size_t i = fuzz_below(r, g->n_node);
            Onnx__NodeProto *other = g->node[i];
            g->node[i] = g->node[0];
            g->node[0] = other;
        }
    }
}

/* The bytes with some fields changed, or NULL. */
static uint8_t *change_message(const seed *s, uint64_t *r, size_t *size) {
    Onnx__ModelProto *m = onnx__model_proto__unpack(NULL, s->size, s->bytes);
    if (!m || !m->graph)
        return NULL;
    for (size_t k = 1 + fuzz_below(r, 4); k; k--) {
        Onnx__TrainingInfoProto *t = m->n_training_info ? m->training_info[0] : NULL;
        if (t && t->algorithm && fuzz_below(r, 2)) {
            if (t->n_update_binding && !fuzz_below(r, 3)) {
                Onnx__StringStringEntryProto *b = t->update_binding[fuzz_below(r, t->n_update_binding)];
                set_text(fuzz_below(r, 2) ? &b->key : &b->value,
                         some_name(fuzz_below(r, 2) ? m->graph : t->algorithm, r));
            } else {
                change_graph(t->algorithm, r);
            }
        } else if (m->n_opset_import && !fuzz_below(r, 20)) {
            m->opset_import[0]->version = number(r);
        } else {
            change_graph(m->graph, r);
        }
    }
    *size = onnx__model_proto__get_packed_size(m);
    uint8_t *out = malloc(*size + 1);
    if (out)
        onnx__model_proto__pack(m, out);
    onnx__model_proto__free_unpacked(m, NULL);
    return out;
}

/* ---- what takes them ---- */

static char folder[64];
static unsigned rounds, compiled;

static void write_file(const char *name, const void *bytes, size_t size) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    fclose(f);
}

static void answered(lvt_status status, lvt_module *m, lvt_diag *d, const uint8_t *data, size_t size) {
    bool good = (status == LVT_OK) == (m != NULL) && (status == LVT_OK || lvt_diag_errors(d) > 0) &&
                (status == LVT_OK || status == LVT_USER || status == LVT_NOMEM || status == LVT_IO);
    good = good && (!m || lvt_verify_module(m, d) == LVT_OK);
    if (!good) {
        char *text = lvt_diag_text(d);
        write_file("failed.onnx", data, size);
        print_error("status %d: %s; the file is %s/failed.onnx\n", (int)status, text, folder);
        free(text);
        fail();
    }
    compiled += m != NULL;
    lvt_module_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const sizes[] = {"batch=2", "N=2", "x=3"};
    char path[128];
    lvt_onnx_import options = {.settings = sizes, .n_settings = 3, .freeze = rounds % 5 == 4};
    lvt_module *m = NULL;
    lvt_diag *d = lvt_diag_new();
    snprintf(path, sizeof path, "%s/", folder);
    lvt_status status = lvt_onnx_import_bytes("fuzz.onnx", data, size, path, &options, &m, d);
    answered(status, m, d, data, size);
    lvt_diag_free(d);
    if (rounds % 4 == 0) {
        d = lvt_diag_new();
        m = NULL;
        write_file("fuzz.onnx", data, size);
        snprintf(path, sizeof path, "%s/fuzz.lvt", folder);
        status = lvt_compile_text(path, importing, sizeof importing - 1, NULL, 0, "models", &m, d);
        answered(status, m, d, data, size);
        lvt_diag_free(d);
    }
    rounds++;
    return 0;
}

/* ---- seeds ---- */

static bool read_seed(const char *path, seed *s) {
    lvt_diag *d = lvt_diag_new();
    bool ok = lvt_file_read(path, &s->bytes, &s->size, d) == LVT_OK;
    lvt_diag_free(d);
    return ok;
}

static void export_seed(const char *entry, bool training_info, int64_t external, seed *s) {
    lvt_diag *d = lvt_diag_new();
    lvt_module *m = NULL;
    char path[128];
    snprintf(path, sizeof path, "%s/%s.onnx", folder, training_info ? "info" : entry);
    lvt_status status =
        lvt_compile_text("models/seed.lvt", model, sizeof model - 1, NULL, 0, "models", &m, d);
    lvt_compiled *none = NULL;
    if (status == LVT_OK)
        status = lvt_compile(m, &(lvt_compile_options){.stop_after = "dce"}, &none, d);
    lvt_onnx_options options = {.entry = entry,
                                .path = path,
                                .version = "0",
                                .opset = 17,
                                .external_bytes = external,
                                .training_info = training_info,
                                .inference = "predict"};
    if (status != LVT_OK || lvt_onnx_export(m, NULL, &options, d) != LVT_OK || !read_seed(path, s))
        fail_msg("%s", lvt_diag_text(d));
    lvt_module_free(m);
    lvt_diag_free(d);
}

/* One vector of equal numbers used four times, as PyTorch's exporters write it: with names of its own, or
 * without. */
static void merged_seed(bool renamed, seed *s) {
    Onnx__TypeProto__Tensor tensor = ONNX__TYPE_PROTO__TENSOR__INIT;
    Onnx__TypeProto type = ONNX__TYPE_PROTO__INIT;
    Onnx__TensorShapeProto shape = ONNX__TENSOR_SHAPE_PROTO__INIT;
    Onnx__TensorShapeProto__Dimension sizes[] = {
        ONNX__TENSOR_SHAPE_PROTO__DIMENSION__INIT, ONNX__TENSOR_SHAPE_PROTO__DIMENSION__INIT,
        ONNX__TENSOR_SHAPE_PROTO__DIMENSION__INIT, ONNX__TENSOR_SHAPE_PROTO__DIMENSION__INIT};
    Onnx__TensorShapeProto__Dimension *dims[] = {&sizes[0], &sizes[1], &sizes[2], &sizes[3]};
    for (int i = 0; i < 4; i++) {
        sizes[i].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        sizes[i].dim_value = (int64_t[]){2, 2, 6, 6}[i];
    }
    shape.dim = dims;
    shape.n_dim = 4;
    tensor.has_elem_type = true;
    tensor.elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    tensor.shape = &shape;
    type.value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type.tensor_type = &tensor;
    Onnx__ValueInfoProto x = ONNX__VALUE_INFO_PROTO__INIT, y = ONNX__VALUE_INFO_PROTO__INIT;
    x.name = "x";
    y.name = "y";
    x.type = y.type = &type;
    Onnx__TensorProto w = ONNX__TENSOR_PROTO__INIT;
    w.name = "w";
    w.has_data_type = true;
    w.data_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    w.dims = (int64_t[]){2};
    w.n_dims = 1;
    w.float_data = (float[]){1, 1};
    w.n_float_data = 2;
    char *inputs[][5] = {{"w"}, {"x", "w", "w", renamed ? "v" : "w", "w"}, {"h", "w", "w", "w", "w"}};
    char *outputs[] = {"v", "h", "y"};
    Onnx__NodeProto nodes[3], *list[3];
    for (int i = 0; i < 3; i++) {
        onnx__node_proto__init(list[i] = &nodes[i]);
        nodes[i].op_type = i ? "BatchNormalization" : "Identity";
        nodes[i].input = inputs[i];
        nodes[i].n_input = i ? 5 : 1;
        nodes[i].output = &outputs[i];
        nodes[i].n_output = 1;
    }
    Onnx__GraphProto g = ONNX__GRAPH_PROTO__INIT;
    g.name = "g";
    g.node = list + !renamed;
    g.n_node = renamed ? 3 : 2;
    g.input = &(Onnx__ValueInfoProto *){&x};
    g.output = &(Onnx__ValueInfoProto *){&y};
    g.initializer = &(Onnx__TensorProto *){&w};
    g.n_input = g.n_output = g.n_initializer = 1;
    Onnx__OperatorSetIdProto set = ONNX__OPERATOR_SET_ID_PROTO__INIT;
    set.has_version = true;
    set.version = 14;
    Onnx__ModelProto m = ONNX__MODEL_PROTO__INIT;
    m.producer_name = "pytorch";
    m.opset_import = &(Onnx__OperatorSetIdProto *){&set};
    m.n_opset_import = 1;
    m.graph = &g;
    s->size = onnx__model_proto__get_packed_size(&m);
    s->bytes = malloc(s->size);
    assert_non_null(s->bytes);
    onnx__model_proto__pack(&m, s->bytes);
}

static void test_damage(void **state) {
    (void)state;
    seed *seeds = calloc(MOST + 8, sizeof *seeds);
    size_t n = 0;
    strcpy(folder, "/tmp/lvt-fuzz-XXXXXX");
    assert_non_null(mkdtemp(folder));
    export_seed("predict", false, -1, &seeds[n++]);
    export_seed("train", false, -1, &seeds[n++]);
    export_seed("train", true, -1, &seeds[n++]);
    export_seed("predict", false, 16, &seeds[n++]);
    merged_seed(false, &seeds[n++]);
    merged_seed(true, &seeds[n++]);
    size_t own = n;
    DIR *dir = opendir(NODES);
    for (struct dirent *e; dir && (e = readdir(dir)) && n < MOST;) {
        char path[400];
        snprintf(path, sizeof path, NODES "/%s/model.onnx", e->d_name);
        if (e->d_name[0] != '.' && read_seed(path, &seeds[n]))
            n++;
    }
    if (dir)
        closedir(dir);
    const char *more = getenv("LVT_FUZZ_SECONDS"), *other = getenv("LVT_FUZZ_SEED");
    uint64_t r = other ? strtoull(other, NULL, 10) | 1 : 20260102;
    double end = fuzz_seconds() + (more ? atof(more) : 5);
    for (size_t i = 0; i < own; i++) /* whole, they are good */
        LLVMFuzzerTestOneInput(seeds[i].bytes, seeds[i].size);
    assert_true(compiled >= own);
    while (fuzz_seconds() < end) {
        const seed *s = &seeds[fuzz_below(&r, 3) ? fuzz_below(&r, n) : fuzz_below(&r, own)];
        size_t size = s->size;
        uint8_t *data = fuzz_below(&r, 4) ? change_message(s, &r, &size) : NULL;
        if (!data) {
            uint8_t *room = malloc(2 * s->size + 256);
            memcpy(room, s->bytes, s->size);
            size = s->size;
            for (size_t k = 1 + fuzz_below(&r, 4); k; k--)
                size = fuzz_change(room, size, 2 * s->size + 256, &r, texts, sizeof texts / sizeof *texts);
            data = malloc(size + 1);
            memcpy(data, room, size);
            free(room);
        }
        double begun = fuzz_seconds();
        LLVMFuzzerTestOneInput(data, size);
        if (fuzz_seconds() - begun > 20) {
            write_file("slow.onnx", data, size);
            fail_msg("%g s for %s/slow.onnx", fuzz_seconds() - begun, folder);
        }
        free(data);
    }
    print_message("%u files, %u modules\n", rounds, compiled);
    for (size_t i = 0; i < n; i++)
        free(seeds[i].bytes);
    free(seeds);
    static const char *const files[] = {"predict.onnx", "train.onnx", "info.onnx", "predict.onnx.data",
                                        "fuzz.onnx"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        unlink(path);
    }
    rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_damage)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
