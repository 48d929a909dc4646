/* The lexer of IR text and of the model language: bytes to tokens with places.
 *
 * Invariant: any bytes are legal input; a mistake is reported to `diag` once and becomes an LVT_TOK_ERROR
 * token, after which lexing goes on. No recursion; memory only for decoded strings. A lexer is a plain value:
 * copy it to look ahead (set `diag` of the copy to NULL, or mistakes are reported twice). May not know: what
 * the tokens mean. */
#ifndef LVT_IR_LEX_H
#define LVT_IR_LEX_H

#include "ir/base/arena.h"
#include "ir/base/diag.h"

#include <string.h>

typedef enum lvt_lex_mode {
    LVT_LEX_IR,      /* `%12` and `@a.b.0` are tokens, line ends are not */
    LVT_LEX_LANGUAGE /* `%` and `@` are operators; a line end is a token unless `(` or `[` is open */
} lvt_lex_mode;

typedef enum lvt_token_kind {
    LVT_TOK_END,
    LVT_TOK_ERROR,   /* already reported */
    LVT_TOK_NEWLINE, /* language only; empty lines and comments make none of their own */
    LVT_TOK_NAME,    /* letter or _, then letters, digits, _ */
    LVT_TOK_INT,     /* i, and f the same as a double */
    LVT_TOK_FLOAT,   /* f: has a point with digits on both sides, or an exponent */
    LVT_TOK_STRING,  /* text: decoded, ends in a zero byte, holds no other */
    LVT_TOK_PUNCT,   /* punct */
    LVT_TOK_VALUE,   /* IR only: %12, the number is i */
    LVT_TOK_PATH     /* IR only: @stem.weight, @"any text"; text without the @ */
} lvt_token_kind;

/* Operators: the character itself, or LVT_PUNCT2 of two. */
#define LVT_PUNCT2(a, b) ((a) | (b) << 8)
enum {
    LVT_PUNCT_EQ = LVT_PUNCT2('=', '='),
    LVT_PUNCT_NE = LVT_PUNCT2('!', '='),
    LVT_PUNCT_LE = LVT_PUNCT2('<', '='),
    LVT_PUNCT_GE = LVT_PUNCT2('>', '='),
    LVT_PUNCT_FLOORDIV = LVT_PUNCT2('/', '/'),
    LVT_PUNCT_POWER = LVT_PUNCT2('*', '*'),
    LVT_PUNCT_ARROW = LVT_PUNCT2('-', '>'),
    LVT_PUNCT_RANGE = LVT_PUNCT2('.', '.'),
    LVT_PUNCT_ELLIPSIS = 1 << 16 /* ... */
};

typedef struct lvt_token {
    uint8_t kind;
    bool first;         /* nothing but blanks before it on its line */
    uint32_t line, col; /* from 1; col counts bytes */
    int punct;
    const char *text; /* into the source (not ended by a zero byte), or decoded for strings: valid as long as
                         source and arena */
    size_t length;
    int64_t i;
    double f;
} lvt_token;

typedef struct lvt_lexer {
    lvt_lex_mode mode;
    const char *file, *p, *end, *line_start;
    uint32_t line;
    uint32_t open;    /* ( and [ that are open; a } closes them all, so that a missing one costs one block */
    bool any;         /* the line has had a token */
    lvt_arena *arena; /* for decoded strings */
    lvt_diag *diag;
} lvt_lexer;

/* `file` names the text in messages; file and text must outlive the lexer. Does not call lvt_diag_source. */
void lvt_lex_init(lvt_lexer *l, lvt_lex_mode mode, const char *file, const char *text, size_t length,
                  lvt_arena *arena, lvt_diag *diag);
/* The next token; after the last it is LVT_TOK_END for ever. Fails only with LVT_NOMEM. Errors: E101 stray
 * character, E102 bad number, E103 bad string. */
lvt_status lvt_lex_next(lvt_lexer *l, lvt_token *t);

static inline lvt_pos lvt_token_pos(const lvt_lexer *l, const lvt_token *t) {
    return (lvt_pos){l->file, t->line, t->col};
}
/* A NAME with just this text. */
static inline bool lvt_token_is(const lvt_token *t, const char *name) {
    return t->kind == LVT_TOK_NAME && t->length == strlen(name) && memcmp(t->text, name, t->length) == 0;
}
/* "'x', "'->'", "end of file": for messages; returns buffer. */
enum { LVT_TOKEN_TEXT = 64 };
const char *lvt_token_text(const lvt_token *t, char buffer[LVT_TOKEN_TEXT]);

#endif
