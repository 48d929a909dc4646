/* Runs side by side: groups of runs that differ in nothing but the seed, with means and 95% intervals.
 *
 * Invariant: everything is read from settings.json and metrics.jsonl of the runs' folders. May not know:
 * training, command lines. */
#ifndef LVT_REPORT_COMPARE_H
#define LVT_REPORT_COMPARE_H

#include "runtime/continual/metrics.h"
#include "runtime/continual/settings.h"
#include "ir/base/texts.h"
#include "runtime/continual/tasks.h"

#include <stdio.h>

/* What is compared, in this order: the metrics of metrics.h of each matrix, then what is of the whole run.
 */
enum {
    LVT_COMPARED_ECE = LVT_N_MATRICES * LVT_N_METRICS,
    LVT_COMPARED_SECONDS,
    LVT_COMPARED_MEMORY,
    LVT_COMPARED_ENERGY,
    LVT_N_COMPARED
};

typedef struct lvt_compared_run {
    char *folder;
    cJSON *settings; /* all of settings.json */
    int learned, tasks, group;
    double *values; /* tasks + 1 rows of LVT_N_COMPARED; NaN: not there. Seconds are a sum over tasks */
} lvt_compared_run;

typedef struct lvt_comparison {
    bool domains;           /* tasks of all runs are domains: one scenario, see lvt_scenarios */
    int n, n_groups, tasks; /* tasks: the most of any run */
    lvt_compared_run *runs;
    char **labels;  /* of groups: the settings in which groups differ */
    int forgetting; /* which one tables and drawings show, see metrics.h */
} lvt_comparison;

typedef struct lvt_interval {
    int n;
    double mean, half; /* half: of the 95% interval by Student's t; NaN with fewer than two runs */
    double deviation;  /* standard, of the runs (n - 1); NaN with fewer than two */
} lvt_interval;

/* The folders of a list, and for those that a sweep made the runs in FOLDER/final that have learned a task,
 * in its order. Errors: LVT_NOMEM, LVT_USER (no run of a sweep has learned a task), LVT_IO. */
lvt_status lvt_comparison_folders(char **folders, int n, lvt_texts *out, lvt_diag *diag);
/* Reads the folders and sorts them into groups in the order given. Errors: LVT_USER (not a run, or nothing
 * measured yet), LVT_IO, LVT_NOMEM. Freed by lvt_comparison_free (also after an error). */
lvt_status lvt_comparison_read(lvt_comparison *c, char **folders, int n, lvt_diag *diag);
void lvt_comparison_free(lvt_comparison *c);
/* The place in a run's row of the metric of that name of a matrix (LVT_CLASS_IL...). */
int lvt_compared(const char *name, int matrix);
/* Of one group after `learned` tasks; 0: after as many as all its runs have learned. */
lvt_interval lvt_comparison_value(const lvt_comparison *c, int group, int what, int learned);
lvt_interval lvt_interval_of(const double *values, int n);
/* What tables show of a run, and whether some run of the comparison has it. */
typedef struct lvt_compared_column {
    const char *head;
    int what;
    double scale; /* of what is shown: per cent, MiB */
    bool used;
} lvt_compared_column;
enum { LVT_COMPARED_COLUMNS = 9 };
void lvt_comparison_columns(const lvt_comparison *c, lvt_compared_column columns[LVT_COMPARED_COLUMNS]);
/* compare_table.c: the table to put into a text: for each group the mean and the standard deviation of its runs, and
 * every run by its seed. */
void lvt_comparison_markdown(const lvt_comparison *c, FILE *f);
void lvt_comparison_latex(const lvt_comparison *c, FILE *f);
void lvt_comparison_seeds_csv(const lvt_comparison *c,
                              FILE *f); /* group,seed,...; seeds `mean` and `deviation` too */
enum { LVT_COMPARISON_FORMATS = 4 };
typedef struct lvt_comparison_format {
    void (*put)(const lvt_comparison *, FILE *);
    const char *file; /* what a sweep writes it as */
} lvt_comparison_format;
extern const lvt_comparison_format lvt_comparison_formats[LVT_COMPARISON_FORMATS]; /* in the order of */
extern const char *const lvt_comparison_format_names[]; /* text, markdown, latex, csv; NULL-ended */
/* The seed that a run was started with; "" when it does not say. */
const char *lvt_compared_seed(const lvt_compared_run *r);
/* The value of a run after as many tasks as all runs of its group have learned; NaN: not there. */
double lvt_compared_value(const lvt_comparison *c, const lvt_compared_run *r, int what);
/* Table for people; rows of group,runs,scenario,metric,mean,low,high,deviation; curves and bars. */
void lvt_comparison_text(const lvt_comparison *c, FILE *f);
void lvt_comparison_csv(const lvt_comparison *c, FILE *f);
void lvt_comparison_svg(const lvt_comparison *c, FILE *f);

#endif
