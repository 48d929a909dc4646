/* The settings of a training run (continual/settings.def) as options of a command.
 *
 * Invariant: one row a setting or heading. May not know: what they do. */
#ifndef LVT_COMMAND_SETTINGS_H
#define LVT_COMMAND_SETTINGS_H

#include "command.h"
#include "runtime/continual/settings.h"

enum {
    LVT_SETTINGS_ROWS = 0
#define LVT_HEADING(text) +1
#define LVT_SETTING(...) +1
#include "runtime/continual/settings.def"
};

/* Writes LVT_SETTINGS_ROWS rows whose targets are the fields of `s`; coefficients go to `coef`, which uses
 * the space of s->coef. Returns the number of rows. */
int lvt_cmd_settings(lvt_settings *s, lvt_option_list *coef, lvt_option *rows);

#endif
