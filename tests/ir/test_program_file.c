/* Program files: what is written reads back, damage of any kind is noticed, the disk's refusals are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/small_program.h"
#include "ir/program/file.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct bytes {
    unsigned char *data;
    size_t n;
} bytes;

static bytes small_bytes(void) {
    lvt_compiled *p = small_program();
    bytes b = {0};
    assert_non_null(p);
    assert_int_equal(lvt_program_encode(p, &b.data, &b.n, NULL), LVT_OK);
    lvt_compiled_free(p);
    return b;
}

/* The bytes are in memory of exactly their size, so that reading past the end is noticed. */
static lvt_status decode(const unsigned char *data, size_t n, lvt_diag *d) {
    unsigned char *exact = malloc(n ? n : 1);
    lvt_compiled *p = (lvt_compiled *)exact;
    memcpy(exact, data, n);
    lvt_status status = lvt_program_decode("small.lvtx", exact, n, &p, d);
    assert_true((p != NULL) == (status == LVT_OK));
    lvt_compiled_free(p);
    free(exact);
    return status;
}

static void expect_refused(const bytes *b, const char *message) {
    lvt_diag *d = lvt_diag_new();
    assert_int_equal(decode(b->data, b->n, d), LVT_USER);
    char *text = lvt_diag_text(d);
    if (!strstr(text, message))
        fail_msg("%s\nnot: %s", text, message);
    free(text);
    lvt_diag_free(d);
}

static uint64_t get(const bytes *b, size_t at, int n) {
    uint64_t x = 0;
    for (int i = 0; i < n; i++)
        x |= (uint64_t)b->data[at + i] << 8 * i;
    return x;
}

static void set(const bytes *b, size_t at, uint64_t x, int n) {
    for (int i = 0; i < n; i++)
        b->data[at + i] = (unsigned char)(x >> 8 * i);
}

/* Makes all checksums right again, as someone who knows the format would. */
static void fix_checksums(const bytes *b) {
    for (size_t row = 64; row < 64 + 4 * 32; row += 32) {
        uint64_t offset = get(b, row + 8, 8), length = get(b, row + 16, 8);
        if (offset <= b->n && length <= b->n - offset)
            set(b, row + 24, lvt_fnv(LVT_FNV_START, b->data + offset, length), 8);
    }
    set(b, 32, 0, 8);
    set(b, 32, lvt_fnv(LVT_FNV_START, b->data, 64 + 4 * 32), 8);
}

static void test_round_trip(void **state) {
    (void)state;
    bytes b = small_bytes(), again = {0};
    lvt_compiled *p;
    lvt_diag *d = lvt_diag_new();
    assert_int_equal(lvt_program_decode("small.lvtx", b.data, b.n, &p, d), LVT_OK);
    assert_int_equal(p->version, LVT_PROGRAM_VERSION);
    assert_int_equal(p->module->n_entries, 2);
    assert_int_equal(p->plans[0].n_steps, 4);
    assert_int_equal(p->plans[0].arena_bytes, 96);
    assert_int_equal(p->plans[0].places[3].strides[1], 4);
    assert_string_equal(p->module->sources[0].text, "a source\n");
    assert_int_equal(lvt_program_encode(p, &again.data, &again.n, d), LVT_OK);
    assert_int_equal(again.n, b.n);
    assert_memory_equal(again.data, b.data, b.n);
    /* messages about the model show its lines */
    lvt_error(d, LVT_USER, NULL, lvt_module_pos(p->module, p->module->entries[0]->loc), "later");
    lvt_error(d, LVT_USER, NULL, (lvt_pos){"small.lvt", 1, 3}, "later");
    char *text = lvt_diag_text(d);
    assert_non_null(strstr(text, "    1 | a source\n      |   ^\n"));
    free(text);
    for (size_t row = 64; row < 64 + 4 * 32; row += 32)
        assert_int_equal(get(&b, row + 8, 8) % 64, 0);
    lvt_diag_free(d);
    lvt_compiled_free(p);
    free(again.data);
    free(b.data);
}

/* The hash tells programs apart by what they do. */
static void test_hash(void **state) {
    (void)state;
    lvt_compiled *a = small_program(), *b = small_program();
    assert_int_equal(lvt_program_seal(a, NULL), LVT_OK);
    b->module->name = "another name";
    b->module->settings[0].value = "5";
    b->module->entries[0]->nodes[2].loc = 0;
    assert_int_equal(lvt_program_seal(b, NULL), LVT_OK);
    assert_true(a->hash == b->hash && a->hash != 0);
    b->plans[0].steps[0].family = LVT_FAMILY_INTERP;
    assert_int_equal(lvt_program_seal(b, NULL), LVT_OK);
    assert_true(a->hash != b->hash);
    b->plans[0].steps[0].family = LVT_FAMILY_ONEDNN;
    b->plans[0].steps[0].variant = LVT_VARIANT_WINOGRAD;
    assert_int_equal(lvt_program_seal(b, NULL), LVT_OK);
    assert_true(a->hash != b->hash);
    b->plans[0].steps[0].variant = LVT_VARIANT_STANDARD;
    b->module->states[0].init.b = 2;
    assert_int_equal(lvt_program_seal(b, NULL), LVT_OK);
    assert_true(a->hash != b->hash);
    lvt_compiled_free(a);
    lvt_compiled_free(b);
    lvt_compiled_free(NULL);
}

