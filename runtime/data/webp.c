/* WebP pictures through libwebp, where that is. May not know: files, data sets. */
#include "formats.h"

#include <stdlib.h>
#include <string.h>
#ifdef LVT_WEBP
#include <webp/decode.h>
#endif

bool lvt_webp_is(const uint8_t *bytes, size_t size) {
    return size >= 12 && !memcmp(bytes, "RIFF", 4) && !memcmp(bytes + 8, "WEBP", 4);
}

#ifndef LVT_WEBP
bool lvt_webp_reads(void) {
    return false;
}

lvt_status lvt_webp_read(const char *path, const uint8_t *bytes, size_t size, lvt_picture *out,
                         int *orientation, lvt_diag *diag) {
    (void)bytes;
    (void)size;
    (void)orientation;
    *out = (lvt_picture){0};
    return lvt_picture_broken(path, "it is WebP, and lvt was built without libwebp", diag);
}
#else
bool lvt_webp_reads(void) {
    return true;
}

/* A chunk "EXIF" of the RIFF container; writers put "Exif\0\0" before the block, or do not. */
static int orientation_in(const uint8_t *bytes, size_t size) {
    for (size_t at = 12; size - at >= 8;) {
        size_t n = lvt_number(bytes + at + 4, 4, true);
        const uint8_t *data = bytes + at + 8;
        if (n > size - at - 8)
            break;
        if (!memcmp(bytes + at, "EXIF", 4)) {
            size_t head = n > 6 && !memcmp(data, "Exif\0\0", 6) ? 6 : 0;
            return lvt_exif_orientation(data + head, n - head);
        }
        at += 8 + n;
        at += n & 1 && at < size;
    }
    return 1;
}

lvt_status lvt_webp_read(const char *path, const uint8_t *bytes, size_t size, lvt_picture *out,
                         int *orientation, lvt_diag *diag) {
    WebPBitstreamFeatures f;
    *out = (lvt_picture){0};
    if (WebPGetFeatures(bytes, size, &f) != VP8_STATUS_OK)
        return lvt_picture_broken(path, "it is no WebP that libwebp can read", diag);
    if (f.has_animation)
        return lvt_picture_broken(path, "it is an animation", diag);
    if (f.width > LVT_MAX_PICTURE_SIDE || f.height > LVT_MAX_PICTURE_SIDE)
        return lvt_picture_broken(path, lvt_picture_too_large, diag);
    size_t row = 3 * (size_t)f.width, n = row * (size_t)f.height;
    uint8_t *pixels = malloc(n);
    if (!pixels)
        return lvt_no_memory(diag, path);
    if (!WebPDecodeRGBInto(bytes, size, pixels, n,
                           (int)row)) { /* colours as they are stored, without alpha */
        free(pixels);
        return lvt_picture_broken(path, "its data are damaged, or end too early", diag);
    }
    *orientation = orientation_in(bytes, size);
    *out = (lvt_picture){f.height, f.width, 3, pixels};
    return LVT_OK;
}
#endif
