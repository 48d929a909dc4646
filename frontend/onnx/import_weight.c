/* Initialisers as states: which of them are one, which are several. Exporters write equal tensors once, and
 * of a network that was not trained yet many are equal: zero biases, the scales and statistics of norms.
 * PyTorch's older exporter leaves an Identity with the name that the tensor had; the newer one leaves
 * nothing. May not know: files, operators but Identity. */
#include "importer.h"
#include "ir/program/weights.h"

#include <stdio.h>
#include <string.h>

/* Scalars are no weights but settings of the network; so is what has one element and no name of its own: the scale
 * of attention, which PyTorch's newer exporter writes once for all blocks. */
static bool is_state(lvt_importer *im, const lvt_im_value *v) {
    const Onnx__TensorProto *t = v->weight != LVT_NONE ? v->tensor : NULL;
    int dtype = t && t->has_data_type ? lvt_onnx_dtype(t->data_type) : -1;
    int64_t n = 1;
    if (dtype < 0 || !lvt_dtype_is_float((lvt_dtype)dtype) || im->options->freeze ||
        lvt_im_said_constant(im, v))
        return false;
    for (size_t i = 0; i < t->n_dims; i++)
        n = t->dims[i] == 1 ? n : 2;
    return im->use->step_of_file || (n > 1 || (t->n_dims > 0 && !lvt_im_invented_name(v->name)));
}

static const char *name_of(const lvt_im_value *v) {
    return v->called ? v->called : v->name;
}

/* Whether the elements are bytes beside the program; smaller ones are numbers in its text. Whole numbers are
 * indices mostly: what is computed with them while importing is gone from the program. */
static bool is_large(const Onnx__TensorProto *t) {
    int dtype = lvt_onnx_dtype(t->has_data_type ? t->data_type : 0);
    int64_t n = 1, large = dtype >= 0 && lvt_dtype_is_float((lvt_dtype)dtype) ? 64 : 4096;
    for (size_t i = 0; i < t->n_dims && n < large; i++)
        n *= t->dims[i] > 0 && t->dims[i] < large ? t->dims[i] : t->dims[i] > 0 ? large : 0;
    return n >= large;
}

/* The bytes of x, of the module. */
static void *pack(lvt_importer *im, const lvt_type *type, double *x) {
    void *packed = x ? lvt_module_values(im->m, lvt_type_bytes(type)) : NULL;
    if (packed)
        lvt_tensor_store(&(lvt_tensor){*type, x}, packed);
    return packed;
}

static bool uniform(const lvt_type *type, const double *x) {
    int64_t n = lvt_numel(type), same = 1;
    while (same < n && x[same] == x[0])
        same++;
    return same == n;
}

/* A constant of the file. */
static lvt_value fixed(lvt_importer *im, const lvt_im_value *v) {
    lvt_type type;
    if (!is_large(v->tensor) || im->use->step_of_file)
        return lvt_im_tensor_value(im, v->tensor);
    double *x = lvt_onnx_read_tensor(im->arena, v->tensor, im->folder, &type, im->diag);
    if (!x || uniform(&type, x))
        return x ? lvt_im_constant(im, &type, x) : LVT_NONE;
    void *packed = pack(im, &type, x);
    return packed ? im->use->state(im->use->user, name_of(v), &type,
                                   lvt_weights_init(packed, lvt_type_bytes(&type)), packed, false)
                  : LVT_NONE;
}

/* NULL: it cannot be read, which is reported. */
static lvt_onnx_weight *read_weight(lvt_importer *im, const lvt_im_value *v) {
    lvt_onnx_weight *w = &im->file->weights[v->weight];
    if (w->packed)
        return w;
    double *x = lvt_onnx_read_tensor(im->arena, v->tensor, im->folder, &w->type, im->diag);
    if (!(w->packed = pack(im, &w->type, x)))
        return NULL;
    w->uniform = lvt_numel(&w->type) > 1 && uniform(&w->type, x);
    w->fixed = lvt_im_looks_fixed(&w->type, x);
    w->init = lvt_weights_init(w->packed, lvt_type_bytes(&w->type));
    return w;
}

lvt_value lvt_im_materialise(lvt_importer *im, const lvt_im_value *v, bool trainable) {
    if (!is_state(im, v))
        return fixed(im, v);
    const lvt_onnx_weight *w = read_weight(im, v);
    if (w && w->fixed && trainable && !im->n_fixed++)
        im->first_fixed = name_of(v);
    return w ? im->use->state(im->use->user, name_of(v), &w->type, w->init, w->packed, trainable) : LVT_NONE;
}

