/* Inside the parser: its state and the pieces that expressions and statements share. */
#ifndef LVT_LANGUAGE_PARSER_H
#define LVT_LANGUAGE_PARSER_H

#include "ast.h"

typedef struct parser {
    const char *file;
    lvt_arena *arena;
    lvt_diag *diag;
    ast_token *t; /* the next token */
    int depth;    /* of nested constructs */
    bool no_as;   /* `as` belongs to the statement, not to a call */
    bool panic;   /* a mistake was reported in this statement: say nothing more until it is over */
    bool failed;  /* something was reported */
    bool nomem;
} parser;

bool lvt_lang_parser_at(const parser *p, const char *text); /* keyword or mark */
bool lvt_lang_parser_take(parser *p, const char *text);     /* takes it if it is next */
bool lvt_lang_parser_expect(parser *p, const char *text);   /* takes it or reports E110 */
/* Reports once a statement. */
void lvt_lang_parser_error(parser *p, const char *code, uint32_t line, uint32_t col, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* Reports E110: WANTED was expected, the next token was found. */
void lvt_lang_parser_unexpected(parser *p, const char *wanted);
/* A name, or NULL after an error. */
const char *lvt_lang_parser_name(parser *p, const char *wanted);
/* One more element at the end of an array in the arena; false when out of memory. */
bool lvt_lang_parser_push(parser *p, void *array, uint32_t *n, const void *element, size_t size);
bool lvt_lang_parser_enter(
    parser *p); /* one level deeper; false (and E112) when too deep. Balanced by p->depth--. */

ast_expr *lvt_lang_parse_expr(parser *p);       /* no tuple; NULL after an error */
ast_expr *lvt_lang_parse_expr_tuple(parser *p); /* a, b makes a tuple */
ast_type *lvt_lang_parse_type(parser *p);

#endif
