/* Expressions and types.
 *
 * Invariants: precedence climbing, `**` binds to the right, all else to the left; no tree is deeper than
 * AST_MAX_DEPTH. May not know: what a name means. */
#include "parser.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool lvt_lang_parser_at(const parser *p, const char *text) {
    return (p->t->kind == TOKEN_KEYWORD || p->t->kind == TOKEN_MARK) && !strcmp(p->t->text, text);
}

bool lvt_lang_parser_take(parser *p, const char *text) {
    if (!lvt_lang_parser_at(p, text))
        return false;
    p->t++;
    return true;
}

void lvt_lang_parser_error(parser *p, const char *code, uint32_t line, uint32_t col, const char *format,
                           ...) {
    p->failed = true;
    bool quiet = p->panic || p->t->kind == TOKEN_ERROR;
    p->panic = true;
    if (quiet)
        return;
    char text[240];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    lvt_error(p->diag, LVT_USER, code, (lvt_pos){p->file, line, col}, "%s", text);
}

void lvt_lang_parser_unexpected(parser *p, const char *wanted) {
    const ast_token *t = p->t;
    if (t->kind == TOKEN_END)
        lvt_lang_parser_error(p, "E110", t->line, t->col, "expected %s, but the file ends here", wanted);
    else if (t->kind == TOKEN_NEWLINE)
        lvt_lang_parser_error(p, "E110", t->line, t->col, "expected %s, but the line ends here", wanted);
    else if (t->kind == TOKEN_STRING)
        lvt_lang_parser_error(p, "E110", t->line, t->col, "expected %s, found a string", wanted);
    else if (t->kind == TOKEN_KEYWORD)
        lvt_lang_parser_error(p, "E110", t->line, t->col,
                              "expected %s, found '%.40s', which is a reserved word", wanted, t->text);
    else
        lvt_lang_parser_error(p, "E110", t->line, t->col, "expected %s, found '%.40s'", wanted, t->text);
}

bool lvt_lang_parser_expect(parser *p, const char *text) {
    if (lvt_lang_parser_take(p, text))
        return true;
    char wanted[32];
    snprintf(wanted, sizeof wanted, "'%s'", text);
    lvt_lang_parser_unexpected(p, wanted);
    return false;
}

const char *lvt_lang_parser_name(parser *p, const char *wanted) {
    if (p->t->kind == TOKEN_NAME)
        return p->t++->text;
    lvt_lang_parser_unexpected(p, wanted);
    return NULL;
}

bool lvt_lang_parser_push(parser *p, void *array, uint32_t *n, const void *element, size_t size) {
    char **items = array;
    uint32_t have = *n;
    if ((have & (have - 1)) == 0) { /* room doubles at powers of two */
        char *grown = lvt_arena_alloc(p->arena, (have ? 2 * (size_t)have : 1) * size);
        if (!grown) {
            p->nomem = true;
            return false;
        }
        if (have)
            memcpy(grown, *items, have * size);
        *items = grown;
    }
    memcpy(*items + have * size, element, size);
    ++*n;
    return true;
}

bool lvt_lang_parser_enter(parser *p) {
    if (p->depth >= AST_MAX_DEPTH) {
        lvt_lang_parser_error(p, "E112", p->t->line, p->t->col, "nested more than %d levels deep",
                              AST_MAX_DEPTH);
        return false;
    }
    p->depth++;
    return true;
}

static ast_expr *node(parser *p, ast_expr_kind kind, const ast_token *t, ast_expr *a, ast_expr *b,
                      ast_expr *c) {
    ast_expr *e = lvt_arena_alloc(p->arena, sizeof *e);
    if (!e) {
        p->nomem = true;
        return NULL;
    }
    *e = (ast_expr){
        .kind = (uint8_t)kind, .line = t->line, .col = t->col, .text = t->text, .a = a, .b = b, .c = c};
    unsigned depth = 0;
    if (a && a->depth > depth)
        depth = a->depth;
    if (b && b->depth > depth)
        depth = b->depth;
    if (c && c->depth > depth)
        depth = c->depth;
    if (depth >= AST_MAX_DEPTH) {
        lvt_lang_parser_error(p, "E112", t->line, t->col, "nested more than %d levels deep", AST_MAX_DEPTH);
        return NULL;
    }
    e->depth = (uint16_t)(depth + 1);
    return e;
}

