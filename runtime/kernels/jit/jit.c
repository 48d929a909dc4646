/* The jit family: collects requests, compiles what is new in parallel, runs kernels over chunks of their
 * domain.
 *
 * Invariants: chunks and the order in which their sums meet depend on the nest alone, so results have the
 * same bits for any number of threads; equal kernels (by key) share code; running allocates nothing; the code
 * generator is loaded only while there is something to compile. May not know: LLVM, files. */
#include "jit.h"
#include "ir/base/clock.h"
#include "runtime/kernels/threads.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct code { /* one distinct kernel */
    char *key;
    lvt_nest_code entry;
} code;

struct lvt_jit {
    lvt_machine machine;
    lvt_cache *cache;
    lvt_code *code;
    bool apart; /* compile in a process of its own */
    code *codes;
    size_t n_codes, cap_codes;
    lvt_jit_counts counts;
};

/* ---- running ---- */

typedef struct nest_kernel {
    lvt_jit_kernel base;
    lvt_arena *arena; /* owns nest */
    lvt_nest nest;
} nest_kernel;

static int64_t min64(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static void fill_identity(const lvt_acc *a, char *at, int64_t begin, int64_t end) {
    bool max = a->op == LVT_OP_reduce_max;
    if (!max) {
        size_t size = lvt_dtype_size((lvt_dtype)a->dtype);
        memset(at + (size_t)begin * size, 0, (size_t)(end - begin) * size);
    } else if (a->dtype == LVT_F32) {
        for (int64_t i = begin; i < end; i++)
            ((float *)at)[i] = -INFINITY;
    } else if (a->dtype == LVT_F64) {
        for (int64_t i = begin; i < end; i++)
            ((double *)at)[i] = -INFINITY;
    } else {
        for (int64_t i = begin; i < end; i++)
            ((int32_t *)at)[i] = INT32_MIN;
    }
}

static void run_part(const nest_kernel *kernel, const lvt_run *r, int64_t chunk, int thread) {
    const lvt_nest *n = &kernel->nest;
    int64_t k = chunk / n->s_chunks, s = chunk % n->s_chunks;
    int64_t k0 = k * n->k_step, k1 = min64(k0 + n->k_step, n->k_total);
    int64_t s0 = s * n->s_step, s1 = min64(s0 + n->s_step, n->s_total);
    char *partial = r->scratch + (size_t)s * n->partial_bytes;
    char *buffer = r->scratch + (size_t)n->s_chunks * n->partial_bytes +
                   (size_t)thread * n->hoist_bytes * (size_t)n->n_hoist;
    for (uint32_t i = 0; i < n->n_accs; i++)
        fill_identity(&n->accs[i], partial + n->accs[i].offset, k0 * n->accs[i].per_k, k1 * n->accs[i].per_k);
    kernel->base.entry(r->operands, r->results, partial, buffer, k0, k1, s0, s1);
}

enum { COMBINE = 64, BLOCK = 16 }; /* elements that are combined by one call, and in registers */

/* The sum (in double, exact for i32) or maximum of n elements from `first` over all partials, in their order.
 * Loops of constant length are what compilers make vector code of. */
static void combine_block(const lvt_acc *a, const char *partials, size_t step, int64_t count, int64_t first,
                          int n, double *out) {
    bool max = a->op == LVT_OP_reduce_max;
    const char *from = partials + a->offset;
#define COMBINE_LOOP(type, length)                                                                           \
    do {                                                                                                     \
        double sum[BLOCK];                                                                                   \
        const type *x = (const type *)from + first + i;                                                      \
        for (int j = 0; j < (length); j++)                                                                   \
            sum[j] = (double)x[j];                                                                           \
        for (int64_t p = 1; p < count; p++) {                                                                \
            x = (const type *)(from + (size_t)p * step) + first + i;                                         \
            if (max)                                                                                         \
                for (int j = 0; j < (length); j++)                                                           \
                    sum[j] = x[j] > sum[j] || x[j] != x[j] ? (double)x[j] : sum[j]; /* NaN stays */          \
            else                                                                                             \
                for (int j = 0; j < (length); j++)                                                           \
                    sum[j] += (double)x[j];                                                                  \
        }                                                                                                    \
        memcpy(out + i, sum, (size_t)(length) * sizeof *sum);                                                \
    } while (0)
    for (int i = 0; i < n; i += BLOCK) {
        int left = n - i;
        if (a->dtype == LVT_F32 && left >= BLOCK)
            COMBINE_LOOP(float, BLOCK);
        else if (a->dtype == LVT_F32)
            COMBINE_LOOP(float, left);
        else if (a->dtype == LVT_F64 && left >= BLOCK)
            COMBINE_LOOP(double, BLOCK);
        else if (a->dtype == LVT_F64)
            COMBINE_LOOP(double, left);
        else if (left >= BLOCK)
            COMBINE_LOOP(int32_t, BLOCK);
        else
            COMBINE_LOOP(int32_t, left);
    }
#undef COMBINE_LOOP
}

static void store_element(lvt_dtype t, void *to, int64_t i, double x) {
    float f = (float)x;
    uint32_t bits;
    switch (t) {
    case LVT_F32:
        ((float *)to)[i] = f;
        return;
    case LVT_F64:
        ((double *)to)[i] = x;
        return;
    case LVT_BF16:
        memcpy(&bits, &f, sizeof bits);
        ((uint16_t *)to)[i] = isnan(f) ? 0x7fc0 : (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
        return;
    default: /* i32; sums wrap */
        ((int32_t *)to)[i] = (int32_t)(uint32_t)(uint64_t)(int64_t)x;
    }
}

static void run_combine(const nest_kernel *kernel, const lvt_run *r, int64_t chunk) {
    const lvt_nest *n = &kernel->nest;
    const lvt_acc *a = n->accs;
    for (int64_t blocks; chunk >= (blocks = (a->numel + COMBINE - 1) / COMBINE); a++)
        chunk -= blocks;
    const lvt_stream *to = &n->results[a->output];
    int64_t first = chunk * COMBINE, index[LVT_MAX_RANK] = {0}, at = 0;
    int count = (int)min64(COMBINE, a->numel - first);
    double x[COMBINE];
    combine_block(a, r->scratch, n->partial_bytes, n->s_chunks, first, count, x);
    if (a->op == LVT_OP_reduce_mean)
        for (int i = 0; i < count; i++)
            x[i] /= a->count;
    for (int l = 0; l < n->n_dims; l++)
        if (a->at.stride[l]) {
            index[l] = first / a->at.stride[l] % n->dim[l];
            at += index[l] * to->stride[l];
        }
    for (int i = 0; i < count; i++) {
        store_element((lvt_dtype)to->dtype, r->results[a->output], at, x[i]);
        for (int l = n->n_dims - 1; l >= 0; l--) { /* next element in the order of the accumulator */
            if (!a->at.stride[l])
                continue;
            at += to->stride[l];
            if (++index[l] < n->dim[l])
                break;
            at -= to->stride[l] * n->dim[l];
            index[l] = 0;
        }
    }
}

static void nest_chunk(const lvt_kernel *base, const lvt_run *r, int round, int64_t chunk, int thread) {
    const nest_kernel *k = (const nest_kernel *)base;
    if (round == 0)
        run_part(k, r, chunk, thread);
    else
        run_combine(k, r, chunk);
}

static void nest_free(lvt_kernel *base) {
    nest_kernel *k = (nest_kernel *)base;
    if (k)
        lvt_arena_free(k->arena);
    free(k);
}

/* ---- making ---- */

static lvt_status prepare(const lvt_jit *j, const lvt_kernel_request *r, lvt_jit_kernel **out) {
    nest_kernel *k = calloc(1, sizeof *k);
    if (k)
        k->arena = lvt_arena_new();
    if (!k || !k->arena) {
        free(k);
        return lvt_error(r->diag, LVT_NOMEM, NULL, r->at, "out of memory");
    }
    *out = &k->base;
    lvt_kernel *base = &k->base.base;
    base->run = lvt_run_chunks;
    base->free = nest_free;
    base->threads = r->threads < 1 ? 1 : r->threads;
    lvt_status status = lvt_nest_make(&k->nest, r, &j->machine, k->arena);
    const lvt_nest *n = &k->nest;
    k->base.source = (lvt_source_code){n->key, LVT_SOURCE_NEST, n};
    base->scratch_bytes =
        (size_t)n->s_chunks * n->partial_bytes + (size_t)base->threads * n->hoist_bytes * (size_t)n->n_hoist;
    base->chunk = nest_chunk;
    base->rounds[0].n = n->k_chunks * n->s_chunks;
    base->rounds[0].cost = n->chunk_work;
    for (uint32_t i = 0; i < n->n_accs; i++)
        base->rounds[1].n += (n->accs[i].numel + COMBINE - 1) / COMBINE;
    base->rounds[1].cost = (double)COMBINE * (double)n->s_chunks;
    return status;
}

static code *find_code(lvt_jit *j, const char *key) {
    for (size_t i = 0; i < j->n_codes; i++)
        if (strcmp(j->codes[i].key, key) == 0)
            return &j->codes[i];
    return NULL;
}

static code *add_code(lvt_jit *j, const char *key) {
    if (j->n_codes == j->cap_codes) {
        size_t cap = j->cap_codes ? 2 * j->cap_codes : 64;
        code *grown = realloc(j->codes, cap * sizeof *grown);
        if (!grown)
            return NULL;
        j->codes = grown;
        j->cap_codes = cap;
    }
    char *copy = malloc(strlen(key) + 1);
    if (!copy)
        return NULL;
    j->codes[j->n_codes] = (code){.key = strcpy(copy, key)};
    return &j->codes[j->n_codes++];
}

/* Finds what needs code and what the cache has of it: *n of them, compile[] those to be compiled. */
static lvt_status collect(lvt_jit *j, size_t n, lvt_jit_kernel **kernels, lvt_build_item *list,
                          uint32_t *from, uint32_t *compile, size_t *n_builds) {
    for (size_t i = 0; i < n; i++) {
        if (!kernels[i])
            continue;
        const lvt_source_code *source = &kernels[i]->source;
        if (find_code(j, source->key)) {
            j->counts.shared++;
            continue;
        }
        if (!add_code(j, source->key))
            return LVT_NOMEM;
        lvt_build_item *b = &list[*n_builds];
        char name[LVT_CACHE_NAME];
        lvt_cache_name(j->cache, source->key, name);
        b->source = source;
        snprintf(b->symbol, sizeof b->symbol, "lvt_%s", name);
        if (lvt_cache_get(j->cache, source->key, &b->image))
            j->counts.cached++;
        else
            compile[j->counts.compiled++] = (uint32_t)*n_builds;
        from[(*n_builds)++] = (uint32_t)i;
    }
    return LVT_OK;
}

/* Nothing is there that could compile: where the kernels might have come from. */
static void tell_missing(const lvt_jit *j, lvt_diag *diag) {
    const char *folder;
    switch (lvt_cache_sealed(j->cache, &folder)) {
    case LVT_SEALED_NONE:
        lvt_note(
            diag, LVT_NOWHERE,
            "`cmake --install` puts it beside liblvt, in the folder lib: run lvt from there, or name that "
            "folder in LD_LIBRARY_PATH");
        lvt_note(
            diag, LVT_NOWHERE,
            "without it kernels come from `lvt-run pack`, on a machine that has it: LVT_KERNELS names their "
            "folder");
        break;
    case LVT_SEALED_FITS:
        lvt_note(diag, LVT_NOWHERE,
                 "%u of %u kernels are not in %s: pack this very program, with the entries that it runs",
                 j->counts.compiled, j->counts.compiled + j->counts.cached, folder);
        break;
    case LVT_SEALED_MISSING:
        lvt_note(diag, LVT_NOWHERE, "%s is no folder of kernels that `lvt-run pack` has made", folder);
        break;
    case LVT_SEALED_OTHER:
        lvt_note(
            diag, LVT_NOWHERE,
            "the kernels in %s are of another processor, or another version of lvt: run `lvt-run pack` on a "
            "machine like this one",
            folder);
        break;
    case LVT_SEALED_UNSAFE:
        lvt_note(
            diag, LVT_NOWHERE,
            "%s is not used, because others may write there: it has to be this user's or root's, chmod go-w",
            folder);
        break;
    }
}

static lvt_status compile_missing(lvt_jit *j, int threads, lvt_build_item *list, const uint32_t *compile,
                                  const lvt_kernel_request *requests, const uint32_t *from) {
    char *why;
    double begin = lvt_seconds();
    lvt_pos at = LVT_NOWHERE;
    lvt_status status =
        lvt_build_images(&j->machine, j->cache, threads, j->apart, list, j->counts.compiled, compile, &why);
    const char *text = why;
    for (uint32_t i = 0; i < j->counts.compiled && status == LVT_OK; i++) {
        status = list[compile[i]].status;
        text = list[compile[i]].why;
        at = requests[from[compile[i]]].at;
    }
    if (status == LVT_NOMEM)
        lvt_error(requests[0].diag, status, NULL, at, "out of memory");
    else if (status != LVT_OK)
        lvt_error(requests[0].diag, status, "E903", at, "the code generator failed: %s",
                  text && *text ? text : "no reason");
    if (status == LVT_USER) /* codegen.h: nothing to load */
        tell_missing(j, requests[0].diag);
    free(why);
    j->counts.compile_seconds = lvt_seconds() - begin;
    return status;
}

/* Code for every distinct key that has none yet. */
static lvt_status build_missing(lvt_jit *j, size_t n, const lvt_kernel_request *requests,
                                lvt_jit_kernel **kernels) {
    int threads = 1;
    size_t first = j->n_codes, n_builds = 0;
    lvt_diag *diag = n ? requests[0].diag : NULL;
    for (size_t i = 0; i < n; i++)
        threads = requests[i].threads > threads ? requests[i].threads : threads;
    lvt_build_item *list = calloc(n + 1, sizeof *list);
    uint32_t *from = calloc(n + 1, sizeof *from), *compile = calloc(n + 1, sizeof *compile);
    lvt_object *images = calloc(n + 1, sizeof *images);
    lvt_nest_code *entries = calloc(n + 1, sizeof *entries);
    lvt_status status = LVT_NOMEM;
    if (list && from && compile && images && entries)
        status = collect(j, n, kernels, list, from, compile, &n_builds);
    if (status != LVT_OK)
        lvt_error(diag, status, NULL, LVT_NOWHERE, "out of memory");
    if (status == LVT_OK && j->counts.compiled)
        status = compile_missing(j, threads, list, compile, requests, from);
    for (size_t i = 0; i < n_builds && status == LVT_OK; i++)
        images[i] = list[i].image;
    if (status == LVT_OK && (status = lvt_code_map(&j->code, n_builds, images, entries)) != LVT_OK)
        lvt_error(diag, status, status == LVT_IO ? "E904" : NULL, LVT_NOWHERE,
                  status == LVT_IO ? "the system does not let this process run code it has made"
                                   : "out of memory");
    for (size_t i = 0; i < n_builds && status == LVT_OK; i++)
        find_code(j, list[i].source->key)->entry = entries[i];
    for (size_t i = 0; i < n_builds; i++) {
        free(list[i].image.data);
        free(list[i].why);
    }
    while (status != LVT_OK && j->n_codes > first) /* forget keys without code */
        free(j->codes[--j->n_codes].key);
    free(entries);
    free(images);
    free(compile);
    free(from);
    free(list);
    return status;
}

typedef struct preparing {
    lvt_jit *jit;
    const lvt_kernel_request *requests;
    lvt_jit_kernel **made; /* those that need code */
    lvt_kernel **out;
    lvt_status *status;
} preparing;

static lvt_status prepare_one(const preparing *p, size_t i, const lvt_kernel_request *r) {
    uint16_t op = r->graph->nodes[r->node].op;
    lvt_status status;
    if (op == LVT_OP_fused)
        status = prepare(p->jit, r, &p->made[i]);
    else if (op == LVT_OP_attention || op == LVT_OP_attention_grad)
        status = lvt_attention_make(r, &p->jit->machine, &p->made[i]);
    else if (op == LVT_OP_random_uniform)
        status = lvt_random_make(r, &p->out[i]);
    else if (op == LVT_OP_max_pool2d || op == LVT_OP_avg_pool2d || op == LVT_OP_max_pool2d_grad ||
             op == LVT_OP_avg_pool2d_grad)
        status = lvt_pool_make(r, &p->out[i]);
    else
        status = lvt_move_make(r, &p->out[i]);
    if (p->made[i])
        p->out[i] = &p->made[i]->base;
    return status;
}

/* Without messages: diag belongs to one thread. */
static void try_prepare(void *user, int64_t i, int worker) {
    const preparing *p = user;
    lvt_kernel_request r = p->requests[i];
    (void)worker;
    r.diag = NULL;
    p->status[i] = prepare_one(p, (size_t)i, &r);
}

static void drop(const preparing *p, size_t i) {
    if (p->out[i])
        p->out[i]->free(p->out[i]);
    p->out[i] = NULL;
    p->made[i] = NULL;
}

lvt_status lvt_jit_make(lvt_jit *j, size_t n, const lvt_kernel_request *requests, lvt_kernel **out) {
    preparing p = {j, requests, calloc(n + 1, sizeof *p.made), out, calloc(n + 1, sizeof *p.status)};
    lvt_status status = LVT_OK;
    j->counts = (lvt_jit_counts){0};
    for (size_t i = 0; i < n; i++)
        out[i] = NULL;
    if (p.made && p.status)
        lvt_workers(n ? requests[0].threads : 1, 0, (int64_t)n, try_prepare, &p);
    else
        status = lvt_error(n ? requests[0].diag : NULL, LVT_NOMEM, NULL, LVT_NOWHERE, "out of memory");
    for (size_t i = 0; i < n && status == LVT_OK; i++) {
        if (p.status[i] == LVT_OK)
            continue;
        drop(&p, i); /* once more, for its message */
        status = prepare_one(&p, i, &requests[i]);
    }
    if (status == LVT_OK)
        status = build_missing(j, n, requests, p.made);
    for (size_t i = 0; i < n && status == LVT_OK; i++)
        if (p.made[i])
            p.made[i]->entry = find_code(j, p.made[i]->source.key)->entry;
    for (size_t i = 0; i < n && status != LVT_OK && p.made; i++)
        drop(&p, i);
    free(p.made);
    free(p.status);
    if (status == LVT_OK && j->counts.compiled)
        lvt_cache_prune(j->cache, LVT_CACHE_MOST);
    return status;
}

lvt_jit_counts lvt_jit_last(const lvt_jit *j) {
    return j->counts;
}

lvt_status lvt_jit_new(const char *cache_folder, bool apart, lvt_jit **out, lvt_diag *diag) {
    lvt_jit *j = *out = calloc(1, sizeof *j);
    if (!j)
        return lvt_no_memory(diag, NULL);
    j->apart = apart;
    lvt_machine_host(&j->machine);
    if (lvt_cache_new(cache_folder, &j->machine, &j->cache) == LVT_OK)
        return LVT_OK;
    lvt_jit_free(j);
    *out = NULL;
    return lvt_no_memory(diag, NULL);
}

lvt_status lvt_jit_look_in(lvt_jit *j, const char *folder) {
    return lvt_cache_look_in(j->cache, folder);
}

lvt_status lvt_jit_seal(lvt_jit *j, lvt_diag *diag) {
    return lvt_cache_seal(j->cache, diag);
}

void lvt_jit_free(lvt_jit *j) {
    if (!j)
        return;
    for (size_t i = 0; i < j->n_codes; i++)
        free(j->codes[i].key);
    free(j->codes);
    lvt_code_free(j->code);
    lvt_cache_free(j->cache);
    free(j);
}
