/* Harness: any text as an experiment file, a map of weights or the settings of a run: the first
 * byte says which. */
#include "fuzz.h"

#include "ir/program/weight_map.h"
#include "runtime/continual/settings.h"
#include "runtime/sweep/sweep.h"

static lvt_status option(void *user, const char *key, const char *value, bool *flag, lvt_diag *diag) {
    (void)user, (void)value, (void)diag;
    if (flag)
        *flag = key[0] == 'n';
    return LVT_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1)
        return 0;
    lvt_diag *d = lvt_diag_new();
    lvt_status status = LVT_OK;
    if (data[0] % 3 == 0) {
        lvt_sweep s;
        status = lvt_sweep_read(&s, fuzz_file(data + 1, size - 1, "sweep"), "digits",
                                &(lvt_sweep_checker){.option = option}, d);
        lvt_sweep_free(&s);
    } else if (data[0] % 3 == 1) {
        lvt_weight_map map = {0};
        lvt_arena *a = lvt_arena_new();
        status = lvt_weight_map_read(fuzz_file(data + 1, size - 1, "map"), a, &map, d);
        lvt_arena_free(a);
    } else {
        cJSON *object = cJSON_ParseWithLength((const char *)data + 1, size - 1);
        lvt_settings s;
        lvt_settings_defaults(&s);
        if (object)
            status = lvt_settings_from_json(object, "fuzz", &s, d);
        cJSON_Delete(object);
    }
    if ((status == LVT_OK) != (lvt_diag_errors(d) == 0) || status == LVT_INTERNAL)
        abort();
    lvt_diag_free(d);
    return 0;
}
