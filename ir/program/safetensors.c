/* The safetensors format (https://huggingface.co/docs/safetensors). May not know: what tensors mean. */
#include "safetensors.h"
#include "ir/base/file.h"
#include "ir/base/half.h"
#include "json.h"
#include "ir/base/utf8.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_HEADER = 100 << 20 }; /* the format's own limit is 100 MB */

static const struct {
    const char *name;
    lvt_dtype dtype;
} dtypes[] = {{"F32", LVT_F32}, {"F64", LVT_F64},   {"I32", LVT_I32},
              {"U8", LVT_U8},   {"BOOL", LVT_BOOL}, {"BF16", LVT_BF16}};
enum { N_DTYPES = sizeof dtypes / sizeof *dtypes };

static const char *dtype_name(lvt_dtype t) {
    for (int i = 0; i < N_DTYPES; i++) {
        if (dtypes[i].dtype == t)
            return dtypes[i].name;
    }
    return NULL;
}

/* ---- writing ------------------------------------------------------------------------------------------- */

static char *make_header(const char *metadata, const lvt_stored_tensor *const *order, size_t n) {
    cJSON *root = cJSON_CreateObject();
    bool ok = root != NULL;
    if (ok && metadata) {
        cJSON *m = cJSON_AddObjectToObject(root, "__metadata__");
        ok = m && cJSON_AddStringToObject(m, "lvt", metadata);
    }
    double offset = 0;
    for (size_t i = 0; i < n && ok; i++) {
        const lvt_type *t = &order[i]->type;
        cJSON *entry = cJSON_AddObjectToObject(root, order[i]->name);
        ok = entry && dtype_name(t->dtype) && cJSON_AddStringToObject(entry, "dtype", dtype_name(t->dtype));
        cJSON *shape = ok ? cJSON_AddArrayToObject(entry, "shape") : NULL;
        ok = shape != NULL;
        for (int k = 0; k < t->rank && ok; k++)
            ok = cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)t->dim[k]));
        double ends[2] = {offset, offset + (double)lvt_type_bytes(t)};
        ok = ok && cJSON_AddItemToObject(entry, "data_offsets", cJSON_CreateDoubleArray(ends, 2));
        offset = ends[1];
    }
    char *text = ok ? lvt_json_text(root, false) : NULL;
    cJSON_Delete(root);
    return text;
}

lvt_status lvt_safetensors_write(const lvt_folder *in, const char *path, const char *metadata,
                                 const lvt_stored_tensor *tensors, size_t n, lvt_diag *diag) {
    for (size_t i = 0; i < n; i++)
        if (!lvt_utf8_valid(tensors[i].name))
            return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                             "%s: a name of a tensor has to be UTF-8, \"%s\" is not", path, tensors[i].name);
    const lvt_stored_tensor **order = malloc((n + 1) * sizeof *order);
    size_t m = 0;
    for (size_t size = 8; size && order; size /= 2) {
        for (size_t i = 0; i < n; i++) {
            if (lvt_dtype_size(tensors[i].type.dtype) == size)
                order[m++] = &tensors[i];
        }
    }
    char *header = order ? make_header(metadata, order, m) : NULL;
    if (!header) {
        free(order);
        return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "%s: out of memory", path);
    }
    lvt_atomic_file f;
    lvt_status status = lvt_atomic_begin(&f, in, path, diag);
    if (status == LVT_OK) {
        size_t length = strlen(header), padded = (length + 7) / 8 * 8;
        uint8_t size[8];
        for (int i = 0; i < 8; i++)
            size[i] = (uint8_t)((uint64_t)padded >> (8 * i));
        fwrite(size, 1, 8, f.stream);
        fwrite(header, 1, length, f.stream);
        fwrite("       ", 1, padded - length, f.stream);
        for (size_t i = 0; i < m && !ferror(f.stream); i++) {
            if (lvt_numel(&order[i]->type))
                fwrite(order[i]->data, 1, lvt_type_bytes(&order[i]->type), f.stream);
        }
        status = lvt_atomic_end(&f, LVT_OK, diag); /* short writes are in the stream's error flag */
    }
    cJSON_free(header);
    free(order);
    return status;
}

/* ---- reading ------------------------------------------------------------------------------------------- */

void lvt_safetensors_free(lvt_safetensors *s) {
    for (size_t i = 0; i < s->n; i++)
        free((char *)s->tensors[i].name);
    free(s->tensors);
    free(s->metadata);
    free(s->bytes);
    lvt_arena_free(s->converted);
    *s = (lvt_safetensors){0};
}

const lvt_stored_tensor *lvt_safetensors_find(const lvt_safetensors *s, const char *name) {
    for (size_t i = 0; i < s->n; i++) {
        if (!strcmp(s->tensors[i].name, name))
            return &s->tensors[i];
    }
    return NULL;
}

