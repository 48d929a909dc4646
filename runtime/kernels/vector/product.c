/* Products of matrices, see product.h.
 *
 * A panel is 64 columns of the weights, row by row without gaps: read once from where rows lie powers of two
 * apart, which the caches dislike, then from the second-level cache for all rows of the other matrix. */
#include "product.h"

enum {
    PANEL = LVT_WINO_PANEL,
    ROWS = 96,      /* of a block: 200 KB of 512 columns */
    EDGE = 16,      /* floats between panels, so that they do not all begin in the same lines of the caches */
    KEPT = 1 << 20, /* bytes of panels that stay in the caches for all blocks of rows */
    LONG = 1024     /* rows a thread for which copying all panels is nothing */
};

typedef struct run {
    const lvt_product *p;
    const float *a, *b;
    float *y, *scratch;
} run;

static int64_t panels_of(const lvt_product *p) {
    return (p->n + PANEL - 1) / PANEL;
}

static size_t panel_floats(const lvt_product *p) {
    return (size_t)p->k * PANEL + EDGE;
}

/* Few columns and many rows: each thread keeps all panels. Else it has one at a time. */
static bool keeps(const lvt_product *p) {
    return p->m >= (int64_t)LONG * p->threads && p->n * p->k * (int64_t)sizeof(float) <= KEPT;
}

/* Threads that divide the panels among them; as many such groups divide the rows. */
static int64_t group_of(const lvt_product *p) {
    int64_t a = p->threads, b = panels_of(p);
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return keeps(p) ? 1 : a;
}

bool lvt_product_fits(const lvt_product *p) {
    return p->n % 16 == 0 && (p->b_col == 1 || p->b_row == 1);
}

size_t lvt_product_scratch(const lvt_product *p) {
    return sizeof(float) * (size_t)p->threads * panel_floats(p) * (size_t)(keeps(p) ? panels_of(p) : 1);
}

static int64_t columns_of(const lvt_product *p, int64_t panel) {
    return p->n - panel * PANEL < PANEL ? p->n - panel * PANEL : PANEL;
}

static void pack(const lvt_wino_code *code, const run *r, int64_t panel, float *to) {
    const lvt_product *p = r->p;
    const float *b = r->b + panel * PANEL * p->b_col;
    if (p->b_col == 1)
        code->pack(b, p->b_row, p->k, columns_of(p, panel), to);
    else
        code->pack_turned(b, p->b_col, p->k, columns_of(p, panel), to);
}

static void multiply(const lvt_wino_code *code, const run *r, int64_t begin, int64_t end, int64_t panel,
                     const float *packed) {
    const lvt_product *p = r->p;
    code->multiply(&(lvt_wino_product){.m = end - begin,
                                       .n = columns_of(p, panel),
                                       .k = p->k,
                                       .a = r->a + begin * p->a_row,
                                       .b = packed,
                                       .c = r->y + begin * p->y_row + panel * PANEL,
                                       .a_row = p->a_row,
                                       .a_col = 1,
                                       .b_row = PANEL,
                                       .c_row = p->y_row,
                                       .ahead = true});
}

static void part(void *user, int64_t t, int thread) {
    const run *r = user;
    const lvt_product *p = r->p;
    const lvt_wino_code *code = lvt_wino_code_host();
    int64_t group = group_of(p), groups = p->threads / group, panels = panels_of(p);
    int64_t first = panels * (t % group) / group, last = panels * (t % group + 1) / group;
    int64_t begin = p->m * (t / group) / groups, end = p->m * (t / group + 1) / groups;
    size_t one = panel_floats(p);
    float *packed = r->scratch + (size_t)t * one * (size_t)(keeps(p) ? panels : 1);
    (void)thread;
    for (int64_t i = first; i < last; i++) {
        pack(code, r, i, packed + (keeps(p) ? (size_t)i * one : 0));
        if (!keeps(p))
            multiply(code, r, begin, end, i, packed);
    }
    for (; begin < end && keeps(p); begin += ROWS)
        for (int64_t i = 0; i < panels; i++)
            multiply(code, r, begin, begin + ROWS < end ? begin + ROWS : end, i, packed + (size_t)i * one);
}

void lvt_product_run(const lvt_product *p, const float *a, const float *b, float *y, void *scratch) {
    lvt_parallel(p->threads, p->threads, part, &(run){p, a, b, y, scratch});
}
