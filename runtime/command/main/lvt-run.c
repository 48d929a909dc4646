/* lvt-run: runs compiled programs. This file is the table of commands and what is around them.
 *
 * Invariant: one row a command; results go to standard output, messages to standard error, and the exit code
 * is 0 (done), 1 (model, data, files), 2 (command line), 70 (a bug) or 130 (interrupted). May not know: what
 * a command does. */
#include "runtime/command/command.h"
#include "ir/base/file.h"

#include <sys/prctl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const lvt_command commands[] = {
    {"train", "train over a sequence of tasks, with checkpoints, metrics and a report", lvt_cmd_train},
    {"eval", "evaluate a checkpoint on every task", lvt_cmd_eval},
    {"predict", "classify pictures with a checkpoint", lvt_cmd_predict},
    {"sweep", "run an experiment file: search, seeds, table", lvt_cmd_sweep},
    {"compare", "put runs side by side: means and 95% intervals over seeds", lvt_cmd_compare},
    {"data", "what a data set holds, and a sheet of its pictures", lvt_cmd_data},
    {"info", "what a compiled program holds: entries, parameters, memory, arithmetic", lvt_cmd_info},
    {"bench", "time an entry: milliseconds a step, share of the peak, by op or source line", lvt_cmd_bench},
    {"check", "run an entry on the kernels and on the reference interpreter and compare every step",
     lvt_cmd_check},
    {"pack", "a program with its kernels, for machines without the code generator", lvt_cmd_pack},
    {"step", "run an entry on tensors from a file, and keep what comes out", lvt_cmd_step},
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
    if (!strcmp(word, "--completion")) { /* for the shell */
        for (int i = 0; i < N_COMMANDS; i++)
            printf("%s\n", commands[i].name);
        printf("--help\n--version\n");
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

/* The value of an option in any of its spellings; of a flag what stands behind it, "" at the end. NULL: it is
 * not there. */
static const char *value_of(char **argv, const char *name, const char *letter) {
    size_t n = strlen(name);
    for (; *argv; argv++) {
        const char *value = NULL;
        if (!strncmp(*argv, name, n))
            value = (*argv)[n] == '=' ? *argv + n + 1 : argv[1];
        else if (!strncmp(*argv, letter, 2))
            value = (*argv)[2] ? *argv + 2 : argv[1];
        else
            continue;
        return value ? value : "";
    }
    return NULL;
}

/* 0: all. A run that is resumed has as many as it was started with. */
static int threads_asked(char **argv) {
    const char *threads = value_of(argv, "--threads", "-t"), *folder = value_of(argv, "--out", "-o");
    if (threads || !folder || !value_of(argv, "--resume", "-r"))
        return threads ? atoi(threads) : 0;
    return lvt_cmd_threads_of_run(folder);
}

int main(int argc, char **argv) {
    if (!lvt_fd_standard()) /* nobody can be told */
        return lvt_exit_code(LVT_IO);
    bool computes =
        !argv[1] || strcmp(argv[1], "sweep"); /* which starts programs that choose for themselves */
    if (computes && lvt_choose_waiting(threads_asked(argv))) {
        /* A start allocates some 12 MB in small pieces: large pages spare it 3000 faults of 2 us, and so do
         * buffers of 1 MB that are not mapped anew each time. */
        setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4194304", 0);
        execv("/proc/self/exe", argv); /* when it returns, there is no /proc: go on as we are */
    }
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error to tell, not an end without a word */
    prctl(PR_SET_NAME, "lvt-run"); /* after starting again through /proc/self/exe, ps would say "exe" */
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
    } else if (status == LVT_NOMEM) { /* no memory for the words either */
        fputs("lvt-run: out of memory\n", stderr);
    }
    lvt_diag_free(diag);
    return lvt_exit_code(status);
}
