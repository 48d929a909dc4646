/* Statements, blocks, models, files; recovery after mistakes.
 *
 * Invariant: every call of `statement` moves forward, whatever the input. After a mistake the rest of the
 * line is skipped, with the braces it opens, so that the next line is read as if nothing had happened. May
 * not know: what a name means. */
#include "parser.h"

#include <string.h>

/* Where a statement may stand. */
typedef enum level { LEVEL_FILE, LEVEL_MODEL, LEVEL_CONTRACT, LEVEL_BODY } level;
static const char *const level_names[] = {"at the top of a file", "in a model", "in a contract",
                                          "in a block or entry"};

static void skip_newlines(parser *p) {
    while (p->t->kind == TOKEN_NEWLINE)
        p->t++;
}

/* To the end of the line, or before the brace that closes the body. Braces opened on the way are skipped
 * whole. */
static void recover(parser *p) {
    int depth = 0;
    for (; p->t->kind != TOKEN_END; p->t++) {
        if (p->t->kind == TOKEN_NEWLINE && !depth)
            break;
        if (lvt_lang_parser_at(p, "{"))
            depth++;
        if (lvt_lang_parser_at(p, "}") && depth-- == 0)
            break;
    }
    p->panic = false;
}

static ast_stmt *statement(parser *p, level where);

static bool body(parser *p, level where, ast_body *out) {
    const ast_token *open = p->t;
    if (!lvt_lang_parser_expect(p, "{") || !lvt_lang_parser_enter(p))
        return false;
    for (;;) {
        skip_newlines(p);
        if (lvt_lang_parser_take(p, "}"))
            break;
        if (p->t->kind == TOKEN_END) {
            lvt_lang_parser_error(p, "E111", open->line, open->col, "this '{' is never closed");
            p->depth--;
            return false;
        }
        ast_stmt *s = statement(p, where);
        if (s && !lvt_lang_parser_push(p, &out->items, &out->n, &s, sizeof(ast_stmt *)))
            break;
        if (p->nomem)
            break;
    }
    p->depth--;
    return !p->nomem;
}

static bool names(parser *p, ast_stmt *s) {
    do {
        ast_name name = {.line = p->t->line, .col = p->t->col};
        if (!(name.text = lvt_lang_parser_name(p, "a name")) ||
            !lvt_lang_parser_push(p, &s->names, &s->n_names, &name, sizeof name))
            return false;
    } while (lvt_lang_parser_take(p, ","));
    return true;
}

static bool one_name(parser *p, ast_stmt *s, const char *wanted) {
    ast_name name = {.line = p->t->line, .col = p->t->col};
    return (name.text = lvt_lang_parser_name(p, wanted)) &&
           lvt_lang_parser_push(p, &s->names, &s->n_names, &name, sizeof name);
}

static bool params(parser *p, ast_stmt *s) {
    if (!lvt_lang_parser_expect(p, "("))
        return false;
    while (!lvt_lang_parser_at(p, ")")) {
        ast_param param = {.name = "", .line = p->t->line, .col = p->t->col};
        if (s->kind == STMT_ENTRY && lvt_lang_parser_take(p, "...")) { /* ...record: its fields are inputs */
            param.spread = true;
            if (!(param.value = lvt_lang_parse_expr(p)) ||
                !lvt_lang_parser_push(p, &s->params, &s->n_params, &param, sizeof param))
                return false;
            if (!lvt_lang_parser_take(p, ","))
                break;
            continue;
        }
        if (!(param.name = lvt_lang_parser_name(p, "a parameter name")))
            return false;
        if (lvt_lang_parser_take(p, ":") && !(param.type = lvt_lang_parse_type(p)))
            return false;
        if (lvt_lang_parser_take(p, "=") && !(param.value = lvt_lang_parse_expr(p)))
            return false;
        if (s->kind == STMT_ENTRY && lvt_lang_parser_take(p, "if") &&
            !(param.condition = lvt_lang_parse_expr(p)))
            return false;
        for (uint32_t i = 0; i < s->n_params; i++)
            if (!strcmp(s->params[i].name, param.name)) {
                lvt_lang_parser_error(p, "E115", param.line, param.col,
                                      "the parameter '%.40s' is named twice", param.name);
                return false;
            }
        if (!lvt_lang_parser_push(p, &s->params, &s->n_params, &param, sizeof param))
            return false;
        if (!lvt_lang_parser_take(p, ","))
            break;
    }
    return lvt_lang_parser_expect(p, ")");
}

