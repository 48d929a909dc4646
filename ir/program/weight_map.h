/* Inside the loading of weights: the lines of a map. */
#ifndef LVT_IR_PROGRAM_WEIGHT_MAP_H
#define LVT_IR_PROGRAM_WEIGHT_MAP_H

#include "safetensors.h"

enum { LVT_MAP_CONVERSIONS = 4, LVT_MAP_STARS = 8, LVT_MAP_NAME = 1024 };

typedef enum lvt_conversion_kind {
    LVT_MAP_TRANSPOSE,
    LVT_MAP_PERMUTE,
    LVT_MAP_RESHAPE,
    LVT_MAP_PART
} lvt_conversion_kind;
typedef struct lvt_conversion {
    uint8_t kind;
    int n;
    int64_t order[LVT_MAX_RANK]; /* of PART: which, of how many */
} lvt_conversion;

typedef struct lvt_map_line {
    const char *from, *to; /* "-": nothing */
    lvt_conversion conversions[LVT_MAP_CONVERSIONS];
    int n;
    uint32_t line;
    bool used;
} lvt_map_line;

typedef struct lvt_weight_map {
    lvt_map_line *lines;
    size_t n, cap;
} lvt_weight_map;

/* Reads a map into `arena`. LVT_USER with every line that is wrong. */
lvt_status lvt_weight_map_read(const char *path, lvt_arena *arena, lvt_weight_map *out, lvt_diag *diag);
/* Whether `name` fits `pattern`; then to's stars are replaced by what the pattern's stood for (result: room
 * for LVT_MAP_NAME letters, cut there). */
bool lvt_weight_map_fits(const char *pattern, const char *name, const char *to, char *result);
/* The tensor as the line wants it, in `arena`. want: the type that reshape aims at. NULL: *why says why not.
 */
const lvt_stored_tensor *lvt_weight_map_convert(const lvt_map_line *line, const lvt_stored_tensor *t,
                                                const lvt_type *want, lvt_arena *arena, const char **why);

#endif
