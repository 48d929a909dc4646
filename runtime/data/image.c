/* PNG and JPEG pictures through libpng and libjpeg. May not know: data sets, models. */
#include "image.h"
#include "ir/base/file.h"

#include <stdio.h> /* before jpeglib.h, which needs it */
#include <jpeglib.h>
#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool lvt_picture_name(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot && dot != name &&
           (!strcasecmp(dot, ".png") || !strcasecmp(dot, ".jpg") || !strcasecmp(dot, ".jpeg"));
}

static lvt_status broken(const char *path, const char *reason, lvt_diag *diag) {
    return lvt_error(diag, LVT_USER, NULL, LVT_NOWHERE, "%s: cannot be decoded: %s", path, reason);
}

/* ---- PNG: the simplified interface of libpng 1.6, which returns its errors ----------------------------- */

static lvt_status read_png(const char *path, const uint8_t *bytes, size_t size, int channels,
                           lvt_picture *out, lvt_diag *diag) {
    png_image image = {.version = PNG_IMAGE_VERSION};
    if (!png_image_begin_read_from_memory(&image, bytes, size))
        return broken(path, image.message, diag);
    /* Without a gamma in the file 16-bit samples would be taken for linear light, which they seldom are. */
    image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
    if (image.width > LVT_MAX_PICTURE_SIDE || image.height > LVT_MAX_PICTURE_SIDE) {
        png_image_free(&image);
        return broken(path, "a side is longer than 16384 pixels", diag);
    }
    out->channels = channels ? channels : image.format & PNG_FORMAT_FLAG_COLOR ? 3 : 1;
    bool alpha = image.format & PNG_FORMAT_FLAG_ALPHA;
    /* With an alpha channel asked for, the colours come back as they are stored, not blended with a
     * background. */
    image.format =
        (out->channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY) | (alpha ? PNG_FORMAT_FLAG_ALPHA : 0);
    out->height = (int)image.height;
    out->width = (int)image.width;
    out->pixels = malloc(PNG_IMAGE_SIZE(image));
    if (!out->pixels) {
        png_image_free(&image);
        return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "%s: out of memory", path);
    }
    if (!png_image_finish_read(&image, NULL, out->pixels, 0, NULL)) {
        free(out->pixels);
        out->pixels = NULL;
        return broken(path, image.message, diag);
    }
    size_t n = alpha ? (size_t)out->height * (size_t)out->width : 0, c = (size_t)out->channels;
    for (size_t i = 0; i < n; i++)
        memmove(out->pixels + i * c, out->pixels + i * (c + 1), c);
    return LVT_OK;
}

/* ---- JPEG ---------------------------------------------------------------------------------------------- */

typedef struct jpeg_failure {
    struct jpeg_error_mgr base;
    jmp_buf back;
    char text[JMSG_LENGTH_MAX];
} jpeg_failure;

static void jpeg_fail(j_common_ptr info) {
    jpeg_failure *f = (jpeg_failure *)info->err;
    f->base.format_message(info, f->text);
    longjmp(f->back, 1);
}

/* A warning of libjpeg means that pixels were invented (truncated or corrupt data): that is an error here. */
static void jpeg_complain(j_common_ptr info, int level) {
    if (level < 0)
        jpeg_fail(info);
}

static lvt_status read_jpeg(const char *path, const uint8_t *bytes, size_t size, int channels,
                            lvt_picture *out, lvt_diag *diag) {
    struct jpeg_decompress_struct info;
    jpeg_failure failure;
    uint8_t *volatile pixels = NULL; /* volatile: read after longjmp */
    info.err = jpeg_std_error(&failure.base);
    failure.base.error_exit = jpeg_fail;
    failure.base.emit_message = jpeg_complain;
    if (setjmp(failure.back)) {
        jpeg_destroy_decompress(&info);
        free(pixels);
        return broken(path, failure.text, diag);
    }
    jpeg_create_decompress(&info);
    jpeg_mem_src(&info, bytes, size);
    jpeg_read_header(&info, TRUE);
    int c = channels ? channels : info.num_components == 1 ? 1 : 3;
    bool too_large = info.image_width > LVT_MAX_PICTURE_SIDE || info.image_height > LVT_MAX_PICTURE_SIDE;
    if (!too_large) {
        info.out_color_space = c == 1 ? JCS_GRAYSCALE : JCS_RGB;
        jpeg_start_decompress(&info);
        pixels = malloc((size_t)info.output_height * info.output_width * (size_t)c);
        while (pixels && info.output_scanline < info.output_height) {
            JSAMPROW row = pixels + (size_t)info.output_scanline * info.output_width * (size_t)c;
            jpeg_read_scanlines(&info, &row, 1);
        }
        if (pixels)
            jpeg_finish_decompress(&info);
    }
    *out = (lvt_picture){(int)info.image_height, (int)info.image_width, c, pixels};
    jpeg_destroy_decompress(&info);
    if (too_large)
        return broken(path, "a side is longer than 16384 pixels", diag);
    return pixels ? LVT_OK : lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "%s: out of memory", path);
}

lvt_status lvt_picture_read(const char *path, int channels, lvt_picture *out, lvt_diag *diag) {
    static const uint8_t png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'}, jpeg[3] = {0xff, 0xd8, 0xff};
    *out = (lvt_picture){0};
    uint8_t *bytes;
    size_t size;
    lvt_status status = lvt_file_read(path, &bytes, &size, diag);
    if (status != LVT_OK)
        return status;
    if (size >= sizeof png && !memcmp(bytes, png, sizeof png))
        status = read_png(path, bytes, size, channels, out, diag);
    else if (size >= sizeof jpeg && !memcmp(bytes, jpeg, sizeof jpeg))
        status = read_jpeg(path, bytes, size, channels, out, diag);
    else
        status = broken(path, "it is neither PNG nor JPEG", diag);
    free(bytes);
    return status;
}

