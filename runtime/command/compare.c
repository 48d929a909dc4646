/* lvt-run compare: runs side by side. May not know: training, models. */
#include "command.h"
#include "runtime/report/compare.h"
#include "ir/base/file.h"

#include <stdlib.h>

static lvt_status write_file(const lvt_comparison *c, const char *path,
                             void (*put)(const lvt_comparison *, FILE *), lvt_diag *diag) {
    lvt_atomic_file f;
    if (!path)
        return LVT_OK;
    lvt_status status = lvt_atomic_begin(&f, NULL, path, diag);
    if (status != LVT_OK)
        return status;
    put(c, f.stream);
    return lvt_atomic_end(&f, LVT_OK, diag);
}

lvt_status lvt_cmd_compare(int argc, char **argv, lvt_diag *diag) {
    const char *csv = NULL, *svg = NULL, *output = NULL;
    int forgetting = 0, format = 0;
    const lvt_option rows[] = {
        {"csv", 0, LVT_OPTION_TEXT, "FILE",
         "write all metrics: group,runs,scenario,metric,mean,low,high,deviation", &csv, 0, 0, NULL},
        {"format", 0, LVT_OPTION_CHOICE, NULL,
         "of the table: for people, or with mean, standard deviation and\nevery seed, to put into a text "
         "(text)",
         &format, 0, 0, lvt_comparison_format_names},
        {"output", 'o', LVT_OPTION_TEXT, "FILE", "where the table goes (default: standard output)", &output,
         0, 0, NULL},
        {"svg", 0, LVT_OPTION_TEXT, "FILE", "draw curves over tasks and bars", &svg, 0, 0, NULL},
        {"forgetting", 0, LVT_OPTION_CHOICE, NULL, "which one is shown, as `lvt-run train` has it (max)",
         &forgetting, 0, 0, lvt_forgettings},
    };
    const lvt_usage usage = {
        "lvt-run compare RUN...",
        "Puts runs side by side. Runs of one program that differ in nothing but the seed (and the number of\n"
        "threads and the place of the data) are one experiment: their mean and its 95% interval are "
        "printed.\n"
        "Experiments are called by their --name, or by the settings in which they differ. The folder of a\n"
        "sweep stands for its final runs.\n"
        "  lvt-run compare runs/* --svg compare.svg --csv compare.csv",
        rows,
        sizeof rows / sizeof *rows,
        1,
        -1};
    lvt_arguments arguments;
    lvt_status status = lvt_arguments_parse(&usage, argc, argv, &arguments, diag);
    if (status != LVT_OK || arguments.done)
        return status;
    lvt_comparison c = {0};
    lvt_texts folders = {0};
    status = lvt_comparison_folders(arguments.values, arguments.n, &folders, diag);
    if (status == LVT_OK)
        status = lvt_comparison_read(&c, folders.list, folders.n, diag);
    lvt_texts_free(&folders);
    c.forgetting = forgetting;
    if (status == LVT_OK && !output)
        lvt_comparison_formats[format].put(&c, stdout);
    if (status == LVT_OK)
        status = write_file(&c, output, lvt_comparison_formats[format].put, diag);
    if (status == LVT_OK)
        status = write_file(&c, csv, lvt_comparison_csv, diag);
    if (status == LVT_OK)
        status = write_file(&c, svg, lvt_comparison_svg, diag);
    lvt_comparison_free(&c);
    return status;
}
