/* Collects messages and renders them with the source line and a caret.
 *
 * Invariant: running out of memory while noting a problem loses words, never the count of errors, so a caller
 * that asks lvt_diag_errors always learns the truth. May not know: the graph, files of any format. */
#include "diag.h"
#include "ir/base/c_locale.h"
#include "utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WARNINGS = 100, MAX_NOTES = 200, MAX_LINE = 160, TAB_WIDTH = 8 };

typedef enum severity { ERROR, WARNING, NOTE } severity;

typedef struct message {
    severity kind;
    char *code, *file, *text; /* code, file: may be NULL */
    uint32_t line, col;
} message;

typedef struct source {
    char *file, *text;
    size_t length;
} source;

struct lvt_diag {
    message *messages;
    source *sources;
    size_t n_messages, cap_messages, n_sources, cap_sources;
    size_t errors, warnings, notes;
    bool dropped; /* the latest error or warning was not kept: neither are its notes */
};

int lvt_exit_code(lvt_status status) {
    switch (status) {
    case LVT_OK:
        return 0;
    case LVT_USAGE:
        return 2;
    case LVT_INTERNAL:
        return 70;
    case LVT_INTERRUPT:
        return 130;
    case LVT_USER:
    case LVT_IO:
    case LVT_NOMEM:
        return 1;
    }
    return 70;
}

lvt_diag *lvt_diag_new(void) {
    return calloc(1, sizeof(lvt_diag));
}

void lvt_diag_clear(lvt_diag *d) {
    if (!d)
        return;
    for (size_t i = 0; i < d->n_messages; i++) {
        free(d->messages[i].code);
        free(d->messages[i].file);
        free(d->messages[i].text);
    }
    d->n_messages = d->errors = d->warnings = d->notes = 0;
    d->dropped = false;
}

void lvt_diag_free(lvt_diag *d) {
    if (!d)
        return;
    lvt_diag_clear(d);
    for (size_t i = 0; i < d->n_sources; i++) {
        free(d->sources[i].file);
        free(d->sources[i].text);
    }
    free(d->messages);
    free(d->sources);
    free(d);
}

/* Room for one more element; false when out of memory (the array is untouched then). */
static bool reserve(void **array, size_t *capacity, size_t n, size_t size) {
    if (n < *capacity)
        return true;
    size_t wanted = *capacity ? *capacity * 2 : 8;
    void *bigger = realloc(*array, wanted * size);
    if (!bigger)
        return false;
    *array = bigger;
    *capacity = wanted;
    return true;
}

static char *copy_bytes(const char *text, size_t length) {
    char *copy = malloc(length + 1);
    if (copy) {
        if (length)
            memcpy(copy, text, length);
        copy[length] = '\0';
    }
    return copy;
}

void lvt_diag_source(lvt_diag *d, const char *file, const char *text, size_t length) {
    if (!d || !file || !text)
        return;
    char *name = copy_bytes(file, strlen(file)), *copy = copy_bytes(text, length);
    if (!name || !copy)
        goto drop;
    for (size_t i = 0; i < d->n_sources; i++)
        if (strcmp(d->sources[i].file, file) == 0) { /* read again: the newer text counts */
            free(d->sources[i].file);
            free(d->sources[i].text);
            d->sources[i] = (source){name, copy, length};
            return;
        }
    if (!reserve((void **)&d->sources, &d->cap_sources, d->n_sources, sizeof *d->sources))
        goto drop;
    d->sources[d->n_sources++] = (source){name, copy, length};
    return;
drop:
    free(name);
    free(copy);
}

static void add(lvt_diag *d, severity kind, const char *code, lvt_pos at, const char *format, va_list args) {
    va_list again;
    va_copy(again, args);
    int length = lvt_vsnprintf(NULL, 0, format, args);
    message m = {.kind = kind, .line = at.line, .col = at.col};
    m.text = length < 0 ? NULL : malloc((size_t)length + 1);
    if (m.text)
        lvt_vsnprintf(m.text, (size_t)length + 1, format, again);
    va_end(again);
    m.code = code ? copy_bytes(code, strlen(code)) : NULL;
    m.file = at.file ? copy_bytes(at.file, strlen(at.file)) : NULL;
    if (m.text && reserve((void **)&d->messages, &d->cap_messages, d->n_messages, sizeof m)) {
        d->messages[d->n_messages++] = m;
        return;
    }
    free(m.code);
    free(m.file);
    free(m.text);
    d->dropped = true;
}

