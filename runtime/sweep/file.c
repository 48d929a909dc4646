/* Experiment files: text to settings, rows and runs. May not know: the disk beyond the file, processes. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* vasprintf */
#endif
#include "sweep.h"
#include "ir/base/file.h"
#include "ir/base/grow.h"
#include "ir/base/c_locale.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- lines --------------------------------------------------------------------------------------------- */

typedef struct reading {
    lvt_sweep *s;
    const lvt_sweep_checker *checker;
    lvt_diag *diag;
    uint32_t line;
    const char *start; /* of the line */
} reading;

static lvt_pos at(const reading *r, const char *p) {
    return (lvt_pos){r->s->file, r->line, (uint32_t)(p - r->start) + 1};
}

/* Words and "quoted words" up to the end or a comment. */
static lvt_status read_values(reading *r, const char *p, lvt_texts *out, lvt_diag *diag) {
    for (;;) {
        p += strspn(p, " \t");
        if (!*p || *p == '#')
            return out->failed ? lvt_no_memory(diag, NULL) : LVT_OK;
        size_t n;
        if (*p == '"') {
            n = strcspn(p + 1, "\"");
            if (!p[1 + n])
                return lvt_error(diag, LVT_USER, NULL, at(r, p), "the quotation mark is not closed");
            lvt_texts_add(out, "%.*s", (int)n, p + 1);
            p += n + 2;
        } else {
            n = strcspn(p, " \t");
            lvt_texts_add(out, "%.*s", (int)n, p);
            p += n;
        }
    }
}

static lvt_status check_values(reading *r, lvt_sweep_setting *s, const char *value_at) {
    const char *own = lvt_sweep_own_key(s->key) ? s->key : NULL;
    for (int i = 0; i < s->values.n; i++) {
        const char *v = s->values.list[i];
        if (s->name) {
            char *end;
            lvt_strtod(v, &end);
            if (!strcmp(s->key, "coef") && (end == v || *end))
                return lvt_error(r->diag, LVT_USER, NULL, at(r, value_at), "%s: \"%s\" is not a number",
                                 s->name, v);
            continue;
        }
        if (own)
            continue;
        if (s->flag) {
            if (strcmp(v, "yes") && strcmp(v, "no"))
                return lvt_error(r->diag, LVT_USER, NULL, at(r, value_at), "%s is yes or no, not \"%s\"",
                                 s->key, v);
            continue;
        }
        lvt_diag *words = lvt_diag_new();
        lvt_status status = words ? r->checker->option(r->checker->user, s->key, v, NULL, words) : LVT_NOMEM;
        char *text = words && status != LVT_OK ? lvt_diag_text(words) : NULL;
        lvt_diag_free(words);
        if (status != LVT_OK) {
            char *line = text ? text + (strncmp(text, "error: ", 7) ? 0 : 7) : NULL;
            if (line)
                line[strcspn(line, "\n")] = 0;
            lvt_error(r->diag, LVT_USER, NULL, at(r, value_at), "%s", line ? line : "out of memory");
            free(text);
            return LVT_USER;
        }
    }
    return LVT_OK;
}

static lvt_status new_setting(reading *r, lvt_sweep_setting **out) {
    lvt_sweep *s = r->s;
    lvt_sweep_setting *more = realloc(s->settings, ((size_t)s->n_settings + 1) * sizeof *more);
    if (!more)
        return lvt_no_memory(r->diag, NULL);
    s->settings = more;
    *out = &more[s->n_settings++];
    **out = (lvt_sweep_setting){.section = s->sections.n - 1, .line = r->line};
    return LVT_OK;
}

static bool same_key(const lvt_sweep_setting *a, const lvt_sweep_setting *b) {
    return !strcmp(a->key, b->key) && !a->name == !b->name && (!a->name || !strcmp(a->name, b->name)) &&
           a->search == b->search;
}

