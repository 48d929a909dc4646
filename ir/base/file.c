/* Whole files: read at once, written atomically (temporary name, sync, rename, sync of the folder).
 * May not know: formats. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* F_DUPFD_CLOEXEC, O_NOFOLLOW */
#endif
#include "file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 1 << 30 }; /* bytes a call: Linux does no more than 2 GiB at once */

static bool transfer(int fd, char *bytes, size_t n, bool out) {
    while (n) {
        size_t part = n > MOST ? MOST : n;
        errno = 0;
        ssize_t done = out ? write(fd, bytes, part) : read(fd, bytes, part);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        bytes += done;
        n -= (size_t)done;
    }
    return true;
}

bool lvt_fd_write(int fd, const void *bytes, size_t n) {
    return transfer(fd, (char *)bytes, n, true);
}

bool lvt_fd_read(int fd, void *bytes, size_t n) {
    return transfer(fd, bytes, n, false);
}

char *lvt_path_join(const char *dir, const char *name) {
    size_t n = strlen(dir), m = strlen(name);
    bool slash = n && dir[n - 1] != '/';
    char *path = malloc(n + m + 2);
    if (path) {
        memcpy(path, dir, n);
        path[n] = '/';
        memcpy(path + n + slash, name, m + 1);
    }
    return path;
}

bool lvt_path_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0;
}

/* A regular file in `at`; a pipe or a device is not waited for. -1: reported. */
static int open_plain(int at, const char *name, const char *path, struct stat *st, lvt_diag *diag) {
    int fd = openat(at, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    bool ok = fd >= 0 && fstat(fd, st) == 0;
    if (ok && S_ISREG(st->st_mode))
        return fd;
    lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: cannot be read: %s", path,
              ok ? "not a regular file" : strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

static lvt_status read_from(const char *path, int fd, size_t n, uint8_t **bytes, lvt_diag *diag) {
    uint8_t *buffer = malloc(n + 1);
    if (!buffer)
        return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "%s: not enough memory for %zu bytes", path, n);
    if (!lvt_fd_read(fd, buffer, n)) {
        const char *reason = errno ? strerror(errno) : "it became shorter while it was read";
        free(buffer);
        return lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: cannot be read: %s", path, reason);
    }
    buffer[n] = 0;
    *bytes = buffer;
    return LVT_OK;
}

static lvt_status read_whole(int at, const char *name, const char *path, uint8_t **bytes, size_t *size,
                             lvt_diag *diag) {
    struct stat st;
    *bytes = NULL;
    *size = 0;
    int fd = open_plain(at, name, path, &st, diag);
    if (fd < 0)
        return LVT_IO;
    lvt_status status = read_from(path, fd, (size_t)st.st_size, bytes, diag);
    if (status == LVT_OK)
        *size = (size_t)st.st_size;
    close(fd);
    return status;
}

lvt_status lvt_file_read(const char *path, uint8_t **bytes, size_t *size, lvt_diag *diag) {
    return read_whole(AT_FDCWD, path, path, bytes, size, diag);
}

lvt_status lvt_file_read_part(const char *path, uint64_t offset, size_t n, uint8_t **bytes, lvt_diag *diag) {
    struct stat st;
    *bytes = NULL;
    int fd = open_plain(AT_FDCWD, path, path, &st, diag);
    if (fd < 0)
        return LVT_IO;
    uint64_t size = (uint64_t)st.st_size;
    lvt_status status = LVT_OK;
    if (offset > size || n > size - offset)
        status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                           "%s: it has %llu bytes, but %zu are wanted from %llu on", path,
                           (unsigned long long)size, n, (unsigned long long)offset);
    else if (lseek(fd, (off_t)offset, SEEK_SET) < 0)
        status = lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: cannot be read: %s", path, strerror(errno));
    else
        status = read_from(path, fd, n, bytes, diag);
    close(fd);
    return status;
}

bool lvt_fd_standard(void) {
    int fd;
    do
        fd = open("/dev/null", O_RDWR); /* the lowest number that is free */
    while (fd >= 0 && fd <= 2);
    if (fd > 2)
        close(fd);
    return fd > 2;
}

/* ---- folders that are held open ------------------------------------------------------------------------ */

lvt_status lvt_folder_open(lvt_folder *f, const lvt_folder *in, const char *path, lvt_diag *diag) {
    *f = (lvt_folder){-1, in ? lvt_path_join(in->path, path) : strdup(path)};
    if (!f->path)
        return lvt_no_memory(diag, NULL);
    f->fd = openat(in ? in->fd : AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (in ? O_NOFOLLOW : 0));
    return f->fd >= 0 ? LVT_OK
                      : lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: cannot be opened: %s", f->path,
                                  strerror(errno));
}

void lvt_folder_close(lvt_folder *f) {
    if (f->fd >= 0)
        close(f->fd);
    free(f->path);
    *f = (lvt_folder){-1, NULL};
}

static const char TEMPORARY[] = ".lvt-%016" PRIx64 ".tmp";
enum { TEMPORARY_SIZE = 32, TRIES = 100 };

static bool is_temporary(const char *name) {
    return !strncmp(name, ".lvt-", 5) && strspn(name + 5, "0123456789abcdef") == 16 &&
           !strcmp(name + 21, ".tmp");
}

void lvt_folder_clean(const lvt_folder *f) {
    int fd = openat(f->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* a place in the list of its own */
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d && fd >= 0)
        close(fd);
    for (struct dirent *e; d && (e = readdir(d));)
        if (is_temporary(e->d_name))
            unlinkat(f->fd, e->d_name, 0);
    if (d)
        closedir(d);
}

