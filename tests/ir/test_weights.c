/* Maps of names, conversions, and initial values from files of any tool. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "ir/base/file.h"
#include "ir/program/weight_map.h"
#include "ir/program/weights.h"

static char folder[] = "/tmp/lvt-weights-XXXXXX", path[3][64];

static void write_text(const char *name, const char *text) {
    FILE *f = fopen(name, "wb"); /* nothing that has to last */
    assert_true(f && fwrite(text, strlen(text), 1, f) == 1 && fclose(f) == 0);
}

static void test_patterns(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *name, *to, *result; /* result NULL: does not fit */
    } cases[] = {{"a.weight", "a.weight", "b", "b"},
                 {"a.weight", "a.weights", "b", NULL},
                 {"*", "", "x*", "x"},
                 {"l*.*.w", "l1.2.w", "s.*.*.w", "s.1.2.w"},
                 {"*.w", "a.w.w", "*.k", "a.w.k"},
                 {"*a*", "banana", "*|*", "b|nana"},
                 {"*b", "aaa", "*", NULL},
                 {"a*b*c", "abc", "*-*", "-"}};
    char result[LVT_MAP_NAME];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool fits = lvt_weight_map_fits(cases[i].pattern, cases[i].name, cases[i].to, result);
        assert_int_equal(fits, cases[i].result != NULL);
        if (fits)
            assert_string_equal(result, cases[i].result);
    }
    /* Names made to be slow, and results that would be too long, end. */
    char slow[900], wide[40] = "";
    memset(slow, 'a', sizeof slow - 1);
    slow[sizeof slow - 1] = 0;
    assert_false(lvt_weight_map_fits("*a*a*a*a*a*a*a*b", slow, "", result));
    for (int i = 0; i < 8; i++)
        strcat(wide, "*x");
    assert_true(lvt_weight_map_fits("*", slow, "*", result));
    assert_int_equal(strlen(result), sizeof slow - 1);
}

static void test_mistakes(void **state) {
    (void)state;
    static const char *const lines[] = {"a",
                                        "a =",
                                        "= b",
                                        "a b c",
                                        "a = b twist",
                                        "a = b part 2 of 2",
                                        "a = b part 1",
                                        "a = b permute 0 0",
                                        "a = b permute",
                                        "a = b permute 9",
                                        "- = -",
                                        "a = *",
                                        "- = b transpose",
                                        "a = b transpose transpose transpose transpose reshape",
                                        "a*********b = c"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        lvt_diag *d = lvt_diag_new();
        lvt_arena *arena = lvt_arena_new();
        lvt_weight_map map;
        write_text(path[0], lines[i]);
        if (lvt_weight_map_read(path[0], arena, &map, d) != LVT_USER)
            fail_msg("accepted: %s", lines[i]);
        assert_int_equal(lvt_diag_errors(d), 1);
        lvt_arena_free(arena);
        lvt_diag_free(d);
    }
    /* Any bytes are a map or are refused. */
    static const char seed[] =
        "a.*.w = b.*.w transpose permute 1 0\n# note\nx = -\n- = y.* \nq = r part 0 of 3 reshape\n";
    uint32_t r = 1;
    for (int round = 0; round < 2000; round++) {
        char text[sizeof seed];
        memcpy(text, seed, sizeof seed);
        for (int k = 0; k < 4; k++) {
            r = r * 1664525u + 1013904223u;
            size_t at = (r >> 8) % (sizeof seed - 1);
            r = r * 1664525u + 1013904223u;
            text[at] = "*-= \n#\t0k\xff"[(r >> 8) % 10];
        }
        lvt_arena *arena = lvt_arena_new();
        lvt_weight_map map;
        char result[LVT_MAP_NAME];
        FILE *f = fopen(path[0], "wb");
        assert_true(f && fwrite(text, sizeof seed - 1, 1, f) == 1 && fclose(f) == 0);
        if (lvt_weight_map_read(path[0], arena, &map, NULL) == LVT_OK)
            for (size_t i = 0; i < map.n; i++)
                lvt_weight_map_fits(map.lines[i].from, "a.1.w",
                                    map.lines[i].from[0] == '-' ? "" : map.lines[i].to, result);
        lvt_arena_free(arena);
    }
}

