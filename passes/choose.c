/* Pass choose: in which way a family runs each node, where it has several (ir/program/variants.def).
 *
 * Invariant: the choice is a function of the node, its types and the options alone, or of what was measured
 * where the caller gives a way to measure (lvtc --tune); the program holds it, and nothing chooses again at
 * run time. May not know: kernels, libraries, how anything is measured. */
#include "plan.h"
#include "ir/base/c_locale.h"

#include "ir/op.h"

#include <stdio.h>

/* Geometry of a convolution or of one of its gradients. */
typedef struct conv {
    double images, height, width, in, out, kernel; /* of the result; kernel: taps */
    bool strided, of_weight;
} conv;

static conv conv_of(const lvt_graph *g, const lvt_node *n) {
    const lvt_type *a = &g->values[n->operands[0]].type, *b = &g->values[n->operands[1]].type,
                   *y = &g->values[n->result].type;
    const lvt_type *w = n->op == LVT_OP_conv2d_grad_weight ? y : b;
    const lvt_type *results = n->op == LVT_OP_conv2d ? y : a;
    return (conv){(double)results->dim[0],
                  (double)results->dim[1],
                  (double)results->dim[2],
                  (double)w->dim[1],
                  (double)w->dim[0],
                  (double)(w->dim[2] * w->dim[3]),
                  lvt_window_of(n).stride[0] > 1,
                  n->op == LVT_OP_conv2d_grad_weight};
}

static double up_to(double x, double unit) {
    double whole = (double)(int64_t)(x / unit) * unit;
    return whole < x ? whole + unit : whole;
}

/* What a convolution costs, in operations at the rate of the direct one, which computes whole vectors of
 * channels. Few results of an image, and gradients of strided weights, run slower. */
static double direct_cost(const conv *c) {
    double slower = (1 + 1 / (c->height * c->width)) * (c->strided && c->of_weight ? 1.2 : 1);
    return 2 * c->kernel * c->images * c->height * c->width * c->in * up_to(c->out, 16) * slower;
}

/* Winograd's way multiplies matrices at `points` points of every tile instead of the taps for every result,
 * and transforms points of images and results, and `weights` of the weights. These pass through the caches:
 * the two numbers (operations an element) were fitted to measurements from 16 channels at 32x32 to 512 at
 * 4x4, 1 to 64 images. */
static double tiled_cost(const conv *c, double tile, double points, double weights, double per_point,
                         double per_weight) {
    double tiles = c->images * up_to(c->height, tile) / tile * up_to(c->width, tile) / tile;
    double in = up_to(c->in, 16), out = up_to(c->out, 16);
    return points * tiles * (2 * in * out + per_point * (in + out)) + per_weight * weights * in * out;
}

/* oneDNN's F(4x4, 3x3), with copies between layouts. */
static double winograd_cost(const conv *c) {
    return tiled_cost(c, 4, 36, 36, 70, 80);
}

/* runtime/winograd: the same, and strides of 2 with 4x4 or 2x2 results in a tile. */
static double own_winograd_cost(const conv *c) {
    static const double POINT = 40, WEIGHT = 50;
    if (!c->strided)
        return tiled_cost(c, 4, 36, 36, POINT, WEIGHT);
    double four = tiled_cost(c, 4, 81, 36, POINT, WEIGHT), two = tiled_cost(c, 2, 25, 16, POINT, WEIGHT);
    return two < four ? two : four;
}

/* The best of Winograd's ways by the rule, standard where there is none; *gain: how many times as long the
 * standard one takes. */
static lvt_variant best_winograd(const lvt_graph *g, lvt_node_id id, lvt_family family, double *gain) {
    static const struct {
        lvt_variant variant;
        double (*cost)(const conv *c);
    } ways[] = {{LVT_VARIANT_WINOGRAD, winograd_cost}, {LVT_VARIANT_OWN_WINOGRAD, own_winograd_cost}};
    lvt_variant best = LVT_VARIANT_STANDARD;
    double least = 0;
    conv c = {0};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        if (!lvt_variant_legal(g, id, family, ways[i].variant, NULL))
            continue;
        c = conv_of(g, &g->nodes[id]);
        double cost = ways[i].cost(&c);
        if (best == LVT_VARIANT_STANDARD || cost < least) {
            best = ways[i].variant;
            least = cost;
        }
    }
    *gain = best == LVT_VARIANT_STANDARD ? 0 : direct_cost(&c) / least;
    return best;
}

static const double MARGIN = 1.15; /* what the rule must promise to win */

bool lvt_rule_wants_winograd(const lvt_pass *ctx, const lvt_graph *g, lvt_node_id id) {
    double gain;
    (void)best_winograd(g, id, LVT_FAMILY_ONEDNN, &gain);
    return !ctx->exact && gain >= MARGIN;
}

/* Many rows times few transposed columns, as all layers multiply with their weights: copying the second
 * matrix to panels is nothing then, and the product takes 4% to 9% less time than oneDNN's. Without the
 * transposition it depends on the processor, which the kernel knows. Where the second matrix is steady, oneDNN
 * has it packed. */
static bool wants_own_product(const lvt_graph *g, const lvt_node *n, const bool *steady) {
    enum { ROWS = 1024, COLUMNS = 128, LEAST_INNER = 64, MOST_INNER = 2048 };
    if (n->op != LVT_OP_matmul || lvt_attr_get(n, "transpose_a")->i || !lvt_attr_get(n, "transpose_b")->i ||
        (steady[n->operands[1]] && !g->n_updates))
        return false;
    const lvt_type *a = &g->values[n->operands[0]].type, *b = &g->values[n->operands[1]].type;
    const lvt_type *y = &g->values[n->result].type;
    int64_t inner = a->dim[a->rank - 1], columns = y->dim[y->rank - 1];
    return b->rank == 2 && inner >= LEAST_INNER && inner <= MOST_INNER && columns % COLUMNS == 0 &&
           lvt_numel(y) / columns >= ROWS;
}

