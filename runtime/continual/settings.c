/* Settings of a run: defaults, to JSON, from JSON. May not know: how options are parsed. */
#include "settings.h"
#include "memory.h"
#include "ir/base/c_locale.h"
#include "ir/base/utf8.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const lvt_lr_schedules[] = {"constant", "cosine", "step", NULL};
const char *const lvt_flips[] = {"auto", "on", "off", NULL};
const char *const lvt_policy_names[] = {"auto",
#define LVT_ROW(name, help) #name,
                                        LVT_MEMORY_POLICIES(LVT_ROW)
#undef LVT_ROW
                                            NULL};

const char *const lvt_forgettings[] = {"max", "all", "learned", "relative", "mean", NULL}; /* as metrics.c */

void lvt_settings_defaults(lvt_settings *s) {
    *s = (lvt_settings){
#define LVT_HEADING(text)
#define LVT_SETTING(kind, field, option, letter, argument, value, ...) .field = value,
#include "settings.def"
    };
}

/* ---- one function a kind and direction ----------------------------------------------------------------- */

static cJSON *put_FLAG(const bool *v, const char *const *choices) {
    return (void)choices, cJSON_CreateBool(*v);
}
static cJSON *put_INT(const int *v, const char *const *choices) {
    return (void)choices, cJSON_CreateNumber(*v);
}
static cJSON *put_NUMBER(const double *v, const char *const *choices) {
    return (void)choices, cJSON_CreateNumber(*v);
}
static cJSON *put_CHOICE(const int *v, const char *const *choices) {
    return cJSON_CreateString(choices[*v]);
}
static cJSON *put_TEXT(const char *const *v, const char *const *choices) {
    (void)choices;
    return *v ? cJSON_CreateString(*v) : cJSON_CreateNull();
}
/* As text: a JSON number has only 53 bits. */
static cJSON *put_SEED(const uint64_t *v, const char *const *choices) {
    (void)choices;
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)*v);
    return cJSON_CreateString(text);
}
static cJSON *put_LIST(const lvt_coefficients *v, const char *const *choices) {
    (void)choices;
    return cJSON_CreateStringArray(v->items, v->n);
}

static bool get_FLAG(const cJSON *j, bool *v, double min, double max, const char *const *choices) {
    (void)min, (void)max, (void)choices;
    *v = cJSON_IsTrue(j);
    return cJSON_IsBool(j);
}
static bool get_NUMBER(const cJSON *j, double *v, double min, double max, const char *const *choices) {
    (void)choices;
    *v = cJSON_IsNumber(j) ? j->valuedouble : min;
    return cJSON_IsNumber(j) && *v >= min && *v <= max;
}
static bool get_INT(const cJSON *j, int *v, double min, double max, const char *const *choices) {
    double d;
    if (!get_NUMBER(j, &d, min, max, choices))
        return false;
    *v = (int)d;
    return (double)*v == d;
}
static bool get_CHOICE(const cJSON *j, int *v, double min, double max, const char *const *choices) {
    (void)min, (void)max;
    for (*v = 0; cJSON_IsString(j) && choices[*v]; ++*v) {
        if (!strcmp(choices[*v], j->valuestring))
            return true;
    }
    *v = 0;
    return false;
}
static bool get_TEXT(const cJSON *j, const char **v, double min, double max, const char *const *choices) {
    (void)min, (void)max, (void)choices;
    if (cJSON_IsNull(j)) /* not given: the default, which may be a text */
        return true;
    *v = cJSON_IsString(j) ? j->valuestring : NULL;
    return cJSON_IsString(j);
}
static bool get_SEED(const cJSON *j, uint64_t *v, double min, double max, const char *const *choices) {
    (void)min, (void)max, (void)choices;
    char *end = NULL;
    *v = cJSON_IsString(j) ? strtoull(j->valuestring, &end, 10) : 0;
    return end && end != j->valuestring && !*end;
}
static bool get_LIST(const cJSON *j, lvt_coefficients *v, double min, double max,
                     const char *const *choices) {
    (void)min, (void)max, (void)choices;
    const cJSON *item;
    v->n = 0;
    cJSON_ArrayForEach(item, j) {
        if (!cJSON_IsString(item) || v->n == LVT_MAX_COEFFICIENTS)
            return false;
        v->items[v->n++] = item->valuestring;
    }
    return cJSON_IsArray(j);
}

cJSON *lvt_settings_to_json(const lvt_settings *s) {
    cJSON *object = cJSON_CreateObject();
    bool ok = object != NULL;
#define LVT_HEADING(text)
#define LVT_SETTING(kind, field, option, letter, argument, value, min, max, choices, ...)                    \
    ok = ok && cJSON_AddItemToObject(object, #field, put_##kind(&s->field, choices));
#include "settings.def"
    if (!ok) {
        cJSON_Delete(object);
        object = NULL;
    }
    return object;
}

lvt_status lvt_settings_from_json(const cJSON *object, const char *file, lvt_settings *s, lvt_diag *diag) {
    lvt_settings_defaults(s);
    const cJSON *j;
#define LVT_HEADING(text)
#define LVT_SETTING(kind, field, option, letter, argument, value, min, max, choices, ...)                    \
    j = cJSON_GetObjectItemCaseSensitive(object, #field);                                                    \
    if (j && !get_##kind(j, &s->field, min, max, choices))                                                   \
        return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: the setting \"%s\" has no possible value",  \
                         file, #field);
#include "settings.def"
    return LVT_OK;
}

void lvt_settings_trial(const lvt_settings *s, char text[LVT_TRIAL_TEXT]) {
    const struct {
        bool is;
        const char *format;
        int n;
    } parts[] = {{s->test_images > 0, "%d test images", s->test_images},
                 {s->eval_every > 1, "measured every %d tasks", s->eval_every},
                 {s->steps > 0, "at most %d steps a task", s->steps}};
    int n = 0;
    *text = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (!parts[i].is)
            continue;
        n += snprintf(text + n, (size_t)(LVT_TRIAL_TEXT - n), "%s", n ? ", " : "trial: ");
        n += snprintf(text + n, (size_t)(LVT_TRIAL_TEXT - n), parts[i].format, parts[i].n);
    }
}

lvt_status lvt_settings_validation(const lvt_settings *s, double *part, lvt_diag *diag) {
    *part = 0;
    if (!s->validation)
        return LVT_OK;
    char *end;
    double number = lvt_strtod(s->validation, &end);
    if (end != s->validation && *end == '%') {
        number /= 100;
        end++;
    }
    if (end == s->validation || *end || !(number > 0 && number <= 0.9))
        return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE,
                         "--validation: \"%s\" is not a part such as 10%%, at most 90%%", s->validation);
    *part = number;
    return LVT_OK;
}

lvt_status lvt_settings_check_texts(const lvt_settings *s, lvt_diag *diag) {
    cJSON *object = lvt_settings_to_json(s);
    lvt_status status = object ? LVT_OK : lvt_no_memory(diag, NULL);
    const cJSON *j, *k;
    cJSON_ArrayForEach(j, object) {
        const char *wrong = cJSON_IsString(j) && !lvt_utf8_valid(j->valuestring) ? j->valuestring : NULL;
        if (cJSON_IsArray(j))
            cJSON_ArrayForEach(k, j) wrong = lvt_utf8_valid(k->valuestring) ? wrong : k->valuestring;
        if (wrong)
            status =
                lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE,
                          "%s: \"%s\" is not UTF-8, as the settings of a run have to be", j->string, wrong);
    }
    cJSON_Delete(object);
    return status;
}