/* ---- scaling ------------------------------------------------------------------------------------------- */

/* The share of source pixel s in target pixel t along one direction. Shrinking: overlap of the two areas.
 * Growing: bilinear between centres, the edge pixel repeated. */
static double share(int t, int s, int from, int to) {
    double scale = (double)from / to;
    if (from >= to) {
        double a = fmax(t * scale, s), b = fmin((t + 1) * scale, s + 1);
        return b > a ? (b - a) / scale : 0;
    }
    double centre = fmin(fmax((t + 0.5) * scale - 0.5, 0), from - 1), d = fabs(centre - s);
    return d < 1 ? 1 - d : 0;
}

/* Scales `lines` lines of `from` points with `inner` values each. */
static void scale_lines(const float *in, float *out, size_t lines, int from, int to, size_t inner) {
    for (int t = 0; t < to; t++) {
        int first = (int)((double)t * from / to) - 1, last = (int)ceil((double)(t + 1) * from / to) + 1;
        first = first < 0 ? 0 : first;
        last = last > from ? from : last;
        for (size_t l = 0; l < lines; l++) {
            float *y = out + (l * (size_t)to + (size_t)t) * inner;
            memset(y, 0, inner * sizeof *y);
            for (int s = first; s < last; s++) {
                float w = (float)share(t, s, from, to);
                const float *x = in + (l * (size_t)from + (size_t)s) * inner;
                for (size_t i = 0; i < inner && w != 0; i++)
                    y[i] += w * x[i];
            }
        }
    }
}

lvt_status lvt_picture_resize(lvt_picture *p, int height, int width, lvt_diag *diag) {
    if (p->height == height && p->width == width)
        return LVT_OK;
    size_t c = (size_t)p->channels, n = (size_t)p->height * (size_t)p->width * c;
    size_t m = (size_t)p->height * (size_t)width * c, k = (size_t)height * (size_t)width * c;
    float *a = malloc(n * sizeof *a), *b = malloc(m * sizeof *b), *d = malloc(k * sizeof *d);
    uint8_t *pixels = malloc(k);
    lvt_status status = LVT_OK;
    if (a && b && d && pixels) {
        for (size_t i = 0; i < n; i++)
            a[i] = p->pixels[i];
        scale_lines(a, b, (size_t)p->height, p->width, width, c);
        scale_lines(b, d, 1, p->height, height, (size_t)width * c);
        for (size_t i = 0; i < k; i++)
            pixels[i] = (uint8_t)lrintf(fminf(fmaxf(d[i], 0), 255));
        free(p->pixels);
        *p = (lvt_picture){height, width, p->channels, pixels};
    } else {
        free(pixels);
        status = lvt_no_memory(diag, "scaling a picture");
    }
    free(a);
    free(b);
    free(d);
    return status;
}

/* ---- writing ------------------------------------------------------------------------------------------- */

static png_image describe(const lvt_picture *p) {
    return (png_image){.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)p->width,
                       .height = (png_uint_32)p->height,
                       .format = p->channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB};
}

lvt_status lvt_picture_encode(const lvt_picture *p, uint8_t **bytes, size_t *size, lvt_diag *diag) {
    png_image image = describe(p);
    png_alloc_size_t n = PNG_IMAGE_PNG_SIZE_MAX(image);
    *bytes = malloc(n);
    if (*bytes && png_image_write_to_memory(&image, *bytes, &n, 0, p->pixels, 0, NULL)) {
        *size = n;
        return LVT_OK;
    }
    free(*bytes);
    *bytes = NULL;
    return lvt_no_memory(diag, "for a picture");
}

lvt_status lvt_picture_encode_jpeg(const lvt_picture *p, int quality, uint8_t **bytes, size_t *size,
                                   lvt_diag *diag) {
    struct jpeg_compress_struct info;
    jpeg_failure failure;
    unsigned char *volatile data = NULL; /* libjpeg changes what these point at before it may jump back */
    unsigned long n = 0;
    *bytes = NULL;
    info.err = jpeg_std_error(&failure.base);
    failure.base.error_exit = jpeg_fail;
    failure.base.emit_message = jpeg_complain;
    if (setjmp(failure.back)) {
        jpeg_destroy_compress(&info);
        free(data);
        return lvt_error(diag, LVT_NOMEM, NULL, LVT_NOWHERE, "a picture cannot be encoded: %s", failure.text);
    }
    jpeg_create_compress(&info);
    jpeg_mem_dest(&info, (unsigned char **)&data, &n);
    info.image_width = (JDIMENSION)p->width;
    info.image_height = (JDIMENSION)p->height;
    info.input_components = p->channels;
    info.in_color_space = p->channels == 3 ? JCS_RGB : JCS_GRAYSCALE;
    jpeg_set_defaults(&info);
    jpeg_set_quality(&info, quality, TRUE);
    info.optimize_coding = TRUE;
    jpeg_start_compress(&info, TRUE);
    while (info.next_scanline < info.image_height) {
        JSAMPROW row = p->pixels + (size_t)info.next_scanline * (size_t)p->width * (size_t)p->channels;
        jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    *bytes = data;
    *size = n;
    return LVT_OK;
}

lvt_status lvt_picture_write(const lvt_picture *p, const char *path, lvt_diag *diag) {
    png_image image = describe(p);
    lvt_atomic_file f;
    lvt_status status = lvt_atomic_begin(&f, path, diag);
    if (status != LVT_OK)
        return status;
    if (!png_image_write_to_stdio(&image, f.stream, 0, p->pixels, 0, NULL))
        status = lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: cannot be written: %s", path, image.message);
    return lvt_atomic_end(&f, status, diag);
}
