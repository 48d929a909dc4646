/* The lexer of IR text and of the model language, see lex.h.
 *
 * Invariant: every call consumes at least one byte or returns LVT_TOK_END, so lexing ends. May not know: what
 * the tokens mean. */
#include "lex.h"
#include "ir/base/c_locale.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The C library's classes depend on the locale; a model's text must not. */
enum { LETTER = 1, DIGIT = 2, PUNCT = 4 };
static const unsigned char classes[256] = {
    ['a' ... 'z'] = LETTER, ['A' ... 'Z'] = LETTER, ['_'] = LETTER, ['0' ... '9'] = DIGIT, ['('] = PUNCT,
    [')'] = PUNCT,          ['['] = PUNCT,          [']'] = PUNCT,  ['{'] = PUNCT,         ['}'] = PUNCT,
    [','] = PUNCT,          [':'] = PUNCT,          ['='] = PUNCT,  ['+'] = PUNCT,         ['-'] = PUNCT,
    ['*'] = PUNCT,          ['/'] = PUNCT,          ['%'] = PUNCT,  ['@'] = PUNCT,         ['<'] = PUNCT,
    ['>'] = PUNCT,          ['.'] = PUNCT};

static bool is_letter(char c) {
    return classes[(unsigned char)c] & LETTER;
}
static bool is_digit(char c) {
    return classes[(unsigned char)c] & DIGIT;
}
static bool is_word(char c) {
    return classes[(unsigned char)c] & (LETTER | DIGIT);
}

void lvt_lex_init(lvt_lexer *l, lvt_lex_mode mode, const char *file, const char *text, size_t length,
                  lvt_arena *arena, lvt_diag *diag) {
    *l = (lvt_lexer){
        .mode = mode, .file = file, .p = text, .end = text + length, .line_start = text, .line = 1};
    l->arena = arena;
    l->diag = diag;
}

static lvt_status mistake(lvt_lexer *l, lvt_token *t, const char *code, const char *what) {
    t->kind = LVT_TOK_ERROR;
    lvt_error(l->diag, LVT_USER, code, lvt_token_pos(l, t), "%s", what);
    return LVT_OK;
}

/* Skips blanks, comments and line ends; true when a line with tokens has ended. */
static bool skip(lvt_lexer *l) {
    bool ended = false;
    while (l->p < l->end) {
        char c = *l->p;
        if (c == '\n') {
            l->line_start = ++l->p;
            l->line++;
            ended |= l->any;
            l->any = false;
        } else if (c == ' ' || c == '\t' || c == '\r')
            l->p++;
        else if (c == '#')
            while (l->p < l->end && *l->p != '\n')
                l->p++;
        else
            break;
    }
    return ended;
}

static const char *digits(const char *p, const char *end) {
    while (p < end && is_digit(*p))
        p++;
    return p;
}

/* Up to 15 digits and a power of ten up to 22 are doubles themselves, so one product or quotient of them is
 * rounded once and thereby what strtod gives (Clinger 1990). False: it takes more than that. */
static bool parse_short(const char *p, double *out) {
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    uint64_t value = 0;
    int n = 0, scale = 0, exponent = 0;
    bool fraction = false;
    for (; is_digit(*p) || *p == '.'; p++) {
        if (*p == '.') {
            fraction = true;
            continue;
        }
        value = value * 10 + (uint64_t)(*p - '0');
        scale += fraction;
        if (++n > 15)
            return false;
    }
    if (*p) { /* e */
        bool negative = p[1] == '-';
        p += 1 + (negative || p[1] == '+');
        for (; is_digit(*p) && exponent < 100; p++)
            exponent = exponent * 10 + (*p - '0');
        exponent = negative ? -exponent : exponent;
    }
    exponent -= scale;
    if (exponent < -22 || exponent > 22)
        return false;
    *out = exponent < 0 ? (double)value / powers[-exponent] : (double)value * powers[exponent];
    return true;
}

static double parse_double(const char *text) {
    double quick;
    return parse_short(text, &quick) ? quick : lvt_strtod(text, NULL);
}

