/* Checkpoints as safetensors. May not know: command lines. */
#include "checkpoint.h"
#include "ir/base/file.h"
#include "ir/finite.h"
#include "ir/program/json.h"
#include "ir/base/utf8.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { VERSION = 1, N_OWN = 24 };

/* ---- what belongs to the run, beside the model's states ------------------------------------------------ */

/* One table for both directions. n: elements that go into the file; the buffer has room for `room`. */
typedef struct own_tensor {
    const char *name;
    lvt_dtype dtype;
    int64_t dims[4];
    void *data;
    bool later; /* checkpoints of before it was thought of lack it */
} own_tensor;

static int own_tensors(lvt_trainer *t, own_tensor out[N_OWN]) {
    lvt_memory *m = &t->memory;
    int64_t n = (int64_t)m->n, classes = m->classes, rows = t->tasks.n + 1, columns = t->tasks.n;
    const own_tensor always[] = {
        {"lvt:accuracy.class_il", LVT_F64, {rows, columns}, t->accuracy[LVT_CLASS_IL]},
        {"lvt:accuracy.task_il", LVT_F64, {rows, columns}, t->accuracy[LVT_TASK_IL]},
        {"lvt:losses", LVT_F64, {LVT_MAX_LOSSES}, t->sums},
        {"lvt:confusion", LVT_I32, {classes, classes}, t->last.confusion, true},
        {"lvt:calibration", LVT_F64, {LVT_CALIBRATION_BINS, 3}, t->last.bins, true},
    };
    const own_tensor validation[] = {
        {"lvt:accuracy.validation_class_il", LVT_F64, {rows, columns}, t->accuracy[LVT_VALIDATION_CLASS_IL]},
        {"lvt:accuracy.validation_task_il", LVT_F64, {rows, columns}, t->accuracy[LVT_VALIDATION_TASK_IL]},
    };
    const own_tensor teacher[] = {{"lvt:teacher.logits", LVT_F32, {t->teacher_rows, classes}, t->teacher}};
    const own_tensor best[] = {
        {"lvt:best.accuracy", LVT_F64, {1}, &t->best.accuracy},
        {"lvt:best.epoch", LVT_F64, {1}, &t->best.epoch},
        {"lvt:best.waited", LVT_F64, {1}, &t->best.waited},
        {"lvt:best.states", LVT_U8, {(int64_t)t->best.bytes}, t->best.states},
    };
    const own_tensor memory[] = {
        {"lvt:memory.images", LVT_U8, {n, t->data->height, t->data->width, t->data->channels}, m->images},
        {"lvt:memory.labels", LVT_I32, {n}, m->labels},
        {"lvt:memory.tasks", LVT_I32, {n}, m->tasks},
        {"lvt:memory.logits", LVT_F32, {n, classes}, m->logits},
        {"lvt:memory.scores", LVT_F32, {n}, m->scores},
    };
    const struct {
        const own_tensor *list;
        size_t n;
    } groups[] = {{always, sizeof always / sizeof *always},
                  {validation, t->held ? 2 : 0},
                  {teacher, t->teacher ? 1 : 0},
                  {best, t->best.epoch > 0 ? 4 : 0},
                  {memory, n ? sizeof memory / sizeof *memory : 0}}; /* an empty memory has no tensors */
    int count = 0;
    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
        memcpy(out + count, groups[g].list, groups[g].n * sizeof *out);
        count += (int)groups[g].n;
    }
    return count;
}

static lvt_type type_of(const own_tensor *o) {
    lvt_type t = {.dtype = (uint8_t)o->dtype};
    while (t.rank < 4 && o->dims[t.rank]) {
        t.dim[t.rank] = o->dims[t.rank];
        t.rank++;
    }
    return t;
}

/* ---- metadata ------------------------------------------------------------------------------------------ */

static void add_hex(cJSON *o, const char *name, uint64_t v) {
    char text[24];
    snprintf(text, sizeof text, "%016" PRIx64, v);
    cJSON_AddStringToObject(o, name, text);
}

static bool get_hex(const cJSON *o, const char *name, uint64_t *v) {
    const cJSON *j = cJSON_GetObjectItemCaseSensitive(o, name);
    char *end = NULL;
    *v = cJSON_IsString(j) ? strtoull(j->valuestring, &end, 16) : 0;
    return end && end != j->valuestring && !*end;
}

