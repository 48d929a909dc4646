/* Program files on disk: whole or not at all.
 *
 * Invariant: a file of the wanted name is either the old one or the complete new one, also when the disk is
 * full or the power fails; nothing else is left behind unless the process is killed. May not know: what the
 * bytes mean. */
#include "file.h"
#include "ir/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 1 << 16 };

static lvt_status refused(lvt_diag *diag, const char *path, const char *what) {
    return lvt_error(diag, LVT_IO, "E610", (lvt_pos){path, 0, 0}, "cannot %s: %s", what, strerror(errno));
}

static lvt_status no_memory(lvt_diag *diag, const char *path) {
    return lvt_error(diag, LVT_NOMEM, NULL, (lvt_pos){path, 0, 0}, "out of memory");
}

lvt_status lvt_program_write(lvt_compiled *p, const char *path, lvt_diag *diag) {
    unsigned char *bytes;
    size_t length;
    lvt_status status = lvt_program_encode(p, &bytes, &length, diag);
    if (status != LVT_OK)
        return status;
    status = lvt_file_write(NULL, path, bytes, length, diag);
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
