/* Element types and shapes: what a tensor is, for everybody, users of lvt.h included.
 *
 * Invariant: a plain value, compared by content. May not know: graphs. */
#ifndef LVT_IR_TYPE_H
#define LVT_IR_TYPE_H

#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(default) /* the shared library exports what this header declares */

typedef enum lvt_dtype { LVT_F32, LVT_BF16, LVT_F64, LVT_I32, LVT_U8, LVT_BOOL, LVT_N_DTYPES } lvt_dtype;
enum { LVT_MAX_RANK = 6 };
#define LVT_MAX_DIM                                                                                          \
    ((int64_t)1 << 31) /* a dimension is 1..LVT_MAX_DIM, a tensor has at most LVT_MAX_DIM elements */

/* Row-major logical shape. rank 0 is a scalar. dim[rank..] is 0, so types compare with lvt_type_equal. */
typedef struct lvt_type {
    uint8_t dtype, rank; /* dtype: an lvt_dtype */
    int64_t dim[LVT_MAX_RANK];
} lvt_type;

/* Elements; INT64_MAX where there are more, which only a type that nobody has checked can have. */
int64_t lvt_numel(const lvt_type *t);
size_t lvt_dtype_size(lvt_dtype dtype);   /* bytes an element; bool takes 1 */
size_t lvt_type_bytes(const lvt_type *t); /* packed; SIZE_MAX / 2, which nobody has, where there are more */
const char *lvt_dtype_name(lvt_dtype dtype); /* "f32" */
enum { LVT_TYPE_TEXT = 160 };
/* Writes "f32[64,3,3,3]" (a scalar is "f32[]") and returns buffer. */
const char *lvt_type_text(const lvt_type *t, char buffer[LVT_TYPE_TEXT]);

#pragma GCC visibility pop

#endif