/* [for | try | search] KEY = VALUES */
static lvt_status read_setting(reading *r, const char *line) {
    const char *equals = strchr(line, '=');
    if (!equals)
        return lvt_error(r->diag, LVT_USER, NULL, at(r, line),
                         "this is neither [NAME] nor KEY = VALUE, for KEY = VALUES or try KEY = VALUES");
    lvt_sweep_setting *s = NULL;
    lvt_status status = new_setting(r, &s);
    if (status != LVT_OK)
        return status;
    char words[3][64];
    const char *places[3];
    int n = 0;
    for (const char *p = line + strspn(line, " \t"); p < equals;) {
        size_t k = strcspn(p, " \t=");
        if (n == 3 || k >= sizeof words[0])
            return lvt_error(r->diag, LVT_USER, NULL, at(r, p), "too many or too long words before \"=\"");
        places[n] = p;
        snprintf(words[n++], sizeof words[0], "%.*s", (int)k, p);
        p += k;
        p += strspn(p, " \t");
    }
    int key = 0;
    if (n > 1) {
        key = 1;
        if (!strcmp(words[0], "for"))
            s->use = LVT_SWEEP_FOR;
        else if (!strcmp(words[0], "try"))
            s->use = LVT_SWEEP_TRY;
        else if (!strcmp(words[0], "search"))
            s->search = true;
        else
            key = 0;
    }
    bool named = key < n && (!strcmp(words[key], "coef") || !strcmp(words[key], "set"));
    if (n - key != (named ? 2 : 1))
        return n == key ? lvt_error(r->diag, LVT_USER, NULL, at(r, line), "there is no key before \"=\"")
               : named  ? lvt_error(r->diag, LVT_USER, NULL, at(r, places[key]),
                                    "%s needs a name: %s NAME = VALUE", words[key], words[key])
                        : lvt_error(r->diag, LVT_USER, NULL, at(r, places[0]),
                                    "\"%s\" is none of for, try, search", words[0]);
    s->col = (uint32_t)(places[key] - r->start) + 1;
    if (!(s->key = lvt_texts_add(&r->s->texts, "%s", words[key])) ||
        (named && !(s->name = lvt_texts_add(&r->s->texts, "%s", words[key + 1]))))
        return lvt_no_memory(r->diag, NULL);
    if (!named && !lvt_sweep_own_key(s->key)) {
        if (!strcmp(s->key, "seed"))
            return lvt_error(r->diag, LVT_USER, NULL, at(r, places[key]),
                             "the key is seeds, as in seeds = 1 2 3");
        if (!strcmp(s->key, "name"))
            return lvt_error(r->diag, LVT_USER, NULL, at(r, places[key]),
                             "runs have the name of their section: [NAME]");
        lvt_diag *words_of = lvt_diag_new();
        status =
            words_of ? r->checker->option(r->checker->user, s->key, NULL, &s->flag, words_of) : LVT_NOMEM;
        lvt_diag_free(words_of);
        if (status != LVT_OK) {
            const char *near = lvt_nearest(s->key, lvt_sweep_own_keys, LVT_SWEEP_OWN_KEYS);
            lvt_error(r->diag, LVT_USER, NULL, at(r, places[key]),
                      "\"%s\" is no option of lvt-run train%s%s%s", s->key, near ? "; did you mean " : "",
                      near ? near : "", near ? "?" : "");
            lvt_note(r->diag, LVT_NOWHERE,
                     "other keys are model, seeds, search-seeds, select, coef NAME and set NAME");
            return LVT_USER;
        }
    }
    if (lvt_sweep_own_key(s->key) && (s->use != LVT_SWEEP_FIXED || s->search) && strcmp(s->key, "model"))
        return lvt_error(r->diag, LVT_USER, NULL, at(r, line), "%s cannot be varied", s->key);
    static const char *const fixed[] = {"method", "data", "threads"};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed && (s->search || s->use != LVT_SWEEP_FIXED); i++) {
        if (!strcmp(s->key, fixed[i]) && (s->search || i > 0))
            return lvt_error(r->diag, LVT_USER, NULL, at(r, line),
                             s->search ? "%s cannot differ in the search" : "%s cannot be varied", s->key);
    }
    const char *value_at = equals + 1 + strspn(equals + 1, " \t");
    LVT_TRY(read_values(r, equals + 1, &s->values, r->diag));
    if (!s->values.n)
        return lvt_error(r->diag, LVT_USER, NULL, at(r, equals), "there is no value after \"=\"");
    bool list = !strcmp(s->key, "seeds") || !strcmp(s->key, "search-seeds") || !strcmp(s->key, "select");
    if (s->use == LVT_SWEEP_FIXED && s->values.n > 1 && !list) {
        lvt_error(r->diag, LVT_USER, NULL, at(r, value_at), "%s has several values", s->key);
        lvt_note(
            r->diag, LVT_NOWHERE,
            "`for %s = ...` makes a row of the table for each, `try %s = ...` lets the search choose one",
            s->key, s->key);
        return LVT_USER;
    }
    LVT_TRY(check_values(r, s, value_at));
    for (int i = 0; i < r->s->n_settings - 1; i++) {
        const lvt_sweep_setting *o = &r->s->settings[i];
        if (o->section == s->section && same_key(o, s))
            return lvt_error(r->diag, LVT_USER, NULL, at(r, line), "%s%s%s is set twice; first in line %u",
                             s->key, s->name ? " " : "", s->name ? s->name : "", o->line);
    }
    return LVT_OK;
}

