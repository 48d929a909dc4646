/* The syntax tree of the model language: tokens in, tree out, nothing evaluated.
 *
 * Invariants: every node has the line and column of its first token (of its operator for binary expressions);
 * all of it lives in the compilation's arena; the depth of a tree is bounded by AST_MAX_DEPTH, so recursion
 * over it is safe. May not know: values, modules, graphs. */
#ifndef LVT_LANGUAGE_AST_H
#define LVT_LANGUAGE_AST_H

#include "ir/ir.h"

enum { AST_MAX_DEPTH = 200, AST_MAX_FILE = 4 << 20 };

/* ---- tokens -------------------------------------------------------------------------------------------- */

typedef enum ast_token_kind {
    TOKEN_END,
    TOKEN_NEWLINE,
    TOKEN_NAME,
    TOKEN_KEYWORD, /* a name that is reserved; text tells which */
    TOKEN_INT,
    TOKEN_FLOAT,
    TOKEN_STRING,
    TOKEN_ERROR, /* a mistake that the lexer has reported */
    TOKEN_MARK   /* operator or bracket; text tells which */
} ast_token_kind;

typedef struct ast_token {
    uint8_t kind;
    uint32_t line, col;
    const char *text; /* 0-ended; of a string: its value */
    int64_t i;
    double f;
} ast_token;

typedef struct ast_tokens {
    ast_token *items; /* ends with TOKEN_END */
    size_t n;
} ast_tokens;

/* Cuts a text into tokens. Newlines inside ( ) and [ ] are dropped; mistakes (E101 to E103) are reported and
 * become TOKEN_ERROR. LVT_NOMEM is the only failure. */
lvt_status lvt_lang_ast_lex(const char *file, const char *text, size_t length, lvt_arena *arena,
                            lvt_diag *diag, ast_tokens *out);

/* ---- expressions --------------------------------------------------------------------------------------- */

typedef enum ast_op {
    AST_ADD,
    AST_SUB,
    AST_MUL,
    AST_DIV,
    AST_FLOORDIV,
    AST_MOD,
    AST_POW,
    AST_MATMUL,
    AST_LT,
    AST_LE,
    AST_GT,
    AST_GE,
    AST_EQ,
    AST_NE,
    AST_AND,
    AST_OR,
    AST_NEG,
    AST_NOT,
    AST_N_OPS
} ast_op;

typedef enum ast_expr_kind {
    EXPR_INT,
    EXPR_FLOAT,
    EXPR_STRING,
    EXPR_BOOL,
    EXPR_NONE,
    EXPR_NAME,
    EXPR_LIST,
    EXPR_TUPLE,  /* a, b without brackets or in ( ) */
    EXPR_BINARY, /* op, a, b */
    EXPR_UNARY,  /* op, a */
    EXPR_INDEX,  /* a[parts] */
    EXPR_FIELD,  /* a.text */
    EXPR_CALL    /* a(args) as path at b */
} ast_expr_kind;

typedef struct ast_expr ast_expr;
typedef struct ast_arg {
    const char *name; /* NULL: by position */
    ast_expr *value;
    uint32_t line, col;
} ast_arg;
typedef enum ast_part_kind { PART_AT, PART_RANGE, PART_REST } ast_part_kind;
typedef struct ast_part { /* of an index in brackets */
    uint8_t kind;
    ast_expr *from, *to, *step; /* AT: from alone; RANGE from:to:step, NULL where it is open; REST: "..." */
    uint32_t line, col;
} ast_part;
typedef struct ast_path_part { /* "name" or an index in brackets */
    const char *name;
    ast_expr *index;
} ast_path_part;

struct ast_expr {
    uint8_t kind, op;
    uint16_t depth;
    uint32_t line, col;
    int64_t i; /* INT, BOOL */
    double f;
    const char *text; /* NAME, STRING, FIELD */
    ast_expr *a, *b, *c;
    ast_arg *args; /* CALL, LIST, TUPLE */
    uint32_t n_args;
    ast_part *parts; /* INDEX */
    uint32_t n_parts;
    ast_path_part *path; /* CALL ... as path */
    uint32_t n_path;
    bool shared; /* as shared path */
};

/* ---- types and declarations ---------------------------------------------------------------------------- */

typedef struct ast_type {
    bool has_dtype;
    lvt_dtype dtype;
    ast_expr *like;  /* like(p); then nothing else is set */
    ast_expr **dims; /* NULL element: "..." */
    uint32_t n_dims;
    uint32_t line, col;
} ast_type;

typedef struct ast_param {
    const char *name;
    ast_type *type;      /* NULL: anything */
    ast_expr *value;     /* default; NULL: none */
    ast_expr *condition; /* of an entry's input: whether there is one; NULL: there is */
    bool spread;         /* of an entry: value is a record, each of its fields a scalar input; name is "" */
    uint32_t line, col;
} ast_param;

typedef struct ast_stmt ast_stmt;
typedef struct ast_body {
    ast_stmt **items;
    uint32_t n;
} ast_body;

typedef enum ast_stmt_kind {
    STMT_IMPORT,   /* value: string; of ONNX: names[0], args: outputs */
    STMT_BLOCK,    /* name, params, body */
    STMT_MODEL,    /* name, params, body */
    STMT_ENTRY,    /* name, params, body, training */
    STMT_CONTRACT, /* name, params, body */
    STMT_USE,      /* value: a call of a contract */
    STMT_SETTING,  /* name = value */
    STMT_AMBIENT,  /* name = value */
    STMT_WITH,     /* name = value; body */
    STMT_LET,      /* names = value */
    STMT_ASSIGN,   /* names = value */
    STMT_PARAM,    /* name: type = value */
    STMT_STATE,    /* name: type = value */
    STMT_UPDATE,   /* target = value */
    STMT_RETURN,   /* args; by name or position */
    STMT_REPEAT,   /* value as names[0]; body */
    STMT_FOR,      /* names in value; body */
    STMT_IF,       /* value; body, otherwise */
    STMT_MINIMIZE, /* value with target (a call), args: clip, over */
    STMT_EXPR,     /* value */
    STMT_LOST      /* could not be read: names that it would have given a value; `was` */
} ast_stmt_kind;

typedef struct ast_name {
    const char *text;
    uint32_t line, col;
} ast_name;

struct ast_stmt {
    uint8_t kind;
    uint8_t was; /* LOST: the kind it began as */
    bool training;
    uint32_t line, col;
    ast_name *names; /* what is declared or bound */
    uint32_t n_names;
    ast_param *params;
    uint32_t n_params;
    ast_type *type;
    ast_expr *value, *target;
    ast_arg *args;
    uint32_t n_args;
    ast_body body, otherwise;
};

typedef struct ast_file {
    const char *name;
    ast_body items;
} ast_file;

/* Parses a whole file. Reports every syntax error it finds (recovering at the next line or closing brace; where
 * the head of a block cannot be read, in its body) and returns what it understood, with STMT_LOST in the places
 * of the rest. LVT_NOMEM and LVT_USER (something was reported) are the failures. */
lvt_status lvt_lang_ast_parse(const char *file, const char *text, size_t length, lvt_arena *arena,
                              lvt_diag *diag, ast_file **out);

/* One expression alone, as `--set` gives it. NULL when it is none (nothing is reported). */
ast_expr *lvt_lang_ast_parse_expression(const char *text, lvt_arena *arena);

#endif