static lvt_status lex_number(lvt_lexer *l, lvt_token *t) {
    const char *start = l->p, *p = digits(l->p, l->end);
    bool real = false;
    if (l->end - p >= 2 && p[0] == '.' && is_digit(p[1])) {
        real = true;
        p = digits(p + 1, l->end);
    }
    if (p < l->end && (*p == 'e' || *p == 'E')) {
        const char *e = p + 1;
        if (e < l->end && (*e == '+' || *e == '-'))
            e++;
        if (e < l->end && is_digit(*e)) {
            real = true;
            p = digits(e, l->end);
        }
    }
    bool glued = p < l->end && is_word(*p);
    while (p < l->end && is_word(*p))
        p++;
    l->p = p;
    t->text = start;
    t->length = (size_t)(p - start);
    if (glued)
        return mistake(l, t, "E102", "this is neither a number nor a name");
    char buffer[64];
    if (t->length >= sizeof buffer)
        return mistake(l, t, "E102", "this number has more than 63 characters");
    memcpy(buffer, start, t->length);
    buffer[t->length] = '\0';
    if (real) {
        t->kind = LVT_TOK_FLOAT;
        t->f = parse_double(buffer);
        if (t->f > 1.7976931348623157e308)
            return mistake(l, t, "E102", "this number is too large");
        return LVT_OK;
    }
    uint64_t magnitude = 0, limit = (uint64_t)INT64_MAX + (l->mode == LVT_LEX_IR);
    bool large = false; /* the reader of IR meets the smallest integer as a minus and 2^63 */
    for (const char *d = buffer; *d; d++) {
        unsigned digit = (unsigned)(*d - '0');
        large |= magnitude > (limit - digit) / 10;
        magnitude = magnitude * 10 + digit;
    }
    if (large)
        return mistake(l, t, "E102", "this integer does not fit in 64 bits");
    t->kind = LVT_TOK_INT;
    t->i = magnitude > INT64_MAX ? INT64_MIN : (int64_t)magnitude;
    t->f = (double)magnitude;
    return LVT_OK;
}

static int hex(char c) {
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) % 16 : -1;
}

/* l->p is at the opening quote. */
static lvt_status lex_string(lvt_lexer *l, lvt_token *t) {
    const char *p = l->p + 1, *close = p;
    while (close < l->end && *close != '"' && *close != '\n')
        close += *close == '\\' && close + 1 < l->end && close[1] != '\n' ? 2 : 1;
    l->p = close;
    if (close >= l->end || *close != '"')
        return mistake(l, t, "E103", "this string does not end on its line");
    l->p = close + 1;
    char *out = lvt_arena_alloc(l->arena, (size_t)(close - p) + 1);
    if (!out)
        return LVT_NOMEM;
    size_t n = 0;
    while (p < close) {
        char c = *p++;
        if (c == '\\') {
            c = *p++;
            if (c == 'n')
                c = '\n';
            else if (c == 't')
                c = '\t';
            else if (c == 'r')
                c = '\r';
            else if (c == 'x' && close - p >= 2 && hex(p[0]) >= 0 && hex(p[1]) >= 0) {
                c = (char)(hex(p[0]) * 16 + hex(p[1]));
                p += 2;
            } else if (c != '"' && c != '\\') {
                t->col = (uint32_t)(p - 2 - l->line_start) + 1;
                return mistake(
                    l, t, "E103",
                    "unknown escape; there are \\n \\t \\r \\\" \\\\ and \\x with two hexadecimal digits");
            }
        }
        if (c == '\0')
            return mistake(l, t, "E103", "a string cannot hold a zero byte");
        out[n++] = c;
    }
    t->kind = LVT_TOK_STRING;
    t->text = out;
    t->length = n;
    return LVT_OK;
}

static lvt_status lex_punct(lvt_lexer *l, lvt_token *t) {
    static const char two[][3] = {"==", "!=", "<=", ">=", "//", "**", "->", ".."};
    const char *p = l->p;
    t->kind = LVT_TOK_PUNCT;
    t->text = p;
    if (l->end - p >= 3 && memcmp(p, "...", 3) == 0) {
        t->punct = LVT_PUNCT_ELLIPSIS;
        t->length = 3;
        l->p += 3;
        return LVT_OK;
    }
    bool pair = l->end - p >= 2 && p[1] != ' ' && !is_word(p[1]);
    for (size_t k = 0; pair && k < sizeof two / sizeof *two; k++)
        if (p[0] == two[k][0] && p[1] == two[k][1]) {
            t->punct = LVT_PUNCT2(p[0], p[1]);
            t->length = 2;
            l->p += 2;
            return LVT_OK;
        }
    if (classes[(unsigned char)*p] & PUNCT) {
        t->punct = *p;
        t->length = 1;
        l->p++;
        if (*p == '(' || *p == '[')
            l->open++;
        else if ((*p == ')' || *p == ']') && l->open)
            l->open--;
        else if (*p == '}')
            l->open = 0;
        return LVT_OK;
    }
    unsigned char c = (unsigned char)*p;
    char what[64];
    if (c > 0x20 && c < 0x7f)
        snprintf(what, sizeof what, "stray character '%c'", c);
    else
        snprintf(what, sizeof what, "stray byte 0x%02x", c);
    /* a letter outside ASCII is several bytes: one mistake */
    do
        l->p++;
    while (c >= 0x80 && l->p < l->end && (unsigned char)*l->p >= 0x80);
    t->length = (size_t)(l->p - p);
    return mistake(l, t, "E101", what);
}

