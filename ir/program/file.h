/* Inside the program file's code: the bytes of a program, apart from the disk.
 *
 * Invariant: decode trusts nothing; encode(decode(bytes)) == bytes. May not know: the file system. */
#ifndef LVT_IR_PROGRAM_FILE_H
#define LVT_IR_PROGRAM_FILE_H

#include "ir/base/hash.h"
#include "program.h"

/* The program as the bytes of its file, malloc'ed; the caller frees them. Verifies and seals it first. */
lvt_status lvt_program_encode(lvt_compiled *p, unsigned char **bytes, size_t *length, lvt_diag *diag);
/* The program in those bytes, verified. `name` is the file's, for messages. *out is NULL on error. */
lvt_status lvt_program_decode(const char *name, const unsigned char *bytes, size_t length, lvt_compiled **out,
                              lvt_diag *diag);
#endif
