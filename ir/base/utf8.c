/* See utf8.h. May not know: what is written. */
#include "utf8.h"
#include "c_locale.h"

#include <stdlib.h>
#include <string.h>

uint32_t lvt_utf8_next(const char **text, size_t n) {
    const uint8_t *p = (const uint8_t *)*text;
    uint32_t c = *p;
    ++*text;
    if (c < 0x80)
        return c;
    size_t more = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : 1;
    if (c < 0xC2 || c > 0xF4 || n <= more)
        return UINT32_MAX;
    c &= 0x3Fu >> more;
    for (size_t i = 1; i <= more; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return UINT32_MAX;
        c = c << 6 | (p[i] & 0x3Fu);
    }
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    if (c < least[more] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
        return UINT32_MAX;
    *text += more;
    return c;
}

bool lvt_utf8_valid(const char *text) {
    for (const char *end = text + strlen(text); text < end;)
        if (lvt_utf8_next(&text, (size_t)(end - text)) == UINT32_MAX)
            return false;
    return true;
}

char *lvt_utf8_copy(const char *text) {
    size_t n = strlen(text);
    const char *end = text + n;
    char *copy = malloc(3 * n + 1), *to = copy;
    while (copy && text < end) {
        const char *from = text;
        bool wrong = lvt_utf8_next(&text, (size_t)(end - text)) == UINT32_MAX;
        size_t k = wrong ? 3 : (size_t)(text - from);
        memcpy(to, wrong ? "\xEF\xBF\xBD" : from, k);
        to += k;
    }
    if (copy)
        *to = 0;
    return copy;
}

size_t lvt_utf8_cut(const char *text, size_t most) {
    size_t n = strnlen(text, most + 1);
    if (n <= most)
        return n;
    for (n = most; n && ((uint8_t)text[n] & 0xC0) == 0x80;)
        n--;
    return n;
}

/* Control characters but those of one byte; embeddings, overrides and isolates of the direction of writing
 * (Unicode 15, 23.2), line and paragraph separators: nothing that a reader sees, but it changes what they
 * see. */
static bool deceives(uint32_t c) {
    return (c >= 0x80 && c < 0xA0) || (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

char *lvt_json_safe(char *printed) {
    char *copy = printed ? lvt_utf8_copy(printed) : NULL;
    free(printed);
    size_t n = copy ? strlen(copy) : 0;
    const char *text = copy, *end = text + n;
    char *safe = copy ? malloc(6 * n + 1) : NULL, *to = safe;
    while (safe && text < end) {
        const char *from = text;
        uint32_t c = lvt_utf8_next(&text, (size_t)(end - text));
        if (c == 0x7F || deceives(c)) { /* outside of strings JSON has none of them */
            to += sprintf(to, "\\u%04x", c);
        } else {
            memcpy(to, from, (size_t)(text - from));
            to += text - from;
        }
    }
    if (safe)
        *to = 0;
    free(copy);
    return safe;
}

char *lvt_json_quoted(const char *text) {
    char *copy = malloc(6 * strlen(text) + 3), *to = copy;
    if (!copy)
        return NULL;
    *to++ = '"';
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            to += sprintf(to, "\\%c", c);
        else if (c < 0x20)
            to += sprintf(to, "\\u%04x", c);
        else
            *to++ = (char)c;
    }
    strcpy(to, "\"");
    return lvt_json_safe(copy);
}

bool lvt_terminal_shows(uint32_t c) {
    return c >= ' ' && c != 0x7F && c <= 0x10FFFF && !deceives(c);
}

char *lvt_terminal_text(const char *text, bool lines) {
    size_t n = strlen(text);
    const char *end = text + n;
    char *copy = malloc(4 * n + 1), *to = copy;
    while (copy && text < end) {
        const char *from = text;
        uint32_t c = lvt_utf8_next(&text, (size_t)(end - text));
        if (lvt_terminal_shows(c) || (lines && (c == '\n' || c == '\t'))) {
            memcpy(to, from, (size_t)(text - from));
            to += text - from;
        } else { /* six bytes at most for two or three: 4 n are enough */
            to += c == UINT32_MAX || c < 0x80 ? sprintf(to, "\\x%02x", (uint8_t)*from)
                                              : sprintf(to, "\\u%04x", c);
        }
    }
    if (copy)
        *to = 0;
    return copy;
}

void lvt_terminal_print(FILE *f, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    char small[512], *large = NULL, *safe = NULL;
    int n = lvt_vsnprintf(small, sizeof small, format, args);
    if (n >= (int)sizeof small && (large = malloc((size_t)n + 1)))
        lvt_vsnprintf(large, (size_t)n + 1, format, again);
    if (n > 0) /* without memory: its beginning, or nothing */
        safe = lvt_terminal_text(large ? large : small, true);
    if (safe)
        fputs(safe, f);
    free(large);
    free(safe);
    va_end(again);
    va_end(args);
}

void lvt_csv_text(FILE *f, const char *text) {
    char *safe = lvt_terminal_text(text, false);
    if (!safe)
        return;
    fputs(*safe && strchr("=+-@", *safe) ? "\"'" : "\"", f);
    for (const char *c = safe; *c; c++) {
        if (*c == '"')
            fputc('"', f);
        fputc(*c, f);
    }
    fputc('"', f);
    free(safe);
}