static void test_unsound_is_not_written(void **state) {
    (void)state;
    bytes b = {0};
    lvt_compiled *p = small_program();
    p->plans[0].places[4].offset = 0;
    assert_int_equal(lvt_program_encode(p, &b.data, &b.n, NULL), LVT_USER);
    assert_null(b.data);
    lvt_compiled_free(p);
}

static void test_truncated(void **state) {
    (void)state;
    bytes b = small_bytes();
    for (size_t n = 0; n < b.n; n++)
        assert_int_equal(decode(b.data, n, NULL), LVT_USER);
    bytes part = {b.data, 7};
    expect_refused(&part, "small.lvtx: error E601: this is not a compiled program of lvt");
    part.n = 100;
    expect_refused(&part, "small.lvtx: error E602: the file is cut off: it has 100 bytes");
    part.n = b.n - 1;
    expect_refused(&part, "small.lvtx: error E602: the file is cut off: it has");
    free(b.data);
}

static void test_appended(void **state) {
    (void)state;
    bytes b = small_bytes();
    b.data = realloc(b.data, b.n + 1);
    b.data[b.n++] = 0;
    expect_refused(&b, "E602");
    set(&b, 16, b.n, 8);
    fix_checksums(&b);
    expect_refused(&b, "E605: the file is damaged: something follows its last section");
    free(b.data);
}

static void test_every_byte(void **state) {
    (void)state;
    bytes b = small_bytes();
    for (size_t i = 0; i < b.n; i++)
        for (unsigned flip = 1; flip < 256; flip = flip == 1 ? 0x80 : flip == 0x80 ? 0xff : 256) {
            b.data[i] ^= (unsigned char)flip;
            if (decode(b.data, b.n, NULL) != LVT_USER)
                fail_msg("byte %zu changed by %02x is not noticed", i, flip);
            b.data[i] ^= (unsigned char)flip;
        }
    assert_int_equal(decode(b.data, b.n, NULL), LVT_OK);
    free(b.data);
}

/* Checksums right, contents not: every byte of the plan, and numbers of the kind that break programs. */
static void test_hostile(void **state) {
    (void)state;
    static const uint64_t numbers[] = {
        0, 1, 2, 64, 255, UINT32_MAX, 0x7fffffff, 0x80000000, INT64_MAX, UINT64_MAX, UINT64_C(1) << 62};
    bytes b = small_bytes();
    unsigned char *copy = malloc(b.n);
    memcpy(copy, b.data, b.n);
    size_t begin = get(&b, 64 + 2 * 32 + 8, 8), end = begin + get(&b, 64 + 2 * 32 + 16, 8);
    for (size_t i = 64; i + 8 <= end; i = i == 64 + 4 * 32 - 4 ? begin : i + 4)
        for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
            for (int width = 4; width <= 8; width += 4) {
                set(&b, i, numbers[k], width);
                fix_checksums(&b);
                lvt_status status = decode(b.data, b.n, NULL);
                if (status != LVT_USER && (status != LVT_OK || memcmp(b.data, copy, b.n) != 0))
                    fail_msg("number %zu of %d bytes at %zu: %d", k, width, i, (int)status);
                memcpy(b.data, copy, b.n);
            }
    free(copy);
    free(b.data);
}

