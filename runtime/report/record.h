/* Reading records of metrics.jsonl: what the page, the comparison and event files have in common.
 *
 * May not know: training, files. */
#ifndef LVT_REPORT_RECORD_H
#define LVT_REPORT_RECORD_H

#include <cjson/cJSON.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

/* The number of that name in an object; NaN: there is none. */
static inline double lvt_record_number(const cJSON *o, const char *name) {
    const cJSON *j = cJSON_GetObjectItemCaseSensitive(o, name);
    return cJSON_IsNumber(j) ? j->valuedouble : NAN;
}

static inline bool lvt_record_is(const cJSON *o, const char *type) {
    const cJSON *t = cJSON_GetObjectItemCaseSensitive(o, "type");
    return cJSON_IsString(t) && !strcmp(t->valuestring, type);
}

/* What people call the output of an entry, "loss" or "loss_...": "total", or what follows. */
static inline const char *lvt_loss_title(const char *output) {
    return strncmp(output, "loss_", 5) ? "total" : output + 5;
}

#endif
