/* Harness: any bytes as a program file, once as they are and once with the checksums and the hash made right,
 * so that what lies behind them is reached too. What is accepted verifies, writes and runs. */
#include "execute.h"

#include "ir/program/file.h"

static uint64_t fuzz_get(const uint8_t *p) {
    uint64_t x = 0;
    for (int i = 0; i < 8; i++)
        x |= (uint64_t)p[i] << 8 * i;
    return x;
}

static void fuzz_set(uint8_t *p, uint64_t x) {
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(x >> 8 * i);
}

static void fuzz_decode(const uint8_t *data, size_t size) {
    lvt_compiled *p;
    lvt_diag *d = lvt_diag_new();
    lvt_status status = lvt_program_decode("fuzz", data, size, &p, d);
    if ((status == LVT_OK) != (p != NULL) || (status == LVT_OK) != (lvt_diag_errors(d) == 0))
        abort();
    unsigned char *bytes = NULL;
    size_t n = 0;
    if (p && (lvt_program_encode(p, &bytes, &n, d) != LVT_OK || n != size || memcmp(bytes, data, n) != 0))
        abort();
    free(bytes);
    lvt_diag_free(d);
    if (p)
        fuzz_execute(p, false, 1, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { HEADER = 64, ROW = 32, TABLE = HEADER + 4 * ROW };
    fuzz_decode(data, size);
    if (size < TABLE)
        return 0;
    uint8_t *fixed = malloc(size);
    if (!fixed)
        return 0;
    memcpy(fixed, data, size);
    memcpy(fixed, "LVTX\r\n\x1a\n\x01\0\0\0\x04\0\0", 16);
    fuzz_set(fixed + 16, size);
    uint64_t at = TABLE;
    for (int i = 0; i < 4; i++) {
        uint8_t *row = fixed + HEADER + i * ROW;
        uint64_t begin = (at + 63) / 64 * 64, length = fuzz_get(row + 16);
        memcpy(row, &"META\0\0\0\0IR  \0\0\0\0PLAN\0\0\0\0SRCS\0\0\0\0"[i * 8], 8);
        begin = begin > size ? size : begin;
        length = i == 3 || length > size - begin ? size - begin : length;
        memset(fixed + at, 0, begin - at);
        fuzz_set(row + 8, begin);
        fuzz_set(row + 16, length);
        fuzz_set(row + 24, lvt_fnv(LVT_FNV_START, fixed + begin, length));
        at = begin + length;
    }
    fuzz_set(fixed + 32, 0);
    fuzz_set(fixed + 32, lvt_fnv(LVT_FNV_START, fixed, TABLE));
    fuzz_decode(fixed, size);
    free(fixed);
    return 0;
}