static bool get_count(const cJSON *o, const char *name, uint64_t *v) {
    const cJSON *j = cJSON_GetObjectItemCaseSensitive(o, name);
    bool ok = cJSON_IsNumber(j) && j->valuedouble >= 0 && j->valuedouble <= 9007199254740992.;
    *v = ok ? (uint64_t)j->valuedouble : 0;
    return ok;
}

static char *make_metadata(const lvt_trainer *t, bool boundary) {
    const lvt_compiled *p = lvt_program_compiled(t->model->program);
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "format", "lvt checkpoint");
    cJSON_AddNumberToObject(o, "version", VERSION);
    cJSON_AddStringToObject(o, "program", p->module->name);
    add_hex(o, "program_hash", p->hash);
    add_hex(o, "data_fingerprint", t->data->fingerprint);
    cJSON_AddNumberToObject(o, "task", t->at.task);
    cJSON_AddNumberToObject(o, "step", (double)t->at.step);
    cJSON_AddNumberToObject(o, "global_step", (double)t->at.global_step);
    cJSON_AddNumberToObject(o, "losses_summed", (double)t->summed);
    cJSON_AddNumberToObject(o, "memory_seen", (double)t->memory.seen);
    cJSON_AddNumberToObject(o, "team", lvt_session_threads(t->model->session));
    cJSON_AddItemToObject(o, "class_order", cJSON_CreateIntArray(t->tasks.order, t->tasks.classes));
    cJSON_AddBoolToObject(o, "domains", t->tasks.domains);
    cJSON_AddItemToObject(o, "task_starts", cJSON_CreateIntArray(t->tasks.first, t->tasks.n + 1));
    double statistics[2][LVT_MAX_CHANNELS];
    for (int c = 0; c < LVT_MAX_CHANNELS; c++) {
        statistics[0][c] = t->data->mean[c];
        statistics[1][c] = t->data->deviation[c];
    }
    cJSON_AddItemToObject(o, "mean", cJSON_CreateDoubleArray(statistics[0], LVT_MAX_CHANNELS));
    cJSON_AddItemToObject(o, "deviation", cJSON_CreateDoubleArray(statistics[1], LVT_MAX_CHANNELS));
    cJSON_AddItemToObject(
        o, "class_names",
        cJSON_CreateStringArray((const char *const *)t->data->class_names, t->data->classes));
    cJSON *known = boundary ? cJSON_AddObjectToObject(o, "known") : NULL;
    cJSON_AddStringToObject(known, "score", LVT_KNOWN_SCORE);
    cJSON_AddNumberToObject(known, "accepts", LVT_KNOWN_ACCEPT);
    cJSON_AddNumberToObject(known, "threshold", t->known.threshold); /* -inf becomes null */
    cJSON_AddNumberToObject(known, "images", t->known.images);
    cJSON_AddStringToObject(known, "of", t->held ? "validation" : "test");
    cJSON *settings = lvt_settings_to_json(t->settings);
    char *text = NULL;
    /* Everything above fails quietly when memory runs out: the last item's presence and the order's length
     * tell. */
    if (settings && cJSON_AddItemToObject(o, "settings", settings) &&
        cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(o, "task_starts")) == t->tasks.n + 1)
        text = lvt_json_text(o, false);
    cJSON_Delete(o);
    return text;
}

static lvt_status not_ours(const char *path, const char *what, lvt_diag *diag) {
    return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: not a checkpoint of lvt-run: %s", path, what);
}

static bool read_ints(const cJSON *array, int *out, int n, int low, int high) {
    if (!cJSON_IsArray(array) || cJSON_GetArraySize(array) != n)
        return false;
    const cJSON *j;
    cJSON_ArrayForEach(j, array) {
        if (!cJSON_IsNumber(j) || j->valuedouble < low || j->valuedouble > high)
            return false;
        *out++ = j->valueint;
    }
    return true;
}

