/* The version of lvt, for files, caches and people. */
#ifndef LVT_IR_BASE_VERSION_H
#define LVT_IR_BASE_VERSION_H

#include "diag.h"

#pragma GCC visibility push(default)
const char *lvt_version(void); /* "0.1.0" */
#pragma GCC visibility pop

#endif
