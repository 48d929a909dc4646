/* Memory by getrusage, energy by powercap. May not know: training. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* asprintf */
#endif
#include "usage.h"

#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

double lvt_peak_memory(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? 1024.0 * (double)usage.ru_maxrss : NAN; /* Linux: KiB */
}

static bool read_count(const char *path, uint64_t *out) {
    FILE *f = fopen(path, "re");
    bool ok = f && fscanf(f, "%" SCNu64, out) == 1;
    if (f)
        fclose(f);
    return ok;
}

void lvt_energy_open(lvt_energy *e, const char *folder) {
    *e = (lvt_energy){0};
    DIR *d = opendir(folder);
    for (struct dirent *entry; d && (entry = readdir(d)) && e->n < LVT_MAX_PACKAGES;) {
        int package, end = 0; /* intel-rapl:0 is a package (of AMD's too), intel-rapl:0:1 a part of it */
        if (sscanf(entry->d_name, "intel-rapl:%d%n", &package, &end) != 1 || entry->d_name[end])
            continue;
        char *counter = NULL, *range = NULL;
        if (asprintf(&counter, "%s/%s/energy_uj", folder, entry->d_name) < 0)
            counter = NULL;
        if (asprintf(&range, "%s/%s/max_energy_range_uj", folder, entry->d_name) < 0)
            range = NULL;
        if (counter && range && read_count(counter, &e->last[e->n]) && read_count(range, &e->range[e->n]))
            e->files[e->n++] = counter;
        else
            free(counter);
        free(range);
    }
    if (d)
        closedir(d);
}

void lvt_energy_sample(lvt_energy *e) {
    for (int i = 0; i < e->n; i++) {
        uint64_t now;
        if (!read_count(e->files[i], &now))
            continue;
        uint64_t used = now >= e->last[i] ? now - e->last[i] : now + (e->range[i] - e->last[i]);
        e->joules += 1e-6 * (double)used;
        e->last[i] = now;
    }
}

void lvt_energy_close(lvt_energy *e) {
    for (int i = 0; i < e->n; i++)
        free(e->files[i]);
    *e = (lvt_energy){0};
}
