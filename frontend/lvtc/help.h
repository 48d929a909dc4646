/* The words of `lvtc --help`. */
#ifndef LVT_FRONTEND_LVTC_HELP_H
#define LVT_FRONTEND_LVTC_HELP_H

#include <stdio.h>

void lvt_lvtc_help(FILE *to);

#endif
