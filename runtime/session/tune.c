/* Times the kernels of one step in its variants, for a compiler that chooses by measurement.
 *
 * Invariants: equal questions (op, attributes, types, strides, what is steady) are measured once and get
 * equal answers; nothing of the program is touched: operands are made up. May not know: passes; what the
 * answers are used for. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 7 };
static const double LEAST = 2e-3; /* seconds a sample: shorter kernels run several times for one */

typedef struct answer {
    unsigned char *key;
    size_t length;
    double seconds[LVT_N_VARIANTS];
} answer;

struct lvt_tuner {
    lvt_onednn *onednn;
    int threads;
    answer *answers;
    size_t n, cap;
};

lvt_status lvt_tuner_new(int threads, lvt_tuner **out, lvt_diag *diag) {
    *out = NULL;
    lvt_tuner *t = calloc(1, sizeof *t);
    if (!t)
        return lvt_no_memory(diag, NULL);
    const char *why;
    int asked = threads > 0 ? threads : lvt_processors();
    t->threads = lvt_team_given(asked, &why);
    if (why)
        lvt_warning(diag, NULL, LVT_NOWHERE, "variants are measured with %d of %d threads: %s", t->threads,
                    asked, why);
    lvt_status status = lvt_onednn_new(&t->onednn, diag);
    if (status != LVT_OK) {
        lvt_tuner_free(t);
        return status;
    }
    *out = t;
    return LVT_OK;
}

void lvt_tuner_free(lvt_tuner *t) {
    if (!t)
        return;
    for (size_t i = 0; i < t->n; i++)
        free(t->answers[i].key);
    free(t->answers);
    lvt_onednn_free(t->onednn);
    free(t);
}

int lvt_tuner_threads(const lvt_tuner *t) {
    return t->threads;
}

size_t lvt_tuner_measured(const lvt_tuner *t) {
    return t->n;
}

/* ---- what a question is ---- */

typedef struct bytes { /* appending to one that failed does nothing */
    unsigned char *data;
    size_t n, cap;
    bool failed;
} bytes;

static void add(bytes *b, const void *data, size_t n) {
    if (b->n + n > b->cap) {
        unsigned char *grown = realloc(b->data, b->cap = 2 * b->cap + n + 256);
        b->failed |= !grown;
        b->data = grown ? grown : b->data;
    }
    if (!b->failed && n) {
        memcpy(b->data + b->n, data, n);
        b->n += n;
    }
}

static void add_attr(bytes *b, const lvt_attr *a) {
    switch ((lvt_attr_kind)a->kind) {
    case LVT_ATTR_STRING:
        add(b, a->s, strlen(a->s) + 1);
        break;
    case LVT_ATTR_INTS:
        add(b, &a->n, sizeof a->n);
        add(b, a->ints, a->n * sizeof *a->ints);
        break;
    case LVT_ATTR_FLOATS:
        add(b, &a->n, sizeof a->n);
        add(b, a->floats, a->n * sizeof *a->floats);
        break;
    case LVT_ATTR_FLOAT:
        add(b, &a->f, sizeof a->f);
        break;
    default:
        add(b, &a->i, sizeof a->i);
    }
}

static void add_view(bytes *b, const lvt_view *v) {
    add(b, &v->type.dtype, sizeof v->type.dtype);
    add(b, &v->type.rank, sizeof v->type.rank);
    add(b, v->type.dim, v->type.rank * sizeof *v->type.dim);
    add(b, v->strides, v->type.rank * sizeof *v->strides);
}

static void add_question(bytes *b, const lvt_kernel_request *r) {
    const lvt_node *n = &r->graph->nodes[r->node];
    add(b, &n->op, sizeof n->op);
    for (int i = 0; i < lvt_op_of(n)->n_attrs; i++)
        add_attr(b, &n->attrs[i]);
    for (uint32_t k = 0; k < n->n_operands; k++) {
        add_view(b, &r->operands[k]);
        add(b, &r->steady[k], sizeof r->steady[k]);
    }
    for (uint32_t k = 0; k < n->n_results; k++)
        add_view(b, &r->results[k]);
}

/* ---- measuring ---- */

typedef struct bench {
    lvt_block *blocks; /* operands, then results */
    void **pointers;
    lvt_block scratch, kept[LVT_N_VARIANTS];
    lvt_kernel *kernels[LVT_N_VARIANTS]; /* NULL: this machine has no such variant */
    int repeats[LVT_N_VARIANTS];
    double samples[LVT_N_VARIANTS][ROUNDS];
    uint32_t n_operands, n;
} bench;

