/* Binding of a program's entries to what the driver gives them: two tables. May not know: tasks, memory,
 * files. */
#include "model.h"
#include "ir/base/c_locale.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Sizes that a shape may name. N is the entry's own number of images. */
typedef enum dim { N, M, H, W, C, K, TWO, N_DIMS } dim;

static const struct {
    const char *name;
    lvt_dtype dtype;
    int rank;
    uint8_t dims[4];
} inputs[LVT_N_INPUTS] = {
    [LVT_IN_X] = {"x", LVT_F32, 4, {N, H, W, C}},
    [LVT_IN_Y] = {"y", LVT_I32, 1, {N}},
    [LVT_IN_XM] = {"xm", LVT_F32, 4, {M, H, W, C}},
    [LVT_IN_YM] = {"ym", LVT_I32, 1, {M}},
    [LVT_IN_ZM] = {"zm", LVT_F32, 2, {M, K}},
    [LVT_IN_ZM_MASK] = {"zm_mask", LVT_F32, 2, {M, K}},
    [LVT_IN_MASK] = {"mask", LVT_F32, 1, {K}},
    [LVT_IN_STEP] = {"step", LVT_I32, 1, {TWO}},
    [LVT_IN_Y2] = {"y2", LVT_I32, 1, {N}},
    [LVT_IN_MIX] = {"mix", LVT_F32, 1, {N}},
    [LVT_IN_FREQUENCY] = {"frequency", LVT_F32, 1, {K}},
    [LVT_IN_TASK_MASK] = {"task_mask", LVT_F32, 1, {K}},
};

#define BIT(i) (1u << LVT_IN_##i)
static const struct {
    const char *name;
    unsigned required, allowed; /* sets of inputs */
} entries[LVT_N_ENTRIES] = {
    [LVT_ENTRY_TRAIN_NEW] = {"train_new", BIT(X) | BIT(Y),
                             BIT(X) | BIT(Y) | BIT(MASK) | BIT(STEP) | BIT(Y2) | BIT(MIX) | BIT(FREQUENCY) |
                                 BIT(TASK_MASK)},
    [LVT_ENTRY_TRAIN] = {"train", BIT(X) | BIT(Y) | BIT(XM) | BIT(YM), ~0u},
    [LVT_ENTRY_PREDICT] = {"predict", BIT(X), BIT(X)},
    [LVT_ENTRY_IMPORTANCE] = {"importance", BIT(X) | BIT(Y), BIT(X) | BIT(Y) | BIT(MASK) | BIT(STEP)},
    [LVT_ENTRY_CONSOLIDATE] = {"consolidate", 0, BIT(MASK) | BIT(TASK_MASK)},
    [LVT_ENTRY_INSPECT] = {"inspect", BIT(X), BIT(X)},
};

const char *lvt_entry_kind_name(lvt_entry_kind entry) {
    return entries[entry].name;
}

int lvt_model_scalar(const lvt_model *m, const char *name) {
    for (int i = 0; i < m->n_scalars; i++) {
        if (!strcmp(m->scalars[i].name, name))
            return i;
    }
    return -1;
}

static lvt_status refuse(const lvt_graph *g, const lvt_input *in, const char *what, lvt_diag *diag) {
    return lvt_error(diag, LVT_USER, NULL, lvt_module_pos(g->module, in->loc), "entry %s: input %s %s",
                     g->name, in->name, what);
}

static lvt_status bind_scalar(lvt_model *m, lvt_bound_entry *b, const lvt_graph *g, int i, lvt_diag *diag) {
    const lvt_input *in = &g->inputs[i];
    const lvt_type *t = lvt_value_type(g, in->value);
    if (t->rank != 0 || t->dtype != LVT_F32) {
        lvt_status status =
            refuse(g, in, "is not one that the driver knows (models/README.md lists them)", diag);
        lvt_note(diag, LVT_NOWHERE, "only f32[] inputs may have any name: they are coefficients");
        return status;
    }
    int s = lvt_model_scalar(m, in->name);
    if (s < 0) {
        if (m->n_scalars == LVT_MAX_SCALARS)
            return refuse(g, in, "is one coefficient too many", diag);
        s = m->n_scalars++;
        m->scalars[s] = (lvt_scalar){.name = in->name, .entry = g->name};
    }
    lvt_scalar *scalar = &m->scalars[s];
    if (in->has_default && !scalar->has_default) {
        scalar->has_default = true;
        scalar->default_value = in->default_value;
    }
    for (uint32_t n = 0; n < g->n_nodes; n++) {
        for (int k = 0; k < g->nodes[n].n_operands; k++)
            scalar->used |= g->nodes[n].operands[k] == in->value ? 1u << (b - m->entries) : 0;
    }
    b->kind[i] = LVT_N_INPUTS;
    b->scalar[i] = (uint8_t)s;
    return LVT_OK;
}

