/* `lvtc --ops`: the reference of ops and built-in functions. frontend/OPS.md holds the same text. */
#ifndef LVT_FRONTEND_OPS_H
#define LVT_FRONTEND_OPS_H

#include "ir/base/diag.h"

#include <stdio.h>

/* Every op and built-in function of the language, or what has that name (a name may be both). Errors:
 * LVT_USAGE (nothing has it; the nearest name is told), LVT_NOMEM. */
lvt_status lvt_lvtc_ops(FILE *to, const char *name, lvt_diag *diag);

#endif
