/* Maps from names in a weights file to names of states. Invariant: a map's text and the tensors are
 * untrusted. May not know: modules. */
#include "weight_map.h"
#include "ir/base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading ---- */

static char *next_word(char **at) {
    char *word = *at + strspn(*at, " \t\r");
    if (!*word || *word == '#')
        return NULL;
    char *end = word + strcspn(word, " \t\r");
    *at = *end ? end + 1 : end;
    *end = 0;
    return word;
}

static int stars(const char *pattern) {
    int n = 0;
    for (; *pattern; pattern++)
        n += *pattern == '*';
    return n;
}

static bool number(const char *word, int64_t most, int64_t *out) {
    char *end = NULL;
    long long n = word ? strtoll(word, &end, 10) : 0;
    *out = n;
    return word && end != word && !*end && n >= 0 && n <= most;
}

/* The words behind TO; NULL, or what is wrong with them. */
static const char *read_conversions(char *at, lvt_map_line *l) {
    for (char *word; (word = next_word(&at));) {
        if (l->n == LVT_MAP_CONVERSIONS)
            return "at most four conversions are possible";
        lvt_conversion *c = &l->conversions[l->n++];
        if (!strcmp(word, "transpose")) {
            c->kind = LVT_MAP_TRANSPOSE;
        } else if (!strcmp(word, "reshape")) {
            c->kind = LVT_MAP_RESHAPE;
        } else if (!strcmp(word, "part")) {
            c->kind = LVT_MAP_PART;
            char *which = next_word(&at), *of = next_word(&at), *count = next_word(&at);
            if (!number(which, 4095, &c->order[0]) || !of || strcmp(of, "of") ||
                !number(count, 4096, &c->order[1]) || c->order[0] >= c->order[1])
                return "a part is written `part K of N`, K from 0 to N - 1";
        } else if (!strcmp(word, "permute")) {
            c->kind = LVT_MAP_PERMUTE;
            unsigned seen = 0;
            while (c->n < LVT_MAX_RANK) {
                char *before = at;
                before += strspn(before, " \t\r");
                if (*before < '0' || *before > '9')
                    break;
                if (!number(next_word(&at), LVT_MAX_RANK - 1, &c->order[c->n]))
                    return "a permutation is written `permute 1 0` with each dim once";
                seen |= 1u << c->order[c->n++];
            }
            if (!c->n || seen != (1u << c->n) - 1)
                return "a permutation is written `permute 1 0` with each dim once";
        } else {
            return "a conversion is transpose, permute, reshape or part";
        }
    }
    return NULL;
}

static const char *read_line(char *text, lvt_map_line *l) {
    char *from = next_word(&text), *equals = next_word(&text), *to = next_word(&text);
    if (!equals || strcmp(equals, "=") || !to)
        return "a line is written `FROM = TO`, with spaces around the sign";
    *l = (lvt_map_line){.from = from, .to = to, .line = l->line};
    if (strlen(from) >= LVT_MAP_NAME || strlen(to) >= LVT_MAP_NAME || stars(from) > LVT_MAP_STARS ||
        stars(to) > LVT_MAP_STARS)
        return "a name is too long or has more than eight stars";
    bool nothing = !strcmp(from, "-") || !strcmp(to, "-");
    if (!nothing && stars(to) > stars(from))
        return "TO has more stars than FROM";
    if (!strcmp(from, to) && !strcmp(to, "-"))
        return "one side is to be a name";
    const char *problem = read_conversions(text, l);
    return problem ? problem : nothing && l->n ? "there is nothing to convert" : NULL;
}

lvt_status lvt_weight_map_read(const char *path, lvt_arena *arena, lvt_weight_map *out, lvt_diag *diag) {
    uint8_t *bytes;
    size_t size;
    lvt_status status = lvt_file_read(path, &bytes, &size, diag);
    if (status != LVT_OK)
        return status;
    char *text = lvt_arena_strndup(arena, (const char *)bytes, size);
    *out = (lvt_weight_map){0};
    free(bytes);
    uint32_t line = 1;
    for (char *at = text; at && *at; line++) {
        char *end = strchr(at, '\n'), *start = at;
        at = end ? end + 1 : NULL;
        if (end)
            *end = 0;
        start += strspn(start, " \t\r");
        if (!*start || *start == '#')
            continue;
        lvt_map_line *list = lvt_arena_grow(arena, out->lines, out->n, out->n + 1, &out->cap, sizeof *list);
        if (!list) {
            text = NULL;
            break;
        }
        out->lines = list;
        list[out->n].line = line;
        const char *problem = read_line(start, &list[out->n]);
        if (problem)
            status = lvt_error(diag, LVT_USER, NULL, (lvt_pos){path, line, 0}, "%s", problem);
        else
            out->n++;
    }
    return text ? status : lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "%s: out of memory", path);
}