/* ranks: processes that have a share of the images each. */
static lvt_status bind_tensor(const lvt_graph *g, int i, int kind, int ranks, int64_t sizes[N_DIMS],
                              lvt_diag *diag) {
    const lvt_input *in = &g->inputs[i];
    const lvt_type *t = lvt_value_type(g, in->value);
    if (t->dtype != inputs[kind].dtype || t->rank != inputs[kind].rank)
        return refuse(g, in, "has another type than models/README.md says", diag);
    for (int k = 0; k < t->rank; k++) {
        int64_t *size = &sizes[inputs[kind].dims[k]];
        bool images = inputs[kind].dims[k] == N || inputs[kind].dims[k] == M;
        int64_t all = t->dim[k] * (images ? ranks : 1);
        if (*size && *size != all)
            return refuse(g, in, "has sizes that do not go with the other inputs", diag);
        *size = all;
    }
    return LVT_OK;
}

static lvt_status bind_entry(lvt_model *m, int kind, const lvt_graph *g, int64_t sizes[N_DIMS],
                             lvt_diag *diag) {
    lvt_bound_entry *b = &m->entries[kind];
    unsigned found = 0;
    if (g->n_inputs > LVT_MAX_INPUTS)
        return lvt_error(diag, LVT_USER, NULL, lvt_module_pos(g->module, g->loc),
                         "entry %s has too many inputs", g->name);
    b->n_inputs = (int)g->n_inputs;
    for (int i = 0; i < b->n_inputs; i++) {
        int k = 0;
        while (k < LVT_N_INPUTS && strcmp(inputs[k].name, g->inputs[i].name))
            k++;
        lvt_status status;
        if (k == LVT_N_INPUTS) {
            status = bind_scalar(m, b, g, i, diag);
        } else if (!(entries[kind].allowed >> k & 1)) {
            status = refuse(g, &g->inputs[i], "is not given to this entry", diag);
        } else {
            bool shared = kind == LVT_ENTRY_TRAIN_NEW || kind == LVT_ENTRY_TRAIN;
            status = bind_tensor(g, i, k, shared ? m->ranks : 1, sizes, diag);
            b->kind[i] = (uint8_t)k;
            found |= 1u << k;
        }
        if (status != LVT_OK)
            return status;
    }
    for (int k = 0; k < LVT_N_INPUTS; k++) {
        if ((entries[kind].required & ~found) >> k & 1)
            return lvt_error(diag, LVT_USER, NULL, lvt_module_pos(g->module, g->loc),
                             "entry %s has no input %s", g->name, inputs[k].name);
    }
    for (uint32_t o = 0; o < g->n_outputs; o++) {
        const lvt_type *t = lvt_value_type(g, g->outputs[o].value);
        if (!strncmp(g->outputs[o].name, "loss", 4) && t->rank == 0 && t->dtype == LVT_F32 &&
            b->n_losses < LVT_MAX_LOSSES) {
            b->loss_names[b->n_losses] = g->outputs[o].name;
            b->losses[b->n_losses++] = (int)o;
        }
    }
    return LVT_OK;
}

/* logits and injection: f32[predict_batch, classes]. A model with one classifier uses it for both. features,
 * if there are any: f32[predict_batch, FEATURES]. */
