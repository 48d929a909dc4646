/* Pass choose: in which way a family runs each node, where it has several (ir/variants.def).
 *
 * Invariant: the choice is a function of the node, its types and the options alone, or of what was measured
 * where the caller gives a way to measure (lvtc --tune); the program holds it, and nothing chooses again at
 * run time. May not know: kernels, libraries, how anything is measured. */
#include "plan.h"

#include "ir/op.h"

#include <stdio.h>

/* Geometry of a convolution or of one of its gradients. */
typedef struct conv {
    double images, height, width, in, out, kernel; /* of the result; kernel: taps */
} conv;

static conv conv_of(const lvt_graph *g, const lvt_node *n) {
    const lvt_type *a = &g->values[n->operands[0]].type, *b = &g->values[n->operands[1]].type,
                   *y = &g->values[n->result].type;
    const lvt_type *w = n->op == LVT_OP_conv2d_grad_weight ? y : b;
    const lvt_type *results = n->op == LVT_OP_conv2d ? y : a;
    return (conv){(double)results->dim[0], (double)results->dim[1], (double)results->dim[2],
                  (double)w->dim[1],       (double)w->dim[0],       (double)(w->dim[2] * w->dim[3])};
}

static double up_to(double x, double unit) {
    double whole = (double)(int64_t)(x / unit) * unit;
    return whole < x ? whole + unit : whole;
}

/* What a convolution costs, in operations at the rate of the direct one, which computes whole vectors of
 * channels. Winograd's F(4x4, 3x3) multiplies 36 matrices for every 4x4 results instead of 9 taps for each, a
 * quarter of the work, and transforms 36 elements of every tile, of images and results, and of the weights.
 * These pass through the caches: the two numbers (operations an element) were fitted to measurements from 16
 * channels at 32x32 to 512 at 4x4, 1 to 64 images, with the copies between layouts (README.md). */
static double direct_cost(const conv *c) {
    return 2 * c->kernel * c->images * c->height * c->width * c->in * up_to(c->out, 16);
}

static double winograd_cost(const conv *c) {
    static const double TILE = 70, WEIGHT = 80;
    double tiles = c->images * up_to(c->height, 4) / 4 * up_to(c->width, 4) / 4;
    double in = up_to(c->in, 16), out = up_to(c->out, 16);
    return 36 * (2 * tiles * in * out + TILE * tiles * (in + out) + WEIGHT * in * out);
}

/* Fills why, where there was a choice. */
static lvt_variant by_rule(lvt_pass *ctx, const lvt_graph *g, const lvt_step *s, char *why, size_t size) {
    static const double MARGIN = 1.15; /* what the rule must promise to win */
    why[0] = 0;
    if (!lvt_variant_legal(g, s->node, (lvt_family)s->family, LVT_VARIANT_WINOGRAD, NULL))
        return LVT_VARIANT_STANDARD;
    if (ctx->exact) {
        snprintf(why, size, "--exact leaves out Winograd");
        return LVT_VARIANT_STANDARD;
    }
    conv c = conv_of(g, &g->nodes[s->node]);
    double gain = direct_cost(&c) / winograd_cost(&c);
    snprintf(why, size, "%s would take %.2f times as long by the rule",
             gain >= MARGIN ? "direct" : "Winograd", gain >= MARGIN ? gain : 1 / gain);
    return gain >= MARGIN ? LVT_VARIANT_WINOGRAD : LVT_VARIANT_STANDARD;
}

/* The variants the node may run in, as bits. */
static unsigned allowed(const lvt_pass *ctx, const lvt_graph *g, const lvt_step *s) {
    unsigned variants = 0;
    for (int v = 0; v < LVT_N_VARIANTS; v++) {
        if (lvt_variant_legal(g, s->node, (lvt_family)s->family, (lvt_variant)v, NULL) &&
            !(ctx->exact && v == LVT_VARIANT_WINOGRAD))
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
    int used = snprintf(why, size, "measured");
    for (int v = 0; v < LVT_N_VARIANTS; v++) {
        if (!(variants >> v & 1) || seconds[v] < 0)
            continue;
        if (seconds[v] < best) {
            best = seconds[v];
            s->variant = (uint8_t)v;
        }
        if (used < (int)size)
            used += snprintf(why + used, size - (size_t)used, ", %s %.3g ms",
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
            s->variant = (uint8_t)by_rule(ctx, in, s, why, sizeof why);
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
