/* A file's tokens as an array, from the lexer shared with IR text, with reserved words told from names.
 *
 * Invariant: any bytes give a list that ends with TOKEN_NEWLINE, TOKEN_END. A reserved word that can only
 * start a statement and stands first on its line ends an open bracket: one forgotten bracket does not swallow
 * the file. May not know: grammar beyond that. */
#include "ast.h"
#include "ir/lex.h"

#include <string.h>

static const struct reserved {
    const char *word;
    bool starts; /* nothing but a statement can begin with it */
} reserved[] = {
    {"import", true},   {"block", true},    {"model", true},   {"entry", true},  {"param", true},
    {"state", false},   {"let", true},      {"update", true},  {"return", true}, {"repeat", true},
    {"for", true},      {"minimize", true}, {"in", false},     {"if", false},    {"else", false},
    {"as", false},      {"at", false},      {"with", false},   {"true", false},  {"false", false},
    {"none", false},    {"and", false},     {"or", false},     {"not", false},   {"use", true},
    {"contract", true}, {"setting", true},  {"ambient", true},
};

static const struct reserved *find(const lvt_token *t) {
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (lvt_token_is(t, reserved[i].word))
            return &reserved[i];
    return NULL;
}

typedef struct list {
    lvt_arena *arena;
    ast_token *items;
    size_t n, cap;
} list;

static bool add(list *l, ast_token_kind kind, const lvt_token *from, size_t length) {
    if (l->n == l->cap) {
        ast_token *grown = lvt_arena_grow(l->arena, l->items, l->n, l->n + 1, &l->cap, sizeof *grown);
        if (!grown)
            return false;
        l->items = grown;
    }
    char *text = lvt_arena_strndup(l->arena, from->text ? from->text : "", length);
    l->items[l->n++] = (ast_token){.kind = (uint8_t)kind,
                                   .line = from->line,
                                   .col = from->col,
                                   .text = text,
                                   .i = from->i,
                                   .f = from->f};
    return text != NULL;
}

lvt_status lvt_lang_ast_lex(const char *file, const char *text, size_t length, lvt_arena *arena,
                            lvt_diag *diag, ast_tokens *out) {
    static const uint8_t kinds[] = {
        [LVT_TOK_END] = TOKEN_END,    [LVT_TOK_NEWLINE] = TOKEN_NEWLINE, [LVT_TOK_NAME] = TOKEN_NAME,
        [LVT_TOK_INT] = TOKEN_INT,    [LVT_TOK_FLOAT] = TOKEN_FLOAT,     [LVT_TOK_STRING] = TOKEN_STRING,
        [LVT_TOK_PUNCT] = TOKEN_MARK, [LVT_TOK_ERROR] = TOKEN_ERROR,     [LVT_TOK_VALUE] = TOKEN_ERROR,
        [LVT_TOK_PATH] = TOKEN_ERROR};
    lvt_lexer lexer;
    lvt_lex_init(&lexer, LVT_LEX_LANGUAGE, file, text, length, arena, diag);
    list l = {.arena = arena};
    lvt_token last = {.line = 1, .col = 1};
    for (;;) {
        lvt_token t;
        if (lvt_lex_next(&lexer, &t))
            return LVT_NOMEM;
        if (t.kind == LVT_TOK_END) {
            if (!add(&l, TOKEN_NEWLINE, &t, 0) || !add(&l, TOKEN_END, &t, 0))
                return LVT_NOMEM;
            break;
        }
        if (t.kind == LVT_TOK_NEWLINE && last.kind == LVT_TOK_PUNCT && last.punct == ',')
            continue; /* a list goes on */
        const struct reserved *word = find(&t);
        if (word && word->starts && t.first && lexer.open) {
            lexer.open = 0;
            lvt_token end = {.line = last.line, .col = last.col + (uint32_t)last.length};
            if (!add(&l, TOKEN_NEWLINE, &end, 0))
                return LVT_NOMEM;
        }
        last = t;
        if (!add(&l, word ? TOKEN_KEYWORD : kinds[t.kind], &t, t.kind == LVT_TOK_NEWLINE ? 0 : t.length))
            return LVT_NOMEM;
    }
    out->items = l.items;
    out->n = l.n;
    return LVT_OK;
}
