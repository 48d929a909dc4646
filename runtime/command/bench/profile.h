/* Where the time of an entry goes, against what the processor can do: rows by op, line or step, the roofline.
 *
 * Invariants: limits are measured by this program on this machine, with the same number of threads; a row is
 * a sum over steps, each of which has its own limit. May not know: data sets, how a kernel works. */
#ifndef LVT_COMMAND_BENCH_PROFILE_H
#define LVT_COMMAND_BENCH_PROFILE_H

#include "runtime/command/command.h"
#include "runtime/compiled.h"

#include <stdio.h>

/* What holds a step back: arithmetic, or the memory that its operands and results fit into. */
typedef enum lvt_bound {
    LVT_BOUND_FMA,
    LVT_BOUND_L2,
    LVT_BOUND_L3,
    LVT_BOUND_MEMORY,
    LVT_N_BOUNDS
} lvt_bound;

/* Rate of each bound, flops or bytes a second, and how much a thread may touch for it to apply. */
typedef struct lvt_limits {
    double rate[LVT_N_BOUNDS];
    size_t thread_bytes[LVT_N_BOUNDS]; /* 0 of FMA; the last one has no limit: the size it was measured at */
    int threads;
} lvt_limits;

const char *lvt_bound_name(lvt_bound b);
/* Takes the peak of fused multiply-adds (flops a second) as given and measures a triad in place, a[i] = b[i]
 * + s a[i], at each size. False when out of memory. */
bool lvt_limits_measure(double peak, int threads, lvt_limits *out);
/* The shortest time in which so much arithmetic and traffic can be done, in seconds, and which of the two it
 * is. */
double lvt_limits_time(const lvt_limits *l, double flops, double bytes, lvt_bound *bound);

typedef enum lvt_profile_by {
    LVT_BY_NONE,
    LVT_BY_OP,
    LVT_BY_LINE,
    LVT_BY_STEP,
    LVT_BY_LINE_FAMILY /* a line's kernels of one family: the points of the drawing */
} lvt_profile_by;

typedef struct lvt_profile_row {
    char name[160];
    char text[96];  /* the line itself, of LINE and LINE_FAMILY */
    uint32_t line;  /* 0 where there is none */
    uint8_t family; /* of the first step */
    double seconds; /* sums over steps */
    double flops, bytes;
    double limit[LVT_N_BOUNDS]; /* seconds in which the steps so bound could be done; 0 without limits */
    uint32_t steps;
} lvt_profile_row;

/* The sum of limit, and the bound that has most of it. */
double lvt_profile_limit(const lvt_profile_row *r, lvt_bound *bound);

/* Sums up seconds[step] of an entry's plan by what `by` says. rows: room for one a step. limits: NULL when
 * they are not wanted. Returns the number of rows, longest first. */
uint32_t lvt_profile_collect(const lvt_plan *plan, const double *seconds, lvt_profile_by by,
                             const lvt_limits *limits, lvt_profile_row *rows);
/* A table, or the inside of a JSON array, of the first `top` rows (0: all). With limits, says what each row
 * is bound by and how close it comes. */
void lvt_profile_print(const lvt_profile_row *rows, uint32_t n, int top, const lvt_limits *limits, bool json);

/* Draws the roofline: rows are points (LVT_BY_LINE_FAMILY), lines the list beside them (LVT_BY_LINE), both
 * longest first. Plain SVG 1.1, no scripts. title: what was run. */
void lvt_roofline_draw(FILE *f, const char *title, const lvt_limits *limits, const lvt_profile_row *points,
                       uint32_t n_points, const lvt_profile_row *lines, uint32_t n_lines);

#endif
