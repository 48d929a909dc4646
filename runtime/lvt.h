/* The public C API: open a compiled program, ask what it holds, run its entries, read and write its state.
 *
 *     lvt_program *p;  lvt_session *s;  lvt_diag *d = lvt_diag_new();
 *     lvt_program_open("lvt-s.lvtx", NULL, &p, d);
 *     lvt_session_new(p, &(lvt_session_options){.threads = 2, .seed = 1}, &s, d);
 *     int train = lvt_entry_find(p, "train");
 *     lvt_session_run(s, train, inputs, d);
 *     const float *loss = lvt_session_output(s, train, 0);
 *
 * Every call that returns an lvt_status leaves its words in the diag (NULL: nobody wants them).
 * tests/install/user.c is a whole program.
 *
 * Invariants: complete by itself, with the headers it includes; no globals, no output, no exit; a run
 * compiles nothing, allocates nothing and takes no lock; a program is read-only and may be shared by
 * sessions, a session belongs to one thread at a time; indices out of range are answered, not trusted. */
#ifndef LVT_H
#define LVT_H

#include "ir/base/diag.h"
#include "ir/base/version.h"
#include "ir/type.h"

#pragma GCC visibility push(default) /* the shared library exports what this header declares */

typedef struct lvt_program lvt_program;
typedef struct lvt_session lvt_session;

/* ---- programs ------------------------------------------------------------------------------------------ */
typedef struct lvt_program_options {
    const char *cache; /* folder for machine code; NULL: the user's cache folder; "": no cache */
    bool interpret;    /* run every step on the reference interpreter */
    int threads;       /* of sessions that do not say; 0: all processors, as far as affinity and a CPU quota
                          let the process use them */
    /* Compile machine code in a process made by fork, which takes LLVM's memory (80 MB) with it when it is
     * done. For programs that do not mind a child process and have no other threads running while they make a
     * session. */
    bool compile_apart;
    bool no_weights; /* initial values that lie in a file beside the program are not read: states start as
                        zeros there */
    const char *weights, *map; /* a safetensors file that states start from (and a map from its names to
                                  theirs, lines `FROM = TO`), or NULL */
    /* A folder of machine code that `lvt-run pack` made for this kind of processor, where nothing is written: with it
     * a program runs without the code generator. It is executed, so it has to be this user's or root's, and writable
     * by nobody else. NULL: what the environment names in LVT_KERNELS; "": none. */
    const char *kernels;
} lvt_program_options;
/* Reads and verifies a program file. options may be NULL. *out belongs to the caller, who closes it after its
 * sessions; NULL after an error: LVT_USER (not a program, damaged, of another version, weights that do not
 * fit), LVT_IO, LVT_NOMEM. */
lvt_status lvt_program_open(const char *path, const lvt_program_options *options, lvt_program **out,
                            lvt_diag *diag);
void lvt_program_close(lvt_program *p);

/* ---- what a program holds ------------------------------------------------------------------------------ */

/* Entries, their inputs and outputs, and the states are counted from 0, in the order of the model file. Names
 * and all else that these calls hand out belong to the program. An index that does not exist gives a
 * structure of zeros, whose name is NULL. */

typedef struct lvt_entry_info {
    const char *name;
    bool training; /* declared as `training entry` */
    int n_inputs, n_outputs, n_steps;
    int n_updates; /* states that a run changes */
    /* Bytes of one session's memory: `working` is shared by all entries, so a session has the largest; `kept`
     * is the entry's own. */
    uint64_t working_bytes, kept_bytes;
    double flops, bytes; /* of one run, as the ops count them; bytes: read and written */
} lvt_entry_info;

typedef enum lvt_tensor_role {
    LVT_ROLE_INPUT,
    LVT_ROLE_OUTPUT,
    LVT_ROLE_PARAMETER, /* a state that the model file declares with `param` */
    LVT_ROLE_STATE      /* any other: statistics, what an optimiser remembers, counters */
} lvt_tensor_role;

