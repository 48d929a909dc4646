/* Which pictures a command is about: files, folders, lists of files, standard input, one after the other.
 * May not know: what is done with them. */
#ifndef LVT_COMMAND_PICTURES_H
#define LVT_COMMAND_PICTURES_H

#include "runtime/data/listing.h"

typedef struct lvt_pictures {
    char **arguments; /* files, folders, "-": standard input has a path a line */
    int n, at;
    const char *list; /* a file that has a path a line, after the arguments; NULL: none */
    bool listed;
    lvt_names folder; /* the pictures of the folder that is being passed through */
    int in_folder;
    int fd; /* of the list being read; -1: none */
    char *buffer;
    size_t used, taken, room;
    bool ended;
    size_t wrong; /* arguments and folders that could not be read */
} lvt_pictures;

typedef enum lvt_next {
    LVT_NEXT_PICTURE,
    LVT_NEXT_LATER, /* the next one has not been written yet to what is read: only where wait is false */
    LVT_NEXT_END
} lvt_next;

/* The arguments have to outlive it. */
void lvt_pictures_open(lvt_pictures *p, char **arguments, int n, const char *list);
/* The next path, malloc'ed for the caller. What cannot be read is told in diag, counted in p->wrong, and passed
 * over; so are files of folders that are no pictures (a warning). LVT_NOMEM. */
lvt_status lvt_pictures_next(lvt_pictures *p, bool wait, lvt_next *what, char **path, lvt_diag *diag);
void lvt_pictures_close(lvt_pictures *p);

#endif