static void bench_free(bench *b) {
    for (uint32_t i = 0; b->blocks && i < b->n; i++)
        lvt_block_unmap(&b->blocks[i]);
    for (int v = 0; v < LVT_N_VARIANTS; v++) {
        if (b->kernels[v])
            b->kernels[v]->free(b->kernels[v]);
        lvt_block_unmap(&b->kept[v]);
    }
    lvt_block_unmap(&b->scratch);
    free(b->blocks);
    free(b->pointers);
}

/* Numbers between 0.5 and 1, all different: neither zeros nor denormals, which some kernels compute faster.
 */
static bool make_up(bench *b, const lvt_view *views) {
    b->blocks = calloc(b->n + 1, sizeof *b->blocks);
    b->pointers = calloc(b->n + 1, sizeof *b->pointers);
    for (uint32_t i = 0; b->blocks && b->pointers && i < b->n; i++) {
        size_t count = (size_t)lvt_strides_extent(&views[i].type, views[i].strides),
               size = lvt_dtype_size((lvt_dtype)views[i].type.dtype);
        if (!lvt_block_map(&b->blocks[i], count * size))
            return false;
        b->pointers[i] = b->blocks[i].base;
        if (views[i].type.dtype != LVT_F32)
            continue;
        float *x = b->pointers[i];
        for (size_t k = 0; k < count; k++)
            x[k] = 0.5f + (float)(k * 2654435761u % 65536) / 131072;
    }
    return b->blocks && b->pointers;
}

