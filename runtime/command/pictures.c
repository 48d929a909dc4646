/* Paths of pictures, as they come. May not know: what is done with them. */
#include "pictures.h"
#include "ir/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 1 << 16 };

void lvt_pictures_open(lvt_pictures *p, char **arguments, int n, const char *list) {
    *p = (lvt_pictures){.arguments = arguments, .n = n, .list = list, .fd = -1};
}

static void end_list(lvt_pictures *p) {
    if (p->fd > STDIN_FILENO)
        close(p->fd);
    p->fd = -1;
    p->used = p->taken = 0;
    p->ended = false;
}

void lvt_pictures_close(lvt_pictures *p) {
    end_list(p);
    lvt_names_free(&p->folder);
    free(p->buffer);
    *p = (lvt_pictures){.fd = -1};
}

/* A line of the list that is being read, without its end; a last line needs none. */
static lvt_status line(lvt_pictures *p, bool wait, lvt_next *what, char **path, lvt_diag *diag) {
    for (;;) {
        char *start = p->buffer + p->taken,
             *end = p->used > p->taken ? memchr(start, '\n', p->used - p->taken) : NULL;
        if (!end && p->ended && p->used > p->taken)
            end = p->buffer + p->used;
        if (end) {
            size_t length = (size_t)(end - start);
            p->taken += length + (end < p->buffer + p->used);
            length -= length && start[length - 1] == '\r';
            if (!length)
                continue;
            *what = LVT_NEXT_PICTURE;
            return (*path = strndup(start, length)) ? LVT_OK : lvt_no_memory(diag, NULL);
        }
        if (p->ended) {
            *what = LVT_NEXT_END;
            return LVT_OK;
        }
        struct pollfd ready = {p->fd, POLLIN, 0};
        if (!wait && poll(&ready, 1, 0) == 0) {
            *what = LVT_NEXT_LATER;
            return LVT_OK;
        }
        if (p->taken)
            memmove(p->buffer, p->buffer + p->taken, p->used - p->taken);
        p->used -= p->taken;
        p->taken = 0;
        if (p->room - p->used < PIECE) {
            char *more = realloc(p->buffer, 2 * p->room + PIECE);
            if (!more)
                return lvt_no_memory(diag, NULL);
            p->buffer = more;
            p->room = 2 * p->room + PIECE;
        }
        ssize_t n = read(p->fd, p->buffer + p->used, p->room - p->used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "the list of pictures cannot be read: %s",
                      strerror(errno));
            p->wrong++;
        }
        p->ended = n <= 0;
        p->used += n > 0 ? (size_t)n : 0;
    }
}

static lvt_status open_folder(lvt_pictures *p, const char *path, lvt_diag *diag) {
    lvt_ignored ignored = {0};
    lvt_names_free(&p->folder);
    p->in_folder = 0;
    lvt_status status = lvt_list_below(path, &p->folder, &ignored, diag);
    if (status == LVT_NOMEM)
        return status;
    p->wrong += status != LVT_OK;
    lvt_ignored_tell(&ignored, path, diag);
    if (status == LVT_OK && !p->folder.n)
        lvt_warning(diag, NULL, LVT_NOWHERE, "%s: there are no pictures in it", path);
    return LVT_OK;
}

lvt_status lvt_pictures_next(lvt_pictures *p, bool wait, lvt_next *what, char **path, lvt_diag *diag) {
    *path = NULL;
    for (;;) {
        if (p->in_folder < p->folder.n) {
            *path = p->folder.list[p->in_folder];
            p->folder.list[p->in_folder++] = NULL;
            *what = LVT_NEXT_PICTURE;
            return LVT_OK;
        }
        if (p->fd >= 0) {
            lvt_status status = line(p, wait, what, path, diag);
            if (status != LVT_OK || *what != LVT_NEXT_END)
                return status;
            end_list(p);
        }
        struct stat st;
        if (p->at < p->n) {
            char *argument = p->arguments[p->at++];
            if (!strcmp(argument, "-")) {
                p->fd = STDIN_FILENO;
            } else if (stat(argument, &st) == 0 && S_ISDIR(st.st_mode)) {
                LVT_TRY(open_folder(p, argument, diag));
            } else { /* what is wrong with it is found when it is read */
                *what = LVT_NEXT_PICTURE;
                return (*path = strdup(argument)) ? LVT_OK : lvt_no_memory(diag, NULL);
            }
        } else if (p->list && !p->listed) {
            p->listed = true;
            p->fd = strcmp(p->list, "-") ? open(p->list, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
            if (p->fd < 0) {
                lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: cannot be opened: %s", p->list,
                          strerror(errno));
                p->wrong++;
            }
        } else {
            *what = LVT_NEXT_END;
            return LVT_OK;
        }
    }
}
