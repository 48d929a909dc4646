/* The bytes of a compiled program.
 *
 *   header    64 bytes: magic, version, number of sections, length of the file, hash of the program,
 *             checksum of header and table, zeros
 *   table     32 bytes a section: tag, 0, offset, length, checksum
 *   sections  each at a multiple of 64, zeros between:
 *             META  text for a curious reader
 *             IR    the module's text
 *             PLAN  places, steps and stores of every entry
 *             SRCS  the texts of the source files, for messages
 *
 * All numbers are little-endian. Invariant: see file.h. May not know: the file system. */
#include "file.h"
#include "ir/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const unsigned char magic[8] = {'L',  'V',  'T',  'X',
                                       '\r', '\n', 0x1a, '\n'}; /* damaged by any text mode */

enum { N_SECTIONS = 4, HEADER = 64, ROW = 32, ALIGN = 64, PLACE = 64, CHECKSUM_AT = 32 };
enum { META, IR, PLAN, SRCS };
static const char *const tags[N_SECTIONS] = {"META", "IR  ", "PLAN", "SRCS"};

void lvt_compiled_free(lvt_compiled *p) {
    if (!p)
        return;
    lvt_module_free(p->module);
    free(p);
}

/* ---- writing ------------------------------------------------------------------------------------------- */

typedef struct out {
    unsigned char *bytes;
    size_t n, capacity;
    bool failed;
} out;

static void put(out *o, const void *bytes, size_t n) {
    if (o->failed || n == 0)
        return;
    if (o->capacity - o->n < n) {
        size_t wanted = o->capacity * 2 + n + 1024;
        unsigned char *bigger = realloc(o->bytes, wanted);
        if (!bigger) {
            o->failed = true;
            return;
        }
        o->bytes = bigger;
        o->capacity = wanted;
    }
    memcpy(o->bytes + o->n, bytes, n);
    o->n += n;
}

static void store_number(unsigned char *at, uint64_t x, int bytes) {
    for (int i = 0; i < bytes; i++)
        at[i] = (unsigned char)(x >> 8 * i);
}

static void put_number(out *o, uint64_t x, int bytes) {
    unsigned char text[8];
    store_number(text, x, bytes);
    put(o, text, (size_t)bytes);
}

static void put_plan(out *o, const lvt_plan *p) {
    put_number(o, p->graph->n_values, 4);
    put_number(o, p->n_steps, 4);
    put_number(o, p->n_stores, 4);
    put_number(o, p->n_prologue, 4);
    put_number(o, p->tuned, 4);
    put_number(o, p->arena_bytes, 8);
    put_number(o, p->kept_bytes, 8);
    for (uint32_t v = 0; v < p->graph->n_values; v++) {
        put_number(o, p->places[v].kind, 4);
        put_number(o, p->places[v].index, 4);
        put_number(o, p->places[v].offset, 8);
        for (int i = 0; i < LVT_MAX_RANK; i++)
            put_number(o, i < p->graph->values[v].type.rank ? (uint64_t)p->places[v].strides[i] : 0, 8);
    }
    for (uint32_t i = 0; i < p->n_steps; i++) {
        put_number(o, p->steps[i].node, 4);
        put_number(o, p->steps[i].family, 2);
        put_number(o, p->steps[i].variant, 1);
        put_number(o, p->steps[i].joined, 1);
    }
    for (uint32_t i = 0; i < p->n_stores; i++) {
        put_number(o, p->stores[i].state, 4);
        put_number(o, p->stores[i].value, 4);
    }
}

static void put_plans(out *o, const lvt_compiled *p) {
    for (uint32_t i = 0; i < p->module->n_entries; i++)
        put_plan(o, &p->plans[i]);
}

static void put_sources(out *o, const lvt_module *m) {
    for (uint32_t i = 0; i < m->n_sources; i++) {
        const lvt_source *s = &m->sources[i];
        put_number(o, s->text ? s->length : UINT64_MAX, 8);
        if (s->text)
            put(o, s->text, s->length);
    }
}

/* What `head -c` or `strings` shows of a program. The reader makes it anew and compares. */
static void put_meta(out *o, const lvt_compiled *p) {
    const lvt_module *m = p->module;
    uint64_t parameters = 0;
    char text[256];
    for (uint32_t i = 0; i < m->n_states; i++)
        parameters += m->states[i].trainable ? (uint64_t)lvt_numel(&m->states[i].type) : 0;
    int n = snprintf(text, sizeof text, "lvt program, format %d\nhash %016llx\nparameters %llu\nmodel ",
                     LVT_PROGRAM_VERSION, (unsigned long long)p->hash, (unsigned long long)parameters);
    put(o, text, (size_t)n);
    put(o, m->name, strlen(m->name));
    for (uint32_t i = 0; i < m->n_entries; i++) {
        put(o, "\nentry ", 7);
        put(o, m->entries[i]->name, strlen(m->entries[i]->name));
    }
    put(o, "\n", 1);
}

