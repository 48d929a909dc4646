/* Products of matrices, see product.h.
 *
 * A thread has a piece of the result. It copies a block of the second matrix (kc terms, nc columns) to panels
 * in its second-level cache, then blocks of rows of the first one, each tile of which passes all panels from
 * the first-level cache. Copies make reading independent of how matrices lie: rows powers of two apart and
 * columns are what the caches dislike. Nothing copied leaves the core that made it. */
#include "product.h"

#include <string.h>
#include <unistd.h>

enum {
    EDGE = LVT_TILE_SLACK, /* floats between panels, also so that they do not all begin in the same lines */
    COPIED_TERMS = 512,    /* most of a block where both matrices are copied; else lvt_tile_code.terms */
    FEW = 8                /* rows up to which a product is bound by reading the second matrix */
};

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t ratio_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

static int64_t up(int64_t a, int64_t unit) {
    return ratio_up(a, unit) * unit;
}

/* ---- the plan ---- */

/* Bytes of panels that stay in a core's second-level cache. */
static int64_t cache_bytes(void) {
    enum { USUAL = 512 << 10, MOST = 2 << 20 };
    long size = 0;
#ifdef _SC_LEVEL2_CACHE_SIZE
    size = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
    return (size < USUAL ? USUAL : size > MOST ? MOST : size) / 2;
}

/* Parts of the sum, by shape alone: small results of long sums, whose matrices would otherwise be copied by
 * several threads. */
static int64_t parts_of(const lvt_product *p) {
    enum { SMALL = 200000, MOST = 4, LEAST = 256, RATIO = 2 };
    int64_t side = p->m > p->n ? p->m : p->n, parts = MOST;
    if (p->n_batch || p->packed || p->m <= FEW || p->m * p->n > SMALL)
        return 1;
    while (parts > 1 && (p->k < parts * LEAST || p->k < parts * RATIO * side))
        parts /= 2;
    return parts;
}

/* Rows of the first matrix are read where they lie; where all begin in the same lines of the first-level cache
 * a tile has fewer of them than that has ways. */
static int64_t most_rows(const lvt_product *p) {
    enum { SET = 1024, WAYS = 8 }; /* floats after which lines meet */
    return p->flat && p->a_row % SET == 0 ? least(p->code->rows, WAYS - 1) : p->code->rows;
}

