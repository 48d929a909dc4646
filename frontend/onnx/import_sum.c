/* Imported Einsum, and the other sums of products: Det of small matrices. May not know: files. */
#include "importer.h"
#include "ir/base/c_locale.h"

#include <string.h>

/* A tensor whose dims have letters. An ellipsis is digits, the last of its dims '9', so that they broadcast
 * from the end. */
typedef struct term {
    lvt_value v;
    char letters[LVT_MAX_RANK + 1];
} term;

static bool has(const char *letters, char c) {
    return c && strchr(letters, c) != NULL;
}

static void append(char *letters, char c) {
    size_t n = strlen(letters);
    letters[n] = c;
    letters[n + 1] = 0;
}

/* Letters of one operand or of the result; `rank` -1: not known, an ellipsis stands for `dots` dims. */
static bool read_letters(lvt_importer *im, const char **at, int rank, int *dots, char *out) {
    int n = 0, ellipsis = -1;
    for (; **at && **at != ',' && **at != '-'; (*at)++) {
        if (**at == ' ')
            continue;
        if (!strncmp(*at, "...", 3) && ellipsis < 0) {
            ellipsis = n;
            *at += 2;
        } else if (lvt_is_letter(**at) && n < LVT_MAX_RANK) {
            out[n++] = **at;
        } else {
            return lvt_im_no(im, "its equation cannot be read");
        }
    }
    out[n] = 0;
    int more = rank >= 0 ? rank - n : ellipsis >= 0 ? *dots : 0;
    if (more < 0 || (more > 0 && ellipsis < 0) || n + more > LVT_MAX_RANK)
        return lvt_im_no(im, "its equation does not fit its inputs");
    if (ellipsis >= 0) {
        memmove(out + ellipsis + more, out + ellipsis, (size_t)(n - ellipsis) + 1);
        for (int i = 0; i < more; i++)
            out[ellipsis + i] = (char)('9' - (more - 1 - i));
        *dots = more > *dots ? more : *dots;
    }
    return true;
}

/* A letter that is there twice: the diagonal. */
static bool diagonals(lvt_importer *im, term *t) {
    for (int i = 0; t->letters[i]; i++)
        for (int k = i + 1; t->letters[k]; k++) {
            lvt_type type = lvt_im_type(im, t->v), pair = {.dtype = LVT_I32, .rank = type.rank};
            if (t->letters[k] != t->letters[i])
                continue;
            if (type.dim[i] != type.dim[k])
                return lvt_im_no(im, "letter %c stands for two sizes", t->letters[i]);
            lvt_value at[2];
            for (int d = 0; d < type.rank; d++)
                pair.dim[d] = d == i || d == k ? type.dim[i] : 1;
            for (int e = 0; e < 2; e++)
                at[e] = lvt_im_iota(im, pair.rank, pair.dim, e ? k : i);
            lvt_value on = lvt_im2(im, LVT_OP_eq, at[0], at[1]);
            t->v = lvt_build_select(&im->b, on, t->v, lvt_im_number(im, t->v, 0));
            t->v = lvt_build_reduce(&im->b, LVT_OP_reduce_sum, t->v, 1, (int64_t[]){k}, false);
            memmove(t->letters + k, t->letters + k + 1, strlen(t->letters + k));
            k--;
        }
    return t->v != LVT_NONE;
}

/* Sums over the letters that nobody else has. */
static void sum_out(lvt_importer *im, term *t, const char *kept) {
    int64_t axes[LVT_MAX_RANK];
    int n = 0, left = 0;
    for (int i = 0; t->letters[i]; i++)
        if (!has(kept, t->letters[i]))
            axes[n++] = i;
    if (!n)
        return;
    t->v = lvt_build_reduce(&im->b, LVT_OP_reduce_sum, t->v, n, axes, false);
    for (int i = 0; t->letters[i]; i++)
        if (has(kept, t->letters[i]))
            t->letters[left++] = t->letters[i];
    t->letters[left] = 0;
}

/* Dims in the order of `letters`; 1 for letters that the term does not have. */
static lvt_value arranged(lvt_importer *im, const term *t, const char *letters) {
    lvt_type type = lvt_im_type(im, t->v), y = {0};
    int64_t order[LVT_MAX_RANK];
    int n = 0;
    for (int i = 0; letters[i]; i++) {
        const char *at = strchr(t->letters, letters[i]);
        y.dim[y.rank++] = at ? type.dim[at - t->letters] : 1;
        if (at)
            order[n++] = at - t->letters;
    }
    lvt_value v = n > 1 ? lvt_build_transpose(&im->b, t->v, order) : t->v;
    return lvt_build_reshape(&im->b, v, y.rank, y.dim);
}

