/* Limits of the roofline: which bound holds, and how rows add them up. */
#include "runtime/command/bench/profile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* 100 GFLOP/s; 50, 20 and 10 GB/s; 1 KiB, 1 MiB and more a thread. */
static const lvt_limits limits = {{1e11, 5e10, 2e10, 1e10}, {0, 1 << 10, 1 << 20, 1 << 26}, 2};

static void the_slower_of_arithmetic_and_traffic(void **state) {
    (void)state;
    lvt_bound bound;
    assert_float_equal(lvt_limits_time(&limits, 1e9, 1000, &bound), 0.01, 1e-12);
    assert_int_equal(bound, LVT_BOUND_FMA);
    assert_float_equal(lvt_limits_time(&limits, 0, 2048, &bound), 2048 / 5e10, 1e-15);
    assert_int_equal(bound, LVT_BOUND_L2); /* two threads hold 2 KiB */
    assert_float_equal(lvt_limits_time(&limits, 100, 2049, &bound), 2049 / 2e10, 1e-15);
    assert_int_equal(bound, LVT_BOUND_L3);
    assert_float_equal(lvt_limits_time(&limits, 100, 1e12, &bound), 100, 1e-9); /* no size is too large */
    assert_int_equal(bound, LVT_BOUND_MEMORY);
}

static void a_row_is_bound_by_what_holds_most_of_it(void **state) {
    (void)state;
    lvt_profile_row row = {.limit = {0.25, 0.125, 0, 0.5}};
    lvt_bound bound;
    assert_float_equal(lvt_profile_limit(&row, &bound), 0.875, 0);
    assert_int_equal(bound, LVT_BOUND_MEMORY);
    assert_string_equal(lvt_bound_name(bound), "memory");
}

/* Rates are those of this machine and change; that they were measured, and with the peak as given, is
 * certain. */
static void rates_are_measured_at_every_size(void **state) {
    (void)state;
    lvt_limits l;
    assert_true(lvt_limits_measure(1e11, 1, &l));
    assert_float_equal(l.rate[LVT_BOUND_FMA], 1e11, 0);
    assert_int_equal(l.threads, 1);
    for (int b = LVT_BOUND_L2; b < LVT_N_BOUNDS; b++) {
        assert_true(l.rate[b] > 1e7 && l.rate[b] < 1e14);
        assert_true(l.thread_bytes[b] > l.thread_bytes[b - 1]);
    }
}

/* A point without arithmetic, one without a line and one of no time have no place in the drawing; text is
 * escaped. */
static void odd_rows_are_drawn_or_left_out(void **state) {
    (void)state;
    lvt_profile_row points[] = {
        {.name = "a<b", .line = 3, .family = 1, .seconds = 1e-3, .flops = 1e7, .bytes = 1e6, .steps = 1},
        {.name = "copy", .line = 4, .family = 2, .seconds = 1e-3, .flops = 0, .bytes = 1e6, .steps = 1},
        {.name = "(no place)", .line = 0, .family = 2, .seconds = 1e-3, .flops = 1, .bytes = 1, .steps = 1},
        {.name = "never", .line = 5, .family = 2, .seconds = 0, .flops = 1, .bytes = 1, .steps = 1},
    };
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    assert_non_null(f);
    lvt_roofline_draw(f, "x & y", &limits, points, 4, points, 4);
    fclose(f);
    int circles = 0;
    for (const char *at = text; (at = strstr(at, "<circle cx")); at++)
        circles++;
    assert_int_equal(circles, 1 + 2); /* one point and two families of the legend */
    assert_non_null(strstr(text, "x &#38; y"));
    assert_null(strstr(text, "a<b"));
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "inf"));
    assert_non_null(strstr(text, "</svg>"));
    free(text);

    f = open_memstream(&text, &size); /* an entry without any work */
    assert_non_null(f);
    lvt_roofline_draw(f, "empty", &limits, points, 0, points, 0);
    fclose(f);
    assert_null(strstr(text, "nan"));
    assert_non_null(strstr(text, "</svg>"));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_slower_of_arithmetic_and_traffic),
        cmocka_unit_test(a_row_is_bound_by_what_holds_most_of_it),
        cmocka_unit_test(rates_are_measured_at_every_size),
        cmocka_unit_test(odd_rows_are_drawn_or_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