lvt_status lvt_program_seal(lvt_compiled *p, lvt_diag *diag) {
    size_t length;
    char *text = lvt_print_meaning(p->module, &length);
    out plans = {0};
    put_plans(&plans, p);
    bool ok = text && !plans.failed;
    if (ok) {
        p->hash = lvt_fnv(lvt_fnv(LVT_FNV_START, text, length), plans.bytes, plans.n);
        p->version = LVT_PROGRAM_VERSION;
    }
    free(text);
    free(plans.bytes);
    return ok ? LVT_OK : lvt_no_memory(diag, NULL);
}

/* The checksum of header and table, taken with its own field as zero. */
static uint64_t header_checksum(const unsigned char *bytes) {
    static const unsigned char zero[8];
    uint64_t hash = lvt_fnv(LVT_FNV_START, bytes, CHECKSUM_AT);
    hash = lvt_fnv(hash, zero, sizeof zero);
    return lvt_fnv(hash, bytes + CHECKSUM_AT + 8, HEADER + N_SECTIONS * ROW - CHECKSUM_AT - 8);
}

/* The whole file of a sealed program; false when out of memory. checked: a file whose checksums are right and
 * with which this one is to be compared, so that they need not be computed again, or NULL. */
static bool assemble(out *o, const lvt_compiled *p, const unsigned char *checked) {
    static const unsigned char zeros[HEADER + N_SECTIONS * ROW];
    size_t text_length = 0, begin[N_SECTIONS], end[N_SECTIONS];
    char *text = lvt_print_module(p->module, &text_length);
    o->failed |= !text;
    put(o, zeros, sizeof zeros);
    for (int i = 0; i < N_SECTIONS; i++) {
        put(o, zeros, (ALIGN - o->n % ALIGN) % ALIGN);
        begin[i] = o->n;
        if (i == META)
            put_meta(o, p);
        else if (i == IR)
            put(o, text, text_length);
        else if (i == PLAN)
            put_plans(o, p);
        else
            put_sources(o, p->module);
        end[i] = o->n;
    }
    free(text);
    if (o->failed)
        return false;
    memcpy(o->bytes, magic, sizeof magic);
    store_number(o->bytes + 8, LVT_PROGRAM_VERSION, 4);
    store_number(o->bytes + 12, N_SECTIONS, 4);
    store_number(o->bytes + 16, o->n, 8);
    store_number(o->bytes + 24, p->hash, 8);
    for (int i = 0; i < N_SECTIONS; i++) {
        unsigned char *row = o->bytes + HEADER + i * ROW;
        memcpy(row, tags[i], 4);
        store_number(row + 8, begin[i], 8);
        store_number(row + 16, end[i] - begin[i], 8);
        if (checked)
            memcpy(row + 24, checked + HEADER + i * ROW + 24, 8);
        else
            store_number(row + 24, lvt_fnv(LVT_FNV_START, o->bytes + begin[i], end[i] - begin[i]), 8);
    }
    store_number(o->bytes + CHECKSUM_AT, header_checksum(o->bytes), 8);
    return true;
}

lvt_status lvt_program_encode(lvt_compiled *p, unsigned char **bytes, size_t *length, lvt_diag *diag) {
    *bytes = NULL;
    lvt_status status = lvt_program_verify(p, diag);
    if (status == LVT_OK)
        status = lvt_program_seal(p, diag);
    if (status != LVT_OK)
        return status;
    out o = {0};
    if (!assemble(&o, p, NULL)) {
        free(o.bytes);
        return lvt_no_memory(diag, NULL);
    }
    *bytes = o.bytes;
    *length = o.n;
    return LVT_OK;
}

/* ---- reading ------------------------------------------------------------------------------------------- */

typedef struct in { /* a section that is being read */
    const unsigned char *p, *end;
    bool failed; /* read past its end; numbers are 0 from then on */
} in;

static uint64_t load_number(const unsigned char *at, int bytes) {
    uint64_t x = 0;
    for (int i = 0; i < bytes; i++)
        x |= (uint64_t)at[i] << 8 * i;
    return x;
}

static uint64_t take(in *s, int bytes) {
    if (s->failed || s->end - s->p < bytes) {
        s->failed = true;
        return 0;
    }
    s->p += bytes;
    return load_number(s->p - bytes, bytes);
}

