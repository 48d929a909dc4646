/* lvt-run check: kernels against the reference interpreter. */
#include "command.h"
#include "ir/base/utf8.h"

#include <stdio.h>

static const char about[] =
    "Runs one step of an entry on made-up inputs, each piece on its kernel and on the reference interpreter, "
    "and\n"
    "reports the first that differs by more than its tolerance, with its line of the model file. Also "
    "notices\n"
    "memory that was reused too early. Slow: the interpreter is written to be right (a small model takes a\n"
    "second, a large one many minutes). Exit code 0: all agree.\n\n"
    "Example: lvt-run check models/lvt-tiny.lvtx --entry train";

lvt_status lvt_cmd_check(int argc, char **argv, lvt_diag *diag) {
    const char *entry_name = NULL, *cache = NULL;
    int threads = 0;
    uint64_t seed = 1;
    const lvt_option options[] = {
        {"entry", 'e', LVT_OPTION_TEXT, "NAME", "which entry (default: train, else the first)", &entry_name,
         0, 0, NULL},
        {"threads", 't', LVT_OPTION_INT, "N", "threads (default: all processors)", &threads, 1, 1024, NULL},
        {"seed", 0, LVT_OPTION_SEED, "N", "of parameters and inputs (default 1)", &seed, 0, 0, NULL},
        {"cache", 0, LVT_OPTION_TEXT, "FOLDER", "for machine code (default: the user's; \"\": none)", &cache,
         0, 0, NULL},
    };
    const lvt_usage usage = {"lvt-run check PROGRAM.lvtx [options]", about, options,
                             sizeof options / sizeof *options,       1,     1};
    lvt_arguments arguments;
    lvt_status status = lvt_arguments_parse(&usage, argc, argv, &arguments, diag);
    if (status != LVT_OK || arguments.done)
        return status;
    lvt_program *p;
    status = lvt_program_open(arguments.values[0],
                              &(lvt_program_options){.compile_apart = true, .cache = cache}, &p, diag);
    if (status != LVT_OK)
        return status;
    int entry;
    lvt_session *s = NULL;
    void **inputs = NULL;
    status = lvt_cmd_entry(p, entry_name, &entry, diag);
    if (status == LVT_OK)
        status = lvt_session_new(
            p, &(lvt_session_options){.threads = threads, .seed = seed, .entries = &entry, .n_entries = 1},
            &s, diag);
    if (status == LVT_OK && !(inputs = lvt_cmd_inputs(p, entry, seed, diag)))
        status = LVT_NOMEM;
    if (status == LVT_OK)
        status = lvt_session_check(s, entry, (const void *const *)inputs, diag);
    if (status == LVT_OK)
        lvt_print("%s, entry %s: all %d steps agree with the interpreter\n", arguments.values[0],
                  lvt_program_entry(p, entry).name, lvt_program_entry(p, entry).n_steps);
    if (inputs)
        lvt_cmd_inputs_free(p, entry, inputs);
    lvt_session_free(s);
    lvt_program_close(p);
    return status;
}
