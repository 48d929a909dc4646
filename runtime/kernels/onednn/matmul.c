/* Matrix products on oneDNN: any strides, any broadcast of batch dims, brought to the form its fast kernels
 * take.
 *
 * What those want (found with ONEDNN_VERBOSE=1 on AVX-512 machines): unit stride along one of the last two
 * dims of each operand, unit stride along the last dim of the result (else a reference loop runs, thousands
 * of times slower), and few batch dims. So batch dims fold into rows or columns where strides allow, the
 * product is transposed as a whole when the result is column-major, and what still does not fit is packed
 * into scratch. May not know: where the strides come from. */
#include "api.h"

#include <stdlib.h>
#include <string.h>

enum { A, B, Y, N_MATRICES };

typedef struct matrix { /* rows x columns, with one stride a batch dim, 0 where it is broadcast */
    int64_t row, col, batch[LVT_MAX_RANK];
    lvt_at at;
    dnnl_data_type_t type;
    size_t size;
} matrix;

typedef struct product {
    int64_t m, n, k;
    int n_batch;
    int64_t batch[LVT_MAX_RANK];
    matrix x[N_MATRICES];
    lvt_tail *tail;
} product;

static void drop_batch(product *p, int d) {
    p->n_batch--;
    memmove(&p->batch[d], &p->batch[d + 1], (size_t)(p->n_batch - d) * sizeof *p->batch);
    for (int i = 0; i < N_MATRICES; i++)
        memmove(&p->x[i].batch[d], &p->x[i].batch[d + 1], (size_t)(p->n_batch - d) * sizeof *p->batch);
}

/* Batch dim d becomes part of the rows: all images times the same weights is one product. */
static bool fold_rows(product *p, int d) {
    matrix *a = &p->x[A], *y = &p->x[Y];
    if (p->x[B].batch[d] != 0 || a->batch[d] == 0)
        return false;
    if (p->m == 1) {
        a->row = a->batch[d];
        y->row = y->batch[d];
    } else if (a->batch[d] != p->m * a->row || y->batch[d] != p->m * y->row) {
        return false;
    }
    p->m *= p->batch[d];
    drop_batch(p, d);
    return true;
}

static bool fold_columns(product *p, int d) {
    matrix *b = &p->x[B], *y = &p->x[Y];
    if (p->x[A].batch[d] != 0 || b->batch[d] == 0)
        return false;
    if (p->n == 1) {
        b->col = b->batch[d];
        y->col = y->batch[d];
    } else if (b->batch[d] != p->n * b->col || y->batch[d] != p->n * y->col) {
        return false;
    }
    p->n *= p->batch[d];
    drop_batch(p, d);
    return true;
}

/* Batch dims d and e become one when stepping through e ends where the next of d begins, for all three. */
static bool merge(product *p, int d, int e) {
    for (int i = 0; i < N_MATRICES; i++) {
        if (p->x[i].batch[d] != p->batch[e] * p->x[i].batch[e])
            return false;
    }
    p->batch[e] *= p->batch[d];
    drop_batch(p, d);
    return true;
}

static void simplify(product *p) {
    for (int d = p->n_batch - 1; d >= 0; d--) {
        if (p->batch[d] == 1)
            drop_batch(p, d);
    }
    for (bool again = true; again;) {
        again = false;
        for (int d = p->n_batch - 1; d >= 0 && !again; d--) {
            again = fold_rows(p, d) || fold_columns(p, d);
            for (int e = p->n_batch - 1; e >= 0 && !again; e--)
                again = d != e && merge(p, d, e);
        }
    }
}

/* Y^T = B^T A^T. */
static void transpose(product *p) {
    matrix a = p->x[A];
    p->x[A] = p->x[B];
    p->x[B] = a;
    for (int i = 0; i < N_MATRICES; i++) {
        int64_t row = p->x[i].row;
        p->x[i].row = p->x[i].col;
        p->x[i].col = row;
    }
    int64_t m = p->m;
    p->m = p->n;
    p->n = m;
}

static void extents(const product *p, int i, int64_t *rows, int64_t *cols) {
    *rows = i == B ? p->k : p->m;
    *cols = i == A ? p->k : p->n;
}

/* The stride of a dim of size 1 means nothing to us but something to oneDNN's checks. */
static void tidy_strides(product *p) {
    for (int i = 0; i < N_MATRICES; i++) {
        matrix *x = &p->x[i];
        int64_t rows, cols;
        extents(p, i, &rows, &cols);
        if (cols == 1)
            x->col = rows == 1 || x->row >= 1 ? 1 : x->row;
        if (rows == 1)
            x->row = cols * x->col;
    }
}

