/* Tensors of ONNX files as numbers, and the check that makes unpacking safe. May not know: operators. */
#include "importer.h"
#include "ir/base/c_locale.h"
#include "ir/base/file.h"
#include "ir/base/half.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* protobuf-c unpacks by recursion without a limit, so the nesting is measured first. */
static bool varint(const uint8_t **p, const uint8_t *end, uint64_t *out) {
    *out = 0;
    for (int shift = 0; shift < 64 && *p < end; shift += 7) {
        uint8_t c = *(*p)++;
        *out |= (uint64_t)(c & 127) << shift;
        if (!(c & 128))
            return true;
    }
    return false;
}

bool lvt_onnx_unknown_message(const ProtobufCMessageUnknownField *f, const uint8_t **data, size_t *size) {
    const uint8_t *p = f->data, *end = f->data + f->len; /* its length, then the message */
    uint64_t n;
    if (f->wire_type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED || !varint(&p, end, &n) ||
        n != (uint64_t)(end - p))
        return false;
    *data = p;
    *size = (size_t)n;
    return true;
}

bool lvt_onnx_bounded(const ProtobufCMessageDescriptor *message, const uint8_t *bytes, size_t size,
                      int depth) {
    const uint8_t *p = bytes, *end = bytes + size;
    if (depth <= 0)
        return false;
    while (p < end) {
        uint64_t key, n = 0;
        if (!varint(&p, end, &key))
            return false;
        switch (key & 7) {
        case 0:
            if (!varint(&p, end, &n))
                return false;
            continue;
        case 1:
            n = 8;
            break;
        case 5:
            n = 4;
            break;
        case 2:
            if (!varint(&p, end, &n))
                return false;
            break;
        default:
            return false;
        }
        if (n > (uint64_t)(end - p))
            return false;
        const ProtobufCFieldDescriptor *f =
            (key & 7) == 2 ? protobuf_c_message_descriptor_get_field(message, (unsigned)(key >> 3)) : NULL;
        if (f && f->type == PROTOBUF_C_TYPE_MESSAGE &&
            !lvt_onnx_bounded(f->descriptor, p, (size_t)n, depth - 1))
            return false;
        p += n;
    }
    return true;
}

static const struct {
    int8_t dtype;
    uint8_t size; /* bytes an element in raw_data */
} types[] = {[ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT] = {LVT_F32, 4},
             [ONNX__TENSOR_PROTO__DATA_TYPE__UINT8] = {LVT_U8, 1},
             [ONNX__TENSOR_PROTO__DATA_TYPE__INT8] = {LVT_I32, 1},
             [ONNX__TENSOR_PROTO__DATA_TYPE__UINT16] = {LVT_I32, 2},
             [ONNX__TENSOR_PROTO__DATA_TYPE__INT16] = {LVT_I32, 2},
             [ONNX__TENSOR_PROTO__DATA_TYPE__INT32] = {LVT_I32, 4},
             [ONNX__TENSOR_PROTO__DATA_TYPE__INT64] = {LVT_I32, 8},
             [ONNX__TENSOR_PROTO__DATA_TYPE__BOOL] = {LVT_BOOL, 1},
             [ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16] = {LVT_F32, 2},
             [ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE] = {LVT_F64, 8},
             [ONNX__TENSOR_PROTO__DATA_TYPE__UINT32] = {LVT_I32, 4},
             [ONNX__TENSOR_PROTO__DATA_TYPE__UINT64] = {LVT_I32, 8},
             [ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16] = {LVT_BF16, 2}};

int lvt_onnx_dtype(int t) {
    bool known = t > 0 && t < (int)(sizeof types / sizeof *types) && types[t].size;
    return known ? types[t].dtype : -1;
}

const char *lvt_onnx_type_name(int t) {
    static const char *const names[] = {
        "undefined",      "float",    "uint8",        "int8",           "uint16",
        "int16",          "int32",    "int64",        "string",         "bool",
        "float16",        "double",   "uint32",       "uint64",         "complex64",
        "complex128",     "bfloat16", "float8e4m3fn", "float8e4m3fnuz", "float8e5m2",
        "float8e5m2fnuz", "uint4",    "int4",         "float4e2m1",     "float8e8m0",
        "uint2",          "int2"};
    return t >= 0 && t < (int)(sizeof names / sizeof *names) ? names[t] : "(unknown)";
}