static double time_once(bench *b, lvt_variant v) {
    double start = lvt_seconds();
    for (int i = 0; i < b->repeats[v]; i++)
        b->kernels[v]->run(b->kernels[v], b->pointers, b->pointers + b->n_operands, b->scratch.base);
    return (lvt_seconds() - start) / b->repeats[v];
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The kernels of all variants run in turn, so that a busy moment of the machine meets them alike. */
static void time_all(bench *b, double *seconds) {
    for (int v = 0; v < LVT_N_VARIANTS; v++) {
        if (!b->kernels[v])
            continue;
        if (b->kernels[v]->kept_bytes)
            b->kernels[v]->prepare(b->kernels[v], b->pointers, b->scratch.base, b->kept[v].base);
        b->repeats[v] = 1;
        time_once(b, (lvt_variant)v);
        double once = time_once(b, (lvt_variant)v);
        b->repeats[v] = once > LEAST ? 1 : (int)(LEAST / (once > 1e-6 ? once : 1e-6)) + 1;
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (int v = 0; v < LVT_N_VARIANTS; v++) {
            if (b->kernels[v])
                b->samples[v][round] = time_once(b, (lvt_variant)v);
        }
    }
    for (int v = 0; v < LVT_N_VARIANTS; v++) {
        seconds[v] = -1;
        if (b->kernels[v]) {
            qsort(b->samples[v], ROUNDS, sizeof(double), by_size);
            seconds[v] = b->samples[v][ROUNDS / 2];
        }
    }
}

static lvt_status measure(lvt_tuner *t, lvt_kernel_request *r, const lvt_view *views, unsigned variants,
                          double *seconds) {
    const lvt_node *n = &r->graph->nodes[r->node];
    bench b = {.n_operands = n->n_operands, .n = (uint32_t)n->n_operands + n->n_results};
    size_t scratch = 0;
    lvt_status status = make_up(&b, views) ? LVT_OK : LVT_NOMEM;
    lvt_team_settings team = lvt_team(t->threads);
    for (int v = 0; v < LVT_N_VARIANTS && status == LVT_OK; v++) {
        if (!(variants >> v & 1))
            continue;
        r->variant = (lvt_variant)v;
        status = lvt_onednn_make(t->onednn, r, &b.kernels[v]);
        if (status == LVT_OK && b.kernels[v]->variant != (lvt_variant)v) { /* it fell back */
            b.kernels[v]->free(b.kernels[v]);
            b.kernels[v] = NULL;
        }
        if (status != LVT_OK || !b.kernels[v])
            continue;
        scratch = b.kernels[v]->scratch_bytes > scratch ? b.kernels[v]->scratch_bytes : scratch;
        if (!lvt_block_map(&b.kept[v], b.kernels[v]->kept_bytes))
            status = LVT_NOMEM;
    }
    if (status == LVT_OK && !lvt_block_map(&b.scratch, scratch))
        status = LVT_NOMEM;
    if (status == LVT_OK)
        time_all(&b, seconds);
    lvt_team_restore(team);
    bench_free(&b);
    if (status == LVT_NOMEM)
        lvt_error(r->diag, LVT_NOMEM, NULL, r->at, "out of memory measuring kernels");
    return status;
}

static lvt_status remember(lvt_tuner *t, bytes *key, const double *seconds) {
    if (t->n == t->cap) {
        size_t cap = 2 * t->cap + 16;
        answer *grown = realloc(t->answers, cap * sizeof *grown);
        if (!grown)
            return LVT_NOMEM;
        t->answers = grown;
        t->cap = cap;
    }
    answer *a = &t->answers[t->n++];
    *a = (answer){.key = key->data, .length = key->n};
    memcpy(a->seconds, seconds, sizeof a->seconds);
    return LVT_OK;
}

static lvt_status ask(lvt_tuner *t, lvt_kernel_request *r, const lvt_view *views, unsigned variants,
                      double *seconds) {
    bytes key = {0};
    add(&key, &variants, sizeof variants);
    add_question(&key, r);
    for (size_t i = 0; i < t->n && !key.failed; i++) {
        if (t->answers[i].length == key.n && !memcmp(t->answers[i].key, key.data, key.n)) {
            memcpy(seconds, t->answers[i].seconds, sizeof t->answers[i].seconds);
            free(key.data);
            return LVT_OK;
        }
    }
    lvt_status status = key.failed ? LVT_NOMEM : measure(t, r, views, variants, seconds);
    if (status == LVT_OK)
        status = remember(t, &key, seconds);
    if (status != LVT_OK)
        free(key.data);
    return status;
}

/* The step as a kernel is asked for; *views is the caller's to free, also on error. */
static lvt_status describe(const lvt_tuner *t, const lvt_plan *plan, uint32_t step, const bool *steady,
                           lvt_view **views, lvt_kernel_request *r, lvt_diag *diag) {
    const lvt_graph *g = plan->graph;
    const lvt_node *n = &g->nodes[plan->steps[step].node];
    uint32_t total = (uint32_t)n->n_operands + n->n_results;
    lvt_pos at = lvt_module_pos(g->module, n->loc);
    *views = calloc(total + 1, sizeof **views);
    if (!*views)
        return lvt_error(diag, LVT_NOMEM, NULL, at, "out of memory");
    for (uint32_t k = 0; k < total; k++) {
        lvt_value v = k < n->n_operands ? n->operands[k] : n->result + (k - n->n_operands);
        (*views)[k].type = g->values[v].type;
        memcpy((*views)[k].strides, plan->places[v].strides, sizeof(*views)[k].strides);
    }
    *r = (lvt_kernel_request){.graph = g,
                              .node = plan->steps[step].node,
                              .operands = *views,
                              .results = *views + n->n_operands,
                              .steady = steady,
                              .threads = t->threads,
                              .variant = (lvt_variant)plan->steps[step].variant,
                              .diag = diag,
                              .at = at};
    return LVT_OK;
}

lvt_status lvt_tuner_measure(lvt_tuner *t, const lvt_plan *plan, uint32_t step, const bool *steady,
                             unsigned variants, double *seconds, lvt_diag *diag) {
    lvt_view *views;
    lvt_kernel_request r;
    lvt_status status = describe(t, plan, step, steady, &views, &r, diag);
    if (status == LVT_OK)
        status = ask(t, &r, views, variants, seconds);
    free(views);
    if (status == LVT_NOMEM && !lvt_diag_errors(diag))
        lvt_no_memory(diag, NULL);
    return status;
}

lvt_status lvt_tuner_has(lvt_tuner *t, const lvt_plan *plan, uint32_t step, bool *has, lvt_diag *diag) {
    lvt_view *views;
    lvt_kernel_request r;
    lvt_kernel *kernel = NULL;
    lvt_status status = describe(t, plan, step, NULL, &views, &r, diag);
    lvt_team_settings team = lvt_team(t->threads);
    if (status == LVT_OK)
        status = lvt_onednn_make(t->onednn, &r, &kernel);
    lvt_team_restore(team);
    *has = status == LVT_OK && kernel->variant == r.variant;
    if (kernel)
        kernel->free(kernel);
    free(views);
    return status;
}
