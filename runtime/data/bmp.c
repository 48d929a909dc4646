/* BMP pictures: all sizes of pixels of Windows and OS/2 files that are not compressed by runs (Microsoft, "Bitmap
 * Storage"). May not know: files, data sets. */
#include "formats.h"

#include <stdlib.h>
#include <string.h>

typedef struct bmp {
    size_t head, at, row; /* bytes of the header; where pixels begin, and bytes of a row of them */
    uint32_t width, height, bits, compression, colours, masks[3];
    bool top_down;
    const uint8_t *palette;
    size_t entry; /* bytes of a colour of the palette */
} bmp;

enum { PLAIN = 0, FIELDS = 3, FIELDS_ALPHA = 6 };

bool lvt_bmp_is(const uint8_t *bytes, size_t size) {
    return size >= 2 && bytes[0] == 'B' && bytes[1] == 'M';
}

/* NULL: the head can be understood; else what is wrong. */
static const char *read_head(const uint8_t *b, size_t size, bmp *p) {
    if (size < 26)
        return "the file ends too early";
    p->at = lvt_number(b + 10, 4, true);
    p->head = lvt_number(b + 14, 4, true);
    bool old = p->head == 12;
    if ((!old && p->head < 40) || p->head > size - 14)
        return "its header is of an unknown kind";
    uint32_t height = lvt_number(b + (old ? 20 : 22), old ? 2 : 4, true);
    p->width = lvt_number(b + 18, old ? 2 : 4, true);
    p->top_down = height > 0x7fffffff;
    p->height = p->top_down ? -height : height;
    p->bits = lvt_number(b + (old ? 24 : 28), 2, true);
    p->compression = old ? PLAIN : lvt_number(b + 30, 4, true);
    if (!p->width || !p->height)
        return "it has no pixels";
    if (p->width > LVT_MAX_PICTURE_SIDE || p->height > LVT_MAX_PICTURE_SIDE)
        return lvt_picture_too_large;
    bool fields = p->compression == FIELDS || p->compression == FIELDS_ALPHA;
    if ((p->compression != PLAIN && !fields) || (fields && p->bits != 16 && p->bits != 32))
        return "it is compressed, which is not read";
    if (p->bits != 1 && p->bits != 4 && p->bits != 8 && p->bits != 16 && p->bits != 24 && p->bits != 32)
        return "an unusual kind of pixels";
    size_t behind = 14 + p->head; /* of the header */
    static const uint32_t usual[2][3] = {{0x7c00, 0x3e0, 0x1f}, {0xff0000, 0xff00, 0xff}};
    memcpy(p->masks, usual[p->bits == 32], sizeof p->masks);
    if (fields) { /* in the header, or behind one that has no place for them */
        size_t at = 14 + 40;
        if (size < at + 12)
            return "the file ends too early";
        for (int c = 0; c < 3; c++)
            p->masks[c] = lvt_number(b + at + 4 * (size_t)c, 4, true);
        behind += p->head == 40 ? 12 : 0;
    }
    if (p->bits <= 8) {
        uint32_t used = old ? 0 : lvt_number(b + 46, 4, true);
        p->entry = old ? 3 : 4;
        p->colours = used && used <= 1u << p->bits ? used : 1u << p->bits;
        p->palette = b + behind;
        if (behind > size || (size - behind) / p->entry < p->colours)
            return "the file ends too early";
    }
    p->row = ((size_t)p->width * p->bits + 31) / 32 * 4;
    if (p->at > size || (size - p->at) / p->row < p->height)
        return "the file ends too early";
    return NULL;
}

/* A colour's bits of a pixel, 0..255; rounded down, as Pillow does. */
static uint8_t field(uint32_t pixel, uint32_t mask) {
    if (!mask)
        return 0;
    uint32_t lowest = mask & -mask;
    return (uint8_t)((uint64_t)((pixel & mask) / lowest) * 255 / (mask / lowest));
}

static bool is_grey(const bmp *p) {
    for (uint32_t i = 0; i < p->colours; i++) {
        const uint8_t *c = p->palette + i * p->entry;
        if (c[0] != c[1] || c[1] != c[2])
            return false;
    }
    return p->colours > 0;
}

static const uint8_t black[4] = {0};

static void read_row(const bmp *p, const uint8_t *row, uint8_t *to, size_t channels) {
    for (uint32_t x = 0; x < p->width; x++, to += channels) {
        const uint8_t *from = row + (size_t)x * p->bits / 8;
        uint8_t mixed[3];
        if (p->bits <= 8) {
            uint32_t i = *from >> (8 - p->bits - x * p->bits % 8) & ((1u << p->bits) - 1);
            from = i < p->colours ? p->palette + i * p->entry : black;
        } else if (p->bits != 24) {
            uint32_t pixel = lvt_number(from, (int)p->bits / 8, true);
            for (int c = 0; c < 3; c++)
                mixed[2 - c] = field(pixel, p->masks[c]);
            from = mixed;
        }
        for (size_t c = 0; c < channels; c++) /* blue comes first */
            to[c] = from[2 - c];
    }
}

lvt_status lvt_bmp_read(const char *path, const uint8_t *bytes, size_t size, lvt_picture *out,
                        lvt_diag *diag) {
    bmp p = {0};
    *out = (lvt_picture){0};
    const char *wrong = read_head(bytes, size, &p);
    if (wrong)
        return lvt_picture_broken(path, wrong, diag);
    size_t channels = is_grey(&p) ? 1 : 3, line = p.width * channels;
    uint8_t *pixels = malloc((size_t)p.height * p.width * 3); /* room to become colour */
    if (!pixels)
        return lvt_no_memory(diag, path);
    for (uint32_t y = 0; y < p.height; y++)
        read_row(&p, bytes + p.at + (p.top_down ? y : p.height - 1 - y) * p.row, pixels + y * line, channels);
    *out = (lvt_picture){(int)p.height, (int)p.width, (int)channels, pixels};
    return LVT_OK;
}
