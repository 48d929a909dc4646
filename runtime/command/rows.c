/* Rows of numbers into a file. May not know: what they are. */
#include "rows.h"
#include "ir/base/c_locale.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { HEADER = 256 }; /* bytes before the numbers: a multiple of 64, as NumPy wants it */

static bool ends_with(const char *path, const char *end) {
    size_t n = strlen(path), m = strlen(end);
    return n > m && lvt_same_word(path + n - m, end);
}

lvt_status lvt_rows_check(const char *path, const char *name, lvt_diag *diag) {
    if (ends_with(path, ".npy") || ends_with(path, ".safetensors"))
        return LVT_OK;
    return lvt_error(diag, LVT_USAGE, NULL, LVT_NOWHERE, "--%s: %s ends neither in .npy nor in .safetensors",
                     name, path);
}

lvt_status lvt_rows_begin(lvt_rows *r, const char *path, const char *name, size_t columns, lvt_diag *diag) {
    *r = (lvt_rows){.name = name, .columns = columns, .npy = ends_with(path, ".npy")};
    LVT_TRY(lvt_rows_check(path, name, diag));
    LVT_TRY(lvt_atomic_begin(&r->file, NULL, path, diag));
    r->open = true;
    static const char room[HEADER];
    fwrite(room, 1, HEADER, r->file.stream);
    return LVT_OK;
}

void lvt_rows_add(lvt_rows *r, const float *row) {
    if (!r->open)
        return;
    r->n++;
    if (row)
        fwrite(row, sizeof *row, r->columns, r->file.stream);
    const float none = NAN;
    for (size_t k = 0; k < r->columns && !row; k++)
        fwrite(&none, sizeof none, 1, r->file.stream);
}

/* Texts end in blanks up to the numbers, as both formats allow. */
static void write_header(const lvt_rows *r, uint8_t out[HEADER]) {
    char text[HEADER];
    memset(out, ' ', HEADER);
    size_t bytes = r->n * r->columns * sizeof(float), before = r->npy ? 10 : 8, length;
    if (r->npy) {
        snprintf(text, sizeof text, "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu), }", r->n,
                 r->columns);
        memcpy(out, "\x93NUMPY\x01\x00", 8);
        out[HEADER - 1] = '\n';
    } else {
        snprintf(text, sizeof text,
                 "{\"%s\":{\"dtype\":\"F32\",\"shape\":[%zu,%zu],\"data_offsets\":[0,%zu]}}", r->name, r->n,
                 r->columns, bytes);
    }
    length = HEADER - before;
    for (size_t i = r->npy ? 8 : 0, k = 0; i < before; i++, k++) /* little-endian */
        out[i] = (uint8_t)(k < sizeof length ? length >> 8 * k : 0);
    memcpy(out + before, text, strlen(text));
}

lvt_status lvt_rows_end(lvt_rows *r, lvt_status status, lvt_diag *diag) {
    if (!r->open)
        return status;
    uint8_t header[HEADER];
    write_header(r, header);
    if (status == LVT_OK &&
        (fseek(r->file.stream, 0, SEEK_SET) != 0 || fwrite(header, 1, HEADER, r->file.stream) != HEADER))
        status = lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: cannot be written: %s", r->file.path,
                           strerror(errno));
    r->open = false;
    return lvt_atomic_end(&r->file, status, diag);
}
