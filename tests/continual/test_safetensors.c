/* safetensors: round trip, and every kind of wrong header. */
#include "ir/program/safetensors.h"
#include "ir/base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[] = "/tmp/lvt-safetensors-XXXXXX";

static void round_trip(void **state) {
    (void)state;
    const float f[6] = {1, -2, 3.5f, 0, 1e-30f, 6};
    const double d = 0.1;
    const uint8_t u[3] = {1, 2, 255};
    const lvt_stored_tensor tensors[] = {
        {"bytes", lvt_type_make(LVT_U8, 1, (int64_t[]){3}), u},
        {"a \"quoted\" name", lvt_type_make(LVT_F32, 2, (int64_t[]){2, 3}), f},
        {"scalar", lvt_type_make(LVT_F64, 0, NULL), &d},
    };
    assert_int_equal(lvt_safetensors_write(NULL, path, "{\"x\": 1}", tensors, 3, NULL), LVT_OK);
    lvt_safetensors s;
    assert_int_equal(lvt_safetensors_read(path, &s, NULL), LVT_OK);
    assert_int_equal(s.n, 3);
    assert_string_equal(s.metadata, "{\"x\": 1}");
    for (int i = 0; i < 3; i++) {
        const lvt_stored_tensor *t = lvt_safetensors_find(&s, tensors[i].name);
        assert_non_null(t);
        assert_true(lvt_type_equal(&t->type, &tensors[i].type));
        assert_memory_equal(t->data, tensors[i].data, lvt_type_bytes(&t->type));
        assert_int_equal((size_t)t->data % lvt_dtype_size((lvt_dtype)t->type.dtype), 0);
    }
    assert_null(lvt_safetensors_find(&s, "none"));
    lvt_safetensors_free(&s);

    /* Any file that is cut off is refused, wherever the cut is. */
    uint8_t *bytes;
    size_t size;
    assert_int_equal(lvt_file_read(path, &bytes, &size, NULL), LVT_OK);
    for (size_t n = 0; n < size; n++) {
        assert_int_equal(lvt_file_write(NULL, path, bytes, n, NULL), LVT_OK);
        assert_int_equal(lvt_safetensors_read(path, &s, NULL), LVT_USER);
        assert_null(s.bytes);
    }
    /* A changed byte of the header never crashes (values may change: there is no checksum). */
    for (size_t n = 0; n < size - 35; n++) {
        bytes[n] ^= 0x15;
        assert_int_equal(lvt_file_write(NULL, path, bytes, size, NULL), LVT_OK);
        if (lvt_safetensors_read(path, &s, NULL) == LVT_OK)
            lvt_safetensors_free(&s);
        bytes[n] ^= 0x15;
    }
    free(bytes);
}

/* The format as other tools write it. */
static void foreign(void **state) {
    (void)state;
    const char *header = "{\"__metadata__\":{\"format\":\"pt\"},\"w\":{\"dtype\":\"F32\",\"shape\":[1],"
                         "\"data_offsets\":[0,4]},"
                         "\"none\":{\"dtype\":\"F32\",\"shape\":[0,5],\"data_offsets\":[4,4]},"
                         "\"late\":{\"dtype\":\"F32\",\"shape\":[5,0],\"data_offsets\":[4,4]}}  ";
    uint8_t bytes[512] = {0};
    size_t n = strlen(header);
    bytes[0] = (uint8_t)n;
    memcpy(bytes + 8, header, n);
    memcpy(bytes + 8 + n, &(float){2.5f}, 4);
    assert_int_equal(lvt_file_write(NULL, path, bytes, n + 12, NULL), LVT_OK);
    lvt_safetensors s;
    assert_int_equal(lvt_safetensors_read(path, &s, NULL), LVT_OK);
    assert_null(s.metadata);
    float v;
    memcpy(&v, lvt_safetensors_find(&s, "w")->data, 4);
    assert_true(v == 2.5f);
    lvt_safetensors_free(&s);
}

static void hostile(void **state) {
    (void)state;
    /* The data is 16 bytes in every case. */
    static const struct {
        const char *header, *words;
    } rows[] = {
        {"", "not JSON"},
        {"[]", "not a JSON object"},
        {"{\"a\":1}", "missing"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4]}}", "missing"},
        {"{\"a\":{\"dtype\":\"Q9\",\"shape\":[4],\"data_offsets\":[0,16]}}", "element type"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-4],\"data_offsets\":[0,16]}}", "whole number"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4.5],\"data_offsets\":[0,16]}}", "whole number"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[\"4\"],\"data_offsets\":[0,16]}}", "whole number"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1e300],\"data_offsets\":[0,16]}}", "whole number"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2147483648,2147483648,2147483648],\"data_offsets\":[0,16]}}",
         "larger than the file"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2147483648,2147483648,2147483648,0],\"data_offsets\":[0,0]}}",
         "larger than the file"},
        {"{\"caf\xe9\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", "not UTF-8"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,4],\"data_offsets\":[0,16]}}", "dimensions"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,17]}}", "outside"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[16,0]}}", "outside"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[-1,15]}}", "outside"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,16]}}", "does not have the size"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}}", "left over"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[4,16]}}", "overlap or leave a gap"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]},\"b\":{\"dtype\":\"F32\","
         "\"shape\":[2],\"data_offsets\":[8,16]}}",
         "overlap"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"a\":{\"dtype\":\"F32\",\"shape\":"
         "[2],\"data_offsets\":[8,16]}}",
         "one name"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t bytes[512] = {0};
        size_t n = strlen(rows[i].header);
        bytes[0] = (uint8_t)n;
        bytes[1] = (uint8_t)(n >> 8);
        memcpy(bytes + 8, rows[i].header, n);
        assert_int_equal(lvt_file_write(NULL, path, bytes, n + 24, NULL), LVT_OK);
        lvt_safetensors s;
        lvt_diag *diag = lvt_diag_new();
        assert_int_equal(lvt_safetensors_read(path, &s, diag), LVT_USER);
        char *text = lvt_diag_text(diag);
        if (!strstr(text, rows[i].words))
            fail_msg("%s: \"%s\" is not in %s", rows[i].header, rows[i].words, text);
        free(text);
        lvt_diag_free(diag);
    }
    uint8_t huge[16] = {255, 255, 255, 255, 255, 255, 255, 255};
    assert_int_equal(lvt_file_write(NULL, path, huge, sizeof huge, NULL), LVT_OK);
    lvt_safetensors s;
    assert_int_equal(lvt_safetensors_read(path, &s, NULL), LVT_USER);
}

static void full_disk(void **state) {
    (void)state;
    lvt_atomic_file f;
    assert_int_equal(lvt_atomic_begin(&f, NULL, path, NULL), LVT_OK);
    /* The device that is always full, in place of the temporary file's stream. */
    fclose(f.stream);
    f.stream = fopen("/dev/full", "w");
    fputs("text", f.stream);
    lvt_diag *diag = lvt_diag_new();
    assert_int_equal(lvt_atomic_end(&f, LVT_OK, diag), LVT_IO);
    char *text = lvt_diag_text(diag);
    assert_non_null(strstr(text, "No space left on device"));
    free(text);
    lvt_diag_free(diag);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(foreign),
        cmocka_unit_test(hostile),
        cmocka_unit_test(full_disk),
    };
    close(mkstemp(path));
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