/* ---- matching ---- */

typedef struct capture {
    const char *at;
    size_t n;
} capture;

/* Backtracks over stars; *left bounds the work on names made to be slow. */
static bool match(const char *p, const char *s, capture *stood, int *left) {
    for (; *p && *p != '*'; p++, s++)
        if (*p != *s)
            return false;
    if (!*p)
        return !*s;
    for (size_t n = 0; (*left)-- > 0; n++) {
        *stood = (capture){s, n};
        if (match(p + 1, s + n, stood + 1, left))
            return true;
        if (!s[n])
            return false;
    }
    return false;
}

bool lvt_weight_map_fits(const char *pattern, const char *name, const char *to, char *result) {
    capture stood[LVT_MAP_STARS + 1];
    int left = 1 << 20, star = 0;
    size_t n = 0;
    if (!match(pattern, name, stood, &left))
        return false;
    for (; *to && n + 1 < LVT_MAP_NAME; to++) {
        if (*to != '*') {
            result[n++] = *to;
            continue;
        }
        size_t more = stood[star].n < LVT_MAP_NAME - 1 - n ? stood[star].n : LVT_MAP_NAME - 1 - n;
        memcpy(result + n, stood[star++].at, more);
        n += more;
    }
    result[n] = 0;
    return true;
}

/* ---- converting ---- */

/* Result dim i is dim order[i] of t. */
static bool permute(lvt_stored_tensor *t, const int64_t *order, lvt_arena *arena) {
    size_t size = lvt_dtype_size((lvt_dtype)t->type.dtype), n = (size_t)lvt_numel(&t->type);
    char *to = lvt_arena_alloc(arena, n * size + 1);
    lvt_type from = t->type;
    size_t stride[LVT_MAX_RANK], step[LVT_MAX_RANK], index[LVT_MAX_RANK] = {0}, at = 0;
    for (int i = from.rank - 1; i >= 0; i--)
        stride[i] = i == from.rank - 1 ? 1 : stride[i + 1] * (size_t)from.dim[i + 1];
    for (int i = 0; i < from.rank; i++) {
        t->type.dim[i] = from.dim[order[i]];
        step[i] = stride[order[i]];
    }
    for (size_t k = 0; to && k < n; k++) {
        memcpy(to + k * size, (const char *)t->data + at * size, size);
        for (int i = from.rank - 1; i >= 0; i--) {
            at += step[i];
            if (++index[i] < (size_t)t->type.dim[i])
                break;
            at -= step[i] * index[i];
            index[i] = 0;
        }
    }
    t->data = to;
    return to != NULL;
}

const lvt_stored_tensor *lvt_weight_map_convert(const lvt_map_line *line, const lvt_stored_tensor *t,
                                                const lvt_type *want, lvt_arena *arena, const char **why) {
    lvt_stored_tensor *out = lvt_arena_alloc(arena, sizeof *out);
    *why = "out of memory";
    if (!out)
        return NULL;
    *out = *t;
    for (int k = 0; k < line->n; k++) {
        const lvt_conversion *c = &line->conversions[k];
        int rank = out->type.rank;
        int64_t order[LVT_MAX_RANK], of = c->order[1];
        switch ((lvt_conversion_kind)c->kind) {
        case LVT_MAP_TRANSPOSE:
        case LVT_MAP_PERMUTE:
            for (int i = 0; i < rank; i++)
                order[i] = c->kind == LVT_MAP_PERMUTE ? c->order[i] : i;
            if (c->kind == LVT_MAP_PERMUTE ? c->n != rank : rank < 2) {
                *why = "it has another number of dimensions than the conversion";
                return NULL;
            }
            if (c->kind == LVT_MAP_TRANSPOSE) {
                order[rank - 1] = rank - 2;
                order[rank - 2] = rank - 1;
            }
            if (!permute(out, order, arena))
                return NULL;
            break;
        case LVT_MAP_RESHAPE:
            if (lvt_numel(&out->type) != lvt_numel(want)) {
                *why = "it has another number of elements";
                return NULL;
            }
            out->type = lvt_type_make((lvt_dtype)out->type.dtype, want->rank, want->dim);
            break;
        case LVT_MAP_PART:
            if (!rank || out->type.dim[0] % of) {
                *why = "its first dimension has no such parts";
                return NULL;
            }
            out->type.dim[0] /= of;
            out->data = (const char *)out->data + (size_t)c->order[0] * lvt_type_bytes(&out->type);
            break;
        }
    }
    return out;
}
