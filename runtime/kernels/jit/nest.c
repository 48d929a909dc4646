/* From a fused node and the strides of its ends to a loop nest: which loops, what is a chunk, what is a row,
 * what is computed once.
 *
 * Invariants: everything here depends on shapes and strides alone, never on the number of threads; n->key
 * says all that the code depends on. May not know: LLVM. */
#include "jit.h"
#include "ir/base/c_locale.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHUNK_WORK = 16384, /* element operations a chunk should have: some 10 microseconds */
    MAX_CHUNKS = 256,   /* without accumulators */
    MAX_PARTIALS = 64,  /* partial sums of one accumulator */
    PARTIAL_WORK = 32,  /* elements to add up for each element of a partial, which is set to 0 and combined */
    FLAT_CODE =
        1600, /* operations on vectors in a row that is unrolled completely: bounds the time to compile */
    BUFFER_LOOPS = 4096, /* elements of a hoisted value: stays in the first-level cache with its neighbours */
    ROWS = 4             /* rows taken together in column sums */
};

/* Strides along D of a value that lies in memory as `view` says. */
static void spread(const lvt_loop *loop, lvt_value v, const lvt_view *view, lvt_stream *s) {
    memset(s, 0, sizeof *s);
    s->dtype = view->type.dtype;
    for (int i = 0; i < view->type.rank; i++)
        if (loop->values[v].map[i] >= 0)
            s->stride[loop->values[v].map[i]] = view->strides[i];
}

typedef struct sorting {
    lvt_nest *n;
    lvt_stream **streams;
    size_t n_streams;
} sorting;

/* Whether loop a (now outside b) had better be inside it: most ends have smaller strides along it. */
static bool should_swap(const sorting *s, int a, int b) {
    int votes = 0;
    for (size_t k = 0; k < s->n_streams; k++) {
        int64_t x = llabs(s->streams[k]->stride[a]), y = llabs(s->streams[k]->stride[b]);
        if (x && y && x != y)
            votes += x < y ? 1 : -1;
    }
    return votes > 0;
}

static void swap_dims(uint8_t *order, int i) {
    uint8_t t = order[i];
    order[i] = order[i + 1];
    order[i + 1] = t;
}

static bool mergeable(const sorting *s, int a, int b) {
    const lvt_nest *n = s->n;
    for (size_t k = 0; k < s->n_streams; k++)
        if (s->streams[k]->stride[a] != s->streams[k]->stride[b] * n->loop.dim[b])
            return false;
    for (uint32_t k = 0; k < n->n_accs; k++) {
        uint8_t gone = n->loop.values[n->body->nodes[n->accs[k].node].result].reduced;
        if (((gone >> a) & 1) != ((gone >> b) & 1))
            return false;
    }
    return true;
}

/* Orders the dims of D, merges neighbours, and rewrites the streams in terms of loops. group[l]: dims of D in
 * loop l. */
static void make_loops(sorting *s, uint8_t group[LVT_MAX_RANK]) {
    lvt_nest *n = s->n;
    const lvt_loop *loop = &n->loop;
    uint8_t order[LVT_MAX_RANK], n_order = 0, first_row;
    for (int d = 0; d < loop->rank; d++)
        if ((loop->all & (1u << d)) && !(loop->row & (1u << d)))
            order[n_order++] = (uint8_t)d;
    first_row = n_order;
    for (int d = 0; d < loop->rank; d++)
        if (loop->row & (1u << d))
            order[n_order++] = (uint8_t)d;
    for (int pass = 0; pass < n_order; pass++)
        for (int i = 0; i + 1 < n_order; i++)
            if (i + 1 != first_row && should_swap(s, order[i], order[i + 1]))
                swap_dims(order, i);
    int64_t inner[LVT_MAX_RANK]; /* innermost dim of each loop: its strides are the loop's */
    n->n_dims = 0;
    n->row = -1;
    for (int i = 0; i < n_order; i++) {
        int d = order[i];
        if (i == first_row && loop->row)
            n->row = n->n_dims;
        if (i > 0 && i != first_row && mergeable(s, order[i - 1], d)) {
            int l = n->n_dims - 1;
            n->dim[l] *= loop->dim[d];
            group[l] |= (uint8_t)(1u << d);
            inner[l] = d;
        } else {
            n->dim[n->n_dims] = loop->dim[d];
            group[n->n_dims] = (uint8_t)(1u << d);
            inner[n->n_dims++] = d;
        }
    }
    if (n->n_dims == 0) {
        n->dim[0] = 1;
        group[0] = 0;
        inner[0] = LVT_MAX_RANK - 1; /* no dim of D is size 1 and has a stride */
        n->n_dims = 1;
    }
    n->phased = loop->row != 0;
    if (!n->phased)
        n->row = n->n_dims - 1;
    for (size_t k = 0; k < s->n_streams; k++) {
        int64_t old[LVT_MAX_RANK];
        memcpy(old, s->streams[k]->stride, sizeof old);
        memset(s->streams[k]->stride, 0, sizeof old);
        for (int l = 0; l < n->n_dims; l++)
            s->streams[k]->stride[l] = group[l] ? old[inner[l]] : 0;
    }
    for (lvt_value v = 0; v < n->body->n_values; v++)
        for (int l = 0; l < n->n_dims; l++)
            if (loop->values[v].vary & group[l])
                n->vary[v] |= (uint8_t)(1u << l);
}

