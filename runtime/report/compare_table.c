/* Runs side by side as tables to put into a text: Markdown, LaTeX, CSV. May not know: files, terminals. */
#include "compare.h"
#include "ir/base/c_locale.h"
#include "ir/base/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const lvt_comparison_format_names[] = {"text", "markdown", "latex", "csv", NULL};
const lvt_comparison_format lvt_comparison_formats[LVT_COMPARISON_FORMATS] = {
    {lvt_comparison_text, "compare.txt"},
    {lvt_comparison_markdown, "compare.md"},
    {lvt_comparison_latex, "compare.tex"},
    {lvt_comparison_seeds_csv, "compare-seeds.csv"},
};

/* Text without control characters, as both languages show it and not as they read it. */
static void put_markdown(FILE *f, const char *text) {
    char *safe = lvt_terminal_text(text, false);
    for (const char *c = safe ? safe : ""; *c; c++)
        fprintf(f, strchr("\\|*_`<>[]#~", *c) ? "\\%c" : "%c", *c);
    free(safe);
}

static void put_latex(FILE *f, const char *text) {
    char *safe = lvt_terminal_text(text, false);
    for (const char *c = safe ? safe : ""; *c; c++) {
        if (*c == '\\')
            fputs("\\textbackslash{}", f);
        else if (*c == '~')
            fputs("\\textasciitilde{}", f);
        else if (*c == '^')
            fputs("\\textasciicircum{}", f);
        else
            fprintf(f, strchr("&%$#_{}", *c) ? "\\%c" : "%c", *c);
    }
    free(safe);
}

/* How a language writes a table. */
typedef struct language {
    const char *begin, *seed, *cell, *end, *plus_minus,
        *none; /* begin, seed: of a row for a group, for a run */
    void (*put)(FILE *, const char *);
} language;
static const language markdown = {"| ", "| · seed ", " | ", " |\n", " ± ", "-", put_markdown},
                      latex = {"", "\\quad seed ", " & ", " \\\\\n", " $\\pm$ ", "--", put_latex};

static void put_groups(const lvt_comparison *c, const language *l, const lvt_compared_column *columns,
                       FILE *f) {
    for (int g = 0; g < c->n_groups; g++) {
        int runs = 0;
        for (int i = 0; i < c->n; i++)
            runs += c->runs[i].group == g;
        fputs(l->begin, f);
        l->put(f, c->labels[g]);
        fprintf(f, "%s%d", l->cell, runs);
        for (int k = 0; k < LVT_COMPARED_COLUMNS; k++) {
            if (!columns[k].used)
                continue;
            lvt_interval v = lvt_comparison_value(c, g, columns[k].what, 0);
            fputs(l->cell, f);
            if (!v.n)
                fputs(l->none, f);
            else
                fprintf(f, "%.2f", columns[k].scale * v.mean);
            if (!isnan(v.deviation))
                fprintf(f, "%s%.2f", l->plus_minus, columns[k].scale * v.deviation);
        }
        fputs(l->end, f);
        for (int i = 0; i < c->n; i++) {
            const lvt_compared_run *r = &c->runs[i];
            if (r->group != g || runs < 2)
                continue;
            fputs(l->seed, f);
            l->put(f, lvt_compared_seed(r));
            if (r->learned < r->tasks)
                fprintf(f, " (%d of %d tasks)", r->learned, r->tasks);
            fputs(l->cell, f);
            for (int k = 0; k < LVT_COMPARED_COLUMNS; k++) {
                if (!columns[k].used)
                    continue;
                double value = columns[k].scale * lvt_compared_value(c, r, columns[k].what);
                fputs(l->cell, f);
                if (isnan(value))
                    fputs(l->none, f);
                else
                    fprintf(f, "%.2f", value);
            }
            fputs(l->end, f);
        }
    }
}

/* What the numbers are, so that the table stands alone. */
static void put_formulas(const lvt_comparison *c, const language *l, FILE *f) {
    for (int i = 0; i < 2; i++) {
        const lvt_metric *m = lvt_metric_of(i ? lvt_forgetting_name(c->forgetting) : "acc");
        fputs(i ? "; " : "", f);
        l->put(f, m->title);
        fputs(": ", f);
        l->put(f, m->formula);
    }
}