static lvt_status read_tasks(const cJSON *o, const char *path, lvt_tasks *t, lvt_diag *diag) {
    const cJSON *order = cJSON_GetObjectItemCaseSensitive(o, "class_order");
    const cJSON *starts = cJSON_GetObjectItemCaseSensitive(o, "task_starts");
    t->classes = cJSON_GetArraySize(order);
    t->n = cJSON_GetArraySize(starts) - 1;
    t->domains = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "domains"));
    if (t->classes < 1 || t->n < 1 || (t->n > t->classes && !t->domains))
        return not_ours(path, "its tasks cannot be read", diag);
    t->order = calloc((size_t)t->classes, sizeof *t->order);
    t->first = calloc((size_t)t->n + 1, sizeof *t->first);
    t->task_of = malloc((size_t)t->classes * sizeof *t->task_of);
    if (!t->order || !t->first || !t->task_of)
        return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "%s: out of memory", path);
    bool ok = read_ints(order, t->order, t->classes, 0, t->classes - 1) &&
              read_ints(starts, t->first, t->n + 1, 0, t->classes) && t->first[0] == 0 &&
              t->first[t->n] == t->classes;
    for (int c = 0; c < t->classes; c++)
        t->task_of[c] = -1;
    for (int k = 0; k < t->n && ok; k++) {
        ok = t->domains ? t->first[k + 1] == t->classes : t->first[k] < t->first[k + 1];
        for (int i = t->first[k]; i < t->first[k + 1] && ok; i++) {
            ok = t->task_of[t->order[i]] == -1;
            t->task_of[t->order[i]] = k;
        }
    }
    return ok ? LVT_OK : not_ours(path, "its tasks contradict each other", diag);
}

static bool read_floats(const cJSON *array, float *out) {
    if (cJSON_GetArraySize(array) != LVT_MAX_CHANNELS)
        return false;
    const cJSON *j;
    cJSON_ArrayForEach(j, array) {
        if (!cJSON_IsNumber(j))
            return false;
        *out++ = (float)j->valuedouble;
    }
    return true;
}

static lvt_status read_classes(const cJSON *o, const char *path, lvt_checkpoint_info *out, lvt_diag *diag) {
    const cJSON *names = cJSON_GetObjectItemCaseSensitive(o, "class_names"), *j;
    if (cJSON_GetArraySize(names) != out->tasks.classes ||
        !read_floats(cJSON_GetObjectItemCaseSensitive(o, "mean"), out->mean) ||
        !read_floats(cJSON_GetObjectItemCaseSensitive(o, "deviation"), out->deviation))
        return not_ours(path, "its metadata is not complete", diag);
    out->class_names = calloc((size_t)out->tasks.classes, sizeof *out->class_names);
    int n = 0;
    cJSON_ArrayForEach(j, names) {
        if (!out->class_names || !(out->class_names[n++] = strdup(cJSON_IsString(j) ? j->valuestring : "?")))
            return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "%s: out of memory", path);
    }
    return LVT_OK;
}

static void read_known(const cJSON *o, lvt_checkpoint_info *out) {
    const cJSON *known = cJSON_GetObjectItemCaseSensitive(o, "known"),
                *score = cJSON_GetObjectItemCaseSensitive(known, "score"),
                *threshold = cJSON_GetObjectItemCaseSensitive(known, "threshold"),
                *of = cJSON_GetObjectItemCaseSensitive(known, "of");
    uint64_t images = 0;
    out->known = (lvt_known){NAN, 0};
    if (!cJSON_IsString(score) || strcmp(score->valuestring, LVT_KNOWN_SCORE) ||
        !get_count(known, "images", &images))
        return;
    out->known = (lvt_known){cJSON_IsNumber(threshold) ? threshold->valuedouble : -INFINITY, (double)images};
    out->known_held = cJSON_IsString(of) && !strcmp(of->valuestring, "validation");
}

