/* Initial values as an ONNX graph without inputs: what training starts from when it starts anew. May not
 * know: entries, how states are used. */
#include "initial.h"

/* The generators know f32 and f64; for other types it is drawn in f32. */
static const char *draw(lvt_onnx_writer *w, const lvt_state *s, const char *op, const char *first, double a,
                        const char *second, double b, uint64_t seed) {
    bool wide = s->type.dtype == LVT_F64;
    lvt_onnx_ints(w, "shape", s->type.rank, s->type.dim);
    lvt_onnx_float(w, first, a);
    lvt_onnx_float(w, second, b);
    lvt_onnx_float(w, "seed", (double)(seed % (1 << 24))); /* a float holds these exactly */
    if (wide)
        lvt_onnx_int(w, "dtype", lvt_onnx_type(LVT_F64));
    return lvt_onnx_node(w, s->name, op, 0, NULL);
}

/* Beyond two deviations an element is drawn again, three times at most; then (4 of a million) it is two
 * deviations. */
static const char *truncated(lvt_onnx_writer *w, const lvt_state *s, uint64_t seed) {
    lvt_dtype dtype = s->type.dtype == LVT_F64 ? LVT_F64 : LVT_F32;
    const char *low = lvt_onnx_number(w, dtype, s->init.a - 2 * s->init.b),
               *high = lvt_onnx_number(w, dtype, s->init.a + 2 * s->init.b);
    const char *x = draw(w, s, "RandomNormal", "mean", s->init.a, "scale", s->init.b, seed);
    for (uint64_t k = 1; k < 4; k++) {
        const char *again =
            draw(w, s, "RandomNormal", "mean", s->init.a, "scale", s->init.b, seed + (k << 20));
        const char *cut = lvt_onnx_node(w, s->name, "Clip", 3, (const char *[]){x, low, high});
        const char *inside = lvt_onnx_node(w, s->name, "Equal", 2, (const char *[]){x, cut});
        x = lvt_onnx_node(w, s->name, "Where", 3, (const char *[]){inside, x, again});
    }
    return lvt_onnx_node(w, s->name, "Clip", 3, (const char *[]){x, low, high});
}

static const char *value(lvt_onnx_writer *w, const lvt_state *s, uint64_t seed) {
    lvt_dtype dtype = (lvt_dtype)s->type.dtype;
    const char *x = NULL;
    switch ((lvt_init_kind)s->init.kind) {
    case LVT_INIT_CONSTANT:
        return lvt_onnx_node(w, s->name, "Expand", 2,
                             (const char *[]){lvt_onnx_number(w, dtype, s->init.a),
                                              lvt_onnx_int64s(w, s->type.rank, s->type.dim)});
    case LVT_INIT_NORMAL:
        x = draw(w, s, "RandomNormal", "mean", s->init.a, "scale", s->init.b, seed);
        break;
    case LVT_INIT_TRUNCATED_NORMAL:
        x = truncated(w, s, seed);
        break;
    case LVT_INIT_UNIFORM:
        x = draw(w, s, "RandomUniform", "low", s->init.a, "high", s->init.b, seed);
        break;
    case LVT_INIT_FILE: /* not drawn: see below */
        break;
    }
    if (dtype == LVT_F32 || dtype == LVT_F64)
        return x;
    lvt_onnx_int(w, "to", lvt_onnx_type(dtype));
    return lvt_onnx_node(w, s->name, "Cast", 1, &x);
}

const lvt_onnx_meta *lvt_onnx_initialization(lvt_onnx_writer *w, const lvt_onnx_writer *beside,
                                             const lvt_module *m, const char *const *initializers,
                                             uint64_t seed, size_t *n) {
    lvt_onnx_begin_beside(w, beside, "initial");
    lvt_onnx_meta *bindings = lvt_onnx_alloc(w, (m->n_states + 1u) * sizeof *bindings);
    *n = 0;
    for (uint32_t i = 0; bindings && i < m->n_states; i++) {
        const lvt_state *s = &m->states[i];
        if (!initializers[i] || s->values || s->init.kind == LVT_INIT_FILE)
            continue; /* one with values of a file starts from these: they are the initialiser already */
        const char *x = value(w, s, seed + 7919 * (i + 1u)); /* a seed of its own for each */
        const char *name = lvt_onnx_name(w, lvt_onnx_text(w, "%s.initial", s->name));
        lvt_onnx_alias(w, name, x);
        lvt_onnx_port(w, LVT_ONNX_OUTPUT, name, lvt_onnx_type((lvt_dtype)s->type.dtype), s->type.rank,
                      s->type.dim, NULL);
        bindings[(*n)++] = (lvt_onnx_meta){initializers[i], name};
    }
    return bindings;
}
