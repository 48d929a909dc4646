/* Passes: what one is given, and the driver that runs them in the order of passes.def.
 *
 * Invariant: a pass never changes the graph it is given; it returns a new one (or the same, when there is
 * nothing to do). What becomes part of the program lives in the module's arena, scratch in ctx->arena, which
 * goes away after the pass. May not know: kernels, files; which family accepts a node is asked of program.h.
 */
#ifndef LVT_PASSES_PASS_H
#define LVT_PASSES_PASS_H

#include "ir/build.h"
#include "ir/op.h"
#include "ir/program/program.h"

#define LVT_MAX_SCRATCH_BYTES ((size_t)1 << 30) /* what a pass may take beside the graphs */

/* A growing string for reports. Appending to NULL does nothing; running out of memory cuts the text. */
typedef struct lvt_text {
    char *data; /* NUL-terminated, or NULL while empty */
    size_t length, cap;
} lvt_text;
void lvt_text_add(lvt_text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* " (models/nn.lvt:49 from models/lvt-s.lvt:16)": the node's own line and the line of the model file, the
 * innermost of those that lead to it. Nothing when the place is unknown. */
void lvt_text_add_place(lvt_text *t, const lvt_module *m, lvt_loc loc);
void lvt_text_free(lvt_text *t);

/* Who measures, for pass choose: fills seconds (LVT_N_VARIANTS) with what the step takes in each variant v
 * whose bit v is set, below 0 where it cannot run so. Operands marked steady are the same at every run.
 * `threads`: of the team it measures with. The passes know no kernels: whoever calls lvt_compile gives this.
 */
typedef struct lvt_measure {
    lvt_status (*run)(void *user, const lvt_plan *plan, uint32_t step, const bool *steady, unsigned variants,
                      double *seconds, lvt_diag *diag);
    void *user;
    int threads;
} lvt_measure;

/* The memory report: a text of what holds the peak, the same and the bytes alive at every step as one JSON
 * text, or a drawing (SVG) of what lies where in the arena and when. */
typedef enum lvt_memory_form {
    LVT_MEMORY_NONE,
    LVT_MEMORY_TEXT,
    LVT_MEMORY_JSON,
    LVT_MEMORY_SVG
} lvt_memory_form;

/* What a pass sees. */
typedef struct lvt_pass {
    const char *name;
    lvt_module *module;
    lvt_diag *diag;
    lvt_arena *arena;  /* scratch */
    lvt_text *explain; /* where passes say what they did and why not more; NULL: nobody listens */
    lvt_text *memory;  /* the memory report of pass plan, of all entries; NULL: nobody listens */
    lvt_memory_form memory_form;
    int ranks;         /* processes that share a batch, as the options say; 1: no sharing */
    const char *split; /* names of the inputs that are divided among them, with commas between */
    lvt_plan *plan;    /* of this entry: layout fills strides, assign families, schedule steps, plan places */
    bool exact;        /* no variants with larger rounding errors */
    bool limited;      /* passes are left out, to find a fault: nothing is said of what that makes slow */
    uint64_t memory_budget;            /* bytes an entry may take, with all states; 0: any */
    const struct lvt_measure *measure; /* how variants are measured; NULL: a rule chooses */
    lvt_loc at;                        /* of the node that is worked on: where out of memory is reported */
    lvt_status status;                 /* preset to LVT_INTERNAL: what a pass that returns NULL failed of */
} lvt_pass;

/* Returns the new graph; NULL after reporting to ctx->diag and setting ctx->status. */
typedef lvt_graph *(*lvt_pass_fn)(lvt_pass *ctx, const lvt_graph *in);

lvt_graph *lvt_pass_verify(lvt_pass *ctx, const lvt_graph *in);
lvt_graph *lvt_pass_autodiff(lvt_pass *ctx, const lvt_graph *in);
lvt_graph *lvt_pass_fold(lvt_pass *ctx, const lvt_graph *in);
lvt_graph *lvt_pass_simplify(lvt_pass *ctx, const lvt_graph *in);
lvt_graph *lvt_pass_cse(lvt_pass *ctx, const lvt_graph *in);
lvt_graph *lvt_pass_dce(lvt_pass *ctx, const lvt_graph *in);
lvt_graph *lvt_pass_fuse_attention(lvt_pass *ctx, const lvt_graph *in);
lvt_graph *lvt_pass_decompose(lvt_pass *ctx, const lvt_graph *in);
lvt_graph *lvt_pass_shard(lvt_pass *ctx, const lvt_graph *in);
lvt_graph *lvt_pass_fold_norm(lvt_pass *ctx, const lvt_graph *in);
lvt_graph *lvt_pass_fuse_linear(lvt_pass *ctx, const lvt_graph *in);
lvt_graph *lvt_pass_unify_shapes(lvt_pass *ctx, const lvt_graph *in);
lvt_graph *lvt_pass_fuse_pointwise(lvt_pass *ctx, const lvt_graph *in);
lvt_graph *lvt_pass_layout(lvt_pass *ctx, const lvt_graph *in);
lvt_graph *lvt_pass_assign(lvt_pass *ctx, const lvt_graph *in);
lvt_graph *lvt_pass_choose(lvt_pass *ctx, const lvt_graph *in);
lvt_graph *lvt_pass_schedule(lvt_pass *ctx, const lvt_graph *in);
lvt_graph *lvt_pass_hoist(lvt_pass *ctx, const lvt_graph *in);
lvt_graph *lvt_pass_remat(lvt_pass *ctx, const lvt_graph *in);
lvt_graph *lvt_pass_bundle(lvt_pass *ctx, const lvt_graph *in);
lvt_graph *lvt_pass_plan(lvt_pass *ctx, const lvt_graph *in);

/* "message" at the node's place as an error of that status; sets ctx->status and returns NULL. */
lvt_graph *lvt_pass_fail(lvt_pass *ctx, lvt_status status, const char *code, lvt_loc loc, const char *format,
                         ...) __attribute__((format(printf, 5, 6)));
/* Out of memory, or beyond the bounds on nodes and memory: reports, at ctx->at, sets ctx->status, returns
 * NULL. */
lvt_graph *lvt_pass_nomem(lvt_pass *ctx);

/* ---- the driver ---------------------------------------------------------------------------------------- */

typedef enum lvt_report {
    LVT_REPORT_DUMP,
    LVT_REPORT_EXPLAIN,
    LVT_REPORT_MEMORY,
    LVT_REPORT_TIME
} lvt_report;

typedef struct lvt_compile_options {
    const char *start_at;   /* name of the first pass to run; NULL: all. The module is then taken as it is */
    const char *stop_after; /* name of the last pass to run; NULL: all */
    const char *dump_after; /* name of a pass, "all", or NULL: the module's text after it goes to `report` */
    bool verify_each;       /* the verifier after every pass */
    bool time_passes, explain;
    lvt_memory_form memory_report;
    const lvt_measure *measure; /* chooses variants of steps; NULL: rules do */
    bool exact; /* no kernels with larger rounding errors than plain sums of products have (Winograd) */
    uint64_t
        memory_budget; /* > 0: bytes that states, kept values and arena of an entry may take together; values
                          are computed again in the backward part until that holds, or it is an error */
    int pass_limit;    /* > 0: of the passes that only improve (fold, simplify, cse, fuse-pointwise) run the
                          first so many, counted over all entries: for finding the pass that breaks something. 0:
                          no limit */
    int ranks;         /* > 1: training entries become the part of one of so many processes, see shard.c */
    const char *split; /* the inputs that are divided then, along their first dim: "x,y" */
    void (*report)(void *user, lvt_report kind, const char *title, const char *text);
    void *user;
} lvt_compile_options;

/* Runs the passes over every entry of the module. When the last pass ran, *out is the compiled program, which
 * owns the module then; otherwise *out is NULL and the module, with its entries as the passes left them,
 * stays the caller's. On failure too the module stays the caller's. */
lvt_status lvt_compile(lvt_module *m, const lvt_compile_options *options, lvt_compiled **out, lvt_diag *diag);

typedef struct lvt_pass_info {
    const char *name, *purpose;
    lvt_pass_fn run;
} lvt_pass_info;
extern const lvt_pass_info lvt_pass_table[]; /* in order, ended by a row without name */

#endif
