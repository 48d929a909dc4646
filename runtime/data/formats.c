/* What the readers of all formats share. May not know: any of them. */
#include "formats.h"

#include <string.h>

lvt_status lvt_picture_broken(const char *path, const char *reason, lvt_diag *diag) {
    return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: cannot be decoded: %s", path, reason);
}

const char lvt_picture_too_large[] = "a side is longer than 16384 pixels";

uint32_t lvt_number(const uint8_t *p, int bytes, bool little) {
    uint32_t v = 0;
    for (int i = 0; i < bytes; i++)
        v |= (uint32_t)p[i] << 8 * (little ? i : bytes - 1 - i);
    return v;
}

int lvt_exif_orientation(const uint8_t *tiff, size_t n) {
    if (n < 8 || (memcmp(tiff, "II*\0", 4) && memcmp(tiff, "MM\0*", 4)))
        return 1;
    bool little = tiff[0] == 'I';
    size_t at = lvt_number(tiff + 4, 4, little);
    if (at > n || n - at < 2)
        return 1;
    size_t entries = lvt_number(tiff + at, 2, little);
    at += 2;
    for (size_t i = 0; i < entries && n - at >= 12; i++, at += 12) {
        uint32_t type = lvt_number(tiff + at + 2, 2, little);
        if (lvt_number(tiff + at, 2, little) != 0x0112)
            continue;
        uint32_t v = lvt_number(tiff + at + 8, type == 4 ? 4 : 2, little);
        return (type == 3 || type == 4) && v >= 1 && v <= 8 ? (int)v : 1;
    }
    return 1;
}