static bool parse_let(parser *p, ast_stmt *s) {
    return names(p, s) && lvt_lang_parser_expect(p, "=") && (s->value = lvt_lang_parse_expr_tuple(p));
}

static bool parse_declared(parser *p, ast_stmt *s) { /* param, state */
    return one_name(p, s, "a name") && lvt_lang_parser_expect(p, ":") && (s->type = lvt_lang_parse_type(p)) &&
           lvt_lang_parser_expect(p, "=") && (s->value = lvt_lang_parse_expr(p));
}

static bool parse_return(parser *p, ast_stmt *s) {
    if (p->t->kind == TOKEN_NEWLINE || lvt_lang_parser_at(p, "}"))
        return true;
    do {
        ast_arg arg = {.line = p->t->line, .col = p->t->col};
        if (p->t->kind == TOKEN_NAME && p->t[1].kind == TOKEN_MARK && !strcmp(p->t[1].text, "=")) {
            arg.name = p->t->text;
            p->t += 2;
        }
        if (!(arg.value = lvt_lang_parse_expr(p)) ||
            !lvt_lang_parser_push(p, &s->args, &s->n_args, &arg, sizeof arg))
            return false;
        if ((arg.name != NULL) != (s->args[0].name != NULL)) {
            lvt_lang_parser_error(p, "E116", arg.line, arg.col,
                                  "either all returned values have names, or none");
            return false;
        }
    } while (lvt_lang_parser_take(p, ","));
    return true;
}

static bool parse_if(parser *p, ast_stmt *s) {
    if (!(s->value = lvt_lang_parse_expr(p)) || !body(p, LEVEL_BODY, &s->body))
        return false;
    ast_token *here = p->t;
    skip_newlines(p);
    if (!lvt_lang_parser_take(p, "else")) {
        p->t = here;
        return true;
    }
    if (!lvt_lang_parser_at(p, "if"))
        return body(p, LEVEL_BODY, &s->otherwise);
    if (!lvt_lang_parser_enter(p))
        return false;
    ast_stmt *nested = lvt_arena_alloc(p->arena, sizeof *nested); /* else if */
    bool ok = nested != NULL;
    if (!ok) {
        p->nomem = true;
    } else {
        *nested = (ast_stmt){.kind = STMT_IF, .line = p->t->line, .col = p->t->col};
        p->t++;
        ok = parse_if(p, nested) &&
             lvt_lang_parser_push(p, &s->otherwise.items, &s->otherwise.n, &nested, sizeof nested);
    }
    p->depth--;
    return ok;
}

static bool parse_repeat(parser *p, ast_stmt *s) {
    p->no_as = true;
    s->value = lvt_lang_parse_expr(p);
    p->no_as = false;
    return s->value && lvt_lang_parser_expect(p, "as") && one_name(p, s, "a name for the index") &&
           body(p, LEVEL_BODY, &s->body);
}

static bool parse_for(parser *p, ast_stmt *s) {
    return names(p, s) && lvt_lang_parser_expect(p, "in") && (s->value = lvt_lang_parse_expr(p)) &&
           body(p, LEVEL_BODY, &s->body);
}

static bool parse_minimize(parser *p, ast_stmt *s) {
    if (!(s->value = lvt_lang_parse_expr(p)) || !lvt_lang_parser_expect(p, "with") ||
        !(s->target = lvt_lang_parse_expr(p)))
        return false;
    if (s->target->kind != EXPR_CALL) {
        lvt_lang_parser_error(p, "E110", s->target->line, s->target->col,
                              "expected a call of an optimiser, as in sgd(lr = lr)");
        return false;
    }
    while (lvt_lang_parser_take(p, ",")) {
        ast_arg arg = {.line = p->t->line, .col = p->t->col};
        if (!(arg.name = lvt_lang_parser_name(p, "'clip' or 'over'")))
            return false;
        if (strcmp(arg.name, "clip") && strcmp(arg.name, "over")) {
            lvt_lang_parser_error(p, "E110", arg.line, arg.col, "expected 'clip' or 'over', found '%.40s'",
                                  arg.name);
            return false;
        }
        if (!lvt_lang_parser_expect(p, "=") || !(arg.value = lvt_lang_parse_expr(p)) ||
            !lvt_lang_parser_push(p, &s->args, &s->n_args, &arg, sizeof arg))
            return false;
    }
    return true;
}

