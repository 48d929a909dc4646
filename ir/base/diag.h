/* Diagnostics: every message the library has for a person goes through one of these.
 *
 * Invariant: library code never prints and never exits; it returns an lvt_status and leaves its words here.
 * A NULL lvt_diag is legal everywhere and drops the words. May not know: the graph, files of any format. */
#ifndef LVT_IR_BASE_DIAG_H
#define LVT_IR_BASE_DIAG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(default) /* the shared library exports what this header declares */

/* What a call came to. The numeric values of the first three and of LVT_INTERNAL are the exit codes of the
 * programs; lvt_exit_code maps the others. */
typedef enum lvt_status {
    LVT_OK = 0,
    LVT_USER = 1,      /* the user's model, data or checkpoint is wrong */
    LVT_USAGE = 2,     /* the command line is wrong */
    LVT_IO = 3,        /* the system refused (missing file, disk full) */
    LVT_NOMEM = 4,     /* an allocation failed */
    LVT_INTERRUPT = 5, /* stopped on request (SIGINT, SIGTERM); what was done is saved */
    LVT_INTERNAL = 70  /* a bug in lvt */
} lvt_status;

/* Exit code of a program that ends with `status`: 0, 1 (user, I/O, memory), 2 (usage), 70 (bug), 130
 * (interrupt). */
int lvt_exit_code(lvt_status status);

#define LVT_COUNT(array) ((int)(sizeof(array) / sizeof *(array)))
/* Leaves the function with the status when it is not LVT_OK. */
#define LVT_TRY(call)                                                                                        \
    do {                                                                                                     \
        lvt_status try_status_ = (call);                                                                     \
        if (try_status_ != LVT_OK)                                                                           \
            return try_status_;                                                                              \
    } while (0)

/* A place in a text. file == NULL: no place. line and col count from 1; col == 0: the whole line. */
typedef struct lvt_pos {
    const char *file;
    uint32_t line, col;
} lvt_pos;
#define LVT_NOWHERE ((lvt_pos){0})

typedef struct lvt_diag lvt_diag;

enum { LVT_MAX_ERRORS = 20 }; /* further errors are counted, not kept */

/* A new, empty collection; NULL when out of memory. Freed by lvt_diag_free. */
lvt_diag *lvt_diag_new(void);
void lvt_diag_free(lvt_diag *d);

/* Makes the text of a file known, so that messages about it can show the line and a caret. Copies both
 * strings. */
void lvt_diag_source(lvt_diag *d, const char *file, const char *text, size_t length);

/* Adds an error and returns `status`, so that `return lvt_error(d, LVT_USER, ...)` reads well. `code` is a
 * short stable name such as "E204", or NULL. The file name in `at` is copied. */
lvt_status lvt_error(lvt_diag *d, lvt_status status, const char *code, lvt_pos at, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* LVT_NOMEM with the words for it; `what` says what for ("choosing images"), NULL: no more words. */
lvt_status lvt_no_memory(lvt_diag *d, const char *what);
void lvt_warning(lvt_diag *d, const char *code, lvt_pos at, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* A note belongs to the error or warning before it. */
void lvt_note(lvt_diag *d, lvt_pos at, const char *format, ...) __attribute__((format(printf, 3, 4)));

size_t lvt_diag_errors(const lvt_diag *d); /* number of errors, those past LVT_MAX_ERRORS included */
size_t lvt_diag_warnings(const lvt_diag *d);
void lvt_diag_clear(lvt_diag *d); /* forgets messages, keeps sources */
/* The words of the first error, without place and code; NULL: there is none. Valid until the next message. */
const char *lvt_diag_first(const lvt_diag *d);
/* All messages of `from` go to the end of `to` (NULL: they are dropped); `from` is then empty. */
void lvt_diag_move(lvt_diag *to, lvt_diag *from);

/* All messages as text in the form
 *     models/lvt.lvt:14:7: error E204: matmul: inner dimensions differ, 192 and 768
 *        14 |     h = matmul(x, w)
 *           |         ^
 *     models/lvt.lvt:9:5: note: the second operand, f32[768,192], comes from here
 * malloc'ed, never NULL except when out of memory; the caller frees it. */
char *lvt_diag_text(const lvt_diag *d);

/* The name in `names` (n of them) that is nearest to `word` by edit distance, or NULL when none is near
 * enough (more than a third of the letters differ). For "did you mean". */
const char *lvt_nearest(const char *word, const char *const *names, size_t n);

#pragma GCC visibility pop

#endif
