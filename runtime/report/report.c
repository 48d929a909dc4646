/* Tables, CSV and the memory's contact sheet. May not know: training, terminals. */
#include "report.h"
#include "runtime/continual/metrics.h"
#include "ir/base/file.h"
#include "runtime/data/image.h"
#include "ir/base/c_locale.h"
#include "ir/base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMN = 10 };

/* A metric in every scenario; of the matrices from `first` on. */
static void metric_line(FILE *f, const lvt_accuracies *a, const char *title,
                        double (*value)(const double *a, int n, int learned), int first,
                        const char *formula) {
    fprintf(f, "%-30s", title);
    for (int s = 0; s < lvt_scenarios(a->tasks); s++)
        fprintf(f, "%*.2f", COLUMN, 100 * value(a->in[first + s], a->tasks->n, a->learned));
    fprintf(f, "   %s\n", formula);
}

char *lvt_report_text(const lvt_accuracies *a) {
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return NULL;
    locale_t before = lvt_c_locale_begin();
    int n = a->tasks->n, scenarios = lvt_scenarios(a->tasks);
    if (*a->trial)
        fprintf(f, "This was a %s.\n\n", a->trial);
    for (int s = 0; s < scenarios; s++) {
        fprintf(f, "%s: among %s, per cent on task (columns) after task (rows)\n      ",
                lvt_scenario_name(a->tasks, s),
                s                   ? "the classes of the image's task"
                : a->tasks->domains ? "all classes"
                                    : "all classes seen");
        for (int j = 0; j < n; j++)
            fprintf(f, "%6d", j + 1);
        fprintf(f, "   mean\n");
        for (int k = 1; k <= a->learned; k++) {
            if (isnan(a->in[s][k * n])) /* a trial does not measure after every task */
                continue;
            fprintf(f, "%6d", k);
            for (int j = 0; j < n; j++) {
                double v = a->in[s][k * n + j];
                if (isnan(v))
                    fprintf(f, "     -");
                else
                    fprintf(f, "%6.1f", 100 * v);
            }
            fprintf(f, "%7.2f\n", 100 * lvt_metric_value("acc", a->in[s], n, k));
        }
        fprintf(f, "\n");
    }
    fprintf(f, "%-30s", "");
    for (int s = 0; s < scenarios; s++)
        fprintf(f, "%*s", COLUMN, lvt_scenario_name(a->tasks, s));
    fprintf(f, "   formula\n");
    for (int i = 0; i < LVT_N_METRICS && a->learned; i++) {
        bool defined = false;
        for (int s = 0; s < scenarios; s++)
            defined |= !isnan(lvt_metrics[i].value(a->in[s], n, a->learned));
        if (defined && lvt_metric_shown(i, a->forgetting))
            metric_line(f, a, lvt_metrics[i].title, lvt_metrics[i].value, 0, lvt_metrics[i].formula);
    }
    if (a->in[LVT_VALIDATION_CLASS_IL] && a->learned)
        metric_line(f, a, "validation", lvt_metric_of("acc")->value, LVT_VALIDATION_CLASS_IL,
                    "the first line, on the validation images");
    if (a->bins && a->learned)
        fprintf(f, "%-30s%*.2f%*s   mean over images of |accuracy - probability| of their bin, of %d\n",
                "expected calibration error", COLUMN, 100 * lvt_calibration_error(a->bins),
                (scenarios - 1) * COLUMN, "", LVT_CALIBRATION_BINS);
    lvt_c_locale_end(before);
    bool failed = ferror(f);
    if (fclose(f) != 0 || failed) {
        free(text);
        return NULL;
    }
    return text;
}

/* "apple; pear": what the classes of a task are called; of a domain its name, since it has all classes. */
static lvt_status put_names(FILE *f, const lvt_accuracies *a, int task, lvt_diag *diag) {
    char *text = NULL;
    size_t size;
    FILE *names = open_memstream(&text, &size);
    if (!names)
        return lvt_no_memory(diag, NULL);
    int begin = lvt_task_begin(a->tasks, task), end = lvt_task_end_of(a->tasks, task);
    if (a->tasks->domains)
        fputs(a->data->domain_names[task], names);
    for (int i = begin; i < end && !a->tasks->domains; i++)
        fprintf(names, "%s%s", i > begin ? "; " : "", a->data->class_names[a->tasks->order[i]]);
    bool failed = ferror(names);
    if (fclose(names) != 0 || failed) {
        free(text);
        return lvt_no_memory(diag, NULL);
    }
    lvt_csv_text(f, text);
    free(text);
    return LVT_OK;
}