static void make_accs(lvt_nest *n, const uint8_t *group) {
    n->grid = n->row;
    for (uint32_t k = 0; k < n->n_accs; k++) {
        lvt_acc *a = &n->accs[k];
        lvt_value y = n->body->nodes[a->node].result, x = n->body->nodes[a->node].operands[0];
        uint8_t gone = n->loop.values[y].reduced;
        a->row_constant = n->phased && lvt_nest_uniform(n, x);
        a->numel = 1;
        a->count = 1;
        for (int d = 0; d < n->loop.rank; d++)
            a->count *= gone & (1u << d) ? (double)n->loop.dim[d] : 1.0;
        for (int l = n->n_dims - 1; l >= 0; l--) {
            bool kept = !(gone & group[l]) && (n->vary[y] & (1u << l));
            a->at.stride[l] = kept ? a->numel : 0;
            a->numel *= kept ? n->dim[l] : 1;
            if (!kept && l < n->grid)
                n->grid = l;
        }
        a->offset = n->partial_bytes;
        n->partial_bytes += ((size_t)a->numel * lvt_dtype_size(a->dtype) + 63) / 64 * 64;
    }
    for (uint32_t k = 0; k < n->n_accs; k++) {
        lvt_acc *a = &n->accs[k];
        a->per_k = a->numel;
        for (int l = 0; l < n->grid; l++)
            a->per_k /= n->dim[l];
    }
}

static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}
static int64_t at_least_one(int64_t a) {
    return a < 1 ? 1 : a;
}

/* Rough number of vector operations an element takes. */
static int work_of(const lvt_nest *n) {
    int work = 1;
    for (lvt_node_id i = 0; i < n->body->n_nodes; i++) {
        const lvt_node *node = &n->body->nodes[i];
        if (!n->loop.values[node->result].live || lvt_nest_uniform(n, node->result) ||
            lvt_op_of(node)->kind == LVT_KIND_VIEW)
            continue;
        work += lvt_loop_heavy(node->op) ? 16 : 1;
    }
    return work;
}

static void make_chunks(lvt_nest *n, int work) {
    int64_t elements = 1, acc_elements = 0;
    for (int l = 0; l < n->n_dims; l++)
        elements *= n->dim[l];
    for (uint32_t k = 0; k < n->n_accs; k++)
        acc_elements += n->accs[k].numel;
    n->k_total = 1;
    for (int l = 0; l < n->grid; l++)
        n->k_total *= n->dim[l];
    bool split_row = n->grid >= n->row && n->phased; /* rows stay whole */
    n->s_total = split_row ? 1 : n->dim[n->grid];
    double whole = (double)elements * (work < 4 ? 1 : work / 4.0), want = whole / CHUNK_WORK;
    int64_t chunks = want < 1 ? 1 : want > MAX_CHUNKS ? MAX_CHUNKS : (int64_t)want;
    n->k_chunks = n->k_total < chunks ? n->k_total : chunks;
    n->k_step = ceil_div(n->k_total, n->k_chunks);
    n->k_chunks = ceil_div(n->k_total, n->k_step);
    n->s_chunks = n->k_step == 1 ? at_least_one(chunks / n->k_chunks) : 1;
    if (n->n_accs) {
        int64_t most = at_least_one(elements / (PARTIAL_WORK * acc_elements));
        n->s_chunks = n->s_chunks > MAX_PARTIALS ? MAX_PARTIALS : n->s_chunks;
        n->s_chunks = n->s_chunks > most ? most : n->s_chunks;
    }
    n->s_step = ceil_div(n->s_total, n->s_chunks);
    int64_t grain = n->grid == n->n_dims - 1 ? 64 : n->rows; /* whole cache lines, whole groups of rows */
    n->s_step = ceil_div(n->s_step, grain) * grain;
    n->s_chunks = ceil_div(n->s_total, n->s_step);
    n->chunk_work = whole / (double)(n->k_chunks * n->s_chunks);
}

