/* lvt-run: runs compiled programs. This file is the table of commands and what is around them.
 *
 * Invariant: one row a command; results go to standard output, messages to standard error, and the exit code
 * is 0 (done), 1 (model, data, files), 2 (command line), 70 (a bug) or 130 (interrupted). May not know: what
 * a command does. */
#include "cmd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const lvt_command commands[] = {
    {"train", "train over a sequence of tasks, with checkpoints, metrics and a report", lvt_cmd_train},
    {"eval", "evaluate a checkpoint on every task", lvt_cmd_eval},
    {"predict", "classify pictures with a checkpoint", lvt_cmd_predict},
    {"info", "what a compiled program holds: entries, parameters, memory, arithmetic", lvt_cmd_info},
    {"bench", "time an entry: milliseconds a step, share of the peak, by op or source line", lvt_cmd_bench},
    {"check", "run an entry on the kernels and on the reference interpreter and compare every step",
     lvt_cmd_check},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static void print_help(void) {
    printf("Usage: lvt-run COMMAND PROGRAM.lvtx [options]\n\n"
           "Runs programs compiled by lvtc. Commands:\n");
    for (int i = 0; i < N_COMMANDS; i++)
        printf("  %-9s %s\n", commands[i].name, commands[i].purpose);
    printf("\n`lvt-run COMMAND --help` explains a command and its options. --version prints the version.\n"
           "Exit codes: 0 done, 1 a problem with model, data or files, 2 wrong command line,\n"
           "70 a bug in lvt, 130 interrupted.\n");
}

static lvt_status dispatch(int argc, char **argv, lvt_diag *diag) {
    if (argc < 2) {
        lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "no command given");
        lvt_note(diag, LVT_NOWHERE, "`lvt-run --help` lists the commands");
        return LVT_USAGE;
    }
    const char *word = argv[1];
    if (!strcmp(word, "--help") || !strcmp(word, "-h") || !strcmp(word, "help")) {
        print_help();
        return LVT_OK;
    }
    if (!strcmp(word, "--version")) {
        printf("lvt-run %s\n", lvt_version());
        return LVT_OK;
    }
    const char *names[N_COMMANDS];
    for (int i = 0; i < N_COMMANDS; i++) {
        if (!strcmp(commands[i].name, word))
            return commands[i].run(argc - 1, argv + 1, diag);
        names[i] = commands[i].name;
    }
    const char *near = lvt_nearest(word, names, N_COMMANDS);
    lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "no such command, \"%s\"%s%s%s", word,
              near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    lvt_note(diag, LVT_NOWHERE, "`lvt-run --help` lists the commands");
    return LVT_USAGE;
}

/* Threads of the OpenMP team that wait spin by default; when another process has their processor, every one
 * of a step's few hundred regions can then stall for milliseconds. Sleeping costs microseconds and slows down
 * only in proportion. The OpenMP library reads this before main, so the program starts itself again, unless
 * the user chose. */
static void let_threads_sleep(char **argv) {
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT") || setenv("OMP_WAIT_POLICY", "passive", 1) != 0)
        return;
    execv("/proc/self/exe", argv); /* when it returns, there is no /proc: go on as we are */
}

int main(int argc, char **argv) {
    let_threads_sleep(argv);
    lvt_diag *diag = lvt_diag_new();
    if (!diag) {
        fprintf(stderr, "lvt-run: out of memory\n");
        return lvt_exit_code(LVT_NOMEM);
    }
    lvt_status status = dispatch(argc, argv, diag);
    if (fflush(stdout) != 0 && status == LVT_OK)
        status = lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "standard output cannot be written");
    if (lvt_diag_errors(diag) || lvt_diag_warnings(diag)) {
        char *text = lvt_diag_text(diag);
        fputs(text ? text : "lvt-run: out of memory\n", stderr);
        free(text);
    }
    lvt_diag_free(diag);
    return lvt_exit_code(status);
}
