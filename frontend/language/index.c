/* Indexing: one place of a list, any dims of a tensor.
 *
 * Invariants: negative numbers count from the end, ends may be open, nothing out of range is clamped; a
 * number drops its dim, a range keeps it; a whole dim makes no node. May not know: how anything else is
 * evaluated. */
#include "elab.h"

/* One place of an index, evaluated: elements from, from + step, ... before to (after it where step is
 * negative, of lists). */
typedef struct piece {
    int64_t from, to, step;
    bool drop;  /* a single number */
    bool whole; /* the dim as it is */
} piece;

/* "the list has 3 items", "dimension 1 has size 3". */
static const char *extent(frame *f, int dim, int64_t size) {
    const char *text =
        dim < 0 ? lvt_arena_printf(f->e->arena, "there are %lld items", (long long)size)
                : lvt_arena_printf(f->e->arena, "dimension %d has size %lld", dim, (long long)size);
    return text ? text : "";
}

/* A whole number; false after an error. */
static bool number(frame *f, const ast_expr *x, int64_t *out) {
    value v = lvt_lang_eval(f, x);
    if (is_poison(v))
        return false;
    if (v.kind != VALUE_INT) {
        lvt_lang_fail(f, SPOT(x), "E225", "an index is a whole number, not %s%s",
                      lvt_lang_value_describe(f->e, v),
                      v.kind == VALUE_TENSOR ? "; gather(x, index, axis = 0) takes what a tensor says" : "");
        return false;
    }
    *out = v.i;
    return true;
}

/* dim: of a tensor; -1: of a list. */
static bool piece_of(frame *f, const ast_part *p, int dim, int64_t size, piece *out) {
    spot at = {p->line, p->col};
    *out = (piece){.to = size, .step = 1, .drop = p->kind == PART_AT};
    out->whole = p->kind == PART_RANGE && !p->from && !p->to && !p->step;
    if (out->drop) {
        if (!number(f, p->from, &out->from))
            return false;
        int64_t i = out->from < 0 ? out->from + size : out->from;
        if (i < 0 || i >= size) {
            lvt_lang_fail(f, SPOT(p->from), "E226", "index %lld is out of range: %s", (long long)out->from,
                          extent(f, dim, size));
            return false;
        }
        out->from = i;
        out->to = i + 1;
        return true;
    }
    if (p->step && !number(f, p->step, &out->step))
        return false;
    if (out->step == 0 || (dim >= 0 && out->step < 0)) {
        lvt_lang_fail(f, SPOT(p->step), "E226",
                      dim < 0 ? "a step cannot be 0" : "a step is a whole number from 1");
        return false;
    }
    bool back = out->step < 0;
    out->from = back ? size - 1 : 0;
    out->to = back ? -1 : size;
    if ((p->from && !number(f, p->from, &out->from)) || (p->to && !number(f, p->to, &out->to)))
        return false;
    if (p->from && out->from < 0)
        out->from += size;
    if (p->to && out->to < 0)
        out->to += size;
    bool inside = back ? out->from < size && out->from >= -1 && out->to >= -1 && out->to <= out->from
                       : out->from >= 0 && out->to <= size && out->from <= out->to;
    if (inside && (dim < 0 || out->from < out->to))
        return true;
    if (inside)
        lvt_lang_fail(f, at, "E226", "the slice [%lld:%lld] is empty, and a tensor has no dimension of 0",
                      (long long)out->from, (long long)out->to);
    else
        lvt_lang_fail(f, at, "E226", "slice out of range: [%lld:%lld], but %s", (long long)out->from,
                      (long long)out->to, extent(f, dim, size));
    return false;
}

static value of_list(frame *f, value a, const ast_expr *x) {
    elab *e = f->e;
    piece p;
    if (x->n_parts != 1 || x->parts[0].kind == PART_REST)
        return lvt_lang_fail(f, SPOT(x), "E225", "a list has one dimension: a[2] or a[1:3]");
    if (!piece_of(f, &x->parts[0], -1, a.n, &p))
        return (value){.kind = VALUE_POISON};
    if (p.drop)
        return a.items[p.from];
    if (p.step == 1)
        return (value){.kind = VALUE_LIST, .n = (uint32_t)(p.to - p.from), .items = a.items + p.from};
    value *items = lvt_lang_room(e, a.n * sizeof *items);
    uint32_t n = 0;
    for (int64_t i = p.from; items && (p.step > 0 ? i < p.to : i > p.to); i += p.step) {
        items[n++] = a.items[i];
        if (p.step > 0 ? p.step > p.to - i : p.step < p.to - i)
            break; /* the next would be past the end, however large the step */
    }
    return items ? (value){.kind = VALUE_LIST, .n = n, .items = items} : lvt_lang_out_of_memory(e);
}

static value of_tensor(frame *f, value a, const ast_expr *x) {
    elab *e = f->e;
    lvt_type type = *lvt_lang_type_of(f, a), kept = {.dtype = type.dtype};
    spot at = SPOT(x);
    uint32_t named = 0, rest = 0;
    for (uint32_t i = 0; i < x->n_parts; i++) {
        named += x->parts[i].kind != PART_REST;
        rest += x->parts[i].kind == PART_REST;
    }
    if (named > type.rank || rest > 1)
        return lvt_lang_fail(f, at, "E225",
                             rest > 1 ? "'...' stands for all dimensions that are not named: once"
                                      : "%u indices are too many: the tensor is %s",
                             named, lvt_lang_value_describe(e, a));
    piece pieces[LVT_MAX_RANK];
    int dim = 0;
    for (uint32_t i = 0; i < x->n_parts; i++) {
        if (x->parts[i].kind == PART_REST) {
            for (uint32_t k = named; k < type.rank; k++)
                pieces[dim++] = (piece){.whole = true};
        } else {
            if (!piece_of(f, &x->parts[i], dim, type.dim[dim], &pieces[dim]))
                return (value){.kind = VALUE_POISON};
            dim++;
        }
    }
    while (dim < type.rank)
        pieces[dim++] = (piece){.whole = true};
    lvt_value v = a.tensor.v;
    bool drop = false, same = true;
    lvt_lang_build_begin(f, at);
    for (int i = 0; i < type.rank; i++) {
        const piece *p = &pieces[i];
        int64_t size = p->whole ? type.dim[i] : (p->to - p->from - 1) / p->step + 1;
        drop |= !p->whole && p->drop;
        same &= p->whole;
        if (p->whole || !p->drop)
            kept.dim[kept.rank++] = size;
        if (p->whole)
            continue;
        lvt_named_attr attrs[] = {{"axis", lvt_attr_int(i)},
                                  {"begin", lvt_attr_int(p->from)},
                                  {"end", lvt_attr_int(p->to)},
                                  {"step", lvt_attr_int(p->step)}};
        v = v == LVT_NONE ? v : lvt_build(&e->b, LVT_OP_slice, 1, &v, 4, attrs);
    }
    if (same)
        return a;
    if (drop && v != LVT_NONE)
        v = lvt_build_reshape(&e->b, v, kept.rank, kept.dim);
    return lvt_lang_build_end(f, v, at);
}

value lvt_lang_index_value(frame *f, const ast_expr *x) {
    value a = lvt_lang_eval(f, x->a);
    if (is_poison(a))
        return a;
    if (is_list(a))
        return of_list(f, a, x);
    if (a.kind == VALUE_TENSOR && lvt_lang_type_of(f, a)->rank > 0)
        return of_tensor(f, a, x);
    return lvt_lang_fail(f, SPOT(x), "E225", "%s cannot be indexed", lvt_lang_value_describe(f->e, a));
}
