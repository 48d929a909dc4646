/* Event files: TFRecord framing around protobuf messages. May not know: training. */
#include "board.h"
#include "runtime/report/record.h"
#include "ir/base/file.h"
#include "ir/program/json.h"
#include "ir/base/c_locale.h"
#include "ir/base/utf8.h"

#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <event.pb-c.h>

/* ---- frames: u64 length, its checksum, data, their checksum; little-endian ----------------------------- */

/* CRC-32C (Castagnoli), reflected, and TensorFlow's mask, which keeps checksums of checksums from cancelling.
 * Bit by bit: some hundred bytes every few seconds. */
static uint32_t masked_crc(const uint8_t *bytes, size_t n) {
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < n; i++) {
        crc ^= bytes[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    crc ^= 0xffffffffu;
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static void put(uint8_t *to, uint64_t v, int bytes) {
    for (int i = 0; i < bytes; i++)
        to[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t get(const uint8_t *from, int bytes) {
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v |= (uint64_t)from[i] << 8 * i;
    return v;
}

enum { HEAD = 12, TAIL = 4 };

/* Length of the whole frame at the beginning of the bytes; 0: it is not whole. */
static size_t frame_at(const uint8_t *bytes, size_t n) {
    if (n < HEAD + TAIL || get(bytes + 8, 4) != masked_crc(bytes, 8))
        return 0;
    uint64_t size = get(bytes, 8);
    if (size > n - HEAD - TAIL || get(bytes + HEAD + size, 4) != masked_crc(bytes + HEAD, size))
        return 0;
    return (size_t)size + HEAD + TAIL;
}

static void write_event(lvt_board *b, const LvtBoard__Event *e) {
    size_t n = lvt_board__event__get_packed_size(e);
    uint8_t *frame = malloc(n + HEAD + TAIL);
    bool ok = frame;
    if (ok) {
        put(frame, n, 8);
        put(frame + 8, masked_crc(frame, 8), 4);
        lvt_board__event__pack(e, frame + HEAD);
        put(frame + HEAD + n, masked_crc(frame + HEAD, n), 4);
        ok = fwrite(frame, n + HEAD + TAIL, 1, b->file) == 1 && fflush(b->file) == 0;
    }
    free(frame);
    if (!ok) { /* what was written of it is cut when the file is opened again */
        fclose(b->file);
        b->file = NULL;
    }
}

static double wall_time(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* ---- records to scalars -------------------------------------------------------------------------------- */

/* Where the step of a record comes from, and what its fields are called. */
static const struct kind {
    const char *type, *step, *group; /* group: of fields that no rule below names */
} kinds[] = {{"train", "global_step", "train"},
             {"epoch", "epoch", "epoch"},
             {"accuracy", "after_task", NULL},
             {"drift", "after_task", NULL},
             {"metrics", "after_task", "metrics"}};

enum { MOST = 256, TAG = 128 };

typedef struct scalars {
    int n;
    char tags[MOST][TAG];
    LvtBoard__Summary__Value values[MOST], *pointers[MOST];
} scalars;

static void add(scalars *s, double v, const char *group, const char *name, int task) {
    if (s->n == MOST || !isfinite(v))
        return;
    char *tag = s->tags[s->n];
    if (task)
        snprintf(tag, TAG, "%s/task_%02d", group, task);
    else
        snprintf(tag, TAG, "%s/%s", group, name);
    for (size_t n = strlen(tag); n && !lvt_utf8_valid(tag);) /* as protobuf wants it; its end was cut off */
        tag[--n] = 0;
    LvtBoard__Summary__Value *value = s->pointers[s->n] = &s->values[s->n];
    lvt_board__summary__value__init(value);
    value->tag = tag;
    value->value_case = LVT_BOARD__SUMMARY__VALUE__VALUE_SIMPLE_VALUE;
    value->simple_value = (float)v;
    s->n++;
}

/* Counts and times that say where a record stands, not what was measured. */
static bool is_place(const char *name) {
    static const char *const names[] = {"task",       "epoch",   "step",         "steps",     "global_step",
                                        "after_task", "seconds", "seconds_left", "best_epoch"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!strcmp(names[i], name))
            return true;
    }
    return false;
}

/* The step; s->n is 0 when there is nothing to say. */
static int64_t scalars_of(const cJSON *record, scalars *s) {
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(record, "type"), *j, *k;
    const struct kind *kind = NULL;
    s->n = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && cJSON_IsString(type); i++)
        kind = strcmp(kinds[i].type, type->valuestring) ? kind : &kinds[i];
    double step = kind ? lvt_record_number(record, kind->step) : NAN,
           task = lvt_record_number(record, "task");
    if (isnan(step))
        return 0;
    cJSON_ArrayForEach(j, record) {
        if (cJSON_IsNumber(j) && !is_place(j->string)) {
            if (!kind->group || !strcmp(kind->type, "epoch")) /* one curve a task */
                add(s, j->valuedouble, j->string, NULL, (int)task);
            else if (!strncmp(j->string, "loss", 4))
                add(s, j->valuedouble, "loss", lvt_loss_title(j->string), 0);
            else
                add(s, j->valuedouble, kind->group, j->string, 0);
        }
        cJSON_ArrayForEach(k, j) { /* metrics by scenario; drift by state */
            const cJSON *state = cJSON_GetObjectItemCaseSensitive(k, "state");
            if (cJSON_IsNumber(k))
                add(s, k->valuedouble, j->string, k->string, 0);
            if (cJSON_IsString(state)) {
                add(s, lvt_record_number(k, "since_previous_task"), "drift_since_previous_task",
                    state->valuestring, 0);
                add(s, lvt_record_number(k, "since_first_task"), "drift_since_first_task", state->valuestring,
                    0);
            }
        }
    }
    return (int64_t)step;
}

void lvt_board_record(lvt_board *b, const cJSON *record) {
    scalars *s = b && b->file ? malloc(sizeof *s) : NULL;
    if (!s)
        return;
    LvtBoard__Event e = LVT_BOARD__EVENT__INIT;
    LvtBoard__Summary summary = LVT_BOARD__SUMMARY__INIT;
    e.step = scalars_of(record, s);
    e.wall_time = wall_time();
    e.what_case = LVT_BOARD__EVENT__WHAT_SUMMARY;
    e.summary = &summary;
    summary.n_value = (size_t)s->n;
    summary.value = s->pointers;
    if (s->n)
        write_event(b, &e);
    free(s);
}

/* ---- opening ------------------------------------------------------------------------------------------- */

/* The name of the event file in the folder, or a new one: malloc'ed. */
static char *find_file(const lvt_folder *folder) {
    char name[256 + 64] = "", host[64] = "";
    int fd = openat(folder->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d && fd >= 0)
        close(fd);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (strstr(e->d_name, "tfevents") && (!*name || strcmp(e->d_name, name) < 0))
            snprintf(name, sizeof name, "%s", e->d_name);
    }
    if (d)
        closedir(d);
    if (!*name) {
        if (gethostname(host, sizeof host - 1) || !*host || strchr(host, '/'))
            snprintf(host, sizeof host, "lvt");
        lvt_snprintf(name, sizeof name, "events.out.tfevents.%010.0f.%s", floor(wall_time()), host);
    }
    return strdup(name);
}

/* Bytes of the frames that may stay: the version and `events` others; *found: how many of those there are. */
static size_t kept_bytes(const uint8_t *bytes, size_t n, size_t events, size_t *found) {
    size_t at = 0, frames = 0, next;
    while (frames < events + 1 && (next = frame_at(bytes + at, n - at))) {
        at += next;
        frames++;
    }
    *found = frames ? frames - 1 : 0;
    return at;
}

static void write_version(lvt_board *b) {
    LvtBoard__Event e = LVT_BOARD__EVENT__INIT;
    e.wall_time = wall_time();
    e.what_case = LVT_BOARD__EVENT__WHAT_FILE_VERSION;
    e.file_version = "brain.Event:2";
    write_event(b, &e);
}

/* Both passes over metrics.jsonl: counts the records that have scalars, or writes those after the first
 * `skip`. */
static size_t walk(lvt_board *b, const uint8_t *text, size_t size, size_t skip, bool write,
                   scalars *scratch) {
    size_t n = 0;
    for (size_t at = 0; at < size;) {
        const uint8_t *end = memchr(text + at, '\n', size - at);
        size_t length = end ? (size_t)(end - text) - at : size - at;
        cJSON *record = end ? lvt_json_read((const char *)text + at, length) : NULL;
        scalars_of(record, scratch);
        if (scratch->n && n++ >= skip && write)
            lvt_board_record(b, record);
        cJSON_Delete(record);
        at += length + 1;
    }
    return n;
}

lvt_status lvt_board_open(lvt_board *b, const lvt_folder *folder, lvt_diag *diag) {
    *b = (lvt_board){NULL, NULL};
    lvt_folder inside = {-1, NULL};
    scalars *scratch = malloc(sizeof *scratch);
    char *name = NULL;
    lvt_status status = scratch ? LVT_OK : LVT_NOMEM;
    uint8_t *records = NULL, *events = NULL;
    size_t n_records = 0, n_events = 0, found = 0, keep = 0;
    if (status == LVT_OK && mkdirat(folder->fd, "tensorboard", 0777) != 0 && errno != EEXIST)
        status = lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s/tensorboard: the folder cannot be made: %s",
                           folder->path, strerror(errno));
    if (status == LVT_OK)
        status = lvt_folder_open(&inside, folder, "tensorboard", diag);
    if (status == LVT_OK && (!(name = find_file(&inside)) || !(b->path = lvt_path_join(inside.path, name))))
        status = LVT_NOMEM;
    if (status == LVT_OK && lvt_folder_has(folder, "metrics.jsonl"))
        status = lvt_folder_file_read(folder, "metrics.jsonl", &records, &n_records, diag);
    if (status == LVT_OK && lvt_folder_has(&inside, name))
        status = lvt_folder_file_read(&inside, name, &events, &n_events, diag);
    if (status == LVT_OK) {
        keep = kept_bytes(events, n_events, walk(b, records, n_records, 0, false, scratch), &found);
        int fd = lvt_folder_descriptor(&inside, name, O_WRONLY | O_APPEND | O_CREAT);
        b->file = fd >= 0 ? fdopen(fd, "ae") : NULL;
        if (!b->file || ftruncate(fd, (off_t)keep) != 0)
            status = lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: cannot be written: %s", b->path,
                               strerror(errno));
        if (!b->file && fd >= 0)
            close(fd);
    }
    if (status == LVT_OK) {
        if (!keep)
            write_version(b);
        walk(b, records, n_records, found, true, scratch);
    }
    if (status == LVT_NOMEM)
        lvt_no_memory(diag, NULL);
    lvt_folder_close(&inside);
    free(name);
    free(scratch);
    free(records);
    free(events);
    return status;
}

lvt_status lvt_board_close(lvt_board *b, lvt_diag *diag) {
    lvt_status status = LVT_OK;
    if (b->path && !b->file)
        status = lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: cannot be written", b->path);
    else if (b->file && fclose(b->file) != 0)
        status =
            lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: cannot be written: %s", b->path, strerror(errno));
    free(b->path);
    *b = (lvt_board){NULL, NULL};
    return status;
}