/* `%12` or `@path` of IR; false when what follows is neither, then nothing is consumed. */
static bool lex_sigil(lvt_lexer *l, lvt_token *t, lvt_status *status) {
    const char *p = l->p + 1;
    if (l->mode != LVT_LEX_IR || p >= l->end)
        return false;
    if (*l->p == '%' && is_digit(*p)) {
        l->p = p;
        *status = lex_number(l, t);
        if (t->kind == LVT_TOK_INT)
            t->kind = LVT_TOK_VALUE;
        else if (t->kind == LVT_TOK_FLOAT)
            *status = mistake(l, t, "E102", "a value is % and a whole number");
        return true;
    }
    if (*l->p == '@' && *p == '"') {
        l->p = p;
        *status = lex_string(l, t);
        if (t->kind == LVT_TOK_STRING)
            t->kind = LVT_TOK_PATH;
        return true;
    }
    if (*l->p == '@' && is_word(*p)) {
        t->kind = LVT_TOK_PATH;
        t->text = p;
        while (p < l->end && (is_word(*p) || *p == '.'))
            p++;
        t->length = (size_t)(p - t->text);
        l->p = p;
        return true;
    }
    return false;
}

lvt_status lvt_lex_next(lvt_lexer *l, lvt_token *t) {
    const char *before = l->p;
    uint32_t line = l->line, col = (uint32_t)(before - l->line_start) + 1;
    bool ended = skip(l);
    *t = (lvt_token){.line = l->line, .col = (uint32_t)(l->p - l->line_start) + 1, .first = !l->any};
    t->text = l->p;
    if (l->mode == LVT_LEX_LANGUAGE && l->open == 0 && (ended || (l->p >= l->end && l->any))) {
        /* the place is where the statement ended, not where the next one starts */
        *t = (lvt_token){.kind = LVT_TOK_NEWLINE, .line = line, .col = col, .text = before};
        l->any = false;
        return LVT_OK;
    }
    if (l->p >= l->end) {
        t->kind = LVT_TOK_END;
        return LVT_OK;
    }
    l->any = true;
    char c = *l->p;
    lvt_status status = LVT_OK;
    if (is_letter(c)) {
        t->kind = LVT_TOK_NAME;
        while (l->p < l->end && is_word(*l->p))
            l->p++;
        t->length = (size_t)(l->p - t->text);
    } else if (is_digit(c)) {
        status = lex_number(l, t);
    } else if (c == '"') {
        status = lex_string(l, t);
    } else if ((c != '%' && c != '@') || !lex_sigil(l, t, &status)) {
        status = lex_punct(l, t);
    }
    return status;
}

const char *lvt_token_text(const lvt_token *t, char buffer[LVT_TOKEN_TEXT]) {
    int n = t->length > 40 ? 40 : (int)t->length;
    switch ((lvt_token_kind)t->kind) {
    case LVT_TOK_END:
        return "end of file";
    case LVT_TOK_NEWLINE:
        return "end of line";
    case LVT_TOK_ERROR:
        return "a mistake";
    case LVT_TOK_STRING:
        return "a string";
    case LVT_TOK_INT:
    case LVT_TOK_FLOAT:
        snprintf(buffer, LVT_TOKEN_TEXT, "the number %.*s", n, t->text);
        return buffer;
    case LVT_TOK_VALUE:
        snprintf(buffer, LVT_TOKEN_TEXT, "%%%lld", (long long)t->i);
        return buffer;
    case LVT_TOK_PATH:
        snprintf(buffer, LVT_TOKEN_TEXT, "@%.*s", n, t->text);
        return buffer;
    case LVT_TOK_NAME:
    case LVT_TOK_PUNCT:
        snprintf(buffer, LVT_TOKEN_TEXT, "'%.*s'", n, t->text);
        return buffer;
    }
    return "?";
}
