/* See c_locale.h. newlocale of the whole C locale allocates nothing in glibc and musl: it is a constant
 * there, so it is asked for each time instead of being kept in a global. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* strtod_l */
#endif
#include "ir/base/c_locale.h"

#include <stdio.h>
#include <stdlib.h>

locale_t lvt_c_locale_begin(void) {
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    return c ? uselocale(c) : (locale_t)0;
}

void lvt_c_locale_end(locale_t before) {
    if (before) {
        locale_t c = uselocale(before);
        if (c != before && c != LC_GLOBAL_LOCALE)
            freelocale(c);
    }
}

double lvt_strtod(const char *text, char **end) {
    locale_t before = lvt_c_locale_begin();
    double x = strtod(text, end);
    lvt_c_locale_end(before);
    return x;
}

int lvt_vsnprintf(char *out, size_t size, const char *format, va_list args) {
    locale_t before = lvt_c_locale_begin();
    int n = vsnprintf(out, size, format, args);
    lvt_c_locale_end(before);
    return n;
}

int lvt_snprintf(char *out, size_t size, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = lvt_vsnprintf(out, size, format, args);
    va_end(args);
    return n;
}
