/* The folder of a run. May not know: training. */
#include "run.h"
#include "ir/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

lvt_status lvt_run_open(lvt_run *r, const char *folder, bool resume, lvt_diag *diag) {
    *r = (lvt_run){strdup(folder), -1, false};
    char *settings = lvt_path_join(folder, "settings.json"), *lock = lvt_path_join(folder, "lock");
    lvt_status status = r->folder && settings && lock ? LVT_OK : lvt_no_memory(diag, NULL);
    if (status == LVT_OK && !resume && !(r->created = mkdir(folder, 0777) == 0) && errno != EEXIST)
        status = lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: the folder cannot be made: %s", folder,
                           strerror(errno));
    if (status == LVT_OK && resume && !lvt_path_exists(settings))
        status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                           "%s: there is no run to resume (no settings.json in it)", folder);
    if (status == LVT_OK && (r->lock = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666)) < 0)
        status =
            lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: cannot be written: %s", folder, strerror(errno));
    if (status == LVT_OK && flock(r->lock, LOCK_EX | LOCK_NB) != 0)
        status = errno == EWOULDBLOCK ? lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                                                  "%s: another lvt-run is training into this folder", folder)
                                      : lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: cannot be locked: %s",
                                                  lock, strerror(errno));
    /* After the lock: two processes that start together must not both find an empty folder. */
    if (status == LVT_OK && !resume && lvt_path_exists(settings)) {
        status =
            lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: there is a run in this folder already", folder);
        lvt_note(diag, LVT_NOWHERE, "go on with it by --resume, or choose another folder");
    }
    free(settings);
    free(lock);
    return status;
}

void lvt_run_close(lvt_run *r) {
    char *lock = r->created ? lvt_path_join(r->folder, "lock") : NULL;
    if (lock && unlink(lock) == 0)
        rmdir(r->folder);
    free(lock);
    if (r->lock >= 0)
        close(r->lock);
    free(r->folder);
    *r = (lvt_run){NULL, -1, false};
}

lvt_status lvt_run_write_settings(lvt_run *r, const lvt_settings *s, const char *program, uint64_t hash,
                                  uint64_t data, bool domains, lvt_diag *diag) {
    char text[24], fingerprint[24];
    snprintf(text, sizeof text, "%016" PRIx64, hash);
    snprintf(fingerprint, sizeof fingerprint, "%016" PRIx64, data);
    cJSON *o = cJSON_CreateObject(), *settings = lvt_settings_to_json(s);
    char *printed = NULL, *path = lvt_path_join(r->folder, "settings.json");
    if (o && settings && cJSON_AddStringToObject(o, "program", program) &&
        cJSON_AddStringToObject(o, "program_hash", text) &&
        cJSON_AddStringToObject(o, "data_fingerprint", fingerprint) &&
        cJSON_AddBoolToObject(o, "domains", domains) && cJSON_AddItemToObject(o, "settings", settings)) {
        settings = NULL;
        printed = cJSON_Print(o);
    }
    cJSON_Delete(settings);
    cJSON_Delete(o);
    lvt_status status =
        printed && path ? lvt_file_write(path, printed, strlen(printed), diag) : lvt_no_memory(diag, NULL);
    r->created = r->created && status != LVT_OK;
    cJSON_free(printed);
    free(path);
    return status;
}

lvt_status lvt_run_read_settings(const lvt_run *r, lvt_settings *s, uint64_t *hash, cJSON **tree,
                                 lvt_diag *diag) {
    *tree = NULL;
    char *path = lvt_path_join(r->folder, "settings.json");
    if (!path)
        return lvt_no_memory(diag, NULL);
    uint8_t *bytes;
    size_t size;
    lvt_status status = lvt_file_read(path, &bytes, &size, diag);
    cJSON *o = status == LVT_OK ? cJSON_ParseWithLength((char *)bytes, size) : NULL;
    const cJSON *settings = cJSON_GetObjectItemCaseSensitive(o, "settings");
    const cJSON *text = cJSON_GetObjectItemCaseSensitive(o, "program_hash");
    if (status == LVT_OK && (!cJSON_IsObject(settings) || !cJSON_IsString(text)))
        status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: not the settings of a run", path);
    if (status == LVT_OK) {
        *hash = strtoull(text->valuestring, NULL, 16);
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