static lvt_status read_section(reading *r, const char *line) {
    size_t n = strcspn(line + 1, "]");
    const char *after = line + 1 + n;
    if (*after != ']' || n == 0 ||
        (after[1 + strspn(after + 1, " \t")] && after[1 + strspn(after + 1, " \t")] != '#'))
        return lvt_error(r->diag, LVT_USER, NULL, at(r, line), "a section is [NAME], alone on its line");
    lvt_sweep *s = r->s;
    for (int i = 0; i < s->sections.n; i++) {
        if (strlen(s->sections.list[i]) == n && !strncmp(s->sections.list[i], line + 1, n))
            return lvt_error(r->diag, LVT_USER, NULL, at(r, line),
                             "there is a section of this name in line %u", s->section_lines[i]);
    }
    uint32_t *more = realloc(s->section_lines, ((size_t)s->sections.n + 1) * sizeof *more);
    if (!more)
        return lvt_no_memory(r->diag, NULL);
    s->section_lines = more;
    s->section_lines[s->sections.n] = r->line;
    return lvt_texts_add(&s->sections, "%.*s", (int)n, line + 1) ? LVT_OK : lvt_no_memory(r->diag, NULL);
}

/* ---- rows ---------------------------------------------------------------------------------------------- */

/* The setting of that key that counts for a row: the section's own, else the one above all sections. */
static const lvt_sweep_setting *find(const lvt_sweep_row *r, const char *key, bool search) {
    const lvt_sweep_setting *found = NULL;
    for (int i = 0; i < r->n; i++) {
        if (!r->settings[i]->name && !strcmp(r->settings[i]->key, key) && (!r->settings[i]->search || search))
            found = r->settings[i];
    }
    return found;
}

static lvt_status collect(const lvt_sweep *s, int section, lvt_sweep_row *row, lvt_diag *diag) {
    for (int i = 0; i < s->n_settings; i++) {
        const lvt_sweep_setting *o = &s->settings[i];
        if (o->section != -1 && o->section != section)
            continue;
        int k = 0;
        while (k < row->n && !same_key(row->settings[k], o))
            k++;
        if (k == LVT_SWEEP_MAX_SETTINGS)
            return lvt_error(diag, LVT_USER, NULL, (lvt_pos){s->file, o->line, 0}, "more than %d settings",
                             LVT_SWEEP_MAX_SETTINGS);
        row->settings[k] = o;
        row->n += k == row->n;
    }
    return LVT_OK;
}

/* Will every run of the search measure what is selected? Asks the metric itself, with a matrix of as many
 * tasks as there are known to be, with a row of the untrained network or without. */
static lvt_status check_select(const lvt_sweep *s, const lvt_sweep_row *row, const lvt_sweep_setting *select,
                               lvt_diag *diag) {
    const lvt_metric *m = &lvt_metrics[row->metric];
    for (int c = 0; c < row->candidates; c++) {
        const char *tasks = lvt_sweep_text(row, c, "tasks", true),
                   *split = lvt_sweep_text(row, c, "split", true), *fwt = lvt_sweep_text(row, c, "fwt", true);
        bool one = tasks ? atoi(tasks) == 1 : split && !strchr(split, ','),
             untrained = fwt && !strcmp(fwt, "yes");
        int n = one ? 1 : 2;
        double a[3 * 2] = {0};
        const lvt_pos here = {s->file, select->line, select->col};
        if (isnan(m->value(a, n, n)))
            return lvt_error(diag, LVT_USER, NULL, here, "select: %s needs two tasks or more; %s has one",
                             m->name, row->name);
        for (int k = 0; k < n && !untrained; k++)
            a[k] = NAN;
        if (isnan(m->value(a, n, n)))
            return lvt_error(diag, LVT_USER, NULL, here, "select: %s is only measured with fwt = yes",
                             m->name);
    }
    return LVT_OK;
}