static lvt_status read_info(const cJSON *o, const char *path, lvt_checkpoint_info *out, lvt_diag *diag) {
    const cJSON *format = cJSON_GetObjectItemCaseSensitive(o, "format");
    const cJSON *program = cJSON_GetObjectItemCaseSensitive(o, "program");
    uint64_t version, task;
    if (!cJSON_IsString(format) || strcmp(format->valuestring, "lvt checkpoint"))
        return not_ours(path, "it has no metadata of lvt", diag);
    if (get_count(o, "version", &version) && version > VERSION)
        return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                         "%s: written by a newer lvt (checkpoint version %llu, this is %d)", path,
                         (unsigned long long)version, VERSION);
    if (!cJSON_IsString(program) || !get_hex(o, "program_hash", &out->program_hash) ||
        !get_hex(o, "data_fingerprint", &out->fingerprint) || !get_count(o, "task", &task) ||
        !get_count(o, "step", &out->at.step) || !get_count(o, "global_step", &out->at.global_step))
        return not_ours(path, "its metadata is not complete", diag);
    snprintf(out->program, sizeof out->program, "%s", program->valuestring);
    lvt_status status = read_tasks(o, path, &out->tasks, diag);
    if (status == LVT_OK)
        status = read_classes(o, path, out, diag);
    read_known(o, out);
    if (status == LVT_OK && task > (uint64_t)out->tasks.n)
        status = not_ours(path, "its position is behind the last task", diag);
    out->at.task = status == LVT_OK ? (int)task : 0;
    return status;
}

void lvt_checkpoint_info_free(lvt_checkpoint_info *info) {
    for (int c = 0; info->class_names && c < info->tasks.classes; c++)
        free(info->class_names[c]);
    free(info->class_names);
    info->class_names = NULL;
    lvt_tasks_free(&info->tasks);
}

int lvt_checkpoint_learned(const lvt_checkpoint_info *info) {
    int learned = info->at.task + (info->at.step > 0);
    return learned < 1 ? 1 : learned > info->tasks.n ? info->tasks.n : learned;
}

void lvt_checkpoint_seen(const lvt_checkpoint_info *info, bool *seen) {
    for (int c = 0; c < info->tasks.classes; c++)
        seen[c] = info->tasks.task_of[c] < lvt_checkpoint_learned(info);
}

void lvt_checkpoint_compare_names(const lvt_checkpoint_info *info, const char *path, const lvt_dataset *d,
                                  lvt_diag *diag) {
    int differ = 0, first = 0, n = info->tasks.classes;
    for (int c = n; c-- > 0;) {
        if (n == d->classes && strcmp(d->class_names[c], info->class_names[c])) {
            differ++;
            first = c;
        }
    }
    if (n != d->classes)
        lvt_warning(diag, NULL, LVT_NOWHERE, "%s was trained on %d classes, the data have %d", path, n,
                    d->classes);
    else if (differ)
        lvt_warning(
            diag, NULL, LVT_NOWHERE,
            "class %d is \"%s\" in the data and was \"%s\" when %s was trained (%d of %d classes have "
            "other names): labels may mean other things",
            first, d->class_names[first], info->class_names[first], path, differ, n);
}

void lvt_checkpoint_augment(const lvt_checkpoint_info *info, const lvt_model *m, lvt_augment *out) {
    lvt_dataset d = {.height = m->height, .width = m->width, .channels = m->channels};
    memcpy(d.mean, info->mean, sizeof d.mean);
    memcpy(d.deviation, info->deviation, sizeof d.deviation);
    lvt_augment_init(out, &d);
}

lvt_status lvt_checkpoint_info_read(const lvt_safetensors *file, const char *path, lvt_checkpoint_info *out,
                                    lvt_diag *diag) {
    *out = (lvt_checkpoint_info){0};
    cJSON *o = file->metadata ? lvt_json_read(file->metadata, strlen(file->metadata)) : NULL;
    lvt_status status = o ? read_info(o, path, out, diag) : not_ours(path, "it has no metadata of lvt", diag);
    cJSON_Delete(o);
    if (status != LVT_OK)
        lvt_checkpoint_info_free(out);
    return status;
}

/* ---- saving -------------------------------------------------------------------------------------------- */

/* Times and energy go here: they differ between runs that are equal otherwise. */
static lvt_status record_times(lvt_trainer *t, lvt_diag *diag) {
    cJSON *r = cJSON_CreateObject();
    cJSON_AddStringToObject(r, "type", "checkpoint");
    cJSON_AddNumberToObject(r, "tasks_done", t->at.task);
    cJSON_AddNumberToObject(r, "steps_done", (double)t->at.step);
    cJSON_AddNumberToObject(r, "global_step", (double)t->at.global_step);
    cJSON_AddNumberToObject(r, "seconds", t->seconds);
    cJSON_AddNumberToObject(r, "energy_joules", t->energy.joules);
    cJSON_AddItemToObject(r, "seconds_of_tasks", cJSON_CreateDoubleArray(t->task_seconds, t->tasks.n));
    return lvt_trainer_record(t, r, diag);
}