/* Whether n items of that size can still follow: asked before memory is taken for them. */
static bool has(const in *s, uint64_t n, size_t size) {
    return !s->failed && n <= (size_t)(s->end - s->p) / size;
}

typedef struct file {
    const char *name;
    lvt_diag *diag;
    in sections[N_SECTIONS];
} file;

#define DAMAGED(f, code, ...) lvt_error((f)->diag, LVT_USER, code, (lvt_pos){(f)->name, 0, 0}, __VA_ARGS__)

/* Finds the sections; when this succeeds every byte of the file is accounted for. */
static lvt_status read_table(file *f, const unsigned char *bytes, size_t length) {
    if (length < sizeof magic || memcmp(bytes, magic, sizeof magic) != 0)
        return DAMAGED(f, "E601", "this is not a compiled program of lvt");
    if (length < HEADER + N_SECTIONS * ROW)
        return DAMAGED(f, "E602", "the file is cut off: it has %zu bytes", length);
    uint64_t version = load_number(bytes + 8, 4), whole = load_number(bytes + 16, 8);
    if (version > LVT_PROGRAM_VERSION)
        return DAMAGED(f, "E603", "made by a newer lvt (version %llu, this is %d)",
                       (unsigned long long)version, LVT_PROGRAM_VERSION);
    if (version != LVT_PROGRAM_VERSION)
        return DAMAGED(f, "E603",
                       "made by an lvt that is too old (version %llu, this is %d): compile the model again",
                       (unsigned long long)version, LVT_PROGRAM_VERSION);
    if (load_number(bytes + 12, 4) != N_SECTIONS ||
        load_number(bytes + CHECKSUM_AT, 8) != header_checksum(bytes))
        return DAMAGED(f, "E604", "the file is damaged: wrong checksum of its header");
    if (whole != length)
        return DAMAGED(f, "E602", "the file is cut off: it has %zu bytes of %llu", length,
                       (unsigned long long)whole);
    uint64_t at = HEADER + N_SECTIONS * ROW;
    for (int i = 0; i < N_SECTIONS; i++) {
        const unsigned char *row = bytes + HEADER + i * ROW;
        uint64_t begin = load_number(row + 8, 8), size = load_number(row + 16, 8);
        if (memcmp(row, tags[i], 4) != 0 || begin != (at + ALIGN - 1) / ALIGN * ALIGN || begin > length ||
            size > length - begin)
            return DAMAGED(f, "E605", "the file is damaged: section %s is not where it must be", tags[i]);
        for (; at < begin; at++)
            if (bytes[at])
                return DAMAGED(f, "E605", "the file is damaged: something lies between its sections");
        if (lvt_fnv(LVT_FNV_START, bytes + begin, size) != load_number(row + 24, 8))
            return DAMAGED(f, "E604", "the file is damaged: wrong checksum of section %s", tags[i]);
        f->sections[i] = (in){bytes + begin, bytes + begin + size, false};
        at = begin + size;
    }
    return at == length ? LVT_OK
                        : DAMAGED(f, "E605", "the file is damaged: something follows its last section");
}

static lvt_status read_plan(file *f, lvt_graph *g, lvt_plan *plan) {
    in *s = &f->sections[PLAN];
    lvt_arena *arena = g->module->arena;
    uint64_t n_values = take(s, 4), n_steps = take(s, 4), n_stores = take(s, 4);
    uint32_t n_prologue = (uint32_t)take(s, 4), tuned = (uint32_t)take(s, 4);
    *plan = (lvt_plan){.graph = g, .n_steps = (uint32_t)n_steps, .n_stores = (uint32_t)n_stores};
    plan->n_prologue = n_prologue;
    plan->tuned = tuned;
    plan->arena_bytes = take(s, 8);
    plan->kept_bytes = take(s, 8);
    if (n_values != g->n_values || !has(s, n_values, PLACE) ||
        !has(s, n_values * (PLACE / 8) + n_steps + n_stores, 8))
        return DAMAGED(f, "E606", "the plan of entry %s does not fit its graph", g->name);
    plan->places = lvt_arena_alloc(arena, n_values * sizeof *plan->places + 1);
    plan->steps = lvt_arena_alloc(arena, n_steps * sizeof *plan->steps + 1);
    plan->stores = lvt_arena_alloc(arena, n_stores * sizeof *plan->stores + 1);
    if (!plan->places || !plan->steps || !plan->stores)
        return lvt_no_memory(f->diag, NULL);
    for (uint32_t v = 0; v < n_values; v++) {
        uint64_t kind = take(s, 4);
        if (kind > LVT_PLACE_KEPT)
            return DAMAGED(f, "E606", "the plan of entry %s has a place of an unknown kind", g->name);
        plan->places[v].kind = (uint8_t)kind;
        plan->places[v].index = (uint32_t)take(s, 4);
        plan->places[v].offset = take(s, 8);
        for (int i = 0; i < LVT_MAX_RANK; i++)
            plan->places[v].strides[i] = (int64_t)take(s, 8);
    }
    for (uint32_t i = 0; i < n_steps; i++) {
        plan->steps[i].node = (uint32_t)take(s, 4);
        uint64_t family = take(s, 2), variant = take(s, 1), joined = take(s, 1);
        if (family >= LVT_N_FAMILIES || variant >= LVT_N_VARIANTS || joined > 1)
            return DAMAGED(f, "E606", "the plan of entry %s has a step of an unknown %s", g->name,
                           family >= LVT_N_FAMILIES    ? "family"
                           : variant >= LVT_N_VARIANTS ? "variant"
                                                       : "kind");
        plan->steps[i].family = (uint8_t)family;
        plan->steps[i].variant = (uint8_t)variant;
        plan->steps[i].joined = joined;
    }
    for (uint32_t i = 0; i < n_stores; i++) {
        plan->stores[i].state = (uint32_t)take(s, 4);
        plan->stores[i].value = (lvt_value)take(s, 4);
    }
    return LVT_OK;
}

