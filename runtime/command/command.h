/* What the commands of lvt-run share: the shape of a command, table-driven options, help that teaches.
 *
 * Invariants: a command is one row of the table in lvt-run.c and one file cmd_NAME.c; it prints results to
 * standard output, leaves its complaints in the diag and returns a status: only main prints those and exits.
 * May not know: how a command does its work. */
#ifndef LVT_COMMAND_COMMAND_H
#define LVT_COMMAND_COMMAND_H

#include "runtime/lvt.h"

/* argv[0] is the command's name. */
typedef lvt_status (*lvt_command_fn)(int argc, char **argv, lvt_diag *diag);

typedef struct lvt_command {
    const char *name, *purpose; /* purpose: one line for `lvt-run --help` */
    lvt_command_fn run;
} lvt_command;

lvt_status lvt_cmd_info(int argc, char **argv, lvt_diag *diag);
lvt_status lvt_cmd_bench(int argc, char **argv, lvt_diag *diag);
lvt_status lvt_cmd_check(int argc, char **argv, lvt_diag *diag);
lvt_status lvt_cmd_train(int argc, char **argv, lvt_diag *diag);
lvt_status lvt_cmd_eval(int argc, char **argv, lvt_diag *diag);
lvt_status lvt_cmd_predict(int argc, char **argv, lvt_diag *diag);
lvt_status lvt_cmd_data(int argc, char **argv, lvt_diag *diag);
lvt_status lvt_cmd_sweep(int argc, char **argv, lvt_diag *diag);
lvt_status lvt_cmd_compare(int argc, char **argv, lvt_diag *diag);
lvt_status lvt_cmd_pack(int argc, char **argv, lvt_diag *diag);
lvt_status lvt_cmd_step(int argc, char **argv, lvt_diag *diag);

/* ---- options ------------------------------------------------------------------------------------------- */

typedef enum lvt_option_kind {
    LVT_OPTION_FLAG,   /* target: bool, set to true */
    LVT_OPTION_INT,    /* target: int, within min..max */
    LVT_OPTION_SEED,   /* target: uint64_t, any */
    LVT_OPTION_NUMBER, /* target: double, within min..max */
    LVT_OPTION_TEXT,   /* target: const char *, points into argv */
    LVT_OPTION_CHOICE, /* target: int, index into choices */
    LVT_OPTION_LIST    /* target: lvt_option_list, every use of the option adds one (`--set a=1 --set b=2`) */
} lvt_option_kind;

typedef struct lvt_option_list { /* items belong to the caller, capacity of them; more is a usage error */
    const char **items;
    int n, capacity;
} lvt_option_list;

typedef struct lvt_option {
    const char *name; /* long name without the dashes; NULL: a heading, `help` is its text */
    char letter;      /* short name, 0: none */
    uint8_t kind;
    const char *argument; /* what help calls the argument, "N"; NULL for flags */
    const char *help;     /* what it does and its default; may have several lines */
    void *target;
    double min, max;            /* both 0: no limits */
    const char *const *choices; /* NULL-ended, of CHOICE */
} lvt_option;

typedef struct lvt_usage {
    const char *synopsis; /* "lvt-run bench PROGRAM [options]" */
    const char *about;    /* a paragraph or two: what the command is for, what it prints, an example */
    const lvt_option *options;
    int n_options;
    int min_arguments, max_arguments; /* of what is not an option; max < 0: any number */
} lvt_usage;

enum { LVT_MAX_OPTIONS = 96 };

typedef struct lvt_arguments {
    int n;
    char **values;               /* the arguments that are not options, in order; points into argv */
    bool done;                   /* --help (or a shell's --completion) was answered: return LVT_OK at once */
    bool given[LVT_MAX_OPTIONS]; /* by row of the table: the option was on the command line */
} lvt_arguments;

/* Parses argv by the table (getopt_long rules: "--name=value", "--name value", "-n value", "--" ends options;
 * unique abbreviations of long names work). Fills targets, which keep their defaults when the option is
 * absent. Returns LVT_USAGE with the nearest name in the message when an option is unknown. */
lvt_status lvt_arguments_parse(const lvt_usage *usage, int argc, char **argv, lvt_arguments *out,
                               lvt_diag *diag);

/* Writes s as a JSON string with its quotes. */
void lvt_print_json_string(const char *s);

/* ---- what info, bench and check share ------------------------------------------------------------------ */

/* The entry of that name; with NULL the one called "train", else the first. Names the nearest when there is
 * none. */
lvt_status lvt_cmd_entry(const lvt_program *p, const char *name, int *entry, lvt_diag *diag);
/* Inputs of a sensible kind for every input of an entry, from the seed alone: labels within the classes they
 * index, masks all ones, images random, NULL (the default) where there is a default. The caller frees the
 * array with lvt_cmd_inputs_free. */
void **lvt_cmd_inputs(const lvt_program *p, int entry, uint64_t seed, lvt_diag *diag);
void lvt_cmd_inputs_free(const lvt_program *p, int entry, void **inputs);
/* GFLOP/s of a loop of f32 fused multiply-adds in registers on `threads` threads, the best of a few short
 * runs. *name gets the instruction set it used. */
double lvt_cmd_peak(int threads, const char **name);
/* The threads that the run in that folder was started with; 0: not known, or there is no such run. */
int lvt_cmd_threads_of_run(const char *folder);
/* For a run that was begun with `team` threads (0: not known) and no --threads: how many it goes on with, 0:
 * as many as there are processors. Warns when those are more. */
int lvt_cmd_resumed_team(int team, lvt_diag *diag);
/* For a trained network whose accuracy is what guessing gives in every task (lvt_at_chance): a warning. */
void lvt_cmd_chance(lvt_diag *diag);
/* Prints warnings to standard error and forgets them; messages with errors among them are left for the end.
 */
void lvt_cmd_say(lvt_diag *diag);
/* Seconds since this process was started (also across its exec of itself), to the system's clock tick of 10
 * ms; below 0 when the system does not say. */
double lvt_cmd_since_start(void);
/* The most memory, in bytes, that this process has had resident so far; below 0 when the system does not say.
 */
double lvt_cmd_peak_memory(void);

#endif
