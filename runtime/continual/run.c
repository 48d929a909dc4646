/* The folder of a run. May not know: training. */
#include "run.h"
#include "ir/base/file.h"
#include "ir/program/json.h"
#include "ir/base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static lvt_status lock(lvt_run *r, lvt_diag *diag) {
    const char *folder = r->folder.path;
    if ((r->lock = lvt_folder_descriptor(&r->folder, "lock", O_RDWR | O_CREAT)) < 0)
        return lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: cannot be written: %s", folder,
                         strerror(errno));
    if (flock(r->lock, LOCK_EX | LOCK_NB) == 0)
        return LVT_OK;
    return errno == EWOULDBLOCK ? lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                                            "%s: another lvt-run is training into this folder", folder)
                                : lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s/lock: cannot be locked: %s",
                                            folder, strerror(errno));
}

lvt_status lvt_run_open(lvt_run *r, const char *folder, bool resume, lvt_diag *diag) {
    *r = LVT_RUN_NONE;
    lvt_status status = LVT_OK;
    if (!resume && !(r->created = mkdir(folder, 0777) == 0) && errno != EEXIST)
        return lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: the folder cannot be made: %s", folder,
                         strerror(errno));
    struct stat st;
    bool there = !resume || stat(folder, &st) == 0;
    if (there)
        status = lvt_folder_open(&r->folder, NULL, folder, diag);
    if (status == LVT_OK && resume && !(there && lvt_folder_has(&r->folder, "settings.json")))
        status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                           "%s: there is no run to resume (no settings.json in it)", folder);
    if (status == LVT_OK)
        status = lock(r, diag);
    /* After the lock: two processes that start together must not both find an empty folder. */
    if (status == LVT_OK && !resume && lvt_folder_has(&r->folder, "settings.json")) {
        status =
            lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: there is a run in this folder already", folder);
        lvt_note(diag, LVT_NOWHERE, "go on with it by --resume, or choose another folder");
    }
    if (status == LVT_OK)
        lvt_folder_clean(&r->folder);
    return status;
}

/* Is the folder still where it was opened? */
static bool in_place(const lvt_folder *f) {
    struct stat a, b;
    return fstat(f->fd, &a) == 0 && stat(f->path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

void lvt_run_close(lvt_run *r) {
    if (r->created && r->folder.fd >= 0 && unlinkat(r->folder.fd, "lock", 0) == 0 && in_place(&r->folder))
        rmdir(r->folder.path);
    if (r->lock >= 0)
        close(r->lock);
    lvt_folder_close(&r->folder);
    *r = LVT_RUN_NONE;
}

lvt_status lvt_run_write_settings(lvt_run *r, const lvt_settings *s, const lvt_run_facts *facts,
                                  lvt_diag *diag) {
    char text[24], fingerprint[24];
    snprintf(text, sizeof text, "%016" PRIx64, facts->hash);
    snprintf(fingerprint, sizeof fingerprint, "%016" PRIx64, facts->data);
    cJSON *o = cJSON_CreateObject(), *settings = lvt_settings_to_json(s);
    char *printed = NULL;
    if (o && settings && cJSON_AddStringToObject(o, "program", facts->program) &&
        cJSON_AddStringToObject(o, "program_hash", text) &&
        cJSON_AddStringToObject(o, "data_fingerprint", fingerprint) &&
        cJSON_AddBoolToObject(o, "domains", facts->domains) &&
        cJSON_AddNumberToObject(o, "team", facts->team) && cJSON_AddItemToObject(o, "settings", settings)) {
        settings = NULL;
        printed = lvt_json_text(o, true);
    }
    cJSON_Delete(settings);
    cJSON_Delete(o);
    lvt_status status = printed ? lvt_file_write(&r->folder, "settings.json", printed, strlen(printed), diag)
                                : lvt_no_memory(diag, NULL);
    r->created = r->created && status != LVT_OK;
    free(printed);
    return status;
}

lvt_status lvt_run_read_settings(const lvt_run *r, lvt_settings *s, lvt_run_facts *facts, cJSON **tree,
                                 lvt_diag *diag) {
    *tree = NULL;
    *facts = (lvt_run_facts){0};
    char *path = lvt_path_join(r->folder.path, "settings.json"); /* for messages */
    if (!path)
        return lvt_no_memory(diag, NULL);
    uint8_t *bytes;
    size_t size;
    lvt_status status = lvt_folder_file_read(&r->folder, "settings.json", &bytes, &size, diag);
    cJSON *o = status == LVT_OK ? lvt_json_read((char *)bytes, size) : NULL;
    const cJSON *settings = cJSON_GetObjectItemCaseSensitive(o, "settings");
    const cJSON *text = cJSON_GetObjectItemCaseSensitive(o, "program_hash");
    if (status == LVT_OK && (!cJSON_IsObject(settings) || !cJSON_IsString(text)))
        status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: not the settings of a run", path);
    if (status == LVT_OK) {
        const cJSON *team = cJSON_GetObjectItemCaseSensitive(o, "team");
        facts->hash = strtoull(text->valuestring, NULL, 16);
        facts->team = cJSON_IsNumber(team) && team->valuedouble >= 1 && team->valuedouble <= LVT_MAX_THREADS
                          ? (int)team->valuedouble
                          : 0;
        status = lvt_settings_from_json(settings, path, s, diag);
    }
    free(bytes);
    free(path);
    if (status == LVT_OK)
        *tree = o;
    else
        cJSON_Delete(o);
    return status;
}