static bool fits(const product *p, int i) {
    const matrix *x = &p->x[i];
    int64_t rows, cols;
    extents(p, i, &rows, &cols);
    if (x->col == 1 && (rows == 1 || x->row >= cols))
        return true;
    return i != Y && x->row == 1 && (cols == 1 || x->col >= rows);
}

static bool dense(const product *p, int i) {
    const matrix *x = &p->x[i];
    int64_t rows, cols;
    extents(p, i, &rows, &cols);
    int64_t step = rows * cols;
    bool yes = (cols == 1 || x->col == 1) && (rows == 1 || x->row == cols);
    for (int d = p->n_batch - 1; d >= 0; d--) {
        yes = yes && x->batch[d] == step;
        step *= p->batch[d];
    }
    return yes;
}

/* oneDNN 3.7.2 computes wrong numbers from and into some matrices with gaps or permuted dims: results of one
 * column, and anything with two batch dims (half of the heads stay 0). */
static bool trusted(const product *p, int i) {
    return LVT_ONEDNN_ANY_STRIDES || dense(p, i) || (p->n_batch < 2 && (i != Y || p->n > 1));
}

static lvt_md describe(const product *p, int i, bool packed) {
    const matrix *x = &p->x[i];
    int64_t dims[LVT_MAX_RANK], strides[LVT_MAX_RANK], rows, cols;
    extents(p, i, &rows, &cols);
    int nb = p->n_batch;
    for (int d = 0; d < nb; d++) {
        bool spread = x->batch[d] == 0;
        dims[d] = spread ? 1 : p->batch[d];
        strides[d] = x->batch[d];
    }
    dims[nb] = rows;
    dims[nb + 1] = cols;
    strides[nb] = x->row;
    strides[nb + 1] = x->col;
    int64_t step = 1;
    for (int d = nb + 1; d >= 0; d--) {
        if (packed || (d < nb && x->batch[d] == 0))
            strides[d] = packed ? step : rows * cols;
        step *= dims[d];
    }
    return lvt_md_strided(nb + 2, dims, x->type, strides);
}

/* B as the primitive likes it best. */
static lvt_md describe_any(const product *p, int i) {
    int64_t dims[LVT_MAX_RANK], rows, cols;
    extents(p, i, &rows, &cols);
    for (int d = 0; d < p->n_batch; d++)
        dims[d] = p->x[i].batch[d] == 0 ? 1 : p->batch[d];
    dims[p->n_batch] = rows;
    dims[p->n_batch + 1] = cols;
    return lvt_md_any(p->n_batch + 2, dims, p->x[i].type);
}

typedef struct form { /* one way to compute it: which matrices are packed */
    lvt_md strided[N_MATRICES], used[N_MATRICES];
    bool packed[N_MATRICES];
    bool any; /* B in the primitive's own layout: used[B] was only a question */
    dnnl_primitive_desc_t pd;
} form;

static void form_free(form *f) {
    for (int i = 0; i < N_MATRICES; i++) {
        lvt_md_free(f->strided[i]);
        lvt_md_free(f->used[i]);
    }
    if (f->pd)
        dnnl_primitive_desc_destroy(f->pd);
    *f = (form){0};
}

static dnnl_status_t form_make(lvt_onednn *c, const product *p, unsigned pack, bool any, form *f) {
    *f = (form){.any = any};
    for (int i = 0; i < N_MATRICES; i++) {
        f->packed[i] = pack >> i & 1;
        f->strided[i] = describe(p, i, false);
        f->used[i] = any && i == B ? describe_any(p, i) : describe(p, i, f->packed[i]);
        if (!f->strided[i] || !f->used[i]) {
            form_free(f);
            return dnnl_invalid_arguments;
        }
    }
    dnnl_status_t status =
        lvt_pd_matmul(c, f->used[A], f->used[B], p->tail->bias, f->used[Y], p->tail->attr, &f->pd);
    if (status != dnnl_success) {
        f->pd = NULL;
        form_free(f);
    }
    return status;
}

/* The first form with a fast kernel, packing as little as possible; else any that works at all. prefer_any: B
 * in the primitive's own layout first. */
