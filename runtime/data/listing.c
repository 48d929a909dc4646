/* What lies in a folder: pictures, folders, and what is left out. May not know: how pictures are coded, data sets. */
#include "listing.h"
#include "ir/base/file.h"
#include "ir/base/grow.h"
#include "ir/base/utf8.h"
#include "image.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEEPEST = 32 };

void lvt_names_free(lvt_names *l) {
    for (int i = 0; i < l->n; i++)
        free(l->list[i]);
    free(l->list);
    *l = (lvt_names){0};
}

static int by_bytes(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

bool lvt_names_add(lvt_names *l, char *name) {
    char **more = name ? lvt_grow(l->list, (size_t)l->n, sizeof *more) : NULL;
    l->list = more ? more : l->list;
    if (more)
        l->list[l->n++] = name;
    else
        free(name);
    return more != NULL;
}

static void sort(lvt_names *l) {
    if (l->n)
        qsort(l->list, (size_t)l->n, sizeof *l->list, by_bytes);
}

/* ---- what is left out ---------------------------------------------------------------------------------- */

void lvt_ignore_file(lvt_ignored *g, const char *name) {
    const char *dot = strrchr(name, '.');
    char kind[LVT_KIND_TEXT];
    snprintf(kind, sizeof kind, "%s", dot && strlen(dot) < LVT_KIND_TEXT ? dot : "without an ending");
    for (char *c = kind; *c && *kind == '.'; c++)
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
    int k = 0;
    while (k < g->n_kinds && strcmp(g->kinds[k].name, kind))
        k++;
    if (k == g->n_kinds && k < LVT_KINDS)
        memcpy(g->kinds[g->n_kinds++].name, kind, sizeof kind);
    if (k < LVT_KINDS)
        g->kinds[k].n++;
    else
        g->others++;
    g->all++;
}

/* Files in the folder `name` of the open folder `at`, and below it; links are not followed. */
static size_t count_below(int at, const char *name, int depth) {
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    size_t n = 0;
    if (!d && fd >= 0)
        close(fd);
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        if (e->d_name[0] == '.' || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        n += !S_ISDIR(st.st_mode);
        if (S_ISDIR(st.st_mode) && depth < DEEPEST)
            n += count_below(dirfd(d), e->d_name, depth + 1);
    }
    if (d)
        closedir(d);
    return n;
}

void lvt_ignored_tell(const lvt_ignored *g, const char *dir, lvt_diag *diag) {
    char *text = NULL;
    size_t size = 0;
    FILE *f = g->all ? open_memstream(&text, &size) : NULL;
    const char *between = "";
    for (int k = 0; f && k < g->n_kinds; k++, between = ", ")
        fprintf(f, "%s%zu %s", between, g->kinds[k].n, g->kinds[k].name);
    const struct {
        size_t n;
        const char *where[2]; /* one; several */
    } rest[] = {{g->others, {"of another kind", "of other kinds"}},
                {g->below, {"in a folder below", "in folders below"}},
                {g->beside, {"beside the classes", "beside the classes"}}};
    for (size_t k = 0; f && k < sizeof rest / sizeof *rest; k++) {
        if (rest[k].n) {
            fprintf(f, "%s%zu %s", between, rest[k].n, rest[k].where[rest[k].n > 1]);
            between = ", ";
        }
    }
    if (f && fclose(f) == 0 && text)
        lvt_warning(diag, NULL, LVT_NOWHERE, "%s: %zu file%s ignored: %s", dir, g->all,
                    g->all == 1 ? "" : "s", text);
    free(text);
}

lvt_status lvt_list(const char *dir, lvt_list_kind kind, lvt_names *out, lvt_ignored *g, lvt_diag *diag) {
    bool folders = kind != LVT_LIST_PICTURES;
    *out = (lvt_names){0};
    DIR *d = opendir(dir);
    if (!d)
        return lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: cannot be read: %s", dir, strerror(errno));
    lvt_status status = LVT_OK;
    for (struct dirent *e; status == LVT_OK && (e = readdir(d));) {
        struct stat st;
        if (e->d_name[0] == '.')
            continue;
        bool there = fstatat(dirfd(d), e->d_name, &st, 0) == 0, folder = there && S_ISDIR(st.st_mode);
        if (folders ? !folder : !there || !S_ISREG(st.st_mode) || !lvt_picture_name(e->d_name)) {
            size_t below = folder ? count_below(dirfd(d), e->d_name, 0) : 0;
            if (folders)
                g->beside++, g->all++;
            else if (folder)
                g->below += below, g->all += below;
            else
                lvt_ignore_file(g, e->d_name);
            continue;
        }
        if (kind == LVT_LIST_CLASSES && !lvt_utf8_valid(e->d_name)) {
            status =
                lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                          "%s/%s: the folder's name would be a class's, but it is not UTF-8", dir, e->d_name);
            lvt_note(diag, LVT_NOWHERE, "rename it; `convmv -f latin1 -t utf8` does so for many");
            continue;
        }
        if (!lvt_names_add(out, strdup(e->d_name)))
            status = lvt_no_memory(diag, dir);
    }
    closedir(d);
    if (status != LVT_OK)
        lvt_names_free(out);
    sort(out);
    return status;
}

static lvt_status list_below(const char *dir, int depth, lvt_names *out, lvt_ignored *g, lvt_diag *diag) {
    lvt_names pictures = {0}, folders = {0};
    DIR *d = opendir(dir);
    if (!d)
        return lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: cannot be read: %s", dir, strerror(errno));
    lvt_status status = LVT_OK;
    for (struct dirent *e; status != LVT_NOMEM && (e = readdir(d));) {
        struct stat st, itself;
        if (e->d_name[0] == '.' || fstatat(dirfd(d), e->d_name, &itself, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        bool there = fstatat(dirfd(d), e->d_name, &st, 0) == 0;
        lvt_names *to = S_ISDIR(itself.st_mode)                                       ? &folders
                        : there && S_ISREG(st.st_mode) && lvt_picture_name(e->d_name) ? &pictures
                                                                                      : NULL;
        if (!to)
            lvt_ignore_file(g, e->d_name);
        else if (!lvt_names_add(to, lvt_path_join(dir, e->d_name)))
            status = lvt_no_memory(diag, dir);
    }
    closedir(d);
    sort(&pictures);
    sort(&folders);
    for (int i = 0; i < pictures.n && status != LVT_NOMEM; i++) {
        char *path = pictures.list[i];
        pictures.list[i] = NULL;
        if (!lvt_names_add(out, path))
            status = lvt_no_memory(diag, dir);
    }
    for (int i = 0; i < folders.n && status != LVT_NOMEM; i++) {
        lvt_status below = depth < DEEPEST
                               ? list_below(folders.list[i], depth + 1, out, g, diag)
                               : lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE,
                                           "%s: is more than %d folders deep", folders.list[i], DEEPEST);
        status = below == LVT_OK ? status : below;
    }
    lvt_names_free(&pictures);
    lvt_names_free(&folders);
    return status;
}

lvt_status lvt_list_below(const char *dir, lvt_names *out, lvt_ignored *g, lvt_diag *diag) {
    *out = (lvt_names){0};
    return list_below(dir, 0, out, g, diag);
}
