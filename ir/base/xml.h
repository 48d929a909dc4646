/* Text in the SVG and HTML that lvt writes.
 *
 * Invariant: what comes out is right between tags and in attribute values in either kind of quotes. May not
 * know: what is drawn. */
#ifndef LVT_IR_BASE_XML_H
#define LVT_IR_BASE_XML_H

#include <stddef.h>
#include <stdio.h>

/* What stands for one byte of UTF-8 text, in `room` (8 bytes); empty for control characters, most of which
 * XML does not allow. */
const char *lvt_xml_byte(char c, char *room);

/* The text, but no more than `most` characters (not bytes) of it. */
void lvt_xml_write(FILE *f, const char *text, size_t most);

#endif
