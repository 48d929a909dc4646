/* Whole files: read at once, written atomically (temporary name, sync, rename, sync of the folder).
 * May not know: formats. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* asprintf */
#endif
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

/* A regular file; a pipe or a device is not waited for. -1: reported. */
static int open_plain(const char *path, struct stat *st, lvt_diag *diag) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
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

lvt_status lvt_file_read(const char *path, uint8_t **bytes, size_t *size, lvt_diag *diag) {
    struct stat st;
    *bytes = NULL;
    *size = 0;
    int fd = open_plain(path, &st, diag);
    if (fd < 0)
        return LVT_IO;
    lvt_status status = read_from(path, fd, (size_t)st.st_size, bytes, diag);
    if (status == LVT_OK)
        *size = (size_t)st.st_size;
    close(fd);
    return status;
}

lvt_status lvt_file_read_part(const char *path, uint64_t offset, size_t n, uint8_t **bytes, lvt_diag *diag) {
    struct stat st;
    *bytes = NULL;
    int fd = open_plain(path, &st, diag);
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

static void forget(lvt_atomic_file *f) {
    free(f->path);
    free(f->temporary);
    *f = (lvt_atomic_file){0};
}

lvt_status lvt_atomic_begin(lvt_atomic_file *f, const char *path, lvt_diag *diag) {
    struct stat st;
    bool there = stat(path, &st) == 0, plain = !there || S_ISREG(st.st_mode) || S_ISDIR(st.st_mode);
    /* A link stays one; a device or a pipe is written to, nothing takes its place. */
    *f = (lvt_atomic_file){.path = there && plain ? realpath(path, NULL) : strdup(path)};
    if (f->path && !plain) {
        f->stream = fopen(path, "wbe");
    } else if (!f->path || asprintf(&f->temporary, "%s.tmp", f->path) < 0) {
        f->temporary = NULL;
        forget(f);
        return lvt_no_memory(diag, NULL);
    } else {
        f->stream = fopen(f->temporary, "wbe");
    }
    if (!f->stream) {
        int reason = errno;
        forget(f);
        return lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: cannot be written: %s", path,
                         strerror(reason));
    }
    return LVT_OK;
}

/* The rename itself is only safe on the disk once its folder is. Some file systems cannot sync a folder: not
 * an error. */
static void sync_folder_of(const char *path) {
    char *dir = strdup(path);
    if (!dir)
        return;
    char *slash = strrchr(dir, '/');
    if (slash)
        *(slash == dir ? slash + 1 : slash) = 0;
    int fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(dir);
}

lvt_status lvt_atomic_end(lvt_atomic_file *f, lvt_status status, lvt_diag *diag) {
    int reason = 0;
    if (status == LVT_OK &&
        (ferror(f->stream) || fflush(f->stream) != 0 || (f->temporary && fsync(fileno(f->stream)) != 0)))
        reason = errno ? errno : EIO;
    if (fclose(f->stream) != 0 && status == LVT_OK && !reason)
        reason = errno;
    if (status == LVT_OK && !reason && f->temporary && rename(f->temporary, f->path) != 0)
        reason = errno;
    if (reason)
        status = lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: cannot be written: %s", f->path,
                           strerror(reason));
    if (f->temporary && status != LVT_OK)
        unlink(f->temporary);
    else if (f->temporary)
        sync_folder_of(f->path);
    forget(f);
    return status;
}

lvt_status lvt_file_write(const char *path, const void *bytes, size_t size, lvt_diag *diag) {
    lvt_atomic_file f;
    lvt_status status = lvt_atomic_begin(&f, path, diag);
    if (status != LVT_OK)
        return status;
    fwrite(bytes, 1, size,
           f.stream); /* a short write leaves the stream's error flag, which the end looks at */
    return lvt_atomic_end(&f, LVT_OK, diag);
}