/* Fills why, where there was a choice. */
static lvt_variant by_rule(lvt_pass *ctx, const lvt_graph *g, const lvt_step *s, const bool *steady,
                           char *why, size_t size) {
    double gain;
    if (wants_own_product(g, &g->nodes[s->node], steady)) {
        lvt_snprintf(why, size, "many rows times few columns, transposed");
        return LVT_VARIANT_OWN_PRODUCT;
    }
    if (lvt_variant_legal(g, s->node, (lvt_family)s->family, LVT_VARIANT_OWN_DEPTHWISE, NULL)) {
        lvt_snprintf(why, size, "one channel a group");
        return LVT_VARIANT_OWN_DEPTHWISE;
    }
    lvt_variant best = best_winograd(g, s->node, (lvt_family)s->family, &gain);
    why[0] = 0;
    if (best == LVT_VARIANT_STANDARD)
        return best;
    if (ctx->exact) {
        lvt_snprintf(why, size, "--exact leaves out Winograd");
        return LVT_VARIANT_STANDARD;
    }
    lvt_snprintf(why, size, "%s would take %.2f times as long by the rule",
                 gain >= MARGIN ? "direct" : "Winograd", gain >= MARGIN ? gain : 1 / gain);
    return gain >= MARGIN ? best : LVT_VARIANT_STANDARD;
}

/* The variants the node may run in, as bits. */
static unsigned allowed(const lvt_pass *ctx, const lvt_graph *g, const lvt_step *s) {
    unsigned variants = 0;
    for (int v = 0; v < LVT_N_VARIANTS; v++) {
        if (lvt_variant_legal(g, s->node, (lvt_family)s->family, (lvt_variant)v, NULL) &&
            !(ctx->exact && (v == LVT_VARIANT_WINOGRAD || v == LVT_VARIANT_OWN_WINOGRAD)))
            variants |= 1u << v;
    }
    return variants;
}

/* The fastest; another than the standard one only for a gain that is no accident. */
static lvt_status by_measurement(lvt_pass *ctx, const lvt_graph *g, lvt_step *s, const bool *values_steady,
                                 char *why, size_t size) {
    static const double ACCIDENT = 0.97;
    const lvt_node *n = &g->nodes[s->node];
    unsigned variants = allowed(ctx, g, s);
    double seconds[LVT_N_VARIANTS];
    why[0] = 0;
    s->variant = LVT_VARIANT_STANDARD;
    if (variants == 1u << LVT_VARIANT_STANDARD)
        return LVT_OK;
    bool *steady = lvt_arena_alloc(ctx->arena, n->n_operands + 1u);
    if (!steady)
        return LVT_NOMEM;
    uint32_t step = (uint32_t)(s - ctx->plan->steps);
    for (uint32_t k = 0; k < n->n_operands; k++)
        steady[k] = values_steady[n->operands[k]] && step >= ctx->plan->n_prologue && !g->n_updates;
    lvt_status status =
        ctx->measure->run(ctx->measure->user, ctx->plan, step, steady, variants, seconds, ctx->diag);
    if (status != LVT_OK)
        return status;
    double best = seconds[LVT_VARIANT_STANDARD] * ACCIDENT;
    int used = lvt_snprintf(why, size, "measured");
    for (int v = 0; v < LVT_N_VARIANTS; v++) {
        if (!(variants >> v & 1) || seconds[v] < 0)
            continue;
        if (seconds[v] < best) {
            best = seconds[v];
            s->variant = (uint8_t)v;
        }
        if (used < (int)size)
            used += lvt_snprintf(why + used, size - (size_t)used, ", %s %.3g ms",
                                 lvt_variant_name((lvt_variant)v), 1e3 * seconds[v]);
    }
    return LVT_OK;
}

lvt_graph *lvt_pass_choose(lvt_pass *ctx, const lvt_graph *in) {
    lvt_plan *p = ctx->plan;
    bool *steady = lvt_arena_alloc(ctx->arena, in->n_values + 1u);
    if (!steady)
        return lvt_pass_nomem(ctx);
    lvt_find_steady(in, steady);
    p->tuned = ctx->measure ? (uint32_t)ctx->measure->threads : 0;
    for (uint32_t i = 0; i < p->n_steps; i++) {
        lvt_step *s = &p->steps[i];
        char why[256], type[LVT_TYPE_TEXT];
        lvt_status status = LVT_OK;
        if (ctx->measure)
            status = by_measurement(ctx, in, s, steady, why, sizeof why);
        else
            s->variant = (uint8_t)by_rule(ctx, in, s, steady, why, sizeof why);
        if (status != LVT_OK) {
            ctx->status = status;
            return lvt_diag_errors(ctx->diag) ? NULL : lvt_pass_nomem(ctx);
        }
        if (!why[0])
            continue;
        const lvt_node *n = &in->nodes[s->node];
        lvt_text_add(ctx->explain, "%s: %s -> %s, %s", in->name ? in->name : "", lvt_op_of(n)->name,
                     lvt_type_text(&in->values[n->result].type, type),
                     lvt_variant_name((lvt_variant)s->variant));
        lvt_text_add_place(ctx->explain, ctx->module, n->loc);
        lvt_text_add(ctx->explain, ": %s\n", why);
    }
    return (lvt_graph *)in;
}
