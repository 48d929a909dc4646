/* Formats of pictures beside PNG and JPEG, as image.c calls them: a whole file in memory becomes pixels of 1 or 3
 * channels, whatever was asked for. May not know: files, data sets. */
#ifndef LVT_DATA_FORMATS_H
#define LVT_DATA_FORMATS_H

#include "image.h"

/* LVT_USER: "PATH: cannot be decoded: REASON". */
lvt_status lvt_picture_broken(const char *path, const char *reason, lvt_diag *diag);
extern const char lvt_picture_too_large[]; /* the reason */
/* n bytes, at most 4, as a number. */
uint32_t lvt_number(const uint8_t *p, int n, bool little);
/* Tag 0x0112 of the first directory of an Exif block (a TIFF file without pixels; Exif 2.3, 4.6.4): 1..8, how
 * the camera was held. 1 where the block says nothing that can be understood. */
int lvt_exif_orientation(const uint8_t *tiff, size_t n);

/* out->pixels belongs to the caller; NULL after an error: LVT_USER, LVT_NOMEM. */
bool lvt_bmp_is(const uint8_t *bytes, size_t size);
lvt_status lvt_bmp_read(const char *path, const uint8_t *bytes, size_t size, lvt_picture *out,
                        lvt_diag *diag);
/* Where lvt was built without libwebp it knows the format and refuses it. */
bool lvt_webp_is(const uint8_t *bytes, size_t size);
bool lvt_webp_reads(void);
lvt_status lvt_webp_read(const char *path, const uint8_t *bytes, size_t size, lvt_picture *out,
                         int *orientation, lvt_diag *diag);

#endif