static lvt_status check_row(const lvt_sweep *s, lvt_sweep_row *row, lvt_diag *diag) {
    lvt_pos here = {s->file, row->line, 0};
    row->candidates = 1;
    const lvt_sweep_setting *tried = NULL;
    for (int i = 0; i < row->n; i++) {
        const lvt_sweep_setting *o = row->settings[i];
        if (o->use != LVT_SWEEP_TRY)
            continue;
        if (o->values.n > 10000 / row->candidates)
            return lvt_error(diag, LVT_USER, NULL, (lvt_pos){s->file, o->line, o->col},
                             "more than 10000 combinations to try");
        row->candidates *= o->values.n;
        tried = o;
    }
    row->chosen = row->candidates > 1 ? -1 : 0;
    const lvt_sweep_setting *model = find(row, "model", false), *select = find(row, "select", false);
    if (!model)
        return lvt_error(diag, LVT_USER, NULL, here, "%s: model = FILE.lvt is missing", row->name);
    if (!find(row, "data", false) && !s->data) {
        lvt_error(diag, LVT_USER, NULL, here, "%s: data = KIND:DIR is missing", row->name);
        lvt_note(diag, LVT_NOWHERE, "it can also be given as --data KIND:DIR");
        return LVT_USER;
    }
    if (row->candidates > 1 && !find(row, "validation", true))
        return lvt_error(diag, LVT_USER, NULL, (lvt_pos){s->file, tried->line, tried->col},
                         "a search needs images to choose by: validation = 10%%");
    for (int i = 0; select && i < select->values.n; i++) {
        const char *v = select->values.list[i];
        bool known = false;
        for (int k = 0; k < 2; k++) {
            if (!strcmp(v, lvt_matrix_names[k])) {
                row->scenario = k;
                known = true;
            }
        }
        for (int k = 0; k < LVT_N_METRICS; k++) {
            if (!strcmp(v, lvt_metrics[k].name)) {
                row->metric = k;
                known = true;
            }
        }
        if (!known)
            return lvt_error(
                diag, LVT_USER, NULL, (lvt_pos){s->file, select->line, select->col},
                "select: \"%s\" is neither class_il or task_il nor a metric (acc, forgetting, ...)", v);
    }
    return select && row->candidates > 1 ? check_select(s, row, select, diag) : LVT_OK;
}

/* One row for each combination of `for` values of a section (-1: there are no sections). */
static lvt_status add_rows(lvt_sweep *s, int section, lvt_diag *diag) {
    lvt_sweep_row base = {.line = section < 0 ? 1 : s->section_lines[section]};
    lvt_status status = collect(s, section, &base, diag);
    int n = 1;
    for (int i = 0; i < base.n && status == LVT_OK; i++) {
        const lvt_sweep_setting *o = base.settings[i];
        if (o->use != LVT_SWEEP_FOR)
            continue;
        if (o->values.n > 10000 / n)
            status =
                lvt_error(diag, LVT_USER, NULL, (lvt_pos){s->file, o->line, o->col}, "more than 10000 rows");
        else
            n *= o->values.n;
    }
    for (int k = 0; k < n && status == LVT_OK; k++) {
        lvt_sweep_row *more = realloc(s->rows, ((size_t)s->n_rows + 1) * sizeof *more), row = base;
        if (!more)
            return lvt_no_memory(diag, NULL);
        s->rows = more;
        /* The last `for` varies fastest. */
        const char *name = NULL;
        for (int i = base.n - 1, rest = k; i >= 0; i--) {
            if (base.settings[i]->use == LVT_SWEEP_FOR) {
                row.value[i] = rest % base.settings[i]->values.n;
                rest /= base.settings[i]->values.n;
            }
        }
        name = section < 0 ? "" : s->sections.list[section];
        for (int i = 0; i < base.n && name; i++) {
            const lvt_sweep_setting *o = base.settings[i];
            if (o->use == LVT_SWEEP_FOR) {
                const char *v = o->values.list[row.value[i]], *word = o->name ? o->name : o->key;
                bool bare = !strcmp(word, "method") || !strcmp(word, "model");
                /* ../resnet18.lvt is called resnet18: what is left is still a name of its own. */
                size_t end = strlen(v), skip = 0;
                if (!strcmp(word, "model")) {
                    skip = strncmp(v, "../", 3) ? 0 : 3;
                    end -= end > 4 + skip && !strcmp(v + end - 4, ".lvt") ? 4 : 0;
                }
                name = lvt_texts_add(&s->texts, "%s%s%s%s%.*s", name, *name ? ", " : "", bare ? "" : word,
                                     bare ? "" : " ", (int)(end - skip), v + skip);
            }
        }
        if (!name)
            return lvt_no_memory(diag, NULL);
        row.name = *name ? name : "run";
        s->rows[s->n_rows++] = row;
        status = check_row(s, &s->rows[s->n_rows - 1], diag);
    }
    return status;
}

