/* Inside the reader of IR text: what reader.c (tokens, types, places, attributes) gives to read.c (graphs,
 * modules).
 *
 * Invariant: the first mistake is reported and sets `status`; from then on every function returns false, so
 * callers just return. May not know: graphs. */
#ifndef LVT_IR_READER_H
#define LVT_IR_READER_H

#include "lex.h"
#include "op.h"

enum { LVT_READ_MAX_LOC_DEPTH = 256 };

typedef struct lvt_reader {
    lvt_lexer lexer;
    lvt_token t; /* the current token */
    lvt_module *m;
    lvt_arena *scratch; /* goes when reading ends */
    lvt_diag *diag;
    lvt_status status;
} lvt_reader;

/* Reports unless something was reported before; false, so that `return LVT_READ_FAIL(...)` reads well. */
#define LVT_READ_FAIL(r, token, code, ...)                                                                   \
    ((r)->status == LVT_OK ? (void)((r)->status = lvt_error((r)->diag, LVT_USER, code,                       \
                                                            lvt_token_pos(&(r)->lexer, token), __VA_ARGS__)) \
                           : (void)0,                                                                        \
     false)

bool lvt_read_no_memory(lvt_reader *r);                      /* reports it; false */
bool lvt_read_unexpected(lvt_reader *r, const char *wanted); /* "expected ..., found ..."; false */
bool lvt_read_advance(lvt_reader *r);                        /* to the next token */
bool lvt_read_is_punct(const lvt_reader *r, int punct);
bool lvt_read_expect(lvt_reader *r, int punct);              /* consumes it, or reports */
bool lvt_read_accept(lvt_reader *r, int punct, bool *found); /* consumes it if it is there */
/* The same for a word, which must not start a line: there it would be another statement. */
bool lvt_read_accept_word(lvt_reader *r, const char *word, bool *found);
/* The text of a token of that kind, copied into the module. */
bool lvt_read_text(lvt_reader *r, lvt_token_kind kind, const char *wanted, const char **out);
bool lvt_read_double(lvt_reader *r, double *out);
bool lvt_read_type(lvt_reader *r, lvt_type *out);
bool lvt_read_loc(lvt_reader *r, lvt_loc *out); /* 0 when there is none */
/* Optional "{name = value, ...}" of node->op, into scratch; what is not named gets its default. `op` is the
 * token to point at when a required one is missing. */
bool lvt_read_attrs(lvt_reader *r, const lvt_token *op, lvt_node *node);

#endif
