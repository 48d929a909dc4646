/* Values of states from files. May not know: sessions. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* asprintf */
#endif
#include "weights.h"
#include "ir/base/file.h"
#include "ir/interp.h"
#include "file.h"
#include "ir/base/c_locale.h"
#include "ir/finite.h"
#include "weight_map.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static lvt_status no_memory(lvt_diag *diag, const char *path) {
    return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "%s: out of memory", path);
}

/* Values that are no numbers would be trained on without a word. `path`: where they were read. */
static lvt_status sound(const lvt_state *s, const void *values, bool infinite, const char *path,
                        lvt_diag *diag) {
    lvt_dtype dtype = (lvt_dtype)s->type.dtype;
    int64_t at = lvt_first_unsound(dtype, values, lvt_numel(&s->type), infinite);
    return at < 0 ? LVT_OK
                  : lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: element %lld of %lld of %s is %s", path,
                              (long long)at, (long long)lvt_numel(&s->type), s->name,
                              lvt_unsound_name(dtype, values, at));
}

/* ---- beside a program ---- */

lvt_init lvt_weights_init(const void *packed, size_t bytes) {
    uint64_t hash = lvt_fnv(LVT_FNV_START, packed, bytes);
    return (lvt_init){LVT_INIT_FILE, (double)(hash & UINT32_MAX), (double)(hash >> 32)};
}

enum { HASH_DIGITS = 16 };
static const char TAIL[] = ".safetensors";

/* What belongs together lies together: beside the file that a link leads to. */
static char *behind_link(const char *program) {
    struct stat st;
    char *real = lstat(program, &st) == 0 && S_ISLNK(st.st_mode) ? realpath(program, NULL) : NULL;
    return real ? real : strdup(program);
}

char *lvt_weights_path(const lvt_module *m, const char *program) {
    uint64_t hash = LVT_FNV_START;
    for (uint32_t i = 0; i < m->n_states; i++) {
        const lvt_state *s = &m->states[i];
        const double ends[] = {s->init.a, s->init.b};
        if (s->init.kind != LVT_INIT_FILE)
            continue;
        hash = lvt_fnv(hash, s->name, strlen(s->name) + 1);
        hash = lvt_fnv(hash, ends, sizeof ends);
    }
    char *place = behind_link(program), *path = NULL;
    if (!place || asprintf(&path, "%s.%016" PRIx64 "%s", place, hash, TAIL) < 0)
        path = NULL;
    free(place);
    return path;
}

/* Is `name` that of values of the program file `program`? */
static bool is_values_of(const char *name, const char *program) {
    size_t n = strlen(program);
    return !strncmp(name, program, n) && name[n] == '.' &&
           strspn(name + n + 1, "0123456789abcdef") == HASH_DIGITS &&
           !strcmp(name + n + 1 + HASH_DIGITS, TAIL);
}

/* Opens the folder of a program and waits until no other lvt publishes in it; *base: the program's name in
 * it. -1: it cannot be opened, or locked (not every file system can). */
static int lock_folder(char *path, const char **base) {
    char *slash = strrchr(path, '/');
    *base = slash ? slash + 1 : path;
    char *folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    free(folder);
    while (fd >= 0 && flock(fd, LOCK_EX) != 0) {
        if (errno == EINTR)
            continue;
        close(fd);
        fd = -1;
    }
    return fd;
}

/* Values of programs that this one took the place of. The lock is held, and nobody needs them: a program
 * names its values by their hash, and there is one program of that name. */
static void remove_others(int folder, const char *base, const char *kept) {
    const char *slash = strrchr(kept, '/');
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d && fd >= 0)
        close(fd);
    for (struct dirent *e; d && (e = readdir(d));)
        if (is_values_of(e->d_name, base) && strcmp(e->d_name, slash ? slash + 1 : kept))
            unlinkat(folder, e->d_name, 0);
    if (d)
        closedir(d);
}

static const char OURS[] = "{\"format\":\"lvt initial values\"}";

/* A file of somebody else is not written over. */
static lvt_status may_write(const char *path, lvt_diag *diag) {
    lvt_safetensors old = {0};
    if (!lvt_path_exists(path))
        return LVT_OK;
    bool ours =
        lvt_safetensors_read(path, &old, NULL) == LVT_OK && old.metadata && !strcmp(old.metadata, OURS);
    lvt_safetensors_free(&old);
    if (ours)
        return LVT_OK;
    lvt_status status = lvt_error(
        diag, LVT_USER, NULL, LVT_NOWHERE,
        "%s is there and was not written by lvtc: it is not replaced by the program's values", path);
    lvt_note(diag, LVT_NOWHERE, "choose another name for the program with -o");
    return status;
}

