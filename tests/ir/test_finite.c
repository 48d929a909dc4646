/* NaN and infinities are found in every place of a tensor of every float type, and nothing else is. */
#include "ir/finite.h"
#include "ir/interp.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MOST = 1100 }; /* some blocks of 256 and a part of one */

static void every_place(void **state) {
    (void)state;
    static const lvt_dtype types[] = {LVT_F32, LVT_BF16, LVT_F64};
    /* The largest numbers, the smallest, zeros of both signs are numbers. */
    static const double sound[] = {0, -0., 1, -1, FLT_MAX, -FLT_MAX, FLT_MIN, -FLT_MIN, 1e-45, -1e-45, 3e38};
    static const double wrong[] = {NAN, INFINITY, -INFINITY};
    static const char *const names[] = {"nan", "inf", "-inf"};
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        double x[MOST];
        uint8_t packed[MOST * 8];
        for (int64_t n = 0; n <= MOST; n = n < 4 ? n + 1 : n * 2 + 3 > MOST && n < MOST ? MOST : n * 2 + 3) {
            lvt_type type = lvt_type_make(types[k], 1, &n);
            lvt_tensor t = {type, x};
            for (int64_t i = 0; i < n; i++) /* bf16 has no room for FLT_MAX: it would round to infinity */
                x[i] = types[k] == LVT_BF16 && fabs(sound[i % 11]) == FLT_MAX ? 3e38 : sound[i % 11];
            lvt_tensor_store(&t, packed);
            assert_int_equal(lvt_first_unsound(types[k], packed, n, false), -1);
            for (int64_t at = 0; at < n; at += n < 300 ? 1 : 97) {
                for (int w = 0; w < 3; w++) {
                    double old = x[at];
                    x[at] = wrong[w];
                    lvt_tensor_store(&t, packed);
                    assert_int_equal(lvt_first_unsound(types[k], packed, n, false), at);
                    assert_int_equal(lvt_first_unsound(types[k], packed, n, true), w ? -1 : at);
                    assert_string_equal(lvt_unsound_name(types[k], packed, at), names[w]);
                    x[at] = old;
                }
            }
        }
    }
    int32_t whole[] = {INT32_MIN, INT32_MAX, 0x7f800000, -1};
    assert_int_equal(lvt_first_unsound(LVT_I32, whole, 4, false), -1);
}

static void infinite_by_design(void **state) {
    (void)state;
    float values[] = {0, NAN, -INFINITY};
    lvt_state s = {.type = lvt_type_make(LVT_F32, 1, (const int64_t[]){3}),
                   .init = {LVT_INIT_CONSTANT, 0, 0}};
    assert_false(lvt_state_begins_infinite(&s));
    s.init.a = INFINITY;
    assert_true(lvt_state_begins_infinite(&s));
    s.init.a = NAN;
    assert_false(lvt_state_begins_infinite(&s));
    s.values = values;
    assert_true(lvt_state_begins_infinite(&s));
    values[2] = 1;
    assert_false(lvt_state_begins_infinite(&s));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_place), cmocka_unit_test(infinite_by_design)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
