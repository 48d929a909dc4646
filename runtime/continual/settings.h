/* The settings of a training run and their JSON form.
 *
 * Invariant: what is written can be read back to the same settings; every setting is one row of settings.def.
 * May not know: how options are parsed. */
#ifndef LVT_CONTINUAL_SETTINGS_H
#define LVT_CONTINUAL_SETTINGS_H

#include "ir/base/diag.h"

#include <cjson/cJSON.h>

enum { LVT_MAX_COEFFICIENTS = 32 };
typedef struct lvt_coefficients { /* "NAME=VALUE" each */
    const char *items[LVT_MAX_COEFFICIENTS];
    int n;
} lvt_coefficients;

/* Texts point to the command line or into the JSON tree they were read from: that must live as long as the
 * settings. */
typedef struct lvt_settings {
#define LVT_C_FLAG bool
#define LVT_C_INT int
#define LVT_C_SEED uint64_t
#define LVT_C_NUMBER double
#define LVT_C_TEXT const char *
#define LVT_C_CHOICE int
#define LVT_C_LIST lvt_coefficients
#define LVT_HEADING(text)
#define LVT_SETTING(kind, field, ...) LVT_C_##kind field;
#include "settings.def"
} lvt_settings;

enum { LVT_LR_CONSTANT, LVT_LR_COSINE, LVT_LR_STEP };
enum { LVT_POLICY_AUTO }; /* then the policies of memory.h, one higher */
enum { LVT_FLIP_AUTO, LVT_FLIP_ON, LVT_FLIP_OFF };
extern const char *const lvt_lr_schedules[],
    *const lvt_flips[], *const lvt_policy_names[], *const lvt_forgettings[]; /* NULL-ended */

void lvt_settings_defaults(lvt_settings *s);
/* NULL when out of memory; the caller deletes it. */
enum { LVT_MAX_THREADS = 1024 }; /* of --threads */
cJSON *lvt_settings_to_json(const lvt_settings *s);
/* Settings that the object lacks keep their defaults. `file` names it in messages. Errors: LVT_USER. */
lvt_status lvt_settings_from_json(const cJSON *object, const char *file, lvt_settings *s, lvt_diag *diag);

/* Was less measured or trained than a full run has? Then what it is a trial of, as "trial: 100 test images, measured
 * every 5 tasks"; else an empty text. */
enum { LVT_TRIAL_TEXT = 128 };
void lvt_settings_trial(const lvt_settings *s, char text[LVT_TRIAL_TEXT]);

/* The part of the training images that --validation keeps ("10%" or "0.1"), 0 without it; LVT_USAGE: it is none
 * above 0 and up to 0.9. */
lvt_status lvt_settings_validation(const lvt_settings *s, double *part, lvt_diag *diag);

/* Texts that JSON cannot hold (names of files that are not UTF-8) are refused: LVT_USAGE says which. */
lvt_status lvt_settings_check_texts(const lvt_settings *s, lvt_diag *diag);

#endif
