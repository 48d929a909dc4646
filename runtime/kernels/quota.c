/* How much of the machine a container or a scheduler grants: the CPU quota of the control groups that the
 * process is in, of either version (Linux, Documentation/admin-guide/cgroup-v2.rst: cpu.max; cgroup-v1 and
 * scheduler/sched-bwc.rst: cpu.cfs_quota_us, cpu.cfs_period_us).
 *
 * Invariant: what cannot be read grants everything. May not know: teams, affinity. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* asprintf, getline */
#endif
#include "threads.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static FILE *open_below(const char *root, const char *folder, const char *name) {
    char *path = NULL;
    if (asprintf(&path, "%s%s/%s", root, folder, name) < 0)
        return NULL;
    FILE *f = fopen(path, "re");
    free(path);
    return f;
}

/* Reads "NUMBER" or "NUMBER NUMBER"; how many were there. */
static int read_numbers(const char *root, const char *folder, const char *name, long long out[2]) {
    FILE *f = open_below(root, folder, name);
    int n = f ? fscanf(f, "%lld %lld", &out[0], &out[1]) : 0;
    if (f)
        fclose(f);
    return n < 0 ? 0 : n;
}

/* Of one group; INT_MAX: none. */
static int quota_of(const char *root, const char *folder, bool v2) {
    long long number[2] = {0}, more[2] = {0};
    bool has = v2 ? read_numbers(root, folder, "cpu.max", number) == 2 /* "max 100000": none */
                  : read_numbers(root, folder, "cpu.cfs_quota_us", number) == 1 &&
                        read_numbers(root, folder, "cpu.cfs_period_us", more) == 1;
    long long quota = number[0], period = v2 ? number[1] : more[0];
    if (!has || quota <= 0 || period <= 0)
        return INT_MAX;
    long long processors = (quota - 1) / period + 1; /* a part of one is used by a thread of its own */
    return processors < INT_MAX ? (int)processors : INT_MAX;
}

/* Is `word` one of the words of a list with commas? */
static bool lists(const char *list, const char *word) {
    size_t n = strlen(word);
    for (; list; list = strchr(list, ',')) {
        list += *list == ',';
        if (!strncmp(list, word, n) && (list[n] == ',' || !list[n]))
            return true;
    }
    return false;
}

/* The process's path in the hierarchy of the controller, malloc'ed; NULL: it is in none. */
static char *path_of(const char *root, bool v2) {
    FILE *f = open_below(root, "/proc/self", "cgroup");
    char *line = NULL, *found = NULL;
    size_t size = 0;
    while (f && !found && getline(&line, &size, f) > 0) { /* "ID:CONTROLLER,CONTROLLER:PATH" */
        line[strcspn(line, "\n")] = 0;
        char *rest = line, *id = strsep(&rest, ":"), *list = strsep(&rest, ":");
        if (rest && (v2 ? !strcmp(id, "0") && !*list : lists(list, "cpu")))
            found = strdup(rest);
    }
    free(line);
    if (f)
        fclose(f);
    return found;
}

/* Spaces and the like are written as \040 in mountinfo. */
static void decode(char *text) {
    char *to = text;
    for (const char *p = text; *p; p++) {
        bool octal = p[0] == '\\';
        for (int k = 1; k <= 3 && octal; k++)
            octal = p[k] >= '0' && p[k] <= '7';
        *to++ = octal ? (char)((p[1] - '0') * 64 + (p[2] - '0') * 8 + (p[3] - '0')) : *p;
        p += octal ? 3 : 0;
    }
    *to = 0;
}

/* The least quota of a group and those above it: below `mount`, which shows the hierarchy from `top` on. */
static int least_above(const char *root, const char *mount, const char *top, const char *path, bool v2) {
    size_t n = strcmp(top, "/") ? strlen(top) : 0;
    bool below = !strncmp(path, top, n) && (path[n] == '/' || !path[n]);
    char *folder =
        NULL; /* a path outside of what is mounted is that of the mounted group, seen from elsewhere */
    if (asprintf(&folder, "%s%s", mount, below && strcmp(path + n, "/") ? path + n : "") < 0)
        return INT_MAX;
    int least = INT_MAX;
    for (size_t end = strlen(folder); end >= strlen(mount);) {
        folder[end] = 0;
        int quota = quota_of(root, folder, v2);
        least = quota < least ? quota : least;
        char *slash = strrchr(folder, '/');
        if (!slash)
            break;
        end = (size_t)(slash - folder);
    }
    free(folder);
    return least;
}

static int quota_in(const char *root, bool v2) {
    char *path = path_of(root, v2), *line = NULL;
    FILE *f = path ? open_below(root, "/proc/self", "mountinfo") : NULL;
    size_t size = 0;
    int least = INT_MAX;
    while (f &&
           getline(&line, &size, f) > 0) { /* "ID PARENT DEVICE TOP MOUNT OPTIONS... - TYPE SOURCE OPTIONS" */
        line[strcspn(line, "\n")] = 0;
        char *dash = strstr(line, " - "), *rest = line, *word[5], *last[3];
        if (!dash)
            continue;
        *dash = 0;
        for (int i = 0; i < 5; i++)
            word[i] = strsep(&rest, " ");
        rest = dash + 3;
        for (int i = 0; i < 3; i++)
            last[i] = strsep(&rest, " ");
        if (!word[4] || !last[2] || strcmp(last[0], v2 ? "cgroup2" : "cgroup") ||
            (!v2 && !lists(last[2], "cpu")))
            continue;
        decode(word[3]);
        decode(word[4]);
        int quota = least_above(root, word[4], word[3], path, v2);
        least = quota < least ? quota : least;
    }
    free(line);
    if (f)
        fclose(f);
    free(path);
    return least;
}

int lvt_cpu_quota(const char *root) {
    int v1 = quota_in(root, false), v2 = quota_in(root, true);
    return v1 < v2 ? v1 : v2;
}
