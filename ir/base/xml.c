/* See xml.h. May not know: what is drawn. */
#include "xml.h"
#include "utf8.h"

#include <stdint.h>
#include <string.h>

const char *lvt_xml_next(const char **text, char room[8]) {
    const char *from = *text;
    uint32_t c = lvt_utf8_next(text, strnlen(from, 4));
    if (c == UINT32_MAX)
        return "\xEF\xBF\xBD";
    if (!lvt_terminal_shows(c) || c == 0xFFFE || c == 0xFFFF)
        return "";
    if (c < 0x80 && strchr("&<>\"'", (int)c))
        snprintf(room, 8, "&#%u;", c);
    else
        snprintf(room, 8, "%.*s", (int)(*text - from), from);
    return room;
}

void lvt_xml_write(FILE *f, const char *text, size_t most) {
    char room[8];
    while (*text && most--)
        fputs(lvt_xml_next(&text, room), f);
}