lvt_status lvt_weights_write(const lvt_module *m, const char *program, lvt_diag *diag) {
    lvt_stored_tensor *list = calloc((size_t)m->n_states + 1, sizeof *list);
    char *path = lvt_weights_path(m, program);
    size_t n = 0;
    lvt_status status = list && path ? LVT_OK : no_memory(diag, program);
    for (uint32_t i = 0; i < m->n_states && status == LVT_OK; i++) {
        const lvt_state *s = &m->states[i];
        if (s->init.kind != LVT_INIT_FILE)
            continue;
        if (s->values)
            list[n++] = (lvt_stored_tensor){s->name, s->type, s->values};
        else
            status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                               "the values of %s are not here to be written", s->name);
    }
    if (status == LVT_OK && n)
        status = may_write(path, diag);
    if (status == LVT_OK && n)
        status = lvt_safetensors_write(NULL, path, OURS, list, n, diag);
    free(path);
    free(list);
    return status;
}

/* A pipe or a device has nothing beside it. */
static bool is_device(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

lvt_status lvt_program_publish(lvt_compiled *p, const char *path, lvt_diag *diag) {
    if (is_device(path))
        return lvt_program_write(p, path, diag);
    char *place = behind_link(path), *values = place ? lvt_weights_path(p->module, place) : NULL;
    const char *base;
    int folder = values ? lock_folder(place, &base) : -1;
    lvt_status status = values ? lvt_weights_write(p->module, place, diag) : no_memory(diag, path);
    if (status == LVT_OK)
        status = lvt_program_write(p, path, diag);
    if (status == LVT_OK && folder >= 0)
        remove_others(folder, base, values);
    if (folder >= 0)
        close(folder);
    free(values);
    free(place);
    return status;
}

lvt_status lvt_program_move(const lvt_module *m, const char *from, const char *to, lvt_diag *diag) {
    char *place = behind_link(to), *values = place ? lvt_weights_path(m, place) : NULL,
         *before = lvt_weights_path(m, from);
    const char *base;
    int folder = values && before ? lock_folder(place, &base) : -1;
    lvt_status status = values && before ? LVT_OK : no_memory(diag, to);
    if (status == LVT_OK && ((rename(before, values) != 0 && errno != ENOENT) || rename(from, place) != 0))
        status = lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: cannot be written: %s", to, strerror(errno));
    if (status == LVT_OK && folder >= 0)
        remove_others(folder, base, values);
    if (folder >= 0)
        close(folder);
    free(place);
    free(values);
    free(before);
    return status;
}

void lvt_program_remove(const lvt_module *m, const char *path) {
    char *values = m ? lvt_weights_path(m, path) : NULL;
    unlink(path);
    if (values)
        unlink(values);
    free(values);
}

static bool same_init(lvt_init a, lvt_init b) {
    return a.kind == b.kind && a.a == b.a && a.b == b.b;
}

lvt_status lvt_weights_read(lvt_module *m, const char *program, lvt_diag *diag) {
    uint32_t wanted = 0, wrong = 0, first = 0;
    for (uint32_t i = 0; i < m->n_states; i++)
        wanted += m->states[i].init.kind == LVT_INIT_FILE && !m->states[i].values;
    if (!wanted)
        return LVT_OK;
    char *path = lvt_weights_path(m, program);
    lvt_safetensors file = {0};
    const void **values = calloc((size_t)m->n_states + 1, sizeof *values);
    lvt_status status = path && values ? LVT_OK : no_memory(diag, program);
    if (status == LVT_OK && !lvt_path_exists(path)) {
        status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                           "%s: the initial values of %u of its states should be in %s, which is not there",
                           program, wanted, path);
        lvt_note(diag, LVT_NOWHERE, "lvtc writes both files; they belong together");
    }
    if (status == LVT_OK)
        status = lvt_safetensors_read(path, &file, diag);
    for (uint32_t i = 0; i < m->n_states && status == LVT_OK; i++) {
        const lvt_state *s = &m->states[i];
        if (s->init.kind != LVT_INIT_FILE || s->values)
            continue;
        size_t bytes = lvt_type_bytes(&s->type);
        const lvt_stored_tensor *t = lvt_safetensors_find(&file, s->name);
        if (!t || !lvt_type_equal(&t->type, &s->type) ||
            !same_init(lvt_weights_init(t->data, bytes), s->init)) {
            first = wrong++ ? first : i;
            continue;
        }
        void *copy = lvt_module_values(m, bytes);
        if (copy)
            values[i] = memcpy(copy, t->data, bytes);
        status = copy ? sound(s, t->data, true, path, diag) : no_memory(diag, path);
    }
    if (status == LVT_OK && wrong) {
        status = lvt_error(
            diag, LVT_USER, NULL, LVT_NOWHERE,
            "%s does not hold the values that %s was compiled with (%u of %u differ, the first is %s)", path,
            program, wrong, wanted, m->states[first].name);
        lvt_note(diag, LVT_NOWHERE, "compile the program again, or start from other values with --weights");
    }
    for (uint32_t i = 0; i < m->n_states && status == LVT_OK; i++)
        if (values[i])
            m->states[i].values = values[i];
    lvt_safetensors_free(&file);
    free(values);
    free(path);
    return status;
}

