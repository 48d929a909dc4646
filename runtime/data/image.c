/* Pictures: PNG and JPEG through libpng and libjpeg, what all formats share. May not know: data sets, models. */
#include "image.h"
#include "formats.h"
#include "ir/base/file.h"
#include "ir/base/c_locale.h"

#include <stdio.h> /* before jpeglib.h, which needs it */
#include <jpeglib.h>
#include <jerror.h>
#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool lvt_picture_name(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot && dot != name &&
           (lvt_same_word(dot, ".png") || lvt_same_word(dot, ".jpg") || lvt_same_word(dot, ".jpeg") ||
            lvt_same_word(dot, ".bmp") || (lvt_webp_reads() && lvt_same_word(dot, ".webp")));
}

/* ---- what all formats share ---------------------------------------------------------------------------- */

/* Colour to grey as ITU-R BT.601 weighs it, in the 16-bit fixed point and rounding of PIL's mode L, whatever
 * the file says about gamma or profiles: networks are trained on what a picture stores. */
static uint8_t grey_of(const uint8_t *rgb) {
    return (uint8_t)((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16);
}

static void make_grey(lvt_picture *p) {
    size_t n = (size_t)p->height * (size_t)p->width;
    for (size_t i = 0; i < n; i++)
        p->pixels[i] = grey_of(p->pixels + 3 * i);
    p->channels = 1;
}

static void make_colour(lvt_picture *p) { /* in place: there is room for three */
    for (size_t i = (size_t)p->height * (size_t)p->width; i-- > 0;)
        memset(p->pixels + 3 * i, p->pixels[i], 3);
    p->channels = 3;
}

/* Turns the picture upright, as PIL's ImageOps.exif_transpose does. */
static lvt_status turn(lvt_picture *p, int orientation, const char *path, lvt_diag *diag) {
    if (orientation == 1)
        return LVT_OK;
    bool swap = orientation >= 5; /* rows become columns */
    /* Of the picture as it is stored: right to left, and bottom to top. */
    bool right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8,
         bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    int height = swap ? p->width : p->height, width = swap ? p->height : p->width;
    size_t c = (size_t)p->channels;
    uint8_t *out = malloc((size_t)height * (size_t)width * c);
    if (!out)
        return lvt_no_memory(diag, path);
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            int row = swap ? x : y, column = swap ? y : x;
            row = bottom ? p->height - 1 - row : row;
            column = right ? p->width - 1 - column : column;
            memcpy(out + ((size_t)y * (size_t)width + (size_t)x) * c,
                   p->pixels + ((size_t)row * (size_t)p->width + (size_t)column) * c, c);
        }
    }
    free(p->pixels);
    *p = (lvt_picture){height, width, p->channels, out};
    return LVT_OK;
}

/* ---- PNG ----------------------------------------------------------------------------------------------- */

typedef struct png_input {
    const uint8_t *at;
    size_t left;
    char text[128]; /* why it failed */
} png_input;

static void png_take(png_structp png, png_bytep to, size_t n) {
    png_input *in = png_get_io_ptr(png);
    if (n > in->left)
        png_error(png, "the file ends too early");
    memcpy(to, in->at, n);
    in->at += n;
    in->left -= n;
}

static void png_fail(png_structp png, png_const_charp text) {
    png_input *in = png_get_error_ptr(png);
    snprintf(in->text, sizeof in->text, "%s", text);
    png_longjmp(png, 1);
}