static dnnl_status_t choose(lvt_onednn *c, const product *p, bool prefer_any, form *best) {
    static const unsigned order[] = {
        0, 1u << A, 1u << B, 1u << Y, 1u << A | 1u << B, 1u << A | 1u << Y, 1u << B | 1u << Y, 7};
    unsigned must = 0;
    for (int i = 0; i < N_MATRICES; i++)
        must |= (unsigned)!(fits(p, i) && trusted(p, i)) << i;
    dnnl_status_t status = dnnl_unimplemented;
    *best = (form){0};
    for (size_t i = 0; prefer_any && i < sizeof order / sizeof *order; i++) {
        if (!(order[i] & 1u << B) || (order[i] & (must | 1u << B)) != (must | 1u << B) ||
            form_make(c, p, order[i], true, best) != dnnl_success)
            continue;
        if (!lvt_pd_is_reference(best->pd))
            return dnnl_success;
        form_free(best);
    }
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        form f;
        if ((order[i] & must) != must)
            continue;
        dnnl_status_t made = form_make(c, p, order[i], false, &f);
        if (made != dnnl_success) {
            status = best->pd ? dnnl_success : made;
            continue;
        }
        status = dnnl_success;
        if (!lvt_pd_is_reference(f.pd)) {
            form_free(best);
            *best = f;
            break;
        }
        if (best->pd)
            form_free(&f);
        else
            *best = f;
    }
    return best->pd ? dnnl_success : status;
}

static void read_operand(matrix *x, const lvt_view *v, bool flip, const lvt_type *result, lvt_at at) {
    int r = v->type.rank, batch = result->rank - 2;
    x->row = v->strides[flip ? r - 1 : r - 2];
    x->col = v->strides[flip ? r - 2 : r - 1];
    for (int d = 0; d < batch; d++) {
        int mine = d - (batch - (r - 2)); /* batch dims line up at the right */
        x->batch[d] = mine < 0 || v->type.dim[mine] == 1 ? 0 : v->strides[mine];
    }
    x->at = at;
    x->type = lvt_onednn_dtype(v->type.dtype);
    x->size = lvt_dtype_size((lvt_dtype)v->type.dtype);
}

/* A part of the rows can be computed without the others. */
static bool can_split(const product *p, int threads) {
    enum { LEAST_ROWS = 64 };
    bool ok = p->n_batch == 0 && threads > 1 && p->m >= (int64_t)threads * LEAST_ROWS;
    for (int i = 0; i < N_MATRICES; i++)
        ok = ok && fits(p, i) && trusted(p, i);
    return ok;
}

/* Gradients of weights, A transposed and long: where oneDNN copies all of A before it begins. */
static bool splits(const product *p, int threads) {
    enum { LEAST_INNER = 128 };
    return can_split(p, threads) && p->k >= LEAST_INNER && p->x[A].row == 1 && p->x[A].col > 1 &&
           p->x[B].col == 1 && p->x[Y].col == 1;
}

