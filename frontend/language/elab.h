/* Inside the elaborator: values, scopes, frames, and what its files ask of each other.
 *
 * Invariants: everything happens at compile time and leaves nodes in the graph of the entry at hand; a
 * mistake is reported once a place and message and gives VALUE_POISON, whose uses are silent; memory comes from
 * `elab.arena` (the compilation's) or the module's arena (what outlives it). May not know: passes. */
#ifndef LVT_LANGUAGE_ELAB_H
#define LVT_LANGUAGE_ELAB_H

#include "ast.h"
#include "ir/build.h"
#include "ir/op.h"
#include "language.h"

enum {
    ELAB_MAX_CALLS = 64,       /* blocks within blocks */
    ELAB_MAX_DEPTH = 1500,     /* expressions and statements within each other, over all calls */
    ELAB_MAX_UNROLL = 1000000, /* iterations of all loops of a compilation */
    ELAB_MAX_LIST = 1000000,   /* items of a list */
    ELAB_MAX_TEXT = 1 << 20,   /* bytes of a text that + makes */
    ELAB_MAX_WORK = 50000000,  /* statements, expressions and items looked at: some seconds */
    ELAB_MAX_FILES = 256,
    ELAB_MAX_PATH = 1000 /* letters of a parameter's path */
};
#define ELAB_MAX_MEMORY ((size_t)256 << 20) /* for values and names; graphs have the module's own bound */

/* Place of a syntax node, for messages and nodes. */
typedef struct spot {
    uint32_t line, col;
} spot;
#define SPOT(x) ((spot){(x)->line, (x)->col})

typedef enum value_kind {
    VALUE_POISON, /* came from a mistake that was reported */
    VALUE_NONE,
    VALUE_INT,
    VALUE_FLOAT,
    VALUE_BOOL,
    VALUE_STRING,
    VALUE_DTYPE,
    VALUE_INIT,
    VALUE_LIST,
    VALUE_TUPLE, /* several returned values, perhaps with names */
    VALUE_BLOCK,
    VALUE_NET,     /* an imported ONNX file, called as a block is */
    VALUE_BUILTIN, /* a built-in function or an op, by name */
    VALUE_CONTRACT,
    VALUE_TENSOR
} value_kind;

typedef struct value value;
typedef struct env env;
typedef struct source_file source_file;

typedef struct block_value { /* a block and where its free names are looked up */
    const ast_stmt *ast;
    env *env;
    const source_file *file;
} block_value;

typedef struct net {  /* an imported ONNX file */
    const char *name; /* of the block */
    struct lvt_onnx_file *onnx;
    const char **outputs; /* named by the import */
    uint32_t n_outputs;
    const source_file *file;
    spot at;
} net;

struct value {
    uint8_t kind;
    uint32_t n; /* LIST, TUPLE */
    union {
        int64_t i; /* INT, BOOL, DTYPE */
        double f;
        const char *s; /* STRING, BUILTIN */
        lvt_init init;
        value *items;
        const block_value *block; /* BLOCK, CONTRACT */
        const net *net;
        struct {
            lvt_value v;
            uint32_t state; /* the state it is, or LVT_NONE */
        } tensor;
    };
    const char *const *names; /* TUPLE; NULL: no names */
};

typedef enum binding_kind { BIND_LOCAL, BIND_SETTING, BIND_BLOCK, BIND_AMBIENT } binding_kind;
typedef struct binding {
    const char *name;
    value v;
    uint8_t kind;
    uint32_t line, col;
    const source_file *file;
    struct binding *next;
} binding;

struct env {
    env *parent;
    binding *first;
    const source_file *imports_of; /* after the names of a file, those of its imports */
    bool frame;                    /* outermost of a call: its names, the parameters, may be hidden */
};

struct source_file {
    const char *name;
    uint32_t source; /* in the module */
    ast_file *ast;   /* NULL when it could not be parsed */
    env names;
    bool evaluated;
    source_file **imports;
    net **nets;
    uint32_t n_imports, n_nets;
};

/* What a call says about its path. */
typedef enum naming {
    NAMED_BY_PLACE, /* nothing, or `as _`: sharing would be an accident */
    NAMED,          /* `as NAME`: shares with other calls of that path, but not with itself in a loop */
    NAMED_SHARED    /* `as shared NAME`, or `at p`: shares whatever has that path */
} naming;