/* Pieces of each result: as few copies as possible. */
static void divide(lvt_product *p) {
    enum { COPY = 24, READ = 8 }; /* of a row or column, in multiply-adds a term */
    int64_t pieces = p->items * p->parts, threads = p->threads, best = INT64_MAX;
    p->rows_grid = p->columns_grid = 1;
    if (p->way != LVT_PRODUCT_PANELS) {
        if (pieces < threads)
            p->columns_grid = least(ratio_up(threads, pieces), ratio_up(p->n, p->code->lanes));
        return;
    }
    if (pieces % threads == 0 || pieces >= 4 * threads)
        return;
    int64_t a = threads, b = pieces;
    while (b) { /* the greatest common divisor */
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    int64_t each = threads / a;
    for (int64_t rows = 1; rows <= each; rows++) {
        int64_t columns = each / rows;
        if (rows * columns != each)
            continue;
        int64_t m = up(ratio_up(p->m, rows), p->code->rows), n = up(ratio_up(p->n, columns), p->code->lanes);
        int64_t cost = m * n + (p->flat ? READ : COPY) * m + (p->packed ? READ : COPY) * n;
        if (cost < best) {
            best = cost;
            p->rows_grid = rows;
            p->columns_grid = columns;
        }
    }
}

bool lvt_product_plan(lvt_product *p) {
    if (!p->code)
        p->code = lvt_tile_code_host();
    const lvt_tile_code *c = p->code;
    if ((p->a_col != 1 && p->a_row != 1) || (p->b_col != 1 && p->b_row != 1))
        return false;
    p->items = 1;
    for (int d = 0; d < p->n_batch; d++)
        p->items *= p->batch[d];
    p->way = LVT_PRODUCT_PANELS;
    if (p->m <= FEW && !p->packed)
        p->way = p->b_col == 1 ? LVT_PRODUCT_STREAM : p->a_col == 1 ? LVT_PRODUCT_DOTS : LVT_PRODUCT_PANELS;
    p->parts = parts_of(p);
    p->flat = p->a_col == 1 && p->way == LVT_PRODUCT_PANELS;
    divide(p);
    int64_t terms = ratio_up(p->k, p->parts),
            blocks = ratio_up(terms, p->flat ? c->terms : least(COPIED_TERMS, c->terms));
    p->kc = blocks > 1 ? up(ratio_up(terms, blocks), 4) : terms;
    int64_t fits = cache_bytes() / ((p->kc + 1) * (int64_t)sizeof(float));
    int64_t columns = ratio_up(p->n, p->columns_grid), spans = ratio_up(columns, fits);
    p->nc = up(ratio_up(columns, spans ? spans : 1), c->columns);
    int64_t rows = ratio_up(p->m, p->rows_grid), tiles = ratio_up(rows, most_rows(p));
    p->height = tiles ? ratio_up(rows, tiles) : 1;
    p->mc = p->height * least(tiles, ratio_up(8 * c->rows, p->height));
    return true;
}

static size_t panel_floats(const lvt_product *p, int64_t width) {
    return (size_t)(p->kc * width + EDGE);
}

static size_t block_b(const lvt_product *p) {
    return p->packed ? 0 : panel_floats(p, p->code->columns) * (size_t)(p->nc / p->code->columns);
}

static size_t block_a(const lvt_product *p) {
    return p->flat ? 0 : panel_floats(p, p->height) * (size_t)ratio_up(p->mc, p->height);
}

static size_t of_thread(const lvt_product *p) {
    return (block_a(p) + block_b(p) + 2 * EDGE) / EDGE * EDGE;
}

size_t lvt_product_scratch(const lvt_product *p) {
    if (p->way != LVT_PRODUCT_PANELS)
        return 0;
    return sizeof(float) * ((size_t)p->threads * of_thread(p) + (size_t)((p->parts - 1) * p->m * p->n));
}

/* ---- runs ---- */

typedef struct run {
    const lvt_product *p;
    const float *a, *b;
    float *y, *scratch, *sums; /* sums: of the parts but the first, packed */
    const float *const *added;
} run;

typedef struct piece {
    const float *a, *b;
    float *y;
    int64_t y_row, m0, m1, n0, n1, k0, k1;
} piece;

static void pack_a(const lvt_product *p, const piece *w, int64_t i, int64_t rows, int64_t q, int64_t terms,
                   float *to) {
    const float *from = w->a + i * p->a_row + q * p->a_col;
    size_t panel = panel_floats(p, p->height);
    if (p->a_col == 1)
        p->code->pack_turned(from, p->a_row, terms, rows, p->height, (int64_t)panel, to);
    else
        p->code->pack(from, p->a_col, terms, rows, p->height, (int64_t)panel, to);
}

static void pack_b(const lvt_product *p, const float *b, int64_t j, int64_t columns, int64_t q, int64_t terms,
                   float *to) {
    const float *from = b + q * p->b_row + j * p->b_col;
    size_t panel = panel_floats(p, p->code->columns);
    if (p->b_col == 1)
        p->code->pack(from, p->b_row, terms, columns, p->code->columns, (int64_t)panel, to);
    else
        p->code->pack_turned(from, p->b_col, terms, columns, p->code->columns, (int64_t)panel, to);
}

/* A part of a matrix that will be read: `down` lines of `across` floats; asked for in n shares. */
typedef struct ahead {
    const float *at;
    int64_t across, down, step, n;
} ahead;

static ahead ahead_of(const float *x, int64_t row, int64_t col, int64_t i, int64_t rows, int64_t j,
                      int64_t cols, int64_t n) {
    ahead t = {x + i * row + j * col, cols, rows, row, n};
    if (col != 1) {
        t.across = rows;
        t.down = cols;
        t.step = col;
    }
    return t;
}

static void touch(const ahead *t, int64_t share) {
    enum { LINE = 16 };
    int64_t lines = ratio_up(t->across, LINE), all = lines * t->down;
    if (all <= 0)
        return;
    for (int64_t l = all * share / t->n; l < all * (share + 1) / t->n; l++)
        __builtin_prefetch(t->at + l / lines * t->step + l % lines * LINE);
}

/* Where a thread is: rows i, columns j, terms q; a and b: its panels. */
typedef struct block {
    int64_t i, rows, j, columns, q, terms;
    const float *a, *b;
    ahead next_a, next_b;
    int64_t tile; /* of all with these panels of b */
    bool last;    /* terms of a whole sum */
} block;

/* Results i, j and on are complete. */
static void finish(const run *r, int64_t i, int64_t rows, int64_t j, int64_t columns) {
    const lvt_product *p = r->p;
    for (int n = 0; n < p->n_steps; n++) {
        lvt_tile_step s = p->steps[n];
        s.x = s.kind == LVT_TILE_ADD ? r->added[n] + i * s.row + j : NULL;
        p->code->finish(&s, r->y + i * p->y_row + j, p->y_row, rows, columns);
    }
}

/* A block of rows passes the panels of a block of columns. */
static void multiply(const run *r, const piece *w, block *k) {
    const lvt_product *p = r->p;
    const lvt_tile_code *c = p->code;
    size_t panel_a = panel_floats(p, p->height), panel_b = panel_floats(p, c->columns);
    int64_t across = ratio_up(k->columns, c->columns), share = 0;
    lvt_tile t = {.k = k->terms, .b_row = c->columns, .c_row = w->y_row, .flat = p->flat};
    t.add = k->q > w->k0;
    t.a_step = p->flat ? p->a_row : p->height;
    for (int64_t s = 0; s < across; s++) {
        int64_t j = k->j + s * c->columns;
        t.b = k->b + (size_t)s * panel_b;
        t.columns = least(c->columns, k->columns - s * c->columns);
        for (int64_t row = 0; row < k->rows; row += p->height) {
            int64_t i = k->i + row, height = least(p->height, k->rows - row);
            touch(&k->next_a, share++);
            touch(&k->next_b, k->tile++);
            t.a = p->flat ? w->a + i * p->a_row + k->q : k->a + (size_t)(row / p->height) * panel_a;
            t.c = w->y + i * w->y_row + j;
            t.next =
                row + height < k->rows ? t.c + height * w->y_row : w->y + k->i * w->y_row + j + c->columns;
            c->tile((int)height, &t);
            if (k->last)
                finish(r, i, height, j, t.columns);
        }
    }
}

static void panels(const run *r, const piece *w, float *scratch) {
    const lvt_product *p = r->p;
    const float *kept = r->b;
    float *b = scratch, *a = scratch + block_b(p);
    size_t panel = panel_floats(p, p->code->columns);
    block k = {.a = a, .q = w->k0};
    for (; k.q == w->k0 || k.q < w->k1; k.q += p->kc) {
        k.terms = least(p->kc, w->k1 - k.q);
        k.last = p->parts == 1 && k.q + k.terms == w->k1;
        for (k.j = w->n0; k.j < w->n1; k.j += p->nc) {
            k.columns = least(p->nc, w->n1 - k.j);
            k.b = b;
            if (p->packed)
                k.b = kept + panel * (size_t)(k.q / (p->kc ? p->kc : 1) * ratio_up(p->n, p->code->columns) +
                                              k.j / p->code->columns);
            else
                pack_b(p, w->b, k.j, k.columns, k.q, k.terms, b);
            bool last = k.j + p->nc >= w->n1;
            int64_t across = ratio_up(k.columns, p->code->columns), q = last ? k.q + p->kc : k.q,
                    j = last ? w->n0 : k.j + p->nc;
            k.next_b = (ahead){.n = 1};
            if (!p->packed)
                k.next_b = ahead_of(w->b, p->b_row, p->b_col, q, least(p->kc, w->k1 - q), j,
                                    least(p->nc, w->n1 - j), across * ratio_up(w->m1 - w->m0, p->height));
            k.tile = 0;
            for (k.i = w->m0; k.i < w->m1; k.i += p->mc) {
                k.rows = least(p->mc, w->m1 - k.i);
                if (!p->flat)
                    pack_a(p, w, k.i, k.rows, k.q, k.terms, a);
                bool low = k.i + p->mc >= w->m1; /* begins again above */
                int64_t i = low ? w->m0 : k.i + p->mc, terms = low ? q : k.q;
                k.next_a = ahead_of(w->a, p->a_row, p->a_col, i, least(p->mc, w->m1 - i), terms,
                                    least(p->kc, w->k1 - terms), across * ratio_up(k.rows, p->height));
                multiply(r, w, &k);
            }
        }
        if (p->kc == 0)
            break;
    }
}

static void few(const run *all, const piece *w) {
    const lvt_product *p = all->p;
    lvt_tile_rows r = {.m = p->m,
                       .n = w->n1 - w->n0,
                       .k = p->k,
                       .a_row = p->a_row,
                       .a_col = p->a_col,
                       .b_row = p->way == LVT_PRODUCT_DOTS ? p->b_col : p->b_row,
                       .y_row = p->y_row,
                       .a = w->a,
                       .b = w->b + w->n0 * p->b_col,
                       .y = w->y + w->n0};
    if (p->k == 0 || p->way == LVT_PRODUCT_DOTS)
        p->code->dots(&r);
    else
        p->code->stream(&r);
    finish(all, 0, p->m, w->n0, r.n);
}

/* Piece i of n of 0..size, in units. */
static int64_t cut(int64_t size, int64_t unit, int64_t i, int64_t n) {
    return least(ratio_up(size, unit) * i / n * unit, size);
}

static void chunk(void *user, int64_t number, int thread) {
    const run *r = user;
    const lvt_product *p = r->p;
    int64_t grid = p->rows_grid * p->columns_grid, place = number % grid, part = number / grid % p->parts,
            item = number / grid / p->parts, row = place / p->columns_grid, column = place % p->columns_grid;
    piece w = {.a = r->a, .b = r->b, .y = r->y, .y_row = p->y_row};
    for (int d = p->n_batch - 1; d >= 0; d--) {
        int64_t at = item % p->batch[d];
        w.a += at * p->a_batch[d];
        w.b += at * p->b_batch[d];
        w.y += at * p->y_batch[d];
        item /= p->batch[d];
    }
    int64_t unit = p->way == LVT_PRODUCT_PANELS && p->packed ? p->code->columns : p->code->lanes;
    w.m0 = cut(p->m, p->height, row, p->rows_grid);
    w.m1 = cut(p->m, p->height, row + 1, p->rows_grid);
    w.n0 = cut(p->n, unit, column, p->columns_grid);
    w.n1 = cut(p->n, unit, column + 1, p->columns_grid);
    w.k0 = cut(p->k, 4, part, p->parts);
    w.k1 = cut(p->k, 4, part + 1, p->parts);
    if (part) {
        w.y = r->sums + (size_t)((part - 1) * p->m * p->n);
        w.y_row = p->n;
    }
    if (p->way == LVT_PRODUCT_PANELS)
        panels(r, &w, r->scratch + (size_t)thread * of_thread(p));
    else
        few(r, &w);
}

enum { ROWS_ADDED = 16 };

static void add_parts(void *user, int64_t number, int thread) {
    const run *r = user;
    const lvt_product *p = r->p;
    (void)thread;
    for (int64_t i = number * ROWS_ADDED; i < p->m && i < (number + 1) * ROWS_ADDED; i++) {
        float *y = r->y + i * p->y_row;
        for (int64_t part = 0; part < p->parts - 1; part++)
            p->code->sum(y, r->sums + (size_t)((part * p->m + i) * p->n), p->n);
        finish(r, i, 1, 0, p->n);
    }
}

void lvt_product_run(const lvt_product *p, const float *a, const float *b, float *y,
                     const float *const *added, void *scratch) {
    run r = {p, a, b, y, scratch, NULL, added};
    if (p->m == 0 || p->n == 0)
        return;
    r.sums = r.scratch + (size_t)p->threads * of_thread(p);
    lvt_parallel(p->threads, p->items * p->parts * p->rows_grid * p->columns_grid, chunk, &r);
    if (p->parts > 1)
        lvt_parallel(p->threads, ratio_up(p->m, ROWS_ADDED), add_parts, &r);
}

/* ---- panels made once ---- */

size_t lvt_product_packed(const lvt_product *p) {
    int64_t blocks = p->kc ? ratio_up(p->k, p->kc) : 0, columns = ratio_up(p->n, p->code->columns);
    return sizeof(float) * panel_floats(p, p->code->columns) * (size_t)(blocks * columns);
}

static void pack_chunk(void *user, int64_t number, int thread) {
    const run *r = user;
    const lvt_product *p = r->p;
    int64_t columns = ratio_up(p->n, p->code->columns), q = number / columns * p->kc,
            j = number % columns * p->code->columns;
    (void)thread;
    pack_b(p, r->b, j, least(p->code->columns, p->n - j), q, least(p->kc, p->k - q),
           r->scratch + (size_t)number * panel_floats(p, p->code->columns));
}

void lvt_product_pack(const lvt_product *p, const float *b, float *to) {
    int64_t blocks = p->kc ? ratio_up(p->k, p->kc) : 0;
    run r = {.p = p, .b = b, .scratch = to};
    lvt_parallel(p->threads, blocks * ratio_up(p->n, p->code->columns), pack_chunk, &r);
}
