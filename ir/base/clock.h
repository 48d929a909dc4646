/* The one clock, for all that measures or reports time. */
#ifndef LVT_IR_BASE_CLOCK_H
#define LVT_IR_BASE_CLOCK_H

double lvt_seconds(void); /* since some fixed moment; never goes back */

#endif