static void png_ignore(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

/* What libpng would do unasked is not asked for: no gamma, no profile, no background. */
static lvt_status read_png(const char *path, const uint8_t *bytes, size_t size, lvt_picture *out,
                           int *orientation, lvt_diag *diag) {
    png_input in = {.at = bytes, .left = size};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &in, png_fail, png_ignore);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    uint8_t *volatile pixels = NULL; /* volatile: read after longjmp */
    png_bytep *volatile rows = NULL;
    if (!info) {
        png_destroy_read_struct(&png, NULL, NULL);
        return lvt_no_memory(diag, path);
    }
    if (setjmp(png_jmpbuf(png))) {
        png_destroy_read_struct(&png, &info, NULL);
        free(pixels);
        free((void *)rows);
        return lvt_picture_broken(path, in.text, diag);
    }
    png_set_read_fn(png, &in, png_take);
    png_set_user_limits(png, 0x7fffffff, 0x7fffffff); /* ours are looked at below, with a message of ours */
    png_read_info(png, info);
    png_uint_32 height = png_get_image_height(png, info), width = png_get_image_width(png, info);
    if (height > LVT_MAX_PICTURE_SIDE || width > LVT_MAX_PICTURE_SIDE)
        png_error(png, lvt_picture_too_large);
    png_set_expand(png);      /* palettes to colours, 1, 2 and 4 bits to 8, transparency to alpha */
    png_set_strip_16(png);    /* the high byte */
    png_set_strip_alpha(png); /* colours as they are stored, not blended with a background */
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
    size_t stored = png_get_channels(png, info), row = png_get_rowbytes(png, info);
    if ((stored != 1 && stored != 3) || row != (size_t)width * stored)
        png_error(png, "an unusual kind of pixels");
    pixels = malloc((size_t)height * width * 3);
    rows = malloc(height * sizeof *rows);
    for (png_uint_32 y = 0; y < height && pixels && rows; y++)
        rows[y] = pixels + y * row;
    if (pixels && rows) {
        png_read_image(png, rows);
        png_read_end(png, info);
#ifdef PNG_eXIf_SUPPORTED
        png_uint_32 n = 0;
        png_bytep exif = NULL;
        if (png_get_eXIf_1(png, info, &n, &exif))
            *orientation = lvt_exif_orientation(exif, n);
#endif
    }
    png_destroy_read_struct(&png, &info, NULL);
    free((void *)rows);
    if (!pixels || !rows) {
        free(pixels);
        return lvt_no_memory(diag, path);
    }
    *out = (lvt_picture){(int)height, (int)width, (int)stored, pixels};
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

/* libjpeg warns of much that every reader shows (bytes between markers, a wrong count of restarts): no
 * errors. But a file that ends too early is one, as for PIL: libjpeg would invent the rest. */
static void jpeg_complain(j_common_ptr info, int level) {
    if (level < 0 && info->err->msg_code == JWRN_JPEG_EOF)
        jpeg_fail(info);
}

static uint8_t over_255(unsigned a, unsigned b) { /* a b / 255, rounded */
    unsigned t = a * b + 128;
    return (uint8_t)(((t >> 8) + t) >> 8);
}

/* Inks as Adobe stores them, inverted, to colours: PIL's conversion of mode CMYK. */
static void from_inks(uint8_t *pixels, size_t n) {
    for (size_t i = 0; i < n; i++) {
        unsigned light = pixels[4 * i + 3]; /* 255 minus black */
        for (size_t c = 0; c < 3; c++) {
            unsigned ink = over_255(255u - pixels[4 * i + c], light);
            pixels[3 * i + c] = (uint8_t)(ink > light ? 0 : light - ink);
        }
    }
}

static int jpeg_orientation(const struct jpeg_decompress_struct *info) {
    for (jpeg_saved_marker_ptr m = info->marker_list; m; m = m->next) {
        if (m->marker == JPEG_APP0 + 1 && m->data_length > 6 && !memcmp(m->data, "Exif\0\0", 6))
            return lvt_exif_orientation(m->data + 6, m->data_length - 6);
    }
    return 1;
}

static lvt_status read_jpeg(const char *path, const uint8_t *bytes, size_t size, lvt_picture *out,
                            int *orientation, lvt_diag *diag) {
    struct jpeg_decompress_struct info;
    jpeg_failure failure;
    uint8_t *volatile pixels = NULL; /* volatile: read after longjmp */
    info.err = jpeg_std_error(&failure.base);
    failure.base.error_exit = jpeg_fail;
    failure.base.emit_message = jpeg_complain;
    if (setjmp(failure.back)) {
        jpeg_destroy_decompress(&info);
        free(pixels);
        return lvt_picture_broken(path, failure.text, diag);
    }
    jpeg_create_decompress(&info);
    jpeg_mem_src(&info, bytes, size);
    jpeg_save_markers(&info, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(&info, TRUE);
    *orientation = jpeg_orientation(&info);
    bool inks = info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK,
         grey = info.jpeg_color_space == JCS_GRAYSCALE;
    size_t stored = grey ? 1 : inks ? 4 : 3;
    bool large = info.image_width > LVT_MAX_PICTURE_SIDE || info.image_height > LVT_MAX_PICTURE_SIDE;
    if (!large) {
        /* Grey is made from the colours, like PNG's: libjpeg would give the brightness that the file stores,
         * which differs where a colour had to be clipped. */
        info.out_color_space = grey ? JCS_GRAYSCALE : inks ? JCS_CMYK : JCS_RGB;
        jpeg_start_decompress(&info);
        pixels = malloc((size_t)info.output_height * info.output_width * (stored < 3 ? 3 : stored));
        while (pixels && info.output_scanline < info.output_height) {
            JSAMPROW row = pixels + (size_t)info.output_scanline * info.output_width * stored;
            jpeg_read_scanlines(&info, &row, 1);
        }
        if (pixels)
            jpeg_finish_decompress(&info);
    }
    *out = (lvt_picture){(int)info.image_height, (int)info.image_width, grey ? 1 : 3, pixels};
    jpeg_destroy_decompress(&info);
    if (large)
        return lvt_picture_broken(path, lvt_picture_too_large, diag);
    if (!pixels)
        return lvt_no_memory(diag, path);
    if (inks)
        from_inks(pixels, (size_t)out->height * (size_t)out->width);
    return LVT_OK;
}

lvt_status lvt_picture_read(const char *path, int channels, lvt_picture *out, lvt_diag *diag) {
    static const uint8_t png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'}, jpeg[3] = {0xff, 0xd8, 0xff};
    *out = (lvt_picture){0};
    uint8_t *bytes;
    size_t size;
    int orientation = 1;
    lvt_status status = lvt_file_read(path, &bytes, &size, diag);
    if (status != LVT_OK)
        return status;
    if (size >= sizeof png && !memcmp(bytes, png, sizeof png))
        status = read_png(path, bytes, size, out, &orientation, diag);
    else if (size >= sizeof jpeg && !memcmp(bytes, jpeg, sizeof jpeg))
        status = read_jpeg(path, bytes, size, out, &orientation, diag);
    else if (lvt_webp_is(bytes, size))
        status = lvt_webp_read(path, bytes, size, out, &orientation, diag);
    else if (lvt_bmp_is(bytes, size))
        status = lvt_bmp_read(path, bytes, size, out, diag);
    else
        status = lvt_picture_broken(path, "it is neither PNG nor JPEG, BMP or WebP", diag);
    free(bytes);
    if (status == LVT_OK && channels == 1 && out->channels == 3)
        make_grey(out);
    else if (status == LVT_OK && channels == 3 && out->channels == 1)
        make_colour(out);
    if (status == LVT_OK)
        status = turn(out, orientation, path, diag);
    if (status != LVT_OK) {
        free(out->pixels);
        *out = (lvt_picture){0};
    }
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

lvt_status lvt_picture_write(const lvt_picture *p, const lvt_folder *in, const char *path, lvt_diag *diag) {
    png_image image = describe(p);
    lvt_atomic_file f;
    lvt_status status = lvt_atomic_begin(&f, in, path, diag);
    if (status != LVT_OK)
        return status;
    if (!png_image_write_to_stdio(&image, f.stream, 0, p->pixels, 0, NULL))
        status = lvt_error(diag, LVT_IO, NULL, LVT_NOWHERE, "%s: cannot be written: %s", path, image.message);
    return lvt_atomic_end(&f, status, diag);
}