static lvt_status bind_predict(lvt_model *m, const lvt_graph *g, int64_t sizes[N_DIMS], lvt_diag *diag) {
    lvt_bound_entry *b = &m->entries[LVT_ENTRY_PREDICT];
    b->logits = lvt_entry_output(m->program, b->index, "logits");
    b->injection = lvt_entry_output(m->program, b->index, "injection");
    if (b->logits < 0)
        return lvt_error(diag, LVT_USER, NULL, lvt_module_pos(g->module, g->loc),
                         "entry predict has no output logits");
    if (b->injection < 0)
        b->injection = b->logits;
    for (int k = 0; k < 2; k++) {
        const lvt_output *o = &g->outputs[k ? b->injection : b->logits];
        const lvt_type *t = lvt_value_type(g, o->value);
        if (t->dtype != LVT_F32 || t->rank != 2 || t->dim[0] != sizes[N] ||
            (sizes[K] && t->dim[1] != sizes[K]))
            return lvt_error(diag, LVT_USER, NULL, lvt_module_pos(g->module, o->loc),
                             "entry predict: output %s is not f32[predict_batch,classes]", o->name);
        sizes[K] = t->dim[1];
    }
    b->features = lvt_entry_output(m->program, b->index, "features");
    if (b->features >= 0) {
        const lvt_output *o = &g->outputs[b->features];
        const lvt_type *t = lvt_value_type(g, o->value);
        if (t->dtype != LVT_F32 || t->rank != 2 || t->dim[0] != sizes[N])
            return lvt_error(diag, LVT_USER, NULL, lvt_module_pos(g->module, o->loc),
                             "entry predict: output features is not f32[predict_batch,FEATURES]");
        m->n_features = (int)t->dim[1];
    }
    return LVT_OK;
}

/* Outputs called map..., f32[heads, inspect_batch, queries, keys]. */
static lvt_status bind_inspect(lvt_model *m, const lvt_graph *g, int64_t images, lvt_diag *diag) {
    lvt_bound_entry *b = &m->entries[LVT_ENTRY_INSPECT];
    for (uint32_t o = 0; o < g->n_outputs; o++) {
        const lvt_type *t = lvt_value_type(g, g->outputs[o].value);
        if (strncmp(g->outputs[o].name, "map", 3))
            continue;
        if (t->dtype != LVT_F32 || t->rank != 4 || t->dim[1] != images)
            return lvt_error(diag, LVT_USER, NULL, lvt_module_pos(g->module, g->outputs[o].loc),
                             "entry inspect: output %s is not f32[heads,inspect_batch,queries,keys]",
                             g->outputs[o].name);
        if (b->n_maps < LVT_MAX_MAPS)
            b->maps[b->n_maps++] = (int)o;
    }
    m->inspect_batch = (int)images;
    return LVT_OK;
}

const float *lvt_model_map(const lvt_model *m, int i, lvt_type *type) {
    const lvt_bound_entry *b = &m->entries[LVT_ENTRY_INSPECT];
    const lvt_graph *g = lvt_model_module(m)->entries[b->index];
    *type = *lvt_value_type(g, g->outputs[b->maps[i]].value);
    return lvt_session_output(m->session, b->index, b->maps[i]);
}

const float *lvt_model_features(const lvt_model *m) {
    const lvt_bound_entry *b = &m->entries[LVT_ENTRY_PREDICT];
    return m->n_features ? lvt_session_output(m->session, b->index, b->features) : NULL;
}

static bool takes(const lvt_bound_entry *b, int kind) {
    for (int i = 0; i < b->n_inputs; i++) {
        if (b->kind[i] == kind)
            return true;
    }
    return b->index < 0; /* an entry that is not there asks for nothing */
}

bool lvt_model_mixes(const lvt_model *m) {
    bool all = true;
    for (int e = LVT_ENTRY_TRAIN_NEW; e <= LVT_ENTRY_TRAIN; e++)
        all = all && takes(&m->entries[e], LVT_IN_Y2) && takes(&m->entries[e], LVT_IN_MIX);
    return all;
}

