/* What the system knows about this process: when it started, how much memory it has had.
 *
 * Invariant: without /proc the answer is "unknown", below 0. May not know: programs. */
#include "command.h"
#include "runtime/session/internal.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

double lvt_cmd_since_start(void) {
    FILE *f = fopen("/proc/self/stat", "re");
    if (!f)
        return -1;
    char text[2048];
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    /* Field 22, in clock ticks since the machine started. The name in field 2 may hold blanks and
     * parentheses: fields are counted after its last one. */
    char *at = strrchr(text, ')');
    unsigned long long ticks;
    if (!at ||
        sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &ticks) != 1)
        return -1;
    struct timespec now;
    if (clock_gettime(CLOCK_BOOTTIME, &now) != 0)
        return -1;
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec - (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

double lvt_cmd_peak_memory(void) {
    FILE *f = fopen("/proc/self/status", "re");
    if (!f)
        return -1;
    char line[256];
    double kib = -1.0 / 1024;
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "VmHWM: %lf kB", &kib) == 1)
            break;
    }
    fclose(f);
    return kib * 1024;
}