/* A whole number in 0..limit, exact in a double. */
static bool whole(const cJSON *j, double limit, uint64_t *out) {
    if (!cJSON_IsNumber(j) || !(j->valuedouble >= 0) || j->valuedouble > limit ||
        j->valuedouble != (double)(uint64_t)j->valuedouble)
        return false;
    *out = (uint64_t)j->valuedouble;
    return true;
}

/* Element types that only others write, and what they become. */
static const struct {
    const char *name;
    uint8_t dtype, size, is_signed;
} foreign[] = {{"F16", LVT_F32, 2, 0}, {"I64", LVT_I32, 8, 1}, {"I16", LVT_I32, 2, 1}, {"I8", LVT_I32, 1, 1},
               {"U64", LVT_I32, 8, 0}, {"U32", LVT_I32, 4, 0}, {"U16", LVT_I32, 2, 0}};
enum { N_FOREIGN = sizeof foreign / sizeof *foreign };

/* The tensor's elements, little-endian ones of foreign type f, as four bytes each. */
static bool convert(lvt_stored_tensor *t, int f, lvt_arena *arena) {
    const uint8_t *from = t->data;
    size_t n = (size_t)lvt_numel(&t->type), size = foreign[f].size;
    uint32_t *to = lvt_arena_alloc(arena, n * sizeof *to + 1);
    for (size_t i = 0; to && i < n; i++) {
        uint64_t u = 0;
        for (size_t k = size; k-- > 0;)
            u = u << 8 | from[i * size + k];
        if (foreign[f].dtype == LVT_F32) {
            float x = lvt_f16_value((uint16_t)u);
            memcpy(&to[i], &x, sizeof x);
        } else {
            bool negative = foreign[f].is_signed && u >> (8 * size - 1) & 1;
            int64_t v = (int64_t)(negative && size < 8 ? u | ~UINT64_C(0) << (8 * size) : u);
            if (!negative && u > INT32_MAX)
                v = INT32_MAX;
            to[i] = (uint32_t)(v < INT32_MIN ? INT32_MIN : v);
        }
    }
    t->data = to;
    return to != NULL;
}

/* NULL when the entry is right, else what is wrong. arena: NULL, or where foreign types are converted. */
static const char *read_entry(const cJSON *entry, const uint8_t *data, size_t size, lvt_stored_tensor *out,
                              uint64_t ends[2], lvt_arena *arena) {
    const cJSON *dtype = cJSON_GetObjectItemCaseSensitive(entry, "dtype");
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(entry, "shape");
    const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(entry, "data_offsets");
    if (!cJSON_IsString(dtype) || !cJSON_IsArray(shape) || !cJSON_IsArray(offsets) ||
        cJSON_GetArraySize(offsets) != 2)
        return "dtype, shape or data_offsets is missing";
    int t = 0;
    while (t < N_DTYPES && strcmp(dtypes[t].name, dtype->valuestring))
        t++;
    int f = t < N_DTYPES || !arena ? N_FOREIGN : 0;
    while (f < N_FOREIGN && strcmp(foreign[f].name, dtype->valuestring))
        f++;
    if (t == N_DTYPES && f == N_FOREIGN)
        return "its element type is not known here";
    bool own = t < N_DTYPES;
    if (cJSON_GetArraySize(shape) > LVT_MAX_RANK)
        return "it has too many dimensions";
    out->type = (lvt_type){.dtype = own ? (uint8_t)dtypes[t].dtype : foreign[f].dtype};
    uint64_t bytes = own ? lvt_dtype_size(dtypes[t].dtype) : foreign[f].size;
    const cJSON *dim;
    bool empty = false;
    cJSON_ArrayForEach(dim, shape) empty |= cJSON_IsNumber(dim) && dim->valuedouble == 0;
    /* Without elements a tensor is no larger than any file, but its dimensions have to be countable. */
    uint64_t room = empty ? (uint64_t)LVT_MAX_DIM : size;
    cJSON_ArrayForEach(dim, shape) {
        uint64_t n;
        if (!whole(dim, (double)LVT_MAX_DIM, &n))
            return "a dimension is no whole number";
        out->type.dim[out->type.rank++] = (int64_t)n;
        if (n && bytes > room / n)
            return "it is larger than the file"; /* bytes <= room stays true, so nothing overflows */
        bytes *= n ? n : 1;
    }
    bytes = empty ? 0 : bytes;
    const double largest = 9007199254740992.; /* 2^53 */
    if (!whole(cJSON_GetArrayItem(offsets, 0), largest, &ends[0]) ||
        !whole(cJSON_GetArrayItem(offsets, 1), largest, &ends[1]) || ends[0] > ends[1] || ends[1] > size)
        return "its data lies outside the file";
    if (ends[1] - ends[0] != bytes)
        return "its data does not have the size that its shape says";
    out->data = data + ends[0];
    return own || convert(out, f, arena) ? NULL : "out of memory";
}

typedef struct extent {
    uint64_t begin, end;
} extent;