bool lvt_checkpoint_find_record(lvt_trainer *t, const char *text, size_t n) {
    bool found = false;
    double seconds = t->seconds;
    uint64_t whole = 0;
    for (size_t at = 0; at < n;) {
        const char *end = memchr(text + at, '\n', n - at);
        size_t length = end ? (size_t)(end - text) - at : n - at;
        cJSON *o = end ? lvt_json_read(text + at, length) : NULL;
        at += length + 1;
        whole = o ? at : whole;
        uint64_t task, step, global;
        const cJSON *type = cJSON_GetObjectItemCaseSensitive(o, "type"),
                    *took = cJSON_GetObjectItemCaseSensitive(o, "seconds"),
                    *joules = cJSON_GetObjectItemCaseSensitive(o, "energy_joules"),
                    *list = cJSON_GetObjectItemCaseSensitive(o, "seconds_of_tasks");
        if (get_count(o, "global_step", &global) && global <= t->at.global_step && cJSON_IsNumber(took))
            seconds = took->valuedouble;
        if (cJSON_IsString(type) && !strcmp(type->valuestring, "checkpoint") &&
            get_count(o, "tasks_done", &task) && get_count(o, "steps_done", &step) &&
            task == (uint64_t)t->at.task && step == t->at.step && global == t->at.global_step) {
            found = true;
            t->metrics_bytes = at;
            t->energy.joules = cJSON_IsNumber(joules) ? joules->valuedouble : 0;
            t->seconds = seconds;
            for (int k = 0; k < t->tasks.n && k < cJSON_GetArraySize(list); k++)
                t->task_seconds[k] = cJSON_GetArrayItem(list, k)->valuedouble;
        }
        cJSON_Delete(o);
    }
    if (!found) {
        t->metrics_bytes = whole;
        t->seconds = seconds;
    }
    return found;
}

lvt_status lvt_checkpoint_save(lvt_trainer *t, bool boundary, lvt_diag *diag) {
    lvt_status status = lvt_trainer_sound(t, diag);
    if (status != LVT_OK || t->follower)
        return status;
    status = record_times(t, diag);
    if (status != LVT_OK)
        return status;
    const lvt_module *module = lvt_model_module(t->model);
    lvt_stored_tensor *tensors = calloc((size_t)module->n_states + N_OWN, sizeof *tensors);
    char *metadata = make_metadata(t, boundary), name[48] = "last.safetensors";
    if (boundary)
        snprintf(name, sizeof name, "task-%02d.safetensors", t->at.task);
    /* The records that the checkpoint counts must be on the disk before it is. */
    if (t->metrics && fsync(fileno(t->metrics)) != 0 && errno != EINVAL && errno != ENOTSUP)
        status = lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s/metrics.jsonl: cannot be written: %s",
                           t->folder->path, strerror(errno));
    if (status == LVT_OK && tensors && metadata) {
        size_t n = 0;
        for (uint32_t s = 0; s < module->n_states; s++)
            tensors[n++] = (lvt_stored_tensor){module->states[s].name, module->states[s].type,
                                               lvt_session_state(t->model->session, s)};
        own_tensor own[N_OWN];
        int m = own_tensors(t, own);
        for (int i = 0; i < m; i++)
            tensors[n++] = (lvt_stored_tensor){own[i].name, type_of(&own[i]), own[i].data};
        status = lvt_safetensors_write(t->folder, name, metadata, tensors, n, diag);
        if (status == LVT_IO)
            lvt_note(diag, LVT_NOWHERE,
                     "the checkpoints written before are whole; free some space, then go on with --resume");
    } else if (status == LVT_OK) {
        status = lvt_no_memory(diag, "writing a checkpoint");
    }
    free(metadata);
    free(tensors);
    return status;
}

/* ---- loading ------------------------------------------------------------------------------------------- */