static int64_t product(const lvt_type *t, int from, int to) {
    int64_t n = 1;
    for (int i = from; i < to; i++)
        n *= t->dim[i];
    return n;
}

/* Sum over the letters that both have and `kept` has not, as a product of matrices. */
static bool contract(lvt_importer *im, const term *a, const term *b, const char *kept, term *out) {
    char both[16] = "", left[16] = "", right[16] = "", inner[16] = "", order[32];
    for (const char *c = a->letters; *c; c++) {
        bool shared = has(b->letters, *c);
        char *to = shared ? (has(kept, *c) ? both : inner) : left;
        append(to, *c);
    }
    for (const char *c = b->letters; *c; c++)
        if (!has(a->letters, *c))
            append(right, *c);
    if (strlen(both) + strlen(left) + strlen(right) > LVT_MAX_RANK)
        return lvt_im_no(im, "it has more than %d letters at once", LVT_MAX_RANK);
    if (!*inner) { /* element by element, and outer products */
        strcpy(out->letters, both);
        strcat(strcat(out->letters, left), right);
        out->v = lvt_im2(im, LVT_OP_mul, arranged(im, a, out->letters), arranged(im, b, out->letters));
        return out->v != LVT_NONE;
    }
    int n = (int)strlen(both), l = (int)strlen(left), r = (int)strlen(right), k = (int)strlen(inner);
    strcat(strcat(strcpy(order, both), left), inner);
    lvt_value x = arranged(im, a, order);
    lvt_type xt = lvt_im_type(im, x), y = {0};
    strcat(strcat(strcpy(order, both), inner), right);
    lvt_value z = arranged(im, b, order);
    lvt_type zt = lvt_im_type(im, z);
    if (n + l + k > LVT_MAX_RANK || n + k + r > LVT_MAX_RANK || x == LVT_NONE || z == LVT_NONE)
        return lvt_im_no(im, "it has more than %d letters at once", LVT_MAX_RANK);
    for (int i = 0; i < n + k; i++) /* an ellipsis may have dims of 1 */
        if (xt.dim[i < n ? i : i + l] != zt.dim[i] && (i >= n || (xt.dim[i] != 1 && zt.dim[i] != 1)))
            return lvt_im_no(im, "a letter stands for two sizes");
    bool stretched = false;
    for (int i = 0; i < n; i++) {
        y.dim[y.rank++] = xt.dim[i] > zt.dim[i] ? xt.dim[i] : zt.dim[i];
        stretched |= xt.dim[i] != zt.dim[i];
    }
    if (stretched) {
        lvt_type wide = xt;
        memcpy(wide.dim, y.dim, (size_t)n * sizeof *y.dim);
        x = lvt_build_broadcast(&im->b, x, wide.rank, wide.dim);
        wide = zt;
        memcpy(wide.dim, y.dim, (size_t)n * sizeof *y.dim);
        z = lvt_build_broadcast(&im->b, z, wide.rank, wide.dim);
    }
    int64_t batch = product(&y, 0, n), rows = product(&xt, n, n + l), depth = product(&zt, n, n + k),
            columns = product(&zt, n + k, n + k + r);
    x = lvt_build_reshape(&im->b, x, 3, (int64_t[]){batch, rows, depth});
    z = lvt_build_reshape(&im->b, z, 3, (int64_t[]){batch, depth, columns});
    out->v = lvt_build_matmul(&im->b, x, z, false, false);
    for (int i = 0; i < l; i++)
        y.dim[y.rank++] = xt.dim[n + i];
    for (int i = 0; i < r; i++)
        y.dim[y.rank++] = zt.dim[n + k + i];
    out->v = lvt_build_reshape(&im->b, out->v, y.rank, y.dim);
    strcpy(out->letters, both);
    strcat(strcat(out->letters, left), right);
    return out->v != LVT_NONE;
}

