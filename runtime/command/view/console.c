/* The live view of a run, and its lines. May not know: how training works, files. */
#include "console.h"
#include "runtime/continual/metrics.h"
#include "runtime/report/record.h"
#include "ir/base/clock.h"
#include "ir/base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* ---- the view ------------------------------------------------------------------------------------------ */

static int bar_width(const lvt_view *v) {
    int width = v->columns - 44;
    return width < 6 ? 6 : width > 60 ? 60 : width;
}

static void bar_line(lvt_view *v, const char *name, double share, double left) {
    char time[32];
    lvt_view_line(v);
    lvt_view_put(v, LVT_PLAIN, "%-11s", name);
    lvt_view_bar(v, bar_width(v), share);
    lvt_view_put(v, LVT_PLAIN, " %3.0f%%", 100 * share);
    lvt_view_put(v, LVT_DIM, "  %s left", lvt_time_text(left, time));
}

static void draw_losses(const lvt_console *c, lvt_view *v) {
    const lvt_progress *p = &c->progress;
    enum { NAME = 13, VALUE = 10 };
    int spark = v->unicode && v->columns >= 60 ? LVT_CONSOLE_HISTORY : 0;
    int column = NAME + VALUE + (spark ? spark + 3 : 0);
    int each = (v->columns - 1) / column;
    for (int i = 0; i < p->n_losses; i++) {
        if (i % (each > 0 ? each : 1) == 0)
            lvt_view_line(v);
        lvt_view_put(v, LVT_DIM, "%-*.*s", NAME, NAME - 1, lvt_loss_title(p->names[i]));
        lvt_view_put(v, i ? LVT_PLAIN : LVT_BOLD, "%-*.4g", VALUE, p->losses[i]);
        if (spark) {
            lvt_view_spark(v, c->history[i], c->n_history[i]);
            lvt_view_put(v, LVT_PLAIN, "%*s", spark - c->n_history[i] + 3, "");
        }
    }
}

/* Rows k of both matrices, the newest that fit; of more tasks than fit, the columns up to the newest. */
static void draw_matrix(const lvt_console *c, lvt_view *v, int rows) {
    const lvt_trainer *t = c->trainer;
    enum { LABEL = 11, CELL = 4, MEAN = 8 };
    int n = t->tasks.n, learned = 0;
    while (learned < n &&
           !isnan(t->accuracy[LVT_CLASS_IL][(learned + 1) * n + learned])) /* so many tasks are evaluated */
        learned++;
    if (!learned || rows < 3)
        return;
    int scenarios = lvt_scenarios(&t->tasks); /* in maps beside each other, or the second as a mean alone */
    int maps = v->columns > 2 * (LABEL + n * CELL + MEAN) ? scenarios : 1;
    int columns = (v->columns / maps - LABEL - MEAN - 1) / CELL;
    columns = columns < 1 ? 1 : columns > n ? n : columns;
    int end = learned > columns ? learned : columns; /* of the columns */
    int shown = learned < rows - 2 ? learned : rows - 2;
    lvt_view_line(v);
    lvt_view_line(v);
    for (int s = 0; s < maps; s++) {
        lvt_view_put(v, LVT_BOLD, "%-*s", LABEL, lvt_scenario_name(&t->tasks, s));
        for (int j = end - columns; j < end; j++)
            lvt_view_put(v, LVT_DIM, "%3d ", j + 1);
        lvt_view_put(v, LVT_DIM, "  mean%s", maps < scenarios ? "  Task-IL" : "  ");
    }
    for (int k = learned - shown + 1; k <= learned; k++) {
        if (!lvt_trainer_measures(t, k))
            continue;
        lvt_view_line(v);
        for (int s = 0; s < maps; s++) {
            lvt_view_put(v, LVT_DIM, "after %-*d", LABEL - 6, k);
            for (int j = end - columns; j < end; j++)
                lvt_view_cell(v, j < k ? 100 * t->accuracy[s][k * n + j] : NAN);
            lvt_view_put(v, LVT_BOLD, "%6.1f%s", 100 * lvt_metric_value("acc", t->accuracy[s], n, k),
                         maps < scenarios ? "" : "  ");
            if (maps < scenarios)
                lvt_view_put(v, LVT_DIM, "%9.1f",
                             100 * lvt_metric_value("acc", t->accuracy[LVT_TASK_IL], n, k));
        }
    }
}

