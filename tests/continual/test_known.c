/* The threshold of what is known: by hand for small numbers, and its promise for pictures that are drawn alike. */
#include "runtime/continual/known.h"
#include "ir/base/philox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>

static void counted(void **state) {
    (void)state;
    static const struct {
        size_t n, place; /* the place-th smallest, from 1; 0: too few */
    } rows[] = {{0, 0}, {1, 0}, {18, 0}, {19, 1}, {38, 1}, {39, 2}, {99, 5}, {100, 5}, {199, 10}};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        double scores[200];
        for (size_t i = 0; i < rows[r].n; i++) /* 1 .. n in another order */
            scores[i] = (double)((i * 7 + 3) % rows[r].n + 1);
        if (rows[r].n % 7 == 0 && rows[r].n)
            continue; /* no order of all then */
        lvt_known k = lvt_known_threshold(scores, rows[r].n, 0.95);
        assert_true(k.images == (double)rows[r].n);
        assert_true(rows[r].place ? k.threshold == (double)rows[r].place : k.threshold == -INFINITY);
        size_t accepted = 0;
        for (size_t i = 0; i < rows[r].n; i++)
            accepted += scores[i] >= k.threshold;
        assert_true((double)accepted >= 0.95 * (double)rows[r].n);
    }
}

static void without_answer(void **state) {
    (void)state;
    double scores[40];
    for (int i = 0; i < 40; i++)
        scores[i] = i < 1 ? NAN : i;
    assert_true(lvt_known_threshold(scores, 40, 0.95).threshold ==
                1); /* the second smallest: NaN is below all */
    for (int i = 0; i < 40; i++)
        scores[i] = i < 3 ? NAN : i;
    assert_true(lvt_known_threshold(scores, 40, 0.95).threshold == -INFINITY);
    bool seen[3] = {true, false, true}, none[3] = {false};
    const float logits[3] = {1, 9, 1}, left_out[3] = {-INFINITY, 9, -2};
    assert_true(lvt_known_score(logits, seen, 3) == 0.5);
    assert_true(lvt_known_score(left_out, seen, 3) == 1);
    assert_true(isnan(lvt_known_score(logits, none, 3)));
}

/* Over many calibrations with n pictures a new one is accepted in 1 - floor((n + 1) / 20) / (n + 1) of the cases. */
static void promised(void **state) {
    (void)state;
    enum { N = 59, TIMES = 4000 };
    int accepted = 0;
    for (uint32_t t = 0; t < TIMES; t++) {
        double drawn[N + 1];
        for (uint32_t i = 0; i <= N; i++) {
            uint32_t word[4];
            lvt_philox(7, 0, t, i, 0, word);
            drawn[i] = word[0];
        }
        accepted += drawn[N] >= lvt_known_threshold(drawn, N, 0.95).threshold;
    }
    double p = 1 - 3. / (N + 1), deviation = sqrt(p * (1 - p) / TIMES);
    assert_true(fabs((double)accepted / TIMES - p) < 4 * deviation);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(counted), cmocka_unit_test(without_answer),
                                       cmocka_unit_test(promised)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
