/* Functions of a model: their nodes take the place of the nodes that call them, before anything else looks at the graph.
 * May not know: operators. */
#include "importer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_NODES = 1 << 20, MOST_DEPTH = 16 };

typedef struct inliner {
    const Onnx__ModelProto *model;
    const char *file;
    Onnx__NodeProto **list; /* what the graph becomes; owned */
    size_t n, cap;
    unsigned calls;
    lvt_diag *diag;
    lvt_status status;
} inliner;

typedef struct call { /* one at hand */
    const Onnx__NodeProto *node;
    const Onnx__FunctionProto *function;
    unsigned number;
    bool failed; /* out of memory */
} call;

static const char *text(const char *s) {
    return s ? s : "";
}

static const Onnx__FunctionProto *function_of(const inliner *in, const Onnx__NodeProto *n) {
    for (size_t i = 0; i < in->model->n_functions; i++) {
        const Onnx__FunctionProto *f = in->model->functions[i];
        if (!strcmp(text(f->name), text(n->op_type)) && !strcmp(text(f->domain), text(n->domain)))
            return f;
    }
    return NULL;
}

/* A deep copy, through its bytes. */
static void *copied(const ProtobufCMessage *m) {
    size_t size = protobuf_c_message_get_packed_size(m);
    uint8_t *bytes = malloc(size + 1);
    void *copy = NULL;
    if (bytes) {
        protobuf_c_message_pack(m, bytes);
        copy = protobuf_c_message_unpack(m->descriptor, NULL, size, bytes);
    }
    free(bytes);
    return copy;
}

/* *s, which the message owns, becomes the caller's name of the tensor. */
static void rename_tensor(call *c, char **s) {
    char name[400];
    const char *to = NULL;
    if (!*s || !**s)
        return;
    for (size_t i = 0; i < c->function->n_input && !to; i++)
        if (!strcmp(c->function->input[i], *s))
            to = i < c->node->n_input ? text(c->node->input[i]) : "";
    for (size_t i = 0; i < c->function->n_output && !to; i++)
        if (!strcmp(c->function->output[i], *s) && i < c->node->n_output && *text(c->node->output[i]))
            to = c->node->output[i];
    if (!to) {
        snprintf(name, sizeof name, "%.100s#%u/%.250s", text(c->function->name), c->number, *s);
        to = name;
    }
    char *copy = strdup(to);
    c->failed |= !copy;
    if (copy) {
        if (*s != protobuf_c_empty_string)
            free(*s);
        *s = copy;
    }
}

/* Attribute `name` of the call, or its value when it is not given; NULL: neither. */
static Onnx__AttributeProto *argument(call *c, const char *name) {
    for (size_t i = 0; i < c->node->n_attribute; i++)
        if (!strcmp(text(c->node->attribute[i]->name), name))
            return copied(&c->node->attribute[i]->base);
    for (unsigned i = 0; i < c->function->base.n_unknown_fields;
         i++) { /* field 11, newer than our messages */
        const ProtobufCMessageUnknownField *f = &c->function->base.unknown_fields[i];
        const uint8_t *data;
        size_t size;
        if (f->tag != 11 || !lvt_onnx_unknown_message(f, &data, &size) ||
            !lvt_onnx_bounded(&onnx__attribute_proto__descriptor, data, size, 16))
            continue;
        Onnx__AttributeProto *a = onnx__attribute_proto__unpack(NULL, size, data);
        if (a && !strcmp(text(a->name), name))
            return a;
        if (a)
            onnx__attribute_proto__free_unpacked(a, NULL);
    }
    return NULL;
}

static void fill_graph(call *c, Onnx__GraphProto *g);

/* What a node of the body says, in the caller's names and with its arguments. */
static void fill(call *c, Onnx__NodeProto *n) {
    size_t kept = 0;
    for (size_t i = 0; i < n->n_input; i++)
        rename_tensor(c, &n->input[i]);
    for (size_t i = 0; i < n->n_output; i++)
        rename_tensor(c, &n->output[i]);
    for (size_t i = 0; i < n->n_attribute; i++) {
        Onnx__AttributeProto *a = n->attribute[i], *with;
        if (a->ref_attr_name && *a->ref_attr_name) {
            char *name = strdup(text(a->name));
            with = argument(c, a->ref_attr_name);
            onnx__attribute_proto__free_unpacked(a, NULL);
            if (with && name) {
                if (with->name && with->name != protobuf_c_empty_string)
                    free(with->name);
                with->name = name;
                n->attribute[kept++] = with;
            } else { /* it is not given, so the operator's own default holds */
                c->failed |= !name;
                free(name);
            }
            continue;
        }
        if (a->g)
            fill_graph(c, a->g);
        n->attribute[kept++] = a;
    }
    n->n_attribute = kept;
}

