/* See json.h. */
#include "json.h"
#include "ir/base/utf8.h"
#include "ir/base/c_locale.h"

cJSON *lvt_json_read(const char *text, size_t bytes) {
    locale_t before = lvt_c_locale_begin();
    cJSON *o = cJSON_ParseWithLength(text, bytes);
    lvt_c_locale_end(before);
    return o;
}

char *lvt_json_text(const cJSON *o, bool pretty) {
    locale_t before = lvt_c_locale_begin();
    char *text = !o ? NULL : pretty ? cJSON_Print(o) : cJSON_PrintUnformatted(o);
    lvt_c_locale_end(before);
    return lvt_json_safe(text);
}
