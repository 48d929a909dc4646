/* The public C API: open a compiled program, run its entries, read and write its state.
 *
 *     lvt_program *p;  lvt_session *s;  lvt_diag *d = lvt_diag_new();
 *     lvt_program_open("lvt-s.lvtx", NULL, &p, d);
 *     lvt_session_new(p, &(lvt_session_options){.threads = 2, .seed = 1}, &s, d);
 *     int train = lvt_entry_find(p, "train");
 *     lvt_session_run(s, train, inputs, d);
 *     const float *loss = lvt_session_output(s, train, 0);
 *
 * Invariants: no globals, no output, no exit; a run allocates nothing and takes no lock; a program is
 * read-only and may be shared by sessions, a session belongs to one thread at a time. */
#ifndef LVT_H
#define LVT_H

#include "ir/base/diag.h"
#include "ir/base/version.h"
#include "ir/ir.h"
#include "ir/program/program.h"

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
                                  theirs, see ir/program/weights.h), or NULL */
} lvt_program_options;
lvt_status lvt_program_open(const char *path, const lvt_program_options *options, lvt_program **out,
                            lvt_diag *diag);
void lvt_program_close(lvt_program *p);
const lvt_compiled *lvt_program_compiled(const lvt_program *p); /* everything that is known about it */
int lvt_entry_find(const lvt_program *p, const char *name);     /* -1: no such entry */
int lvt_entry_input(const lvt_program *p, int entry, const char *name);  /* -1 */
int lvt_entry_output(const lvt_program *p, int entry, const char *name); /* -1 */
/* Flops and bytes of one run, as the ops count them. */
void lvt_entry_cost(const lvt_program *p, int entry, double *flops, double *bytes);

/* ---- sessions ------------------------------------------------------------------------------------------ */
typedef struct lvt_session_options {
    int threads;   /* 0: as many as the program's options say */
    uint64_t seed; /* of the initial values of parameters */
    /* Which entries get their kernels at once, compiled together; others get them in their first run, which
     * then can fail for that. NULL: all of them at once. */
    const int *entries;
    int n_entries;
} lvt_session_options;
/* Kernels are made for the team that there is: where OMP_THREAD_LIMIT, a parallel region around the call or
 * the system gives fewer threads, a warning says so, as it does for more threads than processors. Errors:
 * LVT_USER, LVT_NOMEM. */
lvt_status lvt_session_new(lvt_program *p, const lvt_session_options *options, lvt_session **out,
                           lvt_diag *diag);
int lvt_session_threads(const lvt_session *s); /* of its team: with it and the processor go the bits */
void lvt_session_free(lvt_session *s);
/* One step of an entry. inputs[i]: packed row-major elements of input i's type; NULL takes the default value.
 * They are read during the call only. */
/* LVT_USER, beside an input that is missing: the calling thread cannot have a team of lvt_session_threads. */
lvt_status lvt_session_run(lvt_session *s, int entry, const void *const *inputs, lvt_diag *diag);
/* Packed elements of output i of the last run (NULL: there was none and the entry is not made yet); valid
 * until the next run of any entry. */
const void *lvt_session_output(const lvt_session *s, int entry, int output);
/* State by index in the module: packed row-major elements, to read or to write before the next run of any
 * entry. Whoever writes after a run asks for the pointer again, though it is the same: entries without
 * updates keep what they make of states alone (folded norms, packed weights) from run to run. They make it
 * anew in their first run after a call of this function, a run of an entry with updates, or
 * lvt_session_reset. */
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

/* Where the time of opening went: reading the program, making kernels (also those made since, in first runs),
 * initial values. */
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

/* ---- tuning ------------------------------------------------------------------------------------------- */

/* For a compiler: how long a step takes in each of its variants, on this machine, on made-up operands. Equal
 * questions are measured once and then get the same answer. A tuner belongs to one thread at a time. */
typedef struct lvt_tuner lvt_tuner;
lvt_status lvt_tuner_new(int threads, lvt_tuner **out, lvt_diag *diag); /* threads 0: all processors */
void lvt_tuner_free(lvt_tuner *t);
int lvt_tuner_threads(const lvt_tuner *t);
size_t lvt_tuner_measured(const lvt_tuner *t); /* different questions so far */
/* Of a step of family onednn. plan: its graph, steps and the strides of places, which need not be anywhere
 * yet. steady: one an operand, the same at every run. variants: bit v stands for variant v. seconds,
 * LVT_N_VARIANTS of them: the median of several runs; below 0 where it was not asked for or this machine has
 * no kernel of that variant. */
lvt_status lvt_tuner_measure(lvt_tuner *t, const lvt_plan *plan, uint32_t step, const bool *steady,
                             unsigned variants, double *seconds, lvt_diag *diag);
/* Whether this machine's library runs a step of family onednn in the variant that the plan says, and not in
 * the standard one. */
lvt_status lvt_tuner_has(lvt_tuner *t, const lvt_plan *plan, uint32_t step, bool *has, lvt_diag *diag);

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
