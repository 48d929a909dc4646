/* A run of a sweep as a child process. May not know: which run comes next, what is shown. */
#include "sweep.h"
#include "ir/base/file.h"
#include "ir/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <signal.h>

bool lvt_sweeping_arguments(const lvt_sweeping *w, int i, const lvt_sweep_begun *begun, lvt_texts *out) {
    const lvt_sweep *s = &w->sweep;
    const lvt_sweep_run *run = &s->runs[i];
    const lvt_sweep_row *row = &s->rows[run->row];
    lvt_texts program = {0};
    char *folder = lvt_sweep_run_folder(w->out, run);
    int candidate = run->candidate >= 0 ? run->candidate : row->chosen < 0 ? 0 : row->chosen;
    bool ok = folder && lvt_sweep_program(s, w->out, run->row, candidate, run->search, &program);
    lvt_texts_add(out, "lvt-run");
    lvt_texts_add(out, "train");
    lvt_texts_add(out, "%s", ok ? program.list[1] : "");
    lvt_texts_add(out, "--data=%s", s->data ? s->data : lvt_sweep_text(row, candidate, "data", run->search));
    lvt_texts_add(out, "--out=%s", ok ? folder : "");
    /* A run goes on with as many threads as it began with, for the same bits. */
    const char *threads = lvt_sweep_text(row, candidate, "threads", run->search);
    if (begun->begun)
        lvt_texts_add(out, "--threads=%d", begun->threads);
    else if (w->threads || !threads)
        lvt_texts_add(out, "--threads=%d", w->threads ? w->threads : w->threads_each);
    else
        lvt_texts_add(out, "--threads=%s", threads);
    lvt_texts_add(out, "--quiet");
    if (begun->begun)
        lvt_texts_add(out, "--resume");
    else
        ok = lvt_sweep_options(s, run, out) && ok;
    lvt_texts_free(&program);
    free(folder);
    return ok && !out->failed;
}

lvt_status lvt_sweeping_start(lvt_sweeping *w, int i, bool *busy, lvt_diag *diag) {
    const lvt_sweep_run *run = &w->sweep.runs[i];
    char *folder = lvt_sweep_run_folder(w->out, run), *log = lvt_sweep_log(w->out, run);
    char *lock = folder ? lvt_path_join(folder, "lock") : NULL;
    lvt_texts arguments = {0};
    lvt_sweep_begun begun;
    *busy = false;
    lvt_status status = lvt_sweep_begun_read(w->out, run, &begun, diag);
    if (status == LVT_OK && (!folder || !log || !lock || !lvt_sweeping_arguments(w, i, &begun, &arguments)))
        status = lvt_no_memory(diag, NULL);
    if (status == LVT_OK) {
        /* A process of a sweep that was killed may still be saving what it did. */
        int fd = open(lock, O_RDWR | O_CLOEXEC);
        *busy = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0;
        if (fd >= 0)
            close(fd);
    }
    if (status == LVT_OK && !*busy) {
        status = lvt_sweep_save(&w->sweep, w->out, run, &w->status[i], diag);
        int fd = status == LVT_OK ? open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;
        if (status == LVT_OK && fd < 0)
            status =
                lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: cannot be written: %s", log, strerror(errno));
        pid_t parent = getpid(), pid = -1;
        if (status == LVT_OK && (pid = fork()) < 0)
            status =
                lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "no process can be started: %s", strerror(errno));
        if (pid == 0) {
            sigset_t none;
            sigemptyset(&none);
            sigprocmask(SIG_SETMASK, &none, NULL);
            prctl(PR_SET_PDEATHSIG, SIGTERM); /* it saves a checkpoint and stops when the sweep is killed */
            if (getppid() != parent)
                _exit(130);
            dup2(fd, STDOUT_FILENO);
            dup2(fd, STDERR_FILENO);
            execv(w->self, arguments.list);
            _exit(127);
        }
        if (fd >= 0)
            close(fd);
        if (status == LVT_OK) {
            w->status[i].state = LVT_SWEEP_RUNNING;
            w->children[w->n_children++] = (lvt_sweep_child){pid, i, lvt_seconds(), w->status[i].seconds};
        }
    }
    lvt_texts_free(&arguments);
    lvt_sweep_begun_free(&begun);
    free(lock);
    free(folder);
    free(log);
    return status;
}
