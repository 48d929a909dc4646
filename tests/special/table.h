/* What the tests of special points share: numbers as their tables have them, and how far a result may lie from
 * one. */
#ifndef LVT_TESTS_SPECIAL_TABLE_H
#define LVT_TESTS_SPECIAL_TABLE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_NUMBERS = 2048 };

typedef struct list {
    int n;
    double x[MOST_NUMBERS];
    bool wide[MOST_NUMBERS]; /* marked ~: what is in between leaves the range of f32: infinity or 0 will do */
} list;

static inline void add_number(list *l, double x, bool wide) {
    assert_true(l->n < MOST_NUMBERS);
    l->wide[l->n] = wide;
    l->x[l->n++] = x;
}

/* Numbers up to something that is none; returns where that is. */
static inline const char *read_numbers(const char *p, list *l) {
    for (;;) {
        char *end;
        p += strspn(p, " ");
        double x = strtod(p, &end);
        if (end == p)
            return p;
        bool wide = *end == '~';
        add_number(l, x, wide);
        p = end + wide;
    }
}

typedef struct tolerance {
    double relative, absolute;
} tolerance;

/* got, made in f32 (single) or f64, for the i-th of the exact numbers. NaN and infinities have to be the same,
 * where f32 is infinite too; zeros may have the other sign. */
static inline bool is_near(double got, const list *exact, int i, bool single, tolerance t) {
    double want = exact->x[i], least = single ? 0x1p-149 : 0x1p-1074; /* the unit of subnormal results */
    if (exact->wide[i] && single && (isinf(got) || got == 0))
        return true;
    if (single && !isnan(want))
        want = (double)(float)want;
    if (isnan(want) || isnan(got))
        return isnan(want) && isnan(got);
    if (isinf(want) || isinf(got))
        return got == want;
    return fabs(got - want) <= t.relative * fabs(want) + t.absolute + 2 * least;
}

#endif