/* Comma-separated arguments up to `close`, newlines between them allowed (a brace may hide none, but a
 * forgotten bracket may leave some). */
static bool parse_args(parser *p, ast_arg **args, uint32_t *n, const char *close) {
    while (!lvt_lang_parser_at(p, close)) {
        ast_arg arg = {.line = p->t->line, .col = p->t->col};
        if ((p->t->kind == TOKEN_NAME || p->t->kind == TOKEN_KEYWORD) && p->t[1].kind == TOKEN_MARK &&
            !strcmp(p->t[1].text, "=")) {
            arg.name = p->t->text;
            p->t += 2;
        }
        if (!(arg.value = lvt_lang_parse_expr(p)) || !lvt_lang_parser_push(p, args, n, &arg, sizeof arg))
            return false;
        if (!lvt_lang_parser_take(p, ","))
            break;
    }
    return lvt_lang_parser_expect(p, close);
}

/* The depth of a node with arguments or places of an index counts them too. */
static ast_expr *deepen(parser *p, ast_expr *e) {
    for (uint32_t i = 0; e && i < e->n_args; i++)
        if (e->args[i].value->depth >= e->depth)
            e->depth = (uint16_t)(e->args[i].value->depth + 1);
    for (uint32_t i = 0; e && i < e->n_parts; i++) {
        const ast_expr *ends[] = {e->parts[i].from, e->parts[i].to, e->parts[i].step};
        for (int k = 0; k < 3; k++)
            if (ends[k] && ends[k]->depth >= e->depth)
                e->depth = (uint16_t)(ends[k]->depth + 1);
    }
    if (e && e->depth > AST_MAX_DEPTH) {
        lvt_lang_parser_error(p, "E112", e->line, e->col, "nested more than %d levels deep", AST_MAX_DEPTH);
        return NULL;
    }
    return e;
}

static ast_expr *parse_list(parser *p, const ast_token *open, ast_expr_kind kind, const char *close) {
    ast_expr *e = node(p, kind, open, NULL, NULL, NULL);
    if (!e || !parse_args(p, &e->args, &e->n_args, close))
        return NULL;
    for (uint32_t i = 0; i < e->n_args; i++)
        if (e->args[i].name) {
            lvt_lang_parser_error(p, "E113", e->args[i].line, e->args[i].col, "a list cannot have names");
            return NULL;
        }
    return deepen(p, e);
}

static ast_expr *primary(parser *p) {
    const ast_token *t = p->t;
    ast_expr *e;
    switch (t->kind) {
    case TOKEN_INT:
        p->t++;
        e = node(p, EXPR_INT, t, NULL, NULL, NULL);
        if (e)
            e->i = t->i;
        return e;
    case TOKEN_FLOAT:
        p->t++;
        e = node(p, EXPR_FLOAT, t, NULL, NULL, NULL);
        if (e)
            e->f = t->f;
        return e;
    case TOKEN_STRING:
        p->t++;
        return node(p, EXPR_STRING, t, NULL, NULL, NULL);
    case TOKEN_NAME:
        p->t++;
        return node(p, EXPR_NAME, t, NULL, NULL, NULL);
    default:
        break;
    }
    if (lvt_lang_parser_at(p, "true") || lvt_lang_parser_at(p, "false")) {
        p->t++;
        e = node(p, EXPR_BOOL, t, NULL, NULL, NULL);
        if (e)
            e->i = t->text[0] == 't';
        return e;
    }
    if (lvt_lang_parser_take(p, "none"))
        return node(p, EXPR_NONE, t, NULL, NULL, NULL);
    bool outer = p->no_as;
    p->no_as = false;
    e = NULL;
    if (lvt_lang_parser_take(p, "[")) {
        e = parse_list(p, t, EXPR_LIST, "]");
    } else if (lvt_lang_parser_take(p, "(")) {
        e = lvt_lang_parse_expr_tuple(p);
        if (e && !lvt_lang_parser_expect(p, ")"))
            e = NULL;
    } else {
        lvt_lang_parser_unexpected(p, "a value");
    }
    p->no_as = outer;
    return e;
}

