/* Pictures in files of PNG, JPEG, BMP and WebP: decoding, scaling, and writing a PNG.
 *
 * Invariants: pixels are 8-bit, height x width x channels, without gaps; a broken picture is an error that
 * names it, never a crash and never noise on standard error. May not know: data sets, models. */
#ifndef LVT_DATA_IMAGE_H
#define LVT_DATA_IMAGE_H

#include "ir/base/file.h"

enum { LVT_MAX_PICTURE_SIDE = 16384 };

typedef struct lvt_picture {
    int height, width, channels;
    uint8_t *pixels; /* malloc'ed */
} lvt_picture;

/* True when the name ends in .png, .jpg, .jpeg, .bmp or, where lvt was built with libwebp, .webp (any case). */
bool lvt_picture_name(const char *name);
/* Decodes a file of these formats (told by its first bytes). channels: 1 (grey) or 3 (colour): converted to that;
 * 0: 1 when the picture is grey, else 3. Pixels are what PIL's `convert` to RGB or L gives after
 * ImageOps.exif_transpose: grey is (19595 R + 38470 G + 7471 B + 2^15) / 2^16 of the colours as they are
 * stored, gamma and profiles are passed over, transparency is dropped, inks (CMYK) become colours, 16-bit
 * samples keep their high byte, and a picture that the camera took turned is turned upright.
 * out->pixels belongs to the caller, NULL on error. Errors: LVT_IO, LVT_USER (cannot be decoded), LVT_NOMEM.
 */
lvt_status lvt_picture_read(const char *path, int channels, lvt_picture *out, lvt_diag *diag);
/* Scales in place: the mean over the source area of each target pixel when shrinking, bilinear when growing
 * (each direction for itself). */
lvt_status lvt_picture_resize(lvt_picture *p, int height, int width, lvt_diag *diag);
/* The bytes of a PNG (1 or 3 channels): *bytes is malloc'ed and belongs to the caller, NULL on error.
 * LVT_NOMEM. */
lvt_status lvt_picture_encode(const lvt_picture *p, uint8_t **bytes, size_t *size, lvt_diag *diag);
/* The same as JPEG of `quality` 1..100: for thumbnails of photographs, a third of the bytes. */
lvt_status lvt_picture_encode_jpeg(const lvt_picture *p, int quality, uint8_t **bytes, size_t *size,
                                   lvt_diag *diag);
/* Writes an 8-bit PNG (1 or 3 channels), atomically; `in`: see file.h, may be NULL. */
lvt_status lvt_picture_write(const lvt_picture *p, const lvt_folder *in, const char *path, lvt_diag *diag);

#endif
