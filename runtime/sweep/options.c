/* What a run of a sweep is called with: its program and its options. May not know: the file's syntax, the
 * disk. */
#include "sweep.h"
#include "ir/base/c_locale.h"
#include "ir/program/file.h"
#include "ir/base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The keys that are not options of `train`. */
const char *const lvt_sweep_own_keys[LVT_SWEEP_OWN_KEYS] = {"model", "seeds", "search-seeds", "select"};

bool lvt_sweep_own_key(const char *key) {
    for (int i = 0; i < LVT_SWEEP_OWN_KEYS; i++) {
        if (!strcmp(key, lvt_sweep_own_keys[i]))
            return true;
    }
    return false;
}

void lvt_sweep_tidy(char *name) {
    uint32_t hash = 2166136261u;
    for (char *p = name; *p; p++) {
        hash = (hash ^ (unsigned char)*p) * 16777619u;
        if (!lvt_is_letter(*p) && !lvt_is_digit(*p) && !strchr("._+=,-", *p))
            *p = '_';
    }
    if (strlen(name) > 120)
        snprintf(name + 110, 10, "~%08x", hash);
}

char *lvt_sweep_candidate(const lvt_sweep_row *r, int candidate) {
    lvt_texts parts = {0};
    const char *text = lvt_texts_add(&parts, "%s", "");
    for (int i = 0; i < r->n && text; i++) {
        const lvt_sweep_setting *o = r->settings[i];
        if (o->use == LVT_SWEEP_TRY)
            text = lvt_texts_add(&parts, "%s%s%s %s", text, *text ? ", " : "", o->name ? o->name : o->key,
                                 lvt_sweep_value(r, candidate, i, true));
    }
    char *copy = text ? strdup(text) : NULL;
    lvt_texts_free(&parts);
    return copy;
}

/* Do the final runs of this row measure on validation images too, to stop early? */
static bool stops_early(const lvt_sweep_row *r, int candidate) {
    for (int i = 0; i < r->n; i++) {
        const char *v =
            strcmp(r->settings[i]->key, "early-stopping") ? NULL : lvt_sweep_value(r, candidate, i, false);
        if (v && strcmp(v, "0"))
            return true;
    }
    return false;
}

const char *lvt_sweep_value(const lvt_sweep_row *r, int candidate, int setting, bool search) {
    const lvt_sweep_setting *o = r->settings[setting];
    if (o->search && !search)
        return NULL;
    if (!o->search && search) { /* `search KEY` stands above `KEY` */
        for (int i = 0; i < r->n; i++) {
            const lvt_sweep_setting *p = r->settings[i];
            if (p->search && !strcmp(p->key, o->key) && !p->name == !o->name &&
                (!o->name || !strcmp(p->name, o->name)))
                return NULL;
        }
    }
    if (!strcmp(o->key, "validation") && !search && !stops_early(r, candidate))
        return NULL; /* the final runs learn from all training images */
    if (o->use != LVT_SWEEP_TRY)
        return o->values.list[o->use == LVT_SWEEP_FOR ? r->value[setting] : 0];
    for (int i = r->n - 1; i > setting; i--) { /* the last that is tried varies fastest */
        if (r->settings[i]->use == LVT_SWEEP_TRY)
            candidate /= r->settings[i]->values.n;
    }
    return o->values.list[candidate % o->values.n];
}

const char *lvt_sweep_text(const lvt_sweep_row *r, int candidate, const char *key, bool search) {
    const char *found = NULL;
    for (int i = 0; i < r->n; i++) {
        const char *v = r->settings[i]->name || strcmp(r->settings[i]->key, key)
                            ? NULL
                            : lvt_sweep_value(r, candidate, i, search);
        found = v ? v : found;
    }
    return found;
}

bool lvt_sweep_program(const lvt_sweep *s, const char *out_folder, int row, int candidate, bool search,
                       lvt_texts *out) {
    const lvt_sweep_row *r = &s->rows[row];
    const char *model = ""; /* every row has one */
    lvt_texts sets = {0}, names = {0};
    for (int i = 0; i < r->n; i++) {
        const lvt_sweep_setting *o = r->settings[i];
        const char *v = lvt_sweep_value(r, candidate, i, search);
        if (v && !strcmp(o->key, "model"))
            model = v;
        else if (v && !strcmp(o->key, "set"))
            lvt_texts_add(&sets, "%s=%s", o->name, v);
        else if (v && !strcmp(o->key, "method"))
            lvt_texts_add(&sets, "method=%s", v);
    }
    lvt_texts_add(out, "%s%s", *model == '/' ? "" : s->folder, model);
    size_t n = strlen(model);
    bool compiled = n > 5 && !strcmp(model + n - 5, ".lvtx");
    if (compiled) {
        lvt_texts_add(out, "%s", out->n ? out->list[0] : "");
    } else {
        const char *base = strrchr(model, '/'), *dot = strrchr(model, '.');
        base = base ? base + 1 : model;
        const char *name =
            lvt_texts_add(&names, "%.*s", dot > base ? (int)(dot - base) : (int)strlen(base), base);
        /* Two models may have one name in two folders, and tidied texts may become equal. */
        uint64_t hash = lvt_fnv(LVT_FNV_START, model, n + 1);
        for (int i = 0; i < sets.n && name; i++) {
            name = lvt_texts_add(&names, "%s,%s", name, sets.list[i]);
            hash = lvt_fnv(hash, sets.list[i], strlen(sets.list[i]) + 1);
        }
        if (name)
            lvt_sweep_tidy(names.list[names.n - 1]);
        lvt_texts_add(out, "%s/programs/%s~%08x.lvtx", out_folder, name ? name : "",
                      (unsigned)(hash ^ hash >> 32));
        lvt_texts_add(out, "%s", out->n ? out->list[0] : "");
        for (int i = 0; i < sets.n; i++) {
            lvt_texts_add(out, "--set");
            lvt_texts_add(out, "%s", sets.list[i]);
        }
    }
    bool failed = sets.failed || names.failed || out->failed;
    lvt_texts_free(&sets);
    lvt_texts_free(&names);
    return !failed;
}

bool lvt_sweep_options(const lvt_sweep *s, const lvt_sweep_run *run, lvt_texts *out) {
    const lvt_sweep_row *r = &s->rows[run->row];
    int candidate = run->candidate >= 0 ? run->candidate
                    : r->chosen < 0     ? 0
                                        : r->chosen; /* not chosen yet: the first */
    for (int i = 0; i < r->n; i++) {
        const lvt_sweep_setting *o = r->settings[i];
        const char *v = lvt_sweep_value(r, candidate, i, run->search);
        if (!v || lvt_sweep_own_key(o->key) || !strcmp(o->key, "set") || !strcmp(o->key, "data") ||
            !strcmp(o->key, "threads"))
            continue;
        if (o->name)
            lvt_texts_add(out, "--coef=%s=%s", o->name, v);
        else if (!o->flag)
            lvt_texts_add(out, "--%s=%s", o->key, v);
        else if (!strcmp(v, "yes"))
            lvt_texts_add(out, "--%s", o->key);
    }
    lvt_texts_add(out, "--seed=%llu", (unsigned long long)run->seed);
    lvt_texts_add(out, "--name=%s", r->name);
    return !out->failed;
}
