/* batch_norm (x [...,C], gamma [C], beta [C]) {eps} -> y, mean [C], var [C]: y = (x - mean) / sqrt(var + eps)
 * * gamma + beta with the statistics of this batch over all dims but the last; var is biased (divided by the
 * count). May not know: anything outside ir. */
#include "common.h"

#include <math.h>
#include <string.h>

/* Two passes: the mean first, then the squared distances from it. */
static lvt_status eval(lvt_eval *c) {
    const double *x = c->in[0].data, *gamma = c->in[1].data, *beta = c->in[2].data;
    double *y = c->out[0].data, *mean = c->out[1].data, *var = c->out[2].data;
    int64_t n = c->in[1].type.dim[0], rows = lvt_numel(&c->in[0].type) / n;
    double eps = lvt_float_attr(c->node, "eps");
    memset(mean, 0, (size_t)n * sizeof *mean);
    memset(var, 0, (size_t)n * sizeof *var);
    for (int64_t i = 0; i < rows * n; i++)
        mean[i % n] += x[i];
    for (int64_t k = 0; k < n; k++)
        mean[k] /= (double)rows;
    for (int64_t i = 0; i < rows * n; i++)
        var[i % n] += (x[i] - mean[i % n]) * (x[i] - mean[i % n]);
    for (int64_t k = 0; k < n; k++)
        var[k] /= (double)rows;
    for (int64_t i = 0; i < rows * n; i++)
        y[i] = (x[i] - mean[i % n]) / sqrt(var[i % n] + eps) * gamma[i % n] + beta[i % n];
    return LVT_OK;
}

/* All dims but the last; returns how many. */
static int leading(int rank, int64_t axes[LVT_MAX_RANK]) {
    for (int i = 0; i < rank - 1; i++)
        axes[i] = i;
    return rank - 1;
}

enum {
    SAMPLE = 64,        /* rows whose mean is the pivot */
    ONE_PASS = 1 << 15, /* elements from which on a pass saved is worth a small kernel more */
};

/* The mean of up to SAMPLE rows, spread over all leading dims. */
static lvt_value pivot_of(lvt_builder *b, lvt_value x, int n_axes, const int64_t *axes) {
    lvt_type type = *lvt_value_type(b->graph, x);
    int64_t room = SAMPLE;
    for (int i = 0; i < n_axes; i++) {
        int64_t size = type.dim[i], step = (size + room - 1) / room, first = (size - 1) % step / 2;
        lvt_named_attr every[] = {{"axis", lvt_attr_int(i)},
                                  {"begin", lvt_attr_int(first)},
                                  {"end", lvt_attr_int(size)},
                                  {"step", lvt_attr_int(step)}};
        if (step > 1)
            x = lvt_build(b, LVT_OP_slice, 1, &x, 4, every);
        room /= (size - first - 1) / step + 1;
    }
    return lvt_build_reduce(b, LVT_OP_reduce_mean, x, n_axes, axes, false);
}

/* Mean and variance in one pass over x: those of d = x - pivot, moved (Chan, Golub and LeVeque 1983). The
 * subtraction mean(d^2) - mean(d)^2 loses the factor 1 + (pivot - mean)^2 / var of precision. The sampled
 * rows are among those of x, so var >= share of the sample * (pivot - mean)^2, whatever x is: at worst
 * 1 + rows / SAMPLE, and on data that do not hide their mean from the sample some 1 + 1 / SAMPLE. */
static lvt_status one_pass(lvt_builder *b, lvt_value x, int n, const int64_t *axes, lvt_value *mean,
                           lvt_value *var) {
    lvt_value pivot = pivot_of(b, x, n, axes), d = lvt_build_binary(b, LVT_OP_sub, x, pivot);
    lvt_value m = lvt_build_reduce(b, LVT_OP_reduce_mean, d, n, axes, false);
    lvt_value d2 = lvt_build_binary(b, LVT_OP_mul, d, d);
    lvt_value m2 = lvt_build_reduce(b, LVT_OP_reduce_mean, d2, n, axes, false);
    *mean = lvt_build_binary(b, LVT_OP_add, m, pivot);
    *var = lvt_build_binary(b, LVT_OP_sub, m2, lvt_build_binary(b, LVT_OP_mul, m, m));
    *var = lvt_build_unary(b, LVT_OP_relu, *var); /* a variance of 0 may come out below it */
    return LVT_MADE(*var);
}

static lvt_status decompose(lvt_builder *b, const lvt_node *node, const lvt_value *operands,
                            lvt_value *results) {
    lvt_value x = operands[0], mean, var, d;
    lvt_type type = *lvt_value_type(b->graph, x);
    int64_t axes[LVT_MAX_RANK], size = lvt_numel(&type), rows = size / type.dim[type.rank - 1];
    int n = leading(type.rank, axes);
    if (size >= ONE_PASS && rows > 4 * SAMPLE && type.dtype != LVT_BF16) {
        LVT_TRY(one_pass(b, x, n, axes, &mean, &var));
        d = lvt_build_binary(b, LVT_OP_sub, x, mean);
    } else { /* No axes would mean all of them; a single row is its own mean. */
        mean = n ? lvt_build_reduce(b, LVT_OP_reduce_mean, x, n, axes, false) : x;
        d = lvt_build_binary(b, LVT_OP_sub, x, mean);
        lvt_value d2 = lvt_build_binary(b, LVT_OP_mul, d, d);
        var = n ? lvt_build_reduce(b, LVT_OP_reduce_mean, d2, n, axes, false) : d2;
    }
    lvt_value scale = lvt_build_binary(b, LVT_OP_mul, operands[1], lvt_norm_rstd(b, node, var));
    results[0] = lvt_build_binary(b, LVT_OP_add, lvt_build_binary(b, LVT_OP_mul, d, scale), operands[2]);
    results[1] = mean;
    results[2] = var;
    return LVT_MADE(results[0]);
}