static lvt_module *model(void) {
    lvt_module *m = lvt_module_new("m");
    lvt_type t[] = {lvt_type_make(LVT_F32, 2, (int64_t[]){2, 3}), lvt_type_make(LVT_F32, 1, (int64_t[]){3})};
    lvt_module_add_state(m, "w", &t[0], (lvt_init){0}, true, 0);
    lvt_module_add_state(m, "b", &t[1], (lvt_init){.a = 5}, true, 0);
    return m;
}

static void test_load(void **state) {
    (void)state;
    /* w as [in, out] in halves: 0 1 2 3 4 5; both: two b; n: a counter. */
    static const char header[] =
        "{\"kernel\":{\"dtype\":\"F16\",\"shape\":[3,2],\"data_offsets\":[0,12]},"
        "\"both\":{\"dtype\":\"F32\",\"shape\":[6],\"data_offsets\":[12,36]},"
        "\"x.num_batches_tracked\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[36,44]}}";
    static const uint16_t halves[] = {0, 0x3c00, 0x4000, 0x4200, 0x4400, 0x4500};
    static const float both[] = {10, 11, 12, 20, 21, 22};
    uint8_t file[600] = {sizeof header - 1};
    size_t n = 8;
    file[1] = (sizeof header - 1) >> 8;
    memcpy(file + n, header, sizeof header - 1);
    memcpy(file + (n += sizeof header - 1), halves, sizeof halves);
    memcpy(file + (n += sizeof halves), both, sizeof both);
    n += sizeof both + 8;
    assert_int_equal(lvt_file_write(NULL, path[1], file, n, NULL), LVT_OK);
    write_text(path[0], "kernel = w transpose\nboth = b part 1 of 2\n");
    lvt_module *m = model();
    lvt_diag *d = lvt_diag_new();
    assert_int_equal(lvt_weights_load(m, path[1], path[0], d), LVT_OK);
    assert_memory_equal(m->states[0].values, ((float[]){0, 2, 4, 1, 3, 5}), 24);
    assert_memory_equal(m->states[1].values, both + 3, 12);
    /* All that is wrong, at once, and nothing changes. */
    lvt_module_free(m);
    m = model();
    write_text(path[0], "kernel = w\nnone = b\n");
    assert_int_equal(lvt_weights_load(m, path[1], path[0], d), LVT_USER);
    char *text = lvt_diag_text(d);
    assert_non_null(strstr(text, "kernel: state w is f32[2,3], the file has f32[3,2]"));
    assert_non_null(strstr(text, "nothing fits `none = b`"));
    assert_non_null(strstr(text, "1 tensor has no place"));
    assert_non_null(strstr(text, "2 states of the model get no value"));
    assert_null(m->states[0].values);
    free(text);
    lvt_diag_clear(d);
    /* What is kept and what is not wanted is said. */
    write_text(path[0], "kernel = w permute 1 0\nboth = -\n- = b\n");
    assert_int_equal(lvt_weights_load(m, path[1], path[0], d), LVT_OK);
    assert_null(m->states[1].values);
    /* Beside a program: the values go there and come back, others are refused. */
    m->states[0].init = lvt_weights_init(m->states[0].values, 24);
    char *beside = lvt_weights_path(m, path[2]);
    assert_int_equal(lvt_weights_write(m, path[2], d), LVT_OK);
    lvt_module *again = model();
    again->states[0].init = m->states[0].init;
    assert_int_equal(lvt_weights_read(again, path[2], d), LVT_OK);
    assert_memory_equal(again->states[0].values, m->states[0].values, 24);
    again->states[0].values = NULL;
    char *changed;
    again->states[0].init.a += 1; /* other values, another name */
    assert_int_equal(lvt_weights_read(again, path[2], d), LVT_USER);
    changed = lvt_weights_path(again, path[2]);
    assert_string_not_equal(changed, beside);
    assert_int_equal(rename(beside, changed), 0); /* of that name, but not of that hash */
    assert_int_equal(lvt_weights_read(again, path[2], d), LVT_USER);
    assert_int_equal(rename(changed, beside), 0);
    free(changed);
    unlink(beside);
    assert_int_equal(lvt_weights_read(again, path[2], d), LVT_USER);
    write_text(beside, "somebody's");
    assert_int_equal(lvt_weights_write(m, path[2], d), LVT_USER);
    unlink(beside);
    free(beside);
    lvt_module_free(again);
    lvt_module_free(m);
    lvt_diag_free(d);
}