/* ---- runs ---------------------------------------------------------------------------------------------- */

static lvt_status too_many(const lvt_sweep *s, const lvt_sweep_setting *seeds, uint32_t line,
                           lvt_diag *diag) {
    return lvt_error(diag, LVT_USER, NULL, (lvt_pos){s->file, line, seeds ? seeds->col : 0},
                     "more than %d runs: combinations times seeds of all rows", LVT_SWEEP_MAX_RUNS);
}

/* "1 2 5..9" */
static lvt_status read_seeds(const lvt_sweep *s, const lvt_sweep_setting *o, uint64_t **out, int *n,
                             lvt_diag *diag) {
    *out = NULL;
    *n = 0;
    if (!o) {
        *n = 1;
        return (*out = calloc(1, sizeof **out)) ? (**out = 1, LVT_OK) : lvt_no_memory(diag, NULL);
    }
    for (int i = 0; i < o->values.n; i++) {
        const char *text = o->values.list[i];
        char *end;
        errno = 0;
        uint64_t first = strtoull(text, &end, 10), last = first;
        if (!strncmp(end, "..", 2) && lvt_is_digit(end[2]))
            last = strtoull(end + 2, &end, 10);
        if (!lvt_is_digit(*text) || *end || errno || last < first || last - first >= 1000)
            return lvt_error(diag, LVT_USER, NULL, (lvt_pos){s->file, o->line, o->col},
                             "%s: \"%s\" is neither a seed nor a range such as 1..5", o->key, text);
        int many = (int)(last - first) + 1;
        if (*n + many > LVT_SWEEP_MAX_RUNS)
            return too_many(s, o, o->line, diag);
        uint64_t *more = realloc(*out, (size_t)(*n + many) * sizeof *more);
        if (!more)
            return lvt_no_memory(diag, NULL);
        *out = more;
        for (int k = 0; k < many; k++) /* counted: a range may end at the greatest number there is */
            more[(*n)++] = first + (uint64_t)k;
    }
    return LVT_OK;
}

static lvt_status add_run(lvt_sweep *s, lvt_sweep_run run, lvt_diag *diag) {
    lvt_sweep_run *more = lvt_grow(s->runs, (size_t)s->n_runs, sizeof *more);
    if (!more)
        return lvt_no_memory(diag, NULL);
    s->runs = more;
    const lvt_sweep_row *r = &s->rows[run.row];
    char *tried = run.search ? lvt_sweep_candidate(r, run.candidate) : NULL;
    if (run.search && !tried)
        return lvt_no_memory(diag, NULL);
    char *name = (char *)lvt_texts_add(&s->texts, "%s%s%s,seed=%llu", r->name, tried ? "," : "",
                                       tried ? tried : "", (unsigned long long)run.seed);
    free(tried);
    if (!name)
        return lvt_no_memory(diag, NULL);
    lvt_sweep_tidy(name);
    run.name = name;
    s->runs[s->n_runs++] = run;
    s->n_search += run.search;
    return LVT_OK;
}

