/* What emitters share: shapes and numbers as the file has them, values in either order of dimensions. May not
 * know: single ops. */
#include "emit.h"
#include "ir/interp.h"

#include <stdlib.h>
#include <string.h>

/* ---- shapes ---- */

lvt_shape2 lvt_emit_shape(const lvt_emitter *e, lvt_value v) {
    return (lvt_shape2){*lvt_value_type(e->g, v), *lvt_value_type(e->h, v)};
}

bool lvt_shape2_equal(const lvt_shape2 *x, const lvt_shape2 *y) {
    return lvt_shape_equal(&x->a, &y->a) && lvt_shape_equal(&x->b, &y->b);
}

bool lvt_shape2_fixed(const lvt_shape2 *x) {
    return lvt_shape_equal(&x->a, &x->b);
}

static const char *batch(lvt_emitter *e) {
    if (!e->batch) {
        const char *in[] = {lvt_onnx_node(&e->w, "batch", "Shape", 1, &e->batch_input),
                            lvt_onnx_int64s(&e->w, 1, (int64_t[]){0}),
                            lvt_onnx_int64s(&e->w, 1, (int64_t[]){1})};
        e->batch = lvt_onnx_node(&e->w, "batch", "Slice", 3, in);
    }
    return e->batch;
}

const char *lvt_emit_dims(lvt_emitter *e, const lvt_shape2 *s) {
    const char *parts[LVT_MAX_RANK + 1];
    if (lvt_shape2_fixed(s))
        return lvt_onnx_int64s(&e->w, s->a.rank, s->a.dim);
    for (int i = 0; i < s->a.rank; i++) {
        int64_t times = s->a.dim[i] / e->batch_a;
        if (s->a.dim[i] == s->b.dim[i])
            parts[i] = lvt_onnx_int64s(&e->w, 1, &s->a.dim[i]);
        else if (times == 1)
            parts[i] = batch(e);
        else
            parts[i] = lvt_emit2(e, "Mul", batch(e), lvt_onnx_int64s(&e->w, 1, &times));
    }
    lvt_onnx_int(&e->w, "axis", 0);
    return lvt_onnx_node(&e->w, e->scope, "Concat", s->a.rank, parts);
}

/* As target of Reshape: one dim that grows with the batch is -1. */
const char *lvt_emit_reshape_target(lvt_emitter *e, const lvt_shape2 *s) {
    int64_t dims[LVT_MAX_RANK];
    int grow = 0;
    for (int i = 0; i < s->a.rank; i++) {
        bool same = s->a.dim[i] == s->b.dim[i];
        dims[i] = same ? s->a.dim[i] : -1;
        grow += !same;
    }
    return grow > 1 ? lvt_emit_dims(e, s) : lvt_onnx_int64s(&e->w, s->a.rank, dims);
}

/* ---- numbers ---- */

const char *lvt_emit_doubles(lvt_emitter *e, const char *wanted, const lvt_type *t, const double *x) {
    size_t bytes = lvt_type_bytes(t);
    void *packed = lvt_onnx_alloc(&e->w, bytes);
    const char *name = lvt_onnx_name(&e->w, lvt_onnx_text(&e->w, "%s%s", e->w.prefix, wanted));
    if (packed) {
        lvt_tensor_store(&(lvt_tensor){*t, (double *)x}, packed);
        lvt_onnx_tensor(&e->w, name, lvt_onnx_type((lvt_dtype)t->dtype), t->rank, t->dim, packed, bytes);
    }
    return name;
}

const char *lvt_emit_number(lvt_emitter *e, lvt_dtype dtype, double x) {
    return lvt_onnx_number(&e->w, dtype, x);
}

/* ---- values ---- */

const char *lvt_emit1(lvt_emitter *e, const char *op, const char *a) {
    return lvt_onnx_node(&e->w, e->scope, op, 1, &a);
}

const char *lvt_emit2(lvt_emitter *e, const char *op, const char *a, const char *b) {
    return lvt_onnx_node(&e->w, e->scope, op, 2, (const char *[]){a, b});
}

const char *lvt_emit_transpose(lvt_emitter *e, const char *x, int rank, const int64_t *order) {
    lvt_onnx_ints(&e->w, "perm", (size_t)rank, order);
    return lvt_emit1(e, "Transpose", x);
}

void lvt_emit_set(lvt_emitter *e, lvt_value v, const char *name) {
    e->values[v].form[0] = name;
    e->values[v].have = lvt_emit_shape(e, v);
}

void lvt_emit_set_nchw(lvt_emitter *e, lvt_value v, const char *name) {
    e->values[v].form[1] = name;
    e->values[v].have = lvt_emit_shape(e, v);
}

const char *lvt_emit_use(lvt_emitter *e, lvt_value v) {
    lvt_onnx_value *x = &e->values[v];
    if (!x->form[0] && x->known)
        x->form[0] = x->have.a.rank == 0
                         ? lvt_emit_number(e, (lvt_dtype)x->have.a.dtype, x->known[0])
                         : lvt_emit_doubles(e,
                                            x->label ? x->label
                                                     : lvt_onnx_text(&e->w, "%s%sconstant", x->scope,
                                                                     *x->scope ? "/" : ""),
                                            &x->have.a, x->known);
    else if (!x->form[0] && x->form[1])
        x->form[0] = lvt_emit_transpose(e, x->form[1], 4, (int64_t[]){0, 2, 3, 1});
    return x->form[0] ? x->form[0] : "";
}

const char *lvt_emit_full(lvt_emitter *e, lvt_value v) {
    lvt_onnx_value *x = &e->values[v];
    lvt_shape2 whole = lvt_emit_shape(e, v);
    const char *name = lvt_emit_use(e, v);
    if (!lvt_shape2_equal(&x->have, &whole)) {
        x->form[0] = lvt_emit2(e, "Expand", name, lvt_emit_dims(e, &whole));
        x->have = whole;
        x->known = NULL; /* the tensor's elements are more than those */
    }
    return x->form[0];
}

const char *lvt_emit_nchw(lvt_emitter *e, lvt_value v) {
    lvt_onnx_value *x = &e->values[v];
    if (!x->form[1]) {
        lvt_shape2 s = lvt_emit_shape(e, v);
        if (s.a.dim[3] == 1 || (s.a.dim[1] == 1 && s.a.dim[2] == 1)) { /* no element moves */
            lvt_shape2 t = s;
            t.a.dim[1] = s.a.dim[3], t.a.dim[2] = s.a.dim[1], t.a.dim[3] = s.a.dim[2];
            t.b.dim[1] = s.b.dim[3], t.b.dim[2] = s.b.dim[1], t.b.dim[3] = s.b.dim[2];
            x->form[1] = lvt_emit2(e, "Reshape", lvt_emit_full(e, v), lvt_emit_reshape_target(e, &t));
        } else {
            x->form[1] = lvt_emit_transpose(e, lvt_emit_full(e, v), 4, (int64_t[]){0, 3, 1, 2});
        }
    }
    return x->form[1];
}