lvt_status lvt_error(lvt_diag *d, lvt_status status, const char *code, lvt_pos at, const char *format, ...) {
    if (!d)
        return status;
    d->dropped = d->errors >= LVT_MAX_ERRORS;
    d->errors++;
    if (!d->dropped) {
        va_list args;
        va_start(args, format);
        add(d, ERROR, code, at, format, args);
        va_end(args);
    }
    return status;
}

lvt_status lvt_no_memory(lvt_diag *d, const char *what) {
    return lvt_error(d, LVT_NOMEM, NULL, LVT_NOWHERE, what ? "out of memory %s" : "out of memory", what);
}

void lvt_warning(lvt_diag *d, const char *code, lvt_pos at, const char *format, ...) {
    if (!d)
        return;
    d->dropped = d->warnings >= MAX_WARNINGS;
    d->warnings++;
    if (d->dropped)
        return;
    va_list args;
    va_start(args, format);
    add(d, WARNING, code, at, format, args);
    va_end(args);
}

void lvt_note(lvt_diag *d, lvt_pos at, const char *format, ...) {
    if (!d || d->dropped || d->notes >= MAX_NOTES)
        return;
    d->notes++;
    va_list args;
    va_start(args, format);
    add(d, NOTE, NULL, at, format, args);
    va_end(args);
}

size_t lvt_diag_errors(const lvt_diag *d) {
    return d ? d->errors : 0;
}
size_t lvt_diag_warnings(const lvt_diag *d) {
    return d ? d->warnings : 0;
}

const char *lvt_diag_first(const lvt_diag *d) {
    for (size_t i = 0; d && i < d->n_messages; i++)
        if (d->messages[i].kind == ERROR)
            return d->messages[i].text;
    return NULL;
}

void lvt_diag_move(lvt_diag *to, lvt_diag *from) {
    for (size_t i = 0; to && from && i < from->n_messages; i++) {
        const message *m = &from->messages[i];
        lvt_pos at = {m->file, m->line, m->col};
        if (m->kind == ERROR)
            lvt_error(to, LVT_USER, m->code, at, "%s", m->text);
        else if (m->kind == WARNING)
            lvt_warning(to, m->code, at, "%s", m->text);
        else
            lvt_note(to, at, "%s", m->text);
    }
    /* errors that were counted but not kept count on */
    size_t kept = 0;
    for (size_t i = 0; from && i < from->n_messages; i++)
        kept += from->messages[i].kind == ERROR;
    if (to && from)
        to->errors += from->errors - kept;
    lvt_diag_clear(from);
}

/* ---- rendering ----------------------------------------------------------------------------------------- */

typedef struct text {
    char *bytes;
    size_t n, capacity;
    bool failed;
} text;

static void put_bytes(text *t, const char *bytes, size_t n) {
    if (t->failed || n == 0)
        return;
    if (t->capacity - t->n <= n) {
        size_t wanted = (t->n + n + 1) * 2;
        char *bigger = realloc(t->bytes, wanted);
        if (!bigger) {
            t->failed = true;
            return;
        }
        t->bytes = bigger;
        t->capacity = wanted;
    }
    memcpy(t->bytes + t->n, bytes, n);
    t->n += n;
    t->bytes[t->n] = '\0';
}

static void put(text *t, const char *s) {
    put_bytes(t, s, strlen(s));
}

__attribute__((format(printf, 2, 3))) static void put_format(text *t, const char *format, ...) {
    char small[64];
    va_list args;
    va_start(args, format);
    int n = lvt_vsnprintf(small, sizeof small, format, args);
    va_end(args);
    if (n > 0)
        put_bytes(t, small, (size_t)n < sizeof small ? (size_t)n : sizeof small - 1);
}

static const source *find_source(const lvt_diag *d, const char *file) {
    for (size_t i = 0; i < d->n_sources; i++)
        if (strcmp(d->sources[i].file, file) == 0)
            return &d->sources[i];
    return NULL;
}

/* The bytes of line number `line`, without its end; NULL when the text has no such line. */
static const char *find_line(const source *s, uint32_t line, size_t *length) {
    const char *p = s->text, *end = s->text + s->length;
    for (uint32_t at = 1; at < line; at++) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        if (!newline)
            return NULL;
        p = newline + 1;
    }
    const char *newline = memchr(p, '\n', (size_t)(end - p));
    *length = (size_t)((newline ? newline : end) - p);
    if (*length && p[*length - 1] == '\r')
        (*length)--;
    return p;
}

