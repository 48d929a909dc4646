/* Objects on disk, one file a kernel, so that a program opens without compiling the second time.
 *
 * Invariants: a file is used only if it is a regular file of this user or root, whole (checksum) and made for exactly
 * this key; anything else is treated as absent and written anew. Writing goes to a temporary name and is
 * renamed, so readers never see half a file. Failing to write is not an error: the next run compiles again.
 * The folder must belong to the user or to root and be writable by nobody else, since what it holds will be
 * executed. A sealed folder is one that was made elsewhere, to be read only.
 * A file's time of modification says when it was last of use, to the day; the folder's size is bounded by
 * removing the oldest. Other processes may do all of this at the same time: what is gone is compiled again.
 * May not know: LLVM, what a kernel is. */
#define _GNU_SOURCE /* O_CLOEXEC, mkostemp */
#include "jit.h"
#include "ir/base/file.h"
#include "ir/base/version.h"
#include "ir/base/hash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* To be raised when generated code changes: keys describe loops, not the code made from them. */
enum { CODE_REVISION = 6, DAY = 24 * 60 * 60, HOUR = 60 * 60 };
#define LLVM_RELEASE "19"

typedef struct header {
    char magic[8];
    uint64_t key_size, object_size, checksum;
} header;
static const char magic[8] = "lvtobj2";

struct lvt_cache {
    char *folder;  /* NULL: none */
    char *machine; /* first part of every key */
    char *sealed;  /* a folder that is only read; NULL: none was named */
    lvt_sealed seal;
};

static const char seal_name[] = "processor"; /* in a sealed folder: the first part of every key */

static uint64_t hash_bytes(const void *data, size_t n, uint64_t seed) {
    uint64_t h = lvt_fnv(seed ^ LVT_FNV_START, data, n);
    h ^= h >> 32; /* the last bytes reach all bits */
    h *= 0x9e3779b97f4a7c15u;
    return h ^ (h >> 29);
}

static char *print(const char *format, const char *a, const char *b, const char *c) {
    int n = snprintf(NULL, 0, format, a, b, c);
    char *s = n < 0 ? NULL : malloc((size_t)n + 1);
    if (s)
        snprintf(s, (size_t)n + 1, format, a, b, c);
    return s;
}

static bool make_folders(char *path) {
    for (char *p = path + 1;; p++) {
        if (*p != '/' && *p != 0)
            continue;
        char end = *p;
        *p = 0;
        bool ok = mkdir(path, 0700) == 0 || errno == EEXIST;
        *p = end;
        if (!ok || !end)
            return ok;
    }
}

