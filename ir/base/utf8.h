/* Text that came from outside (names of files, classes, runs, models), on its ways out.
 *
 * Invariant: what comes out is right for its reader, whatever went in: a terminal gets no control bytes, a
 * format that promises UTF-8 gets UTF-8, a spreadsheet gets no formulas. The ways to SVG and HTML are in
 * xml.h. May not know: what is written. */
#ifndef LVT_IR_UTF8_H
#define LVT_IR_UTF8_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* The character at *text, n bytes of which may be read, and moves *text behind it; UINT32_MAX: the bytes
 * there are none (overlong, a surrogate, above U+10FFFF, cut off), one byte is passed. n is at least 1. */
uint32_t lvt_utf8_next(const char **text, size_t n);
bool lvt_utf8_valid(const char *text);
/* A copy in which U+FFFD stands for every byte that is no part of a character; malloc'ed, NULL: out of
 * memory. For JSON and other formats whose texts are UTF-8. */
char *lvt_utf8_copy(const char *text);
/* Bytes of at most `most` bytes of the text that end with a whole character. */
size_t lvt_utf8_cut(const char *text, size_t most);

/* JSON that somebody printed, made good: UTF-8 as above, and what a terminal would act on written as \\uNNNN,
 * which in JSON means the same. Takes the text (malloc'ed, NULL is out of memory) and returns it or a copy.
 */
char *lvt_json_safe(char *printed);
/* A text in quotes, as JSON has it; malloc'ed, NULL: out of memory. */
char *lvt_json_quoted(const char *text);

/* The terminal: control characters (C0, DEL, C1), those that turn the direction of writing over, and bytes
 * that are no UTF-8 become \xNN or \uNNNN. Line ends and tabs stay with `lines`. malloc'ed, NULL: out of
 * memory. */
char *lvt_terminal_text(const char *text, bool lines);
bool lvt_terminal_shows(uint32_t c); /* false: the character must not go there as it is */
/* printf for a terminal: what came out of the format goes through lvt_terminal_text. */
void lvt_terminal_print(FILE *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define lvt_print(...) lvt_terminal_print(stdout, __VA_ARGS__)

/* CSV: in quotes, control characters (tabs and line ends too) as for a terminal; a text that a spreadsheet
 * would take for a formula (it begins with = + - @) gets an apostrophe in front. */
void lvt_csv_text(FILE *f, const char *text);

#endif