/* ---- from any file ---- */

enum { LISTED = 10, KINDS = 12 };

typedef struct loading {
    lvt_module *m;
    const char *path, *map_path;
    lvt_safetensors file;
    lvt_weight_map map;
    const void **values; /* one a state: what it gets */
    bool *kept, *placed; /* states; tensors */
    struct {
        const char *name;
        size_t n;
    } below[KINDS]; /* left out by themselves: what stood below parameters, by the last part of the name */
    size_t n_kinds, n_below;
    lvt_arena *arena;
    lvt_diag *diag;
    lvt_status status;
} loading;

__attribute__((format(printf, 3, 4))) static void wrong(loading *l, const lvt_map_line *line,
                                                        const char *format, ...) {
    lvt_pos at = l->map_path ? (lvt_pos){l->map_path, line->line, 0} : LVT_NOWHERE;
    char text[4096];
    va_list args;
    va_start(args, format);
    lvt_vsnprintf(text, sizeof text, format, args);
    va_end(args);
    l->status = lvt_error(l->diag, LVT_USER, NULL, at, "%s%s%s", l->map_path ? "" : l->path,
                          l->map_path ? "" : ": ", text);
}

/* The tensor's elements in the state's type; NULL: out of memory. */
static const void *as_type(loading *l, const lvt_stored_tensor *t, const lvt_type *want) {
    void *packed = lvt_module_values(l->m, lvt_type_bytes(want) + 1);
    if (!packed || t->type.dtype == want->dtype)
        return packed ? memcpy(packed, t->data, lvt_type_bytes(want)) : NULL;
    lvt_tensor x = {t->type, malloc((size_t)lvt_numel(want) * sizeof(double) + 1)};
    if (!x.data)
        return NULL;
    lvt_tensor_load(&x, t->data);
    x.type.dtype = want->dtype;
    lvt_tensor_store(&x, packed);
    free(x.data);
    return packed;
}

static void place(loading *l, const lvt_map_line *line, const lvt_stored_tensor *t, const char *to) {
    uint32_t s = lvt_module_find_state(l->m, to);
    char have[LVT_TYPE_TEXT], want[LVT_TYPE_TEXT];
    const char *why;
    if (s == LVT_NONE) {
        const char **names = lvt_arena_alloc(l->arena, ((size_t)l->m->n_states + 1) * sizeof *names);
        for (uint32_t i = 0; names && i < l->m->n_states; i++)
            names[i] = l->m->states[i].name;
        wrong(l, line, "%s: the model has no state %s", t->name, to);
        const char *near = names ? lvt_nearest(to, names, l->m->n_states) : NULL;
        if (near)
            lvt_note(l->diag, LVT_NOWHERE, "did you mean %s?", near);
        return;
    }
    const lvt_state *state = &l->m->states[s];
    if (l->values[s]) {
        wrong(l, line, "%s: %s has got its value already", t->name, to);
        return;
    }
    const lvt_stored_tensor *c = lvt_weight_map_convert(line, t, &state->type, l->arena, &why);
    lvt_type_text(&state->type, want);
    if (!c) {
        wrong(l, line, "%s (%s): %s", t->name, lvt_type_text(&t->type, have), why);
    } else if (!lvt_shape_equal(&c->type, &state->type) ||
               (c->type.dtype != state->type.dtype && !(lvt_dtype_is_float((lvt_dtype)c->type.dtype) &&
                                                        lvt_dtype_is_float((lvt_dtype)state->type.dtype)))) {
        wrong(l, line, "%s: state %s is %s, the file has %s", t->name, to, want,
              lvt_type_text(&c->type, have));
    } else if (!(l->values[s] = as_type(l, c, &state->type))) {
        l->status = no_memory(l->diag, l->path);
    }
}