static bool parse_import(parser *p, ast_stmt *s) {
    if (p->t->kind != TOKEN_STRING) {
        lvt_lang_parser_unexpected(p, "the name of a file in quotes");
        return false;
    }
    if (!(s->value = lvt_lang_parse_expr(p)))
        return false;
    if (p->t->kind == TOKEN_NAME && !strcmp(p->t->text, "output")) {
        p->t++;
        do {
            ast_arg arg = {.line = p->t->line, .col = p->t->col};
            if (p->t->kind != TOKEN_STRING) {
                lvt_lang_parser_unexpected(p, "the name of a tensor in quotes");
                return false;
            }
            if (!(arg.value = lvt_lang_parse_expr(p)) ||
                !lvt_lang_parser_push(p, &s->args, &s->n_args, &arg, sizeof arg))
                return false;
        } while (lvt_lang_parser_take(p, ","));
        if (!lvt_lang_parser_at(p, "as"))
            return lvt_lang_parser_expect(p, "as");
    }
    return !lvt_lang_parser_take(p, "as") || one_name(p, s, "a name for the block");
}

static bool parse_block(parser *p, ast_stmt *s) {
    return one_name(p, s, "a name") && params(p, s) && body(p, LEVEL_BODY, &s->body);
}

static bool parse_model(parser *p, ast_stmt *s) {
    if (!one_name(p, s, "a name"))
        return false;
    if (lvt_lang_parser_at(p, "(") && !params(p, s))
        return false;
    return body(p, LEVEL_MODEL, &s->body);
}

static bool parse_contract(parser *p, ast_stmt *s) {
    return one_name(p, s, "a name") && params(p, s) && body(p, LEVEL_CONTRACT, &s->body);
}

static bool parse_use(parser *p, ast_stmt *s) {
    if (!(s->value = lvt_lang_parse_expr(p)))
        return false;
    const ast_expr *call = s->value;
    if (call->kind == EXPR_CALL && call->a->kind == EXPR_NAME && !call->n_path && !call->b)
        return true;
    lvt_lang_parser_error(p, "E110", call->line, call->col,
                          "expected a contract with its arguments, as in use continual(network)");
    return false;
}

static bool parse_named(parser *p, ast_stmt *s) { /* setting, ambient */
    return one_name(p, s, "a name") && lvt_lang_parser_expect(p, "=") && (s->value = lvt_lang_parse_expr(p));
}

static bool parse_with(parser *p, ast_stmt *s) {
    return parse_named(p, s) && body(p, LEVEL_BODY, &s->body);
}

static bool parse_update(parser *p, ast_stmt *s) {
    return (s->target = lvt_lang_parse_expr(p)) && lvt_lang_parser_expect(p, "=") &&
           (s->value = lvt_lang_parse_expr(p));
}

static bool parse_plain(parser *p, ast_stmt *s) { /* a, b = value; or a value alone */
    ast_token *here = p->t;
    bool all_names = true;
    for (ast_token *t = here;; t += 2) {
        if (t->kind != TOKEN_NAME)
            all_names = false;
        if (t->kind != TOKEN_NAME || t[1].kind != TOKEN_MARK || strcmp(t[1].text, ","))
            break;
    }
    if (all_names) {
        ast_token *t = here + 1;
        while (t->kind == TOKEN_MARK && !strcmp(t->text, ","))
            t += 2;
        if (t->kind == TOKEN_MARK && !strcmp(t->text, "=")) {
            s->kind = STMT_ASSIGN;
            return names(p, s) && lvt_lang_parser_expect(p, "=") && (s->value = lvt_lang_parse_expr_tuple(p));
        }
    }
    s->kind = STMT_EXPR;
    return (s->value = lvt_lang_parse_expr_tuple(p)) != NULL;
}