static int by_begin(const void *a, const void *b) {
    const extent *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const lvt_stored_tensor *)a)->name, ((const lvt_stored_tensor *)b)->name);
}

static lvt_status wrong(const char *path, const char *what, lvt_diag *diag) {
    return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: not a whole safetensors file: %s", path, what);
}

static lvt_status read_header(const char *path, const cJSON *root, const uint8_t *data, size_t size,
                              lvt_safetensors *out, lvt_diag *diag) {
    if (!cJSON_IsObject(root))
        return wrong(path, "the header is not a JSON object", diag);
    size_t count = (size_t)cJSON_GetArraySize(root);
    extent *extents = calloc(count + 1, sizeof *extents);
    out->tensors = calloc(count + 1, sizeof *out->tensors);
    lvt_status status = extents && out->tensors ? LVT_OK : LVT_NOMEM;
    const cJSON *entry;
    cJSON_ArrayForEach(entry, root) {
        if (status != LVT_OK)
            break;
        if (!strcmp(entry->string, "__metadata__")) {
            const cJSON *text = cJSON_GetObjectItemCaseSensitive(entry, "lvt");
            if (cJSON_IsString(text) && !out->metadata && !(out->metadata = strdup(text->valuestring)))
                status = LVT_NOMEM;
            continue;
        }
        uint64_t ends[2] = {0};
        lvt_stored_tensor *t = &out->tensors[out->n];
        const char *problem = read_entry(entry, data, size, t, ends, out->converted);
        if (problem) {
            status = lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                               "%s: not a whole safetensors file: tensor \"%s\": %s", path, entry->string,
                               problem);
        } else if (!(t->name = strdup(entry->string))) {
            status = LVT_NOMEM;
        } else {
            extents[out->n++] = (extent){ends[0], ends[1]};
        }
    }
    if (status == LVT_OK) {
        uint64_t at = 0;
        qsort(extents, out->n, sizeof *extents, by_begin);
        for (size_t i = 0; i < out->n && status == LVT_OK; at = extents[i++].end) {
            if (extents[i].begin != at)
                status = wrong(path, "tensors overlap or leave a gap", diag);
        }
        if (status == LVT_OK && at != size)
            status = wrong(path, at < size ? "bytes are left over at its end" : "it is truncated", diag);
        qsort(out->tensors, out->n, sizeof *out->tensors, by_name);
        for (size_t i = 1; i < out->n && status == LVT_OK; i++) {
            if (!strcmp(out->tensors[i - 1].name, out->tensors[i].name))
                status = wrong(path, "two tensors have one name", diag);
        }
    } else if (status == LVT_NOMEM) {
        lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "%s: out of memory", path);
    }
    free(extents);
    return status;
}

static bool all_utf8(const char *text, size_t n) {
    for (const char *end = text + n; text < end;)
        if (lvt_utf8_next(&text, (size_t)(end - text)) == UINT32_MAX)
            return false;
    return true;
}

static lvt_status read_file(const lvt_folder *in, const char *path, bool any, lvt_safetensors *out,
                            lvt_diag *diag) {
    *out = (lvt_safetensors){.converted = any ? lvt_arena_new() : NULL};
    size_t size;
    if (any && !out->converted)
        return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "%s: out of memory", path);
    lvt_status status = in ? lvt_folder_file_read(in, path, &out->bytes, &size, diag)
                           : lvt_file_read(path, &out->bytes, &size, diag);
    if (status != LVT_OK) {
        lvt_safetensors_free(out);
        return status;
    }
    uint64_t header = 0;
    for (size_t i = 0; i < 8 && i < size; i++)
        header |= (uint64_t)out->bytes[i] << (8 * i);
    cJSON *root = NULL;
    if (size < 8 || header > MAX_HEADER || header > size - 8) {
        status = wrong(path, "it is shorter than its header says", diag);
    } else if (!memchr(out->bytes + 8, 0, header) && !all_utf8((char *)out->bytes + 8, header)) {
        status = wrong(path, "the header is not UTF-8", diag);
    } else if (memchr(out->bytes + 8, 0, header) || !(root = lvt_json_read((char *)out->bytes + 8, header))) {
        status = wrong(path, "the header is not JSON", diag);
    } else {
        status = read_header(path, root, out->bytes + 8 + header, size - 8 - header, out, diag);
    }
    cJSON_Delete(root);
    if (status != LVT_OK)
        lvt_safetensors_free(out);
    return status;
}

lvt_status lvt_safetensors_read(const char *path, lvt_safetensors *out, lvt_diag *diag) {
    return read_file(NULL, path, false, out, diag);
}

lvt_status lvt_safetensors_read_in(const lvt_folder *in, const char *name, lvt_safetensors *out,
                                   lvt_diag *diag) {
    return read_file(in, name, false, out, diag);
}

lvt_status lvt_safetensors_read_any(const char *path, lvt_safetensors *out, lvt_diag *diag) {
    return read_file(NULL, path, true, out, diag);
}
