/* The queue of a sweep: starts runs, waits for them, tells how far it is.
 *
 * Invariant: a run's state file is written before the next run is started in its place. May not know: what a
 * run computes. */
#include "sweep.h"
#include "ir/base/file.h"
#include "ir/base/clock.h"
#include "ir/base/utf8.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_ATTEMPTS = 3 }; /* of a run that a signal ended: no memory, most likely */

/* ---- what is left -------------------------------------------------------------------------------------- */

/* Seconds that a run takes in all: its own, when it is done or knows; NaN otherwise. */
static double known_seconds(const lvt_sweeping *w, int i) {
    if (w->status[i].state == LVT_SWEEP_DONE)
        return w->status[i].seconds > 0 ? w->status[i].seconds : NAN;
    lvt_sweep_progress p = lvt_sweep_look(w->out, &w->sweep.runs[i]);
    return p.seconds + p.left;
}

/* Work that is left over the jobs: a run that has not begun takes as long as the mean of its row's runs of
 * the same kind, else of all. NaN: nothing is known. */
static double seconds_left(const lvt_sweeping *w) {
    const lvt_sweep *s = &w->sweep;
    double left = 0;
    double *known = malloc(((size_t)s->n_runs + 1) * sizeof *known);
    for (int i = 0; i < s->n_runs && known; i++)
        known[i] = known_seconds(w, i);
    for (int i = 0; i < s->n_runs && known; i++) {
        if (w->status[i].state == LVT_SWEEP_DONE || w->status[i].state == LVT_SWEEP_FAILED)
            continue;
        if (!isnan(known[i])) {
            left += lvt_sweep_look(w->out, &s->runs[i]).left;
            continue;
        }
        double sums[2] = {0, 0};
        int counts[2] = {0, 0};
        for (int k = 0; k < s->n_runs; k++) {
            bool same = s->runs[k].row == s->runs[i].row && s->runs[k].search == s->runs[i].search;
            for (int any = 0; any < 2 && !isnan(known[k]); any++) {
                sums[any] += any || same ? known[k] : 0;
                counts[any] += any || same;
            }
        }
        left += counts[0] ? sums[0] / counts[0] : counts[1] ? sums[1] / counts[1] : NAN;
    }
    free(known);
    return known ? left / w->jobs : NAN;
}

static int count(const lvt_sweeping *w, lvt_sweep_state state) {
    int n = 0;
    for (int i = 0; i < w->sweep.n_runs; i++)
        n += w->status[i].state == state;
    return n;
}

/* A terminal: the queue, and how far each child is, drawn in place every second. */
static void draw(lvt_sweeping *w, double seconds) {
    lvt_view *v = &w->view;
    char left[32];
    int done = count(w, LVT_SWEEP_DONE), failed = count(w, LVT_SWEEP_FAILED), all = w->sweep.n_runs;
    int bar = v->columns - 60, names = 12;
    bar = bar < 8 ? 8 : bar > 40 ? 40 : bar;
    for (int i = 0; i < w->n_children; i++) {
        int n = (int)strlen(w->sweep.runs[w->children[i].run].name);
        names = n > names ? n : names;
    }
    names = names > 32 ? 32 : names;
    lvt_view_begin(v);
    lvt_view_line(v);
    lvt_view_put(v, LVT_BOLD, "%-*s ", names, "runs");
    lvt_view_bar(v, bar, (double)done / all);
    lvt_view_put(v, LVT_PLAIN, " %d of %d done, %d running", done, all, w->n_children);
    if (failed)
        lvt_view_put(v, LVT_BAD, ", %d failed", failed);
    lvt_view_put(v, LVT_DIM, "  %s left", isnan(seconds) ? "unknown time" : lvt_time_text(seconds, left));
    for (int i = 0; i < w->n_children; i++) {
        const lvt_sweep_run *run = &w->sweep.runs[w->children[i].run];
        lvt_sweep_progress p = lvt_sweep_look(w->out, run);
        lvt_view_line(v);
        lvt_view_put(v, LVT_PLAIN, "%-*.*s ", names, names, run->name);
        lvt_view_bar(v, bar, p.task ? p.seconds / (p.seconds + p.left) : 0);
        if (!p.task)
            lvt_view_put(v, LVT_DIM, " begins");
        else if (isnan(p.left))
            lvt_view_put(v, LVT_PLAIN, " task %d, %.0f%% of it", p.task, 100 * p.share);
        else
            lvt_view_put(v, LVT_PLAIN, " task %d, %.0f%% of it  %s left", p.task, 100 * p.share,
                         lvt_time_text(p.left, left));
    }
    lvt_view_end(v);
}