void lvt_comparison_markdown(const lvt_comparison *c, FILE *f) {
    lvt_compared_column columns[LVT_COMPARED_COLUMNS];
    lvt_comparison_columns(c, columns);
    locale_t before = lvt_c_locale_begin();
    fputs("| | runs", f);
    for (int k = 0; k < LVT_COMPARED_COLUMNS; k++) {
        if (columns[k].used)
            fprintf(f, " | %s", columns[k].head);
    }
    fputs(" |\n|---|---:", f);
    for (int k = 0; k < LVT_COMPARED_COLUMNS; k++)
        fputs(columns[k].used ? "|---:" : "", f);
    fputs("|\n", f);
    put_groups(c, &markdown, columns, f);
    fputs("\nMean ± standard deviation over runs, per cent; ", f);
    put_formulas(c, &markdown, f);
    fputs(".\n", f);
    lvt_c_locale_end(before);
}

void lvt_comparison_latex(const lvt_comparison *c, FILE *f) {
    lvt_compared_column columns[LVT_COMPARED_COLUMNS];
    lvt_comparison_columns(c, columns);
    locale_t before = lvt_c_locale_begin();
    fputs("% Mean and standard deviation over runs, per cent; ", f);
    put_formulas(c, &latex, f);
    fputs(".\n\\begin{tabular}{lr", f);
    for (int k = 0; k < LVT_COMPARED_COLUMNS; k++)
        fputs(columns[k].used ? "r" : "", f);
    fputs("}\n\\hline\n & runs", f);
    for (int k = 0; k < LVT_COMPARED_COLUMNS; k++) {
        if (columns[k].used)
            fprintf(f, " & %s", columns[k].head);
    }
    fputs(" \\\\\n\\hline\n", f);
    put_groups(c, &latex, columns, f);
    fputs("\\hline\n\\end{tabular}\n", f);
    lvt_c_locale_end(before);
}

static void put_csv_row(const lvt_comparison *c, const lvt_compared_column *columns, int g, const char *seed,
                        const lvt_compared_run *r, bool deviation, FILE *f) {
    lvt_csv_text(f, c->labels[g]);
    fprintf(f, ",%s", seed);
    for (int k = 0; k < LVT_COMPARED_COLUMNS; k++) {
        if (!columns[k].used)
            continue;
        lvt_interval v = lvt_comparison_value(c, g, columns[k].what, 0);
        double value = r ? lvt_compared_value(c, r, columns[k].what) : deviation ? v.deviation : v.mean;
        fputc(',', f);
        if (!isnan(value))
            fprintf(f, "%.6f", columns[k].scale * value);
    }
    fputc('\n', f);
}

void lvt_comparison_seeds_csv(const lvt_comparison *c, FILE *f) {
    static const char *const heads[LVT_COMPARED_COLUMNS] = {"class_il",
                                                            "class_il_forgetting",
                                                            "task_il",
                                                            "task_il_forgetting",
                                                            "validation_class_il",
                                                            "calibration_error",
                                                            "seconds",
                                                            "peak_memory_mib",
                                                            "energy_joules"};
    lvt_compared_column columns[LVT_COMPARED_COLUMNS];
    lvt_comparison_columns(c, columns);
    locale_t before = lvt_c_locale_begin();
    fputs("group,seed", f);
    for (int k = 0; k < LVT_COMPARED_COLUMNS; k++) {
        if (columns[k].used)
            fprintf(f, ",%s", heads[k]);
    }
    fputc('\n', f);
    for (int g = 0; g < c->n_groups; g++) {
        put_csv_row(c, columns, g, "mean", NULL, false, f);
        put_csv_row(c, columns, g, "deviation", NULL, true, f);
        for (int i = 0; i < c->n; i++) {
            if (c->runs[i].group == g)
                put_csv_row(c, columns, g, lvt_compared_seed(&c->runs[i]), &c->runs[i], false, f);
        }
    }
    lvt_c_locale_end(before);
}