lvt_status lvt_checkpoint_load_model(lvt_model *m, const lvt_safetensors *file,
                                     const lvt_checkpoint_info *info, const char *path, lvt_diag *diag) {
    const lvt_module *module = lvt_model_module(m);
    if (info->tasks.classes != m->classes)
        return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                         "%s is a checkpoint of another model: it has %d classes, the program %d", path,
                         info->tasks.classes, m->classes);
    for (uint32_t s = 0; s < module->n_states; s++) {
        const lvt_state *state = &module->states[s];
        const lvt_stored_tensor *t = lvt_safetensors_find(file, state->name);
        char have[LVT_TYPE_TEXT], want[LVT_TYPE_TEXT];
        if (!t || !lvt_type_equal(&t->type, &state->type)) {
            lvt_status status =
                strcmp(info->program, module->name)
                    ? lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                                "%s is a checkpoint of another model (\"%s\"; the program is \"%s\")", path,
                                info->program, module->name)
                    : lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                                "%s is a checkpoint of \"%s\" compiled with other settings (`lvtc --set`)",
                                path, module->name);
            lvt_note(diag, LVT_NOWHERE, "%s: the program has %s, the checkpoint %s", state->name,
                     lvt_type_text(&state->type, want), t ? lvt_type_text(&t->type, have) : "no such tensor");
            return status;
        }
    }
    for (uint32_t s = 0; s < module->n_states; s++)
        memcpy(lvt_session_state(m->session, s), lvt_safetensors_find(file, module->states[s].name)->data,
               lvt_type_bytes(&module->states[s].type));
    int64_t element, bad = lvt_session_unsound(m->session, &element);
    if (bad >= 0)
        return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: element %lld of %s is %s", path,
                         (long long)element, module->states[bad].name,
                         lvt_unsound_name((lvt_dtype)module->states[bad].type.dtype,
                                          lvt_session_state(m->session, (uint32_t)bad), element));
    if (info->program_hash != lvt_program_compiled(m->program)->hash)
        lvt_warning(diag, NULL, LVT_NOWHERE,
                    "%s was written by another build of the program; names and shapes are equal", path);
    return LVT_OK;
}

static lvt_status load_own(lvt_trainer *t, const cJSON *o, const lvt_safetensors *file, const char *path,
                           lvt_diag *diag) {
    const lvt_stored_tensor *labels = lvt_safetensors_find(file, "lvt:memory.labels");
    lvt_memory *m = &t->memory;
    m->n = labels && labels->type.rank == 1 ? (size_t)labels->type.dim[0] : 0;
    if (m->n > m->capacity)
        return not_ours(path, "its memory is larger than the run's", diag);
    t->best.epoch = t->best.states && lvt_safetensors_find(file, "lvt:best.epoch") ? 1 : 0;
    if (!get_count(o, "losses_summed", &t->summed) || !get_count(o, "memory_seen", &m->seen))
        return not_ours(path, "its metadata is not complete", diag);
    own_tensor own[N_OWN];
    int n = own_tensors(t, own);
    for (int i = 0; i < n; i++) {
        const lvt_stored_tensor *s = lvt_safetensors_find(file, own[i].name);
        lvt_type type = type_of(&own[i]);
        if (!s && own[i].later)
            continue;
        if (!s || !lvt_type_equal(&s->type, &type))
            return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: %s is missing or has another shape",
                             path, own[i].name);
        memcpy(own[i].data, s->data, lvt_type_bytes(&type));
    }
    for (size_t i = 0; i < m->n; i++) {
        if (m->labels[i] < 0 || m->labels[i] >= m->classes || m->tasks[i] < 0 || m->tasks[i] >= t->tasks.n)
            return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                             "%s: remembered image %zu has an impossible label or task", path, i);
    }
    return LVT_OK;
}

/* The bits depend on the number of threads. */
static void compare_team(const lvt_trainer *t, const cJSON *o, const char *path, lvt_diag *diag) {
    int now = lvt_session_threads(t->model->session);
    uint64_t then; /* 0: files of before it was stored */
    if (!get_count(o, "team", &then) || !then || then == (uint64_t)now)
        return;
    lvt_warning(
        diag, NULL, LVT_NOWHERE,
        "%s was written with %llu thread%s, the run goes on with %d: its numbers will differ in the last "
        "bits from those of a run without a break",
        path, (unsigned long long)then, then == 1 ? "" : "s", now);
    if (then <= LVT_MAX_THREADS)
        lvt_note(diag, LVT_NOWHERE, "--threads %d keeps them", (int)then);
}

