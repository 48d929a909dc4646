/* Initial values of states that come from files: those that a program was compiled with, and those a run is
 * started from.
 *
 * A state whose initialiser is FILE has its values beside the program, in a file named by their hash; the
 * program holds it, so it cannot be run with others by accident. Invariants: a module's values change all
 * together or, after an error, not at all; files are untrusted. May not know: sessions, formats other than
 * safetensors. */
#ifndef LVT_IR_PROGRAM_WEIGHTS_H
#define LVT_IR_PROGRAM_WEIGHTS_H

#include "ir/ir.h"
#include "program.h"

/* The initialiser FILE of a state with these packed values. */
lvt_init lvt_weights_init(const void *packed, size_t bytes);
/* "DIR/NAME.lvtx" -> "DIR/NAME.lvtx.HASH.safetensors", where the values of the module's states of
 * initialiser FILE are, beside the file that a link leads to; HASH is of names and values, so a program
 * never finds the values of another. malloc'ed; NULL when out of memory. */
char *lvt_weights_path(const lvt_module *m, const char *program);
/* Writes the values of all states that are initialised by FILE beside the program; none: writes nothing.
 * Errors as of lvt_program_publish. */
lvt_status lvt_weights_write(const lvt_module *m, const char *program, lvt_diag *diag);
/* Writes a compiled program as lvt_program_write does, and before it the values of all states that are
 * initialised by FILE: readers see the old pair or the new one, however many write it at once. Values of the
 * program that was there before are removed. Errors: LVT_USER (a state's values are not there; a file of
 * that name is there that this function did not write), LVT_IO, LVT_NOMEM. */
lvt_status lvt_program_publish(lvt_compiled *p, const char *path, lvt_diag *diag);
/* Gives a published program another name in the same file system, as whole as that. LVT_IO, LVT_NOMEM. */
lvt_status lvt_program_move(const lvt_module *m, const char *from, const char *to, lvt_diag *diag);
/* Removes a program with its values; m NULL: without. */
void lvt_program_remove(const lvt_module *m, const char *path);
/* Reads what lvt_program_publish wrote into states that are initialised by FILE and have no values yet. Errors:
 * LVT_USER (a file that does not fit the program, NaN in it), LVT_IO, LVT_NOMEM. */
lvt_status lvt_weights_read(lvt_module *m, const char *program, lvt_diag *diag);

/* Initial values from any safetensors file, by `map`, the path of a text file of lines
 *     FROM = TO CONVERSION...       # FROM: a name in the file, TO: that of a state
 * or, map NULL, by equal names. A `*` stands for any letters, the k-th of TO for what the k-th of FROM stood
 * for. TO `-`: the tensor is not wanted; FROM `-`: these states keep their initial values. The first line
 * that fits a tensor decides, with later ones of the same FROM. Conversions, in order: `transpose` (the last
 * two dims), `permute 3 2 0 1` (result dim i is dim order[i]), `reshape` (to the state's shape), `part K of
 * N` (of dim 0, from 0). Elements are converted between float types.
 *
 * Every parameter and every state that entry `predict` reads must get a value or be kept explicitly, every
 * tensor have its place. Tensors that PyTorch and lvt-run write for themselves (`*num_batches_tracked`,
 * `lvt:*`) need none. Nor does, without a map or where its line `* = *` decides, a tensor `P.NAME` below a
 * parameter P if the model has no such state: what another optimiser or method kept is left out with a
 * warning. Errors: LVT_USER (with what does not fit; a value that is NaN, or infinite where
 * the model's own are not), LVT_IO, LVT_NOMEM. */
lvt_status lvt_weights_load(lvt_module *m, const char *path, const char *map, lvt_diag *diag);

#endif
