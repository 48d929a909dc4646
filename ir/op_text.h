/* What the table of ops says, in words for people: `lvtc --ops`, messages, the guide.
 *
 * Invariant: everything comes from the rows of ops.def and the op's definition; a new op needs nothing here.
 * May not know: the language, passes, which kernels there are. */
#ifndef LVT_IR_OP_TEXT_H
#define LVT_IR_OP_TEXT_H

#include "op.h"

enum { LVT_ATTR_DEF_TEXT = 128 };
/* "stride: integers = []", "axis: integer, required"; returns buffer. */
const char *lvt_attr_def_text(const lvt_attr_def *d, char buffer[LVT_ATTR_DEF_TEXT]);

/* All attributes of an op in one line, in the order of its table, with commas between them; "" when it has
 * none. malloc'ed, NULL when out of memory. */
char *lvt_op_attrs_text(const lvt_op_def *def);

/* An op in some lines: operands with their types, results, attributes with defaults, meaning, gradient, who
 * runs it (in words). Ends with a line end. malloc'ed, NULL when out of memory. */
char *lvt_op_text(lvt_op op, const char *runs_on);

#endif