/* What a step updates has one name; what was asked for is the initialiser itself. */
const lvt_im_value *lvt_im_renamed(lvt_importer *im, const Onnx__NodeProto *n) {
    const char *by = im->file->model->producer_name;
    if (im->use->step_of_file || strcmp(n->op_type ? n->op_type : "", "Identity") || n->n_input != 1 ||
        n->n_output != 1 || !n->input[0] || strcmp(by ? by : "", "pytorch"))
        return NULL;
    for (size_t i = 0; i < lvt_im_n_outputs(im); i++)
        if (!strcmp(lvt_im_output_name(im, i), n->output[0]))
            return NULL;
    const lvt_im_value *v = lvt_im_slot(im, n->input[0]);
    return v->name && is_state(im, v) ? v : NULL;
}

static uint32_t uses_among(const Onnx__NodeProto *n, const char *name, size_t inputs) {
    uint32_t uses = 0;
    for (size_t k = 0; k < inputs; k++)
        uses += n->input[k] && !strcmp(n->input[k], name);
    return uses;
}

/* Nodes that are not built count too, so that names do not hang on what outputs need. */
void lvt_im_count_uses(lvt_importer *im, const Onnx__NodeProto *n) {
    if (lvt_im_renamed(im, n))
        return;
    for (size_t k = 0; k < n->n_input; k++) {
        lvt_im_value *v = n->input[k] && *n->input[k] ? lvt_im_slot(im, n->input[k]) : NULL;
        if (v && v->name)
            v->uses++;
    }
}

/* every: also when its elements differ. */
static lvt_im_value *of_its_own(lvt_importer *im, size_t i, lvt_im_value *v, bool every) {
    const Onnx__NodeProto *n = im->n;
    bool inside = n != im->file->graph->node[im->index]; /* a branch of If: it has no uses of its own */
    if ((im->tied && !every) || inside || !v->name || !is_state(im, v))
        return v;
    uint32_t before = v->uses + uses_among(n, v->name, i);
    const lvt_onnx_weight *w = before ? read_weight(im, v) : NULL;
    if (!w || (!w->uniform && !every))
        return v;
    im->statistics_copied |= !w->uniform;
    /* By the path of its layer where the file says it, else by its number among the uses. */
    const char *name = lvt_im_name_of_use(im, n, i);
    lvt_im_value *own = name ? lvt_im_slot(im, name) : NULL;
    if (!own || (own->name && (own->weight != v->weight || (every && own->of_node != im->index)))) {
        name = lvt_arena_printf(im->arena, "%s.%u", name_of(v), before + 1);
        own = name ? lvt_im_slot(im, name) : v;
    }
    if (!own->name) {
        *own = (lvt_im_value){
            .name = name, .value = LVT_NONE, .tensor = v->tensor, .weight = v->weight, .of_node = im->index};
        im->first_copied = im->n_copies++ ? im->first_copied : name_of(v);
    } else if (own->weight != v->weight) {
        lvt_im_no(im, "its input '%s' needs a name of its own, and there is a tensor '%s' already", v->name,
                  name);
        return NULL;
    }
    return own;
}

lvt_im_value *lvt_im_of_its_own(lvt_importer *im, size_t i, lvt_im_value *v) {
    return of_its_own(im, i, v, false);
}

lvt_im_value *lvt_im_own_statistic(lvt_importer *im, size_t i, lvt_im_value *v) {
    return of_its_own(im, i, v, im->use->form != LVT_ONNX_AS_IS);
}

void lvt_im_tell_copies(lvt_importer *im) {
    if (im->n_fixed && !im->file->told_fixed && im->use->form == LVT_ONNX_TRAINING) {
        im->file->told_fixed = true;
        lvt_warning(im->diag, NULL, im->use->at,
                    "%s: %u parameter%s %s whole numbers, as masks and tables do, the first is '%s'",
                    im->file->name, im->n_fixed, im->n_fixed == 1 ? "" : "s",
                    im->n_fixed == 1 ? "holds" : "hold", im->first_fixed);
        lvt_note(im->diag, LVT_NOWHERE, "say `constants = [\"%s\"]` in the call if it is not to be trained",
                 im->first_fixed);
    }
    if (!im->n_copies || im->file->told || im->use->form == LVT_ONNX_AS_IS)
        return;
    im->file->told = true;
    lvt_warning(im->diag, NULL, im->use->at,
                "%s has initialisers %s that are used more than once, the first is '%s': exporters "
                "write equal tensors once, so each use becomes a %s of its own (%u more)",
                im->file->name,
                im->statistics_copied ? "with all elements equal, or running statistics,"
                                      : "with all elements equal",
                im->first_copied, im->statistics_copied ? "parameter or state" : "parameter", im->n_copies);
    if (!im->tied)
        lvt_note(im->diag, LVT_NOWHERE,
                 im->statistics_copied
                     ? "say `tied = true` in the call if parameters are meant to be one; statistics never are"
                     : "say `tied = true` in the call if they are meant to be one");
}