static void test_messages(void **state) {
    (void)state;
    bytes b = small_bytes();
    unsigned char *copy = malloc(b.n);
    memcpy(copy, b.data, b.n);
    set(&b, 8, 7, 4);
    expect_refused(&b, "small.lvtx: error E603: made by a newer lvt (version 7, this is 5)");
    set(&b, 8, 0, 4);
    expect_refused(&b,
                   "E603: made by an lvt that is too old (version 0, this is 5): compile the model again");
    memcpy(b.data, copy, b.n);
    set(&b, 12, 5, 4);
    expect_refused(&b, "E604: the file is damaged: wrong checksum of its header");
    memcpy(b.data, copy, b.n);
    size_t ir = get(&b, 64 + 32 + 8, 8), plan = get(&b, 64 + 64 + 8, 8), sources = get(&b, 64 + 96 + 8, 8);
    b.data[ir + 9] ^= 1;
    expect_refused(&b, "E604: the file is damaged: wrong checksum of section IR");
    fix_checksums(&b);
    expect_refused(&b, "E608");
    memcpy(b.data, copy, b.n);
    b.data[ir] = 'M';
    fix_checksums(&b);
    expect_refused(&b,
                   "small.lvtx:1:1: error E151: expected 'module', found 'Module'\n    1 | Module \"small\"");
    memcpy(b.data, copy, b.n);
    set(&b, plan, 8, 4);
    fix_checksums(&b);
    expect_refused(&b, "E606: the plan of entry e does not fit its graph");
    memcpy(b.data, copy, b.n);
    set(&b, plan + 36, 7, 4);
    fix_checksums(&b);
    expect_refused(&b, "E606: the plan of entry e has a place of an unknown kind");
    memcpy(b.data, copy, b.n);
    set(&b, sources, 1 << 20, 8);
    fix_checksums(&b);
    expect_refused(&b, "E607: the texts of the sources are cut off");
    memcpy(b.data, copy, b.n);
    set(&b, sources, 3, 8);
    fix_checksums(&b);
    expect_refused(&b, "E607: the texts of the sources do not fit their list");
    memcpy(b.data, copy, b.n);
    b.data[get(&b, 64 + 8, 8)] = 'L'; /* META */
    fix_checksums(&b);
    expect_refused(&b, "E608: the file was changed by hand: it is not as lvt would write it");
    memcpy(b.data, copy, b.n);
    set(&b, 24, 1, 8);
    fix_checksums(&b);
    expect_refused(&b, "E608: the file's hash is not that of its program");
    memcpy(b.data, copy, b.n);
    set(&b, plan + 20, 64, 8); /* arena_bytes */
    fix_checksums(&b);
    expect_refused(&b, "E622: e: %4 = fused: 32 bytes at offset 64 do not fit into 64");
    free(copy);
    free(b.data);
}

/* ---- on disk ------------------------------------------------------------------------------------------- */

static int count_files(const char *folder) {
    int n = 0;
    DIR *dir = opendir(folder);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n - 2;
}

static void test_disk(void **state) {
    (void)state;
    char folder[] = "/tmp/lvt-test-XXXXXX", path[64], link[64], none[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a.lvtx", folder);
    snprintf(link, sizeof link, "%s/link.lvtx", folder);
    snprintf(none, sizeof none, "%s/none/a.lvtx", folder);
    lvt_compiled *p = small_program(), *q;
    assert_int_equal(lvt_program_write(p, path, NULL), LVT_OK);
    assert_int_equal(lvt_program_write(p, path, NULL), LVT_OK); /* again, over it */
    assert_int_equal(count_files(folder), 1);
    assert_int_equal(lvt_program_read(path, &q, NULL), LVT_OK);
    assert_true(p->hash == q->hash);
    lvt_compiled_free(q);

    assert_int_equal(symlink("a.lvtx", link), 0);
    assert_int_equal(lvt_program_write(p, link, NULL), LVT_OK);
    struct stat about;
    assert_int_equal(lstat(link, &about), 0);
    assert_true(S_ISLNK(about.st_mode));

    lvt_diag *d = lvt_diag_new();
    assert_int_equal(lvt_program_write(p, none, d), LVT_IO);
    assert_int_equal(lvt_program_write(p, folder, d), LVT_IO);
    assert_int_equal(lvt_program_read(none, &q, d), LVT_IO);
    assert_null(q);
    assert_int_equal(lvt_program_read(folder, &q, d), LVT_IO);
    char *text = lvt_diag_text(d), wanted[600];
    snprintf(wanted, sizeof wanted,
             "error: %s: cannot be written: No such file or directory\n"
             "error: %s: cannot be written: Is a directory\n"
             "%s: error E610: cannot be opened: No such file or directory\n"
             "%s: error E610: cannot be read: Is a directory\n",
             none, folder, none, folder);
    assert_string_equal(text, wanted);
    free(text);
    lvt_diag_free(d);
    assert_int_equal(count_files(folder), 2);
    assert_int_equal(unlink(path) | unlink(link) | rmdir(folder), 0);
    lvt_compiled_free(p);
}

static void test_full_disk(void **state) {
    (void)state;
    struct stat about;
    if (stat("/dev/full", &about) != 0 || !S_ISCHR(about.st_mode))
        skip(); /* not every system has it */
    lvt_compiled *p = small_program();
    assert_int_equal(lvt_program_write(p, "/dev/full", NULL), LVT_IO);
    assert_int_equal(stat("/dev/full", &about), 0);
    assert_true(S_ISCHR(about.st_mode)); /* not replaced by a file */
    lvt_compiled_free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip),
                                       cmocka_unit_test(test_hash),
                                       cmocka_unit_test(test_unsound_is_not_written),
                                       cmocka_unit_test(test_truncated),
                                       cmocka_unit_test(test_appended),
                                       cmocka_unit_test(test_every_byte),
                                       cmocka_unit_test(test_hostile),
                                       cmocka_unit_test(test_messages),
                                       cmocka_unit_test(test_disk),
                                       cmocka_unit_test(test_full_disk)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
