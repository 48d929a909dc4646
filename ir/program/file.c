/* Program files on disk: whole or not at all.
 *
 * Invariant: a file of the wanted name is either the old one or the complete new one, also when the disk is
 * full or the power fails; nothing else is left behind unless the process is killed. May not know: what the
 * bytes mean. */
#include "file.h"
#include "ir/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRIES = 100, BLOCK = 1 << 16 };

static lvt_status refused(lvt_diag *diag, const char *path, const char *what) {
    return lvt_error(diag, LVT_IO, "E610", (lvt_pos){path, 0, 0}, "cannot %s: %s", what, strerror(errno));
}

static lvt_status no_memory(lvt_diag *diag, const char *path) {
    return lvt_error(diag, LVT_NOMEM, NULL, (lvt_pos){path, 0, 0}, "out of memory");
}

/* Opens a new file beside `path`; its name is put into *name (malloc'ed, with room to spare). */
static int open_temporary(const char *path, char **name) {
    size_t room = strlen(path) + 64;
    *name = malloc(room);
    for (int i = 0; *name && i < TRIES; i++) {
        snprintf(*name, room, "%s.tmp.%ld.%d", path, (long)getpid(), i);
        int fd = open(*name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

/* Makes the new name last; a file system that cannot sync folders has done what it can. */
static void sync_folder(const char *path) {
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    free(folder);
}

/* Writes and closes; false with errno set. */
static bool fill(int fd, const unsigned char *bytes, size_t length, bool sync) {
    bool ok = lvt_fd_write(fd, bytes, length) && (!sync || fsync(fd) == 0);
    int why = errno;
    if (close(fd) != 0 && ok)
        return false;
    errno = why;
    return ok;
}

/* A pipe, a terminal or another device is written to; it is not replaced by a file. */
static lvt_status write_device(const char *path, const unsigned char *bytes, size_t length, lvt_diag *diag) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return refused(diag, path, "be opened");
    return fill(fd, bytes, length, false) ? LVT_OK : refused(diag, path, "be written");
}

static lvt_status write_file(const char *path, const unsigned char *bytes, size_t length, lvt_diag *diag) {
    char *name = NULL;
    lvt_status status = LVT_OK;
    int fd = open_temporary(path, &name);
    if (fd < 0) {
        status = name ? refused(diag, path, "be created") : no_memory(diag, path);
    } else if (!fill(fd, bytes, length, true) || rename(name, path) != 0) {
        status = refused(diag, path, "be written");
        unlink(name);
    } else {
        sync_folder(path);
    }
    free(name);
    return status;
}

lvt_status lvt_program_write(lvt_compiled *p, const char *path, lvt_diag *diag) {
    unsigned char *bytes;
    size_t length;
    struct stat about;
    lvt_status status = lvt_program_encode(p, &bytes, &length, diag);
    if (status != LVT_OK)
        return status;
    if (stat(path, &about) == 0 && !S_ISREG(about.st_mode) && !S_ISDIR(about.st_mode)) {
        status = write_device(path, bytes, length, diag);
    } else {
        char *target = realpath(path, NULL); /* of a link the file behind it is replaced, not the link */
        status = write_file(target ? target : path, bytes, length, diag);
        free(target);
    }
    free(bytes);
    return status;
}

/* All that can be read from fd; NULL with errno set (ENOMEM: out of memory). */
static unsigned char *read_all(int fd, size_t *length) {
    unsigned char *bytes = NULL;
    size_t n = 0, capacity = 0;
    for (;;) {
        if (capacity - n < BLOCK) {
            unsigned char *bigger = realloc(bytes, capacity = capacity * 2 + 2 * BLOCK);
            if (!bigger) {
                free(bytes);
                errno = ENOMEM;
                return NULL;
            }
            bytes = bigger;
        }
        ssize_t got = read(fd, bytes + n, capacity - n > 1 << 30 ? 1 << 30 : capacity - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            int why = errno;
            free(bytes);
            errno = why;
            return NULL;
        }
        if (got == 0) {
            *length = n;
            return bytes;
        }
        n += (size_t)got;
    }
}

lvt_status lvt_program_read(const char *path, lvt_compiled **out, lvt_diag *diag) {
    *out = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return refused(diag, path, "be opened");
    size_t length = 0;
    unsigned char *bytes = read_all(fd, &length);
    int why = errno;
    close(fd);
    if (!bytes) {
        errno = why;
        return why == ENOMEM ? no_memory(diag, path) : refused(diag, path, "be read");
    }
    lvt_status status = lvt_program_decode(path, bytes, length, out, diag);
    free(bytes);
    return status;
}