/* A pipe or a file: a line every minute. */
static void print(const lvt_sweeping *w, double seconds) {
    char left[32];
    lvt_print("%d of %d runs done, %d running, %d failed; %s left", count(w, LVT_SWEEP_DONE), w->sweep.n_runs,
              w->n_children, count(w, LVT_SWEEP_FAILED),
              isnan(seconds) ? "unknown time" : lvt_time_text(seconds, left));
    for (int i = 0; i < w->n_children && i < 2; i++) {
        const lvt_sweep_run *run = &w->sweep.runs[w->children[i].run];
        lvt_sweep_progress p = lvt_sweep_look(w->out, run);
        if (p.task)
            lvt_print("; %.*s: task %d, %.0f%%", (int)lvt_utf8_cut(run->name, 40), run->name, p.task,
                      100 * p.share);
    }
    lvt_print("\n");
    fflush(stdout);
}

static void show(lvt_sweeping *w) {
    double now = lvt_seconds();
    if (w->quiet || w->only >= 0 || (now - w->shown < (w->view.live ? 1 : 60) && !lvt_view_resized(&w->view)))
        return;
    w->shown = now;
    if (w->view.live)
        draw(w, seconds_left(w));
    else
        print(w, seconds_left(w));
}

static const char *label(const lvt_sweeping *w, int i, char *buffer, size_t size) {
    const lvt_sweep_run *run = &w->sweep.runs[i];
    snprintf(buffer, size, "%s %s", run->search ? "search" : "final", run->name);
    return buffer;
}

static void say(lvt_sweeping *w, int i, const char *what) {
    if (w->quiet)
        return;
    char name[256], took[32];
    lvt_view_clear(&w->view);
    lvt_print("[%d/%d] %s: %s", i + 1, w->sweep.n_runs, label(w, i, name, sizeof name), what);
    if (w->status[i].state == LVT_SWEEP_DONE)
        lvt_print(" in %s", lvt_time_text(w->status[i].seconds, took));
    lvt_print("\n");
    fflush(stdout);
}

/* ---- ends ---------------------------------------------------------------------------------------------- */

/* The first line of the log's last complaint. */
static void complain(const lvt_sweeping *w, int i, lvt_diag *diag) {
    char *path = lvt_sweep_log(w->out, &w->sweep.runs[i]), *last = NULL, name[256];
    uint8_t *bytes = NULL;
    size_t size;
    if (path && lvt_file_read(path, &bytes, &size, NULL) == LVT_OK) {
        char *rest = (char *)bytes, *line;
        while ((line = strsep(&rest, "\n"))) {
            if (strstr(line, "error"))
                last = line;
        }
    }
    lvt_warning(diag, NULL, LVT_NOWHERE, "%s failed (exit code %d): %s", label(w, i, name, sizeof name),
                w->status[i].code, last ? last : "see its log");
    lvt_note(diag, LVT_NOWHERE, "its log is %s", path ? path : "?");
    free(bytes);
    free(path);
}

static lvt_status finish(lvt_sweeping *w, int k, int wait_status, lvt_diag *diag) {
    lvt_sweep_child child = w->children[k];
    lvt_sweep_status *s = &w->status[child.run];
    w->children[k] = w->children[--w->n_children];
    s->seconds = child.before + lvt_seconds() - child.began;
    s->code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
    s->attempts += WIFSIGNALED(wait_status);
    bool again = w->stopping || s->code == 130 || (WIFSIGNALED(wait_status) && s->attempts < MAX_ATTEMPTS);
    s->state = s->code == 0 ? LVT_SWEEP_DONE : again ? LVT_SWEEP_WAITING : LVT_SWEEP_FAILED;
    lvt_status status = lvt_sweep_save(&w->sweep, w->out, &w->sweep.runs[child.run], s, diag);
    say(w, child.run,
        s->state == LVT_SWEEP_DONE     ? "done"
        : s->state == LVT_SWEEP_FAILED ? "failed"
                                       : "stopped");
    if (s->state == LVT_SWEEP_FAILED)
        complain(w, child.run, diag);
    return status;
}

lvt_status lvt_sweeping_choose(lvt_sweeping *w, int row, lvt_diag *diag) {
    lvt_sweep *s = &w->sweep;
    lvt_status status = lvt_sweep_choose(s, w->out, row, w->status, diag);
    for (int i = s->n_search; i < s->n_runs && status == LVT_USER; i++) {
        if (s->runs[i].row == row)
            w->status[i].state = LVT_SWEEP_FAILED;
    }
    return status == LVT_USER ? LVT_OK : status;
}