/* A file of f32 tensors of one element, of these names. */
static void write_scalars(const char *name, const char *const *names, size_t n) {
    lvt_stored_tensor list[40];
    static const float values[40] = {1, 2, 3, 4, 5};
    assert_true(n <= 40);
    for (size_t i = 0; i < n; i++)
        list[i] = (lvt_stored_tensor){names[i], lvt_type_make(LVT_F32, 0, NULL), &values[i]};
    assert_int_equal(lvt_safetensors_write(NULL, name, NULL, list, n, NULL), LVT_OK);
}

/* What load says of the scalars `names` for a model with these states, the first two parameters. */
static void says(const char *const *names, size_t n, const char *map, lvt_status status,
                 const char *const *words) {
    static const char *const states[] = {"a.w", "b.w", "a.w.importance"};
    lvt_module *m = lvt_module_new("m");
    lvt_type scalar = lvt_type_make(LVT_F32, 0, NULL);
    for (int i = 0; i < 3; i++)
        lvt_module_add_state(m, states[i], &scalar, (lvt_init){.a = 7}, i < 2, 0);
    write_scalars(path[1], names, n);
    if (map)
        write_text(path[0], map);
    lvt_diag *d = lvt_diag_new();
    assert_int_equal(lvt_weights_load(m, path[1], map ? path[0] : NULL, d), status);
    char *text = lvt_diag_text(d);
    for (; *words; words++) {
        bool absent = **words == '!';
        if ((strstr(text, *words + absent) != NULL) == absent)
            fail_msg("not as it should be: \"%s\", in:\n%s", *words, text);
    }
    assert_int_equal(m->states[0].values != NULL, status == LVT_OK);
    assert_null(m->states[2].values); /* never in the file here: keeps its initial value */
    free(text);
    lvt_diag_free(d);
    lvt_module_free(m);
}
#define SAYS(names, ...) says(names, sizeof names / sizeof *names, __VA_ARGS__)

/* Another method's or optimiser's values are left out by themselves; other names are for the user to place.
 */
static void test_other_methods(void **state) {
    (void)state;
    static const char *const other[] = {"a.w", "a.w.accumulated", "a.w.previous", "b.w", "b.w.previous"};
    static const char *const strange[] = {"a.w", "b.w", "c.w", "c.w.previous"};
    SAYS(other, NULL, LVT_OK,
         (const char *[]){"b.safetensors: 3 tensors below parameters left out", "1 named accumulated",
                          "2 named previous", NULL});
    SAYS(other, "* = *\n", LVT_OK, (const char *[]){"3 tensors below parameters left out", NULL});
    SAYS(strange, NULL, LVT_USER,
         (const char *[]){"b.safetensors: 2 tensors have no place", "note: c.w\n", "note: c.w.previous\n",
                          "--map FILE", "!did you mean", "!left out", NULL});
    SAYS(strange, "c.* = -\n* = *\n", LVT_OK, (const char *[]){"!warning", NULL});
    /* The line that keeps names is missing. */
    SAYS(strange, "c.* = -\n", LVT_USER,
         (const char *[]){"2 have the name of a state without a value; `* = *`", NULL});
    /* Lists end. */
    char many[30][8];
    const char *names[32] = {"a.w", "b.w"};
    for (int i = 0; i < 30; i++) {
        snprintf(many[i], sizeof many[i], "x%02d", i);
        names[i + 2] = many[i];
    }
    SAYS(names, NULL, LVT_USER,
         (const char *[]){"30 tensors have no place", "note: x09\n", "!note: x10\n", "and 20 more", NULL});
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_patterns), cmocka_unit_test(test_mistakes),
                                       cmocka_unit_test(test_load), cmocka_unit_test(test_other_methods)};
    if (!mkdtemp(folder))
        return 1;
    const char *names[] = {"a.map", "b.safetensors", "p.lvtx"};
    for (int i = 0; i < 3; i++)
        snprintf(path[i], sizeof path[i], "%s/%s", folder, names[i]);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (int i = 0; i < 3; i++)
        unlink(path[i]);
    rmdir(folder);
    return failed;
}
