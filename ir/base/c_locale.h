/* Numbers and letters as files have them, whatever the locale of the program around: a point in numbers,
 * ASCII letters. A program that calls setlocale changes strtod, printf and ctype.h everywhere, so the library
 * calls none of them on numbers or letters (tests/layers looks for them), but these.
 *
 * Invariants: no globals; the locale of the program and of its other threads stays as it is. May not know:
 * what is read or written. */
#ifndef LVT_IR_BASE_C_LOCALE_H
#define LVT_IR_BASE_C_LOCALE_H

#include <locale.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* strtod with a point in every locale. */
double lvt_strtod(const char *text, char **end);
/* snprintf, vsnprintf with a point in every locale. */
int lvt_snprintf(char *out, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
int lvt_vsnprintf(char *out, size_t size, const char *format, va_list args);

/* Between these two the calling thread, and nobody else, is in the C locale: for functions that write whole
 * files, or call libraries that print numbers. The second gets what the first returned. Calls may nest. */
locale_t lvt_c_locale_begin(void);
void lvt_c_locale_end(locale_t before);

static inline bool lvt_is_digit(char c) {
    return c >= '0' && c <= '9';
}
static inline bool lvt_is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
static inline bool lvt_is_blank(char c) { /* isspace of the C locale */
    return c == ' ' || (c >= '\t' && c <= '\r');
}
static inline char lvt_to_upper(char c) {
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}
/* Equal but for capitals? */
static inline bool lvt_same_word(const char *a, const char *b) {
    while (*a && lvt_to_upper(*a) == lvt_to_upper(*b)) {
        a++;
        b++;
    }
    return !*a && !*b;
}

#endif
