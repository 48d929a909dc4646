/* How coefficients change over steps and tasks. May not know: models, where values go. */
#ifndef LVT_CONTINUAL_SCHEDULE_H
#define LVT_CONTINUAL_SCHEDULE_H

#include "settings.h"

/* lr after the schedule; step counts from 0 inside the task. */
double lvt_lr_at(const lvt_settings *s, double lr, uint64_t step, uint64_t steps);
/* Weight of the accumulation loss on new data in task t (from 0): 1 in the first, then r0 * decay^t. */
double lvt_r_at(double r0, double decay, int t);

#endif
