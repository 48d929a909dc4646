/* Whole files: read at once, written atomically; whole pieces of open ones.
 *
 * Invariants: a file written here is either the old one or the new one, complete and on the disk, never a
 * part; every message names the path and the system's reason. May not know: formats. */
#ifndef LVT_IR_BASE_FILE_H
#define LVT_IR_BASE_FILE_H

#include "diag.h"

#include <stdio.h>

/* Reads a regular file. *bytes is malloc'ed (one extra byte, 0, after the end) and belongs to the caller;
 * NULL on error. Errors: LVT_IO (with the reason), LVT_NOMEM. */
lvt_status lvt_file_read(const char *path, uint8_t **bytes, size_t *size, lvt_diag *diag);

/* n bytes from `offset` on, likewise. LVT_USER: the file is shorter, which is found before memory is taken.
 */
lvt_status lvt_file_read_part(const char *path, uint64_t offset, size_t n, uint8_t **bytes, lvt_diag *diag);

/* All n bytes to or from an open file or pipe, however many calls that takes. False: an error (errno says
 * which) or, where errno is 0, the end came first. */
bool lvt_fd_write(int fd, const void *bytes, size_t n);
bool lvt_fd_read(int fd, void *bytes, size_t n);

/* "DIR/NAME", malloc'ed; NULL when out of memory. */
char *lvt_path_join(const char *dir, const char *name);
bool lvt_path_exists(const char *path);

/* A file being written under a temporary name beside its own; a device or a pipe is written to as it is. */
typedef struct lvt_atomic_file {
    FILE *stream;
    char *path, *temporary;
} lvt_atomic_file;
/* Opens the temporary file. After an error nothing is left behind and `f` needs no end. */
lvt_status lvt_atomic_begin(lvt_atomic_file *f, const char *path, lvt_diag *diag);
/* status LVT_OK: flushes, syncs the file, renames it, syncs the folder; anything else: removes the temporary
 * file. Returns `status`, or what went wrong (LVT_IO: the old file is still there). */
lvt_status lvt_atomic_end(lvt_atomic_file *f, lvt_status status, lvt_diag *diag);
/* Both at once for bytes in memory. */
lvt_status lvt_file_write(const char *path, const void *bytes, size_t size, lvt_diag *diag);

#endif