/* What nobody wants from these files. */
static bool for_themselves(const char *name) {
    size_t n = strlen(name), m = strlen("num_batches_tracked");
    return !strncmp(name, "lvt:", 4) || (n >= m && !strcmp(name + n - m, "num_batches_tracked"));
}

/* Optimisers and methods keep what they know of a parameter below it, `PARAMETER.velocity`; a model with
 * another optimiser or method has no use for it. */
static bool below_parameter(loading *l, const char *name) {
    const char *kind = strrchr(name, '.');
    char *above = kind ? lvt_arena_strndup(l->arena, name, (size_t)(kind - name)) : NULL;
    uint32_t s = above ? lvt_module_find_state(l->m, above) : LVT_NONE;
    if (s == LVT_NONE || !l->m->states[s].trainable)
        return false;
    size_t k = 0;
    while (k < l->n_kinds && strcmp(l->below[k].name, kind + 1))
        k++;
    if (k == l->n_kinds && k < KINDS)
        l->below[l->n_kinds++].name = kind + 1;
    if (k < KINDS)
        l->below[k].n++;
    l->n_below++;
    return true;
}

static void say_what_is_left_out(loading *l) {
    if (!l->n_below)
        return;
    lvt_warning(l->diag, NULL, LVT_NOWHERE,
                "%s: %zu tensor%s below parameters left out: the model keeps nothing of the name there",
                l->path, l->n_below, l->n_below == 1 ? "" : "s");
    for (size_t k = 0; k < l->n_kinds; k++)
        lvt_note(l->diag, LVT_NOWHERE, "%zu named %s", l->below[k].n, l->below[k].name);
}

/* `* = *`, which is also what no map means: what has no state there is no mistake of the line. */
static bool keeps_names(const lvt_map_line *line) {
    return !strcmp(line->from, "*") && !strcmp(line->to, "*");
}

static void place_all(loading *l) {
    char to[LVT_MAP_NAME];
    for (size_t i = 0; i < l->file.n; i++) {
        const lvt_stored_tensor *t = &l->file.tensors[i];
        const char *from = NULL;
        for (size_t k = 0; k < l->map.n && l->status != LVT_NOMEM; k++) {
            lvt_map_line *line = &l->map.lines[k];
            if (!strcmp(line->from, "-") || (from && strcmp(from, line->from)) ||
                !lvt_weight_map_fits(line->from, t->name, strcmp(line->to, "-") ? line->to : "", to) ||
                (for_themselves(t->name) && strchr(line->from, '*')))
                continue;
            from = line->from;
            line->used = true;
            l->placed[i] = true;
            if (keeps_names(line) && lvt_module_find_state(l->m, to) == LVT_NONE)
                l->placed[i] = below_parameter(l, t->name);
            else if (strcmp(line->to, "-"))
                place(l, line, t, to);
        }
        l->placed[i] |= for_themselves(t->name);
    }
    for (uint32_t s = 0; s < l->m->n_states; s++)
        for (size_t k = 0; k < l->map.n; k++) {
            lvt_map_line *line = &l->map.lines[k];
            if (!strcmp(line->from, "-") && lvt_weight_map_fits(line->to, l->m->states[s].name, "", to))
                line->used = l->kept[s] = true;
        }
}

/* The n-th of a list of names: the first few as notes, then how many more. */
static void list(loading *l, size_t n, size_t of, const char *name) {
    if (n < LISTED)
        lvt_note(l->diag, LVT_NOWHERE, "%s", name);
    else if (n == LISTED)
        lvt_note(l->diag, LVT_NOWHERE, "and %zu more", of - n);
}

