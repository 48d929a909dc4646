/* Element types and shapes. Invariant: one table row per element type. May not know: graphs. */
#include "ir.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    size_t size;
    bool is_float;
} dtypes[LVT_N_DTYPES] = {
    [LVT_F32] = {"f32", 4, true},  [LVT_BF16] = {"bf16", 2, true}, [LVT_F64] = {"f64", 8, true},
    [LVT_I32] = {"i32", 4, false}, [LVT_U8] = {"u8", 1, false},    [LVT_BOOL] = {"bool", 1, false},
};

size_t lvt_dtype_size(lvt_dtype dtype) {
    return dtypes[dtype].size;
}
const char *lvt_dtype_name(lvt_dtype dtype) {
    return dtypes[dtype].name;
}
bool lvt_dtype_is_float(lvt_dtype dtype) {
    return dtypes[dtype].is_float;
}

bool lvt_dtype_parse(const char *name, size_t n, lvt_dtype *out) {
    for (int i = 0; i < LVT_N_DTYPES; i++)
        if (strlen(dtypes[i].name) == n && !memcmp(dtypes[i].name, name, n)) {
            *out = (lvt_dtype)i;
            return true;
        }
    return false;
}

lvt_type lvt_type_make(lvt_dtype dtype, int rank, const int64_t *dims) {
    lvt_type t = {.dtype = (uint8_t)dtype, .rank = (uint8_t)rank};
    for (int i = 0; i < rank; i++)
        t.dim[i] = dims[i];
    return t;
}

bool lvt_shape_equal(const lvt_type *a, const lvt_type *b) {
    if (a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i])
            return false;
    return true;
}

bool lvt_type_equal(const lvt_type *a, const lvt_type *b) {
    return a->dtype == b->dtype && lvt_shape_equal(a, b);
}

int64_t lvt_numel(const lvt_type *t) {
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++)
        if (__builtin_mul_overflow(n, t->dim[i], &n))
            return INT64_MAX;
    return n;
}

size_t lvt_type_bytes(const lvt_type *t) {
    size_t bytes;
    if (__builtin_mul_overflow(lvt_numel(t), lvt_dtype_size((lvt_dtype)t->dtype), &bytes) ||
        bytes > SIZE_MAX / 2)
        return SIZE_MAX / 2;
    return bytes;
}

bool lvt_shape_count(int rank, const int64_t *dims, int64_t *out) {
    int64_t n = 1;
    for (int i = 0; i < rank; i++) {
        if (dims[i] < 1 || dims[i] > LVT_MAX_DIM || n > LVT_MAX_DIM / dims[i])
            return false;
        n *= dims[i];
    }
    *out = n;
    return true;
}

const char *lvt_type_text(const lvt_type *t, char buffer[LVT_TYPE_TEXT]) {
    const char *name = lvt_dtype_name((lvt_dtype)t->dtype);
    size_t n = strlen(name);
    memcpy(buffer, name, n);
    buffer[n++] = '[';
    for (int i = 0; i < t->rank; i++) {
        if (i)
            buffer[n++] = ',';
        n += lvt_int_text(t->dim[i], buffer + n);
    }
    buffer[n++] = ']';
    buffer[n] = 0;
    return buffer;
}

size_t lvt_int_text(int64_t i, char text[LVT_INT_TEXT]) {
    uint64_t rest = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    char backwards[LVT_INT_TEXT];
    size_t n = 0, length = 0;
    do
        backwards[n++] = (char)('0' + rest % 10);
    while (rest /= 10);
    if (i < 0)
        text[length++] = '-';
    while (n)
        text[length++] = backwards[--n];
    text[length] = 0;
    return length;
}

bool lvt_broadcast_types(const lvt_type *a, const lvt_type *b, lvt_type *out) {
    int rank = a->rank > b->rank ? a->rank : b->rank;
    lvt_type t = {.dtype = a->dtype, .rank = (uint8_t)rank};
    for (int i = 0; i < rank; i++) {
        int ia = i - (rank - a->rank), ib = i - (rank - b->rank);
        int64_t da = ia < 0 ? 1 : a->dim[ia], db = ib < 0 ? 1 : b->dim[ib];
        if (da != db && da != 1 && db != 1)
            return false;
        t.dim[i] = da == 1 ? db : da;
    }
    *out = t;
    return true;
}
