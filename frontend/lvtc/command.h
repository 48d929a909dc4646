/* The command line of lvtc.
 *
 * Invariant: reading it prints nothing; what it hands over can be acted on, except for what only a model or
 * the disk knows, and no option in it is without effect. May not know: how anything is compiled. */
#ifndef LVT_FRONTEND_LVTC_COMMAND_H
#define LVT_FRONTEND_LVTC_COMMAND_H

#include "passes/pass.h"

#include <stdint.h>
#include <stdio.h>

typedef enum lvt_lvtc_action {
    LVT_LVTC_COMPILE,
    LVT_LVTC_HELP,
    LVT_LVTC_VERSION,
    LVT_LVTC_PASSES,
    LVT_LVTC_OPS, /* of `input`, or all */
    LVT_LVTC_COMPLETION,
} lvt_lvtc_action;

typedef enum lvt_lvtc_emit { LVT_EMIT_PROGRAM, LVT_EMIT_IR, LVT_EMIT_ONNX } lvt_lvtc_emit;

typedef enum lvt_lvtc_source {
    LVT_SOURCE_MODEL,
    LVT_SOURCE_IR,
    LVT_SOURCE_ONNX,
    LVT_SOURCE_PROGRAM
} lvt_lvtc_source;

typedef struct lvt_lvtc_command {
    lvt_lvtc_action action; /* anything but LVT_LVTC_COMPILE: nothing else was looked at, but of OPS */
    lvt_lvtc_emit emit;
    bool emit_given;
    lvt_lvtc_source source;     /* what the input is */
    const char *input, *output; /* output NULL: a name that follows from the input */
    const char *models;         /* folder of imports; NULL: beside the program */
    const char **settings;      /* n_settings times NAME=VALUE; malloc'ed */
    size_t n_settings;
    bool list_settings;          /* nothing is compiled */
    const char *memory_file;     /* where the memory report goes; NULL: standard output */
    lvt_compile_options compile; /* without reports and measuring */
    const char *weights, *map;
    bool freeze;
    bool tune;
    uint64_t threads; /* of --tune; 0: all processors */
    /* of --emit=onnx; the entry of an imported model, too */
    const char *entry; /* NULL: the usual one */
    bool fixed_batch, training_info, preprocessing;
    const char *mean, *deviation;
    uint64_t opset, external, seed; /* external: bytes, UINT64_MAX: nothing goes to a file of its own */
    bool split_given;
    uint64_t ranks, pass_limit; /* also in `compile` */
} lvt_lvtc_command;

/* All strings are those of argv. Whatever is returned, free(c->settings). Errors: LVT_USAGE, LVT_NOMEM. */
lvt_status lvt_lvtc_parse(lvt_lvtc_command *c, int argc, char **argv, lvt_diag *diag);
/* Every option with what its value may be, a line each, as runtime/package/completion.bash reads it. */
void lvt_lvtc_completion(FILE *to);

#endif