/* A call, as far as parameter paths are concerned. */
typedef struct scope {
    struct scope *parent;
    const char *path;
    naming named;
    spot at;                    /* the call, in the file of the parent's block */
    const struct frame *caller; /* while the call lasts */
} scope;

/* A setting of the model or of a contract that it uses. */
typedef struct setting {
    const char *name;
    value v, usual;    /* what it is, and without --set */
    const char *owner; /* the model or contract */
    const source_file *file;
    spot at;
} setting;

typedef struct elab {
    lvt_arena *arena;
    lvt_module *m;
    lvt_diag *diag;
    lvt_diag *aside; /* what the builder says, until lvt_lang_build_end has seen whether that is new */
    lvt_builder b;   /* graph is NULL outside entries */
    const char *models_folder;
    const char *const *given; /* NAME=VALUE, n_given times */
    size_t n_given;
    bool settings_only; /* entries are not run */
    bool stored; /* `given` are the settings of a program: all of them, and what is not the model's, too */
    const lvt_source *sources; /* what files hold, in place of the disk; NULL: the disk */
    size_t n_sources;
    setting *settings;
    const char **input_names; /* of the entry at hand, those of false conditions (none) too */
    value *input_values;
    uint32_t n_settings, n_input_names, n_input_values;
    source_file **files;
    net **nets; /* of all files; closed at the end */
    uint32_t n_files, n_nets;
    int calls, depth;
    bool too_deep; /* was reported */
    uint32_t unrolled;
    uint32_t streams; /* numbers given out by stream() in this entry */
    scope **declared; /* of the entry at hand: for every state the scope that declared it, or NULL */
    uint32_t n_declared;
    bool nomem; /* the compilation ends: memory, or (reported then) a bound above */
    bool beyond;
    uint64_t work;    /* see ELAB_MAX_WORK */
    struct frame *at; /* the statement at hand: its frame (NULL: none) and place */
    spot at_spot;
    bool *updated; /* of the entry at hand: by state, as far as it reaches */
    uint32_t n_updated;
    bool errors;
    bool misread;    /* a file has mistakes of syntax: what is missing may be behind them */
    bool names_lost; /* and nobody knows which names it would declare */
    bool silenced;   /* the last mistake was at a place that had been reported: no notes either */
    struct place {
        uint32_t file, line, col;
        const char *words;
    } * places; /* where something was reported, and what */
    uint32_t n_places;
} elab;

typedef struct frame frame;
struct frame { /* one expansion of a block or entry, or a file's top */
    elab *e;
    const source_file *file;
    env *env;
    scope *scope;
    const char *suffix; /* ".0.2": indices of the loops around, for paths */
    const char *loop;   /* the name that the innermost of them binds, for messages */
    lvt_loc parent;     /* the call */
    const char *name;   /* of the block, for messages */
    bool returned;      /* or an assertion failed: the result is poison then */
    value result;
    frame *user; /* of a contract and its entries: the model, and where it uses it; NULL otherwise */
    spot used_at;
};

