/* Inside the verifier of plans: arithmetic on strides.
 *
 * Invariant: types are valid; strides may be anything until lvt_check_span has accepted them. May not know:
 * plans, steps. */
#ifndef LVT_IR_PROGRAM_CHECK_H
#define LVT_IR_PROGRAM_CHECK_H

#include "program.h"

void lvt_check_packed(const lvt_type *t, int64_t *strides); /* row-major strides */
/* Equal where it matters: dims of size 1 do not count. */
bool lvt_check_same_strides(const lvt_type *t, const int64_t *a, const int64_t *b);
bool lvt_check_is_packed(const lvt_type *t, const int64_t *strides);
/* Bytes from the first element to past the last; false when a stride is negative or the sum is beyond 2^60.
 */
bool lvt_check_span(const lvt_type *t, const int64_t *strides, uint64_t *out);
/* No two elements at one place (sufficient, not necessary). */
bool lvt_check_injective(const lvt_type *t, const int64_t *strides);
/* Where the result of a view node must lie, given its operand's place; false when strides cannot say it. */
bool lvt_check_view(const lvt_graph *g, const lvt_node *n, const lvt_place *source, lvt_place *out);

#endif
