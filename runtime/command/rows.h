/* A matrix of f32 that is written row by row, to a .npy file (NumPy's format, version 1.0) or a .safetensors file
 * with one tensor. How many rows there are is known at the end alone, so room for the header is left at first.
 *
 * Invariant: the file is whole or not there. May not know: what the rows are. */
#ifndef LVT_COMMAND_ROWS_H
#define LVT_COMMAND_ROWS_H

#include "ir/base/file.h"

typedef struct lvt_rows {
    lvt_atomic_file file;
    const char *name; /* of the tensor */
    size_t columns, n;
    bool open, npy;
} lvt_rows;

/* By the end of the path: LVT_USAGE when it is neither. `name` has to outlive it; it is one of lvt's own words. */
lvt_status lvt_rows_check(const char *path, const char *name, lvt_diag *diag);
/* LVT_USAGE, LVT_IO, LVT_NOMEM. Ended by lvt_rows_end. */
lvt_status lvt_rows_begin(lvt_rows *r, const char *path, const char *name, size_t columns, lvt_diag *diag);
/* NULL: a row of NaN. Nothing where r is not open. What cannot be written is said at the end. */
void lvt_rows_add(lvt_rows *r, const float *row);
/* status: what became of the rest; anything but LVT_OK leaves no file. Returns it, or what went wrong. Nothing
 * where r is not open. */
lvt_status lvt_rows_end(lvt_rows *r, lvt_status status, lvt_diag *diag);

#endif
