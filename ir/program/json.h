/* JSON text, whatever the locale of the program around: cJSON prints and reads numbers by the C library, and
 * knows only decimal points of one byte. May not know: what the objects mean. */
#ifndef LVT_IR_PROGRAM_JSON_H
#define LVT_IR_PROGRAM_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

/* `bytes` bytes of text; NULL: not JSON, or out of memory. Freed by cJSON_Delete. */
cJSON *lvt_json_read(const char *text, size_t bytes);
/* Text that is UTF-8 and that a terminal may show (see lvt_json_safe); malloc'ed; NULL: out of memory, or `o` is
 * NULL. pretty: over several lines. */
char *lvt_json_text(const cJSON *o, bool pretty);

#endif
