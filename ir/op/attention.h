/* What attention and attention_grad share. May not know: anything outside ir. */
#ifndef LVT_IR_OP_ATTENTION_H
#define LVT_IR_OP_ATTENTION_H

#include "common.h"

typedef struct lvt_attention_shape {
    int64_t heads, batch, n, m, dk, dv; /* n queries and m keys an image */
    bool shared;                        /* one key for all images */
} lvt_attention_shape;

/* From types that inference has accepted. */
lvt_attention_shape lvt_attention_of(const lvt_type *q, const lvt_type *k, const lvt_type *v);
static inline double lvt_attention_scores_count(const lvt_attention_shape *s) {
    return (double)s->heads * (double)s->batch * (double)s->n * (double)s->m;
}

/* Checks element types, the operands with these indices against each other (bias: only if there is an operand
 * with that index), and scale. */
lvt_status lvt_attention_check(lvt_infer *c, uint32_t q, uint32_t k, uint32_t v, uint32_t bias);

/* scale q k^T + bias [h,B,N,M], as nodes; bias may be LVT_NONE. */
lvt_value lvt_attention_scores(lvt_builder *b, const lvt_node *node, lvt_value q, lvt_value k,
                               lvt_value bias);
/* The same for one head and image, as numbers: q [n,dk], kt [dk,m], bias [n,m] or NULL. */
void lvt_attention_tile_scores(const lvt_attention_shape *s, double scale, const double *q, const double *kt,
                               const double *bias, double *to);
/* to [columns, rows] = from [rows, columns] transposed. */
void lvt_attention_turn(int64_t rows, int64_t columns, const double *from, double *to);

#endif