static bool einsum(lvt_importer *im) {
    enum { MOST = 8 };
    term terms[MOST], now = {LVT_NONE, ""};
    char result[LVT_MAX_RANK + 1] = "", kept[(MOST + 2) * (LVT_MAX_RANK + 1) + 1];
    const char *at = lvt_im_string(im, "equation", "");
    size_t n = im->n->n_input;
    int dots = 0;
    if (n < 1 || n > MOST)
        return lvt_im_no(im, "1 to %d inputs are supported", MOST);
    for (size_t i = 0; i < n; i++) {
        terms[i].v = lvt_im_in(im, i);
        if (!read_letters(im, &at, lvt_im_type(im, terms[i].v).rank, &dots, terms[i].letters))
            return false;
        if (i + 1 < n && *at++ != ',')
            return lvt_im_no(im, "its equation names fewer inputs than it has");
        if (!lvt_dtype_is_float((lvt_dtype)lvt_im_type(im, terms[i].v).dtype))
            return lvt_im_no(im, "it is known for floats only");
    }
    if (!strncmp(at, "->", 2)) {
        at += 2;
        if (!read_letters(im, &at, -1, &dots, result))
            return false;
    } else { /* the ellipsis, then the letters that are there once, in order */
        int r = 0;
        for (int c = '0'; c <= 'z'; c++) {
            int times = 0;
            for (size_t i = 0; i < n; i++)
                for (const char *l = terms[i].letters; *l; l++)
                    times += *l == c;
            if (times == 1 || (times && c <= '9')) {
                if (r == LVT_MAX_RANK)
                    return lvt_im_no(im, "its result has more than %d dimensions", LVT_MAX_RANK);
                result[r++] = (char)c;
            }
        }
        result[r] = 0;
    }
    if (*at)
        return lvt_im_no(im, "its equation cannot be read");
    for (size_t i = 0; i < n; i++)
        if (!diagonals(im, &terms[i]))
            return false;
    for (size_t i = 0; i < n; i++) {
        char later[sizeof kept];
        strcpy(later, result);
        for (size_t k = i + 1; k < n; k++)
            strcat(later, terms[k].letters);
        sum_out(im, &terms[i], strcat(strcpy(kept, later), i ? now.letters : ""));
        if (i) {
            term next;
            sum_out(im, &now, strcat(strcpy(kept, later), terms[i].letters));
            if (!contract(im, &now, &terms[i], later, &next))
                return false;
            terms[i] = next;
        }
        now = terms[i];
    }
    sum_out(im, &now, result);
    for (const char *c = result; *c; c++)
        if (!has(now.letters, *c))
            return lvt_im_no(im, "letter %c of its result is in no input", *c);
    return lvt_im_out(im, arranged(im, &now, result));
}

/* By the first row, for matrices up to 4x4. */
static lvt_value determinant(lvt_importer *im, lvt_value x) {
    lvt_type t = lvt_im_type(im, x);
    int rank = t.rank;
    int64_t n = t.dim[rank - 1];
    lvt_value sum = LVT_NONE, top = lvt_build_slice(&im->b, x, rank - 2, 0, 1);
    if (n == 1)
        return x;
    lvt_value below = lvt_build_slice(&im->b, x, rank - 2, 1, n);
    for (int64_t c = 0; c < n; c++) {
        lvt_value parts[] = {c > 0 ? lvt_build_slice(&im->b, below, rank - 1, 0, c) : LVT_NONE,
                             c + 1 < n ? lvt_build_slice(&im->b, below, rank - 1, c + 1, n) : LVT_NONE};
        lvt_value minor = c == 0       ? parts[1]
                          : c + 1 == n ? parts[0]
                                       : lvt_build_concat(&im->b, 2, parts, rank - 1);
        if (minor == LVT_NONE)
            return LVT_NONE;
        lvt_value product =
            lvt_im2(im, LVT_OP_mul, lvt_build_slice(&im->b, top, rank - 1, c, c + 1), determinant(im, minor));
        sum = c ? lvt_im2(im, c % 2 ? LVT_OP_sub : LVT_OP_add, sum, product) : product;
    }
    return sum;
}

static bool det(lvt_importer *im) {
    lvt_value x = lvt_im_in(im, 0);
    lvt_type t = lvt_im_type(im, x);
    if (t.rank < 2 || t.dim[t.rank - 1] != t.dim[t.rank - 2] || t.dim[t.rank - 1] > 4)
        return lvt_im_no(im, "only square matrices up to 4x4 are supported");
    return lvt_im_out(im, lvt_build_reshape(&im->b, determinant(im, x), t.rank - 2, t.dim));
}

const lvt_im_row lvt_im_sums[] = {{"Einsum", einsum, 0}, {"Det", det, 0}, {0}};