static lvt_status restore(lvt_trainer *t, const lvt_safetensors *file, const lvt_checkpoint_info *info,
                          const char *path, lvt_diag *diag) {
    const lvt_compiled *p = lvt_program_compiled(t->model->program);
    if (info->program_hash != p->hash) {
        lvt_status status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                                      "%s was written by another program (\"%s\" %016" PRIx64
                                      ", this is \"%s\" %016" PRIx64 ")",
                                      path, info->program, info->program_hash, p->module->name, p->hash);
        lvt_note(diag, LVT_NOWHERE, "resuming needs the very program that the run was started with");
        return status;
    }
    if (info->fingerprint != t->data->fingerprint)
        return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "the data is not what %s was trained on", path);
    if (info->tasks.n != t->tasks.n || info->tasks.classes != t->tasks.classes ||
        memcmp(info->tasks.order, t->tasks.order, (size_t)t->tasks.classes * sizeof *t->tasks.order) ||
        memcmp(info->tasks.first, t->tasks.first, ((size_t)t->tasks.n + 1) * sizeof *t->tasks.first))
        return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                         "%s: its tasks are not those of the run's settings", path);
    lvt_status status = lvt_checkpoint_load_model(t->model, file, info, path, diag);
    cJSON *o = lvt_json_read(file->metadata, strlen(file->metadata));
    if (status == LVT_OK)
        status = load_own(t, o, file, path, diag);
    if (status == LVT_OK)
        compare_team(t, o, path, diag);
    cJSON_Delete(o);
    if (status == LVT_OK) {
        t->at = info->at;
        t->resumed = true;
    }
    return status;
}

/* The number of the last task-NN.safetensors in the folder, 0 when there is none. */
static int last_boundary(const lvt_folder *folder) {
    int last = 0, fd = openat(folder->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d && fd >= 0)
        close(fd);
    for (struct dirent *e; d && (e = readdir(d));) {
        int k, end = 0;
        if (sscanf(e->d_name, "task-%d.safetensors%n", &k, &end) == 1 && end && !e->d_name[end] && k > last)
            last = k;
    }
    if (d)
        closedir(d);
    return last;
}

bool lvt_checkpoint_exists(const lvt_folder *folder) {
    return lvt_folder_has(folder, "last.safetensors") || last_boundary(folder) > 0;
}

lvt_status lvt_checkpoint_resume(lvt_trainer *t, lvt_diag *diag) {
    char *paths[2] = {NULL, NULL};
    lvt_safetensors files[2] = {{0}};
    lvt_checkpoint_info infos[2] = {{{0}}};
    lvt_status status = LVT_OK;
    int best = -1;
    char names[2][48] = {"last.safetensors"}; /* paths: the same for messages */
    snprintf(names[1], sizeof names[1], "task-%02d.safetensors", last_boundary(t->folder));
    if (!(paths[0] = lvt_path_join(t->folder->path, names[0])) ||
        !(paths[1] = lvt_path_join(t->folder->path, names[1])))
        status = lvt_no_memory(diag, NULL);
    for (int i = 0; i < 2 && status == LVT_OK; i++) {
        if (!lvt_folder_has(t->folder, names[i]))
            continue;
        status = lvt_safetensors_read_in(t->folder, names[i], &files[i], diag);
        if (status == LVT_OK)
            status = lvt_checkpoint_info_read(&files[i], paths[i], &infos[i], diag);
        if (status != LVT_OK)
            lvt_note(diag, LVT_NOWHERE, "remove the file to resume from the checkpoint before it");
        if (status == LVT_OK &&
            (best < 0 || infos[i].at.task > infos[best].at.task ||
             (infos[i].at.task == infos[best].at.task && infos[i].at.step > infos[best].at.step)))
            best = i;
    }
    if (status == LVT_OK && best >= 0)
        status = restore(t, &files[best], &infos[best], paths[best], diag);
    for (int i = 0; i < 2; i++) {
        lvt_safetensors_free(&files[i]);
        lvt_checkpoint_info_free(&infos[i]);
        free(paths[i]);
    }
    return status;
}
