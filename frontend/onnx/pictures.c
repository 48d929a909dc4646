/* What a checkpoint says of pictures and classes, and a graph that takes pictures as they are. May not know:
 * ONNX. */
#include "pictures.h"
#include "ir/program/json.h"
#include "ir/base/c_locale.h"
#include "ir/build.h"
#include "ir/base/utf8.h"

#include <cjson/cJSON.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is known ---- */

static int read_numbers(const cJSON *list, double *out) {
    int n = cJSON_GetArraySize(list), used = 0;
    for (int i = 0; i < n && i < LVT_ONNX_CHANNELS; i++) {
        const cJSON *j = cJSON_GetArrayItem(list, i);
        if (!cJSON_IsNumber(j))
            return 0;
        out[i] = j->valuedouble;
        used = out[i] != 0 ? i + 1 : used; /* a checkpoint has four, zeros behind those of its pictures */
    }
    return used;
}

static int parse_numbers(const char *text, double *out) {
    int n = 0;
    while (n < LVT_ONNX_CHANNELS) {
        char *end;
        out[n] = (float)lvt_strtod(text, &end);
        if (end == text || !isfinite(out[n]))
            return 0;
        n++;
        if (!*end)
            return n;
        if (*end != ',')
            return 0;
        text = end + 1;
    }
    return 0;
}

/* Classes of the tasks up to the checkpoint's position, as lvt-run eval and predict count them. */
static bool read_learned(const cJSON *root, lvt_onnx_pictures *out, lvt_arena *arena) {
    const cJSON *order = cJSON_GetObjectItemCaseSensitive(root, "class_order"),
                *starts = cJSON_GetObjectItemCaseSensitive(root, "task_starts"),
                *task = cJSON_GetObjectItemCaseSensitive(root, "task"),
                *step = cJSON_GetObjectItemCaseSensitive(root, "step");
    int classes = cJSON_GetArraySize(order), tasks = cJSON_GetArraySize(starts) - 1;
    if (classes < 1 || tasks < 1 || !cJSON_IsNumber(task) || !cJSON_IsNumber(step))
        return true;
    int learned = task->valueint + (step->valuedouble > 0);
    learned = learned < 1 ? 1 : learned > tasks ? tasks : learned;
    const cJSON *end = cJSON_GetArrayItem(starts, learned);
    bool *flags = lvt_arena_alloc(arena, (size_t)classes * sizeof *flags);
    if (!flags)
        return false;
    memset(flags, 0, (size_t)classes * sizeof *flags);
    for (int i = 0; i < classes && cJSON_IsNumber(end) && i < end->valueint; i++) {
        const cJSON *c = cJSON_GetArrayItem(order, i);
        if (cJSON_IsNumber(c) && c->valueint >= 0 && c->valueint < classes)
            flags[c->valueint] = true;
    }
    out->learned = flags;
    out->classes = classes;
    return true;
}

lvt_status lvt_onnx_pictures_read(lvt_onnx_pictures *out, const lvt_safetensors *weights, const char *mean,
                                  const char *deviation, lvt_arena *arena, lvt_diag *diag) {
    *out = (lvt_onnx_pictures){0};
    cJSON *root =
        weights && weights->metadata ? lvt_json_read(weights->metadata, strlen(weights->metadata)) : NULL;
    bool ok = true;
    if (root) {
        const cJSON *names = cJSON_GetObjectItemCaseSensitive(root, "class_names");
        char *text = cJSON_IsArray(names) ? lvt_json_text(names, false) : NULL;
        out->class_names = text ? lvt_arena_strndup(arena, text, strlen(text)) : NULL;
        ok = (!text || out->class_names) && read_learned(root, out, arena);
        cJSON_free(text);
        read_numbers(cJSON_GetObjectItemCaseSensitive(root, "mean"), out->mean);
        out->channels = read_numbers(cJSON_GetObjectItemCaseSensitive(root, "deviation"), out->deviation);
    }
    cJSON_Delete(root);
    if (!ok)
        return lvt_no_memory(diag, NULL);
    int a = mean ? parse_numbers(mean, out->mean) : 0,
        b = deviation ? parse_numbers(deviation, out->deviation) : 0;
    if (!mean != !deviation || a != b || (mean && !a))
        return lvt_error(
            diag, LVT_USAGE, NULL, LVT_NOWHERE,
            "--mean and --deviation go together, each with one number a channel of pixels in 0..1, "
            "such as 0.51,0.49,0.44");
    out->channels = a ? a : out->channels;
    for (int c = 0; c < out->channels; c++)
        if (!(out->deviation[c] > 0))
            return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "a deviation is above 0, not %g",
                             out->deviation[c]);
    return LVT_OK;
}