/* Each thread computes its rows by a primitive of its own, from and into parts of the matrices. */
static dnnl_status_t split(lvt_onednn_kernel *k, const product *whole, int threads) {
    enum { ROUND = 16 }; /* rows: a register's worth */
    dnnl_status_t status = lvt_pieces_begin(k, threads);
    lvt_team_settings team = lvt_team(1);
    for (int t = 0; t < threads && status == dnnl_success; t++) {
        int64_t units = (whole->m + ROUND - 1) / ROUND;
        int64_t begin = units * t / threads * ROUND, end = units * (t + 1) / threads * ROUND;
        product p = *whole;
        form f;
        p.m = (end < whole->m ? end : whole->m) - begin;
        p.x[A].at.offset = (size_t)(begin * p.x[A].row) * p.x[A].size;
        p.x[Y].at.offset = (size_t)(begin * p.x[Y].row) * p.x[Y].size;
        status = form_make(k->context, &p, 0, false, &f);
        if (status != dnnl_success)
            break;
        status = lvt_pd_is_reference(f.pd)
                     ? dnnl_unimplemented
                     : lvt_piece_add(k, f.pd, 3, (const int[]){DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
                                     (const lvt_md_ref[]){f.used[A], f.used[B], f.used[Y]},
                                     (const lvt_at[]){p.x[A].at, p.x[B].at, p.x[Y].at});
        form_free(&f);
    }
    lvt_team_restore(team);
    return status;
}

/* ---- without oneDNN ---- */

/* What is done to results; false: not by us. */
static bool own_steps(lvt_onednn_kernel *k, const product *p) {
    static const struct {
        lvt_op op;
        lvt_tile_kind kind;
    } known[] = {{LVT_OP_gelu, LVT_TILE_GELU},
                 {LVT_OP_tanh, LVT_TILE_TANH},
                 {LVT_OP_sigmoid, LVT_TILE_SIGMOID},
                 {LVT_OP_silu, LVT_TILE_SILU}};
    const lvt_epilogue *e = &p->tail->form;
    lvt_product *own = &k->own;
    own->n_steps = e->n;
    for (int i = 0; i < e->n; i++) {
        lvt_tile_step *s = &own->steps[i];
        size_t row = 0;
        bool adds = e->step[i].kind != LVT_EPILOGUE_ACTIVATION;
        while (!adds && row < sizeof known / sizeof *known && known[row].op != e->step[i].op)
            row++;
        if (row == sizeof known / sizeof *known)
            return false;
        *s = (lvt_tile_step){.kind = adds ? LVT_TILE_ADD : known[row].kind};
        s->row = e->step[i].kind == LVT_EPILOGUE_ADD ? p->n : 0;
        k->own_added[i] = adds ? e->step[i].operand : 0;
    }
    return !e->n || !p->n_batch;
}

/* Makes the kernel one of ours; false: it does not fit, and k is as it was. steady: the second matrix is copied
 * to panels when the kernel is prepared. */
static bool own_product(lvt_onednn_kernel *k, const product *p, int threads, bool steady) {
    const matrix *a = &p->x[A], *b = &p->x[B], *y = &p->x[Y];
    lvt_product *own = &k->own;
    *own = (lvt_product){.m = p->m,
                         .n = p->n,
                         .k = p->k,
                         .a_row = a->row,
                         .a_col = a->col,
                         .b_row = b->row,
                         .b_col = b->col,
                         .y_row = y->row,
                         .n_batch = p->n_batch,
                         .threads = threads,
                         .packed = steady && !p->n_batch};
    for (int d = 0; d < p->n_batch; d++) {
        own->batch[d] = p->batch[d];
        own->a_batch[d] = a->batch[d];
        own->b_batch[d] = b->batch[d];
        own->y_batch[d] = y->batch[d];
    }
    bool fits = (y->col == 1 || p->n == 1) && p->m && own_steps(k, p) && lvt_product_plan(own);
    for (int i = 0; i < N_MATRICES; i++) {
        fits = fits && p->x[i].type == dnnl_f32;
        k->own_at[i] = p->x[i].at;
    }
    if (!fits) {
        *own = (lvt_product){.m = 0};
        return false;
    }
    k->scratch = lvt_product_scratch(own);
    k->kept = own->packed ? lvt_product_packed(own) : 0;
    return true;
}

/* Where ours are the faster ones, by vector code and shape: by the mean of the runs of bench_product
 * (tests/bench/RESULTS.md). On AVX-512 large products differ by 5% in either direction with the machine's mood,
 * so they stay where they are. Shapes outside are oneDNN's, unless it has nothing but reference loops. A
 * program's bits follow from its shapes and the kind of processor alone, so no number of threads, and no time,
 * is asked here. */
static bool ours_is_faster(const product *p) {
    enum { ANY = INT32_MAX };
    static const struct {
        int lanes;
        bool a_turned, only_b_turned;
        int64_t m[2], n, k; /* from, to; from */
    } table[] = {
        {8, false, false, {64, ANY}, 64, 64}, /* A B and A B^T */
        {8, true, false, {256, ANY}, 256, 512},
        {16, false, true, {1, 1}, 512, 512},
    };
    const matrix *a = &p->x[A], *b = &p->x[B];
    bool a_turned = a->col != 1, b_turned = b->col != 1;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (table[i].lanes == lvt_tile_code_host()->lanes && table[i].a_turned == a_turned && !p->n_batch &&
            (b_turned || !table[i].only_b_turned) && !(a_turned && b_turned) && p->m >= table[i].m[0] &&
            p->m <= table[i].m[1] && p->n >= table[i].n && p->k >= table[i].k)
            return true;
    }
    return false;
}

