/* Text in the SVG and HTML that lvt writes.
 *
 * Invariant: what comes out is UTF-8 and right between tags and in attribute values in either kind of
 * quotes. May not
 * know: what is drawn. */
#ifndef LVT_IR_BASE_XML_H
#define LVT_IR_BASE_XML_H

#include <stddef.h>
#include <stdio.h>

/* What stands for the next character of *text, which is not at its end, in `room` or static; moves *text
 * behind the character. Empty for what lvt_terminal_shows would not, most of which XML does not allow; U+FFFD for a byte
 * that is no UTF-8. */
const char *lvt_xml_next(const char **text, char room[8]);

/* The text, but no more than `most` characters (not bytes) of it. */
void lvt_xml_write(FILE *f, const char *text, size_t most);

#endif