/* ---- report.c: messages, environments, paths */
value lvt_lang_fail(frame *f, spot at, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void lvt_lang_explain(frame *f, uint32_t line, uint32_t col, const source_file *file, const char *format, ...)
    __attribute__((format(printf, 5, 6)));  /* a note, if the error before it was not silenced */
value lvt_lang_too_deep(frame *f, spot at); /* E305, once */
value lvt_lang_out_of_memory(elab *e);      /* poison, and ends the compilation */
/* Reports E314, "<format>", at the statement at hand and ends the compilation; poison. */
value lvt_lang_beyond(elab *e, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool lvt_lang_spend(elab *e, uint64_t work); /* false: that was too much, and is reported */
void *lvt_lang_room(elab *e, size_t bytes);  /* NULL: out of memory, noted */
bool lvt_lang_grow(elab *e, void *array, uint32_t *n, const void *element, size_t size);
lvt_loc lvt_lang_loc_of(frame *f, spot at);
binding *lvt_lang_env_find(env *en, const char *name);       /* through parents and imports */
binding *lvt_lang_env_find_local(env *en, const char *name); /* up to the frame */
bool lvt_lang_env_add(frame *f, env *en, const char *name, value v, binding_kind kind, spot at);
const char *lvt_lang_join_path(elab *e, const char *base, const char *name, const char *suffix);
/* "; did you mean 'x'?" or "" for a name that nothing visible from `en` has; callable: ops and built-ins too.
 */
const char *lvt_lang_suggest(frame *f, env *en, const char *name, bool callable);

/* ---- value.c: compile-time values */
value lvt_lang_value_int(int64_t i);
value lvt_lang_value_float(double x);
value lvt_lang_value_bool(bool b);
value lvt_lang_value_string(const char *s);
value lvt_lang_value_tensor(lvt_value v, uint32_t state);
value lvt_lang_value_list(elab *e, value_kind kind, const value *items, size_t n); /* copies */
static inline bool is_number(value v) {
    return v.kind == VALUE_INT || v.kind == VALUE_FLOAT;
}
static inline bool is_poison(value v) {
    return v.kind == VALUE_POISON;
}
static inline bool is_list(value v) {
    return v.kind == VALUE_LIST || v.kind == VALUE_TUPLE;
}
static inline double number_of(value v) {
    return v.kind == VALUE_FLOAT ? v.f : (double)v.i;
}
value lvt_lang_value_binary(frame *f, ast_op op, value a, value b, spot at);
value lvt_lang_value_unary(frame *f, ast_op op, value a, spot at);

/* ---- value_text.c */
const char *lvt_lang_value_text(elab *e, value v);   /* all of it */
const char *lvt_lang_value_source(elab *e, value v); /* as `--set NAME=` reads it back */
const char *lvt_lang_value_brief(elab *e, value v);  /* long lists and texts end in "..." */
const char *lvt_lang_value_describe(elab *e,
                                    value v); /* "the number 3", "f32[2,3]", "the list [1, 2]": brief */

/* ---- expr.c */
value lvt_lang_eval(frame *f, const ast_expr *x);
value lvt_lang_eval_named(frame *f, const ast_expr *x,
                          const char *name);                         /* a call takes `name` for its scope */
bool lvt_lang_eval_type(frame *f, const ast_type *t, lvt_type *out); /* all dims must be known */
bool lvt_lang_shape_of(frame *f, value v, spot at, const char *what,
                       lvt_type *shape); /* a list of ints as dims */

/* ---- index.c */
value lvt_lang_index_value(frame *f, const ast_expr *x); /* a[...] of a list or tensor */

/* ---- tensor.c: nodes */
value lvt_lang_build_op(frame *f, lvt_op op, const value *operands, uint32_t n, const lvt_named_attr *attrs,
                        uint32_t n_attrs, spot at);
value lvt_lang_tensor_binary(frame *f, lvt_op op, value a, value b, spot at);
/* v as a tensor: a number becomes a scalar of dtype. */
bool lvt_lang_as_tensor(frame *f, value v, lvt_dtype dtype, spot at, lvt_value *out);
void lvt_lang_build_begin(frame *f, spot at);
value lvt_lang_build_end(frame *f, lvt_value v, spot at); /* poison after a failed build */
const lvt_type *lvt_lang_type_of(frame *f, value tensor);
/* An evaluated argument list. */
typedef struct argument {
    const char *name;
    value v;
    spot at, name_at;
} argument;
value lvt_lang_call_op(frame *f, lvt_op op, const argument *args, uint32_t n, spot at);

/* The key of random numbers: the entry's input `step`, i32[2], which is made where it is not declared. */
value lvt_lang_random_key(frame *f, spot at);

/* ---- call.c */
value lvt_lang_eval_call(frame *f, const ast_expr *x, const char *name);
/* Expands a block. first: arguments put before `args` (NULL: none). path NULL: that of `f`, then the block's
 * name. */
value lvt_lang_call_block(frame *f, const block_value *block, const argument *args, uint32_t n,
                          const char *path, naming named, spot at);
bool lvt_lang_eval_args(frame *f, const ast_arg *args, uint32_t n, argument **out); /* false: one is poison */

/* ---- builtin.c */
typedef struct builtin builtin;
const builtin *lvt_lang_builtin_find(const char *name);
value lvt_lang_call_builtin(frame *f, const builtin *b, const argument *args, uint32_t n, spot at);
size_t lvt_lang_builtin_names(const char **names, size_t cap); /* how many there are */

/* ---- state.c */
bool lvt_lang_declare(frame *f, const ast_stmt *s);
/* The state of that path, declared by the frame's scope; LVT_NONE after an error. */
uint32_t lvt_lang_declare_state(frame *f, const char *path, const lvt_type *type, lvt_init init,
                                bool trainable, spot at);
bool lvt_lang_update(frame *f, const ast_stmt *s);
bool lvt_lang_updated_once(frame *f, uint32_t state,
                           spot at); /* false after an error: there is an update already */
bool lvt_lang_add_update(frame *f, uint32_t state, lvt_value v, spot at);
bool lvt_lang_minimize(frame *f, const ast_stmt *s);
/* A list of the parameters, or of the other states, declared so far; poison after an error, such as a pattern
 * that matches none (optional: it may). */
value lvt_lang_states_matching(frame *f, const value *patterns, uint32_t n, bool trainable, bool optional,
                               spot at);
value lvt_lang_gradients(frame *f, value loss, value of, spot at);

/* ---- stmt.c */
void lvt_lang_run_body(frame *f, const ast_body *body, env *own); /* own: an empty environment of the body */
void lvt_lang_run_stmt(frame *f, const ast_stmt *s);
void lvt_lang_run_lost(frame *f, const ast_stmt *s); /* what could not be read: its names become poison */

/* ---- load.c */
/* The file of that name with its imports, loaded once; NULL after an error. from NULL: the main file. */
source_file *lvt_lang_load_file(elab *e, const char *name, const source_file *from, spot at);
source_file *lvt_lang_load_text(elab *e, const char *name, const char *text, size_t length);
bool lvt_lang_evaluate_file(elab *e,
                            source_file *file); /* its blocks and constants, those of its imports first */

/* The existing file of that name, beside `from` or in the models folder; NULL after an error. */
const char *lvt_lang_find_import(elab *e, const char *name, const source_file *from, spot at);

/* ---- net.c: imported ONNX files */
bool lvt_lang_is_net(const char *name);
bool lvt_lang_load_net(elab *e, source_file *file, const ast_stmt *s);
bool lvt_lang_bind_nets(frame *f, source_file *file);
void lvt_lang_close_nets(elab *e);
value lvt_lang_call_net(frame *f, const net *n, const argument *args, uint32_t n_args, const char *path,
                        naming named, spot at);

/* ---- record.c: values with names */
value lvt_lang_run_record(frame *f, const builtin *b, const argument *args, uint32_t n, spot at);
value lvt_lang_run_settings(frame *f, const builtin *b, const argument *args, uint32_t n, spot at);
value lvt_lang_run_inputs(frame *f, const builtin *b, const argument *args, uint32_t n, spot at);
value lvt_lang_run_has(frame *f, const builtin *b, const argument *args, uint32_t n, spot at);
value lvt_lang_run_kind(frame *f, const builtin *b, const argument *args, uint32_t n, spot at);

/* ---- settings.c */
/* E503, E504: every --set has the form NAME=VALUE and names a setting of the model or of what it uses. */
bool lvt_lang_known_settings(frame *f, const ast_stmt *model);
/* Gives a setting its value, the text of --set or `usual`, adds it to the module and binds its name. `asked`
 * decides how text is read (its kind), and what `usual` may be; where: of `usual`, for messages. */
bool lvt_lang_bind_setting(frame *f, const char *name, spot at, value asked, value usual, frame *from,
                           spot where);
bool lvt_lang_bind_settings(frame *f, const ast_stmt *model); /* those in the head of a model */
const setting *lvt_lang_find_setting(const elab *e, const char *name);
bool lvt_lang_list_settings(elab *e, lvt_setting_list *out); /* false: out of memory */

/* ---- trained.c */
void lvt_lang_check_trained(elab *e); /* warns of parameters that training and prediction do not share */

/* ---- model.c */
void lvt_lang_run_model(elab *e, source_file *file, const ast_stmt *model);

/* ---- entry.c */
/* f: of the model or contract that declares it. */
void lvt_lang_run_entry(frame *f, const ast_stmt *s);
bool lvt_lang_bind_blocks(frame *f, const ast_body *body); /* the blocks of a model or contract */

#endif