static void draw(lvt_console *c) {
    lvt_view *v = &c->view;
    const lvt_trainer *t = c->trainer;
    const lvt_progress *p = &c->progress;
    double now = lvt_seconds();
    char text[64], time[32];
    c->drawn = now;
    c->changed = false;
    lvt_view_begin(v);
    lvt_view_line(v);
    lvt_view_put(v, LVT_BOLD, "%s", lvt_model_module(t->model)->name);
    lvt_view_put(v, LVT_DIM, "  %s on %s, seed %llu  ", t->method->name, t->data->name,
                 (unsigned long long)t->settings->seed);
    lvt_view_put(v, LVT_DIM, "%s", lvt_time_text(now - c->began, time));
    if (*t->trial)
        lvt_view_put(v, LVT_ACCENT, "  %s", t->trial);
    if (p->task) {
        double pace =
            p->step > c->task_first ? (now - c->task_began) / (double)(p->step - c->task_first) : NAN;
        bar_line(v, "run", (c->steps_before + (double)p->step) / fmax(c->steps_all, 1), p->seconds_left);
        snprintf(text, sizeof text, "task %d/%d", p->task, t->tasks.n);
        bar_line(v, text, (double)p->step / (double)p->steps, pace * (double)(p->steps - p->step));
    }
    if (t->memory.capacity) {
        lvt_view_line(v);
        lvt_view_put(v, LVT_PLAIN, "%-11s", "memory");
        lvt_view_bar(v, bar_width(v), (double)t->memory.n / (double)t->memory.capacity);
        lvt_view_put(v, LVT_DIM, "  %zu of %zu images", t->memory.n, t->memory.capacity);
    }
    lvt_view_line(v);
    if (c->phase) {
        lvt_view_put(v, LVT_ACCENT, "%s ... ", c->phase);
        lvt_view_put(v, LVT_DIM, "%s", lvt_time_text(now - c->phase_began, time));
    } else {
        lvt_view_put(v, LVT_PLAIN, "epoch %d/%d  step %llu/%llu  ", p->epoch, t->settings->epochs,
                     (unsigned long long)p->step, (unsigned long long)p->steps);
        lvt_view_put(v, LVT_PLAIN, "%.0f images/s  lr %.3g", p->images_per_second, p->lr);
    }
    draw_losses(c, v);
    draw_matrix(c, v, v->rows - 1 - v->n);
    lvt_view_end(v);
}

/* Ten times a second at most. */
static void draw_changed(lvt_console *c) {
    double now = lvt_seconds();
    if (c->quiet || !c->view.live || !(c->progress.task || c->phase))
        return;
    if ((c->changed && now - c->drawn >= 0.1) || (c->phase && now - c->drawn >= 1) ||
        lvt_view_resized(&c->view))
        draw(c);
}

/* ---- events -------------------------------------------------------------------------------------------- */

/* As print_progress, while a task ends. */
static void print_phase(lvt_console *c) {
    double now = lvt_seconds();
    if (c->quiet || c->view.live || !c->phase || now - c->printed < 10)
        return;
    c->printed = now;
    char time[32];
    lvt_print("task %d/%d  %s ... %s\n", c->progress.task, c->trainer->tasks.n, c->phase,
              lvt_time_text(now - c->phase_began, time));
    fflush(stdout);
}

static bool stop_asked(void *user) {
    lvt_console *c = user;
    struct signalfd_siginfo info;
    if (c->signals >= 0 && read(c->signals, &info, sizeof info) == (ssize_t)sizeof info)
        c->stopped = true;
    const lvt_collective *with = c->trainer->model->with;
    float stopped = c->stopped; /* of all processes: one that went on alone would wait for the others */
    if (with)
        with->all_reduce(with->user, LVT_REDUCE_MAX, &stopped, 1);
    draw_changed(c);
    print_phase(c);
    return c->stopped = stopped > 0;
}

