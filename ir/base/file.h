/* Whole files: read at once, written atomically; whole pieces of open ones.
 *
 * Invariants: a file written here is either the old one or the new one, complete and on the disk, never a
 * part, whoever else writes it at that moment; nothing is written through a link that somebody laid in the
 * way; every message names the path and the system's reason. Everything that lvt writes as a whole is
 * written by this file. May not know: formats. */
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

/* For the beginning of a program: gives descriptors 0, 1 and 2 to /dev/null where its parent closed them, or
 * the first file it opens would get their number, and what it prints. False: it cannot be done. */
bool lvt_fd_standard(void);

/* "DIR/NAME", malloc'ed; NULL when out of memory. */
char *lvt_path_join(const char *dir, const char *name);
bool lvt_path_exists(const char *path);

/* A folder that is held open: names in it lead into this very folder, also after another has taken its
 * place. NULL where one is asked for: names are paths, as everywhere. */
typedef struct lvt_folder {
    int fd;     /* -1: not open */
    char *path; /* for messages */
} lvt_folder;
/* LVT_IO, LVT_NOMEM. Freed by lvt_folder_close (also after an error). */
lvt_status lvt_folder_open(lvt_folder *f, const lvt_folder *in, const char *path, lvt_diag *diag);
void lvt_folder_close(lvt_folder *f);
/* Removes temporary files of processes that were killed; nobody else may be writing into the folder. */
void lvt_folder_clean(const lvt_folder *f);
bool lvt_folder_has(const lvt_folder *f, const char *name);
/* Opens a file in the folder that lvt_folder_file_write cannot make whole at once (a log, a lock), with the
 * flags of open(2), for this user alone to reach through: a link is refused, a new file gets mode 0666 less
 * the umask. -1: errno says why. */
int lvt_folder_descriptor(const lvt_folder *f, const char *name, int flags);
/* lvt_file_read in it. */
lvt_status lvt_folder_file_read(const lvt_folder *f, const char *name, uint8_t **bytes, size_t *size,
                                lvt_diag *diag);

/* A file being written under a temporary name beside its own, .lvt-XXXXXXXXXXXXXXXX.tmp with random digits,
 * which is new and no link; a device or a pipe is written to as it is. */
typedef struct lvt_atomic_file {
    FILE *stream;
    char *path, *temporary; /* temporary: a name in `folder` */
    char *name;             /* likewise, the final one */
    int folder;             /* -1: a device */
} lvt_atomic_file;
/* Opens the temporary file. A link at `path` stays one, what it leads to is written; with `in` (see above)
 * `path` is a name in that folder, and a link there is replaced. After an error nothing is left behind and
 * `f` needs no end. */
lvt_status lvt_atomic_begin(lvt_atomic_file *f, const lvt_folder *in, const char *path, lvt_diag *diag);
/* status LVT_OK: flushes, syncs the file, renames it, syncs the folder; anything else: removes the temporary
 * file. Returns `status`, or what went wrong (LVT_IO: the old file is still there). */
lvt_status lvt_atomic_end(lvt_atomic_file *f, lvt_status status, lvt_diag *diag);
/* Both at once for bytes in memory. */
lvt_status lvt_file_write(const lvt_folder *in, const char *path, const void *bytes, size_t size,
                          lvt_diag *diag);

#endif
