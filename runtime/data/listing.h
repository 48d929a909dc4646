/* What lies in a folder: pictures, folders, and what is left out.
 *
 * Invariants: names come in the byte order, whatever the file system says; hidden ones are passed over; what is
 * left out is counted. May not know: how pictures are coded, data sets. */
#ifndef LVT_DATA_LISTING_H
#define LVT_DATA_LISTING_H

#include "ir/base/diag.h"

typedef struct lvt_names { /* malloc'ed texts in a malloc'ed list */
    char **list;
    int n;
} lvt_names;
void lvt_names_free(lvt_names *l);
/* Takes over `name` (malloc'ed). False: it is NULL, or memory is out, and it was freed. */
bool lvt_names_add(lvt_names *l, char *name);

enum { LVT_KINDS = 12, LVT_KIND_TEXT = 24 };

/* Files that are passed over, by kind: what is left out silently is missed too late. All zero at first. */
typedef struct lvt_ignored {
    struct {
        char name[LVT_KIND_TEXT]; /* ".webp" */
        size_t n;
    } kinds[LVT_KINDS];
    int n_kinds;
    size_t all, below, beside, others; /* in folders below a class's, beside the folders of classes */
} lvt_ignored;
/* Counts a file by its ending. */
void lvt_ignore_file(lvt_ignored *g, const char *name);
/* Warns, if there are any: "DIR: 41 files ignored: 40 .webp, 1 in a folder below". */
void lvt_ignored_tell(const lvt_ignored *g, const char *dir, lvt_diag *diag);

typedef enum lvt_list_kind {
    LVT_LIST_CLASSES,  /* folders; their names become those of classes, so they have to be UTF-8 (LVT_USER) */
    LVT_LIST_PICTURES, /* files that lvt_picture_name knows */
} lvt_list_kind;
/* The names of that kind in `dir`; other files are counted in g. *out is the caller's, and empty after an error.
 * LVT_IO, LVT_USER, LVT_NOMEM. */
lvt_status lvt_list(const char *dir, lvt_list_kind kind, lvt_names *out, lvt_ignored *g, lvt_diag *diag);
/* Paths of all pictures in `dir` and in the folders below it, each folder's own first; links to folders are not
 * followed. A folder that cannot be read is an error in diag, and the rest goes on; the last such error is
 * returned. */
lvt_status lvt_list_below(const char *dir, lvt_names *out, lvt_ignored *g, lvt_diag *diag);

#endif