/* A pipe or a file: a line every ten seconds. */
static void print_progress(lvt_console *c, const lvt_progress *p) {
    double now = lvt_seconds();
    if (p->step != p->steps && now - c->printed < 10)
        return;
    c->printed = now;
    char left[32];
    lvt_print("task %d/%d  epoch %d/%d  step %llu/%llu  %.0f images/s  %s left", p->task, c->trainer->tasks.n,
              p->epoch, c->trainer->settings->epochs, (unsigned long long)p->step,
              (unsigned long long)p->steps, p->images_per_second, lvt_time_text(p->seconds_left, left));
    for (int i = 0; i < p->n_losses; i++) {
        const char *name = p->names[i];
        lvt_print("  %s %.3f", strncmp(name, "loss_", 5) ? name : name + 5, p->losses[i]);
    }
    lvt_print("\n");
    fflush(stdout);
}

static void begin_task(lvt_console *c, const lvt_progress *p) {
    const lvt_trainer *t = c->trainer;
    c->task_began = lvt_seconds();
    c->task_first = p->step;
    c->steps_before = c->steps_all = 0;
    for (int k = 0; k < t->tasks.n; k++) {
        double steps = (double)lvt_trainer_steps(t, k);
        c->steps_before += k < p->task - 1 ? steps : 0;
        c->steps_all += steps;
    }
    if (p->names != c->progress.names) /* another entry, other terms */
        memset(c->n_history, 0, sizeof c->n_history);
}

static void remember_losses(lvt_console *c, const lvt_progress *p) {
    if (p->step != p->steps && p->step % (uint64_t)c->trainer->settings->log_every)
        return;
    for (int i = 0; i < p->n_losses; i++) {
        double *values = c->history[i];
        if (c->n_history[i] == LVT_CONSOLE_HISTORY)
            memmove(values, values + 1, (LVT_CONSOLE_HISTORY - 1) * sizeof *values);
        else
            c->n_history[i]++;
        values[c->n_history[i] - 1] = p->losses[i];
    }
}

static void show_progress(void *user, const lvt_progress *p) {
    lvt_console *c = user;
    if (c->quiet)
        return;
    c->phase = NULL;
    if (!c->view.live) {
        print_progress(c, p);
        c->progress = *p;
        return;
    }
    if (p->task != c->progress.task)
        begin_task(c, p);
    c->progress = *p;
    c->changed = true;
    remember_losses(c, p);
    draw_changed(c);
}

static void show_phase(void *user, const char *what) {
    lvt_console *c = user;
    c->phase = what;
    c->phase_began = lvt_seconds();
    c->changed = true;
    draw_changed(c);
}

void lvt_console_task(lvt_console *c) {
    const lvt_trainer *t = c->trainer;
    if (c->quiet)
        return;
    lvt_view_clear(&c->view);
    int n = t->tasks.n, k = t->at.task;
    char *labels =
        t->tasks.domains ? strdup(t->data->domain_names[k - 1]) : lvt_task_labels(&t->tasks, k - 1);
    lvt_print("task %d/%d learned (%s %.*s%s): ", k, n, t->tasks.domains ? "domain" : "classes",
              labels ? (int)lvt_utf8_cut(labels, 40) : 0, labels ? labels : "",
              labels && strlen(labels) > 40 ? " ..." : "");
    for (int s = 0; s < lvt_scenarios(&t->tasks) && lvt_trainer_measures(t, k); s++)
        lvt_print("%s %.2f%%, ", lvt_scenario_name(&t->tasks, s),
                  100 * lvt_metric_value("acc", t->accuracy[s], n, k));
    lvt_print("%s%zu images remembered\n", lvt_trainer_measures(t, k) ? "" : "not measured, ", t->memory.n);
    free(labels);
    fflush(stdout);
    c->changed = true;
}

void lvt_console_open(lvt_console *c) {
    lvt_view_open(&c->view, STDOUT_FILENO, c->plain);
    c->began = lvt_seconds();
}

lvt_events lvt_console_events(lvt_console *c) {
    return (lvt_events){.user = c, .stop = stop_asked, .progress = show_progress, .phase = show_phase};
}

void lvt_console_close(lvt_console *c) {
    lvt_view_clear(&c->view);
}