/* One element from its little-endian bytes. */
static double element(int type, const uint8_t *p) {
    uint64_t u = 0;
    float f;
    double d;
    for (int i = types[type].size - 1; i >= 0; i--)
        u = u << 8 | p[i];
    switch (type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT:
        memcpy(&f, p, 4);
        return f;
    case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE:
        memcpy(&d, p, 8);
        return d;
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16:
        return lvt_f16_value((uint16_t)u);
    case ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16:
        return lvt_bf16_value((uint16_t)u);
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT8:
        return (int8_t)u;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT16:
        return (int16_t)u;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT32:
        return (int32_t)u;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT64:
        return (double)(int64_t)u;
    case ONNX__TENSOR_PROTO__DATA_TYPE__BOOL:
        return u != 0;
    default:
        return (double)u;
    }
}

static double *refuse(lvt_diag *diag, const Onnx__TensorProto *t, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static double *refuse(lvt_diag *diag, const Onnx__TensorProto *t, const char *format, ...) {
    char text[160];
    va_list args;
    va_start(args, format);
    lvt_vsnprintf(text, sizeof text, format, args);
    va_end(args);
    lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "tensor '%s': %s", t->name ? t->name : "", text);
    return NULL;
}

/* The bytes of a tensor outside the file, malloc'ed: of a plain file in the model's folder, reached by names
 * alone. NULL: reported. */
static uint8_t *external(const Onnx__TensorProto *t, const char *folder, size_t want, lvt_diag *diag) {
    static const char outside[] = "its external data is not in the model's folder";
    const char *location = NULL;
    unsigned long long offset = 0, length = want;
    for (size_t i = 0; i < t->n_external_data; i++) {
        const char *key = t->external_data[i]->key, *value = t->external_data[i]->value;
        char *end = NULL;
        if (!key || !value)
            continue;
        errno = 0;
        if (!strcmp(key, "location"))
            location = value;
        else if (!strcmp(key, "offset"))
            offset = strtoull(value, &end, 10);
        else if (!strcmp(key, "length"))
            length = strtoull(value, &end, 10);
        if (end && (*end || end == value || errno || strchr(value, '-')))
            return (void *)refuse(diag, t, "offset or length of its external data is no number");
    }
    if (!folder || !location || !*location || *location == '/' || strchr(location, '\\'))
        return (void *)refuse(diag, t, "%s", outside);
    for (const char *c = location; c; c = strchr(c, '/') ? strchr(c, '/') + 1 : NULL)
        if (!strncmp(c, "..", 2) && (c[2] == 0 || c[2] == '/'))
            return (void *)refuse(diag, t, "%s", outside);
    if (length != want)
        return (void *)refuse(diag, t, "its external data is shorter or longer than its shape says");
    char *path = lvt_path_join(folder, location), *real = path ? realpath(path, NULL) : NULL;
    char *root = realpath(folder, NULL);
    size_t n = root ? strlen(root) : 0;
    bool inside = real && root && !strncmp(real, root, n) && (real[n] == '/' || (n && root[n - 1] == '/'));
    uint8_t *bytes = NULL;
    if (path && real && !inside)
        refuse(diag, t, "%s", outside); /* a link that leads out of it */
    else if (path && lvt_file_read_part(real ? real : path, offset, want, &bytes, diag) != LVT_OK)
        lvt_note(diag, LVT_NOWHERE, "values of tensor '%s' are looked for there", t->name ? t->name : "");
    free(path);
    free(real);
    free(root);
    return bytes;
}