dnnl_status_t lvt_onednn_matmul(lvt_onednn_kernel *k, const lvt_kernel_request *r, lvt_tail *t) {
    const lvt_node *node = t->form.product;
    bool flip_a = lvt_attr_get(node, "transpose_a")->i, flip_b = lvt_attr_get(node, "transpose_b")->i;
    const lvt_type *a = &r->operands[0].type, *y = &r->results[0].type;
    if (a->rank < 2 || r->operands[1].type.rank < 2)
        return dnnl_unimplemented;
    product p = {.m = y->dim[y->rank - 2], .n = y->dim[y->rank - 1], .n_batch = y->rank - 2, .tail = t};
    p.k = a->dim[flip_a ? a->rank - 2 : a->rank - 1];
    for (int d = 0; d < p.n_batch; d++)
        p.batch[d] = y->dim[d];
    read_operand(&p.x[A], &r->operands[0], flip_a, y, (lvt_at){LVT_AT_OPERAND, 0, 0});
    read_operand(&p.x[B], &r->operands[1], flip_b, y, (lvt_at){LVT_AT_OPERAND, 1, 0});
    read_operand(&p.x[Y], &r->results[0], false, y, (lvt_at){LVT_AT_RESULT, 0, 0});
    for (int i = 0; i < N_MATRICES; i++) {
        if (p.x[i].type == dnnl_data_type_undef)
            return dnnl_unimplemented;
    }
    simplify(&p);
    if (p.x[Y].col != 1 && p.n != 1 && (p.x[Y].row == 1 || p.m == 1))
        transpose(&p);
    tidy_strides(&p);
    dnnl_status_t status;
    bool steady = lvt_at_steady(r, p.x[B].at);
    if (r->variant == LVT_VARIANT_OWN_PRODUCT && own_product(k, &p, r->threads, steady)) {
        k->base.variant = LVT_VARIANT_OWN_PRODUCT;
        return dnnl_success;
    }
    if (r->variant == LVT_VARIANT_STANDARD && !steady && ours_is_faster(&p) &&
        own_product(k, &p, r->threads, false))
        return dnnl_success;
    bool usual = !t->form.n && splits(&p, r->threads) && !steady;
    if (r->variant == LVT_VARIANT_SPLIT ? !t->form.n && can_split(&p, r->threads)
                                        : usual && r->variant == LVT_VARIANT_STANDARD) {
        status = split(k, &p, r->threads);
        if (status == dnnl_success)
            k->base.variant = usual ? LVT_VARIANT_STANDARD : LVT_VARIANT_SPLIT;
        if (status == dnnl_success || status == dnnl_out_of_memory)
            return status;
        lvt_pieces_drop(k);
        usual = false;
    }
    if (r->variant == LVT_VARIANT_WHOLE && usual)
        k->base.variant = LVT_VARIANT_WHOLE;

    lvt_md added = NULL; /* what a tail adds lies as the result does, packed */
    if (t->form.n) {
        added = describe(&p, Y, true);
        status = added ? lvt_tail_make(t, added, 2, 1, p.n) : dnnl_out_of_memory;
        if (status != dnnl_success) {
            lvt_md_free(added);
            return status;
        }
    }
    form f;
    status = choose(k->context, &p, steady || r->variant == LVT_VARIANT_PACKED, &f);
    if ((status == dnnl_unimplemented || (status == dnnl_success && lvt_pd_is_reference(f.pd))) &&
        own_product(k, &p, r->threads, steady)) {
        form_free(&f);
        lvt_md_free(added);
        return dnnl_success;
    }
    if (status != dnnl_success) {
        lvt_md_free(added);
        return status;
    }
    lvt_at at[LVT_MAX_ARGS];
    int arg[LVT_MAX_ARGS] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};
    lvt_md_ref used[LVT_MAX_ARGS] = {f.used[A], f.used[B], f.used[Y]};
    if (f.any) {
        used[B] = dnnl_primitive_desc_query_md(f.pd, dnnl_query_weights_md, 0);
        f.packed[B] = !dnnl_memory_desc_equal(used[B], f.strided[B]);
        if (r->variant == LVT_VARIANT_PACKED && f.packed[B] && !steady)
            k->base.variant = LVT_VARIANT_PACKED;
    }
    for (int i = 0; i < N_MATRICES; i++)
        at[i] = f.packed[i] ? lvt_packed_at(k, r, p.x[i].at, dnnl_memory_desc_get_size(used[i])) : p.x[i].at;
    for (int i = A; i <= B && status == dnnl_success; i++) {
        if (f.packed[i])
            status = lvt_call_reorder(k, f.strided[i], p.x[i].at, used[i], at[i]);
    }
    if (status == dnnl_success) {
        int n = lvt_tail_args(t, added, N_MATRICES, arg, used, at);
        status = lvt_call_add(k, f.pd, n, arg, used, at);
    }
    if (status == dnnl_success && f.packed[Y])
        status = lvt_call_reorder(k, used[Y], at[Y], f.strided[Y], p.x[Y].at);
    form_free(&f);
    lvt_md_free(added);
    return status;
}
