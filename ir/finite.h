/* Finding elements that are NaN or infinite in packed tensors, at the speed of memory. May not know: where
 * the tensors come from. */
#ifndef LVT_IR_FINITE_H
#define LVT_IR_FINITE_H

#include "ir.h"

/* The first of n packed elements that is NaN or, unless `infinite`, infinite; -1: none is. Integers never
 * are. */
int64_t lvt_first_unsound(lvt_dtype dtype, const void *packed, int64_t n, bool infinite);
/* "nan", "inf" or "-inf": what an element that was found is. */
const char *lvt_unsound_name(lvt_dtype dtype, const void *packed, int64_t element);
/* Are infinite elements of a state what its model says it begins with (a mask that is added, a minimum so
 * far)? Of values in a file that are not read yet they may be. */
bool lvt_state_begins_infinite(const lvt_state *s);

#endif