typedef struct lvt_tensor_info {
    const char *name; /* of a state its path, "stage1.0.attention.key" */
    lvt_type type;
    size_t bytes; /* of its elements, packed */
    lvt_tensor_role role;
    bool used;        /* of inputs: something is computed from it. Of others: true */
    bool has_default; /* of inputs, scalars only: NULL may be given in its place */
    double default_value;
    lvt_pos at; /* where the model file declares it */
} lvt_tensor_info;

/* A step of an entry: one kernel. Steps are what lvt_session_times counts in. */
typedef struct lvt_step_info {
    const char *op, *name;        /* name: of its first result in the model file, or NULL */
    const char *family, *variant; /* who runs it, and in which of that family's ways */
    const char *role;             /* "forward", "gradient", "update", "recompute" */
    bool prologue;                /* depends on states alone: runs when these have changed */
    lvt_pos at, from; /* its place; the line of the model file that led there, when that is in a library */
    double flops, bytes;
} lvt_step_info;

const char *lvt_program_name(const lvt_program *p); /* of the model */
/* Of what is computed and how: equal programs have equal ones, and a checkpoint knows its program by it. */
uint64_t lvt_program_hash(const lvt_program *p);

int lvt_program_entries(const lvt_program *p); /* how many */
int lvt_program_states(const lvt_program *p);
lvt_entry_info lvt_program_entry(const lvt_program *p, int entry);
lvt_tensor_info lvt_program_input(const lvt_program *p, int entry, int input);
lvt_tensor_info lvt_program_output(const lvt_program *p, int entry, int output);
lvt_step_info lvt_program_step(const lvt_program *p, int entry, int step);
lvt_tensor_info lvt_program_state(const lvt_program *p, int state);
bool lvt_program_updates(const lvt_program *p, int entry, int state); /* do the entry's runs change it? */
/* Setting i of the model and the value it was compiled with, as text; false: there are not so many. */
bool lvt_program_setting(const lvt_program *p, int i, const char **name, const char **value);

/* By name; -1: there is none of that name. */
int lvt_entry_find(const lvt_program *p, const char *name);
int lvt_entry_input(const lvt_program *p, int entry, const char *name);
int lvt_entry_output(const lvt_program *p, int entry, const char *name);
int lvt_state_find(const lvt_program *p, const char *name);

/* ---- sessions ------------------------------------------------------------------------------------------ */
typedef struct lvt_session_options {
    int threads;   /* 0: as many as the program's options say */
    uint64_t seed; /* of the initial values of parameters */
    /* Which entries get their kernels at once, as lvt_session_prepare makes them; the others have to be
     * prepared before they run. NULL: all of them; not NULL with n_entries 0: none yet. */
    const int *entries;
    int n_entries;
} lvt_session_options;
/* Memory, initial values, kernels. options may be NULL. *out belongs to the caller, the program has to outlive
 * it; NULL after an error, which are those of lvt_session_prepare.
 *
 * Kernels are made for the team that there is: where OMP_THREAD_LIMIT, a parallel region around the call or
 * the system gives fewer threads, a warning says so, as it does for more threads than processors. */
lvt_status lvt_session_new(lvt_program *p, const lvt_session_options *options, lvt_session **out,
                           lvt_diag *diag);
int lvt_session_threads(const lvt_session *s); /* of its team: with it and the processor go the bits */
void lvt_session_free(lvt_session *s);
/* Makes the kernels of these entries (NULL: of all), compiled together; what is made already costs nothing.
 * This is what takes time, up to seconds where machine code is in no cache; a run never does it. Errors:
 * LVT_USER (no such entry), LVT_NOMEM, LVT_INTERNAL and LVT_IO (no machine code could be made); entries that
 * were prepared before stay so. */
lvt_status lvt_session_prepare(lvt_session *s, const int *entries, int n_entries, lvt_diag *diag);
/* One step of an entry. inputs[i]: packed row-major elements of input i's type; NULL takes the default value.
 * They are read during the call only. Errors: LVT_USER when an input is missing that has no default (E701),
 * when the calling thread cannot have a team of lvt_session_threads (E702), when the entry is not prepared
 * (E704) or does not exist (E705). */