static const struct statement_rule {
    const char *word;
    ast_stmt_kind kind;
    unsigned where; /* set of levels */
    bool (*parse)(parser *p, ast_stmt *s);
} rules[] = {
    {"import", STMT_IMPORT, 1u << LEVEL_FILE, parse_import},
    {"block", STMT_BLOCK, 1u << LEVEL_FILE | 1u << LEVEL_MODEL | 1u << LEVEL_CONTRACT, parse_block},
    {"model", STMT_MODEL, 1u << LEVEL_FILE, parse_model},
    {"contract", STMT_CONTRACT, 1u << LEVEL_FILE, parse_contract},
    {"ambient", STMT_AMBIENT, 1u << LEVEL_FILE, parse_named},
    {"use", STMT_USE, 1u << LEVEL_MODEL, parse_use},
    {"setting", STMT_SETTING, 1u << LEVEL_CONTRACT, parse_named},
    {"entry", STMT_ENTRY, 1u << LEVEL_MODEL | 1u << LEVEL_CONTRACT, parse_block},
    {"let", STMT_LET, 1u << LEVEL_FILE | 1u << LEVEL_MODEL | 1u << LEVEL_CONTRACT | 1u << LEVEL_BODY,
     parse_let},
    {"param", STMT_PARAM, 1u << LEVEL_BODY, parse_declared},
    {"state", STMT_STATE, 1u << LEVEL_BODY, parse_declared},
    {"update", STMT_UPDATE, 1u << LEVEL_BODY, parse_update},
    {"return", STMT_RETURN, 1u << LEVEL_BODY, parse_return},
    {"repeat", STMT_REPEAT, 1u << LEVEL_BODY, parse_repeat},
    {"for", STMT_FOR, 1u << LEVEL_BODY, parse_for},
    {"if", STMT_IF, 1u << LEVEL_BODY, parse_if},
    {"with", STMT_WITH, 1u << LEVEL_BODY, parse_with},
    {"minimize", STMT_MINIMIZE, 1u << LEVEL_BODY, parse_minimize},
    {NULL, STMT_EXPR, 1u << LEVEL_BODY | 1u << LEVEL_CONTRACT | 1u << LEVEL_MODEL | 1u << LEVEL_FILE,
     parse_plain},
};

/* After a mistake in the head of a block, entry, loop or condition: its body is still read, for what else is
 * wrong. */
static void read_body_of(parser *p, ast_stmt *s) {
    static const uint8_t levels[] = {[STMT_MODEL] = LEVEL_MODEL, [STMT_CONTRACT] = LEVEL_CONTRACT};
    static const ast_stmt_kind bodies[] = {STMT_BLOCK,  STMT_ENTRY, STMT_MODEL, STMT_CONTRACT,
                                           STMT_REPEAT, STMT_FOR,   STMT_IF,    STMT_WITH};
    bool has_body = false;
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        has_body |= s->kind == bodies[i];
    if (!has_body || s->body.n || s->otherwise.n || p->depth >= AST_MAX_DEPTH - 1)
        return;
    ast_token *t = p->t;
    while (t->kind != TOKEN_END && t->kind != TOKEN_NEWLINE &&
           !(t->kind == TOKEN_MARK && strchr("{}", *t->text)))
        t++;
    if (t->kind != TOKEN_MARK || *t->text != '{')
        return;
    p->t = t;
    p->panic = false;
    ast_body ignored = {0};
    level where = s->kind == STMT_MODEL || s->kind == STMT_CONTRACT ? (level)levels[s->kind] : LEVEL_BODY;
    bool ok = body(p, where, &ignored);
    for (;;) { /* else belongs to it */
        ast_token *here = p->t;
        skip_newlines(p);
        if (!ok || s->kind != STMT_IF || !lvt_lang_parser_take(p, "else")) {
            p->t = here;
            return;
        }
        while (p->t->kind != TOKEN_END && p->t->kind != TOKEN_NEWLINE && !lvt_lang_parser_at(p, "{"))
            p->t++;
        ok = lvt_lang_parser_at(p, "{") && body(p, LEVEL_BODY, &ignored);
    }
}

/* What stands in the place of a statement from `start` to here: its names have no value that is known. */
static ast_stmt *lost(parser *p, ast_stmt *s, const ast_token *start) {
    if (s->kind == STMT_EXPR || s->kind == STMT_ASSIGN) { /* perhaps `lett a = ...`: what stands before = */
        const ast_token *end = start;
        while (end < p->t && !(end->kind == TOKEN_MARK && !strcmp(end->text, "=")))
            end++;
        s->n_names = 0;
        for (const ast_token *t = start; end < p->t && t < end && !p->nomem; t++) {
            ast_name name = {.text = t->text, .line = t->line, .col = t->col};
            if (t->kind == TOKEN_NAME)
                lvt_lang_parser_push(p, &s->names, &s->n_names, &name, sizeof name);
        }
    }
    *s = (ast_stmt){.kind = STMT_LOST,
                    .was = s->kind,
                    .line = s->line,
                    .col = s->col,
                    .names = s->names,
                    .n_names = s->n_names};
    return s;
}