/* Values that vary along the inner loop alone and cost something, when many rows read them. */
static void make_hoists(lvt_nest *n, lvt_arena *arena) {
    int inner = n->n_dims - 1;
    if (n->row != inner || inner == 0 || n->grid == inner + 1 || n->dim[inner] > BUFFER_LOOPS)
        return;
    uint8_t only = (uint8_t)(1u << inner);
    bool *cheap = lvt_arena_alloc(arena, n->body->n_values + 1);
    bool *wanted = lvt_arena_alloc(arena, n->body->n_values + 1);
    if (!cheap || !wanted)
        return; /* slower code, nothing else */
    const lvt_graph *g = n->body;
    for (lvt_node_id i = 0; i < g->n_nodes; i++) {
        const lvt_node *node = &g->nodes[i];
        lvt_value y = node->result;
        cheap[y] = node->op == LVT_OP_input || node->op == LVT_OP_constant;
        if (node->op == LVT_OP_broadcast || node->op == LVT_OP_reshape)
            cheap[y] = cheap[node->operands[0]];
        for (uint32_t k = 0; k < node->n_operands && n->vary[y] != only; k++)
            wanted[node->operands[k]] |= n->loop.values[y].live;
    }
    for (lvt_value v = 0; v < g->n_values && n->n_hoist < LVT_NEST_HOIST; v++)
        if (n->vary[v] == only && wanted[v] && !cheap[v] && n->loop.values[v].kind == LVT_LOOP_PLAIN &&
            n->loop.values[v].level == 0)
            n->hoist[n->n_hoist++] = v;
    n->hoist_bytes = n->n_hoist ? ((size_t)n->dim[inner] * 8 + 8 * 64 + 63) / 64 * 64
                                : 0; /* any element type, whole vectors */
}

/* ---- the key ---- */

typedef struct text {
    lvt_arena *arena;
    char *s;
    size_t n, cap;
    bool failed;
} text;