bool lvt_folder_has(const lvt_folder *f, const char *name) {
    struct stat st;
    return fstatat(f->fd, name, &st, 0) == 0;
}

int lvt_folder_descriptor(const lvt_folder *f, const char *name, int flags) {
    return openat(f->fd, name, flags | O_CLOEXEC | O_NOFOLLOW, 0666);
}

lvt_status lvt_folder_file_read(const lvt_folder *f, const char *name, uint8_t **bytes, size_t *size,
                                lvt_diag *diag) {
    char *path = lvt_path_join(f->path, name);
    lvt_status status = path ? read_whole(f->fd, name, path, bytes, size, diag) : lvt_no_memory(diag, NULL);
    if (!path)
        *bytes = NULL;
    free(path);
    return status;
}

/* ---- writing ------------------------------------------------------------------------------------------- */

static void forget(lvt_atomic_file *f) {
    free(f->path);
    free(f->temporary);
    free(f->name);
    if (f->folder >= 0)
        close(f->folder);
    *f = (lvt_atomic_file){.folder = -1};
}

/* Digits that nobody can guess: a name that is guessed can be taken before. */
static uint64_t unpredictable(void) {
    uint64_t v = 0;
    if (getrandom(&v, sizeof v, 0) != sizeof v) { /* no such call: O_EXCL still guards */
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        v = ((uint64_t)now.tv_nsec << 32 ^ (uint64_t)now.tv_sec ^ (uint64_t)getpid() << 16) *
            0x9e3779b97f4a7c15u;
    }
    return v;
}

/* A new file in f->folder; its name is f->temporary. */
static FILE *open_temporary(lvt_atomic_file *f) {
    int fd = -1;
    f->temporary = malloc(TEMPORARY_SIZE);
    for (int i = 0; f->temporary && i < TRIES && fd < 0; i++) {
        snprintf(f->temporary, TEMPORARY_SIZE, TEMPORARY, unpredictable());
        fd = openat(f->folder, f->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (fd < 0 && errno != EEXIST)
            break;
    }
    FILE *stream = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (!stream && fd >= 0) {
        unlinkat(f->folder, f->temporary, 0);
        close(fd);
    }
    return stream;
}

/* Splits f->path into the folder, which is opened, and the name in it. */
static bool find_folder(lvt_atomic_file *f) {
    char *slash = strrchr(f->path, '/'), *folder = strdup(f->path);
    f->name = strdup(slash ? slash + 1 : f->path);
    if (folder && slash)
        folder[slash == f->path ? 1 : slash - f->path] = 0;
    f->folder = folder && f->name ? open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    int reason = errno;
    free(folder);
    errno = reason;
    return f->folder >= 0;
}

lvt_status lvt_atomic_begin(lvt_atomic_file *f, const lvt_folder *in, const char *path, lvt_diag *diag) {
    struct stat st;
    bool plain = true, ready;
    *f = (lvt_atomic_file){.folder = -1};
    errno = 0;
    if (in) {
        f->path = lvt_path_join(in->path, path);
        f->name = strdup(path);
        f->folder = fcntl(in->fd, F_DUPFD_CLOEXEC, 0);
        ready = f->path && f->name && f->folder >= 0;
    } else {
        bool there = stat(path, &st) == 0;
        plain = !there || S_ISREG(st.st_mode) || S_ISDIR(st.st_mode);
        /* A link stays one; a device or a pipe is written to, nothing takes its place. */
        f->path = there && plain ? realpath(path, NULL) : strdup(path);
        errno = 0;
        ready = f->path && (!plain || find_folder(f));
    }
    if (ready)
        f->stream = plain ? open_temporary(f) : fopen(path, "wbe");
    if (f->stream)
        return LVT_OK;
    int reason = errno ? errno : ENOMEM;
    forget(f);
    return reason == ENOMEM ? lvt_no_memory(diag, path)
                            : lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s%s%s: cannot be written: %s",
                                        in ? in->path : "", in ? "/" : "", path, strerror(reason));
}

lvt_status lvt_atomic_end(lvt_atomic_file *f, lvt_status status, lvt_diag *diag) {
    int reason = 0;
    if (status == LVT_OK &&
        (ferror(f->stream) || fflush(f->stream) != 0 || (f->temporary && fsync(fileno(f->stream)) != 0)))
        reason = errno ? errno : EIO;
    if (fclose(f->stream) != 0 && status == LVT_OK && !reason)
        reason = errno;
    if (status == LVT_OK && !reason && f->temporary &&
        renameat(f->folder, f->temporary, f->folder, f->name) != 0)
        reason = errno;
    if (reason)
        status = lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: cannot be written: %s", f->path,
                           strerror(reason));
    if (f->temporary && status != LVT_OK)
        unlinkat(f->folder, f->temporary, 0);
    else if (f->temporary)
        (void)fsync(f->folder); /* the rename too; a file system that cannot do it has done what it can */
    forget(f);
    return status;
}

lvt_status lvt_file_write(const lvt_folder *in, const char *path, const void *bytes, size_t size,
                          lvt_diag *diag) {
    lvt_atomic_file f;
    lvt_status status = lvt_atomic_begin(&f, in, path, diag);
    if (status != LVT_OK)
        return status;
    fwrite(bytes, 1, size,
           f.stream); /* a short write leaves the stream's error flag, which the end looks at */
    return lvt_atomic_end(&f, LVT_OK, diag);
}