static ast_stmt *statement(parser *p, level where) {
    ast_token *start = p->t;
    ast_stmt *s = lvt_arena_alloc(p->arena, sizeof *s);
    if (!s || !lvt_lang_parser_enter(p)) {
        p->nomem |= !s;
        p->t += p->t->kind != TOKEN_END;
        recover(p);
        return NULL;
    }
    *s = (ast_stmt){.line = start->line, .col = start->col};
    if (start->kind == TOKEN_NAME && !strcmp(start->text, "training") && start[1].kind == TOKEN_KEYWORD &&
        !strcmp(start[1].text, "entry")) {
        s->training = true;
        p->t++;
    }
    const struct statement_rule *r = rules;
    while (r->word && !lvt_lang_parser_at(p, r->word))
        r++;
    s->kind = (uint8_t)r->kind;
    bool ok = true;
    if (!(r->where & 1u << where)) {
        lvt_lang_parser_error(p, "E113", start->line, start->col, "'%s' does not belong %s", r->word,
                              level_names[where]);
        if ((r->kind == STMT_PARAM || r->kind == STMT_STATE || r->kind == STMT_BLOCK) &&
            p->t[1].kind == TOKEN_NAME) { /* what uses it is silent */
            ast_name name = {.text = p->t[1].text, .line = p->t[1].line, .col = p->t[1].col};
            lvt_lang_parser_push(p, &s->names, &s->n_names, &name, sizeof name);
        }
        ok = false;
    }
    if (ok) {
        if (r->word)
            p->t++;
        ok = r->parse(p, s);
    }
    if (ok && p->t->kind != TOKEN_NEWLINE && p->t->kind != TOKEN_END && !lvt_lang_parser_at(p, "}")) {
        lvt_lang_parser_unexpected(p, "the end of the line");
        ok = false;
    }
    p->depth--;
    if (!ok) {
        if (p->t == start && p->t->kind != TOKEN_END)
            p->t++;
        read_body_of(p, s);
        recover(p);
        return lost(p, s, start);
    }
    return s;
}

lvt_status lvt_lang_ast_parse(const char *file, const char *text, size_t length, lvt_arena *arena,
                              lvt_diag *diag, ast_file **out) {
    *out = NULL;
    size_t before = lvt_diag_errors(diag);
    ast_tokens tokens;
    lvt_status status = lvt_lang_ast_lex(file, text, length, arena, diag, &tokens);
    ast_file *f = lvt_arena_alloc(arena, sizeof *f);
    if (status || !f)
        return LVT_NOMEM;
    *f = (ast_file){.name = file};
    parser p = {.file = file, .arena = arena, .diag = diag, .t = tokens.items};
    for (skip_newlines(&p); p.t->kind != TOKEN_END && !p.nomem; skip_newlines(&p)) {
        if (lvt_lang_parser_at(&p, "}")) {
            lvt_lang_parser_error(&p, "E111", p.t->line, p.t->col, "this '}' closes nothing");
            p.panic = false;
            p.t++;
            continue;
        }
        ast_stmt *s = statement(&p, LEVEL_FILE);
        if (s)
            lvt_lang_parser_push(&p, &f->items.items, &f->items.n, &s, sizeof s);
    }
    if (p.nomem)
        return LVT_NOMEM;
    *out = f;
    return p.failed || lvt_diag_errors(diag) > before ? LVT_USER : LVT_OK;
}

ast_expr *lvt_lang_ast_parse_expression(const char *text, lvt_arena *arena) {
    ast_tokens tokens;
    lvt_diag *quiet = lvt_diag_new();
    ast_expr *e = NULL;
    if (quiet && !lvt_lang_ast_lex("setting", text, strlen(text), arena, quiet, &tokens) &&
        !lvt_diag_errors(quiet)) {
        parser p = {.file = "setting", .arena = arena, .t = tokens.items};
        e = lvt_lang_parse_expr(&p);
        skip_newlines(&p);
        if (p.t->kind != TOKEN_END)
            e = NULL;
    }
    lvt_diag_free(quiet);
    return e;
}
