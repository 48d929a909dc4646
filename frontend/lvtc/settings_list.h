/* The list of a model's settings as text. */
#ifndef LVT_FRONTEND_SETTINGS_LIST_H
#define LVT_FRONTEND_SETTINGS_LIST_H

#include "frontend/language/language.h"

#include <stdio.h>

/* Name, value (default, where it is another), meaning, under a heading for the model and each contract. */
void lvt_settings_print(FILE *to, const lvt_setting_list *list);

#endif