static bool parse_path(parser *p, ast_expr *call) {
    if (p->t->kind == TOKEN_NAME && !strcmp(p->t->text, "shared") && p->t[1].kind == TOKEN_NAME) {
        call->shared = true;
        p->t++;
    }
    ast_path_part part = {.name = lvt_lang_parser_name(p, "a name after 'as'")};
    if (!part.name || !lvt_lang_parser_push(p, &call->path, &call->n_path, &part, sizeof part))
        return false;
    for (;;) {
        part = (ast_path_part){0};
        if (lvt_lang_parser_take(p, ".")) {
            if (!(part.name = lvt_lang_parser_name(p, "a name after '.'")))
                return false;
        } else if (lvt_lang_parser_take(p, "[")) {
            if (!(part.index = lvt_lang_parse_expr(p)) || !lvt_lang_parser_expect(p, "]"))
                return false;
        } else {
            return true;
        }
        if (!lvt_lang_parser_push(p, &call->path, &call->n_path, &part, sizeof part))
            return false;
    }
}

static ast_expr *call(parser *p, const ast_token *open, ast_expr *callee) {
    ast_expr *e = node(p, EXPR_CALL, open, callee, NULL, NULL);
    if (!e)
        return NULL;
    e->line = callee->line;
    e->col = callee->col;
    bool outer = p->no_as;
    p->no_as = false;
    bool ok = parse_args(p, &e->args, &e->n_args, ")");
    p->no_as = outer;
    if (!ok)
        return NULL;
    if (!p->no_as && lvt_lang_parser_take(p, "as") && !parse_path(p, e))
        return NULL;
    if (lvt_lang_parser_take(p, "at") &&
        (!lvt_lang_parser_enter(p) || (e->b = primary(p), p->depth--, !e->b)))
        return NULL;
    return deepen(p, e);
}

/* One place between the brackets of an index: a number, from:to:step with open ends, or "...". */
static bool parse_part(parser *p, ast_part *part) {
    *part = (ast_part){.kind = PART_AT, .line = p->t->line, .col = p->t->col};
    if (lvt_lang_parser_take(p, "...")) {
        part->kind = PART_REST;
        return true;
    }
    if (!lvt_lang_parser_at(p, ":") && !(part->from = lvt_lang_parse_expr(p)))
        return false;
    ast_expr **ends[] = {&part->to, &part->step};
    for (int i = 0; i < 2 && lvt_lang_parser_take(p, ":"); i++) {
        part->kind = PART_RANGE;
        if (!lvt_lang_parser_at(p, ":") && !lvt_lang_parser_at(p, ",") && !lvt_lang_parser_at(p, "]") &&
            !(*ends[i] = lvt_lang_parse_expr(p)))
            return false;
    }
    return true;
}

static ast_expr *subscript(parser *p, const ast_token *open, ast_expr *of) {
    ast_expr *e = node(p, EXPR_INDEX, open, of, NULL, NULL);
    bool outer = p->no_as, ok = e != NULL;
    p->no_as = false;
    do {
        ast_part part;
        ok =
            ok && parse_part(p, &part) && lvt_lang_parser_push(p, &e->parts, &e->n_parts, &part, sizeof part);
    } while (ok && lvt_lang_parser_take(p, ",") && !lvt_lang_parser_at(p, "]"));
    p->no_as = outer;
    return ok && lvt_lang_parser_expect(p, "]") ? deepen(p, e) : NULL;
}

static ast_expr *postfix(parser *p) {
    ast_expr *e = primary(p);
    while (e) {
        const ast_token *t = p->t;
        if (lvt_lang_parser_take(p, "(")) {
            e = call(p, t, e);
        } else if (lvt_lang_parser_take(p, "[")) {
            e = subscript(p, t, e);
        } else if (lvt_lang_parser_take(p, ".")) {
            const char *name = lvt_lang_parser_name(p, "a name after '.'");
            if (!name || !(e = node(p, EXPR_FIELD, t, e, NULL, NULL)))
                return NULL;
            e->text = name;
            e->line = e->a->line;
            e->col = e->a->col;
        } else {
            return e;
        }
    }
    return NULL;
}