static lvt_status read_plans(file *f, lvt_compiled *p) {
    lvt_module *m = p->module;
    p->plans = lvt_arena_alloc(m->arena, m->n_entries * sizeof *p->plans + 1);
    if (!p->plans)
        return lvt_no_memory(f->diag, NULL);
    for (uint32_t i = 0; i < m->n_entries; i++) {
        lvt_status status = read_plan(f, m->entries[i], &p->plans[i]);
        if (status != LVT_OK)
            return status;
    }
    if (f->sections[PLAN].p != f->sections[PLAN].end)
        return DAMAGED(f, "E606", "there are more plans than entries");
    return LVT_OK;
}

/* The texts of the sources become the module's, and known to diag, so that messages can show their lines. */
static lvt_status read_sources(file *f, lvt_module *m) {
    in *s = &f->sections[SRCS];
    for (uint32_t i = 0; i < m->n_sources; i++) {
        uint64_t length = take(s, 8);
        if (length == UINT64_MAX)
            continue;
        if (!has(s, length, 1))
            return DAMAGED(f, "E607", "the texts of the sources are cut off");
        if (lvt_module_source(m, m->sources[i].name, (const char *)s->p, length) == UINT32_MAX)
            return lvt_no_memory(f->diag, NULL);
        lvt_diag_source(f->diag, m->sources[i].name, (const char *)s->p, length);
        s->p += length;
    }
    return s->failed || s->p != s->end ? DAMAGED(f, "E607", "the texts of the sources do not fit their list")
                                       : LVT_OK;
}

/* lvt writes each program in one way only. Anything else was not written by lvt. */
static lvt_status check_canonical(file *f, lvt_compiled *p, const unsigned char *bytes, size_t length) {
    out again = {0};
    lvt_status status = lvt_program_seal(p, f->diag);
    if (status != LVT_OK)
        return status;
    if (p->hash != load_number(bytes + 24, 8))
        return DAMAGED(f, "E608", "the file's hash is not that of its program");
    if (!assemble(&again, p, bytes))
        status = lvt_no_memory(f->diag, NULL);
    else if (again.n != length || memcmp(again.bytes, bytes, length) != 0)
        status = DAMAGED(f, "E608", "the file was changed by hand: it is not as lvt would write it");
    free(again.bytes);
    return status;
}

lvt_status lvt_program_decode(const char *name, const unsigned char *bytes, size_t length,
                              lvt_compiled **result, lvt_diag *diag) {
    *result = NULL;
    file f = {.name = name, .diag = diag};
    lvt_status status = read_table(&f, bytes, length);
    if (status != LVT_OK)
        return status;
    lvt_compiled *p = calloc(1, sizeof *p);
    if (!p)
        return lvt_no_memory(diag, NULL);
    const in *ir = &f.sections[IR];
    status = lvt_read_module(name, (const char *)ir->p, (size_t)(ir->end - ir->p), &p->module, diag);
    if (status == LVT_OK)
        status = read_sources(&f, p->module);
    if (status == LVT_OK)
        status = read_plans(&f, p);
    if (status == LVT_OK)
        status = lvt_program_verify(p, diag);
    if (status == LVT_OK)
        status = check_canonical(&f, p, bytes, length);
    if (status == LVT_OK)
        *result = p;
    else
        lvt_compiled_free(p);
    return status;
}
