/* Lexer of the model language.
 *
 * Invariant: any bytes give a token list that ends with TOKEN_END; places count from 1, columns in bytes. May not
 * know: grammar, except that brackets hide newlines and that a line starting with a statement word ends an open bracket (so that
 * one forgotten bracket does not swallow the file). */
#include "ast.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const keywords[] = {"import", "block",  "model", "entry", "param",    "state", "let",  "update",
                                       "return", "repeat", "for",   "in",    "if",       "else",  "as",   "at",
                                       "with",   "true",   "false", "none",  "minimize", "and",   "or",   "not"};
enum { N_KEYWORDS = sizeof keywords / sizeof *keywords };
/* Words that can only start a statement. */
static const char *const starters[] = {"import", "block",  "model",  "entry",  "param", "let",
                                       "update", "return", "repeat", "for",    "minimize"};
/* Longest first. */
static const char *const marks[] = {"...", "**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "@", "<",
                                    ">",   "=",  "(",  ")",  "[",  "]",  "{",  "}", ",", ":", "."};

typedef struct lexer {
    const char *file, *text, *end, *p, *line_start;
    uint32_t line;
    int depth;
    lvt_arena *arena;
    lvt_diag *diag;
    ast_token *items;
    size_t n, cap;
    bool nomem;
} lexer;

static bool in_list(const char *word, size_t n, const char *const *list, size_t n_list) {
    for (size_t i = 0; i < n_list; i++)
        if (strlen(list[i]) == n && !memcmp(list[i], word, n))
            return true;
    return false;
}

static lvt_pos place(const lexer *x, const char *p) {
    return (lvt_pos){x->file, x->line, (uint32_t)(p - x->line_start) + 1};
}

static ast_token *add(lexer *x, ast_token_kind kind, const char *start, const char *text, size_t n) {
    if (x->nomem)
        return NULL;
    if (x->n == x->cap) {
        ast_token *grown = lvt_arena_grow(x->arena, x->items, x->n, x->n + 1, &x->cap, sizeof *grown);
        if (!grown) {
            x->nomem = true;
            return NULL;
        }
        x->items = grown;
    }
    char *copy = lvt_arena_strndup(x->arena, text, n);
    if (!copy) {
        x->nomem = true;
        return NULL;
    }
    ast_token *t = &x->items[x->n++];
    *t = (ast_token){.kind = (uint8_t)kind, .text = copy};
    t->line = x->line;
    t->col = (uint32_t)(start - x->line_start) + 1;
    return t;
}

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static void number(lexer *x) {
    const char *start = x->p, *p = x->p;
    bool real = false;
    while (p < x->end && is_digit(*p))
        p++;
    if (p + 1 < x->end && *p == '.' && is_digit(p[1])) {
        real = true;
        for (p++; p < x->end && is_digit(*p);)
            p++;
    }
    if (p < x->end && (*p == 'e' || *p == 'E')) {
        const char *q = p + 1;
        if (q < x->end && (*q == '+' || *q == '-'))
            q++;
        if (q < x->end && is_digit(*q)) {
            real = true;
            for (p = q; p < x->end && is_digit(*p);)
                p++;
        }
    }
    x->p = p;
    if (p < x->end && is_letter(*p)) {
        while (x->p < x->end && (is_letter(*x->p) || is_digit(*x->p)))
            x->p++;
        lvt_error(x->diag, LVT_USER, "E103", place(x, start), "'%.*s' is neither a number nor a name",
                  (int)(x->p - start > 40 ? 40 : x->p - start), start);
    }
    ast_token *t = add(x, real ? TOKEN_FLOAT : TOKEN_INT, start, start, (size_t)(p - start));
    if (!t)
        return;
    errno = 0;
    if (real)
        t->f = strtod(t->text, NULL);
    else
        t->i = strtoll(t->text, NULL, 10);
    if (errno == ERANGE && (!real || isinf(t->f)))
        lvt_error(x->diag, LVT_USER, "E103", place(x, start), "the number %s is out of range", t->text);
}

static void string(lexer *x) {
    const char *start = x->p++;
    char *value = lvt_arena_alloc(x->arena, (size_t)(x->end - start) + 1);
    if (!value) {
        x->nomem = true;
        return;
    }
    size_t n = 0;
    while (x->p < x->end && *x->p != '"' && *x->p != '\n') {
        char c = *x->p++;
        if (c == '\\' && x->p < x->end && *x->p != '\n') {
            c = *x->p++;
            c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
        }
        value[n++] = c ? c : '?';
    }
    if (x->p < x->end && *x->p == '"')
        x->p++;
    else
        lvt_error(x->diag, LVT_USER, "E102", place(x, start), "the string does not end on its line");
    add(x, TOKEN_STRING, start, value, n);
}

static void word(lexer *x) {
    const char *start = x->p;
    while (x->p < x->end && (is_letter(*x->p) || is_digit(*x->p)))
        x->p++;
    size_t n = (size_t)(x->p - start);
    bool reserved = in_list(start, n, keywords, N_KEYWORDS);
    if (reserved && x->depth && in_list(start, n, starters, sizeof starters / sizeof *starters)) {
        const char *q = start;
        while (q > x->line_start && (q[-1] == ' ' || q[-1] == '\t'))
            q--;
        if (q == x->line_start) { /* first on its line: the bracket was forgotten */
            x->depth = 0;
            add(x, TOKEN_NEWLINE, start, "", 0);
        }
    }
    add(x, reserved ? TOKEN_KEYWORD : TOKEN_NAME, start, start, n);
}

static void mark(lexer *x) {
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        size_t n = strlen(marks[i]);
        if ((size_t)(x->end - x->p) < n || memcmp(x->p, marks[i], n))
            continue;
        char c = marks[i][0];
        if (c == '(' || c == '[')
            x->depth++;
        if ((c == ')' || c == ']') && x->depth)
            x->depth--;
        add(x, TOKEN_MARK, x->p, marks[i], n);
        x->p += n;
        return;
    }
    unsigned char c = (unsigned char)*x->p;
    if (c >= 32 && c < 127)
        lvt_error(x->diag, LVT_USER, "E101", place(x, x->p), "the character '%c' means nothing here", c);
    else
        lvt_error(x->diag, LVT_USER, "E101", place(x, x->p), "the byte 0x%02x means nothing here", c);
    x->p++;
    while (x->p < x->end && (unsigned char)*x->p >= 128) /* the rest of a letter in UTF-8 */
        x->p++;
}

lvt_status ast_lex(const char *file, const char *text, size_t length, lvt_arena *arena, lvt_diag *diag,
                   ast_tokens *out) {
    lexer x = {.file = file, .text = text, .end = text + length, .p = text, .line_start = text, .line = 1,
               .arena = arena, .diag = diag};
    while (x.p < x.end && !x.nomem) {
        char c = *x.p;
        if (c == '\n') {
            if (!x.depth)
                add(&x, TOKEN_NEWLINE, x.p, "", 0);
            x.p++;
            x.line++;
            x.line_start = x.p;
        } else if (c == ' ' || c == '\t' || c == '\r') {
            x.p++;
        } else if (c == '#') {
            while (x.p < x.end && *x.p != '\n')
                x.p++;
        } else if (is_digit(c)) {
            number(&x);
        } else if (c == '"') {
            string(&x);
        } else if (is_letter(c)) {
            word(&x);
        } else {
            mark(&x);
        }
    }
    add(&x, TOKEN_NEWLINE, x.p, "", 0);
    add(&x, TOKEN_END, x.p, "", 0);
    out->items = x.items;
    out->n = x.n;
    return x.nomem ? LVT_NOMEM : LVT_OK;
}