/* Nobody but this user and root can have written it. */
static bool is_safe(const struct stat *s) {
    return (s->st_uid == geteuid() || s->st_uid == 0) && (s->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

static bool is_safe_folder(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode) && is_safe(&s);
}

static char *user_folder(void) {
    const char *base = getenv("XDG_CACHE_HOME");
    if (base && base[0] == '/')
        return print("%s/lvt%s%s", base, "", "");
    base = getenv("HOME");
    return base && base[0] == '/' ? print("%s/.cache/lvt%s%s", base, "", "") : NULL;
}

lvt_status lvt_cache_new(const char *folder, const lvt_machine *m, lvt_cache **out) {
    lvt_cache *c = *out = calloc(1, sizeof *c);
    if (!c)
        return LVT_NOMEM;
    char head[64];
    snprintf(head, sizeof head, "lvt %s revision %d LLVM " LLVM_RELEASE, lvt_version(), CODE_REVISION);
    c->machine = print("%s\n%s%s\n", head, m->identity, "");
    if (!c->machine) {
        lvt_cache_free(c);
        *out = NULL;
        return LVT_NOMEM;
    }
    if (!folder || *folder)
        c->folder = folder ? print("%s%s%s", folder, "", "") : user_folder();
    if (c->folder && !(make_folders(c->folder) && is_safe_folder(c->folder))) {
        free(c->folder);
        c->folder = NULL;
    }
    return LVT_OK;
}

void lvt_cache_free(lvt_cache *c) {
    if (!c)
        return;
    free(c->folder);
    free(c->machine);
    free(c->sealed);
    free(c);
}

static bool is_ours(const char *name) {
    return strlen(name) == LVT_CACHE_NAME - 1 && strspn(name, "0123456789abcdef") == LVT_CACHE_NAME - 1;
}

lvt_status lvt_cache_look_in(lvt_cache *c, const char *folder) {
    free(c->sealed);
    c->sealed = strdup(folder);
    char *path = print("%s/%s%s", folder, seal_name, "");
    uint8_t *text = NULL;
    size_t size = 0;
    if (c->sealed && path && lvt_file_read(path, &text, &size, NULL) == LVT_NOMEM) {
        free(c->sealed);
        c->sealed = NULL;
    }
    if (!text)
        c->seal = LVT_SEALED_MISSING;
    else if (size != strlen(c->machine) || memcmp(text, c->machine, size))
        c->seal = LVT_SEALED_OTHER;
    else
        c->seal = is_safe_folder(folder) ? LVT_SEALED_FITS : LVT_SEALED_UNSAFE;
    bool ok = c->sealed && path;
    free(text);
    free(path);
    return ok ? LVT_OK : LVT_NOMEM;
}

lvt_sealed lvt_cache_sealed(const lvt_cache *c, const char **folder) {
    *folder = c->sealed;
    return c->sealed ? c->seal : LVT_SEALED_NONE;
}

lvt_status lvt_cache_seal(const lvt_cache *c, lvt_diag *diag) {
    char *path = c->folder ? print("%s/%s%s", c->folder, seal_name, "") : NULL;
    if (!path)
        return c->folder
                   ? lvt_no_memory(diag, NULL)
                   : lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "the folder for kernels cannot be used");
    lvt_status status = lvt_file_write(NULL, path, c->machine, strlen(c->machine), diag);
    free(path);
    DIR *d = status == LVT_OK ? opendir(c->folder) : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        if (is_ours(e->d_name) || !strcmp(e->d_name, seal_name))
            (void)fchmodat(dirfd(d), e->d_name, 0644,
                           0); /* they may be carried elsewhere, for others to run */
    }
    if (d)
        (void)fchmod(dirfd(d), 0755);
    if (d)
        closedir(d);
    return status;
}

const char *lvt_cache_folder(const lvt_cache *c) {
    return c->folder;
}

void lvt_cache_name(const lvt_cache *c, const char *key, char name[LVT_CACHE_NAME]) {
    uint64_t a = hash_bytes(key, strlen(key), hash_bytes(c->machine, strlen(c->machine), 1));
    uint64_t b = hash_bytes(key, strlen(key), hash_bytes(c->machine, strlen(c->machine), 2));
    snprintf(name, LVT_CACHE_NAME, "%016llx%016llx", (unsigned long long)a, (unsigned long long)b);
}

static uint64_t checksum_of(const char *machine, const char *key, const void *object, size_t size) {
    return hash_bytes(object, size, hash_bytes(key, strlen(key), hash_bytes(machine, strlen(machine), 3)));
}

static bool read_file(const lvt_cache *c, int fd, const char *key, lvt_object *out) {
    struct stat s;
    header h;
    size_t machine = strlen(c->machine), rest = strlen(key), key_size = machine + rest;
    if (fstat(fd, &s) != 0 || !S_ISREG(s.st_mode) || !is_safe(&s))
        return false;
    if (!lvt_fd_read(fd, &h, sizeof h) || memcmp(h.magic, magic, sizeof magic) != 0 ||
        h.key_size != key_size || h.object_size == 0 || h.object_size > (uint64_t)LVT_IMAGE_MOST ||
        (uint64_t)s.st_size != sizeof h + key_size + h.object_size)
        return false;
    char *text = malloc(key_size + 1);
    void *object = malloc(h.object_size);
    bool ok = text && object && lvt_fd_read(fd, text, key_size) && memcmp(text, c->machine, machine) == 0 &&
              memcmp(text + machine, key, rest) == 0 && lvt_fd_read(fd, object, h.object_size) &&
              checksum_of(c->machine, key, object, h.object_size) == h.checksum;
    free(text);
    ok = ok && lvt_image_plausible(&(lvt_object){object, h.object_size});
    if (ok)
        *out = (lvt_object){object, h.object_size};
    else
        free(object);
    if (ok && s.st_mtime < time(NULL) - DAY)
        (void)futimens(fd, NULL); /* now; without it, it is removed early */
    return ok;
}

