/* Names of initialisers that exporters have invented (val_74, onnx::MatMul_1149) from the layers that use them: the
 * module's path stands in the node's metadata (the newer exporter of PyTorch) or in its name (the older one). And what
 * the caller says to be constant. May not know: files, builders. */
#include "frontend/onnx/importer.h"

#include <ctype.h>
#include <fnmatch.h>
#include <string.h>

bool lvt_im_invented_name(const char *name) {
    static const char *const before[] = {"val_",   "onnx::", "scalar_tensor_default", "/", "_val_",
                                         "const_", "v_"};
    size_t n = 0;
    for (size_t i = 0; i < sizeof before / sizeof *before && !n; i++)
        n = strncmp(name, before[i], strlen(before[i])) ? 0 : strlen(before[i]);
    if (name[0] == '/' || !strncmp(name, "onnx::", 6) || !strncmp(name, "scalar_tensor", 13))
        return true;
    name += n;
    return *name && strspn(name, "0123456789") == strlen(name); /* the older exporter numbers values, too */
}

/* Metadata of nodes, field 9, is newer than the messages that this is built with. */
static char *scopes(lvt_importer *im, const Onnx__NodeProto *n) {
    char *found = NULL;
    for (unsigned i = 0; i < n->base.n_unknown_fields && !found; i++) {
        const ProtobufCMessageUnknownField *f = &n->base.unknown_fields[i];
        const uint8_t *data;
        size_t size;
        if (f->tag != 9 || !lvt_onnx_unknown_message(f, &data, &size) ||
            !lvt_onnx_bounded(&onnx__string_string_entry_proto__descriptor, data, size, 2))
            continue;
        Onnx__StringStringEntryProto *e = onnx__string_string_entry_proto__unpack(NULL, size, data);
        if (e && e->key && e->value && !strcmp(e->key, "pkg.torch.onnx.name_scopes"))
            found = lvt_arena_strdup(im->arena, e->value);
        if (e)
            onnx__string_string_entry_proto__free_unpacked(e, NULL);
    }
    return found;
}

/* "['', 'blocks', 'blocks.0', 'blocks.0.qkv', 'linear']": the last but one, where the last is the operation. */
static const char *path_of_scopes(char *text) {
    const char *last = "", *before = "";
    for (char *at = strchr(text, '\''); at;) {
        char *end = strchr(at + 1, '\'');
        if (!end)
            break;
        *end = 0;
        before = last;
        last = at + 1;
        at = strchr(end + 1, '\'');
    }
    return before;
}

/* "/blocks/blocks.0/qkv/MatMul" or "/encoder/layer.0/dense/MatMul": parts that repeat what is before them stand for
 * both, the last is the operation. */
static const char *path_of_name(lvt_importer *im, const char *name) {
    char *copy = *name == '/' ? lvt_arena_strdup(im->arena, name + 1) : NULL, *slash, *part = copy;
    const char *path = "", *last = "";
    for (; part && (slash = strchr(part, '/')); part = slash + 1) {
        *slash = 0;
        size_t n = strlen(last), kept = strlen(path) - n;
        bool again = n && !strncmp(part, last, n) && part[n] == '.';
        path = again   ? lvt_arena_printf(im->arena, "%.*s%s", (int)kept, path, part)
               : *path ? lvt_arena_printf(im->arena, "%s.%s", path, part)
                       : part;
        if (!path)
            return "";
        last = part;
    }
    return path;
}

/* What an operator's input is called in a module. */
static const char *role(const Onnx__NodeProto *n, size_t i) {
    static const struct {
        const char *op, *names[5];
    } rows[] = {{"MatMul", {"weight", "weight"}},
                {"Gemm", {"weight", "weight", "bias"}},
                {"Conv", {NULL, "weight", "bias"}},
                {"ConvTranspose", {NULL, "weight", "bias"}},
                {"BatchNormalization", {NULL, "weight", "bias", "running_mean", "running_var"}},
                {"LayerNormalization", {NULL, "weight", "bias"}},
                {"GroupNormalization", {NULL, "weight", "bias"}},
                {"InstanceNormalization", {NULL, "weight", "bias"}},
                {"RMSNormalization", {NULL, "weight"}},
                {"PRelu", {NULL, "weight"}},
                {"Gather", {"weight"}},
                {"Add", {"bias", "bias"}},
                {"Mul", {"scale", "scale"}}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
        if (!strcmp(rows[k].op, n->op_type ? n->op_type : ""))
            return i < 5 && rows[k].names[i] ? rows[k].names[i] : "value";
    return "value";
}

static const char *path_of(lvt_importer *im, const Onnx__NodeProto *n) {
    char *text = scopes(im, n);
    return text ? path_of_scopes(text) : path_of_name(im, n->name ? n->name : "");
}

const char *lvt_im_name_of_use(lvt_importer *im, const Onnx__NodeProto *n, size_t i) {
    const char *path = path_of(im, n);
    return *path ? lvt_arena_printf(im->arena, "%s.%s", path, role(n, i)) : NULL;
}

void lvt_im_name_by_use(lvt_importer *im, const Onnx__NodeProto *n) {
    const char *path = NULL;
    for (size_t i = 0; i < n->n_input; i++) {
        lvt_im_value *v = n->input[i] && *n->input[i] ? lvt_im_slot(im, n->input[i]) : NULL;
        if (!v || !v->name || v->weight == LVT_NONE || v->called || !lvt_im_invented_name(v->name))
            continue;
        path = path ? path : path_of(im, n);
        if (!*path)
            return;
        /* Names are those of tensors: none may be there already, nor be that of another. */
        for (int k = 1; k < 100 && !v->called; k++) {
            const char *name = k == 1 ? lvt_arena_printf(im->arena, "%s.%s", path, role(n, i))
                                      : lvt_arena_printf(im->arena, "%s.%s_%d", path, role(n, i), k);
            lvt_im_value *there = name ? lvt_im_slot(im, name) : NULL;
            if (!there || im->n_reserved >= im->cap_values / 8)
                return;
            if (there->name)
                continue;
            *there = (lvt_im_value){
                .name = name, .value = LVT_NONE, .weight = LVT_NONE, .wanted = false, .reserved = true};
            im->n_reserved++;
            v->called = name;
        }
    }
}

bool lvt_im_said_constant(lvt_importer *im, const lvt_im_value *v) {
    const lvt_onnx_use *use = im->use;
    bool found = false;
    for (size_t i = 0; i < use->n_constants; i++)
        if (!fnmatch(use->constants[i], v->name, 0) ||
            (v->called && !fnmatch(use->constants[i], v->called, 0))) {
            found = true;
            if (use->constants_found)
                use->constants_found[i] = true;
        }
    return found;
}

/* Whole numbers, or -infinity among zeros: nothing that was trained looks like that. Tensors that are filled with one
 * number are what training begins with. */
bool lvt_im_looks_fixed(const lvt_type *type, const double *x) {
    int64_t n = lvt_numel(type), same = 1;
    for (int64_t i = 0; i < n; i++) {
        bool low = x[i] < -1e30; /* -infinity, or as good as that */
        if (!low && (x[i] != (double)(int64_t)(x[i] > -1e15 && x[i] < 1e15 ? x[i] : 0)))
            return false;
        same += i > 0 && x[i] == x[0];
    }
    return n > 1 && same < n;
}