static void put(text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(text *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    char piece[256];
    int k = lvt_vsnprintf(piece, sizeof piece, format, args);
    va_end(args);
    char *grown = k < 0 ? NULL : t->s;
    if (k >= 0 && t->n + (size_t)k + 1 > t->cap)
        grown = lvt_arena_grow(t->arena, t->s, t->n, t->n + (size_t)k + 1, &t->cap, 1);
    if (!grown) {
        t->failed = true;
        return;
    }
    t->s = grown;
    memcpy(t->s + t->n, piece, (size_t)k + 1);
    t->n += (size_t)k;
}

static void put_stream(text *t, const lvt_nest *n, const lvt_stream *s) {
    put(t, " %s", lvt_dtype_name((lvt_dtype)s->dtype));
    for (int l = 0; l < n->n_dims; l++)
        put(t, ",%lld", (long long)s->stride[l]);
}

static char *make_key(const lvt_nest *n, lvt_arena *arena) {
    const lvt_graph *g = n->body;
    text t = {.arena = arena};
    uint32_t *number = lvt_arena_alloc(arena, (g->n_values + 1) * sizeof *number), next = 0;
    if (!number)
        return NULL;
    put(&t, "nest w%d row%d phased%d grid%d flat%d rows%d dims", n->width, n->row, n->phased, n->grid,
        n->flat, n->rows);
    /* Bounds of the outermost loop come with each call, unless it belongs to a row that stays whole: kernels
     * that differ in the number of rows alone share code. */
    bool whole = n->phased && n->row == 0;
    for (int l = 0; l < n->n_dims; l++)
        put(&t, " %lld", (long long)(l || whole ? n->dim[l] : 0));
    for (lvt_node_id i = 0; i < g->n_nodes; i++) {
        const lvt_node *node = &g->nodes[i];
        lvt_value y = node->result;
        if (!n->loop.values[y].live)
            continue;
        number[y] = next++;
        put(&t, "\n%s %s %x k%d l%d", lvt_op_of(node)->name,
            lvt_dtype_name((lvt_dtype)g->values[y].type.dtype), n->vary[y], n->loop.values[y].kind,
            n->loop.values[y].level);
        for (uint32_t k = 0; k < node->n_operands; k++)
            put(&t, " %%%u", number[node->operands[k]]);
        if (node->op == LVT_OP_input) {
            int64_t index = lvt_attr_get(node, "index")->i;
            put(&t, " #%lld", (long long)index);
            put_stream(&t, n, &n->operands[index]);
        } else if (node->op == LVT_OP_iota) {
            put_stream(&t, n, &n->iotas[i]);
        } else if (node->op == LVT_OP_constant) {
            put(&t, " %a", lvt_attr_get(node, "values")->floats[0]);
        } else if (n->loop.values[y].kind == LVT_LOOP_ROW) {
            put(&t, " over row");
        }
    }
    for (uint32_t k = 0; k < g->n_outputs; k++) {
        put(&t, "\nreturn %%%u", number[g->outputs[k].value]);
        put_stream(&t, n, &n->results[k]);
    }
    for (uint32_t k = 0; k < n->n_accs; k++) {
        put(&t, "\nacc %u +%zu %d", n->accs[k].output, n->accs[k].offset, n->accs[k].row_constant);
        put_stream(&t, n, &n->accs[k].at);
    }
    put(&t, "\nhoist %zu", n->hoist_bytes);
    for (int k = 0; k < n->n_hoist; k++)
        put(&t, " %%%u", number[n->hoist[k]]);
    return t.failed ? NULL : t.s;
}

static lvt_status fill(lvt_nest *n, const lvt_kernel_request *r, lvt_arena *arena) {
    const lvt_graph *g = n->body;
    sorting s = {.n = n};
    s.streams = lvt_arena_alloc(arena, (g->n_inputs + g->n_outputs + g->n_nodes + 1) * sizeof *s.streams);
    n->operands = lvt_arena_alloc(arena, (g->n_inputs + 1) * sizeof *n->operands);
    n->results = lvt_arena_alloc(arena, (g->n_outputs + 1) * sizeof *n->results);
    n->iotas = lvt_arena_alloc(arena, (g->n_nodes + 1) * sizeof *n->iotas);
    n->vary = lvt_arena_alloc(arena, g->n_values + 1);
    n->accs = lvt_arena_alloc(arena, (g->n_outputs + 1) * sizeof *n->accs);
    if (!s.streams || !n->operands || !n->results || !n->iotas || !n->vary || !n->accs)
        return LVT_NOMEM;
    for (uint32_t k = 0; k < g->n_outputs; k++) {
        lvt_value v = g->outputs[k].value;
        if (n->loop.values[v].kind == LVT_LOOP_ACC) {
            uint8_t t = g->values[v].type.dtype;
            n->accs[n->n_accs++] = (lvt_acc){.node = g->values[v].node,
                                             .output = k,
                                             .op = (uint8_t)lvt_value_node(g, v)->op,
                                             .dtype = t == LVT_BF16 ? LVT_F32 : t,
                                             .at.dtype = t == LVT_BF16 ? LVT_F32 : t};
        }
        spread(&n->loop, v, &r->results[k], &n->results[k]);
        s.streams[s.n_streams++] = &n->results[k];
    }
    for (uint32_t i = 0; i < g->n_inputs; i++) {
        spread(&n->loop, g->inputs[i].value, &r->operands[i], &n->operands[i]);
        if (n->loop.values[g->inputs[i].value].live)
            s.streams[s.n_streams++] = &n->operands[i];
    }
    for (lvt_node_id i = 0; i < g->n_nodes; i++) {
        const lvt_node *node = &g->nodes[i];
        if (node->op != LVT_OP_iota || !n->loop.values[node->result].live)
            continue;
        int64_t axis = lvt_attr_get(node, "axis")->i, rank = g->values[node->result].type.rank;
        axis = axis < 0 ? axis + rank : axis;
        n->iotas[i].dtype = LVT_I32;
        int d = axis >= 0 && axis < rank ? n->loop.values[node->result].map[axis] : -1;
        if (d >= 0)
            n->iotas[i].stride[d] = 1;
        s.streams[s.n_streams++] = &n->iotas[i];
    }
    uint8_t group[LVT_MAX_RANK] = {0};
    make_loops(&s, group);
    make_accs(n, group);
    return LVT_OK;
}

lvt_status lvt_nest_make(lvt_nest *n, const lvt_kernel_request *r, const lvt_machine *m, lvt_arena *arena) {
    const lvt_node *node = &r->graph->nodes[r->node];
    memset(n, 0, sizeof *n);
    n->body = node->body;
    n->width = m->width;
    const char *why = lvt_loop_analyse(n->body, arena, &n->loop);
    if (why)
        return lvt_error(r->diag, LVT_INTERNAL, "E901", r->at, "fused: cannot be one loop nest: %s", why);
    if (fill(n, r, arena) != LVT_OK)
        return lvt_error(r->diag, LVT_NOMEM, NULL, r->at, "out of memory");
    int work = work_of(n), inner = n->n_dims - 1;
    int64_t vectors = ceil_div(n->dim[inner], n->width);
    n->flat = n->phased && n->row == inner && n->dim[inner] <= LVT_NEST_FLAT && vectors * work <= FLAT_CODE;
    n->rows = 1;
    /* four rows of a body with exp or erf in it would not fit into registers */
    for (uint32_t k = 0; k < n->n_accs && !n->phased; k++)
        if (inner > 0 && n->accs[k].at.stride[inner] == 1 && n->grid < inner && work <= 24)
            n->rows = ROWS;
    make_chunks(n, work);
    make_hoists(n, arena);
    n->key = make_key(n, arena);
    return n->key ? LVT_OK : lvt_error(r->diag, LVT_NOMEM, NULL, r->at, "out of memory");
}
