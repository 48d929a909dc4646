/* See xml.h. May not know: what is drawn. */
#include "xml.h"

#include <stdbool.h>
#include <string.h>

const char *lvt_xml_byte(char c, char *room) {
    if (c && strchr("&<>\"'", c))
        snprintf(room, 8, "&#%d;", c);
    else
        snprintf(room, 8, "%.*s", (unsigned char)c >= ' ', &c);
    return room;
}

void lvt_xml_write(FILE *f, const char *text, size_t most) {
    char room[8];
    for (; *text; text++) {
        bool begins = (*text & 0xC0) != 0x80;
        if (begins && !most--)
            break;
        fputs(lvt_xml_byte(*text, room), f);
    }
}
