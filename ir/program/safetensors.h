/* Reads and writes safetensors files: eight bytes of header length, a JSON header, packed tensors.
 *
 * Invariants: a file that is read has been checked completely (lengths, types, shapes, tensors that tile the
 * data without gap or overlap) before anything points into it; a file is written atomically. May not know:
 * what tensors mean. */
#ifndef LVT_IR_PROGRAM_SAFETENSORS_H
#define LVT_IR_PROGRAM_SAFETENSORS_H

#include "ir/base/file.h"
#include "ir/ir.h"

typedef struct lvt_stored_tensor {
    const char *name;
    lvt_type type;
    const void
        *data; /* packed row-major; when read: 8-byte aligned if the writer was careful, else use memcpy */
} lvt_stored_tensor;

typedef struct lvt_safetensors {
    uint8_t *bytes; /* the file */
    char *metadata; /* value of the key "lvt" of __metadata__, NULL when there is none */
    lvt_stored_tensor *tensors;
    size_t n;
    lvt_arena *converted; /* data that is not as in the file */
} lvt_safetensors;

/* Writes n tensors (into the folder `in`, see file.h, which may be NULL) and `metadata` (text, under the key "lvt"; NULL: none). Large elements go first, so that
 * every tensor is aligned. Errors: LVT_USER (a name is not UTF-8, as the format's header is), LVT_IO (the old
 * file is still there), LVT_NOMEM. */
lvt_status lvt_safetensors_write(const lvt_folder *in, const char *path, const char *metadata,
                                 const lvt_stored_tensor *tensors, size_t n, lvt_diag *diag);
/* Everything in *out belongs to it; freed by lvt_safetensors_free (also after an error, when it is empty).
 * Errors: LVT_IO, LVT_USER (not a valid file; what is wrong with it is said), LVT_NOMEM. */
lvt_status lvt_safetensors_read(const char *path, lvt_safetensors *out, lvt_diag *diag);
/* The same of a file in a folder. */
lvt_status lvt_safetensors_read_in(const lvt_folder *in, const char *name, lvt_safetensors *out,
                                   lvt_diag *diag);
/* The same for files of others: half floats become f32, other integers i32 (saturated). */
lvt_status lvt_safetensors_read_any(const char *path, lvt_safetensors *out, lvt_diag *diag);
void lvt_safetensors_free(lvt_safetensors *s);
const lvt_stored_tensor *lvt_safetensors_find(const lvt_safetensors *s,
                                              const char *name); /* NULL: not there */

#endif