/* ---- the graph ---- */

static lvt_value vector(lvt_builder *b, int64_t n, const double *values, lvt_dtype dtype) {
    lvt_named_attr a[] = {{"dtype", lvt_attr_dtype(dtype)},
                          {"shape", lvt_attr_ints(&n, 1)},
                          {"values", lvt_attr_floats(values, (size_t)n)}};
    return lvt_build(b, LVT_OP_constant, 0, NULL, 3, a);
}

/* As the driver feeds the network: (pixel / 255 - mean) / deviation in f32. */
static lvt_value normalised(lvt_builder *b, const char *name, const lvt_type *type,
                            const lvt_onnx_pictures *p) {
    lvt_type bytes = lvt_type_make(LVT_U8, type->rank, type->dim);
    lvt_value x = lvt_build_cast(b, lvt_build_input(b, name, &bytes), LVT_F32);
    x = lvt_build_binary(b, LVT_OP_div, x, lvt_build_scalar(b, LVT_F32, 255));
    x = lvt_build_binary(b, LVT_OP_sub, x, vector(b, type->dim[3], p->mean, LVT_F32));
    return lvt_build_binary(b, LVT_OP_div, x, vector(b, type->dim[3], p->deviation, LVT_F32));
}

static bool answers(lvt_builder *b, lvt_value logits, const lvt_onnx_pictures *p, lvt_arena *arena) {
    int64_t classes = lvt_value_type(b->graph, logits)->dim[1], known = 0;
    double *mask = lvt_arena_alloc(arena, (size_t)classes * sizeof *mask);
    if (!mask)
        return false;
    for (int64_t c = 0; c < classes; c++)
        known += (mask[c] = p->classes == classes && p->learned ? p->learned[c] : 1) != 0;
    if (known < classes)
        logits = lvt_build_select(b, vector(b, classes, mask, LVT_BOOL), logits,
                                  lvt_build_scalar(b, LVT_F32, -FLT_MAX));
    lvt_named_attr axis = {"axis", lvt_attr_int(1)};
    lvt_value probabilities = lvt_build(b, LVT_OP_softmax, 1, &logits, 1, &axis);
    lvt_value label = lvt_build(b, LVT_OP_argmax, 1, &logits, 1, &axis);
    return probabilities != LVT_NONE && label != LVT_NONE &&
           lvt_graph_add_output(b->graph, "probabilities", probabilities, b->loc) &&
           lvt_graph_add_output(b->graph, "label", label, b->loc);
}

lvt_graph *lvt_onnx_take_pictures(const lvt_graph *g, const lvt_onnx_pictures *p, lvt_arena *arena,
                                  lvt_diag *diag) {
    const lvt_input *images = NULL;
    lvt_value logits = LVT_NONE;
    for (uint32_t i = 0; i < g->n_inputs; i++) {
        const lvt_type *t = lvt_value_type(g, g->inputs[i].value);
        if (t->rank == 4 && t->dtype == LVT_F32 && !images)
            images = &g->inputs[i];
    }
    for (uint32_t i = 0; i < g->n_outputs; i++)
        if (!strcmp(g->outputs[i].name, "logits"))
            logits = g->outputs[i].value;
    if (!images || logits == LVT_NONE || lvt_value_type(g, logits)->rank != 2 || g->n_updates) {
        lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                  "pre-processing wants an entry that takes images and returns logits; %s does not", g->name);
        return NULL;
    }
    const lvt_type *type = lvt_value_type(g, images->value);
    if (p->channels != type->dim[3]) {
        lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                  p->channels ? "images have %d channels, mean and deviation are given for %d"
                              : "mean and deviation of the training images' %d channels are not known",
                  (int)type->dim[3], p->channels);
        lvt_note(
            diag, LVT_NOWHERE,
            "a checkpoint of lvt-run train given with --weights has them; else use --mean and --deviation");
        return NULL;
    }
    lvt_graph *out = lvt_graph_new(g->module, g->name, g->loc, g->training);
    lvt_value *map = lvt_graph_new_map(g, arena);
    if (!out || !map)
        return NULL;
    lvt_builder b = lvt_builder_for(out, diag);
    b.loc = g->loc;
    for (uint32_t i = 0; i < g->n_nodes && !out->failed; i++) {
        if (g->nodes[i].op == LVT_OP_input && g->nodes[i].result == images->value)
            map[images->value] = normalised(&b, images->name, type, p);
        else
            lvt_graph_copy_node(out, g, i, map, NULL);
    }
    return !out->failed && answers(&b, map[logits], p, arena) && !out->failed ? out : NULL;
}
