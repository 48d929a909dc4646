/* What a run takes of the machine: memory and, where the kernel tells, energy.
 *
 * Invariant: nothing here changes what is computed; what cannot be read is not there. May not know: training.
 */
#ifndef LVT_CONTINUAL_USAGE_H
#define LVT_CONTINUAL_USAGE_H

#include <stdbool.h>
#include <stdint.h>

/* The most memory this process ever had, in bytes; NaN: unknown. */
double lvt_peak_memory(void);

/* Energy of all processor packages, whoever made them work, by the kernel's powercap counters (micro-joules
 * that begin anew at a range of minutes to hours: sample more often). */
enum { LVT_MAX_PACKAGES = 16 };
typedef struct lvt_energy {
    int n; /* counters; 0: the kernel has none, or does not show them to this user */
    char *files[LVT_MAX_PACKAGES];
    uint64_t last[LVT_MAX_PACKAGES], range[LVT_MAX_PACKAGES];
    double joules; /* added up by samples */
} lvt_energy;

#define LVT_POWERCAP "/sys/class/powercap"
/* Begins at 0 joules. Freed by lvt_energy_close. */
void lvt_energy_open(lvt_energy *e, const char *folder);
void lvt_energy_sample(lvt_energy *e);
void lvt_energy_close(lvt_energy *e);

#endif