static lvt_status add_runs(lvt_sweep *s, bool search, lvt_diag *diag) {
    lvt_status status = LVT_OK;
    for (int k = 0; k < s->n_rows && status == LVT_OK; k++) {
        const lvt_sweep_row *r = &s->rows[k];
        if (search && r->candidates == 1)
            continue;
        const lvt_sweep_setting *seeds = find(r, search ? "search-seeds" : "seeds", false);
        uint64_t *list;
        int n, candidates = search ? r->candidates : 1;
        status = read_seeds(s, seeds, &list, &n, diag);
        if (status == LVT_OK && (uint64_t)s->n_runs + (uint64_t)n * (uint64_t)candidates > LVT_SWEEP_MAX_RUNS)
            status = too_many(s, seeds, seeds ? seeds->line : r->line, diag);
        for (int c = 0; c < candidates; c++) {
            for (int i = 0; i < n && status == LVT_OK; i++) {
                int candidate = search ? c : r->candidates > 1 ? -1 : 0;
                status = add_run(s, (lvt_sweep_run){k, candidate, search, list[i], NULL}, diag);
            }
        }
        free(list);
    }
    return status;
}

static int by_name(const void *a, const void *b) {
    const lvt_sweep_run *x = *(lvt_sweep_run *const *)a, *y = *(lvt_sweep_run *const *)b;
    int order = x->search - y->search;
    order = order ? order : strcmp(x->name, y->name);
    return order ? order : x < y ? -1 : x > y; /* as they stand in the list, so that messages stay the same */
}

/* Names are what runs are found again by. */
static lvt_status check_names(const lvt_sweep *s, lvt_diag *diag) {
    lvt_status status = LVT_OK;
    const lvt_sweep_run **sorted = malloc(((size_t)s->n_runs + 1) * sizeof *sorted);
    if (!sorted)
        return lvt_no_memory(diag, NULL);
    for (int i = 0; i < s->n_runs; i++)
        sorted[i] = &s->runs[i];
    qsort(sorted, (size_t)s->n_runs, sizeof *sorted, by_name);
    for (int i = 1; i < s->n_runs && status == LVT_OK; i++) {
        if (sorted[i]->search == sorted[i - 1]->search && !strcmp(sorted[i]->name, sorted[i - 1]->name))
            status = lvt_error(diag, LVT_USER, NULL, (lvt_pos){s->file, s->rows[sorted[i]->row].line, 0},
                               "two runs would have the same name, %s", sorted[i]->name);
    }
    free(sorted);
    return status;
}

lvt_status lvt_sweep_read(lvt_sweep *s, const char *path, const char *data, const lvt_sweep_checker *checker,
                          lvt_diag *diag) {
    *s = (lvt_sweep){.file = path, .data = data};
    uint8_t *bytes;
    size_t size;
    lvt_status status = lvt_file_read(path, &bytes, &size, diag);
    if (status != LVT_OK)
        return status;
    lvt_diag_source(diag, path, (char *)bytes, size);
    const char *slash = strrchr(path, '/');
    s->folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup("");
    if (!s->folder)
        status = lvt_no_memory(diag, NULL);
    reading r = {s, checker, diag, 0, NULL};
    for (char *rest = (char *)bytes, *line; status == LVT_OK && (line = strsep(&rest, "\n"));) {
        r.line++;
        r.start = line;
        for (size_t n = strlen(line); n && lvt_is_blank(line[n - 1]); n--)
            line[n - 1] = 0;
        const char *p = line + strspn(line, " \t");
        if (*p && *p != '#')
            status = *p == '[' ? read_section(&r, p) : read_setting(&r, p);
    }
    free(bytes);
    if (status != LVT_OK)
        return status;
    for (int i = s->sections.n ? 0 : -1; i < s->sections.n; i++)
        LVT_TRY(add_rows(s, i, diag));
    LVT_TRY(add_runs(s, true, diag));
    LVT_TRY(add_runs(s, false, diag));
    return check_names(s, diag);
}

void lvt_sweep_free(lvt_sweep *s) {
    for (int i = 0; i < s->n_settings; i++)
        lvt_texts_free(&s->settings[i].values);
    free(s->settings);
    free(s->section_lines);
    free(s->folder);
    free(s->rows);
    free(s->runs);
    lvt_texts_free(&s->sections);
    lvt_texts_free(&s->texts);
    *s = (lvt_sweep){0};
}