double *lvt_onnx_read_tensor(lvt_arena *arena, const Onnx__TensorProto *t, const char *folder, lvt_type *type,
                             lvt_diag *diag) {
    int kind = t->has_data_type ? t->data_type : 0, dtype = lvt_onnx_dtype(kind);
    int64_t n = 1;
    if (dtype < 0)
        return refuse(diag, t, "its element type %s is not supported", lvt_onnx_type_name(kind));
    if (t->n_dims > LVT_MAX_RANK)
        return refuse(diag, t, "it has %zu dimensions, %d are the limit", t->n_dims, LVT_MAX_RANK);
    if (!lvt_shape_count((int)t->n_dims, t->dims, &n))
        return refuse(diag, t, "it is empty or too large");
    *type = lvt_type_make((lvt_dtype)dtype, (int)t->n_dims, t->dims);
    size_t size = types[kind].size, want = (size_t)n * size;
    uint8_t *owned = NULL;
    const uint8_t *raw = t->has_raw_data ? t->raw_data.data : NULL;
    bool outside = t->has_data_location && t->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    if (outside && !(raw = owned = external(t, folder, want, diag)))
        return NULL;
    size_t have =
        outside                                         ? (size_t)n
        : t->has_raw_data                               ? (t->raw_data.len == want ? (size_t)n : 0)
        : kind == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT  ? t->n_float_data
        : kind == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE ? t->n_double_data
        : kind == ONNX__TENSOR_PROTO__DATA_TYPE__INT64  ? t->n_int64_data
        : kind == ONNX__TENSOR_PROTO__DATA_TYPE__UINT32 || kind == ONNX__TENSOR_PROTO__DATA_TYPE__UINT64
            ? t->n_uint64_data
            : t->n_int32_data;
    if (have != (size_t)n) { /* before memory for what the shape claims */
        free(owned);
        return refuse(diag, t, "it has not as much data as its shape says");
    }
    double *x = lvt_arena_alloc(arena, (size_t)n * sizeof *x);
    for (int64_t i = 0; x && i < n; i++) {
        x[i] =
            raw                                             ? element(kind, raw + (size_t)i * size)
            : kind == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT  ? t->float_data[i]
            : kind == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE ? t->double_data[i]
            : kind == ONNX__TENSOR_PROTO__DATA_TYPE__INT64  ? (double)t->int64_data[i]
            : kind == ONNX__TENSOR_PROTO__DATA_TYPE__UINT32 || kind == ONNX__TENSOR_PROTO__DATA_TYPE__UINT64
                ? (double)t->uint64_data[i]
            : kind == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16  ? lvt_f16_value((uint16_t)t->int32_data[i])
            : kind == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16 ? lvt_bf16_value((uint16_t)t->int32_data[i])
                                                              : t->int32_data[i];
        if (dtype == LVT_I32) /* ends of ranges are often the largest number there is */
            x[i] = x[i] < INT32_MIN ? INT32_MIN : x[i] > INT32_MAX ? INT32_MAX : x[i];
    }
    free(owned);
    if (!x)
        lvt_no_memory(diag, NULL);
    return x;
}

lvt_status lvt_onnx_tensor_bytes(const char *name, const uint8_t *bytes, size_t size, lvt_tensor_data *out,
                                 lvt_diag *diag) {
    *out = (lvt_tensor_data){0};
    Onnx__TensorProto *t = lvt_onnx_bounded(&onnx__tensor_proto__descriptor, bytes, size, 16)
                               ? onnx__tensor_proto__unpack(NULL, size, bytes)
                               : NULL;
    lvt_arena *arena = t ? lvt_arena_new() : NULL;
    if (!arena) {
        if (t)
            onnx__tensor_proto__free_unpacked(t, NULL);
        return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: not an ONNX tensor", name);
    }
    double *x = lvt_onnx_read_tensor(arena, t, NULL, &out->type, diag);
    size_t n = x ? (size_t)lvt_numel(&out->type) * sizeof *x : 0;
    if (x && (out->data = malloc(n)))
        memcpy(out->data, x, n);
    lvt_arena_free(arena);
    onnx__tensor_proto__free_unpacked(t, NULL);
    return out->data ? LVT_OK : LVT_USER;
}