/* Copies the line with tabs expanded and control characters made harmless for a terminal. Returns the column
 * on the screen of byte `caret`: a character takes one. */
static size_t put_line(text *t, const char *line, size_t length, size_t begin, size_t caret) {
    size_t column = 0, found = 0;
    const char *at = line + begin, *end = line + (length < begin + MAX_LINE ? length : begin + MAX_LINE);
    while (at < end) {
        const char *from = at;
        uint32_t c = lvt_utf8_next(&at, (size_t)(line + length - at));
        if (line + caret >= from && line + caret < at)
            found = column;
        if (c == '\t') {
            do
                put(t, " ");
            while (++column % TAB_WIDTH);
            continue;
        }
        if (lvt_terminal_shows(c))
            put_bytes(t, from, (size_t)(at - from));
        else
            put(t, "?");
        column++;
    }
    return caret >= length ? column : found;
}

static void put_excerpt(text *t, const lvt_diag *d, const message *m) {
    const source *s = m->file && m->line ? find_source(d, m->file) : NULL;
    size_t length = 0;
    const char *line = s ? find_line(s, m->line, &length) : NULL;
    if (!line || length == 0)
        return;
    size_t caret = m->col ? m->col - 1 : 0;
    if (caret > length)
        caret = length;
    /* of a very long line show the part around the caret, starting between two characters */
    size_t begin = caret > MAX_LINE * 3 / 4 ? caret - MAX_LINE / 2 : 0;
    while (begin && begin < length && ((unsigned char)line[begin] & 0xc0) == 0x80)
        begin--;
    put_format(t, "%5u | ", m->line);
    size_t column = put_line(t, line, length, begin, caret);
    put(t, "\n");
    if (m->col) {
        put(t, "      | ");
        for (size_t i = 0; i < column; i++)
            put(t, " ");
        put(t, "^\n");
    }
}

/* Names in messages come from anywhere. */
static void put_safe(text *t, const char *s, bool lines) {
    char *safe = lvt_terminal_text(s, lines);
    t->failed |= !safe;
    if (safe)
        put(t, safe);
    free(safe);
}

static void put_message(text *t, const lvt_diag *d, const message *m) {
    if (m->file) {
        put_safe(t, m->file, false);
        if (m->line)
            put_format(t, ":%u", m->line);
        if (m->line && m->col)
            put_format(t, ":%u", m->col);
        put(t, ": ");
    }
    put(t, m->kind == ERROR ? "error" : m->kind == WARNING ? "warning" : "note");
    if (m->code) {
        put(t, " ");
        put(t, m->code);
    }
    put(t, ": ");
    put_safe(t, m->text, true);
    put(t, "\n");
    if (m->kind != NOTE)
        put_excerpt(t, d, m);
}

char *lvt_diag_text(const lvt_diag *d) {
    if (!d)
        return copy_bytes("", 0);
    text t = {0};
    for (size_t i = 0; i < d->n_messages; i++)
        put_message(&t, d, &d->messages[i]);
    if (d->errors > LVT_MAX_ERRORS)
        put_format(&t, "%zu more errors are not shown\n", d->errors - LVT_MAX_ERRORS);
    if (t.failed) {
        free(t.bytes);
        return NULL;
    }
    return t.bytes ? t.bytes : copy_bytes("", 0);
}

/* ---- nearest name -------------------------------------------------------------------------------------- */

enum { MAX_WORD = 64 };

/* Edit distance in which exchanging two neighbours is one edit (optimal string alignment: Damerau 1964, in
 * the three-row form of Wagner and Fischer's algorithm). Both words are at most MAX_WORD long. */
static size_t distance(const char *a, size_t n, const char *b, size_t m) {
    size_t rows[3][MAX_WORD + 1];
    for (size_t j = 0; j <= m; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);
            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
    }
    return rows[n % 3][m];
}

const char *lvt_nearest(const char *word, const char *const *names, size_t n) {
    if (!word)
        return NULL;
    size_t length = strlen(word), best = SIZE_MAX;
    const char *nearest = NULL;
    if (length > MAX_WORD)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        size_t other = names[i] ? strlen(names[i]) : SIZE_MAX;
        if (other > MAX_WORD)
            continue;
        size_t longer = other > length ? other : length;
        /* one wrong letter may be a third of a word of three, but never the whole of a shorter one */
        size_t edits = distance(word, length, names[i], other);
        if (edits * 3 <= longer && edits < best) {
            best = edits;
            nearest = names[i];
        }
    }
    return nearest;
}
