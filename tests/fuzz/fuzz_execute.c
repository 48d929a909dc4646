/* Harness: decode, then run. The text of a model, or of a module (its first word is "module"), through all
 * passes, a module also from pass layout on; behind a byte 0, changes of its plan, ten bytes each. The program is
 * written, read and run, and so are copies with other changes, if the verifier of plans accepts them. */
#include "execute.h"

#include "frontend/language/language.h"
#include "ir/program/file.h"
#include "ir/text.h"
#include "passes/pass.h"

enum { CHANGE = 10, ROUNDS = 16 };

/* One number of the plan becomes another: near ones, so that some plans stay right, and any. */
static void change_plan(const lvt_compiled *p, const uint8_t *c) {
    const lvt_plan *all = p->plans;
    if (!p->module->n_entries)
        return;
    lvt_plan *plan = (lvt_plan *)&all[c[0] % p->module->n_entries];
    uint32_t at = (uint32_t)(c[2] | c[3] << 8), value = (uint32_t)(c[4] | c[5] << 8 | c[6] << 16);
    lvt_place *place = plan->graph->n_values ? &plan->places[at % plan->graph->n_values] : NULL;
    lvt_step *step = plan->n_steps ? &plan->steps[at % plan->n_steps] : NULL;
    lvt_store *store = plan->n_stores ? &plan->stores[at % plan->n_stores] : NULL;
    uint64_t wide = (uint64_t)value << (c[7] % 64);
    switch (c[1] % 16) {
    case 0:
        plan->arena_bytes = (c[7] & 1) ? wide : plan->arena_bytes - value % 256;
        break;
    case 1:
        plan->kept_bytes = (c[7] & 1) ? wide : plan->kept_bytes - value % 256;
        break;
    case 2:
        plan->n_prologue = value % (plan->n_steps + 2);
        break;
    case 3:
        plan->n_steps -= plan->n_steps ? value % plan->n_steps % 3 : 0;
        break;
    case 4:
        plan->n_stores -= plan->n_stores ? value % 2 : 0;
        break;
    case 5:
    case 6:
        if (place)
            place->offset = (c[7] & 1) ? wide : value % 64 * 64;
        break;
    case 7:
        if (place)
            place->kind = value % (LVT_PLACE_KEPT + 1);
        break;
    case 8:
        if (place)
            place->index = value % 64;
        break;
    case 9:
    case 10:
        if (place)
            place->strides[c[8] % LVT_MAX_RANK] =
                (c[7] & 1) ? (int64_t)wide : (int64_t)(value % 64) - (c[7] & 2);
        break;
    case 11:
        if (step)
            step->family = value % LVT_N_FAMILIES;
        break;
    case 12:
        if (step)
            step->variant = value % LVT_N_VARIANTS;
        break;
    case 13:
        if (step)
            step->joined = value & 1;
        break;
    case 14:
        if (step) { /* two steps change places */
            lvt_step other = plan->steps[value % plan->n_steps];
            plan->steps[value % plan->n_steps] = *step;
            *step = other;
        }
        break;
    default:
        if (store)
            (c[7] & 1 ? &store->state : &store->value)[0] = value % 64;
        break;
    }
}

/* The program, with some of its plan changed (n 0: nothing), is written, read and run, if the verifier lets it. */
static void change_and_run(const unsigned char *bytes, size_t length, const uint8_t *changes, size_t n,
                           uint64_t seed) {
    lvt_diag *d = lvt_diag_new();
    lvt_compiled *p, *again = NULL;
    unsigned char *changed = NULL;
    size_t changed_length = 0;
    if (lvt_program_decode("fuzz", bytes, length, &p, d) != LVT_OK)
        abort(); /* what was compiled can be read */
    for (size_t i = 0; i < n; i++)
        change_plan(p, changes + i * CHANGE);
    lvt_status status = lvt_program_encode(p, &changed, &changed_length, d);
    if (status == LVT_INTERNAL || (status != LVT_OK) != (lvt_diag_errors(d) > 0))
        abort();
    lvt_compiled_free(p);
    if (status == LVT_OK && lvt_program_decode("fuzz", changed, changed_length, &again, d) != LVT_OK)
        abort();
    free(changed);
    lvt_diag_free(d);
    if (again)
        fuzz_execute(again, seed % 8 >= 6, 1 + (int)(seed >> 8 & 1), seed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *end = memchr(data, 0, size);
    size_t length = end ? (size_t)(end - data) : size;
    const uint8_t *changes = data + length + (end ? 1 : 0);
    size_t n_changes = (size_t)(data + size - changes) / CHANGE;
    uint64_t seed = lvt_fnv(LVT_FNV_START, data, size) | 1;
    lvt_diag *d = lvt_diag_new();
    lvt_module *m = NULL;
    lvt_compiled *p = NULL;
    lvt_compile_options options = {.verify_each = seed & 2};
    if (length > 6 && !memcmp(data, "module", 6)) {
        (void)lvt_read_module("fuzz.ir", (const char *)data, length, &m, d);
        options.start_at = seed & 4 ? "layout" : NULL;
    } else {
        (void)lvt_compile_text("fuzz.lvt", (const char *)data, length, NULL, 0, "models", &m, d);
    }
    if (m && lvt_compile(m, &options, &p, d) == LVT_INTERNAL)
        abort();
    unsigned char *bytes = NULL;
    size_t n = 0;
    if (p && lvt_program_encode(p, &bytes, &n, d) == LVT_OK) {
        change_and_run(bytes, n, changes, n_changes < ROUNDS ? n_changes : ROUNDS, seed);
        for (int round = 0; round < ROUNDS; round++) {
            uint8_t some[2 * CHANGE];
            for (size_t i = 0; i < sizeof some; i++)
                some[i] = (uint8_t)(fuzz_random(&seed) >> 32);
            change_and_run(bytes, n, some, 1 + fuzz_below(&seed, 2), fuzz_random(&seed));
        }
    }
    free(bytes);
    if (p)
        lvt_compiled_free(p);
    else
        lvt_module_free(m);
    lvt_diag_free(d);
    return 0;
}