/* What has no place and what has no value. */
static void complain(loading *l) {
    const char *map = l->map_path ? "the map" : "a map (--map FILE)";
    size_t n = 0, equal = 0;
    for (size_t k = 0; k < l->map.n; k++)
        if (!l->map.lines[k].used && l->map_path)
            wrong(l, &l->map.lines[k], "nothing fits `%s = %s`", l->map.lines[k].from, l->map.lines[k].to);
    for (size_t i = 0; i < l->file.n; i++) {
        uint32_t s = l->placed[i] ? LVT_NONE : lvt_module_find_state(l->m, l->file.tensors[i].name);
        n += !l->placed[i];
        equal += s != LVT_NONE && !l->values[s] && !l->kept[s];
    }
    if (n) {
        l->status = lvt_error(l->diag, LVT_USER, NULL, LVT_NOWHERE, "%s: %zu tensor%s no place in the model",
                              l->path, n, n == 1 ? " has" : "s have");
        for (size_t i = 0, k = 0; i < l->file.n; i++)
            if (!l->placed[i])
                list(l, k++, n, l->file.tensors[i].name);
        if (equal)
            lvt_note(l->diag, LVT_NOWHERE,
                     "%zu %s the name of a state without a value; `* = *` as the map's last line keeps names",
                     equal, equal == 1 ? "has" : "have");
        lvt_note(
            l->diag, LVT_NOWHERE,
            "a line `NAME = STATE` of %s says which state takes a tensor, `NAME = -` that it is not wanted",
            map);
    }
    bool *needed = lvt_arena_alloc(l->arena, (size_t)l->m->n_states + 1);
    const lvt_graph *predict = lvt_module_find_entry(l->m, "predict");
    for (uint32_t i = 0; needed && predict && i < predict->n_nodes; i++)
        if (predict->nodes[i].op == LVT_OP_state)
            needed[lvt_attr_get(&predict->nodes[i], "index")->i] = true;
    n = 0;
    for (uint32_t s = 0; needed && s < l->m->n_states; s++) {
        needed[s] = (needed[s] || l->m->states[s].trainable) && !l->kept[s] && !l->values[s];
        n += needed[s];
    }
    if (!needed)
        l->status = no_memory(l->diag, l->path);
    if (!n)
        return;
    l->status = lvt_error(l->diag, LVT_USER, NULL, LVT_NOWHERE, "%s: %zu state%s of the model get%s no value",
                          l->path, n, n == 1 ? "" : "s", n == 1 ? "s" : "");
    for (uint32_t s = 0, k = 0; s < l->m->n_states; s++)
        if (needed[s])
            list(l, k++, n, l->m->states[s].name);
    lvt_note(l->diag, LVT_NOWHERE, "a line `- = NAME` of %s says that a state keeps its initial value", map);
    if (!l->map_path)
        lvt_note(l->diag, LVT_NOWHERE, "its last line may be `* = *`, which keeps all other names");
}

lvt_status lvt_weights_load(lvt_module *m, const char *path, const char *map, lvt_diag *diag) {
    lvt_map_line same = {.from = "*", .to = "*"};
    loading l = {.m = m, .path = path, .map_path = map, .diag = diag, .arena = lvt_arena_new()};
    l.values = l.arena ? lvt_arena_alloc(l.arena, ((size_t)m->n_states + 1) * sizeof *l.values) : NULL;
    l.kept = l.values ? lvt_arena_alloc(l.arena, (size_t)m->n_states + 1) : NULL;
    l.status = l.kept ? lvt_safetensors_read_any(path, &l.file, diag) : no_memory(diag, path);
    if (l.status == LVT_OK && !(l.placed = lvt_arena_alloc(l.arena, l.file.n + 1)))
        l.status = no_memory(diag, path);
    if (l.status == LVT_OK && map)
        l.status = lvt_weight_map_read(map, l.arena, &l.map, diag);
    else
        l.map = (lvt_weight_map){.lines = &same, .n = 1};
    if (l.status == LVT_OK) {
        place_all(&l);
        complain(&l);
        if (l.status == LVT_OK)
            say_what_is_left_out(&l);
    }
    for (uint32_t s = 0; s < m->n_states && l.status == LVT_OK; s++)
        if (l.values[s])
            l.status =
                sound(&m->states[s], l.values[s], lvt_state_begins_infinite(&m->states[s]), path, diag);
    for (uint32_t s = 0; s < m->n_states && l.status == LVT_OK; s++)
        if (l.values[s])
            m->states[s].values = l.values[s];
    lvt_safetensors_free(&l.file);
    lvt_arena_free(l.arena);
    return l.status;
}