static lvt_status bind(lvt_model *m, lvt_diag *diag) {
    const lvt_module *module = lvt_model_module(m);
    int64_t sizes[N_DIMS] = {[TWO] = 2};
    m->ranks = 1;
    for (uint32_t i = 0; i < module->n_settings; i++) {
        if (!strcmp(module->settings[i].name, "ranks"))
            m->ranks = atoi(module->settings[i].value);
        m->ranks = m->ranks < 1 || m->ranks > LVT_MAX_RANKS ? 1 : m->ranks;
    }
    for (int e = 0; e < LVT_N_ENTRIES; e++)
        m->entries[e].index = lvt_entry_find(m->program, entries[e].name);
    for (int e = 0; e < LVT_N_ENTRIES; e++) {
        if (!lvt_model_has(m, (lvt_entry_kind)e))
            continue;
        /* train, train_new and importance take one batch; predict and inspect have their own. */
        bool own = e == LVT_ENTRY_PREDICT || e == LVT_ENTRY_INSPECT;
        int64_t batch = sizes[N];
        sizes[N] = own ? 0 : batch;
        const lvt_graph *g = module->entries[m->entries[e].index];
        lvt_status status = bind_entry(m, e, g, sizes, diag);
        if (status == LVT_OK && own)
            status =
                e == LVT_ENTRY_INSPECT ? bind_inspect(m, g, sizes[N], diag) : bind_predict(m, g, sizes, diag);
        if (status != LVT_OK)
            return status;
        if (own) {
            if (e == LVT_ENTRY_PREDICT)
                m->predict_batch = (int)sizes[N];
            sizes[N] = batch;
        }
    }
    if (!lvt_model_has(m, LVT_ENTRY_PREDICT))
        return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "the program \"%s\" has no entry predict",
                         module->name);
    for (uint32_t i = 0; i < module->n_settings; i++) {
        if (!strcmp(module->settings[i].name, "method"))
            m->method = module->settings[i].value;
    }
    m->batch = (int)sizes[N];
    m->memory_batch = (int)sizes[M];
    m->height = (int)sizes[H];
    m->width = (int)sizes[W];
    if (sizes[C] > LVT_MAX_CHANNELS) {
        const lvt_graph *g = module->entries[m->entries[LVT_ENTRY_PREDICT].index];
        return lvt_error(diag, LVT_USER, NULL, lvt_module_pos(module, g->loc),
                         "the model takes images of %lld channels; the driver has no more than %d",
                         (long long)sizes[C], LVT_MAX_CHANNELS);
    }
    m->channels = (int)sizes[C];
    m->classes = (int)sizes[K];
    return LVT_OK;
}

lvt_status lvt_model_open(lvt_model *m, const char *path, const lvt_program_options *options, uint64_t seed,
                          bool trains, lvt_diag *diag) {
    *m = (lvt_model){0};
    lvt_program_options po = *options;
    po.compile_apart = true;
    lvt_status status = lvt_program_open(path, &po, &m->program, diag);
    if (status == LVT_OK)
        status = bind(m, diag);
    int used[LVT_N_ENTRIES], n = 0; /* of a program's entries, those the driver will run */
    for (int i = 0; i < LVT_N_ENTRIES && status == LVT_OK; i++) {
        if (lvt_model_has(m, (lvt_entry_kind)i) &&
            (i == LVT_ENTRY_PREDICT || (trains && i != LVT_ENTRY_INSPECT)))
            used[n++] = m->entries[i].index;
    }
    lvt_session_options so = {.threads = options->threads, .seed = seed, .entries = used, .n_entries = n};
    if (status == LVT_OK)
        status = lvt_session_new(m->program, &so, &m->session, diag);
    if (status != LVT_OK)
        lvt_model_close(m);
    return status;
}

void lvt_model_close(lvt_model *m) {
    if (m->session)
        lvt_session_free(m->session);
    if (m->program)
        lvt_program_close(m->program);
    *m = (lvt_model){0};
}

lvt_status lvt_model_fits(const lvt_model *m, const lvt_dataset *d, lvt_diag *diag) {
    if (m->height != d->height || m->width != d->width || m->channels != d->channels) {
        lvt_status status =
            lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "the images are %dx%dx%d, the model takes %dx%dx%d",
                      d->height, d->width, d->channels, m->height, m->width, m->channels);
        lvt_note(diag, LVT_NOWHERE, "height x width x channels; use another model, or --resize HxW");
        return status;
    }
    if (m->classes != d->classes) {
        lvt_status status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                                      "the data has %d classes, the model %d", d->classes, m->classes);
        lvt_note(diag, LVT_NOWHERE, "compile the model with `--set classes=%d`", d->classes);
        return status;
    }
    return LVT_OK;
}

