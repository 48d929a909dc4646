/* How coefficients change over steps and tasks. May not know: models, where values go. */
#include "schedule.h"

#include <math.h>

double lvt_lr_at(const lvt_settings *s, double lr, uint64_t step, uint64_t steps) {
    double part = steps ? (double)step / (double)steps : 0;
    if (s->lr_schedule == LVT_LR_COSINE)
        lr *= 0.5 * (1 + cos(3.14159265358979323846 * part));
    if (s->lr_schedule == LVT_LR_STEP)
        lr *= part < 0.5 ? 1 : part < 0.75 ? 0.1 : 0.01;
    if (step < (uint64_t)s->lr_warmup)
        lr *= (double)(step + 1) / s->lr_warmup;
    return lr;
}

double lvt_r_at(double r0, double decay, int t) {
    return t == 0 ? 1 : r0 * pow(decay, t);
}
