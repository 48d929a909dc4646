/* The settings of a training run as options. May not know: what they do. */
#include "settings.h"
#include "runtime/report/record.h"
#include "ir/base/file.h"
#include "runtime/kernels/threads.h"
#include "ir/program/json.h"

#include <stdlib.h>

int lvt_cmd_settings(lvt_settings *s, lvt_option_list *coef, lvt_option *rows) {
    int n = 0;
    *coef = (lvt_option_list){s->coef.items, s->coef.n, LVT_MAX_COEFFICIENTS};
#define TARGET_FLAG(field) &s->field
#define TARGET_INT(field) &s->field
#define TARGET_SEED(field) &s->field
#define TARGET_NUMBER(field) &s->field
#define TARGET_TEXT(field) &s->field
#define TARGET_CHOICE(field) &s->field
#define TARGET_LIST(field) coef
#define LVT_HEADING(text) rows[n++] = (lvt_option){.help = text};
#define LVT_SETTING(kind_, field, option, letter_, argument_, value, low, high, choices_, changeable, help_) \
    rows[n++] = (lvt_option){.name = option,                                                                 \
                             .letter = letter_,                                                              \
                             .kind = LVT_OPTION_##kind_,                                                     \
                             .argument = argument_,                                                          \
                             .help = help_,                                                                  \
                             .target = TARGET_##kind_(field),                                                \
                             .min = low,                                                                     \
                             .max = high,                                                                    \
                             .choices = choices_};
#include "runtime/continual/settings.def"
    return n;
}

int lvt_cmd_threads_of_run(const char *folder) {
    char *path = lvt_path_join(folder, "settings.json");
    uint8_t *bytes = NULL;
    size_t size;
    double threads = 0;
    if (path && lvt_file_read(path, &bytes, &size, NULL) == LVT_OK) {
        cJSON *o = lvt_json_read((char *)bytes, size);
        threads = lvt_record_number(cJSON_GetObjectItemCaseSensitive(o, "settings"), "threads");
        if (!(threads >= 1))
            threads = lvt_record_number(o, "team");
        cJSON_Delete(o);
    }
    free(bytes);
    free(path);
    return threads >= 1 && threads <= LVT_MAX_THREADS ? (int)threads : 0;
}

int lvt_cmd_resumed_team(int team, lvt_diag *diag) {
    int processors = lvt_processors();
    if (team > 0 && team < processors)
        lvt_warning(diag, NULL, LVT_NOWHERE,
                    "the run goes on with the %d thread%s that it was begun with, of %d processors: the same "
                    "bits; --threads %d uses all of them",
                    team, team == 1 ? "" : "s", processors, processors);
    return team <= processors ? team : 0;
}