lvt_status lvt_model_set(lvt_model *m, const char *text, lvt_diag *diag) {
    const char *equals = strchr(text, '=');
    char *end = NULL;
    errno = 0;
    double value = equals ? lvt_strtod(equals + 1, &end) : 0;
    if (!equals || equals == text || end == equals + 1 || *end || errno || value != value)
        return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "--coef: \"%s\" is not NAME=NUMBER", text);
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)(equals - text), text);
    int s = lvt_model_scalar(m, name);
    if (s < 0) {
        const char *names[LVT_MAX_SCALARS];
        for (int i = 0; i < m->n_scalars; i++)
            names[i] = m->scalars[i].name;
        const char *near = lvt_nearest(name, names, (size_t)m->n_scalars);
        lvt_status status =
            lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "--coef: the model has no coefficient \"%s\"%s%s%s",
                      name, near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
        const lvt_module *module = lvt_model_module(m);
        for (uint32_t i = 0; i < module->n_settings; i++) {
            if (!strcmp(module->settings[i].name, name))
                lvt_note(diag, LVT_NOWHERE, "it is a setting: compile the model with `--set %s=%s`", name,
                         equals + 1);
        }
        char list[512] = "";
        for (int i = 0; i < m->n_scalars; i++)
            snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", names[i]);
        lvt_note(diag, LVT_NOWHERE, "its coefficients are %s", *list ? list : "none");
        return status;
    }
    m->scalars[s].exact = value;
    m->scalars[s].value = (float)value;
    m->scalars[s].given = true;
    return LVT_OK;
}

static size_t share_bytes(const lvt_model *m, const lvt_bound_entry *b, int input) {
    const lvt_graph *g = lvt_model_module(m)->entries[b->index];
    return lvt_type_bytes(lvt_value_type(g, g->inputs[input].value));
}

lvt_status lvt_model_connect(lvt_model *m, const lvt_collective *with, lvt_diag *diag) {
    lvt_status status = LVT_OK;
    int ranks = with ? with->ranks : 1;
    if (ranks != m->ranks) {
        status =
            lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "the program was made for %d process%s, not for %d",
                      m->ranks, m->ranks == 1 ? "" : "es", ranks);
        lvt_note(diag, LVT_NOWHERE,
                 "compile it with `lvtc --ranks=%d`, or start it by `mpirun -n %d lvt-run train ...`", ranks,
                 m->ranks);
        return status;
    }
    m->with = ranks > 1 ? with : NULL;
    lvt_session_connect(m->session, m->with);
    return status;
}

lvt_status lvt_model_run(lvt_model *m, lvt_entry_kind entry, const void *const tensors[LVT_N_INPUTS],
                         lvt_diag *diag) {
    const lvt_bound_entry *b = &m->entries[entry];
    const void *values[LVT_MAX_INPUTS];
    for (int i = 0; i < b->n_inputs; i++) {
        const lvt_scalar *s = &m->scalars[b->scalar[i]];
        values[i] = b->kind[i] < LVT_N_INPUTS ? tensors[b->kind[i]] : s->given ? &s->value : NULL;
        if (m->with && (entry == LVT_ENTRY_TRAIN || entry == LVT_ENTRY_TRAIN_NEW) &&
            b->kind[i] < LVT_N_INPUTS &&
            (inputs[b->kind[i]].dims[0] == N || inputs[b->kind[i]].dims[0] == M)) /* this process's share */
            values[i] = (const char *)values[i] + (size_t)m->with->rank * share_bytes(m, b, i);
    }
    /* An entry that the run did not expect (inspect, for the page) gets its kernels here. */
    lvt_status status = lvt_session_prepare(m->session, &b->index, 1, diag);
    return status == LVT_OK ? lvt_session_run(m->session, b->index, values, diag) : status;
}
