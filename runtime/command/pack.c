/* lvt-run pack: a program with its kernels in a folder, for devices. May not know: how kernels are made. */
#include "command.h"
#include "runtime/compiled.h"
#include "ir/base/file.h"
#include "ir/base/utf8.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MOST_ENTRIES = 32 };

static const char *name_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Every entry that is named, or all of them, has its kernels in the folder afterwards: for the threads of this
 * session and for one, since those for a team may be others. */
static lvt_status make_kernels(lvt_program *p, const lvt_option_list *named, int threads, lvt_diag *diag) {
    int entries[MOST_ENTRIES], n = 0;
    for (; n < named->n; n++)
        LVT_TRY(lvt_cmd_entry(p, named->items[n], &entries[n], diag));
    for (int team = threads;; team = 1) {
        lvt_session *s;
        const lvt_session_options o = {.threads = team, .entries = named->n ? entries : NULL, .n_entries = n};
        LVT_TRY(lvt_session_new(p, &o, &s, diag));
        team = lvt_session_threads(s);
        lvt_session_free(s);
        if (team == 1)
            return LVT_OK;
    }
}

static lvt_status pack(const char *program, const char *weights, const char *map, const char *folder,
                       const lvt_option_list *entries, int threads, lvt_diag *diag) {
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: cannot be made: %s", folder, strerror(errno));
    char *path = lvt_path_join(folder, name_of(program)), *kernels = lvt_path_join(folder, "kernels");
    lvt_program *p = NULL;
    lvt_status status = path && kernels ? LVT_OK : lvt_no_memory(diag, NULL);
    if (status == LVT_OK)
        status = lvt_program_open(program,
                                  &(lvt_program_options){.cache = kernels,
                                                         .kernels = "",
                                                         .threads = threads,
                                                         .compile_apart = true,
                                                         .weights = weights,
                                                         .map = map},
                                  &p, diag);
    if (status == LVT_OK)
        status = make_kernels(p, entries, threads, diag);
    if (status == LVT_OK)
        status = lvt_program_pack(p, path, diag);
    if (status == LVT_OK) {
        lvt_print("%s and its kernels for this processor are in %s. There:\n", name_of(program), folder);
        lvt_print("  LVT_KERNELS=%s lvt-run predict %s ...\n", kernels, path);
    }
    lvt_program_close(p);
    free(kernels);
    free(path);
    return status;
}

lvt_status lvt_cmd_pack(int argc, char **argv, lvt_diag *diag) {
    const char *folder = NULL, *weights = NULL, *map = NULL, *items[MOST_ENTRIES];
    lvt_option_list entries = {items, 0, MOST_ENTRIES};
    int threads = 0;
    const lvt_option rows[] = {
        {"out", 'o', LVT_OPTION_TEXT, "FOLDER", "where the program and its kernels go (needed)", &folder, 0,
         0, NULL},
        {"entry", 'e', LVT_OPTION_LIST, "NAME",
         "only the kernels of this entry; may be given several times (all)", &entries, 0, 0, NULL},
        {"weights", 'w', LVT_OPTION_TEXT, "FILE",
         "let the program begin with these values: a checkpoint, or any\nsafetensors file", &weights, 0, 0,
         NULL},
        {"map", 0, LVT_OPTION_TEXT, "FILE", "from names in --weights to the model's", &map, 0, 0, NULL},
        {"threads", 't', LVT_OPTION_INT, "N", "that it will run with, beside 1 (0: all processors)", &threads,
         0, 1024, NULL},
    };
    const lvt_usage usage = {
        "lvt-run pack PROGRAM.lvtx --out FOLDER",
        "Puts a program and the machine code of its kernels, for the processor of this machine, into a "
        "folder. "
        "On\n"
        "machines with the same kind of processor lvt-run and liblvt then run it without their code "
        "generator,\n"
        "which needs LLVM: LVT_KERNELS=FOLDER/kernels in the environment says where the kernels are.\n"
        "  lvt-run pack lvt-s.lvtx --entry predict --out robot/",
        rows,
        sizeof rows / sizeof *rows,
        1,
        1};
    lvt_arguments arguments;
    lvt_status status = lvt_arguments_parse(&usage, argc, argv, &arguments, diag);
    if (status != LVT_OK || arguments.done)
        return status;
    if (!folder)
        return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE,
                         "--out is missing: the folder of what is packed");
    if (map && !weights)
        return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "--map says how names of --weights are read");
    return pack(arguments.values[0], weights, map, folder, &entries, threads, diag);
}