/* After a run of the search: does its row know now what to take? */
static lvt_status choose(lvt_sweeping *w, int row, lvt_diag *diag) {
    lvt_sweep *s = &w->sweep;
    if (s->rows[row].chosen >= 0)
        return LVT_OK;
    lvt_status status = lvt_sweeping_choose(w, row, diag);
    if (status == LVT_OK && s->rows[row].chosen >= 0) {
        char *text = lvt_sweep_candidate(&s->rows[row], s->rows[row].chosen);
        lvt_view_clear(&w->view);
        if (!w->quiet)
            lvt_print("%s: chosen %s\n", s->rows[row].name, text ? text : "");
        free(text);
        for (int i = s->n_search; i < s->n_runs && status == LVT_OK; i++) { /* begun with these settings? */
            if (s->runs[i].row == row)
                status = lvt_sweeping_check(w, i, diag);
        }
    }
    return status;
}

/* ---- the loop ------------------------------------------------------------------------------------------ */

static bool ready(const lvt_sweeping *w, int i) {
    const lvt_sweep_run *run = &w->sweep.runs[i];
    return w->status[i].state == LVT_SWEEP_WAITING && (w->only < 0 || w->only == i) &&
           (run->search || w->sweep.rows[run->row].chosen >= 0);
}

static lvt_status start_ready(lvt_sweeping *w, bool *waiting, lvt_diag *diag) {
    *waiting = false;
    for (int i = 0; i < w->sweep.n_runs && !w->stopping; i++) {
        bool busy = false;
        if (!ready(w, i))
            continue;
        *waiting = true;
        if (w->n_children == w->jobs)
            return LVT_OK;
        lvt_status status = lvt_sweeping_start(w, i, &busy, diag);
        if (status != LVT_OK)
            return status;
        if (!busy)
            say(w, i, "started");
    }
    return LVT_OK;
}

static lvt_status reap(lvt_sweeping *w, lvt_diag *diag) {
    for (int k = 0; k < w->n_children; k++) {
        int code;
        if (waitpid(w->children[k].pid, &code, WNOHANG) != w->children[k].pid)
            continue;
        const lvt_sweep_run *run = &w->sweep.runs[w->children[k].run];
        lvt_status status = finish(w, k--, code, diag);
        if (status == LVT_OK && run->search && w->only < 0 && !w->stopping)
            status = choose(w, run->row, diag);
        if (status != LVT_OK)
            return status;
    }
    return LVT_OK;
}

static void stop_children(lvt_sweeping *w) {
    w->stopping = true;
    for (int i = 0; i < w->n_children; i++)
        kill(w->children[i].pid, SIGTERM);
}

lvt_status lvt_sweeping_run(lvt_sweeping *w, lvt_diag *diag) {
    sigset_t set, before;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, &before);
    signal(SIGPIPE, SIG_IGN); /* nobody reads any more: the runs go on */
    lvt_status status = LVT_OK;
    bool asked = false, waiting = true;
    w->shown = lvt_seconds();
    lvt_view_open(&w->view, STDOUT_FILENO, w->plain);
    while (w->n_children || (waiting && !w->stopping)) {
        lvt_status now = w->stopping ? LVT_OK : start_ready(w, &waiting, diag);
        struct timespec pause = {0, 200 * 1000 * 1000};
        int signal = w->n_children || waiting ? sigtimedwait(&set, NULL, &pause) : -1;
        if (signal == SIGINT || signal == SIGTERM) {
            asked = true;
            stop_children(w);
        }
        lvt_status reaped = reap(w, diag);
        for (int i = 0; i < w->sweep.n_runs; i++) /* the last search of a row makes its final runs ready */
            waiting = waiting || ready(w, i);
        status = status != LVT_OK ? status : now != LVT_OK ? now : reaped;
        if (status != LVT_OK &&
            !w->stopping) /* no room for a state, for example: nothing is begun any more */
            stop_children(w);
        show(w);
    }
    lvt_view_clear(&w->view);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (asked && status == LVT_OK) {
        lvt_print("stopped; what was done is saved. The same command goes on.\n");
        return LVT_INTERRUPT;
    }
    int failed = w->only >= 0 ? w->status[w->only].state == LVT_SWEEP_FAILED : count(w, LVT_SWEEP_FAILED);
    if (status == LVT_OK && failed)
        status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                           "%d of %d runs failed; the same command tries them again", failed,
                           w->only >= 0 ? 1 : w->sweep.n_runs);
    return status;
}
