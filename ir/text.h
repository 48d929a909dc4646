/* The text form of a module: canonical printer and its reader. print(read(print(m))) == print(m), byte for
 * byte. May not know: the model language beyond its lexer's rules, plans. */
#ifndef LVT_IR_TEXT_H
#define LVT_IR_TEXT_H

#include "ir.h"

/* The whole module as text, malloc'ed; the caller frees it. NULL when out of memory. length may be NULL. */
char *lvt_print_module(const lvt_module *m, size_t *length);
/* States and entries alone, without names of values, places in source files and origins: the same for modules
 * that compute the same in the same way. For hashes. malloc'ed; NULL when out of memory. */
char *lvt_print_meaning(const lvt_module *m, size_t *length);
/* One graph alone (for dumps and messages); not readable by itself. */
char *lvt_print_graph(const lvt_graph *g);
/* Reads a module (any input: errors are LVT_USER with line and caret, never a crash). `file` names it in
 * messages. *out is NULL on error; the caller frees it with lvt_module_free. The result is verified. */
lvt_status lvt_read_module(const char *file, const char *text, size_t length, lvt_module **out,
                           lvt_diag *diag);

/* Checks every invariant of ir.h: order, ranges, arity, attribute kinds and ranges, types equal to what
 * inference says, bodies, outputs and updates (each state at most once, of the same type), names unique.
 * Reports all problems. */
lvt_status lvt_verify_module(const lvt_module *m, lvt_diag *diag);
lvt_status lvt_verify_graph(const lvt_graph *g, lvt_diag *diag);

#endif