lvt_status lvt_report_csv(const lvt_accuracies *a, const lvt_folder *in, const char *path, lvt_diag *diag) {
    lvt_atomic_file f;
    lvt_status status = lvt_atomic_begin(&f, in, path, diag);
    if (status != LVT_OK)
        return status;
    locale_t before = lvt_c_locale_begin();
    int n = a->tasks->n;
    fprintf(f.stream, "scenario,after_task,task,classes,accuracy,names%s\n", *a->trial ? ",trial" : "");
    for (int s = 0; s < LVT_N_MATRICES && a->in[s]; s++) {
        for (int k = 0; k <= a->learned; k++) {
            for (int j = 0; j < n; j++) {
                double v = a->in[s][k * n + j];
                if (isnan(v))
                    continue;
                fprintf(f.stream, "%s,%d,%d,", lvt_matrix_names[s], k, j + 1);
                for (int i = lvt_task_begin(a->tasks, j); i < lvt_task_end_of(a->tasks, j); i++)
                    fprintf(f.stream, "%s%d", i > lvt_task_begin(a->tasks, j) ? " " : "", a->tasks->order[i]);
                fprintf(f.stream, ",%.6f,", v);
                if (status == LVT_OK)
                    status = put_names(f.stream, a, j, diag);
                if (*a->trial) {
                    fputc(',', f.stream);
                    lvt_csv_text(f.stream, a->trial + strlen("trial: "));
                }
                fputc('\n', f.stream);
            }
        }
    }
    lvt_c_locale_end(before);
    return lvt_atomic_end(&f, status, diag);
}

lvt_status lvt_report_confusion(const lvt_accuracies *a, const int32_t *confusion, const lvt_folder *in,
                                const char *path, lvt_diag *diag) {
    lvt_atomic_file f;
    lvt_status status = lvt_atomic_begin(&f, in, path, diag);
    if (status != LVT_OK)
        return status;
    int seen = a->learned ? lvt_tasks_seen(a->tasks, a->learned - 1) : 0;
    fprintf(f.stream, "label,name");
    for (int c = 0; c < seen; c++)
        fprintf(f.stream, ",%d", a->tasks->order[c]);
    for (int r = 0; r < seen; r++) {
        fprintf(f.stream, "\n%d,", a->tasks->order[r]);
        lvt_csv_text(f.stream, a->data->class_names[a->tasks->order[r]]);
        for (int c = 0; c < seen; c++)
            fprintf(f.stream, ",%d", confusion[a->tasks->order[r] * a->tasks->classes + a->tasks->order[c]]);
    }
    fprintf(f.stream, "\n");
    return lvt_atomic_end(&f, LVT_OK, diag);
}

/* Places of remembered images, class after class as they were learned: a reservoir has them in any order. */
static size_t *by_class(const lvt_memory *m, const lvt_tasks *tasks) {
    size_t *list = malloc(m->n * sizeof *list), n = 0;
    for (int task = 0; list && task < tasks->n; task++) {
        for (int k = 0; k < tasks->classes; k++) {
            for (size_t i = 0; i < m->n; i++) {
                if (m->tasks[i] == task && m->labels[i] == tasks->order[k])
                    list[n++] = i;
            }
        }
    }
    return list;
}

lvt_status lvt_report_memory(const lvt_memory *m, const lvt_tasks *tasks, const lvt_dataset *d,
                             const lvt_folder *in, const char *path, lvt_diag *diag) {
    if (!m->n)
        return LVT_OK;
    size_t *places = by_class(m, tasks);
    if (!places)
        return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "%s: out of memory", path);
    enum { GAP = 2, COLUMNS = 25, LEGIBLE = 32 };
    /* Small pictures are enlarged by a whole number, so that a person can see what is remembered. */
    int channels = d->channels == 3 ? 3 : 1;
    int zoom = d->height < LEGIBLE ? (LEGIBLE + d->height - 1) / d->height : 1;
    int cell_h = zoom * d->height + GAP, cell_w = zoom * d->width + GAP;
    /* Two passes of the same layout: the first one counts rows. */
    lvt_picture p = {0};
    for (int pass = 0; pass < 2; pass++) {
        int row = 0, column = 0;
        for (size_t i = 0; i < m->n; i++, column++) {
            size_t place = places[i], before = places[i ? i - 1 : 0];
            if (i && (column == COLUMNS || m->labels[place] != m->labels[before] ||
                      m->tasks[place] != m->tasks[before])) {
                row++;
                column = 0;
            }
            for (int y = 0; y < zoom * d->height && pass; y++) {
                for (int x = 0; x < zoom * d->width; x++) {
                    const uint8_t *from = m->images + place * m->image_bytes +
                                          (size_t)(y / zoom * d->width + x / zoom) * (size_t)d->channels;
                    uint8_t *to = p.pixels + ((size_t)(row * cell_h + y) * (size_t)p.width +
                                              (size_t)(column * cell_w + x)) *
                                                 (size_t)channels;
                    memcpy(to, from, (size_t)channels);
                }
            }
        }
        if (!pass) {
            p = (lvt_picture){(row + 1) * cell_h - GAP, COLUMNS * cell_w - GAP, channels, NULL};
            size_t bytes = (size_t)p.height * (size_t)p.width * (size_t)channels;
            if (!(p.pixels = malloc(bytes))) {
                free(places);
                return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "%s: out of memory", path);
            }
            memset(p.pixels, 255, bytes);
        }
    }
    lvt_status status = lvt_picture_write(&p, in, path, diag);
    free(p.pixels);
    free(places);
    return status;
}