static void fill_graph(call *c, Onnx__GraphProto *g) {
    for (size_t i = 0; i < g->n_node; i++)
        fill(c, g->node[i]);
    for (size_t i = 0; i < g->n_initializer; i++)
        rename_tensor(c, &g->initializer[i]->name);
    for (size_t i = 0; i < g->n_input; i++)
        rename_tensor(c, &g->input[i]->name);
    for (size_t i = 0; i < g->n_output; i++)
        rename_tensor(c, &g->output[i]->name);
}

static void fail(inliner *in, lvt_status status, const char *what, const char *name) {
    if (in->status == LVT_OK)
        in->status = lvt_error(in->diag, status, NULL, LVT_NOWHERE, "%s: %s%s", in->file, what, name);
}

/* Takes the node, which is owned. */
static void add(inliner *in, Onnx__NodeProto *n, int depth) {
    const Onnx__FunctionProto *f = function_of(in, n);
    if (in->status != LVT_OK) {
        onnx__node_proto__free_unpacked(n, NULL);
        return;
    }
    if (!f) {
        if (in->n == in->cap) {
            size_t cap = in->cap ? 2 * in->cap : 256;
            Onnx__NodeProto **more = in->n < MOST_NODES ? realloc(in->list, cap * sizeof *more) : NULL;
            if (!more) {
                fail(in, in->n < MOST_NODES ? LVT_NOMEM : LVT_USER,
                     in->n < MOST_NODES ? "out of memory" : "its functions make too many nodes", "");
                onnx__node_proto__free_unpacked(n, NULL);
                return;
            }
            in->list = more;
            in->cap = cap;
        }
        in->list[in->n++] = n;
        return;
    }
    call c = {n, f, in->calls++, false};
    if (depth >= MOST_DEPTH || in->calls > MOST_NODES)
        fail(in, LVT_USER, "functions call themselves, or too many others: ", text(f->name));
    for (size_t i = 0; i < f->n_node && in->status == LVT_OK; i++) {
        Onnx__NodeProto *body = copied(&f->node[i]->base);
        if (body)
            fill(&c, body);
        if (!body || c.failed) {
            fail(in, LVT_NOMEM, "out of memory", "");
            if (body)
                onnx__node_proto__free_unpacked(body, NULL);
            break;
        }
        add(in, body, depth + 1);
    }
    onnx__node_proto__free_unpacked(n, NULL);
}

static long version_of(size_t n, Onnx__OperatorSetIdProto *const *list) {
    for (size_t i = 0; i < n; i++)
        if (!*text(list[i]->domain) || !strcmp(list[i]->domain, "ai.onnx"))
            return (long)list[i]->version;
    return 0;
}

lvt_status lvt_onnx_inline(Onnx__ModelProto *m, const char *file, lvt_diag *diag) {
    inliner in = {.model = m, .file = file, .diag = diag, .status = LVT_OK};
    Onnx__GraphProto *g = m->graph;
    bool calls = false;
    long own = version_of(m->n_opset_import, m->opset_import);
    for (size_t i = 0; i < g->n_node; i++) {
        const Onnx__FunctionProto *f = function_of(&in, g->node[i]);
        long of = f ? version_of(f->n_opset_import, f->opset_import) : 0;
        calls |= f != NULL;
        if (of && own && of != own)
            return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                             "%s: function %s is of operator set %ld, the model of %ld: they must be equal",
                             file, text(f->name), of, own);
    }
    if (!calls)
        return LVT_OK;
    for (size_t i = 0; i < g->n_node; i++)
        add(&in, g->node[i], 0);
    free(g->node);
    g->node = in.list;
    g->n_node = in.n;
    return in.status;
}