lvt_status lvt_session_run(lvt_session *s, int entry, const void *const *inputs, lvt_diag *diag);
/* Packed elements of output i of the entry's last run (NULL: it is not prepared, or has no such output); the
 * session's, valid until the next run of any entry. */
const void *lvt_session_output(const lvt_session *s, int entry, int output);
/* State by index in the program (NULL: there are not so many): packed row-major elements, to read or to
 * write before the next run of any entry. Whoever writes after a run asks for the pointer again, though it is
 * the same: entries without updates keep what they make of states alone (folded norms, packed weights) from
 * run to run. They make it anew in their first run after a call of this function, a run of an entry with
 * updates, or lvt_session_reset. */
void *lvt_session_state(lvt_session *s, uint32_t state);
/* Looks for NaN and infinities in all states; infinities where the model begins with them are right. The first
 * state that has one, and its first element that is; -1: none has. Reads all states once. */
int64_t lvt_session_unsound(lvt_session *s, int64_t *element);
/* The same in parameters, but only a part of each, for every step: its first LVT_GLANCE_ALWAYS elements each time, and in
 * LVT_GLANCES turns (a number that grows by 1) all of it. A gradient that is not finite is in a parameter after
 * the step that used it, in most of its elements. */
enum { LVT_GLANCES = 16, LVT_GLANCE_ALWAYS = 256 };
int64_t lvt_session_glance(lvt_session *s, uint64_t turn, int64_t *element);
void lvt_session_reset(lvt_session *s, uint64_t seed); /* initial values again */
/* Gives that memory of an entry back to the system until its next run, which makes the contents anew: for
 * entries that seldom run. Its outputs are gone. */
void lvt_session_release(lvt_session *s, int entry);

/* Where the time of opening went: reading the program, making kernels (also those prepared since), initial
 * values. */
typedef struct lvt_opening {
    double read_seconds, onednn_seconds, state_seconds;
    double code_seconds,
        compile_seconds; /* of generated kernels in all; of it, compiling those that were in no cache */
    uint32_t onednn_kernels, code_kernels;
    uint32_t compiled, cached; /* pieces of code; kernels share them */
} lvt_opening;
const lvt_opening *lvt_session_opening(const lvt_session *s);

/* How the threads of a team wait for each other is read by the OpenMP library before main. This sets it in
 * the environment as is best for a process that uses `threads` of the processors (0: all) and returns true:
 * the program should start itself again. False: the environment has made a choice already. */
bool lvt_choose_waiting(int threads);

/* ---- several processes --------------------------------------------------------------------------------- */

/* How a program that `lvtc --ranks` made for several processes meets the others. */
typedef enum lvt_reduce { LVT_REDUCE_SUM, LVT_REDUCE_MEAN, LVT_REDUCE_MAX } lvt_reduce;
typedef struct lvt_collective {
    int ranks, rank; /* how many processes, which of them this is, from 0 */
    /* Puts the sum, mean or max over all processes in place of the n values, the same bits in each. */
    void (*all_reduce)(void *user, lvt_reduce reduce, float *data, int64_t n);
    void *user;
} lvt_collective;
/* From now on the session's all_reduce steps use it; it must outlive the session. NULL: the others are taken
 * to have the same values. Every process then makes the same runs in the same order. */
void lvt_session_connect(lvt_session *s, const lvt_collective *with);

/* ---- profiles ------------------------------------------------------------------------------------------ */
typedef struct lvt_step_time {
    double seconds; /* total over runs */
    uint64_t runs;
} lvt_step_time;
/* Switches timing of single steps on or off (steps that run together in one region share its time by their
 * work); times[n_steps of the entry] is the session's, or NULL when off. */
void lvt_session_profile(lvt_session *s, bool on);
const lvt_step_time *lvt_session_times(const lvt_session *s, int entry);
/* Runs the entry by kernels and by the interpreter in f32 on the same inputs and state and reports the first
 * step that differs by more than the tolerance of its op, with its source line. The state is left as it was.
 */
lvt_status lvt_session_check(lvt_session *s, int entry, const void *const *inputs, lvt_diag *diag);

#pragma GCC visibility pop

#endif