/* With d = x - mean, r = rstd, s1 = sum(dy), s2 = sum(dy * d) over the batch of size n, the gradient of y
 * gives dbeta = s1, dgamma = s2 * r, dx = gamma * r * (dy - s1 / n - d * r^2 * s2 / n) (Ioffe and Szegedy
 * 2015), that of mean dmean / n, that of var 2 * d * dvar / n. One pass over the batch makes both sums, a
 * second one dx; all else has the size of a row. */
static lvt_status grad(lvt_grad *c) {
    lvt_builder *b = c->b;
    lvt_value x = c->node->operands[0], mean = c->node->result + 1, var = c->node->result + 2;
    lvt_value dy = c->dresults[0], dmean = c->dresults[1], dvar = c->dresults[2], dx = LVT_NONE;
    lvt_type type = *lvt_value_type(b->graph, x);
    int64_t axes[LVT_MAX_RANK];
    int n = leading(type.rank, axes);
    lvt_dtype dtype = (lvt_dtype)type.dtype;
    lvt_value share = lvt_build_scalar(b, dtype, (double)type.dim[type.rank - 1] / (double)lvt_numel(&type));
    lvt_value d = lvt_build_binary(b, LVT_OP_sub, x, mean);
    if (dy != LVT_NONE) {
        lvt_value r = lvt_norm_rstd(b, c->node, var), dyd = lvt_build_binary(b, LVT_OP_mul, dy, d);
        lvt_value s1 = n ? lvt_build_reduce(b, LVT_OP_reduce_sum, dy, n, axes, false) : dy;
        lvt_value s2 = n ? lvt_build_reduce(b, LVT_OP_reduce_sum, dyd, n, axes, false) : dyd;
        lvt_value s2r = lvt_build_binary(b, LVT_OP_mul, s2, r);
        c->doperands[1] = s2r;
        c->doperands[2] = s1;
        if (c->wants[0]) {
            lvt_value m1 = lvt_build_binary(b, LVT_OP_mul, s1, share);
            lvt_value m2 = lvt_build_binary(b, LVT_OP_mul, lvt_build_binary(b, LVT_OP_mul, s2r, r), share);
            lvt_value scale = lvt_build_binary(b, LVT_OP_mul, c->node->operands[1], r);
            dx = lvt_build_binary(b, LVT_OP_sub, dy, m1);
            dx = lvt_build_binary(b, LVT_OP_sub, dx, lvt_build_binary(b, LVT_OP_mul, d, m2));
            dx = lvt_build_binary(b, LVT_OP_mul, dx, scale);
        }
        LVT_TRY(LVT_MADE(s2r));
    }
    if (c->wants[0] && dvar != LVT_NONE) {
        lvt_value two = lvt_build_scalar(b, dtype, 2);
        lvt_value k = lvt_build_binary(b, LVT_OP_mul, lvt_build_binary(b, LVT_OP_mul, dvar, share), two);
        lvt_value more = lvt_build_binary(b, LVT_OP_mul, d, k);
        dx = dx == LVT_NONE ? more : lvt_build_binary(b, LVT_OP_add, dx, more);
    }
    if (c->wants[0] && dmean != LVT_NONE) {
        lvt_value more = lvt_build_binary(b, LVT_OP_mul, dmean, share);
        more = lvt_build_broadcast(b, more, type.rank, type.dim);
        dx = dx == LVT_NONE ? more : lvt_build_binary(b, LVT_OP_add, dx, more);
    }
    c->doperands[0] = dx;
    return c->wants[0] ? LVT_MADE(dx) : LVT_OK;
}

static const char *const samples[] = {
    "f32[6,3] in -2..2, f32[3] in 0.5..2, f32[3] in -1..1",
    "f32[2,3,2,4] in -2..2, f32[4] in 0.5..2, f32[4] in -1..1 {eps = 0.001}", NULL};

const lvt_op_def lvt_op_def_batch_norm = {
    .name = "batch_norm",
    .kind = LVT_KIND_COMPUTE,
    .min_operands = 3,
    .max_operands = 3,
    .n_results = 3,
    .operands = "x: float [..., C], gamma: float [C], beta: float [C]",
    .results = "y: float [..., C], mean: float [C], var: float [C]",
    .meaning = "(x - mean) / sqrt(var + eps) * gamma + beta by the statistics of this batch over all dims "
               "but the last; var is biased",
    .attrs = lvt_norm_attrs,
    .n_attrs = LVT_NORM_ATTRS,
    .infer = lvt_norm_infer,
    .grad = grad,
    .eval = eval,
    .decompose = decompose,
    .cost = lvt_norm_cost,
    .samples = samples,
};