static bool get_from(const lvt_cache *c, const char *folder, const char *key, lvt_object *out) {
    char name[LVT_CACHE_NAME];
    lvt_cache_name(c, key, name);
    char *path = print("%s/%s%s", folder, name, "");
    int fd = path ? open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK) : -1;
    free(path);
    if (fd < 0)
        return false;
    bool ok = read_file(c, fd, key, out);
    close(fd);
    return ok;
}

bool lvt_cache_get(lvt_cache *c, const char *key, lvt_object *out) {
    *out = (lvt_object){0};
    return (c->sealed && c->seal == LVT_SEALED_FITS && get_from(c, c->sealed, key, out)) ||
           (c->folder && get_from(c, c->folder, key, out));
}

void lvt_cache_put(lvt_cache *c, const char *key, const lvt_object *object) {
    char name[LVT_CACHE_NAME];
    if (!c->folder || object->size > (uint64_t)LVT_IMAGE_MOST)
        return;
    lvt_cache_name(c, key, name);
    char *path = print("%s/%s%s", c->folder, name, ""),
         *temporary = print("%s/.%s.XXXXXX%s", c->folder, name, "");
    int fd = path && temporary ? mkostemp(temporary, O_CLOEXEC) : -1; /* mode 0600 */
    if (fd >= 0) {
        header h = {.key_size = strlen(c->machine) + strlen(key),
                    .object_size = object->size,
                    .checksum = checksum_of(c->machine, key, object->data, object->size)};
        memcpy(h.magic, magic, sizeof magic);
        bool ok = lvt_fd_write(fd, &h, sizeof h) && lvt_fd_write(fd, c->machine, strlen(c->machine)) &&
                  lvt_fd_write(fd, key, strlen(key)) && lvt_fd_write(fd, object->data, object->size);
        ok = close(fd) == 0 && ok; /* no sync: a file torn by a crash fails its checksum */
        if (!ok || rename(temporary, path) != 0)
            unlink(temporary);
    }
    free(path);
    free(temporary);
}

typedef struct entry {
    char name[LVT_CACHE_NAME];
    time_t used;
    uint64_t size;
} entry;

static int by_use(const void *a, const void *b) {
    const entry *x = a, *y = b;
    return x->used != y->used ? (x->used > y->used) - (x->used < y->used) : strcmp(x->name, y->name);
}

/* Notes a file of ours, removes a temporary one that nobody can be writing any more, leaves all others alone.
 * False: out of memory. */
static bool note(int folder, const char *name, entry **list, size_t *n, size_t *capacity) {
    struct stat s;
    bool temporary = name[0] == '.' && strlen(name) == LVT_CACHE_NAME + 7;
    if ((!temporary && !is_ours(name)) || fstatat(folder, name, &s, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(s.st_mode))
        return true;
    if (temporary) {
        if (s.st_mtime < time(NULL) - HOUR)
            (void)unlinkat(folder, name, 0);
        return true;
    }
    if (*n == *capacity) {
        size_t more = *capacity ? 2 * *capacity : 256;
        entry *grown = realloc(*list, more * sizeof *grown);
        if (!grown)
            return false;
        *list = grown;
        *capacity = more;
    }
    entry *e = &(*list)[(*n)++];
    memcpy(e->name, name, sizeof e->name);
    e->used = s.st_mtime;
    e->size = (uint64_t)s.st_size;
    return true;
}

void lvt_cache_prune(lvt_cache *c, uint64_t most) {
    DIR *d = c->folder ? opendir(c->folder) : NULL;
    entry *list = NULL;
    size_t n = 0, capacity = 0;
    uint64_t total = 0;
    if (!d)
        return;
    bool ok = true;
    for (struct dirent *e; ok && (e = readdir(d));)
        ok = note(dirfd(d), e->d_name, &list, &n, &capacity);
    for (size_t i = 0; i < n; i++)
        total += list[i].size;
    if (ok && total > most) {
        qsort(list, n, sizeof *list, by_use);
        for (size_t i = 0; i < n && total > most / 4 * 3; i++) {
            if (unlinkat(dirfd(d), list[i].name, 0) == 0 || errno == ENOENT)
                total -= list[i].size;
        }
    }
    free(list);
    closedir(d);
}