static const struct binary_op {
    const char *text;
    ast_op op;
    int level;
} binaries[] = {
    {"or", AST_OR, 1}, {"and", AST_AND, 2},     {"<", AST_LT, 4},     {"<=", AST_LE, 4},
    {">", AST_GT, 4},  {">=", AST_GE, 4},       {"==", AST_EQ, 4},    {"!=", AST_NE, 4},
    {"+", AST_ADD, 5}, {"-", AST_SUB, 5},       {"*", AST_MUL, 6},    {"/", AST_DIV, 6},
    {"%", AST_MOD, 6}, {"//", AST_FLOORDIV, 6}, {"@", AST_MATMUL, 6}, {"**", AST_POW, 8},
};
enum { LEVEL_NOT = 3, LEVEL_NEG = 7 };

static ast_expr *climb(parser *p, int level);

static ast_expr *unary(parser *p) {
    const ast_token *t = p->t;
    bool negate = lvt_lang_parser_at(p, "-"), invert = lvt_lang_parser_at(p, "not");
    if (!negate && !invert)
        return postfix(p);
    p->t++;
    ast_expr *a = climb(p, negate ? LEVEL_NEG : LEVEL_NOT);
    ast_expr *e = a ? node(p, EXPR_UNARY, t, a, NULL, NULL) : NULL;
    if (e)
        e->op = negate ? AST_NEG : AST_NOT;
    return e;
}

static ast_expr *climb(parser *p, int level) {
    if (!lvt_lang_parser_enter(p))
        return NULL;
    ast_expr *left = unary(p);
    while (left) {
        const struct binary_op *found = NULL;
        for (size_t i = 0; i < sizeof binaries / sizeof *binaries && !found; i++)
            if (binaries[i].level >= level && lvt_lang_parser_at(p, binaries[i].text))
                found = &binaries[i];
        if (!found)
            break;
        const ast_token *t = p->t++;
        ast_expr *right = climb(p, found->op == AST_POW ? found->level : found->level + 1);
        left = right ? node(p, EXPR_BINARY, t, left, right, NULL) : NULL;
        if (left)
            left->op = (uint8_t)found->op;
    }
    p->depth--;
    return left;
}

ast_expr *lvt_lang_parse_expr(parser *p) {
    return climb(p, 1);
}

ast_expr *lvt_lang_parse_expr_tuple(parser *p) {
    const ast_token *t = p->t;
    ast_expr *first = lvt_lang_parse_expr(p);
    if (!first || !lvt_lang_parser_at(p, ","))
        return first;
    ast_expr *e = node(p, EXPR_TUPLE, t, NULL, NULL, NULL);
    if (!e)
        return NULL;
    for (ast_expr *x = first; x;) {
        ast_arg arg = {.value = x, .line = x->line, .col = x->col};
        if (!lvt_lang_parser_push(p, &e->args, &e->n_args, &arg, sizeof arg))
            return NULL;
        if (!lvt_lang_parser_take(p, ","))
            return deepen(p, e);
        x = lvt_lang_parse_expr(p);
    }
    return NULL;
}

ast_type *lvt_lang_parse_type(parser *p) {
    ast_type *type = lvt_arena_alloc(p->arena, sizeof *type);
    if (!type) {
        p->nomem = true;
        return NULL;
    }
    type->line = p->t->line;
    type->col = p->t->col;
    if (p->t->kind == TOKEN_NAME) {
        const char *name = p->t->text;
        if (!strcmp(name, "like")) {
            p->t++;
            return lvt_lang_parser_expect(p, "(") && (type->like = lvt_lang_parse_expr(p)) &&
                           lvt_lang_parser_expect(p, ")")
                       ? type
                       : NULL;
        }
        if (!lvt_dtype_parse(name, strlen(name), &type->dtype)) {
            lvt_lang_parser_error(p, "E114", type->line, type->col,
                                  "'%.40s' is no element type; they are f32, bf16, f64, i32, u8, bool", name);
            return NULL;
        }
        type->has_dtype = true;
        p->t++;
    }
    if (!lvt_lang_parser_expect(p, "["))
        return NULL;
    while (!lvt_lang_parser_at(p, "]")) {
        ast_expr *dim = NULL;
        if (!lvt_lang_parser_take(p, "...") && !(dim = lvt_lang_parse_expr(p)))
            return NULL;
        if (!lvt_lang_parser_push(p, &type->dims, &type->n_dims, &dim, sizeof dim))
            return NULL;
        if (!lvt_lang_parser_take(p, ","))
            break;
    }
    return lvt_lang_parser_expect(p, "]") ? type : NULL;
}
